"""Output sizes, parameters and multiply-accumulates of a layer, from its settings alone.

Sizes are without the batch: (C, H, W) for an image. Every formula is written out here and agrees
exactly with torch; source: V. Dumoulin and F. Visin, A guide to convolution arithmetic for deep
learning, 2016.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from torch import nn

from mlcourse.unshared import UnsharedConv2d
from mlcourse.window_arithmetic import Window, check_number, padding_of, transposed_output_size

Size = tuple[int, ...]

CONVOLUTIONS: dict[type[nn.Module], int] = {nn.Conv1d: 1, nn.Conv2d: 2, nn.Conv3d: 3}
TRANSPOSED: dict[type[nn.Module], int] = {
    nn.ConvTranspose1d: 1,
    nn.ConvTranspose2d: 2,
    nn.ConvTranspose3d: 3,
}
POOLS: dict[type[nn.Module], int] = {
    nn.MaxPool1d: 1,
    nn.MaxPool2d: 2,
    nn.MaxPool3d: 3,
    nn.AvgPool1d: 1,
    nn.AvgPool2d: 2,
    nn.AvgPool3d: 3,
}
ADAPTIVE: dict[type[nn.Module], int] = {
    nn.AdaptiveAvgPool1d: 1,
    nn.AdaptiveAvgPool2d: 2,
    nn.AdaptiveAvgPool3d: 3,
    nn.AdaptiveMaxPool1d: 1,
    nn.AdaptiveMaxPool2d: 2,
    nn.AdaptiveMaxPool3d: 3,
}
BATCH_NORMS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
)
#: Layers that change each number by itself: same shape, no parameters, nothing multiplied.
ELEMENTWISE = (
    nn.Identity, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU,
    nn.Mish, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign, nn.Hardtanh, nn.Hardswish,
    nn.Hardsigmoid, nn.LogSigmoid, nn.Tanhshrink, nn.Threshold, nn.Dropout, nn.Dropout1d,
    nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
)  # fmt: skip


def windows(layer: nn.Module) -> tuple[Window, ...] | None:
    """Return the window of a convolution or pooling along each axis; None for other layers."""
    rank = rank_of(layer, CONVOLUTIONS) or rank_of(layer, POOLS)
    if isinstance(layer, UnsharedConv2d):
        rank = 2
    if not rank:
        return None
    settings: Any = layer
    kernel, stride = _each(settings.kernel_size, rank), _each(settings.stride, rank)
    dilation = _each(getattr(settings, "dilation", 1), rank)
    ceil_mode = getattr(settings, "ceil_mode", False)
    made = []
    for axis, padding in enumerate(_each(settings.padding, rank)):
        k, s, d = kernel[axis], stride[axis], dilation[axis]
        made.append(Window(k, s, *padding_of(padding, k, s, d), d, ceil_mode))
    return tuple(made)


def rank_of(layer: nn.Module, kinds: dict[type[nn.Module], int]) -> int:
    """Return along how many axes `layer` works when it is one of `kinds`, else 0."""
    return next((rank for kind, rank in kinds.items() if isinstance(layer, kind)), 0)


def _each(setting: Any, rank: int) -> tuple[Any, ...]:
    """Return a setting as one value for each axis; torch lets one number stand for all."""
    if isinstance(setting, Sequence) and not isinstance(setting, str):
        return tuple(setting) * (rank if len(setting) == 1 else 1)
    return (setting,) * rank


def output_shape(layer: nn.Module, input_size: int | Sequence[int]) -> Size | None:
    """Return the size that `layer` makes of `input_size`, both without the batch.

    None for a layer that has no rule here. Raises ValueError, which names the layer and the sizes,
    when the layer cannot take this input.
    """
    size = as_size(input_size)
    try:
        return _output_shape(layer, size)
    except ValueError as problem:
        raise ValueError(f"{describe(layer)} on an input of {show(size)}: {problem}") from None


def _output_shape(layer: nn.Module, size: Size) -> Size | None:
    made = windows(layer)
    if made is not None:
        return _windowed_shape(layer, size, made)
    if rank := rank_of(layer, TRANSPOSED):
        return _transposed_shape(layer, size, rank)
    if rank := rank_of(layer, ADAPTIVE):
        _check_axes(size, rank)
        wanted = _each(layer.output_size, rank)
        kept = [n if m is None else m for n, m in zip(size[1:], wanted, strict=True)]
        return (size[0], *kept)
    if isinstance(layer, nn.Linear):
        if size[-1] != layer.in_features:
            raise ValueError(_linear_problem(layer, size))
        return (*size[:-1], layer.out_features)
    if isinstance(layer, nn.Flatten):
        return _flattened(layer, size)
    return _same_shape(layer, size)


def _windowed_shape(layer: nn.Module, size: Size, made: tuple[Window, ...]) -> Size:
    _check_axes(size, len(made))
    channels = size[0]
    if rank_of(layer, POOLS):
        for window in made:
            if window.before > window.kernel // 2:
                raise ValueError(
                    f"a pooling's padding may be at most half its kernel, and {window.before} is "
                    f"more than half of {window.kernel}: use less padding"
                )
    else:
        _check_channels(channels, layer.in_channels)  # type: ignore[arg-type]
        channels = layer.out_channels  # type: ignore[assignment]
    if isinstance(layer, UnsharedConv2d) and size[1:] != layer.input_size[1:]:
        raise ValueError(
            f"it has kernels of its own for each place of {show(layer.input_size)} and no other "
            "size: make a new layer for this one"
        )
    mode = getattr(layer, "padding_mode", "zeros")
    places = []
    for n, window in zip(size[1:], made, strict=True):
        limit = {"reflect": n - 1, "circular": n}.get(mode, window.after)
        if window.after > limit:
            raise ValueError(
                f"{mode} padding copies {window.after} of {n} positions and there are at most "
                f"{limit} to copy: use less padding or a larger input"
            )
        if isinstance(layer, nn.AvgPool3d) and n < window.kernel:
            raise ValueError(
                f"torch wants at least {window.kernel} positions for its kernel, also with "
                f"padding, and gets {n}: use a smaller kernel or a larger input"
            )
        places.append(window.positions(n))
        if places[-1] < 1:
            raise ValueError(
                f"a window that spans {window.span} positions does not fit on {n} with padding "
                f"{window.before}: use a smaller kernel, more padding or a larger input"
            )
    return (channels, *places)


def _transposed_shape(layer: Any, size: Size, rank: int) -> Size:
    _check_axes(size, rank)
    _check_channels(size[0], layer.in_channels)
    settings = zip(
        size[1:],
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.output_padding,
        layer.dilation,
        strict=True,
    )
    return (layer.out_channels, *(transposed_output_size(*axis) for axis in settings))


def _flattened(layer: nn.Flatten, size: Size) -> Size:
    # The layer counts axes with the batch, so its axis 1 is the first one here.
    axes = len(size) + 1
    start, end = layer.start_dim % axes, layer.end_dim % axes
    if start == 0:
        raise ValueError("it would merge examples of the batch: use start_dim=1")
    return (*size[: start - 1], prod(size[start - 1 : end]), *size[end:])


def _same_shape(layer: nn.Module, size: Size) -> Size | None:
    if isinstance(layer, BATCH_NORMS):
        _check_channels(size[0], layer.num_features)
    elif isinstance(layer, nn.GroupNorm):
        _check_channels(size[0], layer.num_channels)
    elif isinstance(layer, nn.LayerNorm):
        wanted = tuple(layer.normalized_shape)
        if size[-len(wanted) :] != wanted:
            raise ValueError(f"it normalises sizes that end with {show(wanted)}: change either")
    elif not isinstance(layer, ELEMENTWISE):
        return None
    return size


def _linear_problem(layer: nn.Linear, size: Size) -> str:
    text = f"it takes {layer.in_features} features and gets {size[-1]}: "
    if len(size) > 1 and prod(size) == layer.in_features:
        return f"{text}put Flatten before it"
    if len(size) > 1:
        return f"{text}put Flatten before it and give it {prod(size)} features"
    return f"{text}change in_features to {size[-1]}"


def _check_axes(size: Size, rank: int) -> None:
    if len(size) != rank + 1:
        raise ValueError(
            f"it takes {rank + 1} numbers, channels first and without the batch, and gets "
            f"{len(size)}"
        )


def _check_channels(got: int, wanted: int) -> None:
    if got != wanted:
        raise ValueError(f"it takes {wanted} channels and gets {got}: make the two equal")


def parameter_shapes(layer: nn.Module) -> dict[str, Size] | None:
    """Return the shape of each parameter of one layer by its formula; None without a rule."""
    kernel: Size
    if rank_of(layer, CONVOLUTIONS):
        conv: Any = layer
        kernel = (conv.out_channels, conv.in_channels // conv.groups, *conv.kernel_size)
        return _with_bias(kernel, conv.out_channels, conv.bias)
    if rank_of(layer, TRANSPOSED):
        conv = layer
        kernel = (conv.in_channels, conv.out_channels // conv.groups, *conv.kernel_size)
        return _with_bias(kernel, conv.out_channels, conv.bias)
    if isinstance(layer, UnsharedConv2d):
        places = layer.output_size
        kernel = (layer.out_channels, layer.in_channels, *layer.kernel_size, *places)
        shapes = {"weight": kernel}
        return shapes if layer.bias is None else {**shapes, "bias": (layer.out_channels, *places)}
    if isinstance(layer, nn.Linear):
        return _with_bias((layer.out_features, layer.in_features), layer.out_features, layer.bias)
    if isinstance(layer, (*BATCH_NORMS, nn.GroupNorm)):
        channels = layer.num_channels if isinstance(layer, nn.GroupNorm) else layer.num_features
        return {"weight": (channels,), "bias": (channels,)} if layer.affine else {}
    if isinstance(layer, nn.LayerNorm):
        own = {"weight": layer.weight, "bias": layer.bias}
        shape = tuple(layer.normalized_shape)
        return {name: shape for name, value in own.items() if value is not None}
    if isinstance(layer, (*ELEMENTWISE, nn.Flatten, *POOLS, *ADAPTIVE)):
        return {}
    return None


def _with_bias(weight: Size, outputs: int, bias: object) -> dict[str, Size]:
    return {"weight": weight} if bias is None else {"weight": weight, "bias": (outputs,)}


def parameter_count(layer: nn.Module | Iterable[nn.Module]) -> int:
    """Return how many numbers a layer, a model or a list of layers learns.

    A convolution has out * (in / groups * kernel + 1), a dense layer out * (in + 1), a batch norm
    2 * channels: the known layers are counted by these formulas, any other by the sizes of its
    parameters. A parameter that several layers share counts once; running statistics are not
    learned and do not count.
    """
    counted: set[int] = set()
    return sum(own_parameters(module, counted) for module in _modules(layer))


def own_parameters(module: nn.Module, counted: set[int]) -> int:
    """Count a module's own parameters, not its children's, that are not in `counted` yet."""
    formulas = parameter_shapes(module) or {}
    total = 0
    for name, value in module.named_parameters(recurse=False):
        if id(value) not in counted:
            counted.add(id(value))
            total += prod(formulas.get(name, value.shape))
    return total


def _modules(layer: nn.Module | Iterable[nn.Module]) -> Iterable[nn.Module]:
    for top in [layer] if isinstance(layer, nn.Module) else layer:
        yield from top.modules()


def layer_macs(layer: nn.Module, input_size: int | Sequence[int]) -> int | None:
    """Return the multiply-accumulates of one layer for one example; None without a rule.

    Raises ValueError as output_shape does.
    """
    size = as_size(input_size)
    out = output_shape(layer, size)
    if out is None:
        return None
    if rank_of(layer, TRANSPOSED):
        conv: Any = layer
        each = conv.out_channels // conv.groups * prod(conv.kernel_size)
        return prod(size) * each
    if rank_of(layer, CONVOLUTIONS) or isinstance(layer, UnsharedConv2d):
        conv = layer
        return prod(out) * conv.in_channels // conv.groups * prod(conv.kernel_size)
    if isinstance(layer, nn.Linear):
        return prod(out) * layer.in_features
    return 0


def as_size(input_size: int | Sequence[int]) -> Size:
    """Return a size without the batch as a tuple. Raises ValueError for anything else."""
    size = (input_size,) if isinstance(input_size, int) else tuple(input_size)
    if not size:
        raise ValueError("input_size is empty: give the size without the batch, as (3, 32, 32)")
    for n in size:
        check_number("a number of input_size", n, 1)
    return size


def show(size: Sequence[int]) -> str:
    """Write a size as 3x32x32."""
    return "x".join(str(n) for n in size)


def describe(layer: nn.Module) -> str:
    """Write a layer as torch does, on one line."""
    return " ".join(str(layer).split())


def brief(layer: nn.Module) -> str:
    """Write a layer's kind and window on one short line, such as "Conv2d 5x5, padding 2"."""
    kind = type(layer).__name__
    sliding = windows(layer)
    if sliding is None:
        return kind
    parts = [f"{kind} {show([window.kernel for window in sliding])}"]
    settings: Any = layer
    for name, usual in (("stride", 1), ("padding", 0), ("dilation", 1), ("groups", 1)):
        values = set(_each(getattr(settings, name, usual), len(sliding)))
        if values != {usual}:
            value = getattr(settings, name)
            one = values.pop() if len(values) == 1 else show(value)
            parts.append(f"{name} {one}")
    if sliding[0].ceil_mode:
        parts.append("ceil")
    return ", ".join(parts)
