"""Many steps: forward mode, reverse mode, and the last steps alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.better_training_questions.shared import NO_AUTOGRAD
from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.hypergradients_questions.shared import (
    DTYPE,
    Answer,
    away_from_zero,
    single,
    uniform,
    with_eigenvalues,
)
from mlcourse.checks.second_order_questions.shared import symmetric


def paths(g: Generator) -> list[tuple[Any, ...]]:
    """(path, A, h, lr): descent on w . A w / 2 - b . w + sum of exp(h) w^2 / 2, T + 1 points."""
    found = []
    for values, steps, dtype in (
        ((2.0, 1.0, 0.4), 3, torch.float64),
        ((1.5, 0.6), 4, torch.float64),
        ((2.5, 1.2, 0.8, 0.3), 2, torch.float64),
        ((1.8, 0.9, 0.5), 5, torch.float32),
    ):
        n = len(values)
        A, b = symmetric(values, g, torch.float64), 2 * away_from_zero(n, g)
        h, w, lr = 0.4 * away_from_zero(n, g) - 0.3, away_from_zero(n, g), uniform(0.1, 0.25, g)
        path = [w]
        for _ in range(steps):
            path.append(path[-1] - lr * (A @ path[-1] - b + h.exp() * path[-1]))
        found.append((torch.stack(path).to(dtype), A.to(dtype), h.to(dtype), lr))
    return found


def paths_with_u(g: Generator) -> list[tuple[Any, ...]]:
    """(path, A, h, lr, u)."""
    return [(*case, away_from_zero(case[0].shape[1], g, case[0].dtype)) for case in paths(g)]


def before(path: Tensor) -> Iterable[Tensor]:
    """The weights from which a step was made, in order."""
    return path[:-1].unbind()


def hessian(A: Tensor, h: Tensor) -> Tensor:
    return A + torch.diag(h.exp())


def mixed(w: Tensor, h: Tensor) -> Tensor:
    """The diagonal of the mixed derivative."""
    return h.exp() * w


# --- Forward mode ---------------------------------------------------------------------------------


def forward_by(
    weights: Callable[[Tensor], Iterable[Tensor]] = before,
    carried: Callable[[Tensor, Tensor], Tensor] = lambda J, Z: J @ Z,
    H: Callable[[Tensor, Tensor], Tensor] = hessian,
    jacobian: Callable[[Tensor, float], Tensor] = lambda H, lr: (
        torch.eye(len(H), dtype=H.dtype) - lr * H
    ),
    new: Callable[[Tensor, Tensor, float], Tensor] = lambda w, h, lr: -lr * torch.diag(mixed(w, h)),
    start: float = 0.0,
) -> Answer:
    """The tangent recursion with one of its pieces exchanged."""

    def forward_mode(path: Tensor, A: Tensor, h: Tensor, lr: float) -> Tensor:
        Z = start * torch.eye(len(h), dtype=h.dtype)
        for w in weights(path):
            Z = carried(jacobian(H(A, h), lr), Z) + new(w, h, lr)
        return Z

    return forward_mode


def new_carried(path: Tensor, A: Tensor, h: Tensor, lr: float) -> Tensor:
    Z = torch.zeros_like(A)
    for w in before(path):
        Z = Z - lr * torch.diag(mixed(w, h))
        Z = Z - lr * hessian(A, h) @ Z
    return Z


def column_by_column(path: Tensor, A: Tensor, h: Tensor, lr: float) -> Tensor:
    """One tangent for each hyper-parameter."""
    columns = []
    for j in range(len(h)):
        z = torch.zeros_like(h)
        for w in before(path):
            push = torch.zeros_like(h)
            push[j] = torch.exp(h[j]) * w[j]
            z = z - lr * (A @ z + h.exp() * z + push)
        columns.append(z)
    return torch.stack(columns, dim=1)


def forward_in_rows(path: Tensor, A: Tensor, h: Tensor, lr: float) -> Tensor:
    """Z^T, turned at the end; H is symmetric."""
    Z = torch.zeros(len(h), len(h), dtype=h.dtype)
    for w in path[:-1]:
        Z = Z - lr * (Z @ A + Z * h.exp() + torch.diag_embed(h.exp() * w))
    return Z.T


def from_the_path(path: Tensor, A: Tensor, h: Tensor, lr: float) -> Any:
    """The whole descent again, by torch."""
    path, A, double = path.double(), A.double(), h.double()
    b = (path[1] - path[0]) / -lr - (A @ path[0] + double.exp() * path[0])

    def last(h: Tensor) -> Tensor:
        w = path[0]
        for _ in range(len(path) - 1):
            w = w - lr * (A @ w + b + h.exp() * w)
        return w

    return torch.autograd.functional.jacobian(last, double).to(h.dtype)


forward_mode = Question(
    name="forward_mode",
    title="Forward mode",
    points=3,
    reference=forward_by(),
    cases=paths,
    parts=("Z",),
    forbidden=(NO_AUTOGRAD,),
    mistakes=(
        Mistake(
            "late_weights",
            forward_by(weights=lambda path: path[1:].unbind()),
            "each step uses the weights *after* it: the step from w_t is differentiated at w_t, so "
            "the last row of the path is not needed",
        ),
        Mistake(
            "one_more",
            forward_by(weights=lambda path: path.unbind()),
            "one step too many: the path has T + 1 rows, and T steps between them",
        ),
        Mistake(
            "last_weights",
            forward_by(weights=lambda path: [path[-1]] * (len(path) - 1)),
            "every step uses the last weights: each has its own, row t of the path",
        ),
        Mistake(
            "first_weights",
            forward_by(weights=lambda path: [path[0]] * (len(path) - 1)),
            "every step uses the first weights: each has its own, row t of the path",
        ),
        Mistake(
            "backwards",
            forward_by(weights=lambda path: path[:-1].flip(0).unbind()),
            "the path is read backwards: forward mode goes along with the steps",
        ),
        Mistake(
            "plus",
            forward_by(jacobian=lambda H, lr: torch.eye(len(H), dtype=H.dtype) + lr * H),
            "the step's Jacobian is I - lr H, and you took I + lr H: descent pulls weights "
            "together, it does not drive them apart",
        ),
        Mistake(
            "sign",
            forward_by(new=lambda w, h, lr: lr * torch.diag(mixed(w, h))),
            "the new term has the wrong sign: a step subtracts lr times the gradient, so it "
            "subtracts lr M",
        ),
        Mistake(
            "no_lr",
            forward_by(new=lambda w, h, lr: -torch.diag(mixed(w, h))),
            "the new term lacks the learning rate: it is - lr M",
        ),
        Mistake(
            "no_lr_in_the_jacobian",
            forward_by(jacobian=lambda H, lr: torch.eye(len(H), dtype=H.dtype) - H),
            "the learning rate is missing in the Jacobian: it is I - lr H",
        ),
        Mistake(
            "no_exp",
            forward_by(new=lambda w, h, lr: -lr * torch.diag(w)),
            "M lacks exp(h): the penalty's gradient is exp(h) w, and its derivative in h is exp(h) "
            "w again",
        ),
        Mistake(
            "no_penalty",
            forward_by(H=lambda A, h: A),
            "H lacks the penalties: it is A + diag(exp(h))",
        ),
        Mistake(
            "whole_matrix",
            forward_by(H=lambda A, h: A + h.exp()),
            "exp(h) is added to every row of A: it belongs on the diagonal, torch.diag",
        ),
        Mistake(
            "not_a_diagonal",
            forward_by(new=lambda w, h, lr: -lr * mixed(w, h)),
            "exp(h) w is added to every row of Z: M is a diagonal matrix, torch.diag",
        ),
        Mistake(
            "doubled",
            forward_by(new=lambda w, h, lr: -2 * lr * torch.diag(mixed(w, h))),
            "the new term has a 2: this loss has a 1/2 before exp(h) w^2",
        ),
        Mistake(
            "transposed",
            forward_by(carried=lambda J, Z: Z @ J),
            "Z is transposed: the step's Jacobian stands on the left, (I - lr H) Z, so that Z has "
            "a row for each weight and a column for each h",
        ),
        Mistake(
            "not_carried",
            forward_by(carried=lambda J, Z: Z),
            "the Jacobian is not used: what earlier steps did goes through every later one, "
            "(I - lr H) Z",
        ),
        Mistake(
            "last_step",
            forward_by(carried=lambda J, Z: 0 * Z),
            "only the last step counts: Z is carried on, (I - lr H) Z - lr M",
        ),
        Mistake(
            "z_forgotten",
            forward_by(jacobian=lambda H, lr: -lr * H),
            "Z becomes - lr (H Z + M): the step keeps the old weights, so it is Z - lr (H Z + M)",
        ),
        Mistake(
            "elementwise",
            forward_by(carried=torch.mul),
            "H * Z multiplies entry by entry: it is a matrix product, H @ Z",
        ),
        Mistake(
            "new_carried",
            new_carried,
            "the step's own - lr M goes through its Jacobian, too: carry the old Z, then add - lr "
            "M",
        ),
        Mistake(
            "identity",
            forward_by(start=1.0),
            "Z starts as the identity: the first weights do not depend on h, so it starts at zero",
        ),
        Mistake("cast", single(forward_by()), DTYPE),
    ),
    variants=(
        Variant("column by column", column_by_column),
        Variant("in rows", forward_in_rows),
        Variant("torch, through the descent", from_the_path),
    ),
    hints=(
        "Differentiate w_{t+1} = w_t - lr g(w_t, h) in h: once through w_t, once directly.",
        "H = A + diag(exp h) is the same in every step, M_t = diag(exp(h) w_t) is not. Start with "
        "zeros (n, n).",
        "for w in path[:-1]: Z = Z - lr * (H @ Z + torch.diag(h.exp() * w)).",
    ),
)


# --- Reverse mode ---------------------------------------------------------------------------------


def reversed_path(path: Tensor) -> Iterable[Tensor]:
    return path[:-1].flip(0).unbind()


def reverse_by(
    weights: Callable[[Tensor], Iterable[Tensor]] = reversed_path,
    H: Callable[[Tensor, Tensor], Tensor] = hessian,
    carried: Callable[[Tensor, Tensor, float], Tensor] = lambda H, p, lr: p - lr * H @ p,
    share: Callable[[Tensor, Tensor, Tensor, float], Tensor] = lambda w, h, p, lr: (
        -lr * mixed(w, h) * p
    ),
    carried_first: bool = False,
) -> Answer:
    """The adjoint recursion with one of its pieces exchanged."""

    def reverse_mode(path: Tensor, A: Tensor, h: Tensor, lr: float, u: Tensor) -> Tensor:
        p, total = u, torch.zeros_like(h)
        for w in weights(path):
            next_p = carried(H(A, h), p, lr)
            total = total + share(w, h, next_p if carried_first else p, lr)
            p = next_p
        return total

    return reverse_mode


def adjoint(path: Tensor, A: Tensor, h: Tensor, lr: float, u: Tensor) -> Tensor:
    for _ in range(len(path) - 1):
        u = u - lr * hessian(A, h) @ u
    return u


def last_share(path: Tensor, A: Tensor, h: Tensor, lr: float, u: Tensor) -> Tensor:
    return reverse_by()(path[-2:], A, h, lr, u)


def first_share(path: Tensor, A: Tensor, h: Tensor, lr: float, u: Tensor) -> Tensor:
    """Overwritten instead of added up."""
    p, share = u, torch.zeros_like(h)
    for w in reversed_path(path):
        share = -lr * mixed(w, h) * p
        p = p - lr * hessian(A, h) @ p
    return share


def changes_u(path: Tensor, A: Tensor, h: Tensor, lr: float, u: Tensor) -> Tensor:
    total = reverse_by()(path, A, h, lr, u)
    u -= u - adjoint(path, A, h, lr, u)
    return total


def by_forward_mode(path: Tensor, A: Tensor, h: Tensor, lr: float, u: Tensor) -> Tensor:
    return forward_by()(path, A, h, lr).T @ u


def by_powers(path: Tensor, A: Tensor, h: Tensor, lr: float, u: Tensor) -> Tensor:
    """H is the same in every step, so each share has a power of its Jacobian."""
    J = torch.eye(len(h), dtype=h.dtype) - lr * hessian(A, h)
    steps = len(path) - 1
    shares = [path[t] * (torch.linalg.matrix_power(J, steps - 1 - t) @ u) for t in range(steps)]
    return -lr * h.exp() * torch.stack(shares).sum(dim=0)


def by_index(path: Tensor, A: Tensor, h: Tensor, lr: float, u: Tensor) -> Tensor:
    p, total = u.clone(), torch.zeros(len(h), dtype=h.dtype)
    for t in range(len(path) - 2, -1, -1):
        total -= lr * torch.exp(h) * path[t] * p
        p -= lr * (A @ p + torch.exp(h) * p)
    return total


reverse_mode = Question(
    name="reverse_mode",
    title="Reverse mode",
    points=3,
    reference=reverse_by(),
    cases=paths_with_u,
    parts=("the hypergradient",),
    forbidden=(NO_AUTOGRAD,),
    mistakes=(
        Mistake(
            "forwards",
            reverse_by(weights=before),
            "the adjoint runs forwards in time: it starts as u at the *last* weights, so the last "
            "step comes first",
        ),
        Mistake(
            "late_weights",
            reverse_by(weights=lambda path: path[1:].flip(0).unbind()),
            "each step uses the weights *after* it: the step from w_t is differentiated at w_t, so "
            "begin with path[-2]",
        ),
        Mistake(
            "one_more",
            reverse_by(weights=lambda path: path.flip(0).unbind()),
            "one step too many: no step was made from the last weights, so begin with path[-2]",
        ),
        Mistake(
            "first_step_left_out",
            reverse_by(weights=lambda path: path[1:-1].flip(0).unbind()),
            "the first step is left out: the path's row 0 belongs to a step, too",
        ),
        Mistake(
            "last_weights",
            reverse_by(weights=lambda path: [path[-1]] * (len(path) - 1)),
            "every step uses the last weights: each has its own, which is why reverse mode keeps "
            "the path",
        ),
        Mistake(
            "plus",
            reverse_by(carried=lambda H, p, lr: p + lr * H @ p),
            "the step's Jacobian is I - lr H, and you took I + lr H",
        ),
        Mistake(
            "sign",
            reverse_by(share=lambda w, h, p, lr: lr * mixed(w, h) * p),
            "the sign is wrong: a step subtracts lr times the gradient, so each share is - lr M p",
        ),
        Mistake(
            "no_lr",
            reverse_by(share=lambda w, h, p, lr: -mixed(w, h) * p),
            "the learning rate is missing: each share is - lr M p",
        ),
        Mistake(
            "no_lr_in_the_jacobian",
            reverse_by(carried=lambda H, p, lr: p - H @ p),
            "the learning rate is missing in the Jacobian: p becomes p - lr H p",
        ),
        Mistake(
            "no_exp",
            reverse_by(share=lambda w, h, p, lr: -lr * w * p),
            "M lacks exp(h): it is diag(exp(h) w)",
        ),
        Mistake(
            "doubled",
            reverse_by(share=lambda w, h, p, lr: -2 * lr * mixed(w, h) * p),
            "twice ours: this loss has a 1/2 before exp(h) w^2, so M has no 2",
        ),
        Mistake(
            "no_penalty",
            reverse_by(H=lambda A, h: A),
            "H lacks the penalties: it is A + diag(exp(h))",
        ),
        Mistake(
            "whole_matrix",
            reverse_by(H=lambda A, h: A + h.exp()),
            "exp(h) is added to every row of A: it belongs on the diagonal, torch.diag",
        ),
        Mistake(
            "not_carried",
            reverse_by(carried=lambda H, p, lr: p),
            "the adjoint never changes: going back through a step it becomes p - lr H p",
        ),
        Mistake(
            "gradient_without_p",
            reverse_by(carried=lambda H, p, lr: -lr * H @ p),
            "the adjoint becomes - lr H p: the step keeps the old weights, so it is p - lr H p",
        ),
        Mistake(
            "carried_first",
            reverse_by(carried_first=True),
            "the adjoint goes through the step before its share is added: add the share of step t "
            "with the p after this step, and then carry p back",
        ),
        Mistake(
            "last_step",
            last_share,
            "only the last step counts: add the shares of all",
        ),
        Mistake(
            "overwritten",
            first_share,
            "only the share of the first step is left: add the shares up, total = total + ...",
        ),
        Mistake(
            "adjoint",
            adjoint,
            "that is the adjoint at the start, the gradient in w_0: return what the steps add for "
            "h",
        ),
        Mistake(
            "changes_u",
            changes_u,
            "the caller's u is changed: p = u makes no copy, so p -= ... changes u too",
        ),
        Mistake("cast", single(reverse_by()), DTYPE),
    ),
    variants=(
        Variant("by forward mode", by_forward_mode),
        Variant("powers", by_powers),
        Variant("by index, in place on copies", by_index),
    ),
    hints=(
        "Start with p = u and a total of zeros, and take the steps from the last to the first.",
        "In the step from w_t: the total gets - lr exp(h) w_t p, then p becomes p - lr (A p + "
        "exp(h) p).",
        "for w in path[:-1].flip(0): first the total, then p.",
    ),
)


# --- The last steps alone -------------------------------------------------------------------------


def truncated_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(As, Bs, u, keep): a step of any method, whose Jacobians are not symmetric."""
    found = []
    for n, m, steps, keep in ((3, 3, 5, 2), (2, 2, 4, 3), (3, 3, 4, 4), (2, 3, 5, 1), (4, 2, 3, 2)):
        values = [0.9 - 0.35 * i for i in range(n)]
        As = [with_eigenvalues([v * uniform(0.8, 1.1, g) for v in values], g) for _ in range(steps)]
        Bs = [normal(n, m, generator=g, dtype=torch.float64) for _ in range(steps)]
        found.append((As, Bs, away_from_zero(n, g), keep))
    return found


def truncated_by(
    chosen: Callable[[int, int], Iterable[int]] = lambda T, keep: range(T - 1, T - 1 - keep, -1),
    pull: Callable[[Tensor, Tensor], Tensor] = lambda A, p: A.T @ p,
    back: Callable[[Tensor, Tensor], Tensor] = lambda B, p: B.T @ p,
    carried_first: bool = False,
) -> Answer:
    """The recursion with one of its pieces exchanged; `chosen` says which steps, in which order."""

    def truncated_reverse(As: list[Tensor], Bs: list[Tensor], u: Tensor, keep: int) -> Tensor:
        p, total = u, torch.zeros(Bs[0].shape[1], dtype=u.dtype)
        for t in chosen(len(As), keep):
            before = p
            p = pull(As[t], p)
            total = total + back(Bs[t], p if carried_first else before)
        return total

    return truncated_reverse


def first_of_all(As: list[Tensor], Bs: list[Tensor], u: Tensor, keep: int) -> Tensor:
    """All the way back, but only the first steps are counted."""
    p, total = u, torch.zeros(Bs[0].shape[1], dtype=u.dtype)
    for t in reversed(range(len(As))):
        if t < keep:
            total = total + Bs[t].T @ p
        p = As[t].T @ p
    return total


def oldest_kept(As: list[Tensor], Bs: list[Tensor], u: Tensor, keep: int) -> Tensor:
    return Bs[len(Bs) - keep].T @ truncated_adjoint(As, u, keep - 1)


def truncated_adjoint(As: list[Tensor], u: Tensor, keep: int) -> Tensor:
    for A in As[len(As) - keep :][::-1]:
        u = A.T @ u
    return u


def truncated_forwards(As: list[Tensor], Bs: list[Tensor], u: Tensor, keep: int) -> Tensor:
    """The tangents of the last steps."""
    Z = torch.zeros_like(Bs[0])
    for A, B in zip(As[-keep:], Bs[-keep:], strict=True):
        Z = A @ Z + B
    return u @ Z


def truncated_recursively(As: list[Tensor], Bs: list[Tensor], u: Tensor, keep: int) -> Tensor:
    here = Bs[-1].T @ u
    if keep == 1:
        return here
    return here + truncated_recursively(As[:-1], Bs[:-1], As[-1].T @ u, keep - 1)


truncated_reverse = Question(
    name="truncated_reverse",
    title="The last steps alone",
    points=2,
    reference=truncated_by(),
    cases=truncated_cases,
    parts=("the indirect term",),
    mistakes=(
        Mistake(
            "first_steps",
            truncated_by(chosen=lambda T, keep: range(keep - 1, -1, -1)),
            "you keep the *first* steps, the wrong end: the last ones are nearest to the outer "
            "loss, so begin with the last of the lists",
        ),
        Mistake(
            "first_of_all",
            first_of_all,
            "you go all the way back and count the *first* steps, the wrong end: count the last "
            "`keep`, and stop there",
        ),
        Mistake(
            "forwards",
            truncated_by(chosen=lambda T, keep: range(T - keep, T)),
            "the right steps, but the adjoint runs forwards in time: begin with the last step",
        ),
        Mistake(
            "all_forwards",
            truncated_by(chosen=lambda T, keep: range(keep)),
            "the adjoint runs forwards in time, from the first step on: begin with the last one, "
            "and go back `keep` steps",
        ),
        Mistake(
            "all_steps",
            truncated_by(chosen=lambda T, keep: range(T - 1, -1, -1)),
            "all steps are counted: stop after `keep`",
        ),
        Mistake(
            "one_more",
            truncated_by(chosen=lambda T, keep: range(T - 1, max(T - 2 - keep, -1), -1)),
            "one step too many: keep counts the last one, too",
        ),
        Mistake(
            "one_less",
            truncated_by(chosen=lambda T, keep: range(T - 1, T - keep, -1)),
            "one step is missing: keep = 1 is the last step",
        ),
        Mistake(
            "last_left_out",
            truncated_by(chosen=lambda T, keep: range(T - 2, max(T - 2 - keep, -1), -1)),
            "the last step is left out: it is the first on the way back",
        ),
        Mistake(
            "transposed_A",
            truncated_by(pull=lambda A, p: A @ p),
            "the Jacobian A is not transposed: going back, p becomes A^T p",
        ),
        Mistake(
            "transposed_B",
            truncated_by(back=lambda B, p: B @ p),
            "the Jacobian B is not transposed: B is (n, m), and B^T p has a number for each h",
        ),
        Mistake(
            "neither_transposed",
            truncated_by(pull=lambda A, p: A @ p, back=lambda B, p: B @ p),
            "neither Jacobian is transposed: going back, both A and B are",
        ),
        Mistake(
            "carried_first",
            truncated_by(carried_first=True),
            "p goes through A^T before B^T takes it: the share of a step is B^T times the p after "
            "this step",
        ),
        Mistake(
            "not_carried",
            truncated_by(pull=lambda A, p: p),
            "the adjoint never changes: through each step it becomes A^T p",
        ),
        Mistake(
            "added_to_p",
            truncated_by(pull=lambda A, p: p + A.T @ p),
            "p becomes A^T p alone: A is the whole Jacobian of the step, I included",
        ),
        Mistake(
            "overwritten",
            oldest_kept,
            "only the share of the earliest kept step is left: add the shares up",
        ),
        Mistake(
            "sign",
            lambda *args: -truncated_by()(*args),
            "the sign is wrong: the Jacobians have the minus of descent in them already",
        ),
        Mistake("cast", single(truncated_by()), DTYPE),
    ),
    variants=(
        Variant("forwards", truncated_forwards),
        Variant("recursion", truncated_recursively),
        Variant("rows", truncated_by(pull=lambda A, p: p @ A, back=lambda B, p: p @ B)),
    ),
    hints=(
        "Begin at the end: the last step's share is Bs[-1].T @ u.",
        "Then p = As[-1].T @ u takes you one step back, where the share is Bs[-2].T @ p.",
        "for t in reversed(range(T - keep, T)): total + Bs[t].T @ p, and then p = As[t].T @ p.",
    ),
)
