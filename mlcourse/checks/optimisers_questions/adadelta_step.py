"""`adadelta_step`: the root mean square of the steps over that of the gradients."""

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

cases = walks_with((0.9, 1e-6), (0.95, 1e-2), (0.8, 1e-3), (0.5, 0.1))

Average = Callable[[Tensor, Tensor, float], Tensor]


def average(old: Tensor, square: Tensor, rho: float) -> Tensor:
    return rho * old + (1 - rho) * square


def exchanged(old: Tensor, square: Tensor, rho: float) -> Tensor:
    return (1 - rho) * old + rho * square


def ratio(s: Tensor, u: Tensor, g: Tensor, eps: float) -> Tensor:
    return (u + eps).sqrt() / (s + eps).sqrt() * g


def by(
    of_gradients: Average = average,
    of_steps: Average = average,
    delta: Callable[[Tensor, Tensor, Tensor, float], Tensor] = ratio,
    into_u: Callable[[Tensor, Tensor], Tensor] = lambda d, g: d**2,
    into_s: Callable[[Tensor], Tensor] = lambda g: g**2,
    sign: float = 1.0,
    late: bool = False,
    early: bool = False,
) -> Step:
    """Adadelta with one of its pieces exchanged.

    `late` divides by the s of before, `early` steps by the u that has this step in it.
    """

    def rule(
        p: Tensor, g: Tensor, kept: State, t: int, rho: float, eps: float
    ) -> tuple[Tensor, State]:
        old, u = (kept.get(name, torch.zeros_like(p)) for name in "su")
        s = of_gradients(old, into_s(g), rho)
        d = delta(old if late else s, u, g, eps)
        u = of_steps(u, into_u(d, g), rho)
        if early:
            d = delta(s, u, g, eps)
        return p - sign * d, {"s": s, "u": u}

    return step_of(rule)


def reference(
    params: Tensors, grads: Tensors, state: State, rho: float, eps: float
) -> tuple[Tensors, State]:
    s, u, new = {}, {}, {}
    for name, p in params.items():
        g, u_before = grads[name], state.get("u", {}).get(name, 0)
        s[name] = rho * state.get("s", {}).get(name, 0) + (1 - rho) * g**2
        d = (u_before + eps) ** 0.5 / (s[name] + eps) ** 0.5 * g
        u[name] = rho * u_before + (1 - rho) * d**2
        new[name] = p - d
    return new, {"s": s, "u": u}


def u_forgotten(
    params: Tensors, grads: Tensors, state: State, rho: float, eps: float
) -> tuple[Tensors, State]:
    new, state = reference(params, grads, state, rho, eps)
    return new, {"s": state["s"]}


def s_forgotten(
    params: Tensors, grads: Tensors, state: State, rho: float, eps: float
) -> tuple[Tensors, State]:
    new, state = reference(params, grads, state, rho, eps)
    return new, {"u": state["u"]}


def in_pairs(
    params: Tensors, grads: Tensors, state: State, rho: float, eps: float
) -> tuple[Tensors, State]:
    """One pair of averages for each tensor; a single root."""
    new, later = {}, {}
    for name, p in params.items():
        s, u = state.get(name, (torch.zeros_like(p), torch.zeros_like(p)))
        s = torch.lerp(s, grads[name] ** 2, 1 - rho)
        squared = (u + eps) / (s + eps)
        d = squared.sqrt() * grads[name]
        later[name] = (s, u.lerp(squared * grads[name].square(), 1 - rho))
        new[name] = p - d
    return new, later


def roots_kept(
    params: Tensors, grads: Tensors, state: State, rho: float, eps: float
) -> tuple[Tensors, State]:
    """Keeps averages that have eps in them: rho (s + eps) + (1 - rho)(g^2 + eps)."""
    if not state:
        state = {key: {name: torch.full_like(p, eps) for name, p in params.items()} for key in "su"}
    s = {n: rho * state["s"][n] + (1 - rho) * (g * g + eps) for n, g in grads.items()}
    d = {n: grads[n] * torch.sqrt(state["u"][n] / s[n]) for n in params}
    u = {n: rho * state["u"][n] + (1 - rho) * (d[n] * d[n] + eps) for n in params}
    return {n: params[n] - d[n] for n in params}, {"s": s, "u": u}


def steps_down(
    params: Tensors, grads: Tensors, state: State, rho: float, eps: float
) -> tuple[Tensors, State]:
    """d is the negative step, as in the paper, and is added."""
    new, kept = {}, {}
    for name, p in params.items():
        s, u = state.get(name, [0.0, 0.0])
        s = rho * s + (1 - rho) * grads[name].pow(2)
        d = -((u + eps) ** 0.5) * grads[name] * (s + eps).rsqrt()
        new[name], kept[name] = p + d, [s, rho * u + (1 - rho) * d.pow(2)]
    return new, kept


adadelta_step = Question(
    name="adadelta_step",
    title="Adadelta",
    points=2,
    reference=reference,
    cases=cases,
    use=walk,
    forbidden=(BY_HAND,),
    mistakes=(
        Mistake(
            "eps_outside",
            by(delta=lambda s, u, g, eps: (u.sqrt() + eps) / (s.sqrt() + eps) * g),
            "eps is added to the roots: in Adadelta it belongs inside them, sqrt(u + eps) / "
            "sqrt(s + eps)",
        ),
        Mistake(
            "eps_outside_below",
            by(delta=lambda s, u, g, eps: (u + eps).sqrt() / (s.sqrt() + eps) * g),
            "eps is added to the lower root: in Adadelta it belongs inside both, sqrt(u + eps) / "
            "sqrt(s + eps)",
        ),
        Mistake(
            "no_eps_above",
            by(delta=lambda s, u, g, eps: u.sqrt() / (s + eps).sqrt() * g),
            "eps is missing above, so no step is ever made: u starts at 0 and stays there; write "
            "sqrt(u + eps)",
        ),
        Mistake(
            "no_eps_below",
            by(delta=lambda s, u, g, eps: (u + eps).sqrt() / s.sqrt() * g),
            "eps is missing below, and an entry whose gradients were all 0 becomes nan: write "
            "sqrt(s + eps)",
        ),
        Mistake(
            "exchanged",
            by(delta=lambda s, u, g, eps: (s + eps).sqrt() / (u + eps).sqrt() * g),
            "the two averages are exchanged: that of the steps, u, stands above, that of the "
            "gradients, s, below",
        ),
        Mistake(
            "early",
            by(early=True),
            "u has this step in it before the step is made: the step uses the u of before, and "
            "then goes into u",
        ),
        Mistake(
            "late",
            by(late=True),
            "you divide by the s of the step before: put the new g**2 into s before you divide",
        ),
        Mistake(
            "gradients_in_u",
            by(into_u=lambda d, g: g**2),
            "u averages the squared gradients, like s: it averages the squared *steps*, d**2",
        ),
        Mistake(
            "steps_not_squared",
            by(into_u=lambda d, g: d),
            "u averages the steps themselves, whose signs cancel: average their squares, d**2",
        ),
        Mistake(
            "gradients_not_squared",
            by(into_s=lambda g: g),
            "s averages the gradients themselves, whose signs cancel: average their squares, g**2",
        ),
        Mistake(
            "rho_exchanged",
            by(exchanged, exchanged),
            "rho and 1 - rho are exchanged: rho is what is kept of the old averages",
        ),
        Mistake(
            "rho_exchanged_in_s",
            by(exchanged),
            "rho and 1 - rho are exchanged in s: rho is what is kept of the old average, as in u",
        ),
        Mistake(
            "rho_exchanged_in_u",
            by(average, exchanged),
            "rho and 1 - rho are exchanged in u: rho is what is kept of the old average, as in s",
        ),
        Mistake(
            "sums",
            by(lambda s, new, rho: s + new, lambda u, new, rho: u + new),
            "s and u are sums: both are moving averages, with the weights rho and 1 - rho",
        ),
        Mistake(
            "unweighted",
            by(lambda s, new, rho: rho * s + new, lambda u, new, rho: rho * u + new),
            "the new squares have weight 1, so s and u are no averages: give them the weight "
            "1 - rho",
        ),
        Mistake(
            "nothing_above",
            by(delta=lambda s, u, g, eps: g / (s + eps).sqrt()),
            "u is not used, which is RMSProp with lr = 1: multiply by sqrt(u + eps)",
        ),
        Mistake(
            "no_roots",
            by(delta=lambda s, u, g, eps: (u + eps) / (s + eps) * g),
            "the roots are missing: d has the parameter's unit only with sqrt(u + eps) / "
            "sqrt(s + eps)",
        ),
        Mistake(
            "uphill",
            by(sign=-1.0),
            "this goes uphill: d is subtracted from theta",
        ),
        Mistake(
            "forgotten",
            forgetful(reference),
            "both averages are forgotten from step to step: return the new ones in the state, and "
            "read them there at the next call",
        ),
        Mistake(
            "u_forgotten",
            u_forgotten,
            "u is forgotten from step to step, so the steps stay as small as the first: keep it in "
            "the state, beside s",
        ),
        Mistake(
            "s_forgotten",
            s_forgotten,
            "s is forgotten from step to step: keep it in the state, beside u",
        ),
        *usual_mistakes(by()),
    ),
    variants=(
        Variant("a pair for each tensor, one root", in_pairs),
        Variant("averages with eps in them", roots_kept),
        Variant("the negative step, added", steps_down),
        Variant("from pieces", by()),
    ),
    hints=(
        "The order matters: s with the new gradient, then d from s and the *old* u, then u with "
        "d, then theta.",
        "Two averages for each tensor: the state can be {'s': {...}, 'u': {...}}, and "
        "state.get('u', {}).get(name, 0) is the old u, 0 at first.",
        "d = (u + eps) ** 0.5 / (s + eps) ** 0.5 * g, and rho * u + (1 - rho) * d ** 2.",
    ),
)
