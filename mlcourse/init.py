"""How to draw the first weights, and what they do to the variances from layer to layer.

Weights W are those of a dense layer, (n_out, n_in), or of a convolution, (n_out, n_in, k, ...).
A function whose name ends in `_` fills W in place, without a gradient, and returns it. Numbers are
drawn where the generator lives, so one on the CPU gives a model on a GPU the same weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Rule(Protocol):
    """A function such as `he_`, or `functools.partial(glorot_, gain=4)`."""

    def __call__(self, W: Tensor, *, generator: torch.Generator | None) -> Tensor: ...


def fans(W: Tensor) -> tuple[int, int]:
    """Return fan_in, how many numbers make one output, and fan_out, how many outputs one goes into.

    (n_in, n_out) for a dense layer; for a convolution each times the number of positions of its
    kernel. With groups, or a stride above 1, the true fan_out is smaller: W does not tell. Raises
    ValueError for W with fewer than two dimensions, or without any number.
    """
    if W.ndim < 2 or W.numel() == 0:
        raise ValueError(
            f"W has shape {tuple(W.shape)}: give a layer's weights, (n_out, n_in) or "
            "(n_out, n_in, k, ...)"
        )
    positions = math.prod(W.shape[2:])
    return W.shape[1] * positions, W.shape[0] * positions


@torch.no_grad()
def glorot_(W: Tensor, gain: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Draw W uniformly from +-gain sqrt(6 / (fan_in + fan_out)): variance 2 gain^2 over their sum.

    As long as activations are small, gain 1 keeps the variances about the same, forward and
    backward, for an activation with slope 1 at 0, such as tanh. The tutorials of Theano took gain 4
    for sigmoid, one over its slope at 0; there the variances do not stay the same. Raises
    ValueError as `fans` does, and for a gain that is not positive. Source: Glorot and Bengio,
    Understanding the difficulty of training deep feedforward neural networks, 2010, equation 16.
    """
    _check_gain(gain)
    limit = gain * math.sqrt(6 / sum(fans(W)))
    return W.copy_(_like(W, generator).uniform_(-limit, limit, generator=generator))


@torch.no_grad()
def he_(W: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draw W from N(0, 2 / fan_in): the 2 makes up for the half that a ReLU sets to zero.

    Raises ValueError as `fans` does. Source: He et al., Delving deep into rectifiers, 2015,
    equation 10.
    """
    std = math.sqrt(2 / fans(W)[0])
    return W.copy_(_like(W, generator).normal_(0, std, generator=generator))


@torch.no_grad()
def orthogonal_(W: Tensor, gain: float = 1.0, generator: torch.Generator | None = None) -> Tensor:
    """Draw W, as a matrix (n_out, fan_in), from all those with orthogonal rows or columns.

    Of rows and columns the fewer are orthogonal, of length `gain`: with gain 1 a square matrix
    keeps all lengths, and so does a product of many. Every such matrix is equally likely. Raises
    ValueError as `fans` does, and for a gain that is not positive. Source: Saxe et al., Exact
    solutions to the nonlinear dynamics of learning in deep linear neural networks, 2014, section 3.
    """
    fans(W)  # for what it refuses
    _check_gain(gain)
    normal = _like(W, generator).normal_(generator=generator).flatten(1)
    tall = normal.shape[0] >= normal.shape[1]
    Q = _orthonormal(normal) if tall else _orthonormal(normal.T).T
    return W.copy_(gain * Q.reshape(W.shape))


def _orthonormal(normal: Tensor) -> Tensor:
    """Return Q of QR, the one whose R has a positive diagonal.

    Without this choice Q would depend on the signs that an implementation prefers. With it
    Q(U A) = U Q(A) for each orthogonal U; A and U A are equally likely for normal A, so Q and U Q
    are. Source: Mezzadri, How to generate random matrices from the classical compact groups, 2007.
    """
    Q, R = torch.linalg.qr(normal)
    signed: Tensor = Q * torch.where(R.diagonal() < 0, -1.0, 1.0).to(Q)
    return signed


def _like(W: Tensor, generator: torch.Generator | None) -> Tensor:
    where = generator.device if generator else W.device
    return torch.empty(W.shape, dtype=W.dtype, device=where)


def _check_gain(gain: float) -> None:
    if not gain > 0:
        raise ValueError(f"gain is {gain}: give a positive factor")


def initialise(model: nn.Module, rule: Rule, generator: torch.Generator | None = None) -> nn.Module:
    """Fill the weights of each dense and convolutional layer by a rule, and their biases with 0.

    Other layers, such as batch norm, stay as they are. Returns the model. Raises ValueError when
    it has no such layer.
    """
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    layers = [module for module in model.modules() if isinstance(module, kinds)]
    if not layers:
        raise ValueError(
            f"{type(model).__name__} has no dense or convolutional layer: give a model with one"
        )
    for layer in layers:
        rule(layer.weight, generator=generator)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
    return model


@dataclass(frozen=True)
class LayerVariances:
    """One entry for each call of a layer, in the order of the forward pass.

    `names` are those of `named_modules`, `kinds` the classes ("Linear", "ReLU"). `forward` is the
    variance of the layer's output, `backward` that of the loss's gradient with respect to it, each
    over all examples and units together. `signal` is the part of `forward` that tells examples
    apart: the variance of each output over the examples, its mean over the units; the rest, which
    can hide a signal that is lost, are units with different means. `dead` is, for a ReLU, the
    fraction of its units (channels of a convolution) that give 0 for every example, else None.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    forward: tuple[float, ...]
    signal: tuple[float, ...]
    backward: tuple[float, ...]
    dead: tuple[float | None, ...]

    def of(self, kind: str) -> LayerVariances:
        """Return the entries of one kind: of("Linear") are pre-activations, of("Tanh") activations.

        Raises ValueError when there are none.
        """
        if kind not in self.kinds:
            raise ValueError(
                f"there is no layer of kind {kind!r}: choose from "
                f"{', '.join(dict.fromkeys(self.kinds))}"
            )
        columns = (getattr(self, field.name) for field in fields(self))
        return _table(row for row in zip(*columns, strict=True) if row[1] == kind)


def layer_variances(model: nn.Module, X: Tensor, loss: Callable[[Any], Tensor]) -> LayerVariances:
    """Run a model forward and backward once and return the variances at each of its layers.

    A layer is a module without modules inside, called with any input, whose output is a tensor
    (N, units) or (N, channels, ...). `loss` takes the model's output and returns one number. The
    model runs in the mode it is in; its parameters, gradients, buffers, hooks, and torch's random
    numbers stay as they were. Raises ValueError when the loss is not a single number.
    """
    seen: list[tuple[str, nn.Module, Tensor]] = []
    handles = [
        module.register_forward_hook(partial(_watch, seen, name or type(module).__name__))
        for name, module in model.named_modules()
        if not list(module.children())
    ]
    buffers = {name: buffer.clone() for name, buffer in model.named_buffers()}
    try:
        # Batch norm moves its running means, so it gets copies; dropout draws.
        with torch.random.fork_rng([X.device] if X.is_cuda else []), torch.enable_grad():
            value = loss(torch.func.functional_call(model, buffers, (X,)))
    finally:
        for handle in handles:
            handle.remove()
    if value.numel() != 1:
        raise ValueError(
            f"the loss has shape {tuple(value.shape)}: give one that returns a single number"
        )
    grads = torch.autograd.grad(value, [h for _, _, h in seen], materialize_grads=True)
    return _table(_row(*layer, grad) for layer, grad in zip(seen, grads, strict=True))


def _watch(
    seen: list[tuple[str, nn.Module, Tensor]], name: str, module: nn.Module, _: Any, output: Any
) -> Tensor | None:
    if not (isinstance(output, Tensor) and output.is_floating_point()):
        return None
    # A network that is frozen, in whole or in part, has gradients at its layers all the same.
    watched = output if output.requires_grad else output.detach().requires_grad_()
    seen.append((name, module, watched))
    return watched.clone()  # a layer that works in place, such as ReLU(inplace=True), may follow


_Row = tuple[str, str, float, float, float, float | None]


def _row(name: str, module: nn.Module, output: Tensor, grad: Tensor) -> _Row:
    # In float64: 20 layers of sigmoid take the squares out of float32's range.
    output, grad, dead = output.detach().double(), grad.double(), None
    if isinstance(module, nn.ReLU):
        others = tuple(dim for dim in range(output.ndim) if dim != 1)
        dead = float((output != 0).any(others).logical_not().double().mean())
    forward, signal = output.var(correction=0), output.var(0, correction=0).mean()
    backward = grad.var(correction=0)
    return name, type(module).__name__, float(forward), float(signal), float(backward), dead


def _table(rows: Iterable[_Row]) -> LayerVariances:
    columns = zip(*rows, strict=True)
    return LayerVariances(*columns)
