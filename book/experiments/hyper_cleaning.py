"""Many hyper-parameters and few validation images, on digits.

    python book/experiments/hyper_cleaning.py [--quick] [--out FILE]

Cleaning: half of the labels of the training images are wrong. A weight for
each image, tuned by hypergradients, is compared with three hyper-parameters
for all images and with rules that need no hypergradient, for several numbers
of validation images. Methods: the same with other hypergradients. Decays: a
weight decay for all weights, for each class, pixel or weight, tuned on 20 to
360 images. A stopped experiment goes on where it was.
"""

import sys
import time

import records
import torch

from mlcourse import data
from mlcourse import softmax_regression as softmax
from mlcourse.hyper_cleaning import (
    Cleaning,
    corrupted,
    disagrees,
    score,
    self_trained,
    with_validation,
)
from mlcourse.hypergrad import hypergradient
from mlcourse.implicit_descent import descend
from mlcourse.second_order import lbfgs
from mlcourse.weight_decays import GROUPS, Decays, groups

NAME = "hyper_cleaning"
#: Settings of each method were chosen on the splits of seeds 100 to 102.
SETTING = {
    "seeds": 10,
    "share": 0.5,
    "steps": 60,
    "lr": 0.1,
    "products": 3,
    "products_three": 10,
    "decay": 3e-3,
    "decay_after": 1e-3,
    "decay_after_each": 3e-3,
    "decay_all": 1e-2,
    "decays_train": 100,
    "decays_start": 1e-2,
    "decays_steps": 100,
    "decays_products": 20,
}
SIZES = (25, 50, 100, 200, 360)
NOISE = {"any": None, "next": 1}


def plan(quick):
    """Each run: its task, setting and seed."""
    if quick:
        runs = [
            ("cleaning", {"noise": "next", "n_val": 50}),
            ("methods", {"method": "neumann"}),
            ("decays", {"share": "pixel", "n_val": 50}),
        ]
        return [{"task": t, "setting": s, "seed": 0} for t, s in runs]
    runs = [
        ("cleaning", {"noise": noise, "n_val": n})
        for n in SIZES
        for noise in NOISE
    ]
    runs += [("methods", {"method": method}) for method in METHODS]
    # Does a more exact hypergradient harm where validation images are many?
    runs += [
        ("methods", {"method": f"cg, {k} products", "n_val": 360})
        for k in (3, 30)
    ]
    sizes = (20, *SIZES[1:])
    runs += [
        ("decays", {"share": share, "n_val": n})
        for n in sizes
        for share in GROUPS
    ]
    return [
        {"task": task, "setting": setting, "seed": seed}
        for seed in range(SETTING["seeds"])
        for task, setting in runs
        if task != "methods" or seed < 5
    ]


def spoilt(seed, noise, n_val):
    """Training images, half with wrong labels, and validation images."""
    split = data.digits(seed=seed, dtype=torch.float64)
    labels = split.Y_train.argmax(1)
    y, bad = corrupted(
        labels,
        SETTING["share"],
        torch.Generator().manual_seed(seed),
        shift=NOISE[noise],
    )
    held_out = split.X_val[:n_val], split.Y_val[:n_val].argmax(1)
    return (split.X_train, y, *held_out), bad, split


def cleaning(seed, steps, noise, n_val):
    """Each way to find the bad images: how well, and what it is good for."""
    examples, bad, split = spoilt(seed, noise, n_val)
    X, y, X_val, y_val = examples
    test = split.X_test, split.Y_test.argmax(1)

    def after(found, decay=SETTING["decay_after"]):
        w = with_validation(*examples, ~found, decay)
        return softmax.accuracy(w, *test)

    def line(name, found):
        quality = score(found, bad)
        which = "decay_after_each" if name == "each" else "decay_after"
        return {
            "precision": quality.precision,
            "recall": quality.recall,
            "f1": quality.f1,
            "test": after(found, SETTING[which]),
        }

    from_val = softmax.fit(X_val, y_val, SETTING["decay_after"])
    from_all = softmax.fit(X, y, SETTING["decay_all"])
    far = softmax.losses(from_val, X, y).argsort(descending=True)
    largest = torch.zeros_like(bad)
    largest[far[: len(bad) // 2]] = True
    each = tuned(
        Cleaning(*examples, SETTING["decay"]),
        X.new_zeros(len(X)),
        steps,
        SETTING["products"],
    )
    two = [softmax.losses(w, X, y) for w in (from_val, from_all)]
    three = tuned(
        Cleaning(*examples, SETTING["decay"], shared(*two)),
        X.new_zeros(3),
        steps,
        SETTING["products_three"],
    )
    rules = {
        "largest loss": largest,
        "disagrees, validation": disagrees(from_val, X, y),
        "disagrees, all": disagrees(from_all, X, y),
        "self-training": self_trained(*examples, SETTING["decay_after"]),
        "each": each[0],
        "three": three[0],
    }
    return {
        "all": after(torch.zeros_like(bad), SETTING["decay_all"]),
        "validation": softmax.accuracy(from_val, *test),
        "clean": after(bad),
        "hyper": three[1].hyper.tolist(),
        "val_each": softmax.accuracy(each[1].w, X_val, y_val),
        "val_three": softmax.accuracy(three[1].w, X_val, y_val),
        "found": {name: line(name, found) for name, found in rules.items()},
    }


def shared(*losses):
    """Weights of images from three numbers: a constant and two slopes."""
    features = [torch.ones_like(losses[0])]
    features += [loss - loss.mean() for loss in losses]
    table = torch.stack(features)
    return lambda hyper: torch.sigmoid(hyper @ table)


def tuned(problem, hyper, steps, products):
    """The images found after some steps, and where the descent ended."""
    end = descend(
        problem.inner,
        problem.outer,
        softmax.start(problem.X),
        hyper,
        steps=steps,
        lr=SETTING["lr"],
        products=products,
    )
    return problem.found(end.hyper), end


#: Hypergradients as (warm, options): warm ones start where w was.
_REVERSE = {"lr": 0.1, "momentum": 0.9}
METHODS = {
    "cg, 3 products": (True, "cg", {"steps": 3}),
    "cg, 10 products": (True, "cg", {"steps": 10}),
    "cg, 30 products": (True, "cg", {"steps": 30}),
    "neumann": (True, "neumann", {"terms": 10, "lr": 0.15}),
    "reverse, 30 steps": (False, "reverse", {"steps": 30, **_REVERSE}),
    "reverse, 100 steps": (False, "reverse", {"steps": 100, **_REVERSE}),
}


def methods(seed, steps, method, n_val=100):
    """A weight for each image, by one method."""
    examples, bad, split = spoilt(seed, "any", n_val)
    problem = Cleaning(*examples, SETTING["decay"])
    warm, name, options = METHODS[method]
    w, hyper = softmax.start(problem.X), problem.X.new_zeros(len(bad))
    optimizer = torch.optim.Adam([hyper], lr=SETTING["lr"])
    begin = time.process_time()
    for _ in range(steps):
        if warm:
            w = settled(problem, w, hyper)
        hyper.grad = hypergradient(
            problem.inner, problem.outer, w, hyper, name, **options
        )
        optimizer.step()
    seconds = time.process_time() - begin
    found = problem.found(hyper)
    w = with_validation(*examples, ~found, SETTING["decay_after_each"])
    test = split.X_test, split.Y_test.argmax(1)
    return {
        "f1": score(found, bad).f1,
        "test": softmax.accuracy(w, *test),
        "seconds": seconds,
    }


def settled(problem, w, hyper):
    """The inner minimum, or nearly, from the w before."""
    return lbfgs(lambda x: problem.inner(x, hyper), w, 10).x


def decays(seed, steps, share, n_val):
    """Errors and losses along the tuning of one or many weight decays."""
    split = data.digits(seed=seed, dtype=torch.float64)
    X, y = split.X_train, split.Y_train.argmax(1)
    X_val, y_val = split.X_val, split.Y_val.argmax(1)
    n = SETTING["decays_train"]
    test = (
        torch.cat([X[n:], X_val[n_val:], split.X_test]),
        torch.cat([y[n:], y_val[n_val:], split.Y_test.argmax(1)]),
    )
    examples = X[:n], y[:n], X_val[:n_val], y_val[:n_val]
    problem = Decays(*examples, groups(share, X.shape[1]))

    def record(w, hyper):
        return {
            "val_error": 1 - softmax.accuracy(w, *examples[2:]),
            "test_error": 1 - softmax.accuracy(w, *test),
            "test_loss": softmax.losses(w, *test).mean(),
        }

    end = descend(
        problem.inner,
        problem.outer,
        softmax.start(X),
        problem.start(SETTING["decays_start"]),
        steps=steps,
        lr=SETTING["lr"],
        products=SETTING["decays_products"],
        record=record,
    )
    everything = with_validation(
        *examples, torch.ones(n, dtype=torch.bool), SETTING["decay_after"]
    )
    rows = range(0, steps + 1, 10)
    return {
        "both": 1 - softmax.accuracy(everything, *test),
        **{
            name: [column[i] for i in rows]
            for name, column in end.history.items()
        },
    }


TASKS = {"cleaning": cleaning, "methods": methods, "decays": decays}


def main():
    """Do the runs that the file lacks; the exit code."""
    quick, out = records.asked(NAME, __doc__)

    def do(task, setting, seed):
        steps = SETTING["decays_steps" if task == "decays" else "steps"]
        steps = 2 if quick else steps
        return records.rounded(TASKS[task](seed, steps, **setting))

    head = records.about(NAME, quick, setting=SETTING)
    records.do_missing(out, plan(quick), do, head)
    return 0


if __name__ == "__main__":
    sys.exit(main())
