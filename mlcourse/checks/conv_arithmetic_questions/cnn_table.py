"""`cnn_table`: the shape and the parameters after each layer of a network."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, nn

from mlcourse.checks.conv_arithmetic_questions.counts import conv_parameters_reference
from mlcourse.checks.conv_arithmetic_questions.output_size import size_by
from mlcourse.checks.conv_arithmetic_questions.shared import Shape, different, whole
from mlcourse.checks.declare import Mistake, Question, Variant

Layer = dict[str, Any]
Row = tuple[Any, int]
Size = Callable[[int, Layer], Any]


def conv_layer(filters: int, kernel_size: int, stride: int = 1, padding: int = 0) -> Layer:
    return {
        "kind": "conv",
        "filters": filters,
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
    }


def pool(kernel_size: int = 2, stride: int = 2, padding: int = 0, ceil_mode: bool = False) -> Layer:
    return {
        "kind": "pool",
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "ceil_mode": ceil_mode,
    }


def dense(neurons: int) -> Layer:
    return {"kind": "dense", "neurons": neurons}


def course_cnn(padding: int, filters: Sequence[int], neurons: int, ceil_mode: bool) -> list[Layer]:
    first, second, third = filters
    return [
        conv_layer(first, 5, 1, 2),
        pool(),
        conv_layer(second, 5, 1, padding),
        pool(),
        conv_layer(third, 5, 1, padding),
        pool(ceil_mode=ceil_mode),
        dense(neurons),
        dense(10),
    ]


def cases(g: Generator) -> list[tuple[list[Layer], Shape]]:
    """The course's network with other sizes, and two networks where rounding matters.

    In `strided` the first pool gets an even side and the second an odd one.
    """
    filters, neurons = different(3, 4, 40, g), whole(20, 90, g)
    height, width = different(2, 1, 4, g)
    a, b, c = different(3, 4, 20, g)
    strided = [
        conv_layer(a, 3, 2, 1),
        pool(3, 2, 1),
        conv_layer(b, 3, 1, 1),
        pool(2, 2, 0, True),
        dense(c),
    ]
    return [
        (course_cnn(0, filters, neurons, False), (3, 32, 32)),
        (course_cnn(2, filters[::-1], neurons, False), (3, 32, 32)),
        (course_cnn(0, filters, neurons, True), (3, 28, 28)),
        (strided, (2, 8 * height + 4, 8 * width + 3)),
        ([pool(3, 2), dense(a), dense(b)], (2, 8, 9)),
    ]


right_size = size_by()


def side(n: int, layer: Layer) -> int:
    """The side of the output; 0 or less, and no error, where no window fits."""
    keys = ("kernel_size", "stride", "padding")
    return right_size(n, *(layer[key] for key in keys), 1, layer.get("ceil_mode", False))


def with_setting(**changes: Any) -> Size:
    """The side when the settings are other than asked for."""
    return lambda n, layer: side(n, {**layer, **changes})


def table_by(
    size: Size = side,
    pool_size: Size | None = None,
    weights: Callable[[int, int], int] = lambda c, k: c * k * k + 1,
    pool_weights: Callable[[int, int], int] = lambda c, k: 0,
    channels: Callable[[Shape, Shape], int] = lambda shape, image: shape[0],
    filters: Callable[[Shape, Layer], int] = lambda shape, layer: layer["filters"],
    inputs: Callable[[Shape, Shape], int] = lambda shape, image: math.prod(shape),
    dense_bias: int = 1,
) -> Callable[[list[Layer], Shape], list[Row]]:
    """The table, with one of its pieces exchanged."""

    def cnn_table(layers: list[Layer], input_shape: Shape) -> list[Row]:
        rows: list[Row] = []
        shape = tuple(input_shape)
        for layer in layers:
            if layer["kind"] == "dense":
                found = layer["neurons"] * (inputs(shape, input_shape) + dense_bias)
                shape = (layer["neurons"],)
            elif layer["kind"] == "conv":
                found = layer["filters"] * weights(
                    channels(shape, input_shape), layer["kernel_size"]
                )
                shape = (filters(shape, layer), *(size(n, layer) for n in shape[1:]))
            else:
                found = pool_weights(shape[0], layer["kernel_size"])
                shape = (shape[0], *((pool_size or size)(n, layer) for n in shape[1:]))
            rows.append((shape, found))
        return rows

    return cnn_table


reference = table_by()


def shown(
    change: Callable[[list[Row], Shape], list[Row]],
) -> Callable[[list[Layer], Shape], list[Row]]:
    """The right table, with its rows changed in the end."""
    return lambda layers, input_shape: change(reference(layers, input_shape), input_shape)


def reshaped(change: Callable[[Shape], Any]) -> Callable[[list[Layer], Shape], list[Row]]:
    return shown(lambda rows, image: [(change(shape), count) for shape, count in rows])


def before(rows: list[Row], image: Shape) -> list[Row]:
    shapes = [tuple(image), *(shape for shape, _ in rows)]
    return [(shape, count) for shape, (_, count) in zip(shapes, rows, strict=False)]


def running(rows: list[Row], image: Shape) -> list[Row]:
    total, found = 0, []
    for shape, count in rows:
        total += count
        found.append((shape, total))
    return found


def table_by_torch(layers: list[Layer], input_shape: Shape) -> list[Row]:
    """Build the network, send zeros through it, count."""
    X = torch.zeros(1, *input_shape)
    rows: list[Row] = []
    for layer in layers:
        built = as_module(layer, X)
        X = built(X.flatten(1) if layer["kind"] == "dense" else X)
        rows.append((X.shape[1:], sum(p.numel() for p in built.parameters())))
    return rows


def as_module(layer: Layer, X: torch.Tensor) -> nn.Module:
    given = {key: value for key, value in layer.items() if key not in ("kind", "filters")}
    if layer["kind"] == "dense":
        return nn.Linear(X[0].numel(), layer["neurons"])
    if layer["kind"] == "conv":
        return nn.Conv2d(X.shape[1], layer["filters"], **given)
    return nn.MaxPool2d(**given)


def table_as_lists(layers: list[Layer], input_shape: Shape) -> list[list]:
    """Lists for tuples, channels and sides in variables of their own."""
    channels, *sides = input_shape
    rows: list[list] = []
    for layer in layers:
        kind = layer["kind"]
        if kind == "dense":
            inputs = math.prod([channels, *sides])
            channels, sides = layer["neurons"], []
            rows.append([[channels], inputs * channels + channels])
            continue
        sides = [side(n, layer) for n in sides]
        count = 0
        if kind == "conv":
            count = conv_parameters_reference(channels, layer["filters"], layer["kernel_size"])
            channels = layer["filters"]
        rows.append([[channels, *sides], count])
    return rows


def table_by_slices(layers: list[Layer], input_shape: Shape) -> list[Row]:
    """Each row from the layers up to it, by recursion."""
    if not layers:
        return []
    rows = table_by_slices(layers[:-1], input_shape)
    last = rows[-1][0] if rows else input_shape
    return [*rows, *reference(layers[-1:], last)]


CHANNELS = (
    "the input channels are forgotten, as in 64*(5*5+1): a filter goes through all channels of "
    "the map before it"
)
OBLONG = "height and width are taken for equal: a map may be oblong, so call output_size for each"
SAME = (
    "every convolution keeps the size here: that needs padding (k - 1) / 2, so use the padding "
    "that the layer has"
)

cnn_table = Question(
    name="cnn_table",
    title="The table of a network",
    points=3,
    reference=reference,
    cases=cases,
    parts=("table",),
    needs=("output_size", "conv_parameters"),
    mistakes=(
        Mistake("input_channels_forgotten", table_by(weights=lambda c, k: k * k + 1), CHANNELS),
        Mistake(
            "channels_of_the_image",
            table_by(channels=lambda shape, image: image[0]),
            "every convolution has the channels of the image: from the second on, the input is "
            "the map that the layer before it left",
        ),
        Mistake(
            "channels_of_both",
            table_by(
                channels=lambda shape, image: shape[0] + image[0] * (shape != tuple(image)),
            ),
            "the image's channels are added to those of the map: only the first convolution sees "
            "the image",
        ),
        Mistake(
            "bias_forgotten",
            table_by(weights=lambda c, k: c * k * k, dense_bias=0),
            "the biases are forgotten: one for each filter and one for each neuron",
        ),
        Mistake(
            "conv_bias_forgotten",
            table_by(weights=lambda c, k: c * k * k),
            "the biases of the convolutions are forgotten: one for each filter",
        ),
        Mistake(
            "dense_bias_forgotten",
            table_by(dense_bias=0),
            "the biases of the dense layers are forgotten: one for each neuron",
        ),
        Mistake(
            "dense_sees_channels",
            table_by(inputs=lambda shape, image: shape[0]),
            "a dense layer sees every number of the map before it, C * H * W of them: you count "
            "its channels alone",
        ),
        Mistake(
            "dense_sees_image",
            table_by(inputs=lambda shape, image: math.prod(image)),
            "a dense layer has as many weights a neuron as the layer *before* it has numbers, not "
            "as the image has",
        ),
        Mistake(
            "padding_ignored",
            table_by(size=with_setting(padding=0)),
            "the padding is ignored: give each layer's own padding to output_size",
        ),
        Mistake(
            "pool_padding_ignored",
            table_by(pool_size=with_setting(padding=0)),
            "the padding of the pools is ignored: a pool may have some, give it to output_size",
        ),
        Mistake(
            "conv_padding_ignored",
            table_by(size=with_setting(padding=0), pool_size=side),
            "the padding of the convolutions is ignored: give each layer's own to output_size",
        ),
        Mistake(
            "square_by_height", lambda layers, i: reference(layers, (i[0], i[1], i[1])), OBLONG
        ),
        Mistake("square_by_width", lambda layers, i: reference(layers, (i[0], i[2], i[2])), OBLONG),
        Mistake(
            "same_assumed",
            table_by(size=lambda n, layer: -(-n // layer["stride"]), pool_size=side),
            SAME,
        ),
        Mistake("size_kept", table_by(size=lambda n, layer: n, pool_size=side), SAME),
        Mistake(
            "pool_ignored",
            table_by(pool_size=lambda n, layer: n),
            "the pools leave the map as large as it is: a pool is a sliding window too, its size "
            "comes from output_size",
        ),
        Mistake(
            "pool_halves",
            table_by(pool_size=lambda n, layer: n // 2),
            "each pool halves the map here: some have other settings, so use output_size with the "
            "layer's own",
        ),
        Mistake(
            "ceil_mode_ignored",
            table_by(size=with_setting(ceil_mode=False)),
            "ceil_mode is ignored: give the pool's own setting to output_size",
        ),
        Mistake(
            "ceil_mode_always",
            table_by(pool_size=with_setting(ceil_mode=True)),
            "every pool is in ceil_mode here: give the pool's own setting to output_size",
        ),
        Mistake(
            "stride_ignored",
            table_by(size=with_setting(stride=1), pool_size=side),
            "the stride of the convolutions is ignored: give it to output_size",
        ),
        Mistake(
            "pool_with_parameters",
            table_by(pool_weights=lambda c, k: c * k * k),
            "a pool takes the largest of each window: it has nothing to learn, so 0 parameters",
        ),
        Mistake(
            "pool_with_kernel",
            table_by(pool_weights=lambda c, k: k * k),
            "a pool takes the largest of each window: it has nothing to learn, so 0 parameters",
        ),
        Mistake(
            "filters_forgotten",
            table_by(filters=lambda shape, layer: shape[0]),
            "the number of channels never changes: a convolution leaves as many channels as it "
            "has filters",
        ),
        Mistake(
            "channels_last",
            reshaped(lambda shape: (*shape[1:], shape[0]) if len(shape) == 3 else shape),
            "your shapes have the channels last: PyTorch's order is (channels, height, width)",
        ),
        Mistake(
            "batch_counted",
            reshaped(lambda shape: (1, *shape)),
            "your shapes have a batch in front: the table describes one image, (C, H, W)",
        ),
        Mistake(
            "dense_as_map",
            reshaped(lambda shape: shape if len(shape) == 3 else (*shape, 1, 1)),
            "a dense layer leaves a vector: its shape is (neurons,)",
        ),
        Mistake(
            "dense_as_number",
            reshaped(lambda shape: shape if len(shape) == 3 else shape[0]),
            "a dense layer's shape is a tuple too: (neurons,), with the comma",
        ),
        Mistake(
            "input_row",
            shown(lambda rows, image: [(tuple(image), 0), *rows]),
            "your table begins with the input: one row for each layer, with its *output*",
        ),
        Mistake(
            "shapes_of_inputs",
            shown(before),
            "these are the shapes of the layers' inputs: give the shape that comes out",
        ),
        Mistake(
            "running_total",
            shown(running),
            "your numbers of parameters are running totals: give each layer's own",
        ),
        Mistake(
            "exchanged",
            shown(lambda rows, image: [(count, shape) for shape, count in rows]),
            "the two items of a row are exchanged: first the shape, then the parameters",
        ),
    ),
    variants=(
        Variant("PyTorch's layers, built", table_by_torch),
        Variant("lists instead of tuples", table_as_lists),
        Variant("by recursion", table_by_slices),
    ),
    hints=(
        "Keep the current shape in a variable. Each layer reads it, appends a row, and leaves its "
        "own output shape there.",
        "A convolution: (filters, output_size(H, ...), output_size(W, ...)), and "
        "conv_parameters(shape[0], ...), where shape is the one *before* the layer. A pool: the "
        "same channels, 0 parameters.",
        "A dense layer: one weight for each number of the current shape, math.prod(shape), and a "
        "bias, for each neuron. Its shape is (neurons,).",
    ),
)
