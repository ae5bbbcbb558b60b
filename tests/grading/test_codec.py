"""The codec keeps what it carries, and refuses what it would not have written."""

from __future__ import annotations

import contextlib
import json
import struct
from collections import OrderedDict

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mlcourse.grading.codec import BadMessage, Handle, decode, encode

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text("abc") | st.integers(), inner)
    ),
    max_leaves=20,
)


def same(one, other):
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return one == other


@given(PLAIN)
@settings(max_examples=200, deadline=None)
def test_plain_data_comes_back_with_exact_types(value):
    assert same(decode(encode(value)), value)


@given(PLAIN)
@settings(max_examples=50, deadline=None)
def test_encoding_again_gives_the_same_bytes(value):
    assert encode(decode(encode(value))) == encode(value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0, 4), (2, 3, 4)])
def test_tensors_of_real_numbers(dtype, shape):
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    back = decode(encode(tensor))
    assert back.dtype == dtype
    assert back.shape == tensor.shape
    assert torch.equal(back, tensor)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([True, False]),
        torch.tensor([[1, -2]], dtype=torch.int8),
        torch.tensor([2**62]),
        torch.tensor([1 + 2j, 3.0]).conj(),
        torch.arange(12).reshape(3, 4).T[::2],
        torch.ones(1).expand(5),
        torch.tensor([float("nan"), float("inf"), -0.0]),
    ],
)
def test_other_tensors(tensor):
    back = decode(encode(tensor))
    assert back.dtype == tensor.dtype
    assert torch.equal(
        back.nan_to_num(7) if back.is_floating_point() else back,
        (tensor.nan_to_num(7) if tensor.is_floating_point() else tensor),
    )


@pytest.mark.parametrize("code", "?bhiqBHIQefdFD")
def test_arrays_and_numpy_scalars(code):
    array = np.arange(6).reshape(2, 3).astype(code)
    back = decode(encode([array, array[1, 2]]))
    assert back[0].dtype == array.dtype
    assert np.array_equal(back[0], array)
    assert isinstance(back[1], np.generic)
    assert back[1].dtype == array.dtype
    assert back[1] == array[1, 2]


def test_big_endian_and_strided_arrays_keep_their_values():
    array = np.arange(12, dtype=">f8").reshape(3, 4).T[::2]
    assert np.array_equal(decode(encode(array)), array)


def test_leaves_keep_that_they_learn_and_their_gradient():
    weight = torch.nn.Parameter(torch.ones(2))
    (weight * 3).sum().backward()
    back = decode(encode(weight))
    assert type(back) is torch.Tensor
    assert back.requires_grad
    assert torch.equal(back.grad, torch.tensor([3.0, 3.0]))
    assert not decode(encode(weight * 2)).requires_grad


def test_an_object_that_appears_twice_is_one_object_again():
    tensor = torch.ones(3)
    first, second, third = decode(encode([tensor, tensor, tensor.clone()]))
    assert first is second
    assert first is not third


def test_a_generator_goes_on_where_it_was():
    generator = torch.Generator().manual_seed(3)
    for draw in range(700):
        torch.randn(1 + draw % 3, generator=generator)
        if draw % 50 == 0 or 200 < draw < 215:
            twin = decode(encode(generator))
            assert torch.equal(twin.get_state(), generator.get_state())
    assert torch.equal(
        torch.rand(5, generator=decode(encode(generator))), torch.rand(5, generator=generator)
    )


def test_subclasses_become_what_they_derive_from():
    class Liar(float):
        def __float__(self):
            return 7.0

    value = decode(encode([OrderedDict(a=1), Liar(2.5), torch.Size([2, 3]), np.ma.array([1, 2])]))
    assert [type(item) for item in value] == [dict, float, tuple, np.ndarray]
    assert value[1] == 2.5


def test_types_devices_complex_numbers_and_the_ellipsis():
    value = [torch.float64, torch.device("cpu"), 1 + 2j, ...]
    assert decode(encode(value)) == value


def test_what_is_not_data_becomes_a_handle_or_an_error():
    with pytest.raises(TypeError, match="a function is not plain data"):
        encode([len, lambda: 1][1:])
    back = decode(encode([print], lambda thing: (4, "builtin")))[0]
    assert (type(back), back.number, back.type_name) == (Handle, 4, "builtin")


def test_a_value_that_contains_itself_is_refused():
    loop: list = []
    loop.append(loop)
    with pytest.raises(TypeError, match="contains itself"):
        encode(loop)


@pytest.mark.parametrize("tensor", [torch.ones(2).to_sparse(), torch.ones(2, device="meta")])
def test_tensors_without_plain_storage_are_refused(tensor):
    with pytest.raises(TypeError, match="cannot be checked"):
        encode(tensor)


@pytest.mark.parametrize("array", [np.array(["a"]), np.array([None]), np.zeros(1, "M8[s]")])
def test_arrays_of_other_things_are_refused(array):
    with pytest.raises(TypeError, match="cannot be checked"):
        encode(array)


def message(tree, table=(), buffers=b""):
    header = json.dumps([tree, list(table)]).encode()
    return struct.pack("<I", len(header)) + header + buffers


def state(left, position):
    raw = bytearray(torch.Generator().get_state().numpy().tobytes())
    struct.pack_into("<iiQ", raw, 8, left, 1, position)
    return bytes(raw)


SIZE = len(state(1, 0))
BAD = {
    "nothing": b"",
    "three bytes": b"abc",
    "a header longer than the message": struct.pack("<I", 9) + b"[1, []]",
    "no JSON": struct.pack("<I", 4) + b"abcd",
    "deep nesting": struct.pack("<I", 100_000) + b"[" * 100_000,
    "a pickle": b"\x80\x04\x95" + b"x" * 40,
    "an unknown kind": message(["z", 1]),
    "a kind without a body": message(["l"]),
    "an unknown row": message(["b", 0]),
    "a row number that is a truth value": message(["b", True], [[0, "T", "float32", [0], False]]),
    "bytes left over": message(1, [], b"x"),
    "missing bytes": message(["b", 0], [[8, "T", "float32", [2], False]], b"1234"),
    "a shape that does not fit": message(["b", 0], [[4, "T", "float32", [2], False]], b"1234"),
    "a negative shape": message(["b", 0], [[4, "T", "float32", [-1, -1], False]], b"1234"),
    "a shape of floats": message(["b", 0], [[4, "T", "float32", [1.0], False]], b"1234"),
    "huge and empty": message(["b", 0], [[0, "T", "float32", [0, 2**39, 2**39], False]]),
    "too many dimensions": message(["b", 0], [[4, "T", "float32", [1] * 40, False]], b"1234"),
    "an unknown dtype": message(["b", 0], [[4, "T", "qint8", [4], False]], b"1234"),
    "integers that learn": message(["b", 0], [[4, "T", "int8", [4], True]], b"1234"),
    "an object array": message(["b", 0], [[8, "A", "object", [1]]], b"12345678"),
    "a structured array": message(["b", 0], [[8, "A", "i4,i4", [1]]], b"12345678"),
    "a gradient of itself": message(["b", 0], [[4, "T", "float32", [1], True, 0]], b"1234"),
    "a short generator": message(["b", 0], [[8, "g"]], b"12345678"),
    "a generator beyond its array": message(["b", 0], [[SIZE, "g"]], state(624, 624)),
    "a generator before its array": message(["b", 0], [[SIZE, "g"]], state(-5, 630)),
    "an unhashable key": message(["d", [[["l", []], 1]]]),
    "an item without a value": message(["d", [[1]]]),
    "a device that is not there": message(["v", "cuda"]),
    "a handle below zero": message(["h", -1, "function"]),
    "a handle without a type": message(["h", 1, 2]),
}


@pytest.mark.parametrize("data", BAD.values(), ids=BAD.keys())
def test_bad_messages_are_refused(data):
    with pytest.raises(BadMessage):
        decode(data)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_any_bytes_are_a_value_or_a_bad_message(data):
    with contextlib.suppress(BadMessage):
        decode(struct.pack("<I", max(0, len(data) - 20)) + data)


@given(st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_one_changed_byte_never_does_worse_than_a_wrong_value(position, byte):
    data = bytearray(
        encode({"a": [torch.ones(3), np.ones(2), (1, "x", None)], "b": torch.Generator()})
    )
    data[position % len(data)] = byte
    with contextlib.suppress(BadMessage):
        decode(data)


def test_truth_values_have_two_bytes_only():
    tensor = decode(message(["b", 0], [[3, "T", "bool", [3], False]], b"\x00\x01\xff"))
    assert tensor.tolist() == [False, True, True]
    assert torch.equal(tensor, torch.tensor([False, True, True]))
    array = decode(message(["b", 0], [[3, "A", "bool", [3]]], b"\x00\x01\xff"))
    assert array.tobytes() == b"\x00\x01\x01"


def test_text_without_partner_surrogates():
    assert decode(message("a\ud800b")) == "a?b"
