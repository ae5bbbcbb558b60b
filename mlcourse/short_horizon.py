"""Short-horizon bias, exact: learning rates for a quadratic whose minimum is seen through noise.

Each step of gradient descent sees sum of h_i (x_i - c_i)^2 / 2 with a fresh c_i from N(0, s_i^2).
The expected loss after any schedule of rates has a closed form, so that rates chosen for the next
step's loss can be compared with rates chosen for the last step's, without any randomness. Source:
Wu, Ren, Liao and Grosse, Understanding short-horizon bias in stochastic meta-optimization, 2018,
section 2.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mlcourse.second_order import lbfgs


class NoisyQuadratic:
    """Curvatures h (n,), noise s (n,) of the minimum as standard deviations, and a start x (n,).

    Raises ValueError unless h is positive, s is 0 or more, and the three have one shape (n,).
    """

    def __init__(self, curvature: Tensor, noise: Tensor, start: Tensor) -> None:
        shapes = [tuple(t.shape) for t in (curvature, noise, start)]
        if len(set(shapes)) > 1 or curvature.ndim != 1:
            raise ValueError(
                f"curvature, noise and start have the shapes {shapes[0]}, {shapes[1]} and "
                f"{shapes[2]}: give three vectors of one length"
            )
        if not (curvature > 0).all() or not (noise >= 0).all():
            raise ValueError(
                f"curvature is {curvature.tolist()} and noise {noise.tolist()}: "
                "give positive curvatures, and standard deviations, 0 or more"
            )
        self.curvature, self.noise, self.start = curvature, noise, start

    @property
    def floor(self) -> float:
        """The expected loss at x = 0, sum of h s^2 / 2: none is lower."""
        return float((self.curvature * self.noise**2).sum() / 2)

    def expected_losses(self, rates: Tensor) -> Tensor:
        """Return the expected loss before the first step and after each, (T + 1,), for rates (T,).

        A step multiplies E[x_i^2] by (1 - lr h_i)^2 and adds (lr h_i s_i)^2; the loss is sum of
        h_i (E[x_i^2] + s_i^2) / 2. Differentiable in the rates.
        """
        squares = [self.start**2]
        for lr in rates:
            squares.append(self._next(squares[-1], lr))
        return torch.stack([self._loss(square) for square in squares])

    def simulate(self, rates: Tensor, runs: int, generator: torch.Generator) -> Tensor:
        """Return the losses of some runs with drawn noise, (runs, T + 1), for rates (T,).

        Each is the mean over c of the loss at the run's x: what `expected_losses` averages over x.
        Raises ValueError for runs below 1.
        """
        if runs < 1:
            raise ValueError(f"runs is {runs}: give 1 or more")
        x = self.start.expand(runs, -1)
        losses = [self._loss(x**2)]
        for lr in rates:
            c = torch.randn(x.shape, generator=generator, dtype=x.dtype) * self.noise
            x = x - lr * self.curvature * (x - c)
            losses.append(self._loss(x**2))
        return torch.stack(losses, dim=1)

    def greedy_rates(self, steps: int) -> Tensor:
        """Return the rates (steps,) that each make the very next expected loss the lowest.

        lr = sum of h^2 e / sum of h^3 (e + s^2), with e = E[x^2] of the moment: directions of high
        curvature decide, and noise in them soon makes lr small, before the others have moved.
        Raises ValueError for steps below 1.
        """
        _check_steps(steps)
        h, square, rates = self.curvature, self.start**2, []
        for _ in range(steps):
            lr = (h**2 * square).sum() / (h**3 * (square + self.noise**2)).sum()
            square = self._next(square, lr)
            rates.append(lr)
        return torch.stack(rates)

    def best_rates(self, steps: int, iterations: int = 100) -> Tensor:
        """Return rates (steps,) below 2 / max h for the lowest expected loss at the end.

        That is the long horizon: a local minimum, by L-BFGS from the best constant rate. From
        2 / max h on a direction grows; without that limit the first rates are far above it, as
        the growth can be taken back later. Raises ValueError for steps below 1.
        """
        limit = 2 / self.curvature.max()
        share = (self.best_constant_rate(steps) / limit).clamp(max=0.9).expand(steps)
        trace = lbfgs(
            lambda x: self.expected_losses(limit * x.sigmoid())[-1], share.logit(), iterations
        )
        return limit * trace.x.sigmoid()

    def best_constant_rate(self, steps: int) -> Tensor:
        """Return the one rate () for the lowest expected loss after `steps`: the horizon.

        The lowest of 1,000 rates from 1e-4 / max h to 2 / min h, equally spaced in the logarithm.
        Raises ValueError for steps below 1.
        """
        _check_steps(steps)
        low, high = 1e-4 / self.curvature.max(), 2 / self.curvature.min()
        share = torch.linspace(0, 1, 1000, dtype=low.dtype)
        rates = low * (high / low) ** share
        # Rates that diverge can give infinity times zero.
        ends = self._loss(self._after(rates[:, None], steps)).nan_to_num(nan=torch.inf)
        return rates[ends.argmin()]

    def _loss(self, square: Tensor) -> Tensor:
        """The expected loss () or (...,) for E[x^2] (..., n)."""
        return (self.curvature * (square + self.noise**2)).sum(-1) / 2

    def _next(self, square: Tensor, lr: Tensor) -> Tensor:
        h = self.curvature
        return (1 - lr * h) ** 2 * square + (lr * h * self.noise) ** 2

    def _after(self, lr: Tensor, steps: int) -> Tensor:
        """E[x^2] after some steps of one rate: a geometric series with q = (1 - lr h)^2."""
        step = lr * self.curvature
        q = (1 - step) ** 2
        noise = (step * self.noise) ** 2 * (1 - q**steps) / (step * (2 - step))
        return q**steps * self.start**2 + noise


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ValueError(f"steps is {steps}: give 1 or more")
