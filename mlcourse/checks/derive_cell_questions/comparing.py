"""`discretisation_gap` and `kendall_tau`: what is lost, and whether the order is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.complexity_questions.shared import DTYPE
from mlcourse.checks.declare import Forbidden, Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import EXACT, integer, shuffled

# --- The discretisation gap -----------------------------------------------------------------------


def gap_cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(outputs, alpha, y): none strongest, not strongest; the strongest best, and not best.

    In the last one the kept operation is better than the mixture.
    """
    cases = []
    for count, n, none in ((4, 6, 2.0), (5, 4, -1.0), (3, 8, 1.5), (6, 5, 0.0)):
        outputs = normal(count, n, generator=g, dtype=DTYPE)
        outputs[0] = 0.0
        alpha = 0.6 * normal(count, generator=g, dtype=DTYPE)
        alpha[0] = none
        best, other = (1 + i for i in torch.randperm(count - 1, generator=g)[:2].tolist())
        alpha[other] = 1.0
        y = 0.8 * outputs[best] + 0.4 * outputs[other]
        cases.append((outputs, alpha, y + 0.2 * normal(n, generator=g, dtype=DTYPE)))
    cases.append((outputs, alpha, 1.1 * outputs[kept(alpha)]))
    return cases


def mean_square(f: Tensor, y: Tensor) -> Tensor:
    return ((f - y) ** 2).mean()


def kept(alpha: Tensor) -> int:
    return 1 + int(alpha[1:].argmax())


def gap_by(
    mixture: Callable[[Tensor, Tensor], Tensor] = lambda o, a: a.softmax(0) @ o,
    choice: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda o, a, y: o[kept(a)],
    loss: Callable[[Tensor, Tensor], Tensor] = mean_square,
    show: Callable[[Tensor, Tensor], Any] = lambda relaxed, kept: (relaxed, kept, kept - relaxed),
) -> Callable[[Tensor, Tensor, Tensor], Any]:
    """The gap with one piece exchanged."""
    return lambda outputs, alpha, y: show(
        loss(mixture(outputs, alpha), y), loss(choice(outputs, alpha, y), y)
    )


def gap_by_loops(outputs: Tensor, alpha: Tensor, y: Tensor) -> tuple[float, float, float]:
    p = alpha.softmax(0).tolist()
    k = max(range(1, len(p)), key=lambda k: p[k])
    relaxed = single = 0.0
    for i in range(len(y)):
        mixed = sum(p[j] * float(outputs[j, i]) for j in range(len(p)))
        relaxed += (mixed - float(y[i])) ** 2 / len(y)
        single += (float(outputs[k, i]) - float(y[i])) ** 2 / len(y)
    return relaxed, single, single - relaxed


def gap_by_masking(outputs: Tensor, alpha: Tensor, y: Tensor) -> list[Tensor]:
    p = alpha.softmax(0)
    mixed = torch.einsum("k,kn->n", p, outputs)
    others = p.clone()
    others[0] = 0.0
    losses = [torch.nn.functional.mse_loss(f, y) for f in (mixed, outputs[others.argmax()])]
    return [losses[0], losses[1], losses[1] - losses[0]]


discretisation_gap = Question(
    name="discretisation_gap",
    title="The discretisation gap of an edge",
    points=2,
    reference=gap_by(),
    cases=gap_cases,
    tolerance=EXACT,
    parts=("the mixture's loss", "the kept operation's loss", "the gap"),
    mistakes=(
        Mistake(
            "none_kept",
            gap_by(choice=lambda o, a, y: o[a.argmax()]),
            "you keep none where it is the strongest: it has a share, but is never chosen",
        ),
        Mistake(
            "none_before",
            gap_by(mixture=lambda o, a: a[1:].softmax(0) @ o[1:]),
            "your mixture has no none in its softmax: the edge of the search has it",
        ),
        Mistake(
            "still_weighted",
            gap_by(choice=lambda o, a, y: a.softmax(0)[kept(a)] * o[kept(a)]),
            "the kept operation still has its weight p_k: in the derived cell it is used as it is",
        ),
        Mistake(
            "place_without_none",
            gap_by(choice=lambda o, a, y: o[int(a[1:].argmax())]),
            "your place counts from the first operation after none: add 1 before you take the "
            "outputs of that place",
        ),
        Mistake(
            "best_by_loss",
            gap_by(
                choice=lambda o, a, y: o[1 + int(((o[1:] - y) ** 2).mean(1).argmin())],
            ),
            "you keep the operation with the lowest loss: the rule keeps the one with the largest "
            "weight, which need not be the same",
        ),
        Mistake(
            "sign",
            gap_by(show=lambda relaxed, kept: (relaxed, kept, relaxed - kept)),
            "the gap has the wrong sign: what the loss *rises* by, kept - mixture",
        ),
        Mistake(
            "absolute",
            gap_by(show=lambda relaxed, kept: (relaxed, kept, abs(kept - relaxed))),
            "your gap has lost its sign: where the choice is better than the mixture, it is "
            "negative",
        ),
        Mistake(
            "ratio",
            gap_by(show=lambda relaxed, kept: (relaxed, kept, kept / relaxed)),
            "that is the ratio of the two losses: give their difference",
        ),
        Mistake(
            "exchanged",
            gap_by(show=lambda relaxed, kept: (kept, relaxed, kept - relaxed)),
            "the two losses are exchanged: first the mixture's",
        ),
        Mistake(
            "alphas",
            gap_by(mixture=lambda o, a: a @ o),
            "your mixture has the alphas themselves as weights: take their softmax",
        ),
        Mistake(
            "sum",
            gap_by(loss=lambda f, y: ((f - y) ** 2).sum()),
            "your loss is a sum: take the mean of the squares",
        ),
        Mistake(
            "half",
            gap_by(loss=lambda f, y: mean_square(f, y) / 2),
            "your loss has a factor 1/2: the plain mean of the squares is asked for",
        ),
        Mistake(
            "mixture_of_losses",
            lambda o, a, y: (
                a.softmax(0) @ ((o - y) ** 2).mean(1),
                mean_square(o[kept(a)], y),
                mean_square(o[kept(a)], y) - a.softmax(0) @ ((o - y) ** 2).mean(1),
            ),
            "you mix the losses of the operations: the edge mixes their *outputs*, and one loss is "
            "taken of that",
        ),
    ),
    variants=(
        Variant("loops", gap_by_loops),
        Variant("masked", gap_by_masking),
        Variant("logarithm and back", gap_by(lambda o, a: a.log_softmax(0).exp() @ o)),
    ),
    hints=(
        "Two predictions: alpha.softmax(0) @ outputs, and outputs[k] for one k.",
        "k is the place of the largest alpha among the places from 1 on.",
        "k = 1 + int(alpha[1:].argmax())",
    ),
)


# --- The rank correlation -------------------------------------------------------------------------


def tau_cases(g: Generator) -> list[tuple[list[float], list[float]]]:
    """Accuracies without ties, with ties on one side, on both, and on the same pair."""
    cases = []
    for n, ties in ((7, (0, 0)), (8, (2, 0)), (9, (1, 3)), (6, (1, 1))):
        a = [round(0.8 + 0.01 * place, 3) for place in shuffled(n, g)]
        noise = [place / n for place in shuffled(n, g)]
        ranks = sorted(range(n), key=lambda i: a[i] + 0.06 * noise[i])
        b = [0.0] * n
        for place, i in enumerate(ranks):
            b[i] = round(0.9 + 0.004 * place, 4)
        for values, count in ((a, ties[0]), (b, ties[1])):
            for _ in range(count):
                one, other = shuffled(n, g)[:2]
                values[one] = values[other]
        cases.append((a, b))
    start = integer(0, 5, g) / 100
    tied = [start + x for x in (0.5, 0.5, 0.6, 0.7, 0.7)]
    cases.append((tied, [0.91, 0.91, 0.94, 0.92, 0.95]))
    return cases


def signs(values: Sequence[float]) -> np.ndarray:
    """The sign of each pair, +1, -1 or 0, (pairs,)."""
    found: np.ndarray = np.sign([y - x for x, y in combinations(values, 2)])
    return found


Measure = Callable[[Sequence[float], Sequence[float]], float]


def tau_by(divide: Callable[[float, np.ndarray, np.ndarray], float]) -> Measure:
    """Concordant less discordant pairs, divided by something."""

    def kendall_tau(a: Sequence[float], b: Sequence[float]) -> float:
        x, y = signs(a), signs(b)
        return float(divide(float((x * y).sum()), x, y))

    return kendall_tau


def both_sides(s: float, x: np.ndarray, y: np.ndarray) -> float:
    return s / np.sqrt(np.count_nonzero(x) * np.count_nonzero(y))


def tau_by_loops(a: Sequence[float], b: Sequence[float]) -> float:
    concordant = discordant = differ_a = differ_b = 0
    for i in range(len(a)):
        for j in range(i):
            differ_a += a[i] != a[j]
            differ_b += b[i] != b[j]
            product = (a[i] - a[j]) * (b[i] - b[j])
            concordant += product > 0
            discordant += product < 0
    return float((concordant - discordant) / (differ_a * differ_b) ** 0.5)


def tau_by_matrices(a: Sequence[float], b: Sequence[float]) -> Tensor:
    x, y = (torch.tensor(v, dtype=DTYPE) for v in (a, b))
    x, y = (torch.sign(v[:, None] - v[None, :]) for v in (x, y))
    return (x * y).sum() / (x.norm() * y.norm())


def tau_by_correlation(a: Sequence[float], b: Sequence[float]) -> Any:
    """The correlation of the signs of all ordered pairs, whose mean is 0."""
    x, y = (np.sign(np.subtract.outer(v, v)).ravel() for v in (a, b))
    return np.corrcoef(x, y)[0, 1]


def ranks(values: Sequence[float], ties: bool = True) -> np.ndarray:
    """Ranks from 0, with the mean rank for equals."""
    v = np.array(values)
    if not ties:
        return np.argsort(np.argsort(v, kind="stable"))
    below, upto = (np.array([rule(v, x).sum() for x in v]) for rule in (np.less, np.less_equal))
    return (below + upto - 1) / 2


def correlation(a: Any, b: Any) -> float:
    return float(np.corrcoef(a, b)[0, 1])


def ties_agree(a: Sequence[float], b: Sequence[float]) -> float:
    x, y = signs(a), signs(b)
    agree = np.where(x == y, 1, np.where(x * y < 0, -1, 0))
    return both_sides(float(agree.sum()), x, y)


READY_MADE = Forbidden(
    "statistics",
    "tau is to be counted from the pairs: leave the function of a library for a comparison",
    attributes=frozenset({"kendalltau", "weightedtau"}),
)

kendall_tau = Question(
    name="kendall_tau",
    title="Kendall's tau, with ties",
    points=2,
    reference=tau_by(both_sides),
    cases=tau_cases,
    tolerance=EXACT,
    parts=("tau",),
    mistakes=(
        Mistake(
            "all_pairs",
            tau_by(lambda s, x, y: s / len(x)),
            "you divide by the number of all pairs: a pair that is tied in a (or in b) must not "
            "count on that side, so that equal orders give 1 with ties as well",
        ),
        Mistake(
            "no_ties",
            tau_by(lambda s, x, y: s / np.count_nonzero(x * y)),
            "you divide by the pairs without any tie: with tau-b the pairs that differ in a and "
            "those that differ in b are counted apart, and the root of their product is taken",
        ),
        Mistake(
            "ties_as_concordant",
            tau_by(lambda s, x, y: both_sides(s + float((x * y == 0).sum()), x, y)),
            "you count tied pairs as concordant (>= 0): a pair that is tied in either list is "
            "neither",
        ),
        Mistake(
            "ties_as_discordant",
            tau_by(lambda s, x, y: both_sides(s - float((x * y == 0).sum()), x, y)),
            "you count tied pairs as discordant (all that are not concordant): a pair that is tied "
            "in either list is neither",
        ),
        Mistake(
            "no_root",
            tau_by(lambda s, x, y: s / (np.count_nonzero(x) * np.count_nonzero(y))),
            "the root of the product is missing below",
        ),
        Mistake(
            "one_side",
            tau_by(lambda s, x, y: s / np.count_nonzero(x)),
            "you divide by the pairs that differ in a alone: those that differ in b count as well, "
            "under the root",
        ),
        Mistake(
            "mean_of_sides",
            tau_by(lambda s, x, y: 2 * s / (np.count_nonzero(x) + np.count_nonzero(y))),
            "you divide by the mean of the two counts: take the root of their product",
        ),
        Mistake(
            "not_divided",
            tau_by(lambda s, x, y: s),
            "that is C - D: divide it, so that tau lies between -1 and 1",
        ),
        Mistake(
            "concordant_alone",
            tau_by(lambda s, x, y: (x * y > 0).sum() / np.sqrt((x != 0).sum() * (y != 0).sum())),
            "the discordant pairs are missing: C - D, not C",
        ),
        Mistake(
            "sign",
            tau_by(lambda s, x, y: -both_sides(s, x, y)),
            "the sign is wrong: pairs in the same order count +1",
        ),
        Mistake(
            "half",
            tau_by(lambda s, x, y: both_sides(s, x, y) / 2),
            "your tau is half of ours: count pairs in the same way above and below, each once or "
            "each twice",
        ),
        Mistake(
            "doubled",
            tau_by(lambda s, x, y: 2 * both_sides(s, x, y)),
            "your tau is twice ours: count pairs in the same way above and below, each once or "
            "each twice",
        ),
        Mistake(
            "ties_agree",
            ties_agree,
            "a pair that is tied in both counts as agreement for you: it tells nothing about the "
            "order, and counts 0",
        ),
        Mistake(
            "pearson",
            correlation,
            "that is the correlation of the numbers themselves: only their order should count",
        ),
        Mistake(
            "spearman",
            lambda a, b: correlation(ranks(a), ranks(b)),
            "that is Spearman's correlation, of the ranks: Kendall's counts pairs",
        ),
        Mistake(
            "spearman_without_ties",
            lambda a, b: correlation(ranks(a, ties=False), ranks(b, ties=False)),
            "that is a correlation of ranks in which equal numbers have different ranks: Kendall's "
            "counts pairs",
        ),
    ),
    variants=(
        Variant("loops", tau_by_loops),
        Variant("all ordered pairs", tau_by_matrices),
        Variant("a correlation of signs", tau_by_correlation),
    ),
    forbidden=(READY_MADE,),
    hints=(
        "For each pair i < j the sign of a[i] - a[j] times that of b[i] - b[j]: +1, -1 or 0.",
        "Count the pairs with a[i] != a[j], and those with b[i] != b[j].",
        "tau = (sum of the products) / sqrt(first count * second count)",
    ),
)
