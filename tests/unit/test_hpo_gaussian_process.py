"""The Gaussian process with errors in common: against scikit-learn's, and on drawn data."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from mlcourse.hpo.gaussian_process import Process


def drawn(n: int, group: float, noise: float, seed: int = 0):
    """A smooth function of the first of two inputs, groups of five, and the function's values."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-2, 2, size=(n, 2))
    groups = rng.permutation(n) // 5
    f = np.sin(2 * X[:, 0])
    y = f + group * rng.normal(size=n)[groups] + noise * rng.normal(size=n)
    return X, y, groups, f


def test_without_groups_it_predicts_what_scikit_learn_s_does() -> None:
    X, y, _, _ = drawn(40, group=0, noise=0.2)
    process = Process(X, y, np.arange(40))
    scale, unit = X.std(axis=0), y.std()
    kernel = ConstantKernel((process.signal / unit) ** 2) * RBF(process.lengths / scale)
    noise = (process.noise**2 + process.group_noise**2) / unit**2 + 1e-8
    theirs = GaussianProcessRegressor(kernel + WhiteKernel(noise), optimizer=None, alpha=0)
    theirs.fit((X - X.mean(axis=0)) / scale, (y - y.mean()) / unit)
    new = np.random.default_rng(1).uniform(-3, 3, size=(30, 2))
    expected = y.mean() + unit * theirs.predict((new - X.mean(axis=0)) / scale)
    np.testing.assert_allclose(process.mean(new), expected, atol=1e-8)


def test_it_tells_the_groups_errors_from_the_noise_and_from_the_function() -> None:
    X, y, groups, f = drawn(200, group=0.4, noise=0.1)
    process = Process(X, y, groups)
    assert process.group_noise == pytest.approx(0.4, rel=0.3)
    assert process.noise == pytest.approx(0.1, rel=0.3)
    # The input that does not matter is the longer one.
    assert process.lengths[1] > 3 * process.lengths[0]
    errors = np.sqrt(np.square(process.mean(X) - f).mean())
    assert errors < 0.4 / np.sqrt(200 / 5) * 2
    # What takes each row for one of its own has to follow errors that are no noise of its rows.
    alone = Process(X, y, np.arange(200))
    assert errors < np.sqrt(np.square(alone.mean(X) - f).mean())


def test_errors_in_common_do_not_bend_the_function() -> None:
    """Neighbours in one group, all 1 too high: the mean stays nearer to the truth."""
    X = np.linspace(0, 1, 60)[:, None]
    groups = np.arange(60) // 6
    rng = np.random.default_rng(3)
    y = rng.normal(size=10)[groups] + 0.1 * rng.normal(size=60)
    with_groups, without = Process(X, y, groups), Process(X, y, np.arange(60))
    assert np.std(with_groups.mean(X)) < np.std(without.mean(X))


def test_units_do_not_matter() -> None:
    X, y, groups, _ = drawn(60, group=0.2, noise=0.2)
    one, other = Process(X, y, groups), Process(100 * X + 7, 1000 * y - 5, groups)
    np.testing.assert_allclose(other.mean(100 * X + 7), 1000 * one.mean(X) - 5, rtol=1e-5)
    assert other.group_noise == pytest.approx(1000 * one.group_noise, rel=1e-4)


def test_equal_values_and_equal_inputs_break_nothing() -> None:
    X = np.array([[0.0, 1.0], [1.0, 1.0], [2.0, 1.0], [2.0, 1.0]])
    np.testing.assert_allclose(Process(X, [3, 3, 3, 3], [0, 0, 1, 1]).mean(X), 3)
    assert np.isfinite(Process(X, [1, 2, 3, 5], [0, 0, 1, 1]).mean(X)).all()


def test_rows_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"X has the shape \(3, 1\), y \(2,\) and groups \(3,\)"):
        Process([[0], [1], [2]], [0, 1], [0, 1, 2])
    with pytest.raises(ValueError, match="give as many rows of each, 3 or more"):
        Process([[0], [1]], [0, 1], [0, 1])
