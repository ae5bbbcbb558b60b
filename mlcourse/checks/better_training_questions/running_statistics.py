"""`update_running`: what batch norm remembers for the test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.better_training_questions.shared import (
    BATCH_AND_PIXELS,
    MAPS,
    NO_BATCH_NORM,
    flat,
    maps,
    one_a_channel,
)
from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.compare import plain
from mlcourse.checks.declare import Mistake, Question, Variant


def cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor, float]]:
    """(running mean, running variance, x, momentum), with momenta on both sides of 1/2."""
    found = []
    for (N, C, H, W, _, dtype), momentum in zip(MAPS, (0.1, 0.3, 0.2, 0.1, 0.7), strict=True):
        mean = normal(C, generator=g, dtype=dtype)
        var = 0.5 + torch.rand(C, generator=g, dtype=dtype)
        found.append((mean, var, maps(N, C, H, W, g, dtype), momentum))
    return found


def use(answer: Callable, mean: Tensor, var: Tensor, x: Tensor, momentum: float) -> Any:
    result = plain(answer(mean, var, x, momentum))
    if isinstance(result, (tuple, list)):
        return tuple(flat(value, len(mean)) for value in result)
    return result


def reference(mean: Tensor, var: Tensor, x: Tensor, momentum: float) -> tuple[Tensor, Tensor]:
    batch_mean = x.mean(dim=BATCH_AND_PIXELS)
    batch_var = x.var(dim=BATCH_AND_PIXELS, correction=1)
    return (
        (1 - momentum) * mean + momentum * batch_mean,
        (1 - momentum) * var + momentum * batch_var,
    )


Moments = Callable[[Tensor], tuple[Tensor, Tensor]]


def moments(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(dim=BATCH_AND_PIXELS), x.var(dim=BATCH_AND_PIXELS, correction=1)


def by(
    batch: Moments = moments,
    mix: Callable[[Tensor, Tensor, float], Tensor] = lambda old, new, m: (1 - m) * old + m * new,
) -> Callable[..., tuple[Tensor, Tensor]]:
    """The update of the running statistics with one of its pieces exchanged."""

    def update_running(
        mean: Tensor, var: Tensor, x: Tensor, momentum: float
    ) -> tuple[Tensor, Tensor]:
        batch_mean, batch_var = batch(x)
        return mix(mean, batch_mean, momentum), mix(var, batch_var, momentum)

    return update_running


def biased(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(dim=BATCH_AND_PIXELS), x.var(dim=BATCH_AND_PIXELS, correction=0)


def deviations(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.mean(dim=BATCH_AND_PIXELS), x.std(dim=BATCH_AND_PIXELS)


def over(dims: tuple[int, ...], keepdim: bool = False) -> Moments:
    """Moments over `dims`; nan without a warning where they hold one value only."""

    def batch(x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean(dim=dims, keepdim=True)
        n = x.numel() / mean.numel()
        var = (x - mean).square().sum(dim=dims, keepdim=keepdim) / torch.tensor(n - 1).to(x.dtype)
        return x.mean(dim=dims, keepdim=keepdim), var

    return batch


def corrected_by_images(x: Tensor) -> tuple[Tensor, Tensor]:
    N = len(x)
    return x.mean(dim=BATCH_AND_PIXELS), biased(x)[1] * (N / (N - 1))


def about_mean(mean: Tensor, var: Tensor, x: Tensor, momentum: float) -> tuple[Tensor, Tensor]:
    n = x.numel() / len(mean)
    batch_var = (x - one_a_channel(mean)).square().sum(dim=BATCH_AND_PIXELS) / (n - 1)
    new_mean = reference(mean, var, x, momentum)[0]
    return new_mean, (1 - momentum) * var + momentum * batch_var


def mean_alone(mean: Tensor, var: Tensor, x: Tensor, momentum: float) -> tuple[Tensor, Tensor]:
    return reference(mean, var, x, momentum)[0], var.clone()


def in_place(mean: Tensor, var: Tensor, x: Tensor, momentum: float) -> tuple[Tensor, Tensor]:
    batch_mean, batch_var = moments(x)
    mean.mul_(1 - momentum).add_(momentum * batch_mean)
    var.mul_(1 - momentum).add_(momentum * batch_var)
    return mean, var


def exchanged(mean: Tensor, var: Tensor, x: Tensor, momentum: float) -> tuple[Tensor, Tensor]:
    return reference(mean, var, x, momentum)[::-1]


def cast(mean: Tensor, var: Tensor, x: Tensor, momentum: float) -> tuple[Tensor, Tensor]:
    return reference(mean.float(), var.float(), x.float(), momentum)


def by_lerp(mean: Tensor, var: Tensor, x: Tensor, momentum: float) -> tuple[Tensor, Tensor]:
    batch_var, batch_mean = torch.var_mean(x.transpose(0, 1).flatten(1), dim=1)
    return mean.lerp(batch_mean, momentum), var.lerp(batch_var, momentum)


def by_difference(mean: Tensor, var: Tensor, x: Tensor, momentum: float) -> tuple[Tensor, Tensor]:
    n = x.shape[0] * x.shape[2] * x.shape[3]
    batch_mean = x.sum(dim=(0, 2, 3), keepdim=True) / n
    squares = ((x - batch_mean) ** 2).mean(dim=(0, 2, 3)) * n / (n - 1)
    return mean + momentum * (batch_mean.flatten() - mean), var + momentum * (squares - var)


def in_loops(mean: Tensor, var: Tensor, x: Tensor, momentum: float) -> list[Tensor]:
    means, variances = mean.clone(), var.clone()
    for c in range(len(mean)):
        values = x[:, c].flatten().numpy()
        means[c] += momentum * (float(values.mean(dtype=np.float64)) - means[c])
        variances[c] += momentum * (float(values.var(ddof=1, dtype=np.float64)) - variances[c])
    return [means, variances]


update_running = Question(
    name="update_running",
    title="The running statistics",
    points=2,
    reference=reference,
    cases=cases,
    use=use,
    parts=("mean", "var"),
    forbidden=(NO_BATCH_NORM,),
    mistakes=(
        Mistake(
            "momentum_reversed",
            by(mix=lambda old, new, m: m * old + (1 - m) * new),
            "momentum is the weight of the old value in yours (some libraries mean that): here, as "
            "in torch, it is the weight of the new batch, and the old value gets 1 - momentum",
        ),
        Mistake(
            "biased",
            by(biased),
            "the batch's variance is divided by n: the running one estimates that of all the data, "
            "so divide by n - 1 (correction=1), with n = N H W",
        ),
        Mistake(
            "corrected_by_images",
            by(corrected_by_images),
            "the variance is corrected by N / (N - 1): a channel has n = N H W values in the "
            "batch, so it is n / (n - 1)",
        ),
        Mistake(
            "replaced",
            by(mix=lambda old, new, m: new),
            "the batch's statistics replace the running ones: mix them, (1 - momentum) old + "
            "momentum new",
        ),
        Mistake(
            "added",
            by(mix=lambda old, new, m: old + m * new),
            "the old value is kept whole, so the sum grows for ever: it gets the weight "
            "1 - momentum",
        ),
        Mistake(
            "not_weighted",
            by(mix=lambda old, new, m: (1 - m) * old + new),
            "the batch's statistics are added whole: their weight is momentum",
        ),
        Mistake(
            "averaged",
            by(mix=lambda old, new, m: (old + new) / 2),
            "old and new have the same weight: the new one gets momentum, the old one the rest",
        ),
        Mistake(
            "unchanged",
            by(mix=lambda old, new, m: old.clone()),
            "the running statistics come back unchanged: mix in those of the batch",
        ),
        Mistake(
            "standard_deviation",
            by(deviations),
            "the standard deviation is mixed in: it is the variance that is kept, the root comes "
            "when it is used",
        ),
        Mistake(
            "mean_alone",
            mean_alone,
            "the running variance is not updated: treat it as you treat the mean",
        ),
        Mistake(
            "about_mean",
            about_mean,
            "the variance is taken about the running mean: take it about the batch's own mean",
        ),
        Mistake(
            "over_batch_only",
            by(over((0,))),
            "the batch's statistics are taken over the images alone: one number a channel, over "
            "dim=(0, 2, 3)",
        ),
        Mistake(
            "over_everything",
            by(over((0, 1, 2, 3))),
            "the batch's statistics are one number for all channels: one for each, over "
            "dim=(0, 2, 3)",
        ),
        Mistake(
            "keepdim",
            by(over(BATCH_AND_PIXELS, keepdim=True)),
            "(C,) and (1, C, 1, 1) are mixed, which gives C times C numbers: leave keepdim out "
            "here",
        ),
        Mistake(
            "exchanged",
            exchanged,
            "mean and variance come back in the wrong order: return (mean, var)",
        ),
        Mistake(
            "in_place",
            in_place,
            "the caller's statistics are changed: return new tensors",
        ),
        Mistake("cast", cast, ONE_DTYPE),
    ),
    variants=(
        Variant("lerp, var_mean", by_lerp),
        Variant("a step towards the batch", by_difference),
        Variant("channel by channel", in_loops),
        Variant("from pieces", by()),
    ),
    hints=(
        "The batch's mean and variance, one number a channel: x.mean(dim=(0, 2, 3)) and "
        "x.var(dim=(0, 2, 3)), which divides by n - 1.",
        "new = (1 - momentum) * old + momentum * batch, for both.",
    ),
)
