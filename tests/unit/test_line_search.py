"""Steps are long enough and short enough, and what cannot be found is said."""

import pytest
import torch

from mlcourse.curvature import Taylor
from mlcourse.line_search import backtrack, fixed_step, strong_wolfe


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def start(seed: int):
    draw = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(2, dtype=torch.float64, generator=draw)
    here = Taylor(rosenbrock, x)
    p = torch.randn(2, dtype=torch.float64, generator=draw)
    return here, p if here.gradient @ p < 0 else -p


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("length", [1e-6, 1.0, 1e3])
@pytest.mark.parametrize("c2", [0.1, 0.9])
def test_a_step_meets_the_strong_wolfe_conditions(seed, length, c2):
    here, p = start(seed)
    step = strong_wolfe(rosenbrock, here, p, length, c2)
    slope = here.gradient @ p
    assert not step.problem
    assert torch.equal(step.there.x, here.x + step.length * p)
    assert step.there.value <= here.value + 1e-4 * step.length * slope
    assert abs(step.there.gradient @ p) <= c2 * abs(slope)


@pytest.mark.parametrize("seed", range(10))
def test_backtracking_halves_no_more_than_it_must(seed):
    here, p = start(seed)
    step = backtrack(rosenbrock, here, p, 64.0)
    slope = here.gradient @ p
    assert step.length == 64 / 2 ** (step.gradients - 1)
    assert step.there.value <= here.value + 1e-4 * step.length * slope
    twice = fixed_step(rosenbrock, here, p, 2 * step.length).there.value
    assert twice > here.value + 2e-4 * step.length * slope


def test_a_good_step_costs_one_gradient():
    here = Taylor(lambda x: x @ x / 2, torch.tensor([3.0, 4.0]).double())
    for step in (
        backtrack(lambda x: x @ x / 2, here, -here.gradient),
        strong_wolfe(lambda x: x @ x / 2, here, -here.gradient, 1.0, 0.1),
    ):
        assert (step.length, step.gradients, step.there.value) == (1, 1, 0)


@pytest.mark.parametrize("search", [backtrack, lambda *a: strong_wolfe(*a, 1.0, 0.9)])
def test_no_step_is_found_uphill_or_where_f_is_nowhere_lower(search):
    here, p = start(0)
    step = search(rosenbrock, here, -p)
    assert step.problem.startswith("the direction does not go downhill")
    assert step.there is here

    def kink(x):
        return x.abs().sum() + torch.where(x == 0, 0.0, 1.0).sum()

    at_zero = Taylor(lambda x: (x - x.detach()).sum(), torch.zeros(1).double())
    step = search(kink, at_zero, torch.tensor([-1.0]).double())
    assert step.problem == "the line search found no lower point"
    assert (step.there, step.length, step.gradients) == (at_zero, 0, 60)


def test_a_step_to_where_f_is_not_defined_is_shortened():
    def f(x):
        return (x - torch.log(x)).sum()

    here = Taylor(f, torch.tensor([3.0]).double())
    for step in (
        backtrack(f, here, torch.tensor([-8.0]).double()),
        strong_wolfe(f, here, torch.tensor([-8.0]).double(), 1.0, 0.9),
    ):
        assert not step.problem
        assert step.there.value < here.value
