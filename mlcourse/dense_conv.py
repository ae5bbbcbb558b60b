"""Dense layers as convolutions, and whole networks made fully convolutional."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from math import prod

import torch
from torch import nn

from mlcourse.layer_arithmetic import ELEMENTWISE, Size, as_size, describe, show
from mlcourse.layer_summary import summary
from mlcourse.unshared import UnsharedConv2d


def dense_to_conv(linear: nn.Linear, input_shape: Sequence[int]) -> nn.Conv2d:
    """Return the convolution that equals a dense layer on flattened maps of (C, H, W).

    Its kernel is as large as the map, (H, W), with one filter a neuron and weights reshaped to
    (out, C, H, W), in the order in which Flatten lays a map out; the weights are copies. A map of
    the same size gives (N, out, 1, 1); a larger one gives more places. Raises ValueError when the
    layer does not take C H W features.
    """
    shape = as_size(input_shape)
    if len(shape) != 3 or linear.in_features != prod(shape):
        raise ValueError(
            f"{describe(linear)} takes {linear.in_features} features and a map of {show(shape)} "
            f"has {prod(shape)}: give the (channels, height, width) that Flatten sees"
        )
    weight = linear.weight.detach()
    conv = nn.Conv2d(
        shape[0],
        linear.out_features,
        shape[1:],  # type: ignore[arg-type]
        bias=linear.bias is not None,
        device=weight.device,
        dtype=weight.dtype,
    )
    with torch.no_grad():
        conv.weight.copy_(weight.reshape(conv.weight.shape))
        if conv.bias is not None:
            conv.bias.copy_(linear.bias)
    return conv.train(linear.training)


def fully_convolutional(model: nn.Sequential, input_size: Sequence[int]) -> nn.Sequential:
    """Return a fully convolutional copy of a trained network for images of `input_size` or larger.

    `model` is a Sequential (which may hold others): features, Flatten, then dense layers. Its dense
    layers become convolutions (see dense_to_conv), BatchNorm1d becomes BatchNorm2d, and an adaptive
    pooling before Flatten the plain one that does the same at `input_size`, (C, H, W). The result
    maps (N, C, H, W) to (N, out, 1, 1), equal to the model's output, and a larger image to a map
    of outputs, with the stride of the features: one for each window of size H x W.

    Without padding, an entry is exactly the model's output for the window cut out there. With
    padding it differs: zeros surround a window that was cut out, whereas in the large image the
    window's real neighbours are there. Entries can also see further than their window then.

    Raises ValueError, which names the layer, for what has no such form. Source: J. Long,
    E. Shelhamer and T. Darrell, Fully convolutional networks for semantic segmentation, CVPR, 2015.
    """
    size = as_size(input_size)
    if not isinstance(model, nn.Sequential):
        raise ValueError(
            f"{type(model).__name__} has a forward of its own, which may flatten or view: "
            "write the network as a Sequential with Flatten"
        )
    if len(size) != 3:
        raise ValueError(f"input_size is {show(size)}: give (channels, height, width)")
    converter = _Converter(size)
    for name, layer in _in_order(model):
        converter.add(name, layer)
    return converter.result.train(model.training)


def _in_order(model: nn.Sequential, prefix: str = "") -> Iterator[tuple[str, nn.Module]]:
    for name, layer in model.named_children():
        if isinstance(layer, nn.Sequential):
            yield from _in_order(layer, f"{prefix}{name}_")
        else:
            yield f"{prefix}{name}", layer


class _Converter:
    """Takes the layers one by one, knowing the map's size, and whether it is flattened."""

    def __init__(self, size: Size) -> None:
        self.size = size  # (C, H, W), also when flattened
        self.flat = False
        self.result = nn.Sequential()

    def add(self, name: str, layer: nn.Module) -> None:
        try:
            made = self._on_flat(layer) if self.flat else self._on_map(layer)
        except ValueError as problem:
            raise ValueError(f"{name}: {problem}") from None
        if made is not None:
            self.result.add_module(name, made.train(layer.training))

    def _on_map(self, layer: nn.Module) -> nn.Module | None:
        before = self.size
        self.size = summary(layer, before).rows[-1].output_shape
        if isinstance(layer, nn.Flatten) and len(self.size) == 1:
            self.flat, self.size = True, before
            return None
        if isinstance(layer, (nn.Linear, nn.LayerNorm, UnsharedConv2d)) or len(self.size) != 3:
            raise ValueError(
                f"{describe(layer)} works on maps of {show(before)} alone: no convolution does "
                "the same on larger ones"
            )
        if isinstance(layer, tuple(_PLAIN_POOL)):
            return _plain_pool(layer, before, self.size)
        return copy.deepcopy(layer)

    def _on_flat(self, layer: nn.Module) -> nn.Module | None:
        if isinstance(layer, nn.Linear):
            made = dense_to_conv(layer, self.size)
            self.size = (layer.out_features, 1, 1)
            return made
        if isinstance(layer, nn.BatchNorm1d) and self.size[1:] == (1, 1):
            return _to_2d(layer)
        if isinstance(layer, (nn.Softmax, nn.LogSoftmax)) and layer.dim in (1, -1):
            return type(layer)(dim=1)
        if isinstance(layer, nn.Flatten):
            return None
        if isinstance(layer, ELEMENTWISE):
            return copy.deepcopy(layer)
        raise ValueError(
            f"{describe(layer)} after Flatten has no form that works on maps: put it before "
            "Flatten or leave it out"
        )


_PLAIN_POOL: dict[type[nn.Module], type[nn.Module]] = {
    nn.AdaptiveAvgPool2d: nn.AvgPool2d,
    nn.AdaptiveMaxPool2d: nn.MaxPool2d,
}


def _plain_pool(layer: nn.Module, before: Size, after: Size) -> nn.Module:
    """Return the pooling with fixed windows that does at this size what an adaptive one does."""
    if any(n % m for n, m in zip(before[1:], after[1:], strict=True)):
        raise ValueError(
            f"{describe(layer)} makes {show(after[1:])} of {show(before[1:])} with windows of "
            "different sizes: use a pooling with a fixed kernel"
        )
    kernel = tuple(n // m for n, m in zip(before[1:], after[1:], strict=True))
    # A pooling of the whole map has no stride of its own; 1 gives the finest map.
    stride = tuple(1 if m == 1 else k for k, m in zip(kernel, after[1:], strict=True))
    plain = next(plain for kind, plain in _PLAIN_POOL.items() if isinstance(layer, kind))
    return plain(kernel, stride)


def _to_2d(norm: nn.BatchNorm1d) -> nn.BatchNorm2d:
    made = nn.BatchNorm2d(
        norm.num_features, norm.eps, norm.momentum, norm.affine, norm.track_running_stats
    )
    for state in norm.state_dict().values():
        made = made.to(state.device) if not state.is_floating_point() else made.to(state)
    made.load_state_dict(norm.state_dict())
    return made
