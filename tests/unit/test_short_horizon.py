"""The noisy quadratic: losses against closed forms and simulation, rates against search."""

import math

import pytest
import torch

from mlcourse.short_horizon import NoisyQuadratic


def double(*values):
    return torch.tensor(values, dtype=torch.float64)


def random_problem(seed, n=4):
    generator = torch.Generator().manual_seed(seed)
    h, s, x = (torch.rand(3, n, generator=generator, dtype=torch.float64) + 0.1).unbind()
    return NoisyQuadratic(h, s, 3 * x)


def stretched():
    return NoisyQuadratic(double(1, 0.05), double(1, 1), double(3, 3))


def excess(problem, rates):
    return float(problem.expected_losses(rates)[-1]) - problem.floor


def test_one_step_by_hand():
    problem = NoisyQuadratic(double(2), double(0.5), double(3))
    # x = 3 - 0.1 * 2 * (3 - c): mean 2.4, variance (0.2 * 0.5)^2; losses 2 (E[x^2] + 0.25) / 2.
    losses = problem.expected_losses(double(0.1))
    torch.testing.assert_close(losses, double(9.25, 2.4**2 + 0.1**2 + 0.25))
    assert problem.floor == 0.25


def test_with_one_rate_the_mean_and_variance_are_geometric():
    for seed in range(5):
        problem = random_problem(seed)
        for lr in (0.01, 0.5, 1.2):
            got = problem.expected_losses(torch.full((30,), lr, dtype=torch.float64))[-1]
            expected = problem.floor
            for h, s, x in zip(problem.curvature, problem.noise, problem.start, strict=True):
                q = 1 - lr * h
                mean = x * q**30
                variance = sum((lr * h * s * q**k) ** 2 for k in range(30))
                expected += float(h * (mean**2 + variance) / 2)
            assert math.isclose(float(got), expected, rel_tol=1e-12)


def test_the_expected_losses_are_the_mean_of_a_simulation():
    runs = 4000
    for seed in range(3):
        problem = random_problem(seed)
        rates = 0.2 + torch.rand(15, generator=torch.Generator().manual_seed(seed)).double()
        losses = problem.simulate(rates, runs, torch.Generator().manual_seed(seed))
        assert losses.shape == (runs, 16)
        error = (losses.mean(0) - problem.expected_losses(rates)).abs()
        assert (error <= 5 * losses.std(0) / math.sqrt(runs) + 1e-12).all()
        assert (losses[:, 1:].std(0) > 0).all()


def test_without_noise_a_simulation_is_gradient_descent():
    h, x = double(1, 0.3), double(2, -1)
    problem = NoisyQuadratic(h, torch.zeros_like(h), x)
    losses = problem.simulate(double(0.5, 0.7), 2, torch.Generator())
    torch.testing.assert_close(losses[0], losses[1])
    for loss in losses[0]:
        torch.testing.assert_close(loss, (h * x**2).sum() / 2)
        x = x - (0.5 if loss == losses[0][0] else 0.7) * h * x


def test_a_greedy_rate_is_where_the_next_loss_has_slope_zero():
    for seed in range(5):
        problem = random_problem(seed)
        rates = problem.greedy_rates(12).requires_grad_()
        losses = problem.expected_losses(rates)
        for t in range(12):
            (slope,) = torch.autograd.grad(losses[t + 1], rates, retain_graph=True)
            assert abs(slope[t]) < 1e-12
        assert (losses.diff() < 0).all()


def test_with_one_curvature_greedy_is_best_and_the_rates_are_known():
    """Then the loss depends on one number, which must be as small as possible after each step."""
    h, s, x = 2.0, double(0.5, 1), double(3, 1)
    problem = NoisyQuadratic(torch.full((2,), h, dtype=torch.float64), s, x)
    greedy = problem.greedy_rates(6)
    e, noise = float((x**2).sum()), float((s**2).sum())
    for lr in greedy.tolist():
        assert math.isclose(lr, e / (h * (e + noise)))
        e = (1 - lr * h) ** 2 * e + (lr * h) ** 2 * noise
    torch.testing.assert_close(problem.best_rates(6), greedy, rtol=1e-4, atol=0)


def test_with_two_curvatures_greedy_is_not_best():
    """The bias: greedy rates are smaller before the end, and leave a higher loss."""
    problem = stretched()
    greedy, best = problem.greedy_rates(30), problem.best_rates(30)
    constant = problem.best_constant_rate(30).expand(30)
    assert excess(problem, best) < excess(problem, constant)
    assert excess(problem, greedy) > 1.5 * excess(problem, best)
    assert greedy[10] < 0.5 * best[10]
    assert problem.expected_losses(greedy)[1] < problem.expected_losses(best)[1]


def test_no_small_change_of_the_best_rates_is_better():
    problem, generator = stretched(), torch.Generator().manual_seed(0)
    best = problem.best_rates(12, iterations=300)
    assert (best < 2 / problem.curvature.max() + 1e-9).all()
    for _ in range(50):
        change = 1 + 0.05 * (torch.rand(12, generator=generator, dtype=torch.float64) - 0.5)
        changed = (best * change).clamp(max=2 / float(problem.curvature.max()))
        assert excess(problem, changed) >= excess(problem, best) - 1e-12


def test_the_best_constant_rate_is_the_best_of_a_search():
    for seed in range(4):
        problem = random_problem(seed)
        for steps in (1, 7, 40):
            got = excess(problem, problem.best_constant_rate(steps).expand(steps))
            # The grid's neighbouring rates are 1 % apart, and here the loss is flat to 0.1 %.
            for lr in torch.linspace(0.02, 2, 100, dtype=torch.float64):
                assert got <= excess(problem, lr.expand(steps)) * 1.001


def test_the_best_constant_rate_survives_a_start_at_zero():
    problem = NoisyQuadratic(double(1, 0.001), double(1, 0), double(3, 0))
    assert 0 < problem.best_constant_rate(500) < 0.1


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: NoisyQuadratic(double(1), double(1, 2), double(1)),
            r"curvature, noise and start have the shapes \(1,\), \(2,\) and \(1,\): give three",
        ),
        (lambda: NoisyQuadratic(*[torch.ones(2, 2)] * 3), "curvature, noise and start have"),
        (
            lambda: NoisyQuadratic(double(0), double(1), double(1)),
            r"curvature is \[0.0\] and noise \[1.0\]: give positive curvatures",
        ),
        (lambda: NoisyQuadratic(double(1), double(-1), double(1)), "curvature is"),
        (lambda: stretched().greedy_rates(0), "steps is 0: give 1 or more"),
        (lambda: stretched().best_rates(0), "steps is 0"),
        (lambda: stretched().best_constant_rate(-1), "steps is -1"),
        (
            lambda: stretched().simulate(double(1), 0, torch.Generator()),
            "runs is 0: give 1 or more",
        ),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
