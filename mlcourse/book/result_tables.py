"""The tables of measured results in the book, each with its origin, from `book/results/*.json`."""

import json
import statistics
from typing import Any

from mlcourse.book.runs import RESULTS


def run_times_text() -> str:
    """The table of run times, or a sentence when they were not measured."""
    return _runs_table("run_times", "python -m mlcourse.book.run_times")


def gpu_text() -> str:
    """The table of the chapters' runs on a GPU, or a sentence when there were none."""
    return _runs_table("gpu", "make test-gpu")


def _runs_table(name: str, command: str) -> str:
    record = record_of(name)
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
    return "\n".join(rows) + measured(record)


def by_hand_step_text() -> str:
    """The table of the benchmark of one training step, or a sentence when it was not run."""
    record = record_of("by_hand_step")
    if record is None:
        return not_measured("by_hand_step")
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
    return "\n".join(rows) + measured(record)


def grading_text() -> str:
    """The tables of the grading benchmark, or a sentence when it was not run."""
    record = record_of("grading")
    if record is None:
        return not_measured("grading")
    return "\n\n".join(_grading_case(case) for case in record["cases"]) + measured(record)


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
    record = record_of("speed")
    if record is None:
        return "Not measured yet, for want of a GPU: run `python book/experiments/speed.py`."
    rows = [
        _trained_on(record),
        "| goal | epochs | seeds | seconds of training | test (%) | lowest (%) |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    rows += [_fast_training(name, runs) for name, runs in _by_name(record).items()]
    return "\n".join(rows) + measured(record)


def _trained_on(record: dict[str, Any]) -> str:
    return f"Images: {record['data']}. Arithmetic in {record['precision']}.\n"


def _fast_training(name: str, runs: list[dict[str, Any]]) -> str:
    seconds = statistics.median(sum(epoch["seconds"] for epoch in run["epochs"]) for run in runs)
    tests = [run["epochs"][-1]["test_accuracy"] for run in runs]
    return (
        f"| {name} | {runs[0]['setting']['epochs']} | {len(runs)} | {seconds:.1f} "
        f"| **{_percent(tests)}** | {100 * min(tests):.1f} |"
    )


def _trainings(name: str) -> str:
    """A row for each name of a run, in the order of the file's settings."""
    record = record_of(name)
    if record is None:
        return f"Not measured yet: run `python book/experiments/{name}.py`."
    rows = [
        _trained_on(record),
        "| training | epochs | seeds | diverged | train (%) | test (%) | the source's (%) |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    rows += [_training(runs) for runs in _by_name(record).values()]
    return "\n".join(rows) + measured(record)


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


def _by_name(record: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """The record's runs grouped by name, groups in the order in which the file has them."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for run in record["runs"]:
        groups.setdefault(run["name"], []).append(run)
    return groups


def loader_text() -> str:
    """The table of the benchmark of loaders, or a sentence when it was not run."""
    record = record_of("loader")
    if record is None:
        return not_measured("loader")
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
    return "\n".join(rows) + ratio + measured(record)


def conv_summary_text() -> str:
    """The table of what summaries say of hard cases, or a sentence when it was not made."""
    record = record_of("conv_summary")
    if record is None:
        return not_measured("conv_summary")
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
    return "\n".join(rows) + f"\n\nVersions: {versions}." + measured(record)


def optimisers_text() -> str:
    """The table of the optimisers' step times, or a sentence when it was not measured."""
    record = record_of("optimisers")
    if record is None:
        return not_measured("optimisers")
    rows = [
        "| tensors | optimiser | ours (µs) | foreach (µs) | loop (µs) | ours / foreach |",
        "|---|---|--:|--:|--:|--:|",
    ]
    rows += [
        f"| {row['tensors']} | {row['optimiser']} | {row['ours_us']:.0f} | {row['foreach_us']:.0f} "
        f"| {row['loop_us']:.0f} | **{row['ratio']:.2f}** |"
        for row in record["rows"]
    ]
    return "\n".join(rows) + measured(record)


def curves_text() -> str:
    """The confusion matrix of the diagnosis of learning curves, or a sentence without one."""
    record = record_of("curves")
    if record is None:
        return not_tried("curves")
    names = record["names"]
    rows = [
        f"| built in | {' | '.join(names)} |",
        "|---|" + "--:|" * len(names),
    ]
    for i, (name, counts) in enumerate(zip(names, record["matrix"], strict=True)):
        cells = [f"**{count}**" if i == j else str(count or "") for j, count in enumerate(counts)]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    total = len(record["runs"])
    share = f"\n\n{record['right']} of {total} right, {100 * record['share_right']:.1f} %."
    return "\n".join(rows) + share + measured(record)


def record_of(name: str) -> dict[str, Any] | None:
    """The content of book/results/NAME.json, or None."""
    path = RESULTS / f"{name}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def not_measured(benchmark: str) -> str:
    """What stands in the place of a benchmark's table."""
    out = f"book/results/{benchmark}.json"
    return f"Not measured yet: run `python benchmarks/{benchmark}.py --out {out}`."


def not_tried(experiment: str) -> str:
    """What stands in the place of an experiment's table."""
    return f"Not measured yet: run `python book/experiments/{experiment}.py`."


def measured(record: dict[str, Any]) -> str:
    """The paragraph below a table: when, by which command and on which machine."""
    machine = ", ".join(str(value) for value in record["machine"].values())
    return f"\n\nMeasured on {record['date']} with `{record['command']}`: {machine}."
