"""One plain training loop, its history and the device to run on."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from mlcourse.mlp import check_batches

Numbers = Mapping[str, float | Tensor]


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


def device() -> torch.device:
    """Return the first CUDA device if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def fit(
    step: Callable[[Tensor, Tensor], float | Tensor],
    X: Tensor,
    Y: Tensor,
    *,
    epochs: int,
    batch_size: int,
    generator: torch.Generator | None = None,
    evaluate: Callable[[], Numbers] | None = None,
    progress: bool | None = None,
) -> History:
    """Train for some epochs of shuffled mini-batches and return what happened in each.

    `step(X_batch, Y_batch)` does one update and returns the batch's mean loss before it. The
    history gets `train_loss` (mean over the epoch's examples), `seconds` (of training alone) and
    what `evaluate()` returns after each epoch. A bar shows on a terminal, or as `progress` says.
    Raises ValueError when X and Y differ in length, are empty, or batch_size is below 1.
    """
    check_batches(X, Y, batch_size)
    history = History()
    with _bar(epochs, sys.stderr.isatty() if progress is None else progress) as advance:
        for _ in range(epochs):
            start = time.perf_counter()
            loss = _epoch(step, X, Y, batch_size, generator)
            seconds = time.perf_counter() - start
            extra = dict(evaluate()) if evaluate else {}
            history.append(train_loss=loss, seconds=seconds, **extra)
            advance(history)
    return history


def _epoch(
    step: Callable[[Tensor, Tensor], float | Tensor],
    X: Tensor,
    Y: Tensor,
    batch_size: int,
    generator: torch.Generator | None,
) -> float:
    where = generator.device if generator else None
    order = torch.randperm(len(X), generator=generator, device=where).to(X.device)
    # Stay on the device: asking for each batch's number would make a GPU wait.
    total = torch.zeros((), dtype=torch.float64, device=X.device)
    for batch in order.split(batch_size):
        total += torch.as_tensor(step(X[batch], Y[batch])).detach() * len(batch)
    return float(total / len(X))


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
        yield lambda history: bar.update(task, advance=1, description=_summary(history))


def _summary(history: History) -> str:
    shown = {name: number for name, number in history.last.items() if name != "seconds"}
    return "  ".join(f"{name.replace('_', ' ')} {number:.3g}" for name, number in shown.items())
