"""Statistics of batch norms measured for today's weights, which the running ones lag behind."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from mlcourse.checkpoints import random_states, restore_random_states
from mlcourse.nas.modes import keeping_modes
from mlcourse.training import Batches


@torch.no_grad()
def measure_statistics_(
    model: nn.Module, batches: Batches, generator: torch.Generator | None = None
) -> None:
    """Set the statistics of all batch norms to their means over batches (X, y), in place.

    Running statistics are means over the last ten batches or so of training. While the weights
    still move fast each layer's are a little wrong, and through many layers the errors grow: a
    supernet that classifies well in training can be at chance in evaluation. One pass in training
    mode sets them right. The model gets its mode back, and its `generator`, if it draws from one,
    torch's and `batches.generator` their states.
    """
    norms = [m for m in model.modules() if isinstance(m, _BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    drawn, own = random_states(batches), generator.get_state() if generator else None
    device = next(model.parameters()).device
    try:
        with keeping_modes(model):
            model.train()
            for i, (X, _) in enumerate(batches):
                for norm in norms:
                    # Running means with these shares are means over all batches so far.
                    norm.momentum = 1 / (i + 1)
                model(X.to(device))
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        restore_random_states(drawn, batches)
        if generator and own is not None:
            generator.set_state(own)
