"""A root of its own: new user, process, network, IPC and mount namespaces for the zygote.

Inside, the file system holds the readable places alone (read-only) and a scratch folder of bounded
size. The worker has a copy of this file.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from collections.abc import Collection, Iterable

from . import system

NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET = (
    0x20000,
    0x4000000,
    0x8000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
NOSUID, NODEV, BIND, RECURSIVE, PRIVATE = 2, 4, 0x1000, 0x4000, 0x40000
DETACH = 2
AT_RECURSIVE = 0x8000
ATTRIBUTE_READ_ONLY, ATTRIBUTE_NOSUID = 1, 2
DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
MAX_FILES = 4096


def separate() -> None:
    """Leave the machine's namespaces; raises OSError that says what was refused."""
    flags = NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET
    user, group = os.getuid(), os.getgid()
    if user != 0:
        flags |= NEWUSER
    what = "new user namespace" if user else "new namespaces"
    system.check(system.library.unshare(flags), what)
    if user != 0:
        write("/proc/self/setgroups", "deny")
        write("/proc/self/uid_map", f"{user} {user} 1")
        write("/proc/self/gid_map", f"{group} {group} 1")


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def build_root(
    root: str, shown: Collection[str], hidden: Iterable[str], scratch: str, owner: int, size: int
) -> None:
    """Move into a new root at `root` that holds `shown`, read-only, and a fresh `scratch`.

    `owner` owns `scratch`, which takes `size` bytes. Raises OSError.
    """
    system.mount("none", "/", None, RECURSIVE | PRIVATE)
    system.mount("tmpfs", root, "tmpfs", NOSUID | NODEV, "size=1m,mode=755")
    shown = {*shown, *map(os.path.realpath, shown)}
    for path in sorted(shown | set(DEVICES)):  # what contains another comes first
        show(root, path)
    for path in hidden:
        inside = any(path.startswith(place.rstrip("/") + "/") for place in shown)
        if inside and os.path.isdir(root + path):
            system.mount("tmpfs", root + path, "tmpfs", NOSUID | NODEV, "size=4k,mode=755")
            read_only(root + path)
    os.makedirs(root + scratch, exist_ok=True)
    options = f"size={size},nr_inodes={MAX_FILES},mode=700,uid={owner}"
    system.mount("tmpfs", root + scratch, "tmpfs", NOSUID | NODEV, options)
    os.chdir(root)
    system.call("pivot_root", b".", b".")
    system.check(system.library.umount2(b".", DETACH), "leave the old root")
    os.chdir("/")
    read_only("/")


def show(root: str, path: str) -> None:
    """Bind a place of the old root into the new one; a link becomes the same link."""
    real, target = os.path.realpath(path), root + path
    if not os.path.exists(real) or os.path.lexists(target):
        return
    if not os.path.realpath(os.path.dirname(target)).startswith(root):
        return  # beneath a link that the new root has already; what it leads to is shown too
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if real != path:
        os.symlink(real, target)
        return
    if os.path.isdir(path):
        os.mkdir(target)
    else:
        open(target, "x").close()
    system.mount(path, target, None, BIND | RECURSIVE)
    if path not in DEVICES:
        read_only(target, recursive=True)


def read_only(path: str, *, recursive: bool = False) -> None:
    attributes = struct.pack("<QQQQ", ATTRIBUTE_READ_ONLY | ATTRIBUTE_NOSUID, 0, 0, 0)
    flags = AT_RECURSIVE if recursive else 0
    at_cwd = ctypes.c_int(-100)
    system.call("mount_setattr", at_cwd, os.fsencode(path), flags, attributes, len(attributes))


def become_first() -> None:
    """Fork, so that the child is the first process of the new process namespace.

    The parent waits for it and ends as it ended; when either dies, all inside dies.
    """
    if pid := os.fork():
        with contextlib.suppress(OSError):
            os.closerange(3, 4096)
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
