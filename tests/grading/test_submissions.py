"""Finding submissions: layouts, zips, links, odd names, and nothing outside the folder."""

from __future__ import annotations

import os
import stat
import zipfile
from pathlib import Path

import pytest

from mlcourse.grading import submissions
from mlcourse.grading.submissions import (
    Unreadable,
    WrongUsage,
    file_name,
    file_names,
    find,
)

KNOWN = ("by_hand", "four_ways")


def put(root: Path, *places: str) -> Path:
    for place in places:
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(place.encode())
    return root


def found(root: Path, exercise: str | None = None) -> dict[tuple[str, str], bytes | str]:
    result: dict[tuple[str, str], bytes | str] = {}
    for submission in find(root, KNOWN, exercise).submissions:
        try:
            result[submission.student, submission.exercise] = submission.read()
        except Unreadable as reason:
            result[submission.student, submission.exercise] = str(reason)
    return result


def zipped(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def test_nbgrader_layout(tmp_path: Path) -> None:
    put(
        tmp_path,
        "ada/by_hand/by_hand.ipynb",
        "ada/four_ways/four_ways.ipynb",
        "ada/other/other.ipynb",
        "bob/by_hand/by_hand.ipynb",
        "bob/by_hand/timestamp.txt",
        "bob/by_hand/.ipynb_checkpoints/by_hand-checkpoint.ipynb",
    )
    assert found(tmp_path) == {
        ("ada", "by_hand"): b"ada/by_hand/by_hand.ipynb",
        ("ada", "four_ways"): b"ada/four_ways/four_ways.ipynb",
        ("bob", "by_hand"): b"bob/by_hand/by_hand.ipynb",
    }
    assert set(found(tmp_path, "four_ways")) == {("ada", "four_ways")}
    notes = find(tmp_path, KNOWN, "four_ways").notes
    assert notes == ["bob handed in nothing for four_ways"]


def test_flat_folder(tmp_path: Path) -> None:
    put(tmp_path, "ada.ipynb", "bob.IPYNB", ".hidden.ipynb", "notes.txt")
    assert found(tmp_path, "by_hand") == {
        ("ada", "by_hand"): b"ada.ipynb",
        ("bob", "by_hand"): b"bob.IPYNB",
    }
    with pytest.raises(WrongUsage, match="--exercise by_hand"):
        find(tmp_path, KNOWN)


@pytest.mark.parametrize("wrapper", ["", "class/"])
def test_zip_of_either(tmp_path: Path, wrapper: str) -> None:
    nested = zipped(
        tmp_path / "nested.zip",
        {
            f"{wrapper}ada/by_hand/by_hand.ipynb": b"1",
            f"__MACOSX/{wrapper}ada/by_hand/._by_hand.ipynb": b"2",
            f"{wrapper}.DS_Store": b"3",
        },
    )
    assert found(nested) == {("ada", "by_hand"): b"1"}
    flat = zipped(tmp_path / "flat.zip", {f"{wrapper}ada.ipynb": b"1", f"{wrapper}b.ipynb": b"2"})
    assert found(flat, "by_hand") == {("ada", "by_hand"): b"1", ("b", "by_hand"): b"2"}


def test_other_spellings_of_the_notebook(tmp_path: Path) -> None:
    put(
        tmp_path,
        "ada/by_hand/by_hand (1).ipynb",
        "bob/By_Hand/BY_HAND.ipynb",
        "cy/by_hand.ipynb",
        "di/by_hand/one.ipynb",
        "di/by_hand/two.ipynb",
    )
    (tmp_path / "eve" / "by_hand").mkdir(parents=True)
    rows = found(tmp_path)
    assert rows["ada", "by_hand"] == b"ada/by_hand/by_hand (1).ipynb"
    assert rows["bob", "by_hand"] == b"bob/By_Hand/BY_HAND.ipynb"
    assert rows["cy", "by_hand"] == b"cy/by_hand.ipynb"
    assert rows["di", "by_hand"] == "none of the 2 notebooks in the folder is called by_hand.ipynb"
    assert rows["eve", "by_hand"] == "there is no notebook by_hand.ipynb in the folder"


def test_zip_slip_is_left_aside(tmp_path: Path) -> None:
    names = [
        "../evil.ipynb",
        "/etc/evil.ipynb",
        "a/../../evil.ipynb",
        "C:\\evil.ipynb",
        "..\\e.ipynb",
    ]
    path = zipped(tmp_path / "slip.zip", {**dict.fromkeys(names, b"x"), "ada.ipynb": b"1"})
    before = sorted(tmp_path.rglob("*"))
    assert found(path, "by_hand") == {("ada", "by_hand"): b"1"}
    assert len(find(path, KNOWN, "by_hand").notes) == len(names)
    assert sorted(tmp_path.rglob("*")) == before


def test_zip_bomb_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submissions, "LARGEST_NOTEBOOK", 1_000_000)
    path = zipped(tmp_path / "bomb.zip", {"ada.ipynb": bytes(50_000_000), "bob.ipynb": b"1"})
    assert path.stat().st_size < 100_000
    assert found(path, "by_hand") == {
        ("ada", "by_hand"): "the notebook is too large: more than 1 MB",
        ("bob", "by_hand"): b"1",
    }


def test_too_many_files_in_a_zip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submissions, "MOST_FILES", 3)
    path = zipped(tmp_path / "many.zip", {f"{n}.ipynb": b"1" for n in range(4)})
    with pytest.raises(WrongUsage, match="more than 3 files"):
        find(path, KNOWN, "by_hand")


def test_damaged_zips(tmp_path: Path) -> None:
    path = zipped(tmp_path / "one.zip", {"ada.ipynb": b"hello " * 100, "bob.ipynb": b"1"})
    data = bytearray(path.read_bytes())
    data[45:50] = b"\xff\xff\xff\xff\xff"
    path.write_bytes(data)
    assert found(path, "by_hand")["ada", "by_hand"] == "the notebook is damaged in the zip"
    (tmp_path / "no.zip").write_bytes(b"this is no zip")
    with pytest.raises(WrongUsage, match="neither a folder nor a zip"):
        find(tmp_path / "no.zip", KNOWN, "by_hand")


def test_names_twice_in_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "twice.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("ada.ipynb", "1")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("ada.ipynb", "2")
    assert found(path, "by_hand") == {
        ("ada", "by_hand"): "the zip holds this notebook more than once"
    }


def test_link_in_a_zip(tmp_path: Path) -> None:
    path = tmp_path / "link.zip"
    entry = zipfile.ZipInfo("ada.ipynb")
    entry.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(entry, "/etc/passwd")
    assert found(path, "by_hand") == {
        ("ada", "by_hand"): "the notebook is a link, and links are not followed"
    }


def test_links_in_a_folder_are_not_followed(tmp_path: Path) -> None:
    root = put(tmp_path / "in", "bob/by_hand/by_hand.ipynb")
    outside = put(tmp_path / "outside", "by_hand/by_hand.ipynb")
    (root / "ada" / "by_hand").mkdir(parents=True)
    (root / "ada" / "by_hand" / "by_hand.ipynb").symlink_to(outside / "by_hand" / "by_hand.ipynb")
    (root / "cy").mkdir()
    (root / "cy" / "by_hand").symlink_to(outside / "by_hand")
    (root / "di").symlink_to(outside)
    rows = found(root)
    link = "the notebook is a link, and links are not followed"
    assert rows == {
        ("ada", "by_hand"): link,
        ("bob", "by_hand"): b"bob/by_hand/by_hand.ipynb",
        ("cy", "by_hand"): link,
    }
    assert find(root, KNOWN).notes == ["di is left aside: links are not followed"]


def test_a_pipe_does_not_hold_the_grader_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ada.ipynb")
    assert found(tmp_path, "by_hand") == {("ada", "by_hand"): "the notebook is not a regular file"}


def test_one_student_under_two_names(tmp_path: Path) -> None:
    put(tmp_path, "Jose\u0301.ipynb", "Jos\u00e9.ipynb")
    assert found(tmp_path, "by_hand") == {
        ("Jos\u00e9", "by_hand"): "two submissions have this student's name"
    }


def test_names_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xff\xfe.ipynb")).write_bytes(b"1")
    (tmp_path / "a\nb\u202e.ipynb").write_bytes(b"2")
    students = [student for student, _ in found(tmp_path, "by_hand")]
    assert sorted(students) == ["\\xff\\xfe", "a\\nb\\u202e"]


def test_nothing_to_grade_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage, match=r"STUDENT/EXERCISE/EXERCISE\.ipynb.*by_hand"):
        find(tmp_path, KNOWN)
    with pytest.raises(WrongUsage, match=r"STUDENT/by_hand/by_hand\.ipynb$"):
        find(tmp_path, KNOWN, "by_hand")
    with pytest.raises(WrongUsage, match="there is no folder or zip"):
        find(tmp_path / "absent", KNOWN)
    with pytest.raises(WrongUsage, match="no exercise 'x'"):
        find(tmp_path, KNOWN, "x")


@pytest.mark.parametrize("name", ["ada", "Ada Lovelace", "a.b@c.org", "Jos\u00e9", "李", "a_b-c"])
def test_plain_names_stay(name: str) -> None:
    assert file_name(name) == name


ODD = [
    "=1+1",
    "-x",
    "@x",
    "../up",
    "a/b",
    "..",
    ".",
    "CON",
    "nul.txt",
    "<script>",
    "a,b",
    "x" * 300,
]


def test_odd_names_become_safe_and_stay_apart() -> None:
    names = file_names([*ODD, "Ada", "ada", "a-b", "<script"])
    assert len({name.casefold() for name in names.values()}) == len(ODD) + 4
    for name in names.values():
        assert Path(name).name == name
        assert name[0] not in "=+-@. "
        assert len(name.encode()) <= 120
        assert not set(name) & set("/\\<>:\"'|?*,\n")
