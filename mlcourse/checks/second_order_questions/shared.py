"""What the questions of `second_order` share: matrices with chosen eigenvalues."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal

WITNESS = "witness"


def symmetric(eigenvalues: Sequence[float], g: Generator, dtype: torch.dtype) -> Tensor:
    """Draw a symmetric matrix with these eigenvalues, each moved by up to 5 %."""
    n = len(eigenvalues)
    Q = torch.linalg.qr(normal(n, n, generator=g, dtype=torch.float64)).Q
    moved = 0.95 + 0.1 * torch.rand(n, generator=g, dtype=torch.float64)
    L = torch.tensor(eigenvalues, dtype=torch.float64) * moved
    H = Q @ torch.diag(L) @ Q.T
    return ((H + H.T) / 2).to(dtype)
