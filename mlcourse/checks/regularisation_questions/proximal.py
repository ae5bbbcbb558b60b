"""`soft_threshold` and `shrink`: the proximal steps of L1 and of the squared L2 norm."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.declare import Mistake, Question, Variant

SIZES = (
    ((4, 3), 0.4, torch.float64),
    ((7,), 0.15, torch.float32),
    ((2, 3, 2), 0.9, torch.float64),
    ((3, 4), 0.3, torch.float32),
)


def cases(g: Generator) -> list[tuple[Tensor, float]]:
    """(v, t): entries of both signs on both sides of t, one exactly zero."""
    found = []
    for shape, t, dtype in SIZES:
        v = normal(*shape, generator=g, dtype=dtype)
        wide = t * torch.tensor([0.0, 0.3, -0.6, 1.4, -1.7, 2.6, -3.1], dtype=dtype)
        stretch = 1 + 0.1 * torch.rand(7, generator=g, dtype=dtype)
        v.view(-1)[:7] = wide * stretch
        found.append((v, t))
    return found


def soft(
    left: Callable[[Tensor, float], Tensor] = lambda size, t: (size - t).clamp(min=0),
    sign: Callable[[Tensor], Tensor] = torch.sign,
) -> Callable[[Tensor, float], Tensor]:
    """A soft threshold with one of its pieces exchanged."""
    return lambda v, t: sign(v) * left(v.abs(), t)


def soft_in_place(v: Tensor, t: float) -> Tensor:
    return v.copy_(soft()(v, t))


def soft_by_cases(v: Tensor, t: float) -> Tensor:
    return torch.where(v > t, v - t, torch.where(v < -t, v + t, torch.zeros_like(v)))


def soft_in_numpy(v: Tensor, t: float) -> np.ndarray:
    array = v.numpy()
    kept = np.maximum(np.abs(array) - t, 0)
    return np.copysign(kept, array).astype(array.dtype)


soft_threshold = Question(
    name="soft_threshold",
    title="Soft threshold",
    points=2,
    reference=soft(),
    cases=cases,
    parts=("the result",),
    mistakes=(
        Mistake(
            "hard",
            lambda v, t: torch.where(v.abs() > t, v, 0),
            "this is the hard threshold, which leaves large entries as they are: the soft one "
            "moves those by t towards zero as well",
        ),
        Mistake(
            "no_sign",
            soft(sign=torch.ones_like),
            "the sign is lost: multiply by the sign of v at the end",
        ),
        Mistake(
            "twice",
            soft(lambda size, t: (size - 2 * t).clamp(min=0)),
            "you subtract 2t: the factor 2 belongs to the square, L1 moves each entry by t",
        ),
        Mistake(
            "half",
            soft(lambda size, t: (size - t / 2).clamp(min=0)),
            "you subtract t/2: each entry moves by t towards zero",
        ),
        Mistake(
            "wrong_side",
            soft(lambda size, t: (size - t).clamp(max=0)),
            "you clamp from the wrong side: entries below t must become 0, those above must not, "
            "so clamp(min=0)",
        ),
        Mistake(
            "too_far",
            soft(lambda size, t: size - t),
            "small entries are pushed through zero and out on the other side: stop at 0",
        ),
        Mistake(
            "positive_alone",
            lambda v, t: (v - t).clamp(min=0),
            "negative entries all become 0: those below -t must become v + t",
        ),
        Mistake(
            "one_sided",
            lambda v, t: v - t,
            "t is subtracted from every entry, so negative ones grow: each moves *towards* zero",
        ),
        Mistake(
            "removed",
            lambda v, t: v.clamp(-t, t),
            "this is what should be taken away: return v minus it",
        ),
        Mistake(
            "outwards",
            soft(lambda size, t: size + t),
            "entries move away from zero: subtract t from |v|",
        ),
        Mistake(
            "scaled",
            lambda v, t: v * (1 - t),
            "you multiply by 1 - t, so nothing ever becomes zero: L1 takes the same t from every "
            "entry, however large",
        ),
        Mistake(
            "shrunk",
            lambda v, t: v / (1 + 2 * t),
            "this is the step of the squared norm, which comes next: here each entry moves by t",
        ),
        Mistake("unchanged", lambda v, t: v.clone(), "v comes back unchanged"),
        Mistake("in_place", soft_in_place, "the caller's v is changed: return a new tensor"),
        Mistake("cast", lambda v, t: soft()(v, t).float(), ONE_DTYPE),
    ),
    variants=(
        Variant("case by case", soft_by_cases),
        Variant("what lies beyond t", lambda v, t: v - v.clamp(-t, t)),
        Variant("two halves", lambda v, t: torch.relu(v - t) - torch.relu(-v - t)),
        Variant("a detour by NumPy", soft_in_numpy),
    ),
    hints=(
        "Look at three cases: v > t, v < -t, and everything between.",
        "How large is the result? |v| - t, but never below 0. And its sign is that of v.",
        "torch.sign(v), v.abs() and .clamp(min=0) are all it needs.",
    ),
)


def times(factor: Callable[[float], float]) -> Callable[[Tensor, float], Tensor]:
    return lambda v, t: v * factor(t)


def shrink_in_place(v: Tensor, t: float) -> Tensor:
    return v.div_(1 + 2 * t)


def by_gradient_steps(v: Tensor, t: float) -> Tensor:
    """Minimise numerically; the slope of the objective is (w - v) + 2 t w."""
    w = v.clone()
    for _ in range(60):
        w = w - 0.9 * ((w - v) + 2 * t * w) / (1 + 2 * t)
    return w


def shrink_in_numpy(v: Tensor, t: float) -> np.ndarray:
    return np.divide(v.numpy(), 1 + 2 * t, dtype=v.numpy().dtype)


shrink = Question(
    name="shrink",
    title="The step of the squared norm",
    points=1,
    reference=times(lambda t: 1 / (1 + 2 * t)),
    cases=cases,
    parts=("the result",),
    mistakes=(
        Mistake(
            "gradient",
            times(lambda t: 1 - 2 * t),
            "1 - 2t is a gradient step on the penalty: the minimum is where (w - v) + 2 t w = 0, "
            "and it never changes a sign",
        ),
        Mistake(
            "no_two",
            times(lambda t: 1 / (1 + t)),
            "the factor 2 is missing: the derivative of t w^2 is 2 t w",
        ),
        Mistake(
            "half",
            times(lambda t: 1 / (1 + t / 2)),
            "the derivative of t w^2 is 2 t w: divide by 1 + 2t",
        ),
        Mistake(
            "no_half",
            times(lambda t: 1 / (1 + 4 * t)),
            "divide by 1 + 2t: the 1/2 in front of (w - v)^2 halves the 2 of its derivative as "
            "well, so that is w - v",
        ),
        Mistake(
            "gradient_no_two",
            times(lambda t: 1 - t),
            "1 - t is no minimum: set the derivative of (w - v)^2/2 + t w^2 to zero and solve for "
            "w",
        ),
        Mistake(
            "exponential",
            times(lambda t: math.exp(-2 * t)),
            "exp(-2t) is what many tiny steps would give: here the minimum is asked for, where "
            "(w - v) + 2 t w = 0",
        ),
        Mistake(
            "no_one",
            times(lambda t: 1 / (2 * t)),
            "the 1 is missing: as t goes to 0 nothing should change",
        ),
        Mistake(
            "minus",
            times(lambda t: 1 / (1 - 2 * t)),
            "this makes the weights larger, or turns them round: it is 1 + 2t",
        ),
        Mistake(
            "grown",
            times(lambda t: 1 + 2 * t),
            "this makes the weights larger: divide by 1 + 2t",
        ),
        Mistake(
            "soft",
            soft(),
            "this is the soft threshold: the squared norm takes a fraction of each entry, not the "
            "same amount",
        ),
        Mistake(
            "subtracted",
            soft(lambda size, t: (size - 2 * t).clamp(min=0)),
            "each entry moves by 2t here: the squared norm takes a fraction of each entry, not "
            "the same amount",
        ),
        Mistake("unchanged", lambda v, t: v.clone(), "v comes back unchanged"),
        Mistake("in_place", shrink_in_place, "the caller's v is changed: return a new tensor"),
        Mistake("cast", lambda v, t: v.float() / (1 + 2 * t), ONE_DTYPE),
    ),
    variants=(
        Variant("divided", lambda v, t: v / (1 + 2 * t)),
        Variant("less what is lost", lambda v, t: v - 2 * t / (1 + 2 * t) * v),
        Variant("minimised by gradient steps", by_gradient_steps),
        Variant("a detour by NumPy", shrink_in_numpy),
    ),
    hints=(
        "Set the derivative with respect to w to zero: (w - v) + 2 t w = 0.",
        "Solve it for w.",
        "w (1 + 2t) = v.",
    ),
)
