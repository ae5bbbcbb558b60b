"""Other weights for the operations of an edge than the softmax, and remedies that bring them.

Each is a module called as relaxation(alpha, kind), with alpha (edges, operations), and returns
weights of this shape: `Supernet(..., relaxation=...)` takes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Dirichlet as Distribution
from torch.distributions import kl_divergence
from torch.nn import functional as F

from mlcourse.nas.genotype import Kind
from mlcourse.nas.remedies.remedy import Remedy
from mlcourse.nas.supernet import drawing_from


class Sigmoid(nn.Module):
    """Each operation has a gate of its own, so that none grows at the cost of another.

    Source: Chu, Zhou, Zhang and Li, Fair DARTS: Eliminating unfair advantages in differentiable
    architecture search, 2020.
    """

    #: Whether an operation's weight grows when another's falls.
    competing = False

    def forward(self, alpha: Tensor, kind: Kind) -> Tensor:
        """Return the weights of alpha (edges, operations), between 0 and 1."""
        return alpha.sigmoid()


class Dirichlet(nn.Module):
    """Each edge's weights are drawn anew in each pass of training; evaluation takes their mean.

    The distribution's concentrations are elu(alpha) + 1, so that alpha = 0 draws all weights with
    the sum 1 equally likely, and smaller concentrations draw weights near a corner. The gradient
    goes through what was drawn. With a generator all is drawn from it, else from torch's own.
    Source: Chen, Wang, Cheng, Tang and Hsieh, DrNAS: Dirichlet neural architecture search, 2021.
    """

    competing = True

    def __init__(self, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, alpha: Tensor, kind: Kind) -> Tensor:
        """Return the weights of alpha (edges, operations)."""
        concentrations = concentration(alpha)
        if not self.training:
            return concentrations / concentrations.sum(-1, keepdim=True)
        if self.generator is None:
            return Distribution(concentrations).rsample()
        with drawing_from(self.generator):
            # One generator, of the CPU, for whatever device alpha is on.
            return Distribution(concentrations.cpu()).rsample().to(alpha.device)


def concentration(alpha: Tensor) -> Tensor:
    """Return the positive concentrations of a Dirichlet distribution, 1 for alpha = 0."""
    # Far below zero elu + 1 rounds to 0, which no distribution has.
    return (F.elu(alpha) + 1).clamp_min(torch.finfo(alpha.dtype).eps)


class EdgeNormalized(nn.Module):
    """Another relaxation's weights, times a weight of the edge among those into the same node.

    The weights of the edges are the softmax of a parameter `KIND` (edges,) over the edges that
    lead to a node, and start almost equal. `edge_nodes` says to which each leads, node by node.
    Source: Xu et al., PC-DARTS: Partial channel connections for memory-efficient architecture
    search, 2020, section 3.3.
    """

    def __init__(
        self, relaxation: nn.Module, edge_nodes: Sequence[int], kinds: Sequence[Kind]
    ) -> None:
        super().__init__()
        self.relaxation = relaxation
        self.competing: bool = getattr(relaxation, "competing", True)
        self._sizes = [edge_nodes.count(node) for node in dict.fromkeys(edge_nodes)]
        for kind in kinds:
            setattr(self, kind, nn.Parameter(1e-3 * torch.randn(len(edge_nodes))))

    def forward(self, alpha: Tensor, kind: Kind) -> Tensor:
        """Return the weights of alpha (edges, operations)."""
        by_node = getattr(self, kind).split(self._sizes)
        of_edges = torch.cat([beta.softmax(0) for beta in by_node])
        weights: Tensor = self.relaxation(alpha, kind) * of_edges[:, None]
        return weights


class Remaining(nn.Module):
    """Another relaxation's weights on the operations that remain; all others have the weight 0.

    The buffers `KIND` (edges, operations) say which remain. Where operations compete, those that
    remain share what the others had, as a softmax of them alone would.
    """

    def __init__(self, relaxation: nn.Module, sizes: Mapping[Kind, tuple[int, int]]) -> None:
        super().__init__()
        self.relaxation = relaxation
        self.competing: bool = getattr(relaxation, "competing", True)
        for kind, size in sizes.items():
            self.register_buffer(kind, torch.ones(size, dtype=torch.bool))

    @classmethod
    def of(cls, model: Any) -> Remaining:
        """Return the model's, which it gets if it has none: all operations remain."""
        if not isinstance(model.relaxation, cls):
            alphas = {kind: getattr(model, name) for kind, name in model.alpha_names.items()}
            sizes = {kind: (len(alpha), alpha.shape[1]) for kind, alpha in alphas.items()}
            device = next(iter(alphas.values())).device
            model.relaxation = cls(model.relaxation, sizes).to(device)
            model.relaxation.train(model.training)
        return model.relaxation  # type: ignore[no-any-return]

    def forward(self, alpha: Tensor, kind: Kind) -> Tensor:
        """Return the weights of alpha (edges, operations)."""
        weights: Tensor = self.relaxation(alpha, kind)
        kept = weights * self.remain(kind)
        if not self.competing:
            return kept
        total, rest = weights.sum(-1, keepdim=True), kept.sum(-1, keepdim=True)
        return kept * (total / rest.clamp_min(torch.finfo(rest.dtype).tiny))

    def remain(self, kind: Kind) -> Tensor:
        """Return the buffer of a kind."""
        buffer: Tensor = getattr(self, kind)
        return buffer

    def keep_only(self, kind: Kind, edge: int, operations: Sequence[int]) -> None:
        """Let only the operations with these numbers remain on an edge."""
        row = torch.zeros_like(self.remain(kind)[edge])
        row[list(operations)] = True
        self.remain(kind)[edge] = row


@dataclass(frozen=True)
class FairGates(Remedy):
    """Fair DARTS: sigmoid gates, and a loss that draws each of them to 0 or 1.

    The loss is -strength times the mean of (sigmoid(alpha) - 1/2)^2, over all gates of all kinds of
    cell. "none" leaves: where nothing competes, a gate of zeros means nothing, and moves only by
    this loss. Source: Chu et al., 2020; the authors' code has the strength 10.
    """

    strength: float = 10.0

    def attach(self, model: Any, generator: torch.Generator | None) -> None:
        model.relaxation = Sigmoid()
        if "none" in model.operations:
            remaining = Remaining.of(model)
            for kind in model.alpha_names:
                remaining.remain(kind)[:, model.operations.index("none")] = False

    def penalty(self, model: Any, alphas: dict[str, Tensor]) -> Tensor:
        there = [i for i, name in enumerate(model.operations) if name != "none"]
        gates = torch.cat([alphas[name][:, there].sigmoid() for name in model.alpha_names.values()])
        return -self.strength * (gates - 0.5).square().mean()


@dataclass(frozen=True)
class DirichletSampling(Remedy):
    """DrNAS: weights drawn from a Dirichlet distribution, which `strength` keeps near the uniform.

    The penalty is strength times the divergence KL(distribution || uniform), summed over edges. The
    search's own weight decay of alpha does the same in another measure, the authors' default.
    Source: Chen et al., 2021.
    """

    strength: float = 0.0

    def attach(self, model: Any, generator: torch.Generator | None) -> None:
        model.relaxation = Dirichlet(generator)

    def penalty(self, model: Any, alphas: dict[str, Tensor]) -> Tensor | float:
        if not self.strength:
            return 0.0
        concentrations = [concentration(alphas[name]) for name in model.alpha_names.values()]
        divergences = [
            kl_divergence(Distribution(c), Distribution(torch.ones_like(c))).sum()
            for c in concentrations
        ]
        return self.strength * torch.stack(divergences).sum()


@dataclass(frozen=True)
class EdgeNormalization(Remedy):
    """PC-DARTS' weights of edges: see `EdgeNormalized`. Give it after what changes operations."""

    def attach(self, model: Any, generator: torch.Generator | None) -> None:
        alpha = getattr(model, next(iter(model.alpha_names.values())))
        with drawing_from(generator):
            relaxation = EdgeNormalized(model.relaxation, model.edge_nodes, list(model.alpha_names))
        model.relaxation = relaxation.to(alpha)
