"""`stable`: whether a lone particle's spread settles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.compare import NotData, plain
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.pso_questions.shared import setting

Setting = tuple[float, float, float]


def limit_of(w: float, share: float) -> float:
    """The sum of the pulls at the limit, of which `share` is the own one."""
    # variance = a t^2 and mean = t / 2 for the sum t.
    a = (share**2 + (1 - share) ** 2) / 12
    return (1 + w) * (1 - w) / (a * (1 + w) + (1 - w) / 4)


def stable_cases(g: Generator) -> list[tuple[list[Setting]]]:
    """(settings): w, own and swarm, well inside and well outside of the limit, up to order 1's."""
    found: list[Setting] = []
    for _ in range(40):
        w, share = setting(-0.3, 0.95, g), setting(0.15, 0.85, g)
        for factor in (setting(0.5, 0.95, g), setting(1.05, 1.5, g)):
            total = factor * limit_of(w, share)
            found.append((w, round(share * total, 4), round((1 - share) * total, 4)))
    found += [(setting(1.2, 1.4, g), setting(0.5, 1, g), setting(0.5, 1, g)) for _ in range(4)]
    # Unequal pulls settle less easily than equal ones of the same sum.
    for _ in range(4):
        w, share = setting(0.3, 0.7, g), setting(0.08, 0.14, g)
        total = setting(1.05, 1.1, g) * limit_of(w, share)
        found.append((w, share * total, (1 - share) * total))
    # Here 1 + w is the smaller factor, which tells an exchange from order 1.
    for _ in range(4):
        w, total = setting(-0.4, -0.28, g), setting(0.92, 0.95, g)
        total *= limit_of(w, 0.5)
        found.append((w, total / 2, total / 2))
    return [(found,)]


def use_settings(answer: Callable, settings: list[Setting]) -> torch.Tensor:
    """Ask for each of the settings. Raises NotData for an answer that is not True or False.

    All answers are one tensor: a single wrong one could come from many mistakes.
    """
    answers = [plain(answer(*setting)) for setting in settings]
    if not all(isinstance(one, bool) for one in answers):
        raise NotData("it should return True or False")
    return torch.tensor(answers)


def stable_by(
    mean: Callable[[float, float], float] = lambda own, swarm: (own + swarm) / 2,
    variance: Callable[[float, float], float] = lambda own, swarm: (own**2 + swarm**2) / 12,
    settles: Callable[[float, float, float], Any] = lambda w, m, s2: (
        abs(w) < 1 and s2 * (1 + w) < m * (2 * (1 + w) - m) * (1 - w)
    ),
) -> Callable[[float, float, float], Any]:
    """The condition with one of the pieces exchanged."""
    return lambda w, own, swarm: settles(w, mean(own, swarm), variance(own, swarm))


def by_eigenvalues(w: float, own: float, swarm: float) -> Any:
    """The matrix of (E x_t^2, E x_t x_t-1, E x_t-1^2)."""
    mean, variance = (own + swarm) / 2, (own**2 + swarm**2) / 12
    a = 1 + w - mean
    matrix = np.array([[a**2 + variance, -2 * w * a, w**2], [a, -w, 0], [1, 0, 0]])
    return bool(np.abs(np.linalg.eigvals(matrix)).max() < 1 - 1e-12)


def by_quotient(w: float, own: float, swarm: float) -> Any:
    m, s2 = own / 2 + swarm / 2, own * own / 12 + swarm * swarm / 12
    if not -1 < w < 1 or m == 0:
        return False
    return s2 / m < (2 * (1 + w) - m) * (1 - w) / (1 + w)


stable = Question(
    name="stable",
    title="Does the swarm settle?",
    points=1,
    reference=stable_by(),
    cases=stable_cases,
    use=use_settings,
    parts=("the list of your answers",),
    mistakes=(
        Mistake(
            "order_one",
            stable_by(settles=lambda w, m, s2: abs(w) < 1 and 0 < m < 2 * (1 + w)),
            "that is order 1, the condition for the *mean* place: the spread may grow all the same",
        ),
        Mistake(
            "equal_pulls",
            lambda w, own, swarm: abs(w) < 1 and own + swarm < 24 * (1 - w**2) / (7 - 5 * w),
            "that limit is for two equal pulls: with unequal ones the variance is larger, so use m "
            "and s2",
        ),
        Mistake(
            "no_inertia_limit",
            stable_by(settles=lambda w, m, s2: s2 * (1 + w) < m * (2 * (1 + w) - m) * abs(1 - w)),
            "with an inertia of 1 or more nothing slows a particle down: |w| < 1 is asked for too",
        ),
        Mistake(
            "mean_of_the_sum",
            stable_by(mean=lambda own, swarm: own + swarm),
            "the mean pull is half of own + swarm: a number from [0, 1] is 0.5 on average",
        ),
        Mistake(
            "deviation",
            stable_by(variance=lambda own, swarm: ((own**2 + swarm**2) / 12) ** 0.5),
            "that takes the standard deviation for the variance: leave the root out",
        ),
        Mistake(
            "not_squared",
            stable_by(variance=lambda own, swarm: (own + swarm) / 12),
            "the variance of a number times own is own ** 2 times its variance: square the "
            "strengths",
        ),
        Mistake(
            "square_of_the_sum",
            stable_by(variance=lambda own, swarm: (own + swarm) ** 2 / 12),
            "the two random numbers are independent: their variances are added, own ** 2 + swarm "
            "** 2, not squared as a sum",
        ),
        Mistake(
            "no_twelfth",
            stable_by(variance=lambda own, swarm: own**2 + swarm**2),
            "a number from [0, 1] has the variance 1 / 12: divide by 12",
        ),
        Mistake(
            "one_pull",
            stable_by(mean=lambda own, swarm: own / 2, variance=lambda own, swarm: own**2 / 12),
            "only one of the pulls counts: both act on the particle",
        ),
        Mistake(
            "factors_exchanged",
            stable_by(
                settles=lambda w, m, s2: (
                    abs(w) < 1 and s2 * (1 - w) < m * (2 * (1 + w) - m) * (1 + w)
                )
            ),
            "1 + w and 1 - w are exchanged: the variance is multiplied by 1 + w",
        ),
        Mistake(
            "turned_round",
            lambda *args: not stable_by()(*args),
            "it is turned round: return True where the spread settles",
        ),
    ),
    variants=(
        Variant("eigenvalues", by_eigenvalues),
        Variant("a quotient", by_quotient),
        Variant(
            "numpy's truth values",
            lambda w, own, swarm: np.bool_(stable_by()(w, own, swarm)),
        ),
    ),
    hints=(
        "Write m and s2 down first, then |w| < 1 and the inequality.",
        "m = (own + swarm) / 2 and s2 = (own ** 2 + swarm ** 2) / 12.",
        "abs(w) < 1 and s2 * (1 + w) < m * (2 * (1 + w) - m) * (1 - w).",
    ),
)
