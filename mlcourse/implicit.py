"""Hypergradients from the implicit function theorem: w is the minimum of inner, however found.

At the minimum the gradient of inner is zero whatever the hyper-parameters h are, so
dw/dh = -H^-1 M with H (n, n) the Hessian of inner in w and M (n, m) its mixed derivative, and the
hypergradient is (gradient of outer in h) - M^T q, where H q = u, the gradient of outer in w. The
methods differ in how they solve for q. None of them looks at how w was found, and none sees an
error in w: away from the minimum the result is not a gradient of anything.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor

from mlcourse.bilevel_problem import Problem, gradients, leaf
from mlcourse.curvature import Taylor
from mlcourse.second_order import conjugate_gradients, newton_direction
from mlcourse.unrolled import State, graph_of_step, start

Solve = Callable[[Taylor, Tensor], Tensor]


def neumann(problem: Problem, *, terms: int, lr: float, damping: float = 0.0) -> Tensor:
    """Take lr (I + A + A^2 + ...) for H^-1, with A = I - lr (H + damping I) and `terms` summands.

    Each costs a product with H. It converges when lr is below 2 / (largest eigenvalue of
    H + damping I); the error then falls by 1 - lr (smallest eigenvalue), or faster, a term. A
    RuntimeWarning says when the terms grew. Source: Lorraine, Vicol and Duvenaud, Optimizing
    millions of hyperparameters by implicit differentiation, 2020, algorithm 3.
    """

    def solve(inner: Taylor, u: Tensor) -> Tensor:
        total = term = u
        for _ in range(terms - 1):
            term = term - lr * (inner.hvp(term) + damping * term)
            total = total + term
        _warn_of_growth(u, term, lr)
        return lr * total

    return _implicit(problem, solve)


def cg(problem: Problem, *, steps: int, damping: float = 0.0) -> Tensor:
    """Solve (H + damping I) q = u by conjugate gradients, each step a product with H.

    They end early when the residual has fallen by 1e-12. H + damping I must be positive definite:
    a RuntimeWarning says when they met a direction where it is not, at which they stop. Sources:
    Pedregosa, Hyperparameter optimization with approximate gradient, 2016; Rajeswaran et al.,
    Meta-learning with implicit gradients, 2019.
    """

    def solve(inner: Taylor, u: Tensor) -> Tensor:
        solution = conjugate_gradients(lambda v: inner.hvp(v) + damping * v, u, steps)
        if solution.negative_curvature is not None:
            _warn(
                f"inner does not curve up at w in every direction, so CG stopped after "
                f"{len(solution.points) - 1} of {steps} steps: minimise inner further, or add "
                "damping"
            )
        return solution.x

    return _implicit(problem, solve)


def exact(problem: Problem, *, damping: float = 0.0) -> Tensor:
    """Form H, n^2 numbers from n products, and solve (H + damping I) q = u.

    For n up to a few thousand. H may be indefinite. Raises ValueError when H + damping I is
    singular.
    """

    def solve(inner: Taylor, u: Tensor) -> Tensor:
        q = -newton_direction(inner.hessian(), u, damping)
        if not q.isfinite().all():
            raise ValueError(
                f"the Hessian of inner with damping {damping} is singular: give more damping"
            )
        return q

    return _implicit(problem, solve)


def fixed_point(problem: Problem, *, steps: int, lr: float, momentum: float = 0.0) -> Tensor:
    """Backpropagate `steps` times through one step of gradient descent at w, kept as one graph.

    w is a fixed point of that step, so this is `reverse` started at the minimum, with the memory of
    one step; with no momentum it is `neumann` with as many terms. A RuntimeWarning says when what
    is added grew. Source: Grazzi et al., On the iteration complexity of hypergradient computation,
    2020, algorithm 2.
    """
    hyper = leaf(problem.hyper)
    before, after = graph_of_step(problem, start(problem, momentum), hyper, lr, momentum)
    w, *velocity = before
    u, direct = gradients(problem.outer(w, hyper), w, hyper)

    def pull(back: State, at: State) -> State:
        return torch.autograd.grad(after, at, back, retain_graph=True, materialize_grads=True)

    total = term = (u, *map(torch.zeros_like, velocity))
    for _ in range(steps - 1):
        term = pull(term, before)
        total = tuple(a + b for a, b in zip(total, term, strict=True))
    _warn_of_growth(u, term[0], lr)
    return direct + pull(total, (hyper,))[0]


def _implicit(problem: Problem, solve: Solve) -> Tensor:
    w, hyper = leaf(problem.w), leaf(problem.hyper)
    u, direct = gradients(problem.outer(w, hyper), w, hyper)
    q = solve(Taylor(lambda x: problem.inner(x, problem.hyper), problem.w), u)
    (slope,) = gradients(problem.inner(w, hyper), w, create_graph=True)
    return direct - gradients(slope @ q, hyper)[0]


def _warn_of_growth(first: Tensor, last: Tensor, lr: float) -> None:
    # I - lr H shrinks every vector when inner curves up and lr is small enough, and only then.
    if not last.norm() <= first.norm():
        _warn(f"the terms grow with lr {lr}: take a smaller one, or w is not at a minimum of inner")


def _warn(sentence: str) -> None:
    warnings.warn(sentence, RuntimeWarning, stacklevel=2)
