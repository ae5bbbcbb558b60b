"""Learning rate and batch size: the source's eight settings and one more.

    python book/experiments/lr_batch_grid.py [--jobs 2]

Plain stochastic gradient descent on pixels between 0 and 1, as the source
did, three seeds each. The last setting is the source's for overfitting; it
ran 150 epochs. (0.1, 512), which the source lacks, is what shows the effect
of the batch size at the best rate.
"""

import sys

import recipe
import running

#: Learning rate, batch size, epochs.
SETTINGS = (
    (0.1, 128, 10),
    (0.1, 512, 10),
    (0.5, 128, 6),
    (0.5, 512, 6),
    (1.0, 128, 6),
    (1.0, 512, 6),
    (2.0, 128, 6),
    (2.0, 512, 6),
    (0.1, 300, 20),
)


def plan(options: running.Options) -> list[running.Run]:
    """Every setting with every seed; all settings have a run early on."""
    return [
        running.Run(
            name=f"lr {lr:g}, batch {batch_size}",
            setting={
                "lr": lr,
                "batch_size": batch_size,
                "epochs": options.epochs or (1 if options.quick else epochs),
            },
            seed=seed,
        )
        for seed in options.seeds
        for lr, batch_size, epochs in SETTINGS
    ]


def train(run, images, options):
    """Train once."""
    made = recipe.Recipe(**run.setting)
    return recipe.train(made, images, run, options)


if __name__ == "__main__":
    sys.exit(running.main("lr_batch_grid", plan, train))
