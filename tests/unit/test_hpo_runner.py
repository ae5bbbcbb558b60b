"""The runner evaluates what it should, in processes or not, and continues after any stop."""

import json
import math
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter

import numpy as np
import pytest
import torch

from mlcourse.hpo.bohb import BOHB
from mlcourse.hpo.history import Outcome, SearchHistory
from mlcourse.hpo.hyperband import Hyperband
from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.random import Random
from mlcourse.hpo.runner import run

SPACE = {"x": (0.0, 1.0), "n": (1, 5)}


def loss(trial: Trial) -> float:
    return (trial.config["x"] - 0.3) ** 2 + trial.config["n"]


class Climb(Method):
    """Step from the best place told so far: each trial depends on every value before it."""

    def _propose(self, number, rng):
        if not self.results:
            return Trial(number, self.space.sample(rng))
        place = self.space.encode(self.best.trial.config) + rng.normal(size=2) / 10
        return Trial(number, self.space.decode(place), note={"from": self.best.trial.number})


class Ladder(Method):
    """A method with an end: `rungs` rounds, each of two trials with twice the budget before."""

    def __init__(self, space, rungs=3, seed=0):
        super().__init__(space, seed)
        self.rungs = rungs

    @property
    def finished(self):
        return len(self._seen) == 2 * self.rungs

    def _propose(self, number, rng):
        rung = number // 2
        if self.finished or len(self.results) < 2 * rung:
            return None
        return Trial(number, self.space.sample(rng), budget=2.0**rung, parent=number - 2)


def rows(history: SearchHistory) -> dict:
    return {name: column for name, column in history.items() if name != "seconds"}


def same(one: SearchHistory, other: SearchHistory) -> None:
    # repr, because nan is not equal to itself.
    assert repr(rows(one)) == repr(rows(other))


def in_order(history: SearchHistory) -> list[tuple[int, float]]:
    return sorted(zip(history["number"], history["value"], strict=True))


# What is evaluated, and when it ends


def test_it_asks_evaluates_and_tells_and_says_what_happened():
    method, by_hand = Climb(SPACE, seed=3), Climb(SPACE, seed=3)
    history = run(method, loss, trials=8)
    for _ in range(8):
        trial = by_hand.ask()
        by_hand.tell(trial, loss(trial))
    assert method.results == by_hand.results
    assert history["number"] == list(range(8))
    assert history["config"] == [result.trial.config for result in by_hand.results]
    assert history["value"] == [result.value for result in by_hand.results]
    assert history["error"] == [None] * 8
    assert all(math.isnan(budget) for budget in history["budget"] + history["epochs"])
    assert history.best["value"] == by_hand.best.value
    assert history.trials == 8


def test_seconds_are_those_of_the_objective():
    history = run(Random(SPACE), lambda trial: time.sleep(0.05 * (trial.number == 1)) or 0, 2)
    assert history["seconds"][1] >= 0.05
    assert history["seconds"][0] > 0


def test_a_method_with_an_end_needs_no_limit():
    history = run(Ladder(SPACE), loss)
    assert history["budget"] == [1, 1, 2, 2, 4, 4]
    assert history["epochs"] == [1, 2, 4, 6, 10, 14]


@pytest.mark.parametrize(
    ("epochs", "spent", "jobs"),
    [
        *((14, 14, 1), (13.9, 10, 1), (9, 6, 1), (1, 1, 1), (6.5, 6, 1), (99, 14, 1)),
        pytest.param(9, 6, 2, marks=pytest.mark.slow),
    ],
)
def test_no_trial_is_started_that_would_go_over_the_epochs(epochs, spent, jobs):
    history = run(Ladder(SPACE), loss, epochs=epochs, jobs=jobs)
    assert history["epochs"][-1] == spent


def test_thirds_of_epochs_add_up():
    class Thirds(Random):
        def _propose(self, number, rng):
            return Trial(number, self.space.sample(rng), budget=40 / 3)

    assert run(Thirds(SPACE), loss, epochs=4000).trials == 300


def test_the_first_limit_counts():
    assert run(Ladder(SPACE), loss, trials=3, epochs=99).trials == 3
    assert run(Ladder(SPACE), loss, trials=99, epochs=4).trials == 3


def test_without_a_journal_a_method_goes_on_from_its_trials():
    whole = run(Climb(SPACE), loss, trials=9)
    method = Climb(SPACE)
    method.tell(method.ask(), whole["value"][0])
    method.ask()
    run(method, loss, trials=5)
    same(run(method, loss, trials=9), whole)


def test_a_trial_left_out_for_its_budget_is_the_next_one_with_more_epochs():
    method = Ladder(SPACE)
    run(method, loss, epochs=9)
    same(run(method, loss), run(Ladder(SPACE), loss))


# Failures


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_what_fails_is_infinite_says_why_and_the_search_goes_on(jobs):
    def objective(trial):
        if trial.number == 1:
            raise RuntimeError("out of\n  luck")
        if trial.number == 2:
            return None
        if trial.number == 3:
            return torch.zeros(2)
        return {4: math.nan, 5: math.inf, 6: -math.inf, 7: True, 8: "0.5", 9: (0.5, "x" * 99)}.get(
            trial.number, torch.tensor(0.5, dtype=torch.float64, requires_grad=True)
        )

    history = run(Random(SPACE), objective, trials=11, jobs=jobs)
    values = [0.5, *[math.inf] * 5, -math.inf, *[math.inf] * 3, 0.5]
    assert in_order(history) == list(enumerate(values))
    errors = dict(zip(history["number"], history["error"], strict=True))
    assert errors[1] == "RuntimeError: out of luck"
    assert errors[2] == "ValueError: the objective returned None: return a number"
    assert errors[3] == "ValueError: the objective returned tensor([0., 0.]): return a number"
    assert errors[7] == "ValueError: the objective returned True: return a number"
    assert errors[8] == "ValueError: the objective returned '0.5': return a number"
    assert errors[9] == "ValueError: the objective returned (0.5, ...: return a number"
    assert {errors[number] for number in (0, 4, 5, 6, 10)} == {None}


def test_an_objective_may_change_its_configuration():
    def objective(trial):
        trial.config["n"] = "changed"
        trial.config["epochs"] = 5
        return 0.5

    method = Climb(SPACE)
    assert run(method, objective, trials=4)["error"] == [None] * 4
    for result in method.results:
        method.space.check(result.trial.config)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_the_same_failure_three_times_from_the_start_is_a_mistake(jobs, tmp_path):
    def broken(trial):
        return trial.config["learning_rate"]

    with pytest.raises(ValueError, match=r"^the first 3 trials failed with .KeyError:") as caught:
        run(Random(SPACE), broken, trials=9, jobs=jobs, journal=tmp_path / "j")
    assert str(caught.value).endswith("'learning_rate'\": correct the objective")
    assert 'return trial.config["learning_rate"]' in caught.value.__notes__[0]
    # The corrected objective begins anew.
    again = run(Random(SPACE), loss, trials=4, journal=tmp_path / "j")
    same(again, run(Random(SPACE), loss, trials=4))


def test_fewer_trials_than_three_that_all_fail_are_a_mistake_too():
    with pytest.raises(ValueError, match=r"^the only trial failed with 'ZeroDivisionError: "):
        run(Random(SPACE), lambda trial: 1 / 0, trials=1)
    with pytest.raises(ValueError, match=r"^the first 2 trials failed"):
        run(Random(SPACE), lambda trial: 1 / 0, trials=2)


def test_failures_that_differ_or_come_later_are_no_mistake():
    def differs(trial):
        raise ValueError(f"trial {trial.number}")

    def later(trial):
        return 1 / (trial.number == 0)

    assert run(Random(SPACE), differs, trials=5)["value"] == [math.inf] * 5
    assert run(Random(SPACE), later, trials=5)["value"] == [1.0, *[math.inf] * 4]
    assert run(Random(SPACE), lambda trial: math.nan, trials=5)["error"] == [None] * 5


@pytest.mark.slow
def test_a_process_that_dies_costs_its_trial_one_try_and_then_its_value(tmp_path):
    def objective(trial):
        with open(tmp_path / f"trial {trial.number}", "a") as file:
            file.write("x")
        tries = os.path.getsize(tmp_path / f"trial {trial.number}")
        if trial.number == 2 or (trial.number == 4 and tries == 1):
            os.kill(os.getpid(), signal.SIGKILL)
        if trial.number == 6:
            sys.exit(1)
        return float(trial.number)

    history = run(Random(SPACE), objective, trials=8, jobs=2)
    values = [0, 1, math.inf, 3, 4, 5, math.inf, 7]
    assert in_order(history) == list(enumerate(values))
    tries = [os.path.getsize(tmp_path / f"trial {number}") for number in range(8)]
    assert tries == [1, 1, 2, 1, 2, 1, 2, 1]
    errors = dict(zip(history["number"], history["error"], strict=True))
    assert errors[2] == errors[6]
    assert errors[2].startswith("the process that evaluated it ended twice without a value: ")


# Processes


class _Counted:
    """An objective that counts how often it came to this process."""

    arrivals = 0

    def __reduce__(self):
        return _arrive, ()

    def __call__(self, trial):
        time.sleep(0.2)
        return os.getpid() * 1000 + torch.get_num_threads() * 10 + self.arrivals


def _arrive():
    _Counted.arrivals += 1
    return _Counted()


@pytest.mark.slow
def test_so_many_processes_work_with_one_thread_each_and_get_the_objective_once():
    history = run(Random(SPACE), _Counted(), trials=6, jobs=2)
    processes = {value // 1000 for value in history["value"]}
    assert len(processes) == 2
    assert os.getpid() not in processes
    assert {value % 1000 for value in history["value"]} == {11}


@pytest.mark.slow
def test_processes_give_the_values_of_one_job_and_wait_where_the_method_waits():
    one, two = Random(SPACE), Random(SPACE)
    run(one, loss, trials=6)
    run(two, loss, trials=6, jobs=2)
    assert sorted(one.results, key=str) == sorted(two.results, key=str)
    history = run(Ladder(SPACE), loss, jobs=3)
    assert history["budget"] == [1, 1, 2, 2, 4, 4]


def test_an_objective_that_cannot_be_sent_is_refused():
    lock = threading.Lock()
    with pytest.raises(
        ValueError, match=r"^the objective cannot be sent to other processes .*lock"
    ):
        run(Random(SPACE), lambda trial: lock.locked(), trials=3, jobs=2)


def _refuse():
    raise ImportError("no module named elsewhere")


class _Unloadable:
    def __reduce__(self):
        return _refuse, ()

    def __call__(self, trial):
        return 0.0


@pytest.mark.slow
def test_an_objective_that_cannot_be_loaded_is_refused():
    with pytest.raises(
        ValueError, match=r"cannot be loaded in another process \(no module named e"
    ):
        run(Random(SPACE), _Unloadable(), trials=3, jobs=2)


# Limits and settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "Random never ends by itself: give trials or epochs"),
        ({"trials": 0}, "trials is 0: give an integer, 1 or more"),
        ({"trials": 2.5}, "trials is 2.5"),
        ({"trials": True}, "trials is True"),
        ({"trials": 3, "jobs": 0}, "jobs is 0: give an integer, 1 or more"),
        ({"epochs": 0}, "epochs is 0: give a finite number above 0"),
        ({"epochs": math.inf}, "epochs is inf"),
        ({"epochs": math.nan}, "epochs is nan"),
        ({"epochs": "5"}, "epochs is '5'"),
        ({"epochs": 5}, "trial 0 has no budget, so epochs cannot be counted: limit trials"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        run(Random(SPACE), loss, **settings)


@pytest.mark.parametrize("method", [Hyperband, BOHB])
def test_brackets_without_end_need_a_limit(method):
    with pytest.raises(ValueError, match=rf"^{method.__name__} never ends by itself: give trials"):
        run(method(SPACE, 1, 9), until(50, []))


@pytest.mark.parametrize("method", [Random, SPACE, None])
def test_what_is_no_method_is_refused(method):
    with pytest.raises(ValueError, match=r"^the method is .*: make one first, such as Random\(sp"):
        run(method, loss, trials=3)


def test_a_method_that_waits_for_nothing_is_refused():
    class Silent(Method):
        def _propose(self, number, rng):
            return None

    with pytest.raises(ValueError, match=r"^Silent asks for no trial although none is under way"):
        run(Silent(SPACE), loss, trials=3)


# Stopped and continued


class Stop(BaseException):
    """What no objective's failure is: Ctrl-C, or the end of the process."""


def until(evaluations: int, seen: list[int]):
    def objective(trial):
        seen.append(trial.number)
        if len(seen) == evaluations:
            raise Stop
        return loss(trial)

    return objective


@pytest.mark.parametrize("method", [Climb, Ladder])
@pytest.mark.parametrize("stop", range(1, 7))
def test_a_search_that_was_stopped_goes_on_as_if_it_had_not(method, stop, tmp_path):
    unbroken = run(method(SPACE), loss, trials=6)
    seen: list[int] = []
    with pytest.raises(Stop):
        run(method(SPACE), until(stop, seen), trials=6, journal=tmp_path / "j")
    history = run(method(SPACE), until(0, seen), trials=6, journal=tmp_path / "j")
    same(history, unbroken)
    assert seen == [*range(stop), *range(stop - 1, 6)]
    # Seconds, too, are those that were measured.
    again = run(method(SPACE), until(0, seen), trials=6, journal=tmp_path / "j")
    assert repr(again) == repr(history)
    assert len(seen) == 7


def test_a_finished_search_goes_on_when_the_limit_is_raised(tmp_path):
    run(Climb(SPACE), loss, trials=4, journal=tmp_path / "j")
    history = run(Climb(SPACE), loss, trials=7, journal=tmp_path / "j")
    same(history, run(Climb(SPACE), loss, trials=7))
    same(run(Climb(SPACE), loss, trials=5, journal=tmp_path / "j"), history)
    run(Ladder(SPACE), loss, epochs=9, journal=tmp_path / "k")
    same(run(Ladder(SPACE), loss, journal=tmp_path / "k"), run(Ladder(SPACE), loss))


def test_errors_are_remembered(tmp_path):
    def objective(trial):
        return 1 / trial.number

    history = run(Random(SPACE), objective, trials=4, journal=tmp_path / "j")
    assert history["error"] == ["ZeroDivisionError: division by zero", None, None, None]
    again = run(Random(SPACE), objective, trials=4, journal=tmp_path / "j")
    assert repr(again) == repr(history)


def test_a_journal_goes_with_a_new_method(tmp_path):
    method = Random(SPACE)
    run(method, loss, trials=2, journal=tmp_path / "j")
    with pytest.raises(ValueError, match=r"^the method has trials already: give a new one, which"):
        run(method, loss, trials=4, journal=tmp_path / "j")
    with pytest.raises(ValueError, match=r"^the journal .* with the seed 0 and not 1"):
        run(Random(SPACE, seed=1), loss, trials=4, journal=tmp_path / "j")


KILLED = """
    import os, signal, sys, time
    from mlcourse.hpo.random import Random
    from mlcourse.hpo.runner import run

    class Sums(Random):
        '''Each configuration depends on all values before it.'''

        def _propose(self, number, rng):
            trial = super()._propose(number, rng)
            total = sum(result.value for result in self.results) + trial.config["x"]
            return type(trial)(number, {"x": total % 1})

    def objective(trial):
        with open("started", "a") as file:
            file.write(f"{trial.number}\\n")
        if MODE == "kill" and trial.number == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(SECONDS)
        return trial.config["x"]

    MODE, JOBS, SECONDS = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    method = Sums({"x": (0.0, 1.0)}) if JOBS == 1 else Random({"x": (0.0, 1.0)})
    history = run(method, objective, trials=12, jobs=JOBS, journal="journal")
    print(sorted(zip(history["number"], history["value"])))
"""


def start(folder, mode: str, jobs: int, seconds: float) -> subprocess.Popen:
    (folder / "search.py").write_text(textwrap.dedent(KILLED))
    command = [sys.executable, "search.py", mode, str(jobs), str(seconds)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def started(folder) -> list[int]:
    return [int(line) for line in (folder / "started").read_text().split()]


@pytest.mark.slow
def test_after_a_kill_one_job_gives_the_results_of_an_unbroken_run(tmp_path):
    folders = tmp_path / "killed", tmp_path / "unbroken"
    for folder in folders:
        folder.mkdir()
    process = start(folders[0], "kill", 1, 0)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert started(folders[0]) == [0, 1, 2, 3, 4]
    outputs = [start(folder, "go on", 1, 0).communicate()[0] for folder in folders]
    assert outputs[0] == outputs[1] != b""
    assert started(folders[0]) == [0, 1, 2, 3, 4, *range(4, 12)]
    assert started(folders[1]) == [*range(12)]


@pytest.mark.slow
def test_after_a_kill_with_two_jobs_nothing_is_lost_or_evaluated_twice(tmp_path):
    process = start(tmp_path, "go on", 2, 0.3)
    while not (tmp_path / "started").exists() or len(started(tmp_path)) < 6:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    lines = [json.loads(line) for line in (tmp_path / "journal").read_text().splitlines()[1:]]
    told = {line["told"] for line in lines if "told" in line}
    under_way = {line["asked"]["number"] for line in lines if "asked" in line} - told
    assert len(told) >= 4
    assert len(under_way) <= 2
    output, errors = start(tmp_path, "go on", 2, 0).communicate()
    assert errors == b""
    by_hand = run(Random({"x": (0.0, 1.0)}), lambda trial: trial.config["x"], trials=12)
    assert output.decode().strip() == str(in_order(by_hand))
    # A trial may have been asked for a moment before its evaluation began.
    times = Counter(started(tmp_path))
    assert set(times) == set(range(12))
    assert all(times[number] == 1 for number in set(range(12)) - under_way)
    assert all(times[number] <= 2 for number in under_way)


@pytest.mark.slow
def test_ctrl_c_ends_the_processes_and_leaves_a_journal_that_goes_on(tmp_path):
    process = start(tmp_path, "go on", 2, 0.3)
    while not (tmp_path / "started").exists() or len(started(tmp_path)) < 4:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert b"KeyboardInterrupt" in process.communicate()[1]
    assert (tmp_path / "journal").read_bytes().endswith(b"\n")
    count = len(started(tmp_path))
    time.sleep(0.5)
    assert len(started(tmp_path)) == count
    output, _ = start(tmp_path, "go on", 2, 0).communicate()
    by_hand = run(Random({"x": (0.0, 1.0)}), lambda trial: trial.config["x"], trials=12)
    assert output.decode().strip() == str(in_order(by_hand))


# The bar


def test_a_bar_shows_when_it_should(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    run(Ladder(SPACE), loss, epochs=14, progress=True)
    assert "6 trials  14 epochs  best" in _shown(capsys)
    run(Random(SPACE), loss, trials=3, progress=True)
    assert "3 trials  best" in _shown(capsys)
    run(Ladder(SPACE), loss, progress=False)
    run(Ladder(SPACE), loss)
    assert capsys.readouterr() == ("", "")


def _shown(capsys) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", capsys.readouterr().err)


# The history


def example() -> SearchHistory:
    history = SearchHistory()
    history.append(Trial(0, {"a": 1, "epochs": 5}, budget=2.0), Outcome(0.1, 1.0))
    history.append(Trial(2, {"a": 2, "b": "tanh"}, budget=4.0), Outcome(math.inf, 2.0, "No: no"))
    history.append(Trial(1, {"a": 3}, budget=4.0), Outcome(0.7, 3.0))
    return history


def test_a_history_has_a_column_for_each_parameter():
    assert example().columns() == {
        "number": [0, 2, 1],
        "a": [1, 2, 3],
        "config_epochs": [5, None, None],
        "b": [None, "tanh", None],
        "budget": [2.0, 4.0, 4.0],
        "value": [0.1, math.inf, 0.7],
        "seconds": [1.0, 2.0, 3.0],
        "epochs": [2.0, 6.0, 10.0],
        "error": [None, "No: no", None],
    }


def test_the_best_row_is_one_of_the_largest_budget():
    assert example().full == [1, 2]
    assert example().best["number"] == 1
    with pytest.raises(ValueError, match=r"^the history has no trial"):
        _ = SearchHistory().best


def test_a_history_is_a_data_frame():
    pandas = pytest.importorskip("pandas")
    frame = example().frame()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame) == list(example().columns())
    assert frame["a"].dtype == np.int64
    assert frame["value"].tolist() == [0.1, math.inf, 0.7]


def test_without_pandas_one_sentence_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ValueError, match=r"^pandas is not installed: install mlcourse\[search\]"):
        example().frame()
