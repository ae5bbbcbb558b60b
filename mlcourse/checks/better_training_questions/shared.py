"""What the questions of `better_training` share: images, channels, and what is forbidden."""

from __future__ import annotations

from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.compare import plain
from mlcourse.checks.declare import Forbidden

#: Batch, height and width: what one channel's statistics are taken over.
BATCH_AND_PIXELS = (0, 2, 3)

#: Sizes (N, C, H, W), eps and dtype of the maps for batch norm: oblong maps, one image, a width
#: equal to the channels (where a wrong broadcast gives no error), single pixels.
MAPS = (
    (6, 3, 4, 5, 0.1, torch.float64),
    (4, 3, 2, 3, 1e-5, torch.float64),
    (1, 2, 4, 3, 0.05, torch.float64),
    (5, 4, 3, 3, 0.2, torch.float32),
    (8, 2, 1, 1, 0.02, torch.float64),
)

NO_BATCH_NORM = Forbidden(
    "batch_norm",
    "batch norm is to be written here: leave torch's own batch_norm and BatchNorm modules out",
    attributes=frozenset(
        {
            "BatchNorm1d",
            "BatchNorm2d",
            "BatchNorm3d",
            "LazyBatchNorm2d",
            "batch_norm",
            "native_batch_norm",
            "native_batch_norm_backward",
        }
    ),
    traps=("torch.batch_norm", "torch.native_batch_norm"),
)

NO_DRAWS = Forbidden(
    "draws",
    "what is random is given here: draw nothing yourself, or nobody could say which result is "
    "right",
    attributes=frozenset(
        {
            "Dropout",
            "bernoulli",
            "bernoulli_",
            "dropout",
            "rand",
            "rand_like",
            "randint",
            "randn",
            "random",
        }
    ),
    traps=(
        "torch.rand",
        "torch.rand_like",
        "torch.randint",
        "torch.bernoulli",
        "torch.nn.functional.dropout",
    ),
)

NO_AUTOGRAD = Forbidden(
    "autograd",
    "this gradient is to be worked out by hand: leave autograd (backward(), .grad, "
    "requires_grad, torch.func) out; you may test against it in a cell of your own",
    attributes=frozenset(
        {
            "autograd",
            "backward",
            "grad",
            "jacrev",
            "jvp",
            "requires_grad",
            "requires_grad_",
            "vjp",
        }
    ),
    traps=(
        "torch.autograd.grad",
        "torch.autograd.backward",
        "torch.Tensor.backward",
        "torch.Tensor.requires_grad_",
    ),
)


SHAPES = (
    "gamma, beta and the statistics have shape (C,), which torch holds against the columns: give "
    "them the shape (1, C, 1, 1), with .view(1, -1, 1, 1)"
)


def maps(N: int, C: int, H: int, W: int, g: Generator, dtype: torch.dtype) -> Tensor:
    """Draw maps whose channels, images and places all differ in level and spread."""

    def draw(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=g, dtype=torch.float64)

    level = 2 * draw(1, C, 1, 1) + draw(N, 1, 1, 1) + draw(1, 1, H, W)
    return (level + draw(1, C, 1, 1).exp() * draw(N, C, H, W)).to(dtype)


def one_a_channel(values: Tensor) -> Tensor:
    """Turn (C,) into (1, C, 1, 1), to meet (N, C, H, W)."""
    return values.view(1, -1, 1, 1)


def flat(value: Any, channels: int) -> Any:
    """Take one number a channel in any shape, such as (1, C, 1, 1), as (C,)."""
    if isinstance(value, Tensor) and value.numel() == channels:
        return value.flatten()
    return value


def stacked(result: Any) -> Any:
    """Make one tensor of a list of equally shaped ones; leave all else as it is."""
    result = plain(result)
    if isinstance(result, (list, tuple)) and result:
        shapes = {(it.shape, it.dtype) if isinstance(it, Tensor) else None for it in result}
        if len(shapes) == 1 and None not in shapes:
            return torch.stack(list(result))
    return result


def draw_scale_and_shift(C: int, g: Generator, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    gamma = 0.5 + torch.rand(C, generator=g, dtype=dtype)
    return gamma, normal(C, generator=g, dtype=dtype)


def scaled(xhat: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    return one_a_channel(gamma) * xhat + one_a_channel(beta)


def images(N: int, C: int, H: int, W: int, g: Generator, dtype: torch.dtype) -> Tensor:
    pixels = torch.randint(256, (N, C, H, W), generator=g)
    return pixels.to(dtype) if dtype is torch.uint8 else pixels.to(dtype) / 255
