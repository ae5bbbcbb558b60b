"""`crop`: one window an image, given from outside so that the result is exact."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn import functional

from mlcourse.checks.better_training_questions.shared import NO_DRAWS, images
from mlcourse.checks.declare import Mistake, Question, Variant

#: Sizes (N, C, H, W) of the images, side of the crop, dtype.
BATCHES = (
    (5, 3, 8, 6, 4, torch.uint8),
    (1, 3, 6, 9, 3, torch.float32),
    (6, 4, 9, 9, 5, torch.float64),
    (4, 1, 7, 10, 6, torch.uint8),
)


def cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor, int]]:
    """Windows that differ from image to image; last, one that takes the whole image."""
    found = []
    for N, C, H, W, size, dtype in BATCHES:
        X = images(N, C, H, W, g, dtype)
        top = different(N, H - size + 1, g)
        left = different(N, W - size + 1, g)
        found.append((X, top, left, size))
    whole = images(2, 3, 5, 5, g, torch.uint8)
    return [*found, (whole, torch.zeros(2).long(), torch.zeros(2).long(), 5)]


def different(N: int, count: int, g: Generator) -> Tensor:
    """Draw N numbers below `count`, of which the first two differ."""
    drawn = torch.randint(count, (N,), generator=g)
    if N > 1 and drawn[0] == drawn[1]:
        drawn[1] = (drawn[0] + 1) % count
    return drawn


def by(window: Callable[[Tensor, int, int, int], Tensor]) -> Callable[..., Tensor]:
    """Cut `window(image, top, left, size)` out of each image."""

    def crop(X: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
        offsets = zip(X, top.tolist(), left.tolist(), strict=True)
        return torch.stack([window(image, t, l, size) for image, t, l in offsets])

    return crop


def reference(X: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    offsets = zip(X, top.tolist(), left.tolist(), strict=True)
    return torch.stack([image[:, t : t + size, l : l + size] for image, t, l in offsets])


def alike(X: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    t, l = int(top[0]), int(left[0])
    return X[:, :, t : t + size, l : l + size]


def last_alike(X: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    t, l = int(top[-1]), int(left[-1])
    return X[:, :, t : t + size, l : l + size]


def sliced_by_tensors(X: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    return X[:, :, top : top + size, left : left + size]


def unstacked(X: Tensor, top: Tensor, left: Tensor, size: int) -> list[Tensor]:
    return list(reference(X, top, left, size))


def as_float(X: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    return reference(X.float(), top, left, size)


def resized(X: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    return functional.interpolate(X.float(), (size, size)).to(X.dtype)


def window_centred(image: Tensor, t: int, l: int, size: int) -> Tensor:
    t, l = ((side - size) // 2 for side in image.shape[1:])
    return image[:, t : t + size, l : l + size]


def window_from_bottom(image: Tensor, t: int, l: int, size: int) -> Tensor:
    H, W = image.shape[1:]
    return image[:, H - size - t : H - t, W - size - l : W - l]


def window_kept(image: Tensor, t: int, l: int, size: int) -> Tensor:
    kept = torch.zeros_like(image)
    kept[:, t : t + size, l : l + size] = image[:, t : t + size, l : l + size]
    return kept


def window_cut_out(image: Tensor, t: int, l: int, size: int) -> Tensor:
    kept = image.clone()
    kept[:, t : t + size, l : l + size] = 0
    return kept


def by_index(X: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    steps = torch.arange(size)
    rows = (top[:, None] + steps)[:, None, :, None]
    columns = (left[:, None] + steps)[:, None, None, :]
    first = torch.arange(len(X)).view(-1, 1, 1, 1)
    return X[first, torch.arange(X.shape[1]).view(1, -1, 1, 1), rows, columns]


def by_unfold(X: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    windows = X.unfold(2, size, 1).unfold(3, size, 1)
    return windows[torch.arange(len(X)), :, top, left]


def by_gather(X: Tensor, top: Tensor, left: Tensor, size: int) -> Tensor:
    N, C, _, W = X.shape
    rows = (top[:, None] + torch.arange(size)).view(N, 1, size, 1).expand(-1, C, -1, W)
    tall = X.gather(2, rows)
    columns = (left[:, None] + torch.arange(size)).view(N, 1, 1, size).expand(-1, C, size, -1)
    return tall.gather(3, columns)


def in_numpy(X: Tensor, top: Tensor, left: Tensor, size: int) -> Any:
    out = np.empty((*X.shape[:2], size, size), dtype=X.numpy().dtype)
    for n in range(len(X)):
        t, l = top[n].item(), left[n].item()
        out[n] = X.numpy()[n, :, t : t + size, l : l + size]
    return out


ONE_WINDOW = (
    "all images get the same window: each has its own, image n the one that begins at row top[n] "
    "and column left[n]"
)

crop = Question(
    name="crop",
    title="Crop each image",
    points=2,
    reference=reference,
    cases=cases,
    parts=("the crops",),
    forbidden=(NO_DRAWS,),
    mistakes=(
        Mistake("alike", alike, ONE_WINDOW),
        Mistake("last_alike", last_alike, ONE_WINDOW),
        Mistake(
            "sliced_by_tensors",
            sliced_by_tensors,
            "a slice needs one number at each end, and top and left hold N: go through the images "
            "one by one, each with its own top and left",
        ),
        Mistake(
            "exchanged",
            by(lambda image, t, l, s: image[:, l : l + s, t : t + s]),
            "top and left are exchanged: rows come first in (C, H, W), so top goes with dimension "
            "1 of an image and left with dimension 2",
        ),
        Mistake(
            "stops_at_size",
            by(lambda image, t, l, s: image[:, t:s, l:s]),
            "the window ends at size, wherever it begins: it goes from top to top + size",
        ),
        Mistake(
            "one_too_many",
            by(lambda image, t, l, s: image[:, t : t + s + 1, l : l + s + 1]),
            "the window is one row and one column too large: the end of a slice is left out "
            "already, top : top + size",
        ),
        Mistake(
            "one_too_few",
            by(lambda image, t, l, s: image[:, t : t + s - 1, l : l + s - 1]),
            "the window is one row and one column too small: it goes from top to top + size, the "
            "end left out",
        ),
        Mistake(
            "counted_from_one",
            by(lambda image, t, l, s: image[:, t + 1 : t + s + 1, l + 1 : l + s + 1]),
            "the window begins one pixel late: rows and columns count from 0, so it begins at top "
            "itself",
        ),
        Mistake(
            "corner",
            by(lambda image, t, l, s: image[:, :s, :s]),
            "the windows all begin in the corner: use top and left",
        ),
        Mistake(
            "centred",
            by(window_centred),
            "this is the centre crop, which is for testing: here each window begins at its own "
            "top and left",
        ),
        Mistake(
            "from_bottom",
            by(window_from_bottom),
            "the offsets are counted from the bottom and from the right: row 0 is the top one and "
            "column 0 the left one",
        ),
        Mistake(
            "wrong_dimensions",
            by(lambda image, t, l, s: image[t : t + s, l : l + s]),
            "channels and rows are cut instead of rows and columns: an image is (C, H, W), so "
            "write image[:, rows, columns]",
        ),
        Mistake(
            "last_dimensions",
            by(lambda image, t, l, s: image[t : t + s, l : l + s, :]),
            "channels and rows are cut instead of rows and columns: an image is (C, H, W), so "
            "write image[:, rows, columns]",
        ),
        Mistake(
            "resized",
            resized,
            "the whole image is shrunk: a crop keeps the pixels as they are and leaves some out",
        ),
        Mistake(
            "blackened",
            by(window_kept),
            "the pixels outside the window are set to 0: leave them out, so that the result is "
            "size by size",
        ),
        Mistake(
            "cut_out",
            by(window_cut_out),
            "the window is cut out of the image (that is cutout, another augmentation): return "
            "the window",
        ),
        Mistake(
            "turned",
            by(lambda image, t, l, s: image[:, t : t + s, l : l + s].transpose(1, 2)),
            "rows and columns of the crops are exchanged: keep the order (N, C, H, W)",
        ),
        Mistake(
            "list",
            unstacked,
            "you return a list of crops: put them into one tensor with torch.stack",
        ),
        Mistake(
            "as_float",
            as_float,
            "the crops are no bytes any more: a crop only chooses pixels, so keep the dtype",
        ),
    ),
    variants=(
        Variant("one index for everything", by_index),
        Variant("all windows, then one an image", by_unfold),
        Variant("gather, rows then columns", by_gather),
        Variant("a NumPy array, filled in a loop", in_numpy),
    ),
    hints=(
        "For one image it is a slice: image[:, t : t + size, l : l + size].",
        "Go through the images with their offsets, zip(X, top.tolist(), left.tolist()), and put "
        "the crops together with torch.stack.",
        "Without a loop: X.unfold(2, size, 1).unfold(3, size, 1) holds every window; choose one "
        "for each image.",
    ),
)
