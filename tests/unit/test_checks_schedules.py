"""`schedules`: its references are the library's and torch's, and what it says is true."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim import lr_scheduler

from mlcourse import schedules
from mlcourse.checks import load
from mlcourse.checks.judge import Judge
from mlcourse.witness import Halving

EXERCISE = load("schedules")
SEED = 20260101


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def value(name: str):
    return EXERCISE[name].reference


def says(name: str, answer) -> str | None:
    return Judge(EXERCISE[name], [SEED])(answer).mistake


def passes(name: str, answer) -> None:
    verdict = Judge(EXERCISE[name], [SEED])(answer)
    assert verdict.status == "passed", verdict.message


def rates_of(make, lr: float, steps: int, **settings) -> list[float]:
    """The rates that one of torch's schedulers gives."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    scheduler = make(optimizer, **settings)
    found = []
    for _ in range(steps):
        found.append(float(scheduler.get_last_lr()[0]))
        optimizer.step()
        scheduler.step()
    return found


# --- The references are the library's and torch's -------------------------------------------------


@pytest.mark.parametrize(
    "name", ["time_based", "step", "exponential", "cosine", "one_cycle", "then", "warmup"]
)
def test_the_librarys_schedule_is_an_answer(name):
    """Under the same name, with the same arguments."""
    passes(name, getattr(schedules, name))


def test_the_references_are_torchs_schedulers():
    exponential = [value("exponential")(0.1, 0.2)(t) for t in range(9)]
    assert exponential == pytest.approx(
        rates_of(lr_scheduler.ExponentialLR, 0.1, 9, gamma=math.exp(-0.2))
    )
    step = [value("step")(0.1, 0.5, 3)(t) for t in range(9)]
    assert step == pytest.approx(rates_of(lr_scheduler.StepLR, 0.1, 9, step_size=3, gamma=0.5))
    cosine = [value("cosine")(0.1, 8, 0.01)(t) for t in range(9)]
    annealing = rates_of(lr_scheduler.CosineAnnealingLR, 0.1, 9, T_max=8, eta_min=0.01)
    assert cosine == pytest.approx(annealing)
    one_cycle = [value("one_cycle")(0.4, 20, 0.3, 25.0, 1e4)(t) for t in range(20)]
    torchs = {"max_lr": 0.4, "total_steps": 20, "cycle_momentum": False}
    assert one_cycle == pytest.approx(rates_of(lr_scheduler.OneCycleLR, 0.1, 20, **torchs))
    warm = [value("warmup")(5, lambda t: 0.1, 0.2)(t) for t in range(9)]
    assert warm == pytest.approx(
        rates_of(lr_scheduler.LinearLR, 0.1, 9, start_factor=0.2, total_iters=5)
    )


def test_the_factor_drives_lambda_lr():
    for (lr0, half_life), lr, times in cases("factor"):
        schedule = Halving(lr0, half_life)
        factor = value("factor")(schedule, lr)
        found = rates_of(lr_scheduler.LambdaLR, lr, max(times), lr_lambda=factor)
        assert found == pytest.approx([schedule(t) for t in range(max(times))])


def test_the_suggestion_is_the_librarys():
    for lrs, losses in cases("suggest_lr"):
        test = schedules.RangeTest(lrs, losses, width=0)
        assert value("suggest_lr")(lrs, losses) == test.suggestion
        assert test.limit != test.suggestion


def test_updates_are_a_loaders():
    for n, size, epochs, drop_last in cases("updates"):
        loader = torch.utils.data.DataLoader(range(n), size, drop_last=drop_last)
        assert value("updates")(n, size, epochs, drop_last) == epochs * len(list(loader))


# --- What the exercise says is true ---------------------------------------------------------------


def test_the_numbers_asked_for_are_what_the_schedules_give():
    assert value("step_rate") == pytest.approx(schedules.step(0.1, 0.5, 10)(25))
    exponential = schedules.exponential(0.1, 0.01)
    assert exponential(value("half_life")) == pytest.approx(0.05)
    assert math.fsum(exponential(t) for t in range(5000)) == pytest.approx(value("farthest"))
    assert schedules.cosine(0.1, 80)(20) == pytest.approx(value("cosine_quarter"))
    factor = schedules.exponential(0.1, 0.05)
    assert rates_of(lr_scheduler.LambdaLR, 0.1, 1, lr_lambda=factor) == [
        pytest.approx(value("squared_rate"))
    ]


def test_the_printed_formula_never_drops():
    exponents = {math.floor(epoch / (50 - 0.5)) for epoch in range(50)}
    assert exponents == {0}
    assert "never drops" in EXERCISE["as_printed"].choices[value("as_printed")]


def test_a_schedule_of_epochs_stepped_by_updates_ends_at_nothing():
    rate = 0.1 * schedules.exponential(1.0, 0.05)(391)
    assert f"{rate:.0e}" == "3e-10"
    assert "3e-10" in EXERCISE["stepped_too_often"].choices[value("stepped_too_often")]


def test_the_noise_floor_of_the_text_is_right():
    """w <- (1 - lr) w - lr noise has the variance lr / (2 - lr) in the end; the loss is half."""
    for lr in (0.5, 0.05):
        variance = 100.0
        for _ in range(2000):
            variance = (1 - lr) ** 2 * variance + lr**2
        assert variance / 2 == pytest.approx(lr / (2 * (2 - lr)))


# --- What students write --------------------------------------------------------------------------


def test_answers_written_in_other_ways_are_recognised():
    def compounding(lr0, k):
        """The rate of each epoch is that of the one before, divided again."""

        def schedule(t):
            lr = lr0
            for epoch in range(t + 1):
                lr = lr / (1 + k * epoch)
            return lr

        return schedule

    def torchs_cosine(lr0, steps, lr_min):
        return lambda t: lr_min + (lr0 - lr_min) * (1 + math.cos(t / steps * math.pi)) / 2

    def from_the_first_update(steps, schedule, start):
        return lambda t: schedule(0) * min(1, t / steps) if t < steps else schedule(t - steps)

    def by_the_list(lrs, losses):
        return lrs[losses.index(min(losses))] / 10

    assert says("time_based", compounding) == "compounded"
    assert says("cosine", torchs_cosine) == "up_again"
    assert says("warmup", from_the_first_update) == "from_zero"
    assert says("suggest_lr", by_the_list) == "tenth_of_the_lowest"


#: The slips that the course promises to name.
PROMISED = [
    ("step", "minus_drop"),
    ("step", "rounded_up"),
    ("step", "by_drop"),
    ("step", "no_floor"),
    ("step_rate", "as_printed"),
    ("as_printed", "d"),
    ("exponential", "k_as_factor"),
    ("exponential", "power_of_two"),
    ("cosine", "whole_wave"),
    ("cosine", "lr_min_ignored"),
    ("cosine", "up_again"),
    ("warmup", "one_early"),
    ("warmup", "from_zero"),
    ("one_cycle", "peak_late"),
    ("then", "not_shifted"),
    ("per_update", "updates_as_epochs"),
    ("updates", "rounded_at_the_end"),
    ("factor", "squared"),
    ("squared_rate", "once"),
    ("suggest_lr", "lowest_loss"),
    ("robbins_monro", "a"),
    ("when_to_cut", "a"),
]


@pytest.mark.parametrize(("question", "mistake"), PROMISED)
def test_the_promised_mistakes_are_declared(question, mistake):
    assert mistake in [known.name for known in EXERCISE[question].mistakes]
