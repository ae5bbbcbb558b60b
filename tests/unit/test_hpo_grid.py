"""Grid search tries each configuration once, and never lists them."""

import pytest

from mlcourse.hpo.grid import Grid
from mlcourse.hpo.method import Trial
from mlcourse.hpo.space import Space

LENET = {"c1": (1, 32), "c3": (1, 32), "c5": (40, 130), "f6": (125, 325)}
CONDITIONAL = {
    "optimizer": ["sgd", "adam"],
    "momentum": {"low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
    "width": (1, 3),
}


def asked(grid: Grid, limit: int = 1000) -> list[Trial]:
    trials = [grid.ask() for _ in range(limit)]
    return [trial for trial in trials if trial is not None]


def test_each_configuration_of_the_grid_is_asked_for_once_in_order() -> None:
    grid = Grid(CONDITIONAL, {"momentum": 2, "width": 5})
    expected = [
        {"optimizer": "sgd", "momentum": momentum, "width": width}
        for momentum in (0.0, 0.9)
        for width in (1, 2, 3)
    ] + [{"optimizer": "adam", "width": width} for width in (1, 2, 3)]
    assert grid.places == 9
    assert not grid.finished
    assert [trial.config for trial in asked(grid)] == expected
    assert grid.finished
    assert grid.ask() is None


def test_it_asks_for_what_the_space_s_grid_yields() -> None:
    space = Space({**CONDITIONAL, "lr": {"low": 0.001, "high": 1.0, "log": True}})
    assert [t.config for t in asked(Grid(space, 3))] == list(space.grid(3))


def test_the_source_s_grid_of_737_million_epochs_is_counted_and_begun_at_once() -> None:
    """The source counts 200*32*32*90*40; with both ends of every range it is 749,199,360."""
    grid = Grid(LENET, levels=201)
    assert grid.places == 201 * 32 * 32 * 91
    assert grid.places * 40 == 749_199_360
    first = grid.ask()
    assert first is not None
    assert first.config == {"c1": 1, "c3": 1, "c5": 40, "f6": 125}
    far = Trial(18_000_000, {"c1": 1, "c3": 1, "c5": 40, "f6": 126}, note={"place": 1})
    grid.tell(far, 0.5)
    trial = grid.ask()
    assert trial is not None
    # 18,000,001 = ((30 * 32 + 24) * 91 + 8) * 201 + ...: the digits of a mixed radix.
    place, f6 = divmod(18_000_001, 201)
    place, c5 = divmod(place, 91)
    c1, c3 = divmod(place, 32)
    assert trial.config == {"c1": 1 + c1, "c3": 1 + c3, "c5": 40 + c5, "f6": 125 + f6}


def test_places_that_another_search_s_trials_took_the_numbers_of_come_at_the_end() -> None:
    grid = Grid({"a": (0, 4)}, 5)
    foreign = {"a": 3}
    for number in (0, 3, 17):
        grid.tell(Trial(number, foreign), 1.0)
    trials = asked(grid)
    assert sorted(t.config["a"] for t in trials) == [0, 1, 2, 3, 4]  # type: ignore[type-var]
    assert [trial.number for trial in trials] == [18, 19, 20, 21, 22]
    assert grid.finished


def test_workers_that_know_only_numbers_get_different_places() -> None:
    """Each of three workers sees the results, but not what the others are about to start."""
    configs = []
    for number in range(3):
        worker = Grid({"a": (0, 4)}, 5)
        worker.resume([(Trial(n, {"a": n}, note={"place": n}), 1.0) for n in range(2)])
        trial = worker.ask(2 + number)
        assert trial is not None
        configs.append(trial.config["a"])
    assert configs == [2, 3, 4]


def test_too_few_levels_are_refused() -> None:
    with pytest.raises(ValueError, match=r"^c1 has 0 levels in the grid: give 1 or more$"):
        Grid(LENET, 0)
    with pytest.raises(ValueError, match=r"^c3 has 0 levels in the grid"):
        Grid(LENET, {"c1": 3})
