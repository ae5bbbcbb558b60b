"""A small picture of a training's curves for the quiz: an SVG, and the same in numbers."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence

from mlcourse.curves import COLUMNS

#: The colours of `mlcourse.plotting`, which takes a second to import.
INK, BLUE, VERMILION = "#757575", "#0072B2", "#D55E00"
_WIDTH, _HEIGHT = 250, 150
_LEFT, _TOP, _BOTTOM = 34, 24, 30
#: Losses above this many times chance are cut off: what is below would be a flat line.
_CUT = 2.5
_LOOKS = (f'stroke="{BLUE}"', f'stroke="{VERMILION}" stroke-dasharray="6 3"')
_DOTTED = 'stroke-dasharray="1.5 3"'


def picture(
    history: Mapping[str, Sequence[float]], classes: int, ceiling: float, label: str
) -> str:
    """Return an `<img>`: losses with the level of chance, accuracies with the ceiling.

    `label` begins the text that stands for the picture; `in_words` is the rest.
    """
    chance = math.log(classes)
    losses, accuracies = (
        [history[f"{part}_{kind}"] for part in ("train", "validation")]
        for kind in ("loss", "accuracy")
    )
    finite = [value for column in losses for value in column if math.isfinite(value)]
    top = min(max([chance, *finite]), _CUT * chance)
    cut = f", cut off at {top:.1f}" if max(finite, default=0.0) > top else ""
    drawing = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * _WIDTH} {_HEIGHT + 18}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}">'
        + _panel(0, f"loss (nats){cut}", losses, top, chance)
        + _panel(_WIDTH, "accuracy", accuracies, 1.0, ceiling)
        + _legend()
        + "</svg>"
    )
    data = base64.b64encode(drawing.encode()).decode()
    words = html.escape(f"{label}: {in_words(history)}")
    return (
        f'<img src="data:image/svg+xml;base64,{data}" alt="{words}" '
        'style="width: 100%; max-width: 560px; height: auto; display: block;">'
    )


def in_words(history: Mapping[str, Sequence[float]]) -> str:
    """Say the four curves at five epochs, from the first to the last: numbers, no judgement."""
    epochs = len(history[COLUMNS[0]])
    shown = sorted({round(i * (epochs - 1) / 4) for i in range(5)})
    names = ", ".join(str(i + 1) for i in shown)
    parts = [
        f"{name.replace('_', ' ').replace('train ', 'training ')} "
        + ", ".join(f"{history[name][i]:.2f}" for i in shown)
        for name in COLUMNS
    ]
    return f"{epochs} epochs; at epochs {names}: {'; '.join(parts)}."


def _panel(
    x0: int, title: str, columns: Sequence[Sequence[float]], top: float, level: float
) -> str:
    """Two curves over the epochs and a level line, in a frame whose left edge is at x0."""
    epochs = len(columns[0])
    x1, x2, y1, y2 = x0 + _LEFT, x0 + _WIDTH - 10, _HEIGHT - _BOTTOM, _TOP

    def place(epoch: float, value: float) -> str:
        x = x1 + (x2 - x1) * (epoch - 1) / max(epochs - 1, 1)
        y = y1 + (y2 - y1) * min(value, top) / top
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<text x="{x1}" y="14">{title}</text>',
        f'<path d="M{x1},{y2}V{y1}H{x2}" fill="none" stroke="{INK}"/>',
        f'<text x="{(x1 + x2) // 2}" y="{_HEIGHT - 2}" text-anchor="middle">epoch</text>',
    ]
    for value in _ticks(top):
        y = place(1, value).split(",")[1]
        parts.append(
            f'<path d="M{x1},{y}H{x2}" stroke="{INK}" stroke-opacity=".25"/>'
            f'<text x="{x1 - 4}" y="{float(y) + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for epoch in (1, (epochs + 1) // 2, epochs):
        x = place(epoch, 0).split(",")[0]
        parts.append(f'<text x="{x}" y="{y1 + 14}" text-anchor="middle">{epoch}</text>')
    y = place(1, level).split(",")[1]
    parts.append(f'<path d="M{x1},{y}H{x2}" stroke="{INK}" stroke-width="2" {_DOTTED}/>')
    for column, look in zip(columns, _LOOKS, strict=True):
        known = [place(i, v) for i, v in enumerate(column, start=1) if math.isfinite(v)]
        parts.append(f'<polyline points="{" ".join(known)}" fill="none" stroke-width="2" {look}/>')
    return "".join(parts)


def _legend() -> str:
    looks = [*_LOOKS, f'stroke="{INK}" {_DOTTED}']
    names = ["training", "validation", "chance (loss), ceiling (accuracy)"]
    y, parts = _HEIGHT + 11, []
    for x, look, name in zip((_LEFT, 120, 220), looks, names, strict=True):
        parts.append(
            f'<path d="M{x},{y - 4}h24" stroke-width="2" {look}/>'
            f'<text x="{x + 29}" y="{y}">{name}</text>'
        )
    return "".join(parts)


def _ticks(top: float) -> list[float]:
    """Three to six round numbers from 0 to top."""
    rough = top / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= 0.999 * rough)
    return [round(i * step, 6) for i in range(int(top / step + 1e-9) + 1)]
