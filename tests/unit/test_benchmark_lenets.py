"""The benchmark of many LeNets compares like with like: each way makes the same updates."""

import importlib.util
from pathlib import Path

import pytest
import torch

from mlcourse.convnets import lenet5

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("lenets", ROOT / "benchmarks" / "lenets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_way_makes_the_same_updates(benchmark, monkeypatch):
    monkeypatch.setattr(benchmark, "UPDATES", 2)
    configs = benchmark.draw("c1, c3 at most 8", seed=1)[:5]
    steps = benchmark.ways(configs, seed=0)
    assert tuple(steps) == benchmark.WAYS
    single = torch.stack(steps.pop("one image")())
    for _ in range(2):
        losses = [torch.stack(step()) for step in steps.values()]
        for others in losses[1:]:
            torch.testing.assert_close(losses[0], others, rtol=0, atol=1e-5)
    assert not torch.allclose(single, losses[0])
    assert not torch.equal(losses[0], torch.stack(steps["plain"]()))


def test_networks_are_drawn_from_the_space_that_is_named(benchmark):
    small, whole = (benchmark.draw(space, seed=0) for space in benchmark.SPACES)
    assert len(small) == len(whole) == benchmark.NETWORKS
    assert max(max(one["c1"], one["c3"]) for one in small) <= 8
    assert max(one["c1"] for one in whole) > 8


def test_operations_are_those_of_the_layers(benchmark):
    """Counted by torch, forward and backward, for a batch."""
    from torch.utils.flop_counter import FlopCounterMode

    config = {"c1": 5, "c3": 7, "c5": 41, "f6": 126}
    net, X = lenet5(**config), torch.zeros(benchmark.BATCH, 3, 32, 32)
    with FlopCounterMode(display=False) as counter:
        net(X).sum().backward()
    assert counter.get_total_flops() == benchmark.operations(config)


def test_a_row_gives_rates_gains_and_limits(benchmark):
    times = {"plain": 0.4, "channels_last": 0.2, "side by side": 0.1, "one image": 0.04}
    runs = [{way: [time] * 3 for way, time in times.items()}] * 2
    space = "whole space"
    done = sum(benchmark.operations(config) for config in benchmark.draw(space, 0))
    made = benchmark.row(space, "2 processes", runs, rate=2 * done / 0.05, seed=0)
    # 64 updates of 64 images in 0.1 s.
    assert made["side by side, epochs a minute"] == round(64 * 64 / 0.1 / 50_000 * 60, 2)
    assert made["gain over plain"] == [4, 4, 4]
    assert made["gain over channels_last"] == [2, 2, 2]
    assert made["limit over plain"] == 8
    assert made["share of the limit"] == 0.5
    assert made["share of one image"] == 0.1
