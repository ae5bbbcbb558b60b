"""What the feedback pages and the class report share: escaping, the look, the words for statuses.

Every page stands alone: no request leaves it, it follows the reader's light or dark setting, and
its content security policy lets nothing run but the script that is written here.
"""

from __future__ import annotations

import base64
import hashlib
import html
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from mlcourse.grading.results import NO_SANDBOX, Record
from mlcourse.statuses import Status

#: Status -> (icon, word, what it means when the row itself says nothing).
STATUS: dict[Status, tuple[str, str, str]] = {
    "passed": ("✓", "passed", "Every check passed."),
    "failed": ("✗", "not right yet", "The answer differs from what is asked."),
    "not attempted": ("○", "not attempted", "There is no answer yet."),
    "error": ("!", "error", "The answer stopped with an error."),
    "timeout": ("…", "too slow", "The answer took longer than is allowed."),
    "memory": ("▲", "too much memory", "The answer took more memory than is allowed."),
    "forbidden": ("⊘", "not allowed", "The answer uses what this exercise does without."),
    "ungraded": ("–", "not graded", "A question that this one builds on has no right answer yet."),
    "manual": ("✎", "read by a person", "A person reads this answer and gives the points."),
}

STYLE = """
:root { color-scheme: light dark; --page: #fbfbf9; --card: #fff; --ink: #1d2126; --soft: #5a626c;
  --line: #dfe1e5; --code: #f3f3f0; --good: #00694c; --bad: #a8400a; --wait: #0a5c93;
  --none: #5a626c; --bar: #e6e8eb; }
@media (prefers-color-scheme: dark) { :root { --page: #15181c; --card: #1c2026; --ink: #e6e8eb;
  --soft: #a4adb8; --line: #343a43; --code: #14171b; --good: #4fd0a5; --bad: #ff9a62;
  --wait: #7cc4f5; --none: #a4adb8; --bar: #323841; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .1rem 0 .6rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 .8rem; }
h3 { font-size: 1.02rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .4rem 0; } a { color: var(--wait); }
.over, .soft { color: var(--soft); } .over { font-size: .9rem; margin: 0; }
.big { font-size: 2rem; font-weight: 650; line-height: 1.1; font-variant-numeric: tabular-nums; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem;
  padding: 1rem 1.15rem; margin: 0 0 .9rem; }
.row { display: flex; flex-wrap: wrap; gap: .3rem .9rem; align-items: baseline; }
.row .end { margin-left: auto; white-space: nowrap; font-variant-numeric: tabular-nums; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .9rem; }
.tiles .card { margin: 0; }
.good { --tone: var(--good); } .bad { --tone: var(--bad); } .wait { --tone: var(--wait); }
.none { --tone: var(--none); }
.status { color: var(--tone); font-weight: 600; white-space: nowrap; }
.icon { display: inline-block; min-width: 1.2em; text-align: center; font-weight: 700;
  color: var(--tone); }
.question { border-left: .3rem solid var(--tone); }
.bar { display: block; width: 100%; height: .6rem; border-radius: .3rem; background: var(--bar); }
.bar rect { fill: var(--good); }
.says { font-size: 1.03rem; overflow-wrap: anywhere; }
details { margin-top: .5rem; } summary { cursor: pointer; color: var(--soft); }
pre { background: var(--code); border: 1px solid var(--line); border-radius: .4rem;
  overflow-x: auto; padding: .7rem .9rem; margin: .5rem 0 0; direction: ltr; unicode-bidi: isolate;
  font: .88rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre.prose { white-space: pre-wrap; overflow-wrap: anywhere; font-family: inherit; font-size: 1rem; }
.notice { border-left: .3rem solid var(--bad); }
.wide { overflow-x: auto; position: relative; }
.wide:focus-visible { outline: 2px solid var(--wait); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .4rem .6rem; border-bottom: 1px solid var(--line);
  vertical-align: top; }
th { font-weight: 600; } thead th { color: var(--soft); font-size: .88rem; white-space: nowrap; }
th.mark, td.mark { padding: .4rem .15rem; text-align: center; }
.number { text-align: right; white-space: nowrap; }
td.text { min-width: 16rem; }
td .bar { min-width: 6rem; margin-top: .45rem; }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0;
  cursor: pointer; }
th button::after { content: " ↕"; opacity: .45; }
th.mark button::after { content: ""; }
th[aria-sort=ascending] button::after { content: " ↑"; opacity: 1; }
th[aria-sort=descending] button::after { content: " ↓"; opacity: 1; }
.chart { display: block; width: 100%; max-width: 40rem; height: auto; }
.chart rect { fill: var(--wait); } .chart line { stroke: var(--line); }
.chart text { fill: var(--soft); font-size: 11px; text-anchor: middle; }
.chart text.count { fill: var(--ink); font-weight: 600; }
ul.plain { list-style: none; margin: 0; padding: 0; }
.index { display: flex; flex-wrap: wrap; gap: .15rem 1rem; } .index a { text-decoration: none; }
.index a:hover { text-decoration: underline; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media print { body { background: #fff; } .card { break-inside: avoid; } }
"""

TONE = {"passed": "good", "failed": "bad", "not attempted": "none", "ungraded": "none"}


def escape(text: str) -> str:
    """Return `text` so that HTML shows it and does nothing else with it.

    Control characters go, the ones that reverse the direction of text included: with them code
    can be made to look like other code.
    """
    if text.replace("\n", "").replace("\t", "").isprintable():
        return html.escape(text, quote=True)
    hidden = {"Cc", "Cs", "Co", "Cn"}
    kept = (
        character if character in "\n\t" or not is_hidden(character, hidden) else "\ufffd"
        for character in text
    )
    return html.escape("".join(kept), quote=True)


def is_hidden(character: str, categories: set[str]) -> bool:
    bidirectional = "\u202a" <= character <= "\u202e" or "\u2066" <= character <= "\u2069"
    return bidirectional or unicodedata.category(character) in categories


def tone(status: str) -> str:
    """Return the class that colours a status; the icon and the word always say the same."""
    if status == "manual":
        return "wait"
    return TONE.get(status, "bad")


def badge(record: Record) -> str:
    """Return a status as an icon and words."""
    icon, word, _ = STATUS[record.status]
    if record.status == "manual" and record.points is not None:
        word = "read"
    return (
        f'<span class="status {tone(record.status)}">'
        f'<span class="icon" aria-hidden="true">{icon}</span> {word}</span>'
    )


def says(record: Record) -> str:
    """Return a record's message without the mark of a missing sandbox, or what its status means."""
    return record.message.removeprefix(NO_SANDBOX).strip() or STATUS[record.status][2]


def bar(share: float, label: str = "") -> str:
    """Return a bar filled to `share` (0 to 1); without a label the text beside it says the same."""
    width = round(100 * min(max(share, 0.0), 1.0), 2)
    role = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
    return (
        f'<svg class="bar" viewBox="0 0 100 6" preserveAspectRatio="none" {role}>'
        f'<rect width="{width:g}" height="6"/></svg>'
    )


def total(records: Iterable[Record]) -> tuple[float, int, int]:
    """Return (points, points that can be had, points of those still to be given by a person)."""
    records = list(records)
    points = sum(record.points or 0 for record in records)
    waiting = sum(record.max_points for record in records if record.points is None)
    return points, sum(record.max_points for record in records), waiting


def number(value: float, singular: str = "", plural: str = "") -> str:
    """Write a number without needless decimals, with its noun."""
    noun = singular if value == 1 else plural or f"{singular}s"
    return f"{round(value, 2):g} {noun}" if singular else f"{round(value, 2):g}"


def page(title: str, body: str, script: str = "") -> str:
    """Return a whole page. `body` and `script` are ours: what others wrote is escaped there."""
    policy = f"default-src 'none'; style-src '{digest(STYLE)}'; base-uri 'none'; form-action 'none'"
    end = ""
    if script:
        policy += f"; script-src '{digest(script)}'"
        end = f"<script>{script}</script>\n"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<main>
{body}
</main>
{end}</body>
</html>
"""


def digest(text: str) -> str:
    """Return the hash by which a content security policy admits an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def save(text: str, path: Path) -> None:
    """Write a page as UTF-8, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode("utf-8", "replace"))
