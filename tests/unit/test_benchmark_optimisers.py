"""The benchmark of optimisers compares like with like: each way makes the same steps."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location(
        "optimisers", ROOT / "benchmarks" / "optimisers.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_each_set_has_50_tensors(benchmark):
    assert [len(shapes()) for shapes in benchmark.SETS.values()] == [50, 50]


def test_every_way_makes_the_same_steps(benchmark):
    shapes = benchmark.mlp()
    kinds = set()
    for name, (kind, _) in benchmark.OPTIMISERS.items():
        steps = benchmark.ways(shapes, name, seed=0)
        owners = {way: step.__self__ for way, step in steps.items()}
        assert type(owners["ours"]).__module__ == "mlcourse.optim"
        settings = [owners[way].defaults["foreach"] for way in ("foreach", "loop")]
        assert settings == [True, False]
        start = benchmark.parameters(shapes, seed=0)
        for step in steps.values():
            step()
        moved = {way: owner.param_groups[0]["params"] for way, owner in owners.items()}
        for ours, foreach, loop, first in zip(*moved.values(), start, strict=True):
            torch.testing.assert_close(ours, foreach)
            torch.testing.assert_close(ours, loop)
            assert not torch.equal(ours, first)
        kinds.add(kind)
    assert kinds == {"SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW"}


def test_a_row_gives_medians_and_the_ratio_of_each_repeat(benchmark):
    times = {"ours": [1e-6, 4e-6, 9e-6], "foreach": [1e-6, 2e-6, 3e-6], "loop": [5e-6] * 3}
    assert benchmark.row("CNN", "Adam", times) == {
        "tensors": "CNN",
        "optimiser": "Adam",
        "ours_us": 4.0,
        "foreach_us": 2.0,
        "loop_us": 5.0,
        "ratio": 2.0,
        "ratio_low": 1.0,
        "ratio_high": 3.0,
    }


def test_all_are_measured_shown_and_stored(benchmark, monkeypatch, tmp_path, capsys):
    threads = torch.get_num_threads()
    out = tmp_path / "optimisers.json"
    monkeypatch.setattr(sys, "argv", ["optimisers.py", "--repeats", "2", "--out", str(out)])
    benchmark.main()
    assert torch.get_num_threads() == threads
    record = json.loads(out.read_text())
    rows = record["rows"]
    assert [(r["tensors"], r["optimiser"]) for r in rows] == [
        (tensors, name) for tensors in benchmark.SETS for name in benchmark.OPTIMISERS
    ]
    assert record["worst_ratio"] == max(r["ratio"] for r in rows)
    assert {"date", "command", "seed", "machine", "repeats"} <= set(record)
    assert "the largest ratio is" in capsys.readouterr().out
    assert benchmark.table(rows).row_count == len(rows)
