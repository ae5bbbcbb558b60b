"""Grade one submission: what to run, in which fork, and what comes of each question.

The engine is on the trusted side. It draws the inputs from a secret seed, has the checks, and talks
to the student's code only through a `Worker`. Questions are first tried one after the other in a
single fork that has run only the cells which answers consist of. One that does not pass there, and
gives no known mistake's result either, is tried again in a fork of its own, after everything that
the student wrote, and that result counts. So an answer fails neither because of another one, nor
because a cell was left out.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import signal
import time
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any, NoReturn

from mlcourse.checks import Exercise, Question
from mlcourse.checks.forbidden import mentions
from mlcourse.checks.judge import AnswerError, ForbiddenUse, Judge, Stopped, Verdict
from mlcourse.grading.notebook import Answers, Notebook, Statement, read
from mlcourse.grading.process import CellStopped, MissingName, Remote, Session, Worker
from mlcourse.grading.results import NO_SANDBOX, Record, one_line
from mlcourse.grading.submissions import Unreadable

#: Sets of inputs a question; with one set a wrong answer can be right by chance.
DRAWS = 2

#: Wall time that all questions of a submission may take together, in seconds.
SUBMISSION_SECONDS = 120.0

#: Wall time that the trusted side may take on top of a question's own, in seconds.
CHECKING_SECONDS = 20.0

REFUSED_IMPORT = "cannot be imported in this exercise"


class TookTooLong(KeyboardInterrupt):
    """The trusted side spent its own time on one answer; a judge lets this through."""


def seeds(secret: bytes, exercise: str, question: str, draws: int = DRAWS) -> list[int]:
    """Return the seeds of a question's inputs: the same for everybody, known to nobody."""
    found = []
    for draw in range(draws):
        text = "\0".join((exercise, question, str(draw))).encode()
        digest = hmac.digest(secret, text, hashlib.sha256)
        found.append(int.from_bytes(digest[:8], "big") >> 1)
    return found


class Engine:
    """Grades submissions of one exercise with one worker."""

    def __init__(
        self, exercise: Exercise, released: Notebook, secret: bytes, worker: Worker
    ) -> None:
        self.exercise, self.released, self.worker = exercise, released, worker
        self.prefix = "" if worker.required else NO_SANDBOX
        self.judges = {
            question.name: Judge(question, seeds(secret, exercise.name, question.name))
            for question in exercise.questions
        }

    def grade(self, student: str, data: bytes) -> list[Record]:
        """Return one record a question, whatever `data` is."""
        try:
            answers = self.answers(read(data))
        except Unreadable as reason:
            return self.unreadable(student, str(reason))
        attempt = Attempt(self, answers)
        return [self.record(student, *attempt.result(q)) for q in self.exercise.questions]

    def answers(self, notebook: Notebook) -> Answers:
        names = [question.name for question in self.exercise.questions]
        answers = Answers(notebook, self.released, names)
        if not answers.recognises():
            raise Unreadable(
                f"nothing in the notebook belongs to {self.exercise.name}: no cell has the name "
                "of one of its questions, and none of them is defined"
            )
        return answers

    def unreadable(self, student: str, reason: str) -> list[Record]:
        """Return one `error` record a question for a submission that cannot be read."""
        verdict = Verdict("error", reason)
        return [
            self.record(student, question, verdict, 0.0) for question in self.exercise.questions
        ]

    def record(self, student: str, question: Question, verdict: Verdict, seconds: float) -> Record:
        points: float | None = question.points if verdict.status == "passed" else 0
        return Record(
            student=student,
            exercise=self.exercise.name,
            question=question.name,
            points=None if verdict.status == "manual" else points,
            max_points=question.points,
            status=verdict.status,
            message=self.prefix + one_line(verdict.message),
            mistake=verdict.mistake,
            seconds=round(seconds, 4),
            layers=dict(self.worker.layers),
            title=question.title,
        )


class Attempt:
    """One submission while it is graded."""

    def __init__(self, engine: Engine, answers: Answers) -> None:
        self.engine, self.answers = engine, answers
        self.verdicts: dict[str, Verdict] = {}
        self.stopped: dict[int, Stopped] = {}
        self.shared: Session | None = None
        self.cells: list[int] = []
        self.spent = 0.0

    def result(self, question: Question) -> tuple[Question, Verdict, float]:
        """Return a question with what came of it and the seconds that it took."""
        began = time.monotonic()
        verdict = self.without_running(question) or self.by_running(question)
        seconds = time.monotonic() - began
        self.spent += seconds
        self.verdicts[question.name] = verdict
        if question is self.engine.exercise.questions[-1]:
            self.close()
        return question, verdict, seconds

    def close(self) -> None:
        if self.shared:
            self.shared.close()
            self.shared = None

    def without_running(self, question: Question) -> Verdict | None:
        """Return the verdict that the notebook's text alone allows, or None."""
        name = question.name
        if not self.answers.is_attempted(name):
            return Verdict("not attempted", f"{name} is not answered yet")
        if question.kind == "text":
            return self.engine.judges[name](None)
        failed = [need for need in question.needs if self.verdicts[need].status != "passed"]
        if failed:
            return Verdict("ungraded", f"{name} needs {listed(failed)}, which did not pass")
        return self.forbidden(question)

    def forbidden(self, question: Question) -> Verdict | None:
        """Look for forbidden use in the statements that an answer consists of."""
        statements = [statement for _, statement in self.answers.parts(question.name)]
        imported = {name for statement in statements for name in statement.course_modules}
        if refused := imported - set(self.engine.exercise.imports):
            return self.refuses(question, sorted(refused))
        used = {name for statement in statements for name in mentioned(statement)}
        for forbidden in question.forbidden:
            if used & forbidden.attributes:
                return Verdict("forbidden", forbidden.says)
        return None

    def refuses(self, question: Question, modules: Sequence[str]) -> Verdict:
        allowed = self.engine.exercise.imports
        may = f"only {listed([f'mlcourse.{name}' for name in allowed])}" if allowed else "nothing"
        used = listed([f"mlcourse.{name}" for name in modules])
        return Verdict(
            "forbidden", f"{question.name} imports {used}: this exercise allows {may} of the course"
        )

    def by_running(self, question: Question) -> Verdict:
        """Try a question in the shared fork and, unless it passes there, in one of its own."""
        if self.spent > SUBMISSION_SECONDS:
            return Verdict(
                "timeout", f"the submission's other questions took all of {SUBMISSION_SECONDS:g} s"
            )
        try:
            with alarm(2 * question.seconds + CHECKING_SECONDS):
                return self.in_shared(question) or self.in_own(question)
        except TookTooLong:
            self.close()
            return Verdict("timeout", "the answer was stopped: checking it took too long")

    def in_shared(self, question: Question) -> Verdict | None:
        """Try a question in the shared fork; None where that does not settle it."""
        if self.shared is None or not self.shared.open:
            self.close()
            self.cells = [n for n in self.answers.essential if n not in self.stopped]
            try:
                self.shared = self.engine.worker.session(self.sources(self.cells))
            except CellStopped as stop:
                self.stopped[self.cells[stop.cell]] = Stopped(stop.status, str(stop))
                return None
        try:
            with self.answer(question, self.shared) as answer:
                verdict = self.engine.judges[question.name](answer)
        except Stopped as stop:
            verdict = Verdict(stop.status, str(stop))
        except (MissingName, ForbiddenUse, AnswerError):
            return None
        # The result of a known mistake on inputs that nobody knows is no accident.
        known = verdict.mistake is not None and not self.shared.imported_forbidden
        return verdict if known or verdict.status in ("passed", "timeout") else None

    @contextlib.contextmanager
    def answer(self, question: Question, session: Session) -> Iterator[Any]:
        """Give the answer that a session holds; what is forbidden is trapped meanwhile."""
        traps = [name for forbidden in question.forbidden for name in forbidden.traps]
        if question.kind == "function":
            session.renew(question.seconds)
        answer = session.get(question.name)
        with session.traps(traps) if traps else contextlib.nullcontext():
            yield answer

    def in_own(self, question: Question) -> Verdict:
        """Try a question in a fork of its own, leaving out cells that had to be stopped."""
        while True:
            cells = [n for n in self.answers.runnable if n not in self.stopped]
            try:
                session = self.engine.worker.session(self.sources(cells))
            except CellStopped as stop:
                self.stopped[cells[stop.cell]] = Stopped(stop.status, str(stop))
                if len(self.stopped) > 3:
                    return Verdict(stop.status, f"cell {cells[stop.cell] + 1}: {stop}")
                continue
            with session:
                verdict = self.ask(question, session, cells)
            return self.blame(question, verdict)

    def blame(self, question: Question, verdict: Verdict) -> Verdict:
        """Say that a cell had to be stopped, if the answer lacks what that cell defines."""
        guilty = sorted(self.answers.cells_of(question.name) & self.stopped.keys())
        if verdict.status == "passed" or not guilty:
            return verdict
        stop = self.stopped[guilty[0]]
        return Verdict(stop.status, f"cell {guilty[0] + 1} of the notebook: {stop}")

    def sources(self, cells: Sequence[int]) -> list[str]:
        return [self.answers.cells[number].source for number in cells]

    def ask(self, question: Question, session: Session, cells: Sequence[int]) -> Verdict:
        """Judge the answer that a session holds. `cells` are the cells that it has run."""
        refused = set(session.imported_forbidden)
        try:
            with self.answer(question, session) as answer:
                if is_ellipsis(answer):
                    return Verdict("not attempted", f"{question.name} is not answered yet")
                verdict = self.engine.judges[question.name](answer)
        except MissingName:
            return self.missing(question, session, cells)
        except ForbiddenUse as use:
            return Verdict("forbidden", self.engine.judges[question.name].forbids(use.name))
        except Stopped as stop:
            return Verdict(stop.status, str(stop))
        except AnswerError as error:
            return Verdict("error", f"{question.name} cannot be read: {error}")
        imported = set(session.imported_forbidden) - refused
        if imported and verdict.status != "passed":
            return self.refuses(question, sorted(name.partition(".")[2] for name in imported))
        return verdict

    def missing(self, question: Question, session: Session, cells: Sequence[int]) -> Verdict:
        """Say why a name is not there: its cell stopped with an error, or nothing defines it."""
        own = self.answers.cells_of(question.name)
        for index, kind, text in session.cell_errors:
            if cells[index] not in own:
                continue
            error = AnswerError(kind, text)
            if kind == "ImportError" and text.endswith(REFUSED_IMPORT):
                return self.refuses(question, [text.split()[0].removeprefix("mlcourse.")])
            return Verdict("error", f"the cell of {question.name} stopped with {error}")
        return Verdict("error", f"nothing in the notebook defines {question.name}")


@lru_cache(maxsize=2000)
def mentioned(statement: Statement) -> set[str]:
    return mentions(statement.node)


def is_ellipsis(answer: Any) -> bool:
    """Say whether an answer is `...`, which stays in the worker as it is no data."""
    return answer is ... or (isinstance(answer, Remote) and answer._type_name == "ellipsis")


def listed(names: Sequence[str]) -> str:
    """Write names as a list in a sentence."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


@contextlib.contextmanager
def alarm(seconds: float) -> Iterator[None]:
    """Raise TookTooLong when what runs under this takes longer, where the system can do that."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def ring(*_: object) -> NoReturn:
        raise TookTooLong

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
