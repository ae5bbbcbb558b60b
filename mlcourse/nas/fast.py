"""The supernet again, quick on CPUs: the same function of the same parameters, computed otherwise.

The naive form of `cells.py` asks each edge for each of its operations. A profile says what takes
its time, and this form does something about each:

- backward passes of depthwise convolutions, half of the time: `fast_depthwise`;
- the same work again and again. Edges that leave a node share what they can: pools and their batch
  norms, which are equal where norms have no scales, are computed once, and the filters of one size
  of all these edges become one bank of filters;
- batch norms, 1x1 convolutions and sums, which each read and write whole images: `fast_norm` makes
  one product of matrices of the three.

Images are (N, H, W, C) in memory, channels last: pixels are the rows of matrices.
"""

from __future__ import annotations

import copy
import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlcourse.nas.cells import Cell, MixedEdge, cell_edges
from mlcourse.nas.fast_depthwise import depthwise
from mlcourse.nas.fast_norm import (
    RunningStatistics,
    add_normalised,
    normalised_relu,
    standardised,
)
from mlcourse.nas.operations import FactorizedReduction
from mlcourse.nas.supernet import Supernet


class FastSupernet(Supernet):
    """A Supernet whose training mode is computed fast; evaluation mode is the naive form's.

    Made with the arguments of a Supernet, or of one by `fast`. Parameters, buffers and their names
    are the same, and so are outputs, gradients of any order and running statistics, up to rounding.
    An operation that is replaced by another module is called as it is, in the whole cell; a cell
    with other edges, or with operations dropped, takes the naive form. Hooks of operations are not
    called.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, classes) of images x (N, colours, H, W)."""
        if not self.training:
            return super().forward(x)
        mixing = self.mixing()
        before_last = last = self.stem(x.contiguous(memory_format=torch.channels_last))
        cell: Any
        for cell in self.cells:
            weights = mixing.reduce if cell.reduction else mixing.normal
            if _is_plain(cell):
                output = cell_forward(cell, before_last, last, weights)
            else:
                output = cell(before_last, last, weights)
            before_last, last = last, output
        return self.classifier(last.mean(dim=(2, 3)))


def _is_plain(cell: Cell) -> bool:
    """Whether each edge is the sum of all its operations, on all channels, as the paper has it."""
    return all(type(edge) is MixedEdge and not edge.dropped for edge in cell.edges)


def fast(supernet: Supernet) -> FastSupernet:
    """Return the fast form of a supernet: it has the same modules, and so the same parameters."""
    shared = copy.copy(supernet)
    shared.__class__ = FastSupernet
    return shared  # type: ignore[return-value]


def cell_forward(cell: Cell, before_last: Tensor, last: Tensor, weights: Tensor) -> Tensor:
    """Do what cell(before_last, last, weights) does, for all edges together that leave a node."""
    first, second = cell.inputs
    states = [_pixels(first(before_last)), _pixels(second(last))]
    usual = _usual_operations(cell, channels=states[0].shape[3])
    statistics = RunningStatistics()
    ends = cell_edges(cell.nodes)
    arriving: list[list[Tensor]] = [[] for _ in range(2 + cell.nodes)]
    for source in range(1 + cell.nodes):
        if source >= 2:
            states.append(_sum(arriving[source]))
        leaving = [i for i, (start, _) in enumerate(ends) if start == source]
        edges = [cell.edges[i] for i in leaving]
        fan = _Fan(states[source], edges, weights[leaving], _stride(cell, source), statistics)
        for i, image in zip(leaving, fan.outputs(usual), strict=True):
            arriving[ends[i][1]].append(image)
    states.append(_sum(arriving[-1]))
    statistics.update()
    return _images(torch.cat(states[2:], dim=3))


class _Fan:
    """The edges that leave a node with pixels x (N, H, W, C), and weights (edges, operations)."""

    def __init__(
        self,
        x: Tensor,
        edges: Sequence[Any],
        weights: Tensor,
        stride: int,
        statistics: RunningStatistics,
    ) -> None:
        self.x, self.edges, self.stride, self.statistics = x, edges, stride, statistics
        self.weights = dict(zip(edges[0], weights.unbind(1), strict=True))
        N, H, W, C = x.shape
        self.shape = torch.Size([len(edges), N, -(-H // stride), -(-W // stride), C])
        self.active = x.relu()

    def outputs(self, usual: frozenset[str]) -> Tensor:
        """Return what the edges add to their ends, (edges, N, H', W', C)."""
        names = [name for name in self.weights if name in usual and name != "none"]
        shared = [name for name in names if self._is_shared(name)]
        total = self._shared(shared)
        for name in names:
            if name not in shared:
                features, weight, norms = self._features([edge[name] for edge in self.edges])
                total, seen = add_normalised(total, features, weight, self.weights[name])
                self.statistics.add(norms, seen)
        total = total.view(self.shape)
        for name in self.weights.keys() - usual:
            total = total + self._as_it_is(name)
        return total

    def _is_shared(self, name: str) -> bool:
        return "pool" in name or (name == "skip_connect" and self.stride == 1)

    def _shared(self, names: list[str]) -> Tensor:
        """The sum of operations that do the same on each edge, (edges, N * H' * W' * C)."""
        if not names:
            return self.x.new_zeros(self.shape[0], self.shape[1:].numel())
        images = [self.x if name == "skip_connect" else self._pool(name) for name in names]
        weights = torch.stack([self.weights[name] for name in names], dim=1)
        return weights @ torch.stack(images).flatten(1)

    def _pool(self, name: str) -> Tensor:
        """The standardised pool, (N, H', W', C)."""
        pool, _ = self.edges[0][name]
        out, seen = standardised(pool(_images(self.x)))
        self.statistics.add([edge[name][1] for edge in self.edges], seen)
        return _pixels(out)

    def _features(self, operations: list[Any]) -> tuple[Tensor, Tensor, list[nn.BatchNorm2d]]:
        """What the last 1x1 convolutions of the edges' operations see, their weights, and norms."""
        if isinstance(operations[0], FactorizedReduction):
            return self._two_of_four_pixels(operations)
        if not hasattr(operations[0], "first"):
            return _filtered(self.active, operations)
        firsts = [operation.first for operation in operations]
        features, weight, norms = _filtered(self.active, firsts)
        between, seen = normalised_relu(features, weight)
        self.statistics.add(norms, seen)
        # Each edge's filters now see channels of their own.
        own = between.transpose(0, 1).reshape(*self.shape[1:4], -1)
        return _filtered(own, [operation.second for operation in operations])

    def _two_of_four_pixels(
        self, operations: list[FactorizedReduction]
    ) -> tuple[Tensor, Tensor, list[nn.BatchNorm2d]]:
        _, H, W, _ = self.active.shape
        odd = F.pad(self.active, (0, 0, 0, W % 2, 0, H % 2))[:, 1::2, 1::2]
        both = torch.cat([self.active[:, ::2, ::2], odd], dim=3).flatten(0, 2)
        weights = [
            torch.block_diag(op.even.weight.flatten(1), op.odd.weight.flatten(1))
            for op in operations
        ]
        return (
            both.expand(len(operations), -1, -1),
            torch.stack(weights),
            [op.norm for op in operations],
        )

    def _as_it_is(self, name: str) -> Tensor:
        images = _images(self.x)
        return torch.stack(
            [
                weight * _pixels(edge[name](images))
                for edge, weight in zip(self.edges, self.weights[name], strict=True)
            ]
        )


def _filtered(x: Tensor, units: list[Any]) -> tuple[Tensor, Tensor, list[nn.BatchNorm2d]]:
    """Apply the filters of depthwise separable convolutions, one an edge, to x (N, H, W, C).

    Returns features (edges, N * H' * W', C), the weights of the 1x1 convolutions that take them,
    (edges, C, C), and their norms. If x has the channels of all edges, each sees its own.
    """
    C, _, K, _ = units[0].depthwise.weight.shape
    edges = len(units)
    (stride, _), (dilation, _) = units[0].depthwise.stride, units[0].depthwise.dilation
    filters = torch.cat([unit.depthwise.weight for unit in units]).view(-1, x.shape[3], K, K)
    weight = torch.cat([unit.pointwise.weight for unit in units]).view(edges, C, C)
    features = depthwise(x, filters, stride, dilation).view(-1, edges, C).transpose(0, 1)
    return features, weight, [unit.norm for unit in units]


#: Each cell's modules when they were last looked at, and which of its operations are unchanged.
_LOOKED_AT: WeakKeyDictionary[Cell, tuple[list[nn.Module], frozenset[str]]] = WeakKeyDictionary()


def _usual_operations(cell: Cell, channels: int) -> frozenset[str]:
    """Return the operations that on all edges are as a Supernet makes them, not replaced."""
    edges: list[Any] = list(cell.edges)
    modules = list(edges)
    for module in modules:
        modules.extend(module._modules.values())
    seen, usual = _LOOKED_AT.get(cell, ([], frozenset()))
    if len(seen) != len(modules) or not all(map(operator.is_, seen, modules)):
        usual = frozenset(edges[0])
        for edge, (source, _) in zip(edges, cell_edges(cell.nodes), strict=True):
            made = MixedEdge(channels, _stride(cell, source), tuple(edge))
            usual &= {name for name in edge if _looks(edge[name]) == _looks(made[name])}
        _LOOKED_AT[cell] = modules, usual
    return usual


def _looks(operation: nn.Module) -> str:
    # Norms may be told for a while to note no statistics, which this form also knows.
    return repr(operation).replace("track_running_stats=False", "track_running_stats=True")


def _stride(cell: Cell, source: int) -> int:
    return 2 if cell.reduction and source < 2 else 1


def _sum(images: list[Tensor]) -> Tensor:
    return reduce(torch.add, images)


def _pixels(images: Tensor) -> Tensor:
    """View images (N, C, H, W) as (N, H, W, C), in this order in memory."""
    return images.permute(0, 2, 3, 1).contiguous()


def _images(pixels: Tensor) -> Tensor:
    return pixels.permute(0, 3, 1, 2)
