"""`look_ahead`, `regrets` and `paired_interval`: how good a gradient, a cell and a way are."""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.complexity_questions.shared import DTYPE
from mlcourse.checks.curves_questions.shared import uniform, use_list
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import EXACT, integer

Numbers = list[float]

# --- A gradient against one that looks further ----------------------------------------------------


def gradient_cases(g: Generator) -> list[tuple[Tensor, Tensor]]:
    """Two gradients of alpha: alike, shorter, longer, and opposite; square ones too."""
    cases = []
    for edges, count, along in ((6, 4, 1.2), (4, 4, 0.5), (3, 5, -0.7), (14, 8, 2.0)):
        far = normal(edges, count, generator=g, dtype=DTYPE) + 0.4
        cases.append((along * far + 0.6 * normal(edges, count, generator=g, dtype=DTYPE), far))
    return cases


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum() / (a.norm() * b.norm())


def look_by(
    angle: Callable[[Tensor, Tensor], Any] = cosine,
    size: Callable[[Tensor, Tensor], Any] = lambda a, b: a.norm() / b.norm(),
    show: Callable[[Any, Any], Any] = lambda angle, size: (angle, size),
) -> Callable[[Tensor, Tensor], Any]:
    return lambda near, far: show(angle(near, far), size(near, far))


def look_by_loops(near: Tensor, far: Tensor) -> tuple[float, float]:
    product = square_near = square_far = 0.0
    for a, b in zip(near.flatten().tolist(), far.flatten().tolist(), strict=True):
        product += a * b
        square_near += a * a
        square_far += b * b
    return product / math.sqrt(square_near * square_far), math.sqrt(square_near / square_far)


def look_by_numpy(near: Tensor, far: Tensor) -> list[Any]:
    a, b = near.numpy().ravel(), far.numpy().ravel()
    return [a @ b / np.linalg.norm(a) / np.linalg.norm(b), np.linalg.norm(a) / np.linalg.norm(b)]


look_ahead = Question(
    name="look_ahead",
    title="A gradient against one that looks further",
    points=1,
    reference=look_by(),
    cases=gradient_cases,
    tolerance=EXACT,
    parts=("the cosine", "the ratio of the lengths"),
    mistakes=(
        Mistake(
            "rows",
            look_by(lambda a, b: torch.nn.functional.cosine_similarity(a, b, dim=1)),
            "you have a cosine for each edge: all alphas together are one vector",
        ),
        Mistake(
            "mean_of_rows",
            look_by(lambda a, b: torch.nn.functional.cosine_similarity(a, b, dim=1).mean()),
            "you take the mean of the edges' cosines: all alphas together are one vector",
        ),
        Mistake(
            "correlation",
            look_by(lambda a, b: cosine(a - a.mean(), b - b.mean())),
            "you subtract the means: that is a correlation, a cosine takes the numbers as they are",
        ),
        Mistake(
            "product",
            look_by(lambda a, b: (a * b).sum()),
            "that is the scalar product: divide it by both lengths",
        ),
        Mistake(
            "one_length",
            look_by(lambda a, b: (a * b).sum() / (b * b).sum()),
            "you divide by the square of one length: a cosine is divided by both lengths",
        ),
        Mistake(
            "absolute",
            look_by(lambda a, b: cosine(a, b).abs()),
            "your cosine has lost its sign: a gradient can point the other way",
        ),
        Mistake(
            "angle",
            look_by(lambda a, b: torch.acos(cosine(a, b))),
            "that is the angle: its cosine is asked for",
        ),
        Mistake(
            "upside_down",
            look_by(size=lambda a, b: b.norm() / a.norm()),
            "your ratio is upside down: the length of near, divided by that of far",
        ),
        Mistake(
            "squared",
            look_by(size=lambda a, b: (a.norm() / b.norm()) ** 2),
            "that is the ratio of the squares: lengths have a root",
        ),
        Mistake(
            "error",
            look_by(size=lambda a, b: (a - b).norm() / b.norm()),
            "that is the relative error: the ratio of the two lengths is asked for",
        ),
        Mistake(
            "sums",
            look_by(size=lambda a, b: a.abs().sum() / b.abs().sum()),
            "your lengths are sums of absolute values: take the root of the sum of squares",
        ),
        Mistake(
            "exchanged",
            look_by(show=lambda angle, size: (size, angle)),
            "the two are exchanged: first the cosine",
        ),
    ),
    variants=(
        Variant("loops", look_by_loops),
        Variant("numpy", look_by_numpy),
        Variant(
            "flat",
            lambda near, far: (
                torch.nn.functional.cosine_similarity(near.flatten(), far.flatten(), dim=0),
                torch.linalg.vector_norm(near) / torch.linalg.vector_norm(far),
            ),
        ),
    ),
    hints=(
        "x.norm() of a tensor is the length of all its numbers as one vector.",
        "cos = (near * far).sum() / (near.norm() * far.norm())",
    ),
)

# --- What the cells of a search are worth ---------------------------------------------------------

Table = dict[str, Numbers]

LETTERS = "nsac"


def table_cases(g: Generator) -> list[tuple[Table, list[str]]]:
    """A table in which the best single run is not of the best cell, and a search's cells."""
    cases = []
    for count, least, epochs in ((8, 3, 5), (6, 2, 7), (10, 4, 6)):
        table: Table = {}
        while len(table) < count:
            cell = "".join(LETTERS[integer(0, 3, g)] for _ in range(4))
            level, runs = uniform(0.6, 0.8, g), least + len(table) % 3
            table[cell] = [level + uniform(-0.03, 0.03, g) for _ in range(runs)]
        names = list(table)
        table[names[0]] = [uniform(0.86, 0.88, g) for _ in range(least)]
        table[names[1]] = [uniform(0.7, 0.75, g) for _ in range(least + 1)]
        table[names[1]][-1] = uniform(0.9, 0.92, g)  # one lucky run
        # The search never finds the best cell, but comes to the lucky one.
        cells = [names[1 + integer(0, count - 2, g)] for _ in range(epochs)]
        cells[integer(0, epochs - 2, g)] = names[1]
        order = [names[i] for i in torch.randperm(count, generator=g).tolist()]
        cases.append(({name: table[name] for name in order}, cells))
    return cases


def regret_by(
    best: Callable[[Table, list[str]], float] = lambda table, cells: max(
        map(fmean, table.values())
    ),
    worth: Callable[[Numbers], float] = fmean,
    show: Callable[[float, float], float] = lambda best, mine: best - mine,
) -> Callable[[Table, list[str]], Any]:
    """The regrets with one piece exchanged."""
    return lambda table, cells: [show(best(table, cells), worth(table[cell])) for cell in cells]


def running_best(table: Table, cells: list[str]) -> Numbers:
    found = regret_by()(table, cells)
    return [min(found[: t + 1]) for t in range(len(found))]


def regret_by_arrays(table: Table, cells: list[str]) -> Any:
    means = {cell: float(np.mean(runs)) for cell, runs in table.items()}
    return np.max(list(means.values())) - np.array([means[cell] for cell in cells])


def regret_by_loops(table: Table, cells: list[str]) -> Numbers:
    best = 0.0
    for runs in table.values():
        mean = sum(runs) / len(runs)
        if mean > best:
            best = mean
    found = []
    for cell in cells:
        found.append(best - sum(table[cell]) / len(table[cell]))
    return found


def regret_by_tensors(table: Table, cells: list[str]) -> Tensor:
    means = torch.stack([torch.tensor(runs).mean() for runs in table.values()])
    places = [list(table).index(cell) for cell in cells]
    return means.max() - means[places]


regrets = Question(
    name="regrets",
    title="What each epoch's cell is worth",
    points=1,
    reference=regret_by(),
    cases=table_cases,
    use=use_list,
    mistakes=(
        Mistake(
            "best_run",
            regret_by(best=lambda table, cells: max(map(max, table.values()))),
            "your best is the luckiest single run of the table: compare means with the best *mean*",
        ),
        Mistake(
            "best_found",
            regret_by(best=lambda table, cells: max(fmean(table[cell]) for cell in cells)),
            "your best is the best of the search's own cells: it is that of the whole table",
        ),
        Mistake(
            "sign",
            regret_by(show=lambda best, mine: mine - best),
            "your regrets have the wrong sign: what is missing to the best, never negative",
        ),
        Mistake(
            "relative",
            regret_by(show=lambda best, mine: (best - mine) / best),
            "your regrets are divided by the best: they are plain differences",
        ),
        Mistake(
            "percent",
            regret_by(show=lambda best, mine: 100 * (best - mine)),
            "your regrets are in percent: leave them as differences of fractions",
        ),
        Mistake(
            "lucky_cell",
            regret_by(worth=max),
            "you take the best run of each cell: its worth is the mean of its runs",
        ),
        Mistake(
            "median",
            regret_by(
                best=lambda table, cells: max(map(median, table.values())),
                worth=median,
            ),
            "you take medians: a cell's worth is the mean of its runs",
        ),
        Mistake(
            "first_run",
            regret_by(
                best=lambda table, cells: max(runs[0] for runs in table.values()),
                worth=lambda runs: runs[0],
            ),
            "you look at the first run of each cell alone: its worth is the mean of all its runs",
        ),
        Mistake(
            "running_best",
            running_best,
            "you give the best regret so far: the search does not know which of its cells were "
            "good, give that of each epoch's own cell",
        ),
        Mistake(
            "last_alone",
            lambda table, cells: regret_by()(table, cells)[-1],
            "you return the regret of the last cell: one for each epoch is asked for",
        ),
        Mistake(
            "accuracies",
            lambda table, cells: [fmean(table[cell]) for cell in cells],
            "these are the mean accuracies: take them away from the best one",
        ),
    ),
    variants=(
        Variant("arrays", regret_by_arrays),
        Variant("loops", regret_by_loops),
        Variant("tensors", regret_by_tensors),
    ),
    hints=(
        "First the mean of each cell's runs, then the largest of these means.",
        "best - sum(table[cell]) / len(table[cell]), for each of the cells",
    ),
)

# --- What few seeds can say -----------------------------------------------------------------------


def pair_cases(g: Generator) -> list[tuple[Numbers, Numbers, float]]:
    """Regrets of two ways with the same seeds, which go up and down together."""
    cases = []
    for count, t in ((5, 2.776), (5, 2.776), (8, 2.365), (3, 4.303), (12, 2.201)):
        first = [uniform(0.05, 0.25, g) for _ in range(count)]
        shift = uniform(-0.05, 0.05, g)
        cases.append((first, [0.9 * x + shift + uniform(-0.02, 0.02, g) for x in first], t))
    better_or_worse = [x + 0.03 * (-1) ** i + uniform(0.0, 0.01, g) for i, x in enumerate(first)]
    return [*cases, (first, better_or_worse, 2.201)]


def sem(d: Numbers) -> float:
    return stdev(d) / math.sqrt(len(d))


def interval_by(
    error: Callable[[Numbers, Numbers, Numbers], float] = lambda d, a, b: sem(d),
    differ: Callable[[float, float], float] = lambda a, b: a - b,
    middle: Callable[[Numbers], float] = fmean,
    width: Callable[[float, float], float] = lambda t, error: t * error,
    show: Callable[[float, float], Any] = lambda mean, half: (mean, mean - half, mean + half),
) -> Callable[[Numbers, Numbers, float], Any]:
    """The interval with one piece exchanged."""

    def paired_interval(first: Numbers, second: Numbers, t: float) -> Any:
        d = [differ(a, b) for a, b in zip(first, second, strict=True)]
        return show(middle(d), width(t, error(d, first, second)))

    return paired_interval


def interval_by_tensors(first: Numbers, second: Numbers, t: float) -> tuple[float, float, float]:
    d = torch.tensor(first, dtype=DTYPE) - torch.tensor(second, dtype=DTYPE)
    mean, half = float(d.mean()), t * float(d.std()) / len(d) ** 0.5
    return mean, mean - half, mean + half


def interval_by_numpy(first: Numbers, second: Numbers, t: float) -> list[Any]:
    d = np.subtract(first, second)
    error = np.sqrt(d.var(ddof=1) / d.size)
    return [d.mean(), d.mean() - t * error, d.mean() + t * error]


def interval_by_sums(first: Numbers, second: Numbers, t: float) -> tuple[float, ...]:
    n, total, squares = len(first), 0.0, 0.0
    for a, b in zip(first, second, strict=True):
        total += a - b
        squares += (a - b) ** 2
    half = t * math.sqrt((squares - total**2 / n) / (n - 1) / n)
    return total / n, total / n - half, total / n + half


def pstdev(d: Numbers) -> float:
    return float(np.std(d))


paired_interval = Question(
    name="paired_interval",
    title="What few seeds can say",
    points=2,
    reference=interval_by(),
    cases=pair_cases,
    parts=("the mean difference", "the lower end", "the upper end"),
    mistakes=(
        Mistake(
            "unpaired",
            interval_by(error=lambda d, a, b: math.hypot(sem(a), sem(b))),
            "your standard error treats both lists as independent: the same seeds make them go up "
            "and down together, so take that of the *differences*",
        ),
        Mistake(
            "population",
            interval_by(error=lambda d, a, b: pstdev(d) / math.sqrt(len(d))),
            "your standard deviation divides by n: by n - 1, since the mean comes from the same "
            "numbers",
        ),
        Mistake(
            "no_root_of_n",
            interval_by(error=lambda d, a, b: stdev(d)),
            "that is the spread of single differences: the mean of n has it divided by sqrt(n)",
        ),
        Mistake(
            "divided_by_n",
            interval_by(error=lambda d, a, b: stdev(d) / len(d)),
            "you divide the standard deviation by n: by sqrt(n)",
        ),
        Mistake(
            "population_and_n_minus_1",
            interval_by(error=lambda d, a, b: stdev(d) / math.sqrt(len(d) - 1)),
            "you take n - 1 twice: in the standard deviation only, the root is that of n",
        ),
        Mistake(
            "variance",
            interval_by(error=lambda d, a, b: stdev(d) ** 2 / len(d)),
            "that is the variance of the mean: its root is the standard error",
        ),
        Mistake(
            "root_of_n_alone",
            interval_by(error=lambda d, a, b: stdev(d) ** 2 / math.sqrt(len(d))),
            "you take the variance of the differences where their standard deviation belongs: "
            "its root",
        ),
        Mistake(
            "normal",
            interval_by(width=lambda t, error: 1.96 * error),
            "you take 1.96, which is right for many seeds: for few the factor is the t that is "
            "given",
        ),
        Mistake(
            "no_factor",
            interval_by(width=lambda t, error: error),
            "your interval is one standard error wide on each side: t of them are asked for",
        ),
        Mistake(
            "half",
            interval_by(width=lambda t, error: t * error / 2),
            "your interval is half as wide as it should be: t standard errors on *each* side",
        ),
        Mistake(
            "sign",
            interval_by(differ=lambda a, b: b - a),
            "the differences have the wrong sign: first - second",
        ),
        Mistake(
            "absolute",
            interval_by(differ=lambda a, b: abs(a - b)),
            "your differences have lost their sign: they may be negative",
        ),
        Mistake(
            "median",
            interval_by(middle=median),
            "the middle of your interval is the median of the differences: their mean is asked for",
        ),
        Mistake(
            "ends_exchanged",
            interval_by(show=lambda mean, half: (mean, mean + half, mean - half)),
            "the ends are exchanged: first the lower one",
        ),
        Mistake(
            "error_given",
            interval_by(show=lambda mean, half: (mean, half, half)),
            "you return the width: the two ends of the interval are asked for",
        ),
    ),
    variants=(
        Variant("tensors", interval_by_tensors),
        Variant("numpy", interval_by_numpy),
        Variant("sums", interval_by_sums),
    ),
    hints=(
        "First the differences, one for each seed. From then on there is one list only.",
        "Their standard deviation has n - 1 in it; divided by sqrt(n) it is the standard error.",
        "statistics.stdev divides by n - 1. mean - t * stdev / sqrt(n), mean + t * stdev / sqrt(n)",
    ),
)
