"""What the questions of `derive_cell` share: names, alphas, and which rows belong to a node."""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.complexity_questions.shared import DTYPE
from mlcourse.checks.search_basics_questions.shared import shuffled

NONE = "none"

#: The candidates in the order of DARTS.
NAMES = (
    NONE,
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)

#: An operation and where it comes from.
Gene = tuple[str, int]


def edge_count(nodes: int) -> int:
    return nodes * (nodes + 3) // 2


def node_rows(edges: int) -> list[range]:
    """Return the rows of each node."""
    found: list[range] = []
    start = 0
    while start < edges:
        found.append(range(start, start + 2 + len(found)))
        start = found[-1].stop
    return found


def some_names(count: int, place: int, g: Generator) -> list[str]:
    """Draw the names of operations, with `none` at a place."""
    names = [NAMES[1 + i] for i in shuffled(len(NAMES) - 1, g)[: count - 1]]
    return [*names[:place], NONE, *names[place:]]


def draw_alpha(edges: int, count: int, place: int, g: Generator) -> Tensor:
    """Draw alphas (edges, count) in which `none` is strong on some edges and weak on others."""
    alpha = normal(edges, count, generator=g, dtype=DTYPE)
    alpha[:, place] += 2.5 * (torch.rand(edges, generator=g, dtype=DTYPE) - 0.3)
    return alpha
