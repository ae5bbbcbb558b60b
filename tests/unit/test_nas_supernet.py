"""Mixed edges, cells and the supernet against the paper's sums, written out."""

import itertools

import pytest
import torch
from torch import nn

from mlcourse.nas.cells import Cell, CellShape, MixedEdge, cell_edges, cell_shapes
from mlcourse.nas.genotype import derive
from mlcourse.nas.operations import OPERATIONS
from mlcourse.nas.supernet import Softmax, Supernet

FEW = ("none", "skip_connect", "max_pool_3x3", "sep_conv_3x3")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*size, seed=0):
    return torch.randn(*size, generator=generator(seed), dtype=torch.float64)


def small(layers=3, operations=FEW, **options):
    return Supernet(
        2, layers, 5, nodes=2, operations=operations, generator=generator(), **options
    ).double()


# Mixed edges and cells


def test_a_mixed_edge_is_the_weighted_sum_of_its_operations():
    torch.manual_seed(0)
    edge, x, w = MixedEdge(4, 2, OPERATIONS).double(), randn(3, 4, 8, 8), randn(8, seed=1)
    expected = torch.stack([w[i] * edge[name](x) for i, name in enumerate(OPERATIONS)]).sum(0)
    torch.testing.assert_close(edge(x, w), expected)
    # One operation alone, and nothing of the others.
    alone = torch.zeros(8, dtype=torch.float64)
    alone[5] = 1
    torch.testing.assert_close(edge(x, alone), edge[OPERATIONS[5]](x))


def test_pools_are_standardised_and_no_norm_has_a_scale():
    torch.manual_seed(0)
    edge = MixedEdge(4, 1, OPERATIONS)
    assert not any(m.affine for m in edge.modules() if isinstance(m, nn.BatchNorm2d))
    for name in ("max_pool_3x3", "avg_pool_3x3"):
        out = edge[name](randn(9, 4, 8, 8).float() * 3 + 2)
        torch.testing.assert_close(out.mean((0, 2, 3)), torch.zeros(4), atol=1e-5, rtol=0)
        torch.testing.assert_close(out.std((0, 2, 3)), torch.ones(4), atol=1e-2, rtol=0)


def test_an_operation_of_an_edge_can_be_replaced():
    edge, x = MixedEdge(2, 1, ("skip_connect", "none")), torch.ones(1, 2, 3, 3)
    edge["skip_connect"] = nn.Sequential(nn.Identity(), nn.Dropout(1.0))
    assert list(edge) == ["skip_connect", "none"]
    assert not edge(x, torch.ones(2)).any()


def test_the_edges_are_in_the_order_of_the_paper():
    assert cell_edges(1) == [(0, 2), (1, 2)]
    assert cell_edges(3)[2:] == [(0, 3), (1, 3), (2, 3), (0, 4), (1, 4), (2, 4), (3, 4)]
    assert len(cell_edges(4)) == 14


@pytest.mark.parametrize("reduction", [False, True])
@pytest.mark.parametrize("after_reduction", [False, True])
def test_a_cell_is_the_papers_sum_over_inputs(reduction, after_reduction):
    torch.manual_seed(0)
    shape = CellShape(6, 4, 2, reduction, after_reduction)
    cell = Cell(shape, 3, FEW).double()
    side = 16 if after_reduction else 8
    a, b, weights = randn(2, 6, side, side), randn(2, 4, 8, 8, seed=1), randn(9, 4, seed=2)

    def edge(number, state):
        ops = cell.edges[number]
        return sum(weights[number, k] * ops[name](state) for k, name in enumerate(FEW))

    s0, s1 = cell.inputs[0](a), cell.inputs[1](b)
    s2 = edge(0, s0) + edge(1, s1)
    s3 = edge(2, s0) + edge(3, s1) + edge(4, s2)
    s4 = edge(5, s0) + edge(6, s1) + edge(7, s2) + edge(8, s3)
    torch.testing.assert_close(cell(a, b, weights), torch.cat([s2, s3, s4], 1))
    assert s4.shape == (2, 2, 4, 4) if reduction else (2, 2, 8, 8)


@pytest.mark.parametrize(
    ("layers", "reductions"), [(3, [1, 2]), (4, [1, 2]), (8, [2, 5]), (20, [6, 13])]
)
def test_the_cells_after_a_third_and_two_thirds_reduce(layers, reductions):
    shapes = list(cell_shapes(16, layers, 48, (4, 4)))
    assert [i for i, shape in enumerate(shapes) if shape.reduction] == reductions
    after = [i for i, shape in enumerate(shapes) if shape.after_reduction]
    assert after == [i + 1 for i in reductions if i + 1 < layers]
    assert [shapes[i].channels for i in (0, *reductions)] == [16, 32, 64]


def test_what_enters_a_cell_is_what_the_two_before_it_put_out():
    shapes = list(cell_shapes(8, 8, 24, (4, 3)))
    assert shapes[0][:2] == (24, 24)
    outs = [24, 24] + [(3 if shape.reduction else 4) * shape.channels for shape in shapes]
    assert [shape[:2] for shape in shapes] == list(itertools.pairwise(outs))[: len(shapes)]


# The supernet


def expected_count(channels, layers, classes, nodes=4, stem=3):
    """The number of weights, from the sizes of each convolution alone."""

    def reduction(n_in, n_out):
        return n_in * n_out

    def edge(c, stride):
        convolutions = 2 * (9 * c + c * c) + 2 * (25 * c + c * c)  # separable, twice
        dilated = (9 * c + c * c) + (25 * c + c * c)
        return convolutions + dilated + (reduction(c, c) if stride == 2 else 0)

    total = 3 * 9 * stem * channels + 2 * stem * channels
    before = last = stem * channels
    c = channels
    for i in range(layers):
        reduces = i in (layers // 3, 2 * layers // 3)
        c *= 2 if reduces else 1
        total += (before + last) * c
        for node in range(nodes):
            total += 2 * edge(c, 2 if reduces else 1) + node * edge(c, 1)
        before, last = last, nodes * c
    return total + (last + 1) * classes


@pytest.mark.parametrize(("channels", "layers"), [(16, 8), (8, 4), (4, 3)])
def test_the_number_of_weights(channels, layers):
    supernet = Supernet(channels, layers, 10)
    count = sum(p.numel() for p in supernet.weights())
    assert count == expected_count(channels, layers, 10)
    # The reference implementation logs 1.93 million for its own size.
    assert round(count / 1e6, 2) == 1.93 or channels < 16


def test_weights_and_architecture_are_all_parameters_once():
    supernet = small()
    weights, architecture = list(supernet.weights()), list(supernet.architecture())
    assert {id(p) for p in weights} | {id(p) for p in architecture} == {
        id(p) for p in supernet.parameters()
    }
    assert len(weights) + len(architecture) == len(list(supernet.parameters()))
    assert [tuple(p.shape) for p in architecture] == [(5, 4), (5, 4)]
    assert {"alpha_normal", "alpha_reduce"} <= set(supernet.state_dict())


def test_alpha_starts_small_and_the_operations_nearly_equal():
    supernet = Supernet(2, 3, 5, generator=generator())
    alpha = torch.cat([p.flatten() for p in supernet.architecture()])
    assert 0.8e-3 < alpha.std() < 1.2e-3
    torch.testing.assert_close(
        supernet.mixing().normal, torch.full((14, 8), 1 / 8), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize("layers", [3, 4])
def test_the_forward_pass_cell_by_cell(layers):
    supernet, x = small(layers), randn(4, 3, 8, 8)
    normal, reduce = (p.softmax(-1) for p in supernet.architecture())
    states = [supernet.stem(x)] * 2
    for i, cell in enumerate(supernet.cells):
        states.append(cell(*states[-2:], reduce if i in (layers // 3, 2 * layers // 3) else normal))
    logits = supernet.classifier(states[-1].mean((2, 3)))
    torch.testing.assert_close(supernet(x), logits)
    assert states[-1].shape == (4, 2 * 8, 2, 2)


def test_all_of_the_architecture_gets_a_gradient_and_none_of_it_is_left_out():
    supernet = small()
    supernet(randn(4, 3, 8, 8)).logsumexp(1).sum().backward()
    for name, p in supernet.named_parameters():
        assert p.grad is not None, name
        assert p.grad.abs().sum() > 0, name


def test_the_gradient_of_alpha_is_that_of_finite_differences():
    supernet, x = small(), randn(4, 3, 8, 8)

    def loss():
        return supernet(x).logsumexp(1).sum()

    for alpha in supernet.architecture():
        (slope,) = torch.autograd.grad(loss(), alpha)
        direction = randn(*alpha.shape, seed=3)
        with torch.no_grad():
            alpha += 1e-6 * direction
            above = loss()
            alpha -= 2e-6 * direction
            difference = (above - loss()) / 2e-6
            alpha += 1e-6 * direction
        torch.testing.assert_close(difference, (slope * direction).sum(), rtol=1e-5, atol=1e-8)


def test_one_generator_gives_one_network_and_leaves_torchs_own_alone():
    torch.manual_seed(0)
    first = torch.randn(3)
    torch.manual_seed(0)
    one, same, other = (Supernet(2, 3, 5, generator=generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, torch.randn(3))
    assert all(torch.equal(p, q) for p, q in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.alpha_normal, other.alpha_normal)
    assert not torch.equal(one.stem.conv.weight, other.stem.conv.weight)
    # Two networks from one generator differ.
    shared = generator()
    first_alpha, second_alpha = (Supernet(2, 3, 5, generator=shared).alpha_normal for _ in range(2))
    assert not torch.equal(first_alpha, second_alpha)


def test_without_a_generator_torchs_seed_decides():
    alphas = []
    for _ in range(2):
        torch.manual_seed(7)
        alphas.append(Supernet(2, 3, 5).alpha_reduce)
    assert torch.equal(*alphas)


class Gates(nn.Module):
    """A relaxation with noise in training, and with a parameter."""

    def __init__(self):
        super().__init__()
        self.temperature = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))
        self.kinds = []

    def forward(self, alpha, kind):
        self.kinds.append(kind)
        noise = torch.randn_like(alpha) if self.training else 0
        return ((alpha + noise) / self.temperature).sigmoid()


def test_the_relaxation_can_be_replaced():
    supernet = small()
    supernet.relaxation = gates = Gates()
    assert list(supernet.architecture())[2:] == [gates.temperature]
    assert not any(p is gates.temperature for p in supernet.weights())
    assert isinstance(small().relaxation, Softmax)
    supernet(randn(2, 3, 8, 8))
    assert gates.kinds == ["normal", "reduce"]
    strengths = supernet.strengths()
    torch.testing.assert_close(strengths.normal, supernet.alpha_normal.detach().sigmoid())
    assert not strengths.normal.requires_grad
    assert gates.training
    gates.eval()
    supernet.strengths()
    assert not gates.training


def test_the_genotype_is_derived_from_the_strengths():
    supernet = small()
    with torch.no_grad():
        for p in supernet.architecture():
            p.copy_(randn(*p.shape, seed=4))
    supernet.alpha_normal.data[:, 0] = 9
    expected = derive(supernet.alpha_normal.softmax(-1), supernet.alpha_reduce.softmax(-1), FEW)
    assert supernet.genotype() == expected


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"channels": 0}, "channels is 0: give 1 or more"),
        ({"nodes": 0}, "nodes is 0: give 1 or more"),
        ({"layers": 2}, "layers is 2: give 3 or more"),
        ({"operations": ("none",)}, r"the operations are \['none'\]: give one that does"),
        ({"operations": ("none", "sep", "sep")}, "the operation 'sep' comes twice"),
        ({"operations": ("none", "sep")}, "the operation is 'sep': give one of"),
    ],
)
def test_wrong_arguments(arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        Supernet(**{"channels": 2, "layers": 3, "classes": 5, **arguments})
