"""Warm-started tuning arrives where the closed form says, and records its path."""

import pytest
import torch
from torch import Tensor

from mlcourse.implicit_descent import descend


def ridge():
    """Losses of ridge regression with a penalty exp(h) for all, and w*(h) in closed form."""
    generator = torch.Generator().manual_seed(1)
    X = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    true = torch.randn(4, generator=generator, dtype=torch.float64)
    y = X @ true + 2 * torch.randn(30, generator=generator, dtype=torch.float64)

    def inner(w: Tensor, h: Tensor) -> Tensor:
        return (X[:15] @ w - y[:15]).square().mean() / 2 + h.exp() * w.square().sum() / 2

    def outer(w: Tensor, h: Tensor) -> Tensor:
        return (X[15:] @ w - y[15:]).square().mean() / 2

    def best(h: Tensor) -> Tensor:
        H = X[:15].T @ X[:15] / 15 + h.exp() * torch.eye(4)
        return torch.linalg.solve(H, X[:15].T @ y[:15] / 15)

    return inner, outer, best


def test_it_ends_at_the_best_penalty_of_ridge() -> None:
    inner, outer, best = ridge()
    w, h = torch.zeros(4).double(), torch.tensor(0.0).double()
    end = descend(inner, outer, w, h, steps=120, lr=0.1)
    torch.testing.assert_close(end.w, best(end.hyper), atol=1e-6, rtol=0)
    grid = torch.linspace(-6, 6, 2401).double()
    values = torch.stack([outer(best(g), g) for g in grid])
    assert abs(end.hyper - grid[values.argmin()]) < 0.01
    assert values[0] > values.min()
    assert values[-1] > values.min()


def test_the_path_begins_at_the_minimum_for_the_given_hyper_parameters() -> None:
    inner, outer, best = ridge()
    w, h = torch.zeros(4).double(), torch.tensor(0.75).double()
    end = descend(
        inner, outer, w, h, steps=3, lr=0.05, record=lambda w, h: {"h": h, "norm": w.norm()}
    )
    assert end.history.epochs == 4
    assert end.history["h"][0] == 0.75
    assert end.history["val_loss"][0] == pytest.approx(float(outer(best(h), h)), abs=1e-7)
    assert end.history["norm"][-1] == pytest.approx(float(end.w.norm()))
    assert abs(end.history["h"][1] - 0.75) == pytest.approx(0.05)


def test_what_is_given_stays_as_it_was() -> None:
    inner, outer, _ = ridge()
    w, h = torch.ones(4).double(), torch.tensor(0.75).double()
    end = descend(inner, outer, w, h, steps=2, lr=0.1)
    assert w.tolist() == [1.0] * 4
    assert float(h) == 0.75
    assert not end.hyper.requires_grad
    assert not end.w.requires_grad


@pytest.mark.parametrize("name", ["steps", "inner_steps", "products"])
def test_counts_below_1_are_refused(name: str) -> None:
    inner, outer, _ = ridge()
    options = {"steps": 1, name: 0}
    with pytest.raises(ValueError, match=f"^{name} is 0: take at least 1"):
        descend(inner, outer, torch.zeros(4), torch.tensor(0.0), lr=0.1, **options)
