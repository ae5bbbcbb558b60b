"""The feedback page: complete, and harmless whatever a student wrote."""

import re
from html.parser import HTMLParser

import pytest

from mlcourse.grading import feedback, pages
from mlcourse.grading.results import Record
from mlcourse.statuses import STATUSES

NASTY = "<script>alert(1)</script>\"><img src=x onerror=alert(2)>\u202e\x00\ud800 & 'quoted'"


class Page(HTMLParser):
    """Collects the elements, attributes and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.text = [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]

    def handle_data(self, data):
        self.text += data


def record(question="backward", status="failed", points=0, message="", **more):
    return Record("cedar", "by_hand", question, points, 4, status, message, **more)


def written(tmp_path, rows, cells=None, student="cedar"):
    path = tmp_path / "feedback" / "page.html"
    feedback.write(student, "by_hand", rows, cells or {}, path)
    return path.read_text(encoding="utf-8")


def test_each_question_has_status_in_words_sentence_points_and_own_code(tmp_path):
    rows = [
        record("forward", "passed", 4, title="The forward pass"),
        record("backward", "failed", 0, "Divide by N: the loss is a mean.", title="The gradient"),
        record("why", "manual", None, title="Why"),
    ]
    cells = {"backward": "def backward():\n    return 1 < 2", "why": "Since *this* is so."}
    page = Page(written(tmp_path, rows, cells))
    for text in (
        "The forward pass",
        "passed",
        "Every check passed.",
        "Divide by N: the loss is a mean.",
        "def backward():\n    return 1 < 2",
        "Since *this* is so.",
        "4 of 12 points",
        "4 points more can come",
        "1 of 2 checked questions passed",
        "not given yet / 4 points",
    ):
        assert text in page.text


@pytest.mark.parametrize("status", STATUSES)
def test_every_status_has_its_word_and_a_sentence(tmp_path, status):
    points = {"passed": 4, "manual": None}.get(status, 0)
    page = Page(written(tmp_path, [record(status=status, points=points)]))
    _, word, sentence = pages.STATUS[status]
    assert word in page.text
    assert sentence in page.text


def test_points_given_by_a_person_count(tmp_path):
    text = Page(written(tmp_path, [record("why", "manual", 2.5)])).text
    assert "2.5 of 4 points" in text
    assert "more can come" not in text


def test_what_others_wrote_is_shown_and_does_nothing(tmp_path):
    rows = [record(NASTY, "error", 0, NASTY, title=NASTY), record("why", "manual", None)]
    text = written(tmp_path, rows, {NASTY: NASTY, "why": NASTY}, student=NASTY)
    page = Page(text)
    assert page.text.count("<script>alert(1)</script>") >= 4
    assert not {"script", "img", "iframe", "object", "link", "form"} & set(page.tags)
    assert not [name for _, name, _ in page.attributes if name.startswith("on")]
    assert not set("\u202e\x00") & set(text)


def test_a_page_makes_no_request_and_its_policy_allows_none(tmp_path):
    text = written(tmp_path, [record()])
    assert not re.search(r"(?:src|href)=.(?!#)", text)
    assert "url(" not in text
    assert "@import" not in text
    policy = next(value for tag, name, value in Page(text).attributes if name == "content")
    style = re.search(r"<style>(.*?)</style>", text, re.S)[1]
    assert policy.startswith("default-src 'none'; ")
    assert pages.digest(style) in policy
    assert "script-src" not in policy


def test_the_page_is_readable_without_colour_and_in_both_themes(tmp_path):
    text = written(tmp_path, [record(status="passed", points=4)])
    assert "color-scheme: light dark" in text
    assert "prefers-color-scheme: dark" in text
    assert '<html lang="en">' in text
    assert 'name="viewport"' in text
    assert '<span class="icon" aria-hidden="true">✓</span> passed' in text


def test_a_row_without_a_sandbox_says_so(tmp_path):
    text = Page(written(tmp_path, [record(message="[no sandbox] Divide by N.")])).text
    assert "Graded without a sandbox." in text
    assert "[no sandbox]" not in text


def test_a_long_answer_is_cut(tmp_path):
    text = written(tmp_path, [record()], {"backward": "x" * 500_000})
    assert len(text) < 60_000
    assert "not shown" in text
