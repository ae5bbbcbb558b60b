"""Search tasks that cost nothing and whose best value is known, to compare methods on."""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mlcourse.hpo.space import Config, Units

# Hartmann's function: four wells, their depths, widths (6 each) and places.
_DEPTHS = np.array([1.0, 1.2, 3.0, 3.2])
_WIDTHS = np.array(
    [
        [10, 3, 17, 3.5, 1.7, 8],
        [0.05, 10, 17, 0.1, 8, 14],
        [3, 3.5, 1.7, 10, 17, 8],
        [17, 8, 0.05, 10, 0.1, 14],
    ]
)
_PLACES = np.array(
    [
        [0.1312, 0.1696, 0.5569, 0.0124, 0.8283, 0.5886],
        [0.2329, 0.4135, 0.8307, 0.3736, 0.1004, 0.9991],
        [0.2348, 0.1451, 0.3522, 0.2883, 0.3047, 0.6650],
        [0.4047, 0.8828, 0.8732, 0.5743, 0.1091, 0.0381],
    ]
)


@dataclass(frozen=True)
class Task:
    """A search space, the loss to minimise over it, and the lowest loss in that space.

    `loss(config, budget=None)` is exact without a budget; only a task with noise looks at it.
    `space` is a plain dict.
    """

    name: str
    space: dict[str, Any]
    loss: Callable[..., float]
    optimum: float

    def regret(self, config: Config) -> float:
        """Return how much the exact loss of a configuration is above the lowest one."""
        return self.loss(config) - self.optimum


def branin() -> Task:
    """Return Branin's function on a grid of 64 x 64 points, with three basins.

    `x1` and `x2`, integers 0 .. 63, stand for even steps over [-5, 10] and [0, 15]. The optimum is
    that of the grid, 0.4086, not that of the plane, 0.3979. Source: Dixon and Szego, Towards
    global optimisation 2, 1978.
    """
    space = {"x1": (0, 63), "x2": (0, 63)}
    return Task("branin", space, _branin, 0.40864356897751364)


def hartmann6() -> Task:
    """Return Hartmann's function of six variables on a grid of 20^6 points, with four wells.

    `x1` .. `x6`, integers 0 .. 19, stand for even steps over [0, 1]. The optimum is that of the
    grid, -3.2983, not that of the cube, -3.3224. Source: Dixon and Szego, 1978.
    """
    space = {f"x{i}": (0, 19) for i in range(1, 7)}
    return Task("hartmann6", space, _hartmann6, -3.298262762366394)


def counting_ones(seed: int = 0) -> Task:
    """Return "counting ones": four choices of 0 or 1 and the chances of four coins, all to be 1.

    The loss is minus the sum of the choices `a1` .. `a4` and of the shares of heads of the coins
    `p1` .. `p4`, each thrown `budget` times (the course uses 9 .. 243); without a budget the shares
    are the chances themselves. The optimum is -8. The throws depend on the seed, the configuration
    and the budget alone, so a value can be had again. The loss raises ValueError for a budget below
    1. Source: Falkner et al., BOHB, ICML 2018, section 5.
    """
    space: dict[str, Any] = {f"a{i}": [0, 1] for i in range(1, 5)}
    space |= {f"p{i}": (0.0, 1.0) for i in range(1, 5)}
    return Task("counting_ones", space, partial(_counting_ones, seed=seed), -8.0)


def _branin(config: Config, budget: float | None = None) -> float:
    x = -5 + 15 * float(config["x1"]) / 63  # type: ignore[arg-type]
    y = 15 * float(config["x2"]) / 63  # type: ignore[arg-type]
    bowl = y - 5.1 / (4 * math.pi**2) * x**2 + 5 / math.pi * x - 6
    return bowl**2 + 10 * (1 - 1 / (8 * math.pi)) * math.cos(x) + 10


def _hartmann6(config: Config, budget: float | None = None) -> float:
    x = np.array([config[f"x{i}"] for i in range(1, 7)], dtype=float) / 19
    return -float(_DEPTHS @ np.exp(-np.sum(_WIDTHS * (x - _PLACES) ** 2, axis=1)))


def _counting_ones(config: Config, budget: float | None = None, seed: int = 0) -> float:
    choices, chances = _values(config, "a"), _values(config, "p")
    if budget is None:
        return -float(choices.sum() + chances.sum())
    throws = round(budget)
    if throws < 1:
        raise ValueError(f"the budget is {budget}: throw the coins once or more")
    # A hash and not a running generator: the same in any order and in any process.
    mark = zlib.crc32(repr((choices.tolist(), chances.tolist(), throws)).encode())
    heads = np.random.default_rng([seed, mark]).binomial(throws, chances)
    return -float(choices.sum() + heads.sum() / throws)


def _values(config: Config, letter: str) -> Units:
    return np.array([config[name] for name in sorted(config) if name[0] == letter], dtype=float)
