"""A Latin hypercube hits each share of each parameter once, and pairs the shares at random."""

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest

from mlcourse.hpo.latin_hypercube import LatinHypercube, shares
from mlcourse.hpo.method import Trial
from mlcourse.hpo.space import Config, Space


def asked(method: LatinHypercube) -> list[Config]:
    configs = []
    while (trial := method.ask()) is not None:
        configs.append(trial.config)
    return configs


@pytest.mark.parametrize("trials", [1, 2, 7, 40])
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_each_share_of_each_range_is_hit_once(trials: int, seed: int) -> None:
    space = Space({"a": (0.0, 1.0), "b": {"low": 1e-5, "high": 1.0, "log": True}, "c": (-3.0, 5.0)})
    method = LatinHypercube(space, trials, seed)
    units = np.array([space.encode(config) for config in asked(method)])
    assert method.finished
    for column in units.T:
        assert sorted(np.floor(column * trials).astype(int)) == list(range(trials))
    inside = units * trials % 1
    assert len(np.unique(inside.round(9))) == inside.size  # no two at the same place of a share


def test_integers_and_choices_are_as_frequent_as_can_be() -> None:
    space = Space({"width": (1, 8), "activation": ["relu", "tanh", "elu"]})
    configs = asked(LatinHypercube(space, 24, seed=3))
    assert Counter(config["width"] for config in configs) == dict.fromkeys(range(1, 9), 3)
    assert set(Counter(config["activation"] for config in configs).values()) == {8}


def test_the_columns_are_independent_permutations() -> None:
    """Of 2 x 2 squares both kinds are equally frequent; of six orders of 3 all are."""
    kinds = Counter(tuple(shares(2, 2, seed).ravel()) for seed in range(400))
    assert len(kinds) == 4
    assert max(kinds.values()) < 100 + 5 * math.sqrt(75)
    orders = Counter(tuple(shares(3, 1, seed)[:, 0]) for seed in range(600))
    assert len(orders) == 6
    assert max(orders.values()) < 100 + 5 * math.sqrt(83)


def test_the_mean_varies_less_than_that_of_random_draws() -> None:
    """McKay's point: for a sum of functions of one parameter each the variance falls."""
    space = Space({"a": (0.0, 1.0), "b": (0.0, 1.0)})
    means = [
        np.mean([c["a"] ** 2 + c["b"] for c in asked(LatinHypercube(space, 10, seed))])  # type: ignore[operator]
        for seed in range(200)
    ]
    random_variance = (4 / 45 + 1 / 12) / 10
    assert np.mean(means) == pytest.approx(5 / 6, abs=0.01)
    assert np.var(means) < random_variance / 20


def test_a_share_s_number_does_not_come_from_the_stream_of_a_trial() -> None:
    """Were the permutations drawn from [seed, 0], trial 0 would repeat their numbers."""
    assert shares(50, 1, 0)[:, 0].tolist() != np.random.default_rng([0, 0]).permutation(50).tolist()
    assert shares(50, 1, 0)[:, 0].tolist() != np.random.default_rng(0).permutation(50).tolist()


def test_places_left_over_come_at_the_end() -> None:
    method = LatinHypercube({"a": (0, 9)}, 10)
    method.tell(Trial(4, {"a": 0}), 1.0)
    assert sorted(config["a"] for config in asked(method)) == list(range(10))  # type: ignore[type-var]


@pytest.mark.parametrize("trials", [0, -1, True, 2.0, None])
def test_a_bad_number_of_trials_is_refused(trials: Any) -> None:
    with pytest.raises(ValueError, match=r"^trials is .*: give an integer, 1 or more$"):
        LatinHypercube({"a": (0, 1)}, trials)
