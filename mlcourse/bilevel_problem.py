"""A bilevel problem as two functions of two vectors, for whatever tensors it was written with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

#: What weights and hyper-parameters may be: a tensor, or some tensors in a dict, tuple or list.
Tensors = Tensor | dict[str, Tensor] | tuple[Tensor, ...] | list[Tensor]
#: A loss of weights and hyper-parameters: one number, differentiable in both.
Loss = Callable[[Any, Any], Tensor]


class Problem:
    """The losses of a bilevel problem at a point: weights `w` (n,), hyper-parameters `hyper` (m,).

    Both vectors are copies, and each holds its tensors one after the other, each in row order.
    Raises ValueError for anything but tensors of floats, of one dtype on one device in `w` and in
    `hyper`.
    """

    def __init__(self, inner: Loss, outer: Loss, w: Tensors, hyper: Tensors) -> None:
        self._inner, self._outer = inner, outer
        self.w, self._weights = flatten("w", w)
        self.hyper, self.structured = flatten("hyper", hyper)

    def inner(self, w: Tensor, hyper: Tensor) -> Tensor:
        """The loss that the weights minimise, ()."""
        return _number("inner", self._inner(self._weights(w), self.structured(hyper)))

    def outer(self, w: Tensor, hyper: Tensor) -> Tensor:
        """The loss that the hyper-parameters minimise, ()."""
        return _number("outer", self._outer(self._weights(w), self.structured(hyper)))


def leaf(vector: Tensor) -> Tensor:
    """The same numbers as a tensor that gradients are taken at, cut off from what made it."""
    return vector.detach().requires_grad_()


def gradients(value: Tensor, *at: Tensor, create_graph: bool = False) -> tuple[Tensor, ...]:
    """Return the gradient of value () at each tensor: zeros where it does not depend on one."""
    # A loss that depends on none of them has no graph at all, which autograd refuses.
    if not value.requires_grad:
        return tuple(torch.zeros_like(tensor) for tensor in at)
    return torch.autograd.grad(value, at, create_graph=create_graph, materialize_grads=True)


def flatten(name: str, tensors: Tensors) -> tuple[Tensor, Callable[[Tensor], Tensors]]:
    """Return the tensors in one vector, and a function that gives a vector their structure.

    The vector (n,) is a copy, each tensor in row order; `name` is what an error calls the tensors.
    Raises ValueError for anything but tensors of floats, of one dtype on one device.
    """
    leaves = _leaves(name, tensors)
    shapes, sizes = [t.shape for t in leaves], [t.numel() for t in leaves]

    def structured(vector: Tensor) -> Tensors:
        if isinstance(tensors, Tensor):
            # A view of the same shape would cost a node in every graph.
            return vector if tensors.ndim == 1 else vector.view(tensors.shape)
        pieces = [
            piece.view(shape) for piece, shape in zip(vector.split(sizes), shapes, strict=True)
        ]
        if isinstance(tensors, dict):
            return dict(zip(tensors, pieces, strict=True))
        return pieces if isinstance(tensors, list) else tuple(pieces)

    return torch.cat([t.detach().flatten() for t in leaves]), structured


def _leaves(name: str, tensors: Tensors) -> list[Tensor]:
    if isinstance(tensors, Tensor):
        leaves = [tensors]
    elif isinstance(tensors, dict | tuple | list):
        leaves = list(tensors.values() if isinstance(tensors, dict) else tensors)
    else:
        leaves = []
    if not leaves or not all(isinstance(t, Tensor) and t.is_floating_point() for t in leaves):
        raise ValueError(
            f"{name} is {_kind(tensors)}: give a tensor of floats, or a dict, tuple or list of them"
        )
    kinds = sorted({f"{t.dtype} on {t.device}" for t in leaves})
    if len(kinds) > 1:
        raise ValueError(f"{name} has tensors of {' and '.join(kinds)}: give one kind")
    return leaves


def _kind(tensors: object) -> str:
    if isinstance(tensors, Tensor):
        return f"a tensor of {tensors.dtype}"
    if not isinstance(tensors, dict | tuple | list):
        return f"of type {type(tensors).__name__}"
    inside = tensors.values() if isinstance(tensors, dict) else tensors
    others = [f"a {type(t).__name__}" for t in inside if not isinstance(t, Tensor)]
    others += [str(t.dtype) for t in inside if isinstance(t, Tensor) and not t.is_floating_point()]
    return f"a {type(tensors).__name__} with {others[0]}" if others else "empty"


def _number(name: str, value: Tensor) -> Tensor:
    if not isinstance(value, Tensor) or value.shape != ():
        got = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else repr(value)
        raise ValueError(f"{name} returns {got}: give a function with one number, a tensor ()")
    return value
