"""The benchmark of loaders compares like with like: every way makes allowed crops and flips."""

import importlib.util
import warnings
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from mlcourse.preprocessing import Standardise

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("loader", ROOT / "benchmarks" / "loader.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def images():
    return torch.randint(
        256, (40, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


def allowed(image: torch.Tensor) -> torch.Tensor:
    """The 162 outcomes of an image, (162, 3, 32, 32)."""
    windows = functional.pad(image, (4, 4, 4, 4)).unfold(1, 32, 1).unfold(2, 32, 1)
    crops = windows.permute(1, 2, 0, 3, 4).reshape(81, 3, 32, 32)
    return torch.cat([crops, crops.flip(3)])


@pytest.mark.parametrize("way", ["ours", "PIL transforms", "v2 transforms", "v2, float by batch"])
def test_each_image_has_one_of_its_crops_and_not_its_neighbours_one(way, benchmark, images):
    y = torch.arange(len(images))
    fitted = Standardise.fit(images)
    torch.manual_seed(0)
    if way == "ours":
        batches = benchmark.ours(images, y, fitted)
    else:
        batches = benchmark.theirs(way, 0, images, y, fitted)
    ((X, labels),) = list(batches)
    assert X.dtype == torch.float32
    assert sorted(labels.tolist()) == y.tolist()
    pixels = ((X * fitted.std.view(3, 1, 1) + fitted.mean.view(3, 1, 1)) * 255).round()
    outcomes = []
    for image, label in zip(pixels, labels.tolist(), strict=True):
        equal = (allowed(images[label]) == image).flatten(1).all(dim=1)
        assert equal.any()
        outcomes.append(int(equal.int().argmax()))
    assert len(set(outcomes)) > 10


def test_transforms_of_a_whole_batch_move_all_images_alike(benchmark, images):
    y = torch.arange(len(images))
    fitted = Standardise.fit(images)
    ((X, labels),) = list(benchmark.theirs(benchmark.NOT_THE_SAME, 0, images, y, fitted))
    pixels = ((X * fitted.std.view(3, 1, 1) + fitted.mean.view(3, 1, 1)) * 255).round()
    same = torch.stack(
        [
            (allowed(images[label]) == image).flatten(1).all(dim=1)
            for image, label in zip(pixels, labels.tolist(), strict=True)
        ]
    )
    assert same.all(dim=0).any()


def test_all_ways_are_measured_and_the_fastest_that_does_the_same_is_compared(
    benchmark, monkeypatch
):
    monkeypatch.setattr(benchmark, "WORKERS", (0, 1))
    threads = torch.get_num_threads()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rows = benchmark.measure(n=20, repeats=1)
    assert torch.get_num_threads() == threads
    assert {row["way"] for row in rows} == {"ours", *benchmark.WAYS}
    assert all(row["low"] <= row["median"] <= row["high"] for row in rows)
    made = [
        {"way": way, "threads": 2, "workers": workers, "median": median}
        for way, workers, median in (
            ("ours", 0, 100),
            ("v2 transforms", 0, 4),
            ("PIL transforms", 2, 8),
            (benchmark.NOT_THE_SAME, 0, 50),
        )
    ]
    made.append({"way": "ours", "threads": 1, "workers": 0, "median": 60})
    assert benchmark.summarise(made) == {
        "fastest": {"way": "PIL transforms", "workers": 2},
        "ratio": 12.5,
        "ratio_one_thread": 7.5,
    }
    assert benchmark.table(rows).row_count == len(rows)
