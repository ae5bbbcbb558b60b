"""What all methods share: asking, telling, resuming, the best result; and random search."""

from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch

from mlcourse import hpo
from mlcourse.hpo.method import Method, Result, Trial
from mlcourse.hpo.random import Random
from mlcourse.hpo.space import Space

SPACE = {"lr": {"low": 1e-4, "high": 1.0, "log": True}, "width": (1, 32)}


class Counting(Method):
    """Asks for the width of its next trial's number, and remembers the order of events."""

    def __init__(self) -> None:
        super().__init__({"width": (0, 99)})
        self.events: list[tuple[str, int, float | None]] = []

    def _propose(self, number: int, rng: np.random.Generator) -> Trial | None:
        return Trial(number, {"width": number}, note={"draw": rng.random()})

    def _started(self, trial: Trial) -> None:
        assert self.pending[trial.number] == trial
        self.events.append(("started", trial.number, None))

    def _told(self, trial: Trial, value: float) -> None:
        assert trial.number not in self.pending
        assert self.results[-1] == Result(trial, value)
        self.events.append(("told", trial.number, value))


def ask(method: Method) -> Trial:
    trial = method.ask()
    assert trial is not None
    return trial


def test_trials_are_numbered_and_under_way_until_told() -> None:
    method = Counting()
    first, second = ask(method), ask(method)
    assert [first.number, second.number] == [0, 1]
    assert method.pending == {0: first, 1: second}
    method.tell(second, 0.5)
    method.tell(first, 2)
    assert method.pending == {}
    assert method.results == [Result(second, 0.5), Result(first, 2.0)]
    assert method.events == [
        ("started", 0, None),
        ("started", 1, None),
        ("told", 1, 0.5),
        ("told", 0, 2.0),
    ]
    assert not method.finished


def test_each_trial_has_random_numbers_of_its_own() -> None:
    """So what is asked depends on no earlier draw, and a search can go on anywhere."""
    method, later = Counting(), Counting()
    draws = [ask(method).note["draw"] for _ in range(5)]
    assert len(set(draws)) == 5
    later.resume([(Trial(3, {"width": 0}), None)])
    assert ask(later).note["draw"] == draws[4]


def test_a_trial_of_nobody_starts_and_is_told_and_numbers_go_on_after_it() -> None:
    method = Counting()
    method.tell(Trial(7, {"width": 3}), 1.0)
    assert method.events == [("started", 7, None), ("told", 7, 1.0)]
    assert ask(method).number == 8


def test_resume_is_what_happened() -> None:
    method, other = Counting(), Counting()
    for _ in range(4):
        ask(method)
    method.tell(method.pending[2], 0.25)
    method.tell(method.pending[0], math.nan)
    other.resume([*((r.trial, r.value) for r in method.results)])
    other.resume([(trial, None) for trial in method.pending.values()])
    assert other.pending == method.pending
    assert other.results == method.results
    assert ask(other) == ask(method)
    other.resume([(other.pending[1], 3.0)])  # under way in one file, told in the next
    assert other.results[-1].value == 3.0


@pytest.mark.parametrize("value", [math.nan, math.inf, np.float64("nan"), np.float32("inf")])
def test_nan_counts_as_infinite(value: float) -> None:
    method = Counting()
    method.tell(ask(method), value)
    assert method.results[0].value == math.inf
    assert method.best.value == math.inf


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "value",
    [3, np.float32(3), np.int64(3), np.array(3), torch.tensor(3.0, requires_grad=True)],
)
def test_every_kind_of_number_becomes_a_float(value: Any) -> None:
    method = Counting()
    method.tell(ask(method), value)
    assert type(method.results[0].value) is float


@pytest.mark.parametrize(
    "value", [None, "0.5", True, np.True_, [0.5], np.ones(1), torch.ones(2), 1j]
)
def test_what_is_no_number_is_refused_and_forgotten(value: Any) -> None:
    method = Counting()
    trial = ask(method)
    with pytest.raises(ValueError, match=r"^trial 0 has the value .*: give a number$"):
        method.tell(trial, value)
    assert method.pending == {0: trial}
    assert method.results == []


@pytest.mark.parametrize("trial", [0, {"width": 3}, None])
def test_a_value_is_told_of_a_trial(trial: Any) -> None:
    with pytest.raises(ValueError, match=r"^.* is told a value: give the trial that ask\(\) retur"):
        Counting().tell(trial, 0.5)


def test_a_second_value_or_start_is_refused() -> None:
    method = Counting()
    trial = ask(method)
    with pytest.raises(ValueError, match=r"^trial 0 is known already: resume from each trial once"):
        method.resume([(trial, None)])
    method.tell(trial, 1.0)
    for again in (lambda: method.tell(trial, 1.0), lambda: method.resume([(trial, 1.0)])):
        with pytest.raises(ValueError, match=r"^trial 0 has a value already: tell each trial once"):
            again()
    assert method.events == [("started", 0, None), ("told", 0, 1.0)]


def test_another_configuration_under_a_number_that_is_under_way_is_refused() -> None:
    method = Counting()
    trial = ask(method)
    with pytest.raises(
        ValueError,
        match=r"^trial 0 is under way with {'width': 0}: give {'width': 5} a number of its own$",
    ):
        method.tell(Trial(0, {"width": 5}), 1.0)
    assert method.pending == {0: trial}
    method.tell(Trial(0, {"width": 0}), 1.0)
    assert method.pending == {}


def test_the_best_is_the_lowest_at_the_largest_budget_and_the_first_of_equals() -> None:
    method = Random(SPACE)
    with pytest.raises(ValueError, match=r"^there is no result yet: tell the value of a trial fir"):
        _ = method.best
    config = {"lr": 0.1, "width": 3}
    for number, (budget, value) in enumerate(
        [(1.0, 0.1), (9.0, 0.5), (9.0, 0.4), (3.0, 0.0), (9.0, 0.4), (9.0, math.inf)]
    ):
        method.tell(Trial(number, config, budget), value)
    assert method.best.trial.number == 2
    without = Random(SPACE)
    for number, value in enumerate([3.0, 1.0, 2.0]):
        without.tell(Trial(number, config), value)
    assert without.best.trial.number == 1


def test_a_space_may_be_a_dict_and_a_seed_is_a_whole_number() -> None:
    assert Random(SPACE).space == Random(Space(SPACE)).space == Space(SPACE)
    assert Random(SPACE, 4).seed == 4
    assert type(Random(SPACE, np.int64(4)).seed) is int
    for seed in (-1, 1.0, True, None, "0"):
        with pytest.raises(ValueError, match=r"^the seed is .*: give an integer, 0 or more$"):
            Random(SPACE, seed)  # type: ignore[arg-type]


def test_the_base_asks_for_nothing() -> None:
    with pytest.raises(NotImplementedError):
        Method(SPACE).ask()


def test_random_search_draws_evenly_and_learns_nothing() -> None:
    method, deaf = Random(SPACE, seed=1), Random(SPACE, seed=1)
    units = []
    for number in range(2000):
        trial = ask(method)
        assert trial == ask(deaf)
        method.tell(trial, float(trial.config["width"]))  # type: ignore[arg-type]
        assert trial.number == number
        units.append(method.space.encode(trial.config))
    for column in np.array(units).T:
        counts = np.histogram(column, 4, (0, 1))[0]
        assert np.abs(counts - 500).max() < 5 * math.sqrt(2000 * 3 / 16)
    correlation = np.corrcoef(np.array(units).T)[0, 1]
    assert abs(correlation) < 5 / math.sqrt(2000)
    assert not method.finished


def test_random_search_draws_the_same_whatever_was_asked_before() -> None:
    whole = [ask(method) for method in [Random(SPACE, seed=2)] for _ in range(10)]
    other = Random(SPACE, seed=2)
    other.resume([(whole[5], None)])
    assert [ask(other) for _ in range(4)] == whole[6:]


def test_the_package_offers_each_name_and_loads_no_torch_for_it() -> None:
    for name in hpo.__all__:
        assert getattr(hpo, name).__module__ == f"mlcourse.hpo.{hpo._MODULES[name]}"
    assert set(hpo.__all__) <= set(dir(hpo))
    with pytest.raises(AttributeError, match="Randon"):
        hpo.Randon  # noqa: B018
    text = "import sys; from mlcourse.hpo import Random, Trial; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", text], check=True)
