"""What the invented students of the sample class wrote for `by_hand`.

`PLAIN` is one right answer a function question; most of the others are edits of it, as students
differ from each other by a line. `OTHER` are right answers that look different.
"""

from __future__ import annotations

PLAIN = {
    "init_params": """\
def init_params(nx, nh, ny):
    params = {}
    params["Wh"] = torch.randn(nh, nx) * 0.3
    params["bh"] = torch.zeros(nh)
    params["Wy"] = torch.randn(ny, nh) * 0.3
    params["by"] = torch.zeros(ny)
    return params
""",
    "forward": """\
def forward(params, X):
    htilde = X @ params["Wh"].T + params["bh"]
    h = torch.tanh(htilde)
    ytilde = h @ params["Wy"].T + params["by"]
    e = torch.exp(ytilde - ytilde.max(dim=1, keepdim=True).values)
    yhat = e / e.sum(dim=1, keepdim=True)
    return yhat, {"X": X, "htilde": htilde, "h": h, "ytilde": ytilde, "yhat": yhat}
""",
    "loss_accuracy": """\
def loss_accuracy(yhat, Y):
    p = yhat.clamp(min=1e-30)
    loss = -(Y * torch.log(p)).sum(dim=1).mean()
    right = yhat.argmax(dim=1) == Y.argmax(dim=1)
    acc = right.sum() / len(Y)
    return loss, acc
""",
    "backward": """\
def backward(params, outputs, Y):
    X, h, yhat = outputs["X"], outputs["h"], outputs["yhat"]
    N = Y.shape[0]
    dy = (yhat - Y) / N
    dh = (dy @ params["Wy"]) * (1 - h**2)
    return {
        "Wy": dy.T @ h,
        "by": dy.sum(dim=0),
        "Wh": dh.T @ X,
        "bh": dh.sum(dim=0),
    }
""",
    "sgd": """\
def sgd(params, grads, eta):
    new = {}
    for k in params:
        new[k] = params[k] - eta * grads[k]
    return new
""",
    "train": """\
def train(params, X, Y, eta, epochs, batch_size, generator):
    N = len(X)
    losses = []
    for _ in range(epochs):
        order = torch.randperm(N, generator=generator)
        total = 0.0
        for i in range(0, N, batch_size):
            b = order[i : i + batch_size]
            yhat, outputs = forward(params, X[b])
            loss, acc = loss_accuracy(yhat, Y[b])
            total += float(loss) * len(b)
            grads = backward(params, outputs, Y[b])
            params = sgd(params, grads, eta)
        losses.append(total / N)
    return params, losses
""",
}

OTHER = {
    "init_params": """\
import numpy as np


def init_params(nx, nh, ny):
    rng = np.random.default_rng()
    sizes = {"Wh": (nh, nx), "bh": (nh,), "Wy": (ny, nh), "by": (ny,)}
    return {k: torch.tensor(rng.normal(0, 0.3, s), dtype=torch.float32) for k, s in sizes.items()}
""",
    "forward": """\
def forward(params, X):
    outputs = {"X": X}
    outputs["htilde"] = torch.einsum("ni,hi->nh", X, params["Wh"]) + params["bh"]
    outputs["h"] = outputs["htilde"].tanh()
    outputs["ytilde"] = torch.einsum("nh,yh->ny", outputs["h"], params["Wy"]) + params["by"]
    outputs["yhat"] = torch.softmax(outputs["ytilde"], dim=-1)
    return outputs["yhat"], outputs
""",
    "loss_accuracy": """\
def loss_accuracy(yhat, Y):
    loss, right = 0.0, 0
    for p, y in zip(yhat.tolist(), Y.tolist()):
        true = y.index(max(y))
        loss -= math.log(max(p[true], 1e-30))
        right += p.index(max(p)) == true
    return loss / len(Y), right / len(Y)
""",
    "backward": """\
def backward(params, outputs, Y):
    grads = {k: torch.zeros_like(v) for k, v in params.items()}
    for n in range(len(Y)):
        x, h = outputs["X"][n], outputs["h"][n]
        dy = (outputs["yhat"][n] - Y[n]) / len(Y)
        dh = (params["Wy"].T @ dy) * (1 - h * h)
        grads["Wy"] += torch.outer(dy, h)
        grads["by"] += dy
        grads["Wh"] += torch.outer(dh, x)
        grads["bh"] += dh
    return grads
""",
    "sgd": """\
def sgd(params, grads, eta):
    copy = {k: v.clone() for k, v in params.items()}
    for k, v in copy.items():
        v -= eta * grads[k]
    return copy
""",
    "train": """\
def train(params, X, Y, eta, epochs, batch_size, generator):
    losses = []
    for _ in range(epochs):
        order = torch.randperm(len(X), generator=generator)
        per_batch = []
        for idx in torch.split(order, batch_size):
            yhat, outputs = forward(params, X[idx])
            per_batch.append(loss_accuracy(yhat, Y[idx])[0] * len(idx))
            params = sgd(params, backward(params, outputs, Y[idx]), eta)
        losses.append(float(sum(per_batch)) / len(X))
    return params, losses
""",
}

TEXTS = {
    "explain_boundary": (
        "With 2 hidden neurons the boundary is a band, with 3 it is a rounded triangle and with 16 "
        "nearly a circle. Each neuron is one soft straight line, and two lines cannot close a "
        "region around the inner ring.",
        "More neurons give a rounder boundary. Two are not enough because the rings are not "
        "linearly separable.",
        "I think it is because of the tanh.",
    ),
    "explain_batches": (
        "The full batch is fastest for an epoch since it is one big product, but it takes only 30 "
        "steps. One example at a time takes 6000 steps, so it gets lowest although it is slow. The "
        "full batch could use a larger learning rate because its gradient has no noise.",
        "Smaller batches jump around more.\n\n- more noise\n- more steps",
        "20 is the best, as in the book.",
    ),
}


def edited(question: str, *edits: tuple[str, str]) -> str:
    """Return the plain answer to `question` with each (old, new) replaced, once.

    Raises ValueError when the old text is not there exactly once: the edit would do nothing.
    """
    text = PLAIN[question]
    for old, new in edits:
        if text.count(old) != 1:
            raise ValueError(f"{question}: {old!r} stands {text.count(old)} times, not once")
        text = text.replace(old, new)
    return text


#: (question, declared mistake) -> the answer of somebody who made it.
MISTAKES = {
    ("init_params", "transposed"): edited(
        "init_params", ("randn(nh, nx)", "randn(nx, nh)"), ("randn(ny, nh)", "randn(nh, ny)")
    ),
    ("init_params", "variance_for_deviation"): edited(
        "init_params",
        ("randn(nh, nx) * 0.3", "randn(nh, nx) * 0.3**2"),
        ("randn(ny, nh) * 0.3", "randn(ny, nh) * 0.3**2"),
    ),
    ("init_params", "uniform"): edited(
        "init_params", ("randn(nh, nx)", "rand(nh, nx)"), ("randn(ny, nh)", "rand(ny, nh)")
    ),
    ("forward", "no_max_shift"): edited(
        "forward", ("ytilde - ytilde.max(dim=1, keepdim=True).values", "ytilde")
    ),
    ("forward", "softmax_twice"): edited(
        "forward", ("    return yhat,", "    yhat = torch.softmax(yhat, dim=1)\n    return yhat,")
    ),
    ("forward", "wrong_axis"): edited(
        "forward", ("max(dim=1,", "max(dim=0,"), ("sum(dim=1,", "sum(dim=0,")
    ),
    ("forward", "no_bias"): edited("forward", (' + params["bh"]', ""), (' + params["by"]', "")),
    ("forward", "transposed_W"): edited(
        "forward", ('params["Wh"].T', 'params["Wh"]'), ('params["Wy"].T', 'params["Wy"]')
    ),
    ("forward", "cast"): edited(
        "forward",
        (
            "    htilde =",
            "    X = X.float()\n"
            "    params = {k: v.float() for k, v in params.items()}\n"
            "    htilde =",
        ),
    ),
    ("loss_accuracy", "sum_not_mean"): edited("loss_accuracy", (".sum(dim=1).mean()", ".sum()")),
    ("loss_accuracy", "log_of_zero"): edited("loss_accuracy", ("yhat.clamp(min=1e-30)", "yhat")),
    ("loss_accuracy", "softmax_twice"): edited(
        "loss_accuracy", ("yhat.clamp(min=1e-30)", "torch.softmax(yhat, dim=1)")
    ),
    ("loss_accuracy", "percent"): edited("loss_accuracy", ("right.sum() /", "100 * right.sum() /")),
    ("loss_accuracy", "argmax_over_examples"): edited(
        "loss_accuracy",
        ("yhat.argmax(dim=1) == Y.argmax(dim=1)", "yhat.argmax(dim=0) == Y.argmax(dim=0)"),
        ("right.sum() / len(Y)", "right.float().mean()"),
    ),
    ("backward", "summed"): edited("backward", ("(yhat - Y) / N", "yhat - Y")),
    ("backward", "bias_not_summed"): edited(
        "backward", ("dy.sum(dim=0)", "dy"), ("dh.sum(dim=0)", "dh")
    ),
    ("backward", "slope_without_square"): edited("backward", ("h**2", "h")),
    ("backward", "slope_at_h"): edited("backward", ("1 - h**2", "1 - torch.tanh(h) ** 2")),
    ("backward", "matrix_product"): edited(
        "backward", ('(dy @ params["Wy"]) * (1 - h**2)', '(dy @ params["Wy"]) @ (1 - h**2).T')
    ),
    ("backward", "no_slope"): edited("backward", (" * (1 - h**2)", "")),
    ("backward", "transposed_Wy"): edited("backward", ('dy @ params["Wy"]', 'dy @ params["Wy"].T')),
    ("backward", "sign"): edited("backward", ("yhat - Y", "Y - yhat")),
    ("backward", "cast"): edited(
        "backward",
        (
            'outputs["yhat"]\n',
            'outputs["yhat"].float()\n'
            "    X, h, Y = X.float(), h.float(), Y.float()\n"
            '    params = {"Wy": params["Wy"].float()}\n',
        ),
    ),
    ("backward", "updated_Wy_0.1"): edited(
        "backward",
        ("    dh =", '    Wy = params["Wy"] - 0.1 * dy.T @ h\n    dh ='),
        ('dy @ params["Wy"]', "dy @ Wy"),
    ),
    ("sgd", "ascent"): edited("sgd", ("- eta", "+ eta")),
    ("sgd", "no_eta"): edited("sgd", ("eta * ", "")),
    ("sgd", "in_place"): """\
def sgd(params, grads, eta):
    for k in params:
        params[k] -= eta * grads[k]
    return params
""",
    ("train", "last_batch_dropped"): edited(
        "train", ("range(0, N, batch_size)", "range(0, N - batch_size + 1, batch_size)")
    ),
    ("train", "one_permutation"): edited(
        "train",
        ("        order = torch.randperm(N, generator=generator)\n", ""),
        (
            "    losses = []\n",
            "    losses = []\n    order = torch.randperm(N, generator=generator)\n",
        ),
    ),
    ("train", "mean_of_batches"): edited(
        "train",
        ("float(loss) * len(b)", "float(loss)"),
        ("total / N", "total / -(-N // batch_size)"),
    ),
    ("train", "loss_after_step"): edited(
        "train",
        ("            total += float(loss) * len(b)\n", ""),
        (
            "grads, eta)\n",
            "grads, eta)\n"
            "            loss, acc = loss_accuracy(forward(params, X[b])[0], Y[b])\n"
            "            total += float(loss) * len(b)\n",
        ),
    ),
    ("train", "update_lost"): edited("train", ("params = sgd", "sgd")),
}

#: Answers that do harm, or that a program must not judge by running them in its own process.
ODD = {
    "exits": edited("backward", ("    N = ", "    import os\n\n    os._exit(3)\n    N = ")),
    "segfaults": edited(
        "sgd", ("    new =", "    import ctypes\n\n    ctypes.string_at(0)\n    new =")
    ),
    "never_ends": edited(
        "train",
        ("for _ in range(epochs)", "while len(losses) < epochs + 1"),
        ("        losses.append(total / N)", "        losses = losses[:-1] + [total / N]"),
    ),
    "memory": edited("forward", ("    h = ", "    grid = torch.ones(200_000, 200_000)\n    h = ")),
    "no_syntax": edited(
        "loss_accuracy", ("def loss_accuracy(yhat, Y):", "def loss_accuracy(yhat, Y)")
    ),
    "autograd": """\
def backward(params, outputs, Y):
    p = {k: v.clone().requires_grad_() for k, v in params.items()}
    yhat, _ = forward(p, outputs["X"])
    loss, _ = loss_accuracy(yhat, Y)
    return dict(zip(p, torch.autograd.grad(loss, list(p.values()))))
""",
    "library": """\
from mlcourse.mlp import backward
""",
    "raises": edited("forward", ('params["bh"]', 'params["b_h"]')),
}

#: A cell that tries to make every comparison come out equal.
FORGER = """\
import builtins

import torch

torch.allclose = torch.equal = lambda *args, **kwargs: True
torch.testing.assert_close = lambda *args, **kwargs: None
builtins.abs = lambda value: 0


class Right:
    def __eq__(self, other):
        return True

    def __lt__(self, other):
        return True

    def __sub__(self, other):
        return 0.0

    def __getattr__(self, name):
        return self

    def __call__(self, *args, **kwargs):
        return self


check = lambda *args: None
"""
