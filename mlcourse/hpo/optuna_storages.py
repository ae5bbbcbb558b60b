"""Storages of Optuna whose trials survive the workers that evaluate them."""

from __future__ import annotations

import copy
import time
import warnings
from collections.abc import Callable
from datetime import datetime, timedelta

import sqlalchemy
from optuna.exceptions import (
    ExperimentalWarning,
    StorageInternalError,
    UpdateFinishedTrialError,
)
from optuna.storages import RDBStorage, RetryHeartbeatStaleTrialCallback
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from mlcourse.hpo import arguments


def rdb_storage(url: str, heartbeat: int = 60, retries: int = 3) -> RDBStorage:
    """Return a database storage whose workers take over the trials of a killed one.

    Each worker gives a sign of life every `heartbeat` seconds; after two without one its trial
    fails, and the next free worker gets it again, `retries` times at most. `url` is SQLAlchemy's:
    `sqlite:///search.db`, `postgresql://...`. In SQLite each transaction takes the write lock when
    it begins, waiting up to a minute: then no transaction finds the database locked half-way, and
    no two workers take the same trial. Raises ValueError for a heartbeat below 1
    and negative retries.
    """
    arguments.integer("heartbeat", heartbeat, 1)
    sqlite = url.startswith("sqlite")
    retry = _retry(retries)
    storage = _patiently(
        lambda: RDBStorage(
            url,
            engine_kwargs={"connect_args": {"timeout": 60}} if sqlite else {},
            heartbeat_interval=heartbeat,
            heartbeat_stale_trial_callback=retry,
        )
    )
    if sqlite:
        sqlalchemy.event.listen(storage.engine, "begin", _lock)
    return storage


def requeue_stale(study: Study, seconds: float, retries: int = 3) -> list[int]:
    """Put trials that began more than `seconds` ago and have no value back into the queue.

    For storages without a heartbeat: call it when a worker starts, and after each trial
    (`callbacks=[lambda study, trial: requeue_stale(study, 3600)]`). In a database it finds what the
    heartbeat misses, the trial of a worker that was killed before its first sign of life. Each such
    trial fails, and is evaluated again by the next free worker, `retries` times at most. Give more
    seconds than the longest trial takes: a worker that still runs one gets an error from Optuna
    when it tells the value. The machines' clocks must agree. Returns the numbers of the failed
    trials. Raises ValueError unless seconds is a positive, finite number, and for negative retries.
    """
    oldest = datetime.now() - timedelta(seconds=arguments.above("seconds", seconds, 0))
    stale = [
        trial
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        if trial.datetime_start is not None and trial.datetime_start < oldest
    ]
    retry = _retry(retries)
    return [trial.number for trial in stale if _requeued(study, trial, retry)]


def _patiently(make: Callable[[], RDBStorage]) -> RDBStorage:
    """Make a storage, also while another worker makes the same tables."""
    with warnings.catch_warnings():
        # That the heartbeat is experimental.
        warnings.simplefilter("ignore", ExperimentalWarning)
        for _ in range(20):
            try:
                return make()
            except (sqlalchemy.exc.DBAPIError, StorageInternalError):
                time.sleep(0.1)
        return make()


def _lock(connection: sqlalchemy.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _retry(retries: int) -> RetryHeartbeatStaleTrialCallback:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        return RetryHeartbeatStaleTrialCallback(max_retry=arguments.integer("retries", retries, 0))


def _requeued(study: Study, trial: FrozenTrial, retry: RetryHeartbeatStaleTrialCallback) -> bool:
    """Fail a trial and put it into the queue, unless another worker did or it has ended."""
    storage = study._storage
    try:
        storage.set_trial_state_values(trial._trial_id, state=TrialState.FAIL)
    except UpdateFinishedTrialError:
        return False
    retry(study, copy.deepcopy(storage.get_trial(trial._trial_id)))
    return True
