"""Run executed chapters under nbval and record how long they took, where, and with what result."""

import json
import os
import platform
import re
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import nbformat
import torch

from mlcourse.book.twins import BOOK, chapters

RESULTS = BOOK / "results"


@dataclass(frozen=True)
class Run:
    """One chapter's run: `cells` were run, `compared` of them had their output compared."""

    chapter: str
    title: str
    seconds: float
    cells: int
    compared: int
    result: str


def run(notebook: Path) -> tuple[Run, str]:
    """Run one notebook under nbval, comparing the cells marked for it; the run and its output."""
    start = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "nbval.plugin", "--nbval-lax"]
    command += ["-p", "no:cacheprovider", "--rootdir", str(notebook.parent), str(notebook)]
    # Other plugins would take a second to load.
    alone = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=alone)
    seconds = time.perf_counter() - start
    cells = nbformat.read(notebook, as_version=4).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    made = Run(
        chapter=notebook.relative_to(BOOK).with_suffix("").as_posix(),
        title=title(notebook),
        seconds=round(seconds, 1),
        cells=len(code),
        compared=sum("NBVAL_CHECK_OUTPUT" in source for source in code),
        result="passed" if done.returncode == 0 else "failed",
    )
    return made, done.stdout + done.stderr


def title(notebook: Path) -> str:
    """The chapter's first heading."""
    for cell in nbformat.read(notebook, as_version=4).cells:
        if found := re.search(r"^# (.+)$", cell.source, re.MULTILINE):
            return found.group(1)
    return notebook.stem


def machine() -> dict[str, str]:
    """What a measured time depends on, in words."""
    return {
        "processor": _processor(),
        "cores": f"{os.cpu_count()} cores",
        "system": platform.system(),
        "python": f"Python {platform.python_version()}",
        "torch": f"torch {torch.__version__}",
    }


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        found = None
    return found.group(1) if found else platform.processor() or platform.machine()


def record(name: str, command: str, machine: dict[str, str]) -> int:
    """Run every chapter, write book/results/NAME.json; the exit code, 1 if a chapter failed."""
    runs = []
    for chapter in chapters():
        made, output = run(chapter.with_suffix(".ipynb"))
        print(f"{made.chapter}: {made.result} in {made.seconds} s", flush=True)
        if made.result != "passed":
            print(output, file=sys.stderr)
        runs.append(made)
    content = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "command": command,
        "machine": machine,
        "chapters": [asdict(made) for made in runs],
    }
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{sum(made.seconds for made in runs):.1f} s in all, written to book/results/{path.name}")
    return 0 if all(made.result == "passed" for made in runs) else 1
