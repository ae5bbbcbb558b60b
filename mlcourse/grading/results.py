"""One row of results: `Record`, how its message is cleaned, and how `grades.csv` is written."""

from __future__ import annotations

import csv
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mlcourse.statuses import STATUSES, Status

COLUMNS = ("student", "exercise", "question", "points", "max_points", "status", "message")

NO_SANDBOX = "[no sandbox] "
LONGEST_MESSAGE = 400

ADDRESS = re.compile(r"\b0x[0-9a-fA-F]{4,}\b")
CLOCK = r"\d{1,2}:\d{2}:\d{2}(?:\.\d+)?"
TIME = re.compile(rf"\b(?:\d{{4}}-\d{{2}}-\d{{2}}(?:[T ]{CLOCK})?|{CLOCK})\b")
POSIX_PATH = re.compile(r"(?<![\w.<])~?(?:/[\w.@+~-]+){2,}/?")
WINDOWS_PATH = re.compile(r"\b[A-Za-z]:\\[^\s'\"]+")


@dataclass(frozen=True)
class Record:
    """The result of one question of one submission.

    `points` is None until somebody gives them (a manual question). `message` is one line for the
    student; `mistake` the declared mistake's name, if the answer matched one; `seconds` the wall
    time that the question took; `layers` says which sandbox layers held.
    """

    student: str
    exercise: str
    question: str
    points: float | None
    max_points: int
    status: Status
    message: str = ""
    mistake: str | None = None
    seconds: float = 0.0
    layers: dict[str, bool] = field(default_factory=dict)
    title: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the record as plain data."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Record:
        """Make a record of what `to_json` returned. Raises ValueError when it is not that."""
        try:
            record = cls(**data)
        except TypeError as error:
            raise ValueError(f"not a record: {error}") from None
        if record.status not in STATUSES:
            raise ValueError(f"not a record: status {record.status!r}")
        return record


def one_line(text: str) -> str:
    """Return `text` as one printable line of bounded length, without times, addresses or paths.

    Rows must be the same each time that a submission is graded, and student text ends up here.
    """
    text = "".join(" " if unicodedata.category(c) in {"Cc", "Zl", "Zp"} else c for c in text)
    text = text.encode("utf-8", "replace").decode("utf-8")
    text = ADDRESS.sub("0x...", text)
    text = WINDOWS_PATH.sub("...", POSIX_PATH.sub("...", text))
    text = TIME.sub("...", text)
    text = " ".join(text.split())
    if len(text) > LONGEST_MESSAGE:
        text = text[: LONGEST_MESSAGE - 4].rstrip() + " ..."
    return text


def neutral(text: str) -> str:
    """Return `text` so that a spreadsheet takes it for text: never for a formula."""
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def points_text(points: float | None) -> str:
    """Write points as in `grades.csv`: no needless decimals, and nothing for 'not yet'."""
    return "" if points is None else f"{points:g}"


def in_order(records: Iterable[Record]) -> list[Record]:
    """Sort by student and exercise, and keep the questions of each in the exercise's order."""
    return sorted(records, key=lambda record: (record.student, record.exercise))


def write_csv(records: Sequence[Record], path: Path) -> None:
    """Write `grades.csv` (UTF-8), sorted by student, exercise and question, replacing the old one.

    The file appears whole or not at all.
    """
    rows = sorted(records, key=lambda record: (record.student, record.exercise, record.question))
    unfinished = path.with_name(path.name + ".part")
    with unfinished.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for record in rows:
            writer.writerow(
                [
                    neutral(record.student),
                    neutral(record.exercise),
                    neutral(record.question),
                    points_text(record.points),
                    record.max_points,
                    record.status,
                    neutral(record.message),
                ]
            )
    os.replace(unfinished, path)
