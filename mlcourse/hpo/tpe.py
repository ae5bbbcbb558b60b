"""Tree-structured Parzen estimators (Bergstra et al., 2011)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcourse.hpo import arguments
from mlcourse.hpo.densities import Density
from mlcourse.hpo.method import Method, Result, Trial
from mlcourse.hpo.space import Config, Space, Units


class TPE(Method):
    """Ask for what looks most like the good configurations so far, and least like the bad ones.

    The results are split in two (`split`), and each part gives a density over the space: l where
    good configurations are found, g where bad ones are. The loss itself is not modelled. Candidates
    are drawn from l, and the one with the highest l / g is asked for: no other has a higher
    `expected_improvement`.

    The first `startup` configurations are random, until so many values have been told. Trials under
    way count as bad ones, so several workers do not crowd together. A configuration that was tried
    before is not asked for again, as its loss is known; a random one takes the place if all
    candidates were. Raises ValueError when `startup` or `candidates` is below 1, or `gamma`, the
    share of the good, is no number from 0 to 1.

    Sources: Bergstra et al., Algorithms for hyper-parameter optimization, 2011; there l and g are
    products of one density for each parameter, here one density of them all, which also sees which
    values are good together. gamma and the rule for the kernels' width (`densities.bandwidth`) were
    chosen on functions that the benchmarks lack.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        startup: int = 10,
        candidates: int = 24,
        gamma: float = 0.1,
        seed: int = 0,
    ) -> None:
        super().__init__(space, seed)
        self.startup = arguments.integer("startup", startup, 1)
        self.candidates = arguments.integer("candidates", candidates, 1)
        self.gamma = arguments.share("gamma", gamma)
        self._model = Model(self.space, self.candidates, self.gamma)

    def _propose(self, number: int, rng: np.random.Generator) -> Trial:
        if len(self.results) < self.startup:
            return Trial(number, self.space.sample(rng))
        return Trial(number, self._model.suggest(self.results, self.pending, rng))

    def _started(self, trial: Trial) -> None:
        self._model.add(trial)


def split(
    values: Sequence[float] | NDArray[np.float64], gamma: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the places of the good values and of the bad ones, each from the lowest on.

    Of n values, ceil(gamma n) are good. Of equal ones the earlier counts as lower, and infinite
    ones are never good.
    """
    losses = np.asarray(values, dtype=np.float64)
    order = np.argsort(losses, kind="stable")
    # 0.07 * 100 is a little above 7 in floating point, and must not become 8.
    count = min(math.ceil(gamma * len(losses) - 1e-9), np.count_nonzero(losses < math.inf))
    return order[:count], order[count:]


def expected_improvement(ratio: float | NDArray[np.float64], gamma: float) -> Any:
    """Return the expected improvement of configurations where l / g is `ratio`, of any shape.

    A configuration x improves on the threshold y* by max(y* - y, 0). TPE says p(x | y) = l(x) for
    y < y* and g(x) otherwise, with p(y < y*) = gamma. By Bayes' rule x is a good one with
    probability gamma l / (gamma l + (1 - gamma) g), and the mean improvement of the good ones does
    not depend on x. Returned is the multiple of a random configuration's:

        EI = 1 / (gamma + (1 - gamma) g / l)

    It is 1 where l = g, at most 1 / gamma, and rises with l / g, so the highest ratio has the
    highest EI whatever gamma is. Source: Bergstra et al., 2011, section 4.1.
    """
    return ratio / (gamma * np.asarray(ratio) + (1 - gamma))


class Model:
    """The two densities, made anew from results whenever a configuration is suggested.

    It keeps the encoded configuration of each trial that it was shown.
    """

    def __init__(self, space: Space, candidates: int, gamma: float) -> None:
        self.space = space
        self.candidates = candidates
        self.gamma = gamma
        self._points: dict[int, Units] = {}
        self._tried: set[bytes] = set()

    def add(self, trial: Trial) -> None:
        """Remember where a trial is; it must be shown before it is used."""
        point = self.space.encode(trial.config)
        self._points[trial.number] = point
        self._tried.add(point.tobytes())

    def densities(
        self, results: Iterable[Result], under_way: Iterable[int] = ()
    ) -> tuple[Density, Density]:
        """Return l and g; trials under way are bad."""
        # In the trials' order, so that the order in which values came does not matter.
        known = sorted(results, key=lambda result: result.trial.number)
        good, bad = split([result.value for result in known], self.gamma)
        numbers = [result.trial.number for result in known]
        worse = [*(numbers[i] for i in bad), *sorted(under_way)]
        return self._density([numbers[i] for i in good]), self._density(worse)

    def suggest(
        self, results: Iterable[Result], under_way: Iterable[int], rng: np.random.Generator
    ) -> Config:
        """Return the candidate with the highest l / g, of those drawn from l and not tried before.

        If all candidates were tried, a random configuration is returned.
        """
        l, g = self.densities(results, under_way)
        points = l.sample(self.candidates, rng)
        ratios = l.log(points) - g.log(points)
        for i in np.argsort(-ratios, kind="stable"):
            config = self.space.decode(points[i])
            if self.space.encode(config).tobytes() not in self._tried:
                return config
        return self.space.sample(rng)

    def _density(self, numbers: Sequence[int]) -> Density:
        points = [self._points[number] for number in numbers]
        return Density(self.space, np.array(points).reshape(-1, len(self.space.parameters)))
