"""Choosing operations by what the supernet loses without them, and not by their strengths.

Source: Wang, Cheng, Chen, Tang and Hsieh, Rethinking architecture selection in differentiable NAS,
2021 (DARTS-PT), section 4 and algorithm 1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from mlcourse.nas.genotype import Kind
from mlcourse.nas.remedies.relaxations import Remaining
from mlcourse.nas.remedies.removal import Removal, drop_one, score, without
from mlcourse.nas.remedies.shrinking import leave_out
from mlcourse.training import Batches


def select_by_perturbation(
    model: Any,
    batches: Batches,
    tune: Callable[[Any], object],
    *,
    candidates: Sequence[str] | None = None,
    inputs: int | None = 2,
    generator: torch.Generator | None = None,
) -> list[Removal]:
    """Make a trained supernet discrete, in place, and return all removals that were tried.

    The edges take turns, in random order: the operation without which the accuracy on the
    held-out `batches` is lowest is kept (of equals, that with the higher loss), all others leave,
    and `tune(model)` trains the rest for a few epochs. Then each node in turn keeps those `inputs`
    edges without which the accuracy is lowest, or all with None. At the end `model.genotype()`
    names what is left. The candidates are all operations but "none" unless given.
    """
    remaining = Remaining.of(model)
    names = [name for name in model.operations if name != "none"]
    tried: list[Removal] = []
    for kind, edge in _shuffled(_edges(model), generator):
        removals = drop_one(model, batches, kind, edge, candidates or names)
        kept = _most_missed(removals).operation
        remaining.keep_only(kind, edge, [model.operations.index(kept)])
        tried += removals
        _train_what_is_left(model, tune)
    if inputs is not None:
        for kind, node in _shuffled(_nodes(model, inputs), generator):
            _keep_inputs(model, batches, kind, node, inputs)
            _train_what_is_left(model, tune)
    return tried


def _keep_inputs(model: Any, batches: Batches, kind: Kind, node: int, inputs: int) -> None:
    """Close a node's edges one after the other, always the one that is missed least."""
    edges = [edge for edge, to in enumerate(model.edge_nodes) if to == node]
    while len(edges) > inputs:
        removals = []
        for edge in edges:
            with without(model, kind, edge, model.operations):
                removals.append(Removal(kind, edge, "", *score(model, batches)))
        least = min(removals, key=lambda removal: (-removal.accuracy, removal.loss))
        edges.remove(least.edge)
        Remaining.of(model).keep_only(kind, least.edge, [])
        leave_out(model)


def _most_missed(removals: Sequence[Removal]) -> Removal:
    return max(removals, key=lambda removal: (-removal.accuracy, removal.loss))


def _train_what_is_left(model: Any, tune: Callable[[Any], object]) -> None:
    leave_out(model)
    tune(model)


def _edges(model: Any) -> list[tuple[Kind, int]]:
    return [(kind, edge) for kind in model.alpha_names for edge in range(len(model.edge_nodes))]


def _nodes(model: Any, inputs: int) -> list[tuple[Kind, int]]:
    """The nodes with more than so many inputs."""
    nodes = [n for n in dict.fromkeys(model.edge_nodes) if model.edge_nodes.count(n) > inputs]
    return [(kind, node) for kind in model.alpha_names for node in nodes]


def _shuffled(
    places: list[tuple[Kind, int]], generator: torch.Generator | None
) -> list[tuple[Kind, int]]:
    order = torch.randperm(len(places), generator=generator).tolist()
    return [places[i] for i in order]
