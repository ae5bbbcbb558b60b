"""`updates` and `suggest_lr`: how long a schedule is, and where it begins."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.schedules_questions.shared import RATES, uniform

# --- The number of updates ------------------------------------------------------------------------


def updates_cases(g: Generator) -> list[tuple[int, int, int, bool]]:
    """(examples, batch_size, epochs, drop_last): with and without a rest."""
    found = []
    for batch_size, drop_last in ((32, False), (64, True), (10, False), (7, True), (50, False)):
        whole = int(torch.randint(3, 40, (), generator=g))
        rest = int(torch.randint(1, batch_size // 2, (), generator=g))
        epochs = int(torch.randint(3, 12, (), generator=g))
        found.append((whole * batch_size + rest, batch_size, epochs, drop_last))
    return [*found, (found[0][1] * found[0][2], found[0][1], 4, False)]


def updates_by(
    batches: Callable[[int, int, bool], Any],
    total: Callable[[Any, int], Any] = lambda batches, epochs: batches * epochs,
) -> Callable[[int, int, int, bool], Any]:
    """Count the batches of an epoch, and from them the updates."""
    return lambda n, size, epochs, drop_last: total(batches(n, size, drop_last), epochs)


def batches_of(n: int, size: int, drop_last: bool) -> int:
    return n // size if drop_last else -(-n // size)


def by_loop(n: int, size: int, epochs: int, drop_last: bool) -> int:
    count = 0
    for _ in range(epochs):
        for start in range(0, n, size):
            if not drop_last or start + size <= n:
                count += 1
    return count


def by_loader(n: int, size: int, epochs: int, drop_last: bool) -> int:
    examples: Any = range(n)
    loader = torch.utils.data.DataLoader(examples, size, drop_last=drop_last)
    return epochs * len(loader)


def by_fractions(n: int, size: int, epochs: int, drop_last: bool) -> int:
    share = Fraction(n, size)
    return epochs * (math.floor(share) if drop_last else math.ceil(share))


updates = Question(
    name="updates",
    title="The number of updates",
    points=1,
    reference=updates_by(batches_of),
    cases=updates_cases,
    parts=("the number of updates",),
    mistakes=(
        Mistake(
            "always_down",
            updates_by(lambda n, size, drop_last: n // size),
            "the last, smaller batch of each epoch is not counted: without drop_last it makes an "
            "update too, so round up",
        ),
        Mistake(
            "always_up",
            updates_by(lambda n, size, drop_last: math.ceil(n / size)),
            "drop_last is not used: with it the last, smaller batch is left out, so round down",
        ),
        Mistake(
            "exchanged",
            updates_by(lambda n, size, drop_last: batches_of(n, size, not drop_last)),
            "drop_last is turned round: it is *with* it that the smaller batch is left out",
        ),
        Mistake(
            "not_rounded",
            updates_by(lambda n, size, drop_last: n / size),
            "that is no whole number: an epoch has whole batches and, without drop_last, a smaller "
            "one",
        ),
        Mistake(
            "rounded_at_the_end",
            lambda n, size, epochs, drop_last: (
                n * epochs // size if drop_last else math.ceil(n * epochs / size)
            ),
            "you round the whole training once: each epoch ends with its own rest, so round for "
            "one epoch and multiply",
        ),
        Mistake(
            "one_more",
            updates_by(lambda n, size, drop_last: n // size + (not drop_last)),
            "one batch too many where the examples fill whole batches: add one only if there is a "
            "rest",
        ),
        Mistake(
            "one_epoch",
            updates_by(batches_of, lambda batches, epochs: batches),
            "that is one epoch: multiply by epochs",
        ),
        Mistake(
            "examples",
            lambda n, size, epochs, drop_last: n * epochs,
            "those are the examples seen: one update takes a whole batch of them",
        ),
        Mistake(
            "batches_of_epochs",
            updates_by(batches_of, lambda batches, epochs: batches * (epochs - 1)),
            "one epoch is missing: multiply by epochs",
        ),
    ),
    variants=(
        Variant("counted in loops", by_loop),
        Variant("a DataLoader's length", by_loader),
        Variant("fractions", by_fractions),
        Variant("from pieces", updates_by(batches_of)),
    ),
    hints=(
        "How many batches has one epoch? Try 10 examples and a batch size of 4.",
        "Three batches, the last of them with 2 examples; with drop_last two.",
        "math.ceil(n_examples / batch_size), or n_examples // batch_size with drop_last; times "
        "epochs.",
    ),
)


# --- What a range test suggests -------------------------------------------------------------------

Numbers = Sequence[float]


def range_cases(g: Generator) -> list[tuple[list[float], list[float]]]:
    """(lrs, losses): flat, a steep fall, a slower one, then up, and a deep fall from the heights.

    The fall after the lowest loss is the largest; the largest relative one comes last before it.
    """
    found = []
    for first, growth, tail in (
        (1e-5, 1.5, [3.1, 5.7, 2.9]),
        (1e-4, 2.0, [2.8, 9.0, math.inf]),
        (3e-3, 1.3, [4.0, 2.5, 8.0]),
    ):
        flat = 1 + int(torch.randint(3, (), generator=g))
        falls = [0.01] * flat + [0.1, 0.3, 0.5, 0.2, 0.12, 0.1, 0.35, 0.1, 0.05]
        losses = [2.2 + uniform(g, 0.0, 0.2)]
        for fall in falls:
            losses.append(losses[-1] - fall * uniform(g, 0.95, 1.05))
        losses += [losses[-1] + 0.2, *tail]
        lrs = [first * growth**i for i in range(len(losses))]
        found.append((lrs, losses))
    return found


def steepest(slopes: Numbers) -> int:
    return min(range(len(slopes)), key=slopes.__getitem__)


def changes(lrs: Numbers, losses: Numbers) -> list[float]:
    return [after - before for before, after in pairwise(losses)]


def suggest_by(
    slopes: Callable[[Numbers, Numbers], list[float]] = changes,
    until: Callable[[Numbers], int] = lambda losses: steepest(losses),
    pick: Callable[[Numbers, int], Any] = lambda lrs, i: lrs[i],
    find: Callable[[Numbers], int] = steepest,
) -> Callable[[Numbers, Numbers], Any]:
    """Suggest a rate, with one of the pieces exchanged."""

    def suggest_lr(lrs: Numbers, losses: Numbers) -> Any:
        end = until(losses)
        return pick(lrs, find(slopes(lrs, losses)[:end]))

    return suggest_lr


def by_numpy(lrs: Numbers, losses: Numbers) -> Any:
    end = np.argmin(losses)
    return np.asarray(lrs)[np.argmin(np.diff(np.asarray(losses)[: end + 1]))]


def by_tensors(lrs: Numbers, losses: Numbers) -> Any:
    values = torch.tensor(losses, dtype=torch.float64)
    falling = values[: int(values.argmin()) + 1]
    slope = falling.diff() / torch.tensor(lrs, dtype=torch.float64)[: len(falling)].log().diff()
    return torch.tensor(lrs, dtype=torch.float64)[slope.argmin()]


def by_walking(lrs: Numbers, losses: Numbers) -> float:
    best, lr, lowest = 0.0, lrs[0], min(losses)
    for i in range(len(losses) - 1):
        if losses[i] == lowest:
            break
        if losses[i] - losses[i + 1] > best:
            best, lr = losses[i] - losses[i + 1], lrs[i]
    return lr


suggest_lr = Question(
    name="suggest_lr",
    title="What a range test suggests",
    points=2,
    reference=suggest_by(),
    cases=range_cases,
    parts=("the rate",),
    tolerance=RATES,
    mistakes=(
        Mistake(
            "lowest_loss",
            lambda lrs, losses: lrs[steepest(losses)],
            "that is the rate at the lowest loss, from which on updates do harm: take the one "
            "where the loss *falls most*",
        ),
        Mistake(
            "after_the_lowest",
            suggest_by(until=len),
            "that fall comes after the lowest loss, when the training has diverged: look only "
            "before it",
        ),
        Mistake(
            "one_late",
            suggest_by(pick=lambda lrs, i: lrs[i + 1]),
            "that is the next rate: losses[i + 1] is the loss after the update with lrs[i]",
        ),
        Mistake(
            "over_lr",
            suggest_by(
                lambda lrs, losses: [
                    change / (after - before)
                    for change, (before, after) in zip(
                        changes(lrs, losses), pairwise(lrs), strict=True
                    )
                ]
            ),
            "you divide by the difference of the rates, which makes small rates look steep: the "
            "rates grow by a factor, so compare the plain changes (the slope over log lr)",
        ),
        Mistake(
            "relative",
            suggest_by(
                lambda lrs, losses: [
                    change / before
                    for change, before in zip(changes(lrs, losses), losses, strict=False)
                ]
            ),
            "you compare falls relative to the loss: compare losses[i + 1] - losses[i]",
        ),
        Mistake(
            "largest_rise",
            suggest_by(until=len, find=lambda slopes: steepest([-slope for slope in slopes])),
            "that is where the loss rises most: you look for the largest fall, the most negative "
            "change",
        ),
        Mistake(
            "smallest_change",
            suggest_by(find=lambda slopes: steepest([abs(slope) for slope in slopes])),
            "that is where the loss hardly changes: you look for the largest fall",
        ),
        Mistake(
            "index",
            suggest_by(pick=lambda lrs, i: i),
            "that is the position in the list: return the rate there, lrs[i]",
        ),
        Mistake(
            "tenth",
            suggest_by(pick=lambda lrs, i: lrs[i] / 10),
            "that is a tenth of it: here the rate itself is asked for",
        ),
        Mistake(
            "tenth_of_the_lowest",
            lambda lrs, losses: lrs[steepest(losses)] / 10,
            "a tenth of the rate at the lowest loss is another rule of thumb: here it is the rate "
            "where the loss falls most",
        ),
        Mistake(
            "largest_rate",
            lambda lrs, losses: lrs[-1],
            "that is the largest rate of the test: take the one where the loss falls most",
        ),
    ),
    variants=(
        Variant("NumPy", by_numpy),
        Variant("slopes over the logarithm", by_tensors),
        Variant("a walk to the lowest", by_walking),
        Variant("from pieces", suggest_by()),
    ),
    hints=(
        "First find the lowest loss: losses.index(min(losses)). Only what comes before it counts.",
        "The changes are losses[i + 1] - losses[i], for each i before the lowest. The largest fall "
        "is the smallest of them.",
        "i = min(range(lowest), key=lambda i: losses[i + 1] - losses[i]), and lrs[i] is the rate.",
    ),
)
