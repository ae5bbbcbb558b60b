"""`derive_cell`: its references are the library's, and what its text says is true."""

from __future__ import annotations

import importlib.util
import itertools
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse.checks import load
from mlcourse.checks.judge import Judge
from mlcourse.nas.cells import CellShape
from mlcourse.nas.derived import DerivedCell, DerivedNet, drop_paths
from mlcourse.nas.genotype import DARTS_V1, DARTS_V2, PC_DARTS, Genotype, derive, derive_cell
from mlcourse.nas.operations import OPERATIONS

EXERCISE = load("derive_cell")
SEED = 20260101
SOURCE = Path(__file__).resolve().parents[2] / "solutions" / "derive_cell.py"


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def value(name: str):
    return EXERCISE[name].reference


def test_genes_are_the_library_s():
    for alpha, names in cases("derive_genes"):
        found = value("derive_genes")(alpha, names)
        assert tuple(found) == derive_cell(alpha.softmax(1), names)
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        alpha = 2 * torch.randn(14, 8, generator=generator, dtype=torch.float64)
        genes = tuple(value("derive_genes")(alpha, OPERATIONS))
        assert derive(alpha.softmax(1), alpha.softmax(1)).normal == genes


def test_the_cases_tell_none_and_order_apart():
    """In some cell none is the strongest of an edge that stays, and of one that goes."""
    changed = 0
    for alpha, names in cases("derive_genes"):
        without = [k for k, name in enumerate(names) if name != "none"]
        others = derive_cell(alpha[:, without].softmax(1), [names[k] for k in without])
        changed += others != derive_cell(alpha.softmax(1), names)
    assert changed >= 2


def test_how_many_cells():
    """The rule itself, for one operation, and for two nodes by enumeration."""
    two = set()
    for first, second in itertools.product(
        itertools.product(range(7), repeat=2), itertools.product(range(7), repeat=2)
    ):
        for pair in itertools.combinations(range(3), 2):
            two.add((first, second, pair))
    assert len(two) == math.comb(2, 2) * math.comb(3, 2) * 7**4
    pairs = math.prod(math.comb(node, 2) for node in range(2, 6))
    assert value("how_many_cells") == pairs * 7**8


@pytest.mark.parametrize("reduction", [False, True])
def test_parameters_are_those_of_the_modules(reduction: bool):
    (calls,) = cases("gene_parameters")[0]
    drawn = [genes for genes, _, _ in calls.values()]
    for genes in [*drawn, *(cell.normal for cell in (DARTS_V1, DARTS_V2, PC_DARTS))]:
        genotype = Genotype(tuple(genes), (2, 3, 4, 5), tuple(genes), (2, 3, 4, 5))
        cell = DerivedCell(genotype, CellShape(8, 8, 6, reduction, False))
        count = sum(p.numel() for p in cell.operations.parameters())
        assert value("gene_parameters")(genes, 6, reduction) == count


def test_a_network_s_parameters_from_its_cells():
    """The genes' share of DARTS' network, and the rest, are all of it."""
    net = DerivedNet(DARTS_V2, 4, 6, 10)
    total = sum(p.numel() for p in net.parameters())
    rest = [net.stem, net.classifier, *(cell.inputs for cell in net.cells)]
    rest_count = sum(p.numel() for module in rest for p in module.parameters())
    genes = 0
    for i, channels in enumerate((4, 4, 8, 8, 16, 16)):
        kind = "reduce" if i in (2, 4) else "normal"
        genes += value("gene_parameters")(DARTS_V2.genes(kind), channels, i in (2, 4))
    assert genes + rest_count == total


def all_paths(genes, node):
    """Every path into a node, as the names on it."""
    if node < 2:
        return [[]]
    pair = genes[2 * (node - 2) : 2 * (node - 1)]
    return [[*path, name] for name, source in pair for path in all_paths(genes, source)]


def test_depths_by_all_paths():
    (calls,) = cases("longest_paths")[0]
    for (genes,) in calls.values():
        paths = [path for n in range(2, 2 + len(genes) // 2) for path in all_paths(genes, n)]
        edges = max(map(len, paths))
        learned = max(sum("conv" in name for name in path) for path in paths)
        assert value("longest_paths")(genes) == (edges, learned)


def test_the_published_cells_are_as_the_library_has_them():
    text = SOURCE.read_text()
    start = text.index("PUBLISHED = {")
    names: dict = {}
    exec(text[start : text.index("def numbers", start)], names)
    published = [tuple(names["read"](text)) for text in names["PUBLISHED"].values()]
    assert published == [DARTS_V1.normal, DARTS_V2.normal, PC_DARTS.normal]


def test_effective_numbers():
    equal, sure = torch.zeros(2, 8).double(), torch.tensor([[900.0, 0.0, 0.0]]).double()
    assert value("effective_operations")(equal).tolist() == pytest.approx([8.0, 8.0])
    assert value("effective_operations")(sure).tolist() == pytest.approx([1.0])
    for (alpha,) in cases("effective_operations"):
        expected = torch.distributions.Categorical(logits=alpha).entropy().exp()
        torch.testing.assert_close(value("effective_operations")(alpha), expected)


def test_gaps_have_both_signs_and_the_rule_is_not_always_best():
    gaps, best = [], []
    for outputs, alpha, y in cases("discretisation_gap"):
        relaxed, alone, gap = value("discretisation_gap")(outputs, alpha, y)
        torch.testing.assert_close(gap, alone - relaxed)
        gaps.append(float(gap))
        losses = ((outputs[1:] - y) ** 2).mean(1)
        best.append(bool(losses.min() == alone))
    assert min(gaps) < 0 < max(gaps)
    assert True in best
    assert False in best


@pytest.mark.skipif(importlib.util.find_spec("scipy") is None, reason="scipy is not here")
def test_tau_is_scipy_s():
    from scipy.stats import kendalltau

    for a, b in cases("kendall_tau"):
        assert value("kendall_tau")(a, b) == pytest.approx(float(kendalltau(a, b).statistic))
    supernet, anew = (91, 90, 88, 85), (95.3, 95.8, 95.1, 94.9)
    assert value("kendall_tau")(supernet, anew) == pytest.approx(value("tau_by_hand"))


def test_drop_path_is_the_library_s():
    x = torch.randn(2000, 2, 1, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    p = torch.tensor(0.3, dtype=torch.float64)
    torch.manual_seed(1)
    expected = drop_paths(x, p)
    torch.manual_seed(1)
    u = torch.rand(len(x), 1, 1, 1, dtype=torch.float64).flatten()
    torch.testing.assert_close(value("drop_path")(x, u, 0.3), expected)


def test_the_auxiliary_loss_is_the_library_s():
    net = DerivedNet(DARTS_V2, 2, 3, 10, auxiliary=0.4)
    X, labels = torch.randn(2, 3, 32, 32), torch.tensor([3, 7])
    for training in (True, False):
        net.train(training)
        logits = net(X)
        side = net._auxiliary_logits if training else torch.randn(2, 10)
        assert isinstance(side, torch.Tensor)
        found = value("helped_loss")(logits, side, labels, 0.4, training)
        torch.testing.assert_close(net.loss(logits, labels), found)


def test_none_is_undone_by_a_batch_norm():
    """The right choice of `why_not_none`: a node's inputs, all weaker by one factor."""
    assert value("why_not_none") == "b"
    x = torch.randn(64, 3, 2, 2, dtype=torch.float64)
    norm = nn.BatchNorm2d(3, affine=False, eps=1e-12).double()
    torch.testing.assert_close(norm(0.1 * x), norm(x))
    alpha = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    outputs = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    (slope,) = torch.autograd.grad(F.softmax(alpha, 0) @ outputs, alpha)
    assert float(slope[0]) == pytest.approx(-1 / 3)


def test_a_path_with_the_most_edges_need_not_have_the_most_convolutions_in_the_cases():
    """A student who takes both numbers from one path fails, with whatever seed."""

    def answer(genes):
        best = [(0, 0), (0, 0)]
        for i in range(0, len(genes), 2):
            pair = genes[i : i + 2]
            best.append(max((best[s][0] + 1, best[s][1] + ("conv" in name)) for name, s in pair))
        return max(best)

    for seed in range(5):
        verdict = Judge(EXERCISE["longest_paths"], [seed])(answer)
        assert verdict.mistake == "most_on_the_longest"


def test_a_skip_counted_as_a_convolution_is_told_so():
    def answer(genes):
        edges, learned = [0, 0], [0, 0]
        for i in range(0, len(genes), 2):
            pair = genes[i : i + 2]
            edges.append(max(edges[s] + 1 for _, s in pair))
            learned.append(max(learned[s] + ("con" in name) for name, s in pair))
        return max(edges), max(learned)

    assert Judge(EXERCISE["longest_paths"], [SEED])(answer).mistake == "skips_have_weights"
