"""`adam_step`: moving averages of the gradient and of its square, corrected for their start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.optimisers_questions.shared import (
    BY_HAND,
    State,
    Step,
    Tensors,
    forgetful,
    step_of,
    usual_mistakes,
    walk,
    walks_with,
)

Average = Callable[[Tensor, Tensor, float], Tensor]

#: (lr, beta1, beta2, eps): eps is large where it has to be seen.
SETTINGS = (
    (0.1, 0.9, 0.999, 1e-8),
    (0.03, 0.8, 0.95, 0.1),
    (0.02, 0.5, 0.9, 0.05),
    (0.05, 0.9, 0.99, 0.3),
)

cases = walks_with(*SETTINGS)


def reference(
    params: Tensors,
    grads: Tensors,
    state: State,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[Tensors, State]:
    t = state.get("t", 0) + 1
    m, v, new = {}, {}, {}
    for name, g in grads.items():
        m[name] = beta1 * state.get("m", {}).get(name, 0) + (1 - beta1) * g
        v[name] = beta2 * state.get("v", {}).get(name, 0) + (1 - beta2) * g**2
        m_hat, v_hat = m[name] / (1 - beta1**t), v[name] / (1 - beta2**t)
        new[name] = params[name] - lr * m_hat / (v_hat.sqrt() + eps)
    return new, {"t": t, "m": m, "v": v}


def average(old: Tensor, new: Tensor, beta: float) -> Tensor:
    return beta * old + (1 - beta) * new


def exchanged(old: Tensor, new: Tensor, beta: float) -> Tensor:
    return (1 - beta) * old + beta * new


def corrected(value: Tensor, beta: float, t: int) -> Tensor:
    return value / (1 - beta**t) if t else value / torch.zeros_like(value)


def uncorrected(value: Tensor, beta: float, t: int) -> Tensor:
    return value


def fraction(m: Tensor, v: Tensor, g: Tensor, eps: float) -> Tensor:
    return m / (v.sqrt() + eps)


def shown_to_adam(p: Tensor, g: Tensor, lr: float, *decay: float) -> tuple[Tensor, Tensor]:
    """Return the parameters and the gradient that the rule goes on with: here, those that came."""
    return p, g


def by(
    into_m: Average = average,
    into_v: Average = average,
    correct_m: Callable[[Tensor, float, int], Tensor] = corrected,
    correct_v: Callable[[Tensor, float, int], Tensor] = corrected,
    step: Callable[[Tensor, Tensor, Tensor, float], Tensor] = fraction,
    square: Callable[[Tensor, Tensor], Tensor] = lambda g, m: g**2,
    count: Callable[[int], int] = lambda t: t,
    betas: Callable[[float, float], tuple[float, float]] = lambda beta1, beta2: (beta1, beta2),
    rate: Callable[[float], float] = lambda lr: lr,
    late: bool = False,
    begin: Callable[..., tuple[Tensor, Tensor]] = shown_to_adam,
) -> Step:
    """Adam with one of its pieces exchanged.

    `late` divides by the v of before. `begin` comes first and may put a decay in, given last.
    """

    def rule(
        p: Tensor,
        g: Tensor,
        kept: State,
        t: int,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        *decay: float,
    ) -> tuple[Tensor, State]:
        p, g = begin(p, g, lr, *decay)
        m, old = (kept.get(name, torch.zeros_like(p)) for name in "mv")
        beta1, beta2 = betas(beta1, beta2)
        m = into_m(m, g, beta1)
        v = into_v(old, square(g, m), beta2)
        m_hat = correct_m(m, beta1, count(t))
        v_hat = correct_v(old if late else v, beta2, count(t))
        return p - rate(lr) * step(m_hat, v_hat, g, eps), {"m": m, "v": v}

    return step_of(rule)


def corrected_and_kept(begin: Callable[..., tuple[Tensor, Tensor]] = shown_to_adam) -> Step:
    """The corrected averages are kept, and corrected again at the next step."""

    def rule(
        p: Tensor,
        g: Tensor,
        kept: State,
        t: int,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        *decay: float,
    ) -> tuple[Tensor, State]:
        p, g = begin(p, g, lr, *decay)
        m, v = (kept.get(name, torch.zeros_like(p)) for name in "mv")
        m = average(m, g, beta1) / (1 - beta1**t)
        v = average(v, g**2, beta2) / (1 - beta2**t)
        return p - lr * fraction(m, v, g, eps), {"m": m, "v": v}

    return step_of(rule)


def eps_before_correction(begin: Callable[..., tuple[Tensor, Tensor]] = shown_to_adam) -> Step:
    """The short form of the paper's section 2: eps joins the root of the uncorrected average."""

    def rule(
        p: Tensor,
        g: Tensor,
        kept: State,
        t: int,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        *decay: float,
    ) -> tuple[Tensor, State]:
        p, g = begin(p, g, lr, *decay)
        m, v = (kept.get(name, torch.zeros_like(p)) for name in "mv")
        m, v = average(m, g, beta1), average(v, g**2, beta2)
        rate = lr * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
        return p - rate * m / (v.sqrt() + eps), {"m": m, "v": v}

    return step_of(rule)


def counted_in_the_loop(begin: Callable[..., tuple[Tensor, Tensor]] = shown_to_adam) -> Step:
    """t grows with every tensor."""

    def step(
        params: Tensors,
        grads: Tensors,
        state: State,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        *decay: float,
    ) -> tuple[Tensors, State]:
        t, kept, new, later = state.get("t", 0), state.get("kept", {}), {}, {}
        for name, p in params.items():
            t += 1
            p, g = begin(p, grads[name], lr, *decay)
            m, v = (kept.get(name, {}).get(key, torch.zeros_like(p)) for key in "mv")
            m, v = average(m, g, beta1), average(v, g**2, beta2)
            m_hat, v_hat = corrected(m, beta1, t), corrected(v, beta2, t)
            new[name], later[name] = p - lr * fraction(m_hat, v_hat, g, eps), {"m": m, "v": v}
        return new, {"t": t, "kept": later}

    return step


def slips(begin: Callable[..., tuple[Tensor, Tensor]] = shown_to_adam) -> tuple[Mistake, ...]:
    """Return the known slips of Adam, each made in a rule that begins like this."""

    def slip(**pieces: Any) -> Step:
        return by(begin=begin, **pieces)

    return (
        Mistake(
            "no_correction",
            slip(correct_m=uncorrected, correct_v=uncorrected),
            "the bias correction is forgotten: m and v start at 0 and are too small at first, so "
            "divide m by 1 - beta1**t and v by 1 - beta2**t",
        ),
        Mistake(
            "first_not_corrected",
            slip(correct_m=uncorrected),
            "m is not corrected, so the first steps are too short: divide it by 1 - beta1**t",
        ),
        Mistake(
            "second_not_corrected",
            slip(correct_v=uncorrected),
            "v is not corrected, so the first steps are far too long: divide it by 1 - beta2**t",
        ),
        Mistake(
            "t_from_zero",
            slip(count=lambda t: t - 1),
            "t is 0 at the first step, so you divide by 1 - beta**0 = 0: count the step before you "
            "correct, t = 1, 2, ...",
        ),
        Mistake(
            "t_too_large",
            slip(count=lambda t: t + 1),
            "t is 2 at the first step, so the correction comes a step early: the first step has "
            "t = 1",
        ),
        Mistake(
            "t_stuck",
            slip(count=lambda t: 1),
            "t stays 1, so the averages are blown up at every step: keep t in the state, and add 1 "
            "at each call",
        ),
        Mistake(
            "t_in_the_loop",
            counted_in_the_loop(begin),
            "t grows with every tensor: it counts steps, so add 1 once a call, before the loop",
        ),
        Mistake(
            "multiplied",
            slip(
                correct_m=lambda m, beta, t: m * (1 - beta**t),
                correct_v=lambda v, beta, t: v * (1 - beta**t),
            ),
            "you multiply by 1 - beta**t, which makes small averages smaller: divide by it",
        ),
        Mistake(
            "times_t",
            slip(
                correct_m=lambda m, beta, t: m / (1 - beta * t),
                correct_v=lambda v, beta, t: v / (1 - beta * t),
            ),
            "you divide by 1 - beta t: it is a power, 1 - beta**t",
        ),
        Mistake(
            "corrected_and_kept",
            corrected_and_kept(begin),
            "the corrected averages go into the state and are corrected again: keep m and v as "
            "they are, and correct copies of them",
        ),
        Mistake(
            "eps_inside",
            slip(step=lambda m, v, g, eps: m / (v + eps).sqrt()),
            "eps is inside the root: in Adam it is added after the root, sqrt(v_hat) + eps",
        ),
        Mistake(
            "eps_before_correction",
            eps_before_correction(begin),
            "eps is added to the root of the uncorrected v: correct v first, then take sqrt(v_hat) "
            "+ eps",
        ),
        Mistake(
            "no_eps",
            slip(step=lambda m, v, g, eps: m / v.sqrt()),
            "eps is not used, and an entry whose gradients were all 0 becomes nan: divide by "
            "sqrt(v_hat) + eps",
        ),
        Mistake(
            "no_root",
            slip(step=lambda m, v, g, eps: m / (v + eps)),
            "the root is missing: v is in units of the gradient squared; divide by sqrt(v_hat) + "
            "eps",
        ),
        Mistake(
            "betas_exchanged",
            slip(betas=lambda beta1, beta2: (beta2, beta1)),
            "the two betas are exchanged: beta1 belongs to m, beta2 to v",
        ),
        Mistake(
            "weights_exchanged",
            slip(into_m=exchanged, into_v=exchanged),
            "beta and 1 - beta are exchanged: beta is what is kept of the old average",
        ),
        Mistake(
            "weights_exchanged_in_m",
            slip(into_m=exchanged),
            "beta1 and 1 - beta1 are exchanged in m: beta1 is what is kept of the old average",
        ),
        Mistake(
            "weights_exchanged_in_v",
            slip(into_v=exchanged),
            "beta2 and 1 - beta2 are exchanged in v: beta2 is what is kept of the old average",
        ),
        Mistake(
            "sums",
            slip(
                into_m=lambda m, g, beta: beta * m + g,
                into_v=lambda v, square, beta: beta * v + square,
            ),
            "the new gradient and its square have weight 1: in Adam both are averages, so they get "
            "the weights 1 - beta1 and 1 - beta2",
        ),
        Mistake(
            "m_is_a_sum",
            slip(into_m=lambda m, g, beta: beta * m + g),
            "m is a sum, as in momentum: in Adam it is an average, beta1 m + (1 - beta1) g",
        ),
        Mistake(
            "square_of_m",
            slip(square=lambda g, m: m**2),
            "v averages the square of m: it averages the square of the gradient, g**2",
        ),
        Mistake(
            "not_squared",
            slip(square=lambda g, m: g),
            "v averages the gradients themselves, and the root of a negative average is nan: "
            "average g**2",
        ),
        Mistake(
            "no_momentum",
            slip(step=lambda m, v, g, eps: g / (v.sqrt() + eps)),
            "the step follows the new gradient: it follows the average, m_hat",
        ),
        Mistake(
            "late",
            slip(late=True),
            "you divide by the v of the step before, which is 0 at first: put the new g**2 in "
            "before you divide",
        ),
        Mistake(
            "uphill",
            slip(rate=lambda lr: -lr),
            "this goes uphill: subtract lr m_hat / (sqrt(v_hat) + eps)",
        ),
        Mistake(
            "no_lr",
            slip(rate=lambda lr: 1.0),
            "the learning rate is not used: subtract lr m_hat / (sqrt(v_hat) + eps)",
        ),
        Mistake(
            "m_forgotten",
            slip(into_m=lambda m, g, beta: (1 - beta) * g),
            "m is made of the new gradient alone: read the old m in the state, beta1 m + (1 - "
            "beta1) g, and return the new one there",
        ),
        Mistake(
            "v_forgotten",
            slip(into_v=lambda v, square, beta: (1 - beta) * square),
            "v is made of the new gradient alone: read the old v in the state, beta2 v + (1 - "
            "beta2) g**2, and return the new one there",
        ),
        Mistake(
            "forgotten",
            forgetful(slip()),
            "nothing is remembered from step to step, so each step is lr times the gradient's "
            "sign: return t, m and v in the state, and read them there at the next call",
        ),
        *usual_mistakes(slip()),
    )


def one_rate(
    params: Tensors,
    grads: Tensors,
    state: State,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[Tensors, State]:
    """Both corrections go into the rate and into eps."""
    t = state.get("t", 0) + 1
    first, root = 1 - beta1**t, (1 - beta2**t) ** 0.5
    new, later = {}, {}
    for name, p in params.items():
        m, v = state.get(name, (torch.zeros_like(p), torch.zeros_like(p)))
        m, v = m.lerp(grads[name], 1 - beta1), v.lerp(grads[name].square(), 1 - beta2)
        new[name] = p - (lr * root / first) * m / (v.sqrt() + root * eps)
        later[name] = (m, v)
    return new, {"t": t, **later}


def powers_kept(
    params: Tensors,
    grads: Tensors,
    state: State,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[Tensors, State]:
    """The powers of the betas are kept instead of t."""
    powers = [a * b for a, b in zip(state.get("powers", (1, 1)), (beta1, beta2), strict=True)]
    zeros = {name: torch.zeros_like(p) for name, p in params.items()}
    m, v = ({n: x.clone() for n, x in state.get(key, zeros).items()} for key in ("m", "v"))
    new = {}
    for name, g in grads.items():
        m[name].mul_(beta1).add_(g, alpha=1 - beta1)
        v[name].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        root = (v[name] / (1 - powers[1])).sqrt_().add_(eps)
        new[name] = params[name].addcdiv(m[name], root, value=-lr / (1 - powers[0]))
    return new, {"powers": powers, "m": m, "v": v}


def weighted_means(
    params: Tensors,
    grads: Tensors,
    state: State,
    lr: float,
    beta1: float,
    beta2: float,
    eps: float,
) -> tuple[Tensors, State]:
    """A corrected average is a weighted mean of all gradients so far."""
    past = [*state.get("past", []), grads]

    def mean(values: list[Tensor], beta: float) -> Tensor:
        ages = torch.arange(len(values) - 1, -1, -1, dtype=torch.float64)
        weights = beta**ages / (beta**ages).sum()
        return torch.tensordot(weights, torch.stack(values).double(), dims=1)

    new = {}
    for name, p in params.items():
        m = mean([g[name] for g in past], beta1)
        v = mean([g[name].double() ** 2 for g in past], beta2)
        new[name] = p - (lr * m / (v.sqrt() + eps)).to(p)
    return new, {"past": past}


adam_step = Question(
    name="adam_step",
    title="Adam",
    points=3,
    reference=reference,
    cases=cases,
    use=walk,
    forbidden=(BY_HAND,),
    mistakes=slips(),
    variants=(
        Variant("one rate with both corrections", one_rate),
        Variant("powers of beta kept", powers_kept),
        Variant("weighted means of all gradients", weighted_means),
        Variant("from pieces", by()),
    ),
    hints=(
        "The state can be {'t': t, 'm': {...}, 'v': {...}}. t = state.get('t', 0) + 1 comes first, "
        "once a call.",
        "m = beta1 * m + (1 - beta1) * g, and v likewise with beta2 and g ** 2. These go into the "
        "state as they are.",
        "m_hat = m / (1 - beta1 ** t), v_hat = v / (1 - beta2 ** t), and the step is lr * m_hat / "
        "(v_hat ** 0.5 + eps).",
    ),
)
