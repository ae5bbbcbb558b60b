"""Stop training when a column of the history no longer improves, and restore the best weights."""

from __future__ import annotations

import math
from copy import deepcopy
from typing import TYPE_CHECKING, Any, Literal

from torch import nn

if TYPE_CHECKING:
    from mlcourse.training import History


class EarlyStopping:
    """Keep the weights of the best epoch, and say when the epochs after it bring nothing better.

    Give it to `train_model(..., stop=...)`, or call it with the history after each epoch: it
    returns True once `patience` epochs in a row were not better than the best. Better means lower
    by more than `min_delta`, or higher with mode "max"; without a mode it is "max" for a column
    whose name ends in "accuracy" and "min" for any other. nan and infinity are never better.

    What is best is read from the history, so a run that is resumed from a checkpoint stops at
    the same epoch. The best weights are in memory only, as the model's state_dict (buffers too):
    `restore` refuses when they were seen before the run was interrupted. Raises ValueError when
    patience is below 1, min_delta is negative, the mode is unknown or the history lacks the
    column. Source: Goodfellow, Bengio and Courville, Deep Learning, 2016, algorithm 7.1.
    """

    def __init__(
        self,
        model: nn.Module,
        patience: int,
        column: str = "validation_loss",
        min_delta: float = 0.0,
        mode: Literal["min", "max"] | None = None,
    ) -> None:
        if not patience >= 1:
            raise ValueError(f"patience is {patience}: give 1 epoch or more")
        if not 0 <= min_delta < math.inf:
            raise ValueError(f"min_delta is {min_delta}: give 0 or a positive, finite number")
        if mode not in ("min", "max", None):
            raise ValueError(f'mode is {mode!r}: choose "min" or "max"')
        self.model, self.patience, self.column, self.min_delta = model, patience, column, min_delta
        self.mode = mode or ("max" if column.endswith("accuracy") else "min")
        #: The best epoch's index in the history, from 0, and its number; None before there is one.
        self.best_epoch: int | None = None
        self.best: float | None = None
        self._weights: dict[str, Any] = {}
        self._epoch_of_weights: int | None = None

    def __call__(self, history: History) -> bool:
        """Look at the history's last epoch, keep its weights if it is the best, say if to stop."""
        if self.column not in history:
            raise ValueError(
                f"the history has no column {self.column}: choose one of {', '.join(history)}"
            )
        self._find_best(history[self.column])
        waited_from = -1 if self.best_epoch is None else self.best_epoch
        waited = history.epochs - 1 - waited_from
        if waited == 0:
            self._weights = deepcopy(self.model.state_dict())
            self._epoch_of_weights = self.best_epoch
        return waited >= self.patience

    def _find_best(self, column: list[float]) -> None:
        sign = 1 if self.mode == "min" else -1
        self.best_epoch = self.best = None
        for epoch, value in enumerate(column):
            if math.isfinite(value) and (
                self.best is None or sign * value < sign * self.best - self.min_delta
            ):
                self.best_epoch, self.best = epoch, value

    def restore(self) -> None:
        """Put the weights and buffers of the best epoch back into the model, and nothing else.

        Raises ValueError when there was no best epoch, or its weights are lost.
        """
        if self.best_epoch is None:
            raise ValueError(
                f"no epoch had a finite {self.column}: train at least one epoch, with a lower "
                "learning rate if training diverged"
            )
        if self.best_epoch != self._epoch_of_weights:
            raise ValueError(
                f"the weights of epoch {self.best_epoch} (from 0), the best, are not in memory: "
                "the run was resumed after it, so train again from the start to have them"
            )
        self.model.load_state_dict(self._weights)
