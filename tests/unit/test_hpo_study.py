"""Variance components, the surrogate and simulated searches, on data with known answers."""

import math
from dataclasses import replace

import numpy as np
import pytest

from mlcourse.hpo.lenets import SPACE
from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.random import Random
from mlcourse.hpo.space import Space
from mlcourse.hpo.study import (
    Surrogate,
    best_of,
    components,
    held_out,
    ranking,
    repeated,
    simulate,
)

CHECKS = (1, 3, 9)


def accuracy(config: dict, check: int) -> float:
    """Smooth, different at each check, highest for the widest networks."""
    return 0.2 + 0.05 * math.log(config["c1"]) + 0.01 * math.log(config["c3"]) + 0.01 * check


def made_up(n: int = 60, noise: float = 0.01, seed: int = 0) -> list[dict]:
    """Runs as book/experiments/hpo.py writes them."""
    rng, space = np.random.default_rng(seed), Space(SPACE)
    configs = [space.sample(rng) for _ in range(n)]
    return [
        {
            "part": "landscape",
            "config": config,
            "seed": 100 * again + i,
            "order": 100 * again + i // 5,
            "validation": [accuracy(config, c) + noise * rng.normal() for c in CHECKS],
            "test": accuracy(config, 9) - 0.02 + noise * rng.normal(),
        }
        for again in (1, 0)
        for i, config in enumerate(configs)
    ]


@pytest.fixture(scope="module")
def landscape():
    return repeated(made_up(), "landscape")


@pytest.fixture(scope="module")
def surrogate(landscape):
    return Surrogate(landscape, CHECKS)


def test_runs_are_collected_by_configuration_in_the_order_of_their_seeds() -> None:
    runs = made_up(3)
    other = {**runs[0], "part": "noise"}
    found = repeated([*reversed(runs), other], "landscape")
    assert [one.config for one in found] == [run["config"] for run in runs[:3]]
    for i, one in enumerate(found):
        assert one.validation.tolist() == [runs[3 + i]["validation"], runs[i]["validation"]]
        assert one.orders.tolist() == [runs[3 + i]["order"], runs[i]["order"]]
        assert one.test.tolist() == [runs[3 + i]["test"], runs[i]["test"]]
        assert one.last.tolist() == [runs[3 + i]["validation"][-1], runs[i]["validation"][-1]]
    with pytest.raises(ValueError, match="there are no runs of 'noise': do book/experiments"):
        repeated(runs, "noise")


def test_components_by_hand() -> None:
    """Means 1, 3, 5: variance 4; each pair's variance 2; between^2 = 4 - 2 / 2 = 3."""
    found = components([[0, 2], [2, 4], [4, 6]])
    assert found.within == pytest.approx(math.sqrt(2))
    assert found.between == pytest.approx(math.sqrt(3))
    assert found.reliability == pytest.approx(3 / 5)


def test_components_are_unbiased() -> None:
    rng = np.random.default_rng(0)
    squares = []
    for _ in range(400):
        means = rng.normal(0, 2, size=(20, 1))
        found = components(means + rng.normal(0, 1, size=(20, 4)))
        squares.append((found.between**2, found.within**2))
    standard_error = np.std(squares, axis=0) / math.sqrt(400)
    assert (np.abs(np.mean(squares, axis=0) - [4, 1]) < 4 * standard_error).all()


def test_components_without_a_difference_between_configurations() -> None:
    found = components([[0, 2], [2, 0]])
    assert (found.between, found.reliability) == (0, 0)
    with pytest.raises(ValueError, match=r"the values have the shape \(2, 1\): give two runs"):
        components([[1], [2]])


def test_the_surrogate_finds_the_function_under_the_noise(surrogate) -> None:
    rng, space = np.random.default_rng(7), Space(SPACE)
    configs = [space.sample(rng) for _ in range(50)]
    predicted = np.array([surrogate.mean(config) for config in configs])
    true = np.array([[accuracy(c, k) for k in CHECKS] + [accuracy(c, 9) - 0.02] for c in configs])
    # Well below the noise of 0.01 / sqrt(2) in the means it saw.
    assert np.sqrt(np.square(predicted - true).mean()) < 0.004


def test_the_surrogate_s_means_do_not_depend_on_the_order_of_the_names(surrogate) -> None:
    config = {"c1": 8, "c3": 9, "c5": 80, "f6": 200}
    assert np.array_equal(surrogate.mean(config), surrogate.mean(dict(reversed(config.items()))))


def test_the_surrogate_s_noise_is_as_large_as_the_landscape_s(surrogate) -> None:
    rng = np.random.default_rng(0)
    config = {"c1": 8, "c3": 8, "c5": 80, "f6": 200}
    runs = np.array([surrogate.run(config, rng) for _ in range(2000)])
    standard_error = 0.01 / math.sqrt(2000)
    assert (np.abs(runs.mean(0) - surrogate.mean(config)) < 5 * standard_error).all()
    assert (np.abs(runs.std(0) - 0.01) < 0.004).all()  # 40 runs say it to 11 %
    assert np.array_equal(
        surrogate.run(config, np.random.default_rng(3)),
        surrogate.run(config, np.random.default_rng(3)),
    )


def test_the_surrogate_finds_the_noise_of_the_order() -> None:
    rng = np.random.default_rng(5)
    shift = {order: 0.02 * rng.normal() for order in range(200)}
    runs = made_up()
    for run in runs:
        run["validation"] = [share + shift[run["order"]] for share in run["validation"]]
    found = Surrogate(repeated(runs, "landscape"), CHECKS).order_noise
    assert found[:3] == pytest.approx([0.02] * 3, rel=0.4)  # 24 orders say it to 15 %
    assert found[3] < 0.01


def test_the_surrogate_s_noise_is_as_skewed_as_the_landscape_s() -> None:
    rng = np.random.default_rng(2)
    runs = made_up(noise=0)
    for run in runs:
        run["validation"] = [share - 0.01 * rng.exponential() for share in run["validation"]]
    surrogate = Surrogate(repeated(runs, "landscape"), CHECKS, neighbours=120)
    config = {"c1": 8, "c3": 8, "c5": 80, "f6": 200}
    drawn = np.array([surrogate.run(config, rng)[2] for _ in range(1000)])
    assert (((drawn - drawn.mean()) / drawn.std()) ** 3).mean() < -0.5  # -2 with endless data


def test_the_surrogate_needs_two_runs_and_the_checks(landscape) -> None:
    with pytest.raises(ValueError, match="do not have 2 checks, two runs a configuration"):
        Surrogate(landscape, (1, 9))


def test_predictions_of_unseen_configurations_miss_by_the_noise_of_the_means() -> None:
    landscape = repeated(made_up(40), "landscape")
    predicted, observed = held_out(landscape, folds=2)
    assert observed.tolist() == [one.last.mean() for one in landscape]
    true = [accuracy(one.config, 9) for one in landscape]
    assert np.std(predicted - true) < 0.01
    assert np.std(predicted - observed) > np.std(predicted - true)
    # The first half was predicted without itself: other values there change nothing.
    first = np.random.default_rng(0).permutation(40)[:20]
    changed = list(landscape)
    for i in first:
        changed[i] = replace(landscape[i], validation=landscape[i].validation + 0.1)
    again, _ = held_out(changed, folds=2)
    assert np.array_equal(again[first], predicted[first])
    with pytest.raises(ValueError, match="folds is 1: give 2 to 40, the configurations"):
        held_out(landscape, folds=1)


class Budgets(Method):
    """Asks for random configurations on 3 epochs and, each third time, on 9."""

    def _propose(self, number, rng):
        return Trial(number, self.space.sample(rng), 9.0 if number % 3 == 2 else 3.0)


def test_a_simulated_search_spends_what_it_may_and_reports_its_choice(surrogate) -> None:
    method = Random(SPACE, seed=5)
    found = simulate(method, surrogate, epochs=100, seed=5)
    assert found.trainings == 11 == len(method.results)
    best = method.best
    assert found.config == best.trial.config
    assert found.seen == 1 - best.value
    assert found.validation == surrogate.mean(found.config)[2]
    assert found.test == surrogate.mean(found.config)[3]
    assert found.spent == [10 * i for i in range(1, 11)]
    assert found.curve[-1] == found.validation
    # After 10 epochs there was one training, and the last places have the last choices.
    assert found.curve[0] == surrogate.mean(method.results[0].trial.config)[2]
    assert simulate(Random(SPACE, seed=5), surrogate, epochs=100, seed=5) == found


def test_only_full_trainings_are_chosen(surrogate) -> None:
    method = Budgets(SPACE, seed=0)
    found = simulate(method, surrogate, epochs=50, places=10)
    assert found.trainings == 10  # 3 * (3 + 3 + 9) + 3; another 3 would go over
    full = [result for result in method.results if result.trial.budget == 9]
    assert found.config == min(full, key=lambda result: result.value).trial.config
    assert [math.isnan(value) for value in found.curve] == [True] * 2 + [False] * 8
    for epochs, message in ((8, "give at least the 9"), (9, "no training of 9 epochs was done")):
        with pytest.raises(ValueError, match=message):
            simulate(Budgets(SPACE, seed=0), surrogate, epochs=epochs)


def test_a_ranking_of_normal_values_agrees_with_the_formulas() -> None:
    """Means 0.2 apart and 0.6 of noise in each: 142 pairs; one pair is right 59 times in 100."""
    z = np.array([math.sqrt(2) * _erfinv((2 * i + 1) / 400 - 1) for i in range(400)])
    values = {"a": 0.6 * z, "b": 0.6 * z - 0.2}
    (one,) = ranking(values)
    assert one.difference == pytest.approx(0.2)
    assert one.sd == pytest.approx(0.6 * math.sqrt(2), rel=0.01)
    assert abs(one.pairs - 142) <= 3
    assert one.single == pytest.approx(0.5 * math.erfc(-0.2 / 0.6 / 2), abs=0.003)


def test_each_two_methods_are_ranked_once() -> None:
    found = ranking({"a": [1.0, 2.0], "b": [1.0, 2.0], "c": [3.0, 5.0]})
    assert [(one.a, one.b) for one in found] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert (found[0].difference, found[0].single, found[0].pairs) == (0, 0.5, math.inf)


def test_the_noise_of_the_judgement_adds_to_that_of_the_search() -> None:
    values = {"a": [1.0, 1.0], "b": [0.8, 0.8]}
    certain, noisy = ranking(values)[0], ranking(values, noise=0.6)[0]
    assert (certain.sd, certain.single) == (pytest.approx(0), 1)
    assert noisy.sd == pytest.approx(0.6 * math.sqrt(2))
    assert noisy.single == pytest.approx(0.5 * math.erfc(-0.2 / 1.2))
    assert ranking({"b": [0.8, 0.8], "a": [1.0, 1.0]}, noise=0.6)[0].single == noisy.single
    with pytest.raises(ValueError, match="b has 1 values: give those of many searches"):
        ranking({"a": [1.0, 1.0], "b": [1.0]})


def _erfinv(y: float) -> float:
    """By bisection."""
    low, high = -6.0, 6.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if math.erf(middle) < y else (low, middle)
    return (low + high) / 2


def test_the_best_of_all_is_chosen_by_its_first_run_alone(landscape) -> None:
    found = best_of(landscape, draws=len(landscape), repeats=5)
    best = max(landscape, key=lambda one: one.last[0])
    assert set(found["seen"]) == {best.last[0]}
    assert set(found["again"]) == {best.last[1]}
    assert set(found["test"]) == {best.test[1]}
    few = best_of(landscape, draws=3, repeats=500)
    assert few["seen"].mean() > few["again"].mean()
    with pytest.raises(ValueError, match="draws is 61: give 1 to 60, the trained ones"):
        best_of(landscape, draws=61)
