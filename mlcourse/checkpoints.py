"""The state of a training run in a file, complete enough to continue as if never interrupted."""

from __future__ import annotations

import io
import os
import random
import zipfile
from collections.abc import Callable, Mapping, Sequence, Sized
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

FORMAT = 1

# What changes while training is progress; the rest says which run it is.
_PROGRESS = {
    *("params", "momentum", "betas"),  # a one-cycle schedule moves the last two
    *("last_epoch", "_step_count", "_last_lr", "_is_initial", "_get_lr_called_within_step"),
    *("T_cur", "T_i"),
}


def random_states(batches: object) -> dict[str, Any]:
    """Return the states of the generators of Python, NumPy, torch, and of `batches.generator`."""
    own = _generator(batches)
    numpy = np.random.get_state(legacy=False)
    return {
        "python": random.getstate(),
        "numpy": (
            numpy["state"]["key"].tolist(),
            *(numpy["state"]["pos"], numpy["has_gauss"], numpy["gauss"]),
        ),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "batches": own.get_state() if own else None,
    }


def restore_random_states(states: Mapping[str, Any], batches: object) -> None:
    """Put back what `random_states(batches)` returned."""
    random.setstate(states["python"])
    np.random.set_state(("MT19937", *states["numpy"]))
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
    if (own := _generator(batches)) and states["batches"] is not None:
        own.set_state(states["batches"])


def _generator(batches: object) -> torch.Generator | None:
    return getattr(batches, "generator", None)


def write(path: str | os.PathLike[str], state: Mapping[str, Any]) -> None:
    """Write a state so that at any moment the file is the old one or the new one."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        torch.save(state, part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read(path: str | os.PathLike[str]) -> Any:
    """Return what a file of `write` holds, on the CPU.

    Raises ValueError for a file that is damaged or was not written by torch.
    """
    content = io.BytesIO(Path(path).read_bytes())
    try:
        # torch reads a file whose checksums are wrong.
        if (part := zipfile.ZipFile(content).testzip()) is not None:
            raise zipfile.BadZipFile(part)
        content.seek(0)
        return torch.load(content, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a file that is not what it wrote
        raise ValueError(
            f"{path} is damaged or no checkpoint: delete it, or give another path"
        ) from error


@dataclass(frozen=True)
class Run:
    """Everything that changes while a model trains."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler | None
    scaler: torch.amp.GradScaler
    batches: object

    def settings(
        self, *, loss: Callable[..., Any], precision: str, columns: Sequence[str]
    ) -> dict[str, str]:
        """Say in words which run this is: two runs with other settings must not continue."""
        size = len(self.batches) if isinstance(self.batches, Sized) else "unknown"
        return {
            **{
                f"the model's {name}": f"{tuple(tensor.shape)} {tensor.dtype}"
                for name, tensor in self.model.state_dict().items()
            },
            "the optimizer": type(self.optimizer).__name__,
            **{f"the optimizer's {k}": str(_plain(v)) for k, v in self.optimizer.defaults.items()},
            "the schedule": type(self.schedule).__name__ if self.schedule else "absent",
            **{f"the schedule's {k}": str(v) for k, v in _plain(_state(self.schedule)).items()},
            "the optimizer's parameter groups": str(_plain(self._groups())),
            "the loss": _name(loss),
            "the precision": precision,
            "the number of batches": str(size),
            "evaluate_on": ", ".join(columns) or "nothing",
        }

    def save(
        self,
        path: str | os.PathLike[str],
        settings: Mapping[str, str],
        history: Mapping[str, list[float]],
    ) -> None:
        """Write the run's state so that at any moment the file is the old one or the new one."""
        state = {
            "format": FORMAT,
            "settings": dict(settings),
            "history": dict(history),
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": _state(self.schedule),
            "scaler": self.scaler.state_dict(),
            "random": random_states(self.batches),
        }
        write(path, state)

    def load(
        self, path: str | os.PathLike[str], settings: Mapping[str, str], epochs: int
    ) -> dict[str, list[float]]:
        """Put the run in the file's state and return its history.

        Raises ValueError, before anything has changed, when the file is damaged, was written with
        other settings, or holds more than `epochs` epochs.
        """
        state = read(path)
        if not isinstance(state, dict) or state.get("format") != FORMAT:
            raise ValueError(
                f"{path} was not written by train_model of this version: give another path"
            )
        for what in [*settings, *state["settings"]]:
            here, there = (s.get(what, "absent") for s in (settings, state["settings"]))
            if here != there:
                raise ValueError(
                    f"the checkpoint {path} belongs to another run: {what} is {there} there and "
                    f"{here} here; give the same settings, or another path"
                )
        done = len(next(iter(state["history"].values())))
        if done > epochs:
            raise ValueError(
                f"the checkpoint {path} holds {done} epochs and {epochs} are asked for: "
                "ask for more, or give another path"
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.scaler.load_state_dict(state["scaler"])
        restore_random_states(state["random"], self.batches)
        return state["history"]

    def _groups(self) -> list[dict[str, Any]]:
        """Each parameter group's settings: with a schedule, the rate that it started from."""
        return [
            {name: value for name, value in group.items() if name != "lr" or not self.schedule}
            for group in self.optimizer.param_groups
        ]


def _state(schedule: LRScheduler | None) -> dict[str, Any]:
    return schedule.state_dict() if schedule is not None else {}


def _plain(value: Any) -> Any:
    """Leave out progress and what has no repeatable text, such as functions."""
    if isinstance(value, Mapping):
        return {name: _plain(v) for name, v in value.items() if name not in _PROGRESS}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, torch.Tensor):
        return value.tolist()
    return value if isinstance(value, int | float | str | None) else type(value).__name__


def _name(loss: Callable[..., Any]) -> str:
    if isinstance(loss, partial):
        return f"{_name(loss.func)} with {_plain(loss.keywords)}"
    return getattr(loss, "__name__", type(loss).__name__)
