"""`first_order`, `virtual_step`, `unrolled_gradient` and `two_parts`: exact gradients of alpha."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.compare import plain
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.darts_step_questions.shared import (
    SIZES,
    Answer,
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
    settings,
    sgd_step,
    spread,
    supernet,
    uphill,
    with_losses,
)
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.hypergradients_questions.one_step import FUNCTIONAL

# --- First order ----------------------------------------------------------------------------------


def first_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(training data, validation data, w, alpha)."""
    return [supernet(edges, d, g) for edges, d in SIZES]


def of_one_loss(train_loss: Loss, val_loss: Loss, w: Tensor, alpha: Tensor) -> Tensor:
    return in_alpha(val_loss, w, alpha)


def by_backward(train_loss: Loss, val_loss: Loss, w: Tensor, alpha: Tensor) -> Any:
    alpha = alpha.clone().requires_grad_()
    val_loss(w, alpha).backward()
    return alpha.grad


def both_at_once(train_loss: Loss, val_loss: Loss, w: Tensor, alpha: Tensor) -> Any:
    w, alpha = leaf(w), leaf(alpha)
    return torch.autograd.grad(val_loss(w, alpha), (w, alpha))[1]


def edge_by_edge(train_loss: Loss, val_loss: Loss, w: Tensor, alpha: Tensor) -> Any:
    rows = [leaf(row) for row in alpha]
    return torch.stack(torch.autograd.grad(val_loss(w, torch.stack(rows)), rows))


first_order = Question(
    name="first_order",
    title="First order",
    points=1,
    reference=of_one_loss,
    cases=first_cases,
    use=with_losses,
    parts=("the gradient",),
    forbidden=(FUNCTIONAL,),
    mistakes=(
        Mistake(
            "on_training_data",
            lambda train_loss, val_loss, w, alpha: in_alpha(train_loss, w, alpha),
            "alpha's gradient is taken on the training data: then it prefers what fits them, "
            "overfitting included; alpha goes down the *validation* loss",
        ),
        Mistake(
            "on_both",
            lambda train_loss, val_loss, w, alpha: (
                in_alpha(train_loss, w, alpha) + in_alpha(val_loss, w, alpha)
            ),
            "the gradients of both losses are added (or .grad was not cleared): alpha goes down "
            "the validation loss alone",
        ),
        Mistake(
            "in_w",
            lambda train_loss, val_loss, w, alpha: in_w(val_loss, w, alpha),
            "that is the gradient in w: return the one in alpha",
        ),
        Mistake(
            "in_w_on_training_data",
            lambda train_loss, val_loss, w, alpha: in_w(train_loss, w, alpha),
            "that is w's gradient, on w's data: return alpha's, of the validation loss",
        ),
        Mistake(
            "downhill",
            lambda train_loss, val_loss, w, alpha: -in_alpha(val_loss, w, alpha),
            "the sign is turned round: return the gradient itself, the step subtracts it",
        ),
        Mistake(
            "difference_of_losses",
            lambda train_loss, val_loss, w, alpha: (
                in_alpha(val_loss, w, alpha) - in_alpha(train_loss, w, alpha)
            ),
            "that is the gradient of validation loss minus training loss: take the validation "
            "loss alone",
        ),
        Mistake(
            "mean_of_both",
            lambda train_loss, val_loss, w, alpha: (
                (in_alpha(train_loss, w, alpha) + in_alpha(val_loss, w, alpha)) / 2
            ),
            "the two losses are averaged: alpha goes down the validation loss alone",
        ),
    ),
    variants=(
        Variant("backward()", by_backward),
        Variant("both gradients", both_at_once),
        Variant("edge by edge", edge_by_edge),
    ),
    hints=(
        "Which of the two losses says whether an architecture is good on new data?",
        "Make a copy of alpha that asks for gradients: alpha.clone().requires_grad_().",
        "torch.autograd.grad(val_loss(w, alpha), alpha)[0]",
    ),
)


# --- The step that is imagined --------------------------------------------------------------------


def step_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(w, g, velocity, xi, momentum, decay)."""
    return [
        (spread(*size, g=g), spread(*size, g=g), spread(*size, g=g), *settings(g)) for size in SIZES
    ]


def step_by(change: Callable[..., Tensor]) -> Answer:
    """A step down, w minus the change for (w, g, velocity, xi, momentum, decay)."""
    return lambda w, g, velocity, xi, momentum, decay: (
        w - change(w, g, velocity, xi, momentum, decay)
    )


def step_in_place(
    w: Tensor, g: Tensor, velocity: Tensor, xi: float, momentum: float, decay: float
) -> Tensor:
    w -= xi * (momentum * velocity + g + decay * w)
    return w


def step_by_torch(
    w: Tensor, g: Tensor, velocity: Tensor, xi: float, momentum: float, decay: float
) -> Any:
    p = torch.nn.Parameter(w.clone())
    optimizer = torch.optim.SGD([p], lr=xi, momentum=momentum, weight_decay=decay)
    optimizer.state[p]["momentum_buffer"] = velocity.clone()
    p.grad = g.clone()
    optimizer.step()
    return p


def step_in_pieces(
    w: Tensor, g: Tensor, velocity: Tensor, xi: float, momentum: float, decay: float
) -> Any:
    g = g + decay * w
    velocity = momentum * velocity + g
    return w - xi * velocity


def step_multiplied_out(
    w: Tensor, g: Tensor, velocity: Tensor, xi: float, momentum: float, decay: float
) -> Any:
    return (1 - xi * decay) * w - xi * g - xi * momentum * velocity


virtual_step = Question(
    name="virtual_step",
    title="A step that is only imagined",
    points=2,
    reference=sgd_step,
    cases=step_cases,
    parts=("the weights after the step",),
    mistakes=(
        Mistake(
            "no_momentum",
            no_momentum,
            "momentum is forgotten: the optimiser's step also follows momentum times the velocity",
        ),
        Mistake(
            "no_decay",
            no_decay,
            "weight decay is forgotten: decay * w belongs to the gradient",
        ),
        Mistake(
            "plain",
            plain_step,
            "momentum and weight decay are both forgotten: imagine the step that the optimiser "
            "will make, not one of plain descent",
        ),
        Mistake(
            "velocity_whole",
            step_by(lambda w, g, v, xi, momentum, decay: xi * (v + g + decay * w)),
            "the velocity is not multiplied by momentum",
        ),
        Mistake(
            "velocity_without_xi",
            step_by(lambda w, g, v, xi, momentum, decay: momentum * v + xi * (g + decay * w)),
            "the velocity is not multiplied by xi: here it is a sum of gradients, and the rate is "
            "applied to all of it",
        ),
        Mistake(
            "decay_without_xi",
            step_by(lambda w, g, v, xi, momentum, decay: xi * (momentum * v + g) + decay * w),
            "the decay is not multiplied by xi: decay * w is a part of the gradient",
        ),
        Mistake(
            "dampened",
            step_by(
                lambda w, g, v, xi, momentum, decay: (
                    xi * (momentum * v + (1 - momentum) * (g + decay * w))
                )
            ),
            "the gradient is multiplied by 1 - momentum, as in a moving average: this optimiser "
            "adds it whole",
        ),
        Mistake(
            "momentum_on_the_gradient",
            step_by(lambda w, g, v, xi, momentum, decay: xi * (v + momentum * (g + decay * w))),
            "momentum is on the gradient: it multiplies the velocity",
        ),
        Mistake(
            "decay_doubled",
            step_by(lambda w, g, v, xi, momentum, decay: xi * (momentum * v + g + 2 * decay * w)),
            "the decay counts twice: it adds decay * w, the slope of decay / 2 times w squared",
        ),
        Mistake(
            "decay_sign",
            step_by(lambda w, g, v, xi, momentum, decay: xi * (momentum * v + g - decay * w)),
            "the decay has the wrong sign: it pulls the weights towards 0, so decay * w is added "
            "to the gradient",
        ),
        Mistake(
            "uphill",
            uphill,
            "the step goes uphill: subtract xi times the new velocity",
        ),
        Mistake(
            "nesterov",
            step_by(
                lambda w, g, v, xi, momentum, decay: (
                    xi * (g + decay * w + momentum * (momentum * v + g + decay * w))
                )
            ),
            "that is Nesterov's step: here the step is the new velocity, momentum * velocity + "
            "gradient, and no more",
        ),
        Mistake(
            "xi_forgotten",
            step_by(lambda w, g, v, xi, momentum, decay: momentum * v + g + decay * w),
            "xi is forgotten: the step is xi times the new velocity",
        ),
        Mistake(
            "velocity_returned",
            lambda w, g, v, xi, momentum, decay: momentum * v + g + decay * w,
            "that is the new velocity: return the weights, w - xi times it",
        ),
        Mistake(
            "in_place",
            step_in_place,
            "the caller's weights move: the step is only imagined, so make new weights, without "
            "-= and its like",
        ),
    ),
    variants=(
        Variant("torch's SGD", step_by_torch),
        Variant("in pieces", step_in_pieces),
        Variant("multiplied out", step_multiplied_out),
    ),
    hints=(
        "Three things make the new velocity: the old one, the gradient, and the decay.",
        "The new velocity is momentum * velocity + g + decay * w, and the step is xi times it.",
        "return w - xi * (momentum * velocity + g + decay * w)",
    ),
)


# --- The gradient through the step ----------------------------------------------------------------


def gradient_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(training data, validation data, w, alpha, velocity, xi, momentum, decay)."""
    found: list[tuple[Any, ...]] = []
    for edges, d in SIZES:
        net = supernet(edges, d, g)
        found.append((*net, 0.5 * spread(edges, d, g=g), *settings(g)))
    return found


def unrolled(
    train_loss: Loss,
    val_loss: Loss,
    w: Tensor,
    alpha: Tensor,
    velocity: Tensor,
    xi: float,
    momentum: float,
    decay: float,
) -> Tensor:
    w, alpha = leaf(w), leaf(alpha)
    (g,) = torch.autograd.grad(train_loss(w, alpha), w, create_graph=True)
    after = sgd_step(w, g, velocity, xi, momentum, decay)
    return torch.autograd.grad(val_loss(after, alpha), alpha)[0]


def unrolled_backward(
    train_loss: Loss, val_loss: Loss, w: Tensor, alpha: Tensor, *step: Any
) -> Any:
    w, alpha = leaf(w), leaf(alpha)
    (g,) = torch.autograd.grad(train_loss(w, alpha), w, create_graph=True)
    val_loss(sgd_step(w.detach(), g, *step), alpha).backward()
    return alpha.grad


def unrolled_penalty(
    train_loss: Loss,
    val_loss: Loss,
    w: Tensor,
    alpha: Tensor,
    velocity: Tensor,
    xi: float,
    momentum: float,
    decay: float,
) -> Any:
    """Momentum and decay as parts of the loss whose plain gradient is followed."""
    w, alpha = leaf(w), leaf(alpha)
    loss = train_loss(w, alpha) + decay / 2 * (w**2).sum() + momentum * (w * velocity).sum()
    (g,) = torch.autograd.grad(loss, w, create_graph=True)
    return torch.autograd.grad(val_loss(w - xi * g, alpha), alpha)[0]


def accumulated(train_loss: Loss, val_loss: Loss, w: Tensor, alpha: Tensor, *step: Any) -> Tensor:
    return unrolled(train_loss, val_loss, w, alpha, *step) + in_alpha(train_loss, w, alpha)


def for_the_weights(
    train_loss: Loss, val_loss: Loss, w: Tensor, alpha: Tensor, *step: Any
) -> Tensor:
    w, alpha = leaf(w), leaf(alpha)
    (g,) = torch.autograd.grad(train_loss(w, alpha), w, create_graph=True)
    return torch.autograd.grad(val_loss(sgd_step(w, g, *step), alpha), w)[0]


unrolled_gradient = Question(
    name="unrolled_gradient",
    title="Through the step, exactly",
    points=3,
    reference=unrolled,
    cases=gradient_cases,
    use=with_losses,
    parts=("the gradient",),
    needs=("virtual_step",),
    forbidden=(FUNCTIONAL,),
    mistakes=(
        Mistake(
            "detached",
            gradient_by(factor=lambda xi: 0.0),
            "the virtual step is detached: without create_graph=True (or with detach) w' is a "
            "constant that does not follow alpha, and the second part is missing",
        ),
        Mistake(
            "first_order",
            gradient_by(direct_at=old, factor=lambda xi: 0.0),
            "that is the first-order gradient, at w: take the validation loss at w', after the "
            "step",
        ),
        Mistake(
            "no_momentum",
            gradient_by(move=no_momentum),
            "momentum is forgotten in the virtual step: hand velocity and momentum on to "
            "virtual_step",
        ),
        Mistake(
            "no_decay",
            gradient_by(move=no_decay),
            "weight decay is forgotten in the virtual step: hand decay on to virtual_step",
        ),
        Mistake(
            "plain",
            gradient_by(move=plain_step),
            "momentum and weight decay are forgotten: w' is where the optimiser would go, not "
            "w - xi g",
        ),
        Mistake(
            "on_training_data",
            gradient_by(data=lambda train, val: (train, train)),
            "alpha's gradient is of the training loss: after the step, take the validation loss",
        ),
        Mistake(
            "step_on_validation_data",
            gradient_by(data=lambda train, val: (val, val)),
            "the virtual step follows the validation loss: weights learn from training data",
        ),
        Mistake(
            "exchanged",
            gradient_by(data=lambda train, val: (val, train)),
            "the losses are exchanged: the step is on the training loss, and the gradient of the "
            "validation loss",
        ),
        Mistake(
            "accumulated",
            accumulated,
            "the training loss's gradient in alpha is added: .grad kept it when backward() was "
            "called for g; use torch.autograd.grad there",
        ),
        Mistake(
            "alpha_fixed_outside",
            gradient_by(with_direct=0.0),
            "the direct part is missing: alpha stands in the validation loss itself too, and may "
            "not be detached there",
        ),
        Mistake(
            "uphill",
            gradient_by(move=uphill, factor=lambda xi: xi),
            "the virtual step goes uphill: w' is w *minus* xi times the new velocity",
        ),
        Mistake(
            "sign",
            gradient_by(factor=lambda xi: xi),
            "the second part has the wrong sign: the step subtracts xi g, so it comes with -xi",
        ),
        Mistake(
            "xi_forgotten_in_the_second_part",
            gradient_by(factor=lambda xi: -1.0),
            "xi is missing before the second part: w' follows alpha as -xi times the mixed "
            "derivative",
        ),
        Mistake(
            "direct_at_w",
            gradient_by(direct_at=old),
            "the direct part is taken at w: its place is w', after the step",
        ),
        Mistake(
            "v_at_w",
            gradient_by(v_at=old),
            "v, the validation loss's gradient in the weights, is taken at w: take it at w'",
        ),
        Mistake(
            "in_w",
            for_the_weights,
            "that is the gradient in w: return the one in alpha",
        ),
    ),
    variants=(
        Variant("backward()", unrolled_backward),
        Variant("the step as a penalty", unrolled_penalty),
        Variant("part by part", gradient_by()),
    ),
    hints=(
        "g = the training loss's gradient in w, with create_graph=True, so that torch knows how it "
        "follows alpha.",
        "w' = virtual_step(w, g, velocity, xi, momentum, decay); alpha asks for gradients in both "
        "losses.",
        "torch.autograd.grad(val_loss(after, alpha), alpha)[0]: autograd adds the two parts.",
    ),
)


# --- Its two parts --------------------------------------------------------------------------------


def parts_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(training data, validation data, w, after, alpha, xi): w' is given."""
    found: list[tuple[Any, ...]] = []
    for edges, d in SIZES:
        train, val, w, alpha = supernet(edges, d, g)
        found.append((train, val, w, w + 0.3 * spread(edges, d, g=g), alpha, uniform(0.2, 0.6, g)))
    return found


def use_parts(answer: Answer, *args: Any) -> Any:
    """A list may stand for the pair."""
    result = plain(with_losses(answer, *args))
    return tuple(result) if isinstance(result, list) else result


def parts_by(
    direct: Callable[..., Tensor] = lambda train, val, w, after, alpha: in_alpha(val, after, alpha),
    v: Callable[..., Tensor] = lambda train, val, w, after, alpha: in_w(val, after, alpha),
    second: Callable[..., Tensor] = lambda train, val, w, after, alpha, v: mixed_product(
        train, w, alpha, v
    ),
    factor: Callable[[float], float] = lambda xi: -xi,
    give: Callable[[Tensor, Tensor], Any] = lambda direct, second: (direct, second),
) -> Answer:
    """The two parts with one of the pieces exchanged."""

    def two_parts(
        train_loss: Loss, val_loss: Loss, w: Tensor, after: Tensor, alpha: Tensor, xi: float
    ) -> Any:
        at = (train_loss, val_loss, w, after, alpha)
        return give(direct(*at), factor(xi) * second(*at, v(*at)))

    return two_parts


def whole_product(train: Loss, val: Loss, w: Tensor, after: Tensor, alpha: Tensor) -> Tensor:
    """The gradient in alpha of g . v, where v follows alpha too."""
    w, after, alpha = leaf(w), leaf(after), leaf(alpha)
    (v,) = torch.autograd.grad(val(after, alpha), after, create_graph=True)
    (g,) = torch.autograd.grad(train(w, alpha), w, create_graph=True)
    return torch.autograd.grad((g * v).sum(), alpha)[0]


def parts_by_columns(
    train_loss: Loss, val_loss: Loss, w: Tensor, after: Tensor, alpha: Tensor, xi: float
) -> Any:
    """The mixed derivative in full, an entry of g at a time."""
    w, after, alpha = leaf(w), leaf(after), leaf(alpha)
    v, direct = torch.autograd.grad(val_loss(after, alpha), (after, alpha))
    (g,) = torch.autograd.grad(train_loss(w, alpha), w, create_graph=True)
    second = torch.zeros_like(alpha)
    for entry, weight in zip(g.flatten(), v.flatten(), strict=True):
        second -= xi * weight * torch.autograd.grad(entry, alpha, retain_graph=True)[0]
    return direct, second


def parts_by_vjp(
    train_loss: Loss, val_loss: Loss, w: Tensor, after: Tensor, alpha: Tensor, xi: float
) -> Any:
    w, after, alpha = leaf(w), leaf(after), leaf(alpha)
    v, direct = torch.autograd.grad(val_loss(after, alpha), (after, alpha))
    (g,) = torch.autograd.grad(train_loss(w, alpha), w, create_graph=True)
    return [direct, torch.autograd.grad(g, alpha, grad_outputs=-xi * v)[0]]


def parts_by_shift(
    train_loss: Loss, val_loss: Loss, w: Tensor, after: Tensor, alpha: Tensor, xi: float
) -> Any:
    """A step that ends at w', whatever else than the gradient led there."""
    w, alpha = leaf(w), leaf(alpha)
    direct = in_alpha(val_loss, after, alpha)
    (g,) = torch.autograd.grad(train_loss(w, alpha), w, create_graph=True)
    end = after - xi * (g - g.detach())
    return direct, torch.autograd.grad(val_loss(end, alpha), alpha)[0] - direct


two_parts = Question(
    name="two_parts",
    title="Its two parts",
    points=2,
    reference=parts_by(),
    cases=parts_cases,
    use=use_parts,
    parts=("the direct part", "the second part"),
    forbidden=(FUNCTIONAL,),
    mistakes=(
        Mistake(
            "sign",
            parts_by(factor=lambda xi: xi),
            "the second part has the wrong sign: w' contains *minus* xi g, so it is -xi times the "
            "gradient of g . v",
        ),
        Mistake(
            "xi_forgotten",
            parts_by(factor=lambda xi: -1.0),
            "xi is forgotten in the second part: w' contains -xi g",
        ),
        Mistake(
            "bare_product",
            parts_by(factor=lambda xi: 1.0),
            "the second part is the bare gradient of g . v: it is -xi times that",
        ),
        Mistake(
            "direct_at_w",
            parts_by(lambda train, val, w, after, alpha: in_alpha(val, w, alpha)),
            "the direct part is taken at w: the validation loss is looked at after the step, at w'",
        ),
        Mistake(
            "v_at_w",
            parts_by(v=lambda train, val, w, after, alpha: in_w(val, w, alpha)),
            "v is taken at w: it is the validation loss's gradient at w'",
        ),
        Mistake(
            "both_at_w",
            parts_by(
                lambda train, val, w, after, alpha: in_alpha(val, w, alpha),
                lambda train, val, w, after, alpha: in_w(val, w, alpha),
            ),
            "the direct part and v are both taken at w: their place is w', after the step",
        ),
        Mistake(
            "v_of_the_training_loss",
            parts_by(v=lambda train, val, w, after, alpha: in_w(train, after, alpha)),
            "v is the training loss's gradient: it says how the *validation* loss follows w'",
        ),
        Mistake(
            "v_follows_alpha",
            parts_by(
                second=lambda train, val, w, after, alpha, v: whole_product(
                    train, val, w, after, alpha
                )
            ),
            "v follows alpha in your g . v: it is held fixed there, so detach it, or find it "
            "without create_graph",
        ),
        Mistake(
            "g_at_the_new",
            parts_by(
                second=lambda train, val, w, after, alpha, v: mixed_product(train, after, alpha, v)
            ),
            "g is taken at w': the step started from w, so its gradient belongs there",
        ),
        Mistake(
            "g_of_the_validation_loss",
            parts_by(second=lambda train, val, w, after, alpha, v: mixed_product(val, w, alpha, v)),
            "g is the validation loss's gradient: the step was made on the training loss",
        ),
        Mistake(
            "direct_of_the_training_loss",
            parts_by(lambda train, val, w, after, alpha: in_alpha(train, after, alpha)),
            "the direct part is of the training loss: alpha goes down the validation loss",
        ),
        Mistake(
            "summed",
            parts_by(give=lambda direct, second: (direct + second, second)),
            "the first is already the sum: return the two parts apart",
        ),
        Mistake(
            "exchanged",
            parts_by(give=lambda direct, second: (second, direct)),
            "the parts are exchanged: the direct one comes first",
        ),
        Mistake(
            "sum_alone",
            parts_by(give=lambda direct, second: direct + second),
            "that is the whole gradient: return its two parts, as a pair",
        ),
    ),
    variants=(
        Variant("entry by entry", parts_by_columns),
        Variant("grad_outputs", parts_by_vjp),
        Variant("the step's end", parts_by_shift),
    ),
    hints=(
        "At (w', alpha) the validation loss has a gradient in alpha, the direct part, and one in "
        "the weights, v.",
        "g is the training loss's gradient at (w, alpha), with create_graph=True; (g * v).sum() is "
        "a number that alpha moves.",
        "second = -xi * torch.autograd.grad((g * v).sum(), alpha)[0]",
    ),
)
