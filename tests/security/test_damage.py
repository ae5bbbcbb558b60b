"""Submissions that write, kill, fill, loop and multiply."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

import mlcourse

WRITE = """
import os, shutil
def attempt(act):
    try:
        act()
        return "done"
    except BaseException as error:
        return type(error).__name__
def damage(path):
    ways = [
        lambda: open(path, "w").write("0wned"),
        lambda: open(path, "a").write("0wned"),
        lambda: os.truncate(path, 0),
        lambda: os.open(path, os.O_RDONLY | os.O_TRUNC),
        lambda: os.remove(path),
        lambda: os.rename(path, "mine"),
        lambda: os.replace("mine", path),
        lambda: os.chmod(path, 0o777),
        lambda: os.chown(path, os.getuid(), os.getgid()),
        lambda: os.utime(path, (0, 0)),
        lambda: os.setxattr(path, "user.x", b"y"),
        lambda: os.link(path, "mine"),
        lambda: open(os.path.join(os.path.dirname(path), "new"), "w"),
        lambda: os.mkdir(os.path.join(os.path.dirname(path), "folder")),
        lambda: os.mkfifo(os.path.join(os.path.dirname(path), "fifo")),
        lambda: shutil.rmtree(os.path.dirname(path)),
    ]
    return [attempt(way) for way in ways]
"""


def test_no_file_outside_scratch_can_be_changed(worker, surroundings):
    course = Path(mlcourse.__file__).parent
    places = [path for path in surroundings.rglob("*") if path.is_file()]
    places += [course / "checks" / "judge.py", worker.served / "mlcourse" / "data.py"]
    places += [Path(os.__file__), Path("/dev/shm/mine"), Path("/tmp/mine")]
    with worker.session([WRITE]) as session:
        for place in places:
            assert "done" not in session.get("damage")(str(place)), place
    assert not Path("/dev/shm/mine").exists()
    assert not Path("/tmp/mine").exists()


def test_a_submission_can_use_its_own_folder(grade):
    assert (
        grade(
            "import os, torch\nos.makedirs('figures/old')\n"
            "torch.save({'a': torch.ones(3)}, 'figures/old/net.pt')\n"
            "def double(x):\n    return 2 * x * torch.load('figures/old/net.pt')['a']"
        ).status
        == "passed"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("import os; os._exit(3)", "your code ended its process (exit code 3)"),
        ("import os; os.abort()", f"your code ended its process (signal {int(signal.SIGABRT)})"),
        ("import os; os.kill(os.getpid(), 9)", "your code ended its process (signal 9)"),
        ("import ctypes; ctypes.string_at(0)", "your code ended its process (signal 11)"),
        ("import sys; sys.exit()", "SystemExit"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_ending_the_process_is_an_error_of_that_question(grade, body, message):
    verdict = grade(f"def double(x):\n    {body}")
    assert verdict.status == "error"
    assert message in verdict.message


def test_endless_recursion_is_stopped_one_way_or_another(grade):
    endless = "def double(x):\n    import sys; sys.setrecursionlimit(10**9); return double(x)"
    assert grade(endless, seconds=3).status in ("error", "timeout", "memory")
    assert "RecursionError" in grade("def double(x):\n    return double(x)").message


def test_ending_the_process_in_a_cell_says_which_cell(worker):
    from mlcourse.grading.process import CellStopped

    with pytest.raises(CellStopped, match=r"exit code 5") as stop:
        worker.session(["x = 1", "import os; os._exit(5)"])
    assert stop.value.cell == 1


SIGNALS = """
import os, signal, ctypes
libc = ctypes.CDLL(None, use_errno=True)
def attempt(act):
    try:
        act()
        return "done"
    except OSError:
        return "refused"
def send(pids):
    said = []
    for pid in [*pids, os.getppid()]:
        said += [attempt(lambda: os.kill(pid, s)) for s in (0, signal.SIGTERM, signal.SIGKILL)]
        said += [attempt(lambda: os.killpg(pid, signal.SIGKILL))]
        said += ["done" if libc.syscall(n, pid, pid, 9, 0) >= 0 else "refused"
                 for n in (200, 234, 129, 297, 424)]
        said += [attempt(lambda: os.setpriority(os.PRIO_PROCESS, pid, 19)),
                 attempt(lambda: os.sched_setaffinity(pid, {0}))]
        import resource
        said += [attempt(lambda: resource.prlimit(pid, resource.RLIMIT_CPU, (1, 1)))]
    said += [attempt(lambda: os.kill(0, 9)), attempt(lambda: os.kill(-1, 9))]
    return said
"""


def test_no_signal_reaches_the_worker_or_the_engine(worker, grade):
    before = worker.zygote.process.pid
    with worker.session([SIGNALS]) as session:
        pids = [1, os.getpid(), os.getppid(), worker.zygote.process.pid]
        assert set(session.get("send")(pids)) == {"refused"}
    assert worker.zygote.process.poll() is None
    assert worker.zygote.process.pid == before


def test_the_worker_lets_no_owner_of_a_descriptor_be_signalled(worker):
    code = (
        "import fcntl, os\ndef attempt(command, value):\n"
        "    try:\n        return fcntl.fcntl(0, command, value)\n"
        "    except OSError as error:\n        return type(error).__name__"
    )
    with worker.session([code]) as session:
        for command in (8, 10, 15, 1024, 1026):  # owner, signal, owner, lease, notify
            assert session.get("attempt")(command, 1) == "PermissionError"


LOOP = """
import signal
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
def double(x):
    while True:
        try:
            while True:
                pass
        except BaseException:
            pass
"""


def test_an_endless_loop_that_ignores_signals_is_stopped(grade):
    began = time.monotonic()
    verdict = grade(LOOP, seconds=2)
    assert (verdict.status, verdict.message) == ("timeout", "stopped after 2 s")
    assert time.monotonic() - began < 30


def test_an_endless_loop_in_native_code_is_stopped(grade):
    assert (
        grade("def double(x):\n    import time\n    time.sleep(1000)", seconds=2).status
        == "timeout"
    )
    assert grade("def double(x):\n    (9**9**7) % 7", seconds=2).status == "timeout"


@pytest.mark.parametrize(
    "body",
    [
        "return torch.ones(5 * 10**9, dtype=torch.float64)",
        "return np.ones(5 * 10**9)",
        "return bytearray(40 * 10**9)",
        "kept = [bytearray(10**7) for _ in range(4000)]",
        "kept = []\n    while True: kept.append([0] * 10**6)",
        "import mmap; kept = [mmap.mmap(-1, 10**8) for _ in range(400)]",
    ],
)
def test_forty_gigabytes_are_refused(grade, body):
    verdict = grade(f"import torch\nimport numpy as np\ndef double(x):\n    {body}")
    if "mmap" in body:
        assert verdict.status == "error"  # an OSError: the limit held
    else:
        assert verdict.status == "memory"
        assert verdict.message == "used more than 512 MB of memory"


FORKS = """
import os
def double(x):
    made = 0
    for _ in range(1000):
        try:
            if not os.fork():
                os._exit(0)
            made += 1
        except OSError:
            pass
    if made:
        return x
    return 2 * x
"""
RAW_FORKS = """
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
def double(x):
    for number in (56, 57, 58, 435):  # clone, fork, vfork, clone3
        for flags in (17, 0x10000000 | 17, 0x20000000 | 17, 0x40000000 | 17, 0x8000 | 17):
            if libc.syscall(number, flags, 0, 0, 0, 0) >= 0:
                return x
    if libc.unshare(0x10000000) == 0 or libc.setns(0, 0) == 0:
        return x
    return 2 * x
"""
THREADS = """
import threading, time
started = 0
def double(x):
    global started
    for _ in range(1000):
        try:
            threading.Thread(target=time.sleep, args=(100,), daemon=True).start()
            started += 1
        except RuntimeError:
            break
    if not 1 <= started < 1000:
        raise LookupError(f"{started} threads")
    return 2 * x
"""


@pytest.mark.parametrize("attack", [FORKS, RAW_FORKS, THREADS], ids=["forks", "raw", "threads"])
def test_processes_cannot_be_made_and_threads_are_bounded(grade, attack):
    assert grade(attack).status == "passed"


def test_a_thread_that_never_ends_outlives_nothing(worker, grade):
    thread = (
        "import threading\nclass Busy(threading.Thread):\n    def run(self):\n"
        "        while True: pass\n"
        "for _ in range(4): Busy().start()\ndef double(x):\n    return 2 * x"
    )
    assert grade(thread, seconds=5).status in ("passed", "timeout")


def test_a_hundred_megabytes_of_output_are_one_error(grade):
    verdict = grade("def double(x):\n    while True: print('spam' * 1000)")
    assert (verdict.status, verdict.message) == ("error", "printed more than 100 kB")


def test_output_to_the_descriptors_goes_nowhere(grade, capfd):
    body = "    import os\n    for n in (1, 2): os.write(n, b'spam' * 10**6)\n    return 2 * x"
    assert grade(f"def double(x):\n{body}").status == "passed"
    assert capfd.readouterr() == ("", "")


FILL = """
import os
def double(x):
    written, kept = 0, []
    for number in range(400):
        try:
            with open(f"{number}", "wb") as file:
                kept.append(os.dup(file.fileno()) if number < 100 else None)
                written += file.write(b"x" * 1_000_000)
        except OSError:
            break
    if written > 40_000_000:
        raise LookupError("filled the disk")
    return 2 * x
"""


def test_the_disk_cannot_be_filled(worker, grade):
    verdict = grade(FILL)
    if worker.layers["namespaces"]:
        assert verdict.status == "passed"  # the small file system was full
    else:
        assert "filled" not in verdict.message
        assert verdict.status in ("passed", "error")


MANY_FILES = """
import os, time
def double(x):
    folder = "."
    try:
        for number in range(20_000):
            if number < 3000:
                folder = f"{folder}/d" if len(folder) < 3000 else folder
                os.makedirs(folder, exist_ok=True)
            open(f"{folder}/{number}", "w").close()
    except OSError:
        pass
    time.sleep(0.5)
    return 2 * x
"""


def test_many_files_and_deep_folders_are_cleared_away(worker, grade):
    verdict = grade(MANY_FILES)
    assert verdict.status in ("passed", "error")
    scratch = [path for path in worker.base.glob("scratch-*/*") if path.name.isdigit()]
    assert scratch == []
