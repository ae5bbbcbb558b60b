"""The built book in headless Chromium: it reads with no network, on any screen, in both themes."""

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from mlcourse.book.build import ROOT, build
from mlcourse.book.quizzes import FOLDER as QUIZZES

HTML = ROOT / "_build" / "html"
CHROMIUM = Path("/usr/bin/chromium")
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
NOT_PAGES = {"genindex.html", "search.html"}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"{CHROMIUM} is not installed"),
]

#: What one look at a page reports; text in code, and what MathJax made, is not prose.
LOOK = """() => {
  const article = document.querySelector(".bd-article") || document.body;
  const walker = document.createTreeWalker(article, NodeFilter.SHOW_TEXT);
  const raw = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.parentElement.closest("pre, code, script, style, mjx-container")) continue;
    if (/\\$[^$]+\\$|\\\\\\(|\\\\\\[/.test(node.data)) raw.push(node.data.trim().slice(0, 80));
  }
  return {
    raw,
    formulas: document.querySelectorAll("mjx-container").length,
    broken: [...document.querySelectorAll("mjx-merror")].map(e => e.textContent),
    silent: [...document.images].filter(i => !i.alt.trim()).map(i => i.src),
    unloaded: [...document.images].filter(i => !i.naturalWidth).map(i => i.src),
    distorted: [...article.querySelectorAll("img")]
      .filter(i => Math.abs(i.width / i.height / (i.naturalWidth / i.naturalHeight) - 1) > 0.02)
      .map(i => i.alt),
    links: [...document.querySelectorAll("a[href]")].map(a => a.href),
    ids: [...document.querySelectorAll("[id]")].map(e => e.id),
    headings: [...article.querySelectorAll("h1")].length,
    language: document.documentElement.lang,
  };
}"""
OVERFLOW = """() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width) return [];
  return [...document.querySelectorAll(".bd-main *")]
    .filter(e => e.getBoundingClientRect().right > width + 1)
    .slice(0, 5).map(e => `${e.tagName}.${e.className}`);
}"""


@dataclass
class Seen:
    """What a page did and showed when it was opened."""

    look: dict[str, Any] = field(default_factory=dict)
    outside: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    overflow: list[str] = field(default_factory=list)


class _Silent(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Write nothing: pytest's output is for the tests."""


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    """The address of the book, built without a warning and served on this machine alone."""
    assert build() == 0, "the book does not build without warnings"
    handler = functools.partial(_Silent, directory=str(HTML))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=CHROMIUM_ARGUMENTS
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def pages(site: str, browser: Browser) -> dict[str, Seen]:
    """Every page of the book by its path, opened once: wide first, then narrow."""
    paths = [path.relative_to(HTML).as_posix() for path in sorted(HTML.rglob("*.html"))]
    return {
        path: _visit(browser, site, path)
        for path in paths
        if not path.startswith("_") and path not in NOT_PAGES
    }


def _visit(browser: Browser, site: str, path: str) -> Seen:
    seen = Seen()
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    _watch(page, site, seen)
    _open(page, site + path)
    seen.look = page.evaluate(LOOK)
    page.set_viewport_size({"width": 400, "height": 800})
    page.wait_for_timeout(100)
    seen.overflow = page.evaluate(OVERFLOW)
    page.close()
    return seen


def _watch(page: Page, site: str, seen: Seen) -> None:
    page.on(
        "request",
        lambda request: (
            None
            if request.url.startswith((site, "data:", "blob:"))
            else seen.outside.append(request.url)
        ),
    )
    page.on(
        "console",
        lambda message: (
            seen.complaints.append(message.text) if message.type in ("error", "warning") else None
        ),
    )
    page.on("pageerror", lambda error: seen.complaints.append(str(error)))
    page.on(
        "response",
        lambda response: (
            seen.complaints.append(f"{response.status} {response.url}")
            if response.status >= 400
            else None
        ),
    )


def _open(page: Page, address: str) -> None:
    page.goto(address, wait_until="load")
    page.evaluate("() => window.MathJax && MathJax.startup && MathJax.startup.promise")


def _by_page(pages: dict[str, Seen], part: str) -> dict[str, Any]:
    """The pages where `part` is not empty: none, in a good book."""
    found = {
        path: seen.look[part] if part in seen.look else getattr(seen, part)
        for path, seen in pages.items()
    }
    return {path: value for path, value in found.items() if value}


def test_every_page_of_the_table_of_contents_is_there(pages: dict[str, Seen]) -> None:
    assert "index.html" in pages
    assert sum("1_by_hand" in path for path in pages) == 5
    for path in ("how_to_use", "exercises", "errata", "glossary", "references", "run_times"):
        assert f"book/{path}.html" in pages


def test_no_page_asks_for_anything_outside(pages: dict[str, Seen]) -> None:
    assert _by_page(pages, "outside") == {}


def test_no_page_complains(pages: dict[str, Seen]) -> None:
    assert _by_page(pages, "complaints") == {}


def test_formulas_are_typeset(pages: dict[str, Seen]) -> None:
    assert _by_page(pages, "raw") == {}
    assert _by_page(pages, "broken") == {}
    formulas = {path: seen.look["formulas"] for path, seen in pages.items()}
    for path, count in formulas.items():
        if "1_by_hand" in path or path in ("book/errata.html", "book/glossary.html"):
            assert count > 5, path


def test_images_load_keep_their_shape_and_have_a_text(pages: dict[str, Seen]) -> None:
    assert _by_page(pages, "silent") == {}
    assert _by_page(pages, "unloaded") == {}
    assert _by_page(pages, "distorted") == {}


def test_no_page_scrolls_sideways_on_a_narrow_screen(pages: dict[str, Seen]) -> None:
    assert _by_page(pages, "overflow") == {}


def test_each_page_has_one_title_and_a_language(pages: dict[str, Seen]) -> None:
    for path, seen in pages.items():
        assert (seen.look["headings"], seen.look["language"]) == (1, "en"), path


def test_links_and_anchors_inside_the_book_resolve(pages: dict[str, Seen], site: str) -> None:
    broken = []
    for path, seen in pages.items():
        for link in seen.look["links"]:
            address, anchor = urldefrag(urljoin(site + path, link))
            if not address.startswith(site):
                continue
            target = unquote(urlsplit(address).path).lstrip("/") or "index.html"
            exists = (HTML / target).is_file()
            anchors = pages[target].look["ids"] if target in pages else [anchor]
            if not exists or (anchor and anchor not in anchors):
                broken.append((path, link))
    assert broken == []


def test_a_choice_opens_its_feedback_by_mouse_and_by_keyboard(site: str, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    _open(page, f"{site}book/1_by_hand/3_backward.html")
    choices = page.locator(".mlcourse-quiz details")
    feedback = choices.nth(0).locator("p")
    assert not feedback.is_visible()
    choices.nth(0).locator("summary").click()
    assert feedback.is_visible()
    assert feedback.inner_text().startswith(("✓ Right.", "✗ Not quite."))
    choices.nth(1).locator("summary").focus()
    page.keyboard.press("Enter")
    assert choices.nth(1).locator("p").is_visible()
    page.close()


def test_each_chapter_shows_its_quiz_without_javascript(site: str, browser: Browser) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    shown = 0
    for chapter in sorted((HTML / "book").glob("[0-9]_*/*.html")):
        page.goto(site + chapter.relative_to(HTML).as_posix())
        shown += page.locator(".mlcourse-quiz").count()
        page.locator(".mlcourse-quiz summary").first.click()
        assert page.locator(".mlcourse-quiz details[open] p").first.is_visible()
    assert shown == len(list(QUIZZES.glob("*.toml")))
    context.close()


def test_the_theme_switch_changes_the_page(site: str, browser: Browser) -> None:
    page = browser.new_page(color_scheme="light", viewport={"width": 1400, "height": 900})
    _open(page, site)
    colours = set()
    for _ in range(3):
        colours.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.locator("button.theme-switch-button:visible").first.click()
        page.wait_for_timeout(400)
    assert len(colours) == 2
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_figures_and_boxes_lie_on_the_page_itself(site: str, browser: Browser, theme: str) -> None:
    """The theme would put a light card behind them in the dark."""
    page = browser.new_page(color_scheme=theme)
    _open(page, f"{site}book/1_by_hand/3_backward.html")
    page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
    for selector in (".cell_output img", ".cell_output .text_html"):
        for colour in page.locator(selector).evaluate_all(
            "all => all.map(e => getComputedStyle(e).backgroundColor)"
        ):
            assert colour == "rgba(0, 0, 0, 0)"
    page.close()


def test_search_works_with_no_network(site: str, browser: Browser) -> None:
    seen = Seen()
    page = browser.new_page()
    _watch(page, site, seen)
    page.goto(f"{site}search.html?q=backpropagation")
    page.wait_for_selector("#search-results li a", timeout=15_000)
    assert page.locator("#search-results li a").count() >= 2
    assert seen.outside == []
    page.close()


def test_chapters_have_colab_and_download_buttons(site: str, browser: Browser) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    for chapter in sorted((HTML / "book").glob("[0-9]_*/*.html")):
        path = chapter.relative_to(HTML).with_suffix(".ipynb").as_posix()
        page.goto(site + chapter.relative_to(HTML).as_posix())
        links = page.locator("a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
        assert any(
            link.startswith("https://colab.research.google.com/github/") and link.endswith(path)
            for link in links
            if link
        ), path
        assert any(link.endswith(f"_sources/{path}") for link in links if link), path
    page.close()
