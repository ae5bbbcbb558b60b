"""The walls around student code: entered once by the zygote, closed by each child, then probed.

The worker has a copy of this file.
"""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import stat
from dataclasses import dataclass, field
from typing import Any

LAYERS = ("limits", "no_new_privs", "seccomp", "landlock", "namespaces")


@dataclass
class Plan:
    """What the trusted side decided: which layers to build, what may be read, how much of what."""

    layers: list[str]
    readable: list[str]
    hidden: list[str]
    base: str
    scratch: str
    uid: int | None
    memory_mb: int
    cpu_seconds: int
    output_bytes: int
    reply_bytes: int
    file_bytes: int
    processes: int
    scratch_is_bounded: bool = False


@dataclass
class Report:
    """Which layers could not be built, and why."""

    why: dict[str, str] = field(default_factory=dict)

    def held(self, probed: dict[str, bool], plan: Plan) -> dict[str, Any]:
        held = {layer: bool(probed.get(layer)) for layer in LAYERS}
        return {"held": held, "why": self.why}


def enter(plan: Plan) -> Report:
    return Report()


def leave_zygote(keep: int, parent: int) -> None:
    os.closerange(3, keep)
    os.closerange(keep + 1, 4096)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def confine(plan: Plan, folder: str) -> dict[str, bool]:
    limit(resource.RLIMIT_CPU, plan.cpu_seconds)
    limit(resource.RLIMIT_FSIZE, plan.file_bytes)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_AS, address_space() + plan.memory_mb * 2**20)
    os.chdir(folder)
    return {"limits": True}


def limit(kind: int, value: int) -> None:
    resource.setrlimit(kind, (value, value))


def address_space() -> int:
    with open("/proc/self/statm") as sizes:
        return int(sizes.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


def assert_one_thread() -> None:
    pass


def clear(folder: str) -> None:
    """Delete a folder that a student filled: no recursion, no link followed."""
    top = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        moved = 0
        while entries := os.listdir(top):
            for name in entries:
                if not stat.S_ISDIR(os.stat(name, dir_fd=top, follow_symlinks=False).st_mode):
                    os.unlink(name, dir_fd=top)
                    continue
                with contextlib.suppress(OSError):
                    os.chmod(name, 0o700, dir_fd=top, follow_symlinks=False)
                inner = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=top)
                for child in os.listdir(inner):  # lift everything one level instead of descending
                    moved += 1
                    os.rename(child, f"..{moved}", src_dir_fd=inner, dst_dir_fd=top)
                os.close(inner)
                os.rmdir(name, dir_fd=top)
    finally:
        os.close(top)
    os.rmdir(folder)


def folder_is_over(folder: str, limit_bytes: int) -> bool:
    total = 0
    for where, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += os.lstat(os.path.join(where, name)).st_blocks * 512
    return total > limit_bytes
