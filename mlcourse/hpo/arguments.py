"""Checks of what search methods are given."""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import Any, TypeGuard


def integer(name: str, given: object, least: int) -> int:
    """Return an integer that is `least` or more; raise ValueError for anything else."""
    if isinstance(given, bool) or not isinstance(given, Integral) or given < least:
        raise ValueError(f"{name} is {given!r}: give an integer, {least} or more")
    return int(given)


def number(name: str, given: object, least: float) -> float:
    """Return a finite number that is `least` or more; raise ValueError for anything else."""
    if not _is_number(given) or not least <= given < math.inf:
        raise ValueError(f"{name} is {given!r}: give a finite number, {least} or more")
    return float(given)


def share(name: str, given: object) -> float:
    """Return a number from 0 to 1; raise ValueError for anything else."""
    if not _is_number(given) or not 0 <= given <= 1:
        raise ValueError(f"{name} is {given!r}: give a number from 0 to 1")
    return float(given)


def above(name: str, given: object, bound: float) -> float:
    """Return a finite number above `bound`; raise ValueError for anything else."""
    if not _is_number(given) or not bound < given < math.inf:
        raise ValueError(f"{name} is {given!r}: give a finite number above {bound}")
    return float(given)


def loss(given: Any) -> float | None:
    """Return a loss as a float, nan as infinite; None for anything but a single number.

    A tensor or an array without dimensions is a single number, too.
    """
    single = given.item() if getattr(given, "ndim", None) == 0 else given
    if not _is_number(single):
        return None
    return math.inf if math.isnan(single) else float(single)


def _is_number(given: object) -> TypeGuard[float]:
    return isinstance(given, Real) and not isinstance(given, bool)
