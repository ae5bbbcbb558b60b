"""Draw book/_static/front.svg, the picture of the front page: `python -m mlcourse.book.front`.

The network of Part 1 (two inputs, four hidden units, two outputs) learns the circles; each panel
shows its probabilities on the plane at one moment of the training.
"""

from pathlib import Path

import matplotlib
import torch
from matplotlib.figure import Figure
from torch import Tensor

from mlcourse import data, mlp

FILE = Path(__file__).resolve().parents[2] / "book" / "_static" / "front.svg"
EPOCHS = (0, 30, 300)
_BLUE, _VERMILION, _GREY = "#0072b2", "#d55e00", "#808080"  # readable on white and on black
_LIMIT = 1.5


def draw(path: Path = FILE) -> None:
    """Train, draw one panel for each of EPOCHS, and write the picture as SVG."""
    matplotlib.rcParams["svg.hashsalt"] = "front"
    split = data.circles(seed=0)
    generator = torch.Generator().manual_seed(0)
    params = mlp.init_params(2, 4, 2, generator=generator)
    figure = Figure(figsize=(9, 3.3), layout="constrained")
    figure.patch.set_alpha(0)
    trained = 0
    for axes, epoch in zip(figure.subplots(1, len(EPOCHS)), EPOCHS, strict=True):
        params, _ = mlp.train(
            params, split.X_train, split.Y_train, 0.1, epoch - trained, 10, generator
        )
        trained = epoch
        _panel(axes, params, split)
        loss, accuracy = mlp.loss_accuracy(mlp.forward(params, split.X_test)[0], split.Y_test)
        axes.set_title(
            f"epoch {epoch}: loss {loss:.2f}, {accuracy:.0%} right", color=_GREY, fontsize=12
        )
    figure.savefig(path, metadata={"Date": None})


def _panel(axes: matplotlib.axes.Axes, params: dict[str, Tensor], split: data.Split) -> None:
    side = 101
    grid = data.grid(side, -_LIMIT, _LIMIT)
    inner = mlp.forward(params, grid)[0][:, 0].reshape(side, side).numpy()
    image = matplotlib.colors.to_rgba_array([_VERMILION, _BLUE])[(inner > 0.5).astype(int)]
    image[..., 3] = 0.08 + 0.34 * abs(2 * inner - 1)
    extent = (-_LIMIT, _LIMIT, -_LIMIT, _LIMIT)
    axes.imshow(image, extent=extent, origin="lower", interpolation="bilinear")
    axes.contour(inner, levels=[0.5], extent=extent, colors=_GREY, linewidths=1.5)
    for label, (colour, marker) in enumerate([(_BLUE, "o"), (_VERMILION, "^")]):
        x, y = split.X_train[split.Y_train[:, label] == 1].T
        axes.scatter(x, y, s=26, c=colour, marker=marker, edgecolors="white", linewidths=0.5)
    axes.set_aspect("equal")
    axes.set_axis_off()


if __name__ == "__main__":
    draw()
