"""The questions of `complexity` that are answered by a letter, a number or in words."""

from __future__ import annotations

import math

from mlcourse.checks.complexity_questions.shared import LN2, NATS
from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number


def bits(variance: float, log: float, mean: float = 1.0, one: float = 1.0) -> float:
    """The price of a weight under the prior N(0, 1), from the pieces of its formula."""
    return (mean + variance - one - log) / (2 * LN2)


ONE_WEIGHT = (
    number(
        "one_weight",
        "The price of one weight",
        bits(0.25, math.log(0.25)),
        (
            "gaussian_kl with the means 1 and 0, and the standard deviations 0.5 and 1.",
            "(1 + 0.25 - 1 - log(0.25)) / 2 is in nats: divide by log(2).",
        ),
        Mistake("nats", bits(0.25, math.log(0.25)) * LN2, NATS),
        Mistake(
            "times_ln2",
            bits(0.25, math.log(0.25)) * LN2**2,
            "you multiplied by ln 2: a nat is 1.44 bits, so divide the nats by ln 2",
        ),
        Mistake(
            "exchanged",
            (math.log(0.5) + 2 / (2 * 0.25) - 0.5) / LN2,
            "posterior and prior are exchanged: KL(Q || P) divides by the variance of the prior, 1",
        ),
        Mistake(
            "variance",
            bits(0.5, math.log(0.5)),
            "0.5 is the standard deviation: the variance is 0.25",
        ),
        Mistake(
            "no_half",
            2 * bits(0.25, math.log(0.25)),
            "the factor 1/2 is missing",
        ),
        Mistake(
            "no_minus_half",
            bits(0.25, math.log(0.25), one=0.0),
            "the - 1/2 is missing: a weight like its prior must cost nothing",
        ),
        Mistake(
            "mean_ignored",
            bits(0.25, math.log(0.25), mean=0.0),
            "the mean is left out: a weight far from 0 is dearer, by mean ** 2 / 2 nats here",
        ),
        Mistake(
            "variance_ignored",
            bits(0.0, math.log(0.25)),
            "sigma's own square is left out: the mean square of the weight is 1 + 0.25",
        ),
    ),
)

INDEPENDENT = (
    choice(
        "independent_terms",
        "Two independent terms?",
        "c",
        "Which of the two terms do means and sigmas, the parameters beta of Q, enter? And what is "
        "true of the gradients where F is lowest?",
        a=(
            "Yes: the error depends on the data and the price on the weights",
            "the price does not know the data, but the error is a mean over weights from Q: both "
            "change with Q's means and sigmas",
        ),
        b=(
            "Yes: so one can minimise the error first and the price afterwards",
            "the lowest error has the dearest weights and the lowest price no knowledge at all: "
            "minimising one undoes the other",
        ),
        c="No: both depend on Q, and at the lowest F their gradients cancel",
        d=(
            "No: but at the lowest F each of them has its own minimum",
            "only the *sum* has its minimum there: each gradient is the other's negative, and "
            "neither is zero",
        ),
    ),
)

TESTED = (
    choice(
        "what_was_tested",
        "What was tested",
        "b",
        "Which of its formulas does the picture's descent use? Is Q or KL among them?",
        a=(
            "That the price of the weights finds the right size",
            "no size was chosen: the model had its two waves from the beginning, and no KL was "
            "computed",
        ),
        b="Nothing of it: the picture is that of another method, descent in turns",
        c=(
            "That a lower free energy means better predictions",
            "no free energy was computed, and no error on new data",
        ),
        d=(
            "That it works on synthetic data, but not yet on real ones",
            "this is what the source says of itself; but its synthetic experiment has alternating "
            "descent in it alone, without Q and without KL",
        ),
    ),
)

PRUNED = (
    number(
        "pruned_weights",
        "What is left",
        12 * 65 + 10 * 13,
        (
            "The network is now 64 inputs, 12 units, 10 outputs, with biases.",
            "12 units with 64 + 1 numbers each, and 10 outputs with 12 + 1.",
        ),
        Mistake(
            "incoming_alone",
            12 * 65 + 10 * 41,
            "the weights *out of* the removed units are still there: nobody feeds them any more",
        ),
        Mistake(
            "outgoing_alone",
            40 * 65 + 10 * 13,
            "the weights *into* the removed units are still there: nobody listens to them any more",
        ),
        Mistake(
            "no_biases",
            12 * 64 + 10 * 12,
            "the biases are missing: each of the 12 units and 10 outputs has one",
        ),
        Mistake(
            "output_biases_forgotten",
            12 * 65 + 10 * 12,
            "the outputs' biases are missing: they stay, whatever happens to the units",
        ),
        Mistake(
            "unit_biases_forgotten",
            12 * 64 + 10 * 13,
            "the units' own biases are missing",
        ),
        Mistake(
            "removed",
            28 * 65 + 10 * 28,
            "those are the numbers that were removed: how many are left?",
        ),
        Mistake(
            "all",
            40 * 65 + 10 * 41,
            "that is the whole network, with its 40 units",
        ),
        Mistake(
            "twice",
            2 * (12 * 65 + 10 * 13),
            "each Gaussian weight has two numbers, but the question asks for weights: count each "
            "once",
        ),
    ),
)

END = (
    Question(
        name="explain_waves",
        title="Explain your choice of waves",
        points=3,
        kind="text",
    ),
)
