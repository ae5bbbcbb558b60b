"""The quiz of 24 learning curves: what is stored, what is drawn, and what each choice says."""

import base64
import json
import math
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest

from mlcourse import curves, plotting
from mlcourse.book import curve_feedback, curve_picture, curve_quiz, curve_quiz_runs
from mlcourse.book.curve_feedback import feedback
from mlcourse.book.curve_quiz import load
from mlcourse.book.curve_quiz_runs import EACH, FIRST_SEED
from mlcourse.book.element import inline_html
from mlcourse.book.runs import RESULTS
from mlcourse.training import History

CURVES = load()
each_curve = pytest.mark.parametrize("curve", CURVES, ids=lambda c: f"{c.fault} {c.seed}")
each_name = pytest.mark.parametrize("name", curves.NAMES)
SVG = "{http://www.w3.org/2000/svg}"


def test_there_are_24_curves_three_of_each_fault_in_mixed_order() -> None:
    assert Counter(c.fault for c in CURVES) == dict.fromkeys(curves.NAMES, EACH)
    assert len({(c.fault, c.seed) for c in CURVES}) == len(CURVES) == 24
    assert [c.fault for c in CURVES] != sorted(c.fault for c in CURVES)


def test_their_seeds_were_used_for_nothing_else() -> None:
    tested = json.loads((RESULTS / "curves.json").read_text(encoding="utf-8"))["seeds"]
    assert min(c.seed for c in CURVES) >= FIRST_SEED > max(tested)


@each_curve
def test_the_fault_that_was_built_in_is_what_the_curves_show(curve) -> None:
    diagnosis = curve.diagnosis()
    assert diagnosis.name == curve.fault
    right = [choice for choice in curve.choices() if choice.right]
    assert [choice.text.lower() for choice in right] == [curve.fault]
    assert right[0].says == f"{diagnosis.evidence} {diagnosis.remedy}"


@each_curve
def test_each_choice_speaks_of_this_very_curve(curve) -> None:
    diagnosis = curve.diagnosis()
    said = {name: feedback(name, diagnosis) for name in curves.NAMES}
    assert len(set(said.values())) >= len(said) - len(diagnosis.also)
    for name, text in said.items():
        assert text.endswith("."), name
        assert "\n" not in text, name
        assert "nan" not in text.lower().split(), name
    assert len(curve.choices()) == 4


def test_the_right_choice_is_at_every_place() -> None:
    places = Counter([c.right for c in curve.choices()].index(True) for curve in CURVES)
    assert set(places) == {0, 1, 2, 3}
    names = Counter(choice.text for curve in CURVES for choice in curve.choices())
    assert min(names.values()) > EACH, "a name that is only there when it is right tells it"


def test_the_page_has_a_picture_and_all_choices_of_each_curve() -> None:
    made = curve_quiz(5, 9)
    assert made.html.count("<img ") == 5 * 2
    assert made.html.count("<details") == 5 * 4
    assert made.html.count("✓ Right.") == made.markdown.count("Answer: (") == 5
    for curve in CURVES[4:9]:
        for choice in curve.choices():
            assert inline_html(choice.says) in made.html
    assert "Learning curves 5, loss:" in made.html
    assert "Learning curves 10" not in made.html


@each_curve
def test_the_text_of_a_picture_has_its_numbers_and_not_the_answer(curve) -> None:
    made = curve_picture.pictures(curve.history, curve.classes, curve.ceiling, "Curves")
    texts = re.findall(r'alt="([^"]*)"', made)
    assert len(texts) == 2
    for text, kind in zip(texts, ("loss", "accuracy"), strict=True):
        assert text.startswith(f"Curves, {kind}: at epochs 1, ")
        assert f", {len(curve.history['train_loss'])}, training " in text
        assert text.endswith(f"{curve.history[f'validation_{kind}'][-1]:.2f}.")
        assert not [name for name in curves.NAMES if name in text.lower()]


@each_curve
def test_a_picture_is_an_svg_whose_curves_stay_in_its_frame(curve) -> None:
    for svg in _svgs(curve.history, curve.classes, curve.ceiling):
        lines = svg.findall(f"{SVG}polyline")
        assert len(lines) == 2
        for line in lines:
            for x, y in (map(float, pair.split(",")) for pair in line.get("points").split()):
                assert curve_picture.LEFT <= x <= curve_picture.WIDTH - curve_picture.RIGHT
                assert curve_picture.TOP <= y <= curve_picture.HEIGHT - curve_picture.BOTTOM


def test_a_loss_that_is_not_finite_ends_its_line_and_a_huge_one_is_cut_off() -> None:
    history = {
        "train_loss": [1.0, 100.0, math.nan],
        "validation_loss": [1.0, 2.0, math.inf],
        "train_accuracy": [0.5, 0.5, 0.5],
        "validation_accuracy": [0.5, 0.5, 0.5],
    }
    loss, accuracy = _svgs(history, 4, 1.0)
    shown = [
        len(line.get("points").split())
        for svg in (loss, accuracy)
        for line in svg.findall(f"{SVG}polyline")
    ]
    assert shown == [2, 2, 3, 3]
    titles = [text.text for text in loss.findall(f"{SVG}text")]
    assert f"loss (nats), cut off at {2.5 * math.log(4):.1f}" in titles


def _svgs(history, classes, ceiling) -> list[ElementTree.Element]:
    made = curve_picture.pictures(history, classes, ceiling, "Curves")
    found = re.findall(r"base64,([^\"]+)", made)
    return [ElementTree.fromstring(base64.b64decode(data)) for data in found]


@pytest.mark.parametrize(
    ("top", "ticks"),
    [
        (1.0, [0, 0.25, 0.5, 0.75, 1]),
        (0.693, [0, 0.2, 0.4, 0.6]),
        (2.75, [0, 1, 2]),
        (1.79, [0, 0.5, 1, 1.5]),
    ],
)
def test_ticks_are_round_numbers(top: float, ticks: list[float]) -> None:
    assert curve_picture._ticks(top) == ticks


def test_colours_are_those_of_the_other_figures() -> None:
    assert plotting.COLOURS[:2] == (curve_picture.BLUE, curve_picture.VERMILION)
    assert curve_picture.INK == plotting.INK
    # The grey has a contrast of 4.5 on the page itself, so its box has no tint.
    assert "background-color: rgba(0, 114, 178, 0);" in curve_quiz(1, 1).html


@pytest.mark.parametrize("asked", [(0, 3), (3, 2), (20, 25)])
def test_curves_that_are_not_there_are_one_sentence(asked: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"^curves \d+ to \d+ were asked for: there are 1 to 24$"):
        curve_quiz(*asked)


CALM = curves.Features(
    epochs=40,
    chance=1.6,
    ceiling=0.95,
    train_loss=0.2,
    train_accuracy=0.94,
    validation_loss=0.3,
    validation_accuracy=0.92,
    finite=True,
    worst=0.9,
    training_rise=0.0,
    jumps=0.02,
    still_falling=0.02,
    lowest_validation_loss=0.29,
    best_epoch=30,
    validation_rise=0.006,
    examples=300,
)


@pytest.mark.parametrize(
    ("choice", "changes", "part"),
    [
        ("healthy", {"finite": False}, "worse than that of a model that knows nothing"),
        ("healthy", {"jumps": 0.3}, "they jump by 30 %"),
        ("healthy", {"examples": 20}, "in steps of 1/20"),
        ("healthy", {"train_accuracy": 0.5}, "Training ends at 50 %, and 95 % is possible"),
        ("healthy", {"validation_accuracy": 0.7}, "a gap of 24 points"),
        ("healthy", {"validation_accuracy": 0.99, "train_accuracy": 0.99}, "too good"),
        ("underfitting", {"jumps": 0.3}, "still trains calmly"),
        ("underfitting", {}, "has 94 % there, and the ceiling is 95 %"),
        ("underfitting", {"train_accuracy": 0.8, "validation_accuracy": 0.4}, "larger loss"),
        ("underfitting", {"train_accuracy": 0.8, "still_falling": 0.3}, "30 % of its fall"),
        ("overfitting", {"training_rise": 0.1}, "training itself is not calm"),
        ("overfitting", {}, "did not turn round: 0.30 at the end, and its lowest"),
        ("overfitting", {"validation_rise": 0.3}, "validation is not what is behind"),
        ("learning rate too high", {}, "small: 2 % of the height"),
        ("learning rate too low", {"worst": 2.0}, "not smooth"),
        ("learning rate too low", {}, "only 2 % of it came in the last third"),
        ("learning rate too low", {"still_falling": 0.2}, "at 94 % already"),
        ("learning rate too low", {"still_falling": 0.2, "train_accuracy": 0.6}, "jumps of 2 %"),
        ("unrepresentative training data", {"finite": False}, "First mend the training"),
        ("unrepresentative training data", {}, "no wide gap: 94 % in training, 92 %"),
        (
            "unrepresentative training data",
            {"validation_accuracy": 0.6, "validation_rise": 0.5},
            "was 0.29 around epoch 30",
        ),
        ("unrepresentative validation data", {}, "steps of 1/300, small enough"),
        ("unrepresentative validation data", {"examples": None}, "has enough examples"),
        ("unrepresentative validation data", {"validation_accuracy": 0.98}, "by 4 points. But"),
        ("leakage", {}, "92 %, which is not above the ceiling of 95 %"),
        ("leakage", {"validation_accuracy": 0.97}, "labels known from training"),
    ],
)
def test_what_a_wrong_choice_is_told(choice, changes, part) -> None:
    other = "healthy" if choice != "healthy" else "leakage"
    diagnosis = curves.Diagnosis(other, "Evidence.", replace(CALM, **changes))
    assert part in feedback(choice, diagnosis)


@each_name
def test_a_choice_that_holds_too_is_told_what_comes_first(name) -> None:
    other = "healthy" if name != "healthy" else "leakage"
    diagnosis = curves.Diagnosis(other, "The evidence.", CALM, also=(name,))
    assert feedback(name, diagnosis) == (
        "Its signs are here too. But one thing comes first. The evidence."
    )
    assert set(curve_feedback._AGAINST) == set(curves.NAMES)


@dataclass(frozen=True)
class _Run:
    fault: str
    seed: int
    setting: SimpleNamespace
    history: History
    classes: int = 2
    ceiling: float = 1.0


@pytest.mark.parametrize(
    ("name", "seeds"),
    [("healthy", [2000, 2001, 2003]), ("leakage", [2000, 2001, 2004])],
)
def test_the_first_runs_that_are_right_are_taken_one_of_each_kind(monkeypatch, name, seeds) -> None:
    kinds = {2000: "a", 2001: "b", 2002: "c", 2003: "b", 2004: "c"}

    def run(fault: str, seed: int) -> _Run:
        return _Run(fault, seed, SimpleNamespace(change=kinds[seed]), History({"seed": [seed]}))

    def diagnose(history, classes, ceiling):
        return SimpleNamespace(name="overfitting" if history["seed"] == [2002] else name)

    monkeypatch.setattr(curve_quiz_runs, "faulty_run", run)
    monkeypatch.setattr(curve_quiz_runs, "diagnose", diagnose)
    found, missed = curve_quiz_runs.first_right(name)
    assert [run.seed for run in found] == seeds
    assert missed == 1


def test_what_is_stored_of_a_run_has_null_for_what_is_not_finite() -> None:
    history = History({name: [0.12345678, math.nan] for name in curves.COLUMNS})
    stored = curve_quiz_runs.entry(_Run("leakage", 2000, SimpleNamespace(), history))
    assert json.loads(json.dumps(stored, allow_nan=False)) == {
        "fault": "leakage",
        "seed": 2000,
        "classes": 2,
        "ceiling": 1.0,
        "history": {name: [0.123457, None] for name in curves.COLUMNS},
    }


@pytest.mark.slow
def test_a_stored_run_is_one_of_the_suite() -> None:
    from mlcourse.faulty_runs import faulty_run

    curve = CURVES[0]
    run = faulty_run(curve.fault, curve.seed)
    assert (run.classes, round(run.ceiling, 3)) == (curve.classes, round(curve.ceiling, 3))
    assert run.history.epochs == len(curve.history["train_loss"])
