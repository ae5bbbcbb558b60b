"""Five runs to read: the notebook draws them, the questions ask what is to be seen."""

from __future__ import annotations

from mlcourse.checks.declare import Question
from mlcourse.checks.kinds import choice

SIGNS = {
    "a": "It diverges",
    "b": "It is noisy: the loss jumps about a level and does not get below it",
    "c": "It converges too slowly",
    "d": "It overfits",
    "e": "It is healthy",
}


def reading(run: str, right: str, hint: str, **says: str) -> Question:
    """Ask what is to be seen in a run; `says` has a sentence for each wrong letter."""
    options = {
        letter: text if letter == right else (text, says[letter]) for letter, text in SIGNS.items()
    }
    return choice(f"run_{run}", f"Reading run {run}", right, hint, **options)


CURVES = (
    reading(
        "A",
        "d",
        "Where is the test loss lowest, and what does the training loss do afterwards?",
        a="nothing leaves all bounds: the training loss falls to the end, while the test loss "
        "turns and rises slowly",
        b="both curves are smooth: look at how they go apart",
        c="the training loss gets almost to 0: look at what the test loss does meanwhile",
        e="after a few epochs the test loss rises while the training loss goes on falling: the "
        "network learns its images by heart",
    ),
    reading(
        "B",
        "c",
        "How far has the loss come at the last epoch, and is it still falling?",
        a="the loss falls all the time, if only a little: it does not leave all bounds",
        b="the curve is smooth: it does not jump, it crawls",
        d="training and test loss lie together: overfitting would drive them apart",
        e="after all these epochs the loss is hardly below log 10, and still falling: the step is "
        "too small",
    ),
    reading(
        "C",
        "e",
        "Is there anything in the two curves that you would want to be different?",
        a="both losses fall and stay down: nothing leaves all bounds",
        b="the curves wobble a little, as they do with mini-batches, but they go on down",
        c="most of the way is done in the first third, and the curves level out: that is not slow",
        d="the test loss lies a little above the training loss, as it should, and does not turn "
        "upwards",
    ),
    reading(
        "D",
        "a",
        "Look at the scale of the vertical axis, and at where the curve ends.",
        b="it does not jump about a level: it rises by factors, until it is no number any more",
        c="it is not slow: after a few good epochs it rises by factors, until it is no number any "
        "more",
        d="the *training* loss rises as well: in overfitting it falls",
        e="after a few good epochs both losses rise by factors, until they are no numbers any "
        "more: the step is too large",
    ),
    reading(
        "E",
        "b",
        "Compare the last ten epochs with the ten before: do they get lower?",
        a="the loss jumps, but up as often as down: it stays near one level",
        c="it does not fall steadily: after a few epochs it jumps about a level, which a longer "
        "training would not change",
        d="training and test loss jump together: overfitting would drive them apart",
        e="the last ten epochs are no better than the ten before, and jump by half: the step is "
        "too large for batches of this size",
    ),
    choice(
        "remedy_for_D",
        "A remedy for run D",
        "a",
        "Which of these changes what happens in a single step?",
        a="Make the learning rate smaller",
        b=(
            "Train for more epochs",
            "what has become nan stays nan: more of the same steps lead nowhere",
        ),
        c=(
            "Take a larger network",
            "that changes what can be learned, not the steps, which are too large",
        ),
        d=(
            "Augment the images",
            "augmentation is against overfitting: here the training loss itself leaves all bounds",
        ),
    ),
)
