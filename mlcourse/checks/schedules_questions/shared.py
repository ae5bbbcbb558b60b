"""What the questions of `schedules` share: an answer that makes a function, asked at some times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator

from mlcourse.checks.compare import NotData, plain
from mlcourse.checks.declare import TOLERANCE, Forbidden, Mistake
from mlcourse.checks.judge import beside

Schedule = Callable[[float], float]

#: A rate is a Python number, so it should be right to nearly all of its digits.
RATES: dict[torch.dtype | type, float] = {**TOLERANCE, float: 1e-6}

#: Times in no order: a schedule is asked for any of them, not for one after the other.
TIMES = (0, 7, 1, 2, 3, 30, 5, 12, 4, 20)

BY_HAND = Forbidden(
    "lr_scheduler",
    "the schedule is to be written out here: leave torch.optim.lr_scheduler for the end",
    attributes=frozenset({"lr_scheduler"}),
)

CALLS = (
    "your schedule changes with each call, whatever t is: compute the rate from t alone, so that "
    "it can be asked for any step"
)


def uniform(g: Generator, low: float, high: float) -> float:
    """Draw a number with three digits after the point."""
    return round(low + (high - low) * float(torch.rand((), generator=g)), 3)


def rates(answer: Callable, *case: Any) -> dict[str, Any]:
    """Make a schedule of the settings, and ask for its rates at the times, which come last."""
    *settings, times = case
    return asked(answer(*settings), times)


def asked(schedule: Any, times: Sequence[float]) -> dict[str, Any]:
    """Ask a schedule for its rates. Raises NotData when it is no function."""
    if not callable(schedule):
        raise NotData("it should return a function of t: define one inside, and return it")
    return {f"the rate at t = {t}": plain(schedule(t)) for t in times}


def halving(answer: Callable, lr0: float, half_life: float) -> Any:
    """Make a schedule, lr0 2^(-t / half_life), in the process in which the answer lives."""
    return beside(answer, "witness", "Halving")(lr0, half_life)


def rate_at_once(name: str) -> Mistake:
    """Return the mistake of computing the rate in the function that should make a schedule."""

    def takes_t(*settings: Any) -> float:
        raise TypeError(f"{name}() missing 1 required positional argument: 't'")

    return Mistake(
        "rate_at_once",
        takes_t,
        f"t is no argument of {name}: it comes later, to the function of t that {name} makes and "
        "returns",
    )


def by_calls(first: float, renew: Callable[[float, int], float]) -> Schedule:
    """Make a function that renews its rate at each call and does not look at t."""
    rate, calls = first, 0

    def schedule(t: float) -> float:
        nonlocal rate, calls
        if calls:
            rate = renew(rate, calls)
        calls += 1
        return rate

    return schedule
