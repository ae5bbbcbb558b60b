"""`forward`: the forward pass, also with logits of 1000."""

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
    ONE_DTYPE,
    Params,
    draw_params,
    normal,
    pick,
)
from mlcourse.checks.declare import Mistake, Question, Variant

OUTPUTS = ("X", "htilde", "h", "ytilde", "yhat")


def forward_cases(g: Generator) -> list[tuple[Params, Tensor]]:
    """Ordinary networks, then logits of about 1000 that differ much from one row to the next."""
    cases = []
    for N, nx, nh, ny, dtype in NETWORKS:
        params = draw_params(nx, nh, ny, g, dtype)
        cases.append((params, normal(N, nx, generator=g, dtype=dtype)))
    dtype = torch.float64  # at such sizes float32 has too few digits left to compare
    for N, nx, nh, ny, _ in NETWORKS[:2]:
        params = draw_params(nx, nh, ny, g, dtype)
        X = normal(N, nx, generator=g, dtype=dtype)
        top = mlp.forward(params, X)[1]["ytilde"].abs().max()
        big = {"Wy": params["Wy"] * 1000 / top, "by": params["by"] * 1000 / top}
        offset = torch.linspace(-1000, 1000, N, dtype=dtype)
        lifted = torch.cat([X, offset[:, None]], dim=1)
        # One more hidden neuron, +-1 by the sign of the new input, lifts or lowers whole rows.
        Wh = torch.zeros(nh + 1, nx + 1, dtype=dtype)
        Wh[:nh, :nx], Wh[nh, nx] = params["Wh"], 1.0
        Wy = torch.cat([big["Wy"], torch.full((ny, 1), 1000.0, dtype=dtype)], dim=1)
        bh = torch.cat([params["bh"], torch.zeros(1, dtype=dtype)])
        cases.append(({"Wh": Wh, "bh": bh, "Wy": Wy, "by": big["by"]}, lifted))
    return cases


def use_forward(answer: Callable, params: Params, X: Tensor) -> Any:
    result = answer(params, X)
    if isinstance(result, (tuple, list)) and len(result) == 2:
        return result[0], pick(result[1], OUTPUTS)
    return result


def affine(X: Tensor, W: Tensor, b: Tensor) -> Tensor:
    return X @ W.T + b


def forward_by(
    hidden: Callable = affine,
    activation: Callable = torch.tanh,
    output: Callable = affine,
    normalise: Callable = mlp.softmax,
    kept: Callable[[dict[str, Tensor]], dict[str, Tensor]] = dict,
    cast: Callable = lambda tensor: tensor,
) -> Callable[[Params, Tensor], tuple[Tensor, Params]]:
    """A forward pass with one of its pieces exchanged."""

    def forward(params: Params, X: Tensor) -> tuple[Tensor, Params]:
        params = {key: cast(value) for key, value in params.items()}
        htilde = hidden(cast(X), params["Wh"], params["bh"])
        h = activation(htilde)
        ytilde = output(h, params["Wy"], params["by"])
        yhat = normalise(ytilde)
        outputs = {"X": cast(X), "htilde": htilde, "h": h, "ytilde": ytilde, "yhat": yhat}
        return yhat, kept(outputs)

    return forward


def without_bias(X: Tensor, W: Tensor, b: Tensor) -> Tensor:
    return X @ W.T


def bias_subtracted(X: Tensor, W: Tensor, b: Tensor) -> Tensor:
    return X @ W.T - b


def not_turned(X: Tensor, W: Tensor, b: Tensor) -> Tensor:
    return X @ W + b


def unshifted_softmax(logits: Tensor) -> Tensor:
    exponentials = torch.exp(logits)
    return exponentials / exponentials.sum(1, keepdim=True)


def batch_shifted_softmax(logits: Tensor) -> Tensor:
    exponentials = torch.exp(logits - logits.max())
    return exponentials / exponentials.sum(1, keepdim=True)


def forward_in_loops(params: Params, X: Tensor) -> tuple[Tensor, Params]:
    rows = []
    for x in X:
        htilde = torch.stack([w @ x for w in params["Wh"]]) + params["bh"]
        h = htilde.tanh()
        ytilde = torch.stack([w @ h for w in params["Wy"]]) + params["by"]
        rows.append((htilde, h, ytilde, torch.softmax(ytilde, dim=0)))
    htilde, h, ytilde, yhat = (torch.stack(column) for column in zip(*rows, strict=True))
    return yhat, {"X": X, "htilde": htilde, "h": h, "ytilde": ytilde, "yhat": yhat}


def forward_by_einsum(params: Params, X: Tensor) -> list:
    htilde = torch.einsum("ni,hi->nh", X, params["Wh"]) + params["bh"]
    h = 1 - 2 / (torch.exp(2 * htilde) + 1)
    ytilde = torch.einsum("nh,kh->nk", h, params["Wy"]) + params["by"]
    yhat = torch.exp(ytilde - ytilde.logsumexp(1, keepdim=True))
    outputs = {"yhat": yhat, "ytilde": ytilde, "h": h, "htilde": htilde, "X": X, "N": len(X)}
    return [yhat, outputs]


def forward_in_numpy(params: Params, X: Tensor) -> tuple[Any, Any]:

    Wh, bh, Wy, by, x = (t.detach().numpy() for t in (*[params[key] for key in KEYS], X))
    htilde = x @ Wh.T + bh
    h = np.tanh(htilde)
    ytilde = h @ Wy.T + by
    exponentials = np.exp(ytilde - ytilde.max(axis=1, keepdims=True))
    yhat = exponentials / exponentials.sum(axis=1, keepdims=True)
    arrays = {"htilde": htilde, "h": h, "ytilde": ytilde, "yhat": yhat}
    outputs = {key: torch.from_numpy(array) for key, array in arrays.items()}
    return outputs["yhat"], {"X": X, **outputs}


def column_forward(params: Params, X: Tensor) -> tuple[Tensor, Params]:
    htilde = params["Wh"] @ X.T + params["bh"][:, None]
    h = torch.tanh(htilde)
    ytilde = params["Wy"] @ h + params["by"][:, None]
    yhat = torch.softmax(ytilde, dim=0)
    return yhat.T, {"X": X, "htilde": htilde.T, "h": h.T, "ytilde": ytilde.T, "yhat": yhat.T}


BIAS = "a bias is missing: h~ = X W_h^T + b_h and y~ = h W_y^T + b_y"
W_ROWS = (
    "a weight matrix is used transposed: a row of W_h or W_y is a neuron, so write X @ Wh.T and "
    "h @ Wy.T"
)

forward = Question(
    name="forward",
    title="The forward pass",
    points=3,
    reference=mlp.forward,
    cases=forward_cases,
    use=use_forward,
    parts=("yhat", "outputs"),
    mistakes=(
        Mistake("transposed_W", forward_by(hidden=not_turned, output=not_turned), W_ROWS),
        Mistake("transposed_Wy", forward_by(output=not_turned), W_ROWS),
        Mistake("no_bias", forward_by(hidden=without_bias, output=without_bias), BIAS),
        Mistake("no_bh", forward_by(hidden=without_bias), BIAS),
        Mistake("no_by", forward_by(output=without_bias), BIAS),
        Mistake(
            "bias_subtracted",
            forward_by(hidden=bias_subtracted, output=bias_subtracted),
            "the biases are subtracted: add them",
        ),
        Mistake(
            "no_max_shift",
            forward_by(normalise=unshifted_softmax),
            "your softmax gives nan for logits of about 1000, where exp overflows: subtract each "
            "row's maximum first, which changes nothing else",
        ),
        Mistake(
            "max_of_batch",
            forward_by(normalise=batch_shifted_softmax),
            "you subtract one maximum for the whole batch, so a row of much smaller logits "
            "becomes 0/0 = nan: subtract each row's own, .amax(dim=1, keepdim=True)",
        ),
        Mistake(
            "wrong_axis",
            forward_by(normalise=lambda logits: torch.softmax(logits, dim=0)),
            "your softmax normalises over the examples: each row should sum to 1, so use dim=1",
        ),
        Mistake(
            "softmax_of_everything",
            forward_by(normalise=lambda z: torch.softmax(z.flatten(), dim=0).reshape(z.shape)),
            "your softmax divides by the sum over the whole batch: each row should sum to 1, so "
            "sum over dim=1 with keepdim=True",
        ),
        Mistake(
            "softmax_twice",
            forward_by(normalise=lambda logits: mlp.softmax(mlp.softmax(logits))),
            "softmax is applied twice, which makes every prediction timid: apply it once, to the "
            "logits",
        ),
        Mistake(
            "no_softmax",
            forward_by(normalise=lambda logits: logits),
            "yhat holds the logits: the rows should be probabilities, so apply softmax to ytilde",
        ),
        Mistake(
            "log_softmax",
            forward_by(normalise=mlp.log_softmax),
            "yhat holds log-probabilities: return softmax itself, the logarithm comes in the loss",
        ),
        Mistake(
            "sigmoid_outputs",
            forward_by(normalise=torch.sigmoid),
            "yhat is a sigmoid of each logit, so a row does not sum to 1: use softmax",
        ),
        Mistake(
            "not_normalised",
            forward_by(normalise=lambda z: torch.exp(z - z.amax(dim=1, keepdim=True))),
            "the rows of yhat do not sum to 1: divide the exponentials by their sum over each row",
        ),
        Mistake(
            "no_activation",
            forward_by(activation=lambda htilde: htilde),
            "h equals htilde: without tanh the two layers are only one affine map",
        ),
        Mistake(
            "sigmoid",
            forward_by(activation=torch.sigmoid),
            "h comes from a sigmoid: the activation of this network is tanh",
        ),
        Mistake(
            "relu",
            forward_by(activation=torch.relu),
            "h comes from a ReLU: the activation of this network is tanh",
        ),
        Mistake(
            "tanh_on_output",
            forward_by(output=lambda X, W, b: torch.tanh(affine(X, W, b))),
            "tanh is applied to the logits too, so they stay in (-1, 1): ytilde is affine in h",
        ),
        Mistake(
            "htilde_overwritten",
            forward_by(kept=lambda outputs: {**outputs, "htilde": outputs["h"]}),
            "outputs['htilde'] holds h: keep h~, the value before tanh",
        ),
        Mistake(
            "ytilde_overwritten",
            forward_by(kept=lambda outputs: {**outputs, "ytilde": outputs["yhat"]}),
            "outputs['ytilde'] holds yhat: keep y~, the logits before softmax",
        ),
        Mistake("cast", forward_by(cast=lambda tensor: tensor.float()), ONE_DTYPE),
        Mistake(
            "transposed_outputs",
            lambda params, X: tuple_of_transposes(params, X),
            "the results have one column for each example: keep the batch first, so that yhat is "
            "(N, n_y) and h is (N, n_h)",
        ),
    ),
    variants=(
        Variant("example by example, in loops", forward_in_loops),
        Variant("einsum, tanh by exp, log-sum-exp, a list", forward_by_einsum),
        Variant("a detour by NumPy", forward_in_numpy),
        Variant("columns inside, torch.softmax", column_forward),
        Variant(
            "computes in float64",
            forward_by(cast=lambda tensor: tensor.double()),
        ),
    ),
    hints=(
        "Write the shapes down first: X is (N, n_x) and W_h is (n_h, n_x). Which product gives "
        "(N, n_h)?",
        "h~ = X W_h^T + b_h, h = tanh(h~), y~ = h W_y^T + b_y; W.T is the transpose in torch.",
        "softmax is exp(y~) divided by its sum over each row, .sum(dim=1, keepdim=True); take each "
        "row's maximum off y~ before exp, .amax(dim=1, keepdim=True).",
    ),
)


def tuple_of_transposes(params: Params, X: Tensor) -> tuple[Tensor, Params]:
    yhat, outputs = mlp.forward(params, X)
    return yhat.T, {key: value if key == "X" else value.T for key, value in outputs.items()}
