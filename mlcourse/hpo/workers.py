"""Where objectives are evaluated: in this process, or in several others at the same time.

Both kinds of workers are used in the same way: `start` a trial while `free`, then `wait` for one.
"""

from __future__ import annotations

import math
import os
import pickle
import signal
import threading
import time
import traceback
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import replace
from functools import cache
from textwrap import shorten
from typing import Any

from joblib.externals.loky.backend.reduction import dumps
from joblib.externals.loky.process_executor import (
    BrokenProcessPool,
    ProcessPoolExecutor,
    TerminatedWorkerError,
)

from mlcourse.hpo import arguments
from mlcourse.hpo.history import Outcome
from mlcourse.hpo.method import Trial

Objective = Callable[[Trial], float]

_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
_ENDED = "the process that evaluated it ended twice without a value: perhaps memory ran out"
# In another process: the objective as it came, and how often to look whether the parent lives.
_sent = b""
_SECONDS = 0.5


def evaluate(objective: Objective, trial: Trial) -> Outcome:
    """Return the value of a trial; nan is infinite, and so is the value of one that raises."""
    start = time.perf_counter()
    try:
        # A copy: an objective may change its configuration, and the method must not notice.
        value, error, trace = _loss(objective(replace(trial, config=dict(trial.config)))), None, ""
    except Exception as caught:
        value, trace = math.inf, traceback.format_exc()
        error = f"{type(caught).__name__}: {' '.join(str(caught).split())}"
    return Outcome(value, time.perf_counter() - start, error, trace)


def _loss(returned: Any) -> float:
    loss = arguments.loss(returned)
    if loss is None:
        raise ValueError(f"the objective returned {_short(returned)}: return a number")
    return loss


def _short(value: object) -> str:
    return shorten(repr(value), 60, placeholder=" ...")


class Here:
    """One trial at a time, in this process."""

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.started: list[Trial] = []

    @property
    def free(self) -> bool:
        """Whether another trial can be started."""
        return not self.started

    def start(self, trial: Trial) -> None:
        """Take a trial; `wait` evaluates it."""
        self.started.append(trial)

    def wait(self) -> tuple[Trial, Outcome]:
        """Evaluate the trial that was started."""
        outcome = evaluate(self.objective, self.started[0])
        return self.started.pop(), outcome

    def close(self) -> None:
        """Do nothing: there is nothing to end."""


class Processes:
    """Up to `jobs` trials at the same time, each in a process with one thread for arithmetic.

    The processes are loky's (joblib's), so that an objective from a notebook will do; it is sent to
    each process once. A process that ends without a value, for example because memory ran out,
    costs its trial one more try, and then its value. Raises ValueError for an objective that cannot
    be sent.
    """

    def __init__(self, objective: Objective, jobs: int) -> None:
        self.jobs = jobs
        try:
            self._sent = bytes(dumps(objective))
        except Exception as error:
            raise ValueError(
                f"the objective cannot be sent to other processes ({error}): "
                "open files and the like inside it, or use jobs=1"
            ) from error
        # One pool for each process: when it breaks, we know whose trial broke it.
        self._idle: list[ProcessPoolExecutor] = []
        self._busy: dict[Future[Outcome], tuple[ProcessPoolExecutor, Trial, int]] = {}

    @property
    def free(self) -> bool:
        """Whether another trial can be started."""
        return len(self._busy) < self.jobs

    def start(self, trial: Trial) -> None:
        """Begin to evaluate a trial."""
        self._submit(trial, tries=1)

    def wait(self) -> tuple[Trial, Outcome]:
        """Wait until a trial that was started is done."""
        while True:
            done, _ = wait(self._busy, return_when=FIRST_COMPLETED)
            future = min(done, key=lambda future: self._busy[future][1].number)
            pool, trial, tries = self._busy.pop(future)
            error = future.exception()
            if error is None:
                self._idle.append(pool)
                return trial, future.result()
            pool.shutdown(kill_workers=True)
            if not isinstance(error, TerminatedWorkerError | SystemExit):
                raise ValueError(
                    f"the objective cannot be loaded in another process ({error}): "
                    "define it in a module that can be imported, or use jobs=1"
                ) from error
            if tries == 2:
                return trial, Outcome(math.inf, error=_ENDED)
            self._submit(trial, tries + 1)

    def close(self) -> None:
        """End all processes at once, whatever they are doing."""
        for pool in [*self._idle, *(pool for pool, _, _ in self._busy.values())]:
            pool.shutdown(kill_workers=True)

    def _submit(self, trial: Trial, tries: int) -> None:
        pool = self._idle.pop() if self._idle else self._pool()
        try:
            future = pool.submit(_evaluate, trial)
        except BrokenProcessPool:  # it was killed while it had nothing to do
            pool = self._pool()
            future = pool.submit(_evaluate, trial)
        self._busy[future] = (pool, trial, tries)

    def _pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(
            1, initializer=_prepare, initargs=(self._sent, os.getpid()), env=_ONE_THREAD
        )


def _prepare(sent: bytes, parent: int) -> None:
    """Get a new process ready: Ctrl-C is its parent's business, and it must not outlive that."""
    global _sent
    _sent = sent
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if os.name == "posix":
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()


def _follow(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_SECONDS)
    os._exit(1)


def _evaluate(trial: Trial) -> Outcome:
    return evaluate(_loaded(), trial)


@cache
def _loaded() -> Objective:
    objective: Objective = pickle.loads(_sent)
    return objective
