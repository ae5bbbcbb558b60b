"""Searches end at critical points of every kind, or say that they did not."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse.critical_points import CriticalPoint, find_critical_point
from mlcourse.curvature import Taylor, flat_loss, hessian
from mlcourse.surfaces import himmelblau


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=draw)


MAXIMUM = (-0.27084459, -0.92303856)
KINDS = [
    *[(x, 0.0) for x in himmelblau().minima],
    *[(x, 0.5) for x in himmelblau().saddles],
    (MAXIMUM, 1.0),
]


@pytest.mark.parametrize(("x", "index"), KINDS)
def test_minima_saddles_and_the_maximum_of_himmelblau(x, index):
    start = torch.tensor(x, dtype=torch.float64) + 0.1
    found = find_critical_point(himmelblau(), start)
    assert found.converged
    assert found.index() == index
    assert found.flat_fraction() == 0
    torch.testing.assert_close(found.point, torch.tensor(x).double(), rtol=0, atol=1e-6)
    here = Taylor(himmelblau(), found.point)
    assert here.gradient_norm == found.gradient_norm <= 1e-8
    assert here.value == found.cost
    torch.testing.assert_close(found.eigenvalues, torch.linalg.eigvalsh(here.hessian()))
    assert found.reason == f"|g| is {found.gradient_norm:.1e}"


@pytest.mark.parametrize("negative", [0, 1, 7, 20])
def test_a_quadratic_of_any_index(negative):
    eigenvalues = torch.linspace(0.5, 3, 20, dtype=torch.float64)
    eigenvalues[:negative] *= -1
    Q = torch.linalg.qr(normal(20, 20)).Q
    H, centre = Q @ eigenvalues.diag() @ Q.T, normal(20, seed=1)
    found = find_critical_point(lambda x: (x - centre) @ H @ (x - centre) / 2, normal(20, seed=2))
    assert found.converged
    assert found.index() == negative / 20
    torch.testing.assert_close(found.point, centre, rtol=0, atol=1e-7)


def test_a_minimum_of_the_gradient_s_norm_is_no_critical_point():
    """f' = x^2 + 1 is smallest at 0, where f'' is 0 and f' is not."""
    found = find_critical_point(lambda x: (x**3 / 3 + x).sum(), torch.tensor([1.5]).double())
    assert not found.converged
    assert found.gradient_norm == pytest.approx(1)
    assert found.reason.startswith("|g| stays at 1.0e+00, with |Hg| ")
    assert found.reason.endswith("near a minimum of |g| where g is not zero")


def test_a_search_cut_short_says_so():
    found = find_critical_point(himmelblau(), torch.tensor([5.0, 5.0]).double(), steps=2)
    assert not found.converged
    assert found.steps == 2
    assert found.reason == f"|g| is still {found.gradient_norm:.1e} after 2 steps"


def test_a_start_at_a_critical_point_stays():
    found = find_critical_point(himmelblau(), torch.tensor([3.0, 2.0]).double())
    assert (found.converged, found.steps, found.point.tolist()) == (True, 0, [3, 2])


def test_eigenvalues_near_zero_are_flat_and_not_negative():
    point = CriticalPoint(
        point=torch.zeros(5),
        cost=0.0,
        gradient_norm=0.0,
        eigenvalues=torch.tensor([-2.0, -1e-7, 0.0, 1e-7, 1.0]).double(),
        steps=0,
        converged=True,
        reason="",
    )
    assert (point.index(), point.flat_fraction()) == (0.2, 0.6)
    assert (point.index(flat=1e-9), point.flat_fraction(flat=1e-9)) == (0.4, 0.2)
    valley = find_critical_point(lambda x: x[0] ** 2 + 0 * x[1], torch.ones(2).double())
    assert (valley.index(), valley.flat_fraction()) == (0, 0.5)


def test_critical_points_of_a_network_with_zero_weights_among_them():
    """Zero is critical when the classes are equally frequent."""
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3)).double()
    f, x = flat_loss(model, F.cross_entropy, 2 * normal(30, 3), torch.arange(30) % 3)

    def decayed(x):
        return f(x) + 1e-3 * x.square().sum()

    found = find_critical_point(decayed, 0.05 * normal(len(x), seed=4), tolerance=1e-12)
    assert found.converged
    assert found.point.norm() < 1e-8
    assert 0 < found.index() < 0.5
    exact = torch.linalg.eigvalsh(hessian(decayed, torch.zeros_like(x)))
    torch.testing.assert_close(found.eigenvalues, exact, rtol=0, atol=1e-6)


@pytest.mark.parametrize("settings", [{"steps": 0}, {"tolerance": 0.0}])
def test_settings_that_are_not_positive_are_refused(settings):
    with pytest.raises(ValueError, match=r"steps is .* a search needs positive numbers"):
        find_critical_point(himmelblau(), torch.zeros(2), **settings)
