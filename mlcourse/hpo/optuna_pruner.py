"""Asynchronous successive halving as a pruner of Optuna."""

from __future__ import annotations

import math

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

_GOLDEN = (math.sqrt(5) - 1) / 2


class HalvingPruner(BasePruner):
    """Stop a trial at a rung where its value is not among the best 1/eta of those before it.

    The rungs are min_budget * eta^k epochs, below max_budget, at which all training ends. The
    objective calls `trial.report(value, step)`, where `step` counts the epochs done, and then
    `trial.should_prune()`; a rung's value is the first that is reported at it or above. At each
    rung a trial is compared with those that have reached it so far, and goes on when fewer than
    n // eta of these n are better (when none is, for n below eta). Nan stops.

    Synchronous halving (`SuccessiveHalving`) fills a rung first and then keeps exactly its best
    1/eta. This pruner judges on arrival, so no worker waits; but the first trials meet few rivals,
    so more than 1/eta go on, and one that was stopped too early is gone.

    With `brackets` above 1, trials are dealt to that many brackets in Hyperband's proportions;
    bracket b has no first b rungs, and its trials compete among themselves. Raises ValueError for
    budgets that do not rise from above 0, eta of 1 or less, and more brackets than rungs + 1.
    Source: Li et al., A system for massively parallel hyperparameter tuning, 2020, algorithm 2;
    there trials pause, here they stop.
    """

    def __init__(
        self, min_budget: float, max_budget: float, eta: float = 3, brackets: int = 1
    ) -> None:
        if not 0 < min_budget <= max_budget < math.inf:
            raise ValueError(
                f"the budgets are {min_budget} to {max_budget}: give the lower first, above 0"
            )
        if not 1 < eta < math.inf:
            raise ValueError(f"eta is {eta}: give a number above 1, such as 3")
        self.eta = eta
        self.rungs = _rungs(min_budget, max_budget, eta)
        most = len(self.rungs) + 1
        if isinstance(brackets, bool) or not isinstance(brackets, int) or not 1 <= brackets <= most:
            raise ValueError(
                f"there are {brackets!r} brackets: give 1 to {most}, as many as the budgets allow"
            )
        shares = [math.ceil(most / (most - b) * eta ** (most - 1 - b)) for b in range(brackets)]
        self._shares = np.cumsum(shares) / sum(shares)

    def bracket(self, number: int) -> int:
        """Return the bracket of the trial with this number."""
        # Multiples of the golden ratio spread evenly over [0, 1), at every length.
        return int(np.searchsorted(self._shares, number * _GOLDEN % 1, side="right"))

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Return whether the trial stops at the rung that its last report reached, if any."""
        bracket = self.bracket(trial.number)
        rivals = [
            other
            for other in study.get_trials(deepcopy=False)
            if other.number != trial.number
            and other.state != TrialState.FAIL
            and self.bracket(other.number) == bracket
        ]
        return any(
            self._loses(study, trial, rivals, rung)
            for rung in self.rungs[bracket:]
            if _step(trial, rung) is not None and _step(trial, rung) == trial.last_step
        )

    def _loses(
        self, study: Study, trial: FrozenTrial, rivals: list[FrozenTrial], rung: float
    ) -> bool:
        own = _loss_at(study, trial, rung)
        reached = [rival for rival in rivals if _step(rival, rung) is not None]
        better = sum(_loss_at(study, rival, rung) < own for rival in reached)
        return math.isnan(own) or better >= max(1, (len(reached) + 1) // self.eta)


def sign(study: Study) -> int:
    """Return what a study's values are multiplied by to be losses: 1, or -1 to maximise."""
    return -1 if study.direction == StudyDirection.MAXIMIZE else 1


def _rungs(min_budget: float, max_budget: float, eta: float) -> list[float]:
    count = math.ceil(math.log(max_budget / min_budget, eta) - 1e-9)
    return [min_budget * eta**k for k in range(count)]


def _step(trial: FrozenTrial, rung: float) -> int | None:
    """Return the first step reported at a rung or above it."""
    # Rungs are rounded numbers: 10 * 3.0 ** k.
    steps = [step for step in trial.intermediate_values if step >= rung * (1 - 1e-9)]
    return min(steps, default=None)


def _loss_at(study: Study, trial: FrozenTrial, rung: float) -> float:
    step = _step(trial, rung)
    return math.nan if step is None else sign(study) * trial.intermediate_values[step]
