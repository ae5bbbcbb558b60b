"""Second derivatives as products, and three ways to solve with products alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.declare import TOLERANCE, Mistake, Question, Variant
from mlcourse.checks.hypergradients_questions.shared import (
    DTYPE,
    WITNESS,
    Answer,
    away_from_zero,
    single,
    uniform,
    with_eigenvalues,
)
from mlcourse.checks.judge import beside
from mlcourse.checks.second_order_questions.conjugate_gradients import NO_SOLVER
from mlcourse.checks.second_order_questions.hvp import BY_GRADIENTS
from mlcourse.checks.second_order_questions.shared import symmetric

Loss = Callable[[Tensor, Tensor], Tensor]

# --- Both products at once ------------------------------------------------------------------------


def penalised(n: int, m: int, g: Generator, dtype: torch.dtype = torch.float64) -> tuple:
    """Draw (A, b, c, G) of a `witness.PenalisedQuartic`."""
    values = [0.6 + 0.7 * i for i in range(n)]
    b, c = away_from_zero(n, g, dtype), away_from_zero(n, g, dtype).abs()
    return symmetric(values, g, dtype), b, c, 0.5 * normal(n, m, generator=g, dtype=dtype)


def second_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(loss, w, h, q), as many hyper-parameters as weights too."""
    found: list[tuple[Any, ...]] = []
    for n, m, dtype in (
        (3, 3, torch.float64),
        (3, 2, torch.float64),
        (2, 4, torch.float64),
        (4, 4, torch.float32),
        (1, 1, torch.float64),
    ):
        w, h, q = (away_from_zero(k, g, dtype) for k in (n, m, n))
        found.append((penalised(n, m, g, dtype), w, 0.5 * h, q))
    return found


def use_loss(answer: Callable, loss: tuple, *args: Any) -> Any:
    """Make the loss where the answer lives, and call the answer with it."""
    return answer(beside(answer, WITNESS, "PenalisedQuartic")(*loss), *args)


def leaves_of(*tensors: Tensor) -> list[Tensor]:
    return [tensor.detach().clone().requires_grad_() for tensor in tensors]


def second_by(
    number: Callable[[Tensor, Tensor], Tensor] = torch.dot,
    create_graph: bool = True,
    retain_graph: bool | None = None,
) -> Answer:
    """Two passes backward; `number` is what the second one starts from, of g and q."""

    def second_products(f: Loss, w: Tensor, h: Tensor, q: Tensor) -> Any:
        w, h = leaves_of(w, h)
        loss = f(w, h)
        (g,) = torch.autograd.grad(loss, w, None, retain_graph, create_graph)
        return torch.autograd.grad(number(g, q), (w, h))

    return second_products


def taken(change: Callable[[Tensor, Tensor], Any]) -> Answer:
    """Return something else made of the two products."""
    return lambda f, w, h, q: change(*second_by()(f, w, h, q))


def accumulated(f: Loss, w: Tensor, h: Tensor, q: Tensor) -> Any:
    """The derivatives by backward(), on top of what the first one left."""
    w, h = leaves_of(w, h)
    first = torch.autograd.grad(f(w, h), (w, h))
    return tuple(a + b for a, b in zip(first, second_by()(f, w, h, q), strict=True))


def slope_in_h(f: Loss, w: Tensor, h: Tensor, q: Tensor) -> Any:
    w, h = leaves_of(w, h)
    return second_by()(f, w, h, q)[0], torch.autograd.grad(f(w, h), h)[0]


def from_h(f: Loss, w: Tensor, h: Tensor, q: Tensor) -> Any:
    """The gradient in h, times q: no error where there are as many h as w."""
    w, h = leaves_of(w, h)
    (s,) = torch.autograd.grad(f(w, h), h, create_graph=True)
    (back,) = torch.autograd.grad(s @ q, w)
    return second_by()(f, w, h, q)[0], back


def first_derivatives(f: Loss, w: Tensor, h: Tensor, q: Tensor) -> Any:
    return torch.autograd.grad(f(*(both := leaves_of(w, h))), both)


def in_two_goes(f: Loss, w: Tensor, h: Tensor, q: Tensor) -> list[Tensor]:
    here, there = w.clone().requires_grad_(), h.clone().requires_grad_()
    g = torch.autograd.grad(f(here, there), here, create_graph=True)[0]
    first = torch.autograd.grad(g, here, grad_outputs=q, retain_graph=True)[0]
    return [first, torch.autograd.grad((g * q).sum(), there)[0]]


def by_backward(f: Loss, w: Tensor, h: Tensor, q: Tensor) -> Any:
    w, h = leaves_of(w, h)
    g = torch.autograd.grad(f(w, h), w, create_graph=True)[0]
    g.dot(q).backward()
    return w.grad, h.grad


def by_matrices(f: Loss, w: Tensor, h: Tensor, q: Tensor) -> Any:
    """Every entry of H and M: right, and far too dear for a network."""
    (H, M), _ = torch.autograd.functional.hessian(f, (w, h))
    return H @ q, M.T @ q


NO_GRAPH = (
    "autograd has nothing to follow: w and h must ask for gradients, and the first gradient must "
    "have a graph of its own, by create_graph=True (retain_graph keeps another one)"
)

second_products = Question(
    name="second_products",
    title="Two products from one pass",
    points=2,
    reference=second_by(),
    cases=second_cases,
    use=use_loss,
    parts=("H q", "M^T q"),
    forbidden=(BY_GRADIENTS,),
    mistakes=(
        Mistake("no_graph", second_by(create_graph=False), NO_GRAPH),
        Mistake("retained", second_by(create_graph=False, retain_graph=True), NO_GRAPH),
        Mistake(
            "not_a_number",
            second_by(number=torch.mul),
            "g * q is a vector: autograd starts from one number, so add its entries up, g @ q",
        ),
        Mistake(
            "q_forgotten",
            second_by(number=lambda g, q: g.sum()),
            "q is not used: the entries of g are added up as they are, which is q = (1, ..., 1); "
            "take g @ q",
        ),
        Mistake(
            "square",
            second_by(number=lambda g, q: g @ g),
            "that is the derivative of g @ g: q is a constant vector, so take g @ q",
        ),
        Mistake(
            "accumulated",
            accumulated,
            "the first derivatives are in it: .grad still held those of the first pass, and "
            "backward() adds; use torch.autograd.grad",
        ),
        Mistake(
            "slope_in_h",
            slope_in_h,
            "the second one is the first derivative in h: M^T q is the gradient of g @ q in h, "
            "with g the gradient in w",
        ),
        Mistake(
            "from_h",
            from_h,
            "that is M q, not M^T q: differentiate first in w, take g @ q, and then differentiate "
            "in h",
        ),
        Mistake(
            "first_derivatives",
            first_derivatives,
            "those are the first derivatives: differentiate g @ q once more, in w and in h",
        ),
        Mistake(
            "exchanged",
            taken(lambda in_w, in_h: (in_h, in_w)),
            "the two are exchanged: return H q first, then M^T q",
        ),
        Mistake(
            "hessian_alone",
            taken(lambda in_w, in_h: in_w),
            "you return H q alone: M^T q, the gradient of g @ q in h, comes from the same pass",
        ),
        Mistake(
            "mixed_alone",
            taken(lambda in_w, in_h: in_h),
            "you return M^T q alone: H q, the gradient of g @ q in w, comes from the same pass",
        ),
        Mistake(
            "minus",
            taken(lambda in_w, in_h: (in_w, -in_h)),
            "M^T q has the wrong sign: the minus of the implicit formula comes later, outside",
        ),
    ),
    variants=(
        Variant("in two goes", in_two_goes),
        Variant("backward()", by_backward),
        Variant("whole matrices", by_matrices),
    ),
    hints=(
        "The gradient g in w needs a graph of its own: create_graph=True.",
        "g @ q is a number. Its gradient in w is H q, and its gradient in h is M^T q.",
        "torch.autograd.grad(g @ q, (w, h)) gives both, with copies of w and h that ask for "
        "gradients.",
    ),
)


# --- Conjugate gradients from a start -------------------------------------------------------------


def cg_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(H, u, q, steps): fewer steps than numbers, and as many."""
    return [
        (symmetric(values, g, dtype), *(away_from_zero(len(values), g, dtype) for _ in "uq"), steps)
        for values, steps, dtype in (
            ((6.0, 3.0, 2.0, 1.0), 3, torch.float64),
            ((5.0, 2.0), 2, torch.float64),
            ((8.0, 6.0, 4.0, 2.0, 1.0), 4, torch.float64),
            ((4.0, 2.0, 1.0), 2, torch.float32),
            ((3.0, 2.0, 1.5, 1.0, 0.5, 0.3), 1, torch.float64),
        )
    ]


def use_product(answer: Callable, H: Tensor, *args: Any) -> Any:
    """Make the product where the answer lives, and call the answer with it."""
    return answer(beside(answer, WITNESS, "Product")(H), *args)


def cg_by(
    residual: Callable[[Tensor, Tensor], Tensor] = lambda u, Hq: u - Hq,
    start: Callable[[Tensor], Tensor] = lambda q: q,
    length: Callable[[Tensor, Tensor, Tensor], Any] = lambda r, p, Hp: r @ r / (p @ Hp),
    beta: Callable[[Tensor, Tensor], Any] = lambda new, old: new @ new / (old @ old),
    turn: Callable[[Tensor, Tensor, Any], Tensor] = lambda r, p, beta: r + beta * p,
    more: int = 0,
) -> Answer:
    """Conjugate gradients with one of the pieces exchanged."""

    def solve_by_cg(product: Callable, u: Tensor, q: Tensor, steps: int) -> Tensor:
        q = start(q)
        r = p = residual(u, product(q))
        for _ in range(steps + more):
            Hp = product(p)
            alpha = length(r, p, Hp)
            q = q + alpha * p
            new = r - alpha * Hp
            p, r = turn(new, p, beta(new, r)), new
        return q

    return solve_by_cg


def changed_cg(turn: Callable[..., Tensor], of_residual: bool = False) -> Answer:
    """Another direction, of the new and the old residual; or a product with the residual."""

    def solve_by_cg(product: Callable, u: Tensor, q: Tensor, steps: int) -> Tensor:
        r = p = u - product(q)
        for _ in range(steps):
            Hp = product(p)
            alpha = r @ r / (p @ Hp)
            q = q + alpha * p
            new = r - alpha * (product(r) if of_residual else Hp)
            p, r = turn(new, r, p, new @ new / (r @ r)), new
        return q

    return solve_by_cg


def one_tensor_for_two(product: Callable, u: Tensor, q: Tensor, steps: int) -> Tensor:
    """Begins with p = r, and changes r in place."""
    r = p = u - product(q)
    for _ in range(steps):
        Hp, old = product(p), r @ r
        alpha = old / (p @ Hp)
        q = q + alpha * p
        r -= alpha * Hp
        p = r + (r @ r) / old * p
    return q


def changes_q(product: Callable, u: Tensor, q: Tensor, steps: int) -> Tensor:
    q += cg_by()(product, u, q, steps) - q
    return q


def changes_u(product: Callable, u: Tensor, q: Tensor, steps: int) -> Tensor:
    end = cg_by()(product, u, q, steps)
    u -= product(end)
    return end


def correction_from_zero(product: Callable, u: Tensor, q: Tensor, steps: int) -> Tensor:
    """Solve for what the start lacks."""
    return q + cg_by()(product, u - product(q), torch.zeros_like(q), steps)


def cg_in_place(product: Callable, u: Tensor, q: Tensor, steps: int) -> Tensor:
    q = q.clone()
    r = u - product(q)
    p, square = r.clone(), float(r @ r)
    for _ in range(steps):
        Hp = product(p)
        alpha = square / float(p @ Hp)
        q += alpha * p
        r -= alpha * Hp
        square, before = float(r @ r), square
        p.mul_(square / before).add_(r)
    return q


def residual_afresh(product: Callable, u: Tensor, q: Tensor, steps: int) -> Tensor:
    """Directions made conjugate by the product itself, residuals from the point."""
    p = u - product(q)
    for _ in range(steps):
        Hp = product(p)
        q = q + p @ (u - product(q)) / (p @ Hp) * p
        r = u - product(q)
        p = r - (r @ Hp) / (p @ Hp) * p
    return q


solve_by_cg = Question(
    name="solve_by_cg",
    title="Conjugate gradients, with a start",
    points=3,
    reference=cg_by(),
    cases=cg_cases,
    use=use_product,
    parts=("q",),
    forbidden=(NO_SOLVER,),
    tolerance={**TOLERANCE, torch.float64: 1e-7, torch.float32: 1e-3},
    mistakes=(
        Mistake(
            "start_not_subtracted",
            cg_by(residual=lambda u, Hq: u),
            "the residual begins as u, which is right for a start at zero only: here it is u - H q",
        ),
        Mistake(
            "start_ignored",
            cg_by(start=torch.zeros_like),
            "you start at zero: start at the given q, with the residual u - H q",
        ),
        Mistake(
            "correction_alone",
            lambda product, u, q, steps: cg_by()(product, u, q, steps) - q,
            "that is the way from the start: add it to the start q",
        ),
        Mistake(
            "residual_turned",
            cg_by(residual=lambda u, Hq: Hq - u),
            "the first residual has the wrong sign: it is u - H q",
        ),
        Mistake(
            "direction_is_the_residual",
            one_tensor_for_two,
            "p and r are one tensor: after p = r, `r -= ...` changes p as well, so write "
            "r = r - ... or begin with a copy",
        ),
        Mistake(
            "residual_added",
            cg_by(residual=lambda u, Hq: u + Hq),
            "the first residual adds H q: it is u - H q",
        ),
        Mistake(
            "steepest_descent",
            cg_by(turn=lambda r, p, beta: r),
            "each step starts again along the residual, which is steepest descent: the new "
            "direction is r + beta p",
        ),
        Mistake(
            "inverse_beta",
            cg_by(beta=lambda new, old: old @ old / (new @ new)),
            "beta is upside down: it is the new residual's square over the old one's",
        ),
        Mistake(
            "beta_one",
            cg_by(beta=lambda new, old: 1.0),
            "beta is 1 in each step: keep r . r from before you renew r",
        ),
        Mistake(
            "minus_beta",
            cg_by(turn=lambda r, p, beta: r - beta * p),
            "beta p is subtracted: the new direction is r + beta p",
        ),
        Mistake(
            "root_of_beta",
            cg_by(beta=lambda new, old: new.norm() / old.norm()),
            "beta is the ratio of the residuals' *squared* lengths",
        ),
        Mistake(
            "direction_kept",
            cg_by(turn=lambda r, p, beta: p),
            "the direction never changes: p becomes r + beta p at the end of each step",
        ),
        Mistake(
            "old_residual",
            changed_cg(lambda new, r, p, beta: r + beta * p),
            "the new direction is made of the old residual: renew r first",
        ),
        Mistake(
            "p_not_carried",
            changed_cg(lambda new, r, p, beta: new + beta * new),
            "the last direction is not in the new one: it is r + beta p",
        ),
        Mistake(
            "residual_by_its_own_product",
            changed_cg(lambda new, r, p, beta: new + beta * p, of_residual=True),
            "the residual is renewed with H r: q moved along p, so r becomes r - alpha H p",
        ),
        Mistake(
            "residual_returned",
            lambda product, u, q, steps: u - product(cg_by()(product, u, q, steps)),
            "that is the residual that is left: return q",
        ),
        Mistake(
            "inverse_length",
            cg_by(length=lambda r, p, Hp: p @ Hp / (r @ r)),
            "alpha is upside down: it is r . r over p . H p",
        ),
        Mistake(
            "no_curvature",
            cg_by(length=lambda r, p, Hp: r @ r / (p @ p)),
            "alpha has p . p below: the curvature along p stands there, p . H p",
        ),
        Mistake(
            "one_more",
            cg_by(more=1),
            "that is one step too many",
        ),
        Mistake(
            "one_less",
            cg_by(more=-1),
            "that is one step too few: the start is no step",
        ),
        Mistake(
            "changes_q",
            changes_q,
            "the caller's q is changed: q += ... works in place, so write q = q + ...",
        ),
        Mistake(
            "changes_u",
            changes_u,
            "the caller's u is changed: r = u makes no copy, so r -= ... changes u too",
        ),
    ),
    variants=(
        Variant("the correction from zero", correction_from_zero),
        Variant("in place, on copies", cg_in_place),
        Variant("residuals afresh", residual_afresh),
        Variant("p . r in alpha", cg_by(length=lambda r, p, Hp: p @ r / (p @ Hp))),
    ),
    hints=(
        "What is left to solve at the start? r = u - H q, and p = r.",
        "Each step: alpha = r.r / (p . H p), then q + alpha p and r - alpha H p, then beta and p.",
        "Keep r . r of before: beta is the new r . r divided by it, and p becomes r + beta p.",
    ),
)


# --- Neumann's series -----------------------------------------------------------------------------


def neumann_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(H, u, lr, terms): lr below 2 over the largest eigenvalue, and not always below 1 over it."""
    return [
        (symmetric(values, g, dtype), away_from_zero(len(values), g, dtype), lr, terms)
        for values, lr, terms, dtype in (
            ((3.0, 1.0, 0.4), uniform(0.2, 0.3, g), 4, torch.float64),
            ((5.0, 2.0), uniform(0.28, 0.34, g), 3, torch.float64),
            ((1.5, 0.8, 0.5, 0.3), uniform(0.4, 0.6, g), 6, torch.float64),
            ((2.0, 1.2, 0.7), uniform(0.3, 0.5, g), 2, torch.float32),
            ((4.0, 1.0), uniform(0.1, 0.2, g), 5, torch.float64),
        )
    ]


def series(
    scale: Callable[[float], float] = lambda lr: lr,
    step: Callable[[float], float] = lambda lr: lr,
    more: int = 0,
    collect: Callable[[Tensor, Tensor], Tensor] = torch.add,
    turn: Callable[[Tensor, Tensor], Tensor] = torch.sub,
) -> Answer:
    """The series with one of its pieces exchanged."""

    def solve_by_neumann(product: Callable, u: Tensor, lr: float, terms: int) -> Tensor:
        total = term = u
        for _ in range(terms - 1 + more):
            term = turn(term, step(lr) * product(term))
            total = collect(total, term)
        return scale(lr) * total

    return solve_by_neumann


def richardson(product: Callable, u: Tensor, lr: float, terms: int) -> Tensor:
    """Descent on q . H q / 2 - u . q from zero."""
    q = torch.zeros_like(u)
    for _ in range(terms):
        q = q + lr * (u - product(q))
    return q


def from_u(product: Callable, u: Tensor, lr: float, terms: int) -> Tensor:
    q = u
    for _ in range(terms):
        q = q + lr * (u - product(q))
    return q


def scaled_first(product: Callable, u: Tensor, lr: float, terms: int) -> Tensor:
    total = term = lr * u
    for _ in range(1, terms):
        term = term - lr * product(term)
        total = total + term
    return total


def powers(product: Callable, u: Tensor, lr: float, terms: int) -> Tensor:
    """Each power of I - lr H from the start."""
    found = []
    for k in range(terms):
        term = u
        for _ in range(k):
            term = term - lr * product(term)
        found.append(lr * term)
    return torch.stack(found).sum(dim=0)


def scaled_in_the_loop(product: Callable, u: Tensor, lr: float, terms: int) -> Tensor:
    total = term = lr * u
    for _ in range(terms - 1):
        term = lr * (term - product(term))
        total = total + term
    return total


def total_in_the_loop(product: Callable, u: Tensor, lr: float, terms: int) -> Tensor:
    total = term = u
    for _ in range(terms - 1):
        term = term - lr * product(total)
        total = total + term
    return lr * total


def same_product(product: Callable, u: Tensor, lr: float, terms: int) -> Tensor:
    total = u
    for _ in range(terms - 1):
        total = total + (u - lr * product(u))
    return lr * total


solve_by_neumann = Question(
    name="solve_by_neumann",
    title="Neumann's series",
    points=2,
    reference=series(),
    cases=neumann_cases,
    use=use_product,
    parts=("q",),
    forbidden=(NO_SOLVER,),
    mistakes=(
        Mistake(
            "not_scaled",
            series(scale=lambda lr: 1.0),
            "the sum is not multiplied by the step: the powers of I - lr H add up to (lr H)^-1, so "
            "lr times the sum is H^-1",
        ),
        Mistake(
            "divided",
            series(scale=lambda lr: 1 / lr),
            "the sum is divided by the step: multiply, as it comes to (lr H)^-1",
        ),
        Mistake(
            "no_step_inside",
            series(step=lambda lr: 1.0),
            "the powers are those of I - H: without the step inside, the series explodes where H "
            "has an eigenvalue above 2",
        ),
        Mistake(
            "no_step",
            series(scale=lambda lr: 1.0, step=lambda lr: 1.0),
            "the step is nowhere used: it belongs before the sum, and before H in I - lr H",
        ),
        Mistake(
            "plus",
            series(turn=torch.add),
            "the powers are those of I + lr H, which grow: it is I - lr H",
        ),
        Mistake(
            "one_more",
            series(more=1),
            "one term too many: u itself is the first of the `terms`",
        ),
        Mistake(
            "one_less",
            series(more=-1),
            "one term is missing: k runs from 0 to terms - 1",
        ),
        Mistake(
            "last_term",
            series(collect=lambda total, term: term),
            "that is the last term alone: add all of them up",
        ),
        Mistake(
            "first_left_out",
            lambda product, u, lr, terms: series(more=1)(product, u, lr, terms) - lr * u,
            "the sum begins with (I - lr H) u: the power zero, u itself, is its first term",
        ),
        Mistake(
            "scaled_in_the_loop",
            scaled_in_the_loop,
            "every term is multiplied by the step again: it stands before H in I - lr H, and once "
            "before the whole sum",
        ),
        Mistake(
            "total_in_the_loop",
            total_in_the_loop,
            "you take the product of H with the sum so far: take it with the last term",
        ),
        Mistake(
            "same_product",
            same_product,
            "each round adds the same (I - lr H) u: the next term comes from the last one",
        ),
        Mistake(
            "from_u",
            from_u,
            "your iteration starts from q = u: from q = 0, its first step gives lr u, the first "
            "term",
        ),
        Mistake(
            "negative",
            series(scale=lambda lr: -lr),
            "the sign is wrong: this is H^-1 u, and the minus of the implicit formula comes later",
        ),
    ),
    variants=(
        Variant("descent on a quadratic", richardson),
        Variant("scaled at the start", scaled_first),
        Variant("each power for itself", powers),
    ),
    hints=(
        "The next term is the last one times I - lr H: term - lr * product(term).",
        "Begin with total = term = u. How many rounds are left for `terms` terms?",
        "terms - 1 rounds, each renews term and adds it to total; then lr * total.",
    ),
)


# --- The fixed point of a step --------------------------------------------------------------------


def fixed_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(A, B, u, direct, steps): Jacobians that are not symmetric, as many h as w too."""
    return [
        (
            with_eigenvalues(values, g),
            normal(len(values), m, generator=g, dtype=torch.float64),
            away_from_zero(len(values), g),
            away_from_zero(m, g),
            steps,
        )
        for values, m, steps in (
            ((0.7, 0.4, -0.3), 3, 3),
            ((0.6, -0.5), 2, 4),
            ((0.8, 0.5, 0.2, -0.2), 2, 2),
            ((0.5, 0.3), 4, 5),
        )
    ]


def fixed_by(
    pull: Callable[[Tensor, Tensor], Tensor] = lambda A, q: A.T @ q,
    add: Callable[[Tensor, Tensor], Tensor] = torch.add,
    back: Callable[[Tensor, Tensor], Tensor] = lambda B, q: B.T @ q,
    join: Callable[[Tensor, Tensor], Any] = torch.add,
    more: int = 0,
    start: float = 0.0,
) -> Answer:
    """The iteration with one of its pieces exchanged."""

    def fixed_point(A: Tensor, B: Tensor, u: Tensor, direct: Tensor, steps: int) -> Any:
        q = start * u
        for _ in range(steps + more):
            q = add(pull(A, q), u)
        return join(direct, back(B, q))

    return fixed_point


def fixed_exactly(A: Tensor, B: Tensor, u: Tensor, direct: Tensor, steps: int) -> Tensor:
    return direct + B.T @ torch.linalg.solve(torch.eye(len(u), dtype=u.dtype) - A.T, u)


def u_inside(A: Tensor, B: Tensor, u: Tensor, direct: Tensor, steps: int) -> Tensor:
    q = torch.zeros_like(u)
    for _ in range(steps):
        q = A.T @ (q + u)
    return direct + B.T @ q


def added_each_time(A: Tensor, B: Tensor, u: Tensor, direct: Tensor, steps: int) -> Tensor:
    q, total = torch.zeros_like(u), direct
    for _ in range(steps):
        q = A.T @ q + u
        total = total + B.T @ q
    return total


def as_a_series(A: Tensor, B: Tensor, u: Tensor, direct: Tensor, steps: int) -> Tensor:
    term, total = u, direct
    for _ in range(steps):
        total = total + B.T @ term
        term = A.T @ term
    return total


def forwards(A: Tensor, B: Tensor, u: Tensor, direct: Tensor, steps: int) -> Tensor:
    """The response of the weights, carried along."""
    Z = torch.zeros_like(B)
    for _ in range(steps):
        Z = A @ Z + B
    return direct + Z.T @ u


fixed_point = Question(
    name="fixed_point",
    title="The fixed point of a step",
    points=2,
    reference=fixed_by(),
    cases=fixed_cases,
    parts=("the hypergradient",),
    forbidden=(NO_SOLVER,),
    mistakes=(
        Mistake(
            "transposed_A",
            fixed_by(pull=lambda A, q: A @ q),
            "the Jacobian A is not transposed: q goes *back* through a step, by A^T (A is "
            "symmetric for plain descent only)",
        ),
        Mistake(
            "transposed_B",
            fixed_by(back=lambda B, q: B @ q),
            "the Jacobian B is not transposed: B is (n, m), and B^T takes q to the m "
            "hyper-parameters",
        ),
        Mistake(
            "neither_transposed",
            fixed_by(pull=lambda A, q: A @ q, back=lambda B, q: B @ q),
            "neither Jacobian is transposed: going back, both A and B are",
        ),
        Mistake(
            "direct_forgotten",
            fixed_by(join=lambda direct, through: through),
            "the direct term is missing: the outer loss depends on h itself, too",
        ),
        Mistake(
            "detached",
            fixed_by(join=lambda direct, through: direct + 0 * through),
            "that is the direct term alone, as if the weights were constants: B^T q is missing",
        ),
        Mistake(
            "sign",
            fixed_by(join=torch.sub),
            "the indirect term is subtracted: the minus of the implicit formula is inside the "
            "step's Jacobians here, so B^T q is added",
        ),
        Mistake(
            "one_more",
            fixed_by(more=1),
            "that is one step too many: q starts at zero, and the first step makes it u",
        ),
        Mistake(
            "one_less",
            fixed_by(more=-1),
            "that is one step too few: q starts at zero, and the first step makes it u",
        ),
        Mistake(
            "u_forgotten",
            fixed_by(add=lambda pulled, u: pulled, start=1.0),
            "u comes in once only: each step is A^T q *plus u*",
        ),
        Mistake(
            "u_inside",
            u_inside,
            "u goes through A^T before it counts: each step is A^T q + u, not A^T (q + u)",
        ),
        Mistake(
            "exact",
            fixed_exactly,
            "that is where the iteration ends, for any number of steps: take `steps` of them",
        ),
        Mistake(
            "added_each_time",
            added_each_time,
            "B^T q is added in every step: q has the sum in it already, so multiply by B^T once, "
            "at the end",
        ),
        Mistake(
            "no_memory",
            fixed_by(pull=lambda A, q: A.T @ (q - q)),
            "A is not used: each step is A^T q + u, with the last q",
        ),
        Mistake("cast", single(fixed_by()), DTYPE),
    ),
    variants=(
        Variant("a series", as_a_series),
        Variant("forwards", forwards),
        Variant("rows", fixed_by(pull=lambda A, q: q @ A, back=lambda B, q: q @ B)),
    ),
    hints=(
        "q is a vector (n,) that starts at zero. Each step: A^T q + u.",
        "After the last step multiply once by B^T, and add the direct term.",
        "for _ in range(steps): q = A.T @ q + u. Then direct + B.T @ q.",
    ),
)
