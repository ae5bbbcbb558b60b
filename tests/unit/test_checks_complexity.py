"""`complexity`: its references are the library's, and what it says is true."""

from __future__ import annotations

import math

import pytest
import torch

from mlcourse import gaussian_weights, variational
from mlcourse.checks import load
from mlcourse.checks.judge import Judge
from mlcourse.gaussian_weights import GaussianDense
from mlcourse.unit_pruning import needed, prune, unit_kl, unit_signal_to_noise
from mlcourse.variational import VariationalMLP

EXERCISE = load("complexity")
SEED = 20260101


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def value(name: str):
    return EXERCISE[name].reference


def wrong(name: str, mistake: str):
    return next(known.answer for known in EXERCISE[name].mistakes if known.name == mistake)


def close(found, expected):
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@torch.no_grad()
def layer(mean, log_sigma, log_precision=None) -> GaussianDense:
    """A layer of the library with these weights, without biases of its own."""
    n_out, n_in = mean.shape
    made = GaussianDense(n_in - 1, n_out, groups="outgoing", dtype=mean.dtype)
    made.mean.copy_(mean)
    made.log_sigma.copy_(log_sigma)
    if log_precision is not None:
        made.log_precision.copy_(log_precision)
    return made


def test_errors_are_the_librarys():
    for y, f, noise in cases("gaussian_nll"):
        log_noise = torch.tensor(math.log(noise), dtype=torch.float64)
        expected = variational.gaussian_errors(f[:, None], 0 * f[:, None], y[:, None], log_noise)
        close(value("gaussian_nll")(y, f, noise), expected.sum())


def test_divergences_are_the_librarys():
    for m1, s1, _, s2 in cases("gaussian_kl"):
        expected = gaussian_weights.gaussian_kl(m1, s1.log(), -2 * s2.log())
        close(value("gaussian_kl")(m1, s1, torch.zeros_like(m1), s2), expected)
    for case in cases("weights_kl"):
        close(value("weights_kl")(*case), layer(*case).kl().sum().detach())


def test_gradients_and_precisions_are_the_librarys():
    for case in cases("kl_gradients"):
        made = layer(*case)
        made.kl().sum().backward()
        for found, parameter in zip(
            value("kl_gradients")(*case),
            (made.mean, made.log_sigma, made.log_precision),
            strict=True,
        ):
            close(found, parameter.grad)
    for mean, log_sigma in cases("best_precision"):
        made = layer(mean, log_sigma)
        made.update_precision_()
        close(value("best_precision")(mean, log_sigma), made.log_precision.exp().detach())


def test_draws_are_the_librarys():
    for X, mean, log_sigma, noise in cases("local_outputs"):
        # The library's layer has a bias as well: one that is 0 for certain.
        made = layer(
            torch.nn.functional.pad(mean, (0, 1)),
            torch.nn.functional.pad(log_sigma, (0, 1), value=-800.0),
        )
        m, v = (part.detach() for part in made.moments(X))
        found = value("local_outputs")(X, mean, log_sigma, noise)
        for one, other in zip(found, (m, v, m + v.sqrt() * noise), strict=True):
            close(one, other)
    for mean, log_sigma, _ in cases("draw_weights"):
        made, generator = layer(mean, log_sigma), torch.Generator().manual_seed(SEED)
        noise = gaussian_weights.noise(mean, torch.Generator().manual_seed(SEED))
        close(value("draw_weights")(mean, log_sigma, noise), made.draw_weights(generator).detach())


def test_units_are_the_librarys():
    model = VariationalMLP([4, 7, 3], "categorical", generator=torch.Generator().manual_seed(SEED))
    first, last = model.dense
    into, out = first.kl().detach(), last.kl().detach()
    ratio = value("signal_to_noise")(first.mean.detach(), first.log_sigma.detach())
    torch.testing.assert_close(ratio, unit_signal_to_noise(model)[0][:, 0])
    for threshold in unit_kl(model)[0].amin(1).tolist():  # from all units to one
        threshold -= 1e-3
        mask = needed(unit_kl(model), threshold)
        assert value("needed_units")(into, out, threshold).tolist() == mask[0].tolist()
    assert mask[0].any()


def test_the_count_of_weights_is_that_of_the_librarys_pruned_network():
    model = VariationalMLP([64, 40, 10], "categorical")
    small = prune(model, [torch.arange(40) < 12])
    assert sum(part.mean.numel() for part in small.dense) == value("pruned_weights")
    whole = sum(part.mean.numel() for part in model.dense)
    assert whole == wrong("pruned_weights", "all")
    assert whole - value("pruned_weights") == wrong("pruned_weights", "removed")


def test_one_weights_price_is_that_of_the_functions():
    one, half, zero = (torch.tensor([x], dtype=torch.float64) for x in (1.0, 0.5, 0.0))
    nats = float(value("gaussian_kl")(one, half, zero, one))
    assert value("one_weight") == pytest.approx(nats / math.log(2))
    assert wrong("one_weight", "nats") == pytest.approx(nats)
    for mistake in ("exchanged", "no_minus_half"):
        known = wrong("gaussian_kl", mistake)(one, half, zero, one)
        assert wrong("one_weight", mistake) == pytest.approx(float(known) / math.log(2))


def test_batches_estimate_the_free_energy():
    """The mean over all batches of a round is F itself, and that of its mistakes is not."""
    errors = torch.rand(30, dtype=torch.float64, generator=torch.Generator().manual_seed(SEED))
    whole = variational.FreeEnergy(float(errors.sum()), 7.0, 30).total

    def mean(answer) -> float:
        return float(sum(answer(batch, 7.0, 30) for batch in errors.split(6)) / 5)

    assert mean(value("batch_free_energy")) == pytest.approx(whole)
    for mistake in EXERCISE["batch_free_energy"].mistakes:
        assert mean(mistake.answer) != pytest.approx(whole, rel=0.01), mistake.name


def test_the_evidence_is_the_highest_of_all_bounds():
    """F of any Gaussian is above minus the log evidence, and the exact posterior's F is equal."""
    for X, y, noise, precision in cases("log_evidence"):
        d = X.shape[1]
        A = X.T @ X / noise**2 + precision * torch.eye(d, dtype=X.dtype)
        mean = (torch.linalg.solve(A, X.T @ y) / noise**2)[None]
        log_sigma = -A.diagonal().log()[None] / 2  # the best independent Gaussians
        log_precision = torch.full((1, d), math.log(precision), dtype=X.dtype)
        m, v, _ = value("local_outputs")(X, mean, log_sigma, torch.zeros_like(y)[:, None])
        error = value("gaussian_nll")(y, m[:, 0], noise) + v.sum() / (2 * noise**2)
        energy = error + value("weights_kl")(mean, log_sigma, log_precision)
        gap = (A.diagonal().log().sum() - torch.logdet(A)) / 2
        close(energy - gap, -value("log_evidence")(X, y, noise, precision))


def test_at_the_lowest_free_energy_the_two_gradients_cancel():
    """What `independent_terms` says: neither is zero, and their sum is."""
    X, y, noise, precision = cases("log_evidence")[0]
    A = X.T @ X / noise**2 + precision * torch.eye(X.shape[1], dtype=X.dtype)
    mean = (torch.linalg.solve(A, X.T @ y) / noise**2)[None]
    leaves = [mean.clone().requires_grad_(), (-A.diagonal().log()[None] / 2).requires_grad_()]
    m, v, _ = value("local_outputs")(X, *leaves, torch.zeros_like(y)[:, None])
    error = value("gaussian_nll")(y, m[:, 0], noise) + v.sum() / (2 * noise**2)
    of_error = torch.autograd.grad(error, leaves)
    log_precision = torch.full_like(mean, math.log(precision))
    of_price = value("kl_gradients")(*(leaf.detach() for leaf in leaves), log_precision)[:2]
    for one, other in zip(of_error, of_price, strict=True):
        assert one.abs().min() > 1e-3
        torch.testing.assert_close(one, -other, rtol=1e-9, atol=1e-9)


def test_units_of_all_kinds_are_drawn():
    for into, out, threshold in cases("needed_units"):
        pairs = zip(into.sum(1) >= threshold, out[:, :-1].sum(0) >= threshold, strict=True)
        assert {(bool(a), bool(b)) for a, b in pairs} == {
            (a, b) for a in (True, False) for b in (True, False)
        }
