"""The table of all trainings of the small space, and searches on it, whose regret is known."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlcourse.hpo.method import Method
from mlcourse.hpo.study import Components, components
from mlcourse.nas.small_space import from_config, neighbours, representatives

Floats = NDArray[np.float64]


class Table:
    """What book/experiments/nas_table.py measured: look-ups by any of the 4,096 cells.

    Accuracies are shares of right answers. `checks` are the epochs after which validation accuracy
    was measured, the last one being the length of a training. Raises ValueError when a cell was
    not trained.
    """

    def __init__(self, record: Mapping[str, Any]) -> None:
        self.checks = tuple(int(check) for check in record["checks"])
        rows = {row["cell"]: row for row in record["cells"]}
        self._simplest = representatives()
        #: The trained cells: one of those that compute the same function.
        self.trained = sorted(set(self._simplest.values()))
        missing = [cell for cell in self.trained if not rows.get(cell, {"test": []})["test"]]
        if missing:
            raise ValueError(
                f"{len(missing)} cells were not trained, {missing[0]} among them: let "
                "book/experiments/nas_table.py finish"
            )
        self._validation = {cell: np.array(rows[cell]["validation"]) for cell in self.trained}
        self._test = {cell: np.array(rows[cell]["test"]) for cell in self.trained}
        self._seconds = {cell: float(np.mean(rows[cell]["seconds"])) for cell in self.trained}
        self._mean_test = {cell: float(runs.mean()) for cell, runs in self._test.items()}
        self.best = max(self.trained, key=self._mean_test.__getitem__)

    @classmethod
    def read(cls, path: Path) -> Table:
        """Read a file that the experiment wrote."""
        return cls(json.loads(path.read_text(encoding="utf-8")))

    def validation(self, cell: str) -> Floats:
        """Return the validation accuracies of a cell's runs, (runs, checks)."""
        return self._validation[self._simplest[cell]]

    def test_runs(self, cell: str) -> Floats:
        """Return the test accuracies of a cell's runs, (runs,)."""
        return self._test[self._simplest[cell]]

    def test(self, cell: str) -> float:
        """Return a cell's mean test accuracy."""
        return self._mean_test[self._simplest[cell]]

    def regret(self, cell: str) -> float:
        """Return how far a cell's mean test accuracy is below that of the best cell."""
        return self._mean_test[self.best] - self.test(cell)

    def seconds(self, cell: str, epochs: float | None = None) -> float:
        """Return the processor's seconds of a training, of all epochs or of so many."""
        return self._seconds[self._simplest[cell]] * (self.checks[-1] if epochs is None else epochs)

    def spread(self, cells: Sequence[str] | None = None) -> Components:
        """Return the standard deviations of test accuracy between cells, and between seeds.

        Of all trained cells, or of those given; as many seeds of each as all of them have.
        """
        runs = [self.test_runs(cell) for cell in cells or self.trained]
        fewest = min(map(len, runs))
        return components(np.array([of_cell[:fewest] for of_cell in runs]))

    def peaks(self) -> list[str]:
        """Return the trained cells that no change of one edge makes better, the best first."""
        highest: dict[str, bool] = {}
        for cell, simplest in self._simplest.items():
            here = all(self.test(other) <= self.test(cell) for other in neighbours(cell))
            highest[simplest] = highest.get(simplest, True) and here
        return sorted((cell for cell, top in highest.items() if top), key=self.regret)


@dataclass(frozen=True)
class Searched:
    """A search on the table, after each of its evaluations.

    Spent so far are `trainings`, in full ones, and `seconds` of the processor for them. `regret` is
    how far the mean test accuracy of the cell that the search would choose is below the best,
    infinite before the first full training, and `cell` the last choice.
    """

    cell: str
    trainings: Floats
    seconds: Floats
    regret: Floats


def search(method: Method, table: Table, trainings: float, seed: int = 0) -> Searched:
    """Let a method search the small space: its value of a cell is 1 - validation accuracy.

    Each evaluation shows the accuracy of one of the cell's trainings, drawn at random, as the noise
    of a real one. A trial with a budget shows the check nearest to it, and costs its epochs; the
    search ends before the first trial that would go over the costs of so many full `trainings`.
    What it chooses is the cell with the highest accuracy that it saw after a full training. Raises
    ValueError when not one evaluation fits.
    """
    rng = np.random.default_rng([seed, 2])
    length = table.checks[-1]
    cell, best = "", math.inf
    spent = np.zeros(2)
    seen: list[tuple[float, float, float]] = []
    while (trial := method.ask()) is not None:
        of_trial = from_config(trial.config)
        epochs = length if trial.budget is None else trial.budget
        if spent[0] + epochs / length > trainings + 1e-9:
            break
        check = int(np.argmin([abs(at - epochs) for at in table.checks]))
        runs = table.validation(of_trial)
        loss = 1 - float(runs[rng.integers(len(runs)), check])
        method.tell(trial, loss)
        spent += (epochs / length, table.seconds(of_trial, epochs))
        if epochs == length and loss < best:
            cell, best = of_trial, loss
        seen.append((*spent, table.regret(cell) if cell else math.inf))
    if not seen:
        raise ValueError(f"trainings is {trainings}: give enough for one evaluation")
    return Searched(cell, *np.array(seen).T)


def regret_at(
    searches: Sequence[Searched],
    places: Sequence[float] | Floats,
    spent: Literal["trainings", "seconds"],
) -> Floats:
    """Return each search's regret when so many trainings, or seconds, were spent.

    The shape is (searches, places). Infinite before the first full training; a search that has
    ended keeps its choice.
    """
    table = []
    for one in searches:
        of_one = one.trainings if spent == "trainings" else one.seconds
        # Budgets such as 12 / 3 add up to whole numbers only nearly.
        passed = np.searchsorted(of_one, np.asarray(places) + 1e-9, side="right")
        table.append(np.concatenate([[math.inf], one.regret])[passed])
    return np.array(table)
