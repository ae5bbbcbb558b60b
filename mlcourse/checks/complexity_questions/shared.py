"""What the questions of `complexity` share: means and spreads of weights drawn at random."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal

DTYPE = torch.float64
LN2 = math.log(2)

NATS = "that is in nats: divide by ln 2 = 0.693 to have bits"
IN_BITS = "that is in bits: natural logarithms are asked for, nats, so nothing is divided by ln 2"


def between(low: float, high: float, *shape: int, g: Generator) -> Tensor:
    """Draw numbers from a range."""
    return low + (high - low) * torch.rand(*shape, generator=g, dtype=DTYPE)


def posterior(n_out: int, n_in: int, g: Generator) -> tuple[Tensor, Tensor]:
    """Draw the means and the log sigmas (n_out, n_in) of a layer."""
    return (
        normal(n_out, n_in, generator=g, dtype=DTYPE),
        between(-1.6, 0.4, n_out, n_in, g=g),
    )
