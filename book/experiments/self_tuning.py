"""Self-tuning networks on digits: against frozen starts and random search.

    python book/experiments/self_tuning.py [--quick] [--out FILE]

A small network learns 200 digits, with right labels or with a fifth of them
wrong. It tunes two dropout rates and two penalties while it trains, from
three starts: far too strong, usual, and far too weak. Beside it: the same
starts frozen, the values that the tuning ended with frozen from the
beginning, and random search with plain trainings. The settings of the tuning
were chosen on other splits (seeds 100 to 103, with wrong labels, by the
validation loss). A stopped experiment goes on where it was.
"""

import sys
import time

import numpy as np
import records
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse import data
from mlcourse.self_tuning import Tuned, self_tune, self_tuning_mlp

NAME = "self_tuning"
SETTING = {
    "images": 200,
    "hidden": 100,
    "batch": 50,
    "epochs": 100,
    "lr": 0.005,
    "hyper_lr": 0.03,
    "entropy_weight": 0.01,
    "warmup": 10,
    "trials": 16,
    "seeds": 12,
    "first_seed": 200,
}
STARTS = {"strong": (0.7, 1e-2), "usual": (0.2, 1e-4), "weak": (0.02, 1e-6)}
SHARES = (0.0, 0.2)
HYPERS = ("dropout1", "dropout2", "penalty1", "penalty2")


def parts(share, seed):
    """Training, validation and test pairs; a share of the first is wrong."""
    split = data.digits(seed=seed)
    n = SETTING["images"]
    y, y_val, y_test = (
        Y.argmax(1) for Y in (split.Y_train[:n], split.Y_val, split.Y_test)
    )
    draw = torch.Generator().manual_seed(seed)
    wrong = int(share * n)
    shift = torch.randint(1, 10, (wrong,), generator=draw)
    y[:wrong] = (y[:wrong] + shift) % 10
    return (
        (split.X_train[:n], y),
        (split.X_val, y_val),
        (split.X_test, y_test),
    )


class Shuffled:
    """Batches in a new order each time."""

    def __init__(self, pair, draw):
        self.pair, self.draw = pair, draw

    def __iter__(self):
        X, y = self.pair
        order = torch.randperm(len(X), generator=self.draw)
        for rows in order.split(SETTING["batch"]):
            yield X[rows], y[rows]


def plain(pairs, values, seed, epochs):
    """Train an ordinary network with these rates and penalties."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    first, last = (
        nn.Linear(64, SETTING["hidden"]),
        nn.Linear(SETTING["hidden"], 10),
    )
    drops = [nn.Dropout(values[name]) for name in HYPERS[:2]]
    net = nn.Sequential(drops[0], first, nn.ReLU(), drops[1], last)
    optimizer = torch.optim.Adam(net.parameters(), lr=SETTING["lr"])
    begin = time.process_time()
    for _ in range(epochs):
        for X, y in Shuffled(pairs[0], draw):
            loss = F.cross_entropy(net(X), y)
            for name, layer in zip(HYPERS[2:], (first, last), strict=True):
                loss = loss + values[name] * layer.weight.square().sum()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return scores(net, pairs, time.process_time() - begin)


def tuned(pairs, start, seed, epochs):
    """Train a self-tuning network from a start; also what it ended with."""
    torch.manual_seed(seed)
    draw = torch.Generator().manual_seed(seed)
    net, hypers = self_tuning_mlp(
        [64, SETTING["hidden"], 10], *start, generator=draw
    )
    begin = time.process_time()
    history = self_tune(
        *(net, hypers, Shuffled(pairs[0], draw), Shuffled(pairs[1], draw)),
        torch.optim.Adam(net.parameters(), lr=SETTING["lr"]),
        torch.optim.Adam(hypers.parameters(), lr=SETTING["hyper_lr"]),
        epochs=epochs,
        warmup=SETTING["warmup"],
        entropy_weight=SETTING["entropy_weight"],
        generator=draw,
    )
    seconds = time.process_time() - begin
    ends = {name: history.last[name] for name in HYPERS}
    return scores(Tuned(net, hypers), pairs, seconds), ends


def scores(model, pairs, seconds):
    """Losses and accuracies on validation and test images; processor time."""
    model.eval()
    found = {"seconds": seconds}
    with torch.no_grad():
        for part, (X, y) in zip(("val", "test"), pairs[1:], strict=True):
            outputs = model(X)
            found[f"{part}_loss"] = F.cross_entropy(outputs, y).item()
            right = outputs.argmax(1) == y
            found[f"{part}_accuracy"] = right.float().mean().item()
    return found


def search(pairs, seed, epochs, trials):
    """Random configurations in their order."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(trials):
        rates = rng.uniform(0, 0.7, 2)
        penalties = 10 ** rng.uniform(-6, -2, 2)
        values = dict(zip(HYPERS, [*rates, *penalties], strict=True))
        found.append(plain(pairs, values, seed, epochs))
    return found


def run(share, seed, epochs, trials):
    """Everything for one split."""
    pairs = parts(share, seed)
    found = {"random": search(pairs, seed, epochs, trials)}
    for start, (rate, penalty) in STARTS.items():
        values = dict(
            zip(HYPERS, [rate, rate, penalty, penalty], strict=True)
        )
        result, ends = tuned(pairs, (rate, penalty), seed, epochs)
        found[start] = {
            "frozen": plain(pairs, values, seed, epochs),
            "tuned": result,
            "ends": ends,
            "ends frozen": plain(pairs, ends, seed, epochs),
        }
    return found


def main():
    """Do the runs that the file lacks; the exit code."""
    quick, out = records.asked(NAME, __doc__)
    epochs = 12 if quick else SETTING["epochs"]
    trials = 2 if quick else SETTING["trials"]
    seeds = 1 if quick else SETTING["seeds"]
    first = SETTING["first_seed"]
    plan = [
        {"wrong": share, "seed": seed}
        for seed in range(first, first + seeds)
        for share in SHARES
    ]

    def do(wrong, seed):
        return records.rounded(run(wrong, seed, epochs, trials))

    head = records.about(NAME, quick, setting=SETTING, starts=STARTS)
    records.do_missing(out, plan, do, head)
    return 0


if __name__ == "__main__":
    sys.exit(main())
