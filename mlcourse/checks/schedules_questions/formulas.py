"""`time_based`, `step` and `exponential`: rates that fall by a formula."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.schedules_questions.shared import (
    BY_HAND,
    CALLS,
    RATES,
    TIMES,
    Schedule,
    by_calls,
    rate_at_once,
    rates,
    uniform,
)

Decay = Callable[[float, float], Schedule]


def decays(g: Generator) -> list[tuple]:
    """(lr0, k, times)."""
    found = []
    for low, high in ((0.01, 0.03), (0.1, 0.2), (0.4, 0.6)):
        found.append((uniform(g, 0.05, 1.5), uniform(g, low, high), TIMES))
    return found


def stages(g: Generator) -> list[tuple]:
    """(lr0, drop, epochs_drop, times)."""
    found = []
    for drop, epochs_drop in ((0.5, 5), (0.1, 3), (0.3, 10), (0.7, 4)):
        found.append((uniform(g, 0.05, 1.5), drop, epochs_drop, TIMES))
    return found


def by(formula: Callable[[float, float, float], float]) -> Decay:
    """A schedule by a formula of (lr0, k, t)."""
    return lambda lr0, k: lambda t: formula(lr0, k, t)


def product(factor: Callable[[float, int], float]) -> Decay:
    """Each step multiplies the rate of the one before by its factor."""
    return lambda lr0, k: lambda t: lr0 * math.prod(factor(k, i) for i in range(int(t) + 1))


def in_numpy(lr0: float, k: float) -> Any:
    def schedule(t: float) -> Any:
        return np.float64(lr0) / np.add(1.0, np.multiply(k, t))

    return schedule


def harmonic(lr0: float, k: float) -> Schedule:
    """The reciprocal of the rate grows by k / lr0 at each step."""
    return lambda t: 1 / (1 / lr0 + t * k / lr0)


time_based = Question(
    name="time_based",
    title="Time-based decay",
    points=1,
    reference=by(lambda lr0, k, t: lr0 / (1 + k * t)),
    cases=decays,
    use=rates,
    tolerance=RATES,
    forbidden=(BY_HAND,),
    mistakes=(
        rate_at_once("time_based"),
        Mistake(
            "no_one",
            by(lambda lr0, k, t: lr0 / (k * t)),
            "the 1 is missing below, so at t = 0 you divide by 0: lr0 / (1 + k t)",
        ),
        Mistake(
            "linear",
            by(lambda lr0, k, t: lr0 * (1 - k * t)),
            "the rate falls along a straight line and becomes negative: divide by 1 + k t",
        ),
        Mistake(
            "exponential",
            by(lambda lr0, k, t: lr0 * math.exp(-k * t)),
            "that is the exponential decay: the time-based one is lr0 / (1 + k t)",
        ),
        Mistake(
            "repeated",
            by(lambda lr0, k, t: lr0 / (1 + k) ** t),
            "each step divides by 1 + k, which is an exponential decay: divide lr0 once, by "
            "1 + k t",
        ),
        Mistake(
            "compounded",
            product(lambda k, i: 1 / (1 + k * i)),
            "each step divides the rate of the step before by 1 + k t: start from lr0 each time",
        ),
        Mistake(
            "root",
            by(lambda lr0, k, t: lr0 / math.sqrt(1 + k * t)),
            "there is a root in yours: lr0 / (1 + k t)",
        ),
        Mistake(
            "squared",
            by(lambda lr0, k, t: lr0 / (1 + k * t) ** 2),
            "there is a square in yours: lr0 / (1 + k t)",
        ),
        Mistake(
            "grown",
            by(lambda lr0, k, t: lr0 * (1 + k * t)),
            "the rate grows: divide by 1 + k t",
        ),
        Mistake(
            "one_step_ahead",
            by(lambda lr0, k, t: lr0 / (1 + k * (t + 1))),
            "yours is one step ahead: t counts from 0, where the rate is lr0",
        ),
        Mistake(
            "k_forgotten",
            by(lambda lr0, k, t: lr0 / (1 + t)),
            "k is not used: lr0 / (1 + k t)",
        ),
        Mistake(
            "lr0_forgotten",
            by(lambda lr0, k, t: 1 / (1 + k * t)),
            "lr0 is missing: yours is the factor alone",
        ),
        Mistake(
            "by_calls",
            lambda lr0, k: by_calls(lr0, lambda rate, calls: lr0 / (1 + k * calls)),
            CALLS,
        ),
    ),
    variants=(
        Variant("NumPy", in_numpy),
        Variant("the reciprocal grows", harmonic),
        Variant("a tensor", by(lambda lr0, k, t: torch.tensor(lr0).double() / (1 + k * t))),  # type: ignore[arg-type, return-value]
    ),
    hints=(
        "time_based(lr0, k) has to return a function. Inside it: def schedule(t): ..., and then "
        "return schedule, without brackets.",
        "At t = 0 the rate is lr0, at t = 1/k half of it, at t = 2/k a third.",
        "return lr0 / (1 + k * t)",
    ),
)


# --- Step -----------------------------------------------------------------------------------------

Staircase = Callable[[float, float, float], Schedule]


def staircase(
    exponent: Callable[[float, float, float], float] = lambda t, epochs_drop, drop: (
        t // epochs_drop
    ),
    rate: Callable[[float, float, float], float] = lambda lr0, drop, n: lr0 * drop**n,
) -> Staircase:
    """A step schedule with one of its pieces exchanged."""
    return lambda lr0, drop, epochs_drop: lambda t: rate(lr0, drop, exponent(t, epochs_drop, drop))


def stage_by_stage(lr0: float, drop: float, epochs_drop: float) -> Schedule:
    def schedule(t: float) -> float:
        rate = lr0
        while t >= epochs_drop:
            rate, t = rate * drop, t - epochs_drop
        return rate

    return schedule


def by_list(lr0: float, drop: float, epochs_drop: float) -> Schedule:
    ends = [epochs_drop * n for n in range(1, 100)]
    levels = [lr0 * drop**n for n in range(100)]
    return lambda t: levels[bisect.bisect_right(ends, t)]


def by_torch_floor(lr0: float, drop: float, epochs_drop: float) -> Any:
    return lambda t: (
        lr0 * torch.tensor(drop).double() ** torch.floor(torch.tensor(t).double() / epochs_drop)
    )


step = Question(
    name="step",
    title="Step decay",
    points=1,
    reference=staircase(),
    cases=stages,
    use=rates,
    tolerance=RATES,
    forbidden=(BY_HAND,),
    mistakes=(
        rate_at_once("step"),
        Mistake(
            "minus_drop",
            staircase(lambda t, epochs_drop, drop: math.floor(t / (epochs_drop - drop))),
            "you divide by a difference, as the formula is sometimes printed (epochs - drop): "
            "epochs_drop is one number, the length of a stage",
        ),
        Mistake(
            "by_drop",
            staircase(lambda t, epochs_drop, drop: t // drop),
            "the epoch is divided by drop: divide it by epochs_drop, and round down",
        ),
        Mistake(
            "no_floor",
            staircase(lambda t, epochs_drop, drop: t / epochs_drop),
            "the rate falls a little in every epoch: round the exponent down, t // epochs_drop, "
            "which makes stages",
        ),
        Mistake(
            "rounded_up",
            staircase(lambda t, epochs_drop, drop: math.ceil(t / epochs_drop)),
            "the exponent is rounded up, so the first drop comes after one epoch: round it down",
        ),
        Mistake(
            "rounded",
            staircase(lambda t, epochs_drop, drop: round(t / epochs_drop)),
            "the exponent is rounded to the nearest integer, so the drops come half a stage early: "
            "round it down",
        ),
        Mistake(
            "one_early",
            staircase(lambda t, epochs_drop, drop: (t + 1) // epochs_drop),
            "each drop comes one epoch early: epochs count from 0, and each stage has epochs_drop "
            "of them",
        ),
        Mistake(
            "one_late",
            staircase(lambda t, epochs_drop, drop: max(t - 1, 0) // epochs_drop),
            "each drop comes one epoch late: epoch epochs_drop is the first of the second stage",
        ),
        Mistake(
            "one_stage_ahead",
            staircase(lambda t, epochs_drop, drop: 1 + t // epochs_drop),
            "the rate has dropped before the first epoch: the first stage has the rate lr0",
        ),
        Mistake(
            "every_epoch",
            staircase(lambda t, epochs_drop, drop: t),
            "the rate drops in every epoch: it drops once in epochs_drop epochs",
        ),
        Mistake(
            "remainder",
            staircase(lambda t, epochs_drop, drop: t % epochs_drop),
            "the exponent is the remainder, so the rate comes back up: it is the whole quotient, "
            "t // epochs_drop",
        ),
        Mistake(
            "once",
            staircase(lambda t, epochs_drop, drop: min(t // epochs_drop, 1)),
            "the rate drops only once: it drops again after each stage",
        ),
        Mistake(
            "linear",
            staircase(rate=lambda lr0, drop, n: lr0 * (1 - (1 - drop) * n)),
            "the same amount is taken off at each drop, which ends below 0: the rate is multiplied "
            "by drop",
        ),
        Mistake(
            "complement",
            staircase(rate=lambda lr0, drop, n: lr0 * (1 - drop) ** n),
            "the rate loses the fraction drop at each stage: it is multiplied by drop",
        ),
        Mistake(
            "divided",
            staircase(rate=lambda lr0, drop, n: lr0 / drop**n),
            "the rate grows: multiply by drop, which is below 1",
        ),
        Mistake(
            "times_exponent",
            staircase(rate=lambda lr0, drop, n: lr0 * drop * n),
            "the number of drops multiplies the rate: it is the exponent, drop ** n",
        ),
        Mistake(
            "by_calls",
            lambda lr0, drop, epochs_drop: by_calls(
                lr0, lambda rate, calls: rate * (drop if calls % epochs_drop == 0 else 1)
            ),
            CALLS,
        ),
    ),
    variants=(
        Variant("stage by stage", stage_by_stage),
        Variant("a list of levels", by_list),
        Variant("torch.floor", by_torch_floor),
        Variant("math.floor", staircase(lambda t, length, drop: math.floor(t / length))),
    ),
    hints=(
        "How many drops lie behind epoch 0? Behind epoch epochs_drop - 1? Behind epochs_drop?",
        "t // epochs_drop counts them.",
        "return lr0 * drop ** (t // epochs_drop)",
    ),
)


# --- Exponential ----------------------------------------------------------------------------------


def by_gamma(lr0: float, k: float) -> Schedule:
    gamma = math.exp(-k)
    return lambda t: lr0 * gamma**t


def by_logarithm(lr0: float, k: float) -> Schedule:
    return lambda t: math.exp(math.log(lr0) - k * t)


def by_torch_exp(lr0: float, k: float) -> Any:
    def schedule(t: float) -> Any:
        return lr0 * torch.exp(torch.tensor(-k * t, dtype=torch.float64))

    return schedule


exponential = Question(
    name="exponential",
    title="Exponential decay",
    points=1,
    reference=by(lambda lr0, k, t: lr0 * math.exp(-k * t)),
    cases=decays,
    use=rates,
    tolerance=RATES,
    forbidden=(BY_HAND,),
    mistakes=(
        rate_at_once("exponential"),
        Mistake(
            "k_as_factor",
            by(lambda lr0, k, t: lr0 * k**t),
            "k is taken for the factor of each step: the factor is exp(-k), just below 1 for a "
            "small k",
        ),
        Mistake(
            "one_minus_k",
            by(lambda lr0, k, t: lr0 * (1 - k) ** t),
            "close, but the factor of each step is exp(-k), which is slightly larger than 1 - k",
        ),
        Mistake(
            "power_of_ten",
            by(lambda lr0, k, t: lr0 * 10 ** (-k * t)),
            "the base is 10: it is e = 2.718..., math.exp(-k * t)",
        ),
        Mistake(
            "power_of_two",
            by(lambda lr0, k, t: lr0 * 2 ** (-k * t)),
            "the base is 2: it is e = 2.718..., math.exp(-k * t)",
        ),
        Mistake(
            "grown",
            by(lambda lr0, k, t: lr0 * math.exp(k * t)),
            "the rate grows: the exponent is -k t",
        ),
        Mistake(
            "time_based",
            by(lambda lr0, k, t: lr0 / (1 + k * t)),
            "that is the time-based decay: the exponential one is lr0 exp(-k t)",
        ),
        Mistake(
            "lr0_forgotten",
            by(lambda lr0, k, t: math.exp(-k * t)),
            "lr0 is missing: yours is the factor alone",
        ),
        Mistake(
            "over_k",
            by(lambda lr0, k, t: lr0 * math.exp(-t / k)),
            "t is divided by k: multiply, exp(-k t)",
        ),
        Mistake(
            "t_outside",
            by(lambda lr0, k, t: lr0 * math.exp(-k) * t),
            "t stands outside the exponential, so the rate begins at 0 and grows: exp(-k * t)",
        ),
        Mistake(
            "compounded",
            product(lambda k, i: math.exp(-k * i)),
            "each step multiplies the rate of the step before by exp(-k t): the factor of a step "
            "is exp(-k), or start from lr0 each time",
        ),
        Mistake(
            "one_step_ahead",
            by(lambda lr0, k, t: lr0 * math.exp(-k * (t + 1))),
            "yours is one step ahead: t counts from 0, where the rate is lr0",
        ),
        Mistake(
            "gauss",
            by(lambda lr0, k, t: lr0 * math.exp(-k * t * t)),
            "t is squared in yours: exp(-k t)",
        ),
        Mistake(
            "by_calls",
            lambda lr0, k: by_calls(lr0, lambda rate, calls: rate * math.exp(-k)),
            CALLS,
        ),
    ),
    variants=(
        Variant("a power of exp(-k)", by_gamma),
        Variant("by logarithms", by_logarithm),
        Variant("torch.exp", by_torch_exp),
    ),
    hints=(
        "Each step multiplies the rate by the same number, a little below 1. Which one?",
        "exp(-k t) = exp(-k) ** t.",
        "return lr0 * math.exp(-k * t)",
    ),
)
