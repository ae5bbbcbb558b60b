"""Results in the form that Gradescope reads: `results.json` of one submission."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlcourse.grading.pages import says
from mlcourse.grading.results import Record


def results(records: Sequence[Record]) -> dict[str, Any]:
    """Return one submission's records as Gradescope's results.json.

    Points for answers that a person reads are left to Gradescope's own manual questions. Output is
    declared as plain text, so that nothing a student wrote is interpreted.
    Source: https://gradescope-autograders.readthedocs.io/en/latest/specs/
    """
    given = [record for record in records if record.points is not None]
    waiting = [record for record in records if record.points is None]
    output = "Every question was checked."
    if waiting:
        names = ", ".join(record.title or record.question for record in waiting)
        output = f"A person reads these answers and gives their points: {names}."
    return {
        "score": float(sum(record.points or 0 for record in given)),
        "execution_time": round(sum(record.seconds for record in records), 3),
        "output": output,
        "output_format": "text",
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [entry(record) for record in given],
    }


def entry(record: Record) -> dict[str, Any]:
    """Return one question as Gradescope's test case."""
    return {
        "name": record.title or record.question,
        "name_format": "text",
        "score": float(record.points or 0),
        "max_score": float(record.max_points),
        "status": "passed" if record.status in ("passed", "manual") else "failed",
        "output": says(record),
        "output_format": "text",
        "visibility": "visible",
    }
