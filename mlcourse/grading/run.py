"""`mlcourse grade`: from what was handed in to rows, gradebook, feedback and report."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from mlcourse import exercises
from mlcourse.grading import autograded, feedback, gradescope, report
from mlcourse.grading.journal import Entry, Journal
from mlcourse.grading.notebook import Answers, Notebook, read
from mlcourse.grading.pages import save
from mlcourse.grading.pool import Pool, Task
from mlcourse.grading.results import Record, in_order, write_csv
from mlcourse.grading.submissions import Found, Submission, Unreadable, WrongUsage, file_names, find

if TYPE_CHECKING:
    from mlcourse.grading.gradebook import Book

PACKAGE = Path(__file__).resolve().parent.parent

#: Our modules that show or store results, or have to do with other things: when one of them
#: changes, what was graded stays graded.
NO_PART_IN_RESULTS = {
    *("cli", "exercises", "release", "sample_class"),
    *("autograded", "doctor", "feedback", "gradebook", "gradescope", "journal", "pages"),
    *("pool", "report", "run"),
}


@dataclass(frozen=True)
class Options:
    """What `mlcourse grade` was asked to do."""

    submitted: Path
    out: Path
    exercise: str | None = None
    jobs: int = 1
    gradebook: str | None = None
    regrade: bool = False
    gradescope: bool = False
    sandbox: bool = True


@dataclass
class Result:
    """What a run gave: its records, what was left aside, and how much was new."""

    notes: list[str]
    records: list[Record] = field(default_factory=list)
    graded: int = 0
    faults: list[str] = field(default_factory=list)


#: Called with the number of submissions that are done and how many there are.
Progress = Callable[[int, int], None]


def grade(options: Options, progress: Progress = lambda done, of: None) -> Result:
    """Grade everything in `options.submitted` and write the results folder.

    Raises WrongUsage when there is nothing to grade, and Refused when grading cannot be done
    here. What was graded before an interruption is in the journal and is not graded again.
    """
    found = find(options.submitted, list(exercises.titles()), options.exercise)
    options.out.mkdir(parents=True, exist_ok=True)
    with Journal(options.out / "journal.jsonl") as journal:
        run = Run(options, found, journal)
        new = [one for one in found.submissions if options.regrade or not run.known(one)]
        jobs = min(options.jobs, len(new))
        with Pool(jobs, run.secret, sandbox=options.sandbox) as pool, open_book(options) as book:
            for exercise, released in sorted(run.released.items()):
                book.prepare(exercise, released)
            for done, (entry, data) in enumerate(run.entries(new, pool), start=1):
                run.store(entry, data, book)
                progress(done, len(found.submissions))
        run.finish()
    return run.result


@contextlib.contextmanager
def open_book(options: Options) -> Iterator[Book]:
    # nbgrader takes a second to import: the engines start meanwhile.
    from mlcourse.grading.gradebook import Book

    url = options.gradebook or f"sqlite:///{(options.out / 'gradebook.db').resolve()}"
    with Book(url) as book:
        yield book


class Run:
    """One run of the grader over what was found."""

    def __init__(self, options: Options, found: Found, journal: Journal) -> None:
        self.options, self.found, self.journal = options, found, journal
        self.names = file_names(submission.student for submission in found.submissions)
        self.secret = secret_of(options.out)
        self.basis = basis(self.secret, sandbox=options.sandbox)
        self.released = {
            name: read(exercises.path(name).read_bytes())
            for name in {submission.exercise for submission in found.submissions}
        }
        self.result = Result(notes=found.notes)
        self.entries_used: list[Entry] = []
        self.pages: dict[tuple[str, str], Path] = {}
        self.faults: set[tuple[str, str]] = set()

    def entries(
        self, new: Sequence[Submission], pool: Pool
    ) -> Iterator[tuple[Entry, bytes | None]]:
        """Yield what comes of each submission, from the journal or freshly graded."""
        fresh = {(submission.student, submission.exercise) for submission in new}
        for submission in self.found.submissions:
            if (submission.student, submission.exercise) not in fresh:
                task = read_task(submission)
                entry = self.journal.find(task.student, task.exercise, self.key(task))
                if entry:
                    yield entry, task.data or None
                else:  # it has changed since a moment ago
                    new = [*new, submission]
        in_turn = sorted(new, key=lambda submission: submission.exercise)
        for task, records in pool.grade(map(read_task, in_turn)):
            yield self.taken(task, records), task.data or None

    def known(self, submission: Submission) -> bool:
        """Say whether the journal has what would come of grading a submission."""
        task = read_task(submission)
        return self.journal.find(task.student, task.exercise, self.key(task)) is not None

    def key(self, task: Task) -> str:
        """Return the hash of everything that a submission's result depends on."""
        released = hashlib.sha256(exercises.path(task.exercise).read_bytes()).hexdigest()
        return digest(self.basis, task.exercise, released, submission_hash(task))

    def taken(self, task: Task, records: Sequence[Record]) -> Entry:
        """Put a freshly graded submission into the journal, unless the grader itself failed."""
        entry = Entry(self.key(task), submission_hash(task), tuple(records))
        if task.fault:
            self.faults.add(entry.owner)
        else:
            self.journal.append(entry)
            self.result.graded += 1
        return entry

    def store(self, entry: Entry, data: bytes | None, book: Book) -> None:
        """Write a submission's scores, autograded notebook and feedback page."""
        student, exercise = entry.owner
        name, released = self.names[student], self.released[exercise]
        manual = book.store(name, exercise, entry.records, changed=self.journal.is_change(entry))
        records = [with_manual(record, manual) for record in entry.records]
        notebook = readable(data)
        place = self.options.out / "autograded" / name / exercise / f"{exercise}.ipynb"
        save(autograded.write(notebook, released, records), place)
        own: dict[str, str] = {}
        if notebook:
            answers = Answers(notebook, released, [record.question for record in records])
            own = {record.question: answers.source_of(record.question) for record in records}
        page = feedback_page(self.options.out, name, exercise)
        feedback.write(student, exercise, records, own, page)
        self.pages[student, exercise] = page
        self.entries_used.append(entry)
        self.result.records += records

    def finish(self) -> None:
        """Write what is about the whole class: the table, the report, Gradescope's files."""
        out, result = self.options.out, self.result
        used = sorted(self.entries_used, key=lambda entry: entry.owner)
        result.records = in_order(result.records)
        kept = [entry for entry in used if entry.owner not in self.faults]
        self.journal.finish(kept, [r for r in result.records if r.status == "manual"])
        result.faults = [f"{student} ({exercise})" for student, exercise in sorted(self.faults)]
        write_csv(result.records, out / "grades.csv")
        report.write(result.records, out / "report.html", self.pages)
        if self.options.gradescope:
            for (student, exercise), records in grouped(result.records).items():
                text = json.dumps(gradescope.results(records), indent=1) + "\n"
                save(text, out / "gradescope" / self.names[student] / exercise / "results.json")


# --- Parts of a run -------------------------------------------------------------------------------


def feedback_page(out: Path, name: str, exercise: str) -> Path:
    return out / "feedback" / name / f"{exercise}.html"


def read_task(submission: Submission) -> Task:
    try:
        return Task(submission.student, submission.exercise, submission.read())
    except Unreadable as reason:
        return Task(submission.student, submission.exercise, unreadable=str(reason))


def readable(data: bytes | None) -> Notebook | None:
    if data is None:
        return None
    try:
        return read(data)
    except Unreadable:
        return None


def with_manual(record: Record, manual: Mapping[str, float]) -> Record:
    """Give a question that a person grades the points that it has in the gradebook."""
    if record.status == "manual" and record.question in manual:
        return replace(record, points=manual[record.question])
    return record


def grouped(records: Iterable[Record]) -> dict[tuple[str, str], list[Record]]:
    """Return the records of each student and exercise."""
    found: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        found.setdefault((record.student, record.exercise), []).append(record)
    return found


def write_report(out: Path) -> Path:
    """Write the class report of a results folder again, from its journal, and return its path.

    Raises WrongUsage when nothing was graded there.
    """
    if not (out / "journal.jsonl").is_file():
        raise WrongUsage(f"{str(out)!r} holds no results: grade into it first")
    with Journal(out / "journal.jsonl") as journal:
        records = in_order(journal.last_run())
    names = file_names(record.student for record in records)
    pages = {
        (record.student, record.exercise): page
        for record in records
        if (page := feedback_page(out, names[record.student], record.exercise)).is_file()
    }
    report.write(records, out / "report.html", pages)
    return out / "report.html"


# --- What a result depends on ---------------------------------------------------------------------


def digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


def submission_hash(task: Task) -> str:
    """Return the hash of a submission: its bytes, or why there are none."""
    data = task.data if task.unreadable is None else b"\0" + task.unreadable.encode()
    return hashlib.sha256(data).hexdigest()


def basis(secret: bytes, *, sandbox: bool) -> str:
    """Return the hash of what all results depend on: our code, seed and versions."""
    versions = [f"{name} {version(name)}" for name in ("mlcourse", "torch", "numpy")]
    python = ".".join(map(str, sys.version_info[:3]))
    parts = [python, *versions, str(sandbox), hashlib.sha256(secret).hexdigest()]
    for place in ("*.py", "checks/**/*.py", "grading/*.py"):
        for source in sorted(PACKAGE.glob(place)):
            if source.stem not in NO_PART_IN_RESULTS:
                parts += [source.name, hashlib.sha256(source.read_bytes()).hexdigest()]
    return digest(*parts)


def secret_of(out: Path) -> bytes:
    """Return the secret that inputs are drawn from, made once for a results folder."""
    place = out / "secret"
    try:
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        secret = place.read_bytes()
        if len(secret) < 32:
            raise WrongUsage(f"{str(place)!r} is damaged: delete it to grade afresh") from None
        return secret
    with os.fdopen(descriptor, "wb") as file:
        file.write(made := secrets.token_bytes(32))
    return made
