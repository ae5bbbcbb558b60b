"""What is done to every image, in training and at test; each is fitted on training images alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Images handled at once. Sums of 1,024 products of numbers from -128 to 127 stay within 2^24, so
#: float32 holds them exactly: the covariance relies on it.
CHUNK = 1024


def to_float(X: Tensor) -> Tensor:
    """Return images as floating point: uint8 as float32 in [0, 1], floating point as it is.

    Raises ValueError for other integers, whose range is not known.
    """
    if X.dtype == torch.uint8:
        return X.to(torch.float32).div_(255)
    _check_dtype(X)
    return X


def check_images(X: Tensor) -> None:
    """Raise ValueError unless X is a batch of at least one image, (N, C, H, W)."""
    if X.ndim != 4 or X.numel() == 0:
        raise ValueError(
            f"the images have shape {tuple(X.shape)}: give (N, C, H, W), none of them 0"
        )


def _check_dtype(X: Tensor) -> None:
    if X.dtype != torch.uint8 and not X.is_floating_point():
        raise ValueError(f"the images are {X.dtype}: give uint8 in [0, 255] or floating point")


@dataclass(frozen=True)
class Standardise:
    """Subtract each channel's mean and divide by its standard deviation, both of `fit`'s images.

    `mean` and `std` are (C,), float64, in the scale of `to_float`. A channel that is constant in
    `fit`'s images is only centred (its `std` is set to 1), so nothing is divided by zero.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, X: Tensor) -> Standardise:
        """Measure the channels of the training images X (N, C, H, W), uint8 or floating point.

        The standard deviation is that of all pixels (divided by their count). Exact for uint8,
        in float64 for floating point. Raises ValueError for another shape or dtype.
        """
        check_images(X)
        _check_dtype(X)
        mean, variance = _of_bytes(X) if X.dtype == torch.uint8 else _of_floats(X)
        constant = variance <= (1e-7 * mean).square()  # what rounding leaves of a constant
        return cls(mean, torch.where(constant, 1.0, variance.sqrt()))

    def __call__(self, X: Tensor) -> Tensor:
        """Return X (N, C, H, W) standardised, on its own device: float32, or X's floating dtype.

        Raises ValueError when X has other channels than the images of `fit`.
        """
        if X.ndim != 4 or X.shape[1] != len(self.mean):
            raise ValueError(
                f"the images have shape {tuple(X.shape)}: "
                f"give (N, {len(self.mean)}, H, W), as when the channels were measured"
            )
        _check_dtype(X)
        unit = 255 if X.dtype == torch.uint8 else 1
        dtype = torch.float32 if X.dtype == torch.uint8 else X.dtype
        scale, shift = (
            value.to(X.device, dtype)[:, None, None]
            for value in (1 / (unit * self.std), -self.mean / self.std)
        )
        return X.to(dtype, copy=True).mul_(scale).add_(shift)  # faster than X * scale for uint8


def _of_bytes(X: Tensor) -> tuple[Tensor, Tensor]:
    """Return each channel's mean and variance in [0, 1], from how often each byte occurs."""
    counts = torch.stack(
        [torch.bincount(channel.reshape(-1), minlength=256) for channel in X.unbind(1)]
    )
    counts = counts.double() / counts.sum(dim=1, keepdim=True)
    level = torch.arange(256, device=X.device, dtype=torch.float64) / 255
    mean = counts @ level
    return mean, (counts * (level - mean[:, None]).square()).sum(dim=1)


def _of_floats(X: Tensor) -> tuple[Tensor, Tensor]:
    mean = torch.zeros(X.shape[1], dtype=torch.float64, device=X.device)
    for part in X.split(CHUNK):
        mean += part.double().sum(dim=(0, 2, 3)) * (X.shape[1] / X.numel())
    variance = torch.zeros_like(mean)
    for part in X.split(CHUNK):
        distance = part.double() - mean[:, None, None]
        variance += distance.square().sum(dim=(0, 2, 3)) * (X.shape[1] / X.numel())
    return mean, variance


@dataclass(frozen=True)
class ZCA:
    """Whiten images: make their D = C H W pixels uncorrelated, staying close to the images.

    An image x becomes (x - mean) W, with W = U (L + eps I)^(-1/2) U^T from the training images'
    covariance U L U^T. W is symmetric. Of all whitenings the one with eps = 0 stays closest to
    the images; with eps > 0 the directions of little variance, which are mostly noise, are
    amplified less, and the result is white only approximately.

    `mean` (D,), `values` (D,) and `vectors` (D, D) are those of the covariance, float64, in the
    scale of `to_float`; `matrix` (D, D) is W. Source: A. Bell and T. Sejnowski, The "Independent
    Components" of Natural Scenes are Edge Filters, 1997.
    """

    mean: Tensor
    values: Tensor
    vectors: Tensor
    matrix: Tensor
    eps: float

    @classmethod
    def fit(cls, X: Tensor, eps: float = 1e-2) -> ZCA:
        """Measure the covariance (divided by N) of the training images X (N, C, H, W).

        `eps` is a variance, in squares of `to_float`'s scale. Images are taken some at a time, so
        50,000 fit in memory. Raises ValueError for another shape or dtype, a negative eps, or
        eps = 0 where the images do not vary in each of the D directions (as with N <= D).
        """
        check_images(X)
        _check_dtype(X)
        if not eps >= 0:
            raise ValueError(f"eps is {eps}: give a variance, 0 or more")
        mean, covariance = _covariance(X)
        values, vectors = torch.linalg.eigh(covariance)
        values = values.clamp(min=0)
        if eps == 0 and values[0] <= 1e-12 * values[-1]:
            raise ValueError(
                f"{len(X)} images do not vary in every direction of their {len(mean)} pixels, "
                "so eps=0 would divide by zero: give more images, or eps > 0"
            )
        matrix = (vectors / (values + eps).sqrt()) @ vectors.T
        return cls(mean, values, vectors, matrix, eps)

    def __call__(self, X: Tensor) -> Tensor:
        """Return X (N, C, H, W) whitened, on its own device: float32, or X's floating dtype.

        Raises ValueError when X has other pixels than the images of `fit`.
        """
        return self._map(to_float(X), -self.mean @ self.matrix, self.matrix)

    def inverse(self, X: Tensor) -> Tensor:
        """Return the images in `to_float`'s scale that whitening turned into X (N, C, H, W)."""
        back = (self.vectors * (self.values + self.eps).sqrt()) @ self.vectors.T
        return self._map(X, self.mean, back)

    def _map(self, X: Tensor, shift: Tensor, matrix: Tensor) -> Tensor:
        if X.ndim != 4 or X[0].numel() != len(self.mean):
            raise ValueError(
                f"the images have shape {tuple(X.shape)}: "
                f"give {len(self.mean)} pixels each, as when the covariance was measured"
            )
        flat = X.reshape(len(X), -1)
        return torch.addmm(shift.to(X), flat, matrix.to(X)).view(X.shape)


def _covariance(X: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixels' mean (D,) and covariance (D, D), float64."""
    flat = X.reshape(len(X), -1)
    if X.dtype != torch.uint8:
        return _covariance_of_floats(flat)
    # Sums of products of small integers are exact in float32 within a chunk, and in float64 from
    # chunk to chunk: float32's speed without its rounding.
    total = flat.sum(dim=0, dtype=torch.int64).double() - 128 * len(X)
    products = torch.zeros(len(total), len(total), dtype=torch.float64, device=X.device)
    for part in flat.split(CHUNK):
        chunk = part.float().sub_(128)
        products += chunk.T @ chunk
    mean = total / len(X)
    covariance = (products / len(X)).addr_(mean, mean, alpha=-1).div_(255**2)
    return (mean + 128) / 255, covariance


def _covariance_of_floats(flat: Tensor) -> tuple[Tensor, Tensor]:
    mean = flat.mean(dim=0, dtype=torch.float64)
    covariance = torch.zeros(len(mean), len(mean), dtype=torch.float64, device=flat.device)
    for part in flat.split(CHUNK):
        centred = part.double() - mean
        covariance.addmm_(centred.T, centred, alpha=1 / len(flat))
    return mean, covariance
