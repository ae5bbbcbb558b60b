"""Train every cell of a space small enough for it.

    python book/experiments/nas_table.py [--quick] [--out FILE]

The space has 4,096 cells, of which some hundreds compute different functions
(mlcourse.nas.small_space). Each of those is trained with a few seeds; the
best of them then with many, so that the optimum is known better than a
search could. A search on the table costs nothing, and how far its choice is
from the best can be said. A stopped experiment goes on where it was.
"""

import json
import sys

import records
import torch

from mlcourse.nas import small_networks
from mlcourse.nas.small_space import representatives

NAME = "nas_table"

#: Seeds of each cell, and of those that are among the best so far by their
#: mean accuracy, on validation or on test images.
SEEDS, BEST, SEEDS_OF_BEST = 3, 30, 14


def main():
    """Do the trainings that the file lacks; the exit code."""
    quick, out = records.asked(NAME, __doc__)
    torch.set_num_threads(1)
    epochs = 2 if quick else small_networks.EPOCHS
    cells = sorted(set(representatives().values()))
    table = started(out, cells[:: 200 if quick else 1])
    for seed in range(1 if quick else SEEDS):
        do(table, list(table), seed, epochs, out, quick)
    if not quick:
        best = leaders(table)
        for seed in range(SEEDS, SEEDS_OF_BEST):
            do(table, best, seed, epochs, out, quick)
    return 0


def started(path, cells):
    """Each cell with its runs so far, in the order of their seeds."""
    table = {
        cell: {"cell": cell, "validation": [], "test": [], "seconds": []}
        for cell in cells
    }
    if path.is_file():
        record = json.loads(path.read_text("utf-8"))
        table |= {row["cell"]: row for row in record["cells"]}
    return table


def do(table, cells, seed, epochs, out, quick):
    """Train the cells with a seed, unless they have been, and write."""
    missing = [cell for cell in cells if len(table[cell]["test"]) <= seed]
    for i, cell in enumerate(missing, start=1):
        trained = small_networks.train(cell, seed, epochs)
        for what, value in trained._asdict().items():
            table[cell][what].append(records.rounded(value))
        if i % 20 == 0 or i == len(missing):
            write(out, table, quick)
            print(f"seed {seed}: {i} of {len(missing)}", flush=True)


def leaders(table):
    """The cells that seem the best by the first seeds, in their order."""
    chosen = set()
    for what in (lambda row: [run[-1] for run in row["validation"]],
                 lambda row: row["test"]):  # fmt: skip
        order = sorted(
            table, key=lambda cell: -sum(what(table[cell])[:SEEDS])
        )
        chosen |= set(order[:BEST])
    return [cell for cell in table if cell in chosen]


def write(path, table, quick):
    """Write one cell a line."""
    head = records.about(NAME, quick, checks=[*small_networks.CHECKS])
    lines = [json.dumps(row) for row in table.values()]
    records.replace(path, records.one_a_line(head, cells=lines))


if __name__ == "__main__":
    sys.exit(main())
