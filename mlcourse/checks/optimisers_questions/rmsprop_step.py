"""`rmsprop_step`: divides by the root of a moving average of squared gradients."""

from __future__ import annotations

from collections.abc import Callable

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

cases = walks_with((0.1, 0.9, 1e-8), (0.03, 0.99, 0.1), (0.02, 0.8, 0.05), (0.05, 0.5, 0.3))


def reference(
    params: Tensors, grads: Tensors, state: State, lr: float, alpha: float, eps: float
) -> tuple[Tensors, State]:
    s = {name: alpha * state.get(name, 0) + (1 - alpha) * g**2 for name, g in grads.items()}
    new = {name: p - lr * grads[name] / (s[name].sqrt() + eps) for name, p in params.items()}
    return new, s


def by(
    gather: Callable[[Tensor, Tensor, float], Tensor] = (
        lambda s, g, alpha: alpha * s + (1 - alpha) * g**2
    ),
    step: Callable[[Tensor, Tensor, float], Tensor] = lambda g, s, eps: g / (s.sqrt() + eps),
    correct: Callable[[Tensor, float, int], Tensor] = lambda s, alpha, t: s,
    sign: float = 1.0,
    late: bool = False,
) -> Step:
    """RMSProp with one of its pieces exchanged."""

    def rule(
        p: Tensor, g: Tensor, kept: State, t: int, lr: float, alpha: float, eps: float
    ) -> tuple[Tensor, State]:
        old = kept.get("s", torch.zeros_like(p))
        s = gather(old, g, alpha)
        used = correct(old if late else s, alpha, t)
        return p - sign * lr * step(g, used, eps), {"s": s}

    return step_of(rule)


def started_with_square(
    params: Tensors, grads: Tensors, state: State, lr: float, alpha: float, eps: float
) -> tuple[Tensors, State]:
    """The first square is the first average."""
    start = state or {name: g**2 for name, g in grads.items()}
    return reference(params, grads, start, lr, alpha, eps)


def no_lr(
    params: Tensors, grads: Tensors, state: State, lr: float, alpha: float, eps: float
) -> tuple[Tensors, State]:
    return by()(params, grads, state, 1.0, alpha, eps)


def by_lerp(
    params: Tensors, grads: Tensors, state: State, lr: float, alpha: float, eps: float
) -> tuple[Tensors, State]:
    squares = state.get("squares", {name: torch.zeros_like(g) for name, g in grads.items()})
    squares = {name: squares[name].lerp(g.square(), 1 - alpha) for name, g in grads.items()}
    rates = {name: lr / squares[name].sqrt().add(eps) for name in params}
    return {name: p - rates[name] * grads[name] for name, p in params.items()}, {"squares": squares}


def by_difference(
    params: Tensors, grads: Tensors, state: State, lr: float, alpha: float, eps: float
) -> tuple[Tensors, State]:
    """Moves the average towards the new square."""
    s, new = {}, {}
    for name, p in params.items():
        old = state[name] if name in state else torch.zeros_like(p)
        s[name] = old + (1 - alpha) * (grads[name].pow(2) - old)
        new[name] = p - lr * torch.div(grads[name], eps + s[name] ** 0.5)
    return new, s


def every_square_kept(
    params: Tensors, grads: Tensors, state: State, lr: float, alpha: float, eps: float
) -> tuple[Tensors, State]:
    """All squares, each weighted by its age."""
    past = [*state.get("past", []), {name: g * g for name, g in grads.items()}]
    ages = range(len(past) - 1, -1, -1)
    new = {}
    for name, p in params.items():
        s = (1 - alpha) * sum(alpha**age * q[name] for age, q in zip(ages, past, strict=True))
        new[name] = p - lr * grads[name] / (torch.as_tensor(s).sqrt() + eps)
    return new, {"past": past}


rmsprop_step = Question(
    name="rmsprop_step",
    title="RMSProp",
    points=1,
    reference=reference,
    cases=cases,
    use=walk,
    forbidden=(BY_HAND,),
    mistakes=(
        Mistake(
            "exchanged",
            by(lambda s, g, alpha: (1 - alpha) * s + alpha * g**2),
            "alpha and 1 - alpha are exchanged: alpha is what is kept of the old average, 1 - "
            "alpha the weight of the new square",
        ),
        Mistake(
            "sum",
            by(lambda s, g, alpha: s + g**2),
            "your s is the sum of all squares, as in AdaGrad: here it is a moving average, which "
            "forgets",
        ),
        Mistake(
            "unweighted",
            by(lambda s, g, alpha: alpha * s + g**2),
            "the new square has weight 1, so s is no average but up to 1/(1 - alpha) times one: "
            "give it the weight 1 - alpha",
        ),
        Mistake(
            "nothing_fades",
            by(lambda s, g, alpha: s + (1 - alpha) * g**2),
            "the old average does not fade: multiply it by alpha",
        ),
        Mistake(
            "not_squared",
            by(lambda s, g, alpha: alpha * s + (1 - alpha) * g),
            "you average the gradients themselves, and the root of a negative average is nan: "
            "average their squares",
        ),
        Mistake(
            "square_of_average",
            by(
                lambda s, g, alpha: alpha * s + (1 - alpha) * g,
                lambda g, s, eps: g / (s.abs() + eps),
            ),
            "you divide by the size of the average gradient, which is near 0 where signs "
            "alternate: square first, average, then take the root",
        ),
        Mistake(
            "average_of_sizes",
            by(
                lambda s, g, alpha: alpha * s + (1 - alpha) * g.abs(),
                lambda g, s, eps: g / (s + eps),
            ),
            "you average absolute values: average the squares, and take the root of that",
        ),
        Mistake(
            "no_root",
            by(step=lambda g, s, eps: g / (s + eps)),
            "the root is missing: s is in units of the gradient squared; divide by sqrt(s) + eps",
        ),
        Mistake(
            "eps_inside",
            by(step=lambda g, s, eps: g / (s + eps).sqrt()),
            "eps is inside the root: here it is added after the root, sqrt(s) + eps",
        ),
        Mistake(
            "no_eps",
            by(step=lambda g, s, eps: g / s.sqrt()),
            "eps is not used, and an entry whose gradients were all 0 becomes nan: divide by "
            "sqrt(s) + eps",
        ),
        Mistake(
            "corrected",
            by(correct=lambda s, alpha, t: s / (1 - alpha**t)),
            "you correct s for its start at 0: that is Adam's idea, RMSProp uses s as it is",
        ),
        Mistake(
            "started_with_square",
            started_with_square,
            "your s starts with the first square: here it starts at 0, so that after one step it "
            "is (1 - alpha) g**2",
        ),
        Mistake(
            "forgotten",
            forgetful(reference),
            "s forgets the earlier gradients: return the new s in the state, and read it there at "
            "the next call",
        ),
        Mistake(
            "late",
            by(late=True),
            "you divide by the s of the step before, which is 0 at first: put the new g**2 in "
            "before you divide",
        ),
        Mistake(
            "uphill",
            by(sign=-1.0),
            "this goes uphill: subtract lr g / (sqrt(s) + eps)",
        ),
        Mistake(
            "no_lr",
            no_lr,
            "the learning rate is not used: theta <- theta - lr g / (sqrt(s) + eps)",
        ),
        Mistake(
            "one_number",
            by(lambda s, g, alpha: alpha * s + (1 - alpha) * g.square().mean()),
            "all entries of a tensor share one average: each entry has its own",
        ),
        *usual_mistakes(by()),
    ),
    variants=(
        Variant("lerp", by_lerp),
        Variant("towards the new square", by_difference),
        Variant("all squares weighted by age", every_square_kept),
        Variant("from pieces", by()),
    ),
    hints=(
        "It differs from AdaGrad in one line, the one that renews s.",
        "s <- alpha s + (1 - alpha) g**2: the weights alpha and 1 - alpha sum to 1, which makes an "
        "average.",
        "Then lr * g / (s ** 0.5 + eps), with the new s.",
    ),
)
