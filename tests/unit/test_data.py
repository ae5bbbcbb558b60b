"""Data sets: sizes, ranges, reproducibility, and that the parts do not overlap."""

import subprocess
import sys

import pytest
import torch

from mlcourse import data


def test_circles_are_two_balanced_rims():
    split = data.circles()
    X_train, Y_train, X_test, Y_test = split
    assert X_train.shape == X_test.shape == (200, 2)
    assert Y_train.shape == Y_test.shape == (200, 2)
    for X, Y in ((X_train, Y_train), (X_test, Y_test)):
        assert Y.sum(dim=0).tolist() == [100, 100]
        assert Y.sum(dim=1).eq(1).all()
        radius = X.norm(dim=1)
        assert float(radius[Y[:, 0] == 1].mean()) == pytest.approx(0.5, abs=0.05)
        assert float(radius[Y[:, 1] == 1].mean()) == pytest.approx(1.0, abs=0.05)
        # Two blocks of one class after the other would not be shuffled.
        assert Y[:100, 0].sum() < 80


def test_circles_without_noise_lie_on_their_rims():
    split = data.circles(n_train=50, noise=0, dtype=torch.float64)
    radius = 0.5 + 0.5 * split.Y_train[:, 1]
    torch.testing.assert_close(split.X_train.norm(dim=1), radius)


def test_circles_repeat_with_their_seed_and_in_every_dtype():
    split, again, other = data.circles(seed=3), data.circles(seed=3), data.circles(seed=4)
    assert all(torch.equal(one, two) for one, two in zip(split, again, strict=True))
    assert not torch.equal(split.X_train, other.X_train)
    double = data.circles(seed=3, dtype=torch.float64)
    assert {tensor.dtype for tensor in double} == {torch.float64}
    assert torch.equal(double.X_test.float(), split.X_test)


def test_circles_train_and_test_share_no_point():
    split = data.circles()
    assert torch.cdist(split.X_train, split.X_test).min() > 0


def test_odd_counts_are_as_balanced_as_can_be():
    assert data.circles(n_train=5, n_test=3).Y_train.sum(dim=0).tolist() == [3, 2]


@pytest.mark.parametrize("count", [1, 0, -3])
def test_too_few_points_are_refused(count):
    with pytest.raises(ValueError, match=f"n_test={count}"):
        data.circles(n_test=count)


def test_the_grid_is_ordered_as_an_image():
    lattice = data.grid(3, -1, 1)
    assert lattice.shape == (9, 2)
    assert lattice[:4].tolist() == [[-1, -1], [0, -1], [1, -1], [-1, 0]]
    image = lattice[:, 1].reshape(3, 3)
    assert image[0].tolist() == [-1, -1, -1]
    assert data.grid(dtype=torch.float64).dtype == torch.float64


def test_digits_are_split_once_and_for_all():
    split = data.digits()
    assert [len(part) for part in split] == [1077, 1077, 360, 360, 360, 360]
    everything = torch.cat([split.X_train, split.X_val, split.X_test])
    assert everything.shape == (1797, 64)
    assert everything.min() == 0
    assert everything.max() == 1
    from sklearn.datasets import load_digits

    raw = torch.as_tensor(load_digits().data / 16, dtype=torch.float32)
    assert sorted(everything.tolist()) == sorted(raw.tolist())
    assert torch.equal(data.digits().X_test, split.X_test)
    assert not torch.equal(data.digits(seed=1).X_test, split.X_test)


def test_digits_keep_their_labels_and_proportions():
    split = data.digits(dtype=torch.float64)
    assert {tensor.dtype for tensor in split} == {torch.float64}
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    known = {tuple(row): label for row, label in zip(pixels / 16, labels, strict=True)}
    whole = torch.bincount(torch.as_tensor(labels), minlength=10) / len(labels)
    for X, Y in ((split.X_train, split.Y_train), (split.X_val, split.Y_val), split[4:]):
        assert [known[tuple(row)] for row in X.tolist()] == Y.argmax(dim=1).tolist()
        torch.testing.assert_close(Y.float().mean(dim=0), whole, atol=0.005, rtol=0)


def test_one_hot_rows():
    rows = data.one_hot(torch.tensor([2, 0]), 3)
    assert rows.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert rows.dtype == torch.get_default_dtype()


@pytest.mark.parametrize("make", [data.circles, data.digits])
def test_a_split_moves_as_a_whole(make):
    split = make().to("meta")
    assert type(split) is type(make())
    assert {tensor.device.type for tensor in split} == {"meta"}


def test_importing_the_library_opens_no_connection():
    code = (
        "import socket\n"
        "def refuse(*args, **kwargs): raise SystemExit('a connection was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from mlcourse import data, gradcheck, mlp, plotting, training\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
