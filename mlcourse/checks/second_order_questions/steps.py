"""`newton_step`, `newton_decrement` and `saddle_free_step`: steps that divide by the curvature."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.declare import TOLERANCE, Mistake, Question, Variant
from mlcourse.checks.second_order_questions.shared import symmetric

Eigenvalues = Callable[[Tensor], Tensor]


def gradient(n: int, g: Generator, dtype: torch.dtype) -> Tensor:
    """Draw a gradient without small entries."""
    drawn = normal(n, generator=g, dtype=dtype)
    return drawn.sign() * (0.5 + drawn.abs())


def newton_cases(g: Generator) -> list[tuple[Tensor, Tensor, float]]:
    """(g, H, damping): with and without damping, which makes H positive definite in one case."""
    return [
        (gradient(len(values), g, dtype), symmetric(values, g, dtype), damping)
        for values, damping, dtype in (
            ((4.0, 1.5, 0.7), 0.5, torch.float64),
            ((3.0, 1.0, -0.8, -1.2), 2.0, torch.float64),
            ((6.0, 2.0), 0.0, torch.float64),
            ((5.0, 3.0, 2.0, 1.0), 0.3, torch.float32),
            ((2.0, 0.4, -1.0), 0.2, torch.float64),
        )
    ]


def solved(matrix: Callable[[Tensor, float], Tensor], sign: float = -1.0) -> Callable[..., Tensor]:
    """The step with another matrix for H + damping I."""
    return lambda g, H, damping: sign * torch.linalg.solve(matrix(H, damping), g)


def identity(H: Tensor) -> Tensor:
    return torch.eye(len(H), dtype=H.dtype)


def damped(H: Tensor, damping: float) -> Tensor:
    return H + damping * identity(H)


def damped_in_place(g: Tensor, H: Tensor, damping: float) -> Tensor:
    H.diagonal().add_(damping)
    return -torch.linalg.solve(H, g)


def newton_by_eigenvalues(g: Tensor, H: Tensor, damping: float) -> Tensor:
    L, Q = torch.linalg.eigh(H)
    return -Q @ (Q.T @ g / (L + damping))


def newton_in_numpy(g: Tensor, H: Tensor, damping: float) -> np.ndarray:
    matrix = H.numpy() + damping * np.eye(len(g), dtype=H.numpy().dtype)
    return np.linalg.solve(matrix, -g.numpy()).astype(g.numpy().dtype)


newton_step = Question(
    name="newton_step",
    title="A damped Newton step",
    points=2,
    reference=solved(damped),
    cases=newton_cases,
    parts=("the step",),
    mistakes=(
        Mistake(
            "whole_matrix",
            solved(lambda H, damping: H + damping),
            "H + damping adds the damping to every entry: it belongs on the diagonal, "
            "damping * torch.eye(n)",
        ),
        Mistake(
            "subtracted",
            solved(lambda H, damping: damped(H, -damping)),
            "the damping is subtracted, which takes curvature away: add it",
        ),
        Mistake(
            "no_damping",
            solved(lambda H, damping: H),
            "the damping is not used: solve with H + damping I",
        ),
        Mistake(
            "uphill",
            solved(damped, sign=1.0),
            "the sign is wrong: the step goes against the gradient, so solve for -g",
        ),
        Mistake(
            "elementwise",
            lambda g, H, damping: -(1 / damped(H, damping)) @ g,
            "1 / H takes the inverse of each entry: the inverse of a matrix is another thing "
            "(torch.linalg.solve)",
        ),
        Mistake(
            "inverse_of_the_gradient",
            lambda g, H, damping: -(1 / g) @ damped(H, damping),
            "you divide by the gradient: it is the matrix that is inverted, and applied to g",
        ),
        Mistake(
            "multiplied",
            lambda g, H, damping: -(damped(H, damping) @ g),
            "you multiply by the matrix: the step is long where the curvature is small, so solve "
            "with it",
        ),
        Mistake(
            "diagonal",
            lambda g, H, damping: -g / (H.diagonal() + damping),
            "you divide by the diagonal of H alone: the other entries turn the step",
        ),
        Mistake(
            "diagonal_undamped",
            lambda g, H, damping: -g / H.diagonal(),
            "you divide by the diagonal of H, and the damping is not used: solve with all of "
            "H + damping I",
        ),
        Mistake(
            "scaled_diagonal",
            solved(lambda H, damping: H + damping * torch.diag(H.diagonal())),
            "your damping is multiplied by the diagonal of H: here it is the same for all, "
            "damping times the identity",
        ),
        Mistake(
            "added_to_the_inverse",
            lambda g, H, damping: -(torch.linalg.inv(H) + damping * identity(H)) @ g,
            "the damping is added after the inversion: add it to H, then solve",
        ),
        Mistake(
            "shorter",
            lambda g, H, damping: -torch.linalg.solve(H, g) / (1 + damping),
            "this only makes the step shorter: damping goes into the matrix, where it turns the "
            "step towards the gradient",
        ),
        Mistake(
            "absolute",
            lambda g, H, damping: -saddle_free_by(lambda L: L.abs() + damping)(-g, H),
            "you take the eigenvalues without their signs, as the saddle-free step below: Newton "
            "takes H as it is",
        ),
        Mistake(
            "in_place",
            damped_in_place,
            "the caller's H is changed: make a new matrix, H + damping * torch.eye(n)",
        ),
        Mistake("cast", lambda *args: solved(damped)(*args).float(), ONE_DTYPE),
    ),
    variants=(
        Variant("the inverse", lambda g, H, d: -torch.linalg.inv(damped(H, d)) @ g),
        Variant("eigenvalues", newton_by_eigenvalues),
        Variant("NumPy", newton_in_numpy),
    ),
    hints=(
        "Write the equation first: (H + damping I) p = -g.",
        "torch.eye(n, dtype=H.dtype) is the identity.",
        "torch.linalg.solve(B, -g) solves B p = -g, without an inverse.",
    ),
)


def decrement_cases(g: Generator) -> list[tuple[Tensor, Tensor]]:
    """(g, H), H positive definite."""
    return [
        (gradient(len(values), g, torch.float64), symmetric(values, g, torch.float64))
        for values in ((4.0, 1.5, 0.6), (9.0, 0.3), (5.0, 4.0, 3.0, 2.0, 0.8), (0.5, 0.2))
    ]


def square(g: Tensor, H: Tensor) -> Tensor:
    return g @ torch.linalg.solve(H, g)


def by_cholesky(g: Tensor, H: Tensor) -> Tensor:
    """The length of L^-1 g, where H = L L^T."""
    lower = torch.linalg.cholesky(H)
    return torch.linalg.solve_triangular(lower, g[:, None], upper=False).norm()


def by_the_step(g: Tensor, H: Tensor) -> Any:
    p = -torch.linalg.solve(H, g)
    return torch.sqrt(p @ H @ p)


def by_eigenvalues(g: Tensor, H: Tensor) -> Any:
    L, Q = torch.linalg.eigh(H)
    return ((Q.T @ g).square() / L).sum() ** 0.5


newton_decrement = Question(
    name="newton_decrement",
    title="The Newton decrement",
    points=1,
    reference=lambda g, H: square(g, H).sqrt(),
    cases=decrement_cases,
    parts=("the decrement",),
    mistakes=(
        Mistake(
            "square",
            square,
            "this is its square: take the root",
        ),
        Mistake(
            "gain",
            lambda g, H: square(g, H) / 2,
            "this is how much f will fall, half of the decrement's square: take the root of "
            "g . H^-1 g",
        ),
        Mistake(
            "minus",
            lambda g, H: -square(g, H).sqrt(),
            "the decrement is a length, so it is not negative",
        ),
        Mistake(
            "multiplied",
            lambda g, H: (g @ H @ g).sqrt(),
            "H is not inverted: it is g . H^-1 g that stands under the root",
        ),
        Mistake(
            "length_of_the_step",
            lambda g, H: torch.linalg.solve(H, g).norm(),
            "this is the Euclidean length of the step, which depends on the units of x: take the "
            "root of g . H^-1 g",
        ),
        Mistake(
            "length_of_the_gradient",
            lambda g, H: g.norm(),
            "this is the length of the gradient: the decrement has H^-1 in it",
        ),
        Mistake(
            "whitened",
            lambda g, H: torch.linalg.solve(torch.linalg.cholesky(H).T, g).norm(),
            "this solves with the transposed Cholesky factor: H = L L^T, and it is L^-1 g whose "
            "length is the decrement",
        ),
        Mistake(
            "diagonal",
            lambda g, H: (g.square() / H.diagonal()).sum().sqrt(),
            "only the diagonal of H is used: solve with H",
        ),
        Mistake(
            "root_of_half",
            lambda g, H: (square(g, H) / 2).sqrt(),
            "the 1/2 belongs to the fall of f, not under this root",
        ),
    ),
    variants=(
        Variant("Cholesky", by_cholesky),
        Variant("the step's length, measured by H", by_the_step),
        Variant("eigenvalues", by_eigenvalues),
    ),
    hints=(
        "First solve H z = g.",
        "g @ z is the number under the root.",
        "torch.linalg.solve(H, g) is z.",
    ),
)


def saddle_cases(g: Generator) -> list[tuple[Tensor, Tensor]]:
    """(g, H): saddles, a maximum, a minimum."""
    return [
        (gradient(len(values), g, dtype), symmetric(values, g, dtype))
        for values, dtype in (
            ((3.0, 1.0, -0.6), torch.float64),
            ((2.0, -1.2), torch.float64),
            ((-0.5, -1.5, -4.0), torch.float64),
            ((5.0, 2.0, 0.8), torch.float64),
            ((4.0, 1.5, -0.7, -2.0), torch.float32),
        )
    ]


def saddle_free_by(of: Eigenvalues) -> Callable[[Tensor, Tensor], Tensor]:
    """The step with other curvatures along the eigenvectors."""

    def step(g: Tensor, H: Tensor) -> Tensor:
        L, Q = torch.linalg.eigh(H)
        return -Q @ ((Q.T @ g) / of(L))

    return step


def positive_alone(g: Tensor, H: Tensor) -> Tensor:
    L, Q = torch.linalg.eigh(H)
    return -Q @ torch.where(L > 0, (Q.T @ g) / L, 0)


def rows_for_columns(g: Tensor, H: Tensor) -> Tensor:
    L, Q = torch.linalg.eigh(H)
    return -Q.T @ ((Q @ g) / L.abs())


def projector_forgotten(g: Tensor, H: Tensor) -> Tensor:
    L, Q = torch.linalg.eigh(H)
    return -Q @ (g / L.abs())


def not_turned_back(g: Tensor, H: Tensor) -> Tensor:
    L, Q = torch.linalg.eigh(H)
    return -(Q.T @ g) / L.abs()


def saddle_free_in_place(g: Tensor, H: Tensor) -> Tensor:
    step = saddle_free_by(torch.abs)(g, H)
    g.copy_(step)
    return g


def by_square_root(g: Tensor, H: Tensor) -> Tensor:
    """|H| is the positive root of H H."""
    L, Q = torch.linalg.eigh(H.double() @ H.double())
    root = Q @ torch.diag(L.sqrt()) @ Q.T
    return -torch.linalg.solve(root, g.double()).to(g.dtype)


def by_singular_values(g: Tensor, H: Tensor) -> Tensor:
    """The singular values of a symmetric matrix are the absolute eigenvalues."""
    _, S, V = torch.linalg.svd(H)
    return -V.T @ ((V @ g) / S)


def one_direction_at_a_time(g: Tensor, H: Tensor) -> Tensor:
    L, Q = torch.linalg.eigh(H)
    return -sum(  # type: ignore[return-value]
        (q @ g) / abs(float(curvature)) * q for curvature, q in zip(L, Q.T, strict=True)
    )


saddle_free_step = Question(
    name="saddle_free_step",
    title="A step that leaves saddles",
    points=2,
    reference=saddle_free_by(torch.abs),
    cases=saddle_cases,
    parts=("the step",),
    # Roots of squared eigenvalues lose some digits.
    tolerance={**TOLERANCE, torch.float64: 1e-7, torch.float32: 1e-3},
    mistakes=(
        Mistake(
            "newton",
            saddle_free_by(lambda L: L),
            "this is Newton's step, which goes uphill along directions of negative curvature: "
            "divide by the eigenvalues' absolute values",
        ),
        Mistake(
            "absolute_entries",
            lambda g, H: -torch.linalg.solve(H.abs(), g),
            "you took the absolute value of the entries of H: take that of its eigenvalues",
        ),
        Mistake(
            "positive_alone",
            positive_alone,
            "directions of negative curvature are left out, though they lead down: take them in, "
            "divided by |eigenvalue|",
        ),
        Mistake(
            "clamped",
            saddle_free_by(lambda L: L.clamp(min=1e-3)),
            "negative eigenvalues become a small positive number, which makes a huge step: take "
            "their absolute values",
        ),
        Mistake(
            "absolute_inverse",
            lambda g, H: -(torch.linalg.inv(H).abs() @ g),
            "you took the absolute value of the entries of H's inverse: take that of the "
            "eigenvalues",
        ),
        Mistake(
            "absolute_step",
            lambda g, H: -torch.linalg.solve(H, g).abs(),
            "you took the absolute value of the step: take that of the eigenvalues",
        ),
        Mistake(
            "absolute_components",
            lambda g, H: saddle_free_by(torch.abs)(g, H).abs(),
            "all entries of your step are positive: it goes against the gradient along each "
            "eigenvector",
        ),
        Mistake(
            "uphill",
            lambda g, H: -saddle_free_by(torch.abs)(g, H),
            "the sign is wrong: the step goes against the gradient along each eigenvector",
        ),
        Mistake(
            "multiplied",
            saddle_free_by(lambda L: 1 / L.abs()),
            "you multiply by |H|: divide by the absolute eigenvalues",
        ),
        Mistake(
            "shifted",
            saddle_free_by(lambda L: L - L.min() + 1),
            "you shift all eigenvalues, as damping does: take the absolute value of each",
        ),
        Mistake(
            "squared",
            saddle_free_by(torch.square),
            "you divide by the squared eigenvalues: the step is then long where the curvature is "
            "small, twice over",
        ),
        Mistake(
            "rows_for_columns",
            rows_for_columns,
            "the eigenvectors are the columns of Q: Q.T @ g has the gradient's parts along them, "
            "and Q @ leads back",
        ),
        Mistake(
            "not_along",
            projector_forgotten,
            "g is divided by the eigenvalues in the old axes: take its parts along the "
            "eigenvectors first, Q.T @ g",
        ),
        Mistake(
            "not_turned_back",
            not_turned_back,
            "your step is in the eigenvectors' axes: lead it back with Q @",
        ),
        Mistake(
            "in_place",
            saddle_free_in_place,
            "the caller's g is changed: compute a new tensor and return it",
        ),
        Mistake("cast", lambda g, H: saddle_free_by(torch.abs)(g, H).float(), ONE_DTYPE),
    ),
    variants=(
        Variant("the root of the square", by_square_root),
        Variant("singular values", by_singular_values),
        Variant("one direction at a time", one_direction_at_a_time),
    ),
    hints=(
        "L, Q = torch.linalg.eigh(H): the eigenvectors are the columns of Q.",
        "Q.T @ g has the gradient's parts along them. By what do you divide each?",
        "-Q @ ((Q.T @ g) / L.abs())",
    ),
)
