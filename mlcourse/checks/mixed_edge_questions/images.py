"""`average_pool` and `halved`: two operations pixel by pixel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.complexity_questions.shared import DTYPE
from mlcourse.checks.declare import Forbidden, Mistake, Question, Variant

# --- The average pool -----------------------------------------------------------------------------


def pool_cases(g: Generator) -> list[tuple[Tensor, int]]:
    """Images after a ReLU, so that many pixels are 0: even sides, odd ones, both strides."""
    shapes = (((2, 2, 5, 6), 1), ((1, 3, 7, 5), 2), ((1, 2, 6, 8), 2), ((1, 1, 4, 4), 1))
    return [(normal(*shape, generator=g, dtype=DTYPE).relu(), s) for shape, s in shapes]


Sums = Callable[[Tensor, int], Tensor]


def window_sums(x: Tensor, stride: int, mode: str = "constant") -> Tensor:
    """The sum of each 3x3 window."""
    padded = F.pad(x, (1, 1, 1, 1), mode=mode)
    return 9 * F.avg_pool2d(padded, 3, stride)


def average(x: Tensor, stride: int) -> Tensor:
    return F.avg_pool2d(x, 3, stride, padding=1, count_include_pad=False)


def average_over(count: Sums) -> Sums:
    return lambda x, stride: window_sums(x, stride) / count(x, stride)


def ones_inside(x: Tensor, stride: int) -> Tensor:
    return window_sums(torch.ones_like(x), stride)


def average_by_loops(x: Tensor, stride: int) -> Tensor:
    height, width = x.shape[2:]
    rows = []
    for i in range(0, height, stride):
        row = [
            x[:, :, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean(dim=(2, 3))
            for j in range(0, width, stride)
        ]
        rows.append(torch.stack(row, dim=2))
    return torch.stack(rows, dim=2)


def average_by_shifts(x: Tensor, stride: int) -> Tensor:
    height, width = x.shape[2:]
    total = torch.zeros_like(x)
    counts = torch.zeros_like(x)
    for image, into in ((x, total), (torch.ones_like(x), counts)):
        padded = F.pad(image, (1, 1, 1, 1))
        for i in range(3):
            for j in range(3):
                into += padded[:, :, i : i + height, j : j + width]
    return (total / counts)[:, :, ::stride, ::stride]


def right_and_below(x: Tensor, stride: int) -> Tensor:
    inside = F.pad(torch.ones_like(x), (0, 2, 0, 2))
    sums, counts = (9 * F.avg_pool2d(one, 3, stride) for one in (F.pad(x, (0, 2, 0, 2)), inside))
    return sums / counts


average_pool = Question(
    name="average_pool",
    title="The average pool",
    points=2,
    reference=average,
    cases=pool_cases,
    parts=("the pooled images",),
    mistakes=(
        Mistake(
            "padding_counted",
            average_over(lambda x, stride: 9 * torch.ones(())),
            "you divide by 9 everywhere, so the padding counts and the border gets darker: divide "
            "by the number of pixels that lie in the image",
        ),
        Mistake(
            "nonzero_counted",
            average_over(lambda x, stride: window_sums((x != 0).to(x.dtype), stride)),
            "you count the pixels that are not 0: a pixel *in* the image counts even if it is 0",
        ),
        Mistake(
            "sum",
            window_sums,
            "that is the sum of each window: divide it by the number of its pixels in the image",
        ),
        Mistake(
            "maximum",
            lambda x, stride: F.max_pool2d(x, 3, stride, padding=1),
            "that is the max pool: take the mean of each window",
        ),
        Mistake(
            "no_padding",
            lambda x, stride: F.avg_pool2d(x, 3, stride),
            "the images shrink at their border: a window is centred on each pixel, also on those "
            "at the border, where a part of it lies outside",
        ),
        Mistake(
            "stride_ignored",
            lambda x, stride: average(x, 1),
            "the stride is ignored: with stride 2 every second row and column is asked for",
        ),
        Mistake(
            "pixels_left_out_first",
            lambda x, stride: average(x[:, :, ::stride, ::stride], 1),
            "you leave out rows and columns before you take the means: the 3x3 windows are of the "
            "full image, and only then every second mean is kept",
        ),
        Mistake(
            "stride_from_1",
            lambda x, stride: average(x, 1)[:, :, stride - 1 :: stride, stride - 1 :: stride],
            "with stride 2 you begin at the second row and column: the first window is centred on "
            "pixel (0, 0)",
        ),
        Mistake(
            "replicated",
            lambda x, stride: window_sums(x, stride, "replicate") / 9,
            "you repeat the pixels of the border outside: leave what is outside out of the mean",
        ),
        Mistake(
            "reflected",
            lambda x, stride: window_sums(x, stride, "reflect") / 9,
            "you reflect the image at its border: leave what is outside out of the mean",
        ),
        Mistake(
            "not_centred",
            right_and_below,
            "your windows begin at their pixel and go to the right and down: centre them on it",
        ),
    ),
    variants=(
        Variant("loops over windows", average_by_loops),
        Variant("loops over shifts", average_by_shifts),
        Variant("sums by sums", average_over(ones_inside)),
    ),
    hints=(
        "The window of pixel (i, j) is rows i-1 to i+1 and columns j-1 to j+1, as far as they "
        "exist. Slices end by themselves at the far border; max(i - 1, 0) keeps the near one.",
        "x[:, :, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean(dim=(2, 3)) is one pixel of "
        "all images.",
        "Two loops, over range(0, height, stride) and range(0, width, stride), and torch.stack.",
    ),
    forbidden=(
        Forbidden(
            "pools",
            "write the pool yourself: slices and means will do",
            attributes=frozenset({"avg_pool2d", "AvgPool2d", "adaptive_avg_pool2d"}),
        ),
    ),
)


# --- The skip that halves -------------------------------------------------------------------------


def halved_cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor]]:
    """Images with even and odd sides, and two matrices (channels out of each, channels in)."""
    cases = []
    for shape, half in (((2, 3, 4, 6), 2), ((1, 4, 5, 7), 2), ((2, 2, 6, 5), 3)):
        x = normal(*shape, generator=g, dtype=DTYPE)
        filters = [normal(half, shape[1], generator=g, dtype=DTYPE) for _ in range(2)]
        cases.append((x, filters[0], filters[1]))
    return cases


Pixels = Callable[[Tensor], Tensor]
Join = Callable[[Tensor, Tensor], Any]


def even_pixels(x: Tensor) -> Tensor:
    return x[:, :, ::2, ::2]


def odd_pixels(x: Tensor) -> Tensor:
    return F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1::2, 1::2]


def channels_by(matrix: Tensor, x: Tensor) -> Tensor:
    return torch.einsum("oc,nchw->nohw", matrix, x)


def halved_by(
    odd: Pixels = odd_pixels,
    join: Join = lambda one, other: torch.cat([one, other], dim=1),
    before: Pixels = torch.relu,
    even: Pixels = even_pixels,
) -> Callable[[Tensor, Tensor, Tensor], Any]:
    """The halved images with one of the steps exchanged."""

    def halved(x: Tensor, A: Tensor, B: Tensor) -> Any:
        x = before(x)
        return join(channels_by(A, even(x)), channels_by(B, odd(x)))

    return halved


def halved_by_convolution(x: Tensor, A: Tensor, B: Tensor) -> Tensor:
    x = x.clamp(min=0)
    moved = F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:]
    parts = [F.conv2d(part, m[:, :, None, None], stride=2) for part, m in ((x, A), (moved, B))]
    return torch.cat(parts, dim=1)


def halved_by_matrices(x: Tensor, A: Tensor, B: Tensor) -> Tensor:
    """Each pixel's channels as a vector, last."""
    x = x.relu().permute(0, 2, 3, 1)
    n, height, width, channels = x.shape
    odd = torch.zeros(n, (height + 1) // 2, (width + 1) // 2, channels, dtype=x.dtype)
    there = x[:, 1::2, 1::2]
    odd[:, : there.shape[1], : there.shape[2]] = there
    return torch.cat([x[:, ::2, ::2] @ A.T, odd @ B.T], dim=3).permute(0, 3, 1, 2)


def halved_by_loops(x: Tensor, A: Tensor, B: Tensor) -> Tensor:
    n, _, height, width = x.shape
    out = torch.zeros(n, len(A) + len(B), (height + 1) // 2, (width + 1) // 2, dtype=x.dtype)
    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            out[:, : len(A), i, j] = x[:, :, 2 * i, 2 * j].relu() @ A.T
            if 2 * i + 1 < height and 2 * j + 1 < width:
                out[:, len(A) :, i, j] = x[:, :, 2 * i + 1, 2 * j + 1].relu() @ B.T
    return out


def replicated(x: Tensor) -> Tensor:
    return F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2), mode="replicate")[:, :, 1::2, 1::2]


def moved_right(x: Tensor) -> Tensor:
    return F.pad(x, (0, x.shape[3] % 2))[:, :, ::2, 1::2]


def one_channel_each(one: Tensor, other: Tensor) -> Tensor:
    return torch.stack([one, other], dim=2).flatten(1, 2)


halved = Question(
    name="halved",
    title="The skip that halves",
    points=2,
    reference=halved_by(),
    cases=halved_cases,
    parts=("the halved images",),
    mistakes=(
        Mistake(
            "same_pixels",
            halved_by(odd=even_pixels),
            "B sees the same pixels as A, so that three of four pixels are lost: it should see "
            "those one further down and to the right",
        ),
        Mistake(
            "moved_down",
            halved_by(odd=lambda x: moved_right(x.transpose(2, 3)).transpose(2, 3)),
            "B's pixels are moved down only: move them to the right as well",
        ),
        Mistake(
            "moved_right",
            halved_by(odd=moved_right),
            "B's pixels are moved to the right only: move them down as well",
        ),
        Mistake(
            "added",
            halved_by(join=lambda one, other: one + other),
            "you add the two halves: each brings half of the channels, so put them side by side",
        ),
        Mistake(
            "other_order",
            halved_by(join=lambda one, other: torch.cat([other, one], dim=1)),
            "the halves are exchanged: first the channels of A, then those of B",
        ),
        Mistake(
            "interleaved",
            halved_by(join=one_channel_each),
            "the channels of A and B take turns: first all of A's, then all of B's",
        ),
        Mistake(
            "no_relu",
            halved_by(before=lambda x: x),
            "the ReLU at the beginning is missing",
        ),
        Mistake(
            "relu_after",
            halved_by(
                join=lambda one, other: torch.cat([one, other], dim=1).relu(),
                before=lambda x: x,
            ),
            "the ReLU comes after the convolutions: it belongs before them",
        ),
        Mistake(
            "two_relus",
            halved_by(join=lambda one, other: torch.cat([one, other], dim=1).relu()),
            "a second ReLU, at the end, is too much: what leaves an operation may be negative",
        ),
        Mistake(
            "replicated",
            halved_by(odd=replicated),
            "where an odd side has no pixel further on, you repeat its last one: take 0",
        ),
        Mistake(
            "exchanged",
            lambda x, A, B: halved_by()(x, B, A),
            "A and B are exchanged: A sees the pixels (0, 0), (0, 2), ..., B those at (1, 1), ...",
        ),
        Mistake(
            "odd_ones_twice",
            halved_by(even=odd_pixels),
            "A sees B's pixels: it should see those at (0, 0), (0, 2), (2, 0), ...",
        ),
        Mistake(
            "not_halved",
            halved_by(
                odd=lambda x: F.pad(x, (0, 1, 0, 1))[:, :, 1:, 1:],
                even=lambda x: x,
            ),
            "the images are not halved: take every second row and column",
        ),
    ),
    variants=(
        Variant("convolutions", halved_by_convolution),
        Variant("matrix products", halved_by_matrices),
        Variant("loops", halved_by_loops),
    ),
    hints=(
        "x[:, :, ::2, ::2] and x[:, :, 1::2, 1::2] are the pixels of A and of B.",
        "When a side is odd, B has one row or column fewer: put zeros at the end before you slice, "
        "with F.pad(x, (0, right, 0, below)).",
        "A 1x1 convolution is torch.einsum('oc,nchw->nohw', A, pixels). Then torch.cat, dim=1.",
    ),
)
