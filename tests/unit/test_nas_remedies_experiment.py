"""book/experiments/darts_remedies.py: its plan, and a rehearsal."""

import importlib
import json
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "book" / "experiments"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("darts_remedies")
    monkeypatch.setattr(module.darts_limits, "FOLDER", tmp_path)
    arguments = ["darts_remedies.py", "--quick", "--out", str(tmp_path / "out.json")]
    monkeypatch.setattr("sys.argv", arguments)
    return module


def test_single_remedies_have_fresh_seeds_and_pairs_all(script) -> None:
    seeds: dict[str, set[int]] = {}
    plan = script.plan(quick=False)
    for run in plan:
        seeds.setdefault(run["way"], set()).add(run["seed"])
    old = set(range(script.darts_limits.SEEDS))
    for way in script.WAYS:
        assert len(seeds[way]) == len(old)
        assert not seeds[way] & old
    for way in script.darts_limits.COMBINED:
        assert seeds[way] == seeds["DARTS"] | old
    assert len(plan) == sum(map(len, seeds.values()))


@pytest.mark.slow
def test_pairs_of_remedies_are_rehearsed(script, tmp_path: Path) -> None:
    script.main()
    runs = json.loads((tmp_path / "out.json").read_text("utf-8"))["runs"]
    assert [run["way"] for run in runs] == list(script.darts_limits.COMBINED)
    for run in runs:
        assert len(run["cells"]) == len(run["normal_skips"]) == 5
        assert 0 <= run["discrete"] <= 1
