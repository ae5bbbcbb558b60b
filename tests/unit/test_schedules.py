"""Schedules are their formulas and torch's schedulers; a range test leaves no trace."""

import math
import random
from copy import deepcopy
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import lr_scheduler

from mlcourse.loading import Loader
from mlcourse.schedules import (
    RangeTest,
    constant,
    cosine,
    exponential,
    one_cycle,
    range_test,
    step,
    then,
    time_based,
    warmup,
)
from mlcourse.witness import SeededDropout

LR = 0.3


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def optimizer(lr: float = LR) -> torch.optim.SGD:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)


def rates(o: torch.optim.Optimizer, scheduler: lr_scheduler.LRScheduler, steps: int):
    result = []
    for _ in range(steps):
        result.append(o.param_groups[0]["lr"])
        o.step()
        scheduler.step()
    return result


def theirs(make, steps: int, lr: float = LR):
    o = optimizer(lr)
    return rates(o, make(o), steps)


def after(first, steps, second):
    return lambda o: lr_scheduler.SequentialLR(o, [first(o), second(o)], [steps])


def linear(start, steps):
    return lambda o: lr_scheduler.LinearLR(o, start, 1.0, total_iters=steps)


def cosine_of_torch(steps, lr_min=0.0):
    return lambda o: lr_scheduler.CosineAnnealingLR(o, steps, lr_min)


# Schedules

TORCH = {
    "constant": (constant(LR), lambda o: lr_scheduler.ConstantLR(o, 1.0), 40),
    "time_based": (
        time_based(LR, 0.25),
        lambda o: lr_scheduler.LambdaLR(o, lambda t: 1 / (1 + 0.25 * t)),
        40,
    ),
    "step": (step(LR, 0.5, 7), lambda o: lr_scheduler.StepLR(o, 7, 0.5), 60),
    "exponential": (
        exponential(LR, 0.07),
        lambda o: lr_scheduler.ExponentialLR(o, math.exp(-0.07)),
        200,
    ),
    "cosine": (cosine(LR, 50), cosine_of_torch(50), 51),
    "cosine to lr_min": (cosine(LR, 33, 0.01), cosine_of_torch(33, 0.01), 34),
    "warm-up, constant": (warmup(5, constant(LR), 0.2), linear(0.2, 5), 20),
    "warm-up, cosine": (
        warmup(9, cosine(LR, 30), 0.01),
        after(linear(0.01, 9), 9, cosine_of_torch(30)),
        40,
    ),
    "exponential, then step": (
        then(exponential(LR, 0.1), 8, step(LR, 0.1, 4)),
        after(
            lambda o: lr_scheduler.ExponentialLR(o, math.exp(-0.1)),
            8,
            lambda o: lr_scheduler.StepLR(o, 4, 0.1),
        ),
        30,
    ),
}


@pytest.mark.parametrize("name", TORCH)
def test_a_schedule_is_torch_s_at_each_step(name):
    schedule, make, steps = TORCH[name]
    expected = theirs(make, steps)
    assert [schedule(t) for t in range(steps)] == pytest.approx(expected, rel=1e-12, abs=1e-16)


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 97])
@pytest.mark.parametrize("pct_start", [0.0, 0.15, 0.3, 0.45, 0.9])
@pytest.mark.parametrize("factors", [{}, {"div_factor": 4, "final_div_factor": 30.0}])
def test_one_cycle_is_torch_s_at_each_step(steps, pct_start, factors):
    schedule = one_cycle(LR, steps, pct_start, **factors)
    make = partial(lr_scheduler.OneCycleLR, max_lr=LR, total_steps=steps, pct_start=pct_start)
    expected = theirs(partial(make, **factors), steps)
    assert [schedule(t) for t in range(steps)] == pytest.approx(expected, rel=1e-12)


def test_random_settings_are_torch_s():
    draw = random.Random(0)
    for _ in range(40):
        lr, low, steps = draw.uniform(1e-4, 5), draw.random(), draw.randint(2, 60)
        start, pct = draw.uniform(0.01, 1), draw.uniform(0, 0.99)
        pairs = [
            (step(lr, low, steps), lambda o, n=steps, f=low: lr_scheduler.StepLR(o, n, f)),
            (
                exponential(lr, low),
                lambda o, k=low: lr_scheduler.ExponentialLR(o, math.exp(-k)),
            ),
            (cosine(lr, steps, low * lr), cosine_of_torch(steps, low * lr)),
            (warmup(steps, constant(lr), start), linear(start, steps)),
            (
                one_cycle(lr, steps, pct),
                lambda o, m=lr, n=steps, p=pct: lr_scheduler.OneCycleLR(o, m, n, pct_start=p),
            ),
        ]
        for schedule, make in pairs:
            expected = theirs(make, steps, lr)
            assert [schedule(t) for t in range(steps)] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", TORCH)
def test_lambda_lr_multiplies_the_optimizer_s_rate(name):
    schedule, _, steps = TORCH[name]
    o = optimizer(lr=2.0)
    got = rates(o, lr_scheduler.LambdaLR(o, schedule), steps)
    assert got == pytest.approx([2 * schedule(t) for t in range(steps)], rel=1e-15)


def test_the_formulas_hold_between_whole_steps():
    assert time_based(0.2, 0.5)(3.0) == pytest.approx(0.08)
    assert time_based(0.2, 0.0)(1e9) == 0.2
    assert exponential(0.2, 0.5)(2.5) == pytest.approx(0.2 * math.exp(-1.25))
    assert exponential(0.2, 1.0)(1e6) == 0.0
    assert cosine(1.0, 3)(1.5) == pytest.approx(0.5)
    assert cosine(1.0, 3)(0.75) == pytest.approx(0.5 + math.sqrt(0.125))
    assert warmup(2, exponential(0.2, 1.0))(0.5) == pytest.approx(0.05)
    assert warmup(2, exponential(0.2, 1.0))(2.5) == pytest.approx(0.2 * math.exp(-0.5))
    falling = step(1.0, 0.5, 2.5)
    assert [falling(t) for t in (0, 2.4, 2.5, 4.9, 5, 7.5)] == [1, 1, 0.5, 0.5, 0.25, 0.125]
    assert step(1.0, 0.5, 0.1)(1.0) == 2.0**-10


def test_the_ends():
    assert [cosine(0.5, 10, 0.1)(t) for t in (0, 10, 10.5, 1000)] == [0.5, 0.1, 0.1, 0.1]
    cycle = one_cycle(1.0, 11, 5.5 / 11, div_factor=10, final_div_factor=100)
    assert [cycle(t) for t in (0, 4.5, 10, 10.5, 99)] == pytest.approx([0.1, 1, 1e-3, 1e-3, 1e-3])
    # Where torch's OneCycleLR divides zero by zero.
    assert one_cycle(1.0, 10, 0.1)(0) == 1.0
    assert max(cycle(t / 10) for t in range(110)) == cycle(4.5) == 1.0
    assert warmup(4, constant(2.0))(0) == 0.0
    assert [then(constant(1.0), 2, constant(3.0))(t) for t in (0, 1.999, 2)] == [1, 1, 3]


def test_what_follows_a_warm_up_begins_at_its_start():
    seen = []

    def schedule(t):
        seen.append(t)
        return 1.0

    whole = warmup(3, schedule)
    assert [whole(t) for t in (0, 1.5, 3, 4.25)] == [0, 0.5, 1, 1]
    assert seen == [0, 0, 1.25]


def test_schedules_compose_more_than_once():
    three = then(constant(1.0), 2, then(constant(2.0), 3, constant(4.0)))
    assert [three(t) for t in range(7)] == [1, 1, 2, 2, 2, 4, 4]
    trapezium = warmup(2, then(constant(1.0), 2, cosine(1.0, 2)), start=0.5)
    assert [trapezium(t) for t in range(8)] == pytest.approx([0.5, 0.75, 1, 1, 1, 0.5, 0, 0])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: constant(0.0), "lr0 is 0.0: give a positive, finite number"),
        (lambda: constant(math.nan), "lr0 is nan"),
        (lambda: time_based(-1.0, 0.1), "lr0 is -1.0"),
        (lambda: time_based(0.1, -0.1), "k is -0.1: give 0 or a positive, finite number"),
        (lambda: exponential(math.inf, 0.1), "lr0 is inf"),
        (lambda: exponential(0.1, math.nan), "k is nan"),
        (lambda: step(0.0, 0.5, 1), "lr0 is 0.0"),
        (lambda: step(0.1, 0.0, 1), "drop is 0.0: give a factor above 0 and at most 1"),
        (lambda: step(0.1, 1.5, 1), "drop is 1.5"),
        (lambda: step(0.1, 0.5, 0), "epochs_drop is 0: give a positive"),
        (lambda: cosine(0.0, 1), "lr0 is 0.0"),
        (lambda: cosine(0.1, 0), "steps is 0"),
        (lambda: cosine(0.1, 10, 0.2), "lr_min is 0.2: give a rate from 0 to lr0, 0.1"),
        (lambda: cosine(0.1, 10, -0.1), "lr_min is -0.1"),
        (lambda: one_cycle(0.0, 10), "lr_max is 0.0"),
        (lambda: one_cycle(0.1, 0), "steps is 0: give the number of updates, 1 or more"),
        (lambda: one_cycle(0.1, 10, 1.0), "pct_start is 1.0: give the share of rising steps"),
        (lambda: one_cycle(0.1, 10, -0.1), "pct_start is -0.1"),
        (lambda: one_cycle(0.1, 10, div_factor=0.5), "div_factor is 0.5: the rate is divided by"),
        (lambda: one_cycle(0.1, 10, final_div_factor=0.0), "final_div_factor is 0.0"),
        (lambda: warmup(0, constant(1.0)), "steps is 0: give a positive"),
        (lambda: warmup(2, constant(1.0), 1.5), "start is 1.5: give a share of the first rate"),
        (lambda: then(constant(1.0), -1, constant(1.0)), "steps is -1"),
    ],
)
def test_impossible_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


# Range test


def examples(n: int = 24) -> tuple[torch.Tensor, torch.Tensor]:
    g = generator(3)
    return torch.randn(n, 6, generator=g), torch.randint(0, 3, (n,), generator=g)


def batches(size: int = 6):
    X, y = examples()
    return list(zip(X.split(size), y.split(size), strict=True))


def network(dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(1)
    return nn.Sequential(
        *(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), SeededDropout(dropout)),
        *(nn.Dropout(dropout), nn.Linear(8, 3)),
    )


def momentum(model: nn.Module, lr: float = 0.05) -> torch.optim.SGD:
    return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)


def test_the_losses_are_those_of_training_with_growing_rates():
    model, reference = network(), network()
    result = range_test(model, batches(), momentum(model), lr_min=1e-4, lr_max=1.0, steps=11)
    o = momentum(reference)
    expected = []
    for i in range(11):
        X, y = batches()[i % 4]
        o.param_groups[0]["lr"] = 10 ** (-4 + 4 * i / 10)
        loss = F.cross_entropy(reference(X), y)
        o.zero_grad()
        loss.backward()
        o.step()
        expected.append(loss.item())
    assert result.lrs == pytest.approx([10 ** (-4 + 4 * i / 10) for i in range(11)], rel=1e-12)
    assert result.losses == pytest.approx(expected, rel=1e-5)


class Loss(nn.Module):
    """A loss with a parameter, to be trained with the model's."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, logits, y):
        return F.cross_entropy(logits * self.scale, y)


class Running(nn.Module):
    """Puts a new tensor in its buffer's place, outside the state_dict too."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(6), persistent=False)

    def forward(self, x):
        x = x.float()
        if self.training:
            self.mean = 0.9 * self.mean + 0.1 * x.mean(0)
        return x - self.mean


def shift(X, generator):
    """An augmentation that draws from every source of randomness there is."""
    noise = (
        random.random() + np.random.rand() + torch.rand(()) + torch.rand((), generator=generator)
    )
    return (X + noise).to(torch.uint8)


@pytest.mark.parametrize("trained", [False, True])
@pytest.mark.parametrize("make", [momentum, lambda p: torch.optim.Adam(p.parameters(), lr=0.01)])
@pytest.mark.parametrize("fails", [False, True])
def test_everything_is_as_it_was(trained, make, fails):
    g = generator(5)
    X = torch.randint(0, 256, (20, 1, 2, 3), dtype=torch.uint8, generator=g)
    loader = Loader(X, torch.arange(20) % 3, 6, augment=[shift], generator=g)
    model = nn.Sequential(nn.Flatten(), Running(), *network(dropout=0.3))
    model[3].eval()  # a frozen batch norm
    loss = Loss()
    together = nn.ModuleList([model, loss])
    o = make(together)
    o.param_groups[0]["params"].pop(0)  # this one gets gradients and no update
    if trained:
        for x, y in loader:
            o.zero_grad()
            loss(model(x), y).backward()
            o.step()

    def everything():
        return {
            "values": {k: v.clone() for k, v in together.named_parameters()},
            "buffers": {k: v.clone() for k, v in model.named_buffers()},
            "grads": {k: deepcopy(p.grad) for k, p in together.named_parameters()},
            "modes": [module.training for module in model.modules()],
            "optimizer": deepcopy(o.state_dict()),
            "random": (random.getstate(), torch.get_rng_state()),
            "numpy": np.random.get_state(legacy=False)["state"]["key"].tolist(),
            "generators": [g.get_state(), model[5].generator.get_state()],
        }

    identities = [id(p.grad) for p in together.parameters()]
    before = everything()
    seen = []

    def counted(logits, y):
        seen.append({k: v.clone() for k, v in together.named_parameters()})
        if fails and len(seen) == 9:
            raise RuntimeError("as when memory ends")
        return loss(logits, y)

    if fails:
        with pytest.raises(RuntimeError, match="memory ends"):
            range_test(model, loader, o, loss=counted, steps=15)
    else:
        range_test(model, loader, o, loss=counted, steps=15)
    assert not torch.equal(seen[0]["0.7.weight"], seen[-1]["0.7.weight"])
    after = everything()
    torch.testing.assert_close(after.pop("random")[1], before["random"][1], rtol=0, atol=0)
    assert random.getstate() == before.pop("random")[0]
    for what in ("modes", "numpy"):
        assert after.pop(what) == before.pop(what)
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert [id(p.grad) for p in together.parameters()] == identities


def test_the_same_test_twice_gives_the_same():
    model = network(dropout=0.3)
    o = momentum(model)
    first, second = (range_test(model, batches(), o, steps=30) for _ in range(2))
    assert first == second


def test_training_mode_and_the_rate_in_every_group():
    model = network()
    o = torch.optim.SGD(
        [{"params": model[0].parameters(), "lr": 0.5}, {"params": model[5].parameters()}], lr=0.1
    )
    model.eval()
    seen = []

    def loss(logits, y):
        assert all(module.training for module in model.modules())
        seen.append([group["lr"] for group in o.param_groups])
        return F.cross_entropy(logits, y)

    result = range_test(model, batches(), o, steps=5, loss=loss)
    assert seen == [[lr, lr] for lr in result.lrs]
    assert [group["lr"] for group in o.param_groups] == [0.5, 0.1]


class Scripted(nn.Module):
    """A model that returns a list of losses, one after the other."""

    def __init__(self, losses):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros((), dtype=torch.float64))
        self.losses = iter(losses)

    def forward(self, x):
        return self.weight * 0 + next(self.losses)

    def test(self, **settings):
        o = torch.optim.SGD(self.parameters(), lr=0.1)
        pair = (torch.zeros(1), torch.zeros(1))
        return range_test(self, [pair], o, loss=lambda out, y: out, **settings)


@pytest.mark.parametrize(
    ("losses", "kept"),
    [
        ([2.0, 1.0, 3.9, 4.1, 0.0], 4),  # above four times the best
        ([2.0, 1.0, 4.0, 4.0, 0.0], 5),
        ([-2.0, -3.0, 5.9, 6.1, 0.0], 4),  # three times its size above the best
        ([2.0, 1.0, math.nan, 1.0, 1.0], 2),
        ([2.0, math.inf, 1.0, 1.0, 1.0], 1),
    ],
)
def test_it_ends_when_the_loss_is_far_above_its_best_or_not_finite(losses, kept):
    result = Scripted(losses).test(steps=5)
    assert result.losses == losses[:kept]
    assert len(result.lrs) == kept


def test_one_bad_batch_among_many_does_not_end_it():
    losses = [1.0] * 60
    losses[30] = 9.0  # with the mean of the last 4 losses at 3
    assert Scripted(losses).test(steps=60).losses == losses
    losses[31] = 9.0
    assert Scripted(losses).test(steps=60).losses == losses[:32]


def test_smoothed_is_a_mean_of_neighbours():
    result = RangeTest([1.0] * 5, [1.0, 2.0, 6.0, 4.0, 8.0], width=1)
    assert result.smoothed == pytest.approx([1.5, 3, 4, 6, 6])
    assert RangeTest([1.0] * 3, [3.0, 1.0, 2.0], width=0).smoothed == [3.0, 1.0, 2.0]
    assert RangeTest([1.0] * 3, [3.0, 1.0, 2.0], width=9).smoothed == [2.0, 2.0, 2.0]


def test_the_suggestion_is_the_steepest_fall_before_the_lowest_loss():
    lrs = [0.001, 0.01, 0.1, 1.0, 10.0, 100.0]
    result = RangeTest(lrs, [5.0, 4.5, 2.5, 2.0, 9.0, 2.1], width=0)
    assert result.suggestion == 0.01
    assert result.limit == 1.0
    rising = RangeTest(lrs[:3], [1.0, 2.0, 3.0], width=0)
    assert rising.suggestion is None
    assert rising.limit == 0.001
    assert RangeTest(lrs[:1], [1.0], width=0).suggestion is None


@pytest.mark.parametrize("curvature", [3.0, 8.0, 33.0])
def test_on_a_parabola_limit_and_suggestion_are_known(curvature):
    """A step multiplies the loss c w^2 / 2 by (1 - lr c)^2, which is above 1 for lr > 2 / c."""
    w = nn.Linear(1, 1, bias=False, dtype=torch.float64)
    o = torch.optim.SGD(w.parameters(), lr=1.0)
    one = torch.ones(1, 1, dtype=torch.float64)
    result = range_test(
        *(w, [(one, one)], o),
        lr_min=0.01,
        lr_max=2.0,
        steps=19,
        loss=lambda out, y: curvature * out.square().sum() / 2,
    )
    losses = [curvature * w.weight.item() ** 2 / 2]
    for lr in result.lrs[:-1]:
        losses.append(losses[-1] * (1 - lr * curvature) ** 2)
    assert result.losses == pytest.approx(losses, rel=1e-9)
    assert result.limit == min(lr for lr in result.lrs if lr > 2 / curvature)
    falls = {lr: losses[i] - losses[i + 1] for i, lr in enumerate(result.lrs[:-1])}
    assert result.suggestion == max(falls, key=falls.__getitem__)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lr_min": 0.0}, "lr_min is 0.0 and lr_max 10.0: give positive rates"),
        ({"lr_min": 1.0, "lr_max": 1.0}, "lr_min is 1.0 and lr_max 1.0"),
        ({"lr_max": math.inf}, "lr_min is 1e-06 and lr_max inf"),
        ({"steps": 1}, "steps is 1: give 2 or more"),
    ],
)
def test_a_range_test_refuses(settings, message):
    model = network()
    with pytest.raises(ValueError, match=f"^{message}"):
        range_test(model, batches(), momentum(model), **settings)


def test_no_batches_or_a_first_loss_that_is_not_finite_are_refused():
    model = network()
    with pytest.raises(ValueError, match=r"^there are no batches: give at least one"):
        range_test(model, [], momentum(model))
    with pytest.raises(ValueError, match=r"^there are no batches"):
        range_test(model, iter(batches()), momentum(model))
    with pytest.raises(ValueError, match=r"^the first loss is nan, before any update"):
        Scripted([math.nan]).test(steps=3)
