"""How far to go along a direction: enough to make f smaller, and not so little that it is wasted.

With phi(t) = f(x + t p), a step t is *sufficient* (Armijo) where phi(t) <= phi(0) + c1 t phi'(0),
and meets the *strong Wolfe* conditions where also |phi'(t)| <= c2 |phi'(0)|.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mlcourse.curvature import Function, Taylor

_C1 = 1e-4
#: Halvings after which a step is too short to change anything in float64.
_TRIALS = 60


@dataclass(frozen=True)
class Step:
    """Where a step led: `there`, its `length` along the direction, and how many gradients it took.

    With a `problem` no step was found, and `there` is where it began.
    """

    there: Taylor
    length: float
    gradients: int
    problem: str = ""


def fixed_step(f: Function, here: Taylor, p: Tensor, length: float) -> Step:
    """Go `length` times p (n,) from here, whatever f is there."""
    return Step(Taylor(f, here.x + length * p), length, gradients=1)


def backtrack(f: Function, here: Taylor, p: Tensor, length: float = 1.0) -> Step:
    """Halve the length until it is sufficient, with c1 = 1e-4.

    p (n,) must go downhill from here; where it does not, the step has a problem that says so.
    Source: Armijo, Minimization of functions having Lipschitz continuous first partial
    derivatives, 1966.
    """
    slope = float(here.gradient @ p)
    if not slope < 0:
        return _uphill(here)
    for trial in range(1, _TRIALS + 1):
        step = fixed_step(f, here, p, length)
        if _sufficient(step, here, slope):
            return Step(step.there, length, trial)
        length /= 2
    return _nothing_lower(here)


def strong_wolfe(f: Function, here: Taylor, p: Tensor, length: float, c2: float) -> Step:
    """Find a length that meets the strong Wolfe conditions, with c1 = 1e-4 and c1 < c2 < 1.

    Doubles the length while phi still falls steeply, then halves the interval. phi falls
    steeply at its lower end, and at its upper end it rises steeply or is not sufficient, so a good
    length always lies between them. p (n,) as in `backtrack`; f must be bounded below along it.
    Source: Nocedal and Wright, Numerical Optimization, 2006, section 3.5 (with interpolation).
    """
    slope = float(here.gradient @ p)
    if not slope < 0:
        return _uphill(here)
    low, high = 0.0, float("inf")
    for trial in range(1, _TRIALS + 1):
        step = fixed_step(f, here, p, length)
        new_slope = float(step.there.gradient @ p)
        if not _sufficient(step, here, slope) or new_slope > -c2 * slope:
            high = length
        elif new_slope < c2 * slope:
            low = length
        else:
            return Step(step.there, length, trial)
        length = (low + high) / 2 if high < float("inf") else 2 * length
    return _nothing_lower(here)


def _sufficient(step: Step, here: Taylor, slope: float) -> bool:
    # Near a minimum f changes by less than its own rounding, which must not refuse a good step.
    rounding = 4 * torch.finfo(here.x.dtype).eps * abs(here.value)
    return step.there.value <= here.value + _C1 * step.length * slope + rounding


def _uphill(here: Taylor) -> Step:
    return Step(here, 0.0, 0, "the direction does not go downhill: add damping or use saddle_free")


def _nothing_lower(here: Taylor) -> Step:
    return Step(here, 0.0, _TRIALS, "the line search found no lower point")
