"""Random layers against torch itself: 1,800 layers for sizes, parameters and MACs; 200 stacks of
layers for receptive fields. A short form of both is among the fast tests."""

import random

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mlcourse import conv
from mlcourse.layer_recorder import output_field

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same'")

CONV = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MAX = {1: nn.MaxPool1d, 2: nn.MaxPool2d, 3: nn.MaxPool3d}
AVG = {1: nn.AvgPool1d, 2: nn.AvgPool2d, 3: nn.AvgPool3d}
ADAPTIVE = {
    1: (nn.AdaptiveAvgPool1d, nn.AdaptiveMaxPool1d),
    2: (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d),
    3: (nn.AdaptiveAvgPool3d, nn.AdaptiveMaxPool3d),
}
NORMS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}


def several(draw: random.Random, rank: int, low: int, high: int):
    """One number for all axes, or one an axis."""
    if draw.random() < 0.4:
        return draw.randint(low, high)
    return tuple(draw.randint(low, high) for _ in range(rank))


def random_conv(draw: random.Random, rank: int, channels: int) -> nn.Module:
    groups = draw.choice([g for g in range(1, channels + 1) if channels % g == 0])
    settings = {
        "kernel_size": several(draw, rank, 1, 4),
        "stride": several(draw, rank, 1, 3),
        "padding": several(draw, rank, 0, 3),
        "dilation": several(draw, rank, 1, 3),
        "groups": groups,
        "bias": draw.random() < 0.7,
    }
    if draw.random() < 0.2:
        settings |= {"stride": 1, "padding": draw.choice(["same", "valid"])}
    elif draw.random() < 0.2:
        settings |= {"padding_mode": "circular", "padding": 1}
    return CONV[rank](channels, groups * draw.randint(1, 4), **settings)


def random_transposed(draw: random.Random, rank: int, channels: int) -> nn.Module:
    groups = draw.choice([g for g in range(1, channels + 1) if channels % g == 0])
    stride, dilation = draw.randint(1, 4), draw.randint(1, 3)
    return TRANSPOSED[rank](
        channels,
        groups * draw.randint(1, 3),
        several(draw, rank, 1, 4),
        stride,
        several(draw, rank, 0, 2),
        draw.randint(0, max(stride, dilation) - 1),
        groups,
        draw.random() < 0.7,
        dilation,
    )


def random_pool(draw: random.Random, rank: int, channels: int) -> nn.Module:
    kernel = draw.randint(1, 4)
    settings = {
        "stride": draw.randint(1, 4),
        "padding": draw.randint(0, kernel // 2),
        "ceil_mode": draw.random() < 0.5,
    }
    if draw.random() < 0.5:
        return AVG[rank](kernel, **settings)
    return MAX[rank](kernel, dilation=draw.randint(1, 3), **settings)


def random_other(draw: random.Random, rank: int, channels: int) -> nn.Module:
    makers = [
        lambda: draw.choice(ADAPTIVE[rank])(draw.randint(1, 5)),
        lambda: NORMS[rank](channels, affine=draw.random() < 0.7),
        lambda: nn.GroupNorm(1, channels),
        lambda: draw.choice([nn.ReLU(), nn.Dropout(), nn.Identity(), nn.PReLU()]),
        lambda: nn.Flatten(draw.randint(1, rank + 1)),
    ]
    return draw.choice(makers)()


def random_dense(draw: random.Random, size: tuple[int, ...]) -> nn.Module:
    """A dense layer on the last axis, or an unshared convolution where there are two axes."""
    if len(size) == 3 and draw.random() < 0.6:
        # A single product would be no matrix product, which alone torch counts.
        settings = [draw.randint(2, 3), draw.randint(1, 3), draw.randint(0, 1)]
        return conv.UnsharedConv2d(size, draw.randint(1, 4), *settings, bias=draw.random() < 0.7)
    return nn.Linear(size[-1], draw.randint(1, 9), bias=draw.random() < 0.7)


KINDS = {
    "convolution": random_conv,
    "transposed": random_transposed,
    "pooling": random_pool,
    "other": random_other,
    "dense": lambda draw, rank, channels: None,
}


def random_case(draw: random.Random, kind: str) -> tuple[nn.Module, tuple[int, ...]]:
    rank, channels = draw.randint(1, 3), draw.randint(1, 6)
    size = (channels, *(draw.randint(1, {1: 40, 2: 16, 3: 8}[rank]) for _ in range(rank)))
    if kind == "dense":
        if min(size[1:]) < 3:
            size = (channels, *(n + 3 for n in size[1:]))
        return random_dense(draw, size), size
    return KINDS[kind](draw, rank, channels), size


def agrees(layer: nn.Module, size: tuple[int, ...]) -> bool:
    """Compare with torch; False when torch cannot take the input, which we then refuse."""
    X = torch.zeros(3, *size)
    with FlopCounterMode(display=False) as flops:
        try:
            out = layer.eval()(X)
        except (RuntimeError, ValueError):
            out = torch.empty(0)
    if out.numel() == 0:  # torch lets transposed convolutions make nothing at all
        with pytest.raises(ValueError, match=type(layer).__name__):
            conv.macs(layer, size)
        return False
    assert conv.output_shape(layer, size) in (None, out.shape[1:]), (layer, size)
    row = conv.summary(layer, size).rows[0]
    assert row.output_shape == out.shape[1:], (layer, size)
    assert row.parameters == sum(p.numel() for p in layer.parameters()), layer
    # Torch counts two operations a multiply-accumulate, and all three examples.
    assert 6 * row.macs == flops.get_total_flops(), (layer, size)
    return True


def count_agreements(seed: int, wanted: int) -> dict[str, int]:
    draw = random.Random(seed)
    counts = dict.fromkeys(KINDS, 0)
    shares = {"convolution": 6, "transposed": 4, "pooling": 4, "other": 2, "dense": 2}
    refused = 0
    for kind, share in shares.items():
        while counts[kind] < wanted * share // sum(shares.values()):
            taken = agrees(*random_case(draw, kind))
            counts[kind] += taken
            refused += not taken
    assert refused > 0  # sizes that are impossible have been drawn too
    return counts


def test_shapes_parameters_and_macs_agree_with_torch():
    assert sum(count_agreements(0, 90).values()) == 90


@pytest.mark.slow
def test_shapes_parameters_and_macs_of_1800_layers_agree_with_torch():
    counts = count_agreements(1, 1800)
    assert counts == {
        "convolution": 600,
        "transposed": 400,
        "pooling": 400,
        "other": 200,
        "dense": 200,
    }


def test_macs_are_the_products_of_an_output_with_its_window():
    """By brute force: each output's gradient has one non-zero entry a product, were it all real."""
    layer = nn.Conv2d(4, 6, 3, stride=2, dilation=2, groups=2, bias=False).double()
    X = torch.ones(1, 4, 9, 8, dtype=torch.float64, requires_grad=True)
    nn.init.ones_(layer.weight)
    out = layer(X)
    # With ones everywhere and no padding, each output is the number of products that it adds up.
    assert conv.macs(layer, (4, 9, 8)) == int(out.sum())


STEPS = {
    "conv": lambda d: nn.Conv2d(1, 1, pair(d, 1, 4), pair(d, 1, 3), pair(d, 0, 2), pair(d, 1, 2)),
    "same": lambda d: nn.Conv2d(1, 1, pair(d, 1, 4), padding="same", dilation=pair(d, 1, 2)),
    "circular": lambda d: nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"),
    "reflect": lambda d: nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
    "pool": lambda d: nn.AvgPool2d(pair(d, 1, 3), pair(d, 1, 3), ceil_mode=d.random() < 0.5),
    "transposed": lambda d: nn.ConvTranspose2d(1, 1, pair(d, 2, 4), pair(d, 1, 2), pair(d, 0, 1)),
    "dilated": lambda d: nn.ConvTranspose2d(1, 1, 3, 1, dilation=2),
    "adaptive": lambda d: nn.AdaptiveAvgPool2d(pair(d, 1, 4)),
}


def pair(draw: random.Random, low: int, high: int) -> tuple[int, int]:
    return draw.randint(low, high), draw.randint(low, high)


class Branches(nn.Module):
    """Two paths that are added where their maps lie over one another."""

    def __init__(self, *paths: nn.Module) -> None:
        super().__init__()
        self.paths = nn.ModuleList(paths)

    def forward(self, X: torch.Tensor) -> torch.Tensor:
        return nn.functional.relu(self.paths[0](X)) + self.paths[1](X)


def random_stack(draw: random.Random, n: int) -> nn.Sequential:
    often = [4, 2, 1, 1, 4, 3, 2, 1]
    names = draw.choices(list(STEPS), often, k=draw.randint(1, 5))
    layers: list[nn.Module] = [STEPS[name](draw) for name in names]
    if draw.random() < 0.4:
        wide = nn.Conv2d(1, 1, 5, padding=2)
        small = nn.Conv2d(1, 1, 3, padding=1)
        layers.insert(draw.randint(0, len(layers)), Branches(wide, small))
    return nn.Sequential(*layers).double()


def footprint(model: nn.Module, size: tuple[int, ...], place: tuple[int, int]) -> list[range]:
    """The rows and columns that one output depends on: its gradient is not zero there."""
    for parameter in model.parameters():  # positive: nothing cancels
        nn.init.uniform_(parameter, 0.5, 1.5)
    X = torch.ones(1, *size, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(model(X)[0, 0][place], X)
    seen = gradient[0, 0] != 0
    found = []
    for axis in (1, 0):
        where = seen.any(dim=axis).nonzero().flatten()
        found.append(range(int(where[0]), int(where[-1]) + 1) if len(where) else range(0))
    return found


def compare_footprints(seed: int, wanted: int) -> tuple[int, int]:
    """Compare every border-aware window with the gradient's; and the widest with the theory."""
    draw = random.Random(seed)
    torch.manual_seed(seed)
    done = theory = 0
    while done < wanted:
        n = draw.randint(8, 24)
        model, size = random_stack(draw, n), (1, n, n + 3)
        try:
            row = conv.summary(model, size).rows[-1]
        except ValueError:
            continue
        rows, columns = row.output_shape[1:]
        field = output_field(model, size)
        place = (draw.randrange(rows), draw.randrange(columns))
        seen = [axis.window(o) for axis, o in zip(field.axes, place, strict=True)]
        if not all(seen):  # nothing but padding along one axis is nothing at all
            seen = [range(0), range(0)]
        assert seen == footprint(model, size, place), f"{model}, {size}, {place}"
        done += 1
        theory += widest_agrees(model, row.receptive_field)
    return done, theory


def widest_agrees(model: nn.Sequential, expected) -> bool:
    """On an input that is larger than the window, the middle's footprint is the whole theory."""
    wide = expected if isinstance(expected, tuple) else (expected, expected)
    fixed = ("AdaptiveAvgPool2d", "circular", "reflect")
    if any(word in str(model) for word in fixed) or max(wide) > 40:
        return False
    size = (1, 120, 120)
    try:
        row = conv.summary(model, size).rows[-1]
    except ValueError:
        return False
    assert row.receptive_field == expected, model
    rows, columns = row.output_shape[1:]
    found = [0, 0]
    for step in range(-4, 4):  # behind a transposed convolution, neighbours' windows differ
        place = tuple(min(max(n // 2 + step, 0), n - 1) for n in (rows, columns))
        for axis, window in enumerate(footprint(model, size, place)):
            found[axis] = max(found[axis], len(window))
    assert tuple(found) == wide, model
    return True


def test_receptive_fields_agree_with_footprints():
    done, theory = compare_footprints(0, 25)
    assert done == 25
    assert theory > 0


@pytest.mark.slow
def test_receptive_fields_of_200_stacks_agree_with_footprints():
    done, theory = compare_footprints(1, 200)
    assert done == 200
    assert theory >= 80
