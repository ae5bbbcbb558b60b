"""Where finite differences fail and where they do not, on small networks in float64."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse.nas.architect import Architect
from mlcourse.nas.kinks import second_order, smooth_
from mlcourse.nas.supernet import Supernet

RADII = (0.1, 0.01, 1e-3)


def setting(smooth, seed=0, lr=0.025):
    draw = torch.Generator().manual_seed(seed)
    model = Supernet(4, 3, 10, nodes=2, generator=draw).double()
    if smooth:
        smooth_(model)
    X = torch.randn(16, 3, 8, 8, generator=draw, dtype=torch.float64)
    y = torch.randint(10, (16,), generator=draw)
    architect = Architect(model, torch.optim.SGD(model.weights(), lr), "exact")
    return architect, (X[:8], y[:8]), (X[8:], y[8:])


@pytest.mark.parametrize("seed", range(2))
def test_with_kinks_the_difference_is_mostly_noise_and_worse_for_smaller_steps(seed):
    errors = second_order(*setting(False, seed), RADII).errors()
    assert errors[0.01] > 1
    assert errors[1e-3] > errors[0.01] > errors[0.1]


@pytest.mark.parametrize("seed", range(2))
def test_on_a_smooth_network_it_is_accurate_and_its_error_falls_with_the_square(seed):
    errors = second_order(*setting(True, seed), RADII).errors()
    assert errors[0.01] < 0.01
    assert 50 < errors[0.1] / errors[0.01] < 150
    assert 90 < errors[0.01] / errors[1e-3] < 110


def test_steps_so_small_that_nothing_switches_are_accurate_again():
    errors = second_order(*setting(False), (1e-3, 1e-7)).errors()
    assert errors[1e-7] < 1e-4
    assert errors[1e-3] > 1


@pytest.mark.parametrize("smooth", [False, True])
def test_the_exact_term_is_what_the_architects_gradient_has(smooth):
    architect, train, val = setting(smooth, lr=0.1)
    term = second_order(architect, train, val, (0.01,)).exact
    gradient = torch.cat([g.flatten() for g in architect.gradient(train, val).values()])
    model, (X, y) = architect.model, train
    F.cross_entropy(model(X), y).backward()
    with torch.no_grad():
        for p in model.weights():
            p -= 0.1 * p.grad
    direct = torch.autograd.grad(F.cross_entropy(model(val[0]), val[1]), list(model.architecture()))
    direct = torch.cat([g.flatten() for g in direct])
    torch.testing.assert_close(gradient, direct - 0.1 * term)


def test_the_slip_of_a_port_is_smaller_by_the_square_of_e():
    found = second_order(*setting(True), (0.01,))
    ratio = found.multiplied() / found.differences[0.01]
    torch.testing.assert_close(ratio, torch.full_like(ratio, (0.01 / found.norm) ** 2))
    assert found.multiplied().norm() < 1e-4 * found.exact.norm()


def test_nothing_of_the_model_changes():
    architect, train, val = setting(False)
    before = {name: value.clone() for name, value in architect.model.state_dict().items()}
    second_order(architect, train, val, (0.01,))
    after = architect.model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(p.grad is None for p in architect.model.parameters())


def test_smooth_networks_have_no_kinks_left():
    model = smooth_(Supernet(4, 3, 10))
    kinds = {type(module) for module in model.modules()}
    assert not kinds & {nn.ReLU, nn.MaxPool2d}
    assert kinds > {nn.Softplus, nn.AvgPool2d}
    assert model(torch.zeros(2, 3, 8, 8)).shape == (2, 10)


def test_a_radius_that_is_not_positive():
    with pytest.raises(ValueError, match="radius is 0: give a positive number"):
        second_order(*setting(False), (0.1, 0))
