"""The questions of `bilevel_toy` that are answered by a letter, a number or in words."""

from __future__ import annotations

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

SOLUTION = (
    number(
        "best_a",
        "The solution",
        1,
        (
            "Where is the outer loss along the best response lowest?",
            "The lowest place of (a - 1) ** 2.",
        ),
        Mistake(
            "first_order",
            2,
            "at a = 2 the slope w - 2 is zero, with the weight held still: along the best response "
            "the slope is 2 (a - 1)",
        ),
        Mistake(
            "loss", 0, "that is the outer loss at the solution: the question is at which a it is"
        ),
        Mistake("minus", -1, "the sign is wrong: (a - 1) ** 2 is zero at a = +1"),
        Mistake(
            "half", 0.5, "that a has the outer loss 0.25: (a - 1) ** 2 can be lower, down to 0"
        ),
    ),
)

BY_HAND = (
    number(
        "gradient_by_hand",
        "The gradient by hand",
        -0.1,
        (
            "The new weight first: 0.5 - 0.2 * 2 * (0.5 - 2).",
            "The new weight minus 2, plus a times 2 xi.",
        ),
        Mistake(
            "first_order",
            -1.5,
            "that is w - 2 with the old weight, the first-order gradient: make the step of xi = "
            "0.2 first",
        ),
        Mistake(
            "detached",
            -0.9,
            "the direct term alone: the new weight depends on a as well, which adds a * 2 xi",
        ),
        Mistake(
            "old_w",
            -0.7,
            "the direct term takes the old weight: it belongs to the new one, 1.1",
        ),
        Mistake(
            "indirect_sign",
            -1.7,
            "the indirect term is subtracted: a larger a raises the new weight, so add a * 2 xi",
        ),
        Mistake(
            "no_two",
            -0.8,
            "a factor 2 is missing: the gradient of (w - a) ** 2 is 2 (w - a)",
        ),
        Mistake(
            "xi_missing",
            3.1,
            "the indirect term lacks its xi: it is a * 2 * 0.2",
        ),
        Mistake(
            "whole_response",
            1.1,
            "dw/da = 1 is the slope of the best response: after one step it is 2 xi = 0.4 (or is "
            "this the new weight? Then go on)",
        ),
        Mistake(
            "exact",
            2,
            "2 (a - 1) is the slope along the best response: one step of xi = 0.2 does not get "
            "there",
        ),
    ),
)

FIRST_ORDER = (
    choice(
        "fixed_weights",
        "The weights held fixed",
        "d",
        "Which xi gives this gradient? And where does limit(xi) end for it?",
        a=(
            "Nothing: w is the best response after its own step, so its gradient is zero",
            "w has made one step of many, so it is no best response; and even at w*(a) the "
            "validation loss has the slope a in w, which is not zero",
        ),
        b=(
            "It is the exact hypergradient, as soon as w has converged",
            "with w = a it is a - 2, while the outer loss has the slope 2 (a - 1): the way "
            "through w is missing however well w is trained",
        ),
        c=(
            "It only slows the descent down: smaller steps end at the solution",
            "the limit does not depend on the steps: with xi = 0 it is 2 for all that converge, "
            "and the solution is 1",
        ),
        d="It is xi = 0: the descent ends at a = 2, where the outer loss is 1, not 0",
    ),
    choice(
        "which_order",
        "Which one first",
        "a",
        "What must hold where nothing moves any more? Does the order come into it?",
        a="The paths differ; the limit and the factor of a step are the same",
        b=(
            "The limit differs: who moves first gets its own way",
            "at the limit neither moves, and that is the same two equations in either order",
        ),
        c=(
            "Nothing differs, not even the paths",
            "the first step already differs: the second one to move sees a partner that has moved",
        ),
        d=(
            "Only with w first does the descent converge",
            "A B and B A have the same eigenvalues, so both orders converge for the same steps",
        ),
    ),
)

LARGEST = (
    number(
        "largest_equal_step",
        "The largest equal step",
        3**0.5 - 1,
        (
            "M is [[1 - 2 s, 2 s], [-s (1 - 2 s), 1 - 2 s ** 2]]: write trace and determinant "
            "down.",
            "2 - 2 s - 2 s ** 2 > -(1 + (1 - 2 s)), so s ** 2 + 2 s - 2 < 0. Or search with "
            'contraction(step_map(s, s, 0, "w")[0]).',
        ),
        Mistake(
            "determinant",
            1,
            "that is where the determinant passes -1, and where w's own descent would diverge with "
            "a held still: the trace asks for less, before that",
        ),
        Mistake(
            "best_for_w",
            0.5,
            "a step of 1/2 takes w to the train minimum at once, but larger ones converge too",
        ),
        Mistake("root_alone", 3**0.5, "s = -1 + sqrt(3): the - 1 is missing"),
        Mistake("other_root", -(3**0.5) - 1, "that is the other root: a step is positive"),
        Mistake(
            "diverges",
            0.9,
            'a step of 0.9 diverges: contraction(step_map(0.9, 0.9, 0, "w")[0]) is above 1',
        ),
        Mistake(
            "halved",
            (3**0.5 - 1) / 2,
            "half of it: here s is the rate, and the factor 2 of the gradient is in the matrix",
        ),
    ),
)

PICTURE = (
    choice(
        "one_picture",
        "What one picture shows",
        "b",
        "What would have to be measured, against what, and how often, before one says that it "
        "works?",
        a=(
            "That the method works: the paths go to the right place",
            "the picture gives no number and no right place to compare with: that a path goes "
            "somewhere is true of any descent",
        ),
        b="Where the descent leads from the start that was drawn, and no more",
        c=(
            "That a larger xi is better: its path is the shortest",
            "a path's length says nothing about the loss at its end; and from other starts the "
            "same xi end elsewhere",
        ),
        d=(
            "That the true frequencies and amplitudes are found",
            "no true values are given to compare with; from other starts the same descent ends "
            "elsewhere, and slow waves look so alike on [0, 1] that nobody can tell them apart",
        ),
    ),
)

END = (
    Question(
        name="explain_descent",
        title="Explain your descents",
        points=3,
        kind="text",
    ),
)
