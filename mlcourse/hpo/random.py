"""Random search (Bergstra and Bengio, 2012)."""

from __future__ import annotations

import numpy as np

from mlcourse.hpo.method import Method, Trial


class Random(Method):
    """Draw each configuration from the space, whatever the values told so far."""

    def _propose(self, number: int, rng: np.random.Generator) -> Trial:
        return Trial(number, self.space.sample(rng))
