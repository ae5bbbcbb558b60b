"""book/experiments/hpo.py: its plans, its searches, and a rehearsal that is stopped."""

import importlib
import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest

from mlcourse.hpo.lenets import SPACE

FOLDER = Path(__file__).resolve().parents[2] / "book" / "experiments"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    """Import a module of the folder, as a script there does."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def one(name: str) -> ModuleType:
        return importlib.import_module(name)

    return one


def accuracy(config: dict, epochs: int) -> float:
    return 0.1 + 0.005 * config["c1"] + 0.002 * config["c3"] + 0.01 * epochs


class Pool:
    """Does at once what a pool of processes does, without training."""

    def map(self, function, jobs, *arguments) -> list[list[dict]]:
        return [
            [
                {
                    **member,
                    "order": job.order,
                    "validation": [accuracy(member["config"], job.epochs)],
                    "test": accuracy(member["config"], job.epochs),
                }
                for member in job.members
            ]
            for job in jobs
        ]


class Stopped(Exception):
    pass


def test_every_run_is_planned_once(load) -> None:
    hpo, scales = load("hpo"), load("hpo_training").SCALES
    for scale in scales.values():
        landscape = [one for job in hpo.landscape(scale) for one in job.members]
        assert len(landscape) == 2 * scale.landscape
        assert len({one["seed"] for one in landscape}) == len(landscape)
        configs = [json.dumps(one["config"], sort_keys=True) for one in landscape]
        assert all(configs.count(config) % 2 == 0 for config in configs)
        noise = [one for job in hpo.noise(scale) for one in job.members]
        assert len({one["seed"] for one in noise}) == len(noise) == 5 * scale.noise
        jobs = [*hpo.landscape(scale), *hpo.noise(scale)]
        assert len({job.order for job in jobs}) == len(jobs)
        assert {job.epochs for job in jobs} == {scale.epochs}
        assert scale.checks[-1] == scale.epochs


def test_the_source_s_choices_are_among_the_noise(load) -> None:
    """And LeNet-5, which is outside the space."""
    noise = load("hpo").NOISE
    assert noise["PSO, source"] == {"c1": 26, "c3": 19, "c5": 40, "f6": 324}
    assert noise["BOHB, source"] == {"c1": 30, "c3": 15, "c5": 44, "f6": 318}
    assert noise["random, source"] == {"c1": 27, "c3": 30, "c5": 40, "f6": 224}
    assert noise["LeNet-5"]["f6"] < SPACE["f6"][0]


def searched(load, stop_after: int | None = None, runs: list | None = None) -> list[dict]:
    """The runs of real searches; stopped, and started again with what was written."""
    searches = load("hpo_searches")
    record = {"runs": list(runs or [])}
    written: list[dict] = []
    rounds = itertools.count(1)

    def write() -> None:
        written[:] = record["runs"]
        if next(rounds) == stop_after:
            raise Stopped

    try:
        searches.search(record, "cpu", Pool(), write)
    except Stopped:
        return searched(load, runs=written)
    return record["runs"]


def test_each_search_spends_the_budget_and_no_more(load) -> None:
    searches, scale = load("hpo_searches"), load("hpo_training").SCALES["cpu"]
    runs = searched(load)
    budget = scale.real_trainings * scale.epochs
    assert len({run["seed"] for run in runs}) == len(runs)
    for name, repetition in itertools.product(searches.REAL, range(scale.searches)):
        mine = [run for run in runs if (run["method"], run["repetition"]) == (name, repetition)]
        spent = sum(run["epochs"] for run in mine)
        assert budget - scale.epochs < spent <= budget
        expected = {3, 9} if name == "BOHB" else {9}
        assert {run["epochs"] for run in mine} == expected
        assert sorted(run["number"] for run in mine) == list(range(len(mine)))


def test_a_search_that_was_stopped_ends_as_one_that_was_not(load) -> None:
    def what(runs: list[dict]) -> list[tuple]:
        return sorted(
            (run["method"], run["repetition"], run["number"], json.dumps(run["config"]))
            for run in runs
        )

    whole = searched(load)
    for stop_after in (1, 5):
        assert what(searched(load, stop_after)) == what(whole)


def test_choices_are_by_full_trainings_and_random_search_is_the_landscape(load) -> None:
    searches, training = load("hpo_searches"), load("hpo_training")
    scale = replace(training.SCALES["cpu"], searches=1, real_trainings=3)

    def run(part: str, c1: int, seed: int, validation: float, **more) -> dict:
        config = {"c1": c1, "c3": 1, "c5": 40, "f6": 125}
        fixed = {"part": part, "order": 0, "test": 0.0}
        return {**fixed, "config": config, "seed": seed, "validation": [validation], **more}

    landscape = [
        run("landscape", c1, 100 * again + c1, c1 / 10 - again) for again in (0, 1)
        for c1 in (5, 4, 3, 2, 1)
    ]  # fmt: skip
    tried = [
        run("search", 10 * i + c1, c1, c1 / 10, method=name, repetition=0, epochs=epochs)
        for i, name in enumerate(searches.REAL)
        for c1, epochs in ((1, 9), (2, 9), (3, 3))
    ]
    record = {"runs": landscape + tried}
    chosen = list(searches.choices(record, scale))
    assert [(name, i, config["c1"]) for name, i, config in chosen] == [
        ("random", 0, 3),
        *((name, 0, 10 * i + 2) for i, name in enumerate(searches.REAL)),
    ]
    jobs = searches.incumbents(record, scale)
    members = [one for job in jobs for one in job.members]
    assert len({one["seed"] for one in members}) == len(members) == scale.again * len(chosen)
    assert len({job.order for job in jobs}) == len(jobs)


@pytest.mark.slow
def test_a_rehearsal_is_not_repeated_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    out = tmp_path / "hpo.json"
    command = [sys.executable, str(FOLDER / "hpo.py"), "--quick", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text(encoding="utf-8"))
    assert record["data"].startswith("textured digits")
    counts = {
        part: sum(run["part"] == part for run in record["runs"])
        for part in ("landscape", "noise", "search", "incumbent")
    }
    assert counts["landscape"] == 16
    assert counts["noise"] == 10
    assert counts["search"] >= 12
    assert counts["incumbent"] == 8
    assert len(record["simulated"]) == 12
    for run in record["runs"]:
        assert all(0 <= share <= 1 for share in (*run["validation"], run["test"]))

    # Without two runs of the noise and the last of the search, both are done again.
    part = [run for run in record["runs"] if run["part"] == "noise"][:2]
    last = max(
        (run for run in record["runs"] if run["part"] == "search"), key=lambda run: run["told"]
    )
    fewer = {**record, "runs": [run for run in record["runs"] if run not in (*part, last)]}
    out.write_text(json.dumps(fewer), encoding="utf-8")
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 to do" in again.stdout or "1 to do" in again.stdout
    restored = json.loads(out.read_text(encoding="utf-8"))
    assert len(restored["runs"]) == len(record["runs"])

    del restored["scale"]["lr"]
    out.write_text(json.dumps(restored), encoding="utf-8")
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "hpo.json was made with another scale" in refused.stderr
