"""`autograd_train`, `nn_train` and `optim_train`: one training loop, three ways to write it.

They do the same computation, so they share their inputs, their reference and most mistakes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from mlcourse import mlp
from mlcourse.checks.by_hand_questions.shared import (
    KEYS,
    ONE_DTYPE,
    Params,
    draw_labels,
    draw_params,
    normal,
    use_train,
)
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.four_ways_questions.model import model_by

Result = tuple[Params, Any]


def cases(g: Generator) -> list[tuple]:
    found = []
    for N, nx, nh, ny, dtype, eta, steps in (
        (6, 2, 4, 2, torch.float64, 0.3, 4),
        (5, 3, 3, 3, torch.float64, 0.1, 3),
        (1, 2, 3, 4, torch.float64, 0.5, 3),
        (8, 2, 4, 2, torch.float32, 0.2, 5),
    ):
        X, Y = normal(N, nx, generator=g, dtype=dtype), draw_labels(N, ny, g, dtype)
        found.append((draw_params(nx, nh, ny, g, dtype), X, Y, eta, steps))
    return found


def reference(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
    """Full-batch gradient descent, by hand."""
    losses = []
    for _ in range(steps):
        _, outputs = mlp.forward(params, X)
        losses.append(float(mlp.cross_entropy(outputs["ytilde"], Y)))
        params = mlp.sgd(params, mlp.backward(params, outputs, Y), eta)
    return params, losses


# --- Pieces of loops, right and wrong ---------------------------------------------------------


def logits_of(p: Params, X: Tensor) -> Tensor:
    return torch.tanh(X @ p["Wh"].T + p["bh"]) @ p["Wy"].T + p["by"]


def copied(params: Params) -> Params:
    return {key: value.detach().clone().requires_grad_() for key, value in params.items()}


def step_down(p: Params, eta: float) -> None:
    with torch.no_grad():
        for value in p.values():
            if value.grad is not None:
                value -= eta * value.grad


def step_up(p: Params, eta: float) -> None:
    step_down(p, -eta)


def clear(p: Params) -> None:
    for value in p.values():
        value.grad = None


def nothing(p: Params) -> None:
    """Leave the gradients as they are."""


def loop_by(
    start: Callable[[Params], Params] = copied,
    loss_of: Callable[[Tensor, Tensor], Tensor] = functional.cross_entropy,
    send: Callable[[Tensor], Any] = lambda loss: loss.backward(),
    step: Callable[[Params, float], Any] = step_down,
    forget: Callable[[Params], Any] = clear,
    count: Callable[[int], int] = int,
    loss_after: bool = False,
) -> Callable[..., Result]:
    """A loop with autograd with one of its pieces exchanged."""

    def train(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
        p = start(params)
        losses = []
        for _ in range(count(steps)):
            loss = loss_of(logits_of(p, X), Y)
            send(loss)
            step(p, eta)
            forget(p)
            if loss_after:
                loss = loss_of(logits_of(p, X), Y)
            losses.append(loss.item())
        return p, losses

    return train


def softmax_twice(logits: Tensor, Y: Tensor) -> Tensor:
    return functional.cross_entropy(torch.softmax(logits, dim=1), Y)


def summed(logits: Tensor, Y: Tensor) -> Tensor:
    return functional.cross_entropy(logits, Y, reduction="sum")


def over_classes_too(logits: Tensor, Y: Tensor) -> Tensor:
    return -(Y * logits.log_softmax(dim=1)).mean()


def step_recorded(p: Params, eta: float) -> None:
    for value in p.values():
        grad: Any = value.grad
        value -= eta * grad


def step_into_new_tensors(p: Params, eta: float) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of just this mistake
        for key in p:
            grad: Any = p[key].grad
            p[key] = p[key] - eta * grad


def callers_own(params: Params) -> Params:
    for value in params.values():
        value.requires_grad_()
    return params


def cast(params: Params) -> Params:
    return {key: value.float().clone().requires_grad_() for key, value in params.items()}


def train_cast(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
    return loop_by(start=cast)(params, X.float(), Y.float(), eta, steps)


def train_on_one_graph(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
    p = copied(params)
    loss = functional.cross_entropy(logits_of(p, X), Y)
    losses = []
    for _ in range(steps):
        loss.backward()
        step_down(p, eta)
        clear(p)
        losses.append(loss.item())
    return p, losses


def train_returns_start(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
    _, losses = reference(params, X, Y, eta, steps)
    return {key: value.clone() for key, value in params.items()}, losses


def optim_by(
    make: Callable[[Any, float], Any] = lambda parameters, eta: torch.optim.SGD(parameters, lr=eta),
    order: tuple[str, ...] = ("zero", "loss", "backward", "step"),
    criterion: nn.Module | None = None,
    tail: tuple[nn.Module, ...] = (),
) -> Callable[..., Result]:
    """A loop with torch.optim with one of its pieces exchanged."""
    criterion = criterion or nn.CrossEntropyLoss()

    def train(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
        model = model_by(*tail)(params)
        optimizer = make(model.parameters(), eta)
        losses: list[float] = []
        loss = torch.zeros(())
        for _ in range(steps):
            for act in order:
                if act == "zero":
                    optimizer.zero_grad()
                elif act == "loss":
                    loss = criterion(model(X), Y)
                    losses.append(loss.item())
                elif act == "backward":
                    loss.backward()
                else:
                    optimizer.step()
        return parameters_of(model), losses

    return train


def parameters_of(model: nn.Module) -> Params:
    return {key: value.detach() for key, value in zip(KEYS, model.parameters(), strict=True)}


# --- Right answers that look different --------------------------------------------------------


def autograd_with_grad(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
    """torch.autograd.grad, new tensors at each step, losses as tensors."""
    p, losses = params, []
    for _ in range(steps):
        leaves = {key: value.detach().requires_grad_() for key, value in p.items()}
        loss = torch.logsumexp(logits_of(leaves, X), 1).mean()
        loss = loss - (logits_of(leaves, X) * Y).sum(1).mean()
        grads = torch.autograd.grad(loss, list(leaves.values()))
        pairs = zip(leaves.items(), grads, strict=True)
        p = {key: (value - eta * grad).detach() for (key, value), grad in pairs}
        losses.append(loss.detach())
    return p, losses


def autograd_in_place(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
    """Copies, .data, gradients set to zero in place, losses in a tensor."""
    Wh, bh, Wy, by = (params[key].clone().requires_grad_(True) for key in KEYS)
    losses = torch.zeros(steps, dtype=X.dtype)
    for n in range(steps):
        ytilde = torch.tanh(X.mm(Wh.t()) + bh).mm(Wy.t()) + by
        yhat = torch.softmax(ytilde, dim=-1)
        loss = -(Y * torch.log(yhat)).sum() / Y.shape[0]
        loss.backward()
        for value in (Wh, bh, Wy, by):
            grad: Any = value.grad
            value.data -= eta * grad
            grad.zero_()
        losses[n] = loss.item()
    return {"Wh": Wh, "bh": bh, "Wy": Wy, "by": by}, losses


def autograd_functional(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
    """torch.func: a gradient is a function too."""

    def loss_of(p: Params) -> Tensor:
        return functional.cross_entropy(logits_of(p, X), Y)

    losses = []
    for _ in range(steps):
        grads, loss = torch.func.grad_and_value(loss_of)(params)
        params = {key: params[key] - eta * grads[key] for key in params}
        losses.append(float(loss))
    return params, losses


def nn_by_hand_update(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
    model = model_by()(params)
    criterion = nn.CrossEntropyLoss()
    losses = []
    for _ in range(steps):
        loss = criterion(model(X), Y.argmax(dim=1))
        model.zero_grad()
        loss.backward()
        with torch.no_grad():
            for parameter in model.parameters():
                grad: Any = parameter.grad
                parameter.sub_(grad, alpha=eta)
        losses.append(loss)
    return parameters_of(model), losses


def nn_with_nll(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
    model = model_by(nn.LogSoftmax(dim=1))(params)
    losses = []
    for _ in range(steps):
        loss = functional.nll_loss(model(X), Y.argmax(1))
        grads = torch.autograd.grad(loss, tuple(model.parameters()))
        for parameter, grad in zip(model.parameters(), grads, strict=True):
            parameter.data = parameter.data - eta * grad
        losses += [loss.item()]
    return dict(zip(KEYS, model.parameters(), strict=True)), losses


def nn_functional(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
    p = copied(params)
    losses = torch.empty(0, dtype=X.dtype)
    for _ in range(steps):
        h = torch.tanh(functional.linear(X, p["Wh"], p["bh"]))
        loss = functional.cross_entropy(functional.linear(h, p["Wy"], p["by"]), Y)
        loss.backward()
        step_down(p, eta)
        clear(p)
        losses = torch.cat([losses, loss.detach()[None]])
    return p, losses


def optim_of_tensors(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
    """An optimiser of bare tensors, no module."""
    p = copied(params)
    optimizer = torch.optim.SGD(list(p.values()), eta)
    losses = []
    for _ in range(steps):
        loss = functional.cross_entropy(logits_of(p, X), Y)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return {key: value.detach().clone() for key, value in p.items()}, losses


def optim_with_closure(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
    model = model_by()(params)
    optimizer = torch.optim.SGD(model.parameters(), lr=eta, foreach=False)

    def closure() -> Tensor:
        optimizer.zero_grad(set_to_none=False)
        loss = nn.CrossEntropyLoss()(model(X), Y)
        loss.backward()
        return loss

    return parameters_of(model), [optimizer.step(closure).item() for _ in range(steps)]


def optim_made_anew(params: Params, X: Tensor, Y: Tensor, eta: float, steps: int) -> Result:
    """A new optimiser at each step: plain gradient descent has no memory to lose."""
    model = model_by()(params)
    losses: list[Tensor] = []
    while len(losses) < steps:
        optimizer = torch.optim.SGD([{"params": model.parameters()}], lr=eta, momentum=0)
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(X), Y.argmax(1))
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    return parameters_of(model), torch.stack(losses)


# --- The questions ----------------------------------------------------------------------------

ADDED = (
    "the gradients of all steps add up: set them to zero before each backward() "
    "(optimizer.zero_grad(), model.zero_grad() or p.grad = None)"
)

SHARED = (
    Mistake(
        "summed",
        loop_by(loss_of=summed),
        "the loss is the sum over the batch, so the gradient is N times ours: take the mean",
    ),
    Mistake(
        "over_classes_too",
        loop_by(loss_of=over_classes_too),
        "the loss is divided by N n_y: sum over the classes, then take the mean over the N "
        "examples",
    ),
    Mistake(
        "softmax_twice",
        loop_by(loss_of=softmax_twice),
        "softmax is applied twice: cross-entropy of torch takes logits, so give it the output "
        "layer as it is",
    ),
    Mistake("gradients_added", loop_by(forget=nothing), ADDED),
    Mistake(
        "ascent",
        loop_by(step=step_up),
        "the loss goes up: subtract eta times the gradient",
    ),
    Mistake(
        "no_graph",
        loop_by(send=lambda loss: loss.detach().backward()),
        "the loss has lost its graph, so nothing can flow back: no detach(), item(), "
        "torch.tensor(loss) or no_grad() between parameters and backward(), and the parameters "
        "must require gradients",
    ),
    Mistake(
        "one_graph",
        train_on_one_graph,
        "the second backward() goes through a graph that the first has used up: compute the loss "
        "again, inside the loop, from the new parameters",
    ),
    Mistake(
        "loss_after_step",
        loop_by(loss_after=True),
        "losses holds each loss after its step: keep the one that backward() starts from",
    ),
    Mistake(
        "start_returned",
        train_returns_start,
        "you return the parameters that came in: return the trained ones",
    ),
    Mistake(
        "callers_params",
        loop_by(start=callers_own),
        "the caller's params are changed: train copies, value.clone().requires_grad_()",
    ),
    Mistake(
        "one_step_short",
        loop_by(count=lambda steps: steps - 1),
        "there is one step too few: take `steps` of them",
    ),
    Mistake(
        "one_step_more",
        loop_by(count=lambda steps: steps + 1),
        "there is one step too many: take `steps` of them",
    ),
    Mistake("cast", train_cast, ONE_DTYPE),
)

HANDMADE = (
    Mistake(
        "update_recorded",
        loop_by(step=step_recorded),
        "the update is recorded as if it were part of the network: put it under "
        "`with torch.no_grad():`",
    ),
    Mistake(
        "update_into_new_tensors",
        loop_by(step=step_into_new_tensors, forget=nothing),
        "p = p - eta * p.grad makes a new tensor whose grad is empty: change p itself under "
        "`with torch.no_grad():`, p -= eta * p.grad",
    ),
)

autograd_train = Question(
    name="autograd_train",
    title="Backward by autograd",
    points=3,
    reference=reference,
    cases=cases,
    use=use_train,
    parts=("params", "losses"),
    mistakes=(*SHARED, *HANDMADE),
    variants=(
        Variant("torch.autograd.grad, new tensors", autograd_with_grad),
        Variant("in place with .data", autograd_in_place),
        Variant("torch.func", autograd_functional),
    ),
    hints=(
        "Copies that can have gradients: {k: v.clone().requires_grad_() for k, v in "
        "params.items()}. Then logits, loss and loss.backward().",
        "After backward() each leaf p has p.grad. Update under `with torch.no_grad():`, then set "
        "p.grad to None.",
        "losses.append(loss.item()) keeps the number and lets go of the graph.",
    ),
)

nn_train = Question(
    name="nn_train",
    title="Forward by torch.nn",
    points=2,
    reference=reference,
    cases=cases,
    use=use_train,
    parts=("params", "losses"),
    needs=("nn_model",),
    mistakes=(*SHARED, *HANDMADE),
    variants=(
        Variant("class numbers, zero_grad before backward", nn_by_hand_update),
        Variant("log-softmax and nll_loss", nn_with_nll),
        Variant("nn.functional", nn_functional),
    ),
    hints=(
        "model = nn_model(params); the loss is nn.CrossEntropyLoss()(model(X), Y).",
        "model.zero_grad() before loss.backward(); then, under torch.no_grad(), "
        "p -= eta * p.grad for each p of model.parameters().",
        "model.parameters() come in the order of the layers, the weight first: Wh, bh, Wy, by. "
        "Return them detached.",
    ),
)

optim_train = Question(
    name="optim_train",
    title="Update by torch.optim",
    points=2,
    reference=reference,
    cases=cases,
    use=use_train,
    parts=("params", "losses"),
    needs=("nn_model",),
    mistakes=(
        *SHARED,
        Mistake(
            "never_stepped",
            optim_by(order=("loss", "backward", "zero", "step")),
            "the parameters never change: give the optimiser the model's own parameters, call "
            "step() after backward(), and zero_grad() not between the two",
        ),
        Mistake(
            "step_before_backward",
            optim_by(order=("loss", "step", "zero", "backward")),
            "step() comes before backward(), so each step uses the gradient of the step before: "
            "zero_grad(), backward(), step()",
        ),
        Mistake(
            "adam",
            optim_by(make=lambda parameters, eta: torch.optim.Adam(parameters, lr=eta)),
            "this is Adam: plain gradient descent is torch.optim.SGD",
        ),
        Mistake(
            "momentum",
            optim_by(make=lambda ps, eta: torch.optim.SGD(ps, lr=eta, momentum=0.9)),
            "the optimiser has momentum: plain gradient descent has none",
        ),
        Mistake(
            "weight_decay",
            optim_by(make=lambda ps, eta: torch.optim.SGD(ps, lr=eta, weight_decay=0.01)),
            "the optimiser has weight decay: plain gradient descent has none",
        ),
        Mistake(
            "default_rate",
            optim_by(make=lambda ps, eta: torch.optim.SGD(ps)),
            "the optimiser has its default learning rate: give it lr=eta",
        ),
    ),
    variants=(
        Variant("bare tensors, zero_grad at the end", optim_of_tensors),
        Variant("a closure", optim_with_closure),
        Variant("a new optimiser at each step", optim_made_anew),
    ),
    hints=(
        "optimizer = torch.optim.SGD(model.parameters(), lr=eta), made once before the loop.",
        "Each step: optimizer.zero_grad(), loss = ..., loss.backward(), optimizer.step().",
        "The model's parameters change in place; at the end return them by their names, detached.",
    ),
)
