"""Learning rates as functions of the step, and a test that finds the range to take them from.

A schedule is a plain function of a number t >= 0, whole or not, that returns the rate. t counts
what you like, updates or epochs, as long as its other settings count the same. (`train_model`
steps a scheduler after each batch, so there t counts updates.) For an optimizer,
`LambdaLR(optimizer, exponential(1.0, k))` multiplies the optimizer's own rate by the schedule:
leave one of the two at 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from itertools import chain, pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlcourse import checkpoints
from mlcourse.training import Batches

Schedule = Callable[[float], float]


def constant(lr0: float) -> Schedule:
    """lr0 at every step. Raises ValueError when lr0 is not positive."""
    _check_positive(lr0=lr0)
    return lambda t: lr0


def time_based(lr0: float, k: float) -> Schedule:
    """lr0 / (1 + k t): half of lr0 at t = 1/k, a third at 2/k.

    The rates sum to infinity and their squares do not, as in Robbins and Monro, A stochastic
    approximation method, 1951. Raises ValueError when lr0 is not positive or k is negative.
    """
    _check_positive(lr0=lr0)
    _check_decay(k)
    return lambda t: lr0 / (1 + k * t)


def step(lr0: float, drop: float, epochs_drop: float) -> Schedule:
    """lr0 * drop^floor(t / epochs_drop): multiply by `drop` each time `epochs_drop` have passed.

    Raises ValueError when lr0 or epochs_drop is not positive, or drop is outside (0, 1].
    """
    _check_positive(lr0=lr0, epochs_drop=epochs_drop)
    if not 0 < drop <= 1:
        raise ValueError(f"drop is {drop}: give a factor above 0 and at most 1")
    # Not t // epochs_drop, which is 9 for 1.0 // 0.1.
    return lambda t: lr0 * drop ** math.floor(t / epochs_drop)


def exponential(lr0: float, k: float) -> Schedule:
    """lr0 * exp(-k t): each step multiplies the rate by the same factor, gamma = exp(-k).

    Raises ValueError when lr0 is not positive or k is negative.
    """
    _check_positive(lr0=lr0)
    _check_decay(k)
    return lambda t: lr0 * math.exp(-k * t)


def cosine(lr0: float, steps: float, lr_min: float = 0.0) -> Schedule:
    """From lr0 at t = 0 down half a wave of the cosine to lr_min at t = steps; lr_min after that.

    lr_min + (lr0 - lr_min) (1 + cos(pi t / steps)) / 2. (torch's CosineAnnealingLR goes up again
    after `steps`.) Raises ValueError when lr0 or steps is not positive, or lr_min is not between 0
    and lr0. Source: Loshchilov and Hutter, SGDR, 2017, equation 5.
    """
    _check_positive(lr0=lr0, steps=steps)
    if not 0 <= lr_min <= lr0:
        raise ValueError(f"lr_min is {lr_min}: give a rate from 0 to lr0, {lr0}")
    return lambda t: _half_wave(lr0, lr_min, t / steps) if t < steps else lr_min


def one_cycle(
    lr_max: float,
    steps: int,
    pct_start: float = 0.3,
    div_factor: float = 25.0,
    final_div_factor: float = 1e4,
) -> Schedule:
    """Up to lr_max and down again, each along half a wave of the cosine, in `steps` updates.

    It starts at lr_max / div_factor, is at lr_max at t = pct_start * steps - 1, and ends at
    lr_max / div_factor / final_div_factor, the rate of the last update, t = steps - 1, and of
    every t after it. These are the rates of torch's OneCycleLR, which also moves the momentum.
    Raises ValueError when lr_max is not positive, steps is below 1, pct_start is outside [0, 1),
    or a factor is below 1. Source: Smith and Topin, Super-convergence, 2018; the cosine
    is torch's.
    """
    _check_positive(lr_max=lr_max)
    if not 1 <= steps < math.inf:
        raise ValueError(f"steps is {steps}: give the number of updates, 1 or more")
    if not 0 <= pct_start < 1:
        raise ValueError(f"pct_start is {pct_start}: give the share of rising steps, 0 to below 1")
    for name, factor in (("div_factor", div_factor), ("final_div_factor", final_div_factor)):
        if not 1 <= factor < math.inf:
            raise ValueError(f"{name} is {factor}: the rate is divided by it, so give 1 or more")
    first = lr_max / div_factor
    final = first / final_div_factor
    peak, last = pct_start * steps - 1, steps - 1

    def schedule(t: float) -> float:
        if t >= last:
            return final
        if t < peak:
            return _half_wave(first, lr_max, t / peak)
        return _half_wave(lr_max, final, (t - peak) / (last - peak))

    return schedule


def warmup(steps: float, schedule: Schedule, start: float = 0.0) -> Schedule:
    """Rise in a straight line for `steps`, from start * schedule(0) to schedule(0); then follow it.

    `schedule` begins at its own t = 0 when the warm-up ends: a cosine over T steps after a
    warm-up of W ends at W + T. `start` is a share of the first rate, as LinearLR's start_factor;
    with 0 the first update does not move the weights. Raises ValueError when steps is not
    positive or start is outside [0, 1]. Source: Goyal et al., Accurate, large minibatch SGD, 2017,
    section 2.2.
    """
    if not 0 <= start <= 1:
        raise ValueError(f"start is {start}: give a share of the first rate, from 0 to 1")
    _check_positive(steps=steps)
    lr0 = schedule(0)
    return then(lambda t: lr0 * (start + (1 - start) * t / steps), steps, schedule)


def then(first: Schedule, steps: float, second: Schedule) -> Schedule:
    """Follow `first` while t < steps, and from t = steps on `second`, which begins at its t = 0.

    As torch's SequentialLR with the milestone `steps`. Raises ValueError when steps is not
    positive.
    """
    _check_positive(steps=steps)
    return lambda t: first(t) if t < steps else second(t - steps)


def _half_wave(start: float, end: float, share: float) -> float:
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def _check_positive(**settings: float) -> None:
    for name, number in settings.items():
        if not 0 < number < math.inf:
            raise ValueError(f"{name} is {number}: give a positive, finite number")


def _check_decay(k: float) -> None:
    if not 0 <= k < math.inf:
        raise ValueError(f"k is {k}: give 0 or a positive, finite number, so that the rate falls")


@dataclass(frozen=True)
class RangeTest:
    """What a learning-rate range test saw: the rate and the batch's mean loss at each update.

    `losses[i]` is the loss before the update with the rate `lrs[i]`. `smoothed[i]` is the mean
    of the losses from i - width to i + width, as far as there are any.
    """

    lrs: list[float]
    losses: list[float]
    width: int

    @property
    def smoothed(self) -> list[float]:
        """The losses, each replaced by the mean of its neighbours and itself."""
        starts = (max(0, i - self.width) for i in range(len(self.losses)))
        return [_mean(self.losses[start : i + self.width + 1]) for i, start in enumerate(starts)]

    @property
    def limit(self) -> float:
        """The rate at the lowest smoothed loss: the updates from this rate on raised it.

        Too large to train with: a rate that is a little too large needs many updates to do
        visible harm, and here it has only a few. When it is the last rate, the test ended
        before the loss rose.
        """
        return self.lrs[_lowest(self.smoothed)]

    @property
    def suggestion(self) -> float | None:
        """The rate of the update after which the smoothed loss falls most, or None without a fall.

        That is lrs[i] for the lowest smoothed[i + 1] - smoothed[i]. As the rates grow by the
        same factor each time, it is where the curve over log(lr) is steepest. Only updates before
        the lowest smoothed loss count: what follows has diverged.
        """
        smoothed = self.smoothed
        changes = [after - before for before, after in pairwise(smoothed)]
        falling = changes[: _lowest(smoothed)]
        return self.lrs[_lowest(falling)] if falling else None


def range_test(
    model: nn.Module,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    *,
    lr_min: float = 1e-6,
    lr_max: float = 10.0,
    steps: int = 100,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
) -> RangeTest:
    """Train with a rate that grows from lr_min to lr_max, and return the loss at each update.

    The rate, the same in all parameter groups, is multiplied by a fixed factor after each of
    `steps` updates; `batches` start again when they end. The losses are smoothed over a tenth of
    the steps. The test ends early when a loss is not finite, which is left out, or when the mean
    of the last losses, a twentieth of the steps, is far above its best: by more than three times
    its size. (For a positive loss: above four times the best.)

    Afterwards parameters, buffers, gradients, modes, the optimizer and the random generators, of
    `batches` and of the model's modules too, are as they were. Raises ValueError for rates that do
    not grow, fewer than 2 steps, no batches, and a first loss that is not finite. Source: Smith,
    Cyclical learning rates for training neural networks, 2017, section 3.3, where the rate grows
    linearly.
    """
    if not 0 < lr_min < lr_max < math.inf:
        raise ValueError(
            f"lr_min is {lr_min} and lr_max {lr_max}: give positive rates, the first the smaller"
        )
    if steps < 2:
        raise ValueError(f"steps is {steps}: give 2 or more")
    growth = math.log(lr_max / lr_min) / (steps - 1)
    result = RangeTest([], [], width=steps // 20)
    best = math.inf
    with _restored(model, optimizer, batches):
        model.train()
        updates = _one_pass_after_another(batches)
        for i, (X, y) in zip(range(steps), updates, strict=False):
            lr = lr_min * math.exp(growth * i)
            batch_loss = _update(model, X, y, optimizer, loss, lr)
            if not math.isfinite(batch_loss):
                break
            result.lrs.append(lr)
            result.losses.append(batch_loss)
            recent = _mean(result.losses[-result.width - 1 :])
            best = min(best, recent)
            if recent > best + 3 * abs(best):
                break
    if not result.losses:
        raise ValueError(
            f"the first loss is {batch_loss}, before any update: look for a fault in the model, "
            "the inputs or the loss"
        )
    return result


def _update(
    model: nn.Module,
    X: Tensor,
    y: Tensor,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[Tensor, Tensor], Tensor],
    lr: float,
) -> float:
    """Do one update with this rate, unless the loss is not finite, and return the loss before."""
    for group in optimizer.param_groups:
        group["lr"] = lr
    where = next(model.parameters()).device
    batch_loss = loss(model(X.to(where)), y.to(where))
    optimizer.zero_grad()
    if batch_loss.isfinite():
        batch_loss.backward()
        optimizer.step()
    return float(batch_loss.detach())


def _one_pass_after_another(batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        batch = None
        for batch in batches:
            yield batch
        if batch is None:
            raise ValueError(
                "there are no batches: give at least one, in a list or a loader that can be "
                "iterated again"
            )


@contextmanager
def _restored(
    model: nn.Module, optimizer: torch.optim.Optimizer, batches: Batches
) -> Iterator[None]:
    """Put all that training changes back as it was, also after an error."""
    groups = [dict(group) for group in optimizer.param_groups]
    states = dict(optimizer.state)
    parameters = {
        parameter: (parameter.detach().clone(), parameter.grad)
        for parameter in chain(model.parameters(), *(group["params"] for group in groups))
    }
    # By name, as a model may put a new tensor in a buffer's place.
    buffers = {name: buffer.detach().clone() for name, buffer in model.named_buffers()}
    modes = [(module, module.training) for module in model.modules()]
    random = checkpoints.random_states(batches)
    generators = [(generator, generator.get_state()) for generator in _generators(model)]
    for parameter, state in states.items():
        optimizer.state[parameter] = deepcopy(state)
    for parameter in parameters:
        parameter.grad = None  # so that training writes into new ones
    try:
        yield
    finally:
        for group, settings in zip(optimizer.param_groups, groups, strict=True):
            group.clear()
            group.update(settings)
        optimizer.state.clear()
        optimizer.state.update(states)
        with torch.no_grad():
            for parameter, (value, grad) in parameters.items():
                parameter.copy_(value)
                parameter.grad = grad
            for name, buffer in model.named_buffers():
                buffer.copy_(buffers[name])
        for module, mode in modes:
            module.training = mode
        checkpoints.restore_random_states(random, batches)
        for generator, state in generators:
            generator.set_state(state)


def _generators(model: nn.Module) -> list[torch.Generator]:
    attributes = chain.from_iterable(vars(module).values() for module in model.modules())
    return [value for value in attributes if isinstance(value, torch.Generator)]


def _mean(numbers: list[float]) -> float:
    return math.fsum(numbers) / len(numbers)


def _lowest(numbers: list[float]) -> int:
    """The index of the lowest number, the first of equals."""
    return min(range(len(numbers)), key=numbers.__getitem__)
