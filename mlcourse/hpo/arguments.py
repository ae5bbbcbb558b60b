"""Checks of what search methods are given."""

from __future__ import annotations

import math


def integer(name: str, given: object, least: int) -> int:
    """Return an integer that is `least` or more; raise ValueError for anything else."""
    if isinstance(given, bool) or not isinstance(given, int) or given < least:
        raise ValueError(f"{name} is {given!r}: give an integer, {least} or more")
    return given


def share(name: str, given: object) -> float:
    """Return a number from 0 to 1; raise ValueError for anything else."""
    if isinstance(given, bool) or not isinstance(given, int | float) or not 0 <= given <= 1:
        raise ValueError(f"{name} is {given!r}: give a number from 0 to 1")
    return float(given)


def above(name: str, given: object, bound: float) -> float:
    """Return a finite number above `bound`; raise ValueError for anything else."""
    number = isinstance(given, int | float) and not isinstance(given, bool)
    if not number or not bound < given < math.inf:  # type: ignore[operator]
        raise ValueError(f"{name} is {given!r}: give a finite number above {bound}")
    return float(given)  # type: ignore[arg-type]
