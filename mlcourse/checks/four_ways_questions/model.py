"""`nn_model`: the same network as a module of torch.nn.

The module may live in another process: it is called, iterated and asked for attributes only.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from mlcourse.checks.by_hand_questions.shared import KEYS, NETWORKS, Params, draw_params, normal
from mlcourse.checks.compare import NotData, plain
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.judge import AnswerError


def cases(g: Generator) -> list[tuple[Params, Tensor]]:
    found = []
    for N, nx, nh, ny, dtype in NETWORKS:
        params = draw_params(nx, nh, ny, g, dtype)
        found.append((params, normal(N, nx, generator=g, dtype=dtype)))
    return found


def use_model(answer: Callable, params: Params, X: Tensor) -> Any:
    """Build the model, look for the given numbers among its parameters, and let it predict."""
    model = answer(params)
    try:
        parameters = list(model.parameters())
    except (AttributeError, AnswerError, TypeError):
        raise NotData("it returns no nn.Module: nn.Sequential(...) makes one") from None
    numbers = [plain(parameter) for parameter in parameters]
    copied = {
        f"{key} in the model": "copied"
        if any(matches(number, params[key]) for number in numbers)
        else "missing"
        for key in KEYS
    }
    learns = all(parameter.requires_grad for parameter in parameters)
    return {
        **copied,
        "what its parameters do": "require gradients" if learns else "require no gradients",
        "its prediction, the logits,": plain(model(X)),
    }


def matches(number: Any, given: Tensor) -> bool:
    """Tell whether a parameter holds the given numbers, in any precision and shape."""
    if not isinstance(number, Tensor) or number.numel() != given.numel():
        return False
    one, other = number.double(), given.double()
    turned = other.T if other.dim() == 2 else other
    same = [torch.allclose(one.flatten(), it.flatten(), rtol=1e-3) for it in (other, turned)]
    return any(same)


def layers(params: Params, dtype: torch.dtype | None = None) -> tuple[nn.Linear, nn.Linear]:
    (nh, nx), ny = params["Wh"].shape, len(params["by"])
    dtype = dtype or params["Wh"].dtype
    return nn.Linear(nx, nh, dtype=dtype), nn.Linear(nh, ny, dtype=dtype)


def fill(layer: nn.Linear, W: Tensor, b: Tensor) -> None:
    with torch.no_grad():
        layer.weight.copy_(W)
        layer.bias.copy_(b)


def model_by(
    *tail: nn.Module,
    activation: nn.Module | None = None,
    turned: bool = False,
    weights: bool = True,
    biases: bool = True,
    dtype: torch.dtype | None = None,
) -> Callable[[Params], nn.Module]:
    """A model with one of its pieces exchanged."""

    def nn_model(params: Params) -> nn.Module:
        hidden, output = layers(params, dtype)
        for layer, W, b in ((hidden, "Wh", "bh"), (output, "Wy", "by")):
            with torch.no_grad():
                if weights:
                    layer.weight.copy_(params[W].T if turned else params[W])
                if biases:
                    layer.bias.copy_(params[b])
        return nn.Sequential(hidden, activation or nn.Tanh(), output, *tail)

    return nn_model


def model_without_biases(params: Params) -> nn.Module:
    (nh, nx), ny = params["Wh"].shape, len(params["by"])
    dtype = params["Wh"].dtype
    hidden = nn.Linear(nx, nh, bias=False, dtype=dtype)
    output = nn.Linear(nh, ny, bias=False, dtype=dtype)
    with torch.no_grad():
        hidden.weight.copy_(params["Wh"])
        output.weight.copy_(params["Wy"])
    return nn.Sequential(hidden, nn.Tanh(), output)


def frozen_model(params: Params) -> nn.Module:
    return model_by()(params).requires_grad_(False)


class Written(nn.Module):
    """The network with parameters of its own, and forward written out."""

    Wh: nn.Parameter
    bh: nn.Parameter
    Wy: nn.Parameter
    by: nn.Parameter

    def __init__(self, params: Params) -> None:
        super().__init__()
        for name, value in params.items():
            self.register_parameter(name, nn.Parameter(value.clone()))

    def forward(self, X: Tensor) -> Tensor:
        return torch.tanh(X @ self.Wh.T + self.bh) @ self.Wy.T + self.by


class OfLayers(nn.Module):
    """The network of two layers that are replaced parameter by parameter."""

    def __init__(self, params: Params) -> None:
        super().__init__()
        self.hidden, self.output = layers(params, torch.float32)
        self.hidden.weight = nn.Parameter(params["Wh"].detach().clone())
        self.hidden.bias = nn.Parameter(params["bh"].detach().clone())
        self.output.weight = nn.Parameter(params["Wy"].detach().clone())
        self.output.bias = nn.Parameter(params["by"].detach().clone())

    def forward(self, X: Tensor) -> Tensor:
        return self.output(self.hidden(X).tanh())


def model_from_state(params: Params) -> nn.Module:
    hidden, output = layers(params)
    model = nn.Sequential(OrderedDict(hidden=hidden, activation=nn.Tanh(), output=output))
    names = ("hidden.weight", "hidden.bias", "output.weight", "output.bias")
    model.load_state_dict(dict(zip(names, (params[key] for key in KEYS), strict=True)))
    return model


def model_converted(params: Params) -> nn.Module:
    hidden, output = layers(params, torch.float64)
    fill(hidden, params["Wh"], params["bh"])
    fill(output, params["Wy"], params["by"])
    return nn.Sequential(hidden, nn.Tanh(), output).to(params["Wh"].dtype)


nn_model = Question(
    name="nn_model",
    title="The network as a module",
    points=2,
    reference=model_by(),
    cases=cases,
    use=use_model,
    mistakes=(
        Mistake(
            "softmax_at_the_end",
            model_by(nn.Softmax(dim=1)),
            "the model ends with a softmax: return the logits, CrossEntropyLoss applies softmax "
            "itself",
        ),
        Mistake(
            "log_softmax_at_the_end",
            model_by(nn.LogSoftmax(dim=1)),
            "the model ends with a log-softmax: return the logits, CrossEntropyLoss applies it "
            "itself",
        ),
        Mistake(
            "tanh_at_the_end",
            model_by(nn.Tanh()),
            "the model ends with a tanh, which keeps the logits in (-1, 1): the output layer is "
            "affine",
        ),
        Mistake(
            "relu",
            model_by(activation=nn.ReLU()),
            "the activation is ReLU: this network's is tanh, nn.Tanh()",
        ),
        Mistake(
            "sigmoid",
            model_by(activation=nn.Sigmoid()),
            "the activation is a sigmoid: this network's is tanh, nn.Tanh()",
        ),
        Mistake(
            "no_activation",
            model_by(activation=nn.Identity()),
            "there is no activation between the two layers, so they are one affine map: put "
            "nn.Tanh() there",
        ),
        Mistake(
            "transposed",
            model_by(turned=True),
            "the weights are transposed: nn.Linear(n_x, n_h) keeps a weight of shape (n_h, n_x), "
            "as W_h is, so copy it as it is",
        ),
        Mistake(
            "nothing_copied",
            model_by(weights=False, biases=False),
            "the model has random parameters of its own: copy the given ones into it, under "
            "torch.no_grad(): layer.weight.copy_(params['Wh'])",
        ),
        Mistake(
            "biases_not_copied",
            model_by(biases=False),
            "the biases are not the given ones: copy bh and by as well as the weights",
        ),
        Mistake(
            "weights_not_copied",
            model_by(weights=False),
            "the weights are not the given ones: copy Wh and Wy as well as the biases",
        ),
        Mistake(
            "no_biases",
            model_without_biases,
            "the layers have no biases: leave bias=False out, and copy bh and by into them",
        ),
        Mistake(
            "cast",
            model_by(dtype=torch.float32),
            "the model is float32 whatever the parameters are: make its layers with "
            "dtype=params['Wh'].dtype",
        ),
        Mistake(
            "frozen",
            frozen_model,
            "the model's parameters do not require gradients, so it could not learn: leave "
            "requires_grad as nn.Linear sets it",
        ),
    ),
    variants=(
        Variant("a class with parameters of its own", Written),
        Variant("a class of layers with new parameters", OfLayers),
        Variant("load_state_dict", model_from_state),
        Variant("float64, then converted", model_converted),
    ),
    hints=(
        "nn.Sequential(nn.Linear(...), nn.Tanh(), nn.Linear(...)) is the network; it ends with the "
        "logits.",
        "nn.Linear(n_in, n_out) has a weight of shape (n_out, n_in) and a bias (n_out,): the same "
        "layout as ours. It takes dtype=... too.",
        "with torch.no_grad(): model[0].weight.copy_(params['Wh']), and so on for the other three.",
    ),
)
