"""Random changes of training images that should not change their labels.

Every function takes a batch (N, C, H, W) on any device, uint8 or floating point, draws for each
image on its own, and returns a new batch: its argument is never changed. The dtype and the memory
format (channels last or not) stay as they were. Numbers are drawn where the generator lives: give
one on the images' own device, so that a GPU need not wait for the CPU.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from mlcourse.preprocessing import check_images, to_float


def random_crop(
    X: Tensor, size: int, padding: int = 0, generator: torch.Generator | None = None
) -> Tensor:
    """Cut a square of `size` pixels out of each image, after adding `padding` zeros on each side.

    Every position is equally likely, and each image has its own. Returns (N, C, size, size).
    Raises ValueError when the square does not fit, or padding is negative.
    """
    _check_crop(X, size, padding)
    height, width = (length + 2 * padding - size + 1 for length in X.shape[2:])
    top = _integers(height, X, generator)
    left = _integers(width, X, generator)
    return _windows(functional.pad(X, (padding,) * 4) if padding else X, size, top, left)


def _windows(X: Tensor, size: int, top: Tensor, left: Tensor) -> Tensor:
    """Return the square of each image whose corner is at its `top` and `left`.

    Whole rows of a square lie together in memory, so they are what is copied: ten times
    faster than to index each pixel.
    """
    stored, pixel = _as_stored(X)
    rows = stored.reshape(-1).unfold(0, size * pixel, 1)  # one row of a square from each position
    n, planes, height, width = stored.shape if pixel == 1 else (len(X), 1, *X.shape[2:])
    plane = torch.arange(n * planes, device=X.device).view(n, planes, 1) * height
    row = plane + top.view(n, 1, 1) + torch.arange(size, device=X.device)
    start = (row * width + left.view(n, 1, 1)) * pixel
    squares = rows.index_select(0, start.reshape(-1))
    if pixel == 1:
        return squares.view(n, planes, size, size)
    return squares.view(n, size, size, pixel).permute(0, 3, 1, 2)


def center_crop(X: Tensor, size: int) -> Tensor:
    """Cut the square of `size` pixels out of the middle of each image: (N, C, size, size).

    Where the middle is not a whole number of pixels away, it is rounded up and left, as
    slices do. Raises ValueError when the square does not fit.
    """
    _check_crop(X, size, padding=0)
    top, left = ((length - size) // 2 for length in X.shape[2:])
    square = X[:, :, top : top + size, left : left + size]
    return square.contiguous(memory_format=_format(X)).clone()


def _check_crop(X: Tensor, size: int, padding: int) -> None:
    check_images(X)
    if padding < 0:
        raise ValueError(f"padding is {padding}: give 0 or more pixels")
    largest = min(X.shape[2:]) + 2 * padding
    if not 1 <= size <= largest:
        raise ValueError(
            f"size is {size}: a crop of {X.shape[2]}x{X.shape[3]} images "
            f"with padding {padding} has 1 to {largest} pixels a side"
        )


def random_flip(X: Tensor, p: float = 0.5, generator: torch.Generator | None = None) -> Tensor:
    """Mirror each image left to right, with probability `p`.

    Raises ValueError when p is not a probability.
    """
    check_images(X)
    if not 0 <= p <= 1:
        raise ValueError(f"p is {p}: give a probability, from 0 to 1")
    flipped = _uniform(X, generator) < p
    # Each image or its mirror image, taken from both together: faster than torch.where.
    both = torch.cat([X, X.flip(3)])
    return take(both, torch.arange(len(X), device=X.device) + len(X) * flipped)


def cutout(X: Tensor, size: int, generator: torch.Generator | None = None) -> Tensor:
    """Set a square of `size` pixels in each image to 0, its centre at a random pixel.

    Near a border a part of the square falls outside. 0 is black in uint8 and the mean after
    standardisation. Raises ValueError when size is below 1. Source: T. DeVries and G. Taylor,
    Improved Regularization of Convolutional Neural Networks with Cutout, 2017, section 3.
    """
    check_images(X)
    if size < 1:
        raise ValueError(f"size is {size}: cut out a square of 1 pixel or more")
    inside = []
    for length in X.shape[2:]:
        first = _integers(length, X, generator) - size // 2
        position = torch.arange(length, device=X.device)
        inside.append((position >= first[:, None]) & (position < first[:, None] + size))
    rows, columns = inside
    hole = rows[:, None, :, None] & columns[:, None, None, :]
    return X.clone().masked_fill_(hole, 0)


def mixup(
    X: Tensor, Y: Tensor, alpha: float, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Mix each image, and its label, with those of another image of the batch.

    X (N, C, H, W); Y (N, classes) one-hot or soft rows. Image i becomes l x_i + (1 - l) x_j, its
    label l y_i + (1 - l) y_j, with j from a random order of the batch and l from Beta(alpha,
    alpha), drawn for each image. Returns floating point; uint8 images come back in [0, 1]. Raises
    ValueError for class numbers instead of rows, or alpha that is not positive. Source: H. Zhang
    et al., mixup: Beyond Empirical Risk Minimization, ICLR 2018, equation 2.
    """
    check_images(X)
    if Y.ndim != 2 or len(Y) != len(X) or not Y.is_floating_point():
        raise ValueError(
            f"Y has shape {tuple(Y.shape)} and dtype {Y.dtype}: "
            f"give {len(X)} rows of class probabilities, such as one_hot(y, classes)"
        )
    if not alpha > 0:
        raise ValueError(f"alpha is {alpha}: the Beta distribution needs a positive number")
    X = to_float(X)
    partner = random_order(X, generator)
    share = _beta(alpha, X, generator)
    mixed = X.lerp(take(X, partner), 1 - share.to(X.dtype).view(-1, 1, 1, 1))
    return mixed, Y.lerp(Y[partner], 1 - share.to(Y.dtype).view(-1, 1))


def random_order(X: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return the numbers of the images (N, ...) in a random order, on their device."""
    where = _where(X, generator)
    return torch.randperm(len(X), generator=generator, device=where).to(X.device)


def take(X: Tensor, index: Tensor) -> Tensor:
    """Return the images X[index], in X's memory format: faster than indexing on a CPU."""
    stored, pixel = _as_stored(X)
    taken = stored.index_select(0, index)
    return taken if pixel == 1 else taken.permute(0, 3, 1, 2)


def _as_stored(X: Tensor) -> tuple[Tensor, int]:
    """Return X with its dimensions in the order of its memory, and the numbers of one pixel there.

    (N, C, H, W) and 1, or for channels last (N, H, W, C) and C.
    """
    if _format(X) == torch.channels_last:
        return X.permute(0, 2, 3, 1), X.shape[1]
    return X.contiguous(), 1


def _format(X: Tensor) -> torch.memory_format:
    last = X.is_contiguous(memory_format=torch.channels_last) and not X.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


def _where(X: Tensor, generator: torch.Generator | None) -> torch.device:
    return generator.device if generator else X.device


def _integers(below: int, X: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return an integer from 0 to below - 1 for each image."""
    where = _where(X, generator)
    return torch.randint(below, (len(X),), generator=generator, device=where).to(X.device)


def _uniform(X: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return a number in [0, 1) for each image."""
    return torch.rand(len(X), generator=generator, device=_where(X, generator)).to(X.device)


def _beta(alpha: float, X: Tensor, generator: torch.Generator | None) -> Tensor:
    """Return a number from Beta(alpha, alpha) for each image; torch has none with a generator."""
    where = _where(X, generator)
    seed = int(torch.randint(2**62, (), generator=generator, device=where))
    drawn = np.random.default_rng(seed).beta(alpha, alpha, size=len(X))
    return torch.from_numpy(drawn).to(X.device)
