"""LeNet-5's widths on CIFAR-10: the landscape, the noise, and searches.

    python book/experiments/hpo.py [--jobs 2] [--full | --quick] [--out FILE]

Part 4's question: at the noise of a training, can search methods be ranked?
`landscape` trains random configurations, two seeds each, `noise` a few with
many seeds. `search` runs methods at equal budget, and `incumbent` trains what
each of them chose again, with fresh seeds. All is chosen by validation
images; test images are only reported on. `simulated` repeats every method
many times on a surrogate of the landscape (mlcourse.hpo.study).

The usual scale is one for a CPU: 3,000 training images and 9 epochs, where
the source has 50,000 and 40. `--full` has its scale and is made for a GPU:
it has not been run yet. No run has the rate fall, so 3 epochs are the
beginning of 9. A stopped experiment goes on where it was.
"""

import argparse
import json
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import hpo_searches
import numpy as np
import records
from hpo_training import SCALES, jobs, source, train

from mlcourse.book.runs import RESULTS, machine
from mlcourse.hpo.lenets import SPACE
from mlcourse.hpo.space import Space

NAME = "hpo"

#: What the source's searches found, LeNet-5's own widths, and a corner.
NOISE = {
    "PSO, source": {"c1": 26, "c3": 19, "c5": 40, "f6": 324},
    "BOHB, source": {"c1": 30, "c3": 15, "c5": 44, "f6": 318},
    "random, source": {"c1": 27, "c3": 30, "c5": 40, "f6": 224},
    "LeNet-5": {"c1": 6, "c3": 16, "c5": 120, "f6": 84},
    "all largest": {"c1": 32, "c3": 32, "c5": 130, "f6": 325},
}


def landscape(scale):
    """Random configurations, each with two seeds and two orders."""
    rng, space = np.random.default_rng(0), Space(SPACE)
    configs = [space.sample(rng) for _ in range(scale.landscape)]
    made = []
    for again in (0, 1):
        members = [
            {
                "part": "landscape",
                "config": config,
                "seed": 10_000 * again + i,
            }
            for i, config in enumerate(configs)
        ]
        made += jobs(members, 1000 * again, scale.epochs)
    return made


def noise(scale):
    """A few configurations with many seeds, each with its orders."""
    made = []
    for again in range(scale.noise):
        members = [
            {
                "part": "noise",
                "config": config,
                "seed": 50_000 + 10 * again + i,
            }
            for i, config in enumerate(NOISE.values())
        ]
        made += jobs(members, 5000 + 10 * again, scale.epochs)
    return made


def main(arguments=None):
    """Do what the file lacks; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--quick", action="store_true", help="a rehearsal")
    which.add_argument("--full", action="store_true", help="for a GPU")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    name = "quick" if chosen.quick else "full" if chosen.full else "cpu"
    folder = RESULTS.parents[1] / "_build" / "experiments"
    out = chosen.out or (folder if chosen.quick else RESULTS) / f"{NAME}.json"
    record, scale = _started(out, name), SCALES[name]
    write = partial(_write, out, record)
    with _pool(chosen.jobs) as pool:
        _do([*landscape(scale), *noise(scale)], record, name, pool, write)
        if not record["simulated"]:
            record["simulated"] = hpo_searches.simulated(record, name, pool)
            write()
        hpo_searches.search(record, name, pool, write)
        _do(hpo_searches.incumbents(record, scale), record, name, pool, write)
    return 0


def _do(plan, record, scale_name, pool, write):
    """Do the jobs that the record lacks, and write after each."""
    done = {_key(run) for run in record["runs"]}
    missing = [job for job in plan if _key(job.members[0]) not in done]
    print(f"{len(plan) - len(missing)} jobs done, {len(missing)} to do")
    running = [pool.submit(train, job, scale_name) for job in missing]
    for i, future in enumerate(as_completed(running), start=1):
        record["runs"] += future.result()
        write()
        print(f"{i} of {len(missing)} jobs", flush=True)


def _key(run):
    return run["part"], run["seed"], json.dumps(run["config"], sort_keys=True)


def _pool(jobs):
    # Large tensors are allocated in every step: keeping their memory in the
    # process instead of giving it back saves a fifth of the time.
    os.environ.setdefault("MALLOC_MMAP_MAX_", "0")
    os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", str(2**33))
    fresh = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=fresh)


def _started(path, scale_name):
    """The file's content so far; other settings are not mixed in."""
    scale = SCALES[scale_name]
    head = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": f"python book/experiments/{NAME}.py"
        + {"cpu": ""}.get(scale_name, f" --{scale_name}"),
        "machine": machine(),
        "data": source(scale_name).name,
        "scale": {**asdict(scale), "checks": [*scale.checks]},
        "noise": NOISE,
    }
    if not path.is_file():
        return {**head, "simulated": [], "runs": []}
    record = json.loads(path.read_text("utf-8"))
    for what in ("command", "machine", "data", "scale"):
        if record[what] != head[what]:
            sys.exit(
                f"{path.name} was made with another {what} ({record[what]}, "
                f"now {head[what]}): write to another file with --out, or "
                "delete it to start afresh"
            )
    kept = {name: record[name] for name in ("simulated", "runs")}
    return {**head, **kept}


def _write(path, record):
    """Write one run a line, so that a stop leaves the old file."""
    parts = {
        part: [json.dumps(run) for run in record[part]]
        for part in ("simulated", "runs")
    }
    records.replace(path, records.one_a_line(record, **parts))


if __name__ == "__main__":
    sys.exit(main())
