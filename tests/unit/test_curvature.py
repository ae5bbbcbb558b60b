"""The flat loss is the model's, and products with its Hessian are those of the full one."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse.curvature import Taylor, flat_loss, hessian, hessian_vector_product, load_flat


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=draw)


def network(seed: int = 0) -> tuple[nn.Module, torch.Tensor, torch.Tensor]:
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
    with torch.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(normal(*p.shape, seed=10 * seed + i))
    return model, normal(20, 4, seed=seed + 100), torch.arange(20) % 3


def test_the_flat_loss_is_the_models_and_leaves_it_alone():
    model, X, y = network()
    f, x = flat_loss(model, F.cross_entropy, X, y)
    before = F.cross_entropy(model(X), y)
    assert x.shape == (43,)
    assert not x.requires_grad
    assert f(x) == before
    other = normal(43, seed=5)
    moved = f(other)
    assert moved != before
    assert F.cross_entropy(model(X), y) == before
    load_flat(model, other)
    assert F.cross_entropy(model(X), y) == moved


def test_the_flat_gradient_has_the_order_of_the_parameters():
    model, X, y = network()
    f, x = flat_loss(model, F.cross_entropy, X, y)
    F.cross_entropy(model(X), y).backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()])
    torch.testing.assert_close(Taylor(f, x).gradient, expected, rtol=1e-12, atol=1e-14)


def test_a_model_without_parameters_or_a_wrong_vector_is_refused():
    with pytest.raises(ValueError, match=r"no parameters: give one with weights"):
        flat_loss(nn.Tanh(), F.mse_loss, normal(2), normal(2))
    model, X, y = network()
    f, _ = flat_loss(model, F.cross_entropy, X, y)
    sentence = r"x has shape \(42,\) and the model 43 parameters: give shape \(43,\)"
    with pytest.raises(ValueError, match=sentence):
        f(normal(42))
    with pytest.raises(ValueError, match=sentence):
        load_flat(model, normal(42))


@pytest.mark.parametrize("seed", range(5))
def test_products_and_the_hessian_are_those_of_torch(seed):
    model, X, y = network(seed)
    f, x = flat_loss(model, F.cross_entropy, X, y)
    expected = torch.func.hessian(f)(x)
    v = normal(43, seed=seed + 50)
    torch.testing.assert_close(hessian(f, x), expected, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(
        hessian_vector_product(f, x, v), expected @ v, rtol=1e-10, atol=1e-12
    )


def test_a_product_is_the_difference_of_gradients():
    model, X, y = network()
    f, x = flat_loss(model, F.cross_entropy, X, y)
    v = normal(43, seed=3)
    ahead, behind = (Taylor(f, x + h * v).gradient for h in (1e-5, -1e-5))
    torch.testing.assert_close(
        hessian_vector_product(f, x, v), (ahead - behind) / 2e-5, rtol=1e-6, atol=1e-8
    )


def test_a_hessian_of_more_rows_than_are_worked_out_together():
    A = normal(300, 300)
    H = hessian(lambda x: x @ A @ x / 2, normal(300, seed=1))
    torch.testing.assert_close(H, (A + A.T) / 2)
    assert torch.equal(H, H.T)


def test_a_linear_function_and_one_that_forgets_a_coordinate():
    a = normal(3)
    assert torch.equal(hessian(lambda x: a @ x, normal(3, seed=1)), torch.zeros(3, 3).double())
    H = hessian(lambda x: x[0] ** 3, torch.tensor([2.0, 1.0]).double())
    assert H.tolist() == [[12, 0], [0, 0]]
    assert Taylor(lambda x: torch.tensor(1.0, requires_grad=True), a).gradient.tolist() == [0, 0, 0]


def test_taylor_counts_products_and_works_where_gradients_are_off():
    with torch.no_grad():
        here = Taylor(lambda x: x.pow(3).sum(), torch.tensor([1.0, 2.0]))
        assert here.value == 9
        assert here.gradient.tolist() == [3, 12]
        assert here.gradient_norm == pytest.approx(153**0.5)
        assert here.hvp(torch.tensor([1.0, 1.0])).tolist() == [6, 12]
        assert here.hessian().tolist() == [[6, 0], [0, 12]]
    assert here.products == 3


def test_what_is_no_function_of_a_vector_is_refused():
    with pytest.raises(ValueError, match=r"x has shape \(2, 2\) .*: give one vector of floats"):
        hessian(torch.sum, normal(2, 2))
    with pytest.raises(ValueError, match=r"torch.int64: give one vector of floats"):
        hessian(torch.sum, torch.arange(3))
    with pytest.raises(ValueError, match=r"f returns shape \(3,\): give a function with one"):
        hessian(torch.sin, normal(3))
    with pytest.raises(ValueError, match=r"v has shape \(2,\) and x \(3,\): a direction has the"):
        hessian_vector_product(torch.sum, normal(3), normal(2))
