"""Submissions that look for what they must not see: checks, solutions, others, the environment."""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

import pytest

import mlcourse

READ = """
import os
def attempt(act):
    try:
        return repr(act())
    except BaseException as error:
        return type(error).__name__
def read(path):
    return attempt(lambda: open(path, "rb").read(200))
def listing(path):
    return attempt(lambda: os.listdir(path))
"""
REFUSED = {"PermissionError", "FileNotFoundError", "NotADirectoryError"}


@pytest.fixture
def inside(worker):
    with worker.session([READ]) as session:
        yield session


def test_no_file_of_the_course_or_the_class_can_be_read(inside, surroundings):
    course = Path(mlcourse.__file__).parent
    places = [path for path in surroundings.rglob("*") if path.is_file()]
    places += [course / "checks" / "judge.py", course / "cli.py", course / "mlp.py"]
    places += [course.parent / "pyproject.toml", Path(__file__), Path("/etc/passwd")]
    places += [Path("/etc/shadow"), Path.home() / ".bashrc", Path("/var/log/dpkg.log")]
    for place in places:
        assert inside.get("read")(str(place)) in REFUSED, place
    for folder in [surroundings, surroundings / "submitted", "/tmp", "/home", "/root", "/"]:
        assert inside.get("listing")(str(folder)) in REFUSED | {"[]"}, folder


def test_a_link_to_a_secret_cannot_be_made_or_followed(inside, worker, surroundings):
    secret = surroundings / "gradebook.db"
    with worker.session(
        [
            READ,
            "def by_link(path):\n    return [attempt(lambda: make(path, 'here')) + read('here') "
            "for make in (os.symlink, os.link)]",
            "def by_name(path):\n    return read('../../../../../../../../../../' + path)",
        ]
    ) as session:
        for said in session.get("by_link")(str(secret)):
            assert "SECRET" not in said
        assert session.get("by_name")(str(secret).lstrip("/")) in REFUSED


@pytest.mark.parametrize("name", ["environ", "cmdline", "maps", "mem", "status", "root/etc/passwd"])
def test_no_process_can_be_looked_into(inside, worker, name):
    zygote = worker.zygote.process.pid
    for pid in ("self", "1", "2", str(os.getpid()), str(os.getppid()), str(zygote)):
        assert inside.get("read")(f"/proc/{pid}/{name}") in REFUSED


def test_the_environment_holds_nothing_of_ours(worker):
    with worker.session(["import os\nenvironment = dict(os.environ)"]) as session:
        environment = session.get("environment")
    assert environment.keys() <= {
        "HOME",
        "LANG",
        "PATH",
        "TMPDIR",
        "PYTHONHASHSEED",
        "CUDA_VISIBLE_DEVICES",
        "MPLBACKEND",
        "MPLCONFIGDIR",
        "LC_CTYPE",
        "OMP_NUM_THREADS",
        "MKL_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "NUMEXPR_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
        # set by libraries while they are imported
        "KMP_DUPLICATE_LIB_OK",
        "KMP_INIT_AT_FORK",
        "TORCHINDUCTOR_CACHE_DIR",
        "TRITON_CACHE_DIR",
    }
    values = " ".join(environment.values())
    assert str(Path(mlcourse.__file__).parent) not in values
    assert os.getcwd() not in values


OWN_MEMORY = """
import gc, os, sys, ctypes
NEEDLE = "what this very string holds is found"
SHIFT = bytes((number + 1) % 256 for number in range(256))
def search(shifted):  # no word that is looked for is ever in memory because of the search
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    known = gc.get_objects() + [v for m in list(sys.modules.values()) for v in vars(m).values()]
    found = set()
    for block in {id(thing) >> 20 for thing in [*known, NEEDLE]}:
        for page in range(block << 20, (block + 1) << 20, 4096):
            try:  # the kernel says which pages there are
                os.write(writing, (ctypes.c_char * 4096).from_address(page))
            except OSError:
                continue
            text = os.read(reading, 4096).translate(SHIFT)
            found |= {word for word in shifted if word.encode() in text}
    return found and sorted(found)
"""


def test_the_checks_are_not_in_the_workers_memory(worker):
    def shift(word: str) -> str:
        return "".join(chr(ord(letter) + 1) for letter in word)

    needle = shift("what this very string holds")
    words = [shift(word) for word in ("class Judge", "def loss_accuracy", "class Question:")]
    with worker.session([OWN_MEMORY]) as session:
        assert session.get("search")([needle, *words]) == [needle]


TRACE = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
def trace(pid):
    answers = [libc.ptrace(16, pid, 0, 0), libc.ptrace(0x4206, pid, 0, 0)]
    vector = (ctypes.c_size_t * 2)(id(libc), 8)
    answers.append(libc.process_vm_readv(pid, vector, 1, vector, 1, 0))
    answers.append(libc.process_vm_writev(pid, vector, 1, vector, 1, 0))
    answers.append(libc.syscall(438, 0, 0, 0))  # pidfd_getfd
    answers.append(libc.syscall(434, pid, 0))  # pidfd_open
    return answers
"""


def test_no_process_can_be_traced(worker):
    with worker.session([TRACE]) as session:
        for pid in (1, os.getpid(), worker.zygote.process.pid):
            assert session.get("trace")(pid) == [-1] * 6


def test_another_submissions_files_are_gone(worker):
    with worker.session(["open('mine', 'w').write('answer')"]) as first:
        assert first.cell_errors == []
        with worker.session([READ, "here = os.getcwd()"]) as second:
            here = Path(second.get("here"))
            other = here.parent / str(int(here.name) - 1)
            assert second.get("read")(str(other / "mine")) in REFUSED
            assert second.get("listing")(str(other)) in REFUSED
            assert second.get("listing")(".") == "[]"
    with worker.session([READ]) as third:
        assert third.get("read")(str(other / "mine")) in REFUSED


NETWORK = """
import socket
def attempt(*how):
    try:
        with socket.socket(*how) as s:
            s.settimeout(1)
            s.connect(("127.0.0.1", PORT))
            return s.recv(100).decode()
    except OSError as error:
        return type(error).__name__
"""


def test_nothing_listens_to_it_and_it_hears_nothing(worker):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        heard: list[bool] = []
        server.settimeout(2)

        def listen() -> None:
            try:
                server.accept()[0].close()
                heard.append(True)
            except OSError:
                pass

        thread = threading.Thread(target=listen)
        thread.start()
        with worker.session([f"PORT = {port}", NETWORK]) as session:
            attempt = session.get("attempt")
            for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 16):
                for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
                    assert attempt(int(family), int(kind)) == "PermissionError"
        thread.join()
    assert heard == []


def test_no_program_can_be_started(worker):
    run = "import subprocess, os\ndef run(how):\n    return attempt(lambda: eval(how))"
    with worker.session([READ, run]) as session:
        for how in (
            f"subprocess.run([{sys.executable!r}, '-c', ''])",
            "os.system('true') == 0 or int('no shell')",
            "os.execv('/bin/true', ['true'])",
            "os.posix_spawn('/bin/true', ['true'], {})",
            "os.popen('id').read() or int('no output')",
        ):
            assert session.get("run")(how) in {*REFUSED, "ValueError", "OSError"}, how
