"""Measure how long each chapter runs: `python -m mlcourse.book.run_times`."""

import sys

from mlcourse.book import runs

if __name__ == "__main__":
    sys.exit(runs.record("run_times", "python -m mlcourse.book.run_times", runs.machine()))
