"""Tasks whose right complexity is known: data of a small teacher network, and a sum of waves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class TeacherData(NamedTuple):
    """Points of the plane (N, 2) with noisy answers (N, 1), and others without noise."""

    X_train: Tensor
    y_train: Tensor
    X_test: Tensor
    f_test: Tensor


def teacher_data(
    units: int,
    n_train: int,
    n_test: int = 1000,
    noise: float = 0.1,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> TeacherData:
    """Draw a network with one hidden layer of tanh units, and its answers at random points.

    The points are uniform in [-1, 1]^2. A unit's weights have the length 3 and a direction drawn
    from its own sector of the half circle (the other half is the same unit with its sign changed),
    so no two units are alike; its bias is uniform in [-1, 1], and its outgoing weight 0.5 to 1.5 or
    minus that. `noise` is the standard deviation of what is added to y_train. The same seed gives
    the same points in every dtype, up to rounding. Raises ValueError for fewer than 1 unit or
    point, or a negative noise.
    """
    if min(units, n_train, n_test) < 1:
        raise ValueError(
            f"units is {units}, n_train {n_train} and n_test {n_test}: give 1 or more of each"
        )
    if not 0 <= noise < math.inf:
        raise ValueError(f"noise is {noise}: give a standard deviation, 0 or more")
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator, dtype=torch.float64)

    angle = (torch.arange(units) + uniform(units)) * math.pi / units
    W, b = 3 * torch.stack([angle.cos(), angle.sin()]), 2 * uniform(units) - 1
    sign = torch.where(uniform(units) < 0.5, -1.0, 1.0)
    v = sign * (0.5 + uniform(units))
    X = 2 * uniform(n_train + n_test, 2) - 1
    f = torch.tanh(X @ W + b) @ v[:, None]
    y = f[:n_train] + noise * torch.randn(n_train, 1, generator=generator, dtype=torch.float64)
    parts = (X[:n_train], y, X[n_train:], f[n_train:])
    return TeacherData(*(part.to(dtype) for part in parts))


def waves(x: Tensor, frequencies: Sequence[float]) -> Tensor:
    """Return sin(w x) for every frequency w, then cos(w x): (N, 2 * frequencies) for x (N,)."""
    angles = x[:, None] * torch.tensor(frequencies, dtype=x.dtype, device=x.device)
    return torch.cat([angles.sin(), angles.cos()], dim=1)
