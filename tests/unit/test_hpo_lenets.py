"""LeNet-5s trained side by side: each as torch trains it alone."""

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlcourse.convnets import lenet5
from mlcourse.hpo import lenets
from mlcourse.hpo.lenets import SPACE, LeNets
from mlcourse.hpo.side_by_side import SideBySide, accuracies, groups
from mlcourse.hpo.space import Space

#: Odd, different in each width, and the narrowest and widest networks of the space.
CONFIGS = [
    {"c1": 1, "c3": 1, "c5": 40, "f6": 125},
    {"c1": 5, "c3": 17, "c5": 43, "f6": 131},
    {"c1": 13, "c3": 3, "c5": 57, "f6": 127},
    {"c1": 32, "c3": 32, "c5": 130, "f6": 325},
]
RATES = [0.05, 0.02, 0.01, 0.03]


def draw(n: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    X = torch.randn(n, 3, 32, 32, generator=generator, dtype=torch.float64).to(dtype)
    return X, torch.randint(10, (n,), generator=generator)


def alone(config: dict, seed: int) -> nn.Sequential:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return lenet5(**config)


def train_alone(net: nn.Sequential, lr: float, batches: list) -> list[float]:
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    losses = []
    for X, y in batches:
        loss = F.cross_entropy(net(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def distance(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max((p - q).abs().max().item() for p, q in pairs)


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_each_network_is_trained_as_if_it_were_alone(dtype, tolerance: float) -> None:
    nets = LeNets(CONFIGS, seeds=range(4)).to(dtype)
    training = SideBySide(nets, RATES)
    batches = [draw(8, seed, dtype) for seed in range(3)]
    losses = torch.stack([training.step(X, y) for X, y in batches], dim=1)
    for i, config in enumerate(CONFIGS):
        net = alone(config, i).to(dtype)
        torch.testing.assert_close(
            losses[i], torch.tensor(train_alone(net, RATES[i], batches), dtype=dtype),
            rtol=0, atol=tolerance,
        )  # fmt: skip
        assert distance(nets.network(i), net) <= tolerance
        torch.testing.assert_close(nets(batches[0][0])[i], net(batches[0][0]))


def test_random_widths_are_trained_as_if_they_were_alone() -> None:
    rng, space = np.random.default_rng(0), Space(SPACE)
    for seed in range(5):
        configs = [space.sample(rng) for _ in range(3)]
        nets = LeNets(configs, seeds=[seed] * 3).double()
        batches = [draw(7, seed), draw(5, seed)]
        training = SideBySide(nets, lr=0.1)
        for X, y in batches:
            training.step(X, y)
        for i, config in enumerate(configs):
            net = alone(config, seed).double()
            train_alone(net, 0.1, batches)
            assert distance(nets.network(i), net) <= 1e-12


def test_ties_in_the_pooling_go_to_the_place_that_torch_gives_them() -> None:
    """Flat images: all four places of a window are equal, inside and at the edge of the flat."""
    X, y = draw(6)
    X[:4] = X[:4, :, :1, :1]
    X[4, :, 8:24, 8:24] = 1.0
    nets = LeNets(CONFIGS[1:2], seeds=[0]).double()
    SideBySide(nets, lr=0.5).step(X, y)
    net = alone(CONFIGS[1], 0).double()
    train_alone(net, 0.5, [(X, y)])
    assert distance(nets.network(0), net) <= 1e-13


def test_the_padding_stays_exactly_zero() -> None:
    nets = LeNets(CONFIGS, seeds=range(4))
    training = SideBySide(nets, RATES)
    for seed in range(3):
        training.step(*draw(16, seed, torch.float32))
    own = LeNets(CONFIGS, seeds=range(4))
    for i in range(4):
        own.load(i, nets.network(i))
    for padded, filled in zip(nets.parameters(), own.parameters(), strict=True):
        assert torch.equal(padded, filled)
    used = sum(p.count_nonzero().item() for p in nets.parameters())
    assert used <= sum(p.numel() for i in range(4) for p in nets.network(i).parameters())


def test_networks_start_as_torch_starts_them() -> None:
    before = torch.random.get_rng_state()
    nets = LeNets(CONFIGS, seeds=[3, 3, 5, 0])
    assert torch.equal(torch.random.get_rng_state(), before)
    for i, seed in enumerate([3, 3, 5, 0]):
        assert distance(nets.network(i), alone(CONFIGS[i], seed)) == 0


def test_other_classes_and_channels() -> None:
    nets = LeNets(CONFIGS[:2], seeds=[0, 1], classes=3, channels=1)
    X = torch.randn(2, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert nets(X).shape == (2, 2, 3)
    torch.testing.assert_close(nets(X)[1], nets.network(1)(X))


def test_a_network_that_diverges_leaves_the_others_alone() -> None:
    batches = [draw(16, seed, torch.float32) for seed in range(4)]

    def trained(lr: float) -> LeNets:
        nets = LeNets(CONFIGS, seeds=range(4))
        training = SideBySide(nets, [lr, *RATES[1:]])
        for X, y in batches:
            training.step(X, y)
        return nets

    usual, diverged = trained(0.01), trained(1e30)
    assert not diverged.weights["output"][0].isfinite().all()
    for i in (1, 2, 3):
        assert distance(usual.network(i), diverged.network(i)) == 0


def test_the_slices_of_the_batch_change_only_the_rounding(monkeypatch) -> None:
    X, y = draw(10)

    def gradients(numbers: int) -> list[Tensor]:
        monkeypatch.setattr(lenets, "_SLICE", numbers)
        nets = LeNets(CONFIGS, seeds=range(4)).double()
        logits = nets(X)
        loss = F.cross_entropy(logits.flatten(0, 1), y.repeat(4))
        return [logits, *torch.autograd.grad(loss, list(nets.parameters()))]

    whole = gradients(10**9)
    for numbers in (1, 3 * 784 * 128):
        for one, other in zip(whole, gradients(numbers), strict=True):
            torch.testing.assert_close(one, other)


def test_an_epoch_shows_each_full_batch_once() -> None:
    X, y = draw(11)
    training = SideBySide(LeNets(CONFIGS[:2], seeds=[0, 1]).double(), lr=0.01)
    seen = []
    step = training.step
    training.step = lambda X, y: (seen.append(X), step(X, y))[1]  # type: ignore[method-assign]
    means = training.epoch(X, y, torch.Generator().manual_seed(4), batch_size=3)
    order = torch.randperm(11, generator=torch.Generator().manual_seed(4))
    assert torch.equal(torch.cat(seen), X[order[:9]])
    again = SideBySide(LeNets(CONFIGS[:2], seeds=[0, 1]).double(), lr=0.01)
    losses = [again.step(X[part], y[part]) for part in order[:9].split(3)]
    assert torch.equal(means, torch.stack(losses).mean(0))


def test_accuracies_are_those_of_the_networks() -> None:
    X, y = draw(23)
    nets = LeNets(CONFIGS, seeds=range(4)).double()
    expected = [(nets.network(i)(X).argmax(1) == y).double().mean() for i in range(4)]
    torch.testing.assert_close(
        accuracies(nets, X, y, batch_size=5).double(), torch.stack(expected), rtol=0, atol=1e-6
    )


def test_groups_hold_each_network_once_and_similar_ones_together() -> None:
    rng, space = np.random.default_rng(1), Space(SPACE)
    configs = [space.sample(rng) for _ in range(200)]
    for filters, most in itertools.product((1, 40, 192), (1, 7, 32)):
        made = groups(configs, filters, most)
        assert sorted(i for group in made for i in group) == list(range(200))
        for group in made:
            widest = max(configs[i]["c1"] for i in group)
            assert len(group) == 1 or len(group) * widest <= filters
            assert len(group) <= most
            assert len({(configs[i]["c3"] - 1) // 16 for i in group}) == 1
    assert groups([]) == []
    assert len(groups(configs)) < len(groups(configs, filters=20))


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="there are 2 networks and 1 seeds: give one seed for"):
        LeNets(CONFIGS[:2], seeds=[0])
    with pytest.raises(ValueError, match="there are 0 networks"):
        LeNets([], seeds=[])
    with pytest.raises(ValueError, match=r"the widths are \{'c1': 3\}: give c1, c3, c5, f6"):
        LeNets([{"c1": 3}], seeds=[0])
    nets = LeNets(CONFIGS[:2], seeds=[0, 1])
    with pytest.raises(ValueError, match="there are 3 learning rates for 2 networks: give one"):
        SideBySide(nets, [0.1, 0.1, 0.1])
    for lr in (0, -1.0, float("nan"), float("inf"), [0.1, 0.0]):
        with pytest.raises(ValueError, match="give positive, finite rates"):
            SideBySide(nets, lr)
    for momentum in (-0.1, 1.0, float("nan")):
        with pytest.raises(ValueError, match="give a number from 0 to below 1"):
            SideBySide(nets, 0.1, momentum)
    with pytest.raises(ValueError, match="there are 3 images for batches of 64: give at least one"):
        SideBySide(nets).epoch(*draw(3), torch.Generator())
    with pytest.raises(ValueError, match="filters is 0 and most 16: give 1 or more of each"):
        groups(CONFIGS, filters=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_recorded_step_is_the_step_on_a_gpu() -> None:
    batches = [draw(16, seed) for seed in range(8)]
    nets = LeNets(CONFIGS, seeds=range(4)).double().cuda()
    training = SideBySide(nets, RATES)
    losses = torch.stack([training.step(X.cuda(), y.cuda()) for X, y in batches], dim=1)
    for i, config in enumerate(CONFIGS):
        net = alone(config, i).double()
        expected = torch.tensor(train_alone(net, RATES[i], batches), dtype=torch.float64)
        torch.testing.assert_close(losses[i].cpu(), expected, rtol=0, atol=1e-10)
        assert distance(nets.network(i).cpu(), net) <= 1e-10
