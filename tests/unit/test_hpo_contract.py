"""Every search method keeps the same promises: valid trials, one seed one search, no loss."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlcourse.hpo.babysitting import Babysitting
from mlcourse.hpo.bohb import BOHB
from mlcourse.hpo.genetic import Genetic
from mlcourse.hpo.grid import Grid
from mlcourse.hpo.halving import SuccessiveHalving
from mlcourse.hpo.hyperband import Hyperband
from mlcourse.hpo.latin_hypercube import LatinHypercube
from mlcourse.hpo.method import Method, Result, Trial
from mlcourse.hpo.pso import PSO
from mlcourse.hpo.random import Random
from mlcourse.hpo.runner import run
from mlcourse.hpo.space import Config, Space
from mlcourse.hpo.tpe import TPE

SPACE = Space(
    {
        "width": (1, 9),
        "dropout": (0.0, 0.5),
        "lr": {"low": 1e-4, "high": 1.0, "log": True},
        "layers": {"low": 1, "high": 100, "log": True},
        "optimizer": ["sgd", "adam", None],
        "nesterov": {"choices": [True, False], "when": {"optimizer": "sgd"}},
        "momentum": {"low": 0.0, "high": 0.99, "when": {"nesterov": [True]}},
        "beta": {"low": 0.5, "high": 0.999, "when": {"optimizer": ["adam", None]}},
    }
)
ONE = Space(
    {"a": (3, 3), "b": ["x"], "c": (0.5, 0.5), "d": {"low": 2, "high": 2, "when": {"b": "x"}}}
)
TRIALS = 60

Make = Callable[[Space, int], Method]


def _babysitting(space: Space, seed: int) -> Method:
    """A player who has made up their mind about every play."""
    game = Babysitting(lambda trial: 0.0, space, budget=TRIALS, seed=seed)
    rng = np.random.default_rng(seed)
    for _ in range(TRIALS):
        game.choose(**space.sample(rng))
    return game


METHODS: dict[str, Make] = {
    "random": lambda space, seed: Random(space, seed),
    "grid": lambda space, seed: Grid(space, 2, seed),
    "latin hypercube": lambda space, seed: LatinHypercube(space, 40, seed),
    "genetic": lambda space, seed: Genetic(space, population=8, seed=seed),
    "babysitting": _babysitting,
    "pso": lambda space, seed: PSO(space, particles=5, seed=seed),
    "tpe": lambda space, seed: TPE(space, startup=8, seed=seed),
    "successive halving": lambda space, seed: SuccessiveHalving(space, 27, 1, 9, eta=3, seed=seed),
    "hyperband": lambda space, seed: Hyperband(space, 1, 9, eta=3, seed=seed),
    "bohb": lambda space, seed: BOHB(space, 1, 9, eta=3, seed=seed),
}
SEEDLESS = {"grid"}


@pytest.fixture(params=METHODS)
def make(request: pytest.FixtureRequest) -> Make:
    return METHODS[request.param]


def loss(trial: Trial) -> float:
    """A smooth loss with many local dips; more budget shows more of it."""
    units = np.nan_to_num(SPACE.encode(trial.config), nan=0.3)
    rough = np.sin(40 * units).sum() / (trial.budget or 9.0)
    return float(((units - 0.6) ** 2).sum() + 0.05 * rough)


def search(
    method: Method, value: Callable[[Trial], float] = loss, trials: int = TRIALS, workers: int = 1
) -> Iterator[Trial]:
    """Yield each trial when it is asked for; values come in another order with more workers."""
    rng = np.random.default_rng(workers)
    under_way: list[Trial] = []
    for _ in range(trials):
        trial = method.ask()
        while trial is None and under_way:
            done = under_way.pop(int(rng.integers(len(under_way))))
            method.tell(done, value(done))
            trial = method.ask()
        if trial is None:
            assert method.finished
            return
        yield trial
        under_way.append(trial)
        if len(under_way) == workers:
            done = under_way.pop(int(rng.integers(len(under_way))))
            method.tell(done, value(done))


def known(method: Method) -> list[tuple[Trial, float | None]]:
    """All that a method was told, by the trials' numbers, after a stay in a file."""
    trials: list[tuple[Trial, float | None]] = [(r.trial, r.value) for r in method.results]
    trials += [(trial, None) for trial in method.pending.values()]
    trials.sort(key=lambda pair: pair[0].number)
    return [(Trial(**json.loads(json.dumps(asdict(t)))), value) for t, value in trials]


@pytest.mark.parametrize("workers", [1, 4])
def test_the_same_seed_asks_for_the_same_trials(make: Make, workers: int) -> None:
    trials = list(search(make(SPACE, 3), workers=workers))
    assert trials == list(search(make(SPACE, 3), workers=workers))
    assert [trial.number for trial in trials] == list(range(len(trials)))
    assert len(trials) >= 30


@pytest.mark.parametrize("name", [name for name in METHODS if name not in SEEDLESS])
def test_another_seed_asks_for_others(name: str) -> None:
    configs = [[t.config for t in search(METHODS[name](SPACE, seed), trials=9)] for seed in (0, 1)]
    assert all(one != other for one, other in zip(*configs, strict=True))


@pytest.mark.parametrize("workers", [1, 4])
def test_each_trial_belongs_to_the_space(make: Make, workers: int) -> None:
    seen: set[tuple[str, ...]] = set()
    for trial in search(make(SPACE, 7), workers=workers):
        SPACE.check(trial.config)
        assert SPACE.decode(np.nan_to_num(SPACE.encode(trial.config))).keys() == trial.config.keys()
        assert trial.budget is None or 0 < trial.budget <= 9
        assert trial.parent is None or trial.parent < trial.number
        seen.add(tuple(trial.config))
    assert len(seen) >= 2  # with momentum and nesterov, with nesterov, with beta


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("order", ["asked", "shuffled"])
def test_a_search_goes_on_as_if_it_had_never_stopped(make: Make, workers: int, order: str) -> None:
    method = make(SPACE, 7)
    rng = np.random.default_rng(0)
    for _ in search(method, workers=workers):
        if rng.random() < 0.7:
            continue
        trials = known(method)
        if order == "shuffled":
            trials = [trials[int(i)] for i in rng.permutation(len(trials))]
        other = make(SPACE, 7)
        other.resume(trials)
        assert other.pending == method.pending
        number = method._next
        assert other.ask() == method._propose(number, np.random.default_rng([7, number]))


@pytest.mark.parametrize("stop", [1, 7, 8, 9, 20, 33])
def test_a_resumed_search_is_the_same_to_its_end(make: Make, stop: int) -> None:
    unbroken = list(search(make(SPACE, 1)))
    method = make(SPACE, 1)
    before = list(search(method, trials=stop))
    resumed = make(SPACE, 1)
    resumed.resume(known(method))
    for trial in list(resumed.pending.values()):
        resumed.tell(trial, loss(trial))
    assert before + list(search(resumed, trials=TRIALS - stop)) == unbroken
    expected = [Result(trial, loss(trial)) for trial in unbroken]
    assert resumed.results == expected[: len(resumed.results)]


def test_asking_in_thought_changes_nothing(make: Make) -> None:
    method, undisturbed = make(SPACE, 2), make(SPACE, 2)
    for trial, other in zip(search(method, trials=40), search(undisturbed, trials=40), strict=True):
        assert trial == other
        for _ in range(2):
            method._propose(method._next, np.random.default_rng(9))


VALUES: dict[str, Callable[[Trial], float]] = {
    "constant": lambda trial: 1.0,
    "infinite": lambda trial: math.inf,
    "minus infinite": lambda trial: -math.inf,
    "nan": lambda trial: math.nan,
    "nan now and then": lambda trial: math.nan if trial.number % 3 else loss(trial),
    "infinite at first": lambda trial: math.inf if trial.number < 30 else loss(trial),
    "ties": lambda trial: float(trial.number % 2),
    "huge": lambda trial: (-1) ** trial.number * 1e308,
    "tiny differences": lambda trial: 1.0 + 1e-16 * loss(trial),
    "a NumPy number": lambda trial: np.float32(loss(trial)),
    "an integer": lambda trial: trial.number % 5,
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("values", VALUES)
def test_odd_values_break_nothing(make: Make, values: str) -> None:
    method = make(SPACE, 4)
    count = 0
    for trial in search(method, VALUES[values], workers=2):
        SPACE.check(trial.config)
        count += 1
    assert count >= 30
    assert all(type(result.value) is float for result in method.results)
    assert not any(math.isnan(result.value) for result in method.results)
    full = max(result.trial.budget or 0 for result in method.results)
    assert method.best.value == min(
        r.value for r in method.results if (r.trial.budget or 0) == full
    )


def test_a_space_of_one_configuration_is_searched(make: Make) -> None:
    only: Config = {"a": 3, "b": "x", "c": 0.5, "d": 2}
    trials = list(search(make(ONE, 0), lambda trial: float(trial.number), trials=30))
    assert trials
    assert all(trial.config == only for trial in trials)


def test_none_means_waiting_or_finished(make: Make) -> None:
    method = make(SPACE, 6)
    waiting: list[Trial] = []
    for _ in range(3 * TRIALS):
        trial = method.ask()
        if trial is not None:
            waiting.append(trial)
            assert method.pending[trial.number] == trial
            continue
        assert waiting or method.finished
        if not waiting:
            break
        while waiting:
            done = waiting.pop()
            method.tell(done, loss(done))
            if done.number % 3 == 0:
                break
        if not method.pending and not method.finished:
            asked = method.ask()
            assert asked is not None
            waiting.append(asked)
    if method.finished:
        assert method.ask() is None


def test_a_second_value_is_refused_and_forgotten(make: Make) -> None:
    method, twin = make(SPACE, 8), make(SPACE, 8)
    for trial in search(method, trials=20):
        last = trial
    assert [*search(twin, trials=20)]
    with pytest.raises(
        ValueError,
        match=r"^trial 19 has a value already: tell each trial once$",
    ):
        method.tell(last, 0.0)
    assert method.results == twin.results
    assert method.ask() == twin.ask()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 10}, r"^width = 10 is outside 1 \.\. 9"),
        ({"width": 2.5}, r"^width = 2\.5 is no integer"),
        ({"optimizer": "lion"}, r"^optimizer = 'lion' is none of 'sgd', 'adam' and None"),
        ({"depth": 3}, r"^the configuration has 'depth', which the space lacks: give width, dro"),
    ],
)
def test_a_foreign_configuration_is_refused_and_forgotten(
    make: Make, change: Config, message: str
) -> None:
    method, twin = make(SPACE, 8), make(SPACE, 8)
    for one in (method, twin):
        assert [*search(one, trials=12)]
    foreign = Trial(500, {**SPACE.sample(np.random.default_rng(0)), **change})
    for tell in (lambda: method.tell(foreign, 0.0), lambda: method.resume([(foreign, None)])):
        with pytest.raises(ValueError, match=message) as error:
            tell()
        assert "\n" not in str(error.value)
    assert method.results == twin.results
    assert method.pending == twin.pending
    assert method.ask() == twin.ask()


def test_the_trials_of_another_search_are_learned(make: Make) -> None:
    """They have no note of ours, and numbers between ours."""
    method = make(SPACE, 9)
    rng = np.random.default_rng(0)
    numbers = set()
    for count, trial in enumerate(search(method, trials=30)):
        assert trial.number not in numbers
        numbers.add(trial.number)
        if count % 4 == 1:
            foreign = Trial(trial.number + 2, SPACE.sample(rng), budget=trial.budget)
            numbers.add(foreign.number)
            method.tell(foreign, loss(foreign))
            assert method.results[-1].trial == foreign
    assert len(method.results) > 30


@pytest.mark.parametrize("seed", [-1, True, 0.5, None])
def test_a_bad_seed_is_refused(make: Make, seed: Any) -> None:
    with pytest.raises(ValueError, match=r"^the seed is .*: give an integer, 0 or more$"):
        make(SPACE, seed)


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"babysitting"}))
def test_a_journal_can_hold_it(name: str, tmp_path: Path) -> None:
    """Arguments are kept under their own names, and notes are what JSON gives back."""
    make, journal = METHODS[name], tmp_path / "search.jsonl"
    unbroken = run(make(SPACE, 5), loss, trials=25)
    run(make(SPACE, 5), loss, trials=15, journal=journal)
    resumed = run(make(SPACE, 5), loss, trials=25, journal=journal)
    assert resumed["config"] == unbroken["config"]
    assert resumed["value"] == unbroken["value"]
