"""A course on optimising neural networks: the library, the checks and the grader.

In an exercise: `from mlcourse import check, hint`. They are loaded when first asked for, so that
importing the package, or one module of it, stays cheap.
"""

from __future__ import annotations

from importlib import metadata
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlcourse.checks.notebook import check, hint

__all__ = ["__version__", "check", "hint"]


def __getattr__(name: str) -> Any:
    if name in ("check", "hint"):
        from mlcourse.checks import notebook

        return getattr(notebook, name)
    if name == "__version__":
        return metadata.version("mlcourse")
    raise AttributeError(f"module 'mlcourse' has no attribute {name!r}")
