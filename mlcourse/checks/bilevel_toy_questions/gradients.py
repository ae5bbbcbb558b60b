"""`along_the_response` and `unrolled_gradient`: what the outer problem sees of the inner one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.pso_questions.shared import Array, draw, use_arrays
from mlcourse.checks.search_basics_questions.shared import EXACT

# --- Along the best response ----------------------------------------------------------------------


def response_cases(g: Generator) -> list[tuple[Array]]:
    """(a): hyper-parameters on both sides of the solution."""
    return [(draw(n, g=g, low=-2.5, high=3.5),) for n in (5, 8, 3)]


Piece = Callable[[Array], Any]


def response_by(
    response: Piece = lambda a: a,
    outer: Piece = lambda a: (a - 1) ** 2,
    slope: Piece = lambda a: 2 * (a - 1),
) -> Callable[[Array], Any]:
    """Give the three arrays, with one of them exchanged."""
    return lambda a: (response(a).copy(), outer(a), slope(a))


def response_by_autograd(a: Array) -> Any:
    place = torch.from_numpy(a).requires_grad_()
    w = 1.0 * place
    outer = place * w - 2 * place + 1
    (slope,) = torch.autograd.grad(outer.sum(), place)
    return w, outer, slope


def response_by_differences(a: Array) -> Any:
    def outer(a: Array) -> Array:
        values: Array = a * a - 2 * a + 1
        return values

    return a, outer(a), (outer(a + 0.01) - outer(a - 0.01)) / 0.02


def response_by_loops(a: Array) -> Any:
    rows = [(x, x * x - 2 * x + 1, (x - 2) + x * 1.0) for x in a.tolist()]
    return [[row[i] for row in rows] for i in range(3)]


along_the_response = Question(
    name="along_the_response",
    title="Along the best response",
    points=2,
    reference=response_by(),
    cases=response_cases,
    use=use_arrays,
    parts=("the best responses", "the outer losses", "their slopes"),
    mistakes=(
        Mistake(
            "weights_held",
            response_by(slope=lambda a: a - 2),
            "your slope w - 2 holds w still, but w*(a) moves with a: add the slope of the "
            "validation loss in w, times dw*/da",
        ),
        Mistake(
            "indirect_alone",
            response_by(slope=lambda a: a.copy()),
            "your slope is the way through w* alone: a stands in the validation loss itself too, "
            "so add w - 2",
        ),
        Mistake(
            "indirect_subtracted",
            response_by(slope=lambda a: (a - 2) - a),
            "the two terms of the slope are subtracted: dw*/da is +1 here, so add them",
        ),
        Mistake(
            "slope_halved",
            response_by(slope=lambda a: a - 1),
            "the slope is half of what it should be: that of (a - 1) ** 2 has a factor 2",
        ),
        Mistake(
            "solution_everywhere",
            response_by(
                lambda a: np.ones_like(a), lambda a: 1 - a, lambda a: np.full_like(a, -1.0)
            ),
            "you hold w at 1, the solution, for every a: the best response is another w for each "
            "a, the one where (w - a) ** 2 is lowest",
        ),
        Mistake(
            "start_everywhere",
            response_by(
                lambda a: np.full_like(a, -2.0),
                lambda a: 1 - 4 * a,
                lambda a: np.full_like(a, -4.0),
            ),
            "you hold w at -2, where the descent starts: for each a, take the w where "
            "(w - a) ** 2 is lowest",
        ),
        Mistake(
            "train_loss",
            response_by(outer=np.zeros_like),
            "those are train losses, which are 0 at every best response: the outer loss is the "
            "validation loss there",
        ),
        Mistake(
            "one_forgotten",
            response_by(outer=lambda a: a**2 - 2 * a),
            "the outer losses are 1 too low: the validation loss ends with + 1",
        ),
        Mistake(
            "response_negative",
            response_by(lambda a: -a),
            "the best response has the wrong sign: (w - a) ** 2 is 0 at w = a",
        ),
        Mistake(
            "order",
            lambda a: response_by()(a)[::-1],
            "the right numbers in the wrong order: responses, then losses, then slopes",
        ),
    ),
    variants=(
        Variant("autograd", response_by_autograd),
        Variant("differences", response_by_differences),
        Variant("loops", response_by_loops),
    ),
    hints=(
        "For which w is (w - a) ** 2 as low as it can be? That is w*(a).",
        "Put w*(a) for w into a w - 2 a + 1, and only then differentiate: the slope is that of a "
        "function of a alone.",
        "w* = a, so the outer loss is a ** 2 - 2 * a + 1.",
    ),
)


# --- The gradient of the unrolled step ------------------------------------------------------------


def gradient_cases(g: Generator) -> list[tuple[float, float, float]]:
    """(w, a, xi): first order, shorter and longer steps, w on both sides of a."""
    found: list[tuple[float, float, float]] = []
    for low, high in ((0.0, 0.0), (0.08, 0.15), (0.25, 0.35), (0.55, 0.7), (0.75, 0.9)):
        a = uniform(0.8, 2.5, g)
        w = a + uniform(0.7, 3.0, g) * (1 if len(found) % 2 else -1)
        found.append((w, a, uniform(low, high, g)))
    return found


Gradient = Callable[[float, float, float], float]


def gradient_by(
    step: Gradient = lambda w, a, xi: w - 2 * xi * (w - a),
    response: Gradient = lambda w, a, xi: 2 * xi,
    sign: float = 1.0,
) -> Gradient:
    """The direct term at the unrolled weight plus the indirect one, with a piece exchanged."""
    return lambda w, a, xi: step(w, a, xi) - 2 + sign * a * response(w, a, xi)


def old(w: float, a: float, xi: float) -> float:
    return w


def nothing(w: float, a: float, xi: float) -> float:
    return 0.0


def by_autograd(w: float, a: float, xi: float) -> Any:
    weight = torch.tensor(w, dtype=torch.float64)
    hyper = torch.tensor(a, dtype=torch.float64, requires_grad=True)
    moved = weight - xi * 2 * (weight - hyper)
    return torch.autograd.grad(hyper * moved - 2 * hyper + 1, hyper)[0]


def multiplied_out(w: float, a: float, xi: float) -> float:
    return (1 - 2 * xi) * w + 4 * xi * a - 2


def by_difference(w: float, a: float, xi: float) -> float:
    def outer(a: float) -> float:
        return a * (w - 2 * xi * (w - a)) - 2 * a + 1

    return (outer(a + 0.01) - outer(a - 0.01)) / 0.02


unrolled_gradient = Question(
    name="unrolled_gradient",
    title="The gradient through one step",
    points=3,
    reference=gradient_by(),
    cases=gradient_cases,
    parts=("the gradient",),
    tolerance={**EXACT, float: 1e-5},
    mistakes=(
        Mistake(
            "first_order",
            gradient_by(old, nothing),
            "xi is forgotten: w - 2 is the first-order gradient, with the weight held still; put "
            "the weight after its step, and how it depends on a",
        ),
        Mistake(
            "detached",
            gradient_by(response=nothing),
            "the new weight is detached, as if it did not depend on a: its step contains a, so the "
            "term a * d(new weight)/da is missing",
        ),
        Mistake(
            "old_w",
            gradient_by(old),
            "the direct term takes the old w: it belongs to the weight *after* the step, "
            "w - xi * 2 (w - a)",
        ),
        Mistake(
            "indirect_sign",
            gradient_by(sign=-1.0),
            "the indirect term has the wrong sign: in w - 2 xi (w - a), a comes with + 2 xi, so a "
            "larger a *raises* the new weight",
        ),
        Mistake(
            "no_two",
            gradient_by(lambda w, a, xi: w - xi * (w - a), lambda w, a, xi: xi),
            "a factor 2 is missing: the gradient of (w - a) ** 2 is 2 (w - a), in the step and in "
            "its derivative",
        ),
        Mistake(
            "no_two_in_the_response",
            gradient_by(response=lambda w, a, xi: xi),
            "the step has its factor 2, but its derivative in a has not: d/da of "
            "w - 2 xi (w - a) is 2 xi",
        ),
        Mistake(
            "no_two_in_the_step",
            gradient_by(lambda w, a, xi: w - xi * (w - a)),
            "the derivative has its factor 2, but the step has not: the new weight is "
            "w - 2 xi (w - a)",
        ),
        Mistake(
            "xi_missing_in_the_response",
            gradient_by(response=lambda w, a, xi: 2.0),
            "the indirect term lacks its xi: a step of length xi answers to a with 2 xi, not 2",
        ),
        Mistake(
            "whole_response",
            gradient_by(response=lambda w, a, xi: 1.0),
            "dw/da = 1 is the slope of the best response: after one step of length xi it is 2 xi",
        ),
        Mistake(
            "exact",
            lambda w, a, xi: 2 * (a - 1),
            "that is the slope along the best response, which neither w nor xi can change: here "
            "the weight makes one step of length xi",
        ),
        Mistake(
            "step_of_one",
            gradient_by(lambda w, a, xi: w - 2 * (w - a), lambda w, a, xi: 2.0),
            "xi is left out of the step: the weight moves by xi times the gradient of the train "
            "loss",
        ),
        Mistake(
            "uphill",
            gradient_by(lambda w, a, xi: w + 2 * xi * (w - a), lambda w, a, xi: -2 * xi),
            "the step goes uphill: the new weight is w *minus* xi times the gradient",
        ),
        Mistake(
            "of_the_train_loss",
            lambda w, a, xi: -2 * (w - a),
            "that is the slope of the *train* loss in a: a follows the validation loss",
        ),
        Mistake(
            "in_w",
            lambda w, a, xi: a * (1 - 2 * xi),
            "that is the slope in w: differentiate by a",
        ),
        Mistake(
            "minus_the_gradient",
            lambda w, a, xi: -gradient_by()(w, a, xi),
            "everything has the wrong sign: return the gradient itself, not the direction of "
            "descent",
        ),
        Mistake(
            "loss",
            lambda w, a, xi: a * (w - 2 * xi * (w - a)) - 2 * a + 1,
            "that is the validation loss after the step: return its slope in a",
        ),
    ),
    variants=(
        Variant("autograd", by_autograd),
        Variant("multiplied out", multiplied_out),
        Variant("a difference", by_difference),
    ),
    hints=(
        "Write the new weight down as a formula of w, a and xi. The validation loss there is a "
        "function of a alone, as w and xi are given.",
        "a * new - 2 * a + 1, where new depends on a too: use the product rule.",
        "new - 2 + a * (derivative of new by a), and new = w - xi * 2 * (w - a).",
    ),
)
