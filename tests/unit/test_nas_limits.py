"""book/experiments/darts_limits.py: a rehearsal, which continues where it was broken off."""

import importlib
import json
from pathlib import Path

import pytest
import torch

FOLDER = Path(__file__).resolve().parents[2] / "book" / "experiments"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    module = importlib.import_module("darts_limits")
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    arguments = ["darts_limits.py", "--quick", "--out", str(tmp_path / "out.json")]
    monkeypatch.setattr("sys.argv", arguments)
    return module


def test_a_measurement_is_made_once_and_written(script, tmp_path: Path) -> None:
    out, calls = tmp_path / "out.json", []

    def measure(way: str, seed: int, quick: bool) -> dict[str, list[float]]:
        calls.append((way, seed, quick))
        return {"found": [1.0]}

    record = script.started(out, True)
    for seed in (0, 1, 0):
        script.measured(record, "horizon", measure, "DARTS", seed, True, out)
    assert calls == [("DARTS", 0, True), ("DARTS", 1, True)]
    script.measured(script.started(out, True), "horizon", measure, "DARTS", 1, True, out)
    assert len(calls) == 2
    lines = json.loads(out.read_text("utf-8"))["horizon"]
    assert [(line["way"], line["seed"], line["found"]) for line in lines] == [
        ("DARTS", 0, [1.0]),
        ("DARTS", 1, [1.0]),
    ]


def test_a_restricted_supernet_has_the_cell_s_operations_alone(script) -> None:
    supernet = script.SmallSupernet(generator=torch.Generator().manual_seed(0))
    strengths = script.restricted(supernet, "nsaccn").strengths()
    assert strengths.argmax(1).tolist() == [0, 1, 2, 3, 3, 0]
    torch.testing.assert_close(strengths.amax(1), torch.ones(6))
    assert supernet.genotype() == "nsaccn"


@pytest.mark.slow
def test_all_parts_are_rehearsed(script, tmp_path: Path) -> None:
    assert script.main() == 0
    record = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert [run["way"] for run in record["searches"]] == list(script.WAYS)
    for run in record["searches"]:
        assert len(run["cells"]) == len(run["normal_skips"]) == 5
        assert 0 <= run["discrete"] <= 1
    first = record["searches"][0]
    assert len(first["shared"]) == 3
    assert len(first["perturbation_cell"]) == 6
    (horizon,) = record["horizon"]
    assert horizon["methods"]["2 steps"]["cosine"] <= 1
    for run in record["relied_on"]:
        assert [removal["operation"] for removal in run["removals"]] == [
            "skip_connect",
            "avg_pool_3x3",
            "conv_3x3",
        ]
    assert set(record["speed"][0]["steps"]) == set(script.FASTER)
    before = (tmp_path / "out.json").read_text("utf-8")
    assert script.main() == 0
    assert (tmp_path / "out.json").read_text("utf-8") == before
