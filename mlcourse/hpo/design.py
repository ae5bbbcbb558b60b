"""The base of the methods whose configurations are all known before the first value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.space import Config, Space


class Design(Method):
    """A list of configurations, each tried once, whatever the values told so far.

    Trial 0 is place 0 of the list, and so on. A place that is left over (a trial of another search
    had its number) comes at the end, so `finished` means that every place has been tried.
    """

    def __init__(self, space: Space | Mapping[str, Any], places: int, seed: int = 0) -> None:
        super().__init__(space, seed)
        self.places = places
        self._tried: set[int] = set()
        self._first_left = 0

    @property
    def finished(self) -> bool:
        """Whether every configuration has been asked for."""
        return self._first_left == self.places

    def _at(self, place: int, rng: np.random.Generator) -> Config:
        """Return the configuration at a place of the list."""
        raise NotImplementedError

    def _propose(self, number: int, rng: np.random.Generator) -> Trial | None:
        if self.finished:
            return None
        # Workers that know nothing of each other have numbers of their own, so different places.
        place = number if number < self.places and number not in self._tried else self._first_left
        return Trial(number, self._at(place, rng), note={"place": place})

    def _started(self, trial: Trial) -> None:
        if "place" in trial.note:
            self._tried.add(trial.note["place"])
        while self._first_left in self._tried:
            self._first_left += 1
