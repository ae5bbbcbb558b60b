"""`loss_accuracy`: cross-entropy and accuracy, also of probabilities that are exactly 0."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse import mlp
from mlcourse.checks.by_hand_questions.shared import (
    draw_labels,
    normal,
)
from mlcourse.checks.compare import plain
from mlcourse.checks.declare import Mistake, Question, Variant


def loss_cases(g: Generator) -> list[tuple[Tensor, Tensor]]:
    """Random predictions; then probabilities of exactly 0 at a wrong class, and at the true one."""
    cases = []
    for N, C, dtype in (
        (5, 2, torch.float32),
        (8, 3, torch.float64),
        (1, 4, torch.float64),
        (40, 10, torch.float32),
        (6, 6, torch.float64),
        (12, 3, torch.float32),
    ):
        yhat = torch.softmax(normal(N, C, generator=g, dtype=dtype), dim=1)
        cases.append((yhat, draw_labels(N, C, g, dtype)))
    yhat, Y = cases[1][0].clone(), cases[1][1]
    yhat[0, Y[0].argmin()] = 0
    cases.append((yhat / yhat.sum(dim=1, keepdim=True), Y))
    yhat = cases[3][0].clone()
    Y = cases[3][1]
    yhat[0, Y[0].argmax()] = 0
    cases.append((yhat / yhat.sum(dim=1, keepdim=True), Y))
    return cases


def use_loss(answer: Callable, yhat: Tensor, Y: Tensor) -> Any:
    """Call the answer; where a true class has probability 0, the loss need only be finite."""
    free = bool((yhat[Y == 1] == 0).any())
    result = plain(answer(yhat, Y))
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        return result
    loss, accuracy = result
    if not free or not isinstance(loss, float):
        return result
    return "finite" if math.isfinite(loss) else "not finite", accuracy


def right_loss(yhat: Tensor, Y: Tensor) -> Tensor:
    return mlp.loss_accuracy(yhat, Y)[0]


def right_accuracy(yhat: Tensor, Y: Tensor) -> Tensor:
    return (yhat.argmax(dim=1) == Y.argmax(dim=1)).double().mean()


def loss_by(loss: Callable = right_loss, accuracy: Callable = right_accuracy) -> Callable:
    """A loss_accuracy with one of its halves exchanged."""

    def loss_accuracy(yhat: Tensor, Y: Tensor) -> tuple[Any, Any]:
        return loss(yhat, Y), accuracy(yhat, Y)

    return loss_accuracy


def logs(yhat: Tensor) -> Tensor:
    return yhat.clamp(min=1e-30).log()


def picked_log(yhat: Tensor, Y: Tensor) -> Tensor:
    return -yhat[torch.arange(len(Y)), Y.argmax(dim=1)].log().mean()


def loss_in_loops(yhat: Tensor, Y: Tensor) -> tuple[float, float]:
    loss, right = 0.0, 0
    for prediction, target in zip(yhat.tolist(), Y.tolist(), strict=True):
        true = target.index(max(target))
        loss -= math.log(max(prediction[true], 1e-12)) / len(yhat)
        right += prediction.index(max(prediction)) == true
    return loss, right / len(yhat)


def loss_by_gather(yhat: Tensor, Y: Tensor) -> tuple[float, Tensor]:
    labels = Y.argmax(dim=1, keepdim=True)
    probabilities = yhat.gather(1, labels).squeeze(1)
    loss = -torch.log(torch.clamp(probabilities, min=1e-10)).mean()
    return loss.item(), (yhat.argmax(dim=1, keepdim=True) == labels).float().mean()


def loss_by_einsum(yhat: Tensor, Y: Tensor) -> tuple[Tensor, float]:
    loss = -torch.einsum("nk,nk->", Y, torch.log(yhat + 1e-12)) / yhat.shape[0]
    hits = yhat.max(dim=1).indices == Y.max(dim=1).indices
    return loss, hits.sum().item() / yhat.shape[0]


def loss_in_numpy(yhat: Tensor, Y: Tensor) -> tuple[Any, Any]:

    p, y = yhat.numpy(), Y.numpy()
    loss = -(y * np.log(np.maximum(p, 1e-15))).sum(axis=1).mean()
    return loss, np.mean(p.argmax(axis=1) == y.argmax(axis=1))


def loss_by_xlogy(yhat: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
    loss = -torch.xlogy(Y, yhat).clamp(min=-1e4).sum(dim=-1).mean()
    return loss, torch.eq(yhat.argmax(-1), Y.argmax(-1)).to(yhat.dtype).mean()


loss_accuracy = Question(
    name="loss_accuracy",
    title="Loss and accuracy",
    points=2,
    reference=mlp.loss_accuracy,
    cases=loss_cases,
    use=use_loss,
    parts=("loss", "accuracy"),
    mistakes=(
        Mistake(
            "sum_not_mean",
            loss_by(lambda yhat, Y: -(Y * logs(yhat)).sum()),
            "the loss is the sum over the batch, N times ours: divide it by N, so that it does "
            "not depend on the size of the batch",
        ),
        Mistake(
            "mean_over_classes_too",
            loss_by(lambda yhat, Y: -(Y * logs(yhat)).mean()),
            "the loss is divided by N n_y: sum over the classes (dim=1) first, then take the mean "
            "over the examples",
        ),
        Mistake(
            "loss_per_example",
            loss_by(lambda yhat, Y: -(Y * logs(yhat)).sum(dim=1)),
            "the loss has one number for each example: return their mean",
        ),
        Mistake(
            "softmax_twice",
            loss_by(lambda yhat, Y: torch.nn.functional.cross_entropy(yhat, Y)),
            "softmax is applied twice: yhat holds probabilities already, and cross_entropy of "
            "torch expects logits (a perfect prediction then costs 0.313 for 2 classes, not 0)",
        ),
        Mistake(
            "log_of_zero",
            loss_by(lambda yhat, Y: -(Y * yhat.log()).sum(dim=1).mean()),
            "a probability of 0 makes the loss nan or infinite, by log(0): clamp yhat to a tiny "
            "positive number before the logarithm",
        ),
        Mistake(
            "log_of_zero_at_true_class",
            loss_by(picked_log),
            "the loss is infinite where the true class has probability 0: clamp yhat to a tiny "
            "positive number before the logarithm",
        ),
        Mistake(
            "sign",
            loss_by(lambda yhat, Y: (Y * logs(yhat)).sum(dim=1).mean()),
            "the loss is negative: the logarithm of a probability is, so put a minus before the "
            "sum",
        ),
        Mistake(
            "log2",
            loss_by(lambda yhat, Y: right_loss(yhat, Y) / torch.tensor(2.0).log()),
            "the loss is in bits: use the natural logarithm, torch.log",
        ),
        Mistake(
            "log10",
            loss_by(lambda yhat, Y: right_loss(yhat, Y) / torch.tensor(10.0).log()),
            "the loss uses the decimal logarithm: use the natural one, torch.log",
        ),
        Mistake(
            "squared_error",
            loss_by(lambda yhat, Y: ((yhat - Y) ** 2).sum(dim=1).mean()),
            "this loss is the squared error, meant for regression: for classes use the "
            "cross-entropy, -sum_i y_i log yhat_i",
        ),
        Mistake(
            "mean_squared_error",
            loss_by(lambda yhat, Y: ((yhat - Y) ** 2).mean()),
            "this loss is the mean squared error, meant for regression: for classes use the "
            "cross-entropy, -sum_i y_i log yhat_i",
        ),
        Mistake(
            "no_logarithm",
            loss_by(lambda yhat, Y: -(Y * yhat).sum(dim=1).mean()),
            "the logarithm is missing: the cross-entropy is -sum_i y_i log yhat_i",
        ),
        Mistake(
            "binary",
            loss_by(lambda yhat, Y: -(Y * logs(yhat) + (1 - Y) * logs(1 - yhat)).sum(dim=1).mean()),
            "you add the binary cross-entropies of all the classes: with softmax only the true "
            "class counts, -sum_i y_i log yhat_i",
        ),
        Mistake(
            "roles_exchanged",
            loss_by(lambda yhat, Y: -(yhat * Y.log()).sum(dim=1).mean()),
            "the logarithm is taken of Y, where it is infinite: take it of yhat, weighted by Y",
        ),
        Mistake(
            "percent",
            loss_by(accuracy=lambda yhat, Y: 100 * right_accuracy(yhat, Y)),
            "the accuracy is in percent: return a fraction between 0 and 1",
        ),
        Mistake(
            "count",
            loss_by(accuracy=lambda yhat, Y: right_accuracy(yhat, Y) * len(Y)),
            "the accuracy counts the right predictions: divide by N to get a fraction",
        ),
        Mistake(
            "argmax_over_examples",
            loss_by(
                accuracy=lambda yhat, Y: (yhat.argmax(dim=0) == Y.argmax(dim=0)).double().mean()
            ),
            "the accuracy uses argmax over the examples: each row is an example, so use "
            "argmax(dim=1)",
        ),
        Mistake(
            "argmax_of_batch",
            loss_by(accuracy=lambda yhat, Y: (yhat.argmax() == Y.argmax()).double()),
            "argmax() without dim looks for one maximum in the whole batch: use argmax(dim=1)",
        ),
        Mistake(
            "rounded",
            loss_by(accuracy=lambda yhat, Y: (yhat.round() == Y).double().mean()),
            "the accuracy compares single entries of rounded yhat and Y: an example is right when "
            "argmax(dim=1) of both agree",
        ),
        Mistake(
            "hits_per_example",
            loss_by(accuracy=lambda yhat, Y: yhat.argmax(dim=1) == Y.argmax(dim=1)),
            "the accuracy has one entry for each example: return their mean, .double().mean()",
        ),
        Mistake(
            "error_rate",
            loss_by(accuracy=lambda yhat, Y: 1 - right_accuracy(yhat, Y)),
            "this is the error rate: the accuracy is the fraction of *right* predictions",
        ),
        Mistake(
            "order",
            lambda yhat, Y: mlp.loss_accuracy(yhat, Y)[::-1],
            "loss and accuracy are exchanged: return (loss, accuracy) in this order",
        ),
    ),
    variants=(
        Variant("in loops, Python numbers", loss_in_loops),
        Variant("gather and clamp", loss_by_gather),
        Variant("einsum, a tiny number added", loss_by_einsum),
        Variant("NumPy numbers", loss_in_numpy),
        Variant("xlogy", loss_by_xlogy),
    ),
    hints=(
        "Y is one-hot, so Y * log(yhat) keeps only the true class' term. Which two axes are there, "
        "and what happens over each: a sum or a mean?",
        "loss = -(Y * log(yhat)).sum(dim=1).mean(). What is log(0), and 0 * log(0)? Look at "
        "yhat.clamp(min=...).",
        "accuracy = fraction of rows where yhat.argmax(dim=1) equals Y.argmax(dim=1); turn the "
        "booleans into numbers before the mean.",
    ),
)
