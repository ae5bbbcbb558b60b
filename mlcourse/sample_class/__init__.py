"""An invented class and what it handed in, made from the exercise and its solution.

It shows what the grader does with good, wrong, odd and hostile submissions. Nobody in it is real:
the students are named after trees.

    python -m mlcourse.sample_class _build/sample_class
"""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from mlcourse import exercises
from mlcourse.checks import Exercise, Question, load
from mlcourse.release import as_text, fresh, notebooks
from mlcourse.sample_class.answers import FORGER, MISTAKES, ODD, OTHER, PLAIN, TEXTS

NAME = "by_hand"
Answers = dict[str, str]


def submissions() -> dict[str, str]:
    """Return student -> the text of the notebook that they handed in; the same at each call.

    Raises FileNotFoundError outside the repository, which alone holds the solution.
    """
    solution = exercises.PACKAGE.parent / "solutions" / f"{NAME}.py"
    if not solution.exists():
        raise FileNotFoundError(
            f"the sample class is made from {solution.name}: run this in the course's repository"
        )
    exercise = load(NAME)
    solved, blank = notebooks(solution.read_text(encoding="utf-8"), exercise)
    made = {
        student: as_text(filled(blank, make(exercise, random.Random(student))))
        for student, make in STUDENTS.items()
    }
    made["acacia"] = as_text(solved)
    made["hazel"] = as_text(blank)
    made["juniper"] = as_text(with_cell(filled(blank, forged(exercise)), FORGER))
    made["mulberry"] = as_text(filled(blank, full(exercise)))[:5000]
    made["oak"] = as_text(without(filled(blank, full(exercise)), "backward"))
    return dict(sorted(made.items()))


def write(folder: Path) -> Path:
    """Write the class into `folder`/submitted, in nbgrader's layout, and return that path.

    What an earlier run left there is replaced.
    """
    submitted = folder / "submitted"
    if submitted.exists():
        shutil.rmtree(submitted)
    for student, text in submissions().items():
        target = submitted / student / NAME / f"{NAME}.ipynb"
        target.parent.mkdir(parents=True)
        target.write_bytes(text.encode())
    return submitted


# --- Notebooks ------------------------------------------------------------------------------------


def filled(blank: NotebookNode, answers: Answers) -> NotebookNode:
    """Return the exercise with `answers` (question -> text) in its answer cells.

    Raises KeyError for an answer to a question that the exercise does not ask.
    """
    notebook = copied(blank)
    answers = dict(answers)
    for cell in notebook.cells:
        mark = cell.metadata.get("nbgrader", {})
        if mark.get("solution") and mark["grade_id"] in answers:
            cell.source = answers.pop(mark["grade_id"]).rstrip("\n")
    if answers:
        raise KeyError(f"the exercise does not ask {sorted(answers)}")
    return notebook


def copied(notebook: NotebookNode) -> NotebookNode:
    return nbformat.reads(as_text(notebook), as_version=4)


def with_cell(notebook: NotebookNode, text: str) -> NotebookNode:
    """Return the notebook with one more code cell, after the set-up."""
    cell = fresh("code", text.rstrip("\n"))
    cell.id = "added"
    notebook.cells.insert(2, cell)
    return notebook


def without(notebook: NotebookNode, question: str) -> NotebookNode:
    """Return the notebook without the answer cell of `question`."""
    notebook.cells = [cell for cell in notebook.cells if cell.id != question]
    return notebook


# --- Students -------------------------------------------------------------------------------------


def values(exercise: Exercise, chance: random.Random, care: float) -> Answers:
    """Answer the questions that ask for a value: right with probability `care`.

    Wrong answers are those that the declaration knows.
    """
    return {
        question.name: f"{question.name} = {value(question, chance, care)!r}"
        for question in exercise.questions
        if question.kind == "value"
    }


def value(question: Question, chance: random.Random, care: float) -> object:
    wrong = chance.choice(question.mistakes).answer if question.mistakes else question.reference
    return question.reference if chance.random() < care else wrong


def texts(exercise: Exercise, chance: random.Random) -> Answers:
    """Answer the free-text questions."""
    return {
        question.name: chance.choice(TEXTS[question.name])
        for question in exercise.questions
        if question.kind == "text"
    }


def full(exercise: Exercise, **changed: str) -> Answers:
    """Return a right answer to every question, but for those `changed`."""
    return {
        **values(exercise, random.Random(0), 1.0),
        **texts(exercise, random.Random(0)),
        **PLAIN,
        **changed,
    }


def makes(care: float, **mistakes: str) -> Callable[[Exercise, random.Random], Answers]:
    """Return how a student answers who makes these declared mistakes (question -> mistake)."""

    def answers(exercise: Exercise, chance: random.Random) -> Answers:
        wrong = {question: MISTAKES[question, name] for question, name in mistakes.items()}
        return {**values(exercise, chance, care), **texts(exercise, chance), **PLAIN, **wrong}

    return answers


def odd(**names: str) -> Callable[[Exercise, random.Random], Answers]:
    """Return how a student answers whose answers are right, but for these odd ones."""
    return lambda exercise, _: full(exercise, **{key: ODD[name] for key, name in names.items()})


def another(exercise: Exercise, chance: random.Random) -> Answers:
    """Answer rightly, in other words than the solution."""
    return full(exercise, **{**OTHER, "init_params": "import math\n\n" + OTHER["init_params"]})


def half(exercise: Exercise, chance: random.Random) -> Answers:
    """Answer the first half rightly and leave the rest."""
    everything = full(exercise)
    names = [question.name for question in exercise.questions]
    return {name: everything[name] for name in names[: len(names) // 2]}


def talks(exercise: Exercise, chance: random.Random) -> Answers:
    """Answer in prose alone."""
    return texts(exercise, chance)


def forged(exercise: Exercise) -> Answers:
    """Answer every question with an object that says it is right."""
    answers = {}
    for question in exercise.questions:
        if question.kind == "value":
            answers[question.name] = f"{question.name} = Right()"
        elif question.kind == "function":
            answers[question.name] = f"def {question.name}(*args):\n    return Right()"
    return answers


STUDENTS: dict[str, Callable[[Exercise, random.Random], Answers]] = {
    "alder": another,
    "ash": makes(0.9, backward="summed", loss_accuracy="percent"),
    "aspen": makes(
        0.5,
        init_params="transposed",
        forward="transposed_W",
        backward="transposed_Wy",
        sgd="ascent",
        train="update_lost",
    ),
    "beech": makes(0.8, forward="no_max_shift", loss_accuracy="log_of_zero", backward="summed"),
    "birch": makes(
        0.7, loss_accuracy="softmax_twice", backward="slope_without_square", sgd="in_place"
    ),
    "cedar": makes(0.9, loss_accuracy="argmax_over_examples", backward="slope_at_h"),
    "cypress": makes(0.6, forward="softmax_twice", backward="bias_not_summed", sgd="no_eta"),
    "elder": makes(0.8, forward="cast", backward="updated_Wy_0.1", train="last_batch_dropped"),
    "elm": half,
    "fir": odd(backward="exits", sgd="segfaults"),
    "ginkgo": makes(0.7, init_params="variance_for_deviation", train="mean_of_batches"),
    "hawthorn": makes(
        0.6, loss_accuracy="sum_not_mean", backward="matrix_product", train="one_permutation"
    ),
    "hornbeam": odd(train="never_ends"),
    "larch": odd(backward="autograd"),
    "laurel": odd(backward="library"),
    "linden": odd(loss_accuracy="no_syntax"),
    "magnolia": odd(forward="memory"),
    "maple": makes(0.8, forward="wrong_axis", train="loss_after_step"),
    "olive": talks,
    "pine": makes(1.0, init_params="uniform", forward="no_bias", backward="cast", sgd="in_place"),
    "rowan": odd(forward="raises"),
    "spruce": makes(1.0, backward="no_slope"),
}
