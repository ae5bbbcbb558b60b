"""The mixture of a sine and a cosine: its data, and what they can tell, against plain algebra."""

import math

import pytest
import torch

from mlcourse.bilevel import alternate, numbers
from mlcourse.sine_mixture import (
    flattest_direction,
    losses,
    minima,
    mixture,
    profile_loss,
    sine_mixture,
    standard_errors,
)

W, A = (4.0, 9.0), (1.0, 0.5)


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def jacobian(x, w, a):
    parts = torch.autograd.functional.jacobian(lambda w, a: mixture(x, w, a), (w, a))
    return torch.cat(parts, dim=1)


def test_the_points_are_the_formula_and_noise_of_the_standard_deviation():
    clean, noisy = (sine_mixture(20_000, 3, noise=noise) for noise in (0.0, 0.1))
    x, y = clean.x_train, clean.y_train
    torch.testing.assert_close(y, 1.0 * (4 * x).sin() + 0.5 * (9 * x).cos())
    assert torch.equal(noisy.x_train, x)
    error = noisy.y_train - y
    # Five standard errors of the mean and of the standard deviation.
    assert abs(error.mean()) < 5 * 0.1 / math.sqrt(20_000)
    assert abs(error.std() - 0.1) < 5 * 0.1 / math.sqrt(2 * 20_000)
    assert 0 <= x.min() < 0.001
    assert 0.999 < x.max() < 1
    assert [len(part) for part in noisy] == [20_000, 20_000, 3, 3]


def test_a_seed_gives_the_same_points_in_both_dtypes_and_another_seed_others():
    double_, single = sine_mixture(), sine_mixture(dtype=torch.float32)
    for one, other in zip(double_, single, strict=True):
        assert torch.equal(one.float(), other)
    assert not torch.equal(double_.x_train, sine_mixture(seed=1).x_train)


def test_the_losses_are_mean_squares_on_their_own_points():
    data = sine_mixture(5, 7)
    w, a = double(3, 8), double(0.7, -0.2)
    train, val = (loss(w, a) for loss in losses(data))
    for loss, x, y in ((train, *data[:2]), (val, *data[2:])):
        expected = sum(
            (0.7 * math.sin(3 * p) - 0.2 * math.cos(8 * p) - q) ** 2
            for p, q in zip(x.tolist(), y.tolist(), strict=True)
        )
        assert math.isclose(float(loss), expected / len(x), rel_tol=1e-12)


def test_four_settings_are_one_function():
    x = sine_mixture().x_train
    for w, a in (((-4, 9), (-1, 0.5)), ((4, -9), (1, 0.5)), ((-4, -9), (-1, 0.5))):
        torch.testing.assert_close(
            mixture(x, double(*w), double(*a)), mixture(x, double(*W), double(*A))
        )


def test_the_standard_errors_are_those_of_the_information_matrix():
    generator = torch.Generator().manual_seed(0)
    for _ in range(10):
        x = torch.rand(50, generator=generator, dtype=torch.float64)
        w = 2 + 8 * torch.rand(2, generator=generator, dtype=torch.float64)
        a = 0.5 + torch.rand(2, generator=generator, dtype=torch.float64)
        J = jacobian(x, w, a)
        expected = 0.2 * torch.linalg.inv(J.T @ J).diagonal().sqrt()
        torch.testing.assert_close(standard_errors(x, w, a, 0.2), expected, rtol=1e-7, atol=0)


def test_what_the_data_cannot_tell_has_an_infinite_error():
    x = sine_mixture().x_train
    without_sine = standard_errors(x, double(*W), double(0, 0.5), 0.1)
    assert without_sine.isinf().tolist() == [True, False, False, False]
    # A sine of frequency 0 is zero, whatever its amplitude; a w0 of it is not, as a0 is 1.
    constant = standard_errors(x, double(0, 9), double(*A), 0.1)
    assert constant.isinf().tolist() == [False, False, True, False]


def test_the_flattest_direction_changes_the_function_by_what_it_says():
    x = sine_mixture().x_train
    for w, a in ((W, A), ((1.0, 1.0), (1.0, 1.0))):
        w, a = double(*w), double(*a)
        direction, slope = flattest_direction(x, w, a)
        assert math.isclose(float(direction.norm()), 1, rel_tol=1e-12)
        assert direction.abs().max() == direction.max()
        J = jacobian(x, w, a)
        change = (J @ direction).square().mean().sqrt()
        assert math.isclose(float(change), slope, rel_tol=1e-9)
        assert math.isclose(
            float(torch.linalg.eigvalsh(J.T @ J / len(x))[0]) ** 0.5, slope, rel_tol=1e-6
        )


def test_the_profile_is_the_error_of_linear_least_squares():
    data = sine_mixture(30, 1)
    x, y = data.x_train, data.y_train
    sines, cosines = double(1, 4, 6.5), double(0, 2, 9, 11)
    profile = profile_loss(x, y, sines, cosines)
    assert profile.shape == (3, 4)
    for i, w0 in enumerate(sines):
        for j, w1 in enumerate(cosines):
            features = torch.stack([(w0 * x).sin(), (w1 * x).cos()], dim=1)
            best = torch.linalg.lstsq(features, y).solution
            expected = (features @ best - y).square().mean()
            torch.testing.assert_close(profile[i, j], expected, rtol=1e-9, atol=1e-12)
    zero = profile_loss(x, y, double(0), double(9))
    features = (9 * x).cos()
    expected = (y - features * (features @ y) / (features @ features)).square().mean()
    torch.testing.assert_close(zero[0, 0], expected)


def test_the_profile_has_its_lowest_minimum_at_the_truth_and_others_besides():
    data = sine_mixture(100, 1)
    ticks = torch.linspace(0.25, 20, 80, dtype=torch.float64)
    profile = profile_loss(data.x_train, data.y_train, ticks, ticks)
    places = minima(profile)
    assert ticks[places[0]].tolist() == [4, 9]
    assert len(places) > 10
    heights = [float(profile[i, j]) for i, j in places.tolist()]
    assert heights == sorted(heights)


def test_minima_of_a_grid():
    heights = double(
        *([9, 9, 9, 9, 9], [9, 3, 9, 9, 9], [9, 9, 9, 1, 9], [9, 9, 9, 9, 0]),
    )
    assert minima(heights).tolist() == [[1, 1]]
    heights[3, 4] = 2
    assert minima(heights).tolist() == [[2, 3], [1, 1]]
    assert minima(torch.zeros(4, 4)).tolist() == []


def test_without_noise_descent_from_near_ends_at_the_truth_for_every_method_and_order():
    train, val = losses(sine_mixture(noise=0.0))
    for xi, method, order in (
        (0.0, "unrolled_step", "w"),
        (0.3, "unrolled_step", "hyper"),
        (0.3, "finite_difference", "hyper"),
    ):
        descent = alternate(
            *(train, val, double(3.8, 8.8), double(0.8, 0.4)),
            steps=400,
            lr_w=1.0,
            lr_hyper=0.3,
            xi=xi,
            method=method,
            order=order,
            record=numbers,
        )
        torch.testing.assert_close(descent.w, double(*W), rtol=0, atol=1e-5)
        torch.testing.assert_close(descent.hyper, double(*A), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_train": 0}, "n_train is 0 and n_val 100: draw 1 point or more of each"),
        ({"n_val": -1}, "n_train is 100 and n_val -1"),
        ({"noise": -0.1}, "noise is -0.1: give a standard deviation, 0 or more"),
        ({"noise": math.nan}, "noise is nan"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        sine_mixture(**settings)
