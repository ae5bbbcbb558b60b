"""The trusted side of a worker: starts it, talks to it, bounds it, believes nothing it says.

`Worker` is a sandboxed process that forks a child for each `Session`; a `Session` runs a
submission's cells there and answers `get`; a `Remote` is a stand-in for an object that stays there.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mlcourse.checks.judge import AnswerError, ForbiddenUse, GraderFault, Stopped, one_line
from mlcourse.grading import codec, served
from mlcourse.grading import sandbox as walls

START_SECONDS = 120.0  # importing torch from a cold disk takes long
GRACE = 2.0
FIRST_UID, UIDS = 61_184, 4_000  # ids for short-lived services, which own no files


@dataclass(frozen=True)
class Limits:
    """What one session may use; `seconds` is wall time, renewed for each question."""

    seconds: float = 10.0
    cpu_seconds: int = 60
    memory_mb: int = 2048
    output_bytes: int = 1_000_000
    reply_bytes: int = 64_000_000
    file_bytes: int = 64_000_000
    processes: int = 64


class SandboxMissing(Exception):
    """A layer that grading requires does not hold here; says which, and what to install."""


class WorkerFailed(GraderFault):
    """The worker itself failed: a fault of the grader or of this machine, not of a student."""


class MissingName(KeyError):
    """The student's cells define no such name."""

    def __str__(self) -> str:
        return f"there is no {self.args[0]!r}"


class CellStopped(Stopped):
    """A session ended while cell number `cell` (from 0) ran."""

    def __init__(self, stopped: Stopped, cell: int) -> None:
        self.cell = cell
        super().__init__(stopped.status, str(stopped))


class Disturbed(Exception):
    """The channel ended, or carried something that is not an answer."""


class Worker:
    """A process that has imported torch, sits in the sandbox, and forks for each session.

    `imports` are the course modules that student code may import; `sandbox` is "required" or
    "none". `fork=False` starts a fresh process for each session, for systems where forking is
    unsafe; it is the default there. `leave_out` names layers to do without (for tests), and
    `keep_going` starts even if a required layer does not hold (to report on it).

    Raises SandboxMissing when a required layer does not hold, WorkerFailed when it cannot start.
    """

    def __init__(
        self,
        imports: Iterable[str] = (),
        limits: Limits | None = None,
        sandbox: str = "required",
        *,
        fork: bool | None = None,
        leave_out: Iterable[str] = (),
        keep_going: bool = False,
    ) -> None:
        self.limits = limits or Limits()
        self.imports = tuple(imports)
        self.required = sandbox == "required"
        self.fork = sys.platform == "linux" if fork is None else fork
        self.leave_out = frozenset(leave_out)
        self.keep_going = keep_going
        self.sessions = 0
        self.layers: dict[str, bool] = {}
        self.why: dict[str, str] = {}
        self.base = Path(tempfile.mkdtemp(prefix="mlcourse-"))
        self.base.chmod(0o755)
        for name in (walls.HIDDEN_BY_LANDLOCK, walls.HIDDEN_BY_ROOT):
            (self.base / name).write_text("for the sandbox's own probe\n")
        self.served = self.base / "served"
        served.serve(self.served, self.imports)
        self.zygote: Started | None = None
        try:
            self.zygote = self.start()
        except BaseException:
            self.close()
            raise
        if not self.fork:  # that was to see which layers hold
            self.zygote.kill()
            self.zygote = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the worker and everything that it started, and delete its folder."""
        if self.zygote:
            self.zygote.kill()
            self.zygote = None
        walls.clear(str(self.base))

    def session(self, cells: Sequence[str], seconds: float | None = None) -> Session:
        """Run `cells` in a fresh child and return the session.

        Raises CellStopped when a cell had to be stopped or ended its process.
        """
        self.sessions += 1
        if self.fork and (self.zygote is None or self.zygote.process.poll() is not None):
            self.zygote = self.start()
        session = Session(self, self.sessions, seconds or self.limits.seconds)
        try:
            session.run(cells)
        except BaseException:
            session.close()
            raise
        return session

    def start(self) -> Started:
        """Start a process and wait until it is ready; check that the required layers hold."""
        scratch = Path(tempfile.mkdtemp(prefix="scratch-", dir=self.base))
        started = Started(self.configuration(scratch), fork=self.fork)
        try:
            ready = started.wait_until_ready()
            self.why = ready["why"]
            self.layers = {layer: ready["held"].get(layer) is True for layer in walls.LAYERS}
            if self.required and not self.keep_going:
                require(self.layers, self.why)
        except BaseException:
            started.kill()
            raise
        return started

    def reason(self, layer: str) -> str:
        """Return why a layer does not hold here."""
        return self.why.get(layer) or "it did not hold when it was tried"

    def configuration(self, scratch: Path) -> dict[str, Any]:
        limits = asdict(self.limits)
        del limits["seconds"]
        wanted = [layer for layer in walls.LAYERS if layer not in self.leave_out]
        plan = walls.Plan(
            layers=wanted if self.required else ["limits"],
            readable=served.readable(self.served),
            hidden=[str(served.COURSE)],
            base=str(self.base),
            scratch=str(scratch),
            uid=FIRST_UID + secrets.randbelow(UIDS),
            **limits,
        )
        return {
            "path": served.import_path(self.served),
            "imports": self.imports,
            "plan": asdict(plan),
            "fork": self.fork,
        }


def require(held: dict[str, bool], why: dict[str, str]) -> None:
    """Raise SandboxMissing, in one sentence, unless the layers that grading requires hold."""
    missing = [layer for layer in ("limits", "no_new_privs", "seccomp") if not held[layer]]
    if not (held["landlock"] or held["namespaces"]):
        missing.append("landlock")
    if missing:
        reasons = "; ".join(f"{layer}: {why.get(layer, 'it did not hold')}" for layer in missing)
        raise SandboxMissing(f"student code cannot be confined on this machine ({reasons})")


class Started:
    """One running worker process, and the socket that leads to it."""

    def __init__(self, configuration: dict[str, Any], *, fork: bool) -> None:
        kind = socket.SOCK_SEQPACKET if fork else socket.SOCK_STREAM
        family = {} if sys.platform == "win32" else {"family": socket.AF_UNIX}
        self.control, its = socket.socketpair(type=kind, **family)
        self.errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `kill`)
        windows = sys.platform == "win32"
        self.process = subprocess.Popen(
            [sys.executable, "-B", "-s", "-P", "-c", served.start(), configuration["path"][0]],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=self.errors,
            env=environment(configuration["plan"]["scratch"]),
            cwd=configuration["path"][0],
            pass_fds=() if windows else (its.fileno(),),
        )
        if windows:
            configuration["shared"] = its.share(self.process.pid).hex()  # type: ignore[attr-defined]
        else:
            configuration["control"] = its.fileno()
        assert self.process.stdin
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(json.dumps(configuration).encode())
            self.process.stdin.close()
        its.close()

    def wait_until_ready(self) -> dict[str, Any]:
        self.control.settimeout(START_SECONDS)
        try:
            message = self.control.recv(65536)
        except TimeoutError:
            raise WorkerFailed(f"the worker did not start within {START_SECONDS:g} s") from None
        if not message:
            self.process.wait()
            self.errors.seek(0)
            last = self.errors.read().decode(errors="replace").strip().splitlines()[-1:]
            raise WorkerFailed(f"the worker could not start: {(last or ['no reason given'])[0]}")
        return json.loads(message)  # type: ignore[no-any-return]

    def ask(self, request: dict[str, Any], descriptors: Sequence[int] = ()) -> None:
        try:
            socket.send_fds(self.control, [json.dumps(request).encode()], list(descriptors))
        except OSError as error:
            self.kill()  # the next session starts another
            raise WorkerFailed(f"the worker is gone: {error.strerror}") from None

    def answer(self) -> dict[str, Any]:
        self.control.settimeout(GRACE * 10)
        try:
            return json.loads(self.control.recv(65536))  # type: ignore[no-any-return]
        except (OSError, ValueError) as error:
            self.kill()
            raise WorkerFailed(f"the worker does not answer: {error}") from None

    def kill(self) -> None:
        self.control.close()
        self.process.kill()
        self.process.wait()
        self.errors.close()


def environment(scratch: str) -> dict[str, str]:
    """Return the worker's whole environment: one thread, no GPU, nothing of ours."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    names = {
        "HOME": scratch,
        "LANG": "C.UTF-8",
        "PATH": "",
        "TMPDIR": scratch,
        "PYTHONHASHSEED": "0",
        "CUDA_VISIBLE_DEVICES": "",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": os.path.join(caches, "matplotlib"),
    }
    for library in ("OMP_NUM", "MKL_NUM", "OPENBLAS_NUM", "NUMEXPR_NUM", "VECLIB_MAXIMUM"):
        names[f"{library}_THREADS"] = "1"
    if sys.platform == "win32":
        names["SYSTEMROOT"] = os.environ["SYSTEMROOT"]
    return names


class Session:
    """A child that has run a submission's cells: its names, its output, what it may still use."""

    def __init__(self, worker: Worker, number: int, seconds: float) -> None:
        self.worker, self.number = worker, number
        self.limits = worker.limits
        self.seconds = self.seconds_left = seconds
        self.cell_errors: list[tuple[int, str, str]] = []
        self.imported_forbidden: list[str] = []
        self.output = ""
        self.open = True
        self.socket = self.begin()

    def begin(self) -> socket.socket:
        if not self.worker.fork:
            self.process = self.worker.start()
            return self.process.control
        assert self.worker.zygote
        self.process = self.worker.zygote
        mine, its = socket.socketpair()
        try:
            self.process.ask({"do": "start", "session": self.number}, [its.fileno()])
        finally:
            its.close()
        return mine

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the child; harmless when it has ended."""
        if self.open:
            self.end(grace=0.0)

    def run(self, cells: Sequence[str]) -> None:
        self.greet()
        for index, source in enumerate(cells):
            try:
                self.request({"do": "cell", "index": index, "source": source})
            except AnswerError as error:
                self.cell_errors.append((index, error.kind, error.text))
            except Stopped as stopped:
                raise CellStopped(stopped, index) from None

    def greet(self) -> None:
        """Wait until the child has closed its walls; no student code has run before that."""
        if not self.worker.fork:
            return
        try:
            ready = self.receive(time.monotonic() + START_SECONDS)
        except (Disturbed, TimeoutError):
            raise WorkerFailed("a child of the worker could not close its walls") from None
        if ready != {"kind": "ready"}:
            raise WorkerFailed("a child of the worker could not close its walls")

    def renew(self, seconds: float | None = None) -> None:
        """Begin another question: its own time, and random numbers that start anew."""
        self.seconds = self.seconds_left = seconds or self.limits.seconds
        self.request({"do": "renew"})

    def get(self, name: str) -> Any:
        """Return the value of a global name: plain data, or a Remote for anything else.

        Raises MissingName, Stopped, or AnswerError.
        """
        return self.request({"do": "get", "name": name})

    def course(self, module: str, name: str) -> Any:
        """Return a function of a course module that this exercise may import, as a Remote."""
        return self.request({"do": "course", "module": module, "name": name})

    @contextlib.contextmanager
    def traps(self, names: Sequence[str]) -> Iterator[None]:
        """While this lasts, using one of these torch functions raises ForbiddenUse."""
        self.request({"do": "trap", "names": list(names)})
        try:
            yield
        finally:
            if self.open:
                self.request({"do": "untrap"})

    def call(self, number: int, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        arguments = [list(args), kwargs]
        blob = codec.encode(arguments, self.handle)
        return self.request({"do": "call", "handle": number}, blob, arguments)

    def handle(self, thing: Any) -> tuple[int, str]:
        if isinstance(thing, Remote) and thing._session is self:
            return thing._number, thing._type_name
        raise TypeError(f"a {type(thing).__name__} cannot be sent to the worker: it is not data")

    def remote(self, number: int, type_name: str) -> Remote:
        kind = type(tidy(type_name) or "object", (Remote,), {})  # says what it stands for
        return kind(self, number, type_name)  # type: ignore[no-any-return]

    def request(
        self, request: dict[str, Any], blob: bytes | None = None, arguments: Any = None
    ) -> Any:
        """Send a request and return its value, or raise what it led to."""
        if not self.open:
            raise Stopped("error", "the question's process has ended")
        began = time.monotonic()
        deadline = began + max(self.seconds_left, 0.0)
        try:
            self.send(codec.encode(request), deadline)
            if blob is not None:
                self.send(blob, deadline)
            reply = checked(self.receive(deadline))
            after = self.receive(deadline) if reply["after"] else None
        except TimeoutError:
            self.end(grace=0.0)
            raise Stopped("timeout", f"stopped after {self.seconds:g} s") from None
        except Disturbed as error:
            raise self.ended(str(error)) from None
        finally:
            self.seconds_left -= time.monotonic() - began
        self.output = (self.output + reply["printed"])[: self.limits.output_bytes]
        self.imported_forbidden = [tidy(name) for name in reply["refused"][:100]]
        if after is not None and arguments is not None:
            restore(arguments, after)
        return self.value(reply, request.get("name", ""))

    def value(self, reply: dict[str, Any], name: str) -> Any:
        kind = reply["kind"]
        if kind == "value":
            return reply["value"]
        if kind == "missing":
            raise MissingName(name)
        if kind == "forbidden":
            raise ForbiddenUse(tidy(reply["text"]))
        if kind == "error":
            raise AnswerError(tidy(reply["type"]) or "Exception", tidy(reply["text"]))
        if kind == "memory":
            raise self.too_much_memory()
        self.end(grace=0.0)
        if kind == "output":
            raise Stopped("error", f"printed more than {size(self.limits.output_bytes)}")
        raise Stopped("error", f"gave a result larger than {size(self.limits.reply_bytes)}")

    def too_much_memory(self) -> Stopped:
        return Stopped("memory", f"used more than {self.limits.memory_mb} MB of memory")

    def send(self, data: bytes, deadline: float) -> None:
        rest = memoryview(struct.pack("<Q", len(data)) + data)
        try:
            while rest:
                self.socket.settimeout(left(deadline))
                rest = rest[self.socket.send(rest) :]
        except TimeoutError:
            raise
        except OSError:
            raise Disturbed("ended") from None

    def receive(self, deadline: float) -> Any:
        """Return one decoded message, within `deadline` and the size of a reply."""
        (length,) = struct.unpack("<Q", self.read(8, deadline))
        if length > self.limits.reply_bytes + codec.MAX_HEADER:
            raise Disturbed("too long")
        try:
            return codec.decode(self.read(length, deadline), self.remote)
        except codec.BadMessage as error:
            raise Disturbed(str(error)) from None

    def read(self, length: int, deadline: float) -> bytearray:
        data = bytearray()
        while len(data) < length:
            self.socket.settimeout(left(deadline))
            try:
                part = self.socket.recv(min(length - len(data), 1 << 20))
            except TimeoutError:
                raise
            except OSError:
                part = b""
            if not part:
                raise Disturbed("ended")
            data += part
        return data

    def ended(self, why: str) -> Stopped:
        """Say how a child ended that should be answering."""
        how = self.end(grace=GRACE if why == "ended" else 0.0)
        if why != "ended":
            return Stopped("error", "your code wrote to the channel that carries its answers")
        if how["over_quota"]:
            return Stopped("error", f"wrote more than {size(self.limits.file_bytes)} of files")
        if how["signal"] and how["cpu"] >= self.limits.cpu_seconds - 1:
            return Stopped(
                "timeout", f"used more than {self.limits.cpu_seconds} s of processor time"
            )
        if how["signal"] == 9 and how["memory_mb"] > self.limits.memory_mb / 2:
            return self.too_much_memory()
        if how["signal"]:
            return Stopped("error", f"your code ended its process (signal {how['signal']})")
        return Stopped("error", f"your code ended its process (exit code {how['exit']})")

    def end(self, grace: float) -> dict[str, Any]:
        self.open = False
        if not self.worker.fork:
            return self.end_alone(grace)
        self.socket.close()
        self.process.ask({"do": "end", "session": self.number, "grace": grace})
        return self.process.answer()

    def end_alone(self, grace: float) -> dict[str, Any]:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.process.wait(grace)
        self.process.kill()
        code = self.process.process.returncode
        return {
            "exit": code,
            "signal": -code if code < 0 else None,
            "cpu": 0.0,
            "memory_mb": 0.0,
            "over_quota": False,
        }


class Remote:
    """Stands in for an object in the worker: can be called, iterated, and asked for attributes."""

    def __init__(self, session: Session, number: int, type_name: str) -> None:
        self._session, self._number, self._type_name = session, number, type_name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._session.call(self._number, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # copy, pickle, inspect and the like ask for these
            raise AttributeError(name)
        request = {"do": "attribute", "handle": self._number, "name": name}
        return self._session.request(request)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._session.request({"do": "list", "handle": self._number}))

    def _beside(self, module: str, name: str) -> Any:
        """Return a function of a course module from the process in which the object is."""
        return self._session.course(module, name)

    def __repr__(self) -> str:
        return f"<{tidy(self._type_name)} in the worker>"


def left(deadline: float) -> float:
    """Return the seconds until `deadline`; raises TimeoutError when there are none."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds


def checked(reply: Any) -> dict[str, Any]:
    """Return a reply whose fields have the types that they should have, or raise Disturbed."""
    types = {"kind": str, "printed": str, "refused": list, "after": bool}
    if type(reply) is not dict or any(type(reply.get(key)) is not types[key] for key in types):
        raise Disturbed("a reply without its fields")
    extra = {"value": ("value",), "error": ("type", "text"), "forbidden": ("text",)}
    for key in extra.get(reply["kind"], ()):
        if key not in reply or (key != "value" and type(reply[key]) is not str):
            raise Disturbed("a reply without its fields")
    if not all(type(name) is str for name in reply["refused"]):
        raise Disturbed("a reply without its fields")
    return reply


def restore(original: Any, after: Any) -> None:
    """Give the caller's arguments, in place, the values that the worker's copies have now."""
    if isinstance(original, dict) and isinstance(after, dict):
        for key in [key for key in original if key not in after]:
            del original[key]
        for key, value in after.items():
            original[key] = merged(original[key], value) if key in original else value
    elif isinstance(original, list) and isinstance(after, list):
        original[:] = [
            merged(before, value) for before, value in zip(original, after, strict=False)
        ] + after[len(original) :]
    elif isinstance(original, tuple) and isinstance(after, tuple):
        for before, value in zip(original, after, strict=False):
            restore(before, value)
    elif isinstance(original, torch.Tensor) and isinstance(after, torch.Tensor):
        if original.is_leaf:
            original.grad = None
            original.data = after.detach().to(original.device)
            original.requires_grad_(after.requires_grad)
            original.grad = after.grad
    elif isinstance(original, np.ndarray) and isinstance(after, np.ndarray):
        if original.shape == after.shape:
            original[...] = after
    elif isinstance(original, torch.Generator) and isinstance(after, torch.Generator):
        original.set_state(after.get_state())


def merged(before: Any, after: Any) -> Any:
    """Return `before`, changed in place, if it can take the value of `after`; else `after`."""
    if type(before) is not type(after) or isinstance(before, (int, float, str, type(None))):
        return after
    restore(before, after)
    return before


def tidy(text: str) -> str:
    """Return the first line of a student's text; only its beginning is looked at."""
    return one_line(text[:2000])


def size(number: int) -> str:
    """Return a number of bytes in words."""
    if number >= 1_000_000:
        return f"{number / 1_000_000:g} MB"
    return f"{math.ceil(number / 1000)} kB"
