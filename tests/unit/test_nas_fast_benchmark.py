"""The benchmark of a step of DARTS compares ways that take the same step."""

import importlib.util
import sys
from pathlib import Path

import pytest
import torch

from mlcourse.nas import fast_extension

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def benchmark(monkeypatch):
    spec = importlib.util.spec_from_file_location(
        "darts_step", ROOT / "benchmarks" / "darts_step.py"
    )
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks up the module that it is written in.
    monkeypatch.setitem(sys.modules, "darts_step", module)
    spec.loader.exec_module(module)
    # What is measured of the extension is not tested here, and building it takes long.
    monkeypatch.setattr(module, "compiled", lambda x: None)
    return module


@pytest.mark.slow
def test_all_ways_take_the_same_step(benchmark):
    size = benchmark.QUICK[0]
    made = benchmark.ways(size, "first")
    assert list(made) == [benchmark.NAIVE, benchmark.CHANNELS_LAST, benchmark.FAST]
    with fast_extension.pytorch_only():
        for way in made.values():
            way.step.model.double()
            way.step.batches = [(X.double(), y) for X, y in way.step.batches]
            way()
    naive = made[benchmark.NAIVE].step.model.state_dict()
    for way in made.values():
        for name, value in way.step.model.state_dict().items():
            torch.testing.assert_close(value, naive[name], atol=1e-6, rtol=1e-6)


def test_rows_have_ratios_within_a_repeat(benchmark):
    times = {benchmark.NAIVE: [4.0, 8.0, 6.0], benchmark.CHANNELS_LAST: [2.0, 8.0, 3.0]}
    naive, last = benchmark.rows(benchmark.QUICK[0], "first", 1, times)
    assert (naive["naive"], naive["channels_last"]) == (1.0, 0.5)
    assert (last["seconds"], last["naive"], last["naive_low"], last["naive_high"]) == (3, 2, 1, 2)


def test_threads_are_put_back(benchmark):
    before = torch.get_num_threads()
    with fast_extension.pytorch_only():
        rows = benchmark.measure(benchmark.QUICK[0], "first", 1, 1)
    assert torch.get_num_threads() == before
    assert len(rows) == 3
    assert all(row["seconds"] >= 0 for row in rows)
