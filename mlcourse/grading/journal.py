"""The journal: one line of JSON a graded submission, so that nothing graded is graded again.

A line is `{"key": ..., "submission": ..., "records": [...]}`. The key is a hash of everything that
the result depends on (submission, checks, released exercise, seed, versions, sandbox or not), so a
line is used again only where grading would give the same. A line `{"graded": ..., "manual": ...}`
ends a complete run: the keys that it put into `grades.csv`, and the points that people had given.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mlcourse.grading.results import Record
from mlcourse.grading.submissions import WrongUsage

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

#: Lines are forced to the disk when this many, or the oldest of them this many seconds, wait.
BATCH, SECONDS = 50, 1.0


@dataclass(frozen=True)
class Entry:
    """One graded submission: its key, the hash of the submission alone, and its records."""

    key: str
    submission: str
    records: tuple[Record, ...]

    @property
    def owner(self) -> tuple[str, str]:
        """The student and the exercise."""
        return self.records[0].student, self.records[0].exercise


def lock(file: IO[bytes], folder: Path) -> None:
    """Keep other graders out of a results folder, where the system can do that."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise WrongUsage(
            f"another grader is at work in {str(folder)!r}: wait for it, or use another --out"
        ) from None


class Journal:
    """The journal of a results folder, read at once and then only appended to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.entries: dict[tuple[str, str, str], Entry] = {}
        self.latest: dict[tuple[str, str], Entry] = {}
        self.graded: list[tuple[str, str, str]] = []
        self.manual: dict[tuple[str, str, str], float | None] = {}
        self._file = path.open("a+b")
        lock(self._file, path.parent)
        whole = self._read()
        self.first = dict(self.latest)  # as it was before this run
        # A killed run may leave half a line, which the next line must not be glued to.
        self._file.truncate(whole)
        self._waiting, self._since = 0, time.monotonic()

    def _read(self) -> int:
        """Read every whole line; return where the last one ends."""
        whole = 0
        with self.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    break
                whole += len(line)
                self._take(line)
        return whole

    def _take(self, line: bytes) -> None:
        """Remember one line; one that is damaged is graded again, which is safe."""
        try:
            data = json.loads(line)
            if "graded" in data:
                self.graded = [(owner, exercise, key) for owner, exercise, key in data["graded"]]
                self.manual = {
                    (s, e, question): points for s, e, question, points in data["manual"]
                }
                return
            records = tuple(Record.from_json(record) for record in data["records"])
            if records:
                self._remember(Entry(data["key"], data["submission"], records))
        except (ValueError, KeyError, TypeError, AttributeError):
            return

    def _remember(self, entry: Entry) -> None:
        self.entries[*entry.owner, entry.key] = entry
        self.latest[entry.owner] = entry

    def find(self, student: str, exercise: str, key: str) -> Entry | None:
        """Return what was graded under `key` for this student, or None."""
        return self.entries.get((student, exercise, key))

    def is_change(self, entry: Entry) -> bool:
        """Say whether this student had handed in something else before."""
        before = self.first.get(entry.owner)
        return before is not None and before.submission != entry.submission

    def append(self, entry: Entry) -> None:
        """Add a graded submission; it survives a kill of this process from here on."""
        self._remember(entry)
        self._write(
            {
                "key": entry.key,
                "submission": entry.submission,
                "records": [record.to_json() for record in entry.records],
            }
        )

    def finish(self, entries: Sequence[Entry], manual: Sequence[Record] = ()) -> None:
        """Note what a complete run was made of: entries, and records that people gave points."""
        self.graded = [(*entry.owner, entry.key) for entry in entries]
        self.manual = {(r.student, r.exercise, r.question): r.points for r in manual}
        points = [[*place, points] for place, points in self.manual.items()]
        self._write({"graded": self.graded, "manual": points})
        self.sync()

    def last_run(self) -> list[Record]:
        """Return the records of the latest complete run, or of every submission without one."""
        found = [self.entries.get(place) for place in self.graded] or [*self.latest.values()]
        return [
            replace(
                record,
                points=self.manual.get(
                    (record.student, record.exercise, record.question), record.points
                ),
            )
            for entry in found
            if entry is not None
            for record in entry.records
        ]

    def _write(self, data: dict[str, Any]) -> None:
        self._file.write(json.dumps(data, ensure_ascii=True).encode("ascii") + b"\n")
        self._file.flush()
        self._waiting += 1
        if self._waiting >= BATCH or time.monotonic() - self._since > SECONDS:
            self.sync()

    def sync(self) -> None:
        """Force what was written to the disk, so that it survives a power cut as well."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._waiting, self._since = 0, time.monotonic()

    def close(self) -> None:
        """Force everything to the disk and close."""
        if not self._file.closed:
            self.sync()
            self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
