"""The `mlcourse` command. Each command imports what it needs when it runs, so help is instant."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from mlcourse.grading.results import Record
    from mlcourse.grading.run import Options, Result

app = typer.Typer(
    name="mlcourse",
    help="A course on optimising neural networks: exercises, their release and their grading.",
    add_completion=False,
    pretty_exceptions_enable=False,
)

#: Newer typers have a click of their own, so the class is found through one that typer names.
UsageError: Any = typer.BadParameter.__bases__[0]

FAILED, WRONG_USAGE = 1, 2
MOST_NOTES = 10


def main() -> None:
    """Run the command; wrong usage is one sentence on stderr and exit code 2."""
    try:
        code = app(sys.argv[1:] or ["--help"], prog_name="mlcourse", standalone_mode=False)
    except UsageError as error:
        command = error.ctx.command_path if error.ctx else "mlcourse"
        say(f"{error.format_message().rstrip('.')}: see {command} --help")
        code = WRONG_USAGE
    except (typer.Abort, KeyboardInterrupt):
        say("stopped")
        code = FAILED
    except BrokenPipeError:  # the reader of our output has gone, which is its right
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        code = FAILED
    sys.exit(code)


def say(sentence: str) -> None:
    """Print a sentence for a person, on stderr."""
    print(sentence, file=sys.stderr)


@app.command()
def start(
    name: Annotated[str, typer.Argument(help="Exercise to start; without it, list them.")] = "",
) -> None:
    """Copy an exercise into this folder, to work on."""
    from mlcourse import exercises

    if not name:
        for known, title in exercises.titles().items():
            print(f"{known:12} {title}")
        return
    try:
        notebook = exercises.start(name)
    except (ValueError, FileExistsError) as error:
        say(str(error))
        raise typer.Exit(WRONG_USAGE) from None
    print(f"{notebook}: open it with jupyter lab {notebook}")


@app.command()
def grade(
    submitted: Annotated[
        Path,
        typer.Argument(
            help="Folder STUDENT/NAME/NAME.ipynb, a folder of STUDENT.ipynb, or a zip of either.",
        ),
    ],
    exercise: Annotated[
        str | None, typer.Option(help="Grade this exercise alone; needed for a flat folder.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = Path("graded"),
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Submissions graded at once (default: the cores).")
    ] = None,
    gradebook: Annotated[
        str | None,
        typer.Option(help="URL of nbgrader's gradebook (default: OUT/gradebook.db, in SQLite)."),
    ] = None,
    regrade: Annotated[
        bool, typer.Option("--regrade", help="Grade again what was graded; keep manual scores.")
    ] = False,
    gradescope: Annotated[
        bool, typer.Option("--gradescope", help="Also write Gradescope's results.json.")
    ] = False,
    unsafe_no_sandbox: Annotated[
        bool,
        typer.Option(
            "--unsafe-no-sandbox",
            help="Run student code with your own rights; every row says so.",
        ),
    ] = False,
) -> None:
    """Grade submissions: rows, feedback, gradebook and class report."""
    try:
        from mlcourse.grading.run import Options
        from mlcourse.grading.submissions import WrongUsage
    except ImportError as error:
        say(f"{error.name} is not installed: pip install 'mlcourse[grade]'")
        raise typer.Exit(FAILED) from None
    try:
        result = graded(
            Options(
                submitted=submitted,
                out=out,
                exercise=exercise,
                jobs=jobs or cores(),
                gradebook=gradebook,
                regrade=regrade,
                gradescope=gradescope,
                sandbox=not unsafe_no_sandbox,
            )
        )
    except WrongUsage as error:
        say(str(error))
        raise typer.Exit(WRONG_USAGE) from None
    summarise(result, out)
    if result.faults:
        say(f"the grader itself failed on {', '.join(result.faults)}: see above, and run it again")
        raise typer.Exit(FAILED)


def graded(options: Options) -> Result:
    """Grade, with progress on a terminal; say why not, and exit 1, where that cannot be done."""
    from mlcourse.grading import run
    from mlcourse.grading.pool import Refused

    try:
        if not sys.stderr.isatty():
            return run.grade(options)
        return with_progress(options)
    except Refused as error:
        say(str(error))
    except OSError as error:
        say(f"the results cannot be written: {error.strerror}: {error.filename or options.out}")
    except KeyboardInterrupt:
        say("stopped; what is graded is kept: the same command continues from here")
    raise typer.Exit(FAILED)


def with_progress(options: Options) -> Result:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    from mlcourse.grading import run

    columns = ("grading", BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("grading", total=None)
        return run.grade(options, lambda done, total: bar.update(task, completed=done, total=total))


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def summarise(result: Result, out: Path) -> None:
    """Print what came of a run, in a few lines, and where the results are."""
    from rich.console import Console
    from rich.table import Table

    for note in result.notes[:MOST_NOTES]:
        say(note)
    if len(result.notes) > MOST_NOTES:
        say(f"... and {len(result.notes) - MOST_NOTES} more like these")
    table = Table("exercise", "submissions", "mean points", "statuses", box=None, pad_edge=False)
    for exercise in sorted({record.exercise for record in result.records}):
        table.add_row(*line(exercise, [r for r in result.records if r.exercise == exercise]))
    Console(soft_wrap=not sys.stdout.isatty()).print(table)
    print(f"\n{result.graded} newly graded")
    for what, place in (
        ("grades", out / "grades.csv"),
        ("class report", out / "report.html"),
        ("feedback", out / "feedback"),
    ):
        print(f"{what:13} {place}")


def line(exercise: str, records: list[Record]) -> tuple[str, str, str, str]:
    """Return a line of the summary."""
    students = len({record.student for record in records})
    most = sum(record.max_points for record in records)
    points = sum(record.points or 0 for record in records)
    counts: dict[str, int] = {}
    for record in records:
        counts[record.status] = counts.get(record.status, 0) + 1
    statuses = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return exercise, str(students), f"{points / students:.1f} of {most / students:g}", statuses


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="A results folder of `mlcourse grade`.")],
) -> None:
    """Write the class report of a results folder again."""
    from mlcourse.grading.run import write_report
    from mlcourse.grading.submissions import WrongUsage

    try:
        print(write_report(folder))
    except WrongUsage as error:
        say(str(error))
        raise typer.Exit(WRONG_USAGE) from None


@app.command()
def release(
    check: Annotated[
        bool, typer.Option("--check", help="Only compare; exit 1 on a difference.")
    ] = False,
) -> None:
    """Make the exercises from their solutions (for authors, in the repository)."""
    from mlcourse import exercises

    raise typer.Exit(exercises.release(check))


@app.command()
def doctor() -> None:
    """Say what works on this machine: sandbox layers, GPU, data, versions."""
    from mlcourse.grading.doctor import main as examine

    raise typer.Exit(examine())


@app.command()
def data(
    names: Annotated[
        list[str] | None, typer.Argument(help="Data sets to fetch, if they are not here.")
    ] = None,
) -> None:
    """Say where each data set comes from and whether it is here; fetch those that are named."""
    from mlcourse import data

    for name in names or ():
        if name not in data.SOURCES:
            say(f"there is no data set {name}: the course has {', '.join(data.SOURCES)}")
            raise typer.Exit(WRONG_USAGE)
    for name in names or ():
        try:
            getattr(data, name)()
        except (data.DataMissing, data.DataDamaged) as error:
            say(str(error))
            raise typer.Exit(FAILED) from None
    for name in names or data.SOURCES:
        print(f"{name:16} {data.state(name)}")


if __name__ == "__main__":
    main()
