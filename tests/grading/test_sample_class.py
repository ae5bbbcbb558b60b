"""The sample class: deterministic, made of what it says, and graded as each student deserves."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlcourse import sample_class
from mlcourse.checks import load
from mlcourse.checks.judge import judge
from mlcourse.sample_class.answers import MISTAKES, ODD, OTHER, PLAIN, edited

#: Students whose grading needs no waiting for a limit.
QUICK = ("acacia", "ash", "birch", "fir", "hazel", "juniper", "larch", "linden", "mulberry", "oak")

#: What the syllabus says that students really get wrong in Part 1: some of each is in the class.
REAL = {
    ("backward", "summed"),
    ("loss_accuracy", "sum_not_mean"),
    ("loss_accuracy", "softmax_twice"),
    ("forward", "no_max_shift"),
    ("loss_accuracy", "log_of_zero"),
    ("forward", "transposed_W"),
    ("backward", "bias_not_summed"),
    ("backward", "slope_without_square"),
    ("backward", "slope_at_h"),
    ("loss_accuracy", "percent"),
    ("loss_accuracy", "argmax_over_examples"),
    ("backward", "updated_Wy_0.1"),
    ("sgd", "in_place"),
    ("forward", "cast"),
}


@pytest.fixture(scope="module")
def texts():
    return sample_class.submissions()


def function(question, text):
    """Return the function that an answer defines, with right ones for those it may call."""
    names = {}
    exec("import math\nimport torch", names)
    for plain in PLAIN.values():
        exec(plain, names)
    exec(text, names)
    return names[question]


@pytest.mark.parametrize(("question", "mistake"), MISTAKES)
def test_each_wrong_answer_is_the_declared_mistake_that_it_says(question, mistake):
    answer = function(question, MISTAKES[question, mistake])
    assert judge(load("by_hand")[question], answer, [11, 12]).mistake == mistake


@pytest.mark.parametrize("answers", [PLAIN, OTHER], ids=["plain", "other"])
def test_right_answers_pass(answers):
    for question, text in answers.items():
        verdict = judge(load("by_hand")[question], function(question, text), [11, 12])
        assert verdict.status == "passed", (question, verdict.message)


def test_the_mistakes_of_the_syllabus_are_in_the_class(texts):
    assert set(MISTAKES) >= REAL
    together = "".join(texts.values())
    for question, mistake in REAL:
        line = next(
            line
            for line in MISTAKES[question, mistake].splitlines()
            if line not in PLAIN[question].splitlines()
        )
        assert line.replace('"', '\\"') in together, (question, mistake)
    assert set(ODD) >= {"exits", "segfaults", "never_ends", "memory", "no_syntax", "autograd"}


def test_an_edit_that_changes_nothing_is_refused():
    with pytest.raises(ValueError, match="stands 0 times"):
        edited("sgd", ("no such text", ""))


def test_the_class_is_the_same_each_time(texts, tmp_path):
    assert sample_class.submissions() == texts
    assert len(texts) >= 12
    submitted = sample_class.write(tmp_path)
    (submitted / "left_over").mkdir()
    sample_class.write(tmp_path)
    assert {path.name for path in submitted.iterdir()} == set(texts)
    assert (submitted / "elm" / "by_hand" / "by_hand.ipynb").read_bytes() == texts["elm"].encode()


@pytest.fixture(scope="module")
def graded(texts, tmp_path_factory):
    """The rows of the quick students, as (student, question) -> row."""
    folder = tmp_path_factory.mktemp("class")
    for student in QUICK:
        target = folder / "submitted" / student / "by_hand" / "by_hand.ipynb"
        target.parent.mkdir(parents=True)
        target.write_text(texts[student], encoding="utf-8")
    command = Path(sys.executable).with_name("mlcourse")
    done = subprocess.run(
        [command, "grade", "submitted", "--out", "graded"],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    if "sandbox" in done.stderr and done.returncode == 1:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr
    assert (folder / "graded" / "report.html").exists()
    with (folder / "graded" / "grades.csv").open(encoding="utf-8", newline="") as file:
        return {(row["student"], row["question"]): row for row in csv.DictReader(file)}


def statuses(graded, student):
    return {row["status"] for (who, _), row in graded.items() if who == student}


@pytest.mark.slow
def test_the_solution_gets_every_point_and_the_untouched_exercise_none(graded):
    assert statuses(graded, "acacia") == {"passed", "manual"}
    for (student, _), row in graded.items():
        if student == "acacia" and row["status"] == "passed":
            assert row["points"] == row["max_points"]
    assert statuses(graded, "hazel") == {"not attempted"}
    assert {row["points"] for (who, _), row in graded.items() if who == "hazel"} == {"0"}


@pytest.mark.slow
def test_odd_submissions_get_what_they_deserve(graded):
    def status(student, question):
        return graded[student, question]["status"]

    assert status("fir", "backward") == status("fir", "sgd") == "error"
    assert status("fir", "forward") == status("fir", "loss_accuracy") == "passed"
    assert status("larch", "backward") == "forbidden"
    assert status("linden", "loss_accuracy") == "error"
    assert status("linden", "backward") == "passed"
    assert status("oak", "backward") == "not attempted"
    assert status("oak", "train") == "ungraded"
    assert statuses(graded, "mulberry") == {"error"}


@pytest.mark.slow
def test_forged_results_get_no_point(graded):
    rows = [row for (student, _), row in graded.items() if student == "juniper"]
    assert rows
    assert not [row for row in rows if row["points"] not in ("", "0")]


@pytest.mark.slow
def test_a_mistake_gets_its_own_sentence(graded):
    declared = {m.name: m.says for m in load("by_hand")["backward"].mistakes}
    assert graded["ash", "backward"]["message"] == declared["summed"]
    assert graded["birch", "backward"]["message"] == declared["slope_without_square"]
