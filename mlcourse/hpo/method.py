"""What every search method is: an object that is asked for trials and told their values."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mlcourse.hpo import arguments
from mlcourse.hpo.space import Config, Space


@dataclass(frozen=True)
class Trial:
    """One evaluation that a method asks for.

    `budget` is in epochs, None where the method leaves it to the objective. `parent` is the number
    of the trial that evaluated the same configuration on a smaller budget: training can go on from
    its checkpoint. `note` is what the method must remember about this trial: plain data.
    """

    number: int
    config: Config
    budget: float | None = None
    parent: int | None = None
    note: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Result:
    """A trial and its value: lower is better, infinite for a run that failed or diverged."""

    trial: Trial
    value: float


class Method:
    """The base of all search methods: `ask()` for a trial, evaluate it, `tell` its value.

    Values are losses: lower is better. Several trials may be asked for before the first is told.
    All that a method knows is its trials, those with a value and those under way, and each random
    number comes from the seed and the trial's number. So a method that is shown the trials of
    another one of its kind (`resume`) continues where that one stood: after a crash, in another
    process, or on another machine.

    A subclass writes `_propose`, and `_started` and `_told` if it keeps more than the trials.
    """

    def __init__(self, space: Space | Mapping[str, Any], seed: int = 0) -> None:
        self.space = Space.of(space)
        self.seed = arguments.integer("the seed", seed, 0)
        self.results: list[Result] = []
        self.pending: dict[int, Trial] = {}
        self._seen: set[int] = set()
        self._next = 0

    def ask(self, number: int | None = None) -> Trial | None:
        """Return the next trial, or None.

        None means that a result must be told first, or, when `finished`, that the search is over.
        Workers that do not see one another give the trial's `number`, unique among them.
        """
        number = self._next if number is None else number
        trial = self._propose(number, np.random.default_rng([self.seed, number]))
        if trial is not None:
            self._start(trial)
        return trial

    def tell(self, trial: Trial, value: float) -> None:
        """Record a trial's value, nan counting as infinite.

        A trial that this object never asked for is taken as well, so that a search can learn from
        another's. Raises ValueError for a second value, for a configuration that does not belong
        to the space, and for one that is not the trial's.
        """
        if not isinstance(trial, Trial):
            raise ValueError(f"{trial!r} is told a value: give the trial that ask() returned")
        loss = arguments.loss(value)
        if loss is None:
            raise ValueError(f"trial {trial.number} has the value {value!r}: give a number")
        if trial.number in self._seen and trial.number not in self.pending:
            raise ValueError(f"trial {trial.number} has a value already: tell each trial once")
        if trial.number not in self._seen:
            self._start(trial)
        started = self.pending[trial.number]
        if trial.config != started.config:
            raise ValueError(
                f"trial {trial.number} is under way with {started.config}: "
                f"give {trial.config} a number of its own"
            )
        del self.pending[trial.number]
        self.results.append(Result(trial, loss))
        self._told(trial, loss)

    def resume(self, trials: Iterable[tuple[Trial, float | None]]) -> None:
        """Learn the trials of an earlier search, in their order: None for those without a value."""
        for trial, value in trials:
            if value is None:
                self._start(trial)
            else:
                self.tell(trial, value)

    @property
    def finished(self) -> bool:
        """Whether no trial will ever be asked for again."""
        return False

    @property
    def best(self) -> Result:
        """The result with the lowest value, among those with the largest budget.

        Raises ValueError before the first result.
        """
        if not self.results:
            raise ValueError("there is no result yet: tell the value of a trial first")
        largest = max(result.trial.budget or 0 for result in self.results)
        full = [result for result in self.results if (result.trial.budget or 0) == largest]
        return min(full, key=lambda result: result.value)

    def _start(self, trial: Trial) -> None:
        if trial.number in self._seen:
            raise ValueError(f"trial {trial.number} is known already: resume from each trial once")
        self.space.check(trial.config)
        self._seen.add(trial.number)
        self._next = max(self._next, trial.number + 1)
        self.pending[trial.number] = trial
        self._started(trial)

    def _propose(self, number: int, rng: np.random.Generator) -> Trial | None:
        """Return the trial to evaluate next; changes nothing."""
        raise NotImplementedError

    def _started(self, trial: Trial) -> None:
        """Take note of a trial that is under way."""

    def _told(self, trial: Trial, value: float) -> None:
        """Learn from a value; the trial has started before."""
