"""`adagrad_step`: divides by the root of the sum of all squared gradients."""

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

cases = walks_with((0.1, 1e-8), (0.3, 0.1), (0.2, 0.05), (0.05, 0.3))


def reference(
    params: Tensors, grads: Tensors, state: State, lr: float, eps: float
) -> tuple[Tensors, State]:
    s = {name: state.get(name, 0) + g**2 for name, g in grads.items()}
    new = {name: p - lr * grads[name] / (s[name].sqrt() + eps) for name, p in params.items()}
    return new, s


def by(
    gather: Callable[[Tensor, Tensor, int], Tensor] = lambda s, g, t: s + g**2,
    step: Callable[[Tensor, Tensor, int, float], Tensor] = (
        lambda g, s, t, eps: g / (s.sqrt() + eps)
    ),
    sign: float = 1.0,
    late: bool = False,
) -> Step:
    """AdaGrad with one of its pieces exchanged."""

    def rule(
        p: Tensor, g: Tensor, kept: State, t: int, lr: float, eps: float
    ) -> tuple[Tensor, State]:
        old = kept.get("s", torch.zeros_like(p))
        s = gather(old, g, t)
        return p - sign * lr * step(g, old if late else s, t, eps), {"s": s}

    return step_of(rule)


def no_lr(
    params: Tensors, grads: Tensors, state: State, lr: float, eps: float
) -> tuple[Tensors, State]:
    return by()(params, grads, state, 1.0, eps)


def one_for_all(
    params: Tensors, grads: Tensors, state: State, lr: float, eps: float
) -> tuple[Tensors, State]:
    """One number for the whole network: all its squared gradients."""
    s = state.get("s", 0.0) + sum(float(g.square().sum()) for g in grads.values())
    return {name: p - lr * grads[name] / (s**0.5 + eps) for name, p in params.items()}, {"s": s}


def every_gradient_kept(
    params: Tensors, grads: Tensors, state: State, lr: float, eps: float
) -> tuple[Tensors, State]:
    past = {name: [*state.get(name, []), g] for name, g in grads.items()}
    new = {}
    for name, p in params.items():
        new[name] = p - lr * grads[name] / (torch.stack(past[name]).norm(dim=0) + eps)
    return new, past


def root_kept(
    params: Tensors, grads: Tensors, state: State, lr: float, eps: float
) -> tuple[Tensors, State]:
    """The root is kept instead of the sum."""
    root = {name: torch.hypot(state.get(name, torch.zeros_like(g)), g) for name, g in grads.items()}
    new = {
        name: torch.addcdiv(p, grads[name], root[name] + eps, value=-lr)
        for name, p in params.items()
    }
    return new, root


def copied_lists(
    params: Tensors, grads: Tensors, state: State, lr: float, eps: float
) -> tuple[Tensors, State]:
    """Copies first, then operators in place."""
    s = {name: state[name].clone() if state else torch.zeros_like(p) for name, p in params.items()}
    new = {name: p.clone() for name, p in params.items()}
    for name, g in grads.items():
        s[name] += g * g
        new[name] -= (lr / (torch.sqrt(s[name]) + eps)) * g
    return new, s


adagrad_step = Question(
    name="adagrad_step",
    title="AdaGrad",
    points=2,
    reference=reference,
    cases=cases,
    use=walk,
    forbidden=(BY_HAND,),
    mistakes=(
        Mistake(
            "gradients_summed",
            by(lambda s, g, t: s + g),
            "you sum the gradients themselves, whose signs cancel, and the root of a negative sum "
            "is nan: sum their squares",
        ),
        Mistake(
            "by_values",
            by(lambda s, g, t: s + g, lambda g, s, t, eps: g / (s + eps)),
            "you divide by the sum of the past values of the gradient: it is the root of the sum "
            "of their *squares*",
        ),
        Mistake(
            "by_absolute_values",
            by(lambda s, g, t: s + g.abs(), lambda g, s, t, eps: g / (s + eps)),
            "you divide by the sum of absolute values: it is the root of the sum of squares, which "
            "grows more slowly",
        ),
        Mistake(
            "root_of_absolute_values",
            by(lambda s, g, t: s + g.abs()),
            "you sum absolute values and take the root: sum the squares, g**2",
        ),
        Mistake(
            "no_root",
            by(step=lambda g, s, t, eps: g / (s + eps)),
            "the root is missing: without it the step does not have the same size whatever the "
            "gradient's unit; divide by sqrt(s) + eps",
        ),
        Mistake(
            "eps_inside",
            by(step=lambda g, s, t, eps: g / (s + eps).sqrt()),
            "eps is inside the root: here it is added after the root, sqrt(s) + eps",
        ),
        Mistake(
            "no_eps",
            by(step=lambda g, s, t, eps: g / s.sqrt()),
            "eps is not used, and an entry whose gradients were all 0 becomes nan: divide by "
            "sqrt(s) + eps",
        ),
        Mistake(
            "mean_of_squares",
            by(step=lambda g, s, t, eps: g / ((s / t).sqrt() + eps)),
            "you divide by the root of the *mean* square, so the steps do not become smaller: here "
            "it is the sum",
        ),
        Mistake(
            "moving_average",
            by(lambda s, g, t: 0.9 * s + 0.1 * g**2),
            "your s is a moving average, as in RMSProp: AdaGrad's is a plain sum, s + g**2",
        ),
        Mistake(
            "forgotten",
            forgetful(reference),
            "s forgets the earlier gradients, so every step has nearly the size lr: return the new "
            "s in the state, and read it there at the next call",
        ),
        Mistake(
            "late",
            by(late=True),
            "you divide by the s of the step before, which is 0 at first: add the new g**2 before "
            "you divide",
        ),
        Mistake(
            "over_steps",
            by(step=lambda g, s, t, eps: g / (t**0.5 * (s.sqrt() + eps))),
            "you divide by the root of t as well: the sum in s makes the steps smaller already",
        ),
        Mistake(
            "uphill",
            by(sign=-1.0),
            "this goes uphill: subtract lr g / (sqrt(s) + eps)",
        ),
        Mistake(
            "times_root",
            by(step=lambda g, s, t, eps: g * (s.sqrt() + eps)),
            "you multiply by the root: divide by it, so that large gradients get a small rate",
        ),
        Mistake(
            "sign_only",
            by(step=lambda g, s, t, eps: g.abs() / (s.sqrt() + eps)),
            "the step has lost the gradient's sign: only the divisor is made of squares",
        ),
        Mistake(
            "no_lr",
            no_lr,
            "the learning rate is not used: theta <- theta - lr g / (sqrt(s) + eps)",
        ),
        Mistake(
            "one_number",
            by(lambda s, g, t: s + g.square().sum()),
            "all entries of a tensor share one sum: each entry has its own, s + g**2",
        ),
        Mistake(
            "one_for_all",
            one_for_all,
            "the whole network shares one sum: each entry of each tensor has its own, s + g**2",
        ),
        *usual_mistakes(by()),
    ),
    variants=(
        Variant("a list of all gradients", every_gradient_kept),
        Variant("the root is kept", root_kept),
        Variant("copies, then in place", copied_lists),
        Variant("from pieces", by()),
    ),
    hints=(
        "What has to be remembered from step to step? One number for each parameter.",
        "s = {name: state.get(name, 0) + grads[name] ** 2 for name in params}. Squares are never "
        "negative, so they cannot cancel.",
        "The step of an entry is lr * g / (s ** 0.5 + eps), with the new s.",
    ),
)
