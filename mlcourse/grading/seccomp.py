"""The system calls that student code may make; every other one fails.

An allow-list: files that are open or that Landlock lets be opened, memory, time, threads. Not on
it: processes, programs, sockets, tracing, signals to others, mounts, namespaces, modes, owners and
times of files, and all that the kernel gains later. The worker has a copy of this file.
"""

from __future__ import annotations

import ctypes
import errno
import functools
import struct

from . import system

#: Name, number on x86_64, number on aarch64 (`-`: that machine has no such call).
ALLOWED = """
read 0 63; write 1 64; readv 19 65; writev 20 66; pread64 17 67; pwrite64 18 68; preadv 295 69;
pwritev 296 70; preadv2 327 286; pwritev2 328 287; lseek 8 62; close 3 57; close_range 436 436;
dup 32 23; dup2 33 -; dup3 292 24; pipe 22 -; pipe2 293 59; fstat 5 80; newfstatat 262 79;
stat 4 -; lstat 6 -; statx 332 291; statfs 137 43; fstatfs 138 44; access 21 -;
faccessat 269 48; faccessat2 439 439; getcwd 79 17; chdir 80 49; fchdir 81 50; getdents 78 -;
getdents64 217 61; creat 85 -; unlink 87 -; unlinkat 263 35; rename 82 -; renameat 264 38;
renameat2 316 276; mkdir 83 -; mkdirat 258 34; rmdir 84 -; readlink 89 -; readlinkat 267 78;
ftruncate 77 46; fallocate 285 47; fsync 74 82; fdatasync 75 83; fadvise64 221 223;
readahead 187 213; sendfile 40 71; copy_file_range 326 285; mmap 9 222; munmap 11 215;
mremap 25 216; mprotect 10 226; madvise 28 233; brk 12 214; msync 26 227; futex 202 98;
futex_waitv 449 449; set_robust_list 273 99; rseq 334 293; set_tid_address 218 96;
membarrier 324 283; sched_yield 24 124; sched_getaffinity 204 123; sched_getparam 143 121;
sched_getscheduler 145 120; sched_get_priority_max 146 125; sched_get_priority_min 147 126;
getcpu 309 168; getpid 39 172; gettid 186 178; getppid 110 173; getuid 102 174;
geteuid 107 175; getgid 104 176; getegid 108 177; getresuid 118 148; getresgid 120 150;
getgroups 115 158; getpgrp 111 -; getpgid 121 155; getsid 124 156; getpriority 140 141;
capget 125 90; umask 95 166; uname 63 160; sysinfo 99 179; getrandom 318 278;
clock_gettime 228 113; clock_getres 229 114; clock_nanosleep 230 115; nanosleep 35 101;
gettimeofday 96 169; time 201 -; times 100 153; getrusage 98 165; getrlimit 97 163;
setrlimit 160 164; poll 7 -; ppoll 271 73; select 23 -; pselect6 270 72; epoll_create 213 -;
epoll_create1 291 20; epoll_ctl 233 21; epoll_wait 232 -; epoll_pwait 281 22;
epoll_pwait2 441 441; eventfd 284 -; eventfd2 290 19; rt_sigaction 13 134;
rt_sigprocmask 14 135; rt_sigreturn 15 139; rt_sigpending 127 136; rt_sigsuspend 130 133;
rt_sigtimedwait 128 137; sigaltstack 131 132; alarm 37 -; pause 34 -; setitimer 38 103;
getitimer 36 102; timerfd_create 283 85; timerfd_settime 286 86; timerfd_gettime 287 87;
exit 60 93; exit_group 231 94; restart_syscall 219 128; arch_prctl 158 -; wait4 61 260;
waitid 247 95
"""

ARCHITECTURES = (0xC000003E, 0xC00000B7)  # as the kernel's audit numbers them
OTHER_CALLS_OF_X86 = 0x40000000  # the x32 interface: the same calls by other numbers
NEWER = 424  # where the numbers that all machines share begin: libraries expect "no such call"

ALLOW, KILL, FAIL = 0x7FFF0000, 0x80000000, 0x00050000
LOAD, EQUAL, AT_LEAST, ANY_BIT, AND, RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06

A_THREAD = 0x00010000  # CLONE_THREAD
A_NAMESPACE = 0x7E020080  # CLONE_NEW*
TRUNCATE, ACCESS = 0o1000, 0o3  # of open's flags
FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 36, 37, 38, 1030, 1032)  # no owners, signals, leases
IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # is it a terminal, bytes to read...
PRCTL = (3, 15, 16, 21, 23, 39, 0x53564D41)  # names and questions; not dumpable, not parent's death

Instruction = tuple[int, int, int, int]
OWN_PID = -1  # replaced in each child


def ret(value: int) -> Instruction:
    return (RETURN, 0, 0, value)


REFUSE = ret(FAIL | errno.EPERM)


def argument(number: int) -> Instruction:
    """Load the low half of a system call's argument."""
    return (LOAD, 0, 0, 16 + 8 * number)


def among(values: tuple[int, ...], number: int) -> list[Instruction]:
    """Allow the call if its argument is one of `values`."""
    tests = [(EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    return [argument(number), *tests, REFUSE, ret(ALLOW)]


def opening(number: int) -> list[Instruction]:
    """Refuse to truncate a file that is opened for reading: Landlock 1 and 2 let that pass."""
    return [
        argument(number),
        (ANY_BIT, 1, 0, TRUNCATE),
        ret(ALLOW),
        (AND, 0, 0, ACCESS),
        (EQUAL, 0, 1, 0),
        REFUSE,
        ret(ALLOW),
    ]


def conditional() -> list[tuple[tuple[int | None, int | None], list[Instruction]]]:
    """The calls that depend on an argument: numbers on each machine, and instructions."""
    cloning = [
        argument(0),
        (ANY_BIT, 0, 2, A_THREAD),
        (ANY_BIT, 1, 0, A_NAMESPACE),
        ret(ALLOW),
        REFUSE,
    ]
    return [
        ((2, None), opening(1)),
        ((257, 56), opening(2)),
        ((72, 25), among(FCNTL, 1)),
        ((16, 29), among(IOCTL, 1)),
        ((157, 167), among(PRCTL, 0)),
        ((56, 220), cloning),
        ((62, 129), among((OWN_PID,), 0)),  # kill
        ((234, 131), among((OWN_PID,), 0)),  # tgkill
        ((302, 261), among((0, OWN_PID), 0)),  # prlimit64
    ]


@functools.cache
def program() -> tuple[Instruction, ...]:
    """Return the filter for this machine; raises OSError for a machine not known."""
    machine = system.machine()
    code: list[Instruction] = [
        (LOAD, 0, 0, 4),
        (EQUAL, 1, 0, ARCHITECTURES[machine]),
        ret(KILL),
        (LOAD, 0, 0, 0),
        (AT_LEAST, 0, 1, OTHER_CALLS_OF_X86),
        REFUSE,
    ]
    for entry in ALLOWED.replace("\n", " ").split(";"):
        number = entry.split()[1 + machine]
        if number != "-":
            code += [(EQUAL, 0, 1, int(number)), ret(ALLOW)]
    for numbers, body in conditional():
        if (wanted := numbers[machine]) is not None:
            code += [(EQUAL, 0, len(body), wanted), *body]
    code += [(AT_LEAST, 0, 1, NEWER), ret(FAIL | errno.ENOSYS), REFUSE]
    return tuple(code)


def restrict(pid: int) -> None:
    """Close the filter over this process, whose id is `pid`. Raises OSError."""
    code = b"".join(
        struct.pack("<HBBI", what, yes, no, pid if value == OWN_PID else value)
        for what, yes, no, value in program()
    )
    buffer = ctypes.create_string_buffer(code, len(code))
    filters = struct.pack("@HxxxxxxQ", len(code) // 8, ctypes.addressof(buffer))
    system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
    system.prctl(system.PR_SET_SECCOMP, 2, ctypes.create_string_buffer(filters, len(filters)))
