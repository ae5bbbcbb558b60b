"""Why convolutions lose in the small space: three changes of its search.

    python book/experiments/darts_causes.py [--quick] [--out FILE]

Searches as those of darts_limits.py, each with one change. "late": the
architecture moves only after a third of the epochs. "fresh noise": each epoch
draws new noise on the images that the weights learn from, so that it cannot
be learned by heart. "same images": the architecture moves down the loss of
the images that the weights learn from. And "weights only": the architecture
does not move at all; after each epoch, what the loss of either half of the
images would change in it. A stopped experiment goes on where it was;
`--quick` is a rehearsal.
"""

import sys
import time
from functools import partial

import records
import torch
from darts_limits import SETTING, accuracy, restricted
from torch.nn import functional as F

from mlcourse import data
from mlcourse.loading import Loader
from mlcourse.nas import darts, small_networks
from mlcourse.nas.remedies.remedy import batch_statistics
from mlcourse.nas.small_networks import noisy_digits
from mlcourse.nas.small_supernet import SmallSupernet

NAME = "darts_causes"

#: The first five are those of darts_limits.py. They gave the explanation that
#: the others, which darts_remedies.py has searched with, put to the test.
SEEDS = 10

#: The part of the epochs before the architecture moves.
WARM_UP = 1 / 3

#: The standard deviation of the noise, as in noisy_digits.
NOISE = 0.7

WAYS = ("late", "fresh noise", "same images", "weights only")


def main():
    """Do what the file lacks; the exit code."""
    quick, out = records.asked(NAME, __doc__)
    plan = [
        {"way": way, "seed": seed}
        for seed in range(1 if quick else SEEDS)
        for way in WAYS
    ]
    setting = {**SETTING, "epochs": 4} if quick else SETTING
    head = records.about(NAME, quick, setting=setting, warm_up=WARM_UP)
    records.do_missing(out, plan, partial(one, setting=setting), head)
    return 0


def one(way, seed, setting):
    """One search, or the training of the weights alone, and its time."""
    start = time.process_time()
    generator = torch.Generator().manual_seed(seed)
    supernet = SmallSupernet(generator=generator)
    task = noisy_digits()
    parts = [
        task.train,
        task.train if way == "same images" else task.validation,
    ]
    train, val = (
        Loader(*part, small_networks.BATCH_SIZE, generator=generator)
        for part in parts
    )
    if way == "fresh noise":
        train = Loader(
            without_noise(),
            task.train.y,
            small_networks.BATCH_SIZE,
            augment=[noisy],
            generator=generator,
        )
    epochs = setting["epochs"]
    warm_up = {"late": round(WARM_UP * epochs), "weights only": epochs}
    pushes = {"record": both_pushes} if way == "weights only" else {}
    found = darts.search(
        supernet,
        train,
        val,
        warm_up=warm_up.get(way, 0),
        generator=generator,
        **pushes,
        **setting,
    )
    made = {
        name: column
        for name, column in found.history.items()
        if name not in ("train_loss", "lr", "seconds")
    }
    if way != "weights only":
        made["cells"] = found.genotypes
        made["relaxed"] = accuracy(supernet, Loader(*task.validation, 50))
        last = restricted(supernet, found.genotypes[-1])
        made["discrete"] = accuracy(last, Loader(*task.validation, 50))
    return records.rounded({**made, "seconds": time.process_time() - start})


def without_noise():
    """The training images before noise was added, on the same scale."""
    split = data.digits()
    X = torch.cat([split.X_train, split.X_val])
    n = len(noisy_digits().train.y)
    return ((X - X[:n].mean()) / X[:n].std())[:n].view(-1, 1, 8, 8)


def noisy(X, generator):
    """The images with noise of their own."""
    return X + NOISE * torch.randn(X.shape, generator=generator)


def both_pushes(model):
    """What either half would change in the architecture, and its losses."""
    task, numbers = noisy_digits(), {}
    for half, part in (("train", task.train), ("val", task.validation)):
        loss, push = pushes_of(model, part)
        sizes = push.pow(2).mean(0).sqrt()
        numbers[f"{half}_loss_now"] = loss
        for k, name in enumerate(model.operations):
            numbers[f"{half}_push_{name}"] = float(push[:, k].mean())
            numbers[f"{half}_size_{name}"] = float(sizes[k])
    return numbers


def pushes_of(model, part):
    """The mean loss of a part, and minus its gradient in alpha, (6, 4).

    With the statistics of batches of 50, as in the search; nothing changes.
    """
    with batch_statistics(model):
        losses = [
            F.cross_entropy(model(X), y)
            for X, y in zip(part.X.split(50), part.y.split(50), strict=True)
            if len(y) == 50
        ]
        loss = torch.stack(losses).mean()
        (slope,) = torch.autograd.grad(loss, [model.alpha])
    return loss.item(), -slope


if __name__ == "__main__":
    sys.exit(main())
