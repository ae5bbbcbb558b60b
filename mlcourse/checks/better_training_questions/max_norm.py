"""`max_norm`: a limit on the weights that come into a neuron."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.declare import Mistake, Question, Variant


def cases(g: Generator) -> list[tuple[Tensor, float]]:
    """Rows of norms on both sides of the limit; last, one where none is too long."""
    found = []
    for rows, columns, limit, dtype in (
        (5, 4, 3.0, torch.float64),
        (4, 4, 0.7, torch.float64),
        (6, 3, 4.0, torch.float32),
        (3, 7, 5.0, torch.float32),
    ):
        W = normal(rows, columns, generator=g, dtype=dtype)
        lengths = torch.linspace(0.4, 2.2, rows, dtype=dtype)[torch.randperm(rows, generator=g)]
        W = W / W.norm(dim=1, keepdim=True) * lengths[:, None] * limit
        found.append((W, limit))
    short = normal(3, 5, generator=g, dtype=torch.float64)
    return [*found, (short / short.norm() * 0.5, 1.0)]


def reference(W: Tensor, limit: float) -> Tensor:
    norms = W.norm(dim=1, keepdim=True)
    return torch.where(norms > limit, W * (limit / norms), W)


def by(
    norm: Callable[[Tensor], Tensor] = lambda W: W.norm(dim=1, keepdim=True),
    factor: Callable[[Tensor, float], Tensor] = lambda n, limit: (limit / n).clamp(max=1),
) -> Callable[[Tensor, float], Tensor]:
    """A limit on norms with one of its pieces exchanged."""
    return lambda W, limit: W * factor(norm(W), limit)


def in_place(W: Tensor, limit: float) -> Tensor:
    W *= (limit / W.norm(dim=1, keepdim=True)).clamp(max=1)
    return W


def by_renorm(W: Tensor, limit: float) -> Tensor:
    rows = [row if row.norm() <= limit else row / row.norm() * limit for row in W]
    return torch.stack(rows)


def by_maximum(W: Tensor, limit: float) -> Tensor:
    lengths = torch.sqrt((W**2).sum(dim=1))
    return W / torch.maximum(lengths / limit, torch.ones_like(lengths))[:, None]


def in_numpy(W: Tensor, limit: float) -> np.ndarray:
    weights = W.numpy().copy()
    lengths = np.linalg.norm(weights, axis=1)
    long = lengths > limit
    weights[long] *= (limit / lengths[long])[:, None]
    return weights


max_norm = Question(
    name="max_norm",
    title="Max-norm",
    points=1,
    reference=reference,
    cases=cases,
    parts=("the weights",),
    mistakes=(
        Mistake(
            "columns",
            by(lambda W: W.norm(dim=0, keepdim=True)),
            "the columns are limited: a row holds the weights that come into one neuron, so take "
            "the norm over dim=1",
        ),
        Mistake(
            "whole_matrix",
            by(lambda W: W.norm()),
            "the norm of the whole matrix is limited: each neuron has its own, the norm of its row",
        ),
        Mistake(
            "always",
            by(factor=lambda n, limit: limit / n),
            "short rows are stretched to the limit: only rows that are longer are changed",
        ),
        Mistake(
            "shortest",
            by(factor=lambda n, limit: (limit / n).clamp(min=1)),
            "short rows are stretched and long ones left: it is the other way round",
        ),
        Mistake(
            "clamped",
            lambda W, limit: W.clamp(-limit, limit),
            "each weight is cut off at the limit: it is the norm of a neuron's weights that is "
            "limited, so scale the whole row",
        ),
        Mistake(
            "square",
            by(lambda W: W.square().sum(dim=1, keepdim=True)),
            "the squared norm is held against the limit: take the root of the sum of squares",
        ),
        Mistake(
            "absolute",
            by(lambda W: W.abs().sum(dim=1, keepdim=True)),
            "the sum of absolute values is limited: it is the Euclidean norm, the root of the sum "
            "of squares",
        ),
        Mistake(
            "largest",
            by(lambda W: W.abs().amax(dim=1, keepdim=True)),
            "the largest weight of each row is limited: it is the Euclidean norm, the root of the "
            "sum of squares",
        ),
        Mistake(
            "unit",
            by(factor=lambda n, limit: torch.where(n > limit, 1 / n, 1)),
            "long rows get norm 1: they get the norm limit",
        ),
        Mistake(
            "over_limit",
            by(factor=lambda n, limit: torch.where(n > limit, 1 / limit, 1.0).to(n.dtype)),
            "long rows are divided by the limit: divide by their norm and multiply by the limit",
        ),
        Mistake(
            "unchanged",
            lambda W, limit: W.clone(),
            "the weights come back unchanged: scale the rows that are longer than the limit",
        ),
        Mistake(
            "in_place",
            in_place,
            "the caller's W is changed: return a new tensor",
        ),
        Mistake("cast", lambda W, limit: reference(W, limit).float(), ONE_DTYPE),
    ),
    variants=(
        Variant("row by row", by_renorm),
        Variant("divided by a maximum", by_maximum),
        Variant("a detour by NumPy", in_numpy),
        Variant("from pieces", by()),
    ),
    hints=(
        "The norms of the rows: W.norm(dim=1, keepdim=True), of shape (n_out, 1).",
        "By what do you multiply a row that is longer than the limit? And one that is not? "
        "(limit / norm).clamp(max=1) is both.",
    ),
)
