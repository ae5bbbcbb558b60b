"""Judge one answer to one question, the same way in the notebook and in the grader.

The answer may be a local function or a stand-in for one that lives in another process; nothing
here looks inside it. Inputs are drawn here, results are compared here.
"""

from __future__ import annotations

import copy
import importlib
import inspect
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mlcourse.checks.compare import NotData, difference, plain, same, type_name
from mlcourse.checks.declare import Mistake, Question
from mlcourse.statuses import Status

#: A result cut into its numbers, texts and tensors, each under the path that leads to it.
Leaves = dict[tuple, Any]

#: The error of an answer that is as it was released: `raise NotImplementedError()`.
STUB = ("NotImplementedError", "")

#: What stands for a leaf that is not there; never equal to one that is.
ABSENT = ("absent",)


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


class GraderFault(Exception):
    """The grader itself failed while an answer ran, so nothing can be said about the answer."""


class ForbiddenUse(Exception):
    """An answer used something forbidden while it ran: `name` is the dotted name of the trap."""

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(name)


@dataclass(frozen=True)
class Outcome:
    """What an answer did with one case.

    A plain result, or what made it unusable (`odd`), or an exception; and the positions of the
    arguments that it changed.
    """

    value: Any = None
    odd: str | None = None
    error: tuple[str, str] | None = None
    changed: tuple[int, ...] = ()


class Judge:
    """Judges answers to one question, with the inputs that `seeds` draw.

    Cases, expected results and what each mistake gives are computed once, so that one judge
    serves a whole class.
    """

    def __init__(self, question: Question, seeds: Iterable[int | torch.Generator]) -> None:
        self.question = question
        self.cases = [
            tuple(case)
            for seed in (seeds if question.kind == "function" else [0])
            for case in question.cases(as_generator(seed))
        ]
        self.mistaken: dict[tuple[int, int], Leaves] = {}
        if question.kind == "text":
            return
        if not self.cases:
            raise ValueError(f"question {question.name!r} draws no case")
        self.expected = [observe(question, question.reference, case) for case in self.cases]
        if broken := [it for it in self.expected if it.error or it.odd]:
            raise ValueError(f"the reference of {question.name!r} fails: {broken[0]}")

    def __call__(self, answer: Any) -> Verdict:
        """Judge `answer`. Never raises because of what the answer is or does."""
        question = self.question
        if question.kind == "text":
            return Verdict("manual", "a person reads and grades this answer")
        if answer is ...:
            return Verdict("not attempted", f"{question.name} is not answered yet")
        if question.kind == "function" and not is_callable(answer):
            return Verdict("failed", f"{question.name} should be a function: define it with `def`")
        try:
            outcomes = [observe(question, answer, case) for case in self.cases]
        except Stopped as stop:
            return Verdict(stop.status, one_line(str(stop)))
        except ForbiddenUse as use:
            return Verdict("forbidden", self.forbids(use.name))
        return self.compare(outcomes)

    def compare(self, outcomes: list[Outcome]) -> Verdict:
        """Turn what an answer did with every case into a verdict."""
        pairs = zip(outcomes, self.expected, strict=True)
        wrong = {
            index: paths
            for index, (outcome, expected) in enumerate(pairs)
            if (paths := self.wrong_paths(outcome, expected))
        }
        if not wrong:
            return Verdict("passed", "")
        first = outcomes[min(wrong)]
        unwritten = first.error is not None and first.error[0] == "NotImplementedError"
        status: Status = "error" if first.error else "failed"
        # torch raises that error too, for a mean of bytes: a known mistake then says so.
        if first.error != STUB and (mistake := self.explain(outcomes, wrong)):
            return Verdict(status, one_line(mistake.says, 400), mistake.name)
        if unwritten:
            return Verdict("not attempted", f"{self.question.name} is not written yet")
        return Verdict(status, self.describe(first, self.expected[min(wrong)]))

    def wrong_paths(self, outcome: Outcome, expected: Outcome) -> set[tuple]:
        return self.unequal(leaves(outcome), leaves(expected))

    def unequal(self, one: Leaves, other: Leaves) -> set[tuple]:
        return {
            path
            for path in one.keys() | other.keys()
            if not same(one.get(path, ABSENT), other.get(path, ABSENT), self.question.tolerance)
        }

    def explain(self, outcomes: list[Outcome], wrong: dict[int, set[tuple]]) -> Mistake | None:
        """Find the mistake that gives every wrong part of the answer; None if there is none.

        Among several, the one that gives most of the right parts too. When two mistakes were made
        in two parts, find the one that gives the first of these parts.
        """
        given = [leaves(outcome) for outcome in outcomes]
        expected = [leaves(outcome) for outcome in self.expected]
        cases = range(len(given))
        every = range(len(self.question.mistakes))

        def unlike(index: int, case: int) -> set[tuple]:
            return self.unequal(given[case], self.mistake(index, case))

        def gives(index: int, path: tuple) -> bool:
            return all(path not in unlike(index, case) for case in cases if path in given[case])

        found = [i for i in every if all(not wrong[case] & unlike(i, case) for case in wrong)]
        if not found:
            order = (("error",), *expected[min(wrong)])
            paths = [
                path for case in wrong for path in order if path in wrong[case] & given[case].keys()
            ]
            parts = ([i for i in every if gives(i, path)] for path in dict.fromkeys(paths))
            found = next(filter(None, parts), [])

        def distance(index: int) -> tuple[int, int]:
            errors = (self.unequal(self.mistake(index, case), expected[case]) for case in cases)
            return sum(len(unlike(index, case)) for case in cases), sum(map(len, errors))

        best = min(found, key=distance) if len(found) > 1 else next(iter(found), None)
        return None if best is None else self.question.mistakes[best]

    def mistake(self, index: int, case: int) -> Leaves:
        if (index, case) not in self.mistaken:
            answer = self.question.mistakes[index].answer
            outcome = observe(self.question, answer, self.cases[case])
            self.mistaken[index, case] = leaves(outcome)
        return self.mistaken[index, case]

    def forbids(self, name: str) -> str:
        for forbidden in self.question.forbidden:
            if name in forbidden.traps:
                return one_line(forbidden.says, 400)
        return f"{self.question.name} may not use {one_line(name)}"

    def describe(self, outcome: Outcome, expected: Outcome) -> str:
        """Say what is measurably wrong, for an answer that no mistake explains."""
        name = self.question.name
        if outcome.error:
            kind, text = outcome.error
            return f"{name} raised {kind}: {text}" if text else f"{name} raised {kind}"
        if outcome.odd:
            return f"{name}: {outcome.odd}"
        if self.question.kind == "value":
            return self.describe_value(outcome.value, expected.value)
        parts = self.question.parts
        wrong = difference(
            outcome.value,
            expected.value,
            tolerance=self.question.tolerance,
            name=parts[0] if len(parts) == 1 else "the result",
            parts=parts,
        )
        return one_line(wrong or self.describe_changed(outcome, expected), 400)

    def describe_value(self, got: Any, expected: Any) -> str:
        """Say what kind of value is asked for, never which one."""
        name = self.question.name
        if self.question.choices:
            letters = ", ".join(self.question.choices)
            if got not in self.question.choices:
                return f"{name} should be one of the letters {letters}, as a string"
            return f"{name}: that is not the best choice; read the text again"
        if type(got) not in (int, float) and type(expected) in (int, float):
            return f"{name} should be one number"
        return f"{name} is not the value that we find; work it out again from the text"

    def describe_changed(self, outcome: Outcome, expected: Outcome) -> str:
        surplus = set(outcome.changed) - set(expected.changed)
        if not surplus:
            return "the result is right, but the arguments are not changed as they should be"
        names = list(inspect.signature(self.question.reference).parameters)
        changed = names[min(surplus)] if min(surplus) < len(names) else "an argument"
        return (
            f"{self.question.name} changes the caller's {changed}: leave the arguments as they "
            "are and return something new"
        )


def judge(question: Question, answer: Any, seeds: Iterable[int | torch.Generator]) -> Verdict:
    """Judge one answer to `question` with the inputs that `seeds` draw."""
    return Judge(question, seeds)(answer)


def beside(answer: Any, module: str, name: str) -> Any:
    """Return a function of a course module from the process in which `answer` lives.

    So a question's `use` can hand an answer what is no data, such as a model: made there, it goes
    back as an argument. The module must be among the exercise's `imports`. What such a function
    says is a student's process speaking: compare it, never trust it.
    """
    ask = getattr(type(answer), "_beside", None)  # an answer elsewhere knows where it is
    if ask is not None:
        return ask(answer, module, name)
    return getattr(importlib.import_module(f"mlcourse.{module}"), name)


def observe(question: Question, answer: Any, case: Sequence[Any]) -> Outcome:
    """Use `answer` on a copy of `case` and say what happened.

    Lets `Stopped`, `ForbiddenUse` and `GraderFault` through.
    """
    arguments = copy_arguments(case)
    try:
        value = plain(answer if question.kind == "value" else question.use(answer, *arguments))
    except (Stopped, ForbiddenUse, GraderFault, KeyboardInterrupt):
        raise
    except NotData as error:
        return Outcome(odd=one_line(str(error)))
    except AnswerError as error:
        return Outcome(error=(one_line(error.kind, 60), one_line(error.text)))
    except BaseException as error:  # a student's function may raise anything, SystemExit too
        return Outcome(error=told(error))
    if question.choices and isinstance(value, str):
        value = value.strip().lower()
    return Outcome(value, changed=changed_arguments(arguments, case))


def changed_arguments(after: Sequence[Any], before: Sequence[Any]) -> tuple[int, ...]:
    """Return the positions of the arguments that are no longer what they were.

    Generators are left out: to draw from one is to change it.
    """
    return tuple(
        index
        for index, (new, old) in enumerate(zip(after, before, strict=True))
        if not isinstance(old, torch.Generator) and is_changed(new, old)
    )


def is_changed(new: Any, old: Any) -> bool:
    if is_same(new, old):
        return False
    try:
        return difference(plain(new), plain(old), exact=True) is not None
    except NotData:  # something was put inside that is not data
        return True


def is_same(new: Any, old: Any) -> bool:
    """Say that two arguments are plainly equal, the usual case, without converting them."""
    kind = type(new)
    if kind is not type(old):
        return False
    if kind is torch.Tensor:
        return bool(new.dtype == old.dtype and torch.equal(new, old))
    if kind is dict:
        return new.keys() == old.keys() and all(is_same(new[key], old[key]) for key in old)
    if kind in (list, tuple):
        return len(new) == len(old) and all(map(is_same, new, old))
    return kind in (int, float, str) and bool(new == old)


def leaves(outcome: Outcome) -> Leaves:
    """Cut an outcome into the parts that are compared one by one."""
    if outcome.error:
        return {("error",): repr(outcome.error)}
    if outcome.odd:
        return {("odd",): outcome.odd}
    found: Leaves = {}
    gather(outcome.value, ("value",), found)
    if outcome.changed:
        found["changed",] = repr(outcome.changed)
    return found


def gather(value: Any, path: tuple, found: Leaves) -> None:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            gather(item, (*path, repr(key)), found)
    elif isinstance(value, (list, tuple)) and value:
        for index, item in enumerate(value):
            gather(item, (*path, index), found)
    else:
        found[path] = value


def is_callable(answer: Any) -> bool:
    try:
        return callable(answer)
    except Exception:  # an object may lie even about its type
        return False


def told(error: BaseException) -> tuple[str, str]:
    """Return an exception's type name and first line, also of one whose __str__ fails."""
    try:
        text = str(error)
    except Exception:
        text = ""
    return one_line(type_name(type(error)), 60), one_line(text)


def one_line(text: str, length: int = 200) -> str:
    """Return the first line of `text` without addresses and paths, at most `length` long."""
    line = text.strip().split("\n", 1)[0]
    line = re.sub(r"\bat 0x[0-9a-fA-F]+|0x[0-9a-fA-F]{6,}", "", line)
    line = re.sub(r"(?<![\w.])(?:[A-Za-z]:\\|/)(?:[\w.@+~-]+[/\\])+([\w.@+~-]*)", r"\1", line)
    line = "".join(char for char in line if char.isprintable())
    line = re.sub(r" +", " ", line)
    return line if len(line) <= length else line[: length - 1].rstrip() + "…"


def as_generator(seed: int | torch.Generator) -> torch.Generator:
    return seed if isinstance(seed, torch.Generator) else torch.Generator().manual_seed(seed)


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
    if type(value) is torch.Tensor and not value.requires_grad:
        return value.clone()  # much faster than deepcopy
    return copy.deepcopy(value)
