"""The genetic algorithm selects, crosses and mutates as it says, and finds more than chance."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from mlcourse.hpo.genetic import Genetic
from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.random import Random
from mlcourse.hpo.space import Config

CUBE = {"a": (0.0, 1.0), "b": (0.0, 1.0), "kind": ["x", "y", "z"]}


def search(method: Method, loss: Any, trials: int) -> list[Config]:
    configs = []
    for _ in range(trials):
        trial = method.ask()
        assert trial is not None
        method.tell(trial, loss(trial.config))
        configs.append(trial.config)
    return configs


def bred(results: dict[float, Config], **settings: Any) -> Genetic:
    """A search that knows these results alone."""
    method = Genetic(CUBE, population=len(results), **settings)
    for number, (value, config) in enumerate(results.items()):
        method.tell(Trial(number, config), value)
    return method


def children(method: Genetic, count: int = 400) -> list[Config]:
    return [
        method._propose(number, np.random.default_rng(number)).config for number in range(count)
    ]


def test_the_first_trials_are_random_search_s() -> None:
    first = search(Genetic(CUBE, population=12, seed=5), lambda config: config["a"], 12)
    assert first == search(Random(CUBE, seed=5), lambda config: 0.0, 12)


def test_a_child_is_its_parents_in_a_box_with_about_one_parameter_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    method = bred(
        {1.0: {"a": 0.2, "b": 0.5, "kind": "x"}, 2.0: {"a": 0.4, "b": 0.9, "kind": "z"}},
        tournament=1,
    )
    young = children(method)
    outside = Counter(
        (not 0.15 <= c["a"] <= 0.45) + (not 0.4 <= c["b"] <= 1) + (c["kind"] == "y")  # type: ignore[operator]
        for c in young
    )
    assert outside[0] > outside[1] > outside[2] > 0
    # Without mutation all are in or a quarter beside the box; no choice is between its parents'.
    monkeypatch.setattr(method, "_mutated", lambda child, attempt, rng: child)
    young = children(method)
    a, b = ([c[name] for c in young] for name in "ab")
    assert 0.15 <= min(a) < 0.17  # type: ignore[type-var, operator]
    assert 0.43 < max(a) <= 0.45  # type: ignore[type-var, operator]
    assert 0.4 <= min(b) < 0.43  # type: ignore[type-var, operator]
    assert 0.97 < max(b) <= 1  # type: ignore[type-var, operator]
    kinds = Counter(c["kind"] for c in young)
    assert set(kinds) == {"x", "z"}
    assert abs(kinds["x"] - 200) < 5 * 10
    # Sides are chosen for each parameter alone.
    assert len({(c["a"] > 0.3, c["b"] > 0.7, c["kind"]) for c in young}) == 8  # type: ignore[operator]


def test_each_parameter_mutates_with_a_chance_of_one_in_d() -> None:
    method = Genetic(CUBE, step=0.01)
    child = np.array([0.3, 0.6, 0.5])
    mutants = np.array([method._mutated(child, 0, np.random.default_rng(i)) for i in range(3000)])
    changed = mutants != child
    assert changed.mean(axis=0) == pytest.approx([1 / 3] * 3, abs=5 * math.sqrt(2 / 9 / 3000))
    steps = (mutants - child)[changed[:, 0], 0]
    assert steps.mean() == pytest.approx(0, abs=5 * 0.01 / math.sqrt(len(steps)))
    assert steps.std() == pytest.approx(0.01, rel=0.1)
    anywhere = mutants[changed[:, 2], 2]
    assert np.histogram(anywhere, 3, (0, 1))[0].min() > 250
    certain = np.array([method._mutated(child, 2, np.random.default_rng(i)) for i in range(9)])
    assert (certain != child).all()


def test_a_step_over_the_edge_ends_there() -> None:
    method = Genetic(CUBE, step=9.0)
    mutants = [
        method._mutated(np.array([0.3, 0.6, 0.5]), 2, np.random.default_rng(i)) for i in range(99)
    ]
    ends = Counter(place for mutant in mutants for place in mutant[:2] if place in (0, 1))
    assert min(ends[0.0], ends[1.0]) > 60


def test_a_tournament_prefers_the_best_by_its_size() -> None:
    """The best of n members wins a tournament of t with the chance 1 - (1 - 1/n)^t."""
    results = {float(i): {"a": i / 10, "b": 0.5, "kind": "x"} for i in range(5)}
    for size in (1, 3):
        method = bred(dict(reversed(results.items())), tournament=size)
        wins = sum(method._parent(np.random.default_rng(i))[0] == 0 for i in range(2000)) / 2000
        chance = 1 - 0.8**size
        assert wins == pytest.approx(chance, abs=5 * math.sqrt(chance * (1 - chance) / 2000))


def test_the_population_is_the_best_whenever_they_came_and_infinite_ones_are_out() -> None:
    method = Genetic(CUBE, population=3)
    config: Config = {"a": 0.5, "b": 0.5, "kind": "x"}
    for number, value in enumerate([5.0, math.inf, 1.0, 1.0, math.nan, 0.0, 7.0]):
        method.tell(Trial(number, config | {"a": number / 10}), value)
    assert [(value, number) for value, number, _ in method._alive] == [(0.0, 5), (1.0, 2), (1.0, 3)]


def test_what_one_parent_lacks_comes_from_the_other_and_what_both_lack_is_drawn() -> None:
    space = {
        "kind": ["x", "y"],
        "deep": {"low": 0.0, "high": 1.0, "when": {"kind": "x"}},
        "wide": {"low": 0.0, "high": 1.0, "when": {"kind": "y"}},
    }
    method = Genetic(space, population=2)
    nan, rng = math.nan, np.random.default_rng(0)
    only_x = [
        method._crossed(np.array([0.25, 0.7, nan]), np.array([0.25, 0.7, nan]), rng)
        for _ in range(50)
    ]
    assert {child[1] for child in only_x} == {0.7}
    assert len({child[2] for child in only_x}) == 50
    both = [
        method._crossed(np.array([0.25, 0.7, nan]), np.array([0.75, nan, 0.1]), rng)
        for _ in range(50)
    ]
    assert {tuple(child[1:]) for child in both} == {(0.7, 0.1)}
    assert {child[0] for child in both} == {0.25, 0.75}


def test_no_configuration_is_tried_twice_while_others_are_left() -> None:
    space = {"a": (0, 3), "b": ["x", "y"]}
    configs = search(Genetic(space, population=4, seed=1), lambda c: c["a"], 40)
    bred = list(map(str, configs[4:]))
    fresh = 8 - len(set(map(str, configs[:4])))
    assert len(set(bred[:fresh])) == fresh
    assert len(set(map(str, configs))) == 8


def test_it_finds_more_than_random_search() -> None:
    """Twenty seeds on a bowl in six dimensions: a median a fifth of random search's."""
    space = {f"x{i}": (0.0, 1.0) for i in range(6)}

    def loss(config: Config) -> float:
        return sum((x - 0.7) ** 2 for x in config.values())  # type: ignore[operator, misc]

    medians = []
    for kind in (Genetic, Random):
        best = []
        for seed in range(20):
            method = kind(space, seed=seed)
            search(method, loss, 100)
            best.append(method.best.value)
        medians.append(float(np.median(best)))
    assert medians[0] < medians[1] / 5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"population": 1}, "population is 1: give an integer, 2 or more"),
        ({"population": 2.5}, "population is 2.5: give an integer"),
        ({"tournament": 0}, "tournament is 0: give an integer, 1 or more"),
        ({"tournament": True}, "tournament is True: give an integer"),
        ({"step": 0.0}, "step is 0.0: give a finite number above 0"),
        ({"step": math.nan}, "step is nan: give a finite number"),
        ({"step": math.inf}, "step is inf: give a finite number"),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        Genetic(CUBE, **settings)
