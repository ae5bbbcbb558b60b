"""What an exercise asks: `Exercise`, `Question`, `Mistake`, `Variant` and `Forbidden`.

One declaration serves twice: in the student's notebook (`mlcourse.check`) and in the grader.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

Kind = Literal["function", "value", "text"]

#: Relative error that a correct answer may have: for each precision of an expected tensor, and
#: under `float` for a single number, which does not tell its precision. float64's is below what
#: a detour by float32 costs.
TOLERANCE: dict[torch.dtype | type, float] = {
    torch.float64: 2e-8,
    torch.float32: 1e-4,
    torch.float16: 2e-2,
    torch.bfloat16: 5e-2,
    float: 1e-4,
}


@dataclass(frozen=True)
class Mistake:
    """A plausible wrong answer, and the sentence that helps whoever gave it.

    `answer` is a wrong implementation (or, for a value, the wrong value). A student who gets the
    same output on the same inputs is told `says`.
    """

    name: str
    answer: Any
    says: str


@dataclass(frozen=True)
class Variant:
    """A correct answer that looks different from the reference; it must get full marks."""

    name: str
    answer: Any


@dataclass(frozen=True)
class Forbidden:
    """Something that an answer may not use, because doing without it is the exercise.

    `attributes` are attribute or imported names looked for in the answer's source; `traps` are
    dotted names of torch functions that raise while the answer runs. Both are for teaching, not
    for security.
    """

    name: str
    says: str
    attributes: frozenset[str] = frozenset()
    traps: tuple[str, ...] = ()


def call(answer: Callable[..., Any], *args: Any) -> Any:
    """Use an answer the plain way: call it."""
    return answer(*args)


def no_cases(generator: torch.Generator) -> Sequence[tuple[Any, ...]]:
    """The single, empty case of a question whose answer is a value."""
    return [()]


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question of an exercise.

    `cases(generator)` draws a list of argument tuples; `use(answer, *args)` gets a result from an
    answer (default: calls it; override it to summarise a random result, or to use an object
    that the answer returns). `reference` is a correct answer. `needs` names questions of the
    same exercise whose answers this one calls. `parts` names what the answer returns, for the
    messages: one name, or one for each item of a tuple. `seconds` is wall time for all cases.

    For `kind="value"`, `reference` is the value and there are no cases. With `choices` (letter ->
    text) the value is a letter. For `kind="text"` a human gives the points.
    """

    name: str
    title: str
    points: int
    kind: Kind = "function"
    reference: Any = None
    cases: Callable[[torch.Generator], Sequence[tuple[Any, ...]]] = no_cases
    use: Callable[..., Any] = call
    parts: tuple[str, ...] = ()
    tolerance: dict[torch.dtype | type, float] = field(default_factory=lambda: dict(TOLERANCE))
    mistakes: tuple[Mistake, ...] = ()
    variants: tuple[Variant, ...] = ()
    hints: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    forbidden: tuple[Forbidden, ...] = ()
    choices: dict[str, str] | None = None
    seconds: float = 10.0

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", self.name):
            raise ValueError(f"question name {self.name!r}: use letters, digits and _ only")
        if self.points < 1:
            raise ValueError(f"question {self.name!r} has {self.points} points: give it at least 1")


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """An exercise: its questions, and the course modules that a student may import.

    `imports` are module names below `mlcourse` ("data", "plotting"); the grader's worker serves
    copies of these alone.
    """

    name: str
    title: str
    questions: tuple[Question, ...]
    imports: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for question in self.questions:
            if question.name in seen:
                raise ValueError(f"exercise {self.name!r} has two questions {question.name!r}")
            if missing := set(question.needs) - seen:
                raise ValueError(
                    f"{question.name!r} needs {sorted(missing)}, which must come first"
                )
            seen.add(question.name)

    def __getitem__(self, name: str) -> Question:
        for question in self.questions:
            if question.name == name:
                return question
        known = ", ".join(question.name for question in self.questions)
        raise KeyError(f"exercise {self.name!r} has no question {name!r}; it has {known}")
