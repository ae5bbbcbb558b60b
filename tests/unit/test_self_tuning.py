"""Hyper-layers against ordinary layers; responses against the exact best response of ridge."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse.hyper_layers import HyperConv2d, HyperDropout, HyperLinear, HyperParameters
from mlcourse.self_tuning import (
    SelfTuningNet,
    Tuned,
    self_tune,
    self_tuning_mlp,
    train_objective,
    val_objective,
)


def normal(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def close(got, expected, tolerance=1e-12):
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


def moved(module, seed=0):
    """The module in float64, with every parameter drawn afresh: its responses are not zero."""
    module = module.double()
    with torch.no_grad():
        for i, parameter in enumerate(module.parameters()):
            parameter.copy_(0.5 * normal(*parameter.shape, seed=seed + i))
    return module


LAYERS = {
    "dense": (partial(HyperLinear, 4, 3, 2), (5, 4), F.linear),
    "dense without bias": (partial(HyperLinear, 4, 3, 2, bias=False), (5, 4), F.linear),
    "convolution": (
        partial(HyperConv2d, 2, 3, 3, 2, stride=2, padding=1),
        (5, 2, 6, 5),
        partial(F.conv2d, stride=2, padding=1),
    ),
    "convolution without bias": (
        partial(HyperConv2d, 2, 3, 2, 2, bias=False),
        (5, 2, 4, 4),
        F.conv2d,
    ),
}


# Layers


@pytest.mark.parametrize("name", LAYERS)
def test_each_example_sees_the_layer_of_its_own_h(name):
    make, shape, plain = LAYERS[name]
    layer, x, h = moved(make()), normal(*shape), normal(5, 2, seed=1)
    out = layer(x, h)
    for i in range(5):
        close(out[i : i + 1], plain(x[i : i + 1], *layer.at(h[i])))
    close(layer(x, h[0]), plain(x, *layer.at(h[0])))


@pytest.mark.parametrize("name", LAYERS)
def test_the_weights_are_affine_in_h_and_a_row_moves_along_one_line(name):
    make, *_ = LAYERS[name]
    layer, h, k = moved(make()), normal(2, seed=1), normal(2, seed=2)
    at = [layer.at(x)[0] for x in (torch.zeros_like(h), h, k, h + k)]
    close(at[3], at[1] + at[2] - at[0])
    rows = torch.stack([(at[1] - at[0]).flatten(1), (at[2] - at[0]).flatten(1)])
    for i in range(3):
        assert torch.linalg.matrix_rank(rows[:, i]) == 1
        close(at[1][i] - at[0][i], (layer.response[i] @ h) * layer.direction[i])


@pytest.mark.parametrize("name", LAYERS)
def test_the_squares_are_those_of_the_weights(name):
    make, *_ = LAYERS[name]
    layer, h = moved(make()), normal(5, 2, seed=1)
    expected = torch.stack([layer.at(row)[0].square().sum() for row in h])
    close(layer.squares(h), expected)
    close(layer.squares(h[0]), expected[0])


@pytest.mark.parametrize("name", LAYERS)
def test_gradients_in_x_h_and_every_parameter_are_right(name):
    make, shape, _ = LAYERS[name]
    layer = moved(make())
    names = [name for name, _ in layer.named_parameters()]

    def function(x, h, *parameters):
        values = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(layer, values, (x, h))

    inputs = [normal(*shape), normal(5, 2, seed=1), *(p.detach() for p in layer.parameters())]
    assert torch.autograd.gradcheck(function, [t.clone().requires_grad_() for t in inputs])
    h = inputs[1].clone().requires_grad_()
    assert torch.autograd.gradcheck(layer.squares, (h,))


def test_a_new_layer_is_torch_s_own_whatever_h_is():
    torch.manual_seed(0)
    dense, conv = HyperLinear(4, 3, 2), HyperConv2d(1, 2, 3, 2)
    torch.manual_seed(0)
    plain = nn.Linear(4, 3)
    assert torch.equal(dense.weight, plain.weight)
    x, h = torch.ones(5, 4), torch.randn(5, 2)
    assert torch.equal(dense(x, h), plain(x))
    # Yet it can learn to respond.
    (slope,) = torch.autograd.grad(dense(x, h).square().sum(), dense.response)
    assert (slope != 0).all()
    assert torch.equal(dense.direction, dense.weight)
    x = torch.ones(5, 1, 4, 4)
    assert torch.equal(conv(x, h), F.conv2d(x, conv.weight, conv.bias))


def test_dropout_has_the_rate_of_each_example():
    hypers = HyperParameters({"drop": 0.3}, {"decay": 1.0})
    generator = torch.Generator().manual_seed(0)
    layer = HyperDropout(hypers, "drop", generator)
    h = torch.tensor([[0.0, 9.0], [1.0, -9.0], [-2.0, 0.0]])
    n = 40_000
    out = layer(torch.ones(3, 4, n // 4), h)
    rates = hypers.value("drop", h)
    close(rates[0], torch.tensor(0.3), 1e-6)
    for row, p in zip(out.flatten(1), rates.tolist(), strict=True):
        kept = row[row != 0]
        close(kept, torch.full_like(kept, 1 / (1 - p)), 1e-5)
        # Five standard errors of a share.
        assert abs((row == 0).double().mean() - p) < 5 * math.sqrt(p * (1 - p) / n)
    one = layer(torch.ones(3, n), h[1])
    assert abs((one == 0).double().mean() - rates[1]) < 5 * math.sqrt(0.25 / (3 * n))
    x = torch.ones(3, 5)
    assert layer.eval()(x, h) is x


# Hyper-parameters


def test_values_start_where_they_should_and_stay_in_their_range():
    hypers = HyperParameters({"a": 0.2, "b": 0.7}, {"c": 1e-4}, scale=0.3)
    numbers = hypers.numbers()
    expected = {"a": 0.2, "b": 0.7, "c": 1e-4, "a_scale": 0.3, "b_scale": 0.3, "c_scale": 0.3}
    assert list(numbers) == list(expected)
    for name, number in expected.items():
        assert math.isclose(numbers[name], number, rel_tol=1e-5)
    h = torch.tensor([math.log(2)] * 3)
    # Odds of 1 to 4 become 2 to 4; a penalty becomes twice itself.
    assert math.isclose(float(hypers.value("a", h)), 1 / 3, rel_tol=1e-5)
    assert math.isclose(float(hypers.value("c", h)), 2e-4, rel_tol=1e-5)


def test_samples_have_the_location_and_the_scale_and_their_gradients():
    hypers = moved(HyperParameters({"a": 0.2}, {"c": 1e-4}))
    n = 50_000
    sample = hypers.sample(n, torch.Generator().manual_seed(0))
    assert ((sample.mean(0) - hypers.location).abs() < 5 * hypers.scale / math.sqrt(n)).all()
    assert ((sample.std(0) - hypers.scale).abs() < 5 * hypers.scale / math.sqrt(2 * n)).all()
    noise = (sample - hypers.location) / hypers.scale
    weights = normal(n, 2, seed=3)
    slopes = torch.autograd.grad((sample * weights).sum(), [hypers.location, hypers.raw_scale])
    close(slopes[0], weights.sum(0), 1e-9)
    close(slopes[1], (noise * weights).sum(0).detach() * hypers.raw_scale.sigmoid(), 1e-9)


def test_the_entropy_is_that_of_torch_s_normal():
    hypers = moved(HyperParameters({"a": 0.2}, {"c": 1e-4}))
    close(hypers.entropy(), torch.distributions.Normal(0, hypers.scale).entropy().sum())


# Best responses


def ridge_response(X, Y, penalty):
    """The exact minimum (n_out, n_in) of mean squared error, summed over outputs, and penalty."""
    n = len(X)
    A = X.T @ X / n + penalty * torch.eye(X.shape[1], dtype=X.dtype)
    return torch.linalg.solve(A, X.T @ Y / n).T


def squared_error(outputs, y):
    return (outputs - y).square().sum(-1)


def fit_response(X, Y, penalty, spread):
    """Train a linear hyper-layer on the average over h = +spread and -spread, to the minimum."""
    torch.manual_seed(0)
    hypers = HyperParameters({}, {"decay": penalty}).double()
    layer = HyperLinear(X.shape[1], Y.shape[1], 1, bias=False, penalty="decay").double()
    net = SelfTuningNet(layer)
    hs = [torch.full((len(X), 1), h, dtype=torch.float64) for h in (spread, -spread)]
    with torch.no_grad():
        layer.response.fill_(1.0)  # then W and its direction are a least squares problem
    optimizer = torch.optim.LBFGS(
        [layer.weight, layer.direction],
        max_iter=3000,
        tolerance_grad=1e-13,
        tolerance_change=1e-16,
        line_search_fn="strong_wolfe",
        history_size=50,
    )

    def closure():
        optimizer.zero_grad()
        value = sum(train_objective(net, hypers, X, Y, h, squared_error) for h in hs)
        value.backward()
        return value

    optimizer.step(closure)
    return layer


def test_a_linear_network_learns_the_exact_best_response_of_ridge():
    """With one hyper-parameter and two values of it, W + h D can be both minima: it must be."""
    X, Y, penalty, spread = normal(30, 4), normal(30, 2, seed=1), 0.3, 0.5
    layer = fit_response(X, Y, penalty, spread)
    for h in (spread, -spread):
        got = layer.at(torch.tensor([h], dtype=torch.float64))[0].detach()
        close(got, ridge_response(X, Y, penalty * math.exp(h)), 1e-6)


def test_the_response_is_the_derivative_of_ridge_s_minimum_up_to_the_square_of_the_spread():
    X, Y, penalty = normal(30, 4), normal(30, 2, seed=1), 0.3
    best = ridge_response(X, Y, penalty)
    A = X.T @ X / 30 + penalty * torch.eye(4, dtype=torch.float64)
    derivative = -penalty * torch.linalg.solve(A, best.T).T
    errors = []
    for spread in (0.4, 0.2):
        layer = fit_response(X, Y, penalty, spread)
        got = (layer.response @ torch.ones(1, 1).double() * layer.direction).detach()
        errors.append(float((got - derivative).norm() / derivative.norm()))
    assert errors[1] < 0.02
    assert 3.5 < errors[0] / errors[1] < 4.5


def test_the_validation_gradient_through_the_response_is_the_hypergradient_of_ridge():
    X, Y, penalty, spread = normal(30, 4), normal(30, 2, seed=1), 0.3, 0.05
    X_val, Y_val = normal(20, 4, seed=2), normal(20, 2, seed=3)
    layer = fit_response(X, Y, penalty, spread)
    hypers = HyperParameters({}, {"decay": penalty}).double()
    h = torch.zeros(20, 1, dtype=torch.float64, requires_grad=True)
    value = val_objective(SelfTuningNet(layer), hypers, X_val, Y_val, h, 0.0, squared_error)
    got = torch.autograd.grad(value, h)[0].sum()

    def val_loss(log_penalty):
        W = ridge_response(X, Y, log_penalty.exp())
        return squared_error(X_val @ W.T, Y_val).mean()

    at = torch.tensor(math.log(penalty), dtype=torch.float64, requires_grad=True)
    (exact,) = torch.autograd.grad(val_loss(at), at)
    assert math.isclose(float(got), float(exact), rel_tol=5e-3)


def test_self_tuning_finds_the_penalty_that_is_best_for_ridge():
    """From a penalty far too small and one too large: both end near the exact optimum."""
    w = normal(10, 1, seed=106)
    X, X_val = normal(30, 10, seed=112), normal(200, 10, seed=122)
    Y = X @ w + 4 * normal(30, 1, seed=132)
    Y_val = X_val @ w + 4 * normal(200, 1, seed=142)
    logs = torch.linspace(-4, 4, 801, dtype=torch.float64)
    losses = [squared_error(X_val @ ridge_response(X, Y, x.exp()).T, Y_val).mean() for x in logs]
    best = float(logs[torch.stack(losses).argmin()])
    assert -3 < best < 3
    for start in (best - 1.5, best + 1.5):
        torch.manual_seed(0)
        hypers = HyperParameters({}, {"decay": math.exp(start)}, scale=0.5).double()
        net = SelfTuningNet(HyperLinear(10, 1, 1, bias=False, penalty="decay")).double()
        history = self_tune(
            net,
            hypers,
            [(X.repeat(10, 1), Y.repeat(10, 1))] * 300,
            [(X_val, Y_val)],
            torch.optim.Adam(net.parameters(), lr=0.01),
            torch.optim.Adam([hypers.location], lr=0.02),
            epochs=3,
            warmup=1,
            loss=squared_error,
            generator=torch.Generator().manual_seed(0),
        )
        assert abs(math.log(history.last["decay"]) - best) < 0.3
        assert math.isclose(history.last["decay_scale"], 0.5, rel_tol=1e-6)


# The objectives and the loop


def small(seed=0):
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    net, hypers = self_tuning_mlp([4, 6, 3], generator=generator)
    X, y = normal(20, 4).float(), torch.arange(20) % 3
    return net, hypers, list(zip(X.split(5), y.split(5), strict=True)), generator


def run(seed=0, lr=0.1, hyper_lr=0.1, **settings):
    net, hypers, batches, generator = small(seed)
    settings = {"epochs": 2, "generator": generator, **settings}
    history = self_tune(
        net,
        hypers,
        batches,
        batches[::-1],
        torch.optim.SGD(net.parameters(), lr=lr),
        torch.optim.SGD(hypers.parameters(), lr=hyper_lr),
        **settings,
    )
    return history, net, hypers


def test_the_objectives_are_their_formulas():
    net, hypers, batches, _ = small()
    net, hypers = moved(net).eval(), moved(hypers)
    (X, y), h = batches[0], normal(5, 4)
    X = X.double()
    rows = []
    for i in range(5):
        (W1, b1), (W2, b2) = net.layers[1].at(h[i]), net.layers[4].at(h[i])
        logits = F.linear(F.linear(X[i], W1, b1).relu(), W2, b2)
        close(net(X, h)[i], logits)
        penalties = [hypers.value(f"penalty{k}", h[i]) for k in (1, 2)]
        penalty = penalties[0] * W1.square().sum() + penalties[1] * W2.square().sum()
        rows.append(torch.stack([-logits.log_softmax(0)[y[i]], penalty]))
    loss, penalty = torch.stack(rows).mean(0)
    close(train_objective(net, hypers, X, y, h), loss + penalty)
    close(val_objective(net, hypers, X, y, h, 0.3), loss - 0.3 * hypers.entropy())


def test_convolutions_and_dense_layers_work_together():
    hypers = moved(HyperParameters({"drop": 0.2}, {"conv": 0.1, "dense": 0.2}))
    net = SelfTuningNet(
        HyperConv2d(1, 2, 3, 3, penalty="conv"),
        nn.ReLU(),
        nn.Flatten(),
        HyperDropout(hypers, "drop"),
        HyperLinear(8, 3, 3, penalty="dense"),
        HyperLinear(3, 3, 3),  # without a penalty
    )
    net, X, h = moved(net).eval(), normal(5, 1, 4, 4), normal(5, 3, seed=1)
    conv, dense, last = (net.layers[i] for i in (0, 4, 5))
    expected = last(dense(conv(X, h).relu().flatten(1), h), h)
    close(net(X, h), expected)
    penalty = hypers.value("conv", h) * conv.squares(h)
    close(net.penalty(hypers, h), penalty + hypers.value("dense", h) * dense.squares(h))


def test_the_history_has_each_hyper_parameter_and_the_seed_repeats_it():
    history, *_ = run(evaluate=lambda: {"extra": 1.0})
    names = ["dropout1", "dropout2", "penalty1", "penalty2"]
    assert list(history) == [
        *("train_loss", "val_loss", *names, *(f"{name}_scale" for name in names), "extra")
    ]
    assert history.epochs == 2
    again, other = run(evaluate=lambda: {"extra": 1.0})[0], run(seed=1)[0]
    assert again == history
    assert other["train_loss"] != history["train_loss"]


def test_each_optimizer_moves_its_own_parameters_only():
    def state(module):
        return torch.cat([p.detach().flatten() for p in module.parameters()])

    net, hypers, *_ = small()
    start = state(net), state(hypers)
    for settings, moves in (
        ({"lr": 0.0}, (False, True)),
        ({"hyper_lr": 0.0}, (True, False)),
        ({"warmup": 2}, (True, False)),
        ({"train_steps": 5}, (True, False)),
        ({"warmup": 1}, (True, True)),
    ):
        _, *trained = run(**settings)
        ends = [state(module) for module in trained]
        changed = [not torch.equal(one, other) for one, other in zip(start, ends, strict=True)]
        assert changed == list(moves), settings


def test_training_and_validation_batches_take_turns_in_their_own_modes():
    seen = []

    class Spy(nn.Module):
        def forward(self, x):
            seen.append((int(x[0, 0]), self.training))
            return x

    hypers = HyperParameters({}, {"decay": 0.1})
    net = SelfTuningNet(Spy(), HyperLinear(1, 2, 1))
    y = torch.tensor([0])
    train, val = ([(torch.full((1, 1), float(i)), y) for i in ids] for ids in (range(5), (7, 8, 9)))
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.1) for module in (net, hypers)]
    self_tune(net, hypers, train, val, *optimizers, epochs=2)
    epochs = [[0, 1, 7, 2, 3, 8, 4], [0, 1, 9, 2, 3, 7, 4]]
    assert seen == [(i, i < 5) for epoch in epochs for i in epoch]


def test_without_updates_of_the_hyper_parameters_the_val_loss_is_nan():
    history, *_ = run(warmup=1)
    assert math.isnan(history["val_loss"][0])
    assert math.isfinite(history["val_loss"][1])
    assert history["penalty1"][0] != history["penalty1"][1]


def test_the_entropy_holds_the_scale_up():
    alone, held = (run(lr=0.0, entropy_weight=weight)[0].last for weight in (0.0, 1.0))
    # A network that does not respond yet gives the scale no other gradient.
    assert math.isclose(alone["penalty1_scale"], 0.5, rel_tol=1e-6)
    assert held["penalty1_scale"] > 0.6


def test_a_diverged_epoch_is_the_last():
    history, *_ = run(lr=1e30, epochs=5)
    assert history.diverged
    assert history.epochs < 5


def test_the_tuned_model_is_the_network_at_the_location():
    _, net, hypers = run()
    X = normal(7, 4).float()
    model = Tuned(net, hypers).eval()
    close(model(X), net(X, hypers.location.detach().expand(7, -1)), 1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HyperParameters(), "there are no hyper-parameters: give a rate or a penalty"),
        (lambda: HyperParameters({"a": 0.0}), "a is 0.0: start a rate between 0 and 1"),
        (lambda: HyperParameters({"a": 1.0}), "a is 1.0: start a rate"),
        (lambda: HyperParameters({}, {"c": 0.0}), "c is 0.0: give a positive, finite number"),
        (lambda: HyperParameters({"a": 0.5}, scale=-1.0), "scale is -1.0: give a positive"),
        (lambda: HyperParameters({"a": 0.5}, {"a": 1.0}), "'a' is a rate and a penalty: give"),
        (lambda: HyperParameters({"a": 0.5}).column("b"), "there is no 'b': the names are a"),
        (lambda: HyperLinear(2, 2, 0), "n_hyper is 0: give 1 or more, or take an ordinary layer"),
        (lambda: self_tuning_mlp([4]), r"sizes is \[4\]: give the inputs and the outputs"),
        (lambda: run(train_steps=0), "train_steps is 0: give 1 or more"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


@pytest.mark.parametrize("kind", ["training", "validation"])
def test_no_batches_are_refused(kind):
    net, hypers, batches, _ = small()
    lists = ([], batches) if kind == "training" else (batches, [])
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.1) for module in (net, hypers)]
    with pytest.raises(ValueError, match=rf"^there are no {kind} batches: give a list or a loader"):
        self_tune(net, hypers, *lists, *optimizers, epochs=1)
