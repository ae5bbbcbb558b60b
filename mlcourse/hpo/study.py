"""What the trainings of book/experiments/hpo.py say: noise, spread, and searches simulated on them.

Accuracies are shares of right answers, higher is better; methods minimise 1 - accuracy.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcourse.hpo.comparison import pairs_needed
from mlcourse.hpo.gaussian_process import Process
from mlcourse.hpo.method import Method, Trial

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Repeated:
    """The runs of one configuration: validation (runs, checks) and test (runs,) accuracies.

    The checks are the epochs after which validation accuracy was measured; the test accuracy is
    that of the last epoch. Runs with the same of the `orders` (runs,) were trained together, on the
    same order of the images, whatever their configurations.
    """

    config: dict[str, int]
    orders: NDArray[np.int64]
    validation: Floats
    test: Floats

    @property
    def last(self) -> Floats:
        """The validation accuracy at the end of each run, (runs,)."""
        return self.validation[:, -1]


def repeated(runs: Sequence[Mapping[str, Any]], part: str) -> list[Repeated]:
    """Collect the runs of one part ("landscape", "noise"), those of a configuration together.

    Configurations stand in the order of their lowest seeds, and each one's runs in the order of
    theirs. Raises ValueError when the part has no runs.
    """
    found: dict[str, list[Mapping[str, Any]]] = {}
    for run in sorted(runs, key=lambda run: run["seed"]):
        if run["part"] == part:
            found.setdefault(json.dumps(run["config"], sort_keys=True), []).append(run)
    if not found:
        raise ValueError(f"there are no runs of {part!r}: do book/experiments/hpo.py first")
    made = []
    for of_config in found.values():
        made.append(
            Repeated(
                config=dict(of_config[0]["config"]),
                orders=np.array([run["order"] for run in of_config]),
                validation=np.array([run["validation"] for run in of_config], dtype=np.float64),
                test=np.array([run["test"] for run in of_config], dtype=np.float64),
            )
        )
    return made


@dataclass(frozen=True)
class Components:
    """Standard deviations: `between` configurations' means, and `within` the runs of one."""

    between: float
    within: float

    @property
    def reliability(self) -> float:
        """The share of the variance of single runs that is due to the configuration."""
        total = self.between**2 + self.within**2
        return self.between**2 / total if total else math.nan


def components(values: Sequence[Sequence[float]] | Floats) -> Components:
    """Split the variance of runs, (configurations, runs each), into that between and within.

    One-way analysis of variance with random effects: the mean of r runs has the variance
    between^2 + within^2 / r, so within^2 / r is taken off. Raises ValueError unless there are two
    configurations or more, with two runs or more each. Source: Searle, Casella and McCulloch,
    Variance components, 1992, section 3.5.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or min(table.shape) < 2:
        raise ValueError(
            f"the values have the shape {table.shape}: give two runs or more of each of two "
            "configurations or more"
        )
    within = table.var(axis=1, ddof=1).mean()
    between = table.mean(axis=1).var(ddof=1) - within / table.shape[1]
    return Components(math.sqrt(max(between, 0.0)), math.sqrt(within))


class Surrogate:
    """A stand-in for training: Gaussian processes for the mean accuracy, real noise around it.

    Fitted to the landscape, one process for each check and one for the test accuracy, on the
    logarithms of the widths. The runs of networks that were trained together have a common part
    (`order_noise`, a standard deviation for each process), which is not taken for the widths'. The
    noise of a simulated run is what one of the `neighbours` runs with the most similar expected
    accuracy had, so its size and its skewness may depend on the accuracy, and the checks of a run
    are correlated as they were. Needs two runs of each configuration; raises ValueError otherwise,
    and for `checks` that do not fit.
    """

    def __init__(
        self, landscape: Sequence[Repeated], checks: Sequence[int], neighbours: int = 40
    ) -> None:
        if any(one.validation.shape != (2, len(checks)) for one in landscape):
            raise ValueError(
                f"the landscape's runs do not have {len(checks)} checks, two runs a "
                "configuration: give what hpo.py wrote"
            )
        self.checks = tuple(checks)
        self._names = list(landscape[0].config)
        # (configurations, runs, checks and test)
        accuracies = np.array([np.column_stack([one.validation, one.test]) for one in landscape])
        X = np.repeat(self._log([one.config for one in landscape]), 2, axis=0)
        orders = np.concatenate([one.orders for one in landscape])
        table = accuracies.reshape(len(X), -1)
        self._processes = [Process(X, column, orders) for column in table.T]
        self.order_noise = np.array([process.group_noise for process in self._processes])
        expected = np.column_stack([process.mean(X) for process in self._processes])
        order = np.argsort(expected[:, -2], kind="stable")
        self._sorted = expected[order, -2]
        self._noise = (table - expected)[order]
        self._neighbours = min(neighbours, len(table))

    def mean(self, config: Mapping[str, Any]) -> Floats:
        """Return the expected validation accuracy at each check and, last, on the test images."""
        x = self._log([config])
        return np.array([process.mean(x)[0] for process in self._processes])

    def run(self, config: Mapping[str, Any], rng: np.random.Generator) -> Floats:
        """Return one simulated training's accuracies, in the order of `mean`."""
        mean = self.mean(config)
        start = int(np.searchsorted(self._sorted, mean[-2])) - self._neighbours // 2
        start = min(max(start, 0), len(self._noise) - self._neighbours)
        noise = self._noise[start : start + self._neighbours]
        drawn: Floats = mean + noise[rng.integers(self._neighbours)] - noise.mean(axis=0)
        return drawn

    def _log(self, configs: Sequence[Mapping[str, Any]]) -> Floats:
        return np.log([[float(config[name]) for name in self._names] for config in configs])


def held_out(landscape: Sequence[Repeated], folds: int = 5, seed: int = 0) -> tuple[Floats, Floats]:
    """Return predicted and observed mean accuracies at the last check, (configurations,) each.

    Each configuration is predicted by a process that has not seen it. Where the surrogate misses
    nothing, the variance of the differences is that of the noise, within^2 / 2, and a little more.
    Raises ValueError unless there are 2 folds or more and as many configurations.
    """
    if not 2 <= folds <= len(landscape):
        raise ValueError(f"folds is {folds}: give 2 to {len(landscape)}, the configurations")
    landscape = [replace(one, validation=one.validation[:, -1:]) for one in landscape]
    observed = np.array([one.last.mean() for one in landscape])
    predicted = np.empty_like(observed)
    for part in np.array_split(np.random.default_rng(seed).permutation(len(landscape)), folds):
        unseen = set(part.tolist())
        seen = [one for i, one in enumerate(landscape) if i not in unseen]
        surrogate = Surrogate(seen, checks=[0])
        predicted[part] = [surrogate.mean(landscape[i].config)[0] for i in part]
    return predicted, observed


@dataclass(frozen=True)
class Simulated:
    """A simulated search: what it chose, and how good that is.

    `seen` is the validation accuracy that the choice was made by; `validation` and `test` are the
    expected ones of the chosen configuration, without the noise. `curve` has, for each place of
    `spent` (epochs), the expected validation accuracy of what was best by then (nan before the
    first training at full length).
    """

    config: dict[str, Any]
    seen: float
    validation: float
    test: float
    spent: list[float]
    curve: list[float]
    trainings: int


def simulate(
    method: Method, surrogate: Surrogate, epochs: float, seed: int = 0, places: int = 10
) -> Simulated:
    """Let a method search on the surrogate until `epochs` are spent; one trial at a time.

    A trial without a budget, and one of the largest, takes as many epochs as the last check; every
    training starts afresh, as HpBandSter's do. A budget that is no check counts as the nearest one.
    A search that would go over `epochs` stops. Raises ValueError when not one full training fits.
    """
    rng = np.random.default_rng([seed, 1])
    full = surrogate.checks[-1]
    if epochs < full:
        raise ValueError(f"epochs is {epochs}: give at least the {full} of one training")
    spent, trainings, best = 0.0, 0, math.inf
    chosen: dict[str, Any] = {}
    steps: list[tuple[float, dict[str, Any]]] = []
    while (trial := method.ask()) is not None:
        cost = full if trial.budget is None else trial.budget
        if spent + cost > epochs + 1e-9:
            break
        spent, trainings = spent + cost, trainings + 1
        loss = 1 - surrogate.run(trial.config, rng)[_check(trial, surrogate.checks)]
        method.tell(trial, float(loss))
        if cost == full and loss < best:
            best, chosen = float(loss), dict(trial.config)
            steps.append((spent, chosen))
    if not chosen:
        raise ValueError(
            f"no training of {full} epochs was done in {epochs} epochs: give more epochs"
        )
    expected = surrogate.mean(chosen)
    at = [epochs * (i + 1) / places for i in range(places)]
    return Simulated(
        config=chosen,
        seen=1 - best,
        validation=float(expected[-2]),
        test=float(expected[-1]),
        spent=at,
        curve=_curve(steps, at, surrogate),
        trainings=trainings,
    )


def _check(trial: Trial, checks: Sequence[int]) -> int:
    if trial.budget is None:
        return len(checks) - 1
    return int(np.argmin([abs(check - trial.budget) for check in checks]))


def _curve(
    steps: Sequence[tuple[float, dict[str, Any]]], at: Sequence[float], surrogate: Surrogate
) -> list[float]:
    means = [float(surrogate.mean(config)[-2]) for _, config in steps]
    passed = np.searchsorted([spent for spent, _ in steps], np.array(at) + 1e-9, side="right")
    return [means[i - 1] if i else math.nan for i in passed]


@dataclass(frozen=True)
class Ranking:
    """Two methods compared by what one search of each is worth.

    `difference` is the mean of a - b, `sd` the standard deviation of the difference of two single
    searches, and `single` the probability that one search of each puts the better mean first.
    `pairs` is how many searches of each a test needs to see the difference with probability 0.8.
    """

    a: str
    b: str
    difference: float
    sd: float
    single: float
    pairs: float


def ranking(values: Mapping[str, Sequence[float]], noise: float = 0.0) -> list[Ranking]:
    """Compare each two methods by the values of many searches of each, higher is better.

    `noise` is the standard deviation of what measuring a search's choice adds: of one more
    training, when a choice is judged by training it again. Raises ValueError when a method has
    fewer than two values.
    """
    for name, of_method in values.items():
        if len(of_method) < 2:
            raise ValueError(f"{name} has {len(of_method)} values: give those of many searches")
    names = list(values)
    return [
        _ranking(a, b, np.asarray(values[a]), np.asarray(values[b]), noise)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
    ]


def _ranking(a: str, b: str, first: Floats, second: Floats, noise: float) -> Ranking:
    difference = float(first.mean() - second.mean())
    sd = math.sqrt(first.var(ddof=1) + second.var(ddof=1) + 2 * noise**2)
    return Ranking(
        *(a, b, difference, sd, _agreement(first, second, difference, noise)),
        pairs=pairs_needed(difference, sd) if difference and sd else math.inf,
    )


def _agreement(first: Floats, second: Floats, difference: float, noise: float) -> float:
    """The share of all pairs of searches, judged with noise, with the sign of the difference."""
    gaps = np.subtract.outer(first, second) * (1 if difference >= 0 else -1)
    if not noise:
        return float((gaps > 0).mean() + (gaps == 0).mean() / 2)
    # P(gap + e > 0) for e ~ N(0, 2 noise^2).
    return float(np.mean([0.5 * math.erfc(-gap / (2 * noise)) for gap in gaps.ravel()]))


def best_of(
    landscape: Sequence[Repeated], draws: int, repeats: int = 2000, seed: int = 0
) -> dict[str, Floats]:
    """Repeat a random search of `draws` trainings on the landscape itself, no model between.

    Each repeat draws configurations without replacement and chooses by their first run's
    validation accuracy. Returns, (repeats,) each: `seen`, the accuracy that it was chosen by;
    `again`, the validation accuracy of the choice's second run, which is not selected; and `test`,
    that run's test accuracy. Raises ValueError for more draws than configurations, or none.
    """
    if not 1 <= draws <= len(landscape):
        raise ValueError(f"draws is {draws}: give 1 to {len(landscape)}, the trained ones")
    rng = np.random.default_rng(seed)
    first = np.array([one.last[0] for one in landscape])
    again = np.array([one.last[1] for one in landscape])
    test = np.array([one.test[1] for one in landscape])
    chosen = np.empty(repeats, dtype=np.int64)
    for i in range(repeats):
        drawn = rng.choice(len(first), size=draws, replace=False)
        chosen[i] = drawn[np.argmax(first[drawn])]
    return {"seen": first[chosen], "again": again[chosen], "test": test[chosen]}
