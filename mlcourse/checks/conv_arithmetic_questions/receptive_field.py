"""`receptive_field`: how many input pixels one output of a stack of layers can see."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Generator

from mlcourse import conv
from mlcourse.checks.conv_arithmetic_questions.shared import Calls, call_each, whole
from mlcourse.checks.declare import Mistake, Question, Variant

Layer = tuple[int, int, int]


def cases(g: Generator) -> list[tuple[Calls]]:
    k, other = (3 + 2 * whole(0, 2, g) for _ in range(2))
    pools = [(5, 1, 1), (2, 2, 1), (3 + 2 * whole(0, 1, g), 1, 1), (3, 2, 1), (3, 1, 1)]
    random = [(whole(2, 5, g), whole(1, 3, g), whole(1, 3, g)) for _ in range(5)]
    calls: Calls = {
        "the receptive field of one layer": ([(k, 1, 1)],),
        "the receptive field of two layers": ([(k, 1, 1), (other, 1, 1)],),
        "the receptive field of one dilated layer": ([(k, 1, 2 + whole(0, 1, g))],),
        "the receptive field of one layer with a stride": ([(k, 2 + whole(0, 1, g), 1)],),
        "the receptive field of layers with strides": (
            [(3, 2, 1), (k, 3, 1), (other, 2, 1), (5, 1, 1)],
        ),
        "the receptive field of layers with dilation": ([(3, 1, 1), (k, 1, 2), (3, 1, 4)],),
        "the receptive field of convolutions and pools": (pools,),
        "the receptive field of a mixed stack": ([(3, 2, 2), *random],),
    }
    return [(calls,)]


Grow = Callable[[int, int, int, int], int]
Leap = Callable[[int, int], int]


def field_by(
    grow: Grow = lambda k, s, d, jump: (k - 1) * d * jump,
    leap: Leap = lambda jump, s: jump * s,
    start: int = 1,
    order: Callable[[list[Layer]], Iterable[Layer]] = list,
) -> Callable[[list[Layer]], int]:
    """The receptive field, with one of its pieces exchanged."""

    def receptive_field(layers: list[Layer]) -> int:
        seen, jump = start, 1
        for k, s, d in order(layers):
            seen += grow(k, s, d, jump)
            jump = leap(jump, s)
        return seen

    return receptive_field


def total_stride(layers: list[Layer]) -> int:
    jump = 1
    for _, stride, _ in layers:
        jump *= stride
    return jump


def product_of_kernels(layers: list[Layer]) -> int:
    found = 1
    for k, _, d in layers:
        found *= d * (k - 1) + 1
    return found


def largest_kernel(layers: list[Layer]) -> int:
    return max(d * (k - 1) + 1 for k, _, d in layers)


def from_the_output(layers: list[Layer]) -> int:
    """Go back from one output pixel: r pixels of a map come from (r - 1) s + its width before."""
    seen = 1
    for k, s, d in reversed(layers):
        seen = (seen - 1) * s + d * (k - 1) + 1
    return seen


def by_recursion(layers: list[Layer]) -> int:
    if not layers:
        return 1
    *before, (k, _, d) = layers
    return by_recursion(before) + (k - 1) * d * total_stride(before)


def by_marking(layers: list[Layer]) -> int:
    """Follow, layer by layer, which pixels the output pixel 0 uses."""
    used = {0}
    for k, s, d in reversed(layers):
        used = {pixel * s + i * d for pixel in used for i in range(k)}
    return max(used) - min(used) + 1


def in_floats(layers: list[Layer]) -> float:
    """Sum in floating point over all layers at once."""
    jumps = [1.0]
    for _, s, _ in layers:
        jumps.append(jumps[-1] * s)
    return 1 + sum((k - 1) * d * j for (k, _, d), j in zip(layers, jumps, strict=False))


NO_MULTIPLE = (
    "kernel * depth is no receptive field: two 5x5 layers see 9 pixels, not 10, because "
    "neighbouring windows overlap. Each layer adds (k - 1) d times the strides before it"
)

receptive_field = Question(
    name="receptive_field",
    title="The receptive field",
    points=3,
    reference=conv.receptive_field,
    cases=cases,
    use=call_each,
    mistakes=(
        Mistake("kernel_times_depth", lambda layers: sum(k for k, _, _ in layers), NO_MULTIPLE),
        Mistake("first_kernel_times_depth", lambda layers: layers[0][0] * len(layers), NO_MULTIPLE),
        Mistake("last_kernel_times_depth", lambda layers: layers[-1][0] * len(layers), NO_MULTIPLE),
        *(
            Mistake(
                f"{name}_plus_bias",
                lambda layers, depth=depth: depth(layers) + 1,
                "a bias sees no pixel, and kernel * depth is no receptive field either: start "
                "with 1 pixel, and let each layer add (k - 1) d times the strides before it",
            )
            for name, depth in (
                ("kernels", lambda layers: sum(k for k, _, _ in layers)),
                ("kernel_times_depth", lambda layers: layers[0][0] * len(layers)),
            )
        ),
        Mistake(
            "widths_added",
            lambda layers: sum(d * (k - 1) + 1 for k, _, d in layers),
            "you add the kernels' widths: neighbouring windows overlap, so each layer adds "
            "(k - 1) d, one less than its width, times the strides before it",
        ),
        Mistake(
            "one_too_many_a_layer",
            field_by(grow=lambda k, s, d, jump: k * d * jump),
            "each layer adds k d jump: it should be (k - 1) d jump, because one of the k pixels "
            "was seen already",
        ),
        Mistake(
            "dilation_times_kernel",
            field_by(grow=lambda k, s, d, jump: (k * d - 1) * jump),
            "a dilated kernel covers d (k - 1) + 1 pixels, not d k: a layer adds (k - 1) d times "
            "the strides before it",
        ),
        Mistake(
            "strides_forgotten",
            field_by(leap=lambda jump, s: 1),
            "the strides are forgotten: behind a stride of 2 neighbouring pixels of the map are 2 "
            "input pixels apart, so later layers add twice as much",
        ),
        Mistake(
            "own_stride",
            field_by(grow=lambda k, s, d, jump: (k - 1) * d * jump * s),
            "a layer's own stride is counted in its growth: it moves the windows apart, they stay "
            "as wide, so multiply by the strides of the layers *before* it alone",
        ),
        Mistake(
            "stride_before_alone",
            field_by(leap=lambda jump, s: s),
            "you multiply by the stride of the layer just before: it is the product of *all* "
            "strides before",
        ),
        Mistake(
            "own_stride_alone",
            field_by(grow=lambda k, s, d, jump: (k - 1) * d * s),
            "you multiply by the layer's own stride: it is the product of the strides of all "
            "layers before it",
        ),
        Mistake(
            "strides_added",
            field_by(leap=lambda jump, s: jump + s - 1),
            "you add the strides: the distances multiply, two strides of 3 put pixels 9 apart",
        ),
        Mistake(
            "strides_summed",
            field_by(leap=lambda jump, s: jump + s),
            "you add the strides: the distances multiply, two strides of 3 put pixels 9 apart",
        ),
        Mistake(
            "every_stride",
            lambda layers: 1 + sum((k - 1) * d for k, _, d in layers) * total_stride(layers),
            "each layer is multiplied by all strides: only those of the layers before it count",
        ),
        Mistake(
            "reversed",
            field_by(order=lambda layers: layers[::-1]),
            "you go through the layers from the last to the first, so the wrong strides count: "
            "begin at the input",
        ),
        Mistake(
            "started_at_zero",
            field_by(start=0),
            "one is missing: without any layer an output sees one pixel, so start with 1",
        ),
        Mistake(
            "dilation_ignored",
            field_by(grow=lambda k, s, d, jump: (k - 1) * jump),
            "the dilation is ignored: the k pixels of a kernel are d apart, so a layer adds "
            "(k - 1) d times the strides before it",
        ),
        Mistake(
            "total_stride",
            total_stride,
            "that is how far apart neighbouring outputs look, the product of the strides: the "
            "receptive field is how *wide* each looks",
        ),
        Mistake(
            "kernels_multiplied",
            product_of_kernels,
            "the kernels do not multiply: without strides, a layer adds (k - 1) d pixels",
        ),
        Mistake(
            "largest_kernel",
            largest_kernel,
            "you take the widest kernel: the layers stand one behind the other, so each adds to "
            "what the ones before it see",
        ),
    ),
    variants=(
        Variant("from the input on", field_by()),
        Variant("from the output back", from_the_output),
        Variant("by recursion", by_recursion),
        Variant("the pixels marked", by_marking),
        Variant("a sum in floats", in_floats),
    ),
    hints=(
        "Begin with seen = 1 and jump = 1: without a layer, an output sees one pixel, and "
        "neighbours are one pixel apart.",
        "A window of k pixels has k - 1 distances. How long is each, in pixels of the *input*?",
        "For each layer: first seen += (k - 1) * d * jump, then jump *= s. The order of the two "
        "matters.",
    ),
)
