"""A small exercise and notebooks for it, so that the grader's tests do not wait for a real one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import torch

from mlcourse.checks import Exercise, Forbidden, Mistake, Question
from mlcourse.grading.notebook import Notebook, read

FUNCTION_STUB = "def {0}(x):\n    raise NotImplementedError()  # your code here"


def tensors(generator: torch.Generator) -> list[tuple[torch.Tensor]]:
    return [(torch.rand(size, generator=generator) + 0.5,) for size in (1, 3)]


EXERCISE = Exercise(
    name="toy",
    title="A toy",
    questions=(
        Question(
            name="double",
            title="Double",
            points=2,
            cases=tensors,
            reference=lambda x: 2 * x,
            mistakes=(Mistake("square", lambda x: x * x, "that is the square: double it"),),
            seconds=2.0,
        ),
        Question(
            name="slope",
            title="Slope",
            points=1,
            cases=tensors,
            reference=lambda x: 2 * x,
            forbidden=(
                Forbidden(
                    "autograd",
                    "work the slope out by hand",
                    attributes=frozenset({"autograd", "backward", "requires_grad_"}),
                    traps=("torch.autograd.grad",),
                ),
            ),
            seconds=2.0,
        ),
        Question(
            name="total",
            title="Total",
            points=3,
            cases=tensors,
            reference=lambda x: (2 * x).sum(),
            needs=("double",),
            seconds=2.0,
        ),
        Question(name="size", title="Size", points=1, kind="value", reference=4),
        Question(name="explain", title="Explain", points=2, kind="text"),
    ),
    imports=("data",),
)

RIGHT = {
    "double": "def double(x):\n    return 2 * x",
    "slope": "def slope(x):\n    return x + x",
    "total": "def total(x):\n    return double(x).sum()",
    "size": "size = 4",
    "explain": "Because it is *so*.",
}

STUBS = {
    "double": FUNCTION_STUB.format("double"),
    "slope": FUNCTION_STUB.format("slope"),
    "total": FUNCTION_STUB.format("total"),
    "size": "size = ...",
    "explain": "*Write your answer here.*",
}

SETUP = "import torch\nfrom mlcourse import check, hint"
EXPERIMENT = "curve = [double(torch.ones(1)) for _ in range(3)]\nprint(curve)"


def mark(name: str, **more: Any) -> dict[str, Any]:
    return {"nbgrader": {"grade_id": name, "schema_version": 3, "task": False, **more}}


def code(source: str, metadata: dict[str, Any] | None = None, outputs: Any = ()) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": metadata or {},
        "outputs": list(outputs),
        "source": source,
    }


def markdown(source: str, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": metadata or {}, "source": source}


def answer_cell(name: str, source: str) -> dict[str, Any]:
    if name == "explain":
        return markdown(source, mark(name, grade=True, solution=True, locked=False, points=2))
    return code(source, mark(name, grade=False, solution=True, locked=False))


def cells(answers: dict[str, str | None]) -> list[dict[str, Any]]:
    """Return the toy's cells with these answers; None leaves an answer cell out."""
    found = [markdown("# A toy"), code(SETUP)]
    for question in EXERCISE.questions:
        text = answers.get(question.name, STUBS[question.name])
        if text is not None:
            found.append(answer_cell(question.name, text))
        if question.kind != "text":
            check = f'check("toy.{question.name}", {question.name})'
            marks = mark(
                f"{question.name}_check",
                grade=True,
                solution=False,
                locked=True,
                points=question.points,
            )
            found.append(code(check, marks))
    return [*found, code(EXPERIMENT)]


def notebook(cells: Sequence[dict[str, Any]], nbformat: int = 4) -> bytes:
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    data = {
        "cells": [{"id": f"c{number}", **cell} for number, cell in enumerate(cells)],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": nbformat,
        "nbformat_minor": 5,
    }
    return json.dumps(data).encode()


def submission(answers: dict[str, str | None] | None = None, more: Sequence[Any] = ()) -> bytes:
    """Return a notebook with right answers, except for `answers`, and cells added at its end."""
    return notebook([*cells({**RIGHT, **(answers or {})}), *more])


RELEASED: Notebook = read(notebook(cells({})))
