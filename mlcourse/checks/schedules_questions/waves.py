"""`cosine` and `one_cycle`: rates along half a wave of the cosine."""

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
    Schedule,
    by_calls,
    rate_at_once,
    rates,
    uniform,
)

Wave = Callable[[float, float, float], Schedule]


def cosine_cases(g: Generator) -> list[tuple]:
    """(lr0, steps, lr_min, times), with times after the end."""
    found = []
    for steps, share in ((20, 0.0), (7, 0.1), (50, 0.02)):
        lr0 = uniform(g, 0.1, 1.5)
        times = (0, steps, 3, 1, steps - 1, steps // 2, steps + 4, 5, 2 * steps)
        found.append((lr0, steps, round(lr0 * share, 4), times))
    return found


def half_wave(share: float) -> float:
    return (1 + math.cos(math.pi * share)) / 2


def cosine_by(
    shape: Callable[[float], float] = half_wave,
    mix: Callable[[float, float, float], float] = lambda lr0, lr_min, w: (
        lr_min + (lr0 - lr_min) * w
    ),
    share: Callable[[float, float], float] = lambda t, steps: t / steps,
    after: Callable[[float, float], float] | None = lambda lr0, lr_min: lr_min,
) -> Wave:
    """A cosine schedule with one of its pieces exchanged; without `after` the wave goes on."""

    def cosine(lr0: float, steps: float, lr_min: float) -> Schedule:
        def schedule(t: float) -> float:
            if after is not None and t >= steps:
                return after(lr0, lr_min)
            return mix(lr0, lr_min, shape(share(t, steps)))

        return schedule

    return cosine


def clamped_time(lr0: float, steps: float, lr_min: float) -> Schedule:
    return lambda t: (
        (lr0 + lr_min) / 2 + (lr0 - lr_min) / 2 * math.cos(math.pi * min(t, steps) / steps)
    )


def squared_cosine(lr0: float, steps: float, lr_min: float) -> Schedule:
    def schedule(t: float) -> float:
        angle = math.pi / 2 * min(1.0, t / steps)
        return lr0 * math.cos(angle) ** 2 + lr_min * math.sin(angle) ** 2

    return schedule


def by_numpy(lr0: float, steps: float, lr_min: float) -> Any:
    table = lr_min + (lr0 - lr_min) * (1 + np.cos(np.linspace(0, np.pi, int(steps) + 1))) / 2
    return lambda t: table[min(t, int(steps))]


cosine = Question(
    name="cosine",
    title="Cosine",
    points=2,
    reference=cosine_by(),
    cases=cosine_cases,
    use=rates,
    tolerance=RATES,
    forbidden=(BY_HAND,),
    mistakes=(
        rate_at_once("cosine"),
        Mistake(
            "whole_wave",
            cosine_by(lambda share: (1 + math.cos(2 * math.pi * share)) / 2),
            "that is a whole wave, which is back at lr0 in the end: half a wave goes down, "
            "cos(pi t / steps)",
        ),
        Mistake(
            "quarter_wave",
            cosine_by(lambda share: math.cos(math.pi / 2 * share)),
            "that is a quarter of a wave, whose end is steep: half a wave is (1 + cos(pi t / "
            "steps)) / 2",
        ),
        Mistake(
            "no_one",
            cosine_by(lambda share: math.cos(math.pi * share)),
            "the cosine goes down to -1: add 1 and halve, so that it goes from 1 to 0",
        ),
        Mistake(
            "not_halved",
            cosine_by(lambda share: 1 + math.cos(math.pi * share)),
            "1 + cos goes from 2 to 0: halve it",
        ),
        Mistake(
            "no_pi",
            cosine_by(lambda share: (1 + math.cos(share)) / 2),
            "pi is missing: the cosine takes radians, and half a wave is from 0 to pi",
        ),
        Mistake(
            "degrees",
            cosine_by(lambda share: (1 + math.cos(180 * share)) / 2),
            "the cosine takes radians, not degrees: half a wave is from 0 to pi",
        ),
        Mistake(
            "upside_down",
            cosine_by(lambda share: (1 - math.cos(math.pi * share)) / 2),
            "the rate goes up: it is 1 + cos, which begins at its top",
        ),
        Mistake(
            "straight",
            cosine_by(lambda share: 1 - share),
            "that is a straight line: the rate follows half a wave of the cosine",
        ),
        Mistake(
            "lr_min_ignored",
            cosine_by(mix=lambda lr0, lr_min, w: lr0 * w, after=lambda lr0, lr_min: 0.0),
            "lr_min is not used: the wave goes from lr0 to lr_min, lr_min + (lr0 - lr_min) (1 + "
            "cos) / 2",
        ),
        Mistake(
            "lr_min_after_the_end_only",
            cosine_by(mix=lambda lr0, lr_min, w: lr0 * w),
            "the wave goes down to 0 and lr_min comes only after it: the wave itself ends at "
            "lr_min, lr_min + (lr0 - lr_min) (1 + cos) / 2",
        ),
        Mistake(
            "lr_min_added",
            cosine_by(mix=lambda lr0, lr_min, w: lr_min + lr0 * w),
            "the wave begins at lr0 + lr_min: its height is lr0 - lr_min",
        ),
        Mistake(
            "cut_off",
            cosine_by(mix=lambda lr0, lr_min, w: max(lr_min, lr0 * w)),
            "the wave goes to 0 and is cut off at lr_min: let it end there, lr_min + (lr0 - "
            "lr_min) (1 + cos) / 2",
        ),
        Mistake(
            "up_again",
            cosine_by(after=None),
            "after `steps` the rate goes up again, as in torch's CosineAnnealingLR: here it stays "
            "at lr_min",
        ),
        Mistake(
            "zero_after",
            cosine_by(after=lambda lr0, lr_min: 0.0),
            "after `steps` your rate is 0: it stays at lr_min",
        ),
        Mistake(
            "one_early",
            cosine_by(share=lambda t, steps: t / (steps - 1)),
            "the wave ends one step early, at steps - 1: divide by steps",
        ),
        Mistake(
            "one_step_ahead",
            cosine_by(share=lambda t, steps: (t + 1) / steps),
            "yours is one step ahead: t counts from 0, where the rate is lr0",
        ),
        Mistake(
            "by_calls",
            lambda lr0, steps, lr_min: by_calls(
                lr0,
                lambda rate, calls: lr_min + (lr0 - lr_min) * half_wave(min(1.0, calls / steps)),
            ),
            CALLS,
        ),
    ),
    variants=(
        Variant("the time is cut off", clamped_time),
        Variant("squares of cosine and sine", squared_cosine),
        Variant("a table", by_numpy),
        Variant("from pieces", cosine_by()),
    ),
    hints=(
        "(1 + math.cos(math.pi * t / steps)) / 2 goes from 1 at t = 0 to 0 at t = steps.",
        "Stretch it: lr_min + (lr0 - lr_min) times that number.",
        "And after the end? if t >= steps, return lr_min.",
    ),
)


# --- One cycle ------------------------------------------------------------------------------------


def cycle_cases(g: Generator) -> list[tuple]:
    """(lr_max, steps, pct_start, div_factor, final_div_factor, times)."""
    found = []
    for steps, pct_start, div_factor, final in (
        (20, 0.3, 25.0, 100.0),
        (50, 0.5, 10.0, 20.0),
        (40, 0.25, 5.0, 50.0),
    ):
        peak = round(pct_start * steps)
        times = (0, peak - 1, 1, peak, 3, peak + 1, steps - 1, steps - 2, steps, steps + 5)
        found.append((uniform(g, 0.2, 2.0), steps, pct_start, div_factor, final, times))
    return found


def along(start: float, end: float, share: float) -> float:
    return end + (start - end) * half_wave(share)


def cycle_by(
    peak: Callable[[float, float], float] = lambda steps, pct: pct * steps - 1,
    last: Callable[[float], float] = lambda steps: steps - 1,
    first: Callable[[float, float], float] = lambda lr_max, div: lr_max / div,
    final: Callable[[float, float, float], float] = lambda lr_max, div, final: lr_max / div / final,
    way: Callable[[float, float, float], float] = along,
    after: Callable[[float, float], float] = lambda first, final: final,
) -> Callable[..., Schedule]:
    """A one-cycle schedule with one of its pieces exchanged."""

    def one_cycle(
        lr_max: float, steps: int, pct_start: float, div_factor: float, final_div_factor: float
    ) -> Schedule:
        top, end = peak(steps, pct_start), last(steps)
        low, lowest = first(lr_max, div_factor), final(lr_max, div_factor, final_div_factor)

        def schedule(t: float) -> float:
            if t >= steps:
                return after(low, lowest)
            if t < top:
                return way(low, lr_max, t / top)
            return way(lr_max, lowest, min(1.0, (t - top) / (end - top)))

        return schedule

    return one_cycle


def going_on(
    lr_max: float, steps: int, pct_start: float, div_factor: float, final_div_factor: float
) -> Schedule:
    """The second wave goes on after its end, and up again."""
    peak, low = pct_start * steps - 1, lr_max / div_factor

    def schedule(t: float) -> float:
        if t < peak:
            return along(low, lr_max, t / peak)
        return along(lr_max, low / final_div_factor, (t - peak) / (steps - 1 - peak))

    return schedule


def by_interpolation(
    lr_max: float, steps: int, pct_start: float, div_factor: float, final_div_factor: float
) -> Any:
    """Angles between three corners, then one cosine."""
    peak, last = pct_start * steps - 1, steps - 1
    low = lr_max / div_factor
    lowest = low / final_div_factor

    def schedule(t: float) -> float:
        turns = float(np.interp(t, [0, peak, last], [-1, 0, 1]))
        base = low if turns < 0 else lowest
        return base + (lr_max - base) * math.cos(math.pi * turns / 2) ** 2

    return schedule


def two_cosines(
    lr_max: float, steps: int, pct_start: float, div_factor: float, final_div_factor: float
) -> Schedule:
    """Two cosine schedules: one backwards, one forwards."""
    low = lr_max / div_factor
    peak = pct_start * steps - 1
    up = cosine_by()(lr_max, peak, low)
    down = cosine_by()(lr_max, steps - 1 - peak, low / final_div_factor)
    return lambda t: up(peak - t) if t <= peak else down(t - peak)


def in_tensors(
    lr_max: float, steps: int, pct_start: float, div_factor: float, final_div_factor: float
) -> Any:
    """All rates at once."""
    t = torch.arange(steps, dtype=torch.float64)
    peak, low = pct_start * steps - 1, lr_max / div_factor
    lowest = low / final_div_factor
    up = low + (lr_max - low) * (1 - torch.cos(torch.pi * t / peak)) / 2
    fall = (1 + torch.cos(torch.pi * (t - peak) / (steps - 1 - peak))) / 2
    table = torch.where(t < peak, up, lowest + (lr_max - lowest) * fall)
    return lambda t: table[min(t, steps - 1)]


one_cycle = Question(
    name="one_cycle",
    title="One cycle",
    points=3,
    reference=cycle_by(),
    cases=cycle_cases,
    use=rates,
    tolerance=RATES,
    forbidden=(BY_HAND,),
    mistakes=(
        rate_at_once("one_cycle"),
        Mistake(
            "peak_late",
            cycle_by(peak=lambda steps, pct: pct * steps),
            "the top comes one update late: it is at t = pct_start * steps - 1, since t counts "
            "from 0",
        ),
        Mistake(
            "end_late",
            cycle_by(last=lambda steps: steps),
            "the lowest rate comes one update late: the last update is t = steps - 1",
        ),
        Mistake(
            "counted_from_one",
            cycle_by(peak=lambda steps, pct: pct * steps, last=lambda steps: steps),
            "top and end both come one update late: t counts from 0, so they are at pct_start * "
            "steps - 1 and steps - 1",
        ),
        Mistake(
            "share_of_last",
            cycle_by(peak=lambda steps, pct: pct * (steps - 1)),
            "the top is at pct_start times steps - 1 in yours: it is at pct_start * steps - 1",
        ),
        Mistake(
            "half_way",
            cycle_by(peak=lambda steps, pct: steps / 2 - 1),
            "the top is half way in yours: it is at t = pct_start * steps - 1",
        ),
        Mistake(
            "straight",
            cycle_by(way=lambda start, end, share: start + (end - start) * share),
            "your rate follows straight lines: both ways are half a wave of the cosine",
        ),
        Mistake(
            "straight_up",
            cycle_by(
                way=lambda start, end, share: (
                    start + (end - start) * share if start < end else along(start, end, share)
                )
            ),
            "the way up is a straight line in yours: both ways are half a wave of the cosine",
        ),
        Mistake(
            "final_of_max",
            cycle_by(final=lambda lr_max, div, final: lr_max / final),
            "the last rate is the *first* one divided by final_div_factor, lr_max / div_factor / "
            "final_div_factor",
        ),
        Mistake(
            "back_to_first",
            cycle_by(final=lambda lr_max, div, final: lr_max / div),
            "your rate ends where it began: it goes on down, to lr_max / div_factor / "
            "final_div_factor",
        ),
        Mistake(
            "down_to_zero",
            cycle_by(final=lambda lr_max, div, final: 0.0),
            "your rate ends at 0: it ends at lr_max / div_factor / final_div_factor",
        ),
        Mistake(
            "from_zero",
            cycle_by(first=lambda lr_max, div: 0.0),
            "your rate begins at 0, so the first update is lost: it begins at lr_max / div_factor",
        ),
        Mistake(
            "from_the_top",
            cycle_by(peak=lambda steps, pct: -1e-9),
            "there is no way up in yours: it begins at lr_max / div_factor and rises first",
        ),
        Mistake(
            "up_again",
            going_on,
            "after the last update the rate goes up again: it stays where it is",
        ),
        Mistake(
            "first_after",
            cycle_by(after=lambda first, final: first),
            "after the last update the rate jumps back to the first one: it stays where it is",
        ),
        Mistake(
            "zero_after",
            cycle_by(after=lambda first, final: 0.0),
            "after the last update the rate is 0 in yours: it stays where it is",
        ),
    ),
    variants=(
        Variant("angles between three corners", by_interpolation),
        Variant("two cosine schedules", two_cosines),
        Variant("a table of all rates", in_tensors),
        Variant("from pieces", cycle_by()),
    ),
    hints=(
        "Name the three rates, first, lr_max and final, and the two times, peak = pct_start * "
        "steps - 1 and last = steps - 1.",
        "Half a wave from a to b: b + (a - b) * (1 + math.cos(math.pi * share)) / 2, where share "
        "goes from 0 to 1.",
        "On the way up share is t / peak, on the way down (t - peak) / (last - peak). After last, "
        "return final.",
    ),
)
