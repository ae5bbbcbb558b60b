"""Statistics measured in one pass against means over batches, and what must stay as it was."""

import torch
from torch import nn

from mlcourse.loading import Loader
from mlcourse.nas.norms import measure_statistics_


def batches(n=3):
    draw = torch.Generator().manual_seed(0)
    return [(torch.randn(6, 2, 4, 4, generator=draw) * 3 + 1, None) for _ in range(n)]


def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.BatchNorm2d(2), nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3, momentum=0.3), nn.Dropout(0.5)
    )


def test_the_statistics_are_means_over_batches_whatever_they_were():
    net = model()
    for norm in (net[0], net[2]):
        norm.running_mean.fill_(100)
        norm.running_var.fill_(100)
    given = batches()
    measure_statistics_(net, given)
    X = torch.stack([X for X, _ in given])
    torch.testing.assert_close(net[0].running_mean, X.mean((0, 1, 3, 4)))
    torch.testing.assert_close(net[0].running_var, X.var((1, 3, 4)).mean(0))
    # The second norm sees what the first makes of each batch with the batch's own statistics.
    hidden = torch.stack([net[1](net[0](X)) for X, _ in given])
    torch.testing.assert_close(net[2].running_mean, hidden.mean((0, 1, 3, 4)))


def test_all_else_stays():
    net, draw = model(), torch.Generator().manual_seed(1)
    net.eval()
    net[1].train()
    X = torch.randint(256, (12, 2, 4, 4), dtype=torch.uint8)
    loader = Loader(X, torch.zeros(12), 5, generator=torch.Generator().manual_seed(2))
    weights = [p.clone() for p in net.parameters()]
    states = [torch.get_rng_state(), draw.get_state(), loader.generator.get_state()]

    def noisy(*_):
        torch.rand(1, generator=draw)

    net[3].register_forward_hook(noisy)
    measure_statistics_(net, loader, draw)
    now = [torch.get_rng_state(), draw.get_state(), loader.generator.get_state()]
    assert all(torch.equal(a, b) for a, b in zip(states, now, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))
    assert [module.training for module in net] == [False, True, False, False]
    assert (net[0].momentum, net[2].momentum) == (0.1, 0.3)
    assert all(p.grad is None and p.requires_grad for p in net.parameters())
