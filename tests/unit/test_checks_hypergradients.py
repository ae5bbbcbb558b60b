"""`hypergradients`: its references are the library's, what it says is true, and slips are named."""

from __future__ import annotations

import ast

import pytest
import torch

from mlcourse.checks import load
from mlcourse.checks.forbidden import mentions
from mlcourse.checks.judge import Judge
from mlcourse.hypergrad import hypergradient
from mlcourse.second_order import conjugate_gradients as library_cg
from mlcourse.short_horizon import NoisyQuadratic
from mlcourse.witness import PenalisedQuartic, Product

EXERCISE = load("hypergradients")
SEED = 20260101


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def value(name: str):
    return EXERCISE[name].reference


def says(name: str, answer) -> str | None:
    return Judge(EXERCISE[name], [SEED])(answer).mistake


def passes(name: str, answer) -> None:
    verdict = Judge(EXERCISE[name], [SEED])(answer)
    assert verdict.status == "passed", verdict.message


def close(one, other, tolerance=1e-4):
    one, other = (torch.as_tensor(it).detach().double() for it in (one, other))
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def square_loss(X, y):
    return lambda w, h: ((X @ w - y) ** 2).mean()


# --- The references are the library's -------------------------------------------------------------


def test_ridge_is_at_its_minimum_and_has_the_librarys_hypergradient():
    for X, y, X_val, y_val, lam in cases("ridge_hypergradient"):
        X, y, X_val, y_val = (tensor.double() for tensor in (X, y, X_val, y_val))
        w, h = value("ridge_weights")(X, y, lam), torch.tensor(lam, dtype=torch.float64)

        def inner(w, h, X=X, y=y):
            return value("ridge_loss")(w, X, y, h)

        slope, _ = torch.autograd.functional.jacobian(inner, (w, h))
        close(slope, torch.zeros_like(w), 1e-12)
        outer = square_loss(X_val, y_val)
        expected = hypergradient(inner, outer, w, h, "exact")
        close(value("ridge_hypergradient")(X, y, X_val, y_val, lam), expected, 1e-9)
        assert hypergradient(inner, outer, w, h, "first_order") == 0  # the choice `fixed_weights`
        slope, _ = torch.autograd.functional.jacobian(outer, (w, h))
        close(value("validation_gradient")(w, X_val, y_val), slope, 1e-10)


def test_penalties_are_the_librarys():
    for X, y, X_val, y_val, h, rho in cases("penalty_hypergradient"):
        X, y, X_val, y_val, h = (tensor.double() for tensor in (X, y, X_val, y_val, h))
        half = X.T @ X / len(X) + torch.diag(h.exp())
        w = torch.linalg.solve(half, X.T @ y / len(X))

        def inner(w, h, X=X, y=y):
            return ((X @ w - y) ** 2).mean() + (h.exp() * w**2).sum()

        def outer(w, h, X=X_val, y=y_val, rho=rho):
            return ((X @ w - y) ** 2).mean() + rho * (h**2).sum()

        expected = hypergradient(inner, outer, w, h, "exact")
        close(value("penalty_hypergradient")(X, y, X_val, y_val, h, rho), expected, 1e-9)


def test_the_mixed_derivative_is_torchs():
    for w, h, group in cases("mixed_derivative"):

        def penalty(w, h, group=group):
            return (h.exp()[group] * w**2).sum()

        (_, M), _ = torch.autograd.functional.hessian(penalty, (w, h))
        close(value("mixed_derivative")(w, h, group), M)


def test_one_step_is_the_librarys_exactly_and_by_difference():
    for name in ("unrolled_step", "finite_difference"):
        for inner, outer, w, h, xi in cases(name):
            losses = PenalisedQuartic(*inner), PenalisedQuartic(*outer)
            expected = hypergradient(*losses, w, h, name, lr=xi)
            close(value(name)(*losses, w, h, xi), expected, 1e-10)


def test_products_are_those_of_the_second_derivatives():
    for loss, w, h, q in cases("second_products"):
        f = PenalisedQuartic(*loss)
        (H, M), _ = torch.autograd.functional.hessian(f, (w, h))
        for product, expected in zip(
            value("second_products")(f, w, h, q), (H @ q, M.T @ q), strict=True
        ):
            close(product, expected)


def test_solvers_end_at_the_solution():
    for H, u, q, steps in cases("solve_by_cg"):
        answer = value("solve_by_cg")
        zero = torch.zeros_like(u)
        expected = library_cg(lambda v, H=H: H @ v, u, steps, tolerance=0.0).x
        close(answer(Product(H), u, zero, steps), expected)
        close(answer(Product(H), u, q, len(u)), torch.linalg.solve(H, u), 1e-3)
    for H, u, lr, terms in cases("solve_by_neumann"):
        answer, exact = value("solve_by_neumann"), torch.linalg.solve(H, u)
        close(answer(Product(H), u, lr, 400), exact, 1e-3)
        left = torch.linalg.matrix_power(torch.eye(len(u), dtype=H.dtype) - lr * H, terms) @ exact
        close(exact - answer(Product(H), u, lr, terms), left, 1e-3)


def test_the_three_ways_through_all_steps_are_the_librarys():
    for path, A, h, lr, u in cases("reverse_mode"):
        path, A, h, u = (tensor.double() for tensor in (path, A, h, u))
        steps = len(path) - 1
        b = (path[1] - path[0]) / lr + A @ path[0] + h.exp() * path[0]

        def inner(w, h, A=A, b=b):
            return w @ A @ w / 2 - b @ w + (h.exp() * w**2).sum() / 2

        def outer(w, h, u=u):
            return u @ w

        found = value("reverse_mode")(path, A, h, lr, u)
        for method in ("reverse", "forward"):
            expected = hypergradient(inner, outer, path[0], h, method, steps=steps, lr=lr)
            close(found, expected, 1e-5)  # one of the cases is given in float32
        close(value("forward_mode")(path, A, h, lr).T @ u, found, 1e-10)
        J = torch.eye(len(h), dtype=h.dtype) - lr * (A + torch.diag(h.exp()))
        Bs = [-lr * torch.diag(h.exp() * w) for w in path[:-1]]
        for keep in range(1, steps + 1):
            options = {"steps": steps, "lr": lr, "keep": keep}
            expected = hypergradient(inner, outer, path[0], h, "truncated", **options)
            close(value("truncated_reverse")([J] * steps, Bs, u, keep), expected, 1e-5)


def test_the_fixed_point_ends_at_the_implicit_hypergradient():
    for A, B, u, direct, _ in cases("fixed_point"):
        eye = torch.eye(len(u), dtype=A.dtype)
        expected = direct + B.T @ torch.linalg.solve(eye - A.T, u)
        close(value("fixed_point")(A, B, u, direct, 4000), expected, 1e-8)
        assert not torch.allclose(A, A.T, atol=0.05)


def test_the_noisy_quadratic_is_the_librarys():
    for curvature, noise, x, lr in cases("loss_after_step"):
        problem = NoisyQuadratic(curvature, noise, x)
        close(
            value("loss_after_step")(curvature, noise, x, lr),
            problem.expected_losses(torch.tensor([lr], dtype=x.dtype))[-1],
        )
    for curvature, noise, x in cases("greedy_rate"):
        greedy = NoisyQuadratic(curvature, noise, x).greedy_rates(1)
        close(value("greedy_rate")(curvature, noise, x), greedy[0])


# --- The letters and numbers ----------------------------------------------------------------------


def test_neumann_converges_up_to_the_limit():
    H = torch.diag(torch.tensor([0.5, 3.0, 8.0], dtype=torch.float64))
    u, limit = torch.ones(3, dtype=torch.float64), value("neumann_limit")
    below, above = (
        value("solve_by_neumann")(Product(H), u, factor * limit, 4000) for factor in (0.999, 1.001)
    )
    close(below, torch.linalg.solve(H, u), 1e-2)
    assert above.abs().max() > 100


def test_away_from_the_minimum_the_error_grows_with_the_distance():
    """And it is neither the hypergradient at the minimum nor that of the steps."""
    generator = torch.Generator().manual_seed(0)
    X, X_val = (torch.randn(20, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    y, y_val = (torch.randn(20, generator=generator, dtype=torch.float64) for _ in range(2))
    h = torch.zeros(4, dtype=torch.float64)

    def inner(w, h):
        return ((X @ w - y) ** 2).mean() + (h.exp() * w**2).sum()

    exact = value("penalty_hypergradient")(X, y, X_val, y_val, h, 0.0)
    outer, errors, w = square_loss(X_val, y_val), [], torch.zeros_like(h)
    for steps in range(30):
        found = hypergradient(inner, outer, w, h, "exact")
        errors.append(float((found - exact).norm()))
        if steps == 3:
            zero = torch.zeros_like(h)
            through = hypergradient(inner, outer, zero, h, "reverse", steps=3, lr=0.1)
            assert (found - through).norm() > 0.01
        w = w - 0.1 * torch.autograd.functional.jacobian(lambda w: inner(w, h), w)
    assert errors[0] > 10 * errors[10] > 100 * errors[-1]


def test_reverse_mode_keeps_the_weights_of_all_steps():
    assert value("reverse_memory") == 100_000 * 2_000


def test_short_horizons_choose_small_rates():
    """Thirty times, the best rate for the next ten steps; and the best one for all 300."""
    curvature = torch.tensor([1.0, 0.01], dtype=torch.float64)
    noise, x = torch.ones_like(curvature), torch.tensor([1.0, 10.0], dtype=torch.float64)
    whole = NoisyQuadratic(curvature, noise, x)
    best, rates, square = whole.best_constant_rate(300), [], x**2
    for _ in range(30):
        rates += [NoisyQuadratic(curvature, noise, square.sqrt()).best_constant_rate(10)] * 10
        for lr in rates[-10:]:
            square = (1 - lr * curvature) ** 2 * square + (lr * curvature * noise) ** 2
    assert max(rates) < best
    ends = [whole.expected_losses(lr)[-1] for lr in (torch.stack(rates), best.expand(300))]
    assert ends[0] > 1.3 * ends[1]


# --- What students write --------------------------------------------------------------------------


def test_right_answers_written_in_other_ways_pass():
    def ridge_with_n(X, y, lam):
        N, d = X.shape
        return torch.linalg.inv(X.T @ X + N * lam * torch.eye(d, dtype=X.dtype)) @ (X.T @ y)

    def scalar_by_response(X, y, X_val, y_val, lam):
        w = ridge_with_n(X, y, lam)
        H = X.T @ X / len(X) + lam * torch.eye(X.shape[1], dtype=X.dtype)
        r = X_val @ w - y_val
        return (2 * r * (X_val @ -torch.linalg.solve(H, w))).mean()

    def through_darts(inner, outer, w, h, xi):
        w.requires_grad_(True)
        h.requires_grad_(True)
        loss = inner(w, h)
        (g,) = torch.autograd.grad(loss, w)
        new = (w - xi * g).detach().requires_grad_(True)
        u, direct = torch.autograd.grad(outer(new, h), [new, h])
        eps = 0.01 / u.norm()
        with torch.no_grad():
            w += eps * u
        plus = torch.autograd.grad(inner(w, h), h)[0]
        with torch.no_grad():
            w -= 2 * eps * u
        minus = torch.autograd.grad(inner(w, h), h)[0]
        with torch.no_grad():
            w += eps * u
        return direct - xi * (plus - minus) / (2 * eps)

    def from_the_end(As, Bs, u, keep):
        g = 0
        for A, B in list(zip(As, Bs, strict=True))[: -keep - 1 : -1]:
            g = g + u @ B
            u = u @ A
        return g

    passes("ridge_weights", ridge_with_n)
    passes("ridge_hypergradient", scalar_by_response)
    passes("finite_difference", through_darts)
    passes("truncated_reverse", from_the_end)


@pytest.mark.filterwarnings("ignore:Using backward")
def test_slips_in_students_words_are_recognised():
    def leaf_weights(inner, outer, w, h, xi):
        w, h = w.clone().requires_grad_(), h.clone().requires_grad_()
        inner(w, h).backward()
        with torch.no_grad():
            new = w - xi * w.grad
        h.grad = None
        outer(new, h).backward()
        return h.grad

    def grads_left(inner, outer, w, h, xi):
        w, h = w.clone().requires_grad_(), h.clone().requires_grad_()
        inner(w, h).backward(create_graph=True)
        outer(w - xi * w.grad, h).backward()
        return h.grad

    def darts_half(inner, outer, w, h, xi):
        h = h.clone().requires_grad_()
        w = w.clone().requires_grad_()
        new = w - xi * torch.autograd.grad(inner(w, h), w)[0]
        u, direct = torch.autograd.grad(outer(new, h), [new, h])
        eps = 0.01 / u.norm()
        plus = torch.autograd.grad(inner(w + eps * u, h), h)[0]
        minus = torch.autograd.grad(inner(w - eps * u, h), h)[0]
        return direct - xi * (plus - minus) / eps

    def warm_cg(product, u, q, steps):
        r, p = u, u
        for _ in range(steps):
            a = r @ r / (p @ product(p))
            q = q + a * p
            new = r - a * product(p)
            p = new + (new @ new) / (r @ r) * p
            r = new
        return q

    def along_the_path(path, A, h, lr, u):
        p, total = u, torch.zeros_like(h)
        for t in range(len(path) - 1):
            total = total - lr * torch.exp(h) * path[t] * p
            p = p - lr * (A + torch.diag(torch.exp(h))) @ p
        return total

    def no_transposes(As, Bs, u, keep):
        total = 0
        for t in range(len(As) - 1, len(As) - keep - 1, -1):
            total = total + Bs[t] @ u
            u = As[t] @ u
        return total

    def neumann(product, u, lr, terms):
        q, v = u, u
        for _ in range(1, terms):
            v = v - lr * product(v)
            q = q + v
        return q

    assert says("unrolled_step", leaf_weights) == "detached"
    assert says("unrolled_step", grads_left) == "accumulated"
    assert says("finite_difference", darts_half) == "not_halved"
    assert says("solve_by_cg", warm_cg) == "start_not_subtracted"
    assert says("reverse_mode", along_the_path) == "forwards"
    assert says("truncated_reverse", no_transposes) == "neither_transposed"
    assert says("solve_by_neumann", neumann) == "not_scaled"
    assert says("ridge_hypergradient", lambda *data: 0.0) == "detached"
    assert says("implicit_hypergradient", lambda u, H, M, d: d) == "detached"


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("validation_gradient", "torch.autograd.grad(loss, w)"),
        ("reverse_mode", "loss.backward()"),
        ("second_products", "torch.autograd.functional.vhp(f, w, q)"),
        ("solve_by_cg", "torch.linalg.solve(H, u)"),
    ],
)
def test_what_is_forbidden_is_noticed(name, line):
    (forbidden,) = EXERCISE[name].forbidden
    assert mentions(ast.parse(line)) & forbidden.attributes
