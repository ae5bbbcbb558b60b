"""Lanczos finds the ends of a spectrum, and all of it after n steps."""

import pytest
import torch

from mlcourse.spectra import lanczos, spectrum, top_eigenvalue


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def symmetric(eigenvalues: torch.Tensor, seed: int = 0) -> torch.Tensor:
    n = len(eigenvalues)
    noise = torch.randn(n, n, dtype=torch.float64, generator=generator(seed))
    Q = torch.linalg.qr(noise).Q
    return Q @ eigenvalues.diag() @ Q.T


def test_the_spectrum_of_a_known_hessian():
    expected = torch.linspace(-3, 7, 20, dtype=torch.float64)
    H = symmetric(expected)
    found = spectrum(lambda x: x @ H @ x / 2, torch.ones(20, dtype=torch.float64))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_n_steps_are_exact_because_the_basis_stays_orthogonal(seed):
    expected = torch.logspace(-6, 3, 60, dtype=torch.float64)
    H = symmetric(expected, seed)
    ritz = lanczos(lambda v: H @ v, 60, 60, generator(seed))
    torch.testing.assert_close(ritz.values, expected, rtol=0, atol=1e-9)
    torch.testing.assert_close(
        ritz.vectors.T @ ritz.vectors, torch.eye(60).double(), rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("seed", range(5))
def test_both_ends_are_found_long_before(seed):
    bulk = torch.linspace(-0.5, 0.5, 296, dtype=torch.float64)
    expected = torch.cat([torch.tensor([-2.0, -1.0]).double(), bulk, torch.tensor([3.0, 9.0])])
    H = symmetric(expected, seed)
    ritz = lanczos(lambda v: H @ v, 300, 40, generator(seed))
    torch.testing.assert_close(ritz.values[[0, -2, -1]], expected[[0, -2, -1]], rtol=0, atol=1e-6)
    exact = torch.linalg.eigvalsh(H)
    nearest = (ritz.values[:, None] - exact).abs().min(1).values
    assert (nearest <= ritz.errors + 1e-12).all()
    residuals = (H @ ritz.vectors - ritz.vectors * ritz.values).norm(dim=0)
    torch.testing.assert_close(residuals, ritz.errors, rtol=0, atol=1e-12)


def test_weights_give_the_moments_of_the_spectrum_seen_from_the_start():
    """Exactly: Gauss's rule with m nodes is right for powers up to 2 m - 1."""
    expected = torch.linspace(-1, 2, 30, dtype=torch.float64)
    H = symmetric(expected)
    ritz = lanczos(lambda v: H @ v, 30, 6, generator(3))
    v = torch.randn(30, dtype=torch.float64, generator=generator(3))
    v /= v.norm()
    for power in range(12):
        moment = v @ torch.linalg.matrix_power(H, power) @ v
        torch.testing.assert_close((ritz.weights * ritz.values**power).sum(), moment)


def test_it_ends_where_no_new_vector_is_left():
    H = symmetric(torch.tensor([1.0, 1, 1, 1, 1, 4, 4, 4]).double())
    ritz = lanczos(lambda v: H @ v, 8, 8, generator())
    torch.testing.assert_close(ritz.values, torch.tensor([1.0, 4.0]).double())
    zero = lanczos(torch.zeros_like, 5, 5, generator())
    assert zero.values.tolist() == [0]


def test_the_same_seed_gives_the_same_bits():
    H = symmetric(torch.arange(20).double())
    first, second = (lanczos(lambda v: H @ v, 20, 5, generator(1)).values for _ in range(2))
    assert torch.equal(first, second)


def test_top_eigenvalue_approaches_from_below():
    expected = torch.linspace(-12, 10, 100, dtype=torch.float64)
    H = symmetric(expected)

    def f(x):
        return x @ H @ x / 2

    x = torch.zeros(100, dtype=torch.float64)
    found = [top_eigenvalue(f, x, steps, generator()) for steps in (3, 10, 30, 100, 1000)]
    assert found[:4] == sorted(found[:4])
    assert found[0] < 10 - 1e-3
    assert found[3] == found[4] == pytest.approx(10, abs=1e-10)


@pytest.mark.parametrize("steps", [0, 4])
def test_impossible_steps_are_refused(steps):
    with pytest.raises(ValueError, match=rf"steps is {steps}: give a number from 1 to n, 3"):
        lanczos(lambda v: v, 3, steps)
