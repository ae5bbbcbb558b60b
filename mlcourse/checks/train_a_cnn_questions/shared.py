"""What `evaluate` and `train_epoch` share: how their small models and images are drawn."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal

State = dict[str, Tensor]

#: Sizes of the small models: filters, channels of the images, kernel, side of the images.
FILTERS, CHANNELS, KERNEL, SIDE = 3, 2, 2, 4

WITNESS = "witness"


def draw_state(classes: int, g: Generator, dtype: torch.dtype) -> State:
    """Draw all numbers of a `witness.small_cnn`, running statistics far from (0, 1) included."""
    inputs = FILTERS * (SIDE - KERNEL + 1) ** 2
    return {
        "conv.weight": 0.5 * normal(FILTERS, CHANNELS, KERNEL, KERNEL, generator=g, dtype=dtype),
        "conv.bias": normal(FILTERS, generator=g, dtype=dtype),
        "norm.weight": 1 + 0.2 * normal(FILTERS, generator=g, dtype=dtype),
        "norm.bias": 0.5 + 0.2 * normal(FILTERS, generator=g, dtype=dtype),
        "norm.running_mean": normal(FILTERS, generator=g, dtype=dtype),
        "norm.running_var": 1 + torch.rand(FILTERS, generator=g, dtype=dtype),
        "head.weight": 0.4 * normal(classes, inputs, generator=g, dtype=dtype),
        "head.bias": normal(classes, generator=g, dtype=dtype),
    }


def draw_images(N: int, classes: int, g: Generator, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Draw images (N, 2, 4, 4), no two alike, and labels (N,)."""
    X = normal(N, CHANNELS, SIDE, SIDE, generator=g, dtype=dtype)
    return X, torch.randint(classes, (N,), generator=g)
