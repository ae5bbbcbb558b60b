"""The gradient check tells right from wrong, and its bands mean what they say."""

import pytest
import torch

from mlcourse import gradcheck, mlp
from mlcourse.data import circles


@pytest.fixture
def problem():
    split = circles(n_train=20, dtype=torch.float64)
    X, Y = split.X_train, split.Y_train
    params = mlp.init_params(
        2, 4, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    params["bh"] += 0.3
    grads = mlp.backward(params, mlp.forward(params, X)[1], Y)

    def loss(moved):
        return mlp.loss_accuracy(mlp.forward(moved, X)[0], Y)[0]

    return loss, params, grads


def test_the_right_gradient_is_right(problem):
    checked = gradcheck.gradient_check(*problem)
    assert set(checked.bands.values()) == {"right"}
    assert list(checked.errors) == list(problem[1])


@pytest.mark.parametrize(
    ("change", "error", "band"),
    [
        (lambda grad: -grad, 2.0, "wrong"),
        (lambda grad: grad * 20, 0.95, "wrong"),
        (lambda grad: grad * 0, 1.0, "wrong"),
        (lambda grad: grad * (1 + 1e-3), 1e-3, "suspect"),
        (lambda grad: grad * (1 + 1e-5), 1e-5, "plausible"),
        (lambda grad: grad * float("nan"), float("nan"), "wrong"),
    ],
)
def test_a_wrong_gradient_is_found_and_named(problem, change, error, band):
    loss, params, grads = problem
    checked = gradcheck.gradient_check(loss, params, {**grads, "bh": change(grads["bh"])})
    assert checked.errors["bh"] == pytest.approx(error, rel=1e-2, nan_ok=True)
    assert checked.bands == {"Wh": "right", "bh": band, "Wy": "right", "by": "right"}
    assert checked.worst == "bh"
    assert f"bh  {checked.errors['bh']:7.1e}  {band}" in str(checked)


def test_bands_meet_without_a_gap():
    assert [gradcheck.band(error) for error in (0, 9e-8, 1e-7, 1e-4, 1e-2, 5, float("inf"))] == [
        "right", "right", "plausible", "suspect", "wrong", "wrong", "wrong",
    ]  # fmt: skip


def test_the_numerical_gradient_is_exact_for_a_quadratic():
    matrix = torch.tensor([[2.0, 1.0], [1.0, 5.0]], dtype=torch.float64)
    x = torch.tensor([[0.3], [-2.0]])
    seen = gradcheck.numerical_gradient(lambda x: (x.T @ matrix @ x).squeeze() / 2, x, 1e-3)
    torch.testing.assert_close(seen, matrix @ x.double(), rtol=1e-10, atol=1e-10)
    assert seen.dtype == torch.float64
    assert x.tolist() == torch.tensor([[0.3], [-2.0]]).tolist()


def test_float32_parameters_are_checked_in_float64(problem):
    loss, params, _ = problem
    single = {name: value.float() for name, value in params.items()}
    exact = {name: value.double() for name, value in single.items()}
    leaves = {name: value.requires_grad_() for name, value in exact.items()}
    grads = dict(zip(leaves, torch.autograd.grad(loss(leaves), list(leaves.values())), strict=True))
    assert set(gradcheck.gradient_check(loss, single, grads).bands.values()) == {"right"}


def test_a_transposed_parameter_that_is_not_contiguous_is_walked_entry_by_entry():
    x = torch.arange(6.0).reshape(2, 3).T
    weights = torch.arange(6.0, dtype=torch.float64).reshape(3, 2) + 1
    seen = gradcheck.numerical_gradient(lambda x: (weights * x).sum(), x, 1e-4)
    torch.testing.assert_close(seen, weights, rtol=1e-8, atol=0)


def test_relative_error_of_equal_and_of_zero_gradients():
    one, zero = torch.ones(3), torch.zeros(3)
    assert gradcheck.relative_error(one, one) == 0
    assert gradcheck.relative_error(zero, zero) == 0
    assert gradcheck.relative_error(zero, one) == 1
    assert gradcheck.relative_error(-one, one) == 2


def test_missing_and_misshapen_gradients_are_named(problem):
    loss, params, grads = problem
    with pytest.raises(ValueError, match=r"shape \(4, 2\) and its parameter \(2, 4\)"):
        gradcheck.gradient_check(loss, params, {**grads, "Wy": grads["Wy"].T})
    del grads["by"]
    with pytest.raises(ValueError, match="no gradient for by"):
        gradcheck.gradient_check(loss, params, grads)
