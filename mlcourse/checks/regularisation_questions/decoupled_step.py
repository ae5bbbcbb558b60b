"""`decoupled_step`: one step of AdamW, from the two corrected averages of Adam."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.declare import Forbidden, Mistake, Question, Variant

Step = Callable[[Tensor, Tensor, Tensor, float, float, float], Tensor]

BY_HAND = Forbidden(
    "optim",
    "the step is to be written out here: leave torch.optim out",
    attributes=frozenset({"Adam", "AdamW", "optim"}),
    traps=("torch.optim.Adam.step",),
)


def cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor, float, float, float]]:
    """(w, m, v, lr, decay, eps): an eps that is seen, and no decay in one case."""
    found = []
    for shape, lr, decay, eps, dtype in (
        ((4, 3), 0.1, 0.5, 0.05, torch.float64),
        ((5,), 0.3, 0.2, 1e-8, torch.float32),
        ((3, 3), 0.05, 1.2, 0.2, torch.float64),
        ((2, 2, 3), 0.2, 0.0, 0.1, torch.float64),
        ((6,), 0.4, 0.3, 0.02, torch.float32),
    ):
        w, m = (normal(*shape, generator=g, dtype=dtype) for _ in range(2))
        v = 0.1 + 2 * torch.rand(shape, generator=g, dtype=dtype)
        found.append((w, m, v, lr, decay, eps))
    return found


def adam(m: Tensor, v: Tensor, eps: float) -> Tensor:
    return m / (v.sqrt() + eps)


def by(
    direction: Callable[[Tensor, Tensor, float], Tensor] = adam,
    decayed: Callable[[Tensor, float, float], Tensor] = lambda w, lr, decay: w - lr * decay * w,
) -> Step:
    """A step whose direction, or whose decay, is exchanged."""
    return lambda w, m, v, lr, decay, eps: decayed(w, lr, decay) - lr * direction(m, v, eps)


def coupled(factor: float) -> Step:
    """The decay joins the gradient, so Adam divides it as well."""

    def step(w: Tensor, m: Tensor, v: Tensor, lr: float, decay: float, eps: float) -> Tensor:
        return w - lr * (m + factor * decay * w) / (v.sqrt() + eps)

    return step


def decay_after(w: Tensor, m: Tensor, v: Tensor, lr: float, decay: float, eps: float) -> Tensor:
    return (w - lr * adam(m, v, eps)) * (1 - lr * decay)


def in_place(w: Tensor, m: Tensor, v: Tensor, lr: float, decay: float, eps: float) -> Tensor:
    return w.mul_(1 - lr * decay).sub_(lr * adam(m, v, eps))


def in_numpy(w: Tensor, m: Tensor, v: Tensor, lr: float, decay: float, eps: float) -> np.ndarray:
    direction = m.numpy() / (np.sqrt(v.numpy()) + eps)
    step: np.ndarray = lr * (direction + decay * w.numpy())
    return (w.numpy() - step).astype(w.numpy().dtype)


def by_addcdiv(w: Tensor, m: Tensor, v: Tensor, lr: float, decay: float, eps: float) -> Tensor:
    return torch.addcdiv(w * (1 - lr * decay), m, v.sqrt().add(eps), value=-lr)


decoupled_step = Question(
    name="decoupled_step",
    title="Decoupled weight decay",
    points=2,
    reference=by(),
    cases=cases,
    parts=("the weights",),
    forbidden=(BY_HAND,),
    mistakes=(
        Mistake(
            "coupled",
            coupled(1),
            "the decay is added to m and then divided by the root of v with it, as an L2 penalty "
            "is in Adam: decoupled, it is taken from the weight directly, lr times decay times w",
        ),
        Mistake(
            "coupled_twice",
            coupled(2),
            "the gradient 2 decay w of a penalty goes through Adam's division: decoupled, "
            "lr times decay times w is taken from the weight directly",
        ),
        Mistake(
            "no_lr_in_decay",
            by(decayed=lambda w, lr, decay: w - decay * w),
            "the decay is not multiplied by the learning rate: it is lr times decay times w",
        ),
        Mistake(
            "doubled",
            by(decayed=lambda w, lr, decay: w - 2 * lr * decay * w),
            "the decay is doubled: there is no penalty to differentiate here, so no factor 2",
        ),
        Mistake(
            "decay_after",
            decay_after,
            "the decay acts on the weight after Adam's step: both parts use the w that came in",
        ),
        Mistake(
            "grown",
            by(decayed=lambda w, lr, decay: w + lr * decay * w),
            "the decay makes the weights larger: subtract it",
        ),
        Mistake(
            "constant",
            by(decayed=lambda w, lr, decay: w - lr * decay),
            "the same amount is taken from every weight, whatever its sign: the decay is "
            "proportional to w",
        ),
        Mistake(
            "no_decay",
            by(decayed=lambda w, lr, decay: w),
            "there is no decay in it: subtract lr times decay times w as well",
        ),
        Mistake(
            "decay_alone",
            by(direction=lambda m, v, eps: torch.zeros_like(m)),
            "Adam's own step is missing: subtract lr m / (root of v, plus eps) as well",
        ),
        Mistake(
            "uphill",
            by(direction=lambda m, v, eps: -adam(m, v, eps)),
            "Adam's step goes uphill: subtract it",
        ),
        Mistake(
            "eps_in_the_root",
            by(direction=lambda m, v, eps: m / (v + eps).sqrt()),
            "eps is inside the root: in Adam it is added to the root of v",
        ),
        Mistake(
            "no_eps",
            by(direction=lambda m, v, eps: m / v.sqrt()),
            "eps is missing: it keeps the division from an overflow where v is 0",
        ),
        Mistake(
            "no_root",
            by(direction=lambda m, v, eps: m / (v + eps)),
            "m is divided by v: divide by its root, which has the unit of a gradient",
        ),
        Mistake(
            "not_divided",
            by(direction=lambda m, v, eps: m),
            "m is not divided by the root of v, so this is SGD with momentum",
        ),
        Mistake("in_place", in_place, "the caller's w is changed: return a new tensor"),
        Mistake("cast", lambda *args: by()(*args).float(), ONE_DTYPE),
    ),
    variants=(
        Variant("a factor first", by(decayed=lambda w, lr, decay: w * (1 - lr * decay))),
        Variant("addcdiv", by_addcdiv),
        Variant("a detour by NumPy", in_numpy),
    ),
    hints=(
        "Two amounts are taken from w: Adam's step, and the decay. Write them one after the other.",
        "The decay never meets v. It is lr * decay * w, with the w that came in.",
        "Adam's step is lr * m / (v.sqrt() + eps).",
    ),
)
