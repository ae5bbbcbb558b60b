"""`then`, `warmup`, `per_update` and `factor`: schedules made of other schedules.

The schedules that come in are made in the process in which the answer lives.
"""

from __future__ import annotations

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
    asked,
    by_calls,
    halving,
    rate_at_once,
    uniform,
)

Falling = tuple[float, float]


def draw_falling(g: Generator) -> Falling:
    """Draw lr0 and half-life of a schedule."""
    return uniform(g, 0.1, 1.5), uniform(g, 3.0, 12.0)


# --- One after the other --------------------------------------------------------------------------

Then = Callable[[Schedule, float, Schedule], Schedule]


def then_cases(g: Generator) -> list[tuple]:
    """(first, steps, second, times)."""
    return [(draw_falling(g), steps, draw_falling(g), TIMES) for steps in (3, 5, 12)]


def use_then(answer: Callable, first: Falling, steps: float, second: Falling, times: tuple) -> Any:
    made = answer(halving(answer, *first), steps, halving(answer, *second))
    return asked(made, times)


def then_by(
    first_lasts: Callable[[float, float], bool] = lambda t, steps: t < steps,
    own_time: Callable[[float, float], float] = lambda t, steps: t - steps,
    exchanged: bool = False,
) -> Then:
    """One schedule after another, with one of the pieces exchanged."""

    def then(first: Schedule, steps: float, second: Schedule) -> Schedule:
        if exchanged:
            first, second = second, first
        return lambda t: first(t) if first_lasts(t, steps) else second(own_time(t, steps))

    return then


def scaled_on(first: Schedule, steps: float, second: Schedule) -> Schedule:
    """The second is scaled so that there is no jump."""
    ratio = first(steps) / second(0)
    return lambda t: first(t) if t < steps else ratio * second(t - steps)


def then_as_list(first: Schedule, steps: float, second: Schedule) -> Schedule:
    early = [first(t) for t in range(int(steps))]

    def schedule(t: float) -> float:
        return early[int(t)] if t < len(early) else second(t - len(early))

    return schedule


class Chain:
    """A schedule as an object."""

    def __init__(self, first: Schedule, steps: float, second: Schedule) -> None:
        self.parts, self.steps = (first, second), steps

    def __call__(self, t: float) -> float:
        """Return the rate at t."""
        late = int(t >= self.steps)
        return self.parts[late](t - late * self.steps)


def then_early_return(first: Schedule, steps: float, second: Schedule) -> Schedule:
    def schedule(t: float) -> float:
        rest = t - steps
        if rest >= 0:
            return second(rest)
        return first(t)

    return schedule


then = Question(
    name="then",
    title="One after the other",
    points=1,
    reference=then_by(),
    cases=then_cases,
    use=use_then,
    tolerance=RATES,
    forbidden=(BY_HAND,),
    mistakes=(
        rate_at_once("then"),
        Mistake(
            "not_shifted",
            then_by(own_time=lambda t, steps: t),
            "the second schedule begins in its middle: it has its own time, which is 0 when it "
            "takes over, so ask it for t - steps",
        ),
        Mistake(
            "one_late",
            then_by(lambda t, steps: t <= steps),
            "the second schedule takes over one step late: at t = steps it is its turn",
        ),
        Mistake(
            "one_early",
            then_by(lambda t, steps: t < steps - 1),
            "the second schedule takes over one step early: the first has the steps 0 to steps - 1",
        ),
        Mistake(
            "one_ahead",
            then_by(own_time=lambda t, steps: t - steps + 1),
            "the second schedule begins at its t = 1: at t = steps its own time is 0",
        ),
        Mistake(
            "turned_time",
            then_by(own_time=lambda t, steps: steps - t),
            "the second schedule runs backwards: its own time is t - steps",
        ),
        Mistake(
            "exchanged",
            then_by(exchanged=True),
            "the two are exchanged: first comes first",
        ),
        Mistake(
            "first_alone",
            then_by(lambda t, steps: True),
            "the second schedule never takes over: from t = steps on it is its turn",
        ),
        Mistake(
            "multiplied",
            lambda first, steps, second: lambda t: first(t) * second(t),
            "the two rates are multiplied: only one of them counts at a time",
        ),
        Mistake(
            "not_called",
            lambda first, steps, second: lambda t: first if t < steps else second,
            "you return a schedule where a rate is asked for: call it, first(t)",
        ),
        Mistake(
            "scaled_on",
            scaled_on,
            "the second schedule is scaled so that it begins where the first ended: follow it as "
            "it is, even if the rate jumps",
        ),
        Mistake(
            "by_calls",
            lambda first, steps, second: by_calls(
                first(0), lambda rate, n: first(n) if n < steps else second(n - steps)
            ),
            CALLS,
        ),
    ),
    variants=(
        Variant("a list of the first rates", then_as_list),
        Variant("an object that can be called", Chain),
        Variant("the second one first", then_early_return),
    ),
    hints=(
        "Return a function of t that asks one of the two for its rate.",
        "Until steps - 1 it is first(t). When the second takes over, its own time is 0.",
        "return first(t) if t < steps else second(t - steps)",
    ),
)


# --- Warm-up --------------------------------------------------------------------------------------

Warmup = Callable[[float, Schedule, float], Schedule]


def warmup_cases(g: Generator) -> list[tuple]:
    """(steps, schedule, start, times)."""
    found = []
    for steps, start in ((5, 0.1), (4, 0.0), (12, 0.25), (7, 0.5)):
        found.append((steps, draw_falling(g), start, (*TIMES, steps, steps - 1, steps + 1)))
    return found


def use_warmup(
    answer: Callable, steps: float, schedule: Falling, start: float, times: tuple
) -> Any:
    return asked(answer(steps, halving(answer, *schedule), start), times)


def warmup_by(
    rise: Callable[[float, float, float, float], float] = lambda lr0, start, t, steps: (
        lr0 * (start + (1 - start) * t / steps)
    ),
    own_time: Callable[[float, float], float] = lambda t, steps: t - steps,
) -> Warmup:
    """A warm-up with one of its pieces exchanged."""

    def warmup(steps: float, schedule: Schedule, start: float) -> Schedule:
        lr0 = schedule(0)
        return lambda t: rise(lr0, start, t, steps) if t < steps else schedule(own_time(t, steps))

    return warmup


def multiplied(steps: float, schedule: Schedule, start: float) -> Schedule:
    """The warm-up is a factor on a schedule that runs meanwhile."""
    return lambda t: schedule(t) * min(1.0, start + (1 - start) * t / steps)


def multiplied_then_shifted(steps: float, schedule: Schedule, start: float) -> Schedule:
    return lambda t: (
        schedule(t) * (start + (1 - start) * t / steps) if t < steps else schedule(t - steps)
    )


def warmup_by_interp(steps: float, schedule: Schedule, start: float) -> Any:
    def rate(t: float) -> float:
        share = np.interp(t, [0, steps], [start, 1.0])
        return share * schedule(max(t - steps, 0))

    return rate


def warmup_by_then(steps: float, schedule: Schedule, start: float) -> Schedule:
    low = start * schedule(0)
    slope = (schedule(0) - low) / steps
    return then_by()(lambda t: low + slope * t, steps, schedule)


def warmup_by_weights(steps: float, schedule: Schedule, start: float) -> Any:
    def rate(t: float) -> Any:
        if t >= steps:
            return schedule(t - steps)
        ends = torch.tensor([start * schedule(0), schedule(0)], dtype=torch.float64)
        return torch.lerp(ends[0], ends[1], t / steps)

    return rate


warmup = Question(
    name="warmup",
    title="Warm-up",
    points=2,
    reference=warmup_by(),
    cases=warmup_cases,
    use=use_warmup,
    tolerance=RATES,
    forbidden=(BY_HAND,),
    mistakes=(
        rate_at_once("warmup"),
        Mistake(
            "from_zero",
            warmup_by(lambda lr0, start, t, steps: lr0 * t / steps),
            "your rate rises from 0, so the first update moves nothing: it rises from start times "
            "schedule(0)",
        ),
        Mistake(
            "one_early",
            warmup_by(lambda lr0, start, t, steps: lr0 * (start + (1 - start) * (t + 1) / steps)),
            "your rise is one update ahead: at t = 0 the rate is start times schedule(0), at t = "
            "steps the whole of it",
        ),
        Mistake(
            "full_at_last_step",
            warmup_by(lambda lr0, start, t, steps: lr0 * (start + (1 - start) * t / (steps - 1))),
            "the full rate is reached at t = steps - 1, and then comes twice: divide t by steps",
        ),
        Mistake(
            "one_late",
            warmup_by(lambda lr0, start, t, steps: lr0 * (start + (1 - start) * t / (steps + 1))),
            "the rise is too slow and ends with a jump: divide t by steps",
        ),
        Mistake(
            "start_added",
            warmup_by(lambda lr0, start, t, steps: lr0 * (start + t / steps)),
            "the rise goes beyond the first rate: only what is missing, 1 - start, is added on the "
            "way",
        ),
        Mistake(
            "start_as_rate",
            warmup_by(lambda lr0, start, t, steps: start + (lr0 - start) * t / steps),
            "start is taken for a rate: it is a share of the first rate, so the rise begins at "
            "start times schedule(0)",
        ),
        Mistake(
            "share_alone",
            warmup_by(lambda lr0, start, t, steps: start + (1 - start) * t / steps),
            "your rise is a share: multiply it by the first rate, schedule(0)",
        ),
        Mistake(
            "no_rise",
            warmup_by(lambda lr0, start, t, steps: lr0 * start),
            "the rate stays at its start and then jumps: it rises in a straight line",
        ),
        Mistake(
            "falling",
            warmup_by(lambda lr0, start, t, steps: lr0 * (1 - (1 - start) * t / steps)),
            "the rate falls in the warm-up: it rises from start times schedule(0) to schedule(0)",
        ),
        Mistake(
            "not_shifted",
            warmup_by(own_time=lambda t, steps: t),
            "after the warm-up the schedule begins in its middle: it begins at its own t = 0, so "
            "ask it for t - steps",
        ),
        Mistake(
            "one_ahead",
            warmup_by(own_time=lambda t, steps: t - steps + 1),
            "after the warm-up the schedule begins at its t = 1: at t = steps its own time is 0",
        ),
        Mistake(
            "multiplied",
            multiplied,
            "the schedule falls while it is warmed up: rise towards schedule(0), and then let it "
            "begin, at its own t = 0",
        ),
        Mistake(
            "multiplied_then_shifted",
            multiplied_then_shifted,
            "the rise is a share of schedule(t), which falls meanwhile: rise towards schedule(0)",
        ),
        Mistake(
            "by_calls",
            lambda steps, schedule, start: by_calls(
                start * schedule(0),
                lambda rate, n: (
                    schedule(0) * (start + (1 - start) * n / steps)
                    if n < steps
                    else schedule(n - steps)
                ),
            ),
            CALLS,
        ),
    ),
    variants=(
        Variant("np.interp", warmup_by_interp),
        Variant("a line, then the schedule", warmup_by_then),
        Variant("torch.lerp", warmup_by_weights),
        Variant("from pieces", warmup_by()),
    ),
    hints=(
        "Two parts, as in then: a straight line until t = steps, then schedule(t - steps).",
        "The line begins at start * schedule(0) and ends at schedule(0). How much is added by each "
        "update?",
        "share = start + (1 - start) * t / steps goes from start to 1. The rate is share * "
        "schedule(0).",
    ),
)


# --- Epochs and updates ---------------------------------------------------------------------------


def per_update_cases(g: Generator) -> list[tuple]:
    """(schedule, updates per epoch, times)."""
    return [(draw_falling(g), n, (*TIMES, n, n - 1, n + 1, 2 * n)) for n in (4, 9, 1)]


def use_per_update(answer: Callable, schedule: Falling, per_epoch: int, times: tuple) -> Any:
    return asked(answer(halving(answer, *schedule), per_epoch), times)


def per_update_by(
    epoch: Callable[[int, int], float],
    rate: Callable[[float, int], float] = lambda rate, n: rate,
) -> Callable[[Schedule, int], Schedule]:
    """Ask a schedule for an epoch that is computed from the update."""
    return lambda schedule, n: lambda t: rate(schedule(epoch(int(t), n)), n)


def epoch_by_loop(schedule: Schedule, per_epoch: int) -> Schedule:
    def by_update(t: float) -> float:
        epoch = 0
        while (epoch + 1) * per_epoch <= t:
            epoch += 1
        return schedule(epoch)

    return by_update


per_update = Question(
    name="per_update",
    title="From epochs to updates",
    points=1,
    reference=per_update_by(lambda t, n: t // n),
    cases=per_update_cases,
    use=use_per_update,
    tolerance=RATES,
    forbidden=(BY_HAND,),
    mistakes=(
        rate_at_once("per_update"),
        Mistake(
            "updates_as_epochs",
            per_update_by(lambda t, n: t),
            "updates are taken for epochs, so the rate falls updates_per_epoch times too fast: ask "
            "the schedule for the epoch, t // updates_per_epoch",
        ),
        Mistake(
            "no_floor",
            per_update_by(lambda t, n: t / n),
            "the rate changes within an epoch: round down, t // updates_per_epoch",
        ),
        Mistake(
            "rounded_up",
            per_update_by(lambda t, n: math.ceil(t / n)),
            "the epoch is rounded up, so the second update is already in epoch 1: round down",
        ),
        Mistake(
            "rounded",
            per_update_by(lambda t, n: round(t / n)),
            "the epoch is rounded to the nearest, so each begins half an epoch early: round down",
        ),
        Mistake(
            "one_early",
            per_update_by(lambda t, n: (t + 1) // n),
            "each epoch begins one update early: updates count from 0",
        ),
        Mistake(
            "one_late",
            per_update_by(lambda t, n: max(t - 1, 0) // n),
            "each epoch begins one update late: update updates_per_epoch is the first of epoch 1",
        ),
        Mistake(
            "from_one",
            per_update_by(lambda t, n: t // n + 1),
            "your epochs count from 1: the first one is epoch 0",
        ),
        Mistake(
            "remainder",
            per_update_by(lambda t, n: t % n),
            "that is the number of the update within its epoch: the epoch is the quotient, t // "
            "updates_per_epoch",
        ),
        Mistake(
            "multiplied",
            per_update_by(lambda t, n: t * n),
            "t is multiplied: an epoch has many updates, so divide to get the epoch",
        ),
        Mistake(
            "rate_divided",
            per_update_by(lambda t, n: t // n, lambda rate, n: rate / n),
            "the rate is divided by the number of updates: every update of an epoch has the whole "
            "rate",
        ),
        Mistake(
            "by_calls",
            lambda schedule, n: by_calls(schedule(0), lambda rate, calls: schedule(calls // n)),
            CALLS,
        ),
    ),
    variants=(
        Variant("counted in a loop", epoch_by_loop),
        Variant("math.floor", per_update_by(lambda t, n: math.floor(t / n))),
        Variant("divmod", per_update_by(lambda t, n: divmod(t, n)[0])),
    ),
    hints=(
        "In which epoch is update 0? Update updates_per_epoch - 1? Update updates_per_epoch?",
        "t // updates_per_epoch is the epoch.",
        "Return a function of t that returns schedule(t // updates_per_epoch).",
    ),
)


# --- A factor for LambdaLR ------------------------------------------------------------------------


def factor_cases(g: Generator) -> list[tuple]:
    """(schedule, lr, times): lr may be the schedule's first rate, or not."""
    one, other = draw_falling(g), draw_falling(g)
    return [
        (one, one[0], TIMES),
        (other, round(other[0] / 2 + 0.013, 4), TIMES),
        (draw_falling(g), 1.0, TIMES),
    ]


def use_factor(answer: Callable, schedule: Falling, lr: float, times: tuple) -> Any:
    made = asked(answer(halving(answer, *schedule), lr), times)
    return {key.replace("the rate", "the factor"): value for key, value in made.items()}


def factor_by(
    formula: Callable[[Schedule, float, float], float],
) -> Callable[[Schedule, float], Schedule]:
    return lambda schedule, lr: lambda t: formula(schedule, lr, t)


def by_inverse(schedule: Schedule, lr: float) -> Schedule:
    scale = lr**-1

    def share(t: float) -> float:
        return schedule(t) * scale

    return share


factor = Question(
    name="factor",
    title="A factor for LambdaLR",
    points=1,
    reference=factor_by(lambda schedule, lr, t: schedule(t) / lr),
    cases=factor_cases,
    use=use_factor,
    tolerance=RATES,
    forbidden=(BY_HAND,),
    mistakes=(
        rate_at_once("factor"),
        Mistake(
            "squared",
            factor_by(lambda schedule, lr, t: schedule(t)),
            "LambdaLR multiplies by the optimiser's own rate, so this gives lr times the schedule, "
            "lr0 squared at the start: divide by lr",
        ),
        Mistake(
            "multiplied",
            factor_by(lambda schedule, lr, t: schedule(t) * lr),
            "LambdaLR multiplies by lr itself, and you do it once more: divide by lr",
        ),
        Mistake(
            "not_called",
            factor_by(lambda schedule, lr, t: schedule / lr),  # type: ignore[operator]
            "a schedule is a function and cannot be divided: divide its rate, schedule(t)",
        ),
        Mistake(
            "the_rate",
            factor_by(lambda schedule, lr, t: lr * schedule(t) / schedule(0)),
            "lr is in your factor, and LambdaLR multiplies by it once more: the factor is "
            "schedule(t) / lr",
        ),
        Mistake(
            "inverse",
            factor_by(lambda schedule, lr, t: lr / schedule(t)),
            "the quotient is upside down: the factor is what lr is multiplied by, schedule(t) / lr",
        ),
        Mistake(
            "of_the_first",
            factor_by(lambda schedule, lr, t: schedule(t) / schedule(0)),
            "you divide by the schedule's first rate: what LambdaLR multiplies is the optimiser's "
            "lr, which may be another number",
        ),
        Mistake(
            "of_the_one_before",
            factor_by(lambda schedule, lr, t: schedule(t) / schedule(t - 1)),
            "that is the factor from one step to the next: LambdaLR starts from the optimiser's "
            "first rate each time",
        ),
        Mistake(
            "difference",
            factor_by(lambda schedule, lr, t: schedule(t) - lr),
            "that is a difference: LambdaLR multiplies, so divide by lr",
        ),
        Mistake(
            "first_factor_alone",
            factor_by(lambda schedule, lr, t: schedule(0) / lr),
            "your factor never changes: ask the schedule for t",
        ),
        Mistake(
            "always_one",
            factor_by(lambda schedule, lr, t: 1.0),
            "your factor is always 1, so the rate stays lr: it is schedule(t) / lr",
        ),
    ),
    variants=(
        Variant("times the inverse", by_inverse),
        Variant(
            "exp of a difference of logarithms",
            factor_by(lambda schedule, lr, t: math.exp(math.log(schedule(t)) - math.log(lr))),
        ),
        Variant("NumPy", factor_by(lambda schedule, lr, t: float(np.divide(schedule(t), lr)))),
    ),
    hints=(
        "LambdaLR sets the rate to lr * factor(t). Which factor makes that schedule(t)?",
        "schedule(t) / lr. Return a function of t, not a number.",
        "return lambda t: schedule(t) / lr",
    ),
)
