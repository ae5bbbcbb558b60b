"""Depthwise convolutions of all edges that leave a node, and a backward that oneDNN does quickly.

Images are (N, H, W, C), channels last: what a filter for each channel needs of a pixel lies side by
side. On CPUs oneDNN has quick code for the forward pass of any filter, but the backward pass of
those with gaps, and of 5x5 filters of stride 1, goes to general code. Three facts bring it back to
what is quick, and `fast_extension` does without them where there is a compiler:

- the gradient in the images is a convolution itself, with the filter turned by 180 degrees;
- a filter with gaps (dilation 2) is one without on every second row and column;
- the gradient in a 5x5 filter is that in four 3x3 filters, which overlap in its middle.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.nn import functional as F

from mlcourse.nas.fast_backward import gradients_by_autograd
from mlcourse.nas.fast_extension import compiled


def depthwise(x: Tensor, weight: Tensor, stride: int = 1, dilation: int = 1) -> Tensor:
    """Return k filtered versions of images x (N, H, W, C), as (N, H / stride, W / stride, k, C).

    The filters are weight (k, C, K, K) with K odd; pixels outside the images are zeros.
    """
    if stride == dilation == 2:
        # Only pixels of even rows and columns are read.
        x, stride, dilation = x[:, ::2, ::2], 1, 1
    return _Depthwise.apply(x, weight, stride, dilation)


def plain_depthwise(x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
    """Do what `depthwise` does as one call of torch's convolution."""
    k, C, K, _ = weight.shape
    rows = F.conv2d(
        _channels_first(_repeated(x, k)),
        weight.reshape(k * C, 1, K, K),
        stride=stride,
        padding=dilation * (K // 2),
        dilation=dilation,
        groups=k * C,
    )
    return _channels_last(rows).unflatten(3, (k, C))


class _Depthwise(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.dilation = stride, dilation
        ctx.functions = functions = _compiled(x, weight)
        if functions is None:
            return plain_depthwise(x, weight, stride, dilation)
        k, C, _, _ = weight.shape
        N, H, W, _ = x.shape
        out = x.new_empty(N, -(-H // stride), -(-W // stride), k, C)
        ctx.bordered = _with_border(x, weight, dilation)
        functions.depthwise_(out, *ctx.bordered, stride, dilation)
        return out

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, weight = ctx.saved_tensors
        how = ctx.stride, ctx.dilation
        if torch.is_grad_enabled():
            plain = gradients_by_autograd(plain_depthwise, (x, weight, *how), g)
            return *plain, None, None
        # The gradient in the architecture alone asks for none in the filters.
        also_weight = ctx.needs_input_grad[1]
        if ctx.functions is None:
            return *_in_pytorch(g, x, weight, *how, also_weight), None, None
        into_x, into_filters = ctx.functions.depthwise_backward(
            g.contiguous(), *ctx.bordered, *how, also_weight
        )
        pad = (ctx.bordered[0].shape[1] - x.shape[1]) // 2
        into_x = into_x[:, pad : pad + x.shape[1], pad : pad + x.shape[2]]
        return into_x, into_filters.permute(0, 3, 1, 2) if also_weight else None, None, None


def _compiled(x: Tensor, weight: Tensor) -> Any:
    return compiled(x) if weight.shape[-1] in (3, 5) else None


def _with_border(x: Tensor, weight: Tensor, dilation: int) -> tuple[Tensor, Tensor]:
    """Return images and filters as the extension wants them: a border of zeros, channels last."""
    pad = dilation * (weight.shape[-1] // 2)
    return F.pad(x, (0, 0, pad, pad, pad, pad)), weight.permute(0, 2, 3, 1).contiguous()


def _in_pytorch(
    g: Tensor, x: Tensor, weight: Tensor, stride: int, dilation: int, also_weight: bool
) -> tuple[Tensor, Tensor | None]:
    """The gradients in x and weight, of the gradient g (N, H, W, k, C) in the output."""
    k, C, K, _ = weight.shape
    g = _channels_first(g.flatten(3))
    filters = weight.reshape(k * C, 1, K, K)
    # Where oneDNN is quick anyway.
    is_quick = stride == 2 or (K == 3 and dilation == 1)
    images = _channels_first(_repeated(x, k)) if also_weight or is_quick else x
    into_filters: Tensor | None
    if is_quick:
        into_x, into_filters = _torchs(g, images, filters, stride, (True, also_weight))
    else:
        turned = filters.flip(2, 3)
        into_x = F.conv2d(g, turned, None, 1, dilation * (K // 2), dilation, k * C)
        into_filters = _into_filters(g, images, filters, dilation) if also_weight else None
    into_x = _channels_last(into_x)
    if k > 1:
        into_x = into_x.unflatten(3, (k, C)).sum(3)
    return into_x, None if into_filters is None else into_filters.view_as(weight)


def _repeated(x: Tensor, k: int) -> Tensor:
    """Images (N, H, W, C) k times side by side, (N, H, W, k C); no copy of a single one."""
    return x.repeat(1, 1, 1, k) if k > 1 else x


def _into_filters(g: Tensor, x: Tensor, filters: Tensor, dilation: int) -> Tensor:
    if dilation == 2:
        return _into_filters(_every_second(g), _every_second(x), filters, 1)
    if filters.shape[-1] == 5:
        return _into_four_thirds(g, x, filters)
    return _torchs(g, x, filters, 1, (False, True))[1]


def _every_second(x: Tensor) -> Tensor:
    """Return images (N, C, H, W) as (4 N, C, H / 2, W / 2): pixels two apart become neighbours."""
    x = F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2))
    return torch.cat([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)])


def _into_four_thirds(g: Tensor, x: Tensor, filters: Tensor) -> Tensor:
    """The gradient in 5x5 filters as those in the four 3x3 filters of its corners."""
    H, W = x.shape[2:]
    x = F.pad(x, (2, 2, 2, 2))
    into = torch.empty_like(filters)
    for i in (0, 2):
        for j in (0, 2):
            corner = filters[:, :, i : i + 3, j : j + 3]
            pixels = x[:, :, i : i + H + 2, j : j + W + 2]
            into[:, :, i : i + 3, j : j + 3] = _torchs(g, pixels, corner, 1, (False, True), 0)[1]
    return into


def _torchs(
    g: Tensor, x: Tensor, filters: Tensor, stride: int, which: tuple[bool, bool], pad: int = -1
) -> tuple[Tensor, Tensor]:
    """Torch's own gradients in images and filters; None for one that is not asked for."""
    padding = filters.shape[-1] // 2 if pad < 0 else pad
    into_x, into_filters, _ = torch.ops.aten.convolution_backward(
        g,
        x,
        filters,
        None,
        [stride] * 2,
        [padding] * 2,
        [1, 1],
        False,
        [0, 0],
        len(filters),
        [*which, False],
    )
    return into_x, into_filters


def _channels_first(x: Tensor) -> Tensor:
    """View (N, H, W, C) as (N, C, H, W), which torch's functions take; memory stays as it is."""
    return x.permute(0, 3, 1, 2)


def _channels_last(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)
