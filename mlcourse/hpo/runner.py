"""Run a search: ask, evaluate, tell, until a limit is reached; in parallel, and through kills."""

from __future__ import annotations

import math
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mlcourse.hpo import arguments
from mlcourse.hpo.history import Outcome, SearchHistory
from mlcourse.hpo.journal import Journal
from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.workers import Here, Objective, Processes

# So many first trials that fail alike are one mistake, and not so many bad configurations.
_ALIKE = 3
# Budgets such as 40 / 3 add up to whole numbers only nearly.
_ROUNDING = 1e-6


def run(
    method: Method,
    objective: Objective,
    trials: int | None = None,
    epochs: float | None = None,
    jobs: int = 1,
    journal: str | os.PathLike[str] | None = None,
    progress: bool | None = None,
) -> SearchHistory:
    """Search: evaluate what the method asks for, tell it the values, and return what happened.

    `objective(trial)` gets a Trial (`config`, `budget` in epochs, `number`, `parent`) and returns
    its loss, lower for better (for an accuracy, 1 - accuracy). The search ends after `trials`
    evaluations, when the budgets add up to `epochs` (no trial is started that would go over), or
    when the method is finished, whatever comes first. A method without an end needs one of the
    limits. With `jobs` processes so many trials run at the same time, each on one thread; what they
    give may depend on who is first.

    With a `journal`, a file, a search that was killed continues where it stood, and a longer limit
    lets a finished one go on: what has a value is not evaluated again, and what was under way is.
    With one job the result is that of a search that never stopped. Both limits count the whole
    search. Give the method as new: it learns the trials from the journal.

    A value that is nan is infinite, and so is that of an objective that raises: its message is in
    the history's `error`, and the search goes on. A process that ends without a value, perhaps for
    want of memory, costs its trial a second try, then its value. A bar shows on a terminal, or as
    `progress` says. Ctrl-C ends the search and leaves a complete journal.

    Raises ValueError when the limits or jobs are no positive numbers, when the first three trials
    fail with the same message (the journal then forgets them), for a budget of None with a limit of
    epochs, and for a journal that is in use, damaged, or another search's.
    """
    _check(method, trials, epochs, jobs, journal)
    shown = sys.stderr.isatty() if progress is None else progress
    with ExitStack() as stack:
        book = stack.enter_context(Journal(journal, method)) if journal is not None else None
        workers = Here(objective) if jobs == 1 else Processes(objective, jobs)
        stack.enter_context(closing(workers))
        search = _Search(method, workers, book, trials, epochs)
        advance = stack.enter_context(_bar(trials, epochs, shown))
        advance(search.history)
        for history in search.steps():
            advance(history)
    return search.history


class _Search:
    """A search under way: what has been told, and what is with the workers."""

    def __init__(
        self,
        method: Method,
        workers: Here | Processes,
        journal: Journal | None,
        trials: int | None,
        epochs: float | None,
    ) -> None:
        self.method, self.workers, self.journal = method, workers, journal
        self.trials = math.inf if trials is None else trials
        self.epochs = math.inf if epochs is None else epochs * (1 + _ROUNDING)
        self.history = SearchHistory()
        self.started = 0
        self.budget = 0.0  # of all that started, told or not
        self.over = False
        self._resume()
        self.again = deque(trial for _, trial in sorted(method.pending.items()))

    def steps(self) -> Iterator[SearchHistory]:
        """Evaluate until the search is over; yield the history after each trial."""
        while True:
            while self.workers.free and (trial := self._next()) is not None:
                self.workers.start(trial)
            if self.started == self.history.trials:
                return
            self._record(*self.workers.wait())
            yield self.history

    def _resume(self) -> None:
        """Learn what the journal, or else the method, knows of earlier trials."""
        known: list[tuple[Trial, Outcome | None]]
        if self.journal is None:
            known = [(result.trial, Outcome(result.value)) for result in self.method.results]
        else:
            known = self.journal.events
            values = (None if outcome is None else outcome.value for _, outcome in known)
            self.method.resume(zip((trial for trial, _ in known), values, strict=True))
        for trial, outcome in known:
            if outcome is not None:
                self._count(trial)
                self.history.append(trial, outcome)

    def _next(self) -> Trial | None:
        """Return the trial to start now, or None: later, or never again."""
        if self.over or self.started >= self.trials:
            return None
        new = not self.again
        trial = self._ask() if new else self.again.popleft()
        if trial is None:
            return None
        if not self._affordable(trial):
            self.over = True
            return None
        if new and self.journal is not None:
            self.journal.asked(trial)
        self._count(trial)
        return trial

    def _ask(self) -> Trial | None:
        if self.method.finished:
            return None
        trial = self.method.ask()
        if trial is None and self.started == self.history.trials and not self.method.finished:
            raise ValueError(
                f"{type(self.method).__name__} asks for no trial although none is under way: its "
                "ask() must return a trial, or its finished must become True"
            )
        return trial

    def _affordable(self, trial: Trial) -> bool:
        if self.epochs < math.inf and trial.budget is None:
            raise ValueError(
                f"trial {trial.number} has no budget, so epochs cannot be counted: limit trials"
            )
        return self.budget + (trial.budget or 0) <= self.epochs

    def _count(self, trial: Trial) -> None:
        self.started += 1
        self.budget += trial.budget or 0

    def _record(self, trial: Trial, outcome: Outcome) -> None:
        if self.journal is not None:
            self.journal.told(trial, outcome)
        self.method.tell(trial, outcome.value)
        self.history.append(trial, outcome)
        self._stop_if_nothing_works(outcome)

    def _stop_if_nothing_works(self, last: Outcome) -> None:
        errors = self.history["error"]
        if len(errors) != min(_ALIKE, self.trials) or len(set(errors)) > 1 or errors[0] is None:
            return
        if self.journal is not None:
            self.journal.clear()
        several = f"the first {len(errors)} trials" if len(errors) > 1 else "the only trial"
        stop = ValueError(f"{several} failed with {errors[0]!r}: correct the objective")
        stop.add_note(last.traceback)
        raise stop


def _check(
    method: Method,
    trials: int | None,
    epochs: float | None,
    jobs: int,
    journal: str | os.PathLike[str] | None,
) -> None:
    if not isinstance(method, Method):
        raise ValueError(f"the method is {method!r}: make one first, such as Random(space)")
    arguments.integer("jobs", jobs, 1)
    if trials is not None:
        arguments.integer("trials", trials, 1)
    if epochs is not None:
        arguments.above("epochs", epochs, 0)
    if trials is None and epochs is None and type(method).finished is Method.finished:
        raise ValueError(f"{type(method).__name__} never ends by itself: give trials or epochs")
    if journal is not None and (method.results or method.pending):
        raise ValueError(
            "the method has trials already: give a new one, which learns those of the journal"
        )


@contextmanager
def _bar(
    trials: int | None, epochs: float | None, shown: bool
) -> Iterator[Callable[[SearchHistory], None]]:
    """Yield a function to call after each trial. A bar that is not shown must print nothing."""
    if not shown:
        yield lambda history: None
        return
    columns = (
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=trials if trials is not None else epochs)

        def advance(history: SearchHistory) -> None:
            spent = history["epochs"][-1] if history.trials else 0.0
            done = history.trials if trials is not None else spent
            bar.update(task, completed=done, description=_summary(history))

        yield advance


def _summary(history: SearchHistory) -> str:
    if not history.trials:
        return "0 trials"
    best, spent = history.best["value"], history["epochs"][-1]
    epochs = "" if math.isnan(spent) else f"  {spent:.4g} epochs"
    return f"{history.trials} trials{epochs}  best {best:.4g}"
