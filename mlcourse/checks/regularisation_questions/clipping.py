"""`clip_by_value` and `clip_by_norm`: gradients that are too long."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE
from mlcourse.checks.compare import plain
from mlcourse.checks.declare import TOLERANCE, Mistake, Question, Variant
from mlcourse.checks.regularisation_questions.shared import as_list, joined, lists

Grads = list[Tensor]

IN_PLACE = "the caller's gradients are changed: return new tensors"


def value_cases(g: Generator) -> list[tuple[Grads, float]]:
    """(grads, limit): entries of both signs on both sides of the limit; last, all within."""
    found = []
    for grads, share in zip(lists(g), (0.4, 0.6, 0.5, 1.1), strict=True):
        grads[0].view(-1)[0] = joined(grads).abs().max()
        grads[-1].view(-1)[-1] = -1.1 * joined(grads).abs().max()
        found.append((grads, round(share * float(joined(grads).abs().max()), 3)))
    return found


def use_value(answer: Callable, grads: Grads, limit: float) -> Any:
    """Call the answer; it may return a list or a tuple."""
    return as_list(answer(grads, limit))


def each(of: Callable[[Tensor, float], Tensor]) -> Callable[[Grads, float], Grads]:
    """Do the same with each tensor."""
    return lambda grads, limit: [of(g, limit) for g in grads]


def clamp(g: Tensor, limit: float) -> Tensor:
    return g.clamp(-limit, limit)


def clamp_in_place(grads: Grads, limit: float) -> Grads:
    for g in grads:
        g.clamp_(-limit, limit)
    return grads


def to_the_largest(g: Tensor, limit: float) -> Tensor:
    return g * (limit / g.abs().max()).clamp(max=1)


def to_the_norm(grads: Grads, limit: float) -> Grads:
    return norm_clip()(grads, limit)[0]


clip_by_value = Question(
    name="clip_by_value",
    title="Clipping by value",
    points=1,
    reference=each(clamp),
    cases=value_cases,
    use=use_value,
    mistakes=(
        Mistake(
            "above_alone",
            each(lambda g, limit: g.clamp(max=limit)),
            "large negative entries stay: clip at -limit too",
        ),
        Mistake(
            "below_alone",
            each(lambda g, limit: g.clamp(min=-limit)),
            "large positive entries stay: clip at +limit too",
        ),
        Mistake(
            "positive",
            each(lambda g, limit: g.clamp(0, limit)),
            "negative entries become 0: clip to the range from -limit to +limit",
        ),
        Mistake(
            "no_sign",
            each(lambda g, limit: g.abs().clamp(max=limit)),
            "the signs are lost: clip to the range from -limit to +limit",
        ),
        Mistake(
            "zeroed",
            each(lambda g, limit: torch.where(g.abs() > limit, 0, g)),
            "large entries become 0: they become the limit, with their sign",
        ),
        Mistake(
            "signs",
            each(lambda g, limit: limit * g.sign()),
            "every entry becomes the limit: only those beyond it change",
        ),
        Mistake(
            "scaled",
            each(to_the_largest),
            "each tensor is scaled so that its largest entry fits: by value means entry by entry, "
            "the others stay as they are",
        ),
        Mistake(
            "by_norm",
            to_the_norm,
            "this is clipping by norm, which comes next: here each entry is clipped by itself",
        ),
        Mistake(
            "outside",
            each(lambda g, limit: torch.where(g.abs() < limit, limit * g.sign(), g)),
            "it is the other way round: entries beyond the limit are cut, the small ones stay",
        ),
        Mistake(
            "first_alone",
            lambda grads, limit: [clamp(grads[0], limit), *map(torch.clone, grads[1:])],
            "only the first tensor is clipped: go through the whole list",
        ),
        Mistake("unchanged", each(lambda g, limit: g.clone()), "nothing is clipped"),
        Mistake("in_place", clamp_in_place, IN_PLACE),
        Mistake("cast", each(lambda g, limit: clamp(g, limit).float()), ONE_DTYPE),
    ),
    variants=(
        Variant("a tuple", lambda grads, limit: tuple(clamp(g, limit) for g in grads)),
        Variant(
            "minimum and maximum",
            each(lambda g, limit: g.minimum(torch.full_like(g, limit)).clamp_min(-limit)),
        ),
        Variant(
            "case by case",
            each(lambda g, limit: torch.where(g.abs() > limit, g.sign() * limit, g)),
        ),
    ),
    hints=(
        "Each entry that is beyond the limit becomes the limit, with its own sign.",
        "torch.clamp(g, low, high), for each tensor of the list.",
        "low is -limit.",
    ),
)


def norm_cases(g: Generator) -> list[tuple[Grads, float]]:
    """(grads, max_norm): too long, short enough, and all zero."""
    found: list[tuple[Grads, float]] = []
    for grads, share in zip(lists(g), (0.4, 1.6, 0.75, 0.2), strict=True):
        found.append((grads, round(share * float(joined(grads).norm()), 3)))
    zeros = [torch.zeros(3, 2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)]
    return [*found, (zeros, 1.0)]


def use_norm(answer: Callable, grads: Grads, max_norm: float) -> Any:
    """Call the answer; the gradients may be a list or a tuple."""
    result = plain(answer(grads, max_norm))
    if not isinstance(result, (list, tuple)) or len(result) != 2:
        return result
    clipped, norm = result
    return as_list(clipped), float(norm) if isinstance(norm, int) else norm


def long_alone(norm: Tensor, limit: float) -> Any:
    return limit / norm if norm > limit else 1.0


def norm_clip(
    measure: Callable[[Grads], Tensor] = lambda grads: joined(grads).norm(),
    factor: Callable[[Tensor, float], Any] = long_alone,
    told: Callable[[Grads, Grads], Any] = lambda before, after: joined(before).norm(),
) -> Callable[[Grads, float], Any]:
    """A clipping by norm with one of its pieces exchanged."""

    def clip_by_norm(grads: Grads, max_norm: float) -> Any:
        scale = factor(measure(grads), max_norm)
        clipped = [g * scale for g in grads]
        return clipped, told(grads, clipped)

    return clip_by_norm


def each_by_its_own(grads: Grads, max_norm: float) -> Any:
    return [g * long_alone(g.norm(), max_norm) for g in grads], joined(grads).norm()


def norm_in_place(grads: Grads, max_norm: float) -> Any:
    clipped, norm = norm_clip()(grads, max_norm)
    for g, new in zip(grads, clipped, strict=True):
        g.copy_(new)
    return grads, norm


def entry_by_entry(grads: Grads, max_norm: float) -> Any:
    return [clamp(g, max_norm) for g in grads], joined(grads).norm()


def by_torch(grads: Grads, max_norm: float) -> Any:
    """torch's own, on parameters that stand for the gradients."""
    leaves = [torch.zeros_like(g).requires_grad_() for g in grads]
    for leaf, g in zip(leaves, grads, strict=True):
        leaf.grad = g.clone()
    norm = torch.nn.utils.clip_grad_norm_(leaves, max_norm)
    return [leaf.grad for leaf in leaves], norm


def norms_of_norms(grads: Grads, max_norm: float) -> Any:
    norm = float(sum((g**2).sum() for g in grads)) ** 0.5
    return tuple(g * max_norm / norm if norm > max_norm else g for g in grads), norm


clip_by_norm = Question(
    name="clip_by_norm",
    title="Clipping by norm",
    points=2,
    reference=norm_clip(),
    cases=norm_cases,
    use=use_norm,
    parts=("the gradients", "the norm"),
    # torch divides by the norm plus 1e-6, which is as good.
    tolerance={**TOLERANCE, torch.float64: 2e-6},
    mistakes=(
        Mistake(
            "each_by_its_own",
            each_by_its_own,
            "each tensor is clipped by its own norm, which bends the direction: take one norm "
            "over all entries and one factor for all tensors",
        ),
        Mistake(
            "scaled_up",
            norm_clip(factor=lambda norm, limit: limit / norm if norm else torch.ones_like(norm)),
            "gradients that are short enough are scaled up to max_norm: those stay as they are",
        ),
        Mistake(
            "scaled_up_from_zero",
            norm_clip(factor=lambda norm, limit: limit / norm),
            "all gradients are scaled to max_norm, short ones too, and zeros become nan: change "
            "them only where the norm is above max_norm",
        ),
        Mistake(
            "divided_by_max_norm",
            norm_clip(factor=lambda norm, limit: 1 / limit if norm > limit else 1.0),
            "you divide by max_norm: multiply by max_norm / norm, so that the new norm is max_norm",
        ),
        Mistake(
            "unit",
            norm_clip(factor=lambda norm, limit: 1 / norm if norm > limit else 1.0),
            "your clipped gradients have the norm 1: multiply by max_norm too",
        ),
        Mistake(
            "times_max_norm",
            norm_clip(factor=lambda norm, limit: limit if norm > limit else 1.0),
            "you multiply by max_norm and do not divide by the norm",
        ),
        Mistake(
            "inverse",
            norm_clip(factor=lambda norm, limit: norm / limit if norm > limit else 1.0),
            "the factor is upside down, so long gradients get longer: it is max_norm / norm",
        ),
        Mistake(
            "short_alone",
            norm_clip(factor=lambda norm, limit: (limit / norm).clamp(min=1).nan_to_num(1, 1, 1)),
            "short gradients are stretched and long ones left: it is the other way round",
        ),
        Mistake(
            "square",
            norm_clip(
                measure=lambda grads: joined(grads).square().sum(),
                told=lambda before, after: joined(before).square().sum(),
            ),
            "this is the squared norm: take the root of the sum of squares",
        ),
        Mistake(
            "sum_of_norms",
            norm_clip(
                measure=lambda grads: torch.stack([g.norm() for g in grads]).sum(),
                told=lambda before, after: torch.stack([g.norm() for g in before]).sum(),
            ),
            "you add up the norms of the tensors: norms do not add, their squares do",
        ),
        Mistake(
            "largest",
            norm_clip(
                measure=lambda grads: joined(grads).abs().max(),
                told=lambda before, after: joined(before).abs().max(),
            ),
            "this is the largest entry: take the Euclidean norm, the root of the sum of squares",
        ),
        Mistake(
            "absolute",
            norm_clip(
                measure=lambda grads: joined(grads).abs().sum(),
                told=lambda before, after: joined(before).abs().sum(),
            ),
            "this is the sum of absolute values: take the Euclidean norm, the root of the sum of "
            "squares",
        ),
        Mistake(
            "by_value",
            entry_by_entry,
            "this clips entry by entry: by norm, all entries get the same factor",
        ),
        Mistake(
            "norm_afterwards",
            norm_clip(told=lambda before, after: joined(after).norm()),
            "you return the norm after the clipping: that of before tells whether there was "
            "anything to clip",
        ),
        Mistake(
            "unchanged",
            norm_clip(factor=lambda norm, limit: 1.0),
            "nothing is clipped: multiply by max_norm / norm where the norm is larger",
        ),
        Mistake("in_place", norm_in_place, IN_PLACE),
        Mistake(
            "cast",
            lambda grads, limit: norm_clip()([g.float() for g in grads], limit),
            ONE_DTYPE,
        ),
    ),
    variants=(
        Variant("torch's own", by_torch),
        Variant("squares added up", norms_of_norms),
        Variant(
            "a clamped factor",
            norm_clip(factor=lambda norm, limit: (limit / (norm + 1e-6)).clamp(max=1)),
        ),
        Variant(
            "the norm of the norms",
            norm_clip(measure=lambda grads: torch.stack([g.norm() for g in grads]).norm()),
        ),
    ),
    hints=(
        "One norm for all: the root of the sum of all squares, over all tensors.",
        "If it is above max_norm, every tensor is multiplied by the same max_norm / norm.",
        "Return the list and the norm from before.",
    ),
)
