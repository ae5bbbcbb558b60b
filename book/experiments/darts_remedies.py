"""Remedies for DARTS on fresh seeds, and two of them together.

    python book/experiments/darts_remedies.py [--quick] [--out FILE]

darts_limits.py compares all remedies on five seeds. Whoever reads that table
and then says which ones help has chosen by luck too. So the same searches run
here with five seeds that nobody had looked at, and pairs of remedies with all
ten. A stopped experiment goes on where it was; `--quick` is a rehearsal.
"""

import time
from functools import partial

import darts_limits
import records

NAME = "darts_remedies"

#: Those of darts_limits.py with the first-order gradient.
WAYS = [
    way for way, (order, _) in darts_limits.WAYS.items() if order == "first"
]


def main():
    """Do what the file lacks."""
    quick, out = records.asked(NAME, __doc__)
    head = records.about(NAME, quick, setting=darts_limits.SETTING)
    records.do_missing(out, plan(quick), partial(searched, quick=quick), head)


def plan(quick):
    """The fresh seeds, each with an old one for the pairs of remedies."""
    together = list(darts_limits.COMBINED)
    n = darts_limits.SEEDS
    runs = []
    for old, fresh in zip(range(n), range(n, 2 * n), strict=True):
        runs += [(way, fresh) for way in WAYS + together]
        runs += [(way, old) for way in together]
    if quick:
        runs = [(way, n) for way in together]
    return [{"way": way, "seed": seed} for way, seed in runs]


def searched(way, seed, quick):
    """A search as in darts_limits.py, and the processor's seconds."""
    start = time.process_time()
    found = darts_limits.searched(way, seed, quick)
    seconds = darts_limits.rounded(time.process_time() - start)
    return {**found, "seconds": seconds}


if __name__ == "__main__":
    main()
