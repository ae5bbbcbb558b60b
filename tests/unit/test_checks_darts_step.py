"""`darts_step`: its references are the library's, what it says is true, and slips are named."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from mlcourse import bilevel_toy
from mlcourse.checks import load
from mlcourse.checks.darts_step_questions.loop import OwnAdam
from mlcourse.checks.judge import Judge
from mlcourse.hypergrad import hypergradient
from mlcourse.nas.architect import Architect
from mlcourse.witness import ChainLoss

EXERCISE = load("darts_step")
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


def close(one, other, tolerance=1e-10):
    torch.testing.assert_close(one.detach(), other.detach(), rtol=tolerance, atol=tolerance)


class Chain(nn.Module):
    """A supernet as the architect takes them: its forward pass is the loss itself."""

    def __init__(self, w, alpha):
        super().__init__()
        self.w, self.alpha = nn.Parameter(w.clone()), nn.Parameter(alpha.clone())

    def weights(self):
        yield self.w

    def architecture(self):
        yield self.alpha

    def forward(self, loss):
        return loss(self.w, self.alpha)


def architect_of(order, w, alpha, velocity, xi, momentum, decay):
    model = Chain(w, alpha)
    optimizer = torch.optim.SGD(model.weights(), lr=xi, momentum=momentum, weight_decay=decay)
    optimizer.state[model.w]["momentum_buffer"] = velocity.clone()
    return Architect(model, optimizer, order, loss=lambda output, _: output)


# --- The references are the library's -------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "order"),
    [("unrolled_gradient", "exact"), ("difference_gradient", "finite_difference")],
)
def test_the_gradients_are_those_of_the_librarys_architect(name, order):
    for train, val, *args in cases(name):
        losses = ChainLoss(*train), ChainLoss(*val)
        architect = architect_of(order, *args)
        expected = architect.gradient((losses[0], None), (losses[1], None))["alpha"]
        # The library puts momentum and decay into the loss, so its two places differ by rounding.
        close(value(name)(*losses, *args), expected, 1e-9)


def test_the_first_order_is_the_librarys():
    for train, val, w, alpha in cases("first_order"):
        losses = ChainLoss(*train), ChainLoss(*val)
        close(
            value("first_order")(*losses, w, alpha), hypergradient(*losses, w, alpha, "first_order")
        )


def test_the_two_parts_add_up_to_the_unrolled_gradient():
    for train, val, w, alpha, *step in cases("unrolled_gradient"):
        losses = ChainLoss(*train), ChainLoss(*val)
        here = w.clone().requires_grad_()
        (g,) = torch.autograd.grad(losses[0](here, alpha), here)
        after = value("virtual_step")(w, g, *step)
        direct, second = value("two_parts")(*losses, w, after, alpha, step[1])
        close(direct + second, value("unrolled_gradient")(*losses, w, alpha, *step))


def test_the_difference_is_close_to_the_product_on_a_smooth_supernet():
    """And an eps that multiplies leaves next to nothing of it, as the sentence says."""
    wrong = {mistake.name: mistake.answer for mistake in EXERCISE["difference"].mistakes}
    for train, w, alpha, v in cases("difference"):
        found = value("difference")(ChainLoss(*train), w, alpha, v)
        exact = wrong["exact"](ChainLoss(*train), w, alpha, v)
        close(found, exact, 1e-3)
        eps = 0.01 / v.norm()
        times = wrong["eps_times"](ChainLoss(*train), w, alpha, v)
        close(times, eps**2 * found)
        assert times.norm() < 1e-4 * found.norm()


def test_the_virtual_step_is_the_real_one_where_nothing_is_clipped():
    for train, w, alpha, velocity, lr, momentum, decay, _ in cases("weight_step"):
        loss, here = ChainLoss(*train), w.clone().requires_grad_()
        (g,) = torch.autograd.grad(loss(here, alpha), here)
        real, new = value("weight_step")(loss, w, alpha, velocity, lr, momentum, decay, math.inf)
        close(real, value("virtual_step")(w, g, velocity, lr, momentum, decay))
        close(real, w - lr * new)


def test_some_gradients_are_clipped_and_some_are_not():
    clipped = []
    for train, w, alpha, *_, clip in cases("weight_step"):
        here = w.clone().requires_grad_()
        (g,) = torch.autograd.grad(ChainLoss(*train)(here, alpha), here)
        clipped.append(bool(g.norm() > clip))
    assert set(clipped) == {True, False}
    for name in ("search_step", "search_loop"):
        for *_, clip in cases(name):
            assert clip > 0


def test_own_adam_is_torchs():
    generator = torch.Generator().manual_seed(0)
    a = nn.Parameter(torch.randn(3, generator=generator, dtype=torch.float64))
    ours, adam = (
        OwnAdam(0.1, (0.5, 0.999), 1e-3),
        torch.optim.Adam([a], lr=0.1, betas=(0.5, 0.999), weight_decay=1e-3),
    )
    alpha = a.detach().clone()
    for _ in range(5):
        g = torch.randn(3, generator=generator, dtype=torch.float64)
        a.grad = g.clone()
        adam.step()
        alpha = ours(alpha, g)
        close(alpha, a, 1e-12)


# --- What it says is true -------------------------------------------------------------------------


def test_the_toy_ends_where_the_question_says():
    w, a = (torch.tensor(x, dtype=torch.float64) for x in bilevel_toy.START)
    losses, velocity = (bilevel_toy.train_loss, bilevel_toy.val_loss), torch.zeros_like(w)
    for _ in range(600):
        w, a, velocity = value("search_step")(
            *losses, w, a, velocity, 0.05, 0.05, 0.0, 0.0, math.inf
        )
    assert math.isclose(float(a), value("toy_end"), rel_tol=1e-6)
    assert math.isclose(value("toy_end"), bilevel_toy.limit(0.05))


def test_the_rate_is_torchs_cosine():
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=0.025)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50, 0.001)
    for _ in range(10):
        optimizer.step()
        schedule.step()
    assert math.isclose(optimizer.param_groups[0]["lr"], value("cosine_rate"), rel_tol=1e-9)


def test_the_passes_of_a_step_are_counted(monkeypatch):
    """In the reference solution's way: v and the direct part come from one pass."""
    real, passes = torch.autograd.grad, []

    def counted(*args, **options):
        passes.append(args)
        return real(*args, **options)

    def step(loss, val_loss, w, alpha):
        here, there = w.clone().requires_grad_(), alpha.clone().requires_grad_()
        (g,) = torch.autograd.grad(loss(here, alpha), here)
        after = (w - 0.1 * g).requires_grad_()
        v, direct = torch.autograd.grad(val_loss(after, there), (after, there))
        alpha = alpha - direct + 0.1 * value("difference")(loss, w, alpha, v)
        velocity = torch.zeros_like(w)
        return value("weight_step")(loss, w, alpha, velocity, 0.1, 0.9, 0.0, 5.0)

    train, val, w, alpha = cases("first_order")[0]
    monkeypatch.setattr(torch.autograd, "grad", counted)
    step(ChainLoss(*train), ChainLoss(*val), w, alpha)
    assert len(passes) == value("passes_a_step")


# --- Slips that a student makes -------------------------------------------------------------------


def test_weights_pushed_in_place_and_put_back_are_right():
    def slope(loss, w, alpha):
        alpha = alpha.clone().requires_grad_()
        return torch.autograd.grad(loss(w, alpha), alpha)[0]

    def difference(loss, w, alpha, v, back=True):
        eps = 0.01 / v.norm()
        w += eps * v
        above = slope(loss, w, alpha)
        w -= 2 * eps * v
        below = slope(loss, w, alpha)
        if back:
            w += eps * v
        return (above - below) / (2 * eps)

    passes("difference", difference)
    assert says("difference", lambda *args: difference(*args, back=False)) == "not_restored"


def test_a_virtual_step_without_its_graph_is_detached():
    def gradient(train_loss, val_loss, w, alpha, velocity, xi, momentum, decay):
        w, alpha = w.clone().requires_grad_(), alpha.clone().requires_grad_()
        (g,) = torch.autograd.grad(train_loss(w, alpha), w)
        after = w - xi * (momentum * velocity + g + decay * w)
        return torch.autograd.grad(val_loss(after, alpha), alpha)[0]

    assert says("unrolled_gradient", gradient) == "detached"


def test_the_two_halves_share_nothing_and_lose_nothing():
    for (order,) in cases("halves"):
        one, other = value("halves")(order)
        assert sorted(one + other) == sorted(order)


def test_only_the_softmax_over_operations_passes_on_square_supernets():
    square = [case for case in cases("mixed_loss") if case[0].shape[0] == case[0].shape[1]]
    assert len(square) == 2

    def over(dim):
        return lambda alpha, outputs, y: (
            ((alpha.softmax(dim)[:, :, None] * outputs).sum(dim=(0, 1)) - y) ** 2
        ).mean()

    passes("mixed_loss", over(1))
    assert says("mixed_loss", over(0)) == "over_edges"
