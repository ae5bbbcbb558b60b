"""The gradebook and `autograded/`: nbgrader's own tools read what we wrote, and nothing acts."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbgrader.api import Gradebook
from toys import EXERCISE, RELEASED, RIGHT, cells, code, markdown, notebook, submission

from mlcourse.grading import autograded
from mlcourse.grading.gradebook import Book
from mlcourse.grading.notebook import read
from mlcourse.grading.results import Record
from mlcourse.grading.submissions import WrongUsage
from mlcourse.statuses import Status


def records(*statuses: Status, message: str = "") -> list[Record]:
    given = dict(zip([q.name for q in EXERCISE.questions], statuses, strict=True))
    return [
        Record(
            "ada",
            "toy",
            question.name,
            None if (status := given[question.name]) == "manual" else
            float(question.points if status == "passed" else 0),
            question.points,
            status,
            message,
            title=question.title,
        )
        for question in EXERCISE.questions
    ]  # fmt: skip


GOOD = records("passed", "passed", "failed", "passed", "manual", message="look <b>again</b>")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'gradebook.db'}"


def store(
    url: str, student: str, rows: Sequence[Record], *, changed: bool = False
) -> dict[str, float]:
    with Book(url) as book:
        book.prepare("toy", RELEASED)
        return book.store(student, "toy", rows, changed=changed)


def test_scores_are_where_nbgrader_looks(url: str) -> None:
    assert store(url, "ada", GOOD) == {}
    with Gradebook(url) as book:
        submission = book.find_submission("toy", "ada")
        assert (submission.score, submission.max_score) == (4, 9)
        assert submission.needs_manual_grade
        assert book.find_grade("total_check", "toy", "toy", "ada").auto_score == 0
        assert not book.find_grade("total_check", "toy", "toy", "ada").needs_manual_grade
        assert book.find_grade("explain", "toy", "toy", "ada").auto_score is None
        comment = book.find_comment("total", "toy", "toy", "ada").comment
        assert comment == "look &lt;b&gt;again&lt;/b&gt;"


def test_manual_scores_stay_and_come_back(url: str) -> None:
    store(url, "ada", GOOD)
    with Gradebook(url) as book:
        for name, score in (("explain", 1.5), ("total_check", 3.0)):
            grade = book.find_grade(name, "toy", "toy", "ada")
            grade.manual_score, grade.needs_manual_grade = score, False
        book.db.commit()
    assert store(url, "ada", GOOD) == {"explain": 1.5, "total": 3.0}
    with Gradebook(url) as book:
        submission = book.find_submission("toy", "ada")
        assert submission.score == 4 + 1.5 + 3
        assert not submission.needs_manual_grade
    store(url, "ada", GOOD, changed=True)
    with Gradebook(url) as book:
        assert book.find_grade("explain", "toy", "toy", "ada").needs_manual_grade
        assert book.find_grade("explain", "toy", "toy", "ada").manual_score == 1.5


def test_unreadable_submission_waits_for_nobody(url: str) -> None:
    store(url, "ada", records("error", "error", "error", "error", "error"))
    with Gradebook(url) as book:
        assert book.find_submission("toy", "ada").score == 0
        assert not book.find_submission("toy", "ada").needs_manual_grade


def test_bad_urls_are_wrong_usage(tmp_path: Path) -> None:
    for url in ("nonsense", "sqlite:////no/such/folder/x.db", "nodb://user:hush@host/x"):
        with pytest.raises(WrongUsage, match="cannot be opened") as caught:
            Book(url)
        assert "hush" not in str(caught.value)


def test_gradebook_is_made_without_alembic_on_the_path(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    store(url, "ada", GOOD)
    assert os.environ["PATH"].split(os.pathsep)[0] == str(Path(sys.executable).parent)


def test_nbgrader_exports_and_writes_feedback(tmp_path: Path, url: str) -> None:
    store(url, "ada", GOOD)
    place = tmp_path / "autograded" / "ada" / "toy" / "toy.ipynb"
    place.parent.mkdir(parents=True)
    place.write_text(autograded.write(read(submission()), RELEASED, GOOD), encoding="utf-8")
    root = f"--CourseDirectory.root={tmp_path}"
    for command in (["export", root], ["generate_feedback", "toy", root]):
        done = subprocess.run(
            [sys.executable, "-m", "nbgrader", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    with (tmp_path / "grades.csv").open() as file:
        [row] = csv.DictReader(file)
    assert (row["student_id"], row["score"], row["max_score"]) == ("ada", "4.0", "9.0")
    page = (tmp_path / "feedback" / "ada" / "toy" / "toy.html").read_text()
    assert "look &lt;b&gt;again&lt;/b&gt;" in page
    assert "<b>again</b>" not in page


# --- Notebooks for formgrader ---------------------------------------------------------------------

SCRIPT = "<script>alert(1)</script>"


def written(found: list[dict[str, Any]], rows: Sequence[Record] = GOOD) -> nbformat.NotebookNode:
    text = autograded.write(read(notebook(found)), RELEASED, rows)
    made = nbformat.reads(text, as_version=4)
    nbformat.validate(made)
    return made


def test_verdicts_stand_under_the_checks() -> None:
    made = written(cells(RIGHT))
    shown = {
        cell.metadata.nbgrader.grade_id: cell.outputs[0].text
        for cell in made.cells
        if cell.cell_type == "code" and cell.metadata.get("nbgrader", {}).get("grade")
    }
    assert shown["total_check"] == "failed: look <b>again</b>\n"
    assert len(shown) == 4


def test_what_could_act_is_dropped() -> None:
    image = {"output_type": "display_data", "metadata": {"x": 1}, "data": {}}
    outputs = [
        {**image, "data": {"text/html": SCRIPT, "application/javascript": "alert(1)"}},
        {**image, "data": {"image/svg+xml": f"<svg>{SCRIPT}</svg>", "text/plain": "kept"}},
        {**image, "data": {"image/png": f'x" onerror="alert(1)">{SCRIPT}'}},
        {**image, "data": {"image/png": "aGVsbG8=\n", "text/markdown": SCRIPT}},
        {"output_type": "stream", "name": "stdout", "text": ["a\n", "b\n"]},
        {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["t", 3]},
        {"output_type": "nonsense"},
        "not an output",
        {"output_type": "display_data", "data": [1]},
    ]
    found = [
        *cells(RIGHT),
        code("1", outputs=outputs),
        markdown(f"text {SCRIPT} and $a<b$ <!-- c -->", {"attachments": {"x": 1}}),
        {"cell_type": "raw", "metadata": {"raw_mimetype": "text/html"}, "source": SCRIPT},
    ]
    made = written(found)
    text = json.dumps(made)
    for gone in ("<script", "javascript", "onerror", "svg", "<!--", "raw_mimetype", "attachments"):
        assert gone not in text, gone
    assert [output.output_type for output in made.cells[-3].outputs] == [
        "display_data",
        "display_data",
        "stream",
        "error",
    ]
    assert made.cells[-3].outputs[1].data == {"image/png": "aGVsbG8=\n"}


def test_cells_that_carry_points_are_ours_and_all_there() -> None:
    found = cells(RIGHT)
    found[3]["source"] = "points = 1000"
    found[3]["metadata"]["nbgrader"]["points"] = 1000
    del found[-2]  # the free text
    del found[5]  # a check
    found.append(dict(found[2]))  # a copied answer cell
    made = written(found)
    marks = [cell.metadata.get("nbgrader") for cell in made.cells]
    names = [mark.grade_id for mark in marks if mark]
    assert len(set(names)) == len(names) == 9
    assert sum(mark.points for mark in marks if mark and mark.get("points")) == 9
    assert not any("1000" in cell.source for cell in made.cells)


def test_unreadable_submission_gets_the_empty_exercise() -> None:
    text = autograded.write(None, RELEASED, records(*["error"] * 5, message="not JSON"))
    made = nbformat.reads(text, as_version=4)
    nbformat.validate(made)
    assert json.dumps(made).count("error: not JSON") == 4
