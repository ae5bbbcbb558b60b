"""Dropout, batch norm, max-norm and label smoothing are torch's, and their gradients are right."""

from itertools import product

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F

from mlcourse import regularization
from mlcourse.gradcheck import gradient_check
from mlcourse.regularization import (
    BatchNorm,
    batch_norm_backward,
    batch_norm_forward,
    dropout,
    label_smoothing_cross_entropy,
    max_norm_,
)

SHAPES = [(2, 1), (2, 5), (7, 3), (64, 10), (1, 3, 2, 2), (2, 4, 1, 1), (5, 3, 4, 6), (3, 2, 7, 1)]


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(*shape, dtype=dtype, generator=generator(seed))


def close(got, expected, tolerance=1e-10):
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


# Dropout


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
@pytest.mark.parametrize("inverted", [True, False])
def test_the_next_layer_sees_the_same_mean_in_training_as_at_test_time(monkeypatch, p, inverted):
    """Exactly: the mean over all masks of three inputs, each with its probability."""
    x, weights = normal(1, 3), normal(2, 3, seed=1)
    mean = torch.zeros(1, 2, dtype=torch.float64)
    total = 0.0
    for kept in product([True, False], repeat=3):
        probability = (1 - p) ** sum(kept) * p ** (3 - sum(kept))
        # A uniform number of [p, 1) keeps its entry, one of [0, p) drops it.
        uniform = torch.tensor([[(1 + p) / 2 if k else p / 2 for k in kept]])
        if p == 0 and not all(kept):
            continue
        monkeypatch.setattr(regularization.torch, "rand", lambda *a, u=uniform, **k: u)
        mean += probability * dropout(x, p, inverted=inverted) @ weights.T
        total += probability
    assert total == pytest.approx(1, rel=1e-14)
    close(mean, dropout(x, p, training=False, inverted=inverted) @ weights.T, 1e-14)


def test_an_entry_is_kept_or_dropped_whole():
    x = normal(40, 50) + 10  # nowhere zero
    inverted = dropout(x, 0.25, generator=generator(1))
    classic = dropout(x, 0.25, inverted=False, generator=generator(1))
    kept = classic != 0
    assert torch.equal(classic[kept], x[kept])
    close(inverted, classic / 0.75, 1e-15)
    assert kept.any()
    assert not kept.all()
    # Neither whole rows nor whole columns: each entry is drawn for itself.
    assert all(0 < n < x.shape[1 - dim] for dim in (0, 1) for n in kept.sum(1 - dim).tolist())


def test_at_test_time_inverted_dropout_does_nothing_and_classic_multiplies_by_q():
    x = normal(4, 5)
    assert torch.equal(dropout(x, 0.3, training=False), x)
    close(dropout(x, 0.3, training=False, inverted=False), 0.7 * x, 1e-15)


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("training", [True, False])
def test_the_ends_are_torch_s(p, training):
    x = normal(4, 5).requires_grad_()
    ours, theirs = dropout(x, p, training=training), F.dropout(x, p, training)
    assert torch.equal(ours, theirs)
    assert torch.equal(*(torch.autograd.grad(out.sum(), x)[0] for out in (ours, theirs)))
    classic = dropout(x, p, training=training, inverted=False)
    assert torch.equal(classic, x * (1 - p))


@pytest.mark.parametrize("drawn", [0.0, 1 - 2**-24])
def test_the_ends_hold_for_the_smallest_and_largest_number_drawn(monkeypatch, drawn):
    x = normal(2, 2)
    monkeypatch.setattr(regularization.torch, "rand", lambda *a, **k: torch.full((2, 2), drawn))
    assert torch.equal(dropout(x, 0.0), x)
    assert not dropout(x, 1.0).any()


def test_a_generator_repeats_the_mask_and_leaves_torch_s_alone():
    x = normal(20, 20)
    state = torch.get_rng_state()
    first, again, other = (dropout(x, 0.5, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("inverted", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_dropout_keeps_dtype_shape_and_its_argument(dtype, inverted, training):
    x = normal(2, 3, 4, 5, dtype=torch.float32).to(dtype)
    before = x.clone()
    out = dropout(x, 0.5, training=training, inverted=inverted)
    assert out.dtype == dtype
    assert out.shape == x.shape
    assert torch.equal(x, before)


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_dropout_refuses_what_is_no_probability(p):
    with pytest.raises(ValueError, match=f"p is {p}"):
        dropout(torch.zeros(1), p, training=False)


# Batch norm


def arguments(shape, seed=0):
    channels = shape[1]
    return (
        3 * normal(*shape, seed=seed) + 2,
        normal(channels, seed=seed + 1),
        normal(channels, seed=seed + 2),
    )


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("eps", [1e-5, 1e-12, 0.1])
def test_batch_norm_forward_and_backward_are_torch_s(shape, eps):
    x, gamma, beta = arguments(shape)
    out, cache = batch_norm_forward(x, gamma, beta, eps)
    expected, mean, inverse_std = torch.native_batch_norm(
        x, gamma, beta, None, None, True, 0.1, eps
    )
    close(out, expected)
    close(cache.mean, mean)
    close(1 / cache.std, inverse_std)

    grad = normal(*shape, seed=9)
    inputs = [t.clone().requires_grad_() for t in (x, gamma, beta)]
    F.batch_norm(inputs[0], None, None, inputs[1], inputs[2], training=True, eps=eps).backward(grad)
    # With a tiny eps and two examples the gradient is a small difference of large numbers.
    for ours, tensor in zip(batch_norm_backward(grad, cache), inputs, strict=True):
        assert ours.shape == tensor.shape
        close(ours, tensor.grad)


def test_batch_norm_on_random_sizes():
    draw = generator(4)
    for seed in range(60):
        n, c, h, w = torch.randint(1, 6, (4,), generator=draw).tolist()
        shape = (n + 1, c) if seed % 2 else (n + 1, c, h, w)
        x, gamma, beta = arguments(shape, seed)
        out, cache = batch_norm_forward(x, gamma, beta)
        inputs = [t.clone().requires_grad_() for t in (x, gamma, beta)]
        expected = F.batch_norm(inputs[0], None, None, inputs[1], inputs[2], training=True)
        close(out, expected.detach())
        grad = normal(*shape, seed=seed + 5)
        expected.backward(grad)
        for ours, tensor in zip(batch_norm_backward(grad, cache), inputs, strict=True):
            close(ours, tensor.grad)


@pytest.mark.parametrize("shape", [(2, 3), (6, 2), (3, 2, 2, 3)])
def test_batch_norm_s_gradient_is_the_differences(shape):
    x, gamma, beta = arguments(shape)
    factors = normal(*shape, seed=7)
    _, cache = batch_norm_forward(x, gamma, beta)
    grads = dict(zip(("x", "gamma", "beta"), batch_norm_backward(factors, cache), strict=True))
    check = gradient_check(
        lambda p: (factors * batch_norm_forward(p["x"], p["gamma"], p["beta"])[0]).sum(),
        {"x": x, "gamma": gamma, "beta": beta},
        grads,
    )
    # Two examples make x_hat almost a sign, and its gradient almost zero.
    assert set(check.bands.values()) <= ({"right", "plausible"} if shape[0] == 2 else {"right"})


def test_out_is_normalised_with_the_biased_variance():
    x, *_ = arguments((50, 3, 4, 4))
    out, cache = batch_norm_forward(x, *torch.tensor([[1.0] * 3, [0.0] * 3]).double(), eps=0.0)
    flat = out.transpose(0, 1).flatten(1)
    close(flat.mean(1), torch.zeros(3, dtype=torch.float64))
    close(flat.var(1, correction=0), torch.ones(3, dtype=torch.float64))
    close(cache.var, x.transpose(0, 1).flatten(1).var(1, correction=0))


@pytest.mark.parametrize(
    ("theirs", "shape"), [(nn.BatchNorm1d, (4, 3)), (nn.BatchNorm2d, (2, 3, 4, 5))]
)
@pytest.mark.parametrize("settings", [{}, {"eps": 1e-3, "momentum": 0.3}])
def test_the_layer_is_torch_s_step_by_step(theirs, shape, settings):
    ours, layer = BatchNorm(3, **settings).double(), theirs(3, **settings).double()
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.1, momentum=0.9) for m in (ours, layer)]
    target = normal(*shape, seed=99)
    for step in range(20):
        inputs = [(normal(*shape, seed=step) * (1 + step)).requires_grad_() for _ in range(2)]
        outputs = [m(x) for m, x in zip((ours, layer), inputs, strict=True)]
        close(*outputs)
        for optimizer, out in zip(optimizers, outputs, strict=True):
            optimizer.zero_grad()
            (out - target).square().mean().backward()
            optimizer.step()
        close(inputs[0].grad, inputs[1].grad)
        for name, value in ours.state_dict().items():
            close(value, layer.state_dict()[name])
    ours.eval()
    layer.eval()
    before = {name: value.clone() for name, value in ours.state_dict().items()}
    for n in (1, 5):
        inputs = [normal(n, *shape[1:], seed=n).requires_grad_() for _ in range(2)]
        outputs = [m(x) for m, x in zip((ours, layer), inputs, strict=True)]
        close(*outputs)
        for out in outputs:
            out.square().sum().backward()
        close(inputs[0].grad, inputs[1].grad)
    assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())


@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4, 5)])
def test_second_derivatives_through_the_layer_are_torch_s(shape):
    x, gamma, beta = arguments(shape)
    target, direction = normal(*shape, seed=3), normal(*shape, seed=4)

    def ours(x, gamma, beta):
        layer = BatchNorm(shape[1]).double()
        parameters = {"weight": gamma, "bias": beta}
        return functional_call(layer, parameters, x)

    def theirs(x, gamma, beta):
        return F.batch_norm(x, None, None, gamma, beta, training=True)

    found = []
    for batch_norm in (ours, theirs):
        inputs = [t.clone().requires_grad_() for t in (x, gamma, beta)]
        out = batch_norm(*inputs)
        loss = (out.tanh() - target).square().sum()
        grads = torch.autograd.grad(loss, inputs, create_graph=True)
        slope = (grads[0] * direction).sum() + grads[1].square().sum() + grads[2].sum()
        found.append(torch.autograd.grad(slope, inputs))
    for mine, torch_s in zip(*found, strict=True):
        close(mine, torch_s)


def test_at_test_time_an_output_does_not_depend_on_the_rest_of_the_batch():
    layer = BatchNorm(3)
    x = normal(8, 3, dtype=torch.float32)
    layer(x)
    assert not torch.equal(layer(x)[:2], layer(x[:2]))
    layer.eval()
    assert torch.equal(layer(x)[:2], layer(x[:2]))


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)])
def test_one_number_a_channel_is_refused_in_training_and_taken_at_test_time(shape):
    layer = BatchNorm(3)
    x = normal(*shape, dtype=torch.float32)
    with pytest.raises(ValueError, match="one number a channel"):
        layer(x)
    assert layer.running_mean.eq(0).all()
    assert layer.eval()(x).shape == shape
    with pytest.raises(ValueError, match="one number a channel"):
        batch_norm_forward(x, layer.weight, layer.bias)


@pytest.mark.parametrize(
    ("x", "gamma", "beta"), [((4, 3), (2,), (3,)), ((4, 3), (3,), (1, 3)), ((4,), (4,), (4,))]
)
def test_batch_norm_refuses_shapes_that_do_not_fit(x, gamma, beta):
    with pytest.raises(ValueError, match=r"x must be \(N, C, \.\.\.\)"):
        batch_norm_forward(torch.zeros(x), torch.ones(gamma), torch.zeros(beta))


# Max-norm


@pytest.mark.parametrize("shape", [(6, 5), (8, 3, 2, 2), (4, 1)])
@pytest.mark.parametrize("limit", [0.5, 2.0, 100.0])
def test_max_norm_is_torch_renorm_for_each_neuron(shape, limit):
    weight = normal(*shape)
    weight[0] = 0
    expected = torch.renorm(weight, 2, 0, limit)
    result = max_norm_(weight, limit)
    assert result is weight
    close(weight, expected)
    assert weight.flatten(1).norm(dim=1).max() <= limit


def test_max_norm_leaves_small_rows_alone_and_keeps_directions():
    weight = torch.tensor([[3.0, 4.0], [0.3, 0.4], [-6.0, 8.0]], dtype=torch.float64)
    max_norm_(weight, 1.0)
    assert weight[1].tolist() == [0.3, 0.4]
    close(weight[::2], torch.tensor([[0.6, 0.8], [-0.6, 0.8]], dtype=torch.float64), 1e-7)
    once = weight.clone()
    assert torch.equal(max_norm_(weight, 1.0), once)


def test_max_norm_after_each_step_of_an_optimizer():
    layer = nn.Linear(4, 3)
    optimizer = torch.optim.SGD(layer.parameters(), lr=10.0)
    optimizer.register_step_post_hook(lambda *_: max_norm_(layer.weight, 0.7))
    layer(normal(5, 4, dtype=torch.float32)).square().sum().backward()
    optimizer.step()
    assert layer.weight.requires_grad
    close(layer.weight.detach().norm(dim=1), torch.full((3,), 0.7), 1e-6)


@pytest.mark.parametrize(
    ("weight", "limit", "message"),
    [
        (torch.ones(2, 2), 0.0, "limit is 0.0"),
        (torch.ones(2, 2), float("nan"), "limit is nan"),
        (torch.ones(3), 1.0, r"weight has shape \(3,\)"),
    ],
)
def test_max_norm_refuses(weight, limit, message):
    with pytest.raises(ValueError, match=message):
        max_norm_(weight, limit)


# Label smoothing


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9, 1.0])
@pytest.mark.parametrize(("n", "classes"), [(1, 2), (5, 10), (32, 3)])
def test_label_smoothing_is_torch_s_and_a_divergence(smoothing, n, classes):
    logits = (4 * normal(n, classes)).requires_grad_()
    labels = torch.randint(0, classes, (n,), generator=generator(1))
    ours = label_smoothing_cross_entropy(logits, labels, smoothing)
    theirs = F.cross_entropy(logits, labels, label_smoothing=smoothing)
    close(ours, theirs)
    close(*(torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in (ours, theirs)))

    # The cross-entropy is the soft labels' entropy plus their divergence from the prediction.
    soft = F.one_hot(labels, classes).double() * (1 - smoothing) + smoothing / classes
    entropy = torch.special.entr(soft).sum() / n
    divergence = F.kl_div(logits.log_softmax(1), soft, reduction="batchmean")
    close(ours, entropy + divergence)


def test_label_smoothing_s_gradient_is_the_probabilities_minus_the_soft_labels():
    logits, labels = normal(4, 3), torch.tensor([0, 2, 1, 2])
    soft = F.one_hot(labels, 3).double() * 0.8 + 0.2 / 3
    check = gradient_check(
        lambda p: label_smoothing_cross_entropy(p["logits"], labels, 0.2),
        {"logits": logits},
        {"logits": (logits.softmax(1) - soft) / 4},
    )
    assert check.bands == {"logits": "right"}


def test_label_smoothing_stays_finite_for_extreme_logits():
    logits = torch.tensor([[1e4, -1e4, 0.0]], dtype=torch.float64)
    loss = label_smoothing_cross_entropy(logits, torch.tensor([1]), 0.1)
    close(loss, F.cross_entropy(logits, torch.tensor([1]), label_smoothing=0.1))
    assert loss.isfinite()


@pytest.mark.parametrize(
    ("logits", "labels", "smoothing", "message"),
    [
        ((2, 3), (2,), 1.1, "smoothing is 1.1"),
        ((2, 3), (3,), 0.1, r"labels \(3,\)"),
        ((2, 3), (2, 3), 0.1, r"labels \(2, 3\)"),
        ((3,), (3,), 0.1, r"logits have shape \(3,\)"),
    ],
)
def test_label_smoothing_refuses(logits, labels, smoothing, message):
    with pytest.raises(ValueError, match=message):
        label_smoothing_cross_entropy(
            torch.zeros(logits), torch.zeros(labels, dtype=torch.int64), smoothing
        )


def test_dropout_s_gradient_is_the_differences():
    x, factors = normal(4, 5), normal(4, 5, seed=1)

    def loss(p):
        return (factors * dropout(p["x"], 0.4, generator=generator(3))).sum()

    leaf = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss({"x": leaf}), leaf)
    assert gradient_check(loss, {"x": x}, {"x": grad}).bands == {"x": "right"}
