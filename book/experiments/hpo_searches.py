"""Searches of hpo.py: by the methods on real trainings, and simulated."""

import itertools
from dataclasses import asdict

from hpo_training import SCALES, jobs, train

from mlcourse.hpo.bohb import BOHB
from mlcourse.hpo.hyperband import Hyperband
from mlcourse.hpo.lenets import SPACE
from mlcourse.hpo.method import Trial
from mlcourse.hpo.pso import PSO, SOURCE
from mlcourse.hpo.random import Random
from mlcourse.hpo.study import Surrogate, repeated, simulate
from mlcourse.hpo.tpe import TPE

#: The source's least budget is a quarter of the largest: 10 of 40 epochs.
LEAST = 1 / 4
#: Trials of a search that may be under way at a time, when they are real.
WORKERS = 4
REAL = ("PSO, source", "TPE", "BOHB")


def methods(seed, epochs):
    """Every method, new."""
    return {
        "random": Random(SPACE, seed=seed),
        "PSO, source": PSO(SPACE, **SOURCE, seed=seed),
        "PSO": PSO(SPACE, seed=seed),
        "TPE": TPE(SPACE, seed=seed),
        "Hyperband": Hyperband(SPACE, LEAST * epochs, epochs, seed=seed),
        "BOHB": BOHB(SPACE, LEAST * epochs, epochs, seed=seed),
    }


class Search:
    """One real search: a method, and the epochs that it has spent."""

    def __init__(self, name, repetition, scale, runs):
        self.name, self.repetition, self.scale = name, repetition, scale
        self.method = methods(repetition, scale.epochs)[name]
        self.spent, self.over = 0, False
        mine = [run for run in runs if self.owns(run)]
        for run in sorted(mine, key=lambda run: run["told"]):
            self.tell(run)

    def owns(self, run):
        """Whether a record is of this search."""
        what = ("search", self.name, self.repetition)
        return (run["part"], run.get("method"), run.get("repetition")) == what

    def ask(self):
        """The trials to train next, as far as the budget goes."""
        asked = []
        while len(asked) < WORKERS and not self.over:
            trial = self.method.ask()
            if trial is None:
                break
            epochs = round(trial.budget or self.scale.epochs)
            most = self.scale.real_trainings * self.scale.epochs
            if self.spent + epochs > most:
                self.over = True
                break
            self.spent += epochs
            asked.append((epochs, self._member(trial, epochs)))
        return asked

    def _member(self, trial, epochs):
        place = 100 * REAL.index(self.name) + self.repetition
        return {
            "part": "search",
            "method": self.name,
            "repetition": self.repetition,
            **asdict(trial),
            "told": len(self.method.results),
            "epochs": epochs,
            "seed": 1_000_000 + 10_000 * place + trial.number,
        }

    def tell(self, run):
        """Tell the method what a training gave."""
        names = ("number", "config", "budget", "parent", "note")
        trial = Trial(**{name: run[name] for name in names})
        if trial.number not in self.method.pending:
            self.spent += run["epochs"]
        self.method.tell(trial, 1 - run["validation"][-1])


def search(record, scale_name, pool, write):
    """Do the real searches side by side, and write after each round."""
    scale = SCALES[scale_name]
    searches = [
        Search(name, repetition, scale, record["runs"])
        for repetition in range(scale.searches)
        for name in REAL
    ]
    while asked := [one for of in searches for one in of.ask()]:
        made = []
        for epochs in sorted({epochs for epochs, _ in asked}):
            members = [one for length, one in asked if length == epochs]
            order = 100_000 + 100 * len(record["runs"]) + epochs
            made += jobs(members, order, epochs)
        done = pool.map(train, made, itertools.repeat(scale_name))
        runs = sorted(itertools.chain(*done), key=lambda run: run["number"])
        for run in runs:
            next(of for of in searches if of.owns(run)).tell(run)
        record["runs"] += runs
        write()
        spent = ", ".join(f"{of.name} {of.spent}" for of in searches)
        print(f"epochs of the searches: {spent}", flush=True)


def choices(record, scale):
    """What each search chose: (method, repetition, config).

    Random search is the landscape's first runs, as many for each repetition.
    """
    found = [
        run
        for run in record["runs"]
        if run["part"] == "search" and run["epochs"] == scale.epochs
    ]
    landscape = repeated(record["runs"], "landscape")
    for i in range(scale.searches):
        first = i * scale.real_trainings
        part = landscape[first : first + scale.real_trainings]
        yield "random", i, max(part, key=lambda one: one.last[0]).config
        for name in REAL:
            mine = [
                run
                for run in found
                if (run["method"], run["repetition"]) == (name, i)
            ]
            best = max(mine, key=lambda run: run["validation"][-1])
            yield name, i, best["config"]


def incumbents(record, scale):
    """Train what was chosen again, with fresh seeds, as jobs."""
    chosen = list(choices(record, scale))
    made = []
    for again in range(scale.again):
        members = [
            {
                "part": "incumbent",
                "method": name,
                "repetition": repetition,
                "config": config,
                "seed": 2_000_000 + 1000 * again + i,
            }
            for i, (name, repetition, config) in enumerate(chosen)
        ]
        made += jobs(members, 900_000 + 100 * again, scale.epochs)
    return made


def simulated(record, scale_name, pool):
    """Simulate searches of all methods on a surrogate of the landscape."""
    scale = SCALES[scale_name]
    seeds = range(scale.simulated)
    parts = [seeds[i::8] for i in range(min(8, len(seeds)))]
    landscape = repeated(record["runs"], "landscape")
    done = pool.map(
        _simulated,
        itertools.repeat(landscape),
        itertools.repeat(scale),
        parts,
    )
    return sorted(
        itertools.chain(*done), key=lambda run: (run["method"], run["seed"])
    )


def _simulated(landscape, scale, seeds):
    surrogate = Surrogate(landscape, scale.checks)
    budget = scale.trainings * scale.epochs
    runs = []
    for seed in seeds:
        for name, method in methods(seed, scale.epochs).items():
            found = simulate(method, surrogate, budget, seed)
            run = {"method": name, "seed": seed, **asdict(found)}
            runs.append(_rounded(run))
    return runs


def _rounded(run):
    """Five digits; no number (nan) is None."""
    for name, value in run.items():
        if isinstance(value, float):
            run[name] = round(value, 5)
        elif name == "curve":
            run[name] = [None if v != v else round(v, 5) for v in value]
    return run
