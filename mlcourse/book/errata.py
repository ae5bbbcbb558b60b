"""What the sources of the course get wrong: one data file, read by the boxes and by the page."""

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

from mlcourse.book.element import Element, box, inline_html

FILE = Path(__file__).with_name("errata.toml")
_COLOUR = "213, 94, 0"  # vermilion of the Okabe-Ito palette


@dataclass(frozen=True)
class Erratum:
    """A wrong claim of a source, what is right, and why; `chapter` is its path under `book/`."""

    id: str
    part: int
    topic: str
    source_says: str
    right: str
    why: str
    chapter: str


@cache
def load() -> tuple[Erratum, ...]:
    """Every erratum, in the order of the file; a wrong entry is a ValueError of one sentence."""
    names = {field.name for field in fields(Erratum)}
    errata = []
    for entry in tomllib.loads(FILE.read_text(encoding="utf-8"))["erratum"]:
        if set(entry) != names:
            wrong = ", ".join(sorted(set(entry) ^ names))
            raise ValueError(f"errata.toml, {entry.get('id', 'no id')}: missing or unknown {wrong}")
        errata.append(Erratum(**entry))
    identifiers = [erratum.id for erratum in errata]
    for identifier in identifiers:
        if identifiers.count(identifier) > 1:
            raise ValueError(f"errata.toml has the id {identifier} twice")
    return tuple(errata)


def mistake(identifier: str) -> Element:
    """The box "What the sources get wrong" of one erratum, such as `mistake("p1-12")`."""
    by_id = {erratum.id: erratum for erratum in load()}
    if identifier not in by_id:
        raise ValueError(f"there is no erratum {identifier!r}; errata.toml has {', '.join(by_id)}")
    erratum = by_id[identifier]
    title = f"What the sources get wrong: {erratum.topic}"
    rows = (
        ("A source says", erratum.source_says),
        ("What is right", erratum.right),
        ("Why", erratum.why),
    )
    content = [f'<p style="margin: 0 0 8px 0;">⚠ <strong>{inline_html(title)}</strong></p>']
    content += [
        f'<p style="margin: 0 0 8px 0;"><em>{name}:</em> {inline_html(text)}</p>'
        for name, text in rows
    ]
    return Element(
        html=box(
            "\n".join(content), name="mistake", label=title, colour=_COLOUR, identifier=erratum.id
        ),
        markdown="\n>\n".join(
            [f"> **{title}**", *(f"> *{name}:* {text}" for name, text in rows)],
        ),
    )
