"""Reduce results to plain data, and say in one sentence how two of them differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from mlcourse.checks.declare import TOLERANCE

#: Results nested deeper than this are refused; ours go two levels deep.
DEPTH = 20

#: Below this size an entry counts as zero, so that rounding noise around 0 is not an error.
FLOOR = 1e-3

#: float64 results with less relative error than this, but too much, went through float32.
SINGLE_PRECISION = 2e-6

#: A number with less relative error than this is no longer told as a ratio, which would be "1".
NEARLY = 5e-4

Tolerance = Mapping[torch.dtype | type, float]


class NotData(TypeError):
    """A result holds something that is not numbers, text or containers of them."""


def plain(value: Any, depth: int = 0) -> Any:
    """Return `value` as plain data: exact types only, tensors detached, strided and on the CPU.

    0-dimensional tensors and NumPy scalars become Python numbers, NumPy arrays become tensors,
    subclasses become what they derive from. Raises `NotData`, naming the type, for all else.
    """
    if depth > DEPTH:
        raise NotData(f"the result is nested more than {DEPTH} levels deep: return plain tensors")
    kind = type(value)  # isinstance would ask the object, which may lie
    if value is None or value is ... or kind in (bool, int, float, str):
        return value
    try:
        return convert(value, kind, depth)
    except NotData:
        raise
    except Exception:  # a subclass may raise anything from any method
        raise unusable(kind) from None


def convert(value: Any, kind: type, depth: int) -> Any:
    if issubclass(kind, torch.Tensor):
        return plain_tensor(value)
    if issubclass(kind, np.ndarray):
        return plain_tensor(torch.from_numpy(np.array(value.view(np.ndarray))))
    if issubclass(kind, np.generic):
        return plain(np.generic.item(value), depth + 1)
    if issubclass(kind, dict):
        return {plain(k, depth + 1): plain(v, depth + 1) for k, v in dict.items(value)}
    if issubclass(kind, tuple):
        return tuple(plain(item, depth + 1) for item in tuple.__iter__(value))
    if issubclass(kind, list):
        return [plain(item, depth + 1) for item in list.__iter__(value)]
    if issubclass(kind, float):
        return float.__float__(value)
    if issubclass(kind, int):
        return int.__int__(value)
    if issubclass(kind, str):
        return str.__str__(value)
    raise unusable(kind)


def unusable(kind: type) -> NotData:
    return NotData(
        f"the result holds an object of type {type_name(kind)}, "
        "which is not data: return tensors and numbers"
    )


def type_name(kind: type) -> str:
    """Return a type's own name, whatever its metaclass pretends."""
    return type.__dict__["__name__"].__get__(kind)


def plain_tensor(value: torch.Tensor) -> Any:
    """Strip a tensor of its subclass, graph, device and, when 0-dimensional, of being one."""
    with torch._C.DisableTorchFunctionSubclass(), torch.no_grad():
        tensor = torch.Tensor.as_subclass(torch.Tensor.detach(value), torch.Tensor)
        if tensor.layout is not torch.strided or tensor.is_quantized:
            raise NotData("the result holds a sparse or quantised tensor: return a dense one")
        tensor = tensor.cpu().resolve_conj().resolve_neg().clone()
        return tensor.item() if tensor.dim() == 0 else tensor


def difference(
    got: Any,
    expected: Any,
    *,
    tolerance: Tolerance = TOLERANCE,
    exact: bool = False,
    name: str = "the result",
    parts: Sequence[str] = (),
) -> str | None:
    """Say what is measurably different between two plain results; None when nothing is.

    `tolerance` is the relative error allowed for each dtype of the expected tensors, and under
    `float` for numbers; `exact` allows none, and no other dtype. A wider floating-point dtype
    than expected is fine, lists and tuples count as the same, nan equals nan. `parts` names the
    items of a tuple.
    """
    options: dict[str, Any] = {"tolerance": tolerance, "exact": exact}
    if isinstance(expected, dict):
        return dict_difference(got, expected, name, options)
    if isinstance(expected, (list, tuple)):
        return sequence_difference(got, expected, name, parts, options)
    if isinstance(expected, torch.Tensor):
        return tensor_difference(got, expected, name, **options)
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return number_difference(got, expected, name, **options)
    if type(got) is not type(expected):
        wanted = "None" if expected is None else describe(expected)
        return f"{name} is {describe(got)}; it should be {wanted}"
    return None if got == expected else f"{name} is {got!r}; it should be {expected!r}"


def same(got: Any, expected: Any, tolerance: Tolerance = TOLERANCE) -> bool:
    """Say whether two plain results agree: `difference` without the sentence, so much faster."""
    if isinstance(got, torch.Tensor) and isinstance(expected, torch.Tensor):
        if got.shape != expected.shape or not fits(got.dtype, expected.dtype):
            return False
        if not (got.is_complex() or expected.is_complex()):
            allowed = tolerance.get(expected.dtype, 0.0)
            return close(got.double(), expected.double(), allowed)
    return difference(got, expected, tolerance=tolerance) is None


def dict_difference(got: Any, expected: dict, name: str, options: dict[str, Any]) -> str | None:
    if not isinstance(got, dict):
        return f"{name} is {describe(got)}; it should be a dict with the keys {listed(expected)}"
    if missing := [key for key in expected if key not in got]:
        return f"{name} lacks {listed(missing)}; its keys should be {listed(expected)}"
    if extra := [key for key in got if key not in expected]:
        return f"{name} has the unexpected {listed(extra)}; its keys should be {listed(expected)}"
    for key in expected:
        phrase = isinstance(key, str) and " " in key  # a summary's key says what it is
        label = key if phrase else f"{name}[{key!r}]"
        if text := difference(got[key], expected[key], name=label, **options):
            return text
    return None


def sequence_difference(
    got: Any, expected: Sequence, name: str, parts: Sequence[str], options: dict[str, Any]
) -> str | None:
    labels = list(parts) if len(parts) == len(expected) else []
    what = f"({', '.join(labels)})" if labels else f"{len(expected)} items"
    if not isinstance(got, (list, tuple)):
        return f"{name} is {describe(got)}; it should be a {type(expected).__name__} of {what}"
    if len(got) != len(expected):
        return f"{name} has {count(len(got), 'item')}; it should have {what}"
    for index, (one, other) in enumerate(zip(got, expected, strict=True)):
        label = labels[index] if labels else f"{name}[{index}]"
        if text := difference(one, other, name=label, **options):
            return text
    return None


def number_difference(
    got: Any, expected: float, name: str, *, tolerance: Tolerance, exact: bool
) -> str | None:
    if isinstance(got, torch.Tensor):
        shape = tuple(got.shape)
        return f"{name} is a tensor of shape {shape}; it should be one number"
    if isinstance(got, bool) or not isinstance(got, (int, float)):
        return f"{name} is {describe(got)}; it should be one number"
    if math.isnan(got) and math.isnan(expected):
        return None
    if not math.isfinite(got) or not math.isfinite(expected):
        return None if got == expected else f"{name} is {got}; it should be a finite number"
    allowed = 0.0 if exact or isinstance(expected, int) else tolerance.get(float, 1e-4)
    if abs(got - expected) <= allowed * max(abs(expected), FLOOR):
        return None
    if expected and got == -expected:
        return f"{name} has the wrong sign"
    error = abs(got - expected) / abs(expected) if expected else math.inf
    if error < NEARLY and not isinstance(expected, int):
        return (
            f"{name} is nearly right, with a relative error of {error:.0e}: was it rounded, or "
            "computed in float32?"
        )
    few = expected == 0 or max(abs(got), abs(expected)) < 100
    if isinstance(got, int) and isinstance(expected, int) and few:
        return (
            f"{name} is {got}, {abs(got - expected)} too {'large' if got > expected else 'small'}"
        )
    if abs(expected) > FLOOR and abs(got) > FLOOR:
        return f"{name} is {got / expected:.4g} times what it should be"
    return f"{name} is {got:.4g}, off by {abs(got - expected):.2g}"


def tensor_difference(
    got: Any, expected: torch.Tensor, name: str, *, tolerance: Tolerance, exact: bool
) -> str | None:
    wanted = tuple(expected.shape)
    if not isinstance(got, torch.Tensor):
        return f"{name} is {describe(got)}; it should be a tensor of shape {wanted}"
    shape = tuple(got.shape)
    if shape != wanted:
        turned = " (it is transposed)" if len(shape) == 2 and shape == wanted[::-1] else ""
        return f"{name} has shape {shape}; it should be {wanted}{turned}"
    if exact or not fits(got.dtype, expected.dtype):
        if got.dtype != expected.dtype:
            return (
                f"{name} has dtype {dtype_name(got)}; it should be {dtype_name(expected)}, "
                "the dtype of the inputs"
            )
        return None if exact and identical(got, expected) else values(got, expected, name, 0.0)
    return values(got, expected, name, tolerance.get(expected.dtype, 0.0))


def fits(got: torch.dtype, expected: torch.dtype) -> bool:
    """Tell whether a result of dtype `got` may stand for one of dtype `expected`."""
    if got.is_floating_point and expected.is_floating_point:
        return torch.finfo(got).eps <= torch.finfo(expected).eps
    return got == expected


def identical(got: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.equal(got, expected) or (
        torch.equal(torch.nan_to_num(got), torch.nan_to_num(expected))
        and torch.equal(torch.isnan(got), torch.isnan(expected))
    )


def values(got: torch.Tensor, expected: torch.Tensor, name: str, allowed: float) -> str | None:
    """Compare the entries of two tensors of one shape, in float64."""
    if got.is_complex() or expected.is_complex():
        return None if torch.equal(got, expected) else f"{name} has wrong values"
    got, expected = got.double(), expected.double()
    if close(got, expected, allowed):
        return None
    if text := not_finite(got, expected, name):
        return text
    if got.dim() == 2 and got.shape[0] == got.shape[1] and close(got.T, expected, allowed):
        return f"{name} is transposed: the right numbers, with rows and columns exchanged"
    if close(-got, expected, allowed):
        return f"{name} has the wrong sign everywhere"
    size = float(expected.square().sum())
    ratio = float((got * expected).sum()) / size if size else 0.0
    if abs(ratio) > FLOOR and abs(ratio - 1) > NEARLY and close(got / ratio, expected, allowed):
        return f"{name} is {ratio:.4g} times what it should be, everywhere"
    shift = float((got - expected).mean())
    if got.numel() > 1 and close(got - shift, expected, allowed):
        return f"{name} is off by the same {shift:+.4g} everywhere"
    error = (got - expected).abs()
    wrong = int((error > allowed * scale(expected)).sum())
    worst = float(error.max()) / scale(expected)
    if worst < SINGLE_PRECISION and allowed < SINGLE_PRECISION:
        return (
            f"{name} has only float32's precision (relative error {worst:.0e}): compute in the "
            "dtype of the inputs, without .float()"
        )
    return (
        f"{name} has wrong values: {wrong} of {count(got.numel(), 'entry')}, "
        f"with a relative error of up to {worst:.1e}"
    )


def scale(expected: torch.Tensor) -> float:
    largest = float(expected.abs().max())
    if math.isfinite(largest):
        return max(largest, FLOOR)
    finite = expected[torch.isfinite(expected)]
    return max(float(finite.abs().max()), FLOOR) if finite.numel() else FLOOR


def close(got: torch.Tensor, expected: torch.Tensor, allowed: float) -> bool:
    """Tell whether all entries agree, relative to the largest; nan and infinities must match."""
    if got.numel() == 0:
        return True
    worst = float((got - expected).abs().max())
    if math.isfinite(worst):  # then so are all entries
        return worst <= allowed * scale(expected)
    finite = torch.isfinite(expected)
    if not torch.equal(finite, torch.isfinite(got)):
        return False
    odd_got, odd_expected = got[~finite], expected[~finite]
    if not identical(odd_got, odd_expected):
        return False
    error = (got - expected)[finite].abs()
    return error.numel() == 0 or float(error.max()) <= allowed * scale(expected)


def not_finite(got: torch.Tensor, expected: torch.Tensor, name: str) -> str | None:
    surplus = ~torch.isfinite(got) & torch.isfinite(expected)
    if not surplus.any():
        return None
    what = "nan" if bool(torch.isnan(got[surplus]).any()) else "infinite"
    return (
        f"{int(surplus.sum())} of {count(got.numel(), 'entry')} of {name} "
        f"{'is' if int(surplus.sum()) == 1 else 'are'} {what}; all should be finite numbers"
    )


def describe(value: Any) -> str:
    """Name a plain value's type, with the article, for a sentence."""
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {tuple(value.shape)}"
    if value is None:
        return "None (is a `return` missing?)"
    if value is ...:
        return "`...`, the place-holder"
    names = {bool: "a truth value", int: "an integer", float: "a number", str: "a string"}
    if type(value) in names:
        return names[type(value)]
    return f"a {type(value).__name__} of {count(len(value), 'item')}"


def dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def listed(keys: Any) -> str:
    return ", ".join(str(key)[:40] for key in list(keys)[:8])


def count(number: int, noun: str) -> str:
    plural = {"entry": "entries"}.get(noun, noun + "s")
    return f"{number} {noun if number == 1 else plural}"
