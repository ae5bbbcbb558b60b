"""The few Linux calls that Python does not offer, through ctypes. The worker has a copy."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
from typing import Any

#: The machines that the sandbox knows, as `platform.machine()` names them.
MACHINES = ("x86_64", "aarch64")

#: System call numbers on MACHINES, in that order.
NUMBERS = {
    "pivot_root": (155, 41),
    "capset": (126, 91),
    "mount_setattr": (442, 442),
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
}

PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_SET_KEEPCAPS = 8
PR_SET_SECCOMP = 22
PR_SET_NO_NEW_PRIVS = 38
PR_GET_NO_NEW_PRIVS = 39

CAP_DAC_READ_SEARCH = 2

library = ctypes.CDLL(None, use_errno=True)


def machine() -> int:
    """Return this machine's place in MACHINES; raises OSError for a machine not known."""
    name = platform.machine()
    if name not in MACHINES:
        raise OSError(errno.ENOSYS, f"no sandbox for a {name} processor")
    return MACHINES.index(name)


def check(result: int, what: str) -> int:
    """Return `result`, or raise OSError if it says that `what` failed."""
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def call(name: str, *arguments: Any) -> int:
    """Make the system call `name`; raises OSError."""
    whole = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return check(library.syscall(ctypes.c_long(NUMBERS[name][machine()]), *whole), name)


def prctl(option: int, value: Any = 0, extra: Any = 0) -> int:
    """Call prctl; raises OSError."""
    arguments = [ctypes.c_ulong(a) if isinstance(a, int) else a for a in (value, extra, 0, 0)]
    return check(library.prctl(option, *arguments), f"prctl {option}")


def mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    """Mount; raises OSError that names the target."""
    encoded = [os.fsencode(source), os.fsencode(target), kind.encode() if kind else None]
    result = library.mount(*encoded, ctypes.c_ulong(flags), options.encode() or None)
    check(result, f"mount {target}")


def keep_only(capabilities: int) -> None:
    """Give up every capability outside the bit mask; raises OSError."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)(capabilities, capabilities, 0, 0, 0, 0)
    call("capset", ctypes.byref(header), ctypes.byref(data))


HUGE_PAGE = 2 << 20
MADV_COLLAPSE = 25


def use_huge_pages() -> None:
    """Move this process's heap into huge pages, so that a fork copies 500 times fewer entries.

    Forks of a process that has imported torch become four times faster. Kernels before Linux 6.1
    refuse, which is harmless.
    """
    with open("/proc/self/maps") as maps:
        lines = [line.split() for line in maps]
    for addresses, rights, _, _, inode, *name in lines:
        if rights != "rw-p" or inode != "0" or name not in ([], ["[heap]"]):
            continue
        first, last = (int(address, 16) for address in addresses.split("-"))
        for page in range(-(-first // HUGE_PAGE) * HUGE_PAGE, last - HUGE_PAGE + 1, HUGE_PAGE):
            library.madvise(ctypes.c_void_p(page), ctypes.c_size_t(HUGE_PAGE), MADV_COLLAPSE)
