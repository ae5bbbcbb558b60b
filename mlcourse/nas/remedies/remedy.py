"""What a search asks of a remedy, and how a remedy sees a supernet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from mlcourse.nas.cells import MixedEdge
from mlcourse.nas.genotype import Kind
from mlcourse.nas.modes import evaluating, keeping_buffers
from mlcourse.training import History, Numbers


class Remedy:
    """A switch of a search: at each of these moments it may act; this one never does.

    A remedy has settings, but no state: what changes in a search is in the model's buffers or
    follows from the number of the epoch, so that a search continues from its checkpoint. Its
    `repr` says the settings. Remedies work together, and act in the order in which they are given.
    """

    def attach(self, model: Any, generator: torch.Generator | None) -> None:
        """Change a new model, once, before the search begins."""

    def begin_epoch(self, model: Any, epoch: int, epochs: int) -> None:
        """Act before an epoch, the first being 0, of so many."""

    def penalty(self, model: Any, alphas: dict[str, Tensor]) -> Tensor | float:
        """Return what is added to the validation loss, of architecture parameters by name."""
        return 0.0

    def record(self, model: Any) -> Numbers:
        """Return more columns of the history, after an epoch."""
        return {}

    def stop(self, history: History) -> bool:
        """Return whether the epoch that ends was the last."""
        return False


@torch.no_grad()
def strengths_by_kind(model: Any) -> dict[Kind, Tensor]:
    """Return the weights of all edges' operations as evaluation has them, (edges, operations)."""
    with evaluating(model.relaxation):
        return model.relaxed()  # type: ignore[no-any-return]


def edges_at(model: Any, kind: Kind, edge: int) -> list[MixedEdge]:
    """Return what an edge, a row of the architecture parameters, is in each cell of a kind."""
    places = [edges[edge] for edges in model.edges(kind)]
    return [part for place in places for part in place.modules() if isinstance(part, MixedEdge)]


@contextmanager
def batch_statistics(model: nn.Module) -> Iterator[None]:
    """Have a model evaluate, but with each batch's own statistics in batch norms.

    Those kept in training are wrong as soon as an operation is taken out. They stay as they are.
    """
    with evaluating(model), keeping_buffers(model):
        for part in model.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.train()
        yield
