"""How each kind of copy of CIFAR-10 and MNIST is read: whole, or not at all.

`DataDamaged` names the file and says what to do.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mlcourse.data import CIFAR10_CLASSES, DataDamaged

N_TRAIN, N_TEST = 50_000, 10_000
SIDE = 32
PARTS = ("train", "test")
RE_ENCODED = "CIFAR-10, re-encoded as JPEG"
DECODED_AT_ONCE = 500
IMAGE_FILES = (".png", ".jpg", ".jpeg")


class Arrays(NamedTuple):
    """A set as it was read: X uint8 (N, C, H, W), y uint8 (N,), and which copy it is."""

    name: str
    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def batch_files(folder: Path) -> list[Path]:
    return [*(folder / f"data_batch_{number}" for number in range(1, 6)), folder / "test_batch"]


def read_batches(folder: Path) -> Arrays:
    """Read torchvision's own format: five pickled batches to train on, one to test on."""
    batches = [_read_batch(path) for path in batch_files(folder)]
    X, y = ([batch[part] for batch in batches] for part in (0, 1))
    name = "CIFAR-10" if _is_original(folder) else "CIFAR-10, with other pixels than the original"
    return _cifar10(name, np.concatenate(X[:-1]), np.concatenate(y[:-1]), X[-1], y[-1])


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
        raise damaged(path, "is missing") from None
    except Exception as error:  # a corrupt pickle can raise any
        raise damaged(path, f"cannot be read ({brief(error)})") from None
    if X.dtype != np.uint8 or not _are_labels(y, len(X)):
        raise damaged(path, "does not hold images with one label from 0 to 9 each")
    return X, y.astype(np.uint8)


def _is_original(folder: Path) -> bool:
    from torchvision.datasets import CIFAR10

    known = dict(CIFAR10.train_list + CIFAR10.test_list)
    return all(
        hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == known[path.name]
        for path in batch_files(folder)
    )


def folder_files(folder: Path) -> Iterator[os.DirEntry[str]]:
    for part in PARTS:
        for name in CIFAR10_CLASSES:
            yield from _images_in(folder / part / name)


def _images_in(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            found = [entry for entry in entries if _is_image(entry.name)]
    except OSError:
        raise damaged(folder, "is missing") from None
    if not found:
        raise damaged(folder, "holds no .png or .jpg files")
    return sorted(found, key=lambda entry: (len(entry.name), entry.name))


def _is_image(name: str) -> bool:
    return name.lower().endswith(IMAGE_FILES) and not name.startswith(".")


def read_folder(folder: Path) -> Arrays:
    """Read train/CLASS/* and test/CLASS/*; classes take turns, so that any part is balanced."""
    parts: list[np.ndarray] = []
    re_encoded = False
    for part in PARTS:
        classes = [_images_in(folder / part / name) for name in CIFAR10_CLASSES]
        counts = [len(images) for images in classes]
        if len(set(counts)) > 1:
            few = CIFAR10_CLASSES[int(np.argmin(counts))]
            raise damaged(
                folder / part / few, f"holds {min(counts)} images, another class {max(counts)}"
            )
        paths = [Path(entry) for turn in zip(*classes, strict=True) for entry in turn]
        re_encoded |= any(path.suffix.lower() != ".png" for path in paths)
        X = _decode([path.read_bytes for path in paths], [str(path) for path in paths])
        parts += [X, np.tile(np.arange(10, dtype=np.uint8), counts[0])]
    return _cifar10(RE_ENCODED if re_encoded else "CIFAR-10", *parts)


def read_packed(path: Path) -> Arrays:
    """Read one .npz of JPEG files: jpeg uint8, offsets (60,001), labels (60,000), classes."""
    try:
        with np.load(path, allow_pickle=False) as packed:
            jpeg, offsets = packed["jpeg"], packed["offsets"]
            labels, classes = packed["labels"], packed["classes"]
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, EOFError) as error:
        raise damaged(path, f"is not the packed CIFAR-10 ({brief(error)})") from None
    count = N_TRAIN + N_TEST
    if (
        tuple(classes.tolist()) != CIFAR10_CLASSES
        or not _are_labels(labels, count)
        or offsets.shape != (count + 1,)
        or offsets[0] != 0
        or offsets[-1] != len(jpeg)
        or (np.diff(offsets) < 0).any()
    ):
        raise damaged(path, f"does not hold {count:,} images of CIFAR-10's classes")
    readers = [
        lambda low=low, high=high: jpeg[low:high].tobytes()
        for low, high in zip(offsets[:-1].tolist(), offsets[1:].tolist(), strict=True)
    ]
    X = _decode(readers, [f"{path}, image {i}" for i in range(count)])
    y = labels.astype(np.uint8)
    return _cifar10(RE_ENCODED, X[:N_TRAIN], y[:N_TRAIN], X[N_TRAIN:], y[N_TRAIN:])


def _cifar10(name: str, *parts: np.ndarray) -> Arrays:
    """Return the arrays with a name that says when they are not all of CIFAR-10."""
    whole = (len(parts[0]), len(parts[2])) == (N_TRAIN, N_TEST)
    return Arrays(name if whole else f"a part of {name}", *parts)


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
                raise damaged(names[i], f"cannot be decoded ({brief(error)})") from None
            if pixels.shape != (SIDE, SIDE, 3):
                raise damaged(names[i], f"is {pixels.shape[1]}x{pixels.shape[0]}, not 32x32")
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


def mnist_files(folder: Path) -> list[Path]:
    return [
        folder / f"{part}-{what}-ubyte"
        for part in ("train", "t10k")
        for what in ("images-idx3", "labels-idx1")
    ]


def read_mnist(folder: Path) -> Arrays:
    parts = [_read_idx(path) for path in mnist_files(folder)]
    for path, X, y in zip(mnist_files(folder)[::2], parts[::2], parts[1::2], strict=True):
        if X.ndim != 3 or X.shape[1:] != (28, 28) or not _are_labels(y, len(X)):
            raise damaged(path, "does not hold 28x28 images with one label from 0 to 9 each")
    X_train, y_train, X_test, y_test = parts
    return Arrays("MNIST", X_train[:, None], y_train, X_test[:, None], y_test)


def _read_idx(path: Path) -> np.ndarray:
    """Read a file of unsigned bytes in the IDX format: 0, 0, 8, dimensions, sizes, data."""
    try:
        content = path.read_bytes()
    except OSError:
        raise damaged(path, "is missing") from None
    if content[:3] != b"\x00\x00\x08" or len(content) < 4 + 4 * content[3]:
        raise damaged(path, "is not an IDX file of bytes")
    sizes = np.frombuffer(content, ">u4", count=content[3], offset=4).tolist()
    start = 4 + 4 * len(sizes)
    if len(content) - start != int(np.prod(sizes)):
        raise damaged(path, f"holds {len(content) - start} bytes, not {int(np.prod(sizes))}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes).copy()


def damaged(path: object, problem: str) -> DataDamaged:
    where = path.path if isinstance(path, os.DirEntry) else path
    return DataDamaged(f"{where} {problem}: delete this copy and get it again, whole")


def brief(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
