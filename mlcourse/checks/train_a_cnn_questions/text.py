"""The questions of `train_a_cnn` that are answered by a number, a letter or a text."""

from __future__ import annotations

import math

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

START = (
    number(
        "guessing",
        "The accuracy of guessing",
        0.1,
        ("Each of the ten classes has the same number of test images.",),
        Mistake("percent", 10, "that is in percent: give a fraction between 0 and 1"),
        Mistake("half", 0.5, "that is for two classes: here there are ten"),
        Mistake("wrong", 0.9, "that is how often a guess is wrong"),
        Mistake(
            "loss",
            math.log(10),
            "that is the loss of a network that guesses: asked is how often a guess is right",
        ),
        Mistake("zero", 0, "a guess is right by chance now and then: once in how many times?"),
    ),
    number(
        "hundred_outputs",
        "A hundred outputs for ten classes",
        math.log(100),
        (
            "A new network spreads its probability over all of its outputs.",
            "It does not know that 90 of them never occur.",
        ),
        Mistake(
            "ten",
            math.log(10),
            "that is the loss of ten outputs: a new network does not know that 90 of its hundred "
            "never occur, and gives them probability too",
        ),
        Mistake("ninety", math.log(90), "the true class is among the outputs: all 100 share"),
        Mistake(
            "ratio",
            math.log(10) * 10,
            "the loss grows with the logarithm of the outputs: "
            "minus the logarithm of one hundredth",
        ),
        Mistake(
            "probability",
            0.01,
            "that is the true class' probability: the loss is minus its logarithm",
        ),
        Mistake("decimal", 2, "that is with the decimal logarithm: use the natural one"),
    ),
    number(
        "first_updates",
        "The steps of the first epoch",
        391,
        (
            "Each batch is one step, the last and smaller one too.",
            "50,000/128 is not a whole number: round up.",
        ),
        Mistake(
            "none",
            0,
            "the parameters change after each batch, from the first on: nothing is updated only "
            "*before* the first step",
        ),
        Mistake("one", 1, "one step an epoch is full-batch training: here each batch makes one"),
        Mistake("floor", 390, "the last, smaller batch makes a step too: round up"),
        Mistake("not_whole", 390.625, "the number of batches is a whole number: round up"),
        Mistake("images", 50_000, "that is one step an image: a batch of 128 makes one"),
        Mistake("batch", 128, "that is the number of images in a batch: count the batches"),
    ),
    choice(
        "first_epoch",
        "The error of the first epoch",
        "b",
        "When does the first update take place, and how many follow before the epoch ends?",
        a=(
            "It is right: updates begin with the second epoch",
            "updates begin with the first batch: there are hundreds of them during the first epoch",
        ),
        b="It holds before the first step only: the mean over the first epoch is already lower",
        c=(
            "It is right for the test error, as the test images take no part in the updates",
            "the test images take no part, but the model that they meet has been updated hundreds "
            "of times by then",
        ),
        d=(
            "It is right for large batches, which update once an epoch",
            "only a batch of all 50,000 images would: with 512 there are still 98 updates",
        ),
    ),
    choice(
        "loss_too_high",
        "A first loss of 9.7",
        "a",
        "A loss far above log 10 needs a very small probability for the true class.",
        a="Its logits are too large, for example because the pixels go in as 0 to 255",
        b=(
            "Nothing: a network that has learned nothing may start anywhere",
            "one that knows nothing should spread its probability evenly, which costs 2.303: at "
            "9.7 it is sure of itself, and wrong",
        ),
        c=(
            "The learning rate is too large",
            "no step has been taken yet, so the learning rate cannot have done it",
        ),
        d=(
            "The network overfits",
            "it has not seen a training image yet, so there is nothing that it could have learned "
            "by heart",
        ),
    ),
)

EVALUATING = (
    choice(
        "eval_or_no_grad",
        "eval() and no_grad()",
        "c",
        "One is a method of the model, the other says something to autograd.",
        a=(
            "They do the same; `model.eval()` is the newer way to write it",
            "they are independent: eval() changes what some layers compute, no_grad() what "
            "autograd records",
        ),
        b=(
            "`model.eval()` stops the gradients, `torch.no_grad()` switches dropout off",
            "it is the other way round: eval() switches dropout off, no_grad() stops the recording",
        ),
        c="`model.eval()` changes what dropout and batch norm compute, `torch.no_grad()` stops "
        "autograd's recording",
        d=(
            "`torch.no_grad()` includes `model.eval()`, but not the other way round",
            "no_grad() does not touch the model: a layer of dropout goes on dropping under it",
        ),
    ),
    choice(
        "no_grad_alone",
        "no_grad() without eval()",
        "d",
        "What does a batch norm in training mode do with the batch that it sees?",
        a=(
            "Nothing: without gradients no layer can change",
            "batch norm's running statistics are no parameters: they change in a forward pass, "
            "gradients or not",
        ),
        b=(
            "The numbers are right, only memory is wasted",
            "that is eval() without no_grad(): here dropout drops and batch norm uses the batch's "
            "statistics, so the numbers are wrong",
        ),
        c=(
            "The numbers are wrong, but the model is as it was",
            "the model changes too: batch norm in training mode updates its running statistics, "
            "this time with test images",
        ),
        d="The numbers are wrong, and batch norm has learned from the test images",
    ),
    choice(
        "eval_alone",
        "eval() without no_grad()",
        "a",
        "Nobody calls backward() here. What does autograd keep for it all the same?",
        a="The numbers are right; memory and time go into a record that nobody uses",
        b=(
            "Gradients are added to those of the training",
            "gradients come from backward(), which nobody calls in an evaluation: only the record "
            "for it is made",
        ),
        c=(
            "Dropout still drops, so the numbers are wrong",
            "eval() has switched dropout off: what is missing is the order to record nothing",
        ),
        d=(
            "The parameters move a little with each batch",
            "parameters move in optimizer.step() alone: what is made here is a record for a "
            "backward pass that never comes",
        ),
    ),
)

TRAINING = (
    choice(
        "step_order",
        "The order of a step",
        "c",
        "step() uses what backward() left, and backward() adds to what was there.",
        a=(
            "loss, `step()`, `backward()`, `zero_grad()`",
            "step() would find no gradient: it uses what backward() leaves",
        ),
        b=(
            "loss, `backward()`, `zero_grad()`, `step()`",
            "zero_grad() would throw away what backward() has just computed, before step() uses it",
        ),
        c="`zero_grad()`, loss, `backward()`, `step()`",
        d=(
            "`zero_grad()`, `backward()`, loss, `step()`",
            "backward() starts from the loss, so the loss comes first",
        ),
    ),
    choice(
        "train_above_test",
        "A training loss above the test loss",
        "b",
        "With which weights was each of the two numbers measured?",
        a=(
            "The test images are easier",
            "they are drawn like the training images: the two numbers were measured with different "
            "weights",
        ),
        b="The training loss is a mean over the epoch, whose early batches met a worse network",
        c=(
            "The network overfits",
            "overfitting is the opposite: then the training loss lies *below* the test loss",
        ),
        d=(
            "Test images have slipped into the training set",
            "that would lower both: what differs here is the moment of measuring, during the epoch "
            "and after it",
        ),
    ),
)

GRID = (
    choice(
        "forty_percent",
        "40 % after 60 %",
        "d",
        "What do curves that lie close together exclude, and what do they not?",
        a=(
            "Yes: training and test accuracy lie together, so nothing is wrong",
            "close curves exclude overfitting alone: both lie 20 points below what the same "
            "network reached with a smaller step",
        ),
        b=(
            "Yes: it is only slower, and with more epochs it would get to 60 %",
            "a step that is too large does not get better with time: the loss jumps about a level "
            "until the step is made smaller",
        ),
        c=(
            "No: it overfits",
            "overfitting would be a high training accuracy beside a low test accuracy: here both "
            "are equally poor",
        ),
        d="No: the same network reached 60 % with a smaller step, so this step is too large",
    ),
    choice(
        "half_is_small",
        "Is 0.5 a small learning rate?",
        "a",
        "Compare with the settings that share its batch size, and with those that share its rate.",
        a="No: it is five times the rate that reached 60 %, and at batch size 512 it diverged",
        b=(
            "Yes: it is below 1",
            "1 is no border: small or large is measured against what works, and 0.1 reached 60 % "
            "where 0.5 reached 40 %",
        ),
        c=(
            "Yes: the accuracy rises slowly, and slow means that the steps are small",
            "steps that are too large are slow as well, since they jump across the valley: the "
            "smaller rate got further in the same epochs",
        ),
        d=(
            "It cannot be said: the noise comes from the batch size alone",
            "with the same batch size, 0.1 got to 60 %: what differs is the rate alone",
        ),
    ),
    choice(
        "rate_of_one",
        "Is a learning rate of 1 adequate?",
        "c",
        "Look at where the curve ends, not only at how fast it gets there.",
        a=(
            "Yes: it converges quickly",
            "it comes to rest quickly, at half the accuracy: a good step is judged by where it "
            "gets to",
        ),
        b=(
            "Yes: any rate that does not diverge is adequate",
            "not diverging is the least that one can ask: 0.1 did not diverge either, and got "
            "twice as far",
        ),
        c="No: it ends at half the accuracy that a rate of 0.1 reached",
        d=(
            "No: its curve is noisy",
            "noise alone is no fault, the best setting was noisy too: what counts is half the "
            "accuracy",
        ),
    ),
    choice(
        "missing_setting",
        "The setting that is missing",
        "b",
        "Write the table: four rates down, two batch sizes across.",
        a=("Rate 0.5 with batch size 512", "that one is there: it is the first that diverged"),
        b="Rate 0.1 with batch size 512",
        c=("Rate 1 with batch size 512", "that one is there: fast and steady, but not accurate"),
        d=("Rate 2 with batch size 128", "that one is there: it converged, with less accuracy"),
    ),
    choice(
        "one_run_each",
        "0.5 diverged, 1 did not",
        "d",
        "How many runs stand behind each line of the table?",
        a=(
            "With large batches, larger rates are the more stable ones",
            "at batch size 512 the rate 2 diverged as well: one run a setting cannot carry a rule "
            "like this",
        ),
        b=(
            "0.5 is too small for batches of 512, and therefore diverges",
            "a step that is too small is slow, it does not diverge",
        ),
        c=(
            "One of the two results must be a typing error",
            "that may be, but chance is enough: each setting was run once, with one random start",
        ),
        d="Not much: each was run once, so repeat both with several seeds",
    ),
    choice(
        "which_overfits",
        "The setting that overfits",
        "b",
        "What does this setting have much more of than the others?",
        a=(
            "Because 300 lies between 128 and 512",
            "a batch size in between is no reason: this run is the longest by far, with a step "
            "that works",
        ),
        b="Because it trains for 150 epochs with a step that works: time enough to learn images by "
        "heart",
        c=(
            "Because 0.1 is too large a rate",
            "too large a rate would keep the *training* loss up: overfitting needs a training loss "
            "that goes on falling",
        ),
        d=(
            "Because its test set is smaller",
            "the test set is the same for all settings: this run is the longest by far",
        ),
    ),
)

END = (
    Question(
        name="explain_figure",
        title="Explain the figure",
        points=2,
        kind="text",
    ),
)
