"""Genotypes: the paper's rule against a slow one, JSON both ways, and the printed cells."""

import itertools

import pytest
import torch

from mlcourse.nas.cells import cell_edges
from mlcourse.nas.genotype import (
    DARTS_V1,
    DARTS_V2,
    PC_DARTS,
    Genotype,
    check_genotype,
    derive,
    derive_cell,
    from_json,
)
from mlcourse.nas.operations import OPERATIONS

PRINTED = (DARTS_V1, DARTS_V2, PC_DARTS)


def strengths(nodes=4, seed=0, operations=OPERATIONS):
    generator = torch.Generator().manual_seed(seed)
    size = (len(cell_edges(nodes)), len(operations))
    return torch.randn(size, generator=generator, dtype=torch.float64).softmax(-1)


def slow_rule(table, operations, nodes):
    """For each node, of all pairs of edges and operations, the one with the greatest strengths."""
    rows = dict(zip(cell_edges(nodes), table.tolist(), strict=True))
    genes = []
    for node in range(2, 2 + nodes):
        choices = [
            (rows[source, node][k], name, source)
            for source in range(node)
            for k, name in enumerate(operations)
            if name != "none"
        ]
        pairs = [p for p in itertools.permutations(choices, 2) if p[0][2] != p[1][2]]
        best = max(pairs, key=lambda pair: (pair[0][0] + pair[1][0], pair[0][0]))
        genes += [(name, source) for _, name, source in best]
    return tuple(genes)


@pytest.mark.parametrize("nodes", [1, 2, 3])
@pytest.mark.parametrize("seed", range(5))
def test_two_edges_a_node_and_the_best_operation_of_each(nodes, seed):
    table = strengths(nodes, seed)
    assert derive_cell(table) == slow_rule(table, OPERATIONS, nodes)


def test_none_is_never_chosen_however_strong():
    table = strengths()
    table[:, 0] = 100
    assert derive_cell(table) == derive_cell(strengths())
    assert all(name != "none" for name, _ in derive_cell(table))


def test_but_its_share_weakens_an_edge():
    # The last edge has the largest logit of a real operation, but "none" takes most of its softmax.
    alpha = torch.zeros(5, 8)
    alpha[2, 4], alpha[3, 4], alpha[4, 4], alpha[4, 0] = 2.0, 2.1, 2.5, 5.0
    chosen = {source for _, source in derive_cell(alpha.softmax(-1))[2:]}
    by_logits = {source for _, source in derive_cell(alpha)[2:]}
    assert (chosen, by_logits) == ({0, 1}, {1, 2})


def test_of_equals_the_earlier_one():
    assert derive_cell(torch.zeros(5, 3), ("none", "skip_connect", "sep_conv_3x3")) == (
        *(("skip_connect", 0), ("skip_connect", 1)),
        *(("skip_connect", 0), ("skip_connect", 1)),
    )


def test_a_genotype_of_two_cells():
    normal, reduce = strengths(2, 1), strengths(2, 2)
    genotype = derive(normal, reduce)
    assert genotype.normal == genotype.genes("normal") == derive_cell(normal)
    assert genotype.reduce == genotype.genes("reduce") == derive_cell(reduce)
    assert genotype.normal_concat == genotype.concat("reduce") == (2, 3)


@pytest.mark.parametrize("genotype", PRINTED)
def test_json_both_ways(genotype):
    check_genotype(genotype)
    again = from_json(genotype.to_json())
    assert again == genotype
    assert isinstance(again, Genotype)
    assert hash(again) == hash(genotype)
    assert "\n" not in genotype.to_json()


@pytest.mark.parametrize("genotype", PRINTED)
def test_a_printed_genotype_is_what_its_own_strengths_give(genotype):
    tables = []
    for kind in ("normal", "reduce"):
        table = torch.zeros(14, 8)
        for i, (name, source) in enumerate(genotype.genes(kind)):
            edge = cell_edges(4).index((source, 2 + i // 2))
            table[edge, OPERATIONS.index(name)] = 2 - i % 2
        tables.append(table)
    assert derive(*tables) == genotype


def test_the_printed_cells_differ_in_their_skips():
    assert [g.occurrences("skip_connect", "normal") for g in PRINTED] == [3, 2, 1]
    assert DARTS_V2.occurrences("max_pool_3x3", "reduce") == 5


def changed(**cells):
    return DARTS_V2._replace(**cells)


@pytest.mark.parametrize(
    ("genotype", "sentence"),
    [
        (changed(normal=DARTS_V2.normal[:3]), "the normal cell has 3 genes: give two for each"),
        (changed(reduce=()), "the reduce cell has 0 genes"),
        (
            changed(normal=(("skip_connect", 0), ("skip_connect", 2), *DARTS_V2.normal[2:])),
            "node 2 of the normal cell has skip_connect from state 2: give a state before it, 0 to",
        ),
        (changed(reduce_concat=(2, 6)), r"the reduce cell puts out \(2, 6\): give one or more"),
        (changed(normal_concat=()), r"the normal cell puts out \(\)"),
    ],
)
def test_what_is_no_genotype(genotype, sentence):
    with pytest.raises(ValueError, match=sentence):
        check_genotype(genotype)
    with pytest.raises(ValueError, match=sentence):
        from_json(genotype.to_json())


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"normal": 3, "reduce": 4}'])
def test_text_that_is_no_genotype(text):
    with pytest.raises(ValueError, match="is no genotype: give what to_json wrote"):
        from_json(text)


@pytest.mark.parametrize("shape", [(4, 8), (14, 7), (0, 8), (14,)])
def test_strengths_of_no_cell(shape):
    with pytest.raises(ValueError, match="the strengths have shape"):
        derive_cell(torch.zeros(shape))


def test_nothing_to_choose():
    with pytest.raises(ValueError, match='the only operation is "none"'):
        derive_cell(torch.zeros(2, 1), ("none",))
