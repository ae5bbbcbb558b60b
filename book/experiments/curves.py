"""How often the diagnosis of learning curves is right, on seeds kept apart.

    python book/experiments/curves.py

The thresholds of mlcourse.curves were chosen on seeds 0 to 39 of each fault;
these runs have the seeds 1000 to 1039. The record has the confusion matrix
(a row a fault built in, a column a diagnosis), the same when the ceiling is
not told, the features and the setting of each wrong case, and the curves of
the first seeds. Three minutes on a core.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from mlcourse.book.runs import RESULTS, machine
from mlcourse.curves import COLUMNS, NAMES, diagnose
from mlcourse.faulty_runs import FaultyRun, faulty_run

FIRST_SEED, SEEDS = 1000, 40
#: So many seeds of each fault keep their curves, and wrong cases do.
KEPT = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, diagnose, write; the exit code."""
    parser = argparse.ArgumentParser(description="Train and diagnose.")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="a fault")
    parser.add_argument("--out", type=Path, default=RESULTS / "curves.json")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    cases = []
    for fault in NAMES:
        for seed in range(FIRST_SEED, FIRST_SEED + options.seeds):
            cases.append(case(faulty_run(fault, seed)))
            print(fault, seed, cases[-1]["diagnosis"], sep=", ", flush=True)
    write(options.out, cases)
    return 0


def case(run: FaultyRun) -> dict[str, Any]:
    """What is recorded of one run."""
    found = diagnose(run.history, run.classes, run.ceiling)
    entry: dict[str, Any] = {
        "fault": run.fault,
        "seed": run.seed,
        "diagnosis": found.name,
        "also": found.also,
        "without_ceiling": diagnose(run.history, run.classes).name,
        "evidence": found.evidence,
    }
    wrong = found.name != run.fault
    if wrong:
        entry["features"] = short(asdict(found.features))
    if wrong or run.seed < FIRST_SEED + KEPT:
        entry |= {
            "classes": run.classes,
            "ceiling": short(run.ceiling),
            "setting": short(asdict(run.setting)),
            "history": {name: short(run.history[name]) for name in COLUMNS},
        }
    return entry


def short(value: Any) -> Any:
    """Keep four digits of each number (None: not finite).

    An accuracy so rounded would no longer tell how many examples it is of, so
    those between 0 and 1 keep six.
    """
    if isinstance(value, dict):
        return {key: short(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [short(inner) for inner in value]
    if not isinstance(value, float):
        return value
    if not math.isfinite(value):
        return None
    return float(f"{value:.6g}" if 0 < value < 1 else f"{value:.4g}")


def write(path: Path, cases: list[dict[str, Any]]) -> None:
    """One run a line, after what sums them up."""
    right = sum(case["diagnosis"] == case["fault"] for case in cases)
    head = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": "python book/experiments/curves.py",
        "machine": machine(),
        "seeds": sorted({case["seed"] for case in cases}),
        "names": NAMES,
        "matrix": matrix(cases, "diagnosis"),
        "matrix_without_ceiling": matrix(cases, "without_ceiling"),
        "right": right,
        "share_right": short(right / len(cases)),
    }
    lines = [f' "{key}": {dump(value)}' for key, value in head.items()]
    runs = ",\n".join(f"  {dump(case)}" for case in cases)
    lines.append(f' "runs": [\n{runs}\n ]')
    path.parent.mkdir(parents=True, exist_ok=True)
    body = ",\n".join(lines)
    path.write_text(f"{{\n{body}\n}}\n", encoding="utf-8")
    print(f"{right} of {len(cases)} right, written to {path.name}")


def matrix(cases: list[dict[str, Any]], diagnosis: str) -> list[list[int]]:
    """Count the cases: a row a fault built in, a column a diagnosis."""
    count = Counter((case["fault"], case[diagnosis]) for case in cases)
    return [[count[row, name] for name in NAMES] for row in NAMES]


def dump(value: Any) -> str:
    """JSON on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


if __name__ == "__main__":
    sys.exit(main())
