"""Partial channels: only some channels go through the operations, and the rest goes by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlcourse.nas.cells import MixedEdge
from mlcourse.nas.remedies.remedy import Remedy
from mlcourse.nas.supernet import drawing_from


class PartialEdge(nn.Module):
    """The first of `share` equal parts of the channels goes through an edge, the others by it.

    At stride 2 those are pooled, the largest of 2x2 pixels. At the end the channels of all parts
    alternate, so that the next edge has others first. With a share of 1 it is the edge itself.
    """

    def __init__(self, edge: MixedEdge, share: int) -> None:
        super().__init__()
        self.edge, self.share = edge, share

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        """Apply the edge to x (N, C, H, W), with one weight for each operation (operations,)."""
        through = x[:, : self.edge.channels]
        by = x[:, self.edge.channels :]
        out = self.edge(through, weights)
        if self.share == 1:
            return out  # type: ignore[no-any-return]
        if self.edge.stride == 2:
            by = F.max_pool2d(by, 2, ceil_mode=True)
        return F.channel_shuffle(torch.cat([out, by], dim=1), self.share)


@dataclass(frozen=True)
class PartialChannels(Remedy):
    """PC-DARTS: each edge's operations see 1 / share of the channels, and cost less.

    It makes new edges, whose weights are drawn from the search's generator. `EdgeNormalization`
    belongs to it. Raises ValueError for a share below 1, and one that does not divide the channels
    of an edge. Source: Xu et al., PC-DARTS: Partial channel connections for memory-efficient
    architecture search, 2020, section 3.2.
    """

    share: int = 4

    def __post_init__(self) -> None:
        if self.share < 1:
            raise ValueError(f"share is {self.share}: give 1 or more")

    def attach(self, model: Any, generator: torch.Generator | None) -> None:
        with drawing_from(generator):
            for kind in model.alpha_names:
                for edges in model.edges(kind):
                    for i, edge in enumerate(edges):
                        edges[i] = PartialEdge(self._smaller(edge), self.share)

    def _smaller(self, edge: MixedEdge) -> MixedEdge:
        if self.share == 1:
            return edge
        if edge.channels % self.share:
            raise ValueError(
                f"share is {self.share} and an edge has {edge.channels} channels: "
                "give a divisor of them"
            )
        like = next(edge.parameters(), torch.empty(0))
        smaller = type(edge)(edge.channels // self.share, edge.stride, list(edge))
        return smaller.to(like).train(edge.training)
