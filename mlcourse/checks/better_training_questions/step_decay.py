"""`step_decay`: a learning rate that falls in stages."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.compare import plain
from mlcourse.checks.declare import TOLERANCE, Mistake, Question, Variant


def cases(g: Generator) -> list[tuple[float, float, int, int]]:
    """(lr0, drop, epochs_drop, epochs), with a last stage that is not full."""
    found = []
    for drop, epochs_drop, epochs in ((0.5, 3, 11), (0.1, 4, 9), (0.3, 1, 5), (0.7, 5, 13)):
        lr0 = 0.05 + float(torch.rand(1, generator=g, dtype=torch.float64))
        found.append((lr0, drop, epochs_drop, epochs))
    return found


def use(answer: Callable, *args: Any) -> Any:
    """Call the answer; the rates may be a list of numbers or a tensor."""
    result = plain(answer(*args))
    return result.tolist() if isinstance(result, Tensor) and result.dim() == 1 else result


def reference(lr0: float, drop: float, epochs_drop: int, epochs: int) -> list[float]:
    return [lr0 * drop ** (epoch // epochs_drop) for epoch in range(epochs)]


def by(
    exponent: Callable[[int, int], float] = lambda epoch, k: epoch // k,
    rate: Callable[[float, float, float], float] = lambda lr0, drop, n: lr0 * drop**n,
    epochs_of: Callable[[int], range] = range,
) -> Callable[..., list[float]]:
    """A step decay with one of its pieces exchanged."""

    def step_decay(lr0: float, drop: float, epochs_drop: int, epochs: int) -> list[float]:
        return [rate(lr0, drop, exponent(epoch, epochs_drop)) for epoch in epochs_of(epochs)]

    return step_decay


def epochs_minus_drop(lr0: float, drop: float, epochs_drop: int, epochs: int) -> list[float]:
    return [lr0 * drop ** math.floor(epoch / (epochs - drop)) for epoch in range(epochs)]


def kept_dropping(lr0: float, drop: float, epochs_drop: int, epochs: int) -> list[float]:
    """Multiply again what was multiplied before."""
    lr, found = lr0, []
    for epoch in range(epochs):
        lr = lr * drop ** (epoch // epochs_drop)
        found.append(lr)
    return found


def dropped_at_zero(lr0: float, drop: float, epochs_drop: int, epochs: int) -> list[float]:
    """0 is a multiple of everything."""
    lr, found = lr0, []
    for epoch in range(epochs):
        if epoch % epochs_drop == 0:
            lr *= drop
        found.append(lr)
    return found


def last_rate(lr0: float, drop: float, epochs_drop: int, epochs: int) -> float:
    return reference(lr0, drop, epochs_drop, epochs)[-1]


def one_more_rate(lr0: float, drop: float, epochs_drop: int, epochs: int) -> list[float]:
    return reference(lr0, drop, epochs_drop, epochs + 1)


def as_it_goes(lr0: float, drop: float, epochs_drop: int, epochs: int) -> list[float]:
    lr, found = lr0, []
    for epoch in range(epochs):
        if epoch > 0 and epoch % epochs_drop == 0:
            lr *= drop
        found.append(lr)
    return found


def by_tensor(lr0: float, drop: float, epochs_drop: int, epochs: int) -> Tensor:
    stages = torch.arange(epochs, dtype=torch.float64).div(epochs_drop).floor()
    return lr0 * torch.tensor(drop, dtype=torch.float64).pow(stages)


def by_torch(lr0: float, drop: float, epochs_drop: int, epochs: int) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr0)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=epochs_drop, gamma=drop)
    found = []
    for _ in range(epochs):
        found.append(float(schedule.get_last_lr()[0]))
        optimizer.step()
        schedule.step()
    return found


def in_numpy(lr0: float, drop: float, epochs_drop: int, epochs: int) -> np.ndarray:
    return lr0 * np.power(drop, np.floor(np.arange(epochs) / epochs_drop))


step_decay = Question(
    name="step_decay",
    title="Step decay",
    points=1,
    reference=reference,
    cases=cases,
    use=use,
    parts=("the rates",),
    tolerance={**TOLERANCE, float: 1e-6},
    mistakes=(
        Mistake(
            "epochs_minus_drop",
            epochs_minus_drop,
            "the rate never falls: with floor(epoch / (epochs - drop)), as it is sometimes "
            "printed, the exponent stays 0 to the end; epochs_drop is one number, the length of a "
            "stage",
        ),
        Mistake(
            "no_floor",
            by(exponent=lambda epoch, k: epoch / k),
            "the rate falls a little in every epoch: the exponent is rounded down, "
            "epoch // epochs_drop, which makes stages",
        ),
        Mistake(
            "rounded_up",
            by(exponent=lambda epoch, k: math.ceil(epoch / k)),
            "the exponent is rounded up, so the first drop comes after one epoch: round it down",
        ),
        Mistake(
            "rounded",
            by(exponent=lambda epoch, k: round(epoch / k)),
            "the exponent is rounded to the nearest integer, so the drops come half a stage early: "
            "round it down",
        ),
        Mistake(
            "one_early",
            by(exponent=lambda epoch, k: (epoch + 1) // k),
            "each drop comes one epoch early: epochs count from 0, and each stage has epochs_drop "
            "of them",
        ),
        Mistake(
            "dropped_at_zero",
            dropped_at_zero,
            "the rate drops before the first epoch: 0 is a multiple of everything, so the first "
            "stage begins with lr0",
        ),
        Mistake(
            "every_epoch",
            by(exponent=lambda epoch, k: epoch),
            "the rate drops in every epoch: it drops once in epochs_drop epochs",
        ),
        Mistake(
            "remainder",
            by(exponent=lambda epoch, k: epoch % k),
            "the exponent is the remainder, so the rate comes back up: it is the whole quotient, "
            "epoch // epochs_drop",
        ),
        Mistake(
            "once",
            by(exponent=lambda epoch, k: min(epoch // k, 1)),
            "the rate drops only once: it drops again after each stage",
        ),
        Mistake(
            "kept_dropping",
            kept_dropping,
            "each epoch multiplies the rate of the one before by the whole factor: start from lr0, "
            "lr0 * drop ** (epoch // epochs_drop)",
        ),
        Mistake(
            "linear",
            by(rate=lambda lr0, drop, n: lr0 * (1 - (1 - drop) * n)),
            "the same amount is taken off at each drop, which ends below 0: the rate is multiplied "
            "by drop",
        ),
        Mistake(
            "complement",
            by(rate=lambda lr0, drop, n: lr0 * (1 - drop) ** n),
            "the rate loses the fraction drop at each stage: it is multiplied by drop",
        ),
        Mistake(
            "divided",
            by(rate=lambda lr0, drop, n: lr0 / drop**n),
            "the rate grows: multiply by drop, which is below 1",
        ),
        Mistake(
            "times_exponent",
            by(rate=lambda lr0, drop, n: lr0 * drop * n),
            "the number of drops multiplies the rate: it is the exponent, drop ** n",
        ),
        Mistake(
            "last_rate",
            last_rate,
            "you return one rate: return a list with that of every epoch",
        ),
        Mistake(
            "one_more",
            one_more_rate,
            "there is one rate too many: epochs 0 to epochs - 1",
        ),
    ),
    variants=(
        Variant("multiplied as it goes", as_it_goes),
        Variant("a tensor", by_tensor),
        Variant("torch's own schedule", by_torch),
        Variant("a NumPy array", in_numpy),
    ),
    hints=(
        "How many drops lie behind epoch 0? Behind epoch epochs_drop - 1? Behind epochs_drop?",
        "epoch // epochs_drop counts them: lr0 * drop ** (epoch // epochs_drop).",
    ),
)
