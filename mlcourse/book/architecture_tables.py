"""The tables of measured architecture searches in the book, each with its origin."""

import statistics
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from mlcourse.book.result_tables import measured, not_measured, not_tried, record_of
from mlcourse.nas.small_table import Table

_ORDERS = {"first": "first", "finite_difference": "second, by difference", "exact": "second, exact"}

_NAMES = {
    "DARTS": "DARTS, first order",
    "finite_difference": "DARTS, second order by difference",
    "exact": "DARTS, exact second order",
    "chosen by removals": "DARTS, first order, the cell chosen by removals",
    "PartialChannels": "PartialChannels+EdgeNormalization",
}


def darts_step_text() -> str:
    """The table of the seconds of a step of DARTS, or a sentence when it was not measured."""
    record = record_of("darts_step")
    if record is None:
        return not_measured("darts_step")
    groups: dict[tuple[str, str, str], dict[str, dict[str, Any]]] = {}
    for row in record["steps"]:
        size = f"{row['channels']}, {row['layers']}, {row['batch']}"
        group = (size, _ORDERS[row["order"]], str(row["threads"]))
        groups.setdefault(group, {})[row["way"]] = row
    forms = [form for form in next(iter(groups.values())) if form != "naive"]
    fast = [form for form in forms if not form.startswith("naive")]
    columns = ["C, layers, batch", "order", "threads", "naive (s)"]
    columns += [f"naive / {form}" for form in forms]
    columns += [f"channels last / {form}" for form in fast]
    rows = [f"| {' | '.join(columns)} |", "|---|---|" + "--:|" * (len(columns) - 2)]
    for group, found in groups.items():
        seconds = f"{found['naive']['seconds']:.2f}"
        ratios = [f"**{found[form]['naive']:.2f}**" for form in forms]
        ratios += [f"{found[form]['channels_last']:.2f}" for form in fast]
        rows.append(f"| {' | '.join([*group, seconds, *ratios])} |")
    return "\n".join(rows) + measured(record)


def darts_remedies_text() -> str:
    """The table of DARTS and its remedies on the small space, or a sentence when it is missing."""
    cells, limits, more = map(record_of, ("nas_table", "darts_limits", "darts_remedies"))
    if cells is None or limits is None or more is None:
        return not_tried("darts_remedies")
    table, regrets = Table(cells), defaultdict[str, list[float]](list)
    for run in limits["searches"] + more["runs"]:
        regrets[run["way"]].append(table.regret(run["cells"][-1]))
        if run["way"] == "DARTS":
            regrets["chosen by removals"].append(table.regret(run["perturbation_cell"]))
    rows = ["| way | points below the best cell: mean | each search |", "|---|--:|---|"]
    by_mean = sorted(regrets.items(), key=lambda item: statistics.mean(item[1]))
    rows += [f"| {_NAMES.get(way, way)} | {_each(found)} |" for way, found in by_mean]
    return "\n".join(rows) + measured(limits) + measured(more)


def _each(regrets: Sequence[float]) -> str:
    runs = ", ".join(f"{100 * regret:.1f}" for regret in sorted(regrets))
    return f"**{100 * statistics.mean(regrets):.1f}** | {runs}"


def nas_regret_text() -> str:
    """The table of searches without gradients on the small space, or a sentence without one."""
    record = record_of("nas_regret")
    if record is None:
        return not_tried("nas_regret")
    rows = ["| method | points below the best cell: mean | 95 % interval |", "|---|--:|--:|"]
    rows += [_method(line["method"], line["trainings"]) for line in record["searches"]]
    return "\n".join(rows) + measured(record)


def _method(name: str, regrets: dict[str, Any]) -> str:
    mean, low, high = (100 * regrets[what][-1] for what in ("mean", "mean_low", "mean_high"))
    return f"| {name} | **{mean:.2f}** | {low:.2f} to {high:.2f} |"
