"""The two products of matrices that `fast_norm` is made of, in torch's functions and in C++.

Matrices come in stacks, one for each edge. They are tall, (pixels, channels), or small, (channels,
channels); with so few channels a library for large matrices reaches half of its speed or less, and
the extension is 1.5 to 5 times as fast.
"""

from __future__ import annotations

from torch import Tensor, baddbmm

from mlcourse.nas.fast_extension import compiled


def cross(A: Tensor, D: Tensor) -> Tensor:
    """Return A^T D (edges, channels of A, channels of D), tall A and D."""
    functions = compiled(A)
    if functions is None:
        return A.mT @ D
    return functions.cross(A, D)  # type: ignore[no-any-return]


def affine_(out: Tensor, b: Tensor, A: Tensor, V: Tensor, add: bool = False) -> None:
    """Write A V + b into out, or add it with `add`; tall A and out, b (edges, 1, columns)."""
    functions = compiled(A)
    if functions is not None:
        functions.affine_(out, A, V.contiguous(), None, None, b, add)
    elif add:
        out.add_(b).baddbmm_(A, V)
    else:
        baddbmm(b, A, V, out=out)


def affine2_(out: Tensor, b: Tensor, A: Tensor, V: Tensor, D: Tensor, M: Tensor) -> None:
    """Write A V + D M + b into out."""
    functions = compiled(A)
    if functions is not None:
        functions.affine_(out, A, V.contiguous(), D, M.contiguous(), b, False)
    else:
        baddbmm(b, A, V, out=out)
        out.baddbmm_(D, M)
