"""`bilevel_toy` through the real grader: plain numbers, arrays, autograd in the worker."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("bilevel_toy")

RESPONSE = """
def along_the_response(a):
    w = 1.0 * a
    outer = a * w - 2 * a + 1
    direct = w - 2
    indirect = a * 1
    return w, outer, direct + indirect
"""

GRADIENT = """
def unrolled_gradient(w, a, xi):
    new = w - xi * 2 * (w - a)
    direct = new - 2
    response = 2 * xi
    return direct + a * response
"""

ALTERNATION = """
def alternation(w, a, lr_w, lr_a, xi, first):
    before = w
    if first == "w":
        w = w - lr_w * 2 * (w - a)
        now = w
        a = a - lr_a * unrolled_gradient(now, a, xi)
    else:
        a_old = a
        a = a - lr_a * unrolled_gradient(w, a, xi)
        w = w - lr_w * 2 * (w - a)
    return w, a
"""

DESCEND = """
def descend(w, a, lr_w, lr_a, xi, first, steps):
    path = np.zeros((steps + 1, 2))
    path[0] = w, a
    for t in range(steps):
        w, a = alternation(w, a, lr_w, lr_a, xi, first)
        path[t + 1] = [w, a]
    return path
"""

LIMIT = """
def limit(xi):
    return 2 / (1 + 2 * xi)
"""

MAP = """
def step_map(lr_w, lr_a, xi, first):
    A = np.eye(2)
    A[0] = 1 - 2 * lr_w, 2 * lr_w
    B = np.eye(2)
    B[1] = -lr_a * (1 - 2 * xi), 1 - lr_a * 4 * xi
    c = np.array([0, 2 * lr_a])
    if first == "w":
        return B @ A, c
    return A @ B, A @ c
"""

CONTRACTION = """
def contraction(M):
    values = np.linalg.eigvals(M)
    sizes = np.abs(values)
    return sizes.max()
"""

LOSS = """
def mixture_loss(parameters, x, y):
    w, a = parameters
    model = a[0] * torch.sin(w[0] * x) + a[1] * torch.cos(w[1] * x)
    return ((model - y) ** 2).mean()
"""

MIXTURE_GRADIENT = """
def mixture_gradient(w, a, x_train, y_train, x_val, y_val, xi):
    w = w.clone().requires_grad_()
    a = a.clone().requires_grad_()
    loss = mixture_loss((w, a), x_train, y_train)
    (slope,) = torch.autograd.grad(loss, w, create_graph=True)
    new = w - xi * slope
    outer = mixture_loss((new, a), x_val, y_val)
    outer.backward()
    return a.grad
"""

RIGHT = {
    "along_the_response": RESPONSE,
    "unrolled_gradient": GRADIENT,
    "alternation": ALTERNATION,
    "descend": DESCEND,
    "limit": LIMIT,
    "step_map": MAP,
    "contraction": CONTRACTION,
    "mixture_loss": LOSS,
    "mixture_gradient": MIXTURE_GRADIENT,
}

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("along_the_response", "direct + indirect", "direct", "weights_held"),
    ("along_the_response", "direct + indirect", "direct - indirect", "indirect_subtracted"),
    ("along_the_response", " + 1", "", "one_forgotten"),
    ("unrolled_gradient", " + a * response", "", "detached"),
    ("unrolled_gradient", "new - 2", "w - 2", "old_w"),
    ("unrolled_gradient", "+ a * response", "- a * response", "indirect_sign"),
    ("unrolled_gradient", "response = 2 * xi", "response = 2", "xi_missing_in_the_response"),
    ("unrolled_gradient", "response = 2 * xi", "response = xi", "no_two_in_the_response"),
    ("unrolled_gradient", "xi * 2 * (w - a)", "xi * (w - a)", "no_two_in_the_step"),
    ("unrolled_gradient", "return direct", "xi = 0\n    return w - 2\n    return 0", "first_order"),
    ("alternation", "(now, a, xi)\n", "(before, a, xi)\n", "old_values"),
    ("alternation", "a, xi)", "a, 0)", "xi_forgotten"),
    ("alternation", "a, xi)", "a, lr_w)", "xi_is_the_rate"),
    ("alternation", "lr_w * 2 * (w - a)", "lr_w * a", "w_on_the_validation_loss"),
    ("alternation", "lr_w * 2 * (w - a)", "xi * 2 * (w - a)", "w_moves_by_xi"),
    ("alternation", 'first == "w"', 'first == "a"', "order_turned_round"),
    ("alternation", "return w, a", "return a, w", "exchanged"),
    ("descend", "return path", "return path[1:]", "no_start"),
    ("descend", "return path", "return path.T", "transposed"),
    ("descend", "lr_a, xi, first)\n", "lr_a, 0, first)\n", "xi_forgotten"),
    ("descend", "xi, first)\n", "xi, 'w')\n", "order_forgotten"),
    ("limit", "2 / (1 + 2 * xi)", "1.0", "solution"),
    ("limit", "(1 + 2 * xi)", "(1 + xi)", "no_two"),
    ("step_map", "return B @ A, c", "return A @ B, A @ c", "always_a_first"),
    ("step_map", "A @ c", "c", "shift_not_moved"),
    ("step_map", "1 - lr_a * 4 * xi", "1 - lr_a * 2 * xi", "detached"),
    ("contraction", "sizes.max()", "values.max()", "signed"),
    ("contraction", "sizes.max()", "np.linalg.norm(M, 2)", "norm"),
    ("mixture_loss", ".mean()", ".sum()", "sum"),
    ("mixture_loss", "torch.cos(w[1]", "torch.cos(w[0]", "one_frequency"),
    ("mixture_loss", ".mean()", ".mean().item()", "detached"),
    ("mixture_gradient", ", create_graph=True", "", "detached"),
    ("mixture_gradient", "((new, a)", "((new.detach(), a)", "detached"),
    ("mixture_gradient", "((new, a)", "((new, a.detach())", "indirect_alone"),
    ("mixture_gradient", "xi * slope", "xi * slope.detach()", "detached"),
    ("mixture_gradient", "x_val, y_val)\n    outer", "x_train, y_train)\n    outer",
     "all_on_training"),
    ("mixture_gradient", "w - xi", "w + xi", "uphill"),
    (
        "mixture_gradient",
        "(slope,) = torch.autograd.grad(loss, w, create_graph=True)",
        "loss.backward(create_graph=True)\n    slope = w.grad",
        "accumulated",
    ),
]  # fmt: skip


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_descent": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, untouched):
    assert misjudged(engine, untouched, RIGHT, EDITS) == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("limit", "def limit(xi):\n    return 'two'", "one number"),
        ("contraction", "def contraction(M):\n    pass", "is a `return` missing"),
        (
            "limit",
            "from mlcourse.bilevel_toy import limit\n",
            "only mlcourse.data, mlcourse.plotting and mlcourse.witness",
        ),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {name: text})[name]
    assert row.points == 0
    assert says in row.message
