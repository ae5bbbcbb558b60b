"""`strengths_by_epoch`, `weight_free_counts` and `stop_by_count`: what a search's record shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.complexity_questions.shared import DTYPE
from mlcourse.checks.curves_questions.shared import use_list
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.derive_cell_questions.shared import NAMES, NONE, edge_count, node_rows
from mlcourse.checks.search_basics_questions.shared import integer, shuffled

# --- The mean strength of each operation ----------------------------------------------------------


def strength_cases(g: Generator) -> list[tuple[Tensor]]:
    """Alphas of several epochs: as many edges as operations or epochs, and other numbers."""
    return [
        (1.5 * normal(*shape, generator=g, dtype=DTYPE),)
        for shape in ((6, 14, 8), (4, 5, 5), (5, 5, 3), (1, 2, 4), (3, 3, 3))
    ]


def strengths_by_loops(alphas: Tensor) -> Tensor:
    rows = []
    for epoch in alphas:
        powers = [edge.exp() / edge.exp().sum() for edge in epoch]
        rows.append(sum(powers[1:], powers[0]) / len(powers))
    return torch.stack(rows)


def strengths_by_numpy(alphas: Tensor) -> Any:
    powers = (alphas - alphas.amax(2, keepdim=True)).exp().numpy()
    return (powers / powers.sum(2, keepdims=True)).mean(1)


strengths_by_epoch = Question(
    name="strengths_by_epoch",
    title="The strength of each operation, epoch by epoch",
    points=1,
    reference=lambda alphas: alphas.softmax(2).mean(1),
    cases=strength_cases,
    parts=("the strengths",),
    mistakes=(
        Mistake(
            "over_edges",
            lambda alphas: alphas.softmax(1).mean(1),
            "your softmax runs over the edges: the operations of *one* edge share its weight, so "
            "it runs over the last axis",
        ),
        Mistake(
            "over_epochs",
            lambda alphas: alphas.softmax(0).mean(1),
            "your softmax runs over the epochs: what was on another day takes no share away",
        ),
        Mistake(
            "raw",
            lambda alphas: alphas.mean(1),
            "you take the mean of the alphas themselves: strengths are their softmax",
        ),
        Mistake(
            "mean_first",
            lambda alphas: alphas.mean(1).softmax(1),
            "you take the mean of the alphas and then the softmax: each edge has a softmax of its "
            "own, and the mean comes after it",
        ),
        Mistake(
            "summed",
            lambda alphas: alphas.softmax(2).sum(1),
            "you add the strengths of all edges: take their mean, so that a row adds up to 1",
        ),
        Mistake(
            "exponentials",
            lambda alphas: alphas.exp().mean(1),
            "exp(alpha) is not divided by its sum over the operations of the edge",
        ),
        Mistake(
            "none_first",
            lambda alphas: torch.cat(
                [torch.zeros_like(alphas[:, :, :1]), alphas[:, :, 1:].softmax(2)], 2
            ).mean(1),
            "you leave the first operation out of the softmax: every operation has its share, "
            "none as well",
        ),
        Mistake(
            "best_only",
            lambda alphas: alphas.softmax(2).amax(1),
            "you take the largest strength of each operation: the mean over all edges is asked for",
        ),
        Mistake(
            "one_softmax",
            lambda alphas: alphas.flatten(1).softmax(1).reshape(alphas.shape).sum(1),
            "you take one softmax over all edges and operations of an epoch: each edge has its own",
        ),
    ),
    variants=(
        Variant("loops", strengths_by_loops),
        Variant("numpy", strengths_by_numpy),
        Variant(
            "einsum", lambda alphas: torch.einsum("tek->tk", alphas.softmax(-1)) / alphas.shape[1]
        ),
    ),
    hints=(
        "Which numbers add up to 1? The weights of the operations on one edge, in one epoch.",
        "alphas.softmax(2) has the shape of alphas. Over which axis do you take the mean?",
        "alphas.softmax(2).mean(1)",
    ),
)

# --- How much of the cell has no weights ----------------------------------------------------------

Record = dict[str, Any]

#: Operations without weights, in a normal cell.
FREE = ("max_pool_3x3", "avg_pool_3x3", "skip_connect")


def drawn_record(epochs: int, nodes: int, order: Sequence[int], g: Generator) -> Record:
    """A search in which operations without weights, and `none`, become strong on some edges.

    The edges' alphas are shifted against each other, which their strengths do not notice.
    """
    names = [NAMES[k] for k in order]
    record: Record = {"operations": names}
    for kind in ("normal", "reduce"):
        edges = edge_count(nodes)
        alphas = normal(epochs, edges, len(names), generator=g, dtype=DTYPE)
        for k, name in enumerate(names):
            if name in FREE:
                alphas[:, :, k] += torch.linspace(-0.5, 1.0, epochs, dtype=DTYPE)[:, None]
        strong = (torch.rand(edges, generator=g, dtype=DTYPE) < 0.5).to(DTYPE)
        alphas[:, :, names.index(NONE)] += 2.5 * strong
        record[kind] = alphas + 3 * normal(1, edges, 1, generator=g, dtype=DTYPE)
    return record


def count_cases(g: Generator) -> list[tuple[Record]]:
    """The names in the order of DARTS, and in another order, with none among the others."""
    others = shuffled(len(NAMES), g)
    while others[0] == 0:
        others = shuffled(len(NAMES), g)
    return [
        (drawn_record(epochs, nodes, order, g),)
        for epochs, nodes, order in (
            (12, 4, range(len(NAMES))),
            (10, 4, others),
            (12, 3, others[::-1] if others[-1] else others),
        )
    ]


def strong(alpha: Tensor, names: Sequence[str]) -> Tensor:
    return alpha.softmax(1)


def without_none(alpha: Tensor, names: Sequence[str]) -> Tensor:
    hidden = alpha.clone()
    hidden[:, list(names).index(NONE)] = -torch.inf
    return hidden.softmax(1)


def genes_of(
    alpha: Tensor,
    names: Sequence[str],
    weights: Callable[[Tensor, Sequence[str]], Tensor] = strong,
    inputs: int | None = 2,
    with_none: bool = False,
) -> list[str]:
    """The names of a cell's operations, by the paper's rule or by one with a piece exchanged."""
    rows = weights(alpha, names).tolist()
    candidates = [k for k, name in enumerate(names) if with_none or name != NONE]
    best = [max(candidates, key=row.__getitem__) for row in rows]
    found = []
    for node in node_rows(len(rows)):
        ranked = sorted(node, key=lambda edge: -rows[edge][best[edge]])
        found += [names[best[edge]] for edge in ranked[:inputs]]
    return found


def counts_by(
    counted: Sequence[str] = FREE, kinds: Sequence[str] = ("normal",), **rule: Any
) -> Callable[[Record], list[int]]:
    """The counts with one piece exchanged."""

    def weight_free_counts(record: Record) -> list[int]:
        names = record["operations"]
        return [
            sum(
                name in counted
                for kind in kinds
                for name in genes_of(record[kind][t], names, **rule)
            )
            for t in range(len(record["normal"]))
        ]

    return weight_free_counts


def in_the_usual_order(record: Record) -> list[int]:
    """Reads the names by their places in DARTS, whatever the record's own order is."""
    return counts_by()({**record, "operations": list(NAMES)})


def strongest_of_all(record: Record) -> list[int]:
    """Keeps the strongest edges of the whole cell, twice as many as there are nodes."""
    names, counts = record["operations"], []
    candidates = [k for k, name in enumerate(names) if name != NONE]
    for alpha in record["normal"]:
        strengths, best = alpha.softmax(1)[:, candidates].max(1)
        kept = strengths.topk(2 * len(node_rows(len(alpha)))).indices
        counts.append(sum(names[candidates[k]] in FREE for k in best[kept].tolist()))
    return counts


def one_edge_twice(record: Record) -> list[int]:
    """Takes the two strongest operations of a node, be they of one edge."""
    names, counts = record["operations"], []
    candidates = [k for k, name in enumerate(names) if name != NONE]
    for alpha in record["normal"]:
        table = alpha.softmax(1)[:, candidates]
        top = [table[list(node)].flatten().topk(2).indices for node in node_rows(len(alpha))]
        kept = (torch.cat(top) % len(candidates)).tolist()
        counts.append(sum(names[candidates[k]] in FREE for k in kept))
    return counts


def shares(record: Record) -> list[float]:
    genes = 2 * len(node_rows(record["normal"].shape[1]))
    return [count / genes for count in counts_by()(record)]


def counts_by_tensors(record: Record) -> list[int]:
    names = record["operations"]
    p = record["normal"].softmax(-1).clone()
    p[..., names.index(NONE)] = -1.0
    strengths, best = p.max(-1)
    free = torch.tensor(["pool" in name or "skip" in name for name in names])[best]
    total = torch.zeros(len(p), dtype=torch.long)
    for node in node_rows(p.shape[1]):
        top = strengths[:, list(node)].topk(2, dim=1).indices
        total += free[:, list(node)].gather(1, top).sum(1)
    return total.tolist()


def counts_by_convolutions(record: Record) -> list[int]:
    names, counts = record["operations"], []
    for alpha in record["normal"]:
        genes = genes_of(alpha, names)
        counts.append(len(genes) - sum("conv" in name for name in genes))
    return counts


weight_free_counts = Question(
    name="weight_free_counts",
    title="Operations without weights in the cell, epoch by epoch",
    points=2,
    reference=counts_by(),
    cases=count_cases,
    use=use_list,
    mistakes=(
        Mistake(
            "both_cells",
            counts_by(kinds=("normal", "reduce")),
            "you count the reduction cell too: the normal cell alone is asked for (in the other "
            "one a skip from an input has weights)",
        ),
        Mistake(
            "reduction_cell",
            counts_by(kinds=("reduce",)),
            "you count in the reduction cell: the normal cell is asked for",
        ),
        Mistake(
            "none_counted",
            counts_by(counted=(*FREE, NONE), with_none=True),
            "you let none win, and count it: the rule never chooses none",
        ),
        Mistake(
            "none_wins",
            counts_by(with_none=True),
            "you let none win where it is the strongest: the rule takes the best of the *others*",
        ),
        Mistake(
            "none_outside",
            counts_by(weights=without_none),
            "you leave none out of the softmax: its share makes the others of that edge weaker, "
            "and that decides which edges stay",
        ),
        Mistake(
            "over_edges",
            counts_by(weights=lambda alpha, names: alpha.softmax(0)),
            "your softmax runs over the edges: it runs over the operations of an edge",
        ),
        Mistake(
            "raw",
            counts_by(weights=lambda alpha, names: alpha),
            "you compare the alphas themselves: edges are compared by strengths, which do not "
            "change when all alphas of an edge grow by the same number",
        ),
        Mistake(
            "all_edges",
            counts_by(inputs=None),
            "you count all edges: each node keeps its two strongest",
        ),
        Mistake(
            "one_input",
            counts_by(inputs=1),
            "you keep one edge for each node: the rule keeps two",
        ),
        Mistake(
            "skips_alone",
            counts_by(counted=("skip_connect",)),
            "you count skips alone: the two pools have no weights either",
        ),
        Mistake(
            "pools_alone",
            counts_by(counted=("max_pool_3x3", "avg_pool_3x3")),
            "you count the pools alone: a skip has no weights either",
        ),
        Mistake(
            "with_weights",
            counts_by(counted=[name for name in NAMES if "conv" in name]),
            "you count the convolutions: these are the operations *with* weights",
        ),
        Mistake(
            "usual_order",
            in_the_usual_order,
            "you take the operations to be in the order of DARTS: what column k is, "
            'record["operations"][k] says, and none need not be the first',
        ),
        Mistake(
            "strongest_of_all",
            strongest_of_all,
            "you keep the strongest edges of the whole cell: *each node* keeps its two strongest",
        ),
        Mistake(
            "one_edge_twice",
            one_edge_twice,
            "you take the two strongest operations of a node, even if both are of one edge: first "
            "one operation for each edge, then two edges for each node",
        ),
        Mistake(
            "shares",
            shares,
            "that is the share of the cell's operations: their number is asked for",
        ),
        Mistake(
            "last_epoch",
            lambda record: counts_by()(record)[-1],
            "you return the count of the last epoch: one number for each epoch is asked for",
        ),
    ),
    variants=(
        Variant("tensors", counts_by_tensors),
        Variant("all but the convolutions", counts_by_convolutions),
        Variant("a tuple", lambda record: tuple(counts_by()(record))),
    ),
    hints=(
        "For one epoch: strengths, the best operation of each edge but none, the two strongest "
        "edges of each node. Your functions from the exercise derive_cell may be of use here.",
        "Node number i (from 0) has i + 2 edges, and their rows follow on each other.",
        'record["normal"][t] is (edges, operations). After the choice count the names among '
        "max_pool_3x3, avg_pool_3x3 and skip_connect.",
    ),
)

# --- A rule that counts ---------------------------------------------------------------------------


def stop_cases(g: Generator) -> list[tuple[list[int], int, int]]:
    """(counts, limit, start): reached exactly, passed at once, early and late, and never."""
    cases = []
    for epochs, limit, start in ((14, 2, 5), (12, 3, 4), (12, 1, 6), (10, 4, 0)):
        at = start + integer(2, epochs - start - 3, g)
        early = [integer(0, limit - 1, g) for _ in range(at)]
        if start:
            early[1 if limit == 2 else start - 1] = limit + 1  # before anybody asks
        cases.append(([*early, limit, 0, limit + 1, *[limit] * (epochs - at - 3)], limit, start))
    counts, limit, start = cases[0]
    at_start = [*counts[:start], limit, *counts[start + 1 :]]
    passed = [*counts[:start], 0, 1, limit + 2, 0, limit, *[0] * (len(counts) - start - 5)]
    never = [integer(0, 2, g) for _ in range(8)]
    return [*cases, (at_start, limit, start), (passed, limit, start), (never, 3, 2)]


def stop_by(
    reached: Callable[[int, int], bool] = lambda count, limit: count >= limit,
    asked: Callable[[int, int], bool] = lambda t, start: t >= start,
    show: Callable[[int], Any] = lambda t: t,
    never: Callable[[int], Any] = lambda epochs: None,
    backwards: bool = False,
) -> Callable[[list[int], int, int], Any]:
    """The rule with one piece exchanged."""

    def stop_by_count(counts: list[int], limit: int, start: int) -> Any:
        order = range(len(counts))
        for t in reversed(order) if backwards else order:
            if asked(t, start) and reached(counts[t], limit):
                return show(t)
        return never(len(counts))

    return stop_by_count


def counted_from_start(counts: list[int], limit: int, start: int) -> int | None:
    for t, count in enumerate(counts[start:]):
        if count >= limit:
            return t
    return None


def summed_up(counts: list[int], limit: int, start: int) -> int | None:
    total = 0
    for t, count in enumerate(counts):
        total += count
        if t >= start and total >= limit:
            return t
    return None


def stop_by_while(counts: list[int], limit: int, start: int) -> int | None:
    t = start
    while t < len(counts) and counts[t] < limit:
        t += 1
    return t if t < len(counts) else None


stop_by_count = Question(
    name="stop_by_count",
    title="A rule that counts skips",
    points=1,
    reference=stop_by(),
    cases=stop_cases,
    parts=("the epoch",),
    mistakes=(
        Mistake(
            "more_than",
            stop_by(reached=lambda count, limit: count > limit),
            "you wait for *more* than limit skips: limit of them are enough",
        ),
        Mistake(
            "first_epochs",
            stop_by(asked=lambda t, start: True),
            "you stop before start: in the first epochs the strengths are nearly equal, and the "
            "cell is chance",
        ),
        Mistake(
            "late_start",
            stop_by(asked=lambda t, start: t > start),
            "you begin to ask one epoch too late: epoch start itself can be the last",
        ),
        Mistake(
            "early_start",
            stop_by(asked=lambda t, start: t >= start - 1),
            "you begin to ask one epoch too early: the first is start",
        ),
        Mistake(
            "next",
            stop_by(show=lambda t: t + 1),
            "your epoch is one too late: the epoch that ends with so many skips is the last one, "
            "and epochs count from 0",
        ),
        Mistake(
            "before",
            stop_by(show=lambda t: t - 1),
            "your epoch is one too early: return the epoch that *ends* with so many skips",
        ),
        Mistake(
            "last",
            stop_by(backwards=True),
            "you return the last such epoch: a search that has stopped does not go on",
        ),
        Mistake(
            "exactly",
            stop_by(reached=lambda count, limit: count == limit),
            "you wait for exactly limit skips: a search can jump past that number",
        ),
        Mistake(
            "from_start",
            counted_from_start,
            "your number counts from start: epochs count from 0",
        ),
        Mistake(
            "summed_up",
            summed_up,
            "you add up the counts of the epochs: each count is of the cell as it then was",
        ),
        Mistake(
            "end_if_never",
            stop_by(never=lambda epochs: epochs - 1),
            "you return the last epoch of a search that the rule did not stop: return None, so "
            "that both can be told apart",
        ),
    ),
    variants=(
        Variant("while", stop_by_while),
        Variant(
            "next()",
            lambda counts, limit, start: next(
                (t for t, c in enumerate(counts) if t >= start and c >= limit), None
            ),
        ),
        Variant(
            "a list",
            lambda counts, limit, start: (
                [t for t in range(start, len(counts)) if counts[t] >= limit] + [None]
            )[0],
        ),
    ),
    hints=(
        "Go through the epochs from start on, and return at the first that fits.",
        "for t in range(start, len(counts)): ... and after the loop: return None",
    ),
)
