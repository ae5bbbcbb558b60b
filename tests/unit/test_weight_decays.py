"""One decay or many: who shares it, and the hypergradient in closed form."""

import pytest
import torch

from mlcourse import softmax_regression as softmax
from mlcourse.curvature import hessian
from mlcourse.hypergrad import hypergradient
from mlcourse.weight_decays import GROUPS, Decays, groups


def problem(share: str) -> Decays:
    generator = torch.Generator().manual_seed(0)
    X = torch.randn(30, 4, generator=generator, dtype=torch.float64)
    y = torch.randint(3, (30,), generator=generator)
    return Decays(X[:20], y[:20], X[20:], y[20:], groups(share, 4, classes=3))


def minimum(made: Decays, hyper: torch.Tensor) -> torch.Tensor:
    """Newton's method, with the whole Hessian: the loss is convex and smooth."""
    w = softmax.start(made.X, classes=3)
    for _ in range(30):
        g = torch.func.grad(made.inner)(w, hyper)
        w = w - torch.linalg.solve(hessian(lambda x: made.inner(x, hyper), w), g)
    assert g.norm() < 1e-12
    return w


@pytest.mark.parametrize(
    ("share", "expected"),
    [
        ("all", [[0, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ("class", [[0, 1, 2], [0, 1, 2], [0, 1, 2]]),
        ("pixel", [[0, 0, 0], [1, 1, 1], [2, 2, 2]]),
        ("weight", [[0, 1, 2], [3, 4, 5], [6, 7, 8]]),
    ],
)
def test_weights_share_a_decay_by_group(share: str, expected: list[list[int]]) -> None:
    assert groups(share, n_x=2, classes=3).view(3, 3).tolist() == expected
    made = problem(share)
    assert len(made.start(0.1)) == len(made.group.unique())
    torch.testing.assert_close(made.start(0.1).exp(), torch.full_like(made.start(0.1), 0.1))


def test_equal_decays_are_one_decay() -> None:
    w = softmax.fit(problem("all").X, problem("all").y, 0.1, classes=3)
    values = [made.inner(w, made.start(0.1)) for made in map(problem, GROUPS)]
    expected = softmax.losses(w, problem("all").X, problem("all").y).mean() + 0.05 * w @ w
    torch.testing.assert_close(torch.stack(values), expected.expand(len(GROUPS)))


@pytest.mark.parametrize("share", GROUPS)
def test_the_hypergradient_is_minus_decay_times_w_times_q_summed_over_the_group(share) -> None:
    made = problem(share)
    hyper = made.start(0.1) + torch.linspace(-1, 1, len(made.start(0.1))).double()
    w = minimum(made, hyper)
    u = torch.func.grad(made.outer)(w, hyper)
    q = torch.linalg.solve(hessian(lambda x: made.inner(x, hyper), w), u)
    each = -hyper.exp()[made.group] * w * q
    expected = torch.zeros_like(hyper).index_add(0, made.group, each)
    got = hypergradient(made.inner, made.outer, w, hyper, "cg", steps=200)
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=1e-12)
    for i in range(0, len(hyper), 5):
        step = torch.zeros_like(hyper)
        step[i] = 1e-4
        above, below = (made.outer(minimum(made, hyper + s), hyper) for s in (step, -step))
        assert float((above - below) / 2e-4) == pytest.approx(float(expected[i]), rel=1e-4)


def test_another_way_to_share_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^share is 'layer': give one of all, class, pixel"):
        groups("layer", 4)
