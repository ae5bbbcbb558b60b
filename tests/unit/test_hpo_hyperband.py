"""Hyperband's brackets are the paper's, follow one another, and leave no worker idle."""

import math

import pytest

from mlcourse.hpo.hyperband import Hyperband, brackets
from mlcourse.hpo.space import Space

SPACE = Space({"x": (0.0, 1.0)})


def test_the_brackets_of_the_paper_s_table():
    assert brackets(1, 81, 3) == [
        [(81, 1), (27, 3), (9, 9), (3, 27), (1, 81)],
        [(34, 3), (11, 9), (3, 27), (1, 81)],
        [(15, 9), (5, 27), (1, 81)],
        [(8, 27), (2, 81)],
        [(5, 81)],
    ]


def test_the_budgets_of_counting_ones_make_four_brackets():
    assert [plan[0] for plan in brackets(9, 243, 3)] == [(27, 9), (12, 27), (6, 81), (4, 243)]


def test_the_source_s_smallest_budget_is_never_run():
    plans = [[(n, round(budget, 1)) for n, budget in plan] for plan in brackets(10, 40, 3)]
    assert plans == [[(3, 13.3), (1, 40.0)], [(2, 40.0)]]


@pytest.mark.parametrize("eta", [2, 3, 4, 5, 2.5])
@pytest.mark.parametrize("largest", [1, 7, 27, 100, 1000])
def test_each_bracket_costs_about_the_same(eta, largest):
    """At most (s_max + 1) budgets a rung, rounded up: (s_max + 1) R and one more start."""
    plans = brackets(1, largest, eta)
    for plan in plans:
        start, smallest = plan[0]
        s = len(plan) - 1
        assert start - 1 < len(plans) / (s + 1) * eta**s <= start + 1e-6
        assert smallest == pytest.approx(largest / eta**s)
        cost = sum(count * budget for count, budget in plan)
        assert cost <= (len(plans) * largest + smallest * (s + 1)) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0, 9), "min_budget is 0: give a finite number above 0"),
        ((9, 1), "budgets run from 9 to 1: give the smaller one first"),
        ((1, 9, 1.0), r"eta is 1\.0: give a finite number above 1"),
    ],
)
def test_bad_budgets_are_refused(given, message):
    for make in (brackets, lambda *given: Hyperband(SPACE, *given)):
        with pytest.raises(ValueError, match=f"^{message}"):
            make(*given)


def test_one_worker_runs_bracket_after_bracket_without_end():
    method = Hyperband(SPACE, 1, 9)
    found = []
    for _ in range(2 * (13 + 6 + 3)):
        trial = method.ask()
        found.append((trial.note["bracket"], trial.budget))
        method.tell(trial, trial.config["x"])
    plans = [[(1, 9), (3, 3), (9, 1)], [(3, 5), (9, 1)], [(9, 3)]]  # (budget, trials)
    assert found == [
        (i, budget) for i in range(6) for budget, count in plans[i % 3] for _ in range(count)
    ]
    assert not method.finished


def test_while_a_rung_waits_the_next_bracket_begins():
    method = Hyperband(SPACE, 1, 9)
    first = [method.ask() for _ in range(9)]
    assert [method.ask().note for _ in range(2)] == [{"bracket": 1, "rung": 0}] * 2
    for trial in first:
        method.tell(trial, float(trial.number))
    # The older bracket comes first again.
    assert [method.ask().parent for _ in range(3)] == [0, 1, 2]
    assert method.ask().note == {"bracket": 1, "rung": 0}


def test_workers_are_never_idle_and_promotions_stay_right():
    method = Hyperband(SPACE, 1, 9, seed=3)
    waiting = [method.ask() for _ in range(50)]
    values = {}
    for _ in range(300):
        trial = waiting.pop(7)
        values[trial.number] = (trial.config["x"] - 0.4) ** 2 + 1 / trial.budget
        method.tell(trial, values[trial.number])
        waiting.append(method.ask())
    assert None not in waiting
    trials = {result.trial.number: result.trial for result in method.results}
    promoted = [trial for trial in trials.values() if trial.parent is not None]
    assert len(promoted) > 20
    for trial in promoted:
        parent = trials[trial.parent]
        assert parent.note == {"bracket": trial.note["bracket"], "rung": trial.note["rung"] - 1}
        rivals = [t for t in trials.values() if t.note == parent.note]
        better = [t for t in rivals if values[t.number] < values[parent.number]]
        plan = method.brackets[trial.note["bracket"] % 3]
        assert len(better) < plan[trial.note["rung"]][0]
        assert (trial.config, trial.budget) == (parent.config, pytest.approx(3 * parent.budget))


def test_failures_do_not_stop_it():
    method = Hyperband(SPACE, 1, 9)
    for _ in range(100):
        method.tell(method.ask(), math.inf)
    assert method.best.trial.budget == 9
