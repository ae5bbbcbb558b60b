"""Unshared convolution: local windows, but kernels of its own at each place."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod, sqrt

import torch
from torch import Tensor, nn


class UnsharedConv2d(nn.Module):
    """A locally connected layer: a convolution in which each place has a kernel of its own.

    It maps (N, C, H, W), where (C, H, W) is `input_size`, to (N, out_channels, H', W') with H' and
    W' as for a convolution. `weight` is (out_channels, C, k_h, k_w, H', W'), `bias`
    (out_channels, H', W'): out_channels H' W' (C k_h k_w + 1) parameters, H' W' times those of a
    convolution, and as many multiply-accumulates. Raises ValueError when no window fits. Source:
    Y. Taigman et al., DeepFace, CVPR, 2014.
    """

    groups = 1  # as a convolution's, for the formulas that they share

    def __init__(
        self,
        input_size: Sequence[int],
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        if len(input_size) != 3:
            raise ValueError(f"input_size is {tuple(input_size)}: give (channels, height, width)")
        self.input_size = tuple(input_size)
        self.in_channels, self.out_channels = self.input_size[0], out_channels
        self.kernel_size, self.stride = _pair(kernel_size), _pair(stride)
        self.padding = _pair(padding)
        self.output_size = tuple(
            _places(*axis)
            for axis in zip(
                self.input_size[1:], self.kernel_size, self.stride, self.padding, strict=True
            )
        )
        kernel = (out_channels, self.in_channels, *self.kernel_size, *self.output_size)
        self.weight = nn.Parameter(torch.empty(kernel))
        shape = (out_channels, *self.output_size)
        self.bias = nn.Parameter(torch.empty(shape)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weights and biases uniformly in +-1 / sqrt(fan_in), as torch's convolutions do."""
        limit = 1 / sqrt(self.in_channels * prod(self.kernel_size))
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -limit, limit)

    def forward(self, X: Tensor) -> Tensor:
        """Map X (N, C, H, W) to (N, out_channels, H', W'). Raises ValueError for another size."""
        if tuple(X.shape[1:]) != self.input_size:
            raise ValueError(
                f"X has shape {tuple(X.shape)} and the layer was made for images of size "
                f"{self.input_size}: make a new layer for another size"
            )
        columns = nn.functional.unfold(
            X, self.kernel_size, padding=self.padding, stride=self.stride
        )  # (N, C k_h k_w, H' W'): what each place sees
        kernels = self.weight.reshape(self.out_channels, columns.shape[1], columns.shape[2])
        out = torch.einsum("nkp,okp->nop", columns, kernels)
        out = out.unflatten(2, self.output_size)
        return out if self.bias is None else out + self.bias

    def extra_repr(self) -> str:
        """Settings, in the way of torch's convolutions."""
        return (
            f"{self.input_size}, {self.out_channels}, kernel_size={self.kernel_size}, "
            f"stride={self.stride}, padding={self.padding}"
        )


def _pair(setting: int | tuple[int, int]) -> tuple[int, int]:
    return (setting, setting) if isinstance(setting, int) else setting


def _places(n: int, kernel: int, stride: int, padding: int) -> int:
    count = (n + 2 * padding - kernel) // stride + 1
    if min(kernel, stride) < 1 or padding < 0 or count < 1:
        raise ValueError(
            f"a kernel of {kernel} with stride {stride} and padding {padding} does not fit on "
            f"{n} positions: use a smaller kernel or more padding"
        )
    return count
