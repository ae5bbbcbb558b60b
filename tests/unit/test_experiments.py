"""The scripts of book/experiments: their plans, their records, and a rehearsal of each."""

import importlib
import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mlcourse import data
from mlcourse.training import History

FOLDER = Path(__file__).resolve().parents[2] / "book" / "experiments"
#: The scripts that train networks on images; critical_points searches for points instead.
SCRIPTS = sorted(
    path.stem for path in FOLDER.glob("*.py") if "running.main(" in path.read_text(encoding="utf-8")
)


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    """Import a module of the folder, as a script there does."""
    monkeypatch.syspath_prepend(str(FOLDER))

    def one(name: str) -> ModuleType:
        return importlib.import_module(name)

    return one


@pytest.fixture
def running(load, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = load("running")
    pixel = torch.zeros(1, 3, 32, 32, dtype=torch.uint8)
    label = torch.zeros(1, dtype=torch.int64)
    images = data.Images("one pixel", ("a",), pixel, label, pixel, label)
    monkeypatch.setattr(module, "_images", lambda quick: images)
    return module


def losses(*values: float) -> History:
    return History({"train_loss": list(values), "lr": [0.1] * len(values)})


def plan_of(running: ModuleType, *names: str):
    def plan(options):
        return [running.Run(name, {"lr": 0.1}, seed) for seed in options.seeds for name in names]

    return plan


def test_each_run_is_kept_and_none_is_done_twice(running, tmp_path: Path, capsys) -> None:
    out = tmp_path / "toy.json"
    trained = []

    def train(run, images, options):
        if (run.name, run.seed) == ("second", 1):
            raise KeyboardInterrupt
        trained.append((run.name, run.seed))
        return losses(2.0, 1.0)

    plan = plan_of(running, "second", "first")
    arguments = ["--out", str(out)]
    with pytest.raises(KeyboardInterrupt):
        running.main("toy", plan, train, arguments)
    assert trained == [("second", 0), ("first", 0)]

    def rest(run, images, options):
        trained.append((run.name, run.seed))
        return losses(2.0, 1.0)

    assert running.main("toy", plan, rest, arguments) == 0
    assert "2 runs done, 4 to do" in capsys.readouterr().out
    assert sorted(trained) == sorted((name, i) for name in ("first", "second") for i in range(3))
    record = json.loads(out.read_text(encoding="utf-8"))
    assert [(run["name"], run["seed"]) for run in record["runs"]] == [
        ("second", 0), ("second", 1), ("second", 2), ("first", 0), ("first", 1), ("first", 2),
    ]  # fmt: skip
    assert record["data"] == "one pixel"
    assert record["command"] == "python book/experiments/toy.py"
    assert record["runs"][0]["epochs"] == [
        {"train_loss": 2.0, "lr": 0.1},
        {"train_loss": 1.0, "lr": 0.1},
    ]


def test_a_stopped_run_goes_on_in_its_last_epoch(
    load, running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And ends with the numbers of a run that was not stopped."""
    monkeypatch.setattr(running, "ROOT", tmp_path)
    recipe = load("recipe")
    images = data.textured_digits().first(64, 32)
    one = running.Run("one", {"lr": 0.1}, 0)
    options = running._options("toy", ["--out", str(tmp_path / "toy.json")])

    def trained(epochs: int) -> History:
        made = recipe.Recipe(epochs=epochs, batch_size=32, crop=28, flip=True)
        history = recipe.train(made, images, one, options)
        history.pop("seconds")
        return history

    trained(1)
    assert options.checkpoint(one).is_file()
    resumed = trained(2)
    options.checkpoint(one).unlink()
    assert resumed == trained(2)
    assert options.checkpoint(one) != options.checkpoint(running.Run("one", {"lr": 0.1}, 1))


def test_a_loss_that_is_not_finite_is_null_and_called_diverged(running, tmp_path: Path) -> None:
    out = tmp_path / "toy.json"

    def train(run, images, options):
        return losses(2.0, math.nan if run.seed else 1.0)

    arguments = ["--out", str(out), "--seeds", "0", "1"]
    running.main("toy", plan_of(running, "one"), train, arguments)
    runs = json.loads(out.read_text(encoding="utf-8"), parse_constant=pytest.fail)["runs"]
    assert [run["diverged"] for run in runs] == [False, True]
    assert runs[1]["epochs"][-1]["train_loss"] is None


def test_runs_of_other_settings_or_machines_are_not_mixed(running, tmp_path: Path) -> None:
    out = tmp_path / "toy.json"
    arguments = ["--out", str(out), "--seeds", "0"]
    plan = plan_of(running, "one")

    def train(run, images, options):
        return losses(1.0)

    running.main("toy", plan, train, arguments)
    before = out.read_bytes()

    def changed(options):
        return [running.Run("one", {"lr": 0.2}, 0)]

    with pytest.raises(SystemExit, match="run 'one' with other settings than today's"):
        running.main("toy", changed, train, arguments)
    with pytest.raises(SystemExit, match=r"another precision \(float32, now bfloat16\): write to"):
        running.main("toy", plan, train, [*arguments, "--precision", "bfloat16"])
    assert out.read_bytes() == before


def test_the_grid_is_the_source_s_and_the_pair_it_lacks(load) -> None:
    """The products of four rates and two sizes, with (0.1, 512), and one for overfitting."""
    settings = {(lr, batch) for lr, batch, _ in load("lr_batch_grid").SETTINGS}
    products = {(lr, batch) for lr in (0.1, 0.5, 1.0, 2.0) for batch in (128, 512)}
    assert settings == products | {(0.1, 300)}


def test_a_rung_of_the_ladder_adds_to_the_one_before(load) -> None:
    """One idea a rung: what was set stays set, but for the learning rate and its schedule."""
    ladder = load("ladder")
    recipes = [made for made, _ in ladder.rungs(3, ladder.Choices()).values()]
    for before, after in itertools.pairwise(recipes[:8]):
        for name in ("standardise", "crop", "flip", "momentum", "dropout", "batch_norm"):
            assert not getattr(before, name) or getattr(before, name) == getattr(after, name)
    assert {made.epochs for made in recipes} == {3}
    assert {made.batch_size for made in recipes} == {128}


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_rehearsal_runs_and_is_not_repeated(script: str, tmp_path: Path) -> None:
    out = tmp_path / f"{script}.json"
    command = [sys.executable, str(FOLDER / f"{script}.py"), "--quick", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    record = json.loads(out.read_text(encoding="utf-8"))
    assert record["data"].startswith("textured digits")
    assert record["runs"]
    for run in record["runs"]:
        assert len(run["epochs"]) == run["setting"]["epochs"] or run["diverged"]
        assert 0 <= run["epochs"][-1]["test_accuracy"] <= 1
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{len(record['runs'])} runs done, 0 to do" in again.stdout


@pytest.mark.slow
def test_a_rehearsal_of_the_search_for_critical_points(tmp_path: Path) -> None:
    out = tmp_path / "critical_points.json"
    command = [sys.executable, str(FOLDER / "critical_points.py"), "--quick", "--out", str(out)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    record = json.loads(out.read_text(encoding="utf-8"))
    assert [(run["hidden"], run["seed"]) for run in record["runs"]] == [(4, 0), (6, 0)]
    tolerance = record["setting"]["tolerance"]
    for search in itertools.chain(*(run["searches"] for run in record["runs"])):
        assert (search["ended"] == "found") == (search["gradient_norm"] <= tolerance)
        assert 0 <= search["index"] <= 1
    before = out.read_bytes()
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "2 runs done, 0 to do" in again.stdout
    assert out.read_bytes() == before
