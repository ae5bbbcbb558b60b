"""A 1x1 convolution, its batch norm and the edge's weight as one product of matrices.

With features D (pixels, channels), D W^T is the 1x1 convolution, and its mean and variance over
pixels follow from those of D: mean m W^T and variance diag(W S W^T), where m and S are mean and
covariance of D. So batch norm is known before the convolution is made, and both are D V^T + b with
V = W / sqrt(variance + eps). The gradients below are of this form, with nothing but products of
matrices that read D, and never write the convolution's output or its normalised form.

Several edges are done at once: D is (edges, pixels, channels), W (edges, out, channels).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import Function

from mlcourse.nas.fast_backward import gradients_by_autograd
from mlcourse.nas.fast_extension import compiled
from mlcourse.nas.fast_products import affine2_, affine_, cross

#: What torch's BatchNorm2d adds to variances, and how far it moves running statistics.
EPS, MOMENTUM = 1e-5, 0.1


class Statistics(NamedTuple):
    """What a norm saw, without gradient: mean and variance, (edges, out), and how many pixels."""

    mean: Tensor
    variance: Tensor
    pixels: int


class RunningStatistics:
    """Collects what norms saw, and then moves the running statistics of all of them at once."""

    def __init__(self) -> None:
        self._norms: list[nn.BatchNorm2d] = []
        self._means: list[Tensor] = []
        self._variances: list[Tensor] = []

    def add(self, norms: Sequence[nn.BatchNorm2d], seen: Statistics) -> None:
        """Note the statistics of some norms, (norms, channels), or of all the same, (channels,)."""
        if not norms[0].track_running_stats:
            return
        unbiased = seen.variance * (seen.pixels / (seen.pixels - 1))
        self._norms += norms
        self._means += seen.mean.expand(len(norms), -1).unbind()
        self._variances += unbiased.expand(len(norms), -1).unbind()

    def update(self) -> None:
        """Do what each norm does in training mode."""
        if not self._norms:
            return
        means: list[Any] = [norm.running_mean for norm in self._norms]
        variances: list[Any] = [norm.running_var for norm in self._norms]
        torch._foreach_lerp_(means, self._means, MOMENTUM)
        torch._foreach_lerp_(variances, self._variances, MOMENTUM)
        counts: list[Any] = [norm.num_batches_tracked for norm in self._norms]
        torch._foreach_add_(counts, 1)


def add_normalised(
    total: Tensor, D: Tensor, W: Tensor, weights: Tensor
) -> tuple[Tensor, Statistics]:
    """Add weights * norm(D W^T) to total (edges, pixels * out) in place, and return it.

    weights (edges,) are those of the operation on each edge.
    """
    total, mean, variance = _AddNormalised.apply(total, D, W, weights[:, None])
    return total, Statistics(mean, variance, D.shape[1])


def normalised_relu(D: Tensor, W: Tensor) -> tuple[Tensor, Statistics]:
    """Return relu(norm(D W^T)), (edges, pixels, out); in memory the pixels come first."""
    Z, mean, variance = _NormalisedReLU.apply(D, W)
    return Z, Statistics(mean, variance, D.shape[1])


def standardised(x: Tensor) -> tuple[Tensor, Statistics]:
    """Return norm(x) of images x (N, C, H, W): a batch norm without convolution."""
    out, mean, r = torch.native_batch_norm(x, None, None, None, None, True, 0.0, EPS)
    return out, Statistics(mean.detach(), r.detach() ** -2 - EPS, x.numel() // x.shape[1])


def plain_normalised_relu(D: Tensor, W: Tensor) -> Tensor:
    """Do what `normalised_relu` does with torch's functions."""
    return plain_normalised(D, W).relu()


def plain_normalised(D: Tensor, W: Tensor, scale: Tensor | float = 1) -> Tensor:
    """Return scale * norm(D W^T) (edges, pixels, out) with torch's functions, one after another.

    scale is (edges, 1).
    """
    Y = D @ W.mT
    norm = (Y - Y.mean(1, keepdim=True)) / (Y.var(1, correction=0, keepdim=True) + EPS).sqrt()
    return norm * (scale[:, :, None] if isinstance(scale, Tensor) else scale)


class _Norm:
    """The batch norm of D W^T times scale (edges, 1), known from D (edges, pixels, channels) and W.

    It is D V + b with matrices V (edges, channels, out) and b (edges, 1, out).
    """

    def __init__(self, D: Tensor, W: Tensor, scale: Tensor) -> None:
        functions = compiled(D)
        if functions is not None:
            made = functions.norm(D, W, scale, EPS)
            self.V, self.b, self.m, self.WS, self.mean, self.variance, self.r = made
            return
        self.m = D.mean(1)
        covariance = cross(D, D) / D.shape[1] - self.m[:, :, None] * self.m[:, None]
        self.WS = W @ covariance
        self.mean = (W @ self.m[:, :, None])[:, :, 0]
        self.variance = (self.WS * W).sum(2)
        self.r = (self.variance + EPS).rsqrt()
        scaled = scale * self.r
        self.V, self.b = (scaled[:, :, None] * W).mT, -(scaled * self.mean)[:, None]

    def backward(
        self, G: Tensor, D: Tensor, W: Tensor, scale: Tensor, also_W: bool
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Return the gradients in D, W and scale when the norm times scale has G, as (D W^T).

        With g the mean of G over pixels and q that of G * norm, the gradient in the convolution's
        output is scale * r * (G - g - q * norm).
        """
        functions = compiled(D)
        if functions is not None:
            kept = self.m, self.WS, self.mean, self.r
            return functions.norm_backward(G, D, W, scale, *kept, also_W)  # type: ignore[no-any-return]
        edges, pixels, channels = D.shape
        GD, g = cross(G, D) / pixels, G.mean(1)
        q = self.r * ((GD * W).sum(2) - self.mean * g)
        rq = (self.r * q)[:, :, None]
        into_W = None
        if also_W:
            into_W = GD - g[:, :, None] * self.m[:, None] - rq * self.WS
            into_W *= pixels * (scale * self.r)[:, :, None]
        # In memory the pixels come first, as they do in D.
        into_D = D.new_empty(pixels, edges, channels).transpose(0, 1)
        constant = self.r * q * self.mean - g
        affine2_(into_D, constant[:, None] @ self.V.mT, G, self.V.mT, D, self.V @ (-rq * W))
        return into_D, into_W, pixels * q.sum(1, keepdim=True)


class _AddNormalised(Function):
    @staticmethod
    def forward(
        ctx: Any, total: Tensor, D: Tensor, W: Tensor, scale: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        ctx.norm = norm = _Norm(D, W, scale)
        ctx.save_for_backward(D, W, scale)
        ctx.mark_dirty(total)
        ctx.mark_non_differentiable(norm.mean, norm.variance)
        affine_(total.view(D.shape[0], D.shape[1], -1), norm.b, D, norm.V, add=True)
        return total, norm.mean, norm.variance

    @staticmethod
    def backward(ctx: Any, G: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        D, W, scale = ctx.saved_tensors
        by_edge = G.reshape(len(D), D.shape[1], -1)
        if torch.is_grad_enabled():
            return G, *gradients_by_autograd(plain_normalised, (D, W, scale), by_edge)
        return G, *ctx.norm.backward(by_edge, D, W, scale, ctx.needs_input_grad[2])


class _NormalisedReLU(Function):
    @staticmethod
    def forward(ctx: Any, D: Tensor, W: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        ctx.norm = norm = _Norm(D, W, torch.ones_like(W[:, :1, 0]))
        Z = D.new_empty(D.shape[1], len(W), W.shape[1]).transpose(0, 1)
        affine_(Z, norm.b, D, norm.V)
        Z.relu_()
        ctx.save_for_backward(D, W, Z)
        ctx.mark_non_differentiable(norm.mean, norm.variance)
        return Z, norm.mean, norm.variance

    @staticmethod
    def backward(ctx: Any, G: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        D, W, Z = ctx.saved_tensors
        if torch.is_grad_enabled():
            return gradients_by_autograd(plain_normalised_relu, (D, W), G)
        G, one = torch.ops.aten.threshold_backward(G, Z, 0), torch.ones_like(W[:, :1, 0])
        into_D, into_W, _ = ctx.norm.backward(G, D, W, one, ctx.needs_input_grad[1])
        return into_D, into_W
