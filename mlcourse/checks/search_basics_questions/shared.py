"""What the questions of `search_basics` share: how exact a number is, and what is drawn."""

from __future__ import annotations

import torch
from torch import Generator

from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import TOLERANCE, Forbidden

#: Answers are arithmetic in Python's own numbers, so they should be right to nearly all digits.
EXACT: dict[torch.dtype | type, float] = {**TOLERANCE, float: 1e-7}

#: Chance is given, so that an answer can be checked.
NO_DRAWS = Forbidden(
    "draws",
    "the random numbers are among the arguments: use those, and draw none of your own",
    attributes=frozenset({"default_rng", "rand", "rand_like", "randn", "random"}),
)


def units(count: int, g: Generator) -> list[float]:
    """Draw numbers from [0, 1), away from its ends."""
    return [uniform(0.02, 0.98, g) for _ in range(count)]


def integer(low: int, high: int, g: Generator) -> int:
    """Draw an integer, both ends included."""
    return int(torch.randint(low, high + 1, (), generator=g))


def shuffled(count: int, g: Generator) -> list[int]:
    """Draw an order of the numbers below `count`."""
    order: list[int] = torch.randperm(count, generator=g).tolist()
    return order


def distinct(count: int, g: Generator, low: float = 0.05, high: float = 0.6) -> list[float]:
    """Draw numbers in random order, no two of them close to each other."""
    width = (high - low) / count
    return [low + width * (place + uniform(0.2, 0.8, g)) for place in shuffled(count, g)]
