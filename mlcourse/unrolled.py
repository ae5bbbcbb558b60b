"""Hypergradients through the steps of gradient descent that lead to the weights.

Descent starts at the problem's w, which does not depend on the hyper-parameters h: a step is
v <- momentum v + (gradient of inner), w <- w - lr v, with v = 0 before the first. What is
differentiated is outer at the last w: the hypergradient of the whole path, not of its limit.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from mlcourse.bilevel_problem import Problem, gradients, leaf

#: Weights (n,) and, with momentum, the velocity (n,).
State = tuple[Tensor, ...]

#: Hyper-parameters taken through the descent together in forward mode: more need more memory.
_TOGETHER = 256


def reverse(
    problem: Problem, *, steps: int, lr: float, momentum: float = 0.0, recompute: bool = False
) -> Tensor:
    """Backpropagate through all steps: two or three times their time, for any number m of h.

    The memory grows with `steps`, as every step's graph is kept. With `recompute` only its weights
    and velocity are, and the step is done again on the way back: three or four times the time, and
    inner must return the same the second time. Source: Franceschi et al., Forward and reverse
    gradient-based hyperparameter optimization, 2017, section 3.1.
    """
    return truncated(
        problem, steps=steps, lr=lr, momentum=momentum, keep=steps, recompute=recompute
    )


def truncated(
    problem: Problem,
    *,
    steps: int,
    lr: float,
    keep: int,
    momentum: float = 0.0,
    recompute: bool = False,
) -> Tensor:
    """Backpropagate through the last `keep` steps only, as if the w before them were a constant.

    The memory grows with `keep`; `recompute` as in `reverse`. Where inner is strongly convex near
    the last w, the error falls geometrically as `keep` grows. Source: Shaban et al., Truncated
    back-propagation for bilevel optimization, 2019, section 3.
    """
    _check_keep(keep, steps)
    state = _descend(_slope(problem), start(problem, momentum), steps - keep, lr, momentum)
    if recompute:
        return _recomputed(problem, state, keep, lr, momentum)
    hyper = leaf(problem.hyper)

    def slope(w: Tensor) -> Tensor:
        return gradients(problem.inner(w, hyper), w, create_graph=True)[0]

    w, *velocity = state
    w, *_ = _descend(slope, (leaf(w), *velocity), keep, lr, momentum)
    return gradients(problem.outer(w, hyper), hyper)[0]


def _recomputed(problem: Problem, state: State, steps: int, lr: float, momentum: float) -> Tensor:
    path = [state]
    for _ in range(steps):
        path.append(_descend(_slope(problem), path[-1], 1, lr, momentum))
    last, *velocity = path.pop()
    w, hyper = leaf(last), leaf(problem.hyper)
    u, total = gradients(problem.outer(w, hyper), w, hyper)
    back = [u, *map(torch.zeros_like, velocity)]
    while path:
        before, after = graph_of_step(problem, path.pop(), hyper, lr, momentum)
        *back, share = torch.autograd.grad(after, (*before, hyper), back, materialize_grads=True)
        total = total + share
    return total


def start(problem: Problem, momentum: float) -> State:
    """The problem's w and, with momentum, no velocity."""
    return (problem.w, torch.zeros_like(problem.w)) if momentum else (problem.w,)


def graph_of_step(
    problem: Problem, state: State, hyper: Tensor, lr: float, momentum: float
) -> tuple[State, State]:
    """Return the state before and after one step, with a graph from one to the other."""
    before = tuple(leaf(tensor) for tensor in state)
    (slope,) = gradients(problem.inner(before[0], hyper), before[0], create_graph=True)
    return before, _step(before, slope, lr, momentum)


def forward(problem: Problem, *, steps: int, lr: float, momentum: float = 0.0) -> Tensor:
    """Carry dw/dh (n, m) along with the steps: no step is kept, but the time grows with m.

    It gives what `reverse` gives. The losses must be written with operations that torch.func can
    map over. Source: Franceschi et al., 2017, section 3.2.
    """

    def last_outer(hyper: Tensor) -> Tensor:
        def slope(w: Tensor) -> Tensor:
            return grad(problem.inner)(w, hyper)

        w, *_ = _descend(slope, start(problem, momentum), steps, lr, momentum)
        return problem.outer(w, hyper)

    def along(direction: Tensor) -> Tensor:
        return jvp(last_outer, (problem.hyper,), (direction,))[1]

    directions = torch.eye(len(problem.hyper)).to(problem.hyper)
    with warnings.catch_warnings():
        # torch warns of its own code when its forward mode is first used.
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        return vmap(along, chunk_size=_TOGETHER)(directions)


def first_order(problem: Problem) -> Tensor:
    """Differentiate outer(w, h) with w as a constant: zero when outer has no h of its own.

    Source: Liu, Simonyan and Yang, DARTS, 2019, section 2.3 (xi = 0).
    """
    hyper = leaf(problem.hyper)
    return gradients(problem.outer(problem.w, hyper), hyper)[0]


def unrolled_step(problem: Problem, *, lr: float) -> Tensor:
    """Differentiate outer(w - lr (gradient of inner), h), exactly: `reverse` with one step.

    Source: Liu, Simonyan and Yang, 2019, equation 7, where lr is called xi.
    """
    return reverse(problem, steps=1, lr=lr)


def finite_difference(problem: Problem, *, lr: float) -> Tensor:
    """As `unrolled_step`, with the mixed derivative from a difference of two gradients in h.

    Those are taken at w + e u and w - e u, where u is the gradient of outer after the step, and
    e = 0.01 / |u|: no second derivatives are needed. Source: Liu, Simonyan and Yang, 2019,
    equation 8.
    """
    w, hyper = problem.w, leaf(problem.hyper)
    after = leaf(w - lr * _slope(problem)(w))
    u, direct = gradients(problem.outer(after, hyper), after, hyper)
    norm = u.norm()
    if norm == 0:
        return direct
    e = 0.01 / norm
    (above,) = gradients(problem.inner(w + e * u, hyper), hyper)
    (below,) = gradients(problem.inner(w - e * u, hyper), hyper)
    return direct - lr * (above - below) / (2 * e)


def _slope(problem: Problem) -> Callable[[Tensor], Tensor]:
    """The gradient of inner, without a graph."""

    def slope(w: Tensor) -> Tensor:
        here = leaf(w)
        return gradients(problem.inner(here, problem.hyper), here)[0]

    return slope


def _descend(
    slope: Callable[[Tensor], Tensor], state: State, steps: int, lr: float, momentum: float
) -> State:
    for _ in range(steps):
        state = _step(state, slope(state[0]), lr, momentum)
    return state


def _step(state: State, slope: Tensor, lr: float, momentum: float) -> State:
    if not momentum:
        return (state[0] - lr * slope,)
    w, velocity = state
    velocity = momentum * velocity + slope
    return w - lr * velocity, velocity


def _check_keep(keep: int, steps: int) -> None:
    if not 1 <= keep <= steps:
        raise ValueError(f"keep is {keep}: give a number of last steps, from 1 to steps, {steps}")
