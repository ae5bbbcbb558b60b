"""The questions of `darts_step` that are answered by a letter, a number or in words."""

from __future__ import annotations

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

DATA = (
    choice(
        "alpha_on_training_data",
        "Both on the same data",
        "c",
        "A larger alpha for an operation that overfits lowers which of the two losses?",
        a=(
            "Nothing: both losses have the same minimum if the data come from one source",
            "a network of many weights has a far lower loss on the data that it was fitted to: "
            "their minima are not the same",
        ),
        b=(
            "The search only gets noisier: half as much data for each",
            "with all data for both there would be *more* data for each: the trouble is that no "
            "data are left that w has not seen",
        ),
        c="It prefers the operations that fit the training data most closely, noise included",
        d=(
            "alpha no longer moves: its gradient is zero where w is at its minimum",
            "w's gradient is zero there, but alpha's is not: a more flexible operation still "
            "lowers the training loss",
        ),
    ),
)

COUNT = (
    number(
        "passes_a_step",
        "What a step costs",
        5,
        (
            "Go through difference_gradient and weight_step line by line: where is a loss "
            "differentiated?",
            "The validation loss at w' gives v and the direct part in one pass; the difference "
            "needs two places.",
        ),
        Mistake(
            "alpha_alone",
            4,
            "that is the gradient of alpha alone: w's own step needs another pass, at the new "
            "alpha",
        ),
        Mistake("first_order", 2, "that is the first order: one pass for alpha and one for w"),
        Mistake(
            "counted_twice",
            6,
            "v and the direct part come from *one* pass: torch.autograd.grad gives the gradients "
            "in w' and in alpha together",
        ),
        Mistake(
            "without_the_virtual_step",
            3,
            "the virtual step needs a gradient too, and so does w's own step",
        ),
        Mistake("one", 1, "more than one: the virtual step alone needs a pass of its own"),
        Mistake(
            "seven",
            7,
            "one pass gives the gradients in w and in alpha together: count passes, not gradients",
        ),
    ),
)

KINKS = (
    choice(
        "kinks",
        "Noise from kinks",
        "a",
        "What happens to the gradient where a ReLU's input changes its sign? And how many of them "
        "do so between the two places?",
        a="Some ReLUs switch between the two places; the gradient jumps there, both ways, and "
        "that is divided by 2 eps",
        b=(
            "Rounding: the two gradients are nearly equal, and their difference loses its digits",
            "in float64 that error is about 1e-16 / eps, thousands of millions of times too small: "
            "the gradients really jump",
        ),
        c=(
            "The difference is not exact: its error is of the order of eps squared",
            "that error *falls* with eps, and holds for smooth losses: here it grows",
        ),
        d=(
            "The two gradients see different batches, so that sampling noise is divided by 2 eps",
            "both gradients are of one loss, on one batch: nothing is drawn between them",
        ),
    ),
)

RATE = (
    number(
        "cosine_rate",
        "The rate after ten epochs",
        0.001 + 0.012 * (1 + 0.8090169943749475),
        (
            "At t = 0 the formula gives 0.025, at t = T it gives 0.001.",
            "0.001 + 0.5 * (0.025 - 0.001) * (1 + cos(pi * 10 / 50))",
        ),
        Mistake("linear", 0.0202, "that falls along a line: here it falls along half a cosine"),
        Mistake(
            "to_zero",
            0.0125 * (1 + 0.8090169943749475),
            "that falls to 0: the lowest rate is 0.001",
        ),
        Mistake(
            "added",
            0.001 + 0.0125 * (1 + 0.8090169943749475),
            "that begins at 0.026: the cosine goes over the difference, 0.025 - 0.001",
        ),
        Mistake(
            "not_halved",
            0.001 + 0.024 * (1 + 0.8090169943749475),
            "the factor 1/2 is missing: 1 + cos is 2 at the start",
        ),
        Mistake(
            "no_one",
            0.001 + 0.024 * 0.8090169943749475,
            "that is a cosine without its 1 +, which would be negative in the end",
        ),
        Mistake(
            "whole_turn",
            0.001 + 0.012 * (1 + 0.30901699437494745),
            "that is a whole turn, 2 pi t / T: at t = T the cosine must be -1",
        ),
        Mistake(
            "rest",
            0.001 + 0.012 * (1 - 0.8090169943749475),
            "that is what the rate is ten epochs before the end",
        ),
        Mistake(
            "degrees",
            0.001 + 0.012 * (1 + 0.99993986),
            "the cosine takes radians: t / T times pi, not in degrees",
        ),
    ),
)

TOY = (
    number(
        "toy_end",
        "Where the toy ends",
        2 / 1.1,
        (
            "At rest w does not move, so w = a; and the gradient in a is zero.",
            "The unrolled gradient is w' - 2 + a * 2 xi, and w' = w = a at rest.",
        ),
        Mistake(
            "solution",
            1.0,
            "1 is the solution of the bilevel problem: alternating steps end there only for "
            "xi = 1/2, where one step reaches the minimum",
        ),
        Mistake(
            "first_order", 2.0, "2 is the end at first order, xi = 0: a little xi moves it a little"
        ),
        Mistake(
            "no_two",
            2 / 1.05,
            "a factor 2 is missing: the train loss (w - a)^2 has the slope 2 (w - a)",
        ),
        Mistake(
            "sign",
            2 / 0.9,
            "the second part has the wrong sign: it is + 2 xi a, since d(2 (w - a))/da = -2",
        ),
        Mistake(
            "half", 1 / 1.1, "that is half of it: the validation loss a w - 2 a + 1 has a 2 in it"
        ),
        Mistake("four", 2 / 1.2, "w' depends on a by 2 xi, not by 4 xi: w = a only at the end"),
    ),
)

DAYS = (
    choice(
        "gpu_days",
        "What a search took",
        "d",
        "How many searches are in a row of the table, and does that number include retraining?",
        a=(
            "1 day: one search and the training of the found network",
            "1 day is one search, in the appendix; no figure of a search includes retraining",
        ),
        b=(
            "1 day at first order and 4 at second order, one search each",
            "the table has 1.5 at first order, and the 4 are four searches, not one",
        ),
        c=(
            "4 days, whichever order: four searches of a day",
            "4 is the second order's: the first order takes less than half of it",
        ),
        d="1.5 days at first order and 4 at second order: four searches, retraining not counted",
    ),
)

END = (
    Question(
        name="explain_darts_step",
        title="Explain your measurement",
        points=3,
        kind="text",
    ),
)
