"""Find what was handed in: nbgrader's folders, a flat folder, or a zip of either.

Nothing is unpacked to the disk, no link is followed, and a student's name becomes part of a path
only through `file_name`.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: A notebook of the course with all its figures has less than 1 MB.
LARGEST_NOTEBOOK = 20_000_000
MOST_FILES = 200_000
#: Never follow a link, never wait for a pipe; not every system has the flags.
OPENING = os.O_RDONLY | sum(getattr(os, f"O_{n}", 0) for n in ("NONBLOCK", "NOFOLLOW", "BINARY"))
IGNORED = {"__MACOSX", "Thumbs.db", "desktop.ini"}
RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{p}{n}" for p in ("COM", "LPT") for n in range(1, 10))}


class WrongUsage(ValueError):
    """The command cannot work with what it was given; one sentence says why, and the remedy."""


class Unreadable(ValueError):
    """A submission that cannot be read; the text is the reason for its student."""


#: Gets a notebook's bytes, or raises Unreadable.
Reader = Callable[[], bytes]


@dataclass(frozen=True)
class Submission:
    """One notebook of one student for one exercise, not read yet."""

    student: str
    exercise: str
    read: Reader


@dataclass
class Found:
    """What is to be graded, and one sentence on each thing that was left aside."""

    submissions: list[Submission] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class File:
    """A file below SUBMITTED: the parts of its name and how to get its bytes."""

    parts: tuple[str, ...]
    read: Reader


def find(submitted: Path, known: Sequence[str], exercise: str | None = None) -> Found:
    """Find the submissions in a folder or zip; `known` are the exercises that there are.

    With `exercise`, only that one's. Raises WrongUsage when there is nothing to grade.
    """
    if exercise is not None and exercise not in known:
        raise WrongUsage(f"there is no exercise {exercise!r}: there is {' and '.join(known)}")
    found = Found()
    if submitted.is_dir():
        files = list(files_of_folder(submitted, found.notes))
    elif not submitted.exists():
        raise WrongUsage(f"there is no folder or zip {str(submitted)!r}")
    elif zipfile.is_zipfile(submitted):
        files = list(files_of_zip(submitted, found.notes))
    else:
        raise WrongUsage(f"{str(submitted)!r} is neither a folder nor a zip")
    arrange(files, known, exercise, found)
    if not found.submissions:
        raise WrongUsage(nothing_found(submitted, files, known, exercise))
    return found


# --- Files ----------------------------------------------------------------------------------------


def files_of_folder(folder: Path, notes: list[str]) -> Iterator[File]:
    """Yield the files down to four levels, enough for a wrapped nbgrader layout."""
    pending: list[tuple[tuple[str, ...], str]] = [((), str(folder))]
    while pending:
        above, place = pending.pop()
        try:
            entries = sorted(os.scandir(place), key=lambda entry: entry.name)
        except OSError as error:
            notes.append(f"{shown('/'.join(above))} is left aside: {error.strerror}")
            continue
        entries = [entry for entry in entries if not is_ignored(entry.name)]
        if not entries:
            yield File((*above, ""), refused("the folder is empty"))
        for entry in entries:
            parts = (*above, entry.name)
            if entry.is_dir(follow_symlinks=False):
                if len(parts) < 4:
                    pending.append((parts, entry.path))
            elif entry.is_symlink() and len(parts) == 1 and entry.is_dir():
                notes.append(f"{shown(entry.name)} is left aside: links are not followed")
            else:
                yield File(parts, reader_of_path(Path(entry.path)))


def reader_of_path(path: Path) -> Reader:
    def read() -> bytes:
        try:
            descriptor = os.open(path, OPENING)
        except OSError as error:
            if path.is_symlink():
                raise Unreadable("the notebook is a link, and links are not followed") from None
            raise Unreadable(f"the notebook cannot be read: {error.strerror}") from None
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise Unreadable("the notebook is not a regular file")
            return bounded(file.read(LARGEST_NOTEBOOK + 1))

    return read


def files_of_zip(path: Path, notes: list[str]) -> Iterator[File]:
    """Yield a zip's files; names that would leave the folder are left aside, with a note."""
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        raise WrongUsage(f"the zip {str(path)!r} is damaged: make it again") from None
    if len(entries) > MOST_FILES:
        raise WrongUsage(f"the zip {str(path)!r} holds more than {MOST_FILES} files: split it")
    by_name: dict[tuple[str, ...], list[zipfile.ZipInfo]] = {}
    for entry in entries:
        name = entry.filename.replace("\\", "/")
        parts = tuple(part for part in name.split("/") if part not in ("", "."))
        if entry.is_dir() or any(map(is_ignored, set(parts) - {".."})):
            continue
        if ".." in parts or name.startswith("/") or re.match(r"[A-Za-z]:", name):
            notes.append(f"{shown(name)} is left aside: its name leads out of the zip")
            continue
        by_name.setdefault(parts, []).append(entry)
    for parts, same in by_name.items():
        yield File(parts, reader_of_entry(path, same))


def reader_of_entry(path: Path, entries: list[zipfile.ZipInfo]) -> Reader:
    def read() -> bytes:
        if len(entries) > 1:
            raise Unreadable("the zip holds this notebook more than once")
        if stat.S_ISLNK(entries[0].external_attr >> 16):
            raise Unreadable("the notebook is a link, and links are not followed")
        try:
            with zipfile.ZipFile(path) as archive, archive.open(entries[0]) as file:
                # The size in a zip's table may be a lie, so what counts is what comes out.
                return bounded(file.read(LARGEST_NOTEBOOK + 1))
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError):
            raise Unreadable("the notebook is damaged in the zip") from None
        except RuntimeError:
            raise Unreadable("the notebook is encrypted in the zip") from None

    return read


def bounded(data: bytes) -> bytes:
    if len(data) > LARGEST_NOTEBOOK:
        megabytes = LARGEST_NOTEBOOK // 1_000_000
        raise Unreadable(f"the notebook is too large: more than {megabytes} MB")
    return data


def is_ignored(name: str) -> bool:
    """Say whether a name is an operating system's, an editor's or Jupyter's own."""
    return name in IGNORED or name.startswith(".")


# --- Layouts --------------------------------------------------------------------------------------


def arrange(files: list[File], known: Sequence[str], exercise: str | None, found: Found) -> None:
    """Make submissions of the files: STUDENT/NAME/NAME.ipynb, or flat STUDENT.ipynb.

    A single folder around everything, as zips often have, is looked through.
    """
    wanted = {exercise} if exercise else set(known)
    handed_in = [*folders(files, wanted), *flat(files, exercise)]
    tops = {file.parts[0] for file in files}
    if not handed_in and len(tops) == 1 and all(len(file.parts) > 1 for file in files):
        files = [File(file.parts[1:], file.read) for file in files]
        handed_in = [*folders(files, wanted), *flat(files, exercise)]
    by_student: dict[tuple[str, str], list[Reader]] = {}
    for name, of, read in handed_in:
        by_student.setdefault((shown(name), of), []).append(read)
    for (student, of), reads in sorted(by_student.items(), key=lambda item: item[0]):
        read = reads[0] if len(reads) == 1 else refused("two submissions have this student's name")
        found.submissions.append(Submission(student, of, read))
    folder_names = {file.parts[0] for file in files if len(file.parts) > 1}
    absent = {shown(name) for name in folder_names} - {student for student, _ in by_student}
    for student in sorted(absent):
        found.notes.append(f"{student} handed in nothing for {exercise or 'any exercise'}")
    for file in files:
        if exercise is None and len(file.parts) == 1 and is_notebook(file):
            found.notes.append(
                f"{shown(file.parts[0])} is left aside: it is in no student's folder"
            )


def folders(files: Iterable[File], wanted: set[str]) -> Iterator[tuple[str, str, Reader]]:
    """Yield what lies in STUDENT/NAME/ or at STUDENT/NAME.ipynb; capitals do not count."""
    spelled = {f"{name}{end}".casefold(): name for name in wanted for end in ("", ".ipynb")}
    places: dict[tuple[str, str], list[File]] = {}
    for file in files:
        if len(file.parts) >= 2 and (name := spelled.get(file.parts[1].casefold())):
            inside = places.setdefault((file.parts[0], name), [])
            if len(file.parts) == 2 or (len(file.parts) == 3 and is_notebook(file)):
                inside.append(file)
    for (student, exercise), inside in places.items():
        yield student, exercise, choose(exercise, inside)


def choose(exercise: str, files: list[File]) -> Reader:
    """Choose the notebook in a student's folder: NAME.ipynb, else the only one there is."""
    wanted = f"{exercise}.ipynb"
    for exact in (str, str.casefold):
        named = [file for file in files if exact(file.parts[-1]) == exact(wanted)]
        if len(named) == 1:
            return named[0].read
    if len(files) == 1:
        return files[0].read
    if not files:
        return refused(f"there is no notebook {wanted} in the folder")
    return refused(f"none of the {len(files)} notebooks in the folder is called {wanted}")


def flat(files: Iterable[File], exercise: str | None) -> Iterator[tuple[str, str, Reader]]:
    """Yield the top level's STUDENT.ipynb."""
    for file in files:
        student = file.parts[0][: -len(".ipynb")]
        if exercise and len(file.parts) == 1 and is_notebook(file) and student:
            yield student, exercise, file.read


def is_notebook(file: File) -> bool:
    return file.parts[-1].casefold().endswith(".ipynb")


def refused(reason: str) -> Reader:
    def read() -> bytes:
        raise Unreadable(reason)

    return read


def nothing_found(
    submitted: Path, files: list[File], known: Sequence[str], exercise: str | None
) -> str:
    """Say why there is nothing to grade, and what to do."""
    place = repr(str(submitted))
    if exercise is None and any(is_notebook(file) and len(file.parts) <= 2 for file in files):
        return (
            f"{place} holds notebooks without exercise folders: say whose exercise they are, "
            f"for instance with --exercise {known[0] if known else 'NAME'}"
        )
    name = exercise or "EXERCISE"
    where = f"put them at STUDENT/{name}/{name}.ipynb"
    which = "" if exercise or not known else f", where EXERCISE is one of {', '.join(known)}"
    return f"{place} holds no submissions: {where}{which}"


# --- Names ----------------------------------------------------------------------------------------


def shown(name: str) -> str:
    """Return a student's name as text: composed, printable, valid UTF-8, on one line."""
    name = os.fsencode(name).decode("utf-8", "backslashreplace") if has_surrogates(name) else name
    name = unicodedata.normalize("NFC", name)
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def has_surrogates(name: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in name)


def file_names(students: Iterable[str]) -> dict[str, str]:
    """Give each student a file name; no two are the same where capitals do not count."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for student in sorted(set(students)):
        name = file_name(student)
        if name.casefold() in taken:
            name = f"{name}-{digest(student)}"
        names[student] = name
        taken.add(name.casefold())
    return names


def file_name(student: str) -> str:
    """Return a student's name as one safe part of a path.

    Plain names stay as they are; of an odd one the letters stay, with a hash that tells it from
    others. The gradebook takes the same, since nbgrader makes paths of its student ids.
    """
    plain = re.sub(r"[^\w.@+ -]+", "-", student).strip("-.@+ ")
    if plain == student and len(plain.encode()) <= 100 and not is_reserved(plain):
        return student
    return f"{plain.encode()[:80].decode(errors='ignore') or 'student'}-{digest(student)}"


def is_reserved(name: str) -> bool:
    return name.partition(".")[0].upper() in RESERVED


def digest(student: str) -> str:
    return hashlib.sha256(student.encode()).hexdigest()[:8]
