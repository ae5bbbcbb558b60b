"""Asynchronous successive halving as a pruner of Optuna."""

from __future__ import annotations

import math

import numpy as np
from optuna.pruners import BasePruner
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, TrialState

from mlcourse.hpo import arguments, hyperband
from mlcourse.hpo.halving import budgets

_GOLDEN = (math.sqrt(5) - 1) / 2


class HalvingPruner(BasePruner):
    """Stop a trial at a rung where its value is not among the best 1/eta of those before it.

    The rungs are the `budgets` (in epochs) of synchronous halving, but for the largest, at which
    training ends anyway. The objective calls `trial.report(value, step)`, where `step` counts the
    epochs done, and then `trial.should_prune()`; a rung's value is the first that is reported at it
    or above. At each rung a trial is compared with those that have reached it so far: it goes on
    when fewer than floor(n / eta) of these n, itself among them, are better (or none is, while n is
    below eta). Nan stops.

    Synchronous halving (`SuccessiveHalving`) fills a rung first and then keeps exactly its best
    1/eta. This pruner judges on arrival, so no worker waits; but the first trials meet few rivals,
    so more than 1/eta go on, and one that was stopped too early is gone.

    With `brackets` above 1, trials are dealt to the first brackets of `Hyperband` in its
    proportions; bracket b has no first b rungs, and its trials compete among themselves. Raises
    ValueError unless 0 < min_budget <= max_budget and eta > 1, and for more brackets than there
    are budgets. Source: Li et al., A system for massively parallel hyperparameter tuning, 2020,
    algorithm 2; there trials pause and may go on later, here they stop.
    """

    def __init__(
        self, min_budget: float, max_budget: float, eta: float = 3, brackets: int = 1
    ) -> None:
        plans = hyperband.brackets(min_budget, max_budget, eta)
        if arguments.integer("brackets", brackets, 1) > len(plans):
            raise ValueError(f"brackets is {brackets}: these budgets allow at most {len(plans)}")
        self.eta = eta
        self.rungs = budgets(min_budget, max_budget, eta)[:-1]
        starts = [plan[0][0] for plan in plans[:brackets]]
        self._shares = np.cumsum(starts) / sum(starts)

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


def _step(trial: FrozenTrial, rung: float) -> int | None:
    """Return the first step reported at a rung or above it."""
    # A rung may come out a little above a whole number of epochs.
    steps = [step for step in trial.intermediate_values if step >= rung * (1 - 1e-9)]
    return min(steps, default=None)


def _loss_at(study: Study, trial: FrozenTrial, rung: float) -> float:
    step = _step(trial, rung)
    return math.nan if step is None else sign(study) * trial.intermediate_values[step]
