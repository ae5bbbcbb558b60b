"""The optimisers that everyone uses, from gradient descent to AdamW, as short as their formulas.

Names, arguments, their order, defaults and results are those of `torch.optim`, and so are the names
in a state dict: a run that one of the two began, the other can continue. In the formulas g is the
gradient, theta a parameter, t the number of its updates with this one; products, squares, roots
and quotients are taken entry by entry. L2 decay, g <- g + weight_decay theta, comes before every
rule except AdamW's.

A rule gets all parameters of a group that have a gradient, as lists: `torch._foreach_*` does one
operation on every tensor of a list, without a loop in Python. A function whose name ends in `_`
changes its first argument.

The methods of second order, for small problems, can be had from here too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from mlcourse.second_order import (
    conjugate_gradients,
    hessian_vector_product,
    lbfgs,
    newton,
    newton_cg,
    nonlinear_cg,
)

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "RMSprop",
    "conjugate_gradients",
    "hessian_vector_product",
    "lbfgs",
    "newton",
    "newton_cg",
    "nonlinear_cg",
]

Tensors = list[Tensor] | tuple[Tensor, ...]

_NOT_NEGATIVE = ("lr", "momentum", "weight_decay", "lr_decay", "initial_accumulator_value", "eps")
_DECAY_RATES = ("alpha", "rho", "betas")


class _Optimizer(torch.optim.Optimizer):
    """What the rules share: a rule itself is the method `_update`."""

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters with settings of their own; the others are as at the start.

        Raises ValueError for a setting that is out of its range.
        """
        _check({**self.defaults, **param_group})
        super().add_param_group(param_group)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Update each parameter that has a gradient, once.

        `closure`, if there is one, computes the loss and the gradients before; its loss is
        returned. Raises ValueError for a gradient that is sparse or complex.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                grads = _gradients(params)
                self._update(params, self._decay(params, grads, group), group)
        return loss

    def _decay(self, params: Tensors, grads: Tensors, group: dict[str, Any]) -> Tensors:
        """Return the gradients of the loss plus weight_decay / 2 times the squared norm."""
        if group["weight_decay"] == 0:
            return grads
        return torch._foreach_add(grads, params, alpha=group["weight_decay"])

    def _update(self, params: Tensors, grads: Tensors, group: dict[str, Any]) -> None:
        raise NotImplementedError

    def _state(self, params: Tensors, name: str, start: float = 0.0) -> Tensors:
        """Return what is kept for each parameter under a name; at first, full of `start`."""
        for p in params:
            if name not in self.state[p]:
                self.state[p][name] = torch.full_like(p, start)
        return [self.state[p][name] for p in params]

    def _count(self, params: Tensors) -> list[int]:
        """Count this update of each parameter, and return their counts."""
        for p in params:
            state = self.state[p]
            state["step"] = int(state.get("step", 0)) + 1  # torch keeps it in a tensor
        return [self.state[p]["step"] for p in params]


class SGD(_Optimizer):
    """Gradient descent, with momentum, Nesterov's too.

    v <- momentum v + (1 - dampening) g, and at first v = g; theta <- theta - lr v. Nesterov's rule
    goes along g + momentum v instead of v. v is a sum, not a mean: under a constant gradient a step
    grows to lr / (1 - momentum) times the gradient. Raises ValueError for settings out of range,
    and for Nesterov without momentum or with dampening. Source: Sutskever et al., On the importance
    of initialization and momentum, 2013, section 2; lr stands outside v, as in torch.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
    ) -> None:
        settings = {"lr": lr, "momentum": momentum, "dampening": dampening}
        super().__init__(params, {**settings, "weight_decay": weight_decay, "nesterov": nesterov})

    def _update(self, params: Tensors, grads: Tensors, group: dict[str, Any]) -> None:
        momentum, direction = group["momentum"], grads
        if momentum != 0:
            direction = v = self._velocities(params, grads, momentum, group["dampening"])
            if group["nesterov"]:
                direction = torch._foreach_add(grads, v, alpha=momentum)
        torch._foreach_add_(params, direction, alpha=-group["lr"])

    def _velocities(
        self, params: Tensors, grads: Tensors, momentum: float, dampening: float
    ) -> Tensors:
        states = [self.state[p] for p in params]
        # Dampening leaves the first velocity alone, so it is not the rule applied to a zero.
        first = [i for i, state in enumerate(states) if "momentum_buffer" not in state]
        for i in first:
            states[i]["momentum_buffer"] = torch.zeros_like(params[i])
        v = [state["momentum_buffer"] for state in states]
        torch._foreach_mul_(v, momentum)
        torch._foreach_add_(v, grads, alpha=1 - dampening)
        for i in first:
            v[i].copy_(grads[i])
        return v


class Adagrad(_Optimizer):
    """A rate for each parameter, which falls with the *sum* of all its squared gradients.

    s <- s + g^2, from s = initial_accumulator_value;
    theta <- theta - lr / (1 + (t - 1) lr_decay) g / (sqrt(s) + eps). Raises ValueError for settings
    out of range. Source: Duchi et al., Adaptive subgradient methods, 2011, section 1.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
    ) -> None:
        settings = {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps}
        start = {"initial_accumulator_value": initial_accumulator_value}
        super().__init__(params, {**settings, **start})

    def _update(self, params: Tensors, grads: Tensors, group: dict[str, Any]) -> None:
        s = self._state(params, "sum", start=group["initial_accumulator_value"])
        torch._foreach_addcmul_(s, grads, grads)
        rates = [group["lr"] / (1 + (t - 1) * group["lr_decay"]) for t in self._count(params)]
        root = torch._foreach_sqrt(s)
        torch._foreach_add_(root, group["eps"])
        torch._foreach_addcdiv_(params, grads, root, [-rate for rate in rates])


class Adadelta(_Optimizer):
    """Steps in the parameter's own units: the root mean square of steps over that of gradients.

    s <- rho s + (1 - rho) g^2; d = sqrt(u + eps) / sqrt(s + eps) g;
    u <- rho u + (1 - rho) d^2; theta <- theta - lr d. Here eps belongs *inside* the roots: u starts
    at 0, and without it no step would ever be made. Raises ValueError for settings out of range.
    Source: Zeiler, ADADELTA, 2012, algorithm 1, which has no lr (lr = 1).
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay})

    def _update(self, params: Tensors, grads: Tensors, group: dict[str, Any]) -> None:
        rho, eps = group["rho"], group["eps"]
        s, u = self._state(params, "square_avg"), self._state(params, "acc_delta")
        self._count(params)
        _average_squares_(s, grads, rho)
        d, root = torch._foreach_add(u, eps), torch._foreach_add(s, eps)
        torch._foreach_sqrt_(d)
        torch._foreach_sqrt_(root)
        torch._foreach_div_(d, root)
        torch._foreach_mul_(d, grads)
        _average_squares_(u, d, rho)
        torch._foreach_add_(params, d, alpha=-group["lr"])


class RMSprop(_Optimizer):
    """Divides by the root of a moving *average* of squared gradients, which forgets old ones.

    s <- alpha s + (1 - alpha) g^2; d = g / (sqrt(s) + eps); theta <- theta - lr d. With momentum,
    v <- momentum v + d and theta <- theta - lr v. Centred, with m <- alpha m + (1 - alpha) g, the
    root is that of s - m^2, the gradient's variance. Raises ValueError for settings out of range.
    Source: Hinton, Neural networks for machine learning, 2012, lecture 6e; centred: Graves,
    Generating sequences with recurrent neural networks, 2013, equations 38 to 45.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
    ) -> None:
        settings = {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "momentum": momentum, "centered": centered})

    def _update(self, params: Tensors, grads: Tensors, group: dict[str, Any]) -> None:
        root = self._roots(params, grads, group)
        torch._foreach_add_(root, group["eps"])
        if group["momentum"] == 0:
            torch._foreach_addcdiv_(params, grads, root, value=-group["lr"])
            return
        v = self._state(params, "momentum_buffer")
        torch._foreach_mul_(v, group["momentum"])
        torch._foreach_addcdiv_(v, grads, root)
        torch._foreach_add_(params, v, alpha=-group["lr"])

    def _roots(self, params: Tensors, grads: Tensors, group: dict[str, Any]) -> Tensors:
        s = self._state(params, "square_avg")
        self._count(params)
        _average_squares_(s, grads, group["alpha"])
        if not group["centered"]:
            return torch._foreach_sqrt(s)
        m = self._state(params, "grad_avg")
        _average_(m, grads, group["alpha"])
        variance = torch._foreach_addcmul(s, m, m, value=-1)
        # Under a constant gradient rounding can take it below zero; torch's rule then gives nan.
        torch._foreach_clamp_min_(variance, 0.0)
        torch._foreach_sqrt_(variance)
        return variance


class Adam(_Optimizer):
    """Moving averages of the gradient and of its square, both corrected for their start at zero.

    m <- beta1 m + (1 - beta1) g; v <- beta2 v + (1 - beta2) g^2; m_hat = m / (1 - beta1^t);
    v_hat = v / (1 - beta2^t); theta <- theta - lr m_hat / (sqrt(v_hat) + eps). With amsgrad, v in
    v_hat is the largest v so far. Raises ValueError for settings out of range. Source: Kingma and
    Ba, Adam, 2015, algorithm 1; amsgrad: Reddi et al., On the convergence of Adam and beyond, 2018,
    algorithm 2, to which torch adds the correction.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
    ) -> None:
        settings = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, {**settings, "amsgrad": amsgrad})

    def _update(self, params: Tensors, grads: Tensors, group: dict[str, Any]) -> None:
        lr, (beta1, beta2), steps = group["lr"], group["betas"], self._count(params)
        m, v = self._state(params, "exp_avg"), self._state(params, "exp_avg_sq")
        _average_(m, grads, beta1)
        _average_squares_(v, grads, beta2)
        if group["amsgrad"]:
            largest = self._state(params, "max_exp_avg_sq")
            torch._foreach_maximum_(largest, v)
            v = largest
        root = torch._foreach_sqrt(v)
        torch._foreach_div_(root, [math.sqrt(1 - beta2**t) for t in steps])
        torch._foreach_add_(root, group["eps"])
        torch._foreach_addcdiv_(params, m, root, [-lr / (1 - beta1**t) for t in steps])


class AdamW(Adam):
    """Adam, with the decay taken out of the gradient: theta <- (1 - lr weight_decay) theta first.

    In Adam the decay is divided by the root, so parameters with large gradients decay less; here
    all shrink by the same factor. Raises ValueError for settings out of range. Source: Loshchilov
    and Hutter, Decoupled weight decay regularization, 2019, algorithm 2; as in torch the decay is
    multiplied by the whole lr, not only by the schedule's part of it.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad)

    def _decay(self, params: Tensors, grads: Tensors, group: dict[str, Any]) -> Tensors:
        if group["weight_decay"] != 0:
            torch._foreach_mul_(params, 1 - group["lr"] * group["weight_decay"])
        return grads


def _average_(averages: Tensors, new: Tensors, rate: float) -> None:
    """average <- rate average + (1 - rate) new."""
    torch._foreach_lerp_(averages, new, 1 - rate)


def _average_squares_(averages: Tensors, new: Tensors, rate: float) -> None:
    """average <- rate average + (1 - rate) new^2."""
    torch._foreach_mul_(averages, rate)
    torch._foreach_addcmul_(averages, new, new, value=1 - rate)


def _gradients(params: Tensors) -> Tensors:
    grads = [p.grad for p in params if p.grad is not None]
    for grad in grads:
        if grad.is_sparse or grad.is_complex():
            kind = "sparse" if grad.is_sparse else "complex"
            raise ValueError(
                f"a gradient of shape {tuple(grad.shape)} is {kind}: use torch.optim for it, the "
                "rules here take dense real numbers"
            )
    return grads


def _check(settings: dict[str, Any]) -> None:
    for name in _NOT_NEGATIVE:
        if name in settings and not settings[name] >= 0:
            raise ValueError(f"{name} is {settings[name]}: give 0 or more")
    for name in _DECAY_RATES:
        rates = settings.get(name, 0.0)
        if not all(
            0 <= rate < 1 for rate in ((rates,) if isinstance(rates, int | float) else rates)
        ):
            raise ValueError(f"{name} is {rates}: give at least 0 and less than 1")
    if settings.get("nesterov") and not (settings["momentum"] > 0 == settings["dampening"]):
        raise ValueError(
            f"nesterov is on with momentum {settings['momentum']} and dampening "
            f"{settings['dampening']}: it needs momentum above 0 and dampening 0"
        )
