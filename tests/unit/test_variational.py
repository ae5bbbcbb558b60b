"""Free energy, its terms and its minimum: against torch.distributions and Bayes in closed form."""

import math

import pytest
import torch
from torch import distributions, nn
from torch.nn import functional as F

from mlcourse.gaussian_weights import GaussianDense, gaussian_kl, signal_to_noise
from mlcourse.gradcheck import gradient_check
from mlcourse.unit_pruning import needed, prune, unit_kl, unit_signal_to_noise
from mlcourse.variational import FreeEnergy, VariationalMLP, free_energy, gaussian_errors, train

GROUPS = {"incoming": (3, 1), "outgoing": (1, 5), "layer": (1, 1)}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def close(got, expected, tolerance=1e-12):
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


def layer(groups: str = "outgoing", n_in: int = 4, n_out: int = 3) -> GaussianDense:
    """A layer with means, sigmas and precisions that all differ."""
    made = GaussianDense(n_in, n_out, groups=groups, dtype=torch.float64, generator=generator())
    with torch.no_grad():
        for seed, parameter in enumerate(made.parameters(), 1):
            parameter += 0.5 * normal(*parameter.shape, seed=seed)
    return made


def network(*sizes: int, likelihood="gaussian", seed: int = 0, **settings) -> VariationalMLP:
    settings = {"dtype": torch.float64, "generator": generator(seed), **settings}
    return VariationalMLP(sizes, likelihood, **settings)


# The divergence


@pytest.mark.parametrize("groups", GROUPS)
def test_kl_and_its_gradients_are_those_of_torch_distributions(groups):
    dense = layer(groups)
    leaves = list(dense.parameters())
    prior = distributions.Normal(0.0, (-dense.log_precision / 2).exp())
    posterior = distributions.Normal(dense.mean, dense.log_sigma.exp())
    expected = distributions.kl_divergence(posterior, prior)
    close(dense.kl(), expected)
    close(dense.group_kl(), expected.sum_to_size(GROUPS[groups]))
    got = torch.autograd.grad(dense.kl().sum(), leaves)
    close(got, torch.autograd.grad(expected.sum(), leaves))


def test_kl_has_the_gradients_of_its_docstring():
    m, log_s, log_a = (normal(2, 3, seed=seed) for seed in range(3))
    a, s2 = log_a.exp(), (2 * log_s).exp()
    grads = {"m": a * m, "log_s": a * s2 - 1, "log_a": (a * (m**2 + s2) - 1) / 2}
    params = {"m": m, "log_s": log_s, "log_a": log_a}
    check = gradient_check(lambda p: gaussian_kl(**renamed(p)).sum(), params, grads)
    assert set(check.bands.values()) == {"right"}


def renamed(p):
    return {"mean": p["m"], "log_sigma": p["log_s"], "log_precision": p["log_a"]}


def test_kl_is_zero_where_posterior_and_prior_agree_and_positive_elsewhere():
    log_precision = normal(50)
    same = gaussian_kl(torch.zeros_like(log_precision), -log_precision / 2, log_precision)
    close(same, torch.zeros_like(same))
    assert (gaussian_kl(normal(50, seed=1), normal(50, seed=2), log_precision) > 0).all()


# The prior's precision


@pytest.mark.parametrize("groups", GROUPS)
def test_the_closed_form_precision_makes_kl_smallest(groups):
    dense = layer(groups)
    assert dense.log_precision.shape == GROUPS[groups]
    dense.update_precision_()
    (gradient,) = torch.autograd.grad(dense.kl().sum(), dense.log_precision)
    close(gradient, torch.zeros_like(gradient))
    smallest = dense.group_kl().detach()
    for seed in range(10):
        other = layer(groups)
        with torch.no_grad():
            other.log_precision.copy_(dense.log_precision + normal(*GROUPS[groups], seed=seed))
        assert (other.group_kl() > smallest).all()


def test_with_equal_sigmas_the_kl_of_a_group_is_that_of_its_signal_to_noise():
    dense = layer("incoming")
    with torch.no_grad():
        dense.log_sigma.copy_(normal(3, 1).expand_as(dense.log_sigma))
    dense.update_precision_()
    ratio = signal_to_noise(dense.mean, dense.log_sigma, 1)
    close(dense.group_kl()[:, 0], 5 / 2 * (1 + ratio**2).log())


# Draws


def test_moments_are_those_of_the_outputs_of_drawn_weights():
    dense, X = layer(), normal(6, 4, seed=9)
    mean, variance = dense.moments(X)
    W, s2 = dense.mean[:, :-1], (2 * dense.log_sigma).exp()
    close(mean, F.linear(X, W, dense.mean[:, -1]))
    close(mean, dense(X))
    close(variance, F.linear(X**2, s2[:, :-1], s2[:, -1]))
    draw, n = generator(1), 20_000
    outputs = torch.stack([dense.draw(X, draw, local=False) for _ in range(n)]).detach()
    check_moments(outputs, mean, variance)


def test_a_local_draw_has_these_moments_and_each_example_noise_of_its_own():
    dense, x, n = layer(), normal(1, 4, seed=9), 20_000
    outputs = dense.draw(x.expand(n, -1), generator(2)).detach()
    mean, variance = dense.moments(x)
    check_moments(outputs[:, None], mean, variance)
    correlation = outputs.T.corrcoef() - torch.eye(3)
    assert correlation.abs().max() < 5 / math.sqrt(n)
    shared = dense.draw(x.expand(3, -1), generator(2), local=False)
    close(shared, shared[:1].expand(3, -1))


def check_moments(outputs, mean, variance):
    """Within five standard errors of the mean and of the variance of Gaussian numbers."""
    n = len(outputs)
    assert ((outputs.mean(0) - mean).abs() < 5 * (variance / n).sqrt()).all()
    assert ((outputs.var(0) - variance).abs() < 5 * variance * math.sqrt(2 / n)).all()


def test_drawn_weights_have_the_posterior_s_mean_and_sigma():
    dense, draw, n = layer(), generator(3), 20_000
    weights = torch.stack([dense.draw_weights(draw) for _ in range(n)]).detach()
    check_moments(weights, dense.mean.detach(), (2 * dense.log_sigma.detach()).exp())


def test_local_draws_have_the_same_mean_gradient_and_less_noise():
    model, X, y = network(3, 4, 1, sigma=0.3), normal(40, 3, seed=1), normal(40, 1, seed=2)

    def gradients(local):
        draw = generator(4)
        parameters = [p for dense in model.dense for p in (dense.mean, dense.log_sigma)]
        return torch.stack(
            [
                torch.cat(
                    [
                        gradient.flatten()
                        for gradient in torch.autograd.grad(
                            model.errors(X, y, draw, local).mean(), parameters
                        )
                    ]
                )
                for _ in range(1000)
            ]
        )

    one, other = gradients(local=True), gradients(local=False)
    error = ((one.var(0) + other.var(0)) / 1000).sqrt()
    assert ((one.mean(0) - other.mean(0)).abs() < 5 * error + 1e-12).all()
    assert one.var(0).sum() < other.var(0).sum() / 3


def test_gaussian_errors_are_the_mean_over_the_outputs_distribution():
    mean, y, log_noise = normal(5, 2), normal(5, 2, seed=1), torch.tensor(-0.7).double()
    variance = normal(5, 2, seed=2).exp()
    # Three nodes integrate a parabola times a Gaussian exactly.
    expected = torch.zeros(5, dtype=torch.float64)
    for node, weight in ((0.0, 2 / 3), (math.sqrt(3), 1 / 6), (-math.sqrt(3), 1 / 6)):
        at = distributions.Normal(mean + node * variance.sqrt(), log_noise.exp())
        expected -= weight * at.log_prob(y).sum(1)
    close(gaussian_errors(mean, variance, y, log_noise), expected)


@pytest.mark.parametrize("local", [True, False])
def test_almost_certain_weights_make_an_ordinary_network(local):
    X = normal(7, 3)
    torch_network = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 5), nn.Tanh())
    torch_network = torch_network.append(nn.Linear(5, 2)).double()
    model = network(3, 4, 5, 2, likelihood="categorical", sigma=1e-12)
    assert model.hidden == [4, 5]
    with torch.no_grad():
        for dense, linear in zip(model.dense, torch_network[::2], strict=True):
            dense.mean.copy_(torch.cat([linear.weight, linear.bias[:, None]], 1))
    close(model(X), torch_network(X))
    labels = torch.arange(7) % 2
    expected = F.cross_entropy(torch_network(X), labels, reduction="none")
    close(model.errors(X, labels, generator(), local), expected, 1e-9)


# The minimum, where it is known: linear regression


def fit_exactly(model, X, y, steps=60):
    """The minimum of the free energy of a linear model, whose errors are not random."""
    wanted = [p for name, p in model.named_parameters() if not name.endswith("log_precision")]
    wanted = [p for p in wanted if p is not model.log_noise]
    optimizer = torch.optim.LBFGS(wanted, max_iter=steps, tolerance_grad=1e-13, history_size=30,
                                  tolerance_change=0, line_search_fn="strong_wolfe")  # fmt: skip

    def closure():
        optimizer.zero_grad()
        loss = model.errors(X, y).sum() + model.kl()
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)


def evidence(X, y, log_precision, noise):
    """Minus the log evidence of Bayesian linear regression, and its posterior."""
    X1 = F.pad(X, (0, 1), value=1.0)
    alpha = log_precision.exp().flatten().expand(X1.shape[1])
    covariance = X1 @ torch.diag(1 / alpha) @ X1.T + noise**2 * torch.eye(len(X)).double()
    marginal = distributions.MultivariateNormal(torch.zeros(len(X)).double(), covariance)
    precision = X1.T @ X1 / noise**2 + torch.diag(alpha)
    mean = torch.linalg.solve(precision, X1.T @ y[:, 0] / noise**2)
    return -marginal.log_prob(y[:, 0]), mean, precision


@pytest.mark.parametrize("seed", range(3))
def test_the_minimum_is_the_mean_field_optimum_of_bayesian_linear_regression(seed):
    X, y = normal(12, 3, seed=seed), normal(12, 1, seed=seed + 10)
    X[:, 1] += X[:, 0]
    model = network(3, 1)
    with torch.no_grad():
        model.log_noise.fill_(-0.4)
        model.dense[0].log_precision.copy_(normal(1, 4, seed=seed + 20))
    fit_exactly(model, X, y)
    log_precision = model.dense[0].log_precision.detach()
    minus_log, mean, precision = evidence(X, y, log_precision, math.exp(-0.4))
    close(model.dense[0].mean[0], mean, 1e-6)
    # The mean is Bayes's; the variances are too small: those of a weight when the others are known.
    close((-2 * model.dense[0].log_sigma[0]).exp(), precision.diagonal(), 1e-6)
    assert (precision.diagonal() * precision.inverse().diagonal() > 1.001).any()
    gap = (precision.diagonal().log().sum() - precision.logdet()) / 2
    at_minimum = free_energy(model, X, y, samples=1)
    assert at_minimum.examples == 12
    close(at_minimum.total, float(minus_log + gap), 1e-8)
    # Nowhere else is it lower, and never below minus the log evidence.
    for other in range(5):
        moved = network(3, 1)
        moved.load_state_dict(model.state_dict())
        with torch.no_grad():
            moved.dense[0].mean += 0.1 * normal(1, 4, seed=other)
            moved.dense[0].log_sigma += 0.1 * normal(1, 4, seed=other + 5)
        assert free_energy(moved, X, y, samples=1).total > at_minimum.total > minus_log


def orthogonal():
    """Inputs whose columns, and the one of the biases, are orthogonal with squared length 16."""
    signs = torch.tensor([[1.0, 1.0], [1.0, -1.0]]).double()
    columns = signs
    for _ in range(3):
        columns = torch.kron(columns, signs)
    return columns[:, 1:6].contiguous()


@pytest.mark.parametrize("precision", ["closed form", "gradient"])
def test_learned_precisions_prune_the_weights_below_the_noise(precision):
    """With orthogonal inputs Q is exact, and 1 / precision is w^2 - s^2 (least squares w, s^2)."""
    X, noise = orthogonal(), 0.5
    s = noise / 4
    w = s * torch.tensor([8.0, -3.0, 0.9, 1.5, 0.2]).double()
    y = X @ w[:, None]
    model = network(5, 1, sigma=s)
    model.log_noise.requires_grad_(False).fill_(math.log(noise))
    train(model, X, y, epochs=1200, batch_size=16, lr=0.05, precision=precision)
    log_precision = model.dense[0].log_precision.detach()[0, :5]
    clear = w.abs() > s
    close((-log_precision[clear]).exp(), (w**2 - s**2)[clear], 1e-3)
    close(model.dense[0].mean[0, :5][clear], (w * (1 - s**2 / w**2))[clear], 1e-3)
    # The others' optimum is a precision without end, where the KL is 0.
    kl = model.dense[0].group_kl()[0, :5]
    assert (kl[~clear] < 0.02).all()
    assert (kl[clear] > 0.3).all()


# Training


def examples(likelihood):
    X = normal(30, 2, seed=5)
    return X, (X[:, :1] * X[:, 1:]).sin() if likelihood == "gaussian" else (X[:, 0] > 0).long()


@pytest.mark.parametrize("likelihood", ["gaussian", "categorical"])
@pytest.mark.parametrize("local", [True, False])
def test_training_lowers_the_free_energy_and_records_its_terms(likelihood, local):
    X, y = examples(likelihood)
    outputs = 1 if likelihood == "gaussian" else 2
    model = network(2, 6, outputs, likelihood=likelihood)
    before = free_energy(model, X, y, generator=generator(1))
    history = train(
        model, X, y, epochs=60, batch_size=8, lr=0.05, local=local, generator=generator()
    )
    after = free_energy(model, X, y, generator=generator(1))
    assert after.total < before.total - 10
    assert history.epochs == 60
    assert set(history) == {
        *("train_loss", "error", "complexity", "free_energy", "bits", "seconds")
    }
    for epoch in (0, 59):
        total = history["error"][epoch] + history["complexity"][epoch]
        close(history["free_energy"][epoch], total)
        close(history["train_loss"][epoch] * 30, total, 1e-9)
        close(history["bits"][epoch], total / 30 / math.log(2))


@pytest.mark.parametrize("batch_size", [1, 7, 30])
def test_batches_of_any_size_estimate_the_same_free_energy(batch_size):
    X, y = examples("gaussian")
    model = network(2, 1)
    expected = free_energy(model, X, y, samples=1)
    history = train(model, X, y, epochs=1, batch_size=batch_size, lr=0.0, precision="fixed")
    close(history["error"][0], expected.error, 1e-9)
    close(history["complexity"][0], expected.complexity, 1e-9)
    close(history["train_loss"][0], expected.total / 30, 1e-9)


def test_during_the_warm_up_the_divergence_counts_less():
    X, y = examples("gaussian")
    model = network(2, 1)
    error, complexity, n = free_energy(model, X, y, samples=1)
    settings = {"batch_size": 30, "lr": 0.0, "precision": "fixed"}
    history = train(model, X, y, epochs=6, warmup=4, **settings)
    expected = [(error + share * complexity) / n for share in (0.25, 0.5, 0.75, 1, 1, 1)]
    close(torch.tensor(history["train_loss"]), torch.tensor(expected), 1e-9)
    close(torch.tensor(history["free_energy"]), torch.tensor(6 * [error + complexity]), 1e-6)


def test_fixed_precisions_stay():
    X, y = examples("gaussian")
    model = network(2, 3, 1)
    train(model, X, y, epochs=3, batch_size=30, precision="fixed")
    assert all((dense.log_precision == 0).all() for dense in model.dense)


def test_the_noise_is_learned():
    X = normal(500, 1)
    y = 2 * X + 0.3 * normal(500, 1, seed=1)
    model = network(1, 1)
    train(model, X, y, epochs=300, batch_size=500, lr=0.05)
    assert abs(model.log_noise.exp().item() - 0.3) < 0.03


def test_a_generator_makes_training_repeatable_and_leaves_torch_s_own_alone():
    X, y = examples("categorical")

    def run(seed):
        model = network(2, 3, 2, likelihood="categorical", seed=seed)
        train(model, X, y, epochs=2, batch_size=8, generator=generator(seed))
        free_energy(model, X, y, samples=2, generator=generator(seed))
        return nn.utils.parameters_to_vector(model.parameters())

    state = torch.get_rng_state()
    assert torch.equal(run(0), run(0))
    assert not torch.equal(run(0), run(1))
    assert torch.equal(torch.get_rng_state(), state)


def test_free_energy_has_a_total_and_bits_per_example():
    terms = FreeEnergy(error=30.0, complexity=12.0, examples=10)
    assert terms.total == 42.0
    close(terms.bits_per_example, 4.2 / math.log(2))


def test_classification_s_free_energy_is_the_mean_over_draws():
    X, y = examples("categorical")
    model = network(2, 3, 2, likelihood="categorical", sigma=0.5)
    got = free_energy(model, X, y, samples=3, generator=generator(6))
    draw = generator(6)
    draws = [model.errors(X, y, draw).sum().item() for _ in range(3)]
    close(got.error, sum(draws) / 3)
    assert max(draws) - min(draws) > 0.1
    close(got.complexity, model.kl().item())


# Pruning


def deep(groups="outgoing"):
    model = network(3, 4, 5, 2, groups=groups)
    with torch.no_grad():
        for seed, parameter in enumerate(model.layers.parameters(), 1):
            parameter += 0.3 * normal(*parameter.shape, seed=seed)
    return model


def masks(*keep):
    return [torch.tensor(mask).bool() for mask in keep]


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize("side", ["into", "out of"])
def test_removing_units_whose_means_are_zero_keeps_the_outputs(groups, side):
    model, X = deep(groups), normal(9, 3, seed=1)
    keep = masks([1, 0, 1, 1], [0, 1, 1, 0, 1])
    with torch.no_grad():
        for i, mask in enumerate(keep):
            if side == "into":
                model.dense[i].mean[~mask] = 0
            else:
                model.dense[i + 1].mean[:, :-1][:, ~mask] = 0
    small = prune(model, keep)
    assert (small.hidden, model.hidden) == ([3, 3], [4, 5])
    close(small(X), model(X))
    assert small.dense[1].mean.shape == (3, 4)


@pytest.mark.parametrize("groups", GROUPS)
def test_removed_weights_take_their_divergence_with_them_and_the_rest_is_a_copy(groups):
    model = deep(groups)
    keep = masks([1, 0, 1, 1], [0, 1, 1, 0, 1])
    small = prune(model, keep)
    kls = [dense.kl() for dense in model.dense]
    bias = torch.tensor([True])
    expected = [
        kls[0][keep[0]],
        kls[1][keep[1]][:, torch.cat([keep[0], bias])],
        kls[2][:, torch.cat([keep[1], bias])],
    ]
    for dense, kl in zip(small.dense, expected, strict=True):
        close(dense.kl(), kl)
        assert dense.groups == groups
    close(small.kl(), sum(kl.sum() for kl in expected))
    assert small.log_noise == model.log_noise
    before = nn.utils.parameters_to_vector(model.parameters()).clone()
    X, y = normal(9, 3, seed=1), normal(9, 2, seed=2)
    train(small, X, y, epochs=2, batch_size=9)
    assert torch.equal(nn.utils.parameters_to_vector(model.parameters()), before)


def test_without_any_unit_only_the_biases_answer():
    model, X = network(3, 4, 2), normal(9, 3)
    small = prune(model, [torch.zeros(4).bool()])
    assert small.hidden == [0]
    close(small(X), model.dense[1].mean[:, -1].expand(9, 2))
    terms = free_energy(small, X, normal(9, 2), samples=1)
    assert math.isfinite(terms.total)
    train(small, X, normal(9, 2), epochs=1, batch_size=9)


@pytest.mark.parametrize("n_out", [1, 3])
@pytest.mark.parametrize("groups", GROUPS)
def test_layers_of_one_input_or_output_can_be_pruned(groups, n_out):
    model, X = network(1, 3, n_out, groups=groups), normal(5, 1)
    with torch.no_grad():
        model.dense[1].mean[:, 0] = 0
    close(prune(model, masks([0, 1, 1]))(X), model(X))
    assert prune(prune(model, masks([0, 1, 0])), masks([0])).hidden == [0]


def test_both_sides_of_each_unit_are_measured():
    model = deep()
    kls = [dense.kl() for dense in model.dense]
    first, second = unit_kl(model)
    assert (first.shape, second.shape) == ((4, 2), (5, 2))
    close(first[:, 0], kls[0].sum(1))
    close(first[:, 1], kls[1][:, :4].sum(0))
    close(second[:, 0], kls[1].sum(1))
    close(second[:, 1], kls[2][:, :5].sum(0))
    ratio = (model.dense[1].mean / model.dense[1].log_sigma.exp())[2].square().mean().sqrt()
    close(unit_signal_to_noise(model)[1][2, 0], ratio)
    assert not first.requires_grad
    assert not ratio.isnan()


def test_a_unit_is_needed_when_both_sides_reach_the_threshold():
    measured = [torch.tensor([[5.0, 2.0], [0.5, 9.0], [9.0, 0.5], [1.0, 1.0]])]
    assert needed(measured, 1.0)[0].tolist() == [True, False, False, True]
    assert needed(measured, 0.0)[0].all()
    assert not needed([torch.tensor([[math.nan, 1.0]])], 1.0)[0].any()


@pytest.mark.slow
@pytest.mark.parametrize("groups", GROUPS)
def test_units_that_a_straight_line_does_not_need_are_found_and_cost_nothing(groups):
    """Eight units for one tanh: most go, whatever the groups, and no prediction changes much."""
    X = 2 * normal(100, 1)
    y = X.tanh() + 0.1 * normal(100, 1, seed=1)
    model = network(1, 8, 1, groups=groups)
    train(model, X, y, epochs=2000, batch_size=100, lr=0.02, generator=generator())
    keep = needed(unit_kl(model), 1.0)
    assert 1 <= int(keep[0].sum()) <= 4
    close(prune(model, keep)(X), model(X), 0.05)


# Errors


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GaussianDense(0, 2), "the layer has 0 inputs and 2 outputs: give 1 or more"),
        (lambda: GaussianDense(2, 2, groups="unit"), "groups is 'unit': choose one of incoming"),
        (lambda: GaussianDense(2, 2, sigma=0.0), "sigma is 0.0: give a positive, finite"),
        (lambda: GaussianDense(2, 2, sigma=math.nan), "sigma is nan"),
        (lambda: network(3), r"sizes is \[3\]: give the number of inputs"),
        (lambda: network(3, 1, likelihood="poisson"), "likelihood is 'poisson': choose one of"),
        (lambda: network(3, 1, activation=torch.sigmoid), "the activation is 0.5 at 0: choose"),
        (lambda: fit(precision="learned"), "precision is 'learned': choose one of closed form"),
        (lambda: fit(warmup=-1), "warmup is -1: give a number of epochs"),
        (lambda: fit(batch_size=0), "batch_size is 0"),
        (lambda: fit(y=normal(6)), r"y has shape \(3,\) and the output \(3, 1\): give one number"),
        (lambda: classify(torch.zeros(6)), r"y has shape \(6,\) and dtype torch.float32: give"),
        (lambda: classify(torch.zeros(6, 2)), r"y has shape \(6, 2\) and dtype"),
        (lambda: prune(network(2, 3, 1), []), r"keep has masks of \[\] units: the network's"),
        (lambda: prune(network(2, 3, 1), masks([1, 0])), r"keep has masks of \[2\] units"),
        (lambda: needed([], -1.0), "threshold is -1.0: give 0 or a positive"),
        (lambda: needed([], math.nan), "threshold is nan"),
        (lambda: free_energy(network(2, 1), normal(6, 2), normal(6, 1), samples=0), "samples is 0"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


def fit(y=None, **settings):
    settings = {"epochs": 1, "batch_size": 3, **settings}
    return train(network(2, 1), normal(6, 2), normal(6, 1) if y is None else y, **settings)


def classify(y):
    return network(2, 2, likelihood="categorical").errors(normal(6, 2), y)
