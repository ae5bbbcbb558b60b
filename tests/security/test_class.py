"""A class with hostile students, through `mlcourse grade`: each gets what it deserves."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from conftest import snapshot

from mlcourse import sample_class
from mlcourse.checks import load
from mlcourse.release import as_text

ATTACKED = "sgd"
WRONG = "return {key: params[key] + eta * grads[key] for key in params}"
SEARCH = "for where, _, names in os.walk({folder!r}):\n        for name in names:\n            "

#: What the body of `sgd` does before it gives a wrong answer, and the status that it deserves.
ATTACKS = {
    "exits": ("import os; os._exit(0)", "error"),
    "crashes": ("import ctypes; ctypes.string_at(0)", "error"),
    "hogs": ("import torch; torch.ones(40 * 10**9 // 8, dtype=torch.float64)", "memory"),
    "kills": (
        "import os\n    for pid in (os.getppid(), 1, -1, 0):\n"
        "        try:\n            os.kill(pid, 9)\n        except OSError:\n            pass",
        "failed",
    ),
    "forks": (
        "import os\n    for _ in range(1000):\n"
        "        try:\n            os.fork()\n        except OSError:\n            pass",
        "failed",
    ),
    "patches": (
        "import torch, builtins\n    torch.allclose = torch.equal = lambda *a, **k: True\n"
        "    torch.Tensor.__eq__ = lambda *a: torch.tensor(True)\n"
        "    builtins.all = builtins.any = lambda *a: True",
        "failed",
    ),
    "forges": (
        "import os\n    for fd in range(3, 256):\n        try:\n"
        "            os.write(fd, b'\\x10\\0\\0\\0\\0\\0\\0\\0full marks for me')\n"
        "        except OSError:\n            pass",
        "error",
    ),
    "steals": (
        "import os, re\n    found = []\n    "
        + SEARCH
        + "found.append(open(os.path.join(where, name)).read())\n"
        "    if found:\n        exec(max(found, key=len))",
        "failed",
    ),
    "breaks": (
        "import os\n    " + SEARCH + "open(os.path.join(where, name), 'w').write('passed,3,3')",
        "failed",
    ),
    "fills": (
        "import os\n    for n in range(10**4):\n        try:\n"
        "            open(str(n), 'wb').write(b'x' * 10**6)\n"
        "        except OSError:\n            break",
        ("failed", "error"),
    ),
    "talks": ("while True: print('spam' * 1000)", "error"),
}


@pytest.fixture(autouse=True)
def surroundings():
    """Need no worker of the tests' own: `graded` looks at what was handed in."""


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """Grade hostile students and, before and after them by name, honest ones."""
    folder = tmp_path_factory.mktemp("class")
    folder.chmod(0o755)
    exercise = load("by_hand")
    answers = sample_class.full(exercise)
    solution = (sample_class.exercises.PACKAGE.parent / "solutions" / "by_hand.py").read_text()
    _, blank = sample_class.notebooks(solution, exercise)
    submitted = folder / "submitted"
    submitted.mkdir()
    for student in ("aa_honest", "zz_honest"):
        notebook = sample_class.filled(blank, answers)
        (submitted / f"{student}.ipynb").write_text(as_text(notebook))
    for student, (body, _) in ATTACKS.items():
        body = body.replace("{folder!r}", repr(str(folder)))
        attack = textwrap.dedent(f"def sgd(params, grads, eta):\n    {body}\n    {WRONG}\n")
        notebook = sample_class.filled(blank, sample_class.full(exercise, **{ATTACKED: attack}))
        (submitted / f"{student}.ipynb").write_text(as_text(notebook))
    before = snapshot(folder)
    out = tmp_path_factory.mktemp("graded")
    command = [Path(sys.executable).with_name("mlcourse"), "grade", submitted]
    run = subprocess.run(
        [*map(str, command), "--exercise", "by_hand", "--out", str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    if run.returncode and "cannot be confined" in run.stderr + run.stdout:
        pytest.skip(run.stderr)
    assert run.returncode == 0, run.stdout + run.stderr
    with open(out / "grades.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    yield {(row["student"], row["question"]): row for row in rows}, before, snapshot(folder)
    shutil.rmtree(out)


@pytest.mark.parametrize("student", ATTACKS)
def test_an_attack_scores_nothing(graded, student):
    row = graded[0][student, ATTACKED]
    deserved = ATTACKS[student][1]
    assert row["points"] == "0"
    assert row["status"] in ([deserved] if isinstance(deserved, str) else deserved), row["message"]


def untouched():
    """The questions that do not call the attacked answer."""
    for question in load("by_hand").questions:
        if question.name != ATTACKED and ATTACKED not in question.needs and question.kind != "text":
            yield question


@pytest.mark.parametrize("student", ATTACKS)
def test_the_hostile_students_other_answers_keep_their_points(graded, student):
    for question in untouched():
        row = graded[0][student, question.name]
        assert (row["status"], row["points"]) == ("passed", str(question.points)), row


@pytest.mark.parametrize("student", ["aa_honest", "zz_honest"])
def test_honest_students_get_full_marks(graded, student):
    for question in load("by_hand").questions:
        if question.kind != "text":
            row = graded[0][student, question.name]
            assert (row["status"], row["points"]) == ("passed", str(question.points)), row


def test_nothing_that_was_handed_in_has_changed(graded):
    assert graded[2] == graded[1]
