"""The candidate operations of DARTS: what an edge of a cell may do to images (N, C, H, W).

Convolutions come after a ReLU and before a batch norm. With stride 2 an operation halves height
and width, odd ones rounded up; the channels stay. Source: Liu, Simonyan and Yang, DARTS:
Differentiable architecture search, 2019, section 3.1.1.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

#: The eight candidates by name, in the paper's order.
OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)

#: Those without weights at stride 1. At stride 2 the skip is a convolution.
WITHOUT_WEIGHTS = ("none", "max_pool_3x3", "avg_pool_3x3", "skip_connect")


def operation(name: str, channels: int, stride: int = 1, affine: bool = True) -> nn.Module:
    """Return the operation of that name on (N, channels, H, W), as a module.

    `affine` says whether its batch norms have a scale and a shift of their own: not in a supernet,
    where they would undo the weights of the edge. Raises ValueError for an unknown name, for
    channels below 1 or a stride other than 1 and 2, and for a skip of odd channels at stride 2.
    """
    if name not in _MAKERS:
        raise ValueError(f"the operation is {name!r}: give one of {', '.join(_MAKERS)}")
    if channels < 1:
        raise ValueError(f"channels is {channels}: give 1 or more")
    if stride not in (1, 2):
        raise ValueError(f"stride is {stride}: give 1, or 2 to halve the images")
    return _MAKERS[name](channels, stride, affine)


class Zero(nn.Module):
    """Zeros in the shape of the (strided) input: the edge is not there."""

    def __init__(self, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x[..., :: self.stride, :: self.stride])


class FactorizedReduction(nn.Module):
    """ReLU, two 1x1 convolutions of stride 2 and a batch norm: halves the images.

    The second convolution sees the pixels one further down and right, so that between them they
    see two of every four pixels, where one alone would see one. Raises ValueError for odd n_out.
    """

    def __init__(self, n_in: int, n_out: int, affine: bool = True) -> None:
        super().__init__()
        if n_out % 2:
            raise ValueError(
                f"n_out is {n_out}: give an even number, as two convolutions have half of it each"
            )
        self.relu = nn.ReLU()
        self.even = nn.Conv2d(n_in, n_out // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(n_in, n_out // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(n_out, affine=affine)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(x)
        # An odd length has one odd pixel fewer than even ones: a zero takes its place.
        odd = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))[:, :, 1:, 1:]
        return self.norm(torch.cat([self.even(x), self.odd(odd)], dim=1))


def relu_conv_norm(n_in: int, n_out: int, affine: bool = True) -> nn.Sequential:
    """Return ReLU, a 1x1 convolution and a batch norm: what gives a cell's inputs its channels."""
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            relu=nn.ReLU(),
            conv=nn.Conv2d(n_in, n_out, 1, bias=False),
            norm=nn.BatchNorm2d(n_out, affine=affine),
        )
    )


def depthwise_separable(
    channels: int, kernel: int, stride: int, affine: bool, dilation: int = 1
) -> nn.Sequential:
    """Return ReLU, a filter for each channel, a 1x1 convolution and a batch norm."""
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            relu=nn.ReLU(),
            depthwise=nn.Conv2d(
                channels,
                channels,
                kernel,
                stride=stride,
                padding=dilation * (kernel // 2),
                dilation=dilation,
                groups=channels,
                bias=False,
            ),
            pointwise=nn.Conv2d(channels, channels, 1, bias=False),
            norm=nn.BatchNorm2d(channels, affine=affine),
        )
    )


def _none(channels: int, stride: int, affine: bool) -> nn.Module:
    return Zero(stride)


def _max_pool(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.MaxPool2d(3, stride=stride, padding=1)


def _avg_pool(channels: int, stride: int, affine: bool) -> nn.Module:
    # Pixels outside the image are left out of the mean: they would darken its border.
    return nn.AvgPool2d(3, stride=stride, padding=1, count_include_pad=False)


def _skip(channels: int, stride: int, affine: bool) -> nn.Module:
    return nn.Identity() if stride == 1 else FactorizedReduction(channels, channels, affine)


def _separable(kernel: int) -> Callable[[int, int, bool], nn.Module]:
    """A separable convolution is applied twice, and only the first may halve the images."""

    def make(channels: int, stride: int, affine: bool) -> nn.Module:
        return nn.Sequential(
            OrderedDict[str, nn.Module](
                first=depthwise_separable(channels, kernel, stride, affine),
                second=depthwise_separable(channels, kernel, 1, affine),
            )
        )

    return make


def _dilated(kernel: int) -> Callable[[int, int, bool], nn.Module]:
    """A filter's weights are two pixels apart: 3x3 of them see 5x5 pixels, and 5x5 see 9x9."""

    def make(channels: int, stride: int, affine: bool) -> nn.Module:
        return depthwise_separable(channels, kernel, stride, affine, dilation=2)

    return make


_MAKERS: dict[str, Callable[[int, int, bool], nn.Module]] = {
    "none": _none,
    "max_pool_3x3": _max_pool,
    "avg_pool_3x3": _avg_pool,
    "skip_connect": _skip,
    "sep_conv_3x3": _separable(3),
    "sep_conv_5x5": _separable(5),
    "dil_conv_3x3": _dilated(3),
    "dil_conv_5x5": _dilated(5),
}
