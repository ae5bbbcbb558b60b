"""`weight_step`, `search_step` and `search_loop`: weights and architecture move in turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.compare import plain
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.darts_step_questions.exact import unrolled
from mlcourse.checks.darts_step_questions.shared import (
    SIZES,
    WITNESS,
    Answer,
    Data,
    Loss,
    examples,
    in_alpha,
    in_w,
    leaf,
    settings,
    spread,
    supernet,
    with_losses,
)
from mlcourse.checks.declare import TOLERANCE, Mistake, Question, Variant
from mlcourse.checks.hypergradients_questions.one_step import FUNCTIONAL
from mlcourse.checks.judge import beside
from mlcourse.witness import ChainLoss

#: torch's clipping divides by the norm plus 1e-6.
CLIPPED: dict[torch.dtype | type, float] = {**TOLERANCE, torch.float64: 2e-6}


def use_tuple(answer: Answer, *args: Any) -> Any:
    """A list may stand for the tuple."""
    result = plain(with_losses(answer, *args))
    return tuple(result) if isinstance(result, list) else result


# --- A step of the weights ------------------------------------------------------------------------


def weight_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(data, w, alpha, velocity, lr, momentum, decay, clip): gradients of 0.4 to 3 times clip."""
    found: list[tuple[Any, ...]] = []
    for (edges, d), factor in zip((*SIZES, SIZES[0]), (0.4, 2.5, 3.0, 0.6, 1.8), strict=True):
        train, _, w, alpha = supernet(edges, d, g)
        norm = float(in_w(loss_on(train), w, alpha).norm())
        velocity = 0.5 * spread(edges, d, g=g)
        found.append((train, w, alpha, velocity, *settings(g), norm / factor))
    return found


def loss_on(data: Data) -> Loss:
    return ChainLoss(*data)


def use_weights(answer: Answer, train: Data, *args: Any) -> Any:
    """Make the loss where the answer lives; a list may stand for the tuple."""
    result = plain(answer(beside(answer, WITNESS, "ChainLoss")(*train), *args))
    return tuple(result) if isinstance(result, list) else result


def clipped(g: Tensor, clip: float) -> Tensor:
    norm = g.norm()
    return g * (clip / norm) if norm > clip else g


def weights_by(
    clip_by: Callable[[Tensor, float], Tensor] = clipped,
    new_velocity: Callable[..., Tensor] = lambda g, w, v, m, decay: m * v + g + decay * w,
    move: Callable[..., Tensor] = lambda w, v, old, lr: w - lr * v,
    give: Callable[[Tensor, Tensor], Any] = lambda w, velocity: (w, velocity),
    clip_last: bool = False,
    clip_with_decay: bool = False,
    slope: Callable[[Loss, Tensor, Tensor], Tensor] = in_w,
) -> Answer:
    """A step of the weights with one of the pieces exchanged."""

    def weight_step(
        train_loss: Loss,
        w: Tensor,
        alpha: Tensor,
        velocity: Tensor,
        lr: float,
        momentum: float,
        decay: float,
        clip: float,
    ) -> Any:
        g = slope(train_loss, w, alpha)
        if clip_with_decay:
            new = momentum * velocity + clip_by(g + decay * w, clip)
        elif clip_last:
            new = clip_by(new_velocity(g, w, velocity, momentum, decay), clip)
        else:
            new = new_velocity(clip_by(g, clip), w, velocity, momentum, decay)
        return give(move(w, new, velocity, lr), new)

    return weight_step


def rate_in_the_velocity(
    train_loss: Loss,
    w: Tensor,
    alpha: Tensor,
    velocity: Tensor,
    lr: float,
    momentum: float,
    decay: float,
    clip: float,
) -> Any:
    g = clipped(in_w(train_loss, w, alpha), clip)
    new = momentum * velocity + lr * (g + decay * w)
    return w - new, new


def by_torch(
    train_loss: Loss,
    w: Tensor,
    alpha: Tensor,
    velocity: Tensor,
    lr: float,
    momentum: float,
    decay: float,
    clip: float,
) -> Any:
    p = torch.nn.Parameter(w.clone())
    optimizer = torch.optim.SGD([p], lr=lr, momentum=momentum, weight_decay=decay)
    optimizer.state[p]["momentum_buffer"] = velocity.clone()
    train_loss(p, alpha).backward()
    torch.nn.utils.clip_grad_norm_([p], clip)
    optimizer.step()
    return p, optimizer.state[p]["momentum_buffer"]


def by_minimum(
    train_loss: Loss,
    w: Tensor,
    alpha: Tensor,
    velocity: Tensor,
    lr: float,
    momentum: float,
    decay: float,
    clip: float,
) -> Any:
    g = in_w(train_loss, w, alpha)
    g = g * min(1.0, clip / float(torch.sqrt((g**2).sum())))
    velocity = velocity * momentum + (g + w * decay)
    return [w - velocity * lr, velocity]


def step_in_place(
    train_loss: Loss, w: Tensor, alpha: Tensor, velocity: Tensor, *step: float
) -> Any:
    new, moved = weights_by()(train_loss, w, alpha, velocity, *step)
    return w.copy_(new), velocity.copy_(moved)


weight_step = Question(
    name="weight_step",
    title="A step of the weights",
    points=2,
    reference=weights_by(),
    cases=weight_cases,
    use=use_weights,
    parts=("w", "the velocity"),
    tolerance=CLIPPED,
    forbidden=(FUNCTIONAL,),
    mistakes=(
        Mistake(
            "no_clipping",
            weights_by(lambda g, clip: g),
            "the gradient is not clipped: where its norm is above `clip`, scale it to that norm",
        ),
        Mistake(
            "always_scaled",
            weights_by(lambda g, clip: g * (clip / g.norm())),
            "every gradient is scaled to the norm `clip`, short ones too: leave those that are "
            "shorter as they are",
        ),
        Mistake(
            "scaled_to_one",
            weights_by(lambda g, clip: g / g.norm() if g.norm() > clip else g),
            "a clipped gradient has the norm 1: multiply it by clip / norm",
        ),
        Mistake(
            "entries",
            weights_by(lambda g, clip: g.clamp(-clip, clip)),
            "each entry is clipped by itself, which turns the gradient: scale the whole gradient "
            "by its norm",
        ),
        Mistake(
            "too_long_dropped",
            weights_by(lambda g, clip: g * 0 if g.norm() > clip else g),
            "a gradient longer than `clip` is thrown away: scale it to that length",
        ),
        Mistake(
            "rate_in_the_velocity",
            rate_in_the_velocity,
            "the rate is in your velocity: here that is a sum of gradients, and the rate is "
            "applied to all of it when w moves",
        ),
        Mistake(
            "velocity_clipped",
            weights_by(clip_last=True),
            "the new velocity is clipped: clip the loss's gradient, before decay and momentum",
        ),
        Mistake(
            "decay_clipped",
            weights_by(clip_with_decay=True),
            "the decay is clipped with the gradient: clip the loss's gradient first, and then add "
            "decay * w",
        ),
        Mistake(
            "no_decay",
            weights_by(new_velocity=lambda g, w, v, m, decay: m * v + g),
            "weight decay is forgotten: decay * w is added to the clipped gradient",
        ),
        Mistake(
            "no_momentum",
            weights_by(new_velocity=lambda g, w, v, m, decay: g + decay * w),
            "momentum is forgotten: the new velocity is momentum * velocity + gradient + decay * w",
        ),
        Mistake(
            "dampened",
            weights_by(new_velocity=lambda g, w, v, m, decay: m * v + (1 - m) * (g + decay * w)),
            "the gradient is multiplied by 1 - momentum: it is added whole",
        ),
        Mistake(
            "old_velocity",
            weights_by(move=lambda w, v, old, lr: w - lr * old),
            "w moves along the *old* velocity: it follows the new one",
        ),
        Mistake(
            "velocity_not_kept",
            lambda loss, w, alpha, velocity, *step: (
                weights_by()(loss, w, alpha, velocity, *step)[0],
                velocity,
            ),
            "the velocity that you return is the old one: return the new one, or momentum never "
            "gathers",
        ),
        Mistake(
            "lr_in_the_velocity",
            lambda loss, w, alpha, velocity, lr, *step: (
                weights_by()(loss, w, alpha, velocity, lr, *step)[0],
                lr * weights_by()(loss, w, alpha, velocity, lr, *step)[1],
            ),
            "the velocity contains the rate: here it is a sum of gradients, and lr only comes in "
            "when w moves",
        ),
        Mistake(
            "uphill",
            weights_by(move=lambda w, v, old, lr: w + lr * v),
            "w goes uphill: subtract lr times the new velocity",
        ),
        Mistake(
            "exchanged",
            weights_by(give=lambda w, velocity: (velocity, w)),
            "the two are exchanged: return w first, then the velocity",
        ),
        Mistake(
            "w_alone",
            weights_by(give=lambda w, velocity: w),
            "the new velocity is missing: return (w, velocity)",
        ),
        Mistake(
            "in_place",
            step_in_place,
            "the caller's w and velocity change: return new tensors, without += and its like",
        ),
    ),
    variants=(
        Variant("torch's optimiser", by_torch),
        Variant("the smaller of two", by_minimum),
        Variant(
            "always a product", weights_by(lambda g, clip: g / max(1.0, float(g.norm()) / clip))
        ),
    ),
    hints=(
        "In this order: the loss's gradient, clipped by its norm; plus decay * w; plus momentum * "
        "velocity; and then w moves.",
        "if g.norm() > clip: g = g * clip / g.norm(). Shorter gradients stay as they are.",
        "velocity = momentum * velocity + g + decay * w; return w - lr * velocity, velocity",
    ),
)


# --- A step of the search -------------------------------------------------------------------------


def search_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(train, val, w, alpha, velocity, lr, lr_alpha, momentum, decay, clip)."""
    found: list[tuple[Any, ...]] = []
    for edges, d in SIZES:
        train, val, w, alpha = supernet(edges, d, g)
        lr, momentum, decay = settings(g)
        clip = float(in_w(loss_on(train), w, alpha).norm()) * uniform(0.5, 0.8, g)
        velocity, lr_alpha = 0.5 * spread(edges, d, g=g), uniform(0.4, 0.9, g)
        found.append((train, val, w, alpha, velocity, lr, lr_alpha, momentum, decay, clip))
    return found


def search_by(
    alpha_gradient: Answer = unrolled,
    order: str = "alpha",
    xi: Callable[[float, float], float] = lambda lr, lr_alpha: lr,
    alpha_data: Callable[[Loss, Loss], tuple[Loss, Loss]] = lambda train, val: (train, val),
    w_data: Callable[[Loss, Loss], Loss] = lambda train, val: train,
    clip_alpha: bool = False,
    rates: Callable[[float, float], tuple[float, float]] = lambda lr, lr_alpha: (lr, lr_alpha),
    sign: float = 1.0,
    move_w: Answer | None = None,
    give: Callable[[Tensor, Tensor, Tensor], Any] = lambda w, alpha, v: (w, alpha, v),
) -> Answer:
    """A step of the search with one of the pieces exchanged."""

    def search_step(
        train_loss: Loss,
        val_loss: Loss,
        w: Tensor,
        alpha: Tensor,
        velocity: Tensor,
        lr: float,
        lr_alpha: float,
        momentum: float,
        decay: float,
        clip: float,
    ) -> Any:
        lr_w, step = rates(lr, lr_alpha)

        def alpha_moved(w: Tensor, velocity: Tensor) -> Tensor:
            losses = alpha_data(train_loss, val_loss)
            xi_now = xi(lr, lr_alpha)
            g = alpha_gradient(*losses, w, alpha, velocity, xi_now, momentum, decay)
            return alpha - sign * step * (clipped(g, clip) if clip_alpha else g)

        def w_moved(alpha: Tensor) -> Any:
            one, loss = move_w or weights_by(), w_data(train_loss, val_loss)
            return one(loss, w, alpha, velocity, lr_w, momentum, decay, clip)

        if order == "w":
            new_w, new_velocity = w_moved(alpha)
            new_alpha = alpha_moved(new_w, new_velocity)
        else:
            new_alpha = alpha_moved(w, velocity)
            new_w, new_velocity = w_moved(new_alpha if order == "alpha" else alpha)
        return give(new_w, new_alpha, new_velocity)

    return search_step


def first_only(train_loss: Loss, val_loss: Loss, w: Tensor, alpha: Tensor, *step: Any) -> Tensor:
    return in_alpha(val_loss, w, alpha)


def virtual_made(
    train_loss: Loss,
    val_loss: Loss,
    w: Tensor,
    alpha: Tensor,
    velocity: Tensor,
    lr: float,
    lr_alpha: float,
    momentum: float,
    decay: float,
    clip: float,
) -> Any:
    """The virtual step is kept, and the step of the weights made from there."""
    g = unrolled(train_loss, val_loss, w, alpha, velocity, lr, momentum, decay)
    after = w - lr * (momentum * velocity + in_w(train_loss, w, alpha) + decay * w)
    alpha = alpha - lr_alpha * g
    w, velocity = weights_by()(train_loss, after, alpha, velocity, lr, momentum, decay, clip)
    return w, alpha, velocity


def search_by_torch(
    train_loss: Loss,
    val_loss: Loss,
    w: Tensor,
    alpha: Tensor,
    velocity: Tensor,
    lr: float,
    lr_alpha: float,
    momentum: float,
    decay: float,
    clip: float,
) -> Any:
    """Two optimisers of torch's."""
    p, a = (torch.nn.Parameter(tensor.clone()) for tensor in (w, alpha))
    of_w = torch.optim.SGD([p], lr=lr, momentum=momentum, weight_decay=decay)
    of_w.state[p]["momentum_buffer"] = velocity.clone()
    of_alpha = torch.optim.SGD([a], lr=lr_alpha)
    a.grad = unrolled(train_loss, val_loss, w, alpha, velocity, lr, momentum, decay)
    of_alpha.step()
    of_w.zero_grad()
    train_loss(p, a.detach()).backward()
    torch.nn.utils.clip_grad_norm_([p], clip)
    of_w.step()
    return p, a, of_w.state[p]["momentum_buffer"]


def search_at_once(
    train_loss: Loss,
    val_loss: Loss,
    w: Tensor,
    alpha: Tensor,
    velocity: Tensor,
    lr: float,
    lr_alpha: float,
    momentum: float,
    decay: float,
    clip: float,
) -> Any:
    """Everything written out."""
    here, there = leaf(w), leaf(alpha)
    (g,) = torch.autograd.grad(train_loss(here, there), here, create_graph=True)
    after = here - lr * (momentum * velocity + g + decay * here)
    alpha = alpha - lr_alpha * torch.autograd.grad(val_loss(after, there), there)[0]
    g = in_w(train_loss, w, alpha)
    velocity = momentum * velocity + g * min(1.0, clip / float(g.norm())) + decay * w
    return w - lr * velocity, alpha, velocity


#: Wrong steps, each with its sentence; `search_loop` knows them too.
WRONG_STEPS: dict[str, tuple[Callable[[Answer], Answer], str]] = {
    "alpha_on_training_data": (
        lambda gradient: search_by(gradient, alpha_data=lambda train, val: (train, train)),
        "alpha is stepped on training data: it must follow the validation loss, or nothing is "
        "chosen by data that w has not seen",
    ),
    "w_on_validation_data": (
        lambda gradient: search_by(gradient, w_data=lambda train, val: val),
        "w is stepped on validation data: weights learn from training data, or alpha has none "
        "left that w has not seen",
    ),
    "data_exchanged": (
        lambda gradient: search_by(
            gradient,
            alpha_data=lambda train, val: (val, train),
            w_data=lambda train, val: val,
        ),
        "the data are exchanged: training data move w, validation data move alpha",
    ),
    "w_first": (
        lambda gradient: search_by(gradient, order="w"),
        "w moves first: here alpha does, and then w, with the new alpha",
    ),
    "old_alpha": (
        lambda gradient: search_by(gradient, order="both"),
        "w's gradient is taken at the old alpha: alpha has moved already, so use the new one",
    ),
    "rates_exchanged": (
        lambda gradient: search_by(gradient, rates=lambda lr, lr_alpha: (lr_alpha, lr)),
        "the rates are exchanged: lr is w's, lr_alpha is alpha's",
    ),
    "clip_forgotten": (
        lambda gradient: search_by(gradient, move_w=weights_by(lambda g, clip: g)),
        "w's gradient is not clipped: hand clip on to weight_step",
    ),
}

search_step = Question(
    name="search_step",
    title="One step of the search",
    points=3,
    reference=search_by(),
    cases=search_cases,
    use=use_tuple,
    parts=("w", "alpha", "the velocity"),
    tolerance=CLIPPED,
    needs=("unrolled_gradient", "weight_step"),
    forbidden=(FUNCTIONAL,),
    mistakes=(
        *(Mistake(name, make(unrolled), says) for name, (make, says) in WRONG_STEPS.items()),
        Mistake(
            "first_order",
            search_by(first_only),
            "alpha moves by the first-order gradient: use unrolled_gradient, with xi = lr",
        ),
        Mistake(
            "xi_is_lr_alpha",
            search_by(xi=lambda lr, lr_alpha: lr_alpha),
            "xi is lr_alpha: the step that is imagined is one of w, so xi is w's rate, lr",
        ),
        Mistake(
            "rates_and_xi_exchanged",
            search_by(rates=lambda lr, lr_alpha: (lr_alpha, lr), xi=lambda lr, lr_alpha: lr_alpha),
            "the two rates are exchanged: lr is w's, and xi as well; lr_alpha is alpha's alone",
        ),
        Mistake(
            "alpha_clipped",
            search_by(clip_alpha=True),
            "alpha's gradient is clipped too: clipping is for w alone",
        ),
        Mistake(
            "alpha_uphill",
            search_by(sign=-1.0),
            "alpha goes uphill: subtract lr_alpha times its gradient",
        ),
        Mistake(
            "lr_for_both",
            search_by(rates=lambda lr, lr_alpha: (lr, lr)),
            "alpha moves by lr: its rate is lr_alpha",
        ),
        Mistake(
            "virtual_step_kept",
            virtual_made,
            "w is stepped from w', so it moves twice: the virtual step is forgotten once alpha has "
            "its gradient",
        ),
        Mistake(
            "velocity_not_kept",
            search_by(
                move_w=lambda loss, w, alpha, velocity, *step: (
                    weights_by()(loss, w, alpha, velocity, *step)[0],
                    velocity,
                )
            ),
            "the velocity that you return is the old one: return the one of weight_step",
        ),
        Mistake(
            "order_of_the_results",
            search_by(give=lambda w, alpha, velocity: (alpha, w, velocity)),
            "the results are exchanged: return w, alpha and the velocity",
        ),
        Mistake(
            "no_velocity",
            search_by(give=lambda w, alpha, velocity: (w, alpha)),
            "the velocity is missing: return w, alpha and the velocity",
        ),
    ),
    variants=(
        Variant("two optimisers of torch's", search_by_torch),
        Variant("written out", search_at_once),
        Variant("a list", search_by(give=lambda w, alpha, velocity: [w, alpha, velocity])),
    ),
    hints=(
        "First alpha, with unrolled_gradient and xi = lr; then w, with weight_step.",
        "weight_step gets the new alpha, but the old w and the old velocity: the virtual step was "
        "only imagined.",
        "alpha = alpha - lr_alpha * unrolled_gradient(train_loss, val_loss, w, alpha, velocity, "
        "lr, momentum, decay); w, velocity = weight_step(...)",
    ),
)


# --- A whole search -------------------------------------------------------------------------------

Batches = Sequence[Data]

#: What the paper's Adam for alpha has.
BETAS, DECAY_ALPHA = (0.5, 0.999), 1e-3


def loop_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(train batches, val batches, w, alpha, rates, lr_alpha, momentum, decay, clip)."""
    found: list[tuple[Any, ...]] = []
    for (edges, d), steps in zip(SIZES[:3], (4, 3, 5), strict=True):
        train, val = ([examples(d, g) for _ in range(steps)] for _ in range(2))
        w, alpha = spread(edges, d, g=g), 0.6 * spread(edges, 3, g=g)
        lr, momentum, decay = settings(g)
        rates = [lr * (1 - 0.6 * t / steps) for t in range(steps)]
        clip = float(in_w(loss_on(train[0]), w, alpha).norm()) * uniform(0.5, 0.8, g)
        lr_alpha = uniform(0.1, 0.3, g)
        found.append((train, val, w, alpha, rates, lr_alpha, momentum, decay, clip))
    return found


def use_loop(answer: Answer, train: Batches, val: Batches, *args: Any) -> Any:
    """Make all losses where the answer lives; a list may stand for the tuple."""
    made = beside(answer, WITNESS, "ChainLoss")
    losses = ([made(*data) for data in batches] for batches in (train, val))
    result = plain(answer(*losses, *args))
    return tuple(result) if isinstance(result, list) else result


class OwnAdam:
    """Adam with a decay in the gradient, written out; it may start afresh, or count twice."""

    def __init__(self, lr: float, betas: tuple[float, float], decay: float, counts: int = 1):
        self.lr, self.betas, self.decay, self.counts = lr, betas, decay, counts
        self.t, self.m, self.s = 0, 0.0 * torch.ones(()), 0.0 * torch.ones(())

    def __call__(self, alpha: Tensor, g: Tensor) -> Tensor:
        (one, two), g = self.betas, g + self.decay * alpha
        self.t += self.counts if self.t else 1
        self.m, self.s = one * self.m + (1 - one) * g, two * self.s + (1 - two) * g**2
        m, s = self.m / (1 - one**self.t), self.s / (1 - two**self.t)
        return alpha - self.lr * m / (s.sqrt() + 1e-8)


def of_torch(lr: float, betas: tuple[float, float], decay: float) -> Callable[..., Tensor]:
    """torch's Adam, as a function of alpha and its gradient."""
    p = torch.nn.Parameter(torch.zeros(()))
    optimizer: list[torch.optim.Adam] = []

    def step(alpha: Tensor, g: Tensor) -> Tensor:
        if not optimizer:
            p.data = alpha.clone()
            optimizer.append(torch.optim.Adam([p], lr=lr, betas=betas, weight_decay=decay))
        p.data.copy_(alpha)
        p.grad = g.clone()
        optimizer[0].step()
        return p.detach().clone()

    return step


def loop_by(
    gradient: Answer = unrolled,
    betas: tuple[float, float] = BETAS,
    decay_alpha: float = DECAY_ALPHA,
    counts: int = 1,
    afresh: bool = False,
    decoupled: bool = False,
    velocity_afresh: bool = False,
    rate: Callable[[Sequence[float], int], float] = lambda rates, t: rates[t],
    batch: Callable[[int], int] = lambda t: t,
    alpha_data: Callable[[Loss, Loss], tuple[Loss, Loss]] = lambda train, val: (train, val),
    w_data: Callable[[Loss, Loss], Loss] = lambda train, val: train,
    order: str = "alpha",
    move_w: Answer | None = None,
    steps: Callable[[int], int] = lambda n: n,
    give: Callable[[Tensor, Tensor], Any] = lambda w, alpha: (w, alpha),
) -> Answer:
    """A whole search with one of the pieces exchanged."""

    def search_loop(
        train_losses: Sequence[Loss],
        val_losses: Sequence[Loss],
        w: Tensor,
        alpha: Tensor,
        rates: Sequence[float],
        lr_alpha: float,
        momentum: float,
        decay: float,
        clip: float,
    ) -> Any:
        velocity = torch.zeros_like(w)
        adam = OwnAdam(lr_alpha, betas, decay_alpha, counts)

        def moved(losses: tuple[Loss, Loss], w: Tensor, alpha: Tensor, *step: Any) -> Tensor:
            g = gradient(*losses, w, alpha, *step, momentum, decay)
            return adam(alpha * (1 - lr_alpha * DECAY_ALPHA) if decoupled else alpha, g)

        for t in range(steps(len(rates))):
            losses, lr = (train_losses[batch(t)], val_losses[batch(t)]), rate(rates, t)
            adam = OwnAdam(lr_alpha, betas, decay_alpha) if afresh else adam
            velocity = torch.zeros_like(w) if velocity_afresh else velocity
            before = alpha
            if order != "w":
                alpha = moved(alpha_data(*losses), w, alpha, velocity, lr)
            used = before if order == "both" else alpha
            one = move_w or weights_by()
            w, velocity = one(w_data(*losses), w, used, velocity, lr, momentum, decay, clip)
            if order == "w":
                alpha = moved(alpha_data(*losses), w, alpha, velocity, lr)
        return give(w, alpha)

    return search_loop


def gradients_added_up(
    train_losses: Sequence[Loss],
    val_losses: Sequence[Loss],
    w: Tensor,
    alpha: Tensor,
    rates: Sequence[float],
    lr_alpha: float,
    momentum: float,
    decay: float,
    clip: float,
) -> Any:
    """As .grad does without zero_grad()."""
    adam, total, velocity = (
        OwnAdam(lr_alpha, BETAS, DECAY_ALPHA),
        torch.zeros_like(alpha),
        torch.zeros_like(w),
    )
    for train, val, lr in zip(train_losses, val_losses, rates, strict=True):
        total = total + unrolled(train, val, w, alpha, velocity, lr, momentum, decay)
        alpha = adam(alpha, total)
        w, velocity = weights_by()(train, w, alpha, velocity, lr, momentum, decay, clip)
    return w, alpha


def first_rate_for_xi(
    train_losses: Sequence[Loss],
    val_losses: Sequence[Loss],
    w: Tensor,
    alpha: Tensor,
    rates: Sequence[float],
    *others: float,
) -> Any:
    def gradient(train: Loss, val: Loss, w: Tensor, alpha: Tensor, v: Tensor, *step: float) -> Any:
        return unrolled(train, val, w, alpha, v, rates[0], *step[1:])

    return loop_by(gradient)(train_losses, val_losses, w, alpha, rates, *others)


def one_adam(
    train_losses: Sequence[Loss],
    val_losses: Sequence[Loss],
    w: Tensor,
    alpha: Tensor,
    rates: Sequence[float],
    lr_alpha: float,
    momentum: float,
    decay: float,
    clip: float,
) -> Any:
    """One Adam holds both, and each of its steps moves both."""
    p, a = torch.nn.Parameter(w.clone()), torch.nn.Parameter(alpha.clone())
    adam = torch.optim.Adam([p, a], lr=lr_alpha, betas=BETAS, weight_decay=DECAY_ALPHA)
    for train, val in zip(train_losses, val_losses, strict=True):
        for loss in (val, train):
            adam.zero_grad()
            loss(p, a).backward()
            adam.step()
    return p, a


def adam_for_w(
    train_losses: Sequence[Loss],
    val_losses: Sequence[Loss],
    w: Tensor,
    alpha: Tensor,
    rates: Sequence[float],
    lr_alpha: float,
    momentum: float,
    decay: float,
    clip: float,
) -> Any:
    """Each has an Adam of its own, with alpha's settings."""
    of_alpha = OwnAdam(lr_alpha, BETAS, DECAY_ALPHA)
    of_w = OwnAdam(lr_alpha, BETAS, DECAY_ALPHA)
    for train, val, lr in zip(train_losses, val_losses, rates, strict=True):
        nothing = torch.zeros_like(w)
        alpha = of_alpha(alpha, unrolled(train, val, w, alpha, nothing, lr, momentum, decay))
        w = of_w(w, clipped(in_w(train, w, alpha), clip))
    return w, alpha


def sgd_for_alpha(
    train_losses: Sequence[Loss],
    val_losses: Sequence[Loss],
    w: Tensor,
    alpha: Tensor,
    rates: Sequence[float],
    lr_alpha: float,
    momentum: float,
    decay: float,
    clip: float,
) -> Any:
    velocity = torch.zeros_like(w)
    for train, val, lr in zip(train_losses, val_losses, rates, strict=True):
        w, alpha, velocity = search_by()(
            train, val, w, alpha, velocity, lr, lr_alpha, momentum, decay, clip
        )
    return w, alpha


def loop_by_optimisers(
    train_losses: Sequence[Loss],
    val_losses: Sequence[Loss],
    w: Tensor,
    alpha: Tensor,
    rates: Sequence[float],
    lr_alpha: float,
    momentum: float,
    decay: float,
    clip: float,
) -> Any:
    """Two optimisers of torch's, each with its own parameter."""
    p, a = torch.nn.Parameter(w.clone()), torch.nn.Parameter(alpha.clone())
    of_w = torch.optim.SGD([p], lr=rates[0], momentum=momentum, weight_decay=decay)
    of_alpha = torch.optim.Adam([a], lr=lr_alpha, betas=BETAS, weight_decay=DECAY_ALPHA)
    for train, val, lr in zip(train_losses, val_losses, rates, strict=True):
        of_w.param_groups[0]["lr"] = lr
        velocity = of_w.state.get(p, {}).get("momentum_buffer", torch.zeros_like(w))
        a.grad = unrolled(train, val, p.detach(), a.detach(), velocity, lr, momentum, decay)
        of_alpha.step()
        of_w.zero_grad()
        train(p, a.detach()).backward()
        torch.nn.utils.clip_grad_norm_([p], clip)
        of_w.step()
    return p, a


def loop_with_torchs_adam(
    train_losses: Sequence[Loss],
    val_losses: Sequence[Loss],
    w: Tensor,
    alpha: Tensor,
    rates: Sequence[float],
    lr_alpha: float,
    momentum: float,
    decay: float,
    clip: float,
) -> Any:
    adam, velocity = of_torch(lr_alpha, BETAS, DECAY_ALPHA), torch.zeros_like(w)
    for t, lr in enumerate(rates):
        train, val = train_losses[t], val_losses[t]
        g = unrolled(train, val, w, alpha, velocity, lr, momentum, decay)
        alpha = adam(alpha, g)
        w, velocity = by_minimum(train, w, alpha, velocity, lr, momentum, decay, clip)
    return [w, alpha]


search_loop = Question(
    name="search_loop",
    title="A whole search",
    points=3,
    reference=loop_by(),
    cases=loop_cases,
    use=use_loop,
    parts=("w", "alpha"),
    tolerance=CLIPPED,
    needs=("unrolled_gradient", "weight_step"),
    forbidden=(FUNCTIONAL,),
    mistakes=(
        Mistake(
            "one_adam",
            one_adam,
            "one Adam holds both, so validation data move w and training data move alpha: two "
            "optimisers, each with its own parameters and its own state",
        ),
        Mistake(
            "adam_for_w",
            adam_for_w,
            "w moves by Adam too: w has SGD with momentum (weight_step), alpha has an Adam of its "
            "own",
        ),
        Mistake(
            "count_shared",
            loop_by(counts=2),
            "the optimisers share their count of steps, so Adam counts w's steps too: its "
            "correction of the averages must count alpha's steps alone",
        ),
        Mistake(
            "adam_afresh",
            loop_by(afresh=True),
            "Adam begins afresh in each step and forgets its averages: make it once, before the "
            "loop",
        ),
        Mistake(
            "gradients_added_up",
            gradients_added_up,
            "alpha's gradients add up from step to step: clear the old one before each step, with "
            "zero_grad()",
        ),
        Mistake(
            "first_rate_for_xi",
            first_rate_for_xi,
            "xi is the first rate in all steps: in step t it is rates[t], as for w",
        ),
        Mistake(
            "velocity_afresh",
            loop_by(velocity_afresh=True),
            "the velocity is zero in every step: keep the one that weight_step returns",
        ),
        Mistake(
            "plain_descent",
            sgd_for_alpha,
            "alpha moves by plain descent, as in search_step: here it moves by Adam",
        ),
        Mistake(
            "usual_betas",
            loop_by(betas=(0.9, 0.999)),
            "Adam has its usual betas: alpha's are (0.5, 0.999)",
        ),
        Mistake(
            "no_decay_for_alpha",
            loop_by(decay_alpha=0.0),
            "alpha's weight decay is forgotten: weight_decay=1e-3 in torch.optim.Adam",
        ),
        Mistake(
            "decay_of_w_for_alpha",
            lambda train, val, w, alpha, rates, lr_alpha, momentum, decay, clip: loop_by(
                decay_alpha=decay
            )(train, val, w, alpha, rates, lr_alpha, momentum, decay, clip),
            "alpha decays by `decay`, which is w's: alpha's weight decay is 1e-3",
        ),
        Mistake(
            "adamw",
            loop_by(decay_alpha=0.0, decoupled=True),
            "the decay is decoupled, as in AdamW: here it is part of the gradient, as in "
            "torch.optim.Adam",
        ),
        Mistake(
            "first_rate",
            loop_by(rate=lambda rates, t: rates[0]),
            "every step has the first rate: step t has rates[t], for w and for xi",
        ),
        Mistake(
            "first_batches",
            loop_by(batch=lambda t: 0),
            "every step sees the first batches: step t has train_losses[t] and val_losses[t]",
        ),
        Mistake(
            "first_order",
            loop_by(first_only),
            "alpha moves by the first-order gradient: use unrolled_gradient, with xi = rates[t]",
        ),
        Mistake(
            "alpha_on_training_data",
            loop_by(alpha_data=lambda train, val: (train, train)),
            WRONG_STEPS["alpha_on_training_data"][1],
        ),
        Mistake(
            "w_on_validation_data",
            loop_by(w_data=lambda train, val: val),
            WRONG_STEPS["w_on_validation_data"][1],
        ),
        Mistake(
            "data_exchanged",
            loop_by(alpha_data=lambda train, val: (val, train), w_data=lambda train, val: val),
            WRONG_STEPS["data_exchanged"][1],
        ),
        Mistake("w_first", loop_by(order="w"), WRONG_STEPS["w_first"][1]),
        Mistake("old_alpha", loop_by(order="both"), WRONG_STEPS["old_alpha"][1]),
        Mistake(
            "clip_forgotten",
            loop_by(move_w=weights_by(lambda g, clip: g)),
            WRONG_STEPS["clip_forgotten"][1],
        ),
        Mistake(
            "one_step_less",
            loop_by(steps=lambda n: n - 1),
            "the last step is missing: there are as many steps as rates",
        ),
        Mistake(
            "exchanged",
            loop_by(give=lambda w, alpha: (alpha, w)),
            "the two are exchanged: return w first, then alpha",
        ),
    ),
    variants=(
        Variant("two optimisers of torch's", loop_by_optimisers),
        Variant("torch's Adam", loop_with_torchs_adam),
        Variant("a list", loop_by(give=lambda w, alpha: [w, alpha])),
    ),
    hints=(
        "Before the loop: a zero velocity, a copy of alpha as a parameter, and "
        "torch.optim.Adam([a], lr=lr_alpha, betas=(0.5, 0.999), weight_decay=1e-3).",
        "In the loop: put unrolled_gradient(...) into a.grad, let Adam step, then weight_step with "
        "a.detach().",
        "zip(train_losses, val_losses, rates) gives what each step needs; xi is that step's rate.",
    ),
)
