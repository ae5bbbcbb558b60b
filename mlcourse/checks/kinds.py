"""Short ways to declare a question that is answered by a letter or by a number."""

from __future__ import annotations

from mlcourse.checks.declare import TOLERANCE, Mistake, Question


def choice(
    name: str, title: str, right: str, hint: str, **options: str | tuple[str, str]
) -> Question:
    """Declare a question whose answer is a letter.

    An option is the text of the right answer, or of a wrong one with the sentence for whoever
    chooses it.
    """
    wrong = {letter: option for letter, option in options.items() if isinstance(option, tuple)}
    if right not in options or set(options) - set(wrong) != {right}:
        raise ValueError(f"question {name!r}: every option but {right!r} needs its sentence")
    return Question(
        name=name,
        title=title,
        points=1,
        kind="value",
        reference=right,
        choices={
            letter: options[letter][0] if letter in wrong else str(options[letter])
            for letter in options
        },
        mistakes=tuple(Mistake(letter, letter, says) for letter, (_, says) in wrong.items()),
        hints=(hint,),
    )


def number(
    name: str, title: str, value: float, hints: tuple[str, ...], *mistakes: Mistake
) -> Question:
    """Declare a question whose answer is a number, right to a thousandth of itself."""
    return Question(
        name=name,
        title=title,
        points=1,
        kind="value",
        reference=value,
        tolerance={**TOLERANCE, float: 1e-3},
        mistakes=mistakes,
        hints=hints,
    )
