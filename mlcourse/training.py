"""Plain training loops, evaluation, what happened in each epoch, and the device to run on."""

from __future__ import annotations

import math
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Literal

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mlcourse import checkpoints
from mlcourse.mlp import check_batches

Numbers = Mapping[str, float | Tensor]
#: Pairs of inputs (N, ...) and labels (N,), or soft labels (N, classes); iterated once an epoch.
Batches = Iterable[tuple[Tensor, Tensor]]
Precision = Literal["float32", "bfloat16", "float16"]


class History(dict[str, list[float]]):
    """Columns of numbers, one entry an epoch: `history["train_loss"]` is a list of floats."""

    def append(self, **numbers: float | Tensor) -> None:
        """Add an epoch. Raises ValueError when its columns are not those of the epochs before."""
        if self and set(numbers) != set(self):
            raise ValueError(
                f"the history has the columns {', '.join(self)} and this epoch "
                f"{', '.join(numbers)}: record the same ones each epoch"
            )
        for name, number in numbers.items():
            self.setdefault(name, []).append(float(number))

    @property
    def epochs(self) -> int:
        """The number of epochs recorded."""
        return len(next(iter(self.values()), []))

    @property
    def last(self) -> dict[str, float]:
        """The last epoch's numbers."""
        return {name: column[-1] for name, column in self.items()}

    @property
    def diverged(self) -> bool:
        """Whether the last epoch's `train_loss` is infinite or not a number."""
        return not math.isfinite(self.last.get("train_loss", 0.0))


def device() -> torch.device:
    """Return the first CUDA device if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def seed_everything(seed: int) -> None:
    """Seed Python, NumPy and torch on all devices, and let cuDNN use deterministic kernels only.

    On a CPU the same program with the same number of threads then gives the same bits. On a GPU
    a few operations outside cuDNN still add in any order (torch's notes on reproducibility).
    Raises ValueError for a seed outside 0 .. 2^32 - 1, which NumPy cannot take.
    """
    np.random.seed(seed)
    random.seed(seed)
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def fit(
    step: Callable[[Tensor, Tensor], float | Tensor],
    X: Tensor,
    Y: Tensor,
    *,
    epochs: int,
    batch_size: int,
    generator: torch.Generator | None = None,
    evaluate: Callable[[], Numbers] | None = None,
    stop: Callable[[History], bool] | None = None,
    progress: bool | None = None,
) -> History:
    """Train for some epochs of shuffled mini-batches and return what happened in each.

    `step(X_batch, Y_batch)` does one update and returns the batch's mean loss before it. The
    history gets `train_loss` (mean over the epoch's examples), `seconds` (of training alone) and
    what `evaluate()` returns after each epoch. When `stop(history)`, asked after each epoch, is
    true, the epoch was the last. A bar shows on a terminal, or as `progress` says. Raises
    ValueError when X and Y differ in length, are empty, or batch_size is below 1.
    """
    check_batches(X, Y, batch_size)
    history = History()
    with _bar(epochs, sys.stderr.isatty() if progress is None else progress) as advance:
        for _ in range(epochs):
            _record(history, partial(_fit_epoch, step, X, Y, batch_size, generator), evaluate)
            advance(history)
            if stop is not None and stop(history):
                break
    return history


def train_model(
    model: nn.Module,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    schedule: LRScheduler | None = None,
    evaluate_on: Mapping[str, Batches] | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    stop: Callable[[History], bool] | None = None,
    precision: Precision = "float32",
    progress: bool | None = None,
) -> History:
    """Train a classifier for some epochs and return what happened in each.

    `loss(logits, labels)` is a mean over the batch. `schedule` steps after each *batch*, so it
    counts in updates: epochs * len(batches) in all. Batches move to the model's device. The
    history gets `train_loss` and `train_accuracy` (means over the epoch's examples while the
    weights move), `lr` (of the first parameter group, at the epoch's first update), `seconds` (of
    training alone), and for each name in `evaluate_on` what `evaluate` gives, `NAME_loss` and
    `NAME_accuracy`. An epoch whose loss is not finite is the last: `history.diverged` says so.
    When `stop(history)`, asked after each epoch, is true, the epoch was the last, too: see
    `EarlyStopping`. The model is left in training mode.

    With a `checkpoint` the state is written there after each epoch, and a run that finds the file
    continues where it ends: on a CPU bit for bit, if whatever is random in `batches` draws from
    its attribute `generator` or from the generators of `seed_everything`. It asks `stop` before
    it continues, as the run may have been stopped. "bfloat16" and "float16" (a GPU only, with the
    loss scaled) run the forward pass in torch's autocast.

    Raises ValueError when there are no batches (an iterator can be used once only: give a list or
    a loader), for a precision that the device lacks, for a schedule that waits for a metric, and
    for a checkpoint that is damaged or belongs to another run.
    """
    if isinstance(schedule, ReduceLROnPlateau):
        raise ValueError(
            "ReduceLROnPlateau waits for a metric: give a schedule whose step() needs nothing"
        )
    names = [f"{name}_{what}" for name in evaluate_on or {} for what in ("loss", "accuracy")]
    scaler = torch.amp.GradScaler(_device(model).type, enabled=precision == "float16")
    run = checkpoints.Run(model, optimizer, schedule, scaler, batches)
    settings = run.settings(loss=loss, precision=precision, columns=names)
    history = History()
    if checkpoint is not None and os.path.exists(checkpoint):
        history.update(run.load(checkpoint, settings, epochs))

    def one_epoch() -> Numbers:
        return _train_epoch(model, batches, optimizer, loss, schedule, scaler, precision)

    def scores() -> Numbers:
        return {
            f"{name}_{what}": number
            for name, held_out in (evaluate_on or {}).items()
            for what, number in evaluate(model, held_out, precision=precision).items()
        }

    def stopped() -> bool:
        return stop is not None and history.epochs > 0 and stop(history)

    model.train()
    done = stopped()
    with _bar(epochs, sys.stderr.isatty() if progress is None else progress) as advance:
        while history.epochs < epochs and not history.diverged and not done:
            _record(history, one_epoch, scores)
            if checkpoint is not None:
                run.save(checkpoint, settings, history)
            done = stopped()
            advance(history)
    return history


def evaluate(
    model: nn.Module, batches: Batches, *, precision: Precision = "float32"
) -> dict[str, float]:
    """Return the mean cross-entropy (`loss`, in nats) and the `accuracy` (in [0, 1]) on batches.

    The model predicts in evaluation mode and no gradient is recorded. Nothing changes: each
    module gets its mode back, and random generators, `batches.generator` too, their states.
    The loss is plain cross-entropy, so that models trained with different losses compare. Raises
    ValueError when there are no batches, and for a precision that the device lacks.
    """
    modes = [(module, module.training) for module in model.modules()]
    generators = checkpoints.random_states(batches)
    total = _Mean(_device(model))
    model.eval()
    try:
        with torch.no_grad():
            for X, y in _on_device(batches, total.device):
                with _autocast(total.device, precision):
                    logits = model(X)
                    batch_loss = F.cross_entropy(logits, y)
                total.add(batch_loss, logits, y)
    finally:
        for module, mode in modes:
            module.training = mode
        checkpoints.restore_random_states(generators, batches)
    return {"loss": total.loss, "accuracy": total.accuracy}


def _train_epoch(
    model: nn.Module,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Tensor, Tensor], Tensor],
    schedule: LRScheduler | None,
    scaler: torch.amp.GradScaler,
    precision: Precision,
) -> Numbers:
    total = _Mean(_device(model))
    lr = float(optimizer.param_groups[0]["lr"])
    for X, y in _on_device(batches, total.device):
        with _autocast(total.device, precision):
            logits = model(X)
            batch_loss = loss(logits, y)
        optimizer.zero_grad()
        scaler.scale(batch_loss).backward()
        scaler.step(optimizer)
        scale = scaler.get_scale()
        scaler.update()
        # The scale falls when float16 overflowed and the update was left out: it counts for none.
        if schedule is not None and scaler.get_scale() >= scale:
            schedule.step()
        total.add(batch_loss, logits, y)
    return {"train_loss": total.loss, "train_accuracy": total.accuracy, "lr": lr}


class _Mean:
    """Loss and accuracy over the examples of some batches."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.n = 0
        # On the device: asking for each batch's numbers would make a GPU wait.
        self.sums = torch.zeros(2, dtype=torch.float64, device=device)

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        classes = labels if labels.ndim == 1 else labels.argmax(1)
        correct = (logits.detach().argmax(1) == classes).sum()
        self.sums += torch.stack([loss.detach().double() * len(logits), correct.double()])
        self.n += len(logits)

    @property
    def loss(self) -> float:
        return float(self.sums[0]) / self.n

    @property
    def accuracy(self) -> float:
        return float(self.sums[1]) / self.n


def _on_device(batches: Batches, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    X = None
    for X, y in batches:
        yield X.to(device, non_blocking=True), y.to(device, non_blocking=True)
    if X is None:
        raise ValueError(
            "there are no batches: give at least one, in a list or a loader that can be "
            "iterated again for the next epoch"
        )


def _device(model: nn.Module) -> torch.device:
    tensors = chain(model.parameters(), model.buffers())
    return next((tensor.device for tensor in tensors), torch.device("cpu"))


def _autocast(device: torch.device, precision: Precision) -> torch.autocast:
    if precision not in ("float32", "bfloat16", "float16"):
        raise ValueError(f'precision is {precision!r}: choose "float32", "bfloat16" or "float16"')
    if precision == "float16" and device.type != "cuda":
        raise ValueError(f'"float16" needs a GPU and the model is on {device}: choose "bfloat16"')
    return torch.autocast(device.type, getattr(torch, precision), enabled=precision != "float32")


def _record(
    history: History, epoch: Callable[[], Numbers], scores: Callable[[], Numbers] | None
) -> None:
    """Run an epoch, time it, evaluate, and add the numbers to the history."""
    start = time.perf_counter()
    numbers = epoch()
    seconds = time.perf_counter() - start
    history.append(**numbers, seconds=seconds, **(scores() if scores else {}))


def _fit_epoch(
    step: Callable[[Tensor, Tensor], float | Tensor],
    X: Tensor,
    Y: Tensor,
    batch_size: int,
    generator: torch.Generator | None,
) -> Numbers:
    where = generator.device if generator else None
    order = torch.randperm(len(X), generator=generator, device=where).to(X.device)
    # Stay on the device: asking for each batch's number would make a GPU wait.
    total = torch.zeros((), dtype=torch.float64, device=X.device)
    for batch in order.split(batch_size):
        total += torch.as_tensor(step(X[batch], Y[batch])).detach() * len(batch)
    return {"train_loss": float(total / len(X))}


@contextmanager
def _bar(epochs: int, shown: bool) -> Iterator[Callable[[History], None]]:
    """Yield a function to call after each epoch. A bar that is not shown must print nothing."""
    if not shown:
        yield lambda history: None
        return
    columns = (
        BarColumn(),
        TextColumn("{task.completed}/{task.total} epochs"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=epochs)
        yield lambda history: bar.update(
            task, completed=history.epochs, description=_summary(history)
        )


def _summary(history: History) -> str:
    shown = {name: number for name, number in history.last.items() if name != "seconds"}
    return "  ".join(f"{name.replace('_', ' ')} {number:.3g}" for name, number in shown.items())
