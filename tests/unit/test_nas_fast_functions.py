"""The parts of the fast supernet: values and gradients of every order against torch's functions."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from mlcourse.nas import fast_extension
from mlcourse.nas.fast_depthwise import depthwise, plain_depthwise
from mlcourse.nas.fast_norm import (
    add_normalised,
    normalised_relu,
    plain_normalised,
    plain_normalised_relu,
)
from mlcourse.nas.fast_products import affine2_, affine_, cross


@pytest.fixture(params=["pytorch", pytest.param("extension", marks=pytest.mark.slow)], autouse=True)
def way(request):
    """Run each test with PyTorch alone, and with the extension if it can be built."""
    if request.param == "pytorch":
        with fast_extension.pytorch_only():
            yield
    else:
        if fast_extension.compiled(torch.ones(1)) is None:
            pytest.skip("the extension cannot be built here")
        yield


def randn(*size, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*size, generator=generator, dtype=torch.float64).requires_grad_()


FILTERS = [
    (kernel, stride, dilation) for kernel in (3, 5) for stride in (1, 2) for dilation in (1, 2)
]


@pytest.mark.parametrize(("kernel", "stride", "dilation"), FILTERS)
@pytest.mark.parametrize("size", [(8, 8), (7, 10)])
def test_depthwise_and_its_gradients_are_those_of_torchs_convolution(
    kernel, stride, dilation, size
):
    # 12 channels are a register and a half, and 9 columns not a whole number of blocks.
    for k, C in ((3, 4), (1, 8), (2, 3)):
        x, w = randn(2, *size, C), randn(k, C, kernel, kernel, seed=1)
        ours = depthwise(x, w, stride, dilation)
        torchs = plain_depthwise(x, w, stride, dilation)
        torch.testing.assert_close(ours, torchs)
        g = torch.randn_like(torchs)
        for a, b in zip(
            torch.autograd.grad(ours, (x, w), g),
            torch.autograd.grad(torchs, (x, w), g),
            strict=True,
        ):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("kernel", "stride", "dilation"), FILTERS)
def test_depthwise_can_be_differentiated_twice(kernel, stride, dilation):
    x, w = randn(1, 4, 5, 2), randn(2, 2, kernel, kernel, seed=1)
    assert gradcheck(depthwise, (x, w, stride, dilation), fast_mode=True)
    assert gradgradcheck(depthwise, (x, w, stride, dilation), fast_mode=True)


def test_depthwise_takes_other_kernels_and_dtypes():
    x, w = randn(1, 6, 6, 2), randn(1, 2, 7, 7, seed=1)
    assert gradcheck(depthwise, (x, w), fast_mode=True)
    half = depthwise(x.bfloat16(), w.bfloat16())
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.double(), depthwise(x, w), atol=0.3, rtol=0.1)


@pytest.mark.parametrize("channels", [(3, 5), (8, 8), (16, 8), (32, 16), (24, 4)])
def test_the_norm_of_a_product_and_its_gradients_are_those_of_torchs_functions(channels):
    n_in, n_out = channels
    D = randn(11, 2, n_in).transpose(0, 1)
    W, weights, total = randn(2, n_out, n_in, seed=1), randn(2, seed=2), randn(2, 11 * n_out)
    g = randn(2, 11, n_out, seed=3)

    ours, seen = add_normalised(total + 0, D, W, weights)
    torchs = total.view_as(g) + plain_normalised(D, W, weights[:, None])
    torch.testing.assert_close(ours.view_as(g), torchs)
    at = (total, D, W, weights)
    for a, b in zip(
        torch.autograd.grad(ours, at, g.flatten(1)), torch.autograd.grad(torchs, at, g), strict=True
    ):
        torch.testing.assert_close(a, b)

    Y = D @ W.mT
    torch.testing.assert_close(seen.mean, Y.mean(1))
    torch.testing.assert_close(seen.variance, Y.var(1, correction=0))
    assert seen.pixels == 11
    assert not seen.mean.requires_grad

    ours, also_seen = normalised_relu(D, W)
    torchs = plain_normalised_relu(D, W)
    torch.testing.assert_close(ours, torchs)
    torch.testing.assert_close(also_seen, seen)
    for a, b in zip(
        torch.autograd.grad(ours, (D, W), g), torch.autograd.grad(torchs, (D, W), g), strict=True
    ):
        torch.testing.assert_close(a, b)


def test_norms_can_be_differentiated_twice():
    D, W, weights = randn(2, 6, 3), randn(2, 4, 3, seed=1), randn(2, seed=2)
    total = randn(2, 6 * 4, seed=3)

    def added(total, D, W, weights):
        # The total is written over.
        return add_normalised(total.clone(), D, W, weights)[0]

    def relu(D, W):
        return normalised_relu(D, W)[0]

    for function, at in ((added, (total, D, W, weights)), (relu, (D, W))):
        assert gradcheck(function, at)
        assert gradgradcheck(function, at)


def test_a_gradient_of_a_gradient_goes_where_an_input_came_from():
    # D depends on W: the second derivative must not count this path twice.
    W = randn(1, 3, 3, seed=1)
    x = randn(1, 7, 3).detach()
    assert gradgradcheck(lambda W: normalised_relu(x @ W, W)[0], (W,))


@pytest.mark.parametrize("channels", [1, 3, 4, 8, 16, 32, 64])
def test_products_of_strided_stacks(channels):
    with torch.no_grad():
        A, D = randn(3, 21, channels), randn(21, 3, channels, seed=1).transpose(0, 1)
        V, M = randn(3, channels, channels, seed=2), randn(3, channels, channels, seed=3).mT
        b = randn(3, 1, channels, seed=4)
        torch.testing.assert_close(cross(A, D), A.mT @ D)
        out = torch.ones(21, 3, channels, dtype=torch.float64).transpose(0, 1)
        affine_(out, b, A, V)
        torch.testing.assert_close(out, A @ V + b)
        affine_(out, b, D, V.mT, add=True)
        torch.testing.assert_close(out, A @ V + D @ V.mT + 2 * b)
        affine2_(out, b, A, V, D, M)
        torch.testing.assert_close(out, A @ V + D @ M + b)
