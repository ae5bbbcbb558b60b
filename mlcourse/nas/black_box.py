"""Searches that only see a network's accuracy after its training: evolution, climbing, a policy.

Each is a `mlcourse.hpo` method for a space of choices, so `hpo.run` and all figures of searches
work with it. Random search and TPE are there already.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcourse.hpo import arguments
from mlcourse.hpo.method import Method, Result, Trial
from mlcourse.hpo.space import Choice, Config, Space, Value


class _OfChoices(Method):
    """A method for spaces in which each parameter is a choice and always exists."""

    def __init__(self, space: Space | Mapping[str, Any], seed: int) -> None:
        super().__init__(space, seed)
        for parameter in self.space.parameters:
            if not isinstance(parameter, Choice) or parameter.when:
                raise ValueError(
                    f"{parameter.name} is a range or has a condition: give a space of lists "
                    "(`coarse` makes one)"
                )
        self.choices: dict[str, tuple[Value, ...]] = {
            one.name: one.choices for one in self.space.parameters if isinstance(one, Choice)
        }

    def _neighbours(self, config: Config) -> list[Config]:
        """Return the configurations that differ in one choice."""
        return [
            {**config, name: choice}
            for name, choices in self.choices.items()
            for i, choice in enumerate(choices)
            if i != self._position(name, config)
        ]

    def _position(self, name: str, config: Mapping[str, Value]) -> int:
        # 1 == True, so the type counts as well.
        kinds = [(type(choice), choice) for choice in self.choices[name]]
        return kinds.index((type(config[name]), config[name]))

    def _positions(self, config: Mapping[str, Value]) -> tuple[int, ...]:
        return tuple(self._position(name, config) for name in self.choices)


class RegularizedEvolution(_OfChoices):
    """Let the best of a few live configurations have a child, and the oldest one die.

    The first `population` configurations are random. Then each is a child: of `sample` members of
    the population, drawn with replacement, the best is the parent, and one choice of the child,
    drawn at random, is another. The population is the last `population` results, so that even the
    best dies in time: an accuracy that was luck does not stay. Raises ValueError for a population
    or a sample below 1, and for a space with a range or a condition.

    Source: Real, Aggarwal, Huang and Le, Regularized evolution for image classifier architecture
    search, 2019, algorithm 1.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        population: int = 20,
        sample: int = 5,
        seed: int = 0,
    ) -> None:
        super().__init__(space, seed)
        self.population = arguments.integer("population", population, 1)
        self.sample = arguments.integer("sample", sample, 1)

    def _propose(self, number: int, rng: np.random.Generator) -> Trial:
        if len(self._seen) < self.population or not self.results:
            return Trial(number, self.space.sample(rng))
        alive = self.results[-self.population :]
        drawn = [alive[i] for i in rng.integers(len(alive), size=self.sample)]
        parent = min(drawn, key=lambda result: result.value).trial.config
        return Trial(number, self._mutated(parent, rng))

    def _mutated(self, parent: Config, rng: np.random.Generator) -> Config:
        several = [name for name, choices in self.choices.items() if len(choices) > 1]
        if not several:
            return parent
        name = several[rng.integers(len(several))]
        choices, now = self.choices[name], self._position(name, parent)
        other = (now + rng.integers(1, len(choices))) % len(choices)
        return {**parent, name: choices[other]}


class LocalSearch(_OfChoices):
    """Climb: try the neighbours in random order, go to the first that is better, start anew on top.

    Neighbours differ in one choice. A configuration is tried once in the whole search, so a climb
    does not follow the path of an earlier one; when nothing is left untried around the best of a
    climb, the next one starts at random. `finished` when the whole space has been tried. With a
    noisy value a climb can end below the top. Raises ValueError for a space with a range or a
    condition.

    Source: White, Nolen and Savani, Exploring the loss landscape in neural architecture search,
    2021, in the variant that goes to the first better neighbour.
    """

    def __init__(self, space: Space | Mapping[str, Any], seed: int = 0) -> None:
        super().__init__(space, seed)
        self._tried: set[tuple[int, ...]] = set()
        self._climb = 0
        self._top: Result | None = None  # the best of this climb

    @property
    def finished(self) -> bool:
        """Whether every configuration has been tried."""
        return len(self._tried) >= self.space.size

    def _propose(self, number: int, rng: np.random.Generator) -> Trial | None:
        if self.finished:
            return None
        if self._top is not None:
            around = self._untried_around(self._top.trial.config)
            if around:
                return self._trial(number, around[rng.integers(len(around))], self._climb)
        if any(_climb_of(trial) == self._climb for trial in self.pending.values()):
            return None  # one of them may be better
        anywhere = self.space.sample(rng)
        while self._positions(anywhere) in self._tried:
            anywhere = self.space.sample(rng)
        return self._trial(number, anywhere, self._climb + bool(self._top))

    def _trial(self, number: int, config: Config, climb: int) -> Trial:
        return Trial(number, config, note={"climb": climb})

    def _untried_around(self, config: Config) -> list[Config]:
        return [one for one in self._neighbours(config) if self._positions(one) not in self._tried]

    def _started(self, trial: Trial) -> None:
        self._tried.add(self._positions(trial.config))
        if _climb_of(trial) > self._climb:
            self._climb, self._top = _climb_of(trial), None

    def _told(self, trial: Trial, value: float) -> None:
        of_this = _climb_of(trial) == self._climb
        if of_this and (self._top is None or value < self._top.value):
            self._top = Result(trial, value)


def _climb_of(trial: Trial) -> int:
    """Return the number of a trial's climb: another method's trial belongs to none."""
    return int(trial.note.get("climb", -1))


class Reinforce(_OfChoices):
    """Draw configurations from a policy, and make likely what was better than usual.

    The policy draws each choice by itself, with the softmax of numbers of its own, zero at first: a
    controller without a recurrent network, enough for a few choices. After each value, with the
    reward -value, the numbers of a choice move by

        lr * (reward - baseline) * (1 for what was drawn, else 0, minus its probability),

    the score-function gradient of the expected reward. The baseline is the mean of earlier rewards
    in which each counts `decay` times the next. An infinite value teaches as the worst finite one
    did. Raises ValueError for an lr that is not positive, a decay outside [0, 1], and for a space
    with a range or a condition.

    Sources: Williams, Simple statistical gradient-following algorithms for connectionist
    reinforcement learning, 1992; Zoph and Le, Neural architecture search with reinforcement
    learning, 2017.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        lr: float = 1.0,
        decay: float = 0.9,
        seed: int = 0,
    ) -> None:
        super().__init__(space, seed)
        self.lr = arguments.above("lr", lr, 0)
        self.decay = arguments.share("decay", decay)
        self._logits = [np.zeros(len(choices)) for choices in self.choices.values()]
        self._baseline: float | None = None
        self._worst = -math.inf

    def probabilities(self) -> dict[str, NDArray[np.float64]]:
        """Return the policy: the probability of each choice, by name."""
        return {
            name: _softmax(logits) for name, logits in zip(self.choices, self._logits, strict=True)
        }

    def _propose(self, number: int, rng: np.random.Generator) -> Trial:
        config = {
            name: self.choices[name][rng.choice(len(shares), p=shares)]
            for name, shares in self.probabilities().items()
        }
        return Trial(number, config)

    def _told(self, trial: Trial, value: float) -> None:
        if value < math.inf:
            self._worst = max(self._worst, value)
        elif self._worst > -math.inf:
            value = self._worst
        else:
            return
        reward = -value
        before = reward if self._baseline is None else self._baseline
        drawn = self._positions(trial.config)
        for logits, position in zip(self._logits, drawn, strict=True):
            gradient = -_softmax(logits)
            gradient[position] += 1
            logits += self.lr * (reward - before) * gradient
        self._baseline = self.decay * before + (1 - self.decay) * reward


def _softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = np.exp(logits - logits.max())
    return shares / shares.sum()
