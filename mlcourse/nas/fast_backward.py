"""How a hand-written backward is differentiated again: by writing the operation out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def gradients_by_autograd(
    plain: Callable[..., Tensor], inputs: tuple[Any, ...], g: Tensor
) -> tuple[Tensor, ...]:
    """Return the gradients of sum(g * plain(*inputs)) in the inputs that are tensors, with a graph.

    A custom Function uses it when its backward is to be differentiated again (`create_graph`), and
    a quicker backward without a graph otherwise; `plain` is the operation in torch's functions.
    """
    # A view is a place to stop at: an input may have been computed from another one.
    views = [x.view_as(x) if isinstance(x, Tensor) else x for x in inputs]
    tensors = [x for x in views if isinstance(x, Tensor)]
    with torch.enable_grad():
        tensors_with_graph = [x if x.requires_grad else x.requires_grad_() for x in tensors]
        out = plain(*views)
        return torch.autograd.grad(out, tensors_with_graph, g, create_graph=True)
