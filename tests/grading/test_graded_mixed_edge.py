"""`mixed_edge` through the real grader: images, lists of tuples, answers in loops."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("mixed_edge")

WEIGHTS = """
def edge_weights(alpha):
    powers = torch.exp(alpha - alpha.max(1, keepdim=True).values)
    return powers / powers.sum(1, keepdim=True)
"""

OUTPUT = """
def mixed_output(outputs, alpha):
    p = torch.softmax(alpha, 0)
    total = 0
    for k in range(len(outputs)):
        total = total + p[k] * outputs[k]
    return total
"""

GRADIENT = """
def alpha_gradient(outputs, alpha, g):
    p = torch.softmax(alpha, 0)
    d = torch.tensor([(g * o).sum() for o in outputs])
    mean = (p * d).sum()
    return p * (d - mean)
"""

POOL = """
def average_pool(x, stride):
    H, W = x.shape[2:]
    padded = F.pad(x, (1, 1, 1, 1))
    ones = F.pad(torch.ones_like(x), (1, 1, 1, 1))
    total, count = 0, 0
    for i in range(3):
        for j in range(3):
            total = total + padded[:, :, i : i + H, j : j + W]
            count = count + ones[:, :, i : i + H, j : j + W]
    return (total / count)[:, :, ::stride, ::stride]
"""

HALVED = """
def halved(x, A, B):
    x = torch.relu(x)
    H, W = x.shape[2:]
    x = F.pad(x, (0, W % 2, 0, H % 2))
    first = torch.einsum("ij,njhw->nihw", A, x[:, :, ::2, ::2])
    second = torch.einsum("ij,njhw->nihw", B, x[:, :, 1::2, 1::2])
    return torch.cat([first, second], 1)
"""

COSTS = """
def operation_costs(name, channels, side, stride):
    out = math.ceil(side / stride)
    if name in ("none", "max_pool_3x3", "avg_pool_3x3"):
        return 0, 0
    if name == "skip_connect":
        n = channels ** 2 if stride == 2 else 0
        return n, n * out ** 2
    k = int(name[-1])
    n = k ** 2 * channels + channels ** 2
    if "sep" in name:
        n = 2 * n
    return n, n * out ** 2
"""

EDGES = """
def edges_of_cell(nodes):
    found = []
    for i in range(nodes):
        for j in range(2 + i):
            found.append((j, 2 + i))
    return found
"""

CELL = """
def mixed_cell(s0, s1, matrices, alpha):
    p = torch.softmax(alpha, 1)
    states = [s0, s1]
    start = 0
    while start < len(alpha):
        total = 0
        for i, s in enumerate(states):
            for k in range(p.shape[1]):
                total = total + p[start + i, k] * (s @ matrices[start + i, k])
        start += len(states)
        states.append(total)
    return torch.cat(states[2:], 1)
"""

NETWORK = """
def network_table(channels, layers, side):
    widths = [3 * channels, 3 * channels]
    rows = []
    for i in range(layers):
        if i in [layers // 3, 2 * layers // 3]:
            channels *= 2
            side = math.ceil(side / 2)
        widths.append(4 * channels)
        rows.append((widths[-3], widths[-2], widths[-1], side))
    return rows
"""

RIGHT = {
    "edge_weights": WEIGHTS,
    "mixed_output": OUTPUT,
    "alpha_gradient": GRADIENT,
    "average_pool": POOL,
    "halved": HALVED,
    "operation_costs": "import math\n" + COSTS,
    "edges_of_cell": EDGES,
    "mixed_cell": CELL,
    "network_table": "import math\n" + NETWORK,
}

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("edge_weights", "alpha - alpha.max(1, keepdim=True).values", "alpha", "no_max_shift"),
    ("edge_weights", "alpha.max(1, keepdim=True).values", "alpha.max()", "one_shift"),
    ("edge_weights", "(1, keepdim=True)", "(0, keepdim=True)", "over_edges"),
    ("edge_weights", " / powers.sum(1, keepdim=True)", "", "not_normalised"),
    ("mixed_output", "torch.softmax(alpha, 0)", "alpha", "alphas"),
    ("mixed_output", "torch.softmax(alpha, 0)", "torch.exp(alpha)", "not_normalised"),
    ("mixed_output", "p[k] * outputs", "outputs", "sum"),
    ("mixed_output", "return total", "return total / len(outputs)", "divided_again"),
    ("mixed_output", "return total", "return F.relu(total)", "relu"),
    ("alpha_gradient", "(d - mean)", "d", "no_mean"),
    ("alpha_gradient", "(p * d).sum()", "d.mean()", "plain_mean"),
    ("alpha_gradient", "return p * (d - mean)", "return d - mean", "no_share"),
    ("alpha_gradient", "return p * (d - mean)", "return d", "by_the_weights"),
    ("alpha_gradient", "return p *", "return -p *", "sign"),
    ("alpha_gradient", "(g * o).sum()", "(g * o).mean()", "mean_of_entries"),
    ("average_pool", "total / count", "total / 9", "padding_counted"),
    ("average_pool", "total / count", "total", "sum"),
    ("average_pool", "[:, :, ::stride, ::stride]", "", "stride_ignored"),
    ("average_pool", "torch.ones_like(x)", "(x > 0).double()", "nonzero_counted"),
    ("halved", "1::2, 1::2", "::2, ::2", "same_pixels"),
    ("halved", "1::2, 1::2", "::2, 1::2", "moved_right"),
    ("halved", "torch.relu(x)", "x", "no_relu"),
    ("halved", "torch.cat([first, second], 1)", "first + second", "added"),
    ("halved", "[first, second]", "[second, first]", "other_order"),
    ("operation_costs", "n = 2 * n", "pass", "once"),
    ("operation_costs", "k ** 2 * channels +", "k ** 2 * channels ** 2 +", "dense"),
    ("operation_costs", "k ** 2 * channels + channels ** 2", "k ** 2 * channels", "no_pointwise"),
    ("operation_costs", "n = channels ** 2 if stride == 2 else 0", "n = 0", "skip_is_free"),
    ("operation_costs", "n, n * out ** 2", "n, n * side ** 2", "input_maps"),
    ("operation_costs", "math.ceil(side / stride)", "side // stride", "rounded_down"),
    ("edges_of_cell", "range(2 + i)", "range(2, 2 + i)", "no_inputs"),
    ("edges_of_cell", "range(2 + i)", "range(3 + i)", "itself"),
    ("edges_of_cell", "range(2 + i)", "range(i, 2 + i)", "last_two"),
    ("edges_of_cell", "(j, 2 + i)", "(2 + i, j)", "reversed"),
    ("mixed_cell", "softmax(alpha, 1)", "softmax(alpha, 0)", "over_edges"),
    ("mixed_cell", "torch.softmax(alpha, 1)", "alpha", "alphas"),
    ("mixed_cell", "append(total)", "append(total / len(states))", "node_weights"),
    ("mixed_cell", "torch.cat(states[2:], 1)", "sum(states[2:])", "nodes_added"),
    ("mixed_cell", "states[2:]", "states", "inputs_too"),
    ("network_table", "4 * channels", "channels", "nodes_added"),
    ("network_table", "[3 * channels, 3 * channels]", "[channels, channels]", "no_stem"),
    ("network_table", "math.ceil(side / 2)", "side // 2", "rounded_down"),
    ("network_table", "channels *= 2", "channels *= 4", "channels_quadrupled"),
    ("network_table", "2 * layers // 3", "2 * (layers // 3)", "twice_a_third"),
]  # fmt: skip


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_mixture": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, untouched):
    assert misjudged(engine, untouched, RIGHT, EDITS) == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("edge_weights", "def edge_weights(alpha):\n    return 'softmax'", "a string"),
        ("mixed_cell", "def mixed_cell(*args):\n    pass", "is a `return` missing"),
        (
            "average_pool",
            "def average_pool(x, stride):\n"
            "    return F.avg_pool2d(x, 3, stride, 1, count_include_pad=False)",
            "write the pool yourself",
        ),
        (
            "edges_of_cell",
            "from mlcourse.nas.cells import cell_edges as edges_of_cell\n",
            "only mlcourse.data and mlcourse.plotting",
        ),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {name: text})[name]
    assert row.points == 0
    assert says in row.message
