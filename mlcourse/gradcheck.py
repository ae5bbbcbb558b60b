"""Compare an analytic gradient with central differences in float64."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan

import torch
from torch import Tensor

#: Upper end of each band of relative error, and what an error in it means.
BANDS = (
    (1e-7, "right", "as close as differences get on a smooth loss"),
    (1e-4, "plausible", "right if a kink such as ReLU's is near, else look again"),
    (1e-2, "suspect", "too large for rounding: a small term is probably wrong"),
    (float("inf"), "wrong", "the formula or the code is wrong"),
)


@dataclass(frozen=True)
class GradientCheck:
    """What a gradient check found: a relative error and its band for each parameter."""

    errors: dict[str, float]

    @property
    def worst(self) -> str:
        """The name of the parameter with the largest error; nan is larger than any."""
        return max(self.errors, key=lambda name: (isnan(self.errors[name]), self.errors[name]))

    @property
    def bands(self) -> dict[str, str]:
        """The band, `right` to `wrong`, of each parameter."""
        return {name: band(error) for name, error in self.errors.items()}

    def __str__(self) -> str:
        width = max(map(len, self.errors))
        return "\n".join(
            f"{name:{width}}  {error:7.1e}  {band(error)}" for name, error in self.errors.items()
        )


def band(error: float) -> str:
    """Return the name of the band that a relative error falls in; nan is `wrong`."""
    return next((name for top, name, _ in BANDS if error < top), "wrong")


def relative_error(got: Tensor, expected: Tensor) -> float:
    """Return ||got - expected|| / max(||got||, ||expected||), 0 when both are zero.

    Norms over the whole tensor, because single entries near zero are all rounding. It is 1 when
    one of the two is zero and 2 when one is minus the other. Raises ValueError when shapes differ.
    """
    if got.shape != expected.shape:
        raise ValueError(
            f"the gradient has shape {tuple(got.shape)} and its parameter "
            f"{tuple(expected.shape)}: they must be the same"
        )
    got, expected = got.double(), expected.double()
    size = torch.maximum(got.norm(), expected.norm())
    return float((got - expected).norm() / size) if size != 0 else 0.0


def numerical_gradient(f: Callable[[Tensor], Tensor | float], x: Tensor, step: float) -> Tensor:
    """Return the gradient of the number f(x), each entry (f(x + step e) - f(x - step e)) / 2 step.

    Costs 2 calls of f an entry. `f` gets float64 copies of x on its device; the result is float64.
    """
    x = x.detach().double().clone(memory_format=torch.contiguous_format)
    gradient = torch.empty_like(x)
    flat, result = x.view(-1), gradient.view(-1)
    for i in range(flat.numel()):
        value = flat[i].item()
        flat[i] = value + step
        above = float(f(x.clone()))
        flat[i] = value - step
        result[i] = (above - float(f(x.clone()))) / (2 * step)
        flat[i] = value
    return gradient


def gradient_check(
    loss: Callable[[dict[str, Tensor]], Tensor | float],
    params: Mapping[str, Tensor],
    grads: Mapping[str, Tensor],
    step: float = 1e-5,
) -> GradientCheck:
    """Compare `grads` with central differences of `loss` at `params`, one parameter at a time.

    `loss` takes a dict like `params`, in float64, and returns a number; 2 calls an entry. The
    default step is near the cube root of float64's rounding error, where truncation (step^2) and
    rounding (1/step) balance. Raises ValueError for a missing gradient or one of another shape.
    """
    if missing := sorted(set(params) - set(grads)):
        raise ValueError(f"no gradient for {', '.join(missing)}: give one for each parameter")
    exact = {name: value.detach().double() for name, value in params.items()}
    errors = {}
    for name, value in exact.items():

        def along(moved: Tensor, name: str = name) -> Tensor | float:
            return loss({**exact, name: moved})

        numbers = numerical_gradient(along, value, step)
        errors[name] = relative_error(grads[name].detach(), numbers)
    return GradientCheck(errors)
