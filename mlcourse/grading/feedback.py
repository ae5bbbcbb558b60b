"""One page of feedback for one student's submission of one exercise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

from mlcourse import exercises
from mlcourse.grading.pages import (
    badge,
    bar,
    escape,
    number,
    page,
    save,
    says,
    tone,
    total,
)
from mlcourse.grading.results import NO_SANDBOX, Record

#: A longer answer is cut on the page: it is the student's own, and they have it whole.
LONGEST_ANSWER = 20_000


def write(
    student: str,
    exercise: str,
    rows: Sequence[Record],
    answers: Mapping[str, str],
    path: Path,
) -> None:
    """Write the page on one exercise to `path`.

    `rows` are the submission's records in the exercise's order; `answers` maps a question's name
    to the student's own answer, as they wrote it. The page shows what the student wrote and what
    they were told, and no input of a check.
    """
    parts = [head(student, exercise, rows)]
    parts += [card(row, answers.get(row.question, "")) for row in rows]
    save(page(f"{heading(exercise)}: feedback for {student}", "\n".join(parts)), path)


@cache
def heading(exercise: str) -> str:
    """Return an exercise's title, or its name where the exercise is not installed."""
    return exercises.titles().get(exercise, exercise)


def head(student: str, exercise: str, rows: Sequence[Record]) -> str:
    """Return the top of the page: who, what, the total, and a way to each question."""
    points, most, waiting = total(rows)
    share = points / most if most else 0.0
    later = ""
    if waiting:
        more = number(waiting, "point")
        later = f'<p class="soft">{more} more can come: a person reads those answers.</p>'
    unsafe = ""
    if any(record.message.startswith(NO_SANDBOX) for record in rows):
        unsafe = '<p class="card notice">Graded without a sandbox.</p>'
    links = "".join(
        f'<li class="{tone(record.status)}"><a href="#{anchor(record)}">{badge(record)} '
        f"{escape(record.title or record.question)}</a></li>"
        for record in rows
        if record.status != "passed"
    )
    index = ""
    if links:
        index = f'<h2>What to look at</h2>\n<ul class="plain index">{links}</ul>'
    return f"""<header>
<p class="over">Feedback for <bdi>{escape(student)}</bdi></p>
<h1>{escape(heading(exercise))}</h1>
<div class="card">
<p class="row"><span class="big">{number(points)} of {number(most, "point")}</span>
<span class="end soft">{passed(rows)}</span></p>
{bar(share)}
{later}</div>
{unsafe}{index}
</header>
<h2>Question by question</h2>"""


def passed(rows: Sequence[Record]) -> str:
    checked = [record for record in rows if record.status != "manual"]
    right = sum(record.status == "passed" for record in checked)
    return f"{right} of {number(len(checked), 'checked question')} passed"


def card(record: Record, answer: str) -> str:
    """Return one question: its status, the sentence, the points and the student's own answer."""
    points = "not given yet" if record.points is None else number(record.points)
    open_ = "" if record.status == "passed" else " open"
    place = f'id="{anchor(record)}"'
    return f"""<section class="card question {tone(record.status)}" {place}>
<div class="row"><h3>{escape(record.title or record.question)}</h3>
{badge(record)}
<span class="end">{points} / {number(record.max_points, "point")}</span></div>
<p class="says"><bdi>{escape(says(record))}</bdi></p>
{own_answer(record, answer, open_)}</section>"""


def anchor(record: Record) -> str:
    return escape(f"q-{record.exercise}-{record.question}")


def own_answer(record: Record, answer: str, open_: str) -> str:
    """Return what the student wrote, escaped; nothing when there is nothing."""
    if not answer.strip():
        return ""
    cut = ""
    if len(answer) > LONGEST_ANSWER:
        answer = answer[:LONGEST_ANSWER]
        cut = '<p class="soft">The rest of this long answer is not shown.</p>'
    kind = ' class="prose"' if record.status == "manual" else ""
    return (
        f"<details{open_}><summary>Your answer</summary>\n"
        f'<pre{kind} tabindex="0" aria-label="Your answer">{escape(answer)}</pre>{cut}</details>'
    )
