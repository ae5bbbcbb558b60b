"""The class report: one page on how a class did, for whoever teaches it."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from urllib.parse import quote

from mlcourse.grading.feedback import heading
from mlcourse.grading.pages import (
    STATUS,
    bar,
    escape,
    number,
    page,
    save,
    says,
    tone,
    total,
)
from mlcourse.grading.results import NO_SANDBOX, Record
from mlcourse.statuses import Status

#: Statuses that a teacher should look into: something else than a wrong answer happened.
UNUSUAL = ("error", "timeout", "memory", "forbidden")

#: So many mistakes, and so many messages a student, are shown; more are folded or counted.
MANY, FEW = 12, 3

SORT = """
for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
    const column = [...head.parentNode.children].indexOf(head);
    const up = head.getAttribute("aria-sort") !== "ascending";
    const value = (row) => row.cells[column].dataset.value;
    const numbers = [...body.rows].every((row) => value(row) !== "" && !isNaN(value(row)));
    const compare = numbers ? (a, b) => value(a) - value(b)
      : (a, b) => value(a).localeCompare(value(b), undefined, { numeric: true });
    const rows = [...body.rows].sort((a, b) => (up ? compare(a, b) : compare(b, a)));
    for (const other of table.tHead.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    body.append(...rows);
  });
}
"""


def write(
    rows: Sequence[Record], path: Path, feedback: Mapping[tuple[str, str], Path] | None = None
) -> None:
    """Write the report on `rows`, the records of a whole class, to `path`.

    `feedback` maps (student, exercise) to the feedback page, so that the table can link to it.
    """
    by_exercise: dict[str, list[Record]] = defaultdict(list)
    for row in rows:
        by_exercise[row.exercise].append(row)
    links = {
        key: quote(Path(file).relative_to(path.parent).as_posix())
        for key, file in (feedback or {}).items()
        if Path(file).is_relative_to(path.parent)
    }
    parts = [f'<header><p class="over">Class report</p>\n{top(rows, by_exercise)}</header>']
    for name, records in by_exercise.items():
        if len(by_exercise) > 1:
            parts.append(f"<h2>{escape(heading(name))}</h2>")
        parts.append(section(name, records, links))
    parts.append(sandbox(rows))
    save(page("Class report", "\n".join(parts), SORT), path)


def top(rows: Sequence[Record], by_exercise: Mapping[str, Sequence[Record]]) -> str:
    """Return the title, and a warning when some rows were graded without a sandbox."""
    if not rows:
        return "<h1>No submissions yet</h1>\n<p>Grade some, and this page describes them.</p>"
    title = " · ".join(heading(name) for name in by_exercise)
    unsafe = len({row.student for row in rows if row.message.startswith(NO_SANDBOX)})
    notice = ""
    if unsafe:
        notice = (
            f'<p class="card notice">{number(unsafe, "student was", "students were")} graded '
            "without a sandbox: their code ran with this machine's full rights.</p>"
        )
    return f"<h1>{escape(title)}</h1>\n{notice}"


def section(name: str, records: Sequence[Record], links: Mapping[tuple[str, str], str]) -> str:
    """Return the report on one exercise."""
    by_student: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_student[record.student].append(record)
    by_question: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        by_question[record.question].append(record)
    return "\n".join(
        [
            f'<section aria-label="{escape(heading(name))}">',
            tiles(by_student),
            "<h2>Scores</h2>",
            distribution([share(rows) for rows in by_student.values()]),
            "<h2>Common mistakes</h2>",
            mistakes(records),
            "<h2>Questions</h2>",
            questions(by_question, len(by_student)),
            "<h2>Students</h2>",
            students(name, by_student, list(by_question), links),
            "<h2>To look into</h2>",
            unusual(records),
            "</section>",
        ]
    )


def share(rows: Iterable[Record]) -> float:
    """Return the share of the points that a program can give, from 0 to 1."""
    rows = [row for row in rows if row.points is not None]
    points, most, _ = total(rows)
    return points / most if most else 0.0


def tiles(by_student: Mapping[str, Sequence[Record]]) -> str:
    """Return the few figures that sum a class up."""
    shares = [share(rows) for rows in by_student.values()]
    rows = [row for of_one in by_student.values() for row in of_one]
    waiting = sum(row.points is None for row in rows)
    figures = [
        (str(len(by_student)), "student" if len(by_student) == 1 else "students"),
        (f"{100 * statistics.mean(shares):.0f} %", "mean score"),
        (f"{100 * statistics.median(shares):.0f} %", "median score"),
        (str(sum(value == 1 for value in shares)), "with every checked point"),
        (str(waiting), "answer to read" if waiting == 1 else "answers to read"),
    ]
    cards = (
        f'<div class="card"><div class="big">{value}</div>{what}</div>' for value, what in figures
    )
    return f'<div class="tiles">{"".join(cards)}</div>'


def distribution(shares: Sequence[float]) -> str:
    """Return a histogram of scores in ten equal bins, the last one with 100 % in it."""
    counts = [0] * 10
    for value in shares:
        counts[min(int(value * 10 + 1e-9), 9)] += 1
    tallest = max(counts)
    marks = []
    for index, count in enumerate(counts):
        left, height = 10 + 62 * index, round(120 * count / tallest, 1)
        middle = left + 29
        if count:
            marks.append(
                f'<rect x="{left}" y="{150 - height:g}" width="58" height="{height:g}" rx="3"/>'
                f'<text class="count" x="{middle}" y="{144 - height:g}">{count}</text>'
            )
        marks.append(f'<text x="{middle}" y="166">{10 * index}-{10 * index + 10}</text>')
    words = ", ".join(
        f"{10 * index} to {10 * index + 10} %: {count}"
        for index, count in enumerate(counts)
        if count
    )
    return (
        f'<svg class="chart" viewBox="0 0 640 190" role="img" '
        f'aria-label="How many students have which score. {words}.">'
        f'<line x1="6" x2="634" y1="150" y2="150"/>{"".join(marks)}'
        '<text x="320" y="186">score, % of the points that were checked</text></svg>'
    )


def mistakes(records: Sequence[Record]) -> str:
    """Return what went wrong most often, with how many students it happened to."""
    found: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for record in records:
        if record.mistake:
            found[record.question, record.mistake].append(record)
    if not found:
        return '<p class="soft">No answer matched a mistake that the course knows.</p>'
    ordered = sorted(found.values(), key=lambda same: (-len(same), same[0].question))
    shown = mistake_table(ordered[:MANY])
    if rest := ordered[MANY:]:
        shown += (
            f"<details><summary>{number(len(rest), 'mistake')} more, "
            f"made by {number(max(map(len, rest)), 'student')} at most</summary>"
            f"{mistake_table(rest)}</details>"
        )
    return shown


def mistake_table(ordered: Sequence[Sequence[Record]]) -> str:
    lines = "".join(
        f'<tr><td class="number">{len(same)}</td>'
        f"<td><strong>{escape(title(same))}</strong><br>"
        f"{escape(says(same[0]))}"
        f"<details><summary>{number(len(same), 'student')}</summary>"
        f"<bdi>{escape(', '.join(record.student for record in same))}</bdi></details></td></tr>"
        for same in ordered
    )
    return (
        f'{table("Common mistakes")}<thead><tr><th class="number">Students</th>'
        f"<th>Mistake</th></tr></thead><tbody>{lines}</tbody></table></div>"
    )


def questions(by_question: Mapping[str, Sequence[Record]], n_students: int) -> str:
    """Return each question's pass rate and how its answers came out."""
    lines = []
    for index, records in enumerate(by_question.values(), start=1):
        counts = Counter(record.status for record in records)
        others = " · ".join(
            f"{count} {STATUS[status][1]}"
            for status, count in counts.most_common()
            if status != "passed"
        )
        rate = counts["passed"] / n_students
        shown = f"{100 * rate:.0f} %{bar(rate)}"
        if "manual" in counts:
            rate, shown = -1.0, "a person reads it"
        lines.append(
            f'<tr><td class="number" data-value="{index}">{index}</td>'
            f'<th scope="row" data-value="{index}">{escape(title(records))}</th>'
            f'<td data-value="{rate:.6f}">{shown}</td>'
            f'<td class="text" data-value="{escape(others)}">{others}</td></tr>'
        )
    head = "".join(
        sortable(text, css)
        for text, css in [("No.", "number"), ("Question", ""), ("Passed", ""), ("Otherwise", "")]
    )
    return (
        f"{table('Questions')}<thead><tr>{head}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table></div>"
    )


def title(records: Sequence[Record]) -> str:
    return records[0].title or records[0].question


def students(
    exercise: str,
    by_student: Mapping[str, Sequence[Record]],
    names: Sequence[str],
    links: Mapping[tuple[str, str], str],
) -> str:
    """Return a row a student: the points, and one mark a question."""
    heads = [sortable("Student"), sortable("Points", "number"), sortable("Checked", "number")]
    for index, name in enumerate(names, start=1):
        heads.append(sortable(str(index), "mark", f"Question {index}, {name}"))
    lines = (
        student_row(student, rows, names, links.get((student, exercise)))
        for student, rows in by_student.items()
    )
    key = " ".join(
        f'<span class="{tone(status)}"><span class="icon" aria-hidden="true">{icon}</span>'
        f"{word}</span>"
        for status, (icon, word, _) in STATUS.items()
    )
    return (
        f"{table('Students')}<thead><tr>{''.join(heads)}</tr></thead>"
        f'<tbody>{"".join(lines)}</tbody></table></div>\n<p class="soft row">{key}</p>'
    )


def student_row(
    student: str, rows: Sequence[Record], names: Sequence[str], link: str | None
) -> str:
    """Return one student's row of the table."""
    points, most, _ = total(rows)
    shown = f"<bdi>{escape(student)}</bdi>"
    if link:
        shown = f'<a href="{escape(link)}">{shown}</a>'
    by_name = {row.question: row for row in rows}
    marks = "".join(mark(by_name.get(name)) for name in names)
    return (
        f'<tr><th scope="row" data-value="{escape(student)}">{shown}</th>'
        f'<td class="number" data-value="{points:g}">{number(points)} of {most}</td>'
        f'<td class="number" data-value="{share(rows):.6f}">{100 * share(rows):.0f} %</td>'
        f"{marks}</tr>"
    )


def mark(record: Record | None) -> str:
    """Return a cell with a status' icon, and its words for those who hear the page."""
    if record is None:
        return '<td class="mark" data-value=""></td>'
    icon, word, _ = STATUS[record.status]
    order = list(STATUS).index(record.status)
    return (
        f'<td class="mark {tone(record.status)}" data-value="{order}" title="{word}">'
        f'<span class="icon" aria-hidden="true">{icon}</span>'
        f'<span class="hidden">{word}</span></td>'
    )


def unusual(records: Sequence[Record]) -> str:
    """Return what was stopped, forbidden or broken, by student; the same message once."""
    found: dict[tuple[str, Status], list[Record]] = defaultdict(list)
    for record in records:
        if record.status in UNUSUAL:
            found[record.student, record.status].append(record)
    if not found:
        return '<p class="soft">Nothing: no answer was stopped, forbidden or broken.</p>'
    lines = "".join(
        f'<tr><th scope="row"><bdi>{escape(student)}</bdi></th>'
        f'<td><span class="status {tone(status)}">{STATUS[status][1]}</span></td>'
        f'<td class="text">{listed(same)}</td></tr>'
        for (student, status), same in found.items()
    )
    return (
        f"{table('To look into')}<thead><tr><th>Student</th><th>What</th><th>Messages and questions"
        f"</th></tr></thead><tbody>{lines}</tbody></table></div>"
    )


def listed(records: Sequence[Record]) -> str:
    """Return the different messages of one student's records, each with its questions."""
    by_message: dict[str, list[str]] = defaultdict(list)
    for record in records:
        by_message[says(record)].append(title([record]))
    lines = []
    for message, titles in list(by_message.items())[:FEW]:
        where = ", ".join(titles)
        if len(titles) > FEW:
            where = f"{titles[0]} and {number(len(titles) - 1, 'other question')}"
        lines.append(f'<bdi>{escape(message)}</bdi><br><span class="soft">{escape(where)}</span>')
    if len(by_message) > FEW:
        more = number(len(by_message) - FEW, "more message")
        lines.append(f'<span class="soft">and {more}</span>')
    return "<br>".join(lines)


def sandbox(rows: Sequence[Record]) -> str:
    """Return which sandbox layers held, for how many of the rows."""
    held: dict[str, int] = {}
    for row in rows:
        for layer, holds in row.layers.items():
            held[layer] = held.get(layer, 0) + bool(holds)
    if not held:
        return ""
    known = sum(bool(row.layers) for row in rows)
    lines = "".join(
        f'<li class="{"good" if count == known else "bad"}">'
        f'<span class="icon" aria-hidden="true">{"✓" if count == known else "✗"}</span> '
        f"{escape(layer)}: {'held' if count == known else f'held for {count} of {known} rows'}</li>"
        for layer, count in held.items()
    )
    return (
        "<h2>Sandbox</h2>\n<p>Each layer is probed by trying what it forbids.</p>\n"
        f'<ul class="plain card">{lines}</ul>'
    )


def table(label: str) -> str:
    """Open a table in a frame that scrolls on narrow screens, by keyboard too."""
    return f'<div class="wide card" tabindex="0" role="region" aria-label="{label}"><table>'


def sortable(text: str, css: str = "", label: str = "") -> str:
    """Return a column's head that sorts by it."""
    more = f' aria-label="{escape(label)}" title="{escape(label)}"' if label else ""
    kind = f' class="{css}"' if css else ""
    return f'<th scope="col"{kind}><button type="button"{more}>{escape(text)}</button></th>'
