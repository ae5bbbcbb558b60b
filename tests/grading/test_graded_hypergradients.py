"""`hypergradients` through the real grader: losses that are called there, weights pushed about."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("hypergradients")

RIDGE_LOSS = """
def ridge_loss(w, X, y, lam):
    r = X @ w - y
    return (r * r).mean() + lam * (w * w).sum()
"""

RIDGE_WEIGHTS = """
def ridge_weights(X, y, lam):
    N, d = X.shape
    penalty = lam * torch.eye(d, dtype=X.dtype)
    return torch.linalg.solve(X.T @ X / N + penalty, X.T @ y / N)
"""

VALIDATION_GRADIENT = """
def validation_gradient(w, X_val, y_val):
    r = X_val @ w - y_val
    return 2 * X_val.T @ r / len(y_val)
"""

RIDGE_HYPERGRADIENT = """
def ridge_hypergradient(X, y, X_val, y_val, lam):
    w = ridge_weights(X, y, lam)
    u = validation_gradient(w, X_val, y_val)
    H = 2 * X.T @ X / len(X) + 2 * lam * torch.eye(len(w), dtype=X.dtype)
    response = -torch.linalg.solve(H, 2 * w)
    return u @ response
"""

MIXED = """
def mixed_derivative(w, h, group):
    M = torch.zeros(len(w), len(h), dtype=w.dtype)
    for i in range(len(w)):
        j = group[i]
        M[i, j] = 2 * torch.exp(h[j]) * w[i]
    return M
"""

IMPLICIT = """
def implicit_hypergradient(u, H, M, direct):
    q = torch.linalg.solve(H, u)
    return direct - M.T @ q
"""

PENALTY = """
def penalty_hypergradient(X, y, X_val, y_val, h, rho):
    S = X.T @ X / len(X)
    w = torch.linalg.solve(S + torch.diag(h.exp()), X.T @ y / len(X))
    u = validation_gradient(w, X_val, y_val)
    H = 2 * S + 2 * torch.diag(h.exp())
    M = mixed_derivative(w, h, torch.arange(len(h)))
    return implicit_hypergradient(u, H, M, 2 * rho * h)
"""

PRODUCTS = """
def second_products(f, w, h, q):
    w = w.clone().requires_grad_()
    h = h.clone().requires_grad_()
    g = torch.autograd.grad(f(w, h), w, create_graph=True)[0]
    number = g @ q
    return torch.autograd.grad(number, (w, h))
"""

CG = """
def solve_by_cg(product, u, q, steps):
    q = q.clone()
    r = u - product(q)
    p = r.clone()
    for _ in range(steps):
        Hp = product(p)
        alpha = (r @ r) / (p @ Hp)
        q += alpha * p
        new = r - alpha * Hp
        p = new + (new @ new) / (r @ r) * p
        r = new
    return q
"""

NEUMANN = """
def solve_by_neumann(product, u, lr, terms):
    total = u
    term = u
    for _ in range(terms - 1):
        term = term - lr * product(term)
        total = total + term
    return lr * total
"""

FIXED = """
def fixed_point(A, B, u, direct, steps):
    q = 0 * u
    for _ in range(steps):
        q = A.T @ q + u
    return direct + B.T @ q
"""

STEP = """
def unrolled_step(inner, outer, w, h, xi):
    w = w.clone().requires_grad_()
    h = h.clone().requires_grad_()
    g = torch.autograd.grad(inner(w, h), w, create_graph=True)[0]
    new = w - xi * g
    return torch.autograd.grad(outer(new, h), h)[0]
"""

DIFFERENCE = """
def finite_difference(inner, outer, w, h, xi):
    h = h.clone().requires_grad_()
    here = w.clone().requires_grad_()
    new = (w - xi * torch.autograd.grad(inner(here, h), here)[0]).requires_grad_()
    u, direct = torch.autograd.grad(outer(new, h), (new, h))
    eps = 0.01 / u.norm()
    w += eps * u
    above = torch.autograd.grad(inner(w, h), h)[0]
    w -= 2 * eps * u
    below = torch.autograd.grad(inner(w, h), h)[0]
    w += 1 * eps * u
    return direct - xi * (above - below) / (2 * eps)
"""

FORWARD = """
def forward_mode(path, A, h, lr):
    H = A + torch.diag(h.exp())
    Z = torch.zeros_like(H)
    for t in range(len(path) - 1):
        M = torch.diag(h.exp() * path[t])
        Z = Z - lr * H @ Z - lr * M
    return Z
"""

REVERSE = """
def reverse_mode(path, A, h, lr, u):
    p = u
    total = torch.zeros_like(h)
    for t in reversed(range(len(path) - 1)):
        total = total - lr * h.exp() * path[t] * p
        p = p - lr * (A @ p + h.exp() * p)
    return total
"""

TRUNCATED = """
def truncated_reverse(As, Bs, u, keep):
    p = u
    total = 0
    for t in range(len(As) - 1, len(As) - 1 - keep, -1):
        total = total + Bs[t].T @ p
        p = As[t].T @ p
    return total
"""

NOISY = """
def loss_after_step(curvature, noise, x, lr):
    mean = (1 - lr * curvature) * x
    variance = (lr * curvature * noise) ** 2
    return 0.5 * (curvature * (mean ** 2 + variance + noise ** 2)).sum()
"""

GREEDY = """
def greedy_rate(curvature, noise, x):
    gain = (curvature ** 2 * x ** 2).sum()
    cost = (curvature ** 3 * (x ** 2 + noise ** 2)).sum()
    return gain / cost
"""

RIGHT = {
    "ridge_loss": RIDGE_LOSS,
    "ridge_weights": RIDGE_WEIGHTS,
    "validation_gradient": VALIDATION_GRADIENT,
    "ridge_hypergradient": RIDGE_HYPERGRADIENT,
    "mixed_derivative": MIXED,
    "implicit_hypergradient": IMPLICIT,
    "penalty_hypergradient": PENALTY,
    "second_products": PRODUCTS,
    "solve_by_cg": CG,
    "solve_by_neumann": NEUMANN,
    "fixed_point": FIXED,
    "unrolled_step": STEP,
    "finite_difference": DIFFERENCE,
    "forward_mode": FORWARD,
    "reverse_mode": REVERSE,
    "truncated_reverse": TRUNCATED,
    "loss_after_step": NOISY,
    "greedy_rate": GREEDY,
}

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("ridge_loss", ".mean()", ".sum()", "summed"),
    ("ridge_weights", "lam * torch", "len(y) * lam * torch", "n_twice"),
    ("ridge_weights", "lam * torch.eye(d, dtype=X.dtype)", "lam", "whole_matrix"),
    ("ridge_weights", "X.T @ X / N", "X.T @ X", "n_on_the_right_alone"),
    ("ridge_weights", "lam * torch", "2 * lam * torch", "double_lambda"),
    ("validation_gradient", "2 * X_val", "X_val", "no_two"),
    ("ridge_hypergradient", "response = -", "response = ", "sign"),
    ("ridge_hypergradient", "solve(H, 2 * w)", "solve(H, w)", "half"),
    ("ridge_hypergradient", "H = 2 * X.T @ X / len(X)", "H = 2 * X_val.T @ X_val / len(X_val)",
     "validation_hessian"),
    ("ridge_hypergradient", "return u @ response", "return 0.0", "detached"),
    ("ridge_hypergradient", " + 2 * lam *", " + lam *", "penalty_without_two"),
    ("mixed_derivative", "torch.exp(h[j]) * ", "", "no_exp"),
    ("mixed_derivative", "return M", "return M.T", "transposed"),
    ("implicit_hypergradient", "M.T @ q", "M @ q", "transposed"),
    ("implicit_hypergradient", "direct - ", "direct + ", "sign"),
    ("implicit_hypergradient", "direct - ", "-", "direct_forgotten"),
    ("penalty_hypergradient", "2 * rho * h", "0 * h", "direct_forgotten"),
    ("penalty_hypergradient", "H = 2 * S + 2 * torch.diag(h.exp())", "H = 2 * S",
     "no_penalty_in_h"),
    ("second_products", ", create_graph=True", "", "no_graph"),
    ("second_products", "number = g @ q", "number = g.sum()", "q_forgotten"),
    ("solve_by_cg", "r = u - product(q)", "r = u", "start_not_subtracted"),
    ("solve_by_cg", "    q = q.clone()\n", "", "changes_q"),
    ("solve_by_neumann", "return lr * total", "return total", "not_scaled"),
    ("solve_by_neumann", "term - lr * product", "term - product", "no_step_inside"),
    ("solve_by_neumann", "range(terms - 1)", "range(terms)", "one_more"),
    ("fixed_point", "A.T @ q", "A @ q", "transposed_A"),
    ("fixed_point", "direct + B", "B", "direct_forgotten"),
    ("unrolled_step", ", create_graph=True", "", "detached"),
    ("unrolled_step", "new = w - xi * g", "new = w - g", "xi_forgotten"),
    ("unrolled_step", "new = w - xi * g", "new = (w - xi * g).detach()", "detached"),
    ("unrolled_step", "outer(new, h)", "outer(w, h)", "first_order"),
    ("finite_difference", "0.01 / u", "0.01 * u", "eps_multiplied"),
    ("finite_difference", "/ (2 * eps)", "/ eps", "not_halved"),
    ("finite_difference", "    w += 1 * eps * u\n", "", "not_restored"),
    ("finite_difference", "direct - xi *", "direct -", "xi_forgotten"),
    ("forward_mode", "Z - lr * H @ Z", "Z + lr * H @ Z", "plus"),
    ("forward_mode", "path[t]", "path[t + 1]", "late_weights"),
    ("reverse_mode", "reversed(range(len(path) - 1))", "range(len(path) - 1)", "forwards"),
    ("reverse_mode", "p - lr * (A", "p + lr * (A", "plus"),
    ("reverse_mode", "h.exp() * path", "path", "no_exp"),
    ("truncated_reverse", "As[t].T", "As[t]", "transposed_A"),
    ("truncated_reverse", "range(len(As) - 1, len(As) - 1 - keep, -1)", "range(keep - 1, -1, -1)",
     "first_steps"),
    ("loss_after_step", " + variance", "", "step_without_noise"),
    ("greedy_rate", " + noise ** 2", "", "no_noise"),
]  # fmt: skip


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_hypergradients": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, untouched):
    assert misjudged(engine, untouched, RIGHT, EDITS) == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "second_products",
            PRODUCTS.replace("torch.autograd.grad(number", "torch.func.grad(number"),
            "call torch.autograd.grad twice",
        ),
        ("reverse_mode", REVERSE + "\n    total.backward()\n", "leave autograd"),
        ("greedy_rate", "def greedy_rate(curvature, noise, x):\n    return x", "one number"),
        (
            "fixed_point",
            "from mlcourse.hypergrad import hypergradient\n",
            "only mlcourse.data, mlcourse.plotting and mlcourse.witness",
        ),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {name: text})[name]
    assert row.points == 0
    assert says in row.message
