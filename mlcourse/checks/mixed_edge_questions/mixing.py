"""`edge_weights`, `mixed_output` and `alpha_gradient`: one edge that holds many operations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.complexity_questions.shared import DTYPE
from mlcourse.checks.declare import Mistake, Question, Variant

# --- The weights of the operations ----------------------------------------------------------------


def weights_cases(g: Generator) -> list[tuple[Tensor]]:
    """Alphas (edges, operations): oblong, square, and so large that exp overflows."""
    small = [1.5 * normal(*shape, generator=g, dtype=DTYPE) for shape in ((5, 4), (3, 3), (2, 8))]
    offsets = torch.tensor([[800.0], [-800.0], [0.0]], dtype=DTYPE)
    large = 1.5 * normal(3, 5, generator=g, dtype=DTYPE) + offsets
    return [(alpha,) for alpha in (*small, large)]


def weights_by_loops(alpha: Tensor) -> Any:
    rows = []
    for row in alpha:
        powers = [torch.exp(one - max(row)) for one in row]
        rows.append(torch.stack([power / sum(powers) for power in powers]))
    return torch.stack(rows)


def none_outside(alpha: Tensor) -> Tensor:
    others = alpha[:, 1:].softmax(1)
    return torch.cat([torch.zeros_like(others[:, :1]), others], dim=1)


def shifted_by(alpha: Tensor, shift: Tensor) -> Tensor:
    powers = (alpha - shift).exp()
    return powers / powers.sum(1, keepdim=True)


edge_weights = Question(
    name="edge_weights",
    title="The weights of the operations",
    points=1,
    reference=lambda alpha: alpha.softmax(1),
    cases=weights_cases,
    parts=("the weights",),
    mistakes=(
        Mistake(
            "over_edges",
            lambda alpha: alpha.softmax(0),
            "your softmax runs over the edges: it is the operations of *one* edge that compete, "
            "the entries of a row (dim=1)",
        ),
        Mistake(
            "over_everything",
            lambda alpha: alpha.flatten().softmax(0).view_as(alpha),
            "all entries together have the sum 1: each edge, a row, has a sum of its own",
        ),
        Mistake(
            "no_max_shift",
            lambda alpha: shifted_by(alpha, torch.zeros(())),
            "exp of a large alpha overflows (and of a very negative one gives 0/0): subtract the "
            "largest alpha of the row first, or use softmax",
        ),
        Mistake(
            "one_shift",
            lambda alpha: shifted_by(alpha, alpha.max()),
            "you subtract the largest alpha of all edges: in a row far below it each exp is 0; "
            "subtract each row's own largest",
        ),
        Mistake(
            "not_normalised",
            lambda alpha: (alpha - alpha.amax(1, keepdim=True)).exp(),
            "the weights of an edge do not have the sum 1: divide the exponentials by their sum",
        ),
        Mistake(
            "no_exp",
            lambda alpha: alpha / alpha.sum(1, keepdim=True),
            "you divide the alphas themselves by their sum, so weights may be negative: take "
            "exponentials first",
        ),
        Mistake(
            "sigmoid",
            lambda alpha: alpha.sigmoid(),
            "those are sigmoids, with which operations do not compete (a remedy that comes later): "
            "use a softmax",
        ),
        Mistake(
            "logarithms",
            lambda alpha: alpha.log_softmax(1),
            "those are the logarithms of the weights",
        ),
        Mistake(
            "none_outside",
            none_outside,
            "the first operation has no share: none is a candidate as any other, and must be in "
            "the softmax",
        ),
        Mistake(
            "highest",
            lambda alpha: torch.nn.functional.one_hot(alpha.argmax(1), alpha.shape[1]).to(DTYPE),
            "that is a choice, not a mixture: its gradient in alpha is 0 everywhere",
        ),
    ),
    variants=(
        Variant("loops", weights_by_loops),
        Variant("shifted by the largest", lambda a: shifted_by(a, a.amax(1, keepdim=True))),
        Variant("logarithm and back", lambda alpha: alpha.log_softmax(-1).exp()),
        Variant("of NumPy", lambda alpha: weights_by_loops(alpha).numpy()),
    ),
    hints=(
        "Each row by itself: exponentials, divided by their sum.",
        "torch has the function; `dim` says which entries have the sum 1.",
        "alpha.softmax(dim=1)",
    ),
)


# --- The output of an edge ------------------------------------------------------------------------


def draw_outputs(count: int, shape: tuple[int, ...], g: Generator) -> Tensor:
    """Draw what the operations put out; the first one is `none`."""
    outputs = normal(count, *shape, generator=g, dtype=DTYPE)
    outputs[0] = 0.0
    return outputs


#: The number of operations, and the shape of images.
SIZES = ((4, (2, 3, 4, 5)), (3, (3, 3, 2, 2)), (8, (2, 2, 3, 3)))


def output_cases(g: Generator) -> list[tuple[Tensor, Tensor]]:
    return [
        (draw_outputs(count, shape, g), 1.2 * normal(count, generator=g, dtype=DTYPE))
        for count, shape in SIZES
    ]


def weighted(outputs: Tensor, p: Tensor) -> Tensor:
    return torch.tensordot(p, outputs, dims=1)


def mixed_by(weights: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda outputs, alpha: weighted(outputs, weights(alpha))


def mixed_by_loops(outputs: Tensor, alpha: Tensor) -> Tensor:
    total = torch.zeros_like(outputs[0])
    for p, output in zip(alpha.softmax(0), outputs, strict=True):
        total += p * output
    return total


mixed_output = Question(
    name="mixed_output",
    title="The output of an edge",
    points=1,
    reference=mixed_by(lambda alpha: alpha.softmax(0)),
    cases=output_cases,
    parts=("the output",),
    mistakes=(
        Mistake(
            "sum",
            mixed_by(torch.ones_like),
            "you add the outputs without weights: alpha has no say",
        ),
        Mistake(
            "mean",
            lambda outputs, alpha: outputs.mean(0),
            "that is the plain mean of the outputs: alpha has no say",
        ),
        Mistake(
            "alphas",
            mixed_by(lambda alpha: alpha),
            "you weight with the alphas themselves: their softmax are the weights",
        ),
        Mistake(
            "not_normalised",
            mixed_by(torch.exp),
            "your weights are exp(alpha): divide them by their sum, so that the edge's output does "
            "not grow with the number of operations",
        ),
        Mistake(
            "divided_again",
            mixed_by(lambda alpha: alpha.softmax(0) / len(alpha)),
            "you divide by the number of operations as well: the weights have the sum 1 already, "
            "so add the weighted outputs",
        ),
        Mistake(
            "sigmoid",
            mixed_by(torch.sigmoid),
            "your weights are sigmoids: the operations of an edge compete in a softmax",
        ),
        Mistake(
            "strongest",
            lambda outputs, alpha: outputs[alpha.argmax()],
            "that is the strongest operation alone: the edge is a mixture until the search is over",
        ),
        Mistake(
            "strongest_weighted",
            lambda outputs, alpha: alpha.softmax(0).max() * outputs[alpha.argmax()],
            "you keep the strongest operation alone, times its weight: add all of them",
        ),
        Mistake(
            "none_outside",
            lambda outputs, alpha: weighted(outputs[1:], alpha[1:].softmax(0)),
            "you leave none out of the softmax: its output is 0, but its weight is missing from "
            "the others, and so it makes the edge weaker",
        ),
        Mistake(
            "relu",
            lambda outputs, alpha: mixed_by_loops(outputs, alpha).relu(),
            "a ReLU after the sum is too much: convolutions have theirs at their beginning, and a "
            "skip must bring negative numbers as well",
        ),
        Mistake(
            "not_added",
            lambda outputs, alpha: outputs * alpha.softmax(0).view(-1, 1, 1, 1, 1),
            "the weighted outputs are still apart: add them over the operations, dimension 0",
        ),
    ),
    variants=(
        Variant("loops", mixed_by_loops),
        Variant("einsum", lambda o, a: torch.einsum("k,knchw->nchw", a.softmax(0), o)),
        Variant("broadcast", lambda o, a: (a.softmax(0)[:, None, None, None, None] * o).sum(0)),
    ),
    hints=(
        "p = alpha.softmax(0), one weight for each operation.",
        "A loop over zip(p, outputs) will do; so will torch.einsum.",
        "sum(w * o for w, o in zip(alpha.softmax(0), outputs))",
    ),
)


# --- The gradient of alpha ------------------------------------------------------------------------


def gradient_cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor]]:
    return [
        (outputs, alpha, normal(*outputs.shape[1:], generator=g, dtype=DTYPE))
        for outputs, alpha in output_cases(g)
    ]


def products(outputs: Tensor, g: Tensor) -> Tensor:
    """Return g . o_k for each operation."""
    return (outputs * g).flatten(1).sum(1)


Slopes = Callable[[Tensor, Tensor], Tensor]


def gradient_by(slopes: Slopes) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The gradient from the weights p and the products d."""
    return lambda outputs, alpha, g: slopes(alpha.softmax(0), products(outputs, g))


def gradient_by_autograd(outputs: Tensor, alpha: Tensor, g: Tensor) -> Tensor:
    alpha = alpha.clone().requires_grad_()
    ((mixed_by_loops(outputs, alpha)) * g).sum().backward()
    assert alpha.grad is not None
    return alpha.grad


def gradient_by_jacobian(outputs: Tensor, alpha: Tensor, g: Tensor) -> Tensor:
    p = alpha.softmax(0)
    return (torch.diag(p) - torch.outer(p, p)) @ products(outputs, g)


def gradient_from_mixture(outputs: Tensor, alpha: Tensor, g: Tensor) -> Tensor:
    mixture = mixed_by_loops(outputs, alpha)
    found = []
    for p, output in zip(alpha.softmax(0), outputs, strict=True):
        found.append(p * (g * (output - mixture)).sum())
    return torch.stack(found)


alpha_gradient = Question(
    name="alpha_gradient",
    title="The gradient of alpha",
    points=2,
    reference=gradient_by(lambda p, d: p * (d - p @ d)),
    cases=gradient_cases,
    parts=("the gradient",),
    mistakes=(
        Mistake(
            "no_mean",
            gradient_by(lambda p, d: p * d),
            "the mean term is missing: when alpha_k grows, all other weights fall, so subtract "
            "sum_j p_j g.o_j from g.o_k",
        ),
        Mistake(
            "by_the_weights",
            gradient_by(lambda p, d: d),
            "that is the gradient of the weights p: carry it on through the softmax to alpha",
        ),
        Mistake(
            "plain_mean",
            gradient_by(lambda p, d: p * (d - d.mean())),
            "you subtract the plain mean of the g.o_j: weight it with p",
        ),
        Mistake(
            "sum_subtracted",
            gradient_by(lambda p, d: p * (d - d.sum())),
            "you subtract the sum of the g.o_j: weight each with its p_j",
        ),
        Mistake(
            "diagonal",
            gradient_by(lambda p, d: p * (1 - p) * d),
            "p_k (1 - p_k) g.o_k is what p_k does alone: alpha_k moves the other weights too, each "
            "by - p_j p_k",
        ),
        Mistake(
            "no_share",
            gradient_by(lambda p, d: d - p @ d),
            "the factor p_k is missing: a small weight moves little",
        ),
        Mistake(
            "sign",
            gradient_by(lambda p, d: p * (p @ d - d)),
            "the sign is wrong: the gradient is asked for, not the step downhill",
        ),
        Mistake(
            "mean_of_examples",
            lambda o, alpha, g: gradient_by(lambda p, d: p * (d - p @ d))(o, alpha, g) / len(g),
            "you divide by the number of examples: g is the gradient of the loss already, so g.o "
            "is a sum over all entries",
        ),
        Mistake(
            "mean_of_entries",
            lambda o, alpha, g: gradient_by(lambda p, d: p * (d - p @ d))(o, alpha, g) / g.numel(),
            "you average over the entries: g.o is their *sum*",
        ),
        Mistake(
            "over_rest",
            gradient_by(lambda p, d: p * (d - (p @ d - p * d))),
            "the operation itself is missing from the mean: sum_j p_j g.o_j goes over all j, k too",
        ),
        Mistake(
            "alphas",
            lambda o, alpha, g: alpha * (products(o, g) - alpha @ products(o, g)),
            "you use alpha in place of the weights p: take its softmax first",
        ),
    ),
    variants=(
        Variant("autograd", gradient_by_autograd),
        Variant("the softmax's Jacobian", gradient_by_jacobian),
        Variant("against the mixture", gradient_from_mixture),
    ),
    hints=(
        "First the number d_k = g . o_k for each operation, a sum over all entries.",
        "d p_j / d alpha_k is p_k (1 - p_k) for j = k and - p_j p_k else. Add over j.",
        "d = (outputs * g).flatten(1).sum(1), and then p * (d - p @ d).",
    ),
)
