"""`batch_norm`: the forward pass in training, with the statistics of the batch."""

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
    SHAPES,
    draw_scale_and_shift,
    flat,
    maps,
    one_a_channel,
    scaled,
)
from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, pick
from mlcourse.checks.compare import plain
from mlcourse.checks.declare import Mistake, Question, Variant

Cache = dict[str, Tensor]
KEYS = ("xhat", "std", "gamma")


def cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor, float]]:
    found = []
    for N, C, H, W, eps, dtype in MAPS:
        x = maps(N, C, H, W, g, dtype)
        found.append((x, *draw_scale_and_shift(C, g, dtype), eps))
    return found


def use(answer: Callable, x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> Any:
    """Call the answer; std and gamma may have the shape (C,) or (1, C, 1, 1)."""
    result = plain(answer(x, gamma, beta, eps))
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return result
    out, cache = result[0], pick(result[1], KEYS)
    if isinstance(cache, dict):
        cache |= {key: flat(cache[key], len(gamma)) for key in ("std", "gamma") if key in cache}
    return out, cache


def normalised(
    dims: tuple[int, ...] = BATCH_AND_PIXELS,
    correction: int = 0,
    std: Callable[[Tensor, float], Tensor] = lambda var, eps: (var + eps).sqrt(),
    centre: Callable[[Tensor, Tensor], Tensor] = torch.sub,
) -> Callable[[Tensor, float], tuple[Tensor, Tensor]]:
    """Return (xhat, std): normalisation with one of its pieces exchanged."""

    def normalise(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        mean = x.mean(dim=dims, keepdim=True)
        n = torch.tensor(x.numel() / mean.numel() - correction, dtype=x.dtype)
        var = (x - mean).square().sum(dim=dims, keepdim=True) / n  # nan, no warning, at n = 0
        deviation = std(var, eps)
        return centre(x, mean) / deviation, deviation

    return normalise


PLAIN = normalised()


def about_zero(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    mean = x.mean(dim=BATCH_AND_PIXELS, keepdim=True)
    std = (x.square().mean(dim=BATCH_AND_PIXELS, keepdim=True) + eps).sqrt()
    return (x - mean) / std, std


def by(
    normalise: Callable[[Tensor, float], tuple[Tensor, Tensor]] = PLAIN,
    finish: Callable[[Tensor, Tensor, Tensor], Tensor] = scaled,
    keep: Callable[[Cache, Tensor, float], Cache] = lambda cache, x, eps: cache,
) -> Callable[..., tuple[Tensor, Cache]]:
    """Batch norm with one of its pieces exchanged."""

    def batch_norm(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Cache]:
        xhat, std = normalise(x, eps)
        cache = {"xhat": xhat, "std": std, "gamma": gamma}
        return finish(xhat, gamma, beta), keep(cache, x, eps)

    return batch_norm


def reference(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Cache]:
    mean = x.mean(dim=BATCH_AND_PIXELS)
    std = (x.var(dim=BATCH_AND_PIXELS, correction=0) + eps).sqrt()
    xhat = (x - one_a_channel(mean)) / one_a_channel(std)
    return scaled(xhat, gamma, beta), {"xhat": xhat, "std": std, "gamma": gamma}


def without_views(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Cache]:
    """The statistics have shape (C,) and meet the columns."""
    mean = x.mean(dim=BATCH_AND_PIXELS)
    std = (x.var(dim=BATCH_AND_PIXELS, correction=0) + eps).sqrt()
    xhat = (x - mean) / std
    return gamma * xhat + beta, {"xhat": xhat, "std": std, "gamma": gamma}


def in_place(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Cache]:
    std = reference(x, gamma, beta, eps)[1]["std"]
    x -= one_a_channel(x.mean(dim=BATCH_AND_PIXELS))
    x /= one_a_channel(std)
    return scaled(x, gamma, beta), {"xhat": x, "std": std, "gamma": gamma}


def cast(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Cache]:
    out, cache = reference(x.float(), gamma.float(), beta.float(), eps)
    return out, cache


def in_columns(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Tensor, Cache]:
    """Make a matrix with one column a channel, so that everything broadcasts by itself."""
    N, C, H, W = x.shape
    table = x.permute(0, 2, 3, 1).reshape(-1, C)
    centred = table - table.sum(dim=0) / len(table)
    std = torch.sqrt((centred * centred).sum(dim=0) / len(table) + eps)
    xhat = (centred / std).reshape(N, H, W, C).permute(0, 3, 1, 2)
    return xhat * gamma[:, None, None] + beta[:, None, None], {
        "xhat": xhat,
        "std": std,
        "gamma": gamma,
        "centred": centred,
    }


def channel_by_channel(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> list[Any]:
    out, xhat, std = torch.empty_like(x), torch.empty_like(x), torch.empty_like(gamma)
    for c in range(x.shape[1]):
        var, mean = torch.var_mean(x[:, c], correction=0)
        std[c] = torch.sqrt(var + eps)
        xhat[:, c] = (x[:, c] - mean) / std[c]
        out[:, c] = gamma[c] * xhat[:, c] + beta[c]
    return [out, {"gamma": gamma, "std": std, "xhat": xhat}]


def in_numpy(x: Tensor, gamma: Tensor, beta: Tensor, eps: float) -> tuple[Any, dict[str, Any]]:
    values = x.numpy()
    mean = values.mean(axis=(0, 2, 3), keepdims=True)
    std = np.sqrt(values.var(axis=(0, 2, 3), keepdims=True) + eps).astype(values.dtype)
    xhat = (values - mean) / std
    out = xhat * gamma.numpy()[None, :, None, None] + beta.numpy()[None, :, None, None]
    return out, {"xhat": xhat, "std": std, "gamma": gamma}


def both(name: str, dims: tuple[int, ...], says: str) -> tuple[Mistake, Mistake]:
    """Statistics over the wrong dimensions, with a variance over n and one over n - 1."""
    return (
        Mistake(name, by(normalised(dims)), says),
        Mistake(f"{name}_unbiased", by(normalised(dims, correction=1)), says),
    )


batch_norm = Question(
    name="batch_norm",
    title="Batch norm in training",
    points=3,
    reference=reference,
    cases=cases,
    use=use,
    parts=("out", "cache"),
    forbidden=(NO_BATCH_NORM,),
    mistakes=(
        *both(
            "over_batch_only",
            (0,),
            "the statistics are taken over the images alone, so each pixel has its own: in a "
            "convolutional network it is one mean a channel, over dim=(0, 2, 3)",
        ),
        *both(
            "over_everything",
            (0, 1, 2, 3),
            "one mean and one variance serve all channels: take them for each channel, over "
            "dim=(0, 2, 3)",
        ),
        *both(
            "instance_norm",
            (2, 3),
            "each image has statistics of its own (that is instance norm): go over the batch too, "
            "dim=(0, 2, 3)",
        ),
        *both(
            "layer_norm",
            (1, 2, 3),
            "each image is normalised by itself, over all its channels (that is layer norm): take "
            "a channel at a time over the batch, dim=(0, 2, 3)",
        ),
        *both(
            "over_channels",
            (1,),
            "the statistics are taken over the channels: they belong to each channel, over "
            "everything else, dim=(0, 2, 3)",
        ),
        Mistake(
            "unbiased",
            by(normalised(correction=1)),
            "the variance is divided by n - 1: here the batch is normalised by its own spread, the "
            "mean of squares (correction=0); n - 1 is for the running variance",
        ),
        Mistake(
            "eps_outside",
            by(normalised(std=lambda var, eps: var.sqrt() + eps)),
            "eps is added to the standard deviation: add it to the variance, inside the root",
        ),
        Mistake(
            "no_root",
            by(normalised(std=lambda var, eps: var + eps)),
            "you divide by the variance: divide by sqrt(var + eps)",
        ),
        Mistake(
            "no_eps",
            by(normalised(std=lambda var, eps: var.sqrt())),
            "eps is not used: a channel that is constant in the batch would be divided by 0, so "
            "divide by sqrt(var + eps)",
        ),
        Mistake(
            "not_centred",
            by(normalised(centre=lambda x, mean: x)),
            "the mean is still there: x^ is (x - mean) / sqrt(var + eps)",
        ),
        Mistake(
            "about_zero",
            by(about_zero),
            "the variance is taken about 0, as the mean of x^2: take it about the mean, of "
            "(x - mean)^2",
        ),
        Mistake(
            "exchanged",
            by(finish=lambda xhat, gamma, beta: scaled(xhat, beta, gamma)),
            "gamma and beta are exchanged: gamma multiplies, beta is added",
        ),
        Mistake(
            "no_scale_and_shift",
            by(finish=lambda xhat, gamma, beta: xhat),
            "gamma and beta are missing: without them the layer could only give mean 0 and "
            "variance 1",
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
        Mistake(
            "shifted_first",
            by(
                finish=lambda xhat, gamma, beta: one_a_channel(gamma) * (xhat + one_a_channel(beta))
            ),
            "beta is multiplied by gamma: scale first, then shift, gamma x^ + beta",
        ),
        Mistake("without_views", without_views, SHAPES),
        Mistake("gamma_without_view", by(finish=lambda xhat, g, b: g * xhat + b), SHAPES),
        Mistake("gamma_behind", by(finish=lambda xhat, g, b: xhat * g + b), SHAPES),
        Mistake(
            "variance_kept",
            by(keep=lambda cache, x, eps: {**cache, "std": cache["std"] ** 2}),
            "the cache holds var + eps under std: keep its root, what you divided by",
        ),
        Mistake(
            "bare_variance_kept",
            by(keep=lambda cache, x, eps: {**cache, "std": cache["std"] ** 2 - eps}),
            "the cache holds the variance under std: keep sqrt(var + eps), what you divided by",
        ),
        Mistake(
            "std_without_eps_kept",
            by(keep=lambda cache, x, eps: {**cache, "std": x.std(BATCH_AND_PIXELS, correction=0)}),
            "the cache holds sqrt(var) under std: keep sqrt(var + eps), what you divided by",
        ),
        Mistake(
            "inverse_kept",
            by(keep=lambda cache, x, eps: {**cache, "std": 1 / cache["std"]}),
            "the cache holds 1 / sqrt(var + eps) under std: keep sqrt(var + eps) itself",
        ),
        Mistake(
            "x_kept",
            by(keep=lambda cache, x, eps: {**cache, "xhat": x}),
            "the cache holds x under xhat: keep the normalised values, before gamma and beta",
        ),
        Mistake(
            "centred_kept",
            by(
                keep=lambda cache, x, eps: {
                    **cache,
                    "xhat": x - x.mean(BATCH_AND_PIXELS, keepdim=True),
                }
            ),
            "the cache holds x - mean under xhat: keep it divided by std",
        ),
        Mistake(
            "no_cache",
            lambda x, gamma, beta, eps: reference(x, gamma, beta, eps)[0],
            "you return the output alone: return (out, cache), the backward pass needs the rest",
        ),
        Mistake(
            "in_place",
            in_place,
            "the caller's x is changed: write x - mean, not x -= mean",
        ),
        Mistake("cast", cast, ONE_DTYPE),
    ),
    variants=(
        Variant("one column a channel", in_columns),
        Variant("channel by channel", channel_by_channel),
        Variant("a detour by NumPy", in_numpy),
        Variant("from pieces, std with four dimensions", by()),
    ),
    hints=(
        "Each channel has one mean and one variance: over which dimensions of (N, C, H, W) are "
        "they taken?",
        "mean = x.mean(dim=(0, 2, 3), keepdim=True), and x.var(...) likewise with correction=0: "
        "with keepdim they broadcast by themselves. gamma and beta need .view(1, -1, 1, 1).",
        "std = sqrt(var + eps); xhat = (x - mean) / std; out = gamma * xhat + beta; the cache is a "
        'dict with "xhat", "std" and "gamma".',
    ),
)
