"""Fetch CIFAR-10 and MNIST into the user's cache, with torchvision."""

from __future__ import annotations

import contextlib
import io
import os
import queue
import sys
import tempfile
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from mlcourse.data_readers import brief
from mlcourse.data_sources import BATCHES, Copy, cache, find, missing

PATIENCE = 8  # seconds to wait for a server's first answer


def fetch(name: str) -> Copy | None:
    """Fetch "cifar10" or "mnist" and return the copy. Raises DataMissing, soon, when it cannot."""
    from torchvision import datasets

    if name == "cifar10":
        urls = [datasets.CIFAR10.url]
        _download(name, urls, lambda root: datasets.CIFAR10(root, download=True), BATCHES)
    else:
        urls = [mirror + datasets.MNIST.resources[0][0] for mirror in datasets.MNIST.mirrors]
        _download(name, urls, lambda root: datasets.MNIST(root, download=True), "MNIST")
    return find(name)


def _download(name: str, urls: list[str], get: Callable[[Path], object], folder: str) -> None:
    """Fetch into a folder aside and move the whole set into the cache once it is complete."""
    if not any(_answers(url) for url in urls):
        raise missing(name, "no server that has it answers")
    try:
        cache().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache(), prefix="download-") as aside:
            with _quiet_unless_terminal():
                get(Path(aside))
            os.replace(Path(aside) / folder, cache() / folder)
    except (OSError, RuntimeError) as error:
        raise missing(name, f"its download failed ({brief(error)})") from None


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
