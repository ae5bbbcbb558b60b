"""`halving` and `modelled_budget`: learning curves cut short, and which of them can be modelled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.tpe_hyperband_questions.shared import EXACT, Floats, apart, use_lists

# --- Successive halving ---------------------------------------------------------------------------

Curves = Sequence[Sequence[float]]
Rungs = Sequence[tuple[int, int]]
Run = Callable[[Curves, Rungs], Any]


HalvingCase = tuple[list[list[float]], list[tuple[int, int]]]


def halving_cases(g: Generator) -> list[HalvingCase]:
    """(curves, rungs): curves that cross, and others that rise again."""
    while True:
        found = [
            ([curve(rungs[-1][1], g) for _ in range(rungs[0][0])], rungs)
            for rungs in (
                [(9, 1), (3, 3), (1, 9)],
                [(8, 2), (4, 4), (2, 8)],
                [(11, 3), (3, 9)],
                [(9, 2), (4, 5), (2, 8)],
            )
        ]
        if telling(found):
            return found


def curve(epochs: int, g: Generator) -> list[float]:
    """Draw losses that fall, slowly or fast, and may rise later."""
    times = torch.arange(1, epochs + 1, dtype=torch.float64) / epochs
    fall = torch.exp(-times * uniform(1.0, 8.0, g))
    losses = uniform(0.2, 0.6, g) + fall + uniform(-0.2, 1.3, g) * times**2
    noise = 0.15 * torch.rand(epochs, generator=g, dtype=torch.float64)
    return [round(loss, 4) for loss in (losses + noise).tolist()]


def telling(cases: Sequence[HalvingCase]) -> bool:
    """Say that no losses are equal, and that whoever reads other losses finds other winners."""
    runs = (halving_by(), *WRONG_WINNERS)
    winners = [tuple(run(*case)[0] for case in cases) for run in runs]
    return len(set(winners)) == len(runs) and all(
        apart([losses[budget - 1] for losses in curves], 5e-5)
        for curves, rungs in cases
        for _, budget in rungs
    )


def last(losses: Floats, budget: int) -> float:
    return losses[budget - 1]


def from_the_start(rungs: Rungs) -> int:
    return sum(n * budget for n, budget in rungs)


def saved(rungs: Rungs) -> int:
    """What checkpoints save."""
    return sum(n * before for (n, _), (_, before) in zip(rungs[1:], rungs[:-1], strict=True))


def from_checkpoints(rungs: Rungs) -> int:
    return from_the_start(rungs) - saved(rungs)


def winner(alive: list[int], seen: list[tuple[float, int]]) -> int:
    return alive[0]


def halving_by(
    loss: Callable[[Floats, int], float] = last,
    sign: int = 1,
    renumbered: bool = False,
    best: Callable[[list[int], list[tuple[float, int]]], int] = winner,
    fresh: Callable[[Rungs], Any] = from_the_start,
    resumed: Callable[[Rungs], Any] = from_checkpoints,
    give: Callable[[int, Any, Any], Any] = lambda best, fresh, resumed: (best, fresh, resumed),
) -> Run:
    """Run successive halving on curves, with one of the pieces exchanged."""

    def halving(curves: Curves, rungs: Rungs) -> Any:
        alive = list(range(len(curves)))
        seen: list[tuple[float, int]] = []
        for n, budget in rungs:
            alive = alive[:n]
            if renumbered:
                curves, alive = [curves[i] for i in alive], list(range(n))
            now = sorted((sign * loss(curves[i], budget), i) for i in alive)
            seen += now
            alive = [i for _, i in now]
        return give(best(alive, seen), fresh(rungs), resumed(rungs))

    return halving


def best_so_far(losses: Floats, budget: int) -> float:
    return min(losses[:budget])


def one_late(losses: Floats, budget: int) -> float:
    return losses[min(budget, len(losses) - 1)]


def from_first_rung(curves: Curves, rungs: Rungs) -> Any:
    right = halving_by()(curves, rungs)
    first = [losses[rungs[0][1] - 1] for losses in curves]
    return (first.index(min(first)), *right[1:])


def all_to_the_end(curves: Curves, rungs: Rungs) -> Any:
    right = halving_by()(curves, rungs)
    ends = [losses[-1] for losses in curves]
    return (ends.index(min(ends)), *right[1:])


WORST = halving_by(sign=-1)
EARLY_BEST = halving_by(best_so_far)
MIXED = halving_by(best=lambda alive, seen: min(seen)[1])
RENUMBERED = halving_by(renumbered=True)
LATE = halving_by(one_late)

#: What finds another best configuration, not in every case but in some.
WRONG_WINNERS: tuple[Run, ...] = (
    WORST,
    EARLY_BEST,
    MIXED,
    RENUMBERED,
    LATE,
    from_first_rung,
    all_to_the_end,
)


def halving_by_numpy(curves: Curves, rungs: Rungs) -> Any:
    table, alive = np.array(curves), np.arange(len(curves))
    for n, budget in rungs:
        alive = alive[:n][np.argsort(table[alive[:n], budget - 1])]
    sizes, budgets = np.array(rungs).T
    return alive[0], sizes @ budgets, sizes @ np.diff(budgets, prepend=0)


def halving_by_dicts(curves: Curves, rungs: Rungs) -> Any:
    """Each configuration keeps its own account."""
    alive = dict(enumerate(curves))
    trained = dict.fromkeys(alive, 0)
    fresh = before = 0
    for n, budget in rungs:
        while len(alive) > n:
            del alive[max(alive, key=lambda i: alive[i][before - 1])]
        for i in alive:
            trained[i] = budget
            fresh += budget
        before = budget
    return min(alive, key=lambda i: alive[i][before - 1]), fresh, sum(trained.values())


def halving_by_tensors(curves: Curves, rungs: Rungs) -> Any:
    table = torch.tensor(curves, dtype=torch.float64)
    alive = torch.arange(len(table))
    for n, budget in rungs:
        alive = alive[:n]
        alive = alive[table[alive, budget - 1].argsort()]
    budgets = torch.tensor([budget for _, budget in rungs])
    sizes = torch.tensor([n for n, _ in rungs])
    steps = torch.diff(budgets, prepend=torch.tensor([0]))
    return [alive[0], (sizes * budgets).sum(), (sizes * steps).sum()]


halving = Question(
    name="halving",
    title="Successive halving",
    points=3,
    reference=halving_by(),
    cases=halving_cases,
    use=use_lists,
    parts=("the best one", "the epochs from the start", "the epochs from checkpoints"),
    mistakes=(
        Mistake(
            "worst",
            WORST,
            "you keep the worst on each rung: lower is better",
        ),
        Mistake(
            "best_so_far",
            EARLY_BEST,
            "you compare the lowest loss up to the budget: what counts is the loss *at* the "
            "budget, losses[budget - 1], as that is the network that there is",
        ),
        Mistake(
            "budgets_mixed",
            MIXED,
            "you look for the lowest loss of all rungs: losses after different numbers of epochs "
            "cannot be compared, so take the best of the last rung",
        ),
        Mistake(
            "first_rung",
            from_first_rung,
            "that is the best of the first rung: it has only begun, so promote the best and look "
            "at the last rung",
        ),
        Mistake(
            "all_to_the_end",
            all_to_the_end,
            "you compare all configurations at the end: those that were not promoted have not been "
            "trained that far, and nobody knows their losses",
        ),
        Mistake(
            "renumbered",
            RENUMBERED,
            "the number is that among those who are left: return the configuration's number among "
            "all curves",
        ),
        Mistake(
            "one_late",
            LATE,
            "curves[i][budget] is the loss after one epoch more: the list begins with the loss "
            "after epoch 1, so take curves[i][budget - 1]",
        ),
        Mistake(
            "all_trained",
            halving_by(
                fresh=lambda rungs: rungs[0][0] * rungs[-1][1],
                resumed=lambda rungs: rungs[0][0] * rungs[-1][1],
            ),
            "you count the epochs of training all configurations to the end: only those that are "
            "promoted go on",
        ),
        Mistake(
            "always_fresh",
            halving_by(resumed=from_the_start),
            "the third number is the same as the second: from a checkpoint, a promoted "
            "configuration needs only the epochs that are new, budget minus the budget before",
        ),
        Mistake(
            "never_fresh",
            halving_by(fresh=from_checkpoints),
            "the second number is the same as the third: if each rung trains from the start, a "
            "promoted configuration costs the whole budget again",
        ),
        Mistake(
            "saved",
            halving_by(resumed=saved),
            "the third number is what checkpoints save: return what is left to train with them",
        ),
        Mistake(
            "numbers_forgotten",
            halving_by(
                fresh=lambda rungs: sum(budget for _, budget in rungs),
                resumed=lambda rungs: rungs[-1][1],
            ),
            "you count the epochs of one configuration: multiply each budget by how many are on "
            "its rung",
        ),
        Mistake(
            "exchanged",
            halving_by(give=lambda best, fresh, resumed: (best, resumed, fresh)),
            "the two numbers of epochs are exchanged: first from the start, then from checkpoints",
        ),
    ),
    variants=(
        Variant("accounts", halving_by_dicts),
        Variant("tensors", halving_by_tensors),
        Variant("NumPy", halving_by_numpy),
    ),
    hints=(
        "Keep a list of the numbers that are left. On each rung: sort it by curves[i][budget - 1], "
        "and cut it to the size of the next rung.",
        "From the start each of n configurations costs budget epochs; from a checkpoint budget "
        "minus the budget of the rung before (0 at first).",
        "for n, budget in rungs: alive = sorted(alive[:n], key=lambda i: curves[i][budget - 1]); "
        "fresh += n * budget; resumed += n * (budget - done); done = budget.",
    ),
)


# --- The budget to model --------------------------------------------------------------------------

Results = Sequence[tuple[float, float]]


def modelled_cases(g: Generator) -> list[tuple[list[tuple[float, float]], int]]:
    """(results, parameters): budgets with just enough, one too few, none at all."""
    found: list[tuple[list[tuple[float, float]], int]] = []
    for parameters, extra in (
        (1, (5, 0, -2)),
        (2, (4, 2, -1)),
        (4, (3, -1, -2)),
        (3, (-1, -2, -3)),
        (2, (1, 3, -1)),
        (7, (-7, -8, -8)),
        (3, (6, 3, 1)),
    ):
        results = []
        for more, budget in zip(extra, (3.0, 9.0, 27.0), strict=True):
            for _ in range(parameters + 3 + more):
                results.append((budget, uniform(0.1, 0.9, g)))
        order: list[int] = torch.randperm(len(results), generator=g).tolist()
        found.append(([results[i] for i in order], parameters))
    return found


def enough(parameters: int) -> int:
    return parameters + 3


def count_of(results: Results, budget: float) -> int:
    return sum(one == budget for one, _ in results)


def modelled_by(
    least: Callable[[int], int] = enough,
    pick: Callable[[Sequence[float]], Any] = max,
    count: Callable[[Results, float], int] = count_of,
    none: Callable[[Results], Any] = lambda results: None,
) -> Callable[[Results, int], Any]:
    """Say which budget is modelled, with one of the pieces exchanged."""

    def modelled_budget(results: Results, parameters: int) -> Any:
        budgets = {budget for budget, _ in results}
        good = [b for b in sorted(budgets) if count(results, b) >= least(parameters)]
        return pick(good) if good else none(results)

    return modelled_budget


def most_results(results: Results, parameters: int) -> Any:
    budgets = [budget for budget, _ in results]
    best = max(sorted(set(budgets)), key=budgets.count)
    return best if budgets.count(best) >= enough(parameters) else None


def modelled_by_numpy(results: Results, parameters: int) -> Any:
    budgets, found = np.unique([budget for budget, _ in results], return_counts=True)
    good = budgets[found >= parameters + 3]
    return good[-1] if len(good) else None


def modelled_by_dict(results: Results, parameters: int) -> Any:
    found: dict[float, list[float]] = {}
    for budget, loss in results:
        found.setdefault(budget, []).append(loss)
    for budget in sorted(found, reverse=True):
        if len(found[budget]) > parameters + 2:
            return budget
    return None


modelled_budget = Question(
    name="modelled_budget",
    title="The budget that BOHB models",
    points=1,
    reference=modelled_by(),
    cases=modelled_cases,
    parts=("the budget",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "smallest",
            modelled_by(pick=min),
            "you take the smallest budget with enough results: the largest one is nearest to what "
            "is searched for",
        ),
        Mistake(
            "largest_of_all",
            modelled_by(lambda parameters: 1),
            "you take the largest budget, however few its results: it needs d + 3 of them",
        ),
        Mistake(
            "most_results",
            most_results,
            "you take the budget with the most results: that is nearly always the smallest; take "
            "the largest one that has enough",
        ),
        Mistake(
            "more_than_enough",
            modelled_by(lambda parameters: parameters + 4),
            "d + 3 results are enough: you ask for more than that",
        ),
        Mistake(
            "one_too_few",
            modelled_by(lambda parameters: parameters + 2),
            "you are content with d + 2 results: d + 3 are needed",
        ),
        Mistake(
            "budgets_mixed",
            modelled_by(count=lambda results, budget: len(results)),
            "you count the results of all budgets together: values on different budgets cannot be "
            "compared, so each budget is counted by itself",
        ),
        Mistake(
            "at_least_that_large",
            modelled_by(count=lambda results, budget: sum(one >= budget for one, _ in results)),
            "you count results on larger budgets too: values on different budgets cannot be "
            "compared, so each budget is counted by itself",
        ),
        Mistake(
            "smallest_for_none",
            modelled_by(none=lambda results: min(budget for budget, _ in results)),
            "no budget has enough results, and you return the smallest: return None, then the "
            "configuration is random",
        ),
        Mistake(
            "number_of_results",
            lambda results, parameters: (
                None
                if (budget := modelled_by()(results, parameters)) is None
                else count_of(results, budget)
            ),
            "that is how many results it has: return the budget",
        ),
    ),
    variants=(
        Variant("NumPy", modelled_by_numpy),
        Variant("a dict, from the largest on", modelled_by_dict),
        Variant("from pieces", modelled_by()),
    ),
    hints=(
        "Count the results of each budget: [budget for budget, loss in results].count(budget).",
        "Of the budgets with d + 3 results or more take the largest; if there is none, None.",
        "max((b for b in set(budgets) if budgets.count(b) >= parameters + 3), default=None)",
    ),
)
