"""`condition_number` and `negative_fraction`: two numbers of a Hessian's eigenvalues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.second_order_questions.shared import symmetric

Number = Callable[[Tensor], Any]


def definite(g: Generator) -> list[tuple[Tensor]]:
    """Positive definite matrices of several sizes."""
    return [
        (symmetric(eigenvalues, g, dtype),)
        for eigenvalues, dtype in (
            ((8.0, 2.0, 0.5), torch.float64),
            ((30.0, 4.0), torch.float64),
            ((0.6, 0.2, 0.1, 0.05), torch.float64),
            ((12.0, 9.0, 5.0, 2.0, 1.5), torch.float64),
        )
    ]


def eigenvalues(H: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(H)


def of(number: Number) -> Number:
    """A number of the eigenvalues, ascending."""
    return lambda H: number(eigenvalues(H))


def by_norms(H: Tensor) -> Any:
    return torch.linalg.matrix_norm(H, ord=2) * torch.linalg.matrix_norm(H.inverse(), ord=2)


def in_numpy(H: Tensor) -> Any:
    values = np.linalg.eigvals(H.numpy())
    return values.max() / values.min()


condition_number = Question(
    name="condition_number",
    title="The condition number",
    points=1,
    reference=of(lambda L: L[-1] / L[0]),
    cases=definite,
    parts=("the condition number",),
    mistakes=(
        Mistake(
            "inverse",
            of(lambda L: L[0] / L[-1]),
            "this is the smallest over the largest eigenvalue: it is the other way round, so at "
            "least 1",
        ),
        Mistake(
            "root",
            of(lambda L: (L[-1] / L[0]).sqrt()),
            "you took a root: the eigenvalues themselves are the curvatures",
        ),
        Mistake(
            "square",
            lambda H: torch.linalg.cond(H.T @ H),
            "this is the square, the condition number of H^T H: take that of H",
        ),
        Mistake(
            "difference",
            of(lambda L: L[-1] - L[0]),
            "this is the difference of the eigenvalues: take their ratio",
        ),
        Mistake(
            "largest", of(lambda L: L[-1]), "this is the largest eigenvalue: divide by the smallest"
        ),
        Mistake(
            "diagonal",
            lambda H: H.diagonal().max() / H.diagonal().min(),
            "this is the ratio of the diagonal entries: the curvatures are the eigenvalues "
            "(torch.linalg.eigvalsh)",
        ),
        Mistake(
            "entries",
            lambda H: H.abs().max() / H.abs().min(),
            "this is the ratio of the entries: the curvatures are the eigenvalues "
            "(torch.linalg.eigvalsh)",
        ),
        Mistake(
            "frobenius",
            lambda H: torch.linalg.cond(H, p="fro"),
            "this is the condition number in the Frobenius norm: take the largest eigenvalue over "
            "the smallest",
        ),
        Mistake(
            "determinant",
            lambda H: torch.linalg.det(H),
            "this is the determinant, the product of the eigenvalues: take the ratio of the "
            "largest and the smallest",
        ),
        Mistake(
            "neighbours",
            of(lambda L: L[-1] / L[-2]),
            "you divide by the second largest eigenvalue: divide by the smallest",
        ),
    ),
    variants=(
        Variant("torch's own", torch.linalg.cond),
        Variant("norms of H and of its inverse", by_norms),
        Variant("NumPy's eigenvalues of any matrix", in_numpy),
    ),
    hints=(
        "torch.linalg.eigvalsh(H) returns the eigenvalues of a symmetric matrix, in order.",
        "The largest curvature over the smallest.",
        "They come in ascending order: the last over the first.",
    ),
)


def of_every_kind(g: Generator) -> list[tuple[Tensor]]:
    """Minima, maxima and saddles."""
    return [
        (symmetric(values, g, torch.float64),)
        for values in (
            (3.0, 1.0, -0.5, -2.0, -4.0),
            (5.0, 2.0, 0.6),
            (-1.0, -3.0),
            (4.0, 3.0, 2.0, -0.2),
            (2.5, 1.5, -6.0),
            (0.4, -0.3, -0.6, -1.0, -1.4, -3.0),
        )
    ]


def share(negative: Callable[[Tensor], Tensor]) -> Number:
    return of(lambda L: negative(L).double().mean())


def by_signs(H: Tensor) -> float:
    values = np.linalg.eigvalsh(H.numpy())
    return float((1 - np.sign(values)).mean() / 2)


def by_pivots(H: Tensor) -> float:
    """Sylvester: the pivots of an elimination have as many minus signs as the eigenvalues."""
    A, negative = H.clone(), 0
    n = len(A)
    for k in range(n):
        negative += int(A[k, k] < 0)
        A[k + 1 :, k:] -= A[k + 1 :, k, None] / A[k, k] * A[None, k, k:]
    return negative / n


negative_fraction = Question(
    name="negative_fraction",
    title="The index of a critical point",
    points=1,
    reference=share(lambda L: L < 0),
    cases=of_every_kind,
    parts=("the index",),
    mistakes=(
        Mistake(
            "count",
            of(lambda L: int((L < 0).sum())),
            "this is how many eigenvalues are negative: divide by their number",
        ),
        Mistake(
            "positive",
            share(lambda L: L > 0),
            "this is the fraction of positive eigenvalues: the index counts the negative ones",
        ),
        Mistake(
            "diagonal",
            lambda H: (H.diagonal() < 0).double().mean(),
            "these are diagonal entries: a saddle may have them all positive, so look at the "
            "eigenvalues",
        ),
        Mistake(
            "entries",
            lambda H: (H < 0).double().mean(),
            "these are the entries of H: their signs depend on the axes, those of the eigenvalues "
            "do not",
        ),
        Mistake(
            "any",
            of(lambda L: bool((L < 0).any())),
            "this says whether there is a negative eigenvalue: return the fraction of them",
        ),
        Mistake(
            "ratio",
            of(lambda L: (L < 0).double().sum() / (L > 0).double().sum()),
            "this is negative against positive ones: divide by the number of all eigenvalues",
        ),
        Mistake(
            "weight",
            of(lambda L: -L.clamp(max=0).sum() / L.abs().sum()),
            "this weighs the eigenvalues by their size: the index only counts signs",
        ),
        Mistake(
            "percent",
            of(lambda L: 100 * (L < 0).double().mean()),
            "this is in percent: return a fraction, from 0 to 1",
        ),
        Mistake(
            "squared",
            lambda H: (torch.linalg.svdvals(H) < 0).double().mean(),
            "singular values are never negative: take the eigenvalues",
        ),
    ),
    variants=(
        Variant("a count, divided", of(lambda L: int((L < 0).sum()) / len(L))),
        Variant("signs in NumPy", by_signs),
        Variant("the signs of the pivots", by_pivots),
    ),
    hints=(
        "torch.linalg.eigvalsh(H) returns all eigenvalues of a symmetric matrix.",
        "L < 0 is True where one is negative. What is the mean of such a tensor of truth values?",
        "Truth values have no mean: turn them into numbers first, (L < 0).double().",
    ),
)
