"""`operation_costs`: parameters and multiply-accumulates of the eight operations."""

from __future__ import annotations

from collections.abc import Callable

from torch import Generator, nn

from mlcourse.checks.conv_arithmetic_questions.shared import Calls, call_each, whole
from mlcourse.checks.declare import Mistake, Question, Variant

POOLS = ("max_pool_3x3", "avg_pool_3x3")
CONVOLUTIONS = ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")

Costs = tuple[float, float]


def costs_cases(g: Generator) -> list[tuple[Calls]]:
    """All operations at both strides, on even and on odd sides."""
    calls: Calls = {}
    for name in ("none", *POOLS, "skip_connect", *CONVOLUTIONS):
        for stride in (1, 2):
            side = 2 * whole(4, 12, g) + (stride == 2 and name != "sep_conv_3x3")
            phrase = f"(parameters, MACs) of {name} at stride {stride}"
            calls[phrase] = (name, 2 * whole(3, 12, g), side, stride)
    return [(calls,)]


def ceiling(side: int, stride: int) -> int:
    return (side + stride - 1) // stride


def both_halved(side: int, stride: int) -> tuple[int, int]:
    return (ceiling(side, stride),) * 2


def costs_by(
    weights: Callable[[int, int], int] = lambda c, k: k * k * c + c * c,
    more: Callable[[int, int], int] = lambda c, convolutions: 0,
    times: int = 2,
    kernel: Callable[[int, int], int] = lambda k, dilation: k,
    skip: Callable[[int], int] = lambda c: c * c,
    sides: Callable[[int, int], tuple[int, int]] = both_halved,
    positions: Callable[[int], int] = lambda side: side**2,
    pool_macs: Callable[[int, int], int] = lambda c, side: 0,
) -> Callable[[str, int, int, int], Costs]:
    """The counts, with one rule exchanged.

    `weights` are a block's, `more` what its convolutions (or the halves of a skip, as one) have
    besides, `times` the blocks of a separable convolution, `sides` those of the maps that its two
    blocks put out.
    """

    def operation_costs(name: str, channels: int, side: int, stride: int) -> Costs:
        at = sides(side, stride)
        if name in POOLS:
            return 0, pool_macs(channels, ceiling(side, stride))
        if name == "none" or (name == "skip_connect" and stride == 1):
            return 0, 0
        if name == "skip_connect":
            block, blocks = skip(channels), 1
            others = more(channels, 1) if block else 0
        else:
            dilation = 2 if name.startswith("dil") else 1
            block = weights(channels, kernel(int(name[-1]), dilation))
            blocks = times if name.startswith("sep") else 1
            others = more(channels, 2)
        macs = sum(block * positions(one) for one in at[:blocks])
        return blocks * (block + others), macs

    return operation_costs


def skip_never_free(name: str, channels: int, side: int, stride: int) -> Costs:
    if name == "skip_connect":
        return channels**2, channels**2 * ceiling(side, stride) ** 2
    return costs_by()(name, channels, side, stride)


def costs_by_table(name: str, channels: int, side: int, stride: int) -> Costs:
    c = channels
    parameters = {
        "sep_conv_3x3": 2 * (9 * c + c * c),
        "sep_conv_5x5": 2 * (25 * c + c * c),
        "dil_conv_3x3": 9 * c + c * c,
        "dil_conv_5x5": 25 * c + c * c,
        "skip_connect": c * c * (stride - 1),
    }.get(name, 0)
    out = side if stride == 1 else (side + 1) // 2
    return parameters, parameters * out**2


def costs_in_floats(name: str, channels: int, side: int, stride: int) -> Costs:
    parameters = 0.0
    if name == "skip_connect" and stride == 2:
        parameters = 2 * channels * channels / 2
    for k in (3, 5):
        if name.endswith(f"conv_{k}x{k}"):
            parameters = channels * (k**2 + channels) * (2.0 if name[0] == "s" else 1.0)
    return parameters, parameters * len(range(0, side, stride)) ** 2


def layers_of(name: str, c: int, stride: int) -> list[nn.Conv2d]:
    """The convolutions of an operation, without data."""
    if name == "skip_connect" and stride == 2:
        return [nn.Conv2d(c, c // 2, 1, stride=2, bias=False, device="meta") for _ in range(2)]
    if name not in CONVOLUTIONS:
        return []
    k, blocks = int(name[-1]), 2 if name.startswith("sep") else 1
    found = []
    for _ in range(blocks):
        found.append(nn.Conv2d(c, c, k, groups=c, bias=False, device="meta"))
        found.append(nn.Conv2d(c, c, 1, bias=False, device="meta"))
    return found


def costs_by_torch(name: str, channels: int, side: int, stride: int) -> Costs:
    layers = layers_of(name, channels, stride)
    parameters = sum(layer.weight.numel() for layer in layers)
    return parameters, parameters * (-(-side // stride)) ** 2


operation_costs = Question(
    name="operation_costs",
    title="What an operation costs",
    points=2,
    reference=costs_by(),
    cases=costs_cases,
    use=call_each,
    mistakes=(
        Mistake(
            "once",
            costs_by(times=1),
            "a separable convolution is applied *twice*: two depthwise filters and two 1x1 "
            "convolutions",
        ),
        Mistake(
            "dense",
            costs_by(lambda c, k: k * k * c * c + c * c),
            "you count k * k filters through all channels: a *depthwise* filter sees its own "
            "channel alone, so there are k * k * C such weights",
        ),
        Mistake(
            "one_dense",
            costs_by(lambda c, k: k * k * c * c),
            "those are plain convolutions, k * k * C * C: here a filter for each channel, k * k * "
            "C, is followed by a 1x1 convolution, C * C",
        ),
        Mistake(
            "no_pointwise",
            costs_by(lambda c, k: k * k * c),
            "the 1x1 convolutions are missing, C * C weights each: they alone mix channels",
        ),
        Mistake(
            "no_depthwise",
            costs_by(lambda c, k: c * c),
            "the depthwise filters are missing: k * k weights for each channel",
        ),
        Mistake(
            "norms",
            costs_by(more=lambda c, convolutions: 2 * c),
            "you count scales and shifts of batch norms, or as many biases: in a mixed edge the "
            "norms have neither, and no convolution has a bias",
        ),
        Mistake(
            "biases",
            costs_by(more=lambda c, convolutions: convolutions * c),
            "you count a bias for each filter: these convolutions have none, as a batch norm "
            "follows",
        ),
        Mistake(
            "pointwise_biases",
            costs_by(more=lambda c, convolutions: c),
            "you count biases of the 1x1 convolutions: no convolution here has any, as a batch "
            "norm follows",
        ),
        Mistake(
            "skip_is_free",
            costs_by(skip=lambda c: 0),
            "at stride 2 the skip cannot hand on its input, whose maps are too large: it is two "
            "1x1 convolutions of C/2 filters each",
        ),
        Mistake(
            "skip_never_free",
            skip_never_free,
            "you count two convolutions for the skip at stride 1 as well: there it hands on its "
            "input, which costs nothing",
        ),
        Mistake(
            "half_a_skip",
            costs_by(skip=lambda c: c * c // 2),
            "the skip of stride 2 has *two* convolutions of C/2 filters: each has C * C / 2 "
            "weights",
        ),
        Mistake(
            "whole_skips",
            costs_by(skip=lambda c: 2 * c * c),
            "the two convolutions of the skip of stride 2 share the C channels: each puts out C/2 "
            "of them",
        ),
        Mistake(
            "dilated_weights",
            costs_by(kernel=lambda k, dilation: dilation * (k - 1) + 1),
            "a dilated filter covers more pixels, but has no more weights: 3x3 of them, or 5x5",
        ),
        Mistake(
            "input_maps",
            costs_by(sides=lambda side, stride: (side, side)),
            "you count MACs at all pixels of the input: each output pixel is computed once, and at "
            "stride 2 there are fewer of them",
        ),
        Mistake(
            "second_not_halved",
            costs_by(sides=lambda side, stride: (ceiling(side, stride), side)),
            "the second half of a separable convolution works on maps that the first has made "
            "smaller",
        ),
        Mistake(
            "first_not_halved",
            costs_by(sides=lambda side, stride: (side, ceiling(side, stride))),
            "the first convolution has the stride: it already computes the smaller map",
        ),
        Mistake(
            "halved_twice",
            costs_by(
                sides=lambda side, stride: (
                    ceiling(side, stride),
                    ceiling(ceiling(side, stride), stride),
                )
            ),
            "the second half of a separable convolution has stride 1: only the first one halves",
        ),
        Mistake(
            "rounded_down",
            costs_by(sides=lambda side, stride: (side // stride,) * 2),
            "an odd side is halved and rounded *up*: 7 pixels become 4",
        ),
        Mistake(
            "one_position",
            costs_by(positions=lambda side: 1),
            "your MACs are those of a single pixel: each weight is used once at each pixel of the "
            "output",
        ),
        Mistake(
            "a_row",
            costs_by(positions=lambda side: side),
            "maps have two sides: side * side pixels",
        ),
        Mistake(
            "pools_counted",
            costs_by(pool_macs=lambda c, side: 9 * c * side**2),
            "you count MACs of pools: they multiply nothing by a weight (their own price, small "
            "but not zero, is not asked for)",
        ),
    ),
    variants=(
        Variant("a table", costs_by_table),
        Variant("in floats", costs_in_floats),
        Variant("PyTorch's layers, counted", costs_by_torch),
    ),
    hints=(
        "Count the weights of one block first: depthwise k * k * C, and 1x1, C * C.",
        "A separable convolution is two blocks, a dilated one a single block. The skip of stride 2 "
        "is two 1x1 convolutions from C channels to C/2.",
        "All convolutions compute maps of ceil(side / stride) pixels a side, so the MACs are the "
        "parameters times that squared.",
    ),
)
