"""Each chapter has its fixed parts, and runs again with the same compared outputs, in time."""

import re
import resource
from pathlib import Path

import pytest

from mlcourse.__about__ import REPOSITORY
from mlcourse.book import runs, twins

CHAPTERS = twins.chapters()
SECONDS_A_CHAPTER = 60
each_chapter = pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
PARTS = {
    "one title": r"^# \S",
    "what you will be able to do": r"^(## |\*\*)(What you will be able|After this chapter you can)",
    "its own installation in Colab": rf'^    %pip install --quiet "mlcourse @ git\+{REPOSITORY}"$',
    "minutes to read": r"\d+ minutes",
    "a link to its run time": r"\(\.\./run_times\.md\)",
    "a quiz": r'^quiz\("\w+"\)',
    "a link to the exercises": r"\(\.\./exercises\.md(#\w+)?\)",
    "references": r"^references\(",
    "cells compared on every machine": r"^# ?NBVAL_CHECK_OUTPUT",
    "a seed": r"seed",
}


def test_part_1_has_its_five_chapters() -> None:
    part_1 = [path.stem for path in CHAPTERS if path.parent.name == "1_by_hand"]
    assert part_1 == ["1_data_and_learning", "2_forward", "3_backward", "4_training", "5_four_ways"]


@each_chapter
@pytest.mark.parametrize("part", PARTS)
def test_a_chapter_has_its_fixed_parts(path: Path, part: str) -> None:
    assert re.search(PARTS[part], path.read_text(encoding="utf-8"), re.M), part


@each_chapter
def test_a_chapter_is_plain_markdown_outside_its_code(path: Path) -> None:
    """Colab and JupyterLab show neither directives nor roles."""
    text = re.sub(
        r"^```\{code-cell\}.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.M | re.S
    )
    assert not re.findall(r"^:::|^```\{|\{[a-z]+\}`", text, re.M)


@each_chapter
def test_links_to_chapters_go_to_the_notebooks(path: Path) -> None:
    """Not to their text twins, which the book leaves out."""
    assert not twins.TEXT_LINK.findall(path.read_text(encoding="utf-8"))


@pytest.mark.slow
@each_chapter
def test_a_chapter_runs_under_nbval_in_time(path: Path) -> None:
    """In time by the clock or, where other tests share the cores, by the processor."""
    before = _processor_seconds()
    made, output = runs.run(path.with_suffix(".ipynb"))
    assert made.result == "passed", output
    assert made.compared > 0
    assert min(made.seconds, _processor_seconds() - before) < SECONDS_A_CHAPTER


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
