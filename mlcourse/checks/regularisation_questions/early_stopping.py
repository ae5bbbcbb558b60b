"""`early_stopping`: which epoch is the best, and after which one to stop."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator

from mlcourse.checks.declare import Mistake, Question, Variant

Losses = list[float]

NAN = None

#: (patience, rank of each loss): equal ranks are equal losses, NAN is one that is not a number.
SHAPES: tuple[tuple[int, tuple[int | None, ...]], ...] = (
    (2, (6, 4, 5, 2, 3, 3, 4, 1, 0, 5)),  # better ones come after the stop
    (3, (7, 4, 6, 5, 2, 3, 5, 6, 1, 0)),  # bad epochs in pieces, and the best after a bad one
    (2, (4, 2, 3, 2, 3, 1, 0, 5)),  # a tie
    (2, (2, 7, 6, 5, 4, 3, 3, 1)),  # each better than the last one, none than the best
    (3, (5, 3, NAN, NAN, 2, 4, 3, 5, 1)),
    (2, (5, 3, NAN, 4, 1, 6, 7, 0)),
    (3, (NAN, 5, 3, 4, 2, 6, 7, 5, 0)),
    (1, (5, 4, 2, 3, 1, 0)),
    (4, (6, 5, 4, 4, 3, 2, 1)),  # never stops
    (3, (5, 1, 3, 2, 4, 0, 6, 7)),
)


def cases(g: Generator) -> list[tuple[Losses, int]]:
    """(validation losses, patience)."""
    found = []
    for patience, ranks in SHAPES:
        levels = (0.2 + torch.rand(8, generator=g, dtype=torch.float64)).cumsum(0).tolist()
        found.append(([math.nan if rank is NAN else levels[rank] for rank in ranks], patience))
    return found


def better_than_best(value: float, best: float, before: float) -> bool:
    return value < best


def stopping(
    better: Callable[[float, float, float], bool] = better_than_best,
    enough: Callable[[int, int], bool] = lambda waited, patience: waited >= patience,
    reset: bool = True,
    start: Callable[[Losses], tuple[int, float]] = lambda losses: (0, math.inf),
    result: Callable[[int, int, Losses], Any] = lambda best, stop, losses: (best, stop),
) -> Callable[[Losses, int], Any]:
    """Early stopping with some of its pieces exchanged."""

    def early_stopping(losses: Losses, patience: int) -> Any:
        (best, lowest), before, waited, stop = start(losses), math.inf, 0, len(losses) - 1
        for epoch, value in enumerate(losses):
            if better(value, lowest, before):
                best, lowest = epoch, value
                waited = 0 if reset else waited
            elif epoch or not math.isfinite(lowest):
                waited += 1
            before = value
            if enough(waited, patience):
                stop = epoch
                break
        return result(best, stop, losses)

    return early_stopping


def at_the_first_rise(losses: Losses, patience: int) -> tuple[int, int]:
    return stopping()(losses, 1)


def without_patience(losses: Losses, patience: int) -> tuple[int, int]:
    return stopping()(losses, len(losses))


def lowest_of_all(best: int, stop: int, losses: Losses) -> tuple[int, int]:
    return stopping()(losses, len(losses))[0], stop


def by_lists(losses: Losses, patience: int) -> list[int]:
    """For each possible end, where the lowest loss so far is."""
    numbers = [value if value == value else math.inf for value in losses]
    for stop in range(len(numbers)):
        so_far = numbers[: stop + 1]
        best = so_far.index(min(so_far)) if min(so_far) < math.inf else -1
        if stop - best >= patience:
            return [best, stop]
    return [numbers.index(min(numbers)), len(numbers) - 1]


def by_cummin(losses: Losses, patience: int) -> tuple[Any, Any]:
    """The running minimum of a tensor, and when it last fell."""
    values = torch.tensor(losses, dtype=torch.float64).nan_to_num(nan=math.inf)
    before = torch.cat([torch.tensor([math.inf], dtype=torch.float64), values.cummin(0).values])
    epochs = torch.arange(len(values))
    best = torch.where(values < before[:-1], epochs, -1).cummax(0).values
    late = (epochs - best >= patience).nonzero()
    stop = late[0, 0] if len(late) else epochs[-1]
    return best[stop], stop


def by_a_countdown(losses: Losses, patience: int) -> tuple[int, int]:
    left, best = patience, -1
    for epoch, loss in enumerate(losses):
        if not math.isnan(loss) and (best < 0 or loss < losses[best]):
            best, left = epoch, patience
        else:
            left -= 1
        if left == 0:
            return best, epoch
    return best, epoch


early_stopping = Question(
    name="early_stopping",
    title="Early stopping",
    points=3,
    reference=stopping(),
    cases=cases,
    parts=("the best epoch", "the last epoch"),
    mistakes=(
        Mistake(
            "than_the_last",
            stopping(better=lambda value, best, before: value < before),
            "each loss is compared with the one before: a slow descent after a jump then counts "
            "as progress, so compare with the best so far",
        ),
        Mistake(
            "waits_from_the_last",
            stopping(
                better=lambda value, best, before: value < before,
                result=lambda best, stop, losses: (by_lists(losses[: stop + 1], 99)[0], stop),
            ),
            "you count epochs that are worse than the one before: count those since the best",
        ),
        Mistake(
            "ties",
            stopping(better=lambda value, best, before: value <= best),
            "a loss that equals the best counts as better: only a lower one does, or a flat curve "
            "would never stop",
        ),
        Mistake(
            "not_worse",
            stopping(better=lambda value, best, before: not value > best),
            "whatever is not worse counts as better, an equal loss and nan too: ask whether the "
            "loss is lower than the best",
        ),
        Mistake(
            "one_more",
            stopping(enough=lambda waited, patience: waited > patience),
            "you wait for one epoch more than patience: stop as soon as patience epochs in a row "
            "were not better",
        ),
        Mistake(
            "one_fewer",
            stopping(enough=lambda waited, patience: waited >= max(patience - 1, 1)),
            "you wait for one epoch fewer than patience: the best epoch itself does not count",
        ),
        Mistake(
            "not_in_a_row",
            stopping(reset=False),
            "the count is never set back: patience counts epochs in a row, so a new best starts "
            "it again from 0",
        ),
        Mistake(
            "nan_is_better",
            stopping(better=lambda value, best, before: not value >= best),
            "a loss that is nan counts as better: comparisons with nan are False, so ask whether "
            "the loss is lower, not whether it is not higher",
        ),
        Mistake(
            "stuck_at_nan",
            stopping(start=lambda losses: (0, losses[0])),
            "the first loss is taken as the best unseen; when it is nan nothing is lower, ever: "
            "start from infinity",
        ),
        Mistake(
            "stop_as_best",
            stopping(result=lambda best, stop, losses: (stop, stop)),
            "you return the epoch of the stop as the best: the best lies patience epochs before, "
            "and its weights are the ones to keep",
        ),
        Mistake(
            "before_the_stop",
            stopping(
                result=lambda best, stop, losses: (max(stop - 1, 0), stop),
            ),
            "the epoch before the stop is not the best one: remember where the lowest loss was",
        ),
        Mistake(
            "lowest_of_all",
            stopping(result=lowest_of_all),
            "your best epoch may come after the stop: training has ended there, and nobody has "
            "seen the later losses",
        ),
        Mistake(
            "no_stop",
            without_patience,
            "training never stops: end it after patience epochs in a row without a new best",
        ),
        Mistake(
            "first_rise",
            at_the_first_rise,
            "training stops at the first epoch that is not better: wait for patience of them in a "
            "row",
        ),
        Mistake(
            "from_one",
            stopping(result=lambda best, stop, losses: (best + 1, stop + 1)),
            "your epochs count from 1: the first is number 0",
        ),
        Mistake(
            "stop_from_one",
            stopping(result=lambda best, stop, losses: (best, stop + 1)),
            "the stop is one too late: return the number of the last epoch that was trained, not "
            "of the one after it",
        ),
        Mistake(
            "exchanged",
            stopping(result=lambda best, stop, losses: (stop, best)),
            "the two are exchanged: return the best epoch first",
        ),
        Mistake(
            "loss_returned",
            stopping(result=lambda best, stop, losses: (losses[best], stop)),
            "you return the lowest loss: return the number of its epoch",
        ),
        Mistake(
            "maximised",
            stopping(
                better=lambda value, best, before: value > best,
                start=lambda losses: (0, -math.inf),
            ),
            "you look for the highest loss: lower is better",
        ),
    ),
    variants=(
        Variant("where the lowest so far is", by_lists),
        Variant("the running minimum of a tensor", by_cummin),
        Variant("a countdown", by_a_countdown),
    ),
    hints=(
        "Keep two things: the lowest loss so far, from infinity on, and its epoch.",
        "After each epoch: is its loss lower? If not, how many epochs is the best ago?",
        "Stop when epoch - best >= patience. A loop that ends without it stops at the last epoch.",
    ),
)
