"""`name_the_limit`: a name for what a search's measures show, with the rules in their order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import fmean
from typing import Any

import numpy as np
from torch import Generator

from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import integer

SHORT, FREE, RELIED = "short_horizon", "weight_free", "co_adaptation"
GAP, HEALTHY = "gap", "healthy"

Measures = dict[str, Any]

# --- Records, made by hand ------------------------------------------------------------------------

LOW, HIGH = (0.05, 0.25), (0.75, 0.95)


def free_counts(genes: int, start: float, end: float, g: Generator) -> list[int]:
    """Counts of operations without weights that go from one share of the genes to another."""
    epochs = 3 * integer(4, 7, g) + integer(0, 2, g)
    third = epochs // 3
    middle = [round(genes * (start + end) / 2)] * (epochs - 2 * third)
    return [round(genes * start)] * third + middle + [round(genes * end)] * third


def made(
    g: Generator,
    *,
    start: float = 0.25,
    end: float = 0.25,
    relaxed: float = 0.9,
    gap: tuple[float, float] = (0.01, 0.05),
    ranks: tuple[float, float] = HIGH,
    at_once: tuple[float, float] = (0.0, 0.03),
    kept: tuple[float, float] = (0.1, 0.3),
    cosine: tuple[float, float] = HIGH,
    genes: int = 8,
) -> Measures:
    """A record that shows no sign, but for what is given otherwise."""
    cost = uniform(*at_once, g)
    return {
        "genes": genes,
        "weight_free": free_counts(genes, start, end, g),
        "relaxed": relaxed,
        "discrete": relaxed - uniform(*gap, g),
        "ranks": uniform(*ranks, g),
        "at_once": cost,
        "retrained": cost * uniform(*kept, g),
        "cosine": uniform(*cosine, g),
    }


GAPES = {"gap": (0.2, 0.5), "ranks": LOW}
RELIES = {"at_once": (0.08, 0.2), "kept": (0.1, 0.3)}
FULL = {"end": 1.0}


def cases(g: Generator) -> list[tuple[Measures]]:
    """One sign alone, several at once, and signs that are none."""
    of_this: list[dict[str, Any]] = [
        {},
        FULL,
        RELIES,
        GAPES,
        {"cosine": LOW},
        {"cosine": (-0.95, -0.7)},
        {**FULL, **RELIES, **GAPES, "cosine": LOW},
        {**FULL, "cosine": LOW},
        {**RELIES, "cosine": LOW},
        {**FULL, **RELIES, **GAPES},
        {**FULL, **RELIES},
        {**FULL, **GAPES},
        {**RELIES, **GAPES},
        {"start": 1.0, "end": 0.25},
        {"start": 0.5, "end": 0.5},
        {"start": 0.125, "end": 0.75},
        {"start": 0.875, "end": 0.375},
        {**GAPES, "ranks": HIGH},
        {**GAPES, "ranks": (-0.9, -0.7)},
        {"start": 0.5, "end": 4 / 6, "genes": 6},
        {"start": 0.5, "end": 0.5, "genes": 12},
        {"at_once": (0.18, 0.2), "kept": (0.3, 0.4)},
        {"ranks": LOW},
        {"gap": (-0.5, -0.2), "relaxed": 0.4, "ranks": LOW},
        {**RELIES, "kept": (0.7, 0.9)},
        {**RELIES, **GAPES, "kept": (0.7, 0.9)},
    ]
    records = [made(g, **signs) for signs in of_this]
    late, dips, before = made(g), made(g), made(g)
    late["weight_free"][-1] = 8
    dips["weight_free"] = [2, 2, 3, 2, 2, 1, 2, 3, 2, 2, 7, 3, 7, 7, 6]  # one of five is below half
    before["weight_free"] = [2, 2, 1, 2, 2, 2, 2, 8, 5, 3, 3]  # four of eleven would be enough
    return [(record,) for record in [*records, late, dips, before]]


# --- The rule, with one piece exchanged -----------------------------------------------------------


def last_third(counts: Sequence[int]) -> Sequence[int]:
    return counts[-max(len(counts) // 3, 1) :]


Sign = Callable[[Measures], bool]

SIGNS: dict[str, Sign] = {
    SHORT: lambda r: r["cosine"] < 0.5,
    FREE: lambda r: fmean(last_third(r["weight_free"])) > r["genes"] / 2,
    RELIED: lambda r: r["at_once"] > 0.05 and r["retrained"] < r["at_once"] / 2,
    GAP: lambda r: r["relaxed"] - r["discrete"] > 0.1 and r["ranks"] < 0.5,
}


def named_by(
    order: Sequence[str] = (SHORT, FREE, RELIED, GAP), healthy: Any = HEALTHY, **signs: Sign
) -> Callable[[Measures], Any]:
    """The rule with another order, or another sign for one of the names."""
    asked = {**SIGNS, **signs}

    def name_the_limit(record: Measures) -> Any:
        return next((name for name in order if asked[name](record)), healthy)

    return name_the_limit


def with_ifs(record: Measures) -> str:
    counts = record["weight_free"]
    m = len(counts) // 3
    end = counts[len(counts) - m :]
    if record["cosine"] < 0.5:
        return SHORT
    if 2 * sum(end) > m * record["genes"]:
        return FREE
    if record["at_once"] > 0.05 and 2 * record["retrained"] < record["at_once"]:
        return RELIED
    loss = record["relaxed"] - record["discrete"]
    if loss > 0.1 and record["ranks"] < 0.5:
        return GAP
    return HEALTHY


def from_the_end(record: Measures) -> str:
    """The rules in turn from the last to the first, each overwriting the one before."""
    name = HEALTHY
    for sign in (GAP, RELIED, FREE, SHORT):
        if SIGNS[sign](record):
            name = sign
    return name


def with_numpy(record: Measures) -> Any:
    counts = np.array(record["weight_free"])
    signs = [
        record["cosine"] < 0.5,
        counts[-(len(counts) // 3) :].mean() / record["genes"] > 0.5,
        record["at_once"] > 0.05 and record["retrained"] / record["at_once"] < 0.5,
        record["relaxed"] - record["discrete"] > 0.1 and record["ranks"] < 0.5,
        True,
    ]
    return [SHORT, FREE, RELIED, GAP, HEALTHY][int(np.argmax(signs))]


name_the_limit = Question(
    name="name_the_limit",
    title="A program that names the limit",
    points=3,
    reference=named_by(),
    cases=cases,
    mistakes=(
        Mistake(
            "free_before_short",
            named_by((FREE, SHORT, RELIED, GAP)),
            "you ask for operations without weights before the gradient: a gradient that points "
            "elsewhere comes first in the table, since it may lead to any of the others",
        ),
        Mistake(
            "short_last",
            named_by((FREE, RELIED, GAP, SHORT)),
            "you ask for the gradient last: it comes first in the table, since it may lead to any "
            "of the others",
        ),
        Mistake(
            "relied_before_free",
            named_by((SHORT, RELIED, FREE, GAP)),
            "you ask for co-adaptation before the operations without weights: keep the table's "
            "order",
        ),
        Mistake(
            "gap_before_relied",
            named_by((SHORT, FREE, GAP, RELIED)),
            "you ask for the gap before co-adaptation: the gap comes last, since each of the "
            "others can cause it",
        ),
        Mistake(
            "gap_first",
            named_by((GAP, SHORT, FREE, RELIED)),
            "you ask for the gap first: it comes last, since each of the others can cause it",
        ),
        Mistake(
            "reversed",
            named_by((GAP, RELIED, FREE, SHORT)),
            "you ask from the last row of the table to the first: the gap comes last, since each "
            "of the others can cause it",
        ),
        Mistake(
            "absolute_cosine",
            named_by(short_horizon=lambda r: abs(r["cosine"]) < 0.5),
            "you take the cosine's absolute value: a gradient that points the other way is worse, "
            "not better",
        ),
        Mistake(
            "no_horizon",
            named_by((FREE, RELIED, GAP)),
            'you never say "short_horizon"',
        ),
        Mistake(
            "all_epochs",
            named_by(weight_free=lambda r: fmean(r["weight_free"]) > r["genes"] / 2),
            "you take the mean count of all epochs: what counts is the last third",
        ),
        Mistake(
            "last_epoch",
            named_by(weight_free=lambda r: r["weight_free"][-1] > r["genes"] / 2),
            "you look at the last epoch alone: one epoch can be chance, take the mean of the last "
            "third",
        ),
        Mistake(
            "first_third",
            named_by(
                weight_free=lambda r: (
                    fmean(r["weight_free"][: len(r["weight_free"]) // 3]) > r["genes"] / 2
                )
            ),
            "you look at the first third of the epochs: what counts is the last",
        ),
        Mistake(
            "half_is_enough",
            named_by(weight_free=lambda r: fmean(last_third(r["weight_free"])) >= r["genes"] / 2),
            "half of the genes is enough for you: *more* than half must be without weights",
        ),
        Mistake(
            "third_rounded_up",
            named_by(
                weight_free=lambda r: (
                    fmean(r["weight_free"][len(r["weight_free"]) * 2 // 3 :]) > r["genes"] / 2
                )
            ),
            "your last third is one epoch too long where the number of epochs is no multiple of "
            "3: round T / 3 down",
        ),
        Mistake(
            "one_is_enough",
            named_by(weight_free=lambda r: max(last_third(r["weight_free"])) > r["genes"] / 2),
            "one epoch of the last third is enough for you: take the mean of them",
        ),
        Mistake(
            "each_one",
            named_by(weight_free=lambda r: min(last_third(r["weight_free"])) > r["genes"] / 2),
            "you ask it of each epoch of the last third: take the mean of them",
        ),
        Mistake(
            "four_of_eight",
            named_by(weight_free=lambda r: fmean(last_third(r["weight_free"])) > 4),
            'you compare the count with 4: the half of record["genes"], which are not always 8',
        ),
        Mistake(
            "half_of_one",
            named_by(weight_free=lambda r: fmean(last_third(r["weight_free"])) > 0.5),
            "you compare a count with 0.5: compare it with half of the genes",
        ),
        Mistake(
            "gap_turned",
            named_by(gap=lambda r: r["discrete"] - r["relaxed"] > 0.1 and r["ranks"] < 0.5),
            "your gap has the wrong sign: the supernet's accuracy minus that of the cell",
        ),
        Mistake(
            "gap_absolute",
            named_by(gap=lambda r: abs(r["relaxed"] - r["discrete"]) > 0.1 and r["ranks"] < 0.5),
            "your gap has lost its sign: a cell that is *better* than the mixture is no gap",
        ),
        Mistake(
            "ranks_ignored",
            named_by(gap=lambda r: r["relaxed"] - r["discrete"] > 0.1),
            "you do not ask for the ranks: a gap that is alike for all cells keeps their order, "
            "and does no harm",
        ),
        Mistake(
            "ranks_without_sign",
            named_by(gap=lambda r: r["relaxed"] - r["discrete"] > 0.1 and abs(r["ranks"]) < 0.5),
            "you take the rank correlation's absolute value: an order that is turned round is "
            "worse than none",
        ),
        Mistake(
            "either",
            named_by(gap=lambda r: r["relaxed"] - r["discrete"] > 0.1 or r["ranks"] < 0.5),
            "one of the two is enough for your gap: both are asked for",
        ),
        Mistake(
            "retrained_ignored",
            named_by(co_adaptation=lambda r: r["at_once"] > 0.05),
            "you do not look at the cost after training on: if it stays, the operation is needed, "
            "and that is no fault",
        ),
        Mistake(
            "at_once_ignored",
            named_by(co_adaptation=lambda r: r["retrained"] < r["at_once"] / 2),
            "you do not ask whether the cost at once is above 0.05: of a small cost the half is "
            "chance",
        ),
        Mistake(
            "either_cost",
            named_by(
                co_adaptation=lambda r: r["at_once"] > 0.05 or r["retrained"] < r["at_once"] / 2
            ),
            "one of the two is enough for your co-adaptation: both are asked for",
        ),
        Mistake(
            "half_of_the_limit",
            named_by(co_adaptation=lambda r: r["at_once"] > 0.05 and r["retrained"] < 0.025),
            "you compare the cost after training on with half of 0.05: with half of the cost at "
            "once",
        ),
        Mistake(
            "retrained_turned",
            named_by(
                co_adaptation=lambda r: r["at_once"] > 0.05 and r["retrained"] >= r["at_once"] / 2
            ),
            "your co-adaptation is upside down: the cost must have gone *down* to less than half",
        ),
        Mistake(
            "nothing",
            named_by(healthy=None),
            'a record without a sign has a name too: "healthy"',
        ),
    ),
    variants=(
        Variant("with ifs", with_ifs),
        Variant("from the end", from_the_end),
        Variant("numpy", with_numpy),
    ),
    hints=(
        "One if for each row of the table, in its order, each with a return.",
        'counts = record["weight_free"], and its last third is counts[-(len(counts) // 3):].',
        'Co-adaptation: record["at_once"] > 0.05 and record["retrained"] < record["at_once"] / 2.',
    ),
)
