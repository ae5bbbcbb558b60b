"""book/experiments/nas_table.py and nas_regret.py: plans, records, and a rehearsal of each."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from mlcourse.nas.small_networks import Trained
from mlcourse.nas.small_space import representatives
from mlcourse.nas.small_table import Table

FOLDER = Path(__file__).resolve().parents[2] / "book" / "experiments"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    """Import a module of the folder, as a script there does."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def one(name: str) -> ModuleType:
        return importlib.import_module(name)

    return one


def accuracy(cell: str) -> float:
    return 0.2 + 0.1 * cell.count("c") + 0.01 * cell.count("s")


def trained(cell: str, seed: int) -> Trained:
    """A training that costs nothing."""
    noise = np.random.default_rng([seed, *map(ord, cell)]).normal(0, 0.001)
    return Trained([0.1, 0.2, 0.3, accuracy(cell) + noise], accuracy(cell) - noise, 0.01)


class Stopped(Exception):
    pass


@pytest.mark.slow
def test_the_table_is_trained_once_and_the_best_cells_again(
    load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, out = load("nas_table"), tmp_path / "table.json"
    done: list[tuple[str, int]] = []

    def train(cell: str, seed: int, epochs: int) -> Trained:
        assert epochs == 12
        if len(done) == 1000:
            done.append(("", -1))
            raise Stopped
        done.append((cell, seed))
        return trained(cell, seed)

    monkeypatch.setattr(script.small_networks, "train", train)
    monkeypatch.setattr("sys.argv", ["nas_table.py", "--out", str(out)])
    with pytest.raises(Stopped):
        script.main()
    assert script.main() == 0
    record = json.loads(out.read_text("utf-8"))
    assert [row["cell"] for row in record["cells"]] == sorted(set(representatives().values()))
    seeds = {row["cell"]: len(row["test"]) for row in record["cells"]}
    assert set(seeds.values()) == {script.SEEDS, script.SEEDS_OF_BEST}
    again = [cell for cell, of_cell in seeds.items() if of_cell > script.SEEDS]
    assert script.BEST <= len(again) <= 2 * script.BEST
    assert min(map(accuracy, again)) >= max(accuracy(c) for c in seeds if c not in again) - 0.01
    for row in record["cells"]:
        assert len(row["validation"]) == len(row["seconds"]) == len(row["test"])
        expected = [trained(row["cell"], seed).test for seed in range(len(row["test"]))]
        np.testing.assert_allclose(row["test"], expected, rtol=1e-4)
    # What was not written when it stopped is done again: less than a block.
    assert len(done) - len(set(done)) < 20
    assert Table.read(out).best in again
    count = len(done)
    assert script.main() == 0
    assert len(done) == count


@pytest.mark.slow
def test_searches_and_supernets_are_rehearsed(
    load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script, out = load("nas_regret"), tmp_path / "regret.json"
    rows = []
    for cell in set(representatives().values()):
        runs = [trained(cell, seed)._asdict() for seed in range(2)]
        columns = {name: [run[name] for run in runs] for name in runs[0]}
        rows.append({"cell": cell, **columns})
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"checks": [1, 3, 6, 12], "cells": rows}), encoding="utf-8")
    arguments = ["nas_regret.py", "--quick", "--out", str(out), "--table", str(table)]
    monkeypatch.setattr("sys.argv", arguments)
    assert script.main() == 0
    record = json.loads(out.read_text("utf-8"))
    assert [line["method"] for line in record["searches"]] == list(script.METHODS)
    for line in record["searches"]:
        for kind in ("trainings", "seconds"):
            of_kind = line[kind]
            for statistic in ("mean", "median"):
                named = [statistic + end for end in ("_low", "", "_high")]
                for numbers in zip(*(of_kind[name] for name in named), strict=True):
                    known = [number for number in numbers if number is not None]
                    assert known == sorted(known)
                assert len(of_kind[statistic]) == len(of_kind["spent"])
    assert [run["order"] for run in record["darts"]] == ["first", "exact"]
    assert all(len(run["cells"]) == 2 for run in record["darts"])
    before = out.read_text("utf-8")
    assert script.main() == 0
    assert out.read_text("utf-8") == before
