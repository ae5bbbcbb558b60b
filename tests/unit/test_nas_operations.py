"""The candidate operations against torch's functions, written out from their weights."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse.nas.operations import (
    OPERATIONS,
    WITHOUT_WEIGHTS,
    FactorizedReduction,
    Zero,
    depthwise_separable,
    operation,
    relu_conv_norm,
)

C = 4


def images(height=8, width=8, channels=C, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, channels, height, width, generator=generator, dtype=torch.float64)


def make(name, stride=1, affine=True):
    torch.manual_seed(1)
    return operation(name, C, stride, affine).double()


def standardised(x):
    """Batch norm without scale and shift, in training."""
    mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    return (x - mean) / (var + 1e-5).sqrt()


def separable(x, layers, kernel, stride, dilation=1):
    padding = dilation * (kernel - 1) // 2
    depthwise, pointwise = layers.depthwise.weight, layers.pointwise.weight
    x = F.conv2d(x.relu(), depthwise, None, stride, padding, dilation, groups=C)
    return standardised(F.conv2d(x, pointwise))


def test_the_names_are_the_papers_in_its_order():
    assert len(OPERATIONS) == 8
    assert OPERATIONS[0] == "none"
    assert OPERATIONS[:4] == WITHOUT_WEIGHTS


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("size", [(8, 8), (7, 8), (8, 7), (5, 9)])
def test_the_shape_stays_or_is_halved_and_rounded_up(name, size):
    x = images(*size)
    assert make(name)(x).shape == x.shape
    assert make(name, 2)(x).shape == (3, C, *(-(-side // 2) for side in size))


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("stride", [1, 2])
def test_what_has_no_weights(name, stride):
    parameters = list(make(name, stride, affine=False).parameters())
    strided_skip = name == "skip_connect" and stride == 2
    assert (not parameters) == (name in WITHOUT_WEIGHTS and not strided_skip)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("name", "kernel"), [("sep_conv_3x3", 3), ("sep_conv_5x5", 5)])
def test_a_separable_convolution_is_applied_twice_and_halves_once(name, kernel, stride):
    x, op = images(), make(name, stride, affine=False)
    once = separable(x, op.first, kernel, stride)
    torch.testing.assert_close(op(x), separable(once, op.second, kernel, 1))


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("name", "kernel"), [("dil_conv_3x3", 3), ("dil_conv_5x5", 5)])
def test_a_dilated_convolution(name, kernel, stride):
    x, op = images(), make(name, stride, affine=False)
    torch.testing.assert_close(op(x), separable(x, op, kernel, stride, dilation=2))


@pytest.mark.parametrize(("name", "side"), [("dil_conv_3x3", 5), ("dil_conv_5x5", 9)])
def test_how_far_a_dilated_convolution_sees(name, side):
    x = images(21, 21).abs().requires_grad_()
    # In evaluation a batch norm does not mix pixels.
    make(name).eval()(x)[0, 0, 10, 10].backward()
    rows = x.grad[0].abs().sum((0, 2)).nonzero().flatten()
    assert rows[0] == 10 - side // 2
    assert rows[-1] == 10 + side // 2


def test_max_pool():
    x = images()
    padded = F.pad(x, (1, 1, 1, 1), value=-torch.inf)
    windows = padded.unfold(2, 3, 1).unfold(3, 3, 1)
    torch.testing.assert_close(make("max_pool_3x3")(x), windows.amax((4, 5)))
    torch.testing.assert_close(make("max_pool_3x3", 2)(x), windows.amax((4, 5))[..., ::2, ::2])


def test_a_mean_at_the_border_is_over_pixels_that_exist():
    x = images()
    pooled = make("avg_pool_3x3")(x)
    torch.testing.assert_close(pooled[..., 0, 0], x[..., :2, :2].mean((2, 3)))
    torch.testing.assert_close(pooled[..., 3, 3], x[..., 2:5, 2:5].mean((2, 3)))
    torch.testing.assert_close(make("avg_pool_3x3", 2)(x), pooled[..., ::2, ::2])


def test_skip_and_none():
    x = images()
    assert make("skip_connect")(x) is x
    assert isinstance(make("skip_connect", 2), FactorizedReduction)
    for stride in (1, 2):
        zeros = make("none", stride)(x)
        assert isinstance(make("none", stride), Zero)
        assert torch.equal(zeros, torch.zeros_like(x[..., ::stride, ::stride]))


@pytest.mark.parametrize("size", [(8, 8), (7, 9)])
def test_a_factorised_reduction_from_its_weights(size):
    x = images(*size)
    torch.manual_seed(1)
    reduction = FactorizedReduction(C, 6, affine=False).double()
    height, width = (-(-side // 2) * 2 for side in size)
    padded = torch.zeros(3, C, height, width, dtype=torch.float64)
    padded[..., : size[0], : size[1]] = x.relu()
    halves = [
        torch.einsum("oc,nchw->nohw", conv.weight[..., 0, 0], padded[..., i::2, i::2])
        for i, conv in enumerate((reduction.even, reduction.odd))
    ]
    torch.testing.assert_close(reduction(x), standardised(torch.cat(halves, 1)))


def test_a_factorised_reduction_sees_two_of_every_four_pixels():
    x = images().abs().requires_grad_()
    FactorizedReduction(C, 6).double().eval()(x).square().sum().backward()
    seen = x.grad.abs().sum((0, 1)) > 0
    assert torch.equal(seen, (torch.arange(8)[:, None] + torch.arange(8)) % 2 == 0)


def test_what_comes_before_a_cell_is_relu_then_convolution_then_norm():
    x = images()
    torch.manual_seed(1)
    layers = relu_conv_norm(C, 6, affine=False).double()
    conv = torch.einsum("oc,nchw->nohw", layers.conv.weight[..., 0, 0], x.relu())
    torch.testing.assert_close(layers(x), standardised(conv))


@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("name", OPERATIONS)
def test_only_affine_operations_have_scales(name, stride, affine):
    norms = [m for m in make(name, stride, affine).modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(norm.affine == affine for norm in norms)
    convolutions = [m for m in make(name, stride).modules() if isinstance(m, nn.Conv2d)]
    assert all(conv.bias is None for conv in convolutions)


def test_the_number_of_weights_of_each_operation():
    counts = {
        name: sum(p.numel() for p in operation(name, 16, affine=False).parameters())
        for name in OPERATIONS[4:]
    }
    assert counts == {
        "sep_conv_3x3": 2 * (16 * 9 + 16 * 16),
        "sep_conv_5x5": 2 * (16 * 25 + 16 * 16),
        "dil_conv_3x3": 16 * 9 + 16 * 16,
        "dil_conv_5x5": 16 * 25 + 16 * 16,
    }
    assert [name for name, _ in depthwise_separable(4, 3, 1, False).named_children()] == [
        "relu",
        "depthwise",
        "pointwise",
        "norm",
    ]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("conv", 4), "the operation is 'conv': give one of none, max_pool_3x3"),
        (("none", 0), "channels is 0: give 1 or more"),
        (("none", 4, 3), "stride is 3: give 1, or 2 to halve the images"),
        (("skip_connect", 3, 2), "n_out is 3: give an even number"),
    ],
)
def test_wrong_arguments(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        operation(*arguments)
