"""Where the exercises are, how a student starts one, and how an author releases them."""

from __future__ import annotations

import difflib
import json
import shutil
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def folder() -> Path:
    """Return the folder of the exercises: the wheel's copy, or the repository's own."""
    packed = PACKAGE / "_exercises"
    return packed if packed.is_dir() else PACKAGE.parent / "exercises"


def path(name: str) -> Path:
    """Return the path of exercise `name`'s notebook.

    Raises ValueError, naming the nearest exercises, when there is none of that name.
    """
    known = list(titles())
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1) or known
        raise ValueError(f"there is no exercise {name!r}; there is {' and '.join(map(repr, near))}")
    return folder() / name / f"{name}.ipynb"


def titles() -> dict[str, str]:
    """Return each exercise's name and title, in the order of the names."""
    found = {}
    for notebook in sorted(folder().glob("*/*.ipynb")):
        if notebook.stem == notebook.parent.name:
            first = json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]
            heading = "".join(first["source"]).partition("\n")[0]
            found[notebook.stem] = heading.lstrip("# ").strip()
    return found


def start(name: str, into: Path | str = ".") -> Path:
    """Copy exercise `name` into a folder and return the copy's path, NAME.ipynb.

    Raises ValueError for an unknown name and FileExistsError when a file of that name is there:
    a student's work is never overwritten.
    """
    source = path(name)
    target = Path(into) / source.name
    try:
        with target.open("xb") as file, source.open("rb") as original:
            shutil.copyfileobj(original, file)
    except FileExistsError:
        raise FileExistsError(
            f"{target} exists and is left as it is: move or rename it to start afresh"
        ) from None
    return target


def release(check: bool = False, root: Path | None = None) -> int:
    """Make exercises/ and source/ from solutions/, or with `check` only compare exercises/.

    Says what it wrote, or what differs; returns 0, or 1 when something differs or is refused.
    """
    root = root or PACKAGE.parent
    try:
        made = generate(root)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    strays = set((root / "exercises").glob("*/*.ipynb")) - set(made)
    if not check:
        for target, text in made.items():
            state = "wrote" if write(target, text) else "up to date:"
            print(state, target.relative_to(root))
        for stray in sorted(strays):
            print(f"{stray.relative_to(root)} has no solution file: delete it", file=sys.stderr)
        return 1 if strays else 0
    different = strays | {
        target
        for target, text in made.items()
        if target.is_relative_to(root / "exercises") and differs(target, text)
    }
    for target in sorted(different):
        print(f"{target.relative_to(root)} differs from solutions/: run mlcourse release")
    return 1 if different else 0


def generate(root: Path) -> dict[Path, str]:
    """Return path -> text of every notebook that the solution files make.

    Raises Refused (a ValueError) for a solution file that cannot be released, and
    FileNotFoundError where there are no solution files.
    """
    solutions = {file.stem: file for file in sorted((root / "solutions").glob("*.py"))}
    if not solutions:
        raise FileNotFoundError("there is no solutions/ here: release exercises in the repository")
    # These need what only authors have installed.
    from mlcourse.checks import EXERCISES, load
    from mlcourse.release import Refused, as_text, notebooks

    for name in (*EXERCISES, *solutions):
        if name not in solutions or name not in EXERCISES:
            raise Refused(
                f"{name}: it needs both solutions/{name}.py and a name in mlcourse.checks.EXERCISES"
            )
    made = {}
    for name, file in solutions.items():
        source, released = notebooks(file.read_text(encoding="utf-8"), load(name))
        made[root / "exercises" / name / f"{name}.ipynb"] = as_text(released)
        made[root / "source" / name / f"{name}.ipynb"] = as_text(source)
    return made


def differs(target: Path, text: str) -> bool:
    return not target.exists() or target.read_bytes() != text.encode()


def write(target: Path, text: str) -> bool:
    """Write `text` unless it is there already, so that make sees no change; say if it wrote."""
    if not differs(target, text):
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(text.encode())
    return True
