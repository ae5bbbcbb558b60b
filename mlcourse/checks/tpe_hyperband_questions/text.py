"""The questions of `tpe_hyperband` that are answered by a number, a letter or a text."""

from __future__ import annotations

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

MODELLED = (
    choice(
        "modelled",
        "What TPE models",
        "c",
        "Look at what goes into your two densities: which numbers of a run are in them, and what "
        "are the losses used for?",
        a=(
            "The accuracy of a configuration: the candidate with the highest predicted one is next",
            "no accuracy is predicted anywhere: a loss only says into which of the two parts a run "
            "goes, and the densities are over configurations",
        ),
        b=(
            "The probability that a training with this configuration fails",
            "failed runs are among the bad ones, but so are all that are merely not good: the "
            "densities are those of good and of bad configurations",
        ),
        c="Where good and where bad configurations lie: two densities over the space",
        d=(
            "The loss as a Gaussian process, from which the improvement is computed",
            "that is another kind of Bayesian search, which models the loss for each "
            "configuration: TPE turns it round and models configurations, given good or bad",
        ),
    ),
    choice(
        "worst_loss",
        "Only the order counts",
        "a",
        "Follow a loss through `split`. What of it is left afterwards?",
        a="Nothing changes: the same runs are good, so the densities are the same",
        b=(
            "The run weighs more among the bad ones",
            "every point has one kernel of the same mass, whatever its loss: only the order of the "
            "losses is used",
        ),
        c=(
            "Candidates keep farther away from it, as its kernel gets wider",
            "the width of a kernel does not depend on the loss: only the order of the losses is "
            "used",
        ),
        d=(
            "The expected improvement falls everywhere",
            "the losses are not in its formula, only gamma, l and g: only the order of the losses "
            "is used",
        ),
    ),
)

BUDGETS = (
    choice(
        "never_run",
        "A minimum that is never run",
        "b",
        "Your `budgets(10, 40, 3)` says it.",
        a=(
            "10 and 40",
            "40 / 3 is 13.3, and 13.3 / 3 is below 10: the budgets are 40 divided by powers of 3, "
            "so 10 is a limit that is never run itself",
        ),
        b="13.3 and 40",
        c=(
            "10, 30 and 40",
            "budgets are divided down from 40 and not multiplied up from 10: 40, then 13.3",
        ),
        d=(
            "4.4, 13.3 and 40",
            "4.4 is below the minimum of 10, so there is one cut only: s_max = "
            "floor(log(40 / 10) / log(3)) = 1",
        ),
    ),
)

BRACKETS = (
    choice(
        "last_bracket",
        "The bracket s = 0",
        "d",
        "Look at the last row of the table: how many rungs has it, and on which budget?",
        a=(
            "The boldest one: most configurations, least budget",
            "that is the first one, s = s_max: with s = 0 no configuration is cut",
        ),
        b=(
            "It trains the winners of the other brackets again",
            "each bracket starts with new configurations: nothing is handed over from one to the "
            "next",
        ),
        c=(
            "Nothing: one rung cannot choose, so it is left out",
            "it does choose, the best of its few at the end; and it is the only one that is right "
            "when early losses mislead",
        ),
        d="Random search on the whole budget, which is safe when early losses mislead",
    ),
    number(
        "source_epochs",
        "Twenty brackets",
        1600.0,
        (
            "The two brackets are [(3, 13.3), (1, 40)] and [(2, 40)]. How many epochs has each?",
            "80 and 80, ten times each.",
        ),
        Mistake(
            "full_runs",
            4000.0,
            "that is 100 configurations of 40 epochs, as for the other methods: a bracket here has "
            "80 epochs",
        ),
        Mistake(
            "checkpoints",
            10 * (40 + 80 / 3) + 800,
            "that goes on from checkpoints: each promoted run is trained from the start here, so "
            "count all of its 40 epochs",
        ),
        Mistake("first_only", 800.0, "that is half of them: there are twenty brackets, of 80 each"),
        Mistake("one_of_each", 160.0, "that is one bracket of each kind: there are ten of each"),
        Mistake(
            "both_each_time",
            3200.0,
            "you run both brackets twenty times: twenty brackets in all, ten of each kind",
        ),
        Mistake(
            "promoted_forgotten",
            10 * 40 + 10 * 80.0,
            "the promoted configurations are missing: 3 runs of 13.3 epochs, and 1 of 40",
        ),
        Mistake(
            "ten_epochs",
            10 * (30 + 40) + 10 * 80.0,
            "the first rung has 13.3 epochs, not 10: budgets are 40 divided by powers of 3",
        ),
    ),
)

PAIRS = (
    number(
        "fewest_pairs",
        "The fewest pairs",
        6,
        (
            "What is the p-value when all differences have the same sign?",
            "2 / 2^n: no flip, and all flipped. For which n is it at most 0.05?",
        ),
        Mistake(
            "one_sided",
            5,
            "1 / 2^5 = 0.031 counts one side: two flips of the 2^n go as far, none and all, and "
            "2 / 2^5 is above 0.05",
        ),
        Mistake("twenty", 20, "there are 2^n flips, not n: 2 / 2^n has to be at most 0.05"),
        Mistake("forty", 40, "there are 2^n flips, not n: 2 / 2^n has to be at most 0.05"),
        Mistake("two", 2, "with two pairs the p-value is 2 / 4 at best"),
        Mistake("four", 4, "2 / 2^4 = 0.125 is above 0.05"),
        Mistake("seven", 7, "seven are enough, but 2 / 2^6 = 0.031 is below 0.05 already"),
    ),
    number(
        "runs_of_both",
        "Noise in both runs",
        142,
        (
            "What is the variance of a difference of two independent numbers?",
            "The standard deviation of the differences is 0.6 sqrt(2).",
        ),
        Mistake(
            "noise_of_one",
            71,
            "71 pairs are right if 0.6 were the sd of the *differences*: here each of the two runs "
            "has that noise, so a difference has 0.6 sqrt(2)",
        ),
        Mistake(
            "doubled_sd",
            283,
            "two independent noises add up in their squares: 0.6 sqrt(2), and not 1.2",
        ),
        Mistake(
            "counted_twice",
            284,
            "that is the number of runs: how many pairs are they?",
        ),
        Mistake(
            "halved",
            36,
            "the noise of a difference is larger than that of one run, not smaller: 0.6 sqrt(2)",
        ),
        Mistake(
            "one_sided",
            112,
            "that is for one side only: each side gets half of the level of 0.05",
        ),
        Mistake("half_power", 70, "that has a power of one half: add place(0.8)"),
        Mistake("not_rounded", 141, "round up: with 141 the power is a little below 0.8"),
    ),
)

RANKING = (
    choice(
        "ranking",
        "One run each",
        "c",
        "How large is the noise of one run, and how many pairs would a difference of this size "
        "need?",
        a=(
            "Particle swarm and BOHB beat random search",
            "random search has the *highest* accuracy of the three here, and BOHB alone was "
            "cheaper, 1,600 epochs against about 4,000; one run each ranks nothing",
        ),
        b=(
            "Random search is the best method: it has the highest accuracy",
            "a method's result is random too: from one run of each, nobody knows how much of a "
            "point is luck",
        ),
        c="BOHB spent fewer epochs; the accuracies of one run each rank nothing",
        d=(
            "All three are equally good",
            "that they differ is as unproven as that they do not: one run each says nothing "
            "either way",
        ),
    ),
    choice(
        "selected_best",
        "The best of many",
        "d",
        "Imagine 100 configurations that are all equally good. How high is the highest of their "
        "validation accuracies?",
        a=(
            "It is right on average: validation data were not trained on",
            "each one is right on average, but the highest of 100 was chosen for being high, its "
            "luck included",
        ),
        b=(
            "It is too low: with all the data the network would be better",
            "that may be, but it is another matter: the highest of 100 noisy numbers was chosen "
            "for being high",
        ),
        c=(
            "It is wrong only if the search was not random",
            "any search that takes the best of many noisy numbers does it: the winner's luck is "
            "chosen along",
        ),
        d="It is too high: it was chosen for being high, luck included",
    ),
)

END = (
    Question(
        name="explain_search",
        title="Explain your comparison",
        points=3,
        kind="text",
    ),
)
