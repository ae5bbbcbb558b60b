"""A bilevel problem with two frequencies and two amplitudes, and what its data can tell of them.

y = a0 sin(w0 x) + a1 cos(w1 x) + noise. The frequencies w are the weights, trained on one part of
the points; the amplitudes a are the 'architecture', chosen on the other: an amplitude near zero
says that its operation is not needed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mlcourse.bilevel_problem import Loss


class SineMixture(NamedTuple):
    """Points to train the frequencies on and points to choose the amplitudes on: each (N,)."""

    x_train: Tensor
    y_train: Tensor
    x_val: Tensor
    y_val: Tensor


def sine_mixture(
    n_train: int = 100,
    n_val: int = 100,
    w: tuple[float, float] = (4.0, 9.0),
    a: tuple[float, float] = (1.0, 0.5),
    noise: float = 0.1,
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> SineMixture:
    """Draw y = a0 sin(w0 x) + a1 cos(w1 x) + Gaussian noise at points x uniform in [0, 1].

    `noise` is the standard deviation: where the source writes N(0, 0.1) it could be the variance.
    The same seed gives the same points in every dtype, up to rounding. Raises ValueError for
    fewer than 1 point in a part, or a negative noise.
    """
    if min(n_train, n_val) < 1:
        raise ValueError(f"n_train is {n_train} and n_val {n_val}: draw 1 point or more of each")
    if not noise >= 0:
        raise ValueError(f"noise is {noise}: give a standard deviation, 0 or more")
    generator = torch.Generator().manual_seed(seed)
    n = n_train + n_val
    x = torch.rand(n, generator=generator, dtype=torch.float64)
    error = noise * torch.randn(n, generator=generator, dtype=torch.float64)
    y = mixture(x, torch.tensor(w).double(), torch.tensor(a).double()) + error
    x, y = x.to(dtype), y.to(dtype)
    return SineMixture(x[:n_train], y[:n_train], x[n_train:], y[n_train:])


def mixture(x: Tensor, w: Tensor, a: Tensor) -> Tensor:
    """Return a0 sin(w0 x) + a1 cos(w1 x), (N,), for x (N,), frequencies w (2,), amplitudes a (2,).

    The same function has four settings: (w0, a0) may change sign together, and w1 alone.
    """
    return a[0] * torch.sin(w[0] * x) + a[1] * torch.cos(w[1] * x)


def losses(data: SineMixture) -> tuple[Loss, Loss]:
    """Return the mean squared errors on the training and on the validation points, of (w, a)."""

    def train_loss(w: Tensor, a: Tensor) -> Tensor:
        return (mixture(data.x_train, w, a) - data.y_train).square().mean()

    def val_loss(w: Tensor, a: Tensor) -> Tensor:
        return (mixture(data.x_val, w, a) - data.y_val).square().mean()

    return train_loss, val_loss


def standard_errors(x: Tensor, w: Tensor, a: Tensor, noise: float) -> Tensor:
    """Return the least standard deviations with which (w0, w1, a0, a1) can be known, (4,).

    That is for unbiased estimates from noisy y at the points x (N,), near one setting: the
    Cramer-Rao bound, the roots of the diagonal of noise^2 (J^T J)^-1, where J (N, 4) is the
    Jacobian of `mixture`. A number that is infinite says that the data cannot tell, as for w0
    where a0 is 0. Source: Cramer, Mathematical methods of statistics, 1946, chapter 32.
    """
    return (noise**2 * _inverse_diagonal(_jacobian(x, w, a))).sqrt()


def flattest_direction(x: Tensor, w: Tensor, a: Tensor) -> tuple[Tensor, float]:
    """Return the direction (4,) of (w0, w1, a0, a1) that changes the function least, and how much.

    The second number is the root mean square change at the points x (N,) for a small step,
    divided by its length: the smallest singular value of the Jacobian, over sqrt(N). The
    direction has its largest entry positive.
    """
    _, values, directions = torch.linalg.svd(_jacobian(x, w, a), full_matrices=False)
    flattest = directions[-1]
    sign = flattest[flattest.abs().argmax()].sign()
    return flattest * sign, float(values[-1]) / len(x) ** 0.5


def profile_loss(x: Tensor, y: Tensor, frequencies0: Tensor, frequencies1: Tensor) -> Tensor:
    """Return the mean squared error with the best amplitudes for each pair of frequencies.

    x and y are (N,), the frequencies (n0,) for the sine and (n1,) for the cosine; the result is
    (n0, n1). The amplitudes come from linear least squares, exactly; where the two waves are one
    or zero, any best pair has the same error.
    """
    sines = torch.sin(frequencies0[:, None] * x)[:, None, :].expand(-1, len(frequencies1), -1)
    cosines = torch.cos(frequencies1[:, None] * x).expand(len(frequencies0), -1, -1)
    features = torch.stack([sines, cosines], dim=-1)  # (n0, n1, N, 2)
    fitted: Tensor = features @ (torch.linalg.pinv(features) @ y[:, None])
    return (fitted[..., 0] - y).square().mean(-1)


def minima(heights: Tensor) -> Tensor:
    """Return the places (k, 2), row and column, of the points of a grid below their 8 neighbours.

    heights is (rows, columns); points on the border are left out. The lowest comes first.
    """
    inner = heights[1:-1, 1:-1]
    rows, columns = heights.shape
    lowest = torch.ones_like(inner, dtype=torch.bool)
    for i in range(3):
        for j in range(3):
            if (i, j) != (1, 1):
                lowest &= inner < heights[i : rows - 2 + i, j : columns - 2 + j]
    places = lowest.nonzero() + 1
    return places[heights[places[:, 0], places[:, 1]].argsort()]


def _jacobian(x: Tensor, w: Tensor, a: Tensor) -> Tensor:
    """Return d mixture / d (w0, w1, a0, a1), (N, 4)."""
    sine, cosine = torch.sin(w[0] * x), torch.cos(w[1] * x)
    columns = [a[0] * x * torch.cos(w[0] * x), -a[1] * x * torch.sin(w[1] * x), sine, cosine]
    return torch.stack(columns, dim=1)


def _inverse_diagonal(jacobian: Tensor) -> Tensor:
    """The diagonal of (J^T J)^-1; infinite for entries that a null direction of J touches."""
    _, values, directions = torch.linalg.svd(jacobian, full_matrices=False)
    null = values <= len(jacobian) * torch.finfo(values.dtype).eps * values.max()
    shares = directions.square()
    finite = (shares[~null] / values[~null, None].square()).sum(0)
    touched = shares[null].sum(0) > torch.finfo(values.dtype).eps ** 0.5
    return torch.where(touched, torch.inf, finite)
