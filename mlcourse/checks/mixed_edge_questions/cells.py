"""`edges_of_cell`, `mixed_cell` and `network_table`: from an edge to a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.compare import plain
from mlcourse.checks.complexity_questions.shared import DTYPE
from mlcourse.checks.conv_arithmetic_questions.shared import Calls, call_each, different, whole
from mlcourse.checks.declare import Mistake, Question, Variant

Pairs = list[tuple[int, int]]

# --- The edges of a cell --------------------------------------------------------------------------


def edges_cases(g: Generator) -> list[tuple[Calls]]:
    return [({f"the edges of {n} nodes": (n,) for n in different(3, 2, 7, g)},)]


def use_rows(answer: Callable[..., Any], calls: Calls) -> dict[str, Any]:
    """Call the answer each time; an array may stand for a list of tuples."""
    return {phrase: as_rows(result) for phrase, result in call_each(answer, calls).items()}


def as_rows(result: Any) -> Any:
    result = plain(result)
    return result.tolist() if isinstance(result, Tensor) and result.dim() == 2 else result


def edges(nodes: int) -> Pairs:
    return [(source, node) for node in range(2, nodes + 2) for source in range(node)]


def edges_where(keep: Callable[[int, int], bool]) -> Callable[[int], Pairs]:
    return lambda nodes: [pair for pair in edges(nodes) if keep(*pair)]


def edges_by_loops(nodes: int) -> Pairs:
    found, states = [], [0, 1]
    for _ in range(nodes):
        node = len(states)
        found += [(state, node) for state in states]
        states.append(node)
    return found


def edges_by_indices(nodes: int) -> Any:
    node, source = torch.tril_indices(nodes + 2, nodes + 2, offset=-1)
    return torch.stack([source, node], dim=1)[1:].numpy()


edges_of_cell = Question(
    name="edges_of_cell",
    title="The edges of a cell",
    points=1,
    reference=edges,
    cases=edges_cases,
    use=use_rows,
    mistakes=(
        Mistake(
            "no_inputs",
            edges_where(lambda source, node: source >= 2),
            "the edges from the two inputs are missing: the inputs are the states 0 and 1, and "
            "each node has an edge from both",
        ),
        Mistake(
            "inputs_alone",
            edges_where(lambda source, node: source < 2),
            "each node gets the inputs alone: it has an edge from every *node* before it, too",
        ),
        Mistake(
            "one_input",
            edges_where(lambda source, node: source >= 1),
            "a cell has two inputs, the states 0 and 1: the edges from 0 are missing",
        ),
        Mistake(
            "last_two",
            edges_where(lambda source, node: source >= node - 2),
            "each node gets the two states before it alone: all earlier states are its sources "
            "(two of them are chosen after the search)",
        ),
        Mistake(
            "itself",
            lambda nodes: [(s, n) for n in range(2, nodes + 2) for s in range(n + 1)],
            "a node has no edge from itself: sources are states *before* it",
        ),
        Mistake(
            "input_to_input",
            lambda nodes: [(s, n) for n in range(nodes + 2) for s in range(n)],
            "there is no edge from input 0 to input 1: the first node is state 2",
        ),
        Mistake(
            "inputs_are_nodes",
            lambda nodes: [(s, n) for n in range(2, nodes) for s in range(n)],
            "you count the inputs as nodes: there are `nodes` states besides the two inputs",
        ),
        Mistake(
            "nodes_from_0",
            lambda nodes: [(s, n - 2) for s, n in edges(nodes)],
            "you number the nodes from 0: 0 and 1 are the inputs, so the first node is 2",
        ),
        Mistake(
            "by_source",
            lambda nodes: sorted(edges(nodes)),
            "the order is by source: node by node is asked for, as the rows of alpha have it",
        ),
        Mistake(
            "reversed",
            lambda nodes: [(n, s) for s, n in edges(nodes)],
            "the pairs are reversed: (source, node)",
        ),
    ),
    variants=(
        Variant("states that grow", edges_by_loops),
        Variant("a triangle of indices", edges_by_indices),
        Variant("lists", lambda nodes: [[s, n + 2] for n in range(nodes) for s in range(n + 2)]),
    ),
    hints=(
        "The nodes are the states 2, 3, ..., nodes + 1.",
        "The sources of a node are all states with a smaller number.",
        "[(source, node) for node in range(2, nodes + 2) for source in range(node)]",
    ),
)


# --- A cell of mixed edges ------------------------------------------------------------------------


def cell_cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """(s0, s1, matrices, alpha) of cells with two, three and four nodes."""
    cases = []
    for nodes, n, d, count in ((2, 3, 2, 3), (3, 2, 3, 4), (4, 2, 2, 2)):
        rows = len(edges(nodes))
        matrices = 0.8 * normal(rows, count, d, d, generator=g, dtype=DTYPE)
        matrices[:, 0] = 0.0
        s0, s1 = normal(2, n, d, generator=g, dtype=DTYPE)
        cases.append((s0, s1, matrices, normal(rows, count, generator=g, dtype=DTYPE)))
    return cases


def sources(nodes: int) -> Iterator[list[tuple[int, int]]]:
    """Yield (source, row of alpha) of each node."""
    start = 0
    for node in range(2, nodes + 2):
        yield [(source, start + source) for source in range(node)]
        start += node


def by_sources(nodes: int) -> Iterator[list[tuple[int, int]]]:
    """The rows are taken source by source."""
    order = sorted(edges(nodes))
    for node in range(2, nodes + 2):
        yield [(source, order.index((source, node))) for source in range(node)]


def first_rows(nodes: int) -> Iterator[list[tuple[int, int]]]:
    """Each node begins at the first row."""
    for node in range(2, nodes + 2):
        yield [(source, source) for source in range(node)]


def short_offsets(nodes: int) -> Iterator[list[tuple[int, int]]]:
    """Each node begins two rows after the one before."""
    for i, node in enumerate(range(2, nodes + 2)):
        yield [(source, 2 * i + source) for source in range(node)]


def backwards(nodes: int) -> Iterator[list[tuple[int, int]]]:
    """The rows of a node are taken from its last source on."""
    for node in sources(nodes):
        yield [(len(node) - 1 - source, row) for source, row in node]


def inputs_only(nodes: int) -> Iterator[list[tuple[int, int]]]:
    for node in sources(nodes):
        yield node[:2]


Mixed = Callable[[Tensor, Tensor, Tensor], Tensor]
Rows = Callable[[int], Iterator[list[tuple[int, int]]]]


def node_count(rows: int) -> int:
    nodes = 0
    while len(edges(nodes)) < rows:
        nodes += 1
    return nodes


def mix(s: Tensor, matrices: Tensor, p: Tensor) -> Tensor:
    return torch.einsum("k,nd,kde->ne", p, s, matrices)


def cell_by(
    weights: Callable[[Tensor], Tensor] = lambda alpha: alpha.softmax(1),
    rows: Rows = sources,
    edge: Mixed = mix,
    node: Callable[[list[Tensor]], Tensor] = lambda arriving: torch.stack(arriving).sum(0),
    out: Callable[[list[Tensor]], Tensor] = lambda states: torch.cat(states[2:], dim=1),
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The cell with one of its pieces exchanged."""

    def mixed_cell(s0: Tensor, s1: Tensor, matrices: Tensor, alpha: Tensor) -> Tensor:
        p, states = weights(alpha), [s0, s1]
        for taken in rows(node_count(len(alpha))):
            states.append(node([edge(states[s], matrices[row], p[row]) for s, row in taken]))
        return out(states)

    return mixed_cell


def cell_row_by_row(s0: Tensor, s1: Tensor, matrices: Tensor, alpha: Tensor) -> Tensor:
    states, row = [s0, s1], 0
    while row < len(alpha):
        total = torch.zeros_like(s0)
        for state in states:
            for p, A in zip(alpha[row].softmax(0), matrices[row], strict=True):
                total = total + p * (state @ A)
            row += 1
        states.append(total)
    return torch.cat(states[2:], dim=1)


def cell_of_mixed_matrices(s0: Tensor, s1: Tensor, matrices: Tensor, alpha: Tensor) -> Tensor:
    """All operations are linear, so their mixture is one matrix."""
    mixed = torch.einsum("rk,rkde->rde", alpha.softmax(1), matrices)
    states = torch.stack([s0, s1])
    start = 0
    while start < len(mixed):
        new = torch.einsum("snd,sde->ne", states, mixed[start : start + len(states)])
        start += len(states)
        states = torch.cat([states, new[None]])
    return states[2:].permute(1, 0, 2).flatten(1)


mixed_cell = Question(
    name="mixed_cell",
    title="A cell of mixed edges",
    points=3,
    reference=cell_by(),
    cases=cell_cases,
    parts=("the cell's output",),
    mistakes=(
        Mistake(
            "over_edges",
            cell_by(weights=lambda alpha: alpha.softmax(0)),
            "your softmax runs over the edges: the operations of one edge compete, a row of alpha",
        ),
        Mistake(
            "alphas",
            cell_by(weights=lambda alpha: alpha),
            "you weight with the alphas themselves: take the softmax of each row first",
        ),
        Mistake(
            "equal_weights",
            cell_by(weights=lambda alpha: torch.full_like(alpha, 1 / alpha.shape[1])),
            "all operations have the same weight: alpha has no say",
        ),
        Mistake(
            "node_weights",
            cell_by(node=lambda arriving: torch.stack(arriving).mean(0)),
            "a node takes the mean of what arrives: it *adds* its edges (only the operations of an "
            "edge have weights with the sum 1)",
        ),
        Mistake(
            "nodes_added",
            cell_by(out=lambda states: torch.stack(states[2:]).sum(0)),
            "the nodes are added: the cell's output has the channels of all nodes side by side",
        ),
        Mistake(
            "last_node",
            cell_by(out=lambda states: states[-1]),
            "that is the last node alone: the cell's output has the channels of all nodes",
        ),
        Mistake(
            "inputs_too",
            cell_by(out=lambda states: torch.cat(states, dim=1)),
            "the cell's inputs are in its output as well: only the nodes are put side by side",
        ),
        Mistake(
            "stacked",
            cell_by(out=lambda states: torch.cat(states[2:], dim=0)),
            "the nodes are put below each other, as if they were more examples: put their channels "
            "side by side (dim=1)",
        ),
        Mistake(
            "inputs_alone",
            cell_by(rows=inputs_only),
            "your nodes take the two inputs alone: each has an edge from every node before it, too",
        ),
        Mistake(
            "by_source",
            cell_by(rows=by_sources),
            "you take the rows of alpha source by source: they stand node by node",
        ),
        Mistake(
            "first_rows",
            cell_by(rows=first_rows),
            "each of your nodes begins at the first row again: a node's rows come after those of "
            "the node before",
        ),
        Mistake(
            "short_offsets",
            cell_by(rows=short_offsets),
            "each of your nodes begins two rows after the one before: node 2 has two rows, node 3 "
            "three, node 4 four",
        ),
        Mistake(
            "backwards",
            cell_by(rows=backwards),
            "the rows of a node begin with its source 0: yours begin with its last source",
        ),
        Mistake(
            "exchanged",
            lambda s0, s1, matrices, alpha: cell_by()(s1, s0, matrices, alpha),
            "the two inputs are exchanged: s0 is state 0",
        ),
        Mistake(
            "transposed",
            cell_by(edge=lambda s, matrices, p: mix(s, matrices.transpose(1, 2), p)),
            "the matrices are transposed: operation k puts out s @ A_k",
        ),
        Mistake(
            "relu",
            cell_by(node=lambda arriving: torch.stack(arriving).sum(0).relu()),
            "a ReLU after a node's sum is too much: nodes add, and nothing else",
        ),
    ),
    variants=(
        Variant("row by row", cell_row_by_row),
        Variant("mixed matrices", cell_of_mixed_matrices),
        Variant("logarithm and back", cell_by(weights=lambda a: a.log_softmax(1).exp())),
    ),
    hints=(
        "Keep a list of states, [s0, s1] at first. A node takes the next len(states) rows of alpha "
        "and of matrices, one for each state, and is appended when it is complete.",
        "An edge: sum(p * (state @ A) for p, A in zip(alpha[row].softmax(0), matrices[row])).",
        "Loop `while row < len(alpha)`; at the end torch.cat(states[2:], dim=1).",
    ),
)


# --- The network ----------------------------------------------------------------------------------


def network_cases(g: Generator) -> list[tuple[Calls]]:
    """Layers that 3 divides, and others; sides that are odd on their way."""
    layers = [whole(2, 4, g) * 3, whole(2, 4, g) * 3 + 1, whole(2, 4, g) * 3 + 2]
    sides = (4 * whole(5, 9, g), 2 * whole(5, 9, g) + 1, 4 * whole(5, 9, g) + 2)
    return [
        (
            {
                f"the cells of {n} layers": (2 * c, n, side)
                for n, c, side in zip(layers, different(3, 4, 18, g), sides, strict=True)
            },
        )
    ]


Table = list[tuple[float, ...]]


def table_by(
    reductions: Callable[[int], tuple[int, int]] = lambda n: (n // 3, 2 * n // 3),
    nodes: int = 4,
    stem: int = 3,
    grow: int = 2,
    halve: Callable[[int], int] = lambda side: (side + 1) // 2,
    late: bool = False,
    row: Callable[[int, int, int, int], tuple[int, ...]] = lambda *sizes: sizes,
) -> Callable[[int, int, int], Table]:
    """The table with one of its rules exchanged; `late`: a reduction cell keeps its channels."""

    def network_table(channels: int, layers: int, side: int) -> Table:
        before_last = last = stem * channels
        rows: Table = []
        for i in range(layers):
            reduces = i in reductions(layers)
            if reduces:
                side = halve(side)
            new = channels * (grow if reduces else 1)
            rows.append(row(before_last, last, nodes * (channels if late else new), side))
            before_last, last, channels = last, int(rows[-1][2]), new
        return rows

    return network_table


def table_by_thirds(channels: int, layers: int, side: int) -> Table:
    """Each third has its channels and its side."""
    out = []
    for i in range(layers):
        halvings = (i >= layers // 3) + (i >= 2 * layers // 3)
        out.append((4 * channels * 2**halvings, -(-side // 2**halvings)))
    widths = [3 * channels, 3 * channels] + [width for width, _ in out]
    return [(widths[i], widths[i + 1], *out[i]) for i in range(layers)]


def table_as_array(channels: int, layers: int, side: int) -> Any:
    return torch.tensor(table_by()(channels, layers, side)).numpy()


network_table = Question(
    name="network_table",
    title="Channels and sizes",
    points=2,
    reference=table_by(),
    cases=network_cases,
    use=use_rows,
    mistakes=(
        Mistake(
            "nodes_added",
            table_by(nodes=1),
            "a cell puts the channels of its four nodes side by side: its output has 4 times those "
            "of a node",
        ),
        Mistake(
            "inputs_too",
            table_by(nodes=6),
            "only the four nodes are in a cell's output, not its two inputs",
        ),
        Mistake(
            "no_stem",
            table_by(stem=1),
            "the stem puts out 3 * channels channels",
        ),
        Mistake(
            "stem_like_a_cell",
            lambda c, n, side: [
                tuple(
                    4 * c if one == 3 * c and i < 2 and place < 2 else one
                    for place, one in enumerate(row)
                )
                for i, row in enumerate(table_by()(c, n, side))
            ],
            "you take the stem for a cell of four nodes: it puts out 3 * channels channels",
        ),
        Mistake(
            "stem_of_colours",
            lambda c, n, side: [
                tuple(
                    3 if one == 3 * c and i < 2 and place < 2 else one
                    for place, one in enumerate(row)
                )
                for i, row in enumerate(table_by()(c, n, side))
            ],
            "3 is the number of colours: the first cell's inputs come from the stem, which has "
            "3 * channels channels",
        ),
        Mistake(
            "one_late",
            table_by(lambda n: (n // 3 + 1, 2 * n // 3 + 1)),
            "your reduction cells come one too late: cells are counted from 0, and those with the "
            "numbers layers // 3 and 2 * layers // 3 reduce",
        ),
        Mistake(
            "one_early",
            table_by(lambda n: (n // 3 - 1, 2 * n // 3 - 1)),
            "your reduction cells come one too early: those with the numbers layers // 3 and "
            "2 * layers // 3 reduce, counted from 0",
        ),
        Mistake(
            "twice_a_third",
            table_by(lambda n: (n // 3, 2 * (n // 3))),
            "2 * layers // 3 is not twice layers // 3: multiply first, then divide",
        ),
        Mistake(
            "channels_kept",
            table_by(grow=1),
            "a reduction cell doubles the channels",
        ),
        Mistake(
            "channels_quadrupled",
            table_by(grow=4),
            "a reduction cell doubles the channels (maps have a quarter of the pixels, but the "
            "channels are doubled, not quadrupled)",
        ),
        Mistake(
            "doubled_late",
            table_by(late=True),
            "the reduction cell itself has the doubled channels already, not only the cells after "
            "it",
        ),
        Mistake(
            "sides_kept",
            table_by(halve=lambda side: side),
            "a reduction cell halves the sides",
        ),
        Mistake(
            "rounded_down",
            table_by(halve=lambda side: side // 2),
            "an odd side is rounded up: 7 pixels become 4",
        ),
        Mistake(
            "quartered",
            table_by(halve=lambda side: (side + 3) // 4),
            "a reduction cell *halves* each side (the number of pixels becomes a quarter)",
        ),
        Mistake(
            "exchanged",
            table_by(row=lambda before, last, out, side: (last, before, out, side)),
            "the two inputs are exchanged: first the channels from the cell before the last one",
        ),
    ),
    variants=(
        Variant("thirds", table_by_thirds),
        Variant("an array", table_as_array),
        Variant("lists", lambda *sizes: [list(row) for row in table_by()(*sizes)]),
    ),
    hints=(
        "Both inputs of cell 0 come from the stem; those of cell 1 from the stem and from cell 0.",
        "In a reduction cell first double the channels and halve the side (rounded up), then write "
        "the row: (before_last, last, 4 * channels, side).",
        "After each row: before_last, last = last, 4 * channels.",
    ),
)
