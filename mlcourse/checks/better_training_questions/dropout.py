"""`dropout`: the inverted form, with the random numbers given."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.better_training_questions.shared import NO_DRAWS
from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.declare import Mistake, Question, Variant

Scale = Callable[[Tensor, float], Tensor]


def cases(g: Generator) -> list[tuple[Tensor, Tensor, float, bool]]:
    """Training and test, vectors and maps, one example, and p = 0, which changes nothing."""
    found = []
    for shape, p, training, dtype in (
        ((5, 6), 0.2, True, torch.float64),
        ((6, 7), 0.75, True, torch.float32),
        ((3, 2, 4, 4), 0.3, True, torch.float64),
        ((1, 9), 0.4, True, torch.float32),
        ((5, 4), 0.2, False, torch.float64),
        ((3, 2, 3, 3), 0.6, False, torch.float32),
        ((4, 5), 0.0, True, torch.float64),
    ):
        x = normal(*shape, generator=g, dtype=dtype)
        u = torch.rand(*shape, generator=g, dtype=dtype)
        if p:  # both kinds in each row, wherever chance puts the rest
            rows = u.view(len(x), -1)
            rows[:, 0] *= p
            rows[:, 1] = 1 - (1 - p) * rows[:, 1]
        found.append((x, u, p, training))
    return found


def kept(u: Tensor, p: float) -> Tensor:
    return u >= p


def by(
    keep: Callable[[Tensor, float], Tensor] = kept,
    scale: Scale = lambda x, p: x / (1 - p),
    test: Scale = lambda x, p: x,
) -> Callable[[Tensor, Tensor, float, bool], Tensor]:
    """Dropout with one of its pieces exchanged."""

    def dropout(x: Tensor, u: Tensor, p: float, training: bool) -> Tensor:
        return scale(x * keep(u, p), p) if training else test(x, p)

    return dropout


def reference(x: Tensor, u: Tensor, p: float, training: bool) -> Tensor:
    if not training:
        return x
    return x * (u >= p) / (1 - p)


def unscaled(x: Tensor, p: float) -> Tensor:
    return x


def times_q(x: Tensor, p: float) -> Tensor:
    return x * (1 - p)


def times_p(x: Tensor, p: float) -> Tensor:
    return x * p


def over_q(x: Tensor, p: float) -> Tensor:
    return x / (1 - p)


def over_p(x: Tensor, p: float) -> Tensor:
    return x / torch.tensor(p, dtype=x.dtype)


def dropped(u: Tensor, p: float) -> Tensor:
    return u < p


def first_row(u: Tensor, p: float) -> Tensor:
    return (u[:1] >= p).expand_as(u)


def whole_examples(u: Tensor, p: float) -> Tensor:
    first = u.flatten(1)[:, 0].view(-1, *[1] * (u.dim() - 1))
    return (first >= p).expand_as(u)


def at_test_too(x: Tensor, u: Tensor, p: float, training: bool) -> Tensor:
    return reference(x, u, p, True)


def wrong_way_round(x: Tensor, u: Tensor, p: float, training: bool) -> Tensor:
    return reference(x, u, p, not training)


def never(x: Tensor, u: Tensor, p: float, training: bool) -> Tensor:
    return x.clone()


def by_what_was_kept(x: Tensor, u: Tensor, p: float, training: bool) -> Tensor:
    keep = u >= p
    return x * keep / keep.to(x.dtype).mean() if training else x


def kept_alone(x: Tensor, u: Tensor, p: float, training: bool) -> Tensor:
    return x[u >= p] / (1 - p) if training else x


def in_place(x: Tensor, u: Tensor, p: float, training: bool) -> Tensor:
    if training:
        x *= u >= p
        x /= 1 - p
    return x


def cast(x: Tensor, u: Tensor, p: float, training: bool) -> Tensor:
    return reference(x, u, p, training).float()


def by_where(x: Tensor, u: Tensor, p: float, training: bool) -> Tensor:
    if training:
        return torch.where(u < p, torch.zeros_like(x), x / (1 - p))
    return x.clone()


def by_masked_fill(x: Tensor, u: Tensor, p: float, training: bool) -> Tensor:
    q = 1.0 - p if training else 1.0
    drop = u.lt(p) & training
    return x.masked_fill(drop, 0).div(q)


def by_mask_of_numbers(x: Tensor, u: Tensor, p: float, training: bool) -> Tensor:
    mask = (u > p).to(x.dtype) / (1 - p) if training else torch.ones_like(x)
    return mask * x


def in_numpy(x: Tensor, u: Tensor, p: float, training: bool) -> np.ndarray:
    values = x.numpy().copy()
    if training:
        values[u.numpy() < p] = 0
        values /= 1 - p
    return values


DROPS = (
    "p is the probability to *drop*: what stays is where u >= p, a fraction q = 1 - p of the units"
)

dropout = Question(
    name="dropout",
    title="Inverted dropout",
    points=2,
    reference=reference,
    cases=cases,
    parts=("the result",),
    forbidden=(NO_DRAWS,),
    mistakes=(
        Mistake(
            "not_scaled",
            by(scale=unscaled),
            "in training what stays is not scaled, so the mean falls to q times itself: divide "
            "by q = 1 - p",
        ),
        Mistake(
            "times_q",
            by(scale=times_q),
            "in training what stays is multiplied by q: divide by it, so that the mean stays",
        ),
        Mistake(
            "times_p",
            by(scale=times_p),
            "in training what stays is multiplied by p: divide by q = 1 - p, so that the mean "
            "stays",
        ),
        Mistake(
            "over_p",
            by(scale=over_p),
            "in training what stays is divided by p, the probability to drop: divide by q = 1 - p",
        ),
        Mistake("dropped", by(keep=dropped), DROPS),
        Mistake("dropped_over_p", by(keep=dropped, scale=over_p), DROPS),
        Mistake("dropped_not_scaled", by(keep=dropped, scale=unscaled), DROPS),
        Mistake(
            "classic",
            by(scale=unscaled, test=times_q),
            "this is classic dropout, right in itself, which multiplies by q at test: the inverted "
            "form divides by q in training and does nothing at test",
        ),
        Mistake(
            "classic_by_p",
            by(scale=unscaled, test=times_p),
            "at test everything is multiplied by p, the probability to drop; even classic dropout "
            "has q there, and the inverted form divides by q in training and does nothing at test",
        ),
        Mistake(
            "twice",
            by(test=times_q),
            "the scale is applied twice, in training and at test: the inverted form has done it "
            "in training, so at test return x as it is",
        ),
        Mistake(
            "test_times_p",
            by(test=times_p),
            "at test everything is multiplied by p: in the inverted form nothing happens at test",
        ),
        Mistake(
            "test_over_q",
            by(test=over_q),
            "at test everything is divided by q, though nothing was dropped: return x as it is",
        ),
        Mistake(
            "at_test_too",
            at_test_too,
            "units are dropped at test too, so predictions are random: with training=False return "
            "x as it is",
        ),
        Mistake(
            "wrong_way_round",
            wrong_way_round,
            "units are dropped at test and not in training: it is the other way round",
        ),
        Mistake("never", never, "nothing is dropped: with training=True use the mask u >= p"),
        Mistake(
            "threshold",
            by(keep=lambda u, p: u >= 0.5),
            "half of the units are dropped whatever p is: compare u with p",
        ),
        Mistake(
            "one_mask",
            by(keep=first_row),
            "all examples get the mask of the first: each entry of x has its own u",
        ),
        Mistake(
            "whole_examples",
            by(keep=whole_examples),
            "whole examples are dropped or kept: each entry of x has its own u",
        ),
        Mistake(
            "by_what_was_kept",
            by_what_was_kept,
            "you divide by the fraction that this mask happened to keep: divide by its "
            "expectation, q = 1 - p",
        ),
        Mistake(
            "kept_alone",
            kept_alone,
            "the dropped units are left out, so the shape is lost: set them to 0",
        ),
        Mistake(
            "in_place",
            in_place,
            "the caller's x is changed: compute a new tensor, x * mask, not x *= mask",
        ),
        Mistake("cast", cast, ONE_DTYPE),
    ),
    variants=(
        Variant("torch.where", by_where),
        Variant("masked_fill, q = 1 at test", by_masked_fill),
        Variant("a mask of numbers, already scaled", by_mask_of_numbers),
        Variant("a detour by NumPy", in_numpy),
    ),
    hints=(
        "Begin with the test: in the inverted form it is one line, return x.",
        "In training: keep = u >= p is True with probability q = 1 - p. Multiply x by it.",
        "The expectation of the masked unit is q x. By what must you divide to get x back?",
    ),
)
