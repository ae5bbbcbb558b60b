"""`standardise`: mean 0 and standard deviation 1 a channel, by the training set's statistics."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.better_training_questions.shared import BATCH_AND_PIXELS, maps
from mlcourse.checks.declare import TOLERANCE, Mistake, Question, Variant

Pair = tuple[Tensor, Tensor]
Choose = Callable[[Tensor, Tensor], Tensor]


def cases(g: Generator) -> list[Pair]:
    """Bytes and floats; a test set of other images than the training set, once a single one."""
    found = []
    for N, M, C, H, W, dtype in (
        (24, 5, 3, 6, 7, torch.uint8),
        (30, 4, 1, 6, 5, torch.uint8),
        (40, 6, 3, 7, 3, torch.float32),
        (32, 1, 4, 5, 6, torch.float32),
    ):
        X = maps(N + M, C, H, W, g, torch.float64)
        X[N:] = 1.5 * X[N:] + 1.0
        X = ((X - X.amin()) / (X.amax() - X.amin())).float()
        X = (255 * X).to(dtype) if dtype is torch.uint8 else X
        found.append((X[:N], X[N:]))
    return found


def channel_statistics(X: Tensor) -> Pair:
    return statistics(BATCH_AND_PIXELS)(X)


def statistics(dims: tuple[int, ...], correction: int = 0) -> Callable[[Tensor], Pair]:
    """Mean and standard deviation over `dims`."""
    return lambda X: (
        X.float().mean(dim=dims, keepdim=True),
        X.float().std(dim=dims, keepdim=True, correction=correction),
    )


def centre_and_scale(X: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (X.float() - mean) / std


def train_set(X_train: Tensor, X_test: Tensor) -> Tensor:
    return X_train


def test_set(X_train: Tensor, X_test: Tensor) -> Tensor:
    return X_test


def by(
    of: Callable[[Tensor], Pair] = channel_statistics,
    apply: Callable[[Tensor, Tensor, Tensor], Tensor] = centre_and_scale,
    for_train: Choose = train_set,
    for_test: Choose = train_set,
) -> Callable[[Tensor, Tensor], Pair]:
    """Standardisation with one of its pieces exchanged."""

    def standardise(X_train: Tensor, X_test: Tensor) -> Pair:
        return (
            apply(X_train, *of(for_train(X_train, X_test))),
            apply(X_test, *of(for_test(X_train, X_test))),
        )

    return standardise


def reference(X_train: Tensor, X_test: Tensor) -> Pair:
    mean, std = channel_statistics(X_train)
    return centre_and_scale(X_train, mean, std), centre_and_scale(X_test, mean, std)


def together(X_train: Tensor, X_test: Tensor) -> Tensor:
    return torch.cat([X_train, X_test])


def in_place(X_train: Tensor, X_test: Tensor) -> Pair:
    """`float()` makes a copy of bytes, and none of what is float32 already."""
    mean, std = channel_statistics(X_train)
    train, test = X_train.float(), X_test.float()
    for X in (train, test):
        X -= mean
        X /= std
    return train, test


def test_in_vain(X_train: Tensor, X_test: Tensor) -> Pair:
    return reference(X_train, X_test)[0], X_test.float()


def mean_of_bytes(X_train: Tensor, X_test: Tensor) -> Pair:
    mean = X_train.mean(dim=BATCH_AND_PIXELS, keepdim=True)
    std = X_train.std(dim=BATCH_AND_PIXELS, keepdim=True)
    return (X_train - mean) / std, (X_test - mean) / std


def std_of_bytes(X_train: Tensor, X_test: Tensor) -> Pair:
    std = X_train.std(dim=BATCH_AND_PIXELS, keepdim=True)
    mean = X_train.mean(dim=BATCH_AND_PIXELS, keepdim=True)
    return (X_train - mean) / std, (X_test - mean) / std


def not_broadcast(X_train: Tensor, X_test: Tensor) -> Pair:
    train, test = X_train.float(), X_test.float()
    mean, std = train.mean(dim=BATCH_AND_PIXELS), train.std(dim=BATCH_AND_PIXELS)
    return (train - mean) / std, (test - mean) / std


def wrapped(X: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return (X - mean.to(X.dtype)).float() / std


def back_to_bytes(X: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    return centre_and_scale(X, mean, std).to(X.dtype)


def channel_by_channel(X_train: Tensor, X_test: Tensor) -> Pair:
    train, test = X_train.float().clone(), X_test.float().clone()
    for c in range(train.shape[1]):
        values = X_train[:, c].double()
        for X in (train, test):
            X[:, c] = (X[:, c] - float(values.mean())) / float(values.std())
    return train, test


def of_scaled_pixels(X_train: Tensor, X_test: Tensor) -> Pair:
    """Divide by 255 first, which changes nothing in the end; statistics by sums."""
    train, test = X_train / 255, X_test / 255
    rows = train.transpose(0, 1).flatten(1)
    n = rows.shape[1]
    mean = (rows.sum(dim=1) / n).view(-1, 1, 1)
    std = ((rows - mean.view(-1, 1)).square().sum(dim=1) / (n - 1)).sqrt().view(-1, 1, 1)
    return (train - mean) / std, (test - mean) / std


def in_numpy(X_train: Tensor, X_test: Tensor) -> list[Tensor]:
    train, test = X_train.numpy(), X_test.numpy()
    mean = train.mean(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
    std = train.std(axis=(0, 2, 3), keepdims=True, dtype=np.float64)
    return [torch.from_numpy((X - mean) / std) for X in (train, test)]


TO_FLOAT = (
    "bytes have no mean in torch: make the images floating-point numbers first, X = X_train.float()"
)


def both(
    name: str,
    says: str,
    dims: tuple[int, ...] = BATCH_AND_PIXELS,
    for_train: Choose = train_set,
    for_test: Choose = train_set,
) -> tuple[Mistake, Mistake]:
    """A mistake with the divisor n and with n - 1, which differ where few values are averaged."""
    biased, unbiased = (
        by(statistics(dims, k), for_train=for_train, for_test=for_test) for k in (0, 1)
    )
    return Mistake(name, biased, says), Mistake(f"{name}_unbiased", unbiased, says)


standardise = Question(
    name="standardise",
    title="Standardise with training statistics",
    points=2,
    reference=reference,
    cases=cases,
    parts=("Z_train", "Z_test"),
    # Wide enough for both ways to divide, by n and by n - 1.
    tolerance={**TOLERANCE, torch.float32: 2e-3},
    mistakes=(
        *both(
            "own_statistics",
            "the test set is standardised by its own statistics: use the mean and the standard "
            "deviation of the training set, they must also serve for one single image",
            for_test=test_set,
        ),
        Mistake(
            "together",
            by(for_train=together, for_test=together),
            "the statistics are those of both sets together, so the test set leaks into the "
            "training: compute them from X_train alone",
        ),
        *both(
            "test_statistics",
            "both sets are standardised by the test set's statistics: compute them from X_train",
            for_train=test_set,
            for_test=test_set,
        ),
        Mistake(
            "test_left_out",
            test_in_vain,
            "the test set is not standardised: what the network learned to expect must come in "
            "testing too, so apply the training mean and standard deviation to it",
        ),
        *both(
            "per_pixel",
            "each pixel has a mean of its own: one number for each channel is asked for, over the "
            "images, the rows and the columns, dim=(0, 2, 3)",
            (0,),
        ),
        Mistake(
            "one_number",
            by(statistics((0, 1, 2, 3))),
            "one mean serves all channels: take one for each channel, dim=(0, 2, 3)",
        ),
        *both(
            "per_image",
            "each image is standardised by itself: the statistics are those of the whole training "
            "set, dim=(0, 2, 3)",
            (2, 3),
            for_test=test_set,
        ),
        *both(
            "per_image_and_colour",
            "each image is standardised by itself, all its channels together: the statistics are "
            "those of the whole training set, a channel at a time, dim=(0, 2, 3)",
            (1, 2, 3),
            for_test=test_set,
        ),
        *both(
            "over_channels",
            "the mean is taken over images and channels: the batch comes first, then the "
            "channels, so the dimensions to go over are (0, 2, 3)",
            (0, 1),
        ),
        Mistake(
            "variance",
            by(apply=lambda X, mean, std: (X.float() - mean) / std**2),
            "you divide by the variance: divide by its root, the standard deviation",
        ),
        Mistake(
            "not_centred",
            by(apply=lambda X, mean, std: X.float() / std),
            "the mean is still there: subtract it before you divide",
        ),
        Mistake(
            "centred_late",
            by(apply=lambda X, mean, std: X.float() / std - mean),
            "you divide first and then subtract the mean, which was not divided: subtract first, "
            "(X - mean) / std",
        ),
        Mistake(
            "centred_only",
            by(apply=lambda X, mean, std: X.float() - mean),
            "the standard deviation is not 1 yet: divide by it after subtracting the mean",
        ),
        Mistake(
            "multiplied",
            by(apply=lambda X, mean, std: (X.float() - mean) * std),
            "you multiply by the standard deviation: divide by it",
        ),
        Mistake(
            "root_mean_square",
            by(
                apply=lambda X, mean, std: (X.float() - mean) / (std**2 + mean**2).sqrt(),
            ),
            "you divide by the root of the mean square of X: the standard deviation is about the "
            "mean, so subtract it before squaring",
        ),
        Mistake(
            "only_scaled",
            lambda X_train, X_test: (X_train.float() / 255, X_test.float() / 255),
            "the pixels are only scaled to [0, 1]: subtract the channel's mean and divide by its "
            "standard deviation",
        ),
        Mistake(
            "half",
            lambda X_train, X_test: ((X_train / 255 - 0.5) / 0.5, (X_test / 255 - 0.5) / 0.5),
            "the pixels are moved to [-1, 1] by fixed numbers: subtract the channel's own mean and "
            "divide by its own standard deviation",
        ),
        Mistake(
            "exchanged",
            lambda X_train, X_test: reference(X_train, X_test)[::-1],
            "the two sets come back in the wrong order: return (Z_train, Z_test)",
        ),
        Mistake(
            "wrapped",
            by(apply=wrapped),
            "the subtraction is done in bytes, where 10 - 20 is 246: make the images "
            "floating-point numbers before you subtract",
        ),
        Mistake(
            "back_to_bytes",
            by(apply=back_to_bytes),
            "the result is turned back into bytes, which cannot hold -0.7: return floating-point "
            "numbers",
        ),
        Mistake("mean_of_bytes", mean_of_bytes, TO_FLOAT),
        Mistake("std_of_bytes", std_of_bytes, TO_FLOAT),
        Mistake(
            "not_broadcast",
            not_broadcast,
            "the statistics have shape (C,), which torch holds against the columns: keep the "
            "dimensions (keepdim=True) or use .view(1, -1, 1, 1)",
        ),
        Mistake(
            "in_place",
            in_place,
            "the caller's images are changed: .float() makes no copy of what is float32 already, "
            "so write X = (X - mean) / std, not X -= mean",
        ),
    ),
    variants=(
        Variant("channel by channel, divided by n - 1", channel_by_channel),
        Variant("pixels from 0 to 1, sums written out", of_scaled_pixels),
        Variant("a detour by NumPy", in_numpy),
        Variant("from pieces", by()),
    ),
    hints=(
        "Which dimensions of (N, C, H, W) must go, so that one number a channel is left?",
        "X.float() first. Then mean and std over dim=(0, 2, 3), with keepdim=True so that they "
        "meet the images in the right dimension.",
        "Both statistics come from X_train. The same two go into (X_train - mean) / std and "
        "(X_test - mean) / std.",
    ),
)
