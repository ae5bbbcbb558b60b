"""The data sets of the course. Labels are one-hot rows; nothing is downloaded."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

#: Where each data set comes from.
SOURCES = {
    "circles": "drawn from a seed: nothing to fetch",
    "digits": "inside scikit-learn: nothing to fetch",
}


class Split(NamedTuple):
    """Examples to learn from and examples to test on: X (N, n_x), Y one-hot (N, n_y)."""

    X_train: Tensor
    Y_train: Tensor
    X_test: Tensor
    Y_test: Tensor

    def to(self, device: torch.device | str) -> Split:
        """Return the same split with every tensor on `device`."""
        return Split(*(tensor.to(device) for tensor in self))


class ThreeWaySplit(NamedTuple):
    """Examples to learn from, to choose with and to test on, once: X (N, n_x), Y one-hot."""

    X_train: Tensor
    Y_train: Tensor
    X_val: Tensor
    Y_val: Tensor
    X_test: Tensor
    Y_test: Tensor

    def to(self, device: torch.device | str) -> ThreeWaySplit:
        """Return the same split with every tensor on `device`."""
        return ThreeWaySplit(*(tensor.to(device) for tensor in self))


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype | None = None) -> Tensor:
    """Return the (N, classes) rows with a single 1, in the column that `labels` (N,) names."""
    dtype = dtype or torch.get_default_dtype()
    return torch.nn.functional.one_hot(labels.long(), classes).to(dtype)


def circles(
    n_train: int = 200,
    n_test: int = 200,
    noise: float = 0.1,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Split:
    """Draw two classes in the plane: a disc's rim of radius 0.5 (class 0) in one of radius 1.

    Each coordinate gets Gaussian noise of standard deviation `noise`. Classes are equally
    frequent (odd counts give class 0 one more) and come in random order. The same seed gives the
    same points in every dtype, up to rounding. Raises ValueError for a count below 2.
    """
    if min(n_train, n_test) < 2:
        raise ValueError(
            f"circles needs at least 2 points a set, one of each class; "
            f"it got n_train={n_train} and n_test={n_test}"
        )
    generator = torch.Generator().manual_seed(seed)
    X_train, Y_train = _two_rims(n_train, noise, generator, dtype)
    X_test, Y_test = _two_rims(n_test, noise, generator, dtype)
    return Split(X_train, Y_train, X_test, Y_test)


def _two_rims(
    n: int, noise: float, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    labels = (torch.arange(n) % 2)[torch.randperm(n, generator=generator)]
    angle = 2 * math.pi * torch.rand(n, generator=generator, dtype=torch.float64)
    radius = 0.5 * (1 + labels.double())
    rim = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    X = rim + noise * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return X.to(dtype), one_hot(labels, 2, dtype)


def grid(
    side: int = 101, low: float = -1.5, high: float = 1.5, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return the (side * side, 2) points of a square lattice from `low` to `high`, ends included.

    The first coordinate changes fastest, so `values.reshape(side, side)` has one row for each
    second coordinate, as an image with its origin at the bottom left.
    """
    ticks = torch.linspace(low, high, side, dtype=dtype)
    second, first = torch.meshgrid(ticks, ticks, indexing="ij")
    return torch.stack([first.flatten(), second.flatten()], dim=1)


def digits(seed: int = 0, dtype: torch.dtype = torch.float32) -> ThreeWaySplit:
    """Return scikit-learn's 1,797 handwritten digits, 8x8 pixels as 64 features in [0, 1].

    Ten classes; 60 % to train (1,077), 20 % to validate (360), 20 % to test (360), each with the
    classes in the proportions of the whole; `seed` says which. Source: E. Alpaydin and
    C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test part).
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    rest, test = train_test_split(
        range(len(labels)), test_size=360, stratify=labels, random_state=seed
    )
    train, val = train_test_split(rest, test_size=360, stratify=labels[rest], random_state=seed)
    X = torch.as_tensor(pixels / 16, dtype=dtype)
    Y = one_hot(torch.as_tensor(labels), 10, dtype)
    return ThreeWaySplit(X[train], Y[train], X[val], Y[val], X[test], Y[test])
