"""Judge one answer to one question, the same way in the notebook and in the grader.

The answer may be a local function or a stand-in for one that lives in another process; nothing
here looks inside it. Inputs are drawn here, results are compared here.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from mlcourse.checks.compare import difference, plain
from mlcourse.checks.declare import Mistake, Question

Status = Literal[
    "passed",
    "failed",
    "not attempted",
    "error",
    "timeout",
    "memory",
    "forbidden",
    "ungraded",
    "manual",
]


@dataclass(frozen=True)
class Verdict:
    """What came of one question: a status, one line to say, and the mistake's name if known."""

    status: Status
    message: str = ""
    mistake: str | None = None


class AnswerError(Exception):
    """An answer raised: `kind` is the exception's type name, `text` its one-line message."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind, self.text = kind, text
        super().__init__(f"{kind}: {text}" if text else kind)


class Stopped(Exception):
    """An answer was stopped from outside, or ended its process; `status` says which way."""

    def __init__(self, status: Status, message: str) -> None:
        self.status: Status = status
        super().__init__(message)


@dataclass(frozen=True)
class Outcome:
    """What an answer did with one case: a plain result or an error, and its arguments after."""

    value: Any = None
    error: tuple[str, str] | None = None
    changed: Any = None  # the arguments after the call, when the answer changed them


def observe(question: Question, answer: Any, case: Sequence[Any]) -> Outcome:
    """Use `answer` on a copy of `case` and say what happened. Lets `Stopped` through."""
    if question.kind == "value":
        return Outcome(value=plain(answer))
    arguments = copy_arguments(case)
    try:
        value = plain(question.use(answer, *arguments))
    except Stopped:
        raise
    except AnswerError as error:
        return Outcome(error=(error.kind, error.text))
    except Exception as error:  # a student's function may raise anything
        return Outcome(error=(type(error).__name__, first_line(str(error))))
    changed = any(
        difference(plain(after), plain(before), exact=True)
        for after, before in zip(arguments, case)
    )
    return Outcome(value, changed=[plain(argument) for argument in arguments] if changed else None)


def copy_arguments(case: Sequence[Any]) -> list[Any]:
    """Copy a case deeply, generators included, so that no call sees another's changes."""
    return [clone(argument) for argument in case]


def clone(value: Any) -> Any:
    if isinstance(value, torch.Generator):
        twin = torch.Generator(device=value.device)
        twin.set_state(value.get_state())
        return twin
    if isinstance(value, dict):
        return {key: clone(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(clone(item) for item in value)
    return copy.deepcopy(value)
