"""Gradient clipping, by value and by norm, between `backward()` and `step()`.

In `train_model`, where no line comes between them, clip in a hook, which must return nothing:

    def clip(*_):
        clip_by_norm_(weights, 1.0)

    optimizer.register_step_pre_hook(clip)

with `weights = list(model.parameters())`.

Clipping does not hide a gradient that is not finite: what becomes of it is what torch does, and
the functions say it. The norm that `clip_by_norm_` returns tells: skip the update unless it is
finite.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def clip_by_value_(params: Tensor | Iterable[Tensor], limit: float) -> None:
    """Put each entry of the parameters' gradients into [-limit, limit], in place.

    The direction of the gradient may change. Parameters without a gradient are passed over. An
    infinite entry becomes the limit with its sign, and nan stays nan. Raises ValueError when
    limit is not positive. Equal to torch.nn.utils.clip_grad_value_.
    """
    if not limit > 0:
        raise ValueError(f"limit is {limit}: give a positive number")
    for grad in _grads(params):
        grad.clamp_(-limit, limit)


def clip_by_norm_(params: Tensor | Iterable[Tensor], max_norm: float) -> Tensor:
    """Scale all gradients by one factor so that their common norm is at most max_norm, in place.

    Returns the Euclidean norm of all entries together as it was before, 0 without gradients. The
    factor is min(1, max_norm / (norm + 1e-6)), so the direction stays. With max_norm infinite
    nothing changes and the norm is still returned. A nan makes the norm and all gradients nan; an
    infinite entry makes the norm infinite, itself nan and all else zero. Raises ValueError when
    max_norm is not positive. Equal to torch.nn.utils.clip_grad_norm_. Source: Pascanu et al., On
    the difficulty of training recurrent neural networks, 2013, algorithm 1.
    """
    if not max_norm > 0:
        raise ValueError(f"max_norm is {max_norm}: give a positive number")
    grads = _grads(params)
    if not grads:
        return torch.tensor(0.0)
    norms = [torch.linalg.vector_norm(grad).to(grads[0].device) for grad in grads]
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    # A factor of 1 too is multiplied: to ask which one it is would make a GPU wait.
    factor = (max_norm / (norm + 1e-6)).clamp(max=1.0)
    for grad in grads:
        grad.mul_(factor.to(grad.device))
    return norm


def _grads(params: Tensor | Iterable[Tensor]) -> list[Tensor]:
    tensors = [params] if isinstance(params, Tensor) else params
    return [tensor.grad.detach() for tensor in tensors if tensor.grad is not None]
