"""Data hyper-cleaning: what is spoilt, how finding is scored, and a bad example by its gradient."""

import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

from mlcourse import softmax_regression as softmax
from mlcourse.curvature import hessian
from mlcourse.hyper_cleaning import (
    Cleaning,
    corrupted,
    disagrees,
    score,
    self_trained,
    with_validation,
)
from mlcourse.hypergrad import hypergradient
from mlcourse.implicit_descent import descend

SCRIPTS = Path(__file__).resolve().parents[2] / "book" / "experiments"


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def blobs(n: int, seed: int):
    """Three classes that a line between any two tells apart."""
    generator = seeded(seed)
    y = torch.randint(3, (n,), generator=generator)
    corners = torch.tensor([[3.0, 0.0], [-2.0, 2.5], [-2.0, -2.5]]).double()
    return corners[y] + 0.5 * torch.randn(n, 2, generator=generator, dtype=torch.float64), y


# Wrong labels


@pytest.mark.parametrize("share", [0.0, 0.25, 0.5, 1.0])
def test_a_share_of_the_labels_is_wrong_and_the_others_are_not(share: float) -> None:
    labels = torch.arange(1000) % 10
    spoilt, bad = corrupted(labels, share, seeded())
    assert int(bad.sum()) == round(1000 * share)
    assert torch.equal(spoilt != labels, bad)
    assert set(spoilt.tolist()) <= set(range(10))


def test_wrong_labels_are_any_other_class_equally_often() -> None:
    spoilt, _ = corrupted(torch.full((9000,), 7), 1.0, seeded())
    counts = spoilt.bincount(minlength=10)
    assert counts[7] == 0
    # Binomial with mean 1000 and standard deviation 30: five of them.
    assert all(850 < count < 1150 for count in counts[torch.arange(10) != 7])


def test_with_a_shift_wrong_labels_are_the_class_so_many_further_on() -> None:
    labels = torch.arange(1000) % 10
    spoilt, bad = corrupted(labels, 0.5, seeded(), shift=3)
    assert torch.equal(spoilt[bad], (labels[bad] + 3) % 10)


def test_the_same_seed_spoils_the_same_examples_with_any_shift() -> None:
    labels = torch.arange(100) % 4
    one, two = (corrupted(labels, 0.5, seeded(3), classes=4, shift=s)[1] for s in (None, 1))
    assert torch.equal(one, two)
    assert not torch.equal(one, corrupted(labels, 0.5, seeded(4), classes=4)[1])


@pytest.mark.parametrize(
    ("share", "shift", "message"),
    [
        (1.5, None, "share is 1.5: give a number from 0 to 1"),
        (0.5, 0, "shift is 0: give a whole number from 1 to 9"),
        (0.5, 10, "shift is 10"),
    ],
)
def test_what_cannot_be_spoilt_is_refused(share, shift, message) -> None:
    with pytest.raises(ValueError, match=f"^{message}"):
        corrupted(torch.zeros(4).long(), share, seeded(), shift=shift)


# The score


def test_a_score_is_counted_by_hand() -> None:
    found = torch.tensor([1, 1, 1, 0, 0, 0, 0]).bool()
    bad = torch.tensor([1, 1, 0, 1, 1, 0, 0]).bool()
    got = score(found, bad)
    assert got.precision == pytest.approx(2 / 3)
    assert got.recall == 0.5
    assert got.f1 == pytest.approx(4 / 7)  # 2 hits / (2 hits + 1 false + 2 missed) doubled


def test_finding_all_and_nothing() -> None:
    bad = torch.tensor([True, False])
    assert score(bad, bad).f1 == 1
    assert score(~bad & bad, bad).f1 == 0
    assert score(bad | ~bad, bad).f1 == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match=r"^no example is bad"):
        score(bad, bad & ~bad)


# The problem


def test_the_inner_loss_weighs_each_example() -> None:
    (X, y), (X_val, y_val) = blobs(6, 0), blobs(5, 1)
    made = Cleaning(X, y, X_val, y_val, decay=0.2)
    hyper = torch.linspace(-2, 2, 6).double()
    w = torch.linspace(-1, 1, 9).double()
    expected = 0.1 * w @ w
    for h, x, label in zip(hyper, X, y, strict=True):
        weight = 1 / (1 + torch.exp(-h))
        expected = expected + weight * softmax.losses(w, x[None], label[None])[0] / 6
    torch.testing.assert_close(made.inner(w, hyper), expected)
    torch.testing.assert_close(made.outer(w, hyper), softmax.losses(w, X_val, y_val).mean())
    assert made.found(hyper).tolist() == [True] * 3 + [False] * 3


def test_a_weight_s_hypergradient_compares_two_gradients() -> None:
    """-(slope of the sigmoid) / N times (example's gradient) . H^-1 (validation's gradient)."""
    (X, y), (X_val, y_val) = blobs(12, 0), blobs(8, 1)
    made = Cleaning(X, y, X_val, y_val, decay=0.1)
    hyper = torch.linspace(-1, 1, 12).double()
    w = softmax.start(X, classes=3)
    for _ in range(30):
        g = torch.func.grad(made.inner)(w, hyper)
        w = w - torch.linalg.solve(hessian(lambda x: made.inner(x, hyper), w), g)
    q = torch.linalg.solve(
        hessian(lambda x: made.inner(x, hyper), w), torch.func.grad(made.outer)(w, hyper)
    )
    gradients = torch.func.jacrev(softmax.losses)(w, X, y)
    slope = hyper.sigmoid() * (1 - hyper.sigmoid())
    expected = -slope * (gradients @ q) / 12
    got = hypergradient(made.inner, made.outer, w, hyper, "exact")
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-14)


def test_weights_may_be_shared() -> None:
    (X, y), (X_val, y_val) = blobs(6, 0), blobs(5, 1)
    table = torch.tensor([[1.0] * 6, [0.0, 1, 2, 3, 4, 5]]).double()
    made = Cleaning(X, y, X_val, y_val, weigh=lambda hyper: torch.sigmoid(hyper @ table))
    hyper = torch.tensor([2.5, -1.0]).double()
    assert made.found(hyper).tolist() == [False, False, False, True, True, True]
    each = Cleaning(X, y, X_val, y_val)
    w = torch.linspace(-1, 1, 9).double()
    torch.testing.assert_close(made.inner(w, hyper), each.inner(w, hyper @ table))


# Rules that need no hypergradient, and the whole


def spoilt_blobs():
    X, labels = blobs(60, 0)
    y, bad = corrupted(labels, 0.3, seeded(1), classes=3)
    return X, y, bad, *blobs(20, 2)


def test_self_training_finds_the_bad_where_classes_are_far_apart() -> None:
    X, y, bad, X_val, y_val = spoilt_blobs()
    for rounds in (0, 2):
        assert torch.equal(self_trained(X, y, X_val, y_val, 0.01, rounds), bad)
    w = with_validation(X, y, X_val, y_val, ~bad, 0.01)
    assert torch.equal(disagrees(w, X, y), bad)


def test_training_with_validation_examples_uses_the_kept_ones_only() -> None:
    X, y, bad, X_val, y_val = spoilt_blobs()
    w = with_validation(X, y, X_val, y_val, torch.zeros_like(bad), 0.01)
    torch.testing.assert_close(w, softmax.fit(X_val, y_val, 0.01), atol=1e-5, rtol=0)


def test_hyper_cleaning_finds_the_bad_where_classes_are_far_apart() -> None:
    X, y, bad, X_val, y_val = spoilt_blobs()
    made = Cleaning(X, y, X_val, y_val, decay=0.01)
    end = descend(made.inner, made.outer, softmax.start(X, 3), X.new_zeros(60), steps=40, lr=0.2)
    assert torch.equal(made.found(end.hyper), bad)
    assert end.history["val_loss"][-1] < end.history["val_loss"][0]


# The experiment


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("hyper_cleaning")


@pytest.mark.slow
def test_the_experiment_rehearses_and_goes_on_where_it_was(
    script, tmp_path: Path, monkeypatch, capsys
) -> None:
    out = tmp_path / "rehearsal.json"
    monkeypatch.setattr(sys, "argv", ["hyper_cleaning.py", "--quick", "--out", str(out)])
    assert script.main() == 0
    runs = json.loads(out.read_text(encoding="utf-8"))["runs"]
    assert [run["task"] for run in runs] == ["cleaning", "methods", "decays"]
    assert set(runs[0]["found"]) >= {"each", "three", "self-training"}
    assert script.main() == 0
    assert "3 runs done, 0 to do" in capsys.readouterr().out
    assert json.loads(out.read_text(encoding="utf-8"))["runs"] == runs


def test_the_plan_has_each_run_once(script) -> None:
    runs = [json.dumps(run) for run in script.plan(quick=False)]
    assert len(set(runs)) == len(runs)
