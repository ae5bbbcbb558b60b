"""The journal: what is in it is kept, whatever happened to the process that wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlcourse.grading.journal import Entry, Journal
from mlcourse.grading.results import Record
from mlcourse.grading.submissions import WrongUsage


def entry(student: str, key: str = "k", submission: str = "s") -> Entry:
    return Entry(key, submission, (Record(student, "toy", "q", 1.0, 1, "passed"),))


def test_what_was_appended_is_found_again(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append(entry("ada"))
    with Journal(tmp_path / "j") as journal:
        assert journal.find("ada", "toy", "k") == entry("ada")
        assert journal.find("ada", "toy", "other") is None
        assert journal.find("bob", "toy", "k") is None


def test_lines_are_there_before_the_journal_is_closed(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append(entry("ada"))
        assert b'"ada"' in (tmp_path / "j").read_bytes()


def test_half_a_line_is_dropped_and_not_glued_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.append(entry("ada"))
        journal.append(entry("bob"))
    path.write_bytes(path.read_bytes()[:-20])
    with Journal(path) as journal:
        assert journal.find("ada", "toy", "k")
        assert journal.find("bob", "toy", "k") is None
        journal.append(entry("cy"))
    with Journal(path) as journal:
        assert journal.find("ada", "toy", "k")
        assert journal.find("cy", "toy", "k")


@pytest.mark.parametrize("line", [b"\n", b"[]\n", b"{}\n", b'{"key": 1}\n', b"\xff\n", b"3\n"])
def test_damaged_lines_are_passed_over(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "j"
    with Journal(path) as journal:
        journal.append(entry("ada"))
    path.write_bytes(line + path.read_bytes() + line)
    with Journal(path) as journal:
        assert journal.find("ada", "toy", "k")


def test_last_run_is_what_the_report_shows(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        for student in ("ada", "bob"):
            journal.append(entry(student))
        assert len(journal.last_run()) == 2
        journal.finish([entry("bob")])
    with Journal(tmp_path / "j") as journal:
        assert [record.student for record in journal.last_run()] == ["bob"]


def test_another_submission_of_a_student_is_a_change(tmp_path: Path) -> None:
    with Journal(tmp_path / "j") as journal:
        journal.append(entry("ada", submission="one"))
        assert not journal.is_change(entry("ada", submission="two")), "nothing before this run"
    with Journal(tmp_path / "j") as journal:
        assert journal.is_change(entry("ada", submission="two"))
        assert not journal.is_change(entry("ada", submission="one"))


def test_two_graders_do_not_share_a_folder(tmp_path: Path) -> None:
    with Journal(tmp_path / "j"), pytest.raises(WrongUsage, match="another grader"):
        Journal(tmp_path / "j")
