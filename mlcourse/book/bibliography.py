"""The literature: one BibTeX file, read by the lists at the end of chapters and by the page."""

import re
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

from mlcourse.book.element import Element

FILE = Path(__file__).with_name("references.bib")
_ENTRY = re.compile(r"^@(?P<kind>\w+)\{(?P<key>[^,\s]+),\n(?P<fields>.*?)^\}", re.M | re.S)
_FIELD = re.compile(r"^\s*(?P<name>\w+)\s*=\s*\{(?P<value>.*?)\},?$", re.M | re.S)
_VENUES = ("journal", "booktitle", "publisher", "howpublished")


@dataclass(frozen=True)
class Reference:
    """One work: `key` is what `references` takes; `authors` are "Given Family"."""

    key: str
    authors: tuple[str, ...]
    title: str
    year: str
    venue: str
    url: str

    @property
    def byline(self) -> str:
        """The authors as text; more than four are "first and others"."""
        if len(self.authors) > 4:
            return f"{self.authors[0]} and others"
        if len(self.authors) == 1:
            return self.authors[0]
        return f"{', '.join(self.authors[:-1])} and {self.authors[-1]}"

    def html(self) -> str:
        """The entry as HTML, escaped, the title linking to the work where it has an address."""
        title = escape(self.title)
        if self.url:
            title = f'<a href="{escape(self.url)}">{title}</a>'
        return f"{escape(self.byline)} ({self.year}). {title}. <em>{escape(self.venue)}</em>."

    def markdown(self) -> str:
        """The entry as one line of Markdown."""
        title = f"[{self.title}]({self.url})" if self.url else self.title
        return f"{self.byline} ({self.year}). {title}. *{self.venue}*."


@cache
def load() -> dict[str, Reference]:
    """Every work of references.bib by key, sorted by first author's family name, then year.

    The file keeps to a plain form (one field a line in braces, no macros), so that a chapter needs
    no BibTeX package; a test holds this reader against pybtex.
    """
    works = [_reference(match) for match in _ENTRY.finditer(FILE.read_text(encoding="utf-8"))]
    works.sort(key=lambda work: (work.authors[0].split()[-1].casefold(), work.year, work.title))
    return {work.key: work for work in works}


def _reference(match: re.Match[str]) -> Reference:
    found = {
        field["name"].lower(): " ".join(field["value"].replace("{", "").replace("}", "").split())
        for field in _FIELD.finditer(match["fields"])
    }
    authors = tuple(_given_first(author) for author in found["author"].split(" and "))
    venue = next(found[name] for name in _VENUES if name in found)
    if "volume" in found:
        venue += f" {found['volume']}"
    url = f"https://doi.org/{found['doi']}" if "doi" in found else found.get("url", "")
    return Reference(match["key"], authors, found["title"], found["year"], venue, url)


def _given_first(author: str) -> str:
    family, comma, given = author.partition(", ")
    return f"{given} {family}" if comma else author


def references(*keys: str) -> Element:
    """The list of works at the end of a chapter, such as `references("rumelhart1986")`."""
    works = load()
    for key in keys:
        if key not in works:
            raise ValueError(f"there is no reference {key!r} in references.bib; add it there")
    chosen = [works[key] for key in works if key in keys]
    items = "\n".join(f"<li>{work.html()}</li>" for work in chosen)
    return Element(
        html=f'<ul class="mlcourse-references">\n{items}\n</ul>',
        markdown="\n".join(f"- {work.markdown()}" for work in chosen),
    )
