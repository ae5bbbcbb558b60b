"""Babysitting: a person chooses each configuration, and random search is the judge."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

from mlcourse.hpo import arguments
from mlcourse.hpo.history import Outcome, SearchHistory
from mlcourse.hpo.method import Method, Result, Trial
from mlcourse.hpo.random import Random
from mlcourse.hpo.space import Config, Space, Value, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Objective = Callable[[Trial], float]

# The comparison's sentence counts at these numbers of plays, and at the last.
_COUNTED = (1, 2, 5, 10, 20, 50, 100)


class Babysitting(Method):
    """A game: choose configurations by hand, `budget` of them, and compare with random search.

    `game.play(lr=0.1, width=32)` evaluates a configuration and shows its value, the best so far
    and how many plays are left; bad input costs no play, and no more does an objective that raises.
    `game.compare()` draws your best so far over the plays, beside that of random searches.

    It is a method like the others, too: `choose` what to play next, and `ask` returns it, or None
    until something is chosen. `objective(trial)` returns the loss of a trial, lower for better, and
    must be cheap: `compare` evaluates it thousands of times. The seed is that of the random
    searches. Raises ValueError for a budget below 1.
    """

    def __init__(
        self,
        objective: Objective,
        space: Space | Mapping[str, Any],
        budget: int = 20,
        seed: int = 0,
    ) -> None:
        super().__init__(space, seed)
        self.objective = objective
        self.budget = arguments.integer("budget", budget, 1)
        self._chosen: list[Config] = []
        self._searches: list[list[float]] = []

    def play(self, **config: Value) -> Play:
        """Evaluate a configuration; what is returned shows itself in one line.

        Raises ValueError when it is not in the space, and when no play is left.
        """
        config = self._checked(config)
        trial = Trial(self._next, config)
        self.tell(trial, self.objective(trial))
        return Play(self.results[-1], self.best, self.left)

    def choose(self, **config: Value) -> None:
        """Say what the next `ask` shall return, after what was chosen before; errors as `play`."""
        self._chosen.append(self._checked(config))

    @property
    def left(self) -> int:
        """The number of plays that are left."""
        return max(0, self.budget - len(self._seen) - len(self._chosen))

    @property
    def finished(self) -> bool:
        """Whether every play of the budget has begun."""
        return len(self._seen) >= self.budget

    def history(self) -> SearchHistory:
        """Return the plays with a value as the history of a search, for its plots."""
        history = SearchHistory()
        for result in self.results:
            history.append(result.trial, Outcome(result.value))
        return history

    def compare(self, searches: int = 200, ax: Axes | None = None) -> Comparison:
        """Draw the best value after each play, over the band of so many random searches.

        The band holds the middle 80 % of the searches. They have the budget of the game, and the
        same objective. Raises ValueError before the first play, and for less than one search.
        """
        arguments.integer("searches", searches, 1)
        if not self.results:
            raise ValueError("there is no play to compare yet: call play first")
        mine = _best_so_far([result.value for result in self.results])
        comparison = Comparison(mine, self._random_searches(searches))
        comparison.draw(ax)
        return comparison

    def _checked(self, config: Mapping[str, Value]) -> Config:
        if not self.left:
            raise ValueError(f"all {self.budget} plays are made: look at compare()")
        self.space.check(config)
        return {name: config[name] for name in self.space.names if name in config}

    def _random_searches(self, searches: int) -> list[list[float]]:
        for number in range(len(self._searches), searches):
            method = Random(self.space, seed=self.seed + number)
            values = []
            for _ in range(self.budget):
                trial = method.ask()
                assert trial is not None  # random search never waits
                method.tell(trial, self.objective(trial))
                values.append(method.results[-1].value)
            self._searches.append(_best_so_far(values))
        return self._searches[:searches]

    def _propose(self, number: int, rng: np.random.Generator) -> Trial | None:
        if self.finished or not self._chosen:
            return None
        return Trial(number, self._chosen[0])

    def _started(self, trial: Trial) -> None:
        if trial.config in self._chosen:
            self._chosen.remove(trial.config)


@dataclass(frozen=True)
class Play:
    """What came of a play: its result, the best result so far, and the number of plays left."""

    result: Result
    best: Result
    left: int

    def __repr__(self) -> str:
        """Say it in one line."""
        best = "the best so far"
        if self.best is not self.result:
            setting = ", ".join(
                f"{name}={value!r}" for name, value in self.best.trial.config.items()
            )
            best = f"the best so far is {self.best.value:.4g} ({setting})"
        left = "1 play is left" if self.left == 1 else f"{self.left or 'no'} plays are left"
        return f"{self.result.value:.4g}: {best}; {left}"


@dataclass(frozen=True, repr=False)
class Comparison:
    """The best value after each play, and after each evaluation of each random search."""

    best: Sequence[float]
    random: Sequence[Sequence[float]]

    @property
    def beaten(self) -> list[int]:
        """For each number of plays, how many random searches were worse after as many."""
        return [sum(one[i] > mine for one in self.random) for i, mine in enumerate(self.best)]

    def __repr__(self) -> str:
        """Say in one sentence how many random searches were beaten."""
        plays = len(self.best)
        counted = [count for count in _COUNTED if count < plays] + [plays]
        beaten = [str(self.beaten[count - 1]) for count in counted]
        return (
            f"After {listed(map(str, counted))} play{'s' if plays > 1 else ''} "
            f"you were ahead of {listed(beaten)} of {len(self.random)} random searches."
        )

    def draw(self, ax: Axes | None = None) -> Axes:
        """Draw the best value so far over the band of the middle 80 % of the random searches."""
        import matplotlib.pyplot as plt
        from matplotlib.ticker import MaxNLocator

        from mlcourse import plotting

        ax = ax or plt.gca()
        low, middle, high = (_quantile(self.random, share) for share in (0.1, 0.5, 0.9))
        x = range(1, len(low) + 1)
        label = f"80 % of {len(self.random)} random searches"
        look: dict[str, Any] = {"color": plotting.COLOURS[1], "alpha": 0.25, "linewidth": 0}
        ax.fill_between(x, low, high, label=label, step="post", **look)
        curves = {"you": _finite(self.best), "their median": middle}
        for i, (name, curve) in enumerate(curves.items()):
            plotting.line(ax, x[: len(curve)], curve, i, name)
            ax.lines[-1].set(drawstyle="steps-post", markevery=max(1, len(x) // 8))
        ax.set(xlabel="play", ylabel="best value so far (lower is better)")
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.legend()
        return ax


def _best_so_far(values: Sequence[float]) -> list[float]:
    return list(accumulate(values, min))


def _quantile(curves: Sequence[Sequence[float]], share: float) -> list[float]:
    """Return a quantile of the curves at each place: one of the values, so infinite ones may be."""
    rows = np.sort(np.array(curves), axis=0)
    return _finite(rows[round(share * (len(rows) - 1))].tolist())


def _finite(curve: Sequence[float]) -> list[float]:
    return [value if math.isfinite(value) else math.nan for value in curve]
