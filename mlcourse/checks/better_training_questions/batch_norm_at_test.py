"""`batch_norm_test`: the forward pass with the running statistics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.better_training_questions.batch_norm import reference as train_reference
from mlcourse.checks.better_training_questions.shared import (
    BATCH_AND_PIXELS,
    MAPS,
    NO_BATCH_NORM,
    SHAPES,
    draw_scale_and_shift,
    maps,
    one_a_channel,
    scaled,
)
from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.declare import Mistake, Question, Variant

Case = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, float]


def cases(g: Generator) -> list[Case]:
    """(x, gamma, beta, mean, var, eps); the batch's own statistics are others."""
    found = []
    for N, C, H, W, eps, dtype in (*MAPS, (1, 3, 1, 1, 1e-3, torch.float64)):
        mean = normal(C, generator=g, dtype=dtype)
        var = 0.5 + 2 * torch.rand(C, generator=g, dtype=dtype)
        scale = draw_scale_and_shift(C, g, dtype)
        found.append((maps(N, C, H, W, g, dtype), *scale, mean, var, eps))
    return found


def by(
    std: Callable[[Tensor, float], Tensor] = lambda var, eps: (var + eps).sqrt(),
    centre: Callable[[Tensor, Tensor], Tensor] = torch.sub,
    finish: Callable[[Tensor, Tensor, Tensor], Tensor] = scaled,
    divide: Callable[[Tensor, Tensor], Tensor] = torch.div,
) -> Callable[..., Tensor]:
    """Batch norm at test with one of its pieces exchanged."""

    def batch_norm_test(
        x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float
    ) -> Tensor:
        centred = centre(x, one_a_channel(mean))
        return finish(divide(centred, one_a_channel(std(var, eps))), gamma, beta)

    return batch_norm_test


def reference(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float
) -> Tensor:
    xhat = (x - one_a_channel(mean)) / one_a_channel((var + eps).sqrt())
    return scaled(xhat, gamma, beta)


def by_batch(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float) -> Any:
    return train_reference(x, gamma, beta, eps)[0]


def by_batch_mean(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float
) -> Tensor:
    return reference(x, gamma, beta, x.mean(dim=BATCH_AND_PIXELS), var, eps)


def without_views(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float
) -> Tensor:
    return gamma * (x - mean) / torch.sqrt(var + eps) + beta


def in_place(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float
) -> Tensor:
    x -= one_a_channel(mean)
    return scaled(x / one_a_channel((var + eps).sqrt()), gamma, beta)


def cast(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    return reference(x, gamma, beta, mean, var, eps).float()


def folded(x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float) -> Tensor:
    """At test it is one affine map a channel, which could be folded into the layer before."""
    slope = gamma / torch.sqrt(var + eps)
    return torch.einsum("nchw,c->nchw", x, slope) + (beta - slope * mean)[None, :, None, None]


def in_last_place(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float
) -> Tensor:
    return ((x.movedim(1, -1) - mean) * (var + eps).rsqrt() * gamma + beta).movedim(-1, 1)


def in_loops(
    x: Tensor, gamma: Tensor, beta: Tensor, mean: Tensor, var: Tensor, eps: float
) -> np.ndarray:
    out = x.numpy().copy()
    for c in range(len(mean)):
        out[:, c] = (out[:, c] - mean[c].item()) / (var[c].item() + eps) ** 0.5
        out[:, c] = out[:, c] * gamma[c].item() + beta[c].item()
    return out


batch_norm_test = Question(
    name="batch_norm_test",
    title="Batch norm at test",
    points=1,
    reference=reference,
    cases=cases,
    parts=("out",),
    forbidden=(NO_BATCH_NORM,),
    mistakes=(
        Mistake(
            "by_batch",
            by_batch,
            "the batch's own statistics are used, so a prediction depends on its neighbours: at "
            "test use the running mean and variance that are given",
        ),
        Mistake(
            "by_batch_mean",
            by_batch_mean,
            "the batch's own mean is subtracted: at test use the running one, like the variance",
        ),
        Mistake(
            "no_root",
            by(std=lambda var, eps: var + eps),
            "you divide by the variance: divide by sqrt(var + eps)",
        ),
        Mistake(
            "eps_outside",
            by(std=lambda var, eps: var.sqrt() + eps),
            "eps is added to the standard deviation: add it to the variance, inside the root",
        ),
        Mistake(
            "no_eps",
            by(std=lambda var, eps: var.sqrt()),
            "eps is not used: do as in training, sqrt(var + eps)",
        ),
        Mistake(
            "multiplied",
            by(divide=torch.mul),
            "you multiply by the standard deviation: divide by it",
        ),
        Mistake(
            "not_centred",
            by(centre=lambda x, mean: x),
            "the running mean is not subtracted: (x - mean) / sqrt(var + eps)",
        ),
        Mistake(
            "exchanged",
            by(finish=lambda xhat, gamma, beta: scaled(xhat, beta, gamma)),
            "gamma and beta are exchanged: gamma multiplies, beta is added",
        ),
        Mistake(
            "no_scale_and_shift",
            by(finish=lambda xhat, gamma, beta: xhat),
            "gamma and beta are missing: they are parameters, and serve at test as in training",
        ),
        Mistake(
            "no_gamma",
            by(finish=lambda xhat, gamma, beta: xhat + one_a_channel(beta)),
            "gamma is missing: out = gamma x^ + beta",
        ),
        Mistake(
            "no_beta",
            by(finish=lambda xhat, gamma, beta: one_a_channel(gamma) * xhat),
            "beta is missing: out = gamma x^ + beta",
        ),
        Mistake("without_views", without_views, SHAPES),
        Mistake(
            "gamma_without_view",
            by(finish=lambda xhat, gamma, beta: gamma * xhat + beta),
            SHAPES,
        ),
        Mistake(
            "in_place",
            in_place,
            "the caller's x is changed: write x - mean, not x -= mean",
        ),
        Mistake("cast", cast, ONE_DTYPE),
    ),
    variants=(
        Variant("one affine map a channel", folded),
        Variant("channels moved to the end", in_last_place),
        Variant("channel by channel in NumPy", in_loops),
        Variant("from pieces", by()),
    ),
    hints=(
        "The same formula as in training, with the running mean and variance in place of the "
        "batch's. A batch of one image must give what it gives among others.",
        "All four of gamma, beta, mean and var need .view(1, -1, 1, 1).",
    ),
)
