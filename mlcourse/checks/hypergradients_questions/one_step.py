"""One step of descent, differentiated exactly and as DARTS does: `unrolled_step` and a difference.

The losses are made in the process in which the answer lives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.compare import plain
from mlcourse.checks.declare import Forbidden, Mistake, Question, Variant
from mlcourse.checks.hypergradients_questions.products import leaves_of, penalised
from mlcourse.checks.hypergradients_questions.shared import WITNESS, Answer, away_from_zero, uniform
from mlcourse.checks.judge import beside

Loss = Callable[[Tensor, Tensor], Tensor]

FUNCTIONAL = Forbidden(
    "ready_made",
    "torch.autograd.grad is enough here: leave the ready-made hessian, jacobian, jvp and vjp out",
    attributes=frozenset({"func", "functional", "hessian", "hvp", "jacobian", "jacrev", "jvp"}),
)


def cases(g: Generator) -> list[tuple[Any, ...]]:
    """(inner, outer, w, h, xi), each loss as the numbers of a `PenalisedQuartic`."""
    found: list[tuple[Any, ...]] = []
    for n, m in ((3, 3), (2, 4), (4, 2), (3, 3)):
        inner, outer = penalised(n, m, g), penalised(n, m, g)
        w, h = 0.7 * away_from_zero(n, g), 0.5 * away_from_zero(m, g)
        found.append((inner, outer, w, h, uniform(0.05, 0.2, g)))
    return found


def use(answer: Callable, inner: tuple, outer: tuple, *args: Any) -> Any:
    """Make both losses where the answer lives, and call the answer with them."""
    made = beside(answer, WITNESS, "PenalisedQuartic")
    return answer(made(*inner), made(*outer), *args)


def use_and_look(
    answer: Callable, inner: tuple, outer: tuple, w: Tensor, h: Tensor, xi: float
) -> dict[str, Any]:
    """Call the answer and look at its weights afterwards: once put back, they may have rounded."""
    w = w.clone()
    result = use(answer, inner, outer, w, h, xi)
    return {"the hypergradient": plain(result), "the weights afterwards": w.detach()}


def in_w(f: Loss, w: Tensor, h: Tensor) -> Tensor:
    here, there = leaves_of(w, h)
    return torch.autograd.grad(f(here, there), here)[0]


def in_h(f: Loss, w: Tensor, h: Tensor) -> Tensor:
    here, there = leaves_of(w, h)
    return torch.autograd.grad(f(here, there), there)[0]


def mixed_product(f: Loss, w: Tensor, h: Tensor, q: Tensor) -> Tensor:
    """M^T q for the mixed derivative M of f."""
    here, there = leaves_of(w, h)
    (g,) = torch.autograd.grad(f(here, there), here, create_graph=True)
    return torch.autograd.grad(g @ q, there)[0]


# --- Exactly --------------------------------------------------------------------------------------


def unrolled(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    w, h = leaves_of(w, h)
    (g,) = torch.autograd.grad(inner(w, h), w, create_graph=True)
    return torch.autograd.grad(outer(w - xi * g, h), h)[0]


def exactly(
    direct_at: Callable[..., Tensor] = lambda w, after: after,
    u_at: Callable[..., Tensor] = lambda w, after: after,
    mixed_at: Callable[..., Tensor] = lambda w, after: w,
    factor: Callable[[float], float] = lambda xi: -xi,
    length: Callable[[float], float] = lambda xi: xi,
    with_direct: float = 1.0,
) -> Answer:
    """direct - xi M^T u by hand, with one of the pieces exchanged."""

    def by_hand(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
        after = w - length(xi) * in_w(inner, w, h)
        u = in_w(outer, u_at(w, after), h)
        through = mixed_product(inner, mixed_at(w, after), h, u)
        return with_direct * in_h(outer, direct_at(w, after), h) + factor(xi) * through

    return by_hand


def of_the_outer(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    return unrolled(outer, outer, w, h, xi)


def exchanged(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    return unrolled(outer, inner, w, h, xi)


def train_loss_after(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    return unrolled(inner, inner, w, h, xi)


def first_order(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    return in_h(outer, w, h)


def no_graph(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    return in_h(outer, w - xi * in_w(inner, w, h), h)


def with_the_first_pass(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    return unrolled(inner, outer, w, h, xi) + in_h(inner, w, h)


def for_the_weights(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    w, h = leaves_of(w, h)
    (g,) = torch.autograd.grad(inner(w, h), w, create_graph=True)
    return torch.autograd.grad(outer(w - xi * g, h), w)[0]


def by_backward(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Any:
    w, h = leaves_of(w, h)
    g = torch.autograd.grad(inner(w, h), w, create_graph=True)[0]
    outer(w.detach() - xi * g, h).backward()
    return h.grad


def by_jacobian(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Any:
    """The mixed derivative in full."""
    (_, M), _ = torch.autograd.functional.hessian(inner, (w, h))
    after = w - xi * in_w(inner, w, h)
    return in_h(outer, after, h) - xi * M.T @ in_w(outer, after, h)


unrolled_step = Question(
    name="unrolled_step",
    title="One step, exactly",
    points=2,
    reference=unrolled,
    cases=cases,
    use=use,
    parts=("the hypergradient",),
    forbidden=(FUNCTIONAL,),
    mistakes=(
        Mistake(
            "detached",
            no_graph,
            "that is the direct term alone: the step's gradient needs create_graph=True (and no "
            "detach), or the new weights are constants that do not follow h",
        ),
        Mistake(
            "first_order",
            first_order,
            "the weights are held fixed where they were, which is xi = 0: differentiate the outer "
            "loss at w', through the step",
        ),
        Mistake(
            "xi_forgotten",
            exactly(length=lambda xi: 1.0, factor=lambda xi: -1.0),
            "xi is missing: the new weights are w - xi times the gradient",
        ),
        Mistake(
            "indirect_without_xi",
            exactly(factor=lambda xi: -1.0),
            "the indirect term lacks its factor xi: dw'/dh is minus xi times the mixed derivative",
        ),
        Mistake(
            "uphill",
            exactly(length=lambda xi: -xi, factor=lambda xi: xi),
            "the step goes uphill: the new weights are w *minus* xi times the gradient",
        ),
        Mistake(
            "sign",
            exactly(factor=lambda xi: xi),
            "the indirect term's sign is wrong: dw'/dh is *minus* xi times the mixed derivative of "
            "the inner loss",
        ),
        Mistake(
            "direct_forgotten",
            exactly(with_direct=0.0),
            "the direct term is missing: h stands in the outer loss, too, and must not be detached "
            "there",
        ),
        Mistake(
            "old_u",
            exactly(u_at=lambda w, after: w),
            "the outer loss's gradient in w is taken at the old weights: take it at w'",
        ),
        Mistake(
            "old_direct",
            exactly(direct_at=lambda w, after: w),
            "the direct term is taken at the old weights: take it at w'",
        ),
        Mistake(
            "old_both",
            exactly(direct_at=lambda w, after: w, u_at=lambda w, after: w),
            "the outer loss is differentiated at the old weights: its place is w', after the step",
        ),
        Mistake(
            "mixed_at_the_new",
            exactly(mixed_at=lambda w, after: after),
            "the mixed derivative is taken at w': the step was made from w, so it belongs there",
        ),
        Mistake(
            "exchanged",
            exchanged,
            "the losses are exchanged: w steps on the inner loss, and the outer one is "
            "differentiated",
        ),
        Mistake(
            "step_on_the_outer",
            of_the_outer,
            "the step is made on the outer loss: the weights learn from the inner one, or the "
            "validation data become training data",
        ),
        Mistake(
            "inner_after",
            train_loss_after,
            "you differentiate the inner loss after the step: it is the outer loss that should "
            "fall",
        ),
        Mistake(
            "accumulated",
            with_the_first_pass,
            "the inner loss's derivative in h is added: .grad held it when backward() was called "
            "again; use torch.autograd.grad",
        ),
        Mistake(
            "for_the_weights",
            for_the_weights,
            "that is the derivative in w: return the one in h",
        ),
    ),
    variants=(
        Variant("backward()", by_backward),
        Variant("term by term", exactly()),
        Variant("the whole Jacobian", by_jacobian),
    ),
    hints=(
        "First the new weights w' = w - xi g, where g has a graph (create_graph=True), so that "
        "torch knows how they depend on h.",
        "Then the outer loss at (w', h), with the same h that asks for gradients, and its gradient "
        "in h.",
        "torch.autograd.grad(outer(w - xi * g, h), h): autograd adds the two ways by itself.",
    ),
)


# --- By a difference ------------------------------------------------------------------------------


def difference_by(
    size: Callable[[Tensor], Any] = lambda u: 0.01 / u.norm(),
    divide: Callable[[Any], Any] = lambda e: 2 * e,
    sides: tuple[float, float] = (1.0, -1.0),
    factor: Callable[[float], float] = lambda xi: -xi,
    length: Callable[[float], float] = lambda xi: xi,
    direct_at: Callable[..., Tensor] = lambda w, after: after,
    u_at: Callable[..., Tensor] = lambda w, after: after,
    around: Callable[..., Tensor] = lambda w, after: w,
    of_outer: bool = False,
    with_direct: float = 1.0,
) -> Answer:
    """The difference with one of its pieces exchanged."""

    def finite_difference(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
        after = w - length(xi) * in_w(inner, w, h)
        u, loss = in_w(outer, u_at(w, after), h), outer if of_outer else inner
        e, centre = size(u), around(w, after)
        above, below = (in_h(loss, centre + side * e * u, h) for side in sides)
        direct = with_direct * in_h(outer, direct_at(w, after), h)
        return direct + factor(xi) * (above - below) / divide(e)

    return finite_difference


def not_restored(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    """In place, and left where it was last."""
    result = difference_by()(inner, outer, w, h, xi)
    u = in_w(outer, w - xi * in_w(inner, w, h), h)
    w -= 0.01 / u.norm() * u
    return result


def left_above(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    """In place: up by e u, down by e u only, and so back at the start."""
    return difference_by(sides=(1.0, 0.0))(inner, outer, w, h, xi)


def left_after(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    """The weights stay where the step led."""
    result = difference_by(around=lambda w, after: after)(inner, outer, w, h, xi)
    w -= xi * in_w(inner, w, h)
    return result


def moved_in_place(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    """Weights pushed about and put back, on a copy."""
    here, there = leaves_of(w, h)
    (g,) = torch.autograd.grad(inner(here, there), here)
    after = (w - xi * g).requires_grad_()
    u, direct = torch.autograd.grad(outer(after, there), (after, there))
    e = 0.01 / torch.linalg.vector_norm(u)
    moving, gradients = w.clone(), []
    for push in (e, -2 * e):
        moving += push * u
        (slope,) = torch.autograd.grad(inner(moving, there), there)
        gradients.append(slope)
    return direct - xi * (gradients[0] - gradients[1]) / (2 * e)


def restored(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    """As in DARTS' own code: the weights themselves are pushed, and put back at the end."""
    after = w - xi * in_w(inner, w, h)
    u, direct = in_w(outer, after, h), in_h(outer, after, h)
    e = 0.01 / u.norm()
    w += e * u
    above = in_h(inner, w, h)
    w -= 2 * e * u
    below = in_h(inner, w, h)
    w += e * u
    return direct - xi * (above - below) / (2 * e)


def as_one_number(inner: Loss, outer: Loss, w: Tensor, h: Tensor, xi: float) -> Tensor:
    """Both losses in one pass backward."""
    after = w - xi * in_w(inner, w, h)
    u = in_w(outer, after, h)
    e = 0.01 / float((u**2).sum()) ** 0.5
    h = h.clone().requires_grad_()
    change = (inner(w + e * u, h) - inner(w - e * u, h)) / (2 * e)
    return torch.autograd.grad(outer(after, h) - xi * change, h)[0]


finite_difference = Question(
    name="finite_difference",
    title="DARTS' difference",
    points=3,
    reference=difference_by(),
    cases=cases,
    use=use_and_look,
    forbidden=(FUNCTIONAL,),
    mistakes=(
        Mistake(
            "eps_multiplied",
            difference_by(size=lambda u: 0.01 * u.norm()),
            "eps is 0.01 *divided* by |u|: with 0.01 |u| the weights are pushed farther where u is "
            "long, by 0.01 |u|^2",
        ),
        Mistake(
            "eps_constant",
            difference_by(size=lambda u: 0.01),
            "eps is 0.01 whatever u is: divide it by |u|, so that the weights move by 0.01 in all",
        ),
        Mistake(
            "eps_squared",
            difference_by(size=lambda u: 0.01 / (u @ u)),
            "eps is divided by the square of |u|: divide by |u| once",
        ),
        Mistake(
            "largest_entry",
            difference_by(size=lambda u: 0.01 / u.abs().max()),
            "eps is divided by u's largest entry: |u| is the root of the sum of squares",
        ),
        Mistake(
            "not_halved",
            difference_by(divide=lambda e: e),
            "the indirect term is twice ours: the two places are 2 eps u apart, so divide by 2 eps",
        ),
        Mistake(
            "halved_twice",
            difference_by(divide=lambda e: 4 * e),
            "the indirect term is half of ours: divide the difference by 2 eps once",
        ),
        Mistake(
            "multiplied_by_eps",
            difference_by(divide=lambda e: 1 / (2 * e)),
            "the difference is multiplied by 2 eps: divide by it",
        ),
        Mistake(
            "not_divided",
            difference_by(divide=lambda e: 1.0),
            "the difference is not divided by 2 eps",
        ),
        Mistake(
            "halved_and_multiplied",
            difference_by(divide=lambda e: 2 / e),
            "/ 2 * eps divides by 2 and *multiplies* by eps: write / (2 * eps)",
        ),
        Mistake(
            "divided_by_a_constant",
            difference_by(divide=lambda e: 0.02),
            "the difference is divided by 2 times 0.01: divide by 2 eps, with eps = 0.01 / |u|",
        ),
        Mistake(
            "difference_alone",
            difference_by(factor=lambda xi: 1.0, with_direct=0.0),
            "that is the difference, M^T u, alone: the hypergradient is the direct term minus xi "
            "times it",
        ),
        Mistake(
            "one_side",
            difference_by(sides=(1.0, 0.0), divide=lambda e: e),
            "that difference has one side, w + eps u and w: its error is of the order of eps; take "
            "w + eps u and w - eps u",
        ),
        Mistake(
            "back_to_the_start",
            left_above,
            "the second place is w itself: if w + eps u was made in place, go back by 2 eps u (or "
            "restore w first)",
        ),
        Mistake(
            "not_restored",
            not_restored,
            "the caller's weights are not restored: they were pushed in place, so put them back, "
            "or write w + eps * u",
        ),
        Mistake(
            "around_the_new",
            difference_by(around=lambda w, after: after),
            "the two places lie around w': the step started from w, so push w itself (after the "
            "step, restore it)",
        ),
        Mistake(
            "left_after_the_step",
            left_after,
            "the weights stay at w' after the step, for you and for the caller: put w back before "
            "you push it",
        ),
        Mistake(
            "outer_difference",
            difference_by(of_outer=True),
            "the difference is of the outer loss's gradients: the step was made on the inner one",
        ),
        Mistake(
            "xi_forgotten",
            difference_by(factor=lambda xi: -1.0),
            "xi is missing before the difference",
        ),
        Mistake(
            "xi_nowhere",
            difference_by(factor=lambda xi: -1.0, length=lambda xi: 1.0),
            "xi is missing, in the step and before the difference",
        ),
        Mistake(
            "sign",
            difference_by(factor=lambda xi: xi),
            "the indirect term has the wrong sign: direct *minus* xi times the difference, with "
            "w + eps u first",
        ),
        Mistake(
            "direct_forgotten",
            difference_by(with_direct=0.0),
            "the direct term, the outer loss's gradient in h at w', is missing",
        ),
        Mistake(
            "detached",
            no_graph,
            "that is the direct term alone: the difference says how the step depends on h",
        ),
        Mistake(
            "old_u",
            difference_by(u_at=lambda w, after: w),
            "u is taken at the old weights: it is the outer loss's gradient at w'",
        ),
        Mistake(
            "old_direct",
            difference_by(direct_at=lambda w, after: w),
            "the direct term is taken at the old weights: take it at w'",
        ),
        Mistake(
            "old_both",
            difference_by(direct_at=lambda w, after: w, u_at=lambda w, after: w),
            "the outer loss is differentiated at the old weights: its place is w', after the step",
        ),
        Mistake(
            "exact",
            unrolled,
            "that is exact, and better; but it needs second derivatives: here you are to take the "
            "difference of two gradients in h",
        ),
    ),
    variants=(
        Variant("in place, and put back", moved_in_place),
        Variant("the caller's weights, put back", restored),
        Variant("as one number", as_one_number),
        Variant(
            "the norm written out", difference_by(size=lambda u: 0.01 / torch.sqrt((u * u).sum()))
        ),
    ),
    hints=(
        "Four gradients: the inner loss's in w; the outer loss's in w and h, at w'; the inner "
        "loss's in h, at two places.",
        "eps = 0.01 / u.norm(), and the places are w + eps * u and w - eps * u, with the old w.",
        "direct - xi * (above - below) / (2 * eps).",
    ),
)
