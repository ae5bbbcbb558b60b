"""Quizzes: three to five questions, where opening a choice shows its feedback."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlcourse.book.element import Element, box, inline_html

FOLDER = Path(__file__).with_name("quizzes")
_COLOUR = "0, 114, 178"  # blue of the Okabe-Ito palette


@dataclass(frozen=True)
class Choice:
    """One choice: its text, whether it is the right one, and what it says when opened."""

    text: str
    right: bool
    says: str


@dataclass(frozen=True)
class QuizQuestion:
    """One question of a quiz, with its choices in the order shown."""

    ask: str
    choices: tuple[Choice, ...]


def load(name: str) -> tuple[QuizQuestion, ...]:
    """The questions of `quizzes/NAME.toml`; a wrong file is a ValueError of one sentence."""
    path = FOLDER / f"{name}.toml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in FOLDER.glob("*.toml"))) or "none"
        raise ValueError(f"there is no quiz {name!r}; the quizzes are: {known}")
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"quiz {name!r} is not valid TOML: {error}") from None
    return parse(content, name)


def parse(content: dict[str, Any], name: str) -> tuple[QuizQuestion, ...]:
    """The questions of a quiz read from TOML, checked; `name` is for the sentence of an error."""
    entries = content.get("question", [])
    if set(content) != {"question"} or not 3 <= len(entries) <= 5:
        raise ValueError(
            f"quiz {name!r} must hold three to five [[question]] tables and nothing else; "
            f"it has {len(entries)}"
        )
    return tuple(
        _question(entry, f"quiz {name!r}, question {number}")
        for number, entry in enumerate(entries, start=1)
    )


def _question(entry: dict[str, Any], where: str) -> QuizQuestion:
    if set(entry) != {"ask", "choice"}:
        raise ValueError(f"{where}: a question has `ask` and [[question.choice]], nothing else")
    choices = tuple(_choice(choice, where) for choice in entry["choice"])
    right = sum(choice.right for choice in choices)
    if len(choices) < 2 or right != 1:
        raise ValueError(
            f"{where}: at least two choices and exactly one right, not {len(choices)} and {right}"
        )
    if len({choice.text for choice in choices}) < len(choices):
        raise ValueError(f"{where}: two choices have the same text")
    return QuizQuestion(entry["ask"], choices)


def _choice(entry: dict[str, Any], where: str) -> Choice:
    kinds = {"text": str, "right": bool, "says": str}
    if set(entry) != set(kinds) or any(type(entry[key]) is not kinds[key] for key in kinds):
        raise ValueError(
            f"{where}: a choice has `text` and `says` in quotes and `right` true or false, "
            f"not {entry}"
        )
    if not entry["text"].strip() or not entry["says"].strip():
        raise ValueError(f"{where}: a choice has an empty `text` or `says`")
    return Choice(**entry)


def quiz(name: str) -> Element:
    """The quiz `quizzes/NAME.toml`, as `<details>` elements: no JavaScript, keyboard included."""
    questions = load(name)
    parts = [
        '<p style="margin: 0 0 8px 0;"><strong>Quiz.</strong> '
        "Choose an answer: it opens and says whether it is right, and why.</p>"
    ]
    parts += [_question_html(question, n) for n, question in enumerate(questions, start=1)]
    return Element(
        html=box("\n".join(parts), name="quiz", label="Quiz", colour=_COLOUR),
        markdown="\n\n".join(
            _question_markdown(question, n) for n, question in enumerate(questions, start=1)
        ),
    )


def _question_html(question: QuizQuestion, number: int) -> str:
    ask = (
        f'<p style="margin: 16px 0 4px 0;"><strong>{number}.</strong> '
        f"{inline_html(question.ask)}</p>"
    )
    return f"{ask}\n{choices_html(question.choices)}"


def choices_html(choices: tuple[Choice, ...]) -> str:
    """Lettered choices as HTML; opening one shows whether it is right, and why."""
    parts = []
    for letter, choice in zip("abcdefgh", choices, strict=False):
        verdict = "✓ Right." if choice.right else "✗ Not quite."
        parts.append(
            '<details style="margin: 4px 0; padding: 4px 12px; border: 1px solid '
            'rgba(128, 128, 128, 0.4); border-radius: 4px;">'
            f'<summary style="cursor: pointer;">({letter}) {inline_html(choice.text)}</summary>'
            f'<p style="margin: 8px 0;"><strong>{verdict}</strong> {inline_html(choice.says)}</p>'
            "</details>"
        )
    return "\n".join(parts)


def _question_markdown(question: QuizQuestion, number: int) -> str:
    return f"**{number}.** {question.ask}\n\n{choices_markdown(question.choices)}"


def choices_markdown(choices: tuple[Choice, ...]) -> str:
    """Lettered choices as a Markdown list, then the answer."""
    letters = "abcdefgh"
    lines = [
        f"- ({letter}) {choice.text}" for letter, choice in zip(letters, choices, strict=False)
    ]
    right = next(i for i, choice in enumerate(choices) if choice.right)
    lines += ["", f"Answer: ({letters[right]}). {choices[right].says}"]
    return "\n".join(lines)
