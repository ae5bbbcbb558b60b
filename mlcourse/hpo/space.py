"""Search spaces and configurations: plain dicts of names to ranges, and of names to values."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

Value = int | float | str | bool | None
Config = dict[str, Value]
Units = NDArray[np.float64]

_LARGEST = 1e300


@dataclass(frozen=True)
class Range:
    """The integers or the real numbers from `low` to `high`, both ends included.

    With `log` equal ratios are equally likely, and not equal differences.
    """

    name: str
    low: int | float
    high: int | float
    log: bool = False
    when: tuple[tuple[str, tuple[Value, ...]], ...] = ()

    @property
    def integer(self) -> bool:
        """Whether only whole numbers are meant: both ends are written as integers."""
        return isinstance(self.low, int)

    @property
    def size(self) -> float:
        """The number of values: infinite for real numbers, if the ends differ."""
        if self.integer:
            return self.high - self.low + 1
        return 1 if self.low == self.high else math.inf

    def at(self, unit: float) -> Value:
        """Return the value at a place in [0, 1]; each integer has its own equal (or log) share."""
        low, high = self._ends()
        value = low + min(max(unit, 0.0), 1.0) * (high - low)
        value = math.exp(value) if self.log else value
        if self.integer:
            # Shares are [i - 1/2, i + 1/2), so the nearest integer, halves upwards.
            return int(min(max(math.floor(value + 0.5), self.low), self.high))
        return min(max(value, self.low), self.high)

    def unit(self, value: Value) -> float:
        """Return the place of a value in [0, 1], for an integer the middle of its share."""
        low, high = self._ends()
        if low == high:
            return 0.5
        number = float(value)  # type: ignore[arg-type]
        return ((math.log(number) if self.log else number) - low) / (high - low)

    def levels(self, count: int) -> list[Value]:
        """Return at most `count` values, evenly spread, ends included; integers once each."""
        if self.integer and count >= self.size:
            return list(range(int(self.low), int(self.high) + 1))
        low, high = (math.log(self.low), math.log(self.high)) if self.log else (self.low, self.high)
        spread = np.linspace(low, high, count) if count > 1 else [(low + high) / 2]
        values = [math.exp(x) if self.log else float(x) for x in spread]
        if count > 1:
            values[0], values[-1] = self.low, self.high  # exp(log(x)) need not be x
        if self.integer:
            return list(dict.fromkeys(math.floor(x + 0.5) for x in values))
        return list(dict.fromkeys(min(max(x, self.low), self.high) for x in values))

    def problem(self, value: object) -> str | None:
        """Return what is wrong with a value, as the end of a sentence, or None."""
        kinds: tuple[type, ...] = (int,) if self.integer else (int, float)
        if isinstance(value, bool) or not isinstance(value, kinds):
            return f"is no {'integer' if self.integer else 'number'}"
        if not self.low <= value <= self.high:  # type: ignore[operator]
            return f"is outside {self.low} .. {self.high}"
        return None

    def _ends(self) -> tuple[float, float]:
        low, high = float(self.low), float(self.high)
        if self.integer:
            low, high = low - 0.5, high + 0.5
        return (math.log(low), math.log(high)) if self.log else (low, high)


@dataclass(frozen=True)
class Choice:
    """One of a few values that have no order."""

    name: str
    choices: tuple[Value, ...]
    when: tuple[tuple[str, tuple[Value, ...]], ...] = ()

    @property
    def size(self) -> float:
        """The number of values."""
        return len(self.choices)

    def at(self, unit: float) -> Value:
        """Return the value at a place in [0, 1]: each has an equal share."""
        return self.choices[min(max(int(unit * len(self.choices)), 0), len(self.choices) - 1)]

    def unit(self, value: Value) -> float:
        """Return the middle of a value's share of [0, 1]."""
        same = [_same(value, one) for one in self.choices]
        return (same.index(True) + 0.5) / len(self.choices)

    def levels(self, count: int) -> list[Value]:
        """Return every value: leaving one out would leave it untried."""
        return list(self.choices)

    def problem(self, value: object) -> str | None:
        """Return what is wrong with a value, as the end of a sentence, or None."""
        if not any(_same(value, one) for one in self.choices):
            return f"is none of {listed(map(repr, self.choices))}"
        return None


Parameter = Range | Choice


class Space:
    """A search space, read from a plain dict of names to ranges.

    A range is `(low, high)`: integers when both ends are integers, else real numbers; a list is a
    choice: `{"width": (1, 32), "dropout": (0.0, 0.5), "activation": ["relu", "tanh"]}`. The long
    forms `{"low": 1e-4, "high": 1.0, "log": True}` and `{"choices": [...]}` can also say when a
    parameter exists: `{"low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}}`, or one of
    several values, `{"optimizer": ["sgd", "nesterov"]}`. What it depends on is a choice that is
    listed before it. Configurations hold the parameters that exist, and no others. Raises
    ValueError, with the name and the remedy, for anything else.
    """

    def __init__(self, definition: Mapping[str, Any]) -> None:
        if not isinstance(definition, Mapping) or not definition:
            raise ValueError(
                f"the space is {definition!r}: give a dict of names to ranges, "
                'for example {"width": (1, 32)}'
            )
        self.parameters: tuple[Parameter, ...] = ()
        for name, given in definition.items():
            parameter = _parameter(name, given)
            self._check_when(parameter)
            self.parameters += (parameter,)

    @staticmethod
    def of(space: Space | Mapping[str, Any]) -> Space:
        """Return the space itself, or the one that a plain dict describes."""
        return space if isinstance(space, Space) else Space(space)

    @property
    def names(self) -> list[str]:
        """The parameters' names, in order."""
        return [parameter.name for parameter in self.parameters]

    @property
    def definition(self) -> dict[str, dict[str, Any]]:
        """The space as a plain dict in the long form, which JSON can hold."""
        return {parameter.name: _long_form(parameter) for parameter in self.parameters}

    @cached_property
    def size(self) -> float:
        """The number of different configurations: infinite with a real-valued range."""
        return self._count({}, 0)

    def sample(self, rng: np.random.Generator) -> Config:
        """Draw a configuration, each parameter uniformly (in its logarithm with `log`)."""
        return self.decode(rng.random(len(self.parameters)))

    def decode(self, units: Sequence[float] | Units) -> Config:
        """Return the configuration at a point of the unit cube, (d,): a coordinate a parameter.

        Raises ValueError for another number of coordinates.
        """
        if len(units) != len(self.parameters):
            raise ValueError(
                f"the point has {len(units)} coordinates: give {len(self.parameters)}, "
                "one for each parameter"
            )
        config: Config = {}
        for parameter, unit in zip(self.parameters, units, strict=True):
            if exists(parameter, config):
                config[parameter.name] = parameter.at(float(unit))
        return config

    def encode(self, config: Mapping[str, Value]) -> Units:
        """Return a configuration's point in the unit cube, (d,): nan for what does not exist."""
        self.check(config)
        return np.array(
            [
                parameter.unit(config[parameter.name]) if parameter.name in config else math.nan
                for parameter in self.parameters
            ]
        )

    def coarse(self, levels: int | Mapping[str, int]) -> Space:
        """Return the space of choices that has `levels` values a range.

        They are evenly spread with both ends (all integers, when there are no more); `levels` is
        one number, or numbers by name. Choices are all there. Raises ValueError below 1.
        """
        counts = levels if isinstance(levels, Mapping) else dict.fromkeys(self.names, levels)
        for name in counts:
            if name not in self.names:
                raise ValueError(
                    f"the grid has levels of {name!r}, which the space lacks: "
                    f"give {', '.join(self.names)}"
                )
        choices: dict[str, dict[str, Any]] = {}
        for parameter in self.parameters:
            count = counts.get(parameter.name, 1 if isinstance(parameter, Choice) else 0)
            if isinstance(count, bool) or not isinstance(count, int) or count < 1:
                raise ValueError(
                    f"{parameter.name} has {count!r} levels in the grid: give 1 or more"
                )
            when = {parent: list(values) for parent, values in parameter.when}
            choices[parameter.name] = {"choices": parameter.levels(count), "when": when}
        return Space(choices)

    def configuration(self, number: int) -> Config:
        """Return a configuration by its number, from 0: the last parameter changes fastest.

        Raises ValueError in a space with a real-valued range, and from the space's size on.
        """
        if self.size == math.inf:
            raise ValueError("the space has a real-valued range: make it `coarse` to count it")
        if not 0 <= number < self.size:
            raise ValueError(f"configuration {number!r} of {self.size}: count from 0")
        config: Config = {}
        for i, parameter in enumerate(self.parameters):
            if exists(parameter, config):
                config[parameter.name], number = self._digit(number, config, i)
        return config

    def grid(self, levels: int | Mapping[str, int]) -> Iterator[Config]:
        """Yield each configuration of the `coarse` space once, the last parameter changing fastest.

        Raises ValueError below 1 level.
        """
        coarse = self.coarse(levels)
        return map(coarse.configuration, range(int(coarse.size)))

    def check(self, config: Mapping[str, Value]) -> None:
        """Raise ValueError when a configuration does not belong to this space."""
        for name in config:
            if name not in self.names:
                raise ValueError(
                    f"the configuration has {name!r}, which the space lacks: "
                    f"give {', '.join(self.names)}"
                )
        for parameter in self.parameters:
            name, wanted = parameter.name, exists(parameter, config)
            if wanted and name not in config:
                raise ValueError(f"the configuration {dict(config)} lacks {name}: add it")
            if name in config and not wanted:
                raise ValueError(
                    f"the configuration {dict(config)} has {name}, which exists only when "
                    f"{_conditions(parameter)}: leave it out"
                )
            if wanted and (problem := parameter.problem(config[name])):
                raise ValueError(f"{name} = {config[name]!r} {problem}")

    def __eq__(self, other: object) -> bool:
        """Spaces are equal when their parameters are, in the same order."""
        return isinstance(other, Space) and self.parameters == other.parameters

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Show the space as it could be written."""
        return f"Space({self.definition})"

    def _check_when(self, parameter: Parameter) -> None:
        before = {p.name: p for p in self.parameters}
        for parent, values in parameter.when:
            found = before.get(parent)
            if not isinstance(found, Choice):
                raise ValueError(
                    f"{parameter.name} depends on {parent!r}: it can depend on a choice "
                    "(a list of values) that is listed before it"
                )
            for value in values:
                if problem := found.problem(value):
                    raise ValueError(
                        f"{parameter.name} depends on {parent} = {value!r}, which {problem}"
                    )

    def _count(self, config: Config, start: int) -> float:
        """Return how many configurations have these values of the first `start` parameters."""
        # Beginnings that are alike in all that later parameters depend on are counted together.
        counts: dict[tuple[Any, ...], tuple[Config, float]] = {(): (config, 1)}
        for i in range(start, len(self.parameters)):
            longer: dict[tuple[Any, ...], tuple[Config, float]] = {}
            for beginning, count in counts.values():
                for after, values in self._continued(beginning, i):
                    # 1 == True == 1.0, so the type counts as well.
                    key = tuple((name, type(value), value) for name, value in after.items())
                    longer[key] = after, count * values + longer.get(key, (after, 0))[1]
            counts = longer
        return sum(count for _, count in counts.values())

    def _continued(self, config: Config, i: int) -> list[tuple[Config, float]]:
        """Return what parameter i can add to a beginning, each with the number of its values.

        What no later parameter depends on is left out.
        """
        parameter = self.parameters[i]
        kept = {name: value for name, value in config.items() if self._last_child[name] > i}
        if not exists(parameter, config):
            return [(kept, 1)]
        if self._last_child[parameter.name] < i:
            return [(kept, parameter.size)]
        return [(kept | {parameter.name: value}, 1) for value in parameter.levels(1)]

    @cached_property
    def _last_child(self) -> dict[str, int]:
        """The place of the last parameter that depends on each one, -1 where none does."""
        places = dict.fromkeys(self.names, -1)
        for i, parameter in enumerate(self.parameters):
            places |= dict.fromkeys(dict(parameter.when), i)
        return places

    def _digit(self, number: int, config: Config, i: int) -> tuple[Value, int]:
        """Return the value of parameter i in configuration `number`, and the number of the rest."""
        parameter = self.parameters[i]
        values = parameter.levels(int(parameter.size))
        if self._last_child[parameter.name] < i:
            index, left = divmod(number, int(self._count(config, i + 1)))
            return values[index], left
        counts = [int(self._count(config | {parameter.name: value}, i + 1)) for value in values]
        ends = list(accumulate(counts))
        index = bisect_right(ends, number)
        return values[index], number - (ends[index] - counts[index])


def _parameter(name: object, given: Any) -> Parameter:
    if not isinstance(name, str) or not name:
        raise ValueError(f"the space has a parameter called {name!r}: names are non-empty text")
    if isinstance(given, tuple):
        if len(given) != 2:
            raise ValueError(
                f"{name} is {given!r}: give (low, high), or a list for values to choose from"
            )
        return _range(name, {"low": given[0], "high": given[1]})
    if isinstance(given, list):
        return _choice(name, {"choices": given})
    if isinstance(given, Mapping):
        return _choice(name, given) if "choices" in given else _range(name, given)
    raise ValueError(
        f"{name} is {given!r}: give (low, high), a list of values, or a dict with low and high"
    )


def _range(name: str, given: Mapping[str, Any]) -> Range:
    _known_keys(name, given, ("low", "high", "log", "when"))
    low, high = (_end(name, end, given.get(end)) for end in ("low", "high"))
    log = given.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"{name} has log = {log!r}: give True or False")
    if low > high:
        raise ValueError(f"{name} runs from {low} to {high}: give the lower end first")
    if log and low <= 0:
        raise ValueError(f"{name} starts at {low}: a logarithmic range starts above 0")
    if not (isinstance(low, int) and isinstance(high, int)):
        low, high = float(low), float(high)
    return Range(name, low, high, log, _when(name, given))


def _end(name: str, end: str, given: Any) -> int | float:
    value = _plain(given)
    # Differences of such numbers are finite, too.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < _LARGEST:
        raise ValueError(f"{name} has {end} = {given!r}: give a finite number")
    return value


def _choice(name: str, given: Mapping[str, Any]) -> Choice:
    _known_keys(name, given, ("choices", "when"))
    choices = given["choices"]
    if not isinstance(choices, list | tuple) or not choices:
        raise ValueError(f"{name} has the choices {choices!r}: give a list with one value or more")
    choices = tuple(map(_plain, choices))
    for i, value in enumerate(choices):
        if value is not None and not isinstance(value, int | float | str | bool):
            raise ValueError(
                f"{name} has the choice {value!r}: give text, numbers, True, False or None, and "
                "look other things up by name"
            )
        if any(_same(value, one) for one in choices[:i]):
            raise ValueError(f"{name} has the choice {value!r} twice: give each value once")
    return Choice(name, choices, _when(name, given))


def _when(name: str, given: Mapping[str, Any]) -> tuple[tuple[str, tuple[Value, ...]], ...]:
    when = given.get("when", {})
    if not isinstance(when, Mapping):
        raise ValueError(f'{name} has when = {when!r}: give a dict, such as {{"optimizer": "sgd"}}')
    listed = {
        p: list(map(_plain, v)) if isinstance(v, list | tuple) else [_plain(v)]
        for p, v in when.items()
    }
    for parent, values in listed.items():
        if not values:
            raise ValueError(f"{name} depends on no value of {parent}: give one or more")
    return tuple((parent, tuple(values)) for parent, values in listed.items())


def _known_keys(name: str, given: Mapping[str, Any], known: Sequence[str]) -> None:
    for key in given:
        if key not in known:
            raise ValueError(f"{name} has the key {key!r}: the keys are {', '.join(known)}")


def _plain(value: Any) -> Any:
    """Return a number of NumPy's, such as one of np.logspace, as one of Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _same(value: object, other: object) -> bool:
    # 1 == True == 1.0, so the type counts as well.
    return value == other and type(value) is type(other)


def exists(parameter: Parameter, config: Mapping[str, Value]) -> bool:
    """Return whether a parameter belongs to a configuration, by what it depends on there."""
    return all(
        parent in config and any(_same(config[parent], value) for value in values)
        for parent, values in parameter.when
    )


def _conditions(parameter: Parameter) -> str:
    return " and ".join(
        f"{parent} is {listed(map(repr, values), 'or')}" for parent, values in parameter.when
    )


def listed(words: Iterable[str], last: str = "and") -> str:
    """Return one word or more as in a sentence: a, b and c."""
    *others, end = words
    return f"{', '.join(others)} {last} {end}" if others else end


def _long_form(parameter: Parameter) -> dict[str, Any]:
    form: dict[str, Any] = (
        {"choices": list(parameter.choices)}
        if isinstance(parameter, Choice)
        else {"low": parameter.low, "high": parameter.high, "log": parameter.log}
    )
    if parameter.when:
        form["when"] = {parent: list(values) for parent, values in parameter.when}
    return form
