"""Small trainings with one fault built in, whose learning curves show it, and healthy ones.

A healthy setting is drawn first, and a fault changes as little of it as it needs, so that nothing
else tells the runs apart. A run takes about a second on one core. That a fault is built in does
not mean that it does harm: now and then a high rate trains well.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from mlcourse import curve_tasks
from mlcourse.curve_tasks import Task
from mlcourse.curves import Name
from mlcourse.data import one_hot
from mlcourse.loading import Loader
from mlcourse.training import History, train_model

Examples = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Setting:
    """How one network is trained, and on what.

    `label_noise` is the share of labels that name another class. `change` says what is done to
    the data: nothing (""), "groups missing" or "moved" (training examples are unlike the others),
    "clean validation" or "easy validation", "copies", "near-copies" or "label in inputs" (leaks);
    `strength` is the share of validation examples, or labels, that leak. `spread` is that of
    `curve_tasks.clusters`.
    """

    task: str
    n_train: int
    n_validation: int
    label_noise: float
    hidden: tuple[int, ...]
    activation: str
    optimizer: str
    lr: float
    batch_size: int
    epochs: int
    weight_decay: float
    spread: float
    change: str = ""
    strength: float = 0.0


@dataclass(frozen=True)
class FaultyRun:
    """A training, the fault that was built in, and what to know to judge its curves.

    `classes` of the task; `ceiling`, the accuracy of the best rule there is on fresh examples
    (their wrong labels count as errors); `setting`, everything that was chosen.
    """

    fault: Name
    seed: int
    history: History
    classes: int
    ceiling: float
    setting: Setting


def faulty_run(fault: Name, seed: int) -> FaultyRun:
    """Train a small network with a fault built in ("healthy": with none); the seed fixes all.

    Raises ValueError for a name that `curves.NAMES` lacks.
    """
    if fault not in _FAULTS:
        raise ValueError(f"the fault is {fault!r}: choose one of {', '.join(_FAULTS)}")
    rng = random.Random(f"{fault} {seed}")
    setting = _FAULTS[fault](rng, _healthy(rng))
    generator = torch.Generator().manual_seed(rng.randrange(2**31))
    task = _task(setting, rng, generator)
    train, validation = _data(setting, task, generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(rng.randrange(2**31))
        model = _network(setting, train[0].shape[1], task.classes)
    ceiling = _ceiling(task, setting.label_noise, generator)
    history = train_model(
        model,
        Loader(*train, setting.batch_size, generator=generator),
        _optimizer(setting, model),
        epochs=setting.epochs,
        evaluate_on={"validation": [validation]},
        progress=False,
    )
    return FaultyRun(fault, seed, history, task.classes, ceiling, setting)


def _healthy(rng: random.Random) -> Setting:
    """Enough examples, a net that is large enough, a rate that suits the optimiser."""
    task = rng.choice(["digits", "clusters", "clusters", "rings"])
    label_noise = rng.choice([0.0, 0.0, rng.uniform(0.02, 0.2)])
    optimizer = rng.choice(["sgd", "momentum", "adam"])
    lr = {"sgd": 0.12, "momentum": 0.04, "adam": 0.006}[optimizer] * rng.uniform(0.7, 1.4)
    return Setting(
        task=task,
        n_train=rng.randrange(1000, 1250) if task == "digits" else rng.randrange(1200, 2000),
        n_validation=rng.randrange(200, 500),
        label_noise=label_noise,
        hidden=rng.choice([(32,), (48,), (32, 16), (32, 32)]),
        activation=rng.choice(["relu", "tanh"]),
        optimizer=optimizer,
        lr=lr,
        batch_size=rng.choice([24, 32, 48, 64]),
        epochs=rng.randrange(25, 45),
        weight_decay=rng.uniform(2e-3, 5e-3) if label_noise else rng.choice([0.0, 1e-4, 1e-3]),
        spread=rng.uniform(0.3, 0.5),
    )


def _underfitting(rng: random.Random, s: Setting) -> Setting:
    if rng.random() < 0.4:
        return replace(s, weight_decay=rng.uniform(0.06, 0.15))
    narrow = {"digits": [(2,), (3,), (2, 2)], "clusters": [(), (1,), (2,)], "rings": [(), (1,)]}
    return replace(s, hidden=rng.choice(narrow[s.task]))


def _overfitting(rng: random.Random, s: Setting) -> Setting:
    """A large network learns few noisy examples by heart. (In the plane it cannot: no rings.)"""
    return replace(
        s,
        task=rng.choice(["digits", "clusters"]),
        n_train=rng.randrange(60, 180),
        label_noise=rng.uniform(0.1, 0.2),
        spread=rng.uniform(0.5, 0.8),
        hidden=rng.choice([(256,), (128, 64), (128, 128)]),
        batch_size=8,
        lr=0.6 * s.lr,
        epochs=rng.randrange(100, 150),
        weight_decay=0.0,
    )


def _rate_too_high(rng: random.Random, s: Setting) -> Setting:
    low, high = {"sgd": (3, 25), "momentum": (0.8, 6), "adam": (0.25, 2)}[s.optimizer]
    return replace(s, lr=low * (high / low) ** rng.random())


def _rate_too_low(rng: random.Random, s: Setting) -> Setting:
    return replace(s, lr=s.lr * 10 ** rng.uniform(-3.0, -2.0))


def _unrepresentative_training(rng: random.Random, s: Setting) -> Setting:
    """Few examples, or not all kinds of them; weight decay keeps the network from certainty."""
    task = rng.choice(["digits", "clusters"])
    s = replace(s, task=task, weight_decay=rng.uniform(8e-3, 1.5e-2))
    if rng.random() < 0.5:
        n_train = rng.randrange(30, 90)
        return replace(s, n_train=n_train, batch_size=8, lr=s.lr / 2, epochs=2 * s.epochs)
    change = "moved" if task == "digits" else "groups missing"
    return replace(s, n_train=rng.randrange(1000, 1250), change=change)


def _unrepresentative_validation(rng: random.Random, s: Setting) -> Setting:
    """Too few examples, labels without the training set's noise, or the clear cases only."""
    if rng.random() < 0.5:
        return replace(s, n_validation=rng.randrange(8, 41))
    if rng.random() < 0.5:
        noise = rng.uniform(0.1, 0.3)
        return replace(s, change="clean validation", label_noise=noise, weight_decay=3e-3)
    spread = rng.uniform(0.6, 0.9)
    return replace(s, task="clusters", change="easy validation", spread=spread)


def _leakage(rng: random.Random, s: Setting) -> Setting:
    """Noisy labels that the network is told, or has learnt by heart from the same examples."""
    s = replace(s, label_noise=rng.uniform(0.1, 0.3), weight_decay=0.0)
    if rng.random() < 0.4:
        return replace(s, change="label in inputs", strength=rng.uniform(0.9, 1.0))
    return replace(
        s,
        task=rng.choice(["digits", "clusters"]),
        change=rng.choice(["copies", "near-copies"]),
        strength=rng.uniform(0.75, 1.0),
        n_train=rng.randrange(150, 300),
        n_validation=rng.randrange(100, 150),
        hidden=rng.choice([(256,), (64, 64), (128, 64)]),
        optimizer="adam",
        lr=rng.uniform(0.003, 0.01),
        epochs=rng.randrange(60, 90),
        batch_size=16,
    )


_FAULTS: dict[Name, Callable[[random.Random, Setting], Setting]] = {
    "healthy": lambda rng, setting: setting,
    "underfitting": _underfitting,
    "overfitting": _overfitting,
    "learning rate too high": _rate_too_high,
    "learning rate too low": _rate_too_low,
    "unrepresentative training data": _unrepresentative_training,
    "unrepresentative validation data": _unrepresentative_validation,
    "leakage": _leakage,
}


def _task(s: Setting, rng: random.Random, generator: torch.Generator) -> Task:
    if s.task == "digits":
        return curve_tasks.handwritten_digits(rng.randrange(1000))
    if s.task == "rings":
        return curve_tasks.rings(rng.choice([2, 3]), rng.uniform(0.1, 0.2))
    classes, features, each = rng.randrange(3, 7), rng.randrange(4, 8), rng.randrange(3, 5)
    return curve_tasks.clusters(classes, features, each, s.spread, generator)


def _ceiling(task: Task, label_noise: float, generator: torch.Generator) -> float:
    """Return the best accuracy when a share of the labels names any of the other classes."""
    best = task.best_accuracy(generator)
    return best * (1 - label_noise) + (1 - best) * label_noise / (task.classes - 1)


def _data(s: Setting, task: Task, generator: torch.Generator) -> tuple[Examples, Examples]:
    """Draw the training and the validation examples, and do to them what the setting says."""
    X, y = task.draw(s.n_train, generator)
    V, v = task.draw(s.n_validation, generator)
    if s.change == "groups missing":
        seen = _seen(task.group(X), y)
        X, y = X[seen], y[seen]
    if s.change == "moved":
        V = V.view(-1, 8, 8).roll(1, 2).flatten(1)
    if s.change == "easy validation":
        V, v = _clearest(task, s.n_validation, generator)
    y = _wrong_labels(y, task.classes, s.label_noise, generator)
    if s.change != "clean validation":
        v = _wrong_labels(v, task.classes, s.label_noise, generator)
    if s.change in ("copies", "near-copies"):
        n = int(s.strength * s.n_validation)
        blur = 0.05 if s.change == "near-copies" else 0.0
        copies = X[:n] + blur * torch.randn(X[:n].shape, generator=generator)
        V, v = torch.cat([copies, V[n:]]), torch.cat([y[:n], v[n:]])
    if s.change == "label in inputs":
        X, V = (_told(x, labels, s, task, generator) for x, labels in ((X, y), (V, v)))
    return (X, y), (V, v)


def _seen(group: Tensor, y: Tensor) -> Tensor:
    """Say which examples are of the half of their class's groups that was collected."""
    groups = int(group.max()) + 1
    return (group + y) % groups >= groups // 2


def _clearest(task: Task, n: int, generator: torch.Generator) -> Examples:
    """Return the n examples of 3 n whose class is the surest."""
    assert task.posterior is not None
    X, y = task.draw(3 * n, generator)
    clearest = task.posterior(X).max(1).values.topk(n).indices
    return X[clearest], y[clearest]


def _told(X: Tensor, y: Tensor, s: Setting, task: Task, generator: torch.Generator) -> Tensor:
    """Add inputs that name the label, and name it rightly with probability `strength`."""
    named = _wrong_labels(y, task.classes, 1 - s.strength, generator)
    return torch.cat([X, one_hot(named, task.classes, X.dtype)], 1)


def _wrong_labels(y: Tensor, classes: int, share: float, generator: torch.Generator) -> Tensor:
    other = torch.randint(1, classes, y.shape, generator=generator)
    return torch.where(torch.rand(y.shape, generator=generator) < share, (y + other) % classes, y)


def _network(s: Setting, features: int, classes: int) -> nn.Module:
    layers: list[nn.Module] = []
    for width in s.hidden:
        layers += [nn.Linear(features, width), nn.ReLU() if s.activation == "relu" else nn.Tanh()]
        features = width
    return nn.Sequential(*layers, nn.Linear(features, classes))


def _optimizer(s: Setting, model: nn.Module) -> torch.optim.Optimizer:
    if s.optimizer == "adam":
        return torch.optim.Adam(model.parameters(), s.lr, weight_decay=s.weight_decay)
    momentum = 0.9 if s.optimizer == "momentum" else 0.0
    return torch.optim.SGD(model.parameters(), s.lr, momentum=momentum, weight_decay=s.weight_decay)
