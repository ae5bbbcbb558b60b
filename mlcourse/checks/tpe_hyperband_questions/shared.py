"""What the questions of `tpe_hyperband` share: how exact a number is, and what is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import NormalDist
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.compare import plain
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import TOLERANCE

#: A number's relative error; torch's float32 passes.
EXACT: dict[torch.dtype | type, float] = {**TOLERANCE, float: 1e-5}

Floats = Sequence[float]

#: The standard normal density: its mass below a place, and the place that has a mass below it.
below = NormalDist().cdf
place = NormalDist().inv_cdf


def integer(low: int, high: int, g: Generator) -> int:
    """Draw an integer, both ends included."""
    return int(torch.randint(low, high + 1, (), generator=g))


def chosen(count: int, total: int, g: Generator) -> list[int]:
    """Draw `count` different numbers below `total`."""
    order: list[int] = torch.randperm(total, generator=g)[:count].tolist()
    return order


def spaced(count: int, g: Generator, low: float = 0.05, high: float = 0.95) -> list[float]:
    """Draw numbers in random order, no two of them close to each other."""
    width = (high - low) / count
    return [low + width * (i + uniform(0.2, 0.8, g)) for i in chosen(count, count, g)]


def apart(numbers: Floats, least: float = 1e-6) -> bool:
    """Say that no two numbers are so close that rounding could exchange them."""
    return all(high - low > least for low, high in pairwise(sorted(numbers)))


def use_lists(answer: Callable, *args: Any) -> Any:
    """Call the answer; tensors, arrays and tuples may stand for lists, however deep."""
    return as_lists(plain(answer(*args)))


def as_lists(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [as_lists(item) for item in value]
    return value
