"""`search_basics` through the real grader: dicts, generators, arrays, answers that call others."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("search_basics")

REAL = """
def real_at(unit, low, high, log):
    if log:
        exponent = math.log(low) + unit * (math.log(high) - math.log(low))
        return math.exp(exponent)
    return low + unit * (high - low)
"""

INTEGER = """
def integer_at(unit, low, high):
    value = low + math.floor(unit * (high - low + 1))
    return min(value, high)
"""

SAMPLE = """
def sample(space, units):
    config = {}
    for i, name in enumerate(space):
        p = space[name]
        if "choices" in p:
            config[name] = p["choices"][integer_at(units[i], 0, len(p["choices"]) - 1)]
        elif type(p["low"]) is int:
            config[name] = integer_at(units[i], p["low"], p["high"])
        else:
            config[name] = real_at(units[i], p["low"], p["high"], p.get("log", False))
    return config
"""

EXISTING = """
def existing(space, config):
    kept = {}
    for name in space:
        when = space[name].get("when", {})
        if all(kept.get(parent, ...) in when[parent] for parent in when):
            kept[name] = config[name]
    return kept
"""

COST = """
def grid_cost(space, epochs):
    n = 1
    for p in space.values():
        n *= len(p["choices"]) if "choices" in p else p["high"] - p["low"] + 1
    return n, n * epochs
"""

GRID = """
def grid(levels):
    names = list(levels)
    for values in itertools.product(*levels.values()):
        yield dict(zip(names, values))
"""

LATIN = """
def latin_hypercube(permutations, uniforms):
    n, d = uniforms.shape
    points = np.empty((n, d))
    for i in range(n):
        for j in range(d):
            points[i, j] = (permutations[i, j] + uniforms[i, j]) / n
    return points
"""

BEST = """
def best_so_far(values, budgets):
    clean = np.array([math.inf if math.isnan(v) else v for v in values])
    return np.cumsum(budgets), np.minimum.accumulate(clean)
"""

REGRET = """
def regret(measured, exact, optimum):
    found = []
    for i in range(len(measured)):
        best = int(np.argmin(measured[:i + 1]))
        found.append(exact[best] - optimum)
    return found
"""

EXPECTED = """
def expected_best(losses):
    best = np.minimum.accumulate(losses, axis=1)
    return best.mean(axis=0)
"""

SELECT = """
def select(validation, test):
    clean = [math.inf if math.isnan(v) else v for v in validation]
    i = int(np.argmin(clean))
    return i, test[i], test[i] - validation[i]
"""

MUTATE = """
def mutate(place, chances, normals, rate, step):
    x = np.array(place)
    moved = np.clip(x + step * np.array(normals), 0, 1)
    return np.where(np.array(chances) < rate, moved, x)
"""

RIGHT = {
    "real_at": REAL,
    "integer_at": INTEGER,
    "sample": SAMPLE,
    "existing": EXISTING,
    "grid_cost": COST,
    "grid": GRID,
    "latin_hypercube": LATIN,
    "best_so_far": BEST,
    "regret": REGRET,
    "expected_best": EXPECTED,
    "select": SELECT,
    "mutate": MUTATE,
}

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("real_at", "math.exp(exponent)", "10 ** exponent", "mixed_logarithms"),
    ("real_at", "math.exp(exponent)", "exponent", "exponent"),
    ("real_at", "    if log:\n", "    if not log:\n", "exchanged"),
    ("real_at", "return low + unit", "return unit", "low_forgotten_evenly"),
    ("integer_at", "high - low + 1", "high - low", "end_left_out"),
    ("integer_at", "min(value, high)", "value", "beyond"),
    ("integer_at", "math.floor(unit * (high - low + 1))", "round(unit * (high - low))",
     "half_shares"),
    ("sample", "units[i]", "units[0]", "one_unit"),
    ("sample", ', p.get("log", False)', ", False", "log_ignored"),
    ("sample", 'type(p["low"]) is int', 'p["low"] == int(p["low"])', "reals_as_integers"),
    ("existing", "kept.get(parent, ...) in", "config[parent] in", "ghost_parent"),
    ("existing", "all(", "not when or any(", "any"),
    ("existing", "        if all", "        kept[name] = None\n        if all", "none_instead"),
    ("grid_cost", 'p["high"] - p["low"] + 1', 'p["high"] - p["low"]', "end_left_out"),
    ("grid_cost", "n * epochs", "epochs", "epochs_once"),
    ("grid", "itertools.product(*levels.values())", "zip(*levels.values())", "paired"),
    ("grid", "yield dict", "return dict", "first_alone"),
    ("grid", "yield dict(zip(names, values))", "yield values", "tuples"),
    ("latin_hypercube", "uniforms[i, j]", "0.5", "middles"),
    ("latin_hypercube", "/ n\n", "/ d\n", "by_dimensions"),
    ("best_so_far", "math.inf if math.isnan(v) else v", "v", "nan_spreads"),
    ("best_so_far", "np.cumsum(budgets)", "budgets", "budgets"),
    ("best_so_far", "np.minimum", "np.maximum", "highest"),
    ("regret", "exact[best] -", "measured[best] -", "of_the_noise"),
    ("regret", "measured[:i + 1]", "exact[:i + 1]", "hindsight"),
    ("regret", "[:i + 1]", "", "whole_search"),
    ("expected_best", "axis=0", "axis=1", "mean_of_trials"),
    ("expected_best", "best.mean(axis=0)", "best.min(axis=0)", "lowest_of_all"),
    ("select", "np.argmin(clean)", "np.argmin(test)", "test_chooses"),
    ("select", "clean = [math.inf if math.isnan(v) else v for v in validation]",
     "clean = validation", "nan_first"),
    ("select", "return i, test[i],", "return i, validation[i],", "validation_reported"),
    ("mutate", "< rate", ">= rate", "turned_round"),
    ("mutate", "np.clip(x + step * np.array(normals), 0, 1)", "x + step * np.array(normals)",
     "no_walls"),
]  # fmt: skip


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_search": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, untouched):
    assert misjudged(engine, untouched, RIGHT, EDITS) == []


def test_a_grid_in_memory_is_told_so(engine, untouched):
    lazy = GRID.replace("def grid(", "def lazy(")
    text = f"{lazy}\ndef grid(levels):\n    return list(lazy(levels))"
    row = graded(engine, untouched, {"grid": text})["grid"]
    assert (row.points, row.mistake) == (0, "all_at_once")


def test_what_a_wrong_answer_feeds_is_not_graded(engine, untouched):
    wrong = REAL.replace("math.exp(exponent)", "exponent")
    rows = graded(engine, untouched, {"real_at": wrong, "integer_at": INTEGER, "sample": SAMPLE})
    assert rows["integer_at"].points == 2
    assert (rows["sample"].points, rows["sample"].status) == (0, "ungraded")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("grid", "def grid(levels):\n    return 3", "use yield"),
        ("grid", "from mlcourse.hpo import Grid\n", "only mlcourse.data and mlcourse.plotting"),
        ("integer_at", "def integer_at(unit, low, high):\n    return 'two'", "one number"),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {name: text})[name]
    assert row.points == 0
    assert says in row.message
