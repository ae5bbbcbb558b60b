"""`l1_penalty`, `l2_penalty` and `elastic_net_penalty`: values that autograd can follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.regularisation_questions.shared import (
    FIRST_ALONE,
    LAST_ALONE,
    MATRICES_ALONE,
    NO_GRADIENT,
    NO_STRENGTH,
    joined,
    lists,
    use_penalty,
)

Weights = Sequence[Tensor]

STRENGTHS = (0.03, 0.5, 1.7, 0.2)


def cases(g: Generator) -> list[tuple[list[Tensor], float]]:
    """(weights, lam): lists of one to three tensors."""
    return list(zip(lists(g), STRENGTHS, strict=True))


def two_strengths(g: Generator) -> list[tuple[list[Tensor], float, float]]:
    """(weights, l1, l2): both strengths positive, and each alone."""
    pairs = ((0.03, 0.4), (0.6, 0.1), (1.3, 0.0), (0.0, 0.7))
    return [(weights, *pair) for weights, pair in zip(lists(g), pairs, strict=True)]


def penalty(
    of: Callable[[Tensor], Tensor],
    gather: Callable[[list[Tensor]], Any] = sum,
    choose: Callable[[Weights], Weights] = lambda weights: weights,
    factor: Callable[[float], float] = lambda lam: lam,
) -> Callable[[Weights, float], Any]:
    """A penalty that is gathered from what each tensor gives."""
    return lambda weights, lam: factor(lam) * gather([of(w) for w in choose(weights)])


def whole(of: Callable[[Tensor], Tensor]) -> Callable[[Weights, float], Tensor]:
    """A penalty on all entries as one vector."""
    return lambda weights, lam: lam * of(joined(weights))


def l1(w: Tensor) -> Tensor:
    return w.abs().sum()


def l2(w: Tensor) -> Tensor:
    return w.square().sum()


def mean(values: list[Tensor]) -> Tensor:
    return torch.stack(values).mean()


def matrices(weights: Weights) -> Weights:
    """All but the vectors; vectors alone if there is nothing else."""
    return [w for w in weights if w.dim() > 1] or weights


def detached(of: Callable[[Tensor], Tensor]) -> Callable[[Weights, float], float]:
    return lambda weights, lam: lam * sum(of(w).item() for w in weights)


def l1_by_loops(weights: Weights, lam: float) -> Tensor:
    total = torch.zeros((), dtype=weights[0].dtype)
    for w in weights:
        for value in w.reshape(-1):
            total = total + torch.where(value < 0, -value, value)
    return lam * total


def l1_by_signs(weights: Weights, lam: float) -> Tensor:
    return lam * torch.stack([(w * w.sign()).sum() for w in weights]).sum()


l1_penalty = Question(
    name="l1_penalty",
    title="The L1 penalty",
    points=1,
    reference=penalty(l1),
    cases=cases,
    use=use_penalty,
    mistakes=(
        Mistake("detached", detached(l1), NO_GRADIENT),
        Mistake(
            "mean",
            whole(lambda w: w.abs().mean()),
            "you take the mean over all weights: the penalty is their sum",
        ),
        Mistake(
            "mean_of_each",
            penalty(lambda w: w.abs().mean()),
            "you take the mean over each tensor: add up |w| over all entries",
        ),
        Mistake(
            "mean_of_sums",
            penalty(l1, gather=mean),
            "you divide by the number of tensors: the penalty is the sum over all of them",
        ),
        Mistake(
            "squares",
            penalty(l2),
            "these are squares, the L2 penalty: L1 adds up absolute values",
        ),
        Mistake(
            "euclidean",
            penalty(lambda w: w.norm()),
            "w.norm() is the root of the sum of squares: L1 adds up absolute values",
        ),
        Mistake(
            "euclidean_of_all",
            whole(lambda w: w.norm()),
            "that is the Euclidean norm of all the weights: L1 adds up absolute values",
        ),
        Mistake(
            "signed",
            penalty(lambda w: w.sum()),
            "the absolute value is missing, so weights of -5 and 5 would cancel: add up |w|",
        ),
        Mistake(
            "absolute_sum",
            penalty(lambda w: w.sum().abs()),
            "you take the absolute value of a sum, in which weights of -5 and 5 cancel: take |w| "
            "first, then add up",
        ),
        Mistake(
            "columns",
            penalty(lambda w: w.abs().sum(dim=0).max()),
            "that is the matrix norm, the largest of the columns' sums: add up |w| over all "
            "entries",
        ),
        Mistake("no_lam", penalty(l1, factor=lambda lam: 1.0), NO_STRENGTH),
        Mistake(
            "half",
            penalty(l1, factor=lambda lam: lam / 2),
            "your penalty is half of ours: there is no factor 1/2 in it",
        ),
        Mistake("first_alone", penalty(l1, choose=lambda weights: weights[:1]), FIRST_ALONE),
        Mistake("last_alone", penalty(l1, choose=lambda weights: weights[-1:]), LAST_ALONE),
        Mistake("matrices_alone", penalty(l1, choose=matrices), MATRICES_ALONE),
    ),
    variants=(
        Variant("entry by entry", l1_by_loops),
        Variant("times the signs", l1_by_signs),
        Variant("all in one vector", whole(lambda w: w.abs().sum())),
        Variant("torch's 1-norm", penalty(lambda w: torch.linalg.vector_norm(w, ord=1))),
    ),
    hints=(
        "For one tensor: w.abs().sum(). For the list: add these up.",
        "sum(w.abs().sum() for w in weights) is a tensor that autograd can follow. Leave it one.",
        "Do not forget lam.",
    ),
)


def l2_by_products(weights: Weights, lam: float) -> Tensor:
    return reduce(torch.add, [torch.dot(w.flatten(), w.flatten()) for w in weights]) * lam


l2_penalty = Question(
    name="l2_penalty",
    title="The L2 penalty",
    points=1,
    reference=penalty(l2),
    cases=cases,
    use=use_penalty,
    mistakes=(
        Mistake(
            "norm",
            whole(lambda w: w.norm()),
            "you take the norm: ridge takes the *squared* norm, the sum of squares without the "
            "root",
        ),
        Mistake(
            "norms",
            penalty(lambda w: w.norm()),
            "you add up the norms of the tensors: ridge takes the *squared* norm, the sum of all "
            "squares without a root",
        ),
        Mistake(
            "half",
            penalty(l2, factor=lambda lam: lam / 2),
            "you have the factor lam/2, as many texts do: here it is lam, so the gradient is "
            "2 lam w",
        ),
        Mistake(
            "mean",
            whole(lambda w: w.square().mean()),
            "you take the mean of the squares: the penalty is their sum",
        ),
        Mistake(
            "mean_of_each",
            penalty(lambda w: w.square().mean()),
            "you take the mean over each tensor: add up the squares of all entries",
        ),
        Mistake(
            "mean_of_sums",
            penalty(l2, gather=mean),
            "you divide by the number of tensors: the penalty is the sum over all of them",
        ),
        Mistake(
            "absolute",
            penalty(l1),
            "these are absolute values, the L1 penalty: L2 adds up squares",
        ),
        Mistake(
            "square_of_the_sum",
            penalty(lambda w: w.sum().square()),
            "you square a sum, in which weights of -5 and 5 cancel: square first, then add up",
        ),
        Mistake(
            "square_of_lam",
            penalty(l2, factor=lambda lam: lam**2),
            "lam is squared too: the penalty is lam times the sum of squares",
        ),
        Mistake("detached", detached(l2), NO_GRADIENT),
        Mistake("no_lam", penalty(l2, factor=lambda lam: 1.0), NO_STRENGTH),
        Mistake("first_alone", penalty(l2, choose=lambda weights: weights[:1]), FIRST_ALONE),
        Mistake("last_alone", penalty(l2, choose=lambda weights: weights[-1:]), LAST_ALONE),
        Mistake("matrices_alone", penalty(l2, choose=matrices), MATRICES_ALONE),
    ),
    variants=(
        Variant("dot products", l2_by_products),
        Variant("the norm, squared", whole(lambda w: w.norm() ** 2)),
        Variant("a power", penalty(lambda w: (w**2).sum())),
    ),
    hints=(
        "For one tensor: w.square().sum(). For the list: add these up.",
        "The norm is the *root* of that sum. Its square has no root any more.",
        "There is no factor 1/2 in the formula above.",
    ),
)


def net(
    one: Callable[[Tensor], Tensor] = l1, two: Callable[[Tensor], Tensor] = l2
) -> Callable[[Weights, float, float], Any]:
    """An elastic net with one of its two parts exchanged."""
    return lambda weights, a, b: sum(a * one(w) + b * two(w) for w in weights)


def one_norm_for_all(weights: Weights, a: float, b: float) -> Tensor:
    w = joined(weights)
    return a * w.abs().sum() + b * w.norm()


def last_of_both(weights: Weights, a: float, b: float) -> Any:
    return net()(weights[-1:], a, b)


def first_of_both(weights: Weights, a: float, b: float) -> Any:
    return net()(weights[:1], a, b)


elastic_net_penalty = Question(
    name="elastic_net_penalty",
    title="The elastic net",
    points=1,
    reference=net(),
    cases=two_strengths,
    use=use_penalty,
    mistakes=(
        Mistake(
            "exchanged",
            lambda weights, a, b: net()(weights, b, a),
            "l1 and l2 are exchanged: l1 multiplies the absolute values, l2 the squares",
        ),
        Mistake(
            "norm",
            one_norm_for_all,
            "the second part is the norm: the elastic net, like ridge, takes the *squared* norm",
        ),
        Mistake(
            "norms",
            net(two=lambda w: w.norm()),
            "the second part adds up norms: the elastic net, like ridge, takes the *squared* norm",
        ),
        Mistake(
            "half",
            net(two=lambda w: l2(w) / 2),
            "the squares have a factor 1/2, as in some texts: here they have none",
        ),
        Mistake(
            "mixed",
            lambda weights, a, b: a * (b * sum(map(l1, weights)) + (1 - b) * sum(map(l2, weights))),
            "you read the arguments as a strength and a share, as scikit-learn does: here each "
            "part has a strength of its own",
        ),
        Mistake(
            "l1_alone",
            net(two=lambda w: 0 * w.sum()),
            "the squares are missing: add l2 times their sum",
        ),
        Mistake(
            "l2_alone",
            net(one=lambda w: 0 * w.sum()),
            "the absolute values are missing: add l1 times their sum",
        ),
        Mistake(
            "product",
            lambda weights, a, b: a * sum(map(l1, weights)) * b * sum(map(l2, weights)),
            "the two parts are multiplied: add them",
        ),
        Mistake(
            "signed",
            net(one=lambda w: w.sum()),
            "the absolute value is missing in the first part, so weights of -5 and 5 would cancel",
        ),
        Mistake(
            "means",
            net(lambda w: w.abs().mean(), lambda w: w.square().mean()),
            "you take means: both parts are sums over all entries",
        ),
        Mistake("detached", lambda weights, a, b: net()(weights, a, b).item(), NO_GRADIENT),
        Mistake("first_alone", first_of_both, FIRST_ALONE),
        Mistake("last_alone", last_of_both, LAST_ALONE),
    ),
    variants=(
        Variant(
            "two sums",
            lambda weights, a, b: a * sum(map(l1, weights)) + b * sum(map(l2, weights)),
        ),
        Variant(
            "one sum over one vector",
            lambda weights, a, b: (a * joined(weights).abs() + b * joined(weights) ** 2).sum(),
        ),
        Variant(
            "in a loop",
            lambda weights, a, b: reduce(
                lambda total, w: total + (w.abs() * (a + b * w.abs())).sum(), weights, 0
            ),
        ),
    ),
    hints=(
        "It is the sum of the two penalties, each with its own strength.",
        "You may call the two functions above, but then their mistakes are in here too.",
        "l1 * sum of |w| + l2 * sum of w squared, over all tensors.",
    ),
)
