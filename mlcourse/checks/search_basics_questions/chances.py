"""`success`, `draws_needed`, `latin_hypercube`: what random draws can do, and more even ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.compare import plain
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import EXACT, NO_DRAWS, integer, shuffled

# --- The probability of success -------------------------------------------------------------------


def success_cases(g: Generator) -> list[tuple[int, float]]:
    """(draws, share): few and many draws of small and large shares, and one draw."""
    found = [
        (integer(*draws, g), round(uniform(*share, g), 4))
        for draws, share in (
            ((2, 5), (0.05, 0.2)),
            ((8, 20), (0.02, 0.08)),
            ((40, 60), (0.02, 0.05)),
            ((90, 300), (0.001, 0.005)),
            ((6, 9), (0.2, 0.35)),
        )
    ]
    return [*found, (1, round(uniform(0.05, 0.2, g), 3))]


def by_hand(n: int, q: float) -> float:
    """The first success in draw 1, or 2, or ..."""
    total, missed = 0.0, 1.0
    for _ in range(n):
        total += missed * q
        missed *= 1 - q
    return total


success = Question(
    name="success",
    title="At least one good draw",
    points=1,
    reference=lambda n, q: 1 - (1 - q) ** n,
    cases=success_cases,
    parts=("the probability",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "added",
            lambda n, q: n * q,
            "n * q counts twice what is hit twice, and can be above 1: ask with what probability "
            "all n draws miss",
        ),
        Mistake(
            "added_up_to_one",
            lambda n, q: min(1.0, n * q),
            "n * q, cut at 1, counts twice what is hit twice: ask with what probability all n "
            "draws miss",
        ),
        Mistake(
            "all_good",
            lambda n, q: q**n,
            "that is the probability that all n draws are good: at least one is asked for",
        ),
        Mistake(
            "none_good",
            lambda n, q: (1 - q) ** n,
            "that is the probability that no draw is good: at least one is the opposite",
        ),
        Mistake(
            "not_all_good",
            lambda n, q: 1 - q**n,
            'the opposite of "at least one is good" is "all n miss": a draw misses with '
            "probability 1 - q, not q",
        ),
        Mistake(
            "exactly_one",
            lambda n, q: n * q * (1 - q) ** (n - 1),
            "that is exactly one good draw: two or more are fine as well",
        ),
        Mistake(
            "multiplied",
            lambda n, q: 1 - (1 - q) * n,
            "the probabilities of n misses are multiplied with each other: (1 - q) to the power n",
        ),
        Mistake(
            "exponential",
            lambda n, q: 1 - math.exp(-n * q),
            "1 - exp(-n q) is close for small q, but no more than that: the probability of n "
            "misses is (1 - q) ** n",
        ),
        Mistake(
            "one_fewer",
            lambda n, q: 1 - (1 - q) ** (n - 1),
            "one draw is missing: all n of them would have to miss",
        ),
        Mistake(
            "percent",
            lambda n, q: 100 * (1 - (1 - q) ** n),
            "that is in per cent: return a number from 0 to 1",
        ),
    ),
    variants=(
        Variant("by logarithms", lambda n, q: -math.expm1(n * math.log1p(-q))),
        Variant("the first success", by_hand),
        Variant("numpy's product", lambda n, q: 1 - np.prod(np.full(n, 1 - q, dtype=np.float64))),
        Variant(
            "the binomial sum",
            lambda n, q: math.fsum(
                math.comb(n, k) * q**k * (1 - q) ** (n - k) for k in range(1, n + 1)
            ),
        ),
    ),
    hints=(
        'What is the opposite of "at least one of the n draws is good"?',
        "That all of them miss. One misses with probability 1 - q, and draws are independent.",
        "1 - (1 - q) ** n.",
    ),
)


# --- How many draws -------------------------------------------------------------------------------


def needed_cases(g: Generator) -> list[tuple[float, float]]:
    """(P, q), not near a whole number of draws: one draw is enough, many are needed, in between."""
    often, seldom = uniform(0.28, 0.32, g), uniform(0.18, 0.22, g)
    one, many = uniform(0.15, 0.35, g), 40 + uniform(0.3, 0.7, g)
    found = [(1 - (1 - often) ** one, often), (1 - (1 - seldom) ** many, seldom)]
    for low, high, n in ((0.02, 0.1, 30), (0.005, 0.02, 150), (0.1, 0.3, 7), (0.03, 0.06, 55)):
        for part in (uniform(0.15, 0.35, g), uniform(0.65, 0.85, g)):
            q = round(uniform(low, high, g), 4)
            draws = integer(n - 3, n + 3, g) + part
            found.append((1 - (1 - q) ** draws, q))
    return found


def ratio(P: float, q: float) -> float:
    return math.log(1 - P) / math.log(1 - q)


def by_trying(P: float, q: float) -> int:
    n = 0
    while 1 - (1 - q) ** n < P:
        n += 1
    return n


def by_halving(P: float, q: float) -> int:
    low, high = 0, 100_000
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if 1 - (1 - q) ** middle >= P else (middle, high)
    return high


draws_needed = Question(
    name="draws_needed",
    title="How many draws are enough",
    points=2,
    reference=lambda P, q: math.ceil(ratio(P, q)),
    cases=needed_cases,
    parts=("the number of draws",),
    mistakes=(
        Mistake(
            "rounded_down",
            lambda P, q: math.floor(ratio(P, q)),
            "you round down, and P is not quite reached: take the next larger whole number",
        ),
        Mistake(
            "rounded",
            lambda P, q: round(ratio(P, q)),
            "you round to the nearest whole number: where that is below, P is not quite reached",
        ),
        Mistake(
            "not_rounded",
            ratio,
            "there are no parts of draws: take the next larger whole number",
        ),
        Mistake(
            "one_more",
            lambda P, q: math.ceil(ratio(P, q)) + 1,
            "one draw fewer is enough already: return the smallest number that reaches P",
        ),
        Mistake(
            "linear",
            lambda P, q: math.ceil(P / q),
            "P / q takes n q for the probability of success, which counts twice what is hit "
            "twice: solve 1 - (1 - q) ** n = P for n",
        ),
        Mistake(
            "linear_floor",
            lambda P, q: int(P / q),
            "P / q takes n q for the probability of success: solve 1 - (1 - q) ** n = P for n",
        ),
        Mistake(
            "of_P",
            lambda P, q: math.ceil(math.log(P) / math.log(1 - q)),
            "log(P) is for all n missing with probability P: they should miss with probability "
            "1 - P",
        ),
        Mistake(
            "of_q",
            lambda P, q: math.ceil(math.log(1 - P) / math.log(q)),
            "log(q) is for draws that are good: a draw misses with probability 1 - q",
        ),
        Mistake(
            "of_both",
            lambda P, q: math.ceil(math.log(P) / math.log(q)),
            "you solve q ** n = P, which is all n draws good: solve 1 - (1 - q) ** n = P",
        ),
        Mistake(
            "upside_down",
            lambda P, q: math.ceil(math.log(1 - q) / math.log(1 - P)),
            "the quotient is upside down: n = log(1 - P) / log(1 - q)",
        ),
        Mistake(
            "exponential",
            lambda P, q: math.ceil(-math.log(1 - P) / q),
            "1 - exp(-n q) is only close to the probability of success: take log(1 - q) for -q",
        ),
    ),
    variants=(
        Variant("one more until it is enough", by_trying),
        Variant("halving an interval", by_halving),
        Variant("log1p", lambda P, q: -int(-math.log1p(-P) // math.log1p(-q))),
        Variant("numpy", lambda P, q: np.ceil(np.log2(1 - P) / np.log2(1 - q))),
    ),
    hints=(
        "Solve 1 - (1 - q) ** n = P for n.",
        "(1 - q) ** n = 1 - P; take logarithms on both sides, any of them, but the same.",
        "math.ceil(math.log(1 - P) / math.log(1 - q)).",
    ),
)


# --- A Latin hypercube ----------------------------------------------------------------------------

Array = np.ndarray


def latin_cases(g: Generator) -> list[tuple[Array, Array]]:
    """(permutations (n, d), uniforms (n, d)): the columns are permutations of 0 .. n - 1."""
    found = []
    for n, d in ((5, 2), (4, 4), (10, 3), (3, 5), (7, 1)):
        columns = np.array([shuffled(n, g) for _ in range(d)]).T
        inside = torch.rand(n, d, generator=g, dtype=torch.float64) * 0.8 + 0.1
        found.append((columns, inside.numpy()))
    return found


def use_array(answer: Callable, *args: Any) -> Any:
    """Call the answer; rows may come as a list, of lists or of arrays."""
    result = plain(answer(*args))
    if isinstance(result, (list, tuple)) and result:
        try:
            return torch.stack([torch.as_tensor(row, dtype=torch.float64) for row in result])
        except (RuntimeError, TypeError, ValueError):  # something else than rows of one length
            return result
    return result


def by_loops(permutations: Array, uniforms: Array) -> list[list[float]]:
    n = len(permutations)
    return [
        [(share + at) / n for share, at in zip(shares, places, strict=True)]
        for shares, places in zip(permutations.tolist(), uniforms.tolist(), strict=True)
    ]


def between_edges(permutations: Array, uniforms: Array) -> Array:
    edges = np.linspace(0, 1, len(permutations) + 1)
    low, high = edges[permutations], edges[permutations + 1]
    return (1 - uniforms) * low + uniforms * high


latin_hypercube = Question(
    name="latin_hypercube",
    title="A Latin hypercube",
    points=2,
    reference=lambda permutations, uniforms: (permutations + uniforms) / len(permutations),
    cases=latin_cases,
    use=use_array,
    parts=("the points",),
    forbidden=(NO_DRAWS,),
    mistakes=(
        Mistake(
            "corners",
            lambda permutations, uniforms: permutations / len(permutations),
            "every point is at the beginning of its share: the uniform number says where in the "
            "share it lies",
        ),
        Mistake(
            "middles",
            lambda permutations, uniforms: (permutations + 0.5) / len(permutations),
            "every point is in the middle of its share: the uniform number says where in the share "
            "it lies",
        ),
        Mistake(
            "random",
            lambda permutations, uniforms: uniforms,
            "the permutations are not used: these are independent draws, which leave shares empty",
        ),
        Mistake(
            "whole_range",
            lambda permutations, uniforms: permutations / len(permutations) + uniforms,
            "the uniform number moves a point through the whole range: a share is only 1 / n wide, "
            "so divide it by n too",
        ),
        Mistake(
            "not_divided",
            lambda permutations, uniforms: permutations + uniforms,
            "your points are in the cube from 0 to n: divide by n",
        ),
        Mistake(
            "by_dimensions",
            lambda permutations, uniforms: (permutations + uniforms) / permutations.shape[1],
            "you divide by the number of dimensions: there are as many shares as points, n",
        ),
        Mistake(
            "by_n_minus_1",
            lambda permutations, uniforms: (
                (permutations + uniforms) / max(len(permutations) - 1, 1)
            ),
            "you divide by n - 1, so the last share lies beyond 1: there are n shares",
        ),
        Mistake(
            "from_one",
            lambda permutations, uniforms: (permutations + 1 + uniforms) / len(permutations),
            "your shares count from 1, so the last lies beyond 1: the permutations count from 0",
        ),
        Mistake(
            "backwards",
            lambda permutations, uniforms: (permutations - uniforms) / len(permutations),
            "you go back from the beginning of the share: go on, by + uniforms",
        ),
        Mistake(
            "diagonal",
            lambda permutations, uniforms: (permutations[:, :1] + uniforms) / len(permutations),
            "the first permutation is used for all coordinates, so the points lie along the "
            "diagonal: each coordinate has its own column",
        ),
        Mistake(
            "one_uniform",
            lambda permutations, uniforms: (permutations + uniforms[:, :1]) / len(permutations),
            "one uniform number is used for all coordinates of a point: each has its own",
        ),
        Mistake(
            "transposed",
            lambda permutations, uniforms: ((permutations + uniforms) / len(permutations)).T,
            "rows and columns are exchanged: a point is a row, (n, d)",
        ),
    ),
    variants=(
        Variant("loops", by_loops),
        Variant("between the edges of the shares", between_edges),
        Variant(
            "a tensor",
            lambda permutations, uniforms: torch.from_numpy(permutations + uniforms).div(
                permutations.shape[0]
            ),
        ),
        Variant(
            "a list of points",
            lambda permutations, uniforms: list((uniforms + permutations) / len(uniforms)),
        ),
    ),
    hints=(
        "With n points, share number s of [0, 1] goes from s / n to (s + 1) / n.",
        "The uniform number goes through the share: 0 is its beginning, 1 its end.",
        "(permutations + uniforms) / n, with n = len(permutations).",
    ),
)
