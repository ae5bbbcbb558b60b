"""Which hidden units a variational network needs, and the smaller network of only those.

A unit needs weights that say something: both those into it, with its bias, and those out of it. If
either side's posterior equals its prior, the unit can go. Sources: Hinton and van Camp, Keeping
neural networks simple, 1993; Graves, Practical variational inference for neural networks, 2011,
section 6, for the signal to noise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor

from mlcourse.gaussian_weights import GaussianDense, signal_to_noise
from mlcourse.variational import VariationalMLP


@torch.no_grad()
def unit_kl(model: VariationalMLP) -> list[Tensor]:
    """Return the KL, in nats, of the weights into and out of each unit: (units, 2) a hidden layer.

    In a deep network a weight between two hidden layers counts for both of its units.
    """
    return _both_sides(model, lambda layer, dim: layer.kl().sum(dim))


@torch.no_grad()
def unit_signal_to_noise(model: VariationalMLP) -> list[Tensor]:
    """Return the `signal_to_noise` of the weights into and out of each unit, as `unit_kl` does.

    Where one precision, at its optimum, belongs to n weights of one sigma, their KL is
    n log(1 + ratio^2) / 2.
    """
    return _both_sides(model, lambda layer, dim: signal_to_noise(layer.mean, layer.log_sigma, dim))


def _both_sides(
    model: VariationalMLP, measure: Callable[[GaussianDense, int], Tensor]
) -> list[Tensor]:
    return [
        torch.stack([measure(before, 1), measure(after, 0)[:-1]], dim=1)
        for before, after in pairwise(model.dense)
    ]


def needed(measured: Sequence[Tensor], threshold: float) -> list[Tensor]:
    """Return for each hidden layer a mask (units,): true where both sides reach the threshold.

    `measured` is what `unit_kl` or `unit_signal_to_noise` returns. Raises ValueError when the
    threshold is negative.
    """
    if not threshold >= 0:
        raise ValueError(f"threshold is {threshold}: give 0 or a positive number")
    return [sides.amin(1) >= threshold for sides in measured]


def prune(model: VariationalMLP, keep: Sequence[Tensor]) -> VariationalMLP:
    """Return a copy of the network with only the chosen hidden units; `model` stays as it is.

    `keep` is a mask (units,) for each hidden layer. Where the removed weights' means out of, or
    into, a unit are 0, the outputs of the mean weights do not change. Raises ValueError when the
    masks do not fit.
    """
    if [len(mask) for mask in keep] != model.hidden:
        raise ValueError(
            f"keep has masks of {[len(mask) for mask in keep]} units: the network's hidden layers "
            f"have {model.hidden}"
        )
    first, last = model.dense[0].mean[0, :-1], model.dense[-1].mean[:, 0]
    masks = [torch.ones_like(first).bool(), *keep, torch.ones_like(last).bool()]
    layers = [
        layer.part(outputs, inputs)
        for layer, (inputs, outputs) in zip(model.dense, pairwise(masks), strict=True)
    ]
    return model.with_layers(layers)
