"""The questions of `regularisation` that are answered by a letter, a number or in words."""

from __future__ import annotations

import math

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

#: What ten steps leave of the way at curvature 2 and rate 0.1.
LEFT = 0.8**10

PENALTIES = (
    choice(
        "ridge",
        "What ridge penalises",
        "b",
        "Is the penalty's gradient proportional to the weights, or only to their direction?",
        a=(
            "The Euclidean norm of the weights",
            "the norm has a root, and its gradient w / ||w|| has length 1 however small the "
            "weights are: ridge takes the *squared* norm, with the gradient 2 w",
        ),
        b="The squared Euclidean norm of the weights",
        c=(
            "The sum of the absolute values of the weights",
            "that is L1, the lasso: ridge is the sum of squares",
        ),
        d=(
            "The largest of the weights",
            "that would press on a single weight: ridge is the sum of all squares",
        ),
    ),
)

DECAY = (
    number(
        "weight_decay",
        "Weight decay in SGD",
        0.02,
        (
            "SGD adds weight_decay * w to the gradient. What does the penalty add to it?",
            "The gradient of lam w^2 is 2 lam w.",
        ),
        Mistake(
            "no_two",
            0.01,
            "that fits the penalty lam/2 times the squared norm: without the 1/2 its gradient is "
            "2 lam w",
        ),
        Mistake("half", 0.005, "it is the other way round: the derivative of w^2 brings a 2"),
        Mistake(
            "times_lr",
            0.002,
            "SGD multiplies by the learning rate itself: weight_decay is what is added to the "
            "gradient",
        ),
        Mistake(
            "lam_times_lr",
            0.001,
            "SGD multiplies by the learning rate itself, and the derivative of w^2 brings a 2",
        ),
        Mistake("factor", 0.998, "that is what a step multiplies the weight by, 1 - lr * 2 lam"),
        Mistake("squared", 0.0001, "w is squared in the penalty, not lam"),
        Mistake("over_lr", 0.2, "the learning rate multiplies the whole gradient in both cases"),
    ),
)

ZEROS = (
    choice(
        "exact_zeros",
        "Which one makes zeros",
        "d",
        "Start from w = 0.05 with a step of 0.1 and l1 = 1, and follow the gradient for a few "
        "steps by hand. Then take the soft threshold.",
        a=(
            "Gradient steps on the squared norm",
            "each step takes a fraction of the weight, so it gets small and never zero",
        ),
        b=(
            "Gradient steps on the L1 penalty: its slope does not fade near zero",
            "the slope does not fade, so the weight steps over zero and back again, by lr l1 each "
            "time, and hardly ever lands on it: the soft threshold stops at zero",
        ),
        c=(
            "All of them, if the training is long enough",
            "a fraction of a weight is never the whole of it, and steps of a fixed length pass "
            "over zero: only the soft threshold stops there",
        ),
        d="The soft threshold after each gradient step on the loss alone",
    ),
)

ADAPTIVE = (
    choice(
        "l2_in_adam",
        "L2 in Adam",
        "a",
        "In Adam each entry of the gradient is divided by the root of its own mean square. The "
        "penalty's part goes through the same division.",
        a="Weights with large gradients are decayed less than weights with small ones",
        b=(
            "It is the same as weight decay, as for SGD",
            "for plain SGD they are the same: Adam divides the penalty's gradient too, by a number "
            "of each weight's own, so the decay depends on the gradients",
        ),
        c=(
            "All weights are decayed by the same fraction",
            "that is decoupled decay (AdamW): the penalty's gradient is divided by the root of v, "
            "which differs from weight to weight",
        ),
        d=(
            "It has no effect: Adam is invariant to the size of the gradient",
            "scaling the whole loss leaves Adam's steps alone, but the penalty changes the "
            "direction of the gradient, and so the steps",
        ),
    ),
)

STOPPING = (
    choice(
        "stopped_loss",
        "What the best validation loss tells",
        "c",
        "Two hundred epochs were looked at, and one was chosen. By what?",
        a=(
            "It estimates the loss on new data: the validation set was not trained on",
            "the epoch was chosen because its validation loss is low, by luck in part: the "
            "estimate is optimistic, so measure on a test set",
        ),
        b=(
            "It is too pessimistic: the weights would go on getting better",
            "they were looked at for the rest of the patience, and did not: what is chosen as the "
            "lowest of many is too low, not too high",
        ),
        c="It is optimistic: the lowest of many noisy values was chosen",
        d=(
            "It is the training loss at the same epoch plus a constant",
            "the two curves part as the network overfits: that is why one stops",
        ),
    ),
    number(
        "learned_fraction",
        "How far descent gets",
        1 - LEFT,
        (
            "The gradient is h (w - w*), so a step multiplies w - w* by 1 - lr h.",
            "After t steps (1 - lr h)^t of the way is left.",
        ),
        Mistake(
            "left", LEFT, "that is what is left of the way: the part that is done is asked for"
        ),
        Mistake(
            "linear",
            2.0,
            "the steps get shorter as the gradient does: each does lr h of what is left",
        ),
        Mistake("one_step", 0.2, "that is after one step: there are ten"),
        Mistake(
            "no_curvature",
            1 - 0.9**10,
            "the curvature is missing: the gradient is h (w - w*), so a step does lr h of the way",
        ),
        Mistake(
            "continuous",
            1 - math.exp(-2),
            "close: that is the limit of many small steps, while ten of this size leave "
            "(1 - lr h)^10",
        ),
        Mistake("all", 1, "something is left after any number of steps: (1 - lr h)^t is not 0"),
        Mistake(
            "doubled",
            1 - 0.6**10,
            "the 1/2 in the loss takes the 2 of its derivative: the gradient is h (w - w*)",
        ),
    ),
    number(
        "equal_penalty",
        "The penalty that does the same",
        LEFT / (1 - LEFT),
        (
            "Set h / (h + 2 lam) equal to the fraction from above, and solve for lam.",
            "lam = h (1 / fraction - 1) / 2.",
        ),
        Mistake(
            "no_two",
            2 * LEFT / (1 - LEFT),
            "that is for the penalty lam/2 w^2: here it is lam w^2, so 2 lam takes the place of "
            "lam",
        ),
        Mistake(
            "flat",
            0.5,
            "1 / (2 lr t) is the rule for directions in which little has been learned, lr h t much "
            "below 1: here it is 2",
        ),
        Mistake(
            "flat_no_two",
            1.0,
            "1 / (lr t) is a rule for the penalty lam/2 w^2, and only where lr h t is much below "
            "1: here it is 2",
        ),
        Mistake(
            "of_the_rest",
            (1 - LEFT) / LEFT,
            "this penalty leaves as much as descent has done: set h / (h + 2 lam) equal to the "
            "fraction that is learned",
        ),
        Mistake("left", LEFT, "that is what descent leaves of the way: which lam leaves as much?"),
        Mistake(
            "no_h", LEFT / (1 - LEFT) / 2, "the curvature h is 2: lam = h (1 / fraction - 1) / 2"
        ),
    ),
)

CLIPPING = (
    choice(
        "what_clipping_keeps",
        "What clipping keeps",
        "a",
        "Clip (10, 0.1) to 1, one way and the other, and draw what you get.",
        a="By norm keeps the direction of the gradient, by value can change it",
        b=(
            "Both keep the direction of the gradient",
            "by value (10, 0.1) becomes (1, 0.1), which points elsewhere: only one common factor "
            "keeps the direction",
        ),
        c=(
            "By value keeps the direction of the gradient, by norm can change it",
            "it is the other way round: by norm all entries get the same factor",
        ),
        d=(
            "By norm keeps the length of the gradient, by value its direction",
            "the length is what both change: by norm, all entries get the same factor, so the "
            "direction stays",
        ),
    ),
)

DROPPING = (
    number(
        "mask_probability",
        "The probability of a mask",
        0.128,
        (
            "Each unit is kept or dropped by a draw of its own.",
            "One factor for each of the three units: q, p, q.",
        ),
        Mistake(
            "alike",
            0.125,
            "the eight masks are not equally likely: a unit is kept with probability 0.8, dropped "
            "with 0.2",
        ),
        Mistake("kept_alone", 0.64, "the dropped unit has a factor too: its p = 0.2"),
        Mistake(
            "exchanged", 0.032, "p is the probability to *drop* a unit: 0.2 for one, 0.8 for two"
        ),
        Mistake(
            "any_two",
            0.384,
            "that is for any two of the three: here the first and the third are kept, one mask of "
            "three",
        ),
        Mistake("added", 1.8, "independent draws multiply: q times p times q"),
        Mistake("all_kept", 0.512, "that is the mask that keeps all three"),
        Mistake(
            "dropped_alone", 0.2, "that is for the second unit alone: the others have factors too"
        ),
    ),
)

ONE_PASS = (
    choice(
        "one_pass",
        "Dropout in one pass",
        "c",
        "You have just computed both for one layer. What changes when a tanh comes after the "
        "dropped units, and another layer after it?",
        a=(
            "It is the arithmetic mean of all thinned networks, in any network",
            "not even in a single layer: it is the geometric mean there, and in deeper networks it "
            "is neither",
        ),
        b=(
            "It is the geometric mean of all thinned networks, in any network",
            "in one linear layer with a softmax it is, as you computed: the mean does not pass "
            "through a nonlinearity, so in deeper networks it is an approximation",
        ),
        c="It is the geometric mean for one layer with a softmax, and an approximation beyond",
        d=(
            "It is one of the thinned networks, chosen by chance",
            "nothing is dropped in that pass: each unit counts with its probability to be there",
        ),
    ),
)

AFTER = (
    Question(
        name="explain_penalty",
        title="Explain your measurement",
        points=3,
        kind="text",
    ),
)
