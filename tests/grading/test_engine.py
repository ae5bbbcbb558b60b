"""The engine: one submission in, one row a question out, whatever the submission does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from toys import EXERCISE, RELEASED, RIGHT, STUBS, cells, code, notebook, submission

from mlcourse.grading import engine as engines
from mlcourse.grading.engine import Engine, seeds
from mlcourse.grading.process import Limits, Worker
from mlcourse.grading.results import Record

SECRET = b"a secret of the tests, 32 bytes.."


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    with Worker(imports=EXERCISE.imports, limits=Limits(memory_mb=512)) as worker:
        yield Engine(EXERCISE, RELEASED, SECRET, worker)


def graded(engine: Engine, data: bytes) -> dict[str, Record]:
    records = engine.grade("ada", data)
    assert [record.question for record in records] == [q.name for q in EXERCISE.questions]
    for record in records:
        assert record.student == "ada"
        assert record.message == " ".join(record.message.split())
        full = record.max_points if record.status == "passed" else 0
        assert record.points == (None if record.status == "manual" else full)
    return {record.question: record for record in records}


def statuses(engine: Engine, data: bytes) -> list[str]:
    return [record.status for record in graded(engine, data).values()]


def test_right_answers_get_full_marks(engine: Engine) -> None:
    assert statuses(engine, submission()) == ["passed"] * 4 + ["manual"]


def test_untouched_exercise_is_not_attempted(engine: Engine) -> None:
    assert statuses(engine, notebook(cells({}))) == ["not attempted"] * 5


def test_deleted_answers_are_not_attempted(engine: Engine) -> None:
    for name in RIGHT:
        row = graded(engine, submission({name: None}))[name]
        assert row.status == "not attempted", name


def test_comments_and_blank_lines_are_no_answer(engine: Engine) -> None:
    touched = {name: text.replace("\n", "\n    # thinking\n\n") for name, text in STUBS.items()}
    touched["explain"] = STUBS["explain"] + "\n"
    assert statuses(engine, submission(touched)) == ["not attempted"] * 5


def test_known_mistake_is_named(engine: Engine) -> None:
    row = graded(engine, submission({"double": "def double(x):\n    return x * x"}))["double"]
    assert (row.status, row.mistake) == ("failed", "square")
    assert row.message == "that is the square: double it"


def test_question_that_needs_a_failed_one_is_ungraded(engine: Engine) -> None:
    rows = graded(engine, submission({"double": "def double(x):\n    return x * x"}))
    assert rows["total"].status == "ungraded"
    assert "double" in rows["total"].message
    assert rows["slope"].status == rows["size"].status == "passed"


@pytest.mark.parametrize(
    ("text", "status", "says"),
    [
        ("def double(x:\n    return 2 * x", "error", "SyntaxError"),
        ("def twice(x):\n    return 2 * x", "error", "nothing in the notebook defines double"),
        ("double = undefined_name", "error", "NameError"),
        ("def double(x):\n    return 1 / 0", "error", "ZeroDivisionError"),
        ("double = 3", "failed", "function"),
        ("def double(x):\n    return None", "failed", "None"),
        ("def double(x):\n    while True:\n        pass", "timeout", "stopped after 2 s"),
        ("def double(x):\n    import os\n    os._exit(0)", "error", "ended its process"),
        ("def double(x):\n    return bytearray(8_000_000_000)", "memory", "512 MB"),
        ("def double(x):\n    raise NotImplementedError('later')", "not attempted", "double"),
        ("from mlcourse import mlp\n\ndef double(x):\n    return mlp.f(x)", "forbidden", "mlp"),
        ("def double(x):\n    import mlcourse.checks.toy as t\n    return t.f(x)", "forbidden", ""),
        (
            "import importlib as i\n\ndef double(x):\n    return i.import_module('mlcourse.mlp')",
            "forbidden",
            "mlcourse.mlp",
        ),
        (
            "import importlib\n\nm = importlib.import_module('mlcourse.mlp')\ndouble = m.forward",
            "forbidden",
            "mlcourse.mlp",
        ),
    ],
)
def test_what_comes_of_an_answer(engine: Engine, text: str, status: str, says: str) -> None:
    rows = graded(engine, submission({"double": text}))
    assert rows["double"].status == status, rows["double"]
    assert says in rows["double"].message
    assert rows["slope"].status == rows["size"].status == "passed"
    assert rows["explain"].status == "manual"
    after = statuses(engine, submission())
    assert after == ["passed"] * 4 + ["manual"], "a later submission gets its true score"


def test_allowed_course_module_may_be_imported(engine: Engine) -> None:
    text = (
        "from mlcourse import check, data\n\n\ndef double(x):\n    data.circles\n    return 2 * x"
    )
    assert graded(engine, submission({"double": text}))["double"].status == "passed"


def test_forbidden_use_is_found_in_the_answer_and_its_helpers_only(engine: Engine) -> None:
    helper = code("def help_me(x):\n    y = x.clone().requires_grad_()\n    return 2 * y.detach()")
    own = {"slope": "def slope(x):\n    return help_me(x)"}
    row = graded(engine, submission(own, [helper]))["slope"]
    assert (row.status, row.message) == ("forbidden", "work the slope out by hand")
    compare = code(
        "x = torch.ones(1).requires_grad_()\n(x * x).backward()\nprint(slope(x), x.grad)"
    )
    assert graded(engine, submission({}, [compare]))["slope"].status == "passed"


def test_forbidden_function_is_found_while_it_runs(engine: Engine) -> None:
    hidden = "import torch\n\ndef slope(x):\n    return getattr(torch, 'auto' + 'grad').grad(x, x)"
    row = graded(engine, submission({"slope": hidden}))["slope"]
    assert (row.status, row.message) == ("forbidden", "work the slope out by hand")


def test_value_of_another_name_is_an_error_and_ellipsis_is_no_answer(engine: Engine) -> None:
    assert graded(engine, submission({"size": "sise = 4"}))["size"].status == "error"
    assert graded(engine, submission({"size": "size = (...)"}))["size"].status == "not attempted"
    assert graded(engine, submission({"size": "x = ...\nsize = x"}))["size"].status == (
        "not attempted"
    )
    assert graded(engine, submission({"size": "size = 5"}))["size"].status == "failed"


def test_answer_in_another_cell_counts(engine: Engine) -> None:
    elsewhere = code(RIGHT["double"])
    below = submission({"double": STUBS["double"]}, [elsewhere])
    assert statuses(engine, below)[0] == "passed"
    above = [elsewhere, *cells({**RIGHT, "double": STUBS["double"]})]
    assert statuses(engine, notebook(above))[0] == "passed", "an untouched stub hides no answer"
    assert statuses(engine, submission({"double": None}, [elsewhere]))[0] == "passed"


def test_copied_answer_cell_counts_as_the_notebook_runs(engine: Engine) -> None:
    twice = cells(RIGHT)
    wrong = code("def double(x):\n    return x * x", twice[2]["metadata"])
    assert statuses(engine, notebook([*twice, wrong]))[0] == "failed"
    assert statuses(engine, notebook([wrong, *twice]))[0] == "passed"


def test_a_cell_that_never_ends_costs_only_itself(engine: Engine) -> None:
    loop = code("while True:\n    pass")
    assert statuses(engine, submission({}, [loop])) == ["passed"] * 4 + ["manual"]
    wrong = graded(engine, submission({"double": "def double(x):\n    return x * x"}, [loop]))
    assert wrong["double"].mistake == "square"
    inside = "def double(x):\n    return 2 * x\n\nwhile True:\n    pass"
    rows = graded(engine, submission({"double": inside}))
    assert rows["double"].status == "timeout"
    assert rows["slope"].status == rows["size"].status == "passed"


def test_a_cell_with_an_error_costs_only_itself(engine: Engine) -> None:
    rows = graded(engine, submission({}, [code("1 / 0"), code("also not python")]))
    assert [row.status for row in rows.values()] == ["passed"] * 4 + ["manual"]


def test_an_answer_is_tried_again_apart_from_the_others(engine: Engine) -> None:
    spoils = "def double(x):\n    global slope\n    slope = None\n    return 2 * x"
    assert graded(engine, submission({"double": spoils}))["slope"].status == "passed"


def test_what_a_cell_of_the_student_does_is_not_lost(engine: Engine) -> None:
    own = {"double": "def double(x):\n    return factors['two'] * x"}
    helper = [code("factors = {}"), code("factors['two'] = 2")]
    assert graded(engine, submission(own, helper))["double"].status == "passed"


def test_magics_are_no_errors(engine: Engine) -> None:
    text = "%matplotlib inline\n!ls\ndef double(x):\n    return 2 * x"
    assert graded(engine, submission({"double": text}))["double"].status == "passed"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\xff\xfe\x00", "UTF-8"),
        (b"{", "not valid JSON"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[1, 2]", "not a notebook"),
        (b'{"nbformat": 4}', "no list of cells"),
        (b'{"nbformat": 4, "cells": [3]}', "damaged"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": 3}]}', "damaged"),
        (b'{"nbformat": 3, "worksheets": []}', "format 3"),
        (notebook([code("print('hello')")]), "belongs to toy"),
    ],
)
def test_unreadable_notebook_is_an_error_in_every_row(
    engine: Engine, data: bytes, reason: str
) -> None:
    rows = graded(engine, data)
    assert {row.status for row in rows.values()} == {"error"}
    assert all(reason in row.message for row in rows.values())


def test_missing_metadata_is_an_error_or_found_by_name(engine: Engine) -> None:
    bare = [{**cell, "metadata": {}} for cell in cells(RIGHT)]
    assert statuses(engine, notebook(bare))[:4] == ["passed"] * 4
    odd = [{**cell, "metadata": {"nbgrader": ["no"]}} for cell in cells({})]
    assert set(statuses(engine, notebook(odd))) == {"error"}


def test_same_submission_same_rows(engine: Engine) -> None:
    random = (
        "import random, torch\n\ndef double(x):\n    return x * random.random() + torch.rand(1)"
    )
    data = submission({"double": random, "slope": "slope = 3"})

    def rows() -> list[dict[str, Any]]:
        return [{**row.to_json(), "seconds": 0} for row in engine.grade("ada", data)]

    assert rows() == rows()


def test_seeds_depend_on_everything_and_stay_the_same() -> None:
    one = seeds(SECRET, "toy", "double")
    assert one == seeds(SECRET, "toy", "double")
    assert len(set(one)) == engines.DRAWS
    others = [
        seeds(b"another" * 5, "toy", "double"),
        seeds(SECRET, "to", "ydouble"),
        seeds(SECRET, "toy", "total"),
    ]
    assert not set(one) & {seed for other in others for seed in other}
    assert all(0 <= seed < 2**63 for seed in one)


def test_trusted_side_bounds_its_own_time(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forever:
        def __call__(self, answer: Any) -> bool:
            while True:
                pass

    monkeypatch.setattr(engines, "CHECKING_SECONDS", -3.5)  # with 2 s a question: half a second
    monkeypatch.setitem(engine.judges, "double", Forever())  # type: ignore[arg-type]
    row = graded(engine, submission())["double"]
    assert (row.status, row.points) == ("timeout", 0)


def test_submission_has_a_time_of_its_own(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "SUBMISSION_SECONDS", 1.0)
    loop = "def double(x):\n    while True:\n        pass"
    rows = graded(engine, submission({"double": loop}))
    assert rows["double"].status == rows["slope"].status == "timeout"
    assert "the submission's other questions" in rows["slope"].message


def test_rows_without_a_sandbox_say_so() -> None:
    with Worker(imports=EXERCISE.imports, sandbox="none") as worker:
        rows = Engine(EXERCISE, RELEASED, SECRET, worker).grade("ada", submission())
    assert all(row.message.startswith("[no sandbox] ") for row in rows)
    assert [row.status for row in rows] == ["passed"] * 4 + ["manual"]
