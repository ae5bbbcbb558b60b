"""The same attacks when an ordinary user grades: nothing here may depend on being root."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

NOBODY = "65534"

#: In a mount namespace of its own, put a folder that anyone may pass through over a closed home.
OPEN_HOME = """
mount --make-rprivate /
open=$(mktemp -d)
mount -t tmpfs -o mode=755 none "$open"
for entry in "$HOME"/.[a-z]* "$HOME"/*; do
    if [ -d "$entry" ]; then
        mkdir "$open/$(basename "$entry")"
        mount --rbind "$entry" "$open/$(basename "$entry")"
    fi
done
mount --rbind "$open" "$HOME"
exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
"""


@pytest.fixture(autouse=True)
def surroundings():
    """Need no worker here: the attacks run in a process of their own."""


@pytest.mark.slow
@pytest.mark.skipif(os.getuid() != 0, reason="these tests already run as an ordinary user")
@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv (util-linux) is not installed")
def test_every_attack_fails_when_nobody_grades():
    if subprocess.run(["unshare", "-m", "true"], capture_output=True).returncode:
        pytest.skip("without mount namespaces a closed home cannot be opened for this test alone")
    here = Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(here)]
        tests += ["--basetemp", f"{folder}/tests", f"--ignore={Path(__file__)}"]
        run = subprocess.run(
            ["unshare", "-m", "sh", "-ec", OPEN_HOME, "sh", *tests],
            capture_output=True,
            text=True,
            cwd=folder,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "XDG_CACHE_HOME": folder},
        )
    summary = run.stdout.strip().splitlines()[-1:] or [run.stderr]
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    assert "passed" in summary[0]
    assert "skipped" not in summary[0]
