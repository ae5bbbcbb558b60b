"""What is done to every image, training and test alike; each is fitted on training images alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

#: Images that are turned into floating point at once: bounds the memory of a fit.
CHUNK = 2048


def to_float(X: Tensor) -> Tensor:
    """Return images as float32: uint8 from [0, 255] to [0, 1], floating point as it is.

    Raises ValueError for other integers, whose range is not known.
    """
    if X.dtype == torch.uint8:
        return X.to(torch.float32).div_(255)
    if not X.is_floating_point():
        raise ValueError(f"the images are {X.dtype}: give uint8 in [0, 255] or floating point")
    return X.to(torch.float32)


def check_images(X: Tensor) -> None:
    """Raise ValueError unless X is a batch of at least one image, (N, C, H, W)."""
    if X.ndim != 4 or len(X) == 0:
        raise ValueError(
            f"the images have shape {tuple(X.shape)}: give (N, C, H, W), with N at least 1"
        )


@dataclass(frozen=True)
class Standardise:
    """Subtract each channel's mean and divide by its standard deviation, both of `fit`'s images.

    `mean` and `std` are (C,), in the scale of `to_float`. A channel that is constant in
    `fit`'s images is only centred (its `std` is set to 1), so nothing is divided by zero.
    """

    mean: Tensor
    std: Tensor

    @classmethod
    def fit(cls, X: Tensor) -> Standardise:
        """Measure the channels of the training images X (N, C, H, W), uint8 or floating point.

        The standard deviation is that of all pixels (divided by their count). Computed in
        float64, some thousand images at a time. Raises ValueError for another shape.
        """
        check_images(X)
        count = X.numel() // X.shape[1]
        total = sum(to_float(part).double().sum(dim=(0, 2, 3)) for part in X.split(CHUNK))
        mean = torch.as_tensor(total) / count
        centre = mean[:, None, None]
        squares = sum(
            (to_float(part).double() - centre).square().sum(dim=(0, 2, 3))
            for part in X.split(CHUNK)
        )
        std = (torch.as_tensor(squares) / count).sqrt()
        constant = std <= 1e-7 * mean.abs().clamp(min=1)
        return cls(mean.float(), torch.where(constant, 1.0, std).float())

    def __call__(self, X: Tensor) -> Tensor:
        """Return X (N, C, H, W) standardised, float32, on its own device."""
        if X.ndim != 4 or X.shape[1] != len(self.mean):
            raise ValueError(
                f"the images have shape {tuple(X.shape)}: "
                f"give (N, {len(self.mean)}, H, W), as when the channels were measured"
            )
        mean, std = (value.to(X.device)[:, None, None] for value in (self.mean, self.std))
        return (to_float(X) - mean) / std
