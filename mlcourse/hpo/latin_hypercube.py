"""Latin hypercube sampling (McKay, Beckman and Conover, 1979)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcourse.hpo import arguments
from mlcourse.hpo.design import Design
from mlcourse.hpo.space import Config, Space


class LatinHypercube(Design):
    """Draw `trials` configurations that spread evenly over each parameter's range.

    Each range is cut into as many equal shares as there are trials (equal in the logarithm with
    `log`), and each share is hit once, at a random place in it; which shares of two parameters meet
    is random. So every parameter alone is covered as by a grid with `trials` levels. Raises
    ValueError for fewer than one trial. Source: McKay, Beckman and Conover, A comparison of three
    methods for selecting values of input variables, 1979, section 2.
    """

    def __init__(self, space: Space | Mapping[str, Any], trials: int, seed: int = 0) -> None:
        super().__init__(space, arguments.integer("trials", trials, 1), seed)
        self.trials = trials
        self._shares = shares(trials, len(self.space.parameters), seed)

    def _at(self, place: int, rng: np.random.Generator) -> Config:
        mine = self._shares[place]
        return self.space.decode((mine + rng.random(len(mine))) / self.places)


def shares(trials: int, dimensions: int, seed: int = 0) -> NDArray[np.int64]:
    """Return which share each trial takes of each dimension: each column a permutation, (n, d)."""
    # A trial's own numbers come from the entropy [seed, number]: these must be others.
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    columns = [rng.permutation(trials) for _ in range(dimensions)]
    return np.stack(columns, axis=1)
