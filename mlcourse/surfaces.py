"""The classic surfaces that methods of minimisation are tried on, and the paths they take there.

A surface is a function of x (..., 2) that returns (...): one point or a whole grid at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

Point = tuple[float, float]


@dataclass(frozen=True)
class Surface:
    """A function of two numbers, its lowest points, a place to start, and the box to draw.

    Call it with x (..., 2). `minima` has every global minimum, none where f is not bounded below
    or has none; `saddles` the points to be wary of, where the gradient is zero as well. `box` is
    ((left, right), (bottom, top)).
    """

    name: str
    f: Callable[[Tensor, Tensor], Tensor]
    minima: tuple[Point, ...]
    saddles: tuple[Point, ...]
    start: Point
    box: tuple[tuple[float, float], tuple[float, float]]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the heights (...) at x (..., 2). Raises ValueError for another last size."""
        if x.shape[-1:] != (2,):
            raise ValueError(f"x has shape {tuple(x.shape)}: the last dimension must be 2")
        return self.f(*x.unbind(-1))

    def grid(self, points: int = 100) -> tuple[Tensor, Tensor, Tensor]:
        """Return x1, x2 and the heights, each (points, points), float64, row by row upwards."""
        sides = [torch.linspace(*side, points, dtype=torch.float64) for side in self.box]
        x1, x2 = torch.meshgrid(*sides, indexing="xy")
        return x1, x2, self(torch.stack([x1, x2], dim=-1))


def quadratic(condition: float = 10.0, angle: float = 0.0) -> Surface:
    """Return (a^2 + condition b^2) / 2, with a and b the axes turned left by `angle`, in radians.

    The Hessian has the eigenvalues 1 and condition. Raises ValueError for a condition below 1.
    """
    if not condition >= 1:
        raise ValueError(f"condition is {condition}: give 1 or more")
    c, s = math.cos(angle), math.sin(angle)

    def f(x1: Tensor, x2: Tensor) -> Tensor:
        return ((c * x1 + s * x2).square() + condition * (c * x2 - s * x1).square()) / 2

    return Surface("quadratic", f, ((0, 0),), (), (-1.8, 0.9), ((-2, 2), (-1.5, 1.5)))


def rosenbrock() -> Surface:
    """Return (1 - x1)^2 + 100 (x2 - x1^2)^2: a flat, bent valley. Source: Rosenbrock, 1960."""

    def f(x1: Tensor, x2: Tensor) -> Tensor:
        return (1 - x1).square() + 100 * (x2 - x1.square()).square()

    return Surface("Rosenbrock", f, ((1, 1),), (), (-1.2, 1.0), ((-2, 2), (-1, 3)))


def beale() -> Surface:
    """Return Beale's function: a sharp minimum at (3, 0.5), flat arms, steep corners.

    Source: Beale, On an iterative method for finding a local minimum, 1958.
    """

    def f(x1: Tensor, x2: Tensor) -> Tensor:
        terms = [value - x1 * (1 - x2**power) for power, value in ((1, 1.5), (2, 2.25), (3, 2.625))]
        return torch.stack([term.square() for term in terms]).sum(0)

    return Surface("Beale", f, ((3, 0.5),), ((0, 1),), (1.0, 1.5), ((-4.5, 4.5), (-4.5, 4.5)))


def himmelblau() -> Surface:
    """Return (x1^2 + x2 - 11)^2 + (x1 + x2^2 - 7)^2: four minima, all zero.

    Source: Himmelblau, Applied Nonlinear Programming, 1972.
    """

    def f(x1: Tensor, x2: Tensor) -> Tensor:
        return (x1.square() + x2 - 11).square() + (x1 + x2.square() - 7).square()

    minima = (
        (3.0, 2.0),
        (-2.805118086952745, 3.131312518250573),
        (-3.779310253377747, -3.283185991286170),
        (3.584428340330492, -1.848126526964404),
    )
    saddles = (
        (0.0866775045553963, 2.884254701174776),
        (-3.0730257507643897, -0.0813530442879675),
        (3.385154183607021, 0.0738518798377492),
        (-0.127961346730680, -1.9537149802445766),
    )
    return Surface("Himmelblau", f, minima, saddles, (0.5, -0.5), ((-5, 5), (-5, 5)))


def saddle() -> Surface:
    """Return (x1^2 - x2^2) / 2, whose gradient is zero at a point that is no minimum.

    The start is just beside the ridge x2 = 0, from which descent leaves slowly.
    """
    return Surface(
        "saddle",
        lambda x1, x2: (x1.square() - x2.square()) / 2,
        (),
        ((0, 0),),
        (-1.5, 1e-3),
        ((-2, 2), (-2, 2)),
    )


def monkey_saddle() -> Surface:
    """Return x1^3 - 3 x1 x2^2: at zero the Hessian is zero too, and three valleys go down."""
    return Surface(
        "monkey saddle",
        lambda x1, x2: x1**3 - 3 * x1 * x2.square(),
        (),
        ((0, 0),),
        (1.2, 0.1),
        ((-1.5, 1.5), (-1.5, 1.5)),
    )


def plateau() -> Surface:
    """Return 1 - exp(-|x|^2 / 2): a hole in a plain, where the gradient all but vanishes."""
    return Surface(
        "plateau",
        lambda x1, x2: 1 - torch.exp(-(x1.square() + x2.square()) / 2),
        ((0, 0),),
        (),
        (-3.2, 2.0),
        ((-5, 5), (-5, 5)),
    )


def cliff(height: float = 5.0, width: float = 0.2) -> Surface:
    """Return the bowl (x1^2 + x2^2) / 2 with a wall of `height`, from x1 = 1 to 1 + width.

    The wall is height t^2 (3 - 2 t) with t = (x1 - 1) / width, so its slope is at most
    1.5 height / width, and one plain step from there throws the point far away: what gradient
    clipping is for. Raises ValueError for a height or width that is not positive. After
    Goodfellow, Bengio and Courville, Deep Learning, 2016, figure 8.3.
    """
    if not (height > 0 and width > 0):
        raise ValueError(f"height is {height} and width {width}: both must be positive")

    def f(x1: Tensor, x2: Tensor) -> Tensor:
        t = ((x1 - 1) / width).clamp(0, 1)
        return (x1.square() + x2.square()) / 2 + height * t.square() * (3 - 2 * t)

    return Surface("cliff", f, ((0, 0),), (), (1.6, 1.5), ((-3, 3), (-3, 3)))


def trajectory(
    optimizer: Callable[[Iterable[Tensor]], torch.optim.Optimizer],
    surface: Callable[[Tensor], Tensor],
    start: Sequence[float],
    steps: int,
) -> tuple[Tensor, Tensor]:
    """Return the path of an optimiser from `start` on, (steps + 1, 2), and the heights there.

    `optimizer` makes one from a list of parameters, as `lambda p: torch.optim.SGD(p, lr=0.1)`
    does; one that calls its closure several times a step, such as LBFGS, is welcome. In float64.
    Points that diverge are returned as they are, infinite or nan. Raises ValueError for steps
    below 1 or a start that is not two numbers.
    """
    if steps < 1 or len(start) != 2:
        raise ValueError(f"steps is {steps} and start {tuple(start)}: give 1 or more, and a pair")
    x = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    stepper = optimizer([x])

    def closure() -> float:
        stepper.zero_grad()
        height = surface(x)
        height.backward()
        return float(height.detach())

    points = [x.detach().clone()]
    for _ in range(steps):
        stepper.step(closure)
        points.append(x.detach().clone())
    path = torch.stack(points)
    return path, surface(path)
