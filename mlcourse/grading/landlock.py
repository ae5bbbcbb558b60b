"""Landlock: a process gives up the files, ports and signals that it does not need.

Works without privileges on Linux 5.13 and newer; each later version of the interface adds rights.
The worker has a copy of this file.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable, Iterator

from . import system

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_DIR, MAKE_REG, REFER, TRUNCATE, IOCTL_DEV = 1 << 7, 1 << 8, 1 << 13, 1 << 14, 1 << 15
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
OF_SCRATCH = (
    WRITE_FILE | READ_FILE | READ_DIR | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER
) | TRUNCATE

TCP = 3  # bind and connect
SCOPES = 3  # abstract sockets and signals
VERSION = 1  # the flag that asks for the interface's version
RULE_PATH_BENEATH = 1


def version() -> int:
    """Return the version of Landlock's interface; raises OSError where there is none."""
    return system.call("landlock_create_ruleset", None, 0, VERSION)


def file_rights(interface: int) -> int:
    rights = (1 << 13) - 1
    rights |= REFER if interface >= 2 else 0
    rights |= TRUNCATE if interface >= 3 else 0
    return rights | (IOCTL_DEV if interface >= 5 else 0)


def parts(path: str, hidden: Iterable[str]) -> Iterator[tuple[str, int]]:
    """Yield what to allow so that all beneath `path` can be read except what is hidden there."""
    if path in hidden:
        return
    beneath = [place for place in hidden if place.startswith(path.rstrip("/") + "/")]
    if not beneath:
        yield path, READ_FILE | READ_DIR
        return
    yield path, READ_DIR  # names may be listed, so that Python finds what it may import
    for entry in os.scandir(path):
        if not entry.is_symlink():
            yield from parts(entry.path, beneath)


def restrict(readable: Iterable[str], writable: str, hidden: Iterable[str] = ()) -> None:
    """Allow this process only to read beneath `readable` and to write beneath `writable`.

    What is beneath `hidden` cannot be read, unless a readable path lies inside it. Raises OSError.
    """
    interface = version()
    handled = file_rights(interface)
    attributes = struct.pack("<QQQ", handled, TCP, SCOPES)
    size = 24 if interface >= 6 else 16 if interface >= 4 else 8
    ruleset = system.call("landlock_create_ruleset", attributes, size, 0)
    try:
        for path in readable:
            for place, rights in parts(os.path.realpath(path), hidden):
                allow(ruleset, place, rights & handled)
        allow(ruleset, writable, OF_SCRATCH & handled)
        allow(ruleset, "/dev/null", (READ_FILE | WRITE_FILE | TRUNCATE) & handled)
        for device in ("/dev/zero", "/dev/random", "/dev/urandom"):
            allow(ruleset, device, READ_FILE)
        system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
        system.call("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)


def allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= OF_A_FILE
        if rights:
            rule = ctypes.create_string_buffer(struct.pack("<Qi", rights, place))
            system.call("landlock_add_rule", ruleset, RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(place)
