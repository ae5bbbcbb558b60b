"""Evolution, climbing and REINFORCE do as they say, keep a method's promises, and find."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.random import Random
from mlcourse.hpo.runner import run
from mlcourse.hpo.space import Config, Space
from mlcourse.nas.black_box import LocalSearch, RegularizedEvolution, Reinforce
from mlcourse.nas.small_space import SPACE, from_config, neighbours

SMALL = {"a": ["x", "y", "z"], "b": [1, True, 0.5], "c": [None], "d": ["x", None]}

METHODS: dict[str, Callable[..., Method]] = {
    "evolution": RegularizedEvolution,
    "local search": LocalSearch,
    "reinforce": Reinforce,
}


@pytest.fixture(params=METHODS)
def make(request: pytest.FixtureRequest) -> Callable[..., Method]:
    return METHODS[request.param]


def loss(config: Config) -> float:
    """Convolutions help, most on the first edges."""
    return sum((letter != "c") / (1 + i) for i, letter in enumerate(from_config(config)))


def search(method: Method, trials: int, value: Callable[[Config], float] = loss) -> list[Config]:
    configs = []
    for _ in range(trials):
        trial = method.ask()
        assert trial is not None
        method.tell(trial, value(trial.config))
        configs.append(trial.config)
    return configs


def test_a_search_is_its_seed_s(make: Callable[..., Method]) -> None:
    first, again, other = (search(make(SPACE, seed=seed), 40) for seed in (0, 0, 1))
    assert first == again != other


def test_a_search_goes_on_from_its_trials_alone(make: Callable[..., Method]) -> None:
    whole = search(make(SPACE, seed=3), 60)
    begun = make(SPACE, seed=3)
    search(begun, 35)
    under_way = begun.ask()
    assert under_way is not None
    later = make(SPACE, seed=3)
    events: list[tuple[Trial, float | None]] = [(r.trial, r.value) for r in begun.results]
    later.resume([*events, (under_way, None)])
    later.tell(under_way, loss(under_way.config))
    assert [*whole[:35], under_way.config, *search(later, 24)] == whole


@pytest.mark.slow
def test_all_workers_have_something_to_do_or_wait(
    make: Callable[..., Method], tmp_path: Path
) -> None:
    history = run(make(SPACE), _loss_of_trial, trials=30, jobs=2, journal=tmp_path / "j")
    assert history.trials == 30
    assert history["error"] == [None] * 30


def _loss_of_trial(trial: Trial) -> float:
    return loss(trial.config)


def test_failures_and_strangers_trials_do_not_stop_a_search(make: Callable[..., Method]) -> None:
    method = make(SMALL, seed=0)
    rng = np.random.default_rng(0)
    for i in range(4):
        method.tell(Trial(1000 + i, Space(SMALL).sample(rng)), math.inf if i % 2 else 1.0)
    for _ in range(12):
        trial = method.ask()
        if trial is None:
            assert method.finished
            break
        Space(SMALL).check(trial.config)
        method.tell(trial, math.inf)
    assert math.isinf(max(result.value for result in method.results))


def test_each_finds_more_than_chance(make: Callable[..., Method]) -> None:
    """A separable loss without noise: the mean of the best of 100 trials over 20 seeds."""

    def best(made: Callable[..., Method]) -> float:
        return float(
            np.mean([min(map(loss, search(made(SPACE, seed=seed), 100))) for seed in range(20)])
        )

    assert best(make) < 0.5 * best(Random)


@pytest.mark.parametrize(
    "space", [{"a": (0.0, 1.0)}, {"a": ["x", "y"], "b": {"choices": [1, 2], "when": {"a": "x"}}}]
)
def test_spaces_that_are_not_of_choices_are_refused(
    make: Callable[..., Method], space: dict[str, object]
) -> None:
    with pytest.raises(ValueError, match="is a range or has a condition: give a space of lists"):
        make(space)


def test_bad_settings_are_refused() -> None:
    for wrong in ({"population": 0}, {"sample": 0}):
        with pytest.raises(ValueError, match="give an integer, 1 or more"):
            RegularizedEvolution(SPACE, **wrong)
    with pytest.raises(ValueError, match="lr is 0"):
        Reinforce(SPACE, lr=0)
    with pytest.raises(ValueError, match="decay is 2"):
        Reinforce(SPACE, decay=2)


def told(method: Method, values: list[tuple[Config, float]]) -> None:
    for number, (config, value) in enumerate(values):
        method.tell(Trial(number, config), value)


def child_of(method: Method, number: int) -> Config:
    trial = method._propose(number, np.random.default_rng(number))
    assert trial is not None
    return trial.config


def differences(one: Config, other: Config) -> list[str]:
    return [
        name for name in one if (type(one[name]), one[name]) != (type(other[name]), other[name])
    ]


def test_children_differ_in_one_choice_from_the_best_of_a_sample() -> None:
    space = Space(SMALL)
    method = RegularizedEvolution(SMALL, population=2, sample=20)
    good, bad = space.configuration(0), space.configuration(17)
    told(method, [(bad, 2.0), (good, 1.0)])
    changes = Counter(tuple(differences(good, child_of(method, i))) for i in range(600))
    # Of twenty drawn from two, the better one is the parent but once in a million.
    assert set(changes) == {("a",), ("b",), ("d",)}
    assert all(150 < count < 250 for count in changes.values())
    values = Counter(str(child_of(method, i)["b"]) for i in range(600))
    assert values["1"] > 300
    assert 60 < values["True"] < 140
    assert 60 < values["0.5"] < 140


def test_of_a_sample_of_one_each_member_is_the_parent() -> None:
    method = RegularizedEvolution(SMALL, population=2, sample=1)
    good, bad = Space(SMALL).configuration(0), Space(SMALL).configuration(17)
    told(method, [(bad, 2.0), (good, 1.0)])
    parents = Counter(len(differences(good, child_of(method, i))) == 1 for i in range(400))
    assert 150 < parents[True] < 250


def test_the_oldest_dies_even_if_it_is_the_best() -> None:
    space = Space(SMALL)
    method = RegularizedEvolution(SMALL, population=2, sample=20)
    best, older, newer = space.configuration(0), space.configuration(17), space.configuration(16)
    told(method, [(best, 0.0), (older, 2.0), (newer, 1.0)])
    assert all(len(differences(newer, child_of(method, i))) == 1 for i in range(50))


def test_the_first_population_is_random_search_s() -> None:
    method = RegularizedEvolution(SPACE, population=15, seed=4)
    configs = search(method, 16)
    assert configs[:15] == search(Random(SPACE, seed=4), 15)
    assert configs[15] != search(Random(SPACE, seed=4), 16)[15]


def test_a_climb_goes_to_the_first_better_neighbour_and_starts_anew_on_top() -> None:
    method = LocalSearch(SPACE, seed=0)
    at, climb, restarts = "", -1, 0
    values: dict[str, float] = {}
    for _ in range(200):
        trial = method.ask()
        assert trial is not None
        cell, value = from_config(trial.config), loss(trial.config)
        assert cell not in values
        if trial.note["climb"] != climb:
            # Nothing is left to try around the best of the climb before.
            assert not at or set(neighbours(at)) <= set(values)
            climb, at, restarts = trial.note["climb"], cell, restarts + 1
        else:
            assert cell in neighbours(at)
            at = cell if value < values[at] else at
        values[cell] = value
        method.tell(trial, value)
    assert restarts > 1


def test_a_climb_waits_for_what_may_be_better() -> None:
    method = LocalSearch({"a": ["x", "y"], "b": ["x", "y"]}, seed=0)
    first = method.ask()
    assert first is not None
    assert method.ask() is None
    method.tell(first, 1.0)
    two = [method.ask(), method.ask()]
    assert method.ask() is None
    for trial in two:
        assert trial is not None
        method.tell(trial, 2.0)
    last = method.ask()
    assert last is not None
    assert last.note["climb"] == 1
    assert method.finished
    assert method.ask() is None


def test_reinforce_s_step_is_the_gradient_of_the_expected_reward() -> None:
    """On average over what the policy draws: by the derivative of the sum over all of them."""
    values = torch.tensor([0.3, 0.9, 0.2, 0.5], dtype=torch.float64)
    start = np.array([0.3, -0.2, 0.1, 0.0])
    logits = torch.tensor(start, requires_grad=True)
    (-values @ logits.softmax(0)).backward()
    assert logits.grad is not None
    mean = np.zeros(4)
    shares = logits.detach().softmax(0).numpy()
    for i, share in enumerate(shares):
        method = Reinforce({"a": [0, 1, 2, 3]}, lr=1.0, decay=0.9)
        method._logits[0][:] = start
        method._baseline = -0.4
        method.tell(Trial(0, {"a": i}), values[i].item())
        mean += share * (method._logits[0] - start)
        assert method._baseline == pytest.approx(0.9 * -0.4 - 0.1 * values[i].item())
    np.testing.assert_allclose(mean, logits.grad.numpy(), atol=1e-12)


def test_the_first_reward_is_its_own_baseline_and_failures_count_as_the_worst() -> None:
    method = Reinforce(SMALL)
    config = Space(SMALL).configuration(0)
    told(method, [(config, math.inf), (config, 0.4)])
    for shares in method.probabilities().values():
        np.testing.assert_allclose(shares, 1 / len(shares))
    told_worse, failed = Reinforce(SMALL), Reinforce(SMALL)
    told(told_worse, [(config, 0.4), (config, 0.9), (config, 0.5), (config, 0.9)])
    told(failed, [(config, 0.4), (config, 0.9), (config, 0.5), (config, math.inf)])
    for ours, theirs in zip(
        failed.probabilities().values(), told_worse.probabilities().values(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
        assert np.isfinite(ours).all()
    assert failed.probabilities()["a"][0] < 1 / 3
