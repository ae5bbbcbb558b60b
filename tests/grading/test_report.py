"""The class report: its counts, its escaping, and its sorting in a browser."""

import re
from pathlib import Path

import pytest

from mlcourse.grading import pages, report
from mlcourse.grading.results import Record

LAYERS = {"limits": True, "seccomp": True, "landlock": True}
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


def row(student, question, status, points=0, mistake=None, message="", layers=LAYERS):
    return Record(
        student, "by_hand", question, points, 2, status, message, mistake, 0.1, layers, question
    )


def a_class():
    """Return three students' rows: 4, 2 and 0 of 4 checked points; one mistake made twice."""
    n_times = {"mistake": "summed", "message": "Divide by N."}
    return [
        row("elm", "forward", "passed", 2),
        row("elm", "backward", "passed", 2),
        row("elm", "why", "manual", None),
        row("fir", "forward", "passed", 2),
        row("fir", "backward", "failed", **n_times),
        row("fir", "why", "manual", None),
        row("yew", "forward", "timeout", message="stopped after 10 s"),
        row("yew", "backward", "failed", **n_times),
        row("yew", "why", "not attempted"),
    ]


def written(tmp_path, rows, **more):
    report.write(rows, tmp_path / "report.html", **more)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def words(text):
    body = re.sub(r"<(style|script)>.*?</\1>", "", text, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_the_figures_are_right(tmp_path):
    text = written(tmp_path, a_class())
    shown = words(text)
    assert "3 students" in shown
    assert "50 % mean score" in shown
    assert "50 % median score" in shown
    assert "1 with every checked point" in shown
    assert "2 answers to read" in shown
    assert "0 to 10 %: 1, 50 to 60 %: 1, 90 to 100 %: 1." in text
    assert "forward 67 %" in shown
    assert "1 too slow" in shown
    assert "backward 33 %" in shown
    assert "2 not right yet" in shown
    assert "why a person reads it" in shown


def test_mistakes_are_counted_the_commonest_first(tmp_path):
    rows = [*a_class(), row("zelkova", "forward", "failed", mistake="bias", message="Add b_h.")]
    shown = words(written(tmp_path, rows))
    assert "2 backward Divide by N. 2 students fir, yew" in shown
    assert shown.index("Divide by N.") < shown.index("Add b_h.")


def test_what_was_stopped_is_listed_once_a_message(tmp_path):
    rows = [row("yew", name, "error", message="the notebook cannot be read") for name in "abcde"]
    shown = words(written(tmp_path, rows))
    assert shown.count("the notebook cannot be read") == 1
    assert "a and 4 other questions" in shown


def test_sandbox_layers_and_their_absence_are_said(tmp_path):
    shown = words(written(tmp_path, a_class()))
    assert "seccomp: held" in shown
    assert "without a sandbox" not in shown
    unsafe = row("oak", "forward", "passed", 2, message="[no sandbox] ", layers={"seccomp": False})
    shown = words(written(tmp_path, [*a_class(), unsafe]))
    assert "seccomp: held for 9 of 10 rows" in shown
    assert "1 student was graded without a sandbox" in shown


def test_student_text_is_escaped_and_only_our_script_may_run(tmp_path):
    nasty = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'\u202e"
    rows = [row(nasty, nasty, "failed", mistake=nasty, message=nasty)]
    text = written(tmp_path, rows)
    assert text.count("<script>") == 1
    assert "<img" not in text
    assert "\u202e" not in text
    assert f"script-src '{pages.digest(report.SORT)}'" in text
    assert not re.search(r"""(?:src|href)=["'](?:https?:|//)""", text)


def test_links_lead_to_the_feedback_pages(tmp_path):
    page = tmp_path / "feedback" / "a b#c" / "by_hand.html"
    text = written(tmp_path, a_class(), feedback={("elm", "by_hand"): page})
    assert '<a href="feedback/a%20b%23c/by_hand.html"><bdi>elm</bdi></a>' in text


def test_two_exercises_have_a_section_each(tmp_path):
    other = Record("elm", "four_ways", "optim", 1, 1, "passed")
    shown = words(written(tmp_path, [*a_class(), other]))
    assert shown.count("mean score") == 2


def test_a_class_without_submissions_has_a_report_too(tmp_path):
    assert "No submissions yet" in written(tmp_path, [])


@pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium")
def test_columns_sort_in_a_browser_and_nothing_overflows(tmp_path):
    from playwright.sync_api import sync_playwright

    written(tmp_path, a_class())
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 400, "height": 800})
        said, requests = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((tmp_path / "report.html").as_uri())
        students = page.locator("[aria-label=Students] tbody th")
        assert students.all_inner_texts() == ["elm", "fir", "yew"]
        points = page.get_by_role("button", name="Points")
        points.click()
        assert students.all_inner_texts() == ["yew", "fir", "elm"]
        points.press("Enter")
        assert students.all_inner_texts() == ["elm", "fir", "yew"]
        head = page.locator("[aria-label=Students] th[aria-sort]")
        assert head.get_attribute("aria-sort") == "descending"
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        assert said == []
        assert len(requests) == 1
        browser.close()
