"""`adam_l2_step` and `adamw_step`: the two ways to combine Adam with weight decay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.optimisers_questions import adam_step as adam
from mlcourse.checks.optimisers_questions.shared import (
    BY_HAND,
    GRADS_CHANGED,
    State,
    Step,
    Tensors,
    step_of,
    walk,
    walks_with,
    without,
)

DECAYS = (0.5, 0.3, 1.0, 2.0)

cases = walks_with(
    *((*settings, decay) for settings, decay in zip(adam.SETTINGS, DECAYS, strict=True))
)

Settings = tuple[float, float, float, float]


# --- What comes before the rule: (p, g, lr, decay) -> (p, g) --------------------------------------


def coupled(p: Tensor, g: Tensor, lr: float, decay: float) -> tuple[Tensor, Tensor]:
    return p, g + decay * p


def decoupled(p: Tensor, g: Tensor, lr: float, decay: float) -> tuple[Tensor, Tensor]:
    return (1 - lr * decay) * p, g


def no_decay(p: Tensor, g: Tensor, lr: float, decay: float) -> tuple[Tensor, Tensor]:
    return p, g


def l2(params: Tensors, grads: Tensors, state: State, *settings: Any) -> tuple[Tensors, State]:
    *settings, decay = settings  # type: ignore[assignment]
    penalised = {name: g + decay * params[name] for name, g in grads.items()}
    return adam.reference(params, penalised, state, *settings)


def adamw(params: Tensors, grads: Tensors, state: State, *settings: Any) -> tuple[Tensors, State]:
    lr, *others, decay = settings
    new, state = adam.reference(params, grads, state, lr, *others)
    return {name: new[name] - lr * decay * p for name, p in params.items()}, state


def grads_in_place(step: Step, begin: Callable[..., tuple[Tensor, Tensor]]) -> Step:
    """The step, with the decay written into the caller's gradients."""

    def overwrites(
        params: Tensors, grads: Tensors, state: State, *settings: Any
    ) -> tuple[Tensors, State]:
        result = step(params, grads, state, *settings)
        for name, g in grads.items():
            g.copy_(begin(params[name], g, settings[0], settings[-1])[1])
        return result

    return overwrites


def then_shrunk(
    params: Tensors, grads: Tensors, state: State, *settings: Any
) -> tuple[Tensors, State]:
    lr, *others, decay = settings
    new, state = adam.reference(params, grads, state, lr, *others)
    return {name: (1 - lr * decay) * p for name, p in new.items()}, state


def one_moment(first: bool, second: bool) -> Step:
    """The penalty's gradient goes into one of the two averages, or into neither."""

    def rule(
        p: Tensor,
        g: Tensor,
        kept: State,
        t: int,
        lr: float,
        beta1: float,
        beta2: float,
        eps: float,
        decay: float,
    ) -> tuple[Tensor, State]:
        m, v = (kept.get(name, torch.zeros_like(p)) for name in "mv")
        penalised = g + decay * p
        m = adam.average(m, penalised if first else g, beta1)
        v = adam.average(v, (penalised if second else g) ** 2, beta2)
        top = adam.corrected(m, beta1, t)
        if not (first or second):
            top = top + decay * p
        root = adam.corrected(v, beta2, t).sqrt()
        return p - lr * top / (root + eps), {"m": m, "v": v}

    return step_of(rule)


# --- Right answers that look different ------------------------------------------------------------


def l2_by_one_rate(
    params: Tensors, grads: Tensors, state: State, *settings: Any
) -> tuple[Tensors, State]:
    *settings, decay = settings  # type: ignore[assignment]
    penalised = {name: torch.add(grads[name], p, alpha=decay) for name, p in params.items()}
    return adam.one_rate(params, penalised, state, *settings)


def l2_by_powers(
    params: Tensors, grads: Tensors, state: State, *settings: Any
) -> tuple[Tensors, State]:
    penalised = {name: params[name].mul(settings[-1]).add_(g) for name, g in grads.items()}
    return adam.powers_kept(params, penalised, state, *settings[:-1])


def w_shrunk_first(
    params: Tensors, grads: Tensors, state: State, *settings: Any
) -> tuple[Tensors, State]:
    """As in torch: the parameters shrink, and Adam's step starts from there."""
    lr, *others, decay = settings
    shrunk = {name: p * (1 - lr * decay) for name, p in params.items()}
    return adam.one_rate(shrunk, grads, state, lr, *others)


def w_by_powers(
    params: Tensors, grads: Tensors, state: State, *settings: Any
) -> tuple[Tensors, State]:
    new, state = adam.powers_kept(params, grads, state, *settings[:-1])
    for name, p in params.items():
        new[name].sub_(p, alpha=settings[0] * settings[-1])
    return new, state


L2_SLIPS = without(adam.slips(coupled), "cast")
W_SLIPS = without(adam.slips(decoupled), "cast")

adam_l2_step = Question(
    name="adam_l2_step",
    title="Adam with an L2 penalty",
    points=1,
    reference=l2,
    cases=cases,
    use=walk,
    forbidden=(BY_HAND,),
    mistakes=(
        Mistake(
            "decoupled",
            adamw,
            "this decay is decoupled, as in AdamW: a penalty is part of the loss, so its gradient, "
            "decay times theta, joins g before m and v see it",
        ),
        Mistake(
            "no_decay",
            adam.by(begin=no_decay),
            "the penalty is left out: g + decay theta takes the place of g",
        ),
        Mistake(
            "growth",
            adam.by(begin=lambda p, g, lr, decay: (p, g - decay * p)),
            "the penalty has the wrong sign: its gradient is + decay times theta",
        ),
        Mistake(
            "twice",
            adam.by(begin=lambda p, g, lr, decay: (p, g + 2 * decay * p)),
            "your decay is twice ours: the gradient of decay/2 ||theta||^2 is decay theta",
        ),
        Mistake(
            "scaled_by_lr",
            adam.by(begin=lambda p, g, lr, decay: (p, g + lr * decay * p)),
            "the decay is multiplied by lr before it joins the gradient: lr comes with the step, "
            "so here it is g + decay theta",
        ),
        Mistake(
            "first_moment_only",
            one_moment(first=True, second=False),
            "only m sees the penalty: its gradient is part of g, so v is made of (g + decay "
            "theta)**2",
        ),
        Mistake(
            "second_moment_only",
            one_moment(first=False, second=True),
            "only v sees the penalty: its gradient is part of g, so m is made of g + decay theta",
        ),
        Mistake(
            "past_the_moments",
            one_moment(first=False, second=False),
            "decay theta is added to m_hat: it joins the gradient before, so that both averages "
            "see it",
        ),
        Mistake("grads_in_place", grads_in_place(l2, coupled), GRADS_CHANGED),
        *L2_SLIPS,
    ),
    variants=(
        Variant("one rate with both corrections", l2_by_one_rate),
        Variant("powers of beta kept", l2_by_powers),
        Variant("from pieces", adam.by(begin=coupled)),
    ),
    hints=(
        "A penalty changes the loss, and so the gradient. What changes in the rule itself?",
        "Nothing: Adam gets another dict of gradients, and m and v are made of those.",
        "The new dict holds grads[name] + decay * params[name]. Your adam_step can do the rest.",
    ),
)

adamw_step = Question(
    name="adamw_step",
    title="AdamW",
    points=2,
    reference=adamw,
    cases=cases,
    use=walk,
    forbidden=(BY_HAND,),
    mistakes=(
        Mistake(
            "coupled",
            l2,
            "this decay is coupled, as in Adam with an L2 penalty: it goes through m and v and is "
            "divided by the root; subtract lr decay theta beside Adam's step instead",
        ),
        Mistake(
            "no_decay",
            adam.by(begin=no_decay),
            "there is no decay: subtract lr decay theta as well",
        ),
        Mistake(
            "not_scaled",
            adam.by(begin=lambda p, g, lr, decay: ((1 - decay) * p, g)),
            "the decay is not multiplied by lr: here, as in torch, theta shrinks by lr decay theta",
        ),
        Mistake(
            "growth",
            adam.by(begin=lambda p, g, lr, decay: ((1 + lr * decay) * p, g)),
            "the parameters grow: subtract lr decay theta",
        ),
        Mistake(
            "then_shrunk",
            then_shrunk,
            "Adam's step shrinks too: the decay belongs to the old theta, so subtract both from it",
        ),
        Mistake(
            "inside_the_fraction",
            one_moment(first=False, second=False),
            "the decay is inside the fraction and so divided by the root, which is what AdamW "
            "avoids: subtract lr decay theta outside",
        ),
        Mistake(
            "both",
            adam.by(
                begin=lambda p, g, lr, decay: ((1 - lr * decay) * p, g + decay * p),
            ),
            "the decay is applied twice, in the gradient and to theta: in AdamW the gradient is "
            "left alone",
        ),
        Mistake(
            "twice",
            adam.by(begin=lambda p, g, lr, decay: ((1 - 2 * lr * decay) * p, g)),
            "your decay is twice ours: theta shrinks by lr decay theta",
        ),
        *W_SLIPS,
    ),
    variants=(
        Variant("shrunk first", w_shrunk_first),
        Variant("powers of beta kept", w_by_powers),
        Variant("from pieces", adam.by(begin=decoupled)),
    ),
    hints=(
        "The gradient stays as it is, and so do m and v. What is subtracted besides Adam's step?",
        "A share of the parameters, lr times decay, of the *old* ones: the step does not decay.",
        "Let your adam_step make its step, and subtract lr * decay * params[name] from what it "
        "returns.",
    ),
)
