"""`unshared_parameters` and `unshared_conv2d`: a convolution with weights of its own everywhere."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional

from mlcourse.checks.conv_arithmetic_questions.dense_as_conv import ONE_DTYPE
from mlcourse.checks.conv_arithmetic_questions.shared import (
    Calls,
    Shape,
    call_each,
    different,
    normal,
    whole,
)
from mlcourse.checks.declare import Mistake, Question, Variant

# --- unshared_parameters --------------------------------------------------------------------------


def parameter_cases(g: Generator) -> list[tuple[Calls]]:
    k, c = 3 + 2 * whole(0, 2, g), whole(3, 12, g)
    f, h, w = different(3, 4, 20, g)
    calls: Calls = {
        "the number of parameters": (c, (f, h, w), k),
        "the number of parameters without a bias": (c, (f, h, w), k, False),
        "the number of parameters of 1x1 filters": (c, (f, w, h), 1),
        "the number of parameters where the map is one pixel": (c, (f, 1, 1), k),
    }
    return [(calls,)]


def unshared_parameters_reference(
    in_channels: int, output_shape: Shape, kernel_size: int, bias: bool = True
) -> int:
    return math.prod(output_shape) * (in_channels * kernel_size**2 + bool(bias))


def parameters_by(
    weights: Callable[[int, Shape, int], int] = lambda c, o, k: math.prod(o) * c * k * k,
    biases: Callable[[Shape], int] = math.prod,
    always: bool = False,
) -> Callable[..., int]:
    """The number of parameters, with its weights or biases counted in another way."""

    def unshared_parameters(
        in_channels: int, output_shape: Shape, kernel_size: int, bias: bool = True
    ) -> int:
        found = weights(in_channels, output_shape, kernel_size)
        return found + biases(output_shape) * (bias or always)

    return unshared_parameters


def parameters_in_loops(
    in_channels: int, output_shape: Shape, kernel_size: int, bias: bool = True
) -> int:
    filters, height, width = output_shape
    total = 0
    for _ in range(height):
        for _ in range(width):
            total += filters * in_channels * kernel_size * kernel_size
            if bias:
                total += filters
    return total


def parameters_by_numel(
    in_channels: int, output_shape: Shape, kernel_size: int, bias: bool = True
) -> int:
    shape = (*output_shape, in_channels, kernel_size, kernel_size)
    weight = torch.empty(*shape, device="meta")
    return weight.numel() + (weight[..., 0, 0, 0].numel() if bias else 0)


def parameters_of_dense(
    in_channels: int, output_shape: Shape, kernel_size: int, bias: bool = True
) -> int:
    """One neuron for each number of the output, each with its own small input."""
    neuron = torch.nn.Linear(in_channels * kernel_size**2, 1, bias=bias)
    return sum(p.numel() for p in neuron.parameters()) * torch.Size(output_shape).numel()


unshared_parameters = Question(
    name="unshared_parameters",
    title="The parameters without sharing",
    points=1,
    reference=unshared_parameters_reference,
    cases=parameter_cases,
    use=call_each,
    mistakes=(
        Mistake(
            "shared",
            parameters_by(lambda c, o, k: o[0] * c * k * k, lambda o: o[0]),
            "this is the ordinary convolution, which shares its weights: here every position of "
            "the output has filters of its own",
        ),
        Mistake(
            "bias_shared",
            parameters_by(biases=lambda o: o[0]),
            "the weights are counted at each position and the bias once for a filter: nothing is "
            "shared here, so each number of the output has its own bias",
        ),
        Mistake(
            "bias_for_each_position",
            parameters_by(biases=lambda o: o[1] * o[2]),
            "you count one bias for each position: each *filter* has one there too, so F * H' * W'",
        ),
        Mistake(
            "one_bias",
            parameters_by(biases=lambda o: 1),
            "you count one bias for the layer: each number of the output has its own",
        ),
        Mistake(
            "bias_forgotten",
            parameters_by(biases=lambda o: 0),
            "the biases are forgotten: unless bias=False each number of the output has one",
        ),
        Mistake(
            "bias_always",
            parameters_by(always=True),
            "you count biases where bias=False says that there are none",
        ),
        Mistake(
            "input_channels_forgotten",
            parameters_by(lambda c, o, k: math.prod(o) * k * k),
            "the input channels are forgotten: each number of the output sees a box of "
            "in_channels * k * k numbers",
        ),
        Mistake(
            "filters_forgotten",
            parameters_by(lambda c, o, k: o[1] * o[2] * c * k * k, lambda o: o[1] * o[2]),
            "the filters are forgotten: at each position there are as many as output channels",
        ),
        Mistake(
            "kernel_once",
            parameters_by(lambda c, o, k: math.prod(o) * c * k),
            "the kernel is square: k * k weights in each channel, not k",
        ),
        Mistake(
            "dense",
            parameters_by(lambda c, o, k: math.prod(o) * c * o[1] * o[2]),
            "you connect each output with a whole map: an unshared layer is still local, with "
            "k x k pixels of each channel for each output",
        ),
    ),
    variants=(
        Variant("position by position", parameters_in_loops),
        Variant("the size of an empty weight", parameters_by_numel),
        Variant("a small neuron for each output", parameters_of_dense),
    ),
    hints=(
        "How many weights does one number of the output use? That does not change when nothing is "
        "shared.",
        "And how many numbers does the output have? Each has its own weights, and its own bias.",
    ),
)

# --- unshared_conv2d ------------------------------------------------------------------------------

#: (N, C, F, k, stride, H', W') and dtype of the layers drawn.
LAYERS = (
    (2, 3, 4, 3, 1, 3, 3, torch.float64),
    (1, 2, 3, 2, 2, 4, 3, torch.float32),
    (3, 2, 2, 3, 2, 2, 4, torch.float64),
    (2, 1, 2, 2, 3, 2, 3, torch.float64),
)


def layer_cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor, int]]:
    """Layers whose input may have a last row and column that no window reaches."""
    found = []
    for n, c, f, k, s, h, w, dtype in LAYERS:
        spare = whole(0, s - 1, g)
        X = normal(n, c, (h - 1) * s + k + spare, (w - 1) * s + k, generator=g, dtype=dtype)
        weight = normal(f, c, k, k, h, w, generator=g, dtype=dtype)
        found.append((X, weight, normal(f, h, w, generator=g, dtype=dtype), s))
    return found


def unshared_by(
    place: Callable[[Tensor, int, int], Tensor] = lambda weight, y, x: weight[..., y, x],
    window: Callable[[Tensor, int, int, int, int], Tensor] = lambda X, y, x, s, k: X[
        :, :, y * s : y * s + k, x * s : x * s + k
    ],
    biases: Callable[[Tensor], Tensor] = lambda bias: bias,
    equation: str = "ncij,fcij->nf",
    finish: Callable[[Tensor], Tensor] = lambda out: out,
) -> Callable[..., Tensor]:
    """The layer position by position, with one of its pieces exchanged."""

    def unshared_conv2d(X: Tensor, weight: Tensor, bias: Tensor, stride: int = 1) -> Tensor:
        *_, k, height, width = weight.shape
        out = torch.stack(
            [
                torch.einsum(equation, window(X, y, x, stride, k), place(weight, y, x))
                for y in range(height)
                for x in range(width)
            ],
            dim=-1,
        )
        return finish(out.unflatten(-1, (height, width)) + biases(bias))

    return unshared_conv2d


def unshared_by_unfold(X: Tensor, weight: Tensor, bias: Tensor, stride: int = 1) -> Tensor:
    filters, *_, k, height, width = weight.shape
    columns = functional.unfold(X, k, stride=stride)
    kernels = weight.reshape(filters, -1, height * width)
    out = torch.einsum("nil,fil->nfl", columns, kernels)
    return out.reshape(len(X), filters, height, width) + bias


def unshared_by_windows(X: Tensor, weight: Tensor, bias: Tensor, stride: int = 1) -> Tensor:
    k = weight.shape[2]
    windows = X.unfold(2, k, stride).unfold(3, k, stride)
    return (windows[:, None] * weight.permute(0, 1, 4, 5, 2, 3)).sum(dim=(2, 5, 6)) + bias


def unshared_number_by_number(X: Tensor, weight: Tensor, bias: Tensor, stride: int = 1) -> Tensor:
    filters, *_, k, height, width = weight.shape
    out = torch.zeros(len(X), filters, height, width, dtype=X.dtype)
    for y in range(height):
        top = y * stride
        for x in range(width):
            left = x * stride
            patch = X[:, :, top : top + k, left : left + k].flatten(1)
            for f in range(filters):
                out[:, f, y, x] = patch @ weight[f, :, :, :, y, x].flatten() + bias[f, y, x]
    return out


def unshared_by_convolutions(X: Tensor, weight: Tensor, bias: Tensor, stride: int = 1) -> Tensor:
    """An ordinary convolution for each position's filters, of which one output is kept."""
    out = torch.empty(len(X), *bias.shape, dtype=X.dtype)
    for y in range(weight.shape[4]):
        for x in range(weight.shape[5]):
            every = torch.conv2d(X, weight[..., y, x], bias[:, y, x], stride)
            out[:, :, y, x] = every[:, :, y, x]
    return out


def window_at_x_y(X: Tensor, y: int, x: int, s: int, k: int) -> Tensor:
    return X[:, :, x * s : x * s + k, y * s : y * s + k]


unshared_conv2d = Question(
    name="unshared_conv2d",
    title="A convolution without sharing",
    points=3,
    reference=unshared_by_unfold,
    cases=layer_cases,
    parts=("the output",),
    mistakes=(
        Mistake(
            "weights_shared",
            unshared_by(place=lambda weight, y, x: weight[..., 0, 0]),
            "every position uses the filters of the first one: take weight[..., y, x] for the "
            "output at row y and column x",
        ),
        Mistake(
            "everything_shared",
            unshared_by(
                lambda weight, y, x: weight[..., 0, 0], biases=lambda bias: bias[:, :1, :1]
            ),
            "this is the ordinary convolution with the first position's filters: take "
            "weight[..., y, x] and bias[:, y, x] for the output at row y and column x",
        ),
        Mistake(
            "weights_averaged",
            unshared_by(place=lambda weight, y, x: weight.mean(dim=(4, 5))),
            "the filters are averaged over the positions, which shares them again: take "
            "weight[..., y, x] for the output at row y and column x",
        ),
        Mistake(
            "bias_shared",
            unshared_by(biases=lambda bias: bias[:, :1, :1]),
            "every position uses the bias of the first one: nothing is shared here, so add "
            "bias[:, y, x]",
        ),
        Mistake(
            "bias_averaged",
            unshared_by(biases=lambda bias: bias.mean(dim=(1, 2), keepdim=True)),
            "the bias is averaged over the positions: nothing is shared here, so add bias[:, y, x]",
        ),
        Mistake(
            "bias_forgotten",
            unshared_by(biases=torch.zeros_like),
            "the bias is forgotten: add bias[:, y, x] to the output at row y and column x",
        ),
        Mistake(
            "positions_transposed",
            unshared_by(place=lambda weight, y, x: weight.transpose(4, 5)[..., y, x]),
            "rows and columns of the positions are exchanged: the last two axes of weight are "
            "the row y of the output and its column x, in this order",
        ),
        Mistake(
            "window_transposed",
            unshared_by(window=window_at_x_y),
            "the windows are taken at (x, y) instead of (y, x): rows come first, "
            "X[:, :, y*s : y*s+k, x*s : x*s+k]",
        ),
        Mistake(
            "stride_ignored",
            unshared_by(window=lambda X, y, x, s, k: X[:, :, y : y + k, x : x + k]),
            "the stride is ignored: the window of the output (y, x) starts at row y * stride and "
            "column x * stride",
        ),
        Mistake(
            "windows_side_by_side",
            unshared_by(
                window=lambda X, y, x, s, k: functional.pad(X, (0, 20, 0, 20))[
                    :, :, y * k : y * k + k, x * k : x * k + k
                ]
            ),
            "the windows stand side by side, k pixels apart: they are `stride` pixels apart, and "
            "may overlap",
        ),
        Mistake(
            "flipped",
            unshared_by(place=lambda weight, y, x: weight[..., y, x].flip(2, 3)),
            "the kernels are flipped: PyTorch's convolution is a cross-correlation, so multiply "
            "window and kernel as they are",
        ),
        Mistake(
            "kernel_transposed",
            unshared_by(equation="ncij,fcji->nf"),
            "each kernel is transposed: its row i meets the window's row i",
        ),
        Mistake(
            "first_channel",
            unshared_by(
                place=lambda weight, y, x: (
                    weight[..., y, x]
                    * (torch.arange(weight.shape[1]) == 0).to(weight.dtype).reshape(-1, 1, 1)
                )
            ),
            "only the first channel is seen: a filter sums over all channels of its window",
        ),
        Mistake(
            "channels_averaged",
            unshared_by(place=lambda weight, y, x: weight[..., y, x] / weight.shape[1]),
            "the channels are averaged: a filter *sums* over the channels of its window",
        ),
        Mistake(
            "window_averaged",
            unshared_by(
                place=lambda weight, y, x: weight[..., y, x] / weight[0, ..., 0, 0].numel()
            ),
            "you take the mean over the window: a filter sums",
        ),
        Mistake(
            "examples_summed",
            unshared_by(equation="ncij,fcij->f"),
            "the examples are summed: keep one map for each",
        ),
        Mistake(
            "channels_last",
            unshared_by(finish=lambda out: out.permute(0, 2, 3, 1)),
            "your output has the filters last: the order is (examples, filters, height, width)",
        ),
        Mistake(
            "cast",
            lambda X, weight, bias, s=1: unshared_by()(X.float(), weight.float(), bias.float(), s),
            ONE_DTYPE,
        ),
    ),
    variants=(
        Variant("position by position, einsum", unshared_by()),
        Variant("windows by Tensor.unfold", unshared_by_windows),
        Variant("number by number", unshared_number_by_number),
        Variant("a convolution for each position", unshared_by_convolutions),
    ),
    hints=(
        "Two loops, over the rows y and the columns x of the output. Its size stands in the shape "
        "of the weight.",
        "The window of (y, x) is X[:, :, y*s : y*s+k, x*s : x*s+k], of shape (N, C, k, k); the "
        "filters there are weight[..., y, x], of shape (F, C, k, k).",
        "Sum the products over C and the two axes of the kernel, for each example and filter: "
        'torch.einsum("ncij,fcij->nf", window, filters). Then add bias[:, y, x].',
    ),
)
