"""Hyperband (Li et al., 2018)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mlcourse.hpo.halving import Brackets, budgets, rungs
from mlcourse.hpo.space import Space


def brackets(min_budget: float, max_budget: float, eta: float = 3) -> list[list[tuple[int, float]]]:
    """Return the brackets of Hyperband: for each the (configurations, budget) of its rungs.

    With s_max = floor(log_eta(max_budget / min_budget)), bracket s = s_max, ..., 1, 0 starts
    ceil((s_max + 1) / (s + 1) * eta^s) configurations on max_budget / eta^s, and each costs about
    (s_max + 1) * max_budget. The first halves most boldly; the last is random search on the whole
    budget. Budgets in any unit; where min_budget does not divide into max_budget it is never run
    (see `budgets`). Raises ValueError unless 0 < min_budget <= max_budget and eta > 1. Source: Li
    et al., Hyperband, 2018, algorithm 1. (HpBandSter rounds (s_max + 1) / (s + 1) down before it
    multiplies, so it starts fewer.)
    """
    steps = budgets(min_budget, max_budget, eta)
    count = len(steps)
    # Rounded down a little, as 3 ** 4 * 5 / 5 may come out a little above 81.
    starts = [math.ceil(count / (s + 1) * eta**s - 1e-9) for s in range(count)]
    return [rungs(starts[s], steps[-1 - s], max_budget, eta) for s in reversed(range(count))]


class Hyperband(Brackets):
    """Run successive halving again and again, from many configurations on little to few on much.

    How much can be seen on a small budget is not known, so each of the `brackets` makes another
    bet; after the last one the first begins again, without end. Budgets are in epochs. A promoted
    trial's `parent` is the trial that it goes on from. `ask` never returns None: while a rung waits
    for its last values, the next bracket begins. Raises ValueError as `brackets`. Source: Li et
    al., Hyperband: a novel bandit-based approach to hyperparameter optimization, 2018.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        min_budget: float,
        max_budget: float,
        eta: float = 3,
        seed: int = 0,
    ) -> None:
        super().__init__(space, seed)
        self.brackets = brackets(min_budget, max_budget, eta)
        self.min_budget, self.max_budget, self.eta = min_budget, max_budget, eta

    def _plan(self, bracket: int) -> list[tuple[int, float]]:
        return self.brackets[bracket % len(self.brackets)]
