"""What the questions of `darts_step` share: small supernets, and steps with a piece exchanged.

The losses are made in the process in which the answer lives, as `witness.ChainLoss`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.compare import plain
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.judge import beside

Answer = Callable[..., Any]
Loss = Callable[[Tensor, Tensor], Tensor]
Data = tuple[Tensor, Tensor]

WITNESS = "witness"

#: Edges and features of the supernets: few, many, and as many edges as operations.
SIZES = ((2, 3), (3, 3), (1, 4), (2, 2))


# --- What is drawn --------------------------------------------------------------------------------


def spread(*shape: int, g: Generator) -> Tensor:
    """Draw numbers of both signs, none of them small."""
    x = normal(*shape, generator=g, dtype=torch.float64)
    return x.sign() * (0.4 + x.abs())


def examples(d: int, g: Generator) -> Data:
    """Draw X (N, d) and y (N,) of a `ChainLoss`."""
    return 1.5 * spread(6, d, g=g), 2 * spread(6, g=g)


def supernet(edges: int, d: int, g: Generator) -> tuple[Data, Data, Tensor, Tensor]:
    """Draw training data, validation data, w (edges, d) and alpha (edges, 3)."""
    train, val = examples(d, g), examples(d, g)
    return train, val, spread(edges, d, g=g), 0.6 * spread(edges, 3, g=g)


def settings(g: Generator) -> tuple[float, float, float]:
    """Draw a rate, a momentum and a weight decay, all large enough to be seen."""
    return uniform(0.1, 0.3, g), uniform(0.4, 0.9, g), uniform(0.1, 0.3, g)


# --- How an answer is used ------------------------------------------------------------------------


def with_losses(answer: Answer, train: Data, val: Data, *args: Any) -> Any:
    """Make both losses where the answer lives, and call the answer with them."""
    made = beside(answer, WITNESS, "ChainLoss")
    return answer(made(*train), made(*val), *args)


def with_losses_and_look(answer: Answer, train: Data, val: Data, w: Tensor, *args: Any) -> Any:
    """Look at the caller's weights afterwards too: once put back, they may have rounded."""
    w = w.clone()
    result = with_losses(answer, train, val, w, *args)
    return {"the gradient": plain(result), "the weights afterwards": w.detach()}


# --- Derivatives ----------------------------------------------------------------------------------


def leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().clone().requires_grad_()


def in_w(loss: Loss, w: Tensor, alpha: Tensor) -> Tensor:
    w = leaf(w)
    return torch.autograd.grad(loss(w, alpha.detach()), w)[0]


def in_alpha(loss: Loss, w: Tensor, alpha: Tensor) -> Tensor:
    alpha = leaf(alpha)
    return torch.autograd.grad(loss(w.detach(), alpha), alpha)[0]


def mixed_product(loss: Loss, w: Tensor, alpha: Tensor, v: Tensor) -> Tensor:
    """The gradient in alpha of g . v, where g is the loss's gradient in w."""
    w, alpha = leaf(w), leaf(alpha)
    (g,) = torch.autograd.grad(loss(w, alpha), w, create_graph=True)
    return torch.autograd.grad((g * v).sum(), alpha)[0]


# --- Steps and gradients with a piece exchanged ---------------------------------------------------


def sgd_step(
    w: Tensor, g: Tensor, velocity: Tensor, xi: float, momentum: float, decay: float
) -> Tensor:
    return w - xi * (momentum * velocity + g + decay * w)


def no_momentum(
    w: Tensor, g: Tensor, velocity: Tensor, xi: float, momentum: float, decay: float
) -> Tensor:
    return w - xi * (g + decay * w)


def no_decay(
    w: Tensor, g: Tensor, velocity: Tensor, xi: float, momentum: float, decay: float
) -> Tensor:
    return w - xi * (momentum * velocity + g)


def plain_step(
    w: Tensor, g: Tensor, velocity: Tensor, xi: float, momentum: float, decay: float
) -> Tensor:
    return w - xi * g


def uphill(
    w: Tensor, g: Tensor, velocity: Tensor, xi: float, momentum: float, decay: float
) -> Tensor:
    return w + xi * (momentum * velocity + g + decay * w)


def new(w: Tensor, after: Tensor) -> Tensor:
    return after


def old(w: Tensor, after: Tensor) -> Tensor:
    return w


def gradient_by(
    product: Callable[..., Tensor] = mixed_product,
    move: Callable[..., Tensor] = sgd_step,
    direct_at: Callable[[Tensor, Tensor], Tensor] = new,
    v_at: Callable[[Tensor, Tensor], Tensor] = new,
    around: Callable[[Tensor, Tensor], Tensor] = old,
    factor: Callable[[float], float] = lambda xi: -xi,
    with_direct: float = 1.0,
    data: Callable[[Loss, Loss], tuple[Loss, Loss]] = lambda train, val: (train, val),
    of_val: bool = False,
) -> Answer:
    """The unrolled gradient, part by part, with one of the pieces exchanged."""

    def gradient(
        train_loss: Loss,
        val_loss: Loss,
        w: Tensor,
        alpha: Tensor,
        velocity: Tensor,
        xi: float,
        momentum: float,
        decay: float,
    ) -> Tensor:
        train_loss, val_loss = data(train_loss, val_loss)
        after = move(w, in_w(train_loss, w, alpha), velocity, xi, momentum, decay)
        v = in_w(val_loss, v_at(w, after), alpha)
        second = product(val_loss if of_val else train_loss, around(w, after), alpha, v)
        return with_direct * in_alpha(val_loss, direct_at(w, after), alpha) + factor(xi) * second

    return gradient
