"""`difference` and `difference_gradient`: the paper's way around second derivatives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.compare import plain
from mlcourse.checks.darts_step_questions.exact import gradient_cases
from mlcourse.checks.darts_step_questions.shared import (
    SIZES,
    WITNESS,
    Answer,
    Data,
    Loss,
    gradient_by,
    in_alpha,
    in_w,
    leaf,
    mixed_product,
    no_decay,
    no_momentum,
    old,
    plain_step,
    sgd_step,
    spread,
    supernet,
    with_losses_and_look,
)
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.hypergradients_questions.one_step import FUNCTIONAL
from mlcourse.checks.judge import beside

# --- The difference -------------------------------------------------------------------------------


def difference_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(training data, w, alpha, v)."""
    found: list[tuple[Any, ...]] = []
    for edges, d in SIZES:
        train, _, w, alpha = supernet(edges, d, g)
        found.append((train, w, alpha, spread(edges, d, g=g)))
    return found


def use_and_look(answer: Answer, train: Data, w: Tensor, *args: Any) -> Any:
    """Look at the caller's weights afterwards: once put back, they may have rounded."""
    w = w.clone()
    result = answer(beside(answer, WITNESS, "ChainLoss")(*train), w, *args)
    return {"the difference": plain(result), "the weights afterwards": w.detach()}


def difference_by(
    size: Callable[[Tensor], Any] = lambda v: 0.01 / v.norm(),
    divide: Callable[[Any], Any] = lambda eps: 2 * eps,
    sides: tuple[float, float] = (1.0, -1.0),
    slope: Callable[[Loss, Tensor, Tensor], Tensor] = in_alpha,
    direction: Callable[[Tensor], Tensor] = lambda v: v,
) -> Answer:
    """The difference with one of its pieces exchanged."""

    def difference(train_loss: Loss, w: Tensor, alpha: Tensor, v: Tensor) -> Tensor:
        eps, v = size(v), direction(v)
        above, below = (slope(train_loss, w + side * eps * v, alpha) for side in sides)
        return (above - below) / divide(eps)

    return difference


def left_below(train_loss: Loss, w: Tensor, alpha: Tensor, v: Tensor) -> Tensor:
    """In place, and left where it was last."""
    result = difference_by()(train_loss, w, alpha, v)
    w -= 0.01 / v.norm() * v
    return result


def left_above(train_loss: Loss, w: Tensor, alpha: Tensor, v: Tensor) -> Tensor:
    """In place, up and down by as much, and up once more."""
    result = difference_by(sides=(1.0, 0.0))(train_loss, w, alpha, v)
    w += 0.01 / v.norm() * v
    return result


def in_place_and_back(train_loss: Loss, w: Tensor, alpha: Tensor, v: Tensor) -> Any:
    eps = 0.01 / float((v * v).sum()) ** 0.5
    kept, gradients = w.clone(), []
    for push in (eps, -2 * eps):
        w += push * v
        gradients.append(in_alpha(train_loss, w, alpha))
    w.copy_(kept)
    return (gradients[0] - gradients[1]) / (2 * eps)


def one_number(train_loss: Loss, w: Tensor, alpha: Tensor, v: Tensor) -> Any:
    """The gradient of a difference."""
    alpha, eps = leaf(alpha), 0.01 / torch.sqrt((v * v).sum())
    number = (train_loss(w + eps * v, alpha) - train_loss(w - eps * v, alpha)) / (2 * eps)
    return torch.autograd.grad(number, alpha)[0]


def along_a_unit(train_loss: Loss, w: Tensor, alpha: Tensor, v: Tensor) -> Any:
    """The slope along v / |v|, times |v|."""
    size = torch.linalg.vector_norm(v)
    step = 0.01 * v / size
    above = in_alpha(train_loss, w + step, alpha)
    return size * (above - in_alpha(train_loss, w - step, alpha)) / 0.02


#: Wrong divisions and sizes, each with its sentence; `difference_gradient` knows them too.
WRONG: dict[str, tuple[Answer, str]] = {
    "eps_times": (
        difference_by(divide=lambda eps: 2 / eps),
        "/ 2 * eps divides by 2 and *multiplies* by eps, so next to nothing is left of the second "
        "part: write / (2 * eps)",
    ),
    "eps_times_two": (
        difference_by(divide=lambda eps: 1 / (2 * eps)),
        "the difference is multiplied by 2 eps: divide by it, since the two places are 2 eps v "
        "apart",
    ),
    "not_divided": (
        difference_by(divide=lambda eps: 1.0),
        "the difference is not divided by 2 eps",
    ),
    "no_two": (
        difference_by(divide=lambda eps: eps),
        "a 2 is missing: the places w + eps v and w - eps v are 2 eps v apart, so divide by 2 eps",
    ),
    "eps_constant": (
        difference_by(size=lambda v: 0.01),
        "eps is 0.01 whatever v is: divide it by |v|, so that the weights move by 0.01 in all",
    ),
    "eps_multiplied": (
        difference_by(size=lambda v: 0.01 * v.norm()),
        "eps is 0.01 *times* |v|: divide by |v|, or a long v pushes the weights far away",
    ),
    "eps_squared": (
        difference_by(size=lambda v: 0.01 / (v * v).sum()),
        "eps is divided by |v| squared: take the root of the sum of squares",
    ),
    "one_side": (
        difference_by(sides=(1.0, 0.0), divide=lambda eps: eps),
        "that difference has one side, w + eps v and w, with an error of the order of eps: take "
        "w + eps v and w - eps v",
    ),
    "exact": (
        mixed_product,
        "that is exact, and better; but here no second derivatives: take the difference of two "
        "gradients in alpha",
    ),
}

difference = Question(
    name="difference",
    title="The paper's difference",
    points=3,
    reference=difference_by(),
    cases=difference_cases,
    use=use_and_look,
    forbidden=(FUNCTIONAL,),
    mistakes=(
        *(Mistake(name, answer, says) for name, (answer, says) in WRONG.items()),
        Mistake(
            "largest_entry",
            difference_by(size=lambda v: 0.01 / v.abs().max()),
            "eps is divided by v's largest entry: |v| is the root of the sum of all squares",
        ),
        Mistake(
            "each_row_its_own",
            difference_by(size=lambda v: 0.01 / v.norm(dim=1, keepdim=True), divide=lambda e: 0.02),
            "each edge's weights have an eps of their own: |v| is *one* number, over all weights",
        ),
        Mistake(
            "divided_by_a_constant",
            difference_by(divide=lambda eps: 0.02),
            "the difference is divided by 2 times 0.01: divide by 2 eps, with eps = 0.01 / |v|",
        ),
        Mistake(
            "sign",
            difference_by(sides=(-1.0, 1.0)),
            "the difference is turned round: w + eps v comes first",
        ),
        Mistake(
            "not_restored",
            left_below,
            "the caller's weights are not restored: they were pushed in place, so put them back, "
            "or write w + eps * v",
        ),
        Mistake(
            "back_to_the_start",
            difference_by(sides=(1.0, 0.0)),
            "the second place is w itself: if w + eps v was made in place, go back by 2 eps v",
        ),
        Mistake(
            "left_above",
            left_above,
            "pushed in place by eps v, back by as much, and up again: from w + eps v it is 2 eps v "
            "down to w - eps v, and then eps v up",
        ),
        Mistake(
            "in_w",
            difference_by(slope=in_w),
            "the gradients are those in w: take the ones in alpha",
        ),
    ),
    variants=(
        Variant("in place, and put back", in_place_and_back),
        Variant("as one number", one_number),
        Variant("along a unit vector", along_a_unit),
    ),
    hints=(
        "Two gradients of the training loss in alpha: one at w + eps * v, one at w - eps * v.",
        "eps = 0.01 / v.norm(), the norm over all entries; w + eps * v is a new tensor, so nothing "
        "needs to be put back.",
        "(above - below) / (2 * eps): mind the brackets.",
    ),
)


# --- The whole gradient ---------------------------------------------------------------------------


def not_restored(
    train_loss: Loss, val_loss: Loss, w: Tensor, alpha: Tensor, velocity: Tensor, *step: Any
) -> Tensor:
    result = gradient_by(difference_by())(train_loss, val_loss, w, alpha, velocity, *step)
    after = sgd_step(w, in_w(train_loss, w, alpha), velocity, *step)
    v = in_w(val_loss, after, alpha)
    w -= 0.01 / v.norm() * v
    return result


def left_after(
    train_loss: Loss, val_loss: Loss, w: Tensor, alpha: Tensor, velocity: Tensor, *step: Any
) -> Tensor:
    """The step is made in place: the two places lie around w', and w stays there."""
    around = gradient_by(difference_by(), around=lambda w, after: after)
    result = around(train_loss, val_loss, w, alpha, velocity, *step)
    w.copy_(sgd_step(w, in_w(train_loss, w, alpha), velocity, *step))
    return result


def as_the_papers_algorithm(
    train_loss: Loss, val_loss: Loss, w: Tensor, alpha: Tensor, velocity: Tensor, *step: Any
) -> Any:
    """Weights moved in place, and put back from a copy."""
    xi, kept = step[0], w.clone()
    w.copy_(sgd_step(w, in_w(train_loss, w, alpha), velocity, *step))
    here, there = leaf(w), leaf(alpha)
    v, direct = torch.autograd.grad(val_loss(here, there), (here, there))
    w.copy_(kept)
    return direct - xi * in_place_and_back(train_loss, w, alpha, v)


difference_gradient = Question(
    name="difference_gradient",
    title="The gradient by the difference",
    points=2,
    reference=gradient_by(difference_by()),
    cases=gradient_cases,
    use=with_losses_and_look,
    needs=("virtual_step", "difference"),
    forbidden=(FUNCTIONAL,),
    mistakes=(
        Mistake(
            "xi_forgotten",
            gradient_by(difference_by(), factor=lambda xi: -1.0),
            "xi is forgotten in the second part: it is the direct part minus xi times the "
            "difference",
        ),
        Mistake(
            "sign",
            gradient_by(difference_by(), factor=lambda xi: xi),
            "the second part has the wrong sign: the direct part *minus* xi times the difference",
        ),
        Mistake(
            "direct_alone",
            gradient_by(difference_by(), factor=lambda xi: 0.0),
            "the second part is missing: that is the validation loss's gradient at w', as if w' "
            "did not follow alpha",
        ),
        Mistake(
            "second_alone",
            gradient_by(difference_by(), with_direct=0.0),
            "the direct part is missing: the validation loss's gradient in alpha at w'",
        ),
        Mistake(
            "first_order",
            gradient_by(difference_by(), direct_at=old, factor=lambda xi: 0.0),
            "that is the first-order gradient: take the validation loss at w', and add the second "
            "part",
        ),
        Mistake(
            "v_at_w",
            gradient_by(difference_by(), v_at=old),
            "v is taken at w: it is the validation loss's gradient at w', after the step",
        ),
        Mistake(
            "direct_at_w",
            gradient_by(difference_by(), direct_at=old),
            "the direct part is taken at w: its place is w', after the step",
        ),
        Mistake(
            "both_at_w",
            gradient_by(difference_by(), direct_at=old, v_at=old),
            "the virtual step is not made: v and the direct part belong to w', not to w",
        ),
        Mistake(
            "around_the_new",
            gradient_by(difference_by(), around=lambda w, after: after),
            "the two places lie around w': the step started from w, so hand w to `difference`",
        ),
        Mistake(
            "left_after_the_step",
            left_after,
            "the weights stay at w': the step is only imagined, so put w back before the "
            "difference, or make new weights",
        ),
        Mistake(
            "not_restored",
            not_restored,
            "the caller's weights are not restored after the difference",
        ),
        Mistake(
            "difference_of_the_validation_loss",
            gradient_by(difference_by(), of_val=True),
            "the difference is of the validation loss's gradients: the step was made on the "
            "training loss",
        ),
        Mistake(
            "no_momentum",
            gradient_by(difference_by(), no_momentum),
            "momentum is forgotten in the virtual step: hand velocity and momentum on to "
            "virtual_step",
        ),
        Mistake(
            "no_decay",
            gradient_by(difference_by(), no_decay),
            "weight decay is forgotten in the virtual step: hand decay on to virtual_step",
        ),
        Mistake(
            "plain",
            gradient_by(difference_by(), plain_step),
            "momentum and weight decay are forgotten: w' is where the optimiser would go",
        ),
        Mistake(
            "on_training_data",
            gradient_by(difference_by(), data=lambda train, val: (train, train)),
            "alpha goes down the training loss: v and the direct part are of the validation loss",
        ),
        Mistake(
            "exchanged",
            gradient_by(difference_by(), data=lambda train, val: (val, train)),
            "the losses are exchanged: the step and the difference are of the training loss, v and "
            "the direct part of the validation loss",
        ),
        *(Mistake(name, gradient_by(answer), says) for name, (answer, says) in WRONG.items()),
    ),
    variants=(
        Variant("in place, and put back", as_the_papers_algorithm),
        Variant("as one number", gradient_by(one_number)),
        Variant("along a unit vector", gradient_by(along_a_unit)),
    ),
    hints=(
        "w' from virtual_step, then v and the direct part: two gradients of the validation loss at "
        "w', which one call of torch.autograd.grad gives.",
        "The difference is taken around w, where the step started.",
        "direct - xi * difference(train_loss, w, alpha, v)",
    ),
)
