"""What the questions of `pso` share: arrays drawn at random, a bowl to search in, array results."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.compare import plain
from mlcourse.checks.judge import beside

Array = np.ndarray


def draw(*shape: int, g: Generator, low: float = 0.0, high: float = 1.0) -> Array:
    """Draw numbers from a range."""
    numbers: Array = torch.rand(*shape, generator=g, dtype=torch.float64).numpy()
    return low + (high - low) * numbers


def setting(low: float, high: float, g: Generator) -> float:
    """Draw one number of a few digits."""
    return round(float(draw(1, g=g, low=low, high=high)[0]), 3)


def bowl_in(answer: Callable, bowl: tuple[Array, Array, Array]) -> Any:
    """Make the loss of a place (d,), a number, in the process in which the answer lives."""
    return beside(answer, "witness", "Quartic")(*bowl)


def bowl(d: int, g: Generator, at_wall: bool = False) -> tuple[Array, Array, Array]:
    """Draw A, b and c of a bowl whose lowest place is inside the unit cube, or near a wall."""
    curvatures, centre = draw(d, g=g, low=0.5, high=2.0), draw(d, g=g, low=0.25, high=0.75)
    if at_wall:
        centre[0] = setting(0.01, 0.04, g)
    return np.diag(curvatures), -curvatures * centre, np.zeros(d)


def as_array(result: Any) -> Any:
    """Take a list of arrays, or of lists of numbers, as one array."""
    result = plain(result)
    if not isinstance(result, (list, tuple)) or not result:
        return result
    try:
        parts = [as_array(part) for part in result]
        return torch.stack([torch.as_tensor(part, dtype=torch.float64) for part in parts])
    except (RuntimeError, TypeError, ValueError):  # something else than parts of one shape
        return result


def use_array(answer: Callable, *args: Any) -> Any:
    """Call the answer for one array."""
    return as_array(answer(*args))


def use_arrays(answer: Callable, *args: Any) -> Any:
    """Call the answer for several arrays."""
    result = plain(answer(*args))
    return tuple(map(as_array, result)) if isinstance(result, (list, tuple)) else result
