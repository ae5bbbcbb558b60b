"""A search in a file, complete at each moment: what was asked for, and what came of it.

A journal is text, one JSON object a line. The first line says which search it is; then come, in
the order in which they happened, `{"asked": trial}` and `{"told": number, "value": ...}`. Each line
is on the disk before the search goes on, so a kill costs half a line at most. JSON knows no
infinity: floats that are not finite are written as `{"$float": "inf"}`.
"""

from __future__ import annotations

import inspect
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import IO, Any

import numpy as np

from mlcourse.hpo.history import Outcome
from mlcourse.hpo.method import Method, Trial

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

FORMAT = 1
_START = b'{"journal": '
# Windows locks bytes, and nobody may read them: take one where no journal reaches.
_FAR = 1 << 40


class Journal:
    """The journal of one search: read when it is opened, then only appended to.

    `events` are the trials of the search so far as (trial, None) when it was asked for and
    (trial, outcome) when its value came. Half a line at the end, which a kill leaves, is dropped.
    While it is open no other process can open it. Raises ValueError when one has it open, and when
    the file is no journal, is damaged, or is that of another method, seed or space.
    """

    def __init__(self, path: str | os.PathLike[str], method: Method) -> None:
        self.path = Path(path)
        self.events: list[tuple[Trial, Outcome | None]] = []
        self._trials: dict[int, Trial] = {}
        self._header = describe(method)
        self._file = self.path.open("a+b")
        try:
            _lock(self._file, self.path)
            self._read()
        except BaseException:
            self._file.close()
            raise

    def asked(self, trial: Trial) -> None:
        """Write down that a trial starts."""
        self._write({"asked": asdict(trial)})

    def told(self, trial: Trial, outcome: Outcome) -> None:
        """Write down what came of a trial."""
        told = {"value": outcome.value, "seconds": outcome.seconds, "error": outcome.error}
        self._write({"told": trial.number, **told})

    def clear(self) -> None:
        """Forget all trials: the search has not begun."""
        self._file.truncate(0)
        self._write(self._header)

    def __enter__(self) -> Journal:
        """Return the journal."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the file, so that others can open it."""
        self._file.close()

    def _write(self, line: dict[str, Any]) -> None:
        self._file.write(json.dumps(_plain(line), allow_nan=False).encode("ascii") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def _read(self) -> None:
        self._file.seek(0)
        lines = self._file.read().splitlines(keepends=True)
        if lines and not (lines[0].startswith(_START) or _START.startswith(lines[0])):
            raise ValueError(f"{self.path} is no journal of a search: give another path")
        if lines and not lines[-1].endswith(b"\n"):
            lines.pop()
            self._file.truncate(sum(map(len, lines)))
        if not lines:
            self._write(self._header)
            return
        self._check(self._parse(lines[0], 1))
        for number, line in enumerate(lines[1:], 2):
            self._take(self._parse(line, number), number)

    def _parse(self, line: bytes, number: int) -> dict[str, Any]:
        try:
            found = json.loads(line, object_hook=_special)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise self._damaged(number)
        return found

    def _take(self, line: dict[str, Any], number: int) -> None:
        try:
            if "asked" in line:
                trial = Trial(**line["asked"])
                self._trials[trial.number] = trial
                self.events.append((trial, None))
            else:
                outcome = Outcome(float(line["value"]), float(line["seconds"]), line["error"])
                self.events.append((self._trials[line["told"]], outcome))
        except (KeyError, TypeError, ValueError):
            raise self._damaged(number) from None

    def _damaged(self, number: int) -> ValueError:
        return ValueError(
            f"line {number} of the journal {self.path} is damaged: give another path, or remove "
            "the line and all that follow, whose trials are then evaluated again"
        )

    def _check(self, found: dict[str, Any]) -> None:
        for name in ("journal", "method", "seed", "arguments", "space"):
            there, here = found.get(name), self._header[name]
            if _text(there) != _text(here):
                what, there, here = _difference(name, there, here)
                raise ValueError(
                    f"the journal {self.path} is that of another search, with {what} {there} and "
                    f"not {here}: give another path, or the method that it began with"
                )


def describe(method: Method) -> dict[str, Any]:
    """Return which search this is, as JSON can hold it: a journal's first line.

    A method's arguments are read from its attributes of the same names. Raises ValueError when
    one is missing.
    """
    kind = type(method)
    arguments = {}
    for name in inspect.signature(kind).parameters:
        if name in ("space", "seed"):
            continue
        if not hasattr(method, name):
            raise ValueError(
                f"{kind.__name__} does not keep its argument {name}: "
                f"a journal needs it as the attribute {name}"
            )
        arguments[name] = _argument(getattr(method, name))
    return {
        "journal": FORMAT,
        "method": f"{kind.__module__}.{kind.__qualname__}",
        "seed": method.seed,
        "arguments": arguments,
        "space": method.space.definition,
        "version": metadata.version("mlcourse"),
    }


def _argument(value: Any) -> Any:
    try:
        return _plain(value)
    except ValueError:
        return repr(value)


def _difference(name: str, there: Any, here: Any) -> tuple[str, str, str]:
    """Return what differs, in words, and the two sides of it."""
    if name in ("arguments", "space") and isinstance(there, dict):
        for key in [*here, *there]:
            sides = [_text(side[key]) if key in side else "missing" for side in (there, here)]
            if sides[0] != sides[1]:
                what = "the argument" if name == "arguments" else "the parameter"
                return f"{what} {key}", sides[0], sides[1]
        return "its parameters in the order", ", ".join(there), ", ".join(here)
    return f"the {'format' if name == 'journal' else name}", _text(there), _text(here)


def _text(data: Any) -> str:
    """Return JSON: other than ==, it tells 1, 1.0 and True apart, and the orders of two dicts."""
    return json.dumps(_plain(data))


def _plain(data: Any) -> Any:
    if isinstance(data, np.generic):
        data = data.item()
    if isinstance(data, Mapping):
        return {str(key): _plain(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_plain(value) for value in data]
    if isinstance(data, float) and not math.isfinite(data):
        return {"$float": str(data)}
    if isinstance(data, str | int | float | None):
        return data
    raise ValueError(
        f"a journal cannot hold {data!r}: use numbers, text, lists and dicts in a trial"
    )


def _special(data: dict[str, Any]) -> Any:
    return float(data["$float"]) if "$float" in data else data


def _lock(file: IO[bytes], path: Path) -> None:
    try:
        if fcntl is not None:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            file.seek(_FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        raise ValueError(
            f"another search is writing the journal {path}: wait for it, or give another path"
        ) from None
