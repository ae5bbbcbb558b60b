"""Seconds of a step of DARTS: the naive supernet, the fast one, and the fast one with its C++.

    python benchmarks/darts_step.py [--out book/results/darts_step.json] [--quick]

A step is what `mlcourse.nas.search` does for a batch: the architect's gradient and a step of the
architecture, then a step of the weights. First order takes 2 passes forward and back; with second
order by finite differences it takes 5. Images are 32x32, random; all ways begin from the same
weights, in float32. Ways are: the naive form with images (N, C, H, W), as the paper's code has
them; the same in channels last; the fast form in PyTorch alone; and with the extension.

All ways take turns within each repeat, so that a machine that slows down slows all. A ratio is the
median over repeats of the naive form's time over a way's in the same repeat, with the smallest and
the largest. On one thread times are the processor's, which leave out what other programs take; on
two threads they are a clock's. In its turn a way takes two steps, of which the second counts: a
search takes one after another, and does not find in the caches what another form left there. Each
size and order has a new process, whose memory nobody has cut to pieces.

What a profile of the naive form's pass says (torch.profiler, one thread, C=16, 8 layers, batch 8):
half of the time is the backward pass of convolutions, nearly all of it depthwise. Where oneDNN has
code for a depthwise filter its passes take about 0.2 ms for 64 channels of 8 x 32 x 32 pixels; its
general code takes 2 to 3 ms for the gradient in 5x5 filters and all those with gaps, and 58 ms for
the gradient in the images of a filter with gaps and stride 2. The forward pass of max pooling takes
8 %, a fifth of that with channels last. With the fast form and its extension no function takes more
than an eighth: products of matrices take about 20 %, depthwise filters as much, pools and their
norms 9 %, and the calls themselves about a quarter.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import itertools
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from mlcourse.book.runs import machine
from mlcourse.clipping import clip_by_norm_
from mlcourse.nas.architect import Architect, Order
from mlcourse.nas.fast import fast
from mlcourse.nas.fast_extension import compiled, pytorch_only
from mlcourse.nas.supernet import Supernet

NAIVE, CHANNELS_LAST = "naive", "naive, channels last"
FAST, EXTENSION = "fast, PyTorch alone", "fast, with the extension"
ORDERS: tuple[Order, ...] = ("first", "finite_difference")


@dataclass(frozen=True)
class Size:
    """What is trained: the supernet's channels and layers, images in a batch and their width."""

    channels: int
    layers: int
    batch: int
    width: int = 32


SIZES = (Size(8, 4, 16), Size(16, 8, 8))
QUICK = (Size(2, 3, 4, 8),)


class Step:
    """A supernet with all that a step of the search needs; call it to take one."""

    def __init__(self, model: Supernet, order: Order, size: Size, channels_last: bool) -> None:
        self.model = model
        self.optimizer = torch.optim.SGD(model.weights(), 0.025, momentum=0.9, weight_decay=3e-4)
        self.alpha_optimizer = torch.optim.Adam(model.architecture(), 3e-4, betas=(0.5, 0.999))
        self.architect = Architect(model, self.optimizer, order)
        generator = torch.Generator().manual_seed(1)
        layout = torch.channels_last if channels_last else torch.contiguous_format
        self.batches = [
            (
                torch.randn(size.batch, 3, size.width, size.width, generator=generator).contiguous(
                    memory_format=layout
                ),
                torch.randint(10, (size.batch,), generator=generator),
            )
            for _ in range(2)
        ]

    def __call__(self) -> None:
        """Move the architecture, then the weights."""
        train, val = self.batches
        self.architect.backward(train, val)
        self.alpha_optimizer.step()
        self.loss(*train).backward()
        clip_by_norm_(self.optimizer.param_groups[0]["params"], 5.0)
        self.optimizer.step()

    def loss(self, X: Tensor, y: Tensor) -> Tensor:
        """Return the loss of a batch, after the gradients are cleared."""
        self.model.zero_grad()
        return F.cross_entropy(self.model(X), y)


@dataclass(frozen=True)
class Way:
    """One way to take a step, and the context that it is taken in."""

    step: Step
    context: Callable[[], AbstractContextManager[None]]

    def __call__(self) -> None:
        """Take the step."""
        with self.context():
            self.step()


def ways(size: Size, order: Order) -> dict[str, Way]:
    """Return all ways, each with a supernet of its own with the same weights."""
    generator = torch.Generator().manual_seed(0)
    naive = Supernet(size.channels, size.layers, 10, generator=generator)
    last = copy.deepcopy(naive).to(memory_format=torch.channels_last)
    made = {
        NAIVE: Way(Step(copy.deepcopy(naive), order, size, False), contextlib.nullcontext),
        CHANNELS_LAST: Way(Step(last, order, size, True), contextlib.nullcontext),
        FAST: Way(Step(fast(copy.deepcopy(naive)), order, size, False), pytorch_only),
    }
    if compiled(torch.ones(1)) is not None:
        step = Step(fast(copy.deepcopy(naive)), order, size, False)
        made[EXTENSION] = Way(step, contextlib.nullcontext)
    return made


def interleaved(
    calls: dict[str, Way], repeats: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return `repeats` times (s) of each call, each after one that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            call()
            start = clock()
            call()
            times[name].append(clock() - start)
    return times


def rows(size: Size, order: Order, threads: int, times: dict[str, list[float]]) -> list[dict]:
    """Return a row a way: median time (s) and ratios of the naive forms' times to it."""
    made = []
    for name, mine in times.items():
        row = {
            "channels": size.channels,
            "layers": size.layers,
            "batch": size.batch,
            "order": order,
            "threads": threads,
            "way": name,
            "seconds": round(statistics.median(mine), 3),
        }
        for base, key in ((NAIVE, "naive"), (CHANNELS_LAST, "channels_last")):
            ratios = sorted(a / b for a, b in zip(times[base], mine, strict=True))
            row[key] = round(statistics.median(ratios), 2)
            row |= {f"{key}_low": round(ratios[0], 2), f"{key}_high": round(ratios[-1], 2)}
        made.append(row)
    return made


def measure(size: Size, order: Order, threads: int, repeats: int) -> list[dict]:
    """Return the rows of a size and an order. Sets torch's number of threads, and puts it back."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    clock = time.process_time if threads == 1 else time.perf_counter
    try:
        return rows(size, order, threads, interleaved(ways(size, order), repeats, clock))
    finally:
        torch.set_num_threads(before)


def all_rows(sizes: tuple[Size, ...], repeats: int, threads: tuple[int, ...]) -> Iterator[dict]:
    """Yield the rows of all sizes and orders, each measured in a new process."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=fresh, max_tasks_per_child=1) as new:
        for number, size, order in itertools.product(threads, sizes, ORDERS):
            yield from new.submit(measure, size, order, number, repeats).result()


def show(measured: list[dict]) -> None:
    """Print a table."""
    table = Table(title="A step of DARTS: median seconds, and how many times faster than naive")
    for heading in ("C, layers, batch", "order", "threads", "way", "s", "x naive", "x ch. last"):
        table.add_column(heading, justify="left" if heading in ("order", "way") else "right")
    for row in measured:
        size = f"{row['channels']}, {row['layers']}, {row['batch']}"
        spread = f"{row['naive']:.2f} ({row['naive_low']:.2f} to {row['naive_high']:.2f})"
        table.add_row(
            size,
            row["order"],
            str(row["threads"]),
            row["way"],
            f"{row['seconds']:.3f}",
            spread,
            f"{row['channels_last']:.2f}",
        )
    Console(width=120).print(table)


def main() -> None:
    """Measure, print the table and, with --out, store the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file too")
    parser.add_argument("--quick", action="store_true", help="a small supernet, 2 repeats")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    sizes, repeats = (QUICK, 2) if options.quick else (SIZES, options.repeats)
    load = round(os.getloadavg()[0], 1)
    if load > 1:
        print(f"other programs are running (load {load}): expect longer times")
    measured: list[dict] = []
    for row in all_rows(sizes, repeats, (1, 2)):
        measured.append(row)
        if options.out:
            # After each row, as the whole takes minutes.
            store(options.out, {"repeats": repeats, "load_at_start": load, "steps": measured})
    show(measured)


def store(path: Path, numbers: dict) -> None:
    """Write the numbers, and where they are from."""
    record = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": "python benchmarks/darts_step.py --out book/results/darts_step.json",
        "machine": machine(),
        **numbers,
    }
    path.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
