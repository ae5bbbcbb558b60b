"""Self-tuning networks: hyper-parameters tuned by the validation loss while the weights train.

A network of hyper-layers learns w(h), good weights for each h near the present one, because it
trains with an h perturbed afresh for each example. The validation loss of w(h) is then a function
of h alone, which has a gradient. Training and validation batches alternate. Source: MacKay et al.,
Self-tuning networks, 2019, algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlcourse.hyper_layers import HyperDropout, HyperLayer, HyperLinear, HyperParameters
from mlcourse.training import Batches, History, Numbers

#: The loss of each example, (N,), of the outputs and labels.
ExampleLoss = Callable[[Tensor, Tensor], Tensor]

_cross_entropy: ExampleLoss = partial(F.cross_entropy, reduction="none")


class SelfTuningNet(nn.Module):
    """Layers one after the other; hyper-layers and hyper-dropout also get h.

    Called with x (N, ...) and h (N, n_hyper), or (n_hyper,) for all examples.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, h: Tensor) -> Tensor:
        """Return the outputs of the last layer."""
        for layer in self.layers:
            responds = isinstance(layer, HyperLayer | HyperDropout)
            x = layer(x, h) if responds else layer(x)
        return x

    def penalty(self, hypers: HyperParameters, h: Tensor) -> Tensor:
        """Return the sum of each layer's penalty times its squared weights: (N,) for h (N, n)."""
        total = torch.zeros(h.shape[:-1], dtype=h.dtype, device=h.device)
        for layer in self.layers:
            if isinstance(layer, HyperLayer) and layer.penalty is not None:
                total = total + hypers.value(layer.penalty, h) * layer.squares(h)
        return total


class Tuned(nn.Module):
    """The network at the location of its hyper-parameters, as a model of x alone."""

    def __init__(self, net: SelfTuningNet, hypers: HyperParameters) -> None:
        super().__init__()
        self.net, self.hypers = net, hypers

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs for x (N, ...)."""
        outputs: Tensor = self.net(x, self.hypers.location)
        return outputs


def self_tuning_mlp(
    sizes: Sequence[int],
    rate: float = 0.2,
    penalty: float = 1e-4,
    scale: float = 0.5,
    generator: torch.Generator | None = None,
) -> tuple[SelfTuningNet, HyperParameters]:
    """Return dense hyper-layers with ReLU between, and dropout and a penalty for each to tune.

    With sizes [64, 100, 10] dropout1 acts on the inputs and dropout2 on the hidden units;
    penalty1 and penalty2 are those of the two layers. All rates start at `rate`, all penalties at
    `penalty`. The generator draws the dropout masks; weights begin with torch's seed. Raises
    ValueError for fewer than two sizes.
    """
    if len(sizes) < 2:
        raise ValueError(f"sizes is {list(sizes)}: give the inputs and the outputs at least")
    numbers = range(1, len(sizes))
    hypers = HyperParameters(
        {f"dropout{i}": rate for i in numbers}, {f"penalty{i}": penalty for i in numbers}, scale
    )
    layers: list[nn.Module] = []
    for i, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
        layers += [
            HyperDropout(hypers, f"dropout{i}", generator),
            HyperLinear(n_in, n_out, len(hypers.names), penalty=f"penalty{i}"),
            nn.ReLU(),
        ]
    return SelfTuningNet(*layers[:-1]), hypers


def train_objective(
    net: SelfTuningNet,
    hypers: HyperParameters,
    X: Tensor,
    y: Tensor,
    h: Tensor,
    loss: ExampleLoss = _cross_entropy,
) -> Tensor:
    """Return the mean over examples of loss and penalty, each with its own h: (), for h (N, n)."""
    return (loss(net(X, h), y) + net.penalty(hypers, h)).mean()


def val_objective(
    net: SelfTuningNet,
    hypers: HyperParameters,
    X: Tensor,
    y: Tensor,
    h: Tensor,
    entropy_weight: float,
    loss: ExampleLoss = _cross_entropy,
) -> Tensor:
    """Return the mean loss without penalty, minus entropy_weight times the entropy: ().

    The loss alone would make the scale zero, and then w(h) would not learn how to respond. Source:
    MacKay et al., 2019.
    """
    return loss(net(X, h), y).mean() - entropy_weight * hypers.entropy()


def self_tune(
    net: SelfTuningNet,
    hypers: HyperParameters,
    train_batches: Batches,
    val_batches: Batches,
    optimizer: torch.optim.Optimizer,
    hyper_optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    train_steps: int = 2,
    warmup: int = 0,
    entropy_weight: float = 1e-3,
    loss: ExampleLoss = _cross_entropy,
    generator: torch.Generator | None = None,
    evaluate: Callable[[], Numbers] | None = None,
) -> History:
    """Train the weights on training batches and, between them, the hyper-parameters on others.

    After `train_steps` updates of the weights (by `optimizer`, with dropout and penalties) comes
    one of the hyper-parameters (by `hyper_optimizer`, without them), but none in the first
    `warmup` epochs. An epoch is a pass over the training batches; validation batches are taken in
    turn, again and again. `generator` draws the perturbations. The history gets `train_loss` and
    `val_loss` (means over the epoch's updates, perturbed, with what each minimises; nan without
    updates), the value of each hyper-parameter and its scale, and what `evaluate()` returns. An
    epoch whose train loss is not finite is the last. Until the layers have learned to respond,
    the hyper-parameters may move the wrong way, which the warm-up is for. Raises ValueError when
    there are no batches, or for train_steps below 1.
    """
    if train_steps < 1:
        raise ValueError(f"train_steps is {train_steps}: give 1 or more")
    history, held_out = History(), _again(val_batches)

    def update(
        optimizer: torch.optim.Optimizer, objective: Callable[[Tensor], Tensor], n: int
    ) -> float:
        value = objective(hypers.sample(n, generator))
        # Both kinds of parameters get gradients; only those of the optimizer move.
        net.zero_grad()
        hypers.zero_grad()
        torch.autograd.backward(value)
        optimizer.step()
        return float(value.detach())

    def one_epoch(tunes: bool) -> Numbers:
        train, val = [], []
        for i, (X, y) in enumerate(train_batches, start=1):
            net.train()
            train_value = partial(train_objective, net, hypers, X, y, loss=loss)
            train.append(update(optimizer, train_value, len(X)))
            if tunes and i % train_steps == 0:
                net.eval()
                X, y = next(held_out)
                val_value = partial(
                    val_objective, net, hypers, X, y, entropy_weight=entropy_weight, loss=loss
                )
                val.append(update(hyper_optimizer, val_value, len(X)))
        if not train:
            raise ValueError("there are no training batches: give a list or a loader")
        return {"train_loss": _mean(train), "val_loss": _mean(val)}

    while history.epochs < epochs and not history.diverged:
        numbers = one_epoch(history.epochs >= warmup)
        history.append(**numbers, **hypers.numbers(), **(evaluate() if evaluate else {}))
    return history


def _again(batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches, and from the first on again after the last."""
    while True:
        batch = None
        for batch in batches:
            yield batch
        if batch is None:
            raise ValueError("there are no validation batches: give a list or a loader")


def _mean(numbers: Sequence[float]) -> float:
    return sum(numbers) / len(numbers) if numbers else float("nan")
