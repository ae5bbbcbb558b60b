"""Compare search methods, ours and peers', on tasks whose lowest loss is known.

    python benchmarks/hpo.py [--out book/results/hpo_peers.json]

Regret is the exact loss of what a search recommends (the best value that it saw, on the largest
budget) above the lowest loss of the space. Each method searches with seeds 0 .. 19; a task with
noise has that of the search's seed. Reported are the median, the quartiles and a 95 % bootstrap
interval of the median; and the time of a suggestion after 500 trials in 4 dimensions, the methods
taking turns.

Peers are Optuna (in the extra `search`), nevergrad and pyswarms (`pip install nevergrad pyswarms`);
one that is not installed is left out. nevergrad's swarms have 40 particles if not told otherwise,
which move once or twice in 100 evaluations, so the better one runs with the 6 of ours as well;
pyswarms has no default settings, and gets 10 particles and those of its own introduction.

Our PSO's defaults (numbers of particles and starts, inertia, pulls, limit, what happens at walls
and at places tried before) were chosen on other functions and seeds: Rosenbrock, Ackley, Levy,
Styblinski-Tang, Rastrigin and an ellipsoid on grids of 64^2, 32^4 and 20^6 points, with the bottom
at random places and half of them turned at random, by the median and the upper quartile of the
regret after 100 evaluations.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable
from contextlib import chdir
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mlcourse.hpo.bohb import BOHB
from mlcourse.hpo.comparison import bootstrap_interval
from mlcourse.hpo.genetic import Genetic
from mlcourse.hpo.halving import budgets
from mlcourse.hpo.hyperband import Hyperband
from mlcourse.hpo.latin_hypercube import LatinHypercube
from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.pso import PSO, SOURCE
from mlcourse.hpo.random import Random
from mlcourse.hpo.space import Choice, Config, Parameter, Space
from mlcourse.hpo.tasks import Task, branin, counting_ones, hartmann6
from mlcourse.hpo.tpe import TPE

#: The course's LeNet-5 search, where suggestions are timed.
LENET = {"C1": (1, 32), "C3": (1, 32), "C5": (40, 130), "F6": (125, 325)}


@dataclass(frozen=True)
class Contest:
    """A task for each seed, and how much a search may spend: evaluations at the largest budget."""

    task: Callable[[int], Task]
    evaluations: int
    budgets: tuple[float, float] | None = None

    @property
    def largest(self) -> float | None:
        """The largest budget, None for a task that has none."""
        return self.budgets[1] if self.budgets else None


CONTESTS = {
    "hartmann6": Contest(lambda seed: hartmann6(), 100),
    "branin": Contest(lambda seed: branin(), 100),
    "counting_ones": Contest(counting_ones, 60, (9, 243)),
}
GRIDS = ("hartmann6", "branin")

Make = Callable[[Any, Contest, int], Method]
Search = Callable[[Task, Contest, int], Config]


@dataclass(frozen=True)
class Entrant:
    """A method in the comparison: how it searches, where it takes part, which package it needs.

    With `make` its suggestions are timed, too.
    """

    search: Search
    contests: tuple[str, ...]
    needs: str | None = None
    make: Make | None = None


def asked(make: Make, contests: Iterable[str] = CONTESTS, needs: str | None = None) -> Entrant:
    """Return an entrant that is asked and told; `make` is called with space, contest and seed."""
    return Entrant(partial(recommended, make), tuple(contests), needs, make)


def recommended(make: Make, task: Task, contest: Contest, seed: int) -> Config:
    """Search until the contest's budget is spent, and return the best configuration seen."""
    method = make(task.space, contest, seed)
    left = contest.evaluations * (contest.largest or 1)
    while left > 0:
        trial = method.ask()
        budget = trial.budget or contest.largest
        method.tell(trial, task.loss(trial.config, budget))
        left -= budget or 1
    return method.best.trial.config


class Peer(Method):
    """Another library's method as one of ours; it keeps its own state, so nothing resumes it."""

    def __init__(self, space: Any, seed: int) -> None:
        super().__init__(space, seed)
        self._handles: dict[int, Any] = {}

    def _propose(self, number: int, rng: np.random.Generator) -> Trial:
        config, self._handles[number] = self._suggested()
        return Trial(number, config)

    def _told(self, trial: Trial, value: float) -> None:
        self._answered(self._handles.pop(trial.number), value)

    def _suggested(self) -> tuple[Config, Any]:
        raise NotImplementedError

    def _answered(self, handle: Any, value: float) -> None:
        raise NotImplementedError


class OptunaTPE(Peer):
    """Optuna's TPE with its default settings."""

    def __init__(self, space: Any, seed: int) -> None:
        super().__init__(space, seed)
        import optuna

        from mlcourse.hpo.optuna_adapters import distributions

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self._study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        self._distributions = distributions(self.space)

    def _suggested(self) -> tuple[Config, Any]:
        trial = self._study.ask(self._distributions)
        return dict(trial.params), trial

    def _answered(self, handle: Any, value: float) -> None:
        self._study.tell(handle, value)


def optuna_hyperband(task: Task, contest: Contest, seed: int) -> Config:
    """Search with Optuna's TPE and its Hyperband pruner; each look at a trial costs its budget."""
    import optuna

    from mlcourse.hpo.optuna_adapters import distributions

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    smallest, largest = contest.budgets
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed),
        pruner=optuna.pruners.HyperbandPruner(smallest, largest, reduction_factor=3),
        study_name="benchmark",  # deals trials to brackets, so a random name is another search
    )
    kinds = distributions(Space(task.space))
    steps = [int(budget) for budget in budgets(smallest, largest)]
    left = contest.evaluations * largest
    while left > 0:
        trial = study.ask(kinds)
        for step in steps:
            value = task.loss(trial.params, step)
            left -= step
            trial.report(value, step)
            if step < largest and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                break
        else:
            study.tell(trial, value)
    return study.best_params


class NevergradPSO(Peer):
    """nevergrad's PSO: as named there, or a variant of it by its own settings."""

    def __init__(self, space: Any, seed: int, **settings: Any) -> None:
        super().__init__(space, seed)
        import nevergrad as ng

        kinds = {p.name: _nevergrad(p) for p in self.space.parameters}
        parametrization = ng.p.Dict(**kinds)
        parametrization.random_state = np.random.RandomState(seed)
        kind = ng.optimizers.ConfPSO(**settings) if settings else ng.optimizers.PSO
        self._optimizer = kind(parametrization, num_workers=1)

    def _suggested(self) -> tuple[Config, Any]:
        candidate = self._optimizer.ask()
        return dict(candidate.value), candidate

    def _answered(self, handle: Any, value: float) -> None:
        self._optimizer.tell(handle, value)


def _nevergrad(parameter: Parameter) -> Any:
    import nevergrad as ng

    if isinstance(parameter, Choice):
        return ng.p.Choice(list(parameter.choices))
    scalar = ng.p.Scalar(lower=parameter.low, upper=parameter.high)
    return scalar.set_integer_casting() if parameter.integer else scalar


def pyswarms(task: Task, contest: Contest, seed: int) -> Config:
    """Search with pyswarms' global-best swarm of 10 in the unit cube, decoded as ours is."""
    np.random.seed(seed)  # its only source of random numbers
    space = Space(task.space)
    seen: list[tuple[float, int, Config]] = []

    def losses(places: np.ndarray) -> np.ndarray:
        configs = [space.decode(place) for place in places]
        values = [task.loss(config, contest.largest) for config in configs]
        seen.extend(zip(values, range(len(seen), len(seen) + len(values)), configs, strict=True))
        return np.array(values)

    # It opens a log file in the working directory as soon as it is imported.
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder, chdir(folder):
        from pyswarms.single import GlobalBestPSO

        size = len(space.parameters)
        optimizer = GlobalBestPSO(
            n_particles=10,
            dimensions=size,
            options={"c1": 0.5, "c2": 0.3, "w": 0.9},
            bounds=(np.zeros(size), np.ones(size)),
        )
        optimizer.optimize(losses, iters=contest.evaluations // 10, verbose=False)
    return min(seen)[2]


ENTRANTS = {
    "random": asked(lambda space, contest, seed: Random(space, seed)),
    "Latin hypercube": asked(
        lambda space, contest, seed: LatinHypercube(space, contest.evaluations, seed)
    ),
    "genetic": asked(lambda space, contest, seed: Genetic(space, seed=seed)),
    "PSO": asked(lambda space, contest, seed: PSO(space, seed=seed)),
    "PSO, the source's settings": asked(
        lambda space, contest, seed: PSO(space, **SOURCE, seed=seed), GRIDS
    ),
    "TPE": asked(lambda space, contest, seed: TPE(space, seed=seed)),
    "Hyperband": asked(
        lambda space, contest, seed: Hyperband(space, *contest.budgets, seed=seed),
        ("counting_ones",),
    ),
    "BOHB": asked(
        lambda space, contest, seed: BOHB(space, *contest.budgets, seed=seed),
        ("counting_ones",),
    ),
    "nevergrad PSO": asked(
        lambda space, contest, seed: NevergradPSO(space, seed), GRIDS, "nevergrad"
    ),
    "nevergrad RealSpacePSO": asked(
        lambda space, contest, seed: NevergradPSO(space, seed, transform="identity"),
        GRIDS,
        "nevergrad",
    ),
    "nevergrad RealSpacePSO, 6 particles": asked(
        lambda space, contest, seed: NevergradPSO(space, seed, transform="identity", popsize=6),
        GRIDS,
        "nevergrad",
    ),
    "pyswarms, 10 particles": Entrant(pyswarms, GRIDS, "pyswarms"),
    "Optuna TPE": asked(lambda space, contest, seed: OptunaTPE(space, seed), needs="optuna"),
    "Optuna TPE and Hyperband": Entrant(optuna_hyperband, ("counting_ones",), "optuna"),
}


def installed(entrants: dict[str, Entrant]) -> dict[str, Entrant]:
    """Return the entrants whose packages are there, and say in a line each which are not."""
    missing = {e.needs for e in entrants.values() if e.needs and find_spec(e.needs) is None}
    for package in sorted(missing):
        print(f"{package} is not installed: its methods are left out")
    return {name: e for name, e in entrants.items() if e.needs not in missing}


def regret_rows(entrants: dict[str, Entrant], seeds: int) -> list[dict]:
    """Return a row for each contest and each of its entrants."""
    return [
        regret_row(contest, name, [regret(entrant, contest, seed) for seed in range(seeds)])
        for contest in CONTESTS
        for name, entrant in entrants.items()
        if contest in entrant.contests
    ]


def regret(entrant: Entrant, contest: str, seed: int) -> float:
    """Return the regret of one search."""
    task = CONTESTS[contest].task(seed)
    return task.regret(entrant.search(task, CONTESTS[contest], seed))


def regret_row(contest: str, name: str, regrets: list[float]) -> dict:
    """Summarise the regrets of one entrant: quartiles, and an interval of the median."""
    first, median, third = np.quantile(regrets, [0.25, 0.5, 0.75])
    low, high = bootstrap_interval(regrets)
    numbers = {"median": median, "low": low, "high": high, "quartile1": first, "quartile3": third}
    rounded = {key: round(float(value), 4) for key, value in numbers.items()}
    every = [round(value, 4) for value in regrets]
    return {"task": contest, "method": name, **rounded, "regrets": every}


def suggestion_rows(entrants: dict[str, Entrant], trials: int, repeats: int) -> list[dict]:
    """Return the time of a suggestion of each entrant, after some trials in LeNet's space."""
    contest = Contest(lambda seed: branin(), trials + repeats, (9, 243))
    methods = {n: e.make(LENET, contest, 0) for n, e in entrants.items() if e.make is not None}
    times: dict[str, list[float]] = {name: [] for name in methods}
    for count in range(trials + repeats):
        for name, method in methods.items():
            start = time.perf_counter()
            trial = method.ask()
            took = time.perf_counter() - start
            # A bowl that no method finishes: its bottom is in the middle of the space.
            method.tell(trial, float(np.sum((method.space.encode(trial.config) - 0.5) ** 2)))
            if count >= trials:
                times[name].append(took * 1e3)
    return [suggestion_row(name, times[name]) for name in methods]


def suggestion_row(name: str, times: list[float]) -> dict:
    """Summarise the times (ms) of one entrant's suggestions."""
    low, median, high = statistics.quantiles(times, n=4)
    return {
        "method": name,
        "ms": round(median, 3),
        "quartile1_ms": round(low, 3),
        "quartile3_ms": round(high, 3),
    }


def regret_table(rows: list[dict], seeds: int) -> Table:
    """The regrets as a table for the terminal."""
    made = Table(title=f"Regret, {seeds} seeds: median [95 % interval], quartiles")
    for column in ("task", "method"):
        made.add_column(column)
    for column in ("median", "interval", "quartiles"):
        made.add_column(column, justify="right")
    for one in rows:
        interval = f"[{one['low']:.3f}, {one['high']:.3f}]"
        quartiles = f"{one['quartile1']:.3f} - {one['quartile3']:.3f}"
        made.add_row(one["task"], one["method"], f"{one['median']:.3f}", interval, quartiles)
    return made


def suggestion_table(rows: list[dict], trials: int) -> Table:
    """The times as a table for the terminal."""
    made = Table(title=f"A suggestion after {trials} trials in 4 dimensions, ms")
    made.add_column("method")
    for column in ("median", "quartiles"):
        made.add_column(column, justify="right")
    for one in rows:
        quartiles = f"{one['quartile1_ms']:.2f} - {one['quartile3_ms']:.2f}"
        made.add_row(one["method"], f"{one['ms']:.2f}", quartiles)
    return made


def main() -> None:
    """Measure, print the tables and, with --out, store the numbers."""
    from mlcourse.book.runs import machine

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file too")
    parser.add_argument("--quick", action="store_true", help="3 seeds, times after 30 trials")
    options = parser.parse_args()
    seeds, trials, repeats = (3, 30, 10) if options.quick else (20, 500, 100)
    load = round(os.getloadavg()[0], 1)
    if load > 1:
        print(f"other programs are running (load {load}): expect longer times")
    entrants = installed(ENTRANTS)
    regrets = regret_rows(entrants, seeds)
    suggestions = suggestion_rows(entrants, trials, repeats)
    console = Console(width=120)
    console.print(regret_table(regrets, seeds))
    console.print(suggestion_table(suggestions, trials))
    if options.out:
        packages = sorted({e.needs for e in entrants.values() if e.needs})
        record = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "command": "python benchmarks/hpo.py --out book/results/hpo_peers.json",
            "seeds": list(range(seeds)),
            "trials_before_suggestions": trials,
            "machine": machine(),
            "load_at_start": load,
            "packages": {name: version(name) for name in packages},
            "regrets": regrets,
            "suggestions": suggestions,
        }
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
