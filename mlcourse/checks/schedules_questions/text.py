"""The questions of `schedules` that are answered by a number, a letter or a text."""

from __future__ import annotations

import math

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

STEPS = (
    number(
        "step_rate",
        "A rate of the step schedule",
        0.025,
        (
            "How many whole stages of 10 epochs lie behind epoch 25?",
            "Two: the rate is 0.1 * 0.5 * 0.5.",
        ),
        Mistake(
            "as_printed",
            0.1,
            "that is the rate without a drop, as floor(25 / (50 - 0.5)) = 0 would have it: divide "
            "the epoch by epochs_drop, 10",
        ),
        Mistake("rounded_up", 0.0125, "25 / 10 is rounded down: two drops lie behind epoch 25"),
        Mistake("one", 0.05, "that is one drop: there were two, at the epochs 10 and 20"),
        Mistake(
            "no_floor",
            0.1 * 0.5**2.5,
            "the exponent is rounded down: the rate keeps still within a stage",
        ),
        Mistake("every_epoch", 0.1 * 0.5**25, "the rate drops once in 10 epochs, not in each"),
    ),
    choice(
        "as_printed",
        "The formula as it is printed",
        "c",
        "Compute floor(epoch / (50 - 0.5)) for epoch 0, epoch 25 and epoch 49.",
        a=(
            "It drops once, half way",
            "epoch / 49.5 stays below 1 up to the last epoch, 49, so floor gives 0 all the time: "
            "nothing ever drops",
        ),
        b=(
            "It drops in every epoch",
            "epoch / 49.5 stays below 1 up to the last epoch, 49, so floor gives 0 all the time: "
            "nothing ever drops",
        ),
        c="It never drops: the exponent is 0 up to the last epoch",
        d=(
            "The same as the right formula, with 10 for epochs_drop",
            "then 49.5 would have to act like 10: epoch / 49.5 stays below 1 to the end, so "
            "nothing ever drops",
        ),
    ),
)

EXPONENTIAL = (
    number(
        "half_life",
        "The half-life of a rate",
        math.log(2) / 0.01,
        ("For which t is exp(-0.01 t) equal to 1/2?", "t = ln(2) / 0.01."),
        Mistake(
            "time_based",
            100.0,
            "that is 1/k, the half-life of the time-based decay: here exp(-k t) = 1/2",
        ),
        Mistake("linear", 50.0, "the rate does not fall along a line: solve exp(-k t) = 1/2"),
        Mistake("tenth", math.log(10) / 0.01, "that is where a tenth is left: a half is asked for"),
        Mistake(
            "base_two", math.log2(math.e) / 0.01, "upside down: t = ln(2) / k, and not 1 / (k ln 2)"
        ),
        Mistake("decimal", math.log10(2) / 0.01, "that is the decimal logarithm: take the natural"),
        Mistake("inverse", math.log(2) * 0.01, "divide by k: a smaller k takes longer"),
    ),
    number(
        "farthest",
        "How far the rates reach",
        0.1 / (1 - math.exp(-0.01)),
        (
            "The steps are at most 0.1, 0.1 q, 0.1 q^2, ... with q = exp(-0.01). What do they sum "
            "to?",
            "A geometric series: 0.1 / (1 - q).",
        ),
        Mistake(
            "integral",
            10.0,
            "close: that is the integral lr0 / k, and the sum of the steps is a little larger, "
            "lr0 / (1 - exp(-k))",
        ),
        Mistake(
            "infinity",
            math.inf,
            "the rates fall so fast that their sum is finite: a geometric series",
        ),
        Mistake("squares", 0.01 / (1 - math.exp(-0.02)), "that sums the squares: sum the rates"),
        Mistake(
            "first_left_out",
            0.1 * math.exp(-0.01) / (1 - math.exp(-0.01)),
            "the first step, at t = 0, belongs to the sum too",
        ),
        Mistake("no_lr0", 1 / (1 - math.exp(-0.01)), "lr0 multiplies the whole sum"),
    ),
    choice(
        "robbins_monro",
        "Robbins and Monro",
        "b",
        "Which sums of rates are infinite? And of their squares? 1/t and 1/t^2 are good to know.",
        a=(
            "The exponential one, exp(-k t)",
            "its rates sum to a finite number: if the minimum is farther away than that, it is "
            "never reached",
        ),
        b="The time-based one, 1 / (1 + k t)",
        c=(
            "The constant one",
            "its squares sum to infinity: the noise is never averaged out, and the parameters go "
            "on jumping about",
        ),
        d=(
            "1 / sqrt(1 + k t)",
            "its squares, 1 / (1 + k t), sum to infinity: it falls too slowly for this condition",
        ),
    ),
)

COSINE = (
    number(
        "cosine_quarter",
        "A quarter of the way",
        0.1 * (1 + math.cos(math.pi / 4)) / 2,
        ("The share is t / steps = 1/4.", "0.1 * (1 + cos(pi / 4)) / 2, and cos(pi / 4) = 0.7071."),
        Mistake("straight", 0.075, "that is a straight line: the cosine is flat at first"),
        Mistake("whole_wave", 0.05, "that is a whole wave: half a wave takes all of the steps"),
        Mistake(
            "no_one", 0.1 * math.cos(math.pi / 4), "add 1 to the cosine and halve: (1 + cos) / 2"
        ),
        Mistake(
            "quarter_wave",
            0.1 * math.cos(math.pi / 8),
            "that is a quarter of a wave: it is (1 + cos(pi / 4)) / 2",
        ),
        Mistake("not_halved", 0.1 * (1 + math.cos(math.pi / 4)), "halve it: (1 + cos) / 2"),
        Mistake("upside_down", 0.1 * (1 - math.cos(math.pi / 4)) / 2, "it is 1 + cos, not 1 - cos"),
        Mistake("degrees", 0.1 * (1 + math.cos(45)) / 2, "the cosine takes radians: pi / 4"),
    ),
)

IN_TORCH = (
    choice(
        "stepped_too_often",
        "Meant for epochs, stepped by updates",
        "d",
        "What is t at the end of the first epoch? And exp(-0.05 * 391)?",
        a=(
            "About 0.095, as after one epoch",
            "scheduler.step() adds 1 to t at each call, and it was called 391 times: the rate is "
            "0.1 exp(-0.05 * 391), practically 0",
        ),
        b=(
            "Still 0.1: the schedule waits for the epoch to end",
            "LambdaLR knows nothing of epochs: each call of step() adds 1 to t, and there were 391",
        ),
        c=(
            "About 0.037, a factor of e",
            "391 calls make an exponent of -0.05 * 391 = -19.55, not -1: the rate is practically 0",
        ),
        d="About 3e-10: t counts the calls of step(), and training has come to a halt",
    ),
    number(
        "squared_rate",
        "Two rates multiplied",
        0.01,
        (
            "LambdaLR multiplies the optimiser's lr by what the function returns.",
            "0.1 of the optimiser times 0.1 of the schedule.",
        ),
        Mistake(
            "once",
            0.1,
            "LambdaLR *multiplies* the optimiser's 0.1 by what the function returns, which is 0.1 "
            "at t = 0: one of the two has to be 1",
        ),
        Mistake("added", 0.2, "the two are multiplied, not added"),
        Mistake("one", 1.0, "the function's 0.1 does not divide: it multiplies"),
        Mistake("cubed", 0.001, "there are two factors of 0.1, not three"),
    ),
)

NOISE = (
    choice(
        "noise_floor",
        "Why the loss falls at once",
        "a",
        "With a constant rate, in a bowl, where do noisy steps of a certain length end up?",
        a="Noisy steps keep the parameters in a cloud; with smaller steps the cloud is smaller",
        b=(
            "The network has found another, better minimum at that moment",
            "small steps hardly leave a valley: what falls is the excess loss from jumping about "
            "in it",
        ),
        c=(
            "Small steps follow the gradient faster",
            "a smaller rate moves more slowly along the valley: it is the jumping from wall to "
            "wall that becomes smaller at once",
        ),
        d=(
            "The gradient's noise has become smaller",
            "the noise of a batch is what it was: what is smaller is the step that it makes, and "
            "with it the cloud",
        ),
    ),
    choice(
        "when_to_cut",
        "When to cut the rate",
        "b",
        "What does a small rate do well, and what does it do badly?",
        a=(
            "As early as possible: the loss falls at once each time",
            "that fall is the noise alone, and can be had at any time: an early cut makes all the "
            "rest of the way slow",
        ),
        b="When the loss no longer falls: a small rate removes the noise but is slow on the way",
        c=(
            "Never: a constant rate gets closest in the end",
            "under noise a constant rate ends in a cloud whose size it sets: a smaller rate makes "
            "a smaller one",
        ),
        d=(
            "When the training loss rises for one update",
            "with mini-batches the loss rises in every second update or so: look at the mean over "
            "an epoch",
        ),
    ),
)

RANGE = (
    choice(
        "not_the_lowest",
        "Why not the lowest loss",
        "c",
        "What did the updates do that came right after the lowest loss, and with which rates?",
        a=(
            "That rate is too small: the loss fell for longer",
            "it is too large: from there on updates raised the loss",
        ),
        b=(
            "The lowest loss is there by chance alone",
            "smoothing takes care of that: at that rate updates stop helping and begin to harm",
        ),
        c="From that rate on updates raise the loss: it is too large to train with",
        d=(
            "The rate of the lowest loss is right, as it gave the best network",
            "the loss is low there thanks to all the smaller rates before: with that rate itself "
            "updates no longer lower it",
        ),
    ),
)

END = (
    Question(
        name="explain_schedule",
        title="Explain your schedule",
        points=3,
        kind="text",
    ),
)
