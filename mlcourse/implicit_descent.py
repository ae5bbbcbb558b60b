"""Tuning by implicit hypergradients, each inner training going on from the one before.

The problem is to minimise outer(w*(h), h) over hyper-parameters h, where w*(h) minimises
inner(w, h). After a small step of h the old w is nearly right: a few steps of L-BFGS bring it to
the new minimum, and a few products with the Hessian give the next gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from mlcourse.bilevel import Descent
from mlcourse.bilevel_problem import Loss
from mlcourse.hypergrad import hypergradient
from mlcourse.second_order import lbfgs
from mlcourse.training import History, Numbers

#: L-BFGS steps from the first w; `inner_steps` are for each w after it.
_FIRST_STEPS = 100


def descend(
    inner: Loss,
    outer: Loss,
    w: Tensor,
    hyper: Tensor,
    *,
    steps: int,
    lr: float,
    inner_steps: int = 10,
    products: int = 10,
    record: Callable[[Tensor, Tensor], Numbers] | None = None,
) -> Descent:
    """Take `steps` steps of Adam along the hypergradient by conjugate gradients.

    w (n,) is where the first inner training starts, hyper is of any shape; neither is changed.
    `products` is how many products with the Hessian of inner a hypergradient may take. Row 0 of
    the history is the minimum for the given hyper, each other row that after a step, with the
    column `val_loss` (outer) and those of `record(w, hyper)`. Raises ValueError when steps,
    inner_steps or products are below 1. Sources: Pedregosa, Hyperparameter optimization with
    approximate gradient, 2016; Lorraine et al., Optimizing millions of hyperparameters by implicit
    differentiation, 2020, algorithm 1.
    """
    for name, count in (("steps", steps), ("inner_steps", inner_steps), ("products", products)):
        if count < 1:
            raise ValueError(f"{name} is {count}: take at least 1")
    hyper, history = hyper.detach().clone(), History()
    optimizer = torch.optim.Adam([hyper], lr=lr)

    def settle(w: Tensor, inner_steps: int) -> Tensor:
        w = lbfgs(lambda x: inner(x, hyper), w, inner_steps).x
        with torch.no_grad():
            history.append(val_loss=outer(w, hyper), **(record(w, hyper) if record else {}))
        return w

    w = settle(w.detach(), _FIRST_STEPS)
    for _ in range(steps):
        hyper.grad = hypergradient(inner, outer, w, hyper, "cg", steps=products)  # type: ignore[assignment]
        optimizer.step()
        w = settle(w, inner_steps)
    hyper.grad = None
    return Descent(w, hyper, history)
