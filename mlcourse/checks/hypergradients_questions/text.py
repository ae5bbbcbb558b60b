"""The questions of `hypergradients` that are answered by a letter, a number or in words."""

from __future__ import annotations

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

FIXED = (
    choice(
        "fixed_weights",
        "At fixed weights",
        "c",
        "Where does lambda stand in E(w) = |X w - y|^2 / N, on the validation data?",
        a=(
            "The hypergradient: the weights follow in the next training step anyway",
            "they will follow, but this derivative does not know it: it holds them fixed, and E "
            "has no lambda of its own, so it is 0",
        ),
        b=(
            "The hypergradient up to a positive factor, which the learning rate absorbs",
            "E has no lambda of its own, so the derivative at fixed weights is 0, whatever the "
            "hypergradient is: no factor mends that",
        ),
        c="Zero, so lambda never moves: it acts on the validation loss through the weights alone",
        d=(
            "The hypergradient with some noise, which averages out over the steps",
            "it is exactly 0 in every step: what is missing is no noise, but the whole way through "
            "the weights",
        ),
    ),
)

LIMIT = (
    number(
        "neumann_limit",
        "The largest step",
        0.25,
        (
            "Along an eigenvector with eigenvalue mu the powers are those of 1 - lr mu.",
            "They shrink if |1 - lr mu| < 1 for every mu, the largest one included.",
        ),
        Mistake(
            "newton",
            0.125,
            "1 / mu_max is safe, but powers of numbers down to -1 still shrink: the limit is twice "
            "as large",
        ),
        Mistake("smallest", 4.0, "that is 2 over the *smallest* eigenvalue: the largest diverges"),
        Mistake("one_over_smallest", 2.0, "the largest eigenvalue sets the limit"),
        Mistake(
            "best",
            2 / 8.5,
            "that is the step of the fastest convergence, 2 / (mu_max + mu_min): larger ones "
            "still converge",
        ),
        Mistake("eigenvalue", 8.0, "that is the largest eigenvalue itself: the limit is 2 over it"),
        Mistake("product", 16.0, "2 is divided by the largest eigenvalue, not multiplied"),
        Mistake(
            "condition", 1 / 16, "the condition number says how fast it converges, not whether"
        ),
    ),
)

MINIMUM = (
    choice(
        "away_from_minimum",
        "Away from the minimum",
        "d",
        "Which equation was differentiated to get dw/dh = -H^-1 M, and does it hold at these "
        "weights?",
        a=(
            "It is exact: H q = u was solved to twelve digits",
            "the system is solved exactly, but the formula supposes that the train gradient is "
            "zero, and at these weights it is not",
        ),
        b=(
            "It is the exact hypergradient of the training as it was done, stopped early",
            "that is what going back through the steps gives: the implicit formula does not know "
            "how the weights were found",
        ),
        c=(
            "It is wrong, but more steps of conjugate gradients bring it closer",
            "H q = u is solved already: the error comes from the weights, and only more *training* "
            "makes it smaller",
        ),
        d="It has an error that grows with the distance from the minimum, whatever solves H q = u",
    ),
)

COSTS = (
    number(
        "reverse_memory",
        "What reverse mode keeps",
        2e8,
        (
            "Which weights does each share need?",
            "Those before each of the T steps: T vectors of n numbers.",
        ),
        Mistake(
            "forward",
            5e6,
            "that is what forward mode carries, a column of n numbers for each hyper-parameter: "
            "reverse mode keeps the weights of all steps",
        ),
        Mistake("weights", 1e5, "that is one vector of weights: each step had its own"),
        Mistake("steps", 2000, "each of these steps has its own n weights"),
        Mistake(
            "hessian",
            1e10,
            "no matrix (n, n) is formed, and the number of hyper-parameters does not come in: T "
            "vectors of n numbers",
        ),
        Mistake("bytes", 8e8, "that is in bytes: count the numbers"),
        Mistake("double_bytes", 1.6e9, "that is in bytes: count the numbers"),
        Mistake("hyper", 50, "that is the result alone: each share needs the weights of its step"),
        Mistake(
            "steps_and_hyper",
            1e5 * 50 + 2e8,
            "the adjoint is one vector, and the total has 50 numbers: no matrix for the "
            "hyper-parameters is kept",
        ),
    ),
    choice(
        "affordable",
        "Which way to go",
        "b",
        "What does each way have to store or repeat: something for each step, or for each "
        "hyper-parameter?",
        a=(
            "Forward mode: it stores no path",
            "it carries dw/dh along, which is a million times a million numbers here: forward mode "
            "is for few hyper-parameters",
        ),
        b="The implicit formula, with some 20 steps of conjugate gradients",
        c=(
            "Reverse mode through all steps: it does all hyper-parameters at once",
            "it does, but it keeps the weights of 100,000 steps, 100 thousand million numbers; and "
            "near the minimum the early steps hardly matter",
        ),
        d=(
            "Central differences: train twice for each penalty",
            "that is two million trainings for one hypergradient",
        ),
    ),
)

HORIZON = (
    choice(
        "short_horizon",
        "Ten steps ahead",
        "a",
        "In the first steps, which directions make most of the loss? And what does the noise do to "
        "them later?",
        a="It is too small: it calms the noise of the steep directions before the flat ones move",
        b=(
            "It is too large: a short run has to hurry",
            "the loss of the next steps falls most when the noise of the steep directions is "
            "calmed, and that takes a *small* rate",
        ),
        c=(
            "It is right: what is best for every ten steps is best for all of them",
            "the best sum of short trips is not the best long one: a rate that looks bad for ten "
            "steps moves the flat directions, which pays later",
        ),
        d=(
            "It is right on average: the noise of the gradients cancels over the runs",
            "the expected loss itself has this bias: no noise is left in it, and more runs do not "
            "help",
        ),
    ),
)

END = (
    Question(
        name="explain_hypergradients",
        title="Explain your measurement",
        points=3,
        kind="text",
    ),
)
