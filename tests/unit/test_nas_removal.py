"""Taking operations out: at once, after retraining, and as a way to choose."""

import pytest
import torch
from torch.nn import functional as F

from mlcourse.nas.remedies.partial_channels import PartialChannels
from mlcourse.nas.remedies.perturbation import select_by_perturbation
from mlcourse.nas.remedies.relaxations import Remaining
from mlcourse.nas.remedies.remedy import batch_statistics
from mlcourse.nas.remedies.removal import Removal, drop_one, retrain_one, score, without
from mlcourse.nas.small_supernet import SmallSupernet
from mlcourse.nas.supernet import Supernet

FEW = ("none", "skip_connect", "avg_pool_3x3", "sep_conv_3x3")


def model(seed=0, nodes=1, operations=FEW):
    draw = torch.Generator().manual_seed(seed)
    return Supernet(2, 3, 5, nodes=nodes, operations=operations, generator=draw).double()


def small(seed=0, channels=4):
    return SmallSupernet(channels, generator=torch.Generator().manual_seed(seed)).double()


def batches(seed, n=2, size=6, colours=3):
    draw = torch.Generator().manual_seed(seed)
    return [
        (
            torch.randn(size, colours, 8, 8, generator=draw, dtype=torch.float64),
            torch.randint(5, (size,), generator=draw),
        )
        for _ in range(n)
    ]


VAL = batches(2)


def values(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def assert_unchanged(net, before):
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name]), name


def test_the_score_is_over_images_and_changes_nothing():
    net = model().train()
    uneven = [VAL[0], (VAL[1][0][:2], VAL[1][1][:2])]
    before = values(net)
    found = score(net, uneven)
    assert_unchanged(net, before)
    assert net.training
    losses, right = [], 0
    for X, y in uneven:
        logits = net(X)  # in training mode: the batch's statistics
        losses += F.cross_entropy(logits, y, reduction="none").tolist()
        right += int((logits.argmax(1) == y).sum())
    assert found.loss == pytest.approx(sum(losses) / 8)
    assert found.accuracy == right / 8
    with pytest.raises(ValueError, match="there are no batches: give at least one"):
        score(net, [])


@pytest.mark.parametrize("make", [model, small])
def test_an_operation_without_is_one_with_the_weight_zero(make):
    net = make()
    X = VAL[0][0] if make is model else batches(1, colours=1)[0][0]
    net.eval()
    plain = net(X)

    class Zeroed(torch.nn.Module):
        def forward(self, alpha, kind):
            weights = alpha.softmax(-1)
            keep = torch.ones_like(weights)
            if kind == "normal":
                keep[1, 3] = 0
            return weights * keep

    with without(net, "normal", 1, net.operations[3:]):
        out = net(X)
    assert torch.equal(net(X), plain)
    softmax, net.relaxation = net.relaxation, Zeroed()
    torch.testing.assert_close(out, net(X))
    net.relaxation = softmax
    assert not torch.allclose(out, plain)


def test_without_any_operation_an_edge_gives_zeros():
    net = model().eval()
    shapes = []
    for cell in net.cells:
        cell.edges[0].register_forward_hook(lambda *of: shapes.append(of[2]))
    with without(net, "reduce", 0, FEW), without(net, "normal", 0, FEW):
        assert net(VAL[0][0]).isfinite().all()
    assert [out.shape[2] for out in shapes] == [8, 4, 2]
    assert all(not out.any() for out in shapes)


def test_drop_one_scores_each_removal():
    net = model()
    before = values(net)
    found = drop_one(net, VAL, "reduce", 1, FEW)
    assert_unchanged(net, before)
    assert [removal.operation for removal in found] == list(FEW)
    plain = score(net, VAL)
    assert found[0][3:] == plain
    for removal in found[1:]:
        assert removal.loss != plain.loss
        with without(net, removal.kind, removal.edge, [removal.operation]):
            assert removal[3:] == score(net, VAL)


def test_partial_edges_can_be_taken_out_too():
    net = small(channels=8)
    PartialChannels(4).attach(net, torch.Generator().manual_seed(0))
    val = batches(1, colours=1)
    losses = {removal.loss for removal in drop_one(net, val, "normal", 2, net.operations)}
    assert len(losses) == 4


def test_retrain_one_trains_without_it_and_undoes_the_training():
    net = model()
    before, seen = values(net), []

    def retrain(net):
        seen.append({place.dropped for edges in net.edges("normal") for place in edges})
        with torch.no_grad():
            for p in net.weights():
                p.mul_(1.5)
            net(VAL[0][0])
        seen.append(values(net))

    found = retrain_one(net, VAL, "normal", 0, "avg_pool_3x3", retrain)
    assert seen[0] == {frozenset({"avg_pool_3x3"}), frozenset()}
    assert_unchanged(net, before)
    assert all(not edge.dropped for edge in net.edges("normal")[0])
    net.load_state_dict(seen[1])
    with without(net, "normal", 0, ["avg_pool_3x3"]):
        assert found == Removal("normal", 0, "avg_pool_3x3", *score(net, VAL))


def test_a_retraining_that_fails_is_undone_too():
    net = model()
    before = values(net)

    def retrain(net):
        with torch.no_grad():
            net.classifier.weight.zero_()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        retrain_one(net, VAL, "normal", 0, "avg_pool_3x3", retrain)
    assert_unchanged(net, before)
    assert all(not edge.dropped for edge in net.edges("normal")[0])


def test_perturbation_keeps_what_is_missed_most():
    net, tuned = small(seed=4), []
    val = batches(1, n=1, size=40, colours=1)
    # One pass through the rule, written out, with nothing tuned in between.
    by_hand = small(seed=4)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0)).tolist()
    expected = {}
    for edge in order:
        removals = drop_one(by_hand, val, "normal", edge, by_hand.operations)
        worst = min(removals, key=lambda removal: (removal.accuracy, -removal.loss))
        expected[edge] = worst.operation
        index = by_hand.operations.index(worst.operation)
        with torch.no_grad():
            by_hand.alpha[edge] = -1e4
            by_hand.alpha[edge, index] = 0
    tried = select_by_perturbation(
        net,
        val,
        lambda net: tuned.append(net.genotype()),
        candidates=net.operations,
        inputs=None,
        generator=torch.Generator().manual_seed(0),
    )
    assert len(tuned) == 6
    assert [removal.edge for removal in tried[::4]] == order
    letters = dict(zip(net.operations, "nsac", strict=True))
    assert net.genotype() == "".join(letters[expected[edge]] for edge in range(6))
    # What has left is not computed, and the rest has the weight 1.
    torch.testing.assert_close(net.strengths().sum(1), torch.ones(6, dtype=torch.float64))
    dropped = [len(place.dropped) for edges in net.edges() for place in edges]
    assert dropped == [3] * 12


def test_perturbation_keeps_two_inputs_of_each_node():
    operations = ("none", "skip_connect", "sep_conv_3x3")
    net, order = model(0, 2, operations), torch.Generator().manual_seed(1)
    seen = []
    select_by_perturbation(net, VAL[:1], lambda net: seen.append(1), generator=order)
    strengths = net.strengths()
    assert len(seen) == 10 + 2
    for rows in strengths:
        assert set(rows.round(decimals=9).unique().tolist()) == {0, 1}
        assert rows[:, 0].tolist() == [0] * 5
        assert [rows[:2].count_nonzero(), rows[2:].count_nonzero()] == [2, 2]
    # The paper's rule names just these.
    genotype = net.genotype()
    for kind, rows in zip(("normal", "reduce"), strengths, strict=True):
        kept = {(node, edge - start) for start, node in ((0, 2), (2, 3))
                for edge in range(start, start + node) if rows[edge].any()}  # fmt: skip
        genes = {(2 + i // 2, source) for i, (_, source) in enumerate(genotype.genes(kind))}
        assert genes == kept


def test_the_inputs_that_are_closed_are_missed_least():
    net = model(nodes=2)
    net.alpha_normal.data.zero_()
    relaxation = Remaining.of(net)
    for edge in range(5):
        relaxation.keep_only("normal", edge, [3])
        relaxation.keep_only("reduce", edge, [3])
    removals = {}
    for edge in (2, 3, 4):
        with without(net, "normal", edge, FEW), batch_statistics(net):
            removals[edge] = score(net, VAL)
    least = min(removals, key=lambda edge: (-removals[edge].accuracy, removals[edge].loss))
    select_by_perturbation(
        net, VAL, lambda net: None, candidates=["sep_conv_3x3"], generator=normal_node_first()
    )
    closed = [edge for edge in (2, 3, 4) if not net.strengths().normal[edge].any()]
    assert closed == [least]


def normal_node_first():
    """A generator that gives the normal cell's node its turn before the reduction cell's."""
    for seed in range(20):
        draw = torch.Generator().manual_seed(seed)
        torch.randperm(10, generator=draw)
        if torch.randperm(2, generator=draw).tolist()[0] == 0:
            return torch.Generator().manual_seed(seed)
    raise AssertionError
