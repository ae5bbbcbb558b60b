"""The methods as Optuna's samplers, and halving as its pruner: for searches with many workers.

A worker is a process that does this. Start as many as you like; each may end, or be killed, at any
time:

    space = {"lr": {"low": 1e-4, "high": 1.0, "log": True}, "width": (1, 32)}
    study = optuna.create_study(
        study_name="widths",
        storage=rdb_storage("sqlite:///search.db"),
        sampler=MethodSampler(partial(TPE, space, seed=0)),
        load_if_exists=True,
    )
    study.optimize(
        lambda trial: loss(configuration(trial, space)),
        callbacks=[optuna.study.MaxTrialsCallback(100)],
    )

To watch them: `pip install optuna-dashboard`, then `optuna-dashboard sqlite:///search.db`.

SQLite is for the workers of one machine. For several, give `rdb_storage` the address of a
PostgreSQL or MySQL server, or use a file that all can reach, `JournalStorage(JournalFileBackend(
"search.log"))`; a journal has no heartbeat, so let each worker call `requeue_stale` now and then.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from zlib import crc32

import numpy as np

from mlcourse.hpo import arguments
from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.space import Choice, Config, Parameter, Range, Space, Value, exists

try:
    import optuna
except ImportError as error:
    raise ImportError("Optuna is not installed: pip install 'mlcourse[search]'") from error

from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from mlcourse.hpo.optuna_pruner import HalvingPruner, sign
from mlcourse.hpo.optuna_storages import rdb_storage, requeue_stale

__all__ = [
    "HalvingPruner",
    "MethodSampler",
    "asked",
    "configuration",
    "distributions",
    "rdb_storage",
    "requeue_stale",
]

# The system attribute of an Optuna trial that holds what the method asked for.
_ASKED = "mlcourse:asked"
_FILLER = {"filler": True}
_POLL = 0.05


def distributions(space: Space | Mapping[str, Any]) -> dict[str, BaseDistribution]:
    """Return the Optuna distribution of each parameter, by name.

    Conditions are not among them: Optuna learns which parameters exist when they are suggested.
    Raises ValueError for choices that Optuna takes for the same, such as 1 and True.
    """
    return {parameter.name: _distribution(parameter) for parameter in Space.of(space).parameters}


def configuration(trial: optuna.trial.BaseTrial, space: Space | Mapping[str, Any]) -> Config:
    """Return a trial's configuration, suggesting each parameter of the space that exists.

    It takes any trial of Optuna, whatever its sampler. Raises ValueError as `distributions`.
    """
    config: Config = {}
    for parameter in Space.of(space).parameters:
        if exists(parameter, config):
            config[parameter.name] = _suggested(trial, parameter)
    return config


def asked(trial: optuna.Trial, space: Space | Mapping[str, Any]) -> Trial:
    """Return what the method of a `MethodSampler` asked for: the trial that `run` would evaluate.

    Its configuration is suggested to Optuna on the way. A trial that a killed worker had begun
    keeps its first number, so that its checkpoint is found; one that no method asked for
    (`enqueue_trial`) has no budget and no parent.
    """
    config = configuration(trial, space)
    record = trial.storage.get_trial_system_attrs(trial._trial_id).get(_ASKED)
    return Trial(**(record or {"number": trial.number}) | {"config": config})


class MethodSampler(optuna.samplers.BaseSampler):
    """A search method of the course as an Optuna sampler, for one value, lowest or highest.

    `factory` makes the method, and makes it anew for each trial: what a method knows is its trials,
    and those are in Optuna's storage. So workers share one search, and a new worker goes on where
    others stopped. A failed trial (the objective raised, or Ctrl-C ended it) counts as infinite; a
    pruned one has the value that it reported last, and one that was enqueued by hand is learnt from
    if it belongs to the space. Optuna's `best_trial` knows no budgets: with a method that asks for
    several, compare the trials of the largest.

    Workers ask in turn, the trial with the lowest number first, so each sees all that was asked
    before. When the method has nothing to ask because others' values are missing, a worker waits up
    to `patience` seconds for them, and then evaluates a random configuration on the smallest budget
    instead (its note says `filler`). When the method is finished and none of its trials is under
    way, the study stops. (Where one thread asks for many trials before it tells a value, waiting is
    of no use: patience 0.) Raises ValueError when the factory makes no method, patience is
    negative, or the space has choices that Optuna takes for the same.
    """

    def __init__(self, factory: Callable[[], Method], patience: float = 10.0) -> None:
        method = factory() if callable(factory) else factory
        if not callable(factory) or not isinstance(method, Method):
            raise ValueError(
                f"the factory is {factory!r}: give a function that makes a method, "
                "such as partial(Random, space)"
            )
        self._factory = factory
        self._patience = arguments.number("patience", patience, 0)
        self._distributions = distributions(method.space)

    def before_trial(self, study: Study, trial: FrozenTrial) -> None:
        """Ask the method for this trial and store what it asks, unless that is settled."""
        if len(study.directions) > 1:
            raise ValueError(
                f"the study has {len(study.directions)} directions: a method minimises one value"
            )
        if not _settled(trial):
            _store(study, trial, self._ask(study, trial))

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the whole space."""
        return self._distributions

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Return the configuration that was asked for: none in a trial enqueued by hand."""
        record = _record(study, trial)
        return dict(record["config"]) if record else {}

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Return a random value for what a trial enqueued by hand leaves open.

        Raises ValueError in other trials: the objective suggests what their configuration lacks.
        """
        record = _record(study, trial)
        if record:
            raise ValueError(
                f"trial {trial.number} is {record['config']}, without {param_name} in "
                f"{param_distribution}: suggest what the space says, "
                "as configuration(trial, space) does"
            )
        seed = crc32(f"{trial.number} {param_name}".encode())
        random = optuna.samplers.RandomSampler(seed)
        return random.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self,
        study: Study,
        trial: FrozenTrial,
        state: TrialState,
        values: Sequence[float] | None,
    ) -> None:
        """Stop the study when the method is finished and all of its trials have values."""
        method = self._method(study, _trials(study))
        record = _record(study, trial)
        if record and record["number"] in method.pending:
            done = method.pending[record["number"]]
            method.tell(done, _loss(study, state, values))
        if method.finished and not _own(method.pending.values()):
            # With ask and tell there is no loop to stop.
            with suppress(RuntimeError):
                study.stop()

    def _ask(self, study: Study, trial: FrozenTrial) -> Trial:
        deadline = time.monotonic() + self._patience
        while True:
            trials = _trials(study)
            late = time.monotonic() >= deadline
            if late or not _before(trials, trial, self._patience):
                method = self._method(study, trials)
                if (proposal := method.ask(trial.number)) is not None:
                    return proposal
                if late or not method.pending:
                    return _filler(method, trial.number)
            time.sleep(_POLL)

    def _method(self, study: Study, trials: Iterable[FrozenTrial]) -> Method:
        """Return the method as it stands after the trials of a study."""
        method = self._factory()
        known: dict[int, tuple[Trial, float | None]] = {}
        for frozen in trials:
            trial = _learnt(frozen, method.space)
            if trial is not None:
                # A later attempt at a trial has its number, and replaces it.
                known[trial.number] = trial, _known_loss(study, frozen)
        method.resume(known.values())
        return method


# Spaces


def _distribution(parameter: Parameter) -> BaseDistribution:
    if isinstance(parameter, Range):
        low, high, log = parameter.low, parameter.high, parameter.log
        if parameter.integer:
            return IntDistribution(int(low), int(high), log)
        return FloatDistribution(low, high, log)
    return _categories(parameter)


def _categories(parameter: Choice) -> CategoricalDistribution:
    for i, value in enumerate(parameter.choices):
        if value in parameter.choices[:i]:
            raise ValueError(
                f"{parameter.name} has the choice {value!r}, which Optuna takes for "
                f"{parameter.choices[parameter.choices.index(value)]!r}: write them as text"
            )
    return CategoricalDistribution(parameter.choices)


def _suggested(trial: optuna.trial.BaseTrial, parameter: Parameter) -> Value:
    name = parameter.name
    if isinstance(parameter, Choice):
        choices = _categories(parameter).choices
        return trial.suggest_categorical(name, choices)
    if parameter.integer:
        return trial.suggest_int(name, int(parameter.low), int(parameter.high), log=parameter.log)
    return trial.suggest_float(name, parameter.low, parameter.high, log=parameter.log)


# Optuna's trials, and ours


def _trials(study: Study) -> list[FrozenTrial]:
    # Not get_trials: beside Optuna's HyperbandPruner that shows one bracket only.
    return study._storage.get_all_trials(study._study_id, deepcopy=False)


def _record(study: Study, trial: FrozenTrial) -> dict[str, Any] | None:
    # The trial that a sampler is given is a copy from before it stored anything.
    return study._storage.get_trial_system_attrs(trial._trial_id).get(_ASKED)


def _store(study: Study, trial: FrozenTrial, asked: Trial) -> None:
    record: dict[str, Any] = {
        "number": asked.number,
        "config": asked.config,
        "budget": asked.budget,
        "parent": asked.parent,
        "note": dict(asked.note),
    }
    study._storage.set_trial_system_attr(trial._trial_id, _ASKED, record)


def _settled(trial: FrozenTrial) -> bool:
    """Whether a trial's configuration is known: asked for, enqueued by hand, or suggested."""
    return (
        _ASKED in trial.system_attrs or "fixed_params" in trial.system_attrs or bool(trial.params)
    )


def _before(trials: Iterable[FrozenTrial], trial: FrozenTrial, patience: float) -> bool:
    """Whether a trial with a lower number is about to be asked for, by a worker that lives."""
    oldest = datetime.now() - timedelta(seconds=patience)
    return any(
        other.number < trial.number
        and other.state == TrialState.RUNNING
        and not _settled(other)
        and (other.datetime_start is None or other.datetime_start > oldest)
        for other in trials
    )


def _learnt(frozen: FrozenTrial, space: Space) -> Trial | None:
    """Return what a method learns of a trial of Optuna: None when it is nothing."""
    if _ASKED in frozen.system_attrs:
        return Trial(**frozen.system_attrs[_ASKED])
    if frozen.state not in (TrialState.COMPLETE, TrialState.PRUNED):
        return None
    try:
        space.check(frozen.params)
    except ValueError:
        return None
    return Trial(frozen.number, frozen.params)


def _known_loss(study: Study, frozen: FrozenTrial) -> float | None:
    return _loss(study, frozen.state, frozen.values) if frozen.state.is_finished() else None


def _loss(study: Study, state: TrialState, values: Sequence[float] | None) -> float:
    if state == TrialState.FAIL or values is None:
        return math.inf
    return sign(study) * values[0]


def _filler(method: Method, number: int) -> Trial:
    """Return a random configuration, on the smallest budget that the method has asked for."""
    known = [*method.pending.values(), *(result.trial for result in method.results)]
    budgets = [trial.budget for trial in known if trial.budget is not None]
    config = method.space.sample(np.random.default_rng([method.seed, number]))
    return Trial(number, config, min(budgets, default=None), note=_FILLER)


def _own(trials: Iterable[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.note != _FILLER]
