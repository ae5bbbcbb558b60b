"""A genetic algorithm, in steady state: each child may be born while others are evaluated."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlcourse.hpo import arguments
from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.space import Choice, Space, Units

# How often a child that is a configuration tried before mutates again.
_REDRAWS = 20
# How far outside its parents a child may be, in their distance.
_OUTSIDE = 0.25


class Genetic(Method):
    """Breed configurations from the best that are known: select two, cross them, mutate the child.

    The population is the `population` best results so far; before there are as many trials,
    configurations are drawn from the space. Each parent is the best of `tournament` members drawn
    at random. In a range the child is anywhere between its parents or up to a quarter of their
    distance outside, in a choice it takes the value of one of them. Then about one of its
    parameters mutates: in a range by a normal step of standard deviation `step`, in widths of the
    range; in a choice to any value. What would leave a range stays at its end. A configuration
    tried before teaches nothing, so such a child mutates again, in more parameters and with longer
    steps. Infinite values have no children. The best never die: where values are noisy, a lucky one
    stays. Raises ValueError for a population below 2, a tournament below 1, and a step that is not
    positive and finite.

    Sources: Syswerda, A study of reproduction in generational and steady-state genetic algorithms,
    1991 (steady state); Goldberg and Deb, A comparative analysis of selection schemes used in
    genetic algorithms, 1991 (tournaments); Eshelman and Schaffer, Real-coded genetic algorithms and
    interval-schemata, 1993 (the crossing, BLX-0.25). All was chosen by 100 trials on Rosenbrock's,
    Ackley's, Levy's and Styblinski's functions and on slopes, in 2, 4 and 6 dimensions.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        population: int = 15,
        tournament: int = 5,
        step: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__(space, seed)
        self.population = arguments.integer("population", population, 2)
        self.tournament = arguments.integer("tournament", tournament, 1)
        self.step = arguments.above("step", step, 0)
        self._is_choice = np.array([isinstance(one, Choice) for one in self.space.parameters])
        self._alive: list[tuple[float, int, Units]] = []
        self._tried: set[bytes] = set()

    def _propose(self, number: int, rng: np.random.Generator) -> Trial:
        if len(self._seen) < self.population or not self._alive:
            return Trial(number, self.space.sample(rng))
        child = self._crossed(self._parent(rng), self._parent(rng), rng)
        for attempt in range(_REDRAWS):
            config = self.space.decode(self._mutated(child, attempt, rng))
            if self.space.encode(config).tobytes() not in self._tried:
                break
        return Trial(number, config)

    def _parent(self, rng: np.random.Generator) -> Units:
        """Return the best of a tournament: the members are sorted, so the lowest index."""
        return self._alive[rng.integers(len(self._alive), size=self.tournament).min()][2]

    def _crossed(self, mother: Units, father: Units, rng: np.random.Generator) -> Units:
        """Return a child (d,) of two parents; a coordinate that one lacks is the other's."""
        mother, father = (
            np.where(np.isnan(one), other, one)
            for one, other in ((mother, father), (father, mother))
        )
        share = rng.uniform(-_OUTSIDE, 1 + _OUTSIDE, len(mother))
        share = np.where(self._is_choice, share.round(), share)
        child = np.clip(mother + share * (father - mother), 0, 1)
        return np.where(np.isnan(child), rng.random(len(child)), child)

    def _mutated(self, child: Units, attempt: int, rng: np.random.Generator) -> Units:
        """Return a copy in which about one parameter is another: more after failed attempts."""
        changes = rng.random(len(child)) < (1 + attempt) / len(child)
        steps = rng.normal(0, self.step * (1 + attempt), len(child))
        anywhere = rng.random(len(child))
        mutant = np.where(self._is_choice, anywhere, np.clip(child + steps, 0, 1))
        return np.where(changes, mutant, child)

    def _started(self, trial: Trial) -> None:
        self._tried.add(self.space.encode(trial.config).tobytes())

    def _told(self, trial: Trial, value: float) -> None:
        if value < math.inf:
            # Equal values are told apart by the number, so places are never compared.
            insort(self._alive, (value, trial.number, self.space.encode(trial.config)))
            del self._alive[self.population :]
