"""What the questions of `optimisers` share: what is drawn, and a walk of several steps.

A rule is a function `step(params, grads, state, *settings) -> (params, state)` of dicts of tensors.
The state is the answer's own affair: it is empty at first, and handed back at the next step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.compare import NotData, difference, plain, same
from mlcourse.checks.declare import Forbidden, Mistake
from mlcourse.checks.judge import clone

Tensors = dict[str, Tensor]
State = dict[str, Any]
Step = Callable[..., tuple[Tensors, State]]

#: A rule for one tensor: (p, g, what is kept for it or {}, t, *settings) -> (p, what to keep).
Rule = Callable[..., tuple[Tensor, State]]

#: Names and shapes of the parameters, number of steps and dtype of the walks.
WALKS: tuple[tuple[dict[str, tuple[int, ...]], int, torch.dtype], ...] = (
    ({"W": (3, 2), "b": (3,)}, 5, torch.float64),
    ({"theta": (4,)}, 6, torch.float64),
    ({"Wh": (2, 3), "bh": (2,), "Wy": (2, 2), "by": (2,)}, 4, torch.float32),
    ({"scale": (1,), "kernel": (2, 1, 3)}, 7, torch.float64),
)

_FAMILIES = ("SGD", "Adagrad", "RMSprop", "Adadelta", "Adam", "AdamW")

BY_HAND = Forbidden(
    "optim",
    "the rule is to be written out here: leave torch.optim for the comparison at the end",
    attributes=frozenset({"optim", *_FAMILIES}),
    traps=tuple(f"torch.optim.{name}.step" for name in _FAMILIES),
)

PARAMS_CHANGED = (
    "the caller's params are changed: put new tensors into a new dict (p - step, not p -= step)"
)
GRADS_CHANGED = (
    "the caller's grads are changed: the gradients may be needed again, so write g = g + ..., not "
    "g += ..."
)
STATE_CHANGED = (
    "the old state is changed: put new tensors into a new dict and return that, so that the caller "
    "can go back a step"
)
EMPTY = (
    "state is empty at the first step, so looking something up in it fails: state.get(name, 0), or "
    "begin with zeros where the name is not there"
)
SHARED = (
    "tensors of different shapes are added: each needs a memory of its own, of its own shape, kept "
    "under its name"
)
UNTOUCHED, SAME_PATH = "left as they are", "the same path"


def draw_tensors(
    shapes: Mapping[str, tuple[int, ...]], g: Generator, dtype: torch.dtype
) -> Tensors:
    """Draw tensors whose entries differ in size by up to a factor of ten."""
    return {
        name: normal(*shape, generator=g, dtype=dtype)
        * 10 ** (torch.rand(*shape, generator=g, dtype=dtype) - 0.5)
        for name, shape in shapes.items()
    }


def draw_walks(g: Generator) -> list[tuple[Tensors, list[Tensors]]]:
    """Parameters, and one gradient for each step; in the first walk an entry's is always 0."""
    walks = []
    for shapes, steps, dtype in WALKS:
        params = draw_tensors(shapes, g, dtype)
        walks.append((params, [draw_tensors(shapes, g, dtype) for _ in range(steps)]))
    for grads in walks[0][1]:
        grads["b"][1] = 0
    return walks


def walks_with(*settings: tuple[Any, ...]) -> Callable[[Generator], list[tuple]]:
    """The drawn walks, each with settings of its own."""
    return lambda g: [(*walk, *own) for walk, own in zip(draw_walks(g), settings, strict=True)]


def walk(answer: Callable, params: Tensors, grads: list[Any], *settings: Any) -> dict[str, Any]:
    """Take a step with each of `grads`, twice from the start, and say how it went.

    The second run shows whether something is kept outside the state.
    """
    path, touched = one_walk(answer, params, grads, *settings)
    again, _ = one_walk(answer, params, grads, *settings)
    return {
        **{f"the parameters after step {t}": place for t, place in enumerate(path, start=1)},
        "the arguments": f"changed: {touched}" if touched else UNTOUCHED,
        "a new run with an empty state": SAME_PATH if same(path, again) else "another path",
    }


def one_walk(
    answer: Callable, params: Tensors, grads: list[Any], *settings: Any
) -> tuple[list[Tensors], str]:
    """Return the parameters after each step, and which arguments were changed, if any were."""
    state: Any = {}
    path, touched = [], ""
    for g in grads:
        given = [plain(params), clone(g) if isinstance(g, dict) else g, state]
        before = plain([part for part in given if isinstance(part, dict)])
        result = answer(*given, *settings)
        after = plain([part for part in given if isinstance(part, dict)])
        touched = touched or changed(after, before)
        params, state = both(result, params)
        path.append(params)
    return path, touched


def changed(after: list[Any], before: list[Any]) -> str:
    names = ("params", "grads", "state") if len(before) == 3 else ("params", "state")
    for name, new, old in zip(names, after, before, strict=True):
        if difference(new, old, exact=True):
            return name
    return ""


def both(result: Any, params: Tensors) -> tuple[Tensors, Any]:
    """Return the two things that a step gives. Raises NotData when they are something else."""
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise NotData("it should return two things, (params, state), after each step")
    new, state = plain(result[0]), result[1]
    if not isinstance(new, dict) or new.keys() != params.keys():
        raise NotData(
            "the first thing returned should be the new params, a dict with the keys "
            + ", ".join(params)
        )
    if not isinstance(plain(state), dict):
        raise NotData("the second thing returned should be the new state, a dict")
    return new, carried(state)


def carried(state: Any) -> Any:
    """Return a state as it comes back from another process: its tensors are of the plain kind."""
    if isinstance(state, dict):
        return {key: carried(item) for key, item in state.items()}
    if isinstance(state, tuple):
        return tuple(map(carried, state))
    if isinstance(state, list):
        return list(map(carried, state))
    if isinstance(state, Tensor):
        with torch._C.DisableTorchFunctionSubclass():
            return state.detach().as_subclass(Tensor)
    return state


# --- Steps made of a rule for one tensor ----------------------------------------------------------


def step_of(rule: Rule) -> Step:
    """Make a step for dicts out of a rule for one tensor."""

    def step(
        params: Tensors, grads: Tensors, state: State, *settings: Any
    ) -> tuple[Tensors, State]:
        t = state.get("t", 0) + 1
        kept, new, keep = state.get("kept", {}), {}, {}
        for name, p in params.items():
            new[name], keep[name] = rule(p, grads[name], kept.get(name, {}), t, *settings)
        return new, {"t": t, "kept": keep}

    return step


def forgetful(step: Step) -> Step:
    """The same step, always from an empty state."""

    def forgets(params: Tensors, grads: Any, state: State, *settings: Any) -> tuple[Tensors, State]:
        return step(params, grads, {}, *settings)

    return forgets


def cast(step: Step) -> Step:
    """The same step in float32."""

    def single(params: Tensors, grads: Any, state: State, *settings: Any) -> tuple[Tensors, State]:
        floats = {name: p.float() for name, p in params.items()}
        if isinstance(grads, dict):
            grads = {name: g.float() for name, g in grads.items()}
        new, state = step(floats, grads, state, *settings)
        return {name: p.float() for name, p in new.items()}, state

    return single


def params_in_place(step: Step) -> Step:
    """The same step, written into the caller's tensors."""

    def overwrites(
        params: Tensors, grads: Any, state: State, *settings: Any
    ) -> tuple[Tensors, State]:
        new, state = step(params, grads, state, *settings)
        for name, p in params.items():
            p.copy_(new[name])
        return params, state

    return overwrites


def state_in_place(step: Step) -> Step:
    """The same step, which renews the state that it gets and returns it."""

    def renews(params: Tensors, grads: Any, state: State, *settings: Any) -> tuple[Tensors, State]:
        new, later = step(params, grads, state, *settings)
        state.update(later)
        return new, state

    return renews


def shared_by_all(step: Step) -> Step:
    """Where all tensors share a sum or an average, torch refuses to add what has other shapes."""

    def adds_them_up(
        params: Tensors, grads: Any, state: State, *settings: Any
    ) -> tuple[Tensors, State]:
        sum(params.values())
        return step(params, grads, state, *settings)

    return adds_them_up


def looking_up(key: str | None) -> Step:
    """Look a key up in the state, which is empty at first; None stands for a parameter's name."""

    def looks_up(
        params: Tensors, grads: Any, state: State, *settings: Any
    ) -> tuple[Tensors, State]:
        raise KeyError(key or next(iter(params)))

    return looks_up


def usual_mistakes(step: Step) -> tuple[Mistake, ...]:
    """Return the mistakes that any rule with a state allows, made with this right `step`."""
    return (
        Mistake("params_in_place", params_in_place(step), PARAMS_CHANGED),
        Mistake("state_in_place", state_in_place(step), STATE_CHANGED),
        Mistake("cast", cast(step), ONE_DTYPE),
        Mistake("shared_by_all", shared_by_all(step), SHARED),
        *(
            Mistake(f"{key or 'name'}_looked_up", looking_up(key), EMPTY)
            for key in (None, "t", "m", "v", "s", "u")
        ),
    )


def without(mistakes: Iterable[Mistake], *names: str) -> tuple[Mistake, ...]:
    return tuple(mistake for mistake in mistakes if mistake.name not in names)
