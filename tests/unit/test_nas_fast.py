"""The fast supernet against the naive one: everything that a search sees is the same."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse.nas import fast_extension
from mlcourse.nas.architect import Architect
from mlcourse.nas.darts import search
from mlcourse.nas.fast import FastSupernet, _usual_operations, fast
from mlcourse.nas.kinks import smooth_
from mlcourse.nas.modes import keeping_buffers
from mlcourse.nas.operations import OPERATIONS
from mlcourse.nas.remedies import PartialChannels
from mlcourse.nas.remedies.removal import without
from mlcourse.nas.supernet import Supernet

CLOSE = {"atol": 1e-9, "rtol": 1e-9}
FEW = ("none", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_5x5")


@pytest.fixture(params=["pytorch", pytest.param("extension", marks=pytest.mark.slow)])
def way(request):
    """Run a test with PyTorch alone, and with the extension if it can be built."""
    if request.param == "pytorch":
        with fast_extension.pytorch_only():
            yield
    else:
        if fast_extension.compiled(torch.ones(1)) is None:
            pytest.skip("the extension cannot be built here")
        yield


@pytest.fixture
def pytorch():
    """Do without the extension."""
    with fast_extension.pytorch_only():
        yield


def pair(layers=3, channels=2, **options):
    """A naive supernet in float64 with an architecture that is not flat, and a fast copy."""
    generator = torch.Generator().manual_seed(1)
    naive = Supernet(channels, layers, 5, generator=generator, **options).double()
    with torch.no_grad():
        for alpha in naive.architecture():
            alpha.copy_(torch.randn(alpha.shape, generator=generator, dtype=alpha.dtype))
    return naive, fast(copy.deepcopy(naive))


def batch(n=4, size=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, 3, size, size, generator=generator, dtype=torch.float64)
    return X, torch.randint(5, (n,), generator=generator)


def assert_equal_steps(naive, other, X, y):
    """Compare logits, gradients and running statistics of a step."""
    outputs = []
    for model in (naive, other):
        model.zero_grad()
        outputs.append(model(X))
        F.cross_entropy(outputs[-1], y).backward()
    torch.testing.assert_close(*outputs, **CLOSE)
    for (name, p), q in zip(naive.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=lambda m, name=name: f"{name}: {m}", **CLOSE)
    assert_equal_states(naive, other)


def assert_equal_states(naive, other):
    states = naive.state_dict(), other.state_dict()
    assert list(states[0]) == list(states[1])
    for name, value in states[0].items():
        torch.testing.assert_close(
            value, states[1][name], msg=lambda m, name=name: f"{name}: {m}", **CLOSE
        )


@pytest.mark.parametrize(
    ("channels", "layers", "size"),
    [
        (2, 3, 8),
        pytest.param(4, 4, 9, marks=pytest.mark.slow),
        pytest.param(8, 3, 8, marks=pytest.mark.slow),
    ],
)
def test_logits_gradients_and_running_statistics_are_equal(way, channels, layers, size):
    assert_equal_steps(*pair(layers, channels), *batch(size=size))


@pytest.mark.parametrize(
    "operations",
    [
        ("none", "skip_connect"),
        ("sep_conv_5x5",),
        ("dil_conv_3x3", "none"),
        ("avg_pool_3x3",),
        ("skip_connect", "sep_conv_3x3", "max_pool_3x3"),
    ],
)
def test_any_operations_in_any_order_are_equal(pytorch, operations):
    assert_equal_steps(*pair(operations=operations, nodes=2), *batch())


def test_replaced_operations_are_called_as_they_are(pytorch):
    X, y = batch()
    naive, other = pair(operations=FEW, nodes=2)
    # The first steps see none of what comes.
    assert_equal_steps(naive, other, X, y)
    for model in (naive, other):
        edge = model.cells[0].edges[1]
        edge["skip_connect"] = nn.Sequential(nn.Identity(), nn.Tanh())
        edge["dil_conv_5x5"] = nn.Conv2d(2, 2, 1, bias=False).double()
        nn.init.ones_(edge["dil_conv_5x5"].weight)
    assert_equal_steps(naive, other, X, y)
    for model in (naive, other):
        smooth_(model)
    assert_equal_steps(naive, other, X, y)
    naive.cells[1].edges[0]["sep_conv_3x3"].first.norm.eps = 0.1
    assert_equal_steps(naive, fast(copy.deepcopy(naive)), X, y)


def test_edges_without_some_operations_or_on_some_channels_are_equal(pytorch):
    X, y = batch()
    naive, other = pair(operations=FEW, nodes=2)
    assert_equal_steps(naive, other, X, y)
    with (
        without(naive, "normal", 1, ["skip_connect"]),
        without(other, "normal", 1, ["skip_connect"]),
    ):
        assert_equal_steps(naive, other, X, y)
    assert_equal_steps(naive, other, X, y)
    for model in (naive, other):
        PartialChannels(2).attach(model, torch.Generator().manual_seed(2))
        model.double()
    assert_equal_steps(naive, other, X, y)


def test_in_evaluation_mode_it_is_the_naive_form(pytorch):
    X, y = batch()
    naive, other = pair(operations=FEW, nodes=2)
    assert_equal_steps(naive, other, X, y)
    naive.eval(), other.eval()
    torch.testing.assert_close(naive(X), other(X), **CLOSE)


def test_states_convert_both_ways_and_fast_shares_the_parameters():
    naive = Supernet(2, 3, 5, operations=FEW, nodes=2)
    other = FastSupernet(2, 3, 5, operations=FEW, nodes=2)
    other.load_state_dict(naive.state_dict())
    assert_equal_states(naive, other)
    naive.load_state_dict(FastSupernet(2, 3, 5, operations=FEW, nodes=2).state_dict())
    shared = fast(naive)
    assert type(naive) is Supernet
    assert all(p is q for p, q in zip(naive.parameters(), shared.parameters(), strict=True))
    assert shared.genotype() == naive.genotype()


@pytest.mark.parametrize("order", ["first", "finite_difference", "exact"])
def test_the_architects_gradients_are_equal(way, order):
    gradients = []
    for model in pair(operations=FEW, nodes=2):
        optimizer = torch.optim.SGD(model.weights(), 0.1, momentum=0.9, weight_decay=1e-3)
        architect = Architect(model, optimizer, order)
        gradients.append(architect.gradient(batch(seed=1), batch(seed=2)))
    for name, gradient in gradients[0].items():
        # A difference of gradients loses the digits that its small divisor says.
        close = {"atol": 1e-7, "rtol": 1e-6} if order == "finite_difference" else CLOSE
        torch.testing.assert_close(gradient, gradients[1][name], **close)


def test_statistics_that_are_to_stay_do_so_and_all_is_fast_meanwhile(pytorch):
    naive, other = pair()
    before = {name: b.clone() for name, b in other.named_buffers()}
    X, _ = batch()
    with keeping_buffers(other), keeping_buffers(naive):
        torch.testing.assert_close(other(X), naive(X), **CLOSE)
        asked = [_usual_operations(cell, cell.edges[0].channels) for cell in other.cells]
    assert asked == [frozenset(OPERATIONS)] * 3
    assert all(torch.equal(before[name], b) for name, b in other.named_buffers())
    other(X)
    assert not all(torch.equal(before[name], b) for name, b in other.named_buffers())


@pytest.mark.slow
def test_a_search_finds_the_same(pytorch):
    train, val = [batch(seed=1), batch(seed=2)], [batch(seed=3)]
    found = [
        search(model, train, val, epochs=2, lr_alpha=0.1) for model in pair(operations=FEW, nodes=2)
    ]
    for name in ("train_loss", "normal_skip_connect", "reduce_sep_conv_3x3"):
        assert found[0].history[name] == pytest.approx(found[1].history[name], abs=1e-8)
    assert found[0].genotypes == found[1].genotypes


@pytest.mark.slow
def test_importing_builds_nothing():
    code = "import sys, mlcourse.nas.fast; print('torch.utils.cpp_extension' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_what_cannot_be_built_is_said_in_one_line_and_done_without(monkeypatch, capfd):
    def load(*args, **kwargs):
        raise RuntimeError("Ninja is required\nand more")

    monkeypatch.setattr("torch.utils.cpp_extension.load", load)
    capfd.readouterr()
    fast_extension._build.cache_clear()
    try:
        assert fast_extension.compiled(torch.ones(1)) is None
        assert fast_extension.compiled(torch.ones(1)) is None
    finally:
        fast_extension._build.cache_clear()
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "Ninja is required and more" in said
    assert "PyTorch alone" in said


@pytest.mark.slow
def test_the_extension_is_left_alone_where_asked_and_for_other_dtypes():
    x = torch.ones(1)
    if fast_extension.compiled(x) is None:
        pytest.skip("the extension cannot be built here")
    assert fast_extension.compiled(x.half()) is None
    with fast_extension.pytorch_only():
        assert fast_extension.compiled(x) is None
    assert fast_extension.compiled(x) is not None
