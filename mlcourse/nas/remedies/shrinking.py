"""Progressive shrinking: operations leave while the search goes on, and the gap is smaller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from mlcourse.nas.remedies.relaxations import Remaining
from mlcourse.nas.remedies.remedy import Remedy, edges_at, strengths_by_kind


@dataclass(frozen=True)
class Shrinking(Remedy):
    """Before certain epochs, the weakest operations of each edge leave, and are computed no more.

    `stages` has pairs (epoch, operations that remain), such as ((20, 5), (35, 3)): before the epoch
    with this number, the first being 0, each edge keeps so many. Give it last, as it looks at the
    weights that other remedies make. What has left does not come back, and no weights are drawn
    anew. Raises ValueError for stages that are not in order, or would keep nothing. Source: Chen,
    Xie, Wu and Tian, Progressive differentiable architecture search, 2019, section 3.2, without
    the deeper network of later stages.
    """

    stages: tuple[tuple[int, int], ...]

    def __post_init__(self) -> None:
        epochs = [epoch for epoch, _ in self.stages]
        kept = [count for _, count in self.stages]
        in_order = epochs == sorted(set(epochs)) and kept == sorted(kept, reverse=True)
        if not in_order or min(kept, default=1) < 1:
            raise ValueError(
                f"stages is {self.stages}: give pairs (epoch, operations that remain) with epochs "
                "that grow and numbers that fall to 1 or more"
            )

    def attach(self, model: Any, generator: torch.Generator | None) -> None:
        Remaining.of(model)

    def begin_epoch(self, model: Any, epoch: int, epochs: int) -> None:
        if epoch in dict(self.stages):
            self._drop_weakest(model, dict(self.stages)[epoch])
        # Each time: a search that continues has its buffers from the checkpoint.
        leave_out(model)

    def _drop_weakest(self, model: Any, kept: int) -> None:
        remaining = Remaining.of(model)
        for kind, strengths in strengths_by_kind(model).items():
            for edge, row in enumerate(strengths.tolist()):
                there = remaining.remain(kind)[edge].nonzero().flatten().tolist()
                # In reverse too, sorted keeps the first of equals.
                strongest = sorted(there, key=row.__getitem__, reverse=True)[:kept]
                remaining.keep_only(kind, edge, strongest)


def leave_out(model: Any) -> None:
    """Let the edges compute only the operations that remain."""
    remaining = Remaining.of(model)
    for kind in model.alpha_names:
        for edge, row in enumerate(remaining.remain(kind).tolist()):
            names = zip(model.operations, row, strict=True)
            gone = frozenset(name for name, remains in names if not remains)
            for mixed in edges_at(model, kind, edge):
                mixed.dropped = gone
