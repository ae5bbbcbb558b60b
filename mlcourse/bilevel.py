"""Alternating descent for a bilevel problem: weights and hyper-parameters move in turn.

The problem is to minimise val_loss(w*(h), h) over hyper-parameters h, where w*(h) minimises
train_loss(w, h) over weights w. Instead of finding w*(h) for each h, take one step of w and one of
h, again and again; h sees w - xi (gradient of train_loss) in place of w*(h).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from mlcourse.bilevel_problem import Loss, Tensors
from mlcourse.hypergrad import hypergradient
from mlcourse.training import History, Numbers

Order = Literal["w", "hyper"]
Unrolled = Literal["unrolled_step", "finite_difference"]


@dataclass(frozen=True)
class Descent:
    """Where alternating descent ended, and its path: row 0 of the history is the start.

    The columns are `train_loss`, `val_loss` and what was asked for with `record`.
    """

    w: Tensors
    hyper: Tensors
    history: History

    def path(self, *columns: str) -> Tensor:
        """Return some columns of the history side by side, (rows, columns), in float64."""
        return torch.tensor([self.history[name] for name in columns], dtype=torch.float64).T


def alternate(
    train_loss: Loss,
    val_loss: Loss,
    w: Tensors,
    hyper: Tensors,
    *,
    steps: int,
    lr_w: float,
    lr_hyper: float,
    xi: float = 0.0,
    order: Order = "w",
    method: Unrolled = "unrolled_step",
    record: Callable[[Tensors, Tensors], Numbers] | None = None,
) -> Descent:
    """Move w down train_loss and hyper down val_loss in turn; one step is one move of each.

    w and hyper are tensors, or dicts, tuples or lists of them, and stay as they are; both losses
    take them like that, and return a number (). `order` says which moves first in each step. The
    move of hyper follows the gradient of val_loss(w - xi (gradient of train_loss), hyper), with
    `method` for its second-order part (see `hypergradient`); for xi = 0 there is none. Each row of
    the history is measured after a step, and `record(w, hyper)` adds columns; `numbers` is one
    such function. The descent ends early when a loss is not finite. A loss that draws a
    mini-batch draws one at each call: let it keep its batch for a step where that matters.

    Raises ValueError for negative steps, xi or rates, or an unknown order or method. Source: Liu,
    Simonyan and Yang, DARTS, 2019, algorithm 1 (where hyper moves first).
    """
    _check(steps, lr_w, lr_hyper, xi, order, method)

    def move_w() -> None:
        nonlocal w
        # The roles change places: w is what moves, and hyper is the constant.
        gradient = hypergradient(_swapped(val_loss), _swapped(train_loss), hyper, w, "first_order")
        w = _moved(w, gradient, lr_w)

    def move_hyper() -> None:
        nonlocal hyper
        if xi:
            gradient = hypergradient(train_loss, val_loss, w, hyper, method, lr=xi)
        else:
            gradient = hypergradient(train_loss, val_loss, w, hyper, "first_order")
        hyper = _moved(hyper, gradient, lr_hyper)

    def row() -> Numbers:
        with torch.no_grad():
            losses = {"train_loss": train_loss(w, hyper), "val_loss": val_loss(w, hyper)}
            return {**losses, **(record(w, hyper) if record else {})}

    history = History()
    history.append(**row())
    moves = (move_w, move_hyper) if order == "w" else (move_hyper, move_w)
    while history.epochs <= steps and _finite(history):
        for move in moves:
            move()
        history.append(**row())
    return Descent(w, hyper, history)


def numbers(w: Tensors, hyper: Tensors) -> Numbers:
    """Return each number of w and hyper by name, w0, w1, ..., hyper0, ...: for `record`."""
    return {
        f"{name}{i}": number
        for name, tensors in (("w", w), ("hyper", hyper))
        for i, number in enumerate(torch.cat([t.flatten() for t in _list(tensors)]).tolist())
    }


def _swapped(loss: Loss) -> Loss:
    return lambda hyper, w: loss(w, hyper)


def _list(tensors: Tensors) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        return [tensors]
    return list(tensors.values() if isinstance(tensors, dict) else tensors)


def _moved(tensors: Tensors, gradient: Tensors, lr: float) -> Tensors:
    """Return tensors - lr gradient, which have one structure."""
    moved = [t.detach() - lr * g for t, g in zip(_list(tensors), _list(gradient), strict=True)]
    if isinstance(tensors, Tensor):
        return moved[0]
    if isinstance(tensors, dict):
        return dict(zip(tensors, moved, strict=True))
    return moved if isinstance(tensors, list) else tuple(moved)


def _finite(history: History) -> bool:
    return all(math.isfinite(history[name][-1]) for name in ("train_loss", "val_loss"))


def _check(
    steps: int, lr_w: float, lr_hyper: float, xi: float, order: Order, method: Unrolled
) -> None:
    if steps < 0:
        raise ValueError(f"steps is {steps}: give 0 or more")
    for name, number in (("lr_w", lr_w), ("lr_hyper", lr_hyper), ("xi", xi)):
        if not 0 <= number < math.inf:
            raise ValueError(f"{name} is {number}: give 0 or a positive, finite number")
    if order not in ("w", "hyper"):
        raise ValueError(f'order is {order!r}: say what moves first, "w" or "hyper"')
    if method not in ("unrolled_step", "finite_difference"):
        raise ValueError(f'method is {method!r}: give "unrolled_step" or "finite_difference"')
