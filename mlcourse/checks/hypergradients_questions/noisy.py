"""The noisy quadratic: the expected loss after one step, and the rate that is best for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.hypergradients_questions.shared import Answer, away_from_zero, uniform


def greedy_cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor]]:
    """(curvature, noise, x), in some directions without noise."""
    found = []
    for curvatures, dtype in (
        ((4.0, 1.0, 0.1), torch.float64),
        ((2.0, 0.5), torch.float64),
        ((1.5,), torch.float64),
        ((3.0, 2.0, 1.0, 0.3), torch.float32),
    ):
        n = len(curvatures)
        h = torch.tensor([c * uniform(0.9, 1.1, g) for c in curvatures], dtype=dtype)
        noise = away_from_zero(n, g, dtype).abs()
        if n > 2:
            noise[1] = 0.0
        found.append((h, noise, 1.5 * away_from_zero(n, g, dtype)))
    return found


def loss_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(curvature, noise, x, lr)."""
    return [(*case, uniform(0.1, 0.3, g)) for case in greedy_cases(g)]


# --- The expected loss ----------------------------------------------------------------------------


def loss_by(
    shrunk: Callable[[Tensor, Tensor, float], Tensor] = lambda x, h, lr: (1 - lr * h) ** 2 * x**2,
    blurred: Callable[[Tensor, Tensor, float], Tensor] = lambda s, h, lr: (lr * h * s) ** 2,
    seen: Callable[[Tensor], Tensor] = lambda s: s**2,
    factor: float = 0.5,
) -> Answer:
    """The expected loss with one of its three squares exchanged."""

    def loss_after_step(curvature: Tensor, noise: Tensor, x: Tensor, lr: float) -> Any:
        square = shrunk(x, curvature, lr) + blurred(noise, curvature, lr)
        return factor * (curvature * (square + seen(noise))).sum()

    return loss_after_step


def averaged(curvature: Tensor, noise: Tensor, x: Tensor, lr: float) -> Tensor:
    """The mean over c = s and c = -s of the step, and over those of the loss: exact for squares."""
    losses = []
    for c in (noise, -noise):
        after = x - lr * curvature * (x - c)
        losses += [(curvature * (after - other) ** 2).sum() / 2 for other in (noise, -noise)]
    return torch.stack(losses).mean()


def loss_by_loops(curvature: Tensor, noise: Tensor, x: Tensor, lr: float) -> float:
    total = 0.0
    rows = zip(curvature.tolist(), noise.tolist(), x.tolist(), strict=True)
    for h, s, place in rows:
        mean, variance = (1 - lr * h) * place, (lr * h * s) ** 2
        total += h / 2 * (mean**2 + variance + s**2)
    return total


loss_after_step = Question(
    name="loss_after_step",
    title="The expected loss after a step",
    points=2,
    reference=loss_by(),
    cases=loss_cases,
    parts=("the expected loss",),
    mistakes=(
        Mistake(
            "no_noise",
            loss_by(blurred=lambda s, h, lr: 0 * s, seen=lambda s: 0 * s),
            "the noise is nowhere: it moves the step, by lr h c, and it stands in the loss",
        ),
        Mistake(
            "step_without_noise",
            loss_by(blurred=lambda s, h, lr: 0 * s),
            "the step has no noise: the new place is x - lr h (x - c), so its variance is "
            "(lr h s)^2",
        ),
        Mistake(
            "loss_without_noise",
            loss_by(seen=lambda s: 0 * s),
            "the loss after the step has no noise: a new c is drawn, which adds s^2 to the square",
        ),
        Mistake(
            "same_draw",
            lambda curvature, noise, x, lr: (
                (curvature * (1 - lr * curvature) ** 2 * (x**2 + noise**2)).sum() / 2
            ),
            "the loss is measured with the very c of the step: a new one is drawn, independent of "
            "the first",
        ),
        Mistake(
            "no_half",
            loss_by(factor=1.0),
            "twice ours: the loss has a 1/2",
        ),
        Mistake(
            "shrunk_once",
            loss_by(shrunk=lambda x, h, lr: (1 - lr * h) * x**2),
            "1 - lr h is not squared: x becomes (1 - lr h) x, and the loss has its square",
        ),
        Mistake(
            "no_curvature_in_the_step",
            loss_by(
                shrunk=lambda x, h, lr: (1 - lr) ** 2 * x**2, blurred=lambda s, h, lr: (lr * s) ** 2
            ),
            "the step lacks the curvature: the gradient is h (x - c)",
        ),
        Mistake(
            "noise_without_curvature",
            loss_by(blurred=lambda s, h, lr: (lr * s) ** 2),
            "the step's noise lacks the curvature: the gradient is h (x - c), so its noise is h s",
        ),
        Mistake(
            "noise_without_lr",
            loss_by(blurred=lambda s, h, lr: (h * s) ** 2),
            "the step's noise lacks the learning rate: x moves by lr times the gradient",
        ),
        Mistake(
            "variance_once",
            loss_by(blurred=lambda s, h, lr: lr * h * s**2),
            "lr h is not squared in the step's variance: it is (lr h s)^2",
        ),
        Mistake(
            "noise_is_a_variance",
            loss_by(blurred=lambda s, h, lr: (lr * h) ** 2 * s, seen=lambda s: s),
            "the noise is taken for a variance: it is a standard deviation, so square it",
        ),
        Mistake(
            "before_the_step",
            loss_by(shrunk=lambda x, h, lr: x**2, blurred=lambda s, h, lr: 0 * s),
            "that is the expected loss before the step",
        ),
        Mistake(
            "uphill",
            loss_by(shrunk=lambda x, h, lr: (1 + lr * h) ** 2 * x**2),
            "the step goes uphill: x becomes (1 - lr h) x on average",
        ),
        Mistake(
            "each_direction",
            lambda curvature, noise, x, lr: (
                curvature
                * ((1 - lr * curvature) ** 2 * x**2 + (lr * curvature * noise) ** 2 + noise**2)
                / 2
            ),
            "you return a number for each direction: add them up",
        ),
        Mistake(
            "mean",
            lambda curvature, noise, x, lr: loss_by()(curvature, noise, x, lr) / len(x),
            "you average over the directions: the loss adds them up",
        ),
    ),
    variants=(
        Variant("two values of c", averaged),
        Variant("loops", loss_by_loops),
        Variant(
            "in one line",
            lambda h, s, x, lr: 0.5 * h @ (((1 - lr * h) * x) ** 2 + s**2 * (1 + (lr * h) ** 2)),
        ),
    ),
    hints=(
        "The new place is (1 - lr h) x + lr h c. Which mean and which variance has it?",
        "E[x'^2] = mean^2 + variance = (1 - lr h)^2 x^2 + (lr h s)^2. A new c adds s^2.",
        "0.5 * (h * ((1 - lr * h) ** 2 * x ** 2 + (lr * h * s) ** 2 + s ** 2)).sum().",
    ),
)


# --- The greedy rate ------------------------------------------------------------------------------


def greedy_by(
    over: Callable[..., Tensor] = lambda h, s, x: h**2 * x**2,
    under: Callable[..., Tensor] = lambda h, s, x: h**3 * (x**2 + s**2),
) -> Answer:
    """The quotient with its numerator or denominator exchanged."""
    return lambda curvature, noise, x: (
        over(curvature, noise, x).sum() / under(curvature, noise, x).sum()
    )


def by_parabola(curvature: Tensor, noise: Tensor, x: Tensor) -> float:
    """The expected loss is a parabola in the rate: three values say where it is lowest."""
    zero, one, two = (float(loss_by()(curvature.double(), noise, x, lr)) for lr in (0.0, 1.0, 2.0))
    return 0.5 - (one - zero) / (two - 2 * one + zero)


def by_derivative(curvature: Tensor, noise: Tensor, x: Tensor) -> Any:
    """Newton's step on the rate is exact for a parabola."""
    lr = torch.zeros((), dtype=torch.float64, requires_grad=True)
    loss = loss_by()(curvature.double(), noise.double(), x.double(), lr)  # type: ignore[arg-type]
    (first,) = torch.autograd.grad(loss, lr, create_graph=True)
    (second,) = torch.autograd.grad(first, lr)
    return (-first / second).detach()


greedy_rate = Question(
    name="greedy_rate",
    title="The greedy learning rate",
    points=2,
    reference=greedy_by(),
    cases=greedy_cases,
    parts=("the rate",),
    mistakes=(
        Mistake(
            "no_noise",
            greedy_by(under=lambda h, s, x: h**3 * x**2),
            "the noise is missing: it makes long steps dear, so s^2 stands below, beside x^2",
        ),
        Mistake(
            "noise_above",
            greedy_by(over=lambda h, s, x: h**2 * (x**2 + s**2)),
            "s^2 stands above as well: what a step gains depends on x alone, what it costs on both",
        ),
        Mistake(
            "stability",
            lambda curvature, noise, x: 2 / curvature.max(),
            "2 / max h is the limit beyond which descent diverges: set the derivative of the "
            "expected loss in lr to zero",
        ),
        Mistake(
            "newton",
            lambda curvature, noise, x: 1 / curvature.max(),
            "1 / max h looks at one direction, without noise: set the derivative of the expected "
            "loss in lr to zero",
        ),
        Mistake(
            "one_power_less",
            greedy_by(over=lambda h, s, x: h * x**2, under=lambda h, s, x: h**2 * (x**2 + s**2)),
            "a power of h is missing above and below: the loss has a factor h, besides those of "
            "the step",
        ),
        Mistake(
            "same_powers",
            greedy_by(under=lambda h, s, x: h**2 * (x**2 + s**2)),
            "h^2 below should be h^3: h from the loss, and h^2 from the square of the step",
        ),
        Mistake(
            "upside_down",
            lambda curvature, noise, x: 1 / greedy_by()(curvature, noise, x),
            "it is upside down: a larger curvature asks for a smaller rate",
        ),
        Mistake(
            "half",
            lambda curvature, noise, x: greedy_by()(curvature, noise, x) / 2,
            "half of ours: the 2's of both squares cancel",
        ),
        Mistake(
            "double",
            lambda curvature, noise, x: greedy_by()(curvature, noise, x) * 2,
            "twice ours: the 2's of both squares cancel; at this rate the step gains nothing at "
            "all",
        ),
        Mistake(
            "not_squared",
            greedy_by(
                over=lambda h, s, x: h**2 * x.abs(), under=lambda h, s, x: h**3 * (x.abs() + s)
            ),
            "x and s are not squared: the loss is",
        ),
        Mistake(
            "noise_is_a_variance",
            greedy_by(under=lambda h, s, x: h**3 * (x**2 + s)),
            "the noise is taken for a variance: it is a standard deviation, so square it",
        ),
        Mistake(
            "mean_of_quotients",
            lambda h, s, x: (x**2 / (h * (x**2 + s**2))).mean(),
            "that is the mean of each direction's own best rate: one rate serves all, so add up "
            "above and below first",
        ),
        Mistake(
            "each_direction",
            lambda h, s, x: x**2 / (h * (x**2 + s**2)),
            "you return a rate for each direction: one rate serves all, so add up above and below",
        ),
        Mistake(
            "negative",
            lambda curvature, noise, x: -greedy_by()(curvature, noise, x),
            "the sign is wrong: a rate is positive",
        ),
    ),
    variants=(
        Variant("the vertex of a parabola", by_parabola),
        Variant("the derivative's zero", by_derivative),
        Variant(
            "products",
            lambda h, s, x: ((h * x) @ (h * x)) / (h @ ((h * x) ** 2 + (h * s) ** 2)),
        ),
    ),
    hints=(
        "The expected loss after the step is a parabola in lr. Where is its derivative zero?",
        "The derivative of (1 - lr h)^2 is -2 h (1 - lr h), that of (lr h)^2 is 2 lr h^2. Collect "
        "what multiplies lr.",
        "(h ** 2 * x ** 2).sum() / (h ** 3 * (x ** 2 + s ** 2)).sum().",
    ),
)
