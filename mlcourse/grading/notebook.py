"""Read a notebook, and tell what in it is a student's answer to which question.

The rules, all of them on the text alone (nothing is run here):

- A question's answer cells are the code cells whose `grade_id` is the question's name; a copy that
  a student made counts as well.
- A question is *attempted* when an answer cell differs from the released one, or when any other
  cell that the student wrote defines the question's name. A cell differs when its syntax tree
  does: comments, blank lines and spaces are no answer, and neither is `...`.
- A question whose answer cells are gone or untouched, and whose name is defined nowhere else, is
  not attempted.
- An untouched stub never hides an answer: it is not run when another cell defines its name.
- What an answer consists of is the statements that define its name and, in turn, the names that
  these use. Forbidden use is looked for there, so that a student may still compare with autograd
  in a cell of their own.
- Checks that were handed out are not run, nor are cells that were handed out, are untouched, and
  define nothing that an answer or a student's own cell uses (the experiments between questions).
"""

from __future__ import annotations

import ast
import json
import symtable
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from mlcourse.grading.cells import python_of
from mlcourse.grading.submissions import Unreadable

MOST_CELLS = 5000


@dataclass(frozen=True)
class Cell:
    """One cell: `kind` is code, markdown or raw; `grade_id` is nbgrader's name for it, if any."""

    kind: str
    source: str
    grade_id: str | None = None

    @property
    def fingerprint(self) -> str:
        """What two cells share exactly when they say the same."""
        return self.code.fingerprint if self.kind == "code" else " ".join(self.source.split())

    @property
    def statements(self) -> Sequence[Statement]:
        """The cell's top-level statements; none where the code does not parse."""
        return self.code.statements if self.kind == "code" else ()

    @property
    def binds(self) -> frozenset[str]:
        """The global names that the cell gives a value."""
        return self.code.binds if self.kind == "code" else frozenset()

    @property
    def uses(self) -> frozenset[str]:
        """The global names that the cell reads, inside functions too."""
        return self.code.uses if self.kind == "code" else frozenset()

    @cached_property
    def code(self) -> Code:
        # Most cells of a class are the same ones.
        return remembered(self.source) if len(self.source) < 10_000 else Code.of(self.source)


@dataclass(frozen=True)
class Code:
    """What the text of a code cell says, whoever's it is."""

    fingerprint: str
    statements: tuple[Statement, ...]
    binds: frozenset[str]
    uses: frozenset[str]

    @classmethod
    def of(cls, source: str) -> Code:
        tree = parsed(python_of(source))
        if tree is None:
            return cls(" ".join(source.split()), (), frozenset(), frozenset())
        found = tuple(filter(None, map(Statement.of, tree.body)))
        binds = frozenset(name for statement in found for name in statement.binds)
        uses = frozenset(name for statement in found for name in statement.uses)
        return cls(ast.dump(tree) if tree.body else "", found, binds, uses)


@lru_cache(maxsize=2000)
def remembered(source: str) -> Code:
    return Code.of(source)


@dataclass(frozen=True)
class Statement:
    """A top-level statement: its syntax tree, the global names that it binds and that it reads."""

    node: ast.stmt
    binds: frozenset[str]
    uses: frozenset[str]

    @classmethod
    def of(cls, node: ast.stmt) -> Statement | None:
        try:
            scope = symtable.symtable(ast.unparse(node), "cell", "exec")
        except (SyntaxError, ValueError, RecursionError):
            return None
        binds: set[str] = set()
        uses: set[str] = set()
        for table in scopes(scope):
            top = table.get_type() == "module"
            for symbol in table.get_symbols():
                if not (top or symbol.is_global()):
                    continue
                if symbol.is_assigned() or symbol.is_imported():
                    binds.add(symbol.get_name())
                if symbol.is_referenced():
                    uses.add(symbol.get_name())
        return cls(node, frozenset(binds), frozenset(uses))

    @cached_property
    def course_modules(self) -> set[str]:
        """The modules of the course that the statement imports, such as `mlp` and `checks`."""
        found: set[str] = set()
        for node in ast.walk(self.node):
            if isinstance(node, ast.Import):
                dotted = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                dotted = [f"{node.module}.{alias.name}" for alias in node.names]
            else:
                continue
            parts = (name.split(".") for name in dotted)
            found |= {part[1] for part in parts if part[0] == "mlcourse" and len(part) > 1}
        return found - {"check", "hint", "*"}

    @property
    def is_blank_value(self) -> bool:
        """Say whether this is `NAME = ...`, a value that nobody has filled in."""
        value = getattr(self.node, "value", None)
        assigns = isinstance(self.node, (ast.Assign, ast.AnnAssign))
        return assigns and isinstance(value, ast.Constant) and value.value is ...


def scopes(table: symtable.SymbolTable) -> Iterator[symtable.SymbolTable]:
    yield table
    for child in table.get_children():
        yield from scopes(child)


def parsed(text: str) -> ast.Module | None:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


# --- Reading --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Notebook:
    """A notebook's cells, and the whole of it as plain data."""

    cells: tuple[Cell, ...]
    data: dict[str, Any]


def read(data: bytes) -> Notebook:
    """Read a notebook file. Raises Unreadable with the reason and the remedy."""
    if not data.strip():
        raise Unreadable("the notebook file is empty")
    try:
        found = json.loads(data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Unreadable("the notebook is not UTF-8 text: save it again in Jupyter") from None
    except (ValueError, RecursionError):
        raise Unreadable("the file is not a notebook: it is not valid JSON") from None
    if not isinstance(found, dict) or not isinstance(found.get("nbformat"), int):
        raise Unreadable("the file is JSON, but not a notebook: it names no notebook format")
    if found["nbformat"] != 4:
        raise Unreadable(
            f"the notebook is in format {found['nbformat']}, not 4: save it again in JupyterLab"
        )
    cells = found.get("cells")
    if not isinstance(cells, list) or len(cells) > MOST_CELLS:
        raise Unreadable("the notebook has no list of cells, or one of an absurd length")
    return Notebook(tuple(read_cell(cell) for cell in cells), found)


def read_cell(cell: Any) -> Cell:
    if not isinstance(cell, dict):
        raise Unreadable("the notebook is damaged: one of its cells is not a cell")
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        raise Unreadable("the notebook is damaged: one of its cells has no type or no source")
    return Cell(cell["cell_type"], source, grade_id_of(cell))


def grade_id_of(cell: dict[str, Any]) -> str | None:
    """Return nbgrader's name for a cell in notebook JSON, or None."""
    metadata = cell.get("metadata")
    mark = metadata.get("nbgrader") if isinstance(metadata, dict) else None
    grade_id = mark.get("grade_id") if isinstance(mark, dict) else None
    return grade_id if isinstance(grade_id, str) else None


def read_released(path: Path) -> Notebook:
    """Read an exercise as it was handed out. Raises FileNotFoundError when it is not there."""
    return read(path.read_bytes())


# --- Answers --------------------------------------------------------------------------------------


class Answers:
    """A submitted notebook beside the released one: what was attempted, and what to run.

    `names` are the exercise's question names. Cells are spoken of by their number, from 0.
    """

    def __init__(self, submitted: Notebook, released: Notebook, names: Collection[str]) -> None:
        self.cells = submitted.cells
        self.names = set(names)
        handed_out = {cell.fingerprint for cell in released.cells}
        self.stubs = {c.grade_id: c.fingerprint for c in released.cells if c.grade_id in self.names}
        self.answer_cells: dict[str, list[int]] = {name: [] for name in names}
        for number, cell in enumerate(self.cells):
            if cell.grade_id in self.names:
                self.answer_cells[cell.grade_id].append(number)
        self.untouched = {n for n, c in enumerate(self.cells) if c.fingerprint in handed_out}

    def recognises(self) -> bool:
        """Say whether anything here belongs to the exercise."""
        return any(self.answer_cells.values()) or any(map(self.defining, self.names))

    def is_attempted(self, name: str) -> bool:
        """Say whether there is an answer to question `name`, right or wrong."""
        changed = any(
            fingerprint and fingerprint != self.stubs.get(name)
            for fingerprint in (self.cells[n].fingerprint for n in self.answer_cells[name])
        )
        if not (changed or self.defining(name)):
            return False
        definitions = [s for c in self.cells for s in c.statements if name in s.binds]
        return not definitions or not all(s.is_blank_value for s in definitions)

    def defining(self, name: str) -> list[int]:
        """Return the cells, stubs and other untouched ones left out, that define `name`."""
        return [
            number
            for number, cell in enumerate(self.cells)
            if number not in self.untouched and name in cell.binds
        ]

    def is_idle_stub(self, number: int) -> bool:
        """Say whether a cell is an untouched stub of something that is defined elsewhere."""
        name = self.cells[number].grade_id
        return number in self.untouched and name in self.names and bool(self.defining(str(name)))

    @cached_property
    def runnable(self) -> list[int]:
        """The cells to run for the whole of what the student wrote, in order."""
        own = [
            number
            for number, cell in enumerate(self.cells)
            if cell.kind == "code"
            and not self.is_idle_stub(number)
            and (number not in self.untouched or cell.grade_id in self.names)
        ]
        provided = [n for n, c in enumerate(self.cells) if c.kind == "code" and n in self.untouched]
        return self.with_what_they_use(own, [n for n in provided if not self.is_idle_stub(n)])

    @cached_property
    def essential(self) -> list[int]:
        """The cells that define the answers and what these use, in order."""
        own = [n for n in self.runnable if self.is_answer(n) or self.names & self.cells[n].binds]
        return self.with_what_they_use(own, self.runnable)

    def is_answer(self, number: int) -> bool:
        return self.cells[number].grade_id in self.names

    def with_what_they_use(self, cells: Iterable[int], candidates: Sequence[int]) -> list[int]:
        """Add to `cells` those candidates that define names which they use, directly or not."""
        kept = set(cells)
        needed = {name for number in kept for name in self.cells[number].uses}
        while more := {n for n in candidates if n not in kept and self.cells[n].binds & needed}:
            kept |= more
            needed |= {name for number in more for name in self.cells[number].uses}
        return sorted(kept)

    def parts(self, name: str) -> list[tuple[int, Statement]]:
        """Return the statements that an answer consists of, each with its cell's number."""
        pending, seen = [name], {name}
        found: dict[tuple[int, int], Statement] = {}
        while pending:
            wanted = pending.pop()
            for number in self.runnable:
                for position, statement in enumerate(self.cells[number].statements):
                    if wanted in statement.binds:
                        found[number, position] = statement
                        new = statement.uses - seen
                        pending += sorted(new)
                        seen |= new
        return [(number, statement) for (number, _), statement in sorted(found.items())]

    def cells_of(self, name: str) -> set[int]:
        """Return the cells that a question's result depends on."""
        return {number for number, _ in self.parts(name)} | set(self.answer_cells[name])

    def source_of(self, name: str) -> str:
        """Return a student's text for a question, to show it beside the result."""
        numbers = self.answer_cells[name]
        if elsewhere := self.defining(name):
            numbers = sorted({n for n in numbers if n not in self.untouched} | set(elsewhere))
        return "\n\n".join(self.cells[n].source for n in numbers)
