"""Choose the ladder's learning rates and dropout without its test images.

    python book/experiments/ladder_choices.py [--jobs 2]

Trains on the first 45,000 training images and scores on the other 5,000,
with a seed that the ladder does not use, for fewer epochs; each choice with
the others where they were at the start.
"""

import sys
from dataclasses import asdict, replace

import ladder
import recipe
import running

EPOCHS = 4
START = ladder.Choices(
    momentum_lr=0.02,
    dropout=0.2,
    batch_norm_lr=0.05,
    one_cycle_lr=0.1,
    weight_decay=5e-4,
)
CANDIDATES = {
    "momentum and decay": [{"lr": lr} for lr in (0.01, 0.02, 0.05, 0.1)],
    "dropout": [{"dropout": p} for p in (0.05, 0.1, 0.2, 0.5)],
    "batch norm": [{"lr": lr} for lr in (0.02, 0.05, 0.1)],
    "one cycle": [{"lr": lr} for lr in (0.02, 0.05, 0.1, 0.2)],
    "weight decay": [{"weight_decay": decay} for decay in (5e-4, 2e-3, 5e-3)],
}


def plan(options: running.Options) -> list[running.Run]:
    """Each candidate of each rung, once."""
    epochs = options.epochs or (1 if options.quick else EPOCHS)
    rungs = ladder.rungs(epochs, START)
    return [
        running.Run(
            name=rung,
            setting=asdict(replace(rungs[rung][0], **changed)),
            seed=100,
        )
        for rung, candidates in CANDIDATES.items()
        for changed in candidates
    ]


def train(run, images, options):
    """Train once, on what is left when some images are held out."""
    rest = images.hold_out(len(images.X_train) // 10)
    made = recipe.Recipe(**run.setting)
    return recipe.train(made, rest, run, options)


if __name__ == "__main__":
    sys.exit(running.main("ladder_choices", plan, train))
