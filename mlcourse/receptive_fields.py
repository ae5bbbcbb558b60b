"""Which input positions an output position sees, followed through the layers of a network.

The theoretical receptive field ignores the input's borders, so it may be wider than the input:
r_l = r_{l-1} + (k_l - 1) d_l s_1 ... s_{l-1}, r_0 = 1. Here each map keeps, along each axis, the
first and the last input position that its position o sees; for convolutions and poolings this
gives the same recurrence, and it also holds for branches that meet, transposed convolutions and
global pooling. What is really *seen*, which ends at the borders, is followed beside it: a dense
layer sees that. Source: A. Araujo, W. Norris and J. Sim, Computing receptive fields of
convolutional neural networks, Distill, 2019.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from torch import nn

from mlcourse.layer_arithmetic import (
    ADAPTIVE,
    BATCH_NORMS,
    ELEMENTWISE,
    TRANSPOSED,
    Window,
    describe,
    rank_of,
    windows,
)

Positions = np.ndarray
Seen = tuple[Positions, Positions]
Answer = int | tuple[int, ...] | None
_NORMS_OF_A_MAP = (
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.GroupNorm,
    nn.LayerNorm,
)
_NOTHING = (np.iinfo(np.int64).max // 2, -1)  # first > last: a position that sees no input


@dataclass(frozen=True)
class Axis:
    """Along one axis: `first(o)` and `last(o)` input position of position o, borders ignored.

    `n` is how many positions the map has, None when no input size was given; `seen` are the first
    and last positions within the borders; `jump` is the stride so far, None where it has no sense.
    """

    n: int | None
    first: Callable[[Positions], Positions]
    last: Callable[[Positions], Positions]
    seen: Seen | None
    jump: Fraction | None
    period: int = 1  # first and last repeat after so many positions, up to a shift

    @classmethod
    def of_input(cls, n: int | None) -> Axis:
        """Return the input's own axis: each position sees itself."""
        own = None if n is None else np.arange(n)
        seen = None if own is None else (own, own)
        return cls(n, lambda o: o, lambda o: o, seen, Fraction(1))

    @classmethod
    def of_seen(cls, seen: Seen, jump: Fraction | None = None) -> Axis:
        """Return an axis whose positions see what they see, also in theory."""
        low, high = seen
        end = len(low) - 1
        return cls(
            len(low),
            lambda o: low[np.clip(o, 0, end)],
            lambda o: high[np.clip(o, 0, end)],
            seen,
            jump,
        )

    @property
    def size(self) -> int:
        """The widest window of any position."""
        o = np.arange(self.period if self.n is None else self.n)
        return int((self.last(o) - self.first(o)).max()) + 1

    def slide(self, window: Window, mode: str = "zeros") -> Axis:
        """Follow a convolution or pooling; `mode` says what its padding is filled with."""
        reach = window.span - 1
        n = None if self.n is None else window.positions(self.n)
        seen = None if n is None else self._seen_through(window, n, mode)
        return Axis(
            n,
            lambda o: self.first(o * window.stride - window.before),
            lambda o: self.last(o * window.stride - window.before + reach),
            seen,
            None if self.jump is None else self.jump * window.stride,
            self.period,
        )

    def _seen_through(self, window: Window, n: int, mode: str) -> Seen:
        taps = np.arange(n)[:, None] * window.stride - window.before
        taps = taps + np.arange(window.kernel) * window.dilation
        assert self.n is not None
        return self._gather(_through_border(taps, self.n, mode))

    def _gather(self, taps: Positions) -> Seen:
        """Return what rows of positions see together; positions outside the map see nothing."""
        assert self.n is not None
        assert self.seen is not None
        inside = (taps >= 0) & (taps < self.n)
        taps = np.where(inside, taps, 0)
        first = np.where(inside, self.seen[0][taps], _NOTHING[0])
        last = np.where(inside, self.seen[1][taps], _NOTHING[1])
        return first.min(axis=1), last.max(axis=1)

    def spread(self, kernel: int, stride: int, padding: int, n: int | None) -> Axis:
        """Follow a transposed convolution: output o gets from input i when 0 <= o + p - i s < k."""

        def lowest(o: Positions) -> Positions:
            return -((kernel - 1 - padding - o) // stride)  # rounded up

        seen = None
        if n is not None:
            o = np.arange(n)[:, None]
            steps = np.arange(-(-kernel // stride))
            taps = (o + padding) // stride - steps
            taps = np.where(taps >= lowest(o), taps, -1)
            seen = self._gather(taps)
        return Axis(
            n,
            lambda o: self.first(lowest(o)),
            lambda o: self.last((o + padding) // stride),
            seen,
            None if self.jump is None else self.jump / stride,
            self.period * stride,
        )

    def pool_to(self, n: int) -> Axis:
        """Follow an adaptive pooling to `n` positions, which sees the map as far as it goes."""
        assert self.n is not None
        starts = np.arange(n) * self.n // n
        ends = -(-np.arange(1, n + 1) * self.n // n)
        widest = int((ends - starts).max())
        taps = starts[:, None] + np.arange(widest)
        seen = self._gather(np.where(taps < ends[:, None], taps, -1))
        whole = self.n % n == 0 and self.jump is not None
        return Axis.of_seen(seen, self.jump * (self.n // n) if whole and self.jump else None)

    def whole(self) -> Axis:
        """Follow a layer that sees the whole map at each position."""
        assert self.seen is not None
        low, high = self.seen
        positions = self.n or 1
        return Axis.of_seen((np.full(positions, low.min()), np.full(positions, high.max())))

    def join(self, other: Axis) -> Axis:
        """Follow two branches that meet: a position sees what either of them sees."""
        seen = None
        if self.seen is not None and other.seen is not None:
            seen = (
                np.minimum(self.seen[0], other.seen[0]),
                np.maximum(self.seen[1], other.seen[1]),
            )
        return Axis(
            self.n,
            lambda o: np.minimum(self.first(o), other.first(o)),
            lambda o: np.maximum(self.last(o), other.last(o)),
            seen,
            self.jump if self.jump == other.jump else None,
            int(np.lcm(self.period, other.period)),
        )


def _through_border(taps: Positions, n: int, mode: str) -> Positions:
    """Return which position a tap in the padding copies; one filled with zeros stays outside."""
    if mode == "circular":
        return taps % n
    if mode == "replicate":
        return np.clip(taps, 0, n - 1)
    if mode == "reflect":
        taps = np.abs(taps)
        return np.where(taps >= n, 2 * (n - 1) - taps, taps)
    return taps


@dataclass(frozen=True)
class Field:
    """What the positions of a map see, along each axis of the input but its channels.

    `flat` says that the map's positions lie one after the other, after Flatten.
    """

    axes: tuple[Axis, ...]
    flat: bool = False

    @classmethod
    def of_input(cls, places: Sequence[int | None]) -> Field:
        """Return the field of an input with so many positions along each axis."""
        return cls(tuple(Axis.of_input(n) for n in places), flat=not places)

    @property
    def size(self) -> Answer:
        """The receptive field: one number when all axes have the same, else one an axis."""
        return _one_if_equal(tuple(axis.size for axis in self.axes))

    @property
    def stride(self) -> int | Fraction | tuple[int | Fraction, ...] | None:
        """The stride so far: how far two neighbouring positions lie apart in the input."""
        if self.flat or any(axis.jump is None for axis in self.axes):
            return None
        jumps = tuple(axis.jump for axis in self.axes)
        return _one_if_equal(
            tuple(int(jump) if jump.denominator == 1 else jump for jump in jumps)  # type: ignore
        )


def _one_if_equal(values: tuple[Any, ...]) -> Any:
    if not values:
        return None
    return values[0] if len(set(values)) == 1 else values


def follow(layer: nn.Module, field: Field | None) -> Field | None:
    """Return the field after one layer; None where it is not defined or there is no rule."""
    if field is None:
        return None
    if isinstance(layer, _NORMS_OF_A_MAP):  # their mean and variance are the map's
        return _whole(field)
    if isinstance(layer, (*ELEMENTWISE, *BATCH_NORMS)):
        return field
    if isinstance(layer, nn.Flatten):
        all_axes = layer.start_dim == 1 and layer.end_dim == -1
        return Field(field.axes, flat=True) if all_axes or field.flat else None
    if isinstance(layer, nn.Linear):
        # On a map, a dense layer works along the last axis; which axes are positions is unknown.
        return _whole(field) if field.flat else None
    return None if field.flat else _follow_windows(layer, field)


def _whole(field: Field) -> Field:
    return Field(tuple(axis.whole() for axis in field.axes), field.flat)


def _follow_windows(layer: nn.Module, field: Field) -> Field | None:
    axes = field.axes
    sliding = windows(layer)
    settings: Any = layer
    if sliding is not None:
        mode = getattr(layer, "padding_mode", "zeros")
        moved = [axis.slide(window, mode) for axis, window in zip(axes, sliding, strict=True)]
    elif rank := rank_of(layer, TRANSPOSED):
        moved = []
        for i in range(rank):
            k, s, d = settings.kernel_size[i], settings.stride[i], settings.dilation[i]
            if s > 1 and d > 1:
                return None  # the positions seen have holes that differ from output to output
            p, n = settings.padding[i], axes[i].n
            if n is not None:
                n = (n - 1) * s - 2 * p + d * (k - 1) + settings.output_padding[i] + 1
            moved.append(axes[i].spread(d * (k - 1) + 1, s, p, n))
    elif rank := rank_of(layer, ADAPTIVE):
        wanted = settings.output_size
        wanted = wanted if isinstance(wanted, tuple) else (wanted,) * rank
        moved = [
            axis if n is None else axis.pool_to(n) for axis, n in zip(axes, wanted, strict=True)
        ]
    else:
        return None
    return Field(tuple(moved))


def receptive_field(layers: nn.Module | Iterable[Step]) -> Answer:
    """Return the theoretical receptive field of the last of `layers`, in positions of the input.

    r_0 = 1 and r_l = r_{l-1} + (k_l - 1) d_l s_1 ... s_{l-1}. Layers are modules, or tuples
    (kernel, stride, dilation) whose last two may be left out and are 1. One number, or one an axis
    where they differ; wider than the input when the windows reach beyond its borders. None where
    it is not defined. Raises ValueError for a layer that sees the whole input (dense, adaptive
    pooling), whose size is needed: see summary.
    """
    steps = _steps(layers)
    field: Field | None = Field.of_input((None,) * _rank(steps))
    for step in steps:
        if field is None:
            return None
        if isinstance(step, nn.Module):
            if isinstance(step, (nn.Linear, *ADAPTIVE, *_NORMS_OF_A_MAP)):
                raise ValueError(
                    f"{describe(step)} sees its whole input, whose size is not known here: "
                    "use summary(model, input_size) or leave it out"
                )
            field = follow(step, field)
        else:
            window = _window_of(step)
            field = Field(tuple(axis.slide(window) for axis in field.axes))
    return None if field is None else field.size


Step = nn.Module | Sequence[int]


def _rank(steps: Iterable[Step]) -> int:
    """Return along how many axes the first layer with a window works; 1 where none has one."""
    for step in steps:
        if isinstance(step, nn.Module):
            sliding = windows(step)
            if rank := len(sliding) if sliding else rank_of(step, TRANSPOSED):
                return rank
    return 1


def _window_of(step: Sequence[int]) -> Window:
    if not 1 <= len(step) <= 3 or min(step) < 1:
        raise ValueError(
            f"a layer is {tuple(step)}: give (kernel, stride, dilation), each 1 or more"
        )
    kernel, stride, dilation = (*step, *(1, 1))[:3]
    return Window(kernel, stride, dilation=dilation)


def _steps(layers: nn.Module | Iterable[Step]) -> list[Step]:
    """Return the layers of nested Sequentials and lists, in order."""
    if isinstance(layers, nn.Module) and not isinstance(layers, nn.Sequential):
        return [layers]
    flat: list[Step] = []
    for layer in layers:
        flat += _steps(layer) if isinstance(layer, nn.Sequential) else [layer]
    return flat
