"""`search_basics`: its references are the library's, and what it says is true."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from mlcourse.checks import load
from mlcourse.checks.judge import Judge
from mlcourse.checks.search_basics_questions.values import CONDITIONS, SPACES
from mlcourse.hpo.grid import Grid
from mlcourse.hpo.latin_hypercube import shares
from mlcourse.hpo.space import Space

EXERCISE = load("search_basics")
SEED = 20260101


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def value(name: str):
    return EXERCISE[name].reference


def says(name: str, answer) -> str | None:
    return Judge(EXERCISE[name], [SEED])(answer).mistake


def passes(name: str, answer) -> None:
    verdict = Judge(EXERCISE[name], [SEED])(answer)
    assert verdict.status == "passed", verdict.message


def parameter(**definition):
    return Space({"x": definition}).parameters[0]


# --- The references are the library's -------------------------------------------------------------


def test_values_are_the_librarys():
    passes(
        "real_at",
        lambda unit, low, high, log: parameter(low=low, high=high, log=log).at(unit),
    )
    passes("integer_at", lambda unit, low, high: parameter(low=low, high=high).at(unit))
    passes("sample", lambda space, units: Space(space).decode(units))


def test_all_integers_are_equally_likely_both_ends_included():
    units = (np.arange(3200) + 0.5) / 3200
    counts = np.bincount([value("integer_at")(unit, 1, 32) for unit in units])
    assert counts.tolist() == [0] + [100] * 32
    assert value("integer_at")(1.0, 1, 32) == 32


@pytest.mark.parametrize("space", [CONDITIONS, *SPACES])
def test_what_exists_is_what_the_library_says(space):
    rng, library = np.random.default_rng(0), Space(space)
    unconditional = Space(
        {name: {k: v for k, v in one.items() if k != "when"} for name, one in space.items()}
    )
    seen = set()
    for _ in range(200):
        units = rng.random(len(space))
        config = value("existing")(space, unconditional.decode(units))
        assert config == library.decode(units)
        library.check(config)
        seen.add(tuple(config))
    assert len(seen) == (5 if space is CONDITIONS else 1)


def test_the_cost_is_the_size_of_the_space():
    for space, epochs in cases("grid_cost"):
        size = Space(space).size
        assert value("grid_cost")(space, epochs) == (size, size * epochs)


def test_levels_and_grids_are_the_librarys():
    for low, high, k, log in cases("levels"):
        library = parameter(low=low, high=high, log=log).levels(k)
        assert value("levels")(low, high, k, log) == pytest.approx(library)
    for (levels,) in cases("grid"):
        search = Grid(levels, levels=1)
        assert list(value("grid")(levels)) == [search.ask().config for _ in range(search.places)]


def test_chances_are_measured():
    for n, q in cases("success"):
        good = np.random.default_rng(0).random((20_000, n)) < q
        assert good.any(axis=1).mean() == pytest.approx(value("success")(n, q), abs=0.02)
    for P, q in cases("draws_needed"):
        n = value("draws_needed")(P, q)
        assert value("success")(n, q) >= P > value("success")(n - 1, q)
    assert value("draws_needed")(0.95, 0.05) == 59


@pytest.mark.parametrize(("n", "d"), [(5, 2), (10, 4), (1, 3)])
def test_the_latin_hypercube_hits_each_share_once(n, d):
    points = value("latin_hypercube")(shares(n, d), np.random.default_rng(0).random((n, d)))
    assert (np.sort(np.floor(points * n), axis=0) == np.arange(n)[:, None]).all()


def test_the_expected_best_falls_towards_the_lowest():
    losses = np.random.default_rng(0).random((4000, 9))
    expected = [1 / (n + 1) for n in range(1, 10)]  # of the lowest of n uniform numbers
    assert value("expected_best")(losses) == pytest.approx(expected, abs=0.02)


def test_regret_is_never_negative_and_need_not_fall():
    rises = 0
    for measured, exact, optimum in cases("regret"):
        found = value("regret")(measured, exact, optimum)
        assert min(found) >= 0
        rises += any(b > a for a, b in itertools.pairwise(found))
    assert rises


# --- Numbers and letters --------------------------------------------------------------------------


def test_numbers_are_the_librarys():
    lenet = Space({"F6": (125, 325), "C1": (1, 32), "C3": (1, 32), "C5": (40, 130)})
    assert value("lenet_epochs") == 40 * lenet.size
    with pytest.raises(ValueError, match="F6 = 84"):  # the choice `around_lenet`
        lenet.check({"F6": 84, "C1": 6, "C3": 16, "C5": 120})
    condition = Space(
        {
            "optimizer": ["sgd", "momentum", "adam"],
            "lr": [1, 2, 3, 4],
            "momentum": {"choices": [1, 2, 3, 4, 5], "when": {"optimizer": "momentum"}},
        }
    )
    assert value("conditional_count") == condition.size


def test_the_best_five_per_cent_are_reached_in_any_dimension_and_being_near_is_not():
    assert value("success")(100, 0.05) == pytest.approx(0.994, abs=5e-4)
    assert value("near") == value("success")(100, 0.2**5)
    rng = np.random.default_rng(0)
    near = [(abs(rng.random((100, 5)) - 0.5).max(axis=1) < 0.1).any() for _ in range(4000)]
    assert np.mean(near) == pytest.approx(value("near"), abs=0.01)


# --- What students write --------------------------------------------------------------------------


def numpy_sample(space, units):
    config = {}
    for (name, one), unit in zip(space.items(), units, strict=True):
        if "choices" in one:
            config[name] = one["choices"][round(unit * (len(one["choices"]) - 1))]
        elif type(one["low"]) is int:
            config[name] = int(one["low"] + unit * (one["high"] - one["low"] + 1))
        elif one.get("log"):
            ends = np.log10([one["low"], one["high"]])
            config[name] = 10 ** (ends[0] + unit * (ends[1] - ends[0]))
        else:
            config[name] = one["low"] + unit * (one["high"] - one["low"])
    return config


def product_of_ranges(space, epochs):
    n = 1
    for one in space.values():
        n *= len(one["choices"]) if "choices" in one else len(range(one["low"], one["high"]))
    return n, n * epochs


def running_min(values, budgets):
    best, found, spent, total = values[0], [], [], 0
    for value, budget in zip(values, budgets, strict=True):
        best = min(value, best)
        total += budget
        spent.append(total)
        found.append(best)
    return spent, found


@pytest.mark.parametrize(
    ("name", "answer", "mistake"),
    [
        (
            "real_at",
            lambda u, low, high, log: (
                10 ** np.interp(u, [0, 1], np.log([low, high])) if log else low + u * (high - low)
            ),
            "mixed_logarithms",
        ),
        ("real_at", lambda u, low, high, log: np.interp(u, [0, 1], [low, high]), "log_ignored"),
        ("integer_at", lambda u, low, high: int(np.interp(u, [0, 1], [low, high])), "cut_off"),
        (
            "integer_at",
            lambda u, low, high: range(low, high)[int(u * (high - low))],
            "end_left_out",
        ),
        (
            "integer_at",
            lambda u, low, high: round(np.interp(u, [0, 1], [low, high])),
            "half_shares",
        ),
        ("sample", numpy_sample, "nearest_choice"),
        ("grid_cost", product_of_ranges, "end_left_out"),
        (
            "levels",
            lambda low, high, k, log: (
                [low * (high / low) ** (i / k) for i in range(k)]
                if log
                else np.arange(low, high, (high - low) / k)[:k]
            ),
            "end_left_out",
        ),
        (
            "grid",
            lambda levels: (dict(zip(levels, v, strict=True)) for v in zip(*levels.values())),  # noqa: B905
            "paired",
        ),
        ("success", lambda n, q: sum([q] * n), "added"),
        ("draws_needed", lambda P, q: int(math.log(1 - P, 1 - q)), "rounded_down"),
        ("latin_hypercube", lambda permutations, uniforms: uniforms.tolist(), "random"),
        ("best_so_far", running_min, "nan_is_better"),
        (
            "select",
            lambda validation, test: (
                int(np.argmin(test)),
                min(test),
                min(test) - validation[int(np.argmin(test))],
            ),
            "test_chooses",
        ),
        ("expected_best", lambda losses: losses.mean(axis=0).tolist(), "means"),
    ],
)
def test_what_students_write_is_recognised(name, answer, mistake):
    assert says(name, answer) == mistake
