"""How many places a sliding window has along one axis, from numbers alone.

Every formula is written out here and agrees exactly with torch; source: V. Dumoulin and F. Visin,
A guide to convolution arithmetic for deep learning, 2016.
"""

from __future__ import annotations

import operator
from typing import NamedTuple


class Window(NamedTuple):
    """How a layer's window moves along one axis."""

    kernel: int
    stride: int = 1
    before: int = 0  # padding on the left, and on the right
    after: int = 0
    dilation: int = 1
    ceil_mode: bool = False

    @property
    def span(self) -> int:
        """Positions from the window's first tap to its last, d(k - 1) + 1."""
        return self.dilation * (self.kernel - 1) + 1

    def positions(self, n: int) -> int:
        """Return at how many places the window fits on `n` positions; 0 or less for none."""
        room = n + self.before + self.after - self.span
        if not self.ceil_mode:
            return room // self.stride + 1
        count = -(-room // self.stride) + 1
        # torch's rule: the last window must begin in the input or in the padding on its left.
        return count - 1 if (count - 1) * self.stride >= n + self.before else count


def output_size(
    n: int,
    kernel_size: int,
    stride: int = 1,
    padding: int | str = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
) -> int:
    """Return how many outputs a convolution or pooling makes along an axis of `n` positions.

    floor((n + 2 padding - dilation (kernel_size - 1) - 1) / stride) + 1. With `ceil_mode`, which
    only poolings have, the division rounds up, but no window may begin past the input and the
    padding on its left. Padding is on both sides; "same" (stride 1) and "valid" (none) work as in
    torch. Raises ValueError when a number makes no sense or no window fits.
    """
    for name, value, least in (("n", n, 1), ("kernel_size", kernel_size, 1), ("stride", stride, 1),
                               ("dilation", dilation, 1)):  # fmt: skip
        check_number(name, value, least)
    before, after = padding_of(padding, kernel_size, stride, dilation)
    window = Window(kernel_size, stride, before, after, dilation, ceil_mode)
    count = window.positions(n)
    if count < 1:
        raise ValueError(
            f"a window that spans {window.span} positions does not fit on {n} with padding "
            f"{padding}: use a smaller kernel or dilation, more padding or a larger input"
        )
    return count


def transposed_output_size(
    n: int,
    kernel_size: int,
    stride: int = 1,
    padding: int = 0,
    output_padding: int = 0,
    dilation: int = 1,
) -> int:
    """Return the outputs of a transposed convolution along an axis of `n` positions.

    (n - 1) stride - 2 padding + dilation (kernel_size - 1) + output_padding + 1. Raises ValueError
    when nothing would be left.
    """
    for name, value, least in (("n", n, 1), ("kernel_size", kernel_size, 1), ("stride", stride, 1),
                               ("dilation", dilation, 1), ("padding", padding, 0),
                               ("output_padding", output_padding, 0)):  # fmt: skip
        check_number(name, value, least)
    if output_padding >= max(stride, dilation):
        raise ValueError(
            f"output_padding is {output_padding}: keep it below the stride {stride} "
            f"or the dilation {dilation}"
        )
    count = (n - 1) * stride - 2 * padding + dilation * (kernel_size - 1) + output_padding + 1
    if count < 1:
        raise ValueError(
            f"padding {padding} takes all of a transposed convolution's output away (kernel "
            f"{kernel_size}, stride {stride}, {n} positions): use less padding"
        )
    return count


def check_number(name: str, value: int, least: int) -> None:
    try:
        right = operator.index(value) >= least
    except TypeError:
        right = False
    if not right:
        raise ValueError(f"{name} is {value!r}: give a whole number, {least} or more")


def padding_of(padding: int | str, kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Return the padding before and after; "same" puts an odd one at the end, as torch does."""
    if padding == "valid":
        return 0, 0
    if padding == "same":
        if stride != 1:
            raise ValueError(f"padding is 'same' and stride {stride}: 'same' needs stride 1")
        total = dilation * (kernel - 1)
        return total // 2, total - total // 2
    if isinstance(padding, str):
        raise ValueError(f"padding is {padding!r}: give a number, 'same' or 'valid'")
    check_number("padding", padding, 0)
    return padding, padding
