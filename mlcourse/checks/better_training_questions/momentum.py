"""`momentum`: steps along a decaying sum of the gradients, given from outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.better_training_questions.shared import stacked
from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.declare import Forbidden, Mistake, Question, Variant

BY_HAND = Forbidden(
    "optim",
    "the update is to be written out here: leave torch.optim for the experiment below",
    attributes=frozenset({"SGD", "optim"}),
    traps=("torch.optim.SGD.step",),
)


def cases(g: Generator) -> list[tuple[Tensor, Tensor, float, float]]:
    """(theta, one gradient a step, lr, mu); one step alone, and mu = 0, which is plain descent."""
    found = []
    for T, d, lr, mu, dtype in (
        (6, 3, 0.1, 0.9, torch.float64),
        (4, 5, 0.3, 0.8, torch.float32),
        (1, 2, 0.5, 0.9, torch.float64),
        (5, 4, 0.2, 0.0, torch.float64),
        (8, 1, 0.05, 0.95, torch.float32),
    ):
        theta = normal(d, generator=g, dtype=dtype)
        found.append((theta, normal(T, d, generator=g, dtype=dtype), lr, mu))
    return found


def use(answer: Callable, *args: Any) -> Any:
    """Call the answer; it may return a list of tensors or one tensor."""
    return stacked(answer(*args))


def reference(theta: Tensor, grads: Tensor, lr: float, mu: float) -> Tensor:
    v = torch.zeros_like(theta)
    path = []
    for g in grads:
        v = mu * v + g
        theta = theta - lr * v
        path.append(theta)
    return torch.stack(path)


def by(
    gather: Callable[[Tensor, Tensor, float, float], Tensor] = lambda v, g, lr, mu: mu * v + g,
    move: Callable[[Tensor, Tensor, Tensor, float, float], Tensor] = (
        lambda theta, v, g, lr, mu: theta - lr * v
    ),
    late: bool = False,
) -> Callable[[Tensor, Tensor, float, float], Tensor]:
    """Descent with one of its pieces exchanged; `late` moves before v has the new gradient."""

    def momentum(theta: Tensor, grads: Tensor, lr: float, mu: float) -> Tensor:
        v, path = torch.zeros_like(theta), []
        for g in grads:
            new = gather(v, g, lr, mu)
            theta = move(theta, v if late else new, g, lr, mu)
            v = new
            path.append(theta)
        return torch.stack(path)

    return momentum


def one_gradient_back(theta: Tensor, grads: Tensor, lr: float, mu: float) -> Tensor:
    before, path = torch.zeros_like(theta), []
    for g in grads:
        theta = theta - lr * (g + mu * before)
        before = g
        path.append(theta)
    return torch.stack(path)


def one_list_entry_for_all(theta: Tensor, grads: Tensor, lr: float, mu: float) -> Tensor:
    """The same tensor is put into the list again and again, and changes there."""
    return reference(theta, grads, lr, mu)[-1].expand(len(grads), -1)


def start_included(theta: Tensor, grads: Tensor, lr: float, mu: float) -> Tensor:
    return torch.cat([theta[None], reference(theta, grads, lr, mu)])


def last_alone(theta: Tensor, grads: Tensor, lr: float, mu: float) -> Tensor:
    return reference(theta, grads, lr, mu)[-1]


def velocities(theta: Tensor, grads: Tensor, lr: float, mu: float) -> Tensor:
    v, found = torch.zeros_like(theta), []
    for g in grads:
        v = mu * v + g
        found.append(v)
    return torch.stack(found)


def in_place(theta: Tensor, grads: Tensor, lr: float, mu: float) -> Tensor:
    path = reference(theta, grads, lr, mu)
    theta.copy_(path[-1])
    return path


def cast(theta: Tensor, grads: Tensor, lr: float, mu: float) -> Tensor:
    return reference(theta.float(), grads.float(), lr, mu)


def steps_in_v(theta: Tensor, grads: Tensor, lr: float, mu: float) -> list[Tensor]:
    """The textbook's form: v holds the step itself, learning rate included."""
    v, path, position = torch.zeros_like(theta), [], theta.clone()
    for t in range(len(grads)):
        v = mu * v - lr * grads[t]
        position += v
        path.append(position.clone())
    return path


def heavy_ball(theta: Tensor, grads: Tensor, lr: float, mu: float) -> Tensor:
    path = [theta, theta]
    for g in grads.unbind():
        path.append(path[-1] - lr * g + mu * (path[-1] - path[-2]))
    return torch.stack(path[2:])


def explicit_sum(theta: Tensor, grads: Tensor, lr: float, mu: float) -> Tensor:
    """All past gradients, each with its weight mu^age."""
    T = len(grads)
    age = torch.arange(T)[:, None] - torch.arange(T)[None, :]
    weights = torch.where(age >= 0, torch.tensor(mu, dtype=theta.dtype) ** age.clamp(min=0), 0)
    return theta - lr * (weights.to(theta.dtype) @ grads).cumsum(dim=0)


momentum = Question(
    name="momentum",
    title="Momentum",
    points=2,
    reference=reference,
    cases=cases,
    use=use,
    parts=("the path",),
    forbidden=(BY_HAND,),
    mistakes=(
        Mistake(
            "one_gradient_back",
            one_gradient_back,
            "only the gradient of the step before is remembered: v holds a decaying sum of them "
            "all, since mu multiplies the old v and not the old gradient",
        ),
        Mistake(
            "plain",
            by(gather=lambda v, g, lr, mu: g),
            "the past is forgotten: v <- mu v + g keeps it",
        ),
        Mistake(
            "mean",
            by(gather=lambda v, g, lr, mu: mu * v + (1 - mu) * g),
            "your v is a weighted mean of the gradients, so the steps are 1 - mu times ours: here "
            "v is the sum, mu v + g, as in torch",
        ),
        Mistake(
            "reversed",
            by(gather=lambda v, g, lr, mu: (1 - mu) * v + g),
            "the old v is multiplied by 1 - mu: mu is what is kept of it",
        ),
        Mistake(
            "mu_on_gradient",
            by(gather=lambda v, g, lr, mu: v + mu * g),
            "mu multiplies the new gradient: it multiplies the old v, so that the past fades",
        ),
        Mistake(
            "nothing_fades",
            by(gather=lambda v, g, lr, mu: v + g),
            "nothing fades: multiply the old v by mu before you add the gradient",
        ),
        Mistake(
            "nesterov",
            by(move=lambda theta, v, g, lr, mu: theta - lr * (g + mu * v)),
            "this is Nesterov's momentum, which looks one step ahead: here the step is lr v",
        ),
        Mistake(
            "late",
            by(late=True),
            "each step uses the v of the step before: put the new gradient into v first, then move",
        ),
        Mistake(
            "uphill",
            by(move=lambda theta, v, g, lr, mu: theta + lr * v),
            "this goes uphill: subtract lr v (or put the minus sign into v, not into both)",
        ),
        Mistake(
            "lr_twice",
            by(gather=lambda v, g, lr, mu: mu * v + lr * g),
            "the learning rate is applied twice: either in v or in the step",
        ),
        Mistake(
            "no_lr",
            by(move=lambda theta, v, g, lr, mu: theta - v),
            "the learning rate is not used: theta <- theta - lr v",
        ),
        Mistake(
            "theta_fades",
            by(move=lambda theta, v, g, lr, mu: mu * theta - lr * g),
            "mu multiplies the parameters, which makes them shrink: it multiplies v",
        ),
        Mistake(
            "one_entry_for_all",
            one_list_entry_for_all,
            "all entries are the last position: with theta -= ... the list holds one tensor many "
            "times, so append a copy or write theta = theta - lr * v",
        ),
        Mistake(
            "start_included",
            start_included,
            "the start is in the list: it has one entry a step, after the step",
        ),
        Mistake(
            "last_alone",
            last_alone,
            "you return the last parameters alone: return those after each step",
        ),
        Mistake(
            "velocities",
            velocities,
            "you return v after each step: return the parameters",
        ),
        Mistake(
            "in_place",
            in_place,
            "the caller's theta is changed: write theta = theta - lr * v, not theta -= lr * v",
        ),
        Mistake("cast", cast, ONE_DTYPE),
    ),
    variants=(
        Variant("the step itself in v", steps_in_v),
        Variant("the heavy ball: the last difference goes on", heavy_ball),
        Variant("all past gradients by a matrix", explicit_sum),
        Variant("from pieces", by()),
    ),
    hints=(
        "Begin with v = torch.zeros_like(theta). Each step first renews v, then theta.",
        "v = mu * v + g, then theta = theta - lr * v. Append theta to a list.",
    ),
)
