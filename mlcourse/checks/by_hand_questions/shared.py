"""What the questions of `by_hand` share: inputs, names, and what is forbidden."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.compare import plain
from mlcourse.checks.declare import Forbidden

Params = dict[str, Tensor]
KEYS = ("Wh", "bh", "Wy", "by")

#: Sizes (N, n_x, n_h, n_y) and dtype of the networks drawn for most questions: one example,
#: square and oblong weights, both precisions.
NETWORKS = (
    (5, 2, 4, 2, torch.float32),
    (6, 3, 3, 3, torch.float64),
    (1, 3, 5, 4, torch.float64),
    (7, 4, 3, 5, torch.float32),
    (4, 2, 6, 3, torch.float64),
)

NO_AUTOGRAD = Forbidden(
    "autograd",
    "the gradients are to be worked out by hand here: leave autograd (backward(), .grad, "
    "requires_grad, torch.func) for the exercise four_ways",
    attributes=frozenset(
        {
            "autograd",
            "backward",
            "grad",
            "hessian",
            "jacfwd",
            "jacobian",
            "jacrev",
            "jvp",
            "requires_grad",
            "requires_grad_",
            "value_and_grad",
            "vjp",
        }
    ),
    traps=(
        "torch.autograd.grad",
        "torch.autograd.backward",
        "torch.Tensor.backward",
        "torch.Tensor.requires_grad_",
    ),
)

ONE_DTYPE = (
    "float64 inputs become float32 on the way: keep the dtype of the inputs (no .float(), and new "
    "tensors with dtype=X.dtype)"
)

UPDATED = (
    "delta_h uses W_y after its update: compute every gradient from the parameters of the forward "
    "pass, then update them all"
)


def normal(*shape: int, generator: Generator, dtype: torch.dtype) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=dtype)


def draw_params(nx: int, nh: int, ny: int, g: Generator, dtype: torch.dtype) -> Params:
    return {
        "Wh": normal(nh, nx, generator=g, dtype=dtype),
        "bh": normal(nh, generator=g, dtype=dtype),
        "Wy": normal(ny, nh, generator=g, dtype=dtype),
        "by": normal(ny, generator=g, dtype=dtype),
    }


def draw_labels(N: int, classes: int, g: Generator, dtype: torch.dtype) -> Tensor:
    labels = torch.randint(classes, (N,), generator=g)
    return torch.nn.functional.one_hot(labels, classes).to(dtype)


def pick(result: Any, keys: tuple[str, ...]) -> Any:
    """Keep the named keys of a dict, so that extra ones do no harm; leave all else as it is."""
    if isinstance(result, dict):
        return {key: result[key] for key in keys if key in result}
    return result


def use_train(answer: Callable, *args: Any) -> Any:
    """Call the answer; the losses may be a list of numbers or a tensor."""
    result = plain(answer(*args))
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return result
    params, losses = result
    if isinstance(losses, Tensor) and losses.dim() == 1:
        losses = losses.tolist()
    return pick(params, KEYS), losses
