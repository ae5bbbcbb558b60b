"""Every figure style of the book in one place.

Figures have a transparent background and grey text, and read on white and, brightened by the
book's style sheet, on its dark page. Classes and curves differ in marker or line style as well as
in colour. Colours: M. Okabe and K. Ito, Color Universal Design, 2008.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import torch
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Circle, FancyArrowPatch
from matplotlib.typing import ColorType
from numpy.typing import ArrayLike
from torch import Tensor

#: What figures lie on in the book. No grey has a contrast of 4.5 on both, so the style sheet
#: (course.css) multiplies what is drawn by BRIGHTER on the dark page.
LIGHT, DARK, BRIGHTER = "#ffffff", "#121212", 1.3
#: Text, axes and reference lines: a contrast of 4.5 on both.
INK = "#757575"
#: Okabe-Ito; the first four have a contrast of 3 on both.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "^", "s", "D", "v", "P")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)))

Predict = Callable[[Tensor], Tensor]


def contrast(one: ColorType, other: ColorType) -> float:
    """Return the contrast ratio, 1 to 21, of two colours. Source: WCAG 2.2, relative luminance."""

    def luminance(colour: ColorType) -> float:
        parts = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def use_style() -> None:
    """Make every later matplotlib figure look like the book's; in a notebook, sharp ones."""
    mpl.rcParams.update(
        {
            "figure.facecolor": "none",
            "figure.constrained_layout.use": True,
            "figure.figsize": (6.0, 3.6),
            "savefig.facecolor": "none",
            "axes.facecolor": "none",
            "axes.edgecolor": INK,
            "axes.labelcolor": INK,
            "axes.titlecolor": INK,
            "axes.titlesize": 12,
            "axes.labelsize": 12,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "axes.axisbelow": True,
            "axes.prop_cycle": cycler(color=COLOURS) + cycler(linestyle=LINES),
            "grid.color": INK,
            "grid.alpha": 0.25,
            "text.color": INK,
            "xtick.color": INK,
            "ytick.color": INK,
            "xtick.labelsize": 11,
            "ytick.labelsize": 11,
            "legend.frameon": False,
            "legend.fontsize": 11,
            "lines.linewidth": 2.0,
            "lines.markersize": 6,
        }
    )
    ipython = sys.modules.get("IPython")
    if ipython is not None and ipython.get_ipython() is not None:
        from matplotlib_inline.backend_inline import set_matplotlib_formats

        set_matplotlib_formats("retina")


def figure(rows: int = 1, columns: int = 1, size: tuple[float, float] = (4.0, 3.4)) -> Any:
    """Return a figure and its axes (as plt.subplots does), each panel `size` inches large."""
    return plt.subplots(rows, columns, figsize=(columns * size[0], rows * size[1]))


def points(X: Tensor, Y: Tensor, ax: Axes | None = None) -> Axes:
    """Draw points of the plane X (N, 2), each with the colour and marker of its class in Y."""
    ax = ax or plt.gca()
    _scatter(X, Y, ax)
    _legend_outside(ax)
    return ax


def _scatter(X: Tensor, Y: Tensor, ax: Axes) -> None:
    X, labels = X.detach().cpu(), Y.argmax(dim=1).cpu()
    for k in range(Y.shape[1]):
        x1, x2 = X[labels == k].double().numpy().T
        look: dict[str, Any] = {"color": COLOURS[k], "marker": MARKERS[k], "label": f"class {k}"}
        ax.scatter(x1, x2, s=22, linewidths=0.6, edgecolors=LIGHT, **look)
    ax.set(xlabel="$x_1$", ylabel="$x_2$", aspect="equal")


def _legend_outside(ax: Axes) -> None:
    # Over a tinted background the grey of the text would lose contrast.
    ax.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0))


def decision_boundary(
    predict: Predict,
    X: Tensor,
    Y: Tensor,
    ax: Axes | None = None,
    limit: float = 1.5,
    side: int = 151,
) -> Axes:
    """Draw where `predict` changes its mind, over the square from -limit to limit, and points.

    `predict` maps points (M, 2) to class probabilities (M, n_y). The surer it is of a class, the
    fuller the colour; lines mark equal probabilities.
    """
    ax = ax or plt.gca()
    _boundary(predict, X, Y, ax, limit, side)
    _legend_outside(ax)
    return ax


def _boundary(predict: Predict, X: Tensor, Y: Tensor, ax: Axes, limit: float, side: int) -> None:
    from mlcourse.data import grid

    lattice = grid(side, -limit, limit, dtype=X.dtype).to(X.device)
    with torch.no_grad():
        scores = predict(lattice).double().cpu().numpy().reshape(side, side, -1)
    classes = scores.shape[2]
    sure = np.clip((scores.max(2) - 1 / classes) / (1 - 1 / classes), 0, 1)
    image = np.array([to_rgba(colour) for colour in COLOURS])[scores.argmax(2)]
    image[..., 3] = 0.08 + 0.32 * (sure * 16).round() / 16  # few tints make a small picture
    extent = (-limit, limit, -limit, limit)
    ax.imshow(image, origin="lower", extent=extent, interpolation="nearest", zorder=0)
    for k in range(classes if classes > 2 else 1):
        lead = scores[..., k] - np.delete(scores, k, axis=2).max(2)
        if lead.min() < 0 < lead.max():
            ax.contour(lead, [0.0], extent=extent, colors=INK, linewidths=1.8, origin="lower")
    _scatter(X, Y, ax)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit))
    ax.grid(False)


def decision_boundaries(
    predicts: Mapping[str, Predict], X: Tensor, Y: Tensor, columns: int = 4, limit: float = 1.5
) -> Figure:
    """Draw one small decision boundary for each title, for example "epoch 10", in reading order."""
    columns = min(columns, len(predicts))
    rows = -(-len(predicts) // columns)
    fig, axes = plt.subplots(
        rows, columns, figsize=(2.6 * columns, 2.9 * rows), squeeze=False, sharex=True, sharey=True
    )
    for ax, (title, predict) in zip(axes.flat, predicts.items(), strict=False):
        _boundary(predict, X, Y, ax, limit, side=101)
        ax.set_title(title)
        ax.label_outer()
    for ax in axes.flat[len(predicts) :]:
        ax.set_visible(False)
    fig.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=6)
    return fig


def curves(history: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the columns of a History against the epoch: losses left, accuracies right.

    Columns are recognised by the end of their names, `loss` and `accuracy`; others are left out.
    What comes before (train, val, test) has one colour and line style in both panels.
    Raises ValueError when there are none of these.
    """
    panels = {"loss": "loss (nats)", "accuracy": "accuracy (fraction)"}
    found = {end: [name for name in history if name.endswith(end)] for end in panels}
    shown = [end for end, names in found.items() if names]
    if not shown:
        raise ValueError(
            f"the history has the columns {', '.join(history) or '(none)'}: "
            "curves draws those whose names end in loss or accuracy"
        )
    parts = list(dict.fromkeys(name.removesuffix(end) for end in shown for name in found[end]))
    fig, axes = plt.subplots(1, len(shown), figsize=(4.4 * len(shown), 3.2), squeeze=False)
    for ax, end in zip(axes.flat, shown, strict=True):
        for name in found[end]:
            epochs, look = range(1, len(history[name]) + 1), parts.index(name.removesuffix(end))
            line(ax, epochs, history[name], look, name.replace("_", " "))
        ax.set(xlabel="epoch", ylabel=panels[end])
        ax.legend()
    return fig


def line(ax: Axes, x: ArrayLike, y: ArrayLike, i: int, label: str) -> None:
    """Draw curve number i in its colour, line style and marker, with about eight markers."""
    ax.plot(x, y, label=label, markevery=max(1, len(np.asarray(x)) // 8), **_look(i))


def _look(i: int) -> dict[str, Any]:
    # From the seventh curve on, the colours come again with other lines.
    place, again = i % len(COLOURS), i // len(COLOURS)
    return {
        "color": COLOURS[place],
        "linestyle": LINES[(place + again) % len(LINES)],
        "marker": MARKERS[place],
    }


def gradient_errors(errors: Mapping[str, float], ax: Axes | None = None) -> Axes:
    """Draw the relative errors of a gradient check, one a row, over the bands they fall in.

    `errors` maps a name to an error (GradientCheck.errors); errors below 1e-13 are drawn there.
    """
    from mlcourse.gradcheck import BANDS

    ax = ax or plt.gca()
    low, high = 1e-13, 10.0
    start = low / 2
    for i, (top, name, _) in enumerate(BANDS):
        end = min(top, high)
        ax.axvspan(start, end, color=INK, alpha=0.06 + 0.11 * i, linewidth=0)
        ax.text(np.sqrt(start * end), 1.02, name, transform=ax.get_xaxis_transform(), ha="center")
        start = end
    for row, error in enumerate(errors.values()):
        ax.plot(np.clip(error, low, high), row, color=COLOURS[0], marker="o", markersize=8)
    ax.set_xscale("log")
    ax.set_yticks(range(len(errors)), list(errors))
    ax.set(xlim=(low / 2, high), ylim=(len(errors) - 0.5, -0.5), xlabel="relative error (no unit)")
    ax.grid(False, axis="y")
    return ax


def activations(limit: float = 4.0) -> Figure:
    """Draw tanh, ReLU and sigmoid, and their derivatives, from -limit to limit."""
    x = np.linspace(-limit, limit, 401)
    sigmoid = 1 / (1 + np.exp(-x))
    functions = {
        "tanh": (np.tanh(x), 1 - np.tanh(x) ** 2),
        "ReLU": (np.maximum(x, 0), np.where(x == 0, np.nan, x > 0)),
        "sigmoid": (sigmoid, sigmoid * (1 - sigmoid)),
    }
    fig, axes = figure(1, 2, (4.4, 3.2))
    for i, (name, drawn) in enumerate(functions.items()):
        for ax, values in zip(axes, drawn, strict=True):
            line(ax, x, values, i, name)
    axes[0].set(xlabel="input", ylabel="activation", ylim=(-1.2, 2.2))
    axes[1].set(xlabel="input", ylabel="derivative", ylim=(-0.1, 1.15))
    axes[0].legend()
    return fig


def bars(
    values: Mapping[str, float],
    xlabel: str,
    ranges: Mapping[str, tuple[float, float]] | None = None,
    ax: Axes | None = None,
    form: str = "{:.3g}",
) -> Axes:
    """Draw one horizontal bar a name, its number beside it; `ranges` are the ends of error bars."""
    ax = ax or plt.gca()
    names, widths = list(values), np.array(list(values.values()))
    ends = widths
    ax.barh(names, widths, height=0.6, color=COLOURS[0])
    if ranges is not None:
        lows, highs = np.array([ranges[name] for name in names]).T
        ends = highs
        error = np.clip([widths - lows, highs - widths], 0, None)
        ax.errorbar(widths, names, xerr=error, fmt="none", ecolor=INK, capsize=4, linewidth=1.8)
    for row, (width, end) in enumerate(zip(widths, ends, strict=True)):
        ax.annotate(form.format(width), (end, row), (6, 0), textcoords="offset points", va="center")
    ax.invert_yaxis()
    ax.margins(x=0.15)
    ax.set(xlabel=xlabel, xlim=(0, None))
    ax.grid(False, axis="y")
    return ax


def trajectories(
    matrix: Tensor, paths: Mapping[str, Tensor], ax: Axes | None = None, limit: float = 2.0
) -> Axes:
    """Draw paths (T, 2) of a descent over the level lines of f(w) = w^T matrix w / 2.

    `matrix` is 2 by 2, positive definite; parts of a path outside -limit to limit are cut off.
    """
    ax = ax or plt.gca()
    ticks = torch.linspace(-limit, limit, 201, dtype=torch.float64)
    w2, w1 = torch.meshgrid(ticks, ticks, indexing="ij")
    w = torch.stack([w1, w2], dim=-1)
    heights = ((w @ matrix.detach().cpu().double()) * w).sum(-1) / 2
    levels = float(heights.max()) * np.linspace(0.05, 1, 9) ** 2
    ax.contour(w1, w2, heights, levels, colors=INK, linewidths=0.8, alpha=0.6)
    for i, (label, path) in enumerate(paths.items()):
        x, y = path.detach().cpu().double().numpy().T
        ax.plot(x, y, label=label, linewidth=1.6, markersize=4, **_look(i))
    ax.plot(0, 0, marker="*", markersize=13, color=INK)
    ax.set(xlim=(-limit, limit), ylim=(-limit, limit), xlabel="$w_1$", ylabel="$w_2$")
    ax.set_aspect("equal")
    ax.grid(False)
    _legend_outside(ax)
    return ax


def network(sizes: Sequence[int] = (2, 4, 2), ax: Axes | None = None) -> Axes:
    """Draw a network with one hidden layer: a circle for each unit, an arrow for each weight."""
    ax = ax or figure(size=(6.4, 3.6))[1]
    names, captions = ("x", "h", r"\hat{y}"), ("input", "hidden layer", "output")
    places = [
        [(2.6 * layer, (size - 1) / 2 - unit) for unit in range(size)]
        for layer, size in enumerate(sizes)
    ]
    top, bottom = max(sizes) / 2 + 0.35, -max(sizes) / 2 - 0.25
    for layer, units in enumerate(places):
        for unit, (x, y) in enumerate(units):
            ax.add_patch(Circle((x, y), 0.32, fill=False, edgecolor=COLOURS[layer], linewidth=2.2))
            label = f"${names[layer]}_{{{unit + 1}}}$"
            ax.text(x, y, label, ha="center", va="center", fontsize=13)
        caption = f"{captions[layer]}\n$n_{'xhy'[layer]} = {len(units)}$"
        ax.text(units[0][0], bottom, caption, ha="center", va="top")
    for layer, formula in ((1, r"$W_h,\ b_h$, tanh"), (2, r"$W_y,\ b_y$, softmax")):
        for x, y in places[layer - 1]:
            for end in places[layer]:
                arrow: dict[str, Any] = {"arrowstyle": "-|>", "mutation_scale": 10, "color": INK}
                ax.add_patch(FancyArrowPatch((x, y), end, shrinkA=16, shrinkB=16, **arrow))
        ax.text(2.6 * layer - 1.3, top, formula, ha="center", va="bottom")
    ax.set(xlim=(-0.8, 6.0), ylim=(bottom - 0.7, top + 0.4), aspect="equal")
    ax.axis("off")
    return ax


def images(X: Tensor, titles: Sequence[str], columns: int = 10) -> Figure:
    """Draw images as small pictures in rows, each with its title.

    X is (N, side * side) or (N, 1, H, W), grey and dark where the value is high, or
    (N, 3, H, W) in colour; values 0 to 1, or uint8. Raises ValueError for another shape.
    """
    if X.ndim != 2 and (X.ndim != 4 or X.shape[1] not in (1, 3)):
        raise ValueError(
            f"the images have shape {tuple(X.shape)}: "
            "give (N, side * side), (N, 1, H, W) or (N, 3, H, W)"
        )
    side = int(X.shape[1] ** 0.5)
    rows = -(-len(X) // columns)
    fig, axes = plt.subplots(rows, columns, figsize=(0.9 * columns, 1.2 * rows), squeeze=False)
    for ax in axes.flat:
        ax.axis("off")
    scale = 255 if X.dtype == torch.uint8 else 1
    pictures = X.detach().cpu().double() / scale
    pictures = pictures.reshape(-1, 1, side, side) if X.ndim == 2 else pictures
    for ax, picture, title in zip(axes.flat, pictures.movedim(1, -1).numpy(), titles, strict=False):
        ax.imshow(picture, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        ax.set_title(title)
    return fig
