"""`budgets`, `brackets` and `promoted`: the arithmetic of Hyperband."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.tpe_hyperband_questions.shared import EXACT, Floats, chosen, integer, use_lists

# --- Budgets --------------------------------------------------------------------------------------


def budget_cases(g: Generator) -> list[tuple[int, int, int]]:
    """(min_budget, max_budget, eta): exact powers, some of which logarithms miss, and others."""
    found = [(1, 243, 3), (9, 243, 3), (1, 1000, 10)]
    # A little more than whole cuts, and not quite one cut more: the smallest budget lies above
    # min_budget.
    for eta, cuts, times in ((3, 1, 1), (2, 4, 1), (4, 2, 3), (3, 2, 2)):
        low = integer(2, 9, g)
        found.append((low, low * eta**cuts * times + integer(1, low // 2, g), eta))
    alone = integer(5, 20, g)
    return [*found, (alone, alone + integer(0, 4, g), 3)]


def cuts(low: float, high: float, eta: float) -> int:
    """Return the number of times that `high` can be divided by `eta` without going below `low`."""
    found = 0
    while low * eta ** (found + 1) <= high * (1 + 1e-9):
        found += 1
    return found


def budgets_by(
    count: Callable[[float, float, float], int] = cuts,
    one: Callable[[float, float, float, int], Any] = lambda low, high, eta, s: high / eta**s,
    order: Callable[[int], Any] = lambda s_max: range(s_max, -1, -1),
) -> Callable[[float, float, float], Any]:
    """Give the budgets, with one of the pieces exchanged."""

    def budgets(min_budget: float, max_budget: float, eta: float) -> Any:
        steps = order(count(min_budget, max_budget, eta))
        return [one(min_budget, max_budget, eta, s) for s in steps]

    return budgets


def logarithm(low: float, high: float, eta: float) -> float:
    return math.log(high / low) / math.log(eta)


def difference(low: float, high: float) -> float:
    return math.log(high) - math.log(low)


def budgets_by_loop(min_budget: float, max_budget: float, eta: float) -> Any:
    found: list[float] = []
    budget = float(max_budget)
    while budget >= min_budget:
        found.insert(0, budget)
        budget /= eta
    return found


def budgets_by_logarithm(min_budget: float, max_budget: float, eta: float) -> Any:
    s_max = math.floor(logarithm(min_budget, max_budget, eta) + 1e-9)
    return [max_budget * eta**-s for s in reversed(range(s_max + 1))]


def budgets_by_numpy(min_budget: float, max_budget: float, eta: float) -> Any:
    all_of_them = max_budget / eta ** np.arange(40.0)
    return np.sort(all_of_them[all_of_them > min_budget * (1 - 1e-9)])


budgets = Question(
    name="budgets",
    title="The budgets",
    points=2,
    reference=budgets_by(),
    cases=budget_cases,
    use=use_lists,
    parts=("the budgets",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "floating_logarithm",
            budgets_by(lambda *case: math.floor(logarithm(*case))),
            "one budget is missing where a quotient of logarithms comes out a little too small, as "
            "log(243) / log(3) = 4.999999999999999 does: divide step by step, or add 1e-9 before "
            "floor",
        ),
        Mistake(
            "difference_of_logarithms",
            budgets_by(lambda low, high, eta: math.floor(difference(low, high) / math.log(eta))),
            "one budget is missing where a difference of logarithms comes out a little too small, "
            "as (log(243) - log(9)) / log(3) = 2.9999999999999996 does: divide step by step, or "
            "add 1e-9 before floor",
        ),
        Mistake(
            "rounded",
            budgets_by(lambda *case: round(logarithm(*case))),
            "you round the number of cuts to the nearest, which can take the smallest budget below "
            "min_budget: round down",
        ),
        Mistake(
            "rounded_up",
            budgets_by(lambda *case: math.ceil(logarithm(*case) - 1e-9)),
            "you round the number of cuts up, which takes the smallest budget below min_budget: "
            "round down",
        ),
        Mistake(
            "from_the_smallest",
            budgets_by(one=lambda low, high, eta, s: low * eta**s, order=lambda s: range(s + 1)),
            "you start at min_budget and multiply: start at max_budget and divide, as the last "
            "rung has to be the whole budget",
        ),
        Mistake(
            "min_budget_added",
            lambda low, high, eta: sorted({float(low), *budgets_by()(low, high, eta)}),
            "min_budget is put in front: it is a limit only, and is run only where max_budget / "
            "eta^s meets it",
        ),
        Mistake(
            "ratio_forgotten",
            budgets_by(lambda low, high, eta: math.floor(math.log(high) / math.log(eta) + 1e-9)),
            "min_budget is not used: the smallest budget may not be below it",
        ),
        Mistake(
            "largest_left_out",
            budgets_by(order=lambda s: range(s, 0, -1)),
            "max_budget itself is missing: s runs down to 0",
        ),
        Mistake(
            "smallest_left_out",
            budgets_by(order=lambda s: range(max(s - 1, 0), -1, -1)),
            "the smallest budget is missing: s begins at s_max itself, so there are s_max + 1 "
            "budgets",
        ),
        Mistake(
            "downwards",
            budgets_by(order=lambda s: range(s + 1)),
            "the right budgets, from the largest down: the first rung has the smallest, so turn "
            "them round",
        ),
        Mistake(
            "whole_epochs",
            budgets_by(one=lambda low, high, eta, s: high // eta**s),
            "you round budgets down to whole numbers: 40 / 3 is 13.3 here, and whoever trains may "
            "round it",
        ),
        Mistake(
            "divided_by_s",
            budgets_by(one=lambda low, high, eta, s: high / (eta * s or 1)),
            "you divide by eta times s: each rung has eta times the budget of the one before, so "
            "divide by eta to the power s",
        ),
    ),
    variants=(
        Variant("divided in a loop", budgets_by_loop),
        Variant("a careful logarithm", budgets_by_logarithm),
        Variant("NumPy", budgets_by_numpy),
    ),
    hints=(
        "Begin with max_budget and divide by eta as long as the result is not below min_budget.",
        "From 10 to 40 with eta = 3: 40, then 13.3, and 4.4 is too small. So [13.3.., 40].",
        "found, b = [], max_budget; while b >= min_budget: found.insert(0, b); b = b / eta.",
    ),
)


# --- All brackets ---------------------------------------------------------------------------------

Rungs = list[tuple[int, float]]


def bracket_cases(g: Generator) -> list[tuple[int, int, int]]:
    """(s_max, max_budget, eta): from no cut at all to five."""
    tall = (integer(4, 5, g), 3 ** integer(4, 5, g), 3)
    small = (integer(1, 2, g), integer(20, 60, g), integer(3, 4, g))
    return [tall, small, (3, 2 ** integer(3, 6, g), 2), (2, 10 * integer(5, 20, g), 4), (0, 27, 3)]


def starts(s: int, s_max: int, eta: int) -> int:
    return -(-(s_max + 1) * eta**s // (s + 1))


def brackets_by(
    first: Callable[[int, int, int], int] = starts,
    keep: Callable[[int, int, int], int] = lambda n, i, eta: n // eta**i,
    budget: Callable[[int, int, int, int], float] = lambda top, s, i, eta: top / eta ** (s - i),
    order: Callable[[int], Any] = lambda s_max: range(s_max, -1, -1),
    rungs: Callable[[int], Any] = lambda s: range(s + 1),
) -> Callable[[int, int, int], Any]:
    """Give the table of Hyperband, with one of the pieces exchanged."""

    def brackets(s_max: int, max_budget: int, eta: int) -> Any:
        found = []
        for s in order(s_max):
            n = first(s, s_max, eta)
            found.append([(keep(n, i, eta), budget(max_budget, s, i, eta)) for i in rungs(s)])
        return found

    return brackets


def smallest_for_all(s_max: int, max_budget: int, eta: int) -> Any:
    """Every bracket starts on the smallest budget of all."""
    start = max_budget / eta**s_max
    return brackets_by(budget=lambda top, s, i, eta: start * eta**i)(s_max, max_budget, eta)


def brackets_by_paper(s_max: int, max_budget: int, eta: int) -> Any:
    """As in algorithm 1 of Li et al.: B, n and r."""
    total, found = (s_max + 1) * max_budget, []
    for s in range(s_max, -1, -1):
        n = math.ceil(total / max_budget * eta**s / (s + 1) - 1e-9)
        r = max_budget * eta**-s
        found.append(
            [(math.floor(n * eta**-i + 1e-9), r * eta**i) for i in range(s + 1)],
        )
    return found


def brackets_by_lists(s_max: int, max_budget: int, eta: int) -> Any:
    found: list[list[list[float]]] = []
    for s in range(s_max + 1):
        n, r = math.ceil((s_max + 1) * eta**s / (s + 1)), max_budget / eta**s
        rungs = []
        for _ in range(s + 1):
            rungs.append([n, r])
            n, r = n // eta, r * eta
        found.insert(0, rungs)
    return found


def brackets_by_numpy(s_max: int, max_budget: int, eta: int) -> Any:
    found = []
    for s in np.arange(s_max, -1, -1):
        powers = eta ** np.arange(s + 1)
        n = np.ceil((s_max + 1) * powers[-1] / (s + 1))
        found.append(list(zip(n // powers, max_budget / powers[::-1], strict=True)))
    return found


brackets = Question(
    name="brackets",
    title="The table of Hyperband",
    points=3,
    reference=brackets_by(),
    cases=bracket_cases,
    use=use_lists,
    parts=("the brackets",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "rounded_down",
            brackets_by(lambda s, s_max, eta: (s_max + 1) * eta**s // (s + 1)),
            "the number of configurations to start with is rounded down: round "
            "(s_max + 1) / (s + 1) eta^s up",
        ),
        Mistake(
            "rounded_before",
            brackets_by(lambda s, s_max, eta: (s_max + 1) // (s + 1) * eta**s),
            "you round (s_max + 1) / (s + 1) down before you multiply by eta^s, which starts too "
            "few: multiply first, then round up",
        ),
        Mistake(
            "rounded_up_before",
            brackets_by(lambda s, s_max, eta: -(-(s_max + 1) // (s + 1)) * eta**s),
            "you round (s_max + 1) / (s + 1) up before you multiply by eta^s, which starts too "
            "many: multiply first",
        ),
        Mistake(
            "power_forgotten",
            brackets_by(lambda s, s_max, eta: -(-(s_max + 1) // (s + 1))),
            "eta^s is missing in the number of configurations: on a budget eta^s times smaller, "
            "eta^s times as many can start",
        ),
        Mistake(
            "power_alone",
            brackets_by(lambda s, s_max, eta: eta**s),
            "(s_max + 1) / (s + 1) is missing: a bracket with fewer rungs has epochs left for more "
            "configurations",
        ),
        Mistake(
            "no_one_added",
            brackets_by(lambda s, s_max, eta: -(-s_max * eta**s // (s + 1)) or 1),
            "you count s_max brackets: there are s_max + 1 of them, s = 0 included",
        ),
        Mistake(
            "smallest_for_all",
            smallest_for_all,
            "every bracket starts on the smallest budget, so most never reach the largest: bracket "
            "s starts on max_budget / eta^s",
        ),
        Mistake(
            "kept_up",
            brackets_by(keep=lambda n, i, eta: -(-n // eta**i)),
            "the number that a rung keeps is rounded up: rung i keeps floor(n / eta^i)",
        ),
        Mistake(
            "dropped",
            brackets_by(keep=lambda n, i, eta: n - i * (n // eta)),
            "you drop one in eta at each rung: one in eta is *kept*, floor(n / eta^i)",
        ),
        Mistake(
            "all_kept",
            brackets_by(keep=lambda n, i, eta: n),
            "no rung drops any configuration: rung i keeps floor(n / eta^i)",
        ),
        Mistake(
            "from_zero",
            brackets_by(order=lambda s_max: range(s_max + 1)),
            "the right brackets, but s runs from 0 up: Hyperband begins with s_max, the boldest",
        ),
        Mistake(
            "last_left_out",
            brackets_by(order=lambda s_max: range(s_max, 0, -1)),
            "the bracket s = 0 is missing: random search on the whole budget, Hyperband's "
            "insurance",
        ),
        Mistake(
            "last_rung_missing",
            brackets_by(rungs=lambda s: range(s or 1)),
            "the last rung is missing: bracket s has s + 1 rungs, i = 0 .. s, the last on "
            "max_budget",
        ),
        Mistake(
            "budgets_downwards",
            brackets_by(budget=lambda top, s, i, eta: top / eta**i),
            "your budgets fall from rung to rung: many configurations get little, the few that "
            "are left get more",
        ),
    ),
    variants=(
        Variant("as in the paper", brackets_by_paper),
        Variant("lists, from the last on", brackets_by_lists),
        Variant("NumPy", brackets_by_numpy),
    ),
    hints=(
        "For s_max = 1, max_budget = 27, eta = 3: [[(3, 9.0), (1, 27.0)], [(2, 27.0)]].",
        "Bracket s: n = math.ceil((s_max + 1) * eta**s / (s + 1)), and its first budget is "
        "max_budget / eta**s.",
        "Its rungs: [(n // eta**i, max_budget / eta ** (s - i)) for i in range(s + 1)], for s from "
        "s_max down to 0.",
    ),
)


# --- Promotion ------------------------------------------------------------------------------------


def promoted_cases(g: Generator) -> list[tuple[list[float], int]]:
    """(losses, eta): rests, equal losses at the cut, failed runs."""
    found: list[tuple[list[float], int]] = [(spaced_losses(9, g), 3)]
    found += [failing(14, 4, (math.nan,), g), failing(11, 2, (math.inf, math.nan), g)]
    order = chosen(8, 8, g)
    equal = [(0.31, 0.52, 0.52, 0.52, 0.52, 0.64, 0.71, 0.83)[i] for i in order]
    ties = [0.4 if i < 2 else 0.5 for i in chosen(13, 13, g)]
    return [*found, (equal, 3), (ties, 3), (spaced_losses(2, g), 3)]


def failing(n: int, eta: int, failed: Floats, g: Generator) -> tuple[list[float], int]:
    """Draw losses with failed runs among them such that plain sorting promotes others."""
    while True:
        losses = spaced_losses(n, g)
        for value, i in zip(failed, chosen(len(failed), n, g), strict=True):
            losses[i] = value
        orders = (as_infinite, plainly_sorted, nan_first)
        if len({tuple(promoted_by(order=order)(losses, eta)) for order in orders}) == 3:
            return losses, eta


def spaced_losses(n: int, g: Generator) -> list[float]:
    return [0.2 + 0.1 * i + 0.001 * integer(0, 90, g) for i in chosen(n, n, g)]


def failed_last(losses: Floats) -> list[int]:
    return sorted(range(len(losses)), key=lambda i: (not math.isfinite(losses[i]), losses[i], i))


def plainly_sorted(losses: Floats) -> list[int]:
    return sorted(range(len(losses)), key=lambda i: losses[i])


def as_infinite(losses: Floats) -> list[int]:
    known = [math.inf if math.isnan(loss) else loss for loss in losses]
    return sorted(range(len(known)), key=known.__getitem__)


def promoted_by(
    count: Callable[[int, int], int] = lambda n, eta: n // eta,
    order: Callable[[Floats], list[int]] = as_infinite,
    give: Callable[[list[int], Floats], Any] = lambda best, losses: best,
) -> Callable[[Floats, int], Any]:
    """Say who is promoted, with one of the pieces exchanged."""
    return lambda losses, eta: give(order(losses)[: count(len(losses), eta)], losses)


def promoted_by_numpy(losses: Floats, eta: int) -> Any:
    return np.argsort(np.array(losses), kind="stable")[: len(losses) // eta]


def promoted_by_torch(losses: Floats, eta: int) -> Any:
    values = torch.tensor(losses, dtype=torch.float64).nan_to_num(nan=math.inf, posinf=math.inf)
    return torch.argsort(values, stable=True)[: len(losses) // eta]


def promoted_by_min(losses: Floats, eta: int) -> Any:
    left = {i: loss for i, loss in enumerate(losses) if loss < math.inf}
    found = []
    for _ in range(math.floor(len(losses) / eta)):
        best = min(left, key=lambda i: (left[i], i))
        del left[best]
        found.append(best)
    return tuple(found)


def highest_first(losses: Floats) -> list[int]:
    key = [math.inf if math.isnan(loss) else loss for loss in losses]
    return sorted(range(len(key)), key=lambda i: (-key[i], i))


def nan_first(losses: Floats) -> list[int]:
    return sorted(
        range(len(losses)), key=lambda i: -math.inf if math.isnan(losses[i]) else losses[i]
    )


def later_first(losses: Floats) -> list[int]:
    key = [math.inf if math.isnan(loss) else loss for loss in losses]
    return sorted(range(len(key)), key=lambda i: (key[i], -i))


def with_equals(losses: Floats, eta: int) -> list[int]:
    """All that are as good as the last one promoted."""
    best = promoted_by()(losses, eta)
    return [i for i in as_infinite(losses) if best and losses[i] <= losses[best[-1]]]


promoted = Question(
    name="promoted",
    title="Who is promoted",
    points=2,
    reference=promoted_by(),
    cases=promoted_cases,
    use=use_lists,
    parts=("the promoted ones",),
    mistakes=(
        Mistake(
            "worst",
            promoted_by(order=highest_first),
            "you promote the worst: lower is better, so the lowest losses go on",
        ),
        Mistake(
            "rounded_up",
            promoted_by(lambda n, eta: -(-n // eta)),
            "one too many is promoted where eta does not divide the number: round n / eta down",
        ),
        Mistake(
            "at_least_one",
            promoted_by(lambda n, eta: max(1, n // eta)),
            "of fewer than eta configurations you promote one: floor(n / eta) is 0 there, and the "
            "list is empty",
        ),
        Mistake(
            "dropped",
            promoted_by(lambda n, eta: n - n // eta),
            "you drop one in eta: one in eta is *promoted*, the rest is dropped",
        ),
        Mistake(
            "half",
            promoted_by(lambda n, eta: n // 2),
            "you keep half of them, whatever eta is: keep one in eta",
        ),
        Mistake(
            "nan_first",
            promoted_by(order=nan_first),
            "a run whose loss is nan is promoted: it failed, so it comes last",
        ),
        Mistake(
            "nan_sorted",
            promoted_by(order=plainly_sorted),
            "nan breaks the sorting, as every comparison with it is false: turn nan into infinity "
            "first",
        ),
        Mistake(
            "later_first",
            promoted_by(order=later_first),
            "of equal losses you take the later one: the earlier goes first",
        ),
        Mistake(
            "with_equals",
            with_equals,
            "equal losses at the cut make too many: of equal ones the earlier goes first, and "
            "exactly floor(n / eta) go on",
        ),
        Mistake(
            "losses",
            promoted_by(give=lambda best, losses: [losses[i] for i in best]),
            "those are the losses: return the places of the configurations",
        ),
        Mistake(
            "not_ordered",
            promoted_by(give=lambda best, losses: sorted(best)),
            "the right ones in the order of their places: give them from the best on",
        ),
    ),
    variants=(
        Variant("NumPy sorts nan last", promoted_by_numpy),
        Variant("torch", promoted_by_torch),
        Variant("one after the other", promoted_by_min),
        Variant("failed ones last", promoted_by(order=failed_last)),
    ),
    hints=(
        "Sort the places by loss: sorted(range(n), key=...). Python keeps the order of equal ones.",
        "nan: key = [math.inf if math.isnan(loss) else loss for loss in losses].",
        "sorted(range(n), key=key.__getitem__)[: n // eta]",
    ),
)
