"""Several engines at once, each in a process of its own with its own warm worker.

The process that runs this never imports torch: it reads, hands out and writes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from types import TracebackType

from mlcourse.grading.results import Record

#: An engine that says nothing for so long is replaced; it bounds its own time far below this.
SILENCE_SECONDS = 420.0
AHEAD = 2  # submissions that an engine has at hand, so that it never waits for the next
DEATHS = 3

OWN_FAULT = "the grader itself failed on this submission: it is not the student's fault"


class Refused(Exception):
    """Grading cannot be done on this machine; one sentence says why, and the remedy."""


@dataclass(frozen=True)
class Task:
    """A submission to grade: its bytes or, where it cannot be read, the reason."""

    student: str
    exercise: str
    data: bytes = b""
    unreadable: str | None = None
    fault: bool = False  # the reason is the grader's own failure


@dataclass
class Slot:
    """An engine's process, the pipe to it, and the tasks that it has."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection
    tasks: deque[Task] = field(default_factory=deque)
    heard: float = field(default_factory=time.monotonic)


class Pool:
    """Grades tasks with `jobs` engines. Use it as a context manager: leaving it ends them all."""

    def __init__(self, jobs: int, secret: bytes, *, sandbox: bool) -> None:
        self.secret, self.sandbox = secret, sandbox
        self.deaths = 0
        self.faults: dict[tuple[str, str], int] = {}
        self.waiting: deque[Task] = deque()
        self.slots = [self.started() for _ in range(jobs)]

    def started(self) -> Slot:
        context = multiprocessing.get_context("spawn")
        mine, its = context.Pipe()
        arguments = (its, self.secret, self.sandbox)
        process = context.Process(target=serve, args=arguments, daemon=False)
        with environment():
            process.start()
        its.close()
        return Slot(process, mine)

    def __enter__(self) -> Pool:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for slot in self.slots:
            slot.pipe.close()  # an idle engine ends by itself, and its worker with it
        for slot in self.slots:
            if kind is None:
                slot.process.join(5)
            slot.process.terminate()
            slot.process.join()

    def grade(self, tasks: Iterable[Task]) -> Iterator[tuple[Task, list[Record]]]:
        """Yield each task with its records, in the order in which they are done.

        Raises Refused when the sandbox does not hold or the engines cannot run at all.
        """
        source = iter(tasks)
        while True:
            for slot in self.slots:
                self.feed(slot, source)
            busy = {slot.pipe: slot for slot in self.slots if slot.tasks}
            if not busy:
                return
            ready = wait(list(busy), timeout=5.0)
            for pipe in ready:
                slot = busy[pipe]  # type: ignore[index]
                try:
                    reply = slot.pipe.recv()
                except (EOFError, OSError):
                    self.replace(slot)
                    continue
                slot.heard = time.monotonic()
                if isinstance(reply, str):
                    raise Refused(reply)
                task = slot.tasks.popleft()
                if reply is None:
                    self.retry(task)
                else:
                    yield task, reply
            for slot in self.slots:
                if slot.tasks and time.monotonic() - slot.heard > SILENCE_SECONDS:
                    self.replace(slot)

    def feed(self, slot: Slot, source: Iterator[Task]) -> None:
        while len(slot.tasks) < AHEAD:
            task = self.waiting.popleft() if self.waiting else next(source, None)
            if task is None:
                return
            if not slot.tasks:
                slot.heard = time.monotonic()
            slot.tasks.append(task)
            with contextlib.suppress(OSError):  # a dead engine is noticed when it is read
                slot.pipe.send(task)

    def replace(self, slot: Slot) -> None:
        """Put a fresh engine in the place of one that died or went silent."""
        slot.process.kill()
        slot.process.join()
        slot.pipe.close()
        self.deaths += 1
        if self.deaths > DEATHS * len(self.slots):
            raise Refused(
                f"the grader's own processes end again and again (exit {slot.process.exitcode})"
            )
        if slot.tasks:
            self.retry(slot.tasks.popleft())
        self.waiting.extend(slot.tasks)
        self.slots[self.slots.index(slot)] = self.started()

    def retry(self, task: Task) -> None:
        """Give a task that the grader failed on a second try, then rows that say so."""
        owner = (task.student, task.exercise)
        self.faults[owner] = self.faults.get(owner, 0) + 1
        if self.faults[owner] == 1:
            self.waiting.append(task)
        elif self.faults[owner] == 2:
            fault = Task(task.student, task.exercise, unreadable=OWN_FAULT, fault=True)
            self.waiting.append(fault)
        else:
            raise Refused(f"the grader fails on every submission of {task.exercise}")


@contextlib.contextmanager
def environment() -> Iterator[None]:
    """Let a process start with one thread and no GPU."""
    wanted = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# --- In an engine's process -----------------------------------------------------------------------


def serve(pipe: Connection, secret: bytes, sandbox: bool) -> None:
    """Grade what comes through the pipe until it closes.

    Replies with records, with None when the grader failed on a task, or with a sentence when
    nothing can be graded here at all.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that hands out
    from mlcourse.grading.bench import Bench
    from mlcourse.grading.process import SandboxMissing

    with Bench(secret, sandbox=sandbox) as bench:
        while True:
            try:
                task = pipe.recv()
            except (EOFError, OSError):
                return
            try:
                reply: list[Record] | str | None = bench.grade(task)
            except SandboxMissing as missing:
                reply = str(missing)
            with contextlib.suppress(OSError):
                pipe.send(reply)
