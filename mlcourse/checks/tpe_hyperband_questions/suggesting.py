"""`improvement`, `sample` and `suggest`: from two densities to the next configuration."""

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
from mlcourse.checks.tpe_hyperband_questions.densities import density_by, kernel_by, split_by
from mlcourse.checks.tpe_hyperband_questions.shared import (
    EXACT,
    Floats,
    apart,
    below,
    chosen,
    integer,
    place,
    spaced,
)

# --- Expected improvement -------------------------------------------------------------------------


def improvement_cases(g: Generator) -> list[tuple[float, float, float]]:
    """(l, g, gamma): more like the good ones, more like the bad ones, and tiny densities."""
    found = []
    for low, high, gamma in (
        ((2.0, 4.0), (0.2, 0.6), 0.1),
        ((0.1, 0.4), (1.0, 2.0), 0.25),
        ((0.8, 1.5), (0.8, 1.5), 0.15),
        ((1e-6, 3e-6), (1e-7, 5e-7), 0.2),
    ):
        found.append((uniform(*low, g), uniform(*high, g), gamma))
    return found


Densities = Callable[[float, float, float], Any]


def improvement_by_posterior(l: float, g: float, gamma: float) -> float:
    good = gamma * l / (gamma * l + (1 - gamma) * g)
    return good / gamma


def improvement_by_ratio(l: float, g: float, gamma: float) -> float:
    ratio = l / g
    return ratio / (gamma * ratio + 1 - gamma)


def improvement_by_logs(l: float, g: float, gamma: float) -> float:
    both = np.logaddexp(math.log(gamma) + math.log(l), math.log1p(-gamma) + math.log(g))
    return math.exp(math.log(l) - both)


def improvement_by_formula(l: float, g: float, gamma: float) -> float:
    return (gamma + (1 - gamma) * g / l) ** -1


improvement = Question(
    name="improvement",
    title="Expected improvement",
    points=1,
    reference=improvement_by_formula,
    cases=improvement_cases,
    parts=("the expected improvement",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "upside_down",
            lambda l, g, gamma: improvement_by_formula(g, l, gamma),
            "the ratio is upside down: the improvement rises with l / g, so the bad ones' density "
            "g stands above in (1 - gamma) g / l",
        ),
        Mistake(
            "gamma_exchanged",
            lambda l, g, gamma: improvement_by_formula(l, g, 1 - gamma),
            "gamma and 1 - gamma are exchanged: gamma is the share of the good ones, which follow "
            "l",
        ),
        Mistake(
            "not_inverted",
            lambda l, g, gamma: gamma + (1 - gamma) * g / l,
            "that is one over the improvement: it should be large where l is large",
        ),
        Mistake(
            "ratio",
            lambda l, g, gamma: l / g,
            "that is the ratio alone: it puts candidates in the same order, but it is not the "
            "improvement, which is at most 1 / gamma",
        ),
        Mistake(
            "probability",
            lambda l, g, gamma: gamma * improvement_by_formula(l, g, gamma),
            "that is the probability of a good one, gamma times as much: divide by gamma, so that "
            "a random configuration has 1",
        ),
        Mistake(
            "no_shares",
            lambda l, g, gamma: l / (l + g),
            "gamma is not used: there are more bad ones than good ones, so weigh l by gamma and g "
            "by 1 - gamma",
        ),
        Mistake(
            "difference",
            lambda l, g, gamma: l - g,
            "that is a difference: only the ratio of the densities counts",
        ),
        Mistake(
            "all_below",
            lambda l, g, gamma: 1 / ((gamma + (1 - gamma) * g) / l),
            "you divide gamma by l as well: only g is divided by l",
        ),
    ),
    variants=(
        Variant("by Bayes' rule", improvement_by_posterior),
        Variant("from the ratio", improvement_by_ratio),
        Variant("from logarithms", improvement_by_logs),
    ),
    hints=(
        "Where l = g the result is 1. Where g is nearly 0 it is 1 / gamma.",
        "(gamma + (1 - gamma) g / l)^-1: a minus one in the exponent is one over it.",
        "1 / (gamma + (1 - gamma) * g / l)",
    ),
)


# --- A draw from the good ones --------------------------------------------------------------------


def sample_cases(g: Generator) -> list[tuple[list[float], float, float, float]]:
    """(points, width, which, u): each kernel in turn, points near the ends, and the uniform one."""
    found = []
    for i in range(4):
        points = [uniform(0.01, 0.15, g), uniform(0.4, 0.6, g), uniform(0.85, 0.99, g)]
        which = (i + uniform(0.1, 0.4, g)) / 4
        found.append((points, uniform(0.15, 0.4, g), which, uniform(0.03, 0.14, g)))
        which = (i + uniform(0.6, 0.9, g)) / 4
        found.append((points, uniform(0.15, 0.4, g), which, uniform(0.86, 0.97, g)))
    return found


def through(centre: float, width: float, u: float) -> float:
    """The place of a truncated normal kernel that has the mass u below it."""
    start, end = below(-centre / width), below((1 - centre) / width)
    return centre + width * place(start + u * (end - start))


def sample_by(
    draw: Callable[[float, float, float], float] = through,
    pick: Callable[[int, float], int] = lambda n, which: int(which * (n + 1)),
    apart: Callable[[float, float], float] = lambda which, u: u,
) -> Callable[[Floats, float, float, float], Any]:
    """Draw from a density, with one of the pieces exchanged."""

    def sample(points: Floats, width: float, which: float, u: float) -> float:
        i = pick(len(points), which)
        return draw(points[i], width, u) if i < len(points) else apart(which, u)

    return sample


def sample_by_normal(points: Floats, width: float, which: float, u: float) -> float:
    i = math.floor(which * (len(points) + 1))
    if i == len(points):
        return u
    normal = NormalDist(points[i], width)
    return normal.inv_cdf(normal.cdf(0) + u * (normal.cdf(1) - normal.cdf(0)))


def sample_by_torch(points: Floats, width: float, which: float, u: float) -> Any:
    one = torch.ones((), dtype=torch.float64)
    for i, centre in enumerate(points):
        if which < (i + 1) / (len(points) + 1):
            start = torch.special.ndtr(one * -centre / width)
            end = torch.special.ndtr(one * (1 - centre) / width)
            return centre + width * torch.special.ndtri(start + u * (end - start))
    return u


def sample_by_bisection(points: Floats, width: float, which: float, u: float) -> float:
    i = int(which * (len(points) + 1))
    if i == len(points):
        return u
    normal, low, high = NormalDist(points[i], width), 0.0, 1.0
    wanted = (1 - u) * normal.cdf(0) + u * normal.cdf(1)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if normal.cdf(middle) < wanted else (low, middle)
    return low


def whole_normal(centre: float, width: float, u: float) -> float:
    return centre + width * place(u)


sample = Question(
    name="sample",
    title="A draw from the good ones",
    points=2,
    reference=sample_by(),
    cases=sample_cases,
    parts=("the draw",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "not_truncated",
            sample_by(whole_normal),
            "you draw from the whole normal density, which can land outside [0, 1]: spread u over "
            "the mass between 0 and 1 only",
        ),
        Mistake(
            "clipped",
            sample_by(lambda *kernel: min(max(whole_normal(*kernel), 0.0), 1.0)),
            "you draw from the whole normal density and clip: then many draws are exactly 0 or 1. "
            "Spread u over the mass between the ends",
        ),
        Mistake(
            "no_start",
            sample_by(
                lambda centre, width, u: (
                    centre
                    + width * place(u * (below((1 - centre) / width) - below(-centre / width)))
                )
            ),
            "u begins at the mass 0: add the mass that lies below 0, so that u = 0 gives the place "
            "0",
        ),
        Mistake(
            "up_to_one",
            sample_by(
                lambda centre, width, u: (
                    centre + width * place(below(-centre / width) * (1 - u) + u * (1 - 1e-16))
                )
            ),
            "u ends at the whole mass: it should end at the mass below 1, so that u = 1 gives the "
            "place 1",
        ),
        Mistake(
            "no_centre",
            sample_by(lambda centre, width, u: through(centre, width, u) - centre),
            "that is the distance from the centre: add the centre",
        ),
        Mistake(
            "no_width",
            sample_by(
                lambda centre, width, u: centre + (through(centre, width, u) - centre) / width
            ),
            "the place of the standard normal is in widths: multiply it by the width before you "
            "add the centre",
        ),
        Mistake(
            "uniform_left_out",
            sample_by(pick=lambda n, which: int(which * n)),
            "you choose among the points only: the uniform kernel is the last of n + 1, each as "
            "likely as the others",
        ),
        Mistake(
            "uniform_first",
            sample_by(pick=lambda n, which: (int(which * (n + 1)) + n) % (n + 1)),
            "you take the uniform kernel for the first one: it is the last, after all the points",
        ),
        Mistake(
            "rounded",
            sample_by(pick=lambda n, which: min(round(which * (n + 1)), n)),
            "you round to the nearest kernel, so the first one gets half its share: round down",
        ),
        Mistake(
            "which_twice",
            sample_by(apart=lambda which, u: which),
            "for the uniform kernel you return the number that chose it, which is always near 1: "
            "return u",
        ),
        Mistake(
            "points_only",
            sample_by(lambda centre, width, u: centre),
            "that is the point itself: draw from the kernel around it",
        ),
    ),
    variants=(
        Variant("NormalDist of the kernel", sample_by_normal),
        Variant("torch.special", sample_by_torch),
        Variant("bisection", sample_by_bisection),
    ),
    hints=(
        "i = int(which * (n + 1)) is the kernel. i = n is the uniform one, whose draw is u.",
        "start = below(-c / width) is the mass of the kernel's normal density below 0, and "
        "end = below((1 - c) / width) that below 1. Go the share u of the way from start to end.",
        "c + width * place(start + u * (end - start)), where place is the inverse of below.",
    ),
)


# --- The whole suggestion -------------------------------------------------------------------------

by_gamma = split_by()

Draws = Sequence[tuple[float, float]]
Case = tuple[list[float], list[float], float, float, list[tuple[float, float]]]


def log_of(points: Floats, width: float, x: float) -> float:
    """The logarithm of the density of these points at x."""
    rows = [[kernel_by()(x, centre, width)] for centre in points]
    return float(density_by()(rows))


def suggest_cases(g: Generator) -> list[Case]:
    """(xs, losses, gamma, width, draws): a valley somewhere, noise, and failed runs."""
    while True:
        found = [suggest_case(g, failed, gamma) for failed in (0, 2) for gamma in (0.25, 0.34)]
        if telling(found):
            return found


def suggest_case(g: Generator, failed: int, gamma: float) -> Case:
    n = integer(9, 14, g)
    xs, centre = spaced(n, g, 0.0, 1.0), uniform(0.2, 0.8, g)
    losses = [abs(x - centre) + uniform(0.0, 0.15, g) for x in xs]
    for i in chosen(failed, n, g):
        losses[i] = math.inf
    draws = list(zip(spaced(9, g, 0.0, 0.99), spaced(9, g), strict=True))
    return xs, losses, gamma, uniform(0.08, 0.15, g), draws


def telling(cases: Sequence[Case]) -> bool:
    """Say that rounding decides nothing, and that each wrong score chooses other candidates."""
    rows = []
    for xs, losses, gamma, width, draws in cases:
        good, bad = by_gamma(losses, gamma)
        points, others = [xs[i] for i in good], [xs[i] for i in bad]
        candidates = [sample_by()(points, width, *draw) for draw in draws]
        l = np.array([log_of(points, width, x) for x in candidates])
        g = np.array([log_of(others, width, x) for x in candidates])
        if not apart((l - g).tolist()):
            return False
        rows.append([int(score.argmax()) for score in (l - g, g - l, l, -g, l / g, l + g)])
    columns = set(zip(*rows, strict=True))
    return len(columns) == len(rows[0])


def suggest_by(
    score: Callable[[float, float], float] = lambda l, g: l - g,
    parts: Callable[[Floats, float], tuple[list[int], list[int]]] = by_gamma,
    origin: Callable[[Floats, Floats], Floats] = lambda good, bad: good,
    give: Callable[[Floats, Floats], Any] = lambda candidates, scores: candidates[
        int(np.argmax(scores))
    ],
) -> Callable[[Floats, Floats, float, float, Draws], Any]:
    """Suggest the next configuration, with one of the pieces exchanged."""

    def suggest(xs: Floats, losses: Floats, gamma: float, width: float, draws: Draws) -> Any:
        first, second = parts(losses, gamma)
        good, bad = [xs[i] for i in first], [xs[i] for i in second]
        candidates = [sample_by()(origin(good, bad), width, *draw) for draw in draws]
        scores = [score(log_of(good, width, x), log_of(bad, width, x)) for x in candidates]
        return give(candidates, scores)

    return suggest


def by_improvement(xs: Floats, losses: Floats, gamma: float, width: float, draws: Draws) -> Any:
    """The candidate with the highest expected improvement."""
    return suggest_by(
        lambda l, g: improvement_by_formula(math.exp(l), math.exp(g), gamma), give=highest
    )(xs, losses, gamma, width, draws)


def highest(candidates: Floats, scores: Floats) -> float:
    return max(zip(scores, candidates, strict=True))[1]


def by_tensors(xs: Floats, losses: Floats, gamma: float, width: float, draws: Draws) -> Any:
    """All candidates at once."""
    where = torch.tensor(xs, dtype=torch.float64)
    good, bad = (where[part] for part in by_gamma(losses, gamma))
    drawn = [sample_by()(good.tolist(), width, *draw) for draw in draws]
    candidates = torch.tensor(drawn, dtype=torch.float64)

    def density(points: Any) -> Any:
        z = (candidates[:, None] - points) / width
        mass = torch.special.ndtr((1 - points) / width) - torch.special.ndtr(-points / width)
        kernels = torch.exp(-(z**2) / 2) / (width * math.sqrt(2 * math.pi) * mass)
        return (kernels.sum(dim=1) + 1) / (len(points) + 1)

    return drawn[int((density(good) / density(bad)).argmax())]


suggest = Question(
    name="suggest",
    title="The whole suggestion",
    points=3,
    reference=suggest_by(),
    cases=suggest_cases,
    parts=("the suggestion",),
    tolerance=EXACT,
    needs=("split", "log_kernel", "log_density", "sample"),
    mistakes=(
        Mistake(
            "upside_down",
            suggest_by(lambda l, g: g - l),
            "the ratio is upside down: you ask for what looks most like the *bad* ones. Take the "
            "highest l / g, that is log l - log g",
        ),
        Mistake(
            "good_alone",
            suggest_by(lambda l, g: l),
            "you take the candidate with the highest l: where many good ones lie there may be many "
            "bad ones as well, so divide by g",
        ),
        Mistake(
            "bad_alone",
            suggest_by(lambda l, g: -g),
            "you take the candidate with the lowest g, the farthest from the bad ones: that is "
            "often where nothing is known. Take the highest l / g",
        ),
        Mistake(
            "quotient_of_logs",
            suggest_by(lambda l, g: l / g),
            "you divide one logarithm by the other: the logarithm of a ratio is a difference, "
            "log l - log g",
        ),
        Mistake(
            "product",
            suggest_by(lambda l, g: l + g),
            "you add the logarithms, which multiplies l by g: subtract, log l - log g",
        ),
        Mistake(
            "parts_exchanged",
            suggest_by(parts=lambda losses, gamma: by_gamma(losses, gamma)[::-1]),
            "the good and the bad ones are exchanged: split returns the good ones first",
        ),
        Mistake(
            "candidates_of_the_bad",
            suggest_by(origin=lambda good, bad: bad),
            "your candidates are drawn from the bad ones' density: draw them from l",
        ),
        Mistake(
            "candidates_of_all",
            suggest_by(origin=lambda good, bad: [*good, *bad]),
            "your candidates are drawn from all points: draw them from the good ones' density",
        ),
        Mistake(
            "first_candidate",
            suggest_by(give=lambda candidates, scores: candidates[0]),
            "that is the first candidate: compare log l - log g of all of them",
        ),
        Mistake(
            "index",
            suggest_by(give=lambda candidates, scores: int(np.argmax(scores))),
            "that is the candidate's number: return its value",
        ),
        Mistake(
            "ratio",
            suggest_by(give=lambda candidates, scores: max(scores)),
            "that is the highest log l - log g: return the candidate that has it",
        ),
        Mistake(
            "best_so_far",
            lambda xs, losses, gamma, width, draws: xs[losses.index(min(losses))],
            "that is the best configuration so far: its loss is known, so a new one is asked for",
        ),
    ),
    variants=(
        Variant("by expected improvement", by_improvement),
        Variant("tensors", by_tensors),
        Variant("the last of the sorted", suggest_by(give=highest)),
    ),
    hints=(
        "good, bad = split(losses, gamma) are places: the points are [xs[i] for i in good]. Draw a "
        "candidate for each (which, u) with sample.",
        "The log of a density at x: log_density([[log_kernel(x, c, width)] for c in points]), once "
        "with the good points and once with the bad ones.",
        "max(candidates, key=lambda x: log_l(x) - log_g(x)), where log_l and log_g are the two "
        "densities.",
    ),
)
