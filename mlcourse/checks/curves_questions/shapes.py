"""`smooth`, `best_epoch`, `jumps` and `still_falling`: numbers that say how a curve looks."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.curves_questions.shared import Losses, falling, use_list
from mlcourse.checks.declare import Mistake, Question, Variant


def mean(values: Losses) -> float:
    return sum(values) / len(values)


# --- Smoothing ------------------------------------------------------------------------------------


def smooth_cases(g: Generator) -> list[tuple[Losses, int]]:
    """(values, k): odd and even windows, none at all, and one that is longer than the list."""
    shapes = ((12, 3), (9, 4), (15, 5), (7, 1), (5, 8))
    return [(falling(n, g), k) for n, k in shapes]


def windows(
    first: Callable[[int, int], int] = lambda t, k: t - k + 1,
    last: Callable[[int, int], int] = lambda t, k: t,
    of: Callable[[Losses, int], float] = lambda window, k: mean(window),
) -> Callable[[Losses, int], Losses]:
    """Smooth with windows from `first` to `last`, as far as they lie in the list."""

    def smooth(values: Losses, k: int) -> Losses:
        found = []
        for t in range(len(values)):
            window = values[max(first(t, k), 0) : last(t, k) + 1]
            found.append(of(window, k) if window else math.nan)
        return found

    return smooth


def whole_windows(values: Losses, k: int) -> Losses:
    return [mean(values[t - k + 1 : t + 1]) for t in range(k - 1, len(values))]


def raw_start(values: Losses, k: int) -> Losses:
    return [*values[: k - 1], *whole_windows(values, k)]


def exponential(values: Losses, k: int) -> Losses:
    found, running = [], values[0]
    for value in values:
        running += (value - running) * 2 / (k + 1)
        found.append(running)
    return found


def blocks(values: Losses, k: int) -> Losses:
    return [mean(values[t : t + k]) for t in range(0, len(values), k)]


def in_place(values: Losses, k: int) -> Losses:
    for t in range(len(values)):
        values[t] = mean(values[max(t - k + 1, 0) : t + 1])
    return values


def by_cumsum(values: Losses, k: int) -> Any:
    sums = np.cumsum([0.0, *values])
    ends = np.arange(1, len(values) + 1)
    starts = np.maximum(ends - k, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def by_a_queue(values: Losses, k: int) -> Losses:
    queue: Losses = []
    found = []
    for value in values:
        queue.append(value)
        if len(queue) > k:
            queue.pop(0)
        found.append(math.fsum(queue) / len(queue))
    return found


smooth = Question(
    name="smooth",
    title="A trailing mean",
    points=2,
    reference=windows(),
    cases=smooth_cases,
    use=use_list,
    mistakes=(
        Mistake(
            "centred",
            windows(lambda t, k: t - k // 2, lambda t, k: t + (k - 1) // 2),
            "your window lies around the epoch, so it looks ahead: during a training those losses "
            "do not exist yet, so end the window at the epoch itself",
        ),
        Mistake(
            "ahead",
            windows(lambda t, k: t, lambda t, k: t + k - 1),
            "your window begins at the epoch and looks ahead: take the k losses up to the epoch",
        ),
        Mistake(
            "both_ways",
            windows(lambda t, k: t - k + 1, lambda t, k: t + k - 1),
            "your window reaches k - 1 epochs back and as many ahead: end it at the epoch itself",
        ),
        Mistake(
            "shorter",
            whole_windows,
            "the first k - 1 entries are missing: where fewer than k losses are there, take the "
            "mean of those, so that the list keeps its length",
        ),
        Mistake(
            "raw_start",
            raw_start,
            "the first k - 1 losses are left as they were: take the mean of those that are there",
        ),
        Mistake(
            "divided_by_k",
            windows(of=lambda window, k: sum(window) / k),
            "at the start you divide by k, though fewer losses are there: the smoothed curve then "
            "begins near 0, so divide by the number of losses in the window",
        ),
        Mistake(
            "one_more",
            windows(first=lambda t, k: t - k),
            "your windows have k + 1 losses: the epoch itself is one of the k",
        ),
        Mistake(
            "one_fewer",
            windows(of=lambda window, k: mean(window[-max(k - 1, 1) :])),
            "your windows have k - 1 losses: the epoch itself is one of the k",
        ),
        Mistake(
            "without_itself",
            windows(lambda t, k: t - k, lambda t, k: t - 1),
            "the epoch's own loss is left out: the window ends with it",
        ),
        Mistake(
            "summed",
            windows(of=lambda window, k: sum(window)),
            "these are sums: divide by the number of losses in the window",
        ),
        Mistake(
            "from_the_start",
            windows(first=lambda t, k: 0),
            "you average everything since the first epoch, so the start is never forgotten: take "
            "the last k losses alone",
        ),
        Mistake(
            "exponential",
            exponential,
            "this is an exponential moving average, which never quite forgets: take the plain "
            "mean of the last k losses",
        ),
        Mistake(
            "median",
            windows(of=lambda window, k: float(np.median(window))),
            "this is the median of the window: take its mean",
        ),
        Mistake(
            "blocks",
            blocks,
            "you cut the list into blocks of k: the window moves on by one epoch at a time, and "
            "the list keeps its length",
        ),
        Mistake(
            "in_place",
            in_place,
            "the smoothed values are written into the caller's list, where the next windows read "
            "them: make a new list",
        ),
        Mistake("unchanged", lambda values, k: list(values), "nothing is smoothed"),
    ),
    variants=(
        Variant("differences of sums", by_cumsum),
        Variant("a queue", by_a_queue),
        Variant(
            "tensors",
            lambda values, k: torch.stack(
                [
                    torch.tensor(values, dtype=torch.float64)[max(t - k + 1, 0) : t + 1].mean()
                    for t in range(len(values))
                ]
            ),
        ),
    ),
    hints=(
        "Entry t (counting from 0) is the mean of values[t - k + 1] to values[t].",
        "A negative index counts from the end of a list: begin at max(t - k + 1, 0).",
        "Divide by the length of the window, which is shorter than k at the start.",
    ),
)


# --- The best epoch -------------------------------------------------------------------------------

NAN = None

#: Ranks of the losses: equal ranks are equal losses, NAN is one that is not a number.
RANKS: tuple[tuple[int | None, ...], ...] = (
    (5, 3, 4, 1, 2, 6, 4),
    (6, 2, 4, 2, 5, 2, 3),  # ties
    (0, 4, 3, 2, 5),  # the first
    (5, 3, 4, 2, 1),  # the last
    (5, 3, NAN, 4, 2, 6, NAN),
    (NAN, 5, 1, 3, 2),
    (4, 2, NAN, NAN, NAN),
)


def best_cases(g: Generator) -> list[tuple[Losses]]:
    found = []
    for ranks in RANKS:
        levels = (0.2 + torch.rand(8, generator=g, dtype=torch.float64)).cumsum(0).tolist()
        found.append(([math.nan if rank is NAN else levels[rank] for rank in ranks],))
    return found


def lowest(losses: Losses) -> int:
    """Return the first position of the lowest number."""
    numbers = [math.inf if math.isnan(loss) else loss for loss in losses]
    return numbers.index(min(numbers))


def last_lowest(losses: Losses) -> int:
    numbers = [math.inf if math.isnan(loss) else loss for loss in losses]
    return max(t for t, loss in enumerate(numbers) if loss == min(numbers))


def first_rise(losses: Losses) -> int:
    for t, (before, after) in enumerate(pairwise(losses), start=1):
        if not after <= before:
            return t
    return len(losses)


def by_a_loop(losses: Losses) -> int:
    best = 0
    for epoch, loss in enumerate(losses, start=1):
        if loss == loss and (not best or loss < losses[best - 1]):
            best = epoch
    return best


best_epoch = Question(
    name="best_epoch",
    title="The best epoch",
    points=1,
    reference=lambda losses: lowest(losses) + 1,
    cases=best_cases,
    parts=("the best epoch",),
    mistakes=(
        Mistake("from_zero", lowest, "your epochs count from 0: here the first is number 1"),
        Mistake(
            "last_of_equals",
            lambda losses: last_lowest(losses) + 1,
            "of several epochs with the lowest loss you return the last: the first had it sooner",
        ),
        Mistake(
            "nan_is_lowest",
            lambda losses: int(torch.tensor(losses, dtype=torch.float64).argmin()) + 1,
            "an epoch whose loss is nan is called the best, as argmin does: nan is no number, so "
            "leave it out",
        ),
        Mistake(
            "nan_first",
            lambda losses: losses.index(min(losses)) + 1,
            "when the first loss is nan you call it the best: nothing is lower than nan, and "
            "nothing higher, so min() keeps it. Leave nan out",
        ),
        Mistake(
            "index_of_min",
            lambda losses: losses.index(min(losses)),
            "index counts from 0, so add 1; and when the first loss is nan, min() keeps it, since "
            "nothing is lower than nan: leave nan out",
        ),
        Mistake(
            "argmin",
            lambda losses: int(torch.tensor(losses, dtype=torch.float64).argmin()),
            "argmin counts from 0, so add 1; and it takes nan for the lowest: leave nan out",
        ),
        Mistake(
            "among_numbers",
            lambda losses: (numbers := [x for x in losses if x == x]).index(min(numbers)) + 1,
            "you take the nan out and then count the epochs that are left: the later ones get too "
            "low a number",
        ),
        Mistake(
            "highest",
            lambda losses: (
                max(range(len(losses)), key=lambda t: (losses[t] == losses[t], losses[t])) + 1
            ),
            "you look for the highest loss: lower is better",
        ),
        Mistake(
            "loss_returned",
            lambda losses: losses[lowest(losses)],
            "you return the lowest loss: return the number of its epoch",
        ),
        Mistake(
            "last",
            lambda losses: len(losses),
            "this is the last epoch: the best may lie long before",
        ),
        Mistake(
            "first_rise",
            first_rise,
            "you stop at the first loss that is higher than the one before: look through all of "
            "them",
        ),
    ),
    variants=(
        Variant("a loop", by_a_loop),
        Variant("nanargmin", lambda losses: np.nanargmin(losses) + 1),
        Variant(
            "a tensor without nan",
            lambda losses: torch.tensor(losses).double().nan_to_num(nan=math.inf).argmin() + 1,
        ),
    ),
    hints=(
        "Put infinity in the place of each nan; then nothing is lost, and nothing moves.",
        "A list's index(value) finds the first of equal values, counting from 0.",
        "Add 1: on the axis of a picture the first epoch is number 1.",
    ),
)


# --- Jumps ----------------------------------------------------------------------------------------


def jumps_cases(g: Generator) -> list[tuple[Losses]]:
    """Calm and wild ones, a straight line, and the shortest list there is."""
    found = [falling(n, g, noise) for n, noise in ((12, 0.02), (20, 0.4), (9, 0.2), (3, 0.3))]
    line = [2.0 - 0.125 * t for t in range(8)]
    return [*((losses,) for losses in found), (line,)]


def bends(losses: Losses) -> Losses:
    """How far each loss is above the middle of its neighbours."""
    inner = range(1, len(losses) - 1)
    return [losses[t] - (losses[t - 1] + losses[t + 1]) / 2 for t in inner]


def steps(losses: Losses) -> Losses:
    return [after - before for before, after in pairwise(losses)]


def size(values: Losses) -> Losses:
    return [abs(value) for value in values]


def jumps_by(
    above: Callable[[Losses], float] = lambda losses: mean(size(bends(losses))),
    below: Callable[[Losses], float] = mean,
) -> Callable[[Losses], float]:
    return lambda losses: above(losses) / below(losses)


def by_tensors(losses: Losses) -> Any:
    curve = torch.tensor(losses, dtype=torch.float64)
    return (curve[2:] - 2 * curve[1:-1] + curve[:-2]).abs().mean() / 2 / curve.mean()


def by_diff(losses: Losses) -> Any:
    return np.abs(np.diff(losses, 2)).mean() / (2 * np.mean(losses))


jumps = Question(
    name="jumps",
    title="How much a curve jumps",
    points=2,
    reference=jumps_by(),
    cases=jumps_cases,
    parts=("the size of the jumps",),
    mistakes=(
        Mistake(
            "steps",
            jumps_by(lambda losses: mean(size(steps(losses)))),
            "these are the steps from one epoch to the next: a calm fall has them too. Take the "
            "distance from the middle of the two neighbours",
        ),
        Mistake(
            "one_neighbour",
            jumps_by(lambda losses: mean(size(steps(losses)[:-1]))),
            "you compare each loss with the one before alone, so a calm fall counts as jumps: take "
            "the middle of both neighbours",
        ),
        Mistake(
            "next_neighbour",
            jumps_by(lambda losses: mean(size(steps(losses)[1:]))),
            "you compare each loss with the next one alone, so a calm fall counts as jumps: take "
            "the middle of both neighbours",
        ),
        Mistake(
            "no_sizes",
            jumps_by(lambda losses: mean(bends(losses))),
            "jumps up and down cancel: take the size of each distance, without its sign",
        ),
        Mistake(
            "size_of_the_mean",
            jumps_by(lambda losses: abs(mean(bends(losses)))),
            "you take the size of the mean, when up and down have cancelled: take the sizes first, "
            "then their mean",
        ),
        Mistake(
            "not_divided",
            jumps_by(below=lambda losses: 1.0),
            "the distances are not divided by the mean loss, so a high curve seems to jump more",
        ),
        Mistake(
            "doubled",
            jumps_by(lambda losses: 2 * mean(size(bends(losses)))),
            "this is twice as much: the middle of the neighbours is half their sum",
        ),
        Mistake(
            "squares",
            jumps_by(lambda losses: mean([x * x for x in bends(losses)]) ** 0.5),
            "this is the root of the mean square: take the mean of the sizes",
        ),
        Mistake(
            "largest",
            jumps_by(lambda losses: max(size(bends(losses)))),
            "this is the largest jump: take the mean of them all",
        ),
        Mistake(
            "summed",
            jumps_by(lambda losses: sum(size(bends(losses)))),
            "these are the sizes summed up: divide by their number",
        ),
        Mistake(
            "all_epochs",
            jumps_by(lambda losses: sum(size(bends(losses))) / len(losses)),
            "the first and the last epoch have one neighbour and so no distance: divide by the "
            "number of the others",
        ),
        Mistake(
            "inner_mean",
            jumps_by(below=lambda losses: mean(losses[1:-1])),
            "you divide by the mean of the inner losses: take the mean of all",
        ),
        Mistake(
            "last_loss",
            jumps_by(below=lambda losses: losses[-1]),
            "you divide by the last loss, which jumps itself: take the mean of all",
        ),
        Mistake(
            "first_loss",
            jumps_by(below=lambda losses: losses[0]),
            "you divide by the first loss: take the mean of all",
        ),
        Mistake(
            "deviation",
            jumps_by(lambda losses: float(np.std(losses))),
            "this is the standard deviation of the curve, which a calm fall has too: take the "
            "distance from the middle of the two neighbours",
        ),
        Mistake(
            "before",
            jumps_by(
                lambda losses: mean(
                    [abs(losses[t] - mean(losses[t - 2 : t])) for t in range(2, len(losses))]
                )
            ),
            "you compare with the two losses before: a calm fall then counts as jumps, so take "
            "one neighbour on each side",
        ),
    ),
    variants=(
        Variant("tensors", by_tensors),
        Variant("second differences", by_diff),
        Variant(
            "triples",
            lambda losses: (
                sum(
                    abs(b - a / 2 - c / 2)
                    for a, b, c in zip(losses, losses[1:], losses[2:], strict=False)
                )
                / (len(losses) - 2)
                * len(losses)
                / sum(losses)
            ),
        ),
    ),
    hints=(
        "For each epoch but the first and the last: abs(l[t] - (l[t - 1] + l[t + 1]) / 2).",
        "Take the mean of these, and divide it by the mean of all losses.",
        "A straight line must give 0.",
    ),
)


# --- Still falling --------------------------------------------------------------------------------


def falling_cases(g: Generator) -> list[tuple[Losses]]:
    """Some whose length is no multiple of 3, some that rise, one that stays."""
    found = [falling(n, g, 0.02) for n in (12, 13, 14, 26, 6)]
    rising = sorted(falling(11, g))
    late = [1.0, 0.9, 0.8, *sorted(falling(7, g, 0.02), reverse=True)[2:], 0.95]
    return [*((losses,) for losses in found), (rising,), ([0.7] * 9,), (late,)]


def share_by(
    last: Callable[[Losses], float],
    whole: Callable[[Losses], float] = lambda losses: losses[0] - losses[-1],
    guard: bool = True,
) -> Callable[[Losses], float]:
    def still_falling(losses: Losses) -> float:
        if guard and losses[-1] >= losses[0]:
            return 0.0
        return last(losses) / whole(losses)

    return still_falling


def last_third(losses: Losses) -> float:
    return losses[-1 - len(losses) // 3] - losses[-1]


def averaged(losses: Losses) -> float:
    m = len(losses) // 3
    return mean(losses[-2 * m : -m]) - mean(losses[-m:])


def by_indices(losses: Losses) -> float:
    n = len(losses)
    if not losses[0] > losses[n - 1]:
        return 0
    return 1 - (losses[0] - losses[n - 1 - n // 3]) / (losses[0] - losses[n - 1])


def by_an_array(losses: Losses) -> Any:
    curve = np.array(losses)
    fall = -np.diff(curve)
    return fall[-(len(curve) // 3) :].sum() / fall.sum() if fall.sum() > 1e-12 else 0.0


def by_a_tensor(losses: Losses) -> Any:
    curve = torch.tensor(losses, dtype=torch.float64)
    whole = curve[0] - curve[-1]
    part = curve[len(curve) - 1 - len(curve) // 3] - curve[-1]
    return torch.where(whole > 0, part / whole, 0.0)


still_falling = Question(
    name="still_falling",
    title="Is it still falling?",
    points=2,
    reference=share_by(last_third),
    cases=falling_cases,
    parts=("the share of the fall",),
    mistakes=(
        Mistake(
            "one_epoch_short",
            share_by(lambda losses: losses[-(len(losses) // 3)] - losses[-1]),
            "your last part has one step too few: m steps back from the last loss is entry "
            "-1 - m, because the last itself is entry -1",
        ),
        Mistake(
            "first_part",
            share_by(lambda losses: losses[0] - losses[len(losses) // 3]),
            "this is the share of the fall in the first third: the last third tells whether it is "
            "over",
        ),
        Mistake(
            "before_the_last_part",
            share_by(lambda losses: losses[0] - losses[-1 - len(losses) // 3]),
            "this is the share before the last third: return what came in it",
        ),
        Mistake(
            "two_thirds",
            share_by(lambda losses: losses[len(losses) // 3] - losses[-1]),
            "this is the fall since the end of the first third: take the last third alone",
        ),
        Mistake(
            "no_share",
            share_by(last_third, lambda losses: 1.0),
            "this is the fall in the last third, in the units of the loss: divide by the whole "
            "fall",
        ),
        Mistake(
            "of_the_first_loss",
            share_by(last_third, lambda losses: losses[0]),
            "you divide by the first loss: divide by the whole fall, from the first loss to the "
            "last",
        ),
        Mistake(
            "of_the_part",
            share_by(last_third, lambda losses: losses[-1 - len(losses) // 3]),
            "you divide by the loss at the start of the last third: divide by the whole fall",
        ),
        Mistake(
            "of_what_is_left",
            share_by(last_third, lambda losses: losses[0] - losses[-1 - len(losses) // 3]),
            "you divide by the fall before the last third: divide by the whole fall",
        ),
        Mistake(
            "sign",
            share_by(lambda losses: -last_third(losses)),
            "the sign is wrong: a loss that still falls gives a positive share",
        ),
        Mistake(
            "no_guard",
            share_by(last_third, guard=False),
            "a loss that ends where it began, or above, has no fall to have a share of: return 0 "
            "for it, before you divide",
        ),
        Mistake(
            "sizes",
            share_by(lambda losses: max(last_third(losses), 0.0)),
            "a loss that rose in its last third has a negative share, which is worth knowing: do "
            "not cut it off at 0",
        ),
        Mistake(
            "means",
            share_by(averaged),
            "you compare means of thirds: take the loss m steps before the end, and the last one",
        ),
        Mistake(
            "quarter",
            share_by(lambda losses: losses[-1 - len(losses) // 4] - losses[-1]),
            "this is the last quarter of the steps: m is n // 3",
        ),
    ),
    variants=(
        Variant("what the first part leaves", by_indices),
        Variant("steps of an array", by_an_array),
        Variant("a tensor", by_a_tensor),
    ),
    hints=(
        "With m = len(losses) // 3, the loss m steps before the last is losses[-1 - m].",
        "Divide its distance to the last loss by losses[0] - losses[-1].",
        "First ask whether losses[-1] >= losses[0].",
    ),
)
