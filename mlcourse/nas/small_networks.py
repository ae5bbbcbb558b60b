"""Networks of the small space, small enough that one is trained in less than a second."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlcourse import data
from mlcourse.nas.small_space import EDGES, to_config

#: Epochs of a training, and after which of them the validation accuracy is measured.
EPOCHS, CHECKS = 12, (1, 3, 6, 12)
BATCH_SIZE, LR, MOMENTUM, WEIGHT_DECAY = 50, 0.1, 0.9, 5e-4

_TRAIN, _NOISE, _TEST_COPIES = 600, 0.7, 3


class Part(NamedTuple):
    """Images X (N, 1, 8, 8) and their class numbers y (N,)."""

    X: Tensor
    y: Tensor


class Task(NamedTuple):
    """Images to train on, to choose by, and to report on."""

    train: Part
    validation: Part
    test: Part


@cache
def noisy_digits() -> Task:
    """Return scikit-learn's digits with so much noise that networks differ: 600, 837, 1,080 images.

    Standardised, plus 0.7 N(0, 1) on each pixel. Each test image occurs with three noises.
    """
    split = data.digits()
    X = torch.cat([split.X_train, split.X_val]).view(-1, 1, 8, 8)
    y = torch.cat([split.Y_train, split.Y_val]).argmax(1)
    X_test = split.X_test.view(-1, 1, 8, 8).repeat(_TEST_COPIES, 1, 1, 1)
    y_test = split.Y_test.argmax(1).repeat(_TEST_COPIES)
    mean, std = X[:_TRAIN].mean(), X[:_TRAIN].std()
    generator = torch.Generator().manual_seed(0)
    X, X_test = (
        (part - mean) / std + _NOISE * torch.randn(part.shape, generator=generator)
        for part in (X, X_test)
    )
    return Task(Part(X[:_TRAIN], y[:_TRAIN]), Part(X[_TRAIN:], y[_TRAIN:]), Part(X_test, y_test))


class Convolution(nn.Sequential):
    """ReLU, 3x3 convolution, batch norm (with `affine` one that scales and shifts)."""

    def __init__(
        self, channels: int, out_channels: int, stride: int = 1, affine: bool = True
    ) -> None:
        super().__init__(
            nn.ReLU(),
            nn.Conv2d(channels, out_channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(out_channels, affine=affine),
        )


def avg_pool(X: Tensor) -> Tensor:
    """Return the means of the 3x3 neighbourhoods, at the rim of those pixels that exist."""
    # On such small images one product with a matrix takes a quarter of avg_pool2d's time.
    pooling = _pooling(X.shape[2], X.shape[3], X.dtype, X.device)
    return (X.flatten(2) @ pooling).view_as(X)


@cache
def _pooling(height: int, width: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return what flattened images are multiplied with, (H W, H W)."""
    pixels = torch.eye(height * width, dtype=dtype, device=device).view(-1, 1, height, width)
    return F.avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False).flatten(1)


class SmallCell(nn.Module):
    """A cell, (N, C, H, W) to the same shape: zeros when nothing reaches its output."""

    def __init__(self, cell: str, channels: int) -> None:
        super().__init__()
        to_config(cell)  # checks it
        self.cell = cell
        self.convolutions = nn.ModuleDict(
            {
                str(edge): Convolution(channels, channels)
                for edge, letter in enumerate(cell)
                if letter == "c"
            }
        )

    def forward(self, X: Tensor) -> Tensor:
        nodes: list[Tensor | None] = [X, None, None, None]
        for edge, (i, j) in enumerate(EDGES):
            source, sum_ = nodes[i], nodes[j]
            if self.cell[edge] == "n" or source is None:
                continue
            arriving = self._operation(edge, source)
            nodes[j] = arriving if sum_ is None else sum_ + arriving
        return torch.zeros_like(X) if nodes[3] is None else nodes[3]

    def _operation(self, edge: int, X: Tensor) -> Tensor:
        if self.cell[edge] == "c":
            return self.convolutions[str(edge)](X)  # type: ignore[no-any-return]
        return avg_pool(X) if self.cell[edge] == "a" else X


class SmallNetwork(nn.Sequential):
    """Stem, cell, a convolution that halves the image, cell, mean over the image, dense layer.

    Takes images (N, 1, 8, 8) and returns logits (N, 10). `make(channels)` makes a cell; the second
    has twice the channels of the first.
    """

    def __init__(self, make: Callable[[int], nn.Module], channels: int = 8) -> None:
        super().__init__(
            nn.Conv2d(1, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            make(channels),
            Convolution(channels, 2 * channels, stride=2),
            make(2 * channels),
            nn.BatchNorm2d(2 * channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(2 * channels, 10),
        )


class Trained(NamedTuple):
    """Accuracies of a training: validation at each check, test at the end; CPU seconds an epoch."""

    validation: list[float]
    test: float
    seconds: float


def train(cell: str, seed: int, epochs: int = EPOCHS) -> Trained:
    """Train the network of a cell on the noisy digits with a seed for first weights and batches.

    SGD with Nesterov's momentum, the rate falling as a half cosine from 0.1 to 0 over all epochs,
    so what is measured after 3 epochs is the beginning of a long training. `seconds` is the
    processor's time of one epoch of training, without the measuring. Raises ValueError for what is
    no cell.
    """
    task = noisy_digits()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = SmallNetwork(lambda channels: SmallCell(cell, channels))
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.SGD(
        network.parameters(), LR, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True, fused=True
    )
    steps = epochs * (len(task.train.X) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    validation, seconds = [], 0.0
    for epoch in range(1, epochs + 1):
        start = time.process_time()
        _train_epoch(network, task.train, optimiser, schedule, generator)
        seconds += time.process_time() - start
        if epoch in CHECKS:
            validation.append(accuracy(network, task.validation))
    return Trained(validation, accuracy(network, task.test), seconds / epochs)


def _train_epoch(
    network: nn.Module,
    part: Part,
    optimiser: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
) -> None:
    network.train()
    for batch in torch.randperm(len(part.X), generator=generator).split(BATCH_SIZE):
        optimiser.zero_grad()
        F.cross_entropy(network(part.X[batch]), part.y[batch]).backward()
        optimiser.step()
        schedule.step()


@torch.no_grad()
def accuracy(network: nn.Module, part: Part) -> float:
    """Return the share of right answers; batch norm uses what it has remembered."""
    network.eval()
    return (network(part.X).argmax(1) == part.y).double().mean().item()
