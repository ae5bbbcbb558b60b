"""`grid_cost`, `levels`, `grid`: how many configurations, which values, and in which order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.compare import NotData
from mlcourse.checks.curves_questions.shared import uniform, use_list
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import EXACT, integer

# --- What a grid costs ----------------------------------------------------------------------------

Space = Mapping[str, Mapping[str, Any]]


def cost_cases(g: Generator) -> list[tuple[Space, int]]:
    """(space, epochs): integer ranges, choices of texts and of numbers, a range of one value."""
    found: list[tuple[Space, int]] = []
    for kinds in ("iic", "i", "ciin", "cc", "iiii", "oci"):
        space: dict[str, dict[str, Any]] = {}
        for name, kind in zip(("width", "filters", "units", "depth"), kinds, strict=False):
            low = integer(2, 40, g)
            ends = {"low": low, "high": low if kind == "o" else low + integer(4, 30, g)}
            kind_of: dict[str, dict[str, Any]] = {
                "i": ends,
                "o": ends,
                "c": {"choices": ["relu", "tanh", "gelu", "elu", "selu"][: integer(3, 5, g)]},
                "n": {"choices": [16, 32, 64, 128, 512][: integer(3, 5, g)]},
            }
            space[name] = kind_of[kind]
        found.append((space, integer(7, 60, g)))
    return found


def with_both_ends(low: int, high: int) -> int:
    return high - low + 1


def cost_by(
    count: Callable[[int, int], Any] = with_both_ends,
    choices: Callable[[list[Any]], Any] = len,
    together: Callable[[list[int]], Any] = math.prod,
    result: Callable[[Any, int], Any] = lambda n, epochs: (n, n * epochs),
) -> Callable[[Space, int], Any]:
    """Count a grid with one of the pieces exchanged."""

    def grid_cost(space: Space, epochs: int) -> Any:
        counts = [
            choices(parameter["choices"])
            if "choices" in parameter
            else count(parameter["low"], parameter["high"])
            for parameter in space.values()
        ]
        return result(together(counts), epochs)

    return grid_cost


def first_alone(space: Space, epochs: int) -> tuple[int, int]:
    """Both ends in the first range only, as where the slip is made in some ranges."""
    seen: list[str] = []

    def count(low: int, high: int) -> int:
        seen.append("")
        return high - low + (len(seen) == 1)

    return cost_by(count)(space, epochs)  # type: ignore[no-any-return]


def by_listing(space: Space, epochs: int) -> tuple[int, int]:
    """Count one value after the other."""
    n = 1
    for parameter in space.values():
        values = parameter.get("choices") or range(parameter["low"], parameter["high"] + 1)
        n = sum(n for _ in values)
    return n, epochs * n


grid_cost = Question(
    name="grid_cost",
    title="The cost of a full grid",
    points=2,
    reference=cost_by(),
    cases=cost_cases,
    parts=("the number of configurations", "the number of epochs"),
    mistakes=(
        Mistake(
            "end_left_out",
            cost_by(lambda low, high: high - low),
            "one end of each range is left out: from 1 to 3 there are three integers, high - low + "
            "1",
        ),
        Mistake(
            "some_ends_left_out",
            first_alone,
            "some of your ranges have both ends and others only one: each has high - low + 1 "
            "integers",
        ),
        Mistake(
            "both_ends_left_out",
            cost_by(lambda low, high: high - low - 1),
            "both ends are left out of each range: from 1 to 3 there are three integers",
        ),
        Mistake(
            "high",
            cost_by(lambda low, high: high),
            "you count from 1 to high, whatever low is: there are high - low + 1 integers",
        ),
        Mistake(
            "summed",
            cost_by(together=sum),
            "you add the numbers of values: a grid has all combinations, so multiply",
        ),
        Mistake(
            "choices_ignored",
            cost_by(choices=lambda values: 1),
            "the choices are not counted: each of their values doubles, triples, ... the grid",
        ),
        Mistake(
            "choices_less_one",
            cost_by(choices=lambda values: len(values) - 1),
            "a choice among n values has n of them: high - low + 1 is for ranges",
        ),
        Mistake(
            "choices_plus_one",
            cost_by(choices=lambda values: len(values) + 1),
            "a choice among n values has n of them: the 1 is added for ranges alone",
        ),
        Mistake(
            "epochs_once",
            cost_by(result=lambda n, epochs: (n, epochs)),
            "those are the epochs of one configuration: each of them is trained",
        ),
        Mistake(
            "epochs_added",
            cost_by(result=lambda n, epochs: (n, n + epochs)),
            "epochs are added to the configurations: each configuration takes that many, so "
            "multiply",
        ),
        Mistake(
            "exchanged",
            cost_by(result=lambda n, epochs: (n * epochs, n)),
            "the two are exchanged: return the number of configurations first",
        ),
        Mistake(
            "epochs_alone",
            cost_by(result=lambda n, epochs: n * epochs),
            "you return one number: return two, the configurations and the epochs",
        ),
    ),
    variants=(
        Variant("counted one by one", by_listing),
        Variant("numpy's product", cost_by(together=lambda counts: np.prod(counts))),
        Variant(
            "lengths of ranges",
            cost_by(
                lambda low, high: len(range(low, high + 1)),
                result=lambda n, epochs: [n, epochs * n],
            ),
        ),
    ),
    hints=(
        "How many integers are there from 1 to 3? And in all combinations of 3 and 4 values?",
        'len(parameter["choices"]) for a choice, high - low + 1 for a range.',
        "math.prod(counts), and that times epochs.",
    ),
)


# --- Evenly spread levels -------------------------------------------------------------------------


def levels_cases(g: Generator) -> list[tuple[float, float, int, bool]]:
    """(low, high, k, log)."""
    return [
        (round(uniform(0.01, 0.1, g), 3), round(uniform(0.5, 3.0, g), 3), k, log)
        for k, log in ((3, False), (5, True), (4, True), (6, False), (2, True), (9, False))
    ]


Places = Callable[[int], Iterable[float]]


def levels_by(
    places: Places = lambda k: np.arange(k) / (k - 1),
    even: Callable[[float, float, float], Any] = lambda low, high, at: low + at * (high - low),
    ratio: Callable[[float, float, float], Any] = lambda low, high, at: low * (high / low) ** at,
) -> Callable[[float, float, int, bool], Any]:
    """Spread levels at places in [0, 1], evenly or in ratio."""
    return lambda low, high, k, log: [(ratio if log else even)(low, high, at) for at in places(k)]


def by_steps(low: float, high: float, k: int, log: bool) -> list[float]:
    """From each level to the next."""
    step = (high / low) ** (1 / (k - 1)) if log else (high - low) / (k - 1)
    found = [low]
    while len(found) < k:
        found.append(found[-1] * step if log else found[-1] + step)
    return found


levels = Question(
    name="levels",
    title="Levels of a range",
    points=2,
    reference=levels_by(),
    cases=levels_cases,
    use=use_list,
    parts=("the levels",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "end_left_out",
            levels_by(lambda k: [i / k for i in range(k)]),
            "the upper end is missing: k levels with both ends have k - 1 steps between them",
        ),
        Mistake(
            "start_left_out",
            levels_by(lambda k: [(i + 1) / k for i in range(k)]),
            "the lower end is missing: k levels with both ends have k - 1 steps between them",
        ),
        Mistake(
            "middles",
            levels_by(lambda k: [(i + 0.5) / k for i in range(k)]),
            "your levels are in the middle of k shares: here the first is low and the last is high",
        ),
        Mistake(
            "inside",
            levels_by(lambda k: [(i + 1) / (k + 1) for i in range(k)]),
            "both ends are missing: the first level is low and the last is high",
        ),
        Mistake(
            "one_more",
            levels_by(lambda k: [i / k for i in range(k + 1)]),
            "you return k + 1 levels: k levels have k - 1 steps between them",
        ),
        Mistake(
            "log_ignored",
            levels_by(ratio=lambda low, high, at: low + at * (high - low)),
            "your logarithmic levels are evenly spread: with log the *ratio* of neighbours is the "
            "same everywhere",
        ),
        Mistake(
            "log_everywhere",
            levels_by(even=lambda low, high, at: low * (high / low) ** at),
            "all of your levels are in equal ratios: only with log=True should they be",
        ),
        Mistake(
            "exponents",
            levels_by(ratio=lambda low, high, at: math.log(low) + at * math.log(high / low)),
            "those are the logarithms of the levels: the way back, exp, is missing",
        ),
        Mistake(
            "mixed_logarithms",
            levels_by(
                ratio=lambda low, high, at: 10 ** (math.log(low) + at * math.log(high / low))
            ),
            "two logarithms are mixed: natural ones of the ends and powers of 10 on the way back",
        ),
        Mistake(
            "ends_as_exponents",
            levels_by(ratio=lambda low, high, at: 10 ** (low + at * (high - low))),
            "logspace takes the exponents of the ends, log10(low) and log10(high), and not the "
            "ends",
        ),
        Mistake(
            "falling",
            levels_by(lambda k: [1 - i / (k - 1) for i in range(k)]),
            "your levels fall: begin with low",
        ),
    ),
    variants=(
        Variant(
            "numpy",
            lambda low, high, k, log: (np.geomspace if log else np.linspace)(low, high, k),
        ),
        Variant(
            "torch",
            lambda low, high, k, log: (
                torch.logspace(math.log10(low), math.log10(high), k, dtype=torch.float64)
                if log
                else torch.linspace(low, high, k, dtype=torch.float64)
            ),
        ),
        Variant("step by step", by_steps),
    ),
    hints=(
        "Three levels from 0 to 1 are 0, 0.5 and 1: two steps. From 0.01 to 1 with log: 0.01, 0.1, "
        "1.",
        "The i-th level is at the place i / (k - 1) of the range, for i = 0, ..., k - 1.",
        "low + i / (k - 1) * (high - low), or low * (high / low) ** (i / (k - 1)).",
    ),
)


# --- The grid, one configuration after the other --------------------------------------------------

Levels = Mapping[str, list[Any]]

#: More configurations than any case has: a generator that never ends is cut there.
MANY = 500


def grid_cases(g: Generator) -> list[tuple[Levels]]:
    """(levels of each name): of different lengths, names not in alphabetical order."""
    first: dict[str, list[Any]] = {
        "lr": [round(uniform(0.001, 0.01, g), 4), round(uniform(0.1, 1.0, g), 3)],
        "width": [4, 16, integer(17, 64, g)],
        "activation": ["relu", "tanh"],
    }
    second: dict[str, list[Any]] = {
        "width": [integer(1, 9, g), integer(10, 20, g), 32],
        "decay": [0.0, round(uniform(0.001, 0.1, g), 4)],
    }
    return [
        (first,),
        (second,),
        ({"epochs": [5, 10, integer(11, 50, g), 60]},),
        ({**second, **first, "batch": [16, integer(17, 128, g)]},),
    ]


def use_grid(answer: Callable, levels: Levels) -> dict[str, Any]:
    """List what comes out, and say whether it came one by one. Raises NotData for anything else."""
    result = answer(levels)
    if not hasattr(type(result), "__iter__") or isinstance(result, (str, torch.Tensor)):
        raise NotData("it should give one configuration after the other: use yield")
    at_once = isinstance(result, (list, tuple, dict))
    found = result if at_once else list(itertools.islice(result, MANY))
    return {
        "what comes back": "all at once" if at_once else "one by one",
        "the list of configurations": found,
    }


def product(values: Iterable[Iterable[Any]]) -> Iterable[tuple[Any, ...]]:
    return itertools.product(*values)


def grid_by(
    combine: Callable[[list[list[Any]]], Iterable[tuple[Any, ...]]] = product,
    config: Callable[[Levels, tuple[Any, ...]], Any] = lambda levels, values: dict(
        zip(levels, values, strict=False)
    ),
) -> Callable[[Levels], Iterator[Any]]:
    """Yield combinations with one of the pieces exchanged."""

    def grid(levels: Levels) -> Iterator[Any]:
        for values in combine(list(levels.values())):
            yield config(levels, values)

    return grid


def first_fastest(values: list[list[Any]]) -> list[tuple[Any, ...]]:
    return [combination[::-1] for combination in itertools.product(*values[::-1])]


def one_dict(levels: Levels) -> Iterator[dict[str, Any]]:
    config: dict[str, Any] = {}
    for values in itertools.product(*levels.values()):
        config.update(zip(levels, values, strict=True))
        yield config


def by_counting(levels: Levels) -> Iterator[dict[str, Any]]:
    """The digits of the configuration's number."""
    for number in range(math.prod(map(len, levels.values()))):
        config = {}
        for name in reversed(list(levels)):
            number, digit = divmod(number, len(levels[name]))
            config[name] = levels[name][digit]
        yield config


def by_recursion(levels: Levels) -> Iterator[dict[str, Any]]:
    if not levels:
        yield {}
        return
    (name, values), *rest = levels.items()
    for value in values:
        for others in by_recursion(dict(rest)):
            yield {name: value, **others}


grid = Question(
    name="grid",
    title="The grid as a generator",
    points=2,
    reference=grid_by(),
    cases=grid_cases,
    use=use_grid,
    mistakes=(
        Mistake(
            "all_at_once",
            lambda levels: list(grid_by()(levels)),
            "the whole grid is built in memory before the first training, all 18,729,984 "
            "configurations of LeNet's: yield one after the other",
        ),
        Mistake(
            "first_alone",
            lambda levels: next(grid_by()(levels)),
            "only the first configuration comes back: yield it and go on, do not return",
        ),
        Mistake(
            "first_fastest",
            grid_by(first_fastest),
            "your first parameter changes fastest: it should be the last one",
        ),
        Mistake(
            "paired",
            grid_by(lambda values: zip(*values, strict=False)),
            "you pair the first levels, the second levels, ...: a grid has all combinations",
        ),
        Mistake(
            "one_at_a_time",
            grid_by(
                lambda values: [
                    (*(v[0] for v in values[:i]), x, *(v[0] for v in values[i + 1 :]))
                    for i, column in enumerate(values)
                    for x in column
                ]
            ),
            "you change one parameter at a time and leave the others at their first level: a grid "
            "has all combinations",
        ),
        Mistake(
            "tuples",
            grid_by(config=lambda levels, values: values),
            "you yield the values alone: a configuration is a dict of names to values",
        ),
        Mistake(
            "same_dict",
            one_dict,
            "you yield the same dict again and again and change it in between: whoever keeps the "
            "configurations has the last one many times, so make a new dict each time",
        ),
        Mistake(
            "last_left_out",
            grid_by(lambda values: itertools.product(*(v[:-1] for v in values))),
            "the last level of each parameter never comes: with range(len(...)) the last index is "
            "included already",
        ),
        Mistake(
            "backwards",
            grid_by(lambda values: list(itertools.product(*values))[::-1]),
            "your grid begins at its end: the first configuration has the first level of each",
        ),
        Mistake(
            "names_sorted",
            lambda levels: grid_by()({name: levels[name] for name in sorted(levels)}),
            "you sort the names: their order in the dict says which one changes fastest",
        ),
        Mistake(
            "indices",
            grid_by(
                lambda values: itertools.product(*(range(len(v)) for v in values)),
            ),
            "you yield the numbers of the levels: look up the levels themselves",
        ),
    ),
    variants=(
        Variant("digits of a number", by_counting),
        Variant("recursion", by_recursion),
        Variant(
            "a generator expression",
            lambda levels: (
                dict(zip(levels, values, strict=True))
                for values in itertools.product(*levels.values())
            ),
        ),
        Variant(
            "an iterator of a list",
            lambda levels: iter(list(by_counting(levels))),
        ),
    ),
    hints=(
        "A function with yield in it returns a generator: it runs up to the next yield whenever "
        "the next configuration is asked for.",
        "itertools.product(a, b) gives all pairs, the second one changing fastest.",
        "for values in itertools.product(*levels.values()): yield dict(zip(levels, values)).",
    ),
)
