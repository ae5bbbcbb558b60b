"""The benchmark of search methods spends what it says, and reports what it measured."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.pso import PSO
from mlcourse.hpo.space import Space
from mlcourse.hpo.tasks import Task, branin

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("hpo_benchmark", ROOT / "benchmarks" / "hpo.py")
    module = importlib.util.module_from_spec(spec)
    # Dataclasses look their module up by its name.
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


class Cheap(Method):
    """Counts up in small budgets, and every fourth trial in the largest."""

    def _propose(self, number, rng):
        return Trial(number, {"n": number % 50}, budget=9.0 if number % 4 == 3 else 3.0)


def task(seen):
    def loss(config, budget=None):
        if budget is not None:
            seen.append(budget)
        return float(config["n"])

    return Task("counted", {"n": (0, 49)}, loss, 0.0)


def test_a_search_spends_its_budget_and_recommends_what_it_saw_on_the_largest(benchmark):
    seen = []
    contest = benchmark.Contest(task, 6, (3.0, 9.0))
    found = benchmark.recommended(lambda space, *_: Cheap(space), task(seen), contest, 0)
    assert found == {"n": 3}  # 0 was better, on a small budget
    assert 54 <= sum(seen) < 54 + 9
    seen.clear()
    benchmark.recommended(lambda space, _, seed: PSO(space, seed=seed), task(seen), contest, 0)
    assert seen == [9.0] * 6


def test_without_budgets_a_search_is_so_many_evaluations(benchmark):
    count = []

    class Counted(PSO):
        def _told(self, trial, value):
            count.append(value)
            super()._told(trial, value)

    contest = benchmark.CONTESTS["branin"]
    found = benchmark.recommended(lambda space, *_: Counted(space), branin(), contest, 0)
    assert len(count) == 100
    assert branin().loss(found) == min(count)


def test_regret_is_exact_and_its_row_says_how_sure_it_is(benchmark):
    entrant = benchmark.Entrant(lambda task, contest, seed: {"x1": 8, "x2": 51}, ("branin",))
    assert benchmark.regret(entrant, "branin", 3) == pytest.approx(0, abs=1e-12)
    row = benchmark.regret_row("branin", "ours", [4.0, 1.0, 2.0, 3.0, 0.0])
    assert (row["task"], row["method"]) == ("branin", "ours")
    assert (row["quartile1"], row["median"], row["quartile3"]) == (1, 2, 3)
    assert row["low"] <= row["median"] <= row["high"]
    assert row["regrets"] == [4, 1, 2, 3, 0]


def test_every_entrant_of_ours_takes_part(benchmark):
    for name, entrant in benchmark.ENTRANTS.items():
        assert set(entrant.contests) <= set(benchmark.CONTESTS), name
        if entrant.needs is None:
            for contest in entrant.contests:
                one = benchmark.CONTESTS[contest]
                method = entrant.make(one.task(0).space, one, 0)
                assert method.ask().number == 0


def test_a_missing_package_is_said_in_one_line(benchmark, capsys):
    entrants = {
        "a": benchmark.Entrant(None, (), "no_such_package"),
        "b": benchmark.Entrant(None, (), "no_such_package"),
        "c": benchmark.Entrant(None, ()),
    }
    assert list(benchmark.installed(entrants)) == ["c"]
    said = capsys.readouterr().out
    assert said == "no_such_package is not installed: its methods are left out\n"


PEERS = {
    "OptunaTPE": ("optuna", lambda peer: peer._study.best_value),
    "NevergradPSO": ("nevergrad", lambda peer: peer._optimizer.current_bests["minimum"].mean),
}


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_is_asked_and_told_like_our_own(benchmark, name):
    package, lowest_told = PEERS[name]
    pytest.importorskip(package)
    space = Space({"n": (0, 19), "x": (0.0, 1.0), "c": ["a", "b"]})
    values = []
    for _ in range(2):
        peer = getattr(benchmark, name)(space, 5)
        for _ in range(30):
            trial = peer.ask()
            space.check(trial.config)
            peer.tell(trial, trial.config["n"] + trial.config["x"])
        values.append([result.value for result in peer.results])
        assert lowest_told(peer) == peer.best.value == min(values[-1])
    assert values[0] == values[1]
    assert len(set(values[0])) > 20


def test_pyswarms_makes_as_many_evaluations_as_the_others(benchmark, monkeypatch, tmp_path):
    if importlib.util.find_spec("pyswarms") is None:
        pytest.skip("pyswarms is not installed")
    monkeypatch.chdir(tmp_path)
    seen = []
    contest = benchmark.Contest(task, 40, (3.0, 9.0))
    found = [benchmark.pyswarms(task(seen), contest, seed) for seed in (1, 1, 2)]
    assert found[0] == found[1]
    assert len(seen) == 120
    assert list(tmp_path.iterdir()) == []


def test_all_is_measured_shown_and_stored(benchmark, monkeypatch, tmp_path, capsys):
    out = tmp_path / "hpo.json"
    monkeypatch.setattr(sys, "argv", ["hpo.py", "--quick", "--out", str(out)])
    some = {name: benchmark.ENTRANTS[name] for name in ("random", "PSO")}
    monkeypatch.setattr(benchmark, "ENTRANTS", some)
    benchmark.main()
    record = json.loads(out.read_text())
    rows = record["regrets"]
    assert [(r["task"], r["method"]) for r in rows] == [
        (contest, name) for contest in benchmark.CONTESTS for name in some
    ]
    assert all(len(row["regrets"]) == 3 and min(row["regrets"]) >= 0 for row in rows)
    assert [row["method"] for row in record["suggestions"]] == list(some)
    assert all(row["ms"] > 0 for row in record["suggestions"])
    assert {"date", "command", "seeds", "machine", "packages"} <= set(record)
    said = capsys.readouterr().out
    assert "Regret, 3 seeds" in said
    assert "after 30 trials" in said
