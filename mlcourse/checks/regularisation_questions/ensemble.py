"""`ensemble`: dropout's average over all thinned networks, exactly, for a few units."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.declare import TOLERANCE, Mistake, Question, Variant

Answer = Callable[[Tensor, Tensor, Tensor, float], Any]
Masks = list[tuple[int, ...]]


def cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor, float]]:
    """(h, W, b, p): one to four units, two to five classes."""
    found = []
    for H, C, p, dtype in (
        (3, 2, 0.2, torch.float64),
        (4, 3, 0.35, torch.float64),
        (1, 5, 0.7, torch.float64),
        (3, 3, 0.4, torch.float32),
        (2, 4, 0.25, torch.float64),
    ):
        h, W, b = (normal(*shape, generator=g, dtype=dtype) for shape in ((H,), (C, H), (C,)))
        found.append((h.sign() * (0.5 + h.abs()), 1.5 * W, b, p))
    return found


def all_masks(H: int) -> Masks:
    return list(itertools.product((0, 1), repeat=H))


def chance(mask: Iterable[int], p: float) -> float:
    return math.prod(1 - p if kept else p for kept in mask)


def geometric(log_probs: Tensor, weights: Tensor) -> Tensor:
    """The weighted geometric mean of the rows, made to sum to 1."""
    return (weights @ log_probs).softmax(dim=0)


def arithmetic(log_probs: Tensor, weights: Tensor) -> Tensor:
    return weights @ log_probs.exp()


def by(
    masks: Callable[[int], Masks] = all_masks,
    weight: Callable[[tuple[int, ...], float], float] = chance,
    scale: Callable[[float], float] = lambda p: 1.0,
    mean: Callable[[Tensor, Tensor], Tensor] = geometric,
    equal: bool = False,
) -> Answer:
    """An ensemble with some of its pieces exchanged; `equal` makes the weights sum to 1."""

    def ensemble(h: Tensor, W: Tensor, b: Tensor, p: float) -> Tensor:
        chosen = masks(len(h))
        kept = torch.tensor(chosen, dtype=h.dtype).view(len(chosen), len(h))
        weights = torch.tensor([weight(mask, p) for mask in chosen], dtype=h.dtype)
        weights = weights / weights.sum() if equal else weights
        logits = (kept * h * scale(p)) @ W.T + b
        return mean(logits.log_softmax(dim=1), weights)

    return ensemble


def one_pass(factor: Callable[[float], float]) -> Answer:
    return lambda h, W, b, p: (W @ (factor(p) * h) + b).softmax(dim=0)


def logits_scaled(h: Tensor, W: Tensor, b: Tensor, p: float) -> Tensor:
    return ((1 - p) * (W @ h + b)).softmax(dim=0)


def no_empty(H: int) -> Masks:
    return all_masks(H)[1:]


def no_full(H: int) -> Masks:
    return all_masks(H)[:-1]


def alike(mask: tuple[int, ...], p: float) -> float:
    return 0.5 ** len(mask)


def of_the_kept(mask: tuple[int, ...], p: float) -> float:
    return math.prod(1 - p for kept in mask if kept)


def exchanged(mask: tuple[int, ...], p: float) -> float:
    return chance(mask, 1 - p)


def logs(log_probs: Tensor, weights: Tensor) -> Tensor:
    return (weights @ log_probs).log_softmax(dim=0)


def unnormalised(log_probs: Tensor, weights: Tensor) -> Tensor:
    return (weights @ log_probs).exp()


def divided_by_count(log_probs: Tensor, weights: Tensor) -> Tensor:
    return geometric(log_probs, weights / len(weights))


def by_loops(h: Tensor, W: Tensor, b: Tensor, p: float) -> Tensor:
    """Probabilities to the power of the weights, multiplied up and divided by their sum."""
    product = torch.ones_like(b)
    for number in range(2 ** len(h)):
        mask = torch.tensor([number >> unit & 1 for unit in range(len(h))], dtype=h.dtype)
        weight = float(((1 - p) * mask + p * (1 - mask)).prod().double())
        product = product * torch.softmax(W @ (mask * h) + b, dim=0) ** weight
    return product / product.sum()


def mean_of_logits(h: Tensor, W: Tensor, b: Tensor, p: float) -> Tensor:
    logits = [chance(mask, p) * (W @ (torch.tensor(mask) * h) + b) for mask in all_masks(len(h))]
    return torch.stack(logits).sum(dim=0).softmax(dim=0)


def in_numpy(h: Tensor, W: Tensor, b: Tensor, p: float) -> np.ndarray:
    values, weights, shift = (tensor.numpy() for tensor in (h, W, b))
    total = np.zeros_like(shift)
    for mask in itertools.product((0.0, 1.0), repeat=len(values)):
        kept = np.array(mask, dtype=values.dtype)
        logits = weights @ (kept * values) + shift
        logits = logits - logits.max()
        share = np.where(kept > 0, 1 - p, p).prod()
        total += share * (logits - np.log(np.exp(logits).sum()))
    result: np.ndarray = np.exp(total) / np.exp(total).sum()
    return result


ensemble = Question(
    name="ensemble",
    title="All thinned networks",
    points=3,
    reference=by(),
    cases=cases,
    parts=("the distribution",),
    # Weights such as torch.where(kept, 1 - p, p) are float32, and right.
    tolerance={**TOLERANCE, torch.float64: 2e-6},
    mistakes=(
        Mistake(
            "arithmetic",
            by(mean=arithmetic),
            "this is the arithmetic mean of the probabilities, a fine ensemble, but another one: "
            "take the geometric mean, so average their logarithms",
        ),
        Mistake(
            "arithmetic_alike",
            by(weight=alike, mean=arithmetic),
            "this is the plain arithmetic mean: take the geometric one, and weight each mask by "
            "its probability",
        ),
        Mistake(
            "unnormalised",
            by(mean=unnormalised),
            "your probabilities do not sum to 1: a geometric mean of distributions has to be "
            "divided by its sum",
        ),
        Mistake(
            "unnormalised_alike",
            by(weight=alike, mean=unnormalised),
            "all masks count alike, and your probabilities do not sum to 1: weight each mask by "
            "its probability, and divide by the sum at the end",
        ),
        Mistake(
            "alike",
            by(weight=alike),
            "all masks count alike: each is drawn with its own probability, q for a unit that is "
            "kept and p for one that is dropped",
        ),
        Mistake(
            "exchanged",
            by(weight=exchanged),
            "p and q are exchanged: p is the probability to drop a unit",
        ),
        Mistake(
            "of_the_kept",
            by(weight=of_the_kept),
            "the weight of a mask has the factors q of the units that it keeps, but not the "
            "factors p of those that it drops",
        ),
        Mistake(
            "of_the_kept_sum_1",
            by(weight=of_the_kept, equal=True),
            "the weight of a mask needs a factor p for each unit that it drops, besides the q of "
            "those that it keeps",
        ),
        Mistake(
            "product",
            by(weight=lambda mask, p: 1.0),
            "this is the product over all masks: each distribution goes in to the power of its "
            "mask's probability",
        ),
        Mistake(
            "divided_by_count",
            by(mean=divided_by_count),
            "you weight by the probabilities and divide by 2^H as well: the weights sum to 1 "
            "already",
        ),
        Mistake(
            "no_empty",
            by(masks=no_empty),
            "the mask that drops all units is left out: it is drawn too, with probability p^H",
        ),
        Mistake(
            "no_empty_sum_1",
            by(masks=no_empty, equal=True),
            "the mask that drops all units is left out, and the other weights are stretched: it is "
            "drawn too, with probability p^H",
        ),
        Mistake(
            "no_full",
            by(masks=no_full),
            "the mask that keeps all units is left out: it is drawn too, with probability q^H",
        ),
        Mistake(
            "full_units",
            one_pass(lambda p: 1.0),
            "this is what the whole network gives without any factor q: the units of classic "
            "dropout are not divided by q, and the average over the masks makes them smaller",
        ),
        Mistake(
            "bias_scaled",
            logits_scaled,
            "the biases are scaled by q as well, though they are never dropped",
        ),
        Mistake("logs", by(mean=logs), "you return logarithms: return the probabilities"),
        Mistake("cast", lambda *args: by()(*args).float(), ONE_DTYPE),
    ),
    variants=(
        Variant("powers multiplied up", by_loops),
        Variant("the mean of the logits", mean_of_logits),
        Variant("one pass with the units times q", one_pass(lambda p: 1 - p)),
        Variant("a detour by NumPy", in_numpy),
    ),
    hints=(
        "itertools.product((0, 1), repeat=H) gives all 2^H masks. What is the probability of one?",
        "Add up probability of the mask * log_softmax(W @ (mask * h) + b) over all masks.",
        "exp of that sum is the geometric mean; .softmax(dim=0) takes exp and divides by the sum.",
    ),
)
