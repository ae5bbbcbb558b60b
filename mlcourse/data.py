"""The data sets of the course: points and features with one-hot labels, images with class numbers.

Nothing is read or downloaded before a set is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np

    from mlcourse.data_readers import Arrays
    from mlcourse.sine_mixture import sine_mixture as sine_mixture

CIFAR10_CLASSES = (
    *("airplane", "automobile", "bird", "cat", "deer"),
    *("dog", "frog", "horse", "ship", "truck"),
)

#: Where each data set comes from.
SOURCES = {
    "circles": "drawn from a seed: nothing to fetch",
    "digits": "inside scikit-learn: nothing to fetch",
    "textured_digits": "made of scikit-learn's digits and photographs: nothing to fetch",
    "cifar10": "name a copy in MLCOURSE_DATA, or let `mlcourse data cifar10` fetch 170 MB",
    "mnist": "name a copy in MLCOURSE_DATA, or let `mlcourse data mnist` fetch 12 MB",
    "sine_mixture": "drawn from a seed: nothing to fetch",
}


def __getattr__(name: str) -> Any:
    """Find `sine_mixture`, of a module of its own, which a grader's worker may lack."""
    if name == "sine_mixture":
        from mlcourse.sine_mixture import sine_mixture

        return sine_mixture
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class Split(NamedTuple):
    """Examples to learn from and examples to test on: X (N, n_x), Y one-hot (N, n_y)."""

    X_train: Tensor
    Y_train: Tensor
    X_test: Tensor
    Y_test: Tensor

    def to(self, device: torch.device | str) -> Split:
        """Return the same split with every tensor on `device`."""
        return Split(*(tensor.to(device) for tensor in self))


class ThreeWaySplit(NamedTuple):
    """Examples to learn from, to choose with and to test on, once: X (N, n_x), Y one-hot."""

    X_train: Tensor
    Y_train: Tensor
    X_val: Tensor
    Y_val: Tensor
    X_test: Tensor
    Y_test: Tensor

    def to(self, device: torch.device | str) -> ThreeWaySplit:
        """Return the same split with every tensor on `device`."""
        return ThreeWaySplit(*(tensor.to(device) for tensor in self))


class DataMissing(FileNotFoundError):
    """There is no copy of a data set on this machine, and none could be fetched."""


class DataDamaged(ValueError):
    """A copy of a data set is incomplete or corrupt."""


@dataclass(frozen=True, eq=False, repr=False)
class Images:
    """Images to learn from and to test on: X uint8 (N, C, H, W), y class numbers int64 (N,).

    `name` says which copy it is; `classes` are the names of the classes.
    """

    name: str
    classes: tuple[str, ...]
    X_train: Tensor
    y_train: Tensor
    X_test: Tensor
    y_test: Tensor

    def __repr__(self) -> str:
        size = "x".join(str(length) for length in self.X_train.shape[1:])
        return (
            f"{self.name}: {len(self.X_train):,} images to train on, {len(self.X_test):,} "
            f"to test on, {size}, {len(self.classes)} classes"
        )

    def to(self, device: torch.device | str) -> Images:
        """Return the same images with every tensor on `device`."""
        return self._with(
            *(part.to(device) for part in (self.X_train, self.y_train, self.X_test, self.y_test))
        )

    def first(self, n_train: int, n_test: int) -> Images:
        """Return the first images of each part. Raises ValueError when there are not that many."""
        for n, part, X in ((n_train, "train", self.X_train), (n_test, "test", self.X_test)):
            if not 1 <= n <= len(X):
                raise ValueError(f"n_{part} is {n}: {self.name} has 1 to {len(X)} {part} images")
        return self._with(
            *(self.X_train[:n_train], self.y_train[:n_train]),
            *(self.X_test[:n_test], self.y_test[:n_test]),
        )

    def hold_out(self, n: int) -> Images:
        """Return the training images alone, the last `n` of them as the part to test on.

        Choose with these; the real test images are then still unseen for the report.
        Raises ValueError unless at least one image stays in each part.
        """
        left = len(self.X_train) - n
        if n < 1 or left < 1:
            raise ValueError(
                f"n is {n}: hold out 1 to {len(self.X_train) - 1} of "
                f"the {len(self.X_train)} training images"
            )
        X, y = self.X_train, self.y_train
        return self._with(X[:left], y[:left], X[left:], y[left:])

    def _with(self, X_train: Tensor, y_train: Tensor, X_test: Tensor, y_test: Tensor) -> Images:
        return replace(self, X_train=X_train, y_train=y_train, X_test=X_test, y_test=y_test)


def one_hot(labels: Tensor, classes: int, dtype: torch.dtype | None = None) -> Tensor:
    """Return the (N, classes) rows with a single 1, in the column that `labels` (N,) names."""
    dtype = dtype or torch.get_default_dtype()
    return torch.nn.functional.one_hot(labels.long(), classes).to(dtype)


def circles(
    n_train: int = 200,
    n_test: int = 200,
    noise: float = 0.1,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Split:
    """Draw two classes in the plane: a disc's rim of radius 0.5 (class 0) in one of radius 1.

    Each coordinate gets Gaussian noise of standard deviation `noise`. Classes are equally
    frequent (odd counts give class 0 one more) and come in random order. The same seed gives the
    same points in every dtype, up to rounding. Raises ValueError for a count below 2.
    """
    if min(n_train, n_test) < 2:
        raise ValueError(
            f"circles needs at least 2 points a set, one of each class; "
            f"it got n_train={n_train} and n_test={n_test}"
        )
    generator = torch.Generator().manual_seed(seed)
    X_train, Y_train = _two_rims(n_train, noise, generator, dtype)
    X_test, Y_test = _two_rims(n_test, noise, generator, dtype)
    return Split(X_train, Y_train, X_test, Y_test)


def _two_rims(
    n: int, noise: float, generator: torch.Generator, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    labels = (torch.arange(n) % 2)[torch.randperm(n, generator=generator)]
    angle = 2 * math.pi * torch.rand(n, generator=generator, dtype=torch.float64)
    radius = 0.5 * (1 + labels.double())
    rim = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    X = rim + noise * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return X.to(dtype), one_hot(labels, 2, dtype)


def grid(
    side: int = 101, low: float = -1.5, high: float = 1.5, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return the (side * side, 2) points of a square lattice from `low` to `high`, ends included.

    The first coordinate changes fastest, so `values.reshape(side, side)` has one row for each
    second coordinate, as an image with its origin at the bottom left.
    """
    ticks = torch.linspace(low, high, side, dtype=dtype)
    second, first = torch.meshgrid(ticks, ticks, indexing="ij")
    return torch.stack([first.flatten(), second.flatten()], dim=1)


def digits(seed: int = 0, dtype: torch.dtype = torch.float32) -> ThreeWaySplit:
    """Return scikit-learn's 1,797 handwritten digits, 8x8 pixels as 64 features in [0, 1].

    Ten classes; 60 % to train (1,077), 20 % to validate (360), 20 % to test (360), each with the
    classes in the proportions of the whole; `seed` says which. Source: E. Alpaydin and
    C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its test part).
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    pixels, labels = load_digits(return_X_y=True)
    rest, test = train_test_split(
        range(len(labels)), test_size=360, stratify=labels, random_state=seed
    )
    train, val = train_test_split(rest, test_size=360, stratify=labels[rest], random_state=seed)
    X = torch.as_tensor(pixels / 16, dtype=dtype)
    Y = one_hot(torch.as_tensor(labels), 10, dtype)
    return ThreeWaySplit(X[train], Y[train], X[val], Y[val], X[test], Y[test])


def cifar10(download: bool = True) -> Images:
    """Return CIFAR-10: 50,000 images to train on, 10,000 to test on, 3x32x32, ten classes.

    Uses a local copy, in the folder that MLCOURSE_DATA names (or the file itself) or in the user's
    cache: torchvision's own format (cifar-10-batches-py), images in train/CLASS and test/CLASS,
    or the packed file cifar10_jpeg.npz; else, with `download`, torchvision's download. Decoded
    pixels are kept in the user's cache. `name` says which copy it is. Raises DataMissing when
    there is none, DataDamaged for one that is incomplete. Source: A. Krizhevsky, Learning
    Multiple Layers of Features from Tiny Images, 2009.
    """
    return _as_images(_obtain("cifar10", download), CIFAR10_CLASSES)


def mnist(download: bool = True) -> Images:
    """Return MNIST: 60,000 images to train on, 10,000 to test on, 1x28x28, ten classes.

    Uses torchvision's own format (MNIST/raw) in the folder that MLCOURSE_DATA names or in the
    user's cache; else, with `download`, torchvision's download. Raises DataMissing and
    DataDamaged as `cifar10`. Source: Y. LeCun, C. Cortes and C. Burges, 1998.
    """
    return _as_images(_obtain("mnist", download), tuple("0123456789"))


def state(name: str) -> str:
    """Say where a data set of SOURCES comes from, and for one with files whether it is here."""
    if name not in ("cifar10", "mnist"):
        return SOURCES[name]
    from mlcourse import data_sources

    copy = data_sources.find(name)
    return f"here: {copy.path}" if copy else f"not here: {SOURCES[name]}"


def _obtain(name: str, download: bool) -> Arrays:
    from mlcourse import data_downloads, data_sources

    copy = data_sources.find(name)
    if copy is None and download:
        copy = data_downloads.fetch(name)
    if copy is None:
        raise data_sources.missing(name, "no download was asked for")
    return data_sources.read(copy)


def _as_images(arrays: Arrays, classes: tuple[str, ...]) -> Images:
    X_train, X_test = torch.from_numpy(arrays.X_train), torch.from_numpy(arrays.X_test)
    y_train, y_test = (torch.from_numpy(y).long() for y in (arrays.y_train, arrays.y_test))
    return Images(arrays.name, classes, X_train, y_train, X_test, y_test)


def cifar10_or_digits() -> Images:
    """Return CIFAR-10 where a local copy is, else textured digits; print which, in one sentence.

    Nothing is downloaded. Both have 3x32x32 images and ten classes.
    """
    try:
        images = cifar10(download=False)
    except DataMissing:
        images = textured_digits()
        print(
            f"No local copy of CIFAR-10, so this page uses {images!r}. "
            "To get CIFAR-10, run `mlcourse data cifar10`."
        )
    else:
        print(f"{images!r}.")
    return images


def textured_digits(seed: int = 0, n_train: int = 10_000, n_test: int = 2_000) -> Images:
    """Return real handwritten digits over photographs: 3x32x32, ten classes, nothing to fetch.

    scikit-learn's 1,797 digits, enlarged, moved by up to 4 pixels and drawn with a quarter to three
    quarters of full ink, are blended with random patches of its two photographs by the absolute
    difference (the recipe of MNIST-M: Y. Ganin et al., Domain-Adversarial Training of Neural
    Networks, JMLR 2016). Each digit appears in several versions. Nothing leaks from training to
    test images: they use different digits, and different sides of the photographs. Classes are
    equally frequent. Raises ValueError for counts below 10.
    """
    if min(n_train, n_test) < 10:
        raise ValueError(f"n_train={n_train} and n_test={n_test}: ask for 10 images or more each")
    import numpy as np
    from sklearn.datasets import load_digits, load_sample_image

    rng = np.random.RandomState(seed)  # its streams are frozen for good
    digits, labels = load_digits(return_X_y=True)
    sources = rng.permutation(len(digits))
    cut = int(0.8 * len(digits))
    photos = [load_sample_image(name) for name in ("china.jpg", "flower.jpg")]
    seam = int(0.75 * photos[0].shape[1])
    parts = []
    for n, mine, sides in (
        (n_train, sources[:cut], [photo[:, :seam] for photo in photos]),
        (n_test, sources[cut:], [photo[:, seam:] for photo in photos]),
    ):
        chosen = _balanced(labels[mine], n, rng)
        X = _blend(_enlarge(digits[mine]), chosen, sides, rng)
        parts += [torch.from_numpy(X), torch.from_numpy(labels[mine][chosen]).long()]
    return Images("textured digits", tuple("0123456789"), *parts)


def _balanced(labels: np.ndarray, n: int, rng: np.random.RandomState) -> np.ndarray:
    """Return `n` indices in random order, classes in turn, each class' members in turn."""
    import numpy as np

    members = [rng.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    turns = np.arange(-(-n // 10))
    chosen = np.stack([mine[turns % len(mine)] for mine in members], axis=1).reshape(-1)[:n]
    return rng.permutation(chosen)


def _enlarge(digits: np.ndarray) -> np.ndarray:
    """Enlarge (N, 64) pixels in 0..16 to (N, 32, 32) in 0..255, bilinearly, in exact integers."""
    import numpy as np

    place = np.clip(np.arange(32) * 2 - 3, 0, 56)  # in eighths of a pixel of the small image
    weights = np.zeros((32, 9), dtype=np.int64)
    np.add.at(weights, (np.arange(32), place // 8), 8 - place % 8)
    np.add.at(weights, (np.arange(32), place // 8 + 1), place % 8)
    small = digits.astype(np.int64).reshape(-1, 8, 8)
    return (weights[:, :8] @ small @ weights[:, :8].T * 255 // (64 * 16)).astype(np.uint8)


def _blend(
    digits: np.ndarray, chosen: np.ndarray, sides: list[np.ndarray], rng: np.random.RandomState
) -> np.ndarray:
    """Return uint8 (N, 3, 32, 32): |patch - digit|, each digit moved and fainter as may be."""
    import numpy as np
    from numpy.lib.stride_tricks import sliding_window_view

    def cut(images: np.ndarray, which: np.ndarray) -> np.ndarray:
        """A 32x32 window at a random place in each of the images (_, height, width, ...)."""
        windows = sliding_window_view(images, (32, 32), axis=(1, 2))
        top, left = (rng.randint(length, size=len(which)) for length in windows.shape[1:3])
        return windows[which, top, left]

    patches = cut(np.stack(sides), rng.randint(len(sides), size=len(chosen)))
    ink = cut(np.pad(digits, ((0, 0), (4, 4), (4, 4))), chosen)
    strength = rng.randint(64, 193, size=(len(chosen), 1, 1)).astype(np.uint16)  # of 256
    ink = (ink * strength // 256).astype(np.uint8)[:, None]
    return np.maximum(patches, ink) - np.minimum(patches, ink)  # bytes have no negative difference
