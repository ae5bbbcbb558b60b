"""What works on this machine: the sandbox's layers, GPU, data, versions."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from mlcourse.grading.process import SandboxMissing, Worker, WorkerFailed, require
from mlcourse.grading.sandbox import LAYERS

MEANING = {
    "limits": "memory, time, files and threads are bounded",
    "no_new_privs": "no program can give student code more rights",
    "seccomp": "no processes, programs, sockets, signals to others",
    "landlock": "files outside a scratch folder are closed",
    "namespaces": "other files, processes and networks are out of sight",
}
PACKAGES = ("torch", "torchvision", "numpy", "scikit-learn", "matplotlib", "nbgrader", "nbformat")


class Layer(NamedTuple):
    """A layer of the sandbox, whether it held when tried, and otherwise why or what to do."""

    name: str
    held: bool
    why: str


def layers() -> list[Layer]:
    """Try every layer in a throw-away worker. Raises WorkerFailed when none can be started."""
    with Worker(keep_going=True) as worker:
        return [
            Layer(name, worker.layers[name], "" if worker.layers[name] else worker.reason(name))
            for name in LAYERS
        ]


def main() -> int:
    """Print what works here; return 0 if submissions can be graded safely, else 1."""
    console = Console()
    table = Table("sandbox layer", "holds", "what it does, or why not", box=None)
    try:
        found = layers()
        for layer in found:
            held = "[green]yes" if layer.held else "[red]no"
            table.add_row(layer.name, held, MEANING[layer.name] if layer.held else layer.why)
        console.print(table)
        require({layer.name: layer.held for layer in found}, {l.name: l.why for l in found})
        console.print("Grading: safe here.\n")
        safe = True
    except (SandboxMissing, WorkerFailed) as error:
        console.print(f"Grading: refused here, because {error}.\n", markup=False)
        safe = False
    for name, value in facts():
        console.print(f"{name:16} {value}", markup=False, highlight=False)
    return 0 if safe else 1


def facts() -> list[tuple[str, str]]:
    """Return names and values of what else matters: system, GPU, data, versions."""
    import torch

    from mlcourse import data

    gpu = (
        torch.cuda.get_device_name() if torch.cuda.is_available() else "none: chapters use the CPU"
    )
    versions = [(name, version(name)) for name in PACKAGES]
    origins = [(name, data.state(name)) for name in data.SOURCES]
    system = f"{platform.system()} {platform.release()} on {platform.machine()}"
    return [
        ("system", system),
        ("Python", sys.version.split()[0]),
        ("GPU", gpu),
        *origins,
        *versions,
    ]


def version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed: pip install 'mlcourse[grade]'"
