"""`dense_to_conv` and `slide_dense`: a dense layer as a convolution, on larger maps too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional

from mlcourse.checks.conv_arithmetic_questions.shared import Shape, normal, whole
from mlcourse.checks.declare import Mistake, Question, Variant

ONE_DTYPE = (
    "float64 inputs become float32 on the way: keep the dtype of the inputs (no .float(), and new "
    "tensors with dtype=weight.dtype)"
)
HWC = (
    "the weights are read in the order (H, W, C): flatten leaves channel after channel, each row "
    "by row, so reshape to (F, C, H, W) at once"
)
FLIPPED = (
    "the kernel is flipped: PyTorch's convolution does not flip it (it is a cross-correlation), so "
    "the weights stay in their order"
)

# --- dense_to_conv --------------------------------------------------------------------------------

#: (F, C, H, W) and dtype of the dense layers drawn; the last one is a dense layer behind another.
LAYERS = (
    (4, 3, 2, 3, torch.float64),
    (5, 2, 4, 3, torch.float32),
    (3, 3, 3, 3, torch.float64),
    (6, 7, 1, 1, torch.float64),
)


def dense_cases(g: Generator) -> list[tuple[Tensor, Tensor, Shape]]:
    return [
        (
            normal(f, c * h * w, generator=g, dtype=dtype),
            normal(f, generator=g, dtype=dtype),
            (c, h, w),
        )
        for f, c, h, w, dtype in LAYERS
    ]


def dense_to_conv_reference(
    weight: Tensor, bias: Tensor, input_shape: Shape
) -> tuple[Tensor, Tensor]:
    return weight.reshape(len(weight), *input_shape), bias


Kernel = Callable[[Tensor, int, int, int, int], Tensor]


def converted_by(
    kernel: Kernel = lambda w, f, c, y, x: w.reshape(f, c, y, x),
    biases: Callable[[Tensor], Any] = lambda bias: bias,
) -> Callable[..., Any]:
    """The conversion, with its kernel or bias made in another way."""

    def dense_to_conv(weight: Tensor, bias: Tensor, input_shape: Shape) -> tuple[Tensor, Any]:
        return kernel(weight, len(weight), *input_shape), biases(bias)

    return dense_to_conv


def read_as_hwc(weight: Tensor, f: int, c: int, y: int, x: int) -> Tensor:
    return weight.reshape(f, y, x, c).permute(0, 3, 1, 2)


def flipped(weight: Tensor, f: int, c: int, y: int, x: int) -> Tensor:
    return weight.reshape(f, c, y, x).flip(2, 3)


def filled_in_loops(weight: Tensor, f: int, c: int, y: int, x: int) -> Tensor:
    kernel = torch.zeros(f, c, y, x, dtype=weight.dtype)
    column = 0
    for channel in range(c):
        for row in range(y):
            for place in range(x):
                kernel[:, channel, row, place] = weight[:, column]
                column += 1
    return kernel


dense_to_conv = Question(
    name="dense_to_conv",
    title="A dense layer as a convolution",
    points=2,
    reference=dense_to_conv_reference,
    cases=dense_cases,
    parts=("the kernel", "the bias"),
    mistakes=(
        Mistake("height_width_channels", converted_by(read_as_hwc), HWC),
        Mistake(
            "channels_last",
            converted_by(lambda w, f, c, y, x: w.reshape(f, c, y, x).permute(0, 2, 3, 1)),
            "your kernel has the channels last: PyTorch's order is (filters, channels, height, "
            "width)",
        ),
        Mistake(
            "height_width_channels_last",
            converted_by(lambda w, f, c, y, x: w.reshape(f, y, x, c)),
            "your kernel has the shape (F, H, W, C): PyTorch's order is (F, C, H, W), and so is "
            "the order in which flatten leaves the numbers",
        ),
        Mistake(
            "width_before_height",
            converted_by(lambda w, f, c, y, x: w.reshape(f, c, x, y).transpose(2, 3)),
            "rows and columns are exchanged: flatten goes along the rows, so reshape to "
            "(F, C, H, W) without a transposition",
        ),
        Mistake(
            "width_first",
            converted_by(lambda w, f, c, y, x: w.reshape(f, c, x, y)),
            "height and width are exchanged: the kernel's shape is (F, C, H, W)",
        ),
        Mistake(
            "weight_transposed",
            converted_by(lambda w, f, c, y, x: w.T.reshape(f, c, y, x)),
            "the weight is transposed before it is reshaped: in PyTorch it is (outputs, inputs), "
            "so each *row* is one filter",
        ),
        Mistake(
            "read_column_by_column",
            converted_by(lambda w, f, c, y, x: w.reshape(c, y, x, f).permute(3, 0, 1, 2)),
            "the weight is read as (inputs, outputs): in PyTorch it is (outputs, inputs), so each "
            "row is one filter, and reshape is enough",
        ),
        Mistake(
            "filters_second",
            converted_by(lambda w, f, c, y, x: w.reshape(f, c, y, x).transpose(0, 1)),
            "filters and channels are exchanged: a kernel of PyTorch's conv2d is (filters, input "
            "channels, height, width)",
        ),
        Mistake(
            "one_by_one",
            converted_by(lambda w, f, c, y, x: w.reshape(f, c * y * x, 1, 1)),
            "this is a 1x1 kernel on a map that was flattened first: then nothing can slide. Give "
            "the kernel the height and the width of the map",
        ),
        Mistake("flipped", converted_by(flipped), FLIPPED),
        Mistake(
            "bias_dropped",
            converted_by(biases=torch.zeros_like),
            "the bias is set to zero: a filter's bias is that of its neuron",
        ),
        Mistake(
            "bias_as_map",
            converted_by(biases=lambda bias: bias.reshape(-1, 1, 1)),
            "the bias has the wrong shape: one number for each filter, (F,), as it was",
        ),
        Mistake(
            "bias_missing",
            lambda weight, bias, input_shape: weight.reshape(len(weight), *input_shape),
            "the bias is missing: return (kernel, bias)",
        ),
        Mistake(
            "not_reshaped",
            converted_by(lambda w, f, c, y, x: w),
            "the weight is still a matrix: give each of its rows the shape of the map",
        ),
        Mistake(
            "cast",
            converted_by(
                lambda w, f, c, y, x: w.reshape(f, c, y, x).float(), lambda bias: bias.float()
            ),
            ONE_DTYPE,
        ),
    ),
    variants=(
        Variant("unflatten", converted_by(lambda w, f, c, y, x: w.unflatten(1, (c, y, x)))),
        Variant("in loops", converted_by(filled_in_loops)),
        Variant(
            "one row after the other",
            converted_by(
                lambda w, f, c, y, x: torch.stack([row.view(c, y, x) for row in w]),
                lambda bias: bias.clone(),
            ),
        ),
    ),
    hints=(
        "Each row of the weight matrix is one neuron, and becomes one filter. What shape must a "
        "filter have so that it covers the whole map?",
        "X.flatten(1) goes through the channels, then the rows, then the columns. "
        "Tensor.reshape(F, C, H, W) puts the numbers back in just that order.",
    ),
)


# --- slide_dense ----------------------------------------------------------------------------------


def slide_cases(g: Generator) -> list[tuple[Tensor, Tensor, Shape, Tensor]]:
    """Maps larger than the layer's own, and one of its very size."""
    found: list[tuple[Tensor, Tensor, Shape, Tensor]] = []
    for (f, c, h, w, dtype), examples in zip(LAYERS, (2, 1, 3, 2), strict=True):
        more = (0, 0) if examples == 1 else (whole(4, 6, g), whole(7, 9, g))
        found.append(
            (
                normal(f, c * h * w, generator=g, dtype=dtype),
                normal(f, generator=g, dtype=dtype),
                (c, h, w),
                normal(examples, c, h + more[0], w + more[1], generator=g, dtype=dtype),
            )
        )
    return found


def slide_by(
    kernel: Kernel = lambda w, f, c, y, x: w.reshape(f, c, y, x),
    stride: Callable[[Shape], Any] = lambda shape: 1,
    padding: Callable[[Shape], Any] = lambda shape: 0,
    biases: Callable[[Tensor], Tensor | None] = lambda bias: bias,
    finish: Callable[[Tensor], Tensor] = lambda out: out,
) -> Callable[..., Tensor]:
    """The dense layer at every place of the map, with one of its pieces exchanged."""

    def slide_dense(weight: Tensor, bias: Tensor, input_shape: Shape, X: Tensor) -> Tensor:
        out = functional.conv2d(
            X,
            kernel(weight, len(weight), *input_shape),
            biases(bias),
            stride=stride(input_shape),
            padding=padding(input_shape),
        )
        return finish(out)

    return slide_dense


def padded_to_same(weight: Tensor, bias: Tensor, input_shape: Shape, X: Tensor) -> Tensor:
    _, h, w = input_shape
    left, top = (w - 1) // 2, (h - 1) // 2
    wide = functional.pad(X, (left, w - 1 - left, top, h - 1 - top))
    return slide_by()(weight, bias, input_shape, wide)


def pooled_first(weight: Tensor, bias: Tensor, input_shape: Shape, X: Tensor) -> Tensor:
    _, h, w = input_shape
    small = functional.adaptive_avg_pool2d(X, (h, w))
    return slide_by()(weight, bias, input_shape, small)


def first_window(weight: Tensor, bias: Tensor, input_shape: Shape, X: Tensor) -> Tensor:
    _, h, w = input_shape
    return slide_by()(weight, bias, input_shape, X[:, :, :h, :w])


def window_by_window(weight: Tensor, bias: Tensor, input_shape: Shape, X: Tensor) -> Tensor:
    """Cut every window out and give it to the dense layer: the same map, at a higher cost."""
    _, h, w = input_shape
    rows = []
    for y in range(X.shape[2] - h + 1):
        windows = [X[:, :, y : y + h, x : x + w].flatten(1) for x in range(X.shape[3] - w + 1)]
        rows.append(torch.stack([window @ weight.T + bias for window in windows], dim=-1))
    return torch.stack(rows, dim=-2)


def by_unfolding(weight: Tensor, bias: Tensor, input_shape: Shape, X: Tensor) -> Tensor:
    _, h, w = input_shape
    columns = functional.unfold(X, (h, w))
    out = torch.einsum("fi,nil->nfl", weight, columns) + bias[:, None]
    return out.reshape(len(X), len(weight), X.shape[2] - h + 1, X.shape[3] - w + 1)


def with_a_layer(weight: Tensor, bias: Tensor, input_shape: Shape, X: Tensor) -> Tensor:
    c, h, w = input_shape
    layer = torch.nn.Conv2d(c, len(weight), (h, w), dtype=weight.dtype)
    with torch.no_grad():
        layer.weight.copy_(weight.view_as(layer.weight))
        layer.bias.copy_(bias)  # type: ignore[union-attr]
    return layer(X)


slide_dense = Question(
    name="slide_dense",
    title="The dense layer on a larger map",
    points=2,
    reference=slide_by(),
    cases=slide_cases,
    parts=("the map",),
    needs=("dense_to_conv",),
    mistakes=(
        Mistake(
            "side_by_side",
            slide_by(stride=lambda shape: shape[1:]),
            "your windows stand side by side: the kernel moves by one pixel, so that every "
            "position gets its output",
        ),
        Mistake(
            "first_window",
            first_window,
            "only the window in the top left corner is seen: let the kernel slide over the whole "
            "map",
        ),
        Mistake(
            "averaged",
            slide_by(finish=lambda out: out.mean(dim=(2, 3), keepdim=True)),
            "the outputs of all positions are averaged: keep the map, one output for each position",
        ),
        Mistake(
            "averaged_away",
            slide_by(finish=lambda out: out.mean(dim=(2, 3))),
            "the outputs of all positions are averaged: keep the map, one output for each position",
        ),
        Mistake(
            "not_slid",
            lambda weight, bias, shape, X: X.flatten(1) @ weight.T + bias,
            "the whole map is flattened, and has too many numbers for the dense layer: make a "
            "kernel of its weights and let it slide",
        ),
        Mistake(
            "map_shrunk_first",
            pooled_first,
            "the map is shrunk to the layer's own size first: leave it as it is, the kernel slides",
        ),
        Mistake(
            "padded",
            padded_to_same,
            "the map is padded, so its outer outputs come from windows that are partly empty: use "
            "no padding, as the dense layer never saw any",
        ),
        Mistake(
            "bias_forgotten",
            slide_by(biases=lambda bias: None),
            "the bias is forgotten: give it to conv2d as its third argument",
        ),
        Mistake("height_width_channels", slide_by(read_as_hwc), HWC),
        Mistake("flipped", slide_by(flipped), FLIPPED),
        Mistake(
            "channels_last",
            slide_by(finish=lambda out: out.permute(0, 2, 3, 1)),
            "your map has the neurons last: the order is (examples, neurons, height, width)",
        ),
        Mistake(
            "flattened",
            slide_by(finish=lambda out: out.flatten(2)),
            "the positions are flattened: keep the map's rows and columns, (N, F, H', W')",
        ),
        Mistake(
            "rectified",
            slide_by(finish=torch.relu),
            "a ReLU is applied: a dense layer has none of its own, return what it computes",
        ),
        Mistake(
            "cast",
            lambda weight, bias, shape, X: slide_by()(
                weight.float(), bias.float(), shape, X.float()
            ),
            ONE_DTYPE,
        ),
    ),
    variants=(
        Variant("windows cut out one by one", window_by_window),
        Variant("windows unfolded into columns", by_unfolding),
        Variant("a layer with copied weights", with_a_layer),
    ),
    hints=(
        "You have a kernel and a bias already: dense_to_conv(weight, bias, input_shape).",
        "torch.nn.functional.conv2d(X, kernel, bias) slides it over X. Stride 1 and no padding are "
        "its defaults.",
    ),
)
