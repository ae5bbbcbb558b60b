"""Densities integrate to one, are their formula, and draw what they say."""

import math

import numpy as np
import pytest
from scipy import stats

from mlcourse.hpo.densities import Density, bandwidth
from mlcourse.hpo.space import Space

NUMBER = Space({"x": (0.0, 1.0)})
MIXED = Space(
    {
        "layers": (1, 4),
        "lr": {"low": 1e-3, "high": 1.0, "log": True},
        "width": {"low": 1, "high": 30, "log": True},
        "optimizer": ["sgd", "adam", None],
        "momentum": {"low": 0.0, "high": 0.9, "when": {"optimizer": "sgd"}},
        "nesterov": {"choices": [True, False], "when": {"optimizer": ["sgd", None]}},
        "decay": {"low": 1, "high": 3, "when": {"nesterov": True}},
        "fixed": (2.0, 2.0),
        "only": (7, 7),
    }
)


def encoded(space, count, seed=0):
    rng = np.random.default_rng(seed)
    points = [space.encode(space.sample(rng)) for _ in range(count)]
    return np.array(points).reshape(-1, len(space.parameters))


def cut_normal(centre, width):
    return stats.truncnorm(-centre / width, (1 - centre) / width, centre, width)


# Bandwidth


def test_the_bandwidth_is_silverman_s_with_the_uniform_kernel_as_one_number():
    units = np.random.default_rng(0).random(20)
    squares = np.sum((units - units.mean()) ** 2) + 1 / 12
    assert bandwidth(units) == pytest.approx(0.9 * math.sqrt(squares / 21) * 20**-0.2)


def test_equal_numbers_have_a_bandwidth_that_shrinks_to_a_hundredth():
    widths = [bandwidth(np.full(n, 0.3)) for n in (1, 2, 10, 100, 10_000)]
    assert widths[0] == pytest.approx(0.9 * math.sqrt(1 / 24))
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 0.01
    assert bandwidth(np.array([])) == 1


# The density


def test_around_real_numbers_are_normal_kernels_cut_off_at_the_ends():
    centres = np.array([0.0, 0.3, 0.35, 1.0])
    h = bandwidth(centres)
    x = np.linspace(0, 1, 57)
    expected = (1 + sum(cut_normal(c, h).pdf(x) for c in centres)) / 5
    np.testing.assert_allclose(
        Density(NUMBER, centres[:, None]).log(x[:, None]), np.log(expected), rtol=1e-12
    )


@pytest.mark.parametrize("log", [False, True])
def test_an_integer_has_the_mass_of_its_share(log):
    space = Space({"n": {"low": 1, "high": 9, "log": log}})
    parameter = space.parameters[0]
    points = np.array([[parameter.unit(n)] for n in (1, 2, 2, 9)])
    h = bandwidth(points[:, 0])
    density = Density(space, points)
    for n in range(1, 10):
        low, high = parameter.unit(n - 0.5), parameter.unit(n + 0.5)
        kernels = [cut_normal(c, h) for c in points[:, 0]]
        mass = ((high - low) + sum(k.cdf(high) - k.cdf(low) for k in kernels)) / 5
        inside = np.array([[low + 1e-9], [parameter.unit(n)], [high - 1e-9]])
        np.testing.assert_allclose(density.log(inside), np.log(mass / (high - low)), rtol=1e-9)


def test_a_choice_counts_one_more_than_seen():
    space = Space({"c": ["a", "b", "c"]})
    seen = ["a", "b", "b", "b"]
    density = Density(space, np.array([space.encode({"c": one}) for one in seen]))
    for value in "abc":
        kernels = (seen.count(value) + 1) / (4 + 3)
        expected = (4 * kernels + 1 / 3) / 5  # four kernels and the uniform one
        logarithm = density.log(space.encode({"c": value})[None])
        assert np.exp(logarithm) / 3 == pytest.approx(expected, rel=1e-12)


def test_a_kernel_is_a_product_so_the_density_sees_which_values_go_together():
    space = Space({"x": (0.0, 1.0), "y": (0.0, 1.0)})
    points = np.array([[0.2, 0.2], [0.8, 0.8]])
    h = bandwidth(points[:, 0])
    at = np.array([[0.2, 0.25], [0.2, 0.8], [0.7, 0.9]])
    expected = [
        (
            1
            + sum(
                math.prod(cut_normal(c, h).pdf(u) for c, u in zip(p, x, strict=True))
                for p in points
            )
        )
        / 3
        for x in at
    ]
    got = np.exp(Density(space, points).log(at))
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert got[0] > got[1]


def test_without_points_the_density_is_one():
    density = Density(MIXED, encoded(MIXED, 0))
    assert not density.log(encoded(MIXED, 50)).any()


def test_where_a_point_lacks_a_parameter_its_kernel_is_uniform():
    space = Space({"o": ["s", "a"], "m": {"low": 0.0, "high": 1.0, "when": {"o": "s"}}})
    points = np.array([space.encode({"o": "s", "m": 0.5}), space.encode({"o": "a"})])
    density = Density(space, points)
    same, other = 2 - 2 / 4, 2 / 4  # a choice's kernel, times its two values
    normal = cut_normal(0.5, bandwidth(points[:1, 1])).pdf(0.3)
    for config, expected in (
        ({"o": "s", "m": 0.3}, (1 + same * normal + other) / 3),
        ({"o": "a"}, (1 + other + same) / 3),
    ):
        assert np.exp(density.log(space.encode(config)[None]))[0] == pytest.approx(expected)


@pytest.mark.parametrize("count", [0, 1, 7])
def test_the_density_integrates_to_one_over_configurations(count):
    """The cube's points, each encoded as what it decodes to, are the measure."""
    density = Density(MIXED, encoded(MIXED, count, seed=1))
    mean = np.exp(density.log(encoded(MIXED, 20_000, seed=2)))
    assert abs(mean.mean() - 1) < 5 * mean.std() / math.sqrt(20_000) + 1e-12


def test_far_away_and_in_many_dimensions_logarithms_stay_finite():
    space = Space({f"n{i}": (0, 999_999) for i in range(400)})
    density = Density(space, np.full((100, 400), 0.5))
    logs = density.log(np.array([np.zeros(400), np.full(400, 0.5), np.ones(400)]))
    assert np.isfinite(logs).all()
    assert logs[0] == logs[2] == pytest.approx(-math.log(101))
    assert logs[1] > 400


def test_many_integers_are_as_good_as_real_numbers():
    points = np.random.default_rng(0).random((9, 1))
    real = Density(NUMBER, points).log(points)
    for high in (999_998, 999_999, 10**7, 2**62):
        got = Density(Space({"x": (0, high)}), points).log(points)
        np.testing.assert_allclose(got, real, atol=1e-5)


# Draws


def test_draws_are_encoded_configurations():
    drawn = Density(MIXED, encoded(MIXED, 9)).sample(500, np.random.default_rng(0))
    for point in drawn:
        config = MIXED.decode(point)
        np.testing.assert_allclose(MIXED.encode(config), point, atol=1e-12)
    assert len({tuple(MIXED.decode(point)) for point in drawn}) == 5


def test_draws_of_real_numbers_follow_the_density():
    centres = np.array([0.01, 0.02, 0.6, 1.0])
    drawn = Density(NUMBER, centres[:, None]).sample(4000, np.random.default_rng(1))[:, 0]
    kernels = [cut_normal(c, bandwidth(centres)) for c in centres]

    def below(x):
        return (x + sum(kernel.cdf(x) for kernel in kernels)) / 5

    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert stats.kstest(drawn, below).pvalue > 1e-3


@pytest.mark.parametrize("seed", [0, 1])
def test_configurations_are_drawn_as_often_as_the_density_says(seed):
    space = Space(
        {"n": (1, 3), "o": ["s", "a"], "k": {"low": 1, "high": 4, "log": True, "when": {"o": "s"}}}
    )
    density = Density(space, encoded(space, 6, seed))
    configs = list(space.grid(9))
    points = np.array([space.encode(config) for config in configs])
    # An encoded configuration's share of the cube, times the density there.
    shares = [
        math.prod(
            p.unit(c[p.name] + 0.5) - p.unit(c[p.name] - 0.5) if p.name in "nk" else 0.5
            for p in space.parameters
            if p.name in c
        )
        for c in configs
    ]
    chances = np.exp(density.log(points)) * shares
    assert chances.sum() == pytest.approx(1, abs=1e-12)
    drawn = [space.decode(point) for point in density.sample(4000, np.random.default_rng(seed))]
    counts = [drawn.count(config) for config in configs]
    assert stats.chisquare(counts, 4000 * chances).pvalue > 1e-3


def test_the_same_generator_draws_the_same():
    density = Density(MIXED, encoded(MIXED, 5))
    one, other = (density.sample(20, np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one, other)
