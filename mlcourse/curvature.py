"""The loss of a network as a function of one vector, its Hessian, and products with it.

Here f takes a vector x (n,) of floating-point numbers and returns a number (a 0-dimensional
tensor) that autograd can differentiate twice. Use float64: second derivatives lose digits.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.func import functional_call

Function = Callable[[Tensor], Tensor]

#: Rows of a Hessian worked out together: more need more memory, fewer more time.
_ROWS = 256


def flat_loss(
    model: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], X: Tensor, y: Tensor
) -> tuple[Function, Tensor]:
    """Return f and x: f gives loss(model(X), y) for any weights in one vector, x has today's.

    x (n,) is a copy: all parameters in the order of `model.parameters()`, each in row order.
    f leaves the model's own parameters as they are, and `load_flat` puts a vector in. A layer that
    draws random numbers or counts batches makes another f at each call: use `model.eval()`.
    Raises ValueError for a model without parameters.
    """
    parameters = dict(model.named_parameters())
    if not parameters:
        raise ValueError("the model has no parameters: give one with weights")
    sizes = [p.numel() for p in parameters.values()]

    def f(x: Tensor) -> Tensor:
        _check_vector(x, sum(sizes))
        pieces = zip(parameters.items(), x.split(sizes), strict=True)
        weights = {name: piece.view_as(p) for (name, p), piece in pieces}
        return loss(functional_call(model, weights, X), y)

    return f, torch.cat([p.detach().flatten() for p in parameters.values()])


def load_flat(model: nn.Module, x: Tensor) -> None:
    """Copy the vector x (n,), as `flat_loss` orders it, into the model's parameters, in place.

    Raises ValueError when x does not have as many numbers as the model.
    """
    parameters = list(model.parameters())
    sizes = [p.numel() for p in parameters]
    _check_vector(x, sum(sizes))
    with torch.no_grad():
        for p, piece in zip(parameters, x.split(sizes), strict=True):
            p.copy_(piece.view_as(p))


def _check_vector(x: Tensor, n: int) -> None:
    if x.shape != (n,):
        raise ValueError(
            f"x has shape {tuple(x.shape)} and the model {n} parameters: give shape ({n},)"
        )


def hessian_vector_product(f: Function, x: Tensor, v: Tensor) -> Tensor:
    """Return H v (n,), with H the Hessian of f at x, in about the time of two gradients.

    H v is the gradient of g(x) . v, with v held fixed, so H itself is never formed. Raises
    ValueError when v and x differ in shape. Source: Pearlmutter, Fast exact multiplication by the
    Hessian, 1994.
    """
    return Taylor(f, x).hvp(v)


def hessian(f: Function, x: Tensor) -> Tensor:
    """Return the Hessian (n, n) of f at x: exact, symmetric, and as long as n products with it.

    It takes n^2 numbers of memory: n up to a few thousand.
    """
    return Taylor(f, x).hessian()


class Taylor:
    """The value, the gradient and products with the Hessian of f at one point x.

    `x` and `gradient` are (n,), `value` and `gradient_norm` floats; `products` counts the products
    so far, n for a whole Hessian. All come from one forward pass, which is kept: a product, of
    which conjugate gradients need several at one point, costs one more backward pass. Raises
    ValueError when x is not a vector, or f does not return one number.
    """

    def __init__(self, f: Function, x: Tensor) -> None:
        if x.ndim != 1 or not x.is_floating_point():
            raise ValueError(
                f"x has shape {tuple(x.shape)} and dtype {x.dtype}: give one vector of floats"
            )
        self._x = x.detach().clone().requires_grad_()
        with torch.enable_grad():
            value = f(self._x)
            if value.shape != ():
                raise ValueError(
                    f"f returns shape {tuple(value.shape)}: give a function with one number, ()"
                )
            (self._gradient,) = torch.autograd.grad(
                value, self._x, create_graph=True, materialize_grads=True
            )
        self.x = self._x.detach()
        self.value = float(value.detach())
        self.gradient = self._gradient.detach()
        self.gradient_norm = float(self.gradient.norm())
        self.products = 0

    def hvp(self, v: Tensor) -> Tensor:
        """Return the Hessian times v (n,)."""
        if v.shape != self._x.shape:
            raise ValueError(
                f"v has shape {tuple(v.shape)} and x {tuple(self._x.shape)}: "
                "a direction has the shape of the point"
            )
        self.products += 1
        return self._backward(v, batched=False)

    def hessian(self) -> Tensor:
        """Return the Hessian (n, n)."""
        self.products += len(self._x)
        directions = torch.eye(len(self._x), dtype=self._x.dtype, device=self._x.device)
        rows = [self._backward(some, batched=True) for some in directions.split(_ROWS)]
        H = torch.cat(rows)
        # Rounding leaves the last digits of the two halves different.
        return (H + H.T) / 2

    def _backward(self, v: Tensor, batched: bool) -> Tensor:
        # A linear f has a constant gradient, which autograd cannot differentiate.
        if not self._gradient.requires_grad:
            return torch.zeros_like(v)
        (product,) = torch.autograd.grad(
            self._gradient,
            self._x,
            v,
            retain_graph=True,
            materialize_grads=True,
            is_grads_batched=batched,
        )
        return product
