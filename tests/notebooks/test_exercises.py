"""The released exercises: in step with their sources, without solutions, and as nbgrader wants."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from mlcourse import exercises
from mlcourse.checks import EXERCISES, load
from mlcourse.release import blocks, clear, normalised

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "_build" / "html"
SOLUTIONS = {
    ROOT / "source" / name / f"{name}.ipynb": text
    for name in EXERCISES
    for text in [exercises.generate(ROOT)[ROOT / "source" / name / f"{name}.ipynb"]]
}


def solution_blocks():
    """Yield three lines in a row, normalised, of each solution of three lines or more."""
    for text in SOLUTIONS.values():
        for cell in nbformat.reads(text, as_version=4).cells:
            for block in blocks(cell.source):
                lines = normalised(block)
                yield from zip(lines, lines[1:], lines[2:], strict=False)


def cells_by_id(notebook):
    return {
        cell.metadata.nbgrader.grade_id: cell
        for cell in notebook.cells
        if cell.metadata.get("nbgrader")
    }


@pytest.fixture
def course(tmp_path):
    """A course folder for nbgrader: the sources, and the repository's settings."""
    shutil.copy(ROOT / "nbgrader_config.py", tmp_path)
    for path, text in SOLUTIONS.items():
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True)
        target.write_bytes(text.encode())
    return tmp_path


def nbgrader(folder, *arguments):
    """Run an nbgrader command and return its result; alembic must be on the path."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", "nbgrader", *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_regeneration_changes_nothing(capsys):
    assert exercises.release(check=True) == 0, capsys.readouterr().out


@pytest.mark.parametrize("name", EXERCISES)
def test_every_question_has_its_cells_and_points(name):
    notebook = nbformat.read(exercises.path(name), as_version=4)
    nbformat.validate(notebook)
    cells = cells_by_id(notebook)
    for question in load(name).questions:
        if question.kind == "text":
            assert cells[question.name].metadata.nbgrader.points == question.points
            continue
        assert cells[f"{question.name}_check"].metadata.nbgrader.points == question.points
        assert f'check("{name}.{question.name}", {question.name})' in (
            cells[f"{question.name}_check"].source
        )
    assert len(cells) == sum(2 - (q.kind == "text") for q in load(name).questions)
    assert all(not cell.get("outputs") for cell in notebook.cells)
    assert notebook.metadata.language_info.name == "python"


def test_no_solution_stands_in_the_exercises():
    released = {path: path.read_text(encoding="utf-8") for path in exercises.folder().rglob("*.*")}
    assert released
    found = 0
    for path, text in released.items():
        sources = [cell["source"] for cell in json.loads(text)["cells"]]
        lines = "\n".join(normalised("".join("".join(s) + "\n" for s in sources).splitlines()))
        for block in solution_blocks():
            found += 1
            assert "\n".join(block) not in lines, path
        assert "SOLUTION" not in text
    assert found > 20


@pytest.mark.skipif(not SITE.exists(), reason="the book is not built")
def test_no_solution_stands_in_the_built_site():
    files = [path for path in SITE.rglob("*") if path.suffix in {".html", ".ipynb", ".py", ".txt"}]
    assert files
    assert not [path for path in SITE.rglob("*") if {"solutions", "source"} & {*path.parts}]
    marked = set(solution_blocks())
    for path in files:
        text = re.sub(r"<[^>]+>", "", html.unescape(path.read_text(encoding="utf-8")))
        assert "BEGIN SOLUTION" not in text, path
        assert not path.name.endswith(tuple(f"{name}.py" for name in EXERCISES))
        if path.suffix == ".ipynb" and path.stem in EXERCISES:
            lines = "\n".join(normalised(text.splitlines()))
            assert not [block for block in marked if "\n".join(block) in lines], path


@pytest.mark.slow
def test_nbgraders_own_release_is_the_same(course):
    for name in EXERCISES:
        done = nbgrader(course, "generate_assignment", name)
        assert done.returncode == 0, done.stderr[-2000:]
        theirs = nbformat.read(course / "exercises" / name / f"{name}.ipynb", as_version=4)
        ours = nbformat.read(exercises.path(name), as_version=4)
        assert theirs.cells == ours.cells


@pytest.mark.slow
@pytest.mark.parametrize("name", EXERCISES)
def test_nbgrader_validates_the_solution_and_not_the_untouched_exercise(course, name):
    solved = nbgrader(course, "validate", f"source/{name}/{name}.ipynb")
    assert "Success! Your notebook passes all the tests." in solved.stdout, solved.stdout[-2000:]
    untouched = nbgrader(course, "validate", str(exercises.path(name))).stdout
    questions = load(name).questions
    assert f"VALIDATION FAILED ON {len(questions)} CELL(S)" in untouched
    for question in questions:
        if question.kind == "text":
            continue
        assert f'check("{name}.{question.name}", ' in untouched
        assert f"… {name}.{question.name}" in untouched  # the mark of what is not attempted
    assert "Traceback" not in untouched


def test_clearing_an_exercise_again_changes_nothing():
    for name in EXERCISES:
        notebook = nbformat.read(exercises.path(name), as_version=4)
        for cell in notebook.cells:
            before = cell.source
            clear(cell)
            assert cell.source == before
