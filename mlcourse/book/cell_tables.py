"""The tables of cells that were searched for and trained on images, each with its origin."""

import math
import statistics
from typing import Any

from mlcourse.book.result_tables import measured, record_of
from mlcourse.nas.operations import WITHOUT_WEIGHTS

_COMMAND = "python book/experiments/darts.py"
_TEST_IMAGES = 10_000
_PUBLISHED = (
    "Published, at the papers' scale and for a cell chosen among several searches, and not "
    "measured here: 3.00 ± 0.14 % with the first-order gradient (1.5 GPU days of search) and "
    "2.76 ± 0.09 % with the second-order one (4 GPU days), "
    '<a href="references.html#liu2019">Liu and others, 2019</a>, table 1; PC-DARTS 2.57 % '
    '(0.1 GPU days), <a href="references.html#xu2020">Xu and others, 2020</a>.'
)


def darts_text() -> str:
    """The table of cells at the papers' scale, or a sentence when none was trained."""
    record = record_of("darts")
    if record is None:
        return f"Not measured yet, for want of an accelerator: run `{_COMMAND}`."
    return _cells(record)


def darts_proxy_text() -> str:
    """The table of cells at the scale for a CPU, or a sentence when none was trained."""
    record = record_of("darts_proxy")
    if record is None:
        return f"Not measured yet: run `{_COMMAND} --proxy`."
    return _cells(record)


def _cells(record: dict[str, Any]) -> str:
    """A row for each way to come to a cell, in the order of the file's trainings."""
    searches, trainings = (_by_way(record[part]) for part in ("searches", "trainings"))
    rows = [
        f"{_scale(record)}\n",
        "| cell | seeds | minutes of search | parameters (thousands) "
        "| of 16 operations without weights | test error (%) | each seed's (%) |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    rows += [_row(way, runs, searches.get(way, [])) for way, runs in trainings.items()]
    uncertain = (
        f"The number of test images alone makes an error uncertain by ± {_spread(record):.1f} "
        "points (one standard deviation)."
    )
    return "\n".join(rows) + f"\n\n{uncertain} {_PUBLISHED}" + measured(record)


def _spread(record: dict[str, Any]) -> float:
    """The standard deviation, in points, of the share of wrong answers at the mean error."""
    p = statistics.mean(run["test_error"] for run in record["trainings"])
    n = record["scale"]["test_images"] or _TEST_IMAGES
    return 100 * math.sqrt(p * (1 - p) / n)


def _scale(record: dict[str, Any]) -> str:
    scale = record["scale"]
    parts = [
        f"Images: {record['data']}. Trainings in {record['precision']}.",
        _work("Searches", "search", record),
        _work("Trainings", "train", record),
        f"Tested once, at the end, on {_share(scale['test_images'])} test images.",
    ]
    return " ".join(parts)


def _work(what: str, part: str, record: dict[str, Any]) -> str:
    scale, papers = record["scale"], record["paper"][f"{part}_epochs"]
    epochs = scale[f"{part}_epochs"]
    said = f"{epochs} epochs" + (f" (the papers: {papers})" if epochs != papers else "")
    return (
        f"{what}: {scale[f'{part}_channels']} channels, {scale[f'{part}_layers']} layers, "
        f"{said}, {_share(scale[f'{part}_images'])} training images."
    )


def _share(images: int | None) -> str:
    return "all" if images is None else f"{images:,} of the"


def _row(way: str, trainings: list[dict[str, Any]], searches: list[dict[str, Any]]) -> str:
    minutes = [run["seconds"] / 60 for run in searches]
    errors = [100 * run["test_error"] for run in trainings]
    columns = [
        way,
        str(len(trainings)),
        f"{statistics.mean(minutes):.1f}" if minutes else "",
        f"{statistics.mean(run['parameters'] for run in trainings) / 1000:.0f}",
        ", ".join(str(_without_weights(run)) for run in trainings),
        f"**{statistics.mean(errors):.1f}**",
        ", ".join(_error(run) for run in trainings),
    ]
    return f"| {' | '.join(columns)} |"


def _error(run: dict[str, Any]) -> str:
    return f"{100 * run['test_error']:.1f}" + " (diverged)" * run["diverged"]


def _without_weights(run: dict[str, Any]) -> int:
    """The operations of both cells that have no weights (at stride 1)."""
    return sum(
        counts.get(operation, 0)
        for counts in run["operations"].values()
        for operation in WITHOUT_WEIGHTS
    )


def _by_way(runs: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    ways: dict[str, list[dict[str, Any]]] = {}
    for run in runs:
        ways.setdefault(run["way"], []).append(run)
    return ways
