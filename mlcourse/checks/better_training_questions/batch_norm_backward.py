"""`batch_norm_backward`: the gradient goes through the mean and the variance too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.better_training_questions.batch_norm import (
    Cache,
)
from mlcourse.checks.better_training_questions.batch_norm import (
    reference as forward_reference,
)
from mlcourse.checks.better_training_questions.shared import (
    BATCH_AND_PIXELS,
    MAPS,
    NO_AUTOGRAD,
    NO_BATCH_NORM,
    SHAPES,
    draw_scale_and_shift,
    flat,
    maps,
    one_a_channel,
)
from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.compare import plain
from mlcourse.checks.declare import Mistake, Question, Variant

Grads = tuple[Tensor, Tensor, Tensor]


def cases(g: Generator) -> list[tuple[Tensor, Cache]]:
    """A gradient with a mean and a part along x^, and the cache of a forward pass."""
    found = []
    for N, C, H, W, eps, dtype in MAPS:
        x = maps(N, C, H, W, g, dtype)
        gamma, beta = draw_scale_and_shift(C, g, dtype)
        cache = forward_reference(x, gamma, beta, eps)[1]
        grad = normal(N, C, H, W, generator=g, dtype=dtype) + 0.5 + 0.3 * cache["xhat"]
        found.append((grad, cache))
    return found


def use(answer: Callable, grad: Tensor, cache: Cache) -> Any:
    """Call the answer; the gradients of gamma and beta may be (C,) or (1, C, 1, 1)."""
    result = plain(answer(grad, cache))
    if not isinstance(result, (tuple, list)) or len(result) != 3:
        return result
    channels = len(cache["gamma"])
    return result[0], flat(result[1], channels), flat(result[2], channels)


def channel_mean(values: Tensor) -> Tensor:
    return values.mean(dim=BATCH_AND_PIXELS, keepdim=True)


def project(g: Tensor, xhat: Tensor) -> Tensor:
    """Take from g its mean and its part along xhat, channel by channel."""
    return g - channel_mean(g) - xhat * channel_mean(g * xhat)


def reference(grad: Tensor, cache: Cache) -> Grads:
    xhat = cache["xhat"]
    dgamma = (grad * xhat).sum(dim=BATCH_AND_PIXELS)
    dbeta = grad.sum(dim=BATCH_AND_PIXELS)
    n = grad.numel() / len(dbeta)
    inner = grad - one_a_channel(dbeta / n) - xhat * one_a_channel(dgamma / n)
    return one_a_channel(cache["gamma"] / cache["std"]) * inner, dgamma, dbeta


def by(
    inner: Callable[[Tensor, Tensor], Tensor] = project,
    factor: Callable[[Tensor, Tensor], Tensor] = lambda gamma, std: gamma / std,
    total: Callable[[Tensor], Tensor] = lambda values: values.sum(dim=BATCH_AND_PIXELS),
    for_gamma: Callable[[Tensor, Cache], Tensor] = lambda grad, cache: grad * cache["xhat"],
    finish: Callable[[Tensor, Tensor, Tensor], Any] = lambda dx, dgamma, dbeta: (
        dx,
        dgamma,
        dbeta,
    ),
) -> Callable[[Tensor, Cache], Any]:
    """The backward pass with one of its pieces exchanged."""

    def batch_norm_backward(grad: Tensor, cache: Cache) -> Any:
        outer = one_a_channel(factor(cache["gamma"], cache["std"]))
        dx = outer * inner(grad, cache["xhat"])
        return finish(dx, total(for_gamma(grad, cache)), total(grad))

    return batch_norm_backward


def means_over(dims: tuple[int, ...]) -> Callable[[Tensor, Tensor], Tensor]:
    def inner(g: Tensor, xhat: Tensor) -> Tensor:
        along = (g * xhat).mean(dim=dims, keepdim=True)
        return g - g.mean(dim=dims, keepdim=True) - xhat * along

    return inner


def divided_by(count: Callable[[int, int], int]) -> Callable[[Tensor, Tensor], Tensor]:
    """The inner bracket with sums divided by `count(N, n)`, where n = N H W."""

    def inner(g: Tensor, xhat: Tensor) -> Tensor:
        n = count(len(g), g.numel() // g.shape[1])
        total = g.sum(dim=BATCH_AND_PIXELS, keepdim=True)
        along = (g * xhat).sum(dim=BATCH_AND_PIXELS, keepdim=True)
        return g - total / n - xhat * along / n

    return inner


def gamma_inside_too(grad: Tensor, cache: Cache) -> Grads:
    dx, dgamma, dbeta = reference(grad, cache)
    return dx * one_a_channel(cache["gamma"]), dgamma, dbeta


def without_views(grad: Tensor, cache: Cache) -> Grads:
    inner = project(grad, cache["xhat"])
    return cache["gamma"] / cache["std"] * inner, *reference(grad, cache)[1:]


def without_views_behind(grad: Tensor, cache: Cache) -> Grads:
    inner = project(grad, cache["xhat"])
    return inner * (cache["gamma"] / cache["std"]), *reference(grad, cache)[1:]


def in_place(grad: Tensor, cache: Cache) -> Grads:
    dx, dgamma, dbeta = reference(grad, cache)
    grad.copy_(dx)
    return grad, dgamma, dbeta


def cast(grad: Tensor, cache: Cache) -> Grads:
    return reference(grad.float(), {key: value.float() for key, value in cache.items()})


def step_by_step(grad: Tensor, cache: Cache) -> Grads:
    """The chain rule, one operation at a time: through x^, the variance, the mean."""
    xhat, std = cache["xhat"], one_a_channel(cache["std"])
    n = grad.numel() // grad.shape[1]
    centred = xhat * std
    dxhat = grad * one_a_channel(cache["gamma"])
    dvar = (dxhat * centred * -0.5 * std**-3).sum(dim=BATCH_AND_PIXELS, keepdim=True)
    dmean = (-dxhat / std).sum(dim=BATCH_AND_PIXELS, keepdim=True)
    dmean = dmean + dvar * (-2 * centred).mean(dim=BATCH_AND_PIXELS, keepdim=True)
    dx = dxhat / std + dvar * 2 * centred / n + dmean / n
    return dx, (grad * xhat).sum(dim=(0, 2, 3)), grad.sum(dim=(0, 2, 3))


def in_columns(grad: Tensor, cache: Cache) -> Grads:
    """The Jacobian of one channel: (I - 1 1^T / n - x^ x^T / n) gamma / std."""
    N, C, H, W = grad.shape
    g = grad.transpose(0, 1).flatten(1)
    xhat = cache["xhat"].transpose(0, 1).flatten(1)
    n = g.shape[1]
    dx = []
    for c in range(C):
        jacobian = torch.eye(n, dtype=g.dtype) - torch.ones(n, n, dtype=g.dtype) / n
        jacobian = jacobian - torch.outer(xhat[c], xhat[c]) / n
        dx.append(jacobian @ g[c] * cache["gamma"][c] / cache["std"][c])
    out = torch.stack(dx).view(C, N, H, W).transpose(0, 1)
    return out, torch.einsum("cn,cn->c", g, xhat), g.sum(dim=1)


def in_numpy(grad: Tensor, cache: Cache) -> list[Any]:
    g, xhat = grad.numpy(), cache["xhat"].numpy()
    factor = (cache["gamma"] / cache["std"]).numpy()[None, :, None, None]
    axes = (0, 2, 3)
    bracket = g - g.mean(axis=axes, keepdims=True)
    bracket = bracket - xhat * (g * xhat).mean(axis=axes, keepdims=True)
    return [factor * bracket, (g * xhat).sum(axis=axes), np.sum(g, axis=axes)]


SUMMED = (
    "the gradients of gamma and beta are means: each gamma scales all n = N H W values of its "
    "channel, and their contributions add up"
)

batch_norm_backward = Question(
    name="batch_norm_backward",
    title="Batch norm backward",
    points=4,
    reference=reference,
    cases=cases,
    use=use,
    parts=("grad_x", "grad_gamma", "grad_beta"),
    forbidden=(NO_AUTOGRAD, NO_BATCH_NORM),
    mistakes=(
        Mistake(
            "straight_through",
            by(inner=lambda g, xhat: g),
            "the mean and the variance are taken for constants: both depend on every x of the "
            "channel, which takes two more terms out of the gradient",
        ),
        Mistake(
            "constant_variance",
            by(inner=lambda g, xhat: g - channel_mean(g)),
            "the variance is taken for a constant: it depends on x too, which takes "
            "x^ mean(g x^) out of the gradient",
        ),
        Mistake(
            "constant_mean",
            by(inner=lambda g, xhat: g - xhat * channel_mean(g * xhat)),
            "the mean is taken for a constant: it depends on x too, which takes mean(g) out of the "
            "gradient",
        ),
        Mistake(
            "no_xhat",
            by(inner=lambda g, xhat: g - channel_mean(g) - channel_mean(g * xhat)),
            "the last term is mean(g x^) alone: the derivative of the standard deviation brings "
            "another x^, so it is x^ mean(g x^)",
        ),
        Mistake(
            "added",
            by(inner=lambda g, xhat: g + channel_mean(g) + xhat * channel_mean(g * xhat)),
            "the two terms are added: they are taken away, since a common shift or stretch of the "
            "channel changes nothing in x^",
        ),
        Mistake(
            "sign_of_last",
            by(inner=lambda g, xhat: g - channel_mean(g) + xhat * channel_mean(g * xhat)),
            "the term with x^ has the wrong sign: it is taken away",
        ),
        Mistake(
            "sums_for_means",
            by(inner=divided_by(lambda N, n: 1)),
            "the two terms that are taken away are sums over the channel: they are means, divided "
            "by n = N H W",
        ),
        Mistake(
            "divided_by_images",
            by(inner=divided_by(lambda N, n: N)),
            "the two terms that are taken away are divided by N: the statistics are over "
            "n = N H W values",
        ),
        Mistake(
            "divided_by_n_minus_1",
            by(inner=divided_by(lambda N, n: n - 1)),
            "the two terms that are taken away are divided by n - 1: the forward pass divides by n "
            "= N H W",
        ),
        Mistake(
            "means_over_batch",
            by(inner=means_over((0,))),
            "the means are taken over the images alone: they go over the same values as the "
            "forward pass' statistics, dim=(0, 2, 3)",
        ),
        Mistake(
            "means_over_pixels",
            by(inner=means_over((2, 3))),
            "the means are taken within each image: they go over the same values as the forward "
            "pass' statistics, dim=(0, 2, 3)",
        ),
        Mistake(
            "means_over_everything",
            by(inner=means_over((0, 1, 2, 3))),
            "the means are taken over all channels together: each channel has its own, "
            "dim=(0, 2, 3)",
        ),
        Mistake(
            "no_gamma",
            by(factor=lambda gamma, std: 1 / std),
            "gamma is missing from grad_x: the output is gamma x^ + beta, so gamma multiplies what "
            "comes back",
        ),
        Mistake(
            "gamma_twice",
            gamma_inside_too,
            "gamma is in grad_x twice: multiply by it once, in front or inside the bracket",
        ),
        Mistake(
            "no_std",
            by(factor=lambda gamma, std: gamma),
            "grad_x is not divided by std: x^ is (x - mean) / std",
        ),
        Mistake(
            "times_std",
            by(factor=lambda gamma, std: gamma * std),
            "grad_x is multiplied by std: x^ is (x - mean) / std, so divide",
        ),
        Mistake(
            "variance",
            by(factor=lambda gamma, std: gamma / std**2),
            "grad_x is divided by the variance: cache['std'] is the root already, so divide by it "
            "as it is",
        ),
        Mistake(
            "second_root",
            by(factor=lambda gamma, std: gamma / std.sqrt()),
            "grad_x is divided by the root of std: cache['std'] is the root already, so divide by "
            "it as it is",
        ),
        Mistake("without_views", without_views, SHAPES),
        Mistake("without_views_behind", without_views_behind, SHAPES),
        Mistake("means", by(total=lambda values: values.mean(dim=BATCH_AND_PIXELS)), SUMMED),
        Mistake(
            "means_over_images",
            by(total=lambda values: values.sum(dim=BATCH_AND_PIXELS) / len(values)),
            SUMMED,
        ),
        Mistake(
            "not_over_pixels",
            by(total=lambda values: values.sum(dim=0)),
            "the gradients of gamma and beta are summed over the images alone: one gamma serves "
            "every place, so sum over dim=(0, 2, 3)",
        ),
        Mistake(
            "one_total",
            by(total=torch.sum),
            "the gradients of gamma and beta are summed over the channels too: each channel has "
            "its own, so sum over dim=(0, 2, 3)",
        ),
        Mistake(
            "gamma_without_xhat",
            by(for_gamma=lambda grad, cache: grad),
            "the gradient of gamma lacks x^: gamma multiplies x^ in the output, so sum grad * x^",
        ),
        Mistake(
            "gamma_of_centred",
            by(for_gamma=lambda grad, cache: grad * cache["xhat"] * one_a_channel(cache["std"])),
            "the gradient of gamma uses x - mean: gamma multiplies x^, which is divided by std",
        ),
        Mistake(
            "gamma_of_scaled",
            by(for_gamma=lambda grad, cache: grad * cache["xhat"] * one_a_channel(cache["gamma"])),
            "the gradient of gamma has gamma in it: out = gamma x^ + beta is linear in gamma, so "
            "sum grad * x^",
        ),
        Mistake(
            "exchanged",
            by(finish=lambda dx, dgamma, dbeta: (dx, dbeta, dgamma)),
            "the gradients of gamma and beta are exchanged: return (grad_x, grad_gamma, grad_beta)",
        ),
        Mistake(
            "sign",
            by(finish=lambda dx, dgamma, dbeta: (-dx, dgamma, dbeta)),
            "grad_x has the wrong sign",
        ),
        Mistake(
            "in_place",
            in_place,
            "the caller's grad is changed: compute new tensors",
        ),
        Mistake("cast", cast, ONE_DTYPE),
    ),
    variants=(
        Variant("one operation at a time", step_by_step),
        Variant("the Jacobian of each channel", in_columns),
        Variant("a detour by NumPy", in_numpy),
        Variant("from pieces", by()),
    ),
    hints=(
        "Begin with the easy two: out = gamma * xhat + beta gives grad_beta = sum of grad and "
        "grad_gamma = sum of grad * xhat, over everything but the channels.",
        "If mean and std were constants, grad_x would be gamma / std * grad. They depend on x: two "
        "terms are taken out of grad, one for each.",
        "grad_x = gamma / std * (grad - mean(grad) - xhat * mean(grad * xhat)), where the means go "
        "over dim=(0, 2, 3) and keep it.",
    ),
)
