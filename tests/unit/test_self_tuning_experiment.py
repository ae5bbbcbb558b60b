"""book/experiments/self_tuning.py: its data, its two kinds of training, and a rehearsal."""

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

from mlcourse import data

FOLDER = Path(__file__).resolve().parents[2] / "book" / "experiments"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("self_tuning")


def test_a_fifth_of_the_training_labels_is_wrong_and_no_other(script) -> None:
    split = data.digits(seed=3)
    right = [Y.argmax(1) for Y in (split.Y_train[:200], split.Y_val, split.Y_test)]
    for share, wrong in ((0.0, 0), (0.2, 40)):
        (X, y), *others = script.parts(share, 3)
        assert torch.equal(X, split.X_train[:200])
        assert int((y != right[0]).sum()) == wrong
        assert set(y.tolist()) == set(range(10))
        for (_, labels), expected in zip(others, right[1:], strict=True):
            assert torch.equal(labels, expected)


def test_an_epoch_has_each_image_once_in_a_new_order(script) -> None:
    pair = torch.arange(200.0), torch.arange(200)
    batches = script.Shuffled(pair, torch.Generator().manual_seed(0))
    epochs = [torch.cat([y for _, y in batches]) for _ in range(2)]
    assert all(torch.equal(epoch.sort().values, pair[1]) for epoch in epochs)
    assert not torch.equal(*epochs)
    assert [len(y) for _, y in batches] == [50] * 4


def test_a_strong_penalty_and_a_start_are_really_used(script) -> None:
    pairs = script.parts(0.0, 0)
    free, held = (
        script.plain(pairs, dict(zip(script.HYPERS, (0, 0, lam, lam), strict=True)), 0, 3)
        for lam in (0.0, 10.0)
    )
    assert held["val_loss"] > free["val_loss"] + 0.1
    _, ends = script.tuned(pairs, (0.3, 0.01), 0, script.SETTING["warmup"])
    # In the warm-up no hyper-parameter moves.
    assert ends == pytest.approx(dict(zip(script.HYPERS, (0.3, 0.3, 0.01, 0.01), strict=True)))


@pytest.mark.slow
def test_a_rehearsal_runs_and_is_not_repeated(script, tmp_path: Path, monkeypatch, capsys) -> None:
    out = tmp_path / "runs.json"
    monkeypatch.setattr(sys, "argv", ["self_tuning", "--quick", "--out", str(out)])
    assert script.main() == 0
    first = out.read_text(encoding="utf-8")
    runs = json.loads(first)["runs"]
    assert [run["wrong"] for run in runs] == [0.0, 0.2]
    for run in runs:
        assert len(run["random"]) == 2
        for start in script.STARTS:
            for kind in ("frozen", "tuned", "ends frozen"):
                assert 0 <= run[start][kind]["test_accuracy"] <= 1
    capsys.readouterr()
    assert script.main() == 0
    assert capsys.readouterr().out == "2 runs done, 0 to do\n"
    assert out.read_text(encoding="utf-8") == first
