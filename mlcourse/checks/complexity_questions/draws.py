"""`draw_weights` and `local_outputs`: random weights, and the outputs that they give."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.complexity_questions.shared import DTYPE, posterior
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import NO_DRAWS

# --- Weights --------------------------------------------------------------------------------------


def weights_cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(mean, log_sigma, noise)."""
    return [
        (*posterior(*shape, g), normal(*shape, generator=g, dtype=DTYPE))
        for shape in ((4, 3), (2, 2), (1, 6))
    ]


def weights_by(
    sigma: Callable[[Tensor], Tensor] = torch.exp,
) -> Callable[[Tensor, Tensor, Tensor], Any]:
    """A draw with another spread."""
    return lambda mean, log_sigma, noise: mean + sigma(log_sigma) * noise


def callers_mean(mean: Tensor, log_sigma: Tensor, noise: Tensor) -> Tensor:
    mean += log_sigma.exp() * noise
    return mean


def weights_by_loops(mean: Tensor, log_sigma: Tensor, noise: Tensor) -> Any:
    draw = torch.empty_like(mean)
    for i in range(mean.shape[0]):
        for j in range(mean.shape[1]):
            draw[i, j] = mean[i, j] + log_sigma[i, j].exp() * noise[i, j]
    return draw


draw_weights = Question(
    name="draw_weights",
    title="A draw of the weights",
    points=1,
    reference=weights_by(),
    cases=weights_cases,
    parts=("the weights",),
    forbidden=(NO_DRAWS,),
    mistakes=(
        Mistake(
            "variance",
            weights_by(lambda log_sigma: (2 * log_sigma).exp()),
            "the noise is multiplied by the variance: by sigma, exp(log_sigma), so that the "
            "*weight* has the variance sigma ** 2",
        ),
        Mistake(
            "log_sigma",
            weights_by(lambda log_sigma: log_sigma),
            "the noise is multiplied by log_sigma: take exp of it first",
        ),
        Mistake(
            "root",
            weights_by(lambda log_sigma: (log_sigma / 2).exp()),
            "that takes log_sigma for the logarithm of the variance: sigma is exp(log_sigma)",
        ),
        Mistake(
            "no_sigma",
            weights_by(torch.ones_like),
            "the noise has the spread 1: multiply it by each weight's sigma",
        ),
        Mistake(
            "no_noise",
            lambda mean, log_sigma, noise: mean + log_sigma.exp(),
            "sigma is added, and the noise left out: mean + sigma * noise",
        ),
        Mistake(
            "no_mean",
            lambda mean, log_sigma, noise: log_sigma.exp() * noise,
            "the mean is missing: the draws scatter around it",
        ),
        Mistake(
            "relative",
            lambda mean, log_sigma, noise: mean * (1 + log_sigma.exp() * noise),
            "the noise is multiplied by the mean as well: that is dropout's kind of noise; here "
            "sigma is the spread itself",
        ),
        Mistake(
            "minus",
            lambda mean, log_sigma, noise: mean - log_sigma.exp() * noise,
            "the noise is subtracted: the distribution is the same, but for the noise that is "
            "given mean + sigma * noise is asked for",
        ),
        Mistake(
            "callers_mean",
            callers_mean,
            "the caller's mean is changed: mean + ... makes a new tensor, mean += ... does not",
        ),
    ),
    variants=(
        Variant("loops", weights_by_loops),
        Variant("addcmul", lambda mean, ls, noise: torch.addcmul(mean, ls.exp(), noise)),
        Variant("lerp", lambda mean, ls, noise: torch.lerp(mean, mean + noise, ls.exp())),
    ),
    hints=(
        "A Gaussian with mean m and standard deviation s is m + s * (a Gaussian with 0 and 1).",
        "sigma is log_sigma.exp().",
        "mean + log_sigma.exp() * noise.",
    ),
)


# --- Outputs --------------------------------------------------------------------------------------


def outputs_cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor, Tensor]]:
    """(X, mean, log_sigma, noise): oblong, and all sizes equal."""
    return [
        (
            normal(n, n_in, generator=g, dtype=DTYPE),
            *posterior(n_out, n_in, g),
            normal(n, n_out, generator=g, dtype=DTYPE),
        )
        for n, n_in, n_out in ((5, 3, 2), (3, 3, 3), (4, 2, 6))
    ]


def outputs_by(
    variance: Callable[[Tensor, Tensor, Tensor], Tensor] = lambda X, m, s: X**2 @ (s**2).T,
    spread: Callable[[Tensor], Tensor] = lambda v: v.sqrt(),
    noise: Callable[[Tensor], Tensor] = lambda noise: noise,
    give: Callable[[Tensor, Tensor, Tensor], Any] = lambda m, v, draw: (m, v, draw),
) -> Callable[[Tensor, Tensor, Tensor, Tensor], Any]:
    """Mean, variance and draw, with one of the pieces exchanged."""

    def local_outputs(X: Tensor, mean: Tensor, log_sigma: Tensor, given: Tensor) -> Any:
        m, v = X @ mean.T, variance(X, mean, log_sigma.exp())
        return give(m, v, m + spread(v) * noise(given))

    return local_outputs


def outputs_by_loops(X: Tensor, mean: Tensor, log_sigma: Tensor, noise: Tensor) -> Any:
    m, v = torch.zeros_like(noise), torch.zeros_like(noise)
    for i, x in enumerate(X):
        for j in range(len(mean)):
            m[i, j] = x @ mean[j]
            v[i, j] = ((x * log_sigma[j].exp()) ** 2).sum()
    return [m, v, m + v**0.5 * noise]


def outputs_by_einsum(X: Tensor, mean: Tensor, log_sigma: Tensor, noise: Tensor) -> Any:
    m = torch.einsum("ni,oi->no", X, mean)
    v = torch.einsum("ni,ni,oi->no", X, X, (2 * log_sigma).exp())
    return m, v, torch.addcmul(m, v.sqrt(), noise)


def outputs_by_linear(X: Tensor, mean: Tensor, log_sigma: Tensor, noise: Tensor) -> Any:
    m = torch.nn.functional.linear(X, mean)
    scaled = X[:, None, :] * log_sigma.exp()  # (N, n_out, n_in)
    spread = scaled.norm(dim=2)
    return m, spread.square(), m + spread * noise


local_outputs = Question(
    name="local_outputs",
    title="The outputs' own noise",
    points=3,
    reference=outputs_by(),
    cases=outputs_cases,
    parts=("the means", "the variances", "the draws"),
    forbidden=(NO_DRAWS,),
    mistakes=(
        Mistake(
            "squared_means",
            outputs_by(lambda X, m, s: X**2 @ (m**2).T),
            "the variances hold the weights' *means* squared: what scatters is sigma, so it is "
            "x ** 2 times sigma ** 2",
        ),
        Mistake(
            "second_moment",
            outputs_by(lambda X, m, s: X**2 @ (m**2 + s**2).T),
            "mean ** 2 + sigma ** 2 is a weight's mean square: its variance is sigma ** 2 alone",
        ),
        Mistake(
            "x_not_squared",
            outputs_by(
                lambda X, m, s: X @ (s**2).T,
                spread=lambda v: v.sqrt(),
            ),
            "X is not squared in the variances, which even become negative: x times a weight has "
            "the variance x ** 2 sigma ** 2",
        ),
        Mistake(
            "sigma_not_squared",
            outputs_by(lambda X, m, s: X**2 @ s.T),
            "sigma is not squared: variances add up, not standard deviations",
        ),
        Mistake(
            "square_of_the_sum",
            outputs_by(lambda X, m, s: (X @ s.T) ** 2),
            "you add x sigma up and square the sum, as if all weights had one and the same noise: "
            "theirs are independent, so add up the squares",
        ),
        Mistake(
            "sizes_added",
            outputs_by(lambda X, m, s: (X.abs() @ s.T) ** 2),
            "you add standard deviations up: those of independent weights add by their squares",
        ),
        Mistake(
            "divided",
            outputs_by(lambda X, m, s: X**2 @ (s**2).T / X.shape[1]),
            "the variances are a mean over the inputs: an output is a sum, so its variance is one "
            "too",
        ),
        Mistake(
            "no_root",
            outputs_by(spread=lambda v: v),
            "the noise is multiplied by the variance: multiply by its root",
        ),
        Mistake(
            "no_spread",
            outputs_by(spread=torch.ones_like),
            "the draws have the spread 1: multiply the noise by the root of the variance",
        ),
        Mistake(
            "no_noise",
            outputs_by(noise=torch.ones_like),
            "the noise is left out of the draws: means + root of the variances * noise",
        ),
        Mistake(
            "one_noise_for_all",
            outputs_by(noise=lambda noise: noise[:1]),
            "all examples share the first row of the noise: each has its own row, and that is what "
            "makes the batch's gradient less noisy",
        ),
        Mistake(
            "deviations",
            outputs_by(give=lambda m, v, draw: (m, v.sqrt(), draw)),
            "the draws are right, but the second part holds standard deviations: return the "
            "variances",
        ),
        Mistake(
            "order",
            outputs_by(give=lambda m, v, draw: (draw, m, v)),
            "the right numbers in the wrong order: means, variances, draws",
        ),
        Mistake(
            "draws_alone",
            outputs_by(give=lambda m, v, draw: draw),
            "those are the draws alone: return means, variances and draws",
        ),
    ),
    variants=(
        Variant("loops", outputs_by_loops),
        Variant("einsum", outputs_by_einsum),
        Variant("norms", outputs_by_linear),
    ),
    hints=(
        "An output is a sum of x times weight. What are mean and variance of x times a Gaussian "
        "weight, and of a sum of independent ones?",
        "The means are X @ mean.T. The variances are built in the same way from X ** 2 and sigma "
        "** 2.",
        "v = X ** 2 @ (2 * log_sigma).exp().T, and m + v.sqrt() * noise.",
    ),
)
