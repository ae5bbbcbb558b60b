"""Genotypes: the discrete cells that a search ends with, in text, and where they come from.

Source: Liu, Simonyan and Yang, DARTS: Differentiable architecture search, 2019, section 2.4.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Literal, NamedTuple

from torch import Tensor

from mlcourse.nas.operations import OPERATIONS

#: An operation and the state it is applied to: 0 and 1 are the cell's inputs, 2 its first node.
Gene = tuple[str, int]
Kind = Literal["normal", "reduce"]
KINDS: tuple[Kind, Kind] = ("normal", "reduce")


class Genotype(NamedTuple):
    """A normal and a reduction cell: two genes for each node in turn, and the nodes that go out."""

    normal: tuple[Gene, ...]
    normal_concat: tuple[int, ...]
    reduce: tuple[Gene, ...]
    reduce_concat: tuple[int, ...]

    def genes(self, kind: Kind) -> tuple[Gene, ...]:
        """Return the genes of one of the cells."""
        return self.reduce if kind == "reduce" else self.normal

    def concat(self, kind: Kind) -> tuple[int, ...]:
        """Return the states that one of the cells puts out."""
        return self.reduce_concat if kind == "reduce" else self.normal_concat

    def occurrences(self, operation: str, kind: Kind) -> int:
        """Return how many edges of one of the cells have an operation."""
        return sum(name == operation for name, _ in self.genes(kind))

    def to_json(self) -> str:
        """Return the genotype as one line of JSON."""
        return json.dumps(self._asdict())


def from_json(text: str) -> Genotype:
    """Return the genotype that `Genotype.to_json` wrote.

    Raises ValueError for anything else.
    """
    try:
        given = json.loads(text)
        normal, reduce = (
            tuple((str(name), int(source)) for name, source in given[kind]) for kind in KINDS
        )
        concats = [tuple(map(int, given[f"{kind}_concat"])) for kind in KINDS]
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{text!r} is no genotype: give what to_json wrote") from error
    genotype = Genotype(normal, concats[0], reduce, concats[1])
    check_genotype(genotype)
    return genotype


def check_genotype(genotype: Genotype) -> None:
    """Raise ValueError unless each node has two genes from states before it, and some go out."""
    for kind in KINDS:
        genes, concat = genotype.genes(kind), genotype.concat(kind)
        if not genes or len(genes) % 2:
            raise ValueError(f"the {kind} cell has {len(genes)} genes: give two for each node")
        for i, (name, source) in enumerate(genes):
            if not 0 <= source < 2 + i // 2:
                raise ValueError(
                    f"node {2 + i // 2} of the {kind} cell has {name} from state {source}: "
                    f"give a state before it, 0 to {1 + i // 2}"
                )
        states = 2 + len(genes) // 2
        if not concat or not all(2 <= state < states for state in concat):
            raise ValueError(
                f"the {kind} cell puts out {concat}: give one or more of its nodes, "
                f"2 to {states - 1}"
            )


def derive(normal: Tensor, reduce: Tensor, operations: Sequence[str] = OPERATIONS) -> Genotype:
    """Return the genotype of the strongest edges, and of the strongest operation on each.

    `normal` and `reduce` are the strengths (edges, operations) of a cell's operations, with edges
    in the order of `cell_edges`: the softmax of the architecture parameters, in which "none" has
    its share although it is never chosen. Each node keeps the two inputs whose best operations are
    strongest, the stronger first; of equals the earlier one. Raises ValueError for shapes that
    belong to no cell, and when "none" is the only operation.
    """
    return _all_nodes_out(derive_cell(normal, operations), derive_cell(reduce, operations))


def derive_cell(strengths: Tensor, operations: Sequence[str] = OPERATIONS) -> tuple[Gene, ...]:
    """Return the genes of one cell for strengths (edges, operations): see `derive`."""
    nodes = _count_nodes(strengths, operations)
    candidates = [k for k, name in enumerate(operations) if name != "none"]
    if not candidates:
        raise ValueError('the only operation is "none": give another one to choose')
    rows = strengths.tolist()
    best = [max(candidates, key=row.__getitem__) for row in rows]
    genes: list[Gene] = []
    start = 0
    for node in range(2, 2 + nodes):
        edges = range(start, start + node)
        # sorted and max keep the first of equals.
        for edge in sorted(edges, key=lambda edge: -rows[edge][best[edge]])[:2]:
            genes.append((operations[best[edge]], edge - start))
        start += node
    return tuple(genes)


def _count_nodes(strengths: Tensor, operations: Sequence[str]) -> int:
    nodes, edges = 0, 0
    while strengths.ndim == 2 and edges < len(strengths):
        edges += 2 + nodes
        nodes += 1
    if not nodes or strengths.shape != (edges, len(operations)):
        raise ValueError(
            f"the strengths have shape {tuple(strengths.shape)}: give a row for each edge (2 for "
            f"1 node, 5 for 2, 9 for 3, 14 for 4) and a column for each of "
            f"{len(operations)} operations"
        )
    return nodes


def _genotype(normal: str, reduce: str) -> Genotype:
    """Read cells such as "sep_conv_3x3 1, skip_connect 0", which put all nodes out."""
    cells = [
        tuple((name, int(source)) for name, source in map(str.split, text.split(", ")))
        for text in (normal, reduce)
    ]
    return _all_nodes_out(*cells)


def _all_nodes_out(normal: tuple[Gene, ...], reduce: tuple[Gene, ...]) -> Genotype:
    concats = [tuple(range(2, 2 + len(genes) // 2)) for genes in (normal, reduce)]
    return Genotype(normal, concats[0], reduce, concats[1])


#: Found with the first-order gradient on CIFAR-10. Source: Liu, Simonyan and Yang, 2019, and their
#: https://github.com/quark0/darts.
DARTS_V1 = _genotype(
    "sep_conv_3x3 1, sep_conv_3x3 0, skip_connect 0, sep_conv_3x3 1, "
    "skip_connect 0, sep_conv_3x3 1, sep_conv_3x3 0, skip_connect 2",
    "max_pool_3x3 0, max_pool_3x3 1, skip_connect 2, max_pool_3x3 0, "
    "max_pool_3x3 0, skip_connect 2, skip_connect 2, avg_pool_3x3 0",
)

#: Found with the second-order gradient on CIFAR-10. Source: as DARTS_V1.
DARTS_V2 = _genotype(
    "sep_conv_3x3 0, sep_conv_3x3 1, sep_conv_3x3 0, sep_conv_3x3 1, "
    "sep_conv_3x3 1, skip_connect 0, skip_connect 0, dil_conv_3x3 2",
    "max_pool_3x3 0, max_pool_3x3 1, skip_connect 2, max_pool_3x3 1, "
    "max_pool_3x3 0, skip_connect 2, skip_connect 2, max_pool_3x3 1",
)

#: Found with partial channels on CIFAR-10. Source: Xu et al., PC-DARTS: Partial channel
#: connections for memory-efficient architecture search, 2020.
PC_DARTS = _genotype(
    "sep_conv_3x3 1, skip_connect 0, sep_conv_3x3 0, dil_conv_3x3 1, "
    "sep_conv_5x5 0, sep_conv_3x3 1, avg_pool_3x3 0, dil_conv_3x3 1",
    "sep_conv_5x5 1, max_pool_3x3 0, sep_conv_5x5 1, sep_conv_5x5 2, "
    "sep_conv_3x3 0, sep_conv_3x3 3, sep_conv_3x3 1, sep_conv_3x3 2",
)
