"""The tables of cells that were searched for and trained: a row a way, scale and origin."""

import json
from pathlib import Path

import pytest

from mlcourse.book import cell_tables, result_tables
from mlcourse.book.cell_tables import darts_proxy_text, darts_text

GENES = {"normal": {"skip_connect": 3, "sep_conv_3x3": 5}, "reduce": {"max_pool_3x3": 8}}


def training(way: str, seed: int, error: float) -> dict:
    return {
        "way": way, "seed": seed, "parameters": 1000 * (50 + seed), "operations": GENES,
        "test_error": error, "seconds": 60.0, "diverged": error > 0.8,
    }  # fmt: skip


def record(images: int | None, epochs: int) -> dict:
    scale = {f"{part}_{what}": 8 for part in ("search", "train") for what in ("channels", "layers")}
    scale |= {"search_epochs": epochs, "train_epochs": 600, "search_images": images}
    scale |= {"train_images": None, "test_images": images}
    return {
        "date": "2026-01-02",
        "command": "make it",
        "machine": {"cores": "2 cores"},
        "data": "coloured squares",
        "precision": "float32",
        "scale": scale,
        "paper": {"search_epochs": 50, "train_epochs": 600},
        "searches": [
            {"way": "first-order", "seed": seed, "seconds": 60.0 * (1 + seed)} for seed in (0, 1)
        ],
        "trainings": [
            training("first-order", 0, 0.5),
            training("random", 0, 0.4),
            training("random", 1, 0.9),
            training("first-order", 1, 0.25),
        ],
    }


@pytest.mark.parametrize(
    ("name", "text"), [("darts", darts_text), ("darts_proxy", darts_proxy_text)]
)
def test_a_row_has_all_seeds_of_a_way(
    name: str, text, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_tables, "RESULTS", tmp_path)
    assert text().startswith("Not measured yet")
    assert "book/experiments/darts.py" in text()
    (tmp_path / f"{name}.json").write_text(json.dumps(record(2560, 5)), encoding="utf-8")
    lines = text().splitlines()
    assert "| first-order | 2 | 1.5 | 50 | 11, 11 | **37.5** | 50.0, 25.0 |" in lines
    assert "| random | 2 |  | 50 | 11, 11 | **65.0** | 40.0, 90.0 (diverged) |" in lines
    assert lines[0] == (
        "Images: coloured squares. Trainings in float32. Searches: 8 channels, 8 layers, 5 epochs "
        "(the papers: 50), 2,560 of the training images. Trainings: 8 channels, 8 layers, 600 "
        "epochs, all training images. Tested once, at the end, on 2,560 of the test images."
    )
    # The mean of four errors, 0.5125, of 2,560 images: 100 sqrt(0.5125 * 0.4875 / 2560).
    assert any("uncertain by ± 1.0 points" in line for line in lines)
    assert lines[-1] == "Measured on 2026-01-02 with `make it`: 2 cores."


def test_published_figures_are_said_not_to_be_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(result_tables, "RESULTS", tmp_path)
    (tmp_path / "darts.json").write_text(json.dumps(record(None, 50)), encoding="utf-8")
    text = darts_text()
    assert "the papers:" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert not any("3.00" in row or "2.57" in row for row in rows)
    assert cell_tables._PUBLISHED in text
    assert "not measured here" in " ".join(cell_tables._PUBLISHED.split())
