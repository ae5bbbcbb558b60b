"""Clipping is torch's, also for gradients that are not finite."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse import regularization
from mlcourse.clipping import clip_by_norm_, clip_by_value_
from mlcourse.training import train_model


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(seed: int = 0, scale: float = 1.0) -> list[nn.Parameter]:
    """Parameters of several shapes with gradients, and one without."""
    g = generator(seed)
    result = []
    for shape in ((4, 3), (3,), (2, 1, 3, 3), ()):
        p = nn.Parameter(torch.zeros(shape, dtype=torch.float64))
        p.grad = scale * torch.randn(shape, dtype=torch.float64, generator=g)
        result.append(p)
    return [*result, nn.Parameter(torch.ones(2))]


def assert_same_gradients(ours, theirs, tolerance=1e-14):
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=tolerance, atol=0, equal_nan=True)


def norm(params) -> float:
    return torch.cat([p.grad.flatten() for p in params if p.grad is not None]).norm().item()


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e12])
@pytest.mark.parametrize("limit", [1e-3, 0.5, 100.0, math.inf])
def test_clipping_by_value_is_torch_s(scale, limit):
    ours, theirs = parameters(scale=scale), parameters(scale=scale)
    assert clip_by_value_(ours, limit) is None
    nn.utils.clip_grad_value_(theirs, limit)
    assert_same_gradients(ours, theirs, tolerance=0)
    assert ours[-1].grad is None


@pytest.mark.parametrize("scale", [1e-8, 1.0, 1e12])
@pytest.mark.parametrize("max_norm", [1e-3, 0.5, 100.0, math.inf])
def test_clipping_by_norm_is_torch_s(scale, max_norm):
    ours, theirs = parameters(scale=scale), parameters(scale=scale)
    before = norm(ours)
    returned = clip_by_norm_(ours, max_norm)
    expected = nn.utils.clip_grad_norm_(theirs, max_norm)
    torch.testing.assert_close(returned, expected, rtol=1e-14, atol=0)
    assert returned.item() == pytest.approx(before, rel=1e-14)
    assert_same_gradients(ours, theirs)
    assert norm(ours) <= max_norm * (1 + 1e-14)


def test_random_gradients_are_clipped_as_by_torch():
    g = generator(7)
    for seed in range(50):
        scale, limit = (10 ** torch.empty(2).uniform_(-4, 4, generator=g)).tolist()
        for ours_, theirs_ in (
            (clip_by_value_, nn.utils.clip_grad_value_),
            (clip_by_norm_, nn.utils.clip_grad_norm_),
        ):
            ours, theirs = parameters(seed, scale), parameters(seed, scale)
            ours_(ours, limit)
            theirs_(theirs, limit)
            assert_same_gradients(ours, theirs)


def test_a_gradient_that_is_short_enough_stays_and_a_long_one_keeps_its_direction():
    params = parameters()
    before = [p.grad.clone() for p in params[:-1]]
    clip_by_norm_(params, 1000.0)
    assert all(torch.equal(p.grad, grad) for p, grad in zip(params, before, strict=False))
    clip_by_norm_(params, 0.1)
    factors = torch.cat(
        [(p.grad / grad).flatten() for p, grad in zip(params, before, strict=False)]
    )
    torch.testing.assert_close(factors, factors[:1].expand_as(factors), rtol=1e-14, atol=0)
    assert norm(params) == pytest.approx(0.1, rel=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("max_norm", [1.0, math.inf])
def test_a_gradient_that_is_not_finite_is_not_hidden(bad, max_norm):
    ours, theirs = parameters(), parameters()
    for params in (ours, theirs):
        params[1].grad[1] = bad
    returned = clip_by_norm_(ours, max_norm)
    expected = nn.utils.clip_grad_norm_(theirs, max_norm)
    torch.testing.assert_close(returned, expected, equal_nan=True)
    assert not returned.isfinite()
    assert ours[1].grad[1].isnan()
    assert_same_gradients(ours, theirs)
    if bad == bad and max_norm == 1.0:
        assert not ours[0].grad.any()  # all else is zero


def test_by_value_an_infinite_entry_becomes_the_limit_and_nan_stays():
    w = nn.Parameter(torch.zeros(4))
    w.grad = torch.tensor([math.inf, -math.inf, math.nan, 0.1])
    clip_by_value_(w, 0.5)
    assert w.grad[:2].tolist() == [0.5, -0.5]
    assert w.grad[2].isnan()
    assert w.grad[3] == torch.tensor(0.1)


def test_a_tensor_a_generator_and_nothing_at_all_do():
    w = nn.Parameter(torch.zeros(2))
    w.grad = torch.tensor([3.0, 4.0])
    assert clip_by_norm_(w, 1.0) == 5.0
    assert w.grad.norm().item() == pytest.approx(1.0, rel=1e-6)
    layer = nn.Linear(2, 2)
    assert clip_by_norm_(layer.parameters(), 1.0) == 0.0
    layer(torch.ones(1, 2)).sum().backward()
    clip_by_value_(layer.parameters(), 0.25)
    assert all((p.grad == 0.25).all() for p in layer.parameters())


def test_mixed_dtypes_are_clipped_by_their_common_norm():
    params = [nn.Parameter(torch.zeros(1, dtype=d)) for d in (torch.float32, torch.float64)]
    for p, g in zip(params, (3.0, 4.0), strict=True):
        p.grad = torch.full_like(p, g)
    assert clip_by_norm_(params, 2.5) == 5.0
    assert [p.grad.item() for p in params] == pytest.approx([1.5, 2.0], rel=1e-6)
    assert [p.grad.dtype for p in params] == [torch.float32, torch.float64]


def test_in_a_hook_it_clips_each_update_of_train_model():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    weights = list(model.parameters())
    optimizer = torch.optim.SGD(weights, lr=1.0)
    norms, moves = [], []
    optimizer.register_step_pre_hook(lambda *_: norms.append(clip_by_norm_(weights, 0.01)))
    optimizer.register_step_post_hook(lambda *_: moves.append(norm(weights)))
    X, y = 10 * torch.randn(8, 3, generator=generator()), torch.arange(8) % 2
    before = [p.detach().clone() for p in weights]
    train_model(model, [(X, y)], optimizer, epochs=1, loss=F.cross_entropy)
    assert norms[0] > 0.01
    assert moves == pytest.approx([0.01], rel=1e-3)
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(weights, before, strict=True)])
    assert moved.norm().item() == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan])
def test_a_limit_that_is_not_positive_is_refused(bad):
    with pytest.raises(ValueError, match=f"^limit is {bad}: give a positive number"):
        clip_by_value_(parameters(), bad)
    with pytest.raises(ValueError, match=f"^max_norm is {bad}: give a positive number"):
        clip_by_norm_(parameters(), bad)


def test_the_names_can_be_had_from_regularization():
    assert regularization.clip_by_norm_ is clip_by_norm_
    assert regularization.clip_by_value_ is clip_by_value_
