"""Small classification tasks whose best possible accuracy is known: what faulty runs train on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mlcourse.data import digits


@dataclass(frozen=True)
class Task:
    """A task to draw examples from, with labels that are all right as far as anyone can tell.

    `draw(n, generator)` gives X (n, features) float32 and y (n,) class numbers. `posterior(X)`
    gives the true class probabilities (n, classes), or is None where nobody knows them; then the
    best accuracy is taken to be 1. `group(X)` (n,) numbers the kinds of examples of a class.
    """

    name: str
    classes: int
    draw: Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
    group: Callable[[Tensor], Tensor]
    posterior: Callable[[Tensor], Tensor] | None = None

    def best_accuracy(self, generator: torch.Generator) -> float:
        """Return the accuracy of the rule that knows the true probabilities (on 20,000 draws)."""
        if self.posterior is None:
            return 1.0
        X, _ = self.draw(20_000, generator)
        return float(self.posterior(X).max(1).values.mean())


def clusters(
    classes: int, features: int, each: int, spread: float, generator: torch.Generator
) -> Task:
    """Return a task with `each` Gaussian clusters a class, around centres drawn from N(0, I).

    Every cluster is equally likely and has the standard deviation `spread` in each of the
    features. The larger the spread, the more the classes overlap.
    """
    centres = torch.randn(classes * each, features, generator=generator)
    label = torch.arange(classes * each) % classes

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        which = torch.randint(len(centres), (n,), generator=generator)
        noise = torch.randn(n, features, generator=generator)
        return centres[which] + spread * noise, label[which]

    def posterior(X: Tensor) -> Tensor:
        share = (-torch.cdist(X, centres).square() / (2 * spread**2)).softmax(1)
        return torch.zeros(len(X), classes).index_add_(1, label, share)

    def group(X: Tensor) -> Tensor:
        return torch.cdist(X, centres).argmin(1) // classes

    return Task(f"{classes} classes of {each} clusters", classes, draw, group, posterior)


def rings(classes: int, noise: float) -> Task:
    """Return a task of points in the plane on rings of radius 1, 2, ..., a class each."""

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        y = torch.randint(classes, (n,), generator=generator)
        angle = 2 * torch.pi * torch.rand(n, generator=generator)
        radius = y + 1 + noise * torch.randn(n, generator=generator)
        # Divided by the mean radius, as inputs of order 1 are what default initialisation expects.
        points = torch.stack([radius * angle.cos(), radius * angle.sin()], 1)
        return points * 2 / (classes + 1), y

    def group(X: Tensor) -> Tensor:
        """Two halves of the plane."""
        return (X[:, 0] > 0).long()

    return Task(f"{classes} rings", classes, draw, group)


def handwritten_digits(seed: int) -> Task:
    """Return scikit-learn's digits, drawn without replacement: at most 1,797 in all."""
    parts = digits(seed)
    X = torch.cat([parts.X_train, parts.X_val, parts.X_test])
    y = torch.cat([parts.Y_train, parts.Y_val, parts.Y_test]).argmax(1)
    X = (X - X.mean()) / X.std()
    taken = 0

    def draw(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        nonlocal taken
        taken += n
        if taken > len(X):
            raise ValueError(f"{taken} digits were drawn and there are {len(X)}: draw fewer")
        return X[taken - n : taken], y[taken - n : taken]

    def group(X: Tensor) -> Tensor:
        """Light and heavy strokes."""
        ink = X.mean(1)
        return (ink > ink.median()).long()

    return Task("handwritten digits", 10, draw, group)
