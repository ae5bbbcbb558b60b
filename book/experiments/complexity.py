"""The size that a network chooses when its weights must be paid for.

    python book/experiments/complexity.py [--quick] [--out FILE]

A student with 20 hidden units learns the answers of a teacher with a few, by
its free energy with a learned prior precision for each group of weights. How
many units stay, for teachers of several sizes, numbers of examples and
settings of the training? What do students of other sizes pay? Then waves: of
12 sines and 12 cosines, which stay where two made the data? And digits: the
accuracy with all units and with those that are needed. A stopped experiment
goes on where it was.
"""

import math
import sys

import records
import torch
from torch.nn import functional as F

from mlcourse import data
from mlcourse.complexity_tasks import teacher_data, waves
from mlcourse.sine_mixture import sine_mixture
from mlcourse.unit_pruning import (
    needed,
    prune,
    unit_kl,
    unit_signal_to_noise,
)
from mlcourse.variational import VariationalMLP, free_energy, train

NAME = "complexity"
SETTING = {
    "epochs": 4000,
    "warmup": 300,
    "lr": 0.02,
    "threshold": 1.0,
    "seeds": 5,
    "student": 20,
    "sigma": 0.05,
    "noise": 0.1,
}
USUAL = {"units": 4, "n": 200}
VARIANTS = [
    {"warmup": 0},
    {"sigma": 1.0},
    {"precision": "fixed"},
    {"groups": "layer"},
    {"groups": "incoming"},
]


def plan(quick):
    """Each run: its task, setting and seed."""
    if quick:
        runs = [("teacher", USUAL), ("waves", {"step": 1.0}), ("digits", {})]
        return [{"task": t, "setting": s, "seed": 0} for t, s in runs]
    teachers = [{**USUAL, "units": units} for units in (1, 2, 4, 8)]
    teachers += [{**USUAL, "n": n} for n in (25, 50, 100, 800)]
    teachers += [{**USUAL, **variant} for variant in VARIANTS]
    sizes = [{**USUAL, "student": h} for h in (2, 3, 4, 6, 8)]
    steps = [{"step": 1.0}, {"step": 2 * math.pi}]
    runs = [("teacher", setting) for setting in teachers + sizes]
    runs += [("waves", setting) for setting in steps] + [("digits", {})]
    return [
        {"task": task, "setting": setting, "seed": seed}
        for seed in range(SETTING["seeds"])
        for task, setting in runs
        if task != "digits" or seed < 3
    ]


def teacher(seed, epochs, units, n, student=SETTING["student"], **variant):
    """Train a student on a teacher's answers: its size, and its costs."""
    examples = teacher_data(units, n, noise=SETTING["noise"], seed=seed)
    names = ("precision", "warmup")
    variant = {"warmup": SETTING["warmup"], **variant}
    training = {k: v for k, v in variant.items() if k in names}
    network = {k: v for k, v in variant.items() if k not in names}
    model, draw = fit(
        [2, student, 1], "gaussian", examples[:2], seed, epochs, n,
        network, training,
    )  # fmt: skip
    kl = unit_kl(model)[0].amin(1)
    ratio = unit_signal_to_noise(model)[0].amin(1)
    small = prune(model, needed(unit_kl(model), SETTING["threshold"]))
    order = kl.argsort(descending=True)
    return {
        "size": small.hidden[0],
        "noise": model.log_noise.exp().item(),
        **terms(model, examples[:2], draw),
        "rmse": rmse(model, examples),
        "pruned_free_energy": terms(small, examples[:2], draw)["free_energy"],
        "pruned_rmse": rmse(small, examples),
        "kl": kl[order].tolist(),
        "signal_to_noise": ratio[order].tolist(),
    }


def rmse(model, examples):
    """The error of the mean weights against the teacher without noise."""
    with torch.no_grad():
        return (
            F.mse_loss(model(examples.X_test), examples.f_test).sqrt().item()
        )


def fit(sizes, likelihood, examples, seed, epochs, batch, network, training):
    """A trained network, and the generator that its draws came from."""
    draw = torch.Generator().manual_seed(seed)
    model = VariationalMLP(
        sizes,
        likelihood,
        dtype=examples[0].dtype,
        generator=draw,
        **{"sigma": SETTING["sigma"], **network},
    )
    train(
        model,
        *examples,
        epochs=epochs,
        batch_size=batch,
        lr=SETTING["lr"],
        generator=draw,
        **training,
    )
    return model, draw


def terms(model, examples, draw):
    """The two terms of the free energy and their sum, in nats."""
    found = free_energy(model, *examples, generator=draw)
    return {
        "error": found.error,
        "complexity": found.complexity,
        "free_energy": found.total,
    }


def wave_terms(seed, epochs, step):
    """Which of 24 waves stay, from three starts, and what two would cost.

    The frequencies are 1 to 12 times `step`: with 2 pi the waves are almost
    orthogonal on [0, 1], with 1 they are much alike.
    """
    made = sine_mixture(w=(4 * step, 9 * step), seed=seed)
    X = waves(made.x_train, [step * k for k in range(1, 13)])
    y = made.y_train[:, None]
    true = [3, 12 + 8]
    fits = [
        linear(X, y, 100 * seed + start, epochs // 2) for start in range(3)
    ]
    return {
        "found": [
            {"terms": chosen, "free_energy": cost} for chosen, cost in fits
        ],
        "true_terms": [name(i) for i in true],
        "true_free_energy": linear(X[:, true], y, seed, epochs // 2)[1],
    }


def linear(X, y, seed, epochs):
    """The terms that stay in a linear model, and its free energy."""
    model, _ = fit(
        [X.shape[1], 1], "gaussian", (X, y), seed, epochs, len(X), {}, {}
    )
    stays = model.dense[0].group_kl()[0, :-1] >= SETTING["threshold"]
    chosen = [name(i) for i in stays.nonzero()[:, 0].tolist()]
    return chosen, free_energy(model, X, y, samples=1).total


def name(i):
    """A wave's name: sin k or cos k."""
    return f"{'sin' if i < 12 else 'cos'} {i % 12 + 1}"


def digits(seed, epochs):
    """Thirty units for the digits: accuracy and size, before and after."""
    split = data.digits(seed=0)
    labels = split.Y_train.argmax(1), split.Y_test.argmax(1)
    examples = split.X_train, labels[0]
    model, draw = fit(
        [64, 30, 10], "categorical", examples, seed, epochs // 40, 100,
        {}, {},
    )  # fmt: skip
    small = prune(model, needed(unit_kl(model), SETTING["threshold"]))

    def accuracy(network):
        right = network(split.X_test).argmax(1) == labels[1]
        return right.float().mean().item()

    before, after = (terms(net, examples, draw) for net in (model, small))
    inputs = model.dense[0].group_kl()[0, :-1] >= SETTING["threshold"]
    return {
        "size": small.hidden[0],
        "inputs": int(inputs.sum()),
        "accuracy": accuracy(model),
        "pruned_accuracy": accuracy(small),
        **before,
        "pruned_free_energy": after["free_energy"],
        "kl": unit_kl(model)[0].amin(1).sort(descending=True)[0].tolist(),
    }


TASKS = {"teacher": teacher, "waves": wave_terms, "digits": digits}


def main():
    """Do the runs that the file lacks; the exit code."""
    quick, out = records.asked(NAME, __doc__)
    epochs = 40 if quick else SETTING["epochs"]

    def do(task, setting, seed):
        return records.rounded(TASKS[task](seed, epochs, **setting))

    head = records.about(NAME, quick, setting=SETTING)
    records.do_missing(out, plan(quick), do, head)
    return 0


if __name__ == "__main__":
    sys.exit(main())
