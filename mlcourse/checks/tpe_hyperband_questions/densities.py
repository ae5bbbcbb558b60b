"""`split`, `log_kernel`, `log_density` and `choice_probabilities`: results made into densities."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.tpe_hyperband_questions.shared import (
    EXACT,
    Floats,
    below,
    chosen,
    integer,
    spaced,
    use_lists,
)

# --- Good and bad results -------------------------------------------------------------------------

Parts = tuple[list[int], list[int]]


def split_cases(g: Generator) -> list[tuple[list[float], float]]:
    """(losses, gamma): shares that are whole and that are not, equal losses, failed runs."""
    found = []
    for n, gamma, failed in ((13, 0.15, 0), (12, 0.25, 1), (17, 0.2, 2), (23, 0.1, 0)):
        losses = [round(loss, 4) for loss in spaced(n, g, 0.2, 2.0)]
        for i in chosen(failed, n, g):
            losses[i] = math.inf
        found.append((losses, gamma))
    # Equal ones on both sides of the cut, and fewer runs that did not fail than there is room for.
    levels = [0.2, 0.3, 0.3, 0.4, 0.4, 0.4, 0.5, 0.5, 0.6, 0.7, 0.8]
    equal = [levels[i] for i in chosen(11, 11, g)]
    few = [math.inf] * 8
    for i, loss in zip(chosen(2, 8, g), spaced(2, g, 0.2, 0.6), strict=True):
        few[i] = round(loss, 4)
    return [*found, (equal, 0.33), (few, 0.5)]


def ordered(losses: Floats) -> list[int]:
    return sorted(range(len(losses)), key=lambda i: losses[i])


def share_up(losses: Floats, gamma: float) -> int:
    return math.ceil(gamma * len(losses) - 1e-9)


def finite(losses: Floats) -> int:
    return sum(loss < math.inf for loss in losses)


def split_by(
    count: Callable[[Floats, float], int] = share_up,
    order: Callable[[Floats], list[int]] = ordered,
    most: Callable[[Floats], int] = finite,
    give: Callable[[list[int], list[int], Floats], Any] = lambda good, bad, losses: (good, bad),
) -> Callable[[Floats, float], Any]:
    """Split the places of losses in two, with one of the pieces exchanged."""

    def split(losses: Floats, gamma: float) -> Any:
        places = order(losses)
        cut = min(count(losses, gamma), most(losses))
        return give(places[:cut], places[cut:], losses)

    return split


def split_by_numpy(losses: Floats, gamma: float) -> Any:
    order = np.argsort(np.array(losses), kind="stable")
    cut = min(int(np.ceil(gamma * len(losses))), int(np.isfinite(losses).sum()))
    return order[:cut].tolist(), order[cut:].tolist()


def split_by_pairs(losses: Floats, gamma: float) -> Any:
    pairs = sorted((loss, i) for i, loss in enumerate(losses))
    room = math.ceil(gamma * len(losses))
    good = [i for loss, i in pairs[:room] if loss != math.inf]
    return good, [i for _, i in pairs if i not in good]


def split_by_tensors(losses: Floats, gamma: float) -> Any:
    values, order = torch.tensor(losses, dtype=torch.float64).sort(stable=True)
    places = order.tolist()
    cut = min(math.ceil(len(losses) * gamma), int(values.isfinite().sum()))
    return [places[:cut], places[cut:]]


split = Question(
    name="split",
    title="Good and bad results",
    points=2,
    reference=split_by(),
    cases=split_cases,
    use=use_lists,
    parts=("the good ones", "the bad ones"),
    mistakes=(
        Mistake(
            "highest",
            split_by(order=lambda losses: sorted(range(len(losses)), key=lambda i: -losses[i])),
            "your good ones have the highest losses: lower is better, so the good ones come first "
            "when the losses are sorted upwards",
        ),
        Mistake(
            "gamma_of_the_bad",
            split_by(lambda losses, gamma: math.ceil((1 - gamma) * len(losses) - 1e-9)),
            "gamma is on the wrong side: it is the share of the *good* ones, so a gamma of 0.1 "
            "leaves nine tenths to the bad ones",
        ),
        Mistake(
            "rounded_down",
            split_by(lambda losses, gamma: math.floor(gamma * len(losses) + 1e-9)),
            "the number of good ones is rounded down: round gamma n up, so that there is at least "
            "one",
        ),
        Mistake(
            "one_more",
            split_by(lambda losses, gamma: int(gamma * len(losses)) + 1),
            "one good one too many where gamma n is a whole number: round up with math.ceil, which "
            "leaves whole numbers as they are",
        ),
        Mistake(
            "rounded",
            split_by(lambda losses, gamma: max(1, round(gamma * len(losses)))),
            "the number of good ones is rounded to the nearest: round gamma n *up*",
        ),
        Mistake(
            "failed_are_good",
            split_by(most=len),
            "an infinite loss is among your good ones: a failed run is never good, so there may be "
            "fewer good ones than gamma n",
        ),
        Mistake(
            "failed_not_counted",
            split_by(lambda losses, gamma: math.ceil(gamma * finite(losses) - 1e-9)),
            "you take gamma of the runs that did not fail: n counts all runs, failed ones too",
        ),
        Mistake(
            "failed_left_out",
            split_by(
                give=lambda good, bad, losses: (good, [i for i in bad if losses[i] < math.inf])
            ),
            "the failed runs are in neither part: a region where runs fail is bad, so they belong "
            "to the bad ones",
        ),
        Mistake(
            "below_the_quantile",
            split_by(lambda losses, gamma: int((np.array(losses) <= at_cut(losses, gamma)).sum())),
            "you take all losses up to that of the last good one, so equal ones make too many: of "
            "equal losses the earlier counts as lower",
        ),
        Mistake(
            "later_first",
            split_by(
                order=lambda losses: sorted(range(len(losses)), key=lambda i: (losses[i], -i))
            ),
            "of equal losses you take the later one first: the earlier counts as lower",
        ),
        Mistake(
            "losses",
            split_by(
                give=lambda good, bad, losses: ([losses[i] for i in good], [losses[i] for i in bad])
            ),
            "those are the losses: return the places, numbers from 0, as the densities need the "
            "configurations that stand there",
        ),
        Mistake(
            "not_ordered",
            split_by(give=lambda good, bad, losses: (sorted(good), sorted(bad))),
            "the right places, but in the order of the runs: give each part from the lowest loss "
            "on",
        ),
        Mistake(
            "bad_first",
            split_by(give=lambda good, bad, losses: (bad, good)),
            "the two parts are exchanged: first the good ones, then the bad ones",
        ),
    ),
    variants=(
        Variant("NumPy", split_by_numpy),
        Variant("pairs", split_by_pairs),
        Variant("tensors", split_by_tensors),
    ),
    hints=(
        "Sort the places, not the losses: sorted(range(n), key=lambda i: losses[i]). Python's sort "
        "keeps the order of equal ones.",
        "math.ceil(gamma * n) places are good, but no more than there are losses below infinity.",
        "cut = min(math.ceil(gamma * n), sum(loss < math.inf for loss in losses)), then "
        "order[:cut] and order[cut:].",
    ),
)


def at_cut(losses: Floats, gamma: float) -> float:
    """Return the loss of the last good one."""
    good = split_by()(losses, gamma)[0]
    return float(losses[good[-1]])


# --- One kernel -----------------------------------------------------------------------------------


def kernel_cases(g: Generator) -> list[tuple[float, float, float]]:
    """(x, centre, width): in the middle, at the ends, wide, and so far away that exp gives 0."""
    found = []
    for centre, width, far in (
        ((0.3, 0.6), (0.05, 0.1), 0.15),
        ((0.01, 0.05), (0.1, 0.2), 0.2),
        ((0.93, 0.99), (0.2, 0.4), -0.3),
        ((0.1, 0.9), (0.9, 1.4), 0.0),
        ((0.02, 0.06), (0.01, 0.015), 0.9),
    ):
        middle = uniform(*centre, g)
        x = min(max(middle + far + uniform(0.01, 0.04, g), 0.0), 1.0)
        found.append((x, middle, uniform(*width, g)))
    return [*found, (0.0, 0.0, uniform(0.2, 0.3, g))]


def inside(centre: float, width: float) -> float:
    return below((1 - centre) / width) - below(-centre / width)


SCALE = math.sqrt(2 * math.pi)


def kernel_by(
    exponent: Callable[[float, float], float] = lambda x, width: -0.5 * (x / width) ** 2,
    height: Callable[[float], float] = lambda width: 1 / (width * SCALE),
    mass: Callable[[float, float], float] = inside,
) -> Callable[[float, float, float], Any]:
    """Give the logarithm of a kernel, with one of the pieces exchanged."""

    def log_kernel(x: float, centre: float, width: float) -> float:
        return exponent(x - centre, width) + math.log(height(width)) - math.log(mass(centre, width))

    return log_kernel


def log_of_the_density(x: float, centre: float, width: float) -> float:
    return math.log(NormalDist(centre, width).pdf(x) / inside(centre, width))


def kernel_itself(x: float, centre: float, width: float) -> float:
    return NormalDist(centre, width).pdf(x) / inside(centre, width)


def kernel_by_tensors(x: float, centre: float, width: float) -> Any:
    normal = torch.distributions.Normal(
        torch.tensor(centre, dtype=torch.float64), torch.tensor(width, dtype=torch.float64)
    )
    zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    return normal.log_prob(zero + x) - (normal.cdf(one) - normal.cdf(zero)).log()


def kernel_by_erf(x: float, centre: float, width: float) -> float:
    def cdf(t: float) -> float:
        return (1 + math.erf((t - centre) / (width * math.sqrt(2)))) / 2

    z = (x - centre) / width
    return -(z**2) / 2 - math.log(width) - math.log(2 * math.pi) / 2 - math.log(cdf(1) - cdf(0))


log_kernel = Question(
    name="log_kernel",
    title="One kernel",
    points=2,
    reference=kernel_by(),
    cases=kernel_cases,
    parts=("the logarithm",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "not_truncated",
            kernel_by(mass=lambda centre, width: 1.0),
            "that is the whole normal density, part of which lies outside [0, 1]: divide by the "
            "mass between 0 and 1",
        ),
        Mistake(
            "mass_multiplied",
            kernel_by(mass=lambda centre, width: 1 / inside(centre, width)),
            "you multiply by the mass between 0 and 1: divide by it, then the kernel has the mass "
            "1 again",
        ),
        Mistake(
            "left_end_open",
            kernel_by(mass=lambda centre, width: below((1 - centre) / width)),
            "you cut off what lies above 1 only: what lies below 0 is missing too",
        ),
        Mistake(
            "mass_not_scaled",
            kernel_by(mass=lambda centre, width: below(1 - centre) - below(-centre)),
            "the mass between 0 and 1 is that of a kernel of width 1: measure both ends in widths, "
            "(1 - centre) / width and -centre / width",
        ),
        Mistake(
            "not_normalised",
            kernel_by(height=lambda width: 1.0),
            "the factor in front of exp is missing: without 1 / (width sqrt(2 pi)) a wide kernel "
            "has more mass than a narrow one",
        ),
        Mistake(
            "no_width",
            kernel_by(height=lambda width: 1 / SCALE),
            "the width is missing in front of exp: a kernel twice as wide must be half as high, "
            "1 / (width sqrt(2 pi))",
        ),
        Mistake(
            "no_pi",
            kernel_by(height=lambda width: 1 / width),
            "sqrt(2 pi) is missing: the factor in front of exp is 1 / (width sqrt(2 pi))",
        ),
        Mistake(
            "no_half",
            kernel_by(lambda x, width: -((x / width) ** 2)),
            "the exponent lacks its 1/2: it is -(x - centre)^2 / (2 width^2)",
        ),
        Mistake(
            "variance",
            kernel_by(
                lambda x, width: -0.5 * x**2 / width,
                lambda width: 1 / math.sqrt(2 * math.pi * width),
                lambda centre, width: inside(centre, math.sqrt(width)),
            ),
            "you take the width for the variance: it is the standard deviation, so square it in "
            "the exponent",
        ),
        Mistake(
            "log_of_zero",
            log_of_the_density,
            "far from the centre exp gives exactly 0, which has no logarithm: do not take exp at "
            "all, the logarithm of exp(a) is a",
        ),
        Mistake(
            "no_logarithm",
            kernel_itself,
            "that is the kernel itself: return its logarithm, -z^2 / 2 - log(width sqrt(2 pi)) - "
            "log(mass)",
        ),
    ),
    variants=(
        Variant("torch.distributions", kernel_by_tensors),
        Variant("the error function", kernel_by_erf),
        Variant("from pieces", kernel_by()),
    ),
    hints=(
        "The logarithm of a product is a sum: the exponent, minus log(width sqrt(2 pi)), minus the "
        "logarithm of the mass.",
        "mass = below((1 - centre) / width) - below(-centre / width).",
        "-0.5 * ((x - centre) / width) ** 2 - math.log(width * math.sqrt(2 * math.pi)) - "
        "math.log(mass).",
    ),
)


# --- A density of many kernels --------------------------------------------------------------------

Logs = Sequence[Sequence[float]]


def density_cases(g: Generator) -> list[tuple[list[list[float]]]]:
    """Logarithms of kernels, a row a point: few parameters, many, very large and very small."""
    found = []
    for points, parameters, low, high in (
        (5, 1, -3.0, 1.5),
        (7, 3, -4.0, 1.5),
        (4, 2, -900.0, -800.0),
        (6, 12, 60.0, 70.0),
        (3, 4, -2.0, 1.0),
    ):
        rows = [[uniform(low, high, g) for _ in range(parameters)] for _ in range(points)]
        found.append((rows,))
    return found


def log_sum_exp(logs: Floats) -> float:
    top = max(logs)
    return top + math.log(sum(math.exp(log - top) for log in logs))


def with_uniform(logs: Floats) -> list[float]:
    return [*logs, 0.0]


def products(rows: Logs) -> list[float]:
    return [sum(row) for row in rows]


def density_by(
    kernels: Callable[[Logs], list[float]] = products,
    more: Callable[[Floats], list[float]] = with_uniform,
    total: Callable[[Floats], float] = log_sum_exp,
    size: Callable[[int], int] = lambda kernels: kernels,
) -> Callable[[Logs], Any]:
    """Give the logarithm of a mean of kernels, with one of the pieces exchanged."""

    def log_density(rows: Logs) -> float:
        logs = more(kernels(rows))
        return total(logs) - math.log(size(len(logs)))

    return log_density


def product_of_means(rows: Logs) -> float:
    means = [log_sum_exp([*column, 0.0]) for column in zip(*rows, strict=True)]
    return sum(means) - len(means) * math.log(len(rows) + 1)


def infinite(rows: Logs) -> Any:
    logs = torch.tensor(rows, dtype=torch.float64).sum(dim=1)
    return ((logs.exp().sum() + 1) / (len(rows) + 1)).log()


def density_by_torch(rows: Logs) -> Any:
    logs = torch.tensor(rows, dtype=torch.float64).sum(dim=1)
    logs = torch.cat([logs, torch.zeros(1, dtype=torch.float64)])
    return torch.logsumexp(logs, dim=0) - math.log(len(logs))


def density_by_numpy(rows: Logs) -> Any:
    return np.logaddexp.reduce([0.0, *np.array(rows).sum(axis=1)]) - np.log(len(rows) + 1)


def density_by_fsum(rows: Logs) -> float:
    logs = [math.fsum(row) for row in rows]
    top = max(0.0, *logs)
    mean = math.fsum([math.exp(-top), *(math.exp(log - top) for log in logs)]) / (1 + len(rows))
    return top + math.log(mean)


log_density = Question(
    name="log_density",
    title="A density of many kernels",
    points=2,
    reference=density_by(),
    cases=density_cases,
    parts=("the logarithm",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "no_uniform",
            density_by(more=list),
            "the uniform kernel is missing: without it the density is nearly 0 far from all "
            "points, and nothing is ever tried there",
        ),
        Mistake(
            "uniform_not_counted",
            density_by(size=lambda kernels: kernels - 1),
            "you divide by the number of points: with the uniform one there is one kernel more, "
            "so divide by n + 1",
        ),
        Mistake(
            "summed",
            density_by(size=lambda kernels: 1),
            "that is the sum of the kernels, whose mass is n + 1: take their mean",
        ),
        Mistake(
            "mean_of_logs",
            density_by(total=sum, size=lambda kernels: 1),
            "you add up logarithms of different points, which multiplies the kernels: the density "
            "is their *mean*, so take exp, add, and then the logarithm",
        ),
        Mistake(
            "logs_averaged",
            lambda rows: sum(sum(row) for row in rows) / (len(rows) + 1),
            "you average the logarithms: the logarithm of a mean is not the mean of the "
            "logarithms, so take exp before you add",
        ),
        Mistake(
            "overflow",
            density_by(total=lambda logs: math.log(sum(map(math.exp, logs)))),
            "exp of 800 is too large for a float: take the largest logarithm out of the sum first, "
            "log sum exp(a) = top + log sum exp(a - top)",
        ),
        Mistake(
            "overflow_to_infinity",
            infinite,
            "your result is infinite, as exp of 800 is: take the largest logarithm out of the sum "
            "first, or leave it to logsumexp",
        ),
        Mistake(
            "largest",
            density_by(total=max),
            "that is the highest kernel alone: all of them are added, small as they may be",
        ),
        Mistake(
            "product_of_means",
            product_of_means,
            "you average over the points in each parameter first: multiply the parameters of *one* "
            "point, and average over the points at the end",
        ),
        Mistake(
            "mean_of_parameters",
            density_by(lambda rows: [sum(row) / len(row) for row in rows]),
            "you average over the parameters: a kernel is the product over the parameters, so its "
            "logarithm is the sum",
        ),
        Mistake(
            "all_kernels_alike",
            density_by(lambda rows: [log for row in rows for log in row]),
            "you take the mean over all numbers: first add up each row, which is the logarithm of "
            "that point's kernel",
        ),
        Mistake(
            "no_logarithm",
            lambda rows: math.exp(min(density_by()(rows), 700.0)),
            "that is the density: return its logarithm, as it may be too large for a float",
        ),
    ),
    variants=(
        Variant("torch.logsumexp", density_by_torch),
        Variant("NumPy's logaddexp", density_by_numpy),
        Variant("added exactly", density_by_fsum),
    ),
    hints=(
        "One number a point: sum(row), the logarithm of a product. Then one more, 0, for the "
        "uniform kernel, which is 1 everywhere.",
        "The mean of n + 1 kernels: add their exp, divide by n + 1. Take the largest logarithm out "
        "first.",
        "top = max(logs); top + math.log(sum(math.exp(a - top) for a in logs) / len(logs)), where "
        "logs ends with 0.",
    ),
)


# --- A choice -------------------------------------------------------------------------------------


def choice_cases(g: Generator) -> list[tuple[list[int], int]]:
    """(seen, k): some values never seen, all seen, none at all."""
    found: list[tuple[list[int], int]] = []
    for points, k in ((6, 3), (9, 4), (4, 5), (12, 2)):
        seen = [integer(0, k - 2, g) if k > 2 else integer(0, 1, g) for _ in range(points)]
        found.append((seen, k))
    return [*found, ([], integer(3, 6, g))]


def counts(seen: Sequence[int], k: int) -> list[int]:
    return [list(seen).count(value) for value in range(k)]


def choice_by(
    above: Callable[[int, int], float] = lambda count, k: count + 1,
    under: Callable[[int, int], float] = lambda n, k: n + k,
    values: Callable[[Sequence[int], int], Sequence[int]] = lambda seen, k: range(k),
) -> Callable[[Sequence[int], int], Any]:
    """Give the probabilities of values, with one of the pieces exchanged."""

    def choice_probabilities(seen: Sequence[int], k: int) -> Any:
        found = counts(seen, k)
        return [above(found[value], k) / under(len(seen), k) for value in values(seen, k)]

    return choice_probabilities


def choice_by_numpy(seen: Sequence[int], k: int) -> Any:
    found = np.bincount(np.array(seen, dtype=int), minlength=k) + 1
    return (found / found.sum()).tolist()


def choice_by_mixing(seen: Sequence[int], k: int) -> Any:
    """The mean of kernels that each give k / (n + k) of their mass to all values alike."""
    n = len(seen)
    alike = k / (n + k)
    return [
        alike / k + (sum(1 - alike for one in seen if one == value) / n if n else 0)
        for value in range(k)
    ]


def choice_by_walking(seen: Sequence[int], k: int) -> Any:
    found = [1.0] * k
    for value in seen:
        found[value] += 1
    return tuple(count / sum(found) for count in found)


choice_probabilities = Question(
    name="choice_probabilities",
    title="A choice",
    points=1,
    reference=choice_by(),
    cases=choice_cases,
    use=use_lists,
    parts=("the probabilities",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "frequencies",
            choice_by(lambda count, k: count, lambda n, k: n or 1),
            "those are the plain frequencies: a value that was not seen yet would never be tried, "
            "so count each value once more than it was seen",
        ),
        Mistake(
            "not_normalised",
            choice_by(under=lambda n, k: n or 1),
            "your probabilities add up to more than 1: with one more count for each of the k "
            "values there are n + k counts",
        ),
        Mistake(
            "one_more_below",
            choice_by(under=lambda n, k: n + 1),
            "you divide by n + 1: *each* of the k values is counted once more, so there are n + k",
        ),
        Mistake(
            "counts",
            choice_by(under=lambda n, k: 1),
            "those are the counts: divide them by their sum, n + k",
        ),
        Mistake(
            "only_unseen",
            choice_by(lambda count, k: max(count, 1)),
            "you count once more only what was not seen: every value gets one more",
        ),
        Mistake(
            "one_shared",
            choice_by(lambda count, k: count + 1 / k, lambda n, k: n + 1),
            "you share one more count among the values: each value gets a whole one",
        ),
        Mistake(
            "k_for_each",
            choice_by(lambda count, k: count + k, lambda n, k: n + k * k),
            "you count each value k times more: once is enough",
        ),
        Mistake(
            "unseen_left_out",
            choice_by(values=lambda seen, k: sorted(set(seen))),
            "values that were not seen are missing from your list: it has k probabilities, one for "
            "each of the values 0 .. k - 1",
        ),
    ),
    variants=(
        Variant("NumPy", choice_by_numpy),
        Variant("a mean of kernels", choice_by_mixing),
        Variant("a walk", choice_by_walking),
    ),
    hints=(
        "Try seen = [0, 0, 2] and k = 3: the counts are 2, 0, 1, with one more each 3, 1, 2.",
        "They add up to n + k, so the probabilities are 3/6, 1/6, 2/6.",
        "[(seen.count(value) + 1) / (len(seen) + k) for value in range(k)]",
    ),
)
