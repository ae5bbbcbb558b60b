"""Random changes of training images that should not change their labels.

Every function takes a batch (N, C, H, W) on any device, uint8 or floating point, draws for each
image on its own, and returns a new batch with the same dtype: its argument is never changed.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from mlcourse.preprocessing import check_images


def random_crop(
    X: Tensor, size: int, padding: int = 0, generator: torch.Generator | None = None
) -> Tensor:
    """Cut a square of `size` pixels out of each image, after adding `padding` zeros on each side.

    Every position is equally likely, and each image has its own. Returns (N, C, size, size).
    Raises ValueError when the square does not fit, or padding is negative.
    """
    check_images(X)
    n, _, height, width = X.shape
    _check_crop(X, size, padding)
    padded = functional.pad(X, (padding,) * 4) if padding else X
    windows = padded.unfold(2, size, 1).unfold(3, size, 1)
    top = _integers(height + 2 * padding - size + 1, n, X.device, generator)
    left = _integers(width + 2 * padding - size + 1, n, X.device, generator)
    return windows[torch.arange(n, device=X.device), :, top, left]


def center_crop(X: Tensor, size: int) -> Tensor:
    """Cut the square of `size` pixels out of the middle of each image: (N, C, size, size).

    An odd remainder leaves one more row below and column to the right. Raises ValueError
    when the square does not fit.
    """
    check_images(X)
    _check_crop(X, size, 0)
    top, left = (X.shape[2] - size) // 2, (X.shape[3] - size) // 2
    return X[:, :, top : top + size, left : left + size].clone()


def _check_crop(X: Tensor, size: int, padding: int) -> None:
    height, width = X.shape[2:]
    if padding < 0:
        raise ValueError(f"padding is {padding}: give 0 or more pixels")
    if not 1 <= size <= min(height, width) + 2 * padding:
        raise ValueError(
            f"a crop of {size} pixels does not fit into {height}x{width} images "
            f"with padding {padding}: give 1 to {min(height, width) + 2 * padding}"
        )


def random_flip(X: Tensor, p: float = 0.5, generator: torch.Generator | None = None) -> Tensor:
    """Mirror each image left to right, with probability `p`.

    Raises ValueError when p is not a probability.
    """
    check_images(X)
    if not 0 <= p <= 1:
        raise ValueError(f"p is {p}: give a probability, from 0 to 1")
    flipped = _uniform(len(X), X.device, generator) < p
    return torch.where(flipped[:, None, None, None], X.flip(3), X)


def _integers(
    below: int, count: int, device: torch.device, generator: torch.Generator | None
) -> Tensor:
    """Return `count` integers from 0 to below - 1, drawn where the generator is."""
    where = generator.device if generator else device
    return torch.randint(below, (count,), generator=generator, device=where).to(device)


def _uniform(count: int, device: torch.device, generator: torch.Generator | None) -> Tensor:
    """Return `count` numbers in [0, 1), drawn where the generator is."""
    where = generator.device if generator else device
    return torch.rand(count, generator=generator, device=where).to(device)
