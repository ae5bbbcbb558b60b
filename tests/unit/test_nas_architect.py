"""The architect against training for real, against a step written out, and on the toy problem."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from mlcourse import bilevel_toy
from mlcourse.hypergrad import hypergradient
from mlcourse.nas.architect import Architect
from mlcourse.nas.kinks import smooth_
from mlcourse.nas.supernet import Supernet

FEW = ("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3")
ORDERS = ("first", "finite_difference", "exact")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def batch(seed, n=4):
    draw = generator(seed)
    X = torch.randn(n, 3, 8, 8, generator=draw, dtype=torch.float64)
    return X, torch.randint(5, (n,), generator=draw)


TRAIN, VAL = batch(1), batch(2)


def small(smooth=False):
    model = Supernet(2, 3, 5, nodes=2, operations=FEW, generator=generator()).double()
    return smooth_(model) if smooth else model


def sgd(model, steps=2, **settings):
    """Return the optimiser of the weights, with a velocity, as after some steps of training."""
    settings = {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01, **settings}
    optimizer = torch.optim.SGD(model.weights(), **settings)
    for seed in range(steps):
        X, y = batch(10 + seed)
        optimizer.zero_grad()
        F.cross_entropy(model(X), y).backward()
        optimizer.step()
    for p in model.parameters():
        p.grad = None
    return optimizer


def flat(gradient):
    return torch.cat([g.flatten() for g in gradient.values()])


def close(one, other, tolerance):
    return float((one - other).norm() / other.norm()) < tolerance


def loss_after_a_real_step(model, optimizer, direction, e):
    """L_val where alpha is moved by e, and then the weights by the optimiser, all in a copy."""
    model = copy.deepcopy(model)
    with torch.no_grad():
        for name, d in direction.items():
            model.get_parameter(name).add_(e * d)
    settings = {name: optimizer.defaults[name] for name in ("lr", "momentum", "weight_decay")}
    again = torch.optim.SGD(model.weights(), **settings)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    F.cross_entropy(model(TRAIN[0]), TRAIN[1]).backward()
    again.step()
    with torch.no_grad():
        return float(F.cross_entropy(model(VAL[0]), VAL[1]))


SETTINGS = [
    {},
    {"momentum": 0},
    {"weight_decay": 0},
    {"momentum": 0, "weight_decay": 0},
    {"steps": 0},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_exact_is_the_slope_of_the_loss_after_a_real_step(settings):
    model = small(smooth=True)
    optimizer = sgd(model, **settings)
    gradient = Architect(model, optimizer, "exact").gradient(TRAIN, VAL)
    direction = {
        name: torch.randn(g.shape, generator=generator(9), dtype=g.dtype)
        for name, g in gradient.items()
    }
    above, below = (loss_after_a_real_step(model, optimizer, direction, e) for e in (1e-5, -1e-5))
    slope = sum(float((g * direction[name]).sum()) for name, g in gradient.items())
    assert math.isclose((above - below) / 2e-5, slope, rel_tol=1e-5)


def test_other_hypergradients_take_the_architects_losses():
    model = small(smooth=True)
    architect = Architect(model, sgd(model, steps=0))
    problem = (*architect.losses(TRAIN, VAL), architect.weights(), architect.alphas())
    gradient = hypergradient(*problem, "reverse", steps=2, lr=0.1, momentum=0.9)
    direction = {
        name: torch.randn(g.shape, generator=generator(9), dtype=g.dtype)
        for name, g in gradient.items()
    }
    ends = []
    for e in (1e-5, -1e-5):
        moved = copy.deepcopy(model)
        with torch.no_grad():
            for name, d in direction.items():
                moved.get_parameter(name).add_(e * d)
        optimizer = torch.optim.SGD(moved.weights(), 0.1, momentum=0.9, weight_decay=0.01)
        for _ in range(2):
            optimizer.zero_grad()
            F.cross_entropy(moved(TRAIN[0]), TRAIN[1]).backward()
            optimizer.step()
        ends.append(F.cross_entropy(moved(VAL[0]), VAL[1]).item())
    slope = sum(float((g * direction[name]).sum()) for name, g in gradient.items())
    assert math.isclose((ends[0] - ends[1]) / 2e-5, slope, rel_tol=1e-5)


@pytest.mark.parametrize("smooth", [False, True])
def test_exact_is_double_backward_through_the_step_written_out(smooth):
    model = small(smooth)
    optimizer = sgd(model)
    weights = dict(Architect(model, optimizer).weights())
    (X, y), (X_val, y_val) = TRAIN, VAL
    slopes = torch.autograd.grad(F.cross_entropy(model(X), y), weights.values(), create_graph=True)
    stepped = {
        name: p - 0.1 * (0.9 * optimizer.state[p]["momentum_buffer"] + slope + 0.01 * p)
        for (name, p), slope in zip(weights.items(), slopes, strict=True)
    }
    loss = F.cross_entropy(functional_call(model, stepped, (X_val,)), y_val)
    expected = torch.autograd.grad(loss, list(model.architecture()))
    found = Architect(model, optimizer, "exact").gradient(TRAIN, VAL)
    torch.testing.assert_close(list(found.values()), list(expected), rtol=1e-10, atol=1e-14)


def test_exact_is_forward_mode_through_one_step():
    # The batch norms are not for torch.func's forward mode: they count batches.
    model = Weighted()
    optimizer = torch.optim.SGD([model.weight], 0.3, weight_decay=0.2)
    architect = Architect(model, optimizer, "exact", loss=square_error)
    X, y = torch.randn(2, 6, 3, generator=generator(), dtype=torch.float64)
    train, val = (X[:3], y[:3]), (X[3:], y[3:])
    problem = (*architect.losses(train, val), architect.weights(), architect.alphas())
    expected = hypergradient(*problem, "forward", steps=1, lr=0.3)
    torch.testing.assert_close(architect.gradient(train, val), expected)


def square_error(output, target):
    # F.mse_loss is not for torch.func's forward mode.
    return ((output - target) ** 2).mean()


class Weighted(nn.Module):
    """tanh(X W) times softmax(alpha)."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 3, generator=generator(), dtype=torch.float64))
        self.alpha = nn.Parameter(torch.zeros(3, dtype=torch.float64))

    def architecture(self):
        yield self.alpha

    def forward(self, X):
        return (X @ self.weight).tanh() * self.alpha.softmax(0)


def test_first_order_is_the_gradient_at_todays_weights():
    model = small()
    architect = Architect(model, sgd(model), "first")
    (X, y) = VAL
    expected = torch.autograd.grad(F.cross_entropy(model(X), y), list(model.architecture()))
    found = architect.gradient(TRAIN, VAL)
    assert list(found) == ["alpha_normal", "alpha_reduce"]
    torch.testing.assert_close(list(found.values()), list(expected))


def paper_difference(model, optimizer, wrong=False):
    """Equation 8 on a copy whose weights move; `wrong` is the slip of a widely used port."""
    model, velocity = copy.deepcopy(model), [s["momentum_buffer"] for s in _states(optimizer)]
    weights, alphas = list(model.weights()), list(model.architecture())
    (X, y), (X_val, y_val) = TRAIN, VAL
    slopes = torch.autograd.grad(F.cross_entropy(model(X), y), weights)
    start = [p.detach().clone() for p in weights]

    def put(values):
        with torch.no_grad():
            for p, value in zip(weights, values, strict=True):
                p.copy_(value)

    together = zip(start, slopes, velocity, strict=True)
    put([p - 0.1 * (0.9 * v + g + 0.01 * p) for p, g, v in together])
    grads = torch.autograd.grad(F.cross_entropy(model(X_val), y_val), alphas + weights)
    direct, u = grads[: len(alphas)], grads[len(alphas) :]
    e = 0.01 / torch.cat([v.flatten() for v in u]).norm()
    ends = []
    for sign in (1, -1):
        put([p + sign * e * v for p, v in zip(start, u, strict=True)])
        ends.append(torch.autograd.grad(F.cross_entropy(model(X), y), alphas))
    term = [
        (above - below) / 2.0 * e if wrong else (above - below) / (2 * e)
        for above, below in zip(*ends, strict=True)
    ]
    gradient = torch.cat([(d - 0.1 * t).flatten() for d, t in zip(direct, term, strict=True)])
    return gradient, torch.cat([t.flatten() for t in term]), float(e)


def _states(optimizer):
    return [optimizer.state[p] for p in optimizer.param_groups[0]["params"]]


def test_the_finite_difference_is_that_of_the_paper():
    model = small()
    optimizer = sgd(model)
    expected, _, _ = paper_difference(model, optimizer)
    found = flat(Architect(model, optimizer, "finite_difference").gradient(TRAIN, VAL))
    assert close(found, expected, 1e-8)


def test_to_multiply_by_e_makes_the_second_order_term_vanish():
    model = small(smooth=True)
    optimizer = sgd(model)
    right, term, e = paper_difference(model, optimizer)
    wrong, vanished, _ = paper_difference(model, optimizer, wrong=True)
    torch.testing.assert_close(vanished / term, torch.full_like(term, e * e))
    # What is left is the direct part: the second order is gone.
    direct = right + 0.1 * term
    assert close(wrong, direct, 2 * e * e)
    exact = flat(Architect(model, optimizer, "exact").gradient(TRAIN, VAL))
    assert close(right, exact, 0.01)
    assert not close(wrong, exact, 0.1)


@pytest.mark.parametrize("order", ORDERS)
def test_backward_sets_the_gradient_and_nothing_else(order):
    model = small()
    optimizer = sgd(model)
    architect = Architect(model, optimizer, order)
    for p in model.architecture():
        p.grad = torch.ones_like(p)
    expected = architect.gradient(TRAIN, VAL)
    before = copy.deepcopy([model.state_dict(), optimizer.state_dict()])
    drawn = torch.get_rng_state()
    architect.backward(TRAIN, VAL)
    assert all(torch.equal(value, before[0][name]) for name, value in model.state_dict().items())
    assert str(before[1]) == str(optimizer.state_dict())
    assert torch.equal(drawn, torch.get_rng_state())
    for name, p in model.named_parameters():
        if name in expected:
            assert torch.equal(p.grad, expected[name])
        else:
            assert p.grad is None
    assert model.training


def test_in_evaluation_the_statistics_of_the_norms_are_used():
    model = small()
    optimizer = sgd(model)
    found = Architect(model.eval(), optimizer, "exact").gradient(TRAIN, VAL)
    again = Architect(model.train(), optimizer, "exact").gradient(TRAIN, VAL)
    assert not close(flat(found), flat(again), 0.01)


class Noisy(nn.Module):
    """A relaxation that draws, from torch's own generator or from the one given."""

    def __init__(self, generator=None):
        super().__init__()
        self.generator = generator
        self.drawn = []

    def forward(self, alpha, kind):
        noise = torch.randn(alpha.shape, generator=self.generator, dtype=alpha.dtype)
        self.drawn.append(float(noise[0, 0]))
        return (alpha + noise).softmax(-1)


@pytest.mark.parametrize("own", [False, True])
def test_each_loss_sees_the_same_draws_and_the_next_gradient_others(own):
    model = small(smooth=True)
    optimizer = sgd(model)
    draws = generator(3) if own else None
    torch.manual_seed(3)
    model.relaxation = noisy = Noisy(draws)
    found = {}
    for order in ("finite_difference", "exact"):
        if own:
            draws.manual_seed(5)
        else:
            torch.manual_seed(5)
        architect = Architect(model, optimizer, order, generator=draws)
        found[order] = flat(architect.gradient(TRAIN, VAL))
    assert close(found["finite_difference"], found["exact"], 1e-3)
    # Four losses and two, of two kinds of cell each.
    assert len(noisy.drawn) == 12
    assert len(set(noisy.drawn)) == 2
    architect.gradient(TRAIN, VAL)
    assert len(set(noisy.drawn)) == 4


# The toy


class Toy(nn.Module):
    """The weight and the hyper-parameter of `bilevel_toy`, as a module that returns both."""

    def __init__(self):
        super().__init__()
        w, a = bilevel_toy.START
        self.w = nn.Parameter(torch.tensor(w, dtype=torch.float64))
        self.a = nn.Parameter(torch.tensor(a, dtype=torch.float64))

    def architecture(self):
        yield self.a

    def forward(self, _):
        return self.w, self.a


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("xi", [0.1, 0.3, 0.5, 0.6])
def test_the_toy_ends_where_its_closed_form_says(order, xi):
    toy, nothing = Toy(), torch.empty(0)
    train, val = (nothing, bilevel_toy.train_loss), (nothing, bilevel_toy.val_loss)
    # The step that is unrolled has the rate xi; both move with rates of their own.
    unrolled = torch.optim.SGD([toy.w], xi)
    architect = Architect(toy, unrolled, order, loss=lambda wa, value: value(*wa))
    move_w, move_a = torch.optim.SGD([toy.w], 0.2), torch.optim.SGD([toy.a], 0.2)
    for _ in range(150):
        architect.backward(train, val)
        move_a.step()
        toy.w.grad = None
        bilevel_toy.train_loss(toy.w, toy.a).backward()
        move_w.step()
    limit = bilevel_toy.limit(0.0 if order == "first" else xi)
    assert math.isclose(toy.a.item(), limit, rel_tol=1e-9)
    assert math.isclose(toy.w.item(), limit, rel_tol=1e-9)


# Bad input


def test_an_unknown_order():
    model = small()
    with pytest.raises(ValueError, match="order is 'second': give one of first, finite_diff"):
        Architect(model, torch.optim.SGD(model.weights(), 0.1), "second")


def test_optimisers_with_other_steps():
    model = small()
    half = list(model.weights())[:2]
    groups = [{"params": half[:1]}, {"params": half[1:]}]
    for optimizer, sentence in (
        (torch.optim.Adam(half), r"the optimizer is Adam with 1 group\(s\): give torch.optim.SGD"),
        (torch.optim.SGD(groups, 0.1), r"the optimizer is SGD with 2 group\(s\)"),
        (torch.optim.SGD(half, 0.1, momentum=0.9, nesterov=True), "has nesterov=True: leave it"),
        (torch.optim.SGD(half, 0.1, momentum=0.9, dampening=0.1), "has dampening=0.1: leave it"),
        (torch.optim.SGD(half, 0.1, maximize=True), "has maximize=True: leave it"),
        (torch.optim.SGD(model.parameters(), 0.1), "holds architecture parameters"),
    ):
        with pytest.raises(ValueError, match=sentence):
            Architect(model, optimizer)
