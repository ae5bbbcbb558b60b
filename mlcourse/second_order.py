"""Newton, conjugate gradients and L-BFGS for functions of one vector, and what they cost.

f takes x (n,) and returns one number; `curvature.flat_loss` makes one of a network and its data.
A method stops when |g|, the norm of the gradient, is at most `tolerance`, after `steps` steps, or
where it cannot go on; `Trace.stopped` says which. Below, B is what a method takes for the
Hessian H, and p its direction.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mlcourse.curvature import (
    Function,
    Taylor,
    flat_loss,
    hessian,
    hessian_vector_product,
    load_flat,
)
from mlcourse.line_search import Step, backtrack, fixed_step, strong_wolfe

__all__ = [
    "Solution",
    "Trace",
    "conjugate_gradients",
    "flat_loss",
    "hessian",
    "hessian_vector_product",
    "lbfgs",
    "lbfgs_direction",
    "load_flat",
    "newton",
    "newton_cg",
    "newton_direction",
    "nonlinear_cg",
]

Move = Callable[[Taylor], Step]
Pair = tuple[Tensor, Tensor]


@dataclass
class Trace:
    """What a method did: the points (n,), f and |g| at each, from the start on, and the cost.

    `gradients` counts evaluations of f with its gradient and `hvps` products with the Hessian, n
    for a whole one. `costs` says what each point had cost when it was reached, in gradients, a
    product counted as two. `stopped` says in words why it ended.
    """

    points: list[Tensor] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    gradient_norms: list[float] = field(default_factory=list)
    costs: list[int] = field(default_factory=list)
    gradients: int = 0
    hvps: int = 0
    stopped: str = ""

    @property
    def x(self) -> Tensor:
        """The last point (n,)."""
        return self.points[-1]

    @property
    def path(self) -> Tensor:
        """All points, (steps + 1, n)."""
        return torch.stack(self.points)

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return len(self.points) - 1

    def record(self, here: Taylor) -> None:
        """Add a point."""
        self.points.append(here.x)
        self.values.append(here.value)
        self.gradient_norms.append(here.gradient_norm)
        self.costs.append(self.gradients + 2 * self.hvps)


def _minimise(f: Function, x0: Tensor, steps: int, tolerance: float, move: Move) -> Trace:
    if steps < 1:
        raise ValueError(f"steps is {steps}: take at least 1")
    here = Taylor(f, x0)
    trace = Trace(gradients=1)
    trace.record(here)
    while not (reason := _end(trace, steps, tolerance)):
        step = move(here)
        trace.hvps += here.products
        trace.gradients += step.gradients
        if step.problem:
            reason = step.problem
            break
        here = step.there
        trace.record(here)
    trace.stopped = reason
    return trace


def _end(trace: Trace, steps: int, tolerance: float) -> str:
    norm = trace.gradient_norms[-1]
    if norm <= tolerance:
        return f"|g| is {norm:.1e}"
    if not math.isfinite(trace.values[-1]) or not math.isfinite(norm):
        return "f or its gradient is not finite"
    return f"{steps} steps are done" if trace.steps == steps else ""


def newton(
    f: Function,
    x0: Tensor,
    steps: int,
    damping: float = 0.0,
    *,
    saddle_free: bool = False,
    line_search: bool = False,
    tolerance: float = 1e-10,
) -> Trace:
    """Minimise by Newton's method: p solves B p = -g with B = H + damping I, and x <- x + p.

    Where H has negative eigenvalues, B has them too unless damping is larger, and p then leads to
    any critical point near, a saddle as well as a minimum; `saddle_free` takes |H| for H, the
    same eigenvectors with the absolute eigenvalues, which goes down along each. With
    `line_search` p is halved until f falls enough, and the method stops where p does not go
    down. It also stops where B is singular. H is formed at each step: n up to a few thousand.
    Raises ValueError for steps below 1 or a negative damping. Source: Dauphin et al., Identifying
    and attacking the saddle point problem, 2014, section 5 (saddle-free).
    """
    if damping < 0:
        raise ValueError(f"damping is {damping}: give 0 or more")

    def move(here: Taylor) -> Step:
        p = newton_direction(here.hessian(), here.gradient, damping, saddle_free=saddle_free)
        if not p.isfinite().all():
            return Step(here, 0.0, 0, "H + damping I is singular: add damping")
        return backtrack(f, here, p) if line_search else fixed_step(f, here, p, 1.0)

    return _minimise(f, x0, steps, tolerance, move)


def newton_direction(
    H: Tensor, g: Tensor, damping: float = 0.0, *, saddle_free: bool = False
) -> Tensor:
    """Return p (n,) with B p = -g, where B is H + damping I, or |H| + damping I if saddle_free.

    H (n, n) is symmetric, g (n,). Where B is singular to rounding, p has numbers that are not
    finite.
    """
    eigenvalues, vectors = torch.linalg.eigh(H)
    of_b = (eigenvalues.abs() if saddle_free else eigenvalues) + damping
    rounding = len(g) * torch.finfo(H.dtype).eps * eigenvalues.abs().max()
    of_b = torch.where(of_b.abs() <= rounding, torch.nan, of_b)
    return -(vectors @ ((vectors.T @ g) / of_b))


@dataclass(frozen=True)
class Solution:
    """What conjugate gradients found: the points from zero on and |b - A x| at each.

    `negative_curvature` is a direction d with d . A d <= 0, on which they stopped because A is not
    positive definite; None where they met none.
    """

    points: list[Tensor]
    residuals: list[float]
    negative_curvature: Tensor | None

    @property
    def x(self) -> Tensor:
        """The last point (n,)."""
        return self.points[-1]


def conjugate_gradients(
    A: Tensor | Callable[[Tensor], Tensor],
    b: Tensor,
    steps: int | None = None,
    tolerance: float = 1e-12,
) -> Solution:
    """Solve A x = b for a symmetric positive definite A, from x = 0, with one product a step.

    A is a matrix (n, n) or a function that returns A v for v (n,); b is (n,). It stops when
    |b - A x| <= tolerance |b|, after `steps` (n if not given: exact but for rounding, which makes
    a large n need some more), or at a direction of zero or negative curvature. Raises ValueError
    when b is not a vector, or a matrix does not fit it. Source: Hestenes and Stiefel, Methods of
    conjugate gradients for solving linear systems, 1952.
    """
    if b.ndim != 1 or (isinstance(A, Tensor) and A.shape != (len(b), len(b))):
        shape = tuple(A.shape) if isinstance(A, Tensor) else "of a function"
        raise ValueError(f"A is {shape} and b {tuple(b.shape)}: give (n, n) and (n,)")
    x = torch.zeros_like(b)
    residual = b.clone()
    direction = residual
    square = float(residual @ residual)
    points, norms = [x], [math.sqrt(square)]
    for _ in range(len(b) if steps is None else steps):
        if norms[-1] <= tolerance * norms[0]:
            break
        product = A @ direction if isinstance(A, Tensor) else A(direction)
        curvature = float(direction @ product)
        if curvature <= 0:
            return Solution(points, norms, direction)
        length = square / curvature
        x = x + length * direction
        residual = residual - length * product
        square, before = float(residual @ residual), square
        direction = residual + square / before * direction
        points.append(x)
        norms.append(math.sqrt(square))
    return Solution(points, norms, None)


def newton_cg(f: Function, x0: Tensor, steps: int, tolerance: float = 1e-10) -> Trace:
    """Minimise by Newton's method without H: conjugate gradients solve H p = -g, and stop early.

    They stop when the residual is below min(1/2, sqrt|g|) |g|, so that far from the minimum a
    few products are enough, or at a direction of negative curvature: then p is what they have,
    or -g if that was the first direction. Both go down, and p is halved until f falls enough.
    Raises ValueError for steps below 1. Source: Nocedal and Wright, Numerical Optimization, 2006,
    algorithm 7.1.
    """

    def move(here: Taylor) -> Step:
        g = here.gradient
        enough = min(0.5, math.sqrt(here.gradient_norm))
        solution = conjugate_gradients(here.hvp, -g, tolerance=enough)
        return backtrack(f, here, -g if len(solution.points) == 1 else solution.x)

    return _minimise(f, x0, steps, tolerance, move)


def nonlinear_cg(f: Function, x0: Tensor, steps: int, tolerance: float = 1e-10) -> Trace:
    """Minimise by the conjugate gradients of Polak and Ribiere: p <- -g_new + beta p.

    beta = max(0, g_new . (g_new - g) / g . g), which starts again from -g_new when it is 0, as it
    does when p would not go down. The length minimises the quadratic of f along p, one product
    with H, where that has a minimum, and is then corrected to the strong Wolfe conditions with
    c2 = 0.1. On a quadratic with a positive definite H the points are those of
    `conjugate_gradients`. Raises ValueError for steps below 1. Source: Nocedal and Wright,
    Numerical Optimization, 2006, section 5.2 (PR+).
    """
    p = g_before = torch.empty(0)

    def move(here: Taylor) -> Step:
        nonlocal p, g_before
        g = here.gradient
        if len(p):
            beta = max(0.0, float(g @ (g - g_before)) / float(g_before @ g_before))
            p = -g + beta * p
        if not len(p) or not float(g @ p) < 0:
            p = -g
        g_before = g
        curvature = float(p @ here.hvp(p))
        length = -float(g @ p) / curvature if curvature > 0 else 1.0
        return strong_wolfe(f, here, p, length, c2=0.1)

    return _minimise(f, x0, steps, tolerance, move)


def lbfgs(
    f: Function,
    x0: Tensor,
    steps: int,
    memory: int = 10,
    *,
    lr: float = 1.0,
    line_search: bool = True,
    tolerance: float = 1e-10,
) -> Trace:
    """Minimise by L-BFGS: the last `memory` pairs of steps and gradient changes stand for H.

    A step has length lr, the first lr min(1, 1 / (sum of |g_i|)), for no pair says yet how far
    to go. With `line_search` that is only the first try for the strong Wolfe conditions with
    c2 = 0.9; without it steps are those of torch.optim.LBFGS. A pair (s, y) is kept when s . y is
    above 1e-10 |s| |y| (torch: above 1e-10), so that B stays positive definite. Raises ValueError
    for steps or memory below 1, or lr that is not positive. Source: Liu and Nocedal, On the
    limited memory BFGS method for large scale optimization, 1989.
    """
    if memory < 1 or not lr > 0:
        raise ValueError(f"memory is {memory} and lr {lr}: both must be positive")
    pairs: deque[Pair] = deque(maxlen=memory)

    def move(here: Taylor) -> Step:
        g = here.gradient
        p = lbfgs_direction(g, pairs)
        length = lr if pairs else lr * min(1.0, 1 / float(g.abs().sum()))
        if line_search:
            step = strong_wolfe(f, here, p, length, c2=0.9)
        else:
            step = fixed_step(f, here, p, length)
        s, y = step.length * p, step.there.gradient - g
        if float(s @ y) > 1e-10 * float(s.norm() * y.norm()):
            pairs.append((s, y))
        return step

    return _minimise(f, x0, steps, tolerance, move)


def lbfgs_direction(g: Tensor, pairs: Iterable[Pair]) -> Tensor:
    """Return p = -K g (n,), with K the inverse of B that BFGS makes of the pairs, oldest first.

    A pair is a step s (n,) and the change y (n,) of the gradient over it, with s . y positive. K
    starts as (s . y / y . y) I with the last pair (I without any) and becomes, pair by pair,
    (I - s y^T / s . y) K (I - y s^T / s . y) + s s^T / s . y; two loops over the pairs give K g
    without K. Source: Nocedal, Updating quasi-Newton matrices with limited storage, 1980.
    """
    pairs = list(pairs)
    q = -g
    shares = []
    for s, y in reversed(pairs):
        share = s @ q / (s @ y)
        shares.append(share)
        q = q - share * y
    if pairs:
        s, y = pairs[-1]
        q = q * (s @ y / (y @ y))
    for (s, y), share in zip(pairs, reversed(shares), strict=True):
        q = q + s * (share - y @ q / (s @ y))
    return q
