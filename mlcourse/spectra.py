"""The eigenvalues of a Hessian: all of them for small n, the extreme ones from products alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mlcourse.curvature import Function, Taylor, hessian

#: A Krylov space ends where the next vector is rounding: so much of the largest Ritz value.
_END = 1e-12


def spectrum(f: Function, x: Tensor) -> Tensor:
    """Return all eigenvalues (n,) of the Hessian of f at x (n,), ascending.

    It forms the Hessian: n up to a few thousand. Rounding moves each by about 1e-16 times the
    largest |eigenvalue| (in float64), so nothing can be said about the sign of smaller ones.
    """
    return torch.linalg.eigvalsh(hessian(f, x))


class Ritz(NamedTuple):
    """What Lanczos found: `values` (m,), ascending, and for each its `weights` (m,) and `vectors`.

    The values at both ends are close to eigenvalues, and `vectors` (n, m) to their eigenvectors.
    The weights are the squared shares of the starting vector, and add up to 1: averaged over
    random starts, values with weights are an estimate of the whole spectrum's density. `errors`
    (m,): an eigenvalue is no further than that from each value.
    """

    values: Tensor
    weights: Tensor
    vectors: Tensor
    errors: Tensor


def lanczos(
    hvp: Callable[[Tensor], Tensor],
    n: int,
    steps: int,
    generator: torch.Generator | None = None,
    *,
    dtype: torch.dtype = torch.float64,
) -> Ritz:
    """Estimate the spectrum of a symmetric H (n, n) from `steps` products hvp(v) = H v.

    From a random vector it builds an orthonormal basis of v, H v, H^2 v, ..., made orthogonal to
    *all* earlier vectors, twice, because rounding would bring them back. It ends early where the
    next vector is zero, as after n steps: fewer than `steps` values come back. The basis takes n
    times steps numbers. Runs where the generator is. Raises ValueError for steps outside 1 .. n.
    Sources: Lanczos, 1950; Golub and Meurant, Matrices, moments and quadrature, 1994 (weights).
    """
    if not 1 <= steps <= n:
        raise ValueError(f"steps is {steps}: give a number from 1 to n, {n}")
    where = generator.device if generator else None
    v = torch.randn(n, generator=generator, device=where, dtype=dtype)
    basis = [v / v.norm()]
    diagonal, beside = [], []
    for _ in range(steps):
        w = hvp(basis[-1])
        diagonal.append(float(basis[-1] @ w))
        Q = torch.stack(basis, dim=1)
        for _ in range(2):
            w = w - Q @ (Q.T @ w)
        beside.append(float(w.norm()))
        if len(basis) == steps or beside[-1] <= _END * max(map(abs, diagonal + beside)):
            break
        basis.append(w / beside[-1])
    return _ritz(Q, Q.new_tensor(diagonal), Q.new_tensor(beside))


def _ritz(Q: Tensor, diagonal: Tensor, beside: Tensor) -> Ritz:
    """The eigenvalues of the tridiagonal matrix Q^T H Q."""
    off = beside[:-1]
    T = diagonal.diag() + off.diag(1) + off.diag(-1)
    values, vectors = torch.linalg.eigh(T)
    return Ritz(values, vectors[0].square(), Q @ vectors, beside[-1] * vectors[-1].abs())


def top_eigenvalue(
    f: Function, x: Tensor, steps: int = 50, generator: torch.Generator | None = None
) -> float:
    """Return the largest eigenvalue of the Hessian of f at x (n,), the sharpness, by Lanczos.

    Never above the true one but for rounding; more `steps` come closer, n are exact. Gradient
    descent on a quadratic is stable for lr below 2 / this. Raises ValueError for steps below 1.
    """
    here = Taylor(f, x)
    ritz = lanczos(here.hvp, len(x), min(steps, len(x)), generator, dtype=x.dtype)
    return float(ritz.values[-1])
