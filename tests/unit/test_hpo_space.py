"""Spaces are plain dicts: what they hold, how points of the cube become values, what is refused."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from mlcourse.hpo.space import Choice, Config, Range, Space

MIXED = {
    "width": (1, 32),
    "dropout": (0.0, 0.5),
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "layers": {"low": 1, "high": 100, "log": True},
    "optimizer": ["sgd", "adam", None],
    "nesterov": {"choices": [True, False], "when": {"optimizer": "sgd"}},
    "momentum": {"low": 0.0, "high": 0.99, "when": {"nesterov": True}},
    "beta": {"low": 0.5, "high": 0.999, "when": {"optimizer": ["adam", None]}},
}


def random_range(rng: np.random.Generator) -> Range:
    """Any range: whole or real, logarithmic or not, sometimes a single value."""
    log = bool(rng.random() < 0.5)
    if rng.random() < 0.5:
        low = int(rng.integers(1 if log else -50, 60))
        return Range("x", low, low + int(rng.integers(0, 100)), log)
    low = float(10 ** rng.uniform(-6, 3)) if log else float(rng.normal(0, 100))
    return Range("x", low, low + float(rng.choice([0.0, 1e-9, 1.0, 1e4])), log)


def random_space(rng: np.random.Generator, ranges: bool = True) -> Space:
    """Up to six parameters, choices that others depend on among them."""
    definition: dict[str, Any] = {}
    parents: dict[str, list[Any]] = {}
    for i in range(int(rng.integers(1, 7))):
        kind = rng.integers(4 if ranges else 2)
        form: dict[str, Any] = {"choices": list(range(int(rng.integers(1, 4))))}
        if kind == 1:
            low = int(rng.integers(-5, 5))
            form = {"low": low, "high": low + int(rng.integers(0, 4))}
        elif kind == 2:
            form = {"low": 0.5, "high": 2.5}
        elif kind == 3:
            form = {"low": 1e-3, "high": 1.0, "log": True}
        for parent, choices in parents.items():
            if rng.random() < 0.4:
                count = int(rng.integers(1, len(choices) + 1))
                form.setdefault("when", {})[parent] = choices[:count]
        definition[f"p{i}"] = form
        if "choices" in form:
            parents[f"p{i}"] = form["choices"]
    return Space(definition)


# Ranges and choices


def test_at_and_unit_undo_each_other() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        one = random_range(rng)
        for unit in (0.0, 1.0, *rng.random(5)):
            value = one.at(float(unit))
            assert one.problem(value) is None
            assert type(value) is (int if one.integer else float)
            back = one.unit(value)
            assert 0 <= back <= 1
            assert one.at(back) == pytest.approx(value, rel=1e-12)
            if not one.integer and one.high > one.low + 0.5:
                assert back == pytest.approx(float(unit), abs=1e-6)


def test_every_integer_has_an_equal_share_and_is_reached_at_both_ends() -> None:
    one = Range("width", 3, 7)
    units = (np.arange(500) + 0.5) / 500
    assert Counter(one.at(float(unit)) for unit in units) == dict.fromkeys(range(3, 8), 100)
    assert [one.at(0.0), one.at(1.0), one.at(-1.0), one.at(2.0)] == [3, 7, 3, 7]
    assert [one.unit(value) for value in range(3, 8)] == pytest.approx([0.1, 0.3, 0.5, 0.7, 0.9])


def test_a_logarithmic_integer_s_share_is_its_ratio() -> None:
    one = Range("layers", 1, 4, log=True)
    ends = np.log([0.5, 1.5, 2.5, 3.5, 4.5])
    shares = np.diff(ends) / (ends[-1] - ends[0])
    found = Counter(one.at((i + 0.5) / 10_000) for i in range(10_000))
    assert [found[value] / 10_000 for value in (1, 2, 3, 4)] == pytest.approx(shares, abs=2e-4)


def test_a_logarithmic_range_is_even_in_its_logarithm() -> None:
    one = Range("lr", 1e-4, 1.0, log=True)
    assert [one.at(unit) for unit in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([1e-4, 1e-3, 1e-2, 1])
    assert one.at(0.0) >= 1e-4  # type: ignore[operator]
    assert one.at(1.0) == 1.0


def test_values_stay_inside_whatever_the_rounding() -> None:
    rng = np.random.default_rng(1)
    for _ in range(2000):
        one = random_range(rng)
        for value in (one.at(0.0), one.at(1.0), *one.levels(3), *one.levels(1)):
            assert one.problem(value) is None, (one, value)


@pytest.mark.parametrize(
    ("one", "count", "levels"),
    [
        (Range("x", 0.0, 1.0), 3, [0.0, 0.5, 1.0]),
        (Range("x", 0.0, 1.0), 1, [0.5]),
        (Range("x", 2.0, 2.0), 4, [2.0]),
        (Range("x", 1, 4), 9, [1, 2, 3, 4]),
        (Range("x", 1, 4), 4, [1, 2, 3, 4]),
        (Range("x", 0, 10), 3, [0, 5, 10]),
        (Range("x", 0, 9), 2, [0, 9]),
        (Range("x", 1, 100, log=True), 3, [1, 10, 100]),
        (Range("x", 1, 5, log=True), 4, [1, 2, 3, 5]),
        (Range("x", 1, 100, log=True), 1, [10]),
        (Choice("x", ("a", None)), 1, ["a", None]),
    ],
)
def test_levels_are_even_with_both_ends(one: Range | Choice, count: int, levels: list[Any]) -> None:
    assert one.levels(count) == levels


def test_levels_hold_both_ends_exactly_and_no_value_twice() -> None:
    rng = np.random.default_rng(2)
    for _ in range(500):
        one = random_range(rng)
        count = int(rng.integers(2, 9))
        values: list[Any] = one.levels(count)
        assert (values[0], values[-1]) == (one.low, one.high)
        assert values == sorted(set(values))
        assert len(values) <= count


def test_logarithmic_levels_have_equal_ratios() -> None:
    values: list[Any] = Range("lr", 1e-4, 1.0, log=True).levels(5)
    assert values == pytest.approx([1e-4, 1e-3, 1e-2, 1e-1, 1.0])


def test_equal_values_of_other_types_are_other_choices() -> None:
    one = Choice("x", (1, True, 1.0, 0, False))
    for value in one.choices:
        found = one.at(one.unit(value))
        assert found == value
        assert type(found) is type(value)
    assert Choice("x", (1, 2)).problem(True) is not None
    space = Space({"flag": [1, True], "depth": {"low": 0.0, "high": 1.0, "when": {"flag": True}}})
    assert space.decode([0.2, 0.5]) == {"flag": 1}
    assert space.decode([0.9, 0.5]) == {"flag": True, "depth": 0.5}
    space.check({"flag": 1})


def test_each_choice_has_an_equal_share() -> None:
    one = Choice("x", ("a", "b", "c"))
    assert [one.at(u) for u in (0.0, 0.33, 0.34, 0.66, 0.67, 1.0)] == ["a", "a", "b", "b", "c", "c"]


# Spaces


def test_short_and_long_forms_are_the_same_and_survive_a_file() -> None:
    short = Space({"width": (1, 32), "dropout": (0, 0.5), "kind": ["a", "b"]})
    long = Space(
        {
            "width": {"low": 1, "high": 32, "log": False},
            "dropout": {"low": 0.0, "high": 0.5},
            "kind": {"choices": ("a", "b"), "when": {}},
        }
    )
    assert short == long
    rng = np.random.default_rng(3)
    for space in [short, Space(MIXED), *(random_space(rng) for _ in range(50))]:
        assert Space(json.loads(json.dumps(space.definition))) == space
        assert repr(space) == f"Space({space.definition})"
    assert short != Space({"width": (1, 33), "dropout": (0, 0.5), "kind": ["a", "b"]})
    assert short != Space({"dropout": (0, 0.5), "width": (1, 32), "kind": ["a", "b"]})
    assert short != "Space"


def test_of_leaves_a_space_alone() -> None:
    space = Space(MIXED)
    assert Space.of(space) is space
    assert Space.of(MIXED) == space
    assert space.names == list(MIXED)


def test_real_ends_make_a_real_range() -> None:
    whole, real, mixed = (Space({"x": ends}) for ends in ((1, 3), (1.0, 3.0), (1, 3.0)))
    assert whole.size == 3
    assert real == mixed
    assert real.size == math.inf
    assert type(mixed.decode([0.0])["x"]) is float


def test_samples_belong_to_their_space_and_the_cube_knows_them() -> None:
    rng = np.random.default_rng(4)
    spaces = [Space(MIXED), *(random_space(rng) for _ in range(60))]
    for space in spaces:
        for _ in range(20):
            config = space.sample(rng)
            space.check(config)
            units = space.encode(config)
            assert units.shape == (len(space.names),)
            exist = dict(zip(space.names, ~np.isnan(units), strict=True))
            assert [name for name in space.names if exist[name]] == list(config)
            again = space.decode(np.nan_to_num(units))
            assert list(again) == list(config)
            for name, value in config.items():
                close = pytest.approx(value) if isinstance(value, float) else value
                assert again[name] == close


def test_the_same_seed_draws_the_same_sample() -> None:
    draws = [Space(MIXED).sample(np.random.default_rng(5)) for _ in range(2)]
    assert draws[0] == draws[1]
    assert draws[0] != Space(MIXED).sample(np.random.default_rng(6))


def test_a_parameter_exists_when_all_that_it_depends_on_agrees() -> None:
    space = Space(MIXED)
    seen: Counter[tuple[str, ...]] = Counter()
    rng = np.random.default_rng(7)
    for _ in range(600):
        config = space.sample(rng)
        seen[tuple(name for name in list(MIXED)[5:] if name in config)] += 1
        assert ("nesterov" in config) == (config["optimizer"] == "sgd")
        assert ("momentum" in config) == (config.get("nesterov") is True)
        assert ("beta" in config) == (config["optimizer"] != "sgd")
    expected = {("beta",): 400, ("nesterov",): 100, ("nesterov", "momentum"): 100}
    assert set(seen) == set(expected)
    assert all(abs(seen[names] - count) < 5 * 12 for names, count in expected.items())


def enumerated(space: Space) -> list[Config]:
    """All configurations of a space without ranges, by trying every mixture."""
    values: list[list[Any]] = [[*one.levels(10**6), "absent"] for one in space.parameters]
    found = []
    for mixture in itertools.product(*values):
        pairs = zip(space.names, mixture, strict=True)
        config = {name: value for name, value in pairs if value != "absent"}
        try:
            space.check(config)
        except ValueError:
            continue
        found.append(config)
    return found


def test_size_grid_and_numbers_agree_with_an_enumeration() -> None:
    rng = np.random.default_rng(8)
    sizes = set()
    for _ in range(60):
        space = random_space(rng, ranges=False)
        expected = enumerated(space)
        assert space.size == len(expected)
        counted = [space.configuration(number) for number in range(len(expected))]
        assert list(space.grid(10)) == counted
        assert sorted(map(str, counted)) == sorted(map(str, expected))
        sizes.add(len(expected))
    assert len(sizes) > 10


def test_the_last_parameter_of_a_grid_changes_fastest() -> None:
    space = Space({"a": (0.0, 1.0), "b": ["x", "y"]})
    assert list(space.grid(2)) == [{"a": a, "b": b} for a in (0.0, 1.0) for b in ("x", "y")]
    assert list(space.grid({"a": 1})) == [{"a": 0.5, "b": "x"}, {"a": 0.5, "b": "y"}]


def test_a_coarse_space_keeps_conditions() -> None:
    coarse = Space(MIXED).coarse(2)
    # 16 ways for the first four, then sgd (2 momenta, or no nesterov), adam and None (2 betas).
    assert coarse.size == 16 * ((2 + 1) + 2 + 2)
    configs = list(Space(MIXED).grid(2))
    assert len(configs) == coarse.size
    for config in configs:
        Space(MIXED).check(config)
        coarse.check(config)


def test_the_source_s_space_has_its_size() -> None:
    lenet = Space({"c1": (1, 32), "c3": (1, 32), "c5": (40, 130), "f6": (125, 325)})
    assert lenet.size == 32 * 32 * 91 * 201
    assert lenet.configuration(int(lenet.size) - 1) == {"c1": 32, "c3": 32, "c5": 130, "f6": 325}


def test_a_space_of_many_conditions_is_counted() -> None:
    """Its configurations cannot be listed, so neither must their beginnings be."""
    definition: dict[str, Any] = {}
    for i in range(100):
        definition[f"on {i}"] = [1, True]
        definition[f"x{i}"] = {"low": 1, "high": 10, "when": {f"on {i}": True}}
    space = Space(definition)
    assert space.size == 11**100
    assert space.configuration(11**100 - 1) == {
        name: value for i in range(100) for name, value in ((f"on {i}", True), (f"x{i}", 10))
    }


def test_numbers_of_numpy_are_those_of_python() -> None:
    given = {
        "a": (np.int64(1), np.int64(4)),
        "b": list(np.logspace(-2, 0, 3)),
        "c": list(np.array([1, 2])),
        "d": {"low": np.float32(0.5), "high": 1, "when": {"c": np.int64(2)}},
    }
    written = Space(
        {
            "a": (1, 4),
            "b": np.logspace(-2, 0, 3).tolist(),
            "c": [1, 2],
            "d": {"low": 0.5, "high": 1.0, "when": {"c": 2}},
        }
    )
    assert Space(given) == written
    assert json.dumps(Space(given).definition) == json.dumps(written.definition)


def test_a_configuration_s_number_must_exist() -> None:
    with pytest.raises(ValueError, match=r"^configuration 3 of 3: count from 0$"):
        Space({"a": [1, 2, 3]}).configuration(3)
    with pytest.raises(ValueError, match=r"^configuration -1 of 3"):
        Space({"a": [1, 2, 3]}).configuration(-1)
    with pytest.raises(ValueError, match=r"^the space has a real-valued range: make it `coarse`"):
        Space({"a": (0.0, 1.0)}).configuration(0)


# What is refused


@pytest.mark.parametrize(
    ("definition", "message"),
    [
        ({}, r"the space is {}: give a dict of names to ranges, for example"),
        ([("a", (1, 2))], r"the space is \[\('a', \(1, 2\)\)\]: give a dict"),
        (None, "the space is None: give a dict"),
        ({"": (1, 2)}, "the space has a parameter called '': names are non-empty text"),
        ({3: (1, 2)}, "the space has a parameter called 3: names are non-empty text"),
        ({"a": (1, 2, 3)}, r"a is \(1, 2, 3\): give \(low, high\), or a list"),
        ({"a": 3}, r"a is 3: give \(low, high\), a list of values, or a dict"),
        ({"a": "sgd"}, r"a is 'sgd': give \(low, high\)"),
        ({"a": (2, 1)}, "a runs from 2 to 1: give the lower end first"),
        ({"a": (0, math.inf)}, "a has high = inf: give a finite number"),
        ({"a": (math.nan, 1.0)}, "a has low = nan: give a finite number"),
        ({"a": (0, 10**400)}, "a has high = 1000*: give a finite number"),
        ({"a": (-1.7e308, 1.7e308)}, r"a has low = -1\.7e\+308: give a finite number"),
        ({"a": ("0", 1)}, "a has low = '0': give a finite number"),
        ({"a": (False, 1)}, "a has low = False: give a finite number"),
        ({"a": {"low": 1}}, "a has high = None: give a finite number"),
        ({"a": {"low": 0, "high": 1, "log": True}}, "a starts at 0: a logarithmic range starts"),
        ({"a": {"low": 1, "high": 2, "log": 1}}, "a has log = 1: give True or False"),
        (
            {"a": {"low": 1, "high": 2, "step": 1}},
            "a has the key 'step': the keys are low, high, l",
        ),
        ({"a": {"choices": [1], "log": True}}, "a has the key 'log': the keys are choices, when"),
        ({"a": []}, r"a has the choices \[\]: give a list with one value or more"),
        ({"a": {"choices": "abc"}}, "a has the choices 'abc': give a list"),
        ({"a": [1, (2, 3)]}, r"a has the choice \(2, 3\): give text, numbers, True, False or None"),
        ({"a": ["x", "y", "x"]}, "a has the choice 'x' twice: give each value once"),
        (
            {"a": {"low": 1, "high": 2, "when": {"b": 1}}, "b": [1]},
            r"a depends on 'b': it can depend on a choice \(a list of values\) that is listed b",
        ),
        (
            {"b": (1, 3), "a": {"low": 1, "high": 2, "when": {"b": 1}}},
            "a depends on 'b': it can depend on a choice",
        ),
        (
            {"a": {"choices": [1], "when": {"a": 1}}},
            "a depends on 'a': it can depend on a choice",
        ),
        (
            {"b": ["x", "y"], "a": {"low": 1, "high": 2, "when": {"b": "z"}}},
            "a depends on b = 'z', which is none of 'x' and 'y'$",
        ),
        (
            {"b": [True, 2], "a": {"low": 1, "high": 2, "when": {"b": 1}}},
            "a depends on b = 1, which is none of True and 2$",
        ),
        (
            {"b": ["x"], "a": {"low": 1, "high": 2, "when": "x"}},
            "a has when = 'x': give a dict, such as",
        ),
        (
            {"b": ["x"], "a": {"low": 1, "high": 2, "when": {"b": []}}},
            "a depends on no value of b: give one or more",
        ),
    ],
)
def test_a_definition_that_cannot_be_meant_is_refused(definition: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{message}") as error:
        Space(definition)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"width": 33}, r"width = 33 is outside 1 \.\. 32"),
        ({"width": 3.0}, r"width = 3\.0 is no integer"),
        ({"width": True}, "width = True is no integer"),
        ({"dropout": "0.1"}, "dropout = '0.1' is no number"),
        ({"dropout": math.nan}, r"dropout = nan is outside 0\.0 \.\. 0\.5"),
        ({"lr": 0.0}, "lr = 0.0 is outside"),
        ({"optimizer": "lion"}, "optimizer = 'lion' is none of 'sgd', 'adam' and None$"),
        ({"depth": 2}, "the configuration has 'depth', which the space lacks: give width, dropout"),
        ({"optimizer": "adam"}, r"the configuration .* has nesterov, which exists only when opti"),
        (
            {"nesterov": False},
            r".* has momentum, which exists only when nesterov is True: leave it",
        ),
    ],
)
def test_a_configuration_that_does_not_belong_is_refused(change: Config, message: str) -> None:
    space = Space(MIXED)
    good: Config = {
        "width": 3,
        "dropout": 0.1,
        "lr": 1,
        "layers": 7,
        "optimizer": "sgd",
        "nesterov": True,
        "momentum": 0.9,
    }
    space.check(good)
    with pytest.raises(ValueError, match=f"^{message}"):
        space.check({**good, **change})
    with pytest.raises(ValueError, match=f"^{message}"):
        space.encode({**good, **change})
    for name in good:
        with pytest.raises(ValueError, match=f"lacks {name}: add it$"):
            space.check({other: value for other, value in good.items() if other != name})


@pytest.mark.parametrize("levels", [0, -1, True, 2.0, {"a": 0}, {}])
def test_a_bad_number_of_levels_is_refused(levels: Any) -> None:
    with pytest.raises(ValueError, match=r"^a has .* levels in the grid: give 1 or more$"):
        Space({"a": (0.0, 1.0), "b": ["x"]}).grid(levels)


def test_levels_of_an_unknown_parameter_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^the grid has levels of 'A', which the space lacks: g"):
        Space({"a": (0, 9)}).coarse({"a": 2, "A": 3})


def test_a_point_has_one_coordinate_a_parameter() -> None:
    with pytest.raises(ValueError, match=r"^the point has 1 coordinates: give 8, one for"):
        Space(MIXED).decode([0.5])
