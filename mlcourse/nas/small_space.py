"""Cells so few that each can be trained: the toy space of the black-box comparison.

A cell has four nodes and an edge from each to every later one; node 0 is the input, node 3 the
output. On each of the six edges is one of four operations, and a node adds what arrives: the form
of NAS-Bench-201 (Dong and Yang, 2020) with one operation less. A cell is written as six letters,
one an edge in the order of `EDGES`: "cscnsc". Many of the 4,096 cells compute the same function
(`representatives`), so only some hundreds need training.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from functools import cache

from mlcourse.hpo.space import Config, Value

#: Each edge as (from, to).
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))

#: What can be on an edge, by its letter; a convolution is ReLU, 3x3 convolution, batch norm.
OPERATIONS = {"n": "none", "s": "skip_connect", "a": "avg_pool_3x3", "c": "conv_3x3"}

#: The space for `mlcourse.hpo`: a choice for each edge.
SPACE = {f"{i}-{j}": list(OPERATIONS.values()) for i, j in EDGES}

_LETTERS = {name: letter for letter, name in OPERATIONS.items()}

# A value in a cell is a sum of terms (what, how often pooled): the input, -1, or the output of a
# convolution, which has a number.
_Terms = tuple[tuple[int, int], ...]


def to_config(cell: str) -> Config:
    """Return a cell's operations by edge, as in SPACE. Raises ValueError for other letters."""
    if len(cell) != len(EDGES) or not set(cell) <= set(OPERATIONS):
        raise ValueError(
            f"the cell is {cell!r}: give {len(EDGES)} letters of {', '.join(OPERATIONS)}"
        )
    return {edge: OPERATIONS[letter] for edge, letter in zip(SPACE, cell, strict=True)}


def from_config(config: Mapping[str, Value]) -> str:
    """Return the six letters of a configuration. Raises ValueError unless it is one of SPACE."""
    if set(config) != set(SPACE) or not all(op in _LETTERS for op in config.values()):
        raise ValueError(f"the configuration is {dict(config)}: give an operation for each edge")
    return "".join(_LETTERS[str(config[edge])] for edge in SPACE)


def cells() -> list[str]:
    """Return all 4,096 cells."""
    return ["".join(letters) for letters in itertools.product(OPERATIONS, repeat=len(EDGES))]


def neighbours(cell: str) -> list[str]:
    """Return the 18 cells that differ on one edge."""
    return [
        cell[:edge] + letter + cell[edge + 1 :]
        for edge in range(len(EDGES))
        for letter in OPERATIONS
        if letter != cell[edge]
    ]


@cache
def representatives() -> dict[str, str]:
    """Return for each cell the simplest one that computes the same function.

    That is the one with the fewest convolutions, then operations, then the first in the alphabet.
    """
    chosen: dict[object, str] = {}
    for cell in sorted(cells(), key=_complexity):
        chosen.setdefault(_function(cell), cell)
    return {cell: chosen[_function(cell)] for cell in cells()}


def _complexity(cell: str) -> tuple[int, int, str]:
    return cell.count("c"), len(cell) - cell.count("n"), cell


def _function(cell: str) -> tuple[_Terms, ...]:
    """Return what a cell computes: its output's terms, then those of each convolution's input.

    A skip copies a sum and pooling, being linear, pools each term, so both dissolve. What no path
    leads to the output does not appear. Convolutions have weights of their own: two of the same
    input are two terms, one that is used twice is a term that occurs twice. Their numbers mean
    nothing, so those are taken that give the smallest description.
    """
    output, inputs = _terms(cell)
    used = sorted(_reached(output, inputs))
    descriptions = []
    for order in itertools.permutations(used):
        number = {-1: -1, **{conv: i for i, conv in enumerate(order)}}
        parts = [output, *(inputs[conv] for conv in order)]
        descriptions.append(
            tuple(tuple(sorted((number[what], k) for what, k in part)) for part in parts)
        )
    return min(descriptions)


def _terms(cell: str) -> tuple[_Terms, list[_Terms]]:
    """Return the terms of the output and of each convolution's input."""
    nodes: list[_Terms] = [((-1, 0),), (), (), ()]
    inputs: list[_Terms] = []
    for (i, j), letter in zip(EDGES, cell, strict=True):
        if letter == "s":
            nodes[j] += nodes[i]
        elif letter == "a":
            nodes[j] += tuple((what, k + 1) for what, k in nodes[i])
        elif letter == "c" and nodes[i]:
            nodes[j] += ((len(inputs), 0),)
            inputs.append(nodes[i])
    return nodes[3], inputs


def _reached(output: _Terms, inputs: list[_Terms]) -> set[int]:
    """Return the convolutions that the output depends on."""
    found: set[int] = set()
    waiting = [what for what, _ in output]
    while waiting:
        conv = waiting.pop()
        if conv >= 0 and conv not in found:
            found.add(conv)
            waiting += [what for what, _ in inputs[conv]]
    return found
