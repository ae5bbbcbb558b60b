"""book/experiments/darts_causes.py: what each change is, and a rehearsal."""

import importlib
import json
from pathlib import Path

import pytest
import torch

from mlcourse.nas.remedies.removal import score
from mlcourse.nas.small_networks import noisy_digits

FOLDER = Path(__file__).resolve().parents[2] / "book" / "experiments"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module("darts_causes")


def test_fresh_noise_is_that_of_the_task_on_the_same_images(script) -> None:
    task, clean = noisy_digits(), script.without_noise()
    of_task = task.train.X - clean
    n = sum(len(part.y) for part in (task.train, task.validation))
    drawn = torch.randn(n, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(of_task, script.NOISE * drawn[: len(clean)])
    one, other = (script.noisy(clean, torch.Generator().manual_seed(seed)) for seed in (1, 2))
    assert not torch.equal(one, other)


def test_a_push_is_where_a_small_step_of_alpha_lowers_the_loss_most(script) -> None:
    task = noisy_digits()
    part = type(task.train)(task.train.X[:100], task.train.y[:100])
    model = script.SmallSupernet(4, generator=torch.Generator().manual_seed(0)).double()
    part = part._replace(X=part.X.double())
    before = {name: value.clone() for name, value in model.state_dict().items()}
    loss, push = script.pushes_of(model, part)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    batches = [(part.X[:50], part.y[:50]), (part.X[50:], part.y[50:])]
    assert loss == pytest.approx(score(model, batches).loss)
    torch.testing.assert_close(push.sum(1), torch.zeros(6).double(), atol=1e-12, rtol=0)
    step = 1e-4 / push.norm()
    with torch.no_grad():
        model.alpha += step * push
    lower = score(model, batches).loss
    assert loss - lower == pytest.approx(float(step * push.square().sum()), rel=1e-2)


@pytest.mark.slow
def test_each_way_is_rehearsed(script, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.json"
    monkeypatch.setattr("sys.argv", ["darts_causes.py", "--quick", "--out", str(out)])
    assert script.main() == 0
    runs = {run["way"]: run for run in json.loads(out.read_text("utf-8"))["runs"]}
    assert list(runs) == list(script.WAYS)
    assert runs["late"]["normal_conv_3x3"][0] == pytest.approx(0.25, abs=1e-3)
    alone = runs.pop("weights only")
    assert len(alone["val_push_conv_3x3"]) == 4
    for run in runs.values():
        assert len(run["cells"]) == 4
        assert 0 <= run["discrete"] <= 1
