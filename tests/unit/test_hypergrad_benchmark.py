"""The benchmark of hypergradients compares like with like, and counts memory exactly."""

import importlib.util
import json
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location(
        "hypergradients", ROOT / "benchmarks" / "hypergradients.py"
    )
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks up the module that it is written in.
    sys.modules["hypergradients"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def ridge(benchmark):
    return benchmark.Ridge(n=20, penalties=5)


def error(got, expected):
    return float((got - expected).norm() / expected.norm())


def test_the_problem_has_the_exact_hypergradient_at_its_minimum(ridge):
    w = ridge.minimum.clone().requires_grad_()
    (slope,) = torch.autograd.grad(ridge.inner(w, ridge.hyper), w)
    assert slope.norm() < 1e-12

    def outer_after(hyper):
        return ridge.outer(ridge._minimum(hyper), hyper)

    moves = 1e-5 * torch.eye(5, dtype=torch.float64)
    differences = [
        (outer_after(ridge.hyper + move) - outer_after(ridge.hyper - move)) / 2e-5 for move in moves
    ]
    assert error(torch.stack(differences), ridge.exact) < 1e-7


def test_every_method_of_ours_takes_part(benchmark):
    from mlcourse.hypergrad import METHODS

    mine = {name.split(",")[0] for name, e in benchmark.ENTRANTS.items() if not e.needs}
    assert mine == {*METHODS, "reverse recomputed"}


def test_rivals_do_what_ours_do(benchmark, ridge):
    """Peers that are installed here; the others are left out of the benchmark too."""
    entrants = benchmark.installed(benchmark.ENTRANTS)
    for name, entrant in entrants.items():
        got = entrant.call(ridge, entrant.count)
        assert got.shape == (5,), name
        if entrant.rival_of:
            ours = benchmark.ENTRANTS[entrant.rival_of]
            assert ours.count == entrant.count
            assert error(got, ours.call(ridge, ours.count)) < 1e-8, name


def test_every_rival_has_its_own_package_and_a_method_of_ours(benchmark):
    for entrant in benchmark.ENTRANTS.values():
        assert (entrant.rival_of is None) == (entrant.needs is None)
        assert entrant.rival_of is None or benchmark.ENTRANTS[entrant.rival_of].needs is None


def test_memory_is_the_peak_of_what_is_held_at_once(benchmark):
    kib = 128  # float64 numbers

    def call():
        first = torch.ones(10 * kib, dtype=torch.float64)
        second = torch.ones(20 * kib, dtype=torch.float64)
        del first
        third = torch.ones(5 * kib, dtype=torch.float64)
        return second, third

    assert benchmark.peak_memory(call) == pytest.approx(30, abs=0.2)


def test_the_memory_of_reverse_grows_with_the_steps_and_of_the_others_not(benchmark, ridge):
    def kib(name, count):
        return benchmark.peak_memory(partial(benchmark.ENTRANTS[name].call, ridge, count))

    few, some, many = (kib("reverse, T=200", count) for count in (30, 60, 90))
    assert many - some == pytest.approx(some - few, rel=0.01)
    assert some > 1.8 * few
    for name in ("forward, T=200", "fixed_point, K=50", "neumann, K=50"):
        assert kib(name, 30) == kib(name, 60)
    # The 20 weights of each step, in float64.
    growth = kib("reverse recomputed, T=200", 60) - kib("reverse recomputed, T=200", 30)
    assert growth == pytest.approx(30 * 20 * 8 / 1024, rel=0.1)
    assert kib("truncated, T=200, last 20", 30) == kib("truncated, T=200, last 20", 60) < few


def test_ratios_are_taken_repeat_by_repeat(benchmark):
    entrants = {
        "a": benchmark.Entrant(None),
        "b": benchmark.Entrant(None, rival_of="a", needs="peer"),
    }
    times = {"a": [1.0, 4.0, 9.0], "b": [1.0, 2.0, 3.0]}
    assert benchmark.ratio_rows(entrants, times) == [
        {"ours": "a", "peer": "b", "ratio": 2.0, "ratio_low": 1.0, "ratio_high": 3.0}
    ]


@pytest.mark.slow
def test_all_are_measured_shown_and_stored(benchmark, monkeypatch, tmp_path, capsys):
    threads = torch.get_num_threads()
    out = tmp_path / "hypergradients.json"
    monkeypatch.setattr(sys, "argv", ["hypergradients.py", "--quick", "--out", str(out)])
    small = {
        name: benchmark.Entrant(e.call, min(e.count, 5), e.rival_of, e.needs, e.grows)
        for name, e in benchmark.ENTRANTS.items()
    }
    monkeypatch.setattr(benchmark, "ENTRANTS", small)
    benchmark.main()
    assert torch.get_num_threads() == threads
    record = json.loads(out.read_text())
    there = benchmark.installed(small)
    assert [row["method"] for row in record["methods"]] == list(there)
    assert [row["peer"] for row in record["ratios"]] == [n for n, e in there.items() if e.rival_of]
    assert len(record["memory"]) == sum(e.grows for e in there.values())
    assert all(row["counts"] == [5, 10] for row in record["memory"])
    fields = {"date", "command", "seed", "repeats", "machine", "load_at_start", "packages"}
    assert fields <= set(record)
    assert "Peak memory (KiB)" in capsys.readouterr().out
