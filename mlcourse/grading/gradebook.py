"""Scores in nbgrader's own gradebook, so that formgrader, feedback and export work on them.

nbgrader's models are used directly: its helper functions commit after every cell, which costs more
than grading does.
"""

from __future__ import annotations

import html
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from nbgrader.api import (
    Comment,
    Grade,
    Gradebook,
    Student,
    SubmittedAssignment,
    SubmittedNotebook,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from mlcourse.grading.notebook import Notebook, grade_id_of
from mlcourse.grading.results import Record
from mlcourse.grading.submissions import WrongUsage

BATCH = 50


class Book:
    """A gradebook that is open; leaving the context commits what is left and closes it."""

    def __init__(self, url: str) -> None:
        """Open the gradebook at an SQLAlchemy URL, and make it where there is none.

        Raises WrongUsage when it cannot be opened.
        """
        # A new gradebook asks the program `alembic` for its version: ours must be found first.
        folder = str(Path(sys.executable).parent)
        if os.environ.get("PATH", "").split(os.pathsep)[0] != folder:
            os.environ["PATH"] = os.pathsep.join([folder, os.environ.get("PATH", "")])
        try:
            self.book = Gradebook(url)
        except (SQLAlchemyError, ImportError, OSError) as error:
            reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
            raise WrongUsage(
                f"the gradebook {without_password(url)} cannot be opened: {reason}"
            ) from None
        self.db = self.book.db
        self.cells: dict[str, Cells] = {}
        self.waiting = 0

    def __enter__(self) -> Book:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None or not issubclass(kind, SQLAlchemyError):
                self.db.commit()
        finally:
            self.book.close()

    def prepare(self, exercise: str, released: Notebook) -> None:
        """Make sure that the gradebook knows an exercise and its cells."""
        if exercise not in self.cells:
            self.cells[exercise] = Cells(self.book, exercise, released)

    def store(
        self, student: str, exercise: str, records: Sequence[Record], *, changed: bool
    ) -> dict[str, float]:
        """Store a submission's scores and return the manual ones, question -> points.

        Manual scores and comments stay as they are; `changed` says that the student handed in
        something else since, so that a person is asked to look again.
        """
        cells = self.cells[exercise]
        notebook = self.submitted(student, cells)
        grades = {grade.cell_id: grade for grade in notebook.grades}
        comments = {comment.cell_id: comment for comment in notebook.comments}
        manual: dict[str, float] = {}
        for record in records:
            place = cells.grades.get(f"{record.question}_check") or cells.grades[record.question]
            grade = grades.get(place)
            if grade is None:
                grade = Grade(cell_id=place, notebook=notebook)
                self.db.add(grade)
            rate(grade, record, changed=changed)
            if grade.manual_score is not None:
                manual[record.question] = grade.manual_score
            if (spot := cells.solutions.get(record.question)) is not None:
                comment = comments.get(spot)
                if comment is None:
                    comment = Comment(cell_id=spot, notebook=notebook)
                    self.db.add(comment)
                comment.auto_comment = remark(record)
        self.waiting += 1
        if self.waiting >= BATCH:
            self.commit()
        return manual

    def submitted(self, student: str, cells: Cells) -> SubmittedNotebook:
        """Return the gradebook's entry of a student's notebook, made where there is none."""
        submission = (
            self.db.query(SubmittedAssignment)
            .filter_by(assignment_id=cells.assignment, student_id=student)
            .one_or_none()
        )
        if submission is None:
            if self.db.get(Student, student) is None:
                self.db.add(Student(id=student))
            submission = SubmittedAssignment(assignment_id=cells.assignment, student_id=student)
            self.db.add(submission)
        for notebook in submission.notebooks:
            if notebook.notebook_id == cells.notebook:
                return notebook
        notebook = SubmittedNotebook(notebook_id=cells.notebook, assignment=submission)
        self.db.add(notebook)
        return notebook

    def commit(self) -> None:
        """Write what was stored since the last time."""
        self.db.commit()
        self.waiting = 0


class Cells:
    """An exercise in the gradebook: the ids of its assignment, notebook and cells."""

    def __init__(self, book: Gradebook, exercise: str, released: Notebook) -> None:
        kernel = json.dumps(released.data.get("metadata", {}).get("kernelspec", {}))
        self.assignment = book.update_or_create_assignment(exercise).id
        self.notebook = book.update_or_create_notebook(exercise, exercise, kernelspec=kernel).id
        self.grades: dict[str, str] = {}
        self.solutions: dict[str, str] = {}
        place = (exercise, exercise)
        for cell, raw in zip(released.cells, released.data["cells"], strict=True):
            name = grade_id_of(raw)
            if name is None:
                continue
            mark = raw["metadata"]["nbgrader"]
            if mark.get("grade"):
                made = book.update_or_create_grade_cell(
                    name, *place, max_score=float(mark["points"]), cell_type=cell.kind
                )
                self.grades[name] = made.id
            if mark.get("solution"):
                self.solutions[name] = book.update_or_create_solution_cell(name, *place).id
            book.update_or_create_source_cell(
                name,
                *place,
                cell_type=cell.kind,
                locked=not mark.get("solution"),
                source=cell.source,
                checksum=mark.get("checksum"),
            )


def rate(grade: Any, record: Record, *, changed: bool) -> None:
    """Set a grade's automatic score, and whether a person should look at it."""
    before, score = grade.auto_score, record.points
    grade.auto_score = None if record.status == "manual" else score
    if record.status == "manual":
        grade.needs_manual_grade = grade.manual_score is None or changed
    elif grade.manual_score is None:
        grade.needs_manual_grade = False
    else:
        grade.needs_manual_grade = bool(grade.needs_manual_grade) or before != score


def remark(record: Record) -> str | None:
    """Return the comment on an answer, which nbgrader shows as Markdown: so nothing may act."""
    text = html.escape(record.message, quote=False)
    return text.replace("[", "&#91;") or None


def without_password(url: str) -> str:
    try:
        return repr(make_url(url).render_as_string(hide_password=True))
    except SQLAlchemyError:
        return "URL"
