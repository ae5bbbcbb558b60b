"""A real exercise through the real grader: other answers to it, and what they are taken for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence

from mlcourse.grading.engine import Engine
from mlcourse.grading.notebook import grade_id_of
from mlcourse.grading.results import Record

#: A question, a part of its right answer, what is there instead, and the mistake that this is.
Edit = tuple[str, str, str, str]


def graded(engine: Engine, notebook: dict, answers: Mapping[str, str]) -> dict[str, Record]:
    """Grade a notebook with other answers to some questions."""
    notebook = json.loads(json.dumps(notebook))
    for cell in notebook["cells"]:
        if (name := grade_id_of(cell)) in answers:
            cell["source"] = answers[name]
    records = engine.grade("ada", json.dumps(notebook).encode())
    return {record.question: record for record in records}


def not_passed(rows: Mapping[str, Record]) -> dict[str, str]:
    """Return the status of each question that did not pass, and what a student is told."""
    return {
        name: row.status if row.status == "manual" else f"{row.status}: {row.message}"
        for name, row in rows.items()
        if row.status != "passed"
    }


def misjudged(
    engine: Engine, notebook: dict, right: Mapping[str, str], edits: Sequence[Edit]
) -> list[str]:
    """Grade each edit of a right answer; say which got points or were not taken for their mistake.

    A submission has wrong answers to several questions, as each submission takes time of its own.
    """
    records: dict[Edit, Record] = {}
    for batch in batches(right, edits):
        rows = graded(engine, notebook, answers(right, batch))
        records |= {edit: rows[edit[0]] for edit in batch}
    return [
        f"{edit}: {records[edit].points} points for {records[edit].mistake}, "
        f"{records[edit].message}"
        for edit in edits
        if (records[edit].points, records[edit].mistake) != (0, edit[3])
    ]


def batches(right: Mapping[str, str], edits: Sequence[Edit]) -> Iterator[list[Edit]]:
    """Split edits into few submissions: one edit a question, and none of what another one calls.

    An answer that calls a wrong one is wrong in that one's way, and not in its own.
    """
    left = list(edits)
    while left:
        now: dict[str, Edit] = {}
        for edit in left:
            name = edit[0]
            if name not in now and not any(related(right, name, other) for other in now):
                now[name] = edit
        yield list(now.values())
        left = [edit for edit in left if edit not in now.values()]


def answers(right: Mapping[str, str], batch: Sequence[Edit]) -> dict[str, str]:
    """Return the wrong answers of a submission, and right ones to the questions they call."""
    wrong = {}
    for name, old, new, _ in batch:
        assert old in right[name], (name, old)
        wrong[name] = right[name].replace(old, new)
    called = {name for name in right if any(calls(right, caller, name) for caller in wrong)}
    return {name: right[name] for name in called} | wrong


def related(right: Mapping[str, str], one: str, other: str) -> bool:
    return calls(right, one, other) or calls(right, other, one)


def calls(right: Mapping[str, str], caller: str, name: str) -> bool:
    """Say whether the right answer to one question calls the answer to another, or what does."""
    if re.search(rf"\b{name}\(", right[caller]):
        return True
    between = (one for one in right if one != caller and re.search(rf"\b{one}\(", right[caller]))
    return any(calls(right, one, name) for one in between)
