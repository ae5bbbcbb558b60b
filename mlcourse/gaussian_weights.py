"""A Gaussian for each weight of a dense layer: its divergence from a prior, and draws of outputs.

The posterior Q is independent for each weight, N(mean, sigma^2); the prior P is N(0, 1 / precision)
with one precision for a group of weights. Both are learned. Natural logarithms, so nats.
"""

from __future__ import annotations

import math
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: The weights that share one prior precision: those into a unit of the layer, with its bias
#: ("incoming"); those that one input, or the constant input of the biases, sends out ("outgoing");
#: or all.
Groups = Literal["incoming", "outgoing", "layer"]


def gaussian_kl(mean: Tensor, log_sigma: Tensor, log_precision: Tensor) -> Tensor:
    """Return KL(N(mean, sigma^2) || N(0, 1 / precision)) of each weight, in nats.

    (a (m^2 + s^2) - 1 - log(a s^2)) / 2 with the precision a: 0 where the two are equal, with the
    gradients a m at m, a s^2 - 1 at log s and (a (m^2 + s^2) - 1) / 2 at log a. The shapes
    broadcast. Source: Graves, Practical variational inference for neural networks, 2011,
    equation 18.
    """
    square = log_precision.exp() * (mean.square() + (2 * log_sigma).exp())
    return (square - 1 - log_precision - 2 * log_sigma) / 2


def signal_to_noise(mean: Tensor, log_sigma: Tensor, dim: int) -> Tensor:
    """Return the root of the mean of (mean / sigma)^2 along `dim`.

    The ratio |mean| / sigma of one weight is Graves's rule for pruning (2011, section 6).
    """
    return (mean / log_sigma.exp()).square().mean(dim).sqrt()


def noise(like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return numbers from N(0, 1) of the shape, dtype and device of a tensor."""
    return torch.randn(like.shape, dtype=like.dtype, device=like.device, generator=generator)


class GaussianDense(nn.Module):
    """A dense layer of weights N(mean, sigma^2), each group with its own prior precision.

    `mean` and `log_sigma` are (n_out, n_in + 1): the last column holds the biases, the weights of
    an input that is always 1. `log_precision` is (n_out, 1), (1, n_in + 1) or (1, 1), as `groups`
    says; it begins at 0. The means begin at N(0, 1 / n_in), the biases at 0, all sigmas at `sigma`.
    Raises ValueError for sizes below 1, a sigma that is not positive, or unknown groups.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        groups: Groups = "outgoing",
        sigma: float = 0.05,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check(n_in, n_out, groups, sigma)
        self.groups: Groups = groups
        mean = torch.randn(n_out, n_in + 1, dtype=dtype, generator=generator) / math.sqrt(n_in)
        mean[:, -1] = 0
        shapes = {"incoming": (n_out, 1), "outgoing": (1, n_in + 1), "layer": (1, 1)}
        self.mean = nn.Parameter(mean)
        self.log_sigma = nn.Parameter(torch.full_like(mean, math.log(sigma)))
        self.log_precision = nn.Parameter(mean.new_zeros(shapes[groups]))

    def forward(self, X: Tensor) -> Tensor:
        """Return the outputs (N, n_out) of the mean weights for X (N, n_in)."""
        return _with_one(X) @ self.mean.T

    def moments(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the variance (N, n_out) of the outputs when the weights are random.

        Given X (N, n_in) the outputs are exactly Gaussian, and those of two units independent.
        Source: Kingma, Salimans and Welling, Variational dropout and the local
        reparameterization trick, 2015, equation 6.
        """
        X = _with_one(X)
        return X @ self.mean.T, X.square() @ (2 * self.log_sigma).exp().T

    def draw_weights(self, generator: torch.Generator | None = None) -> Tensor:
        """Return weights (n_out, n_in + 1) from Q, mean + sigma * noise, with their gradients."""
        return self.mean + self.log_sigma.exp() * noise(self.mean, generator)

    def draw(
        self, X: Tensor, generator: torch.Generator | None = None, local: bool = True
    ) -> Tensor:
        """Return random outputs (N, n_out) for X (N, n_in).

        With `local` each example has weights of its own: what is drawn is the output, from its
        `moments`. Otherwise the whole batch shares one draw of the weights. Both have the same
        mean gradient; the local one has less noise.
        """
        if not local:
            return _with_one(X) @ self.draw_weights(generator).T
        mean, variance = self.moments(X)
        return mean + variance.sqrt() * noise(mean, generator)

    def kl(self) -> Tensor:
        """Return the divergence of each weight from its prior, (n_out, n_in + 1), in nats."""
        return gaussian_kl(self.mean, self.log_sigma, self.log_precision)

    def group_kl(self) -> Tensor:
        """Return the divergence of each group, in nats, in the shape of `log_precision`."""
        return self.kl().sum_to_size(self.log_precision.shape)

    @torch.no_grad()
    def update_precision_(self) -> None:
        """Set each precision to the one that makes the group's divergence smallest.

        1 / precision is the mean over the group of mean^2 + sigma^2: there the derivative at
        log_precision is 0. Source: MacKay, Bayesian interpolation, 1992, section 4, whose update
        is a fixed point of this one.
        """
        square = self.mean.square() + (2 * self.log_sigma).exp()
        shape = self.log_precision.shape
        size = torch.ones_like(square).sum_to_size(shape)
        self.log_precision.copy_((size / square.sum_to_size(shape)).log())

    def part(self, outputs: Tensor, inputs: Tensor) -> GaussianDense:
        """Return the layer of the chosen outputs and inputs only; the biases stay.

        `outputs` (n_out,) and `inputs` (n_in,) are masks of booleans. Nothing is shared with this
        layer.
        """
        columns = torch.cat([inputs, inputs.new_ones(1)])
        every = torch.ones(1, dtype=torch.bool, device=inputs.device)
        small = GaussianDense(1, 1, groups=self.groups)
        for name, parameter in self.named_parameters():
            rows = outputs if len(parameter) == len(outputs) else every
            kept = parameter.detach()[rows]
            kept = kept[:, columns if kept.shape[1] == len(columns) else every]
            setattr(small, name, nn.Parameter(kept))
        return small


def _with_one(X: Tensor) -> Tensor:
    return F.pad(X, (0, 1), value=1.0)


def _check(n_in: int, n_out: int, groups: str, sigma: float) -> None:
    if min(n_in, n_out) < 1:
        raise ValueError(f"the layer has {n_in} inputs and {n_out} outputs: give 1 or more of each")
    if groups not in get_args(Groups):
        raise ValueError(f"groups is {groups!r}: choose one of {', '.join(get_args(Groups))}")
    if not 0 < sigma < math.inf:
        raise ValueError(f"sigma is {sigma}: give a positive, finite standard deviation")
