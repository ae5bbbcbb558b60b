"""The course's network on CIFAR-10, with what Part 2 adds to its training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from running import Options, Run
from torch.nn.functional import cross_entropy

from mlcourse import augmentation, preprocessing, training
from mlcourse.convnets import course_cnn
from mlcourse.data import Images
from mlcourse.loading import Loader


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is set in one training; the defaults are the source's first one.

    `crop` is the side of a random crop for training and of the central one
    for testing; with `pad`, images get a black border of that width first.
    """

    lr: float = 0.1
    batch_size: int = 128
    epochs: int = 10
    standardise: bool = False
    crop: int | None = None
    pad: int = 0
    flip: bool = False
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    dropout: float = 0.0
    batch_norm: bool = False
    label_smoothing: float = 0.0


def train(
    recipe: Recipe, images: Images, run: Run, options: Options
) -> training.History:
    """Train on the training images, and test after each epoch."""
    seed = run.seed
    training.seed_everything(seed)
    device = training.device()
    images = images.to(device)
    model = course_cnn(
        ceil_mode=recipe.crop == 28,
        dropout=recipe.dropout,
        batch_norm=recipe.batch_norm,
    ).to(device, memory_format=torch.channels_last)
    batches, test = loaders(recipe, images, seed)
    optimizer = torch.optim.SGD(
        model.parameters(),
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    return training.train_model(
        model,
        batches,
        optimizer,
        epochs=recipe.epochs,
        loss=partial(cross_entropy, label_smoothing=recipe.label_smoothing),
        schedule=schedule(recipe, optimizer, len(batches)),
        evaluate_on={"test": test},
        checkpoint=options.checkpoint(run),
        precision=options.precision,
        progress=False,
    )


def loaders(
    recipe: Recipe, images: Images, seed: int
) -> tuple[Loader, Loader]:
    """The training batches, augmented, and the test batches."""
    preprocess = preprocessing.to_float
    if recipe.standardise:
        preprocess = preprocessing.Standardise.fit(images.X_train)
    augment = []
    X_test = images.X_test
    if recipe.crop:
        augment.append(
            partial(
                augmentation.random_crop, size=recipe.crop, padding=recipe.pad
            )
        )
        X_test = augmentation.center_crop(X_test, recipe.crop)
    if recipe.flip:
        augment.append(augmentation.random_flip)
    generator = torch.Generator(images.X_train.device).manual_seed(seed)
    batches = Loader(
        images.X_train,
        images.y_train,
        recipe.batch_size,
        preprocess=preprocess,
        augment=augment,
        generator=generator,
    )
    test = Loader(
        X_test, images.y_test, 500, preprocess=preprocess, shuffle=False
    )
    return batches, test


def schedule(
    recipe: Recipe, optimizer: torch.optim.Optimizer, batches: int
) -> torch.optim.lr_scheduler.LRScheduler | None:
    """How the learning rate moves, batch by batch; None: not at all."""
    steps = batches * recipe.epochs
    if recipe.schedule == "constant":
        return None
    if recipe.schedule == "exponential":  # to a hundredth of lr at the end
        return torch.optim.lr_scheduler.ExponentialLR(
            optimizer, gamma=0.01 ** (1 / steps)
        )
    if recipe.schedule == "one-cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=recipe.lr,
            total_steps=steps,
            pct_start=0.25,
            cycle_momentum=False,
        )
    raise ValueError(
        f"schedule {recipe.schedule!r}: "
        f"use constant, exponential or one-cycle"
    )
