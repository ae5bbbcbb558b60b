"""BOHB is Hyperband whose configurations come from the densities of the right budget."""

import math

import numpy as np
import pytest

from mlcourse.hpo.bohb import BOHB
from mlcourse.hpo.hyperband import Hyperband
from mlcourse.hpo.method import Trial
from mlcourse.hpo.space import Space
from mlcourse.hpo.tpe import TPE, split

SPACE = Space({"x": (0.0, 1.0), "y": (0.0, 1.0)})


def loss(trial):
    return (trial.config["x"] - 0.2) ** 2 + (trial.config["y"] - 0.9) ** 2 + 1 / trial.budget


def told(method, count):
    for _ in range(count):
        trial = method.ask()
        method.tell(trial, loss(trial))
    return method


def test_budgets_and_promotions_are_hyperband_s():
    one, other = (told(kind(SPACE, 1, 27), 150) for kind in (BOHB, Hyperband))
    for mine, theirs in zip(one.results, other.results, strict=True):
        assert (mine.trial.budget, mine.trial.note) == (theirs.trial.budget, theirs.trial.note)
    trials = {result.trial.number: result.trial for result in one.results}
    promoted = [trial for trial in trials.values() if trial.parent is not None]
    assert promoted
    assert all(trial.config == trials[trial.parent].config for trial in promoted)


def test_with_only_random_configurations_each_is_a_draw_from_the_space():
    """The draws follow one that decides, so they are not Hyperband's own."""
    method = told(BOHB(SPACE, 1, 9, random=1.0, seed=3), 100)
    for trial in (result.trial for result in method.results):
        if trial.parent is None and trial.number > 9:
            rng = np.random.default_rng([3, trial.number])
            rng.random()
            assert trial.config == SPACE.sample(rng)


def test_until_a_budget_has_enough_results_it_is_hyperband():
    mine, theirs = BOHB(SPACE, 1, 27, seed=2), Hyperband(SPACE, 1, 27, seed=2)
    for _ in range(5):
        trial = mine.ask()
        assert trial == theirs.ask()
        assert mine.modelled_budget is None
        mine.tell(trial, loss(trial))
        theirs.tell(trial, loss(trial))
    assert mine.modelled_budget == 1


def test_the_largest_budget_with_enough_results_is_modelled():
    method = BOHB(SPACE, 1, 27)
    number = iter(range(1000))
    expected = []
    for budget, count in ((9.0, 4), (1.0, 5), (27.0, 4), (3.0, 20), (9.0, 1), (27.0, 1)):
        for _ in range(count):
            method.tell(Trial(next(number), {"x": 0.5, "y": 0.5}, budget), 1.0)
        expected.append(method.modelled_budget)
    assert expected == [None, 1, 1, 3, 9, 27]


def test_its_densities_are_those_of_the_modelled_budget_alone():
    """The same configuration as a TPE's that knows no other results."""
    method, rng = BOHB(SPACE, 1, 9, random=0.0, candidates=7), np.random.default_rng(0)
    twin = TPE(SPACE, startup=1, candidates=7, gamma=0.15)
    for number in range(40):
        budget = [1.0, 3.0, 9.0][number % 3]
        trial = Trial(number, SPACE.sample(rng), budget)
        method.tell(trial, loss(trial))
        if budget == 9:
            twin.tell(trial, loss(trial))
    for seed in range(5):
        rngs = [np.random.default_rng(seed) for _ in range(2)]
        rngs[1].random()  # BOHB's first draw decides whether the configuration is random
        config = method._propose(99, rngs[0]).config
        assert config == twin._propose(99, rngs[1]).config


def test_only_new_configurations_under_way_count_as_bad():
    """One that was promoted is among the best."""
    method = told(BOHB(SPACE, 1, 9, random=0.0), 30)
    alone = method._propose(99, np.random.default_rng(0)).config
    parent = method.results[0].trial.number
    promoted = [Trial(n, dict(alone), 3.0, parent) for n in range(100, 110)]
    method.resume([(trial, None) for trial in promoted])
    # Tried before, so it is not asked for again; the others' ratios have not changed.
    method._model._tried.discard(SPACE.encode(alone).tobytes())
    assert method._propose(99, np.random.default_rng(0)).config == alone
    method.resume([(Trial(n, dict(alone), 1.0), None) for n in range(110, 120)])
    method._model._tried.discard(SPACE.encode(alone).tobytes())
    assert method._propose(99, np.random.default_rng(0)).config != alone


def test_the_random_share_is_random():
    """Of configurations that the model draws few are bad; of random ones most are."""
    bars = []
    for random in (0.0, 1.0):
        method = told(BOHB(SPACE, 1, 9, random=random, seed=1), 300)
        new = [r.trial for r in method.results[60:] if r.trial.parent is None]
        bars.append(np.median([loss(trial) - 1 / trial.budget for trial in new]))
    assert bars[0] < bars[1] / 2


def test_infinite_values_are_never_good():
    method = BOHB(SPACE, 1, 9)
    for _ in range(60):
        trial = method.ask()
        method.tell(trial, math.inf if trial.config["x"] < 0.5 else loss(trial))
    for results in method._results_by_budget.values():
        good, _ = split([result.value for result in results], 0.15)
        assert all(results[i].trial.config["x"] >= 0.5 for i in good)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"random": -0.1}, r"random is -0\.1: give a number from 0 to 1"),
        ({"random": None}, r"random is None: give a number from 0 to 1"),
        ({"candidates": 0}, r"candidates is 0: give an integer, 1 or more"),
        ({"gamma": 2}, r"gamma is 2: give a number from 0 to 1"),
        ({"eta": 0.5}, r"eta is 0\.5: give a finite number above 1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        BOHB(SPACE, 1, 9, **settings)
