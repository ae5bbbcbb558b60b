"""`real_at`, `integer_at`, `sample`, `existing`: from numbers in [0, 1] to a configuration."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import EXACT, NO_DRAWS, integer, units

Config = dict[str, Any]
Space = Mapping[str, Mapping[str, Any]]

# --- A real number --------------------------------------------------------------------------------


def real_cases(g: Generator) -> list[tuple[float, float, float, bool]]:
    """(unit, low, high, log): even and logarithmic ranges, and their ends."""
    ranges = ((1e-4, 1.0, True), (0.1, 0.5, False), (5.0, 200.0, True), (-3.0, 2.0, False))
    found = [
        (at, low, high, log)
        for low, high, log in ranges
        for at in (uniform(0.1, 0.4, g), uniform(0.6, 0.9, g))
    ]
    return [*found, (0.0, 0.2, 0.7, False), (1.0, 1e-3, 0.1, True)]


def real_by(
    even: Callable[[float, float, float], Any] = lambda u, low, high: low + u * (high - low),
    ratio: Callable[[float, float, float], Any] = lambda u, low, high: low * (high / low) ** u,
) -> Callable[[float, float, float, bool], Any]:
    """Make an answer of its two formulas."""
    return lambda unit, low, high, log: (ratio if log else even)(unit, low, high)


def exponent(u: float, low: float, high: float) -> float:
    return math.log(low) + u * (math.log(high) - math.log(low))


def exponent10(u: float, low: float, high: float) -> float:
    return math.log10(low) + u * (math.log10(high) - math.log10(low))


def even_number(u: float, low: float, high: float) -> float:
    return low + u * (high - low)


def by_interpolation(unit: float, low: float, high: float, log: bool) -> Any:
    ends = np.log10([low, high]) if log else np.array([low, high])
    at = np.interp(unit, [0.0, 1.0], ends)
    return 10.0**at if log else at


def by_tensors(unit: float, low: float, high: float, log: bool) -> Any:
    ends = torch.tensor([low, high], dtype=torch.float64)
    start, end = ends.log() if log else ends
    at = start + unit * (end - start)
    return at.exp() if log else at


real_at = Question(
    name="real_at",
    title="A real number from a range",
    points=2,
    reference=real_by(),
    cases=real_cases,
    parts=("the value",),
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "log_ignored",
            real_by(ratio=even_number),
            "your logarithmic range is drawn evenly: between 0.0001 and 1 nearly every draw is "
            "then above 0.01, so go evenly from log(low) to log(high) instead",
        ),
        Mistake(
            "mixed_logarithms",
            real_by(ratio=lambda u, low, high: 10 ** exponent(u, low, high)),
            "two logarithms are mixed: you take the natural one of the ends and go back with a "
            "power of 10; go back with exp, or take log10 of the ends",
        ),
        Mistake(
            "mixed_powers",
            real_by(ratio=lambda u, low, high: math.exp(exponent10(u, low, high))),
            "two logarithms are mixed: you take log10 of the ends and go back with exp; go back "
            "with 10 ** ..., or take the natural logarithm of the ends",
        ),
        Mistake(
            "one_end_log10",
            real_by(
                ratio=lambda u, low, high: math.exp(
                    math.log(low) + u * (math.log10(high) - math.log10(low))
                )
            ),
            "the lower end has a natural logarithm and the width of the range one to base 10: use "
            "the same one for both ends, and go back with its own inverse",
        ),
        Mistake(
            "exponent",
            real_by(ratio=exponent),
            "that is the logarithm of the value: the way back, exp, is missing",
        ),
        Mistake(
            "exponent10",
            real_by(ratio=exponent10),
            "that is the logarithm of the value to base 10: the way back, 10 ** ..., is missing",
        ),
        Mistake(
            "log_everywhere",
            real_by(even=lambda u, low, high: low * abs(high / low) ** u),
            "every range is drawn in the logarithm: do so only where log is True",
        ),
        Mistake(
            "exchanged",
            lambda unit, low, high, log: (
                real_by()(unit, low, high, not log) if low > 0 else low * abs(high / low) ** unit
            ),
            "log is turned round: it is with log=True that equal ratios are equally likely",
        ),
        Mistake(
            "low_forgotten",
            real_by(
                even=lambda u, low, high: u * (high - low),
                ratio=lambda u, low, high: (high / low) ** u,
            ),
            "the range starts at 0 (at 1 with log) and not at low: the lower end is missing",
        ),
        Mistake(
            "low_forgotten_evenly",
            real_by(even=lambda u, low, high: u * (high - low)),
            "your even range starts at 0: add the lower end to it",
        ),
        Mistake(
            "up_to_high",
            real_by(even=lambda u, low, high: u * high),
            "your even range runs from 0 to high: it is low + unit * (high - low)",
        ),
        Mistake(
            "beyond",
            real_by(even=lambda u, low, high: low + u * high),
            "at unit 1 you are at low + high: the range is only high - low wide",
        ),
        Mistake(
            "from_the_top",
            lambda unit, low, high, log: real_by()(1 - unit, low, high, log),
            "your values come from the other end: unit 0 is low and unit 1 is high",
        ),
    ),
    variants=(
        Variant("exp of an even number", real_by(ratio=lambda *a: math.exp(exponent(*a)))),
        Variant("powers of ten", real_by(ratio=lambda *a: 10 ** exponent10(*a))),
        Variant("two weights", real_by(even=lambda u, low, high: (1 - u) * low + u * high)),
        Variant("numpy's interpolation", by_interpolation),
        Variant("tensors", by_tensors),
    ),
    hints=(
        "Where is the value at unit = 0, at 1, and half way? With log=True, half way between 0.01 "
        "and 1 is 0.1.",
        "Evenly: the lower end plus a share of the width. With log: the same with log(low) and "
        "log(high).",
        "low + unit * (high - low), or low * (high / low) ** unit.",
    ),
)


# --- An integer -----------------------------------------------------------------------------------


def integer_cases(g: Generator) -> list[tuple[float, int, int]]:
    """(unit, low, high): both halves of a range, both halves of a share, and both ends."""
    found: list[tuple[float, int, int]] = []
    for low, high in ((1, 32), (40, 130), (-4, 3), (0, 5), (125, 325)):
        n = high - low + 1
        early, late = integer(n // 8, n // 4, g), integer(3 * n // 4, n - 2, g)
        found += [
            ((share + part) / n, low, high)
            for share in (early, late)
            for part in (uniform(0.15, 0.3, g), uniform(0.7, 0.85, g))
        ]
        found += [(0.0, low, high), (1.0, low, high)]
    return [*found, (uniform(0.2, 0.9, g), 7, 7)]


def in_range(value: float, low: int, high: int) -> int:
    return int(min(max(value, low), high))


def by_bounds(unit: float, low: int, high: int) -> int:
    """Search for the share in which the number lies."""
    for value in range(low, high):
        if unit * (high - low + 1) < value - low + 1:
            return value
    return high


integer_at = Question(
    name="integer_at",
    title="An integer from a range",
    points=2,
    reference=lambda unit, low, high: min(low + int(unit * (high - low + 1)), high),
    cases=integer_cases,
    parts=("the integer",),
    mistakes=(
        Mistake(
            "end_left_out",
            lambda unit, low, high: low + int(unit * (high - low)),
            "the upper end has no share: from low to high there are high - low + 1 integers, and "
            "yours comes up at unit 1 alone",
        ),
        Mistake(
            "cut_off",
            lambda unit, low, high: int(low + unit * (high - low)),
            "cutting off the digits gives the upper end no share, as it comes up at unit 1 alone, "
            "and rounds up below zero: find the whole part of unit * (high - low + 1), and add low",
        ),
        Mistake(
            "half_shares",
            lambda unit, low, high: low + round(unit * (high - low)),
            "rounding gives the two ends only half as large a share as the others: cut [0, 1] into "
            "high - low + 1 equal shares",
        ),
        Mistake(
            "beyond",
            lambda unit, low, high: low + int(unit * (high - low + 1)),
            "at unit 1 you return high + 1, which is outside of the range: the last share includes "
            "its end",
        ),
        Mistake(
            "wrapped",
            lambda unit, low, high: low + int(unit * (high - low + 1)) % (high - low + 1),
            "at unit 1 you are back at low: the last share includes its end, so it is high",
        ),
        Mistake(
            "rounded_up",
            lambda unit, low, high: low + math.ceil(unit * (high - low)),
            "you round up, so low itself comes up at unit 0 alone: each of the high - low + 1 "
            "integers has an equal share",
        ),
        Mistake(
            "one_more",
            lambda unit, low, high: in_range(low + 1 + int(unit * (high - low + 1)), low, high),
            "all of your integers are one too large: the first share, from unit 0 on, is low",
        ),
        Mistake(
            "shares_rounded",
            lambda unit, low, high: in_range(low + round(unit * (high - low + 1)), low, high),
            "there are high - low + 1 shares, but rounding moves each by half of its width: take "
            "the whole part instead",
        ),
        Mistake(
            "towards_zero",
            lambda unit, low, high: min(int(low + unit * (high - low + 1)), high),
            "below zero int() rounds up, towards 0: take the whole part of unit * (number of "
            "integers) first and add low afterwards",
        ),
        Mistake(
            "low_forgotten",
            lambda unit, low, high: min(int(unit * (high - low + 1)), high - low),
            "your integers start at 0: add low",
        ),
        Mistake(
            "up_to_high",
            lambda unit, low, high: in_range(int(unit * (high + 1)), low, high),
            "you cut up the numbers from 0 to high, whatever low is: there are high - low + 1 of "
            "them",
        ),
        Mistake(
            "not_rounded",
            lambda unit, low, high: low + unit * (high - low),
            "that is no whole number: each integer has a share of [0, 1]; find the one in which "
            "unit lies",
        ),
        Mistake(
            "not_rounded_either",
            lambda unit, low, high: low + unit * (high - low + 1),
            "that is no whole number yet: take the whole part, and mind unit 1",
        ),
    ),
    variants=(
        Variant(
            "floor, one half to the left",
            lambda unit, low, high: in_range(
                math.floor(low - 0.5 + unit * (high - low + 1) + 0.5), low, high
            ),
        ),
        Variant("from share to share", by_bounds),
        Variant(
            "an index into a range",
            lambda unit, low, high: list(range(low, high + 1))[
                min(int(unit * (high + 1 - low)), high - low)
            ],
        ),
        Variant(
            "numpy",
            lambda unit, low, high: np.clip(np.floor(low + unit * (high - low + 1)), low, high),
        ),
    ),
    hints=(
        "How many integers are there from 1 to 3? Cut [0, 1] into as many equal shares.",
        "unit * (number of integers), and the whole part of it, counts from 0.",
        "low + int(unit * (high - low + 1)), and never more than high.",
    ),
)


# --- A configuration ------------------------------------------------------------------------------

#: Even, integer, logarithmic; a range with whole but real ends; choices of several lengths.
SPACES: tuple[dict[str, dict[str, Any]], ...] = (
    {
        "lr": {"low": 1e-4, "high": 1.0, "log": True},
        "width": {"low": 4, "high": 64},
        "dropout": {"low": 0.0, "high": 3.0},
        "activation": {"choices": ["relu", "tanh", "gelu"]},
    },
    {
        "optimizer": {"choices": ["sgd", "adam"]},
        "batch": {"choices": [16, 32, 64, 128, 256]},
        "decay": {"low": 1e-6, "high": 1e-2, "log": True},
        "layers": {"low": 1, "high": 9},
        "momentum": {"low": 0.5, "high": 0.99},
    },
)


def sample_cases(g: Generator) -> list[tuple[Space, list[float]]]:
    """(space, units): anywhere, near 1, and where a choice's first share ends."""
    found: list[tuple[Space, list[float]]] = []
    for space in SPACES:
        found += [(space, units(len(space), g)) for _ in range(2)]
        found.append((space, [uniform(0.86, 0.98, g) for _ in space]))
        lengths = [len(parameter.get("choices", "abc")) for parameter in space.values()]
        found.append((space, [uniform(0.8, 0.95, g) / length for length in lengths]))
    return found


def real(parameter: Mapping[str, Any], unit: float) -> Any:
    return real_by()(unit, parameter["low"], parameter["high"], parameter.get("log", False))


def whole(parameter: Mapping[str, Any], unit: float) -> Any:
    return integer_at.reference(unit, parameter["low"], parameter["high"])


def chosen(parameter: Mapping[str, Any], unit: float) -> Any:
    choices = parameter["choices"]
    return choices[integer_at.reference(unit, 0, len(choices) - 1)]


def is_whole(parameter: Mapping[str, Any]) -> bool:
    return isinstance(parameter["low"], int)


Value = Callable[[Mapping[str, Any], float], Any]


def sample_by(
    choice: Value = chosen,
    number: Value = real,
    integers: Value = whole,
    asks: Callable[[Mapping[str, Any]], bool] = is_whole,
    pairs: Callable[[Space, list[float]], Any] = lambda space, units: zip(
        space, units, strict=True
    ),
    result: Callable[[Config], Any] = lambda config: config,
) -> Callable[[Space, list[float]], Any]:
    """Draw a configuration with one of the pieces exchanged."""

    def sample(space: Space, units: list[float]) -> Any:
        config = {}
        for name, unit in pairs(space, units):
            parameter = space[name]
            if "choices" in parameter:
                config[name] = choice(parameter, unit)
            else:
                config[name] = (integers if asks(parameter) else number)(parameter, unit)
        return result(config)

    return sample


def index(parameter: Mapping[str, Any], unit: float) -> Any:
    return integer_at.reference(unit, 0, len(parameter["choices"]) - 1)


def popping(space: Space, units: list[float]) -> Config:
    config = sample_by()(space, units)
    units.clear()
    return config


def by_matching(space: Space, units: Sequence[float]) -> Config:
    config: Config = {}
    for i, (name, parameter) in enumerate(space.items()):
        match parameter:
            case {"choices": choices}:
                shares = np.linspace(0, 1, len(choices) + 1)
                config[name] = choices[int(np.searchsorted(shares, units[i])) - 1]
            case {"low": int(low), "high": high}:
                config[name] = int(np.floor(low + units[i] * (high - low + 1)))
            case {"low": low, "high": high, "log": True}:
                config[name] = float(np.exp(np.interp(units[i], [0, 1], np.log([low, high]))))
            case {"low": low, "high": high}:
                config[name] = float(np.interp(units[i], [0, 1], [low, high]))
    return config


sample = Question(
    name="sample",
    title="A configuration from a space",
    points=3,
    reference=sample_by(),
    cases=sample_cases,
    parts=("the configuration",),
    tolerance=EXACT,
    needs=("real_at", "integer_at"),
    forbidden=(NO_DRAWS,),
    mistakes=(
        Mistake(
            "one_unit",
            sample_by(pairs=lambda space, units: [(name, units[0]) for name in space]),
            "one random number decides everything: each parameter has its own, or large rates "
            "would always come with large widths",
        ),
        Mistake(
            "log_ignored",
            sample_by(number=lambda p, u: real({**p, "log": False}, u)),
            'a range with "log": True is drawn evenly: hand its log on to real_at',
        ),
        Mistake(
            "log_expected",
            sample_by(number=lambda p, u: real({**p, "log": p["log"]}, u)),
            'not every range has a "log", and looking it up fails: parameter.get("log", False)',
        ),
        Mistake(
            "log_everywhere",
            sample_by(number=lambda p, u: real({**p, "low": max(p["low"], 1e-12), "log": True}, u)),
            'every real range is drawn in the logarithm: only those with "log": True are',
        ),
        Mistake(
            "integers_as_reals",
            sample_by(integers=real),
            "a range with integers as ends asks for integers: a width of 17.3 cannot be built",
        ),
        Mistake(
            "reals_as_integers",
            sample_by(asks=lambda p: p["low"] == int(p["low"])),
            "0.0 to 3.0 are real numbers, since the ends are written so: ask for the type of an "
            "end, isinstance(low, int), and not whether it is whole",
        ),
        Mistake(
            "all_integers",
            sample_by(number=lambda p, u: math.floor(real(p, u))),
            "real ranges are rounded too: only a range with integers as ends asks for integers",
        ),
        Mistake(
            "index",
            sample_by(choice=index),
            "a choice gives its number in the list: return what stands there",
        ),
        Mistake(
            "last_choice_never",
            sample_by(choice=lambda p, u: p["choices"][int(u * (len(p["choices"]) - 1))]),
            "the last of the choices never comes up: with n choices each has a share of 1/n, so "
            "take integer_at(unit, 0, n - 1)",
        ),
        Mistake(
            "nearest_choice",
            sample_by(choice=lambda p, u: p["choices"][round(u * (len(p["choices"]) - 1))]),
            "the first and the last of the choices have only half a share: take integer_at(unit, "
            "0, n - 1)",
        ),
        Mistake(
            "backwards",
            sample_by(
                pairs=lambda space, units: zip(space, reversed(units), strict=True),
            ),
            "the units are used from the last to the first: the first parameter takes the first",
        ),
        Mistake(
            "values_alone",
            sample_by(result=lambda config: list(config.values())),
            "you return the values alone: a configuration is a dict of names to values",
        ),
        Mistake(
            "used_up",
            popping,
            "the caller's list of units is empty afterwards: read from it, do not pop",
        ),
    ),
    variants=(
        Variant("patterns and numpy", by_matching),
        Variant("from pieces", sample_by(pairs=lambda s, u: list(zip(list(s), u, strict=False)))),
        Variant(
            "numpy's numbers",
            sample_by(
                number=lambda p, u: np.float64(real(p, u)),
                integers=lambda p, u: np.int64(whole(p, u)),
            ),
        ),
    ),
    hints=(
        "Go through the names and the units together: for name, unit in zip(space, units).",
        'Three kinds: "choices" in the parameter; isinstance(parameter["low"], int); the rest.',
        "A choice among n values is an integer from 0 to n - 1, by integer_at. For reals: "
        'real_at(unit, low, high, parameter.get("log", False)).',
    ),
)


# --- Which parameters exist -----------------------------------------------------------------------

#: Momentum asks for one of two optimisers; nesterov for momentum's optimiser and more; depth 3.
CONDITIONS: dict[str, dict[str, Any]] = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "optimizer": {"choices": ["sgd", "heavy", "adam", "lion"]},
    "average": {"choices": ["plain", "corrected"], "when": {"optimizer": ["heavy", "adam"]}},
    "beta": {"low": 0.5, "high": 0.99, "when": {"average": ["corrected"]}},
    "look_ahead": {
        "choices": [False, True],
        "when": {"optimizer": ["heavy", "lion"], "average": ["plain"]},
    },
    "ahead_by": {"low": 1, "high": 5, "when": {"look_ahead": [True]}},
}


def existing_cases(g: Generator) -> list[tuple[Space, Config]]:
    """(space, configuration with a value for every name): each pattern of choices once or more."""
    found: list[tuple[Space, Config]] = []
    for optimizer in ("sgd", "heavy", "adam", "lion"):
        for average in ("plain", "corrected"):
            for look_ahead in (False, True):
                config = {
                    "lr": uniform(0.001, 0.1, g),
                    "optimizer": optimizer,
                    "average": average,
                    "beta": uniform(0.5, 0.99, g),
                    "look_ahead": look_ahead,
                    "ahead_by": integer(1, 5, g),
                }
                found.append((CONDITIONS, config))
    return found


def existing_by(
    fits: Callable[[Mapping[str, Any], Config, Config], bool],
    keep: Callable[[Config, Config], Any] = lambda kept, config: kept,
) -> Callable[[Space, Config], Any]:
    """Keep what fits; `fits` is asked with the conditions, all values, and what is kept so far."""

    def existing(space: Space, config: Config) -> Any:
        kept: Config = {}
        for name, parameter in space.items():
            if fits(parameter.get("when", {}), config, kept):
                kept[name] = config[name]
        return keep(kept, config)

    return existing


def all_fit(when: Mapping[str, Any], config: Config, kept: Config) -> bool:
    return all(parent in kept and kept[parent] in values for parent, values in when.items())


def deleting(space: Space, config: Config) -> Config:
    kept = existing_by(all_fit)(space, config)
    for name in config.keys() - kept.keys():
        del config[name]
    return config


def by_recursion(space: Space, config: Config) -> Config:
    def exists(name: str) -> bool:
        when = space[name].get("when", {})
        return all(exists(parent) and config[parent] in values for parent, values in when.items())

    return {name: value for name, value in config.items() if exists(name)}


def by_removing(space: Space, config: Config) -> Config:
    """Throw out what lacks its parent until nothing changes."""
    left = dict(config)
    while True:
        out = [
            name
            for name in left
            for parent, values in space[name].get("when", {}).items()
            if left.get(parent, object()) not in values
        ]
        if not out:
            return left
        left = {name: value for name, value in left.items() if name not in out}


existing = Question(
    name="existing",
    title="Parameters that exist",
    points=2,
    reference=existing_by(all_fit),
    cases=existing_cases,
    parts=("the configuration",),
    mistakes=(
        Mistake(
            "everything",
            existing_by(lambda when, config, kept: True),
            "everything is kept: a parameter exists only if its parents do and have one of the "
            "values listed; about anything else a search would learn from noise",
        ),
        Mistake(
            "when_expected",
            lambda space, config: {
                name: config[name] for name, parameter in space.items() if parameter["when"]
            },
            'not every parameter has a "when", and looking it up fails: parameter.get("when", {})',
        ),
        Mistake(
            "ghost_parent",
            existing_by(
                lambda when, config, kept: all(
                    config[parent] in values for parent, values in when.items()
                )
            ),
            "a parameter is kept although its parent does not exist itself: the parent's value in "
            "config means nothing then; look among those that you have kept",
        ),
        Mistake(
            "any",
            existing_by(
                lambda when, config, kept: (
                    not when
                    or any(
                        parent in kept and kept[parent] in values for parent, values in when.items()
                    )
                )
            ),
            "one of two conditions is enough for you: all of them must hold",
        ),
        Mistake(
            "first_value",
            existing_by(
                lambda when, config, kept: all(
                    parent in kept and kept[parent] == values[0] for parent, values in when.items()
                )
            ),
            "only the first of the listed values counts: any of them will do",
        ),
        Mistake(
            "turned_round",
            existing_by(lambda when, config, kept: not when or not all_fit(when, config, kept)),
            "it is turned round: a parameter exists when its conditions do hold",
        ),
        Mistake(
            "unconditional_alone",
            existing_by(lambda when, config, kept: not when),
            'every parameter with a "when" is thrown out: it exists if the value of each parent is '
            "in the list of its values (a value never equals a list)",
        ),
        Mistake(
            "conditional_alone",
            existing_by(lambda when, config, kept: bool(when) and all_fit(when, config, config)),
            'parameters without a "when" are thrown out: they always exist',
        ),
        Mistake(
            "none_instead",
            existing_by(
                all_fit,
                lambda kept, config: {name: kept.get(name) for name in config},
            ),
            "what does not exist is None: leave its name out of the configuration",
        ),
        Mistake(
            "names_alone",
            existing_by(all_fit, lambda kept, config: list(kept)),
            "you return names: return a dict of the names that exist and their values",
        ),
        Mistake(
            "callers_dict",
            deleting,
            "the caller's config is changed: put what exists into a new dict",
        ),
    ),
    variants=(
        Variant("parents first, by recursion", by_recursion),
        Variant("removed until nothing changes", by_removing),
        Variant("from pieces", existing_by(lambda when, c, kept: all_fit(when, {}, kept))),
    ),
    hints=(
        'parameter.get("when", {}) gives the conditions, none if there are none.',
        "A parent stands before its children in the space. So fill a new dict from the first name "
        "to the last, and look for the parents there.",
        "all(parent in kept and kept[parent] in values for parent, values in when.items())",
    ),
)
