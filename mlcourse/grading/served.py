"""The folder that a worker is given: its own code, and copies of what an exercise allows."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

PACKAGE = "mlcourse_worker"
PARTS = ("cells", "codec", "landlock", "namespaces", "sandbox", "seccomp", "system", "worker")
COURSE = Path(__file__).resolve().parent.parent

STUB = '''"""The course package, as an exercise sees it while it is graded."""


def check(name, answer=None):
    """Do nothing: the grader checks later, with other inputs."""


def hint(name):
    """Do nothing: there are no hints while grading."""
'''

START = "import sys; sys.path.insert(0, sys.argv[1]); from {0}.worker import main; main()"


def serve(folder: Path, imports: Iterable[str]) -> None:
    """Fill `folder` with the worker's package and a package `mlcourse` with `imports` alone.

    Raises ValueError when the course has no module of one of these names.
    """
    worker = folder / PACKAGE
    worker.mkdir(parents=True)
    (worker / "__init__.py").write_text("")
    for part in PARTS:
        shutil.copyfile(COURSE / "grading" / f"{part}.py", worker / f"{part}.py")
    stub = folder / "mlcourse"
    stub.mkdir()
    (stub / "__init__.py").write_text(STUB)
    for name in imports:
        if (COURSE / name).is_dir():
            shutil.copytree(COURSE / name, stub / name)
        elif (COURSE / f"{name}.py").is_file():
            shutil.copyfile(COURSE / f"{name}.py", stub / f"{name}.py")
        else:
            raise ValueError(
                f"an exercise allows mlcourse.{name}, but the course has no such module"
            )


def import_path(folder: Path) -> list[str]:
    """Return the worker's `sys.path`: the served folder, the standard library, site-packages."""
    roots = {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}
    libraries = [
        entry
        for entry in sys.path
        if Path(entry).name in ("site-packages", "dist-packages")
        or (
            (entry and any(Path(entry).is_relative_to(root) for root in roots))
            and Path(entry).name
            in (f"python{sys.version_info[0]}.{sys.version_info[1]}", "lib-dynload")
        )
    ]
    return [str(folder), *dict.fromkeys(libraries)]


def readable(folder: Path) -> list[str]:
    """Return what Python and torch read after they have started: libraries, no one's data."""
    system = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/fonts"]
    system += ["/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime", "/etc/fonts"]
    base = Path(sys.base_prefix) / "lib"
    return [*import_path(folder), str(base), *filter(os.path.exists, system)]


def start() -> str:
    """Return the Python that starts a worker; its one argument is the served folder."""
    return START.format(PACKAGE)
