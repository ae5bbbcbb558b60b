"""The notebook for nbgrader's `autograded/`: what a student wrote, safe to look at, with verdicts.

Formgrader shows these notebooks in the instructor's browser, so whatever could act there is taken
out: HTML and JavaScript outputs, HTML in Markdown, raw cells, metadata. Cells that carry points
come from the released exercise, and each check cell's output is the question's verdict.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlcourse.grading.notebook import Notebook, grade_id_of
from mlcourse.grading.results import Record

LONGEST_OUTPUT = 20_000  # characters of one output
LARGEST_IMAGE = 2_000_000  # characters of base64
IMAGES = ("image/png", "image/jpeg")
BASE64 = re.compile(r"[A-Za-z0-9+/\s]*={0,2}\s*")

#: What begins a tag, a comment or an automatic link in Markdown.
TAG = re.compile(r"<(?=[A-Za-z/!?])")

Json = dict[str, Any]


def write(submitted: Notebook | None, released: Notebook, records: Sequence[Record]) -> str:
    """Return the text of the notebook; `submitted` is None for one that cannot be read."""
    said = {record.question: verdict(record) for record in records}
    marked = {name: cell for cell in released.data["cells"] if (name := grade_id_of(cell))}
    source = submitted or released
    last = {cell.grade_id: number for number, cell in enumerate(source.cells) if cell.grade_id}
    cells: list[Json] = []
    for number, cell in enumerate(source.cells):
        official = None
        if cell.grade_id and last[cell.grade_id] == number:  # of copies, the last one counts
            official = marked.get(cell.grade_id)
        raw = source.data["cells"][number]
        if official and not is_answer(official):
            cells.append(check_cell(official, said))
        else:
            cells.append(plain_cell(cell.kind, cell.source, raw, official))
    cells += [
        check_cell(cell, said) if not is_answer(cell) else plain_cell("markdown", "", {}, cell)
        for name, cell in marked.items()
        if name not in last and carries_points(cell)
    ]
    for number, made in enumerate(cells):
        made["id"] = f"cell-{number}"
    metadata = {
        key: value
        for key, value in released.data.get("metadata", {}).items()
        if key in ("kernelspec", "language_info")
    }
    found = {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(found, ensure_ascii=False) + "\n"


def verdict(record: Record) -> str:
    return f"{record.status}: {record.message}" if record.message else record.status


def mark_of(cell: Json) -> Json:
    mark: Json = cell["metadata"]["nbgrader"]
    return mark


def is_answer(cell: Json) -> bool:
    return bool(mark_of(cell).get("solution"))


def carries_points(cell: Json) -> bool:
    return bool(mark_of(cell).get("grade"))


def check_cell(official: Json, said: Mapping[str, str]) -> Json:
    """Return a cell of ours as it was handed out, with the verdict as its output."""
    cell = copy.deepcopy(official)
    if cell["cell_type"] == "code":
        text = said.get(mark_of(cell)["grade_id"].removesuffix("_check"))
        cell["execution_count"] = None
        cell["outputs"] = [stream(text + "\n")] if text else []
    return cell


def plain_cell(kind: str, source: str, raw: Json, official: Json | None) -> Json:
    """Return a student's cell without anything that acts; answer cells keep their mark."""
    if official:
        kind = official["cell_type"]
    metadata = {"nbgrader": copy.deepcopy(mark_of(official))} if official else {}
    if kind != "code":
        text = TAG.sub("&lt;", source)
        return {"cell_type": "markdown", "metadata": metadata, "source": text}
    outputs = raw.get("outputs")
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": metadata,
        "outputs": list(safe_outputs(outputs if isinstance(outputs, list) else [])),
        "source": source,
    }


def safe_outputs(outputs: Sequence[Any]) -> Iterator[Json]:
    """Yield what can be shown safely of a code cell's outputs: text, errors and images."""
    for output in outputs[:100]:
        if not isinstance(output, dict):
            continue
        kind = output.get("output_type")
        if kind == "stream":
            yield stream(joined(output.get("text")))
        elif kind == "error":
            trace = output.get("traceback")
            lines = [joined(line) for line in trace] if isinstance(trace, list) else []
            yield {
                "output_type": "error",
                "ename": joined(output.get("ename"))[:200],
                "evalue": joined(output.get("evalue"))[:1000],
                "traceback": [line[:LONGEST_OUTPUT] for line in lines[:50]],
            }
        elif kind in ("display_data", "execute_result") and (data := safe_data(output.get("data"))):
            yield {"output_type": "display_data", "metadata": {}, "data": data}


def safe_data(data: Any) -> Json:
    if not isinstance(data, dict):
        return {}
    found: Json = {}
    if "text/plain" in data:
        found["text/plain"] = joined(data["text/plain"])[:LONGEST_OUTPUT]
    for kind in IMAGES:
        image = joined(data.get(kind))
        if image and len(image) <= LARGEST_IMAGE and BASE64.fullmatch(image):
            found[kind] = image
    return found


def stream(text: str) -> Json:
    return {"output_type": "stream", "name": "stdout", "text": text[:LONGEST_OUTPUT]}


def joined(text: Any) -> str:
    """Return notebook text, which is a string or a list of lines, as a string."""
    if isinstance(text, list):
        return "".join(line for line in text if isinstance(line, str))
    return text if isinstance(text, str) else ""
