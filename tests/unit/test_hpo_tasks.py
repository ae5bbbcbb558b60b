"""The tasks' losses are the published functions, and their optima are those of the grids."""

import math
import pickle

import numpy as np
import pytest

from mlcourse.hpo import tasks
from mlcourse.hpo.space import Space
from mlcourse.hpo.tasks import branin, counting_ones, hartmann6

ALL = {"branin": branin, "hartmann6": hartmann6, "counting_ones": counting_ones}
ONES = {f"a{i}": 1 for i in range(1, 5)} | {f"p{i}": 1.0 for i in range(1, 5)}


@pytest.mark.parametrize("name", ALL)
def test_a_task_is_complete_and_can_go_to_another_process(name):
    task = pickle.loads(pickle.dumps(ALL[name]()))
    assert task.name == name
    rng = np.random.default_rng(0)
    space = Space(task.space)
    for _ in range(50):
        config = space.sample(rng)
        assert type(task.loss(config)) is float
        assert task.loss(config) == ALL[name]().loss(config)
        assert task.regret(config) == task.loss(config) - task.optimum >= -1e-12


def test_branin_is_low_in_its_three_basins_and_the_optimum_is_the_grid_s():
    task = branin()
    values = {(i, j): task.loss({"x1": i, "x2": j}) for i in range(64) for j in range(64)}
    assert min(values.values()) == pytest.approx(task.optimum, abs=1e-12)
    # Known minimisers in the plane, all with the value 0.397887.
    for x, y in [(-math.pi, 12.275), (math.pi, 2.275), (9.42478, 2.475)]:
        place = (round((x + 5) / 15 * 63), round(y / 15 * 63))
        assert values[place] < 0.8
    assert 0.397887 < task.optimum < 0.41
    # Steps are even and ends included: worked out by hand at a corner and at another one.
    assert values[0, 0] == pytest.approx(308.129096, abs=1e-5)
    assert values[63, 63] == pytest.approx(145.872191, abs=1e-5)


def test_hartmann6_has_the_published_minimum_and_the_grid_s_optimum():
    task = hartmann6()
    # The published minimiser in the cube, between points of the grid: the loss takes real places.
    cube = [0.20169, 0.150011, 0.476874, 0.275332, 0.311652, 0.6573]
    value = task.loss({f"x{i}": 19 * x for i, x in enumerate(cube, start=1)})
    assert value == pytest.approx(-3.32237, abs=1e-5)
    lowest, config = lowest_hartmann6()
    assert task.loss(config) == pytest.approx(lowest, abs=1e-12)
    assert task.regret(config) == pytest.approx(0, abs=1e-12)


def lowest_hartmann6():
    """The lowest of all 20^6 values: each well is a product of six factors, so of two tables."""
    grid = np.arange(20) / 19
    factors = np.exp(-tasks._WIDTHS[:, :, None] * (grid - tasks._PLACES[:, :, None]) ** 2)
    halves = [
        np.einsum("ka,kb,kc->kabc", *half.transpose(1, 0, 2)).reshape(4, 8000)
        for half in (factors[:, :3], factors[:, 3:])
    ]
    rows = halves[0].T * tasks._DEPTHS
    lowest, where = 0.0, (0, 0)
    for start in range(0, 8000, 500):
        values = -rows[start : start + 500] @ halves[1]
        row, column = divmod(int(values.argmin()), 8000)
        if values[row, column] < lowest:
            lowest, where = float(values[row, column]), (start + row, column)
    places = [int(i) for half in where for i in np.unravel_index(half, (20, 20, 20))]
    return lowest, {f"x{i}": place for i, place in enumerate(places, start=1)}


def test_without_a_budget_ones_are_counted_exactly():
    task = counting_ones()
    assert task.loss(ONES) == task.optimum == -8
    assert task.regret(ONES | {"a2": 0, "p3": 0.25}) == pytest.approx(1.75, abs=1e-12)
    assert task.loss(ONES, 9) == -8
    assert task.loss(dict.fromkeys(ONES, 0) | {f"p{i}": 0.0 for i in range(1, 5)}, 9) == 0


def test_coins_are_fair_to_their_chances():
    chances = {"p1": 0.2, "p2": 0.5, "p3": 0.9, "p4": 0.6}
    losses = np.array([counting_ones(seed).loss(ONES | chances, 9) for seed in range(4000)])
    variance = sum(p * (1 - p) for p in chances.values()) / 9
    assert losses.mean() == pytest.approx(-4 - 2.2, abs=5 * math.sqrt(variance / 4000))
    assert losses.var() == pytest.approx(variance, rel=0.15)
    np.testing.assert_allclose(losses * 9, np.rint(losses * 9), atol=1e-9)


def test_throws_depend_on_seed_configuration_and_budget_alone():
    config = ONES | {f"p{i}": 0.5 for i in range(1, 5)}
    first = [counting_ones(seed).loss(config, budget) for seed in (0, 1) for budget in (27, 81)]
    again = [
        counting_ones(seed).loss(dict(reversed(config.items())), float(budget))
        for seed in (0, 1)
        for budget in (27, 81)
    ]
    assert first == again
    assert len(set(first)) == 4
    others = {counting_ones().loss(config | {"p1": p}, 27) for p in np.linspace(0.5, 0.501, 30)}
    assert len(others) > 1


@pytest.mark.parametrize("budget", [0, 0.4, -3])
def test_no_throw_is_refused(budget):
    with pytest.raises(
        ValueError, match=rf"^the budget is {budget}: throw the coins once or more$"
    ):
        counting_ones().loss(ONES, budget)
