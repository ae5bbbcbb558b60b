"""What the questions of `hypergradients` share: the problems that are drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal

WITNESS = "witness"

Answer = Callable[..., Any]

#: Sizes (N, N_val, d) and dtype of regression problems: more examples than weights; one weight.
SIZES = (
    (7, 5, 3, torch.float64),
    (9, 4, 2, torch.float64),
    (6, 7, 4, torch.float64),
    (8, 6, 3, torch.float32),
    (6, 3, 1, torch.float64),
)

DTYPE = "float64 inputs become float32 on the way: keep their dtype (no .float())"


def uniform(low: float, high: float, g: Generator) -> float:
    """Draw one number of a few digits."""
    return round(low + (high - low) * float(torch.rand((), generator=g, dtype=torch.float64)), 3)


def away_from_zero(n: int, g: Generator, dtype: torch.dtype = torch.float64) -> Tensor:
    """Draw a vector of both signs without small entries."""
    x = normal(n, generator=g, dtype=dtype)
    return x.sign() * (0.4 + x.abs())


def regression(N: int, N_val: int, d: int, g: Generator, dtype: torch.dtype) -> tuple[Tensor, ...]:
    """Draw X (N, d), y (N,), X_val (N_val, d), y_val (N_val,): noisy values of one line."""
    w = away_from_zero(d, g)
    X, X_val = (normal(n, d, generator=g, dtype=torch.float64) for n in (N, N_val))
    y, y_val = (A @ w + 0.7 * away_from_zero(len(A), g) for A in (X, X_val))
    return tuple(tensor.to(dtype) for tensor in (X, y, X_val, y_val))


def fitted(X: Tensor, y: Tensor, penalty: Any) -> Tensor:
    """The weights (d,) that minimise |X w - y|^2 / N + penalty . w^2, for a number or (d,)."""
    N, d = X.shape
    H = X.T @ X / N + torch.eye(d, dtype=X.dtype) * penalty
    return torch.linalg.solve(H, X.T @ y / N)


def slope(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """The gradient (d,) of |X w - y|^2 / N."""
    return 2 / len(X) * X.T @ (X @ w - y)


def curvature(X: Tensor, penalty: Any) -> Tensor:
    """The Hessian (d, d) of |X w - y|^2 / N + penalty . w^2."""
    N, d = X.shape
    return 2 * (X.T @ X / N + torch.eye(d, dtype=X.dtype) * penalty)


def single(answer: Answer) -> Answer:
    """The answer, with all floating-point numbers made float32 first."""

    def cast(*args: Any) -> Any:
        return answer(*map(as_single, args))

    return cast


def as_single(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.float()
    if isinstance(value, (list, tuple)):
        return [as_single(item) for item in value]
    return value


def with_eigenvalues(values: Sequence[float], g: Generator) -> Tensor:
    """Draw a matrix that is far from symmetric, with these eigenvalues, no two of them equal."""
    n = len(values)
    Q = torch.linalg.qr(normal(n, n, generator=g, dtype=torch.float64)).Q
    above = torch.triu(away_from_zero(n * n, g).view(n, n), diagonal=1)
    return Q @ (torch.diag(torch.tensor(values, dtype=torch.float64)) + 0.5 * above) @ Q.T
