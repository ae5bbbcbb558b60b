"""`mixed_edge`: its references are the library's, and its numbers are those of the modules."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from mlcourse.checks import load
from mlcourse.checks.judge import Judge
from mlcourse.nas.cells import MixedEdge, cell_edges, cell_shapes
from mlcourse.nas.operations import OPERATIONS, FactorizedReduction, operation
from mlcourse.nas.supernet import Supernet

EXERCISE = load("mixed_edge")
SEED = 20260101


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def value(name: str):
    return EXERCISE[name].reference


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def macs(module: nn.Module, x: torch.Tensor) -> int:
    """The multiply-accumulates of a module's convolutions, seen while it runs."""
    total = 0

    def count(layer, _, out):
        nonlocal total
        total += layer.weight.numel() * out.shape[2] * out.shape[3]

    handles = [
        layer.register_forward_hook(count)
        for layer in module.modules()
        if isinstance(layer, nn.Conv2d)
    ]
    module(x)
    for handle in handles:
        handle.remove()
    return total


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
@torch.no_grad()
def test_costs_are_those_of_the_modules(name: str, stride: int):
    for channels, side in ((4, 7), (6, 8)):
        module = operation(name, channels, stride, affine=False)
        measured = parameters(module), macs(module, torch.randn(2, channels, side, side))
        assert value("operation_costs")(name, channels, side, stride) == measured


def test_all_operations_are_asked_for():
    (calls,) = cases("operation_costs")[0]
    assert {arguments[0] for arguments in calls.values()} == set(OPERATIONS)


def test_the_edge_and_its_numbers():
    assert parameters(MixedEdge(16, 1, OPERATIONS)) == value("edge_parameters")
    net = Supernet(4, 8, 10)
    assert net.alpha_normal.numel() + net.alpha_reduce.numel() == value("all_alphas")
    strides = [edge.stride for edge in net.edges("reduce")[0]]
    assert strides.count(2) == value("edges_that_halve")


@pytest.mark.parametrize(
    ("name", "stride", "question"),
    [("dil_conv_5x5", 1, "side_of_dilated"), ("sep_conv_5x5", 2, "side_of_separable")],
)
def test_sides_are_those_of_the_gradient(name: str, stride: int, question: str):
    module = operation(name, 1, stride).double().eval()
    for p in module.parameters():
        nn.init.ones_(p)
    x = torch.ones(1, 1, 33, 33, dtype=torch.float64, requires_grad=True)
    out = module(x)
    out[0, 0, out.shape[2] // 2, out.shape[3] // 2].backward()
    rows = x.grad[0, 0].any(1).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == value(question)


def test_edges_and_cells_are_the_library_s():
    for nodes in range(1, 6):
        assert value("edges_of_cell")(nodes) == cell_edges(nodes)
    for channels, layers in ((4, 8), (6, 20), (16, 7)):
        rows = value("network_table")(channels, layers, 32)
        shapes = list(cell_shapes(channels, layers, 3 * channels, (4, 4)))
        assert [row[:3] for row in rows] == [
            (shape.n_before_last, shape.n_last, 4 * shape.channels) for shape in shapes
        ]


@torch.no_grad()
def test_the_table_s_sides_are_those_of_a_network():
    net = Supernet(2, 6, 10, nodes=4, operations=("none", "skip_connect"))
    before_last = last = net.stem(torch.randn(2, 3, 13, 13))
    mixing = net.mixing()
    for cell, row in zip(net.cells, value("network_table")(2, 6, 13), strict=True):
        weights = mixing.reduce if cell.reduction else mixing.normal
        before_last, last = last, cell(before_last, last, weights)
        assert (last.shape[1], last.shape[2]) == row[2:]


@torch.no_grad()
def test_the_pool_and_the_skip_that_halves():
    for x, stride in cases("average_pool"):
        close(value("average_pool")(x, stride), operation("avg_pool_3x3", x.shape[1], stride)(x))
    for x, A, B in cases("halved"):
        module = FactorizedReduction(x.shape[1], 2 * len(A), affine=False).double()
        module.norm = nn.Identity()
        module.even.weight.copy_(A[:, :, None, None])
        module.odd.weight.copy_(B[:, :, None, None])
        close(value("halved")(x, A, B), module(x))


def test_the_gradient_of_a_mixed_edge():
    for outputs, alpha, g in cases("alpha_gradient"):
        alpha = alpha.clone().requires_grad_()
        loss = (value("mixed_output")(outputs, alpha) * g).sum()
        (expected,) = torch.autograd.grad(loss, alpha)
        found = value("alpha_gradient")(outputs, alpha.detach(), g)
        close(found, expected)
        assert abs(float(found.sum())) < 1e-12


def test_what_none_leaves():
    alpha = torch.tensor([[2.0] + 7 * [0.0]], dtype=torch.float64)
    weights = value("edge_weights")(alpha)
    assert float(weights[0, 1:].sum()) == pytest.approx(value("left_by_none"))
