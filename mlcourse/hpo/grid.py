"""Grid search."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlcourse.hpo.design import Design
from mlcourse.hpo.space import Config, Space


class Grid(Design):
    """Try each configuration of a grid once, the last parameter changing fastest.

    `levels` values a range, evenly spread with both ends (all integers, when there are no more),
    as one number or by name; choices are all tried. The configurations are counted, not listed:
    `places` of them, and a grid of millions costs nothing before it is evaluated. The seed changes
    nothing. Raises ValueError below 1 level.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        levels: int | Mapping[str, int],
        seed: int = 0,
    ) -> None:
        self._coarse = Space.of(space).coarse(levels)
        super().__init__(space, int(self._coarse.size), seed)
        self.levels = levels

    def _at(self, place: int, rng: np.random.Generator) -> Config:
        return self._coarse.configuration(place)
