"""The network of Part 1 by hand: five functions, the loop that uses them, and any depth.

Notation: N examples, sizes n_x, n_h, n_y; batch first, so X is (N, n_x) and Y, one-hot, is
(N, n_y). `params` and `grads` are dicts with keys Wh (n_h, n_x), bh (n_h,), Wy (n_y, n_h) and
by (n_y,). Results have the dtype and the device of what comes in.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import torch
from torch import Tensor

Params = dict[str, Tensor]


def init_params(
    nx: int,
    nh: int,
    ny: int,
    *,
    dtype: torch.dtype | None = None,
    generator: torch.Generator | None = None,
) -> Params:
    """Draw the weights of a network with one hidden layer from N(0, 0.3^2); biases are zero.

    Raises ValueError for a size below 1.
    """
    _check_sizes((nx, nh, ny))
    device = generator.device if generator else None

    def normal(rows: int, columns: int) -> Tensor:
        return torch.randn(rows, columns, dtype=dtype, device=device, generator=generator)

    Wh, Wy = 0.3 * normal(nh, nx), 0.3 * normal(ny, nh)
    return {"Wh": Wh, "bh": Wh.new_zeros(nh), "Wy": Wy, "by": Wy.new_zeros(ny)}


def forward(params: Params, X: Tensor) -> tuple[Tensor, Params]:
    """Predict class probabilities yhat (N, n_y); also return what the backward pass needs.

    `outputs` has X, htilde (N, n_h), h (N, n_h), ytilde (N, n_y) and yhat. Raises ValueError
    when shapes or dtypes do not fit together.
    """
    Wh, bh, Wy, by = params["Wh"], params["bh"], params["Wy"], params["by"]
    _check_network(params, X)

    htilde = X @ Wh.T + bh
    h = torch.tanh(htilde)
    ytilde = h @ Wy.T + by
    yhat = softmax(ytilde)
    return yhat, {"X": X, "htilde": htilde, "h": h, "ytilde": ytilde, "yhat": yhat}


def loss_accuracy(yhat: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean cross-entropy (in nats) and the accuracy (in [0, 1]) of yhat against Y.

    Both are 0-dimensional. A probability of 0 counts as the smallest normal number of its dtype,
    which keeps the loss finite. Raises ValueError when the shapes differ.
    """
    _check_targets("yhat", yhat, Y)
    tiny = torch.finfo(yhat.dtype).tiny
    surprise = -torch.log(yhat.clamp(min=tiny))
    loss = (Y.to(yhat.dtype) * surprise).sum(dim=1).mean()
    return loss, _accuracy(yhat, Y)


def backward(params: Params, outputs: Params, Y: Tensor) -> Params:
    """Return the gradient of the mean cross-entropy for each parameter, in its shape.

    Raises ValueError when Y, the outputs and the parameters do not fit together. Source:
    D. Rumelhart, G. Hinton and R. Williams, Learning representations by back-propagating errors,
    Nature, 1986.
    """
    X, h, yhat = outputs["X"], outputs["h"], outputs["yhat"]
    _check_targets("yhat", yhat, Y)
    _check_outputs(params, outputs)

    delta_y = (yhat - Y.to(yhat.dtype)) / len(Y)  # dL/dytilde
    delta_h = (delta_y @ params["Wy"]) * (1 - h**2)  # dL/dhtilde
    return {
        "Wh": delta_h.T @ X,
        "bh": delta_h.sum(dim=0),
        "Wy": delta_y.T @ h,
        "by": delta_y.sum(dim=0),
    }


def sgd(params: Params, grads: Params, eta: float) -> Params:
    """Take one step of gradient descent, theta - eta * gradient, into a new dict.

    Raises ValueError when a gradient does not have its parameter's shape.
    """
    for name, value in params.items():
        if grads[name].shape != value.shape:
            raise ValueError(
                f"grads[{name!r}] has shape {tuple(grads[name].shape)} and params[{name!r}] "
                f"{tuple(value.shape)}: they must be the same"
            )
    return {name: params[name] - eta * grads[name] for name in params}


def train(
    params: Params,
    X: Tensor,
    Y: Tensor,
    eta: float,
    epochs: int,
    batch_size: int,
    generator: torch.Generator | None = None,
) -> tuple[Params, list[float]]:
    """Train by mini-batch gradient descent; return new parameters and each epoch's mean loss.

    An epoch draws one permutation of the N examples and takes consecutive slices of it (the last
    may be smaller). Its loss is the mean over the examples, each taken before the update that
    its batch makes. Raises ValueError when X and Y differ in length or there is nothing to learn.
    """
    check_batches(X, Y, batch_size)
    params = {name: value.clone() for name, value in params.items()}
    device = generator.device if generator else None
    losses = []
    for _ in range(epochs):
        order = torch.randperm(len(X), generator=generator, device=device).to(X.device)
        total = 0.0
        for batch in order.split(batch_size):
            yhat, outputs = forward(params, X[batch])
            loss, _ = loss_accuracy(yhat, Y[batch])
            params = sgd(params, backward(params, outputs, Y[batch]), eta)
            total += float(loss) * len(batch)
        losses.append(total / len(X))
    return params, losses


def softmax(logits: Tensor) -> Tensor:
    """Turn rows of logits (N, n_y) into rows of probabilities (N, n_y).

    Taking off the row's maximum first changes nothing, but keeps exp from overflowing.
    """
    exponentials = torch.exp(logits - logits.amax(dim=1, keepdim=True))
    return exponentials / exponentials.sum(dim=1, keepdim=True)


def log_softmax(logits: Tensor) -> Tensor:
    """Return the logarithm of softmax for rows of logits (N, n_y), by log-sum-exp.

    No exp overflows and no log sees 0, at logits of any finite size.
    """
    shifted = logits - logits.amax(dim=1, keepdim=True)
    return shifted - shifted.exp().sum(dim=1, keepdim=True).log()


def cross_entropy(logits: Tensor, Y: Tensor) -> Tensor:
    """Return the mean cross-entropy, in nats, of *logits* (N, n_y) against Y (N, n_y).

    Raises ValueError when the shapes differ.
    """
    _check_targets("logits", logits, Y)
    surprise = -log_softmax(logits)
    return (Y.to(logits.dtype) * surprise).sum(dim=1).mean()


#: name -> (the function; how to multiply d by its derivative where its *value* is h); in place.
ACTIVATIONS = {
    "tanh": (torch.tanh_, lambda d, h: d.addcmul_(d * h, h, value=-1)),  # d (1 - h^2)
    "relu": (torch.relu_, lambda d, h: d.mul_(h > 0)),
    "sigmoid": (torch.sigmoid_, lambda d, h: d.mul_(h).mul_(1 - h)),
}


class MLP:
    """A network of any depth by hand: dense layers, one activation between them, logits out.

    `sizes` lists the widths from input to output; layer l has params W{l} (sizes[l], sizes[l-1])
    and b{l} (sizes[l],), l from 1. Weights come from N(0, g / fan_in), g = 2 for relu, else 1;
    biases are zero. Raises ValueError for fewer than two sizes, a size below 1 or an unknown
    activation. Source of g = 2: K. He et al., Delving deep into rectifiers, ICCV, 2015.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "tanh",
        *,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        _check_sizes(sizes)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation is {activation!r}: use {', '.join(ACTIVATIONS)}")
        self.sizes, self.activation = tuple(sizes), activation
        self.depth = len(sizes) - 1
        device = generator.device if generator else None
        gain = 2 if activation == "relu" else 1
        self.params: Params = {}
        for layer, (n_in, n_out) in enumerate(pairwise(sizes), start=1):
            W = torch.randn(n_out, n_in, dtype=dtype, device=device, generator=generator)
            self.params[f"W{layer}"] = W * (gain / n_in) ** 0.5
            self.params[f"b{layer}"] = W.new_zeros(n_out)

    def to(self, device: torch.device | str) -> MLP:
        """Move the parameters to `device`; return the network."""
        self.params = {name: value.to(device) for name, value in self.params.items()}
        return self

    def forward(self, X: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return logits (N, n_y) and the layers' outputs [X, h1, ..., logits].

        Raises ValueError when X does not fit the first layer in columns or dtype.
        """
        _check_layer("X", X, "W1", self.params["W1"], "b1", self.params["b1"])
        activate, _ = ACTIVATIONS[self.activation]
        outputs = [X]
        for layer in range(1, self.depth + 1):
            W, b = self.params[f"W{layer}"], self.params[f"b{layer}"]
            h = torch.addmm(b, outputs[-1], W.T)
            outputs.append(activate(h) if layer < self.depth else h)
        return outputs[-1], outputs

    def loss_accuracy(self, logits: Tensor, Y: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean cross-entropy (nats) and the accuracy (in [0, 1]) of logits against Y.

        Raises ValueError when the shapes differ.
        """
        return cross_entropy(logits, Y), _accuracy(logits, Y)

    def backward(self, outputs: list[Tensor], Y: Tensor) -> Params:
        """Return the gradient of the mean cross-entropy for each parameter, in its shape.

        Raises ValueError when Y does not have the logits' shape, or outputs are not this network's.
        """
        _check_targets("logits", outputs[-1], Y)
        if tuple(h.shape[1] for h in outputs) != self.sizes:
            raise ValueError(
                f"outputs have the shapes {', '.join(str(tuple(h.shape)) for h in outputs)} and "
                f"the layers the sizes {self.sizes}: give the outputs that forward returned"
            )
        top = (softmax(outputs[-1]) - Y.to(outputs[-1].dtype)) / len(Y)
        grads: Params = {}
        for layer, delta, h in self._deltas(outputs, top):
            grads[f"W{layer}"] = delta.T @ h
            grads[f"b{layer}"] = delta.sum(dim=0)
        return {name: grads[name] for name in self.params}

    def step(self, X: Tensor, Y: Tensor, eta: float) -> Tensor:
        """Do one step of gradient descent in place; return the loss before it.

        The gradients never exist on their own: W - eta / N * delta^T h is one matrix product that
        adds to W. Raises ValueError when shapes or dtypes do not fit.
        """
        with torch.inference_mode():  # what autograd keeps for each operation takes time
            logits, outputs = self.forward(X)
            _check_targets("logits", logits, Y)
            Y = Y.to(logits.dtype)
            shifted = logits - logits.amax(dim=1, keepdim=True)
            exponentials = shifted.exp()
            total = exponentials.sum(dim=1, keepdim=True)
            losses = total.log().sub_((Y * shifted).sum(dim=1, keepdim=True))
            top = exponentials.div_(total).sub_(Y)  # yhat - y; the mean's 1 / N goes into the rate
            rate = eta / len(Y)
            for layer, delta, h in self._deltas(outputs, top):
                self.params[f"W{layer}"].addmm_(delta.T, h, alpha=-rate)
                self.params[f"b{layer}"].sub_(delta.sum(dim=0), alpha=rate)
        return (losses / len(Y)).sum()

    def _deltas(self, outputs: list[Tensor], delta: Tensor) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Go down from the logits, yielding (layer, dL/d(its affine output), its input)."""
        _, times_slope = ACTIVATIONS[self.activation]
        for layer in range(self.depth, 0, -1):
            h, above = outputs[layer - 1], delta
            if layer > 1:  # before the yield: the caller may update W
                delta = times_slope(above @ self.params[f"W{layer}"], h)
            yield layer, above, h


def _accuracy(scores: Tensor, Y: Tensor) -> Tensor:
    return (scores.argmax(dim=1) == Y.to(scores.dtype).argmax(dim=1)).to(scores.dtype).mean()


def _check_sizes(sizes: Sequence[int]) -> None:
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"layer sizes are {tuple(sizes)}: give at least two, each 1 or more")


def _check_targets(name: str, scores: Tensor, Y: Tensor) -> None:
    if scores.ndim != 2 or scores.shape != Y.shape:
        raise ValueError(
            f"{name} has shape {tuple(scores.shape)} and Y {tuple(Y.shape)}: "
            "they must be the same, one row for each example and one column for each class"
        )


def _check_network(params: Params, X: Tensor) -> None:
    Wh, bh, Wy, by = params["Wh"], params["bh"], params["Wy"], params["by"]
    _check_layer("X", X, "Wh", Wh, "bh", bh)
    _check_layer("h", bh.expand(len(X), len(bh)), "Wy", Wy, "by", by)


def _check_outputs(params: Params, outputs: Params) -> None:
    _check_network(params, outputs["X"])
    for name, above in (("h", "Wh"), ("yhat", "Wy")):
        got, W = outputs[name].shape, params[above].shape
        if got != (len(outputs["X"]), W[0]):
            raise ValueError(
                f"{name} has shape {tuple(got)} and {above} {tuple(W)}: "
                "give the outputs that forward returned for these parameters"
            )


def _check_layer(x: str, X: Tensor, w: str, W: Tensor, b: str, bias: Tensor) -> None:
    if X.ndim != 2 or W.ndim != 2 or X.shape[1] != W.shape[1]:
        raise ValueError(
            f"{x} has shape {tuple(X.shape)} and {w} {tuple(W.shape)}: "
            "both need two dimensions, with equally many columns"
        )
    if bias.shape != W.shape[:1]:
        raise ValueError(
            f"{b} has shape {tuple(bias.shape)} and {w} {tuple(W.shape)}: "
            f"{b} needs one number for each row of {w}"
        )
    if X.dtype != W.dtype:
        raise ValueError(f"{x} is {X.dtype} and {w} is {W.dtype}: convert one of them with .to()")


def check_batches(X: Tensor, Y: Tensor, batch_size: int) -> None:
    """Raise ValueError unless X and Y hold equally many examples, which can be cut into batches."""
    if len(X) != len(Y) or len(X) == 0:
        raise ValueError(
            f"X has shape {tuple(X.shape)} and Y {tuple(Y.shape)}: "
            "give both one row for each example, and at least one"
        )
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}: give at least 1 example a batch")
