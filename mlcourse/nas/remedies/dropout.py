"""Dropout on skip connections: they learn nothing, so at first they are given less to pass on."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mlcourse.nas.cells import MixedEdge
from mlcourse.nas.remedies.remedy import Remedy
from mlcourse.regularization import dropout


@dataclass(frozen=True)
class SkipDropout(Remedy):
    """Dropout after each skip connection without weights, with the rate p exp(-decay * epoch).

    Raises ValueError for p outside [0, 1) and a decay below 0. Source: Chen, Xie, Wu and Tian,
    Progressive differentiable architecture search, 2019, section 3.3; the authors' code has the
    decay 0.2.
    """

    p: float = 0.3
    decay: float = 0.2

    def __post_init__(self) -> None:
        if not 0 <= self.p < 1:
            raise ValueError(f"p is {self.p}: give a probability from 0 to below 1")
        if not 0 <= self.decay < math.inf:
            raise ValueError(f"decay is {self.decay}: give 0, or a positive, finite number")

    def rate(self, epoch: int) -> float:
        """Return the rate in an epoch."""
        return self.p * math.exp(-self.decay * epoch)

    def attach(self, model: Any, generator: torch.Generator | None) -> None:
        for edge in model.modules():
            skip = edge["skip_connect"] if _may_skip(edge) else None
            if isinstance(skip, nn.Identity):
                edge["skip_connect"] = Dropped(generator)

    def begin_epoch(self, model: Any, epoch: int, epochs: int) -> None:
        for part in model.modules():
            if isinstance(part, Dropped):
                part.p = self.rate(epoch)


class Dropped(nn.Module):
    """A skip connection with dropout, in training."""

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.p, self.generator = 0.0, generator

    def forward(self, x: Tensor) -> Tensor:
        """Return x (any shape), in training with entries set to zero."""
        return dropout(x, self.p, training=self.training, generator=self.generator)


def _may_skip(part: nn.Module) -> bool:
    return isinstance(part, MixedEdge) and "skip_connect" in part
