"""The four limits of DARTS on the small space, and what each remedy does.

    python book/experiments/darts_limits.py [--quick] [--out FILE]

All searches have the same supernet, images and settings, and the table of the
small space (nas_table.py) says what the cells that they derive are worth.
Searches: strengths and skips after each epoch, the curvature in the
architecture, and the accuracy before and after the discretisation. Sharing:
accuracies of many cells with the supernet's weights, to be compared with
those of the table. Co-adaptation: what the supernet loses without an
operation, at once and after it was trained without it. Horizon: gradients in
the architecture that look one step ahead, several, or to the end. Speed: the
processor's time of a step of a larger supernet. A stopped
experiment goes on where it was; `--quick` is a rehearsal.
"""

import json
import sys
import time
from functools import partial

import numpy as np
import records
import torch

from mlcourse.book.runs import RESULTS
from mlcourse.hypergrad import hypergradient
from mlcourse.loading import Loader
from mlcourse.nas import darts, small_networks
from mlcourse.nas.architect import Architect
from mlcourse.nas.remedies import (
    DirichletSampling,
    EdgeNormalization,
    EigenvalueStop,
    FairGates,
    PartialChannels,
    Shrinking,
    SkipDropout,
    drop_one,
    retrain_one,
    select_by_perturbation,
)
from mlcourse.nas.remedies.relaxations import Remaining
from mlcourse.nas.remedies.removal import score
from mlcourse.nas.small_networks import noisy_digits
from mlcourse.nas.small_space import OPERATIONS, representatives
from mlcourse.nas.small_supernet import SmallSupernet
from mlcourse.nas.supernet import Supernet

NAME = "darts_limits"
FOLDER = RESULTS.parents[1] / "_build" / "experiments"

PARTS = ("searches", "horizon", "relied_on", "speed")

#: As nas_regret.py, but shorter, and the same for all.
SETTING = {
    "epochs": 30,
    "lr": small_networks.LR,
    "lr_min": small_networks.LR / 25,
    "weight_decay": small_networks.WEIGHT_DECAY,
    "lr_alpha": 0.01,
}
#: Each seed's searches come before the next seed's.
SEEDS = 5

#: Epochs of training after an operation was taken out, and their rate.
RETRAINED, RETRAINING_LR = 2, 0.02

#: How many cells are tried with shared weights.
CELLS = 60

#: The end that the methods of the horizon are compared with, and their rate.
STEPS, HORIZON_LR, HORIZON_IMAGES, HORIZON_SEEDS = 100, 0.05, 200, 3

rounded = partial(records.rounded, digits=4)


def main():
    """Do what the file lacks; the exit code."""
    quick, out = records.asked(NAME, __doc__)
    torch.set_num_threads(1)
    record = started(out, quick)
    for seed in range(1 if quick else SEEDS):
        for way in WAYS:
            measured(record, "searches", searched, way, seed, quick, out)
        if seed < HORIZON_SEEDS:
            measured(record, "horizon", horizon, "DARTS", seed, quick, out)
        for way in ("DARTS", "DirichletSampling"):
            measured(record, "relied_on", relied_on, way, seed, quick, out)
    measured(record, "speed", speed, "first order", 0, quick, out)
    return 0


def measured(record, part, measure, way, seed, quick, out):
    """Measure one thing, unless it was, and write."""
    if (way, seed) in [(run["way"], run["seed"]) for run in record[part]]:
        return
    start = time.process_time()
    found = measure(way, seed, quick)
    seconds = time.process_time() - start
    record[part].append(
        {"way": way, "seed": seed, **found, "seconds": rounded(seconds)}
    )
    _write(out, record)
    print(f"{part}, {way}, seed {seed}: {seconds:.0f} s", flush=True)


def curvature():
    """Measure the curvature in the architecture, of 200 images' loss."""
    task = noisy_digits()
    X, y = (of_task[:200] for of_task in task.validation)
    # This ratio never stops: the rule is applied later, to what is recorded.
    return EigenvalueStop((X, y), ratio=1e-9)


def shrinking(epochs):
    """Three of four operations after 2/5 of the epochs, two after 4/5."""
    return Shrinking(((2 * epochs // 5, 3), (4 * epochs // 5, 2)))


#: Each way to search: order of the gradient, and remedies for so many epochs.
WAYS = {
    "DARTS": ("first", lambda epochs: [curvature()]),
    "exact": ("exact", lambda epochs: []),
    "finite_difference": ("finite_difference", lambda epochs: []),
    "SkipDropout": ("first", lambda epochs: [SkipDropout(0.5, 2 / epochs)]),
    "FairGates": ("first", lambda epochs: [FairGates(10.0)]),
    "DirichletSampling": ("first", lambda epochs: [DirichletSampling()]),
    "PartialChannels": (
        "first",
        lambda epochs: [PartialChannels(4), EdgeNormalization()],
    ),
    "Shrinking": ("first", lambda epochs: [shrinking(epochs)]),
}

#: Remedies together, for darts_remedies.py.
COMBINED = {
    "SkipDropout+Shrinking": (
        "first",
        lambda epochs: [SkipDropout(0.5, 2 / epochs), shrinking(epochs)],
    ),
    "PartialChannels+DirichletSampling": (
        "first",
        lambda epochs: [
            PartialChannels(4),
            DirichletSampling(),
            EdgeNormalization(),
        ],
    ),
}


def search(way, seed, quick):
    """A supernet, what its search found, its batches, what it draws from.

    The search's checkpoint stays: other measurements begin where it ends.
    """
    task = noisy_digits()
    setting = {**SETTING, "epochs": 5} if quick else SETTING
    generator = torch.Generator().manual_seed(seed)
    supernet = SmallSupernet(generator=generator)
    train, val = (
        Loader(*part, small_networks.BATCH_SIZE, generator=generator)
        for part in (task.train, task.validation)
    )
    order, remedies = (WAYS | COMBINED)[way]
    kept = FOLDER / NAME / f"{way}-{seed}{'-quick' * quick}.pt"
    found = darts.search(
        supernet,
        train,
        val,
        order=order,
        remedies=remedies(setting["epochs"]),
        generator=generator,
        checkpoint=kept,
        **setting,
    )
    return supernet, found, (train, val), generator


def searched(way, seed, quick):
    """One search, and the accuracy before and after the discretisation."""
    supernet, found, (train, val), generator = search(way, seed, quick)
    columns = {
        name: rounded(column)
        for name, column in found.history.items()
        if name.startswith("normal_")
        or name in ("alpha_eigenvalue", "train_accuracy")
    }
    made = {
        "cells": found.genotypes,
        **columns,
        "relaxed": rounded(accuracy(supernet, val)),
    }
    relaxation = supernet.relaxation
    last = restricted(supernet, found.genotypes[-1])
    made["discrete"] = rounded(accuracy(last, val))
    if way == "DARTS":
        made["shared"] = shared(supernet, seed, val, quick)
        supernet.relaxation = relaxation
        made |= perturbed(supernet, train, val, generator)
    return made


def perturbed(supernet, train, val, generator):
    """The cell of what the supernet misses most, not of what is strongest."""
    tuned = partial(trained, batches=train, epochs=1)
    select_by_perturbation(
        supernet,
        val,
        tuned,
        candidates=supernet.operations,
        inputs=None,
        generator=generator,
    )
    return {
        "perturbation_cell": supernet.genotype(),
        "perturbation_discrete": rounded(accuracy(supernet, val)),
    }


def accuracy(supernet, batches):
    """Of the supernet as it is, with each batch's statistics."""
    return score(supernet, batches).accuracy


def restricted(supernet, cell):
    """The supernet with only a cell's operations, which share the edges."""
    remaining = Remaining.of(supernet)
    for edge, letter in enumerate(cell):
        remaining.keep_only("normal", edge, [list(OPERATIONS).index(letter)])
    return supernet


def shared(supernet, seed, batches, quick):
    """Accuracies of random cells, all different, with the shared weights."""
    cells = sorted(set(representatives().values()))
    drawn = np.random.default_rng(seed).choice(
        cells, 3 if quick else CELLS, replace=False
    )
    return {
        str(cell): rounded(accuracy(restricted(supernet, cell), batches))
        for cell in drawn
    }


def trained(supernet, batches, epochs):
    """Train the weights alone."""
    darts.search(
        supernet,
        batches,
        batches,
        epochs=epochs,
        warm_up=epochs,
        lr=RETRAINING_LR,
        lr_min=RETRAINING_LR / 25,
        weight_decay=SETTING["weight_decay"],
    )


def relied_on(way, seed, quick):
    """What is lost without an operation, at once and after training so."""
    supernet, _, (train, val), _ = search(way, seed, quick)
    retrain = partial(
        trained, batches=train, epochs=1 if quick else RETRAINED
    )
    before = score(supernet, val)
    # What more training alone changes is not to be counted.
    state = {
        name: value.clone() for name, value in supernet.state_dict().items()
    }
    retrain(supernet)
    longer = score(supernet, val)
    supernet.load_state_dict(state)
    removals = []
    for edge in range(1 if quick else len(supernet.edge_nodes)):
        strengths = supernet.strengths()[edge].tolist()
        for name, strength in zip(
            supernet.operations, strengths, strict=True
        ):
            if name == "none":
                continue
            place = ("normal", edge)
            (at_once,) = drop_one(supernet, val, *place, [name])
            later = retrain_one(supernet, val, *place, name, retrain)
            removals.append(
                {
                    "edge": edge,
                    "operation": name,
                    "strength": rounded(strength),
                    "at_once": rounded([at_once.loss, at_once.accuracy]),
                    "retrained": rounded([later.loss, later.accuracy]),
                }
            )
    return {
        "before": rounded(list(before)),
        "trained_longer": rounded(list(longer)),
        "removals": removals,
    }


def horizon(way, seed, quick):
    """Gradients in a supernet's architecture, and that of a hundred steps."""
    steps = 4 if quick else STEPS
    task = noisy_digits()
    supernet = search(way, seed, quick)[0].double()
    batches = [
        (part.X[:HORIZON_IMAGES].double(), part.y[:HORIZON_IMAGES])
        for part in (task.train, task.validation)
    ]
    sgd = torch.optim.SGD(
        supernet.weights(), HORIZON_LR, weight_decay=SETTING["weight_decay"]
    )
    architect = Architect(supernet, sgd)
    losses = architect.losses(*batches)
    at = architect.weights(), architect.alphas()

    def gradient(method, **options):
        (found,) = hypergradient(*losses, *at, method, **options).values()
        return found.flatten()

    supernet.train()
    lr = HORIZON_LR
    methods = {
        "first order": partial(gradient, "first_order"),
        "finite difference": partial(gradient, "finite_difference", lr=lr),
        "one step": partial(gradient, "unrolled_step", lr=lr),
        **{
            f"{n} steps": partial(gradient, "reverse", steps=n, lr=lr)
            for n in (2, 5, 10, 25, 50)
            if n < steps
        },
        "Neumann, 25 terms": partial(gradient, "neumann", terms=25, lr=lr),
        "conjugate gradients": partial(gradient, "cg", steps=25, damping=0.1),
    }
    end = gradient("reverse", steps=steps, lr=lr)
    compared = {}
    for name, method in methods.items():
        start = time.process_time()
        found = method()
        compared[name] = {
            "cosine": rounded(
                torch.cosine_similarity(found, end, dim=0).item()
            ),
            "norm": rounded((found.norm() / end.norm()).item()),
            "seconds": rounded(time.process_time() - start),
        }
    return {"steps": steps, "methods": compared}


def speed(way, seed, quick):
    """The processor's seconds of a first-order step of both, in turns."""
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(8, 3, 32, 32, generator=generator)
    batch = X, torch.randint(10, (8,), generator=generator)
    architects = {}
    for name, remedies in FASTER.items():
        supernet = Supernet(4 if quick else 16, 5, 10, generator=generator)
        for remedy in remedies:
            remedy.attach(supernet, generator)
            remedy.begin_epoch(supernet, 0, 1)
        sgd = torch.optim.SGD(supernet.weights(), 0.025)
        architects[name] = Architect(supernet, sgd)
    seconds = {name: [] for name in architects}
    for _ in range(2 if quick else 6):
        for name, architect in architects.items():
            start = time.process_time()
            architect.backward(batch, batch)
            logits = architect.model(batch[0])
            torch.nn.functional.cross_entropy(logits, batch[1]).backward()
            seconds[name].append(rounded(time.process_time() - start))
            architect.model.zero_grad()
    # The first is a warm-up.
    return {"steps": {name: taken[1:] for name, taken in seconds.items()}}


#: Remedies that make a step cheaper.
FASTER = {
    "plain": [],
    "PartialChannels(4)": [PartialChannels(4), EdgeNormalization()],
    "Shrinking to 5": [Shrinking(((0, 5),))],
    "Shrinking to 3": [Shrinking(((0, 3),))],
}


def started(path, quick):
    """The file's content so far, with today's head."""
    head = records.about(
        NAME,
        quick,
        setting=SETTING,
        retrained={"epochs": RETRAINED, "lr": RETRAINING_LR},
        horizon_setting={"lr": HORIZON_LR, "images": HORIZON_IMAGES},
    )
    kept = {part: [] for part in PARTS}
    if path.is_file():
        kept |= {
            part: lines
            for part, lines in json.loads(path.read_text("utf-8")).items()
            if part in PARTS
        }
    return {**head, **kept}


def _write(path, record):
    """Write one measurement a line."""
    parts = {
        part: [json.dumps(line) for line in record[part]] for part in PARTS
    }
    records.replace(path, records.one_a_line(record, **parts))


if __name__ == "__main__":
    sys.exit(main())
