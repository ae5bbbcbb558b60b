"""The receptive field after a function that a network's forward calls between its layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from mlcourse.receptive_fields import Field, follow

#: Functions whose output at a position depends on their inputs at that position alone.
_BY_POSITION = frozenset({
    "add", "iadd", "radd", "sub", "isub", "rsub", "mul", "imul", "rmul", "multiply", "div",
    "idiv", "truediv", "itruediv", "rtruediv", "rdiv", "true_divide", "maximum", "minimum",
    "where", "neg", "abs", "exp", "log", "sqrt", "rsqrt", "square", "pow", "ipow", "rpow",
    "clamp", "clip", "relu", "relu6", "leaky_relu", "elu", "selu", "celu", "gelu", "silu",
    "mish", "hardtanh", "hardswish", "hardsigmoid", "softplus", "softsign", "sigmoid",
    "logsigmoid", "tanh", "threshold", "dropout", "dropout1d", "dropout2d", "dropout3d",
    "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "batch_norm", "prelu",
    "contiguous", "clone", "detach", "to", "float", "double", "half", "bfloat16", "type",
    "type_as",
})  # fmt: skip
_RESHAPES = frozenset({"flatten", "view", "reshape", "squeeze"})
_REDUCTIONS = frozenset({"mean", "sum", "amax", "amin"})
_OVER_CHANNELS = frozenset({"softmax", "log_softmax", "normalize"})
_CUTS = frozenset({"chunk", "split", "tensor_split"})


def follow_call(
    function: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    known: Sequence[Field | None],
    out: Any,
) -> Field | None:
    """Return the field after `function(*args, **kwargs)`, which returned `out`.

    `known` are the fields of the arguments that come from the input. None where the function is
    not one that this module knows.
    """
    fields = [field for field in known if field is not None]
    if len(fields) < len(known):
        return None
    name = getattr(function, "__name__", "").strip("_")
    x = args[0] if args else kwargs.get("input")
    joined = fields[0]
    for field in fields[1:]:
        both = joined.join(field)
        if both is None:
            return None
        joined = both
    over_channels = name in _OVER_CHANNELS or name in _CUTS or name in {"cat", "concat"}
    if name in _BY_POSITION or (over_channels and _dim(args, kwargs, name) == 1):
        return joined
    if len(fields) > 1 or not isinstance(x, Tensor) or x.ndim < 2:
        return None
    if name in _RESHAPES:
        return _reshaped(x, joined, out)
    if name in _REDUCTIONS:
        return _reduced(x, joined, args, kwargs, out)
    layer = _as_layer(name, args, kwargs)
    return None if layer is None else follow(layer, joined)


def has_no_products(function: Callable[..., Any]) -> bool:
    """Say whether a function is known to do no matrix product and no convolution."""
    name = getattr(function, "__name__", "").strip("_")
    simple = _BY_POSITION | _RESHAPES | _REDUCTIONS | _OVER_CHANNELS | _CUTS | {"cat", "concat"}
    return name in simple or name in _POOLS or name in _ADAPTIVE


def _dim(args: Sequence[Any], kwargs: dict[str, Any], name: str) -> int | None:
    place = 2 if name in _CUTS else 1
    return kwargs.get("dim", args[place] if len(args) > place else 0)


def _reshaped(x: Tensor, field: Field, out: Any) -> Field | None:
    if not isinstance(out, Tensor) or out.shape == x.shape:
        return field
    one_row_each = out.ndim == 2 and len(out) == len(x) and out.numel() == x.numel()
    return Field(field.axes, flat=True) if one_row_each else None


def _reduced(
    x: Tensor, field: Field, args: Sequence[Any], kwargs: dict[str, Any], out: Any
) -> Field | None:
    """A mean over all positions is a global pooling."""
    dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
    dims = (dims,) if isinstance(dims, int) else dims
    if field.flat or dims is None or {d % x.ndim for d in dims} != set(range(2, x.ndim)):
        return None
    return Field(field.to_one().axes, flat=out.ndim == 2)


_POOLS: dict[str, type[nn.Module]] = {
    f"{kind}_pool{rank}d": getattr(nn, f"{kind.title()}Pool{rank}d")
    for kind in ("max", "avg")
    for rank in (1, 2, 3)
}
_ADAPTIVE: dict[str, type[nn.Module]] = {
    f"adaptive_{kind}_pool{rank}d": getattr(nn, f"Adaptive{kind.title()}Pool{rank}d")
    for kind in ("max", "avg")
    for rank in (1, 2, 3)
}
_CONVOLUTIONS: dict[str, type[nn.Module]] = {
    f"conv{rank}d": getattr(nn, f"Conv{rank}d") for rank in (1, 2, 3)
}
_SETTINGS = {
    "max": ("kernel_size", "stride", "padding", "dilation", "ceil_mode"),
    "avg": ("kernel_size", "stride", "padding", "ceil_mode"),
    "conv": ("weight", "bias", "stride", "padding", "dilation", "groups"),
}


def _as_layer(name: str, args: Sequence[Any], kwargs: dict[str, Any]) -> nn.Module | None:
    """Return the layer that does what the function does."""
    if name == "linear":
        weight = args[1] if len(args) > 1 else kwargs["weight"]
        return nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    if name in _ADAPTIVE:
        return _ADAPTIVE[name](kwargs.get("output_size", args[1] if len(args) > 1 else 1))
    settings = dict(zip(_SETTINGS.get(name[:3], _SETTINGS["conv"]), args[1:], strict=False))
    settings |= {key: value for key, value in kwargs.items() if key != "input"}
    if name in _POOLS:
        wanted = {key: settings[key] for key in _SETTINGS[name[:3]] if key in settings}
        wanted["stride"] = wanted.get("stride") or None
        return _POOLS[name](**wanted)
    if name in _CONVOLUTIONS:
        weight, groups = settings.pop("weight"), settings.get("groups", 1)
        settings.pop("bias", None)
        out, per_group, *kernel = weight.shape
        return _CONVOLUTIONS[name](
            per_group * groups, out, tuple(kernel), bias=False, device="meta", **settings
        )
    return None
