"""`derive_cell` through the real grader: lists of genes, names, answers that call others."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("derive_cell")

BEST = """
def best_operations(alpha, names):
    p = torch.softmax(alpha, 1)
    result = []
    for row in p:
        best, strength = None, -1.0
        for k in range(len(names)):
            if names[k] == "none":
                continue
            if row[k] > strength:
                best, strength = names[k], float(row[k])
        result.append((best, strength))
    return result
"""

INPUTS = """
def strongest_inputs(strengths):
    result = []
    start = 0
    n = 2
    while start < len(strengths):
        pairs = []
        for s in range(n):
            pairs.append((-strengths[start + s], s))
        pairs = sorted(pairs)[:2]
        result.append(tuple(s for _, s in pairs))
        start += n
        n += 1
    return result
"""

GENES = """
def derive_genes(alpha, names):
    p = alpha.softmax(1)
    others = [k for k in range(len(names)) if names[k] != "none"]
    genes = []
    start, n = 0, 2
    while start < len(p):
        found = []
        for s in range(n):
            row = p[start + s].tolist()
            k = max(others, key=lambda k: row[k])
            found.append((row[k], s, names[k]))
        found.sort(key=lambda one: -one[0])
        for strength, s, name in found[:2]:
            genes.append((name, s))
        start += n
        n += 1
    return genes
"""

PARAMETERS = """
def gene_parameters(genes, channels, reduction):
    C = channels
    total = 0
    for name, source in genes:
        kind = name[:3]
        if kind in ("sep", "dil"):
            k = int(name[-1])
            one = k * k * C + C * C + 2 * C
            total += 2 * one if kind == "sep" else one
        if name == "skip_connect" and reduction and source in (0, 1):
            total += C * C + 2 * C
    return total
"""

PATHS = """
def longest_paths(genes):
    a = {0: 0, 1: 0}
    b = {0: 0, 1: 0}
    for i, (name, source) in enumerate(genes):
        node = 2 + i // 2
        step = 1 if "conv" in name else 0
        a[node] = max(a.get(node, 0), a[source] + 1)
        b[node] = max(b.get(node, 0), b[source] + step)
    return max(a.values()), max(b.values())
"""

EFFECTIVE = """
def effective_operations(alpha):
    logs = torch.log_softmax(alpha, 1)
    H = -(torch.exp(logs) * logs).sum(1)
    return torch.exp(H)
"""

GAP = """
def discretisation_gap(outputs, alpha, y):
    p = torch.softmax(alpha, 0)
    k = int(torch.argmax(alpha[1:])) + 1
    mixed = sum(w * o for w, o in zip(p, outputs))
    relaxed = ((mixed - y) ** 2).mean()
    alone = ((outputs[k] - y) ** 2).mean()
    return relaxed, alone, alone - relaxed
"""

TAU = """
def kendall_tau(a, b):
    C = D = na = nb = pairs = 0
    for i in range(len(a)):
        for j in range(i + 1, len(a)):
            s = (a[i] - a[j]) * (b[i] - b[j])
            C += s > 0
            D += s < 0
            na += a[i] != a[j]
            nb += b[i] != b[j]
            pairs += 1
    return (C - D) / (na * nb) ** 0.5
"""

DROP = """
def drop_path(x, u, p):
    kept = torch.ones(len(x), 1, 1, 1, dtype=x.dtype)
    kept[u < p] = 0
    return kept * x / (1 - p)
"""

HELPED = """
def helped_loss(logits, side_logits, labels, weight, training):
    main = F.cross_entropy(logits, labels)
    side = F.cross_entropy(side_logits, labels)
    return main + weight * side if training else main
"""

RIGHT = {
    "best_operations": BEST,
    "strongest_inputs": INPUTS,
    "derive_genes": GENES,
    "gene_parameters": PARAMETERS,
    "longest_paths": PATHS,
    "effective_operations": EFFECTIVE,
    "discretisation_gap": GAP,
    "kendall_tau": TAU,
    "drop_path": DROP,
    "helped_loss": HELPED,
}

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("best_operations", 'names[k] == "none"', "False", "none_chosen"),
    ("best_operations", 'names[k] == "none"', "k == 0", "first_left_out"),
    ("best_operations", "torch.softmax(alpha, 1)", "torch.softmax(alpha, 0)", "over_edges"),
    ("best_operations", "row[k] > strength", "row[k] >= strength", "last_of_equals"),
    ("best_operations", "(best, strength)", "(strength, best)", "exchanged"),
    ("strongest_inputs", "[:2]", "[:3]", "three"),
    ("strongest_inputs", "tuple(s for", "tuple(start + s for", "row_numbers"),
    ("strongest_inputs", "tuple(s for _, s in pairs)", "tuple(sorted(s for _, s in pairs))",
     "by_source"),
    ("strongest_inputs", "strengths[start + s]", "strengths[s]", "first_rows"),
    ("derive_genes", 'if names[k] != "none"', "", "none_chosen"),
    ("derive_genes", "alpha.softmax(1)", "alpha.softmax(0)", "over_edges"),
    ("derive_genes", "alpha.softmax(1)", "alpha", "alphas"),
    ("derive_genes", "(row[k], s,", "(max(row), s,", "none_in_the_strength"),
    ("derive_genes", "[:2]", "[:3]", "three"),
    ("derive_genes", "-one[0]", "one[0]", "weakest"),
    ("derive_genes", "(name, s)", "(s, name)", "exchanged"),
    ("derive_genes", "(name, s)", "(name, n)", "with_nodes"),
    ("gene_parameters", "2 * one if", "one if", "once"),
    ("gene_parameters", " and source in (0, 1)", "", "every_skip_halves"),
    ("gene_parameters", " and reduction", "", "skips_in_normal_cells"),
    ("gene_parameters", "k * k * C +", "k * k * C * C +", "dense"),
    ("longest_paths", "max(a.values()), max(b.values())", "a[node], b[node]", "last_node"),
    ("longest_paths", '"conv" in name', 'name != "skip_connect"', "pools_learn"),
    ("longest_paths", '"conv" in name', '"sep" in name', "separable_alone"),
    ("effective_operations", "return torch.exp(H)", "return H", "entropy"),
    ("effective_operations", "log_softmax(alpha, 1)", "softmax(alpha, 1).log()",
     "zero_times_infinity"),
    ("effective_operations", "H = -", "H = ", "sign"),
    ("discretisation_gap", "int(torch.argmax(alpha[1:])) + 1", "int(torch.argmax(alpha))",
     "none_kept"),
    ("discretisation_gap", "(outputs[k] - y)", "(p[k] * outputs[k] - y)", "still_weighted"),
    ("discretisation_gap", "alone - relaxed", "relaxed - alone", "sign"),
    ("discretisation_gap", "torch.softmax(alpha, 0)", "alpha", "alphas"),
    ("kendall_tau", "(na * nb) ** 0.5", "pairs", "all_pairs"),
    ("kendall_tau", "(na * nb) ** 0.5", "(C + D)", "no_ties"),
    ("kendall_tau", " ** 0.5", "", "no_root"),
    ("kendall_tau", "(C - D)", "C", "concordant_alone"),
    ("drop_path", " / (1 - p)", "", "not_rescaled"),
    ("drop_path", "/ (1 - p)", "* (1 - p)", "multiplied"),
    ("drop_path", "u < p", "u >= p", "exchanged"),
    ("helped_loss", " if training else main", "", "always"),
    ("helped_loss", "weight * side", "side", "no_weight"),
    ("helped_loss", "main + weight", "(1 - weight) * main + weight", "mixture"),
]  # fmt: skip


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_depth": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, untouched):
    assert misjudged(engine, untouched, RIGHT, EDITS) == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("kendall_tau", "def kendall_tau(a, b):\n    return 'high'", "one number"),
        ("derive_genes", "def derive_genes(*args):\n    pass", "is a `return` missing"),
        (
            "drop_path",
            DROP.replace("u < p", "torch.rand(len(x)) < p"),
            "draw none of your own",
        ),
        (
            "derive_genes",
            "from mlcourse.nas.genotype import derive_cell as derive_genes\n",
            "only mlcourse.data and mlcourse.plotting",
        ),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {name: text})[name]
    assert row.points == 0
    assert says in row.message
