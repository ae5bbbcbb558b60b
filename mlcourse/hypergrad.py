"""Hypergradients: how the loss of trained weights changes with what they were trained with.

The bilevel problem is to minimise outer(w*(h), h) over hyper-parameters h, where w*(h) minimises
inner(w, h) over weights w: penalties, weights of examples or an architecture for h, a training loss
for inner and a validation loss for outer. One function gives its gradient in ten ways, which
trade time, memory and error: `unrolled.py` goes back through the steps of gradient descent,
`implicit.py` uses that the gradient of inner is zero at its minimum.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mlcourse.bilevel_problem import Loss, Problem, Tensors, gradients, leaf
from mlcourse.implicit import cg, exact, fixed_point, neumann
from mlcourse.unrolled import (
    finite_difference,
    first_order,
    forward,
    reverse,
    truncated,
    unrolled_step,
)

__all__ = ["METHODS", "hypergradient", "inner_gradient_norm"]

#: The methods by name: functions whose docstrings say what each does and what it costs.
METHODS: dict[str, Callable[..., Tensor]] = {
    method.__name__: method
    for method in (
        reverse,
        forward,
        truncated,
        first_order,
        unrolled_step,
        finite_difference,
        neumann,
        cg,
        fixed_point,
        exact,
    )
}


def hypergradient(
    inner: Loss, outer: Loss, w: Tensors, hyper: Tensors, method: str, **options: Any
) -> Tensors:
    """Return the gradient of outer(w*(hyper), hyper) with respect to hyper, in hyper's structure.

    w and hyper are tensors of any shapes, or dicts (as torch.func.functional_call takes them),
    tuples or lists of tensors; inner(w, hyper) and outer(w, hyper) take them like that, and return
    one number (). Neither w nor hyper is changed. Methods and options:

    - w is where gradient descent starts: "forward" (steps, lr, momentum=0), "reverse" (also
      recompute=False: whether to save memory for time), "truncated" (also keep, the number of last
      steps), "unrolled_step" and "finite_difference" (one step, lr);
    - w is the minimum of inner, or taken for it: "neumann" (terms, lr, damping=0),
      "cg" (steps, damping=0), "fixed_point" (steps, lr, momentum=0), "exact" (damping=0), and
      `inner_gradient_norm` says how far that is from true;
    - w is a constant: "first_order".

    lr may not be learned this way, but with h * loss for inner and lr=1 a hyper-parameter h is the
    learning rate. Raises ValueError for another method, and options that are missing, unknown or
    out of range.
    """
    if method not in METHODS:
        raise ValueError(f"method is {method!r}: give one of {', '.join(METHODS)}")
    _check_names(method, options)
    for name, value in options.items():
        _CHECKS[name](name, value)
    problem = Problem(inner, outer, w, hyper)
    with torch.enable_grad():
        return problem.structured(METHODS[method](problem, **options).detach())


def inner_gradient_norm(inner: Loss, w: Tensors, hyper: Tensors) -> float:
    """Return the norm of the gradient of inner in w: zero at the minimum.

    With H the Hessian of inner there, w is about |H^-1 gradient| from the minimum: at most this
    norm divided by the smallest eigenvalue. Arguments as for `hypergradient`.
    """
    problem = Problem(inner, inner, w, hyper)
    with torch.enable_grad():
        here = leaf(problem.w)
        return float(gradients(problem.inner(here, problem.hyper), here)[0].norm())


def _check_names(method: str, options: dict[str, Any]) -> None:
    parameters = list(inspect.signature(METHODS[method]).parameters.values())[1:]
    known = ", ".join(p.name for p in parameters)
    for name in options:
        if name not in {p.name for p in parameters}:
            raise ValueError(
                f"{method} has no option {name!r}: "
                + (f"its options are {known}" if known else "it has none")
            )
    for p in parameters:
        if p.default is p.empty and p.name not in options:
            raise ValueError(f"{method} needs {p.name}: its options are {known}")


def _check_count(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} is {value}: give a whole number, 1 or more")


def _check_lr(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} is {value}: give a positive, finite number")


def _check_momentum(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} is {value}: give 0 or more, below 1")


def _check_damping(name: str, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value}: give 0 or a positive, finite number")


def _check_switch(name: str, value: bool) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} is {value}: give True or False")


_CHECKS: dict[str, Callable[[str, Any], None]] = {
    "steps": _check_count,
    "keep": _check_count,
    "terms": _check_count,
    "lr": _check_lr,
    "momentum": _check_momentum,
    "damping": _check_damping,
    "recompute": _check_switch,
}
