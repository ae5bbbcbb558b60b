"""Neural architecture search: a supernet trained with its own architecture, and its comparators.

Each name is loaded when it is first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlcourse.nas.genotype import DARTS_V1, DARTS_V2, PC_DARTS, Genotype
    from mlcourse.nas.operations import OPERATIONS, WITHOUT_WEIGHTS
    from mlcourse.nas.supernet import Supernet

_MODULES = {
    "DARTS_V1": "genotype",
    "DARTS_V2": "genotype",
    "Genotype": "genotype",
    "OPERATIONS": "operations",
    "PC_DARTS": "genotype",
    "Supernet": "supernet",
    "WITHOUT_WEIGHTS": "operations",
}

__all__ = [
    "DARTS_V1",
    "DARTS_V2",
    "OPERATIONS",
    "PC_DARTS",
    "WITHOUT_WEIGHTS",
    "Genotype",
    "Supernet",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return getattr(import_module(f"mlcourse.nas.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'mlcourse.nas' has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name what can be had, also before it is loaded: notebooks complete names by it."""
    return sorted({*globals(), *__all__})
