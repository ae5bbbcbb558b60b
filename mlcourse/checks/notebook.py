"""`check` and `hint`, as students call them in a notebook."""

from __future__ import annotations

import ast
import difflib
import html
import inspect
import textwrap
import warnings
from typing import Any

from mlcourse.checks import EXERCISES, load
from mlcourse.checks.declare import Exercise, Question
from mlcourse.checks.forbidden import mentions, tripwires
from mlcourse.checks.judge import Judge, Verdict, one_line

#: What draws the inputs here. The grader draws its own from a secret.
SEEDS = (0, 1)

#: Border colours, readable on white and on black.
GREEN, BLUE, GREY = "#2e9e5b", "#3b82c4", "#808080"

#: Escape sequences of the terminal: bold red, bold yellow, faint, and back.
RED, YELLOW, FAINT, RESET = "\x1b[1;31m", "\x1b[1;33m", "\x1b[2m", "\x1b[0m"

shown: dict[str, int] = {}


class CheckFailed(Exception):
    """A check that did not pass; Jupyter shows its one line and no traceback."""

    def __init__(self, name: str, message: str, status: str = "failed") -> None:
        self.name, self.message, self.status = name, message, status
        super().__init__(f"{name}: {message}" if name else message)

    def _render_traceback_(self) -> list[str]:
        waiting = self.status in ("not attempted", "ungraded")
        colour, mark = (YELLOW, "…") if waiting else (RED, "✗")
        head = f"{mark} {self.name}".rstrip()
        # Jupyter breaks a long line anywhere, even within a word.
        text = textwrap.fill(f"{head}  {self.message}", width=88)
        shown = f"{colour}{head}{RESET}{text[len(head) :]}"
        more = f'\n{FAINT}Stuck? hint("{self.name}") helps.{RESET}' if self.name else ""
        return [shown + more]


class Box:
    """A short message with a coloured edge; as plain text where there is no HTML."""

    def __init__(self, mark: str, title: str, lines: list[str], colour: str) -> None:
        self.mark, self.title, self.lines, self.colour = mark, title, lines, colour

    def __repr__(self) -> str:
        return "\n".join([f"{self.mark} {self.title}", *(f"  {line}" for line in self.lines)])

    def _repr_html_(self) -> str:
        style = (
            f"border-left: 4px solid {self.colour}; padding: 0.4em 0.9em; margin: 0.2em 0; "
            "color: inherit; background: rgba(128, 128, 128, 0.10); border-radius: 3px; "
            "max-width: 46em; line-height: 1.45"
        )
        lines = "".join(f"<div>{html.escape(line)}</div>" for line in self.lines)
        title = f'<b><span style="color: {self.colour}">{self.mark}</span> '
        return f'<div style="{style}">{title}{html.escape(self.title)}</b>{lines}</div>'

    def show(self) -> None:
        """Display the box in a notebook, print it elsewhere."""
        try:
            from IPython.core.getipython import get_ipython
            from IPython.display import display
        except ImportError:
            print(repr(self))
            return
        if get_ipython() is None:
            print(repr(self))
        else:
            display(self)


def check(name: str, answer: Any) -> None:
    """Check `answer` to the question `name`, such as "by_hand.backward".

    Shows that it passed, or raises CheckFailed with one sentence that says what is wrong.
    """
    exercise, question = find(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nbgrader takes anything on stderr for a failure
        verdict = judged(exercise, question, answer)
    if verdict.status == "manual":
        Box("✎", name, ["A person reads and grades this answer."], GREY).show()
        return
    if verdict.status != "passed":
        raise CheckFailed(name, verdict.message, verdict.status) from None
    says = "These checks passed; grading uses other inputs."
    Box("✓", name, ["That is right." if question.kind == "value" else says], GREEN).show()


def hint(name: str) -> None:
    """Show a hint for the question `name`, and one more at each further call."""
    _, question = find(name)
    count = shown[name] = min(shown.get(name, 0) + 1, len(question.hints))
    lines = [f"{i}. {text}" for i, text in enumerate(question.hints[:count], start=1)]
    left = len(question.hints) - count
    if not lines:
        lines = ["There is no hint for this question."]
    elif left:
        lines.append(f"({left} more: call hint again)")
    elif count > 1:
        lines.append("(that is the last one)")
    Box("?", f"Hints for {name}", lines, BLUE).show()


def find(name: Any) -> tuple[Exercise, Question]:
    """Return the exercise and the question of a long name.

    Raises CheckFailed, with the closest names, when there is none.
    """
    if type(name) is not str:
        raise CheckFailed("", 'the first argument is the question\'s name, "by_hand.backward"')
    exercises = [load(known) for known in EXERCISES]
    known = {f"{e.name}.{q.name}": (e, q) for e in exercises for q in e.questions}
    if name not in known:
        near = (
            [long for long in known if long.startswith(f"{name}.")][:3]
            or [long for long in known if long.endswith(f".{name}")]
            or difflib.get_close_matches(name, known, n=3, cutoff=0.5)
            or list(known)[:3]
        )
        message = f"there is no question {one_line(name, 60)!r}; did you mean {' or '.join(near)}?"
        raise CheckFailed("", message)
    return known[name]


def judged(exercise: Exercise, question: Question, answer: Any) -> Verdict:
    """Judge an answer, after the answers that it needs."""
    source = source_of(answer)
    if question.kind == "function" and is_stub(source):
        return Verdict("not attempted", f"{question.name} is not written yet")
    names = getattr(answer, "__globals__", {})
    for need in question.needs:
        verdict = judged(exercise, exercise[need], names.get(need, ...))
        if verdict.status != "passed":
            text = f"{question.name} needs {need}, which is not right yet: {verdict.message}"
            return Verdict("ungraded", text)
    if question.kind != "function":
        return Judge(question, SEEDS)(answer)
    if says := misuse(question, answer, source):
        return Verdict("forbidden", says)
    judge = Judge(question, SEEDS)
    with tripwires(trap for forbidden in question.forbidden for trap in forbidden.traps):
        return judge(answer)


def misuse(question: Question, answer: Any, source: ast.Module) -> str | None:
    """Say what an answer uses that it may not; None when nothing is found."""
    if str(getattr(answer, "__module__", "")).startswith("mlcourse."):
        return f"this {question.name} is the course's own: write yours"
    used = mentions(source)
    for forbidden in question.forbidden:
        if used & forbidden.attributes:
            return forbidden.says
    return None


def source_of(answer: Any) -> ast.Module:
    """Return a function's parsed source, empty where there is none or it is no statement."""
    try:
        return ast.parse(textwrap.dedent(inspect.getsource(answer)))
    except Exception:  # an object may lie about having a source, and do so in any way
        return ast.Module(body=[], type_ignores=[])


def is_stub(source: ast.Module) -> bool:
    """Tell whether a function only raises NotImplementedError, after its docstring."""
    body = list(getattr(source.body[0], "body", [])) if source.body else []
    if body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    return [ast.unparse(node) for node in body] == ["raise NotImplementedError()"]
