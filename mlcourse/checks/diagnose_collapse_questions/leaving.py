"""`margins`, `relied_on` and `rank_correlation`: what the supernet says of its parts."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.compare import plain
from mlcourse.checks.complexity_questions.shared import DTYPE
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Forbidden, Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import integer, shuffled

Numbers = list[float]

# --- How decided an edge is -----------------------------------------------------------------------


def margin_cases(g: Generator) -> list[tuple[Tensor, int]]:
    """(alpha, the number of none): none the strongest, the second, and weak; anywhere."""
    cases = []
    for edges, count, none in ((14, 8, 0), (5, 5, 2), (9, 4, 3), (5, 3, 1)):
        alpha = normal(edges, count, generator=g, dtype=DTYPE)
        alpha[::2, none] = alpha[::2].amax(1) + 0.5
        alpha[1::4, none] = alpha[1::4].amax(1) - 0.1
        cases.append((alpha, none))
    return cases


def others(table: Tensor, none: int) -> Tensor:
    return torch.cat([table[:, :none], table[:, none + 1 :]], 1)


def margin_by(
    strengths: Callable[[Tensor, int], Tensor] = lambda alpha, none: others(alpha.softmax(1), none),
    show: Callable[[Tensor, Tensor], Tensor] = lambda first, second: first - second,
) -> Callable[[Tensor, int], Tensor]:
    """The margin with one piece exchanged."""

    def margins(alpha: Tensor, none: int) -> Tensor:
        top = strengths(alpha, none).sort(dim=1, descending=True).values
        return show(top[:, 0], top[:, 1])

    return margins


def margin_by_loops(alpha: Tensor, none: int) -> Tensor:
    found = []
    for row in alpha.softmax(1).tolist():
        first, second = sorted((s for k, s in enumerate(row) if k != none), reverse=True)[:2]
        found.append(first - second)
    return torch.tensor(found, dtype=alpha.dtype)


def margin_by_masking(alpha: Tensor, none: int) -> Tensor:
    p = alpha.softmax(1)
    p[:, none] = -1.0
    top = p.topk(2, dim=1).values
    return top[:, 0] - top[:, 1]


def margin_by_numpy(alpha: Tensor, none: int) -> Any:
    p = np.delete(alpha.softmax(1).numpy(), none, axis=1)
    p = np.partition(p, -2, axis=1)
    return p[:, -1] - p[:, -2]


margins = Question(
    name="margins",
    title="How decided each edge is",
    points=1,
    reference=margin_by(),
    cases=margin_cases,
    parts=("the margins",),
    mistakes=(
        Mistake(
            "none_counted",
            margin_by(lambda alpha, none: alpha.softmax(1)),
            "none is among your two best: the rule never chooses it, so it is no rival",
        ),
        Mistake(
            "none_outside",
            margin_by(lambda alpha, none: others(alpha, none).softmax(1)),
            "you leave none out of the softmax: it is no rival, but it has its share of the edge",
        ),
        Mistake(
            "first_column",
            lambda alpha, none: margin_by()(alpha, 0),
            "you leave out column 0: which column is that of none, the second argument says",
        ),
        Mistake(
            "over_edges",
            margin_by(lambda alpha, none: others(alpha.softmax(0), none)),
            "your softmax runs over the edges: it runs over the operations of an edge",
        ),
        Mistake(
            "raw",
            margin_by(lambda alpha, none: others(alpha, none)),
            "you compare the alphas themselves: compare strengths, their softmax",
        ),
        Mistake(
            "ratio",
            margin_by(show=lambda first, second: first / second),
            "that is the ratio of the two: give their difference",
        ),
        Mistake(
            "sign",
            margin_by(show=lambda first, second: second - first),
            "the margin has the wrong sign: the best minus the second, so never negative",
        ),
        Mistake(
            "best_alone",
            margin_by(show=lambda first, second: first),
            "that is the strength of the best: take away that of the second",
        ),
        Mistake(
            "from_the_weakest",
            lambda alpha, none: (
                others(alpha.softmax(1), none).amax(1) - others(alpha.softmax(1), none).amin(1)
            ),
            "you take away the strength of the weakest: the rival is the *second*",
        ),
        Mistake(
            "from_the_mean",
            lambda alpha, none: (
                others(alpha.softmax(1), none).amax(1) - others(alpha.softmax(1), none).mean(1)
            ),
            "you take away the mean strength: the rival is the *second*",
        ),
    ),
    variants=(
        Variant("loops", margin_by_loops),
        Variant("masking", margin_by_masking),
        Variant("numpy", margin_by_numpy),
    ),
    hints=(
        "First the softmax over all operations of an edge, then leave none out.",
        "topk(2, dim=1) gives the two largest of each row.",
    ),
)

# --- Taking an operation out ----------------------------------------------------------------------


def removal_cases(g: Generator) -> list[tuple[float, float, Numbers, Numbers]]:
    """(before, longer, at once, retrained): each of the operations is first in another respect."""
    cases = []
    for case, count in enumerate((7, 8, 9, 7)):
        before = uniform(0.7, 0.8, g)
        longer = before + uniform(0.03, 0.05, g) * (1 if count % 2 else -1)
        now = [uniform(0.04, 0.06, g) for _ in range(count)]
        later = [uniform(0.005, 0.015, g) for _ in range(count)]
        missed, needed, relied, unneeded, grew, better = shuffled(count, g)[:6]
        now[missed], later[missed] = uniform(0.39, 0.41, g), uniform(0.21, 0.23, g)
        now[needed], later[needed] = uniform(0.35, 0.37, g), uniform(0.31, 0.33, g)
        now[relied], later[relied] = uniform(0.24, 0.26, g), uniform(0.01, 0.02, g)
        now[unneeded], later[unneeded] = uniform(0.03, 0.04, g), 0.0
        now[grew], later[grew] = uniform(0.005, 0.01, g), 0.06 if case % 2 else 0.28
        now[better], later[better] = uniform(-0.03, -0.02, g), uniform(-0.04, -0.03, g)
        cases.append(
            (before, longer, [before - cost for cost in now], [longer - cost for cost in later])
        )
    return cases


def use_removal(answer: Callable[..., Any], *args: Any) -> Any:
    """Call the answer; tensors may stand for the two lists."""
    result = plain(answer(*args))
    if not isinstance(result, (list, tuple)):
        return result
    return tuple(x.tolist() if isinstance(x, Tensor) and x.dim() == 1 else x for x in result)


def from_before(before: float, longer: float, accuracies: Numbers) -> Numbers:
    return [before - accuracy for accuracy in accuracies]


def from_longer(before: float, longer: float, accuracies: Numbers) -> Numbers:
    return [longer - accuracy for accuracy in accuracies]


def removal_by(
    now: Callable[[float, float, Numbers], Numbers] = from_before,
    later: Callable[[float, float, Numbers], Numbers] = from_longer,
    pick: Callable[[Numbers, Numbers], int] = lambda now, later: int(
        np.argmax(np.subtract(now, later))
    ),
    show: Callable[[Numbers, Numbers, int], Any] = lambda now, later, k: (now, later, k),
) -> Callable[[float, float, Numbers, Numbers], Any]:
    """The costs with one piece exchanged."""

    def relied_on(before: float, longer: float, at_once: Numbers, retrained: Numbers) -> Any:
        costs = now(before, longer, at_once), later(before, longer, retrained)
        return show(*costs, pick(*costs))

    return relied_on


def removal_by_tensors(before: float, longer: float, at_once: Numbers, retrained: Numbers) -> Any:
    now = before - torch.tensor(at_once, dtype=DTYPE)
    later = longer - torch.tensor(retrained, dtype=DTYPE)
    return now.tolist(), later.tolist(), int((now - later).argmax())


def removal_in_tensors(before: float, longer: float, at_once: Numbers, retrained: Numbers) -> Any:
    now, later = before - torch.tensor(at_once), longer - torch.tensor(retrained)
    return now, later, (now - later).argmax()


def removal_by_loop(before: float, longer: float, at_once: Numbers, retrained: Numbers) -> Any:
    now, later, best = [], [], 0
    for k in range(len(at_once)):
        now.append(before - at_once[k])
        later.append(longer - retrained[k])
        if now[k] - later[k] > now[best] - later[best]:
            best = k
    return [now, later, best]


def removal_by_gains(before: float, longer: float, at_once: Numbers, retrained: Numbers) -> Any:
    """What comes back is largest where the accuracy rises most by training without it."""
    gains = [b - a for a, b in zip(at_once, retrained, strict=True)]
    return (
        [before - a for a in at_once],
        [longer - a for a in retrained],
        gains.index(max(gains)),
    )


relied_on = Question(
    name="relied_on",
    title="Missed, or only relied on?",
    points=2,
    reference=removal_by(),
    cases=removal_cases,
    use=use_removal,
    parts=("the costs at once", "the costs after training on", "the most relied on"),
    mistakes=(
        Mistake(
            "sign",
            removal_by(lambda b, l, x: [a - b for a in x], lambda b, l, x: [a - l for a in x]),
            "your costs have the wrong sign: what is *lost* without the operation",
        ),
        Mistake(
            "not_trained_longer",
            removal_by(later=from_before),
            "you compare the supernet that was trained on with the one before: compare with the "
            "whole supernet after the *same* training, else its gain counts as the operation's",
        ),
        Mistake(
            "longer_for_both",
            removal_by(now=from_longer),
            "you compare the supernet that was not trained on with one that was: the cost at once "
            "is measured against before",
        ),
        Mistake(
            "exchanged_references",
            removal_by(from_longer, from_before),
            "before and longer are exchanged: before goes with at_once, longer with retrained",
        ),
        Mistake(
            "relative",
            removal_by(
                lambda b, l, x: [(b - a) / b for a in x],
                lambda b, l, x: [(l - a) / l for a in x],
            ),
            "your costs are divided by the accuracy: give them as differences",
        ),
        Mistake(
            "most_missed_at_once",
            removal_by(pick=lambda now, later: int(np.argmax(now))),
            "you name the operation that costs most at once: the one that is most relied on costs "
            "much more at once than after training on",
        ),
        Mistake(
            "most_needed",
            removal_by(pick=lambda now, later: int(np.argmax(later))),
            "you name the operation that costs most after training on: that one is *needed*, and "
            "not only relied on",
        ),
        Mistake(
            "least",
            removal_by(pick=lambda now, later: int(np.argmin(np.subtract(now, later)))),
            "you name the operation whose two costs differ least: most is asked for",
        ),
        Mistake(
            "largest_share",
            removal_by(
                pick=lambda now, later: int(np.argmax(np.subtract(now, later) / np.array(now)))
            ),
            "you name the operation of whose cost the largest *share* has gone: a small cost that "
            "goes is no great reliance, take the largest difference",
        ),
        Mistake(
            "least_in_the_end",
            removal_by(pick=lambda now, later: int(np.argmin(later))),
            "you name the operation that costs least after training on: perhaps it was never "
            "missed, take the one whose cost went *down* by most",
        ),
        Mistake(
            "change_without_sign",
            removal_by(pick=lambda now, later: int(np.argmax(np.abs(np.subtract(now, later))))),
            "you take the largest change of a cost, up or down: a cost that went up was not "
            "relied on",
        ),
        Mistake(
            "costs_without_sign",
            removal_by(
                lambda b, l, x: [abs(b - a) for a in x], lambda b, l, x: [abs(l - a) for a in x]
            ),
            "your costs have lost their sign: without an operation the supernet can also be "
            "better, and the cost is then negative",
        ),
        Mistake(
            "no_negative_costs",
            removal_by(
                lambda b, l, x: [max(b - a, 0.0) for a in x],
                lambda b, l, x: [max(l - a, 0.0) for a in x],
            ),
            "your costs stop at 0: without an operation the supernet can also be better, and the "
            "cost is then negative",
        ),
        Mistake(
            "from_one",
            removal_by(show=lambda now, later, k: (now, later, k + 1)),
            "your number counts from 1: operations count from 0, as in the lists",
        ),
        Mistake(
            "lists_exchanged",
            removal_by(show=lambda now, later, k: (later, now, k)),
            "the two lists are exchanged: first the costs at once",
        ),
    ),
    variants=(
        Variant("tensors", removal_by_tensors),
        Variant("tensors of float32", removal_in_tensors),
        Variant("a loop", removal_by_loop),
        Variant("by what comes back", removal_by_gains),
    ),
    hints=(
        "Two differences: before - at_once[k], and longer - retrained[k].",
        "Relied on is the one with the largest difference between these two costs.",
    ),
)

# --- The order of cells ---------------------------------------------------------------------------


def rank_cases(g: Generator) -> list[tuple[Numbers, Numbers]]:
    """Ties in one list, in both, three of a kind, and none; curved, falling."""
    cases = []
    for count, ties in ((7, 2), (9, 3), (6, 2), (8, 0)):
        a = [uniform(0.2, 0.9, g) for _ in range(count)]
        b = [x**3 + uniform(-0.15, 0.15, g) for x in a]
        for i in range(ties):
            a[i] = a[0]
            if ties == 3:
                b[count - 1 - i] = b[-1]
        order = shuffled(count, g)
        cases.append(([a[i] for i in order], [b[i] for i in order]))
    a = [uniform(0.2, 0.9, g) for _ in range(8)]
    b = [round(1 - x + uniform(-0.1, 0.1, g), 1) for x in a]
    b[0] = b[1] = b[2]
    a[integer(3, 7, g)] = a[2]
    return [*cases, (a, b)]


def mean_ranks(x: Sequence[float]) -> Numbers:
    ordered = sorted(x)
    return [(bisect_left(ordered, v) + bisect_right(ordered, v) - 1) / 2 for v in x]


def first_come(x: Sequence[float]) -> Numbers:
    ranks = [0.0] * len(x)
    for rank, i in enumerate(sorted(range(len(x)), key=x.__getitem__)):
        ranks[i] = float(rank)
    return ranks


def sorted_once(x: Sequence[float]) -> Numbers:
    """The places of the values in order: what `argsort` returns."""
    return [float(i) for i in sorted(range(len(x)), key=x.__getitem__)]


def lowest_ranks(x: Sequence[float]) -> Numbers:
    ordered = sorted(x)
    return [float(bisect_left(ordered, v)) for v in x]


def highest_ranks(x: Sequence[float]) -> Numbers:
    ordered = sorted(x)
    return [float(bisect_right(ordered, v)) for v in x]


def dense_ranks(x: Sequence[float]) -> Numbers:
    levels = sorted(set(x))
    return [float(levels.index(v)) for v in x]


def pearson(a: Sequence[float], b: Sequence[float]) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def spearman_by(ranks: Callable[[Sequence[float]], Numbers]) -> Callable[[Numbers, Numbers], float]:
    return lambda a, b: pearson(ranks(a), ranks(b))


def short_formula(a: Numbers, b: Numbers) -> float:
    """Right without ties only."""
    squares = sum((x - y) ** 2 for x, y in zip(mean_ranks(a), mean_ranks(b), strict=True))
    return 1 - 6 * squares / (len(a) * (len(a) ** 2 - 1))


def kendall(a: Numbers, b: Numbers) -> float:
    signs = [np.sign(np.subtract.outer(x, x)) for x in (np.array(a), np.array(b))]
    return float(
        (signs[0] * signs[1]).sum() / np.sqrt((signs[0] ** 2).sum() * (signs[1] ** 2).sum())
    )


def by_comparisons(a: Numbers, b: Numbers) -> float:
    def ranks(x: Numbers) -> Tensor:
        t = torch.tensor(x, dtype=DTYPE)
        table = (t[:, None] > t).double() + 0.5 * (t[:, None] == t).double()
        return table.sum(1)

    u, v = (r - r.mean() for r in (ranks(a), ranks(b)))
    return float(u @ v / (u.norm() * v.norm()))


def by_sorting(a: Numbers, b: Numbers) -> float:
    def ranks(x: Numbers) -> Numbers:
        order = sorted(range(len(x)), key=lambda i: x[i])
        found, start = [0.0] * len(x), 0
        while start < len(order):
            end = start
            while end < len(order) and x[order[end]] == x[order[start]]:
                end += 1
            for i in order[start:end]:
                found[i] = (start + 1 + end) / 2
            start = end
        return found

    return pearson(ranks(a), ranks(b))


def by_deviations(a: Numbers, b: Numbers) -> float:
    u, v = mean_ranks(a), mean_ranks(b)
    middle = (len(a) - 1) / 2
    top = sum((x - middle) * (y - middle) for x, y in zip(u, v, strict=True))
    sizes = [sum((x - middle) ** 2 for x in w) for w in (u, v)]
    return float(top / (sizes[0] * sizes[1]) ** 0.5)


READY_MADE = Forbidden(
    "statistics",
    "the correlation is to be written without a library for statistics: numpy and torch may find "
    "Pearson's correlation, but the ranks are yours",
    attributes=frozenset({"spearmanr", "rankdata"}),
)

rank_correlation = Question(
    name="rank_correlation",
    title="Is the order kept?",
    points=2,
    reference=spearman_by(mean_ranks),
    cases=rank_cases,
    parts=("the correlation",),
    mistakes=(
        Mistake(
            "values",
            pearson,
            "that is the correlation of the accuracies themselves: replace them by their ranks",
        ),
        Mistake(
            "first_come",
            spearman_by(first_come),
            "equal values have different ranks, by their place in the list: give each the mean of "
            "the ranks that they share",
        ),
        Mistake(
            "sorted_once",
            spearman_by(sorted_once),
            "you correlate what argsort returns: that is the place of the smallest value, of the "
            "next, and so on, and not the rank of each value",
        ),
        Mistake(
            "lowest",
            spearman_by(lowest_ranks),
            "equal values have the lowest of their ranks: give them the mean of the ranks that "
            "they share",
        ),
        Mistake(
            "highest",
            spearman_by(highest_ranks),
            "equal values have the highest of their ranks: give them the mean of the ranks that "
            "they share",
        ),
        Mistake(
            "dense",
            spearman_by(dense_ranks),
            "after equal values your ranks go on by 1: three of a kind use up three ranks, and "
            "each has their mean",
        ),
        Mistake(
            "short_formula",
            short_formula,
            "the formula with 6 times the squared differences holds without ties only: take "
            "Pearson's correlation of the ranks",
        ),
        Mistake(
            "kendall",
            kendall,
            "that is Kendall's tau, which counts pairs: here the ranks are correlated",
        ),
        Mistake(
            "sign",
            lambda a, b: -spearman_by(mean_ranks)(a, b),
            "the sign is wrong: both lists are ranked in the same direction",
        ),
        Mistake(
            "squared",
            lambda a, b: spearman_by(mean_ranks)(a, b) ** 2,
            "that is the square of the correlation, which has lost its sign",
        ),
        Mistake(
            "not_centred",
            lambda a, b: float(
                np.dot(mean_ranks(a), mean_ranks(b))
                / np.linalg.norm(mean_ranks(a))
                / np.linalg.norm(mean_ranks(b))
            ),
            "you did not subtract the mean rank: without it all correlations are near 1",
        ),
        Mistake(
            "covariance",
            lambda a, b: float(np.cov(mean_ranks(a), mean_ranks(b))[0, 1]),
            "that is the covariance of the ranks: divide by both standard deviations",
        ),
    ),
    variants=(
        Variant("comparisons", by_comparisons),
        Variant("sorting, from 1", by_sorting),
        Variant("deviations", by_deviations),
    ),
    forbidden=(READY_MADE,),
    hints=(
        "The rank of a value is the number of smaller ones plus half the number of *other* equal "
        "ones.",
        "Ranks that all begin at 0 or all at 1 make no difference to the correlation.",
        "With ranks u and v minus their mean: sum(u v) / sqrt(sum(u^2) sum(v^2)).",
    ),
)
