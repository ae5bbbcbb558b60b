"""`first_loss`: what a network's loss should be before it has learned anything."""

from __future__ import annotations

import math

import torch
from torch import Generator

from mlcourse.checks.declare import TOLERANCE, Mistake, Question, Variant


def cases(g: Generator) -> list[tuple[int]]:
    """Ten classes, two, and numbers drawn without repetition."""
    drawn = torch.randperm(990, generator=g)[:3] + 11
    return [(10,), (2,), *((int(classes),) for classes in drawn)]


def by_hand(classes: int) -> float:
    """Go through softmax: equal logits, the probability of one class, minus its logarithm."""
    exponentials = [math.exp(0.0)] * classes
    return -math.log(exponentials[0] / sum(exponentials))


def with_torch(classes: int) -> torch.Tensor:
    logits = torch.zeros(1, classes, dtype=torch.float64)
    return torch.nn.functional.cross_entropy(logits, torch.tensor([0]))


first_loss = Question(
    name="first_loss",
    title="The expected first loss",
    points=1,
    reference=lambda classes: math.log(classes),
    cases=cases,
    parts=("the loss",),
    tolerance={**TOLERANCE, float: 5e-4},  # 2.303 will do
    mistakes=(
        Mistake(
            "ten_classes",
            lambda classes: 2.303,
            "this is the loss for ten classes, whatever `classes` is: use the argument",
        ),
        Mistake(
            "sign",
            lambda classes: math.log(1 / classes),
            "the loss is negative: it is *minus* the logarithm of the true class' probability",
        ),
        Mistake(
            "probability",
            lambda classes: 1 / classes,
            "that is the probability of the true class (and the accuracy of guessing): the loss is "
            "minus its logarithm",
        ),
        Mistake(
            "decimal",
            lambda classes: math.log10(classes),
            "that is with the decimal logarithm: cross-entropy has the natural one, math.log",
        ),
        Mistake(
            "bits",
            lambda classes: math.log2(classes),
            "that is in bits: cross-entropy has the natural logarithm, math.log",
        ),
        Mistake(
            "over_classes",
            lambda classes: math.log(classes) / classes,
            "the loss is divided by the number of classes: cross-entropy is the mean over the "
            "examples, and each costs -log(1/C)",
        ),
        Mistake(
            "summed_over_classes",
            lambda classes: classes * math.log(classes),
            "the loss is summed over all classes: only the true class' probability counts",
        ),
        Mistake(
            "wrong_class",
            lambda classes: -math.log(1 - 1 / classes),
            "that is minus the logarithm of the probability of all the *other* classes: take the "
            "true class', 1/C",
        ),
        Mistake(
            "perfect",
            lambda classes: 0.0,
            "0 is what a perfect prediction costs: a new network spreads its probability evenly "
            "over the classes",
        ),
    ),
    variants=(
        Variant("by softmax, in steps", by_hand),
        Variant("torch's cross-entropy of equal logits", with_torch),
        Variant("a tensor", lambda classes: -torch.log(torch.tensor(1.0 / classes))),
    ),
    hints=(
        "A new network has no reason to prefer a class: what probability does each of C get?",
        "The loss of an example is minus the natural logarithm of its true class' probability.",
        "-log(1/C): about 2.303 for ten classes.",
    ),
)
