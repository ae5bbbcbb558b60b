"""`code_lengths` and `log_evidence`: how many bits a model needs, fitted or averaged."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.distributions import MultivariateNormal

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.complexity_questions.errors import HALF_LOG_TURN, real_by
from mlcourse.checks.complexity_questions.shared import (
    DTYPE,
    IN_BITS,
    LN2,
    NATS,
    between,
)
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.pso_questions.shared import use_array
from mlcourse.checks.search_basics_questions.shared import EXACT

# --- A code in two parts --------------------------------------------------------------------------


def code_cases(g: Generator) -> list[tuple[Tensor, Tensor, float, int]]:
    """(x, y, noise, most): points of a parabola with noise."""
    found = []
    for n, most in ((14, 4), (20, 3), (9, 2)):
        x = between(-1.0, 1.0, n, g=g)
        noise = uniform(0.2, 0.4, g)
        y = 1.0 - x + 1.5 * x**2 + noise * normal(n, generator=g, dtype=DTYPE)
        found.append((x, y, noise, most))
    return found


def fitted(x: Tensor, y: Tensor, degree: int) -> Tensor:
    """The polynomial's answers at x."""
    X = x[:, None] ** torch.arange(degree + 1)
    return X @ torch.linalg.lstsq(X, y[:, None]).solution[:, 0]


def code_by(
    error: Callable[[Tensor, Tensor, float], Any] = real_by(),  # noqa: B008
    price: Callable[[int, int], float] = lambda k, n: k / 2 * math.log(n),
    join: Callable[[float, float], float] = lambda error, price: (error + price) / LN2,
    fit: Callable[[Tensor, Tensor, int], Tensor] = fitted,
) -> Callable[[Tensor, Tensor, float, int], Any]:
    """Both parts for each degree, with one of the pieces exchanged."""

    def code_lengths(x: Tensor, y: Tensor, noise: float, most: int) -> Any:
        return torch.tensor(
            [
                join(float(error(y, fit(x, y, degree), noise)), price(degree + 1, len(x)))
                for degree in range(most + 1)
            ],
            dtype=DTYPE,
        )

    return code_lengths


def code_by_numpy(x: Tensor, y: Tensor, noise: float, most: int) -> Any:
    places, values, found = x.numpy(), y.numpy(), []
    for degree in range(most + 1):
        rest = values - np.polyval(np.polyfit(places, values, degree), places)
        nats = (rest**2).sum() / (2 * noise**2) + len(x) * math.log(noise * math.sqrt(2 * math.pi))
        found.append(nats / math.log(2) + (degree + 1) / 2 * math.log2(len(x)))
    return np.array(found)


def code_by_legendre(x: Tensor, y: Tensor, noise: float, most: int) -> Any:
    found = []
    for degree in range(most + 1):
        fit = np.polynomial.Legendre.fit(x.numpy(), y.numpy(), degree)
        error = real_by()(y, torch.from_numpy(fit(x.numpy())), noise)
        found.append(float((error + 0.5 * (degree + 1) * math.log(len(x))) / LN2))
    return found


def code_by_projection(x: Tensor, y: Tensor, noise: float, most: int) -> Any:
    """The powers made orthogonal one by one, so that each fit goes on from the last."""
    rest, found = y.clone(), []
    basis: list[Tensor] = []
    for degree in range(most + 1):
        power = x**degree
        for _ in range(2):  # twice, for rounding
            for other in basis:
                power = power - (power @ other) * other
        basis.append(power / power.norm())
        rest = rest - (rest @ basis[-1]) * basis[-1]
        nats = real_by()(rest, torch.zeros_like(rest), noise)
        found.append((nats + (degree + 1) / 2 * math.log(len(x))) / LN2)
    return torch.stack(found)


code_lengths = Question(
    name="code_lengths",
    title="A code in two parts",
    points=3,
    reference=code_by(),
    cases=code_cases,
    use=use_array,
    parts=("the code lengths",),
    needs=("gaussian_nll",),
    mistakes=(
        Mistake("nats", code_by(join=lambda error, price: error + price), NATS),
        Mistake(
            "times_ln2",
            code_by(join=lambda error, price: (error + price) * LN2),
            "you multiply by ln 2: a nat is 1.44 bits, so divide by it",
        ),
        Mistake(
            "half_converted",
            code_by(join=lambda error, price: error + price / LN2),
            "the errors are in nats and the parameters in bits: divide both by ln 2",
        ),
        Mistake(
            "other_half_converted",
            code_by(join=lambda error, price: error / LN2 + price),
            "the errors are in bits and the parameters in nats: divide both by ln 2 (log2(N) is in "
            "bits already)",
        ),
        Mistake(
            "degree_for_k",
            code_by(price=lambda k, n: (k - 1) / 2 * math.log(n)),
            "a polynomial of degree d has d + 1 parameters: the constant has to be told too",
        ),
        Mistake(
            "not_halved",
            code_by(price=lambda k, n: k * math.log(n)),
            "a parameter costs *half* of log N: it is known to about 1 / sqrt(N) only, and more "
            "digits would be wasted",
        ),
        Mistake(
            "no_log",
            code_by(price=lambda k, n: float(k)),
            "each parameter costs 1 nat whatever N is: its price is half of log N",
        ),
        Mistake(
            "errors_alone",
            code_by(price=lambda k, n: 0.0),
            "the parameters are free: then the highest degree always wins; add (k / 2) log N",
        ),
        Mistake(
            "subtracted",
            code_by(join=lambda error, price: (error - price) / LN2),
            "the price of the parameters is subtracted: whoever receives the message needs both "
            "parts, so add them",
        ),
        Mistake(
            "mean",
            code_by(real_by(gather=lambda errors: errors.mean())),
            "the errors are a mean over the examples: all N answers have to be told, so their sum "
            "counts",
        ),
        Mistake(
            "likelihood",
            code_by(lambda y, f, noise: -real_by()(y, f, noise)),
            "the errors have the wrong sign: a code is *minus* the log probability",
        ),
        Mistake(
            "one_fit",
            lambda x, y, noise, most: code_by(fit=lambda x, y, degree: fitted(x, y, most))(
                x, y, noise, most
            ),
            "all degrees have the errors of the highest one: fit each degree by itself",
        ),
        Mistake(
            "no_zero",
            lambda *args: code_by()(*args)[1:],
            "degree 0, a constant, is missing: there are most + 1 degrees",
        ),
        Mistake(
            "one_too_few",
            lambda *args: code_by()(*args)[:-1],
            "the highest degree is missing: range(most + 1)",
        ),
        Mistake(
            "best_alone",
            lambda *args: code_by()(*args).argmin(),
            "that is the degree with the shortest code: return the lengths of all degrees",
        ),
    ),
    variants=(
        Variant("NumPy", code_by_numpy),
        Variant("Legendre polynomials", code_by_legendre),
        Variant("projections", code_by_projection),
    ),
    hints=(
        "For each degree from 0 to most: fit, take gaussian_nll of the fit, add the price of its "
        "parameters, and change to bits.",
        "np.polyfit(x, y, degree) and np.polyval(coefficients, x) fit by least squares. There are "
        "degree + 1 coefficients.",
        "(gaussian_nll(y, fit, noise) + (degree + 1) / 2 * math.log(len(x))) / math.log(2)",
    ),
)


# --- The evidence ---------------------------------------------------------------------------------


def evidence_cases(g: Generator) -> list[tuple[Tensor, Tensor, float, float]]:
    """(X, y, noise, precision): more weights than examples, so that X X^T can be inverted."""
    found = []
    for n, d in ((4, 7), (3, 5), (5, 9)):
        X = normal(n, d, generator=g, dtype=DTYPE)
        noise, precision = uniform(0.3, 0.7, g), uniform(0.3, 3.0, g)
        w = normal(d, generator=g, dtype=DTYPE) / precision**0.5
        y = X @ w + noise * normal(n, generator=g, dtype=DTYPE)
        found.append((X, y, noise, precision))
    return found


def covariance(X: Tensor, noise: float, precision: float) -> Tensor:
    return noise**2 * torch.eye(len(X), dtype=X.dtype) + X @ X.T / precision


def evidence_by(
    of: Callable[[Tensor, float, float], Tensor] = covariance,
    square: float = 0.5,
    volume: float = 0.5,
    constant: float = HALF_LOG_TURN,
) -> Callable[[Tensor, Tensor, float, float], Any]:
    """The evidence with one of its pieces exchanged."""

    def log_evidence(X: Tensor, y: Tensor, noise: float, precision: float) -> Any:
        C = of(X, noise, precision)
        fit = y @ torch.linalg.solve(C, y)
        return -square * fit - volume * torch.logdet(C) - constant * len(y)

    return log_evidence


def best_fit(X: Tensor, y: Tensor, noise: float, precision: float) -> Any:
    """The log likelihood of the most probable weights."""
    A = X.T @ X / noise**2 + precision * torch.eye(X.shape[1], dtype=X.dtype)
    w = torch.linalg.solve(A, X.T @ y) / noise**2
    return -real_by()(y, X @ w, noise)


def diagonal_alone(X: Tensor, noise: float, precision: float) -> Tensor:
    return covariance(X, noise, precision).diagonal().diag()


def evidence_by_torch(X: Tensor, y: Tensor, noise: float, precision: float) -> Tensor:
    gaussian = MultivariateNormal(torch.zeros_like(y), covariance(X, noise, precision))
    return gaussian.log_prob(y)  # type: ignore[no-any-return]


def evidence_by_weights(X: Tensor, y: Tensor, noise: float, precision: float) -> Tensor:
    """In the space of the weights: the best fit, minus what it costs to know the weights."""
    n, d = X.shape
    A = X.T @ X / noise**2 + precision * torch.eye(d, dtype=X.dtype)
    w = torch.linalg.solve(A, X.T @ y) / noise**2
    error = (y - X @ w).square().sum() / (2 * noise**2) + precision * (w @ w) / 2
    volume = torch.logdet(A) / 2 - d / 2 * math.log(precision) + n * math.log(noise)
    return -error - volume - n * HALF_LOG_TURN


def evidence_one_by_one(X: Tensor, y: Tensor, noise: float, precision: float) -> Any:
    """Each answer predicted from those before it."""
    m = torch.zeros(X.shape[1], dtype=X.dtype)
    S = torch.eye(X.shape[1], dtype=X.dtype) / precision
    total = 0.0
    for x, answer in zip(X, y, strict=True):
        variance = noise**2 + x @ S @ x
        error = answer - x @ m
        total -= float(error**2 / variance + variance.log()) / 2 + HALF_LOG_TURN
        gain = S @ x / variance
        m, S = m + gain * error, S - torch.outer(gain, S @ x)
    return total


log_evidence = Question(
    name="log_evidence",
    title="The evidence of a linear model",
    points=3,
    reference=evidence_by(),
    cases=evidence_cases,
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "precision_for_variance",
            evidence_by(lambda X, noise, precision: covariance(X, noise, 1 / precision)),
            "the precision is taken for the weights' variance: that is 1 over the precision, so "
            "*divide* X X^T by it",
        ),
        Mistake(
            "precision_for_width",
            evidence_by(lambda X, noise, precision: covariance(X, noise, precision**2)),
            "the precision is 1 over the *variance* of a weight: do not square it",
        ),
        Mistake(
            "noise_not_squared",
            evidence_by(lambda X, noise, precision: covariance(X, noise**0.5, precision)),
            "the noise on the diagonal is not squared: noise is the standard deviation, and a "
            "covariance holds variances",
        ),
        Mistake(
            "noise_everywhere",
            evidence_by(lambda X, noise, precision: noise**2 + X @ X.T / precision),
            "the noise is added to every entry: each answer has noise of its own, so it stands on "
            "the diagonal alone, noise ** 2 times torch.eye(N)",
        ),
        Mistake(
            "diagonal_alone",
            evidence_by(diagonal_alone),
            "each answer is judged by itself: all share one set of weights, so they are "
            "correlated, by X X^T / precision",
        ),
        Mistake(
            "no_weights",
            evidence_by(lambda X, noise, precision: covariance(0 * X, noise, precision)),
            "X is left out of the covariance: y scatters by its noise *and* by the unknown weights",
        ),
        Mistake(
            "best_fit",
            best_fit,
            "that is the log likelihood of the most probable weights: the evidence averages over "
            "all weights of the prior, and so charges for having many",
        ),
        Mistake(
            "negative",
            lambda *args: -evidence_by()(*args),
            "the sign is wrong: that is the code length in nats, minus the log evidence",
        ),
        Mistake(
            "square_not_halved",
            evidence_by(square=1.0),
            "the factor 1/2 before y^T C^-1 y is missing",
        ),
        Mistake(
            "volume_not_halved",
            evidence_by(volume=1.0),
            "the factor 1/2 before the log determinant is missing",
        ),
        Mistake(
            "no_volume",
            evidence_by(volume=0.0),
            "the log determinant is missing: it is what a model pays for being able to say much",
        ),
        Mistake(
            "volume_added",
            evidence_by(volume=-0.5),
            "the log determinant has the wrong sign: a model that could say much must spread its "
            "probability thin",
        ),
        Mistake(
            "no_constant",
            evidence_by(constant=0.0),
            "the constant is missing: - (N / 2) log(2 pi)",
        ),
        Mistake("bits", lambda *args: evidence_by()(*args) / LN2, IN_BITS),
    ),
    variants=(
        Variant("torch's", evidence_by_torch),
        Variant("in the space of weights", evidence_by_weights),
        Variant("one by one", evidence_one_by_one),
    ),
    hints=(
        "y is a sum of Gaussians, X w and noise, so it is one itself. What is its covariance, "
        "(N, N)?",
        "C = noise ** 2 * torch.eye(N) + X @ X.T / precision, in float64 as X is.",
        "-(y @ torch.linalg.solve(C, y) + torch.logdet(C) + N * math.log(2 * math.pi)) / 2",
    ),
)
