"""First weights are torch's or a closed form; variances are those computed by hand."""

import math
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn import init as torch_init

from mlcourse.init import (
    _orthonormal,
    fans,
    glorot_,
    he_,
    initialise,
    layer_variances,
    orthogonal_,
)

SHAPES = [
    (3, 5),
    (5, 3),
    (4, 4),
    (1, 7),
    (7, 1),
    (6, 2, 3),
    (2, 3, 3, 3),
    (9, 2, 1, 2),
    (2, 3, 2, 2, 2),
]
RULES = {"glorot": glorot_, "he": he_, "orthogonal": orthogonal_}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def empty(shape, dtype=torch.float64):
    return torch.full(shape, float("nan"), dtype=dtype)


# Rules


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (nn.Linear(7, 3), (7, 3)),
        (nn.Conv1d(2, 5, 4), (8, 20)),
        (nn.Conv2d(3, 8, (5, 3)), (45, 120)),
        (nn.Conv3d(1, 2, 2), (8, 16)),
        (nn.Conv2d(4, 8, 3, groups=2), (18, 72)),
    ],
)
def test_fans_count_inputs_and_outputs(layer, expected):
    assert fans(layer.weight) == expected
    inputs = layer.weight[0].numel()  # what one output is made of
    assert expected[0] == inputs


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_generator_gives_the_numbers_that_it_gives_torch(shape, dtype, seed):
    pairs = [
        (glorot_, torch_init.xavier_uniform_),
        (partial(glorot_, gain=4), partial(torch_init.xavier_uniform_, gain=4)),
        (he_, partial(torch_init.kaiming_normal_, nonlinearity="relu")),
        (orthogonal_, torch_init.orthogonal_),
        (partial(orthogonal_, gain=1.5), partial(torch_init.orthogonal_, gain=1.5)),
    ]
    tolerance = 4 * torch.finfo(dtype).eps
    for ours, theirs in pairs:
        W, V = empty(shape, dtype), empty(shape, dtype)
        drawn = generator(seed), generator(seed)
        ours(W, generator=drawn[0])
        theirs(V, generator=drawn[1])
        torch.testing.assert_close(W, V, rtol=tolerance, atol=tolerance)
        assert torch.equal(drawn[0].get_state(), drawn[1].get_state())


def test_glorot_fills_its_interval_and_he_has_its_variance():
    W = glorot_(empty((500, 700)), gain=2, generator=generator())
    limit = 2 * math.sqrt(6 / 1200)
    assert 0.9999 * limit < W.abs().max() <= limit
    assert W.var() == pytest.approx(4 * 2 / 1200, rel=0.01)
    W = he_(empty((500, 30, 5, 5)), generator=generator())
    assert W.var() == pytest.approx(2 / 750, rel=0.01)
    assert abs(W.mean()) < 4 * math.sqrt(2 / 750 / W.numel())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("gain", [1.0, 0.3])
def test_rows_or_columns_are_orthogonal_whichever_are_fewer(shape, gain):
    W = orthogonal_(empty(shape), gain, generator()).flatten(1)
    fewer = W if W.shape[0] <= W.shape[1] else W.T
    expected = gain**2 * torch.eye(len(fewer), dtype=torch.float64)
    torch.testing.assert_close(fewer @ fewer.T, expected, rtol=0, atol=1e-14)


def test_every_orthogonal_matrix_is_equally_likely():
    """Q(U A) = U Q(A) for each orthogonal U, and U A is as likely as A: so U Q is as Q."""
    for seed in range(20):
        n = 2 + seed % 6
        A, U = normal(n, 1 + seed % n, seed=seed), _orthonormal(normal(n, n, seed=100 + seed))
        torch.testing.assert_close(_orthonormal(U @ A), U @ _orthonormal(A), rtol=0, atol=1e-12)
    # The signs of QR as they come do not do it.
    plain = [torch.linalg.qr(B).Q for B in (U @ A, A)]
    assert not torch.allclose(plain[0], U @ plain[1])


def test_orthogonal_matrices_have_the_moments_of_the_uniform_ones():
    Q = torch.stack([orthogonal_(empty((3, 3)), generator=generator(s)) for s in range(2000)])
    spread = 5 / math.sqrt(len(Q))
    trace = Q.diagonal(dim1=1, dim2=2).sum(1)
    assert Q.mean(0).abs().max() < spread * math.sqrt(1 / 3)
    assert abs(trace.mean()) < spread
    assert abs(trace.square().mean() - 1) < spread * math.sqrt(2)
    assert abs(torch.linalg.det(Q).mean()) < spread


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_are_filled_in_place_without_a_gradient(rule, dtype):
    W = nn.Parameter(empty((4, 6), dtype))
    state = torch.get_rng_state()
    assert rule(W, generator=generator()) is W
    assert W.is_leaf
    assert W.requires_grad
    assert W.dtype == dtype
    assert W.isfinite().all()
    assert torch.equal(torch.get_rng_state(), state)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert torch.equal(rule(empty((4, 6), dtype)), W)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_memory_layout_does_not_change_the_numbers(rule):
    W, V = empty((4, 3, 2, 2)), empty((4, 3, 2, 2)).to(memory_format=torch.channels_last)
    assert torch.equal(rule(W, generator=generator()), rule(V, generator=generator()))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_a_generator_on_the_cpu_gives_a_gpu_the_same_weights(rule):
    W = rule(empty((4, 6)).cuda(), generator=generator())
    assert torch.equal(W.cpu(), rule(empty((4, 6)), generator=generator()))


@pytest.mark.parametrize("rule", [fans, *RULES.values()], ids=["fans", *RULES])
@pytest.mark.parametrize("shape", [(), (3,), (0, 3), (3, 0)])
def test_what_is_no_layer_s_weight_is_refused(rule, shape):
    with pytest.raises(ValueError, match=r"W has shape .*: give a layer's weights"):
        rule(torch.empty(shape))


@pytest.mark.parametrize("rule", [glorot_, orthogonal_])
@pytest.mark.parametrize("gain", [0.0, -1.0, float("nan")])
def test_a_gain_that_is_not_positive_is_refused(rule, gain):
    with pytest.raises(ValueError, match=f"gain is {gain}: give a positive factor"):
        rule(torch.empty(2, 2), gain)


# A whole model


def cnn():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5, bias=False)
    )


def test_initialise_fills_dense_and_convolutional_weights_in_order_and_zeroes_biases():
    model = cnn()
    model(torch.zeros(2, 3, 5, 5))
    model[1].weight.data.fill_(7)
    model[1].bias.data.fill_(8)
    assert initialise(model, he_, generator(3)) is model
    draw = generator(3)
    assert torch.equal(model[0].weight, he_(torch.empty(4, 3, 3, 3), generator=draw))
    assert torch.equal(model[4].weight, he_(torch.empty(5, 36), generator=draw))
    assert not model[0].bias.any()
    assert model[1].weight.eq(7).all()
    assert model[1].bias.eq(8).all()
    assert all(p.requires_grad and p.grad is None for p in model.parameters())


def test_initialise_takes_a_rule_with_a_gain():
    model = initialise(nn.Sequential(nn.Linear(3, 2)), partial(glorot_, gain=4), generator())
    assert torch.equal(model[0].weight, glorot_(torch.empty(2, 3), 4, generator()))


def test_initialise_refuses_a_model_without_such_layers():
    with pytest.raises(ValueError, match="Sequential has no dense or convolutional layer: give"):
        initialise(nn.Sequential(nn.ReLU()), he_)


# Variances


def deep(activation, rule, depth=20, width=100, seed=0):
    layers = [f() for _ in range(depth) for f in (partial(nn.Linear, width, width), activation)]
    return initialise(nn.Sequential(*layers).double(), rule, generator(seed))


def half_square(output):
    return output.square().sum() / 2


def test_variances_of_a_dense_net_are_those_computed_by_hand():
    model = initialise(
        nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)),
        glorot_,
        generator(),
    ).double()
    X, y = normal(9, 4), torch.arange(9) % 3
    found = layer_variances(model, X, lambda logits: F.cross_entropy(logits, y))

    W1, W2, W3 = (model[i].weight.detach() for i in (0, 2, 4))
    z1 = X @ W1.T
    h1 = z1.tanh()
    z2 = h1 @ W2.T
    h2 = z2.relu()
    z3 = h2 @ W3.T
    d3 = (z3.softmax(1) - F.one_hot(y)) / 9
    e2 = d3 @ W3
    d2 = e2 * (z2 > 0)
    e1 = d2 @ W2
    d1 = e1 * (1 - h1**2)
    assert found.names == ("0", "1", "2", "3", "4")
    assert found.kinds == ("Linear", "Tanh", "Linear", "ReLU", "Linear")
    outputs, grads = (z1, h1, z2, h2, z3), (d1, e1, d2, e2, d3)
    assert found.forward == pytest.approx([float(v.var(correction=0)) for v in outputs], rel=1e-10)
    signal = [float(v.var(0, correction=0).mean()) for v in outputs]
    assert found.signal == pytest.approx(signal, rel=1e-10)
    assert found.backward == pytest.approx([float(v.var(correction=0)) for v in grads], rel=1e-10)
    dead = float((h2 == 0).all(0).double().mean())
    assert found.dead == (None, None, None, dead, None)
    only = found.of("Linear")
    assert only.names == ("0", "2", "4")
    assert only.forward == found.forward[::2]
    assert only.backward == found.backward[::2]


def test_orthogonal_layers_keep_the_signal_exactly():
    model = deep(nn.Identity, orthogonal_, width=30)
    found = layer_variances(model, normal(50, 30), half_square).of("Linear")
    assert found.signal == pytest.approx([found.signal[0]] * 20, rel=1e-12)


@pytest.mark.parametrize(
    ("activation", "rule", "low", "high"),
    [
        (nn.ReLU, he_, 1 / 4, 4),
        (nn.ReLU, glorot_, 2**-19 / 4, 2**-19 * 4),
        (nn.Sigmoid, partial(glorot_, gain=4), 0, 1e-6),
    ],
    ids=["He for ReLU", "Glorot for ReLU", "Glorot times 4 for sigmoid"],
)
def test_what_a_rule_does_to_the_gradient_s_variance_in_20_layers(activation, rule, low, high):
    """Glorot halves it at each of 19 ReLUs; sigmoid's slope is 1/4 at 0 and less elsewhere.

    The loss is random and linear: a gradient that follows the outputs, as that of a square does,
    is not what the theory is about.
    """
    factors = normal(100, 100, seed=99)
    for seed in range(3):
        model = deep(activation, rule, seed=seed)
        X = normal(100, 100, seed=50 + seed)
        found = layer_variances(model, X, lambda output: (output * factors).sum()).of("Linear")
        assert low < found.backward[0] / found.backward[-1] < high


def test_sigmoid_s_variance_hides_that_its_outputs_are_the_same_for_all_examples():
    model = deep(nn.Sigmoid, partial(glorot_, gain=4))
    found = layer_variances(model, normal(100, 100), half_square).of("Linear")
    assert found.forward[-1] > 0.1 * found.forward[0]
    assert found.signal[-1] < 1e-5 * found.signal[0]


def test_a_unit_is_dead_when_it_is_zero_for_every_example():
    model = nn.Sequential(nn.Linear(3, 8), nn.ReLU()).double()
    with torch.no_grad():
        model[0].bias[:6] = -100
        model[0].bias[6:] = 100
    assert layer_variances(model, normal(10, 3), half_square).dead == (None, 0.75)


def test_a_channel_is_dead_when_it_is_zero_at_every_position_of_every_example():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()).double()
    nn.init.zeros_(model[0].weight)
    with torch.no_grad():
        model[0].weight[3, 0, 1, 1] = 1
        model[0].bias.copy_(torch.tensor([-1.0, 1.0, -1.0, 0.0]))
    X = torch.zeros(2, 1, 5, 5).double()
    X[1, 0, 2, 3] = 1  # one position of one example keeps the last channel alive
    assert layer_variances(model, X, half_square).dead == (None, 0.5)


def test_layers_that_work_in_place_do_not_change_what_is_found():
    X = normal(6, 5)
    found = []
    for inplace in (False, True):
        layers = [nn.ReLU(inplace), nn.Linear(5, 5), nn.ReLU(inplace), nn.Linear(5, 5)]
        model = initialise(nn.Sequential(*layers, nn.ReLU(inplace)).double(), he_, generator())
        found.append(layer_variances(model, X.clone(), half_square))
    assert found[0] == found[1]


class Shared(nn.Module):
    """One activation, called twice, and a shortcut that is empty."""

    def __init__(self):
        super().__init__()
        self.dense = nn.ModuleList([nn.Linear(3, 3) for _ in range(2)])
        self.activation = nn.Tanh()
        self.unused = nn.Linear(3, 3)

    def forward(self, X):
        for layer in self.dense:
            X = self.activation(layer(X))
        return X


def test_a_row_for_each_call_in_the_order_of_the_calls():
    found = layer_variances(Shared(), torch.ones(2, 3), half_square)
    assert found.names == ("dense.0", "activation", "dense.1", "activation")
    assert len(set(found.forward)) == 4


def test_a_module_that_holds_an_empty_one_is_not_a_layer():
    model = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.Sequential()))
    assert layer_variances(model, torch.ones(2, 3), half_square).names == ("0", "1.0")


def test_a_single_layer_has_its_class_as_name():
    assert layer_variances(nn.Linear(3, 2), normal(4, 3).float(), half_square).names == ("Linear",)


def test_a_frozen_model_has_the_same_variances_even_where_no_gradient_is_recorded():
    model, X = deep(nn.Tanh, glorot_, depth=3), normal(5, 100)
    expected = layer_variances(model, X, half_square)
    with torch.no_grad():
        assert layer_variances(model, X, half_square) == expected
    for count in (2, 6):
        for parameter in list(model.parameters())[:count]:
            parameter.requires_grad_(False)
        assert layer_variances(model, X, half_square) == expected
    assert not X.requires_grad


def test_an_output_that_the_loss_does_not_use_has_gradient_zero():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.other = nn.Linear(3, 2), nn.Linear(3, 2)

        def forward(self, X):
            return self.used(X), self.other(X)

    X = normal(4, 3).float()
    found = layer_variances(Two(), X, lambda outputs: outputs[0].square().sum())
    assert found.backward[0] > 0
    assert found.backward[1] == 0


class Bad(nn.Module):
    def forward(self, X):
        raise RuntimeError("no")


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fails", ["nothing", "forward", "loss"])
def test_the_model_and_the_random_numbers_stay_as_they_were(training, fails):
    model = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, 2))
    if fails == "forward":
        model.append(Bad())
    model.train(training)
    calls = []
    model[0].register_forward_hook(lambda *_: calls.append(1))
    model[0].weight.grad = torch.ones(6, 4)
    modes = [module.training for module in model.modules()]
    tensors = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()

    def loss(output):
        if fails == "loss":
            raise RuntimeError("no")
        return half_square(output)

    run = partial(layer_variances, model, torch.ones(3, 4), loss)
    if fails == "nothing":
        first, second = run(), run()
        assert first.forward == second.forward
    else:
        with pytest.raises(RuntimeError, match="no"):
            run()
    assert torch.equal(torch.get_rng_state(), state)
    assert [module.training for module in model.modules()] == modes
    assert [len(module._forward_hooks) for module in model.modules()][:3] == [0, 1, 0]
    assert not any(module._forward_hooks for module in list(model.modules())[2:])
    assert model[0].weight.grad.eq(1).all()
    assert model[3].weight.grad is None
    for name, value in model.state_dict().items():
        assert torch.equal(value, tensors[name])
    assert calls


def test_batch_norm_is_seen_in_the_mode_it_is_in():
    model = nn.Sequential(nn.BatchNorm1d(4)).double()
    X = 3 * normal(50, 4) + 1
    training = layer_variances(model, X, half_square).forward[0]
    evaluation = layer_variances(model.eval(), X, half_square).forward[0]
    assert training == pytest.approx(1, rel=1e-4)
    assert evaluation == pytest.approx(float(X.var(correction=0)), rel=1e-4)


def test_a_loss_that_is_not_one_number_and_a_kind_that_is_not_there_are_refused():
    model, X = nn.Sequential(nn.Linear(3, 2), nn.ReLU()), torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"the loss has shape \(2, 2\): give one that returns"):
        layer_variances(model, X, lambda output: output)
    found = layer_variances(model, X, half_square)
    with pytest.raises(ValueError, match="no layer of kind 'Tanh': choose from Linear, ReLU"):
        found.of("Tanh")
