"""What runs on the untrusted side: a process that imports torch once and forks for each session.

The worker has a copy of this file in its own package, beside copies of `codec`, `cells`, `sandbox`
and what they need; it never sees the rest of mlcourse. Student code runs in forked children only.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import linecache
import os
import random
import select
import signal
import socket
import struct
import sys
import time
from importlib.abc import MetaPathFinder
from typing import Any, NoReturn

import numpy as np
import torch

from . import cells, codec, sandbox

if sys.platform != "win32":
    import resource

NOT_ENOUGH = ("not enough memory", "can't allocate memory", "bad_alloc", "Cannot allocate memory")


def main() -> None:
    """Read the configuration from standard input, warm up, enter the sandbox and serve."""
    config = json.load(sys.stdin)
    control = open_control(config)
    silence(0)
    sys.path[:] = config["path"]
    served = frozenset(config["imports"])
    finder = CourseFinder(served)
    sys.meta_path.insert(0, finder)
    warm_up(sorted(served))
    plan = sandbox.Plan(**config["plan"])
    if not config["fork"]:
        alone(control, plan, finder)
    sandbox.enter(plan)
    silence(1, 2)
    zygote = Zygote(control, plan, finder)
    zygote.answer({"held": zygote.probe(), "why": plan.why})
    zygote.serve()


def open_control(config: dict[str, Any]) -> socket.socket:
    if "shared" in config:  # Windows hands sockets over as bytes
        return socket.fromshare(bytes.fromhex(config["shared"]))  # type: ignore[attr-defined,no-any-return]
    return socket.socket(fileno=config["control"])


def silence(*descriptors: int) -> None:
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    if nowhere > 2:
        os.close(nowhere)


class CourseFinder(MetaPathFinder):
    """Refuses, and remembers, imports of course modules that the exercise does not allow."""

    def __init__(self, served: frozenset[str]) -> None:
        self.served = served
        self.refused: list[str] = []

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        package, _, module = fullname.partition(".")
        if package != "mlcourse" or not module or module.partition(".")[0] in self.served:
            return
        self.refused.append(fullname)
        raise ImportError(f"{fullname} cannot be imported in this exercise")


def warm_up(imports: list[str]) -> None:
    """Do once, before any fork, what is slow the first time; on one thread, never on a GPU."""
    torch.set_num_threads(1)
    with contextlib.suppress(RuntimeError):  # already set
        torch.set_num_interop_threads(1)
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.Flatten(), torch.nn.Linear(8, 2))
    images = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    labels = torch.randperm(4, generator=torch.Generator().manual_seed(0)) % 2
    for optimizer in (
        torch.optim.SGD(net.parameters(), lr=0.1),
        torch.optim.Adam(net.parameters()),
    ):
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(images), labels)
        loss.backward()
        optimizer.step()
    weights = torch.rand(3, 2, dtype=torch.float64, requires_grad=True)
    hidden = torch.tanh(torch.einsum("ni,hi->nh", torch.ones(4, 2).double(), weights))
    hidden = hidden @ torch.linalg.inv(torch.eye(3).double())
    torch.autograd.grad(torch.logsumexp(torch.log_softmax(hidden, 1), 1).sum(), weights)
    torch.nn.functional.one_hot(labels, 2).argmax(1).float().mean().item()
    torch.isfinite(images).all() and repr(images)
    np.random.default_rng(0).normal(size=3) @ np.ones(3)
    codec.decode(codec.encode([images, torch.Generator(), np.ones(2)]))
    importlib.import_module("mlcourse")
    for name in imports:
        importlib.import_module(f"mlcourse.{name}")


def alone(control: socket.socket, plan: sandbox.Plan, finder: CourseFinder) -> None:
    """Run one session in this very process, where forking is unsafe."""
    sandbox.enter(plan)
    held = sandbox.probe(plan, plan.scratch) if sys.platform == "linux" else {}
    silence(1, 2)
    channel = Channel(control.detach())
    os.write(channel.descriptor, json.dumps({"held": held, "why": plan.why}).encode())
    Child(channel, plan, finder).serve()


class Zygote:
    """Forks a child for each session, ends it, and says how it ended. Runs no student code."""

    def __init__(self, control: socket.socket, plan: sandbox.Plan, finder: CourseFinder) -> None:
        self.control, self.plan, self.finder = control, plan, finder
        self.children: dict[int, int] = {}
        self.over_quota: set[int] = set()

    def answer(self, reply: dict[str, Any]) -> None:
        self.control.send(json.dumps(reply).encode())

    def serve(self) -> NoReturn:
        while True:
            watched = bool(self.children) and not self.plan.scratch_is_bounded
            ready, _, _ = select.select([self.control], [], [], 0.2 if watched else None)
            if watched:
                self.check_folders()
            if not ready:
                continue
            message, descriptors, _, _ = socket.recv_fds(self.control, 65536, 1)
            if not message:  # the trusted side is gone
                for number in list(self.children):
                    self.end(number, grace=0.0)
                os._exit(0)
            request = json.loads(message)
            if request["do"] == "start":
                self.start(request["session"], descriptors[0])
            else:
                self.answer(self.end(request["session"], request["grace"]))

    def start(self, number: int, descriptor: int) -> None:
        sandbox.assert_one_thread(self.plan)
        folder = os.path.join(self.plan.scratch, str(number))
        os.mkdir(folder, 0o700)
        parent = os.getpid()
        if pid := os.fork():
            self.children[number] = pid
            os.close(descriptor)
            return
        try:
            channel = Channel(descriptor)
            sandbox.leave_zygote(self.plan, descriptor, parent)
            sandbox.confine(self.plan, folder)
            channel.send(codec.encode({"kind": "ready"}))
            Child(channel, self.plan, self.finder).serve()
        finally:
            os._exit(98)

    def end(self, number: int, grace: float) -> dict[str, Any]:
        """Kill a child that has not ended within `grace` seconds, and say how it ended."""
        pid = self.children.pop(number)
        until = time.monotonic() + grace
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        while not ended and time.monotonic() < until:
            time.sleep(0.002)
            ended, status, usage = os.wait4(pid, os.WNOHANG)
        if not ended:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
        sandbox.clear(os.path.join(self.plan.scratch, str(number)))
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {
            "session": number,
            "exit": os.WEXITSTATUS(status) if os.WIFEXITED(status) else None,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else None,
            "cpu": usage.ru_utime + usage.ru_stime,
            "memory_mb": max(0, usage.ru_maxrss - own) / 1024,
            "over_quota": number in self.over_quota,
        }

    def check_folders(self) -> None:
        for number, pid in self.children.items():
            folder = os.path.join(self.plan.scratch, str(number))
            if sandbox.folder_is_over(folder, self.plan.file_bytes):
                self.over_quota.add(number)
                os.kill(pid, signal.SIGKILL)

    def probe(self) -> dict[str, bool]:
        """Fork a child that goes the way of every child and then tries what is forbidden."""
        mine, its = socket.socketpair()
        folder = os.path.join(self.plan.scratch, "0")
        os.mkdir(folder, 0o700)
        parent = os.getpid()
        pid = os.fork()
        if not pid:
            try:
                sandbox.leave_zygote(self.plan, its.fileno(), parent)
                found = sandbox.probe(self.plan, folder)
                os.write(its.fileno(), json.dumps(found).encode())
            finally:
                os._exit(0)
        its.close()
        answer = mine.recv(65536)
        mine.close()
        os.waitpid(pid, 0)
        sandbox.clear(folder)
        return json.loads(answer or b"{}")  # type: ignore[no-any-return]


class Channel:
    """Length-prefixed messages over one descriptor, with nothing but `read` and `write`."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def send(self, data: bytes) -> None:
        rest = memoryview(struct.pack("<Q", len(data)) + data)
        while rest:
            rest = rest[os.write(self.descriptor, rest) :]

    def receive(self) -> bytes:
        (length,) = struct.unpack("<Q", self.read(8))
        return self.read(length)

    def read(self, length: int) -> bytes:
        parts = []
        while length:
            part = os.read(self.descriptor, min(length, 1 << 20))
            if not part:
                os._exit(0)
            parts.append(part)
            length -= len(part)
        return b"".join(parts)


class TooMuchOutput(BaseException):
    """The student's code printed more than it may."""


class Tripped(Exception):
    """The answer used a torch function that the question forbids."""


class Printed(io.TextIOBase):
    """Standard output and error: keeps what was printed, up to a limit."""

    def __init__(self, limit: int) -> None:
        self.limit, self.size, self.parts = limit, 0, list[str]()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.size += len(text)
        if self.size > self.limit:
            raise TooMuchOutput
        self.parts.append(text)
        return len(text)

    def take(self) -> str:
        text = "".join(self.parts)
        self.parts.clear()
        return text


class Child:
    """Runs a student's cells and answers requests about the names that they defined."""

    def __init__(self, channel: Channel, plan: sandbox.Plan, finder: CourseFinder) -> None:
        self.channel, self.plan, self.finder = channel, plan, finder
        self.finder.refused.clear()
        self.names = cells.namespace()
        sys.modules["__main__"] = self.names["__module_of_cells__"]
        self.objects: list[Any] = []
        self.trapped: list[tuple[Any, str, Any]] = []
        self.tripped = ""
        self.printed = Printed(plan.output_bytes)
        sys.stdout = sys.stderr = self.printed  # type: ignore[assignment]
        reseed()

    def serve(self) -> NoReturn:
        while True:
            request = codec.decode(self.channel.receive())
            blob = self.channel.receive() if request["do"] == "call" else b""
            reply, after = self.reply(request, blob)
            reply["printed"] = self.printed.take()
            reply["refused"] = list(self.finder.refused)
            reply["after"] = after is not None
            self.channel.send(self.pack(reply))
            if after is not None:
                self.channel.send(after)

    def reply(self, request: dict[str, Any], blob: bytes) -> tuple[dict[str, Any], bytes | None]:
        after = None
        self.tripped = ""
        try:
            if request["do"] == "call":
                value, after = self.call(request["handle"], blob)
            else:
                value = getattr(self, "do_" + request["do"])(request)
            reply = {"kind": "value", "value": value}
        except MissingName:
            reply = {"kind": "missing"}
        except BaseException as error:  # a student's code may raise anything at all
            reply = describe(error)
        if self.printed.size > self.printed.limit:
            reply = {"kind": "output"}
        elif self.tripped:
            reply = {"kind": "forbidden", "text": self.tripped}
        return reply, after

    def pack(self, reply: dict[str, Any]) -> bytes:
        try:
            data = codec.encode(reply, self.keep)
        except BaseException as error:
            if not isinstance(error, (TypeError, MemoryError)):
                error = TypeError("the result cannot be read")
            data = codec.encode({**reply, **describe(error), "value": None})
        if len(data) > self.plan.reply_bytes:
            data = codec.encode({**reply, "kind": "large", "value": None})
        return data

    def keep(self, thing: Any) -> tuple[int, str]:
        self.objects.append(thing)
        return len(self.objects) - 1, type(thing).__name__

    def restore(self, number: int, type_name: str) -> Any:
        return self.objects[number]

    def do_cell(self, request: dict[str, Any]) -> None:
        source = cells.python_of(request["source"])
        name = f"cell {request['index'] + 1}"
        code = compile(source, name, "exec", dont_inherit=True)
        lines = source.splitlines(keepends=True)
        linecache.cache[name] = (len(source), None, lines, name)  # inspect.getsource looks there
        exec(code, self.names)

    def do_get(self, request: dict[str, Any]) -> Any:
        if request["name"] not in self.names:
            raise MissingName
        return self.names[request["name"]]

    def do_course(self, request: dict[str, Any]) -> Any:
        return getattr(importlib.import_module(f"mlcourse.{request['module']}"), request["name"])

    def do_attribute(self, request: dict[str, Any]) -> Any:
        return getattr(self.objects[request["handle"]], request["name"])

    def do_list(self, request: dict[str, Any]) -> list[Any]:
        return list(self.objects[request["handle"]])

    def do_renew(self, request: dict[str, Any]) -> None:
        reseed()

    def do_trap(self, request: dict[str, Any]) -> None:
        for dotted in request["names"]:
            *path, name = dotted.split(".")
            owner = importlib.import_module(path[0])
            for part in path[1:]:
                owner = getattr(owner, part)
            self.trapped.append((owner, name, getattr(owner, name)))
            setattr(owner, name, self.trap(dotted))

    def do_untrap(self, request: dict[str, Any]) -> None:
        while self.trapped:
            owner, name, original = self.trapped.pop()
            setattr(owner, name, original)

    def trap(self, dotted: str) -> Any:
        def trip(*args: Any, **kwargs: Any) -> NoReturn:
            self.tripped = dotted
            raise Tripped(dotted)

        return trip

    def call(self, number: int, blob: bytes) -> tuple[Any, bytes | None]:
        """Call an object; the second result holds the arguments if the call changed them."""
        args, kwargs = codec.decode(blob, self.restore)
        value = self.objects[number](*args, **kwargs)
        kept = len(self.objects)
        try:
            after = codec.encode([args, kwargs], self.known)
        except TypeError:  # an argument was replaced by something that is not data
            after = None
        del self.objects[kept:]
        return value, None if after == blob else after

    def known(self, thing: Any) -> tuple[int, str]:
        for number, known in enumerate(self.objects):
            if known is thing:
                return number, type(thing).__name__
        raise TypeError


class MissingName(Exception):
    """The student's cells define no such name."""


def reseed() -> None:
    """Seed what draws by itself, so that the same submission gets the same result twice."""
    torch.default_generator.manual_seed(0)
    random.seed(0)
    np.random.seed(0)


def describe(error: BaseException) -> dict[str, Any]:
    """Return what to say about an exception; its own methods may fail too."""
    try:
        text = str(error)
    except BaseException:
        text = ""
    if isinstance(error, SystemExit):
        text = "your code called exit()"
    if isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in NOT_ENOUGH)
    ):
        return {"kind": "memory"}
    return {"kind": "error", "type": type(error).__name__[:80], "text": text[:2000]}
