"""`best_operations`, `strongest_inputs` and `derive_genes`: from alphas to a cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.compare import plain
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.derive_cell_questions.shared import (
    NAMES,
    NONE,
    Gene,
    draw_alpha,
    edge_count,
    node_rows,
    some_names,
)
from mlcourse.checks.search_basics_questions.shared import EXACT, distinct, integer

# --- The best operation of each edge --------------------------------------------------------------


def best_cases(g: Generator) -> list[tuple[Tensor, list[str]]]:
    """Alphas of cells, the DARTS names and others, `none` anywhere, and two that are equal."""
    cases = []
    for nodes, count, place in ((4, 8, 0), (2, 5, 0), (2, 4, 2), (3, 6, 5)):
        names = list(NAMES) if count == len(NAMES) else some_names(count, place, g)
        cases.append((draw_alpha(edge_count(nodes), count, place, g), names))
    alpha, names = draw_alpha(5, 5, 0, g), some_names(5, 0, g)
    for row in alpha:
        first, second = sorted(1 + i for i in torch.randperm(4, generator=g)[:2].tolist())
        row[first] = row[second] = 3.0
    cases.append((alpha, names))
    return cases


def over_operations(alpha: Tensor, names: Sequence[str]) -> Tensor:
    return alpha.softmax(1)


def over_edges(alpha: Tensor, names: Sequence[str]) -> Tensor:
    return alpha.softmax(0)


def none_before(alpha: Tensor, names: Sequence[str]) -> Tensor:
    """The softmax over the others alone."""
    without = alpha.clone()
    without[:, list(names).index(NONE)] = -torch.inf
    return without.softmax(1)


def alphas(alpha: Tensor, names: Sequence[str]) -> Tensor:
    return alpha


Weights = Callable[[Tensor, Sequence[str]], Tensor]
Pick = Callable[[list[float], Sequence[str]], int]


def strongest(row: list[float], names: Sequence[str]) -> int:
    """The first of the strongest that are not `none`."""
    return max((k for k, name in enumerate(names) if name != NONE), key=row.__getitem__)


def strongest_of_all(row: list[float], names: Sequence[str]) -> int:
    return row.index(max(row))


def last_of_equals(row: list[float], names: Sequence[str]) -> int:
    return len(row) - 1 - strongest(row[::-1], names[::-1])


def weakest(row: list[float], names: Sequence[str]) -> int:
    return min((k for k, name in enumerate(names) if name != NONE), key=row.__getitem__)


def after_the_first(row: list[float], names: Sequence[str]) -> int:
    """`none` is taken to be the first."""
    return 1 + row[1:].index(max(row[1:]))


def unshifted(row: list[float], names: Sequence[str]) -> int:
    """The number among the others, as if it were one among all."""
    others = [k for k, name in enumerate(names) if name != NONE]
    return others.index(strongest(row, names))


def runner_up(row: list[float], names: Sequence[str]) -> int:
    return sorted(range(len(row)), key=lambda k: -row[k])[1]


def best_by(
    weights: Weights = over_operations,
    pick: Pick = strongest,
    show: Callable[[list[float], int, Sequence[str]], Any] = lambda row, k, names: row[k],
) -> Callable[[Tensor, Sequence[str]], list[tuple[str, Any]]]:
    """The best operations with one piece exchanged."""

    def best_operations(alpha: Tensor, names: Sequence[str]) -> list[tuple[str, Any]]:
        found = []
        for row in weights(alpha, names).tolist():
            k = pick(row, names)
            found.append((names[k], show(row, k, names)))
        return found

    return best_operations


def best_by_masking(alpha: Tensor, names: Sequence[str]) -> list[tuple[str, float]]:
    p = alpha.softmax(1)
    p[:, list(names).index(NONE)] = -1.0
    strengths, places = p.max(1)
    return [(names[k], s) for k, s in zip(places.tolist(), strengths.tolist(), strict=True)]


def best_by_numpy(alpha: Tensor, names: Sequence[str]) -> Any:
    powers = np.exp(alpha.numpy() - alpha.numpy().max(1, keepdims=True))
    p = powers / powers.sum(1, keepdims=True)
    others = [k for k in range(len(names)) if names[k] != NONE]
    places = [others[int(k)] for k in p[:, others].argmax(1)]
    return [(names[k], p[row, k]) for row, k in enumerate(places)]


def best_by_loops(alpha: Tensor, names: Sequence[str]) -> list[list[Any]]:
    found = []
    for row in alpha:
        best: list[Any] = ["", -1.0]
        for name, p in zip(names, row.softmax(0), strict=True):
            if name != NONE and p > best[1]:
                best = [name, p]
        found.append(best)
    return found


def last_by_loops(alpha: Tensor, names: Sequence[str]) -> list[tuple[str, float]]:
    return best_by(pick=last_of_equals)(alpha, names)


NONE_CHOSEN = (
    "you let none be chosen: it has its share in the softmax, but a cell is made of the best of "
    "the others"
)
NONE_BEFORE = (
    "you take none out *before* the softmax: its share must stay, so that an edge on which none is "
    "strong counts as weak"
)
OVER_EDGES = "your softmax runs over the edges: the operations of one edge compete, a row of alpha"

best_operations = Question(
    name="best_operations",
    title="The best operation of each edge",
    points=2,
    reference=best_by(),
    cases=best_cases,
    tolerance=EXACT,
    mistakes=(
        Mistake("none_chosen", best_by(pick=strongest_of_all), NONE_CHOSEN),
        Mistake("none_before", best_by(none_before), NONE_BEFORE),
        Mistake("over_edges", best_by(over_edges), OVER_EDGES),
        Mistake(
            "alphas",
            best_by(alphas),
            "the strengths are alphas: give the weights that the softmax makes of them (an alpha "
            "says nothing without the others of its edge)",
        ),
        Mistake(
            "last_of_equals",
            last_by_loops,
            "of two that are equally strong you take the later one: keep the earlier",
        ),
        Mistake("weakest", best_by(pick=weakest), "you choose the weakest operation"),
        Mistake(
            "first_left_out",
            best_by(pick=after_the_first),
            "you leave out the first operation, whatever its name: look for none in `names`",
        ),
        Mistake(
            "shifted",
            best_by(pick=unshifted, show=lambda row, k, names: row[strongest(row, names)]),
            "the names are shifted: after none is taken out, place 0 among the others is not place "
            "0 of `names`",
        ),
        Mistake(
            "runner_up",
            best_by(pick=runner_up),
            "you take the second of each edge: leave out none, which is not always the first",
        ),
        Mistake(
            "places",
            lambda alpha, names: [
                (strongest(row, names), row[strongest(row, names)])
                for row in alpha.softmax(1).tolist()
            ],
            "you give the places of the operations: their names are asked for",
        ),
        Mistake(
            "all_but_none",
            best_by(show=lambda row, k, names: 1 - row[list(names).index(NONE)]),
            "your strength is what none leaves to all others together: that of the chosen "
            "operation is asked for",
        ),
        Mistake(
            "exchanged",
            lambda alpha, names: [(s, name) for name, s in best_by()(alpha, names)],
            "the pairs are reversed: (name, strength)",
        ),
    ),
    variants=(
        Variant("masked", best_by_masking),
        Variant("NumPy", best_by_numpy),
        Variant("loops", best_by_loops),
    ),
    hints=(
        "The softmax of each row first, over all operations.",
        "Then the largest weight among those whose name is not none. max(..., key=...) keeps the "
        "first of equals.",
        "others = [k for k, name in enumerate(names) if name != 'none'], and for each row of "
        "alpha.softmax(1).tolist() the k of `others` with the largest row[k].",
    ),
)


# --- The two strongest inputs ---------------------------------------------------------------------


def inputs_cases(g: Generator) -> list[tuple[list[float]]]:
    """Strengths of the edges of 2, 3, 4 and 5 nodes, and equal ones."""
    cases = [distinct(edge_count(nodes), g) for nodes in (2, 3, 4, 5)]
    for nodes in (3, 4):
        equal = distinct(edge_count(nodes), g)
        for rows in node_rows(len(equal)):
            first, second = sorted(
                rows[i] for i in torch.randperm(len(rows), generator=g)[:2].tolist()
            )
            equal[first] = equal[second] = [0.3, 0.65][integer(0, 1, g)]
            if len(rows) > 2:
                top = next(row for row in rows if row not in (first, second))
                equal[top] = 0.7
        cases.append(equal)
    return [(strengths,) for strengths in cases]


Rows = Callable[[int], Iterable[Sequence[int]]]


def first_rows(edges: int) -> list[range]:
    """Each node begins at the first row."""
    return [range(len(rows)) for rows in node_rows(edges)]


def short_offsets(edges: int) -> list[range]:
    """Each node begins two rows after the one before."""
    return [range(2 * i, 2 * i + len(rows)) for i, rows in enumerate(node_rows(edges))]


def late_rows(edges: int) -> list[range]:
    """Each node but the first begins one row too late, and has one row fewer at the end."""
    return [
        range(rows.start + (i > 0), min(rows.stop + (i > 0), edges))
        for i, rows in enumerate(node_rows(edges))
    ]


def order(strengths: Sequence[float], rows: Sequence[int]) -> list[int]:
    return sorted(rows, key=lambda row: -strengths[row])


def inputs_by(
    rows: Rows = node_rows,
    keep: Callable[[Sequence[float], Sequence[int]], Sequence[int]] = lambda s, rows: order(
        s, rows
    )[:2],
    show: Callable[[int, Sequence[int]], int] = lambda row, rows: row - rows[0],
) -> Callable[[Sequence[float]], list[tuple[int, ...]]]:
    """The inputs of each node with one piece exchanged."""
    return lambda strengths: [
        tuple(show(row, taken) for row in keep(strengths, taken)) for taken in rows(len(strengths))
    ]


def inputs_by_numpy(strengths: Sequence[float]) -> Any:
    values, start = -np.array(strengths), 0
    found: list[np.ndarray] = []
    while start < len(values):
        node = 2 + len(found)
        found.append(values[start : start + node].argsort(kind="stable")[:2])
        start += node
    return np.array(found)


def inputs_by_removal(strengths: Sequence[float]) -> list[tuple[int, int]]:
    left, found = list(strengths), []
    node = 2
    while left:
        mine, left = left[:node], left[node:]
        first = mine.index(max(mine))
        mine[first] = -1.0
        found.append((first, mine.index(max(mine))))
        node += 1
    return found


def inputs_by_pairs(strengths: Sequence[float]) -> list[list[int]]:
    found: list[list[int]] = []
    start = 0
    for node in range(2, 100):
        if start == len(strengths):
            break
        pairs = [(-strengths[start + source], source) for source in range(node)]
        found.append([source for _, source in sorted(pairs)[:2]])
        start += node
    return found


def use_lists(answer: Callable[..., Any], *args: Any) -> Any:
    """Call the answer; an array may stand for a list of tuples."""
    result = plain(answer(*args))
    return result.tolist() if isinstance(result, Tensor) and result.dim() == 2 else result


def of_the_whole_cell(strengths: Sequence[float]) -> list[tuple[int, ...]]:
    nodes = node_rows(len(strengths))
    kept = order(strengths, range(len(strengths)))[: 2 * len(nodes)]
    return [tuple(row - rows[0] for row in kept if row in rows) for rows in nodes]


FIRST_ROWS = (
    "each of your nodes begins at the first row again: a node's rows come after those of the node "
    "before"
)
SHORT_OFFSETS = (
    "each of your nodes begins two rows after the one before: node 2 has two rows, node 3 three, "
    "node 4 four"
)

strongest_inputs = Question(
    name="strongest_inputs",
    title="The two strongest inputs",
    points=2,
    reference=inputs_by(),
    cases=inputs_cases,
    use=use_lists,
    mistakes=(
        Mistake("first_rows", inputs_by(first_rows), FIRST_ROWS),
        Mistake("short_offsets", inputs_by(short_offsets), SHORT_OFFSETS),
        Mistake(
            "late_rows",
            inputs_by(late_rows),
            "your rows are off by one from the second node on: node 2 has the rows 0 and 1, node 3 "
            "begins at row 2",
        ),
        Mistake(
            "row_numbers",
            inputs_by(show=lambda row, rows: row),
            "you give the numbers of rows: a source is a state, so each node counts from 0 again",
        ),
        Mistake(
            "weaker_first",
            inputs_by(keep=lambda s, rows: order(s, rows)[1::-1]),
            "the weaker of the two comes first: the stronger one should",
        ),
        Mistake(
            "by_source",
            inputs_by(keep=lambda s, rows: sorted(order(s, rows)[:2])),
            "your pairs are in the order of the sources: the stronger input first",
        ),
        Mistake(
            "later_of_equals",
            inputs_by(keep=lambda s, rows: order(s, rows[::-1])[:2]),
            "of inputs that are equally strong you take the later one first: the earlier one first "
            "(sorted(..., reverse=True) keeps the order of equals, [::-1] does not)",
        ),
        Mistake(
            "weakest_of_all",
            inputs_by(keep=lambda s, rows: order([-x for x in s], rows)[:2]),
            "you keep the two weakest inputs of each node: the strongest are asked for",
        ),
        Mistake(
            "weakest",
            inputs_by(keep=lambda s, rows: order(s, rows)[::-1][:2]),
            "you keep the weakest inputs",
        ),
        Mistake(
            "three",
            inputs_by(keep=lambda s, rows: order(s, rows)[:3]),
            "you keep three inputs: a node keeps two",
        ),
        Mistake(
            "one",
            inputs_by(keep=lambda s, rows: order(s, rows)[:1]),
            "you keep one input: a node keeps two",
        ),
        Mistake(
            "all_sorted",
            inputs_by(keep=order),
            "you sort the inputs of each node, but keep all of them: two stay",
        ),
        Mistake(
            "of_the_cell",
            of_the_whole_cell,
            "you keep the strongest edges of the whole cell, so that one node has many and another "
            "none: two for *each* node",
        ),
        Mistake(
            "last_two",
            inputs_by(keep=lambda s, rows: rows[-2:]),
            "you keep the two states just before each node: the strengths decide",
        ),
    ),
    variants=(
        Variant("NumPy", inputs_by_numpy),
        Variant("the largest, twice", inputs_by_removal),
        Variant("sorted pairs", inputs_by_pairs),
    ),
    hints=(
        "Node n has n rows, one for each state before it. Keep a counter `start`, and add n to it "
        "after each node.",
        "sorted(range(n), key=lambda source: -strengths[start + source]) has the strongest first, "
        "and the earlier of equals.",
        "The first two of this list, as a tuple; go on while start < len(strengths).",
    ),
)


# --- The whole rule -------------------------------------------------------------------------------


def genes_cases(g: Generator) -> list[tuple[Tensor, list[str]]]:
    """Cells of 4, 3 and 2 nodes; `none` first, or elsewhere; equal edges."""
    cases = []
    for nodes, count, place in ((4, 8, 0), (4, 5, 0), (3, 6, 3), (2, 4, 0), (3, 5, 4), (4, 6, 0)):
        names = list(NAMES) if count == len(NAMES) else some_names(count, place, g)
        cases.append((draw_alpha(edge_count(nodes), count, place, g), names))
    alpha, names = draw_alpha(9, 4, 0, g), some_names(4, 0, g)
    alpha[:] = alpha[0]
    alpha[integer(2, 4, g), 1:] += 0.7
    cases.append((alpha, names))
    return cases


def genes_by(
    weights: Weights = over_operations,
    pick: Pick = strongest,
    strength: Callable[[list[float], int, Sequence[str]], float] = lambda row, k, names: row[k],
    rows: Rows = node_rows,
    kept: int = 2,
    sign: int = -1,
    gene: Callable[[str, int, int], Any] = lambda name, source, node: (name, source),
) -> Callable[[Tensor, Sequence[str]], list[Any]]:
    """The genes of a cell with one piece exchanged."""

    def derive_genes(alpha: Tensor, names: Sequence[str]) -> list[Any]:
        table = weights(alpha, names).tolist()
        best = [pick(row, names) for row in table]
        strengths = [strength(row, k, names) for row, k in zip(table, best, strict=True)]
        genes = []
        for node, taken in enumerate(rows(len(table)), start=2):
            ranked = sorted(taken, key=lambda row: sign * strengths[row])
            genes += [gene(names[best[row]], row - taken[0], node) for row in ranked[:kept]]
        return genes

    return derive_genes


def genes_from_parts(alpha: Tensor, names: Sequence[str]) -> list[Gene]:
    best = best_by()(alpha, names)
    genes, start = [], 0
    for node, pair in enumerate(inputs_by()([s for _, s in best]), start=2):
        genes += [(best[start + source][0], source) for source in pair]
        start += node
    return genes


def genes_by_masking(alpha: Tensor, names: Sequence[str]) -> list[Gene]:
    p = alpha.softmax(1)
    p[:, list(names).index(NONE)] = 0.0
    genes: list[Gene] = []
    node = 2
    while len(p):
        strengths, places = p[:node].max(1)
        for source in strengths.argsort(descending=True, stable=True)[:2].tolist():
            genes.append((names[int(places[source])], source))
        p, node = p[node:], node + 1
    return genes


def genes_as_lists(alpha: Tensor, names: Sequence[str]) -> list[list[Any]]:
    return [list(gene) for gene in genes_by()(alpha, names)]


def mean_of_others(row: list[float], k: int, names: Sequence[str]) -> float:
    others = [p for p, name in zip(row, names, strict=True) if name != NONE]
    return sum(others) / len(others)


def with_two_operations(alpha: Tensor, names: Sequence[str]) -> list[Gene]:
    """Both of a node's genes may come from one edge: the two strongest entries."""
    p = alpha.softmax(1).tolist()
    genes: list[Gene] = []
    for rows in node_rows(len(p)):
        entries = [
            (-p[row][k], row - rows[0], names[k])
            for row in rows
            for k in range(len(names))
            if names[k] != NONE
        ]
        genes += [(name, source) for _, source, name in sorted(entries)[:2]]
    return genes


def in_order_of_sources(alpha: Tensor, names: Sequence[str]) -> list[Gene]:
    genes = genes_by()(alpha, names)
    pairs = zip(genes[::2], genes[1::2], strict=True)
    return [gene for pair in pairs for gene in sorted(pair, key=lambda gene: gene[1])]


derive_genes = Question(
    name="derive_genes",
    title="The whole rule",
    points=3,
    reference=genes_by(),
    cases=genes_cases,
    mistakes=(
        Mistake("none_chosen", genes_by(pick=strongest_of_all), NONE_CHOSEN),
        Mistake("none_before", genes_by(none_before), NONE_BEFORE),
        Mistake("over_edges", genes_by(over_edges), OVER_EDGES),
        Mistake(
            "alphas",
            genes_by(alphas),
            "you compare alphas of different edges: an alpha says nothing without the others of "
            "its edge, so compare the weights, after the softmax",
        ),
        Mistake(
            "by_mean",
            genes_by(strength=mean_of_others),
            "you measure an edge by the mean of its operations: its *best* operation counts",
        ),
        Mistake(
            "none_in_the_strength",
            genes_by(strength=lambda row, k, names: max(row)),
            "an edge counts as strong for you when none is strong on it: its strength is the "
            "weight of the best of the *others*",
        ),
        Mistake("first_rows", genes_by(rows=first_rows), FIRST_ROWS),
        Mistake("short_offsets", genes_by(rows=short_offsets), SHORT_OFFSETS),
        Mistake(
            "three",
            genes_by(kept=3),
            "you keep three inputs of a node: two stay",
        ),
        Mistake(
            "all_edges",
            genes_by(kept=100),
            "you keep all edges: each node keeps its two strongest",
        ),
        Mistake(
            "weakest",
            genes_by(sign=1),
            "you keep the weakest edges of each node",
        ),
        Mistake(
            "by_source",
            in_order_of_sources,
            "the two genes of a node are in the order of their sources: the stronger one first",
        ),
        Mistake(
            "two_of_one_edge",
            with_two_operations,
            "both genes of a node may come from one edge in your rule: choose an operation for "
            "each edge first, then two edges",
        ),
        Mistake(
            "first_left_out",
            genes_by(pick=after_the_first),
            "you leave out the first operation, whatever its name: look for none in `names`",
        ),
        Mistake(
            "exchanged",
            genes_by(gene=lambda name, source, node: (source, name)),
            "the pairs are reversed: (name, source)",
        ),
        Mistake(
            "with_nodes",
            genes_by(gene=lambda name, source, node: (name, node)),
            "you give the node that a gene leads *to*: its place in the list says that; give its "
            "source",
        ),
    ),
    variants=(
        Variant("from the parts", genes_from_parts),
        Variant("masked", genes_by_masking),
        Variant("lists", genes_as_lists),
    ),
    hints=(
        "Call best_operations for all rows, then strongest_inputs for the strengths.",
        "Node n has the rows start to start + n - 1; its source s is row start + s.",
        "for node, pair in enumerate(strongest_inputs(...), start=2): append (names of the best of "
        "row start + source, source) for both sources, then start += node.",
    ),
)
