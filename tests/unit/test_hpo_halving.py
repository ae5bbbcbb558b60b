"""Successive halving starts, keeps and promotes what the paper's arithmetic says."""

import math
from itertools import pairwise

import numpy as np
import pytest

from mlcourse.hpo.halving import SuccessiveHalving, budgets, rungs
from mlcourse.hpo.method import Trial
from mlcourse.hpo.space import Space

SPACE = Space({"x": (0.0, 1.0)})


def run(method, loss):
    """Ask and tell one by one to the end; the trials in order."""
    trials = []
    while (trial := method.ask()) is not None:
        trials.append(trial)
        method.tell(trial, loss(trial))
    return trials


# Arithmetic


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((9, 243, 3), [9, 27, 81, 243]),
        ((1, 81, 3), [1, 3, 9, 27, 81]),
        ((1, 1000, 10), [1, 10, 100, 1000]),  # log(1000) / log(10) is 2.9999999999999996
        ((1, 1, 3), [1]),
        ((0.1, 0.3, 3), [0.1, 0.3]),  # 0.1 * 3 is above 0.3
        ((1, 2, 4), [2]),
        ((1, 2.25, 1.5), [1, 1.5, 2.25]),
    ],
)
def test_budgets_are_the_largest_divided_by_powers(given, expected):
    assert budgets(*given) == pytest.approx(expected, rel=1e-12)
    assert budgets(*given)[-1] == given[1]


def test_the_smallest_budget_need_not_be_run():
    assert [round(budget, 1) for budget in budgets(10, 40, 3)] == [13.3, 40.0]


@pytest.mark.parametrize("eta", [2, 3, 4, 10])
@pytest.mark.parametrize("power", range(12))
def test_exact_powers_have_their_rung(eta, power):
    for smallest in (1, 7, 0.3):
        assert len(budgets(smallest, smallest * eta**power, eta)) == power + 1
        if power:
            assert len(budgets(smallest, smallest * eta**power * 0.999, eta)) == power


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((81, 1, 81, 3), [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)]),
        ((34, 3, 81, 3), [(34, 3), (11, 9), (3, 27), (1, 81)]),
        ((16, 1, 8, 2), [(16, 1), (8, 2), (4, 4), (2, 8)]),
        ((10, 1, 2.25, 1.5), [(10, 1), (6, 1.5), (4, 2.25)]),
        ((5, 81, 81, 3), [(5, 81)]),
    ],
)
def test_rungs_keep_the_best_share(given, expected):
    assert rungs(*given) == expected


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: budgets(1, 9, 1), r"eta is 1: give a finite number above 1"),
        (lambda: budgets(1, 9, math.nan), r"eta is nan: give a finite number above 1"),
        (lambda: budgets(0, 9), r"min_budget is 0: give a finite number above 0"),
        (lambda: budgets(True, 9), r"min_budget is True: give a finite number above 0"),
        (lambda: budgets(1, math.inf), r"max_budget is inf: give a finite number above 0"),
        (lambda: budgets(1, "9"), r"max_budget is '9': give a finite number above 0"),
        (lambda: budgets(9, 1), r"budgets run from 9 to 1: give the smaller one first"),
        (lambda: rungs(0, 1, 9), r"configs is 0: give an integer, 1 or more"),
        (lambda: rungs(9.0, 1, 9), r"configs is 9\.0: give an integer, 1 or more"),
        (
            lambda: rungs(8, 1, 9),
            r"of 8 configurations none is left after 2 cuts by 3: give 9 or more",
        ),
        (lambda: SuccessiveHalving(SPACE, 8, 1, 9), r"of 8 configurations none is left"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


# The search


@pytest.mark.parametrize(("configs", "eta"), [(9, 3), (27, 3), (20, 3), (16, 2), (8, 2)])
def test_each_rung_gets_the_best_of_the_one_before(configs, eta):
    rng = np.random.default_rng(configs)
    values = {}

    def loss(trial):
        return values.setdefault(trial.number, rng.random())

    largest = eta**2
    method = SuccessiveHalving(SPACE, configs, 1, largest, eta)
    trials = run(method, loss)
    assert method.finished
    by_rung = [[t for t in trials if t.budget == budget] for budget in (1, eta, largest)]
    assert [len(rung) for rung in by_rung] == [count for count, _ in method.rungs]
    for before, after in pairwise(by_rung):
        best = sorted(before, key=lambda trial: values[trial.number])[: len(after)]
        assert [trial.parent for trial in after] == [trial.number for trial in best]
        assert [trial.config for trial in after] == [trial.config for trial in best]
    assert all(trial.parent is None for trial in by_rung[0])
    assert method.best.trial in by_rung[-1]


def test_of_equal_values_the_earlier_is_promoted():
    trials = run(SuccessiveHalving(SPACE, 9, 1, 9), lambda trial: 1.0)
    assert [trial.parent for trial in trials[9:]] == [0, 1, 2, 9]


def test_infinite_values_are_promoted_last_and_the_numbers_stay():
    def loss(trial):
        return 0.5 if trial.number == 7 else math.nan if trial.number % 2 else math.inf

    trials = run(SuccessiveHalving(SPACE, 9, 1, 9), loss)
    assert [trial.parent for trial in trials[9:12]] == [7, 0, 1]
    assert len(trials) == 13


def test_a_rung_waits_for_its_last_value():
    method = SuccessiveHalving(SPACE, 9, 1, 9)
    trials = [method.ask() for _ in range(9)]
    assert method.ask() is None
    for trial in trials[1:]:
        method.tell(trial, trial.number)
        assert method.ask() is None
    method.tell(trials[0], 100.0)
    assert [method.ask().parent for _ in range(3)] == [1, 2, 3]
    assert method.ask() is None
    assert not method.finished


def test_the_new_configurations_are_random_search_s():
    from mlcourse.hpo.random import Random

    method, random = SuccessiveHalving(SPACE, 9, 1, 9, seed=5), Random(SPACE, seed=5)
    assert [method.ask().config for _ in range(9)] == [random.ask().config for _ in range(9)]


def test_two_processes_that_started_one_too_many_lose_nothing():
    """Both asked for the ninth configuration at once: it has ten, and keeps its best three."""
    method = SuccessiveHalving(SPACE, 9, 1, 9)
    for _ in range(9):
        method.ask()
    method.resume([(Trial(9, {"x": 0.5}, 1.0, None, {"bracket": 0, "rung": 0}), None)])
    for trial in list(method.pending.values())[:9]:
        method.tell(trial, 10.0 + trial.number)
    assert method.ask() is None
    method.tell(method.pending[9], 0.0)
    assert [method.ask().parent for _ in range(3)] == [9, 0, 1]


@pytest.mark.parametrize(
    "trial",
    [
        Trial(90, {"x": 0.5}, 1.0),
        Trial(90, {"x": 0.5}, 1.0, None, {"bracket": 1, "rung": 0}),
        Trial(90, {"x": 0.5}, 1.0, None, {"bracket": 0, "rung": 3}),
        Trial(90, {"x": 0.5}, 2.0, None, {"bracket": 0, "rung": 0}),
        Trial(90, {"x": 0.5}, 1.0, None, {"bracket": "0", "rung": 0}),
    ],
)
def test_a_trial_of_another_search_takes_nobody_s_place(trial):
    method = SuccessiveHalving(SPACE, 9, 1, 9)
    method.tell(trial, -1.0)
    trials = run(method, lambda trial: trial.config["x"])
    assert len(trials) == 13
    assert all(one.parent != 90 for one in trials)
