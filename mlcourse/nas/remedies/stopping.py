"""Stopping a search before it collapses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mlcourse.bilevel_problem import Problem
from mlcourse.nas.architect import Architect, Batch
from mlcourse.nas.genotype import Kind
from mlcourse.nas.remedies.remedy import Remedy, batch_statistics
from mlcourse.spectra import top_eigenvalue
from mlcourse.training import History, Numbers


@dataclass(frozen=True)
class SkipStop(Remedy):
    """DARTS+: the first epoch that ends with `limit` skip connections in the cell is the last.

    Raises ValueError for a limit below 1. Source: Liang et al., DARTS+: Improved differentiable
    architecture search with early stopping, 2019, criterion 1: two in the normal cell.
    """

    limit: int = 2
    kind: Kind = "normal"

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise ValueError(f"limit is {self.limit}: give 1 or more")

    def record(self, model: Any) -> Numbers:
        return {f"{self.kind}_skips": model.skips(self.kind)}

    def stop(self, history: History) -> bool:
        return history[f"{self.kind}_skips"][-1] >= self.limit


@dataclass(frozen=True)
class EigenvalueStop(Remedy):
    """Stop when the curvature of the validation loss in the architecture grows fast.

    The history's `alpha_eigenvalue` is the largest eigenvalue of the Hessian of the loss of
    `batch` in the architecture parameters, after each epoch; it is smoothed as the mean of
    `window` epochs around one. The search ends when, `lag` epochs before the last smoothed one,
    it was less than `ratio` times as large. The architecture to take is that of this earlier
    epoch: `chosen(history)` has its number. Raises ValueError for a window that is even or below
    1, and a lag or a ratio that is not positive.

    Source: Zela et al., Understanding and robustifying differentiable architecture search, 2020,
    section 4.3. The authors' code has the lag 4 and the ratio 1 / 1.3.
    """

    batch: Batch = field(repr=False)
    window: int = 5
    lag: int = 5
    ratio: float = 0.75

    def __post_init__(self) -> None:
        if self.window < 1 or self.window % 2 == 0:
            raise ValueError(f"window is {self.window}: give an odd number, 1 or more")
        for name in ("lag", "ratio"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} is {getattr(self, name)}: give a positive number")

    def record(self, model: Any) -> Numbers:
        return {"alpha_eigenvalue": alpha_eigenvalue(model, self.batch)}

    def stop(self, history: History) -> bool:
        smooth = smoothed(history["alpha_eigenvalue"], self.window)
        return len(smooth) > self.lag and smooth[-1 - self.lag] < self.ratio * smooth[-1]

    def chosen(self, history: History) -> int:
        """Return the number of the epoch whose architecture to take, the first being 0."""
        last = history.epochs - 1
        return last - self.window // 2 - self.lag if self.stop(history) else last


def smoothed(values: Sequence[float], window: int) -> list[float]:
    """Return the means of so many values in turn: fewer than there are values by window - 1."""
    if len(values) < window:
        return []
    return np.convolve(values, np.full(window, 1 / window), "valid").tolist()  # type: ignore[no-any-return]


def alpha_eigenvalue(model: Any, batch: Batch, steps: int = 30) -> float:
    """Return the largest eigenvalue of the Hessian of a batch's loss in the architecture.

    By `steps` of Lanczos from products with the Hessian, which is never formed. The result is
    never above the true one but for rounding; as many steps as there are parameters are exact.
    Batch norms use the batch's statistics, as in the search, but nothing is drawn: no dropout, and
    of drawn weights the mean. Nothing of the model changes. Source: Zela et al., 2020, section 4.1.
    """
    architect = Architect(model, torch.optim.SGD(model.weights(), lr=0.0))
    _, loss = architect.losses(batch, batch)
    problem = Problem(loss, loss, architect.weights(), architect.alphas())

    def of_alpha(alpha: Tensor) -> Tensor:
        return problem.outer(problem.w, alpha)

    start = torch.Generator().manual_seed(0)
    with batch_statistics(model):
        return top_eigenvalue(of_alpha, problem.hyper, steps, start)
