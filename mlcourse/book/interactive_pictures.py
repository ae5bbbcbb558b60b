"""The static pictures of the interactive figures, computed here by the formulas of their scripts.

Each is a PNG at the first settings of the sliders, which is what shows where no script runs.
After a change, draw them again: `python -m mlcourse.book.interactive_pictures`.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mlcourse import plotting, schedules
from mlcourse.book.interactive import (
    ANGLE,
    CURVATURES,
    DISTANCE,
    EPOCHS,
    FIGURES,
    FOLDER,
    SEED,
    START,
    UPDATES,
    game,
)

Values = Mapping[str, float]
Floats = NDArray[np.float64]


def bowl(kappa: float) -> Floats:
    """The Hessian (2, 2) of the bowl: curvature 1 along ANGLE, and kappa across it."""
    cos, sin = math.cos(ANGLE), math.sin(ANGLE)
    axes = np.array([[cos, -sin], [sin, cos]])
    hessian: Floats = axes @ np.diag([1.0, kappa]) @ axes.T
    return hessian


def descend(hessian: Floats, lr: float, alpha: float, steps: int) -> Floats:
    """The path (steps + 1, 2) of v <- alpha v - lr H w, w <- w + v, from START and v = 0."""
    w, v = np.array(START), np.zeros(2)
    path = [w]
    for _ in range(steps):
        v = alpha * v - lr * hessian @ w
        w = w + v
        path.append(w)
    return np.array(path)


def noise(count: int, seed: int = SEED) -> Floats:
    """`count` numbers of mean 0 and variance 1: sums of twelve uniform numbers, less 6.

    The generator is s <- 1664525 s + 1013904223 modulo 2^32, which a script repeats exactly.
    Source: D. Knuth, The Art of Computer Programming, volume 2, 3rd edition, section 3.3.4.
    """
    uniform = np.empty(12 * count)
    for i in range(12 * count):
        seed = (1664525 * seed + 1013904223) % 2**32
        uniform[i] = seed / 2**32
    sums: Floats = uniform.reshape(count, 12).sum(axis=1)
    return sums - 6


def train(rate: Callable[[float], float]) -> tuple[Floats, Floats]:
    """Rates (EPOCHS * UPDATES,) and distances (EPOCHS + 1,) of w <- w - lr (CURVATURES w + noise).

    `rate` maps the epoch, a fraction, to the learning rate.
    """
    curvatures = np.array(CURVATURES)
    rates = np.array([rate(update / UPDATES) for update in range(EPOCHS * UPDATES)])
    w = np.full(len(curvatures), DISTANCE / math.sqrt(len(curvatures)))
    distances = [DISTANCE]
    draws = noise(len(rates) * len(w)).reshape(len(rates), len(w))
    for update, (lr, draw) in enumerate(zip(rates, draws, strict=True), start=1):
        w = w - lr * (curvatures * w + draw)
        if update % UPDATES == 0:
            distances.append(float(np.linalg.norm(w)))
    return rates, np.array(distances)


def learning_rate(values: Values) -> bytes:
    """PNG of gradient descent at `lr` and `kappa`, its loss beside that of the best fixed rate."""
    kappa = values["kappa"]
    best = 2 / (1 + kappa)
    return _descents(
        kappa,
        {
            "this lr": descend(bowl(kappa), values["lr"], 0.0, 40),
            "lr = 2/(λ₁ + λ₂)": descend(bowl(kappa), best, 0.0, 40),
        },
    )


def momentum(values: Values) -> bytes:
    """PNG of the heavy ball at `lr`, `alpha` and `kappa`, its loss beside that without momentum."""
    kappa = values["kappa"]
    best = 2 / (1 + kappa)
    return _descents(
        kappa,
        {
            "with momentum": descend(bowl(kappa), values["lr"], values["alpha"], 80),
            "without, at its best lr": descend(bowl(kappa), best, 0.0, 80),
        },
    )


def _descents(kappa: float, paths: Mapping[str, Floats]) -> bytes:
    hessian = bowl(kappa)
    label, path = next(iter(paths.items()))

    def draw(left: Axes, right: Axes) -> None:
        plotting.trajectories(torch.tensor(hessian), {label: torch.tensor(path)}, left)
        left.legend().remove()
        left.set_title("Path on the level lines")
        for i, (name, points) in enumerate(paths.items()):
            losses = ((points @ hessian) * points).sum(axis=1) / 2
            plotting.line(right, range(len(losses)), losses, i, name)
        right.set(yscale="log", ylim=(1e-9, 1e5), xlabel="step", ylabel="loss (log scale)")
        right.set_title("Loss at each step")

    return _png(draw)


def step_schedule(values: Values) -> bytes:
    """PNG of the step schedule at `lr0`, `drop` and `epochs_drop`, and of its run."""
    lr0 = values["lr0"]
    runs = {
        "this schedule": train(schedules.step(lr0, values["drop"], values["epochs_drop"])),
        "constant": train(schedules.constant(lr0)),
    }

    def draw(left: Axes, right: Axes) -> None:
        for i, (name, (rates, distances)) in enumerate(runs.items()):
            plotting.line(left, np.arange(len(rates)) / UPDATES, rates, i, name)
            plotting.line(right, range(len(distances)), distances, i, name)
        left.set(ylim=(0, 1.1 * lr0), xlabel="epoch t", ylabel="learning rate")
        left.set_title("Learning rate")
        right.set(yscale="log", ylim=(1e-2, 20), xlabel="epoch t", ylabel="distance (log scale)")
        right.set_title("Distance to the minimum")

    return _png(draw)


def babysitting(values: Values) -> bytes:
    """PNG of every setting's accuracy, `lr` and `momentum` marked, and of random search's best."""
    stored, (lr, momentum) = game(), FIGURES["babysitting"].controls
    accuracy = np.array(stored["right"]) / stored["images"]
    counts = np.arange(1, stored["plays"] + 1)
    low, middle, high = (100 * best_of(accuracy, counts, share) for share in (0.1, 0.5, 0.9))

    def draw(left: Axes, right: Axes) -> None:
        sides = [
            np.linspace(c.low - c.step / 2, c.high + c.step / 2, c.positions + 1)
            for c in (lr, momentum)
        ]
        shades = np.zeros((*accuracy.shape[1::-1], 4))
        shades[..., :3] = mpl.colors.to_rgb(plotting.COLOURS[0])
        shades[..., 3] = accuracy.mean(axis=2).T ** 6
        left.pcolormesh(10 ** sides[0], sides[1], shades)
        left.axvline(values["lr"], color=plotting.INK, linestyle=":")
        left.axhline(values["momentum"], color=plotting.INK, linestyle=":")
        left.set(xscale="log", xlabel="learning rate lr", ylabel="momentum α")
        left.set_title("Accuracy: the fuller, the better")
        right.fill_between(counts, low, high, alpha=0.2, color=plotting.COLOURS[1], linewidth=0)
        plotting.line(right, counts, middle, 1, "median of random search")
        right.set(ylim=(70, 100), xlabel="trainings", ylabel="validation accuracy (%)")
        right.legend(loc="lower right")
        right.set_title("Best so far, and the middle 80 %")

    return _png(draw)


def best_of(values: Floats, counts: NDArray[np.int64], share: float) -> Floats:
    """The `share` quantile of the highest of n values that are drawn with replacement, for each n.

    All of them are at most v with the probability F(v)^n, F being the distribution of `values`.
    """
    values = np.sort(values, axis=None)
    place = np.ceil(len(values) * share ** (1 / counts)).astype(int)
    quantiles: Floats = values[place - 1]
    return quantiles


def _png(draw: Callable[[Axes, Axes], None]) -> bytes:
    """A figure with two panels that `draw` fills, in the book's style, as a PNG."""
    with mpl.rc_context():
        plotting.use_style()
        # Not through pyplot: a notebook would show the figure a second time.
        fig = Figure(figsize=(8.4, 3.7))
        left, right = fig.subplots(1, 2)
        draw(left, right)
        if right.get_legend() is None:
            right.legend()
        file = io.BytesIO()
        fig.savefig(file, format="png", dpi=100, metadata={"Software": None})
    return file.getvalue()


PICTURES = {
    "babysitting": babysitting,
    "learning_rate": learning_rate,
    "momentum": momentum,
    "schedules": step_schedule,
}


def draw_all() -> None:
    """Draw the picture of every interactive figure into its file."""
    for name, figure in FIGURES.items():
        (FOLDER / f"{name}.png").write_bytes(PICTURES[name](figure.values()))


if __name__ == "__main__":
    draw_all()
