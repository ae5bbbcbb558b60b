"""Data sets: sizes, ranges, reproducibility, and that the parts do not overlap."""

import subprocess
import sys

import numpy as np
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


@pytest.fixture(scope="module")
def textured():
    return data.textured_digits()


def test_textured_digits_are_ten_balanced_classes_of_colour_images(textured):
    assert textured.X_train.shape == (10_000, 3, 32, 32)
    assert textured.X_test.shape == (2_000, 3, 32, 32)
    assert {textured.X_train.dtype, textured.X_test.dtype} == {torch.uint8}
    assert {textured.y_train.dtype, textured.y_test.dtype} == {torch.int64}
    assert textured.y_train.bincount().tolist() == [1_000] * 10
    assert textured.y_test.bincount().tolist() == [200] * 10
    assert textured.classes == tuple("0123456789")
    assert len(textured.X_train.flatten(1).unique(dim=0)) == 10_000
    assert textured.y_train[:1000].bincount(minlength=10).max() < 150  # in random order


def test_textured_digits_repeat_with_their_seed(textured):
    again, other = data.textured_digits(), data.textured_digits(seed=1, n_train=25, n_test=13)
    assert torch.equal(again.X_train, textured.X_train)
    assert torch.equal(again.y_test, textured.y_test)
    assert (len(other.y_train), len(other.y_test)) == (25, 13)
    assert other.y_train.bincount().max() - other.y_train.bincount().min() <= 1
    assert not torch.equal(other.X_train, data.textured_digits(2, 25, 13).X_train)


def test_textured_digits_leak_neither_digits_nor_photographs(monkeypatch):
    parts = []
    blend = data._blend

    def spy(digits, chosen, sides, rng):
        parts.append(({digit.tobytes() for digit in digits[chosen]}, sides))
        return blend(digits, chosen, sides, rng)

    monkeypatch.setattr(data, "_blend", spy)
    data.textured_digits()
    (train, left), (test, right) = parts
    assert not train & test
    assert len(train) > 1400
    assert len(test) > 350
    for one, other in zip(left, right, strict=True):
        assert one.shape[1] + other.shape[1] == 640
        assert not np.shares_memory(one, other)


def test_digits_are_enlarged_as_torch_does(textured):
    from sklearn.datasets import load_digits

    small = load_digits().data[:50]
    ours = torch.from_numpy(data._enlarge(small)).double()
    images = torch.from_numpy(small).view(-1, 1, 8, 8)
    theirs = torch.nn.functional.interpolate(images, (32, 32), mode="bilinear")[:, 0] * 255 / 16
    assert ((theirs - ours) >= 0).all()  # ours are rounded down
    assert ((theirs - ours) < 1 + 1e-9).all()


def test_colours_do_not_tell_a_digit(textured):
    """The nearest class mean of the images' mean colours is right little more often than chance."""

    def colours(X):
        return X.double().mean(dim=(2, 3))

    means = torch.stack(
        [colours(textured.X_train[textured.y_train == c]).mean(0) for c in range(10)]
    )
    guess = torch.cdist(colours(textured.X_test), means).argmin(dim=1)
    assert (guess == textured.y_test).double().mean() < 0.2


@pytest.mark.parametrize(("n_train", "n_test"), [(9, 10), (10, 0)])
def test_too_few_textured_digits_are_refused(n_train, n_test):
    with pytest.raises(ValueError, match=f"n_train={n_train} and n_test={n_test}"):
        data.textured_digits(n_train=n_train, n_test=n_test)


# --- Images ------------------------------------------------------------------------------------


def numbered() -> data.Images:
    X = torch.arange(50, dtype=torch.uint8).view(50, 1, 1, 1).expand(50, 3, 2, 4)
    y = torch.arange(50)
    return data.Images("numbered", ("even", "odd"), X[:40], y[:40], X[40:], y[40:])


def test_images_say_what_they_are():
    assert repr(numbered()) == ("numbered: 40 images to train on, 10 to test on, 3x2x4, 2 classes")


def test_the_first_images_of_each_part():
    few = numbered().first(7, 3)
    assert (few.name, few.classes) == ("numbered", ("even", "odd"))
    assert few.y_train.tolist() == list(range(7))
    assert few.y_test.tolist() == [40, 41, 42]
    assert few.X_test[:, 0, 0, 0].tolist() == [40, 41, 42]


def test_held_out_images_are_the_last_training_ones():
    chosen = numbered().hold_out(15)
    assert chosen.y_train.tolist() == list(range(25))
    assert chosen.y_test.tolist() == list(range(25, 40))
    assert chosen.X_test[:, 0, 0, 0].tolist() == list(range(25, 40))


@pytest.mark.parametrize(
    ("act", "says"),
    [
        (lambda images: images.first(41, 1), "n_train is 41: numbered has 1 to 40 train images"),
        (lambda images: images.first(1, 0), "n_test is 0: numbered has 1 to 10 test images"),
        (lambda images: images.hold_out(0), "n is 0: hold out 1 to 39"),
        (lambda images: images.hold_out(40), "n is 40: hold out 1 to 39"),
    ],
)
def test_counts_that_do_not_fit_are_refused(act, says):
    with pytest.raises(ValueError, match=says):
        act(numbered())


def test_images_move_as_a_whole():
    moved = numbered().to("meta")
    parts = (moved.X_train, moved.y_train, moved.X_test, moved.y_test)
    assert {part.device.type for part in parts} == {"meta"}
    assert moved.name == "numbered"


def test_every_set_says_where_it_comes_from(monkeypatch, tmp_path):
    monkeypatch.delenv("MLCOURSE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name in data.SOURCES:
        assert callable(getattr(data, name))
        files = name in ("cifar10", "mnist")
        assert ("not here" if files else "nothing to fetch") in data.state(name)


def test_importing_the_library_opens_no_connection():
    code = (
        "import socket\n"
        "def refuse(*args, **kwargs): raise SystemExit('a connection was opened')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from mlcourse import data, data_downloads, gradcheck, loading, mlp, plotting, training\n"
        "import sys; assert 'torchvision' not in sys.modules, 'torchvision is slow to import'\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
