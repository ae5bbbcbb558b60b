"""The questions of `four_ways` that are answered by a number, a letter or a text."""

from __future__ import annotations

import math

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

LOGITS = (
    number(
        "perfect_twice",
        "Softmax twice, perfect prediction",
        math.log(1 + math.exp(-1)),
        (
            "The probabilities (1, 0) are taken as logits: what does softmax make of them?",
            "The true class then gets e/(e + 1), and the loss is minus its logarithm.",
        ),
        Mistake(
            "zero", 0, "0 is what it should cost: the second softmax turns (1, 0) into (0.73, 0.27)"
        ),
        Mistake(
            "probability",
            math.e / (math.e + 1),
            "that is the probability after the second softmax: the loss is minus its logarithm",
        ),
        Mistake(
            "wrong_class",
            math.log(1 + math.e),
            "that is the cost of a prediction that is "
            "certain and *wrong*: take the logarithm of the true class' probability",
        ),
        Mistake("uniform", math.log(2), "that is the cost of the uniform prediction"),
        Mistake(
            "sign",
            -math.log(1 + math.exp(-1)),
            "a loss of this kind is never negative: minus the logarithm",
        ),
        Mistake(
            "decimal",
            math.log10(1 + math.exp(-1)),
            "that is with the decimal logarithm: use the natural one",
        ),
        Mistake("bits", math.log2(1 + math.exp(-1)), "that is in bits: use the natural logarithm"),
    ),
    number(
        "uniform_twice",
        "Softmax twice, uniform prediction",
        math.log(2),
        (
            "What does softmax make of two equal numbers, whatever they are?",
            "The same probabilities as before: so the first loss looks right, and hides the "
            "mistake.",
        ),
        Mistake(
            "zero",
            0,
            "0 is the cost of a perfect prediction: a uniform one gives the true class 1/2",
        ),
        Mistake(
            "perfect",
            math.log(1 + math.exp(-1)),
            "that is the cost of the "
            "perfect prediction: for the uniform one both numbers are equal",
        ),
        Mistake(
            "probability",
            0.5,
            "that is the probability of the true class: the loss is minus its logarithm",
        ),
        Mistake(
            "doubled",
            2 * math.log(2),
            "the cost does not double: softmax of equal numbers is uniform again",
        ),
        Mistake("bits", 1, "that is in bits: use the natural logarithm"),
    ),
    choice(
        "last_layer",
        "What CrossEntropyLoss takes",
        "c",
        "Read the first line of its documentation: help(torch.nn.CrossEntropyLoss).",
        a=(
            "`nn.Linear`, then `nn.Softmax`, so that it gets probabilities",
            "CrossEntropyLoss applies softmax itself: with another before it, even a perfect "
            "prediction costs something, and learning is slow",
        ),
        b=(
            "`nn.Linear`, then `nn.Sigmoid`, so that each output lies in (0, 1)",
            "a sigmoid is for classes that do not exclude each other: CrossEntropyLoss takes the "
            "logits, as nn.Linear gives them",
        ),
        c="`nn.Linear` and nothing after it, so that it gets logits",
        d=(
            "Either: the loss notices whether its input sums to 1",
            "it does not look: whatever comes is taken as logits, so probabilities go through "
            "softmax a second time",
        ),
    ),
)

AUTOGRAD = (
    choice(
        "no_zero_grad",
        "Without zero_grad",
        "b",
        "Call backward() twice on w * 1.0 with w = torch.ones(1, requires_grad=True), and print "
        "w.grad.",
        a=(
            "An error: gradients must be cleared before the next `backward`",
            "there is no error, which makes it a trap: gradients are added to those that are "
            "there, so each step follows the sum of all past ones",
        ),
        b="Each step follows the sum of all gradients so far",
        c=(
            "Each step follows the newest gradient: `backward` overwrites the older one",
            "backward() adds to .grad and does not overwrite it: each step follows the sum of all "
            "gradients so far",
        ),
        d=(
            "The gradients stay those of the first step",
            "backward() does write, by adding: each step follows the sum of all gradients so far",
        ),
    ),
    choice(
        "why_no_grad",
        "Why the update is under no_grad",
        "a",
        "Leave it out and read the message.",
        a="The update is not part of the network's function, so it must not be recorded",
        b=(
            "It sets the gradients to zero",
            "it sets nothing: it only stops the recording, while zero_grad clears the gradients",
        ),
        c=(
            "It makes the parameters constant from then on",
            "only what happens inside is not recorded: the parameters require gradients as before",
        ),
        d=(
            "It is for speed alone: without it the result is the same",
            "without it torch refuses to change in place a leaf that requires gradients: the "
            "update must not be recorded",
        ),
    ),
    choice(
        "keep_the_number",
        "losses.append(loss)",
        "d",
        "What does a loss tensor hold on to, through its grad_fn?",
        a=(
            "A float would be less precise",
            "item() gives a Python float, which is float64: what matters is that the tensor "
            "holds on to its graph",
        ),
        b=(
            "Appending the tensor changes the gradients of the next step",
            "the gradients stay right: but each tensor keeps its whole graph in memory",
        ),
        c=(
            "A list cannot hold tensors",
            "it can, and that is the trap: each tensor keeps its whole graph in memory",
        ),
        d="The tensor keeps its whole graph in memory, with all activations",
    ),
    choice(
        "data_attribute",
        "p.data instead of no_grad",
        "c",
        "Autograd counts how often a tensor was changed, to find out when an activation that it "
        "kept is no longer what it was.",
        a=(
            "It works on a copy, so `p` does not change",
            "p.data shares its memory with p: the change is real, only autograd does not notice it",
        ),
        b=(
            "It is slower, because it copies the tensor",
            "nothing is copied: the trouble is that autograd does not notice the change",
        ),
        c="Autograd does not notice the change, so a wrong gradient gives no error",
        d=(
            "There is no difference",
            "there is one when a changed tensor is still needed by a backward pass: under "
            "no_grad() that is an error, with .data the gradient is silently wrong",
        ),
    ),
)

END = (
    choice(
        "how_equal",
        "How equal the four versions are",
        "b",
        "Is (a + b) + c always a + (b + c) for floating-point numbers?",
        a=(
            "Bit by bit: they compute the same function",
            "the same function, but in another order: floating-point sums depend on the order, so "
            "the last digits differ",
        ),
        b="Up to rounding: the same function, computed in another order",
        c=(
            "In the first step only: afterwards each goes its own way",
            "rounding is all that separates them: after thousands of steps in float64 they still "
            "agree to many digits",
        ),
        d=(
            "On average over many seeds",
            "from the same parameters and data nothing is random: they agree up to rounding",
        ),
    ),
    choice(
        "which_kernel",
        "An SVM on the rings",
        "d",
        "A linear SVM draws one straight line in the space where its kernel puts the points.",
        a=(
            "The linear kernel, with a large C",
            "C weighs errors against the margin: the boundary is a straight line all the same, and "
            "no line separates a ring from what it surrounds",
        ),
        b=(
            "Both: an SVM finds the widest margin between any two classes",
            "only between classes that its kernel can separate: the linear one draws a straight "
            "line, and none separates the rings",
        ),
        c=(
            "Neither: the rings need a network",
            "the RBF kernel compares points by their distance, which is enough to enclose the "
            "inner ring",
        ),
        d="The RBF kernel: it compares points by their distance, so its boundary can close",
    ),
    Question(
        name="explain_ways",
        title="Explain the four ways",
        points=2,
        kind="text",
    ),
)
