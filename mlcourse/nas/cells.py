"""Mixed edges and cells as the paper writes them: one sum over operations, one over inputs.

Source: Liu, Simonyan and Yang, DARTS: Differentiable architecture search, 2019, sections 2.1 and
2.2. Tensors are (N, C, H, W).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mlcourse.nas.operations import FactorizedReduction, Zero, operation, relu_conv_norm


class MixedEdge(nn.ModuleDict):
    """All candidate operations of one edge, by name; its output is their weighted sum.

    The batch norms have no scales, which would undo the weights, and pools are followed by one,
    as convolutions are. An operation can be replaced by another: `edge["skip_connect"] = ...`, and
    those named in `dropped` are left out of the sum.
    """

    def __init__(self, channels: int, stride: int, operations: Sequence[str]) -> None:
        super().__init__({name: self.candidate(name, channels, stride) for name in operations})
        self.channels, self.stride = channels, stride
        self.dropped: frozenset[str] = frozenset()

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Apply the edge to x (N, C, H, W), with one weight for each operation (operations,)."""
        weighted = zip(weights, self.items(), strict=True)
        parts = [w * op(x) for w, (name, op) in weighted if name not in self.dropped]
        return _sum(parts) if parts else Zero(self.stride)(x)

    def candidate(self, name: str, channels: int, stride: int) -> nn.Module:
        """Return the operation of that name."""
        op = operation(name, channels, stride, affine=False)
        if "pool" not in name:
            return op
        return nn.Sequential(op, nn.BatchNorm2d(channels, affine=False))


class Cell(nn.Module):
    """Two inputs, some nodes that each add what arrives on their edges, and all nodes' channels.

    The inputs are the outputs of the last two cells. Node i has an edge from both inputs and from
    each node before it; `edges` has them node by node, as `cell_edges`. In a reduction cell the
    edges from the inputs halve the images. The output has nodes * channels channels.
    """

    def __init__(self, shape: CellShape, nodes: int, operations: Sequence[str]) -> None:
        super().__init__()
        self.reduction = shape.reduction
        self.inputs = cell_inputs(shape, affine=False)
        self.nodes = nodes
        self.edges = nn.ModuleList(
            MixedEdge(shape.channels, edge_stride(shape, source), operations)
            for source, _ in cell_edges(nodes)
        )

    def forward(self, before_last: Tensor, last: Tensor, weights: Tensor) -> Tensor:
        """Apply the cell, with the weights (edges, operations) of the operations on its edges."""
        first, second = self.inputs
        states = [first(before_last), second(last)]
        edges = iter(zip(self.edges, weights, strict=True))
        for _ in range(self.nodes):
            # Each state so far takes the next edge.
            arriving = zip(states, edges, strict=False)
            states.append(_sum(edge(state, w) for state, (edge, w) in arriving))
        return torch.cat(states[2:], dim=1)


class CellShape(NamedTuple):
    """What a cell's place in the network says about it.

    `n_before_last` and `n_last` are the channels of its inputs, `channels` those of its nodes. The
    input from the cell before the last is halved when the last one, a reduction cell, did so.
    """

    n_before_last: int
    n_last: int
    channels: int
    reduction: bool
    after_reduction: bool


def cell_edges(nodes: int) -> list[tuple[int, int]]:
    """Return the edges (source, node) of a cell in their order: 0 and 1 are the cell's inputs."""
    return [(source, node) for node in range(2, 2 + nodes) for source in range(node)]


def cell_shapes(
    channels: int, layers: int, stem: int, outputs: tuple[int, int]
) -> Iterator[CellShape]:
    """Yield the shape of each of the network's cells.

    The cells after 1/3 and 2/3 of the layers are reduction cells, and double the channels. `stem`
    channels enter the first cell; `outputs` says how many nodes of a normal and of a reduction
    cell its output has. Raises ValueError for fewer than 3 layers.
    """
    if layers < 3:
        raise ValueError(
            f"layers is {layers}: give 3 or more, as two cells reduce and one is to be normal"
        )
    reductions = (layers // 3, 2 * layers // 3)
    n_before_last = n_last = stem
    for i in range(layers):
        reduction = i in reductions
        channels = 2 * channels if reduction else channels
        yield CellShape(n_before_last, n_last, channels, reduction, i - 1 in reductions)
        n_before_last, n_last = n_last, outputs[reduction] * channels


def cell_inputs(shape: CellShape, affine: bool) -> nn.ModuleList:
    """Return what gives both inputs of a cell its channels and one size."""
    first = FactorizedReduction if shape.after_reduction else relu_conv_norm
    return nn.ModuleList(
        [
            first(shape.n_before_last, shape.channels, affine),
            relu_conv_norm(shape.n_last, shape.channels, affine),
        ]
    )


def edge_stride(shape: CellShape, source: int) -> int:
    """Return 2 for an edge from an input of a reduction cell, else 1."""
    return 2 if shape.reduction and source < 2 else 1


def check_sizes(**sizes: int) -> None:
    """Raise ValueError for a size below 1."""
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}: give 1 or more")


def _sum(tensors: Iterable[Tensor]) -> Tensor:
    return reduce(torch.add, tensors)
