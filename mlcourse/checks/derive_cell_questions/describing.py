"""`gene_parameters`, `longest_paths` and `effective_operations`: numbers that describe a cell."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor, nn

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.complexity_questions.shared import DTYPE
from mlcourse.checks.conv_arithmetic_questions.shared import Calls, call_each, whole
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.derive_cell_questions.shared import NAMES, Gene
from mlcourse.checks.search_basics_questions.shared import shuffled

Genes = Sequence[Gene]


def two_sources(node: int, g: Generator) -> list[int]:
    return shuffled(node, g)[:2]


# --- The parameters of a cell ---------------------------------------------------------------------


def parameters_cases(g: Generator) -> list[tuple[Calls]]:
    """Genes of 4 nodes with all seven operations, and skips from an input and from a node."""
    calls: Calls = {}
    for reduction in (False, True):
        for _ in range(2):
            names = [NAMES[1 + i] for i in shuffled(7, g)]
            sources = [source for node in range(2, 6) for source in two_sources(node, g)]
            genes = [*zip(names, sources, strict=False), ("skip_connect", 2)]
            genes[0] = ("skip_connect", genes[0][1])
            kind = "reduction" if reduction else "normal"
            phrase = f"the parameters of {kind} cell {1 + len(calls) % 2}"
            calls[phrase] = (genes, 2 * whole(3, 12, g), reduction)
    return [(calls,)]


def parameters_by(
    block: Callable[[int, int], int] = lambda c, k: k * k * c + c * c,
    norm: Callable[[int], int] = lambda c: 2 * c,
    times: int = 2,
    norms: Callable[[int], int] = lambda blocks: blocks,
    skip: Callable[[int, bool], int] = lambda source, reduction: int(reduction and source < 2),
    pool: Callable[[int], int] = lambda c: 0,
    skip_weights: Callable[[int], int] = lambda c: c * c,
    width: Callable[[int, bool], int] = lambda c, reduction: c,
    biases: int = 0,
) -> Callable[[Genes, int, bool], int]:
    """The parameters of the genes with one rule exchanged."""

    def gene_parameters(genes: Genes, channels: int, reduction: bool) -> int:
        c, total = width(channels, reduction), 0
        for name, source in genes:
            if "pool" in name:
                total += pool(c)
            elif name == "skip_connect":
                total += skip(source, reduction) * (skip_weights(c) + norm(c) + biases * c)
            else:
                blocks = times if name.startswith("sep") else 1
                total += blocks * (block(c, int(name[-1])) + 2 * biases * c)
                total += norms(blocks) * norm(c)
        return total

    return gene_parameters


def parameters_by_table(genes: Genes, channels: int, reduction: bool) -> int:
    c = channels
    table = {
        "sep_conv_3x3": 2 * (9 * c + c * c + 2 * c),
        "sep_conv_5x5": 2 * (25 * c + c * c + 2 * c),
        "dil_conv_3x3": 9 * c + c * c + 2 * c,
        "dil_conv_5x5": 25 * c + c * c + 2 * c,
    }
    skips = [source for name, source in genes if name == "skip_connect" and source in (0, 1)]
    halving = len(skips) * (c * c + 2 * c) if reduction else 0
    return halving + sum(table.get(name, 0) for name, _ in genes)


def parameters_by_torch(genes: Genes, channels: int, reduction: bool) -> int:
    layers: list[nn.Module] = []
    with torch.device("meta"):
        for name, source in genes:
            if name == "skip_connect" and reduction and source < 2:
                layers += [nn.Conv2d(channels, channels // 2, 1, bias=False) for _ in range(2)]
                layers.append(nn.BatchNorm2d(channels))
            for _ in range({"sep": 2, "dil": 1}.get(name[:3], 0)):
                k = int(name[-1])
                layers += [
                    nn.Conv2d(channels, channels, k, groups=channels, bias=False),
                    nn.Conv2d(channels, channels, 1, bias=False),
                    nn.BatchNorm2d(channels),
                ]
    return sum(p.numel() for layer in layers for p in layer.parameters())


def parameters_in_floats(genes: Genes, channels: int, reduction: bool) -> float:
    return float(parameters_by_table(genes, channels, reduction))


gene_parameters = Question(
    name="gene_parameters",
    title="The parameters of a derived cell",
    points=2,
    reference=parameters_by(),
    cases=parameters_cases,
    use=call_each,
    mistakes=(
        Mistake(
            "no_norms",
            parameters_by(norm=lambda c: 0),
            "the batch norms are missing: in the network that is trained anew each has a scale and "
            "a shift for each channel",
        ),
        Mistake(
            "half_norms",
            parameters_by(norm=lambda c: c),
            "a batch norm has two numbers for each channel, a scale *and* a shift",
        ),
        Mistake(
            "biases",
            parameters_by(biases=1),
            "you count a bias for each filter: these convolutions have none, as a batch norm "
            "follows",
        ),
        Mistake(
            "biases_for_norms",
            parameters_by(norm=lambda c: 0, biases=1),
            "C parameters of the factorised reduction are missing: its batch norm has a scale "
            "*and* a shift for each of its C channels (and no convolution has a bias)",
        ),
        Mistake(
            "running_statistics",
            parameters_by(norm=lambda c: 4 * c),
            "you count the running means and variances: they are measured, not learned",
        ),
        Mistake(
            "one_norm",
            parameters_by(norms=lambda blocks: 1),
            "a separable convolution is applied twice, each time with a batch norm of its own",
        ),
        Mistake(
            "once",
            parameters_by(times=1),
            "a separable convolution is applied *twice*, with its own weights each time",
        ),
        Mistake(
            "dense",
            parameters_by(lambda c, k: k * k * c * c + c * c),
            "you count k * k filters through all channels: a *depthwise* filter sees its own "
            "channel alone",
        ),
        Mistake(
            "no_pointwise",
            parameters_by(lambda c, k: k * k * c),
            "the 1x1 convolutions are missing, C * C weights each",
        ),
        Mistake(
            "skips_are_free",
            parameters_by(skip=lambda source, reduction: 0),
            "in a reduction cell a skip from an *input* must halve the images: it is a factorised "
            "reduction, with weights and a batch norm",
        ),
        Mistake(
            "every_skip_halves",
            parameters_by(skip=lambda source, reduction: int(reduction)),
            "in a reduction cell a skip from a *node* keeps the size, so it has no weights: only "
            "those from the inputs (0 and 1) halve",
        ),
        Mistake(
            "skips_in_normal_cells",
            parameters_by(skip=lambda source, reduction: int(source < 2)),
            "in a normal cell nothing halves, so a skip from an input has no weights",
        ),
        Mistake(
            "the_wrong_skips",
            parameters_by(skip=lambda source, reduction: int(reduction and source >= 2)),
            "it is the other way round: in a reduction cell the skips from the *inputs* halve, "
            "those from nodes keep the size",
        ),
        Mistake(
            "pools_with_norms",
            parameters_by(pool=lambda c: 2 * c),
            "pools have a batch norm in the search alone (without numbers to learn); in the "
            "derived cell they have none",
        ),
        Mistake(
            "half_a_skip",
            parameters_by(skip_weights=lambda c: c * c // 2),
            "a factorised reduction has two convolutions of C/2 filters: C * C weights in all",
        ),
        Mistake(
            "channels_doubled",
            parameters_by(width=lambda c, reduction: 2 * c if reduction else c),
            "`channels` are those of the cell's nodes: do not double them again",
        ),
    ),
    variants=(
        Variant("a table", parameters_by_table),
        Variant("PyTorch's layers, counted", parameters_by_torch),
        Variant("floats", parameters_in_floats),
    ),
    hints=(
        "A block: k * k * C for the depthwise filters, C * C for the 1x1 convolution, 2 C for the "
        "batch norm. Separable convolutions have two blocks, dilated ones a single one.",
        "A skip has weights only when it halves: reduction and source < 2. Then C * C + 2 * C.",
        "Pools and all other skips have no parameters.",
    ),
)


# --- How deep a cell is ---------------------------------------------------------------------------


def chain(nodes: int, g: Generator) -> list[Gene]:
    """A deep cell: each node takes the one before, with convolutions and others."""
    genes: list[Gene] = []
    for node in range(2, nodes + 2):
        other = shuffled(node - 1, g)[0]
        genes += [(NAMES[whole(3, 7, g)], node - 1), (NAMES[whole(1, 7, g)], other)]
    return genes


def paths_cases(g: Generator) -> list[tuple[Calls]]:
    """Drawn cells, a deep one, a flat one, and one in which the longest path learns nothing."""
    calls: Calls = {}
    for i, nodes in enumerate((4, 4, 3, 5)):
        genes = [
            (NAMES[whole(1, 7, g)], source)
            for node in range(2, nodes + 2)
            for source in two_sources(node, g)
        ]
        calls[f"the longest paths of drawn cell {i + 1}"] = (genes,)
    calls["the longest paths of a deep cell"] = (chain(4, g),)
    flat = [(NAMES[whole(1, 7, g)], source) for _ in range(4) for source in two_sources(2, g)]
    calls["the longest paths of a flat cell"] = (flat,)
    free = [NAMES[whole(1, 3, g)] for _ in range(6)]
    two_ways = [
        ("sep_conv_3x3", 0), (free[0], 1), (free[1], 2), ("sep_conv_5x5", 1),
        (free[2], 3), (free[3], 0), (free[4], 4), ("avg_pool_3x3", 1),
    ]  # fmt: skip
    calls["the longest paths of a cell of skips and pools"] = (two_ways,)
    dilated = [
        ("dil_conv_3x3", 1), (free[0], 0), ("dil_conv_5x5", 2), ("sep_conv_3x3", 1),
        ("max_pool_3x3", 3), (free[5], 0), ("skip_connect", 1), (free[1], 0),
    ]  # fmt: skip
    calls["the longest paths of a cell that ends in skips and pools"] = (dilated,)
    apart = [
        (free[0], 0), (free[1], 1), (free[2], 2), ("sep_conv_3x3", 1),
        (free[3], 3), (free[4], 0), ("dil_conv_3x3", 3), (free[5], 1),
    ]  # fmt: skip
    calls["the longest paths of a cell whose two paths are apart"] = (apart,)
    return [(calls,)]


def is_conv(name: str) -> int:
    return int("conv" in name)


Combine = Callable[[list[int]], int]


def depths(
    genes: Genes,
    length: Callable[[str], int],
    combine: Combine = max,
    starts: tuple[int, int] = (0, 0),
) -> list[int]:
    """The length of the path to each node."""
    found = list(starts)
    for i in range(0, len(genes), 2):
        found.append(combine([found[source] + length(name) for name, source in genes[i : i + 2]]))
    return found[2:]


def paths_by(
    edges: Callable[[Genes], int] = lambda genes: max(depths(genes, lambda name: 1)),
    learned: Callable[[Genes], int] = lambda genes: max(depths(genes, is_conv)),
) -> Callable[[Genes], tuple[int, int]]:
    return lambda genes: (edges(genes), learned(genes))


def paths_by_search(genes: Genes) -> tuple[int, int]:
    """All paths, backwards from each node."""

    def best(node: int, weigh: Callable[[str], int]) -> int:
        if node < 2:
            return 0
        pair = genes[2 * (node - 2) : 2 * (node - 1)]
        return max(weigh(name) + best(source, weigh) for name, source in pair)

    nodes = range(2, 2 + len(genes) // 2)
    return (
        max(best(node, lambda name: 1) for node in nodes),
        max(best(node, is_conv) for node in nodes),
    )


def paths_by_matrices(genes: Genes) -> Any:
    """Lengths from state to state, relaxed until nothing changes."""
    states = 2 + len(genes) // 2
    found = torch.zeros(states, 2, dtype=torch.int64)
    for _ in range(states):
        for i, (name, source) in enumerate(genes):
            step = torch.tensor([1, is_conv(name)])
            found[2 + i // 2] = torch.maximum(found[2 + i // 2], found[source] + step)
    return tuple(found.amax(0).tolist())


def on_the_longest(genes: Genes) -> int:
    """Convolutions on the path with the most edges, the first of equals."""
    best = [(0, 0), (0, 0)]
    for i in range(0, len(genes), 2):
        found = [
            (best[source][0] + 1, best[source][1] + is_conv(name))
            for name, source in genes[i : i + 2]
        ]
        best.append(max(found, key=lambda pair: pair[0]))
    return max(best, key=lambda pair: pair[0])[1]


def most_on_the_longest(genes: Genes) -> int:
    """Convolutions on a path with the most edges, the most among equals."""
    best = [(0, 0), (0, 0)]
    for i in range(0, len(genes), 2):
        pair = genes[i : i + 2]
        best.append(max((best[s][0] + 1, best[s][1] + int(is_conv(name))) for name, s in pair))
    return max(best)[1]


def both(rule: Callable[[Genes, Callable[[str], int]], int]) -> Callable[[Genes], tuple[int, int]]:
    """The same wrong rule for both numbers."""
    return lambda genes: (rule(genes, lambda name: 1), rule(genes, is_conv))


longest_paths = Question(
    name="longest_paths",
    title="How deep a cell is",
    points=2,
    reference=paths_by(),
    cases=paths_cases,
    use=call_each,
    mistakes=(
        Mistake(
            "shortest",
            both(lambda genes, length: max(depths(genes, length, min))),
            "you follow the shorter way into each node: the longest path is asked for",
        ),
        Mistake(
            "last_node",
            both(lambda genes, length: depths(genes, length)[-1]),
            "you look at the last node alone: all nodes are in the output, so the longest path may "
            "end at any of them",
        ),
        Mistake(
            "first_gene",
            both(lambda genes, length: max(depths(genes, length, lambda pair: pair[0]))),
            "you follow the first gene of each node alone: a path may go through either of the two",
        ),
        Mistake(
            "added",
            both(lambda genes, length: max(depths(genes, length, sum))),
            "you add both ways into a node: a path takes one of them, the longer",
        ),
        Mistake(
            "to_the_output",
            lambda genes: (paths_by()(genes)[0] + 1, paths_by()(genes)[1]),
            "you count the way from the last node to the output: that is no operation",
        ),
        Mistake(
            "states",
            lambda genes: (paths_by()(genes)[0] + 1, paths_by()(genes)[1] + 1),
            "you count the states on a path: its edges are asked for, one fewer",
        ),
        Mistake(
            "on_the_longest",
            paths_by(learned=on_the_longest),
            "you count convolutions on the path with the most edges: another path may have more of "
            "them, so search for each number by itself",
        ),
        Mistake(
            "all_convolutions",
            paths_by(learned=lambda genes: sum(is_conv(name) for name, _ in genes)),
            "you count all convolutions of the cell: those on one path are asked for",
        ),
        Mistake(
            "nodes",
            paths_by(edges=lambda genes: len(genes) // 2),
            "that is the number of nodes: a node may take its inputs from far before it",
        ),
        Mistake(
            "pools_learn",
            paths_by(learned=lambda genes: max(depths(genes, lambda n: int(n != "skip_connect")))),
            "you count pools as operations with weights: only convolutions have some",
        ),
        Mistake(
            "separable_alone",
            paths_by(learned=lambda genes: max(depths(genes, lambda n: int(n[:3] == "sep")))),
            "dilated convolutions have weights as well",
        ),
        Mistake(
            "twice",
            paths_by(learned=lambda g: max(depths(g, lambda n: is_conv(n) * (1 + (n[0] == "s"))))),
            "you count a separable convolution as two: an *edge* counts once",
        ),
        Mistake(
            "skips_have_weights",
            paths_by(
                learned=lambda genes: max(depths(genes, lambda name: int("pool" not in name)))
            ),
            "you count skips as edges with weights: in a normal cell they have none (and note that "
            "skip_connect has the letters con in it)",
        ),
        Mistake(
            "most_on_the_longest",
            paths_by(learned=most_on_the_longest),
            "your second number is of a path with the most edges: the path with the most "
            "convolutions may be another, shorter one",
        ),
        Mistake(
            "inputs_apart",
            both(lambda genes, length: max(depths(genes, length, starts=(-1, 0)))),
            "paths from input 0 are one too short: both inputs are at depth 0",
        ),
        Mistake(
            "exchanged",
            lambda genes: paths_by()(genes)[::-1],
            "the two numbers are exchanged: first all edges, then those with weights",
        ),
    ),
    variants=(
        Variant("backwards", paths_by_search),
        Variant("relaxed", paths_by_matrices),
        Variant("a list", lambda genes: list(paths_by()(genes))),
    ),
    hints=(
        "Depths node by node: both inputs have 0, and genes 2i and 2i + 1 belong to node 2 + i.",
        "The depth of a node is the larger of depth[source] + 1 over its two genes.",
        "For the second number add 1 only when 'conv' is in the name; take the largest over all "
        "nodes, for both numbers.",
    ),
)


# --- How many operations an edge still holds ------------------------------------------------------


def effective_cases(g: Generator) -> list[tuple[Tensor]]:
    """Alphas (edges, operations): undecided, decided, and so far apart that weights are 0."""
    found = [
        scale * normal(*shape, generator=g, dtype=DTYPE)
        for scale, shape in ((0.3, (3, 3)), (1.0, (5, 8)), (3.0, (4, 4)))
    ]
    far = normal(3, 4, generator=g, dtype=DTYPE)
    far[0, 1], far[1, 2] = 900.0, -900.0
    return [(alpha,) for alpha in (*found, far)]


def entropy(p: Tensor, dim: int = 1) -> Tensor:
    return -torch.xlogy(p, p).sum(dim)


def effective_by_loops(alpha: Tensor) -> list[float]:
    found = []
    for row in alpha:
        weights = row.softmax(0).tolist()
        found.append(math.exp(-sum(p * math.log(p) for p in weights if p > 0)))
    return found


def effective_by_logarithms(alpha: Tensor) -> Tensor:
    logs = alpha.log_softmax(1)
    return (-(logs.exp() * logs).sum(1)).exp()


def effective_by_products(alpha: Tensor) -> Any:
    p = alpha.softmax(1)
    return (p**-p).prod(1).numpy()


def use_vector(answer: Callable[..., Any], *args: Any) -> Any:
    """Call the answer; a list of numbers may stand for a tensor."""
    result = answer(*args)
    if isinstance(result, (list, tuple)) and all(isinstance(one, float) for one in result):
        return torch.tensor(result, dtype=DTYPE)
    return result


effective_operations = Question(
    name="effective_operations",
    title="How many operations an edge still holds",
    points=1,
    reference=lambda alpha: entropy(alpha.softmax(1)).exp(),
    cases=effective_cases,
    use=use_vector,
    parts=("the effective numbers",),
    mistakes=(
        Mistake(
            "entropy",
            lambda alpha: entropy(alpha.softmax(1)),
            "that is the entropy: its exponential is the effective number, K for K equal weights",
        ),
        Mistake(
            "bits",
            lambda alpha: (entropy(alpha.softmax(1)) / math.log(2)).exp(),
            "an entropy in bits belongs to a power of 2, one in nats to a power of e: yours are "
            "mixed",
        ),
        Mistake(
            "zero_times_infinity",
            lambda alpha: (-(alpha.softmax(1) * alpha.softmax(1).log()).sum(1)).exp(),
            "where a weight is 0 you have 0 * log 0, which is nan: it should be 0 (torch.xlogy, or "
            "log_softmax)",
        ),
        Mistake(
            "over_edges",
            lambda alpha: entropy(alpha.softmax(0), 0).exp(),
            "your softmax runs over the edges, and there is a number for each operation: one for "
            "each edge is asked for",
        ),
        Mistake(
            "sign",
            lambda alpha: (-entropy(alpha.softmax(1))).exp(),
            "the minus is missing: your numbers are below 1",
        ),
        Mistake(
            "none_left_out",
            lambda alpha: entropy(alpha[:, 1:].softmax(1)).exp(),
            "you leave the first operation out: all weights of an edge count, none's too",
        ),
        Mistake(
            "squares",
            lambda alpha: 1 / alpha.softmax(1).square().sum(1),
            "1 / sum p^2 is another effective number, with squares in place of the entropy: "
            "exp(entropy) is asked for",
        ),
        Mistake(
            "largest",
            lambda alpha: 1 / alpha.softmax(1).amax(1),
            "1 / the largest weight looks at one operation alone: use the entropy",
        ),
        Mistake(
            "together",
            lambda alpha: entropy(alpha.softmax(1)).sum().exp(),
            "that is one number for all edges: each edge has its own",
        ),
        Mistake(
            "mean",
            lambda alpha: (entropy(alpha.softmax(1)) / alpha.shape[1]).exp(),
            "you average p log p over the operations: an entropy is a sum, already weighted with p",
        ),
    ),
    variants=(
        Variant("loops", effective_by_loops),
        Variant("logarithms", effective_by_logarithms),
        Variant("products", effective_by_products),
    ),
    hints=(
        "H = - sum p log p over the operations of an edge, then exp(H).",
        "0 * log 0 counts as 0: torch.xlogy(p, p) knows it.",
        "p = alpha.softmax(1); (-torch.xlogy(p, p).sum(1)).exp()",
    ),
)
