"""The questions of `optimisers` that are answered by a number, a letter or a text."""

from __future__ import annotations

import math

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

MOMENTUM = (
    choice(
        "no_mean",
        "Is momentum a mean?",
        "b",
        "Let every gradient be g. Put v <- mu v + g into itself until nothing changes any more.",
        a=(
            "Nothing: v is the mean of all gradients so far",
            "the weights 1, mu, mu^2, ... fall with age and do not sum to 1: under a constant "
            "gradient v grows to g/(1 - mu), and a mean would stay g",
        ),
        b="v is a sum, not a mean: under a constant gradient it grows to 1/(1 - mu) times it",
        c=(
            "v is the mean of the last two gradients alone",
            "mu multiplies the whole old v, in which all earlier gradients are: v is a sum of them "
            "all, with weights that do not sum to 1",
        ),
        d=(
            "v is the mean of the last 1/(1 - mu) gradients",
            "about that many gradients count, but v is their *sum*, 1/(1 - mu) times a mean: that "
            "is why momentum makes steps longer",
        ),
    ),
    number(
        "effective_rate",
        "The effective rate",
        0.4,
        (
            "v <- mu v + g with the same g for ever: at which v does nothing change any more?",
            "v grows to g / (1 - mu), and the step is lr times v.",
        ),
        Mistake(
            "plain",
            0.02,
            "that is the rate without momentum, or of a mean: v grows to g/(1 - mu), so the steps "
            "are longer",
        ),
        Mistake("velocity", 20.0, "that is v, in gradients: the step is lr times v"),
        Mistake(
            "of_a_mean",
            0.001,
            "momentum makes the steps longer here, not shorter: v is a sum, which grows to "
            "g/(1 - mu)",
        ),
        Mistake("over_mu", 0.02 / 0.95, "divide by 1 - mu, not by mu"),
        Mistake(
            "two_terms", 0.039, "that is with the last two gradients alone: v holds all of them"
        ),
        Mistake("times_mu", 0.38, "mu does not multiply the step: v itself sums up to g/(1 - mu)"),
    ),
    choice(
        "rate_cut",
        "The two forms when the rate changes",
        "a",
        "In which of the two is the learning rate of earlier steps still inside v?",
        a="In torch's form: there v holds gradients alone, and the new rate multiplies all of it",
        b=(
            "In the textbook's form: there lr is inside v",
            "that v still holds steps that were made with the old rate, which fade only by mu a "
            "step: torch's form multiplies all of v by the new rate at once",
        ),
        c=(
            "In both: they are the same rule",
            "they are the same only while lr stays the same: the textbook's v still holds steps of "
            "the old rate",
        ),
        d=(
            "In neither: v has to fade first",
            "that is true of the textbook's form alone: torch's multiplies all of v by the new "
            "rate at once",
        ),
    ),
)

ADAGRAD = (
    choice(
        "what_adagrad_divides_by",
        "What AdaGrad divides by",
        "d",
        "What would happen to the divisor where gradients of +1 and -1 alternate?",
        a=(
            "By the past values of the gradient",
            "values have signs and would cancel where the gradient alternates, so that the rate "
            "explodes: it is the root of the sum of their squares",
        ),
        b=(
            "By the root of the mean square of the past gradients",
            "then the steps would not become smaller under a constant gradient: it is the *sum* of "
            "squares; a mean is RMSProp's",
        ),
        c=(
            "By the sum of the squared gradients",
            "the root is missing: without it the step would depend on the unit of the loss",
        ),
        d="By the root of the sum of all squared gradients, the newest among them",
    ),
    number(
        "adagrad_25th",
        "AdaGrad's 25th step",
        0.02,
        (
            "What is s after 25 gradients of 2, and what is its root?",
            "s = 25 * 4 = 100, so the step is 0.1 * 2 / 10.",
        ),
        Mistake(
            "first",
            0.1,
            "that is the first step, lr: the sum of squares has grown 25 times since then",
        ),
        Mistake(
            "harmonic",
            0.004,
            "that falls like 1/t: the root of the sum grows like sqrt(t)",
        ),
        Mistake("no_root", 0.002, "the root is missing: sqrt(100) is 10"),
        Mistake(
            "no_gradient",
            0.01,
            "that is lr over the root: the gradient, 2, multiplies it",
        ),
        Mistake(
            "one_late",
            0.1 / math.sqrt(24),
            "that is the 24th: the newest square is in the sum before the step is made",
        ),
        Mistake("plain", 0.2, "that is the step without AdaGrad: divide by the root of s"),
    ),
)

ADADELTA = (
    number(
        "adadelta_first",
        "Adadelta's first step",
        0.1 / math.sqrt(0.41) * 2,
        (
            "u is 0, so above the line there is sqrt(eps) alone. What is s after the first "
            "gradient?",
            "s = 0.1 * 4 = 0.4. The step is sqrt(0.01) / sqrt(0.4 + 0.01) * 2.",
        ),
        Mistake(
            "nothing",
            0.0,
            "u is 0, but the root above is sqrt(u + eps): without that eps Adadelta would never "
            "move",
        ),
        Mistake(
            "eps_outside",
            0.01 / (math.sqrt(0.4) + 0.01) * 2,
            "that is with eps outside the roots: it is inside, sqrt(u + eps)",
        ),
        Mistake(
            "no_average",
            0.1 / math.sqrt(4.01) * 2,
            "s is an average that starts at 0: after the first gradient it is (1 - rho) g^2 = 0.4",
        ),
        Mistake(
            "rho",
            0.1 / math.sqrt(3.61) * 2,
            "rho is the weight of the old average: the new square has weight 1 - rho = 0.1",
        ),
        Mistake(
            "no_gradient",
            0.1 / math.sqrt(0.41),
            "that is what multiplies the gradient: the gradient is 2",
        ),
        Mistake(
            "no_roots",
            0.01 / 0.41 * 2,
            "the roots are missing: sqrt(u + eps) / sqrt(s + eps)",
        ),
    ),
)

UNITS = (
    choice(
        "scaled_loss",
        "The loss in another unit",
        "c",
        "Every gradient becomes 100 times as large. What becomes of g / sqrt(average of g^2)?",
        a=(
            "All rules make steps 100 times as long",
            "AdaGrad, RMSProp and Adam divide by a root of squared gradients, which grows by the "
            "same 100: their steps stay as they are",
        ),
        b=(
            "All rules make the same steps: the minimum is where it was",
            "the minimum stays, but plain descent and momentum step by lr times the gradient, "
            "which is now 100 times as large",
        ),
        c="SGD and momentum step 100 times as far; AdaGrad, RMSProp and Adam as before",
        d=(
            "RMSProp and Adam make steps 100 times shorter",
            "they divide a gradient 100 times as large by a root 100 times as large: the steps "
            "stay as they are",
        ),
    ),
    choice(
        "turned_axes",
        "Turned axes",
        "d",
        "Which rules treat every coordinate by itself, with a divisor of its own?",
        a=(
            "All of them: a rule sees gradients, not axes",
            "AdaGrad, RMSProp and Adam divide entry by entry, so the axes matter: turn a narrow "
            "valley by 45 degrees and their advantage is gone",
        ),
        b=(
            "None: every rule works coordinate by coordinate",
            "SGD and momentum add and scale whole vectors: turned gradients give the turned path",
        ),
        c=(
            "AdaGrad, RMSProp and Adam: they adapt to the new axes",
            "it is the other way round: they divide entry by entry, and entries change when the "
            "axes are turned",
        ),
        d="SGD and momentum: they know no coordinates, and the others divide entry by entry",
    ),
)

ADAM = (
    number(
        "adam_first",
        "Adam's first step",
        0.001,
        (
            "Work out m_hat and v_hat for t = 1.",
            "m_hat is g and v_hat is g^2, so the step is -lr g / |g|. And g is negative.",
        ),
        Mistake(
            "sgd",
            0.25,
            "that is lr times the gradient: Adam divides by the gradient's own size, so its first "
            "step has length lr whatever the gradient",
        ),
        Mistake("sign", -0.001, "the sign: Adam goes against the gradient, which is negative"),
        Mistake(
            "no_correction",
            0.001 * 0.1 / math.sqrt(0.001),
            "that is without the corrections: m_hat = m / (1 - 0.9) and v_hat = v / (1 - 0.999)",
        ),
        Mistake(
            "second_not_corrected",
            0.001 / math.sqrt(0.001),
            "v is not corrected: v_hat = v / (1 - 0.999) is the gradient squared",
        ),
        Mistake(
            "first_not_corrected",
            0.0001,
            "m is not corrected: m_hat = m / (1 - 0.9) is the gradient itself",
        ),
        Mistake("unit", 1.0, "that is m_hat over the root of v_hat: lr multiplies it"),
        Mistake(
            "no_root",
            0.001 / 250,
            "the root is missing: v_hat is 250 squared, its root 250",
        ),
    ),
    choice(
        "numbers_kept",
        "What a rule remembers",
        "b",
        "Count the letters that each rule keeps from one step to the next: v, s, u, m.",
        a=(
            "1, 1, 1, 1, 2",
            "Adadelta keeps two averages, one of squared gradients and one of squared steps",
        ),
        b="1, 1, 1, 2, 2",
        c=(
            "0, 1, 1, 2, 2",
            "momentum keeps v, one number for each parameter: only plain SGD keeps nothing",
        ),
        d=(
            "1, 2, 1, 2, 3",
            "AdaGrad keeps s alone; Adam keeps m and v, the corrected ones are made anew each time",
        ),
    ),
    number(
        "adam_memory",
        "The memory that Adam takes",
        200.0,
        (
            "How many numbers does Adam keep for each parameter, and how many bytes has each?",
            "Two numbers of 4 bytes for each of 25 million parameters.",
        ),
        Mistake("one", 100.0, "that is one number a parameter: Adam keeps m and v"),
        Mistake(
            "with_parameters",
            300.0,
            "that counts the parameters themselves too: asked for is what Adam keeps besides",
        ),
        Mistake(
            "with_gradients",
            400.0,
            "that counts the parameters and their gradients too: asked for is what Adam keeps "
            "besides",
        ),
        Mistake("numbers", 50.0, "that is in millions of numbers: each has 4 bytes"),
        Mistake("bits", 1600.0, "that is in megabits: 8 bits are one byte"),
        Mistake("bytes", 2e8, "that is in bytes: a megabyte (MB) has a million of them"),
    ),
)

DECAY = (
    choice(
        "which_weight_shrinks",
        "An L2 penalty in Adam",
        "a",
        "In Adam the penalty's gradient is divided by the root of v_hat too. For which of the two "
        "weights is that root large?",
        a="Under the L2 penalty the second decays faster; under AdamW both shrink alike",
        b=(
            "Both decay alike, in either way: weight decay and an L2 penalty are the same",
            "for SGD they are the same: in Adam the penalty's gradient is divided by the root of "
            "v_hat, which is 100 times as large for the first weight",
        ),
        c=(
            "Under the L2 penalty the first decays faster, since its gradients are larger",
            "large gradients make the divisor large, and the penalty's gradient is divided too: "
            "the first decays *less*",
        ),
        d=(
            "Under AdamW the second decays faster; under the L2 penalty both shrink alike",
            "it is the other way round: AdamW takes the share lr decay from every weight, and the "
            "penalty goes through the division",
        ),
    ),
)

TRAJECTORIES = (
    choice(
        "third_row",
        "Which rule made the third row?",
        "c",
        "Square the third row and divide 0.01 by it: 0.1, 0.19, 0.271, 0.344.",
        a=(
            "AdaGrad",
            "AdaGrad's first step is lr times the gradient's sign, 0.1, and then it falls like "
            "1/sqrt(t): that is the second row",
        ),
        b=(
            "Adam",
            "Adam's averages are corrected, so under a constant gradient every step is lr: that is "
            "the fourth row",
        ),
        c="RMSProp",
        d=(
            "Adadelta",
            "Adadelta's first step is about sqrt(eps/(1 - rho)), far smaller, and then it grows",
        ),
        e=(
            "Momentum",
            "momentum's steps grow under a constant gradient: that is the first row",
        ),
    ),
    choice(
        "fourth_row",
        "Which rule made the fourth row?",
        "d",
        "For which rule is a constant gradient a matter of its sign alone, from the first step on?",
        a=(
            "Plain gradient descent",
            "that would step by lr times the gradient, 0.1 * 4 = 0.4, each time",
        ),
        b=(
            "AdaGrad",
            "AdaGrad's sum of squares grows, so its steps become smaller: that is the second row",
        ),
        c=(
            "RMSProp",
            "RMSProp's average starts at 0 and is not corrected, so its first steps are longer: "
            "that is the third row",
        ),
        d="Adam",
    ),
)

END = (
    Question(
        name="explain_race",
        title="Explain the race",
        points=3,
        kind="text",
    ),
)
