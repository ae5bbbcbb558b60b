"""A notebook's cells outside a notebook: magics, `display` and `get_ipython` do no harm.

The worker has a copy of this file, so it stands alone.
"""

from __future__ import annotations

import re
import types
from typing import Any

#: Magics that run the Python that follows them; all others (`%%bash`, `%pip`...) do nothing here.
RUNS_PYTHON = {"time", "timeit", "prun", "capture"}
MAGIC = re.compile(r"^(?P<indent>\s*)(?:%%?(?P<name>\w+)(?P<rest>.*)|[!?].*|[\w.]+\?{1,2}\s*)$")
ASSIGNMENT = re.compile(r"^(?P<left>\s*[\w.,\s]+=)\s*[%!].*$")


def python_of(cell: str) -> str:
    """Return `cell` as plain Python with as many lines: what only IPython understands is blanked.

    A cell that is Python already comes back unchanged.
    """
    try:
        compile(cell, "cell", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        pass
    else:
        return cell
    first = re.match(r"^\s*%%(\w+)", cell)
    if first and first[1] not in RUNS_PYTHON:
        return ""
    return "\n".join(map(plain_line, cell.split("\n")))


def plain_line(line: str) -> str:
    if assigned := ASSIGNMENT.match(line):
        return f"{assigned['left']} None"
    magic = MAGIC.match(line)
    if not magic:
        return line
    keep = ""
    if magic["name"] in RUNS_PYTHON and not line.lstrip().startswith("%%"):
        keep = re.sub(r"^(\s+-\S+(\s+\d+)?)*\s+", "", magic["rest"])
    return f"{magic['indent']}{keep or 'pass'}"


class Shell:
    """Stands in for what `get_ipython()` returns: every method exists and does nothing."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return nothing


def nothing(*args: Any, **kwargs: Any) -> None:
    """Take anything, do nothing."""


def namespace() -> dict[str, Any]:
    """Return the global names that cells start with, those of a fresh `__main__` module."""
    module = types.ModuleType("__main__")
    names = vars(module)
    shell = Shell()
    names.update(display=nothing, get_ipython=lambda: shell, In=[""], Out={})
    names["__module_of_cells__"] = module
    return names
