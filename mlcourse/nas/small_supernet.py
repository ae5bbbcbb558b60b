"""The supernet of the small space: all its cells in one network, with shared weights."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from mlcourse.nas.cells import MixedEdge
from mlcourse.nas.genotype import Kind
from mlcourse.nas.modes import evaluating
from mlcourse.nas.operations import Zero
from mlcourse.nas.small_networks import Convolution, SmallNetwork, avg_pool
from mlcourse.nas.small_space import EDGES, OPERATIONS
from mlcourse.nas.supernet import ALPHA_SCALE, Relaxed, Softmax, drawing_from


class SmallSupernet(Relaxed):
    """The network of the small space with all four operations on each edge, mixed by `alpha`.

    Takes images (N, 1, 8, 8) and returns logits (N, 10). Both cells share `alpha` (6, 4), which
    starts at 1e-3 N(0, 1). The batch norms of the candidates have no scale, which would undo the
    mixing. `relaxation` and `generator` are as in `Supernet`, and `mlcourse.nas.darts.search`
    searches with it.
    """

    #: All cells are of one kind.
    alpha_names: ClassVar[dict[Kind, str]] = {"normal": "alpha"}

    def __init__(
        self,
        channels: int = 8,
        *,
        relaxation: nn.Module | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.operations = tuple(OPERATIONS.values())
        #: The node that each edge of a cell leads to.
        self.edge_nodes = tuple(node for _, node in EDGES)
        self.relaxation = relaxation or Softmax()
        with drawing_from(generator):
            self.network = SmallNetwork(_MixedCell, channels)
            self.alpha = nn.Parameter(ALPHA_SCALE * torch.randn(len(EDGES), len(OPERATIONS)))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, 10) of images x (N, 1, 8, 8)."""
        weights = self.mixing()
        for layer in self.network:
            x = layer(x, weights) if isinstance(layer, _MixedCell) else layer(x)
        return x

    def mixing(self) -> Tensor:
        """Return the weights of the operations, (6, 4), differentiable in the architecture."""
        return self.relaxed()["normal"]

    @torch.no_grad()
    def strengths(self) -> Tensor:
        """Return the weights of the operations as evaluation has them, (6, 4)."""
        with evaluating(self.relaxation):
            return self.mixing()

    def genotype(self) -> str:
        """Return the cell with the strongest operation on each edge, "none" among them."""
        return derive_cell(self.strengths())

    def skips(self, kind: Kind = "normal") -> int:
        """Return the number of skip connections in the derived cell."""
        return self.genotype().count("s")

    def edges(self, kind: Kind = "normal") -> list[nn.ModuleList]:
        """Return the edges of each cell, in the order of `alpha`'s rows."""
        return [layer.edges for layer in self.network if isinstance(layer, _MixedCell)]


def derive_cell(strengths: Tensor) -> str:
    """Return the six letters of the strongest operations, of strengths (6, 4).

    Unlike in the paper's rule every edge stays, and "none", which says that it should not, can be
    chosen: so do Dong and Yang (2020). Raises ValueError for another shape.
    """
    if strengths.shape != (len(EDGES), len(OPERATIONS)):
        raise ValueError(
            f"the strengths have shape {tuple(strengths.shape)}: give "
            f"{len(EDGES)} edges x {len(OPERATIONS)} operations"
        )
    letters = list(OPERATIONS)
    return "".join(letters[i] for i in strengths.argmax(dim=1).tolist())


class _MixedCell(nn.Module):
    """A cell in which each edge adds all operations, weighted."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(SmallEdge(channels, 1, list(OPERATIONS.values())) for _ in EDGES)

    def forward(self, x: Tensor, weights: Tensor) -> Tensor:
        nodes: list[Tensor] = [x]
        for node in range(1, 4):
            arriving = [
                self.edges[edge](nodes[i], weights[edge])
                for edge, (i, j) in enumerate(EDGES)
                if j == node
            ]
            nodes.append(torch.stack(arriving).sum(0))
        return nodes[3]


class SmallEdge(MixedEdge):
    """The four operations of an edge of the small space, weighted."""

    def candidate(self, name: str, channels: int, stride: int) -> nn.Module:
        """Return the operation of that name."""
        if name == "conv_3x3":
            return Convolution(channels, channels, affine=False)
        return {"none": Zero, "skip_connect": nn.Identity, "avg_pool_3x3": _AvgPool}[name]()


class _AvgPool(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return avg_pool(x)
