"""Critical points of a small network: their cost against their index.

    python book/experiments/critical_points.py [--quick] [--out FILE]

After Dauphin et al., 2014. The network has 4 inputs (digits 0 to 3, averaged
to 2 x 2 pixels; 100 of them), one hidden layer of tanh units and 4 outputs.
Gradient descent gives the starts: four a run, at times drawn log-uniformly.
From each, find_critical_point looks for a point where the gradient is zero.
A search that finds none is kept too, with how it ended. Two minutes; a
stopped experiment goes on where it was.
"""

import json
import sys

import records
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse import data, landscape

NAME = "critical_points"
SETTING = {
    "hidden": [4, 6],
    "seeds": 150,
    "starts": 4,
    "longest": 1000,
    "lr": 0.5,
    "scale": 2.0,
    "l2": 3e-3,
    "steps": 80,
    "tolerance": 1e-8,
}


def examples():
    """A hundred digits 0 to 3: (100, 4), mean 0 and mean square 1; labels."""
    digits = data.digits(seed=0, dtype=torch.float64)
    labels = digits.Y_train.argmax(dim=1)
    few = labels < 4
    images = digits.X_train[few][:100].view(-1, 1, 8, 8)
    X = F.adaptive_avg_pool2d(images, 2).flatten(1)
    X = X - X.mean(dim=0)
    return X / X.std(), labels[few][:100]


def cost(hidden, seed, X, y):
    """The cost as a function of one vector, and the first weights."""
    torch.manual_seed(seed)
    layers = nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, 4)
    f, x = landscape.flat_loss(
        nn.Sequential(*layers).double(), F.cross_entropy, X, y
    )
    penalty = SETTING["l2"]
    return lambda x: f(x) + penalty * x.square().sum(), SETTING["scale"] * x


def starts(f, x, seed, number):
    """Yield points of the path of gradient descent, as (step, point)."""
    draw = torch.Generator().manual_seed(seed)
    exponents = torch.rand(number, generator=draw, dtype=torch.float64)
    times = {int(t) for t in SETTING["longest"] ** exponents}
    for step in range(max(times) + 1):
        if step in times:
            yield step, x
        at = x.clone().requires_grad_()
        x = x - SETTING["lr"] * torch.autograd.grad(f(at), at)[0]


def index(eigenvalues):
    """The fraction that is negative; almost zero does not count."""
    flat = 1e-6 * eigenvalues.abs().max()
    return (eigenvalues < -flat).double().mean().item()


def search(f, step, x):
    """Look for a critical point from x: what was there, and at the end."""
    found = landscape.find_critical_point(
        f, x, SETTING["steps"], SETTING["tolerance"]
    )
    how = {"is": "found", "stays": "stuck"}
    words = found.reason.split()
    ended = "steps" if words[2] == "still" else how[words[1]]
    numbers = {
        "start_cost": f(x).item(),
        "start_index": index(landscape.spectrum(f, x)),
        "cost": found.cost,
        "index": found.index(),
        "flat": found.flat_fraction(),
        "gradient_norm": found.gradient_norm,
    }
    rounded = {name: float(f"{n:.7g}") for name, n in numbers.items()}
    return {"start_step": step, **rounded, "ended": ended}


def main():
    """Do the runs that the file lacks; the exit code."""
    quick, out = records.asked(NAME, __doc__)
    seeds = 1 if quick else SETTING["seeds"]
    plan = [
        {"hidden": hidden, "seed": seed}
        for hidden in SETTING["hidden"]
        for seed in range(seeds)
    ]
    X, y = examples()

    def do(hidden, seed):
        f, x = cost(hidden, seed, X, y)
        points = starts(f, x, seed, SETTING["starts"])
        return {"searches": [search(f, *start) for start in points]}

    what = "digits 0 to 3, 2 x 2 pixels, 100 examples"
    head = records.about(NAME, quick, data=what, setting=SETTING)
    records.do_missing(out, plan, do, head, line)
    return 0


def line(run):
    """A run with a search a line."""
    return json.dumps(run).replace(", {", ",\n   {")


if __name__ == "__main__":
    sys.exit(main())
