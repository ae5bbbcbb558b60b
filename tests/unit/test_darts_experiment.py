"""book/experiments/darts.py: a rehearsal, stop and go, its record, and its sentences."""

import importlib
import json
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mlcourse import data
from mlcourse.nas import DerivedNet
from mlcourse.nas.genotype import check_genotype, from_json

FOLDER = Path(__file__).resolve().parents[2] / "book" / "experiments"
TIMES = ("seconds", "step_seconds")


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    """Import a module of the folder, as a script there does."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def darts(load) -> ModuleType:
    return load("darts")


@pytest.fixture
def training(load) -> ModuleType:
    return load("darts_training")


def arguments(folder: Path, *more: str) -> list[str]:
    return ["--quick", "--out", f"{folder}/darts.json", "--checkpoints", f"{folder}/kept", *more]


def rehearsed(darts: ModuleType, folder: Path, *more: str) -> dict:
    """What the record says after a rehearsal, but for its times."""
    assert darts.main(arguments(folder, *more)) == 0
    record = json.loads((folder / "darts.json").read_text(encoding="utf-8"))
    for line in (*record["searches"], *record["trainings"]):
        assert all(line.pop(name) > 0 for name in TIMES)
    return record


def check_complete(record: dict, ways: list[str], searched: list[str], training: ModuleType):
    assert [line["way"] for line in record["trainings"]] == ways
    assert [line["way"] for line in record["searches"]] == searched
    assert record["scale"]["name"] == "rehearsal"
    assert record["paper"] == {"search_epochs": 50, "train_epochs": 600}
    cells = {line["way"]: line["genotype"] for line in record["searches"]}
    for line in record["searches"]:
        assert line["epochs"] == len(line["normal_skips"]) == record["scale"]["search_epochs"]
        assert len([name for name in line["strengths"] if name.startswith("normal_")]) == 8
    for line in record["trainings"]:
        genotype = from_json(json.dumps(line["genotype"]))
        assert line["genotype"] == cells.get(line["way"], line["genotype"])
        assert line["epochs"] == record["scale"]["train_epochs"]
        assert 0 <= line["test_error"] <= 1
        for kind, counts in line["operations"].items():
            assert sum(counts.values()) == 8
            assert counts == {name: genotype.occurrences(name, kind) for name in counts}
        scale = training.REHEARSAL
        plain = DerivedNet(genotype, scale.train_channels, scale.train_layers, classes=10)
        assert line["parameters"] == sum(p.numel() for p in plain.parameters())


@pytest.mark.slow
def test_a_stopped_run_goes_on_to_the_same_record(
    darts: ModuleType, training: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Stopped after each epoch of the search and of the trainings."""
    ways = ["PC-DARTS", "random"]
    whole = rehearsed(darts, tmp_path / "whole", "--ways", *ways)
    check_complete(whole, ways, ways[:1], training)

    seen = set()

    class Impatient:
        """Over when an epoch has ended that had not in an earlier run."""

        def __init__(self, minutes: float) -> None:
            pass

        def over(self, history=None) -> bool:
            losses = tuple(history["train_loss"]) if history else None
            new = losses is not None and losses not in seen
            seen.add(losses)
            return new

    monkeypatch.setattr(darts, "Clock", Impatient)
    folder = tmp_path / "stopped"
    for _ in range(3):
        darts.main(arguments(folder, "--ways", *ways))
        assert "The minutes are over" in capsys.readouterr().out
    stopped = rehearsed(darts, folder, "--ways", *ways)
    assert "2 of 2 cells trained" in capsys.readouterr().out
    assert stopped == whole
    assert not list((folder / "kept").iterdir())


def test_no_minutes_do_nothing_and_nothing_is_done_twice(
    darts: ModuleType, training: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    assert darts.main(arguments(tmp_path, "--ways", "random", "--minutes", "0")) == 0
    assert "0 of 1 cells trained" in capsys.readouterr().out
    first = rehearsed(darts, tmp_path, "--ways", "random")
    before = (tmp_path / "darts.json").read_bytes()
    monkeypatch.setattr(training, "retrain", None)
    assert rehearsed(darts, tmp_path, "--ways", "random") == first
    assert (tmp_path / "darts.json").read_bytes() == before
    assert "1 of 1 cells trained" in capsys.readouterr().out


@pytest.mark.slow
def test_each_way_is_rehearsed(darts: ModuleType, training: ModuleType, tmp_path: Path) -> None:
    record = rehearsed(darts, tmp_path, "--kernels", "fastest")
    check_complete(record, list(training.WAYS), list(training.SEARCHES), training)
    assert record["command"].endswith("darts.py --quick --kernels fastest")
    orders = [line["setting"]["order"] for line in record["searches"]]
    assert orders == ["first", "finite_difference", "exact", "first"]


def test_a_training_in_bfloat16(training: ModuleType, tmp_path: Path) -> None:
    """Of a cell without dilated convolutions, which torch gets wrong on CPUs."""
    images = data.textured_digits(n_train=64, n_test=20)
    losses = []

    def never(history) -> bool:
        return False

    for precision in ("float32", "bfloat16"):
        kept = tmp_path / f"{precision}.pt"
        how = training.How(training.REHEARSAL, images, precision, "deterministic", kept, never)
        made = training.retrain("published-V1", 0, training.known_cell("published-V1", 0), how)
        assert not made["diverged"]
        losses.append(torch.load(kept, weights_only=True)["history"]["train_loss"][0])
    assert losses[0] != losses[1] == pytest.approx(losses[0], rel=0.05)


def test_a_search_that_diverges_has_no_cell_to_train(
    darts: ModuleType, training: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = {"diverged": True, "seconds": 1.0, "step_seconds": 1.0}
    monkeypatch.setattr(training, "search", lambda *run: line)
    monkeypatch.setattr(training, "retrain", None)
    record = rehearsed(darts, tmp_path, "--ways", "first-order")
    assert record["searches"] == [{"way": "first-order", "seed": 0, "diverged": True}]
    assert record["trainings"] == []


def test_the_halves_of_a_search_share_no_image(training: ModuleType) -> None:
    """Each image has a colour of its own, and is not moved."""
    n = 40
    X = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1).expand(n, 3, 32, 32).contiguous()
    images = data.Images("colours", ("a",), X, torch.arange(n), X, torch.arange(n))

    def seen(seed: int, **more: int) -> list[set[int]]:
        scale = training.Scale(**more)
        halves = training.halves(images, 7, seed, scale)
        return [set(torch.cat([y for _, y in half]).tolist()) for half in halves]

    train, val = seen(0)
    assert len(train) == len(val) == n // 2
    assert train | val == set(range(n))
    assert seen(0) == [train, val] != seen(1)
    fewer = seen(0, search_images=10)
    assert [len(half) for half in fewer] == [5, 5]
    assert not fewer[0] & fewer[1]
    assert fewer[0] | fewer[1] <= set(range(n))


def test_random_cells_are_cells_without_none(training: ModuleType) -> None:
    cells = [training.random_cell(seed) for seed in range(20)]
    assert len(set(cells)) == 20
    assert cells[3] == training.random_cell(3)
    used = set()
    for cell in cells:
        check_genotype(cell)
        for genes in (cell.normal, cell.reduce):
            assert len(genes) == 8
            used |= {name for name, _ in genes}
            for (_, first), (_, second) in zip(genes[::2], genes[1::2], strict=True):
                assert first < second
    assert used == set(training.OPERATIONS) - {"none"}


def test_a_file_of_another_scale_is_left_alone(darts: ModuleType, tmp_path: Path, capsys) -> None:
    darts.main(arguments(tmp_path, "--ways", "random"))
    before = (tmp_path / "darts.json").read_bytes()
    with pytest.raises(SystemExit) as error:
        darts.main(arguments(tmp_path, "--ways", "random", "--train-epochs", "3"))
    said = str(error.value)
    assert said.startswith("darts.json was made with another scale")
    assert said.endswith("write to another file with --out, or delete it to start afresh")
    assert (tmp_path / "darts.json").read_bytes() == before


def test_what_is_missing_is_said_with_its_remedy(
    darts: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"no accelerator that torch can use.*give --proxy"):
        darts.main(["--out", str(tmp_path / "darts.json")])

    def missing():
        raise data.DataMissing("CIFAR-10 is not on this machine: run `mlcourse data cifar10`")

    monkeypatch.setattr(data, "cifar10", missing)
    with pytest.raises(SystemExit, match=r"run `mlcourse data cifar10`.*--quick is a rehearsal"):
        darts.main(["--proxy", "--out", str(tmp_path / "darts.json")])
    with pytest.raises(SystemExit):
        darts.main(arguments(tmp_path, "--search-epochs", "0"))
    assert "--search-epochs is 0: give 1 or more" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        darts.main(arguments(tmp_path, "--precision", "bfloat16"))
    assert "--precision bfloat16 is for an accelerator" in capsys.readouterr().err
    assert not (tmp_path / "darts.json").exists()
