"""A cell drawn as a graph: its states on a line, and an arc for each operation."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import Circle, FancyArrowPatch

from mlcourse.nas.genotype import Gene, Genotype, Kind, check_genotype
from mlcourse.plotting import COLOURS, INK, LINES

#: The look of an operation's family; which one of it is meant is written on the arc.
_FAMILIES = ("skip", "sep", "dil", "max", "avg", "none")
#: An arc's height for each state that it passes.
_HEIGHT = 0.7
#: The distance of two states, and the radius of their circles.
_APART, _RADIUS = 1.6, 0.32


def draw(genotype: Genotype, kind: Kind = "normal", ax: Axes | None = None) -> Axes:
    """Draw the normal or the reduction cell of a genotype.

    On the left are the outputs of the cell before the last and of the last one, then the nodes in
    their order; an arc brings what its operation makes of a state to a node, which adds two such.
    Nodes that are not put out have dotted circles. Axes of 7 by 5 inches suit four nodes. Raises
    ValueError for a genotype whose cells do not fit together.
    """
    check_genotype(genotype)
    ax = ax or plt.gca()
    genes, concat = genotype.genes(kind), genotype.concat(kind)
    high = {1: 0.0, -1: 0.0}
    for (name, source), node, side in zip(genes, _nodes(genes), _sides(genes), strict=True):
        _arc(ax, source, node, name, side)
        high[side] = max(high[side], _height(node - source))
    labels = ["$c_{k-2}$", "$c_{k-1}$", *map(str, range(len(genes) // 2))]
    for state, label in enumerate(labels):
        x, line = state * _APART, "-" if state in concat else ":"
        if state >= 2:
            ax.add_patch(Circle((x, 0), _RADIUS, fill=False, edgecolor=INK, lw=2, ls=line))
        ax.text(x, 0, label, ha="center", va="center", fontsize=11)
    joined = ", ".join(str(state - 2) for state in concat)
    ax.text(
        _APART * (len(labels) - 0.6),
        0,
        f"$c_k$ joins\n{joined}",
        ha="left",
        va="center",
        fontsize=11,
    )
    ax.set(xlim=(-0.5, _APART * (len(labels) + 0.4)), ylim=(-high[-1] - 0.4, high[1] + 0.4))
    ax.set_aspect("equal")
    ax.axis("off")
    return ax


def _arc(ax: Axes, source: int, node: int, name: str, side: int) -> None:
    """Draw one operation above (side 1) or below (side -1) the states, with its name."""
    family = _FAMILIES.index(name.split("_")[0]) if name.split("_")[0] in _FAMILIES else -1
    look: dict[str, Any] = {"color": COLOURS[family], "linestyle": LINES[family], "linewidth": 1.8}
    ax.add_patch(
        FancyArrowPatch(
            (_APART * source, side * _RADIUS),
            (_APART * node, side * _RADIUS),
            connectionstyle=f"arc3,rad={-side * 2 * _HEIGHT / _APART}",
            arrowstyle="-|>",
            mutation_scale=11,
            shrinkA=0,
            shrinkB=2,
            **look,
        )
    )
    ax.text(
        _APART * (source + node) / 2,
        side * (_height(node - source) + 0.05),
        _short(name),
        ha="center",
        va="bottom" if side > 0 else "top",
        fontsize=10,
        color=COLOURS[family],
    )


def _height(passed: int) -> float:
    return _RADIUS + _HEIGHT * passed


def _short(name: str) -> str:
    """Return "sep 3x3" for "sep_conv_3x3", and "skip" for "skip_connect"."""
    words = name.split("_")
    return words[0] if words[0] in ("skip", "none") else f"{words[0]} {words[-1]}"


def _nodes(genes: Sequence[Gene]) -> list[int]:
    return [2 + i // 2 for i in range(len(genes))]


def _sides(genes: Sequence[Gene]) -> tuple[int, ...]:
    """Return for each gene whether it runs above (1) or below (-1), so that few arcs cross."""
    spans = [(source, node) for (_, source), node in zip(genes, _nodes(genes), strict=True)]

    def clashes(sides: tuple[int, ...]) -> float:
        together = [
            (one, other)
            for (one, a), (other, b) in combinations(zip(spans, sides, strict=True), 2)
            if a == b
        ]
        return sum(_clash(one, other) for one, other in together) + abs(sum(sides)) / 100

    return min(product((1, -1), repeat=len(spans)), key=clashes)


def _clash(one: tuple[int, int], other: tuple[int, int]) -> int:
    """Return 3 for equal arcs, 2 for arcs that cross, 1 for a name at another arc, else 0."""
    if one == other:
        return 3
    (a, b), (c, d) = sorted((one, other))
    if a < c < b < d:
        return 2
    return int(a == c or b == d)
