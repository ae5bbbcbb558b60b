"""`ceiling`, `bias_and_gap` and `visible_difference`: how far apart two accuracies are."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.curves_questions.shapes import mean
from mlcourse.checks.curves_questions.shared import Losses, falling, uniform, use_list
from mlcourse.checks.declare import Mistake, Question, Variant

History = dict[str, Losses]


# --- The ceiling ----------------------------------------------------------------------------------


def ceiling_cases(g: Generator) -> list[tuple[float, float, int]]:
    """(best, noise, classes): with and without overlap, two classes and many, no noise."""
    found = [(uniform(0.7, 0.95, g), uniform(0.05, 0.3, g), classes) for classes in (2, 3, 10, 100)]
    return [(1.0, uniform(0.1, 0.3, g), 5), *found, (uniform(0.6, 0.9, g), 0.0, 4)]


def spread(best: float, noise: float, classes: int) -> float:
    return best * (1 - noise) + (1 - best) * noise / (classes - 1)


def by_cases(best: float, noise: float, classes: int) -> float:
    """Go through all pairs of a guess and a label for the true class 0."""
    guess = [best] + [(1 - best) / (classes - 1)] * (classes - 1)
    label = [1 - noise] + [noise / (classes - 1)] * (classes - 1)
    return sum(g * w for g, w in zip(guess, label, strict=True))


def in_fractions(best: float, noise: float, classes: int) -> float:
    a, q = Fraction(best), Fraction(noise)
    return float(a - q * (a - (1 - a) / (classes - 1)))


ceiling = Question(
    name="ceiling",
    title="The ceiling that wrong labels make",
    points=2,
    reference=spread,
    cases=ceiling_cases,
    parts=("the ceiling",),
    mistakes=(
        Mistake(
            "noise_alone",
            lambda best, noise, classes: 1 - noise,
            "that is the ceiling when the best rule knows every true class: here it is right with "
            "probability best only",
        ),
        Mistake(
            "product",
            lambda best, noise, classes: best * (1 - noise),
            "one part is missing: where the rule is wrong and the label is wrong too, both may "
            "name the same class, and that counts as right",
        ),
        Mistake(
            "difference",
            lambda best, noise, classes: best - noise,
            "shares of shares multiply: of the best share of the examples, 1 - noise keep a label "
            "that agrees",
        ),
        Mistake(
            "two_classes",
            lambda best, noise, classes: best * (1 - noise) + (1 - best) * noise,
            "two wrongs make a right for two classes only: with more, the wrong label is the "
            "rule's wrong class with probability 1 / (classes - 1)",
        ),
        Mistake(
            "among_all",
            lambda best, noise, classes: best * (1 - noise) + (1 - best) * noise / classes,
            "a wrong label is drawn among the classes - 1 others: not among all",
        ),
        Mistake(
            "redrawn",
            lambda best, noise, classes: best * (1 - noise) + noise / classes,
            "that is for labels redrawn among all classes, some of which stay right: here a share "
            "noise of the labels is wrong for sure",
        ),
        Mistake(
            "lucky_anyway",
            lambda best, noise, classes: best * (1 - noise) + noise / (classes - 1),
            "a wrong label can only agree where the rule is wrong itself: that factor 1 - best is "
            "missing",
        ),
        Mistake(
            "wrong_rule_right_label",
            lambda best, noise, classes: (
                best * (1 - noise) + (1 - best) * (1 - noise) / (classes - 1)
            ),
            "where the rule is wrong, it agrees with the label only if that is wrong too: the "
            "factor is noise, not 1 - noise",
        ),
        Mistake(
            "best_alone",
            lambda best, noise, classes: best,
            "that is the share of true classes: the labels that you measure with are wrong in a "
            "share noise of the examples",
        ),
        Mistake(
            "error",
            lambda best, noise, classes: 1 - spread(best, noise, classes),
            "this is the lowest error: the ceiling is an accuracy",
        ),
        Mistake(
            "percent",
            lambda best, noise, classes: 100 * spread(best, noise, classes),
            "this is in percent: return a fraction from 0 to 1",
        ),
    ),
    variants=(
        Variant("all pairs of guess and label", by_cases),
        Variant("fractions", in_fractions),
        Variant(
            "one minus the two ways to be wrong",
            lambda best, noise, classes: (
                1 - best * noise - (1 - best) * (1 - noise / (classes - 1))
            ),
        ),
    ),
    hints=(
        "Two ways to agree with the label: both are right, or both are wrong in the same way.",
        "Both are right: best * (1 - noise).",
        "Both are wrong: (1 - best) * noise. Then they agree with probability 1 / (classes - 1).",
    ),
)


# --- Bias and gap ---------------------------------------------------------------------------------


def gap_cases(g: Generator) -> list[tuple[History, float]]:
    """(history, ceiling): lengths that 4 divides and does not, validation ahead in one of them."""
    return [(history(n, g), uniform(0.7, 1.0, g)) for n in (12, 15, 6, 23, 3)]


def history(n: int, g: Generator) -> History:
    """Draw columns that have nothing to do with each other, with noise in every epoch."""
    accuracies = ([1 - 0.3 * loss for loss in falling(n, g, 0.15)] for _ in range(2))
    train, validation = accuracies
    return {
        "train_loss": falling(n, g, 0.15),
        "train_accuracy": train,
        "validation_loss": falling(n, g, 0.15),
        "validation_accuracy": validation,
    }


def last_quarter(column: Losses) -> float:
    return mean(column[-max(len(column) // 4, 1) :])


def ends(
    of: Callable[[Losses], float] = last_quarter,
    bias: Callable[[float, float, float], float] = lambda train, validation, top: top - train,
    gap: Callable[[float, float, float], float] = lambda train, validation, top: train - validation,
) -> Callable[[History, float], tuple[float, float]]:
    """Return bias and gap with one of their pieces exchanged."""

    def bias_and_gap(history: History, ceiling: float) -> tuple[float, float]:
        numbers = of(history["train_accuracy"]), of(history["validation_accuracy"]), ceiling
        return bias(*numbers), gap(*numbers)

    return bias_and_gap


def of_losses(history: History, ceiling: float) -> tuple[float, float]:
    bias, _ = ends()(history, ceiling)
    losses = (last_quarter(history[f"{part}_loss"]) for part in ("validation", "train"))
    validation, train = losses
    return bias, validation - train


def rounded_up(column: Losses) -> float:
    return mean(column[-math.ceil(len(column) / 4) :])


def by_numpy(history: History, ceiling: float) -> Any:
    n = len(history["train_loss"])
    table = np.array([history["train_accuracy"], history["validation_accuracy"]])
    train, validation = table[:, n - max(1, n // 4) :].mean(axis=1)
    return np.array([ceiling - train, train - validation])


def by_tensors(history: History, ceiling: float) -> Any:
    k = len(history["train_accuracy"]) // 4 or 1
    train = torch.tensor(history["train_accuracy"], dtype=torch.float64)[-k:].mean()
    validation = torch.tensor(history["validation_accuracy"], dtype=torch.float64)[-k:].mean()
    return ceiling - train, train - validation


bias_and_gap = Question(
    name="bias_and_gap",
    title="Bias and gap",
    points=2,
    reference=ends(),
    cases=gap_cases,
    use=use_list,
    parts=("the bias", "the gap"),
    mistakes=(
        Mistake(
            "last_epoch",
            ends(of=lambda column: column[-1]),
            "you look at the last epoch alone, which noise may have moved by points: take the "
            "mean of the last quarter",
        ),
        Mistake(
            "best_epoch",
            ends(of=max),
            "you take each column's best epoch, two different ones, chosen by luck: take the mean "
            "of the last quarter",
        ),
        Mistake("all_epochs", ends(of=mean), "you average all epochs: take the last quarter"),
        Mistake(
            "first_quarter",
            ends(of=lambda column: mean(column[: max(len(column) // 4, 1)])),
            "this is the first quarter of the epochs: take the last one",
        ),
        Mistake(
            "last_four",
            ends(of=lambda column: mean(column[-4:])),
            "these are the last four epochs: take the last quarter, len // 4 of them",
        ),
        Mistake(
            "rounded_up",
            ends(of=rounded_up),
            "your quarter is rounded up: take len // 4 epochs, and one at least",
        ),
        Mistake(
            "nothing_left",
            ends(of=lambda column: mean(column[-(len(column) // 4) :])),
            "with fewer than four epochs len // 4 is 0, and column[-0:] is the whole column: take "
            "one epoch at least",
        ),
        Mistake(
            "no_ceiling",
            ends(bias=lambda train, validation, top: 1 - train),
            "the bias is measured from 1: no model can have more than the ceiling, so measure from "
            "there",
        ),
        Mistake(
            "bias_sign",
            ends(bias=lambda train, validation, top: train - top),
            "the sign of the bias is wrong: it says by how much training is below the ceiling",
        ),
        Mistake(
            "gap_sign",
            ends(gap=lambda train, validation, top: validation - train),
            "the sign of the gap is wrong: it says by how much validation is below training",
        ),
        Mistake(
            "gap_size",
            ends(gap=lambda train, validation, top: abs(train - validation)),
            "the gap has lost its sign: validation ahead of training is a sign of its own, so keep "
            "it negative",
        ),
        Mistake(
            "gap_from_the_ceiling",
            ends(gap=lambda train, validation, top: top - validation),
            "this is bias and gap together, from the ceiling to validation: the gap begins at the "
            "training accuracy",
        ),
        Mistake(
            "bias_of_validation",
            ends(bias=lambda train, validation, top: top - validation),
            "the bias is measured to the validation accuracy: measure to the training accuracy, or "
            "the gap is in it too",
        ),
        Mistake(
            "of_losses",
            of_losses,
            "your gap is one of losses: with dropout or augmentation the two losses do not measure "
            "the same thing, and a loss has no ceiling. Take the accuracies",
        ),
        Mistake(
            "percent",
            ends(
                bias=lambda train, validation, top: 100 * (top - train),
                gap=lambda train, validation, top: 100 * (train - validation),
            ),
            "these are percent: return fractions",
        ),
        Mistake(
            "exchanged",
            lambda history, ceiling: ends()(history, ceiling)[::-1],
            "the two are exchanged: return the bias first",
        ),
    ),
    variants=(
        Variant("an array", by_numpy),
        Variant("tensors", by_tensors),
        Variant("a list", lambda history, ceiling: list(ends()(history, ceiling))),
    ),
    hints=(
        "k = max(1, len(column) // 4), and the mean of column[-k:].",
        "bias = ceiling - training accuracy.",
        "gap = training accuracy - validation accuracy.",
    ),
)


# --- What is visible ------------------------------------------------------------------------------


def visible_cases(g: Generator) -> list[tuple[float, int]]:
    """(accuracy, n)."""
    return [
        (uniform(low, low + 0.1, g), int(torch.randint(20, 60, (), generator=g)) * size)
        for low, size in ((0.55, 1), (0.7, 5), (0.85, 20), (0.15, 100))
    ]


def deviation(accuracy: float, n: float) -> float:
    return math.sqrt(accuracy * (1 - accuracy) / n)


def by_variances(accuracy: float, n: int) -> float:
    one = accuracy * (1 - accuracy) / n
    return 2 * math.sqrt(one + one)


def by_hypot(accuracy: float, n: int) -> float:
    error = (accuracy - accuracy**2) ** 0.5 / n**0.5
    return 2 * math.hypot(error, error)


visible_difference = Question(
    name="visible_difference",
    title="Which difference is visible",
    points=2,
    reference=lambda accuracy, n: 2 * math.sqrt(2) * deviation(accuracy, n),
    cases=visible_cases,
    parts=("the difference",),
    mistakes=(
        Mistake(
            "one_accuracy",
            lambda accuracy, n: 2 * deviation(accuracy, n),
            "these are two standard errors of one accuracy: both accuracies are moved by chance, "
            "so their variances add up",
        ),
        Mistake(
            "one_error",
            lambda accuracy, n: math.sqrt(2) * deviation(accuracy, n),
            "this is one standard error of the difference: take two, since chance alone goes "
            "beyond one in a third of all cases",
        ),
        Mistake(
            "error_of_one",
            deviation,
            "this is the standard error of one accuracy: take that of the difference of two, twice",
        ),
        Mistake(
            "errors_added",
            lambda accuracy, n: 4 * deviation(accuracy, n),
            "you add the two standard errors: for independent accuracies the variances add, so the "
            "error of the difference is sqrt(2) times that of one",
        ),
        Mistake(
            "variance",
            lambda accuracy, n: 4 * accuracy * (1 - accuracy) / n,
            "this is made of variances: take the root",
        ),
        Mistake(
            "no_examples",
            lambda accuracy, n: 2 * math.sqrt(2 * accuracy * (1 - accuracy)),
            "the number of examples is missing: the variance of an accuracy is a (1 - a) / n",
        ),
        Mistake(
            "root_forgotten_for_n",
            lambda accuracy, n: 2 * math.sqrt(2 * accuracy * (1 - accuracy)) / n,
            "n belongs under the root: four times the examples halve the error",
        ),
        Mistake(
            "n_minus_one",
            lambda accuracy, n: 2 * math.sqrt(2) * deviation(accuracy, n - 1),
            "divide by n: the variance follows from the accuracy, nothing is estimated here that "
            "would cost one example",
        ),
        Mistake(
            "worst_case",
            lambda accuracy, n: 2 * math.sqrt(2) * deviation(0.5, n),
            "this is for the accuracy 0.5, where chance moves most: use the one that is given",
        ),
        Mistake(
            "no_error_rate",
            lambda accuracy, n: 2 * math.sqrt(2 * accuracy / n),
            "the factor 1 - a is missing: an accuracy near 1 hardly moves",
        ),
        Mistake(
            "percent",
            lambda accuracy, n: 200 * math.sqrt(2) * deviation(accuracy, n),
            "this is in percent: return a fraction",
        ),
    ),
    variants=(
        Variant("variances", by_variances),
        Variant("Pythagoras", by_hypot),
        Variant(
            "a tensor",
            lambda accuracy, n: (torch.tensor(8.0).double() * accuracy * (1 - accuracy) / n).sqrt(),
        ),
    ),
    hints=(
        "The variance of one accuracy is a (1 - a) / n.",
        "The variance of a difference of two independent numbers is the sum of theirs.",
        "Take the root of that sum, and twice of it.",
    ),
)
