"""`mlcourse grade`, whole: the command's contract, and that nothing graded is lost."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import stat
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import nbformat
import pytest
from nbgrader.api import Gradebook

from mlcourse import checks, exercises
from mlcourse.grading import run
from mlcourse.grading.notebook import grade_id_of
from mlcourse.grading.pool import OWN_FAULT, Pool, Refused, Task
from mlcourse.grading.results import COLUMNS, Record
from mlcourse.grading.run import Options
from mlcourse.statuses import STATUSES

ROOT = Path(__file__).resolve().parents[2]
COMMAND = [sys.executable, "-m", "mlcourse.cli"]
QUESTIONS = {question.name: question for question in checks.load("by_hand").questions}


@pytest.fixture(scope="session")
def solution() -> dict:
    """The solved exercise, as notebook JSON."""
    release = pytest.importorskip("mlcourse.release")
    text = (ROOT / "solutions" / "by_hand.py").read_text(encoding="utf-8")
    source, _ = release.notebooks(text, checks.load("by_hand"))
    return json.loads(nbformat.writes(source))


def with_answers(notebook: dict, answers: dict[str, str]) -> bytes:
    """Return a notebook file with other answers to some questions."""
    made = json.loads(json.dumps(notebook))
    for cell in made["cells"]:
        if (name := grade_id_of(cell)) in answers:
            cell["source"] = answers[name]
    return json.dumps(made).encode()


def hand_in(root: Path, student: str, data: bytes) -> None:
    place = root / student / "by_hand" / "by_hand.ipynb"
    place.parent.mkdir(parents=True)
    place.write_bytes(data)


@pytest.fixture(scope="session")
def submitted(tmp_path_factory: pytest.TempPathFactory, solution: dict) -> Path:
    """A small class in nbgrader's layout."""
    root = tmp_path_factory.mktemp("class") / "submitted"
    empty = exercises.path("by_hand").read_bytes()
    wrong = {
        "sgd": "def sgd(p, grads, eta):\n    return {k: p[k] + eta * grads[k] for k in p}",
        "forward": "def forward(params, X):\n    import os\n    os._exit(3)",
        "figure_nx": "figure_nx = 7",
    }
    hand_in(root, "ada", with_answers(solution, {}))
    hand_in(root, "bob", with_answers(solution, wrong))
    hand_in(root, "cy", empty)
    hand_in(root, "=1+1", b"not a notebook")
    return root


def graded(submitted: Path, out: Path, *options: str, cwd: Path | None = None) -> str:
    done = subprocess.run(
        [*COMMAND, "grade", str(submitted), "--out", str(out), *options],
        capture_output=True,
        text=True,
        cwd=cwd,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def table(out: Path) -> list[dict[str, str]]:
    with (out / "grades.csv").open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        assert tuple(reader.fieldnames or ()) == COLUMNS
        return list(reader)


def lines(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "journal.jsonl").read_text().splitlines()]


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory, submitted: Path) -> Path:
    """The class graded by the command, from another folder, with two jobs."""
    where = tmp_path_factory.mktemp("elsewhere")
    graded(submitted, where / "graded", "--jobs", "2", "--gradescope", cwd=where)
    assert [entry.name for entry in where.iterdir()] == ["graded"]
    return where / "graded"


def test_one_row_a_question_sorted(results: Path) -> None:
    rows = table(results)
    places = [(row["student"], row["exercise"], row["question"]) for row in rows]
    assert len(places) == 4 * len(QUESTIONS) == len(set(places))
    assert places == sorted(places, key=lambda place: (place[0].lstrip("'"), *place[1:]))
    for row in rows:
        question = QUESTIONS[row["question"]]
        assert row["status"] in STATUSES
        assert row["max_points"] == str(question.points)
        full = row["max_points"] if row["status"] == "passed" else "0"
        assert row["points"] == ("" if row["status"] == "manual" else full)
        assert "\n" not in row["message"]
        assert not re.search(r"0x[0-9a-f]{4}|/tmp|/root|\d\d:\d\d:\d\d", row["message"])


def test_each_student_gets_what_they_deserve(results: Path) -> None:
    by_student: dict[str, Counter] = {}
    for row in table(results):
        by_student.setdefault(row["student"], Counter())[row["status"]] += 1
    texts = sum(question.kind == "text" for question in QUESTIONS.values())
    whole = len(QUESTIONS)
    assert by_student["ada"] == {"passed": whole - texts, "manual": texts}
    assert by_student["cy"] == {"not attempted": whole}
    assert by_student["'=1+1"] == {"error": whole}
    bob = {row["question"]: row for row in table(results) if row["student"] == "bob"}
    assert bob["sgd"]["status"] == bob["figure_nx"]["status"] == "failed"
    assert bob["forward"]["status"] == "error"
    assert bob["train"]["status"] == "ungraded"
    assert by_student["bob"]["passed"] == whole - texts - 4


def test_everything_else_is_written(results: Path) -> None:
    assert (results / "report.html").is_file()
    names = sorted(path.parent.name for path in results.glob("feedback/*/by_hand.html"))
    assert names[1:] == ["ada", "bob", "cy"]
    assert names[0].startswith("1+1-"), "a formula is no file name"
    for name in names:
        place = results / "autograded" / name / "by_hand" / "by_hand.ipynb"
        nbformat.validate(nbformat.read(place, as_version=4))
        given = json.loads((results / "gradescope" / name / "by_hand" / "results.json").read_text())
        assert given["score"] == sum(
            float(row["points"] or 0)
            for row in table(results)
            if name.startswith(row["student"].lstrip("'="))
        )
    secret = results / "secret"
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert all(record["layers"] for line in lines(results)[:-1] for record in line["records"])


def test_gradebook_has_the_scores(results: Path) -> None:
    with Gradebook(f"sqlite:///{results / 'gradebook.db'}") as book:
        assert len(book.assignment_submissions("by_hand")) == 4
        ada = book.find_submission("by_hand", "ada")
        assert ada.score == sum(q.points for q in QUESTIONS.values() if q.kind != "text")
        assert ada.max_score == sum(q.points for q in QUESTIONS.values())
        assert ada.needs_manual_grade
        assert not book.find_submission("by_hand", "cy").needs_manual_grade


def test_second_run_grades_nothing_and_says_the_same(submitted: Path, results: Path) -> None:
    before = (results / "grades.csv").read_bytes()
    count = len(lines(results))
    assert "0 newly graded" in graded(submitted, results)
    assert (results / "grades.csv").read_bytes() == before
    assert len(lines(results)) == count + 1


def test_regrade_keeps_manual_scores_and_gives_the_same_rows(
    submitted: Path, results: Path, tmp_path: Path
) -> None:
    before = (results / "grades.csv").read_text()
    name = next(q.name for q in QUESTIONS.values() if q.kind == "text")
    with Gradebook(f"sqlite:///{results / 'gradebook.db'}") as book:
        grade = book.find_grade(name, "by_hand", "by_hand", "ada")
        grade.manual_score, grade.needs_manual_grade = 1.5, False
        book.db.commit()
    assert "4 newly graded" in graded(submitted, results, "--regrade", "--jobs", "1")
    row = next(r for r in table(results) if (r["student"], r["question"]) == ("ada", name))
    assert (row["points"], row["status"]) == ("1.5", "manual")
    after = (results / "grades.csv").read_text()
    assert after.replace(f"{name},1.5,", f"{name},,") == before
    with Gradebook(f"sqlite:///{results / 'gradebook.db'}") as book:
        assert book.find_grade(name, "by_hand", "by_hand", "ada").manual_score == 1.5


def test_report_is_written_again(results: Path) -> None:
    before = (results / "report.html").read_text()
    (results / "report.html").unlink()
    subprocess.run([*COMMAND, "report", str(results)], check=True, capture_output=True)
    assert (results / "report.html").read_text() == before


def test_killed_run_continues(submitted: Path, tmp_path: Path, solution: dict) -> None:
    root = tmp_path / "many"
    for number in range(8):
        answers = {"figure_nx": f"figure_nx = {number}"}
        hand_in(root, f"s{number:02}", with_answers(solution, answers))
    graded(root, tmp_path / "whole", "--jobs", "1")
    out = tmp_path / "out"
    out.mkdir()
    (out / "secret").write_bytes((tmp_path / "whole" / "secret").read_bytes())
    started = subprocess.Popen(
        [*COMMAND, "grade", str(root), "--out", str(out), "--jobs", "1"],
        stdout=subprocess.DEVNULL,
    )
    while not (out / "journal.jsonl").exists() or len(lines_so_far(out)) < 3:
        assert started.poll() is None, "it should still be grading"
        time.sleep(0.005)
    started.send_signal(signal.SIGKILL)
    started.wait()
    assert not (out / "grades.csv").exists()
    done = len(lines_so_far(out))
    assert 3 <= done < 8
    assert f"{8 - done} newly graded" in graded(root, out, "--jobs", "1")
    assert (out / "grades.csv").read_bytes() == (tmp_path / "whole" / "grades.csv").read_bytes()
    keys = Counter(line["key"] for line in lines(out) if "key" in line)
    assert set(keys.values()) == {1}, "nothing was graded twice"


def lines_so_far(out: Path) -> list[str]:
    return [line for line in (out / "journal.jsonl").read_text().split("\n")[:-1] if line]


def test_flat_zip_without_a_sandbox_says_so(tmp_path: Path, solution: dict) -> None:
    path = tmp_path / "class.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("class/<b>ada.ipynb", with_answers(solution, {}))
        archive.writestr("../evil.ipynb", "{}")
        archive.writestr("class/cy.ipynb", exercises.path("by_hand").read_bytes())
    graded(path, tmp_path / "out", "--exercise", "by_hand", "--unsafe-no-sandbox")
    rows = table(tmp_path / "out")
    assert {row["student"] for row in rows} == {"<b>ada", "cy"}
    assert all(row["message"].startswith("[no sandbox] ") for row in rows)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["class.zip", "out"]
    assert "<b>ada" not in (tmp_path / "out" / "report.html").read_text()


# --- Processes ------------------------------------------------------------------------------------


def test_engine_that_dies_is_replaced_and_its_submission_tried_again(submitted: Path) -> None:
    empty = exercises.path("by_hand").read_bytes()
    tasks = [Task(f"s{number}", "by_hand", empty) for number in range(4)]
    with Pool(1, b"x" * 32, sandbox=True) as pool:
        stream = pool.grade(tasks)
        done = [next(stream)[0].student]
        first = pool.slots[0].process.pid
        os.kill(first or 0, signal.SIGKILL)
        done += [task.student for task, _ in stream]
        assert sorted(done) == ["s0", "s1", "s2", "s3"]
        assert pool.slots[0].process.pid != first


def test_grader_that_fails_says_so_in_rows_and_exit_code(
    tmp_path: Path, submitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Pool, tasks: object) -> object:
        for task in tasks:  # type: ignore[attr-defined]
            fault = task.student == "bob"
            row = Record(task.student, "by_hand", "sgd", 0, 1, "error", OWN_FAULT)
            yield Task(task.student, "by_hand", task.data, fault=fault), [row]

    monkeypatch.setattr(Pool, "grade", failing)
    monkeypatch.setattr(Pool, "started", lambda self: None)
    monkeypatch.setattr(Pool, "__exit__", lambda *_: None)
    result = run.grade(Options(submitted, tmp_path / "out"))
    assert result.faults == ["bob (by_hand)"]
    assert result.graded == 3
    assert not any(
        record["student"] == "bob" for line in lines(tmp_path / "out")[:-1]
        for record in line["records"]
    ), "it is graded next time"  # fmt: skip


def test_no_rows_where_the_sandbox_does_not_hold(
    tmp_path: Path, submitted: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    def refusing(self: Pool, tasks: object) -> object:
        raise Refused("student code cannot be confined on this machine")
        yield

    from mlcourse import cli

    monkeypatch.setattr(Pool, "grade", refusing)
    monkeypatch.setattr(Pool, "started", lambda self: None)
    monkeypatch.setattr(Pool, "__exit__", lambda *_: None)
    monkeypatch.setattr(
        sys, "argv", ["mlcourse", "grade", str(submitted), "--out", str(tmp_path / "out")]
    )
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == 1
    assert capsys.readouterr().err == "student code cannot be confined on this machine\n"
    assert not (tmp_path / "out" / "grades.csv").exists()


def test_interrupted_run_keeps_what_is_graded(tmp_path: Path, solution: dict) -> None:
    submitted, out = tmp_path / "submitted", tmp_path / "out"
    for i in range(40):  # enough to be still at work when the signal comes
        hand_in(submitted, f"s{i:02}", with_answers(solution, {"figure_nx": f"figure_nx = {i}"}))
    started = subprocess.Popen(
        [*COMMAND, "grade", str(submitted), "--out", str(out), "--jobs", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (out / "journal.jsonl").exists() or not lines_so_far(out):
        assert started.poll() is None
        time.sleep(0.005)
    started.send_signal(signal.SIGINT)
    _, errors = started.communicate(timeout=60)
    assert started.returncode == 1
    assert errors == "stopped; what is graded is kept: the same command continues from here\n"
    assert lines_so_far(out)
