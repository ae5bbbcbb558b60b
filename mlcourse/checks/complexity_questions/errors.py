"""`gaussian_nll`, `class_nll` and `batch_free_energy`: what the answers cost, and the whole."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Categorical, Normal

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.complexity_questions.shared import DTYPE, IN_BITS, LN2, between
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import EXACT

HALF_LOG_TURN = math.log(2 * math.pi) / 2

MEAN = (
    "that is the mean over the examples: the free energy weighs all N errors against the weights, "
    "so add them up"
)
OVERFLOW = "exp overflows for large logits: subtract each row's maximum first, or use log_softmax"
LIKELIHOOD = (
    "the sign is wrong: that is the log likelihood, which should be high; its negative is the error"
)

# --- Real numbers ---------------------------------------------------------------------------------


def real_cases(g: Generator) -> list[tuple[Tensor, Tensor, float]]:
    """(y, f, noise): small and large noise."""
    found = []
    for n, low, high in ((6, 0.2, 0.4), (9, 0.5, 0.8), (4, 1.3, 1.9)):
        y = normal(n, generator=g, dtype=DTYPE)
        f = y + 0.6 * normal(n, generator=g, dtype=DTYPE)
        found.append((y, f, uniform(low, high, g)))
    return found


def real_by(
    square: Callable[[Tensor, float], Tensor] = lambda error, noise: error**2 / (2 * noise**2),
    log: Callable[[float, int], float] = lambda noise, n: math.log(noise),
    constant: float = HALF_LOG_TURN,
    gather: Callable[[Tensor], Any] = lambda errors: errors.sum(),
) -> Callable[[Tensor, Tensor, float], Any]:
    """The error of all examples, with one of the pieces exchanged."""

    def gaussian_nll(y: Tensor, f: Tensor, noise: float) -> Any:
        return gather(square(y - f, noise) + log(noise, len(y)) + constant)

    return gaussian_nll


def real_by_torch(y: Tensor, f: Tensor, noise: float) -> Tensor:
    return -Normal(f, noise).log_prob(y).sum()  # type: ignore[no-any-return]


def real_by_loops(y: Tensor, f: Tensor, noise: float) -> float:
    total = 0.0
    for one, other in zip(y.tolist(), f.tolist(), strict=True):
        density = math.exp(-(((one - other) / noise) ** 2) / 2) / (noise * math.sqrt(2 * math.pi))
        total -= math.log(density)
    return total


def real_by_sums(y: Tensor, f: Tensor, noise: float) -> float:
    n, variance = len(y), noise**2
    return float((y - f) @ (y - f)) / (2 * variance) + n / 2 * math.log(2 * math.pi * variance)


gaussian_nll = Question(
    name="gaussian_nll",
    title="The error of real numbers",
    points=2,
    reference=real_by(),
    cases=real_cases,
    tolerance=EXACT,
    mistakes=(
        Mistake("mean", real_by(gather=lambda errors: errors.mean()), MEAN),
        Mistake(
            "each",
            real_by(gather=lambda errors: errors),
            "those are the errors of the single examples: add them up",
        ),
        Mistake("likelihood", lambda *args: -real_by()(*args), LIKELIHOOD),
        Mistake(
            "variance",
            lambda y, f, noise: real_by()(y, f, math.sqrt(noise)),
            "noise is taken for the variance: it is the standard deviation, so square it below the "
            "squares",
        ),
        Mistake(
            "noise_not_squared",
            real_by(lambda error, noise: error**2 / (2 * noise)),
            "below the squares stands the variance, noise ** 2",
        ),
        Mistake(
            "no_half",
            real_by(lambda error, noise: error**2 / noise**2),
            "the factor 1/2 before the squares is missing",
        ),
        Mistake(
            "no_constant",
            real_by(constant=0.0),
            "the constant log(2 pi) / 2 of each example is missing",
        ),
        Mistake(
            "constant_not_halved",
            real_by(constant=2 * HALF_LOG_TURN),
            "the constant is *half* of log(2 pi): a density has the root of 2 pi in it",
        ),
        Mistake(
            "no_log",
            real_by(log=lambda noise, n: 0.0),
            "log(noise) is missing: without it a large noise would cost nothing",
        ),
        Mistake(
            "log_of_the_variance",
            real_by(log=lambda noise, n: 2 * math.log(noise)),
            "the logarithm of the variance is to be halved: log(noise)",
        ),
        Mistake(
            "log_once",
            real_by(log=lambda noise, n: math.log(noise) / n),
            "log(noise) is counted once: each of the N examples has its own",
        ),
        Mistake(
            "logs_once",
            lambda y, f, noise: (
                ((y - f) ** 2).sum() / (2 * noise**2) + math.log(noise) + HALF_LOG_TURN
            ),
            "log(noise) and the constant are counted once: each of the N examples has them",
        ),
        Mistake(
            "squares_alone",
            lambda y, f, noise: ((y - f) ** 2).sum(),
            "those are squares alone: the noise says how much a square costs",
        ),
        Mistake("bits", lambda *args: real_by()(*args) / LN2, IN_BITS),
    ),
    variants=(
        Variant("torch's distribution", real_by_torch),
        Variant("densities", real_by_loops),
        Variant("sums", real_by_sums),
    ),
    hints=(
        "Minus the logarithm of the density of N(f, noise ** 2) at y, for each example; then their "
        "sum.",
        "Each example has (y - f) ** 2 / (2 noise ** 2), log(noise) and log(2 pi) / 2.",
        "((y - f) ** 2 / (2 * noise ** 2) + math.log(noise) + math.log(2 * math.pi) / 2).sum()",
    ),
)


# --- Classes --------------------------------------------------------------------------------------


def class_cases(g: Generator) -> list[tuple[Tensor, Tensor]]:
    """(logits, labels): more examples than classes, as many, and logits too large for exp."""
    found = []
    for n, k, shift in ((6, 3, 0.0), (4, 4, 0.0), (5, 2, 900.0)):
        logits = 1.5 * normal(n, k, generator=g, dtype=DTYPE) + shift
        found.append((logits, torch.randint(k, (n,), generator=g)))
    return found


def of_labels(values: Tensor, labels: Tensor) -> Tensor:
    return values[torch.arange(len(labels)), labels]


def class_by(
    log: Callable[[Tensor], Tensor] = lambda logits: logits.log_softmax(1),
    gather: Callable[[Tensor], Any] = lambda errors: errors.sum(),
) -> Callable[[Tensor, Tensor], Any]:
    """The error of all examples, with one of the pieces exchanged."""
    return lambda logits, labels: gather(-of_labels(log(logits), labels))


def class_by_torch(logits: Tensor, labels: Tensor) -> Tensor:
    return torch.nn.functional.cross_entropy(logits, labels, reduction="sum")


def class_by_loops(logits: Tensor, labels: Tensor) -> float:
    total = 0.0
    for row, label in zip(logits.tolist(), labels.tolist(), strict=True):
        top = max(row)
        total += top + math.log(sum(math.exp(z - top) for z in row)) - row[label]
    return total


def class_by_distribution(logits: Tensor, labels: Tensor) -> Tensor:
    return -Categorical(logits=logits).log_prob(labels).sum()  # type: ignore[no-any-return]


class_nll = Question(
    name="class_nll",
    title="The error of classes",
    points=1,
    reference=class_by(),
    cases=class_cases,
    tolerance=EXACT,
    mistakes=(
        Mistake("mean", class_by(gather=lambda errors: errors.mean()), MEAN),
        Mistake(
            "each",
            class_by(gather=lambda errors: errors),
            "those are the errors of the single examples: add them up",
        ),
        Mistake("likelihood", lambda *args: -class_by()(*args), LIKELIHOOD),
        Mistake(
            "no_max_shift",
            class_by(lambda logits: (logits.exp() / logits.exp().sum(1, keepdim=True)).log()),
            OVERFLOW,
        ),
        Mistake(
            "log_sum_overflows",
            class_by(lambda logits: logits - logits.exp().sum(1, keepdim=True).log()),
            OVERFLOW,
        ),
        Mistake(
            "no_log",
            class_by(lambda logits: logits.softmax(1)),
            "you add up probabilities: their logarithms are what adds up",
        ),
        Mistake(
            "no_softmax",
            class_by(lambda logits: logits),
            "the logits are not probabilities yet: take the log softmax of each row",
        ),
        Mistake(
            "softmax_twice",
            class_by(lambda logits: logits.softmax(1).log_softmax(1)),
            "softmax is applied twice: log_softmax wants the logits themselves",
        ),
        Mistake(
            "over_examples",
            class_by(lambda logits: logits.log_softmax(0)),
            "the softmax runs over the examples: the classes are in dimension 1",
        ),
        Mistake(
            "log_of_the_mean",
            lambda logits, labels: -of_labels(logits.softmax(1), labels).mean().log() * len(labels),
            "you take the logarithm of a mean probability: each example's logarithm first, then "
            "the sum",
        ),
        Mistake(
            "wrong_ones",
            lambda logits, labels: (logits.argmax(1) != labels).sum(),
            "that is the number of wrong classes: the error is minus the log probability of the "
            "right ones",
        ),
        Mistake("bits", lambda *args: class_by()(*args) / LN2, IN_BITS),
    ),
    variants=(
        Variant("torch's cross entropy", class_by_torch),
        Variant("loops", class_by_loops),
        Variant("torch's distribution", class_by_distribution),
    ),
    hints=(
        "The log softmax of each row; from it the entry of the label; minus; the sum.",
        "log_probabilities[torch.arange(N), labels] picks one entry from each row.",
        'torch.nn.functional.cross_entropy takes a mean, unless you tell it reduction="sum".',
    ),
)


# --- The free energy, from a mini-batch -----------------------------------------------------------


def energy_cases(g: Generator) -> list[tuple[Tensor, float, int]]:
    """(errors, kl, N): small batches, and all examples at once."""
    return [
        (between(0.2, 2.5, batch, g=g), uniform(3.0, 9.0, g), n)
        for batch, n in ((8, 200), (5, 60), (12, 12))
    ]


def energy_by(
    error: Callable[[Tensor, int], Any] = lambda errors, n: n * errors.mean(),
    price: Callable[[float, int, int], float] = lambda kl, batch, n: kl,
) -> Callable[[Tensor, float, int], Any]:
    """Both terms, with one of them exchanged."""
    return lambda errors, kl, N: error(errors, N) + price(kl, len(errors), N)


def energy_by_loops(errors: Tensor, kl: float, N: int) -> float:
    total = 0.0
    for one in errors.tolist():
        total += one
    return total * N / len(errors) + kl


batch_free_energy = Question(
    name="batch_free_energy",
    title="The free energy of a mini-batch",
    points=2,
    reference=energy_by(),
    cases=energy_cases,
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "minus_kl",
            energy_by(price=lambda kl, batch, n: -kl),
            "KL is subtracted: both are costs, so they are added; what is to be *high*, the bound "
            "on the log evidence, is minus all of it",
        ),
        Mistake(
            "bound",
            lambda *args: -energy_by()(*args),
            "that is minus F, the bound on the log evidence: F itself is to be low, error *plus* "
            "KL",
        ),
        Mistake(
            "kl_scaled",
            energy_by(price=lambda kl, batch, n: kl * n / batch),
            "KL is multiplied by N / B as well: the weights are paid for once, however many "
            "batches there are; only the errors stand for N examples",
        ),
        Mistake(
            "kl_times_n",
            energy_by(price=lambda kl, batch, n: kl * n),
            "KL is multiplied by N: the weights are paid for once, not for each example",
        ),
        Mistake(
            "kl_divided",
            energy_by(price=lambda kl, batch, n: kl / n),
            "KL is divided by N, but the errors are those of all N: divide both or none, and F "
            "itself is without",
        ),
        Mistake(
            "kl_of_the_batch",
            energy_by(price=lambda kl, batch, n: kl * batch / n),
            "KL is cut to the batch's share, but the errors are those of all N: cut both or none, "
            "and F itself is whole",
        ),
        Mistake(
            "batch_alone",
            energy_by(lambda errors, n: errors.sum()),
            "the batch stands for itself alone: B errors against all weights would prune too much, "
            "so scale the errors by N / B",
        ),
        Mistake(
            "mean",
            energy_by(lambda errors, n: errors.mean()),
            "the errors are a mean: one example against all weights would prune nearly everything; "
            "the errors of all N are N times the mean",
        ),
        Mistake(
            "per_example",
            lambda errors, kl, N: errors.mean() + kl / N,
            "that is F / N, a good loss to descend: F itself is N times that",
        ),
        Mistake(
            "batchs_share",
            lambda errors, kl, N: errors.sum() + kl * len(errors) / N,
            "that is the batch's share of F, B / N of it: here F for all N examples is asked for",
        ),
        Mistake(
            "upside_down",
            energy_by(lambda errors, n: errors.sum() * len(errors) / n),
            "the factor is upside down: the batch stands for more examples than it has, N / B",
        ),
        Mistake(
            "times_n",
            energy_by(lambda errors, n: errors.sum() * n),
            "the *sum* of the batch is multiplied by N: multiply its mean, or the sum by N / B",
        ),
        Mistake(
            "no_kl",
            energy_by(price=lambda kl, batch, n: 0.0),
            "those are the errors alone: the weights have to be paid for as well, + kl",
        ),
    ),
    variants=(
        Variant("a sum, scaled", lambda errors, kl, N: N / len(errors) * errors.sum() + kl),
        Variant("N times the loss", lambda errors, kl, N: N * (errors.mean() + kl / N)),
        Variant("loops", energy_by_loops),
    ),
    hints=(
        "F is the error of all N examples plus the price of all weights. Which of the two does a "
        "batch of B examples change?",
        "The mean error of the batch stands for that of all N: N times the mean.",
        "N / len(errors) * errors.sum() + kl.",
    ),
)
