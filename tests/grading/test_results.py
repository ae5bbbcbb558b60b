"""Rows: one line each, nothing that changes between runs, nothing that a spreadsheet runs."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mlcourse.grading import results
from mlcourse.grading.results import COLUMNS, Record, neutral, one_line, write_csv


def row(student: str = "ada", question: str = "q", **more: object) -> Record:
    values = {"points": 0.0, "max_points": 2, "status": "failed", **more}
    return Record(student, "by_hand", question, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a\nb\r\n\tc\x00d\u2028e", "a b c d e"),
        ("<f at 0x7f3e1c2b9d30>", "<f at 0x...>"),
        ("no file /tmp/x1/secret.txt here", "no file ... here"),
        ("no file ~/notes/a.txt", "no file ..."),
        ("in C:\\Users\\ada\\x.py there", "in ... there"),
        ("at 12:34:56.789 on 2024-05-06", "at ... on ..."),
        ("2024-05-06T12:34:56", "..."),
        ("divide by n/N, or a/b/c", "divide by n/N, or a/b/c"),
        ("shape (3, 4), not 0x4", "shape (3, 4), not 0x4"),
        ("\ud800 half", "? half"),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(text) == line


def test_long_messages_are_cut() -> None:
    assert len(one_line("long " * 1000)) <= results.LONGEST_MESSAGE


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@sum", "\t=1", "\r=1"])
def test_formulas_are_neutralised(text: str) -> None:
    assert neutral(text) == "'" + text


def test_csv_is_sorted_utf8_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "grades.csv"
    path.write_text("old")
    write_csv(
        [
            row("zoë", "b"),
            row("zoë", "a", points=None, status="manual"),
            row("=cmd|x", message="-1, or more"),
            row("ada", points=1.5, status="manual"),
            row("bob", points=2, status="passed"),
        ],
        path,
    )
    assert path.read_text(encoding="utf-8").count("\n") == 6
    with path.open(encoding="utf-8", newline="") as file:
        head, *rows = csv.reader(file)
    assert tuple(head) == COLUMNS
    assert [line[0] for line in rows] == ["'=cmd|x", "ada", "bob", "zoë", "zoë"]
    assert [line[2] for line in rows[-2:]] == ["a", "b"]
    assert [line[3] for line in rows] == ["0", "1.5", "2", "", "0"]
    assert rows[0][6] == "'-1, or more"
    assert list(tmp_path.iterdir()) == [path]


def test_records_survive_json() -> None:
    record = row(message="é", mistake="m", layers={"seccomp": True}, title="T")
    assert Record.from_json(record.to_json()) == record
    with pytest.raises(ValueError, match="status"):
        Record.from_json({**record.to_json(), "status": "great"})
    with pytest.raises(ValueError, match="not a record"):
        Record.from_json({"student": "ada"})
