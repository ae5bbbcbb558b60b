"""A weight decay for each weight, or each group of weights, of softmax regression.

The decays are exp(h) for hyper-parameters h, so they stay positive. The more of them there are,
the better they can fit the validation examples, which is not what these are for. Source: Lorraine
et al., Optimizing millions of hyperparameters by implicit differentiation, 2020, section 5.2.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mlcourse import softmax_regression as softmax

#: What shares a decay: all weights, those of a class, those of a pixel (biases are one), or none.
GROUPS = ("all", "class", "pixel", "weight")


def groups(share: str, n_x: int, classes: int = softmax.CLASSES) -> Tensor:
    """Return the group number of each weight, ((n_x + 1) * classes,), from 0 on.

    Raises ValueError for a name that is not in GROUPS.
    """
    if share not in GROUPS:
        raise ValueError(f"share is {share!r}: give one of {', '.join(GROUPS)}")
    rows, columns = torch.arange(n_x + 1)[:, None], torch.arange(classes)
    number = {
        "all": 0 * rows + 0 * columns,
        "class": 0 * rows + columns,
        "pixel": rows + 0 * columns,
        "weight": rows * classes + columns,
    }
    return number[share].flatten()


@dataclass(frozen=True)
class Decays:
    """The bilevel problem: training examples X (N, n_x), y (N,), and validation examples.

    Weight number i has the decay exp(h[group[i]]).
    """

    X: Tensor
    y: Tensor
    X_val: Tensor
    y_val: Tensor
    group: Tensor

    def start(self, decay: float) -> Tensor:
        """Return hyper-parameters, one for each group, with the same decay."""
        return self.X.new_full((int(self.group.max()) + 1,), decay).log()

    def inner(self, w: Tensor, hyper: Tensor) -> Tensor:
        """The training loss and the penalty, sum of exp(h) w^2 / 2."""
        penalty = (hyper.exp()[self.group] * w.square()).sum() / 2
        return softmax.losses(w, self.X, self.y).mean() + penalty

    def outer(self, w: Tensor, hyper: Tensor) -> Tensor:
        """The validation loss, which has no hyper-parameters of its own."""
        return softmax.losses(w, self.X_val, self.y_val).mean()
