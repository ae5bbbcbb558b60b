"""The search against its algorithm written out, and its checkpoint against an unbroken run."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse.loading import Loader
from mlcourse.nas.architect import Architect
from mlcourse.nas.darts import search, strengths_and_skips
from mlcourse.nas.genotype import Genotype
from mlcourse.nas.supernet import Supernet

FEW = ("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3")


def model(seed=0):
    draw = torch.Generator().manual_seed(seed)
    return Supernet(2, 3, 5, nodes=1, operations=FEW, generator=draw).double()


def batches(seed, n=3, size=4):
    draw = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(size, 3, 8, 8, generator=draw, dtype=torch.float64),
            torch.randint(5, (size,), generator=draw),
        )
        for _ in range(n)
    ]


TRAIN, VAL = batches(1), batches(2, n=2)


def algorithm_1(net, order, epochs, clip=5.0, warm_up=0):
    weights, alphas = list(net.weights()), list(net.architecture())
    optimizer = torch.optim.SGD(weights, 0.025, momentum=0.9, weight_decay=3e-4)
    alpha_optimizer = torch.optim.Adam(alphas, 3e-4, betas=(0.5, 0.999), weight_decay=1e-3)
    architect = Architect(net, optimizer, order)
    for epoch in range(epochs):
        share = (1 + math.cos(math.pi * epoch / epochs)) / 2
        optimizer.param_groups[0]["lr"] = 0.001 + (0.025 - 0.001) * share
        for i, (X, y) in enumerate(TRAIN):
            if epoch >= warm_up:
                architect.backward((X, y), VAL[i % len(VAL)])
                alpha_optimizer.step()
            slopes = torch.autograd.grad(F.cross_entropy(net(X), y), weights)
            norm = torch.cat([g.flatten() for g in slopes]).norm()
            for p, g in zip(weights, slopes, strict=True):
                p.grad = g * min(1, clip / (float(norm) + 1e-6))
            optimizer.step()


@pytest.mark.parametrize(
    ("order", "options"),
    [
        ("first", {}),
        ("exact", {}),
        ("finite_difference", {}),
        ("first", {"clip": 0.1}),
        ("first", {"warm_up": 1}),
    ],
)
def test_the_search_is_algorithm_1(order, options):
    ours, theirs = model(), model()
    search(ours, TRAIN, VAL, epochs=2, order=order, **options)
    algorithm_1(theirs, order, 2, **options)
    # The schedule's recursion for the cosine rounds in another way.
    close = {"rtol": 1e-6, "atol": 1e-9} if order == "finite_difference" else {}
    for name, value in ours.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name], **close)
    assert not torch.equal(ours.alpha_normal, model().alpha_normal)


def test_the_architecture_stays_while_the_weights_warm_up():
    net = model()
    found = search(net, TRAIN, VAL, epochs=2, warm_up=2)
    assert torch.equal(net.alpha_normal, model().alpha_normal)
    assert torch.equal(found.alphas[0]["alpha_reduce"], model().alpha_reduce)


def test_what_is_recorded():
    net = model()
    found = search(net, TRAIN, VAL, epochs=3, lr_alpha=0.5, evaluate_on={"val": VAL})
    history = found.history
    assert history.epochs == len(found.alphas) == len(found.genotypes) == 3
    assert set(history) == {
        *("train_loss", "train_accuracy", "lr", "seconds", "val_loss", "val_accuracy"),
        *(f"{kind}_{name}" for kind in ("normal", "reduce") for name in (*FEW, "skips")),
    }
    assert history["lr"][0] == 0.025
    assert history["lr"] == sorted(history["lr"], reverse=True)
    assert found.genotypes[-1] == net.genotype()
    assert torch.equal(found.alphas[-1]["alpha_normal"], net.alpha_normal)
    # Copies, and not today's parameters again and again.
    assert not torch.equal(found.alphas[0]["alpha_normal"], net.alpha_normal)
    last = {name: column[-1] for name, column in history.items()}
    assert last["reduce_sep_conv_3x3"] == pytest.approx(float(net.strengths().reduce[:, 3].mean()))
    assert last["normal_skips"] == net.genotype().occurrences("skip_connect", "normal")


def test_evaluation_has_the_statistics_of_all_training_batches_and_changes_no_search():
    scored, other = model(), model()
    history = search(scored, TRAIN, VAL, epochs=2, evaluate_on={"val": VAL}).history
    plain = search(other, TRAIN, VAL, epochs=2).history
    weights = zip(scored.parameters(), other.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in weights)
    assert history["train_loss"] == plain["train_loss"]
    # The mean over batches of the first norm's means, and the loss with it.
    means = [other.stem.conv(X).mean((0, 2, 3)) for X, _ in TRAIN]
    torch.testing.assert_close(scored.stem.norm.running_mean, torch.stack(means).mean(0))
    scored.eval()
    losses = [F.cross_entropy(scored(X), y).item() for X, y in VAL]
    assert math.isclose(history["val_loss"][-1], sum(losses) / 2)


def test_means_are_over_images_and_not_over_batches():
    train = [TRAIN[0], (TRAIN[1][0][:3], TRAIN[1][1][:3])]
    net, seen = model(), []
    forward = net.forward

    def spy(x):
        logits = forward(x)
        seen.append(logits.detach())
        return logits

    net.forward = spy
    # Without architecture steps each batch is seen once.
    history = search(net, train, VAL, epochs=1, warm_up=1).history
    losses = [F.cross_entropy(z, y).item() for z, (_, y) in zip(seen, train, strict=True)]
    assert math.isclose(history["train_loss"][0], (4 * losses[0] + 3 * losses[1]) / 7)
    right = sum(int((z.argmax(1) == y).sum()) for z, (_, y) in zip(seen, train, strict=True))
    assert math.isclose(history["train_accuracy"][0], right / 7)


def test_strengths_and_skips_of_known_strengths():
    net = model()
    with torch.no_grad():
        net.alpha_normal.zero_()
        net.alpha_reduce.zero_()
        net.alpha_reduce[:, 1] = math.log(3)
    numbers = strengths_and_skips(net)
    assert numbers["normal_none"] == pytest.approx(1 / 4)
    assert numbers["reduce_skip_connect"] == pytest.approx(3 / 6)
    assert (numbers["normal_skips"], numbers["reduce_skips"]) == (2, 2)


def test_stop_ends_the_search():
    found = search(model(), TRAIN, VAL, epochs=5, stop=lambda history: history.epochs == 2)
    assert found.history.epochs == 2


def test_a_search_that_diverges_ends():
    found = search(model(), TRAIN, VAL, epochs=5, lr=1e200, clip=1e300)
    assert found.history.diverged
    assert found.history.epochs < 5


def uint8_images():
    draw = torch.Generator().manual_seed(5)
    X = torch.randint(256, (12, 3, 8, 8), generator=draw, dtype=torch.uint8)
    return X, torch.randint(5, (12,), generator=draw)


class Dropping(nn.Module):
    """A relaxation that drops operations: what the model draws belongs to its state."""

    def __init__(self, generator):
        super().__init__()
        self.generator = generator

    def forward(self, alpha, kind):
        if not self.training:
            return alpha.softmax(-1)
        return alpha.softmax(-1) * (torch.rand(alpha.shape, generator=self.generator) < 0.8)


def whole_run(path=None, break_in=None, order="first"):
    """A search with one generator for everything, broken off in an epoch if asked."""
    generator = torch.Generator().manual_seed(3)
    net = Supernet(2, 3, 5, nodes=1, operations=FEW, generator=generator)
    net.relaxation = Dropping(generator)
    loaders = [Loader(*uint8_images(), 4, generator=generator) for _ in range(2)]

    def record(net):
        calls.append(1)
        if len(calls) == break_in:
            raise KeyboardInterrupt
        return strengths_and_skips(net)

    calls = []
    options = {"order": order, "record": record, "generator": generator, "checkpoint": path}
    found = search(net, *loaders, epochs=3, evaluate_on={"val": loaders[1]}, **options)
    return found, net, calls


@pytest.mark.parametrize("order", ["first", "exact"])
def test_a_search_that_was_broken_off_ends_with_the_same_bits(tmp_path, order):
    path = tmp_path / "folder" / "search.pt"
    whole, net, _ = whole_run(order=order)
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        whole_run(path, break_in=3, order=order)
    continued, again, calls = whole_run(path, order=order)
    assert len(calls) == 1
    for name, value in net.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    assert continued.genotypes == whole.genotypes
    assert all(isinstance(genotype, Genotype) for genotype in continued.genotypes)
    for one, other in zip(whole.alphas, continued.alphas, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)
    for name in set(whole.history) - {"seconds"}:
        assert whole.history[name] == continued.history[name], name
    assert [file.name for file in path.parent.iterdir()] == ["search.pt"]
    # Asked again, it has nothing left to do.
    assert whole_run(path, order=order)[2] == []


def test_another_seed_searches_in_another_way():
    one, other = (search(model(seed), TRAIN, VAL, epochs=1) for seed in (0, 1))
    assert one.history["train_loss"] != other.history["train_loss"]


def test_a_checkpoint_of_another_search(tmp_path):
    path = tmp_path / "search.pt"
    search(model(), TRAIN, VAL, epochs=1, checkpoint=path)
    with pytest.raises(ValueError, match="belongs to another search: order is first there and"):
        search(model(), TRAIN, VAL, epochs=1, order="exact", checkpoint=path)
    with pytest.raises(ValueError, match="another search: generator is none there and given here"):
        search(model(), TRAIN, VAL, epochs=1, generator=torch.Generator(), checkpoint=path)
    with pytest.raises(ValueError, match="another search: the number of parameters is"):
        search(Simple(), TRAIN, VAL, epochs=1, checkpoint=path)
    content = path.read_bytes()
    weight = next(iter(torch.load(path)["model"].values()))
    place = content.index(weight.numpy().tobytes())
    torch.save({"other": 1}, path)
    other = path.read_bytes()
    # torch alone would read a wrong number here.
    flipped = content[:place] + bytes([content[place] ^ 0x55]) + content[place + 1 :]
    for damaged in (b"nothing", other, flipped):
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match="is damaged or no checkpoint: delete it, or give"):
            search(model(), TRAIN, VAL, epochs=1, checkpoint=path)


class Simple(nn.Module):
    """Not a Supernet: two parameters, and no genotype."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(192, 5, dtype=torch.float64))
        self.alpha = nn.Parameter(torch.zeros(5, dtype=torch.float64))

    def architecture(self):
        yield self.alpha

    def weights(self):
        yield self.weight

    def forward(self, x):
        return x.flatten(1) @ self.weight * self.alpha.exp()


def test_any_module_with_an_architecture_can_be_searched():
    net = Simple()
    found = search(
        net, TRAIN, VAL, epochs=2, order="exact", record=lambda net: {"a": net.alpha[0].item()}
    )
    assert found.genotypes == []
    assert list(found.alphas[0]) == ["alpha"]
    assert found.history["a"][-1] == net.alpha[0].item() != 0


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"train": []}, "there are no training batches: give at least one"),
        ({"val": []}, "there are no validation batches: give at least one"),
        ({"warm_up": -1}, "warm_up is -1: give 0 or more epochs"),
        ({"order": "second"}, "order is 'second': give one of"),
    ],
)
def test_wrong_arguments(given, sentence):
    with pytest.raises(ValueError, match=sentence):
        search(model(), **{"train": TRAIN, "val": VAL, "epochs": 1, **given})
