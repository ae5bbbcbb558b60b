"""A file of results: readable, a run a line, and whole at each moment.

`do_missing` is the whole of a small experiment: a stopped one goes on where
it was, because the runs that the file has are not done again.
"""

import argparse
import json
import math
from datetime import UTC, datetime
from pathlib import Path

import torch

from mlcourse.book.runs import RESULTS, machine


def asked(name, description):
    """The command line: whether it is a rehearsal, and where to write."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a rehearsal")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    folder = RESULTS.parents[1] / "_build" / "experiments"
    usual = (folder if chosen.quick else RESULTS) / f"{name}.json"
    return chosen.quick, chosen.out or usual


def about(name, quick, **more):
    """What a file of results says first."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": f"python book/experiments/{name}.py" + " --quick" * quick,
        "machine": machine(),
        **more,
    }


def do_missing(out, plan, do, head, line=json.dumps):
    """Do the runs of the plan that the file lacks, on one thread.

    A run is a dict; `do(**run)` returns its results, which stand beside it in
    the file. `line` writes both.
    """
    runs = json.loads(out.read_text("utf-8"))["runs"] if out.is_file() else []
    missing = [
        run
        for run in plan
        if not any(run.items() <= one.items() for one in runs)
    ]
    print(f"{len(runs)} runs done, {len(missing)} to do", flush=True)
    torch.set_num_threads(1)
    for run in missing:
        runs.append({**run, **do(**run)})
        replace(out, one_a_line(head, runs=[line(one) for one in runs]))
        said = (f"{what} {value}" for what, value in run.items())
        print(", ".join(said), flush=True)


def rounded(value, digits=5):
    """The same with so many digits of floats; None for infinite or NaN."""
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    if isinstance(value, list):
        return [rounded(one, digits) for one in value]
    if isinstance(value, dict):
        return {what: rounded(one, digits) for what, one in value.items()}
    return value


def replace(path, text):
    """Write so that a stop in between leaves the old file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def one_a_line(head, **parts):
    """JSON of the head, then of each part: a list of lines, each a run."""
    text = json.dumps({**head, **{part: [] for part in parts}}, indent=1)
    for part, lines in parts.items():
        body = ",\n".join("  " + line for line in lines)
        text = text.replace(f'"{part}": []', f'"{part}": [\n{body}\n ]')
    return text + "\n"
