"""`momentum_step`: a decaying sum of the gradients, in either of its two forms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.optimisers_questions.shared import (
    BY_HAND,
    GRADS_CHANGED,
    State,
    Step,
    Tensors,
    forgetful,
    step_of,
    usual_mistakes,
    walk,
    walks_with,
)

cases = walks_with((0.1, 0.9), (0.3, 0.5), (0.2, 0.0), (0.05, 0.99))


def reference(
    params: Tensors, grads: Tensors, state: State, lr: float, mu: float
) -> tuple[Tensors, State]:
    v = {name: mu * state.get(name, 0) + grads[name] for name in params}
    return {name: p - lr * v[name] for name, p in params.items()}, v


def by(
    gather: Callable[[Tensor, Tensor, float, float], Tensor] = lambda v, g, lr, mu: mu * v + g,
    move: Callable[[Tensor, Tensor, Tensor, float, float], Tensor] = (
        lambda p, v, g, lr, mu: p - lr * v
    ),
    late: bool = False,
) -> Step:
    """Momentum with one of its pieces exchanged; `late` moves before v has the new gradient."""

    def rule(
        p: Tensor, g: Tensor, kept: State, t: int, lr: float, mu: float
    ) -> tuple[Tensor, State]:
        old = kept.get("v", torch.zeros_like(p))
        v = gather(old, g, lr, mu)
        return move(p, old if late else v, g, lr, mu), {"v": v}

    return step_of(rule)


def one_gradient_back(
    params: Tensors, grads: Tensors, state: State, lr: float, mu: float
) -> tuple[Tensors, State]:
    new = {name: p - lr * (grads[name] + mu * state.get(name, 0)) for name, p in params.items()}
    return new, dict(grads)


def grads_in_place(
    params: Tensors, grads: Tensors, state: State, lr: float, mu: float
) -> tuple[Tensors, State]:
    for name, g in grads.items():
        g += mu * state.get(name, 0)
    return {name: p - lr * grads[name] for name, p in params.items()}, dict(grads)


def step_in_v(
    params: Tensors, grads: Tensors, state: State, lr: float, mu: float
) -> tuple[Tensors, State]:
    """The textbook's form: v holds the step itself, learning rate included."""
    new, later = {}, {}
    for name in params:
        later[name] = -lr * grads[name]
        if name in state:
            later[name] = later[name] + mu * state[name]
        new[name] = params[name] + later[name]
    return new, later


def heavy_ball(
    params: Tensors, grads: Tensors, state: State, lr: float, mu: float
) -> tuple[Tensors, State]:
    """Keeps the parameters before these: their difference is the last step."""
    before = state.get("before", params)
    new = {name: p - lr * grads[name] + mu * (p - before[name]) for name, p in params.items()}
    return new, {"before": params}


def every_gradient_kept(
    params: Tensors, grads: Tensors, state: State, lr: float, mu: float
) -> tuple[Tensors, State]:
    """Keeps all gradients in a list, and weights each by its age."""
    past = [*state.get("past", []), grads]
    weights = [mu**age for age in reversed(range(len(past)))]
    new = {}
    for name, p in params.items():
        total = sum(w * g[name] for w, g in zip(weights, past, strict=True))
        new[name] = p - lr * total
    return new, {"past": past}


momentum_step = Question(
    name="momentum_step",
    title="Momentum",
    points=2,
    reference=reference,
    cases=cases,
    use=walk,
    forbidden=(BY_HAND,),
    mistakes=(
        Mistake(
            "forgotten",
            forgetful(reference),
            "nothing is remembered from step to step: return the new v in the state, and read it "
            "there at the next call",
        ),
        Mistake(
            "mean",
            by(lambda v, g, lr, mu: mu * v + (1 - mu) * g),
            "your v is a weighted mean of the gradients, so your steps are 1 - mu times ours: "
            "momentum is a plain sum, mu v + g",
        ),
        Mistake(
            "exchanged",
            by(lambda v, g, lr, mu: (1 - mu) * v + mu * g),
            "mu and 1 - mu are exchanged, and 1 - mu has no place here: v <- mu v + g",
        ),
        Mistake(
            "kept_share",
            by(lambda v, g, lr, mu: (1 - mu) * v + g),
            "the old v is multiplied by 1 - mu: mu is what is kept of it",
        ),
        Mistake(
            "mu_on_gradient",
            by(lambda v, g, lr, mu: v + mu * g),
            "mu multiplies the new gradient: it multiplies the old v, so that the past fades",
        ),
        Mistake(
            "nothing_fades",
            by(lambda v, g, lr, mu: v + g),
            "nothing fades: multiply the old v by mu before you add the gradient",
        ),
        Mistake(
            "sign_of_v",
            by(lambda v, g, lr, mu: g - mu * v),
            "the old v comes in with the wrong sign, so each step takes back part of the one "
            "before: v <- mu v + g, or mu v - lr g with theta + v",
        ),
        Mistake(
            "uphill",
            by(move=lambda p, v, g, lr, mu: p + lr * v),
            "this goes uphill: with v <- mu v + g subtract lr v; with v <- mu v - lr g add v",
        ),
        Mistake(
            "lr_twice",
            by(lambda v, g, lr, mu: mu * v + lr * g),
            "the learning rate is applied twice: it stands either in v or in the step",
        ),
        Mistake(
            "no_lr",
            by(move=lambda p, v, g, lr, mu: p - v),
            "the learning rate is not used: theta <- theta - lr v",
        ),
        Mistake(
            "late",
            by(late=True),
            "each step uses the v of the step before: put the new gradient into v first, then move",
        ),
        Mistake(
            "nesterov",
            by(move=lambda p, v, g, lr, mu: p - lr * (g + mu * v)),
            "this is Nesterov's momentum, which comes next: here the step is lr v",
        ),
        Mistake(
            "added_again",
            by(move=lambda p, v, g, lr, mu: p - lr * (g + v)),
            "the newest gradient counts twice: it is in v already, so the step is lr v alone",
        ),
        Mistake(
            "one_gradient_back",
            one_gradient_back,
            "the state holds the last gradient alone: it has to hold v, in which all earlier "
            "gradients are summed",
        ),
        Mistake(
            "theta_fades",
            by(move=lambda p, v, g, lr, mu: mu * p - lr * g),
            "mu multiplies the parameters, which makes them shrink: it multiplies v",
        ),
        Mistake("grads_in_place", grads_in_place, GRADS_CHANGED),
        *usual_mistakes(by()),
    ),
    variants=(
        Variant("the step itself in v", step_in_v),
        Variant("the heavy ball: the last difference goes on", heavy_ball),
        Variant("a list of all gradients", every_gradient_kept),
        Variant("from pieces", by()),
    ),
    hints=(
        "state[name] can hold the v of that tensor. At the first step it is not there: "
        "state.get(name, 0) is then 0.",
        "v = {name: mu * state.get(name, 0) + grads[name] for name in params}: a new dict, the old "
        "one is left alone.",
        "The new parameters are p - lr * v[name]. Return both dicts: the parameters, and v.",
    ),
)
