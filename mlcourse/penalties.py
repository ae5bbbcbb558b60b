"""L1, L2 and elastic net: as a penalty added to the loss, and as a proximal step after an update.

A penalty goes through the gradient: `loss + l1_penalty(weights, lam)`. A proximal step replaces
it: after an update of the loss alone with the rate lr, move each weight v to the w that minimises
(w - v)^2 / 2 + lr * penalty(w). Only the proximal step of L1 makes weights exactly zero. Biases are
usually left out of both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor


def l1_penalty(params: Tensor | Iterable[Tensor], lam: float) -> Tensor:
    """Return lam * sum of |w| over all entries, a number with its gradient lam * sign(w).

    At w = 0 autograd takes the slope 0. `params` is a tensor or some tensors of any shapes. Raises
    ValueError when lam is negative or there are no tensors. Source: Tibshirani, Regression
    shrinkage and selection via the lasso, 1996, section 2.
    """
    return _penalty(params, l1=_strength("lam", lam), l2=0.0)


def l2_penalty(params: Tensor | Iterable[Tensor], lam: float) -> Tensor:
    """Return lam * sum of w^2 over all entries: the *squared* norm, with the gradient 2 lam w.

    The optimizer's weight_decay adds weight_decay * w to the gradient, so it is 2 * lam: other
    texts write lam / 2 for the factor, and then it is lam. (In AdamW it is something else: the
    decay does not go through the gradient.) Arguments and errors as in `l1_penalty`. Source:
    Hoerl and Kennard, Ridge regression, 1970.
    """
    return _penalty(params, l1=0.0, l2=_strength("lam", lam))


def elastic_net_penalty(params: Tensor | Iterable[Tensor], l1: float, l2: float) -> Tensor:
    """Return l1 * sum of |w| + l2 * sum of w^2 over all entries.

    Arguments and errors as in `l1_penalty`. Source: Zou and Hastie, Regularization and variable
    selection via the elastic net, 2005, equation 3.
    """
    return _penalty(params, l1=_strength("l1", l1), l2=_strength("l2", l2))


def _penalty(params: Tensor | Iterable[Tensor], l1: float, l2: float) -> Tensor:
    # A generator such as model.parameters() can be read once only.
    tensors = [params] if isinstance(params, Tensor) else list(params)
    if not tensors:
        raise ValueError(
            "params is empty: give a tensor, or a list; a generator can be read only once"
        )
    total = torch.zeros((), dtype=tensors[0].dtype, device=tensors[0].device)
    for tensor in tensors:
        if l1:
            total = total + l1 * tensor.abs().sum()
        if l2:
            total = total + l2 * tensor.square().sum()
    return total


def soft_threshold_(W: Tensor, t: float) -> Tensor:
    """Move each entry of W by t towards zero, in place, and stop at zero: the proximal step of L1.

    sign(w) * max(|w| - t, 0) minimises (w' - w)^2 / 2 + t |w'|. After an update with the rate lr,
    the penalty lam |w| asks for t = lr * lam. Returns W, of any shape. Raises ValueError when t is
    negative. Source: Parikh and Boyd, Proximal algorithms, 2014, section 6.5.2.
    """
    return elastic_net_prox_(W, _strength("t", t), 0.0)


def shrink_(W: Tensor, t: float) -> Tensor:
    """Divide each entry of W by 1 + 2t, in place: the proximal step of the squared L2 norm.

    w / (1 + 2t) minimises (w' - w)^2 / 2 + t w'^2. After an update with the rate lr, the penalty
    lam w^2 asks for t = lr * lam. Returns W, of any shape. Raises ValueError when t is negative.
    Source: Parikh and Boyd, 2014, section 6.1.1.
    """
    return elastic_net_prox_(W, 0.0, _strength("t", t))


def elastic_net_prox_(W: Tensor, t1: float, t2: float) -> Tensor:
    """Do `soft_threshold_(W, t1)`, then `shrink_(W, t2)`: the proximal step of the elastic net.

    It minimises (w' - w)^2 / 2 + t1 |w'| + t2 w'^2. (The other way round it would not, unless t1
    is made smaller.) In place; returns W, of any shape. Raises ValueError when t1 or t2 is
    negative. Source: Parikh and Boyd, 2014, section 6.5.3.
    """
    _strength("t1", t1)
    _strength("t2", t2)
    with torch.no_grad():
        # w - clamp(w) is sign(w) * max(|w| - t1, 0), and nan stays nan.
        return W.sub_(W.clamp(-t1, t1)).div_(1 + 2 * t2)


def _strength(name: str, number: float) -> float:
    if not 0 <= number < math.inf:
        raise ValueError(f"{name} is {number}: give 0 or a positive, finite number")
    return number
