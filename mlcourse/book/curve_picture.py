"""Small pictures of a training's curves for the quiz: SVGs, and the same in numbers."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Mapping, Sequence

#: The colours of `mlcourse.plotting`, which takes a second to import.
INK, BLUE, VERMILION = "#757575", "#0072B2", "#D55E00"
WIDTH, HEIGHT = 270, 168
LEFT, RIGHT, TOP, BOTTOM = 34, 10, 24, 48
#: Losses above this many times chance are cut off: what is below would be a flat line.
CUT = 2.5
_LOOKS = (f'stroke="{BLUE}"', f'stroke="{VERMILION}" stroke-dasharray="6 3"')
_LEVEL_LOOK = f'stroke="{INK}" stroke-dasharray="1.5 3"'

History = Mapping[str, Sequence[float]]


def pictures(history: History, classes: int, ceiling: float, label: str) -> str:
    """Return two `<img>`: losses with the level of chance, accuracies with the ceiling.

    They stand side by side where there is room. `label` begins the texts that stand for them.
    """
    chance = math.log(classes)
    losses, accuracies = _columns(history, "loss"), _columns(history, "accuracy")
    highest = max([chance, *(v for column in losses for v in column if math.isfinite(v))])
    top = min(highest, CUT * chance)
    title = "loss (nats)" + (f", cut off at {top:.1f}" if highest > top else "")
    return _image(
        _drawing(title, losses, top, chance, "chance"),
        f"{label}, loss: {in_words(history, 'loss')}",
    ) + _image(
        _drawing("accuracy", accuracies, 1.0, ceiling, "ceiling"),
        f"{label}, accuracy: {in_words(history, 'accuracy')}",
    )


def in_words(history: History, kind: str) -> str:
    """Say two curves at five epochs, from the first to the last: numbers, no judgement."""
    training, validation = _columns(history, kind)
    shown = sorted({round(i * (len(training) - 1) / 4) for i in range(5)})
    epochs = ", ".join(str(i + 1) for i in shown)
    said = [", ".join(f"{column[i]:.2f}" for i in shown) for column in (training, validation)]
    return f"at epochs {epochs}, training {said[0]}; validation {said[1]}."


def _columns(history: History, kind: str) -> list[Sequence[float]]:
    return [history[f"{part}_{kind}"] for part in ("train", "validation")]


def _image(drawing: str, text: str) -> str:
    data = base64.b64encode(drawing.encode()).decode()
    return (
        f'<img src="data:image/svg+xml;base64,{data}" alt="{html.escape(text)}" '
        f'style="width: {WIDTH}px; max-width: 100%; height: auto;">'
    )


def _drawing(
    title: str, columns: list[Sequence[float]], top: float, level: float, level_name: str
) -> str:
    """An SVG of two curves over the epochs, from 0 to `top`, and a dotted line at `level`."""
    epochs = len(columns[0])
    x1, x2, y1 = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM

    def x(epoch: int) -> float:
        return round(x1 + (x2 - x1) * (epoch - 1) / max(epochs - 1, 1), 1)

    def y(value: float) -> float:
        return round(y1 - (y1 - TOP) * min(value, top) / top, 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="11" fill="{INK}">',
        f'<text x="{x1}" y="14">{title}</text>',
        f'<path d="M{x1},{TOP}V{y1}H{x2}" fill="none" stroke="{INK}"/>',
        f'<text x="{(x1 + x2) // 2}" y="{y1 + 27}" text-anchor="middle">epoch</text>',
    ]
    for tick in _ticks(top):
        parts.append(
            f'<path d="M{x1},{y(tick)}H{x2}" stroke="{INK}" stroke-opacity=".25"/>'
            f'<text x="{x1 - 4}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    parts += [
        f'<text x="{x(epoch)}" y="{y1 + 14}" text-anchor="middle">{epoch}</text>'
        for epoch in (1, (epochs + 1) // 2, epochs)
    ]
    parts.append(f'<path d="M{x1},{y(level)}H{x2}" stroke-width="2" {_LEVEL_LOOK}/>')
    for column, look in zip(columns, _LOOKS, strict=True):
        known = [f"{x(i)},{y(v)}" for i, v in enumerate(column, 1) if math.isfinite(v)]
        parts.append(f'<polyline points="{" ".join(known)}" fill="none" stroke-width="2" {look}/>')
    return "".join([*parts, *_legend(level_name), "</svg>"])


def _legend(level_name: str) -> list[str]:
    names, looks = ("training", "validation", level_name), (*_LOOKS, _LEVEL_LOOK)
    return [
        f'<path d="M{start},{HEIGHT - 8}h20" stroke-width="2" {look}/>'
        f'<text x="{start + 25}" y="{HEIGHT - 4}">{name}</text>'
        for start, look, name in zip((LEFT, 110, 195), looks, names, strict=True)
    ]


def _ticks(top: float) -> list[float]:
    """Three to six round numbers from 0 to top."""
    rough = top / 4
    size = 10 ** math.floor(math.log10(rough))
    step = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= 0.999 * rough)
    return [round(i * step, 6) for i in range(int(top / step + 1e-9) + 1)]
