"""Newton, conjugate gradients and L-BFGS take the steps that their formulas say."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse.curvature import Taylor, hessian
from mlcourse.second_order import (
    conjugate_gradients,
    flat_loss,
    lbfgs,
    lbfgs_direction,
    load_flat,
    newton,
    newton_cg,
    newton_direction,
    nonlinear_cg,
)
from mlcourse.surfaces import beale, himmelblau, rosenbrock, saddle

MINIMISERS = {
    "newton": lambda f, x, **k: newton(f, x, 500, line_search=True, saddle_free=True, **k),
    "newton_cg": lambda f, x, **k: newton_cg(f, x, 500, **k),
    "nonlinear_cg": lambda f, x, **k: nonlinear_cg(f, x, 500, **k),
    "lbfgs": lambda f, x, **k: lbfgs(f, x, 500, **k),
}


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=draw)


def symmetric(eigenvalues: torch.Tensor, seed: int = 0) -> torch.Tensor:
    Q = torch.linalg.qr(normal(len(eigenvalues), len(eigenvalues), seed=seed)).Q
    H = Q @ eigenvalues.diag() @ Q.T
    return (H + H.T) / 2


def convex(n: int, seed: int = 0) -> tuple:
    """A quadratic, its Hessian with condition number 100, and its minimum."""
    H, best = symmetric(torch.logspace(-1, 1, n, dtype=torch.float64), seed), normal(n, seed=seed)
    return lambda x: (x - best) @ H @ (x - best) / 2, H, best


def small_network(seed: int, decay: float = 0.02):
    """The loss of a random MLP with L2, as a function of all its 114 weights."""
    model = nn.Sequential(nn.Linear(6, 10), nn.Tanh(), nn.Linear(10, 4))
    model.double()
    n = sum(p.numel() for p in model.parameters())
    load_flat(model, 0.4 * normal(n, seed=seed))
    f, x = flat_loss(model, F.cross_entropy, normal(60, 6, seed=seed + 1), torch.arange(60) % 4)
    return lambda x: f(x) + decay * x.square().sum(), x


def close(got, expected, tolerance=1e-10):
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


# Newton


def test_newton_reaches_the_minimum_of_a_quadratic_in_one_step():
    f, _, best = convex(12)
    trace = newton(f, normal(12, seed=9), 5)
    close(trace.x, best)
    assert trace.steps == 1
    assert (trace.gradients, trace.hvps) == (2, 12)
    assert trace.costs == [1, 2 + 2 * 12]
    assert trace.stopped.startswith("|g| is ")


@pytest.mark.parametrize("damping", [0.0, 0.3, 20.0])
@pytest.mark.parametrize("saddle_free", [False, True])
def test_a_direction_solves_the_damped_system(damping, saddle_free):
    eigenvalues, g = torch.linspace(-2, 3.1, 15, dtype=torch.float64), normal(15)
    H, absolute = symmetric(eigenvalues), symmetric(eigenvalues.abs())
    B = absolute if saddle_free else H
    p = newton_direction(H, g, damping, saddle_free=saddle_free)
    close((B + damping * torch.eye(15).double()) @ p, -g)
    if saddle_free or damping > 2:
        assert g @ p < 0


def test_newton_near_the_minimum_doubles_its_digits():
    trace = newton(rosenbrock(), torch.tensor([1.1, 1.2]).double(), 20, tolerance=1e-12)
    errors = (trace.path - 1).norm(dim=1)
    assert len(errors) <= 8
    assert all(after < 60 * before**2 + 1e-14 for before, after in pairwise(errors))


def test_newton_goes_to_a_saddle_and_saddle_free_newton_leaves_it():
    x = torch.tensor([0.3, 0.2], dtype=torch.float64)
    assert newton(saddle(), x, 5).x.norm() < 1e-12
    away = newton(saddle(), x, 5, saddle_free=True)
    close(away.path[:, 1], 0.2 * 2.0 ** torch.arange(6).double())
    assert away.stopped == "5 steps are done"


def test_rounding_in_f_does_not_shorten_the_steps():
    """Near the minimum of least squares f changes by less than its rounding, up or down."""
    for seed in range(30):
        A, b = normal(50, 4, seed=seed), 100 * normal(50, seed=seed + 50)
        start = torch.linalg.lstsq(A, b[:, None]).solution[:, 0] + 1e-9 * normal(4, seed=seed)
        trace = newton(lambda x, A=A, b=b: (A @ x - b).square().sum(), start, 9, line_search=True)
        assert trace.gradients == trace.steps + 1


def test_newton_stops_where_it_cannot_go_on():
    x = torch.tensor([0.3, 0.4], dtype=torch.float64)
    uphill = newton(saddle(), x, 5, line_search=True)
    assert uphill.stopped.startswith("the direction does not go downhill")
    assert uphill.steps == 0
    singular = newton(lambda x: x[0] ** 2 + x[1] ** 2 * 0 + x[1], x, 5)
    assert singular.stopped == "H + damping I is singular: add damping"
    assert singular.hvps == 2
    endless = newton(lambda x: torch.log(x).sum(), x, 5, damping=20.0)
    assert endless.stopped == "f or its gradient is not finite"


# Linear conjugate gradients


@pytest.mark.parametrize("n", [1, 2, 5, 7])
@pytest.mark.parametrize("as_function", [False, True])
def test_n_steps_solve_n_equations(n, as_function):
    _, A, _ = convex(n)
    b = normal(n, seed=3)
    solution = conjugate_gradients((lambda v: A @ v) if as_function else A, b)
    close(solution.x, torch.linalg.solve(A, b), 1e-8)
    assert len(solution.points) <= n + 1
    assert solution.negative_curvature is None


def test_rounding_asks_for_some_more_steps_when_n_is_larger():
    _, A, _ = convex(40)
    b = normal(40, seed=3)
    best = torch.linalg.solve(A, b)
    assert (conjugate_gradients(A, b).x - best).norm() > 1e-9 * best.norm()
    close(conjugate_gradients(A, b, steps=100).x, best, 1e-9)


def test_the_residuals_are_those_of_the_points_and_steps_are_conjugate():
    _, A, _ = convex(20)
    b = normal(20, seed=3)
    solution = conjugate_gradients(A, b, steps=12)
    close(solution.residuals, [float((b - A @ x).norm()) for x in solution.points])
    moves = torch.stack(solution.points).diff(dim=0)
    products = moves @ A @ moves.T
    close(products - products.diag().diag(), torch.zeros(12, 12).double(), 1e-9)


def test_as_many_steps_as_there_are_different_eigenvalues():
    A = symmetric(torch.tensor([1.0] * 10 + [5.0] * 10 + [9.0]).double())
    solution = conjugate_gradients(A, normal(21))
    assert len(solution.points) == 4
    assert conjugate_gradients(A, torch.zeros(21).double()).residuals == [0]


def test_the_error_falls_at_least_as_fast_as_the_bound():
    _, A, _ = convex(40)
    b = normal(40, seed=3)
    best = torch.linalg.solve(A, b)
    points = conjugate_gradients(A, b).points
    errors = [float((x - best) @ A @ (x - best)) ** 0.5 for x in points]
    rate = (math.sqrt(100) - 1) / (math.sqrt(100) + 1)
    assert all(error <= 2 * rate**k * errors[0] + 1e-9 for k, error in enumerate(errors))


def test_it_stops_at_negative_curvature_and_shows_it():
    A = torch.tensor([2.0, 1.0, -1.0]).double().diag()
    solution = conjugate_gradients(A, torch.tensor([1.0, 1.0, 0.5]).double())
    d = solution.negative_curvature
    assert d @ A @ d <= 0
    first = conjugate_gradients(-torch.eye(2), torch.ones(2))
    assert first.negative_curvature.tolist() == [1, 1]
    assert first.x.tolist() == [0, 0]


# Truncated Newton, nonlinear conjugate gradients


def test_nonlinear_is_linear_on_a_quadratic():
    f, H, best = convex(6)
    trace = nonlinear_cg(f, torch.zeros(6).double(), 20, tolerance=1e-9)
    expected = conjugate_gradients(H, H @ best)
    for x, y in zip(trace.points, expected.points, strict=False):
        close(x, y, 1e-8)
    assert trace.steps <= 7
    assert trace.gradients == trace.steps + 1
    assert trace.hvps == trace.steps
    assert trace.costs == [1 + 3 * step for step in range(trace.steps + 1)]


def test_newton_cg_finds_a_minimum_and_converges_faster_than_linearly():
    f, x = small_network(1)
    trace = newton_cg(f, x, 200)
    assert trace.stopped.startswith("|g| is ")
    assert (torch.linalg.eigvalsh(hessian(f, trace.x)) > 0).all()
    norms = trace.gradient_norms
    assert norms[-1] < 10 * norms[-2] ** 1.5
    assert trace.hvps < trace.steps * len(x)


def test_newton_cg_leaves_a_saddle_downhill():
    trace = newton_cg(lambda x: saddle()(x) + x[1] ** 4, torch.tensor([0.3, 0.01]).double(), 50)
    close(trace.x.abs(), torch.tensor([0, 0.5]).double(), 1e-8)
    assert all(
        after <= before for before, after in zip(trace.values, trace.values[1:], strict=False)
    )


# L-BFGS


@pytest.mark.parametrize("m", [0, 1, 3, 8])
@pytest.mark.parametrize("seed", range(4))
def test_the_two_loops_are_the_dense_formula(m, seed):
    _, H, _ = convex(9, seed)
    steps = [normal(9, seed=100 * seed + i) for i in range(m)]
    pairs = [(s, H @ s) for s in steps]
    g = normal(9, seed=seed + 7)
    K = torch.eye(9, dtype=torch.float64)
    if pairs:
        s, y = pairs[-1]
        K *= s @ y / (y @ y)
    for s, y in pairs:
        V = torch.eye(9).double() - torch.outer(y, s) / (s @ y)
        K = V.T @ K @ V + torch.outer(s, s) / (s @ y)
    close(lbfgs_direction(g, pairs), -K @ g, 1e-12)


def torchs_steps(f, x, steps: int, memory: int):
    """What torch.optim.LBFGS does: its point, direction and pairs at each step."""
    parameter = x.clone().requires_grad_()
    optimizer = torch.optim.LBFGS(
        [parameter],
        lr=0.02,
        max_iter=1,
        history_size=memory,
        tolerance_grad=0,
        tolerance_change=0,
    )

    def closure():
        optimizer.zero_grad()
        value = f(parameter)
        value.backward()
        return value

    for _ in range(steps):
        before = parameter.detach().clone()
        optimizer.step(closure)
        state = optimizer.state[parameter]
        pairs = list(zip(state["old_stps"], state["old_dirs"], strict=True))
        yield before, state["d"], pairs


def worst(got, expected) -> float:
    errors = [float((a - b).norm() / b.norm()) for a, b in zip(got, expected, strict=False)]
    return max(errors)


@pytest.mark.parametrize(("seed", "memory"), [(0, 1), (1, 5), (2, 10), (3, 10)])
def test_200_directions_on_a_network_are_those_of_torch(seed, memory):
    """From torch's own points and pairs: whole paths part, as rounding grows from step to step."""
    f, x = small_network(seed)
    ours, theirs = [], []
    for point, direction, pairs in torchs_steps(f, x, 200, memory):
        ours.append(lbfgs_direction(Taylor(f, point).gradient, pairs))
        theirs.append(direction.clone())
    print(f"seed {seed} memory {memory}: {worst(ours, theirs):.1e}")
    assert worst(ours, theirs) < 1e-10


@pytest.mark.parametrize(("seed", "memory"), [(0, 1), (1, 5), (2, 10), (3, 10)])
def test_paths_without_line_search_are_those_of_torch(seed, memory):
    """Until s . y nears 1e-10, where torch drops a pair, or rounding has grown on a network."""
    X, y = normal(60, 6, seed=seed), torch.arange(60) % 4
    f, x = flat_loss(nn.Linear(6, 4).double(), F.cross_entropy, X, y)

    def convex_loss(x):
        return f(x) + 0.05 * x.square().sum()

    for loss, x, steps in ((convex_loss, normal(28, seed=seed), 200), (*small_network(seed), 40)):
        trace = lbfgs(loss, x, steps, memory, lr=0.02, line_search=False)
        expected = [point for point, _, _ in torchs_steps(loss, x, steps, memory)]
        assert trace.steps == steps
        print(f"seed {seed} memory {memory} {steps}: {worst(trace.points, expected):.1e}")
        assert worst(trace.points, expected) < 1e-10


def test_lbfgs_with_all_pairs_ends_on_a_quadratic():
    f, _, best = convex(10)
    trace = lbfgs(f, torch.zeros(10).double(), 200, memory=10, tolerance=1e-9)
    close(trace.x, best, 1e-7)
    assert trace.steps < 60


# All of them


@pytest.mark.parametrize("name", MINIMISERS)
@pytest.mark.parametrize("surface", [rosenbrock(), beale(), himmelblau()], ids=lambda s: s.name)
def test_the_classic_surfaces(name, surface):
    trace = MINIMISERS[name](surface, torch.tensor(surface.start).double())
    assert trace.stopped.startswith("|g| is ")
    assert min((trace.x - torch.tensor(m)).norm() for m in surface.minima) < 1e-6
    assert all(after <= before + 1e-12 for before, after in pairwise(trace.values))


@pytest.mark.parametrize("name", MINIMISERS)
def test_a_trace_says_what_was_done(name):
    f, x = small_network(0)
    calls = 0

    def counted(x):
        nonlocal calls
        calls += 1
        return f(x)

    trace = MINIMISERS[name](counted, x, tolerance=1e-6)
    assert trace.gradients == calls
    assert trace.path.shape == (trace.steps + 1, len(x))
    assert torch.equal(trace.points[0], x)
    for i in (0, trace.steps // 2, trace.steps):
        here = Taylor(f, trace.points[i])
        assert trace.values[i] == here.value
        assert trace.gradient_norms[i] == here.gradient_norm
    assert trace.gradient_norms[-1] <= 1e-6 < trace.gradient_norms[-2]


def test_impossible_settings_are_refused():
    f, _, x = convex(2)
    for method in (newton, newton_cg, nonlinear_cg, lbfgs):
        with pytest.raises(ValueError, match=r"steps is 0: take at least 1"):
            method(f, x, 0)
    with pytest.raises(ValueError, match=r"damping is -1: give 0 or more"):
        newton(f, x, 1, -1)
    with pytest.raises(ValueError, match=r"memory is 0 and lr 1.0: both must be positive"):
        lbfgs(f, x, 1, 0)
    with pytest.raises(ValueError, match=r"memory is 10 and lr 0: both must be positive"):
        lbfgs(f, x, 1, lr=0)
    with pytest.raises(ValueError, match=r"A is \(2, 2\) and b \(3,\): give \(n, n\) and \(n,\)"):
        conjugate_gradients(torch.eye(2), torch.ones(3))
