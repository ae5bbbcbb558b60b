"""`sgd_step`: gradient descent with an L2 penalty."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.optimisers_questions.shared import (
    BY_HAND,
    GRADS_CHANGED,
    PARAMS_CHANGED,
    Tensors,
    draw_tensors,
)


def cases(g: Generator) -> list[tuple[Tensors, Tensors, float, float]]:
    found = []
    for shapes, lr, decay, dtype in (
        ({"W": (3, 2), "b": (3,)}, 0.1, 0.3, torch.float64),
        ({"theta": (4,)}, 0.5, 0.0, torch.float64),
        ({"Wh": (2, 3), "bh": (2,), "Wy": (2, 2), "by": (2,)}, 0.2, 0.05, torch.float32),
        ({"scale": (1,), "kernel": (2, 1, 3)}, 0.03, 2.0, torch.float64),
    ):
        found.append((draw_tensors(shapes, g, dtype), draw_tensors(shapes, g, dtype), lr, decay))
    return found


def by(rule: Callable[[Tensor, Tensor, float, float], Tensor]) -> Callable[..., Tensors]:
    """A step with this rule for each tensor."""

    def sgd_step(params: Tensors, grads: Tensors, lr: float, decay: float) -> Tensors:
        return {name: rule(p, grads[name], lr, decay) for name, p in params.items()}

    return sgd_step


def reference(params: Tensors, grads: Tensors, lr: float, decay: float) -> Tensors:
    return {name: p - lr * (grads[name] + decay * p) for name, p in params.items()}


def in_place(params: Tensors, grads: Tensors, lr: float, decay: float) -> Tensors:
    for name, p in params.items():
        p -= lr * (grads[name] + decay * p)
    return params


def grads_in_place(params: Tensors, grads: Tensors, lr: float, decay: float) -> Tensors:
    for name, p in params.items():
        grads[name] += decay * p
    return {name: p - lr * grads[name] for name, p in params.items()}


def matrices_only(params: Tensors, grads: Tensors, lr: float, decay: float) -> Tensors:
    return {
        name: p - lr * (grads[name] + (decay * p if p.dim() > 1 else 0))
        for name, p in params.items()
    }


def by_autograd(params: Tensors, grads: Tensors, lr: float, decay: float) -> Tensors:
    """The penalty is written down and differentiated."""
    new = {}
    for name, p in params.items():
        leaf = p.clone().requires_grad_()
        penalty = decay / 2 * leaf.square().sum() + (leaf * grads[name]).sum()
        (slope,) = torch.autograd.grad(penalty, leaf)
        new[name] = p - lr * slope
    return new


def copied(params: Tensors, grads: Tensors, lr: float, decay: float) -> Tensors:
    new = {name: p.clone() for name, p in params.items()}
    for name, p in new.items():
        p.mul_(1 - lr * decay).sub_(grads[name], alpha=lr)
    return new


sgd_step = Question(
    name="sgd_step",
    title="Gradient descent with weight decay",
    points=1,
    reference=reference,
    cases=cases,
    parts=("the params",),
    forbidden=(BY_HAND,),
    mistakes=(
        Mistake(
            "no_decay",
            by(lambda p, g, lr, decay: p - lr * g),
            "the penalty is left out: its gradient, decay times theta, is added to g",
        ),
        Mistake(
            "uphill",
            by(lambda p, g, lr, decay: p + lr * (g + decay * p)),
            "this step goes uphill: subtract lr times the gradient",
        ),
        Mistake(
            "growth",
            by(lambda p, g, lr, decay: p - lr * (g - decay * p)),
            "the penalty has the wrong sign, so the parameters grow: its gradient is + decay times "
            "theta",
        ),
        Mistake(
            "not_scaled",
            by(lambda p, g, lr, decay: p - lr * g - decay * p),
            "the decay is not multiplied by lr: it is part of the gradient, lr (g + decay theta)",
        ),
        Mistake(
            "squared_norm",
            by(lambda p, g, lr, decay: p - lr * (g + 2 * decay * p)),
            "your decay is twice ours: the 1/2 in decay/2 ||theta||^2 cancels the 2 of the "
            "square's derivative",
        ),
        Mistake(
            "half",
            by(lambda p, g, lr, decay: p - lr * (g + decay / 2 * p)),
            "your decay is half of ours: the derivative of decay/2 theta^2 is decay theta",
        ),
        Mistake(
            "after",
            by(lambda p, g, lr, decay: (p - lr * g) * (1 - lr * decay)),
            "the step shrinks too: the decay belongs to the old parameters, where the gradient was "
            "taken",
        ),
        Mistake(
            "penalty_itself",
            by(lambda p, g, lr, decay: p - lr * (g + decay / 2 * p.square().sum())),
            "the penalty itself is added to the gradient: it is the penalty's *gradient* that is "
            "added, decay times theta",
        ),
        Mistake(
            "squares",
            by(lambda p, g, lr, decay: p - lr * (g + decay * p.square())),
            "theta squared is added to the gradient: differentiate, the gradient of decay/2 "
            "theta^2 is decay theta",
        ),
        Mistake(
            "absolute",
            by(lambda p, g, lr, decay: p - lr * (g + decay * p.sign())),
            "only theta's sign counts in your decay, which is the gradient of an L1 penalty: for "
            "L2 it is decay times theta",
        ),
        Mistake(
            "no_lr",
            by(lambda p, g, lr, decay: p - (g + decay * p)),
            "the learning rate is not used: theta - lr (g + decay theta)",
        ),
        Mistake(
            "shrunk_only",
            by(lambda p, g, lr, decay: (1 - lr * decay) * p),
            "the gradient of the loss is missing: subtract lr g as well",
        ),
        Mistake(
            "matrices_only",
            matrices_only,
            "only the matrices decay: here the penalty is on every parameter, biases too",
        ),
        Mistake("in_place", in_place, PARAMS_CHANGED),
        Mistake("grads_in_place", grads_in_place, GRADS_CHANGED),
        Mistake(
            "cast",
            by(lambda p, g, lr, decay: (p - lr * (g + decay * p)).float()),
            ONE_DTYPE,
        ),
    ),
    variants=(
        Variant("shrunk first", by(lambda p, g, lr, decay: (1 - lr * decay) * p - lr * g)),
        Variant("a copy, then in place", copied),
        Variant("the penalty differentiated by autograd", by_autograd),
    ),
    hints=(
        "What is the gradient of decay/2 ||theta||^2? Take one entry of theta alone.",
        "It is decay times theta. It joins the gradient of the loss, so lr multiplies both.",
        "A dict comprehension: {name: ... for name, p in params.items()}, with grads[name] in it.",
    ),
)
