"""What happened in a search: a column for each thing that is known, a row for each trial."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from mlcourse.hpo.method import Trial


@dataclass(frozen=True)
class Outcome:
    """What came of a trial: its value, the seconds that it took, and what went wrong, if anything.

    `seconds` is nan where nobody measured. `traceback` is for the person who must mend it.
    """

    value: float
    seconds: float = math.nan
    error: str | None = None
    traceback: str = ""


class SearchHistory(dict[str, list[Any]]):
    """Columns of a search, one entry a trial, in the order in which their values came.

    `number` counts the trials as the method asked for them; `config` is a dict; `budget` is in
    epochs, nan where the method leaves it to the objective; `value` is lower for better, infinite
    for failures; `seconds` is the time of this evaluation; `epochs` is the sum of the budgets so
    far, this trial's included; `error` says in words why there is no value, None if there is one.
    """

    NAMES = ("number", "config", "budget", "value", "seconds", "epochs", "error")

    def __init__(self) -> None:
        super().__init__({name: [] for name in self.NAMES})

    def append(self, trial: Trial, outcome: Outcome) -> None:
        """Add a trial."""
        budget = math.nan if trial.budget is None else float(trial.budget)
        row = {
            "number": trial.number,
            "config": dict(trial.config),
            "budget": budget,
            "value": outcome.value,
            "seconds": outcome.seconds,
            "epochs": budget + (self["epochs"][-1] if self.trials else 0.0),
            "error": outcome.error,
        }
        for name, entry in row.items():
            self[name].append(entry)

    @property
    def trials(self) -> int:
        """The number of trials."""
        return len(self["number"])

    @property
    def full(self) -> list[int]:
        """The rows with the largest budget: values of other budgets do not compare with theirs."""
        largest = max((budget for budget in self["budget"] if budget == budget), default=None)
        return [row for row in range(self.trials) if largest in (None, self["budget"][row])]

    @property
    def best(self) -> dict[str, Any]:
        """The row with the lowest value among those with the largest budget, as a dict.

        Raises ValueError for a history without trials.
        """
        if not self.trials:
            raise ValueError("the history has no trial: there is no best one before the first")
        row = min(self.full, key=lambda row: self["value"][row])
        return {name: column[row] for name, column in self.items()}

    def columns(self) -> dict[str, list[Any]]:
        """Return the columns with one for each parameter instead of `config`.

        A parameter that does not exist in a configuration is None there. One whose name is taken,
        such as `epochs`, is called `config_epochs`.
        """
        parameters = {
            f"config_{name}" if name in self.NAMES else name: [c.get(name) for c in self["config"]]
            for name in dict.fromkeys(name for config in self["config"] for name in config)
        }
        rest = {name: list(self[name]) for name in self.NAMES[2:]}
        return {"number": list(self["number"]), **parameters, **rest}

    def frame(self) -> Any:
        """Return `columns()` as a pandas data frame. Raises ValueError without pandas."""
        try:
            import pandas as pd
        except ImportError:
            raise ValueError(
                "pandas is not installed: install mlcourse[search], or use columns()"
            ) from None
        return pd.DataFrame(self.columns())
