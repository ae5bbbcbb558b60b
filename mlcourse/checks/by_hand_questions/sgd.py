"""`sgd`: one step of gradient descent that leaves the caller's parameters alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse import mlp
from mlcourse.checks.by_hand_questions.shared import (
    KEYS,
    NETWORKS,
    ONE_DTYPE,
    Params,
    draw_params,
    pick,
)
from mlcourse.checks.declare import Mistake, Question, Variant


def sgd_cases(g: Generator) -> list[tuple[Params, Params, float]]:
    cases = []
    for (_, nx, nh, ny, dtype), eta in zip(NETWORKS, (0.1, 0.5, 0.03, 2.0, 0.25), strict=True):
        params, grads = draw_params(nx, nh, ny, g, dtype), draw_params(nx, nh, ny, g, dtype)
        cases.append((params, grads, eta))
    return cases


def use_sgd(answer: Callable, params: Params, grads: Params, eta: float) -> Any:
    return pick(answer(params, grads, eta), KEYS)


def sgd_by(rule: Callable[[Tensor, Tensor, float], Tensor]) -> Callable:
    def sgd(params: Params, grads: Params, eta: float) -> Params:
        return {key: rule(params[key], grads[key], eta) for key in params}

    return sgd


def sgd_in_place(params: Params, grads: Params, eta: float) -> Params:
    for key in params:
        params[key] -= eta * grads[key]
    return params


def sgd_in_place_silent(params: Params, grads: Params, eta: float) -> None:
    sgd_in_place(params, grads, eta)


def sgd_weights_only(params: Params, grads: Params, eta: float) -> Params:
    return {key: p - eta * grads[key] if key[0] == "W" else p for key, p in params.items()}


def sgd_copied(params: Params, grads: Params, eta: float) -> Params:
    new = {key: value.clone() for key, value in params.items()}
    for key, value in new.items():
        value.sub_(grads[key], alpha=eta)
    return new


def sgd_key_by_key(params: Params, grads: Params, eta: float) -> Params:
    by = torch.add(params["by"], grads["by"], alpha=-eta)
    Wy = params["Wy"] + (-eta) * grads["Wy"]
    bh = params["bh"].lerp(params["bh"] - grads["bh"], eta)
    return {"by": by, "Wy": Wy, "bh": bh, "Wh": params["Wh"] - grads["Wh"].mul(eta)}


def sgd_in_numpy(params: Params, grads: Params, eta: float) -> Params:
    return {
        key: torch.from_numpy(value.numpy() - eta * grads[key].numpy())
        for key, value in params.items()
    }


CALLERS = (
    "the caller's params are changed: return a new dict with new tensors "
    "(p - eta * g, not p -= eta * g)"
)

sgd = Question(
    name="sgd",
    title="One step of gradient descent",
    points=1,
    reference=mlp.sgd,
    cases=sgd_cases,
    use=use_sgd,
    parts=("params",),
    mistakes=(
        Mistake(
            "ascent",
            sgd_by(lambda p, g, eta: p + eta * g),
            "this step goes uphill: the gradient points to larger loss, so subtract it",
        ),
        Mistake(
            "no_eta",
            sgd_by(lambda p, g, eta: p - g),
            "the learning rate is not used: subtract eta times the gradient",
        ),
        Mistake(
            "divided_by_eta",
            sgd_by(lambda p, g, eta: p - g / eta),
            "the gradient is divided by eta: multiply it",
        ),
        Mistake(
            "eta_twice",
            sgd_by(lambda p, g, eta: p - eta * eta * g),
            "the learning rate is applied twice: subtract eta times the gradient",
        ),
        Mistake(
            "step_only",
            sgd_by(lambda p, g, eta: -eta * g),
            "you return the step alone: add it to the parameters",
        ),
        Mistake(
            "shrunk",
            sgd_by(lambda p, g, eta: (1 - eta) * p - eta * g),
            "the parameters shrink too: a plain step is theta - eta * gradient",
        ),
        Mistake(
            "unchanged",
            sgd_by(lambda p, g, eta: p.clone()),
            "the parameters come back unchanged: return theta - eta * gradient",
        ),
        Mistake(
            "weights_only",
            sgd_weights_only,
            "the biases are not updated: they are parameters too",
        ),
        Mistake("in_place", sgd_in_place, CALLERS),
        Mistake("in_place_silent", sgd_in_place_silent, CALLERS),
        Mistake("cast", sgd_by(lambda p, g, eta: (p - eta * g).float()), ONE_DTYPE),
    ),
    variants=(
        Variant("a copy, then in place", sgd_copied),
        Variant("key by key, in another order", sgd_key_by_key),
        Variant("a detour by NumPy", sgd_in_numpy),
    ),
    hints=(
        "The gradient points where the loss grows fastest. In which direction do you go, and how "
        "far?",
        "For each key: new = old - eta * gradient. The operator -= would change the caller's "
        "tensor.",
        "A dict comprehension does it: {key: ... for key in params}.",
    ),
)
