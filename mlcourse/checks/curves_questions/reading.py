"""Nine trainings to diagnose; each wrong letter is told what in *this* curve speaks against it."""

from __future__ import annotations

from mlcourse.checks.curves_questions.runs import RUNS, Run
from mlcourse.checks.declare import Question
from mlcourse.checks.kinds import choice


def percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def train(run: Run) -> str:
    """The training accuracy at the end."""
    return percent(run.numbers.train_accuracy)


def held_out(run: Run) -> str:
    """The validation accuracy at the end."""
    return percent(run.numbers.validation_accuracy)


def top(run: Run) -> str:
    """The ceiling, as exact as in the picture."""
    return f"{100 * run.ceiling:.1f} %"


def points(difference: float) -> str:
    return f"{100 * difference:.0f} points"


def lowest(run: Run) -> str:
    return f"{min(run.history['validation_loss']):.2f}"


def end(run: Run, column: str = "validation_loss") -> str:
    """The mean of a column's last quarter."""
    return f"{getattr(run.numbers, column):.2f}"


def last_third(run: Run) -> str:
    """The share of the training loss's fall in the last third, from below 0 as 0."""
    return percent(max(run.numbers.still_falling, 0.0))


r1, r2, r3, r4, r5, r6, r7, r8, r9 = RUNS.values()

#: By how much validation is above the ceiling in run 6.
ABOVE = r6.numbers.validation_accuracy - r6.ceiling

READING: tuple[Question, ...] = (
    choice(
        "run_1",
        "Reading run 1",
        "b",
        "Follow each loss by itself from its lowest point on.",
        a=(
            "Learning rate too high",
            f"the training loss falls calmly, to {end(r1, 'train_loss')}: a rate that is too high "
            "would shake it or drive it up. Only the validation loss rises",
        ),
        b="Overfitting",
        c=(
            "Unrepresentative training data",
            f"there is a gap, but it widens: the validation loss was {lowest(r1)} at epoch "
            f"{r1.lowest_epoch} and ends at {end(r1)}. More epochs do harm, which they would not "
            "if the data alone were to blame",
        ),
        d=(
            "Leakage",
            f"training has {train(r1)}, above the ceiling of {top(r1)}, but validation has "
            f"{held_out(r1)}: labels that leak would lift validation above the ceiling too",
        ),
    ),
    choice(
        "run_2",
        "Reading run 2",
        "d",
        "By how much does each of the two accuracies move from one epoch to the next?",
        a=(
            "Learning rate too high",
            "the training curves are smooth: steps that are too long would shake them as well, and "
            "here validation alone jumps",
        ),
        b=(
            "Overfitting",
            f"the validation loss ends at {end(r2)}, and has gone up and down about there all the "
            "time: there is no rise that goes on, and training does not get better than "
            f"{train(r2)} either",
        ),
        c=(
            "Unrepresentative training data",
            f"the gap is {points(r2.numbers.gap)} at the end, and the validation accuracy moves in "
            f"steps of {100 / (r2.numbers.examples or 1):.0f} points: that is one example. So few "
            "of them cannot show a gap of this size",
        ),
        d="Unrepresentative validation data",
    ),
    choice(
        "run_3",
        "Reading run 3",
        "a",
        "How much of its fall does the training loss have in the last third of the epochs?",
        a="Learning rate too low",
        b=(
            "Underfitting",
            f"the fall is not over: {last_third(r3)} of it came in the last third of the epochs, "
            "as much as in a straight line. The network is not to blame before it has arrived",
        ),
        c=(
            "Unrepresentative validation data",
            f"the two sets agree all the way, {held_out(r3)} and {train(r3)} at the end, and "
            "have nearly the same loss: what is missing is missing in training",
        ),
        d=(
            "Healthy",
            f"it is calm, but it has not arrived: training has {train(r3)} where {top(r3)} is "
            "possible, and its loss is falling in a straight line when the epochs are over",
        ),
    ),
    choice(
        "run_4",
        "Reading run 4",
        "c",
        "Look at the dotted lines before you look at the curves.",
        a=(
            "Healthy",
            f"it would be, without the dotted line: {held_out(r4)} of validation examples are "
            f"right, and no model can have more than {top(r4)} on fresh ones",
        ),
        b=(
            "Overfitting",
            f"the validation loss stays down ({end(r4)} at the end, {lowest(r4)} at its lowest). A "
            f"network that knows its training labels by heart has less than {top(r4)} on others, "
            f"and here it is {held_out(r4)}",
        ),
        c="Leakage",
        d=(
            "Unrepresentative validation data",
            f"an easier validation set would be ahead of training: here it is {held_out(r4)} "
            f"against {train(r4)}. And training is above the ceiling of {top(r4)} as well",
        ),
    ),
    choice(
        "run_5",
        "Reading run 5",
        "b",
        "When did the gap come, and does it widen?",
        a=(
            "Overfitting",
            f"the gap is there from the first epochs on and does not widen: the validation loss "
            f"ends at {end(r5)}, and was {r5.history['validation_loss'][9]:.2f} at epoch 10. More "
            "epochs do no harm, in overfitting they do",
        ),
        b="Unrepresentative training data",
        c=(
            "Underfitting",
            f"training has {train(r5)}, which is all that the ceiling of {top(r5)} allows: nothing "
            "is missing there",
        ),
        d=(
            "Learning rate too low",
            f"the fall is over: the training loss was {r5.history['train_loss'][9]:.2f} at epoch "
            f"10 and ends at {end(r5, 'train_loss')}. Validation, {held_out(r5)} against "
            f"{train(r5)}, is what is behind",
        ),
    ),
    choice(
        "run_6",
        "Reading run 6",
        "d",
        "Compare both accuracies with the ceiling, and think of how much chance moves them.",
        a=(
            "Underfitting",
            f"{train(r6)} looks like little until you see the ceiling, {top(r6)}: training has "
            "what can be had",
        ),
        b=(
            "Leakage",
            f"validation is above the ceiling by {100 * ABOVE:.1f} points, which is less than "
            "chance moves it, and training is not above it at all",
        ),
        c=(
            "Unrepresentative validation data",
            f"validation is ahead by {100 * -r6.numbers.gap:.1f} points of accuracy at the end, "
            f"and its loss, {end(r6)}, is behind training's {end(r6, 'train_loss')}: an easier set "
            "is ahead in both, and by more",
        ),
        d="Healthy",
    ),
    choice(
        "run_7",
        "Reading run 7",
        "a",
        "Look at the training curves alone: do they do what a training should?",
        a="Learning rate too high",
        b=(
            "Underfitting",
            f"training has {train(r7)} where {top(r7)} is possible, but it has not levelled off: "
            f"its loss was {min(r7.history['train_loss']):.2f} at its lowest, and about "
            f"{end(r7, 'train_loss')} at the end. A network that is too small trains calmly",
        ),
        c=(
            "Overfitting",
            f"the validation loss does rise, from {lowest(r7)} to {end(r7)}, but the training loss "
            f"rises with it, to {end(r7, 'train_loss')}: in overfitting it goes on falling",
        ),
        d=(
            "Unrepresentative validation data",
            "a small validation set shakes the validation curve alone: here the training loss "
            "jumps as well, for which no validation example is used",
        ),
    ),
    choice(
        "run_8",
        "Reading run 8",
        "c",
        "From the ceiling down to validation: where is most of the distance?",
        a=(
            "Learning rate too low",
            f"the fall is over: {last_third(r8)} of it came in the last third of the epochs, and "
            f"at epoch 12 the training loss was {r8.history['train_loss'][11]:.2f}, at the end "
            f"{end(r8, 'train_loss')}",
        ),
        b=(
            "Unrepresentative training data",
            f"validation is {points(r8.numbers.gap)} below training, but training itself is "
            f"{points(r8.numbers.bias)} below the ceiling of {top(r8)}: mend the larger one first",
        ),
        c="Underfitting",
        d=(
            "Overfitting",
            f"the validation loss has not turned round ({end(r8)} at the end, {lowest(r8)} at its "
            f"lowest), and training is at {train(r8)}: nothing is known by heart",
        ),
    ),
    choice(
        "run_9",
        "Reading run 9",
        "a",
        "If a label could be known from the training set, on which set would it be known first?",
        a="Unrepresentative validation data",
        b=(
            "Leakage",
            f"validation has {held_out(r9)}, but training has {train(r9)}, about the ceiling of "
            f"{top(r9)}: what leaks from the training set is known there first. And validation "
            f"begins at {percent(r9.history['validation_accuracy'][0])}",
        ),
        c=(
            "Healthy",
            f"training is as good as the ceiling allows, but validation, {held_out(r9)}, is "
            f"{points(-r9.numbers.gap)} above training: fresh examples of the same kind cannot be "
            "so much easier",
        ),
        d=(
            "Underfitting",
            f"training has {train(r9)}, and the ceiling is {top(r9)}: there is nothing to be had "
            "that is missing",
        ),
    ),
)
