"""What the book adds to its pages when Sphinx builds them.

`<!-- generated: NAME -->` markers are filled from the data files, so that a page cannot be out of
step with them; and plumbing that only a notebook needs is left out of the page.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docutils import nodes

from mlcourse import checks
from mlcourse.__about__ import REPOSITORY
from mlcourse.book import architecture_tables, bibliography, cell_tables, errata, result_tables

ROOT = Path(__file__).resolve().parents[2]
_ELEMENT_CALL = re.compile(r"(curve_quiz|interactive|mistake|quiz|references)\(")
_NBVAL_COMMENT = re.compile(r"# *NBVAL_CHECK_OUTPUT *\n")
_PUNCTUATION = re.compile(r"[.,;:!?)]+")
_MARKER = re.compile(r"^<!-- generated: (\w+) -->$", re.MULTILINE)


def errata_text() -> str:
    """Every erratum as Markdown, one heading each, with a link to its box in the chapter."""
    parts = []
    for part in sorted({erratum.part for erratum in errata.load()}):
        parts.append(f"## Part {part}")
        parts += [_erratum(erratum) for erratum in errata.load() if erratum.part == part]
    return "\n\n".join(parts)


def _erratum(erratum: errata.Erratum) -> str:
    title = erratum.topic[0].upper() + erratum.topic[1:]
    return (
        f"({erratum.id})=\n### {title}\n\n"
        f"> ✗ **A source says.** {erratum.source_says}\n\n"
        f"✓ **What is right.** {erratum.right}\n\n"
        f"**Why.** {erratum.why}\n\n"
        f'<a href="{erratum.chapter.removeprefix("book/")}.html#{erratum.id}">'
        "See it computed in the chapter</a>"
    )


def references_text() -> str:
    """The bibliography as a Markdown list, each work with its key as anchor."""
    return "\n".join(
        f'- <span id="{work.key}"></span>{work.markdown()}' for work in bibliography.load().values()
    )


def exercises_text() -> str:
    """For each exercise: its questions and points, and how to get it."""
    return "\n\n".join(_exercise(name) for name in checks.EXERCISES)


def _exercise(name: str) -> str:
    exercise = checks.load(name)
    path = f"exercises/{name}/{name}.ipynb"
    colab = f"https://colab.research.google.com/github/{_repository_name()}/blob/main/{path}"
    rows = ["| question | kind | mistakes it knows | points |", "|---|---|--:|--:|"]
    for question in exercise.questions:
        kind = "choice" if question.choices else _KINDS[question.kind]
        known = len(question.mistakes) or ""
        rows.append(
            f"| {question.title} (`{question.name}`) | {kind} | {known} | {question.points} |"
        )
    known = sum(len(question.mistakes) for question in exercise.questions)
    total = sum(question.points for question in exercise.questions)
    rows.append(f"| **{len(exercise.questions)} questions** | | **{known}** | **{total}** |")
    return (
        f"({name})=\n## {exercise.title}\n\n"
        f"```console\n$ mlcourse start {name}\n$ jupyter lab {name}.ipynb\n```\n\n"
        f"Or [read it here](../{path}), {{download}}`download it <../{path}>`, or "
        f"[open it in Colab]({colab}).\n\n" + "\n".join(rows)
    )


_KINDS = {"function": "function", "value": "number", "text": "free text, graded by a person"}


def sentences_text() -> str:
    """What the checks say to one known mistake of each function question, no sentence twice."""
    first: dict[str, str] = {}
    for name in checks.EXERCISES:
        for question in checks.load(name).questions:
            if question.kind == "function":
                first.setdefault(question.mistakes[0].says, f"{name}.{question.name}")
    rows = ["| in the question | a check says, for example |", "|---|---|"]
    rows += [f"| `{question}` | {_plain(says)} |" for says, question in first.items()]
    return "\n".join(rows)


def _plain(text: str) -> str:
    """The text with what Markdown would take for markup escaped."""
    return re.sub(r"([\\`*_|<\[\]$])", r"\\\1", text)


def _repository_name() -> str:
    return REPOSITORY.removeprefix("https://github.com/")


GENERATED: dict[str, Callable[[], str]] = {
    "errata": errata_text,
    "references": references_text,
    "exercises": exercises_text,
    "sentences": sentences_text,
    "run_times": result_tables.run_times_text,
    "gpu": result_tables.gpu_text,
    "grading": result_tables.grading_text,
    "conv_summary": result_tables.conv_summary_text,
    "ladder": result_tables.ladder_text,
    "lr_batch_grid": result_tables.lr_batch_grid_text,
    "by_hand_step": result_tables.by_hand_step_text,
    "speed": result_tables.speed_text,
    "loader": result_tables.loader_text,
    "optimisers": result_tables.optimisers_text,
    "curves": result_tables.curves_text,
    "darts_step": architecture_tables.darts_step_text,
    "darts_remedies": architecture_tables.darts_remedies_text,
    "nas_regret": architecture_tables.nas_regret_text,
    "darts": cell_tables.darts_text,
    "darts_proxy": cell_tables.darts_proxy_text,
}


def fill(text: str) -> str:
    """The page's text with each marker replaced by what it names; KeyError for an unknown name."""
    return _MARKER.sub(lambda match: GENERATED[match.group(1)](), text)


def _on_source_read(app: Any, docname: str, source: list[str]) -> None:
    if _MARKER.search(source[0]):
        source[0] = fill(source[0])
        app.env.note_reread()  # the data may change when the page's own file does not


def leave_out_plumbing(doctree: nodes.document) -> None:
    """Remove the code of cells that make a box, a quiz or a list, and the comments for nbval."""
    for cell in list(doctree.findall(nodes.container)):
        code = next(iter(cell.findall(nodes.literal_block)), None)
        if "cell" not in cell["classes"] or code is None:
            continue
        if _ELEMENT_CALL.match(code.astext()):
            cell.remove(cell.children[0])
        elif _NBVAL_COMMENT.match(code.astext()):
            text = _NBVAL_COMMENT.sub("", code.astext())
            code.rawsource = text
            code.children = [nodes.Text(text)]


def keep_punctuation(doctree: nodes.document) -> None:
    """Hold a formula in the text and what follows it, such as a full stop, on one line."""
    for formula in list(doctree.findall(nodes.math)):
        after = formula.next_node(descend=False, siblings=True)
        if isinstance(after, nodes.Text) and (found := _PUNCTUATION.match(after)):
            held = nodes.inline("", "", classes=["held-together"])
            formula.replace_self(held)
            held += [formula, nodes.Text(found.group())]
            # By its place: an equal text may stand before it.
            held.parent[held.parent.index(held) + 1] = nodes.Text(after[found.end() :])


def link_by_label(doctree: nodes.document, slugs: dict[str, tuple[int, str, str]]) -> None:
    """Let `page.md#label` reach each explicit label, `(label)=`; MyST knows only headings."""
    for label, explicit in doctree.nametypes.items():
        if explicit and (identifier := doctree.nameids.get(label)):
            slugs.setdefault(label, (0, identifier, label))


def _on_doctree_read(app: Any, doctree: nodes.document) -> None:
    leave_out_plumbing(doctree)
    keep_punctuation(doctree)
    link_by_label(doctree, app.env.metadata[app.env.docname].setdefault("myst_slugs", {}))


def _leave_out_thebe_script(
    app: Any, pagename: str, templatename: str, context: dict[str, Any], doctree: Any
) -> None:
    """Jupyter Book adds thebe (live code through a server) to every page, twice, wanted or not."""
    context["script_files"] = [
        script for script in context["script_files"] if "thebe" not in str(script)
    ]


def _leave_out_thebe_settings(app: Any, doctree: nodes.document, docname: str) -> None:
    for node in list(doctree.findall(nodes.raw)):
        if "text/x-thebe-config" in node.astext():
            node.parent.remove(node)


def setup(app: Any) -> dict[str, bool]:
    """Register with Sphinx."""
    app.connect("source-read", _on_source_read)
    app.connect("doctree-read", _on_doctree_read)
    app.connect("doctree-resolved", _leave_out_thebe_settings, priority=900)  # after thebe's own
    app.connect("html-page-context", _leave_out_thebe_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
