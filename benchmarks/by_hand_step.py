"""Time a training step: MLP by hand against the same network by autograd, and the bare products.

    python benchmarks/by_hand_step.py [--out book/results/by_hand_step.json]

784-128-10, tanh, float32, batches of 64 and 512, on one and two threads. A step is forward, loss,
backward and plain SGD. The four ways take turns within each repeat, so that a machine that slows
down slows all of them. The bare matrix products are what no implementation on the same BLAS
library can do without: autograd's time over theirs is the limit of any speed-up.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from mlcourse.book.runs import machine
from mlcourse.data import one_hot
from mlcourse.mlp import MLP

SIZES = (784, 128, 10)
ETA = 0.01
Step = Callable[[], object]


def by_hand(X: Tensor, Y: Tensor, start: MLP) -> Step:
    """One step of MLP, in place."""
    network = MLP(SIZES)
    network.params = {name: value.clone() for name, value in start.params.items()}
    return lambda: network.step(X, Y, ETA)


def autograd(X: Tensor, Y: Tensor, start: MLP, **options: bool) -> Step:
    """One step of nn.Sequential, CrossEntropyLoss (on class numbers, its faster form) and SGD."""
    model = nn.Sequential(nn.Linear(*SIZES[:2]), nn.Tanh(), nn.Linear(*SIZES[1:]))
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), start.params.values(), strict=True):
            parameter.copy_(value)
    labels = Y.argmax(dim=1)
    loss_function = nn.CrossEntropyLoss()
    optimiser = torch.optim.SGD(model.parameters(), lr=ETA, **options)

    def step() -> Tensor:
        optimiser.zero_grad()
        loss: Tensor = loss_function(model(X), labels)
        loss.backward()
        optimiser.step()
        return loss

    return step


def products(X: Tensor, start: MLP) -> Step:
    """The five matrix products of a step alone, into memory that exists already."""
    n_x, n_h, n_y = SIZES
    W1, W2 = start.params["W1"], start.params["W2"]
    h, logits = X.new_empty(len(X), n_h), X.new_empty(len(X), n_y)
    dW1, dW2, dh = X.new_empty(n_h, n_x), X.new_empty(n_y, n_h), X.new_empty(len(X), n_h)

    def step() -> None:
        torch.mm(X, W1.T, out=h)
        torch.mm(h, W2.T, out=logits)
        torch.mm(logits.T, h, out=dW2)
        torch.mm(logits, W2, out=dh)
        torch.mm(dh.T, X, out=dW1)

    return step


def interleaved(steps: dict[str, Step], repeats: int, calls: int) -> dict[str, list[float]]:
    """Return `repeats` times (s) of each step, each the mean over `calls` calls in a row."""
    for step in steps.values():
        for _ in range(2 * calls):
            step()
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(repeats):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(calls):
                step()
            times[name].append((time.perf_counter() - start) / calls)
    return times


def measure(batch: int, threads: int, repeats: int = 60, seed: int = 0) -> dict[str, object]:
    """Return median and quartiles (microseconds) of each way's step, and the ratios of interest.

    Sets torch's number of threads, and puts it back.
    """
    generator = torch.Generator().manual_seed(seed)
    X = torch.rand(batch, SIZES[0], generator=generator)
    Y = one_hot(torch.randint(SIZES[-1], (batch,), generator=generator), SIZES[-1])
    start = MLP(SIZES, generator=generator)
    steps = {
        "by hand": by_hand(X, Y, start),
        "autograd": autograd(X, Y, start),
        "autograd, fused SGD": autograd(X, Y, start, fused=True),
        "matrix products alone": products(X, start),
    }
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        times = interleaved(steps, repeats, calls=max(2, 1280 // batch))
    finally:
        torch.set_num_threads(before)
    ways = {name: _summary(values) for name, values in times.items()}
    median = {name: way["median_us"] for name, way in ways.items()}
    return {
        "batch": batch,
        "threads": threads,
        "ways": ways,
        "speedup": round(median["autograd"] / median["by hand"], 2),
        "speedup_over_fused": round(median["autograd, fused SGD"] / median["by hand"], 2),
        "limit": round(median["autograd"] / median["matrix products alone"], 2),
    }


def _summary(seconds: list[float]) -> dict[str, float]:
    low, middle, high = statistics.quantiles(seconds, n=4)
    return {
        "low_us": round(low * 1e6, 1),
        "median_us": round(middle * 1e6, 1),
        "high_us": round(high * 1e6, 1),
    }


def table(cases: list[dict]) -> Table:
    """The measured cases as a table for the terminal."""
    made = Table(title="One training step, 784-128-10: median (quartiles), µs")
    for column in ("batch", "threads", *cases[0]["ways"], "speed-up", "over fused", "limit"):
        made.add_column(column, justify="right")
    for case in cases:
        ways = [
            f"{way['median_us']:.0f} ({way['low_us']:.0f}-{way['high_us']:.0f})"
            for way in case["ways"].values()
        ]
        ratios = [f"{case[key]:.2f}" for key in ("speedup", "speedup_over_fused", "limit")]
        made.add_row(str(case["batch"]), str(case["threads"]), *ways, *ratios)
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
    cases = [
        measure(batch, threads, options.repeats, options.seed)
        for threads in (1, 2)
        for batch in (64, 512)
    ]
    Console(width=140).print(table(cases))
    if options.out:
        record = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "command": "python benchmarks/by_hand_step.py --out book/results/by_hand_step.json",
            "seed": options.seed,
            "machine": machine(),
            "cases": cases,
        }
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
