"""Alternating descent against the linear map it is on the toy, and against DARTS's formulas."""

import math

import pytest
import torch

from mlcourse import bilevel_toy
from mlcourse.bilevel import alternate, numbers

XIS = (0.0, 0.1, 0.3, 0.5, 0.6)
ORDERS = ("w", "hyper")
METHODS = ("unrolled_step", "finite_difference")


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def toy(xi, order="w", method="unrolled_step", steps=150, lr=0.2):
    w, a = (torch.tensor(x, dtype=torch.float64) for x in bilevel_toy.START)
    return alternate(
        bilevel_toy.train_loss,
        bilevel_toy.val_loss,
        w,
        a,
        steps=steps,
        lr_w=lr,
        lr_hyper=lr,
        xi=xi,
        order=order,
        method=method,
        record=numbers,
    )


# The toy


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("xi", "rounded"), [(0.0, 2), (0.1, 1.667), (0.3, 1.25), (0.5, 1), (0.6, 0.909)]
)
def test_the_toy_ends_where_it_must(xi, rounded, method, order):
    end = toy(xi, order, method)
    assert math.isclose(float(end.hyper), rounded, abs_tol=5e-4)
    assert math.isclose(float(end.hyper), bilevel_toy.limit(xi), rel_tol=1e-9)
    assert math.isclose(float(end.w), float(end.hyper), rel_tol=1e-9)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("xi", XIS)
def test_the_path_is_that_of_the_linear_map(xi, method, order):
    path = toy(xi, order, method, steps=20, lr=0.17).path("w0", "hyper0")
    matrix, shift = bilevel_toy.step_map(0.17, 0.17, xi, order)
    point = double(*bilevel_toy.START)
    for row in path:
        torch.testing.assert_close(row, point, rtol=1e-9, atol=1e-9)
        point = matrix @ point + shift
    assert len(path) == 21


def test_the_orders_have_different_paths_and_one_limit():
    first, second = (toy(0.3, order) for order in ORDERS)
    assert abs(first.history["w0"][5] - second.history["w0"][5]) > 0.01
    assert math.isclose(float(first.w), float(second.w), rel_tol=1e-9)


@pytest.mark.parametrize("xi", [*XIS, 1 / 6, 0.9, 1.4, 2.0, 5.0])
def test_below_the_largest_step_every_step_converges_and_just_above_none(xi):
    largest = bilevel_toy.largest_step(xi)
    for part in range(1, 200):
        lr = largest * part / 200
        assert bilevel_toy.contraction(lr, lr, xi) < 1
    above = 1.001 * largest
    assert bilevel_toy.contraction(above, above, xi) > 1


@pytest.mark.parametrize("xi", [*XIS, 1.5, 3.0])
def test_at_the_largest_step_an_eigenvalue_is_on_the_unit_circle(xi):
    largest = bilevel_toy.largest_step(xi)
    # At xi = 1/2 and 3/2 it is a double root, whose rounding errors are square roots.
    assert abs(bilevel_toy.contraction(largest, largest, xi) - 1) < 1e-7


def test_without_unrolling_the_largest_step_is_0_73_and_0_9_diverges():
    assert math.isclose(bilevel_toy.largest_step(0.0), math.sqrt(3) - 1)
    assert abs(float(toy(0.0, lr=0.73, steps=2500).hyper) - 2) < 1e-4
    diverged = toy(0.0, lr=0.9, steps=2500)
    assert not math.isfinite(diverged.history["train_loss"][-1])
    assert diverged.history.epochs < 2501
    assert all(math.isfinite(loss) for loss in diverged.history["train_loss"][:-1])


def test_the_eigenvalues_of_a_step_do_not_depend_on_the_order():
    for xi in XIS:
        one, other = (
            torch.linalg.eigvals(bilevel_toy.step_map(0.2, 0.4, xi, order)[0]) for order in ORDERS
        )
        trace_and_product = [(v.sum().real, v.prod().real) for v in (one, other)]
        torch.testing.assert_close(*trace_and_product)


def test_a_step_shortens_the_distance_by_the_contraction():
    distances = [abs(a - 2) for a in toy(0.0, lr=0.05, steps=400).history["hyper0"]]
    # Complex eigenvalues turn, so the mean over many steps is compared.
    rate = (distances[400] / distances[100]) ** (1 / 300)
    assert abs(rate - bilevel_toy.contraction(0.05, 0.05, 0.0)) < 0.02


# Any problem


def quadratic(generator):
    """Random losses of w (4,) and h (3,), whose mixed derivative is not constant."""
    A = torch.randn(4, 4, generator=generator, dtype=torch.float64)
    B = torch.randn(4, 3, generator=generator, dtype=torch.float64)
    c = torch.randn(4, generator=generator, dtype=torch.float64)

    def train(w, h):
        return 0.5 * ((w - B @ h) ** 2).sum() + 0.1 * (h.exp() * w[:3] ** 2).sum()

    def val(w, h):
        return ((A @ w - c) ** 2).mean() + 0.05 * (h**2).sum() + w[0] * h[0]

    return train, val


@pytest.mark.parametrize("order", ORDERS)
def test_a_step_is_darts_formula_written_out(order):
    """The hypergradient: grad_h - xi (d/dh grad_w train) . grad_w' val, with Jacobians in full."""
    generator = torch.Generator().manual_seed(3)
    jacobian, hessian = torch.autograd.functional.jacobian, torch.autograd.functional.hessian
    for _ in range(5):
        train, val = quadratic(generator)
        w = torch.randn(4, generator=generator, dtype=torch.float64)
        h = torch.randn(3, generator=generator, dtype=torch.float64)
        got = alternate(*(train, val, w, h), steps=1, lr_w=0.1, lr_hyper=0.2, xi=0.15, order=order)

        def moved_w(w, h, train=train):
            return w - 0.1 * jacobian(lambda w: train(w, h), w)

        def moved_h(w, h, train=train, val=val):
            ahead = w - 0.15 * jacobian(lambda w: train(w, h), w)
            direct = jacobian(lambda h: val(ahead, h), h)
            mixed = hessian(train, (w, h))[1][0]  # (3, 4)
            return h - 0.2 * (direct - 0.15 * mixed @ jacobian(lambda w: val(w, h), ahead))

        if order == "w":
            w = moved_w(w, h)
            h = moved_h(w, h)
        else:
            h = moved_h(w, h)
            w = moved_w(w, h)
        torch.testing.assert_close(got.w, w, rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(got.hyper, h, rtol=1e-12, atol=1e-12)


def test_the_structure_of_weights_and_hyper_parameters_does_not_matter():
    train, val = quadratic(torch.Generator().manual_seed(0))
    settings = {"steps": 7, "lr_w": 0.05, "lr_hyper": 0.05, "xi": 0.05, "record": numbers}
    w, h = double(1, -1, 0.5, 2), double(0.1, 0.2, -0.3)
    plain = alternate(train, val, w, h, **settings)
    before = w.clone()

    def join(loss):
        return lambda w, h: loss(torch.cat([w["a"], w["b"]]), torch.cat(list(h)))

    dicts = alternate(
        *(join(train), join(val), {"a": w[:1], "b": w[1:]}, (h[:2], h[2:])), **settings
    )
    assert dicts.history == plain.history
    assert torch.equal(torch.cat([dicts.w["a"], dicts.w["b"]]), plain.w)
    assert isinstance(dicts.hyper, tuple)
    lists = alternate(join(train), join(val), {"a": w[:1], "b": w[1:]}, [h[:2], h[2:]], **settings)
    assert isinstance(lists.hyper, list)
    assert torch.equal(w, before)
    assert not plain.w.requires_grad


def test_the_history_begins_at_the_start_and_has_what_was_asked_for():
    descent = toy(0.0, steps=3)
    assert list(descent.history) == ["train_loss", "val_loss", "w0", "hyper0"]
    assert [column[0] for column in descent.history.values()] == [16.0, -7.0, -2.0, 2.0]
    assert descent.path("hyper0", "w0").shape == (4, 2)
    end = descent.history.last
    assert (end["w0"], end["hyper0"]) == (float(descent.w), float(descent.hyper))
    w, a = double(1.0), double(1.0)
    bare = alternate(lambda w, a: w.sum(), lambda w, a: a.sum(), w, a, steps=0, lr_w=0, lr_hyper=0)
    assert bare.history == {"train_loss": [1.0], "val_loss": [1.0]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": -1}, "steps is -1: give 0 or more"),
        ({"lr_w": -0.1}, "lr_w is -0.1: give 0 or a positive, finite number"),
        ({"lr_hyper": math.nan}, "lr_hyper is nan: give 0 or a positive"),
        ({"xi": math.inf}, "xi is inf: give 0 or a positive"),
        ({"order": "alpha"}, 'order is \'alpha\': say what moves first, "w" or "hyper"'),
        ({"method": "cg"}, 'method is \'cg\': give "unrolled_step" or "finite_difference"'),
    ],
)
def test_bad_settings_are_refused(settings, message):
    good = {"steps": 1, "lr_w": 0.1, "lr_hyper": 0.1}
    w, a = double(1.0), double(1.0)
    with pytest.raises(ValueError, match=f"^{message}"):
        alternate(bilevel_toy.train_loss, bilevel_toy.val_loss, w, a, **{**good, **settings})


@pytest.mark.parametrize(
    "function",
    [
        bilevel_toy.limit,
        bilevel_toy.largest_step,
        lambda xi: bilevel_toy.step_map(0.1, 0.1, xi),
        lambda xi: bilevel_toy.contraction(0.1, 0.1, xi),
    ],
)
def test_a_negative_xi_is_refused(function):
    with pytest.raises(ValueError, match=r"^xi is -0.1: give 0 or a positive, finite number$"):
        function(-0.1)
