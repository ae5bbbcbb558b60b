"""Networks with a Gaussian for each weight, trained on their variational free energy.

F = <L>_{w ~ Q} + KL(Q || P), where L is minus the log likelihood of all N examples: the bits that
the answers cost when the weights are known, plus the bits that the weights cost. F is an upper
bound of minus the log evidence under the prior P. Sources: Hinton and van Camp, Keeping neural
networks simple, 1993; Graves, Practical variational inference for neural networks, 2011.

The prior precisions are learned too, and what it would cost to describe them is not counted: with
many small groups F is too low. And units that are pruned early rarely come back: while the errors,
and with them the learned noise, are still large, few weights are worth their price. So warm up,
begin with small sigmas, and of several trainings take the one with the lowest F.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR

from mlcourse import training
from mlcourse.gaussian_weights import GaussianDense, Groups, noise
from mlcourse.mlp import check_batches

#: "gaussian" for real numbers with a noise to learn, "categorical" for class numbers.
Likelihood = Literal["gaussian", "categorical"]
#: How prior precisions move: set to their optimum before each update, by gradient, or not.
Precision = Literal["closed form", "gradient", "fixed"]


class FreeEnergy(NamedTuple):
    """The two terms of F for `examples` examples, in nats: what is read, and what is paid for it.

    For real numbers `error` comes from a density, so it may be negative, and it depends on their
    unit of measurement: only differences mean something.
    """

    error: float
    complexity: float
    examples: int

    @property
    def total(self) -> float:
        """F, in nats."""
        return self.error + self.complexity

    @property
    def bits_per_example(self) -> float:
        """F / N, in bits."""
        return self.total / (self.examples * math.log(2))


class VariationalMLP(nn.Module):
    """A fully connected network of `GaussianDense` layers.

    `sizes` are the numbers of inputs, of units in each hidden layer, and of outputs: no hidden
    layer makes a linear model. `groups` and `sigma` are those of each layer. `activation` must be
    0 at 0, as a unit without incoming weights must be silent. A "gaussian" likelihood has one
    standard deviation for all outputs, exp(log_noise), which is learned. Raises ValueError for
    fewer than two sizes, other likelihoods or such an activation, and as `GaussianDense` does.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        likelihood: Likelihood,
        *,
        groups: Groups = "outgoing",
        sigma: float = 0.05,
        activation: Callable[[Tensor], Tensor] = torch.tanh,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        _check_network(sizes, likelihood, activation)
        self.likelihood: Likelihood = likelihood
        self.activation = activation
        self.layers = nn.ModuleList(
            GaussianDense(*pair, groups=groups, sigma=sigma, dtype=dtype, generator=generator)
            for pair in pairwise(sizes)
        )
        self.log_noise = nn.Parameter(
            torch.zeros((), dtype=dtype), requires_grad=likelihood == "gaussian"
        )

    @property
    def dense(self) -> list[GaussianDense]:
        """The layers, from the input to the output."""
        return [layer for layer in self.layers if isinstance(layer, GaussianDense)]

    @property
    def hidden(self) -> list[int]:
        """The number of units in each hidden layer."""
        return [len(layer.mean) for layer in self.dense[:-1]]

    def with_layers(self, layers: Sequence[GaussianDense]) -> VariationalMLP:
        """Return a copy of this network with other layers."""
        other = copy.deepcopy(self)
        other.layers = nn.ModuleList(layers)
        return other

    def forward(self, X: Tensor) -> Tensor:
        """Return the outputs (N, n_y), means or logits, of the mean weights for X (N, n_x)."""
        *hidden, last = self.dense
        for layer in hidden:
            X = self.activation(layer(X))
        output: Tensor = last(X)
        return output

    def errors(
        self, X: Tensor, y: Tensor, generator: torch.Generator | None = None, local: bool = True
    ) -> Tensor:
        """Return minus the log likelihood (N,) of each answer, in nats, for random weights.

        Its mean over draws is what F asks for. `y` holds real numbers (N, n_y) or class numbers
        (N,). With local draws and a Gaussian likelihood the last layer is not drawn: its part of
        the mean is exact, so a linear model's errors are not random at all. `local` is as in
        `GaussianDense.draw`. Raises ValueError when y does not fit the likelihood.
        """
        *hidden, last = self.dense
        for layer in hidden:
            X = self.activation(layer.draw(X, generator, local))
        if local:
            mean, variance = last.moments(X)
        else:
            mean = last.draw(X, generator, local=False)
            variance = torch.zeros_like(mean)
        _check_answers(self.likelihood, y, mean)
        if self.likelihood == "gaussian":
            return gaussian_errors(mean, variance, y, self.log_noise)
        logits = mean + variance.sqrt() * noise(mean, generator) if local else mean
        return F.cross_entropy(logits, y, reduction="none")

    def kl(self) -> Tensor:
        """Return KL(Q || P) of all weights, (), in nats."""
        return torch.stack([layer.kl().sum() for layer in self.dense]).sum()

    def update_precision_(self) -> None:
        """Set every prior precision to its optimum for the present means and sigmas."""
        for layer in self.dense:
            layer.update_precision_()


def gaussian_errors(mean: Tensor, variance: Tensor, y: Tensor, log_noise: Tensor) -> Tensor:
    """Return the mean of -log N(y; f, noise^2) over f ~ N(mean, variance), summed over outputs.

    mean, variance and y are (N, n_y), the result (N,), in nats: the variance of f adds
    variance / (2 noise^2) to the error of the mean.
    """
    square = ((y - mean).square() + variance) * (-2 * log_noise).exp()
    return (square / 2 + log_noise + math.log(2 * math.pi) / 2).sum(1)


@torch.no_grad()
def free_energy(
    model: VariationalMLP,
    X: Tensor,
    y: Tensor,
    *,
    samples: int = 100,
    generator: torch.Generator | None = None,
) -> FreeEnergy:
    """Return F on some examples, its error the mean over `samples` draws of all outputs.

    On examples that were not trained on, `error` says how well Q predicts. Raises ValueError when
    samples is below 1 and as `VariationalMLP.errors` does.
    """
    if samples < 1:
        raise ValueError(f"samples is {samples}: give 1 or more draws")
    draws = [float(model.errors(X, y, generator).double().sum()) for _ in range(samples)]
    return FreeEnergy(sum(draws) / samples, float(model.kl()), len(X))


def train(
    model: VariationalMLP,
    X: Tensor,
    y: Tensor,
    *,
    epochs: int,
    batch_size: int,
    lr: float = 0.01,
    precision: Precision = "closed form",
    warmup: int = 0,
    local: bool = True,
    generator: torch.Generator | None = None,
) -> training.History:
    """Minimise F with Adam on mini-batches and return what happened in each epoch.

    The loss of a batch of B examples is the mean of their errors plus KL / N: N times it is an
    unbiased estimate of F. The rate falls from lr to 0 along half a wave of the cosine, so that
    the noise of the draws dies out. During the first `warmup` epochs KL counts less, by a factor
    that rises in a straight line to 1. The history has, as means over the epoch while the weights
    move, `train_loss` (F / N in nats, with the warm-up's factor), `error`, `complexity` and
    `free_energy` (nats for all N, without it), and `bits`, F / N in bits. Raises ValueError for
    another `precision`, a warm-up below 0, bad batches, and as `VariationalMLP.errors` does.
    """
    if warmup < 0:
        raise ValueError(f"warmup is {warmup}: give a number of epochs, 0 or more")
    if precision not in get_args(Precision):
        raise ValueError(
            f"precision is {precision!r}: choose one of {', '.join(get_args(Precision))}"
        )
    check_batches(X, y, batch_size)
    updates = math.ceil(len(X) / batch_size)
    descent = _Descent(model, len(X), precision, lr, epochs * updates, warmup * updates)
    return training.fit(
        lambda X, y: descent.step(model.errors(X, y, generator, local)),
        X,
        y,
        epochs=epochs,
        batch_size=batch_size,
        generator=generator,
        evaluate=descent.terms,
        progress=False,
    )


class _Descent:
    """Updates of a network on its free energy, and the sums of its two terms since last asked."""

    def __init__(
        self, model: VariationalMLP, n: int, precision: str, lr: float, updates: int, warmup: int
    ) -> None:
        self.model, self.n, self.warmup = model, n, warmup
        self.closed_form = precision == "closed form"
        learned = [
            parameter
            for name, parameter in model.named_parameters()
            if precision == "gradient" or not name.endswith("log_precision")
        ]
        self.optimizer = torch.optim.Adam(learned, lr=lr)
        self.schedule = CosineAnnealingLR(self.optimizer, max(updates, 1))
        self.updates = 0
        self.error = self.complexity = 0.0

    def step(self, errors: Tensor) -> Tensor:
        """Do one update for the errors (B,) of a batch and return its mean loss before it."""
        if self.closed_form:
            self.model.update_precision_()
        kl = self.model.kl()
        self.updates += 1
        share = min(1.0, self.updates / self.warmup) if self.warmup else 1.0
        loss = errors.mean() + share * kl / self.n
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        self.error += float(errors.detach().double().sum())
        self.complexity += float(kl.detach()) * len(errors) / self.n
        return loss.detach()

    def terms(self) -> dict[str, float]:
        """The terms of F, means over the examples since the last call."""
        seen = FreeEnergy(self.error, self.complexity, self.n)
        self.error = self.complexity = 0.0
        return {
            "error": seen.error,
            "complexity": seen.complexity,
            "free_energy": seen.total,
            "bits": seen.bits_per_example,
        }


def _check_network(
    sizes: Sequence[int], likelihood: str, activation: Callable[[Tensor], Tensor]
) -> None:
    if len(sizes) < 2:
        raise ValueError(
            f"sizes is {list(sizes)}: give the number of inputs, of each hidden layer's units, "
            "and of outputs"
        )
    if likelihood not in get_args(Likelihood):
        raise ValueError(
            f"likelihood is {likelihood!r}: choose one of {', '.join(get_args(Likelihood))}"
        )
    at_zero = activation(torch.zeros(1)).item()
    if at_zero != 0:
        raise ValueError(
            f"the activation is {at_zero:g} at 0: choose one that is 0 there, such as torch.tanh"
        )


def _check_answers(likelihood: str, y: Tensor, output: Tensor) -> None:
    if likelihood == "gaussian" and y.shape != output.shape:
        raise ValueError(
            f"y has shape {tuple(y.shape)} and the output {tuple(output.shape)}: "
            "give one number for each output"
        )
    if likelihood == "categorical" and (y.ndim != 1 or y.is_floating_point()):
        raise ValueError(
            f"y has shape {tuple(y.shape)} and dtype {y.dtype}: give class numbers, (N,)"
        )
