"""The surfaces have the minima and saddles that they claim, and paths are the optimisers' own."""

import math

import pytest
import torch

from mlcourse.curvature import Taylor, hessian
from mlcourse.surfaces import (
    beale,
    cliff,
    himmelblau,
    monkey_saddle,
    plateau,
    quadratic,
    rosenbrock,
    saddle,
    trajectory,
)

SURFACES = [
    quadratic(),
    quadratic(30.0, 0.7),
    rosenbrock(),
    beale(),
    himmelblau(),
    saddle(),
    monkey_saddle(),
    plateau(),
    cliff(),
]


def point(x) -> torch.Tensor:
    return torch.tensor(x, dtype=torch.float64)


@pytest.mark.parametrize("surface", SURFACES, ids=lambda s: s.name)
def test_gradients_are_zero_where_claimed_and_nothing_is_lower(surface):
    *_, heights = surface.grid(201)
    for x in surface.minima:
        here = Taylor(surface, point(x))
        assert here.gradient_norm < 1e-12
        assert here.value == pytest.approx(0, abs=1e-24)
        assert heights.min() >= 0
        assert torch.linalg.eigvalsh(here.hessian()).min() > 0
    for x in surface.saddles:
        here = Taylor(surface, point(x))
        assert here.gradient_norm < 1e-12
        eigenvalues = torch.linalg.eigvalsh(here.hessian())
        assert eigenvalues[0] < 0 < eigenvalues[1] or surface.name == "monkey saddle"
    if not surface.minima:
        assert heights.min() < surface(point(surface.saddles[0]))


@pytest.mark.parametrize("surface", SURFACES, ids=lambda s: s.name)
def test_start_and_minima_are_in_the_box_and_the_grid_is_the_surface(surface):
    for x in (surface.start, *surface.minima, *surface.saddles):
        assert all(low <= v <= high for v, (low, high) in zip(x, surface.box, strict=True))
    x1, x2, heights = surface.grid(5)
    (left, right), (bottom, top) = surface.box
    assert (x1[0, 0], x1[0, -1], x2[0, 0], x2[-1, 0]) == (left, right, bottom, top)
    for i in range(5):
        for j in range(5):
            assert heights[i, j] == surface(torch.stack([x1[i, j], x2[i, j]]))
    assert Taylor(surface, point(surface.start)).gradient_norm > 0


def test_values_known_from_elsewhere():
    assert rosenbrock()(point([-1.2, 1.0])) == pytest.approx(24.2)
    assert beale()(point([0.0, 0.0])) == pytest.approx(14.203125)
    assert himmelblau()(point([0.0, 0.0])) == 170
    assert monkey_saddle()(point([2.0, 1.0])) == 2
    assert plateau()(point([1.0, 1.0])) == pytest.approx(1 - math.exp(-1))
    assert hessian(monkey_saddle(), point([0.0, 0.0])).abs().max() == 0


@pytest.mark.parametrize("angle", [0.0, 0.5, 2.0])
def test_a_quadratic_has_its_condition_number_and_angle(angle):
    H = hessian(quadratic(25.0, angle), point([0.3, 0.4]))
    eigenvalues, vectors = torch.linalg.eigh(H)
    torch.testing.assert_close(eigenvalues, point([1.0, 25.0]))
    flat = point([math.cos(angle), math.sin(angle)])
    assert abs(vectors[:, 0] @ flat) == pytest.approx(1)


def test_the_wall_of_the_cliff_is_as_steep_as_it_says():
    surface = cliff(8.0, 0.5)
    assert surface(point([1.5, 0.0])) - surface(point([1.0, 0.0])) == 8 + (1.5**2 - 1) / 2
    x1 = torch.linspace(0.9, 1.6, 1001, dtype=torch.float64)
    slopes = [float(Taylor(surface, point([float(v), 0.0])).gradient[0] - v) for v in x1]
    assert max(slopes) == pytest.approx(1.5 * 8 / 0.5, rel=1e-4)
    assert min(slopes) == 0


def test_impossible_surfaces_and_points_are_refused():
    with pytest.raises(ValueError, match=r"condition is 0.5: give 1 or more"):
        quadratic(0.5)
    with pytest.raises(ValueError, match=r"height is 0 and width 1: both must be positive"):
        cliff(0, 1)
    with pytest.raises(ValueError, match=r"x has shape \(3,\): the last dimension must be 2"):
        saddle()(torch.zeros(3))


def test_gradient_descent_on_a_quadratic_is_its_closed_form():
    path, heights = trajectory(
        lambda p: torch.optim.SGD(p, lr=0.1), quadratic(5.0), (-1.0, 2.0), 30
    )
    t = torch.arange(31, dtype=torch.float64)
    torch.testing.assert_close(path, torch.stack([-(0.9**t), 2 * 0.5**t], dim=1))
    torch.testing.assert_close(heights, (0.81**t + 5 * 4 * 0.25**t) / 2)


def test_optimisers_that_call_their_closure_often_and_runs_that_diverge():
    path, heights = trajectory(
        lambda p: torch.optim.LBFGS(p, line_search_fn="strong_wolfe"), rosenbrock(), (-1.2, 1.0), 5
    )
    assert path.shape == (6, 2)
    torch.testing.assert_close(path[-1], point([1.0, 1.0]), rtol=0, atol=1e-3)
    _, heights = trajectory(lambda p: torch.optim.SGD(p, lr=1.0), rosenbrock(), (-1.2, 1.0), 20)
    assert not heights[-1].isfinite()


def test_a_trajectory_needs_steps_and_a_pair():
    sentence = r"steps is 0 and start \(1.0,\): give 1 or more, and a pair"
    with pytest.raises(ValueError, match=sentence):
        trajectory(torch.optim.Adam, saddle(), (1.0,), 0)
