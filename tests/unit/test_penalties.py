"""Penalties and proximal steps are their definitions: gradients, and minima found by search."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse import penalties, regularization
from mlcourse.gradcheck import gradient_check
from mlcourse.penalties import (
    elastic_net_penalty,
    elastic_net_prox_,
    l1_penalty,
    l2_penalty,
    shrink_,
    soft_threshold_,
)

PENALTIES = {
    "l1": (lambda p: l1_penalty(p, 0.3), 0.3, 0.0),
    "l2": (lambda p: l2_penalty(p, 0.2), 0.0, 0.2),
    "both": (lambda p: elastic_net_penalty(p, 0.3, 0.2), 0.3, 0.2),
}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(got, expected, tolerance=1e-12):
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


# Penalties


@pytest.mark.parametrize("name", PENALTIES)
def test_a_penalty_is_its_formula_and_has_its_gradient(name):
    penalty, l1, l2 = PENALTIES[name]
    params = {"W": normal(4, 3), "b": normal(3, seed=1), "K": normal(2, 1, 3, 3, seed=2)}
    flat = torch.cat([p.flatten() for p in params.values()])
    value = penalty(params.values())
    assert value.shape == ()
    expected = l1 * torch.linalg.vector_norm(flat, 1) + l2 * torch.linalg.vector_norm(flat) ** 2
    close(value, expected)
    grads = {name: l1 * p.sign() + 2 * l2 * p for name, p in params.items()}
    leaves = [p.clone().requires_grad_() for p in params.values()]
    penalty(leaves).backward()
    for leaf, grad in zip(leaves, grads.values(), strict=True):
        close(leaf.grad, grad)
    check = gradient_check(lambda p: penalty(p.values()), params, grads)
    assert set(check.bands.values()) == {"right"}


@pytest.mark.parametrize("name", PENALTIES)
def test_a_generator_a_list_and_one_tensor_do(name):
    penalty, *_ = PENALTIES[name]
    layer = nn.Linear(3, 2).double()
    assert torch.equal(penalty(layer.parameters()), penalty([layer.weight, layer.bias]))
    assert torch.equal(penalty(layer.weight), penalty([layer.weight]))


def test_at_zero_the_gradient_of_l1_is_zero():
    w = torch.tensor([0.0, -0.0, 2.0], requires_grad=True)
    l1_penalty(w, 0.5).backward()
    assert w.grad.tolist() == [0.0, 0.0, 0.5]


@pytest.mark.parametrize("penalty", [l1_penalty, l2_penalty])
def test_without_strength_nothing_is_added_and_gradients_exist(penalty):
    w = normal(3).requires_grad_()
    total = w.sum() + penalty(w, 0)
    total.backward()
    assert torch.equal(total.detach(), w.detach().sum())
    assert torch.equal(w.grad, torch.ones_like(w))


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_weight_decay_in_sgd_is_twice_the_strength_of_l2(momentum):
    X, y, lam = normal(20, 3), normal(20, 2, seed=1), 0.07
    results = []
    for decay, strength in ((0.0, lam), (2 * lam, 0.0)):
        W = normal(3, 2, seed=2).requires_grad_()
        optimizer = torch.optim.SGD([W], lr=0.05, momentum=momentum, weight_decay=decay)
        for _ in range(50):
            optimizer.zero_grad()
            (F.mse_loss(X @ W, y) + l2_penalty(W, strength)).backward()
            optimizer.step()
        results.append(W.detach())
    close(*results)


def test_in_adamw_decay_is_not_the_penalty_and_in_adam_it_is():
    X, y, lam = normal(20, 3), normal(20, 2, seed=1), 0.07

    def train(kind, decay, strength):
        W = normal(3, 2, seed=2).requires_grad_()
        optimizer = kind([W], lr=0.05, weight_decay=decay)
        for _ in range(20):
            optimizer.zero_grad()
            (F.mse_loss(X @ W, y) + l2_penalty(W, strength)).backward()
            optimizer.step()
        return W.detach()

    penalised = train(torch.optim.Adam, 0.0, lam)
    close(penalised, train(torch.optim.Adam, 2 * lam, 0.0), 1e-9)
    assert (penalised - train(torch.optim.AdamW, 2 * lam, 0.0)).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: l1_penalty([], 1.0), "params is empty: give a tensor, or a list"),
        (lambda: l2_penalty(iter(()), 1.0), "params is empty"),
        (lambda: l1_penalty(torch.ones(1), -1.0), "lam is -1.0: give 0 or a positive, finite"),
        (lambda: l2_penalty(torch.ones(1), math.nan), "lam is nan"),
        (lambda: elastic_net_penalty(torch.ones(1), -1.0, 0.0), "l1 is -1.0"),
        (lambda: elastic_net_penalty(torch.ones(1), 0.0, math.inf), "l2 is inf"),
        (lambda: soft_threshold_(torch.ones(1), -0.1), "t is -0.1"),
        (lambda: shrink_(torch.ones(1), math.nan), "t is nan"),
        (lambda: elastic_net_prox_(torch.ones(1), -1.0, 0.0), "t1 is -1.0"),
        (lambda: elastic_net_prox_(torch.ones(1), 0.0, -1.0), "t2 is -1.0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


# Proximal steps


def minimiser(v: np.ndarray, t1: float, t2: float) -> np.ndarray:
    """The w that minimises (w - v)^2 / 2 + t1 |w| + t2 w^2, by bisection of the derivative."""
    low, high = -np.abs(v) - 1, np.abs(v) + 1
    for _ in range(80):
        w = (low + high) / 2
        rises = w - v + t1 * np.sign(w) + 2 * t2 * w > 0
        low, high = np.where(rises, low, w), np.where(rises, w, high)
    return (low + high) / 2


def objective(w: np.ndarray, v: np.ndarray, t1: float, t2: float) -> np.ndarray:
    return (w - v) ** 2 / 2 + t1 * np.abs(w) + t2 * w**2


PROXES = {
    "soft_threshold_": (lambda W, t1, t2: soft_threshold_(W, t1), 1, 0),
    "shrink_": (lambda W, t1, t2: shrink_(W, t2), 0, 1),
    "elastic_net_prox_": (elastic_net_prox_, 1, 1),
}


@pytest.mark.parametrize("name", PROXES)
@pytest.mark.parametrize(("t1", "t2"), [(0.0, 0.0), (0.1, 0.3), (0.7, 0.01), (5.0, 5.0)])
def test_a_proximal_step_finds_the_minimum(name, t1, t2):
    prox, uses_t1, uses_t2 = PROXES[name]
    strengths = t1 * uses_t1, t2 * uses_t2
    v = torch.cat([2 * normal(300), torch.tensor([0.0, t1, -t1, 1e-9, 50.0, -50.0])])
    w = prox(v.clone(), t1, t2).numpy()
    v = v.numpy()
    np.testing.assert_allclose(w, minimiser(v, *strengths), rtol=1e-9, atol=1e-12)
    # And no point of a grid is lower.
    grid = np.linspace(-60, 60, 2401)[:, None]
    assert (objective(w, v, *strengths) <= objective(grid, v, *strengths).min(0) + 1e-12).all()


@pytest.mark.parametrize("name", PROXES)
def test_a_proximal_step_works_in_place_on_a_parameter(name):
    prox, *_ = PROXES[name]
    W = nn.Parameter(normal(4, 2, 3, 3))
    before = W.detach().clone()
    assert prox(W, 0.2, 0.1) is W
    assert W.requires_grad
    assert W.is_leaf
    assert not torch.equal(W, before)


def test_soft_threshold_is_softshrink_with_exact_zeros():
    W = normal(1000)
    expected = F.softshrink(W, 0.5)
    zeros = soft_threshold_(W, 0.5) == 0
    close(W, expected)
    assert torch.equal(zeros, expected == 0)
    assert 0 < zeros.sum() < 1000
    assert not W[zeros].signbit().any()


def test_shrink_is_weight_decay_s_implicit_form_and_makes_no_zeros():
    W = normal(1000)
    before = W.clone()
    shrink_(W, 0.25)
    close(W, before / 1.5)
    assert (W != 0).all()


def test_nan_stays_nan():
    assert elastic_net_prox_(torch.tensor([math.nan]), 0.1, 0.1).isnan().all()


def test_proximal_gradient_descent_solves_the_lasso():
    """At the minimum the gradient is -lam sign(w) where w is not 0, and at most lam where it is."""
    X, y, lam = normal(40, 10), normal(40, seed=1), 0.2
    W = torch.zeros(10, dtype=torch.float64, requires_grad=True)
    lr = 1 / torch.linalg.eigvalsh(2 * X.T @ X / 40).max().item()
    for _ in range(2000):
        (gradient,) = torch.autograd.grad(F.mse_loss(X @ W, y), W)
        with torch.no_grad():
            W -= lr * gradient
        soft_threshold_(W, lr * lam)
    (gradient,) = torch.autograd.grad(F.mse_loss(X @ W, y), W)
    chosen = W.detach() != 0
    assert 0 < chosen.sum() < 10
    close(gradient[chosen], -lam * W.detach().sign()[chosen], 1e-10)
    assert (gradient[~chosen].abs() < lam).all()


def test_the_names_can_be_had_from_regularization():
    for name in ("l1_penalty", "l2_penalty", "elastic_net_penalty", *PROXES):
        assert getattr(regularization, name) is getattr(penalties, name)
