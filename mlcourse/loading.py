"""Batches for training: the images stay uint8 on their device, and are changed there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from mlcourse.augmentation import random_order, take
from mlcourse.preprocessing import to_float


class Loader:
    """Iterates over batches (X, y): X float32 (B, C, H, W), y the labels of these images.

    `X` (N, C, H, W) and `y` (N, ...) stay where they are: on a GPU nothing is copied to it while
    training. Each function of `augment` is called as f(X, generator=generator) on the batch as it
    is stored, usually uint8; then `preprocess` (default: `to_float`) makes it float32. With
    `shuffle`, every pass takes the images in a new order. A generator with a given seed repeats
    all passes; without one, torch's global generator is used. The last batch may be
    smaller, or is left out with `drop_last`. `len()` is the number of batches.
    Raises ValueError when X and y differ in length or are empty, or batch_size is below 1.
    """

    def __init__(
        self,
        X: Tensor,
        y: Tensor,
        batch_size: int,
        *,
        preprocess: Callable[[Tensor], Tensor] | None = None,
        augment: Sequence[Callable[..., Tensor]] = (),
        shuffle: bool = True,
        drop_last: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        if len(X) != len(y) or len(X) == 0:
            raise ValueError(
                f"there are {len(X)} images and {len(y)} labels: "
                "give one label for each image, and at least one"
            )
        if batch_size < 1:
            raise ValueError(f"batch_size is {batch_size}: give at least 1 image a batch")
        self.X, self.y, self.batch_size = X, y, batch_size
        self.preprocess = preprocess or to_float
        self.augment = tuple(augment)
        self.shuffle, self.drop_last, self.generator = shuffle, drop_last, generator

    def __len__(self) -> int:
        whole, rest = divmod(len(self.X), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self._order().split(self.batch_size)[: len(self)]:
            X = take(self.X, batch)
            for change in self.augment:
                X = change(X, generator=self.generator)
            yield self.preprocess(X), self.y[batch]

    def _order(self) -> Tensor:
        if not self.shuffle:
            return torch.arange(len(self.X), device=self.X.device)
        return random_order(self.X, self.generator)
