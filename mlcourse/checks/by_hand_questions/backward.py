"""`backward`: the gradients, by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse import mlp
from mlcourse.checks.by_hand_questions.shared import (
    KEYS,
    NETWORKS,
    NO_AUTOGRAD,
    ONE_DTYPE,
    UPDATED,
    Params,
    draw_labels,
    draw_params,
    normal,
    pick,
)
from mlcourse.checks.declare import Mistake, Question, Variant


def backward_cases(g: Generator) -> list[tuple[Params, Params, Tensor]]:
    cases = []
    for N, nx, nh, ny, dtype in NETWORKS:
        params = draw_params(nx, nh, ny, g, dtype)
        outputs = mlp.forward(params, normal(N, nx, generator=g, dtype=dtype))[1]
        cases.append((params, outputs, draw_labels(N, ny, g, dtype)))
    return cases


def use_backward(answer: Callable, params: Params, outputs: Params, Y: Tensor) -> Any:
    return pick(answer(params, outputs, Y), KEYS)


def backward_by(
    delta: Callable[[Params, Tensor], Tensor] = lambda outputs, Y: (outputs["yhat"] - Y) / len(Y),
    weights: Callable[[Params, Tensor], Tensor] = lambda params, dWy: params["Wy"],
    back: Callable[[Tensor, Tensor], Tensor] = lambda delta_y, Wy: delta_y @ Wy,
    slope: Callable[[Params], Any] = lambda outputs: 1 - outputs["h"] ** 2,
    finish: Callable[[Params], Params] = dict,
    top: str = "h",
) -> Callable[[Params, Params, Tensor], Params]:
    """A backward pass with one of its pieces exchanged."""

    def backward(params: Params, outputs: Params, Y: Tensor) -> Params:
        delta_y = delta(outputs, Y)
        dWy = delta_y.T @ outputs[top]
        delta_h = back(delta_y, weights(params, dWy)) * slope(outputs)
        dWh = delta_h.T @ outputs["X"]
        return finish({"Wh": dWh, "bh": delta_h.sum(0), "Wy": dWy, "by": delta_y.sum(0)})

    return backward


def backward_scaled(scales: dict[str, Callable[[int], float]]) -> Callable:
    """Right gradients, each multiplied by its own function of N."""

    def backward(params: Params, outputs: Params, Y: Tensor) -> Params:
        grads = mlp.backward(params, outputs, Y)
        return {key: value * scales[key](len(Y)) for key, value in grads.items()}

    return backward


def backward_with_biases(total: Callable[[Tensor], Tensor]) -> Callable:
    """Right gradients for the weights; the biases' deltas are summed by `total`."""

    def backward(params: Params, outputs: Params, Y: Tensor) -> Params:
        delta_y = (outputs["yhat"] - Y) / len(Y)
        delta_h = delta_y @ params["Wy"] * (1 - outputs["h"] ** 2)
        grads = mlp.backward(params, outputs, Y)
        return {**grads, "bh": total(delta_h), "by": total(delta_y)}

    return backward


def backward_with_matrix_product(params: Params, outputs: Params, Y: Tensor) -> Params:
    delta_y = (outputs["yhat"] - Y) / len(Y)
    delta_h = delta_y @ params["Wy"] @ (1 - outputs["h"] ** 2).T
    grads = mlp.backward(params, outputs, Y)
    return {**grads, "Wh": delta_h.T @ outputs["X"], "bh": delta_h.sum(dim=0)}


def updated(eta: float) -> Callable[[Params, Tensor], Tensor]:
    return lambda params, dWy: params["Wy"] - eta * dWy


def backward_in_place(eta: float) -> Callable:
    def backward(params: Params, outputs: Params, Y: Tensor) -> Params:
        grads = mlp.backward(params, outputs, Y)
        params["Wy"] -= eta * grads["Wy"]
        return {**mlp.backward(params, outputs, Y), "Wy": grads["Wy"], "by": grads["by"]}

    return backward


def backward_unsaturated(params: Params, outputs: Params, Y: Tensor) -> Params:
    """Gradient with softmax's slope multiplied in again."""
    yhat = outputs["yhat"]
    return backward_by(delta=lambda o, Y: (yhat - Y) * yhat * (1 - yhat) / len(Y))(
        params, outputs, Y
    )


def backward_in_loops(params: Params, outputs: Params, Y: Tensor) -> Params:
    grads = {key: torch.zeros_like(value) for key, value in params.items()}
    N = Y.shape[0]
    for n in range(N):
        x, h, yhat = (outputs[key][n] for key in ("X", "h", "yhat"))
        delta_y = yhat - Y[n]
        delta_h = torch.zeros_like(h)
        for i in range(len(h)):
            delta_h[i] = (delta_y * params["Wy"][:, i]).sum() * (1 - h[i] * h[i])
        grads["Wy"] += torch.outer(delta_y, h) / N
        grads["by"] += delta_y / N
        grads["Wh"] += torch.outer(delta_h, x) / N
        grads["bh"] += delta_h / N
    return grads


def backward_by_einsum(params: Params, outputs: Params, Y: Tensor) -> Params:
    delta_y = outputs["yhat"] - Y
    slope = 1 / torch.cosh(outputs["htilde"]).square()
    delta_h = torch.einsum("nk,kh,nh->nh", delta_y, params["Wy"], slope)
    N = Y.size(0)
    return {
        "by": torch.einsum("nk->k", delta_y) / N,
        "Wy": torch.einsum("nk,nh->kh", delta_y, outputs["h"]) / N,
        "bh": torch.einsum("nh->h", delta_h) / N,
        "Wh": torch.einsum("nh,ni->hi", delta_h, outputs["X"]) / N,
    }


def backward_in_numpy(params: Params, outputs: Params, Y: Tensor) -> Params:

    x, h, yhat = (np.asarray(outputs[key]) for key in ("X", "h", "yhat"))
    delta_y = (yhat - np.asarray(Y)) / len(yhat)
    delta_h = np.dot(delta_y, np.asarray(params["Wy"])) * (1 - np.square(h))
    grads = {"Wh": delta_h.T @ x, "bh": delta_h.sum(0), "Wy": delta_y.T @ h, "by": delta_y.sum(0)}
    return {key: torch.as_tensor(value) for key, value in grads.items()}


def backward_by_means(params: Params, outputs: Params, Y: Tensor) -> Params:
    delta_y = outputs["yhat"] - Y
    delta_h = (params["Wy"].T @ delta_y.T).T * (1 - torch.tanh(outputs["htilde"]).pow(2))
    return {
        "Wh": (delta_h[:, :, None] * outputs["X"][:, None, :]).mean(dim=0),
        "bh": delta_h.mean(dim=0),
        "Wy": torch.bmm(delta_y[:, :, None], outputs["h"][:, None, :]).mean(dim=0),
        "by": delta_y.mean(0),
    }


def identity(N: int) -> float:
    return 1.0


def by_N(N: int) -> float:
    return float(N)


#: backward has no learning rate, so whoever updates inside it makes one up: likely one of these.
LEARNING_RATES = (1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.01, 0.001)

SUMMED = "the loss is a mean over the batch, so divide by N (once, in delta_y)"

backward = Question(
    name="backward",
    title="The backward pass",
    points=4,
    reference=mlp.backward,
    cases=backward_cases,
    use=use_backward,
    parts=("grads",),
    forbidden=(NO_AUTOGRAD,),
    mistakes=(
        Mistake(
            "summed",
            backward_by(delta=lambda outputs, Y: outputs["yhat"] - Y),
            "your gradient is N times ours, that of the summed loss: " + SUMMED,
        ),
        Mistake(
            "divided_twice",
            backward_by(delta=lambda outputs, Y: (outputs["yhat"] - Y) / len(Y) ** 2),
            "your gradient is divided by N twice: once is enough, and delta_y carries it to every "
            "other gradient",
        ),
        Mistake(
            "divided_by_classes",
            backward_by(delta=lambda outputs, Y: (outputs["yhat"] - Y) / Y.numel()),
            "your gradient is divided by N n_y: the mean is over the N examples alone",
        ),
        Mistake(
            "hidden_summed",
            backward_scaled({"Wh": by_N, "bh": by_N, "Wy": identity, "by": identity}),
            "the hidden layer's gradients are N times ours: divide delta_y by N before it goes "
            "back, so that delta_h has the division too",
        ),
        Mistake(
            "output_summed",
            backward_scaled({"Wh": identity, "bh": identity, "Wy": by_N, "by": by_N}),
            "the output layer's gradients are N times ours: " + SUMMED,
        ),
        Mistake(
            "biases_summed",
            backward_scaled({"Wh": identity, "bh": by_N, "Wy": identity, "by": by_N}),
            "the biases' gradients are N times ours: " + SUMMED,
        ),
        Mistake(
            "bias_mean_twice",
            backward_scaled(
                {"Wh": identity, "bh": lambda N: 1 / N, "Wy": identity, "by": lambda N: 1 / N}
            ),
            "the biases' gradients are divided by N twice: when delta_y is divided already, sum "
            "over the batch, do not take the mean",
        ),
        Mistake(
            "bias_not_summed",
            backward_with_biases(lambda delta: delta),
            "a bias gradient has one row for each example: sum it over the batch, .sum(dim=0), "
            "because every example uses the same bias",
        ),
        Mistake(
            "bias_summed_over_neurons",
            backward_with_biases(lambda delta: delta.sum(dim=1)),
            "a bias gradient is summed over the neurons: sum it over the batch, .sum(dim=0), and "
            "keep one number for each neuron",
        ),
        Mistake(
            "bias_summed_to_one",
            backward_with_biases(torch.sum),
            "a bias gradient is summed to a single number: sum it over the batch alone, "
            ".sum(dim=0)",
        ),
        Mistake(
            "bias_row",
            backward_with_biases(lambda delta: delta.sum(dim=0, keepdim=True)),
            "a bias gradient has two dimensions: it has the shape of its bias, so leave keepdim "
            "out",
        ),
        Mistake(
            "slope_without_square",
            backward_by(slope=lambda outputs: 1 - outputs["h"]),
            "tanh' is 1 - h^2, not 1 - h",
        ),
        Mistake(
            "slope_at_h",
            backward_by(slope=lambda outputs: 1 - torch.tanh(outputs["h"]) ** 2),
            "the derivative of tanh is taken at h: take it at h~, which is 1 - h^2 since h is "
            "already tanh(h~)",
        ),
        Mistake(
            "slope_of_htilde",
            backward_by(slope=lambda outputs: 1 - outputs["htilde"] ** 2),
            "you use 1 - h~^2: tanh' at h~ is 1 - tanh(h~)^2 = 1 - h^2",
        ),
        Mistake(
            "no_slope",
            backward_by(slope=lambda outputs: 1),
            "delta_h is dL/dh, not dL/dh~: multiply delta_y W_y by tanh' = 1 - h^2, entry by entry",
        ),
        Mistake(
            "matrix_product",
            backward_with_matrix_product,
            "delta_y W_y and 1 - h^2 are multiplied as matrices: they meet entry by entry, with *",
        ),
        Mistake(
            "slope_of_sigmoid",
            backward_by(slope=lambda outputs: outputs["h"] * (1 - outputs["h"])),
            "h (1 - h) is the derivative of the sigmoid: tanh' is 1 - h^2",
        ),
        Mistake(
            "slope_of_relu",
            backward_by(slope=lambda outputs: outputs["h"] > 0),
            "this is the derivative of ReLU: tanh' is 1 - h^2",
        ),
        Mistake(
            "slope_of_softmax",
            backward_unsaturated,
            "softmax's derivative is counted twice: yhat - y is the whole gradient with respect to "
            "the logits",
        ),
        Mistake(
            "transposed_Wy",
            backward_by(back=lambda delta_y, Wy: delta_y @ Wy.T),
            "W_y is transposed: neuron i gets sum_j delta_y,j W_y,ji, which is delta_y @ Wy",
        ),
        Mistake(
            "sign",
            backward_by(delta=lambda outputs, Y: (Y - outputs["yhat"]) / len(Y)),
            "all gradients have the wrong sign: the gradient at the logits is yhat - y, not "
            "y - yhat",
        ),
        Mistake(
            "transposed_gradients",
            backward_by(
                finish=lambda grads: {k: v.T if v.dim() == 2 else v for k, v in grads.items()}
            ),
            "the weights' gradients are transposed: each has the shape of its matrix, so write "
            "delta_h.T @ X and delta_y.T @ h",
        ),
        Mistake(
            "htilde_for_h",
            backward_by(top="htilde"),
            "dL/dW_y uses h~: the output layer's input is h, so write delta_y.T @ h",
        ),
        Mistake(
            "loss_gradient_at_yhat",
            backward_by(delta=lambda outputs, Y: -Y / outputs["yhat"] / len(Y)),
            "you send back dL/dyhat = -y / yhat: go through softmax first, which makes it yhat - y",
        ),
        *(
            Mistake(f"updated_Wy_{eta:g}", backward_by(weights=updated(eta)), UPDATED)
            for eta in LEARNING_RATES
        ),
        *(
            Mistake(f"updated_Wy_in_place_{eta:g}", backward_in_place(eta), UPDATED)
            for eta in LEARNING_RATES
        ),
        Mistake(
            "cast",
            backward_by(finish=lambda grads: {key: value.float() for key, value in grads.items()}),
            ONE_DTYPE,
        ),
    ),
    variants=(
        Variant("example by example, in loops", backward_in_loops),
        Variant("einsum, slope by cosh", backward_by_einsum),
        Variant("a detour by NumPy", backward_in_numpy),
        Variant("means of outer products", backward_by_means),
    ),
    hints=(
        "Begin at the end: for softmax and cross-entropy the gradient at the logits is "
        "delta_y = (yhat - Y) / N. It has the shape (N, n_y).",
        "Output layer: dL/dW_y must have the shape (n_y, n_h); which product of delta_y (N, n_y) "
        "and h (N, n_h) has it? The bias gets delta_y summed over the batch.",
        "Hidden layer: delta_h = (delta_y @ Wy) * (1 - h**2), with * entry by entry. Then do with "
        "delta_h and X what you did with delta_y and h.",
    ),
)
