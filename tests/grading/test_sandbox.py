"""The sandbox's parts, and the refusal to grade without them."""

from __future__ import annotations

import os
import struct
import sys

import pytest

from mlcourse.grading import sandbox
from mlcourse.grading.process import SandboxMissing, Worker, require

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the sandbox needs Linux")

if sys.platform == "linux":
    from mlcourse.grading import landlock, seccomp, system

ALL = dict.fromkeys(sandbox.LAYERS, True)


def test_all_layers_are_enough():
    require(ALL, {})


@pytest.mark.parametrize("layer", ["landlock", "namespaces"])
def test_one_way_to_close_files_is_enough(layer):
    require({**ALL, layer: False}, {})


@pytest.mark.parametrize(
    "missing", [["limits"], ["no_new_privs"], ["seccomp"], ["landlock", "namespaces"]]
)
def test_a_missing_layer_is_refused_in_one_sentence(missing):
    why = {missing[0]: "because of the weather: move"}
    with pytest.raises(SandboxMissing, match="because of the weather: move") as refusal:
        require({**ALL, **dict.fromkeys(missing, False)}, why)
    assert "\n" not in str(refusal.value)


def test_a_worker_without_walls_does_not_start():
    with pytest.raises(SandboxMissing, match="seccomp: it did not hold"):
        Worker(leave_out=["seccomp"])


def test_what_is_left_out_is_seen_to_be_missing():
    with Worker(leave_out=["seccomp", "landlock", "namespaces"], keep_going=True) as worker:
        assert worker.layers == {
            "limits": True,
            "no_new_privs": True,
            "seccomp": False,
            "landlock": False,
            "namespaces": False,
        }


def test_without_a_sandbox_only_the_limits_hold():
    with Worker(sandbox="none") as worker:
        assert [layer for layer, held in worker.layers.items() if held] == ["limits"]


def test_jumps_of_the_filter_stay_inside_it():
    code = seccomp.program()
    for at, (what, yes, no, _) in enumerate(code):
        if what in (seccomp.EQUAL, seccomp.AT_LEAST, seccomp.ANY_BIT):
            assert 0 <= yes < 256
            assert 0 <= no < 256
            assert at + 1 + max(yes, no) < len(code)
    assert code[-1] == seccomp.REFUSE


class Machine:
    """Runs a filter as the kernel does."""

    def __init__(self, code, pid):
        self.code, self.pid = code, pid

    def decide(self, number, *arguments, architecture=None):
        architecture = architecture or seccomp.ARCHITECTURES[system.machine()]
        data = struct.pack("<IIQ6Q", number, architecture, 0, *(*arguments, *[0] * 6)[:6])
        at = loaded = 0
        while True:
            what, yes, no, value = self.code[at]
            value = self.pid if value == seccomp.OWN_PID else value
            at += 1
            if what == seccomp.LOAD:
                (loaded,) = struct.unpack_from("<I", data, value)
            elif what == seccomp.AND:
                loaded &= value
            elif what == seccomp.RETURN:
                return value
            else:
                truth = {
                    seccomp.EQUAL: loaded == value,
                    seccomp.AT_LEAST: loaded >= value,
                    seccomp.ANY_BIT: bool(loaded & value),
                }[what]
                at += yes if truth else no


@pytest.fixture(params=[0, 1], ids=["x86_64", "aarch64"])
def machine(request, monkeypatch):
    monkeypatch.setattr(system, "machine", lambda: request.param)
    filtering = Machine(seccomp.program.__wrapped__(), pid=77)
    filtering.column = request.param
    return filtering


ALLOW, REFUSE, ABSENT = seccomp.ALLOW, seccomp.REFUSE[3], seccomp.FAIL | 38
READ, SOCKET, EXECVE, PTRACE = (0, 63), (41, 198), (59, 221), (101, 117)
CLONE, CLONE3, KILL, TGKILL, PRLIMIT = (56, 220), (435, 435), (62, 129), (234, 131), (302, 261)
OPENAT, FCNTL, IOCTL, PRCTL, MOUNT = (257, 56), (72, 25), (16, 29), (157, 167), (165, 40)
IO_URING, UNSHARE, KEYCTL, MEMFD = (425, 425), (272, 97), (250, 219), (319, 279)
THREAD = 0x3D0F00  # what pthread_create asks for


@pytest.mark.parametrize(
    ("numbers", "arguments", "decision"),
    [
        (READ, (0,), ALLOW),
        (SOCKET, (2, 1), REFUSE),
        (EXECVE, (), REFUSE),
        (PTRACE, (16, 1), REFUSE),
        (MOUNT, (), REFUSE),
        (UNSHARE, (0x10000000,), REFUSE),
        (KEYCTL, (), REFUSE),
        (MEMFD, (), REFUSE),
        (IO_URING, (), ABSENT),
        (CLONE3, (), ABSENT),
        (CLONE, (THREAD,), ALLOW),
        (CLONE, (17,), REFUSE),
        (CLONE, (THREAD | 0x10000000,), REFUSE),
        (KILL, (77, 9), ALLOW),
        (KILL, (78, 9), REFUSE),
        (KILL, (0xFFFFFFFF, 9), REFUSE),
        (KILL, (0, 9), REFUSE),
        (TGKILL, (77, 78, 6), ALLOW),
        (TGKILL, (1, 1, 6), REFUSE),
        (PRLIMIT, (0, 7), ALLOW),
        (PRLIMIT, (77, 7), ALLOW),
        (PRLIMIT, (1, 7), REFUSE),
        (OPENAT, (0, 0, 0o0), ALLOW),
        (OPENAT, (0, 0, 0o1101), ALLOW),
        (OPENAT, (0, 0, 0o1000), REFUSE),
        (FCNTL, (0, 1), ALLOW),
        (FCNTL, (0, 8), REFUSE),
        (IOCTL, (0, 0x5401), ALLOW),
        (IOCTL, (0, 0x5412), REFUSE),
        (PRCTL, (15,), ALLOW),
        (PRCTL, (1,), REFUSE),
        (PRCTL, (4,), REFUSE),
    ],
)
def test_decisions_of_the_filter(machine, numbers, arguments, decision):
    assert machine.decide(numbers[machine.column], *arguments) == decision


def test_other_ways_into_the_kernel_are_closed(machine):
    i386 = 0x40000003
    assert machine.decide(3, architecture=i386) == seccomp.KILL
    if machine.column == 0:
        assert machine.decide(0x40000000) == REFUSE
    for number in range(424, 600):
        assert machine.decide(number) in (ALLOW, ABSENT)


def test_hidden_places_are_cut_out_of_what_may_be_read(tmp_path):
    for name in ("a/file", "secret/file", "b/deep/secret/file", "b/deep/file"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    hidden = [str(tmp_path / "secret"), str(tmp_path / "b/deep/secret")]
    found = dict(landlock.parts(str(tmp_path), hidden))
    whole = {os.path.relpath(path, tmp_path) for path, rights in found.items() if rights & 4}
    listed = {os.path.relpath(path, tmp_path) for path, rights in found.items() if rights == 8}
    assert whole == {"a", "b/deep/file"}
    assert listed == {".", "b", "b/deep"}


def test_clearing_a_folder_follows_no_link_and_minds_no_depth(tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    folder = tmp_path / "scratch"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "closed").mkdir()
    (folder / "closed" / "file").write_text("x")
    (folder / "closed").chmod(0)
    os.mkfifo(folder / "fifo")
    deep = os.open(folder, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("d", dir_fd=deep)
        inner = os.open("d", os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(deep)
    assert sandbox.folder_is_over(str(folder), 10**9)
    sandbox.clear(str(folder))
    assert not folder.exists()
    assert (outside / "kept").read_text() == "kept"
    sandbox.clear(str(folder))  # nothing to do is no error


def test_a_folder_is_over_by_bytes_or_by_entries(tmp_path):
    (tmp_path / "file").write_bytes(b"x" * 10_000)
    assert not sandbox.folder_is_over(str(tmp_path), 20_000)
    assert sandbox.folder_is_over(str(tmp_path), 5_000)
    for number in range(5):
        (tmp_path / str(number)).touch()
    assert sandbox.folder_is_over(str(tmp_path), 20_000, limit_entries=5)
