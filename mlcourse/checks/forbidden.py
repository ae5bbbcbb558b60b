"""Find what an answer may not use: in its source, and while it runs. For teaching, not security."""

from __future__ import annotations

import ast
import contextlib
import importlib
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn

from mlcourse.checks.judge import ForbiddenUse


def mentions(tree: ast.AST) -> set[str]:
    """Return the attribute names and the imported names in a piece of source."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            dotted = [alias.name for alias in node.names]
            dotted.append(getattr(node, "module", None) or "")
            found |= {part for name in dotted for part in name.split(".")}
    return found


@contextlib.contextmanager
def tripwires(names: Iterable[str]) -> Iterator[None]:
    """While this lasts, calling one of these dotted names raises `ForbiddenUse`."""
    with contextlib.ExitStack() as undo:
        for dotted in names:
            first, *path, name = dotted.split(".")
            owner: Any = importlib.import_module(first)
            for part in path:
                owner = getattr(owner, part)
            if name in vars(owner):
                undo.callback(setattr, owner, name, vars(owner)[name])
            else:  # inherited: take the wire away again to uncover it
                undo.callback(delattr, owner, name)
            setattr(owner, name, wire(dotted))
        yield


def wire(dotted: str) -> Any:
    def trip(*args: Any, **kwargs: Any) -> NoReturn:
        raise ForbiddenUse(dotted)

    return trip
