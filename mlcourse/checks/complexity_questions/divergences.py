"""`gaussian_kl`, `weights_kl`, `kl_gradients` and `best_precision`: what weights cost."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.distributions import Normal, kl_divergence

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.complexity_questions.shared import DTYPE, IN_BITS, LN2, between, posterior
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import EXACT

# --- Two Gaussians --------------------------------------------------------------------------------

Four = tuple[Tensor, Tensor, Tensor, Tensor]


def pair_cases(g: Generator) -> list[Four]:
    """(m1, s1, m2, s2): the first one wider and narrower than the second."""
    return [
        (
            normal(n, generator=g, dtype=DTYPE),
            between(0.3, 2.5, n, g=g),
            normal(n, generator=g, dtype=DTYPE),
            between(0.4, 2.0, n, g=g),
        )
        for n in (5, 3, 8)
    ]


def pair_by(
    log: Callable[[Tensor, Tensor], Tensor] = lambda s1, s2: (s2 / s1).log(),
    square: Callable[..., Tensor] = lambda m1, s1, m2, s2: s1**2 + (m1 - m2) ** 2,
    below: Callable[[Tensor, Tensor], Tensor] = lambda s1, s2: 2 * s2**2,
    constant: float = -0.5,
) -> Callable[..., Any]:
    """The divergence with one of its pieces exchanged."""

    def gaussian_kl(m1: Tensor, s1: Tensor, m2: Tensor, s2: Tensor) -> Tensor:
        return log(s1, s2) + square(m1, s1, m2, s2) / below(s1, s2) + constant

    return gaussian_kl


def pair_as_variances(m1: Tensor, s1: Tensor, m2: Tensor, s2: Tensor) -> Tensor:
    kl: Tensor = pair_by()(m1, s1.sqrt(), m2, s2.sqrt())
    return kl


def pair_by_torch(m1: Tensor, s1: Tensor, m2: Tensor, s2: Tensor) -> Tensor:
    return kl_divergence(Normal(m1, s1), Normal(m2, s2))


def pair_by_loops(m1: Tensor, s1: Tensor, m2: Tensor, s2: Tensor) -> Tensor:
    rows = zip(*(t.tolist() for t in (m1, s1, m2, s2)), strict=True)
    found = [
        (math.log(t * t / (s * s)) + (s * s + (m - n) * (m - n)) / (t * t) - 1) / 2
        for m, s, n, t in rows
    ]
    return torch.tensor(found, dtype=m1.dtype)


def pair_by_integral(m1: Tensor, s1: Tensor, m2: Tensor, s2: Tensor) -> Tensor:
    """The mean of the log ratio over the first Gaussian, by a sum over a grid."""
    z = torch.linspace(-9, 9, 20001, dtype=m1.dtype)[:, None]
    places = m1 + s1 * z
    ratio = Normal(m1, s1).log_prob(places) - Normal(m2, s2).log_prob(places)
    weights = (-(z**2) / 2).exp()
    return (weights * ratio).sum(0) / weights.sum()


gaussian_kl = Question(
    name="gaussian_kl",
    title="The divergence of two Gaussians",
    points=2,
    reference=pair_by(),
    cases=pair_cases,
    parts=("the divergences",),
    mistakes=(
        Mistake(
            "exchanged",
            lambda m1, s1, m2, s2: pair_by()(m2, s2, m1, s1),
            "the two Gaussians are exchanged: KL(1 || 2) is a mean over draws from the *first*, "
            "and divides by the variance of the second",
        ),
        Mistake(
            "variances",
            pair_as_variances,
            "s1 and s2 are taken for variances: they are standard deviations, so square them",
        ),
        Mistake(
            "no_half",
            pair_by(below=lambda s1, s2: s2**2),
            "a factor 1/2 is missing before the squares: a Gaussian's exponent is the square over "
            "*twice* the variance",
        ),
        Mistake(
            "log_halved",
            pair_by(log=lambda s1, s2: (s2 / s1).log() / 2),
            "the logarithm is halved once too often: it is log(s2 / s1), or half of the logarithm "
            "of the *variances'* ratio",
        ),
        Mistake(
            "log_of_variances",
            pair_by(log=lambda s1, s2: (s2 / s1).log() * 2),
            "the logarithm of the ratio of variances is to be halved: log(s2 / s1)",
        ),
        Mistake(
            "no_minus_half",
            pair_by(constant=0.0),
            "the - 1/2 is missing: for two equal Gaussians the divergence must be 0",
        ),
        Mistake(
            "minus_one",
            pair_by(constant=-1.0),
            "the constant is - 1/2, not - 1: for two equal Gaussians the divergence must be 0",
        ),
        Mistake(
            "log_upside_down",
            pair_by(log=lambda s1, s2: (s1 / s2).log()),
            "the logarithm is upside down: a narrower first Gaussian says *more*, so it is "
            "log(s2 / s1)",
        ),
        Mistake(
            "no_log",
            pair_by(log=lambda s1, s2: torch.zeros_like(s1)),
            "the logarithm of the ratio of the widths is missing",
        ),
        Mistake(
            "means_ignored",
            pair_by(square=lambda m1, s1, m2, s2: s1**2),
            "the distance of the means is missing: s1 ** 2 + (m1 - m2) ** 2",
        ),
        Mistake(
            "distance_not_squared",
            pair_by(square=lambda m1, s1, m2, s2: s1**2 + (m1 - m2).abs()),
            "the distance of the means is not squared",
        ),
        Mistake(
            "first_variance_ignored",
            pair_by(square=lambda m1, s1, m2, s2: (m1 - m2) ** 2),
            "the variance of the first Gaussian is missing: the mean square distance to m2 is "
            "s1 ** 2 + (m1 - m2) ** 2",
        ),
        Mistake(
            "over_the_first_variance",
            pair_by(below=lambda s1, s2: 2 * s1**2),
            "you divide by the variance of the first Gaussian: the second one's is in the "
            "denominator",
        ),
        Mistake("bits", lambda *args: pair_by()(*args) / LN2, IN_BITS),
        Mistake(
            "negative",
            lambda *args: -pair_by()(*args),
            "everything has the wrong sign: a divergence is never negative",
        ),
        Mistake(
            "sum",
            lambda *args: pair_by()(*args).sum(),
            "you add the divergences up: return one for each pair",
        ),
    ),
    variants=(
        Variant("torch's", pair_by_torch),
        Variant("loops", pair_by_loops),
        Variant("an integral", pair_by_integral),
    ),
    hints=(
        "The mean, over x from the first Gaussian, of log p1(x) - log p2(x). Which terms are "
        "squares of x?",
        "The mean of (x - m1) ** 2 is s1 ** 2, and that of (x - m2) ** 2 is s1 ** 2 + (m1 - m2) "
        "** 2.",
        "log(s2 / s1) + (s1 ** 2 + (m1 - m2) ** 2) / (2 * s2 ** 2) - 1 / 2.",
    ),
)


# --- All weights of a layer -----------------------------------------------------------------------

Layer = tuple[Tensor, Tensor, Tensor]


def layer_cases(g: Generator) -> list[Layer]:
    """(mean, log_sigma, log_precision): oblong and square layers, a precision for each column."""
    return [
        (*posterior(n_out, n_in, g), between(-1.0, 1.5, 1, n_in, g=g))
        for n_out, n_in in ((4, 3), (3, 3), (2, 5))
    ]


def layer_by(
    square: Callable[[Tensor, Tensor], Tensor] = lambda m, ls: m**2 + (2 * ls).exp(),
    precision: Callable[[Tensor], Tensor] = lambda la: la.exp(),
    logs: Callable[[Tensor, Tensor], Tensor] = lambda ls, la: la + 2 * ls,
    one: float = 1.0,
    gather: Callable[[Tensor], Any] = lambda kl: kl.sum() / 2,
) -> Callable[..., Any]:
    """The divergence of all weights, with one of the pieces exchanged."""

    def weights_kl(mean: Tensor, log_sigma: Tensor, log_precision: Tensor) -> Any:
        scaled = precision(log_precision) * square(mean, log_sigma)
        return gather(scaled - one - logs(log_sigma, log_precision))

    return weights_kl


def layer_exchanged(mean: Tensor, log_sigma: Tensor, log_precision: Tensor) -> Tensor:
    s, t = log_sigma.exp(), (-log_precision / 2).exp()
    return pair_by()(0.0, t, mean, s).sum()  # type: ignore[no-any-return]


def precision_once(mean: Tensor, log_sigma: Tensor, log_precision: Tensor) -> Tensor:
    """Half the log precision of each group, not of each weight."""
    return layer_by()(mean, log_sigma, log_precision) + (  # type: ignore[no-any-return]
        (len(mean) - 1) * log_precision.sum() / 2
    )


def layer_by_torch(mean: Tensor, log_sigma: Tensor, log_precision: Tensor) -> Tensor:
    prior = Normal(torch.zeros_like(mean), (-log_precision / 2).exp().expand_as(mean))
    return kl_divergence(Normal(mean, log_sigma.exp()), prior).sum()


def layer_by_pairs(mean: Tensor, log_sigma: Tensor, log_precision: Tensor) -> Any:
    width = torch.rsqrt(log_precision.exp())
    return pair_by()(mean, log_sigma.exp(), torch.zeros(()), width).sum().item()


def layer_by_loops(mean: Tensor, log_sigma: Tensor, log_precision: Tensor) -> float:
    total = 0.0
    for i in range(mean.shape[0]):
        for j in range(mean.shape[1]):
            a, variance = math.exp(log_precision[0, j]), math.exp(2 * log_sigma[i, j])
            total += (a * (float(mean[i, j]) ** 2 + variance) - 1 - math.log(a * variance)) / 2
    return total


weights_kl = Question(
    name="weights_kl",
    title="The price of a layer",
    points=2,
    reference=layer_by(),
    cases=layer_cases,
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "mean",
            layer_by(gather=lambda kl: kl.mean() / 2),
            "that is the mean over the weights: what all weights cost is the *sum*",
        ),
        Mistake(
            "each",
            layer_by(gather=lambda kl: kl / 2),
            "those are the prices of the single weights: add them up",
        ),
        Mistake(
            "groups",
            layer_by(gather=lambda kl: kl.sum(0, keepdim=True) / 2),
            "those are the prices of the groups: add them up, for one number",
        ),
        Mistake(
            "no_half",
            layer_by(gather=lambda kl: kl.sum()),
            "the factor 1/2 is missing: everything is twice as large as it should be",
        ),
        Mistake(
            "no_minus_half",
            layer_by(one=0.0),
            "the - 1/2 of each weight is missing: where posterior and prior are equal, the price "
            "must be 0",
        ),
        Mistake(
            "sigma_for_variance",
            layer_by(lambda m, ls: m**2 + ls.exp()),
            "exp(log_sigma) is the standard deviation: the variance is exp(2 log_sigma)",
        ),
        Mistake(
            "log_variance",
            layer_by(lambda m, ls: m**2 + ls.exp(), logs=lambda ls, la: la + ls),
            "log_sigma is taken for the logarithm of the variance: that is 2 log_sigma, in both "
            "places",
        ),
        Mistake(
            "log_sigma_squared",
            layer_by(lambda m, ls: m**2 + ls**2),
            "you square log_sigma itself: sigma is exp(log_sigma)",
        ),
        Mistake(
            "log_sigma_once",
            layer_by(logs=lambda ls, la: la + ls),
            "the logarithm of the *variance* is 2 log_sigma: here it is taken once",
        ),
        Mistake(
            "precision_for_variance",
            layer_by(precision=lambda la: (-la).exp(), logs=lambda ls, la: 2 * ls - la),
            "the precision is taken for the prior's variance: it is 1 over the variance, so the "
            "squares are *multiplied* by it",
        ),
        Mistake(
            "precision_for_width",
            layer_by(precision=lambda la: (2 * la).exp(), logs=lambda ls, la: 2 * la + 2 * ls),
            "the precision is 1 over the *variance*, not 1 over the standard deviation: do not "
            "square it",
        ),
        Mistake(
            "log_not_taken_back",
            layer_by(precision=lambda la: la, logs=lambda ls, la: la + 2 * ls),
            "log_precision multiplies the squares: take it through exp first",
        ),
        Mistake(
            "precision_ignored",
            layer_by(precision=torch.ones_like, logs=lambda ls, la: 2 * ls),
            "the prior's precision is ignored, as if it were 1",
        ),
        Mistake(
            "log_precision_missing",
            layer_by(logs=lambda ls, la: 2 * ls),
            "the term - log_precision / 2 is missing: a narrow prior is the cheaper the better it "
            "fits",
        ),
        Mistake(
            "precision_once",
            precision_once,
            "log_precision is counted once for each group: each *weight* of the group has its "
            "- log_precision / 2",
        ),
        Mistake(
            "exchanged",
            layer_exchanged,
            "posterior and prior are exchanged: KL(Q || P) is a mean over weights from the "
            "posterior Q, which comes first",
        ),
        Mistake(
            "no_variance",
            layer_by(lambda m, ls: m**2),
            "sigma's own square is missing: the mean square of a weight is mean ** 2 + sigma ** 2",
        ),
        Mistake("bits", lambda *args: layer_by()(*args) / LN2, IN_BITS),
        Mistake(
            "negative",
            lambda *args: -layer_by()(*args),
            "everything has the wrong sign: a price is never negative",
        ),
    ),
    variants=(
        Variant("torch's", layer_by_torch),
        Variant("gaussian_kl", layer_by_pairs),
        Variant("loops", layer_by_loops),
    ),
    hints=(
        "It is gaussian_kl with m2 = 0 and s2 = 1 / sqrt(precision), summed over all weights. "
        "(1, n_in) fits to (n_out, n_in) by itself.",
        "Per weight: (a (m ** 2 + s ** 2) - 1 - log(a s ** 2)) / 2 with a = exp(log_precision).",
        "gaussian_kl(mean, log_sigma.exp(), torch.zeros(()), (-log_precision / 2).exp()).sum()",
    ),
)


# --- Gradients ------------------------------------------------------------------------------------


def gradients_by(
    of_mean: Callable[..., Tensor] = lambda m, s2, a: a * m,
    of_sigma: Callable[..., Tensor] = lambda m, s2, a: a * s2 - 1,
    of_precision: Callable[..., Tensor] = lambda m, s2, a: (
        (a * (m**2 + s2) - 1).sum(0, keepdim=True) / 2
    ),
) -> Callable[..., Any]:
    """The three gradients, with one of them exchanged."""

    def kl_gradients(mean: Tensor, log_sigma: Tensor, log_precision: Tensor) -> Any:
        arguments = (mean, (2 * log_sigma).exp(), log_precision.exp())
        return of_mean(*arguments), of_sigma(*arguments), of_precision(*arguments)

    return kl_gradients


def gradients_by_autograd(*tensors: Tensor) -> Any:
    leaves = [t.clone().requires_grad_() for t in tensors]
    return torch.autograd.grad(layer_by()(*leaves), leaves)


def gradients_by_loops(mean: Tensor, log_sigma: Tensor, log_precision: Tensor) -> Any:
    found = [torch.zeros_like(t) for t in (mean, log_sigma, log_precision)]
    for j in range(mean.shape[1]):
        a = log_precision[0, j].exp()
        for i in range(mean.shape[0]):
            m, s = mean[i, j], log_sigma[i, j].exp()
            found[0][i, j] = a * m
            found[1][i, j] = a * s * s - 1
            found[2][0, j] += (a * (m * m + s * s) - 1) / 2
    return found


def gradients_by_chain(mean: Tensor, log_sigma: Tensor, log_precision: Tensor) -> Any:
    """In sigma and in the precision first."""
    s, a = log_sigma.exp(), log_precision.exp()
    in_sigma = a * s - 1 / s
    in_precision = ((mean**2 + s**2) / 2 - 1 / (2 * a)).sum(0)[None]
    return a * mean, s * in_sigma, a * in_precision


kl_gradients = Question(
    name="kl_gradients",
    title="The gradients of the price",
    points=3,
    reference=gradients_by(),
    cases=layer_cases,
    parts=("the gradient of mean", "the gradient of log_sigma", "the gradient of log_precision"),
    mistakes=(
        Mistake(
            "mean_doubled",
            gradients_by(lambda m, s2, a: 2 * a * m),
            "the gradient of mean is twice too large: the 2 of the square and the 1/2 before it "
            "cancel",
        ),
        Mistake(
            "mean_without_precision",
            gradients_by(lambda m, s2, a: m.clone()),
            "the gradient of mean lacks the precision: a narrow prior pulls harder",
        ),
        Mistake(
            "mean_over_precision",
            gradients_by(lambda m, s2, a: m / a),
            "the gradient of mean is divided by the precision: multiply by it",
        ),
        Mistake(
            "in_sigma",
            gradients_by(of_sigma=lambda m, s2, a: a * s2.sqrt() - 1 / s2.sqrt()),
            "that is the derivative by sigma: by *log* sigma it is sigma times that",
        ),
        Mistake(
            "in_variance",
            gradients_by(of_sigma=lambda m, s2, a: (a - 1 / s2) / 2),
            "that is the derivative by the variance: by log sigma it is 2 sigma ** 2 times that",
        ),
        Mistake(
            "sigma_without_one",
            gradients_by(of_sigma=lambda m, s2, a: a * s2),
            "the - 1 in the gradient of log_sigma is missing: it comes from - log sigma, and is "
            "what keeps sigma from shrinking to 0",
        ),
        Mistake(
            "sigma_halved",
            gradients_by(of_sigma=lambda m, s2, a: (a * s2 - 1) / 2),
            "the gradient of log_sigma is halved: d exp(2 log_sigma) / d log_sigma has a 2 that "
            "cancels the 1/2",
        ),
        Mistake(
            "sigma_not_squared",
            gradients_by(of_sigma=lambda m, s2, a: a * s2.sqrt() - 1),
            "the gradient of log_sigma holds sigma ** 2, the variance, not sigma",
        ),
        Mistake(
            "precision_not_summed",
            gradients_by(of_precision=lambda m, s2, a: (a * (m**2 + s2) - 1) / 2),
            "the gradient of log_precision is one number for each weight: the weights of a group "
            "share theirs, so add up over the rows",
        ),
        Mistake(
            "precision_mean",
            gradients_by(
                of_precision=lambda m, s2, a: (a * (m**2 + s2) - 1).mean(0, keepdim=True) / 2
            ),
            "the gradient of log_precision is a mean over the group: the price is a sum, so its "
            "gradient is one too",
        ),
        Mistake(
            "precision_dropped",
            gradients_by(of_precision=lambda m, s2, a: (a * (m**2 + s2) - 1).sum(0) / 2),
            "the gradient of log_precision has lost a dimension: give it the shape (1, n_in) of "
            "log_precision, with keepdim=True",
        ),
        Mistake(
            "precision_not_halved",
            gradients_by(of_precision=lambda m, s2, a: (a * (m**2 + s2) - 1).sum(0, keepdim=True)),
            "the gradient of log_precision is twice too large: here nothing cancels the 1/2",
        ),
        Mistake(
            "in_precision",
            gradients_by(
                of_precision=lambda m, s2, a: (m**2 + s2 - 1 / a).sum(0, keepdim=True) / 2
            ),
            "that is the derivative by the precision: by *log* precision it is the precision times "
            "that",
        ),
        Mistake(
            "one_once",
            gradients_by(
                of_precision=lambda m, s2, a: ((a * (m**2 + s2)).sum(0, keepdim=True) - 1) / 2
            ),
            "in the gradient of log_precision, each weight of the group has its - 1, not the group "
            "one together",
        ),
        Mistake(
            "precision_without_variance",
            gradients_by(of_precision=lambda m, s2, a: (a * m**2 - 1).sum(0, keepdim=True) / 2),
            "the gradient of log_precision lacks the variance: the mean square of a weight is "
            "mean ** 2 + sigma ** 2",
        ),
        Mistake(
            "negative",
            lambda *args: tuple(-part for part in gradients_by()(*args)),
            "all three have the wrong sign: return the gradients, not the way downhill",
        ),
    ),
    variants=(
        Variant("autograd", gradients_by_autograd),
        Variant("loops", gradients_by_loops),
        Variant("the chain rule", gradients_by_chain),
    ),
    hints=(
        "One weight first: (a (m ** 2 + exp(2 l)) - 1 - log a - 2 l) / 2 with l = log_sigma.",
        "By m: a m. By l: a exp(2 l) - 1. By log a: use that d a / d log a = a. Then add up what "
        "shares a precision.",
        "The third is (a * (mean ** 2 + s2) - 1).sum(0, keepdim=True) / 2.",
    ),
)


# --- The best precision ---------------------------------------------------------------------------


def best_cases(g: Generator) -> list[tuple[Tensor, Tensor]]:
    """(mean, log_sigma): oblong and square layers; some groups small, some large."""
    found = []
    for n_out, n_in in ((4, 3), (3, 3), (2, 5)):
        mean, log_sigma = posterior(n_out, n_in, g)
        found.append((mean * between(0.1, 2.0, 1, n_in, g=g) + 0.4, log_sigma))
    return found


def best_by(
    square: Callable[[Tensor, Tensor], Tensor] = lambda m, s2: m**2 + s2,
    gather: Callable[[Tensor], Tensor] = lambda squares: squares.mean(0, keepdim=True),
    give: Callable[[Tensor], Any] = lambda mean: 1 / mean,
) -> Callable[[Tensor, Tensor], Any]:
    """The precision of each column, with one of the pieces exchanged."""
    return lambda mean, log_sigma: give(gather(square(mean, (2 * log_sigma).exp())))


def best_by_loops(mean: Tensor, log_sigma: Tensor) -> Tensor:
    n_out, n_in = mean.shape
    found = torch.empty(1, n_in, dtype=mean.dtype)
    for j in range(n_in):
        squares = [mean[i, j] ** 2 + log_sigma[i, j].exp() ** 2 for i in range(n_out)]
        found[0, j] = n_out / sum(squares)
    return found


def best_by_descent(mean: Tensor, log_sigma: Tensor) -> Tensor:
    """Newton's steps in log precision, on the gradient."""
    log_precision = torch.zeros(1, mean.shape[1], dtype=mean.dtype)
    for _ in range(60):
        gradient = gradients_by()(mean, log_sigma, log_precision)[2]
        curvature = gradient + len(mean) / 2
        log_precision = log_precision - (gradient / curvature).clamp(-1, 1)
    return log_precision.exp()


def best_by_norms(mean: Tensor, log_sigma: Tensor) -> Tensor:
    both = torch.cat([mean, log_sigma.exp()])
    return len(mean) / both.norm(dim=0, keepdim=True) ** 2


best_precision = Question(
    name="best_precision",
    title="The best precision",
    points=2,
    reference=best_by(),
    cases=best_cases,
    parts=("the precisions",),
    mistakes=(
        Mistake(
            "upside_down",
            best_by(give=lambda mean: mean),
            "it is upside down: that is the prior's best *variance*, and the precision is 1 over "
            "it",
        ),
        Mistake(
            "width",
            best_by(give=lambda mean: mean.rsqrt()),
            "that is 1 over the standard deviation: the precision is 1 over the variance, without "
            "a root",
        ),
        Mistake(
            "log",
            best_by(give=lambda mean: -mean.log()),
            "that is the logarithm of the precision: return the precision itself",
        ),
        Mistake(
            "no_variance",
            best_by(lambda m, s2: m**2),
            "sigma is missing: a weight's mean square is mean ** 2 + sigma ** 2, and without "
            "sigma a group whose means are 0 would have an infinite precision",
        ),
        Mistake(
            "no_mean",
            best_by(lambda m, s2: s2),
            "the means are missing: the prior has to cover mean ** 2 + sigma ** 2",
        ),
        Mistake(
            "sigma_not_squared",
            best_by(lambda m, s2: m**2 + s2.sqrt()),
            "sigma is not squared: exp(2 log_sigma) is the variance",
        ),
        Mistake(
            "sum",
            best_by(gather=lambda squares: squares.sum(0, keepdim=True)),
            "you divide 1 by the *sum* of the squares: by their mean, or the number of weights by "
            "the sum",
        ),
        Mistake(
            "about_their_mean",
            lambda mean, log_sigma: best_by()(mean - mean.mean(0), log_sigma),
            "you take the spread around the group's own mean: the prior's mean is 0, so take "
            "mean ** 2 as it is",
        ),
        Mistake(
            "rows",
            best_by(gather=lambda squares: squares.mean(1, keepdim=True)),
            "you average along the rows: a group is a *column*, the weights that one input sends "
            "out",
        ),
        Mistake(
            "one_for_all",
            best_by(gather=lambda squares: squares.mean().expand(1, squares.shape[1])),
            "all groups have the same precision: each column has its own",
        ),
        Mistake(
            "dropped",
            best_by(gather=lambda squares: squares.mean(0)),
            "the numbers are right, but the shape is (n_in,): keep (1, n_in), with keepdim=True",
        ),
        Mistake(
            "each",
            best_by(gather=lambda squares: squares),
            "those are precisions for each weight by itself: a group shares one",
        ),
    ),
    variants=(
        Variant("loops", best_by_loops),
        Variant("Newton's steps", best_by_descent),
        Variant("norms", best_by_norms),
    ),
    hints=(
        "Where is the gradient of log_precision zero?",
        "The sum over the group of a (mean ** 2 + sigma ** 2) equals the number of its weights.",
        "1 / (mean ** 2 + (2 * log_sigma).exp()).mean(0, keepdim=True).",
    ),
)
