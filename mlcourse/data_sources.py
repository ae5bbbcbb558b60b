"""Where copies of CIFAR-10 and MNIST are looked for, and the cache of what was read from them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from mlcourse import data_readers as readers
from mlcourse.data import CIFAR10_CLASSES, DataMissing
from mlcourse.data_readers import Arrays

VARIABLE = "MLCOURSE_DATA"
BATCHES = "cifar-10-batches-py"
PACKED = "cifar10_jpeg.npz"


@dataclass(frozen=True)
class Copy:
    """A copy found on this machine: where it is, what kind it is, and what reads it."""

    path: Path
    kind: str
    read: Callable[[Path], Arrays]
    files: Callable[[Path], Iterable[Path | os.DirEntry[str]]]


def cache() -> Path:
    """Return the course's folder in the user's cache; it may not exist yet."""
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "mlcourse"
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return (Path(base) if base else Path.home() / "AppData" / "Local") / "mlcourse" / "Cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mlcourse"
    return Path.home() / ".cache" / "mlcourse"


def places() -> list[Path]:
    """Return where copies are looked for, in this order: MLCOURSE_DATA, then the user's cache."""
    named = os.environ.get(VARIABLE)
    return [*([Path(named).expanduser()] if named else []), cache()]


def find(name: str) -> Copy | None:
    """Return the first local copy of "cifar10" or "mnist", or None. It is not read yet."""
    look = {"cifar10": _cifar10_at, "mnist": _mnist_at}[name]
    return next(filter(None, map(look, places())), None)


def _cifar10_at(place: Path) -> Copy | None:
    for path in (place / BATCHES, place):
        if path.name == BATCHES and path.is_dir():
            return Copy(path, "batches", readers.read_batches, readers.batch_files)
    if any((place / part / name).is_dir() for part in readers.PARTS for name in CIFAR10_CLASSES):
        return Copy(place, "images", readers.read_folder, readers.folder_files)
    for path in (place / PACKED, place):
        if path.is_file():
            return Copy(path, "packed", readers.read_packed, lambda packed: [packed])
    return None


def _mnist_at(place: Path) -> Copy | None:
    for path in (place / "MNIST" / "raw", place / "raw", place):
        if any(file.is_file() for file in readers.mnist_files(path)):
            return Copy(path, "mnist", readers.read_mnist, readers.mnist_files)
    return None


def read(copy: Copy) -> Arrays:
    """Return a copy's arrays: from the cache when it was read before and has not changed since.

    Raises DataDamaged for a copy that is incomplete or corrupt. A cache that cannot be
    written is no error.
    """
    place = hashlib.sha256(str(copy.path.resolve()).encode()).hexdigest()[:12]
    stem = cache() / "decoded" / f"{copy.kind}-{place}-{_state(copy)}"
    if kept := _kept(stem):
        return kept
    arrays = copy.read(copy.path)
    with contextlib.suppress(OSError):
        _keep(stem, arrays)
        for old in stem.parent.glob(f"{copy.kind}-{place}-*"):
            if not old.name.startswith(stem.name):
                old.unlink()
    return arrays


def _state(copy: Copy) -> str:
    """Return what changes when a file of the copy does: names, sizes and times of change."""
    digest = hashlib.sha256()
    for file in copy.files(copy.path):
        try:
            found = file.stat()
        except OSError:
            raise readers.damaged(file, "is missing") from None
        digest.update(f"{file.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]


def _kept(stem: Path) -> Arrays | None:
    """Return what was kept. Pixels have a file of their own, which loads in a tenth of a second."""
    try:
        X = np.load(stem.with_suffix(".npy"), allow_pickle=False)
        with np.load(stem.with_suffix(".npz"), allow_pickle=False) as kept:
            name, y_train, y_test = str(kept["name"]), kept["y_train"], kept["y_test"]
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None
    n = len(y_train)
    return Arrays(name, X[:n], y_train, X[n:], y_test) if len(X) == n + len(y_test) else None


def _keep(stem: Path, arrays: Arrays) -> None:
    stem.parent.mkdir(parents=True, exist_ok=True)
    X = np.concatenate([arrays.X_train, arrays.X_test])
    _write(stem.with_suffix(".npy"), lambda file: np.save(file, X))
    _write(
        stem.with_suffix(".npz"),
        lambda file: np.savez(
            file, name=np.array(arrays.name), y_train=arrays.y_train, y_test=arrays.y_test
        ),
    )


def _write(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Write a file so that a reader sees all of it or nothing."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f"{path.stem}-", suffix=".part")
    try:
        with open(descriptor, "wb") as file:
            write(file)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def missing(name: str, why: str) -> DataMissing:
    """Return the error that says why there is no copy of a set, and every way to get one."""
    named = os.environ.get(VARIABLE)
    looked = f"{VARIABLE}={named} holds none" if named else f"{VARIABLE} is not set"
    title, kinds = {
        "cifar10": (
            "CIFAR-10",
            f"torchvision's own format (a folder {BATCHES}), images in train/CLASS/ and "
            f"test/CLASS/, or the packed file {PACKED}",
        ),
        "mnist": ("MNIST", "torchvision's own format (a folder MNIST/raw)"),
    }[name]
    return DataMissing(
        f"{title} is not on this machine ({looked}) and {why}: "
        f"set {VARIABLE} to a folder with {kinds}, or put such a copy into {cache()}, or "
        f"run `mlcourse data {name}` with a network connection, which downloads it there"
    )
