"""The tool that executes chapters, and the twins that it made."""

from pathlib import Path

import nbformat
import pytest

from mlcourse.book import twins

CHAPTERS = twins.chapters()
HEADER = """---
kernelspec:
  display_name: Python 3
  language: python
  name: python3
---

# A chapter

"""


def _chapter(folder: Path, *codes: str) -> Path:
    path = folder / "1_sample.md"
    cells = "\n".join(f"```{{code-cell}} ipython3\n{code}\n```\n" for code in codes)
    path.write_text(HEADER + cells, encoding="utf-8")
    return path


def test_a_twin_is_made_once_and_again_when_the_text_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _chapter(tmp_path, "1 + 1")
    assert twins.main(["--check", str(path)]) == 1
    assert twins.main([str(path)]) == 0
    assert "executed" in capsys.readouterr().out
    twin = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert twin.cells[1].outputs[0].data["text/plain"] == "2"
    assert twin.metadata.language_info.name == "python"
    assert "version" not in twin.metadata.language_info
    assert twins.main(["--check", str(path)]) == 0
    twins.main([str(path)])
    assert "unchanged" in capsys.readouterr().out
    _chapter(tmp_path, "1 + 2")
    assert twins.main(["--check", str(path)]) == 1


def test_new_text_keeps_the_outputs_and_makes_the_elements_anew(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = ("import time\nfrom mlcourse.book import mistake", "time.time_ns()")
    box = 'mistake(\n    "p1-12"\n)'
    path = _chapter(tmp_path, *codes, box)
    twins.main([str(path)])
    before = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    path.write_text(path.read_text(encoding="utf-8").replace("# A chapter", "# The chapter"))
    # As if the box's text had been another one when the twin was made.
    stale = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    stale.cells[3].outputs[0].data["text/html"] = "old"
    twins.write(stale, path)
    assert twins.main([str(path)]) == 0
    assert "outputs kept" in capsys.readouterr().out
    after = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert after.cells[0].source == "# The chapter"
    assert after.cells[1:] == before.cells[1:]
    assert twins.is_current(path)
    twins.main(["--force", str(path)])
    forced = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    assert forced.cells[2].outputs != before.cells[2].outputs


def test_a_twin_is_behind_when_its_quiz_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _chapter(tmp_path, 'from mlcourse.book import mistake\nmistake("p1-12")')
    before = twins.source_hash(twins.read(path))
    monkeypatch.setitem(twins._ELEMENTS, "mistake", lambda name: twins.mistake("p1-13"))
    assert twins.source_hash(twins.read(path)) != before


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import warnings; warnings.warn('careful')", "stderr"),
        ("object()", "address"),
        ("from pathlib import Path; str(Path('/tmp/x'))", "path of this machine"),
    ],
)
def test_a_cell_that_readers_should_not_see_is_refused(
    code: str, problem: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = _chapter(tmp_path, code)
    assert twins.main([str(path)]) == 1
    assert problem in capsys.readouterr().err
    assert not path.with_suffix(".ipynb").exists()


def test_a_cell_that_does_not_end_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(twins, "SECONDS_A_CELL", 1)
    assert twins.main([str(_chapter(tmp_path, "while True:\n    pass"))]) == 1
    assert "a cell ran longer than 1 s" in capsys.readouterr().err


def test_cell_ids_survive_an_insertion(tmp_path: Path) -> None:
    before = [cell.id for cell in twins.read(_chapter(tmp_path, "1", "2", "1")).cells]
    after = [cell.id for cell in twins.read(_chapter(tmp_path, "1", "3", "2", "1")).cells]
    assert len(set(after)) == len(after)
    assert [identifier for identifier in after if identifier in before] == before


def test_a_cell_with_a_magic_is_read_for_its_elements(tmp_path: Path) -> None:
    path = _chapter(tmp_path, "if False:\n    %pip install x", '%time\nmistake("p1-12")')
    assert [len(twins._elements(cell.source)) for cell in twins.read(path).cells[1:]] == [0, 1]


def test_an_unknown_chapter_is_wrong_usage(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as stopped:
        twins.main([str(tmp_path / "none.md")])
    assert stopped.value.code == 2


# --- The twins in the book ---------------------------------------------------------------------

each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)


@each_chapter
def test_the_twin_is_made_from_its_text(path: Path) -> None:
    assert twins.is_current(path), "run `make notebooks`"


@each_chapter
def test_the_twin_was_run_from_top_to_bottom(path: Path) -> None:
    """Its outputs are this run's: no cell was run apart, and none was typed in."""
    notebook = nbformat.read(path.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(notebook)
    assert notebook.metadata.language_info.name == "python"
    counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1))


@each_chapter
def test_outputs_show_no_warning_no_address_and_no_path(path: Path) -> None:
    for cell in nbformat.read(path.with_suffix(".ipynb"), as_version=4).cells:
        for output in cell.get("outputs", []):
            assert twins.output_problem(output) is None


@each_chapter
def test_each_figure_has_a_text_that_stands_for_it(path: Path) -> None:
    for cell in nbformat.read(path.with_suffix(".ipynb"), as_version=4).cells:
        for output in cell.get("outputs", []):
            if any(kind.startswith("image/") for kind in output.get("data", {})):
                alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
                assert len(alt) > 20, f"give the figure of cell {cell.id} an alt text"


def test_chapters_stand_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for name in ("2_b/1_x.md", "1_a/10_z.md", "1_a/2_y.md"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    found = [path.relative_to(tmp_path).as_posix() for path in twins.chapters(tmp_path)]
    assert found == ["1_a/2_y.md", "1_a/10_z.md", "2_b/1_x.md"]
