"""The supernet: one network whose edges hold all candidate operations, mixed by parameters alpha.

Source: Liu, Simonyan and Yang, DARTS: Differentiable architecture search, 2019, section 3.1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from mlcourse.nas.cells import Cell, cell_edges, cell_shapes, check_sizes
from mlcourse.nas.genotype import Genotype, Kind, derive
from mlcourse.nas.modes import evaluating
from mlcourse.nas.operations import OPERATIONS

#: The standard deviation of the architecture parameters at the start: nearly equal operations.
ALPHA_SCALE = 1e-3


class Mixing(NamedTuple):
    """Weights of the operations on each edge, (edges, operations), for both kinds of cell."""

    normal: Tensor
    reduce: Tensor


class Softmax(nn.Module):
    """Each edge's weights are positive and have the sum 1: the relaxation of the paper."""

    #: Whether an operation's weight grows when another's falls.
    competing = True

    def forward(self, alpha: Tensor, kind: Kind) -> Tensor:
        """Return the weights of alpha (edges, operations)."""
        return alpha.softmax(dim=-1)


class Relaxed(nn.Module):
    """What a search needs of a network that mixes operations: its two groups of parameters."""

    #: The name of the architecture parameter of each kind of cell.
    alpha_names: ClassVar[dict[Kind, str]]
    relaxation: nn.Module

    def relaxed(self) -> dict[Kind, Tensor]:
        """Return each kind's weights of the operations, differentiable in the architecture."""
        return {
            kind: self.relaxation(getattr(self, name), kind)
            for kind, name in self.alpha_names.items()
        }

    def architecture(self) -> Iterator[nn.Parameter]:
        """Yield what the validation data choose: alpha, and parameters of the relaxation."""
        for name in self.alpha_names.values():
            yield getattr(self, name)
        yield from self.relaxation.parameters()

    def weights(self) -> Iterator[nn.Parameter]:
        """Yield what the training data choose: all other parameters."""
        chosen = {id(p) for p in self.architecture()}
        yield from (p for p in self.parameters() if id(p) not in chosen)


class Supernet(Relaxed):
    """A network of mixed cells for images (N, colours, H, W), which returns logits (N, classes).

    A stem of stem * channels channels, `layers` cells of which those after 1/3 and 2/3 reduce, the
    mean over pixels, and a dense layer. All cells of a kind share the architecture parameters
    `alpha_normal` or `alpha_reduce` (edges, operations), which start at 1e-3 N(0, 1).

    `relaxation` is a module that makes weights of them, called as relaxation(alpha, kind) once a
    kind in each forward pass: replace `supernet.relaxation` to try another one. In evaluation
    mode it must not draw. Its own parameters, if any, belong to the architecture. With a generator
    all parameters are drawn from it, else from torch's own.

    Raises ValueError for sizes below 1, fewer than 3 layers (one would be of each kind), and
    operations that are unknown, twice there, or none but "none".
    """

    alpha_names: ClassVar[dict[Kind, str]] = {"normal": "alpha_normal", "reduce": "alpha_reduce"}

    def __init__(
        self,
        channels: int,
        layers: int,
        classes: int,
        *,
        nodes: int = 4,
        stem: int = 3,
        colours: int = 3,
        operations: Sequence[str] = OPERATIONS,
        relaxation: nn.Module | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_sizes(channels=channels, classes=classes, nodes=nodes, stem=stem, colours=colours)
        _check_operations(operations)
        self.operations = tuple(operations)
        #: The node that each edge of a cell leads to.
        self.edge_nodes = tuple(node for _, node in cell_edges(nodes))
        self.relaxation = relaxation or Softmax()
        with drawing_from(generator):
            self.stem = stem_layer(colours, stem * channels)
            shapes = list(cell_shapes(channels, layers, stem * channels, (nodes, nodes)))
            self.cells = nn.ModuleList(Cell(shape, nodes, operations) for shape in shapes)
            self.classifier = nn.Linear(nodes * shapes[-1].channels, classes)
            size = (len(cell_edges(nodes)), len(operations))
            self.alpha_normal = nn.Parameter(ALPHA_SCALE * torch.randn(size))
            self.alpha_reduce = nn.Parameter(ALPHA_SCALE * torch.randn(size))

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, classes) of images x (N, colours, H, W)."""
        mixing = self.mixing()
        before_last = last = self.stem(x)
        for cell in self.cells:
            weights = mixing.reduce if cell.reduction else mixing.normal
            before_last, last = last, cell(before_last, last, weights)
        return self.classifier(last.mean(dim=(2, 3)))

    def mixing(self) -> Mixing:
        """Return the weights of all edges' operations, differentiable in the architecture."""
        return Mixing(**self.relaxed())

    @torch.no_grad()
    def strengths(self) -> Mixing:
        """Return the weights of all edges' operations as evaluation has them, without gradient."""
        with evaluating(self.relaxation):
            return self.mixing()

    def genotype(self) -> Genotype:
        """Return the cells that the paper's rule derives from today's strengths."""
        return derive(*self.strengths(), self.operations)

    def skips(self, kind: Kind) -> int:
        """Return the number of skip connections in the derived cell of a kind."""
        return self.genotype().occurrences("skip_connect", kind)

    def edges(self, kind: Kind) -> list[nn.ModuleList]:
        """Return the edges of each cell of a kind, in the order of `alpha`'s rows."""
        cells = [cell for cell in self.cells if cell.reduction == (kind == "reduce")]
        return [cell.edges for cell in cells]  # type: ignore[misc]


def stem_layer(colours: int, channels: int) -> nn.Sequential:
    """Return the 3x3 convolution and the batch norm that come before the first cell."""
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv2d(colours, channels, 3, padding=1, bias=False),
            norm=nn.BatchNorm2d(channels),
        )
    )


@contextmanager
def drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Let initial weights, which torch draws from its own generator, depend on this one alone."""
    if generator is None:
        yield
        return
    where = generator.device
    seed = int(torch.randint(2**62, (), generator=generator, device=where))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def _check_operations(operations: Sequence[str]) -> None:
    if not set(operations) - {"none"}:
        raise ValueError(f"the operations are {list(operations)}: give one that does something")
    for i, name in enumerate(operations):
        if name in operations[:i]:
            raise ValueError(f"the operation {name!r} comes twice: give each once")
