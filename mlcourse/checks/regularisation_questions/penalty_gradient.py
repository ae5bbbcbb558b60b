"""`penalty_gradient`: the gradient of the elastic net by hand, at zero too."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.better_training_questions.shared import NO_AUTOGRAD
from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.declare import Mistake, Question, Variant

Parts = Callable[[Tensor], Tensor]


def cases(g: Generator) -> list[tuple[Tensor, float, float]]:
    """(w, l1, l2): weights of both signs, some exactly zero; each strength alone as well."""
    found = []
    for shape, a, b, dtype in (
        ((4, 3), 0.3, 0.8, torch.float64),
        ((6,), 0.7, 0.0, torch.float32),
        ((2, 3, 2), 0.0, 0.4, torch.float64),
        ((5, 2), 1.5, 0.2, torch.float32),
        ((8,), 0.9, 1.1, torch.float64),
    ):
        w = normal(*shape, generator=g, dtype=dtype)
        w = w.sign() * (0.2 + w.abs())
        first = w.view(-1)
        first[0], first[1], first[2] = 0.0, first[1].abs(), -first[2].abs()
        found.append((w, a, b))
    return found


def by(
    one: Parts = torch.sign, two: Parts = lambda w: 2 * w
) -> Callable[[Tensor, float, float], Tensor]:
    """The gradient with one of its two parts exchanged."""
    return lambda w, a, b: a * one(w) + b * two(w)


def in_place(w: Tensor, a: float, b: float) -> Tensor:
    w.copy_(by()(w, a, b))
    return w


def by_cases(w: Tensor, a: float, b: float) -> Tensor:
    return torch.where(w > 0, a, torch.where(w < 0, -a, 0.0)).to(w.dtype) + 2 * b * w


def by_counting(w: Tensor, a: float, b: float) -> Tensor:
    return ((w > 0).to(w.dtype) - (w < 0).to(w.dtype)) * a + w * (b + b)


def in_numpy(w: Tensor, a: float, b: float) -> np.ndarray:
    array = w.numpy()
    result: np.ndarray = a * np.sign(array) + 2 * b * array
    return result.astype(array.dtype)


penalty_gradient = Question(
    name="penalty_gradient",
    title="The gradient of a penalty",
    points=2,
    reference=by(),
    cases=cases,
    parts=("the gradient",),
    forbidden=(NO_AUTOGRAD,),
    mistakes=(
        Mistake(
            "no_two",
            by(two=lambda w: w),
            "the factor 2 is missing: the derivative of l2 w^2 is 2 l2 w",
        ),
        Mistake(
            "nan_at_zero",
            by(one=lambda w: w / w.abs()),
            "w / |w| is nan where w is 0: take torch.sign, which is 0 there",
        ),
        Mistake(
            "plus_at_zero",
            by(one=lambda w: torch.where(w >= 0, 1.0, -1.0).to(w.dtype)),
            "at w = 0 your L1 part is +l1, which drives a weight away from zero that is there "
            "already: take 0",
        ),
        Mistake(
            "minus_at_zero",
            by(one=lambda w: torch.where(w > 0, 1.0, -1.0).to(w.dtype)),
            "at w = 0 your L1 part is -l1, which drives a weight away from zero that is there "
            "already: take 0",
        ),
        Mistake(
            "constant",
            by(one=torch.ones_like),
            "the L1 part is +l1 everywhere: for a negative weight |w| falls as w grows, so it is "
            "-l1 there",
        ),
        Mistake(
            "proportional",
            by(one=lambda w: w),
            "the L1 part grows with w: the slope of |w| is 1 or -1, however large w is",
        ),
        Mistake(
            "values",
            by(torch.abs, torch.square),
            "these are the penalties themselves, entry by entry: return their derivatives",
        ),
        Mistake(
            "absolute",
            by(one=lambda w: w.abs()),
            "the L1 part is l1 |w|, the penalty itself: its derivative is l1 times the sign of w",
        ),
        Mistake(
            "exchanged",
            lambda w, a, b: by()(w, b, a),
            "l1 and l2 are exchanged: l1 multiplies the sign, l2 the weight",
        ),
        Mistake(
            "no_l1",
            by(one=torch.zeros_like),
            "the L1 part is missing: add l1 times the sign of w",
        ),
        Mistake(
            "no_l2",
            by(two=torch.zeros_like),
            "the L2 part is missing: add 2 l2 w",
        ),
        Mistake(
            "norm",
            by(two=lambda w: w / w.norm()),
            "the L2 part is the gradient of the norm, w / ||w||: the penalty is the *squared* "
            "norm, with the gradient 2 w",
        ),
        Mistake(
            "downhill",
            lambda w, a, b: -by()(w, a, b),
            "the sign is wrong: return the gradient, not the step, which goes against it",
        ),
        Mistake(
            "summed",
            lambda w, a, b: by()(w, a, b).sum(),
            "you add up the gradient: it has one entry for each weight, so the shape of w",
        ),
        Mistake("in_place", in_place, "the caller's w is changed: return a new tensor"),
        Mistake("cast", lambda w, a, b: by()(w, a, b).float(), ONE_DTYPE),
    ),
    variants=(
        Variant("case by case", by_cases),
        Variant("comparisons as numbers", by_counting),
        Variant("a detour by NumPy", in_numpy),
        Variant("a careful division", by(one=lambda w: w / w.abs().clamp(min=1e-30))),
    ),
    hints=(
        "Each entry by itself: what is the derivative of |w| for w > 0, and for w < 0?",
        "torch.sign(w) is 1, -1, or 0 where w is 0.",
        "The derivative of w^2 has a factor 2.",
    ),
)
