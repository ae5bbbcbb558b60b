"""What the book adds to its pages when Sphinx builds them.

`<!-- generated: NAME -->` markers are filled from the data files, so that a page cannot be out of
step with them; and plumbing that only a notebook needs is left out of the page.
"""

import json
import re
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from docutils import nodes

from mlcourse import checks
from mlcourse.__about__ import REPOSITORY
from mlcourse.book import bibliography, errata

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "book" / "results"
_ELEMENT_CALL = re.compile(r"(mistake|quiz|references)\(")
_NBVAL_COMMENT = re.compile(r"# *NBVAL_CHECK_OUTPUT *\n")
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


def run_times_text() -> str:
    """The table of run times, or a sentence when they were not measured."""
    return _runs_table("run_times", "python -m mlcourse.book.run_times")


def gpu_text() -> str:
    """The table of the chapters' runs on a GPU, or a sentence when there were none."""
    return _runs_table("gpu", "make test-gpu")


def _runs_table(name: str, command: str) -> str:
    record = _record(name)
    if record is None:
        return f"Not measured yet: run `{command}`."
    rows = ["| chapter | seconds | cells | of these compared | result |", "|---|--:|--:|--:|---|"]
    rows += [
        f"| [{run['title']}]({run['chapter']}.ipynb) | {run['seconds']:.1f} | {run['cells']} "
        f"| {run['compared']} | {run['result']} |"
        for run in record["chapters"]
    ]
    total = sum(run["seconds"] for run in record["chapters"])
    rows.append(f"| **all** | **{total:.1f}** | | | |")
    return "\n".join(rows) + _measured(record)


def by_hand_step_text() -> str:
    """The table of the benchmark of one training step, or a sentence when it was not run."""
    record = _record("by_hand_step")
    if record is None:
        return _not_measured("by_hand_step")
    ways = list(record["cases"][0]["ways"])
    rows = [
        f"| batch | threads | {' | '.join(f'{way} (µs)' for way in ways)} | speed-up | limit |",
        "|--:|--:|" + "--:|" * (len(ways) + 2),
    ]
    for case in record["cases"]:
        medians = " | ".join(f"{case['ways'][way]['median_us']:.0f}" for way in ways)
        rows.append(
            f"| {case['batch']} | {case['threads']} | {medians} "
            f"| **{case['speedup']:.2f}** | {case['limit']:.2f} |"
        )
    return "\n".join(rows) + _measured(record)


def grading_text() -> str:
    """The tables of the grading benchmark, or a sentence when it was not run."""
    record = _record("grading")
    if record is None:
        return _not_measured("grading")
    return "\n\n".join(_grading_case(case) for case in record["cases"]) + _measured(record)


def _grading_case(case: dict[str, Any]) -> str:
    rows = [
        f"Notebooks {case['notebooks']}, {case['submissions']} submissions:\n",
        "| grader | submissions a second, cold | warm | ours over it, cold | warm |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, rate in case["per_second"].items():
        ratio = case["ratio"].get(name)
        over = f"{ratio['cold']:.0f} | **{ratio['warm']:.0f}**" if ratio else " | "
        rows.append(f"| {name} | {rate['cold']:.2f} | {rate['warm']:.2f} | {over} |")
    return "\n".join(rows)


def lr_batch_grid_text() -> str:
    """The table of the source's eight settings, or a sentence when none was run."""
    return _trainings("lr_batch_grid")


def ladder_text() -> str:
    """The table of the ladder's rungs, or a sentence when none was run."""
    return _trainings("ladder")


def speed_text() -> str:
    """The table of the fastest trainings, or a sentence when none was run."""
    record = _record("speed")
    if record is None:
        return "Not measured yet, for want of a GPU: run `python book/experiments/speed.py`."
    rows = [
        f"Images: {record['data']}. Arithmetic in {record['precision']}.\n",
        "| goal | epochs | seeds | seconds of training | test (%) | lowest (%) |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    rows += [_fast_training(name, runs) for name, runs in by_name(record).items()]
    return "\n".join(rows) + _measured(record)


def _fast_training(name: str, runs: list[dict[str, Any]]) -> str:
    seconds = statistics.median(sum(epoch["seconds"] for epoch in run["epochs"]) for run in runs)
    tests = [run["epochs"][-1]["test_accuracy"] for run in runs]
    return (
        f"| {name} | {runs[0]['setting']['epochs']} | {len(runs)} | {seconds:.1f} "
        f"| **{_percent(tests)}** | {100 * min(tests):.1f} |"
    )


def _trainings(name: str) -> str:
    """A row for each name of a run, in the order of the file's settings."""
    record = _record(name)
    if record is None:
        return f"Not measured yet: run `python book/experiments/{name}.py`."
    rows = [
        f"Images: {record['data']}. Arithmetic in {record['precision']}.\n",
        "| training | epochs | seeds | diverged | train (%) | test (%) | the source's (%) |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    rows += [_training(runs) for runs in by_name(record).values()]
    return "\n".join(rows) + _measured(record)


def _training(runs: list[dict[str, Any]]) -> str:
    last = [run["epochs"][-1] for run in runs]
    source = runs[0]["setting"].get("source_accuracy")
    diverged = sum(run["diverged"] for run in runs)
    columns = [
        runs[0]["name"],
        str(runs[0]["setting"]["epochs"]),
        str(len(runs)),
        str(diverged or ""),
        _percent([epoch["train_accuracy"] for epoch in last]),
        f"**{_percent([epoch['test_accuracy'] for epoch in last])}**",
        "" if source is None else f"{100 * source:.0f}",
    ]
    return f"| {' | '.join(columns)} |"


def _percent(accuracies: list[float]) -> str:
    """Mean and, of two or more, standard deviation."""
    percent = [100 * accuracy for accuracy in accuracies]
    spread = f" ± {statistics.stdev(percent):.1f}" if len(percent) > 1 else ""
    return f"{statistics.mean(percent):.1f}{spread}"


def by_name(record: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The record's runs grouped by name, groups in the order in which the file has them."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in record["runs"]:
        groups.setdefault(run["name"], []).append(run)
    return groups


def loader_text() -> str:
    """The table of the benchmark of loaders, or a sentence when it was not run."""
    record = _record("loader")
    if record is None:
        return _not_measured("loader")
    rows = ["| loader | threads | workers | images a second |", "|---|--:|--:|--:|"]
    rows += [
        f"| {row['way']} | {row['threads']} | {row['workers']} | {row['median']:,} |"
        for row in record["rows"]
    ]
    fastest = record["fastest"]
    ratio = (
        f"\n\nOurs is **{record['ratio']}** times as fast as the fastest DataLoader that does the "
        f"same ({fastest['way']}, {fastest['workers']} workers), "
        f"and {record['ratio_one_thread']} times on a single thread."
    )
    return "\n".join(rows) + ratio + _measured(record)


def conv_summary_text() -> str:
    """The table of what summaries say of hard cases, or a sentence when it was not made."""
    record = _record("conv_summary")
    if record is None:
        return _not_measured("conv_summary")
    tools = list(record["cases"][0]["verdicts"])
    rows = [
        f"| case | parameters | MACs | {' | '.join(tools)} |",
        "|---|--:|--:|" + "---|" * len(tools),
    ]
    for case in record["cases"]:
        said = ["✓" if word == "right" else word for word in case["verdicts"].values()]
        true = case["truth"]
        rows.append(
            f"| {case['name']} | {true['parameters']:,} | {true['macs']:,} | {' | '.join(said)} |"
        )
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return "\n".join(rows) + f"\n\nVersions: {versions}." + _measured(record)


def _record(name: str) -> dict[str, Any] | None:
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _not_measured(benchmark: str) -> str:
    out = f"book/results/{benchmark}.json"
    return f"Not measured yet: run `python benchmarks/{benchmark}.py --out {out}`."


def _measured(record: dict[str, Any]) -> str:
    machine = ", ".join(str(value) for value in record["machine"].values())
    return f"\n\nMeasured on {record['date']} with `{record['command']}`: {machine}."


GENERATED: dict[str, Callable[[], str]] = {
    "errata": errata_text,
    "references": references_text,
    "exercises": exercises_text,
    "sentences": sentences_text,
    "run_times": run_times_text,
    "gpu": gpu_text,
    "grading": grading_text,
    "conv_summary": conv_summary_text,
    "ladder": ladder_text,
    "lr_batch_grid": lr_batch_grid_text,
    "by_hand_step": by_hand_step_text,
    "speed": speed_text,
    "loader": loader_text,
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


def link_by_label(doctree: nodes.document, slugs: dict[str, tuple[int, str, str]]) -> None:
    """Let `page.md#label` reach each explicit label, `(label)=`; MyST knows only headings."""
    for label, explicit in doctree.nametypes.items():
        if explicit and (identifier := doctree.nameids.get(label)):
            slugs.setdefault(label, (0, identifier, label))


def _on_doctree_read(app: Any, doctree: nodes.document) -> None:
    leave_out_plumbing(doctree)
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
