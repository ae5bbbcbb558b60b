"""`zca`: the whitening that stays closest to the images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.compare import plain
from mlcourse.checks.declare import TOLERANCE, Mistake, Question, Variant

Whitening = tuple[Tensor, Tensor]


def cases(g: Generator) -> list[tuple[Tensor, float]]:
    """Correlated variables with a mean far from 0, one direction of small variance."""
    found = []
    for N, d, eps, dtype in (
        (300, 4, 0.0, torch.float64),
        (250, 5, 0.1, torch.float64),
        (280, 3, 0.5, torch.float32),
        (320, 6, 0.05, torch.float32),
    ):
        turn = torch.linalg.qr(normal(d, d, generator=g, dtype=torch.float64))[0]
        spread = torch.linspace(0.15, 1.8, d, dtype=torch.float64)
        own = torch.linspace(0.8, 1.6, d, dtype=torch.float64)
        mean = 1.5 + normal(d, generator=g, dtype=torch.float64).abs()
        X = normal(N, d, generator=g, dtype=torch.float64) * spread @ turn.T * own + mean
        found.append((X.to(dtype), eps))
    return found


def use(answer: Callable[[Tensor, float], Any], X: Tensor, eps: float) -> Any:
    """Call the answer, and take the chance signs of eigenvectors out of a W that is not symmetric.

    Such a W is wrong whatever its signs, and each library chooses its own. What is returned in
    its place, minus its absolute values, is never right: the diagonal of the right W is positive.
    """
    result = plain(answer(X, eps))
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return result
    mean, W = result
    if isinstance(W, Tensor) and W.is_floating_point() and W.dim() == 2 and is_skew(W):
        W = -W.abs()
    return mean, W


def is_skew(W: Tensor) -> bool:
    if W.shape[0] != W.shape[1] or W.numel() == 0:
        return False
    return bool((W - W.T).abs().max() > 1e-3 * W.abs().max())


def covariance(X: Tensor) -> Tensor:
    centred = X - X.mean(dim=0)
    return centred.T @ centred / len(X)


def inverse_root(variances: Tensor, eps: float) -> Tensor:
    return (variances + eps) ** -0.5


def there_and_back(U: Tensor, scales: Tensor) -> Tensor:
    return U @ torch.diag(scales) @ U.T


def by(
    matrix: Callable[[Tensor], Tensor] = covariance,
    scale: Callable[[Tensor, float], Tensor] = inverse_root,
    assemble: Callable[[Tensor, Tensor], Tensor] = there_and_back,
    mean: Callable[[Tensor], Any] = lambda X: X.mean(dim=0),
) -> Callable[[Tensor, float], Any]:
    """ZCA with one of its pieces exchanged."""

    def zca(X: Tensor, eps: float) -> Any:
        variances, U = torch.linalg.eigh(matrix(X))
        return mean(X), assemble(U, scale(variances, eps))

    return zca


def reference(X: Tensor, eps: float) -> Whitening:
    variances, U = torch.linalg.eigh(covariance(X))
    return X.mean(dim=0), U @ torch.diag((variances + eps) ** -0.5) @ U.T


def uncentred(X: Tensor) -> Tensor:
    return X.T @ X / len(X)


def over_variables(X: Tensor) -> Tensor:
    centred = X - X.mean(dim=0)
    return centred @ centred.T / len(X)


def cholesky(upper: bool) -> Callable[[Tensor, float], Whitening]:
    def zca(X: Tensor, eps: float) -> Whitening:
        C = covariance(X) + eps * torch.eye(X.shape[1], dtype=X.dtype)
        inverse = torch.linalg.inv(torch.linalg.cholesky(C))
        return X.mean(dim=0), inverse.T if upper else inverse

    return zca


def whitened(X: Tensor, eps: float) -> Whitening:
    mean, W = reference(X, eps)
    return mean, (X - mean) @ W


def in_place(X: Tensor, eps: float) -> Whitening:
    mean = X.mean(dim=0)
    X -= mean
    return mean, reference(X, eps)[1]


def cast(X: Tensor, eps: float) -> Whitening:
    mean, W = reference(X.float(), eps)
    return mean, W


def exchanged(X: Tensor, eps: float) -> Whitening:
    return reference(X, eps)[::-1]


def by_torch_cov(X: Tensor, eps: float) -> Whitening:
    """torch.cov divides by N - 1."""
    L, U = torch.linalg.eigh(torch.cov(X.T))
    return X.mean(0), (U / torch.sqrt(L + eps)) @ U.mT


def by_svd_of_data(X: Tensor, eps: float) -> Whitening:
    mean = X.mean(dim=0, keepdim=True)
    _, singular, Vh = torch.linalg.svd(X - mean, full_matrices=False)
    scales = (singular.square() / X.shape[0] + eps).rsqrt()
    return mean.squeeze(0), torch.einsum("ki,k,kj->ij", Vh, scales, Vh)


def by_svd_of_covariance(X: Tensor, eps: float) -> Whitening:
    C = covariance(X) + eps * torch.eye(X.shape[1], dtype=X.dtype)
    U, L, Vh = torch.linalg.svd(C)
    return X.mean(dim=0), U @ (L**-0.5).diag() @ Vh


def in_numpy(X: Tensor, eps: float) -> list[Tensor]:
    data = X.numpy()
    L, U = np.linalg.eigh(np.cov(data.T, bias=True))
    W = (U * (1 / np.sqrt(L + eps))).dot(U.T).astype(data.dtype)
    return [torch.from_numpy(data.mean(axis=0)), torch.from_numpy(W)]


WRONG_AXIS = (
    "the covariance compares examples with examples, (N, N): it is between variables, (d, d), so "
    "write Xc.T @ Xc / N"
)
PCA = (
    "this is PCA whitening: it leaves the data turned to the axes of the eigenvectors; turn "
    "them back, W = U (L + eps I)^(-1/2) U^T"
)
CHOLESKY = (
    "this whitens too, by a triangular matrix: ZCA is the symmetric one, closest to the original, "
    "W = U (L + eps I)^(-1/2) U^T"
)

zca = Question(
    name="zca",
    title="ZCA whitening",
    points=3,
    reference=reference,
    cases=cases,
    use=use,
    parts=("mean", "W"),
    # Wide enough for both covariances, divided by N and by N - 1.
    tolerance={**TOLERANCE, torch.float32: 5e-3, torch.float64: 5e-3},
    mistakes=(
        Mistake("pca", by(assemble=lambda U, scales: torch.diag(scales) @ U.T), PCA),
        Mistake("pca_transposed", by(assemble=lambda U, scales: U @ torch.diag(scales)), PCA),
        Mistake(
            "eigenvectors_only",
            by(assemble=lambda U, scales: U),
            "this turns the data and scales nothing: put (L + eps I)^(-1/2) between U and U^T",
        ),
        Mistake(
            "rows",
            by(assemble=lambda U, scales: U.T @ torch.diag(scales) @ U),
            "U and its transpose are exchanged: eigh puts the eigenvectors into the columns of U, "
            "so it is U D U^T",
        ),
        Mistake(
            "scales_on_rows",
            by(assemble=lambda U, scales: (scales[:, None] * U) @ U.T),
            "the scales multiply the rows of U: each belongs to an eigenvector, a column, so write "
            "U @ torch.diag(scales) @ U.T",
        ),
        Mistake(
            "coloured",
            by(scale=lambda L, eps: (L + eps).sqrt()),
            "you multiply by the root of the variances, which correlates even more: the exponent "
            "is -1/2",
        ),
        Mistake(
            "no_root",
            by(scale=lambda L, eps: 1 / (L + eps)),
            "you divide by the variances: divide by their roots, (L + eps)^(-1/2)",
        ),
        Mistake(
            "eps_outside",
            by(scale=lambda L, eps: 1 / (L.sqrt() + eps)),
            "eps is added to the root: add it to the eigenvalue before the root is taken",
        ),
        Mistake(
            "no_eps",
            by(scale=lambda L, eps: L**-0.5),
            "eps is not used: add it to each eigenvalue before the root is taken",
        ),
        Mistake(
            "uncentred",
            by(uncentred),
            "the mean is not subtracted before the covariance: it is then taken about 0, not about "
            "the mean",
        ),
        Mistake(
            "summed",
            by(lambda X: covariance(X) * len(X)),
            "the covariance is a sum over the examples: divide it by N",
        ),
        Mistake("over_variables", by(over_variables), WRONG_AXIS),
        Mistake("cov_of_rows", by(torch.cov), WRONG_AXIS),
        Mistake(
            "correlation",
            by(lambda X: torch.corrcoef(X.T)),
            "this whitens by the correlations: W comes from the covariance, which keeps each "
            "variable's own spread",
        ),
        Mistake("cholesky", cholesky(upper=False), CHOLESKY),
        Mistake("cholesky_upper", cholesky(upper=True), CHOLESKY),
        Mistake(
            "whitened",
            whitened,
            "you return the whitened data: return the matrix W, so that it can serve for the test "
            "set too",
        ),
        Mistake(
            "mean_over_variables",
            by(mean=lambda X: X.mean(dim=1)),
            "the mean has one number for each example: it is over the examples, X.mean(dim=0)",
        ),
        Mistake(
            "one_mean",
            by(mean=lambda X: X.mean()),
            "the mean is a single number: each variable has its own, X.mean(dim=0)",
        ),
        Mistake(
            "mean_row",
            by(mean=lambda X: X.mean(dim=0, keepdim=True)),
            "the mean has shape (1, d): return it with shape (d,), without keepdim",
        ),
        Mistake(
            "exchanged",
            exchanged,
            "the two come back in the wrong order: return (mean, W)",
        ),
        Mistake(
            "in_place",
            in_place,
            "the caller's X is changed: write Xc = X - mean, not X -= mean",
        ),
        Mistake("cast", cast, ONE_DTYPE),
    ),
    variants=(
        Variant("torch.cov, divided by N - 1", by_torch_cov),
        Variant("singular values of the data", by_svd_of_data),
        Variant("singular values of the covariance", by_svd_of_covariance),
        Variant("a detour by NumPy", in_numpy),
        Variant("from pieces", by()),
    ),
    hints=(
        "Four lines: the mean of each variable; the covariance of the centred data, (d, d); its "
        "eigenvalues and eigenvectors; the product.",
        "variances, U = torch.linalg.eigh(C) gives C = U diag(variances) U^T, with the "
        "eigenvectors in the columns of U.",
        "W has the same eigenvectors as C. Only the eigenvalues change, from L to 1 / sqrt(L + "
        "eps).",
    ),
)
