"""`curves`: its references against the library, its runs, and answers in a student's own words."""

from __future__ import annotations

import json
import math
import random
import re
from collections import Counter

import pytest
import torch

from mlcourse import curves
from mlcourse.book.curve_quiz import load as load_quiz
from mlcourse.book.runs import RESULTS
from mlcourse.checks import load
from mlcourse.checks.curves_questions.diagnosing import rules
from mlcourse.checks.curves_questions.runs import ORIGINS, RECORDED, RUNS
from mlcourse.checks.judge import Judge
from mlcourse.exercises import path
from mlcourse.faulty_runs import faulty_run

EXERCISE = load("curves")
SEED = 20260101
READING = [question for question in EXERCISE.questions if question.choices]
each_run = pytest.mark.parametrize("name", RUNS)


def reference(name: str):
    return EXERCISE[name].reference


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def says(name: str, answer) -> str | None:
    return Judge(EXERCISE[name], [SEED])(answer).mistake


def passes(name: str, answer, seeds=(SEED,)) -> None:
    verdict = Judge(EXERCISE[name], seeds)(answer)
    assert verdict.status == "passed", verdict.message


# --- The references -------------------------------------------------------------------------------


def test_a_trailing_mean_is_a_causal_convolution():
    for values, k in cases("smooth"):
        padded = torch.tensor([0.0] * (k - 1) + values, dtype=torch.float64).view(1, 1, -1)
        kernel = torch.ones(1, 1, k, dtype=torch.float64)
        sums = torch.conv1d(padded, kernel).flatten()
        counts = torch.arange(1, len(values) + 1).clamp(max=k)
        assert reference("smooth")(values, k) == pytest.approx((sums / counts).tolist())


def test_smoothing_does_not_look_ahead():
    values = [random.Random(t).random() for t in range(10)]
    whole = reference("smooth")(values, 4)
    for t in range(1, 10):
        assert reference("smooth")(values[:t], 4) == pytest.approx(whole[:t])


def test_jumps_are_none_on_a_line_and_do_not_depend_on_the_unit():
    jumps = reference("jumps")
    assert jumps([3.0 - 0.25 * t for t in range(9)]) == 0
    for (losses,) in cases("jumps"):
        assert jumps([7 * loss for loss in losses]) == pytest.approx(jumps(losses))
    assert jumps([1.0, 3.0, 1.0, 3.0, 1.0, 3.0]) == pytest.approx(1.0)


def test_a_line_has_a_third_of_its_fall_in_its_last_third():
    still_falling = reference("still_falling")
    for steps in (9, 12, 30):
        assert still_falling([2.0 - t / steps for t in range(steps)]) == pytest.approx(
            (steps // 3) / (steps - 1)
        )
    for (losses,) in cases("still_falling"):
        if losses[0] - losses[-1] > 0.1:
            history = {"train_loss": losses, "validation_loss": losses}
            history |= {name: [0.5] * len(losses) for name in curves.COLUMNS if name[-1] == "y"}
            assert still_falling(losses) == pytest.approx(curves.features(history).still_falling)


def test_the_ceiling_is_what_one_counts():
    """Labels drawn as the text says, and a rule that is right as often as the text says."""
    for best, noise, classes in cases("ceiling"):
        g, n = torch.Generator().manual_seed(0), 200_000
        true = torch.randint(classes, (n,), generator=g)
        guess = other(true, torch.rand(n, generator=g) >= best, classes, g)
        label = other(true, torch.rand(n, generator=g) < noise, classes, g)
        counted = float((guess == label).double().mean())
        error = math.sqrt(counted * (1 - counted) / n)
        assert abs(counted - reference("ceiling")(best, noise, classes)) < 5 * error + 1e-9


def other(true, where, classes, g):
    """Replace the classes in some places by one of the others."""
    drawn = (true + torch.randint(1, classes, true.shape, generator=g)) % classes
    return torch.where(where, drawn, true)


def test_bias_and_gap_are_the_librarys():
    for history, ceiling in cases("bias_and_gap"):
        if len(history["train_loss"]) >= curves.MIN_EPOCHS:
            found = curves.features(history, ceiling=ceiling)
            assert reference("bias_and_gap")(history, ceiling) == pytest.approx(
                (found.bias, found.gap)
            )


def test_a_visible_difference_is_two_standard_deviations_of_the_difference():
    for accuracy, n in cases("visible_difference"):
        g = torch.Generator().manual_seed(1)
        right = torch.binomial(
            torch.full((2, 100_000), float(n)), torch.full((2, 100_000), accuracy), generator=g
        )
        measured = 2 * float(((right[0] - right[1]) / n).std())
        assert reference("visible_difference")(accuracy, n) == pytest.approx(measured, rel=0.02)


# --- The diagnosis --------------------------------------------------------------------------------


def test_the_library_gives_the_clear_histories_the_same_names():
    """Its limits are others: what is clear does not depend on them."""
    for seed in range(5):
        for history, classes, ceiling, what in Judge(EXERCISE["diagnose"], [seed]).cases:
            found = curves.diagnose(history, classes, ceiling).name
            assert found == reference("diagnose")(history, classes, ceiling), what


def test_every_name_is_asked_for_and_most_by_several_histories():
    names = Counter(reference("diagnose")(*case[:3]) for case in cases("diagnose"))
    assert set(names) == set(curves.NAMES) - {"unrepresentative validation data"}
    assert len({case[3] for case in cases("diagnose")}) == len(cases("diagnose"))
    assert min(names[name] for name in ("healthy", "leakage", "learning rate too high")) >= 3


def test_no_constant_and_no_single_column_is_enough():
    for name in curves.NAMES:
        verdict = Judge(EXERCISE["diagnose"], [SEED])(lambda *case, name=name: name)
        assert verdict.status == "failed"
        assert "diagnosis of a" in verdict.message or verdict.mistake


@pytest.mark.parametrize("limit", [0.8, 1.25])
def test_the_limits_do_not_matter(limit):
    def diagnose(history, classes, ceiling):
        n = max(len(history["train_loss"]) // 4, 1)
        end = {name: sum(column[-n:]) / n for name, column in history.items()}
        losses, chance = history["train_loss"], math.log(classes)
        if not all(map(math.isfinite, losses)) or end["train_loss"] > limit * 1.25 * chance:
            return "learning rate too high"
        if reference("jumps")(losses) > 0.15 * limit:
            return "learning rate too high"
        if end["validation_accuracy"] - ceiling > 0.05 * limit:
            return "leakage"
        if ceiling - end["train_accuracy"] > 0.1 * limit:
            slow = reference("still_falling")(losses) > 0.15 * limit
            return "learning rate too low" if slow else "underfitting"
        if end["validation_loss"] - min(history["validation_loss"]) > 0.25 * limit * chance:
            return "overfitting"
        wide = end["train_accuracy"] - end["validation_accuracy"] > 0.1 * limit
        return "unrepresentative training data" if wide else "healthy"

    passes("diagnose", diagnose, range(10))


def test_the_order_matters():
    wrong = {
        case[3]
        for case in cases("diagnose")
        if rules(tuple(reversed(ORDER)))(*case[:3]) != reference("diagnose")(*case[:3])
    }
    assert len(wrong) >= 6


ORDER = (
    "learning rate too high",
    "leakage",
    "learning rate too low",
    "underfitting",
    "overfitting",
    "unrepresentative training data",
)


# --- The nine runs --------------------------------------------------------------------------------


def test_the_notebook_shows_these_runs():
    assert RECORDED.strip() in notebook_text()
    assert len(RUNS) == len(ORIGINS) == len(READING) == 9


def notebook_text() -> str:
    cells = json.loads(path("curves").read_bytes())["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells)


def test_their_seeds_were_used_for_nothing_else():
    tested = json.loads((RESULTS / "curves.json").read_text(encoding="utf-8"))["seeds"]
    quiz = {curve.seed for curve in load_quiz()}
    seeds = {seed for _, seed, _ in ORIGINS}
    assert not seeds & ({*range(40)} | {*tested} | quiz)
    assert not any(f"{seed}" in notebook_text() for seed in seeds)


@each_run
def test_the_right_letter_is_the_fault_and_the_diagnosis(name):
    question, run = EXERCISE[name], RUNS[name]
    fault = ORIGINS[list(RUNS).index(name)][0]
    assert question.choices[question.reference].lower() == fault == run.diagnosis.name
    assert {text.lower() for text in question.choices.values()} <= set(curves.NAMES)
    assert len(question.choices) == 4


def test_every_diagnosis_is_right_once_and_one_is_twice():
    right = Counter(question.choices[question.reference] for question in READING)
    assert sorted(right.values()) == [1] * 7 + [2]


@each_run
def test_the_columns_are_whole(name):
    run = RUNS[name]
    assert set(run.history) == set(curves.COLUMNS)
    assert len({len(column) for column in run.history.values()}) == 1
    assert 1 / run.classes < run.ceiling <= 1


@pytest.mark.parametrize("number", [pytest.param(2, marks=pytest.mark.slow), 4])
def test_a_run_is_what_its_seed_trains(number):
    """Its first epochs: later ones feel the last digits of another machine's sums."""
    fault, seed, every = ORIGINS[number]
    fresh, stored = faulty_run(fault, seed), RUNS[f"run_{number + 1}"]
    assert fresh.classes == stored.classes
    assert fresh.ceiling == pytest.approx(stored.ceiling, abs=6e-4)
    for name, column in stored.history.items():
        assert len(column) == len(list(fresh.history[name])[::every])
        assert list(fresh.history[name])[:3] == pytest.approx(column[:3], abs=0.02)


def test_wrong_letters_speak_of_their_own_curve():
    said = [mistake.says for question in READING for mistake in question.mistakes]
    assert len(set(said)) == len(said) == 27
    assert "nan" not in " ".join(said)
    for question in READING:
        numbers = [re.search(r"\d", mistake.says) for mistake in question.mistakes]
        assert sum(found is not None for found in numbers) >= 2, question.name


@each_run
def test_what_is_said_of_accuracies_stands_in_the_columns(name):
    """Every percentage is the ceiling, an end, the first validation accuracy, or of the fall."""
    run, numbers = RUNS[name], RUNS[name].numbers
    known = {
        numbers.train_accuracy,
        numbers.validation_accuracy,
        run.history["validation_accuracy"][0],
        max(numbers.still_falling, 0.0),
    }
    percents = {f"{100 * share:.0f}" for share in known} | {f"{100 * run.ceiling:.1f}"}
    for mistake in EXERCISE[name].mistakes:
        assert set(re.findall(r"([\d.]+) %", mistake.says)) <= percents, mistake.says


# --- Answers in a student's own words -------------------------------------------------------------


def test_slips_get_their_sentences():
    def centred(values, k):
        half = k // 2
        return [
            sum(values[max(0, t - half) : t + half + k % 2])
            / len(values[max(0, t - half) : t + half + k % 2])
            for t in range(len(values))
        ]

    assert says("smooth", centred) == "centred"
    assert says("best_epoch", lambda losses: losses.index(min(losses))) == "index_of_min"
    assert says("ceiling", lambda best, noise, classes: best - best * noise) == "product"
    assert says("visible_difference", lambda a, n: 2 * (a * (1 - a) / n) ** 0.5) == "one_accuracy"


def test_a_capital_letter_or_a_space_is_no_mistake():
    passes("diagnose", lambda *case: f" {reference('diagnose')(*case)} ".capitalize())
