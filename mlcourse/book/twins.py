"""Executed twins of the chapters: `python -m mlcourse.book.twins [--check] [--force] [PATH...]`.

A chapter is written in NAME.md (a MyST notebook). Its twin NAME.ipynb has the same cells, executed,
with outputs. Only chapters whose code changed are run again; where it is the text around the code,
a quiz, a box or a reference, outputs stay and only the page elements are made anew. `--force` runs
them all, `--check` runs nothing and exits 1 if a twin is behind its text.
"""

import argparse
import ast
import hashlib
import re
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError
from nbformat import NotebookNode

from mlcourse.book.bibliography import references
from mlcourse.book.curve_quiz import curve_quiz
from mlcourse.book.element import Element
from mlcourse.book.errata import mistake
from mlcourse.book.interactive import interactive
from mlcourse.book.quizzes import quiz
from mlcourse.kernel import LANGUAGE_INFO

BOOK = Path(__file__).resolve().parents[2] / "book"
SECONDS_A_CELL = 120
_ELEMENTS: dict[str, Callable[..., Element]] = {
    "curve_quiz": curve_quiz,
    "interactive": interactive,
    "mistake": mistake,
    "quiz": quiz,
    "references": references,
}
_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": LANGUAGE_INFO,
}
TEXT_LINK = re.compile(r"\]\(([\w./]*\b\d_\w+)\.md(?:#[\w-]*)?\)")
_MAGIC = re.compile(r"^(\s*)[%!].*$", re.MULTILINE)
_UNSTABLE = re.compile(r" at 0x[0-9a-f]{6,}|(?<![\w./])/(?:root|home|tmp|work|Users)/")


class TwinError(Exception):
    """A chapter that cannot become a twin; the message is one sentence."""


def chapters(folder: Path = BOOK) -> list[Path]:
    """The text of every chapter: the files `N_part/N_name.md` of the book, in order."""
    found = folder.glob("[0-9]_*/[0-9]*.md")
    return sorted(found, key=lambda path: (path.parent, int(path.name.split("_")[0])))


def read(path: Path) -> NotebookNode:
    """The chapter at `path` (NAME.md) as a notebook with fixed metadata and stable cell ids."""
    notebook = jupytext.read(path, fmt="md:myst")
    notebook.metadata = nbformat.from_dict(_METADATA)
    seen: Counter[str] = Counter()
    for cell in notebook.cells:
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:8]
        seen[digest] += 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
    return notebook


def source_hash(notebook: NotebookNode) -> str:
    """A hash of the cells and of what the page elements that they call display now."""
    digest = hashlib.sha256()
    for cell in notebook.cells:
        digest.update(f"{cell.cell_type}\n{cell.source}\n{sorted(_plain(cell))}\n".encode())
        if cell.cell_type == "code":
            for element in _elements(cell.source):
                digest.update(element.html.encode())
    return digest.hexdigest()[:16]


def _plain(cell: NotebookNode) -> list[str]:
    return [f"{key}={value}" for key, value in cell.metadata.items()]


def _elements(source: str) -> list[Any]:
    """The page elements that a cell makes from literals, such as `quiz("backward")`."""
    plain = _MAGIC.sub(r"\1pass", source)
    return [
        _ELEMENTS[node.func.id](*map(ast.literal_eval, node.args))
        for node in ast.walk(ast.parse(plain))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in _ELEMENTS
    ]


def is_current(path: Path) -> bool:
    """Whether the twin of the chapter at `path` exists and was made from its present text."""
    twin = path.with_suffix(".ipynb")
    if not twin.is_file():
        return False
    made = nbformat.read(twin, as_version=4)
    text = read(path)
    same_cells = [(c.id, c.source) for c in made.cells] == [(c.id, c.source) for c in text.cells]
    return same_cells and made.metadata.get("mlcourse", {}).get("source") == source_hash(text)


def refreshed(path: Path) -> NotebookNode | None:
    """The chapter with the outputs of its twin, if all its code is what made them; else None."""
    twin = path.with_suffix(".ipynb")
    if not twin.is_file():
        return None
    notebook = read(path)
    old, new = (_code(found) for found in (nbformat.read(twin, as_version=4), notebook))
    if [(c.source, _plain(c)) for c in old] != [(c.source, _plain(c)) for c in new]:
        return None
    for was, cell in zip(old, new, strict=True):
        cell.outputs, cell.execution_count = was.outputs, was.execution_count
    _make_elements([cell for cell in new if _is_element(cell.source)], path)
    return _checked(notebook, path)


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _is_element(source: str) -> bool:
    """Whether a cell makes a page element and does nothing else."""
    body = ast.parse(_MAGIC.sub(r"\1pass", source)).body
    return (
        len(body) == 1
        and isinstance(body[0], ast.Expr)
        and isinstance(call := body[0].value, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in _ELEMENTS
    )


def _make_elements(cells: list[NotebookNode], path: Path) -> None:
    """Run the cells that only make a page element, which need no cell before them."""
    imports = nbformat.v4.new_code_cell(f"from mlcourse.book import {', '.join(_ELEMENTS)}")
    counts = [cell.execution_count for cell in cells]
    _run(nbformat.v4.new_notebook(cells=[imports, *cells], metadata=_METADATA), path)
    for cell, count in zip(cells, counts, strict=True):
        cell.execution_count = count
        for output in cell.outputs:
            if "execution_count" in output:
                output.execution_count = count


def execute(path: Path) -> NotebookNode:
    """The chapter at `path`, run from its own folder; TwinError if a cell fails or warns."""
    notebook = read(path)
    _run(notebook, path)
    return _checked(notebook, path)


def _run(notebook: NotebookNode, path: Path) -> None:
    client = NotebookClient(
        notebook,
        timeout=SECONDS_A_CELL,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        coalesce_streams=True,
    )
    try:
        client.execute()
    except CellExecutionError as error:
        raise TwinError(f"{path.name}: {error.ename}: {error.evalue}\n{error}") from None
    except CellTimeoutError:
        raise TwinError(f"{path.name}: a cell ran longer than {SECONDS_A_CELL} s") from None


def _checked(notebook: NotebookNode, path: Path) -> NotebookNode:
    """The notebook as a twin; TwinError if readers would see something that they should not."""
    for number, cell in enumerate(notebook.cells, start=1):
        if link := TEXT_LINK.search(cell.source):
            raise TwinError(
                f"{path.name} links to {link[1]}.md: link to its twin, {link[1]}.ipynb, which is "
                "what the book, Colab and JupyterLab open"
            )
        for output in cell.get("outputs", []):
            if problem := output_problem(output):
                raise TwinError(f"{path.name}, cell {number}: {problem}")
    notebook.metadata = nbformat.from_dict(
        {**_METADATA, "mlcourse": {"source": source_hash(notebook)}}
    )
    return notebook


def output_problem(output: NotebookNode) -> str | None:
    """What is wrong with an output that readers would see, in a sentence; None if nothing is."""
    if output.output_type == "error":
        return f"the cell raised {output.ename}: {output.evalue}"
    if output.output_type == "stream" and output.name == "stderr":
        return f"the cell wrote to stderr (a warning, a progress bar?): {output.text.strip()[:300]}"
    data = output.get("data", {})
    text = output.get("text", "") or f"{data.get('text/plain', '')}{data.get('text/html', '')}"
    if found := _UNSTABLE.search(text):
        return f"the output shows an address or a path of this machine: {found.group().strip()!r}"
    return None


def write(notebook: NotebookNode, path: Path) -> None:
    """Write the executed notebook as the twin of the chapter at `path`."""
    nbformat.validate(notebook)
    twin = path.with_suffix(".ipynb")
    twin.write_text(nbformat.writes(notebook, version=4) + "\n", encoding="utf-8")


def _update(paths: list[Path], *, force: bool) -> int:
    failures = 0
    for path in paths:
        if not force and is_current(path):
            print(f"{path.name}: unchanged")
            continue
        start = time.perf_counter()
        try:
            kept = None if force else refreshed(path)
            write(kept or execute(path), path)
            done = "outputs kept" if kept else f"executed in {time.perf_counter() - start:.1f} s"
            print(f"{path.name}: {done}")
        except TwinError as error:
            print(error, file=sys.stderr)
            failures += 1
    return 1 if failures else 0


def _check(paths: list[Path]) -> int:
    behind = [path.name for path in paths if not is_current(path)]
    for name in behind:
        print(f"{name}: its twin is not made from this text; run `make notebooks`", file=sys.stderr)
    return 1 if behind else 0


def main(arguments: list[str] | None = None) -> int:
    """Bring the twins up to date, or with `--check` only say which are not; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mlcourse.book.twins", description=__doc__)
    parser.add_argument("paths", nargs="*", type=Path, help="chapters (NAME.md); all if none")
    parser.add_argument("--check", action="store_true", help="run nothing, only compare")
    parser.add_argument("--force", action="store_true", help="run unchanged chapters too")
    options = parser.parse_args(arguments)
    paths = [path.with_suffix(".md") for path in options.paths] or chapters()
    for path in paths:
        if not path.is_file():
            parser.error(f"{path} does not exist")
    return _check(paths) if options.check else _update(paths, force=options.force)


if __name__ == "__main__":
    sys.exit(main())
