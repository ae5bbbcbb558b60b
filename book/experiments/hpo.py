"""LeNet-5's widths on CIFAR-10: the landscape, the noise, and searches.

    python book/experiments/hpo.py [--jobs 2] [--full | --quick] [--out FILE]

Part 4's question: at the noise of a training, can search methods be ranked?
`landscape` trains random configurations, two seeds each, `noise` a few with
many seeds. `search` runs the methods at equal budget, and `incumbent` trains
what each of them chose again, with fresh seeds. All is chosen by validation
images; test images are only reported on.

The usual scale is one for a CPU: 3,000 training images and 9 epochs, where
the source has 50,000 and 40. `--full` has its scale and is made for a GPU.
No run has the rate fall, so 3 epochs are the beginning of 9.
"""

import argparse
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from mlcourse import data, training
from mlcourse.book.runs import RESULTS, machine
from mlcourse.hpo.lenets import SPACE, LeNets
from mlcourse.hpo.side_by_side import SideBySide, accuracies, groups
from mlcourse.hpo.space import Space

NAME = "hpo"


@dataclass(frozen=True)
class Scale:
    """How much is trained: numbers of images, epochs, runs."""

    train: int
    validation: int
    test: int
    epochs: int
    checks: tuple[int, ...]
    landscape: int
    noise: int
    batch_size: int = 64
    lr: float = 0.02
    momentum: float = 0.9


SCALES = {
    "quick": Scale(128, 64, 64, 3, (1, 3), landscape=4, noise=2),
    "cpu": Scale(3000, 3000, 5000, 9, (1, 3, 6, 9), 240, 20),
    "full": Scale(
        45_000, 5000, 10_000, 40, (1, 4, 13, 20, 30, 40), 300, 24
    ),
}

#: What the source's searches found, LeNet-5's own widths, and a corner.
NOISE = {
    "PSO, source": {"c1": 26, "c3": 19, "c5": 40, "f6": 324},
    "BOHB, source": {"c1": 30, "c3": 15, "c5": 44, "f6": 318},
    "random, source": {"c1": 27, "c3": 30, "c5": 40, "f6": 224},
    "LeNet-5": {"c1": 6, "c3": 16, "c5": 120, "f6": 84},
    "all largest": {"c1": 32, "c3": 32, "c5": 130, "f6": 325},
}


@dataclass(frozen=True)
class Job:
    """Networks to train together, on the same order of the images.

    Each member is what its record says first: part, config, seed, order.
    """

    order: int
    members: tuple[dict, ...]


def landscape(scale):
    """Random configurations, each with two seeds and two orders."""
    rng, space = np.random.default_rng(0), Space(SPACE)
    configs = [space.sample(rng) for _ in range(scale.landscape)]
    for seed in (0, 1):
        for number, group in enumerate(groups(configs)):
            order = 1000 * seed + number
            yield Job(
                order,
                tuple(
                    _member("landscape", configs[i], 10_000 * seed + i, order)
                    for i in group
                ),
            )


def noise(scale):
    """A few configurations with many seeds, each with an order."""
    configs = list(NOISE.values())
    for seed in range(scale.noise):
        order = 5000 + seed
        for group in groups(configs):
            yield Job(
                order,
                tuple(
                    _member("noise", configs[i], 50_000 + 10 * seed + i, order)
                    for i in group
                ),
            )


def _member(part, config, seed, order):
    return {"part": part, "config": config, "seed": seed, "order": order}


def train(job, scale_name):
    """Train a job's networks: a record each."""
    scale = SCALES[scale_name]
    images = _images(scale_name)
    nets = LeNets(
        [one["config"] for one in job.members],
        [one["seed"] for one in job.members],
    ).to(training.device())
    run = SideBySide(nets, scale.lr, scale.momentum)
    generator = torch.Generator().manual_seed(job.order)
    curves = []
    for epoch in range(1, scale.epochs + 1):
        loss = run.epoch(*images["train"], generator, scale.batch_size)
        if epoch in scale.checks:
            curves.append(accuracies(nets, *images["validation"]))
    validation = torch.stack(curves, dim=1).tolist()
    test = accuracies(nets, *images["test"]).tolist()
    return [
        {
            **one,
            "loss": _number(loss[i].item()),
            "validation": [_number(a) for a in validation[i]],
            "test": _number(test[i]),
        }
        for i, one in enumerate(job.members)
    ]


def _number(value):
    """Five digits; None for a loss that is not finite."""
    return float(f"{value:.5g}") if np.isfinite(value) else None


@lru_cache(maxsize=1)
def _images(scale_name):
    """Three parts, standardised by the first: images and class numbers."""
    torch.set_num_threads(1)
    scale = SCALES[scale_name]
    source = _source(scale_name)
    first = source.X_train[: scale.train].float()
    over = {"dim": (0, 2, 3), "keepdim": True}
    mean, std = first.mean(**over), first.std(**over)

    def part(X, y):
        X = ((X.float() - mean) / std).to(training.device())
        X = X.contiguous(memory_format=torch.channels_last)
        return X, y.to(training.device())

    held_out = slice(len(source.X_train) - scale.validation, None)
    return {
        "train": part(first, source.y_train[: scale.train]),
        "validation": part(source.X_train[held_out], source.y_train[held_out]),
        "test": part(source.X_test[: scale.test], source.y_test[: scale.test]),
    }


def _source(scale_name):
    quick = scale_name == "quick"
    return data.textured_digits() if quick else data.cifar10()


def main(arguments=None):
    """Do what the file lacks; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true", help="a rehearsal")
    which.add_argument("--full", action="store_true", help="for a GPU")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    scale = "quick" if chosen.quick else "full" if chosen.full else "cpu"
    folder = RESULTS.parents[1] / "_build" / "experiments"
    out = chosen.out or (folder if chosen.quick else RESULTS) / f"{NAME}.json"
    record = _started(out, scale)
    with _pool(chosen.jobs) as pool:
        plan = [*landscape(SCALES[scale]), *noise(SCALES[scale])]
        _do(plan, record, out, scale, pool)
    return 0


def _do(plan, record, out, scale, pool):
    """Do the jobs that the record lacks, and write after each."""
    done = {_key(run) for run in record["runs"]}
    missing = [job for job in plan if _key(job.members[0]) not in done]
    print(f"{len(plan) - len(missing)} jobs done, {len(missing)} to do")
    running = [pool.submit(train, job, scale) for job in missing]
    for i, future in enumerate(as_completed(running), start=1):
        record["runs"] += future.result()
        _write(out, record)
        print(f"{i} of {len(missing)} jobs", flush=True)


def _key(run):
    return json.dumps([run[name] for name in ("part", "config", "seed")])


def _pool(jobs):
    # Large tensors are allocated in every step: keeping their memory in the
    # process instead of giving it back saves a fifth of the time.
    os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**33))
    fresh = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=fresh)


def _started(path, scale):
    """The file's content so far; other settings are not mixed in."""
    head = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": f"python book/experiments/{NAME}.py"
        + {"cpu": ""}.get(scale, f" --{scale}"),
        "machine": machine(),
        "data": _source(scale).name,
        "scale": {**asdict(SCALES[scale]), "checks": [*SCALES[scale].checks]},
    }
    if not path.is_file():
        return {**head, "runs": []}
    record = json.loads(path.read_text("utf-8"))
    for what in ("command", "machine", "data", "scale"):
        if record[what] != head[what]:
            sys.exit(
                f"{path.name} was made with another {what} ({record[what]}, "
                f"now {head[what]}): write to another file with --out, or "
                "delete it to start afresh"
            )
    return {**head, "runs": record["runs"]}


def _write(path, record):
    """Write one run a line, so that a stop leaves the old file."""
    head = json.dumps({**record, "runs": []}, indent=1)
    lines = ",\n".join("  " + json.dumps(run) for run in record["runs"])
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".part")
    body = head.replace('"runs": []', f'"runs": [\n{lines}\n ]')
    fresh.write_text(body + "\n", "utf-8")
    fresh.replace(path)


if __name__ == "__main__":
    sys.exit(main())
