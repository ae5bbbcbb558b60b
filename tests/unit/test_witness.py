"""Small networks that notice how they are used."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from mlcourse.checks.train_a_cnn_questions.shared import draw_images, draw_state
from mlcourse.convnets import course_cnn
from mlcourse.witness import (
    Bowl,
    ChainLoss,
    Epochs,
    Halving,
    PenalisedQuartic,
    Product,
    Quartic,
    SeededDropout,
    differentiate,
    fill,
    optimise,
    report,
    sgd,
    small_cnn,
)


@pytest.fixture
def state():
    return draw_state(3, torch.Generator().manual_seed(0), torch.float64)


@pytest.fixture
def images():
    return draw_images(6, 3, torch.Generator().manual_seed(1), torch.float64)


@pytest.mark.parametrize(
    ("mode", "root", "norm"), [("train", True, True), ("eval", False, False), ("frozen", 1, False)]
)
def test_every_number_and_the_mode_are_as_given(state, mode, root, norm):
    model = small_cnn(state, mode)
    assert model.training == bool(root)
    assert model.features[1].training == norm
    assert model.features[3].training == bool(root)
    named = dict(model.named_parameters()) | dict(model.named_buffers())
    for name, value in state.items():
        found = named[name if name.startswith("head") else f"features.{name}"]
        assert torch.equal(found, value)
        assert found.dtype == torch.float64


def test_an_unknown_mode_is_one_sentence(state):
    with pytest.raises(ValueError, match="mode is 'test': choose"):
        small_cnn(state, "test")


def test_it_computes_what_its_layers_say(state, images):
    """Against torch's functions, in evaluation mode."""
    X, _ = images
    names = ("running_mean", "running_var", "weight", "bias")
    h = nn.functional.conv2d(X, state["conv.weight"], state["conv.bias"])
    h = nn.functional.batch_norm(h, *(state[f"norm.{name}"] for name in names))
    logits = h.relu().flatten(1) @ state["head.weight"].T + state["head.bias"]
    torch.testing.assert_close(small_cnn(state, "eval")(X), logits, rtol=1e-12, atol=1e-12)


def test_neither_making_nor_training_one_moves_the_global_random_numbers(state, images):
    before = torch.get_rng_state()
    model = small_cnn(state)
    model(images[0])
    assert torch.equal(torch.get_rng_state(), before)
    assert not report(model)["drew"]
    torch.rand(1)
    assert report(model)["drew"]


def test_dropout_repeats_itself_and_keeps_the_mean():
    layer, again = SeededDropout(0.25), SeededDropout(0.25)
    X = torch.ones(200, 100, dtype=torch.float64)
    first, second = layer(X), layer(X)
    assert torch.equal(first, again(X))
    assert not torch.equal(first, second)
    assert set(first.unique().tolist()) == {0.0, 4 / 3}
    assert abs(first.mean().item() - 1) < 0.02  # one seed, so always the same number
    assert torch.equal(layer.eval()(X), X)
    assert isinstance(layer, nn.Dropout)


def test_the_report_says_what_happened(state, images):
    X, y = images
    model = small_cnn(state)
    nothing = report(model)
    assert (nothing["batches"], nothing["modes_seen"], nothing["recorded"]) == ([], [], False)
    with torch.no_grad():
        model.eval()(X[:4])
    seen = report(model)
    assert seen["batches"] == [4]
    assert seen["modes_seen"] == [[False] * len(list(model.modules()))]
    assert not seen["recorded"]
    assert not seen["has_grads"]
    assert torch.equal(seen["running"]["features.norm.running_mean"], state["norm.running_mean"])
    nn.functional.cross_entropy(model.train()(X), y).backward()
    seen = report(model)
    assert seen["batches"] == [4, 6]
    assert all(seen["modes_seen"][1])
    assert seen["recorded"]
    assert seen["has_grads"]
    assert not torch.equal(
        seen["running"]["features.norm.running_mean"], state["norm.running_mean"]
    )


def test_a_copy_writes_into_the_same_log_and_changes_nothing_else(state, images):
    model = small_cnn(state)
    before = report(model)
    twin = copy.deepcopy(model).eval()
    with torch.no_grad():
        twin(images[0])
        twin.head.weight += 1
    after = report(model)
    assert after["batches"] == [6]
    assert not any(after["modes_seen"][0])
    assert all(after["modes"])
    assert torch.equal(after["parameters"]["head.weight"], before["parameters"]["head.weight"])


def test_a_report_does_not_change_afterwards(state, images):
    model = small_cnn(state)
    before = report(model)
    with torch.no_grad():
        model.head.weight += 1
    model(images[0])
    assert torch.equal(before["parameters"]["head.weight"], state["head.weight"])
    assert torch.equal(before["running"]["features.norm.running_var"], state["norm.running_var"])
    assert before["batches"] == []


def test_the_report_says_that_parameters_learn_no_more(state, images):
    model = small_cnn(state)
    assert report(model)["learns"]
    model.requires_grad_(False)(images[0])
    assert not report(model)["learns"]
    assert not report(model)["recorded"]


def test_sgd_is_torchs_for_the_models_parameters(state, images):
    X, y = images
    model, twin = small_cnn(state), small_cnn(state)
    optimizer = sgd(model, 0.1)
    for network in (model, twin):
        nn.functional.cross_entropy(network(X), y).backward()
    assert optimizer.steps == 0
    optimizer.step()
    optimizer.step(lambda: optimizer.zero_grad())  # a closure that leaves no gradient
    assert optimizer.steps == 2
    for one, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(one, other - 0.1 * other.grad)


def test_fill_depends_on_shapes_and_the_seed_alone():
    torch.manual_seed(0)
    first = course_cnn()
    torch.manual_seed(1)
    second = nn.Sequential(*reversed(list(course_cnn())))
    assert fill(first, 5) == fill(second, 5) == 231_170
    assert torch.equal(first.conv2.weight, second[-4].weight)
    assert torch.equal(first.fc5.weight, second[0].weight)
    before = first.conv2.weight.clone()
    fill(first, 6)
    assert not torch.equal(first.conv2.weight, before)
    assert first.conv2.weight.std().item() == pytest.approx((2 / 800) ** 0.5, rel=0.02)


def test_epochs_change_every_number_in_place_and_follow_the_script(state):
    model, twin = small_cnn(state), small_cnn(state)
    train, again = Epochs(model, [3.0, 1.0, 2.0]), Epochs(twin, [3.0, 1.0, 2.0])
    kept = {name: value.clone() for name, value in model.state_dict().items()}
    shared = model.state_dict()
    assert [train() for _ in range(2)] == [3.0, 1.0]
    assert train.calls == 2
    for name, value in model.state_dict().items():
        assert (value != kept[name]).all()
        assert torch.equal(value, shared[name])
    assert train() == 2.0
    assert train.loads == 0
    model.load_state_dict(shared)  # the model's own tensors, so nothing changes
    assert train.loads == 1
    assert [again() for _ in range(3)] == train.losses
    assert all(map(torch.equal, model.state_dict().values(), twin.state_dict().values()))
    with pytest.raises(RuntimeError, match="more than 3 times"):
        train()


def test_differentiate_returns_the_value_and_a_gradient_for_each_tensor():
    a, b = torch.tensor([1.0, -2.0]), torch.ones(2, 3)
    found = differentiate(lambda tensors, k: k * tensors[0].square().sum(), [a, b], 3.0)
    assert found["value"] == 15.0
    assert not found["value"].requires_grad
    assert torch.equal(found["gradients"][0], 6 * a)
    assert torch.equal(found["gradients"][1], torch.zeros(2, 3))
    assert not a.requires_grad


@pytest.mark.parametrize("function", [lambda t: t[0].sum().item(), lambda t: 2 * t[0], len])
def test_differentiate_says_when_there_is_no_gradient(function):
    assert differentiate(function, [torch.ones(2)])["gradients"] is None


def test_a_quartic_has_the_gradient_and_the_hessian_that_it_says():
    generator = torch.Generator().manual_seed(0)
    A, b, c, x = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((3, 3), (3,), (3,), (3,))
    )
    A = A + A.T
    f = Quartic(A, b, c)
    gradient = torch.autograd.functional.jacobian(f, x)
    torch.testing.assert_close(gradient, A @ x + b + c * x**3, rtol=1e-12, atol=1e-12)
    hessian = torch.autograd.functional.hessian(f, x)
    torch.testing.assert_close(hessian, A + torch.diag(3 * c * x**2), rtol=1e-12, atol=1e-12)


def test_a_bowl_is_the_gradient_of_its_quadratic():
    point = {"a": torch.tensor([1.0, 2.0]).double(), "b": torch.tensor([[-1.0]]).double()}
    curvatures = {"a": torch.tensor([0.5, 3.0]).double(), "b": torch.tensor([[2.0]]).double()}
    centre = {name: torch.full_like(value, 0.25) for name, value in point.items()}
    leaves = {name: value.clone().requires_grad_() for name, value in point.items()}
    height = sum((curvatures[n] * (p - centre[n]) ** 2).sum() / 2 for n, p in leaves.items())
    height.backward()
    for name, slope in Bowl(curvatures, centre)(point).items():
        torch.testing.assert_close(slope, leaves[name].grad)
    for part in (point["a"], {"a": point["a"]}):
        with pytest.raises(ValueError, match="a dict of all the parameters: a, b"):
            Bowl(curvatures, centre)(part)


def test_optimise_lets_an_optimiser_step_as_a_training_loop_does():
    """With groups, a rate that changes, a gradient that is missing, and settings for all."""
    g = torch.Generator().manual_seed(0)
    values = [torch.randn(3, generator=g), torch.randn(2, 2, generator=g)]
    grads = [[torch.randn(v.shape, generator=g) for v in values] for _ in range(3)]
    grads[1][0] = None
    groups = [{"params": values[:1]}, {"params": values[1:], "lr": 0.5}]
    ran = optimise(torch.optim.SGD, groups, grads, [1, 0.5, 2], 0.1, 0.9)
    params = [nn.Parameter(value.clone()) for value in values]
    rates = (0.1, 0.5)
    twins = [torch.optim.SGD([p], lr, momentum=0.9) for p, lr in zip(params, rates, strict=True)]
    for row, factor, places in zip(grads, (1, 0.5, 1), ran["places"], strict=True):
        for p, grad, twin, lr in zip(params, row, twins, rates, strict=True):
            p.grad, twin.param_groups[0]["lr"] = grad, lr * factor
            twin.step()
        for place, p in zip(places, params, strict=True):
            torch.testing.assert_close(place, p.detach())
    assert ran["grads_kept"]
    assert all(not value.requires_grad for value in values)


def test_optimise_sees_that_gradients_are_changed():
    class Wipes(torch.optim.SGD):
        def step(self, closure=None):
            super().step()
            self.zero_grad()

    ones = torch.ones(2)
    assert not optimise(Wipes, [{"params": [ones]}], [[ones]], [1.0], 0.1)["grads_kept"]


def test_halving_halves_from_any_time_on():
    schedule = Halving(0.8, 5.0)
    assert schedule(0) == 0.8
    assert [schedule(t + 5) / schedule(t) for t in (-7, 0, 3.5)] == pytest.approx([0.5] * 3)


def test_the_penalised_quartic_has_the_derivatives_that_it_says():
    generator = torch.Generator().manual_seed(0)
    A, b, c, G, w, h = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((3, 3), (3,), (3,), (3, 2), (3,), (2,))
    )
    A = A + A.T
    f, p = PenalisedQuartic(A, b, c, G), (G @ h).exp()
    jacobian, hessian = torch.autograd.functional.jacobian, torch.autograd.functional.hessian
    gradient, slope = jacobian(f, (w, h))
    torch.testing.assert_close(gradient, A @ w + b + p * (w + c * w**3), rtol=1e-12, atol=1e-12)
    expected = G.T @ (p * (w**2 / 2 + c * w**4 / 4))
    torch.testing.assert_close(slope, expected, rtol=1e-12, atol=1e-12)
    (_, mixed), _ = hessian(f, (w, h))
    expected = (p * (w + c * w**3))[:, None] * G
    torch.testing.assert_close(mixed, expected, rtol=1e-12, atol=1e-12)


def test_a_product_is_with_its_matrix():
    A = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert Product(A)(torch.tensor([1.0, -1.0])).tolist() == [-1.0, -1.0]


def test_the_chain_loss_mixes_three_operations_an_edge():
    generator = torch.Generator().manual_seed(0)
    X, y, w, alpha = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((4, 3), (4,), (2, 3), (2, 3))
    )
    arrived = X
    for edge in range(2):
        strengths = alpha[edge].exp() / alpha[edge].exp().sum()
        outputs = [torch.zeros_like(X), arrived, torch.tanh(w[edge] * arrived)]
        arrived = sum(p * output for p, output in zip(strengths, outputs, strict=True))
    expected = ((arrived @ torch.ones(3, dtype=torch.float64) - y) ** 2).sum() / 4
    torch.testing.assert_close(ChainLoss(X, y)(w, alpha), expected, rtol=1e-12, atol=0)
