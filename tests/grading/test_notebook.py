"""What counts as an answer, and what is run, on the text alone."""

from __future__ import annotations

import pytest
from toys import EXERCISE, EXPERIMENT, RELEASED, RIGHT, STUBS, cells, code, markdown, notebook

from mlcourse.grading.notebook import Answers, read

NAMES = [question.name for question in EXERCISE.questions]


def answers(found: list[dict]) -> Answers:
    return Answers(read(notebook(found)), RELEASED, NAMES)


def texts(answers: Answers, numbers: list[int]) -> list[str]:
    return [answers.cells[number].source for number in numbers]


def test_source_may_be_a_list_of_lines() -> None:
    found = [{**cell, "source": cell["source"].splitlines(keepends=True)} for cell in cells(RIGHT)]
    assert answers(found).is_attempted("double")
    assert not answers(
        [{**cell, "source": list(cell["source"])} for cell in cells({})]
    ).is_attempted("double")


def test_checks_and_idle_experiments_are_not_run() -> None:
    found = answers(cells(RIGHT))
    assert texts(found, found.runnable) == [RIGHT[name] for name in NAMES[:4]]
    assert found.essential == found.runnable


def test_what_an_answer_uses_is_run() -> None:
    uses = {**RIGHT, "double": "def double(x):\n    return torch.add(x, x)"}
    found = answers(cells(uses))
    assert found.cells[found.runnable[0]].source.startswith("import torch")
    local = answers(cells({**RIGHT, "double": "def double(torch):\n    return 2 * torch"}))
    assert not any("import torch" in text for text in texts(local, local.runnable))


def test_experiments_that_the_student_touched_are_run_but_not_essential() -> None:
    touched = [*cells(RIGHT)[:-1], code(EXPERIMENT.replace("3", "4"))]
    found = answers(touched)
    assert any("range(4)" in text for text in texts(found, found.runnable))
    assert not any("range(4)" in text for text in texts(found, found.essential))


def test_definitions_in_blocks_count() -> None:
    hidden = code("if True:\n    def double(x):\n        return 2 * x\nfor size in [4]:\n    pass")
    found = answers([*cells({}), hidden])
    assert found.is_attempted("double")
    assert found.is_attempted("size")
    assert not found.is_attempted("slope")
    from_inside = code("def fill():\n    global size\n    size = 4\nfill()")
    assert answers([*cells({}), from_inside]).is_attempted("size")
    local = code("def fill():\n    size = 4\nfill()")
    assert not answers([*cells({}), local]).is_attempted("size")


@pytest.mark.parametrize(
    "text", ["", "\n\n", "# nothing yet", "  # no\n", "size = ...", "size=..."]
)
def test_values_that_are_no_answer(text: str) -> None:
    assert not answers(cells({**RIGHT, "size": text})).is_attempted("size")


def test_answer_turned_into_text_is_attempted() -> None:
    found = cells({**RIGHT, "double": None})
    found.append(markdown("I think 2x", {"nbgrader": {"grade_id": "double"}}))
    assert answers(found).is_attempted("double")


def test_syntax_errors_do_not_hide_the_rest() -> None:
    found = answers(cells({**RIGHT, "double": "def double(x:"}))
    assert found.is_attempted("double")
    assert found.is_attempted("slope")


def test_parts_of_an_answer_are_found_through_what_it_uses() -> None:
    helper = code("scale = 2\n\ndef times(x):\n    return scale * x\n\nunused = 3")
    found = answers([*cells({**RIGHT, "double": "def double(x):\n    return times(x)"}), helper])
    names = {name for _, statement in found.parts("double") for name in statement.binds}
    assert names == {"double", "times", "scale"}
    assert len(found.cells_of("double")) == 2


def test_own_source_is_what_the_student_wrote() -> None:
    assert answers(cells(RIGHT)).source_of("double") == RIGHT["double"]
    elsewhere = [*cells({}), code("def double(x):\n    return 7 * x")]
    assert answers(elsewhere).source_of("double") == "def double(x):\n    return 7 * x"
    assert answers(cells({})).source_of("double") == STUBS["double"]


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("import mlcourse", set()),
        ("from mlcourse import check, hint", set()),
        ("import mlcourse.mlp as m", {"mlp"}),
        ("from mlcourse import mlp, data", {"mlp", "data"}),
        ("from mlcourse.checks.by_hand import exercise", {"checks"}),
        ("def f():\n    from mlcourse.grading import engine", {"grading"}),
        ("import torch.mlcourse", set()),
    ],
)
def test_course_modules(text: str, modules: set[str]) -> None:
    [cell] = read(notebook([code(text)])).cells
    assert {name for it in cell.statements for name in it.course_modules} == modules
