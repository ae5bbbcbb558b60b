"""Trainings of hpo.py: how much is trained, and many networks at once."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from mlcourse import data, training
from mlcourse.hpo.lenets import LeNets
from mlcourse.hpo.side_by_side import SideBySide, accuracies, groups


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is trained.

    Numbers of images; epochs of a training, and after which of them the
    validation accuracy is measured; configurations of the landscape, seeds of
    the noise; real searches a method, how often their choices are trained
    again, and simulated searches a method; full trainings of a real search
    and of a simulated one.
    """

    train: int
    validation: int
    test: int
    epochs: int
    checks: tuple[int, ...]
    landscape: int
    noise: int
    searches: int
    again: int
    simulated: int
    real_trainings: int = 100
    trainings: int = 100
    batch_size: int = 64
    lr: float = 0.02
    momentum: float = 0.9


SCALES = {
    "quick": Scale(
        train=128,
        validation=64,
        test=64,
        epochs=3,
        checks=(1, 3),
        landscape=8,
        noise=2,
        searches=1,
        again=2,
        simulated=2,
        real_trainings=4,
        trainings=4,
    ),
    "cpu": Scale(
        train=3000,
        validation=3000,
        test=5000,
        epochs=9,
        checks=(1, 3, 6, 9),
        landscape=240,
        noise=20,
        searches=2,
        again=6,
        simulated=200,
        real_trainings=40,
    ),
    "full": Scale(
        train=45_000,
        validation=5000,
        test=10_000,
        epochs=40,
        checks=(1, 4, 13, 20, 30, 40),
        landscape=300,
        noise=24,
        searches=10,
        again=10,
        simulated=200,
    ),
}


@dataclass(frozen=True)
class Job:
    """Networks to train together, on the same order of the images.

    Each member is what its record says first, with its config and seed.
    """

    order: int
    epochs: int
    members: tuple[dict, ...]


def jobs(members, order, epochs):
    """Members as jobs of similar networks, with orders from this one on."""
    return [
        Job(order + i, epochs, tuple(members[j] for j in group))
        for i, group in enumerate(groups([one["config"] for one in members]))
    ]


def train(job, scale_name):
    """Train a job's networks: a record each."""
    scale = SCALES[scale_name]
    images = _images(scale_name)
    nets = LeNets(
        [one["config"] for one in job.members],
        [one["seed"] for one in job.members],
    ).to(training.device())
    run = SideBySide(nets, scale.lr, scale.momentum)
    generator = torch.Generator().manual_seed(job.order)
    curves = []
    for epoch in range(1, job.epochs + 1):
        loss = run.epoch(*images["train"], generator, scale.batch_size)
        if epoch in scale.checks:
            curves.append(accuracies(nets, *images["validation"]))
    validation = torch.stack(curves, dim=1).tolist()
    test = accuracies(nets, *images["test"]).tolist()
    return [
        {
            **one,
            "order": job.order,
            "loss": _number(loss[i].item()),
            "validation": [_number(a) for a in validation[i]],
            "test": _number(test[i]),
        }
        for i, one in enumerate(job.members)
    ]


def _number(value):
    """Five digits; None for a loss that is not finite."""
    return float(f"{value:.5g}") if np.isfinite(value) else None


@lru_cache(maxsize=1)
def _images(scale_name):
    """Three parts, standardised by the first: images and class numbers."""
    torch.set_num_threads(1)
    scale = SCALES[scale_name]
    found = source(scale_name)
    first = found.X_train[: scale.train].float()
    over = {"dim": (0, 2, 3), "keepdim": True}
    mean, std = first.mean(**over), first.std(**over)

    def part(X, y):
        X = ((X.float() - mean) / std).to(training.device())
        X = X.contiguous(memory_format=torch.channels_last)
        return X, y.to(training.device())

    held_out = slice(len(found.X_train) - scale.validation, None)
    return {
        "train": part(first, found.y_train[: scale.train]),
        "validation": part(found.X_train[held_out], found.y_train[held_out]),
        "test": part(found.X_test[: scale.test], found.y_test[: scale.test]),
    }


def source(scale_name):
    """The images: textured digits in the rehearsal."""
    quick = scale_name == "quick"
    return data.textured_digits() if quick else data.cifar10()
