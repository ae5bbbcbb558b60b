"""A Gaussian process for measurements that come in groups, each with an error in common."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

Floats = NDArray[np.float64]

# Mean and standard deviation of the logarithms, where data have the spread 1. They say little, but
# keep the length of an input that does not matter, and noise that is not there, within bounds.
_PRIOR = {"signal": (0.0, 1.0), "group": (-1.5, 1.0), "noise": (-1.5, 1.0), "length": (1.0, 1.0)}


class Process:
    """Regression y = f(x) + e(group) + noise, with a smooth f that has a length for each input.

    X is (n, d), y (n,); rows with the same of `groups` (n,) share one error e. The kernel of f is
    the squared exponential. Lengths and the standard deviations of the three terms have the
    highest posterior probability: `signal`, `group_noise` and `noise` are in the units of y,
    `lengths` (d,) in those of X. Raises ValueError when the numbers of rows differ or are below 3.
    Source: Rasmussen and Williams, Gaussian processes for machine learning, 2006, chapters 2 and 5.
    """

    def __init__(self, X: ArrayLike, y: ArrayLike, groups: ArrayLike) -> None:
        inputs, values, belongs = np.asarray(X, float), np.asarray(y, float), np.asarray(groups)
        n = len(inputs)
        if inputs.ndim != 2 or n < 3 or values.shape != (n,) or belongs.shape != (n,):
            raise ValueError(
                f"X has the shape {inputs.shape}, y {values.shape} and groups {belongs.shape}: "
                "give as many rows of each, 3 or more"
            )
        scale = _spread(inputs)
        self._mean, self._unit = float(values.mean()), float(_spread(values))
        Z = torch.from_numpy((inputs - inputs.mean(axis=0)) / scale)
        z = torch.from_numpy((values - self._mean) / self._unit)
        same = torch.from_numpy(belongs[:, None] == belongs).to(Z)
        logs = _fitted(Z, z, same)
        signal, group, noise = logs[:3].exp()
        self.signal, self.group_noise, self.noise = (
            self._unit * float(part) for part in (signal, group, noise)
        )
        factor = torch.linalg.cholesky(_covariance(Z, same, logs))
        self.lengths = scale * logs[3:].exp().numpy()
        self._inputs = inputs / self.lengths
        weights = torch.cholesky_solve(z[:, None], factor)[:, 0]
        self._weights = (signal**2 * weights).numpy()

    def mean(self, X: ArrayLike) -> Floats:
        """Return the expected f, without the groups' errors, at the rows of X (m, d): (m,)."""
        away = np.asarray(X, float)[:, None] / self.lengths - self._inputs
        squares = np.square(away).sum(axis=2)
        predicted: Floats = self._mean + self._unit * (np.exp(-0.5 * squares) @ self._weights)
        return predicted


def _spread(values: Floats) -> Floats:
    spread = values.std(axis=0)
    return np.where(spread > 0, spread, 1.0)


def _fitted(Z: Tensor, z: Tensor, same: Tensor) -> Tensor:
    """Return the logarithms of signal, group error, noise and lengths that are most probable."""
    kinds = ["signal", "group", "noise", *["length"] * Z.shape[1]]
    centres, widths = torch.tensor([_PRIOR[kind] for kind in kinds], dtype=Z.dtype).T
    logs = centres.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([logs], max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        factor = torch.linalg.cholesky(_covariance(Z, same, logs))
        fit = torch.linalg.solve_triangular(factor, z[:, None], upper=False).square().sum() / 2
        found = fit + factor.diagonal().log().sum() + ((logs - centres) / widths).square().sum() / 2
        found.backward()
        return found

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    return logs.detach()


def _covariance(Z: Tensor, same: Tensor, logs: Tensor) -> Tensor:
    signal, group, noise = (2 * logs[:3]).exp()
    scaled = Z / logs[3:].exp()
    lengths = scaled.square().sum(1)
    squares = lengths[:, None] + lengths - 2 * scaled @ scaled.T
    # The last term only keeps the matrix regular where the noise is almost 0.
    return (
        signal * (-squares / 2).exp()
        + group * same
        + (noise + 1e-8) * torch.eye(len(Z), dtype=Z.dtype)
    )
