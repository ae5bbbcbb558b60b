"""The network by hand: formulas against autograd, numerical safety, dtypes, shapes, protocol."""

import re
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mlcourse import mlp
from mlcourse.data import one_hot

FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
KEYS = {"Wh": (4, 2), "bh": (4,), "Wy": (3, 4), "by": (3,)}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def example(seed: int = 0, dtype: torch.dtype = torch.float64, n: int = 7):
    draw = generator(seed)
    params = mlp.init_params(2, 4, 3, dtype=dtype, generator=draw)
    params = {
        k: v + 0.1 * torch.randn(v.shape, generator=draw).to(dtype) for k, v in params.items()
    }
    X = torch.randn(n, 2, generator=draw).to(dtype)
    Y = one_hot(torch.randint(3, (n,), generator=draw), 3, dtype)
    return params, X, Y


def relative(got: Tensor, expected: Tensor) -> float:
    size = torch.maximum(got.norm(), expected.norm())
    return float((got - expected).norm() / size) if size > 0 else 0.0


def by_autograd(params: dict[str, Tensor], loss) -> dict[str, Tensor]:
    leaves = {name: value.clone().requires_grad_() for name, value in params.items()}
    grads = torch.autograd.grad(loss(leaves), list(leaves.values()))
    return dict(zip(leaves, grads, strict=True))


def torch_logits(network: mlp.MLP, params: dict[str, Tensor], X: Tensor) -> Tensor:
    for layer in range(1, network.depth + 1):
        X = torch.nn.functional.linear(X, params[f"W{layer}"], params[f"b{layer}"])
        if layer < network.depth:
            X = getattr(torch, network.activation)(X)
    return X


networks = st.fixed_dictionaries(
    {
        "sizes": st.lists(st.integers(1, 9), min_size=2, max_size=6),
        "activation": st.sampled_from(sorted(mlp.ACTIVATIONS)),
        "n": st.integers(1, 17),
        "seed": st.integers(0, 2**32 - 1),
    }
)


@settings(max_examples=200, deadline=None)
@given(networks)
def test_gradients_of_any_network_agree_with_autograd(drawn):
    draw = generator(drawn["seed"])
    network = mlp.MLP(drawn["sizes"], drawn["activation"], dtype=torch.float64, generator=draw)
    for name, value in network.params.items():
        if name.startswith("b"):
            network.params[name] = torch.randn(value.shape, dtype=value.dtype, generator=draw)
    X = torch.randn(drawn["n"], drawn["sizes"][0], dtype=torch.float64, generator=draw)
    classes = drawn["sizes"][-1]
    labels = torch.randint(classes, (drawn["n"],), generator=draw)
    Y = one_hot(labels, classes, torch.float64)

    logits, outputs = network.forward(X)
    grads = network.backward(outputs, Y)
    loss, accuracy = network.loss_accuracy(logits, Y)

    reference = torch_logits(network, network.params, X)
    expected = by_autograd(
        network.params,
        lambda leaves: torch.nn.functional.cross_entropy(torch_logits(network, leaves, X), labels),
    )
    assert relative(logits, reference) < 1e-12
    assert abs(loss - torch.nn.functional.cross_entropy(reference, labels)) < 1e-12
    assert accuracy == (reference.argmax(1) == labels).double().mean()
    assert list(grads) == list(network.params)
    for name in grads:
        assert relative(grads[name], expected[name]) < 1e-10, name


@settings(max_examples=50, deadline=None)
@given(networks)
def test_a_step_is_the_gradient_times_the_rate_in_place(drawn):
    draw = generator(drawn["seed"])
    network = mlp.MLP(drawn["sizes"], drawn["activation"], dtype=torch.float64, generator=draw)
    X = torch.randn(drawn["n"], drawn["sizes"][0], dtype=torch.float64, generator=draw)
    Y = one_hot(torch.randint(drawn["sizes"][-1], (drawn["n"],)), drawn["sizes"][-1], X.dtype)
    logits, outputs = network.forward(X)
    expected = mlp.sgd(network.params, network.backward(outputs, Y), 0.3)
    tensors = dict(network.params)

    loss = network.step(X, Y, 0.3)

    assert abs(loss - mlp.cross_entropy(logits, Y)) < 1e-12
    for name, value in network.params.items():
        assert value is tensors[name]
        torch.testing.assert_close(value, expected[name], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("seed", range(10))
def test_backward_of_the_five_functions_agrees_with_autograd(seed):
    params, X, Y = example(seed)

    def loss(leaves):
        return mlp.loss_accuracy(mlp.forward(leaves, X)[0], Y)[0]

    expected = by_autograd(params, loss)
    grads = mlp.backward(params, mlp.forward(params, X)[1], Y)
    assert {name: tuple(grad.shape) for name, grad in grads.items()} == KEYS
    for name in KEYS:
        assert relative(grads[name], expected[name]) < 1e-10, name


def test_the_loss_is_a_mean_so_doubling_the_batch_changes_nothing():
    params, X, Y = example()
    grads = mlp.backward(params, mlp.forward(params, X)[1], Y)
    outputs = mlp.forward(params, torch.cat([X, X]))[1]
    twice = mlp.backward(params, outputs, torch.cat([Y, Y]))
    for name in KEYS:
        torch.testing.assert_close(twice[name], grads[name], rtol=1e-12, atol=1e-15)


def test_losses_and_parameters_of_a_step_are_ordinary_tensors():
    network = mlp.MLP((2, 4, 3), dtype=torch.float64, generator=generator())
    _, X, Y = example()
    total = network.step(X, Y, 0.1)
    total += network.step(X, Y, 0.1)
    weights = network.params["W1"].requires_grad_()
    (weights.sum() * total).backward()
    assert weights.grad is not None


def test_initial_parameters():
    params = mlp.init_params(300, 200, 100, dtype=torch.float64, generator=generator())
    for name in ("Wh", "Wy"):
        assert abs(params[name].std() - 0.3) < 0.005
        assert abs(params[name].mean()) < 0.005
    assert not params["bh"].any()
    assert not params["by"].any()
    again = mlp.init_params(300, 200, 100, dtype=torch.float64, generator=generator())
    assert all(torch.equal(params[name], again[name]) for name in params)
    assert {k: tuple(v.shape) for k, v in mlp.init_params(2, 4, 3).items()} == KEYS


def test_forward_returns_what_backward_needs():
    params, X, _ = example()
    yhat, outputs = mlp.forward(params, X)
    shapes = {name: tuple(value.shape) for name, value in outputs.items()}
    assert shapes == {"X": (7, 2), "htilde": (7, 4), "h": (7, 4), "ytilde": (7, 3), "yhat": (7, 3)}
    torch.testing.assert_close(yhat.sum(dim=1), torch.ones(7, dtype=X.dtype))
    torch.testing.assert_close(yhat, torch.softmax(outputs["ytilde"], dim=1))
    assert outputs["X"] is X
    assert outputs["yhat"] is yhat


@pytest.mark.parametrize("dtype", FLOATS)
def test_the_same_dtype_comes_out(dtype):
    params, X, Y = example(dtype=dtype)
    yhat, outputs = mlp.forward(params, X)
    grads = mlp.backward(params, outputs, Y)
    updated = mlp.sgd(params, grads, 0.1)
    trained, _ = mlp.train(params, X, Y, 0.1, 2, 3, generator())
    everything = [yhat, *outputs.values(), *mlp.loss_accuracy(yhat, Y), *grads.values()]
    everything += [*updated.values(), *trained.values(), mlp.cross_entropy(outputs["ytilde"], Y)]
    everything += [mlp.log_softmax(outputs["ytilde"])]
    assert {value.dtype for value in everything} == {dtype}


@pytest.mark.parametrize("activation", sorted(mlp.ACTIVATIONS))
@pytest.mark.parametrize("dtype", FLOATS)
def test_the_same_dtype_comes_out_of_a_deep_network(dtype, activation):
    network = mlp.MLP((2, 5, 4, 3), activation, dtype=dtype, generator=generator())
    _, X, Y = example(dtype=dtype)
    logits, outputs = network.forward(X)
    everything = [
        *outputs,
        *network.loss_accuracy(logits, Y),
        *network.backward(outputs, Y).values(),
    ]
    everything += [network.step(X, Y, 0.1), *network.params.values()]
    assert {value.dtype for value in everything} == {dtype}
    assert all(value.isfinite().all() for value in everything)


def test_targets_of_another_dtype_do_not_change_the_networks():
    params, X, Y = example(dtype=torch.float32)
    yhat, outputs = mlp.forward(params, X)
    for targets in (Y.double(), Y.long(), Y.bool()):
        assert mlp.loss_accuracy(yhat, targets)[0].dtype == torch.float32
        assert mlp.backward(params, outputs, targets)["Wh"].dtype == torch.float32
        assert mlp.cross_entropy(outputs["ytilde"], targets).dtype == torch.float32


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("size", [1e3, 1e4])
def test_safe_at_huge_logits(dtype, size):
    logits = size * torch.tensor([[1.0, -1.0, 0.0], [-1.0, 1.0, 0.0]], dtype=dtype)
    Y = torch.tensor([[1, 0, 0], [1, 0, 0]], dtype=dtype)
    torch.testing.assert_close(mlp.softmax(logits), torch.softmax(logits, 1))
    torch.testing.assert_close(mlp.log_softmax(logits), torch.log_softmax(logits, 1))
    # One example is right and costs 0, the other is wrong by 2 * size nats; the mean is size.
    torch.testing.assert_close(mlp.cross_entropy(logits, Y), torch.tensor(size, dtype=dtype))

    network = mlp.MLP((3, 3), dtype=dtype)
    network.params["W1"] = torch.eye(3, dtype=dtype)
    grads = network.backward(network.forward(logits)[1], Y)
    assert all(grad.isfinite().all() for grad in grads.values())
    torch.testing.assert_close(network.step(logits, Y, 1e-8), torch.tensor(size, dtype=dtype))
    assert all(value.isfinite().all() for value in network.params.values())


def test_forward_is_finite_at_logits_of_10000():
    params, X, Y = example()
    params["Wy"] = 1e4 * params["Wy"].sign()
    yhat, outputs = mlp.forward(params, X)
    assert outputs["ytilde"].abs().max() > 5e3
    assert yhat.isfinite().all()
    assert mlp.loss_accuracy(yhat, Y)[0].isfinite()
    assert all(grad.isfinite().all() for grad in mlp.backward(params, outputs, Y).values())


@pytest.mark.parametrize("dtype", FLOATS)
def test_a_probability_of_zero_costs_much_but_not_infinitely(dtype):
    yhat = torch.tensor([[0.0, 1.0]], dtype=dtype)
    loss, accuracy = mlp.loss_accuracy(yhat, torch.tensor([[1.0, 0.0]], dtype=dtype))
    assert 9 < loss < 1000
    assert accuracy == 0


def test_cross_entropy_of_uniform_and_of_perfect_predictions():
    Y = torch.eye(5, dtype=torch.float64)
    assert float(mlp.cross_entropy(torch.zeros(5, 5).double(), Y)) == pytest.approx(1.6094379)
    assert float(mlp.cross_entropy(100 * Y, Y)) == pytest.approx(0, abs=1e-12)
    loss, accuracy = mlp.loss_accuracy(Y, Y)
    assert (float(loss), float(accuracy)) == (0.0, 1.0)


def test_log_softmax_ignores_a_constant():
    logits = torch.randn(4, 6, dtype=torch.float64, generator=generator())
    torch.testing.assert_close(mlp.log_softmax(logits + 123), mlp.log_softmax(logits))


def test_sgd_leaves_the_callers_parameters_alone():
    params, X, Y = example()
    before = {name: value.clone() for name, value in params.items()}
    grads = mlp.backward(params, mlp.forward(params, X)[1], Y)
    updated = mlp.sgd(params, grads, 0.5)
    for name in params:
        assert torch.equal(params[name], before[name])
        torch.testing.assert_close(updated[name], before[name] - 0.5 * grads[name])


def test_training_follows_its_protocol():
    params, X, Y = example(n=10)
    before = {name: value.clone() for name, value in params.items()}
    trained, losses = mlp.train(params, X, Y, 0.3, 3, 4, generator(5))

    expected, draw, expected_losses = before, generator(5), []
    for _ in range(3):
        order, total = torch.randperm(10, generator=draw), 0.0
        for start in (0, 4, 8):
            rows = order[start : start + 4]
            yhat, outputs = mlp.forward(expected, X[rows])
            total += float(mlp.loss_accuracy(yhat, Y[rows])[0]) * len(rows)
            expected = mlp.sgd(expected, mlp.backward(expected, outputs, Y[rows]), 0.3)
        expected_losses.append(total / 10)
    assert losses == pytest.approx(expected_losses, rel=1e-12)
    assert all(type(loss) is float for loss in losses)
    for name in params:
        torch.testing.assert_close(trained[name], expected[name], rtol=1e-12, atol=1e-15)
        assert torch.equal(params[name], before[name])


def test_training_no_epochs_returns_a_copy():
    params, X, Y = example()
    trained, losses = mlp.train(params, X, Y, 0.3, 0, 4, generator())
    assert losses == []
    for name in params:
        assert torch.equal(trained[name], params[name])
        assert trained[name].data_ptr() != params[name].data_ptr()


def test_full_batch_training_lowers_the_loss():
    params, X, Y = example(n=30)
    _, losses = mlp.train(params, X, Y, 0.1, 50, 30, generator())
    assert all(later < earlier for earlier, later in pairwise(losses))


def test_weights_of_a_deep_network_keep_the_size_of_what_goes_through():
    for activation, gain in (("tanh", 1), ("relu", 2), ("sigmoid", 1)):
        network = mlp.MLP((400, 300, 200), activation, generator=generator())
        for layer, n_in in ((1, 400), (2, 300)):
            assert float(network.params[f"W{layer}"].std()) == pytest.approx(
                (gain / n_in) ** 0.5, rel=0.02
            )


def network_step(shape_x: tuple[int, ...], shape_y: tuple[int, ...]) -> None:
    mlp.MLP((2, 4, 3)).step(torch.zeros(shape_x), torch.zeros(shape_y), 0.1)


def wrong(name: str, *shape: int):
    params = mlp.init_params(2, 4, 3)
    params[name] = torch.zeros(shape)
    return mlp.forward(params, torch.zeros(5, 2))


@pytest.mark.parametrize(
    ("act", "one", "other"),
    [
        (lambda: mlp.forward(mlp.init_params(3, 4, 2), torch.zeros(5, 2)), (5, 2), (4, 3)),
        (lambda: mlp.forward(mlp.init_params(3, 4, 2), torch.zeros(3)), (3,), (4, 3)),
        (lambda: wrong("Wh", 2, 4), (5, 2), (2, 4)),
        (lambda: wrong("bh", 3), (3,), (4, 2)),
        (lambda: wrong("Wy", 4, 3), (5, 4), (4, 3)),
        (lambda: wrong("by", 1, 3), (1, 3), (3, 4)),
        (lambda: mlp.loss_accuracy(torch.ones(5, 2), torch.ones(2, 5)), (5, 2), (2, 5)),
        (lambda: mlp.loss_accuracy(torch.ones(5, 2), torch.ones(5)), (5, 2), (5,)),
        (lambda: mlp.loss_accuracy(torch.ones(3), torch.ones(3)), (3,), (3,)),
        (lambda: mlp.cross_entropy(torch.ones(5, 2), torch.ones(5, 1)), (5, 2), (5, 1)),
        (lambda: mlp.train(mlp.init_params(2, 4, 2), torch.ones(5, 2), torch.ones(4, 2), 1, 1, 1),
         (5, 2), (4, 2)),
        (lambda: mlp.train(mlp.init_params(2, 4, 2), torch.ones(0, 2), torch.ones(0, 2), 1, 1, 1),
         (0, 2), (0, 2)),
        (lambda: network_step((5, 3), (5, 3)), (5, 3), (4, 2)),
        (lambda: network_step((5, 2), (5, 2)), (5, 3), (5, 2)),
        (lambda: mlp.sgd({"Wh": torch.ones(4, 2)}, {"Wh": torch.ones(2, 4)}, 1), (2, 4), (4, 2)),
    ],
)  # fmt: skip
def test_wrong_shapes_raise_one_sentence_that_names_both(act, one, other):
    with pytest.raises(ValueError, match=re.escape(str(one))) as caught:
        act()
    message = str(caught.value)
    assert str(other) in message
    assert "\n" not in message
    assert ". " not in message


def test_backward_and_deep_backward_name_both_shapes():
    params, X, _ = example()
    with pytest.raises(ValueError, match=r"yhat has shape \(7, 3\) and Y \(6, 3\)"):
        mlp.backward(params, mlp.forward(params, X)[1], torch.ones(6, 3))
    network = mlp.MLP((2, 3))
    with pytest.raises(ValueError, match=r"logits has shape \(7, 3\) and Y \(7, 2\)"):
        network.backward(network.forward(X.float())[1], torch.ones(7, 2))


def test_outputs_of_another_network_are_refused():
    params, X, Y = example()
    outputs = mlp.forward(params, X)[1]
    wider = mlp.init_params(2, 5, 3, dtype=X.dtype)
    with pytest.raises(ValueError, match=r"h has shape \(7, 4\) and Wh \(5, 2\)"):
        mlp.backward(wider, outputs, Y)
    more = mlp.init_params(2, 4, 6, dtype=X.dtype)
    with pytest.raises(ValueError, match=r"yhat has shape \(7, 3\) and Wy \(6, 4\)"):
        mlp.backward(more, outputs, Y)
    deep = mlp.MLP((2, 4, 3), dtype=X.dtype).forward(X)[1]
    with pytest.raises(ValueError, match=r"\(7, 2\), \(7, 4\), \(7, 3\) and .* \(2, 5, 3\)"):
        mlp.MLP((2, 5, 3), dtype=X.dtype).backward(deep, Y)


def test_mixed_dtypes_are_refused_and_named():
    params, X, _ = example()
    with pytest.raises(ValueError, match=r"X is torch.float32 and Wh is torch.float64"):
        mlp.forward(params, X.float())
    with pytest.raises(ValueError, match=r"X is torch.float64 and W1 is torch.float32"):
        mlp.MLP((2, 3)).forward(X)


@pytest.mark.parametrize("sizes", [(3,), (3, 0), (-1, 2)])
def test_impossible_sizes_are_refused(sizes):
    with pytest.raises(ValueError, match=re.escape(str(sizes))):
        mlp.MLP(sizes)
    with pytest.raises(ValueError, match="sizes are"):
        mlp.init_params(2, 0, 2)


def test_an_unknown_activation_and_batch_size_are_refused():
    with pytest.raises(ValueError, match="activation is 'gelu': use tanh, relu, sigmoid"):
        mlp.MLP((2, 2), "gelu")
    params, X, Y = example()
    with pytest.raises(ValueError, match="batch_size is 0"):
        mlp.train(params, X, Y, 0.1, 1, 0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_everything_runs_on_a_gpu_with_a_generator_of_either_device():
    params, X, Y = (
        {name: value.cuda() for name, value in part.items()}
        if isinstance(part, dict)
        else part.cuda()
        for part in example()
    )
    for draw in (generator(), torch.Generator("cuda").manual_seed(0)):
        trained, _ = mlp.train(params, X, Y, 0.1, 2, 3, draw)
        assert {value.device.type for value in trained.values()} == {"cuda"}
    network = mlp.MLP((2, 4, 3), dtype=X.dtype, generator=generator()).to("cuda")
    assert network.step(X, Y, 0.1).device.type == "cuda"
    assert mlp.init_params(2, 4, 3, generator=torch.Generator("cuda"))["bh"].device.type == "cuda"
