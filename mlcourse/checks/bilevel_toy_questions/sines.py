"""`mixture_loss` and `mixture_gradient`: the sine mixture, and autograd through one step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.compare import plain
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.judge import beside
from mlcourse.checks.regularisation_questions.shared import WITNESS

Loss = Callable[[Sequence[Tensor], Tensor, Tensor], Any]

DTYPE = torch.float64


def points(n: int, g: Generator) -> tuple[Tensor, Tensor]:
    """Draw places and answers (n,)."""
    return torch.rand(n, generator=g, dtype=DTYPE), normal(n, generator=g, dtype=DTYPE)


def parameters(g: Generator) -> list[Tensor]:
    """Draw frequencies w (2,) and amplitudes a (2,)."""
    numbers = (
        [uniform(3.0, 5.0, g), uniform(7.0, 10.0, g)],
        [uniform(0.7, 1.3, g), uniform(-0.8, -0.3, g)],
    )
    return [torch.tensor(pair, dtype=DTYPE) for pair in numbers]


# --- The loss -------------------------------------------------------------------------------------


def loss_cases(g: Generator) -> list[tuple[list[Tensor], Tensor, Tensor]]:
    """(parameters, x, y)."""
    return [(parameters(g), *points(n, g)) for n in (6, 9, 4)]


def use_loss(answer: Callable, *args: Any) -> Any:
    """Call the answer on parameters that ask for gradients, and see what autograd makes of it."""
    found = beside(answer, WITNESS, "differentiate")(answer, *args)
    followed = found["gradients"] is not None
    return {
        "the loss": plain(found["value"]),
        "autograd": "can follow" if followed else "cannot follow",
        "its gradients": plain(found["gradients"]) if followed else [],
    }


def sum_of_waves(w: Tensor, a: Tensor, x: Tensor) -> Tensor:
    return a[0] * torch.sin(w[0] * x) + a[1] * torch.cos(w[1] * x)


def loss_by(
    wave: Callable[[Tensor, Tensor, Tensor], Tensor] = sum_of_waves,
    gather: Callable[[Tensor], Any] = lambda error: error.square().mean(),
) -> Loss:
    """The error of the model, with one of the pieces exchanged."""
    return lambda parameters, x, y: gather(wave(parameters[0], parameters[1], x) - y)


def by_columns(parameters: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
    w, a = parameters
    waves = torch.stack([torch.sin(w[0] * x), torch.cos(w[1] * x)], dim=1)
    return torch.nn.functional.mse_loss(waves @ a, y)


def by_loops(parameters: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
    (w0, w1), (a0, a1) = parameters
    total = x.new_zeros(())
    for place, answer in zip(x, y, strict=True):
        total = total + (a0 * torch.sin(w0 * place) + a1 * torch.cos(w1 * place) - answer) ** 2
    return total / len(x)


def by_phases(parameters: Sequence[Tensor], x: Tensor, y: Tensor) -> Tensor:
    """A cosine is a sine that is ahead by a quarter of a turn."""
    w, a = parameters
    phases = torch.tensor([0.0, torch.pi / 2], dtype=x.dtype)
    error = y - (torch.sin(x[:, None] * w + phases) * a).sum(1)
    return error @ error / len(error)


mixture_loss = Question(
    name="mixture_loss",
    title="The sine mixture's loss",
    points=1,
    reference=loss_by(),
    cases=loss_cases,
    use=use_loss,
    mistakes=(
        Mistake(
            "sum",
            loss_by(gather=lambda error: error.square().sum()),
            "those are summed squares: the loss is their mean over the points",
        ),
        Mistake(
            "half",
            loss_by(gather=lambda error: error.square().mean() / 2),
            "the loss is halved: it is the plain mean of the squares",
        ),
        Mistake(
            "root",
            loss_by(gather=lambda error: error.square().mean().sqrt()),
            "that is the root of the mean square: leave the root out",
        ),
        Mistake(
            "absolute",
            loss_by(gather=lambda error: error.abs().mean()),
            "those are absolute errors: square them",
        ),
        Mistake(
            "square_of_the_mean",
            loss_by(gather=lambda error: error.mean().square()),
            "you square the mean error, in which errors of both signs cancel: square first",
        ),
        Mistake(
            "roles_exchanged",
            loss_by(lambda w, a, x: sum_of_waves(a, w, x)),
            "w and a are exchanged: w are the frequencies inside sine and cosine, a the amplitudes "
            "before them",
        ),
        Mistake(
            "waves_exchanged",
            loss_by(lambda w, a, x: a[0] * torch.cos(w[0] * x) + a[1] * torch.sin(w[1] * x)),
            "sine and cosine are exchanged: the first wave is a sine",
        ),
        Mistake(
            "two_sines",
            loss_by(lambda w, a, x: a[0] * torch.sin(w[0] * x) + a[1] * torch.sin(w[1] * x)),
            "both waves are sines: the second one is a cosine",
        ),
        Mistake(
            "one_frequency",
            loss_by(lambda w, a, x: a[0] * torch.sin(w[0] * x) + a[1] * torch.cos(w[0] * x)),
            "both waves have the first frequency: the cosine's is w[1]",
        ),
        Mistake(
            "turns",
            loss_by(lambda w, a, x: sum_of_waves(2 * torch.pi * w, a, x)),
            "the frequencies are multiplied by 2 pi: here the angle is w times x",
        ),
        Mistake(
            "detached",
            loss_by(gather=lambda error: error.square().mean().item()),
            "autograd cannot follow the loss back to w and a: return the tensor itself, without "
            ".item(), float() or .detach()",
        ),
        Mistake(
            "errors",
            loss_by(gather=lambda error: error.square()),
            "those are the squares of all points: return their mean, one number",
        ),
    ),
    variants=(
        Variant("columns", by_columns),
        Variant("loops", by_loops),
        Variant("phases", by_phases),
    ),
    hints=(
        "w, a = parameters; then the model's answers at all x at once.",
        "a[0] * torch.sin(w[0] * x) + a[1] * torch.cos(w[1] * x) has the shape of y.",
        "(model - y).square().mean(), a tensor.",
    ),
)


# --- The gradient through one step ----------------------------------------------------------------


def gradient_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(w, a, x_train, y_train, x_val, y_val, xi): first order, and two lengths."""
    return [
        (*parameters(g), *points(n, g), *points(m, g), xi and uniform(xi, 2 * xi, g))
        for n, m, xi in ((7, 5, 0.2), (6, 6, 0.0), (5, 8, 0.5))
    ]


def gradient_by(
    keep: bool = True,
    step: Callable[[float], float] = lambda xi: -xi,
    data: Callable[..., tuple[Tensor, ...]] = lambda *data: data,
    by: int = 1,
    sign: float = 1.0,
) -> Callable[..., Any]:
    """Differentiate through one step; `keep` is whether the step stays in autograd's record."""

    def mixture_gradient(w: Tensor, a: Tensor, *rest: Any) -> Any:
        x_train, y_train, x_val, y_val = data(*rest[:4])
        both = [w.detach().clone().requires_grad_(), a.detach().clone().requires_grad_()]
        moved = both[0]
        if (length := step(rest[4])) != 0:
            loss = loss_by()(both, x_train, y_train)
            (slope,) = torch.autograd.grad(loss, both[0], create_graph=keep)
            moved = moved + length * slope
        outer = loss_by()([moved, both[1]], x_val, y_val)
        return sign * torch.autograd.grad(outer, both[by])[0]

    return mixture_gradient


def through_the_step(w: Tensor, a: Tensor, *rest: Any) -> Any:
    """Through the step alone: the direct term is missing."""
    return gradient_by()(w, a, *rest) - gradient_by(keep=False)(w, a, *rest)


def old_w(w: Tensor, a: Tensor, *rest: Any) -> Any:
    """The direct term at the old w, and the way through the step."""
    direct = gradient_by(step=lambda xi: 0.0)(w, a, *rest)
    return direct + through_the_step(w, a, *rest)


def accumulated(w: Tensor, a: Tensor, x_train: Tensor, y_train: Tensor, *rest: Any) -> Any:
    """What a.grad holds when both losses were sent backward."""
    leaf = a.clone().requires_grad_()
    of_train = torch.autograd.grad(loss_by()([w, leaf], x_train, y_train), leaf)[0]
    return of_train + gradient_by()(w, a, x_train, y_train, *rest)


def indirect_sign(w: Tensor, a: Tensor, *rest: Any) -> Any:
    return 2 * gradient_by(keep=False)(w, a, *rest) - gradient_by()(w, a, *rest)


def by_products(
    w: Tensor, a: Tensor, xt: Tensor, yt: Tensor, xv: Tensor, yv: Tensor, xi: float
) -> Tensor:
    """The chain rule written out: direct - xi (mixed derivative)^T (slope in w)."""
    w, a = (t.clone().requires_grad_() for t in (w, a))
    (slope,) = torch.autograd.grad(loss_by()([w, a], xt, yt), w, create_graph=True)
    moved = (w - xi * slope).detach().requires_grad_()
    v, direct = torch.autograd.grad(loss_by()([moved, a], xv, yv), [moved, a])
    (mixed,) = torch.autograd.grad(slope @ v, a)
    return direct - xi * mixed


def by_functions(
    w: Tensor, a: Tensor, xt: Tensor, yt: Tensor, xv: Tensor, yv: Tensor, xi: float
) -> Tensor:
    def outer(a: Tensor) -> Tensor:
        slope = torch.func.grad(lambda w: loss_by()([w, a], xt, yt))(w)
        loss: Tensor = loss_by()([w - xi * slope, a], xv, yv)
        return loss

    return torch.func.grad(outer)(a)


def by_backward(
    w: Tensor, a: Tensor, xt: Tensor, yt: Tensor, xv: Tensor, yv: Tensor, xi: float
) -> Tensor:
    w, a = (t.clone().requires_grad_() for t in (w, a))
    slope = torch.autograd.grad(by_columns([w, a], xt, yt), w, create_graph=True)[0]
    by_columns([w - xi * slope, a], xv, yv).backward(inputs=[a])  # type: ignore[no-untyped-call]
    assert a.grad is not None
    return a.grad


mixture_gradient = Question(
    name="mixture_gradient",
    title="Autograd through one step",
    points=3,
    reference=gradient_by(),
    cases=gradient_cases,
    parts=("the gradient",),
    needs=("mixture_loss",),
    mistakes=(
        Mistake(
            "detached",
            gradient_by(keep=False),
            "the stepped weights are detached from a: autograd forgets how the train gradient "
            "depends on a unless you ask for create_graph=True (and neither .detach() nor .data)",
        ),
        Mistake(
            "first_order",
            gradient_by(step=lambda xi: 0.0),
            "xi is forgotten: this is the gradient at the w of now; make the step of length xi "
            "first",
        ),
        Mistake(
            "indirect_alone",
            through_the_step,
            "only the way through the step is there: a stands in the validation loss itself too, "
            "so do not detach it there",
        ),
        Mistake(
            "old_w",
            old_w,
            "the direct term is taken at the old w: the validation loss is that of the stepped "
            "weights, in all its parts",
        ),
        Mistake(
            "indirect_sign",
            indirect_sign,
            "the indirect term has the wrong sign: the step is w *minus* xi times the gradient",
        ),
        Mistake(
            "uphill",
            gradient_by(step=lambda xi: xi),
            "the imagined step goes uphill: w minus xi times the gradient of the train loss",
        ),
        Mistake(
            "step_of_one",
            gradient_by(step=lambda xi: -1.0),
            "the step has the length 1: multiply the gradient of the train loss by xi",
        ),
        Mistake(
            "data_exchanged",
            gradient_by(data=lambda xt, yt, xv, yv: (xv, yv, xt, yt)),
            "the data are exchanged: the step is on the training points, the outer loss on the "
            "validation points",
        ),
        Mistake(
            "all_on_validation",
            gradient_by(data=lambda xt, yt, xv, yv: (xv, yv, xv, yv)),
            "the step is made on the validation points: weights learn from the training points "
            "alone",
        ),
        Mistake(
            "all_on_training",
            gradient_by(data=lambda xt, yt, xv, yv: (xt, yt, xt, yt)),
            "a follows the training points: the outer loss is on the validation points",
        ),
        Mistake(
            "accumulated",
            accumulated,
            "a.grad holds the gradient of the train loss as well, which its backward() left there: "
            "use torch.autograd.grad, or set a.grad to None in between",
        ),
        Mistake(
            "in_w",
            gradient_by(by=0),
            "that is the gradient in w: differentiate the outer loss by a",
        ),
        Mistake(
            "minus_the_gradient",
            gradient_by(sign=-1.0),
            "everything has the wrong sign: return the gradient itself, not the direction of "
            "descent",
        ),
    ),
    variants=(
        Variant("products", by_products),
        Variant("torch.func", by_functions),
        Variant("backward", by_backward),
    ),
    hints=(
        "Copies of w and a that ask for gradients; the train loss; its gradient in w; the stepped "
        "weights; the validation loss there; its gradient in a.",
        "The stepped weights must still know that they depend on a: "
        "torch.autograd.grad(..., create_graph=True).",
        "new = w - xi * torch.autograd.grad(mixture_loss((w, a), x_train, y_train), w, "
        "create_graph=True)[0], then torch.autograd.grad(mixture_loss((new, a), x_val, "
        "y_val), a)[0].",
    ),
)
