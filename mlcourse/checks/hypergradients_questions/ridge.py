"""Ridge regression by hand: the loss, its minimum, and how the validation loss follows lambda."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.better_training_questions.shared import NO_AUTOGRAD
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


def at_weights(g: Generator) -> list[tuple[Any, ...]]:
    """(w, X, y): any weights."""
    found = []
    for N, N_val, d, dtype in SIZES:
        X, y, *_ = regression(N, N_val, d, g, dtype)
        found.append((away_from_zero(d, g, dtype), X, y))
    return found


def with_penalty(cases: Callable[[Generator], list]) -> Callable[[Generator], list]:
    """Put a penalty behind the arguments of each case."""
    return lambda g: [(*case, uniform(0.2, 0.8, g)) for case in cases(g)]


def training(g: Generator) -> list[tuple[Any, ...]]:
    """(X, y)."""
    return [regression(*size[:3], g, size[3])[:2] for size in SIZES]


def both_sets(g: Generator) -> list[tuple[Any, ...]]:
    """(X, y, X_val, y_val)."""
    return [regression(*size[:3], g, size[3]) for size in SIZES]


# --- The loss -------------------------------------------------------------------------------------


def loss_by(
    fit: Callable[[Tensor], Any] = lambda r: (r**2).mean(),
    penalty: Callable[[Tensor, float], Any] = lambda w, lam: lam * (w @ w),
) -> Answer:
    """The loss with one of its two terms exchanged."""
    return lambda w, X, y, lam: fit(X @ w - y) + penalty(w, lam)


def loss_by_loops(w: Tensor, X: Tensor, y: Tensor, lam: float) -> float:
    total = 0.0
    for row, value in zip(X.tolist(), y.tolist(), strict=True):
        error = sum(a * b for a, b in zip(row, w.tolist(), strict=True)) - value
        total += error**2 / len(X)
    return total + lam * sum(a * a for a in w.tolist())


ridge_loss = Question(
    name="ridge_loss",
    title="The train loss",
    points=1,
    reference=loss_by(),
    cases=with_penalty(at_weights),
    parts=("the loss",),
    mistakes=(
        Mistake(
            "summed",
            loss_by(fit=lambda r: r @ r),
            "the squared errors are added up: take their mean, or lambda means something else for "
            "each number of examples",
        ),
        Mistake(
            "penalty_forgotten",
            loss_by(penalty=lambda w, lam: 0.0),
            "the penalty is missing: add lambda times the squared length of w",
        ),
        Mistake(
            "norm",
            loss_by(penalty=lambda w, lam: lam * w.norm()),
            "the penalty takes the length of w: it is the *square* of the length, w @ w",
        ),
        Mistake(
            "mean_penalty",
            loss_by(penalty=lambda w, lam: lam * (w**2).mean()),
            "the squares of the weights are averaged: the penalty adds them up",
        ),
        Mistake(
            "half",
            lambda *args: loss_by()(*args) / 2,
            "the whole loss is halved: here it has no 1/2 (the factors 2 of the derivatives will "
            "count)",
        ),
        Mistake(
            "half_penalty",
            loss_by(penalty=lambda w, lam: lam / 2 * (w @ w)),
            "the penalty is halved: here it is lambda times w @ w, without a 1/2",
        ),
        Mistake(
            "half_errors",
            loss_by(fit=lambda r: (r**2).mean() / 2),
            "the errors are halved: their mean square has no 1/2 here",
        ),
        Mistake(
            "absolute",
            loss_by(fit=lambda r: r.abs().mean()),
            "the errors are not squared: their absolute values have another minimum",
        ),
        Mistake(
            "root",
            loss_by(fit=lambda r: (r**2).mean().sqrt()),
            "the root of the mean square is taken: leave it out",
        ),
        Mistake(
            "lasso",
            loss_by(penalty=lambda w, lam: lam * w.abs().sum()),
            "the penalty adds the absolute weights: ridge regression adds their squares",
        ),
        Mistake(
            "each_weight",
            loss_by(penalty=lambda w, lam: lam * w**2),
            "you return a number for each weight: the penalty adds their squares up, w @ w",
        ),
        Mistake(
            "averaged_penalty",
            lambda w, X, y, lam: ((X @ w - y) ** 2).mean() + lam * (w @ w) / len(X),
            "the penalty is divided by the number of examples: only the errors are averaged",
        ),
    ),
    variants=(
        Variant("loops", loss_by_loops),
        Variant(
            "norms", lambda w, X, y, lam: (y - X @ w).norm() ** 2 / len(y) + lam * w.norm() ** 2
        ),
        Variant(
            "torch's loss",
            lambda w, X, y, lam: torch.nn.functional.mse_loss(X @ w, y) + lam * w.square().sum(),
        ),
    ),
    hints=(
        "Two terms: how wrong the predictions X w are, and how long w is.",
        "The first is the mean of (X w - y)^2 over the N examples.",
        "((X @ w - y) ** 2).mean() + lam * (w @ w).",
    ),
)


# --- Its minimum ----------------------------------------------------------------------------------


def weights_by(
    matrix: Callable[[Tensor, Tensor, float], Tensor] = lambda S, I, lam: S + lam * I,
    solved: Callable[[Tensor, Tensor], Tensor] = torch.linalg.solve,
) -> Answer:
    """The closed form with one of its pieces exchanged."""

    def ridge_weights(X: Tensor, y: Tensor, lam: float) -> Tensor:
        N, d = X.shape
        H = matrix(X.T @ X / N, torch.eye(d, dtype=X.dtype), lam)
        return solved(H, X.T @ y / N)

    return ridge_weights


def by_stacking(X: Tensor, y: Tensor, lam: float) -> Tensor:
    """Ridge is least squares with a row more for each weight."""
    N, d = X.shape
    rows = torch.cat([X, (N * lam) ** 0.5 * torch.eye(d, dtype=X.dtype)])
    right = torch.cat([y, torch.zeros(d, dtype=y.dtype)])
    return torch.linalg.lstsq(rows, right[:, None]).solution[:, 0]


def by_singular_values(X: Tensor, y: Tensor, lam: float) -> Tensor:
    U, s, V = torch.linalg.svd(X, full_matrices=False)
    return V.T @ (s / (s**2 + len(X) * lam) * (U.T @ y))


def dual(X: Tensor, y: Tensor, lam: float) -> Tensor:
    N = len(X)
    return X.T @ torch.linalg.solve(X @ X.T + N * lam * torch.eye(N, dtype=X.dtype), y)


ridge_weights = Question(
    name="ridge_weights",
    title="The best weights",
    points=2,
    reference=weights_by(),
    cases=with_penalty(training),
    parts=("the weights",),
    mistakes=(
        Mistake(
            "n_forgotten",
            lambda X, y, lam: fitted(X, y, lam / len(X)),
            "the penalty is N times too weak: the errors are averaged, so it is X^T X / N + lambda "
            "I, or X^T X + N lambda I",
        ),
        Mistake(
            "one_n",
            lambda X, y, lam: len(X) * fitted(X, y, lam),
            "your weights are N times ours: the right-hand side is X^T y / N, as the errors are "
            "averaged",
        ),
        Mistake(
            "n_on_the_left",
            lambda X, y, lam: weights_by()(X, y, lam) / len(X),
            "your weights are N times too small: divide X^T y by N once",
        ),
        Mistake(
            "n_twice",
            lambda X, y, lam: fitted(X, y, lam * len(X)),
            "the penalty is N times too strong: it is X^T X / N + lambda I, or X^T X + N lambda I, "
            "and not both",
        ),
        Mistake(
            "n_on_the_right_alone",
            lambda X, y, lam: fitted(X, y, lam / len(X)) / len(X),
            "X^T y is divided by N, and X^T X is not: the mean has both in it",
        ),
        Mistake(
            "whole_matrix",
            weights_by(matrix=lambda S, I, lam: S + lam),
            "lambda is added to every entry: it belongs on the diagonal, lambda times the identity",
        ),
        Mistake(
            "no_penalty",
            weights_by(matrix=lambda S, I, lam: S),
            "these are the weights without a penalty: add lambda times the identity to X^T X / N",
        ),
        Mistake(
            "half_lambda",
            weights_by(matrix=lambda S, I, lam: S + lam / 2 * I),
            "the penalty counts half: set the gradient of the loss to zero, its two 2's cancel",
        ),
        Mistake(
            "double_lambda",
            weights_by(matrix=lambda S, I, lam: S + 2 * lam * I),
            "the penalty counts twice: the errors' gradient has a 2 as well, and the two cancel",
        ),
        Mistake(
            "minus_lambda",
            weights_by(matrix=lambda S, I, lam: S - lam * I),
            "lambda is subtracted: a penalty makes the matrix larger and the weights smaller",
        ),
        Mistake(
            "squared_lambda",
            weights_by(matrix=lambda S, I, lam: S + lam**2 * I),
            "lambda is squared: it stands once before w^T w",
        ),
        Mistake(
            "multiplied",
            weights_by(solved=lambda H, right: H @ right),
            "you multiply by the matrix: solve with it, torch.linalg.solve(H, right)",
        ),
        Mistake(
            "diagonal",
            weights_by(solved=lambda H, right: right / H.diagonal()),
            "only the diagonal is used, as if the inputs had nothing in common: solve with the "
            "whole matrix",
        ),
        Mistake(
            "negative",
            weights_by(solved=lambda H, right: -torch.linalg.solve(H, right)),
            "the sign is wrong: the gradient is zero where (X^T X / N + lambda I) w = X^T y / N",
        ),
        Mistake("cast", single(weights_by()), DTYPE),
    ),
    variants=(
        Variant("N on the other side", dual),
        Variant("more rows", by_stacking),
        Variant("singular values", by_singular_values),
        Variant("an inverse", weights_by(solved=lambda H, right: torch.linalg.inv(H) @ right)),
    ),
    hints=(
        "At the minimum the gradient of the train loss in w is zero.",
        "2/N X^T (X w - y) + 2 lambda w = 0. Collect what multiplies w.",
        "torch.linalg.solve(X.T @ X / N + lam * torch.eye(d, dtype=X.dtype), X.T @ y / N).",
    ),
)


# --- The validation loss --------------------------------------------------------------------------


def slope_by(change: Callable[[Tensor, Tensor, Tensor], Any]) -> Answer:
    """A gradient of the residual, the inputs and the weights."""
    return lambda w, X, y: change(X @ w - y, X, w)


def slope_by_rows(w: Tensor, X: Tensor, y: Tensor) -> Tensor:
    total = torch.zeros_like(w)
    for row, value in zip(X, y, strict=True):
        total = total + 2 * (row @ w - value) * row
    return total / len(X)


validation_gradient = Question(
    name="validation_gradient",
    title="The validation gradient",
    points=1,
    reference=slope,
    cases=at_weights,
    parts=("the gradient",),
    forbidden=(NO_AUTOGRAD,),
    mistakes=(
        Mistake(
            "no_two",
            slope_by(lambda r, X, w: X.T @ r / len(X)),
            "your gradient is half of ours: the derivative of a square has a 2",
        ),
        Mistake(
            "summed",
            slope_by(lambda r, X, w: 2 * X.T @ r),
            "your gradient is N times ours: the loss is a mean, so divide by the number of "
            "validation examples",
        ),
        Mistake(
            "sum_without_two",
            slope_by(lambda r, X, w: X.T @ r),
            "a 2 and the division by the number of examples are missing: the loss is the mean of "
            "squares",
        ),
        Mistake(
            "sign",
            slope_by(lambda r, X, w: -2 / len(X) * X.T @ r),
            "the sign is wrong: the residual is X w - y, and its derivative in w is +X",
        ),
        Mistake(
            "signs_of_residuals",
            slope_by(lambda r, X, w: 2 / len(X) * X.T @ r.sign()),
            "only the residuals' signs are used: that belongs to absolute errors, not to squares",
        ),
        Mistake(
            "squared_residuals",
            slope_by(lambda r, X, w: 2 / len(X) * X.T @ r**2),
            "the residual stays squared: the derivative of r^2 is 2 r",
        ),
        Mistake(
            "targets_forgotten",
            lambda w, X, y: 2 / len(X) * X.T @ (X @ w),
            "y is missing: the residual is X w - y",
        ),
        Mistake(
            "divided_by_d",
            lambda w, X, y: 2 / len(w) * X.T @ (X @ w - y),
            "you divide by the number of weights: the mean is over the examples, so divide by "
            "len(X_val)",
        ),
        Mistake(
            "mean_input",
            slope_by(lambda r, X, w: 2 * X.mean(dim=0) * r.mean()),
            "the mean of a product is not the product of the means: multiply each residual with "
            "its own row of X, then average",
        ),
        Mistake(
            "loss",
            slope_by(lambda r, X, w: (r**2).mean()),
            "that is the loss: return its gradient in w, one number for each weight",
        ),
        Mistake(
            "one_number",
            slope_by(lambda r, X, w: 2 * (X.T @ r).mean()),
            "you return one number: X^T r divided by the number of examples has one for each "
            "weight",
        ),
        Mistake("cast", single(slope), DTYPE),
    ),
    variants=(
        Variant("row by row", slope_by_rows),
        Variant("einsum", lambda w, X, y: torch.einsum("nd,n->d", X, X @ w - y) * 2 / len(y)),
        Variant("expanded", lambda w, X, y: 2 * (X.T @ X @ w - X.T @ y) / X.shape[0]),
        Variant("a mean of rows", lambda w, X, y: (2 * (X @ w - y)[:, None] * X).mean(dim=0)),
    ),
    hints=(
        "The derivative of r_i^2 in w is 2 r_i times the derivative of r_i, which is row i of X.",
        "Add this up over the rows and divide by their number: a product with X^T.",
        "2 / len(X_val) * X_val.T @ (X_val @ w - y_val).",
    ),
)


# --- The hypergradient ----------------------------------------------------------------------------


def hypergradient_by(
    weights: Callable[..., Tensor] = lambda X, y, X_val, y_val, lam: fitted(X, y, lam),
    u: Callable[..., Tensor] = lambda w, X, y, X_val, y_val: slope(w, X_val, y_val),
    H: Callable[..., Tensor] = lambda X, X_val, lam: curvature(X, lam),
    join: Callable[[Tensor, Tensor, Tensor], Any] = lambda u, H, w: (
        -u @ torch.linalg.solve(H, 2 * w)
    ),
) -> Answer:
    """The hypergradient with one of its pieces exchanged."""

    def ridge_hypergradient(X: Tensor, y: Tensor, X_val: Tensor, y_val: Tensor, lam: float) -> Any:
        data = X, y, X_val, y_val
        w = weights(*data, lam)
        return join(u(w, *data), H(X, X_val, lam), w)

    return ridge_hypergradient


def by_differences(X: Tensor, y: Tensor, X_val: Tensor, y_val: Tensor, lam: float) -> Tensor:
    """Train twice and compare: right to many digits where the closed form is at hand."""
    data = [tensor.double() for tensor in (X, y, X_val, y_val)]
    step = 1e-4

    def loss(lam: float) -> Tensor:
        w = fitted(data[0], data[1], lam)
        return ((data[2] @ w - data[3]) ** 2).mean()

    return (loss(lam + step) - loss(lam - step)) / (2 * step)


def by_response(X: Tensor, y: Tensor, X_val: Tensor, y_val: Tensor, lam: float) -> Tensor:
    """The derivative of (X^T X / N + lambda I)^-1 is minus its square: no factor 2 is left."""
    inverse = torch.linalg.inv(curvature(X, lam) / 2)
    response = -inverse @ inverse @ X.T @ y / len(X)
    return slope(fitted(X, y, lam), X_val, y_val) @ response


def adjoint_first(X: Tensor, y: Tensor, X_val: Tensor, y_val: Tensor, lam: float) -> Tensor:
    w = fitted(X, y, lam)
    q = torch.linalg.solve(curvature(X, lam), slope(w, X_val, y_val))
    return (-2 * q * w).sum()


ridge_hypergradient = Question(
    name="ridge_hypergradient",
    title="Ridge's hypergradient",
    points=3,
    reference=hypergradient_by(),
    cases=with_penalty(both_sets),
    parts=("the hypergradient",),
    needs=("ridge_weights", "validation_gradient"),
    forbidden=(NO_AUTOGRAD,),
    mistakes=(
        Mistake(
            "sign",
            hypergradient_by(join=lambda u, H, w: u @ torch.linalg.solve(H, 2 * w)),
            "the sign is wrong: H dw + 2 w dlambda = 0 gives dw/dlambda = *minus* H^-1 (2 w), as a "
            "larger penalty makes the weights shorter",
        ),
        Mistake(
            "detached",
            hypergradient_by(join=lambda u, H, w: 0 * w.sum()),
            "zero is the derivative at *fixed* weights: the validation loss depends on lambda only "
            "through w*(lambda), and that way was cut",
        ),
        Mistake(
            "half",
            hypergradient_by(join=lambda u, H, w: -u @ torch.linalg.solve(H, w)),
            "half of ours: a factor 2 is missing, in the mixed derivative 2 w of lambda w^T w, or "
            "in u; H has its own 2",
        ),
        Mistake(
            "double",
            hypergradient_by(join=lambda u, H, w: -u @ torch.linalg.solve(H, 4 * w)),
            "twice ours: H is 2 (X^T X / N + lambda I), with a 2 before both terms",
        ),
        Mistake(
            "half_and_sign",
            hypergradient_by(join=lambda u, H, w: u @ torch.linalg.solve(H, w)),
            "the sign is wrong, and a factor 2 is missing: dw/dlambda = -H^-1 (2 w), and u has a 2 "
            "as well",
        ),
        Mistake(
            "double_and_sign",
            hypergradient_by(join=lambda u, H, w: u @ torch.linalg.solve(H, 4 * w)),
            "the sign is wrong, and H lacks its 2: dw/dlambda = -H^-1 (2 w), with "
            "H = 2 (X^T X / N + lambda I)",
        ),
        Mistake(
            "validation_hessian",
            hypergradient_by(H=lambda X, X_val, lam: curvature(X_val, lam)),
            "H is that of the validation data: the weights minimise the *train* loss, so its "
            "Hessian says how they move",
        ),
        Mistake(
            "validation_hessian_alone",
            hypergradient_by(H=lambda X, X_val, lam: curvature(X_val, 0.0)),
            "H is that of the validation loss: the weights minimise the *train* loss, so its "
            "Hessian, penalty included, says how they move",
        ),
        Mistake(
            "no_penalty",
            hypergradient_by(H=lambda X, X_val, lam: curvature(X, 0.0)),
            "H lacks the penalty: the second derivative of lambda w^T w is 2 lambda I",
        ),
        Mistake(
            "penalty_without_two",
            hypergradient_by(H=lambda X, X_val, lam: curvature(X, lam / 2)),
            "the penalty's part of H is 2 lambda I: a 2 is missing there",
        ),
        Mistake(
            "errors_without_two",
            hypergradient_by(H=lambda X, X_val, lam: curvature(X, 2 * lam) / 2),
            "the errors' part of H is 2 X^T X / N: a 2 is missing there",
        ),
        Mistake(
            "summed_hessian",
            hypergradient_by(H=lambda X, X_val, lam: len(X) * curvature(X, lam / len(X))),
            "X^T X is not divided by N in H: the train loss is a mean over the examples",
        ),
        Mistake(
            "not_inverted",
            hypergradient_by(join=lambda u, H, w: -u @ (2 * w)),
            "H^-1 is missing: 2 w is how the train *gradient* changes with lambda, and the weights "
            "change by minus H^-1 times that",
        ),
        Mistake(
            "multiplied",
            hypergradient_by(join=lambda u, H, w: -u @ H @ (2 * w)),
            "you multiply by H: solve with it",
        ),
        Mistake(
            "train_gradient",
            hypergradient_by(u=lambda w, X, y, X_val, y_val: slope(w, X, y)),
            "u is taken on the training data: what should fall is the *validation* loss",
        ),
        Mistake(
            "validation_weights",
            hypergradient_by(weights=lambda X, y, X_val, y_val, lam: fitted(X_val, y_val, lam)),
            "the weights are fitted to the validation data: w* is trained on X and y",
        ),
        Mistake(
            "lambda_in_the_validation_loss",
            lambda *a: hypergradient_by(
                join=lambda u, H, w: w @ w - (u + 2 * a[4] * w) @ torch.linalg.solve(H, 2 * w)
            )(*a),
            "the validation loss got the penalty too: it is the mean squared error alone, with no "
            "lambda of its own",
        ),
        Mistake(
            "gradient_penalised",
            lambda *a: hypergradient_by(
                join=lambda u, H, w: -(u + 2 * a[4] * w) @ torch.linalg.solve(H, 2 * w)
            )(*a),
            "u contains the penalty: the validation loss is the mean squared error alone",
        ),
        Mistake(
            "response",
            hypergradient_by(join=lambda u, H, w: -torch.linalg.solve(H, 2 * w)),
            "that is dw/dlambda, a number for each weight: its product with u, the validation "
            "gradient, is still to come",
        ),
        Mistake(
            "mixed_with_lambda",
            lambda *a: hypergradient_by()(*a) * a[4],
            "the mixed derivative contains lambda: differentiate 2 lambda w in lambda, which "
            "leaves 2 w",
        ),
    ),
    variants=(
        Variant("the adjoint first", adjoint_first),
        Variant("differences", by_differences),
        Variant("the derivative of an inverse", by_response),
    ),
    hints=(
        "The gradient of the train loss is zero at w*(lambda) for each lambda. Differentiate this "
        "zero in lambda: once through w, once directly.",
        "H dw/dlambda + 2 w = 0, with H = 2 (X^T X / N + lambda I). Then multiply by the "
        "validation gradient at w*.",
        "-(u @ torch.linalg.solve(H, 2 * w)), with u = validation_gradient(w, X_val, y_val).",
    ),
)
