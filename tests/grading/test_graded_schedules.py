"""`schedules` through the real grader: functions that return functions, and take them."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("schedules")

STEP = """
def step(lr0, drop, epochs_drop):
    def schedule(t):
        return lr0 * drop ** math.floor(t / epochs_drop)
    return schedule
"""

EXPONENTIAL = """
def exponential(lr0, k):
    def schedule(t):
        return lr0 * math.exp(-k * t)
    return schedule
"""

COSINE = """
def cosine(lr0, steps, lr_min):
    def schedule(t):
        if t >= steps:
            return lr_min
        wave = (1 + torch.cos(torch.tensor(math.pi * t / steps).double())) / 2
        return lr_min + (lr0 - lr_min) * wave
    return schedule
"""

WARMUP = """
def warmup(steps, schedule, start):
    first = schedule(0)
    def warmed(t):
        if t < steps:
            return first * (start + (1 - start) * t / steps)
        return schedule(t - steps)
    return warmed
"""

THEN = """
def then(first, steps, second):
    def schedule(t):
        return first(t) if t < steps else second(t - steps)
    return schedule
"""

FACTOR = """
def factor(schedule, lr):
    return lambda t: schedule(t) / lr
"""

UPDATES = """
def updates(n_examples, batch_size, epochs, drop_last):
    whole, rest = divmod(n_examples, batch_size)
    return epochs * (whole + (1 if rest and not drop_last else 0))
"""

SUGGEST = """
def suggest_lr(lrs, losses):
    end = min(range(len(losses)), key=lambda i: losses[i])
    falls = [losses[i] - losses[i + 1] for i in range(end)]
    return lrs[falls.index(max(falls))]
"""

RIGHT = {
    "step": STEP,
    "exponential": EXPONENTIAL,
    "cosine": COSINE,
    "warmup": WARMUP,
    "then": THEN,
    "factor": FACTOR,
    "updates": UPDATES,
    "suggest_lr": SUGGEST,
}

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("step", "epochs_drop)\n    return", "(epochs_drop - drop))\n    return", "minus_drop"),
    ("step", "math.floor", "math.ceil", "rounded_up"),
    ("step", "math.floor", "", "no_floor"),
    ("exponential", "math.exp(-k * t)", "k**t", "k_as_factor"),
    ("exponential", "math.exp(-k * t)", "math.exp(-k) * t", "t_outside"),
    ("cosine", "math.pi * t", "2 * math.pi * t", "whole_wave"),
    ("cosine", "        if t >= steps:\n            return lr_min\n", "", "up_again"),
    ("cosine", "lr_min + (lr0 - lr_min) * wave", "lr_min + lr0 * wave", "lr_min_added"),
    ("warmup", "start + (1 - start) * t / steps", "t / steps", "from_zero"),
    ("warmup", "* t / steps", "* (t + 1) / steps", "one_early"),
    ("warmup", "schedule(t - steps)", "schedule(t)", "not_shifted"),
    ("then", "second(t - steps)", "second(t)", "not_shifted"),
    ("then", "t < steps", "t <= steps", "one_late"),
    ("factor", "schedule(t) / lr", "schedule(t)", "squared"),
    ("factor", "schedule(t) / lr", "schedule(t) / schedule(0)", "of_the_first"),
    ("factor", "schedule(t) / lr", "lr * schedule(t) / schedule(0)", "the_rate"),
    ("factor", "schedule(t) / lr", "schedule / lr", "not_called"),
    ("then", "first(t) if t < steps else second(t - steps)", "first", "not_called"),
    ("exponential", "exponential(lr0, k)", "exponential(lr0, k, t)", "rate_at_once"),
    ("updates", "1 if rest and not drop_last else 0", "0", "always_down"),
    ("updates", "epochs * (", "(", "one_epoch"),
    ("suggest_lr", "range(end)", "range(len(losses) - 1)", "after_the_lowest"),
    ("suggest_lr", "lrs[falls.index(max(falls))]", "lrs[end]", "lowest_loss"),
    ("suggest_lr", "lrs[falls.index", "lrs[1 + falls.index", "one_late"),
]


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_schedule": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, untouched):
    assert misjudged(engine, untouched, RIGHT, EDITS) == []


def test_a_schedule_that_counts_its_calls_is_told_so(engine, untouched):
    text = """
def exponential(lr0, k):
    rate = lr0 / math.exp(-k)
    def schedule(t):
        nonlocal rate
        rate *= math.exp(-k)
        return rate
    return schedule
"""
    row = graded(engine, untouched, {"exponential": text})["exponential"]
    assert (row.points, row.mistake) == (0, "by_calls")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("step", "def step(lr0, drop, epochs_drop):\n    return lr0", "return a function of t"),
        ("step", "def step(lr0, drop, epochs_drop):\n    pass", "return a function of t"),
        (
            "factor",
            "def factor(schedule, lr):\n    return lambda t: 'small'",
            "the factor at t = 0",
        ),
        (
            "cosine",
            "from mlcourse.schedules import cosine\n",
            "only mlcourse.data, mlcourse.plotting and mlcourse.witness",
        ),
        (
            "exponential",
            "def exponential(lr0, k):\n    return torch.optim.lr_scheduler.ExponentialLR",
            "leave torch.optim.lr_scheduler",
        ),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {name: text})[name]
    assert row.points == 0
    assert says in row.message
