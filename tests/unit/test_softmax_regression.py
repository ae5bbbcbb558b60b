"""Softmax regression: scores, losses and its only minimum."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse import softmax_regression as softmax


def drawn(n: int = 40, n_x: int = 5, classes: int = 3):
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(n, n_x, generator=generator, dtype=torch.float64)
    y = torch.randint(classes, (n,), generator=generator)
    w = torch.randn((n_x + 1) * classes, generator=generator, dtype=torch.float64)
    return X, y, w


def test_scores_and_losses_are_those_of_a_linear_layer() -> None:
    X, y, w = drawn()
    layer = nn.Linear(5, 3).double()
    with torch.no_grad():
        layer.weight.copy_(w[:15].view(5, 3).T)
        layer.bias.copy_(w[15:])
    torch.testing.assert_close(softmax.scores(w, X), layer(X))
    expected = F.cross_entropy(layer(X), y, reduction="none")
    torch.testing.assert_close(softmax.losses(w, X, y), expected)
    right = sum(int(layer(x).argmax()) == label for x, label in zip(X, y.tolist(), strict=True))
    assert softmax.accuracy(w, X, y) == right / 40


@pytest.mark.parametrize("decay", [1e-3, 1e-1])
def test_the_fit_has_no_gradient_left(decay: float) -> None:
    X, y, _ = drawn()
    w = softmax.fit(X, y, decay, classes=3).requires_grad_()
    (softmax.losses(w, X, y).mean() + decay / 2 * w.square().sum()).backward()
    assert w.grad is not None
    assert w.grad.norm() < 1e-6


def test_an_example_twice_is_one_of_twice_the_weight() -> None:
    X, y, _ = drawn()
    once = softmax.fit(X, y, 0.01, classes=3)
    twice = softmax.fit(torch.cat([X, X]), torch.cat([y, y]), 0.01, classes=3)
    torch.testing.assert_close(once, twice, atol=1e-4, rtol=0)


def test_the_start_is_zero_with_all_classes() -> None:
    X, _, _ = drawn()
    assert softmax.start(X).tolist() == [0.0] * 60
    assert softmax.start(X, classes=3).dtype == torch.float64


@pytest.mark.parametrize(
    ("n", "decay", "message"),
    [(4, 0.0, "decay is 0.0: give a positive number"), (0, 0.1, "there are no examples: give")],
)
def test_a_fit_without_a_minimum_is_refused(n: int, decay: float, message: str) -> None:
    X, y, _ = drawn()
    with pytest.raises(ValueError, match=f"^{message}"):
        softmax.fit(X[:n], y[:n], decay)
