"""The training loop: what a step sees, what the history holds, when a bar shows."""

import sys
from itertools import chain

import pytest
import torch

from mlcourse import mlp, training
from mlcourse.data import circles


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_fit_gives_the_numbers_of_train():
    split = circles(dtype=torch.float64)
    params = mlp.init_params(2, 4, 2, dtype=torch.float64, generator=generator())
    trained, losses = mlp.train(params, split.X_train, split.Y_train, 0.5, 4, 32, generator(7))

    state = dict(params)

    def step(X, Y):
        yhat, outputs = mlp.forward(state, X)
        state.update(mlp.sgd(state, mlp.backward(state, outputs, Y), 0.5))
        return mlp.loss_accuracy(yhat, Y)[0]

    history = training.fit(
        step, split.X_train, split.Y_train, epochs=4, batch_size=32, generator=generator(7)
    )
    assert history["train_loss"] == pytest.approx(losses, rel=1e-12)
    for name in params:
        torch.testing.assert_close(state[name], trained[name], rtol=1e-12, atol=1e-15)


def test_every_epoch_shows_each_example_once_in_a_new_order():
    X = torch.arange(10.0).reshape(10, 1)
    seen: list[list[float]] = []

    def step(X, Y):
        assert torch.equal(X, Y)
        seen.append(X.flatten().tolist())
        return 0.0

    training.fit(step, X, X, epochs=2, batch_size=4, generator=generator())
    assert [len(batch) for batch in seen] == [4, 4, 2, 4, 4, 2]
    first, second = (list(chain(*batches)) for batches in (seen[:3], seen[3:]))
    assert sorted(first) == sorted(second) == X.flatten().tolist()
    assert first != second


def test_the_epoch_s_loss_weighs_batches_by_their_size():
    X = torch.arange(5.0).reshape(5, 1)
    history = training.fit(lambda X, Y: X.mean(), X, X, epochs=3, batch_size=4)
    assert history["train_loss"] == pytest.approx([2.0, 2.0, 2.0])


def test_the_history_has_what_evaluate_returns_and_the_seconds():
    X = torch.zeros(4, 1)
    values = iter([{"val_loss": torch.tensor(0.5)}, {"val_loss": 0.25}])
    history = training.fit(
        lambda X, Y: 1.0, X, X, epochs=2, batch_size=2, evaluate=lambda: next(values)
    )
    assert list(history) == ["train_loss", "seconds", "val_loss"]
    assert history["val_loss"] == [0.5, 0.25]
    assert all(seconds > 0 for seconds in history["seconds"])
    assert history.epochs == 2
    assert history.last["val_loss"] == 0.25


def test_a_history_starts_empty_and_refuses_other_columns():
    history = training.History()
    assert history.epochs == 0
    assert history.last == {}
    history.append(loss=torch.tensor(1.5))
    assert history == {"loss": [1.5]}
    with pytest.raises(ValueError, match="columns loss and this epoch accuracy"):
        history.append(accuracy=1.0)


@pytest.mark.parametrize(
    ("n_x", "n_y", "batch", "message"),
    [
        (3, 2, 1, r"X has shape \(3, 1\) and Y \(2, 1\)"),
        (0, 0, 1, r"X has shape \(0, 1\) and Y \(0, 1\)"),
        (3, 3, 0, "batch_size is 0"),
    ],
)
def test_nothing_to_train_on_is_refused(n_x, n_y, batch, message):
    with pytest.raises(ValueError, match=message):
        training.fit(
            lambda X, Y: 0, torch.zeros(n_x, 1), torch.zeros(n_y, 1), epochs=1, batch_size=batch
        )


def test_the_bar_shows_when_asked_and_leaves_standard_output_alone(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    X = torch.zeros(4, 1)
    for progress, expected in ((None, False), (False, False), (True, True)):
        training.fit(lambda X, Y: 0.125, X, X, epochs=3, batch_size=2, progress=progress)
        out, err = capsys.readouterr()
        assert out == ""
        assert expected or err == ""
        assert ("3/3 epochs" in err and "train loss 0.125" in err) == expected


def test_the_bar_shows_by_itself_on_a_terminal(capsys, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    X = torch.zeros(4, 1)
    training.fit(lambda X, Y: 0.125, X, X, epochs=3, batch_size=2)
    assert "3/3 epochs" in capsys.readouterr().err


def test_the_device_is_a_gpu_when_there_is_one(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training.device() == torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training.device() == torch.device("cpu")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_fit_runs_on_a_gpu_with_a_generator_of_the_cpu():
    X = torch.arange(5.0, device="cuda").reshape(5, 1)
    history = training.fit(
        lambda X, Y: X.mean(), X, X, epochs=2, batch_size=4, generator=generator()
    )
    assert history["train_loss"] == pytest.approx([2.0, 2.0])
