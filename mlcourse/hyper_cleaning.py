"""Data hyper-cleaning: a weight for each training example, tuned by the validation loss.

Some labels of the training examples are wrong, and nobody knows which; those of a few validation
examples are right. Source: Franceschi et al., Forward and reverse gradient-based hyperparameter
optimization, 2017, section 5.1 (by reverse mode, with projected weights instead of a sigmoid).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mlcourse import softmax_regression as softmax


def corrupted(
    labels: Tensor,
    share: float,
    generator: torch.Generator,
    classes: int = softmax.CLASSES,
    shift: int | None = None,
) -> tuple[Tensor, Tensor]:
    """Return labels (N,) of which a share is wrong, and which they are, bool (N,).

    The nearest whole number to share * N of the labels, drawn without replacement, are replaced by
    another class: any of them with equal chances, or, with `shift`, the class that is so many
    further on, the first after the last. Raises ValueError for a share outside [0, 1], or a shift
    that is no other class.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share is {share}: give a number from 0 to 1")
    if shift is not None and not 1 <= shift < classes:
        raise ValueError(f"shift is {shift}: give a whole number from 1 to {classes - 1}")
    bad = torch.zeros(len(labels), dtype=torch.bool)
    bad[torch.randperm(len(labels), generator=generator)[: round(share * len(labels))]] = True
    moves = torch.randint(1, classes, labels.shape, generator=generator)
    if shift is not None:
        moves = torch.full_like(moves, shift)
    bad, moves = bad.to(labels.device), moves.to(labels.device)
    return torch.where(bad, (labels + moves) % classes, labels), bad


@dataclass(frozen=True)
class Score:
    """How well the bad examples were found: shares of 1.

    `precision` of those found are bad, and `recall` of the bad are found; `f1` is their harmonic
    mean.
    """

    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """2 precision recall / (precision + recall), or 0 where both are 0."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def score(found: Tensor, bad: Tensor) -> Score:
    """Compare the examples that were found with the bad ones: both bool (N,).

    Precision is 0 when none were found. Raises ValueError when none are bad.
    """
    if not bad.any():
        raise ValueError("no example is bad: there is nothing to find")
    hits = int((found & bad).sum())
    return Score(hits / max(1, int(found.sum())), hits / int(bad.sum()))


@dataclass(frozen=True)
class Cleaning:
    """The bilevel problem: training examples X (N, n_x), y (N,), and validation examples.

    `weigh` makes the weights of the examples (N,) from the hyper-parameters: their sigmoid, so one
    for each, if it is not given. `decay` penalises the weights of the classifier.
    """

    X: Tensor
    y: Tensor
    X_val: Tensor
    y_val: Tensor
    decay: float = 1e-2
    weigh: Callable[[Tensor], Tensor] = torch.sigmoid

    def inner(self, w: Tensor, hyper: Tensor) -> Tensor:
        """The weighted training loss, sum of weight * loss over N, and the decay."""
        weighted = self.weigh(hyper) * softmax.losses(w, self.X, self.y)
        return weighted.mean() + self.decay / 2 * w.square().sum()

    def outer(self, w: Tensor, hyper: Tensor) -> Tensor:
        """The validation loss, which has no hyper-parameters of its own."""
        return softmax.losses(w, self.X_val, self.y_val).mean()

    def found(self, hyper: Tensor) -> Tensor:
        """The examples that are called bad, bool (N,): those with a weight below one half."""
        return self.weigh(hyper) < 0.5


def disagrees(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
    """Return which examples a classifier puts in another class than their label, bool (N,)."""
    return softmax.scores(w, X).argmax(dim=1) != y


def self_trained(
    X: Tensor, y: Tensor, X_val: Tensor, y_val: Tensor, decay: float, rounds: int = 5
) -> Tensor:
    """Return which examples (N,) are bad by a rule that needs no hypergradient.

    A classifier is trained on the validation examples; an example that disagrees with it is
    bad. Then, `rounds` times: train on the validation examples and those that are not bad, and ask
    again.
    """
    w = softmax.fit(X_val, y_val, decay)
    for _ in range(rounds):
        w = with_validation(X, y, X_val, y_val, ~disagrees(w, X, y), decay)
    return disagrees(w, X, y)


def with_validation(
    X: Tensor, y: Tensor, X_val: Tensor, y_val: Tensor, keep: Tensor, decay: float
) -> Tensor:
    """Return the classifier trained on the kept examples, bool (N,), and the validation ones."""
    return softmax.fit(torch.cat([X[keep], X_val]), torch.cat([y[keep], y_val]), decay)
