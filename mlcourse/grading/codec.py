"""Plain data to bytes and back, for talking to a process that may lie.

Nothing is pickled and nothing is evaluated: a message is a JSON header and the raw buffers of its
tensors and arrays. `decode` takes any bytes at all and either returns plain data or raises
`BadMessage`. This file stands alone (standard library, torch, numpy): the worker has a copy.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

DTYPES = {
    str(dtype).removeprefix("torch."): dtype
    for dtype in (
        torch.float16,
        torch.bfloat16,
        torch.float32,
        torch.float64,
        torch.complex64,
        torch.complex128,
        torch.uint8,
        torch.int8,
        torch.int16,
        torch.int32,
        torch.int64,
        torch.bool,
    )
}
ARRAY_DTYPES = frozenset(np.dtype(code).name for code in "?bhiqBHIQefdFD")
MAX_HEADER = 2_000_000  # bytes of JSON
MAX_DIMENSIONS = 32
GENERATOR_BYTES = torch.Generator().get_state().numel()

Handles = Callable[[Any], tuple[int, str]]


class BadMessage(Exception):
    """Bytes that are no message of this protocol."""


class Handle:
    """A thing that is not data and stays in the worker: its number, and its type's name."""

    __slots__ = ("number", "type_name")

    def __init__(self, number: int, type_name: str = "") -> None:
        self.number, self.type_name = number, type_name


def encode(value: Any, handle: Handles | None = None) -> bytes:
    """Return `value` as bytes.

    `handle` is called with each object that is not data and returns its number and type name;
    without it such an object raises TypeError. An object that appears twice is sent once.
    """
    packer = Packer(handle)
    try:
        tree = packer.tree(value)
    except RecursionError:
        raise TypeError("the value contains itself, or is nested too deeply") from None
    header = json.dumps([tree, packer.table]).encode()
    return b"".join([struct.pack("<I", len(header)), header, *packer.buffers])


class Packer:
    """Turns a value into a JSON tree, a table that describes buffers, and the buffers."""

    def __init__(self, handle: Handles | None) -> None:
        self.handle = handle
        self.table: list[list[Any]] = []
        self.buffers: list[bytes] = []
        self.seen: dict[int, tuple[int, Any]] = {}  # id -> (row, the object, kept alive)

    def tree(self, value: Any) -> Any:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, (torch.Tensor, np.ndarray, np.generic, torch.Generator)):
            return ["b", self.row(value)]
        # the base classes' own methods: a subclass may lie about its value
        if isinstance(value, int):
            return int.__int__(value)
        if isinstance(value, float):
            return float.__float__(value)
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, dict):
            items = [[self.tree(key), self.tree(item)] for key, item in dict.items(value)]
            return ["d", items]
        if isinstance(value, tuple):
            return ["t", [self.tree(item) for item in tuple.__iter__(value)]]
        if isinstance(value, list):
            return ["l", [self.tree(item) for item in list.__iter__(value)]]
        return self.leaf(value)

    def leaf(self, value: Any) -> Any:
        if value is ...:
            return ["e", 0]
        if isinstance(value, complex):
            return ["c", value.real, value.imag]
        if isinstance(value, torch.dtype) and str(value).removeprefix("torch.") in DTYPES:
            return ["y", str(value).removeprefix("torch.")]
        if isinstance(value, torch.device):
            return ["v", value.type]
        if isinstance(value, Handle):
            return ["h", value.number, value.type_name]
        if self.handle is None:
            raise TypeError(f"a {type(value).__name__} is not plain data")
        return ["h", *self.handle(value)]

    def row(self, value: Any) -> int:
        if id(value) in self.seen:
            return self.seen[id(value)][0]
        if isinstance(value, torch.Tensor):
            row, buffer = pack_tensor(value)
            if value.is_leaf and value.grad is not None:
                row.append(self.row(value.grad))
        elif isinstance(value, torch.Generator):
            row, buffer = ["g"], bytes(value.get_state().numpy())
        else:
            row, buffer = pack_array(value)
        number = len(self.table)
        self.table.append([len(buffer), *row])
        self.buffers.append(buffer)
        self.seen[id(value)] = (number, value)
        return number


def pack_tensor(value: torch.Tensor) -> tuple[list[Any], bytes]:
    with torch._C.DisableTorchFunctionSubclass():
        name = str(value.dtype).removeprefix("torch.")
        if value.layout != torch.strided or name not in DTYPES or value.device.type == "meta":
            raise TypeError(f"a tensor of kind {value.layout}, {value.dtype} cannot be checked")
        plain = value.detach().as_subclass(torch.Tensor)
        shape = list(plain.shape)
        flat = plain.cpu().resolve_conj().resolve_neg().reshape(-1).contiguous()
        learns = bool(value.requires_grad and value.is_leaf)
        return ["T", name, shape, learns], flat.view(torch.uint8).numpy().tobytes()


def pack_array(value: Any) -> tuple[list[Any], bytes]:
    plain = np.asarray(value).view(np.ndarray)
    plain = plain.astype(plain.dtype.newbyteorder("="), copy=False)
    if plain.dtype.name not in ARRAY_DTYPES:
        raise TypeError(f"a NumPy array of {plain.dtype.name} cannot be checked")
    kind = "s" if isinstance(value, np.generic) else "A"
    return [kind, plain.dtype.name, list(plain.shape)], plain.tobytes()


def decode(data: bytes | bytearray, handle: Callable[[int, str], Any] = Handle) -> Any:
    """Return the value in `data`; `handle(number, type_name)` makes what stands for an object.

    Raises BadMessage for anything that `encode` would not have written.
    """
    try:
        return Unpacker(memoryview(data), handle).value()
    except BadMessage:
        raise
    except Exception as error:  # bytes from an enemy may fail in any way
        raise BadMessage(f"not a message: {type(error).__name__}") from None


def need(condition: bool, what: str) -> None:
    if not condition:
        raise BadMessage(f"not a message: {what}")


class Unpacker:
    """Reads one message; every size is checked before anything is made of that size."""

    def __init__(self, data: memoryview, handle: Callable[[int, str], Any]) -> None:
        need(len(data) >= 4, "too short")
        (length,) = struct.unpack("<I", data[:4])
        need(length <= min(MAX_HEADER, len(data) - 4), "header too long")
        header = json.loads(bytes(data[4 : 4 + length]))
        need(type(header) is list and len(header) == 2, "header")
        self.tree, self.table = header
        need(type(self.table) is list, "table")
        self.handle = handle
        self.data = data
        self.starts: list[int] = []
        at = 4 + length
        for row in self.table:
            need(type(row) is list and len(row) >= 2, "row")
            need(type(row[0]) is int and row[0] >= 0, "length")
            self.starts.append(at)
            at += row[0]
        need(at == len(data), "length")
        self.made: dict[int, Any] = {}

    def value(self) -> Any:
        return self.build(self.tree)

    def build(self, tree: Any) -> Any:
        if tree is None or type(tree) in (bool, int, float):
            return tree
        if type(tree) is str:
            return clean(tree)
        need(type(tree) is list and len(tree) >= 2, "tree")
        kind, body = tree[0], tree[1]
        if kind == "b":
            need(type(body) is int and 0 <= body < len(self.table), "row number")
            return self.buffer(body)
        if kind in ("l", "t"):
            need(type(body) is list, "items")
            items = [self.build(item) for item in body]
            return items if kind == "l" else tuple(items)
        if kind == "d":
            need(type(body) is list, "items")
            return {self.build(key): self.build(item) for key, item in body}
        return self.leaf(kind, body, tree)

    def leaf(self, kind: Any, body: Any, tree: list[Any]) -> Any:
        if kind == "c":
            need(type(body) is float and type(tree[2]) is float, "complex number")
            return complex(body, tree[2])
        if kind == "e":
            return ...
        if kind == "y":
            return DTYPES[body]
        if kind == "v":
            need(body in ("cpu", "meta"), "device")
            return torch.device(body)
        need(kind == "h" and type(body) is int and body >= 0 and type(tree[2]) is str, "handle")
        return self.handle(body, clean(tree[2])[:80])

    def buffer(self, number: int) -> Any:
        if number not in self.made:
            length, kind, *rest = self.table[number]
            raw = bytearray(self.data[self.starts[number] : self.starts[number] + length])
            if kind == "g":
                self.made[number] = unpack_generator(raw)
            elif kind == "T":
                self.made[number] = tensor = unpack_tensor(raw, *rest[:3])
                if len(rest) == 4:
                    need(type(rest[3]) is int and 0 <= rest[3] < number, "grad")
                    tensor.grad = self.buffer(rest[3])
            else:
                need(kind in ("A", "s"), "kind of buffer")
                array = unpack_array(raw, *rest)
                self.made[number] = array if kind == "A" else array[()]
        return self.made[number]


def clean(text: str) -> str:
    """Return `text` without lone surrogates, which no file or page could hold."""
    return text.encode("utf-8", "replace").decode("utf-8")


def check_shape(shape: Any, itemsize: int, length: int) -> None:
    need(type(shape) is list and len(shape) <= MAX_DIMENSIONS, "shape")
    need(all(type(size) is int and 0 <= size < 2**40 for size in shape), "shape")
    need(math.prod(shape) * itemsize == length, "shape against length")
    need(math.prod(max(size, 1) for size in shape) < 2**48, "shape")


def unpack_tensor(raw: bytearray, name: str, shape: list[int], learns: bool) -> torch.Tensor:
    dtype = DTYPES[name]
    check_shape(shape, dtype.itemsize, len(raw))
    need(type(learns) is bool, "flag")
    need(not learns or dtype.is_floating_point or dtype.is_complex, "flag")
    if not raw:
        return learning(torch.empty(shape, dtype=dtype), learns)
    if dtype is torch.bool:  # a bool byte other than 0 and 1 compares strangely
        tensor = torch.frombuffer(raw, dtype=torch.uint8) != 0
    else:
        tensor = torch.frombuffer(raw, dtype=dtype).clone()
    return learning(tensor.reshape(shape), learns)


def learning(tensor: torch.Tensor, learns: bool) -> torch.Tensor:
    """Set `requires_grad` as an attribute: a question may forbid the method of that name."""
    if learns:
        tensor.requires_grad = True
    return tensor


def unpack_array(raw: bytearray, name: str, shape: list[int]) -> np.ndarray:
    need(name in ARRAY_DTYPES, "dtype")
    dtype = np.dtype(name)
    check_shape(shape, dtype.itemsize, len(raw))
    if name == "bool":
        return (np.frombuffer(raw, dtype=np.uint8) != 0).reshape(shape)
    return np.frombuffer(raw, dtype=dtype).reshape(shape)


def unpack_generator(raw: bytearray) -> torch.Generator:
    # torch trusts the positions in a state, so a forged one could read beyond its array
    need(len(raw) == GENERATOR_BYTES, "generator")
    left, seeded, position = struct.unpack_from("<iiQ", raw, 8)
    need(seeded == 1 and 1 <= left <= 624, "generator")
    need(left + position == 625 or (left, position) == (1, 0), "generator")
    raw[-4] = raw[-4] != 0  # the last field is a bool, and three bytes of padding
    generator = torch.Generator()
    generator.set_state(torch.frombuffer(raw, dtype=torch.uint8).clone())
    return generator
