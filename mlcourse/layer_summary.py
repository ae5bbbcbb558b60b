"""A table of a network's layers: output, parameters, multiply-accumulates, receptive field."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from typing import Any

import torch
from torch import Tensor, nn

from mlcourse.layer_arithmetic import (
    Size,
    as_size,
    describe,
    layer_macs,
    output_shape,
    parameter_count,
    show,
)
from mlcourse.receptive_fields import Answer, Field, follow


@dataclass(frozen=True)
class Row:
    """One call of a layer; sizes are without the batch.

    `parameters` are 0 where a layer is called again; `macs` are None for a layer without a formula;
    `receptive_field` is None where it is not defined; `stride` is the one so far.
    """

    name: str
    output_shape: Size
    parameters: int
    macs: int | None
    receptive_field: Answer
    stride: int | Fraction | tuple[int | Fraction, ...] | None


@dataclass(frozen=True)
class Summary:
    """The rows of a network, in the order of its calls, and their totals."""

    rows: tuple[Row, ...]
    layers: tuple[str, ...]
    input_size: Size
    total_parameters: int
    examples: int | None = None

    @property
    def total_macs(self) -> int:
        """Multiply-accumulates for one example, of all layers that have a formula."""
        return sum(row.macs or 0 for row in self.rows)

    def __str__(self) -> str:
        cells = [_COLUMNS, *self._cells()]
        widths = [max(len(row[i]) for row in cells) for i in range(len(_COLUMNS))]
        lines = [
            "  ".join(
                cell.ljust(width) if i < 2 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in cells
        ]
        lines.insert(1, "-" * (sum(widths) + 2 * len(widths) - 2))
        return "\n".join([*lines, "", *self._totals()])

    def _repr_html_(self) -> str:
        head = "".join(f'<th style="text-align:{_side(i)}">{c}</th>' for i, c in _numbered)
        body = "".join(
            "<tr>"
            + "".join(
                f'<td style="text-align:{_side(i)}">{escape(cell)}</td>'
                for i, cell in enumerate(row)
            )
            + "</tr>"
            for row in self._cells()
        )
        totals = "<br>".join(escape(line) for line in self._totals())
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table><p>{totals}</p>"

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (
                row.name,
                layer,
                show(row.output_shape),
                f"{row.parameters:,}",
                "?" if row.macs is None else f"{row.macs:,}",
                _shown(row.receptive_field),
                _shown(row.stride),
            )
            for row, layer in zip(self.rows, self.layers, strict=True)
        ]

    def _totals(self) -> list[str]:
        lines = [
            f"Input {show(self.input_size)}: {self.total_parameters:,} parameters, "
            f"{self.total_macs:,} multiply-accumulates an example."
        ]
        unknown = [row.name for row in self.rows if row.macs is None]
        if unknown:
            lines.append(f"Multiply-accumulates without those of {', '.join(unknown)}.")
        if self.examples is not None:
            ratio = self.total_parameters / self.examples
            lines.append(f"{self.examples:,} training examples: {ratio:.3g} parameters an example.")
        return lines


_COLUMNS = ("name", "layer", "output", "parameters", "MACs", "receptive field", "stride")
_numbered = list(enumerate(_COLUMNS))


def _side(column: int) -> str:
    return "left" if column < 2 else "right"


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return show(value) if isinstance(value, tuple) else str(value)


def summary(
    model_or_layers: nn.Module | Iterable[nn.Module],
    input_size: int | Sequence[int],
    examples: int | None = None,
) -> Summary:
    """Return a table of a model, or of layers in a row, for an input of `input_size`.

    The size is without the batch: (3, 32, 32). A row is one call of a layer; `examples`, the number
    of training examples, is set beside the parameters. The model runs once in evaluation mode, on
    tensors without data and as a copy without data, so that nothing of it changes. Raises
    ValueError when a layer cannot take its input, or `examples` is below 1.
    """
    size = as_size(input_size)
    if examples is not None and examples < 1:
        raise ValueError(f"examples is {examples}: give the number of training examples")
    model = _as_model(model_or_layers)
    recorder = _Recorder(_without_data(model), size)
    recorder.run()
    return Summary(
        tuple(recorder.rows), tuple(recorder.layers), size, parameter_count(model), examples
    )


def macs(layer: nn.Module | Iterable[nn.Module], input_size: int | Sequence[int]) -> int:
    """Return the multiply-accumulates of a layer or a model for one example of `input_size`.

    The size is without the batch. Counted are the products that convolutions and dense layers add
    up, those with padding's zeros too: out * (in / groups) * kernel at each output position, or, in
    a transposed convolution, at each input position. Biases, pooling, normalisation and activations
    are not. Raises ValueError when a layer cannot take its input, or has no formula.
    """
    table = summary(layer, input_size)
    unknown = [row.name for row in table.rows if row.macs is None]
    if unknown:
        raise ValueError(f"no formula for the multiply-accumulates of {', '.join(unknown)}")
    return table.total_macs


def _as_model(model_or_layers: nn.Module | Iterable[nn.Module]) -> nn.Module:
    if isinstance(model_or_layers, nn.Module):
        return model_or_layers
    return nn.Sequential(*model_or_layers)


def _without_data(model: nn.Module) -> nn.Module:
    """Return a copy whose tensors have shapes but no data, in evaluation mode."""
    memo: dict[int, Any] = {}
    for parameter in model.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach().to("meta"), requires_grad=False)
    for buffer in model.buffers():
        memo[id(buffer)] = buffer.detach().to("meta")
    return copy.deepcopy(model, memo).eval()


class _Recorder:
    """Runs a model once and keeps a row for each call of a layer."""

    def __init__(self, model: nn.Module, size: Size) -> None:
        self.model, self.size = model, size
        self.rows: list[Row] = []
        self.layers: list[str] = []
        self._counted: set[int] = set()
        self._fields: dict[int, Field | None] = {}
        self._alive: list[Tensor] = []  # so that no id is used again

    def run(self) -> None:
        dtype = next((p.dtype for p in self.model.parameters() if p.is_floating_point()), None)
        x = torch.empty((1, *self.size), dtype=dtype, device="meta")
        self._keep(x, Field.of_input(self.size[1:]))
        for name, module in self.model.named_modules():
            if not list(module.children()):
                module.register_forward_pre_hook(self._before(name))
                module.register_forward_hook(self._after(name))
        with torch.no_grad():
            self.model(x)

    def _keep(self, x: Tensor, field: Field | None) -> None:
        self._alive.append(x)
        self._fields[id(x)] = field

    def _before(self, name: str) -> Any:
        def check(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            if inputs and isinstance(inputs[0], Tensor):
                try:
                    output_shape(layer, inputs[0].shape[1:])
                except ValueError as problem:
                    raise ValueError(f"{name}: {problem}" if name else str(problem)) from None

        return check

    def _after(self, name: str) -> Any:
        def record(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if not inputs or not isinstance(inputs[0], Tensor) or not isinstance(output, Tensor):
                return
            field = follow(layer, self._fields.get(id(inputs[0])))
            self._keep(output, field)
            new = id(layer) not in self._counted
            self._counted.add(id(layer))
            row = Row(
                name or type(layer).__name__,
                tuple(output.shape[1:]),
                parameter_count(layer) if new else 0,
                layer_macs(layer, inputs[0].shape[1:]),
                field.size if field else None,
                field.stride if field else None,
            )
            self.rows.append(row)
            self.layers.append(describe(layer))

        return record
