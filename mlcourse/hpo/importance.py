"""Which hyper-parameters matter: the variance of a search's values, split among them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlcourse.hpo.history import SearchHistory
from mlcourse.hpo.space import Space

Floats = NDArray[np.float64]
# The corners (leaves, d) of boxes that fill the unit cube, and the value in each.
Boxes = tuple[Floats, Floats, Floats]

_TREES, _POINTS, _LEAST = 64, 2**13, 10


@dataclass(frozen=True)
class Importance:
    """Shares of the variance, from 0 to 1: of each parameter alone, and of all interactions."""

    main: dict[str, float]
    interactions: float


def main_effects(
    history: SearchHistory, space: Space | Mapping[str, Any], seed: int = 0
) -> Importance:
    """Return the share of the variance over the space that each parameter explains alone.

    A random forest learns the values from the configurations with the largest budget; then its
    prediction is split: the main effect of a parameter is the mean over all the others, as a
    function of this one; what main effects do not explain are interactions. Failed trials count as
    the worst finite value, parameters that do not exist as the middle of their range. The forest
    knows only where the search has been, so random search is the best start. Raises ValueError for
    fewer than 10 such trials or no finite value. Source: Hutter, Hoos and Leyton-Brown, An
    efficient approach for assessing hyperparameter importance, 2014; they split each tree and
    average, and we average the trees and split, which takes less noise for interactions.
    """
    from scipy.stats import qmc

    space = Space.of(space)
    forest = _forest(space, history, seed)
    total = forest.predict(qmc.Sobol(len(space.names), scramble=False).random(_POINTS)).var()
    if total < 1e-24:
        return Importance(dict.fromkeys(space.names, 0.0), 0.0)
    trees = [_boxes(tree.tree_, len(space.names)) for tree in forest.estimators_]
    main = {name: _variance(trees, j) / total for j, name in enumerate(space.names)}
    return Importance(main, max(0.0, 1 - sum(main.values())))


def _forest(space: Space, history: SearchHistory, seed: int) -> Any:
    from sklearn.ensemble import RandomForestRegressor

    rows = history.full
    if len(rows) < _LEAST:
        raise ValueError(
            f"the history has {len(rows)} trials with the largest budget: "
            f"the importance of parameters needs {_LEAST} or more"
        )
    values = np.array([history["value"][row] for row in rows])
    finite = np.isfinite(values)
    if not finite.any():
        raise ValueError(
            "no trial with the largest budget has a finite value: there is no variance"
        )
    points = np.array([space.encode(history["config"][row]) for row in rows])
    forest = RandomForestRegressor(_TREES, random_state=seed)
    return forest.fit(
        np.nan_to_num(points, nan=0.5), np.where(finite, values, values[finite].max())
    )


def _boxes(tree: Any, d: int) -> Boxes:
    """Return the boxes that a tree of scikit-learn cuts the unit cube into."""
    low, high = np.zeros((tree.node_count, d)), np.ones((tree.node_count, d))
    for node in range(tree.node_count):  # a node's children come after it
        left, right, j = tree.children_left[node], tree.children_right[node], tree.feature[node]
        if left != right:
            low[[left, right]], high[[left, right]] = low[node], high[node]
            high[left, j] = low[right, j] = tree.threshold[node]
    leaf = tree.children_left == tree.children_right
    return low[leaf], high[leaf], tree.value[leaf, 0, 0]


def _variance(trees: list[Boxes], j: int) -> float:
    """Return the variance of the trees' mean as a function of coordinate j alone."""
    ends = np.unique(
        np.concatenate([corner[:, j] for low, high, _ in trees for corner in (low, high)])
    )
    widths = np.diff(ends)
    # The function is constant between two ends: add up its steps.
    steps = np.zeros(len(ends))
    for low, high, value in trees:
        sides = high - low
        weight = value * np.delete(sides, j, axis=1).prod(axis=1)
        np.add.at(steps, np.searchsorted(ends, low[:, j]), weight)
        np.add.at(steps, np.searchsorted(ends, high[:, j]), -weight)
    effect = steps.cumsum()[:-1] / len(trees)
    return float(widths @ (effect - widths @ effect) ** 2)
