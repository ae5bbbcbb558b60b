"""Where copies of CIFAR-10 and MNIST are looked for, and how each kind of copy is read.

Whatever is found is read whole or not at all: `DataDamaged` names the file and what to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import queue
import sys
import tempfile
import threading
import urllib.request
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlcourse.data import CIFAR10_CLASSES, DataDamaged, DataMissing

VARIABLE = "MLCOURSE_DATA"
BATCHES = "cifar-10-batches-py"
PACKED = "cifar10_jpeg.npz"
N_TRAIN, N_TEST = 50_000, 10_000
SIDE = 32
RE_ENCODED = "CIFAR-10, re-encoded as JPEG"
PATIENCE = 8  # seconds to wait for a server's first answer
DECODED_AT_ONCE = 500
ANY_IMAGE = (".png", ".jpg", ".jpeg")


class Arrays(NamedTuple):
    """A set as it was read: X uint8 (N, C, H, W), y uint8 (N,), and which copy it is."""

    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


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


# --- CIFAR-10 ----------------------------------------------------------------------------------


def find_cifar10() -> Copy | None:
    """Return the first local copy of CIFAR-10, or None. It is not read yet."""
    for place in places():
        if copy := _cifar10_at(place):
            return copy
    return None


def _cifar10_at(place: Path) -> Copy | None:
    for path in (place / BATCHES, place):
        if path.name == BATCHES and path.is_dir():
            return Copy(path, "batches", _read_batches, _batch_files)
    if (place / "train").is_dir() and (place / "test").is_dir():
        return Copy(place, "images", _read_folder, _folder_files)
    for path in (place / PACKED, place):
        if path.is_file():
            return Copy(path, "packed", _read_packed, lambda packed: [packed])
    return None


def _batch_files(folder: Path) -> list[Path]:
    return [*(folder / f"data_batch_{number}" for number in range(1, 6)), folder / "test_batch"]


def _read_batches(folder: Path) -> Arrays:
    """Read torchvision's own format: five pickled batches to train on, one to test on."""
    batches = [_read_batch(path) for path in _batch_files(folder)]
    X, y = ([batch[part] for batch in batches] for part in (0, 1))
    name = "CIFAR-10" if _is_original(folder) else "CIFAR-10, with other pixels than the original"
    return Arrays(name, np.concatenate(X[:-1]), np.concatenate(y[:-1]), X[-1], y[-1])


class _ArraysOnly(pickle.Unpickler):
    """Loads lists, dicts and numpy arrays; a file that asks for anything else is refused."""

    ALLOWED = ("ndarray", "dtype", "_reconstruct", "_frombuffer", "encode")

    def find_class(self, module: str, name: str) -> Any:
        if module.partition(".")[0] in ("numpy", "_codecs") and name in self.ALLOWED:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not allowed")


def _read_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    try:
        with path.open("rb") as file:
            batch = _ArraysOnly(file, encoding="latin1").load()
        X = np.asarray(batch["data"]).reshape(-1, 3, SIDE, SIDE)
        y = np.asarray(batch["labels"])
    except FileNotFoundError:
        raise _damaged(path, "is missing") from None
    except (OSError, pickle.PickleError, EOFError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"cannot be read ({_brief(error)})") from None
    if X.dtype != np.uint8 or not _are_labels(y, len(X)):
        raise _damaged(path, "does not hold images with one label from 0 to 9 each")
    return X, y.astype(np.uint8)


def _is_original(folder: Path) -> bool:
    from torchvision.datasets import CIFAR10

    known = dict(CIFAR10.train_list + CIFAR10.test_list)
    return all(
        hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == known[path.name]
        for path in _batch_files(folder)
    )


def _folder_files(folder: Path) -> Iterator[os.DirEntry[str]]:
    for part in ("train", "test"):
        for name in CIFAR10_CLASSES:
            yield from _images_in(folder / part / name)


def _images_in(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if entry.name.lower().endswith(ANY_IMAGE)]
    except OSError:
        raise _damaged(folder, "is missing") from None
    if not found:
        raise _damaged(folder, "holds no .png or .jpg files")
    return sorted(found, key=lambda entry: (len(entry.name), entry.name))


def _read_folder(folder: Path) -> Arrays:
    """Read train/CLASS/* and test/CLASS/*; classes take turns, so that any part is balanced."""
    parts: list[np.ndarray] = []
    re_encoded = False
    for part in ("train", "test"):
        classes = [_images_in(folder / part / name) for name in CIFAR10_CLASSES]
        counts = [len(images) for images in classes]
        if len(set(counts)) > 1:
            few = CIFAR10_CLASSES[int(np.argmin(counts))]
            raise _damaged(
                folder / part / few, f"holds {min(counts)} images, another class {max(counts)}"
            )
        paths = [Path(entry) for turn in zip(*classes, strict=True) for entry in turn]
        re_encoded |= any(path.suffix.lower() != ".png" for path in paths)
        X = _decode([path.read_bytes for path in paths], [str(path) for path in paths])
        parts += [X, np.tile(np.arange(10, dtype=np.uint8), counts[0])]
    return Arrays(RE_ENCODED if re_encoded else "CIFAR-10", *parts)


def _read_packed(path: Path) -> Arrays:
    """Read one .npz of JPEG files: jpeg uint8, offsets (60,001), labels (60,000), classes."""
    try:
        with np.load(path, allow_pickle=False) as packed:
            jpeg, offsets = packed["jpeg"], packed["offsets"]
            labels, classes = packed["labels"], packed["classes"]
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise _damaged(path, f"is not the packed CIFAR-10 ({_brief(error)})") from None
    count = N_TRAIN + N_TEST
    if (
        tuple(classes.tolist()) != CIFAR10_CLASSES
        or not _are_labels(labels, count)
        or offsets.shape != (count + 1,)
        or offsets[0] != 0
        or offsets[-1] != len(jpeg)
        or (np.diff(offsets) < 0).any()
    ):
        raise _damaged(path, f"does not hold {count:,} images of CIFAR-10's classes")
    readers = [
        lambda low=low, high=high: jpeg[low:high].tobytes()
        for low, high in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]
    X = _decode(readers, [f"{path}, image {i}" for i in range(count)])
    y = labels.astype(np.uint8)
    return Arrays(RE_ENCODED, X[:N_TRAIN], y[:N_TRAIN], X[N_TRAIN:], y[N_TRAIN:])


def _are_labels(y: np.ndarray, count: int) -> bool:
    return bool(
        y.shape == (count,)
        and count > 0
        and np.issubdtype(y.dtype, np.integer)
        and y.min() >= 0
        and y.max() < len(CIFAR10_CLASSES)
    )


def _decode(readers: Sequence[Callable[[], bytes]], names: Sequence[str]) -> np.ndarray:
    """Decode image files to uint8 (N, 3, 32, 32), several at once; `names` is for errors."""
    from PIL import Image, UnidentifiedImageError

    X = np.empty((len(readers), 3, SIDE, SIDE), dtype=np.uint8)

    def decode(start: int) -> int:
        stop = min(start + DECODED_AT_ONCE, len(readers))
        for i in range(start, stop):
            try:
                with Image.open(io.BytesIO(readers[i]())) as image:
                    pixels = np.asarray(image.convert("RGB"))
            except (OSError, UnidentifiedImageError, SyntaxError) as error:
                raise _damaged(names[i], f"cannot be decoded ({_brief(error)})") from None
            if pixels.shape != (SIDE, SIDE, 3):
                raise _damaged(names[i], f"is {pixels.shape[1]}x{pixels.shape[0]}, not 32x32")
            X[i] = pixels.transpose(2, 0, 1)
        return stop - start

    with ThreadPoolExecutor(_cores()) as pool, _bar("decoding images", len(readers)) as advance:
        for done in pool.map(decode, range(0, len(readers), DECODED_AT_ONCE)):
            advance(done)
    return X


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def _bar(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function to call with what was done; a bar shows on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)


# --- The cache of decoded pixels ---------------------------------------------------------------


def read(copy: Copy) -> Arrays:
    """Return a copy's arrays: from the cache when it was read before and has not changed since.

    Raises DataDamaged for a copy that is incomplete or corrupt. A cache that cannot be
    written is no error.
    """
    identity = _identity(copy)
    place = hashlib.sha256(str(copy.path.resolve()).encode()).hexdigest()[:16]
    stored = cache() / "decoded" / f"{copy.kind}-{place}.npz"
    if kept := _stored(stored, identity):
        return kept
    arrays = copy.read(copy.path)
    with contextlib.suppress(OSError):
        _store(stored, arrays, identity)
    return arrays


def _identity(copy: Copy) -> str:
    """Return what changes when a file of the copy does: names, sizes and times of change."""
    digest = hashlib.sha256()
    for file in copy.files(copy.path):
        try:
            state = file.stat()
        except OSError:
            raise _damaged(file, "is missing") from None
        digest.update(f"{file.name} {state.st_size} {state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _stored(path: Path, identity: str) -> Arrays | None:
    try:
        with np.load(path, allow_pickle=False) as kept:
            if str(kept["identity"]) != identity:
                return None
            return Arrays(str(kept["name"]), *(kept[field] for field in Arrays._fields[1:]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _store(path: Path, arrays: Arrays, identity: str) -> None:
    """Write the arrays so that a reader sees all of the file or none of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
    try:
        with open(descriptor, "wb") as file:
            np.savez(file, identity=np.array(identity), **arrays._asdict())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


# --- MNIST -------------------------------------------------------------------------------------


def find_mnist() -> Copy | None:
    """Return the first local copy of MNIST in torchvision's own format, or None."""
    for place in places():
        for path in (place / "MNIST" / "raw", place / "raw", place):
            if any(file.is_file() for file in _mnist_files(path)):
                return Copy(path, "mnist", _read_mnist, _mnist_files)
    return None


def _mnist_files(folder: Path) -> list[Path]:
    return [
        folder / f"{part}-{what}-ubyte"
        for part in ("train", "t10k")
        for what in ("images-idx3", "labels-idx1")
    ]


def _read_mnist(folder: Path) -> Arrays:
    parts = [_read_idx(path) for path in _mnist_files(folder)]
    for path, X, y in zip(_mnist_files(folder)[::2], parts[::2], parts[1::2], strict=True):
        if X.ndim != 3 or X.shape[1:] != (28, 28) or not _are_labels(y, len(X)):
            raise _damaged(path, "does not hold 28x28 images with one label from 0 to 9 each")
    X_train, y_train, X_test, y_test = parts
    return Arrays("MNIST", X_train[:, None], y_train, X_test[:, None], y_test)


def _read_idx(path: Path) -> np.ndarray:
    """Read a file of unsigned bytes in the IDX format: 0, 0, 8, dimensions, sizes, data."""
    try:
        content = path.read_bytes()
    except OSError:
        raise _damaged(path, "is missing") from None
    if content[:3] != b"\x00\x00\x08" or len(content) < 4 + 4 * content[3]:
        raise _damaged(path, "is not an IDX file of bytes")
    sizes = np.frombuffer(content, ">u4", count=content[3], offset=4).tolist()
    start = 4 + 4 * len(sizes)
    if len(content) - start != int(np.prod(sizes)):
        raise _damaged(path, f"holds {len(content) - start} bytes, not {int(np.prod(sizes))}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes).copy()


# --- Download ----------------------------------------------------------------------------------


def download_cifar10() -> Copy:
    """Fetch CIFAR-10 with torchvision into the user's cache. Raises DataMissing when it cannot."""
    from torchvision.datasets import CIFAR10

    _download("CIFAR-10", [CIFAR10.url], lambda root: CIFAR10(root, download=True), BATCHES)
    return Copy(cache() / BATCHES, "batches", _read_batches, _batch_files)


def download_mnist() -> Copy:
    """Fetch MNIST with torchvision into the user's cache. Raises DataMissing when it cannot."""
    from torchvision.datasets import MNIST

    urls = [mirror + MNIST.resources[0][0] for mirror in MNIST.mirrors]
    _download("MNIST", urls, lambda root: MNIST(root, download=True), "MNIST")
    return Copy(cache() / "MNIST" / "raw", "mnist", _read_mnist, _mnist_files)


def _download(what: str, urls: list[str], fetch: Callable[[Path], object], folder: str) -> None:
    """Fetch into a folder aside and move the whole set into the cache once it is complete."""
    if not any(_answers(url) for url in urls):
        raise missing(what, "no server with it answers")
    try:
        cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache(), prefix="download-") as aside:
            with _quiet_unless_terminal():
                fetch(Path(aside))
            os.replace(Path(aside) / folder, cache() / folder)
    except (OSError, RuntimeError) as error:
        raise missing(what, f"its download failed ({_brief(error)})") from None


def _answers(url: str) -> bool:
    """Ask a server for a file's header; give up soon, also where the name service hangs."""
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask() -> None:
        try:
            request = urllib.request.Request(url, method="HEAD")
            with urllib.request.urlopen(request, timeout=PATIENCE):
                answers.put(True)
        except (OSError, ValueError):
            answers.put(False)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return answers.get(timeout=PATIENCE)
    except queue.Empty:
        return False


@contextlib.contextmanager
def _quiet_unless_terminal() -> Iterator[None]:
    """Keep torchvision's progress bar off a notebook's or a log's error stream."""
    if sys.stderr.isatty():
        yield
        return
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        yield


# --- What is said when there is nothing --------------------------------------------------------


def missing(what: str, why: str) -> DataMissing:
    """Return the error that says why there is no copy of a set, and every way to get one."""
    named = os.environ.get(VARIABLE)
    own = "a folder cifar-10-batches-py" if what == "CIFAR-10" else "a folder MNIST/raw"
    kinds = f"torchvision's own format ({own})"
    if what == "CIFAR-10":
        kinds += f", images in train/CLASS/ and test/CLASS/, or the packed file {PACKED}"
    looked = f"{VARIABLE}={named} holds none" if named else f"{VARIABLE} is not set"
    return DataMissing(
        f"{what} is not on this machine ({looked}) and {why}: "
        f"set {VARIABLE} to a folder with {kinds}; or put such a copy into {cache()}; "
        "or run `mlcourse data` with a network connection, which downloads it there"
    )


def _damaged(path: object, problem: str) -> DataDamaged:
    where = path.path if isinstance(path, os.DirEntry) else path
    return DataDamaged(f"{where} {problem}: delete this copy and get it again, whole")


def _brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
