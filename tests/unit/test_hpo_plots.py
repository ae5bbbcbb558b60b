"""Figures of searches show the data that were given, and importance has its known values."""

import math
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from matplotlib.colors import same_color

from mlcourse import plotting
from mlcourse.hpo import plots
from mlcourse.hpo.comparison import bootstrap_interval
from mlcourse.hpo.history import Outcome, SearchHistory
from mlcourse.hpo.importance import _boxes, _forest, _variance, main_effects
from mlcourse.hpo.method import Trial
from mlcourse.hpo.space import Space


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context():
        mpl.use("agg")
        plotting.use_style()
        yield
        plt.close("all")


def history(values, budgets=None, configs=None) -> SearchHistory:
    found = SearchHistory()
    for i, value in enumerate(values):
        config = configs[i] if configs else {"x": 0.5}
        trial = Trial(i, config, budgets[i] if budgets else None)
        found.append(trial, Outcome(value))
    return found


def sampled(space: Space, function, count: int, seed: int = 0) -> SearchHistory:
    rng = np.random.default_rng(seed)
    configs = [space.sample(rng) for _ in range(count)]
    return history([function(**config) for config in configs], configs=configs)


def drawn(ax) -> dict[str, np.ndarray]:
    return {
        line.get_label(): np.array(line.get_data())
        for line in ax.get_lines()
        if not line.get_label().startswith("_")
    }


def band(ax, i: int = 0) -> np.ndarray:
    """The corners (K, 2) of the i-th band."""
    bands = [shape for shape in ax.collections if isinstance(shape, PolyCollection)]
    return bands[i].get_paths()[0].vertices


# Anytime curves


def test_a_curve_is_the_best_so_far_against_evaluations():
    ax = plots.anytime({"random": history([3, 4, 2, math.inf, 1])}, ylabel="loss (nats)")
    np.testing.assert_array_equal(drawn(ax)["random"], [[1, 2, 3, 4, 5], [3, 3, 2, 2, 1]])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("evaluations", "loss (nats)")
    assert ax.get_lines()[0].get_drawstyle() == "steps-post"
    assert ax.get_legend().get_title().get_text() == ""
    assert not ax.collections


def test_only_full_trainings_count_and_epochs_are_on_the_axis():
    one = history([0.1, 5, 0.2, 3, 4], budgets=[1, 9, 1, 9, 9])
    ax = plots.anytime({"hyperband": one})
    np.testing.assert_array_equal(drawn(ax)["hyperband"], [[10, 11, 20, 29], [5, 5, 3, 3]])
    assert ax.get_xlabel() == "epochs spent"


def test_the_largest_budget_is_that_of_all_methods():
    short, long = history([0.1, 0.2], budgets=[1, 3]), history([2, 1], budgets=[9, 9])
    with pytest.raises(
        ValueError, match=r"^short has no value with 9 epochs, the largest budget: "
    ):
        plots.anytime({"long": long, "short": short})


def test_a_method_without_budgets_is_compared_by_evaluations():
    ax = plots.anytime({"a": history([2, 1], budgets=[9, 9]), "b": history([3, 4, 2])})
    assert ax.get_xlabel() == "evaluations"
    np.testing.assert_array_equal(drawn(ax)["b"], [[1, 2, 3], [3, 3, 2]])


def test_short_trainings_do_not_count_beside_a_method_without_budgets():
    ax = plots.anytime({"a": history([0.1, 2, 0.2, 1], budgets=[1, 9, 3, 9]), "b": history([3, 4])})
    np.testing.assert_array_equal(drawn(ax)["a"], [[2, 3, 4], [2, 2, 1]])
    np.testing.assert_array_equal(drawn(ax)["b"], [[1, 2], [3, 3]])


def test_over_seeds_the_median_and_its_interval_are_drawn():
    runs = np.random.default_rng(0).normal(size=(9, 20))
    ax = plots.anytime({"random": [history(values) for values in runs]}, level=0.9, seed=3)
    best = np.minimum.accumulate(runs, axis=1)
    np.testing.assert_allclose(drawn(ax)["random"][1], np.median(best, axis=0))
    low, high = bootstrap_interval(best, level=0.9, seed=3, draws=1000)
    corners = band(ax)
    for place in (1, 7, 20):
        heights = corners[corners[:, 0] == place, 1]
        assert low[place - 1] in heights
        assert high[place - 1] in heights
    title = ax.get_legend().get_title().get_text()
    assert title == "median of 9 seeds,\n90 % interval"


def test_seeds_that_spent_in_other_steps_meet_where_each_stands():
    one, other = history([4, 1], budgets=[3, 3]), history([9, 6, 2], budgets=[1, 3, 3])
    ax = plots.anytime({"a": [one, other]})
    # At 3 epochs the second has no full training yet; the first keeps its best to the end.
    np.testing.assert_allclose(drawn(ax)["a"], [[4, 6, 7], [5, 3.5, 1.5]])


def test_a_median_shows_as_soon_as_most_seeds_have_a_value_and_the_band_when_it_is_finite():
    runs = [[math.inf] * 5 + [1], *[[3 - i / 10] * 6 for i in range(4)]]
    ax = plots.anytime({"a": [history(values) for values in runs]})
    assert drawn(ax)["a"].shape == (2, 6)
    assert np.isfinite(drawn(ax)["a"]).all()
    assert np.isfinite(band(ax)).all()


def test_long_searches_of_many_seeds_are_drawn_at_200_places():
    runs = np.random.default_rng(0).normal(size=(30, 1000))
    ax = plots.anytime({"a": [history(values) for values in runs]})
    x, y = drawn(ax)["a"]
    assert len(x) == 200
    assert (x[0], x[-1]) == (1, 1000)
    np.testing.assert_allclose(
        y, np.median(np.minimum.accumulate(runs, axis=1), axis=0)[x.astype(int) - 1]
    )


def test_twelve_methods_look_different():
    ax = plots.anytime({f"method {i}": history([i, i / 2]) for i in range(12)})
    looks = {(line.get_color(), str(line._unscaled_dash_pattern)) for line in ax.get_lines()}
    assert len(looks) == 12


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ({}, "there are no histories with names: give a dict of names to a method's histories"),
        (history([1.0]), "there are no histories with names"),
        ([history([1.0])], "there are no histories with names"),
        ({"a": []}, "a has no value: give it more trials, or leave it out"),
        ({"a": SearchHistory()}, "a has no value: give it more trials"),
        ({"a": history([math.inf])}, "a has no value"),
    ],
)
def test_there_must_be_something_to_draw(histories, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        plots.anytime(histories)


# Parallel coordinates

SPACE = Space(
    {
        "lr": {"low": 1e-4, "high": 1.0, "log": True},
        "n": (1, 4),
        "kind": ["sgd", "adam"],
        "momentum": {"low": 0.0, "high": 0.9, "when": {"kind": "sgd"}},
    }
)
CONFIGS = [
    {"lr": 1e-4, "n": 1, "kind": "sgd", "momentum": 0.9},
    {"lr": 1.0, "n": 4, "kind": "adam"},
    {"lr": 1e-2, "n": 2, "kind": "sgd", "momentum": 0.45},
]


def lines(ax) -> list:
    return [line for line in ax.get_lines() if len(line.get_xdata()) == 5]


def test_each_full_trial_is_a_line_through_its_places_worst_first():
    found = history([3.0, math.inf, 1.0], configs=CONFIGS)
    ax = plots.parallel_coordinates(found, SPACE, ylabel="loss")
    expected = [
        [1, 0.875, 0.75, -0.2, 1.2],
        [0, 0.125, 0.25, 1, 1],
        [0.5, 0.375, 0.25, 0.5, 0],
    ]
    np.testing.assert_allclose([line.get_ydata() for line in lines(ax)], expected, atol=1e-12)
    labels = [label.get_text() for label in ax.get_xticklabels()]
    assert labels == ["lr\n(log)", "n", "kind", "momentum", "loss"]
    words = {text.get_text() for text in ax.texts}
    assert words == {*("0.0001", "1", "4", "sgd", "adam", "0", "0.9", "absent", "failed", "3")}


def test_the_best_are_strong_and_the_best_of_all_has_markers():
    configs = [{"x": i / 20} for i in range(20)]
    found = history([float(i) for i in range(20)], configs=configs)
    ax = plots.parallel_coordinates(found, {"x": (0.0, 1.0)}, share=0.2)
    ends = [line for line in ax.get_lines() if line.get_zorder() > 0]
    assert len(ends) == 20
    strong = [line for line in ends if not same_color(line.get_color(), plotting.INK)]
    assert [line.get_ydata()[0] for line in strong] == [3 / 20, 2 / 20, 1 / 20, 0]
    assert [line.get_marker() for line in strong] == ["None", "None", "None", "o"]


def test_smaller_budgets_are_left_out_and_equal_values_drawn():
    found = history([3.0, 2.0, 2.0], [1, 9, 9], CONFIGS)
    assert len(lines(plots.parallel_coordinates(found, SPACE))) == 2
    with pytest.raises(ValueError, match=r"^the history has no trial: there is nothing to draw"):
        plots.parallel_coordinates(SearchHistory(), SPACE)
    with pytest.raises(ValueError, match=r"^share is 10: give a number from 0 to 1$"):
        plots.parallel_coordinates(found, SPACE, share=10)


def test_a_search_where_all_failed_is_drawn_too():
    found = history([math.inf, math.inf], configs=CONFIGS[:2])
    heights = [line.get_ydata()[-1] for line in lines(plots.parallel_coordinates(found, SPACE))]
    assert heights == [1.2, 1.2]


# Importance

CUBE = Space({"a": (0.0, 1.0), "b": (0.0, 1.0), "c": (0.0, 1.0)})


@pytest.mark.parametrize(
    ("function", "main"),
    [
        # Var(a) = 1/12, so Var(a + 2b) splits as 1 to 4.
        (lambda a, b, c: a + 2 * b, (0.2, 0.8, 0.0)),
        # (a - 1/2)(b - 1/2) has no mean along either axis.
        (lambda a, b, c: (a - 0.5) * (b - 0.5), (0.0, 0.0, 0.0)),
        # ab = (a - 1/2)(b - 1/2) + a/2 + b/2 - 1/4: 1/144 against 1/48 for each.
        (lambda a, b, c: a * b, (3 / 7, 3 / 7, 0.0)),
        (lambda a, b, c: math.sin(2 * math.pi * c) ** 2, (0.0, 0.0, 1.0)),
        (lambda a, b, c: 3 * (a > 0.25) + (b > 0.5), (27 / 31, 4 / 31, 0.0)),
    ],
)
def test_the_shares_are_those_of_the_function(function, main):
    found = main_effects(sampled(CUBE, function, 1000), CUBE)
    np.testing.assert_allclose(list(found.main.values()), main, atol=0.03)
    assert found.interactions == pytest.approx(1 - sum(main), abs=0.05)
    assert list(found.main) == ["a", "b", "c"]


def test_effects_are_over_the_space_s_own_measure():
    space = Space(
        {
            "lr": {"low": 1e-4, "high": 1.0, "log": True},
            "n": (1, 2),
            "kind": ["x", "y", "z"],
            "m": {"low": 0.0, "high": 1.0, "when": {"kind": "x"}},
        }
    )

    def function(lr, n, kind, m=0.5):
        # Variances: 1/12 for the decades, 1/4 for n, 2/9 for one of three kinds; m adds nothing.
        return math.log10(lr) / 4 + n + (kind == "y")

    total = 1 / 12 + 1 / 4 + 2 / 9
    found = main_effects(sampled(space, function, 600), space)
    expected = [1 / 12 / total, 1 / 4 / total, 2 / 9 / total, 0]
    np.testing.assert_allclose(list(found.main.values()), expected, atol=0.03)


def test_the_variance_of_a_forest_s_effect_is_that_of_its_partial_dependence():
    found = sampled(CUBE, lambda a, b, c: a * b + c, 60)
    forest = _forest(CUBE, found, seed=0)
    trees = [_boxes(tree.tree_, 3) for tree in forest.estimators_]
    for low, high, _ in trees:
        assert (high - low).prod(axis=1).sum() == pytest.approx(1)
    for j in range(3):
        others, means = np.random.default_rng(0).random((1000, 3)), []
        for place in (np.arange(100) + 0.5) / 100:
            others[:, j] = place
            means.append(forest.predict(others).mean())
        assert _variance(trees, j) == pytest.approx(np.var(means), rel=0.05)


def test_noise_does_not_pass_for_importance():
    noise = np.random.default_rng(1).normal(size=1000) / 4
    count = iter(noise)
    found = main_effects(sampled(CUBE, lambda a, b, c: a + next(count), 1000), CUBE)
    assert found.main["a"] > 0.85
    assert max(found.main["b"], found.main["c"]) < 0.05


def test_failures_count_as_the_worst_value_and_constants_have_no_shares():
    space = Space({"a": (0.0, 1.0), "b": (0.0, 1.0)})
    found = main_effects(
        sampled(space, lambda a, b: math.inf if a > 0.5 else b / 100 + (a > 0.4), 400), space
    )
    assert found.main["a"] > 0.95
    same = main_effects(sampled(space, lambda a, b: 2.0, 20), space)
    assert (same.main, same.interactions) == ({"a": 0.0, "b": 0.0}, 0.0)


def test_only_the_largest_budget_counts_for_importance():
    space = Space({"a": (0.0, 1.0), "b": (0.0, 1.0)})
    full = sampled(space, lambda a, b: a, 200)
    both = SearchHistory()
    for i in range(200):
        config = full["config"][i]
        both.append(Trial(i, config, 1.0), Outcome(config["b"]))
        both.append(Trial(200 + i, config, 9.0), Outcome(config["a"]))
    assert main_effects(both, space) == main_effects(full, space)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            [1.0] * 9,
            "the history has 9 trials with the largest budget: the importance of parameter",
        ),
        ([math.inf] * 10, "no trial with the largest budget has a finite value: there is no varia"),
    ],
)
def test_importance_needs_values(values, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        main_effects(history(values), {"x": (0.0, 1.0)})


def test_importance_is_drawn_largest_first_with_interactions_last():
    found = sampled(CUBE, lambda a, b, c: a + 2 * b, 100)
    ax = plots.importance(found, CUBE)
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names == ["b", "a", "c", "(interactions)"]
    shares = main_effects(found, CUBE)
    widths = [patch.get_width() for patch in ax.patches]
    assert widths == [shares.main["b"], shares.main["a"], shares.main["c"], shares.interactions]
    assert all(one >= other for one, other in pairwise(widths[:3]))
    assert ax.get_xlabel() == "share of the variance (no unit)"
