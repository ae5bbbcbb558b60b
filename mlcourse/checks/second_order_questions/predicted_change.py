"""`predicted_change`: what Taylor's second order says of a step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.second_order_questions.shared import symmetric


def cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(g, H, p): steps in any direction, and Hessians of every kind."""
    found = []
    for eigenvalues, dtype in (
        ((3.0, 1.0, 0.4), torch.float64),
        ((2.0, -1.5), torch.float64),
        ((5.0, 2.0, -0.3, -4.0), torch.float32),
        ((6.0,), torch.float64),
        ((4.0, 2.5, 1.5, 1.0, 0.5), torch.float32),
    ):
        n = len(eigenvalues)
        gradient, p = (normal(n, generator=g, dtype=dtype) for _ in range(2))
        gradient = gradient.sign() * (0.5 + gradient.abs())
        p = p.sign() * (0.5 + p.abs())
        found.append((gradient, symmetric(eigenvalues, g, dtype), p))
    return found


def by(
    first: Callable[[Tensor, Tensor], Any] = torch.dot,
    second: Callable[[Tensor, Tensor], Any] = lambda H, p: p @ H @ p / 2,
) -> Callable[[Tensor, Tensor, Tensor], Any]:
    """The expansion with one of its two terms exchanged."""
    return lambda g, H, p: first(g, p) + second(H, p)


def by_loops(g: Tensor, H: Tensor, p: Tensor) -> float:
    n, total = len(p), 0.0
    for i in range(n):
        total += float(g[i] * p[i])
        for j in range(n):
            total += float(p[i] * H[i, j] * p[j]) / 2
    return total


predicted_change = Question(
    name="predicted_change",
    title="What a step will change",
    points=1,
    reference=by(),
    cases=cases,
    parts=("the change",),
    mistakes=(
        Mistake(
            "no_half",
            by(second=lambda H, p: p @ H @ p),
            "the factor 1/2 of the second-order term is missing",
        ),
        Mistake(
            "first_order",
            by(second=lambda H, p: 0.0),
            "this is the first order alone: add half of p . H p, which bends the straight line",
        ),
        Mistake(
            "second_order",
            by(first=lambda g, p: 0.0),
            "the first-order term is missing: add g . p",
        ),
        Mistake(
            "first_minus",
            by(first=lambda g, p: -(g @ p)),
            "the first-order term has the wrong sign: p is the step itself, wherever it leads, so "
            "it is + g . p",
        ),
        Mistake(
            "second_minus",
            by(second=lambda H, p: -(p @ H @ p) / 2),
            "the second-order term has the wrong sign: positive curvature makes f larger",
        ),
        Mistake(
            "minus",
            lambda g, H, p: -by()(g, H, p),
            "this is how much f falls: return the change, f after minus f before",
        ),
        Mistake(
            "diagonal",
            by(second=lambda H, p: (H.diagonal() * p * p).sum() / 2),
            "only the diagonal of H is used: p . H p has the mixed terms too",
        ),
        Mistake(
            "elementwise",
            by(second=lambda H, p: (H * p * p).sum() / 2),
            "H * p * p multiplies entry by entry: it is p @ H @ p",
        ),
        Mistake(
            "all_entries",
            by(second=lambda H, p: (H @ p).sum() / 2),
            "p stands once in your second-order term: it is p . H p, so twice",
        ),
        Mistake(
            "along_the_gradient",
            lambda g, H, p: g @ p + g @ H @ g / 2,
            "your second-order term has the gradient in it: H acts on the step, p . H p",
        ),
        Mistake(
            "mixed",
            lambda g, H, p: g @ p + g @ H @ p / 2,
            "your second-order term has the gradient in it: it is p . H p",
        ),
        Mistake(
            "length",
            lambda g, H, p: -(g @ g) + g @ H @ g / 2,
            "p is not used: the step is given, it need not go along the gradient",
        ),
    ),
    variants=(
        Variant("term by term", by_loops),
        Variant("one bracket", lambda g, H, p: (g + H @ p / 2) @ p),
        Variant("einsum", by(second=lambda H, p: 0.5 * torch.einsum("i,ij,j->", p, H, p))),
    ),
    hints=(
        "Two terms: one with the gradient, one with the Hessian.",
        "g @ p is the first. The second has p twice and a factor 1/2.",
        "p @ H @ p is one number.",
    ),
)
