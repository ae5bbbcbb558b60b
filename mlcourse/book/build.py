"""Build the book, warnings as errors: `python -m mlcourse.book.build [--out FOLDER] [--all]`."""

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def build(out: Path = ROOT, *, everything: bool = False) -> int:
    """Build the book into `out`/_build/html; the exit code, 0 only without a single warning."""
    command = [str(Path(sys.executable).with_name("jupyter-book")), "build", str(ROOT)]
    command += ["--path-output", str(out), "-W", "--keep-going", "-q"]
    if everything:
        command.append("--all")
    return subprocess.run(command, check=False).returncode


def main(arguments: list[str] | None = None) -> int:
    """Build the book; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mlcourse.book.build", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT, help="holds _build/html afterwards")
    parser.add_argument("--all", action="store_true", help="build unchanged pages too")
    options = parser.parse_args(arguments)
    return build(options.out, everything=options.all)


if __name__ == "__main__":
    sys.exit(main())
