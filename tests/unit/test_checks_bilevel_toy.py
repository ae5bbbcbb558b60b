"""`bilevel_toy`: its references are the library's, and what it says is true."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mlcourse import bilevel_toy
from mlcourse.bilevel import alternate
from mlcourse.checks import load
from mlcourse.checks.judge import Judge
from mlcourse.hypergrad import hypergradient
from mlcourse.sine_mixture import SineMixture, losses

EXERCISE = load("bilevel_toy")
SEED = 20260101
ORDERS = {"w": "w", "a": "hyper"}


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def value(name: str):
    return EXERCISE[name].reference


def wrong(name: str, mistake: str):
    return next(known.answer for known in EXERCISE[name].mistakes if known.name == mistake)


def number(x: float) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float64)


def test_the_outer_losses_are_the_librarys():
    for (a,) in cases("along_the_response"):
        hyper = torch.from_numpy(a).requires_grad_()
        outer = bilevel_toy.val_loss(hyper, hyper)  # w* = a
        (slope,) = torch.autograd.grad(outer.sum(), hyper)
        response, found, slopes = value("along_the_response")(a)
        assert not bilevel_toy.train_loss(torch.from_numpy(response), hyper).any()
        np.testing.assert_allclose(found, outer.detach().numpy(), atol=1e-12)
        np.testing.assert_allclose(slopes, slope.numpy(), atol=1e-12)


def test_gradients_are_the_librarys():
    for w, a, xi in [*cases("unrolled_gradient"), (0.5, 2.0, 0.2)]:
        method, options = ("unrolled_step", {"lr": xi}) if xi else ("first_order", {})
        expected = hypergradient(
            bilevel_toy.train_loss, bilevel_toy.val_loss, number(w), number(a), method, **options
        )
        assert value("unrolled_gradient")(w, a, xi) == pytest.approx(float(expected))
    assert value("gradient_by_hand") == pytest.approx(value("unrolled_gradient")(0.5, 2, 0.2))
    for mistake in ("first_order", "detached", "old_w", "indirect_sign", "no_two", "exact"):
        expected = wrong("unrolled_gradient", mistake)(0.5, 2, 0.2)
        assert wrong("gradient_by_hand", mistake) == pytest.approx(expected)


def test_descents_are_the_librarys():
    for w, a, lr_w, lr_a, xi, first, steps in cases("descend"):
        found = alternate(
            bilevel_toy.train_loss,
            bilevel_toy.val_loss,
            number(w),
            number(a),
            steps=steps,
            lr_w=lr_w,
            lr_hyper=lr_a,
            xi=xi,
            order=ORDERS[first],
            record=lambda w, a: {"w": w, "a": a},
        )
        expected = found.path("w", "a").numpy()
        path = value("descend")(w, a, lr_w, lr_a, xi, first, steps)
        np.testing.assert_allclose(path, expected, atol=1e-12)
        one = value("alternation")(w, a, lr_w, lr_a, xi, first)
        np.testing.assert_allclose(one, expected[1], atol=1e-12)


def test_limits_and_maps_are_the_librarys():
    for (xi,) in cases("limit"):
        assert value("limit")(xi) == bilevel_toy.limit(xi)
    for lr_w, lr_a, xi, first in cases("step_map"):
        M, b = value("step_map")(lr_w, lr_a, xi, first)
        matrix, shift = bilevel_toy.step_map(lr_w, lr_a, xi, ORDERS[first])
        np.testing.assert_allclose(M, matrix, atol=1e-12)
        np.testing.assert_allclose(b, shift, atol=1e-12)
        expected = bilevel_toy.contraction(lr_w, lr_a, xi)
        assert value("contraction")(M) == pytest.approx(expected)


def test_the_kinds_of_eigenvalues_that_mistakes_need_are_drawn():
    found = [np.linalg.eigvals(M) for (M,) in cases("contraction")]
    assert any(np.iscomplex(values).any() for values in found)
    assert any(values.real.min() < -1 for values in found)
    assert any(np.isreal(values).all() and values.min() > 0 for values in found)


def test_the_largest_step_is_the_librarys():
    s = value("largest_equal_step")
    assert s == pytest.approx(bilevel_toy.largest_step(0.0)) == pytest.approx(math.sqrt(3) - 1)
    for other in ("determinant", "diverges", "root_alone"):
        step = wrong("largest_equal_step", other)
        assert bilevel_toy.contraction(step, step, 0.0) >= 1, other
    half = wrong("largest_equal_step", "best_for_w")
    assert bilevel_toy.contraction(half, half, 0.0) < 1


def test_the_mixtures_losses_and_gradients_are_the_librarys():
    for w, a, *points, xi in cases("mixture_gradient"):
        train_loss, val_loss = losses(SineMixture(*points))
        for loss, (x, y) in ((train_loss, points[:2]), (val_loss, points[2:])):
            assert value("mixture_loss")([w, a], x, y) == pytest.approx(loss(w, a))
        method, options = ("unrolled_step", {"lr": xi}) if xi else ("first_order", {})
        expected = hypergradient(train_loss, val_loss, w, a, method, **options)
        found = value("mixture_gradient")(w, a, *points, xi)
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_a_slip_in_the_direct_term_alone_leaves_the_limit_where_it_is():
    """So `limit` does not name it: at the end w does not move, and old and new w are one."""
    old_w = wrong("unrolled_gradient", "old_w")
    for (xi,) in cases("limit"):
        end = value("limit")(xi)
        assert old_w(end, end, xi) == pytest.approx(0, abs=1e-12)
