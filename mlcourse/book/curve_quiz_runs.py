"""Train the runs of the curve quiz: `python -m mlcourse.book.curve_quiz_runs`, a minute or two.

Their seeds begin at 2000, which neither the thresholds of `mlcourse.curves` nor their test have
seen. Of each fault the first three are taken that `diagnose` names as the fault that was built
in; where a fault has three kinds, the first of each kind. How many others there were because
`diagnose` named another fault is counted.
"""

from __future__ import annotations

import json
import math
import random
from itertools import count
from pathlib import Path
from typing import Any

from mlcourse.book.curve_quiz import FILE
from mlcourse.book.runs import machine
from mlcourse.curves import COLUMNS, NAMES, Name, diagnose
from mlcourse.faulty_runs import FaultyRun, faulty_run

FIRST_SEED, EACH = 2000, 3
#: Faults with three kinds, which `Setting.change` tells apart.
_OF_THREE_KINDS = ("unrepresentative training data", "unrepresentative validation data", "leakage")


def write(path: Path = FILE) -> None:
    """Train, shuffle and write the runs."""
    curves, missed = [], {}
    for name in NAMES:
        found, missed[name] = first_right(name)
        curves += [entry(run) for run in found]
    random.Random(FIRST_SEED).shuffle(curves)
    stored = {
        "command": "python -m mlcourse.book.curve_quiz_runs",
        "machine": machine(),
        "first_seed": FIRST_SEED,
        "diagnosed_otherwise": missed,
        "curves": curves,
    }
    path.write_text(json.dumps(stored) + "\n", encoding="utf-8")


def first_right(name: Name) -> tuple[list[FaultyRun], int]:
    """Return the first runs whose diagnosis is the fault, and how many on the way were not."""
    found: list[FaultyRun] = []
    missed = 0
    for seed in count(FIRST_SEED):
        run = faulty_run(name, seed)
        right = diagnose(run.history, run.classes, run.ceiling).name == name
        missed += not right
        known = name in _OF_THREE_KINDS and run.setting.change in {
            other.setting.change for other in found
        }
        if right and not known:
            found.append(run)
        if len(found) == EACH:
            break
    return found, missed


def entry(run: FaultyRun) -> dict[str, Any]:
    """What the file keeps of a run: numbers that are not finite become null."""
    history = {
        column: [round(value, 6) if math.isfinite(value) else None for value in run.history[column]]
        for column in COLUMNS
    }
    return {
        "fault": run.fault,
        "seed": run.seed,
        "classes": run.classes,
        "ceiling": round(run.ceiling, 6),
        "history": history,
    }


if __name__ == "__main__":
    write()
