"""What the questions of `curves` share: random losses, and what an answer may hand back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.compare import plain

Losses = list[float]


def uniform(low: float, high: float, g: Generator) -> float:
    """Draw one number."""
    return low + (high - low) * float(torch.rand((), generator=g, dtype=torch.float64))


def falling(n: int, g: Generator, noise: float = 0.1) -> Losses:
    """Draw n losses that fall to a level, with noise."""
    start, end = uniform(1.5, 2.5, g), uniform(0.2, 0.7, g)
    times = torch.arange(n, dtype=torch.float64)
    losses = end + (start - end) * torch.exp(-times / uniform(0.15 * n, 0.3 * n, g))
    wobble = 1 + noise * (2 * torch.rand(n, generator=g, dtype=torch.float64) - 1)
    numbers: Losses = (losses * wobble).tolist()
    return numbers


def use_list(answer: Callable, *args: Any) -> Any:
    """Call the answer; a tuple or a tensor may stand for a list."""
    result = plain(answer(*args))
    if isinstance(result, Tensor) and result.dim() == 1:
        return result.tolist()
    return list(result) if isinstance(result, tuple) else result
