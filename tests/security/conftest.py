"""Hostile submissions against a real worker: what they score, and what they leave behind.

Every test here runs with all layers and again without namespaces, since some systems forbid them.
`test_as_ordinary_user.py` runs all of it once more as nobody, where the tests are run as root.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from mlcourse.checks.declare import Question
from mlcourse.checks.judge import AnswerError, Stopped, Verdict, judge
from mlcourse.grading.process import Limits, MissingName, SandboxMissing, Worker

LIMITS = Limits(
    seconds=60.0,  # only what must be stopped gets less
    cpu_seconds=100,
    memory_mb=512,
    output_bytes=100_000,
    reply_bytes=4_000_000,
    file_bytes=4_000_000,
    processes=32,
)

QUESTION = Question(
    name="double",
    title="Twice x",
    points=1,
    reference=lambda x: 2 * x,
    cases=lambda generator: [(torch.rand(3, generator=generator),) for _ in range(2)],
)
HONEST = "def double(x):\n    return x + x"
SEEDS = (11, 12)

Grade = Callable[..., Verdict]


@pytest.fixture(scope="session", params=["every layer", "without namespaces"])
def worker(request: pytest.FixtureRequest) -> Iterator[Worker]:
    leave_out = ["namespaces"] if request.param == "without namespaces" else []
    try:
        worker = Worker(imports=("data",), limits=LIMITS, leave_out=leave_out)
    except SandboxMissing as reason:
        pytest.skip(str(reason))
    with worker:
        if request.param == "every layer" and not worker.layers["namespaces"]:
            pytest.skip(f"namespaces: {worker.reason('namespaces')}")
        yield worker


@pytest.fixture
def grade(worker: Worker) -> Iterator[Grade]:
    """Grade cells; afterwards an honest submission must still get its true score."""

    def grade_cells(*cells: str, seconds: float | None = None) -> Verdict:
        try:
            with worker.session(cells, seconds=seconds) as session:
                return judge(QUESTION, session.get("double"), SEEDS)
        except Stopped as stop:
            return Verdict(stop.status, str(stop))
        except (MissingName, AnswerError) as error:
            return Verdict("error", str(error))

    yield grade_cells
    assert grade_cells(HONEST).status == "passed"
    assert grade_cells("def double(x):\n    return x").status == "failed"


@pytest.fixture(autouse=True)
def surroundings(worker: Worker, tmp_path: Path) -> Iterator[Path]:
    """A course folder as an instructor has it; nothing in it, nor of ours, may change."""
    for name, text in {
        "submitted/ada/by_hand/by_hand.ipynb": "SECRET of another student",
        "solutions/by_hand.py": "SECRET solution",
        "gradebook.db": "SECRET scores",
        "graded/journal.jsonl": "SECRET journal",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o666)
    for folder in [tmp_path, *filter(Path.is_dir, tmp_path.rglob("*"))]:
        folder.chmod(0o777)
    watched = [tmp_path, worker.served, Path(judge.__code__.co_filename).parent]
    before = {place: snapshot(place) for place in watched}
    yield tmp_path
    for place in watched:
        assert snapshot(place) == before[place]


def snapshot(folder: Path) -> dict[str, tuple[int, int, int, str]]:
    """Return size, mode, modification time and contents of all beneath `folder`."""
    found = {}
    for where, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        for name in [*folders, *files]:
            path = Path(where, name)
            status = path.lstat()
            regular = stat.S_ISREG(status.st_mode)
            digest = hashlib.sha256(path.read_bytes()).hexdigest() if regular else ""
            times = status.st_mtime_ns if regular else 0
            found[str(path)] = (status.st_size if regular else 0, status.st_mode, times, digest)
    return found
