"""`conv_parameters`, `conv_macs` and `dense_parameters`: what a layer holds and what it costs."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Generator, nn

from mlcourse.checks.conv_arithmetic_questions.shared import (
    Calls,
    Shape,
    call_each,
    different,
    whole,
)
from mlcourse.checks.declare import Mistake, Question, Variant

GROUPED = "in groups a filter sees its own group's channels alone, in_channels / groups of them"

# --- conv_parameters ------------------------------------------------------------------------------


def parameter_cases(g: Generator) -> list[tuple[Calls]]:
    k, per, groups = 3 + 2 * whole(0, 2, g), whole(2, 5, g), whole(2, 4, g)
    c_in, c_out = different(2, 5, 20, g)
    filters = groups * (per + whole(1, 3, g))
    calls: Calls = {
        "the number of parameters": (c_in, c_out, k),
        "the number of parameters without a bias": (c_in, c_out, k, False),
        "the number of parameters of 1x1 filters": (c_in, c_out, 1),
        "the number of parameters in groups": (groups * per, filters, k, True, groups),
        "the number of parameters of a depthwise layer": (c_in, 2 * c_in, k, True, c_in),
    }
    return [(calls,)]


def conv_parameters_reference(
    in_channels: int, out_channels: int, kernel_size: int, bias: bool = True, groups: int = 1
) -> int:
    weights = out_channels * (in_channels // groups) * kernel_size**2
    return weights + (out_channels if bias else 0)


Weights = Callable[[int, int, int, int], float]


def parameters_by(
    weights: Weights = lambda i, o, k, g: o * (i // g) * k * k,
    biases: Callable[[int, int, int], float] = lambda i, o, g: o,
    always: bool = False,
) -> Callable[..., float]:
    """The number of parameters, with its weights or biases counted in another way."""

    def conv_parameters(
        in_channels: int, out_channels: int, kernel_size: int, bias: bool = True, groups: int = 1
    ) -> float:
        found = weights(in_channels, out_channels, kernel_size, groups)
        return found + biases(in_channels, out_channels, groups) * (bias or always)

    return conv_parameters


def parameters_by_torch(
    in_channels: int, out_channels: int, kernel_size: int, bias: bool = True, groups: int = 1
) -> int:
    layer = nn.Conv2d(
        in_channels, out_channels, kernel_size, bias=bias, groups=groups, device="meta"
    )
    return sum(parameter.numel() for parameter in layer.parameters())


def parameters_filter_by_filter(
    in_channels: int, out_channels: int, kernel_size: int, bias: bool = True, groups: int = 1
) -> int:
    one_filter = kernel_size * kernel_size * in_channels // groups
    total = 0
    for _ in range(out_channels):
        total += one_filter
        if bias:
            total += 1
    return total


def parameters_group_by_group(
    in_channels: int, out_channels: int, kernel_size: int, bias: bool = True, groups: int = 1
) -> float:
    """Each group is a small convolution of its own, with in/g channels and out/g filters."""
    inside = in_channels / groups * kernel_size**2 + int(bias)
    return groups * (out_channels / groups * inside)


conv_parameters = Question(
    name="conv_parameters",
    title="The parameters of a convolution",
    points=2,
    reference=conv_parameters_reference,
    cases=parameter_cases,
    use=call_each,
    mistakes=(
        Mistake(
            "input_channels_forgotten",
            parameters_by(weights=lambda i, o, k, g: o * k * k),
            "the input channels are forgotten, as in 64*(5*5+1): a filter goes through the whole "
            "depth of its input, so it has in_channels * k * k weights (divided by groups)",
        ),
        Mistake(
            "input_channels_and_biases_forgotten",
            parameters_by(weights=lambda i, o, k, g: o * k * k, biases=lambda i, o, g: 1),
            "two things are forgotten: a filter goes through the whole depth of its input, so it "
            "has in_channels * k * k weights; and each filter has its own bias",
        ),
        Mistake(
            "bias_forgotten",
            parameters_by(biases=lambda i, o, g: 0),
            "the biases are forgotten: unless bias=False each filter has one besides its weights",
        ),
        Mistake(
            "bias_always",
            parameters_by(always=True),
            "you count biases where bias=False says that there are none",
        ),
        Mistake(
            "one_bias",
            parameters_by(biases=lambda i, o, g: 1),
            "you count one bias for the layer: each filter has its own",
        ),
        Mistake(
            "bias_for_each_input_channel",
            parameters_by(biases=lambda i, o, g: i),
            "you count a bias for each input channel: it is one for each filter, out_channels",
        ),
        Mistake(
            "bias_for_each_slice",
            parameters_by(biases=lambda i, o, g: o * (i // g)),
            "you count a bias for each k x k slice of a filter: the slices are summed first, and "
            "the filter has a single bias",
        ),
        Mistake(
            "bias_divided_by_groups",
            parameters_by(biases=lambda i, o, g: o / g),
            "groups share no biases: every filter has its own, out_channels in all",
        ),
        Mistake(
            "one_filter",
            parameters_by(weights=lambda i, o, k, g: (i // g) * k * k, biases=lambda i, o, g: 1),
            "that is one filter: there are out_channels of them",
        ),
        Mistake(
            "kernel_once",
            parameters_by(weights=lambda i, o, k, g: o * (i // g) * k),
            "the kernel is square: it has k * k weights in each channel, not k",
        ),
        Mistake(
            "kernel_twice_its_side",
            parameters_by(weights=lambda i, o, k, g: o * (i // g) * 2 * k),
            "the kernel is square: it has k * k weights in each channel, not 2 k",
        ),
        Mistake(
            "groups_ignored",
            parameters_by(weights=lambda i, o, k, g: o * i * k * k),
            f"groups are ignored: {GROUPED}",
        ),
        Mistake(
            "groups_divide_both",
            parameters_by(weights=lambda i, o, k, g: (o // g) * (i // g) * k * k),
            "you divide both channel numbers by groups, which counts a single group: there are "
            "`groups` of them, so in the end one division is left",
        ),
        Mistake(
            "groups_multiply",
            parameters_by(weights=lambda i, o, k, g: o * i * g * k * k),
            f"you multiply by groups: {GROUPED}, so there are fewer weights, not more",
        ),
    ),
    variants=(
        Variant("PyTorch's layer, counted", parameters_by_torch),
        Variant("filter by filter", parameters_filter_by_filter),
        Variant("group by group, in floats", parameters_group_by_group),
    ),
    hints=(
        "Count one filter first. It is a box: k high, k wide, and as deep as the channels that "
        "it sees.",
        "Each filter makes one output channel, and has one bias.",
        "With groups a filter sees in_channels // groups channels. The number of filters stays "
        "out_channels.",
    ),
)

# --- conv_macs ------------------------------------------------------------------------------------


def macs_cases(g: Generator) -> list[tuple[Calls]]:
    k, per, groups = 3 + 2 * whole(0, 1, g), whole(2, 4, g), whole(2, 4, g)
    c_in, c_out = different(2, 3, 16, g)
    h, w = different(2, 8, 20, g)
    small = (h - whole(3, 5, g), w - whole(3, 5, g))
    filters = groups * (per + whole(1, 3, g))
    calls: Calls = {
        "the number of multiply-accumulates": ((c_in, h, w), (c_out, *small), k),
        "the number of multiply-accumulates with 'same' padding": ((c_in, h, w), (c_out, h, w), k),
        "the number of multiply-accumulates of 1x1 filters": ((c_in, h, w), (c_out, h, w), 1),
        "the number of multiply-accumulates in groups": (
            (groups * per, h, w),
            (filters, *small),
            k,
            groups,
        ),
    }
    return [(calls,)]


def conv_macs_reference(
    input_shape: Shape, output_shape: Shape, kernel_size: int, groups: int = 1
) -> int:
    return math.prod(output_shape) * (input_shape[0] // groups) * kernel_size**2


def macs_by(
    outputs: Callable[[Shape, Shape], int] = lambda i, o: math.prod(o),
    each: Callable[[int, int, int], int] = lambda c, k, g: c // g * k * k,
    more: Callable[[Shape, int], int] = lambda o, found: found,
) -> Callable[..., int]:
    """Multiply-accumulates: so many outputs, so many for each, and what is added in the end."""

    def conv_macs(
        input_shape: Shape, output_shape: Shape, kernel_size: int, groups: int = 1
    ) -> int:
        found = outputs(input_shape, output_shape) * each(input_shape[0], kernel_size, groups)
        return more(output_shape, found)

    return conv_macs


def macs_in_loops(
    input_shape: Shape, output_shape: Shape, kernel_size: int, groups: int = 1
) -> int:
    total = 0
    for _ in range(output_shape[1]):
        for _ in range(output_shape[2]):
            total += output_shape[0] * (input_shape[0] // groups) * kernel_size * kernel_size
    return total


def macs_from_weights(
    input_shape: Shape, output_shape: Shape, kernel_size: int, groups: int = 1
) -> int:
    """Every weight is used once at each position of the output."""
    filters, h, w = output_shape
    weights = conv_parameters_reference(input_shape[0], filters, kernel_size, False, groups)
    return weights * h * w


def macs_in_floats(
    input_shape: Shape, output_shape: Shape, kernel_size: int, groups: int = 1
) -> float:
    numbers = torch.tensor(output_shape, dtype=torch.float64).prod()
    return float(numbers) * input_shape[0] / groups * kernel_size**2


conv_macs = Question(
    name="conv_macs",
    title="The work of a convolution",
    points=2,
    reference=conv_macs_reference,
    cases=macs_cases,
    use=call_each,
    mistakes=(
        Mistake(
            "input_positions",
            macs_by(outputs=lambda i, o: o[0] * i[1] * i[2]),
            "you count the positions of the input: a filter is applied once for each position of "
            "the *output*",
        ),
        Mistake(
            "positions_forgotten",
            macs_by(outputs=lambda i, o: o[0]),
            "that is the number of weights: each of them is used again at every position of the "
            "output map",
        ),
        Mistake(
            "input_channels_forgotten",
            macs_by(each=lambda c, k, g: k * k),
            "the input channels are forgotten: one output value sums over a box of k x k pixels "
            "*and* all channels that its filter sees",
        ),
        Mistake(
            "filters_forgotten",
            macs_by(outputs=lambda i, o: o[1] * o[2]),
            "the filters are forgotten: every output channel is computed at every position",
        ),
        Mistake(
            "input_numbers",
            macs_by(outputs=lambda i, o: i[1] * i[2]),
            "you count k * k products for each number of the input: count for each number of the "
            "output, the filters included",
        ),
        Mistake(
            "dense",
            macs_by(each=lambda c, k, g: c, outputs=lambda i, o: math.prod(i[1:]) * math.prod(o)),
            "you connect every input with every output, as a dense layer does: one number of the "
            "output sums over a window of k x k pixels",
        ),
        Mistake(
            "bias_counted",
            macs_by(more=lambda o, found: found + math.prod(o)),
            "you count the bias: it is added, not multiplied, so it is no multiply-accumulate",
        ),
        Mistake(
            "two_for_each",
            macs_by(more=lambda o, found: 2 * found),
            "you count the multiplication and the addition apart: together they are *one* "
            "multiply-accumulate (what you have is the number of FLOPs)",
        ),
        Mistake(
            "kernel_once",
            macs_by(each=lambda c, k, g: c // g * k),
            "the kernel is square: k * k products in each channel, not k",
        ),
        Mistake(
            "kernel_forgotten",
            macs_by(each=lambda c, k, g: c // g),
            "the kernel is forgotten: one output value takes k * k products in each channel",
        ),
        Mistake(
            "groups_ignored",
            macs_by(each=lambda c, k, g: c * k * k),
            f"groups are ignored: {GROUPED}",
        ),
        Mistake(
            "groups_divide_both",
            lambda i, o, k, g=1: o[0] // g * o[1] * o[2] * (i[0] // g) * k * k,
            "you divide the filters by groups as well, which counts a single group: there are "
            "`groups` of them",
        ),
    ),
    variants=(
        Variant("position by position", macs_in_loops),
        Variant("the weights, at each position", macs_from_weights),
        Variant("in floating point", macs_in_floats),
    ),
    hints=(
        "How many products does *one* number of the output take? It is a sum over the box that "
        "its filter covers.",
        "How many numbers does the output have? Multiply the two.",
    ),
)

# --- dense_parameters -----------------------------------------------------------------------------


def dense_cases(g: Generator) -> list[tuple[Calls]]:
    c, h, w = different(3, 3, 9, g)
    f, y, x = different(3, 2, 9, g)
    calls: Calls = {
        "the number of parameters between two maps": ((c, h, w), (f, y, x)),
        "the number of parameters from a map to a vector": ((c, h, w), (f,)),
        "the number of parameters between two vectors": ((c * h,), (f,)),
    }
    return [(calls,)]


def dense_parameters_reference(input_shape: Shape, output_shape: Shape) -> int:
    return (math.prod(input_shape) + 1) * math.prod(output_shape)


def three_sizes_by_index(input_shape: Shape, output_shape: Shape) -> int:
    inputs = input_shape[0] * input_shape[1] * input_shape[2]
    return (inputs + 1) * output_shape[0] * output_shape[1] * output_shape[2]


def three_sizes_unpacked(input_shape: Shape, output_shape: Shape) -> int:
    c, h, w = input_shape
    f, y, x = output_shape
    return (c * h * w + 1) * f * y * x


VECTOR = (
    "a shape may also be that of a vector, (F,), with a single size: multiply whatever sizes there "
    "are, with math.prod(shape)"
)


def dense_by_torch(input_shape: Shape, output_shape: Shape) -> int:
    layer = nn.Linear(math.prod(input_shape), math.prod(output_shape), device="meta")
    return sum(parameter.numel() for parameter in layer.parameters())


def dense_in_loops(input_shape: Shape, output_shape: Shape) -> int:
    inputs = outputs = 1
    for n in input_shape:
        inputs *= n
    for n in output_shape:
        outputs *= n
    return inputs * outputs + outputs


def dense_by_numel(input_shape: Shape, output_shape: Shape) -> int:
    return torch.empty(*output_shape, *input_shape, device="meta").numel() + math.prod(output_shape)


dense_parameters = Question(
    name="dense_parameters",
    title="A dense layer to the same output",
    points=1,
    reference=dense_parameters_reference,
    cases=dense_cases,
    use=call_each,
    mistakes=(
        Mistake(
            "bias_forgotten",
            lambda i, o: math.prod(i) * math.prod(o),
            "the biases are forgotten: one for each number of the output",
        ),
        Mistake(
            "one_bias",
            lambda i, o: math.prod(i) * math.prod(o) + 1,
            "you count one bias for the layer: each number of the output has its own",
        ),
        Mistake(
            "bias_for_each_channel",
            lambda i, o: math.prod(i) * math.prod(o) + o[0],
            "you count a bias for each output channel, as a convolution has: in a dense layer "
            "each number of the output has its own",
        ),
        Mistake(
            "bias_for_each_input",
            lambda i, o: math.prod(i) * math.prod(o) + math.prod(i),
            "you count a bias for each input: it is one for each number of the output",
        ),
        Mistake(
            "channels_alone",
            lambda i, o: i[0] * o[0] + o[0],
            "you connect channel to channel: a dense layer connects every number of the input, "
            "C * H * W of them, with every number of the output",
        ),
        Mistake(
            "input_channels_alone",
            lambda i, o: i[0] * math.prod(o) + math.prod(o),
            "you count the channels of the input: a dense layer sees each of its C * H * W numbers",
        ),
        Mistake(
            "output_channels_alone",
            lambda i, o: math.prod(i) * o[0] + o[0],
            "you count the channels of the output: each of its C' * H' * W' numbers has its own "
            "weights and bias",
        ),
        Mistake(
            "channels_forgotten",
            lambda i, o: (math.prod(i[1:]) + 1) * math.prod(o[1:]),
            "the channels are forgotten: a dense layer connects all C * H * W numbers of the "
            "input with all numbers of the output",
        ),
        Mistake("three_sizes_expected", three_sizes_by_index, VECTOR),
        Mistake("three_sizes_unpacked", three_sizes_unpacked, VECTOR),
        Mistake(
            "summed",
            lambda i, o: (sum(i) + 1) * sum(o),
            "you add the sizes: a map of shape (C, H, W) has C * H * W numbers",
        ),
        Mistake(
            "added",
            lambda i, o: math.prod(i) + math.prod(o),
            "you add inputs and outputs: each output has a weight for *each* input, so multiply",
        ),
    ),
    variants=(
        Variant("PyTorch's layer, counted", dense_by_torch),
        Variant("the products in loops", dense_in_loops),
        Variant("the size of an empty weight", dense_by_numel),
    ),
    hints=(
        "A dense layer does not know of rows and columns: the map is one long list of C * H * W "
        "numbers.",
        "Each number of the output has a weight for each number of the input, and a bias.",
    ),
)
