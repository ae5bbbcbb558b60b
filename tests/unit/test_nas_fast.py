"""The fast supernet against the naive one: everything that a search sees is the same."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse.nas.fast import FastSupernet, fast
from mlcourse.nas.supernet import Supernet


def pair(layers=3, channels=2, **options):
    """A naive supernet in float64 with an architecture that is not flat, and a fast copy."""
    generator = torch.Generator().manual_seed(1)
    naive = Supernet(channels, layers, 5, generator=generator, **options).double()
    with torch.no_grad():
        for alpha in naive.architecture():
            alpha.copy_(torch.randn(alpha.shape, generator=generator, dtype=alpha.dtype))
    return naive, fast(copy.deepcopy(naive))


def batch(n=4, size=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, 3, size, size, generator=generator, dtype=torch.float64)
    return X, torch.randint(5, (n,), generator=generator)


def assert_equal_steps(naive, other, X, y):
    """Compare logits, gradients and running statistics of a step."""
    outputs = []
    for model in (naive, other):
        model.zero_grad()
        outputs.append(model(X))
        F.cross_entropy(outputs[-1], y).backward()
    close = {"atol": 1e-9, "rtol": 1e-9}
    torch.testing.assert_close(*outputs, **close)
    for (name, p), q in zip(naive.named_parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, msg=lambda m, name=name: f"{name}: {m}", **close)
    for (name, p), q in zip(naive.named_buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(p, q, msg=lambda m, name=name: f"{name}: {m}", **close)


@pytest.mark.parametrize(("layers", "size"), [(3, 8), (4, 9)])
def test_logits_gradients_and_running_statistics_are_equal(layers, size):
    assert_equal_steps(*pair(layers), *batch(size=size))
