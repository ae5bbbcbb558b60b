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
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from mlcourse.bilevel_problem import Loss, flatten, gradients
from mlcourse.hypergrad import hypergradient
from mlcourse.nas.modes import keeping_buffers

Order = Literal["first", "finite_difference", "exact"]
#: Inputs and targets, as the model and the loss take them.
Batch = tuple[Tensor, Any]
Named = dict[str, Tensor]

_METHODS = {
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
        if order not in get_args(Order):
            raise ValueError(f"order is {order!r}: give one of {', '.join(get_args(Order))}")
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
        alpha = self.alphas()
        outer = self._with_penalty(self._loss_on(val))
        if self.order == "first":
            return dict(zip(alpha, gradients(outer({}, alpha), *alpha.values()), strict=True))
        # One vector: a penalty on hundreds of tensors takes as long as a tenth of a network.
        w, named = flatten("the weights", self.weights())
        data_loss, pull = self._loss_on(train), self._pull(w)
        gradient = hypergradient(
            lambda w, alpha: data_loss(named(w), alpha) + pull @ w,
            lambda w, alpha: outer(named(w), alpha),
            w,
            alpha,
            _METHODS[self.order],
            lr=self._setting("lr"),
        )
        assert isinstance(gradient, dict)
        return gradient

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
            with keeping_buffers(self.model):
                output = functional_call(self.model, {**w, **alpha}, (inputs,))
            return self.loss(output, targets)

        return loss

    def _with_penalty(self, loss: Loss) -> Loss:
        penalty = self.penalty
        if penalty is None:
            return loss
        return lambda w, alpha: loss(w, alpha) + penalty(alpha)

    def _pull(self, w: Tensor) -> Tensor:
        """What momentum and weight decay add to the gradient in the weights w, all of them (n,).

        Neither depends on the architecture, so that a loss with this slope in w gives the
        optimiser's step, and the same derivatives in the architecture.
        """
        pull = self._setting("weight_decay") * w
        states = [self.optimizer.state.get(p, {}) for p in self.weights().values()]
        velocities = [state.get("momentum_buffer") for state in states]
        # There is no velocity before the optimiser's first step.
        if self._setting("momentum") and any(v is not None for v in velocities):
            parts = zip(self.weights().values(), velocities, strict=True)
            flat = [(torch.zeros_like(p) if v is None else v).flatten() for p, v in parts]
            pull = pull + self._setting("momentum") * torch.cat(flat)
        return pull

    def _setting(self, name: str) -> float:
        return float(self.optimizer.param_groups[0][name])


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
