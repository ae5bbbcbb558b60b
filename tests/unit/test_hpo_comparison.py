"""Intervals, tests and powers agree with scipy, with closed forms, and with each other."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from mlcourse.hpo.comparison import (
    bootstrap_interval,
    holm,
    paired_test,
    pairs_needed,
    probability_of_best,
    simulated_power,
)


def normal(*shape: int, seed: int = 0, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, size=shape)


def mean_difference(a, b, axis):
    return np.mean(a - b, axis=axis)


# Bootstrap intervals


@pytest.mark.parametrize("statistic", [np.mean, np.median, np.max])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95])
def test_the_interval_is_that_of_all_resamples(statistic, level):
    values = normal(6)
    every = statistic(list(itertools.product(values, repeat=6)), axis=1)
    low, high = bootstrap_interval(values, statistic, level, draws=100_000)
    # The share of resamples at or below an end is its tail, up to the noise of the draws.
    tail = (1 - level) / 2
    for end, share in ((low, tail), (high, 1 - tail)):
        below, up_to = np.mean(every < end - 1e-12), np.mean(every <= end + 1e-12)
        assert below - 0.005 <= share <= up_to + 0.005


def test_the_interval_is_scipy_s():
    values = normal(20, seed=1)
    expected = stats.bootstrap(
        (values,), np.mean, method="percentile", n_resamples=20_000, rng=np.random.default_rng(0)
    ).confidence_interval
    np.testing.assert_allclose(
        bootstrap_interval(values, np.mean, draws=20_000), expected, atol=0.02
    )


def test_each_place_has_its_own_interval():
    values = normal(9, 4, 3)
    low, high = bootstrap_interval(values, draws=500)
    assert low.shape == high.shape == (4, 3)
    assert (low[1, 2], high[1, 2]) == bootstrap_interval(values[:, 1, 2], draws=500)


def test_the_seed_decides():
    values = normal(9)
    assert bootstrap_interval(values, seed=1) == bootstrap_interval(values, seed=1)
    assert bootstrap_interval(values, np.mean, seed=1) != bootstrap_interval(
        values, np.mean, seed=2
    )


def test_infinite_values_are_the_highest():
    low, high = bootstrap_interval([1.0, 2.0, 3.0, math.inf, math.inf])
    assert (low, high) == (1.0, math.inf)
    assert bootstrap_interval([4.0]) == (4.0, 4.0)
    assert bootstrap_interval([math.inf] * 3) == (math.inf, math.inf)


# Paired tests


@pytest.mark.parametrize("n", range(2, 14))
def test_the_p_value_is_scipy_s(n):
    a, b = normal(n), normal(n, seed=1, mean=0.5)
    expected = stats.permutation_test(
        (a, b), mean_difference, permutation_type="samples", n_resamples=np.inf, vectorized=True
    )
    found = paired_test(a, b)
    assert found.p_value == pytest.approx(min(1, expected.pvalue), abs=1e-12)
    assert found.difference == pytest.approx(expected.statistic)
    assert found.pairs == n


@pytest.mark.parametrize("n", [6, 9, 12])
@pytest.mark.parametrize("level", [0.8, 0.95])
def test_the_interval_has_the_shifts_that_the_test_does_not_reject(n, level):
    a, b = normal(n), normal(n, seed=1)
    found = paired_test(a, b, level)
    for end, sign in ((found.low, 1), (found.high, -1)):
        inside, outside = b + end + sign * 1e-9, b + end - sign * 1e-9
        assert paired_test(a, inside).p_value > 1 - level + 1e-9
        assert paired_test(a, outside).p_value <= 1 - level + 1e-9


def test_differences_of_whole_numbers_tie_exactly():
    a, b = np.array([0.1, 0.2, 0.3, 0.4]) * 3, np.array([0.2, 0.1, 0.4, 0.3]) * 3
    assert paired_test(a, b).p_value == 1
    # Of 2^6 flips of six equal differences two have a mean as far from zero.
    assert paired_test([0.3] * 6, [0.2] * 6).p_value == 2 / 64
    assert paired_test([0.3] * 6, [0.3] * 6).p_value == 1


def test_five_pairs_are_too_few_for_any_interval_at_95_percent_and_six_are_not():
    five, six = paired_test(np.arange(1, 6), np.zeros(5)), paired_test(np.arange(1, 7), np.zeros(6))
    assert five.p_value == 2 / 32
    assert (five.low, five.high) == (-math.inf, math.inf)
    assert six.p_value == 2 / 64
    assert (six.low, six.high) == (1.0, 6.0)


def test_many_pairs_are_drawn_and_agree_with_the_t_test_on_normal_differences():
    a, b = normal(200), normal(200, seed=1, mean=0.2)
    found, expected = paired_test(a, b), stats.ttest_rel(a, b)
    assert found.p_value == pytest.approx(expected.pvalue, abs=0.005)
    interval = expected.confidence_interval(0.95)
    np.testing.assert_allclose([found.low, found.high], interval, atol=0.01)
    assert found == paired_test(a, b)
    assert found.p_value != paired_test(a, b, seed=1).p_value


def test_swapping_the_methods_turns_everything_round():
    a, b = normal(11), normal(11, seed=1)
    one, other = paired_test(a, b), paired_test(b, a)
    assert one.p_value == other.p_value
    np.testing.assert_allclose([one.low, one.high], [-other.high, -other.low])


def test_what_pairs_share_is_removed():
    shared, a, b = 10 * normal(12), 0.1 * normal(12, seed=1), 0.1 * normal(12, seed=2)
    np.testing.assert_allclose(
        paired_test(a + shared, b + shared + 0.3).low, paired_test(a, b + 0.3).low
    )
    assert paired_test(a + shared, b + shared + 0.3).p_value < 0.01


# Power


def test_pairs_for_a_difference_of_0_2_under_a_noise_of_0_6():
    """71 pairs hold for *differences* with 0.6; independent runs with 0.6 each need twice that."""
    assert pairs_needed(0.2, 0.6) == 71
    assert pairs_needed(0.2, 0.6 * math.sqrt(2)) == 142
    assert pairs_needed(-0.2, 0.6) == 71


@pytest.mark.parametrize(("power", "level"), [(0.8, 0.05), (0.9, 0.01), (0.5, 0.1)])
@pytest.mark.parametrize("size", [0.2, 0.5])
def test_the_number_of_pairs_has_the_power_of_the_t_test_nearly(power, level, size):
    n = pairs_needed(size, 1.0, power, level)
    threshold = stats.t.ppf(1 - level / 2, n - 1)
    exact = stats.nct.sf(threshold, n - 1, size * math.sqrt(n))
    assert power - 0.05 < exact < power + 0.02
    assert simulated_power(n, size, 1.0, level) == pytest.approx(exact, abs=0.025)


def test_a_large_difference_needs_few_pairs_and_the_test_cannot_see_it_with_five():
    assert pairs_needed(100.0, 1.0) == 1
    assert simulated_power(5, 100.0, 1.0, repeats=200) == 0
    assert simulated_power(12, 100.0, 1.0, repeats=200) == 1


# The best of several, and several tests


def test_the_probability_of_being_best_is_the_share_of_all_resamples():
    values = {"a": [1.0, 4.0, 2.0], "b": [2.0, 2.0, 2.5], "c": [3.0, 3.0, 1.0]}
    table, first = np.array(list(values.values())), np.zeros(3)
    for draw in itertools.product(range(3), repeat=3):
        means = table[:, draw].mean(axis=1).round(9)
        first += (means == means.min()) / (means == means.min()).sum()
    found = probability_of_best(values, draws=100_000)
    assert list(found) == list(values)
    np.testing.assert_allclose(list(found.values()), first / 27, atol=0.01)
    assert sum(found.values()) == pytest.approx(1)


def test_equal_methods_share_and_failures_never_win():
    runs = normal(10).tolist()
    assert probability_of_best({"a": runs, "b": runs}) == {"a": 0.5, "b": 0.5}
    found = probability_of_best({"a": runs, "b": [math.inf] * 10})
    assert found == {"a": 1.0, "b": 0.0}
    shifted = [run + 0.001 for run in runs]
    assert probability_of_best({"a": shifted, "b": runs}, np.median) == {"a": 0.0, "b": 1.0}


def test_holm_s_steps():
    # By hand: 4 * 0.01, 3 * 0.015, then 2 * 0.02 is lower than that before it, and 0.8.
    p = {"a": 0.02, "b": 0.01, "c": 0.8, "d": 0.015}
    assert holm(p) == pytest.approx({"a": 0.045, "b": 0.04, "c": 0.8, "d": 0.045})
    assert list(holm(p)) == list(p)
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}
    assert holm({"a": 0.03}) == {"a": 0.03}
    assert holm({}) == {}


def test_holm_holds_the_level_and_rejects_what_bonferroni_rejects():
    rng = np.random.default_rng(0)
    for _ in range(200):
        p = dict(enumerate(rng.random(rng.integers(1, 8)) ** 3))
        adjusted = holm(p)
        order = sorted(p, key=p.get)
        for i, name in enumerate(order):
            # The definition: reject while each p is at most 0.05 / (the number that is left).
            rejected = all(
                p[other] * (len(p) - j) <= 0.05 for j, other in enumerate(order[: i + 1])
            )
            assert (adjusted[name] <= 0.05) == rejected
            assert adjusted[name] <= min(1, len(p) * p[name])


# Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_interval([]), r"values has the shape \(0,\): give a list of one value"),
        (lambda: bootstrap_interval(3.0), r"values has the shape \(\): give a list"),
        (lambda: bootstrap_interval([1, math.nan]), "values has a value that is nan: a failed run"),
        (lambda: bootstrap_interval([1.0], level=95), "level is 95: give a probability between"),
        (lambda: paired_test([1, 2], [1]), r"a has the shape \(2,\) and b \(1,\): give two lists"),
        (lambda: paired_test([[1.0]], [[1.0]]), r"a has the shape \(1, 1\) and b \(1, 1\)"),
        (lambda: paired_test([1, 2], [1, math.inf]), "a or b has infinite values: give a failed"),
        (lambda: paired_test([1], [1], level=1), "level is 1: give a probability"),
        (lambda: pairs_needed(0, 1), "difference is 0: give the one to be seen, not 0"),
        (lambda: pairs_needed(math.nan, 1), "difference is nan"),
        (lambda: pairs_needed(1, 0), "sd is 0: give the positive standard deviation of the diff"),
        (lambda: pairs_needed(1, 1, power=80), "power is 80: give a probability between 0 and 1"),
        (lambda: pairs_needed(1, 1, level=0), "level is 0"),
        (lambda: simulated_power(0, 1, 1), "pairs is 0: give an integer, 1 or more"),
        (lambda: simulated_power(5, 1, 1, level=2), "level is 2"),
        (lambda: probability_of_best({}), "there are no methods to compare: give a dict of names"),
        (
            lambda: probability_of_best({"a": [1], "b": [1, 2]}),
            r"the numbers of values differ \(a 1, b 2\): give those of the same pairs",
        ),
        (lambda: probability_of_best({"a": [math.nan]}), "a has a value that is nan"),
        (lambda: holm({"a": 1.2}), "the p-value of a is 1.2: give a probability from 0 to 1"),
    ],
)
def test_bad_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
