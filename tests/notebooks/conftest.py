"""Say after the tests how long each chapter ran, and all of them together."""

import re

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the run times of the chapters that ran under nbval."""
    ran = {
        found.group(1): report.duration
        for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
        if report.when == "call"
        and (found := re.search(r"under_nbval_in_time\[(.+)\]", report.nodeid))
    }
    if ran:
        times = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in sorted(ran.items()))
        terminalreporter.write_line(f"chapters: {times}; {sum(ran.values()):.0f} s in all")
