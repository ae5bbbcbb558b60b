"""The derived network: sizes, its sums written out, drop path's mean, and the auxiliary loss."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse.nas.cells import CellShape
from mlcourse.nas.derived import DerivedCell, DerivedNet, drop_paths
from mlcourse.nas.genotype import DARTS_V1, DARTS_V2, PC_DARTS, Genotype
from mlcourse.training import train_model

PRINTED = (DARTS_V1, DARTS_V2, PC_DARTS)


def images(n=4, side=32, seed=0):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, side, side, generator=draw, dtype=torch.float64)


def net(genotype=DARTS_V2, channels=2, layers=3, **options):
    draw = torch.Generator().manual_seed(0)
    return DerivedNet(genotype, channels, layers, 10, generator=draw, **options).double()


def count(module):
    return sum(p.numel() for p in module.parameters())


# Sizes


def expected_count(genotype, channels, layers, classes=10):
    """The number of weights, from the sizes of each layer alone."""

    def norm(c):
        return 2 * c

    def weights(name, c, stride):
        kernel = int(name[-1]) if name[-1].isdigit() else 0
        if "sep_conv" in name:
            return 2 * (kernel**2 * c + c * c + norm(c))
        if "dil_conv" in name:
            return kernel**2 * c + c * c + norm(c)
        return c * c + norm(c) if name == "skip_connect" and stride == 2 else 0

    c, total = channels, 3 * 9 * 3 * channels + norm(3 * channels)
    before = last = 3 * channels
    for i in range(layers):
        reduces = i in (layers // 3, 2 * layers // 3)
        c *= 2 if reduces else 1
        genes = genotype.reduce if reduces else genotype.normal
        total += (before + last) * c + 2 * norm(c)
        total += sum(weights(name, c, 2 if reduces and j < 2 else 1) for name, j in genes)
        before, last = last, len(genes) // 2 * c
    return total + (last + 1) * classes


@pytest.mark.parametrize("genotype", PRINTED)
@pytest.mark.parametrize(("channels", "layers"), [(36, 20), (16, 8), (2, 3)])
def test_the_number_of_weights(genotype, channels, layers):
    assert count(DerivedNet(genotype, channels, layers, 10)) == expected_count(
        genotype, channels, layers
    )


def test_the_published_sizes():
    # Liu et al., 2019: 3.3 million (their code: 3.349342); Xu et al., 2020: 3.6 million.
    millions = [count(DerivedNet(g, 36, 20, 10)) / 1e6 for g in (DARTS_V2, PC_DARTS)]
    assert [round(m, 1) for m in millions] == [3.3, 3.6]


@pytest.mark.parametrize("layers", [3, 4, 5])
@pytest.mark.parametrize("side", [8, 9])
def test_the_shape_of_the_logits(layers, side):
    assert net(layers=layers)(images(side=side)).shape == (4, 10)
    grey = DerivedNet(PC_DARTS, 2, layers, 7, colours=1)
    assert grey(torch.zeros(2, 1, side, side)).shape == (2, 7)


# Sums


@pytest.mark.parametrize("reduction", [False, True])
def test_a_cell_adds_two_operations_a_node(reduction):
    torch.manual_seed(0)
    genotype = Genotype(
        (("sep_conv_3x3", 1), ("skip_connect", 0), ("dil_conv_3x3", 2), ("max_pool_3x3", 0)),
        (3,),
        (("avg_pool_3x3", 0), ("skip_connect", 1), ("skip_connect", 2), ("sep_conv_5x5", 1)),
        (2, 3),
    )
    cell = DerivedCell(genotype, CellShape(6, 4, 4, reduction, False)).double()
    a, b = images(side=8), images(side=8, seed=1)
    a, b = torch.cat([a, a], 1), torch.cat([b, b[:, :1]], 1)
    s = [cell.inputs[0](a), cell.inputs[1](b)]
    ops = cell.operations
    if reduction:
        s.append(ops[0](s[0]) + ops[1](s[1]))
        s.append(s[2] + ops[3](s[1]))
        expected = torch.cat(s[2:], 1)
        assert expected.shape == (4, 8, 4, 4)
    else:
        s.append(ops[0](s[1]) + s[0])
        s.append(ops[2](s[2]) + ops[3](s[0]))
        expected = s[3]
    torch.testing.assert_close(cell(a, b, None), expected)


def test_norms_have_scales_and_pools_no_norm():
    network = net()
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert all(m.affine for m in norms)
    pools = [op for cell in network.cells for op in cell.operations if "Pool" in str(op)]
    assert pools
    assert all(isinstance(op, nn.MaxPool2d) for op in pools)


def test_cells_may_put_out_other_numbers_of_nodes():
    genotype = DARTS_V2._replace(normal_concat=(3, 5), reduce_concat=(2, 3, 4))
    for layers in (3, 4):
        assert net(genotype, layers=layers, auxiliary=0.4)(images()).shape == (4, 10)


def test_one_generator_gives_one_network():
    one, other = net(), net()
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), other.parameters(), strict=True))


# Drop path


def test_a_path_is_dropped_for_a_whole_example():
    torch.manual_seed(0)
    x, p = images(2000, 2), torch.tensor(0.3)
    y = drop_paths(x, p)
    dropped = (y == 0).flatten(1)
    assert torch.equal(dropped.any(1), dropped.all(1))
    torch.testing.assert_close(y[~dropped.any(1)], x[~dropped.any(1)] / 0.7, rtol=1e-6, atol=0)
    # The standard error of the share is 0.01.
    assert abs(float(dropped.any(1).double().mean()) - 0.3) < 0.05
    assert torch.equal(drop_paths(x, torch.tensor(0.0)), x)


def test_drop_path_grows_with_the_batches_of_training():
    network = net(drop_path=0.4, growth=4)
    rates = []
    for _ in range(6):
        rates.append(float(network.drop_path_now()))
        network(images(2, 8))
        network.eval()
        network(images(2, 8))
        network.train()
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.4])
    assert float(net(drop_path=0.4).drop_path_now()) == pytest.approx(0.4)


def test_nothing_is_dropped_in_evaluation_or_at_the_start():
    plain, dropping = net(), net(drop_path=0.9, growth=10)
    x = images(4, 8)
    torch.testing.assert_close(dropping(x), plain(x))
    assert not torch.equal(dropping(x), plain(x))
    dropping.load_state_dict(plain.state_dict())
    torch.testing.assert_close(dropping.eval()(x), plain.eval()(x))


def test_a_plain_skip_is_never_dropped():
    skips = tuple(("skip_connect", i) for i in (0, 1))
    torch.manual_seed(0)
    for reduction in (False, True):
        cell = DerivedCell(
            Genotype(skips, (2,), skips, (2,)), CellShape(3, 3, 2, reduction, False)
        ).double()
        x = images(64, 4)
        zero = cell(x, x, torch.tensor(0.9)).flatten(1).abs().sum(1) == 0
        # In a reduction cell skips are convolutions, and both are dropped for many examples.
        assert bool(zero.any()) == reduction


# The auxiliary head


def test_the_loss_has_the_second_classifiers_part_in_training_only():
    network = net(auxiliary=0.4)
    x, y = images(), torch.tensor([1, 2, 3, 4])
    logits = network(x)
    hidden = []
    network.cells[2].register_forward_hook(lambda *given: hidden.append(given[2]))
    again = network(x)
    expected = F.cross_entropy(again, y)
    expected = expected + 0.4 * F.cross_entropy(network.auxiliary_head(hidden[0]), y)
    torch.testing.assert_close(network.loss(again, y), expected)
    network.eval()
    assert torch.equal(network.loss(logits, y), F.cross_entropy(logits, y))
    assert torch.equal(net().loss(logits, y), F.cross_entropy(logits, y))


def test_the_head_is_no_part_of_prediction():
    with_head, without = net(auxiliary=0.4).eval(), net().eval()
    weights = {k: v for k, v in with_head.state_dict().items() if "auxiliary" not in k}
    without.load_state_dict(weights)
    torch.testing.assert_close(with_head(images()), without(images()))


def test_the_loss_is_for_the_last_batch_once_and_the_net_can_be_copied():
    network = net(auxiliary=0.4)
    y = torch.tensor([1, 2, 3, 4])
    with pytest.raises(ValueError, match="the auxiliary logits are used up: call the network"):
        network.loss(torch.zeros(4, 10), y)
    network.loss(network(images()), y).backward()
    copy.deepcopy(network)
    with pytest.raises(ValueError, match="the auxiliary logits are used up"):
        network.loss(torch.zeros(4, 10), y)
    assert all(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("side", [28, 44])
def test_images_too_small_or_large_for_the_head(side):
    with pytest.raises(ValueError, match=r"the auxiliary head gets \d+x\d+ pixels: give images of"):
        net(auxiliary=0.4)(images(side=side))
    net(auxiliary=0.4).eval()(images(side=side))


# Training


def test_training_continues_from_a_checkpoint_to_the_same_bits(tmp_path):
    draw = torch.Generator().manual_seed(1)
    batches = [
        (
            torch.randn(4, 3, 32, 32, generator=draw, dtype=torch.float64),
            torch.randint(10, (4,), generator=draw),
        )
        for _ in range(2)
    ]

    def train(stop, path=None):
        torch.manual_seed(2)
        network = net(auxiliary=0.4, drop_path=0.3, growth=6)
        optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
        options = {"epochs": 3, "loss": network.loss, "checkpoint": path, "progress": False}
        train_model(network, batches, optimizer, stop=lambda h: h.epochs == stop, **options)
        return network

    whole = train(3)
    train(2, tmp_path / "net.pt")
    continued = train(3, tmp_path / "net.pt")
    assert int(continued.batches_seen) == 6
    for name, value in whole.state_dict().items():
        assert torch.equal(value, continued.state_dict()[name]), name


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"channels": 0}, "channels is 0: give 1 or more"),
        ({"layers": 2}, "layers is 2: give 3 or more"),
        ({"drop_path": 1.0}, "drop_path is 1.0: give a probability from 0 to below 1"),
        ({"growth": -1}, "growth is -1: give 0 or more"),
        ({"auxiliary": -0.4}, "auxiliary is -0.4: give 0 or more"),
        ({"genotype": DARTS_V2._replace(normal_concat=())}, "the normal cell puts out"),
    ],
)
def test_wrong_arguments(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        net(**options)
