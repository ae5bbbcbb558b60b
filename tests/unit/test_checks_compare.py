"""Reducing results to plain data, and the sentences that say how they differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from mlcourse.checks.compare import NotData, difference, plain


def drawn(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


class Liar:
    """Claims to equal everything, to be a tensor, and to have any attribute."""

    __class__ = torch.Tensor

    def __eq__(self, other):
        return True

    __hash__ = None

    def __getattr__(self, name):
        return lambda *args, **kwargs: self

    def __float__(self):
        return 0.5


class LyingTensor(torch.Tensor):
    """A tensor whose operators and methods all agree with whoever asks."""

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        return torch.tensor(True)

    def detach(self):
        raise SystemError("no")

    def __eq__(self, other):
        return True


class LyingArray(np.ndarray):
    def __array_function__(self, func, types, args, kwargs):
        return True

    def __array_ufunc__(self, *args, **kwargs):
        return True


class LyingFloat(float):
    def __eq__(self, other):
        return True

    __hash__ = float.__hash__

    def __sub__(self, other):
        return 0.0


def test_plain_keeps_exact_data():
    value = {"a": [1, 2.5, True, None], "b": ("text", drawn(2, 3))}
    result = plain(value)
    assert result["a"] == value["a"]
    assert torch.equal(result["b"][1], value["b"][1])


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (torch.tensor(0.5), 0.5),
        (torch.tensor(3), 3),
        (torch.tensor(0.5, requires_grad=True), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (LyingFloat(2.0), 2.0),
    ],
)
def test_single_numbers_become_python_numbers(value, number):
    result = plain(value)
    assert type(result) in (int, float)
    assert result == number


def test_tensors_lose_graph_subclass_and_liveness():
    parameter = torch.nn.Parameter(drawn(3))
    result = plain(parameter * 2)
    assert type(result) is torch.Tensor
    assert not result.requires_grad
    lying = drawn(3).as_subclass(LyingTensor)
    stripped = plain(lying)
    assert type(stripped) is torch.Tensor
    assert torch.equal(stripped, drawn(3))


def test_arrays_become_tensors():
    array = np.arange(6.0).reshape(2, 3)
    assert torch.equal(plain(array), torch.from_numpy(array))
    assert type(plain(array.view(LyingArray))) is torch.Tensor
    assert torch.equal(plain(array[:, ::-1]), torch.from_numpy(array[:, ::-1].copy()))


def recursive_list():
    items: list = []
    items.append(items)
    return items


@pytest.mark.parametrize(
    "value",
    [
        Liar(),
        object(),
        lambda: 1,
        (i for i in range(3)),
        {1, 2},
        1j,
        recursive_list(),
        torch.nn.Linear(2, 2),
        drawn(2, 2).to_sparse(),
        torch.empty(2, device="meta"),
        np.array(["a"]),
        np.array([object()]),
        [Liar()],
        {"a": Liar()},
    ],
)
def test_what_is_not_data_is_refused_in_one_sentence(value):
    with pytest.raises(NotData) as caught:
        plain(value)
    assert "\n" not in str(caught.value)


def test_equal_results_have_no_difference():
    value = {"W": drawn(3, 2), "n": 3, "x": 0.25, "t": "a", "none": None, "ok": True}
    assert difference(plain(value), plain(value)) is None
    assert difference([1, 2], (1, 2)) is None
    assert difference(torch.tensor([math.nan, 1.0]), torch.tensor([math.nan, 1.0])) is None
    assert difference(math.nan, math.nan) is None
    assert difference(torch.empty(0, 2), torch.empty(0, 2)) is None
    assert difference(2.0, 2) is None


def test_a_wider_dtype_is_fine_and_a_narrower_one_is_not():
    assert difference(drawn(4).double(), drawn(4)) is None
    text = difference(drawn(4, dtype=torch.float64).float(), drawn(4, dtype=torch.float64))
    assert text is not None
    assert "dtype float32" in text
    assert "float64" in text


def test_a_detour_by_float32_is_seen_in_float64():
    expected = drawn(5, 4, dtype=torch.float64)
    assert "float32's precision" in difference(expected.float().double(), expected)


@pytest.mark.parametrize(
    ("got", "words"),
    [
        (None, "None"),
        ({"Wh": drawn(3, 2)}, "a dict"),
        (drawn(2, 3), "transposed"),
        (drawn(3, 2, 1), "shape (3, 2, 1)"),
        (-drawn(3, 2), "wrong sign"),
        (4 * drawn(3, 2), "4 times"),
        (0.25 * drawn(3, 2), "0.25 times"),
        (drawn(3, 2) + 1, "+1 everywhere"),
        (drawn(3, 2).masked_fill(torch.eye(3, 2).bool(), math.nan), "2 of 6 entries"),
        (drawn(3, 2) / 0, "infinite"),
        (drawn(3, 2, seed=1), "6 of 6 entries"),
        (drawn(3, 2).int(), "dtype int32"),
        (drawn(3, 2) + 1j, "dtype complex64"),
    ],
)
def test_the_sentence_says_what_is_measurable(got, words):
    text = difference(plain(got), drawn(3, 2), name="W")
    assert text is not None
    assert words in text
    assert "\n" not in text
    assert "W" in text


def test_a_square_transposition_is_recognised():
    assert "transposed" in difference(drawn(3, 3).T.clone(), drawn(3, 3))


@pytest.mark.parametrize(
    ("got", "expected", "words"),
    [
        (drawn(5), 0.5, "shape (5,); it should be one number"),
        (100.0, 1.0, "100 times"),
        (-2.0, 2.0, "wrong sign"),
        (math.inf, 2.0, "finite"),
        (math.nan, 2.0, "finite"),
        (True, 1.0, "truth value"),
        ("1", 1.0, "a string"),
        (0.5, 0.0, "off by 0.5"),
        (3, 4, "is 3, 1 too small"),
        (300, 400, "0.75 times"),
        (1.0002, 1.0, "nearly right, with a relative error of 2e-04"),
        (1, None, "an integer; it should be None"),
        ({"a": 1}, {"a": 1, "b": 2}, "lacks b"),
        ({"a": 1, "c": 2}, {"a": 1}, "unexpected c"),
        ([1, 2, 3], (1, 2), "3 items"),
        (1, (1, 2), "an integer"),
        ("b", "a", "'b'"),
        (1, "a", "an integer"),
    ],
)
def test_sentences_for_numbers_and_containers(got, expected, words):
    text = difference(got, expected)
    assert text is not None
    assert words in text
    assert "missing" not in text  # the sentence for a `return` that is not there


def test_a_missing_return_is_told_of_the_answer_alone():
    assert "is a `return` missing?" in str(difference(None, 1.0))


def test_parts_and_keys_name_what_is_wrong():
    expected = (drawn(2), {"h": drawn(3)})
    got = (drawn(2), {"h": -drawn(3)})
    text = difference(got, expected, parts=("yhat", "outputs"))
    assert text == "outputs['h'] has the wrong sign everywhere"


def test_exact_allows_no_error_and_no_other_dtype():
    assert difference(drawn(3), drawn(3), exact=True) is None
    assert difference(drawn(3) * (1 + 1e-6), drawn(3), exact=True)
    assert difference(drawn(3).double(), drawn(3), exact=True)
    odd = torch.tensor([math.nan, math.inf])
    assert difference(odd, odd.clone(), exact=True) is None
