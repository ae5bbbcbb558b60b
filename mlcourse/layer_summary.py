"""A table of a network's layers: output, parameters, multiply-accumulates, receptive field."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from torch import nn

from mlcourse.layer_arithmetic import Size, as_size, brief, parameter_count, show
from mlcourse.layer_recorder import Row, record


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

    __repr__ = __str__

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
        rest = self.total_parameters - sum(row.parameters for row in self.rows)
        if rest:
            lines.append(f"{rest:,} of the parameters are in layers whose forward was not called.")
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

    The size is without the batch: (3, 32, 32). A row is one call of a layer, or what a module's
    own forward adds to its layers; `examples`, the number of training examples, is set beside the
    parameters. A copy runs once, in evaluation mode and without data, so that nothing of the model
    changes.

    Receptive fields ignore the borders (they may be wider than the input) up to the first layer
    that sees the whole map (dense, global pooling, group norm), which sees what there is. Where
    branches meet it is the widest window that holds what all of them see. It is None after what
    mixes positions in an unknown way.

    Raises ValueError when a layer cannot take its input, or `examples` is below 1.
    """
    size = as_size(input_size)
    if examples is not None and examples < 1:
        raise ValueError(f"examples is {examples}: give the number of training examples")
    model = _as_model(model_or_layers)
    recorded = record(model, size)
    return Summary(
        tuple(row for row, _ in recorded),
        tuple(brief(layer) for _, layer in recorded),
        size,
        parameter_count(model),
        examples,
    )


def macs(layer: nn.Module | Iterable[nn.Module], input_size: int | Sequence[int]) -> int:
    """Return the multiply-accumulates of a layer or a model for one example of `input_size`.

    The size is without the batch. Counted are the products that convolutions and dense layers add
    up, those with padding's zeros too: out * (in / groups) * kernel at each output position, or, in
    a transposed convolution, at each input position. Biases, pooling, normalisation and activations
    are not. Matrix products and convolutions outside layers are, as torch's own counter sees them.
    Raises ValueError when a layer cannot take its input, or has no formula.
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
