"""`cross_entropy`: the loss from logits, by log-sum-exp."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional

from mlcourse import mlp
from mlcourse.checks.by_hand_questions.shared import draw_labels, normal
from mlcourse.checks.declare import Mistake, Question, Variant


def cases(g: Generator) -> list[tuple[Tensor, Tensor]]:
    """Ordinary logits; then logits of about 1000, and rows that lie 2000 apart."""
    found = []
    for N, C, dtype in (
        (5, 2, torch.float32),
        (8, 3, torch.float64),
        (1, 4, torch.float64),
        (6, 6, torch.float32),
    ):
        logits = 2 * normal(N, C, generator=g, dtype=dtype)
        found.append((logits, draw_labels(N, C, g, dtype)))
    for N, C, dtype in ((5, 3, torch.float64), (4, 4, torch.float32)):
        logits = 1000 + 40 * normal(N, C, generator=g, dtype=dtype)
        found.append((logits, draw_labels(N, C, g, dtype)))
    logits, Y = found[1]
    rows = torch.linspace(-1000, 1000, len(logits), dtype=logits.dtype)
    found.append((logits + rows[:, None], Y))
    logits, Y = found[4]
    # The true class is hopeless in the first row: its probability underflows, its loss is large.
    found.append((torch.where(Y.bool() & (torch.arange(len(Y)) == 0)[:, None], -1e4, logits), Y))
    return found


def log_sum_exp(logits: Tensor) -> Tensor:
    return logits.logsumexp(dim=1)


def true_logit(logits: Tensor, Y: Tensor) -> Tensor:
    return (Y * logits).sum(dim=1)


def by(
    total: Callable[[Tensor], Tensor] = log_sum_exp,
    true: Callable[[Tensor, Tensor], Tensor] = true_logit,
    reduce: Callable[[Tensor], Tensor] = torch.mean,
) -> Callable[[Tensor, Tensor], Tensor]:
    """A cross-entropy with one of its pieces exchanged."""
    return lambda logits, Y: reduce(total(logits) - true(logits, Y))


def top(logits: Tensor) -> Tensor:
    return logits.amax(dim=1, keepdim=True)


def unshifted(logits: Tensor) -> Tensor:
    return logits.exp().sum(dim=1).log()


def not_shifted_back(logits: Tensor) -> Tensor:
    return (logits - top(logits)).exp().sum(dim=1).log()


def shifted_away(logits: Tensor) -> Tensor:
    return not_shifted_back(logits) - top(logits)[:, 0]


def shifted_by_batch(logits: Tensor) -> Tensor:
    return (logits - logits.max()).exp().sum(dim=1).log() + logits.max()


def over_examples(logits: Tensor) -> Tensor:
    return logits.logsumexp(dim=0).mean()


def log_of_softmax(logits: Tensor, Y: Tensor) -> Tensor:
    return -(Y * torch.softmax(logits, dim=1).log()).sum(dim=1).mean()


def clamped(least: float) -> Callable[[Tensor, Tensor], Tensor]:
    def cross_entropy(logits: Tensor, Y: Tensor) -> Tensor:
        yhat = torch.softmax(logits, dim=1).clamp(min=least)
        return -(Y * yhat.log()).sum(dim=1).mean()

    return cross_entropy


def by_hand(logits: Tensor, Y: Tensor) -> float:
    total = 0.0
    for row, target in zip(logits.tolist(), Y.tolist(), strict=True):
        m = max(row)
        total += m + math.log(sum(math.exp(value - m) for value in row))
        total -= sum(y * value for y, value in zip(target, row, strict=True))
    return total / len(logits)


def by_picking(logits: Tensor, Y: Tensor) -> Tensor:
    shifted = logits - logits.max(dim=1, keepdim=True).values
    picked = shifted[range(len(Y)), Y.argmax(dim=1)]
    return (shifted.exp().sum(dim=1).log() - picked).mean()


CLAMPED = (
    "a hopeless prediction costs too little: its probability underflows to 0 and the clamp hides "
    "that; compute from the logits, log sum_j exp(y~_j) - sum_i y_i y~_i"
)

cross_entropy = Question(
    name="cross_entropy",
    title="Cross-entropy from logits",
    points=2,
    reference=mlp.cross_entropy,
    cases=cases,
    parts=("the loss",),
    mistakes=(
        Mistake(
            "softmax_twice",
            lambda logits, Y: functional.cross_entropy(torch.softmax(logits, dim=1), Y),
            "softmax is applied twice: the log-sum-exp form contains it, so give it the logits "
            "as they are",
        ),
        Mistake(
            "no_max_shift",
            by(total=unshifted),
            "exp overflows at logits of about 1000: take each row's maximum m off first, "
            "log sum_j exp(y~_j) = m + log sum_j exp(y~_j - m)",
        ),
        Mistake(
            "max_of_batch",
            by(total=shifted_by_batch),
            "you shift all rows by one maximum, so a row of much smaller logits becomes log(0): "
            "take off each row's own, .amax(dim=1, keepdim=True)",
        ),
        Mistake(
            "not_shifted_back",
            by(total=not_shifted_back),
            "the maximum is taken off and not added again: "
            "log sum_j exp(y~_j) = m + log sum_j exp(y~_j - m)",
        ),
        Mistake(
            "shifted_away",
            by(total=shifted_away),
            "the maximum is taken off twice: add it after the logarithm, "
            "m + log sum_j exp(y~_j - m)",
        ),
        Mistake(
            "log_of_softmax",
            log_of_softmax,
            "softmax underflows to 0 and log(0) is infinite: do not go through probabilities, "
            "compute log sum_j exp(y~_j) - sum_i y_i y~_i",
        ),
        *(
            Mistake(f"clamped_{exponent}", clamped(10.0**-exponent), CLAMPED)
            for exponent in (6, 7, 8, 9, 10, 12, 15, 20, 30)
        ),
        Mistake(
            "log_of_logits",
            lambda logits, Y: -(Y * logits.log()).sum(dim=1).mean(),
            "you take the logarithm of logits, which may be negative: they are not probabilities",
        ),
        Mistake(
            "summed",
            by(reduce=torch.sum),
            "the loss is the sum over the batch: return the mean over the N examples",
        ),
        Mistake(
            "mean_over_classes_too",
            lambda logits, Y: -(Y * mlp.log_softmax(logits)).mean(),
            "the loss is divided by N n_y: sum over the classes, then take the mean over the N "
            "examples",
        ),
        Mistake(
            "per_example",
            by(reduce=lambda losses: losses),
            "the loss has one number for each example: return their mean",
        ),
        Mistake(
            "sign",
            lambda logits, Y: -mlp.cross_entropy(logits, Y),
            "the loss has the wrong sign: it is log sum_j exp(y~_j) minus the true class' logit",
        ),
        Mistake(
            "no_true_logit",
            by(true=lambda logits, Y: torch.zeros(len(Y), dtype=logits.dtype)),
            "the targets play no part: subtract the true class' logit, sum_i y_i y~_i",
        ),
        Mistake(
            "no_log_sum_exp",
            by(total=lambda logits: torch.zeros(len(logits), dtype=logits.dtype)),
            "the term log sum_j exp(y~_j) is missing: without it the loss has no lower end",
        ),
        Mistake(
            "over_examples",
            by(total=over_examples),
            "you sum exp over the examples: the sum is over the classes of one row, dim=1",
        ),
    ),
    variants=(
        Variant("in loops, a Python number", by_hand),
        Variant("picks from the shifted logits", by_picking),
        Variant("torch's own", lambda logits, Y: functional.cross_entropy(logits, Y)),
        Variant(
            "log_softmax and an inner product",
            lambda logits, Y: -torch.einsum("nk,nk->", Y, logits.log_softmax(dim=1)) / len(Y),
        ),
    ),
    hints=(
        "Put softmax into -sum_i y_i log yhat_i: the logarithm of a quotient is a difference, and "
        "the y_i sum to 1.",
        "The loss of a row is log sum_j exp(y~_j) - sum_i y_i y~_i.",
        "With m the row's maximum, log sum_j exp(y~_j) = m + log sum_j exp(y~_j - m), and no "
        "exponent is above 0.",
    ),
)
