"""Trainings too long for a chapter: run them, keep each, go on after a stop.

One JSON file an experiment. Each finished run is written at once, and each
epoch of an unfinished one is kept: a stopped experiment goes on where it was
when the same command is given again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import multiprocessing
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

import records
import torch

from mlcourse import data, training
from mlcourse.book.runs import RESULTS, machine

ROOT = RESULTS.parents[1]
REMEDY = "write to another file with --out, or delete it to start afresh"


@dataclass(frozen=True)
class Run:
    """One training: what it is called, what was set, and the seed."""

    name: str
    setting: dict[str, Any]
    seed: int


@dataclass(frozen=True)
class Options:
    """How to run: `quick` is a minute's rehearsal on textured digits."""

    quick: bool
    seeds: tuple[int, ...]
    epochs: int | None
    jobs: int
    precision: str
    out: Path

    def checkpoint(self, run: Run) -> Path:
        """Where the state of an unfinished run is kept."""
        what = json.dumps([*_what(vars(run)), run.seed, self.precision])
        key = hashlib.sha256(what.encode()).hexdigest()[:16]
        folder = ROOT / "_build" / "experiments" / self.out.stem
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{key}.pt"


Train = Callable[[Run, data.Images, Options], training.History]


def main(
    name: str,
    plan: Callable[[Options], list[Run]],
    train: Train,
    arguments: Sequence[str] | None = None,
) -> int:
    """Do the runs of `plan` that the file lacks; the exit code."""
    options = _options(name, arguments)
    runs = plan(options)
    order = list(dict.fromkeys(_what(vars(run)) for run in runs))
    record = _started(options.out, _head(name, options), order)
    done = {(_what(run), run["seed"]) for run in record["runs"]}
    missing = [
        run for run in runs if (_what(vars(run)), run.seed) not in done
    ]
    print(f"{len(done)} runs done, {len(missing)} to do", flush=True)
    for run, epochs in _results(missing, train, options):
        record["runs"].append(_entry(run, epochs))
        record["runs"].sort(
            key=lambda run: (order.index(_what(run)), run["seed"])
        )
        _write(options.out, record)
        options.checkpoint(run).unlink(missing_ok=True)
        print(_line(run, epochs), flush=True)
    return 0


def _options(name: str, arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(
        description=f"{name}: train, and write each run to one JSON file."
    )
    parser.add_argument("--quick", action="store_true", help="a rehearsal")
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--epochs", type=int, help="instead of the usual")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default="float32"
    )
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    default = ROOT / "_build/experiments" if chosen.quick else RESULTS
    return Options(
        quick=chosen.quick,
        seeds=tuple(chosen.seeds or ([0] if chosen.quick else [0, 1, 2])),
        epochs=chosen.epochs,
        jobs=chosen.jobs,
        precision=chosen.precision,
        out=chosen.out or default / f"{name}.json",
    )


def _head(name: str, options: Options) -> dict[str, Any]:
    """What all runs of a file have in common."""
    command = f"python book/experiments/{name}.py"
    if options.quick:
        command += " --quick"
    if options.precision != "float32":
        command += f" --precision {options.precision}"
    where = machine()
    if torch.cuda.is_available():
        where = {"device": torch.cuda.get_device_name(), **where}
    return {
        "date": _today(),
        "command": command,
        "machine": where,
        "data": _images(options.quick).name,
        "precision": options.precision,
    }


def _started(
    path: Path, head: dict[str, Any], planned: list[tuple[str, str]]
) -> dict[str, Any]:
    """The file's content so far. Runs of two machines do not go together."""
    if not path.is_file():
        return {**head, "runs": []}
    record = json.loads(path.read_text(encoding="utf-8"))
    for what in ("machine", "data", "precision", "command"):
        if record[what] != head[what]:
            sys.exit(
                f"{path.name} was made with another {what} ({record[what]}, "
                f"now {head[what]}): {REMEDY}"
            )
    for run in record["runs"]:
        if _what(run) not in planned:
            sys.exit(
                f"{path.name} has a run {run['name']!r} with other settings "
                f"than today's: {REMEDY}"
            )
    return {**record, "date": head["date"]}


@lru_cache(maxsize=1)
def _images(quick: bool) -> data.Images:
    if quick:
        return data.textured_digits().first(256, 128)
    return data.cifar10()


def _results(missing, train, options):
    """Yield each run with its epochs, as they end, in `jobs` processes."""
    if options.jobs == 1:
        for run in missing:
            yield run, _train(train, run, options)
        return
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, mp_context=fresh) as pool:
        running = {
            pool.submit(_train, train, run, options): run for run in missing
        }
        for future in as_completed(running):
            yield running[future], future.result()


def _train(
    train: Train, run: Run, options: Options
) -> list[dict[str, float | None]]:
    """One run's epochs, each a dict of numbers (None: not finite)."""
    if options.jobs > 1:
        torch.set_num_threads(1)
    history = train(run, _images(options.quick), options)
    names = list(history)
    return [
        {name: _number(history[name][i]) for name in names}
        for i in range(history.epochs)
    ]


def _number(value: float) -> float | None:
    return float(f"{value:.6g}") if math.isfinite(value) else None


def _entry(run: Run, epochs: list[dict[str, float | None]]) -> dict[str, Any]:
    return {
        **vars(run),
        "date": _today(),
        "diverged": epochs[-1]["train_loss"] is None,
        "epochs": epochs,
    }


def _what(run: dict[str, Any]) -> tuple[str, str]:
    """A run's name and setting: what its seeds have in common."""
    return run["name"], json.dumps(run["setting"], sort_keys=True)


def _write(path: Path, record: dict[str, Any]) -> None:
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    records.replace(path, text)


def _line(run: Run, epochs: list[dict[str, float | None]]) -> str:
    last = ", ".join(
        f"{name} {value:.4g}" if value is not None else f"{name} not finite"
        for name, value in epochs[-1].items()
    )
    return f"{run.name}, seed {run.seed}, {len(epochs)} epochs: {last}"


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d")
