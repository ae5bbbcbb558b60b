"""Train many LeNet-5s side by side and one by one, and compare the epochs a minute.

    python benchmarks/lenets.py [--out book/results/lenets.json]

32 networks of random widths, batches of 64 images, SGD with momentum. One by one, each network is
a plain nn.Module with torch's foreach optimiser, once with torch's usual layout of images and once
with `channels_last`; side by side they are trained by mlcourse.hpo.side_by_side, with the same
numbers. A network, or a group, is updated ten times in a row, so that it stays in the caches as in
a real training. The ways take turns within each repeat; a gain is the median over repeats of one
way's time over ours in the same repeat. The limit is what the gain would be if each necessary
multiplication ran at the highest rate that this machine reaches in a large product of matrices or
a large convolution. `one image` is the plain way with a batch of one: its share of the time is the
way to the arithmetic, and all that making fewer calls alone could save.

All processes keep the memory that they free (see `keep_memory`), as book/experiments/hpo.py does.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional as F

from mlcourse.book.runs import machine
from mlcourse.convnets import lenet5
from mlcourse.hpo.lenets import SPACE, LeNets
from mlcourse.hpo.side_by_side import SideBySide, groups
from mlcourse.hpo.space import Space

SPACES = {"c1, c3 at most 8": SPACE | {"c1": (1, 8), "c3": (1, 8)}, "whole space": SPACE}
#: (threads a process, processes at a time)
CORES = {"1 thread": (1, 1), "2 threads": (2, 1), "2 processes": (1, 2)}
WAYS = ("plain", "channels_last", "side by side", "one image")
NETWORKS, BATCH, IMAGES, UPDATES = 32, 64, 50_000, 10

Step = Callable[[], list[Tensor]]


def draw(space: str, seed: int) -> list[dict]:
    """Return the widths of the networks."""
    rng = np.random.default_rng(seed)
    return [Space(SPACES[space]).sample(rng) for _ in range(NETWORKS)]


def ways(configs: list[dict], seed: int) -> dict[str, Step]:
    """Return for each way a function that makes UPDATES updates of each network in a row.

    It returns the losses before the last of them.
    """
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(BATCH, 3, 32, 32, generator=generator)
    y = torch.randint(10, (BATCH,), generator=generator)
    last = torch.channels_last
    return {
        "plain": one_by_one(configs, X, y, torch.contiguous_format),
        "channels_last": one_by_one(configs, X.contiguous(memory_format=last), y, last),
        "side by side": side_by_side(configs, X.contiguous(memory_format=last), y),
        "one image": one_by_one(configs, X[:1], y[:1], torch.contiguous_format),
    }


def one_by_one(configs: list[dict], X: Tensor, y: Tensor, form: torch.memory_format) -> Step:
    """Update one network after the other."""
    nets = []
    for i, config in enumerate(configs):
        torch.manual_seed(i)
        net = lenet5(**config).to(memory_format=form)
        nets.append((net, torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, foreach=True)))

    def step() -> list[Tensor]:
        losses = []
        for net, optimizer in nets:
            for _ in range(UPDATES):
                loss = F.cross_entropy(net(X), y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            losses.append(loss.detach())
        return losses

    return step


def side_by_side(configs: list[dict], X: Tensor, y: Tensor) -> Step:
    """Update one group after the other."""
    made = groups(configs)
    trained = [SideBySide(LeNets([configs[i] for i in group], group), 0.01) for group in made]

    def step() -> list[Tensor]:
        last = []
        for training in trained:
            for _ in range(UPDATES):
                losses = training.step(X, y)
            last.append(losses)
        places = torch.tensor([i for group in made for i in group]).argsort()
        return list(torch.cat(last)[places])

    return step


def measure(space: str, threads: int, repeats: int, seed: int) -> dict[str, list[float]]:
    """Return, for each way, the time (s) of one update of every network, in each repeat."""
    torch.set_num_threads(threads)
    steps = ways(draw(space, seed), seed)
    for step in steps.values():
        step()
    times: dict[str, list[float]] = {way: [] for way in steps}
    for _ in range(repeats):
        for way, step in steps.items():
            start = time.perf_counter()
            step()
            times[way].append((time.perf_counter() - start) / UPDATES)
    return times


def limit(threads: int) -> float:
    """Return the highest rate seen in a large product or convolution: operations a second."""
    torch.set_num_threads(threads)
    A, B = torch.ones(1024, 1024), torch.ones(1024, 1024)
    X = torch.ones(16, 64, 32, 32).contiguous(memory_format=torch.channels_last)
    W = torch.ones(64, 64, 3, 3).contiguous(memory_format=torch.channels_last)
    calls = {
        2 * 1024**3: lambda: A @ B,
        2 * 16 * 30**2 * 64**2 * 9: lambda: F.conv2d(X, W),
    }
    best = 0.0
    for operations, call in calls.items():
        for _ in range(20):
            start = time.perf_counter()
            call()
            best = max(best, operations / (time.perf_counter() - start))
    return best


def operations(config: dict) -> int:
    """Return the multiplications and additions of one update, without padding."""
    c1, c3, c5, f6 = (config[name] for name in SPACE)
    first = 28**2 * 75 * c1
    others = 10**2 * 25 * c1 * c3 + 25 * c3 * c5 + c5 * f6 + 10 * f6
    # Forward, weights, inputs: but the images need no gradient.
    return 2 * BATCH * (2 * first + 3 * others)


def row(space: str, cores: str, runs: list[dict[str, list[float]]], rate: float, seed: int) -> dict:
    """Summarise the times of one setting; `runs` has those of each process."""
    done = sum(operations(config) for config in draw(space, seed)) * len(runs)
    # Processes side by side: the networks of all of them in the mean time.
    times = {way: np.mean([run[way] for run in runs], axis=0) for way in WAYS}
    made: dict = {"networks": space, "cores": cores}
    for way in WAYS[:3]:
        updates = NETWORKS * len(runs) / statistics.median(times[way])
        made[f"{way}, epochs a minute"] = round(updates * BATCH / IMAGES * 60, 2)
    for way in WAYS[:2]:
        low, gain, high = statistics.quantiles(times[way] / times["side by side"], n=4)
        made[f"gain over {way}"] = [round(low, 2), round(gain, 2), round(high, 2)]
        made[f"limit over {way}"] = round(statistics.median(times[way]) / (done / rate), 1)
    made["share of one image"] = round(statistics.median(times["one image"] / times["plain"]), 2)
    made["share of the limit"] = round(done / rate / statistics.median(times["side by side"]), 2)
    return made


def keep_memory() -> None:
    """Let the C library of new processes (glibc) keep large blocks instead of giving them back."""
    os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**33))


def rows(repeats: int, seed: int) -> list[dict]:
    """Measure every setting, each process fresh."""
    made = []
    keep_memory()
    fresh = multiprocessing.get_context("spawn")
    for space in SPACES:
        for cores, (threads, processes) in CORES.items():
            with ProcessPoolExecutor(processes, mp_context=fresh) as pool:
                rate = sum(pool.map(limit, [threads] * processes))
                runs = [
                    pool.submit(measure, space, threads, repeats, seed) for _ in range(processes)
                ]
                made.append(row(space, cores, [run.result() for run in runs], rate, seed))
    return made


def table(made: list[dict]) -> Table:
    """The rows as a table for the terminal."""
    shown = Table(title="LeNet-5s, batches of 64: epochs of 50,000 images a minute; gain, limit")
    for column in ("networks", "cores"):
        shown.add_column(column)
    shares = ("share of limit", "one image / plain")
    for column in (*WAYS[:3], "gain", "limit", "gain, channels_last", "limit", *shares):
        shown.add_column(column, justify="right")
    for one in made:
        rates = [f"{one[f'{way}, epochs a minute']:.1f}" for way in WAYS[:3]]
        gains = []
        for way in WAYS[:2]:
            low, gain, high = one[f"gain over {way}"]
            gains += [f"{gain:.1f} ({low:.1f}-{high:.1f})", f"{one[f'limit over {way}']:.1f}"]
        shares = (f"{one[f'share of {what}']:.0%}" for what in ("the limit", "one image"))
        shown.add_row(one["networks"], one["cores"], *rates, *gains, *shares)
    return shown


def main() -> None:
    """Measure, print the table and, with --out, store the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file too")
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if os.getloadavg()[0] > 1:
        print(f"other programs are running (load {os.getloadavg()[0]:.1f}): expect wide quartiles")
    made = rows(options.repeats, options.seed)
    Console(width=165).print(table(made))
    if options.out:
        record = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "command": "python benchmarks/lenets.py --out book/results/lenets.json",
            "seed": options.seed,
            "machine": machine(),
            "repeats": options.repeats,
            "rows": made,
        }
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
