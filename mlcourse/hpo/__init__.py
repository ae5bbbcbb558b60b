"""Hyper-parameter optimisation: spaces and configurations are dicts, methods ask and tell.

A search in three lines:

    from mlcourse.hpo import TPE, run
    method = TPE({"lr": {"low": 1e-4, "high": 1.0, "log": True}, "width": (1, 32)}, seed=0)
    history = run(method, lambda trial: loss(**trial.config), trials=100)

Each name is loaded when it is first asked for, so that a worker loads only what it uses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlcourse.lazy import lazily

if TYPE_CHECKING:
    from mlcourse.hpo.babysitting import Babysitting
    from mlcourse.hpo.bohb import BOHB
    from mlcourse.hpo.genetic import Genetic
    from mlcourse.hpo.grid import Grid
    from mlcourse.hpo.halving import SuccessiveHalving
    from mlcourse.hpo.history import SearchHistory
    from mlcourse.hpo.hyperband import Hyperband
    from mlcourse.hpo.latin_hypercube import LatinHypercube
    from mlcourse.hpo.method import Method, Result, Trial
    from mlcourse.hpo.pso import PSO
    from mlcourse.hpo.random import Random
    from mlcourse.hpo.runner import run
    from mlcourse.hpo.space import Space
    from mlcourse.hpo.tpe import TPE

_MODULES = {
    "BOHB": "bohb",
    "Babysitting": "babysitting",
    "Genetic": "genetic",
    "Grid": "grid",
    "Hyperband": "hyperband",
    "LatinHypercube": "latin_hypercube",
    "Method": "method",
    "PSO": "pso",
    "Random": "random",
    "Result": "method",
    "SearchHistory": "history",
    "Space": "space",
    "SuccessiveHalving": "halving",
    "TPE": "tpe",
    "Trial": "method",
    "run": "runner",
}

__all__ = [
    "BOHB",
    "PSO",
    "TPE",
    "Babysitting",
    "Genetic",
    "Grid",
    "Hyperband",
    "LatinHypercube",
    "Method",
    "Random",
    "Result",
    "SearchHistory",
    "Space",
    "SuccessiveHalving",
    "Trial",
    "run",
]

__getattr__, __dir__ = lazily(__name__, _MODULES)
