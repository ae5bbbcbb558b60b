"""Time a step of the course's optimisers, of torch's foreach ones and of torch's plain loops.

    python benchmarks/optimisers.py [--out book/results/optimisers.json]

50 tensors, float32, on one thread of the CPU, with gradients that stay: a convolutional network for
32x32 images (16 convolutions with their batch norms, and a dense layer), and a narrow deep MLP,
where what is timed is mostly the way to the arithmetic. The three ways take turns within each
repeat, so that a machine that slows down slows all of them; a ratio is the median over repeats of
our time over that of torch's foreach optimiser in the same repeat.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from mlcourse import optim
from mlcourse.book.runs import machine

#: What is timed: a class and its settings. Names are those of the table.
OPTIMISERS: dict[str, tuple[str, dict]] = {
    "SGD": ("SGD", {}),
    "SGD, Nesterov, decay": ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 1e-4}),
    "Adagrad": ("Adagrad", {}),
    "Adadelta": ("Adadelta", {}),
    "RMSprop": ("RMSprop", {}),
    "RMSprop, centred, momentum": ("RMSprop", {"centered": True, "momentum": 0.9}),
    "Adam": ("Adam", {}),
    "Adam, AMSGrad, decay": ("Adam", {"amsgrad": True, "weight_decay": 1e-4}),
    "AdamW": ("AdamW", {}),
}


def cnn() -> list[tuple[int, ...]]:
    """Shapes of 16 convolutions, each with the scale and shift of its batch norm, and a head."""
    widths = [3, *[16] * 6, *[32] * 5, *[64] * 5]
    shapes: list[tuple[int, ...]] = []
    for n_in, n_out in pairwise(widths):
        shapes += [(n_out, n_in, 3, 3), (n_out,), (n_out,)]
    return [*shapes, (10, 64), (10,)]


def mlp() -> list[tuple[int, ...]]:
    """Shapes of 25 dense layers of 16 units."""
    return [shape for _ in range(25) for shape in ((16, 16), (16,))]


SETS = {"CNN": cnn, "narrow MLP": mlp}


def ways(shapes: list[tuple[int, ...]], name: str, seed: int) -> dict[str, Callable[[], object]]:
    """Return a step for each way to do it, each on parameters of its own with the same values."""
    kind, settings = OPTIMISERS[name]
    theirs = getattr(torch.optim, kind)
    return {
        "ours": getattr(optim, kind)(parameters(shapes, seed), **settings).step,
        "foreach": theirs(parameters(shapes, seed), foreach=True, **settings).step,
        "loop": theirs(parameters(shapes, seed), foreach=False, **settings).step,
    }


def parameters(shapes: list[tuple[int, ...]], seed: int) -> list[nn.Parameter]:
    """Return parameters of some shapes, with gradients, all drawn from a normal distribution."""
    generator = torch.Generator().manual_seed(seed)
    made = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]
    for parameter in made:
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    return made


def interleaved(steps: dict, repeats: int, calls: int) -> dict[str, list[float]]:
    """Return `repeats` times (s) of each step, each the mean over `calls` calls in a row."""
    for step in steps.values():
        for _ in range(calls):
            step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(calls):
                step()
            times[name].append((time.perf_counter() - start) / calls)
    return times


def measure(repeats: int, calls: int = 10, seed: int = 0) -> list[dict]:
    """Return a row for each set of tensors and optimiser: median times (microseconds), ratio.

    Sets torch's number of threads to one, and puts it back.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return [
            row(tensors, name, interleaved(ways(shapes(), name, seed), repeats, calls))
            for tensors, shapes in SETS.items()
            for name in OPTIMISERS
        ]
    finally:
        torch.set_num_threads(before)


def row(tensors: str, name: str, times: dict[str, list[float]]) -> dict:
    """Summarise the times (s) of one optimiser's ways; ratios are taken repeat by repeat."""
    micro = {f"{way}_us": round(statistics.median(times[way]) * 1e6, 1) for way in times}
    ratios = [ours / theirs for ours, theirs in zip(times["ours"], times["foreach"], strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    rounded = {"ratio": round(ratio, 2), "ratio_low": round(low, 2), "ratio_high": round(high, 2)}
    return {"tensors": tensors, "optimiser": name, **micro, **rounded}


def table(rows: list[dict]) -> Table:
    """The rows as a table for the terminal."""
    made = Table(title="A step on 50 tensors, one thread: median, µs; ratio with quartiles")
    for column in ("tensors", "optimiser"):
        made.add_column(column)
    for column in ("ours", "torch, foreach", "torch, loop", "ours / foreach"):
        made.add_column(column, justify="right")
    for one in rows:
        times = [f"{one[way]:.0f}" for way in ("ours_us", "foreach_us", "loop_us")]
        ratio = f"{one['ratio']:.2f} ({one['ratio_low']:.2f}-{one['ratio_high']:.2f})"
        made.add_row(one["tensors"], one["optimiser"], *times, ratio)
    return made


def main() -> None:
    """Measure, print the table and, with --out, store the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file too")
    parser.add_argument("--repeats", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if os.getloadavg()[0] > 1:
        print(f"other programs are running (load {os.getloadavg()[0]:.1f}): expect wide quartiles")
    rows = measure(options.repeats, seed=options.seed)
    worst = max(rows, key=lambda one: one["ratio"])
    Console(width=120).print(table(rows))
    print(f"the largest ratio is {worst['ratio']}: {worst['optimiser']} on the {worst['tensors']}")
    if options.out:
        record = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "command": "python benchmarks/optimisers.py --out book/results/optimisers.json",
            "seed": options.seed,
            "machine": machine(),
            "repeats": options.repeats,
            "worst_ratio": worst["ratio"],
            "rows": rows,
        }
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
