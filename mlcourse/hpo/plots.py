"""Figures of searches: how fast they find what they find, where they looked, and what mattered."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mlcourse.hpo import arguments
from mlcourse.hpo.comparison import bootstrap_interval
from mlcourse.hpo.history import SearchHistory
from mlcourse.hpo.importance import main_effects
from mlcourse.hpo.space import Choice, Parameter, Space
from mlcourse.plotting import COLOURS, INK, MARKERS, bars, line

Floats = NDArray[np.float64]

_PLACES, _DRAWS = 200, 1000
# Where a parallel-coordinates line runs for a parameter that does not exist, or a failed trial.
_ABSENT, _FAILED = -0.2, 1.2
# Words at an upright axis: ends over and under it, and choices where it does not cross them.
_ABOVE = {"ha": "center", "va": "bottom", "xytext": (0, 7)}
_BELOW = {"ha": "center", "va": "top", "xytext": (0, -7)}
_BESIDE = {"ha": "left", "va": "bottom", "xytext": (4, 2)}


def anytime(
    histories: Mapping[str, SearchHistory | Sequence[SearchHistory]],
    ylabel: str = "lowest value so far",
    level: float = 0.95,
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the best value so far against what was spent: the median over seeds, and its interval.

    `histories` are those of each method's seeds. Only values at the largest budget of all count,
    and those without a budget: those of shorter trainings do not compare, so a curve begins with
    the first full one. Spent are epochs if every trial has a budget, else evaluations. A search
    that ends before the others of its method keeps its best value. The band is a percentile
    bootstrap interval of the median at each place. Raises ValueError for anything but a dict of
    names, and when a method has no history or none at the largest budget.
    """
    if not histories or isinstance(histories, SearchHistory) or not isinstance(histories, Mapping):
        raise ValueError(
            "there are no histories with names: give a dict of names to a method's histories"
        )
    ax = ax or plt.gca()
    searches = {
        name: [given] if isinstance(given, SearchHistory) else list(given)
        for name, given in histories.items()
    }
    everything = [history for of_method in searches.values() for history in of_method]
    budgets = np.array([budget for history in everything for budget in history["budget"]])
    known = budgets[~np.isnan(budgets)]
    epochs = 0 < len(known) == len(budgets)
    largest = known.max(initial=0.0)
    for i, (name, of_method) in enumerate(searches.items()):
        curves = [_incumbents(history, largest, epochs) for history in of_method]
        if not any(np.isfinite(best).any() for _, best in curves):
            at = f" with {largest:g} epochs, the largest budget" if len(known) else ""
            raise ValueError(f"{name} has no value{at}: give it more trials, or leave it out")
        _draw_anytime(ax, name, i, curves, level, seed)
    ax.set(xlabel="epochs spent" if epochs else "evaluations", ylabel=ylabel)
    ax.legend(title=_caption([len(of_method) for of_method in searches.values()], level))
    return ax


def _incumbents(history: SearchHistory, largest: float, epochs: bool) -> tuple[Floats, Floats]:
    """Return what was spent after each trial, and the lowest value of a full trial up to there."""
    value = np.array(history["value"], dtype=np.float64)
    # A trial without a budget is as long as the objective makes it: a full one.
    value[np.array(history["budget"]) < largest] = math.inf
    spent = history["epochs"] if epochs else range(1, history.trials + 1)
    return np.array(spent, dtype=np.float64), np.minimum.accumulate(value)


def _draw_anytime(
    ax: Axes,
    name: str,
    i: int,
    curves: Sequence[tuple[Floats, Floats]],
    level: float,
    seed: int,
) -> None:
    places = np.unique(np.concatenate([spent for spent, _ in curves]))
    if len(places) > _PLACES:
        places = places[np.linspace(0, len(places) - 1, _PLACES).round().astype(int)]
    table = np.array([_at(places, spent, best) for spent, best in curves])
    middle = np.median(table, axis=0)
    shown = np.isfinite(middle)
    line(ax, places[shown], middle[shown], i, name)
    ax.lines[-1].set(drawstyle="steps-post")
    if len(curves) > 1:
        low, high = _band(table[:, shown], level, seed)
        look: dict[str, Any] = {"color": ax.lines[-1].get_color(), "alpha": 0.2, "linewidth": 0}
        high = np.where(np.isfinite(high), high, np.nan)
        ax.fill_between(places[shown], low, high, step="post", **look)


def _at(places: Floats, spent: Floats, best: Floats) -> Floats:
    """Return a search's best value at each place, infinite before its first."""
    return np.concatenate([[math.inf], best])[np.searchsorted(spent, places, side="right")]


def _band(table: Floats, level: float, seed: int) -> tuple[Floats, Floats]:
    """Return the ends of the interval in each column, in parts: all together need much memory."""
    parts = np.array_split(table, max(1, table.size // 2000), axis=1)
    ends = [bootstrap_interval(p, level=level, seed=seed, draws=_DRAWS) for p in parts]
    low, high = (np.concatenate(side) for side in zip(*ends, strict=True))
    return low, high


def _caption(counts: Sequence[int], level: float) -> str | None:
    if max(counts) == 1:
        return None
    fewest, most = min(counts), max(counts)
    seeds = f"{most}" if fewest == most else f"{fewest} to {most}"
    return f"median of {seeds} seeds,\n{100 * level:g} % interval"


def parallel_coordinates(
    history: SearchHistory,
    space: Space | Mapping[str, Any],
    share: float = 0.1,
    ylabel: str = "value",
    ax: Axes | None = None,
) -> Axes:
    """Draw each configuration as a line through its values, one upright axis a parameter.

    The last axis is the value, lowest at the bottom, failures above it. The best `share` of the
    trials is drawn strong, the best of all with markers. Only trials with the largest budget are
    drawn, for others do not compare. Raises ValueError when there are none, and for a share that is
    no number from 0 to 1.
    """
    space = Space.of(space)
    arguments.share("share", share)
    rows = sorted(history.full, key=lambda row: history["value"][row], reverse=True)
    if not rows:
        raise ValueError("the history has no trial: there is nothing to draw")
    ax = ax or plt.gca()
    values = np.array([history["value"][row] for row in rows])
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if len(finite) else (0.0, 0.0)
    strong = len(rows) - max(1, round(share * len(rows)))
    for i, (row, value) in enumerate(zip(rows, values, strict=True)):
        places = np.nan_to_num(space.encode(history["config"][row]), nan=_ABSENT)
        height = (value - low) / (high - low or 1.0) if np.isfinite(value) else _FAILED
        look: dict[str, Any] = {"color": INK, "linewidth": 0.8, "linestyle": "-", "alpha": 0.4}
        if i >= strong:
            look = {"color": COLOURS[1], "linewidth": 1.6, "linestyle": "-"}
        if i == len(rows) - 1:
            look |= {"linewidth": 3.0, "marker": MARKERS[0]}
        ax.plot([*places, height], **look)
    _scales(ax, space.parameters, (low, high), np.isfinite(values).all())
    ax.set_xticks(range(len(space.names) + 1), [*map(_title, space.parameters), ylabel])
    return ax


def _scales(
    ax: Axes, parameters: Sequence[Parameter], ends: tuple[float, float], all_finite: bool
) -> None:
    """Draw the upright axes, with the values at their ends, or of each choice."""
    for x, parameter in enumerate(parameters):
        values = parameter.levels(2)
        marks = {parameter.unit(value): _words(value) for value in values}
        _scale(ax, x, marks, beside=isinstance(parameter, Choice))
        if parameter.when:
            _mark(ax, x, _ABSENT, "absent")
    _scale(ax, len(parameters), {0.0: f"{ends[0]:.3g}", 1.0: f"{ends[1]:.3g}"})
    if not all_finite:
        _mark(ax, len(parameters), _FAILED, "failed")
    ax.set(xlim=(-0.3, len(parameters) + 0.3), yticks=[])
    ax.margins(y=0.12)
    ax.spines["left"].set_visible(False)
    ax.grid(False)


def _scale(ax: Axes, x: float, marks: Mapping[float, str], beside: bool = False) -> None:
    ax.plot([x, x], [0, 1], color=INK, linewidth=1.2, linestyle="-", zorder=0)
    for y, words in marks.items():
        _mark(ax, x, y, words, beside)


def _mark(ax: Axes, x: float, y: float, words: str, beside: bool = False) -> None:
    look: dict[str, Any] = _BESIDE if beside else _ABOVE if y >= 0.5 else _BELOW
    ax.annotate(words, (x, y), textcoords="offset points", fontsize=10, zorder=3, **look)


def _title(parameter: Parameter) -> str:
    return parameter.name + (
        "" if isinstance(parameter, Choice) or not parameter.log else "\n(log)"
    )


def _words(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def importance(
    history: SearchHistory,
    space: Space | Mapping[str, Any],
    seed: int = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw the share of the variance that each parameter explains alone, and their interactions.

    See `main_effects`, and its errors. The largest share comes first, interactions last.
    """
    found = main_effects(history, space, seed)
    ordered = sorted(found.main.items(), key=lambda item: -item[1])
    shares = {**dict(ordered), "(interactions)": found.interactions}
    return bars(shares, "share of the variance (no unit)", ax=ax, form="{:.2f}")
