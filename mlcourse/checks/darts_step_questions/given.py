"""`halves` and `mixed_loss`: the data's two halves, and the loss of a mixture."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mlcourse.checks.compare import plain
from mlcourse.checks.darts_step_questions.shared import Answer, spread
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import shuffled

# --- Two halves -----------------------------------------------------------------------------------

Order = list[int]


def halves_cases(g: Generator) -> list[tuple[Order]]:
    """(order): even and odd numbers of examples."""
    return [(shuffled(n, g),) for n in (8, 11, 14, 7)]


def as_numbers(half: Any) -> Any:
    return half.tolist() if isinstance(half, Tensor) else half


def use_halves(answer: Callable, order: Order) -> Any:
    """Call the answer; tensors, arrays and tuples may stand for lists."""
    result = plain(answer(order))
    if not isinstance(result, (list, tuple)):
        return result
    return tuple(
        list(half) if isinstance(half, tuple) else as_numbers(half) for half in tuple(result)
    )


def halves_by(cut: Callable[[Order], Any]) -> Answer:
    return lambda order: cut(list(order))


def halves_by_split(order: Order) -> Any:
    first, second = np.split(np.array(order), [len(order) // 2])
    return first, second


def halves_by_loop(order: Order) -> Any:
    train: Order = []
    val: Order = []
    for position, index in enumerate(order):
        (train if position < len(order) // 2 else val).append(index)
    return [train, val]


def halves_by_tensors(order: Order) -> Any:
    n = len(order) // 2
    return torch.tensor(order).split([n, len(order) - n])


halves = Question(
    name="halves",
    title="Two halves",
    points=1,
    reference=halves_by(lambda order: (order[: len(order) // 2], order[len(order) // 2 :])),
    cases=halves_cases,
    use=use_halves,
    parts=("the half for w", "the half for alpha"),
    mistakes=(
        Mistake(
            "everything_twice",
            halves_by(lambda order: (order, order)),
            "both get all the examples: then alpha is chosen on what w has learnt by heart; the "
            "halves may share no example",
        ),
        Mistake(
            "all_for_w",
            halves_by(lambda order: (order, order[len(order) // 2 :])),
            "the halves overlap: w gets all the examples, those of alpha too; leave w the first "
            "half alone",
        ),
        Mistake(
            "all_for_alpha",
            halves_by(lambda order: (order[: len(order) // 2], order)),
            "the halves overlap: alpha gets all the examples, those of w too; leave alpha the "
            "rest alone",
        ),
        Mistake(
            "one_shared",
            halves_by(lambda order: (order[: len(order) // 2 + 1], order[len(order) // 2 :])),
            "the halves overlap in one example: a slice leaves its end out, so the same n // 2 "
            "ends the one and begins the other",
        ),
        Mistake(
            "one_left_out",
            halves_by(lambda order: (order[: len(order) // 2], order[len(order) // 2 + 1 :])),
            "one example is in neither half: a slice contains its beginning, so alpha's begins at "
            "n // 2",
        ),
        Mistake(
            "odd_dropped",
            halves_by(lambda order: (order[: len(order) // 2], order[(len(order) + 1) // 2 :])),
            "with an odd number one example is in neither half: the rest, all of it, is alpha's",
        ),
        Mistake(
            "odd_to_w",
            halves_by(
                lambda order: (order[: (len(order) + 1) // 2], order[(len(order) + 1) // 2 :])
            ),
            "with an odd number the middle one goes to alpha: the first n // 2 are w's",
        ),
        Mistake(
            "exchanged",
            halves_by(lambda order: (order[len(order) // 2 :], order[: len(order) // 2])),
            "the halves are exchanged: the first half is w's, the rest alpha's",
        ),
        Mistake(
            "order_ignored",
            halves_by(
                lambda order: (
                    list(range(len(order) // 2)),
                    list(range(len(order) // 2, len(order))),
                )
            ),
            "the order is ignored: data sets are often sorted, by class for instance, so cut "
            "`order`, not the numbers from 0 on",
        ),
        Mistake(
            "positions",
            halves_by(
                lambda order: (
                    [i for i in range(len(order)) if order[i] < len(order) // 2],
                    [i for i in range(len(order)) if order[i] >= len(order) // 2],
                )
            ),
            "you return *where* small and large numbers stand in the order: return the numbers "
            "that stand in its first half, and in the rest",
        ),
        Mistake(
            "every_other",
            halves_by(lambda order: (order[::2], order[1::2])),
            "those are halves without overlap, but every other example: take the first n // 2 of "
            "the order and the rest",
        ),
        Mistake(
            "sorted",
            halves_by(
                lambda order: (sorted(order[: len(order) // 2]), sorted(order[len(order) // 2 :]))
            ),
            "the right halves, but sorted: leave them in the given order",
        ),
    ),
    variants=(
        Variant("np.split", halves_by_split),
        Variant("a loop", halves_by_loop),
        Variant("tensors", halves_by_tensors),
    ),
    hints=(
        "The first len(order) // 2 entries of `order` are w's, all others alpha's.",
        "Two slices of `order`, with the same number as the end of one and the beginning of the "
        "other.",
        "half = len(order) // 2; return order[:half], order[half:]",
    ),
)


# --- The loss of a mixture ------------------------------------------------------------------------


def mixed_cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(alpha, outputs, y): as many edges as operations too, and as many examples."""
    return [
        (spread(edges, operations, g=g), spread(edges, operations, N, g=g), spread(N, g=g))
        for edges, operations, N in ((2, 4, 5), (3, 3, 6), (1, 5, 4), (4, 4, 4))
    ]


def mixed_by(
    strengths: Callable[[Tensor], Tensor] = lambda alpha: alpha.softmax(dim=1),
    outputs: Callable[[Tensor], Tensor] = lambda outputs: outputs,
    prediction: Callable[[Tensor], Tensor] = lambda mixed: mixed.sum(dim=0),
    loss: Callable[[Tensor], Tensor] = lambda error: (error**2).mean(),
) -> Answer:
    """The mixture's loss with one of the pieces exchanged."""

    def mixed_loss(alpha: Tensor, given: Tensor, y: Tensor) -> Tensor:
        mixed = (strengths(alpha)[:, :, None] * outputs(given)).sum(dim=1)
        return loss(prediction(mixed) - y)

    return mixed_loss


def losses_mixed(alpha: Tensor, outputs: Tensor, y: Tensor) -> Tensor:
    losses = ((outputs - y) ** 2).mean(dim=2)
    return (alpha.softmax(dim=1) * losses).sum()


def loss_of_each_edge(alpha: Tensor, outputs: Tensor, y: Tensor) -> Tensor:
    mixed = (alpha.softmax(dim=1)[:, :, None] * outputs).sum(dim=1)
    return ((mixed - y) ** 2).mean()


def by_einsum(alpha: Tensor, outputs: Tensor, y: Tensor) -> Any:
    return F.mse_loss(torch.einsum("ek,ekn->n", F.softmax(alpha, dim=-1), outputs), y)


def by_exponentials(alpha: Tensor, outputs: Tensor, y: Tensor) -> Any:
    weights = alpha.exp() / alpha.exp().sum(dim=1, keepdim=True)
    return ((weights.flatten() @ outputs.flatten(0, 1) - y) ** 2).sum() / len(y)


def by_loops(alpha: Tensor, outputs: Tensor, y: Tensor) -> Any:
    total = torch.zeros_like(y)
    for row, edge in zip(alpha, outputs, strict=True):
        for weight, output in zip(torch.softmax(row, 0), edge, strict=True):
            total = total + weight * output
    return torch.mean((total - y) ** 2)


mixed_loss = Question(
    name="mixed_loss",
    title="The loss of a mixture",
    points=2,
    reference=mixed_by(),
    cases=mixed_cases,
    parts=("the loss",),
    mistakes=(
        Mistake(
            "over_edges",
            mixed_by(lambda alpha: alpha.softmax(dim=0)),
            "the softmax is taken over the edges: the operations of *one* edge compete, so each "
            "row of alpha has a softmax of its own, dim=1",
        ),
        Mistake(
            "over_everything",
            mixed_by(lambda alpha: alpha.flatten().softmax(dim=0).view_as(alpha)),
            "one softmax over all edges and operations: the weights of each edge alone sum to 1, "
            "so take dim=1",
        ),
        Mistake(
            "no_softmax",
            mixed_by(lambda alpha: alpha),
            "alpha itself is taken for the weights: they are softmax(alpha), positive and with "
            "the sum 1 on each edge",
        ),
        Mistake(
            "not_normalised",
            mixed_by(lambda alpha: alpha.exp()),
            "exp(alpha) is not normalised: divide by its sum over the edge's operations",
        ),
        Mistake(
            "divided_by_the_sum",
            mixed_by(lambda alpha: alpha / alpha.sum(dim=1, keepdim=True)),
            "alpha is divided by its sum without an exponential: alpha may be negative, so take "
            "the softmax",
        ),
        Mistake(
            "sigmoid",
            mixed_by(torch.sigmoid),
            "each operation has a sigmoid of its own: here the operations of an edge compete, "
            "through a softmax",
        ),
        Mistake(
            "logarithms",
            mixed_by(lambda alpha: alpha.log_softmax(dim=1)),
            "log_softmax gives the logarithms of the weights: take softmax",
        ),
        Mistake(
            "first_left_out",
            mixed_by(lambda alpha: F.pad(alpha[:, 1:].softmax(dim=1), (1, 0))),
            "the first operation is left out of the softmax: it has its share like any other",
        ),
        Mistake(
            "strongest_alone",
            mixed_by(
                lambda alpha: F.one_hot(alpha.argmax(dim=1), alpha.shape[1]).to(alpha),
            ),
            "only the strongest operation of each edge counts: while searching, all of them do, "
            "each by its weight",
        ),
        Mistake(
            "equal_weights",
            mixed_by(lambda alpha: torch.full_like(alpha, 1 / alpha.shape[1])),
            "all operations have the same weight: weigh them by softmax(alpha)",
        ),
        Mistake(
            "losses_mixed",
            losses_mixed,
            "each operation has a loss of its own, and you mix the losses: mix the *outputs*, and "
            "take one loss of what comes out",
        ),
        Mistake(
            "a_loss_for_each_edge",
            loss_of_each_edge,
            "each edge has a loss of its own: add what all edges bring, and take one loss of the "
            "sum",
        ),
        Mistake(
            "mean_over_edges",
            mixed_by(prediction=lambda mixed: mixed.mean(dim=0)),
            "the edges are averaged: a node adds what its edges bring",
        ),
        Mistake(
            "relu",
            mixed_by(outputs=torch.relu),
            "a ReLU is put on the outputs: they are given as they are",
        ),
        Mistake(
            "summed",
            mixed_by(loss=lambda error: (error**2).sum()),
            "your loss is N times ours: it is a mean over the examples",
        ),
        Mistake(
            "half",
            mixed_by(loss=lambda error: (error**2).mean() / 2),
            "your loss is half of ours: there is no 1/2 in the mean squared error",
        ),
        Mistake(
            "absolute",
            mixed_by(loss=lambda error: error.abs().mean()),
            "the errors are not squared",
        ),
        Mistake(
            "root",
            mixed_by(loss=lambda error: (error**2).mean().sqrt()),
            "you take the root of the mean squared error: leave it out",
        ),
    ),
    variants=(
        Variant("einsum", by_einsum),
        Variant("exponentials", by_exponentials),
        Variant("loops", by_loops),
    ),
    hints=(
        "The weights are alpha.softmax(dim=1): which dimension are the operations in?",
        "Give the weights a third dimension, [:, :, None], multiply, and sum over the operations "
        "and over the edges.",
        "prediction = (alpha.softmax(dim=1)[:, :, None] * outputs).sum(dim=(0, 1)), then the mean "
        "of (prediction - y) ** 2.",
    ),
)
