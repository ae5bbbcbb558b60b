"""Standardising and whitening: against numpy and torch, fitted on training images alone."""

import numpy as np
import pytest
import torch

from mlcourse.preprocessing import CHUNK, ZCA, Standardise, to_float


def images(n: int = 50, size: int = 4, seed: int = 0) -> torch.Tensor:
    """Correlated uint8 images: neighbours share a part of their value."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(n, 3, size + 1, size, generator=generator)
    mixed = 0.7 * noise[:, :, 1:] + 0.3 * noise[:, :, :-1]
    mixed[:, 1] = 0.5 * mixed[:, 1] + 0.5 * mixed[:, 0]
    return (255 * mixed).to(torch.uint8)


def test_to_float_is_division_by_255_and_keeps_floating_point():
    X = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    assert torch.equal(to_float(X), X.float() / 255)
    assert to_float(X.double()).dtype == torch.float64
    assert X[0, 0, 0, 1] == 1


@pytest.mark.parametrize("act", [to_float, Standardise.fit, ZCA.fit])
def test_integers_of_unknown_range_are_refused(act):
    with pytest.raises(ValueError, match=r"torch.int64: give uint8"):
        act(images().long())


@pytest.mark.parametrize("fit", [Standardise.fit, ZCA.fit])
@pytest.mark.parametrize("shape", [(3, 4, 4), (0, 3, 4, 4)])
def test_what_is_no_batch_of_images_is_refused(fit, shape):
    with pytest.raises(ValueError, match=r"give \(N, C, H, W\)"):
        fit(torch.zeros(shape))


# --- Standardise -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 2 * CHUNK + 7])
def test_mean_and_deviation_are_those_of_all_pixels(n):
    X = images(n)
    exact = X.numpy().astype(np.float64) / 255
    for fitted in (Standardise.fit(X), Standardise.fit(X.double() / 255)):
        np.testing.assert_allclose(fitted.mean, exact.mean(axis=(0, 2, 3)), rtol=1e-12)
        np.testing.assert_allclose(fitted.std, exact.std(axis=(0, 2, 3)), rtol=1e-12)


def test_standardised_training_images_have_mean_0_and_deviation_1():
    X = images().double()
    Z = Standardise.fit(X)(X)
    torch.testing.assert_close(Z.mean(dim=(0, 2, 3)), torch.zeros(3).double())
    torch.testing.assert_close(Z.std(dim=(0, 2, 3), correction=0), torch.ones(3).double())


def test_other_images_are_measured_with_the_training_images_statistics():
    fitted, other = Standardise.fit(images(seed=0)), images(7, seed=1)
    expected = (other.double() / 255 - fitted.mean.view(3, 1, 1)) / fitted.std.view(3, 1, 1)
    assert fitted(other).dtype == torch.float32
    torch.testing.assert_close(fitted(other).double(), expected, atol=1e-6, rtol=1e-5)
    # One image alone gives the same as within its batch: nothing is measured at prediction.
    torch.testing.assert_close(fitted(other[:1]), fitted(other)[:1])


def test_uint8_and_its_floats_give_the_same():
    X = images()
    fitted = Standardise.fit(X)
    torch.testing.assert_close(fitted(X), fitted(to_float(X)), atol=2e-6, rtol=1e-5)
    assert fitted(X.double() / 255).dtype == torch.float64


def test_standardising_agrees_with_torchvision():
    from torchvision.transforms import v2

    X = images()
    fitted = Standardise.fit(X)
    theirs = v2.Compose(
        [
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(fitted.mean.tolist(), fitted.std.tolist()),
        ]
    )
    torch.testing.assert_close(fitted(X), theirs(X), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("level", [0, 1, 77, 255])
@pytest.mark.parametrize("convert", [torch.Tensor.byte, torch.Tensor.float, torch.Tensor.double])
def test_a_constant_channel_is_only_centred(level, convert):
    X = images()
    X[:, 1] = level
    X = convert(X)
    fitted = Standardise.fit(X)
    assert fitted.std[1] == 1
    Z = fitted(X)
    assert Z.isfinite().all()
    assert Z[:, 1].abs().max() < 1e-4


def test_a_small_but_real_variation_is_no_constant():
    X = 1000 + 0.5 * torch.rand(20, 1, 4, 4, dtype=torch.float64)
    assert Standardise.fit(X).std[0] == pytest.approx(float(X.std(correction=0)))


def test_standardising_changes_nothing_in_place_and_keeps_channels_last():
    X = images().to(memory_format=torch.channels_last)
    before = X.clone()
    Z = Standardise.fit(X)(X)
    assert torch.equal(X, before)
    assert Z.is_contiguous(memory_format=torch.channels_last)


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 1, 4, 4\): give \(N, 3, H, W\)"):
        Standardise.fit(images())(torch.zeros(2, 1, 4, 4))


# --- ZCA ---------------------------------------------------------------------------------------


def flat(X: torch.Tensor) -> torch.Tensor:
    return X.double().reshape(len(X), -1)


@pytest.mark.parametrize("n", [200, 2 * CHUNK + 7])
def test_the_covariance_is_exact(n):
    X = images(n)
    for fitted in (ZCA.fit(X), ZCA.fit(X.double() / 255)):
        covariance = np.cov(flat(X).numpy().T / 255, bias=True)
        rebuilt = (fitted.vectors * fitted.values) @ fitted.vectors.T
        np.testing.assert_allclose(rebuilt, covariance, atol=1e-14)
        np.testing.assert_allclose(fitted.mean, flat(X).numpy().mean(axis=0) / 255, rtol=1e-13)


def test_bytes_at_their_extremes_are_summed_exactly():
    """The largest products there are, a whole chunk of them: where float32 would round first."""
    X = torch.zeros(2 * CHUNK + 1, 1, 1, 3, dtype=torch.uint8)
    X[: CHUNK + 1, ..., 0] = 255
    X[::2, ..., 1] = 255
    covariance = np.cov(flat(X).numpy().T / 255, bias=True)
    fitted = ZCA.fit(X)
    np.testing.assert_allclose(
        (fitted.vectors * fitted.values) @ fitted.vectors.T, covariance, atol=1e-15
    )


def test_without_eps_training_images_become_white():
    X = images(500).double() / 255
    Z = flat(ZCA.fit(X, eps=0)(X))
    torch.testing.assert_close(Z.mean(dim=0), torch.zeros(48).double(), atol=1e-12, rtol=0)
    white = torch.eye(48, dtype=torch.float64)
    torch.testing.assert_close(torch.cov(Z.T, correction=0), white, atol=1e-10, rtol=0)


def test_with_eps_each_direction_keeps_the_share_of_its_variance():
    X, eps = images(500).double() / 255, 0.01
    fitted = ZCA.fit(X, eps)
    along = flat(fitted(X)) @ fitted.vectors
    expected = torch.diag(fitted.values / (fitted.values + eps))
    torch.testing.assert_close(torch.cov(along.T, correction=0), expected, atol=1e-12, rtol=0)


def test_the_matrix_is_symmetric_and_the_closest_whitening():
    X = images(500).double() / 255
    fitted = ZCA.fit(X, eps=0)
    torch.testing.assert_close(fitted.matrix, fitted.matrix.T)
    centred = flat(X) - fitted.mean
    zca = (centred - centred @ fitted.matrix).square().sum()
    pca = (centred - centred @ (fitted.vectors / fitted.values.sqrt())).square().sum()
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(48, 48, generator=generator, dtype=torch.float64)
    turn = torch.linalg.qr(noise).Q
    turned = (centred - centred @ fitted.matrix @ turn).square().sum()
    assert zca < pca
    assert zca < turned


@pytest.mark.parametrize("eps", [0.0, 0.01])
def test_the_inverse_gives_the_images_back(eps):
    X = images(500).double() / 255
    fitted = ZCA.fit(X, eps)
    torch.testing.assert_close(fitted.inverse(fitted(X)), X)
    other = images(5, seed=1)
    torch.testing.assert_close(fitted.inverse(fitted(other)), to_float(other), atol=1e-4, rtol=0)


def test_other_images_are_whitened_with_the_training_images_statistics():
    fitted, other = ZCA.fit(images(200)), images(7, seed=1)
    expected = (flat(other) / 255 - fitted.mean) @ fitted.matrix
    assert fitted(other).dtype == torch.float32
    torch.testing.assert_close(flat(fitted(other)), expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(fitted(other[:1]), fitted(other)[:1], atol=1e-5, rtol=1e-4)


def test_eps_0_needs_images_that_vary_in_every_direction():
    with pytest.raises(ValueError, match=r"48 pixels, so eps=0 would divide by zero"):
        ZCA.fit(images(48), eps=0)
    assert ZCA.fit(images(48), eps=0.01)(images(48)).isfinite().all()


@pytest.mark.parametrize("eps", [-0.1, float("nan")])
def test_a_negative_eps_is_refused(eps):
    with pytest.raises(ValueError, match="eps is"):
        ZCA.fit(images(), eps=eps)


def test_other_pixels_are_refused():
    with pytest.raises(ValueError, match="give 48 pixels each"):
        ZCA.fit(images())(torch.zeros(2, 3, 5, 4))
