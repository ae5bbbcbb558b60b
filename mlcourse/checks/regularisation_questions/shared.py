"""What the questions of `regularisation` share: lists of tensors, and how penalties are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.compare import plain
from mlcourse.checks.judge import beside

WITNESS = "witness"

#: Shapes and dtype of the lists: a matrix and a vector, one tensor, a convolution among them,
#: tensors of equal shapes.
LISTS = (
    (((3, 2), (4,)), torch.float64),
    (((5, 3),), torch.float32),
    (((2,), (2, 3, 2, 2), (3, 1)), torch.float64),
    (((2, 2), (2, 2)), torch.float64),
)


def lists(g: Generator) -> list[list[Tensor]]:
    """Draw lists of tensors of both precisions, at least 2 long; the first sums up below 0."""
    found = []
    for shapes, dtype in LISTS:
        tensors = [normal(*shape, generator=g, dtype=dtype) for shape in shapes]
        tensors[0] = -tensors[0].sum().sign() * tensors[0]
        length = float(joined(tensors).norm())
        found.append([(tensor * (3 + len(shapes)) / length).to(dtype) for tensor in tensors])
    return found


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """Return all entries as one vector."""
    return torch.cat([tensor.flatten() for tensor in tensors])


def use_penalty(answer: Callable, weights: Sequence[Tensor], *strengths: float) -> Any:
    """Call the answer on weights that ask for gradients, as in a training; see what it gives."""
    found = beside(answer, WITNESS, "differentiate")(answer, list(weights), *strengths)
    followed = found["gradients"] is not None
    return {
        "the penalty": plain(found["value"]),
        "autograd": "can follow" if followed else "cannot follow",
        "its gradient": plain(found["gradients"]) if followed else [],
    }


def as_list(result: Any) -> Any:
    """Take a tuple of tensors as a list."""
    result = plain(result)
    return list(result) if isinstance(result, tuple) else result


NO_GRADIENT = (
    "autograd cannot follow the penalty back to the weights, so it would change nothing in "
    "training: return the tensor itself, without .item(), float() or .detach()"
)

FIRST_ALONE = "only the first tensor counts: add up the penalties of all tensors in the list"

LAST_ALONE = "only the last tensor counts: add to the sum in the loop, and return when all are done"

MATRICES_ALONE = (
    "vectors are left out: which tensors to penalise is the caller's choice, so take all that come"
)

NO_STRENGTH = "the factor lam is missing: it says how much the penalty weighs against the loss"
