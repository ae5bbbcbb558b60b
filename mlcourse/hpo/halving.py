"""Successive halving (Jamieson and Talwalkar, 2016)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import count
from typing import Any

import numpy as np

from mlcourse.hpo import arguments
from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.space import Config, Space

# 3 * 243 / 9 may come out a little above or below 81, which must not add or take one.
_ROUNDING = 1e-9


def budgets(min_budget: float, max_budget: float, eta: float = 3) -> list[float]:
    """Return the budgets max_budget / eta^s that are min_budget or more, from the smallest.

    The largest is max_budget itself. The smallest need not be min_budget: of 10 to 40 epochs with
    eta = 3 come 13.3 and 40, and 10 is never run. Raises ValueError unless
    0 < min_budget <= max_budget and eta > 1. Source: Li et al., Hyperband, 2018, section 3.
    """
    arguments.above("eta", eta, 1)
    arguments.above("min_budget", min_budget, 0)
    arguments.above("max_budget", max_budget, 0)
    if min_budget > max_budget:
        raise ValueError(
            f"budgets run from {min_budget} to {max_budget}: give the smaller one first"
        )
    # Counting up is exact where floor(log(1000) / log(10)) is 2: the quotient is 2.99..
    steps = 0
    while min_budget * eta ** (steps + 1) <= max_budget * (1 + _ROUNDING):
        steps += 1
    return [max_budget / eta**s for s in range(steps, -1, -1)]


def rungs(
    configs: int, min_budget: float, max_budget: float, eta: float = 3
) -> list[tuple[int, float]]:
    """Return (configurations, budget) of each rung of successive halving, the smallest first.

    All `configs` run on the smallest of the `budgets`, and rung i keeps floor(configs / eta^i).
    Raises ValueError when none is left on the largest budget. Source: Li et al., Hyperband, 2018,
    algorithm 1.
    """
    arguments.integer("configs", configs, 1)
    steps = budgets(min_budget, max_budget, eta)
    kept = [math.floor(configs / eta**i + _ROUNDING) for i in range(len(steps))]
    if kept[-1] < 1:
        raise ValueError(
            f"of {configs} configurations none is left after {len(steps) - 1} cuts by {eta}: "
            f"give {math.ceil(eta ** (len(steps) - 1) - _ROUNDING)} or more"
        )
    return list(zip(kept, steps, strict=True))


class Bracket:
    """One run of successive halving: what has happened on each rung, and what can start next."""

    def __init__(self, plan: list[tuple[int, float]]) -> None:
        self.plan = plan
        self._trials: list[dict[int, Trial]] = [{} for _ in plan]
        self._values: list[dict[int, float]] = [{} for _ in plan]

    def start(self, rung: int, trial: Trial) -> None:
        """Note that a trial is under way."""
        self._trials[rung][trial.number] = trial

    def tell(self, rung: int, trial: Trial, value: float) -> None:
        """Note the value of a trial that has started."""
        self._values[rung][trial.number] = value

    def ready(self) -> tuple[int, Trial | None] | None:
        """Return the rung on which a trial can start, and the trial that it goes on from.

        On the first rung there is none: a new configuration is needed. Returns None when a value
        is missing, or all have started.
        """
        if len(self._trials[0]) < self.plan[0][0]:
            return 0, None
        for rung in range(1, len(self.plan)):
            parents = {trial.parent for trial in self._trials[rung].values()}
            for trial in self._promoted(rung - 1):
                if trial.number not in parents:
                    return rung, trial
        return None

    @property
    def complete(self) -> bool:
        """Whether every trial of every rung has its value."""
        return all(
            len(values) >= configs
            for values, (configs, _) in zip(self._values, self.plan, strict=True)
        )

    def _promoted(self, rung: int) -> list[Trial]:
        """Return the best trials of a rung, none while one of its values is missing."""
        trials, values = self._trials[rung], self._values[rung]
        if len(values) < max(self.plan[rung][0], len(trials)):
            return []
        order = sorted(values, key=lambda number: (values[number], number))
        return [trials[number] for number in order[: self.plan[rung + 1][0]]]


class Brackets(Method):
    """The base of methods that run one bracket of successive halving after another.

    A trial's note says its bracket, from 0, and its rung. What can start in the oldest bracket
    starts there; while its rung waits for its last values, the next bracket begins, if there is
    one. A subclass says each bracket's `_plan`, and may say how a new configuration is made.
    """

    def __init__(self, space: Space | Mapping[str, Any], seed: int = 0) -> None:
        super().__init__(space, seed)
        self._brackets: dict[int, Bracket] = {}
        self._oldest = 0

    def _plan(self, bracket: int) -> list[tuple[int, float]] | None:
        """Return (configurations, budget) of each rung, None when there is no such bracket."""
        raise NotImplementedError

    def _config(self, rng: np.random.Generator) -> Config:
        """Return a new configuration."""
        return self.space.sample(rng)

    def _propose(self, number: int, rng: np.random.Generator) -> Trial | None:
        for bracket in count(self._oldest):
            plan = self._plan(bracket)
            if plan is None:
                return None
            step = self._brackets.get(bracket, Bracket(plan)).ready()
            if step is not None:
                rung, parent = step
                note = {"bracket": bracket, "rung": rung}
                config = self._config(rng) if parent is None else parent.config
                number_before = None if parent is None else parent.number
                return Trial(number, config, plan[rung][1], number_before, note)
        return None

    def _place(self, trial: Trial) -> tuple[Bracket, int] | None:
        """Return the bracket and the rung of a trial, None for one from another kind of search."""
        bracket, rung = trial.note.get("bracket"), trial.note.get("rung")
        if not isinstance(bracket, int) or not isinstance(rung, int):
            return None
        plan = self._plan(bracket)
        if plan is None or not 0 <= rung < len(plan) or plan[rung][1] != trial.budget:
            return None
        return self._brackets.setdefault(bracket, Bracket(plan)), rung

    def _started(self, trial: Trial) -> None:
        if place := self._place(trial):
            bracket, rung = place
            bracket.start(rung, trial)

    def _told(self, trial: Trial, value: float) -> None:
        if place := self._place(trial):
            bracket, rung = place
            bracket.tell(rung, trial, value)
        while self._oldest in self._brackets and self._brackets[self._oldest].complete:
            self._oldest += 1


class SuccessiveHalving(Brackets):
    """Start many configurations on a small budget, and keep the best 1 / eta on eta times as much.

    Budgets (in epochs) and numbers are those of `rungs`. The best of a rung are promoted when all
    its values are there: the lowest, of equal ones the earlier, infinite ones last. A promoted
    trial's `parent` is the trial that it goes on from. `ask` returns None while a rung waits for
    its last values. Raises ValueError for budgets and numbers that make no rungs. Source: Jamieson
    and Talwalkar, Non-stochastic best arm identification and hyperparameter optimization, 2016,
    with given budgets as in Hyperband.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        configs: int,
        min_budget: float,
        max_budget: float,
        eta: float = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(space, seed)
        self.rungs = rungs(configs, min_budget, max_budget, eta)
        self.configs, self.eta = configs, eta
        self.min_budget, self.max_budget = min_budget, max_budget

    @property
    def finished(self) -> bool:
        """Whether every trial of every rung has its value."""
        return self._oldest == 1

    def _plan(self, bracket: int) -> list[tuple[int, float]] | None:
        return self.rungs if bracket == 0 else None
