"""`drop_path` and `helped_loss`: two helpers of the network that is trained anew."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.complexity_questions.shared import DTYPE
from mlcourse.checks.conv_arithmetic_questions.shared import whole
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import TOLERANCE, Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import NO_DRAWS

# --- Drop path ------------------------------------------------------------------------------------


def drop_cases(g: Generator) -> list[tuple[Tensor, Tensor, float]]:
    """(x, u, p): some examples dropped and some not, among them the first; and p = 0."""
    cases = []
    for shape, p in (((6, 2, 3, 3), 0.3), ((4, 4, 2, 2), 0.2), ((5, 3, 2, 4), 0.6)):
        p = round(p + uniform(-0.08, 0.08, g), 3)
        u = p + (1 - p) * torch.rand(shape[0], generator=g, dtype=DTYPE)
        dropped = torch.randperm(shape[0] - 1, generator=g)[: shape[0] // 2] + 1
        u[dropped] = p * torch.rand(len(dropped), generator=g, dtype=DTYPE)
        cases.append((normal(*shape, generator=g, dtype=DTYPE), u, p))
    x = normal(3, 2, 2, 2, generator=g, dtype=DTYPE)
    cases.append((x, torch.rand(3, generator=g, dtype=DTYPE), 0.0))
    return cases


def as_examples(mask: Tensor) -> Tensor:
    return mask.view(-1, 1, 1, 1)


def dropped_by(
    keep: Callable[[Tensor, float], Tensor] = lambda u, p: u >= p,
    scale: Callable[[float], float] = lambda p: 1 / (1 - p),
) -> Callable[[Tensor, Tensor, float], Tensor]:
    return lambda x, u, p: x * as_examples(keep(u, p)).to(x.dtype) * scale(p)


def dropped_by_loops(x: Tensor, u: Tensor, p: float) -> Tensor:
    out = torch.zeros_like(x)
    for i in range(len(x)):
        if u[i] >= p:
            out[i] = x[i] / (1 - p)
    return out


def dropped_by_where(x: Tensor, u: Tensor, p: float) -> Tensor:
    return torch.where(u[:, None, None, None] < p, torch.zeros_like(x), x / (1 - p))


def dropped_by_einsum(x: Tensor, u: Tensor, p: float) -> Any:
    return torch.einsum("n,nchw->nchw", (u >= p) / (1 - p), x).numpy()


def in_place(x: Tensor, u: Tensor, p: float) -> Tensor:
    x[u < p] = 0.0
    x /= 1 - p
    return x


def by_channels(x: Tensor, u: Tensor, p: float) -> Tensor:
    """The draws are laid on the channels, as far as they go."""
    mask = (u >= p).repeat(x.shape[1])[: x.shape[1]].view(1, -1, 1, 1)
    return x * mask / (1 - p)


drop_path = Question(
    name="drop_path",
    title="Drop path",
    points=1,
    reference=dropped_by(),
    cases=drop_cases,
    tolerance={**TOLERANCE, torch.float64: 2e-7},  # torch divides a truth value in float32
    parts=("the output",),
    mistakes=(
        Mistake(
            "not_rescaled",
            dropped_by(scale=lambda p: 1.0),
            "what stays is not divided by the probability of staying, 1 - p: the mean over draws "
            "is then smaller than x",
        ),
        Mistake(
            "divided_by_p",
            dropped_by(scale=lambda p: 1 / p if p else float("inf")),
            "you divide by p, the probability of being *dropped*: divide by 1 - p",
        ),
        Mistake(
            "multiplied",
            dropped_by(scale=lambda p: 1 - p),
            "you multiply by 1 - p: divide, so that the mean over draws is x",
        ),
        Mistake(
            "measured",
            lambda x, u, p: dropped_by(scale=lambda _: 1.0)(x, u, p) / (u >= p).double().mean(),
            "you divide by the part that has stayed in *this* batch: divide by the probability "
            "1 - p, or the mean over draws is not x",
        ),
        Mistake(
            "exchanged",
            dropped_by(keep=lambda u, p: u < p),
            "you keep what should be dropped: an example goes where u < p, which happens with the "
            "probability p",
        ),
        Mistake(
            "other_side",
            dropped_by(keep=lambda u, p: u < 1 - p),
            "you keep where u < 1 - p: that is as probable, but other examples; ours are dropped "
            "where u < p",
        ),
        Mistake(
            "whole_batch",
            lambda x, u, p: x * float(u[0] >= p) / (1 - p),
            "one draw decides for the whole batch: each example has its own",
        ),
        Mistake(
            "by_channels",
            by_channels,
            "your draws fall on channels: the first dimension has the examples, so give u the "
            "shape (N, 1, 1, 1)",
        ),
        Mistake(
            "columns",
            lambda x, u, p: x * (u.repeat(x.shape[3])[: x.shape[3]] >= p) / (1 - p),
            "your draws fall on columns of pixels: give u the shape (N, 1, 1, 1)",
        ),
        Mistake(
            "in_place",
            in_place,
            "you change x itself: other paths need it, so return a new tensor",
        ),
        Mistake(
            "removed",
            lambda x, u, p: x[u >= p] / (1 - p),
            "the dropped examples are gone: set them to zero, the batch keeps its size",
        ),
    ),
    variants=(
        Variant("loops", dropped_by_loops),
        Variant("where", dropped_by_where),
        Variant("einsum", dropped_by_einsum),
    ),
    hints=(
        "kept = u >= p, one truth value for each example.",
        "Give it the shape (N, 1, 1, 1), so that it spreads over channels and pixels.",
        "x * kept.view(-1, 1, 1, 1) / (1 - p)",
    ),
    forbidden=(NO_DRAWS,),
)


# --- The auxiliary head ---------------------------------------------------------------------------


def helped_cases(g: Generator) -> list[tuple[Tensor, Tensor, Tensor, float, bool]]:
    """(logits, side logits, labels, weight, training)."""
    cases = []
    for n, classes, training in ((5, 4, True), (5, 4, False), (7, 3, True)):
        logits, side = normal(2, n, classes, generator=g, dtype=DTYPE)
        labels = torch.tensor([whole(0, classes - 1, g) for _ in range(n)])
        cases.append((3 * logits, 2 * side, labels, round(uniform(0.2, 0.6, g), 3), training))
    return cases


Join = Callable[[Tensor, Tensor, float], Any]


def helped_by(
    join: Join = lambda main, side, weight: main + weight * side,
    evaluated: Join = lambda main, side, weight: main,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> Callable[[Tensor, Tensor, Tensor, float, bool], Any]:
    def helped_loss(
        logits: Tensor, side_logits: Tensor, labels: Tensor, weight: float, training: bool
    ) -> Any:
        rule = join if training else evaluated
        return rule(loss(logits, labels), loss(side_logits, labels), weight)

    return helped_loss


def by_gather(logits: Tensor, labels: Tensor) -> Tensor:
    right = logits.gather(1, labels[:, None])[:, 0]
    return (logits.logsumexp(1) - right).mean()


def by_loops(logits: Tensor, labels: Tensor) -> Tensor:
    losses = [-row.log_softmax(0)[y] for row, y in zip(logits, labels, strict=True)]
    return torch.stack(losses).sum() / len(losses)


def joined_logits(
    logits: Tensor, side_logits: Tensor, labels: Tensor, weight: float, training: bool
) -> Tensor:
    return F.cross_entropy(logits + weight * side_logits * training, labels)


helped_loss = Question(
    name="helped_loss",
    title="The loss with a second classifier",
    points=1,
    reference=helped_by(),
    cases=helped_cases,
    parts=("the loss",),
    mistakes=(
        Mistake(
            "always",
            helped_by(evaluated=lambda main, side, weight: main + weight * side),
            "in evaluation the second classifier is in your loss, too: it helps training alone",
        ),
        Mistake(
            "never",
            helped_by(lambda main, side, weight: main),
            "the second classifier is not in your loss: add weight times its cross-entropy in "
            "training",
        ),
        Mistake(
            "no_weight",
            helped_by(lambda main, side, weight: main + side),
            "both losses count alike: the second one counts `weight` times",
        ),
        Mistake(
            "mixture",
            helped_by(lambda main, side, weight: (1 - weight) * main + weight * side),
            "you take weight away from the main loss: it counts 1, and the second one is *added*",
        ),
        Mistake(
            "weighted_both",
            helped_by(lambda main, side, weight: weight * (main + side)),
            "the weight belongs to the second loss alone",
        ),
        Mistake(
            "exchanged",
            helped_by(
                lambda main, side, weight: side + weight * main,
                lambda main, side, weight: side,
            ),
            "the two classifiers are exchanged: `logits` are the main one's",
        ),
        Mistake(
            "upside_down",
            helped_by(
                lambda main, side, weight: main,
                lambda main, side, weight: main + weight * side,
            ),
            "you add the second loss in evaluation, and not in training: it is the other way round",
        ),
        Mistake(
            "logits_added",
            joined_logits,
            "you add logits: two classifiers have two losses, and these are added",
        ),
        Mistake(
            "sum",
            helped_by(loss=lambda z, y: F.cross_entropy(z, y, reduction="sum")),
            "your losses are sums over the batch: take means, as F.cross_entropy does",
        ),
        Mistake(
            "softmax_twice",
            helped_by(loss=lambda z, y: F.cross_entropy(z.softmax(1), y)),
            "F.cross_entropy takes logits: it has the softmax in it",
        ),
    ),
    variants=(
        Variant("gather", helped_by(loss=by_gather)),
        Variant("loops", helped_by(loss=by_loops)),
        Variant("a number", lambda *args: float(helped_by()(*args))),
    ),
    hints=(
        "F.cross_entropy(logits, labels) for each of the two.",
        "loss + weight * side loss, in training; otherwise the first loss alone.",
        "if training: loss = loss + weight * F.cross_entropy(side_logits, labels)",
    ),
)
