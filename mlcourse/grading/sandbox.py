"""The walls around student code: entered by the zygote, closed by each child, probed by trying.

Layers: `limits` (memory, time, files, threads), `no_new_privs`, `seccomp`, `landlock`, and
`namespaces`. The worker has a copy of this file.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import mmap
import os
import secrets
import shutil
import signal
import socket
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

if sys.platform == "linux":
    import resource

    from . import landlock, namespaces, seccomp, system

LAYERS = ("limits", "no_new_privs", "seccomp", "landlock", "namespaces")
HIDDEN_BY_LANDLOCK, HIDDEN_BY_ROOT = "seen_but_closed", "not_seen"  # files in `Plan.base`


@dataclass
class Plan:
    """What the trusted side decided: which layers to build, what may be read, how much of what.

    `uid` is who to become where the zygote starts as root. `enter` fills in the fields from
    `address_space` on.
    """

    layers: list[str]
    readable: list[str]
    hidden: list[str]
    base: str
    scratch: str
    uid: int
    memory_mb: int
    cpu_seconds: int
    output_bytes: int
    reply_bytes: int
    file_bytes: int
    processes: int
    address_space: int = 0
    tasks: int = 0
    threads_folder: int = -1
    scratch_is_bounded: bool = False
    why: dict[str, str] = field(default_factory=dict)


def enter(plan: Plan) -> None:
    """Build, around the zygote, what its children need not build for themselves.

    A layer that cannot be built is noted in `plan.why`; whether one holds is for `probe` to say.
    """
    if sys.platform != "linux":
        plan.why = dict.fromkeys(LAYERS, f"{sys.platform} has no such thing: grade on Linux")
        return
    gc.collect()
    gc.freeze()  # the collector would write to every page that parent and child share
    system.use_huge_pages()
    plan.address_space = address_space()
    plan.tasks = tasks_of(os.getuid()) if os.getuid() else 0
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_NOFILE, 256)
    confined = set(plan.layers) > {"limits"}
    if confined and os.getuid() == 0:
        os.chown(plan.scratch, plan.uid, plan.uid)
    if "namespaces" in plan.layers:
        enter_namespaces(plan)
    plan.threads_folder = plan.threads_folder if plan.threads_folder >= 0 else open_threads()
    assert_one_thread(plan)
    if confined and os.getuid() == 0:
        drop_root(plan)
    if confined:
        system.prctl(system.PR_SET_DUMPABLE, 0)
        if plan.scratch_is_bounded:
            system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
    if "no_new_privs" in plan.layers:
        system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
    for layer, build, advice in (
        ("landlock", close_files, "use Linux 5.13 or newer, with landlock in its list `lsm`"),
        ("seccomp", lambda _: seccomp.program(), f"use one of {', '.join(system.MACHINES)}"),
    ):
        if layer in plan.layers:
            try:
                build(plan)
            except OSError as error:
                plan.layers.remove(layer)
                plan.why[layer] = f"{error.strerror}: {advice}"


def close_files(plan: Plan) -> None:
    landlock.restrict(plan.readable, plan.scratch, plan.hidden)


def enter_namespaces(plan: Plan) -> None:
    """Go into namespaces if a throw-away child can; this process is then the first one there."""

    def go() -> None:
        root = os.path.join(plan.base, "root")
        shown = [*plan.readable, os.path.join(plan.base, HIDDEN_BY_LANDLOCK)]
        owner = plan.uid if os.getuid() == 0 else os.getuid()
        namespaces.separate()
        namespaces.become_first()
        plan.threads_folder = open_threads()
        namespaces.build_root(root, shown, plan.hidden, plan.scratch, owner, plan.file_bytes)

    os.makedirs(os.path.join(plan.base, "root"), exist_ok=True)
    if reason := attempt(go):
        plan.why["namespaces"] = f"{reason}: allow user namespaces, or grade as root"
        return
    go()
    if os.getuid() != 0:
        system.keep_only(0)  # a new user namespace gave us all of them
    plan.scratch_is_bounded = True
    plan.tasks = 0


def attempt(action: Any) -> str:
    """Return why `action` fails in a forked child, or nothing if it succeeds."""
    reading, writing = os.pipe()
    if not (pid := os.fork()):
        try:
            action()
            os.write(writing, b"+")
        except OSError as error:
            os.write(writing, b"-" + (error.strerror or type(error).__name__).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, "rb") as pipe:
        said = pipe.read().decode()
    os.waitpid(pid, 0)
    return "" if said.startswith("+") else said[1:] or "it ended early"


def drop_root(plan: Plan) -> None:
    """Become `plan.uid`, who owns nothing; if need be keep the one capability to read libraries."""

    def read() -> None:
        os.setgroups([])
        os.setresgid(plan.uid, plan.uid, plan.uid)
        os.setresuid(plan.uid, plan.uid, plan.uid)
        for place in plan.readable:
            if os.path.lexists(place) or place in sys.path:
                os.stat(place)
        for place in sys.path:
            if os.path.isdir(place):
                os.listdir(place)

    unreadable = bool(attempt(read))
    if unreadable:
        system.prctl(system.PR_SET_KEEPCAPS, 1)
    os.setgroups([])
    os.setresgid(plan.uid, plan.uid, plan.uid)
    os.setresuid(plan.uid, plan.uid, plan.uid)
    system.keep_only(1 << system.CAP_DAC_READ_SEARCH if unreadable else 0)


def leave_zygote(plan: Plan, keep: int, parent: int) -> None:
    """Cut a fresh child off from the zygote: nothing open but `keep`, dead when it is dead."""
    os.closerange(3, keep)
    os.closerange(keep + 1, 256)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def confine(plan: Plan, folder: str) -> None:
    """Close the walls around this process, which may write in `folder` alone. Raises OSError."""
    os.chdir(folder)
    os.environ.update(HOME=folder, TMPDIR=folder, MPLCONFIGDIR=folder)
    tempfile.tempdir = None  # it remembers the zygote's
    limit(resource.RLIMIT_CPU, plan.cpu_seconds)
    limit(resource.RLIMIT_FSIZE, plan.file_bytes)
    limit(resource.RLIMIT_AS, plan.address_space + plan.memory_mb * 2**20)
    limit(resource.RLIMIT_NPROC, plan.tasks + plan.processes)
    if "landlock" in plan.layers:
        landlock.restrict(plan.readable, folder)
    if "seccomp" in plan.layers:
        seccomp.restrict(os.getpid())


def limit(kind: int, value: int) -> None:
    """Set a limit that cannot be raised again; a lower one that holds already stays."""
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def address_space() -> int:
    """Return the bytes that this process spans already."""
    with open("/proc/self/statm") as sizes:
        return int(sizes.read().split()[0]) * resource.getpagesize()


def tasks_of(user: int) -> int:
    """Return how many processes and threads `user` has on this machine."""
    count = 0
    for process in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.stat(f"/proc/{process}").st_uid == user:
                count += len(os.listdir(f"/proc/{process}/task"))
    return count


def open_threads() -> int:
    return os.open("/proc/self/task", os.O_RDONLY | os.O_DIRECTORY)


def assert_one_thread(plan: Plan) -> None:
    """Raise RuntimeError if a fork would leave another thread's locks behind in the child."""
    if plan.threads_folder >= 0:
        threads = os.fstat(plan.threads_folder).st_nlink - 2
        if threads != 1:
            raise RuntimeError(f"the worker has {threads} threads before a fork; it must have one")


def probe(plan: Plan, folder: str) -> dict[str, bool]:
    """Close the walls around this process, try what is forbidden, say which layers held."""
    held = {"namespaces": alone_in_namespaces(plan)}
    confine(plan, folder)
    own_file = os.path.join(folder, "probe")
    with open(own_file, "wb") as file:
        file.write(b"mine")
        too_long = fails(lambda: file.truncate(plan.file_bytes + 1))
    os.unlink(own_file)
    held["limits"] = too_long and fails(lambda: mmap.mmap(-1, (plan.memory_mb + 64) * 2**20))
    held["no_new_privs"] = system.prctl(system.PR_GET_NO_NEW_PRIVS) == 1
    held["seccomp"] = all(
        fails(act, PermissionError)
        for act in (
            fork_and_leave,
            socket.socket,
            lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
            lambda: os.kill(os.getppid(), 0),
            lambda: os.chmod(folder, 0o700),
        )
    )
    closed = os.path.join(plan.base, HIDDEN_BY_LANDLOCK)
    held["landlock"] = fails(lambda: open(closed).close(), PermissionError)
    return held


def alone_in_namespaces(plan: Plan) -> bool:
    """Say whether other files, processes and networks are out of sight."""
    files = fails(lambda: os.stat(os.path.join(plan.base, HIDDEN_BY_ROOT)), FileNotFoundError)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as packets:
        network = fails(lambda: packets.connect(("127.0.0.1", 9)))
    return files and network and 1 in (os.getpid(), os.getppid())


def fails(act: Any, error: type[OSError] = OSError) -> bool:
    try:
        act()
    except error:
        return True
    except OSError:
        return False
    return False


def fork_and_leave() -> None:
    if not os.fork():
        os._exit(0)


def clear(folder: str) -> None:
    """Delete a folder that a student filled: no recursion, no link followed. Never raises."""
    with contextlib.suppress(OSError):
        top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        names = (f".{secrets.token_hex(8)}" for _ in itertools.count())
        try:
            while entries := os.listdir(top):
                for name in entries:
                    if stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
                        lift(top, name, names)
                    else:
                        os.unlink(name, dir_fd=top)
        finally:
            os.close(top)
        os.rmdir(folder)
    if os.path.exists(folder):  # Landlock 1 lets nothing be moved
        with contextlib.suppress(RecursionError):
            shutil.rmtree(folder, ignore_errors=True)


def lift(top: int, name: str, names: Iterator[str]) -> None:
    """Move what is in the folder `name` of `top` up into `top`, under new names, and delete it."""
    os.chmod(name, 0o700, dir_fd=top)
    inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
    try:
        for entry in os.listdir(inner):
            os.rename(entry, next(names), src_dir_fd=inner, dst_dir_fd=top)
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)


def folder_is_over(folder: str, limit_bytes: int, limit_entries: int = 4096) -> bool:
    """Say whether a folder holds more bytes or entries than it may, or cannot be looked through."""
    folders, total, count = [folder], 0, 0
    while folders:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    count += 1
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
                    if count > limit_entries or total > limit_bytes:
                        return True
        except FileNotFoundError:  # the student's code runs and deletes meanwhile
            continue
        except OSError:  # too deep a path, or a folder without rights
            return True
    return False
