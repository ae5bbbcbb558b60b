"""Training and evaluation mode of modules, and their buffers, changed for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


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
    """Have a module work on copies of its buffers, such as the statistics of batch norms.

    A graph made meanwhile keeps the copies, so it can be differentiated afterwards.
    """
    places = [part._buffers for part in module.modules() if part._buffers]
    own = [dict(buffers) for buffers in places]
    for buffers in places:
        buffers.update({name: b.clone() for name, b in buffers.items() if b is not None})
    try:
        yield
    finally:
        for buffers, kept in zip(places, own, strict=True):
            buffers.update(kept)
