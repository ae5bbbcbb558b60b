"""A penalty for each weight or group: the mixed derivative, and the implicit function theorem."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.better_training_questions.shared import NO_AUTOGRAD
from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.hypergradients_questions.shared import (
    DTYPE,
    SIZES,
    Answer,
    away_from_zero,
    curvature,
    fitted,
    regression,
    single,
    slope,
    uniform,
)
from mlcourse.checks.second_order_questions.shared import symmetric

# --- The mixed derivative -------------------------------------------------------------------------


def mixed_cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(w, h, group): several weights a group, one each, and as many groups as weights."""
    found = []
    for groups, m, dtype in (
        ((0, 1, 1, 0, 1), 2, torch.float64),
        ((2, 0, 1), 3, torch.float64),
        ((1, 1, 0, 2), 4, torch.float64),
        ((0, 1, 2, 2), 3, torch.float32),
        ((0, 0, 0), 1, torch.float64),
    ):
        h = 0.6 * away_from_zero(m, g, dtype)
        found.append((away_from_zero(len(groups), g, dtype), h, torch.tensor(groups)))
    return found


def placed(values: Tensor, group: Tensor, m: int) -> Tensor:
    """Put each weight's number into the column of its group."""
    M = torch.zeros(len(values), m, dtype=values.dtype)
    M[torch.arange(len(values)), group] = values
    return M


def mixed_by(entry: Callable[[Tensor, Tensor], Tensor]) -> Answer:
    """The mixed derivative with other entries: functions of w and of each weight's own h."""
    return lambda w, h, group: placed(entry(w, h[group]), group, len(h))


def true_entry(w: Tensor, own: Tensor) -> Tensor:
    return 2 * own.exp() * w


def by_indicator(w: Tensor, h: Tensor, group: Tensor) -> Tensor:
    belongs = torch.nn.functional.one_hot(group, len(h)).to(w.dtype)
    return 2 * w[:, None] * belongs * h.exp()


def by_loops(w: Tensor, h: Tensor, group: Tensor) -> Tensor:
    M = torch.zeros(len(w), len(h), dtype=w.dtype)
    for i, j in enumerate(group.tolist()):
        M[i, j] = 2 * torch.exp(h[j]) * w[i]
    return M


def by_autograd(w: Tensor, h: Tensor, group: Tensor) -> Any:
    def gradient(h: Tensor) -> Tensor:
        return 2 * h.exp()[group] * w

    return torch.autograd.functional.jacobian(gradient, h)


mixed_derivative = Question(
    name="mixed_derivative",
    title="The mixed derivative",
    points=2,
    reference=mixed_by(true_entry),
    cases=mixed_cases,
    parts=("the mixed derivative",),
    forbidden=(NO_AUTOGRAD,),
    mistakes=(
        Mistake(
            "no_exp",
            mixed_by(lambda w, own: 2 * w),
            "exp(h) is missing: the derivative of exp(h) in h is exp(h) itself",
        ),
        Mistake(
            "h_for_exp",
            mixed_by(lambda w, own: 2 * own * w),
            "h stands where exp(h) should: the penalty is exp(h), and so is its derivative in h",
        ),
        Mistake(
            "no_two",
            mixed_by(lambda w, own: own.exp() * w),
            "a factor 2 is missing: the derivative of w^2 is 2 w",
        ),
        Mistake(
            "in_w_twice",
            mixed_by(lambda w, own: 2 * own.exp()),
            "that is the second derivative in w: differentiate once in w, which gives 2 exp(h) w, "
            "and once in h",
        ),
        Mistake(
            "in_h_alone",
            mixed_by(lambda w, own: own.exp() * w**2),
            "that is the derivative in h alone: differentiate in w, too",
        ),
        Mistake(
            "minus",
            mixed_by(lambda w, own: -true_entry(w, own)),
            "the mixed derivative's sign is wrong: it is + 2 exp(h) w, and the minus of the "
            "hypergradient comes later",
        ),
        Mistake(
            "minus_h",
            mixed_by(lambda w, own: 2 * (-own).exp() * w),
            "that has exp(-h): the penalty is exp(h)",
        ),
        Mistake(
            "transposed",
            lambda w, h, group: mixed_by(true_entry)(w, h, group).T.contiguous(),
            "rows and columns are exchanged: one row for each weight, one column for each h",
        ),
        Mistake(
            "every_group",
            lambda w, h, group: 2 * torch.outer(w, h.exp()),
            "each weight answers to every h here: it has the penalty of its own group alone, and "
            "the other entries of its row are 0",
        ),
        Mistake(
            "numbers_alone",
            lambda w, h, group: true_entry(w, h[group]),
            "you return one number for each weight: put it into the column of its group, in a "
            "matrix (n, m) of zeros",
        ),
        Mistake(
            "added_up",
            lambda w, h, group: mixed_by(true_entry)(w, h, group).sum(dim=0),
            "the rows are added up: M has one row for each weight",
        ),
        Mistake(
            "on_the_diagonal",
            lambda w, h, group: torch.diag(true_entry(w, h[group])),
            "that is a matrix (n, n), as if each weight had an h of its own: the columns are the "
            "groups",
        ),
        Mistake("cast", single(mixed_by(true_entry)), DTYPE),
    ),
    variants=(
        Variant("an indicator", by_indicator),
        Variant("loops", by_loops),
        Variant("autograd", by_autograd),
    ),
    hints=(
        "First the gradient in w: entry i is 2 exp(h of its group) w_i. Then differentiate this "
        "in each h_j.",
        "Entry (i, j) is 2 exp(h_j) w_i where weight i is in group j, and 0 elsewhere.",
        "Start with torch.zeros(len(w), len(h), dtype=w.dtype) and set M[torch.arange(len(w)), "
        "group].",
    ),
)


# --- The implicit function theorem ----------------------------------------------------------------


def implicit_cases(g: Generator) -> list[tuple[Tensor, ...]]:
    """(u, H, M, direct): also as many hyper-parameters as weights, where M^T is no other shape."""
    found: list[tuple[Tensor, ...]] = []
    for eigenvalues, m, dtype in (
        ((3.0, 1.0, 0.5), 3, torch.float64),
        ((2.0, 0.7), 4, torch.float64),
        ((4.0, 2.0, 1.0, 0.6), 4, torch.float64),
        ((2.5, 1.5, 0.8), 3, torch.float32),
        ((1.8, 0.9, 0.6, 0.4, 2.2), 2, torch.float64),
    ):
        n = len(eigenvalues)
        u, direct = away_from_zero(n, g, dtype), away_from_zero(m, g, dtype)
        M = normal(n, m, generator=g, dtype=dtype)
        found.append((u, symmetric(eigenvalues, g, dtype), M, direct))
    return found


def implicit_by(
    solved: Callable[[Tensor, Tensor], Tensor] = torch.linalg.solve,
    back: Callable[[Tensor, Tensor], Tensor] = lambda M, q: M.T @ q,
    join: Callable[[Tensor, Tensor], Any] = lambda direct, through: direct - through,
) -> Answer:
    """The formula with one of its pieces exchanged."""
    return lambda u, H, M, direct: join(direct, back(M, solved(H, u)))


def response_first(u: Tensor, H: Tensor, M: Tensor, direct: Tensor) -> Tensor:
    """Forwards: how every weight responds to every h, then the chain rule."""
    return direct + u @ -torch.linalg.solve(H, M)


def by_cholesky(u: Tensor, H: Tensor, M: Tensor, direct: Tensor) -> Tensor:
    q = torch.cholesky_solve(u[:, None], torch.linalg.cholesky(H))[:, 0]
    return direct - q @ M


implicit_hypergradient = Question(
    name="implicit_hypergradient",
    title="The implicit function theorem",
    points=2,
    reference=implicit_by(),
    cases=implicit_cases,
    parts=("the hypergradient",),
    mistakes=(
        Mistake(
            "sign",
            implicit_by(join=lambda direct, through: direct + through),
            "the sign of the indirect term is wrong: H dw/dh + M = 0 gives dw/dh = -H^-1 M",
        ),
        Mistake(
            "direct_forgotten",
            implicit_by(join=lambda direct, through: -through),
            "the direct term is missing: the outer loss depends on h itself, too",
        ),
        Mistake(
            "sign_and_direct",
            implicit_by(join=lambda direct, through: through),
            "the direct term is missing, and the sign is wrong: direct - M^T H^-1 u",
        ),
        Mistake(
            "detached",
            implicit_by(join=lambda direct, through: direct + 0 * through),
            "that is the direct term alone, as if the weights were constants: they follow h, by "
            "dw/dh = -H^-1 M",
        ),
        Mistake(
            "direct_subtracted",
            implicit_by(join=lambda direct, through: -direct - through),
            "the direct term is subtracted: only the indirect one has a minus",
        ),
        Mistake(
            "transposed",
            implicit_by(back=lambda M, q: M @ q),
            "the Jacobian is not transposed: M is (n, m), and M^T takes q, which has n numbers, to "
            "the m hyper-parameters",
        ),
        Mistake(
            "not_inverted",
            implicit_by(solved=lambda H, u: u),
            "H is missing: u is multiplied by H^-1 before M^T",
        ),
        Mistake(
            "multiplied",
            implicit_by(solved=lambda H, u: H @ u),
            "you multiply by H: solve H q = u",
        ),
        Mistake(
            "diagonal",
            implicit_by(solved=lambda H, u: u / H.diagonal()),
            "only the diagonal of H is used: solve with the whole matrix",
        ),
        Mistake(
            "entries_inverted",
            implicit_by(solved=lambda H, u: (1 / H) @ u),
            "1 / H turns every entry over: that is not the inverse of the matrix",
        ),
        Mistake(
            "doubled",
            implicit_by(join=lambda direct, through: direct - 2 * through),
            "the indirect term counts twice: all factors 2 are in H and M already",
        ),
        Mistake(
            "halved",
            implicit_by(join=lambda direct, through: direct - through / 2),
            "the indirect term counts half: all factors 2 are in H and M already",
        ),
        Mistake(
            "adjoint",
            lambda u, H, M, direct: torch.linalg.solve(H, u),
            "that is q = H^-1 u, a number for each weight: M^T q and the direct term follow",
        ),
        Mistake("cast", single(implicit_by()), DTYPE),
    ),
    variants=(
        Variant("the response first", response_first),
        Variant("Cholesky", by_cholesky),
        Variant("an inverse", implicit_by(solved=lambda H, u: u @ torch.linalg.inv(H))),
    ),
    hints=(
        "H dw/dh + M = 0 says how the weights follow: dw/dh is a matrix (n, m).",
        "The chain rule: the direct term, plus (dw/dh)^T u. H is symmetric.",
        "Solve H q = u, then direct - M.T @ q.",
    ),
)


# --- One penalty for each weight ------------------------------------------------------------------


def penalised_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(X, y, X_val, y_val, h, rho)."""
    return [
        (
            *regression(N, N_val, d, g, dtype),
            0.7 * away_from_zero(d, g, dtype) - 0.3,
            uniform(0.05, 0.4, g),
        )
        for N, N_val, d, dtype in SIZES
    ]


def penalised_by(
    penalty: Callable[[Tensor], Tensor] = torch.exp,
    u: Callable[..., Tensor] = lambda w, X, y, X_val, y_val: slope(w, X_val, y_val),
    H: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda X, X_val, h: curvature(X, h.exp()),
    mixed: Callable[[Tensor, Tensor], Tensor] = lambda w, h: 2 * h.exp() * w,
    direct: Callable[[Tensor, float], Tensor] = lambda h, rho: 2 * rho * h,
    join: Callable[[Tensor, Tensor], Any] = lambda direct, through: direct - through,
) -> Answer:
    """The hypergradient of one penalty a weight, with one of its pieces exchanged."""

    def penalty_hypergradient(
        X: Tensor, y: Tensor, X_val: Tensor, y_val: Tensor, h: Tensor, rho: float
    ) -> Any:
        w = fitted(X, y, penalty(h))
        q = torch.linalg.solve(H(X, X_val, h), u(w, X, y, X_val, y_val))
        return join(direct(h, rho), mixed(w, h) * q)

    return penalty_hypergradient


def from_matrices(
    X: Tensor, y: Tensor, X_val: Tensor, y_val: Tensor, h: Tensor, rho: float
) -> Tensor:
    w = fitted(X, y, h.exp())
    H = 2 / len(X) * X.T @ X + 2 * torch.diag(h.exp())
    response = -torch.linalg.inv(H) @ torch.diag(2 * h.exp() * w)
    return 2 * rho * h + response.T @ slope(w, X_val, y_val)


def without_twos(
    X: Tensor, y: Tensor, X_val: Tensor, y_val: Tensor, h: Tensor, rho: float
) -> Tensor:
    """With half the train loss, which has the same minimum."""
    half = X.T @ X / len(X) + torch.diag_embed(torch.exp(h))
    w = torch.linalg.solve(half, X.T @ y / len(X))
    q = torch.linalg.solve(half, 2 * X_val.T @ (X_val @ w - y_val) / len(X_val))
    return 2 * rho * h - h.exp() * w * q


def through_the_solver(
    X: Tensor, y: Tensor, X_val: Tensor, y_val: Tensor, h: Tensor, rho: float
) -> Tensor:
    """The closed form, differentiated by torch."""
    h = h.clone().requires_grad_()
    residual = X_val @ fitted(X, y, h.exp()) - y_val
    return torch.autograd.grad((residual**2).mean() + rho * (h**2).sum(), h)[0]


penalty_hypergradient = Question(
    name="penalty_hypergradient",
    title="A penalty for each weight",
    points=3,
    reference=penalised_by(),
    cases=penalised_cases,
    parts=("the hypergradient",),
    needs=("validation_gradient", "mixed_derivative", "implicit_hypergradient"),
    forbidden=(NO_AUTOGRAD,),
    mistakes=(
        Mistake(
            "sign",
            penalised_by(join=lambda direct, through: direct + through),
            "the sign of the indirect term is wrong: a larger penalty moves the weights by *minus* "
            "H^-1 times the mixed derivative",
        ),
        Mistake(
            "no_exp",
            penalised_by(mixed=lambda w, h: 2 * w),
            "the mixed derivative lacks exp(h): the penalty is exp(h), and its derivative in h is "
            "exp(h) again",
        ),
        Mistake(
            "no_two",
            penalised_by(mixed=lambda w, h: h.exp() * w),
            "the indirect term is half of ours: the mixed derivative of exp(h) w^2 is 2 exp(h) w, "
            "and u has a 2 as well",
        ),
        Mistake(
            "double",
            penalised_by(H=lambda X, X_val, h: curvature(X, h.exp()) / 2),
            "the indirect term is twice ours: both terms of H have a 2",
        ),
        Mistake(
            "direct_forgotten",
            penalised_by(direct=lambda h, rho: 0 * h),
            "the direct term is missing: rho times the sum of h^2 stands in the outer loss itself",
        ),
        Mistake(
            "direct_added_up",
            penalised_by(direct=lambda h, rho: 2 * rho * h.sum()),
            "the direct term is one number, added to all: its entry j is 2 rho h_j",
        ),
        Mistake(
            "direct_in_exp",
            penalised_by(direct=lambda h, rho: 2 * rho * h.exp()),
            "the direct term has exp(h) in it: the outer loss holds h itself, rho times the sum of "
            "h^2",
        ),
        Mistake(
            "not_inverted",
            penalised_by(H=lambda X, X_val, h: torch.eye(len(h), dtype=h.dtype)),
            "H^-1 is missing: solve H q = u first",
        ),
        Mistake(
            "direct_no_two",
            penalised_by(direct=lambda h, rho: rho * h),
            "the direct term is half of ours: the derivative of rho h^2 is 2 rho h",
        ),
        Mistake(
            "detached",
            penalised_by(join=lambda direct, through: direct),
            "that is the direct term alone, as if the weights were constants: they follow h",
        ),
        Mistake(
            "no_penalty_in_h",
            penalised_by(H=lambda X, X_val, h: curvature(X, 0.0)),
            "H lacks the penalties: they put 2 exp(h) on its diagonal",
        ),
        Mistake(
            "penalty_without_two",
            penalised_by(H=lambda X, X_val, h: curvature(X, h.exp() / 2)),
            "the penalties in H lack a 2: the second derivative of exp(h) w^2 is 2 exp(h)",
        ),
        Mistake(
            "whole_matrix",
            penalised_by(H=lambda X, X_val, h: 2 * X.T @ X / len(X) + 2 * h.exp()),
            "the penalties are added to every row of H: they belong on its diagonal, torch.diag",
        ),
        Mistake(
            "validation_hessian",
            penalised_by(H=lambda X, X_val, h: curvature(X_val, h.exp())),
            "H is that of the validation data: the weights minimise the *train* loss",
        ),
        Mistake(
            "validation_hessian_alone",
            penalised_by(H=lambda X, X_val, h: curvature(X_val, 0.0)),
            "H is that of the validation loss: take that of the *train* loss, penalties included",
        ),
        Mistake(
            "train_gradient",
            penalised_by(u=lambda w, X, y, X_val, y_val: slope(w, X, y)),
            "u is taken on the training data: it is the gradient of the *validation* error",
        ),
        Mistake(
            "h_for_exp",
            penalised_by(
                penalty=lambda h: h,
                H=lambda X, X_val, h: curvature(X, h),
                mixed=lambda w, h: 2 * w,
            ),
            "h is taken for the penalty itself: the penalty of weight i is exp(h_i)",
        ),
        Mistake(
            "weights_without_penalty",
            penalised_by(penalty=lambda h: 0 * h),
            "the weights are those without penalties: exp(h) stands on the diagonal when you solve "
            "for w, too",
        ),
        Mistake(
            "added_up",
            lambda *args: penalised_by()(*args).sum(),
            "you return one number: return one for each h",
        ),
        Mistake("cast", single(penalised_by()), DTYPE),
    ),
    variants=(
        Variant("matrices", from_matrices),
        Variant("half the train loss", without_twos),
        Variant("through the solver", through_the_solver),
    ),
    hints=(
        "The weights: as in ridge regression, with torch.diag(h.exp()) for lambda times the "
        "identity.",
        "u = validation_gradient(w, X_val, y_val); H = 2 (X^T X / N + diag(exp h)); M is "
        "mixed_derivative with torch.arange(d) for the groups; the direct term is 2 rho h.",
        "implicit_hypergradient(u, H, mixed_derivative(w, h, torch.arange(len(h))), 2 * rho * h).",
    ),
)
