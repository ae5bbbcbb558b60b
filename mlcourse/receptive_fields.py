"""Which input positions an output position sees, followed through the layers of a network.

The theoretical receptive field ignores the input's borders, so it may be wider than the input:
r_l = r_{l-1} + (k_l - 1) d_l s_1 ... s_{l-1}, r_0 = 1. Here each map keeps, along each axis, the
first and the last input position that its positions see; for convolutions and poolings this
gives the same recurrence, and it also holds for branches that meet and transposed convolutions.
What is really *seen*, which ends at the borders, is followed beside it: that is what a dense layer
or a global pooling sees. Source: A. Araujo, W. Norris and J. Sim, Computing receptive fields of
convolutional neural networks, Distill, 2019.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import gcd, lcm
from typing import Any

import numpy as np
from torch import nn

from mlcourse.layer_arithmetic import (
    ADAPTIVE,
    BATCH_NORMS,
    ELEMENTWISE,
    TRANSPOSED,
    describe,
    rank_of,
    windows,
)
from mlcourse.window_arithmetic import Window

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
class Reach:
    """First and last input position of each position o, borders ignored, along one axis.

    Both are given for one period of positions; the next period sees the same, `shift` further on.
    Convolutions and poolings alone have a period of 1, and `shift` is their stride so far.
    """

    first: Positions
    last: Positions
    shift: int

    @property
    def size(self) -> int:
        """The widest window of any position."""
        return int((self.last - self.first).max()) + 1

    def through(self, low: Positions, high: Positions, shift: int) -> Reach:
        """Return what positions see that span `low` to `high` of this map, in one new period."""
        return Reach(self._at(self.first, low), self._at(self.last, high), shift)

    def _at(self, table: Positions, o: Positions) -> Positions:
        return table[o % len(table)] + self.shift * (o // len(table))

    def slide(self, window: Window) -> Reach:
        """Follow a convolution or pooling."""
        period = len(self.first) // gcd(len(self.first), window.stride)
        low = np.arange(period) * window.stride - window.before
        shift = self.shift * period * window.stride // len(self.first)
        return self.through(low, low + window.span - 1, shift)

    def spread(self, kernel: int, stride: int, padding: int) -> Reach:
        """Follow a transposed convolution: output o gets from input i when 0 <= o + p - i s < k."""
        o = np.arange(len(self.first) * stride) + padding
        return self.through(-((kernel - 1 - o) // stride), o // stride, self.shift)

    def join(self, other: Reach) -> Reach | None:
        """Return what two branches see together; None when their strides differ."""
        period = lcm(len(self.first), len(other.first))
        if self.shift * len(other.first) != other.shift * len(self.first):
            return None
        o = np.arange(period)
        return Reach(
            np.minimum(self._at(self.first, o), other._at(other.first, o)),
            np.maximum(self._at(self.last, o), other._at(other.last, o)),
            self.shift * period // len(self.first),
        )


@dataclass(frozen=True)
class Axis:
    """What the `n` positions of a map see along one axis.

    `seen` are the first and last positions within the borders, for each position; `reach` the ones
    in theory, None behind a layer that sees the whole map, where only `seen` has a sense; `jump`
    is the stride so far. Without an input size, n and seen are None.
    """

    n: int | None
    seen: Seen | None
    reach: Reach | None
    jump: Fraction | None

    @classmethod
    def of_input(cls, n: int | None) -> Axis:
        """Return the input's own axis: each position sees itself."""
        seen = None if n is None else (np.arange(n), np.arange(n))
        return cls(n, seen, Reach(np.zeros(1, int), np.zeros(1, int), 1), Fraction(1))

    @property
    def size(self) -> int:
        """The widest window of any position."""
        if self.reach is not None:
            return self.reach.size
        assert self.seen is not None
        return int((self.seen[1] - self.seen[0]).max()) + 1

    def window(self, o: int) -> range:
        """Return the input positions, first to last, that position `o` sees; empty for none."""
        assert self.seen is not None
        first, last = int(self.seen[0][o]), int(self.seen[1][o])
        return range(first, last + 1) if first <= last else range(0)

    def slide(self, window: Window, mode: str = "zeros") -> Axis:
        """Follow a convolution or pooling; `mode` says what its padding is filled with."""
        n = seen = None
        if self.n is not None:
            n = window.positions(self.n)
            taps = np.arange(n)[:, None] * window.stride - window.before
            taps = taps + np.arange(window.kernel) * window.dilation
            seen = self._gather(_through_border(taps, self.n, mode))
        reach = self.reach and self.reach.slide(window)
        return Axis(n, seen, reach, self.jump and self.jump * window.stride)

    def spread(self, taps: range, stride: int, padding: int, n: int | None) -> Axis:
        """Follow a transposed convolution to `n` positions; `taps` are 0, d, ..., d (k - 1)."""
        seen = None
        if n is not None:
            # Output o gets from input i by the tap t where o + padding = i stride + t.
            meets = np.arange(n)[:, None] + padding - np.array(taps)
            seen = self._gather(np.where(meets % stride == 0, meets // stride, -1))
        reach = self.reach and self.reach.spread(taps[-1] + 1, stride, padding)
        return Axis(n, seen, reach, self.jump and self.jump / stride)

    def pool_to(self, n: int) -> Axis:
        """Follow an adaptive pooling to `n` positions."""
        assert self.n is not None
        starts = np.arange(n) * self.n // n
        ends = -(-np.arange(1, n + 1) * self.n // n)
        taps = starts[:, None] + np.arange(int((ends - starts).max()))
        seen = self._gather(np.where(taps < ends[:, None], taps, -1))
        jump = self.jump and self.jump * (self.n // n) if self.n % n == 0 else None
        return Axis(n, seen, None, jump)

    def whole(self) -> Axis:
        """Follow a layer that sees the whole map at each position."""
        assert self.seen is not None
        low, high = self.seen
        seen = (np.full_like(low, low.min()), np.full_like(high, high.max()))
        return Axis(self.n, seen, None, self.jump)

    def join(self, other: Axis) -> Axis:
        """Follow two branches that meet: a position sees what either of them sees."""
        n = other.n if self.n == 1 else self.n  # a single position spreads over the others
        seen = None
        if self.seen is not None and other.seen is not None:
            seen = (
                np.minimum(self.seen[0], other.seen[0]),
                np.maximum(self.seen[1], other.seen[1]),
            )
        reach = None
        if self.reach is not None and other.reach is not None and self.n == other.n:
            reach = self.reach.join(other.reach)
        jumps = {axis.jump for axis in (self, other) if axis.n == n}
        return Axis(n, seen, reach, jumps.pop() if len(jumps) == 1 else None)

    def _gather(self, taps: Positions) -> Seen:
        """Return what rows of positions see together; positions outside the map see nothing."""
        assert self.n is not None
        assert self.seen is not None
        inside = (taps >= 0) & (taps < self.n)
        taps = np.where(inside, taps, 0)
        first = np.where(inside, self.seen[0][taps], _NOTHING[0])
        last = np.where(inside, self.seen[1][taps], _NOTHING[1])
        return first.min(axis=1), last.max(axis=1)


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

    def fits(self, shape: Sequence[int]) -> bool:
        """Say whether a tensor of this size, without the batch, can have this field."""
        places = tuple(axis.n for axis in self.axes)
        return len(shape) == 1 if self.flat else tuple(shape[1:]) == places

    def join(self, other: Field) -> Field | None:
        """Return what two branches see together; None when their maps do not lie over another."""
        pairs = list(zip(self.axes, other.axes, strict=True))
        if any(a.n != b.n and 1 not in (a.n, b.n) for a, b in pairs) or self.flat != other.flat:
            return None
        return Field(tuple(a.join(b) for a, b in pairs), self.flat)

    def whole(self) -> Field:
        """Return the field of a map that sees, at each position, all of this one."""
        return Field(tuple(axis.whole() for axis in self.axes), self.flat)

    def to_one(self) -> Field:
        """Return the field of a single position that sees all of this map."""
        return Field(tuple(axis.pool_to(1) for axis in self.axes), self.flat)

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
        return field.whole()
    if isinstance(layer, (*ELEMENTWISE, *BATCH_NORMS)):
        return field
    if isinstance(layer, nn.Flatten):
        all_axes = layer.start_dim == 1 and layer.end_dim == -1
        return Field(field.axes, flat=True) if all_axes or field.flat else None
    if isinstance(layer, nn.Linear):
        # On a map, a dense layer works along the last axis; which axes are positions is unknown.
        return field.to_one() if field.flat else None
    return None if field.flat else _follow_windows(layer, field)


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
            moved.append(axes[i].spread(range(0, d * k, d), s, p, n))
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
