"""DARTS on CIFAR-10: search for a cell, train it anew, and test it.

    python book/experiments/darts.py [--proxy | --quick] [--minutes 9]

The usual scale is the papers', for an accelerator. `--proxy` is one for a
CPU: the same code, fewer channels, layers, images and epochs. `--quick` is a
rehearsal on textured digits. For each way and seed there is a search, and
the training of the cell that it found; beside them a random cell for each
seed, trained in the same way. (The papers take the best of four searches,
chosen by short trainings, and train that one with more seeds: their errors
are those of a chosen cell.) `--minutes` ends a run between two epochs: the
same command goes on there, and comes to the numbers of a run that was never
stopped, on a CPU to the bit. `--checkpoints` says where the states of
unfinished runs are: on a machine that is lent, a folder that you keep.
"""

import argparse
import hashlib
import json
import math
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import darts_training
import records
import torch
from darts_training import RANDOM, SEARCHES, WAYS, How

from mlcourse import data
from mlcourse.book.runs import RESULTS

NAME = "darts"
FOLDER = RESULTS.parents[1] / "_build" / "experiments"
REMEDY = "write to another file with --out, or delete it to start afresh"
SCALES = {
    "paper": darts_training.PAPER,
    "proxy": darts_training.PROXY,
    "rehearsal": darts_training.REHEARSAL,
}

#: Each scale's seeds and ways, unless others are asked for.
USUAL = {
    "paper": (
        [0, 1, 2],
        ["first-order", "finite-difference", "PC-DARTS", RANDOM],
    ),
    "proxy": ([0, 1], ["first-order", "PC-DARTS", RANDOM]),
    "rehearsal": ([0], list(WAYS)),
}

#: What a file's runs have in common: runs of two kinds do not go together.
COMMON = ("machine", "data", "precision", "kernels", "scale")


def main(arguments=None):
    """Do what the file lacks, as far as the minutes go; the exit code."""
    chosen = asked(arguments)
    torch.set_num_threads(1)
    images = images_for(chosen.name)
    record = started(chosen.out, head(chosen, images))
    clock = Clock(chosen.minutes)
    plan = [(way, seed) for seed in chosen.seeds for way in chosen.ways]
    for way, seed in plan:
        if clock.over() or not one(way, seed, chosen, images, record, clock):
            print("The minutes are over: the same command goes on.")
            break
    done = [run for run in plan if line_of(record["trainings"], *run)]
    print(f"{len(done)} of {len(plan)} cells trained", flush=True)
    return 0


class Clock:
    """Says after each epoch whether the minutes of this run are over."""

    def __init__(self, minutes):
        self.end = time.monotonic() + 60 * minutes

    def over(self, history=None):
        """Whether they are; the loops of training give their history."""
        return time.monotonic() >= self.end


def one(way, seed, chosen, images, record, clock):
    """Search for a cell and train it, if that is missing; False: stopped."""

    def do(part, work, *what):
        if found := line_of(record[part], way, seed):
            return found
        how = How(
            scale=chosen.scale,
            images=images,
            precision=chosen.precision,
            kernels=chosen.kernels,
            checkpoint=checkpoint(part, way, seed, what, chosen, images),
            stop=clock.over,
        )
        made = work(way, seed, *what, how)
        if made is None:
            return None
        line = {"way": way, "seed": seed, **made}
        record[part].append(line)
        write(chosen.out, record)
        how.checkpoint.unlink(missing_ok=True)
        print(f"{part}, {way}, seed {seed}: {said(line)}", flush=True)
        return line

    if way in SEARCHES:
        found = do("searches", darts_training.search)
        if not found or found["diverged"]:
            # There is no cell to train: yet, or at all.
            return found is not None
        genotype = darts_training.genotype_of(found)
    else:
        genotype = darts_training.known_cell(way, seed)
    if clock.over() and not line_of(record["trainings"], way, seed):
        return False
    return do("trainings", darts_training.retrain, genotype) is not None


def said(line):
    """A line of the record in a few words."""
    seconds = f"{line['seconds']:.0f} s"
    if "test_error" not in line:
        return seconds
    return f"{seconds}, test error {line['test_error']:.2%}"


def line_of(lines, way, seed):
    """The line of a run, or None."""
    return next(
        (one for one in lines if (one["way"], one["seed"]) == (way, seed)),
        None,
    )


def checkpoint(part, way, seed, what, chosen, images):
    """Where the state of an unfinished run is kept: by all that it is."""
    common = chosen.precision, chosen.kernels, images.name
    run = [part, way, seed, what, asdict(chosen.scale), common]
    key = hashlib.sha256(json.dumps(run).encode()).hexdigest()[:16]
    return chosen.checkpoints / f"{key}.pt"


def asked(arguments):
    """The command line, with the scale that it means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--proxy", action="store_true", help="a CPU's scale")
    size.add_argument("--quick", action="store_true", help="a rehearsal")
    parser.add_argument("--ways", nargs="+", choices=WAYS)
    parser.add_argument("--seeds", type=int, nargs="+")
    parser.add_argument("--search-epochs", type=int)
    parser.add_argument("--train-epochs", type=int)
    parser.add_argument("--minutes", type=float, default=math.inf)
    parser.add_argument(
        "--precision",
        choices=("float32", "bfloat16"),
        default="float32",
        help="of the trainings; searches have float32",
    )
    parser.add_argument(
        "--kernels",
        choices=("deterministic", "fastest"),
        default="deterministic",
        help="of cuDNN: the fastest ones do not repeat a run",
    )
    parser.add_argument("--checkpoints", type=Path, default=FOLDER / NAME)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args(arguments)
    names = {"proxy": chosen.proxy, "rehearsal": chosen.quick}
    chosen.name = next((name for name, on in names.items() if on), "paper")
    seeds, ways = USUAL[chosen.name]
    chosen.seeds, chosen.ways = chosen.seeds or seeds, chosen.ways or ways
    chosen.out = chosen.out or usual_file(chosen.name)
    epochs = {
        name: value
        for name in ("search_epochs", "train_epochs")
        if (value := getattr(chosen, name)) is not None
    }
    for name, value in epochs.items():
        if value < 1:
            option = "--" + name.replace("_", "-")
            parser.error(f"{option} is {value}: give 1 or more")
    if chosen.precision == "bfloat16" and not torch.cuda.is_available():
        parser.error(
            "--precision bfloat16 is for an accelerator: on a CPU, torch's "
            "gradients of dilated depthwise convolutions can be wrong in it"
        )
    chosen.scale = replace(SCALES[chosen.name], **epochs)
    return chosen


def usual_file(name):
    """Where the results of a scale go: each has a file of its own."""
    if name == "rehearsal":
        return FOLDER / f"{NAME}.json"
    return RESULTS / f"{NAME}{'' if name == 'paper' else '_' + name}.json"


def images_for(name):
    """CIFAR-10, and textured digits for a rehearsal."""
    if name == "rehearsal":
        return data.textured_digits(n_train=64, n_test=20)
    if name == "paper" and not torch.cuda.is_available():
        sys.exit(
            "There is no accelerator that torch can use, and a CPU would "
            "take months for the papers' scale: give --proxy for a scale of "
            "minutes, or --quick for a rehearsal."
        )
    try:
        return data.cifar10()
    except data.DataMissing as missing:
        sys.exit(f"{missing}. (--quick is a rehearsal without CIFAR-10.)")


def head(chosen, images):
    """What all runs of the file have in common, and the papers' epochs."""
    flags = {"paper": "", "proxy": " --proxy", "rehearsal": " --quick"}
    given = {
        name: getattr(chosen, name)
        for name in ("search_epochs", "train_epochs", "precision", "kernels")
    }
    options = "".join(
        f" --{name.replace('_', '-')} {value}"
        for name, value in given.items()
        if value not in (None, "float32", "deterministic")
    )
    about = records.about(
        NAME,
        quick=False,
        data=images.name,
        precision=chosen.precision,
        kernels=chosen.kernels,
        scale={"name": chosen.name, **asdict(chosen.scale)},
        paper={
            name: getattr(darts_training.PAPER, name)
            for name in ("search_epochs", "train_epochs")
        },
    )
    about["command"] += flags[chosen.name] + options
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
        about["machine"] = {"device": device, **about["machine"]}
    return about


def started(path, fresh):
    """The file's content so far, or an empty one."""
    if not path.is_file():
        return {**fresh, "searches": [], "trainings": []}
    record = json.loads(path.read_text("utf-8"))
    for what in COMMON:
        if record[what] != fresh[what]:
            sys.exit(
                f"{path.name} was made with another {what} "
                f"({record[what]}, now {fresh[what]}): {REMEDY}"
            )
    return {**record, "date": fresh["date"]}


def write(path, record):
    """Write a run a line."""
    parts = {
        part: [json.dumps(line) for line in record[part]]
        for part in ("searches", "trainings")
    }
    records.replace(path, records.one_a_line(record, **parts))


if __name__ == "__main__":
    sys.exit(main())
