"""Softmax regression: the convex classifier that bilevel studies are fast and exact with.

Inputs X are (N, n_x), labels y (N,) class numbers. The weights and biases of all classes are one
vector w ((n_x + 1) * classes,), in rows of `classes` numbers, the biases last.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from mlcourse.second_order import lbfgs

CLASSES = 10


def scores(w: Tensor, X: Tensor) -> Tensor:
    """Return the logits (N, classes)."""
    W = w.view(X.shape[1] + 1, -1)
    return X @ W[:-1] + W[-1]


def losses(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """Return the cross-entropy of each example, (N,), in nats."""
    return F.cross_entropy(scores(w, X), y, reduction="none")


def accuracy(w: Tensor, X: Tensor, y: Tensor) -> float:
    """Return the share of the examples that get their label."""
    return (scores(w, X).argmax(dim=1) == y).double().mean().item()


def start(X: Tensor, classes: int = CLASSES) -> Tensor:
    """Return weights and biases that are all zero."""
    return X.new_zeros((X.shape[1] + 1) * classes)


def fit(X: Tensor, y: Tensor, decay: float, classes: int = CLASSES, steps: int = 200) -> Tensor:
    """Return the w that minimises (mean of the losses) + decay / 2 |w|^2, by L-BFGS.

    With a positive decay the loss is strongly convex: there is one minimum, from any start. Biases
    are penalised too. Raises ValueError when decay is not positive or there are no examples.
    """
    if not decay > 0:
        raise ValueError(f"decay is {decay}: give a positive number, so that there is a minimum")
    if not len(X):
        raise ValueError("there are no examples: give one or more")

    def loss(w: Tensor) -> Tensor:
        return losses(w, X, y).mean() + decay / 2 * w.square().sum()

    return lbfgs(loss, start(X, classes), steps, tolerance=1e-6).x
