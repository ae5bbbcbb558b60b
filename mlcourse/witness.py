"""Small networks that notice how they are used, to test an evaluation or a training loop on.

`small_cnn` makes one, `report` tells what happened to it; `Epochs` is a training that runs by a
script, `differentiate` finds the gradients of a function, `Bowl` is the gradient of one that is
known, `Quartic` and `PenalisedQuartic` are functions with known derivatives, `ChainLoss` is the
loss of a small supernet, and `optimise` lets an optimiser step. Nothing here depends on the global
random numbers: dropout draws its masks from a generator of its own.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

#: The running statistics of a batch norm.
STATS = ("running_mean", "running_var")


class Log:
    """What happened to a model; a copy of the model writes into the same log."""

    def __init__(self) -> None:
        self.random = torch.get_rng_state()
        self.batches: list[int] = []
        self.modes: list[list[bool]] = []
        self.recorded = False

    def __deepcopy__(self, memo: Any) -> Log:
        return self


class SeededDropout(nn.Dropout):
    """Inverted dropout with a generator of its own: the same masks in the same order each time."""

    def __init__(self, p: float, seed: int = 0) -> None:
        super().__init__(p)
        self.generator = torch.Generator().manual_seed(seed)

    def forward(self, X: Tensor) -> Tensor:
        if not self.training:
            return X
        kept = torch.rand(X.shape, generator=self.generator, dtype=torch.float64) >= self.p
        return X * kept.to(X) / (1 - self.p)


class SmallCNN(nn.Module):
    """A convolution, batch norm, ReLU, dropout and a dense layer; notes each forward pass."""

    def __init__(self, state: Mapping[str, Tensor], dropout: float) -> None:
        super().__init__()
        self.log = Log()
        filters, channels, size, _ = state["conv.weight"].shape
        classes, inputs = state["head.weight"].shape
        with torch.random.fork_rng(devices=[]):  # layers draw weights, which are replaced
            self.features = nn.Sequential(
                OrderedDict[str, nn.Module](
                    conv=nn.Conv2d(channels, filters, size),
                    norm=nn.BatchNorm2d(filters),
                    relu=nn.ReLU(),
                    dropout=SeededDropout(dropout),
                )
            )
            self.head = nn.Linear(inputs, classes)

    def forward(self, X: Tensor) -> Tensor:
        logits: Tensor = self.head(self.features(X).flatten(1))
        self.log.batches.append(len(X))
        self.log.modes.append([module.training for module in self.modules()])
        self.log.recorded |= logits.requires_grad
        return logits


def small_cnn(state: Mapping[str, Tensor], mode: str = "train", dropout: float = 0.5) -> SmallCNN:
    """Return a CNN with one convolution, batch norm, dropout and a dense layer.

    `state` gives every parameter and running statistic, and with them the sizes and the dtype:
    conv.weight (F, C, k, k), conv.bias, norm.weight, norm.bias, norm.running_mean,
    norm.running_var (F,), head.weight (classes, n), head.bias. `mode` is "train", "eval", or
    "frozen": all but the batch norm in training mode, as when a trained network learns on.
    Raises ValueError for another mode.
    """
    if mode not in ("train", "eval", "frozen"):
        raise ValueError(f'mode is {mode!r}: choose "train", "eval" or "frozen"')
    model = SmallCNN(state, dropout).to(state["conv.weight"].dtype)
    named = dict(model.named_parameters()) | dict(model.named_buffers())
    with torch.no_grad():
        for name, value in state.items():
            named[name if name in named else f"features.{name}"].copy_(value)
    model.train(mode != "eval")
    model.features[1].train(mode == "train")
    return model


class CountedSGD(torch.optim.SGD):
    """torch's SGD, which counts its steps."""

    steps = 0

    def step(self, closure: Any = None) -> Any:
        """Make a step and count it."""
        self.steps += 1
        return super().step(closure)


def sgd(model: nn.Module, lr: float, momentum: float = 0.0) -> CountedSGD:
    """Return SGD for the model's parameters; its `steps` are the number of steps so far."""
    return CountedSGD(model.parameters(), lr=lr, momentum=momentum)


def report(model: SmallCNN) -> dict[str, Any]:
    """Return, as plain data of its own, what happened to a model and what it is like now.

    `batches` are the sizes of the batches that it saw, `recorded` says whether autograd recorded
    one of them, `modes_seen` the modules' training flags in each pass and `modes` those of now, in
    the order of `modules()`, `drew` whether torch's global random numbers moved since the model was
    made, `has_grads` whether a parameter holds a gradient, `learns` whether all still ask for one.
    """
    log = model.log
    return {
        "batches": list(log.batches),
        "recorded": log.recorded,
        "modes_seen": [list(modes) for modes in log.modes],
        "modes": [module.training for module in model.modules()],
        "drew": not torch.equal(log.random, torch.get_rng_state()),
        "learns": all(parameter.requires_grad for parameter in model.parameters()),
        "has_grads": any(parameter.grad is not None for parameter in model.parameters()),
        "parameters": {name: value.detach().clone() for name, value in model.named_parameters()},
        "running": {
            name: value.clone()
            for name, value in model.named_buffers()
            if name.rpartition(".")[2] in STATS
        },
    }


def fill(model: nn.Module, seed: int) -> int:
    """Give every parameter values that depend on its shape and the seed alone; return their number.

    So two models with the same layers compute the same function, whatever the layers are called.
    Values are normal with variance 2 over the number of inputs, biases with variance 0.01.
    """
    total = 0
    for parameter in model.parameters():
        shape = tuple(parameter.shape)
        mixed = sum((position + 1) * 1009 * size for position, size in enumerate(shape))
        generator = torch.Generator().manual_seed(1_000_003 * seed + mixed)
        scale = math.sqrt(2 / math.prod(shape[1:])) if len(shape) > 1 else 0.1
        values = scale * torch.randn(shape, generator=generator, dtype=torch.float64)
        with torch.no_grad():
            parameter.copy_(values)
        total += parameter.numel()
    return total


class Epochs:
    """A training by a script: each call adds 1 to all of a model's numbers, and returns a loss.

    It does so in place, as an optimiser would, and to the buffers as well. `losses` are returned
    one after the other, and `calls` counts; `loads` counts how often the model was given a state
    by load_state_dict. A call after the last loss raises RuntimeError.
    """

    def __init__(self, model: nn.Module, losses: Sequence[float]) -> None:
        self.model, self.losses, self.calls, self.loads = model, list(losses), 0, 0
        model.register_load_state_dict_post_hook(self._count_load)

    def _count_load(self, *args: Any) -> None:
        self.loads += 1

    def __call__(self) -> float:
        """Train for an epoch and return the validation loss after it."""
        if self.calls == len(self.losses):
            raise RuntimeError(f"train_epoch was called more than {self.calls} times")
        with torch.no_grad():
            for value in self.model.state_dict().values():  # these share the model's memory
                value.add_(1)
        self.calls += 1
        return self.losses[self.calls - 1]


def differentiate(
    function: Callable[..., Any], tensors: Sequence[Tensor], *args: Any
) -> dict[str, Any]:
    """Return the `value` of function(tensors, *args) and its `gradients` by autograd.

    The function gets copies of the tensors that ask for gradients. `gradients` has one tensor for
    each of them, zeros where the value does not depend on it, and is None where the value is no
    number that autograd could follow back.
    """
    leaves = [tensor.clone().requires_grad_() for tensor in tensors]
    value = function(leaves, *args)
    if not isinstance(value, Tensor) or value.dim() or not value.requires_grad:
        return {"value": value, "gradients": None}
    found = torch.autograd.grad(value, leaves, allow_unused=True, materialize_grads=True)
    return {"value": value.detach(), "gradients": list(found)}


class Bowl:
    """The gradient of a bowl: at each entry, the curvature times the distance from the centre.

    `curvatures`, `centre` and the point of a call are dicts of tensors with the same names.
    """

    def __init__(self, curvatures: Mapping[str, Tensor], centre: Mapping[str, Tensor]) -> None:
        self.curvatures, self.centre = curvatures, centre

    def __call__(self, params: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the gradient at a point, a new dict.

        Raises ValueError for anything but a dict of all the parameters.
        """
        if not isinstance(params, Mapping) or params.keys() != self.curvatures.keys():
            names = ", ".join(self.curvatures)
            raise ValueError(f"the gradient takes a dict of all the parameters: {names}")
        return {
            name: curvature * (params[name] - self.centre[name])
            for name, curvature in self.curvatures.items()
        }


def optimise(
    make: Callable[..., torch.optim.Optimizer],
    groups: Sequence[Mapping[str, Any]],
    grads: Sequence[Sequence[Tensor | None]],
    factors: Sequence[float],
    *settings: Any,
) -> dict[str, Any]:
    """Make an optimiser, let it step with gradients that are given, and return what it did.

    Each group has a list of values, "params", and perhaps settings of its own; there is one
    parameter for each value. Step t takes grads[t], one for each parameter of all groups or None,
    after the rate of every group has been multiplied by factors[t], as a schedule does. `places`
    are the parameters after each step, `grads_kept` says whether the gradients are what they were.
    """
    made = [
        {**group, "params": [nn.Parameter(value.clone()) for value in group["params"]]}
        for group in groups
    ]
    params = [p for group in made for p in group["params"]]
    optimizer = make(made, *settings)
    places, kept = [], True
    for given, factor in zip(grads, factors, strict=True):
        for group in optimizer.param_groups:
            group["lr"] *= factor
        for p, grad in zip(params, given, strict=True):
            p.grad = None if grad is None else grad.clone()
        optimizer.step()
        for p, grad in zip(params, given, strict=True):
            kept &= (p.grad is None) == (grad is None)
            kept &= p.grad is None or grad is None or torch.equal(p.grad, grad)
        places.append([p.detach().clone() for p in params])
    return {"places": places, "grads_kept": kept}


class Quartic:
    """The function f(x) = x . A x / 2 + b . x + sum of c x^4 / 4 of a vector x (n,).

    A is (n, n), symmetric, b and c are (n,). The gradient is A x + b + c x^3, and the Hessian
    A + diag(3 c x^2).
    """

    def __init__(self, A: Tensor, b: Tensor, c: Tensor) -> None:
        self.A, self.b, self.c = A, b, c

    def __call__(self, x: Tensor) -> Tensor:
        """Return f(x), a 0-dimensional tensor."""
        return (x * (self.A @ x / 2 + self.b + self.c * x**3 / 4)).sum()


class PenalisedQuartic:
    """A loss with penalties: w . A w / 2 + b . w + sum of exp(G h) (w^2 / 2 + c w^4 / 4).

    w is (n,) and h (m,); A is (n, n), symmetric, b and c are (n,), G is (n, m). With p = exp(G h),
    the gradient in w is A w + b + p (w + c w^3).
    """

    def __init__(self, A: Tensor, b: Tensor, c: Tensor, G: Tensor) -> None:
        self.A, self.b, self.c, self.G = A, b, c, G

    def __call__(self, w: Tensor, h: Tensor) -> Tensor:
        """Return the value at w and h, a 0-dimensional tensor."""
        penalty = (self.G @ h).exp() * (w**2 / 2 + self.c * w**4 / 4)
        return (w * (self.A @ w / 2 + self.b) + penalty).sum()


class ChainLoss:
    """The mean squared error of a small supernet: a chain of mixed edges, on some examples.

    X is (N, d), y is (N,); w is (edges, d), alpha is (edges, 3). Each edge mixes three operations
    by the softmax of its row of alpha: none (zeros), skip (what arrives, a), and tanh(w a). The
    prediction is the sum of what arrives at the end. Everything is smooth.
    """

    def __init__(self, X: Tensor, y: Tensor) -> None:
        self.X, self.y = X, y

    def __call__(self, w: Tensor, alpha: Tensor) -> Tensor:
        """Return the value at w and alpha, a 0-dimensional tensor."""
        a = self.X
        for weights, (_, skip, layer) in zip(w, alpha.softmax(dim=1), strict=True):
            a = skip * a + layer * torch.tanh(weights * a)
        return ((a.sum(dim=1) - self.y) ** 2).mean()


class Product:
    """The product with a matrix A, for methods that need nothing else of it."""

    def __init__(self, A: Tensor) -> None:
        self.A = A

    def __call__(self, v: Tensor) -> Tensor:
        """Return A v."""
        return self.A @ v


class Halving:
    """A schedule that falls to half after each `half_life`: lr0 2^(-t / half_life)."""

    def __init__(self, lr0: float, half_life: float) -> None:
        self.lr0, self.half_life = lr0, half_life

    def __call__(self, t: float) -> float:
        """Return the rate at t, which may be negative too."""
        return float(self.lr0 * 2 ** (-t / self.half_life))
