"""`nesterov_step`: the gradient is taken where the velocity is about to lead.

The gradient is a function, made in the process in which the answer lives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.judge import beside
from mlcourse.checks.optimisers_questions.shared import (
    BY_HAND,
    WALKS,
    State,
    Tensors,
    draw_tensors,
    forgetful,
    usual_mistakes,
    walk,
)

Gradient = Callable[[Tensors], Tensors]
NesterovStep = Callable[[Tensors, Gradient, State, float, float], tuple[Tensors, State]]
SETTINGS = ((0.2, 0.9), (0.3, 0.5), (0.1, 0.8), (0.4, 0.7))


def cases(g: Generator) -> list[tuple]:
    """(params, the bowl's curvatures and centre, number of steps, lr, mu)."""
    found = []
    for (shapes, steps, dtype), settings in zip(WALKS, SETTINGS, strict=True):
        params, centre = draw_tensors(shapes, g, dtype), draw_tensors(shapes, g, dtype)
        curvatures = {
            name: 0.3 + 1.7 * torch.rand(*shape, generator=g, dtype=dtype)
            for name, shape in shapes.items()
        }
        found.append((params, curvatures, centre, steps, *settings))
    return found


def use(
    answer: Callable,
    params: Tensors,
    curvatures: Tensors,
    centre: Tensors,
    steps: int,
    lr: float,
    mu: float,
) -> Any:
    """Make the gradient of a bowl beside the answer, and walk down."""
    gradient = beside(answer, "witness", "Bowl")(curvatures, centre)
    return walk(answer, params, [gradient] * steps, lr, mu)


def reference(
    params: Tensors, gradient: Gradient, state: State, lr: float, mu: float
) -> tuple[Tensors, State]:
    v = {name: state.get(name, torch.zeros_like(p)) for name, p in params.items()}
    ahead = gradient({name: p + mu * v[name] for name, p in params.items()})
    v = {name: mu * v[name] - lr * ahead[name] for name in params}
    return {name: p + v[name] for name, p in params.items()}, v


def by(
    ahead: Callable[[Tensor, Tensor, float, float], Tensor] = lambda p, v, lr, mu: p + mu * v,
    gather: Callable[[Tensor, Tensor, float, float], Tensor] = lambda v, g, lr, mu: mu * v - lr * g,
    move: Callable[..., Tensor] = lambda p, v, g, old, lr, mu: p + v,
) -> NesterovStep:
    """Nesterov's momentum with one of its pieces exchanged."""

    def nesterov_step(
        params: Tensors, gradient: Gradient, state: State, lr: float, mu: float
    ) -> tuple[Tensors, State]:
        old = {name: state.get(name, torch.zeros_like(p)) for name, p in params.items()}
        g = gradient({name: ahead(p, old[name], lr, mu) for name, p in params.items()})
        v = {name: gather(old[name], g[name], lr, mu) for name in params}
        new = {name: move(p, v[name], g[name], old[name], lr, mu) for name, p in params.items()}
        return new, v

    return nesterov_step


def torchs_form(
    params: Tensors, gradient: Gradient, state: State, lr: float, mu: float
) -> tuple[Tensors, State]:
    g = gradient(params)
    v = {name: mu * state.get(name, 0) + g[name] for name in params}
    return {name: p - lr * (g[name] + mu * v[name]) for name, p in params.items()}, v


def one_tensor_at_a_time(
    params: Tensors, gradient: Any, state: State, lr: float, mu: float
) -> tuple[Tensors, State]:
    v = {}
    for name, p in params.items():
        old = state.get(name, torch.zeros_like(p))
        v[name] = mu * old - lr * gradient(p + mu * old)
    return {name: p + v[name] for name, p in params.items()}, v


def gradient_twice(
    params: Tensors, gradient: Gradient, state: State, lr: float, mu: float
) -> tuple[Tensors, State]:
    """Descends to a point, and takes the gradient there once more."""
    first = gradient(params)
    v = {name: mu * state.get(name, 0) - lr * first[name] for name in params}
    second = gradient({name: p + v[name] for name, p in params.items()})
    v = {name: mu * state.get(name, 0) - lr * second[name] for name in params}
    return {name: p + v[name] for name, p in params.items()}, v


def scaled_velocity(
    params: Tensors, gradient: Gradient, state: State, lr: float, mu: float
) -> tuple[Tensors, State]:
    """v is a sum of gradients, as in torch: the way ahead is then - lr mu v."""
    v = state.get("v") or {name: torch.zeros_like(p) for name, p in params.items()}
    ahead = {name: p - lr * mu * v[name] for name, p in params.items()}
    v = {name: mu * v[name] + slope for name, slope in gradient(ahead).items()}
    return {name: p - lr * v[name] for name, p in params.items()}, {"v": v}


def from_two_places(
    params: Tensors, gradient: Gradient, state: State, lr: float, mu: float
) -> tuple[Tensors, State]:
    """Keeps the parameters before these, as the rule was first written down."""
    before = state.get("before", params)
    ahead = {name: p.lerp(before[name], -mu) for name, p in params.items()}
    g = gradient(ahead)
    return {name: ahead[name] - lr * g[name] for name in params}, {"before": params}


def in_torch_variables(
    params: Tensors, gradient: Gradient, state: State, lr: float, mu: float
) -> tuple[Tensors, State]:
    """torch's form on the points ahead, and back from them."""
    v = state.get("v") or {name: torch.zeros_like(p) for name, p in params.items()}
    ahead = {name: p - lr * mu * v[name] for name, p in params.items()}
    moved, v = torchs_form(ahead, gradient, v, lr, mu)
    return {name: moved[name] + lr * mu * v[name] for name in params}, {"v": v}


nesterov_step = Question(
    name="nesterov_step",
    title="Nesterov's momentum",
    points=2,
    reference=reference,
    cases=cases,
    use=use,
    forbidden=(BY_HAND,),
    mistakes=(
        Mistake(
            "old_point",
            by(ahead=lambda p, v, lr, mu: p),
            "the gradient is taken at the old point, which is momentum as before: take it at theta "
            "+ mu v",
        ),
        Mistake(
            "behind",
            by(ahead=lambda p, v, lr, mu: p - mu * v),
            "the gradient is taken behind the old point: v is the last step, so ahead is theta + "
            "mu v",
        ),
        Mistake(
            "whole_v_ahead",
            by(ahead=lambda p, v, lr, mu: p + v),
            "you look ahead by the whole v: of the old v only mu v will be taken, so look from "
            "theta + mu v",
        ),
        Mistake(
            "lr_ahead",
            by(ahead=lambda p, v, lr, mu: p + lr * mu * v),
            "lr multiplies the way ahead, but in this form it is in v already: look from theta + "
            "mu v",
        ),
        Mistake(
            "lr_missing_ahead",
            by(
                gather=lambda v, g, lr, mu: mu * v + g,
                move=lambda p, v, g, old, lr, mu: p - lr * v,
            ),
            "your v is a sum of gradients and points uphill, so theta + mu v is not where it "
            "leads: keep v <- mu v - lr g, or look from theta - lr mu v",
        ),
        Mistake(
            "from_ahead",
            by(move=lambda p, v, g, old, lr, mu: p + mu * old + v),
            "the step starts from the point ahead, so mu v counts twice: it starts from theta, "
            "theta + v with the new v",
        ),
        Mistake(
            "torchs_form",
            torchs_form,
            "this is torch's form, whose parameters are the points ahead: the same rule, but here "
            "theta itself is asked for, so take the gradient at theta + mu v",
        ),
        Mistake(
            "gradient_alone",
            by(move=lambda p, v, g, old, lr, mu: p - lr * g),
            "the step follows the gradient alone: theta moves by the whole new v",
        ),
        Mistake(
            "old_v",
            by(move=lambda p, v, g, old, lr, mu: p + old),
            "theta moves by the old v: renew v first, then theta <- theta + v",
        ),
        Mistake(
            "forgotten",
            forgetful(reference),
            "nothing is remembered from step to step: return the new v in the state, and read it "
            "there at the next call",
        ),
        Mistake(
            "mean",
            by(gather=lambda v, g, lr, mu: mu * v - (1 - mu) * lr * g),
            "the new gradient is multiplied by 1 - mu, as in a mean: v is a plain sum, mu v - lr g",
        ),
        Mistake(
            "nothing_kept",
            by(gather=lambda v, g, lr, mu: -lr * g),
            "the new v has nothing of the old: v <- mu v - lr g",
        ),
        Mistake(
            "nothing_fades",
            by(gather=lambda v, g, lr, mu: v - lr * g),
            "nothing fades: multiply the old v by mu in the new one too",
        ),
        Mistake(
            "uphill",
            by(gather=lambda v, g, lr, mu: mu * v + lr * g),
            "this goes uphill: v <- mu v - lr g, and then theta + v",
        ),
        Mistake(
            "backwards",
            by(move=lambda p, v, g, old, lr, mu: p - v),
            "v is subtracted, but the minus sign is in it already: theta <- theta + v",
        ),
        Mistake(
            "no_lr",
            by(gather=lambda v, g, lr, mu: mu * v - g),
            "the learning rate is not used: v <- mu v - lr g",
        ),
        Mistake(
            "gradient_twice",
            gradient_twice,
            "you look ahead with a gradient of the old point in v: the look ahead is along mu v "
            "alone, and the gradient is taken once",
        ),
        Mistake(
            "one_tensor_at_a_time",
            one_tensor_at_a_time,
            "gradient gets a part of the parameters: it takes a dict of them all, since the "
            "gradient of each may depend on all, and returns a dict",
        ),
        *usual_mistakes(reference),
    ),
    variants=(
        Variant("a sum of gradients in v", scaled_velocity),
        Variant("two places instead of a velocity", from_two_places),
        Variant("torch's form and back", in_torch_variables),
        Variant("from pieces", by()),
    ),
    hints=(
        "Four lines: the v of before (zeros at first), the gradient ahead, the new v, the new "
        "parameters.",
        "gradient takes a whole dict: gradient({name: p + mu * v[name] for name, p in "
        "params.items()}) returns a dict of gradients.",
        "The look ahead serves for the gradient alone. Then v = mu v - lr g, and theta + v.",
    ),
)
