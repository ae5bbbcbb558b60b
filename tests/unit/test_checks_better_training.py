"""The references of `better_training` against torch, and answers in a student's own words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from mlcourse.checks import load
from mlcourse.checks.forbidden import tripwires
from mlcourse.checks.judge import Judge

EXERCISE = load("better_training")
SEED = 20260101


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def says(name: str, answer) -> str:
    verdict = Judge(EXERCISE[name], [SEED])(answer)
    assert verdict.mistake, (verdict.status, verdict.message)
    return verdict.mistake


def passes(name: str, answer) -> None:
    verdict = Judge(EXERCISE[name], [SEED])(answer)
    assert verdict.status == "passed", verdict.message


def close(one, other, dtype=torch.float64):
    torch.testing.assert_close(one.to(dtype), other.to(dtype), rtol=1e-4, atol=1e-4)


# --- The references -------------------------------------------------------------------------------


def test_standardise_gives_mean_0_and_standard_deviation_1():
    for X_train, X_test in cases("standardise"):
        Z_train, Z_test = EXERCISE["standardise"].reference(X_train, X_test)
        close(Z_train.mean(dim=(0, 2, 3)), torch.zeros(X_train.shape[1]))
        close(Z_train.std(dim=(0, 2, 3), correction=0), torch.ones(X_train.shape[1]))
        assert Z_train.dtype == Z_test.dtype == torch.float32
        assert float(Z_test.mean().abs()) > 0.1


def test_zca_whitens_and_stays_closest_to_the_data():
    X, eps = cases("zca")[0]
    assert eps == 0
    mean, W = EXERCISE["zca"].reference(X, eps)
    white = (X - mean) @ W
    close(white.T @ white / len(X), torch.eye(X.shape[1]))
    close(W, W.T)
    turn = torch.linalg.qr(torch.randn(*W.shape, dtype=W.dtype))[0]
    assert (white - (X - mean)).norm() < (white @ turn - (X - mean)).norm()


def test_crop_and_flip_agree_with_torchvision():
    transforms = pytest.importorskip("torchvision.transforms.v2.functional")
    for X, top, left, size in cases("crop"):
        got = EXERCISE["crop"].reference(X, top, left, size)
        for n, image in enumerate(X):
            window = transforms.crop(image, int(top[n]), int(left[n]), size, size)
            assert torch.equal(got[n], window)
    for X, which in cases("flip"):
        got = EXERCISE["flip"].reference(X, which)
        for n, image in enumerate(X):
            assert torch.equal(got[n], transforms.hflip(image) if which[n] else image)


def test_dropout_keeps_the_mean():
    x, p = torch.tensor([[2.0, -3.0]], dtype=torch.float64), 0.25
    dropout = EXERCISE["dropout"].reference
    levels = (torch.arange(8) + 0.5) / 8
    total = sum(dropout(x, torch.stack([u, v])[None], p, True) for u in levels for v in levels)
    close(total / 64, x)
    assert torch.equal(dropout(x, torch.zeros_like(x), p, False), x)


def test_batch_norm_is_torchs():
    for x, gamma, beta, eps in cases("batch_norm"):
        out, cache = EXERCISE["batch_norm"].reference(x, gamma, beta, eps)
        expected = functional.batch_norm(x, None, None, gamma, beta, training=True, eps=eps)
        close(out, expected)
        assert cache["xhat"].shape == x.shape
        assert cache["std"].shape == gamma.shape


def test_running_statistics_and_test_mode_are_torchs():
    for mean, var, x, momentum in cases("update_running"):
        layer = nn.BatchNorm2d(len(mean), momentum=momentum, dtype=x.dtype)
        layer.running_mean.copy_(mean)
        layer.running_var.copy_(var)
        layer(x)
        new_mean, new_var = EXERCISE["update_running"].reference(mean, var, x, momentum)
        close(new_mean, layer.running_mean)
        close(new_var, layer.running_var)
    for x, gamma, beta, mean, var, eps in cases("batch_norm_test"):
        got = EXERCISE["batch_norm_test"].reference(x, gamma, beta, mean, var, eps)
        close(got, functional.batch_norm(x, mean, var, gamma, beta, eps=eps))


def test_batch_norm_backward_is_autograds():
    for grad, cache in cases("batch_norm_backward"):
        got = EXERCISE["batch_norm_backward"].reference(grad, cache)
        xhat, std, gamma = (cache[key] for key in ("xhat", "std", "gamma"))
        # Any x with this x^ and std will do: take mean 0, and the eps that makes std fit.
        x = (xhat * std.view(1, -1, 1, 1)).requires_grad_()
        eps = std.square() - x.detach().var(dim=(0, 2, 3), correction=0)
        scale, shift = gamma.clone().requires_grad_(), torch.zeros_like(gamma).requires_grad_()
        mean, var = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
        normal = (x - mean) / (var + eps.view(1, -1, 1, 1)).sqrt()
        out = scale.view(1, -1, 1, 1) * normal + shift.view(1, -1, 1, 1)
        for mine, theirs in zip(
            got, torch.autograd.grad(out, (x, scale, shift), grad), strict=True
        ):
            close(mine, theirs)


def test_momentum_and_step_decay_are_torchs():
    for theta, grads, lr, mu in cases("momentum"):
        parameter = theta.clone().requires_grad_()
        optimizer = torch.optim.SGD([parameter], lr=lr, momentum=mu)
        path = EXERCISE["momentum"].reference(theta, grads, lr, mu)
        for g, position in zip(grads, path, strict=True):
            parameter.grad = g.clone()
            optimizer.step()
            close(position, parameter.detach())


def test_max_norm_is_torchs_renorm():
    for W, limit in cases("max_norm"):
        close(EXERCISE["max_norm"].reference(W, limit), torch.renorm(W, 2, 0, limit))


# --- What students write --------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:var")
def test_answers_written_in_other_ways_are_recognised():
    def own_statistics(X_train, X_test):
        out = []
        for X in (X_train, X_test):
            X = X.double()
            mean = X.mean(dim=[0, 2, 3])[None, :, None, None]
            out.append((X - mean) / X.std(dim=[0, 2, 3])[None, :, None, None])
        return tuple(out)

    def bytes_in_numpy(X_train, X_test):
        mean = X_train.numpy().mean(axis=0)
        std = X_train.numpy().std(axis=0)
        return (X_train.numpy() - mean) / std, (X_test.numpy() - mean) / std

    def one_window(X, top, left, size):
        out = torch.empty(len(X), X.shape[1], size, size, dtype=X.dtype)
        for i in range(len(X)):
            out[i] = X[i, :, top[0] : top[0] + size, left[0] : left[0] + size]
        return out

    def zeros_for_crops(X, top, left, size):
        out = torch.zeros(len(X), X.shape[1], size, size)
        for i in range(len(X)):
            out[i] = X[i, :, top[i] : top[i] + size, left[i] : left[i] + size]
        return out

    def flips_rows(X, which):
        out = X.clone()
        for i in range(len(X)):
            if which[i]:
                out[i] = torch.flip(X[i], dims=[1])
        return out

    def source_dropout(x, u, p, training):
        return torch.where(u < p, 0.0, x) if training else p * x

    def no_images(x, gamma, beta, eps):
        mu = x.mean(0)
        var = ((x - mu) ** 2).mean(0)
        xhat = (x - mu) / (var + eps) ** 0.5
        out = gamma[:, None, None] * xhat + beta[:, None, None]
        return out, {"xhat": xhat, "std": (var + eps) ** 0.5, "gamma": gamma}

    def no_images_by_var(x, gamma, beta, eps):
        std = torch.sqrt(x.var(0) + eps)
        xhat = (x - x.mean(0)) / std
        out = gamma.view(-1, 1, 1) * xhat + beta.view(-1, 1, 1)
        return out, {"xhat": xhat, "std": std, "gamma": gamma}

    def slices_by_tensors(X, top, left, size):
        return X[..., top : top + size, left : left + size]

    def only_scaled(grad, cache):
        gamma, std = cache["gamma"][:, None, None], cache["std"][:, None, None]
        xhat = cache["xhat"]
        return grad * gamma / std, (grad * xhat).sum((0, 2, 3)), grad.sum((0, 2, 3))

    def remembers_one(theta, grads, lr, mu):
        path = []
        for t in range(len(grads)):
            step = grads[t] + (mu * grads[t - 1] if t else 0)
            theta = theta - lr * step
            path.append(theta)
        return path

    def as_the_source_prints(lr0, drop, epochs_drop, epochs):
        return [lr0 * drop ** (epoch // (epochs - drop)) for epoch in range(epochs)]

    assert says("standardise", own_statistics) == "own_statistics_unbiased"
    assert says("standardise", bytes_in_numpy) == "per_pixel"
    assert says("crop", one_window) == "alike"
    assert says("crop", zeros_for_crops) == "as_float"
    assert says("crop", slices_by_tensors) == "sliced_by_tensors"
    assert says("flip", flips_rows) == "upside_down"
    assert says("dropout", source_dropout) == "classic_by_p"
    assert says("batch_norm", no_images) == "over_batch_only"
    assert says("batch_norm", no_images_by_var) == "over_batch_only_unbiased"
    assert says("batch_norm_backward", only_scaled) == "straight_through"
    assert says("momentum", remembers_one) == "one_gradient_back"
    assert says("step_decay", as_the_source_prints) == "epochs_minus_drop"


@pytest.mark.slow
def test_a_covariance_divided_by_n_minus_1_is_recognised_in_a_mistake_too():
    def pca(X, eps):
        L, U = torch.linalg.eigh(torch.cov(X.T))
        return X.mean(0), torch.diag(1 / torch.sqrt(L + eps)) @ U.T

    def about_zero(X, eps):
        L, U = torch.linalg.eigh(X.T @ X / (len(X) - 1))
        return X.mean(0), U @ torch.diag(1 / torch.sqrt(L + eps)) @ U.T

    def pca_with_other_signs(X, eps):
        mean, W = pca(X, eps)
        return mean, W * torch.tensor([1.0, -1.0] * 3)[: len(W), None].to(W.dtype)

    def zca_with_a_row_turned(X, eps):
        mean, W = EXERCISE["zca"].reference(X, eps)
        W = W.clone()
        W[0] = -W[0]
        return mean, W

    assert says("zca", pca) == "pca"
    assert says("zca", pca_with_other_signs) == "pca"
    assert Judge(EXERCISE["zca"], [SEED])(zca_with_a_row_turned).status == "failed"
    assert says("zca", about_zero) == "uncentred"


def test_answers_in_numpy_and_of_wider_precision_pass():
    def zca(X, eps):
        X = X.double().numpy()
        L, U = np.linalg.eigh(np.cov(X, rowvar=False))
        return X.mean(0), U @ np.diag(1 / np.sqrt(L + eps)) @ U.T

    def standardise(X_train, X_test):
        A, B = X_train.numpy().astype("float64"), X_test.numpy().astype("float64")
        mean, std = A.mean((0, 2, 3))[:, None, None], A.std((0, 2, 3), ddof=1)[:, None, None]
        return (A - mean) / std, (B - mean) / std

    passes("zca", zca)
    passes("standardise", standardise)


def test_what_would_spare_the_exercise_is_not_allowed():
    rules = {
        "batch_norm": "torch.batch_norm",
        "update_running": "torch.batch_norm",
        "batch_norm_test": "torch.batch_norm",
        "batch_norm_backward": "torch.autograd.grad",
        "momentum": "torch.optim.SGD.step",
        "dropout": "torch.nn.functional.dropout",
        "crop": "torch.randint",
        "flip": "torch.rand",
    }
    for name, trap in rules.items():
        assert any(trap in rule.traps for rule in EXERCISE[name].forbidden), name


@pytest.mark.parametrize("name", [q.name for q in EXERCISE.questions if q.forbidden])
def test_every_trap_can_be_set(name):
    judge = Judge(EXERCISE[name], [SEED])
    with tripwires(trap for rule in EXERCISE[name].forbidden for trap in rule.traps):
        assert judge(EXERCISE[name].reference).status == "passed"


def test_a_functional_dropout_trips():
    def easy(x, u, p, training):
        return functional.dropout(x, p, training)

    judge = Judge(EXERCISE["dropout"], [SEED])
    with tripwires(trap for rule in EXERCISE["dropout"].forbidden for trap in rule.traps):
        assert judge(easy).status == "forbidden"


#: The sources' mistakes and the course's promises, each where a student makes it.
PROMISED = [
    ("standardise", "own_statistics"),
    ("whose_statistics", "a"),
    ("what_zca_does", "a"),
    ("zca_cost", "b"),
    ("six_to_nine", "a"),
    ("flip", "upside_down"),
    ("crop", "alike"),
    ("momentum", "one_gradient_back"),
    ("what_momentum_keeps", "a"),
    ("best_so_far", "a"),
    ("step_decay", "epochs_minus_drop"),
    ("shrunk_weight", "linear"),
    ("regularisation", "a"),
    ("dropout", "classic_by_p"),
    ("dropout", "at_test_too"),
    ("classic_scale", "p"),
    ("dropout_time", "b"),
    ("eighty_and_seventy", "a"),
    ("why_batch_norm", "a"),
    ("batch_norm", "over_batch_only"),
    ("batch_norm", "unbiased"),
    ("update_running", "biased"),
    ("batch_norm_test", "by_batch"),
    ("batch_norm_backward", "straight_through"),
]


@pytest.mark.parametrize(("question", "mistake"), PROMISED)
def test_the_promised_mistakes_are_declared(question, mistake):
    assert mistake in [known.name for known in EXERCISE[question].mistakes]
