"""`on_integers`: places are real numbers; what is evaluated are integers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Generator

from mlcourse.checks.compare import NotData, plain
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.pso_questions.shared import Array, bowl, bowl_in, draw
from mlcourse.checks.search_basics_questions.shared import EXACT, integer

Loss = Callable[[Array], Any]


def integer_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(bowl, low, high, places): in both halves of the shares, and at both walls."""
    found: list[tuple[Any, ...]] = []
    for d in (2, 4, 1):
        low = np.array([integer(1, 60, g) for _ in range(d)])
        n = np.array([integer(9, 40, g) for _ in range(d)])
        shape = bowl(d, g)
        middle = -shape[0] @ (low + n / 2)
        places = []
        for part in ((0.1, 0.3), (0.7, 0.9)):
            for share in ((0.1, 0.3), (0.8, 0.95)):
                at = np.floor(draw(d, g=g, low=share[0], high=share[1]) * n)
                places.append((at + draw(d, g=g, low=part[0], high=part[1])) / n)
        places += [np.zeros(d), np.ones(d)]
        found.append(((shape[0], middle, shape[2]), low, low + n - 1, places))
    return found


def use_loss(
    answer: Callable,
    shape: tuple[Array, Array, Array],
    low: Array,
    high: Array,
    places: list[Array],
) -> dict[str, Any]:
    """Make the loss of a place, ask it for some, and look at the places afterwards."""
    made = answer(bowl_in(answer, shape), low, high)
    if not callable(made):
        raise NotData("it should return a function of a place x: define one inside, and return it")
    found: dict[str, Any] = {}
    for number, place in enumerate(places, start=1):
        given = place.copy()
        found[f"the loss of place {number}"] = plain(made(given))
        found[f"place {number}"] = "as it was" if np.array_equal(given, place) else "changed"
    return found


def shares(x: Array, low: Array, high: Array) -> Any:
    return np.minimum(low + np.floor(x * (high - low + 1)).astype(int), high)


def by_values(values: Callable[[Array, Array, Array], Any]) -> Callable[[Loss, Array, Array], Any]:
    """Evaluate other numbers than the integers of the shares."""
    return lambda loss, low, high: lambda x: loss(values(x, low, high))


def in_place(loss: Loss, low: Array, high: Array) -> Any:
    """The integers' own places are written into x."""

    def rounded(x: Array) -> Any:
        values = shares(x, low, high)
        x[:] = (values - low + 0.5) / (high - low + 1)
        return loss(values)

    return rounded


def at_once(loss: Loss, low: Array, high: Array) -> Any:
    raise TypeError("on_integers() missing 1 required positional argument: 'x'")


def one_by_one(loss: Loss, low: Array, high: Array) -> Any:
    def of(x: Array) -> Any:
        pairs = zip(x, low, high, strict=True)
        return loss(np.array([min(a + int(u * (b - a + 1)), b) for u, a, b in pairs]))

    return of


def by_edges(loss: Loss, low: Array, high: Array) -> Any:
    """Search for the share among its edges."""
    edges = [np.linspace(0, 1, b - a + 2)[1:-1] for a, b in zip(low, high, strict=True)]

    def of(x: Array) -> Any:
        found = [np.searchsorted(edge, u, side="right") for edge, u in zip(edges, x, strict=True)]
        return loss(low + np.array(found))

    return of


class Rounded:
    """A loss that rounds the place first."""

    def __init__(self, loss: Loss, low: Array, high: Array) -> None:
        self.loss, self.low, self.high = loss, low, high

    def __call__(self, x: Array) -> Any:
        nearest = np.floor(self.low - 0.5 + x * (self.high - self.low + 1) + 0.5)
        return self.loss(nearest.clip(self.low, self.high))


on_integers = Question(
    name="on_integers",
    title="Integers",
    points=2,
    reference=by_values(shares),
    cases=integer_cases,
    use=use_loss,
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "rounded_in_the_swarm",
            in_place,
            "the rounding is stored in the particle's place, so steps of less than half a unit are "
            "lost: round only what is evaluated, in a new array, and leave x alone",
        ),
        Mistake(
            "not_rounded",
            by_values(lambda x, low, high: low + x * (high - low)),
            "real numbers are evaluated: nobody can build 17.3 filters, so round to the integer in "
            "whose share x lies",
        ),
        Mistake(
            "place_evaluated",
            by_values(lambda x, low, high: x),
            "the loss is that of the place in the unit cube: it expects the integers from low to "
            "high",
        ),
        Mistake(
            "end_left_out",
            by_values(lambda x, low, high: low + np.floor(x * (high - low)).astype(int)),
            "the upper ends have no share: from low to high there are high - low + 1 integers",
        ),
        Mistake(
            "half_shares",
            by_values(lambda x, low, high: np.round(low + x * (high - low)).astype(int)),
            "the two ends of each range have only half a share: cut [0, 1] into high - low + 1 "
            "equal shares",
        ),
        Mistake(
            "beyond",
            by_values(lambda x, low, high: low + np.floor(x * (high - low + 1)).astype(int)),
            "at the upper wall, x = 1, you evaluate high + 1: the last share includes its end",
        ),
        Mistake(
            "low_forgotten",
            by_values(lambda x, low, high: shares(x, low, high) - low),
            "your integers start at 0: add low",
        ),
        Mistake(
            "integers_returned",
            lambda loss, low, high: lambda x: shares(x, low, high),
            "your function returns the integers: return their loss",
        ),
        Mistake(
            "at_once",
            at_once,
            "x is no argument of on_integers: it comes later, to the function that on_integers "
            "makes and returns",
        ),
    ),
    variants=(
        Variant("coordinate by coordinate", one_by_one),
        Variant("the edges of the shares", by_edges),
        Variant("an object that can be called", Rounded),
    ),
    hints=(
        "A function inside of a function: the inner one takes x, and the outer one returns it.",
        "x * (high - low + 1), its whole part by np.floor, plus low; never above high.",
        "np.minimum(low + np.floor(x * (high - low + 1)).astype(int), high) is a new array: give "
        "it to loss.",
    ),
)
