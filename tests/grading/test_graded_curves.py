"""`curves` through the real grader: histories cross the channel, letters get their sentences."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("curves")

SMOOTH = """
def smooth(values, k):
    out = []
    for t in range(len(values)):
        start = max(0, t + 1 - k)
        window = values[start : t + 1]
        out.append(sum(window) / len(window))
    return out
"""

BEST = """
def best_epoch(losses):
    best, lowest = 0, float("inf")
    for epoch, loss in enumerate(losses, 1):
        if loss < lowest:
            best, lowest = epoch, loss
    return best
"""

JUMPS = """
def jumps(losses):
    total = 0
    for t in range(1, len(losses) - 1):
        total += abs(losses[t] - (losses[t - 1] + losses[t + 1]) / 2)
    return total / (len(losses) - 2) / (sum(losses) / len(losses))
"""

FALLING = """
def still_falling(losses):
    m = len(losses) // 3
    fall = losses[0] - losses[-1]
    return (losses[-1 - m] - losses[-1]) / fall if fall > 0 else 0
"""

CEILING = """
def ceiling(best, noise, classes):
    both_right = best * (1 - noise)
    both_wrong = (1 - best) * noise
    return both_right + both_wrong / (classes - 1)
"""

GAP = """
def bias_and_gap(history, ceiling):
    k = max(1, len(history["train_loss"]) // 4)
    train = np.mean(history["train_accuracy"][-k:])
    validation = np.mean(history["validation_accuracy"][-k:])
    return ceiling - train, train - validation

import numpy as np
"""

VISIBLE = """
def visible_difference(accuracy, n):
    variance = accuracy * (1 - accuracy) / n
    return 2 * (2 * variance) ** 0.5
"""

DIAGNOSE = """
def diagnose(history, classes, ceiling):
    n = len(history["train_loss"]) // 4
    train = history["train_loss"]
    bias, gap = bias_and_gap(history, ceiling)
    end = sum(train[-n:]) / n
    if any(math.isnan(x) or math.isinf(x) for x in train) or end > math.log(classes):
        return "learning rate too high"
    if jumps(train) > 0.15:
        return "learning rate too high"
    if bias + gap < -0.05:
        return "leakage"
    if bias > 0.1 and still_falling(train) > 0.15:
        return "learning rate too low"
    if bias > 0.1:
        return "underfitting"
    val = history["validation_loss"]
    if sum(val[-n:]) / n - min(val) > 0.25 * math.log(classes):
        return "overfitting"
    if gap > 0.1:
        return "unrepresentative training data"
    return "healthy"
"""

RIGHT = {
    "smooth": SMOOTH,
    "best_epoch": BEST,
    "jumps": JUMPS,
    "still_falling": FALLING,
    "ceiling": CEILING,
    "bias_and_gap": GAP,
    "visible_difference": VISIBLE,
    "diagnose": DIAGNOSE,
}

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("smooth", "max(0, t + 1 - k)", "max(0, t - k)", "one_more"),
    ("smooth", "/ len(window)", "/ k", "divided_by_k"),
    ("smooth", "start : t + 1", "start : t + k", "both_ways"),
    ("best_epoch", "(losses, 1)", "(losses)", "from_zero"),
    ("best_epoch", "loss < lowest", "loss <= lowest", "last_of_equals"),
    ("best_epoch", "return best", "return losses.index(min(losses)) + 1", "nan_first"),
    ("jumps", "(losses[t - 1] + losses[t + 1]) / 2", "losses[t - 1]", "one_neighbour"),
    ("jumps", "abs(", "(", "no_sizes"),
    ("jumps", " / (sum(losses) / len(losses))", "", "not_divided"),
    ("still_falling", "losses[-1 - m]", "losses[-m]", "one_epoch_short"),
    ("still_falling", " if fall > 0 else 0", "", "no_guard"),
    ("ceiling", " / (classes - 1)", "", "two_classes"),
    ("ceiling", " + both_wrong / (classes - 1)", "", "product"),
    ("bias_and_gap", "[-k:]", "[-1]", "last_epoch"),
    ("bias_and_gap", "train - validation", "validation - train", "gap_sign"),
    ("bias_and_gap", "ceiling - train", "1 - train", "no_ceiling"),
    ("visible_difference", "(2 * variance)", "variance", "one_accuracy"),
    ("visible_difference", "2 * (2", "(2", "one_error"),
    ("diagnose", "math.isnan(x) or math.isinf(x)", "False", "nan_ignored"),
    ("diagnose", "jumps(train) > 0.15", "False", "no_jumps"),
    ("diagnose", "bias + gap < -0.05", "False", "leakage_ignored"),
    ("diagnose", "math.log(classes)", "math.log(10)", "ten_classes"),
    ("diagnose", "if bias > 0.1 and still", "if still", "no_bias"),
    ("diagnose", "still_falling(train) > 0.15", "False", "slow_is_underfitting"),
    ("diagnose", "[-n:]) / n - min(val)", "[-1:]) - min(val)", "last_epoch"),
]


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_diagnosis": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, solved):
    assert misjudged(engine, solved, RIGHT, EDITS) == []


def test_each_wrong_letter_gets_its_own_sentence(engine, untouched):
    runs = [question for question in EXERCISE.questions if question.choices]
    said = set()
    for letter in "abcd":
        answers = {run.name: f'{run.name} = "{letter}"' for run in runs}
        rows = graded(engine, untouched, answers)
        for run in runs:
            row = rows[run.name]
            if letter == run.reference:
                assert row.status == "passed"
            else:
                assert (row.points, row.mistake) == (0, letter)
                said.add(row.message)
    assert len(said) == 3 * len(runs)


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "diagnose",
            "def diagnose(history, classes, ceiling):\n    return 'fine'",
            "calm training",
        ),
        ("diagnose", "def diagnose(history, classes, ceiling):\n    pass", "calm training is None"),
        ("best_epoch", "def best_epoch(losses):\n    return losses[0:1]", "should be one number"),
        ("run_1", "run_1 = 2", "one of the letters a, b, c, d"),
        (
            "jumps",
            "from mlcourse.curves import features\n\ndef jumps(losses):\n    return 0",
            "only mlcourse.data and mlcourse.plotting",
        ),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {name: text})[name]
    assert row.points == 0
    assert says in row.message
