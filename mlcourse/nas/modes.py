"""Training and evaluation mode of modules, and their buffers, changed for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm


@contextmanager
def keeping_modes(module: nn.Module) -> Iterator[None]:
    """Give all parts of a module the modes back that they had."""
    modes = [(part, part.training) for part in module.modules()]
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Have a module in evaluation mode, and then all its parts in the modes that they had."""
    with keeping_modes(module):
        module.eval()
        yield


@contextmanager
def keeping_buffers(module: nn.Module) -> Iterator[None]:
    """Have a module leave its buffers as they are: batch norms note nothing, others get copies.

    A graph made meanwhile keeps the copies, so it can be differentiated afterwards.
    """
    norms, places = [], []
    for part in module.modules():
        if isinstance(part, _BatchNorm):
            norms.append((part, part.track_running_stats))
        elif part._buffers:
            places.append((part._buffers, dict(part._buffers)))
    for norm, _ in norms:
        # In training no statistics are noted then, and in evaluation they are used all the same.
        norm.track_running_stats = False
    for buffers, own in places:
        buffers.update({name: b.clone() for name, b in own.items() if b is not None})
    try:
        yield
    finally:
        for norm, tracked in norms:
            norm.track_running_stats = tracked
        for buffers, own in places:
            buffers.update(own)
