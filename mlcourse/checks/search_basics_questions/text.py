"""The questions of `search_basics` that are answered by a letter, a number or in words."""

from __future__ import annotations

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

LENET = (
    number(
        "lenet_epochs",
        "The epochs of LeNet's grid",
        201 * 32 * 32 * 91 * 40,
        (
            "How many integers are there from 1 to 3? And from 125 to 325?",
            "201 * 32 * 32 * 91 configurations, 40 epochs each.",
        ),
        Mistake(
            "source",
            200 * 32 * 32 * 90 * 40,
            "that is the source's own count: it takes both ends of C1 and C3, but only one of F6 "
            "and C5, which have 201 and 91 values",
        ),
        Mistake(
            "ends_left_out",
            200 * 31 * 31 * 90 * 40,
            "one end of each range is left out: from 1 to 32 there are 32 integers, high - low + 1",
        ),
        Mistake(
            "configurations",
            201 * 32 * 32 * 91,
            "those are the configurations: each is trained for 40 epochs",
        ),
        Mistake(
            "configurations_of_the_source",
            200 * 32 * 32 * 90,
            "those are configurations, and counted with one end of F6 and C5 only: 201 and 91 "
            "values, and 40 epochs each",
        ),
        Mistake(
            "summed",
            (201 + 32 + 32 + 91) * 40,
            "the numbers of values are added: a grid has all combinations, so multiply",
        ),
    ),
    choice(
        "miscounted",
        "What was miscounted",
        "a",
        "Count each range by itself: which of the four factors is not high - low + 1?",
        a="F6 and C5 lose one of their ends: they have 201 and 91 values",
        b=(
            "C1 and C3 have one value too many: they have 31 each",
            "from 1 to 32 there are 32 integers: these two factors are right",
        ),
        c=(
            "The four numbers should be added, not multiplied",
            "a grid has all combinations: each further range multiplies their number",
        ),
        d=(
            "Nothing: the upper end is left out, as in Python's range(1, 32)",
            "then C1 and C3 would have 31 values, not 32; and C5 = 40 as well as F6 = 324 were "
            "found at the ends of ranges, so ends matter",
        ),
    ),
    choice(
        "around_lenet",
        "A space around LeNet-5",
        "d",
        "Is 84 between 125 and 325? And how far are 40 and 324 from the ends of their ranges?",
        a=(
            "LeNet-5 is in the middle of the space, so the search explores its neighbours",
            "LeNet-5 has F6 = 84, and the range of F6 starts at 125: it is not in the space at all",
        ),
        b=(
            "The optimum is at C5 = 40, since two methods found it",
            "40 is the lowest value that they could choose: nobody has tried a lower one, and two "
            "single noisy runs prove nothing",
        ),
        c=(
            "C1 and C3 keep LeNet-5 out: 6 and 16 are too small",
            "6 and 16 lie between 1 and 32: it is F6 = 84 that lies below its range, 125 to 325",
        ),
        d="LeNet-5 is outside (F6), and the finds at ends are a hint to widen these ranges",
    ),
)

CONDITIONAL = (
    number(
        "conditional_count",
        "A grid with a condition",
        28,
        (
            "Count the grid of each optimiser by itself, and add.",
            "4 for sgd, 4 for adam, 4 times 5 for momentum.",
        ),
        Mistake(
            "product",
            60,
            "3 * 4 * 5 tries five momenta with sgd and adam too, where there is none: five times "
            "the same training",
        ),
        Mistake(
            "added",
            17,
            "3 * 4 + 5: each of the five momenta is combined with each of the four rates",
        ),
        Mistake("momentum_alone", 20, "those are the ones with momentum: sgd and adam have 4 each"),
        Mistake("one_other", 24, "there are two optimisers without a momentum, with 4 rates each"),
        Mistake(
            "twice",
            32,
            "momentum is a value of optimizer, and always has one of the five momenta: 4 + 4 + 20",
        ),
        Mistake(
            "sum", 12, "3 + 4 + 5 adds what is to be combined: count each optimiser's own grid"
        ),
    ),
)

DIMENSION = (
    choice(
        "dimension",
        "Random search and the dimension",
        "b",
        "Where in 1 - (1 - q) ** n does the number of hyper-parameters stand?",
        a=(
            "About 0.05 ** 10: each of the ten must be in its best 5 %",
            "this is the p ** d of the source, and asks for more than is meant: the best 5 % of "
            "all configurations are 5 % of the volume in any dimension, whatever their shape",
        ),
        b="0.994, as in any dimension: success(100, 0.05)",
        c=(
            "About 0.4: 0.994 divided among the dimensions",
            "a draw is good with probability 0.05 by definition, in any dimension: nothing is to "
            "be divided",
        ),
        d=(
            "Nobody can say: it depends on the function",
            "how good the best 5 % are does depend on the function; that a draw is one of them has "
            "the probability 0.05 by definition",
        ),
    ),
    number(
        "near",
        "The chance to be near",
        1 - (1 - 0.2**5) ** 100,
        (
            "Which share of the cube is within 0.1 of the optimum in every coordinate?",
            "0.2 ** 5. Then at least one of 100 draws: success(100, 0.2 ** 5).",
        ),
        Mistake(
            "half_width",
            1 - (1 - 0.1**5) ** 100,
            "within 0.1 means 0.1 to both sides: the box is 0.2 wide in each coordinate",
        ),
        Mistake(
            "one_coordinate",
            1 - 0.8**100,
            "that is one coordinate alone: all five have to be near, 0.2 ** 5",
        ),
        Mistake("one_draw", 0.2**5, "that is one draw: the best of 100 is asked for"),
        Mistake(
            "best_five",
            1 - 0.95**100,
            "that is the chance of one of the best 5 %, in any dimension: here *near* is asked for",
        ),
        Mistake(
            "times_n",
            100 * 0.2**5,
            "100 * 0.2 ** 5 counts twice what is hit twice: 1 - (1 - 0.2 ** 5) ** 100",
        ),
    ),
)

SELECTION = (
    choice(
        "best_of_equals",
        "The best of a hundred equals",
        "c",
        "All hundred trainings are of the same configuration. What has the choice selected?",
        a=(
            "Its validation error: it is what was measured",
            "the lowest of a hundred noisy numbers is too good, by about two and a half standard "
            "deviations: the choice has selected luck",
        ),
        b=(
            "Its test error, as the error of this *configuration*",
            "closer, but the seed was chosen too: the test error is that of this one network; "
            "another training of the configuration is not so lucky",
        ),
        c="The mean test error of the configuration, trained again with fresh seeds",
        d=(
            "The lowest of the hundred test errors",
            "then the test data choose, and their luck is reported: nothing is left to tell it",
        ),
    ),
)

END = (
    Question(
        name="explain_search",
        title="Explain your search",
        points=3,
        kind="text",
    ),
)
