"""The quiz of real learning curves: `curve_quiz(1, 8)` shows the first eight of 24.

The trainings are in `curve_quiz.json`, which `python -m mlcourse.book.curve_quiz_runs` writes.
"""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mlcourse.book.curve_feedback import feedback
from mlcourse.book.curve_picture import in_words, pictures
from mlcourse.book.element import Element, box
from mlcourse.book.quizzes import Choice, choices_html, choices_markdown
from mlcourse.curves import NAMES, Diagnosis, Name, diagnose

FILE = Path(__file__).with_suffix(".json")
CHOICES = 4
_COLOUR = "0, 114, 178"  # blue of the Okabe-Ito palette


@dataclass(frozen=True)
class Curve:
    """One training of the quiz: the fault that was built in, its curves, and how to judge them."""

    fault: Name
    seed: int
    classes: int
    ceiling: float
    history: dict[str, list[float]]

    def diagnosis(self) -> Diagnosis:
        """What the curves show."""
        return diagnose(self.history, self.classes, self.ceiling)

    def choices(self) -> tuple[Choice, ...]:
        """The fault and three other names, in the order of `curves.NAMES`, with their feedback."""
        diagnosis = self.diagnosis()
        others = [name for name in NAMES if name != self.fault]
        drawn = random.Random(f"{self.fault} {self.seed}").sample(others, CHOICES - 1)
        return tuple(
            Choice(name.capitalize(), name == self.fault, feedback(name, diagnosis))
            for name in NAMES
            if name == self.fault or name in drawn
        )

    def task(self) -> str:
        """What one has to know beside the curves."""
        return (
            f"{self.classes} classes, so knowing nothing costs a loss of "
            f"{math.log(self.classes):.2f}; at most {100 * self.ceiling:.0f} % of fresh examples "
            "can be right."
        )


@cache
def load() -> tuple[Curve, ...]:
    """The curves of the file, in the order in which they are shown."""
    stored = json.loads(FILE.read_text(encoding="utf-8"))
    return tuple(
        Curve(**{**entry, "history": {n: _numbers(c) for n, c in entry["history"].items()}})
        for entry in stored["curves"]
    )


def _numbers(column: list[float | None]) -> list[float]:
    return [math.nan if value is None else value for value in column]


def curve_quiz(first: int, last: int) -> Element:
    """The curves number `first` to `last`, from 1: pictures, and choices as `<details>` elements.

    Raises ValueError when there are no such curves.
    """
    curves = load()
    if not 1 <= first <= last <= len(curves):
        raise ValueError(f"curves {first} to {last} were asked for: there are 1 to {len(curves)}")
    title = f"Curves {first} to {last}"
    html = [
        f'<p style="margin: 0 0 8px 0;"><strong>{title}.</strong> '
        "What is the diagnosis? A choice opens and says what speaks for it or against it.</p>"
    ]
    markdown = []
    for number, curve in enumerate(curves[first - 1 : last], start=first):
        label = f"Learning curves {number}"
        html.append(
            f'<p style="margin: 20px 0 4px 0;"><strong>{number}.</strong> {curve.task()}</p>\n'
            + pictures(curve.history, curve.classes, curve.ceiling, label)
            + "\n"
            + choices_html(curve.choices())
        )
        markdown.append(
            f"**{number}.** {curve.task()} Loss {in_words(curve.history, 'loss')} "
            f"Accuracy {in_words(curve.history, 'accuracy')}\n\n"
            + choices_markdown(curve.choices())
        )
    return Element(
        html=box("\n".join(html), name="curve-quiz", label=title, colour=_COLOUR, tint=0),
        markdown="\n\n".join(markdown),
    )
