"""Runs a network once, without data, and keeps a row for each call of a layer."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from mlcourse.function_fields import follow_call, has_no_products
from mlcourse.layer_arithmetic import (
    Size,
    layer_macs,
    output_shape,
    own_parameters,
    parameter_shapes,
    show,
)
from mlcourse.receptive_fields import Answer, Field, follow

_BATCH = 2  # with one example, x.squeeze() would take the batch away too


@dataclass(frozen=True)
class Row:
    """One call of a layer; sizes are without the batch.

    `parameters` counts what no row above has counted; `macs` is None where they are not known,
    `receptive_field` where it is not defined; `stride` is the one so far.
    """

    name: str
    output_shape: Size
    parameters: int
    macs: int | None
    receptive_field: Answer
    stride: int | Fraction | tuple[int | Fraction, ...] | None


def record(model: nn.Module, size: Size) -> list[tuple[Row, nn.Module]]:
    """Return a row for each call of a layer, with the layer.

    The model runs in evaluation mode as a copy on torch's meta device, which knows shapes alone; a
    model that cannot (it asks for values) runs as a full copy, on zeros. Raises ValueError when a
    layer cannot take its input.
    """
    try:
        return _run(lambda: _Recorder(_without_data(model), size, "meta")).rows
    except (RuntimeError, TypeError, NotImplementedError):
        pass
    place = next((p.device for p in model.parameters()), torch.device("cpu"))
    try:
        return _run(lambda: _Recorder(copy.deepcopy(model).eval(), size, place)).rows
    except (RuntimeError, TypeError, NotImplementedError, IndexError) as problem:
        reason = " ".join(str(problem).split())
        raise ValueError(
            f"{type(model).__name__} does not run on an input of {show(size)} (give it without "
            f"the batch): {reason}"
        ) from problem


def output_field(model: nn.Module, size: Size) -> Field | None:
    """Return what the positions of a model's output see of an input of `size`."""
    return _run(lambda: _Recorder(_without_data(model), size, "meta")).output


def _run(make: Callable[[], _Recorder]) -> _Recorder:
    """Run a recorder; another with torch's counter where functions may multiply too.

    The counter's first use takes seconds, and networks of known layers need none.
    """
    recorder = make()
    recorder.run(nullcontext())
    if recorder.trace.may_multiply:
        recorder = make()
        recorder.run(recorder.flops)
    return recorder


def _without_data(model: nn.Module) -> nn.Module:
    """Return a copy whose tensors have shapes but no data, in evaluation mode."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        empty = nn.Parameter(parameter.detach().to("meta"), requires_grad=parameter.requires_grad)
        memo[id(parameter)] = empty
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach().to("meta")
    return copy.deepcopy(model, memo).eval()


class _Recorder:
    """Hooks on every module write the rows; torch's own counter sees what no formula covers."""

    def __init__(self, model: nn.Module, size: Size, device: torch.device | str) -> None:
        self.model, self.size, self.device = model, size, device
        self.rows: list[tuple[Row, nn.Module]] = []
        self.flops = FlopCounterMode(display=False)
        self.counted: set[int] = set()
        self.trace = _Trace()
        self.output: Field | None = None
        self.ends: dict[int, Field | None] = {}  # the tensors that rows end with
        self.open: list[list[int]] = []  # of each module being run: flops before, and of children

    def run(self, counter: AbstractContextManager[Any]) -> None:
        """Run the model, with torch's counter on or with nothing in its place."""
        dtype = next((p.dtype for p in self.model.parameters() if p.is_floating_point()), None)
        x = torch.zeros((_BATCH, *self.size), dtype=dtype, device=self.device)
        self.trace.keep(x, Field.of_input(self.size[1:]))
        for name, module in self.model.named_modules():
            if self.device == "meta" and has_formula(module):
                # Torch's own forward would give the same shape, but its first use takes seconds.
                module.forward = partial(_by_formula, module)  # type: ignore[method-assign]
            module.register_forward_pre_hook(self._before(name))
            module.register_forward_hook(self._after(name))
        # With gradients on, attention takes no fused path that the counter cannot see.
        with warnings.catch_warnings(), torch.enable_grad(), counter, self.trace:
            warnings.simplefilter("ignore")  # the model's own runs give them
            out = self.model(x)
        self.output = self.trace.field(out)

    def _before(self, name: str) -> Callable[..., None]:
        def check(module: nn.Module, inputs: tuple[Any, ...]) -> None:
            self.open.append([self.flops.get_total_flops(), 0])
            if not has_formula(module):
                return
            try:
                output_shape(module, inputs[0].shape[1:])
            except ValueError as problem:
                raise ValueError(f"{name}: {problem}" if name else str(problem)) from None
            self.trace.paused += 1

        return check

    def _after(self, name: str) -> Callable[..., None]:
        def note(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            before, of_children = self.open.pop()
            flops = self.flops.get_total_flops() - before
            if self.open:
                self.open[-1][1] += flops
            macs: int | None
            if has_formula(module):
                self.trace.paused -= 1
                self.trace.keep(output, follow(module, self.trace.field(inputs[0])))
                macs = layer_macs(module, inputs[0].shape[1:])
            else:
                macs = (flops - of_children) // (2 * _BATCH)
            self._add(name, module, output, macs)

        return note

    def _add(self, name: str, module: nn.Module, output: Any, macs: int | None) -> None:
        parameters = own_parameters(module, self.counted)
        known = has_formula(module)
        own = module.parameters(recurse=False)
        weights = any(sum(n > 1 for n in p.shape) > 1 for p in own)  # not one scale a channel
        if not known and weights and macs == 0 and not isinstance(module, nn.Embedding):
            macs = None  # it multiplies by them in a way that torch does not count
        last = output if isinstance(output, Tensor) else _first_tensor(output)
        field = self.trace.field(last)
        nothing_new = id(last) in self.ends and self.ends[id(last)] is field
        if not known and nothing_new and not parameters and macs == 0:
            return  # it only calls layers, and they have their rows
        self.ends[id(last)] = field
        row = Row(
            name or type(module).__name__,
            () if last is None else tuple(last.shape[1:]),
            parameters,
            macs,
            field.size if field else None,
            field.stride if field else None,
        )
        self.rows.append((row, module))


def has_formula(module: nn.Module) -> bool:
    """Say whether a module is one of the layers whose output, parameters and MACs are known."""
    return parameter_shapes(module) is not None and not getattr(module, "return_indices", False)


def _by_formula(module: nn.Module, X: Tensor) -> Tensor:
    """Return what a layer's forward would return, without data."""
    shape = output_shape(module, X.shape[1:])
    assert shape is not None
    return X.new_empty((len(X), *shape))


def _first_tensor(output: Any) -> Tensor | None:
    values = output.values() if isinstance(output, dict) else output
    found = values if isinstance(values, Iterable) else ()
    return next((value for value in found if isinstance(value, Tensor)), None)


class _Trace(TorchFunctionMode):
    """Follows the receptive field of each tensor through functions called between layers."""

    def __init__(self) -> None:
        super().__init__()
        self.may_multiply = False
        self.paused = 0  # inside a layer that has a rule of its own
        self._fields: dict[int, Field | None] = {}
        self._alive: list[Tensor] = []  # so that no id is used again

    def keep(self, x: Any, field: Field | None) -> None:
        """Note the field of a tensor that comes from the input; None for one that has none."""
        if isinstance(x, Tensor):
            self._alive.append(x)
            fits = field is not None and field.fits(tuple(x.shape[1:]))
            self._fields[id(x)] = field if fits else None

    def field(self, x: Tensor | None) -> Field | None:
        """Return the field of a tensor; None when it is not defined."""
        return self._fields.get(id(x))

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call the function, then note the field of what it returns."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if self.paused:
            return out
        if _tensors(out) and not has_no_products(func):
            self.may_multiply = True
        inputs = [x for x in _tensors((args, kwargs)) if id(x) in self._fields]
        if inputs:
            known = [self._fields[id(x)] for x in inputs]
            field = follow_call(func, args, kwargs, known, out)
            written = args[0] if getattr(func, "__name__", "") == "__setitem__" else out
            for x in _tensors(written):
                self.keep(x, field)
        return out


def _tensors(values: Any) -> list[Tensor]:
    """Return the tensors in nested tuples, lists and dicts."""
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, (tuple, list)):
        return []
    return [x for value in values for x in _tensors(value)]
