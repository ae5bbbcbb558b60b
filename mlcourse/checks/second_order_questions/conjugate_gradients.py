"""`conjugate_gradients`: the method of Hestenes and Stiefel, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.better_training_questions.shared import stacked
from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.declare import TOLERANCE, Forbidden, Mistake, Question, Variant
from mlcourse.checks.second_order_questions.shared import symmetric

Answer = Callable[[Tensor, Tensor, int], Any]

NO_SOLVER = Forbidden(
    "solver",
    "the steps are to be written out here: leave torch's and SciPy's solvers and inverses out",
    attributes=frozenset({"cg", "inv", "inverse", "lstsq", "pinv", "solve"}),
    traps=("torch.linalg.solve", "torch.linalg.inv"),
)


def cases(g: Generator) -> list[tuple[Tensor, Tensor, int]]:
    """(A, b, steps): fewer steps than numbers, and as many."""
    return [
        (symmetric(values, g, dtype), normal(len(values), generator=g, dtype=dtype), steps)
        for values, steps, dtype in (
            ((6.0, 3.0, 2.0, 1.0), 3, torch.float64),
            ((5.0, 2.0), 2, torch.float64),
            ((8.0, 6.0, 4.0, 2.0, 1.0), 4, torch.float64),
            ((4.0, 2.0, 1.0), 2, torch.float32),
            ((3.0, 2.0, 1.5, 1.0, 0.5, 0.3), 1, torch.float64),
        )
    ]


def use(answer: Callable, *args: Any) -> Any:
    """Call the answer; it may return a list of tensors or one tensor."""
    return stacked(answer(*args))


def fletcher_reeves(new: Tensor, old: Tensor, p: Tensor, Ap: Tensor) -> Tensor:
    return new @ new / (old @ old)


def by(
    length: Callable[[Tensor, Tensor, Tensor], Any] = lambda r, p, Ap: r @ r / (p @ Ap),
    beta: Callable[[Tensor, Tensor, Tensor, Tensor], Any] = fletcher_reeves,
    turn: Callable[[Tensor, Tensor, Tensor, Any], Tensor] = lambda new, old, p, beta: (
        new + beta * p
    ),
    residual: float = -1.0,
    move: float = 1.0,
) -> Answer:
    """The method with one of its pieces exchanged; `residual` and `move` are signs."""

    def conjugate_gradients(A: Tensor, b: Tensor, steps: int) -> Tensor:
        x, r, p, path = torch.zeros_like(b), b, b, []
        for _ in range(steps):
            Ap = A @ p
            alpha = length(r, p, Ap)
            x = x + move * alpha * p
            new = r + residual * alpha * Ap
            p = turn(new, r, p, beta(new, r, p, Ap))
            r = new
            path.append(x)
        return torch.stack(path)

    return conjugate_gradients


def first_length(A: Tensor, b: Tensor, steps: int) -> Tensor:
    x, r, p, path = torch.zeros_like(b), b, b, []
    alpha = r @ r / (p @ A @ p)
    for _ in range(steps):
        x = x + alpha * p
        new = r - alpha * (A @ p)
        p, r = new + new @ new / (r @ r) * p, new
        path.append(x)
    return torch.stack(path)


def start_included(A: Tensor, b: Tensor, steps: int) -> Tensor:
    return torch.cat([torch.zeros_like(b)[None], by()(A, b, steps)])


def last_alone(A: Tensor, b: Tensor, steps: int) -> Tensor:
    return by()(A, b, steps)[-1]


def same_tensor(A: Tensor, b: Tensor, steps: int) -> Tensor:
    return by()(A, b, steps)[-1].expand(steps, -1)


def residuals(A: Tensor, b: Tensor, steps: int) -> Tensor:
    return b - by()(A, b, steps) @ A


def changes_b(A: Tensor, b: Tensor, steps: int) -> Tensor:
    path = by()(A, b, steps)
    b -= A @ path[-1]
    return path


def written_out(A: Tensor, b: Tensor, steps: int) -> list[Tensor]:
    """In place, on copies, the residual's square kept from step to step."""
    x, r = torch.zeros_like(b), b.clone()
    p, square, path = r.clone(), float(r.double() @ r.double()), []
    for _ in range(steps):
        Ap = A @ p
        alpha = square / float(p @ Ap)
        x += alpha * p
        r -= alpha * Ap
        square, before = float(r @ r), square
        p *= square / before
        p += r
        path.append(x.clone())
    return path


def conjugated(A: Tensor, b: Tensor, steps: int) -> Tensor:
    """beta from the demand that directions be conjugate; the residual afresh."""
    x, p, path = torch.zeros_like(b), b, []
    for _ in range(steps):
        Ap = A @ p
        x = x + (p @ (b - A @ x)) / (p @ Ap) * p
        r = b - A @ x
        p = r - (r @ Ap) / (p @ Ap) * p
        path.append(x)
    return torch.stack(path)


def best_in_the_krylov_space(A: Tensor, b: Tensor, steps: int) -> Tensor:
    """What the method promises: the minimum over the span of b, A b, A A b, ..."""
    A, b, dtype = A.double(), b.double(), b.dtype
    powers, path = [b], []
    for _ in range(steps):
        Q = torch.linalg.qr(torch.stack(powers, dim=1)).Q
        small = Q.T @ A @ Q
        L, V = torch.linalg.eigh((small + small.T) / 2)
        path.append(Q @ (V @ (V.T @ (Q.T @ b) / L)))
        powers.append(A @ powers[-1])
    return torch.stack(path).to(dtype)


conjugate_gradients = Question(
    name="conjugate_gradients",
    title="Conjugate gradients",
    points=3,
    reference=by(),
    cases=cases,
    use=use,
    parts=("the points",),
    forbidden=(NO_SOLVER,),
    tolerance={**TOLERANCE, torch.float64: 1e-7, torch.float32: 1e-3},
    mistakes=(
        Mistake(
            "steepest_descent",
            by(turn=lambda new, old, p, beta: new),
            "each step starts again along the residual, so this is steepest descent: the new "
            "direction is r + beta p, with the old p in it",
        ),
        Mistake(
            "inverse_beta",
            by(beta=lambda new, old, p, Ap: old @ old / (new @ new)),
            "beta is upside down: it is the new residual's square over the old one's",
        ),
        Mistake(
            "root_of_beta",
            by(beta=lambda new, old, p, Ap: new.norm() / old.norm()),
            "beta is the ratio of the residuals' *squared* lengths, without a root",
        ),
        Mistake(
            "beta_one",
            by(beta=lambda new, old, p, Ap: 1.0),
            "beta is 1 in each step: keep r . r from before you renew r, or you divide the new one "
            "by itself",
        ),
        Mistake(
            "minus_beta",
            by(turn=lambda new, old, p, beta: new - beta * p),
            "beta p is subtracted: with this beta it is added, r + beta p",
        ),
        Mistake(
            "beta_of_the_first",
            by(beta=lambda new, old, p, Ap: new @ new / (p @ p)),
            "beta divides by p . p: divide by the old residual's square, r . r",
        ),
        Mistake(
            "beta_by_curvature",
            by(beta=lambda new, old, p, Ap: new @ new / (p @ Ap)),
            "beta divides by p . A p, which belongs to alpha: divide by the old r . r",
        ),
        Mistake(
            "old_residual",
            by(turn=lambda new, old, p, beta: old + beta * p),
            "the new direction is made of the old residual: renew r first",
        ),
        Mistake(
            "direction_kept",
            by(turn=lambda new, old, p, beta: p),
            "the direction never changes: p becomes r + beta p at the end of each step",
        ),
        Mistake(
            "residual_grows",
            by(residual=1.0),
            "the residual has the wrong sign: it is b - A x, so x + alpha p takes alpha A p away",
        ),
        Mistake(
            "residual_kept",
            by(residual=0.0),
            "the residual is never renewed: r becomes r - alpha A p",
        ),
        Mistake(
            "length_of_p",
            by(length=lambda r, p, Ap: p @ p / (p @ Ap)),
            "alpha has p . p above: it is r . r over p . A p",
        ),
        Mistake(
            "no_curvature",
            by(length=lambda r, p, Ap: r @ r / (p @ p)),
            "alpha has p . p below: it is the curvature along p that stands there, p . A p",
        ),
        Mistake(
            "inverse_length",
            by(length=lambda r, p, Ap: p @ Ap / (r @ r)),
            "alpha is upside down: it is r . r over p . A p",
        ),
        Mistake(
            "curvature_alone",
            by(length=lambda r, p, Ap: 1 / (p @ Ap)),
            "alpha has a 1 above: it is r . r over p . A p",
        ),
        Mistake(
            "away",
            by(move=-1.0),
            "x moves against p, away from the solution: x + alpha p",
        ),
        Mistake(
            "first_length",
            first_length,
            "alpha is computed once: each step has its own",
        ),
        Mistake(
            "start_included",
            start_included,
            "the start is in the list: return the points after each step, `steps` of them",
        ),
        Mistake(
            "last_alone",
            last_alone,
            "you return the last point alone: return those after each step",
        ),
        Mistake(
            "same_tensor",
            same_tensor,
            "all entries of your list are one and the same tensor, which x += ... changes: append "
            "x.clone(), or write x = x + ...",
        ),
        Mistake(
            "residuals",
            residuals,
            "these are the residuals: return the points x",
        ),
        Mistake(
            "changes_b",
            changes_b,
            "the caller's b is changed: r = b makes no copy, so r -= ... changes b too",
        ),
        Mistake("cast", lambda A, b, steps: by()(A.float(), b.float(), steps), ONE_DTYPE),
    ),
    variants=(
        Variant("written out, in place", written_out),
        Variant("directions made conjugate", conjugated),
        Variant("the best of the Krylov space", best_in_the_krylov_space),
        Variant(
            "Polak and Ribiere's beta",
            by(beta=lambda new, old, p, Ap: new @ (new - old) / (old @ old)),
        ),
        Variant("p . r in alpha", by(length=lambda r, p, Ap: p @ r / (p @ Ap))),
    ),
    hints=(
        "Start: x = 0, so r = b - A x = b, and p = r.",
        "Compute A p once a step. alpha needs it, and so does the new residual.",
        "Keep r . r of before: beta is the new r . r divided by it, and then p = r + beta p.",
    ),
)
