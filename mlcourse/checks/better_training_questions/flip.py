"""`flip`: some images mirrored, told from outside which."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.better_training_questions.shared import NO_DRAWS, images
from mlcourse.checks.declare import Mistake, Question, Variant


def cases(g: Generator) -> list[tuple[Tensor, Tensor]]:
    """Some images to mirror and some not; the first is one of either."""
    found = []
    for N, C, H, W, first, dtype in (
        (6, 3, 5, 4, True, torch.uint8),
        (1, 2, 4, 4, True, torch.float32),
        (5, 1, 6, 6, False, torch.float64),
        (7, 3, 4, 7, False, torch.float32),
    ):
        which = torch.rand(N, generator=g) < 0.5
        which[:2] = torch.tensor([first, not first])[:N]
        found.append((images(N, C, H, W, g, dtype), which))
    return found


def by(
    mirror: Callable[[Tensor], Tensor] = lambda X: X.flip(3),
    chosen: Callable[[Tensor], Tensor] = lambda which: which,
) -> Callable[[Tensor, Tensor], Tensor]:
    """A flip with one of its pieces exchanged."""
    return lambda X, which: torch.where(chosen(which).view(-1, 1, 1, 1), mirror(X), X)


def reference(X: Tensor, which: Tensor) -> Tensor:
    return torch.where(which.view(-1, 1, 1, 1), X.flip(3), X)


def in_place(X: Tensor, which: Tensor) -> Tensor:
    X[which] = X[which].flip(3)
    return X


def one_truth(X: Tensor, which: Tensor) -> Tensor:
    return X.flip(3) if which else X


def masked(X: Tensor, which: Tensor) -> Tensor:
    return X.flip(3) * which.view(-1, 1, 1, 1)


def copied(X: Tensor, which: Tensor) -> Tensor:
    out = X.clone()
    out[which] = X[which][..., torch.arange(X.shape[-1] - 1, -1, -1)]
    return out


def image_by_image(X: Tensor, which: Tensor) -> Tensor:
    pairs = zip(X, which.tolist(), strict=True)
    return torch.stack([mirrored(image) if yes else image for image, yes in pairs])


def mirrored(image: Tensor) -> Tensor:
    return torch.stack([torch.fliplr(channel) for channel in image])


def by_index(X: Tensor, which: Tensor) -> Tensor:
    W = X.shape[3]
    forth = torch.arange(W)
    columns = torch.where(which[:, None], W - 1 - forth, forth)
    return X.gather(3, columns[:, None, None, :].expand_as(X))


def in_numpy(X: Tensor, which: Tensor) -> Any:
    pixels, chosen = X.numpy(), which.numpy()
    return np.where(chosen[:, None, None, None], pixels[:, :, :, ::-1], pixels)


flip = Question(
    name="flip",
    title="Flip some of the images",
    points=1,
    reference=reference,
    cases=cases,
    parts=("the images",),
    forbidden=(NO_DRAWS,),
    mistakes=(
        Mistake(
            "upside_down",
            by(lambda X: X.flip(2)),
            "the images stand on their heads: left and right are the columns, the last dimension "
            "of (N, C, H, W)",
        ),
        Mistake(
            "half_turn",
            by(lambda X: X.flip(2, 3)),
            "the images are turned by 180 degrees: mirror the columns alone, the last dimension",
        ),
        Mistake(
            "channels",
            by(lambda X: X.flip(1)),
            "the channels are in reverse order, so red becomes blue: mirror the columns, the last "
            "dimension",
        ),
        Mistake(
            "batch",
            by(lambda X: X.flip(0)),
            "the order of the images is reversed: mirror the columns within each image, the last "
            "dimension",
        ),
        Mistake(
            "all",
            by(chosen=torch.ones_like),
            "all images are mirrored: only those with which[n] True should be",
        ),
        Mistake(
            "first_decides",
            by(chosen=lambda which: which[:1].expand_as(which)),
            "the first entry of which decides for all images: each has its own",
        ),
        Mistake(
            "one_truth",
            one_truth,
            "`if which` asks for one truth value, and which holds N: choose image by image, with "
            "torch.where or by indexing",
        ),
        Mistake(
            "not_broadcast",
            lambda X, which: torch.where(which, X.flip(3), X),
            "which has the shape (N,), which torch holds against the columns: give it the shape "
            "(N, 1, 1, 1) with .view(-1, 1, 1, 1)",
        ),
        Mistake(
            "none",
            by(lambda X: X),
            "no image is mirrored: note that X.flip(3) returns a new tensor and leaves X as it is",
        ),
        Mistake(
            "the_others",
            by(chosen=lambda which: ~which),
            "the wrong ones are mirrored: which[n] is True for those to be mirrored",
        ),
        Mistake(
            "only_the_chosen",
            lambda X, which: X[which].flip(3),
            "you return the mirrored images alone: return all N, in their order",
        ),
        Mistake(
            "others_black",
            masked,
            "the images that stay as they are became 0: return them unchanged",
        ),
        Mistake(
            "in_place",
            in_place,
            "the caller's images are changed, so the next epoch would begin with mirrored ones: "
            "work on a copy, X.clone()",
        ),
        Mistake(
            "as_float",
            lambda X, which: reference(X.float(), which),
            "the dtype has changed: a flip only moves pixels, so keep it",
        ),
    ),
    variants=(
        Variant("a copy, then the chosen ones", copied),
        Variant("image by image", image_by_image),
        Variant("columns by gather", by_index),
        Variant("a detour by NumPy", in_numpy),
    ),
    hints=(
        "X.flip(3) mirrors every image. How do you choose, image by image, between it and X?",
        "torch.where(condition, X.flip(3), X) chooses; the condition must have the shape "
        "(N, 1, 1, 1) to meet the images.",
    ),
)
