"""`best_so_far`, `regret`, `select`, `expected_best`: what came of a search, and how to say it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.compare import plain
from mlcourse.checks.curves_questions.shared import uniform, use_list
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import EXACT, distinct, integer, shuffled

Numbers = list[float]

# --- The anytime curve ----------------------------------------------------------------------------


def so_far_cases(g: Generator) -> list[tuple[Numbers, list[int]]]:
    """(values, budgets): a new best in the middle; nan at first, in the middle, or at the end."""
    found = []
    for n, failed in ((6, ()), (8, (3,)), (7, (0,)), (9, (0, 1, 6)), (5, (4,)), (4, (1, 2))):
        values = distinct(n, g)
        kept = [place for place in range(n) if place not in failed]
        # Up, and then down to the lowest: the last value is not the best so far all the time.
        values[kept[0]], values[kept[-1]] = 0.9, 0.95
        for place in failed:
            values[place] = math.nan
        found.append((values, [integer(1, 40, g) for _ in range(n)]))
    return found


def as_infinite(values: Iterable[float]) -> Numbers:
    return [math.inf if math.isnan(value) else value for value in values]


def so_far_by(
    best: Callable[[Numbers], Any] = lambda values: list(accumulate(as_infinite(values), min)),
    spent: Callable[[list[int]], Any] = lambda budgets: list(accumulate(budgets)),
) -> Callable[[Numbers, list[int]], Any]:
    """Make the curve of its two columns."""
    return lambda values, budgets: (spent(budgets), best(values))


def without_failures(values: Numbers, budgets: list[int]) -> Any:
    kept = [i for i, value in enumerate(values) if not math.isnan(value)]
    return so_far_by()([values[i] for i in kept], [budgets[i] for i in kept])


def failures_cost_nothing(values: Numbers, budgets: list[int]) -> Any:
    costs = [
        0 if math.isnan(value) else budget for value, budget in zip(values, budgets, strict=True)
    ]
    return so_far_by()(values, costs)


def first_kept(values: Numbers) -> Numbers:
    """Python's own comparison: what is not lower than nan never replaces it."""

    def lower(best: float, value: float) -> float:
        return value if value < best else best

    return list(accumulate(values, lower))


def not_higher(values: Numbers) -> Numbers:
    def not_worse(best: float, value: float) -> float:
        return best if value > best else value

    return list(accumulate(values, not_worse))


def by_fmin(values: Numbers, budgets: list[int]) -> tuple[Any, Any]:
    best = np.fmin.accumulate(np.array([math.inf, *values]))[1:]
    return np.cumsum(budgets), best


def by_cummin(values: Numbers, budgets: list[int]) -> tuple[Any, Any]:
    found = torch.tensor(values, dtype=torch.float64).nan_to_num(nan=math.inf).cummin(0).values
    return torch.tensor(budgets).cumsum(0), found


def by_slices(values: Numbers, budgets: list[int]) -> tuple[list[int], Numbers]:
    spent, best = [], []
    for end in range(1, len(values) + 1):
        seen = [value for value in values[:end] if value == value]
        best.append(min(seen, default=math.inf))
        spent.append(sum(budgets[:end]))
    return spent, best


def use_lists(answer: Callable, *args: Any) -> Any:
    """Call the answer; tuples, arrays and tensors may stand for lists."""
    result = plain(answer(*args))
    if not isinstance(result, (list, tuple)):
        return result
    return tuple(use_list(lambda part=part: part) for part in result)


best_so_far = Question(
    name="best_so_far",
    title="The best so far",
    points=2,
    reference=so_far_by(),
    cases=so_far_cases,
    use=use_lists,
    parts=("the epochs spent", "the best loss so far"),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "highest",
            so_far_by(lambda values: list(accumulate(as_infinite(values), max))),
            "that is the highest so far: losses are better when they are lower",
        ),
        Mistake(
            "highest_without_nan",
            so_far_by(
                lambda values: list(
                    accumulate((-math.inf if math.isnan(v) else v for v in values), max)
                )
            ),
            "that is the highest so far, with failures as the lowest: losses are better when they "
            "are lower, and nan is the worst",
        ),
        Mistake(
            "nan_spreads",
            so_far_by(lambda values: np.minimum.accumulate(values)),
            "after the first nan all is nan, as numpy's minimum passes it on: a failed training is "
            "the worst value, so put infinity in its place",
        ),
        Mistake(
            "stuck_at_nan",
            so_far_by(first_kept),
            "when the first value is nan nothing is ever lower, as every comparison with nan is "
            "False: put infinity in its place",
        ),
        Mistake(
            "nan_is_better",
            so_far_by(not_higher),
            "nan takes the place of the best, as it is not higher than anything: every comparison "
            "with nan is False, so put infinity in its place",
        ),
        Mistake(
            "nan_at_first",
            so_far_by(lambda values: np.fmin.accumulate(values)),
            "before the first success the best is nan in your curve: say math.inf, as text and "
            "figures can compare with that",
        ),
        Mistake(
            "nan_is_zero",
            so_far_by(
                lambda values: list(accumulate((0.0 if math.isnan(v) else v for v in values), min))
            ),
            "a failed training counts as a loss of 0, the best of all: it is the worst, infinity",
        ),
        Mistake(
            "left_out",
            without_failures,
            "failed trainings are left out of the curve: their epochs are spent, so each has its "
            "point",
        ),
        Mistake(
            "free",
            failures_cost_nothing,
            "failed trainings cost nothing in your curve: their epochs are spent as well",
        ),
        Mistake(
            "values",
            so_far_by(as_infinite),
            "those are the losses themselves: after each trial, the lowest of all so far is asked "
            "for",
        ),
        Mistake(
            "lowest_of_all",
            so_far_by(lambda values: [min(as_infinite(values))] * len(values)),
            "the lowest loss of the whole search is not known before it was found: look only at "
            "the trials up to each",
        ),
        Mistake(
            "before",
            so_far_by(lambda values: [math.inf, *accumulate(as_infinite(values), min)][:-1]),
            "your curve is one trial late: after a trial its own value counts",
        ),
        Mistake(
            "budgets",
            so_far_by(spent=list),
            "those are the epochs of each trial: add up all that were spent up to it",
        ),
        Mistake(
            "spent_before",
            so_far_by(spent=lambda budgets: [0, *accumulate(budgets)][:-1]),
            "the epochs of the trial itself are missing: its value is known when they are spent",
        ),
        Mistake(
            "trials",
            so_far_by(spent=lambda budgets: list(range(1, len(budgets) + 1))),
            "you count trials: they have different budgets, so count epochs",
        ),
        Mistake(
            "exchanged",
            lambda values, budgets: so_far_by()(values, budgets)[::-1],
            "the two are exchanged: return the epochs first",
        ),
        Mistake(
            "best_alone",
            lambda values, budgets: so_far_by()(values, budgets)[1],
            "you return one list: return two, the epochs spent and the best losses",
        ),
    ),
    variants=(
        Variant("numpy's fmin", by_fmin),
        Variant("tensors", by_cummin),
        Variant("slices", by_slices),
    ),
    hints=(
        "Keep the lowest loss so far, from infinity on, and the sum of the budgets; note both "
        "after each trial.",
        "`value < best` is False for nan, whatever best is. So with best = math.inf at first a nan "
        "never gets in.",
        "Append min(best, value) only if the value is a number, else best again.",
    ),
)


# --- Regret ---------------------------------------------------------------------------------------


def regret_cases(g: Generator) -> list[tuple[Numbers, Numbers, float]]:
    """(measured, exact, optimum): the lowest measured one is not the best, and there is a tie."""
    found = []
    for n in (6, 9, 5, 12):
        optimum = uniform(-3.0, -1.0, g)
        exact = [optimum + gap for gap in distinct(n, g, 0.2, 2.0)]
        measured = [value + uniform(-0.3, 0.3, g) for value in exact]
        order = shuffled(n - 3, g)
        # A lucky one, later one that is better and looks worse, and one that looks as good.
        lucky, later, tie = n - 3, n - 2, n - 1
        measured[lucky] = min(measured) - uniform(0.1, 0.3, g) - 2.5
        exact[later] = optimum + uniform(0.02, 0.1, g)
        measured[tie] = measured[lucky]
        exact[tie] = optimum + uniform(0.12, 0.18, g)
        places = [*order, lucky, later, tie]
        found.append(([measured[i] for i in places], [exact[i] for i in places], optimum))
    return found


def chosen_so_far(measured: Numbers) -> list[int]:
    """The place of the lowest measured value so far, the first of equal ones."""

    def better(best: int, now: int) -> int:
        return now if measured[now] < measured[best] else best

    return list(accumulate(range(len(measured)), better))


def by_argmin(measured: Numbers, exact: Numbers, optimum: float) -> Any:
    best = np.array([int(np.argmin(measured[: i + 1])) for i in range(len(measured))])
    return np.asarray(exact)[best] - optimum


def by_walking(measured: Numbers, exact: Numbers, optimum: float) -> Numbers:
    lowest, mine, found = math.inf, math.nan, []
    for value, truth in zip(measured, exact, strict=True):
        if value < lowest:
            lowest, mine = value, truth
        found.append(mine - optimum)
    return found


def by_sorting(measured: Numbers, exact: Numbers, optimum: float) -> Any:
    pairs = [(value, i) for i, value in enumerate(measured)]
    places = [min(pairs[: i + 1])[1] for i in range(len(pairs))]
    return torch.tensor(exact, dtype=torch.float64)[places] - optimum


regret = Question(
    name="regret",
    title="Regret",
    points=2,
    reference=lambda measured, exact, optimum: [
        exact[i] - optimum for i in chosen_so_far(measured)
    ],
    cases=regret_cases,
    use=use_list,
    parts=("the regret",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "of_the_noise",
            lambda measured, exact, optimum: [
                measured[i] - optimum for i in chosen_so_far(measured)
            ],
            "you report the measured loss, which is too good by its luck, even below the optimum: "
            "the measured losses choose, the exact loss of the chosen one counts",
        ),
        Mistake(
            "hindsight",
            lambda measured, exact, optimum: [value - optimum for value in accumulate(exact, min)],
            "you choose by the exact losses, which the search never sees: the lowest *measured* "
            "loss so far says which configuration it would hand over",
        ),
        Mistake(
            "of_each_trial",
            lambda measured, exact, optimum: [value - optimum for value in exact],
            "that is each trial's own regret: after each trial, the configuration that looks best "
            "so far counts",
        ),
        Mistake(
            "summed",
            lambda measured, exact, optimum: list(accumulate(value - optimum for value in exact)),
            "you add up the regrets of all trials, as in tasks that pay for each trial: here only "
            "the chosen configuration counts",
        ),
        Mistake(
            "absolute",
            lambda measured, exact, optimum: [
                abs(measured[i] - optimum) for i in chosen_so_far(measured)
            ],
            "a measured loss below the optimum is luck, and abs() hides it: take the exact loss of "
            "the chosen one",
        ),
        Mistake(
            "not_minus",
            lambda measured, exact, optimum: [exact[i] for i in chosen_so_far(measured)],
            "that is the loss: the regret is how much it is above the optimum",
        ),
        Mistake(
            "wrong_sign",
            lambda measured, exact, optimum: [optimum - exact[i] for i in chosen_so_far(measured)],
            "the sign is turned round: regret is at least 0, the loss minus the optimum",
        ),
        Mistake(
            "highest",
            lambda measured, exact, optimum: [
                exact[i] - optimum for i in chosen_so_far([-value for value in measured])
            ],
            "you keep the configuration with the highest measured loss: lower is better",
        ),
        Mistake(
            "last_of_equals",
            lambda measured, exact, optimum: [
                exact[last_argmin(measured[: end + 1])] - optimum for end in range(len(measured))
            ],
            "of equal measured losses you take the last: change only for a lower one",
        ),
        Mistake(
            "at_the_end",
            lambda measured, exact, optimum: exact[measured.index(min(measured))] - optimum,
            "that is the regret at the end: return a list, with the regret after each trial",
        ),
        Mistake(
            "whole_search",
            lambda measured, exact, optimum: [
                exact[measured.index(min(measured))] - optimum for _ in measured
            ],
            "the choice of the whole search is not known at the beginning: after each trial look "
            "only at the trials so far",
        ),
    ),
    variants=(
        Variant("argmin of slices", by_argmin),
        Variant("a walk", by_walking),
        Variant("the smallest pair", by_sorting),
    ),
    hints=(
        "If the search ended after trial i, which configuration would it hand over? And how good "
        "is that one really?",
        "Remember two numbers: the lowest measured loss so far, and the exact loss of that trial.",
        "if measured[i] < lowest: lowest, mine = measured[i], exact[i]. Append mine - optimum.",
    ),
)


# --- Selection and report -------------------------------------------------------------------------


def select_cases(g: Generator) -> list[tuple[Numbers, Numbers]]:
    """(validation, test): each has its own best and worst; nan; a tie; a choice that is unlucky."""
    found = []
    for n, failed, tie in (
        (5, False, False),
        (7, True, False),
        (6, False, True),
        (4, False, False),
    ):
        validation = distinct(n, g, 0.3, 0.6)
        test = [value + uniform(0.005, 0.03, g) for value in validation]
        best, other, third, *_ = sorted(range(n), key=validation.__getitem__)
        if n == 4:
            test[best] = validation[best] - uniform(0.002, 0.008, g)
        # So lucky on the test data that one wins in the sum of both, and another one there.
        gap = validation[other] - validation[best]
        test[other] = test[best] - gap - uniform(0.01, 0.03, g)
        test[third] = test[other] - uniform(0.005, 0.01, g)
        if tie:
            validation.append(validation[best])
            test.append(test[best] + 0.1)
        if failed:
            validation.insert(0, math.nan)
            test.insert(0, uniform(0.7, 0.9, g))
        found.append((validation, test))
    return found


def argmin(values: Numbers) -> int:
    clean = as_infinite(values)
    return clean.index(min(clean))


def last_argmin(values: Numbers) -> int:
    clean = as_infinite(values)
    return len(clean) - 1 - clean[::-1].index(min(clean))


def select_by(
    choose: Callable[[Numbers, Numbers], int] = lambda validation, test: argmin(validation),
    report: Callable[[Numbers, Numbers, int], Any] = lambda validation, test, i: test[i],
    optimism: Callable[[Numbers, Numbers, int], Any] = lambda validation, test, i: (
        test[i] - validation[i]
    ),
) -> Callable[[Numbers, Numbers], Any]:
    """Choose and report with one of the pieces exchanged."""

    def select(validation: Numbers, test: Numbers) -> Any:
        i = choose(validation, test)
        return i, report(validation, test, i), optimism(validation, test, i)

    return select


def by_sorted(validation: Numbers, test: Numbers) -> list[Any]:
    places = sorted(range(len(test)), key=lambda i: (math.isnan(validation[i]), validation[i]))
    i = places[0]
    return [i, test[i], test[i] - validation[i]]


def by_nanargmin(validation: Numbers, test: Numbers) -> tuple[Any, Any, Any]:
    i = np.nanargmin(validation)
    return i, np.array(test)[i], -(np.array(validation) - np.array(test))[i]


def by_loop(validation: Numbers, test: Numbers) -> tuple[int, float, float]:
    best, lowest = -1, math.inf
    for i, value in enumerate(validation):
        if value < lowest:
            best, lowest = i, value
    return best, test[best], test[best] - lowest


select = Question(
    name="select",
    title="Select on validation data, report on test data",
    points=2,
    reference=select_by(),
    cases=select_cases,
    parts=("the index", "the error to report", "the optimism"),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "test_chooses",
            select_by(lambda validation, test: argmin(test)),
            "the test data choose: after that they are validation data, and nothing is left to "
            "report honestly; choose by the validation errors",
        ),
        Mistake(
            "both_choose",
            select_by(
                lambda validation, test: argmin(
                    [a + b for a, b in zip(validation, test, strict=True)]
                )
            ),
            "the test errors have a say in the choice: choose by the validation errors alone",
        ),
        Mistake(
            "highest",
            select_by(lambda validation, test: argmin([-value for value in validation])),
            "you choose the highest validation error: lower is better",
        ),
        Mistake(
            "nan_first",
            select_by(lambda validation, test: int(np.argmin(validation))),
            "a training that failed is chosen: numpy's argmin takes the first nan, and in Python "
            "nothing is lower than nan; it is the worst, so put infinity in its place",
        ),
        Mistake(
            "last_of_equals",
            select_by(lambda validation, test: last_argmin(validation)),
            "of equal validation errors take the first",
        ),
        Mistake(
            "validation_reported",
            select_by(
                report=lambda validation, test, i: validation[i],
            ),
            "you report the validation error, which chose and is therefore too good: report the "
            "test error of the one chosen",
        ),
        Mistake(
            "lowest_test",
            select_by(report=lambda validation, test, i: min(test)),
            "you report the lowest test error of all, which belongs to another configuration: "
            "report that of the one chosen",
        ),
        Mistake(
            "best_minus_best",
            select_by(
                report=lambda validation, test, i: min(test),
                optimism=lambda validation, test, i: min(test) - min(as_infinite(validation)),
            ),
            "two different configurations are compared, each the best in its own data: report the "
            "test error of the one that the validation data chose, and compare its two errors",
        ),
        Mistake(
            "wrong_sign",
            select_by(optimism=lambda validation, test, i: validation[i] - test[i]),
            "the sign of the optimism is turned round: it is positive when the test error is the "
            "larger one",
        ),
        Mistake(
            "absolute",
            select_by(optimism=lambda validation, test, i: abs(test[i] - validation[i])),
            "optimism can be negative, when the choice was unlucky: leave abs() out",
        ),
        Mistake(
            "relative",
            select_by(optimism=lambda validation, test, i: (test[i] - validation[i]) / test[i]),
            "you divide the optimism by an error: the plain difference is asked for",
        ),
        Mistake(
            "mean_gap",
            select_by(
                optimism=lambda validation, test, i: float(
                    np.nanmean(np.subtract(test, validation))
                )
            ),
            "that is the mean difference over all configurations: it is the choice that makes a "
            "validation error too good, so take the one chosen",
        ),
        Mistake(
            "from_one",
            lambda validation, test: (
                select_by()(validation, test)[0] + 1,
                *select_by()(validation, test)[1:],
            ),
            "your index counts from 1: the first configuration is number 0",
        ),
    ),
    variants=(
        Variant("sorted", by_sorted),
        Variant("numpy's nanargmin", by_nanargmin),
        Variant("a loop", by_loop),
    ),
    hints=(
        "Which of the two lists may the choice look at?",
        "The index of the lowest validation error, nan as infinity. Then two numbers of this "
        "configuration.",
        "return i, test[i], test[i] - validation[i].",
    ),
)


# --- The expected best of n -----------------------------------------------------------------------


def expected_cases(g: Generator) -> list[tuple[np.ndarray]]:
    """(losses of repeated searches, one a row): more rows than columns, and fewer."""
    shapes = ((6, 4), (3, 5), (4, 4), (8, 2))
    return [
        ((torch.randn(*shape, generator=g, dtype=torch.float64) / 2 + 3).numpy(),)
        for shape in shapes
    ]


def by_columns(losses: np.ndarray) -> list[float]:
    best, found = np.full(len(losses), math.inf), []
    for column in losses.T:
        best = np.minimum(best, column)
        found.append(float(best.mean()))
    return found


def by_rows(losses: np.ndarray) -> list[float]:
    curves = [list(accumulate(row, min)) for row in losses.tolist()]
    return [statistics.fmean(column) for column in zip(*curves, strict=True)]


def use_vector(answer: Callable, *args: Any) -> Any:
    """Call the answer; a list of numbers may stand for an array."""
    result = plain(answer(*args))
    if isinstance(result, (list, tuple)) and all(isinstance(x, (int, float)) for x in result):
        return torch.tensor(result, dtype=torch.float64)
    return result


expected_best = Question(
    name="expected_best",
    title="The expected best of n",
    points=2,
    reference=lambda losses: np.minimum.accumulate(losses, axis=1).mean(axis=0),
    cases=expected_cases,
    use=use_vector,
    parts=("the expected best",),
    mistakes=(
        Mistake(
            "best_of_means",
            lambda losses: np.minimum.accumulate(losses.mean(axis=0)),
            "you average over the searches first: each search has its own lowest loss; take the "
            "minimum in each, and then the mean of these",
        ),
        Mistake(
            "means",
            lambda losses: losses.mean(axis=0),
            "that is the mean loss of each trial: the best of the first n is asked for",
        ),
        Mistake(
            "lowest_of_all",
            lambda losses: np.minimum.accumulate(losses, axis=1).min(axis=0),
            "you take the luckiest of the searches: the expected value is the mean over all of "
            "them",
        ),
        Mistake(
            "other_axis",
            lambda losses: np.minimum.accumulate(losses, axis=0).mean(axis=0),
            "your minima run over the searches: the trials of a search stand in a row, so "
            "accumulate along axis 1",
        ),
        Mistake(
            "axes_exchanged",
            lambda losses: np.minimum.accumulate(losses, axis=0).mean(axis=1),
            "the axes are exchanged: a row is a search, a column is a trial number",
        ),
        Mistake(
            "mean_of_trials",
            lambda losses: np.minimum.accumulate(losses, axis=1).mean(axis=1),
            "you average over the trials of each search: average over the searches, for each "
            "number of trials",
        ),
        Mistake(
            "highest",
            lambda losses: np.maximum.accumulate(losses, axis=1).mean(axis=0),
            "that is the highest of the first n: lower losses are better",
        ),
        Mistake(
            "medians",
            lambda losses: np.median(np.minimum.accumulate(losses, axis=1), axis=0),
            "that is the median search: the expected value is the mean",
        ),
        Mistake(
            "at_the_end",
            lambda losses: losses.min(axis=1).mean(),
            "that is the expected best of all trials: return one number for each n from 1 on",
        ),
        Mistake(
            "sorted",
            lambda losses: np.sort(losses, axis=1).mean(axis=0),
            "you sort each search: its first trial is then already its best; take the minimum of "
            "the first n in their order",
        ),
        Mistake(
            "running_means",
            lambda losses: (np.cumsum(losses, axis=1) / np.arange(1, losses.shape[1] + 1)).mean(
                axis=0
            ),
            "that is the mean of the first n trials: the lowest of them is asked for",
        ),
    ),
    variants=(
        Variant("column after column", by_columns),
        Variant("row after row", by_rows),
        Variant(
            "a tensor",
            lambda losses: torch.from_numpy(losses).cummin(1).values.mean(0),
        ),
    ),
    hints=(
        "For one search: the lowest of its first n losses, for n = 1, 2, ... That is a row.",
        "np.minimum.accumulate(losses, axis=1) gives these rows.",
        "Then the mean over the rows, axis=0.",
    ),
)
