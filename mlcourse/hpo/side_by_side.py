"""Train the LeNet-5s of a group side by side, each exactly as it would be alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from mlcourse.hpo.lenets import LeNets, Widths


def groups(configs: Sequence[Widths], filters: int = 96, most: int = 16) -> list[list[int]]:
    """Return the positions of the networks to train together, similar widths in each group.

    A group has at most `most` networks and, with padding, `filters` filters in C1 (but at least
    one network). CPUs and GPUs compute C3 for 16 filters at a time, so networks that need the same
    number of such blocks go together, in the order of c1. Raises ValueError for limits below 1.
    """
    if filters < 1 or most < 1:
        raise ValueError(f"filters is {filters} and most {most}: give 1 or more of each")
    order = sorted(
        range(len(configs)), key=lambda i: (math.ceil(configs[i]["c3"] / 16), configs[i]["c1"], i)
    )
    made: list[list[int]] = []
    for i in order:
        # In this order the newcomer's c1 is the group's largest.
        full = made and min(most, filters // configs[i]["c1"]) <= len(made[-1])
        if not made or full or not _same_blocks(configs[i], configs[made[-1][0]]):
            made.append([])
        made[-1].append(i)
    return made


def _same_blocks(one: Widths, other: Widths) -> bool:
    return math.ceil(one["c3"] / 16) == math.ceil(other["c3"] / 16)


class SideBySide:
    """SGD with momentum on each network's own mean cross-entropy.

    v <- momentum v + gradient, w <- w - lr v, with v = 0 at first, as torch's SGD.
    `lr` is one rate for all networks or one for each. Networks do not influence each other: one
    that diverges leaves the rest as they would be without it. On a CUDA device a step is recorded
    once, after three ordinary steps, and then replayed as one graph. Raises ValueError for a rate
    that is not positive, a number of rates other than that of the networks, and a momentum outside
    [0, 1).
    """

    def __init__(
        self, nets: LeNets, lr: float | Sequence[float] = 0.02, momentum: float = 0.9
    ) -> None:
        rates = [float(lr)] * len(nets) if isinstance(lr, int | float) else [float(r) for r in lr]
        if len(rates) != len(nets):
            raise ValueError(
                f"there are {len(rates)} learning rates for {len(nets)} networks: give one for "
                "all, or one for each"
            )
        if not all(0 < rate < math.inf for rate in rates):
            raise ValueError(f"lr is {lr}: give positive, finite rates")
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum is {momentum}: give a number from 0 to below 1")
        self.nets, self.momentum = nets, momentum
        self.parameters = list(nets.parameters())
        self.velocities = [torch.zeros_like(p) for p in self.parameters]
        # The first dimension of every parameter counts the networks, or filters of all of them.
        self.rates = [
            torch.tensor(rates, dtype=p.dtype, device=p.device)
            .repeat_interleave(len(p) // len(nets))
            .view(-1, *[1] * (p.ndim - 1))
            for p in self.parameters
        ]
        self._graph: _Graph | None = None

    def step(self, X: Tensor, y: Tensor) -> Tensor:
        """Update all networks on one batch, X (N, C, 32, 32), y (N,); their losses before, (K,)."""
        if not X.is_cuda:
            return self._step(X, y)
        if self._graph is None or self._graph.X.shape != X.shape:
            self._graph = _Graph(self._step, X, y)
        return self._graph(X, y)

    def epoch(
        self, X: Tensor, y: Tensor, generator: torch.Generator, batch_size: int = 64
    ) -> Tensor:
        """Update once on each batch of the shuffled examples; mean losses before updates, (K,).

        Images that do not fill a batch are left out, others each time. Raises ValueError when
        there are fewer than `batch_size`.
        """
        if len(X) < batch_size:
            raise ValueError(
                f"there are {len(X)} images for batches of {batch_size}: give at least one batch"
            )
        order = torch.randperm(len(X), generator=generator).to(X.device)
        batches = order.split(batch_size)[: len(X) // batch_size]
        return torch.stack([self.step(X[batch], y[batch]) for batch in batches]).mean(0)

    def _step(self, X: Tensor, y: Tensor) -> Tensor:
        logits = self.nets(X)
        K, N, _ = logits.shape
        losses = F.cross_entropy(logits.flatten(0, 1), y.repeat(K), reduction="none")
        losses = losses.view(K, N).mean(1)
        gradients = torch.autograd.grad(losses.sum(), self.parameters)
        with torch.no_grad():
            torch._foreach_mul_(self.velocities, self.momentum)
            torch._foreach_add_(self.velocities, gradients)
            for p, v, rate in zip(self.parameters, self.velocities, self.rates, strict=True):
                p.addcmul_(v, rate, value=-1)
        return losses.detach()


class _Graph:
    """A step on a CUDA device: three times as usual, then recorded, then replayed.

    The batch is copied to where the recorded step reads it. See torch's notes on CUDA graphs.
    """

    def __init__(self, step: Callable[[Tensor, Tensor], Tensor], X: Tensor, y: Tensor) -> None:
        self.X, self.y = X.clone(), y.clone()
        self._step, self._usual = step, 3
        self._graph: torch.cuda.CUDAGraph | None = None
        self._losses = torch.empty(0)

    def __call__(self, X: Tensor, y: Tensor) -> Tensor:
        self.X.copy_(X)
        self.y.copy_(y)
        if self._usual:
            self._usual -= 1
            return self._aside()
        if self._graph is None:
            # Recording runs nothing: no update is lost or done twice.
            self._graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self._graph):
                self._losses = self._step(self.X, self.y)
        self._graph.replay()
        return self._losses.clone()

    def _aside(self) -> Tensor:
        """An ordinary step on a stream of its own, as recording needs it to be warmed up."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            losses = self._step(self.X, self.y)
        torch.cuda.current_stream().wait_stream(stream)
        return losses


@torch.no_grad()
def accuracies(nets: LeNets, X: Tensor, y: Tensor, batch_size: int = 500) -> Tensor:
    """Return each network's share of right answers on images X (N, C, 32, 32), y (N,): (K,)."""
    right = sum(
        (nets(x).argmax(2) == t).sum(1)
        for x, t in zip(X.split(batch_size), y.split(batch_size), strict=True)
    )
    return right / len(X)
