"""`diagnose`: seven names for clear histories, with the rules in the right order."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.compare import plain
from mlcourse.checks.curves_questions.distances import History, last_quarter
from mlcourse.checks.curves_questions.shapes import bends, last_third, mean
from mlcourse.checks.curves_questions.shared import Losses, uniform
from mlcourse.checks.declare import Mistake, Question, Variant

HEALTHY, UNDER, OVER = "healthy", "underfitting", "overfitting"
HIGH, LOW = "learning rate too high", "learning rate too low"
UNLIKE, LEAK = "unrepresentative training data", "leakage"


# --- Histories, drawn by hand: losses as shares of log(classes) -----------------------------------


def approach(start: float, stop: float, n: int, speed: float = 5.0) -> Losses:
    return [stop + (start - stop) * math.exp(-t / speed) for t in range(n)]


def straight(start: float, stop: float, n: int) -> Losses:
    return [start + (stop - start) * t / (n - 1) for t in range(n)]


def turning(low: float, stop: float, n: int) -> Losses:
    """Fall from 1 to `low` within a quarter of the epochs, and rise from there."""
    quarter = n // 4
    return [*straight(1.0, low, quarter), *straight(low, stop, n - quarter)]


def jumping(even: float, odd: float, n: int, g: Generator) -> Losses:
    """Jump between two levels, one for the epochs of even number and one for the others."""
    return [uniform(0.95, 1.05, g) * (odd if t % 2 else even) for t in range(n)]


Case = tuple[History, int, float, str]


def cases(g: Generator) -> list[Case]:
    """(history, classes, ceiling, what it is): one sign alone, and several at once."""

    def case(
        what: str, classes: int, ceiling: float, train: Losses, validation: Losses, *accuracies: Any
    ) -> Case:
        columns = [[math.log(classes) * x for x in losses] for losses in (train, validation)]
        noisy = [[x * uniform(0.995, 1.005, g) for x in column] for column in columns]
        right = [
            [min(max(x + uniform(-0.004, 0.004, g), 0.0), 1.0) for x in column]
            for column in accuracies
        ]
        names = ("train_loss", "validation_loss", "train_accuracy", "validation_accuracy")
        return dict(zip(names, [*noisy, *right], strict=True)), classes, ceiling, what

    # A curve that jumps every epoch can then be high at its start and a third before its low end.
    n = (28, 34, 40)[int(torch.randint(3, (), generator=g))]
    fall = partial(approach, n=n)
    level = partial(uniform, g=g)
    low_top, noisy_top = level(0.7, 0.76), level(0.8, 0.85)
    calm = fall(0.1, 0.98), fall(0.1, 0.965)
    slow = straight(0.2, level(0.45, 0.5), n)
    blip = fall(1.0, 0.1)
    blip[-1] += level(0.8, 0.9)
    fallen = fall(0.1, 0.96)
    fallen[-1] -= level(0.25, 0.3)
    half = n // 2
    lost = [math.nan] * (n - half)
    wild = jumping(level(0.9, 1.1), 0.2, n, g)
    restless = jumping(0.25, level(0.9, 1.1), n, g)
    shaken = [level(0.55, 0.75) for _ in range(n)]
    rises = turning(0.5, level(1.1, 1.3), n)
    away = turning(0.5, level(2.5, 3.5), n)
    gone = [*straight(0.1, 0.7, n // 4), *straight(0.7, 0.15, n - n // 4)]
    stays = level(0.66, 0.74)
    return [
        case("a calm training", 10, 1.0, fall(1.0, 0.05), fall(1.0, 0.12), *calm),
        case(
            "a training that has levelled off far from its ceiling",
            *(10, 0.97, fall(1.2, 0.6), fall(1.0, 0.62)),
            *(fall(0.1, level(0.5, 0.6)), fall(0.1, 0.52)),
        ),
        case(
            "a training that still falls far from its ceiling",
            *(5, 0.95, straight(1.0, 0.75, n), straight(0.99, 0.76, n), slow, slow),
        ),
        case(
            "a training whose validation loss rises",
            *(10, noisy_top, fall(1.0, 0.01), rises, fall(0.1, 0.998), fall(0.2, stays)),
        ),
        case(
            "a training with two classes whose validation loss rises",
            *(2, noisy_top, fall(1.0, 0.01), turning(0.5, level(0.95, 1.0), n)),
            *(fall(0.5, 0.998), [*straight(0.5, 0.82, n // 4), *straight(0.82, 0.6, n - n // 4)]),
        ),
        case(
            "a training with a gap that does not widen",
            *(10, 0.99, fall(1.0, 0.05), fall(1.0, 0.6), fall(0.1, 0.98), fall(0.1, stays)),
        ),
        case(
            "a training whose loss becomes nan",
            *(10, 0.95, fall(1.0, 0.3)[:half] + lost, fall(1.0, 0.3)[:half] + lost),
            *(fall(0.1, 0.8)[:half] + [0.1] * (n - half),) * 2,
        ),
        case("a training that diverges", 10, 0.95, away, [1.1 * x for x in away], gone, gone),
        case(
            "a training that jumps",
            *(4, 0.95, wild, [1.05 * x for x in wild], shaken, shaken),
        ),
        case(
            "a training that jumps and ends high",
            *(4, 0.95, restless, [0.95 * x for x in restless], shaken, shaken),
        ),
        case(
            "a training with validation above the ceiling",
            *(10, low_top, fall(1.0, 0.1), fall(1.0, 0.15), fall(0.1, 0.96), fall(0.1, 0.94)),
        ),
        case(
            "a training above the ceiling with a gap",
            *(10, low_top, fall(1.0, 0.05), fall(1.0, 0.4), fall(0.1, 0.998)),
            fall(0.1, low_top + 0.11),
        ),
        case(
            "a training above the ceiling whose validation loss rises",
            *(10, low_top, fall(1.0, 0.01), rises, fall(0.1, 0.998), fall(0.1, low_top + 0.11)),
        ),
        case(
            "a calm training near a low ceiling",
            *(6, low_top, fall(1.0, 0.6), fall(1.0, 0.65)),
            *(fall(0.2, low_top - 0.01), fall(0.2, low_top - 0.02)),
        ),
        case(
            "a calm training with a bad last epoch",
            *(10, 1.0, fall(1.0, 0.06), blip, fall(0.1, 0.98), fallen),
        ),
        case(
            "a training that still falls near its ceiling",
            *(10, 1.0, straight(0.25, 0.05, n), straight(0.25, 0.1, n)),
            *(straight(0.95, 0.985, n), straight(0.945, 0.97, n)),
        ),
        case(
            "a calm training with different losses",
            *(10, 1.0, fall(1.0, 0.05), fall(1.1, level(0.3, 0.35)), *calm),
        ),
    ]


def use(answer: Callable, history: History, classes: int, ceiling: float, what: str) -> Any:
    """Call the answer; capitals and spaces around the name do not matter."""
    name = plain(answer(history, classes, ceiling))
    return {f"the diagnosis of {what}": name.strip().lower() if isinstance(name, str) else name}


# --- Signs ----------------------------------------------------------------------------------------

Sign = Callable[[History, int, float], bool]
End = Callable[[Losses], float]


def out_of_control(history: History, classes: int, ceiling: float, end: End = last_quarter) -> bool:
    losses = history["train_loss"]
    if not all(map(math.isfinite, losses)):
        return True
    return end(losses) > math.log(classes) or jumps(losses)


def jumps(losses: Losses) -> bool:
    return mean([abs(x) for x in bends(losses)]) > 0.15 * mean(losses)


def too_good(history: History, classes: int, ceiling: float, end: End = last_quarter) -> bool:
    return end(history["validation_accuracy"]) > ceiling + 0.05


def far(history: History, classes: int, ceiling: float, end: End = last_quarter) -> bool:
    return ceiling - end(history["train_accuracy"]) > 0.1


def falls(history: History, classes: int, ceiling: float) -> bool:
    losses = history["train_loss"]
    return last_third(losses) > 0.15 * (losses[0] - losses[-1]) and losses[0] > losses[-1]


def slow(history: History, classes: int, ceiling: float, end: End = last_quarter) -> bool:
    return far(history, classes, ceiling, end) and falls(history, classes, ceiling)


def rise(history: History, classes: int, ceiling: float, end: End = last_quarter) -> bool:
    losses = history["validation_loss"]
    return end(losses) - min(losses) > 0.25 * math.log(classes)


def wide(history: History, classes: int, ceiling: float, end: End = last_quarter) -> bool:
    return end(history["train_accuracy"]) - end(history["validation_accuracy"]) > 0.1


SIGNS: dict[str, Sign] = {
    HIGH: out_of_control,
    LEAK: too_good,
    LOW: slow,
    UNDER: far,
    OVER: rise,
    UNLIKE: wide,
}


def rules(
    order: Sequence[str] = tuple(SIGNS), **exchanged: Sign
) -> Callable[[History, int, float], str]:
    """Ask the signs in an order; `exchanged` has other signs, under the names of the constants."""
    names = {"high": HIGH, "leak": LEAK, "low": LOW, "under": UNDER, "over": OVER, "unlike": UNLIKE}
    signs = SIGNS | {names[key]: sign for key, sign in exchanged.items()}

    def diagnose(history: History, classes: int, ceiling: float) -> str:
        found = (name for name in order if signs[name](history, classes, ceiling))
        return next(found, HEALTHY)

    return diagnose


def with_end(end: End) -> Callable[[History, int, float], str]:
    return rules(
        high=partial(out_of_control, end=end),
        leak=partial(too_good, end=end),
        low=partial(slow, end=end),
        under=partial(far, end=end),
        over=partial(rise, end=end),
        unlike=partial(wide, end=end),
    )


def first(*names: str) -> tuple[str, ...]:
    """Return the order of the rules with these names in front."""
    return (*names, *(name for name in SIGNS if name not in names))


def last(*names: str) -> tuple[str, ...]:
    return (*(name for name in SIGNS if name not in names), *names)


def without(*names: str) -> tuple[str, ...]:
    return tuple(name for name in SIGNS if name not in names)


def never(history: History, classes: int, ceiling: float) -> bool:
    return False


def no_nan(history: History, classes: int, ceiling: float) -> bool:
    losses = history["train_loss"]
    return last_quarter(losses) > math.log(classes) or jumps(losses)


def any_epoch(history: History, classes: int, ceiling: float) -> bool:
    losses = history["train_loss"]
    return out_of_control(history, classes, ceiling) or max(losses) > math.log(classes)


def no_jumps(history: History, classes: int, ceiling: float) -> bool:
    losses = history["train_loss"]
    return not all(map(math.isfinite, losses)) or last_quarter(losses) > math.log(classes)


def unlike_losses(history: History, classes: int, ceiling: float) -> bool:
    return last_quarter(history["validation_loss"]) - last_quarter(history["train_loss"]) > 0.1


def accuracy_turns(history: History, classes: int, ceiling: float) -> bool:
    accuracies = history["validation_accuracy"]
    return max(accuracies) - last_quarter(accuracies) > 0.1


def in_percent(history: History, classes: int, ceiling: float) -> str:
    return rules((HIGH, OVER))(history, classes, ceiling)


def without_ceiling(history: History, classes: int, ceiling: float) -> str:
    return rules()(history, classes, 1.0)


def ten_classes(history: History, classes: int, ceiling: float) -> str:
    return rules()(history, 10, ceiling)


# --- Other right answers --------------------------------------------------------------------------


def with_other_thresholds(history: History, classes: int, ceiling: float) -> str:
    """The last five epochs' medians, and limits that nobody gave."""
    end = {name: median(column[-5:]) for name, column in history.items()}
    chance = math.log(classes)
    losses = history["train_loss"]
    if any(loss != loss for loss in losses) or end["train_loss"] > 1.2 * chance:
        return HIGH
    turns = [(b - a) * (c - b) < 0 for a, b, c in zip(losses, losses[1:], losses[2:], strict=False)]
    if sum(turns) > 0.5 * len(turns) and np.std(losses[5:]) > 0.2 * chance:
        return HIGH
    if end["validation_accuracy"] > ceiling + 0.04:
        return LEAK
    if end["train_accuracy"] < ceiling - 0.15:
        return LOW if losses[-8] - losses[-1] > 0.1 * (losses[0] - losses[-1]) else UNDER
    if end["validation_loss"] > min(history["validation_loss"]) + 0.3 * chance:
        return OVER
    return UNLIKE if end["train_accuracy"] > end["validation_accuracy"] + 0.12 else HEALTHY


def by_tensors(history: History, classes: int, ceiling: float) -> str:
    columns = {key: torch.tensor(value).double() for key, value in history.items()}
    k = len(columns["train_loss"]) // 4
    train, validation = (
        columns[f"{part}_accuracy"][-k:].mean() for part in ("train", "validation")
    )
    loss, chance = columns["train_loss"], math.log(classes)
    if not loss.isfinite().all() or loss[-k:].mean() > chance:
        return "Learning rate too high"
    if loss.diff(n=2).abs().mean() / 2 / loss.mean() > 0.15:
        return "Learning rate too high"
    if validation - ceiling > 0.05:
        return "Leakage"
    if ceiling - train > 0.1:
        third = len(loss) // 3
        share = (loss[-1 - third] - loss[-1]) / (loss[0] - loss[-1])
        return "Learning rate too low" if share > 0.15 else "Underfitting"
    held_out = columns["validation_loss"]
    if held_out[-k:].mean() - held_out.min() > 0.25 * chance:
        return "Overfitting"
    return "Unrepresentative training data" if train - validation > 0.1 else "Healthy"


diagnose = Question(
    name="diagnose",
    title="A program that reads curves",
    points=4,
    reference=rules(),
    cases=cases,
    use=use,
    mistakes=(
        Mistake(
            "overfitting_first",
            rules(first(OVER)),
            "you ask for overfitting too early: where the training diverges or jumps, or the "
            "labels leak, the validation loss can rise as well. Ask first what makes the curves "
            "unreadable",
        ),
        Mistake(
            "overfitting_before_leakage",
            rules((HIGH, OVER, *without(HIGH, OVER))),
            "you ask for overfitting before leakage: above the ceiling something else is wrong "
            "first, though the validation loss rises too",
        ),
        Mistake(
            "underfitting_first",
            rules(first(UNDER)),
            "you ask for underfitting first: a training that diverges, jumps, or has only begun is "
            "below the ceiling as well, and no larger network helps it",
        ),
        Mistake(
            "slow_is_underfitting",
            rules(without(LOW)),
            "a training that is still falling is called underfitting: ask first whether the fall "
            "is over, as too low a rate looks the same at its last epoch",
        ),
        Mistake(
            "rate_too_low_first",
            rules(first(LOW)),
            "you ask whether the loss still falls before you ask whether it is out of control: "
            "the last epoch of a curve that jumps says nothing",
        ),
        Mistake(
            "leakage_late",
            rules(last(LEAK)),
            "you ask for leakage last: a validation accuracy above the ceiling cannot be true, "
            "whatever the gap and the loss look like, so ask before you look at them",
        ),
        Mistake(
            "leakage_ignored",
            rules(without(LEAK)),
            "leakage is never found: compare the validation accuracy with the ceiling",
        ),
        Mistake(
            "gap_before_rise",
            rules((HIGH, LEAK, LOW, UNDER, UNLIKE, OVER)),
            "every wide gap is blamed on the data: where the validation loss has risen from its "
            "lowest, it is overfitting, so ask for that first",
        ),
        Mistake(
            "overfitting_ignored",
            rules(without(OVER, UNLIKE)),
            "overfitting and a gap are never found: look at the validation curves too",
        ),
        Mistake(
            "gap_is_overfitting",
            rules(over=wide),
            "every wide gap is called overfitting: that is only where the validation loss turns "
            "round and rises, a gap that stays comes from the data",
        ),
        Mistake(
            "accuracy_turns",
            rules(over=accuracy_turns),
            "you look for overfitting in the validation accuracy, which often stands still: the "
            "validation loss is what rises",
        ),
        Mistake(
            "losses_compared",
            rules(unlike=unlike_losses),
            "your gap is one of losses: the two need not measure the same thing (dropout, "
            "augmentation), and may differ where the accuracies agree. Compare accuracies",
        ),
        Mistake(
            "last_epoch",
            with_end(lambda column: column[-1]),
            "you look at the last epoch alone, and one bad epoch gives the diagnosis: take the "
            "mean of the last quarter",
        ),
        Mistake(
            "percent",
            in_percent,
            "you compare fractions with percent: accuracies go from 0 to 1, so 10 points are 0.1",
        ),
        Mistake(
            "ceiling_ignored",
            without_ceiling,
            "the ceiling is ignored: what looks like underfitting may be all that can be had, and "
            "what looks excellent may be impossible",
        ),
        Mistake(
            "ten_classes",
            ten_classes,
            "you measure losses by log 10 whatever the task is: use log(classes)",
        ),
        Mistake(
            "nan_ignored",
            rules(high=no_nan),
            "a loss that becomes nan is not noticed: comparisons with nan are False, so ask for it "
            "with math.isfinite",
        ),
        Mistake(
            "worst_epoch",
            rules(high=any_epoch),
            "one epoch above log(classes) is called too high a rate: the first epoch of an "
            "untrained network can be, so look at where the training ends",
        ),
        Mistake(
            "no_jumps",
            rules(high=no_jumps),
            "a training that jumps from epoch to epoch is not noticed: use the number from your "
            "function jumps",
        ),
        Mistake(
            "no_bias",
            rules(low=falls),
            "a loss that still falls a little is called too low a rate though training is near the "
            "ceiling: ask for the bias too",
        ),
        Mistake(
            "rate_too_high_ignored",
            rules(without(HIGH)),
            "too high a rate is never found: look at the training loss, for nan, for its level at "
            "the end, and for jumps",
        ),
    ),
    variants=(
        Variant("other thresholds", with_other_thresholds),
        Variant("tensors and capitals", by_tensors),
        Variant("means of the last third", with_end(lambda c: mean(c[-(len(c) // 3) :]))),
    ),
    hints=(
        "Begin with if not all(math.isfinite(x) for x in history['train_loss']).",
        "Then one `if` with a `return` for each sign: too high, leakage, and so on to healthy.",
        "Far from the ceiling there are two names: still_falling decides between them.",
    ),
)
