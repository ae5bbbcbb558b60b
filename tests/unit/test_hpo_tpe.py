"""TPE splits its results, models both parts, and asks for the highest ratio of the densities."""

import math

import numpy as np
import pytest

from mlcourse.hpo.densities import Density
from mlcourse.hpo.method import Trial
from mlcourse.hpo.space import Space
from mlcourse.hpo.tpe import TPE, Model, expected_improvement, split

SPACE = Space({"x": (0.0, 1.0), "n": (0, 9)})


def told(method, count, loss):
    for _ in range(count):
        trial = method.ask()
        method.tell(trial, loss(trial.config))
    return method


def bowl(config):
    return (config["x"] - 0.3) ** 2 + (config["n"] - 7) ** 2 / 100


# The split


@pytest.mark.parametrize(
    ("n", "gamma", "good"),
    [
        (1, 0.1, 1),
        (10, 0.1, 1),
        (11, 0.1, 2),
        (30, 0.1, 3),
        (100, 0.15, 15),
        (7, 0.0, 0),
        (7, 1.0, 7),
    ],
)
def test_so_many_are_good(n, gamma, good):
    values = np.random.default_rng(n).random(n)
    best, worst = split(values, gamma)
    assert len(best) == good
    assert values[[*best, *worst]].tolist() == sorted(values)


def test_equal_values_are_split_by_their_place():
    assert split([2.0, 1.0, 1.0, 1.0, 0.0], 0.5)[0].tolist() == [4, 1, 2]


def test_infinite_values_are_never_good():
    good, bad = split([math.inf, 3.0, math.nan, math.inf], 0.5)
    assert (good.tolist(), bad.tolist()) == ([1], [0, 3, 2])
    assert len(split([math.inf] * 3, 0.5)[0]) == 0
    assert split([1.0, -math.inf], 0.5)[0].tolist() == [1]


# Expected improvement


@pytest.mark.parametrize("gamma", [0.1, 0.25, 0.9])
def test_expected_improvement_is_the_integral_of_its_definition(gamma):
    """A world of six configurations and 50 losses, in which TPE's assumption holds exactly."""
    rng = np.random.default_rng(0)
    l, g = (rng.dirichlet(np.ones(6)) for _ in range(2))
    y = np.sort(rng.random(50))
    below = np.arange(50) < gamma * 50 - 1e-9
    p_y = np.where(below, gamma / below.sum(), (1 - gamma) / (~below).sum())
    joint = np.where(below[:, None], l, g) * p_y[:, None]
    threshold = y[below.sum()]
    improvement = np.maximum(threshold - y, 0)
    expected = improvement @ (joint / joint.sum(0))
    random = improvement @ p_y
    np.testing.assert_allclose(expected_improvement(l / g, gamma), expected / random, rtol=1e-12)


def test_expected_improvement_rises_with_the_ratio_from_0_to_one_over_gamma():
    ratios = np.concatenate([[0], np.logspace(-3, 6, 50)])
    gains = expected_improvement(ratios, 0.2)
    assert (np.diff(gains) > 0).all()
    assert gains[0] == 0
    assert gains[-1] == pytest.approx(5, rel=1e-4)
    assert expected_improvement(1.0, 0.2) == pytest.approx(1, rel=1e-12)


# The model


def model_of(values, under_way=0):
    """A model of random configurations, those without a value under way."""
    method = TPE(SPACE, startup=10**6, gamma=0.25)
    for value in values:
        trial = method.ask()
        method.tell(trial, value)
    for _ in range(under_way):
        method.ask()
    return method, method._model


def points_of(trials):
    return np.array([SPACE.encode(trial.config) for trial in trials])


def test_the_densities_are_those_of_the_good_and_of_the_bad_and_under_way():
    method, model = model_of([3.0, 1.0, 2.0, 0.5, 9.0], under_way=2)
    l, g = model.densities(method.results, method.pending)
    trials = [result.trial for result in method.results]
    np.testing.assert_array_equal(l.points, points_of([trials[3], trials[1]]))
    bad = [trials[2], trials[0], trials[4], *method.pending.values()]
    np.testing.assert_array_equal(g.points, points_of(bad))


def test_the_order_in_which_values_came_does_not_matter():
    method, model = model_of([1.0, 1.0, 2.0, math.inf, 0.5, 2.0])
    straight = model.densities(method.results, [])
    turned = model.densities(method.results[::-1], [])
    for one, other in zip(straight, turned, strict=True):
        np.testing.assert_array_equal(one.points, other.points)


def test_the_candidate_with_the_highest_ratio_is_suggested():
    method, model = model_of(np.random.default_rng(0).random(30))
    config = model.suggest(method.results, [], np.random.default_rng(5))
    l, g = model.densities(method.results)
    candidates = l.sample(24, np.random.default_rng(5))
    best = candidates[np.argmax(l.log(candidates) - g.log(candidates))]
    assert config == SPACE.decode(best)


def test_what_was_tried_is_not_suggested_again():
    space = Space({"n": (0, 30)})
    method = told(TPE(space, startup=5, seed=1), 24, lambda config: abs(config["n"] - 3))
    asked = [result.trial.config["n"] for result in method.results[5:]]
    assert len(set(asked)) == len(asked) == 19
    assert not set(asked) & {result.trial.config["n"] for result in method.results[:5]}


def test_a_space_in_which_all_was_tried_goes_on_at_random():
    space = Space({"n": (0, 2), "o": ["a", "b"]})
    method = told(TPE(space, startup=2), 40, lambda config: float(config["n"]))
    assert len({tuple(result.trial.config.values()) for result in method.results[2:20]}) == 6


# The method


def test_the_first_trials_are_random_until_so_many_have_values():
    method, twin = TPE(SPACE, startup=3, seed=2), TPE(SPACE, startup=100, seed=2)
    for _ in range(6):
        assert method.ask() == twin.ask()  # none has a value
    for trial in list(method.pending.values())[:3]:
        method.tell(trial, bowl(trial.config))
        twin.tell(trial, bowl(trial.config))
    assert method.ask() != twin.ask()


def test_trials_under_way_push_the_next_away():
    """With a density of the bad, the same draw gives another configuration."""
    method = told(TPE(SPACE, seed=4), 30, bowl)
    alone = method._propose(99, np.random.default_rng(0)).config
    for number in range(100, 110):
        method.resume([(Trial(number, {"x": alone["x"], "n": alone["n"]}), None)])
    crowded = method._propose(99, np.random.default_rng(0)).config
    assert abs(crowded["x"] - alone["x"]) > 0.01 or crowded["n"] != alone["n"]


def test_with_only_failures_it_keeps_away_from_them():
    method = told(TPE(SPACE, seed=0), 40, lambda config: math.inf)
    l, g = method._model.densities(method.results)
    assert len(l.points) == 0
    assert len(g.points) == 40


def test_good_values_draw_the_search_to_them():
    """Half of what TPE asks for is better than nine in ten of random search's."""
    method = told(TPE(SPACE, seed=0), 60, bowl)
    rng = np.random.default_rng(0)
    bar = np.quantile([bowl(SPACE.sample(rng)) for _ in range(1000)], 0.1)
    assert np.median([result.value for result in method.results[10:]]) < bar


def test_a_density_of_a_mean_is_kept_apart_from_the_method():
    """A model takes any trials: BOHB gives it those of one budget."""
    model = Model(SPACE, candidates=3, gamma=0.5)
    model.add(Trial(0, {"x": 0.1, "n": 1}))
    l, g = model.densities([], [0])
    assert isinstance(l, Density)
    assert (len(l.points), len(g.points)) == (0, 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"startup": 0}, "startup is 0: give an integer, 1 or more"),
        ({"startup": 2.0}, "startup is 2.0: give an integer"),
        ({"candidates": 0}, "candidates is 0: give an integer, 1 or more"),
        ({"candidates": True}, "candidates is True: give an integer"),
        ({"gamma": 1.5}, "gamma is 1.5: give a number from 0 to 1"),
        ({"gamma": math.nan}, "gamma is nan: give a number"),
        ({"gamma": "1"}, "gamma is '1': give a number"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        TPE(SPACE, **settings)
