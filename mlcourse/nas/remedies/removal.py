"""Taking one operation out of a trained supernet: what it is worth, now and after retraining.

Operations of one edge are trained together, so each does what the others leave to do. An operation
whose absence hurts at once, but no more when the others were trained without it, was only relied
on: that is co-adaptation.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mlcourse.nas.genotype import Kind
from mlcourse.nas.remedies.remedy import batch_statistics, edges_at
from mlcourse.training import Batches


class Removal(NamedTuple):
    """The model's mean cross-entropy `loss` and `accuracy` without an operation of an edge."""

    kind: Kind
    edge: int
    operation: str
    loss: float
    accuracy: float


class Score(NamedTuple):
    """The mean cross-entropy in nats, and the share of right answers."""

    loss: float
    accuracy: float


@torch.no_grad()
def score(model: Any, batches: Batches) -> Score:
    """Return loss and accuracy on batches, with their own statistics in batch norms.

    Nothing of the model changes. Raises ValueError when there are no batches.
    """
    sums, n = torch.zeros(2, dtype=torch.float64), 0
    with batch_statistics(model):
        for X, y in batches:
            logits = model(X)
            n += len(y)
            sums += torch.stack([_summed_loss(logits, y), (logits.argmax(1) == y).sum()]).cpu()
    if not n:
        raise ValueError("there are no batches: give at least one, in a list")
    return Score(*(sums / n).tolist())


@contextmanager
def without(model: Any, kind: Kind, edge: int, operations: Sequence[str]) -> Iterator[None]:
    """Have an edge, in all cells of a kind, without operations; others keep their weights."""
    places = edges_at(model, kind, edge)
    before = [place.dropped for place in places]
    for place in places:
        place.dropped |= set(operations)
    try:
        yield
    finally:
        for place, dropped in zip(places, before, strict=True):
            place.dropped = dropped


def drop_one(
    model: Any, batches: Batches, kind: Kind, edge: int, operations: Sequence[str]
) -> list[Removal]:
    """Return what the supernet is worth without each of these operations of an edge, at once.

    Nothing of the model changes.
    """
    removals = []
    for name in operations:
        with without(model, kind, edge, [name]):
            removals.append(Removal(kind, edge, name, *score(model, batches)))
    return removals


def retrain_one(
    model: Any,
    batches: Batches,
    kind: Kind,
    edge: int,
    operation: str,
    retrain: Callable[[Any], object],
) -> Removal:
    """Return what the supernet is worth without an operation after `retrain(model)` without it.

    What the training changes in the model's parameters and buffers is undone.
    """
    before = copy.deepcopy(model.state_dict())
    try:
        with without(model, kind, edge, [operation]):
            retrain(model)
            return Removal(kind, edge, operation, *score(model, batches))
    finally:
        model.load_state_dict(before)


def _summed_loss(logits: Tensor, y: Tensor) -> Tensor:
    return F.cross_entropy(logits, y, reduction="sum").double()
