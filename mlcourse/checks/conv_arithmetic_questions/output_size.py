"""`output_size` and `same_padding`: how large the map is that a sliding window leaves."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator

from mlcourse import conv
from mlcourse.checks.conv_arithmetic_questions.shared import Calls, call_each, whole
from mlcourse.checks.declare import Mistake, Question, Variant

# --- output_size ----------------------------------------------------------------------------------


def size_cases(g: Generator) -> list[tuple[Calls]]:
    """One call for each thing to get wrong; the two strides leave 1 and 2 of 3 pixels over."""
    n, k, p = whole(20, 40, g), 1 + 2 * whole(1, 3, g), whole(1, 3, g)
    one_over, two_over = (k + 3 * whole(4, 9, g) + rest for rest in (1, 2))
    m, q, d = whole(4, 12, g), whole(2, 7, g), whole(2, 3, g)
    calls: Calls = {
        "the size of a plain convolution": (n, k),
        "the size with padding": (n, k, 1, p),
        "the size with a stride": (one_over, k, 3),
        "the size with another stride": (two_over, k, 3),
        "the size with dilation": (n, k, 1, 0, d),
        "the size with everything together": (7 + 3 * whole(3, 9, g), 3, 3, 1, 2),
        "the size where each window fits, in ceil_mode": (2 * m, 2, 2, 0, 1, True),
        "the size in ceil_mode": (2 * m + 1, 2, 2, 0, 1, True),
        "the size in ceil_mode with padding": (2 * m, 3, 2, 1, 1, True),
        "the size in ceil_mode with gaps between the windows": (4 * q + 3, 2, 4, 0, 1, True),
        "the size in ceil_mode with other gaps": (4 * q + 4, 2, 4, 0, 1, True),
    }
    return [(calls,)]


def divided(span: int, stride: int, up: bool) -> int:
    return -(-span // stride) if up else span // stride


def without_late_window(out: int, n: int, stride: int, padding: int) -> int:
    """PyTorch's rule: a last window that would start behind the input is left out."""
    return out - 1 if (out - 1) * stride >= n + padding else out


def size_by(
    effective: Callable[[int, int], int] = lambda k, d: d * (k - 1) + 1,
    padded: Callable[[int, int], int] = lambda n, p: n + 2 * p,
    divide: Callable[[int, int, bool], Any] = divided,
    finish: Callable[[Any, int, int, int], Any] = without_late_window,
    add: int = 1,
) -> Callable[..., Any]:
    """The size of the output, with one of its pieces exchanged."""

    def output_size(
        n: int,
        kernel_size: int,
        stride: int = 1,
        padding: int = 0,
        dilation: int = 1,
        ceil_mode: bool = False,
    ) -> Any:
        span = padded(n, padding) - effective(kernel_size, dilation)
        out = divide(span, stride, ceil_mode) + add
        return finish(out, n, stride, padding) if ceil_mode else out

    return output_size


def size_as_in_tensorflow(n: int, kernel_size: int, stride: int = 1, *rest: Any) -> int:
    return -(-n // stride)


def size_by_truncation(
    n: int,
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    width = kernel_size + (kernel_size - 1) * (dilation - 1)
    steps = (n + 2 * padding - width) / stride
    if not ceil_mode:
        return int(steps) + 1
    last = math.ceil(steps)
    return last + 1 if last * stride < n + padding else last


def size_by_counting(
    n: int,
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Slide the window and count."""
    count, start = 0, -padding
    while start + dilation * (kernel_size - 1) < n + padding:
        count, start = count + 1, start + stride
    reached = start - stride + dilation * (kernel_size - 1) + 1
    return count + 1 if ceil_mode and reached < n + padding and start < n else count


def size_by_torch(
    n: int,
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Ask PyTorch: max pooling for what it allows, a convolution where the padding is larger."""
    line = torch.zeros(1, 1, n)
    if 2 * padding > kernel_size:
        kernel = torch.zeros(1, 1, kernel_size)
        return torch.conv1d(line, kernel, None, stride, padding, dilation).shape[-1]
    pooled = torch.nn.functional.max_pool1d(
        line, kernel_size, stride, padding, dilation, ceil_mode=ceil_mode
    )
    return pooled.shape[-1]


FLOOR = (
    "a window either fits or it does not: divide by the stride and round *down*, then add the 1 "
    "(in Python, //)"
)

output_size = Question(
    name="output_size",
    title="The size of the output",
    points=3,
    reference=conv.output_size,
    cases=size_cases,
    use=call_each,
    mistakes=(
        Mistake(
            "floor_forgotten",
            size_by(divide=lambda span, s, up: divided(span, s, up) if up else span / s),
            "the floor is forgotten, so a stride gives fractions of a pixel: " + FLOOR,
        ),
        Mistake(
            "divided_without_rounding",
            size_by(divide=lambda span, s, up: span / s, finish=lambda out, *_: out),
            "nothing is rounded, so a stride gives fractions of a pixel: round down, or up in "
            "ceil_mode, then add the 1",
        ),
        Mistake(
            "rounded",
            size_by(divide=lambda span, s, up: divided(span, s, up) if up else round(span / s)),
            "you round to the nearest: " + FLOOR,
        ),
        Mistake(
            "always_up",
            size_by(divide=lambda span, s, up: -(-span // s)),
            "you round up without being asked: only ceil_mode=True counts a last window that "
            "hangs over the edge",
        ),
        Mistake(
            "no_plus_one",
            size_by(add=0),
            "one is missing: the quotient counts the *steps* of the window, and there is one "
            "position more than steps",
        ),
        Mistake(
            "padding_once",
            size_by(padded=lambda n, p: n + p),
            "the padding is added once: it stands on both sides, so the input has n + 2 * padding "
            "pixels",
        ),
        Mistake(
            "padding_ignored",
            size_by(padded=lambda n, p: n),
            "the padding is ignored: with it the input has n + 2 * padding pixels",
        ),
        Mistake(
            "stride_ignored",
            size_by(divide=lambda span, s, up: span),
            "the stride is ignored: the window moves by `stride` pixels, so divide by it",
        ),
        Mistake(
            "dilation_ignored",
            size_by(effective=lambda k, d: k),
            "the dilation is ignored: a kernel whose pixels are d apart covers d (k - 1) + 1 "
            "pixels, not k",
        ),
        Mistake(
            "dilation_times_kernel",
            size_by(effective=lambda k, d: d * k),
            "a dilated kernel does not cover d k pixels: k pixels have k - 1 distances of d "
            "between them, so it covers d (k - 1) + 1",
        ),
        Mistake(
            "dilation_as_holes",
            size_by(effective=lambda k, d: k + (k - 1) * d),
            "dilation is the distance between two pixels of the kernel, not the number of holes: "
            "1 means no holes, and d covers d (k - 1) + 1 pixels",
        ),
        Mistake(
            "kernel_not_taken_off",
            size_by(effective=lambda k, d: 1),
            "the kernel is not taken off: the window starts where it still fits, so the last "
            "start is n + 2 padding minus its width",
        ),
        Mistake(
            "ceil_mode_ignored",
            size_by(divide=lambda span, s, up: span // s, finish=lambda out, *_: out),
            "ceil_mode is ignored: when it is True, round the quotient up",
        ),
        Mistake(
            "late_window_kept",
            size_by(finish=lambda out, *_: out),
            "in ceil_mode you keep a last window that starts behind the input: leave it out when "
            "its start, (out - 1) * stride, is n + padding or more",
        ),
        Mistake(
            "late_window_without_padding",
            size_by(finish=lambda out, n, s, p: without_late_window(out, n, s, 0)),
            "in ceil_mode the first window starts in the left padding, so the last one may start "
            "up to n + padding, not n, steps further",
        ),
        Mistake(
            "late_window_at_the_edge",
            size_by(finish=lambda out, n, s, p: out - 1 if (out - 1) * s > n + p else out),
            "in ceil_mode a last window that starts right behind the input is left out too: "
            "compare with >=",
        ),
        Mistake(
            "divided_by_stride_alone",
            size_as_in_tensorflow,
            "n / stride rounded up is what TensorFlow's 'same' padding gives: here the kernel and "
            "the padding count",
        ),
    ),
    variants=(
        Variant("rounded by int and math.ceil", size_by_truncation),
        Variant("the windows counted", size_by_counting),
        Variant("PyTorch asked", size_by_torch),
    ),
    hints=(
        "How wide is the kernel when its pixels are `dilation` apart? How long is the input with "
        "its padding on both sides? The difference is how far the window can travel.",
        "It travels in steps of `stride`: the number of whole steps is that distance // stride, "
        "and there is one position more than steps.",
        "ceil_mode rounds the number of steps up. Then compare the start of the last window, "
        "(out - 1) * stride, with n + padding: from there on it would see padding on the right "
        "alone, so it is left out.",
    ),
)

# --- same_padding ---------------------------------------------------------------------------------


def padding_cases(g: Generator) -> list[tuple[Calls]]:
    k, odd = 3 + 2 * whole(0, 4, g), 3 + 2 * whole(0, 3, g)
    even, d = 2 * whole(1, 4, g), 1 + 2 * whole(1, 2, g)
    calls: Calls = {
        "the padding for an odd kernel": (k,),
        "the padding for a 1x1 kernel": (1,),
        "the padding for a dilated kernel": (odd, 2 + whole(0, 3, g)),
        "the padding for an even kernel": (even,),
        "the padding for an even kernel with even dilation": (even, 2 * whole(1, 3, g)),
        "the padding for an even kernel with odd dilation": (even, d),
    }
    return [(calls,)]


def same_padding_reference(kernel_size: int, dilation: int = 1) -> int | None:
    both_sides = dilation * (kernel_size - 1)
    return None if both_sides % 2 else both_sides // 2


def padding_by(
    half: Callable[[int, int], Any], when_odd: Callable[[int, int], Any] = lambda k, d: None
) -> Callable[..., Any]:
    """The padding by `half`, where there is one; `when_odd` answers where there is none."""

    def same_padding(kernel_size: int, dilation: int = 1) -> Any:
        none = dilation * (kernel_size - 1) % 2
        return (when_odd if none else half)(kernel_size, dilation)

    return same_padding


def padding_by_search(kernel_size: int, dilation: int = 1) -> int | None:
    """Try one padding after the other."""
    n = 100
    sizes = {p: conv.output_size(n, kernel_size, 1, p, dilation) for p in range(n)}
    return next((p for p, size in sizes.items() if size == n), None)


def padding_by_width(kernel_size: int, dilation: int = 1) -> int | None:
    width = kernel_size + (kernel_size - 1) * (dilation - 1)
    return (width - 1) // 2 if width % 2 == 1 else None


def padding_as_float(kernel_size: int, dilation: int = 1) -> float | None:
    p = dilation * (kernel_size - 1) / 2
    return p if p.is_integer() else None


PLUS = (
    "(k + 1) / 2 is one too many, and the map grows by 2: from n + 2p - k + 1 = n follows "
    "p = (k - 1) / 2"
)

same_padding = Question(
    name="same_padding",
    title="The padding that keeps the size",
    points=1,
    reference=same_padding_reference,
    cases=padding_cases,
    use=call_each,
    mistakes=(
        Mistake("plus", lambda k, d=1: (k + 1) / 2, PLUS),
        Mistake("plus_whole", lambda k, d=1: (k + 1) // 2, PLUS),
        Mistake("plus_dilated", padding_by(lambda k, d: d * (k + 1) / 2), PLUS),
        Mistake("plus_of_width", padding_by(lambda k, d: (d * (k - 1) + 2) / 2), PLUS),
        Mistake(
            "half",
            lambda k, d=1: k / 2,
            "half a pixel too many: from n + 2p - k + 1 = n follows p = (k - 1) / 2",
        ),
        Mistake(
            "both_sides",
            lambda k, d=1: d * (k - 1),
            "d (k - 1) is what both sides need together: each gets half of it",
        ),
        Mistake(
            "dilation_ignored",
            padding_by(lambda k, d: (k - 1) / 2 if k % 2 else None),
            "the dilation is ignored: the kernel covers d (k - 1) + 1 pixels, so both sides "
            "together need d (k - 1)",
        ),
        Mistake(
            "dilation_and_parity_ignored",
            lambda k, d=1: (k - 1) // 2,
            "this is right for odd kernels without dilation: with it both sides need d (k - 1) "
            "pixels together, and when that number is odd there is no such padding",
        ),
        Mistake(
            "kernel_halved",
            lambda k, d=1: k // 2,
            "k // 2 is right for odd kernels without dilation: with it both sides need d (k - 1) "
            "pixels together, and when that number is odd there is no such padding",
        ),
        Mistake(
            "kernel_halved_and_dilated",
            lambda k, d=1: d * (k // 2),
            "this is right for odd kernels: for the others ask whether d (k - 1) can be divided by "
            "two, and return None where it cannot",
        ),
        Mistake(
            "less_one_halved_and_dilated",
            lambda k, d=1: d * ((k - 1) // 2),
            "this is right for odd kernels: for the others ask whether d (k - 1) can be divided by "
            "two, and return None where it cannot",
        ),
        Mistake(
            "dilation_times_kernel",
            padding_by(lambda k, d: (d * k - 1) / 2),
            "a dilated kernel covers d (k - 1) + 1 pixels, not d k: both sides together need "
            "d (k - 1)",
        ),
        Mistake(
            "rounded_down",
            lambda k, d=1: d * (k - 1) // 2,
            "when d (k - 1) is odd the two sides cannot have the same padding: return None, "
            "rounding down loses a pixel of the map",
        ),
        Mistake(
            "rounded_up",
            lambda k, d=1: -(-d * (k - 1) // 2),
            "when d (k - 1) is odd the two sides cannot have the same padding: return None, "
            "rounding up adds a pixel to the map",
        ),
        Mistake(
            "half_a_pixel",
            lambda k, d=1: d * (k - 1) / 2,
            "a padding is a whole number of pixels: where d (k - 1) is odd there is none, so "
            "return None",
        ),
        Mistake(
            "none_for_even_kernels",
            padding_by(lambda k, d: d * (k - 1) // 2 if k % 2 else None),
            "an even kernel can have such a padding, when its dilation is even: ask whether "
            "d (k - 1) is even, not k - 1",
        ),
    ),
    variants=(
        Variant("the paddings tried", padding_by_search),
        Variant("from the width of the kernel", padding_by_width),
        Variant("as a float", padding_as_float),
    ),
    hints=(
        "Put stride 1 into the formula of the size and ask that it gives n again: "
        "n + 2p - d (k - 1) = n.",
        "Solve for p. It must be a whole number: when is it not?",
    ),
)
