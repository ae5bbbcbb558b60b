"""`train`: the loop over shuffled mini-batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse import mlp
from mlcourse.checks.by_hand_questions.shared import (
    KEYS,
    NO_AUTOGRAD,
    ONE_DTYPE,
    UPDATED,
    Params,
    draw_labels,
    draw_params,
    normal,
    use_train,
)
from mlcourse.checks.declare import Mistake, Question, Variant


def train_cases(g: Generator) -> list[tuple]:
    """Batches that do and do not divide N, one example a batch, and the full batch."""
    cases = []
    for N, nx, nh, ny, epochs, size, dtype in (
        (7, 2, 4, 2, 3, 3, torch.float64),
        (8, 3, 3, 3, 2, 4, torch.float64),
        (5, 2, 3, 2, 2, 1, torch.float64),
        (6, 3, 4, 2, 2, 6, torch.float32),
        (10, 2, 3, 4, 2, 4, torch.float32),
    ):
        params = draw_params(nx, nh, ny, g, dtype)
        X, Y = normal(N, nx, generator=g, dtype=dtype), draw_labels(N, ny, g, dtype)
        seed = int(torch.randint(2**31, (1,), generator=g))
        cases.append((params, X, Y, 0.3, epochs, size, Generator().manual_seed(seed)))
    return cases


def shuffled(N: int, size: int, generator: Generator) -> list[Tensor]:
    return list(torch.randperm(N, generator=generator).split(size))


def step(params: Params, X: Tensor, Y: Tensor, eta: float) -> tuple[Params, float]:
    """One step on a batch: new parameters, and the loss before it."""
    yhat, outputs = mlp.forward(params, X)
    loss = float(mlp.loss_accuracy(yhat, Y)[0])
    return mlp.sgd(params, mlp.backward(params, outputs, Y), eta), loss


def late_step(params: Params, X: Tensor, Y: Tensor, eta: float) -> tuple[Params, float]:
    """A step whose hidden gradients see W_y after its update."""
    yhat, outputs = mlp.forward(params, X)
    loss = float(mlp.loss_accuracy(yhat, Y)[0])
    top = mlp.sgd(params, mlp.backward(params, outputs, Y), eta)
    params = {**params, "Wy": top["Wy"], "by": top["by"]}
    bottom = mlp.sgd(params, mlp.backward(params, outputs, Y), eta)
    return {**params, "Wh": bottom["Wh"], "bh": bottom["bh"]}, loss


def uphill(params: Params, X: Tensor, Y: Tensor, eta: float) -> tuple[Params, float]:
    return step(params, X, Y, -eta)


def loss_of(params: Params, X: Tensor, Y: Tensor) -> float:
    return float(mlp.loss_accuracy(mlp.forward(params, X)[0], Y)[0])


def loss_after(params: Params, X: Tensor, Y: Tensor, eta: float) -> tuple[Params, float]:
    params, _ = step(params, X, Y, eta)
    return params, loss_of(params, X, Y)


def weighted(losses: list[float], counts: list[int]) -> float:
    return sum(x * n for x, n in zip(losses, counts, strict=True)) / sum(counts)


def train_by(
    draw: Callable[[int, int, Generator], list] = shuffled,
    redraw: bool = True,
    take: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] = lambda X, Y, i: (X[i], Y[i]),
    step: Callable = step,
    gather: Callable[[list[float], list[int]], Any] = weighted,
    start: Callable[[Params], Params] = dict,
    at_end: bool = False,
) -> Callable:
    """A training loop with one of its pieces exchanged."""

    def train(
        params: Params,
        X: Tensor,
        Y: Tensor,
        eta: float,
        epochs: int,
        batch_size: int,
        generator: Generator,
    ) -> tuple[Params, Any]:
        params = start(params)
        batches = [] if redraw else draw(len(X), batch_size, generator)
        losses = []
        for _ in range(epochs):
            if redraw:
                batches = draw(len(X), batch_size, generator)
            found = []
            for batch in batches:
                params, loss = step(params, *take(X, Y, batch), eta)
                found.append(loss)
            counts = [len(batch) for batch in batches]
            losses.append(loss_of(params, X, Y) if at_end else gather(found, counts))
        return params, losses

    return train


def full_batches_only(N: int, size: int, generator: Generator) -> list[Tensor]:
    return [batch for batch in shuffled(N, size, generator) if len(batch) == size]


def in_order(N: int, size: int, generator: Generator) -> list[Tensor]:
    return list(torch.arange(N).split(size))


def first_batch_only(N: int, size: int, generator: Generator) -> list[Tensor]:
    return shuffled(N, size, generator)[:1]


def with_replacement(N: int, size: int, generator: Generator) -> list[Tensor]:
    return [torch.randint(N, (len(b),), generator=generator) for b in torch.arange(N).split(size)]


def train_twice_shuffled(params, X, Y, eta, epochs, batch_size, generator):
    params, losses = dict(params), []
    for _ in range(epochs):
        for_X, for_Y = (torch.randperm(len(X), generator=generator) for _ in range(2))
        found, counts = [], []
        for i, j in zip(for_X.split(batch_size), for_Y.split(batch_size), strict=True):
            params, loss = step(params, X[i], Y[j], eta)
            found.append(loss)
            counts.append(len(i))
        losses.append(weighted(found, counts))
    return params, losses


def train_shuffled_once_more(params, X, Y, eta, epochs, batch_size, generator):
    """Shuffle the examples that the epoch before shuffled already."""
    params, losses = dict(params), []
    for _ in range(epochs):
        order = torch.randperm(len(X), generator=generator)
        X, Y = X[order], Y[order]
        found, counts = [], []
        for i in range(0, len(X), batch_size):
            params, loss = step(params, X[i : i + batch_size], Y[i : i + batch_size], eta)
            found.append(loss)
            counts.append(len(X[i : i + batch_size]))
        losses.append(weighted(found, counts))
    return params, losses


def train_every_loss(params, X, Y, eta, epochs, batch_size, generator):
    params = dict(params)
    losses: list[float] = []
    for _ in range(epochs):
        for batch in shuffled(len(X), batch_size, generator):
            params, loss = step(params, X[batch], Y[batch], eta)
            losses.append(loss)
    return params, losses


def train_running_total(params, X, Y, eta, epochs, batch_size, generator):
    params, losses, total = dict(params), [], 0.0
    for _ in range(epochs):
        for batch in shuffled(len(X), batch_size, generator):
            params, loss = step(params, X[batch], Y[batch], eta)
            total += loss * len(batch)
        losses.append(total / len(X))
    return params, losses


def train_one_step_an_epoch(params, X, Y, eta, epochs, batch_size, generator):
    params, losses = dict(params), []
    for _ in range(epochs):
        steps: Params = {key: torch.zeros_like(value) for key, value in params.items()}
        total = 0.0
        for batch in shuffled(len(X), batch_size, generator):
            new, loss = step(params, X[batch], Y[batch], eta)
            steps = {key: steps[key] + new[key] - params[key] for key in params}
            total += loss * len(batch)
        params = {key: params[key] + steps[key] for key in params}
        losses.append(total / len(X))
    return params, losses


def train_forgetful(params, X, Y, eta, epochs, batch_size, generator):
    losses = []
    for _ in range(epochs):
        batches = shuffled(len(X), batch_size, generator)
        found = [step(params, X[batch], Y[batch], eta)[1] for batch in batches]
        losses.append(weighted(found, [len(batch) for batch in batches]))
    return {key: value.clone() for key, value in params.items()}, losses


def train_returns_start(params, X, Y, eta, epochs, batch_size, generator):
    _, losses = mlp.train(params, X, Y, eta, epochs, batch_size, generator)
    return {key: value.clone() for key, value in params.items()}, losses


def train_in_place(params, X, Y, eta, epochs, batch_size, generator):
    new, losses = mlp.train(params, X, Y, eta, epochs, batch_size, generator)
    for key, value in new.items():
        params[key].copy_(value)
    return params, losses


def train_written_out(params, X, Y, eta, epochs, batch_size, generator):
    """Everything in one function, the update in place on copies, losses in a tensor."""
    Wh, bh, Wy, by = (params[key].clone() for key in KEYS)
    N, losses = len(X), torch.zeros(epochs, dtype=torch.float64)
    for epoch in range(epochs):
        order = torch.randperm(N, generator=generator).tolist()
        for first in range(0, N, batch_size):
            rows = order[first : first + batch_size]
            x, y = X[rows], Y[rows]
            h = torch.tanh(x @ Wh.T + bh)
            yhat = torch.softmax(h @ Wy.T + by, dim=1)
            losses[epoch] -= (y * torch.log(yhat + 1e-12)).sum().double() / N
            delta_y = (yhat - y) / len(rows)
            delta_h = delta_y @ Wy * (1 - h * h)
            Wy -= eta * delta_y.T @ h
            by -= eta * delta_y.sum(0)
            Wh -= eta * delta_h.T @ x
            bh -= eta * delta_h.sum(0)
    return {"Wh": Wh, "bh": bh, "Wy": Wy, "by": by}, losses


def train_on_shuffled_copies(params, X, Y, eta, epochs, batch_size, generator):
    """Shuffle the whole set first, then slice it; losses example by example."""
    losses: list[float] = []
    while len(losses) < epochs:
        order = torch.randperm(X.shape[0], generator=generator)
        total = 0.0
        for x, y in zip(X[order].split(batch_size), Y[order].split(batch_size), strict=True):
            yhat, outputs = mlp.forward(params, x)
            total += -float((y * yhat.clamp(min=1e-12).log()).sum())
            params = mlp.sgd(params, mlp.backward(params, outputs, y), eta)
        losses.append(total / X.shape[0])
    return [params, losses]


train = Question(
    name="train",
    title="The training loop",
    points=3,
    reference=mlp.train,
    cases=train_cases,
    use=use_train,
    parts=("params", "losses"),
    needs=("forward", "loss_accuracy", "backward", "sgd"),
    forbidden=(NO_AUTOGRAD,),
    mistakes=(
        Mistake(
            "last_batch_dropped",
            train_by(draw=full_batches_only),
            "the last, smaller batch is dropped: take slices of batch_size until all N examples "
            "are used",
        ),
        Mistake(
            "one_permutation",
            train_by(redraw=False),
            "every epoch uses the same permutation: draw a new one at the beginning of each",
        ),
        Mistake(
            "no_shuffle",
            train_by(draw=in_order),
            "the examples are never shuffled: begin each epoch with "
            "torch.randperm(N, generator=generator)",
        ),
        Mistake(
            "shuffled_again",
            train_shuffled_once_more,
            "you shuffle what the epoch before has shuffled: index the X and Y that came in, not "
            "the shuffled ones",
        ),
        Mistake(
            "with_replacement",
            train_by(draw=with_replacement),
            "batches are drawn with replacement, so an epoch misses some examples: slice one "
            "permutation, torch.randperm(N, generator=generator)",
        ),
        Mistake(
            "labels_not_shuffled",
            train_by(take=lambda X, Y, i: (X[i], Y[: len(i)])),
            "X is shuffled and Y is not: index both with the same permutation",
        ),
        Mistake(
            "two_permutations",
            train_twice_shuffled,
            "X and Y are shuffled apart: index both with the same permutation",
        ),
        Mistake(
            "full_batch",
            train_by(take=lambda X, Y, i: (X, Y)),
            "each step uses all the examples: use the batch alone, X[batch] and Y[batch]",
        ),
        Mistake(
            "first_batch_only",
            train_by(draw=first_batch_only),
            "each epoch uses its first batch alone: go on until all N examples are used",
        ),
        Mistake(
            "one_step_an_epoch",
            train_one_step_an_epoch,
            "all batches of an epoch are computed with the same parameters: update them after "
            "each batch",
        ),
        Mistake(
            "mean_of_batches",
            train_by(gather=lambda losses, counts: sum(losses) / len(losses)),
            "an epoch's loss is the mean of the batches' losses, so a small last batch counts too "
            "much: weight each by its number of examples",
        ),
        Mistake(
            "sum_of_batches",
            train_by(gather=lambda losses, counts: sum(losses)),
            "an epoch's loss is the sum over its batches: return the mean over the N examples",
        ),
        Mistake(
            "sum_of_examples",
            train_by(gather=lambda losses, counts: weighted(losses, counts) * sum(counts)),
            "an epoch's loss is the sum over its examples: divide it by N",
        ),
        Mistake(
            "loss_of_last_batch",
            train_by(gather=lambda losses, counts: losses[-1]),
            "an epoch's loss is its last batch's: return the mean over the N examples",
        ),
        Mistake(
            "loss_after_step",
            train_by(step=loss_after),
            "a batch's loss is measured after its update: use the loss of the forward pass that "
            "the update comes from",
        ),
        Mistake(
            "loss_at_end",
            train_by(at_end=True),
            "the loss is measured once, at the end of the epoch: take the mean of the losses seen "
            "on the way, each before its batch's update",
        ),
        Mistake(
            "loss_per_batch",
            train_every_loss,
            "losses has one entry for each batch: it should have one for each epoch",
        ),
        Mistake(
            "running_total",
            train_running_total,
            "the losses of earlier epochs are added to the later ones: set the sum back to 0 at "
            "the beginning of each epoch",
        ),
        Mistake(
            "update_lost",
            train_forgetful,
            "the parameters never change: sgd returns new ones, so write params = sgd(...)",
        ),
        Mistake(
            "start_returned",
            train_returns_start,
            "you return the parameters that came in: return the trained ones",
        ),
        Mistake(
            "in_place",
            train_in_place,
            "the caller's params are changed: train new tensors and leave those that came in",
        ),
        Mistake("late_gradient", train_by(step=late_step), UPDATED),
        Mistake(
            "ascent",
            train_by(step=uphill),
            "the loss goes up: a step subtracts eta times the gradient",
        ),
        Mistake(
            "cast",
            train_by(
                start=lambda params: {key: value.float() for key, value in params.items()},
                take=lambda X, Y, i: (X[i].float(), Y[i].float()),
            ),
            ONE_DTYPE,
        ),
    ),
    variants=(
        Variant("the loop from pieces", train_by()),
        Variant("written out, losses in a tensor", train_written_out),
        Variant("shuffled copies, a list", train_on_shuffled_copies),
    ),
    hints=(
        "Two loops: over the epochs, and inside over slices of a permutation drawn for this epoch, "
        "torch.randperm(N, generator=generator).",
        "For each batch: forward, loss, backward, sgd, with X[batch] and Y[batch]. Keep what sgd "
        "returns: params = sgd(params, grads, eta).",
        "Add float(loss) * len(batch) over the epoch and divide by N at its end: the last batch "
        "may be smaller than the others.",
    ),
)
