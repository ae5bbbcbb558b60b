"""Layers whose weights respond to the hyper-parameters, for self-tuning networks.

The best weights w*(h) move as the hyper-parameters h do. A hyper-layer models that movement with
an affine function: row i of its weights is W_i + (V h)_i R_i, with one more matrix R of the size of
W and a small matrix V. Each row moves along one line, its own, by an amount linear in h. Because a
row is only scaled, every example of a batch can have its own h at the cost of two products.
Source: MacKay et al., Self-tuning networks, 2019 (there h is not measured from its start,
and the response of the biases is a product of two factors).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class HyperParameters(nn.Module):
    """Dropout rates and weight penalties by name, with the scale of their perturbation, learned.

    Each is a number h without bounds: 0 at the start, a rate is sigmoid(logit(start) + h), a
    penalty start * exp(h). `location` (n,) holds the h, rates first; `scale` (n,) the standard
    deviations of the perturbation. Raises ValueError for a rate outside (0, 1), or a penalty or
    scale that is not positive.
    """

    start: Tensor

    def __init__(
        self,
        rates: Mapping[str, float] | None = None,
        penalties: Mapping[str, float] | None = None,
        scale: float = 0.5,
    ) -> None:
        super().__init__()
        rates, penalties = dict(rates or {}), dict(penalties or {})
        _check_starts(rates, penalties, scale)
        self.names = [*rates, *penalties]
        self._n_rates = len(rates)
        starts = [math.log(p / (1 - p)) for p in rates.values()]
        starts += [math.log(lam) for lam in penalties.values()]
        self.register_buffer("start", torch.tensor(starts))
        self.location = nn.Parameter(torch.zeros(len(starts)))
        # softplus of it is the scale.
        self.raw_scale = nn.Parameter(torch.full((len(starts),), math.log(math.expm1(scale))))

    @property
    def scale(self) -> Tensor:
        """The standard deviations of the perturbation, (n,)."""
        return F.softplus(self.raw_scale)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw (n, len(names)) values of h around the location: differentiable in both."""
        shape = (n, len(self.names))
        noise = torch.randn(shape, generator=generator, dtype=self.start.dtype)
        return self.location + self.scale * noise.to(self.location.device)

    def entropy(self) -> Tensor:
        """The entropy of the perturbation in nats, (): it grows with each scale."""
        return (self.scale.log() + 0.5 * math.log(2 * math.pi * math.e)).sum()

    def column(self, name: str) -> int:
        """Return the place of a name in h. Raises ValueError for a name that is not there."""
        if name not in self.names:
            raise ValueError(f"there is no {name!r}: the names are {', '.join(self.names)}")
        return self.names.index(name)

    def value(self, name: str, h: Tensor) -> Tensor:
        """Return the rate or penalty itself, (...,), for h (..., n)."""
        column = self.column(name)
        raw = self.start[column] + h[..., column]
        return raw.sigmoid() if column < self._n_rates else raw.exp()

    def numbers(self) -> dict[str, float]:
        """The value of each at the location, and its scale under NAME_scale."""
        with torch.no_grad():
            values = {name: float(self.value(name, self.location)) for name in self.names}
            scales = zip(self.names, self.scale.tolist(), strict=True)
            return {**values, **{f"{name}_scale": scale for name, scale in scales}}


class HyperLayer(nn.Module):
    """What dense and convolutional hyper-layers share: weights W + (V h) R and biases b + C h.

    V and C begin at zero, so that at first the layer is an ordinary one, with torch's own W and b
    and torch's seed; R begins equal to W, so that a row first learns to be scaled by h. As V
    multiplies R, Adam suits them better than one rate for all. `penalty` names the hyper-parameter
    of the layer's penalty.
    """

    def __init__(self, layer: nn.Linear | nn.Conv2d, n_hyper: int, penalty: str | None) -> None:
        super().__init__()
        if n_hyper < 1:
            raise ValueError(f"n_hyper is {n_hyper}: give 1 or more, or take an ordinary layer")
        self.penalty = penalty
        self.weight, self.bias = layer.weight, layer.bias
        self.direction = nn.Parameter(layer.weight.detach().clone())
        self.response = nn.Parameter(torch.zeros(len(self.weight), n_hyper))
        self.bias_response = None if self.bias is None else nn.Parameter(self.response.clone())

    def at(self, h: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the weights and biases for one h (n_hyper,)."""
        share = (self.response @ h).view(-1, *[1] * (self.weight.ndim - 1))
        weight = self.weight + share * self.direction
        if self.bias is None or self.bias_response is None:
            return weight, None
        return weight, self.bias + self.bias_response @ h

    def squares(self, h: Tensor) -> Tensor:
        """Return the sum of the squared weights, without biases: (N,) for h (N, n_hyper).

        From three sums a row, as |W_i + t R_i|^2 = |W_i|^2 + 2 t W_i . R_i + t^2 |R_i|^2.
        """
        W, R = self.weight.flatten(1), self.direction.flatten(1)
        t = h @ self.response.T
        return (W * W).sum() + (2 * t * (W * R).sum(1) + t**2 * (R * R).sum(1)).sum(-1)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Apply the layer to x (N, ...), with h (N, n_hyper), or (n_hyper,) for all examples."""
        t = h @ self.response.T
        shape = (*t.shape, *[1] * (self.weight.ndim - 2))
        out = self._apply_weight(x, self.weight, self.bias)
        out = out + t.view(shape) * self._apply_weight(x, self.direction, None)
        if self.bias_response is None:
            return out
        return out + (h @ self.bias_response.T).view(shape)

    def _apply_weight(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        raise NotImplementedError


class HyperLinear(HyperLayer):
    """A dense layer (N, n_in) -> (N, n_out) whose weights respond to h.

    Raises ValueError for n_hyper below 1.
    """

    def __init__(
        self,
        n_in: int,
        n_out: int,
        n_hyper: int,
        *,
        bias: bool = True,
        penalty: str | None = None,
    ) -> None:
        super().__init__(nn.Linear(n_in, n_out, bias=bias), n_hyper, penalty)

    def _apply_weight(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)


class HyperConv2d(HyperLayer):
    """A convolution (N, C, H, W) whose filters respond to h: a filter is a row of the weights.

    Raises ValueError for n_hyper below 1.
    """

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel_size: int,
        n_hyper: int,
        *,
        stride: int = 1,
        padding: int = 0,
        bias: bool = True,
        penalty: str | None = None,
    ) -> None:
        super().__init__(nn.Conv2d(c_in, c_out, kernel_size, bias=bias), n_hyper, penalty)
        self.stride, self.padding = stride, padding

    def _apply_weight(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(x, weight, bias, self.stride, self.padding)


class HyperDropout(nn.Module):
    """Inverted dropout whose rate is a hyper-parameter, with each example's own rate from its h.

    In evaluation mode it does nothing. The generator draws the masks, torch's own if not given.
    """

    def __init__(
        self, hypers: HyperParameters, name: str, generator: torch.Generator | None = None
    ) -> None:
        super().__init__()
        self._column = hypers.column(name)
        self._start = float(hypers.start[self._column])
        self.generator = generator

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Drop entries of x (N, ...), with h (N, n_hyper), or (n_hyper,) for all examples."""
        if not self.training:
            return x
        # A mask has no derivative, and training moves weights only: the rate is a constant.
        rate = (self._start + h.detach()[..., self._column]).sigmoid()
        rate = rate.view(*rate.shape, *[1] * (x.ndim - 1)) if rate.ndim else rate
        where = self.generator.device if self.generator else x.device
        drawn = torch.rand(x.shape, generator=self.generator, device=where, dtype=x.dtype)
        return x * (drawn.to(x.device) >= rate) / (1 - rate)


def _check_starts(rates: dict[str, float], penalties: dict[str, float], scale: float) -> None:
    if not rates and not penalties:
        raise ValueError("there are no hyper-parameters: give a rate or a penalty by name")
    if shared := rates.keys() & penalties.keys():
        raise ValueError(f"{min(shared)!r} is a rate and a penalty: give each its own name")
    for name, rate in rates.items():
        if not 0 < rate < 1:
            raise ValueError(f"{name} is {rate}: start a rate between 0 and 1, both left out")
    for name, number in {**penalties, "scale": scale}.items():
        if not 0 < number < math.inf:
            raise ValueError(f"{name} is {number}: give a positive, finite number")
