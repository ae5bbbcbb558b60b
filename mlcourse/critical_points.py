"""Points where the gradient of f is zero, of any kind: minima, saddles and maxima."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mlcourse.curvature import Function, Taylor

#: A search ends when |g| fell by less than 1 % in so many steps.
_PATIENCE = 20


@dataclass(frozen=True)
class CriticalPoint:
    """Where a search for a critical point ended: look at `converged` before anything else.

    `point` (n,); `cost` f there; `gradient_norm` |g|; `eigenvalues` (n,) of the Hessian,
    ascending; `steps` that were taken; `reason` says in words why the search ended.
    """

    point: Tensor
    cost: float
    gradient_norm: float
    eigenvalues: Tensor
    steps: int
    converged: bool
    reason: str

    def index(self, flat: float = 1e-6) -> float:
        """Return the fraction of eigenvalues that are negative, in [0, 1].

        One within `flat` times the largest |eigenvalue| of zero counts as flat, not as negative:
        its sign may be rounding. Zero: a minimum (as far as the flat directions tell).
        """
        return self._fraction(self.eigenvalues < -flat * self._largest)

    def flat_fraction(self, flat: float = 1e-6) -> float:
        """Return the fraction of eigenvalues within `flat` times the largest of zero."""
        return self._fraction(self.eigenvalues.abs() <= flat * self._largest)

    @property
    def _largest(self) -> Tensor:
        return self.eigenvalues.abs().max()

    @staticmethod
    def _fraction(which: Tensor) -> float:
        return float(which.double().mean())


def find_critical_point(
    f: Function, x0: Tensor, steps: int = 200, tolerance: float = 1e-8
) -> CriticalPoint:
    """Look for a point near x0 (n,) where |g| <= tolerance, be it a minimum, a saddle or a maximum.

    Minimises |g|^2 / 2 by Levenberg and Marquardt: each step solves (H^2 + mu I) p = -H g, and mu
    shrinks or grows as |g| falls as expected or not. It forms H and its eigenvalues, so n is at
    most a few thousand. |g|^2 has minima of its own where H g is zero and g is not: a search that
    ends at one has *not* converged. f must have no critical point at infinity, where |g| falls
    for ever: a small multiple of |x|^2 in f sees to it. Raises ValueError for settings that are
    not positive. Sources: Nielsen, Damping parameter in Marquardt's method, 1999 (the rule for
    mu); Frye et al., Critical point-finding methods reveal gradient-flat regions of deep network
    losses, 2021.
    """
    if steps < 1 or not tolerance > 0:
        raise ValueError(
            f"steps is {steps} and tolerance {tolerance}: a search needs positive numbers"
        )
    search = _Search(f, x0)
    while not (reason := search.end(steps, tolerance)):
        search.step()
    return CriticalPoint(
        point=search.here.x,
        cost=search.here.value,
        gradient_norm=search.norms[-1],
        eigenvalues=search.eigenvalues,
        steps=len(search.norms) - 1,
        converged=search.norms[-1] <= tolerance,
        reason=reason,
    )


class _Search:
    """One search: f near the point, the eigenvalues of H there, and |g| at all points so far."""

    def __init__(self, f: Function, x0: Tensor) -> None:
        self.f, self.growth, self.stuck = f, 2.0, False
        self.norms: list[float] = []
        self._move(Taylor(f, x0))
        self.mu = 1e-3 * float(self.eigenvalues.square().max())

    def _move(self, here: Taylor) -> None:
        self.here = here
        self.eigenvalues, self.vectors = torch.linalg.eigh(here.hessian())
        self.norms.append(here.gradient_norm)

    def step(self) -> None:
        """Take the first step, of mu that grows, to a smaller |g|; without one it is stuck."""
        g = self.vectors.T @ self.here.gradient
        while True:
            p = -self.eigenvalues * g / (self.eigenvalues.square() + self.mu)
            x = self.here.x + self.vectors @ p
            if torch.equal(x, self.here.x):
                self.stuck = True
                return
            there = Taylor(self.f, x)
            expected = float(g.square().sum() - (g + self.eigenvalues * p).square().sum())
            gained = self.here.gradient_norm**2 - there.gradient_norm**2
            # Comparisons with nan are false: a step to where f is not defined is refused too.
            if gained > 0 and expected > 0:
                self.mu *= max(1 / 3, 1 - (2 * gained / expected - 1) ** 3)
                self.growth = 2.0
                self._move(there)
                return
            self.mu *= self.growth
            self.growth *= 2

    def end(self, steps: int, tolerance: float) -> str:
        """Say why the search ends here; nothing while it should go on."""
        norm = self.norms[-1]
        if norm <= tolerance:
            return f"|g| is {norm:.1e}"
        if self.stuck or self._stalls():
            return (
                f"|g| stays at {norm:.1e}, with |Hg| {self._flatness():.1e} times |H||g|: "
                "near a minimum of |g| where g is not zero"
            )
        return f"|g| is still {norm:.1e} after {steps} steps" if len(self.norms) > steps else ""

    def _stalls(self) -> bool:
        return len(self.norms) > _PATIENCE and self.norms[-1] > 0.99 * self.norms[-1 - _PATIENCE]

    def _flatness(self) -> float:
        g = self.vectors.T @ self.here.gradient
        return float((self.eigenvalues * g).norm() / (self.eigenvalues.abs().max() * g.norm()))
