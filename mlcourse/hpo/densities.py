"""Parzen densities on a search space: where configurations of some kind are found."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from mlcourse.hpo.space import Choice, Range, Space, Units

_NARROWEST = 0.01

# Above it an integer's share is so narrow that the density in its middle is as good as the mean.
_MOST_INTEGERS = 1_000_000


class Density:
    """A density on the unit cube: the mean of one kernel for each point, and of a uniform one.

    `points`, (n, d), are encoded configurations, nan for a parameter that does not exist. A kernel
    is a product over the parameters: a normal density around a number, cut off at the ends of
    [0, 1]; its mean over each integer's share; for a choice most of the mass on the same value, and
    the rest on all alike. Where a point lacks a parameter its kernel is uniform. The uniform kernel
    keeps every configuration possible. Without points the density is 1 everywhere. Source: Bergstra
    et al., Algorithms for hyper-parameter optimization, 2011, section 4.2; products of kernels as
    in Falkner et al., BOHB, 2018.
    """

    def __init__(self, space: Space, points: Units) -> None:
        self.space = space
        self.points = points
        self._kernels = [
            _Choices(parameter, points[:, j])
            if isinstance(parameter, Choice)
            else _Numbers(parameter, points[:, j])
            for j, parameter in enumerate(space.parameters)
        ]

    def log(self, points: Units) -> NDArray[np.float64]:
        """Return the logarithm of the density at points (m, d) of the unit cube: (m,).

        nan stands for a parameter that does not exist.
        """
        kernels = np.zeros((len(points), len(self.points)))
        for j, kernel in enumerate(self._kernels):
            log = kernel.log(points[:, j, None])
            kernels += np.where(np.isnan(log), 0.0, log)[:, kernel.which]
        # The uniform kernel's logarithm is 0. Without the largest, exp could overflow.
        top = kernels.max(axis=1, initial=0.0)
        total = np.exp(kernels - top[:, None]).sum(axis=1) + np.exp(-top)
        return top + np.log(total / (len(self.points) + 1))

    def sample(self, count: int, rng: np.random.Generator) -> Units:
        """Draw encoded configurations, (count, d): nan for a parameter that does not exist."""
        drawn = rng.random((count, len(self._kernels)))
        chosen = rng.integers(len(self.points) + 1, size=count)
        near = np.flatnonzero(chosen < len(self.points))  # the others follow the uniform kernel
        for j, kernel in enumerate(self._kernels):
            drawn[near, j] = kernel.near(chosen[near], drawn[near, j])
            drawn[:, j] = kernel.rounded(drawn[:, j])
        return self._existing(drawn)

    def _existing(self, points: Units) -> Units:
        parameters = self.space.parameters
        for j, parameter in enumerate(parameters):
            for name, values in parameter.when:
                i = self.space.names.index(name)
                allowed = [parameters[i].unit(value) for value in values]
                points[~np.isin(points[:, i], allowed), j] = np.nan
        return points


def bandwidth(units: Units) -> float:
    """Return the width of the normal kernels around n numbers in [0, 1], in widths of the range.

    It is Silverman's rule of thumb, 0.9 * spread * n^(-1/5), and at least 1/100. The spread is the
    standard deviation, where the uniform kernel counts as one number, of variance 1/12: so a few
    numbers that happen to lie together do not stop the search. Source: Silverman, Density
    estimation for statistics and data analysis, 1986, section 3.4.2.
    """
    n = len(units)
    if n == 0:
        return 1.0
    spread = math.sqrt((n * float(units.var()) + 1 / 12) / (n + 1))
    return max(0.9 * spread * n ** (-1 / 5), _NARROWEST)


class _Numbers:
    """Normal kernels around the values of a range, all equally wide."""

    def __init__(self, parameter: Range, centres: Units) -> None:
        self._parameter = parameter
        self._has_shares = parameter.integer and parameter.size <= _MOST_INTEGERS
        self._width = bandwidth(centres[~np.isnan(centres)])
        # Points that share a value share its kernel: the error function is what takes time.
        self._centres, self.which = np.unique(centres, return_inverse=True)
        self._start = _below(-self._centres / self._width)
        self._whole = _below((1 - self._centres) / self._width) - self._start

    def log(self, x: Units) -> Units:
        """Return each distinct kernel at numbers (m, 1): (m, k); nan where a value is missing."""
        if self._parameter.size == 1:
            return np.zeros((len(x), len(self._centres)))
        if self._has_shares:
            low, _, high = _shares(self._parameter, x)
            mass = _below((high - self._centres) / self._width)
            mass = mass - _below((low - self._centres) / self._width)
            with np.errstate(divide="ignore"):  # far from a centre the mass is 0
                return np.log(mass / self._whole / (high - low))
        scale = self._width * math.sqrt(2 * math.pi)
        return -0.5 * ((x - self._centres) / self._width) ** 2 - np.log(scale * self._whole)

    def near(self, kernels: NDArray[np.int64], uniform: Units) -> Units:
        """Return a draw from each kernel by the inverse of its distribution function."""
        at = self.which[kernels]
        below = torch.from_numpy(self._start[at] + uniform * self._whole[at])
        drawn = self._centres[at] + self._width * torch.special.ndtri(below).numpy()
        return np.where(np.isnan(drawn), uniform, np.clip(drawn, 0, 1))

    def rounded(self, x: Units) -> Units:
        if self._parameter.size == 1:
            return np.full_like(x, 0.5)
        return _shares(self._parameter, x)[1] if self._has_shares else x


class _Choices:
    """Kernels for a choice of k values: of n points' choices, each counts one more than seen.

    A kernel gives k / (n + k) of its mass to all values alike. So the mean of these kernels gives
    (c + 1) / (n + k) to a value that c points have.
    """

    def __init__(self, parameter: Choice, centres: Units) -> None:
        self._centres, self.which = np.unique(centres, return_inverse=True)
        self._count = len(parameter.choices)
        self._alike = self._count / (self._count + np.count_nonzero(~np.isnan(centres)))

    def log(self, x: Units) -> Units:
        """Return each distinct kernel at values (m, 1): (m, k); nan where a value is missing."""
        same = np.abs(x - self._centres) < 0.5 / self._count
        density = self._alike + (1 - self._alike) * self._count * same
        return np.where(np.isnan(x - self._centres), np.nan, np.log(density))

    def near(self, kernels: NDArray[np.int64], uniform: Units) -> Units:
        """Return a draw from each kernel: below `alike` a uniform number says which value."""
        centres = self._centres[self.which[kernels]]
        drawn = np.where(uniform < self._alike, uniform / self._alike, centres)
        return np.where(np.isnan(centres), uniform, drawn)

    def rounded(self, x: Units) -> Units:
        return (np.minimum(np.floor(x * self._count), self._count - 1) + 0.5) / self._count


def _shares(parameter: Range, x: Units) -> tuple[Units, Units, Units]:
    """Return the lower end, the value's place and the upper end of the integers' shares at x."""
    low, high = parameter.low - 0.5, parameter.high + 0.5
    if parameter.log:
        low, high = math.log(low), math.log(high)
    number = low + x * (high - low)
    number = np.floor((np.exp(number) if parameter.log else number) + 0.5)
    number = np.clip(number, parameter.low, parameter.high)
    ends = [number - 0.5, number, number + 0.5]
    lower, middle, upper = ((np.log(end) if parameter.log else end) - low for end in ends)
    return lower / (high - low), middle / (high - low), upper / (high - low)


def _below(x: Units) -> Units:
    """Return the mass of the standard normal density below x: NumPy has no error function."""
    return 0.5 + 0.5 * torch.erf(torch.from_numpy(np.asarray(x) / math.sqrt(2))).numpy()
