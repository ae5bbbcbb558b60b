"""`Adam`: the rule as a torch.optim.Optimizer, which lives and steps beside the student's code."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor
from torch.optim import Optimizer

from mlcourse.checks.compare import plain
from mlcourse.checks.declare import Forbidden, Mistake, Question, Variant
from mlcourse.checks.judge import beside
from mlcourse.checks.optimisers_questions.adam_step import slips as slips_of_step
from mlcourse.checks.optimisers_questions.shared import BY_HAND, UNTOUCHED, draw_tensors

Groups = list[dict[str, Any]]
Betas = tuple[float, float]

NAMES = ("first", "second", "third")
SHAPES = {"first": (3, 2), "second": (3,), "third": (3,)}

OWN_ADAM = Forbidden(
    "optim",
    "the rule is to be written out here: of torch.optim only Optimizer is needed",
    attributes=BY_HAND.attributes - {"optim"},
    traps=BY_HAND.traps,
)


def cases(g: Generator) -> list[tuple]:
    """(groups, gradients, factors of the rate, lr, betas, eps).

    One group; two with rates of their own under a schedule; gradients that are not there; settings
    of a group's own, two of equal shape in it.
    """
    found = []
    for settings, others, factors, missing, dtype in (
        ((0.1, (0.9, 0.999), 0.1), [{}], (1, 1, 1, 1), set(), torch.float64),
        ((0.2, (0.8, 0.9), 1e-8), [{}, {"lr": 0.03}], (1, 1, 0.5, 1, 0.1), set(), torch.float64),
        (
            (0.1, (0.5, 0.95), 0.05),
            [{}],
            (1, 1, 1, 1, 1, 1),
            {(0, 1), (1, 1), (3, 0)},
            torch.float32,
        ),
        (
            (0.05, (0.9, 0.99), 0.3),
            [{}, {"betas": (0.5, 0.8), "eps": 0.01}],
            (1, 1, 1, 1),
            set(),
            torch.float64,
        ),
    ):
        values = list(draw_tensors(SHAPES, g, dtype).values())
        groups: Groups = [{**own} for own in others]
        groups[0]["params"], groups[-1]["params"] = values[:1], values[1:]
        if len(groups) == 1:
            groups[0]["params"] = values
        grads: list[list[Tensor | None]] = [
            list(draw_tensors(SHAPES, g, dtype).values()) for _ in factors
        ]
        for t, index in missing:
            grads[t][index] = None
        for row in grads:
            if row[2] is not None:
                row[2][0] = 0
        found.append((groups, grads, list(factors), *settings))
    return found


def use(
    answer: Callable,
    groups: Groups,
    grads: list,
    factors: list[float],
    lr: float,
    betas: Betas,
    eps: float,
) -> Any:
    """Make the optimiser and let it step, both beside the answer."""
    optimise = beside(answer, "witness", "optimise")
    ran = plain(optimise(answer, groups, grads, factors, lr, betas, eps))
    return {
        **{
            f"the parameters after step {t}": dict(zip(NAMES, place, strict=True))
            for t, place in enumerate(ran["places"], start=1)
        },
        "the gradients": UNTOUCHED if ran["grads_kept"] else "changed",
    }


class Reference(Optimizer):
    """Adam, one parameter after the other."""

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update each parameter that has a gradient."""
        for group in self.param_groups:
            beta1, beta2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                t = state["t"] = state.get("t", 0) + 1
                m = state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * p.grad
                v = state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * p.grad**2
                m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
                p -= group["lr"] * m_hat / (v_hat.sqrt() + group["eps"])


# --- Pieces of an optimiser, right and wrong ------------------------------------------------------


def each_present(optimizer: Optimizer) -> Iterator[tuple[dict, Any]]:
    """Every parameter that has a gradient, with its group."""
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.grad is not None:
                yield group, p


def each_of_first_group(optimizer: Optimizer) -> Iterator[tuple[dict, Any]]:
    return ((group, p) for group, p in each_present(optimizer) if group is first(optimizer))


def each_until_none(optimizer: Optimizer) -> Iterator[tuple[dict, Any]]:
    for group in optimizer.param_groups:
        for p in group["params"]:
            if p.grad is None:
                return
            yield group, p


def each(optimizer: Optimizer) -> Iterator[tuple[dict, Any]]:
    return ((group, p) for group in optimizer.param_groups for p in group["params"])


def first(optimizer: Optimizer) -> dict:
    return optimizer.param_groups[0]


def own_count(optimizer: Any, state: dict, place: int) -> int:
    """The updates of this parameter."""
    state["t"] = state.get("t", 0) + 1
    return int(state["t"])


def steps_of_all(optimizer: Any, state: dict, place: int) -> int:
    """The calls of step()."""
    return int(optimizer.calls)


def counted_in_the_loop(optimizer: Any, state: dict, place: int) -> int:
    """The updates of all parameters together."""
    optimizer.updates = getattr(optimizer, "updates", 0) + 1
    return int(optimizer.updates)


def fraction(m: Tensor, v: Tensor, beta1: float, beta2: float, t: int, eps: float) -> Tensor:
    return m / (1 - beta1**t) / ((v / (1 - beta2**t)).sqrt() + eps)


def subtract_(p: Tensor, step: Tensor) -> None:
    p -= step


def rebind(p: Tensor, step: Tensor) -> None:
    p = p - step


def add_(p: Tensor, step: Tensor) -> None:
    p += step


def adam_by(
    parameters: Callable[[Optimizer], Iterator[tuple[dict, Any]]] = each_present,
    settings: Callable[[Optimizer, dict], dict] = lambda optimizer, group: group,
    gradient: Callable[[Any], Any] = lambda p: p.grad,
    count: Callable[[Any, dict, int], int] = own_count,
    state_of: Callable[[Any, Any], dict] = lambda optimizer, p: optimizer.state[p],
    rule: Callable[..., Tensor] = fraction,
    move: Callable[[Tensor, Tensor], None] = subtract_,
    recorded: bool = False,
    after: Callable[[Any], Any] = lambda p: None,
) -> type[Optimizer]:
    """Adam as an optimiser, with one of its pieces exchanged."""

    class Adam(Optimizer):
        calls = 0

        def __init__(
            self, params: Any, lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8
        ) -> None:
            super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})

        def step(self, closure: Any = None) -> Any:
            self.calls += 1
            with torch.set_grad_enabled(recorded):
                for place, (group, p) in enumerate(parameters(self)):
                    self.update(p, settings(self, group), place)

        def update(self, p: Any, group: dict, place: int) -> None:
            (beta1, beta2), state, g = group["betas"], state_of(self, p), gradient(p)
            t = count(self, state, place)
            state["m"] = beta1 * state.get("m", 0) + (1 - beta1) * g
            state["v"] = beta2 * state.get("v", 0) + (1 - beta2) * g**2
            step = rule(state["m"], state["v"], beta1, beta2, t, group["eps"])
            move(p, group["lr"] * step)
            after(p)

    return Adam


def failing(error: Exception) -> Callable[..., Any]:
    """What cannot even be made, or not be used, and fails like this."""

    def fails(*args: Any) -> Any:
        raise error

    return fails


def looking_up(key: str) -> type[Optimizer]:
    """Looks a key up in a state that is still empty."""

    def fails(optimizer: Any, state: dict, place: int) -> int:
        raise KeyError(key)

    return adam_by(count=fails)


def zero_(p: Any) -> None:
    p.grad.zero_()


def zeros_for_none(p: Any) -> Tensor:
    return torch.zeros_like(p) if p.grad is None else p.grad


# --- Right answers that look different ------------------------------------------------------------


class OnData(Optimizer):
    """Works on p.data, with zeros at the start and operators in place."""

    def __init__(
        self, params: Any, lr: float = 1e-3, betas: Betas = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps})
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p] = {"n": 0, "m": torch.zeros_like(p), "v": torch.zeros_like(p)}

    def step(self, closure: Any = None) -> Any:
        """Update each parameter that has a gradient."""
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in filter(lambda p: p.grad is not None, group["params"]):
                state, g = self.state[p], p.grad.data
                state["n"] += 1
                state["m"].mul_(b1).add_(g, alpha=1 - b1)
                state["v"].mul_(b2).addcmul_(g, g, value=1 - b2)
                root = state["v"].sqrt().div_(math.sqrt(1 - b2 ** state["n"])).add_(group["eps"])
                p.data.addcdiv_(state["m"], root, value=-group["lr"] / (1 - b1 ** state["n"]))


class AllAtOnce(Reference):
    """A list of tensors at a time, by torch._foreach_*; a closure gives the loss."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        """Update each parameter that has a gradient, and return the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            states = [self.state[p] for p in params]
            for p, state in zip(params, states, strict=True):
                state.setdefault("step", 0)
                state["step"] += 1
                for name in ("m", "v"):
                    state.setdefault(name, torch.zeros_like(p))
            self.update(group, params, states)
        return loss

    def update(self, group: dict, params: list[Any], states: list[dict]) -> None:
        """Move the parameters of one group."""
        beta1, beta2 = group["betas"]
        grads, steps = [p.grad for p in params], [state["step"] for state in states]
        m, v = [state["m"] for state in states], [state["v"] for state in states]
        torch._foreach_lerp_(m, grads, 1 - beta1)
        torch._foreach_lerp_(v, torch._foreach_mul(grads, grads), 1 - beta2)
        m_hat = torch._foreach_div(m, [1 - beta1**t for t in steps])
        root = torch._foreach_sqrt(torch._foreach_div(v, [1 - beta2**t for t in steps]))
        torch._foreach_add_(root, group["eps"])
        torch._foreach_addcdiv_(params, m_hat, root, value=-group["lr"])


class OwnDict(Reference):
    """Keeps its averages in a dict of its own, by the parameter's number."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.kept: dict[int, tuple[int, Any, Any]] = {}

    def step(self, closure: Any = None) -> Any:
        """Update each parameter that has a gradient."""
        for group, p in each_present(self):
            (beta1, beta2), g = group["betas"], p.grad.clone()
            t, m, v = self.kept.get(id(p), (0, 0.0, 0.0))
            t, m, v = t + 1, m * beta1 + g * (1 - beta1), v * beta2 + g.square() * (1 - beta2)
            self.kept[id(p)] = t, m, v
            rate = group["lr"] * (1 - beta2**t) ** 0.5 / (1 - beta1**t)
            with torch.no_grad():
                p.copy_(p - rate * m / (v.sqrt() + (1 - beta2**t) ** 0.5 * group["eps"]))


SAYS = {mistake.name: mistake.says for mistake in slips_of_step()}

Adam = Question(
    name="Adam",
    title="Adam as an optimiser",
    points=3,
    reference=Reference,
    cases=cases,
    use=use,
    forbidden=(OWN_ADAM,),
    mistakes=(
        Mistake(
            "no_super",
            failing(AttributeError("'Adam' object has no attribute 'param_groups'")),
            "there are no self.param_groups: derive the class from torch.optim.Optimizer, and call "
            "super().__init__(params, defaults), which makes them",
        ),
        Mistake(
            "no_defaults",
            failing(
                TypeError("Optimizer.__init__() missing 1 required positional argument: 'defaults'")
            ),
            "super().__init__ takes two things, params and a dict of the settings: {'lr': lr, "
            "'betas': betas, 'eps': eps}",
        ),
        Mistake(
            "no_settings",
            failing(KeyError("lr")),
            "a group has no 'lr': the dict for super().__init__ holds all settings, {'lr': lr, "
            "'betas': betas, 'eps': eps}",
        ),
        Mistake(
            "rebound",
            adam_by(move=rebind),
            "the parameters do not change: p = p - ... makes a new tensor that nobody sees, so "
            "write p -= ..., which changes the model's own",
        ),
        Mistake(
            "recorded",
            adam_by(recorded=True),
            "autograd records the update and torch refuses it: put @torch.no_grad() above step",
        ),
        Mistake(
            "rate_of_the_start",
            adam_by(settings=lambda optimizer, group: {**group, "lr": optimizer.defaults["lr"]}),
            "the rate is that of the constructor: read group['lr'] at each step, where a schedule "
            "or a group's own rate is found",
        ),
        Mistake(
            "settings_of_the_start",
            adam_by(settings=lambda optimizer, group: optimizer.defaults),
            "all settings are those of the constructor: read group['lr'], group['betas'] and "
            "group['eps'] at each step, a group may have its own",
        ),
        Mistake(
            "settings_of_first_group",
            adam_by(settings=lambda optimizer, group: first(optimizer)),
            "every group gets the first one's settings: read them from the group that the "
            "parameter is in",
        ),
        Mistake(
            "first_group_only",
            adam_by(parameters=each_of_first_group),
            "only the first group is updated: loop over self.param_groups, and in each over "
            "group['params']",
        ),
        Mistake(
            "no_gradient",
            adam_by(parameters=each),
            "a parameter without a gradient stops it with an error: where p.grad is None, "
            "continue with the next one",
        ),
        Mistake(
            "none_as_zero",
            adam_by(parameters=each, gradient=zeros_for_none),
            "a missing gradient is taken for zero, so the parameter drifts on with its old m: "
            "where p.grad is None leave the parameter and its state alone",
        ),
        Mistake(
            "stops_at_none",
            adam_by(parameters=each_until_none),
            "the first parameter without a gradient ends the step: continue with the next one",
        ),
        Mistake(
            "steps_of_all",
            adam_by(count=steps_of_all),
            "t counts the calls of step(), but a parameter may have missed some: count its own "
            "updates, in self.state[p]",
        ),
        Mistake(
            "t_in_the_loop",
            adam_by(count=counted_in_the_loop),
            "t grows with every parameter: each has a count of its own, in self.state[p]",
        ),
        Mistake(
            "one_state",
            adam_by(state_of=lambda optimizer, p: optimizer.state["all"]),
            "all parameters share one m and one v: each has its own, in self.state[p]",
        ),
        Mistake(
            "forgotten",
            adam_by(state_of=lambda optimizer, p: {}),
            "nothing is remembered from step to step: keep t, m and v in self.state[p]",
        ),
        *(
            Mistake(
                f"{key}_looked_up",
                looking_up(key),
                "self.state[p] is empty at first, so looking something up in it fails: put zeros "
                "there where there is nothing yet, or use .get(name, 0)",
            )
            for key in ("t", "step", "m", "v")
        ),
        Mistake(
            "grads_changed",
            adam_by(after=zero_),
            "step changes p.grad: the gradient belongs to the caller, who may still need it and "
            "clears it with zero_grad()",
        ),
        Mistake("uphill", adam_by(move=add_), SAYS["uphill"]),
        Mistake(
            "no_correction",
            adam_by(rule=lambda m, v, beta1, beta2, t, eps: m / (v.sqrt() + eps)),
            SAYS["no_correction"],
        ),
        Mistake(
            "first_not_corrected",
            adam_by(
                rule=lambda m, v, beta1, beta2, t, eps: m / ((v / (1 - beta2**t)).sqrt() + eps)
            ),
            SAYS["first_not_corrected"],
        ),
        Mistake(
            "second_not_corrected",
            adam_by(rule=lambda m, v, beta1, beta2, t, eps: m / (1 - beta1**t) / (v.sqrt() + eps)),
            SAYS["second_not_corrected"],
        ),
        Mistake(
            "eps_inside",
            adam_by(
                rule=lambda m, v, beta1, beta2, t, eps: (
                    m / (1 - beta1**t) / (v / (1 - beta2**t) + eps).sqrt()
                )
            ),
            SAYS["eps_inside"],
        ),
        Mistake(
            "eps_before_correction",
            adam_by(
                rule=lambda m, v, beta1, beta2, t, eps: (
                    m * (1 - beta2**t) ** 0.5 / (1 - beta1**t) / (v.sqrt() + eps)
                )
            ),
            SAYS["eps_before_correction"],
        ),
        Mistake(
            "no_root",
            adam_by(
                rule=lambda m, v, beta1, beta2, t, eps: (
                    m / (1 - beta1**t) / (v / (1 - beta2**t) + eps)
                )
            ),
            SAYS["no_root"],
        ),
    ),
    variants=(
        Variant("on p.data, in place", OnData),
        Variant("all tensors of a group at once", AllAtOnce),
        Variant("a dict of its own", OwnDict),
        Variant("from pieces", adam_by()),
    ),
    hints=(
        "super().__init__(params, {'lr': lr, 'betas': betas, 'eps': eps}) fills self.param_groups: "
        "a list of dicts with the settings, and the parameters under 'params'.",
        "Two loops: for group in self.param_groups, for p in group['params']. Where p.grad is "
        "None, continue.",
        "self.state[p] is an empty dict at first and belongs to p alone: keep t, m and v in it. "
        "With @torch.no_grad() above step you may write p -= ...",
    ),
)
