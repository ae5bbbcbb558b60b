"""Many small networks on scikit-learn's digits, trained at once: a search task with real noise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from mlcourse import data

#: What a configuration that does not say it gets.
DEFAULTS = {"lr": 0.1, "momentum": 0.0, "width": 32, "weight_decay": 0.0, "smoothing": 0.0}


class Errors(NamedTuple):
    """Fractions of wrong answers after each epoch, (networks, epochs), float64."""

    val: NDArray[np.float64]
    test: NDArray[np.float64]


@dataclass(frozen=True)
class _Networks:
    """Networks side by side: inputs (n, B, 64), widths padded to the largest and masked."""

    weights: list[Tensor]  # (n, 64, width), (n, 1, width), (n, width, 10), (n, 1, 10)
    mask: Tensor  # (n, 1, width): 1 for units that exist

    def hidden(self, X: Tensor) -> Tensor:
        W, b, *_ = self.weights
        return torch.baddbmm(b, X, W).relu_().mul_(self.mask)

    def logits(self, h: Tensor) -> Tensor:
        *_, V, c = self.weights
        return torch.baddbmm(c, h, V)

    def gradients(self, X: Tensor, targets: Tensor) -> list[Tensor]:
        """Return those of each network's mean cross-entropy, as derived in Part 1."""
        h = self.hidden(X)
        delta = (self.logits(h).softmax(dim=-1) - targets) / X.shape[1]
        delta_h = (delta @ self.weights[2].mT).mul_(h > 0)
        return [
            X.mT @ delta_h,
            delta_h.sum(dim=1, keepdim=True),
            h.mT @ delta,
            delta.sum(dim=1, keepdim=True),
        ]

    def errors(self, X: Tensor, labels: Tensor) -> NDArray[np.float64]:
        """Return the fraction of wrong answers of each network; a diverged one has them all."""
        logits = self.logits(self.hidden(X.expand(len(self.mask), *X.shape)))
        wrong = (logits.argmax(dim=-1) != labels) | ~logits.isfinite().all(dim=-1)
        return wrong.double().mean(dim=1).numpy()


def train_many(
    configs: Sequence[Mapping[str, Any]], seeds: Sequence[int], epochs: int = 5, batch: int = 32
) -> Errors:
    """Train one network for each configuration, all at once, and return their errors.

    Each has 64 inputs, one hidden layer of ReLU units and ten outputs, and learns by SGD from 1,077
    digits. A configuration may give `lr`, `momentum`, `width` (hidden units), `weight_decay` (of
    both matrices, not of the biases) and `smoothing` (of the labels); what it leaves out is in
    DEFAULTS. A network's seed draws its first weights and the order of its batches, so its errors
    do not depend on its company, but for rounding. A network that diverges is wrong everywhere: its
    error is 1. Raises ValueError for another parameter and when there is not one seed for each
    configuration.
    """
    if len(configs) != len(seeds):
        raise ValueError(f"{len(configs)} configurations and {len(seeds)} seeds: give one for each")
    for config in configs:
        for name in config:
            if name not in DEFAULTS:
                raise ValueError(f"{name!r} is unknown here: give {', '.join(DEFAULTS)}")
    settings = {
        name: torch.tensor([float(config.get(name, start)) for config in configs]).view(-1, 1, 1)
        for name, start in DEFAULTS.items()
    }
    draws = [torch.Generator().manual_seed(seed) for seed in seeds]
    networks = _first(settings["width"].flatten().int().tolist(), draws)
    velocities = [torch.zeros_like(p) for p in networks.weights]
    X, labels, held_out = _digits()
    found = []
    for _ in range(epochs):
        order = torch.stack([torch.randperm(len(X), generator=draw) for draw in draws])
        for chosen in order.split(batch, dim=1):
            smoothing = settings["smoothing"]
            targets = F.one_hot(labels[chosen], 10) * (1 - smoothing) + smoothing / 10
            _step(networks, velocities, networks.gradients(X[chosen], targets), settings)
        found.append([networks.errors(*part) for part in held_out])
    val, test = np.array(found).transpose(1, 2, 0)
    return Errors(val, test)


def first_weights(width: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return He's first weights of a network, (64, width) and (width, 10); its biases are 0."""
    W = torch.randn(64, width, generator=draw) * (2 / 64) ** 0.5
    return W, torch.randn(width, 10, generator=draw) * (2 / width) ** 0.5


def _first(widths: list[int], draws: list[torch.Generator]) -> _Networks:
    n, widest = len(widths), max(widths)
    W, V = torch.zeros(n, 64, widest), torch.zeros(n, widest, 10)
    for i, (width, draw) in enumerate(zip(widths, draws, strict=True)):
        W[i, :, :width], V[i, :width] = first_weights(width, draw)
    mask = (torch.arange(widest) < torch.tensor(widths)[:, None]).float().unsqueeze(1)
    return _Networks([W, torch.zeros(n, 1, widest), V, torch.zeros(n, 1, 10)], mask)


def _step(
    networks: _Networks, velocities: list[Tensor], grads: list[Tensor], settings: dict[str, Tensor]
) -> None:
    """Take a step of SGD with momentum, in place, as torch.optim.SGD takes it."""
    for i, (p, v, g) in enumerate(zip(networks.weights, velocities, grads, strict=True)):
        v.mul_(settings["momentum"]).add_(g)
        if i in (0, 2):
            v.add_(p * settings["weight_decay"])
        p.sub_(settings["lr"] * v)


@cache
def _digits() -> tuple[Tensor, Tensor, tuple[tuple[Tensor, Tensor], ...]]:
    split = data.digits()
    held_out = (split.X_val, split.Y_val.argmax(1)), (split.X_test, split.Y_test.argmax(1))
    return split.X_train, split.Y_train.argmax(1), held_out
