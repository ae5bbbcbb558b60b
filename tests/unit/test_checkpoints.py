"""A run that is interrupted and resumed is, bit for bit, the run that never stopped."""

import os
import random
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

from mlcourse import checkpoints, training
from mlcourse.loading import Loader

# An odd number of batches, so that NumPy's generator of normal numbers keeps one back.
EPOCHS, BATCHES = 5, 5

SCHEDULES = {
    "none": lambda optimizer: None,
    "one-cycle": lambda o: lr_scheduler.OneCycleLR(o, 0.2, total_steps=EPOCHS * BATCHES),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, EPOCHS * BATCHES),
    "restarts": lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3, 2),
    "steps": lambda o: lr_scheduler.MultiStepLR(o, [7, 13]),
    "lambda": lambda o: lr_scheduler.LambdaLR(o, lambda batch: 0.9**batch),
    "warm-up": lambda o: lr_scheduler.SequentialLR(
        o,
        [lr_scheduler.LinearLR(o, 0.1, total_iters=5), lr_scheduler.ExponentialLR(o, 0.95)],
        [5],
    ),
}
OPTIMIZERS = {
    "sgd": lambda parameters: torch.optim.SGD(parameters, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "adam": lambda parameters: torch.optim.AdamW(parameters, lr=0.01),
}


class Interrupted(Exception):
    """As when the machine is switched off in the middle of an epoch."""


class Fragile:
    """A loader that fails in one of its batches."""

    def __init__(self, loader: Loader, at: int | None):
        self.loader, self.at, self.generator = loader, at, loader.generator

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch in self.loader:
            if self.at == 0:
                raise Interrupted
            if self.at is not None:
                self.at -= 1
            yield batch


def noisy(X: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
    """An augmentation that draws from every source of randomness there is."""
    shift = random.random() + np.random.rand() + np.random.randn() + torch.rand(())
    return (X + 10 * (shift + torch.rand((), generator=generator))).to(torch.uint8)


def loader(seed: int | None, n: int = 26) -> Loader:
    generator = torch.Generator().manual_seed(0)
    X = torch.randint(0, 256, (n, 3, 6, 6), dtype=torch.uint8, generator=generator)
    y = torch.randint(0, 4, (n,), generator=generator)
    own = None if seed is None else torch.Generator().manual_seed(seed)
    return Loader(X, y, 6, augment=[noisy], generator=own)


def network(width: int = 5) -> nn.Sequential:
    return nn.Sequential(
        *(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.3), nn.Linear(4 * width, 4)),
    )


class Experiment:
    """All objects of a run, made from a seed."""

    def __init__(self, schedule="one-cycle", optimizer="sgd", loader_seed=3, seed=1, at=None):
        training.seed_everything(seed)
        self.model = network()
        self.optimizer = OPTIMIZERS[optimizer](self.model.parameters())
        self.schedule = SCHEDULES[schedule](self.optimizer)
        self.batches = Fragile(loader(loader_seed), at)

    def train(self, **more) -> training.History:
        settings = {"epochs": EPOCHS, "evaluate_on": {"test": loader(8)}, **more}
        return training.train_model(
            self.model, self.batches, self.optimizer, schedule=self.schedule, **settings
        )

    def outcome(self, history: training.History) -> dict[str, object]:
        return {
            "history": {name: column for name, column in history.items() if name != "seconds"},
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict()["state"],
            "rate": self.optimizer.param_groups[0]["lr"],
            "random": (random.random(), np.random.randn(), torch.rand(3)),
        }


def assert_same(got, expected):
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("schedule", "optimizer", "loader_seed"),
    [(schedule, "sgd", 3) for schedule in SCHEDULES] + [("cosine", "adam", None)],
)
@pytest.mark.parametrize("same_objects", [True, False])
@pytest.mark.slow
def test_resumed_training_is_bit_identical(
    tmp_path, schedule, optimizer, loader_seed, same_objects
):
    path = tmp_path / "runs" / "run.pt"
    whole = Experiment(schedule, optimizer, loader_seed)
    expected = whole.outcome(whole.train())

    # In the second batch of the fourth epoch.
    run = Experiment(schedule, optimizer, loader_seed, at=3 * BATCHES + 1)
    with pytest.raises(Interrupted):
        run.train(checkpoint=path)
    if same_objects:
        run.batches.at = None
    else:
        run = Experiment(schedule, optimizer, loader_seed=loader_seed and 77, seed=99)
    history = run.train(checkpoint=path)
    assert history.epochs == EPOCHS
    assert_same(run.outcome(history), expected)
    assert os.listdir(path.parent) == ["run.pt"]


def test_writing_checkpoints_changes_no_number(tmp_path):
    without = Experiment()
    expected = without.outcome(without.train())
    with_file = Experiment()
    assert_same(with_file.outcome(with_file.train(checkpoint=tmp_path / "run.pt")), expected)


def test_a_finished_run_is_loaded_and_more_epochs_continue_it(tmp_path):
    path = tmp_path / "run.pt"
    first = Experiment("none")
    finished = first.train(checkpoint=path, epochs=3)
    weights = {name: value.clone() for name, value in first.model.state_dict().items()}

    again = Experiment("none", seed=5)
    assert again.train(checkpoint=path, epochs=3) == finished  # the seconds too: nothing ran
    assert_same(again.model.state_dict(), weights)
    longer = again.train(checkpoint=path)
    assert longer.epochs == EPOCHS
    assert longer["train_loss"][:3] == finished["train_loss"]
    outcome = again.outcome(longer)
    whole = Experiment("none")
    assert_same(outcome, whole.outcome(whole.train()))

    with pytest.raises(ValueError, match="holds 5 epochs and 3 are asked for"):
        again.train(checkpoint=path, epochs=3)


def test_a_run_that_diverged_stays_so(tmp_path):
    path = tmp_path / "run.pt"
    run = Experiment("none")
    run.optimizer = torch.optim.SGD(run.model.parameters(), lr=1e30)
    history = run.train(checkpoint=path)
    assert history.diverged
    assert history.epochs < EPOCHS
    again = run.train(checkpoint=path)
    assert again.diverged
    assert again["seconds"] == history["seconds"]


def test_a_failed_write_keeps_the_last_checkpoint(tmp_path, monkeypatch):
    path = tmp_path / "run.pt"
    run = Experiment("none")
    save = torch.save

    def never_in_place(state: object, part: Path) -> None:
        assert part != path
        save(state, part)

    monkeypatch.setattr(torch, "save", never_in_place)
    run.train(checkpoint=path, epochs=2)
    before = path.read_bytes()

    def full_disk(state: object, part: Path) -> None:
        part.write_bytes(b"half of")
        raise OSError("No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="No space"):
        run.train(checkpoint=path, epochs=3)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["run.pt"]


# Files that must not be continued


def other_model(run):
    run.model = network(width=7)
    run.optimizer = OPTIMIZERS["sgd"](run.model.parameters())


def fewer_layers(run):
    run.model = run.model[:5].append(nn.Linear(20, 4))
    run.optimizer = OPTIMIZERS["sgd"](run.model.parameters())


def other_optimizer(run):
    run.optimizer = OPTIMIZERS["adam"](run.model.parameters())


def other_rate(run):
    run.optimizer = torch.optim.SGD(run.model.parameters(), 0.2, momentum=0.9, weight_decay=1e-3)


def other_momentum(run):
    run.optimizer = torch.optim.SGD(run.model.parameters(), 0.1, momentum=0.8, weight_decay=1e-3)


def other_groups(run):
    weights, biases = list(run.model.parameters())[::2], list(run.model.parameters())[1::2]
    run.optimizer = OPTIMIZERS["sgd"]([{"params": weights}, {"params": biases, "lr": 0.3}])


def other_schedule(run):
    run.schedule = SCHEDULES["cosine"](run.optimizer)


def other_batches(run):
    run.batches = loader(3, n=40)


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        (other_model, {}, r"the model's 0.weight is \(5, 3, 3, 3\) torch.float32 there and \(7, "),
        (fewer_layers, {}, "the model's 5.weight is absent there"),
        (other_optimizer, {}, "the optimizer is SGD there and AdamW here"),
        (other_rate, {}, "the optimizer's lr is 0.1 there and 0.2 here"),
        (other_momentum, {}, "the optimizer's momentum is 0.9 there and 0.8 here"),
        (other_groups, {}, "the optimizer's parameter groups is"),
        (other_schedule, {}, "the schedule is absent there and CosineAnnealingLR here"),
        (other_batches, {}, "the number of batches is 5 there and 7 here"),
        (None, {"precision": "bfloat16"}, "the precision is float32 there and bfloat16 here"),
        (None, {"evaluate_on": {}}, "evaluate_on is test_loss, test_accuracy there and nothing"),
        (None, {"loss": nn.MSELoss()}, "the loss is cross_entropy there and MSELoss here"),
        (
            None,
            {"loss": partial(F.cross_entropy, label_smoothing=0.1)},
            "the loss is cross_entropy there and cross_entropy with {'label_smoothing': 0.1} here",
        ),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_changes_nothing(
    tmp_path, change, more, message
):
    path = tmp_path / "run.pt"
    Experiment("none").train(checkpoint=path, epochs=1)
    run = Experiment("none")
    if change:
        change(run)
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    with pytest.raises(ValueError, match=message) as caught:
        run.train(checkpoint=path, **more)
    assert "\n" not in str(caught.value)
    assert_same(run.model.state_dict(), before)


def test_a_schedule_of_another_length_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    Experiment("one-cycle").train(checkpoint=path, epochs=1)
    run = Experiment("none")
    run.schedule = lr_scheduler.OneCycleLR(run.optimizer, 0.2, total_steps=99)
    with pytest.raises(ValueError, match="the schedule's total_steps is 25 there and 99 here"):
        run.train(checkpoint=path)


def damaged(content: bytes) -> Iterator[bytes]:
    yield b""
    yield b"not a checkpoint"
    yield content[: len(content) // 2]
    yield content[:-1]
    for place in range(0, len(content), len(content) // 40):
        yield content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]


def test_a_damaged_file_is_refused_or_unharmed(tmp_path):
    path = tmp_path / "run.pt"
    run = Experiment("none")
    history = run.train(checkpoint=path, epochs=1)
    expected = {name: value.clone() for name, value in run.model.state_dict().items()}
    content = path.read_bytes()
    refused = []
    for broken in damaged(content):
        path.write_bytes(broken)
        try:
            assert run.train(checkpoint=path, epochs=1) == history
        except ValueError as error:
            refused.append(str(error))
        assert_same(run.model.state_dict(), expected)
    assert set(refused) == {f"{path} is damaged or no checkpoint: delete it, or give another path"}
    assert len(refused) > 20  # the rest fell on the padding between the parts of the file


def test_another_file_of_torch_is_refused(tmp_path):
    path = tmp_path / "weights.pt"
    run = Experiment("none")
    torch.save(run.model.state_dict(), path)
    with pytest.raises(ValueError, match="was not written by train_model"):
        run.train(checkpoint=path)


class Malicious:
    def __reduce__(self):
        return (os.mkdir, ("owned",))


def test_a_checkpoint_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"format": checkpoints.FORMAT, "settings": Malicious()}, "run.pt")
    with pytest.raises(ValueError, match="damaged or no checkpoint"):
        Experiment("none").train(checkpoint="run.pt")
    assert os.listdir() == ["run.pt"]
