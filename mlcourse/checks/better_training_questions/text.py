"""The questions of `better_training` that are answered by a number, a letter or a text."""

from __future__ import annotations

import math

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

INPUTS = (
    choice(
        "whose_statistics",
        "Why the training set's statistics",
        "c",
        "The finished network gets one photograph. What is the mean of that set of images?",
        a=(
            "The training set is large, so its mean and the test set's are nearly the same",
            "then either would do, and the rule would have no reason: the test set may tell the "
            "training nothing, and one image at prediction time has no set of its own",
        ),
        b=(
            "It would take too long to compute the statistics of the test set",
            "that takes less time than those of the training set: the reason is that the test set "
            "must stay unseen, and that a single image has no statistics",
        ),
        c="The test set must stay unseen, and one image at prediction time has no set",
        d=(
            "The network would see other numbers at each run otherwise",
            "the test set's statistics do not change from run to run: the reason is that the test "
            "set must stay unseen, and that a single image has no statistics",
        ),
    ),
)

WHITENING = (
    choice(
        "what_zca_does",
        "What ZCA does",
        "b",
        "W is computed from the covariance alone. Does anything in it know where the border is?",
        a=(
            "It gives the pixels at the border low weights, because they matter less",
            "nothing in it knows where a pixel lies: it decorrelates the pixels and gives every "
            "direction the same variance",
        ),
        b="It decorrelates the pixels, and changes the images as little as that allows",
        c=(
            "It keeps the directions of largest variance and drops the others",
            "that is the reduction by PCA: ZCA keeps every direction, and gives all of them the "
            "same variance",
        ),
        d=(
            "It makes every pixel independent of every other",
            "it makes them uncorrelated, which is less: dependence beyond the covariance stays, "
            "and it is what a network learns from",
        ),
    ),
    choice(
        "zca_cost",
        "What ZCA costs",
        "a",
        "A matrix of 3072 rows is small for a computer: time torch.linalg.eigh on a random one.",
        a="Seconds, once: one eigen-decomposition of a 3072 x 3072 matrix",
        b=(
            "Hours: with 3072 variables the method is too slow to be of use",
            "3072^3 is about 3 * 10^10, a matter of seconds for one decomposition, and it is done "
            "once: the speed is no obstacle",
        ),
        c=(
            "One eigen-decomposition for each image",
            "W is computed once, from the training set: each image then costs one product with it",
        ),
        d=(
            "As much as training the network once more",
            "it is one decomposition, a matter of seconds, and then one product for each image",
        ),
    ),
)

AUGMENTATION = (
    choice(
        "six_to_nine",
        "What turns a 6 into a 9",
        "d",
        "Write a 6 on a slip of paper, and turn the paper.",
        a=(
            "A horizontal flip (left and right exchanged)",
            "a 6 in a mirror has its loop at the bottom still, and its stem on the other side: "
            "that is no 9. A rotation by 180 degrees makes one",
        ),
        b=(
            "A vertical flip (top and bottom exchanged)",
            "that puts the loop on top, but the stem then bends the wrong way: a rotation by 180 "
            "degrees, both flips at once, makes a 9",
        ),
        c=(
            "A rotation by 90 degrees",
            "that lays the 6 on its side: it takes 180 degrees",
        ),
        d="A rotation by 180 degrees",
    ),
    choice(
        "two_to_five",
        "What turns a 2 into a 5",
        "b",
        "In seven segments a 2 stays a 2 when it is turned by 180 degrees. So what do its two "
        "flips have in common?",
        a=(
            "A rotation by 180 degrees",
            "seven segments' 2 is its own picture when turned by 180 degrees: a flip makes a 5 of "
            "it",
        ),
        b="A flip: the vertical one, and here the horizontal one as well",
        c=(
            "Nothing: no transformation of the plane exchanges them",
            "exchange top and bottom of the segments of a 2: those of a 5 are left",
        ),
        d=(
            "A shift by a few pixels",
            "a shift moves the digit and leaves its form: a flip makes a 5 of a 2 in seven "
            "segments",
        ),
    ),
    choice(
        "safe_for_signs",
        "Augmentation for traffic signs",
        "a",
        "After which of them would a human still give every sign the same label?",
        a="A random crop that leaves out a few pixels at the borders",
        b=(
            "A horizontal flip",
            "it makes 'turn right' of 'turn left': the label must stay true for the changed image",
        ),
        c=(
            "A random exchange of the colour channels",
            "colours mean something on a sign: red forbids, blue commands. The label must stay "
            "true for the changed image",
        ),
        d=(
            "A rotation by any angle",
            "an arrow ahead becomes an arrow to the side: the label must stay true for the changed "
            "image",
        ),
    ),
    choice(
        "augmented_or_new",
        "Augmented or new examples",
        "c",
        "How much does the tenth crop of a photograph tell you that the first nine did not?",
        a=(
            "The same: a network cannot know where its images come from",
            "crops of one photograph show the same animal in the same light: they are correlated, "
            "and tell less than as many new photographs",
        ),
        b=(
            "The crops: they are harder",
            "they show what was in the photographs already: new ones show what was not",
        ),
        c="The new photographs: crops of one photograph are strongly correlated",
        d=(
            "The crops, since their labels are certain",
            "the labels are as good as those of the originals, no better: new photographs show "
            "what no crop of the old ones can",
        ),
    ),
)

MOVING = (
    choice(
        "what_momentum_keeps",
        "What momentum remembers",
        "d",
        "Put v <- mu v + g into itself two or three times.",
        a=(
            "The gradient of the batch before",
            "the batch before is in v, and so are all before it: v is mu times the *whole* old v, "
            "plus the new gradient",
        ),
        b=(
            "The mean of all gradients so far, each with the same weight",
            "the weights differ, 1, mu, mu^2, ... from the newest back: and they sum to 1/(1 - mu) "
            "at most, not to 1",
        ),
        c=(
            "The direction alone: the length of the step stays lr",
            "nothing is normalised: when gradients agree, the steps get up to 1/(1 - mu) times as "
            "long",
        ),
        d="A sum of all past gradients, in which older ones count less and less",
    ),
    number(
        "weight_of_the_past",
        "The weight of an old gradient",
        0.729,
        (
            "Each step multiplies all of v by mu.",
            "After three more steps the gradient has been multiplied by mu three times.",
        ),
        Mistake("nothing", 0, "it is still there: v keeps all past gradients, faded"),
        Mistake("one_step", 0.9, "that is its weight one step later: three steps, three factors"),
        Mistake(
            "two_steps",
            0.81,
            "that is after two steps: the gradient has weight 1 when it is "
            "new, and fades with each step after that",
        ),
        Mistake("four_steps", 0.6561, "that is after four steps: when it is new its weight is 1"),
        Mistake(
            "of_a_mean",
            0.0729,
            "that is with a factor 1 - mu in front, a weighted mean: here "
            "v is a plain sum, mu v + g",
        ),
        Mistake(
            "linear",
            0.7,
            "the weights fall geometrically, 1, mu, mu^2, ..., not by the same amount each time",
        ),
        Mistake("third", 0.3, "the weights fall geometrically, 1, mu, mu^2, ..."),
        Mistake("complement", 0.001, "mu is what is kept at each step, not what is lost"),
    ),
    number(
        "effective_step",
        "The effective step",
        1.0,
        (
            "v <- 0.9 v + g with the same g for ever: at which v does nothing change any more?",
            "v = 1 + mu + mu^2 + ... = 1/(1 - mu) times g. The step is lr v.",
        ),
        Mistake(
            "plain",
            0.1,
            "that is the step without momentum: v grows to 1/(1 - mu) = 10 times the gradient",
        ),
        Mistake("velocity", 10.0, "that is v: the step is lr times v"),
        Mistake(
            "mean",
            0.01,
            "momentum makes the steps longer here, not shorter: v is a sum, g/(1 - mu), not a mean",
        ),
        Mistake(
            "two_terms", 0.19, "that is with the last two gradients alone: v holds all of them"
        ),
        Mistake("times_mu", 0.09, "mu does not multiply the step: v sums up to g/(1 - mu)"),
        Mistake("over_mu", 0.1 / 0.9, "divide by 1 - mu, not by mu"),
    ),
    number(
        "time_based",
        "Time-based decay",
        0.04,
        ("The formula is lr0 / (1 + k t).", "1 + k t is 2.5 here."),
        Mistake("no_one", 0.1 / 1.5, "the 1 is missing: lr0 / (1 + k t)"),
        Mistake(
            "exponential",
            0.1 * math.exp(-1.5),
            "that is the exponential decay, lr0 exp(-k t): time-based is lr0 / (1 + k t)",
        ),
        Mistake("linear", 0.1 * (1 - 1.5), "a learning rate below 0 goes uphill: lr0 / (1 + k t)"),
        Mistake("one_step", 0.1 / 1.05, "that is at t = 1: here t = 30"),
        Mistake("grown", 0.25, "it must become smaller: divide lr0 by 1 + k t"),
        Mistake(
            "repeated",
            0.1 / 1.05**30,
            "lr0 is divided once, by 1 + k t, and not by 1 + k "
            "at each step: that would be exponential",
        ),
    ),
    number(
        "exponential",
        "Exponential decay",
        0.1 * math.exp(-1.5),
        ("The formula is lr0 exp(-k t).", "exp(-1.5) is about 0.223."),
        Mistake(
            "time_based",
            0.04,
            "that is the time-based decay, lr0 / (1 + k t): here it is lr0 exp(-k t)",
        ),
        Mistake("factor_alone", math.exp(-1.5), "lr0 is missing: lr0 exp(-k t)"),
        Mistake("grown", 0.1 * math.exp(1.5), "it must become smaller: the exponent is -k t"),
        Mistake("one_step", 0.1 * math.exp(-0.05), "that is at t = 1: here t = 30"),
        Mistake(
            "power_of_k",
            0.1 * 0.95**30,
            "close, but that is (1 - k)^t: exp(-k t) is slightly larger",
        ),
        Mistake("power_of_ten", 0.1 * 10**-1.5, "the base is e = 2.718..., not 10"),
        Mistake("power_of_two", 0.1 * 2**-1.5, "the base is e = 2.718..., not 2"),
    ),
)

SHRINKING = (
    number(
        "shrunk_weight",
        "What weight decay leaves",
        0.97**10,
        (
            "The penalty's gradient is lambda w, so a step does w <- w - lr lambda w.",
            "Each step multiplies w by 1 - lr lambda. There are ten.",
        ),
        Mistake(
            "linear",
            0.7,
            "the same amount is taken off at each step in yours: what is taken off is a *fraction* "
            "of the weight, so it shrinks geometrically",
        ),
        Mistake("one_step", 0.97, "that is after one step: there are ten"),
        Mistake(
            "continuous",
            math.exp(-0.3),
            "close: exp(-lr lambda t) is the limit of many small steps, while ten steps of this "
            "size give (1 - lr lambda)^10",
        ),
        Mistake(
            "doubled",
            0.94**10,
            "that is for the penalty lambda w^2: with the 1/2 in front the gradient is lambda w, "
            "without a factor 2",
        ),
        Mistake(
            "no_lr",
            0.7**10,
            "the learning rate is missing: each step multiplies w by 1 - lr lambda",
        ),
        Mistake("no_lambda", 0.9**10, "lambda is missing: each step multiplies w by 1 - lr lambda"),
        Mistake(
            "zero",
            0,
            "a fraction of the weight is taken off at each step, so it never reaches 0",
        ),
        Mistake("lost", 1 - 0.97**10, "that is what has been lost: what is left is asked for"),
    ),
    number(
        "smoothed_target",
        "Smoothed labels",
        0.91,
        (
            "The formula for the true class: y = 1, so 1 - s + s / C.",
            "The true class gets its share of the uniform part as well.",
        ),
        Mistake(
            "no_share",
            0.9,
            "the true class gets its share of the uniform part too: 1 - s + s/C, so that the "
            "targets sum to 1",
        ),
        Mistake("others", 0.01, "that is the target of each other class, s/C"),
        Mistake(
            "others_alone",
            0.1 / 9,
            "s is shared by all C classes, the true one too; and the target of the true class is "
            "asked for",
        ),
        Mistake("smoothing", 0.1, "that is s: the true class keeps 1 - s, plus its share s/C"),
        Mistake("hard", 1, "that is the target without smoothing"),
        Mistake("added", 1.01, "the targets must sum to 1: 1 is multiplied by 1 - s first"),
        Mistake("subtracted", 0.89, "the share s/C is added, not taken away: 1 - s + s/C"),
    ),
    choice(
        "regularisation",
        "What regularisation is",
        "b",
        "Dropout, augmentation and early stopping add nothing to the loss. Are they "
        "regularisation?",
        a=(
            "A penalty that is added to the loss",
            "that is one kind: dropout, augmentation and early stopping add no penalty and are "
            "regularisation too, since they are meant to lower the test error",
        ),
        b="Any change that is meant to lower the test error, and not the training error",
        c=(
            "Any change that makes the network smaller",
            "a smaller network is one way: dropout, augmentation and penalties leave its size and "
            "are meant to lower the test error all the same",
        ),
        d=(
            "Any change that lowers the training error faster",
            "that is better optimisation: regularisation is meant for the test error, and often "
            "raises the training error",
        ),
    ),
)

DROPPING = (
    number(
        "thinned_networks",
        "How many thinned networks",
        1024,
        ("Each unit is there or not, whatever the others do.",),
        Mistake("pairs", 20, "two possibilities for *each* unit: they multiply, 2 * 2 * 2 * ..."),
        Mistake("units", 10, "a mask is a choice for all units at once, not of one unit"),
        Mistake("square", 100, "each unit has two states, so it is 2^10, not 10^2"),
        Mistake(
            "factorial", math.factorial(10), "the order does not matter: each unit is there or not"
        ),
        Mistake("not_empty", 1023, "the mask that drops everything is one of them too"),
        Mistake("one_fewer_unit", 512, "ten units, ten factors of 2"),
    ),
    number(
        "classic_scale",
        "The factor of classic dropout",
        0.8,
        (
            "In training the unit was there with probability q. What was its mean?",
            "At test it is always there, so it must be multiplied by q = 1 - p.",
        ),
        Mistake(
            "p",
            0.2,
            "that is p, the probability to drop: the mean in training was q times "
            "the unit, so multiply by q = 1 - p",
        ),
        Mistake(
            "inverse",
            1.25,
            "dividing by q is what inverted dropout does in *training*: the "
            "classic form multiplies by q at test",
        ),
        Mistake("over_p", 5.0, "that is 1/p: at test the unit is multiplied by q = 1 - p"),
        Mistake(
            "nothing",
            1,
            "that is the inverted form, which has scaled in training: the "
            "classic one has not, so its inputs would be too large at test",
        ),
        Mistake("half", 0.5, "it depends on p: the unit is multiplied by q = 1 - p"),
        Mistake(
            "root",
            math.sqrt(0.8),
            "it is the mean that must be kept: multiply by q, not by its root",
        ),
        Mistake("q_squared", 0.64, "q once: the unit was there with probability q"),
    ),
    choice(
        "dropout_time",
        "Does dropout save time",
        "a",
        "Which product does the next layer compute, when half of its inputs are 0?",
        a="No: the products stay as large, there is a mask to draw, and it takes more epochs",
        b=(
            "Yes: what is dropped need not be computed",
            "the dropped units are computed and then set to 0: the matrix products have the same "
            "size, and drawing the mask comes on top",
        ),
        c=(
            "Yes: an epoch takes longer, but there are fewer of them",
            "noise makes the training slower, not faster: with dropout a network usually needs "
            "more epochs",
        ),
        d=(
            "Yes in training, no at test",
            "in training the products have the same size and the mask comes on top, and more "
            "epochs are needed: nothing is saved there",
        ),
    ),
    choice(
        "eighty_and_seventy",
        "80 % and 70 %",
        "d",
        "What is the name of the gap between the two figures?",
        a=(
            "With dropout there is no overfitting any more",
            "ten points between training and test are overfitting: there may be less than before, "
            "but it has not gone",
        ),
        b=(
            "The network underfits, since it does not reach 100 % in training",
            "with dropout the training figure is lower than the network could reach: the ten "
            "points that it lies above the test figure are overfitting",
        ),
        c=(
            "The test set is harder than the training set",
            "both are drawn in the same way: what the network knows better is the images that it "
            "was trained on",
        ),
        d="It still overfits: the gap of ten points says so",
    ),
)

NORMALISING = (
    choice(
        "why_batch_norm",
        "Why batch norm works",
        "c",
        "In 2018 noise was added after each batch norm, so that the distributions moved about "
        "even more. The network trained as well as before.",
        a=(
            "It reduces internal covariate shift, as has been shown",
            "that is how its inventors explained it: later experiments made the shift worse and "
            "the training stayed as fast, so it is contested",
        ),
        b=(
            "It makes the activations independent of each other",
            "each channel is normalised alone, so their correlations stay",
        ),
        c="That is contested: it makes the loss smoother, and the first explanation fits badly",
        d=(
            "It makes the network invariant to the learning rate",
            "it allows larger learning rates, it does not make them indifferent",
        ),
    ),
    choice(
        "what_eval_changes",
        "Batch norm at test",
        "b",
        "With the batch's own statistics, on what would the prediction for one image depend?",
        a=(
            "It is left out at test",
            "the weights after it expect normalised inputs: it is applied, with the running "
            "statistics",
        ),
        b="It uses the running mean and variance, so an image does not depend on its neighbours",
        c=(
            "It uses the test batch's mean and variance, and the same gamma and beta",
            "the prediction for an image would then depend on which others are in the batch, and "
            "a batch of one could not be normalised: the running statistics are used",
        ),
        d=(
            "Nothing changes: `eval()` is for dropout only",
            "eval() changes both: dropout stops dropping, and batch norm takes its running "
            "statistics",
        ),
    ),
)

AFTER = (
    choice(
        "best_so_far",
        "Reading a ladder",
        "d",
        "Hold each figure against all before it. And how often was each measured?",
        a=(
            "With momentum the result is the best so far",
            "68 % is below the 70 % that augmentation gave before it: read the whole column before "
            "you call a figure the best",
        ),
        b=(
            "Momentum harms this network",
            "one run each cannot show that: another seed may move a figure by as much, and the "
            "learning rate should have been tuned anew",
        ),
        c=(
            "Momentum and augmentation must not be combined",
            "nothing here shows that: two runs differ, and by no more than another seed or another "
            "learning rate could explain",
        ),
        d="68 % is below the best, and one run a row cannot say whether momentum helped or harmed",
    ),
    Question(
        name="explain_improvement",
        title="Explain your measurement",
        points=3,
        kind="text",
    ),
)
