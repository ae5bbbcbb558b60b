"""What the questions of `conv_arithmetic` share: whole numbers drawn, and calls by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

Shape = tuple[int, ...]

#: A phrase that says what is special about a call -> its arguments. The phrase names the result in
#: a message ("the size with padding is ..."), so that the inputs stay unknown.
Calls = dict[str, tuple]


def whole(low: int, high: int, g: Generator) -> int:
    """Draw a whole number from low to high, both included."""
    return int(torch.randint(low, high + 1, (1,), generator=g))


def different(count: int, low: int, high: int, g: Generator) -> list[int]:
    """Draw `count` whole numbers from low to high, no two of them equal."""
    return [low + int(i) for i in torch.randperm(high - low + 1, generator=g)[:count]]


def normal(*shape: int, generator: Generator, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=dtype)


def call_each(answer: Callable[..., Any], calls: Calls) -> dict[str, Any]:
    """Call the answer with each set of arguments and keep the results under their phrases."""
    return {phrase: answer(*arguments) for phrase, arguments in calls.items()}
