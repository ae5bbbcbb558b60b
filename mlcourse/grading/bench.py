"""What an engine's process keeps at hand: the engine of the exercise that is being graded."""

from __future__ import annotations

import sys
import traceback

import torch

from mlcourse import checks, exercises
from mlcourse.grading.engine import Engine
from mlcourse.grading.notebook import read
from mlcourse.grading.pool import Task
from mlcourse.grading.process import SandboxMissing, Worker, WorkerFailed
from mlcourse.grading.results import Record


class Bench:
    """Grades tasks of any exercise; the worker stays warm while the exercise stays the same."""

    def __init__(self, secret: bytes, *, sandbox: bool) -> None:
        torch.set_num_threads(1)
        self.secret = secret
        self.sandbox = "required" if sandbox else "none"
        self.engine: Engine | None = None

    def __enter__(self) -> Bench:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker."""
        if self.engine:
            self.engine.worker.close()
            self.engine = None

    def grade(self, task: Task) -> list[Record] | None:
        """Return a task's records, or None, with a report on stderr, when the grader failed.

        Raises SandboxMissing.
        """
        try:
            engine = self.engine_for(task.exercise)
            if task.unreadable is not None:
                return engine.unreadable(task.student, task.unreadable)
            return engine.grade(task.student, task.data)
        except SandboxMissing:
            raise
        except WorkerFailed as error:
            print(f"{task.student}: {error}", file=sys.stderr)
        except Exception:
            print(f"{task.student}: {traceback.format_exc()}", file=sys.stderr)
        self.close()
        return None

    def engine_for(self, name: str) -> Engine:
        if self.engine is None or self.engine.exercise.name != name:
            self.close()
            exercise = checks.load(name)
            released = read(exercises.path(name).read_bytes())
            worker = Worker(imports=exercise.imports, sandbox=self.sandbox)
            self.engine = Engine(exercise, released, self.secret, worker)
        return self.engine
