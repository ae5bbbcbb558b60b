"""The references of `second_order` against torch, and answers in a student's own words."""

from __future__ import annotations

import ast
import math

import pytest
import torch

from mlcourse import second_order
from mlcourse.checks import load
from mlcourse.checks.forbidden import mentions
from mlcourse.checks.judge import Judge
from mlcourse.witness import Quartic

EXERCISE = load("second_order")
SEED = 20260101


def reference(name: str):
    return EXERCISE[name].reference


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def says(name: str, answer) -> str:
    verdict = Judge(EXERCISE[name], [SEED])(answer)
    assert verdict.mistake, (verdict.status, verdict.message)
    return verdict.mistake


def passes(name: str, answer) -> None:
    verdict = Judge(EXERCISE[name], [SEED])(answer)
    assert verdict.status == "passed", verdict.message


def close(one, other, tolerance=1e-4):
    one, other = torch.as_tensor(one).double(), torch.as_tensor(other).double()
    torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


# --- The references -------------------------------------------------------------------------------


def test_the_predicted_change_is_exact_for_a_quadratic():
    for g, H, p in cases("predicted_change"):
        f = Quartic(H, g, torch.zeros_like(g))
        origin = torch.zeros_like(g)
        close(reference("predicted_change")(g, H, p), f(p) - f(origin))


def test_the_condition_number_is_torchs():
    for (H,) in cases("condition_number"):
        close(reference("condition_number")(H), torch.linalg.cond(H))


def test_the_product_is_with_the_hessian_by_torch():
    for A, b, c, x, v in cases("hvp"):
        f = Quartic(A, b, c)
        close(reference("hvp")(f, x, v), torch.autograd.functional.hessian(f, x) @ v)


def test_steps_are_the_librarys():
    for g, H, damping in cases("newton_step"):
        expected = second_order.newton_direction(H, g, damping)
        close(reference("newton_step")(g, H, damping), expected)
    for g, H in cases("saddle_free_step"):
        expected = second_order.newton_direction(H, g, saddle_free=True)
        close(reference("saddle_free_step")(g, H), expected)
        assert g @ expected < 0


def test_half_of_the_decrements_square_is_what_newton_gains():
    for g, H in cases("newton_decrement"):
        step = reference("newton_step")(g, H, 0.0)
        gain = -reference("predicted_change")(g, H, step)
        close(reference("newton_decrement")(g, H) ** 2 / 2, gain, 1e-10)


def test_the_index_counts_directions_that_go_down():
    for (H,) in cases("negative_fraction"):
        values, vectors = torch.linalg.eigh(H)
        down = [float(v @ H @ v) < 0 for v in vectors.T]
        assert reference("negative_fraction")(H) == sum(down) / len(values)


def test_conjugate_gradients_are_the_librarys_and_end_at_the_solution():
    for A, b, steps in cases("conjugate_gradients"):
        points = reference("conjugate_gradients")(A, b, steps)
        expected = second_order.conjugate_gradients(A, b, steps, tolerance=0.0).points[1:]
        close(points, torch.stack(expected))
        if steps == len(b):
            close(points[-1], torch.linalg.solve(A, b))


def test_the_two_loops_are_the_librarys():
    for g, pairs in cases("lbfgs_direction"):
        close(reference("lbfgs_direction")(g, pairs), second_order.lbfgs_direction(g, pairs))
    memories = {len(pairs) for _, pairs in cases("lbfgs_direction")}
    assert memories == {0, 1, 2, 3}


def distance(rate: float, steps: int = 400) -> list[float]:
    """How far descent is from 0 along the curvatures 10 and 0.5, from 1."""
    return [abs(1 - rate * curvature) ** steps for curvature in (10.0, 0.5)]


def test_the_rates_are_what_they_say():
    limit, best = (EXERCISE[name].reference for name in ("stability_limit", "best_rate"))
    assert max(distance(0.999 * limit)) < 1 < max(distance(1.001 * limit))
    assert max(distance(best)) < min(max(distance(1.01 * best)), max(distance(0.99 * best)))
    assert math.isclose(*distance(best), rel_tol=1e-9)


def test_three_eigenvalues_take_three_steps():
    generator = torch.Generator().manual_seed(0)
    values = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64).repeat(4)
    Q = torch.linalg.qr(torch.randn(12, 12, generator=generator, dtype=torch.float64)).Q
    A = Q @ torch.diag(values) @ Q.T
    b = torch.randn(12, generator=generator, dtype=torch.float64)
    errors = [
        float((A @ x - b).norm())
        for x in second_order.conjugate_gradients(A, b, tolerance=0).points
    ]
    steps = EXERCISE["cg_steps"].reference
    assert errors[steps] < 1e-10 < 1e-3 < errors[steps - 1]


def test_newton_goes_to_the_saddle_and_the_saddle_free_step_away():
    x = torch.tensor([1.0, 1.0], dtype=torch.float64)
    H = torch.diag(torch.tensor([1.0, -1.0], dtype=torch.float64))
    close(x + reference("newton_step")(H @ x, H, 0.0), torch.zeros(2), 1e-12)
    close(x + reference("saddle_free_step")(H @ x, H), torch.tensor([0.0, 2.0]), 1e-12)


# --- What students write --------------------------------------------------------------------------


def test_right_answers_written_in_other_ways_pass():
    def in_place_requires_grad(f, x, v):
        x.requires_grad_(True)
        g = torch.autograd.grad(f(x), x, create_graph=True)[0]
        return torch.autograd.grad(torch.sum(g * v), x, retain_graph=True)[0]

    def float_identity(g, H, damping):
        return torch.linalg.inv(H + damping * torch.eye(H.shape[0])) @ (-g)

    def absolute_matrix(g, H):
        values, vectors = torch.linalg.eigh(H)
        absolute = vectors @ torch.diag(torch.abs(values)) @ vectors.T
        return torch.linalg.solve(absolute, -g)

    def residual_afresh(A, b, steps):
        x = torch.zeros(len(b), dtype=b.dtype)
        r = b - A @ x
        p = r
        out = []
        for _ in range(steps):
            alpha = torch.dot(r, r) / torch.dot(p, A @ p)
            x = x + alpha * p
            new = b - A @ x
            p = new + torch.dot(new, new) / torch.dot(r, r) * p
            r = new
            out.append(x)
        return torch.stack(out)

    def loops_with_a_dict(g, pairs):
        q, alphas = g.clone(), {}
        for i in reversed(range(len(pairs))):
            s, y = pairs[i]
            alphas[i] = torch.dot(s, q) / torch.dot(y, s)
            q -= alphas[i] * y
        if len(pairs) > 0:
            q *= torch.dot(pairs[-1][0], pairs[-1][1]) / torch.dot(pairs[-1][1], pairs[-1][1])
        for i, (s, y) in enumerate(pairs):
            q += (alphas[i] - torch.dot(y, q) / torch.dot(y, s)) * s
        return -q

    passes("hvp", in_place_requires_grad)
    passes("newton_step", float_identity)
    passes("saddle_free_step", absolute_matrix)
    passes("conjugate_gradients", residual_afresh)
    passes("lbfgs_direction", loops_with_a_dict)
    passes(
        "condition_number", lambda H: max(torch.linalg.eigvalsh(H)) / min(torch.linalg.eigvalsh(H))
    )
    passes("newton_decrement", lambda g, H: (g @ torch.linalg.inv(H) @ g) ** 0.5)


@pytest.mark.filterwarnings("ignore:Using backward")
def test_slips_in_students_words_are_recognised():
    def backward_twice(f, x, v):
        x = x.clone().requires_grad_()
        f(x).backward(create_graph=True)
        (x.grad @ v).backward()
        return x.grad

    def sum_of_gradient(f, x, v):
        x = x.clone().requires_grad_()
        g = torch.autograd.grad(f(x), x, create_graph=True)[0]
        return torch.autograd.grad(g.sum(), x)[0]

    def twice_times_v(f, x, v):
        x = x.clone().requires_grad_()
        g = torch.autograd.grad(f(x), x, create_graph=True)[0]
        return torch.autograd.grad(g.sum(), x)[0] * v

    def without_graph(f, x, v):
        x.requires_grad_()
        y = f(x)
        y.backward()
        return torch.autograd.grad(x.grad @ v, x)[0]

    def one_name(A, b, steps):
        x, r, out = torch.zeros_like(b), b, []
        p = r
        for _ in range(steps):
            alpha = r @ r / (p @ A @ p)
            x = x + alpha * p
            r = r - alpha * A @ p
            p = r + (r @ r) / (r @ r) * p
            out.append(x)
        return out

    def aliased(A, b, steps):
        x, r, out = torch.zeros_like(b), b.clone(), []
        p = r.clone()
        for _ in range(steps):
            alpha = r @ r / (p @ A @ p)
            x += alpha * p
            new = r - alpha * A @ p
            p = new + (new @ new) / (r @ r) * p
            r = new
            out.append(x)
        return out

    def shares_not_reversed(g, pairs):
        q, a = g, []
        for s, y in pairs[::-1]:
            a.append(s @ q / (s @ y))
            q = q - a[-1] * y
        if pairs:
            q = q * (pairs[-1][0] @ pairs[-1][1]) / (pairs[-1][1] @ pairs[-1][1])
        for i, (s, y) in enumerate(pairs):
            q = q + (a[i] - y @ q / (s @ y)) * s
        return -q

    def in_the_lists_order(g, pairs):
        q, a = g, []
        for s, y in pairs:
            a.append(s @ q / (s @ y))
            q = q - a[-1] * y
        if pairs:
            q = q * (pairs[-1][0] @ pairs[-1][1]) / (pairs[-1][1] @ pairs[-1][1])
        for (s, y), share in zip(pairs[::-1], a[::-1], strict=True):
            q = q + (share - y @ q / (s @ y)) * s
        return -q

    assert says("hvp", backward_twice) == "accumulated"
    assert says("hvp", sum_of_gradient) == "v_forgotten"
    assert says("hvp", twice_times_v) == "ones_times_v"
    assert says("hvp", without_graph) == "no_graph"
    assert says("conjugate_gradients", one_name) == "beta_one"
    assert says("conjugate_gradients", aliased) == "same_tensor"
    assert says("lbfgs_direction", shares_not_reversed) == "shares_mixed_up"
    assert says("lbfgs_direction", in_the_lists_order) == "oldest_first"
    assert says("newton_step", lambda g, H, d: -torch.linalg.solve(H + d, g)) == "whole_matrix"
    assert says("newton_step", lambda g, H, d: -g / H.diagonal()) == "diagonal_undamped"
    assert says("newton_step", lambda g, H, d: torch.linalg.inv(H) @ -g) == "no_damping"
    assert says("saddle_free_step", lambda g, H: -torch.linalg.inv(H.abs()) @ g) == (
        "absolute_entries"
    )
    assert says("saddle_free_step", lambda g, H: -(torch.linalg.inv(H).abs() @ g)) == (
        "absolute_inverse"
    )
    assert says("negative_fraction", lambda H: sum(torch.linalg.eigvalsh(H) < 0)) == "count"


@pytest.mark.parametrize("name", ["hessian", "jacobian", "hvp", "jvp"])
def test_ready_made_products_are_noticed(name):
    text = f"def hvp(f, x, v):\n    return torch.autograd.functional.{name}(f, x)"
    (forbidden,) = EXERCISE["hvp"].forbidden
    assert mentions(ast.parse(text)) & forbidden.attributes
