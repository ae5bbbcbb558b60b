"""The scalar bilevel problem: train loss (w - a)^2, validation loss a w - 2 a + 1, all exact.

The minimum of the train loss is at w*(a) = a, where the validation loss is (a - 1)^2: the solution
is a = w = 1. Alternating descent is a linear map here, so where it ends, and for which steps, can
be read from a matrix. Source: Liu, Simonyan and Yang, DARTS, 2019, figure 2.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

#: Where the descent starts: the weight w and the hyper-parameter a.
START = (-2.0, 2.0)


def train_loss(w: Tensor, a: Tensor) -> Tensor:
    """(w - a)^2, in the shape of w."""
    return (w - a) ** 2


def val_loss(w: Tensor, a: Tensor) -> Tensor:
    """a w - 2 a + 1, in the shape of w."""
    return a * w - 2 * a + 1


def limit(xi: float) -> float:
    """Return the a = w where small alternating steps end: 2 / (1 + 2 xi).

    There w = a, so w does not move, and w - 2 + 2 xi a = 0, so a does not. Only xi = 1/2 gives the
    solution 1, because a step of 1/2 goes from any w to the minimum of the train loss. Raises
    ValueError when xi is negative.
    """
    _check_xi(xi)
    return 2 / (1 + 2 * xi)


def step_map(
    lr_w: float, lr_a: float, xi: float, order: Literal["w", "hyper"] = "w"
) -> tuple[Tensor, Tensor]:
    """Return M (2, 2) and b (2,) such that a step takes (w, a) to M (w, a) + b, in float64.

    Raises ValueError when xi is negative.
    """
    _check_xi(xi)
    move_w = torch.tensor([[1 - 2 * lr_w, 2 * lr_w], [0, 1]], dtype=torch.float64)
    # The slope in a is (1 - 2 xi) w + 4 xi a - 2.
    move_a = torch.tensor([[1, 0], [-lr_a * (1 - 2 * xi), 1 - 4 * xi * lr_a]], dtype=torch.float64)
    shift = torch.tensor([0, 2 * lr_a], dtype=torch.float64)
    return (move_a @ move_w, shift) if order == "w" else (move_w @ move_a, move_w @ shift)


def contraction(lr_w: float, lr_a: float, xi: float) -> float:
    """Return the largest |eigenvalue| of the step's matrix: below 1 the descent converges.

    It is about the factor by which a step shortens the distance to the limit, and does not depend
    on the order, since A B and B A have the same eigenvalues. Raises ValueError as `step_map`.
    """
    matrix, _ = step_map(lr_w, lr_a, xi)
    return float(torch.linalg.eigvals(matrix).abs().max())


def largest_step(xi: float) -> float:
    """Return the step lr_w = lr_a up to which, itself left out, every step converges.

    The eigenvalues are inside the unit circle when |trace| < 1 + determinant and determinant < 1.
    With equal steps s the second reads s < (1 + 2 xi) / (4 xi), and the first 2 - 2 (1 + 2 xi) s
    - (1 - 6 xi) s^2 > 0, which at xi = 0 is s < sqrt(3) - 1. Raises ValueError when xi is negative.
    """
    _check_xi(xi)
    p = 1 + 2 * xi
    rotation = p / (4 * xi) if xi else math.inf
    square = p * p + 2 * (1 - 6 * xi)
    # Written so that the root stays finite where 1 - 6 xi is zero.
    flip = 2 / (p + math.sqrt(square)) if square >= 0 else math.inf
    return min(rotation, flip)


def _check_xi(xi: float) -> None:
    if not 0 <= xi < math.inf:
        raise ValueError(f"xi is {xi}: give 0 or a positive, finite number")
