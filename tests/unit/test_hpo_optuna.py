"""Under Optuna the methods ask for the same trials, and no trial is lost with its worker."""

import importlib
import math
import multiprocessing
import os
import signal
import sqlite3
import sys
import time
import warnings
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mlcourse.hpo.bohb import BOHB
from mlcourse.hpo.genetic import Genetic
from mlcourse.hpo.grid import Grid
from mlcourse.hpo.halving import SuccessiveHalving
from mlcourse.hpo.hyperband import Hyperband
from mlcourse.hpo.latin_hypercube import LatinHypercube
from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.pso import PSO
from mlcourse.hpo.random import Random
from mlcourse.hpo.space import Space
from mlcourse.hpo.tpe import TPE

MISSING = "Optuna is not installed: pip install 'mlcourse[search]'"
optuna = pytest.importorskip("optuna", reason=MISSING)
adapters = pytest.importorskip("mlcourse.hpo.optuna_adapters", reason=MISSING)
HalvingPruner, MethodSampler = adapters.HalvingPruner, adapters.MethodSampler
asked, configuration, distributions = adapters.asked, adapters.configuration, adapters.distributions
rdb_storage, requeue_stale = adapters.rdb_storage, adapters.requeue_stale
TrialState = optuna.trial.TrialState

pytestmark = pytest.mark.filterwarnings("error")

SPACE = {
    "optimizer": ["sgd", "adam", None],
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "momentum": {"low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}},
    "width": (1, 32),
    "batch": {"low": 8, "high": 512, "log": True},
    "nesterov": {"choices": [True, False], "when": {"optimizer": "sgd"}},
    "fixed": (3, 3),
}
METHODS = {
    "random": partial(Random, SPACE, seed=3),
    "grid": partial(Grid, SPACE, 2),
    "latin_hypercube": partial(LatinHypercube, SPACE, 25, seed=3),
    "genetic": partial(Genetic, SPACE, population=6, seed=3),
    "pso": partial(PSO, SPACE, particles=5, seed=3),
    "tpe": partial(TPE, SPACE, startup=5, seed=3),
    "successive_halving": partial(SuccessiveHalving, SPACE, 16, 2, 18, seed=3),
    "hyperband": partial(Hyperband, SPACE, 2, 18, seed=3),
    "bohb": partial(BOHB, SPACE, 2, 18, seed=3),
}


@pytest.fixture(autouse=True)
def _quiet():
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def loss(config: dict) -> float:
    value = (config["width"] - 20) ** 2 / 100 + abs(math.log(config["lr"] / 0.01))
    return value + config.get("momentum", 0.5) + (config["optimizer"] is None)


def value(trial: Trial) -> float:
    return loss(trial.config) + (1 / trial.budget if trial.budget else 0)


def searched(method: Method, trials: int) -> list[Trial]:
    """The trials that one worker asks for without Optuna."""
    done: list[Trial] = []
    while len(done) < trials and (trial := method.ask()) is not None:
        method.tell(trial, value(trial))
        done.append(trial)
    return done


def storage_of(kind: str, folder):
    if kind == "memory":
        return optuna.storages.InMemoryStorage()
    if kind == "database":
        return rdb_storage(f"sqlite:///{folder}/search.db")
    return optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(f"{folder}/search.log")
    )


def study_of(sampler, **settings):
    return optuna.create_study(study_name="s", sampler=sampler, load_if_exists=True, **settings)


class Spy(Random):
    """Random search that can be looked at, and that says what it is told to."""

    made: list["Spy"]

    def _propose(self, number, rng):
        return Trial(number, self.space.sample(rng), budget=3.0, note={"number": number})

    @staticmethod
    def factory(cls=None, space=None, **settings):
        kind = cls or Spy
        kind.made = []

        def make():
            kind.made.append(kind(space or {"x": (0.0, 1.0)}, **settings))
            return kind.made[-1]

        return make


# The space


def test_distributions_are_the_space_s_ranges():
    assert distributions(SPACE) == {
        "optimizer": optuna.distributions.CategoricalDistribution(["sgd", "adam", None]),
        "lr": optuna.distributions.FloatDistribution(1e-4, 1.0, log=True),
        "momentum": optuna.distributions.FloatDistribution(0.0, 0.99),
        "width": optuna.distributions.IntDistribution(1, 32),
        "batch": optuna.distributions.IntDistribution(8, 512, log=True),
        "nesterov": optuna.distributions.CategoricalDistribution([True, False]),
        "fixed": optuna.distributions.IntDistribution(3, 3),
    }


@pytest.mark.parametrize(("choices", "other"), [([1, True], "1"), ([0.0, "a", False], "0.0")])
def test_choices_that_optuna_cannot_tell_apart_are_refused(choices, other):
    message = f"^a has the choice {choices[-1]}, which Optuna takes for {other}: write them as text"
    with pytest.raises(ValueError, match=message):
        distributions({"a": choices})
    with pytest.raises(ValueError, match=message):
        configuration(study_of(optuna.samplers.RandomSampler()).ask(), {"a": choices})


def test_a_configuration_can_be_had_from_any_sampler():
    study = study_of(optuna.samplers.RandomSampler(seed=0))
    for _ in range(30):
        trial = study.ask()
        config = configuration(trial, SPACE)
        Space(SPACE).check(config)
        assert config == trial.params
        assert trial.distributions == {k: distributions(SPACE)[k] for k in config}
    assert len({config.params["optimizer"] for config in study.trials}) == 3
    given = {"optimizer": None, "lr": 0.1, "width": 2, "batch": 9, "fixed": 3}
    assert configuration(optuna.trial.FixedTrial(given), SPACE) == given


# The same trials as ask and tell


@pytest.mark.parametrize("name", METHODS)
def test_a_study_asks_for_the_trials_that_ask_and_tell_give(name):
    expected = searched(METHODS[name](), 30)
    study = study_of(MethodSampler(METHODS[name]))
    taken = []

    def objective(trial):
        taken.append(asked(trial, SPACE))
        return value(taken[-1])

    study.optimize(objective, n_trials=30)
    assert taken == expected
    assert [trial.params for trial in study.trials] == [trial.config for trial in expected]
    assert study.best_value == min(value(trial) for trial in expected)


@pytest.mark.parametrize("name", ["genetic", "pso"])
def test_to_maximise_is_to_minimise_the_negative(name):
    study = study_of(MethodSampler(METHODS[name]), direction="maximize")
    study.optimize(lambda trial: -loss(configuration(trial, SPACE)), n_trials=25)
    expected = searched(METHODS[name](), 25)
    assert [trial.params for trial in study.trials] == [trial.config for trial in expected]


@pytest.mark.parametrize(
    ("kind", "name"), [("database", "pso"), *(("journal", m) for m in METHODS)]
)
def test_another_process_continues_a_stored_search(kind, name, tmp_path):
    """A new storage, study and sampler see the same state, notes included, as the first did."""
    for _ in range(2):
        study = study_of(MethodSampler(METHODS[name]), storage=storage_of(kind, tmp_path))
        study.optimize(lambda trial: value(asked(trial, SPACE)), n_trials=8)
    expected = searched(METHODS[name](), 16)
    assert [trial.params for trial in study.trials] == [trial.config for trial in expected]


def test_ask_and_tell_of_optuna_work_too():
    study = study_of(MethodSampler(METHODS["latin_hypercube"]))
    trials = [study.ask() for _ in range(25)]
    configs = [configuration(trial, SPACE) for trial in trials]
    assert configs == [trial.config for trial in searched(METHODS["latin_hypercube"](), 25)]
    for trial, config in zip(trials, configs, strict=True):
        study.tell(trial, loss(config))


def test_parameters_may_be_suggested_by_hand_in_any_order():
    study = study_of(MethodSampler(partial(Random, {"a": (1, 9), "b": (0.0, 1.0)})))

    def objective(trial):
        return trial.suggest_float("b", 0.0, 1.0) + trial.suggest_int("a", 1, 9)

    study.optimize(objective, n_trials=3)
    other = Random({"a": (1, 9), "b": (0.0, 1.0)})
    assert [trial.params for trial in study.trials] == [other.ask().config for _ in range(3)]


# What a method learns


def test_a_method_learns_values_failures_and_what_was_pruned():
    study = study_of(MethodSampler(Spy.factory()))

    def objective(trial):
        configuration(trial, Spy.made[0].space)
        if trial.number == 1:
            raise RuntimeError
        if trial.number in (2, 3):
            if trial.number == 3:
                trial.report(9.0, 1)
                trial.report(7.0, 2)
            raise optuna.TrialPruned
        return math.nan if trial.number == 4 else math.inf if trial.number == 5 else 0.5

    study.optimize(objective, n_trials=7, catch=(RuntimeError,))
    values = {result.trial.number: result.value for result in Spy.made[-1].results}
    assert values == {0: 0.5, 1: math.inf, 2: math.inf, 3: 7.0, 4: math.inf, 5: math.inf, 6: 0.5}
    assert all(r.trial.note == {"number": r.trial.number} for r in Spy.made[-1].results)
    assert not Spy.made[-1].pending


def test_trials_under_way_are_known():
    study = study_of(MethodSampler(Spy.factory()))
    first, second = study.ask(), study.ask()
    assert set(Spy.made[-1].pending) == {first.number, second.number} == {0, 1}
    study.tell(second, 1.0)
    assert set(Spy.made[-1].pending) == {0}
    assert asked(first, {"x": (0.0, 1.0)}).budget == 3.0


def test_enqueued_and_added_trials_are_learnt_from_when_they_belong_to_the_space():
    space = {"x": (0.0, 1.0), "y": (0.0, 1.0)}
    study = study_of(MethodSampler(Spy.factory(space=space)))
    study.enqueue_trial({"x": 0.25, "y": 0.5})
    study.enqueue_trial({"x": 0.25})
    study.enqueue_trial({"x": 2.0, "y": 0.5})
    taken = []

    def objective(trial):
        taken.append(asked(trial, space))
        return taken[-1].config["x"]

    with warnings.catch_warnings():
        # From Optuna, that x = 2 is out of range.
        warnings.simplefilter("ignore")
        study.optimize(objective, n_trials=4)
    line = {"x": optuna.distributions.FloatDistribution(0.0, 1.0)}
    study.add_trial(optuna.trial.create_trial(params={"x": 0.5}, distributions=line, value=1.0))
    square = line | {"y": optuna.distributions.FloatDistribution(0.0, 1.0)}
    study.add_trial(
        optuna.trial.create_trial(params={"x": 0.5, "y": 0.0}, distributions=square, value=2.0)
    )
    study.ask()
    known = {result.trial.number: result for result in Spy.made[-1].results}
    assert [trial.config["x"] for trial in taken[:3]] == [0.25, 0.25, 2.0]
    assert 0 <= taken[1].config["y"] <= 1
    assert taken[0] == Trial(0, {"x": 0.25, "y": 0.5})
    assert taken[3].note == {"number": 3}
    assert {number: result.value for number, result in known.items()} == {
        0: 0.25,
        1: 0.25,
        3: taken[3].config["x"],
        5: 2.0,
    }
    assert known[1].trial == taken[1]


class Waiting(Spy):
    """One trial, then none before it has a value, then no more."""

    made: list["Waiting"]

    @property
    def finished(self):
        return bool(self._own())

    def _own(self):
        return [r for r in self.results if "number" in r.trial.note]

    def _propose(self, number, rng):
        started = any("number" in trial.note for trial in self.pending.values())
        return None if started or self.finished else super()._propose(number, rng)


def test_a_method_with_nothing_to_ask_gets_a_random_trial_on_the_smallest_budget():
    study = study_of(MethodSampler(Spy.factory(Waiting), patience=0.0))
    first, second = study.ask(), study.ask()
    filler = asked(second, {"x": (0.0, 1.0)})
    assert (filler.number, filler.budget, filler.parent) == (1, 3.0, None)
    assert filler.note == {"filler": True}
    study.tell(second, 0.1)
    assert [result.trial for result in Waiting.made[-1].results] == [filler]
    study.tell(first, 0.2)
    assert Waiting.made[-1].finished


def test_a_study_stops_when_the_method_is_finished_and_nothing_is_under_way():
    study = study_of(MethodSampler(Spy.factory(Waiting), patience=0.0))
    first = study.ask()
    study.optimize(lambda trial: configuration(trial, {"x": (0.0, 1.0)})["x"], n_trials=5)
    assert len(study.trials) == 6
    study.tell(first, 0.5)
    study.optimize(lambda trial: configuration(trial, {"x": (0.0, 1.0)})["x"])
    assert len(study.trials) == 7


def test_a_study_goes_on_while_another_worker_has_one_of_the_method_s_trials():
    study = study_of(MethodSampler(partial(Grid, {"x": (1, 2)}, 2), patience=0.0))
    first = study.ask()
    study.optimize(lambda trial: configuration(trial, {"x": (1, 2)})["x"], n_trials=3)
    study.tell(first, state=TrialState.FAIL)
    study.optimize(lambda trial: configuration(trial, {"x": (1, 2)})["x"])
    assert [trial.state.name for trial in study.trials] == ["FAIL"] + ["COMPLETE"] * 4


def test_a_random_trial_of_another_worker_keeps_no_study_going():
    study = study_of(MethodSampler(partial(Grid, {"x": (1, 2)}, 2), patience=0.0))
    trials = [study.ask() for _ in range(3)]
    for trial in trials[:2]:
        study.tell(trial, 1.0)
    study.optimize(lambda trial: configuration(trial, {"x": (1, 2)})["x"], n_trials=3)
    assert len(study.trials) == 4


def test_a_grid_ends_by_itself():
    study = study_of(
        MethodSampler(
            partial(Grid, SPACE, {"lr": 2, "momentum": 2, "width": 1, "batch": 1, "fixed": 1})
        )
    )
    study.optimize(lambda trial: loss(configuration(trial, SPACE)))
    assert len(study.trials) == 2 * (2 * 2 + 2)


def test_threads_ask_in_turn_so_none_of_a_grid_is_tried_twice():
    factory = partial(Grid, {"a": (1, 6), "b": (1, 5)}, 6)
    study = study_of(MethodSampler(factory, patience=5.0))

    def objective(trial):
        config = configuration(trial, {"a": (1, 6), "b": (1, 5)})
        time.sleep(0.001)
        return config["a"] + config["b"]

    study.optimize(objective, n_trials=30, n_jobs=6)
    assert Counter(tuple(trial.params.values()) for trial in study.trials) == Counter(
        (a, b) for a in range(1, 7) for b in range(1, 6)
    )


class Slots(Random):
    """A swarm without its movements: three slots, each with one trial at a time."""

    def _propose(self, number, rng):
        taken = {trial.note.get("slot") for trial in self.pending.values()}
        free = [slot for slot in range(3) if slot not in taken]
        return Trial(number, self.space.sample(rng), note={"slot": free[0]}) if free else None


def test_threads_wait_for_values_so_no_slot_is_given_twice():
    study = study_of(MethodSampler(partial(Slots, SPACE), patience=5.0))
    inside, most = Counter(), Counter()

    def objective(trial):
        ours = asked(trial, SPACE)
        slot = ours.note["slot"]
        inside[slot] += 1
        most[slot] = max(most[slot], inside[slot])
        time.sleep(0.002)
        inside[slot] -= 1
        return loss(ours.config)

    study.optimize(objective, n_trials=20, n_jobs=5)
    assert most == {0: 1, 1: 1, 2: 1}


def test_a_worker_that_died_before_it_asked_stops_nobody():
    study = study_of(MethodSampler(METHODS["grid"], patience=0.1))
    study._storage.create_new_trial(study._study_id)
    grid = [trial.config for trial in searched(METHODS["grid"](), 2)]
    assert configuration(study.ask(), SPACE) == grid[1]


def test_nobody_waits_for_trials_that_will_not_be_asked_for(monkeypatch):
    study = study_of(MethodSampler(METHODS["grid"]))
    failed = study._storage.create_new_trial(study._study_id)
    study._storage.set_trial_state_values(failed, TrialState.FAIL)
    study.add_trial(optuna.trial.create_trial(state=TrialState.WAITING, params={}))
    study.add_trial(optuna.trial.create_trial(state=TrialState.WAITING, params={}))
    monkeypatch.setattr(adapters.time, "sleep", lambda seconds: pytest.fail("it waits"))
    assert [study.ask().number for _ in range(3)] == [1, 2, 3]


# Wrong use


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MethodSampler(Random(SPACE)), "the factory is <.*Random.*>: give a function that"),
        (lambda: MethodSampler(dict), "the factory is <class 'dict'>: give a function"),
        (
            lambda: MethodSampler(METHODS["pso"], -1.0),
            "patience is -1.0: give a finite number, 0 or more",
        ),
        (lambda: MethodSampler(METHODS["pso"], math.nan), "patience is nan"),
        (lambda: HalvingPruner(0, 9), "min_budget is 0: give a finite number above 0"),
        (lambda: HalvingPruner(9, 3), "budgets run from 9 to 3: give the smaller one first"),
        (lambda: HalvingPruner(1, 9, 1), "eta is 1: give a finite number above 1"),
        (lambda: HalvingPruner(1, 9, brackets=4), "brackets is 4: these budgets allow at most 3"),
        (lambda: HalvingPruner(1, 9, brackets=0), "brackets is 0: give an integer, 1 or more"),
        (lambda: rdb_storage("sqlite://", 0), "heartbeat is 0: give an integer, 1 or more"),
        (lambda: rdb_storage("sqlite://", retries=-1), "retries is -1: give an integer, 0 or more"),
        (lambda: requeue_stale(optuna.create_study(), 0), "seconds is 0: give a finite number"),
        (lambda: requeue_stale(optuna.create_study(), 9, -1), "retries is -1"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def test_a_study_of_two_values_is_refused():
    study = study_of(MethodSampler(METHODS["random"]), directions=["minimize", "maximize"])
    message = "^the study has 2 directions: a method minimises one value"
    with pytest.raises(ValueError, match=message):
        study.ask()


@pytest.mark.parametrize(
    "suggest",
    [
        lambda trial: trial.suggest_float("y", 0.0, 1.0),
        lambda trial: trial.suggest_float("x", 5.0, 6.0),
    ],
)
def test_suggesting_what_the_space_lacks_is_refused(suggest):
    study = study_of(MethodSampler(partial(Random, {"x": (0.0, 1.0)})))
    with pytest.raises(ValueError, match=r"^trial 0 is {'x': 0\.\d+}, without [xy] in Float.*: "):
        study.optimize(suggest, n_trials=1)


def test_without_optuna_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "mlcourse.hpo.optuna_adapters")
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"^Optuna is not installed: pip install 'mlcourse\["):
        importlib.import_module("mlcourse.hpo.optuna_adapters")


# The pruner


def curves(pruner, values: np.ndarray, direction="minimize") -> list[int]:
    """Train one configuration after the other, a row of values each; return where each stops."""
    study = study_of(optuna.samplers.RandomSampler(seed=0), pruner=pruner, direction=direction)
    stops = []
    for row in values:
        trial = study.ask()
        for step, value in enumerate(row, start=1):
            trial.report(value, step)
            if trial.should_prune():
                study.tell(trial, state=TrialState.PRUNED)
                break
        else:
            study.tell(trial, row[-1])
        stops.append(step)
    return stops


@pytest.mark.parametrize("eta", [2, 3, 4])
@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_one_bracket_decides_as_optuna_s_own_pruner_of_successive_halving(eta, direction):
    largest = 2 * eta**2
    values = np.random.default_rng(eta).normal(size=(60, largest)).round(1)
    expected = curves(optuna.pruners.SuccessiveHalvingPruner(2, eta), values, direction)
    assert curves(HalvingPruner(2, largest, eta), values, direction) == expected
    assert set(expected) == {2, 2 * eta, largest}


def test_rungs_are_the_budgets_of_synchronous_halving_but_for_the_largest():
    assert HalvingPruner(1, 27, 3).rungs == [1, 3, 9]
    assert HalvingPruner(10, 40, 3).rungs == [40 / 3]
    assert HalvingPruner(5, 5).rungs == []


def test_the_first_goes_on_and_others_must_be_among_the_best_share():
    # n // 3 is 0, 0, 1, 1, 1, 2: the first goes on; then one that is the best; at last two may.
    values = np.array([5.0, 6.0, 4.0, 4.5, 3.0, 3.5, math.nan, 4.0])[:, None].repeat(3, axis=1)
    assert curves(HalvingPruner(1, 3), values) == [3, 1, 3, 1, 3, 3, 1, 1]


def test_equal_values_all_go_on():
    assert curves(HalvingPruner(1, 9), np.ones((8, 9))) == [9] * 8


def test_a_rung_between_two_reports_is_judged_at_the_second_and_only_once():
    study = study_of(optuna.samplers.RandomSampler(seed=0), pruner=HalvingPruner(3, 100))
    for first, second, pruned in ((1.0, 9.0, False), (2.0, 0.0, True), (0.5, 8.0, False)):
        trial = study.ask()
        trial.report(-1.0, 2)
        assert not trial.should_prune()
        trial.report(first, 5)
        assert trial.should_prune() == pruned
        trial.report(second, 6)
        assert not trial.should_prune()


def test_failed_trials_are_no_rivals():
    study = study_of(optuna.samplers.RandomSampler(seed=0), pruner=HalvingPruner(1, 9))
    failed = study.ask()
    failed.report(0.0, 1)
    study.tell(failed, state=TrialState.FAIL)
    trial = study.ask()
    trial.report(5.0, 1)
    assert not trial.should_prune()


def test_a_trial_without_reports_goes_on():
    study = study_of(optuna.samplers.RandomSampler(seed=0), pruner=HalvingPruner(1, 9))
    assert not study.ask().should_prune()


def test_brackets_are_dealt_evenly_in_hyperband_s_proportions():
    pruner = HalvingPruner(1, 81, 3, brackets=5)
    shares = np.array([81, 34, 15, 8, 5])
    for start in (0, 1000):
        count = Counter(pruner.bracket(number) for number in range(start, start + shares.sum()))
        assert np.abs(np.array([count[b] for b in range(5)]) - shares).max() <= 2
    assert {HalvingPruner(1, 81).bracket(number) for number in range(100)} == {0}


def test_brackets_lack_their_first_rungs_and_keep_to_themselves():
    pruner = HalvingPruner(1, 9, 3, brackets=3)
    brackets = [pruner.bracket(number) for number in range(60)]
    # Each trial is worse than all before it, so it stops at its first rung, but for the first.
    values = np.arange(60.0)[:, None].repeat(9, axis=1)
    firsts = [brackets.index(b) for b in range(3)]
    expected = [9 if i in firsts else (1, 3, 9)[b] for i, b in enumerate(brackets)]
    assert curves(pruner, values) == expected


# Storages and killed workers


def test_a_database_storage_retries_and_says_nothing(tmp_path):
    storage = rdb_storage(f"sqlite:///{tmp_path}/search.db", heartbeat=7, retries=2)
    assert storage.get_heartbeat_interval() == 7
    study = study_of(MethodSampler(METHODS["random"]), storage=storage)
    study.optimize(lambda trial: loss(configuration(trial, SPACE)), n_trials=2)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 2


def test_a_transaction_in_sqlite_has_the_write_lock_from_its_first_statement(tmp_path):
    storage = rdb_storage(f"sqlite:///{tmp_path}/search.db")
    other = sqlite3.connect(tmp_path / "search.db", timeout=0)
    with storage.engine.begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.execute("BEGIN IMMEDIATE")
    other.close()


@pytest.mark.parametrize("kind", ["memory", "journal", "database"])
def test_stale_trials_are_queued_again_with_their_first_number(kind, tmp_path):
    with warnings.catch_warnings():
        # From Optuna: ask and tell send no heartbeat.
        warnings.filterwarnings("ignore", "Heartbeat of storage")
        study = study_of(MethodSampler(METHODS["pso"]), storage=storage_of(kind, tmp_path))
        lost, slow, told = study.ask(), study.ask(), study.ask()
        config = configuration(lost, SPACE)
        slow.suggest_categorical("optimizer", ["sgd", "adam", None])
        study.tell(told, 1.0)
        assert requeue_stale(study, 60) == []
        time.sleep(0.01)
        assert requeue_stale(study, 0.005) == [0, 1]
        assert requeue_stale(study, 0.005) == []
        states = [trial.state.name for trial in study.trials]
        assert states == ["FAIL", "FAIL", "COMPLETE", "WAITING", "WAITING"]
        again = [asked(study.ask(), SPACE) for _ in range(2)]
        new = asked(study.ask(), SPACE)
    method = METHODS["pso"]()
    assert again == [method.ask(), method.ask()]
    assert again[0].config == config
    assert new.number == 5


def test_a_trial_is_queued_again_only_so_often(tmp_path):
    study = study_of(MethodSampler(Spy.factory()), storage=storage_of("journal", tmp_path))
    for _ in range(3):
        study.ask()
        time.sleep(0.002)
        requeue_stale(study, 0.001, retries=2)
    assert [trial.state.name for trial in study.trials] == ["FAIL"] * 3
    histories = [trial.system_attrs.get("retry_history") for trial in study.trials]
    assert histories == [None, [0], [0, 1]]
    study.ask()
    assert [(r.trial.number, r.value) for r in Spy.made[-1].results] == [(0, math.inf)]


KILLS = {"a": (1, 4), "b": (1, 4)}


def work(kind: str, folder: str, hangs: bool) -> None:
    """What each of the worker processes does; the others do two trials, wait for the one that
    hangs in its first, and do the rest.
    """
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.simplefilter("error")
    if kind == "database":
        storage, seconds = rdb_storage(f"sqlite:///{folder}/search.db", heartbeat=3), 60
    else:
        storage, seconds = storage_of(kind, folder), 8
    study = study_of(MethodSampler(partial(Grid, KILLS, 4), patience=0.3), storage=storage)
    flag = Path(folder, "hangs")

    def objective(trial):
        ours = asked(trial, KILLS)
        trial.set_user_attr("number", ours.number)
        trial.set_user_attr("filler", "filler" in ours.note)
        time.sleep(0.1)
        if hangs:
            # Long enough for a first heartbeat.
            time.sleep(1)
            flag.write_text(str(trial.number))
            time.sleep(600)
        return float(ours.config["a"] * ours.config["b"])

    study.optimize(objective, n_trials=2)
    while not flag.exists():
        time.sleep(0.02)
    study.optimize(objective, callbacks=[lambda study, trial: requeue_stale(study, seconds)])


def kill_in_the_middle(folder, victim) -> int:
    """Kill the worker that hangs; return the number of its trial."""
    while victim.is_alive() and not (folder / "hangs").exists():
        time.sleep(0.02)
    os.kill(victim.pid, signal.SIGKILL)
    victim.join()
    return int((folder / "hangs").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["database", "journal"])
def test_three_workers_lose_no_trial_when_one_is_killed(kind, tmp_path):
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=work, args=(kind, str(tmp_path), i == 1)) for i in range(3)]
    for worker in workers:
        worker.start()
    killed = kill_in_the_middle(tmp_path, workers[1])
    for worker in workers:
        worker.join(200)
    assert [worker.exitcode for worker in workers] == [0, -signal.SIGKILL, 0]
    # The grid is whole, each configuration evaluated once.
    study = study_of(None, storage=storage_of(kind, tmp_path))
    grid = [trial for trial in study.trials if not trial.user_attrs["filler"]]
    done = [trial for trial in grid if trial.state == TrialState.COMPLETE]
    every = sorted((a, b) for a in range(1, 5) for b in range(1, 5))
    assert sorted((trial.params["a"], trial.params["b"]) for trial in done) == every
    # The killed worker's trial failed and was evaluated again; nothing is left.
    states = Counter(trial.state for trial in study.trials)
    assert set(states) == {TrialState.COMPLETE, TrialState.FAIL}
    assert states[TrialState.FAIL] == 1
    failed = study.trials[killed]
    assert failed.state == TrialState.FAIL
    again = [trial for trial in done if trial.user_attrs["number"] == killed]
    assert [trial.params for trial in again] == [failed.params]
    assert again[0].number > killed
