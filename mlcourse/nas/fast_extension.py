"""The C++ extension of the fast form: none yet."""

from __future__ import annotations

from typing import Any


def extension() -> Any:
    """Return the extension, or None."""
    return None
