"""`paired`, `sign_flip_p` and `pairs_needed`: how sure a comparison of two methods is."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.tpe_hyperband_questions.shared import EXACT, Floats, integer, place, use_lists

# --- The mean difference and its standard error ---------------------------------------------------


def paired_cases(g: Generator) -> list[tuple[list[float], list[float]]]:
    """(a, b): what a pair shares is larger than what differs."""
    found = []
    for n, shift in ((5, 0.1), (8, -0.2), (12, 0.05)):
        shared = [uniform(1.0, 3.0, g) for _ in range(n)]
        a = [round(level + shift + uniform(-0.2, 0.2, g), 4) for level in shared]
        b = [round(level + uniform(-0.2, 0.2, g), 4) for level in shared]
        found.append((a, b))
    return found


Pair = Callable[[Floats, Floats], Any]


def minus(a: Floats, b: Floats) -> list[float]:
    return [one - other for one, other in zip(a, b, strict=True)]


def own_error(differences: Floats) -> float:
    return statistics.stdev(differences) / math.sqrt(len(differences))


def paired_by(
    error: Callable[[Floats, Floats], float] = lambda a, b: own_error(minus(a, b)),
    mean: Callable[[Floats, Floats], float] = lambda a, b: statistics.fmean(minus(a, b)),
) -> Pair:
    """Give the mean difference and its standard error, with one of the pieces exchanged."""
    return lambda a, b: (mean(a, b), error(a, b))


def paired_by_numpy(a: Floats, b: Floats) -> Any:
    differences = np.subtract(a, b)
    return differences.mean(), differences.std(ddof=1) / np.sqrt(len(differences))


def paired_by_torch(a: Floats, b: Floats) -> Any:
    d = torch.tensor(a, dtype=torch.float64) - torch.tensor(b, dtype=torch.float64)
    return torch.stack([d.mean(), d.std() / len(d) ** 0.5])


def paired_by_sums(a: Floats, b: Floats) -> Any:
    n = len(a)
    mean = (math.fsum(a) - math.fsum(b)) / n
    squares = math.fsum((one - other - mean) ** 2 for one, other in zip(a, b, strict=True))
    return [mean, math.sqrt(squares / (n * (n - 1)))]


paired = Question(
    name="paired",
    title="Differences of pairs",
    points=1,
    reference=paired_by(),
    cases=paired_cases,
    use=use_lists,
    parts=("the mean difference", "the standard error"),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "unpaired",
            paired_by(
                lambda a, b: math.sqrt(
                    statistics.variance(a) / len(a) + statistics.variance(b) / len(b)
                )
            ),
            "that is the error of two groups that have nothing in common: take the standard "
            "deviation of the *differences*, in which what a pair shares is gone",
        ),
        Mistake(
            "errors_subtracted",
            paired_by(lambda a, b: abs(own_error(a) - own_error(b))),
            "you subtract two standard errors: subtract the values, pair by pair, and take the "
            "standard deviation of these differences",
        ),
        Mistake(
            "of_one",
            paired_by(lambda a, b: own_error(a)),
            "that is the standard error of a alone: take that of the differences a - b",
        ),
        Mistake(
            "no_root",
            paired_by(lambda a, b: statistics.stdev(minus(a, b))),
            "that is the standard deviation of one difference: the error of their mean is "
            "sqrt(n) times smaller",
        ),
        Mistake(
            "divided_by_n",
            paired_by(lambda a, b: statistics.stdev(minus(a, b)) / len(a)),
            "you divide by n: a mean of n is sqrt(n) times as sure, so divide by sqrt(n)",
        ),
        Mistake(
            "variance",
            paired_by(lambda a, b: statistics.variance(minus(a, b)) / len(a)),
            "that is the square of the standard error: take its root",
        ),
        Mistake(
            "population",
            paired_by(lambda a, b: statistics.pstdev(minus(a, b)) / math.sqrt(len(a))),
            "your standard deviation divides by n: the mean is taken from the same numbers, so "
            "divide by n - 1 (ddof=1, or statistics.stdev)",
        ),
        Mistake(
            "other_way",
            paired_by(mean=lambda a, b: statistics.fmean(minus(b, a))),
            "the difference has the other sign: it is a - b, which is negative where a is better",
        ),
        Mistake(
            "median",
            paired_by(mean=lambda a, b: statistics.median(minus(a, b))),
            "that is the median of the differences: the mean is asked for",
        ),
        Mistake(
            "sum",
            paired_by(mean=lambda a, b: math.fsum(minus(a, b))),
            "that is the sum of the differences: divide it by n",
        ),
    ),
    variants=(
        Variant("NumPy", paired_by_numpy),
        Variant("torch", paired_by_torch),
        Variant("sums", paired_by_sums),
    ),
    hints=(
        "First the differences: [x - y for x, y in zip(a, b)].",
        "Their mean, and their standard deviation (with n - 1) divided by sqrt(n).",
        "statistics.mean(d), statistics.stdev(d) / math.sqrt(len(d))",
    ),
)


# --- A p-value by flipping signs ------------------------------------------------------------------


def flip_cases(g: Generator) -> list[tuple[list[float]]]:
    """Differences in steps of 1/4, so that sums are exact: some are equal."""
    found = []
    for n, low, high in ((5, 1, 8), (8, -4, 12), (9, -12, 5), (7, -8, 8)):
        while True:
            steps = [integer(low, high, g) for _ in range(n)]
            if 0 not in steps and sum(steps) * (low + high) >= 0 and (low > 0 or uneven(steps)):
                break
        found.append(([step / 4 for step in steps],))
    return found


def uneven(steps: list[int]) -> bool:
    """Say that other flips go exactly as far, and that a test of the signs alone says otherwise."""
    alike = sum(abs(total) == abs(sum(steps)) for total in flipped(steps))
    return alike > 2 and abs(sum(steps)) > 1 and abs(sign_test(steps) - flips_by()(steps)) > 1e-3


def flipped(differences: Floats) -> list[float]:
    signs = itertools.product((1, -1), repeat=len(differences))
    return [math.fsum(s * d for s, d in zip(row, differences, strict=True)) for row in signs]


def as_far(totals: Floats, seen: float) -> int:
    return sum(abs(total) >= abs(seen) for total in totals)


def flips_by(
    count: Callable[[list[float], float], float] = as_far,
    share: Callable[[float, int], float] = lambda found, flips: found / flips,
) -> Callable[[Floats], Any]:
    """Give the share of sign flips that go as far, with one of the pieces exchanged."""
    return lambda differences: share(
        count(flipped(differences), sum(differences)), 2 ** len(differences)
    )


def sign_test(differences: Floats) -> float:
    n, positive = len(differences), sum(d > 0 for d in differences)
    tail = sum(math.comb(n, k) for k in range(max(positive, n - positive), n + 1))
    return min(1.0, 2 * tail / 2**n)


def normal_p(differences: Floats) -> float:
    z = abs(statistics.fmean(differences)) / own_error(differences)
    return 2 * statistics.NormalDist().cdf(-z)


def flips_by_numpy(differences: Floats) -> Any:
    n = len(differences)
    signs = 1 - 2 * (np.arange(2**n)[:, None] >> np.arange(n) & 1)
    means = np.abs(signs @ np.array(differences)) / n
    return np.mean(means >= means[0] - 1e-12)


def flips_by_recursion(differences: Floats) -> Any:
    seen = abs(sum(differences))

    def count(i: int, total: float) -> int:
        if i == len(differences):
            return int(abs(total) >= seen - 1e-9)
        return count(i + 1, total + differences[i]) + count(i + 1, total - differences[i])

    return count(0, 0.0) / 2 ** len(differences)


def flips_by_halves(differences: Floats) -> Any:
    """One tail, twice, as flipping all signs turns the mean round."""
    totals = torch.zeros(1, dtype=torch.float64)
    for difference in differences:
        totals = torch.cat([totals + difference, totals - difference])
    tail = (totals >= abs(sum(differences)) - 1e-9).double().mean()
    return min(1.0, 2 * float(tail))


sign_flip_p = Question(
    name="sign_flip_p",
    title="A p-value by flipping signs",
    points=2,
    reference=flips_by(),
    cases=flip_cases,
    parts=("the p-value",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "one_sided",
            flips_by(
                lambda totals, seen: sum(
                    total * math.copysign(1, seen) >= abs(seen) for total in totals
                )
            ),
            "you count one side only: before the experiment nobody knew which method would be "
            "better, so compare sizes, without the sign",
        ),
        Mistake(
            "other_side",
            flips_by(lambda totals, seen: sum(total >= seen for total in totals)),
            "you compare means with their signs, so the p-value depends on which method comes "
            "first: compare their sizes",
        ),
        Mistake(
            "strictly_farther",
            flips_by(lambda totals, seen: sum(abs(total) > abs(seen) for total in totals)),
            "you count flips that go strictly farther: *as far* counts as well, at the very least "
            "the differences as they are",
        ),
        Mistake(
            "itself_left_out",
            flips_by(
                lambda totals, seen: as_far(totals, seen) - 1,
                lambda found, flips: found / (flips - 1),
            ),
            "you leave out the flip of no sign: the result that was seen is one of the 2^n",
        ),
        Mistake(
            "nearer",
            flips_by(lambda totals, seen: sum(abs(total) < abs(seen) for total in totals)),
            "that is the share of flips that stay nearer to zero: count those that go as far or "
            "farther",
        ),
        Mistake(
            "not_divided",
            flips_by(share=lambda found, flips: found),
            "that is how many flips go as far: divide by the number of all flips, 2^n",
        ),
        Mistake(
            "divided_by_n_squared",
            lambda differences: (
                flips_by(share=lambda found, flips: found)(differences) / len(differences) ** 2
            ),
            "there are 2^n ways to choose n signs, not n^2",
        ),
        Mistake(
            "sign_test",
            sign_test,
            "you count positive differences, and their sizes are lost: flip the signs and compare "
            "the means",
        ),
        Mistake(
            "normal",
            normal_p,
            "that is a normal approximation: with so few pairs try all 2^n flips, which needs no "
            "assumption of that kind",
        ),
    ),
    variants=(
        Variant("NumPy", flips_by_numpy),
        Variant("recursion", flips_by_recursion),
        Variant("one tail, twice", flips_by_halves),
    ),
    hints=(
        "itertools.product((1, -1), repeat=n) gives all 2^n rows of signs.",
        "For each row the sum of sign times difference. How many of their sizes are at least the "
        "size of the sum that was seen? (The same as for means: n is the same.)",
        "sum(abs(total) >= abs(sum(differences)) - 1e-9 for total in totals) / 2**n",
    ),
)


# --- Pairs that are needed ------------------------------------------------------------------------


def pairs_cases(g: Generator) -> list[tuple[float, float, float, float]]:
    """(difference, sd, power, level): never so close to a whole number that rounding matters."""
    found: list[tuple[float, float, float, float]] = []
    for power, level in ((0.8, 0.05), (0.9, 0.05), (0.8, 0.01), (0.95, 0.1)):
        while True:
            difference = round(uniform(0.1, 0.5, g) * (-1) ** len(found), 2)
            sd = round(uniform(0.4, 1.2, g), 2)
            pairs = (z_of(level, power) * sd / difference) ** 2
            if 0.02 < pairs % 1 < 0.45 and pairs > 5:
                break
        found.append((difference, sd, power, level))
    return found


def z_of(level: float, power: float) -> float:
    return place(1 - level / 2) + place(power)


def pairs_by(
    z: Callable[[float, float], float] = z_of,
    size: Callable[[float], float] = lambda ratio: ratio**2,
    whole: Callable[[float], Any] = math.ceil,
) -> Callable[[float, float, float, float], Any]:
    """Give the number of pairs, with one of the pieces exchanged."""
    return lambda difference, sd, power, level: whole(size(z(level, power) * sd / difference))


def pairs_by_numpy(difference: float, sd: float, power: float, level: float) -> Any:
    z = np.array([place(1 - level / 2), place(power)])
    return int(np.ceil(np.square(z.sum() / (difference / sd))))


def pairs_by_search(difference: float, sd: float, power: float, level: float) -> Any:
    n = 1
    while abs(difference) / (sd / math.sqrt(n)) < place(1 - level / 2) + place(power):
        n += 1
    return n


def pairs_by_torch(difference: float, sd: float, power: float, level: float) -> Any:
    z = torch.special.ndtri(torch.tensor([level / 2, 1 - power], dtype=torch.float64)).sum()
    return (z * sd / difference).square().ceil()


pairs_needed = Question(
    name="pairs_needed",
    title="Pairs that are needed",
    points=2,
    reference=pairs_by(),
    cases=pairs_cases,
    parts=("the number of pairs",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "not_squared",
            pairs_by(size=lambda ratio: ratio),
            "the square is missing: half the difference needs four times as many pairs",
        ),
        Mistake(
            "one_sided",
            pairs_by(lambda level, power: place(1 - level) + place(power)),
            "that is for one side only: nobody knows beforehand which method is better, so each "
            "side gets half the level, place(1 - level / 2)",
        ),
        Mistake(
            "power_forgotten",
            pairs_by(lambda level, power: place(1 - level / 2)),
            "the power is not used: with that many pairs the difference is seen in only half of "
            "all experiments, so add place(power)",
        ),
        Mistake(
            "level_forgotten",
            pairs_by(lambda level, power: place(power)),
            "the level is not used: add place(1 - level / 2)",
        ),
        Mistake(
            "level_directly",
            pairs_by(lambda level, power: abs(place(level / 2) + place(power))),
            "place(level / 2) is negative, so it is taken off: the place is that of 1 - level / 2",
        ),
        Mistake(
            "squares_added",
            lambda difference, sd, power, level: math.ceil(
                (place(1 - level / 2) ** 2 + place(power) ** 2) * (sd / difference) ** 2
            ),
            "you square the two places one by one: add them first, then square",
        ),
        Mistake(
            "two_groups",
            pairs_by(size=lambda ratio: 2 * ratio**2),
            "that is the formula for two separate groups, twice as many: here sd is that of the "
            "differences already",
        ),
        Mistake(
            "root_two",
            pairs_by(size=lambda ratio: ratio**2 / 2),
            "you take half: sd is that of the differences already, so it needs no factor of "
            "sqrt(2) in either direction",
        ),
        Mistake(
            "rounded",
            pairs_by(whole=round),
            "you round to the nearest: round up, as fewer pairs have less than the power wanted",
        ),
        Mistake(
            "not_rounded",
            pairs_by(whole=lambda n: n),
            "that is no whole number: round up",
        ),
        Mistake(
            "upside_down",
            pairs_by(size=lambda ratio: 1 / ratio**2),
            "the ratio is upside down: more noise needs more pairs, so sd stands above the "
            "difference",
        ),
        Mistake(
            "variance",
            lambda difference, sd, power, level: math.ceil(
                z_of(level, power) ** 2 * sd / difference
            ),
            "you square the places only: sd / difference is squared with them",
        ),
    ),
    variants=(
        Variant("NumPy", pairs_by_numpy),
        Variant("tried one by one", pairs_by_search),
        Variant("torch, the lower tails", pairs_by_torch),
    ),
    hints=(
        "place(1 - level / 2) is 1.96 for a level of 0.05, and place(power) is 0.84 for 0.8.",
        "n = ((1.96 + 0.84) sd / difference)^2, rounded up.",
        "math.ceil(((place(1 - level / 2) + place(power)) * sd / difference) ** 2)",
    ),
)
