"""Fixtures of the tests of real exercises: each of their modules names its own in `EXERCISE`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest

from mlcourse import exercises, release
from mlcourse.checks import Exercise
from mlcourse.grading.engine import Engine
from mlcourse.grading.notebook import read_released
from mlcourse.grading.process import Limits, Worker

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    exercise: Exercise = request.module.EXERCISE
    with Worker(imports=exercise.imports, limits=Limits(memory_mb=1024)) as worker:
        released = read_released(exercises.path(exercise.name))
        yield Engine(exercise, released, b"a secret of the tests, 32 bytes.", worker)


@pytest.fixture(scope="module")
def solved(request: pytest.FixtureRequest) -> dict:
    """Return the notebook with the course's own solution in it."""
    exercise: Exercise = request.module.EXERCISE
    text = (ROOT / "solutions" / f"{exercise.name}.py").read_text(encoding="utf-8")
    source, _ = release.notebooks(text, exercise)
    return json.loads(nbformat.writes(source))


@pytest.fixture(scope="module")
def untouched(request: pytest.FixtureRequest) -> dict:
    """Return the notebook as students get it."""
    return json.loads(exercises.path(request.module.EXERCISE.name).read_bytes())
