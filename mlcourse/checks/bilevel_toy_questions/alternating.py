"""`alternation` and `descend`: w and a move in turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.bilevel_toy_questions.gradients import gradient_by
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.pso_questions.shared import use_array

Case = tuple[float, float, float, float, float, str]
Move = Callable[[float, float, float, float, float], float]

# --- One alternation ------------------------------------------------------------------------------


def alternation_cases(g: Generator) -> list[Case]:
    """(w, a, lr_w, lr_a, xi, first): both orders, with and without xi."""
    found: list[Case] = []
    for first, xi in (("w", 0.3), ("a", 0.3), ("a", 0.0), ("w", 0.0), ("w", 0.7), ("a", 0.7)):
        a = uniform(0.8, 2.5, g)
        w = a + uniform(0.7, 3.0, g) * (1 if len(found) % 2 else -1)
        lr_w, lr_a = uniform(0.05, 0.12, g), uniform(0.15, 0.25, g)
        found.append((w, a, lr_w, lr_a, xi and xi + uniform(-0.05, 0.05, g), first))
    return found


def w_down(w: float, a: float, lr_w: float, lr_a: float, xi: float) -> float:
    return w - lr_w * 2 * (w - a)


def a_down(w: float, a: float, lr_w: float, lr_a: float, xi: float) -> float:
    return a - lr_a * gradient_by()(w, a, xi)


def alternation_by(
    move_w: Move = w_down,
    move_a: Move = a_down,
    order: Callable[[str], str] = lambda first: first,
    old_values: bool = False,
) -> Callable[..., Any]:
    """One move of each, with one of the pieces exchanged."""

    def alternation(w: float, a: float, lr_w: float, lr_a: float, xi: float, first: str) -> Any:
        settings = (lr_w, lr_a, xi)
        if old_values:
            return move_w(w, a, *settings), move_a(w, a, *settings)
        if order(first) == "w":
            w = move_w(w, a, *settings)
            return w, move_a(w, a, *settings)
        a = move_a(w, a, *settings)
        return move_w(w, a, *settings), a

    return alternation


def by_loop(w: float, a: float, lr_w: float, lr_a: float, xi: float, first: str) -> Any:
    for who in "wa" if first == "w" else "aw":
        if who == "w":
            w -= lr_w * 2 * (w - a)
        else:
            a -= lr_a * ((1 - 2 * xi) * w + 4 * xi * a - 2)
    return [w, a]


def by_tensors(w: float, a: float, lr_w: float, lr_a: float, xi: float, first: str) -> Any:
    x = torch.tensor([w, a], dtype=torch.float64)
    for who in (0, 1) if first == "w" else (1, 0):
        x = x.detach().clone().requires_grad_()
        new = x[0] - xi * 2 * (x[0] - x[1])
        loss = x[1] * new - 2 * x[1] + 1 if who else (x[0] - x[1]) ** 2
        rate = torch.tensor([0.0, lr_a] if who else [lr_w, 0.0], dtype=torch.float64)
        x = x - rate * torch.autograd.grad(loss, x)[0]
    return x.detach()


def by_matrices(w: float, a: float, lr_w: float, lr_a: float, xi: float, first: str) -> Any:
    x = np.array([w, a, 1.0])
    of_w = np.array([[1 - 2 * lr_w, 2 * lr_w, 0], [0, 1, 0], [0, 0, 1]])
    of_a = np.array([[1, 0, 0], [-lr_a * (1 - 2 * xi), 1 - 4 * xi * lr_a, 2 * lr_a], [0, 0, 1]])
    both = of_a @ of_w if first == "w" else of_w @ of_a
    return (both @ x)[:2]


#: Wrong moves, each under the name of its mistake; `descend` knows them too.
WRONG: dict[str, Callable[..., Any]] = {
    "old_values": alternation_by(old_values=True),
    "a_on_the_train_loss": alternation_by(
        move_a=lambda w, a, lr_w, lr_a, xi: a + lr_a * 2 * (w - a)
    ),
    "w_on_the_validation_loss": alternation_by(move_w=lambda w, a, lr_w, lr_a, xi: w - lr_w * a),
    "xi_forgotten": alternation_by(
        move_a=lambda w, a, lr_w, lr_a, xi: a_down(w, a, lr_w, lr_a, 0.0)
    ),
    "xi_is_the_rate": alternation_by(
        move_a=lambda w, a, lr_w, lr_a, xi: a_down(w, a, lr_w, lr_a, lr_w)
    ),
    "w_moves_by_xi": alternation_by(move_w=lambda w, a, lr_w, lr_a, xi: w_down(w, a, xi, lr_a, xi)),
    "always_w_first": alternation_by(order=lambda first: "w"),
    "always_a_first": alternation_by(order=lambda first: "a"),
}

alternation = Question(
    name="alternation",
    title="One alternation",
    points=3,
    reference=alternation_by(),
    cases=alternation_cases,
    use=use_array,
    parts=("(w, a)",),
    needs=("unrolled_gradient",),
    mistakes=(
        Mistake(
            "old_values",
            WRONG["old_values"],
            "both moves start from the old values: the one that moves second sees what the first "
            "one has become, so renew w (or a) before the second move",
        ),
        Mistake(
            "a_on_the_train_loss",
            WRONG["a_on_the_train_loss"],
            "a goes down the train loss: that is w's, and a must follow the validation loss, or "
            "nothing is chosen by it",
        ),
        Mistake(
            "w_on_the_validation_loss",
            WRONG["w_on_the_validation_loss"],
            "w goes down the validation loss: weights are trained on the train loss, with the "
            "gradient 2 (w - a)",
        ),
        Mistake(
            "both_on_the_validation_loss",
            alternation_by(
                lambda w, a, lr_w, lr_a, xi: w - lr_w * a,
                lambda w, a, lr_w, lr_a, xi: a - lr_a * (w - 2),
            ),
            "both go down the validation loss at fixed partners: w follows the train loss, and a "
            "the validation loss after w's unrolled step",
        ),
        Mistake(
            "losses_exchanged",
            alternation_by(
                lambda w, a, lr_w, lr_a, xi: w - lr_w * a,
                lambda w, a, lr_w, lr_a, xi: a + lr_a * 2 * (w - a),
            ),
            "the losses are exchanged: w follows the train loss and a the validation loss",
        ),
        Mistake(
            "xi_forgotten",
            WRONG["xi_forgotten"],
            "a moves by the first-order gradient w - 2: xi is given, so use unrolled_gradient with "
            "it",
        ),
        Mistake(
            "xi_is_the_rate",
            WRONG["xi_is_the_rate"],
            "lr_w is put in for xi: xi is the step that is only imagined inside a's gradient, lr_w "
            "the one that w really makes",
        ),
        Mistake(
            "w_moves_by_xi",
            WRONG["w_moves_by_xi"],
            "w moves by xi: that step is only imagined, inside a's gradient; w itself moves by "
            "lr_w",
        ),
        Mistake(
            "unrolled_twice",
            alternation_by(
                move_a=lambda w, a, lr_w, lr_a, xi: a_down(w - 2 * xi * (w - a), a, lr_w, lr_a, xi)
            ),
            "the step of length xi is made twice: unrolled_gradient makes it itself, so give it "
            "the w of now",
        ),
        Mistake(
            "always_w_first",
            WRONG["always_w_first"],
            'w moves first whatever `first` says: with "a" the hyper-parameter moves first',
        ),
        Mistake(
            "always_a_first",
            WRONG["always_a_first"],
            'a moves first whatever `first` says: with "w" the weight moves first',
        ),
        Mistake(
            "order_turned_round",
            alternation_by(order=lambda first: "a" if first == "w" else "w"),
            "the order is turned round: `first` names the one that moves first",
        ),
        Mistake(
            "rates_exchanged",
            alternation_by(
                lambda w, a, lr_w, lr_a, xi: w_down(w, a, lr_a, lr_w, xi),
                lambda w, a, lr_w, lr_a, xi: a_down(w, a, lr_a, lr_w, xi),
            ),
            "the rates are exchanged: lr_w belongs to w and lr_a to a",
        ),
        Mistake(
            "no_two",
            alternation_by(move_w=lambda w, a, lr_w, lr_a, xi: w - lr_w * (w - a)),
            "w's step lacks a factor 2: the gradient of (w - a) ** 2 is 2 (w - a)",
        ),
        Mistake(
            "w_uphill",
            alternation_by(move_w=lambda w, a, lr_w, lr_a, xi: w + lr_w * 2 * (w - a)),
            "w goes uphill: subtract the rate times the gradient",
        ),
        Mistake(
            "a_uphill",
            alternation_by(move_a=lambda w, a, lr_w, lr_a, xi: a + lr_a * gradient_by()(w, a, xi)),
            "a goes uphill: subtract the rate times the gradient",
        ),
        Mistake(
            "exchanged",
            lambda *args: alternation_by()(*args)[::-1],
            "the two are exchanged: return w first, then a",
        ),
    ),
    variants=(
        Variant("a loop", by_loop),
        Variant("tensors", by_tensors),
        Variant("matrices", by_matrices),
    ),
    hints=(
        "Two moves: w by its rate times 2 (w - a), and a by its rate times "
        "unrolled_gradient(w, a, xi). `first` says which is made first.",
        "In the second move, use the new value of what has already moved.",
        'if first == "w": w = ...; a = ... (with the new w), else: a = ...; w = ... (with the '
        "new a).",
    ),
)


# --- A whole descent ------------------------------------------------------------------------------


def descend_cases(g: Generator) -> list[tuple[float, float, float, float, float, str, int]]:
    """(w, a, lr_w, lr_a, xi, first, steps)."""
    steps = (4, 3, 6, 5, 7, 3)
    return [(*case, n) for case, n in zip(alternation_cases(g), steps, strict=True)]


def descend_by(
    step: Callable[..., Any] | None = None,
    extra: int = 0,
    give: Callable[[Any], Any] = lambda path: path,
) -> Callable[..., Any]:
    """A path of alternations, with one of the pieces exchanged."""

    def descend(
        w: float, a: float, lr_w: float, lr_a: float, xi: float, first: str, steps: int
    ) -> Any:
        path, one = [(w, a)], step or alternation_by()
        for _ in range(steps + extra):
            path.append(tuple(one(*path[-1], lr_w, lr_a, xi, first)))
        return give(np.array(path))

    return descend


def always_from_the_start(
    w: float, a: float, lr_w: float, lr_a: float, xi: float, first: str, steps: int
) -> Any:
    return np.array([(w, a)] + [alternation_by()(w, a, lr_w, lr_a, xi, first)] * steps)


def half_steps(
    w: float, a: float, lr_w: float, lr_a: float, xi: float, first: str, steps: int
) -> Any:
    """A row after each move."""
    path = [(w, a)]
    for _ in range(steps):
        new = alternation_by()(*path[-1], lr_w, lr_a, xi, first)
        path.append((new[0], path[-1][1]) if first == "w" else (path[-1][0], new[1]))
        path.append(new)
    return np.array(path)


def descend_by_arrays(
    w: float, a: float, lr_w: float, lr_a: float, xi: float, first: str, steps: int
) -> Any:
    path = np.empty((steps + 1, 2))
    path[0] = w, a
    for t in range(steps):
        path[t + 1] = by_matrices(path[t, 0], path[t, 1], lr_w, lr_a, xi, first)
    return path


def descend_by_recursion(
    w: float, a: float, lr_w: float, lr_a: float, xi: float, first: str, steps: int
) -> Any:
    if not steps:
        return [[w, a]]
    new, other = by_loop(w, a, lr_w, lr_a, xi, first)
    return [[w, a], *descend_by_recursion(new, other, lr_w, lr_a, xi, first, steps - 1)]


def descend_by_tensors(*args: Any) -> Any:
    return torch.stack([torch.as_tensor(row) for row in descend_by(by_tensors)(*args)])


descend = Question(
    name="descend",
    title="A whole descent",
    points=2,
    reference=descend_by(),
    cases=descend_cases,
    use=use_array,
    parts=("the path",),
    needs=("alternation",),
    mistakes=(
        Mistake(
            "no_start",
            descend_by(give=lambda path: path[1:]),
            "the start is missing: row 0 of the path is (w, a) before the first step",
        ),
        Mistake(
            "last_alone",
            descend_by(give=lambda path: path[-1]),
            "you return where the descent ends: return the whole path, a row for each step",
        ),
        Mistake(
            "one_more",
            descend_by(extra=1),
            "there is one step too many: `steps` steps and the start make steps + 1 rows",
        ),
        Mistake(
            "one_less",
            descend_by(extra=-1),
            "there is one step too few: `steps` steps and the start make steps + 1 rows",
        ),
        Mistake(
            "transposed",
            descend_by(give=lambda path: path.T),
            "the path is transposed: a row is a pair (w, a), so the shape is (steps + 1, 2)",
        ),
        Mistake(
            "columns_exchanged",
            descend_by(give=lambda path: path[:, ::-1].copy()),
            "the columns are exchanged: w stands first",
        ),
        Mistake(
            "always_from_the_start",
            always_from_the_start,
            "every step starts from the first w and a again: go on from where the last step ended",
        ),
        Mistake(
            "same_object",
            descend_by(give=lambda path: np.tile(path[-1], (len(path), 1))),
            "all rows are the last one, so the list holds one and the same array: append a copy",
        ),
        Mistake(
            "half_steps",
            half_steps,
            "there is a row after each *move*: one step is one move of each, and gives one row",
        ),
        Mistake(
            "w_to_the_end",
            descend_by(alternation_by(move_w=lambda w, a, lr_w, lr_a, xi: a)),
            "w goes all the way to its best response in each step: in an alternation it makes one "
            "step of lr_w",
        ),
        Mistake(
            "order_forgotten",
            descend_by(WRONG["always_w_first"]),
            "w moves first in every descent: hand `first` on to alternation",
        ),
        Mistake(
            "order_turned_round",
            descend_by(alternation_by(order=lambda first: "a" if first == "w" else "w")),
            "the order is turned round: `first` names the one that moves first",
        ),
        Mistake(
            "xi_forgotten",
            descend_by(WRONG["xi_forgotten"]),
            "the descent runs at xi = 0: hand xi on to alternation",
        ),
        Mistake(
            "old_values",
            descend_by(WRONG["old_values"]),
            "both moves of a step start from its old values: let alternation make them in turn",
        ),
    ),
    variants=(
        Variant("an array filled", descend_by_arrays),
        Variant("a recursion", descend_by_recursion),
        Variant("tensors", descend_by_tensors),
    ),
    hints=(
        "Begin with a list that holds the start, [(w, a)].",
        "In a loop over the steps: w, a = alternation(w, a, lr_w, lr_a, xi, first), and append.",
        "np.array of the list of pairs has the shape (steps + 1, 2).",
    ),
)
