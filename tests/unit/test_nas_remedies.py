"""Each switch of a search: what it does by its definition, together with others, and continued."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import mlcourse.nas.remedies as package
from mlcourse.bilevel_problem import Problem
from mlcourse.curvature import hessian
from mlcourse.loading import Loader
from mlcourse.nas.architect import Architect
from mlcourse.nas.cells import MixedEdge
from mlcourse.nas.darts import search
from mlcourse.nas.remedies.dropout import Dropped, SkipDropout
from mlcourse.nas.remedies.partial_channels import PartialChannels, PartialEdge
from mlcourse.nas.remedies.relaxations import (
    Dirichlet,
    DirichletSampling,
    EdgeNormalization,
    EdgeNormalized,
    FairGates,
    Remaining,
    Sigmoid,
)
from mlcourse.nas.remedies.remedy import Remedy, batch_statistics, strengths_by_kind
from mlcourse.nas.remedies.shrinking import Shrinking
from mlcourse.nas.remedies.stopping import EigenvalueStop, SkipStop, alpha_eigenvalue, smoothed
from mlcourse.nas.small_supernet import SmallEdge, SmallSupernet
from mlcourse.nas.supernet import Softmax, Supernet
from mlcourse.training import History

FEW = ("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3")


def model(seed=0, channels=2, nodes=1, operations=FEW):
    draw = torch.Generator().manual_seed(seed)
    return Supernet(channels, 3, 5, nodes=nodes, operations=operations, generator=draw).double()


def small(seed=0, channels=4):
    return SmallSupernet(channels, generator=torch.Generator().manual_seed(seed)).double()


def batches(seed, n=2, size=3, colours=3):
    draw = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(size, colours, 8, 8, generator=draw, dtype=torch.float64),
            torch.randint(5, (size,), generator=draw),
        )
        for _ in range(n)
    ]


TRAIN, VAL = batches(1, n=2), batches(2, n=1)


def randn(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def randomise(net, seed=3):
    """Give all architecture parameters values that are not nearly equal."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in net.architecture():
            p.copy_(torch.randn(p.shape, dtype=torch.float64, generator=draw))


# What a remedy is.


def test_a_remedy_that_does_nothing_changes_nothing():
    one, other = model(), model()
    plain, remedied = search(one, TRAIN, VAL, epochs=2), None
    remedied = search(other, TRAIN, VAL, epochs=2, remedies=[Remedy()])
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])
    assert plain.genotypes == remedied.genotypes


def test_a_remedy_is_called_at_its_moments():
    class Listening(Remedy):
        def __init__(self):
            self.heard = []

        def attach(self, model, generator):
            self.heard.append("attach")

        def begin_epoch(self, model, epoch, epochs):
            self.heard.append((epoch, epochs))

        def record(self, model):
            self.heard.append("record")
            return {"heard": len(self.heard)}

        def stop(self, history):
            return history["heard"][-1] == 5

    listening = Listening()
    found = search(model(), TRAIN, VAL, epochs=9, remedies=[listening])
    assert listening.heard == ["attach", (0, 9), "record", (1, 9), "record"]
    assert found.history["heard"] == [3, 5]


@pytest.mark.parametrize("order", ["first", "finite_difference", "exact"])
def test_a_penalty_has_its_gradient_in_the_architecture_and_is_added_once(order):
    net = model()
    randomise(net)
    optimizer = torch.optim.SGD(net.weights(), 0.1)

    def penalty(alphas):
        return sum((alpha**3).sum() for alpha in alphas.values())

    plain = Architect(net, optimizer, order).gradient(TRAIN[0], VAL[0])
    more = Architect(net, optimizer, order, penalty=penalty).gradient(TRAIN[0], VAL[0])
    for name, alpha in Architect(net, optimizer).alphas().items():
        torch.testing.assert_close(more[name] - plain[name], 3 * alpha.detach() ** 2)


def test_names_are_loaded_when_asked_for():
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        package.Nothing  # noqa: B018


# Relaxations.


def test_gates_do_not_compete():
    alpha = randn(3, 4).requires_grad_()
    weights = Sigmoid()(alpha, "normal")
    torch.testing.assert_close(weights, 1 / (1 + (-alpha).exp()))
    (slope,) = torch.autograd.grad(weights[1, 2], alpha)
    assert slope.count_nonzero() == 1


def test_the_zero_one_loss_is_minus_the_mean_square_from_one_half():
    net, remedy = model(), FairGates(strength=10.0)
    remedy.attach(net, None)
    randomise(net)
    alphas = {name: getattr(net, name) for name in net.alpha_names.values()}
    value = remedy.penalty(net, alphas)
    gates = torch.cat([1 / (1 + (-a[:, 1:]).exp()) for a in alphas.values()])
    torch.testing.assert_close(value, -10 * ((gates - 0.5) ** 2).mean())
    # It draws a gate to the side on which it is.
    slopes = torch.autograd.grad(value, list(alphas.values()))
    for slope, alpha in zip(slopes, alphas.values(), strict=True):
        assert torch.equal(slope[:, 1:].sign(), -alpha[:, 1:].sign())
        assert not slope[:, 0].any()


def test_a_search_with_gates_has_gates_as_strengths():
    net = small()
    found = search(net, ones(1), ones(2), epochs=2, remedies=[FairGates()])
    for column, name in enumerate(net.operations[1:], 1):
        expected = found.alphas[-1]["alpha"][:, column].sigmoid().mean()
        assert math.isclose(found.history[f"normal_{name}"][-1], float(expected))
    # With nothing to compete with, "none" is no choice.
    assert found.history["normal_none"] == [0, 0]
    assert "n" not in found.genotypes[-1]


def test_dirichlet_draws_and_differentiates_as_torch_does():
    alpha = randn(5, 4).requires_grad_()
    torch.manual_seed(7)
    ours = Dirichlet()(alpha, "normal")
    torch.manual_seed(7)
    theirs = torch.distributions.Dirichlet(F.elu(alpha) + 1).rsample()
    assert torch.equal(ours, theirs)
    u = randn(5, 4, seed=1)
    slopes = [torch.autograd.grad((w * u).sum(), alpha)[0] for w in (ours, theirs)]
    assert torch.equal(*slopes)
    assert slopes[0].count_nonzero() == 20


def test_dirichlet_with_a_generator_depends_on_it_alone():
    alpha = randn(5, 4)

    def draw(seed):
        relaxation = Dirichlet(torch.Generator().manual_seed(seed))
        return torch.stack([relaxation(alpha, "normal") for _ in range(2)])

    outside = torch.get_rng_state()
    first, again, other = draw(0), draw(0), draw(1)
    assert torch.equal(outside, torch.get_rng_state())
    assert torch.equal(first, again)
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first, other)


def test_the_mean_of_dirichlet_weights_is_that_of_evaluation():
    alpha = randn(2, 4)
    relaxation = Dirichlet(torch.Generator().manual_seed(0))
    drawn = torch.stack([relaxation(alpha, "normal") for _ in range(4000)])
    mean = relaxation.eval()(alpha, "normal")
    torch.testing.assert_close(mean.sum(1), torch.ones(2, dtype=torch.float64))
    # Four standard errors, from the distribution's own variance.
    total = (F.elu(alpha) + 1).sum(1, keepdim=True)
    error = (mean * (1 - mean) / (total + 1) / 4000).sqrt()
    assert ((drawn.mean(0) - mean).abs() < 4 * error).all()


def test_the_dirichlet_s_penalty_is_the_divergence_from_the_uniform():
    net, remedy = model(), DirichletSampling(strength=0.3)
    remedy.attach(net, None)
    randomise(net)
    alphas = {name: getattr(net, name) for name in net.alpha_names.values()}
    expected = 0.0
    for alpha in alphas.values():
        c = F.elu(alpha) + 1
        total = c.sum(1)
        # The uniform distribution on the simplex has the density (operations - 1)!
        each = total.lgamma() - c.lgamma().sum(1) - math.lgamma(4)
        each = each + ((c - 1) * (c.digamma() - total.digamma()[:, None])).sum(1)
        expected = expected + each.sum()
    torch.testing.assert_close(remedy.penalty(net, alphas), 0.3 * expected)
    assert DirichletSampling().penalty(net, alphas) == 0
    for alpha in alphas.values():
        alpha.data.zero_()
    assert remedy.penalty(net, alphas).item() == pytest.approx(0, abs=1e-12)


def test_edge_normalization_is_a_softmax_over_the_edges_into_a_node():
    net = model(nodes=3)
    EdgeNormalization().attach(net, torch.Generator().manual_seed(0))
    randomise(net)
    beta, alpha = net.relaxation.reduce, net.alpha_reduce
    weights = net.mixing().reduce
    start = 0
    for into in (2, 3, 4):
        e = beta[start : start + into].exp()
        for i in range(into):
            expected = e[i] / e.sum() * alpha[start + i].softmax(0)
            torch.testing.assert_close(weights[start + i], expected)
        start += into
    # The paper's rule then chooses by both.
    assert float(weights.detach().sum()) == pytest.approx(3)


def test_edge_weights_belong_to_the_architecture_and_are_searched():
    net = model(nodes=2)
    found = search(net, TRAIN, VAL, epochs=2, remedies=[EdgeNormalization()])
    for kind in ("normal", "reduce"):
        beta = found.alphas[-1][f"relaxation.{kind}"]
        assert beta.shape == (5,)
        assert not torch.equal(beta, found.alphas[0][f"relaxation.{kind}"])


@pytest.mark.parametrize(
    "relaxation", [Softmax(), EdgeNormalized(Softmax(), (1, 2, 2), ["normal"])]
)
def test_what_remains_is_a_softmax_of_itself(relaxation):
    alpha = randn(3, 4)
    remaining = Remaining(relaxation, {"normal": (3, 4)}).double()
    torch.testing.assert_close(remaining(alpha, "normal"), relaxation(alpha, "normal"))
    remaining.keep_only("normal", 1, [0, 3])
    remaining.keep_only("normal", 2, [])
    weights = remaining(alpha, "normal")
    of_edge = relaxation(alpha, "normal").sum(1)
    torch.testing.assert_close(weights[0], relaxation(alpha, "normal")[0])
    torch.testing.assert_close(weights[1, [0, 3]], alpha[1, [0, 3]].softmax(0) * of_edge[1])
    assert weights[1, [1, 2]].tolist() == [0, 0]
    assert weights[2].tolist() == [0, 0, 0, 0]


def test_gates_that_remain_do_not_grow():
    alpha = randn(3, 4)
    remaining = Remaining(Sigmoid(), {"normal": (3, 4)})
    remaining.keep_only("normal", 1, [2])
    weights = remaining(alpha, "normal")
    assert torch.equal(weights[1, 2], alpha[1, 2].sigmoid())
    assert weights[1].count_nonzero() == 1


# Dropout on skips.


def test_the_rate_of_dropout_decays():
    remedy = SkipDropout(0.4, decay=0.5)
    assert [remedy.rate(epoch) for epoch in range(3)] == [
        pytest.approx(0.4 * math.exp(-0.5 * epoch)) for epoch in range(3)
    ]


def test_dropout_is_on_skips_without_weights_alone():
    net = model()
    SkipDropout(0.4).attach(net, None)
    for kind, dropped in (("normal", 2), ("reduce", 0)):
        for edges in net.edges(kind):
            kinds = [type(part) for edge in edges for part in edge.values()]
            assert kinds.count(Dropped) == dropped
            assert nn.Identity not in kinds


def test_dropped_skips_keep_their_mean_and_do_nothing_in_evaluation():
    skip = Dropped(torch.Generator().manual_seed(0))
    skip.p = 0.25
    x = torch.ones(100, 100, dtype=torch.float64)
    out = skip(x)
    assert set(out.unique().tolist()) == {0, 1 / 0.75}
    assert abs((out == 0).double().mean().item() - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 1e4)
    assert torch.equal(skip.eval()(x), x)


def test_the_search_sets_the_rate_of_each_epoch():
    net, seen = model(), []

    def record(net):
        seen.append({part.p for part in net.modules() if isinstance(part, Dropped)})
        return {}

    remedy = SkipDropout(0.3, decay=1.0)
    search(net, TRAIN, VAL, epochs=3, remedies=[remedy], record=record)
    assert seen == [{remedy.rate(epoch)} for epoch in range(3)]


def test_without_dropout_skips_are_the_plain_ones():
    one, other = model(), model()
    search(one, TRAIN, VAL, epochs=2)
    search(other, TRAIN, VAL, epochs=2, remedies=[SkipDropout(0.0)])
    for name, value in one.state_dict().items():
        assert torch.equal(value, other.state_dict()[name])


# Partial channels.


@pytest.mark.parametrize("order", ["first", "exact"])
def test_all_channels_are_the_plain_form(order):
    one, other = model(), model()
    search(one, TRAIN, VAL, epochs=2, order=order)
    search(other, TRAIN, VAL, epochs=2, order=order, remedies=[PartialChannels(1)])
    for name, value in one.state_dict().items():
        if ".edges." in name:
            start, _, rest = name.partition(".edges.")
            edge, _, rest = rest.partition(".")
            name = f"{start}.edges.{edge}.edge.{rest}"
        assert torch.equal(value, other.state_dict()[name])


@pytest.mark.parametrize(("stride", "size"), [(1, 6), (2, 6), (2, 5)])
def test_a_part_goes_through_and_the_rest_by(stride, size):
    torch.manual_seed(0)
    inner = MixedEdge(2, stride, FEW).double()
    edge, weights = PartialEdge(inner, 4), randn(4, seed=1)
    x = randn(3, 8, size, size)
    out = edge(x, weights)
    through = inner(x[:, :2], weights)
    by = x[:, 2:]
    if stride == 2:
        by = F.max_pool2d(F.pad(by, (0, size % 2, 0, size % 2), value=-math.inf), 2)
    for channel in range(8):
        # Channels of the four parts alternate.
        part, i = channel % 4, channel // 4
        expected = through[:, i] if part == 0 else by[:, 2 * (part - 1) + i]
        assert torch.equal(out[:, channel], expected)


def test_partial_channels_have_fewer_weights_in_both_networks():
    for net, inner in ((model(channels=8), MixedEdge), (small(channels=8), SmallEdge)):
        before = sum(p.numel() for p in net.weights())
        PartialChannels(4).attach(net, torch.Generator().manual_seed(0))
        assert sum(p.numel() for p in net.weights()) < before
        edges = [edge for kind in net.alpha_names for cell in net.edges(kind) for edge in cell]
        assert all(type(edge) is PartialEdge and type(edge.edge) is inner for edge in edges)
        assert all(p.dtype == torch.float64 for p in net.parameters())
    images = ones(1, size=3)[0][0]
    assert net(images).shape == (3, 10)


def test_a_share_that_does_not_divide():
    with pytest.raises(ValueError, match="share is 3 and an edge has 2 channels: give a divisor"):
        PartialChannels(3).attach(model(), None)


# Shrinking.


def test_the_weakest_operations_leave_when_they_shall():
    net, seen = model(), []

    def record(net):
        seen.append({kind: row.clone() for kind, row in strengths_by_kind(net).items()})
        return {}

    stages = Shrinking(((1, 3), (3, 1)))
    search(net, TRAIN, VAL, epochs=4, lr_alpha=0.1, remedies=[stages], record=record)
    counts = [{int(n) for n in row["normal"].count_nonzero(1)} for row in seen]
    assert counts == [{4}, {3}, {3}, {1}]
    for kind in ("normal", "reduce"):
        for before, after in ((0, 1), (2, 3)):
            kept = seen[after][kind] > 0
            ranks = seen[before][kind].argsort(1, descending=True).argsort(1)
            assert torch.equal(kept, ranks < int(kept[0].sum()))
    torch.testing.assert_close(seen[1]["normal"].sum(1), torch.ones(2, dtype=torch.float64))


def test_what_left_is_not_computed():
    net = model()
    stages = Shrinking(((0, 2),))
    stages.attach(net, None)
    stages.begin_epoch(net, 0, 1)
    calls = []
    for cell in net.cells:
        for edge in cell.edges:
            for name, op in edge.items():
                op.register_forward_hook(lambda *_, name=name: calls.append(name))
            assert len(edge.dropped) == 2
    out = net(TRAIN[0][0])
    assert len(calls) == 2 * sum(len(cell.edges) for cell in net.cells)
    # It had the weight 0 already: leaving it out changes nothing.
    for cell in net.cells:
        for edge in cell.edges:
            edge.dropped = frozenset()
    torch.testing.assert_close(net(TRAIN[0][0]), out)


# Stops.


def test_the_search_ends_with_the_very_epoch_that_has_too_many_skips():
    net = model()
    forced = net.operations.index("skip_connect")

    class Forcing(Remedy):
        """One skip more in each of the epochs 1 and 3."""

        def begin_epoch(self, model, epoch, epochs):
            with torch.no_grad():
                model.alpha_normal[:, 3] = 5.0
                model.alpha_normal[: (epoch + 1) // 2, forced] = 50.0

    found = search(net, TRAIN, VAL, epochs=9, remedies=[Forcing(), SkipStop(2)])
    assert found.history["normal_skips"] == [0, 1, 1, 2]
    found = search(model(), TRAIN, VAL, epochs=9, remedies=[Forcing(), SkipStop(1)])
    assert found.history["normal_skips"] == [0, 1]


@pytest.mark.parametrize("make", [model, small])
def test_the_eigenvalue_is_that_of_the_dense_hessian(make):
    net = make()
    randomise(net)
    batch = VAL[0] if make is model else ones(2)[0]
    architect = Architect(net, torch.optim.SGD(net.weights(), 0.1))
    _, loss = architect.losses(batch, batch)
    problem = Problem(loss, loss, architect.weights(), architect.alphas())
    H = hessian(lambda alpha: problem.outer(problem.w, alpha), problem.hyper)
    largest = float(torch.linalg.eigvalsh(H)[-1])
    state, drawn = {k: v.clone() for k, v in net.state_dict().items()}, torch.get_rng_state()
    assert alpha_eigenvalue(net, batch) == pytest.approx(largest, rel=1e-8)
    assert alpha_eigenvalue(net, batch, steps=3) < largest
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert torch.equal(drawn, torch.get_rng_state())
    assert net.training


def test_the_eigenvalue_of_drawn_weights_is_at_their_mean():
    net = model()
    DirichletSampling().attach(net, torch.Generator().manual_seed(0))
    SkipDropout(0.5).attach(net, None)
    net.train()
    assert alpha_eigenvalue(net, VAL[0]) == alpha_eigenvalue(net, VAL[0])


def eigenvalues(values):
    history = History()
    for value in values:
        history.append(train_loss=1.0, alpha_eigenvalue=value)
    return history


def test_smoothed_values():
    assert smoothed([1, 2, 6, 1], 3) == pytest.approx([3, 3])
    assert smoothed([1.0, 2.0], 3) == []


def test_the_search_ends_with_the_very_epoch_in_which_the_eigenvalue_has_grown():
    stop = EigenvalueStop(VAL[0], window=3, lag=2, ratio=0.75)
    # Means of three: 1, 1, 1.1, 1.2, 1.4; of those two apart 1 / 1.2 > 0.75 and 1.1 / 1.4 > 0.75.
    values = [1, 1, 1, 1.3, 1.3, 1.6]
    for n in range(1, len(values) + 1):
        assert not stop.stop(eigenvalues(values[:n]))
        assert stop.chosen(eigenvalues(values[:n])) == n - 1
    # Then 1.7, and 1.2 / 1.7 < 0.75: the mean of epochs 2 to 4, around 3, is the one to go back to.
    grown = eigenvalues([*values, 2.2])
    assert stop.stop(grown)
    assert stop.chosen(grown) == 3


def test_the_eigenvalue_is_recorded_after_each_epoch():
    net = model()
    stop = EigenvalueStop(VAL[0], window=1, lag=1, ratio=1e-9)
    found = search(net, TRAIN, VAL, epochs=2, remedies=[stop])
    assert found.history["alpha_eigenvalue"][-1] == alpha_eigenvalue(net, VAL[0])
    # With so large a ratio the first growth ends the search.
    stop = EigenvalueStop(VAL[0], window=1, lag=1, ratio=1e9)
    found = search(model(), TRAIN, VAL, epochs=5, remedies=[stop])
    assert found.history.epochs == 2
    assert stop.chosen(found.history) == 0


def test_batch_statistics_leave_those_of_training_alone():
    net = model().train()
    X = VAL[0][0]
    state = {name: value.clone() for name, value in net.state_dict().items()}
    with batch_statistics(net):
        inside = net(X)
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items())
    assert all(part.training for part in net.modules())
    assert torch.equal(inside, net(X))


# All together, and continued.

COMBINATIONS = [
    [SkipDropout(0.3), SkipStop(9), EigenvalueStop(VAL[0], ratio=1e-9)],
    [FairGates(), SkipDropout(0.3), Shrinking(((1, 3), (2, 2)))],
    [
        PartialChannels(2),
        DirichletSampling(0.01),
        EdgeNormalization(),
        Shrinking(((1, 3), (2, 2))),
        EigenvalueStop(VAL[0], ratio=1e-9),
    ],
]


def whole_run(remedies, path=None, break_in=None, order="first"):
    generator = torch.Generator().manual_seed(3)
    # Loader makes float32 images, so the supernet is of float32 here.
    net = Supernet(2, 3, 5, nodes=1, operations=FEW, generator=generator)
    remedies = [single(remedy) for remedy in remedies]
    draw = torch.Generator().manual_seed(5)
    X = torch.randint(256, (8, 3, 8, 8), generator=draw, dtype=torch.uint8)
    y = torch.randint(5, (8,), generator=draw)
    loaders = [Loader(X, y, 4, generator=generator) for _ in range(2)]

    def record(net):
        calls.append(1)
        if len(calls) == break_in:
            raise KeyboardInterrupt
        return {}

    calls = []
    options = {"record": record, "generator": generator, "checkpoint": path, "order": order}
    return search(net, *loaders, epochs=3, lr_alpha=0.1, remedies=remedies, **options), net


def single(remedy):
    if not isinstance(remedy, EigenvalueStop):
        return remedy
    X, y = remedy.batch
    return EigenvalueStop((X.float(), y), remedy.window, remedy.lag, remedy.ratio)


@pytest.mark.parametrize(
    ("remedies", "order"),
    [
        *itertools.product(COMBINATIONS, ["first"]),
        pytest.param(COMBINATIONS[2], "exact", marks=pytest.mark.slow),
    ],
)
def test_a_search_with_switches_on_continues_to_the_same_bits(tmp_path, remedies, order):
    path = tmp_path / "search.pt"
    whole, net = whole_run(remedies, order=order)
    torch.manual_seed(1)
    with pytest.raises(KeyboardInterrupt):
        whole_run(remedies, path, break_in=3, order=order)
    continued, again = whole_run(remedies, path, order=order)
    assert whole.history.epochs == continued.history.epochs == 3
    for name, value in net.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    for name in set(whole.history) - {"seconds"}:
        assert whole.history[name] == continued.history[name], name
    assert whole.genotypes == continued.genotypes


def test_other_remedies_are_another_search(tmp_path):
    path = tmp_path / "search.pt"
    search(model(), TRAIN, VAL, epochs=1, remedies=[SkipStop(3)], checkpoint=path)
    with pytest.raises(
        ValueError, match=r"another search: remedies is SkipStop\(limit=3, kind='normal'\) there"
    ):
        search(model(), TRAIN, VAL, epochs=1, remedies=[SkipStop(2)], checkpoint=path)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: SkipDropout(1.0), "p is 1.0: give a probability from 0 to below 1"),
        (lambda: SkipDropout(0.1, -1), "decay is -1: give 0, or a positive"),
        (lambda: PartialChannels(0), "share is 0: give 1 or more"),
        (lambda: Shrinking(((2, 3), (1, 2))), "give pairs"),
        (lambda: Shrinking(((1, 2), (2, 3))), "give pairs"),
        (lambda: Shrinking(((1, 0),)), "give pairs"),
        (lambda: SkipStop(0), "limit is 0: give 1 or more"),
        (lambda: EigenvalueStop(VAL[0], window=4), "window is 4: give an odd number"),
        (lambda: EigenvalueStop(VAL[0], lag=0), "lag is 0: give a positive number"),
        (lambda: EigenvalueStop(VAL[0], ratio=0.0), "ratio is 0.0: give a positive number"),
    ],
)
def test_wrong_arguments(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def ones(seed, n=2, size=3):
    """Batches with one colour, for the small space."""
    return batches(seed, n, size, colours=1)
