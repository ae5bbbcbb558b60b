"""Dropout, batch normalisation, max-norm and label smoothing, written out.

The other means against overfitting and exploding gradients can be had from here too: penalties
and their proximal steps, clipping, and early stopping.

Activations are (N, C) or (N, C, H, W) with N examples and C features or channels. Results have
the dtype and the device of what comes in, and follow torch's own definitions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mlcourse.clipping import clip_by_norm_, clip_by_value_
from mlcourse.early_stopping import EarlyStopping
from mlcourse.penalties import (
    elastic_net_penalty,
    elastic_net_prox_,
    l1_penalty,
    l2_penalty,
    shrink_,
    soft_threshold_,
)

__all__ = [
    "BatchNorm",
    "BatchNormCache",
    "EarlyStopping",
    "batch_norm_backward",
    "batch_norm_forward",
    "clip_by_norm_",
    "clip_by_value_",
    "dropout",
    "elastic_net_penalty",
    "elastic_net_prox_",
    "l1_penalty",
    "l2_penalty",
    "label_smoothing_cross_entropy",
    "max_norm_",
    "shrink_",
    "soft_threshold_",
]


def dropout(
    x: Tensor,
    p: float,
    *,
    training: bool = True,
    inverted: bool = True,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Set each entry of x to zero with probability p, so keep it with q = 1 - p.

    Inverted dropout divides what it keeps by q in training and returns x at test time, as torch
    does. Classic dropout only masks in training and multiplies by q at test time (not by p).
    Either way the next layer gets the same mean in both. Any shape. Raises ValueError for p
    outside [0, 1]. Source: Srivastava et al., Dropout, 2014, section 4 and, for the inverted
    form, section 10.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"p is {p}: give the probability to drop, from 0 to 1")
    q = 1 - p
    if not training:
        return x if inverted else x * q
    where = generator.device if generator else x.device
    keep = torch.rand(x.shape, generator=generator, device=where).to(x.device) >= p
    # With q = 0 nothing is kept: any factor will do.
    return x * keep / (q or 1) if inverted else x * keep


class BatchNormCache(NamedTuple):
    """What the backward pass of batch normalisation needs, and the batch's statistics (C,)."""

    x_hat: Tensor
    std: Tensor
    gamma: Tensor
    mean: Tensor
    var: Tensor


def batch_norm_forward(
    x: Tensor, gamma: Tensor, beta: Tensor, eps: float = 1e-5
) -> tuple[Tensor, BatchNormCache]:
    """Normalise each channel over the batch, then scale by gamma and shift by beta, both (C,).

    x_hat = (x - mean) / sqrt(var + eps), with the mean and the *biased* variance of a channel over
    all examples and positions; out = gamma x_hat + beta, in the shape of x. The cache is for
    `batch_norm_backward`. Raises ValueError when a channel has a single number, whose variance
    says nothing, or gamma and beta are not (C,). Source: Ioffe and Szegedy, Batch normalization,
    2015, algorithm 1.
    """
    count = _count(x, gamma, beta)
    if count < 2:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, one number a channel: its variance is zero, so train "
            "on at least 2 examples a batch"
        )
    dims, channel = _axes(x)
    mean = x.mean(dims)
    centred = x - mean.view(channel)
    var = centred.square().mean(dims)
    std = torch.sqrt(var + eps)
    x_hat = centred / std.view(channel)
    out = gamma.view(channel) * x_hat + beta.view(channel)
    return out, BatchNormCache(x_hat, std, gamma, mean, var)


def batch_norm_backward(grad: Tensor, cache: BatchNormCache) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients for x (its shape), gamma (C,) and beta (C,), given that for `out`.

    Each x moves the mean and the variance of its channel too, which takes two terms away:
    grad_x = gamma / std * (grad - mean(grad) - x_hat * mean(grad * x_hat)), the means over the
    channel. Source: Ioffe and Szegedy, 2015, section 3, simplified.
    """
    dims, channel = _axes(grad)
    x_hat, std, gamma = cache.x_hat, cache.std, cache.gamma
    grad_beta = grad.sum(dims)
    grad_gamma = (grad * x_hat).sum(dims)
    count = grad.numel() // len(gamma)
    through_mean = (grad_beta / count).view(channel)
    through_std = x_hat * (grad_gamma / count).view(channel)
    grad_x = (gamma / std).view(channel) * (grad - through_mean - through_std)
    return grad_x, grad_gamma, grad_beta


class BatchNorm(nn.Module):
    """Batch normalisation as a layer, for (N, C) and (N, C, H, W), trained by the code above.

    In training it normalises with the batch's statistics and moves the running ones towards them,
    running <- (1 - momentum) running + momentum batch, with the *unbiased* variance; in
    evaluation it uses the running ones, so each example's output is its own. The parameters
    `weight` (gamma) and `bias` (beta) are (C,).
    """

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        count = _count(x, self.weight, self.bias)
        if not self.training:
            _, channel = _axes(x)
            std = torch.sqrt(self.running_var + self.eps).view(channel)
            x_hat = (x - self.running_mean.view(channel)) / std
            return self.weight.view(channel) * x_hat + self.bias.view(channel)
        out, mean, var = _ByHand.apply(x, self.weight, self.bias, self.eps)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var * count / (count - 1), self.momentum)
        return out


class _ByHand(torch.autograd.Function):
    """Tells autograd to use our backward pass, which it can differentiate again."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, gamma: Tensor, beta: Tensor, eps: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        out, cache = batch_norm_forward(x, gamma, beta, eps)
        ctx.save_for_backward(x, beta, *cache)
        ctx.eps = eps
        ctx.mark_non_differentiable(cache.mean, cache.var)
        return out, cache.mean, cache.var

    @staticmethod
    def backward(  # type: ignore[override]
        ctx: Any, grad: Tensor, grad_mean: Tensor, grad_var: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, None]:
        x, beta, *saved = ctx.saved_tensors
        cache = BatchNormCache(*saved)
        if torch.is_grad_enabled():
            # For second derivatives the cache has to be a function of x; the saved one is constant.
            _, cache = batch_norm_forward(x, cache.gamma, beta, ctx.eps)
        return *batch_norm_backward(grad, cache), None


def _axes(x: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The dimensions that share a channel's statistics, and the shape that spreads (C,) over x."""
    return (0, *range(2, x.ndim)), (1, -1, *(1,) * (x.ndim - 2))


def _count(x: Tensor, gamma: Tensor, beta: Tensor) -> int:
    """How many numbers of x there are for each channel."""
    if x.ndim < 2 or gamma.shape != x.shape[1:2] or beta.shape != x.shape[1:2]:
        raise ValueError(
            f"x has shape {tuple(x.shape)}, gamma {tuple(gamma.shape)} and beta "
            f"{tuple(beta.shape)}: x must be (N, C, ...) and the others (C,)"
        )
    return x.numel() // x.shape[1]


def max_norm_(weight: Tensor, limit: float) -> Tensor:
    """Scale down, in place, each neuron's weights whose Euclidean norm is above the limit.

    A neuron's weights are a row of a dense layer's `weight` (n_out, n_in), and a filter of a
    convolution's. Use it after each step; `optimizer.register_step_post_hook` can call it.
    Returns `weight`. Raises ValueError when the limit is not positive or weight is a vector.
    Source: Srivastava et al., Dropout, 2014, section 5.1.
    """
    if not limit > 0:
        raise ValueError(f"limit is {limit}: give a positive norm")
    if weight.ndim < 2:
        raise ValueError(
            f"weight has shape {tuple(weight.shape)}: give a layer's weights, one row a neuron"
        )
    with torch.no_grad():
        norms = weight.flatten(1).norm(dim=1)
        # As torch.renorm: the small number keeps rounding from leaving a norm above the limit.
        factors = torch.where(norms > limit, limit / (norms + 1e-7), 1.0)
        return weight.mul_(factors.view(-1, *(1,) * (weight.ndim - 1)))


def label_smoothing_cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Return the mean cross-entropy (in nats) against labels that are softened.

    Each of the C classes gets smoothing / C, and the label's the rest, 1 - smoothing, as well.
    `logits` is (N, C), `labels` (N,) holds class indices. Raises ValueError for other shapes and
    for smoothing outside [0, 1]. Source: Szegedy et al., Rethinking the Inception architecture,
    2016, section 7.
    """
    if not 0 <= smoothing <= 1:
        raise ValueError(f"smoothing is {smoothing}: give a number from 0 to 1")
    if logits.ndim != 2 or labels.shape != logits.shape[:1]:
        raise ValueError(
            f"logits have shape {tuple(logits.shape)} and labels {tuple(labels.shape)}: give "
            "(N, C) and (N,)"
        )
    log_p = torch.log_softmax(logits, dim=1)
    of_label = log_p.gather(1, labels[:, None]).squeeze(1)
    return -((1 - smoothing) * of_label + smoothing * log_p.mean(1)).mean()
