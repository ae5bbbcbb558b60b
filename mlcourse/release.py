"""Make an exercise's notebooks from its single source, `solutions/NAME.py`.

Two notebooks come out: the *source* holds the solutions and is what nbgrader's own tools take;
the *exercise* is what students get. An author writes prose, answer cells and the solutions between
markers; the rest (set-up, choices, check cells, points) comes from the declaration in
`mlcourse.checks`, so that the notebook and the grader cannot disagree.
"""

from __future__ import annotations

import ast
import copy
import difflib
import hashlib
import re
from collections.abc import Iterator

import jupytext
import nbformat
from nbformat import NotebookNode
from nbgrader.utils import compute_checksum

from mlcourse.__about__ import REPOSITORY
from mlcourse.checks import Exercise, Question
from mlcourse.kernel import LANGUAGE_INFO

BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"
CODE_STUB = "raise NotImplementedError()  # your code here"
TEXT_STUB = "*Write your answer here.*"

SETUP = f"""\
# Run this cell first. On Google Colab it installs the course.
import sys

if "google.colab" in sys.modules:
    %pip install --quiet "mlcourse @ git+{REPOSITORY}"

from mlcourse import check, hint"""

METADATA = {
    "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
    "language_info": LANGUAGE_INFO,
}


class Refused(ValueError):
    """A solution file that cannot be released; the message is one sentence with the remedy."""


def notebooks(text: str, exercise: Exercise) -> tuple[NotebookNode, NotebookNode]:
    """Return (source, exercise notebook) for the solution file's `text`.

    Raises Refused when a marker is mistyped, cells and declared questions do not correspond, or a
    line of a solution would reach the students.
    """
    written = jupytext.reads(text, fmt="py:percent").cells
    for cell in written:
        cell.metadata.pop("lines_to_next_cell", None)  # jupytext's note on blank lines
    refuse_strays(written, exercise)
    source = nbformat.v4.new_notebook(cells=list(cells(written, exercise)), metadata=METADATA)
    number(source)
    released = copy.deepcopy(source)
    for cell in released.cells:
        clear(cell)
        lock(cell)
    refuse_leaks(source, released)
    return source, released


def as_text(notebook: NotebookNode) -> str:
    """Return the notebook as the text of its file."""
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def cells(written: list[NotebookNode], exercise: Exercise) -> Iterator[NotebookNode]:
    """Yield the source notebook's cells: those written, and those made from the declaration."""
    following = [cell.metadata.get("question") for cell in written[1:]] + [None]
    for index, (cell, after) in enumerate(zip(written, following, strict=True)):
        name = cell.metadata.get("question")
        if name is None:
            text = cell.source
            if after and cell.cell_type == "markdown":
                text += choices(exercise[after])
            yield fresh(cell.cell_type, text)
        else:
            yield from answer_cells(exercise, exercise[name], cell.source)
        if index == 0:
            yield fresh("code", SETUP)


def choices(question: Question) -> str:
    """Return the list of a question's choices, to stand below its text; "" if it has none."""
    lines = [f"- **{letter}**: {text}" for letter, text in (question.choices or {}).items()]
    return "\n\n" + "\n".join(lines) if lines else ""


def answer_cells(exercise: Exercise, question: Question, text: str) -> Iterator[NotebookNode]:
    """Yield a question's answer cell and its check cell."""
    if question.kind == "text":
        yield graded(fresh("markdown", text), question.name, points=question.points, answer=True)
        return
    yield graded(fresh("code", text), question.name, points=None, answer=True)
    points = "1 point" if question.points == 1 else f"{question.points} points"
    call = f'check("{exercise.name}.{question.name}", {question.name})  # {points}'
    yield graded(fresh("code", call), f"{question.name}_check", points=question.points)


def fresh(kind: str, text: str) -> NotebookNode:
    make = nbformat.v4.new_code_cell if kind == "code" else nbformat.v4.new_markdown_cell
    return make(text)


def graded(
    cell: NotebookNode, name: str, *, points: int | None, answer: bool = False
) -> NotebookNode:
    """Give `cell` nbgrader's metadata (schema 3): an answer cell, one with points, or both."""
    mark = {
        "grade": points is not None,
        "grade_id": name,
        "locked": not answer,
        "schema_version": 3,
        "solution": answer,
        "task": False,
    }
    if points is not None:
        mark["points"] = points
    cell.metadata["nbgrader"] = mark
    return cell


def number(notebook: NotebookNode) -> None:
    """Give every cell an id that depends on the content alone, so that regenerating is stable."""
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        mark = cell.metadata.get("nbgrader")
        name = mark["grade_id"] if mark else hashlib.sha256(cell.source.encode()).hexdigest()[:8]
        seen[name] = seen.get(name, 0) + 1
        cell.id = name if seen[name] == 1 else f"{name}-{seen[name]}"


def clear(cell: NotebookNode) -> None:
    """Put a stub where each solution of an answer cell stands; other cells stay as they are.

    nbgrader_config.py gives nbgrader's own tools this same function.
    """
    mark = cell.metadata.get("nbgrader", {})
    if not mark.get("solution"):
        return
    kept: list[str] = []
    inside = False
    for line in cell.source.splitlines():
        marker = marker_of(line)
        if marker == BEGIN:
            indent = line[: len(line) - len(line.lstrip())]
            kept.append(indent + stub(cell.cell_type, mark["grade_id"], indent))
        if not inside and marker is None:
            kept.append(line)
        inside = marker == BEGIN or (inside and marker is None)
    cell.source = "\n".join(kept)


def stub(kind: str, name: str, indent: str) -> str:
    """Return what stands for an answer: a value's block is at the left margin, a body's is not."""
    if kind == "markdown":
        return TEXT_STUB
    return CODE_STUB if indent else f"{name} = ..."


def lock(cell: NotebookNode) -> None:
    """Do what nbgrader does on release: no deleting, no editing of checks, checksums."""
    if mark := cell.metadata.get("nbgrader"):
        cell.metadata["deletable"] = False
        if mark["locked"]:
            cell.metadata["editable"] = False
        mark["checksum"] = compute_checksum(cell)
        mark["cell_type"] = cell.cell_type


def marker_of(line: str) -> str | None:
    """Return BEGIN or END when `line` is that marker (in Markdown: in an HTML comment)."""
    text = line.strip().removeprefix("<!-- ").removesuffix(" -->")
    return text if text in (BEGIN, END) else None


# --- What is refused ------------------------------------------------------------------------------


def refuse_strays(written: list[NotebookNode], exercise: Exercise) -> None:
    """Refuse mistyped markers and options, and questions and cells that do not correspond."""
    if not written or not is_prose(written[0]):
        raise Refused(
            f"{exercise.name}: the first cell is no text (two blank lines after the header make an "
            "empty one): begin with # %% [markdown] and the title"
        )
    declared = {question.name: question for question in exercise.questions}
    answered: set[str] = set()
    for before, cell in zip([None, *written], written, strict=False):
        name = cell.metadata.get("question")
        where = f"{exercise.name}: the cell {opening(cell)!r}"
        for line in cell.source.splitlines():
            refuse_mistyped(line, where)
        if unknown := set(cell.metadata) - {"question"}:
            raise Refused(f'{where} has {sorted(unknown)[0]!r}: write only question="NAME" there')
        if name is None:
            if any(map(marker_of, cell.source.splitlines())):
                raise Refused(f'{where} has a solution but no question: add question="NAME" to it')
            continue
        if name not in declared:
            near = difflib.get_close_matches(str(name), declared, n=1) or list(declared)
            raise Refused(
                f"{where} answers {name!r}, which mlcourse/checks/{exercise.name}.py does not "
                f"declare: did you mean {near[0]!r}?"
            )
        if name in answered:
            raise Refused(f"{exercise.name}: two cells answer {name!r}: keep one")
        answered.add(name)
        if declared[name].choices and not is_prose(before):
            raise Refused(f"{where} has choices: put the question's text in a cell before it")
        refuse_leftovers(cell, declared[name], where)
    if missing := [name for name in declared if name not in answered]:
        raise Refused(
            f"{exercise.name}: no cell answers {missing[0]!r}: "
            f'add one that begins # %% question="{missing[0]}"'
        )


def is_prose(cell: NotebookNode | None) -> bool:
    return cell is not None and cell.cell_type == "markdown" and "question" not in cell.metadata


def opening(cell: NotebookNode) -> str:
    first = cell.source.strip().splitlines() or [""]
    return first[0][:50]


def refuse_mistyped(line: str, where: str) -> None:
    """Refuse a line that is nearly a marker: its solution would reach the students."""
    if marker_of(line):
        return
    letters = re.sub(r"[^a-z]", "", line.lower())
    near = difflib.get_close_matches(letters, ["beginsolution", "endsolution"], cutoff=0.75)
    if near or re.search(r"BEGIN SOLUTION|END SOLUTION|### ?(BEGIN|END)\b", line):
        raise Refused(f"{where} has the marker {line.strip()!r}: write {BEGIN!r} or {END!r}")


def refuse_leftovers(cell: NotebookNode, question: Question, where: str) -> None:
    """Refuse an answer cell that is of the wrong kind, or holds a solution outside its markers."""
    wanted = "markdown" if question.kind == "text" else "code"
    if cell.cell_type != wanted:
        raise Refused(f"{where} is a {cell.cell_type} cell: {question.name!r} needs {wanted}")
    lines = cell.source.splitlines()
    markers = [marker for marker in map(marker_of, lines) if marker]
    if not markers or markers != [BEGIN, END] * (len(markers) // 2):
        raise Refused(f"{where}: put the solution between {BEGIN!r} and {END!r}, in pairs")
    if any(not "".join(block).strip() for block in blocks(cell.source)):
        raise Refused(f"{where} has nothing between {BEGIN!r} and {END!r}")
    if wanted == "code":
        bare = graded(fresh("code", cell.source), question.name, points=None, answer=True)
        clear(bare)
        refuse_code(bare.source, question, where)


def refuse_code(text: str, question: Question, where: str) -> None:
    """Refuse an answer cell that keeps more than imports, signatures and docstrings."""
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        raise Refused(f"{where} without its solution is not Python: {error.msg}") from None
    kept = next(leftovers(tree), None)
    if kept is not None:
        line = text.splitlines()[kept.lineno - 1].strip()
        raise Refused(f"{where} would show students {line!r}: move it between the markers")
    names = {getattr(node, "name", None) for node in tree.body}
    if question.kind == "function" and (question.name not in names or CODE_STUB not in text):
        raise Refused(f"{where} has no function {question.name!r} with its body between markers")
    if question.kind == "value" and f"{question.name} = ..." not in text.splitlines():
        raise Refused(f"{where}: put {question.name} = VALUE, alone, between the markers")


def leftovers(tree: ast.Module | ast.ClassDef | ast.FunctionDef) -> Iterator[ast.stmt]:
    """Yield the statements of an answer cell that are neither frame nor stub."""
    for index, node in enumerate(tree.body):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield from leftovers(node)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            continue
        elif not (is_stub(node) or (index == 0 and is_docstring(node))):
            yield node


def is_docstring(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def is_stub(node: ast.stmt) -> bool:
    if isinstance(node, ast.Assign):
        return isinstance(node.value, ast.Constant) and node.value.value is ...
    return isinstance(node, ast.Raise) and ast.unparse(node) == "raise NotImplementedError()"


def blocks(text: str) -> Iterator[list[str]]:
    """Yield the lines of each solution in a cell's source."""
    block: list[str] | None = None
    for line in text.splitlines():
        marker = marker_of(line)
        if marker == END and block is not None:
            yield block
        block = [] if marker == BEGIN else None if marker == END else block
        if block is not None and marker is None:
            block.append(line)


def normalised(lines: list[str]) -> list[str]:
    """Return the lines that say something: no blank or comment lines, spaces made even."""
    bare = (re.sub(r"\s+", " ", re.sub(r"(^|\s)#.*", "", line)).strip() for line in lines)
    return [line for line in bare if line]


def refuse_leaks(source: NotebookNode, released: NotebookNode) -> None:
    """Refuse a release in which three lines of a solution stand in a row, wherever they are."""
    shown = "\n".join(normalised("\n".join(cell.source for cell in released.cells).splitlines()))
    for cell in source.cells:
        for block in blocks(cell.source):
            lines = normalised(block)
            for run in zip(lines, lines[1:], lines[2:], strict=False):
                if "\n".join(("", *run, "")) in f"\n{shown}\n":
                    raise Refused(
                        f"the solution of {cell.id!r} stands in another cell, from {run[0]!r} on: "
                        "take it out of there"
                    )
