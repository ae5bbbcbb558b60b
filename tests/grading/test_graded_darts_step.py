"""`darts_step` through the real grader: losses called there, optimisers that live there."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("darts_step")

HALVES = """
def halves(order):
    n = len(order)
    return [order[i] for i in range(n // 2)], [order[i] for i in range(n // 2, n)]
"""

MIXED_LOSS = """
def mixed_loss(alpha, outputs, y):
    p = torch.nn.functional.softmax(alpha, dim=-1)
    prediction = 0
    for e in range(len(alpha)):
        prediction = prediction + p[e] @ outputs[e]
    return torch.mean((prediction - y) ** 2)
"""

FIRST_ORDER = """
def first_order(train_loss, val_loss, w, alpha):
    alpha = alpha.clone().requires_grad_()
    loss = val_loss(w, alpha)
    loss.backward()
    return alpha.grad
"""

VIRTUAL_STEP = """
def virtual_step(w, g, velocity, xi, momentum, decay):
    g = g + decay * w
    moved = momentum * velocity + g
    return w - xi * moved
"""

UNROLLED = """
def unrolled_gradient(train_loss, val_loss, w, alpha, velocity, xi, momentum, decay):
    w = w.clone().requires_grad_()
    alpha = alpha.clone().requires_grad_()
    g, = torch.autograd.grad(train_loss(w, alpha), w, create_graph=True)
    after = virtual_step(w, g, velocity, xi, momentum, decay)
    loss = val_loss(after, alpha)
    return torch.autograd.grad(loss, alpha)[0]
"""

TWO_PARTS = """
def two_parts(train_loss, val_loss, w, after, alpha, xi):
    w, a = w.clone().requires_grad_(), alpha.clone().requires_grad_()
    end = after.clone().requires_grad_()
    loss = val_loss(end, a)
    direct, v = torch.autograd.grad(loss, (a, end))
    g, = torch.autograd.grad(train_loss(w, a), w, create_graph=True)
    product, = torch.autograd.grad(g, a, grad_outputs=v)
    return direct, -xi * product
"""

DIFFERENCE = """
def difference(train_loss, w, alpha, v):
    a = alpha.clone().requires_grad_()
    eps = 0.01 / torch.sqrt((v ** 2).sum())
    kept = w.clone()
    w += eps * v
    above, = torch.autograd.grad(train_loss(w, a), a)
    w -= 2 * eps * v
    below, = torch.autograd.grad(train_loss(w, a), a)
    w.copy_(kept)
    return (above - below) / (2 * eps)
"""

WHOLE = """
def difference_gradient(train_loss, val_loss, w, alpha, velocity, xi, momentum, decay):
    here = w.clone().requires_grad_()
    g, = torch.autograd.grad(train_loss(here, alpha), here)
    after = virtual_step(w, g, velocity, xi, momentum, decay).clone().requires_grad_()
    a = alpha.clone().requires_grad_()
    v, direct = torch.autograd.grad(val_loss(after, a), (after, a))
    second = difference(train_loss, w, alpha, v)
    return direct - xi * second
"""

WEIGHTS = """
def weight_step(train_loss, w, alpha, velocity, lr, momentum, decay, clip):
    p = torch.nn.Parameter(w.clone())
    train_loss(p, alpha).backward()
    torch.nn.utils.clip_grad_norm_([p], clip)
    g = p.grad + decay * w
    velocity = momentum * velocity + g
    return w - lr * velocity, velocity
"""

SEARCH_STEP = """
def search_step(train_loss, val_loss, w, alpha, velocity, lr, lr_alpha, momentum, decay, clip):
    g = unrolled_gradient(train_loss, val_loss, w, alpha, velocity, lr, momentum, decay)
    new = alpha - lr_alpha * g
    w, velocity = weight_step(train_loss, w, new, velocity, lr, momentum, decay, clip)
    return w, new, velocity
"""

SEARCH_LOOP = """
def search_loop(train_losses, val_losses, w, alpha, rates, lr_alpha, momentum, decay, clip):
    a = alpha.clone().requires_grad_()
    adam = torch.optim.Adam([a], lr=lr_alpha, betas=(0.5, 0.999), weight_decay=1e-3)
    velocity = torch.zeros_like(w)
    for t in range(len(rates)):
        train_loss, val_loss, xi = train_losses[t], val_losses[t], rates[t]
        a.grad = unrolled_gradient(
            train_loss, val_loss, w, a.detach(), velocity, xi, momentum, decay)
        adam.step()
        w, velocity = weight_step(
            train_loss, w, a.detach(), velocity, xi, momentum, decay, clip)
    return w, a
"""

RIGHT = {
    "halves": HALVES,
    "mixed_loss": MIXED_LOSS,
    "first_order": FIRST_ORDER,
    "virtual_step": VIRTUAL_STEP,
    "unrolled_gradient": UNROLLED,
    "two_parts": TWO_PARTS,
    "difference": DIFFERENCE,
    "difference_gradient": WHOLE,
    "weight_step": WEIGHTS,
    "search_step": SEARCH_STEP,
    "search_loop": SEARCH_LOOP,
}

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("halves", "range(n // 2)]", "range(n)]", "all_for_w"),
    ("halves", "range(n // 2)]", "range(n // 2 + 1)]", "one_shared"),
    ("mixed_loss", "dim=-1", "dim=0", "over_edges"),
    ("mixed_loss", "torch.nn.functional.softmax(alpha, dim=-1)", "alpha.exp()", "not_normalised"),
    ("mixed_loss", "torch.mean(", "torch.sum(", "summed"),
    ("first_order", "val_loss(w", "train_loss(w", "on_training_data"),
    ("first_order", "    loss.backward", "    train_loss(w, alpha).backward()\n    loss.backward",
     "on_both"),
    ("virtual_step", "momentum * velocity + g", "g", "no_momentum"),
    ("virtual_step", " + decay * w", "", "no_decay"),
    ("virtual_step", "    return w - xi * moved", "    w -= xi * moved\n    return w", "in_place"),
    ("virtual_step", "momentum * velocity + g", "momentum * velocity + (1 - momentum) * g",
     "dampened"),
    ("unrolled_gradient", ", create_graph=True", "", "detached"),
    ("unrolled_gradient", "after = virtual_step(w, g, velocity, xi, momentum, decay)",
     "after = (w - xi * (momentum * velocity + g + decay * w)).detach()", "detached"),
    ("unrolled_gradient", "velocity, xi, momentum, decay)\n    loss",
     "velocity, xi, 0.0, decay)\n    loss", "no_momentum"),
    ("unrolled_gradient", "xi, momentum, decay)\n    loss", "xi, momentum, 0.0)\n    loss",
     "no_decay"),
    ("unrolled_gradient", "val_loss(after", "train_loss(after", "on_training_data"),
    ("two_parts", "-xi * product", "xi * product", "sign"),
    ("two_parts", "-xi * product", "-product", "xi_forgotten"),
    ("two_parts", "end = after", "end = w.detach()", "both_at_w"),
    ("difference", "(2 * eps)\n", "2 * eps\n", "eps_times"),
    ("difference", "/ (2 * eps)\n", "/ eps\n", "no_two"),
    ("difference", "0.01 / torch.sqrt((v ** 2).sum())", "0.01", "eps_constant"),
    ("difference", "    w.copy_(kept)\n", "", "not_restored"),
    ("difference", "w -= 2 * eps", "w -= eps", "back_to_the_start"),
    ("difference_gradient", "direct - xi * second", "direct - second", "xi_forgotten"),
    ("difference_gradient", "direct - xi", "direct + xi", "sign"),
    ("difference_gradient", "difference(train_loss, w, alpha, v)",
     "difference(train_loss, after.detach(), alpha, v)", "around_the_new"),
    ("difference_gradient", "v, direct = torch.autograd.grad(val_loss(after, a), (after, a))",
     "v, direct = torch.autograd.grad(val_loss(here, a), (here, a))", "both_at_w"),
    ("weight_step", "    torch.nn.utils.clip_grad_norm_([p], clip)\n", "", "no_clipping"),
    ("weight_step", "clip_grad_norm_", "clip_grad_value_", "entries"),
    ("weight_step", " + decay * w", "", "no_decay"),
    ("search_step", "unrolled_gradient(train_loss, val_loss",
     "unrolled_gradient(train_loss, train_loss", "alpha_on_training_data"),
    ("search_step", "weight_step(train_loss", "weight_step(val_loss", "w_on_validation_data"),
    ("search_step", "w, new, velocity, lr", "w, alpha, velocity, lr", "old_alpha"),
    ("search_loop", "        adam.step()\n",
     "        adam = torch.optim.Adam([a], lr=lr_alpha, betas=(0.5, 0.999), weight_decay=1e-3)\n"
     "        adam.step()\n", "adam_afresh"),
    ("search_loop", "xi = train_losses[t], val_losses[t], rates[t]",
     "xi = train_losses[t], val_losses[t], rates[0]", "first_rate"),
    ("search_loop", "(0.5, 0.999)", "(0.9, 0.999)", "usual_betas"),
    ("search_loop", "train_loss, val_loss, w, a.detach()", "train_loss, train_loss, w, a.detach()",
     "alpha_on_training_data"),
]  # fmt: skip

#: One optimiser for both, as it is written with torch.
ONE_ADAM = """
def search_loop(train_losses, val_losses, w, alpha, rates, lr_alpha, momentum, decay, clip):
    w, a = torch.nn.Parameter(w.clone()), torch.nn.Parameter(alpha.clone())
    adam = torch.optim.Adam([w, a], lr=lr_alpha, betas=(0.5, 0.999), weight_decay=1e-3)
    for train_loss, val_loss in zip(train_losses, val_losses):
        adam.zero_grad()
        val_loss(w, a).backward()
        adam.step()
        adam.zero_grad()
        train_loss(w, a).backward()
        adam.step()
    return w, a
"""


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_darts_step": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, untouched):
    assert misjudged(engine, untouched, RIGHT, EDITS) == []


def test_one_optimiser_for_both_is_recognised(engine, untouched):
    row = graded(engine, untouched, {**RIGHT, "search_loop": ONE_ADAM})["search_loop"]
    assert (row.points, row.mistake) == (0, "one_adam")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "unrolled_gradient",
            UNROLLED.replace("torch.autograd.grad(loss", "torch.func.grad(loss"),
            "torch.autograd.grad is enough",
        ),
        ("mixed_loss", "def mixed_loss(alpha, outputs, y):\n    return alpha", "one number"),
        (
            "search_step",
            "from mlcourse.nas.architect import Architect\n",
            "only mlcourse.data, mlcourse.plotting and mlcourse.witness",
        ),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {**RIGHT, name: text})[name]
    assert row.points == 0
    assert says in row.message
