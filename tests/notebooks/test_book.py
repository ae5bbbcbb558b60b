"""The book's parts: boxes, quizzes, references, generated pages, and what the settings say."""

import html
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from docutils import nodes
from docutils.utils import new_document
from pybtex.database import parse_file

from mlcourse import checks
from mlcourse.__about__ import REPOSITORY
from mlcourse.book import (
    architecture_tables,
    bibliography,
    errata,
    mistake,
    pages,
    quiz,
    quizzes,
    references,
    result_tables,
)
from mlcourse.book.element import inline_html
from mlcourse.nas.small_table import Table

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "index.md", *sorted((ROOT / "book").glob("*.md"))]
CHAPTERS = sorted((ROOT / "book").glob("[0-9]_*/*.md"))
EXERCISES = [ROOT / "exercises" / name / f"{name}.ipynb" for name in checks.EXERCISES]
QUIZZES = sorted(path.stem for path in quizzes.FOLDER.glob("*.toml"))


# --- Small markup ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a < b & c", "a &lt; b &amp; c"),
        ("<script>alert(1)</script>", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("`a<b>` *so* **very *so***", None),
        ("$a < b$", r"\(a &lt; b\)"),
        ("$$x^2$$", r"\[x^2\]"),
        ("$a*b*c$ and `x*y*z`", r"\(a*b*c\) and <code>x*y*z</code>"),
        ("*with $x$ in it*", r"<em>with \(x\) in it</em>"),
    ],
)
def test_markup_becomes_escaped_html(text: str, expected: str | None) -> None:
    made = inline_html(text)
    if expected is None:
        assert "<code>a&lt;b&gt;</code>" in made
        assert "<em>so</em>" in made
    else:
        assert made == expected


# --- Errata ------------------------------------------------------------------------------------


def test_part_1_has_every_error_of_its_source() -> None:
    found = [erratum.id for erratum in errata.load() if erratum.part == 1]
    assert found == ["p1-2", "p1-4", "p1-10", "p1-12", "p1-13", "p1-17"]


@pytest.mark.parametrize("erratum", errata.load(), ids=lambda erratum: erratum.id)
def test_each_erratum_is_a_box_in_its_chapter_and_an_entry_of_the_page(
    erratum: errata.Erratum,
) -> None:
    chapter = (ROOT / "book" / f"{erratum.chapter}.md").read_text(encoding="utf-8")
    assert f'mistake("{erratum.id}")' in chapter
    page = pages.fill((ROOT / "book" / "errata.md").read_text(encoding="utf-8"))
    for text in (erratum.source_says, erratum.right, erratum.why, f"({erratum.id})="):
        assert page.count(text) == 1


def test_chapters_show_no_box_of_another_chapter() -> None:
    homes = {erratum.id: erratum.chapter for erratum in errata.load()}
    for path in CHAPTERS:
        for identifier in re.findall(r'mistake\("([^"]+)"\)', path.read_text(encoding="utf-8")):
            assert homes[identifier] == path.relative_to(ROOT / "book").with_suffix("").as_posix()


def test_unknown_erratum_is_one_sentence() -> None:
    with pytest.raises(ValueError, match=r"no erratum 'p1-99'; errata.toml has p1-2, "):
        mistake("p1-99")


def test_a_box_offers_html_markdown_and_text() -> None:
    bundle = mistake("p1-12")._repr_mimebundle_()
    assert set(bundle) == {"text/html", "text/markdown", "text/plain"}
    assert 'id="p1-12"' in bundle["text/html"]
    assert bundle["text/markdown"].startswith("> **What the sources get wrong")
    assert "<script" not in bundle["text/html"]


def test_boxes_need_only_the_core_of_the_course() -> None:
    """A reader who runs a chapter has none of the tools that build the book."""
    code = "import sys, mlcourse.book; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"jupytext", "nbclient", "nbformat", "sphinx", "docutils"} & set(done.stdout.split())


# --- Quizzes -----------------------------------------------------------------------------------


def _question(rights: tuple[bool, ...] = (True, False)) -> dict:
    choices = [
        {"text": f"choice {i}", "right": right, "says": "because"} for i, right in enumerate(rights)
    ]
    return {"ask": "What?", "choice": choices}


def _wrong_choice(**change: object) -> dict:
    question = _question()
    question["choice"][0].update(change)
    return {"question": [question] * 3}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ({}, "three to five"),
        ({"question": [_question()] * 2}, "it has 2"),
        ({"question": [_question()] * 6}, "it has 6"),
        ({"title": "x", "question": [_question()] * 3}, "nothing else"),
        ({"question": [_question((True, True))] * 3}, "exactly one right, not 2 and 2"),
        ({"question": [_question((False, False, False))] * 3}, "exactly one right, not 3 and 0"),
        ({"question": [_question((True,))] * 3}, "at least two choices"),
        ({"question": [{"ask": "What?"}] * 3}, "question 1: a question has"),
        (_wrong_choice(says=""), "empty"),
        (_wrong_choice(right="yes"), "true or false"),
        (_wrong_choice(why="x"), "a choice has"),
        (_wrong_choice(text="choice 1"), "two choices have the same text"),
    ],
)
def test_a_wrong_quiz_is_refused_in_one_sentence(content: dict, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        quizzes.parse(content, "sample")
    assert "'sample'" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_quiz_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="there is no quiz 'nope'; the quizzes are: "):
        quiz("nope")


def test_invalid_toml_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quizzes, "FOLDER", tmp_path)
    (tmp_path / "broken.toml").write_text("[[question]\n", encoding="utf-8")
    with pytest.raises(ValueError, match="quiz 'broken' is not valid TOML"):
        quiz("broken")


@pytest.mark.parametrize("name", QUIZZES)
def test_every_choice_of_every_quiz_has_its_feedback_on_the_page(name: str) -> None:
    made = quiz(name).html
    questions = quizzes.load(name)
    assert made.count("<details") == sum(len(question.choices) for question in questions)
    assert made.count("✓ Right.") == len(questions)
    for question in questions:
        for choice in question.choices:
            assert inline_html(choice.says) in made


def test_quizzes_and_chapters_go_together() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in CHAPTERS)
    assert sorted(re.findall(r'quiz\("(\w+)"\)', text)) == QUIZZES


@pytest.mark.parametrize("name", QUIZZES)
def test_the_right_choice_is_not_always_at_the_same_place(name: str) -> None:
    places = {
        [choice.right for choice in question.choices].index(True) for question in quizzes.load(name)
    }
    assert len(places) > 1


# --- References --------------------------------------------------------------------------------


def test_our_reader_of_the_bibliography_agrees_with_pybtex() -> None:
    theirs = parse_file(bibliography.FILE, bib_format="bibtex").entries
    ours = bibliography.load()
    assert set(ours) == set(theirs)
    for key, entry in theirs.items():
        assert ours[key].title == entry.fields["title"].replace("{", "").replace("}", "")
        assert ours[key].year == entry.fields["year"]
        names = [
            " ".join([*p.first_names, *p.middle_names, *p.prelast_names, *p.last_names])
            for p in entry.persons["author"]
        ]
        assert list(ours[key].authors) == names


def test_references_are_sorted_escaped_and_known() -> None:
    made = references("rumelhart1986", "baydin2018")
    assert made.html.index("Baydin") < made.html.index("Rumelhart")
    for work in bibliography.load().values():
        assert html.escape(work.title) in references(work.key).html
    with pytest.raises(ValueError, match="no reference 'nobody1900'"):
        references("nobody1900")


# --- Settings and pages ------------------------------------------------------------------------


def test_the_repository_has_one_address() -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert config["repository"]["url"] == REPOSITORY
    owner = REPOSITORY.rsplit("/", 1)[0]
    for path in PAGES + CHAPTERS:
        for address in re.findall(rf"{owner}[\w./-]*", path.read_text(encoding="utf-8")):
            assert address.startswith(REPOSITORY), path.name


def test_the_table_of_contents_has_every_page_once() -> None:
    text = (ROOT / "_toc.yml").read_text(encoding="utf-8")
    listed = re.findall(r"(?:file|root): (\S+)", text)
    files = [*PAGES, *CHAPTERS, *EXERCISES]
    assert sorted(listed) == sorted(
        path.relative_to(ROOT).with_suffix("").as_posix() for path in files
    )


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_markers_name_something_generated(path: Path) -> None:
    text = pages.fill(path.read_text(encoding="utf-8"))
    assert "<!-- generated" not in text


RUN = {
    "chapter": "1_by_hand/2_forward",
    "title": "Forward",
    "seconds": 12.34,
    "cells": 20,
    "compared": 3,
    "result": "passed",
}
WAYS = {"by hand": {"median_us": 100.2}, "autograd": {"median_us": 180.4}}
STEP = {"batch": 64, "threads": 1, "ways": WAYS, "speedup": 1.8, "limit": 2.5}
CASE = {
    "notebooks": "as handed in",
    "submissions": 7,
    "per_second": {"mlcourse": {"cold": 3, "warm": 50}, "other": {"cold": 0.5, "warm": 0.5}},
    "ratio": {"other": {"cold": 6, "warm": 100}},
}


def trained(*tests: float) -> dict:
    """A record of runs that ended with these test accuracies, one a seed."""
    setting = {"epochs": 2, "source_accuracy": 0.6}
    return {
        "data": "CIFAR-10",
        "precision": "float32",
        "runs": [
            {
                "name": "plain",
                "setting": setting,
                "seed": seed,
                "diverged": False,
                "epochs": [
                    {"seconds": 2.25},
                    {"seconds": 1.25, "train_accuracy": 0.75, "test_accuracy": test},
                ],
            }
            for seed, test in enumerate(tests)
        ],
    }


def search_step(way: str, seconds: float, naive: float, channels_last: float) -> dict:
    return {
        "channels": 8,
        "layers": 4,
        "batch": 16,
        "order": "exact",
        "threads": 1,
        "way": way,
        "seconds": seconds,
        "naive": naive,
        "channels_last": channels_last,
    }


@pytest.mark.parametrize(
    ("name", "generated", "content", "row"),
    [
        (
            "run_times",
            result_tables.run_times_text,
            {"chapters": [RUN]},
            "| [Forward](1_by_hand/2_forward.ipynb) | 12.3 | 20 | 3 | passed |",
        ),
        ("gpu", result_tables.gpu_text, {"chapters": [RUN]}, "| **all** | **12.3** | | | |"),
        (
            "by_hand_step",
            result_tables.by_hand_step_text,
            {"cases": [STEP]},
            "| 64 | 1 | 100 | 180 | **1.80** | 2.50 |",
        ),
        (
            "grading",
            result_tables.grading_text,
            {"cases": [CASE]},
            "| other | 0.50 | 0.50 | 6 | **100** |",
        ),
        (
            "conv_summary",
            result_tables.conv_summary_text,
            {
                "versions": {"torch": "2"},
                "cases": [
                    {
                        "name": "tied",
                        "truth": {"parameters": 4_096, "macs": 8_192},
                        "verdicts": {"mlcourse": "right", "other": "MACs 0"},
                    }
                ],
            },
            "| tied | 4,096 | 8,192 | ✓ | MACs 0 |",
        ),
        (
            "loader",
            result_tables.loader_text,
            {
                "rows": [{"way": "ours", "threads": 2, "workers": 0, "median": 400_123}],
                "fastest": {"way": "v2 transforms", "workers": 2},
                "ratio": 12.5,
                "ratio_one_thread": 9.1,
            },
            "| ours | 2 | 0 | 400,123 |",
        ),
        (
            "optimisers",
            result_tables.optimisers_text,
            {
                "rows": [
                    {
                        "tensors": "CNN",
                        "optimiser": "Adam",
                        "ours_us": 59.4,
                        "foreach_us": 66.1,
                        "loop_us": 95.6,
                        "ratio": 0.9,
                    }
                ]
            },
            "| CNN | Adam | 59 | 66 | 96 | **0.90** |",
        ),
        (
            "curves",
            result_tables.curves_text,
            {
                "names": ["healthy", "leakage"],
                "matrix": [[3, 1], [0, 4]],
                "runs": [{}] * 8,
                "right": 7,
                "share_right": 0.875,
            },
            "| healthy | **3** | 1 |",
        ),
        (
            "darts_step",
            architecture_tables.darts_step_text,
            {
                "steps": [
                    search_step("naive", 3.0, 1.0, 0.5),
                    search_step("naive, channels last", 1.5, 2.0, 1.0),
                    search_step("fast", 1.0, 3.0, 1.51),
                ]
            },
            "| 8, 4, 16 | second, exact | 1 | 3.00 | **2.00** | **3.00** | 1.51 |",
        ),
        (
            "nas_regret",
            architecture_tables.nas_regret_text,
            {
                "searches": [
                    {
                        "method": "random search",
                        "trainings": {
                            "mean": [1, 0.02],
                            "mean_low": [1, 0.01],
                            "mean_high": [1, 0.04],
                        },
                    }
                ]
            },
            "| random search | **2.00** | 1.00 to 4.00 |",
        ),
        (
            "ladder",
            result_tables.ladder_text,
            trained(0.61, 0.63),
            "| plain | 2 | 2 |  | 75.0 ± 0.0 | **62.0 ± 1.4** | 60 |",
        ),
        (
            "lr_batch_grid",
            result_tables.lr_batch_grid_text,
            trained(0.61),
            "| plain | 2 | 1 |  | 75.0 | **61.0** | 60 |",
        ),
        (
            "speed",
            result_tables.speed_text,
            trained(0.91, 0.93),
            "| plain | 2 | 2 | 3.5 | **92.0 ± 1.4** | 91.0 |",
        ),
    ],
)
def test_a_result_is_a_table_with_its_origin_or_a_sentence(
    name: str,
    generated: Callable[[], str],
    content: dict,
    row: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(result_tables, "RESULTS", tmp_path)
    assert re.match(r"Not measured yet.*: run `", generated())
    record = {"date": "2026-01-02", "command": "make it", "machine": {"cores": "2 cores"}}
    (tmp_path / f"{name}.json").write_text(json.dumps(record | content), encoding="utf-8")
    lines = generated().splitlines()
    assert row in lines
    assert lines[-1] == "Measured on 2026-01-02 with `make it`: 2 cores."


def test_ways_of_searching_stand_by_what_their_last_cells_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = json.loads((result_tables.RESULTS / "nas_table.json").read_text("utf-8"))
    monkeypatch.setattr(result_tables, "RESULTS", tmp_path)
    assert "run `" in architecture_tables.darts_remedies_text()
    table = Table(record)
    best, poor = table.best, min(table.trained, key=table.test)
    run = {"way": "DARTS", "cells": [best, poor], "perturbation_cell": best}
    said = {"date": "2026-01-02", "command": "make it", "machine": {}}
    stored = {
        "nas_table": record,
        "darts_limits": {**said, "searches": [run]},
        "darts_remedies": {**said, "runs": [run, {"way": "Shrinking", "cells": [poor, best]}]},
    }
    for name, content in stored.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content), encoding="utf-8")
    lack = f"{100 * table.regret(poor):.1f}"
    assert architecture_tables.darts_remedies_text().splitlines()[2:5] == [
        "| DARTS, first order, the cell chosen by removals | **0.0** | 0.0, 0.0 |",
        "| Shrinking | **0.0** | 0.0 |",
        f"| DARTS, first order | **{lack}** | {lack}, {lack} |",
    ]


def test_plumbing_is_left_out_of_a_page() -> None:
    def cell(code: str) -> nodes.container:
        block = nodes.literal_block(code, code)
        return nodes.container("", nodes.container("", block), classes=["cell"])

    page = new_document("page")
    page += [cell('quiz("forward")'), cell("curve_quiz(1, 8)")]
    page += [cell("# NBVAL_CHECK_OUTPUT\nprint(1)"), cell("x = 2")]
    pages.leave_out_plumbing(page)
    assert [block.astext() for block in page.findall(nodes.literal_block)] == ["print(1)", "x = 2"]


def test_punctuation_stays_on_the_line_of_its_formula() -> None:
    page, line = new_document("page"), nodes.paragraph()
    page += line
    line += [nodes.Text("At "), nodes.math("x", "x"), nodes.Text("), and "), nodes.math("y", "y")]
    line += [nodes.Text("."), nodes.emphasis("", "It"), nodes.Text("."), nodes.math("z", "z")]
    line += [nodes.Text(".")]
    pages.keep_punctuation(page)
    assert line.astext() == "At x), and y.It.z."
    assert [held.astext() for held in line.findall(nodes.inline)] == ["x),", "y.", "z."]


def test_a_label_can_be_linked_as_a_heading_can() -> None:
    page = new_document("page")
    page += nodes.target(ids=["an-exercise"], names=["an_exercise"])
    page.note_explicit_target(page.children[0])
    slugs = {"a-heading": (1, "a-heading", "A heading")}
    pages.link_by_label(page, slugs)
    assert slugs["an_exercise"] == (0, "an-exercise", "an_exercise")
    assert len(slugs) == 2


def test_measured_results_say_where_and_when() -> None:
    for path in sorted(result_tables.RESULTS.glob("*.json")):
        content = path.read_text(encoding="utf-8")
        for key in ("machine", "date", "command"):
            assert f'"{key}"' in content, f"{path.name} does not say its {key}"


def test_data_files_are_valid_toml() -> None:
    for path in [errata.FILE, *quizzes.FOLDER.glob("*.toml")]:
        assert tomllib.loads(path.read_text(encoding="utf-8"))
