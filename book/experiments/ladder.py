"""The ladder: what each improvement gives when it is added to those before.

    python book/experiments/ladder.py [--jobs 2]

The same network on every rung, the same number of epochs, three seeds. What
had to be chosen was chosen by `ladder_choices.py`, without the test images.
"""

import sys
from dataclasses import asdict, dataclass, replace

import recipe
import running

EPOCHS = 8


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What the rungs leave open, as `ladder_choices.py` found it best."""

    momentum_lr: float = 0.05
    dropout: float = 0.05
    batch_norm_lr: float = 0.05
    one_cycle_lr: float = 0.05
    weight_decay: float = 2e-3


def rungs(
    epochs: int, chosen: Choices
) -> dict[str, tuple[recipe.Recipe, float | None]]:
    """Each rung's recipe, and the test accuracy that the source gives."""
    first = recipe.Recipe(epochs=epochs)
    standardised = replace(first, standardise=True)
    augmented = replace(standardised, crop=28, flip=True)
    momentum = replace(
        augmented,
        momentum=0.9,
        schedule="exponential",
        lr=chosen.momentum_lr,
    )
    dropout = replace(momentum, dropout=chosen.dropout)
    batch_norm = replace(dropout, batch_norm=True, lr=chosen.batch_norm_lr)
    one_cycle = replace(
        batch_norm, schedule="one-cycle", lr=chosen.one_cycle_lr
    )
    smoothed = replace(one_cycle, label_smoothing=0.1)
    decayed = replace(smoothed, weight_decay=chosen.weight_decay)
    without = replace(decayed, dropout=0.0)
    padded = replace(without, crop=32, pad=4)
    return {
        "as the source": (first, 0.60),
        "standardised": (standardised, 0.65),
        "random crop and flip": (augmented, 0.70),
        "momentum and decay": (momentum, 0.68),
        "dropout": (dropout, None),
        "batch norm": (batch_norm, 0.70),
        "one cycle": (one_cycle, None),
        "label smoothing": (smoothed, None),
        "weight decay": (decayed, None),
        "without dropout": (without, None),
        "padded crop of 32": (padded, None),
    }


def plan(options: running.Options) -> list[running.Run]:
    """Every rung with every seed; all rungs have a run early on."""
    epochs = options.epochs or (1 if options.quick else EPOCHS)
    return [
        running.Run(
            name=name,
            setting={**asdict(made), "source_accuracy": source},
            seed=seed,
        )
        for seed in options.seeds
        for name, (made, source) in rungs(epochs, Choices()).items()
    ]


def train(run, images, options):
    """Train once."""
    setting = dict(run.setting)
    del setting["source_accuracy"]
    made = recipe.Recipe(**setting)
    return recipe.train(made, images, run, options)


if __name__ == "__main__":
    sys.exit(running.main("ladder", plan, train))
