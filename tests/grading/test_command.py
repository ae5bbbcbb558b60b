"""The `mlcourse` command: exit codes, one sentence for wrong usage, and a quick start."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlcourse import exercises

COMMAND = [sys.executable, "-m", "mlcourse.cli"]


def call(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, cwd=cwd)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["grade"], "submitted"),
        (["grade", "no such place"], "no folder or zip 'no such place'"),
        (["grade", __file__], "neither a folder nor a zip"),
        (["grade", ".", "--exercise", "nope"], "no exercise 'nope'"),
        (["grade", ".", "--jobs", "0"], "--jobs"),
        (["grade", ".", "--jobs", "many"], "--jobs"),
        (["grade", ".", "--colour", "red"], "--colour"),
        (["grade", ".", "extra"], "extra"),
        (["nonsense"], "nonsense"),
        (["report"], "folder"),
        (["report", "no such place"], "'no such place' holds no results"),
        (["start", "nope"], "no exercise 'nope'"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str], says: str) -> None:
    done = call(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert says in done.stderr


def test_a_folder_without_submissions_is_wrong_usage(tmp_path: Path) -> None:
    done = call("grade", str(tmp_path), "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "STUDENT/EXERCISE/EXERCISE.ipynb, where EXERCISE is one of" in done.stderr
    assert "by_hand" in done.stderr
    assert not (tmp_path / "out").exists()


def test_start_copies_and_never_overwrites(tmp_path: Path) -> None:
    assert call("start", "by_hand", cwd=tmp_path).returncode == 0
    copy = tmp_path / "by_hand.ipynb"
    assert copy.read_bytes() == exercises.path("by_hand").read_bytes()
    copy.write_text("my work")
    again = call("start", "by_hand", cwd=tmp_path)
    assert again.returncode == 2
    assert copy.read_text() == "my work"


def test_start_alone_lists_the_exercises() -> None:
    assert "by_hand" in call("start").stdout


def test_help_and_grading_do_not_import_torch() -> None:
    code = "import sys; import mlcourse.cli, mlcourse.grading.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    help_ = call("--help")
    assert help_.returncode == 0
    for command in ("start", "grade", "report", "release", "doctor", "data"):
        assert command in help_.stdout
    assert call().stdout == help_.stdout


def test_data_says_where_it_comes_from() -> None:
    done = call("data")
    assert done.returncode == 0
    for name in ("circles", "digits", "textured_digits", "cifar10", "mnist"):
        assert f"\n{name} " in f"\n{done.stdout}"
    assert "no data set iris" in call("data", "iris").stderr
    assert call("data", "iris").returncode == 2
    assert call("data", "circles").returncode == 0


def test_data_that_cannot_be_had_is_one_sentence(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MLCOURSE_DATA", str(tmp_path / "nothing"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nothing listens there
    done = call("data", "cifar10")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    for way in ("cifar-10-batches-py", "train/CLASS/", "cifar10_jpeg.npz"):
        assert way in done.stderr
