"""The architect: the gradient of the validation loss in the architecture, seen through one step.

The architecture alpha is to be good for the weights that training would give. One step of training
stands in for them, w' = w - lr (momentum velocity + gradient of L_train(w, alpha) + decay w), and
the gradient of L_val(w', alpha) in alpha has two parts:

    dL_val/dalpha (w', alpha)  -  lr d/dalpha [gradient of L_train(w, alpha) . u],   u = dL_val/dw'.

First order leaves the second part out and takes w for w'. Source: Liu, Simonyan and Yang, DARTS:
Differentiable architecture search, 2019, section 2.3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from mlcourse.bilevel_problem import Loss
from mlcourse.hypergrad import hypergradient

Order = Literal["first", "finite_difference", "exact"]
#: Inputs and targets, as the model and the loss take them.
Batch = tuple[Tensor, Any]
Named = dict[str, Tensor]

_METHODS = {
    "first": "first_order",
    "finite_difference": "finite_difference",
    "exact": "unrolled_step",
}


class Architect:
    """Gives a model's architecture its gradient, for the next step of its weights' optimiser.

    The model's `architecture()` yields the parameters that validation data choose, as that of a
    Supernet does; the optimiser is torch's SGD, and what it holds are the weights. `order` says
    what the gradient is made of. "first": L_val at today's weights. "exact": both parts, by
    differentiating twice. "finite_difference": the second part from gradients in alpha at w + e u
    and w - e u with e = 0.01 / |u|, as their difference divided by 2 e; with ReLU or max pooling it
    is mostly noise (see `kinks`). The step has the optimiser's lr, momentum and weight decay, and
    no clipping.

    `loss(output, target)` is a mean over the batch. Nothing of the model or the optimiser changes:
    weights move in a copy, and statistics of batch norms too. What the model draws, from
    `generator` or else torch's own, is drawn once a gradient: each loss sees the same numbers.
    `penalty(alphas)`, of the architecture parameters by name, is added to the validation loss.

    Raises ValueError for another order, and for an optimiser that makes other steps or also holds
    the architecture.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        order: Order = "first",
        *,
        loss: Callable[[Tensor, Any], Tensor] = F.cross_entropy,
        generator: torch.Generator | None = None,
        penalty: Callable[[Named], Tensor | float] | None = None,
    ) -> None:
        if order not in _METHODS:
            raise ValueError(f"order is {order!r}: give one of {', '.join(_METHODS)}")
        _check_optimizer(model, optimizer)
        self.model, self.optimizer, self.order = model, optimizer, order
        self.loss, self.generator, self.penalty = loss, generator, penalty

    def backward(self, train: Batch, val: Batch) -> None:
        """Put the gradient where `loss.backward()` does, but set what is there, and do not add.

        It uses `train`, the batch that moves the weights next, and `val`, held-out data.
        """
        gradient = self.gradient(train, val)
        for name, p in self.model.named_parameters():
            if name in gradient:
                p.grad = gradient[name]

    def gradient(self, train: Batch, val: Batch) -> Named:
        """Return the gradient in each architecture parameter, by name; batches as `backward`."""
        inner, outer = self.losses(train, val)
        w, alpha = self.weights(), self.alphas()
        if self.order == "first":
            return _named(hypergradient(inner, outer, w, alpha, "first_order"))
        step = _with_momentum(inner, self._velocity(w), self._setting("momentum"))
        lr = self._setting("lr")
        return _named(hypergradient(step, outer, w, alpha, _METHODS[self.order], lr=lr))

    def losses(self, train: Batch, val: Batch) -> tuple[Loss, Loss]:
        """Return L_train, with the penalty of weight decay, and L_val for `hypergradient`.

        Both are functions of `weights()` and `alphas()`, so that any of its methods can be used.
        """
        decay = self._setting("weight_decay")
        data_loss = self._loss_on(train)

        def train_loss(w: Named, alpha: Named) -> Tensor:
            penalty = sum((p**2).sum() for p in w.values()) if decay else 0
            return data_loss(w, alpha) + decay / 2 * penalty

        return train_loss, self._with_penalty(self._loss_on(val))

    def weights(self) -> Named:
        """Return the parameters that the optimiser moves, by name."""
        moved = {id(p) for p in self.optimizer.param_groups[0]["params"]}
        return {name: p for name, p in self.model.named_parameters() if id(p) in moved}

    def alphas(self) -> Named:
        """Return the architecture parameters, by name."""
        chosen = _architecture(self.model)
        return {name: p for name, p in self.model.named_parameters() if id(p) in chosen}

    def _loss_on(self, batch: Batch) -> Loss:
        inputs, targets = batch
        generator = self.generator or _default_generator(self.model)
        drawn = generator.get_state()

        def loss(w: Named, alpha: Named) -> Tensor:
            generator.set_state(drawn)
            buffers = {name: buffer.clone() for name, buffer in self.model.named_buffers()}
            output = functional_call(self.model, {**w, **alpha, **buffers}, (inputs,))
            return self.loss(output, targets)

        return loss

    def _with_penalty(self, loss: Loss) -> Loss:
        penalty = self.penalty
        if penalty is None:
            return loss
        return lambda w, alpha: loss(w, alpha) + penalty(alpha)

    def _velocity(self, weights: Named) -> Named:
        """The optimiser's velocity of each weight; there is none before its first step."""
        states = {name: self.optimizer.state.get(p, {}) for name, p in weights.items()}
        velocities = {name: state.get("momentum_buffer") for name, state in states.items()}
        return {name: v for name, v in velocities.items() if v is not None}

    def _setting(self, name: str) -> float:
        return float(self.optimizer.param_groups[0][name])


def _with_momentum(loss: Loss, velocity: Named, momentum: float) -> Loss:
    """Return a loss whose gradient in w is that of `loss` plus momentum * velocity.

    One step of plain gradient descent on it is then the optimiser's step.
    """
    if not momentum or not velocity:
        return loss

    def with_momentum(w: Named, alpha: Named) -> Tensor:
        pull = sum((w[name] * v).sum() for name, v in velocity.items())
        return loss(w, alpha) + momentum * pull

    return with_momentum


def _named(gradient: Any) -> Named:
    assert isinstance(gradient, dict)
    return gradient


def _architecture(model: nn.Module) -> set[int]:
    return {id(p) for p in model.architecture()}  # type: ignore[operator]


def _default_generator(model: nn.Module) -> torch.Generator:
    device = next(model.parameters()).device
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index or 0]
    return torch.default_generator


def _check_optimizer(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    if not isinstance(optimizer, torch.optim.SGD) or len(optimizer.param_groups) > 1:
        raise ValueError(
            f"the optimizer is {type(optimizer).__name__} with {len(optimizer.param_groups)} "
            "group(s): give torch.optim.SGD with one, whose step is unrolled"
        )
    (group,) = optimizer.param_groups
    for setting in ("nesterov", "dampening", "maximize"):
        if group[setting]:
            raise ValueError(f"the optimizer has {setting}={group[setting]}: leave it out")
    if any(id(p) in _architecture(model) for p in group["params"]):
        raise ValueError(
            "the optimizer holds architecture parameters, which training data must not move: "
            "give it model.weights()"
        )
