"""Time the grader against nbgrader autograde and otter run, on the same submissions in one run.

    python benchmarks/grading.py [--out book/results/grading.json]
    python benchmarks/grading.py --install-otter     # once: otter-grader in a venv of its own

All grade the harmless part of the sample class (exercise `by_hand`) on two cores: ours with two
jobs and the sandbox on, the peers, which know no jobs, as two commands at a time. The checks are
the same ones; nbgrader and otter call them in the student's process. *Cold* is a whole command,
from its start, for the class once. *Warm* is what one more submission costs: the class many times
less the class once. The peers start Python and import torch for each submission, so for them the
two are one. The processor's seconds for a submission hardly depend, unlike the rates, on what else
the machine does. The peers run every cell of a notebook, ours those that an answer needs; therefore
a second case leaves the experiments at the notebook's end out.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
import venv
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import nbformat
from rich.console import Console
from rich.table import Table

from mlcourse import exercises, sample_class
from mlcourse.book.runs import machine
from mlcourse.checks import load
from mlcourse.grading.doctor import layers

ROOT = Path(__file__).resolve().parents[1]
OTTER = ROOT / "_build" / "otter"
NAME = "by_hand"
HARMLESS = ("acacia", "alder", "ash", "beech", "birch", "cedar", "cypress", "elder", "elm",
            "ginkgo", "hazel", "spruce")  # fmt: skip
COPIES = 20
CORES = 2
Submissions = dict[str, str]


def submissions(*, experiments: bool) -> Submissions:
    """Return student -> notebook; without `experiments`, the cells that answer nothing go."""
    chosen = {student: sample_class.submissions()[student] for student in HARMLESS}
    return chosen if experiments else {name: bare(text) for name, text in chosen.items()}


def bare(text: str) -> str:
    """Leave out the code after the last function's check: training, figures, timings."""
    notebook = nbformat.reads(text, as_version=4)
    last = max(i for i, cell in enumerate(notebook.cells) if cell.id == "train_check")
    notebook.cells = [
        cell
        for i, cell in enumerate(notebook.cells)
        if i <= last or cell.cell_type == "markdown" or "nbgrader" in cell.metadata
    ]
    return nbformat.writes(notebook) + "\n"


def hand_in(folder: Path, texts: Submissions, copies: int = 1) -> Path:
    """Write `copies` of the submissions into `folder`/submitted, each by a student of its own."""
    submitted = folder / "submitted"
    for copy in range(copies):
        for student, text in texts.items():
            target = submitted / f"{student}{copy or ''}" / NAME / f"{NAME}.ipynb"
            target.parent.mkdir(parents=True)
            target.write_bytes(text.encode())
    return submitted


def run(command: Sequence[str | Path], folder: Path) -> None:
    """Run a command in `folder`; when it fails, end with what it said."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall time and the processor time (s) of `work`'s commands."""
    began, used = time.perf_counter(), processor_seconds()
    work()
    return time.perf_counter() - began, processor_seconds() - used


def processor_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def ours(texts: Submissions, folder: Path) -> dict[str, float]:
    """Grade the class once, and many times over, each with a fresh results folder."""
    command = Path(sys.executable).with_name("mlcourse")
    wall, processor = {}, {}
    for copies in (1, COPIES):
        place = folder / f"ours{copies}"
        submitted = hand_in(place, texts, copies)
        grade = [command, "grade", submitted, "--out", "graded", "--jobs", str(CORES)]
        wall[copies], processor[copies] = timed(lambda g=grade, p=place: run(g, p))
    expect(wall[COPIES] > wall[1], "the machine is too busy with other work")
    more = (COPIES - 1) * len(texts)
    return {
        "cold": len(texts) / wall[1],
        "warm": more / (wall[COPIES] - wall[1]),
        "processor_s": (processor[COPIES] - processor[1]) / more,
    }


def nbgrader(texts: Submissions, folder: Path) -> dict[str, float]:
    """Run `nbgrader autograde` on two halves of the class at once, each in a course of its own."""
    courses = []
    for half in range(CORES):
        course = folder / f"nbgrader{half}"
        hand_in(course, dict(list(texts.items())[half::CORES]))
        shutil.copy(ROOT / "nbgrader_config.py", course)
        source = course / "source" / NAME / f"{NAME}.ipynb"
        source.parent.mkdir(parents=True)
        source.write_text(exercises.generate(ROOT)[ROOT / source.relative_to(course)], "utf-8")
        run([sys.executable, "-m", "nbgrader", "generate_assignment", NAME], course)
        courses.append(course)
    command = [sys.executable, "-m", "nbgrader", "autograde", NAME]
    times = timed(lambda: side_by_side([lambda c=c: run(command, c) for c in courses]))
    done = sum(len(list((c / "graded" / "autograded").glob("*/*/*.ipynb"))) for c in courses)
    expect(done == len(texts), f"nbgrader graded {done} of {len(texts)} submissions")
    return rates_of(times, len(texts))


def otter(texts: Submissions, folder: Path) -> dict[str, float]:
    """Run `otter run` on each submission, two at once; its tests call the same checks."""
    place = folder / "otter"
    submitted = hand_in(place, texts)
    tests = place / "tests"
    tests.mkdir()
    for question in load(NAME).questions:
        if question.kind != "text":
            (tests / f"{question.name}.py").write_text(otter_test(question.name, question.points))
    command = OTTER / "bin" / "otter"
    run([command, "generate", "-t", "tests", "-o", "autograder.zip", "--no-requirements",
         "--no-environment"], place)  # fmt: skip

    def one(notebook: Path) -> None:
        run([command, "run", "-a", place / "autograder.zip", "-o", notebook.parent, notebook],
            notebook.parent)  # fmt: skip

    notebooks = sorted(submitted.glob("*/*/*.ipynb"))
    times = timed(lambda: side_by_side([lambda n=n: one(n) for n in notebooks]))
    results = json.loads((submitted / "acacia" / NAME / "results.json").read_text())
    failed = [test["name"] for test in results["tests"] if test.get("status") == "failed"]
    expect(not failed, f"otter fails the solution in {failed}")
    return rates_of(times, len(texts))


def otter_test(question: str, points: int) -> str:
    """Return a test file in otter's exception-based form."""
    return f"""\
from otter.test_files import test_case

OK_FORMAT = False
name = "{question}"
points = {points}


@test_case()
def test_{question}({question}):
    from mlcourse import check

    check("{NAME}.{question}", {question})
"""


def rates_of(times: tuple[float, float], graded: int) -> dict[str, float]:
    wall, processor = times
    return {"cold": graded / wall, "warm": graded / wall, "processor_s": processor / graded}


def side_by_side(works: Sequence[Callable[[], None]]) -> None:
    """Do the works, two at a time."""
    with ThreadPoolExecutor(CORES) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result()


def expect(holds: bool, sentence: str) -> None:
    if not holds:
        sys.exit(f"no measurement: {sentence}")


def install_otter() -> None:
    """Make a venv with otter-grader in which torch and the course are importable too."""
    venv.create(OTTER, with_pip=True, clear=True)
    python = OTTER / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "otter-grader"], check=True)
    query = [python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])"]
    site = subprocess.run(query, check=True, capture_output=True, text=True).stdout.strip()
    # Named to come last, so that otter's own dependencies win over the course's.
    both = f"{sysconfig.get_paths()['purelib']}\n{ROOT}\n"
    (Path(site) / "zz_course.pth").write_text(both)


def measure(graders: dict[str, Callable], *, experiments: bool) -> dict[str, object]:
    """Return each grader's submissions a second, and ours over theirs."""
    texts = submissions(experiments=experiments)
    rates: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, grader in graders.items():
            Console(stderr=True).print(f"{name} ...")
            rates[name] = grader(texts, Path(folder))
    first = rates["mlcourse"]
    return {
        "notebooks": "as handed in" if experiments else "without the closing experiments",
        "submissions": len(texts),
        "per_second": {
            name: {key: round(value, 3) for key, value in rate.items()}
            for name, rate in rates.items()
        },
        "ratio": {
            name: {key: round(first[key] / rate[key], 1) for key in ("cold", "warm")}
            for name, rate in rates.items()
            if name != "mlcourse"
        },
    }


def table(case: dict) -> Table:
    """Return one case as a table for the terminal."""
    made = Table(title=f"{NAME}, {case['notebooks']}: submissions a second on {CORES} cores")
    for column in ("grader", "cold", "warm", "ours / theirs, cold", "warm", "processor s"):
        made.add_column(column, justify="left" if column == "grader" else "right")
    for name, rate in case["per_second"].items():
        ratio = case["ratio"].get(name)
        shown = [f"{ratio[key]:.0f}" for key in ("cold", "warm")] if ratio else ["", ""]
        shown.append(f"{rate['processor_s']:.3f}")
        made.add_row(name, f"{rate['cold']:.2f}", f"{rate['warm']:.2f}", *shown)
    return made


def main() -> None:
    """Measure, print the tables and, with --out, store the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file too")
    parser.add_argument("--install-otter", action="store_true", help="make otter's venv first")
    options = parser.parse_args()
    if options.install_otter:
        install_otter()
    graders: dict[str, Callable] = {"mlcourse": ours, "nbgrader autograde": nbgrader}
    if OTTER.exists():
        graders["otter run"] = otter
    else:
        print("otter run is left out: python benchmarks/grading.py --install-otter installs it")
    cases = [measure(graders, experiments=experiments) for experiments in (True, False)]
    for case in cases:
        Console(width=100).print(table(case))
    if options.out:
        record = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "command": "python benchmarks/grading.py --out book/results/grading.json",
            "machine": machine(),
            "sandbox": {layer[0]: bool(layer[1]) for layer in layers()},
            "cases": cases,
        }
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
