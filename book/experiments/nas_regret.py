"""Searches of the small space, each cell of which is trained: the regrets.

    python book/experiments/nas_regret.py [--quick] [--out FILE]

Black-box methods search the table that nas_table.py made, each many times:
how far is the cell that they would choose from the best one, after so many
trainings and after so much time? DARTS searches with a supernet on the
same images, and the table says what the cells that it derives are worth. A
stopped experiment goes on where it was; `--quick` is a rehearsal.
"""

import argparse
import json
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import records
import torch

from mlcourse.book.runs import RESULTS
from mlcourse.hpo.comparison import bootstrap_interval
from mlcourse.hpo.hyperband import Hyperband
from mlcourse.hpo.random import Random
from mlcourse.hpo.tpe import TPE
from mlcourse.loading import Loader
from mlcourse.nas import darts, small_networks
from mlcourse.nas.black_box import (
    LocalSearch,
    RegularizedEvolution,
    Reinforce,
)
from mlcourse.nas.small_networks import noisy_digits
from mlcourse.nas.small_space import SPACE, cells
from mlcourse.nas.small_supernet import SmallSupernet
from mlcourse.nas.small_table import Table, regret_at, search

NAME = "nas_regret"

METHODS = {
    "random search": Random,
    "regularized evolution": RegularizedEvolution,
    "local search": LocalSearch,
    "REINFORCE": Reinforce,
    "TPE": TPE,
    "Hyperband": partial(Hyperband, min_budget=3, max_budget=12, eta=2),
}
#: Searches a method, and how many trainings each may spend.
SEARCHES, TRAININGS = 200, 300

#: The table's own training for the weights; as DARTS has it otherwise, but a
#: larger step for alpha, as there are 600 steps and not 20,000.
DARTS = {
    "epochs": 50,
    "lr": small_networks.LR,
    "lr_min": small_networks.LR / 25,
    "weight_decay": small_networks.WEIGHT_DECAY,
    "lr_alpha": 0.01,
}
DARTS_SEEDS = {"first": 10, "exact": 5}

rounded = partial(records.rounded, digits=4)


def main():
    """Do what the file lacks; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a rehearsal")
    parser.add_argument("--out", type=Path)
    parser.add_argument(
        "--table", type=Path, default=RESULTS / "nas_table.json"
    )
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    folder = RESULTS.parents[1] / "_build" / "experiments"
    out = chosen.out or (folder if chosen.quick else RESULTS) / f"{NAME}.json"
    record = started(out, chosen.quick)
    write = partial(_write, out, record)
    searches(record, Table.read(chosen.table), chosen.quick, write)
    relaxed(record, chosen.quick, write)
    return 0


def searches(record, table, quick, write):
    """Search the table with each method, many times."""
    repeats, trainings = (3, 20) if quick else (SEARCHES, TRAININGS)
    mean = np.mean([table.seconds(cell) for cell in cells()])
    at = places(1, trainings)
    for name, make in METHODS.items():
        if name in [line["method"] for line in record["searches"]]:
            continue
        start = time.perf_counter()
        found = [
            search(make(SPACE, seed=seed), table, trainings, seed)
            for seed in range(repeats)
        ]
        spent = {"trainings": at, "seconds": [mean * n for n in at]}
        record["searches"].append(
            {
                "method": name,
                "searches": repeats,
                **{
                    kind: {
                        "spent": rounded(where),
                        **summary(regret_at(found, where, kind)),
                    }
                    for kind, where in spent.items()
                },
            }
        )
        write()
        print(f"{name}: {time.perf_counter() - start:.0f} s", flush=True)


def places(first, last):
    """About thirty whole numbers from first to last, at equal ratios."""
    return sorted({round(place) for place in np.geomspace(first, last, 36)})


def summary(regrets):
    """Mean and median at each place with their 95 % intervals, (n, places).

    Nothing where a search has no choice yet.
    """
    made = {}
    for name, statistic in (("mean", np.mean), ("median", np.median)):
        low, high = bootstrap_interval(regrets, statistic, draws=2000)
        middle = statistic(regrets, axis=0)
        ends = {"": middle, "_low": low, "_high": high}
        made |= {name + end: rounded(of.tolist()) for end, of in ends.items()}
    return made


def relaxed(record, quick, write):
    """Search with the supernet, with each order of the gradient."""
    done = [(run["order"], run["seed"]) for run in record["darts"]]
    for order, seeds in DARTS_SEEDS.items():
        for seed in range(1 if quick else seeds):
            if (order, seed) not in done:
                record["darts"].append(one_darts(order, seed, quick))
                write()
                print(f"DARTS, {order}, seed {seed}", flush=True)


def one_darts(order, seed, quick):
    """The cell after each epoch, the seconds, the supernet's accuracy."""
    task = noisy_digits()
    generator = torch.Generator().manual_seed(seed)
    supernet = SmallSupernet(generator=generator)
    train, val = (
        Loader(*part, small_networks.BATCH_SIZE, generator=generator)
        for part in (task.train, task.validation)
    )
    start = time.process_time()
    setting = {**DARTS, "epochs": 2} if quick else DARTS
    found = darts.search(supernet, train, val, order=order, **setting)
    seconds = time.process_time() - start
    return {
        "order": order,
        "seed": seed,
        "cells": found.genotypes,
        "seconds": rounded(seconds),
        "supernet": rounded(
            small_networks.accuracy(supernet, task.validation)
        ),
        "strengths": rounded(supernet.strengths().tolist()),
    }


def started(path, quick):
    """The file's content so far, with today's head."""
    head = records.about(NAME, quick, darts_setting=DARTS)
    kept = {"searches": [], "darts": []}
    if path.is_file():
        record = json.loads(path.read_text("utf-8"))
        kept = {part: record[part] for part in kept}
    return {**head, **kept}


def _write(path, record):
    """Write one method and one search a line."""
    parts = {
        part: [json.dumps(line) for line in record[part]]
        for part in ("searches", "darts")
    }
    records.replace(path, records.one_a_line(record, **parts))


if __name__ == "__main__":
    sys.exit(main())
