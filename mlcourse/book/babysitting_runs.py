"""Train the runs of the babysitting game: `python -m mlcourse.book.babysitting_runs`, 10 seconds.

Every setting of the figure's two sliders, with a few seeds each: how many of the 360 validation
digits the network has right after 5 epochs.
"""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path
from typing import Any

from mlcourse.book.interactive import GAME_FILE, Control
from mlcourse.book.runs import machine
from mlcourse.hpo.small_nets import train_many

EPOCHS, BATCH, WIDTH, SEEDS, IMAGES = 5, 64, 32, (0, 1, 2), 360


def train(lrs: list[float], momenta: list[float]) -> list[list[list[int]]]:
    """Return right answers, [lr][momentum][seed], each setting with every seed."""
    settings = list(product(lrs, momenta, SEEDS))
    configs = [{"lr": lr, "momentum": momentum, "width": WIDTH} for lr, momentum, _ in settings]
    errors = train_many(configs, [seed for *_, seed in settings], EPOCHS, BATCH)
    right = iter(round(IMAGES * (1 - error)) for error in errors.val[:, -1])
    return [[[next(right) for _ in SEEDS] for _ in momenta] for _ in lrs]


def write(path: Path = GAME_FILE) -> None:
    """Train all and write the table."""
    from mlcourse.book.interactive import FIGURES

    lrs, momenta = (_values(control) for control in FIGURES["babysitting"].controls)
    stored: dict[str, Any] = {
        "command": "python -m mlcourse.book.babysitting_runs",
        "machine": machine(),
        "network": f"64 inputs, {WIDTH} ReLU units, 10 outputs",
        "epochs": EPOCHS,
        "batch": BATCH,
        "seeds": SEEDS,
        "images": IMAGES,
        "right": train(lrs, momenta),
    }
    path.write_text(json.dumps(stored) + "\n", encoding="utf-8")


def _values(control: Control) -> list[float]:
    return [control.at(position) for position in range(control.positions)]


if __name__ == "__main__":
    write()
