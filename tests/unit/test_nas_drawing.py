"""A drawn cell has an arc and a name for each gene, and the arcs do not hide one another."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.patches import Circle, FancyArrowPatch

from mlcourse.nas.drawing import _clash, _sides, draw
from mlcourse.nas.genotype import DARTS_V1, DARTS_V2, PC_DARTS, Genotype


@pytest.fixture
def ax():
    fig, ax = plt.subplots()
    yield ax
    plt.close(fig)


@pytest.mark.parametrize("genotype", [DARTS_V1, DARTS_V2, PC_DARTS])
@pytest.mark.parametrize("kind", ["normal", "reduce"])
def test_an_arc_and_a_name_for_each_gene_and_a_circle_for_each_node(ax, genotype, kind):
    assert draw(genotype, kind, ax) is ax
    kinds = [type(patch) for patch in ax.patches]
    assert (kinds.count(FancyArrowPatch), kinds.count(Circle)) == (8, 4)
    texts = [text.get_text() for text in ax.texts]
    skips = genotype.occurrences("skip_connect", kind)
    assert texts.count("skip") == skips
    assert texts.count("sep 3x3") == genotype.occurrences("sep_conv_3x3", kind)
    assert "$c_k$ joins\n0, 1, 2, 3" in texts


def test_an_operation_has_one_colour_and_others_have_others(ax):
    draw(DARTS_V1, "normal", ax)
    colours = {text.get_text(): text.get_color() for text in ax.texts}
    assert colours["skip"] != colours["sep 3x3"]
    arcs = [p.get_edgecolor() for p in ax.patches if isinstance(p, FancyArrowPatch)]
    assert len(set(arcs)) == 2


def test_what_is_not_put_out_is_dotted(ax):
    draw(DARTS_V2._replace(normal_concat=(3, 5)), "normal", ax)
    lines = [patch.get_linestyle() for patch in ax.patches if isinstance(patch, Circle)]
    assert lines == [":", "-", ":", "-"]
    assert "$c_k$ joins\n1, 3" in [text.get_text() for text in ax.texts]


def test_the_axes_are_as_high_as_the_arcs_of_each_side(ax):
    genes = (("skip_connect", 0), ("sep_conv_3x3", 1), ("skip_connect", 2), ("sep_conv_3x3", 0))
    draw(Genotype(genes, (2, 3), genes, (2, 3)), ax=ax)
    names = ("skip", "sep 3x3")
    heights = [text.get_position()[1] for text in ax.texts if text.get_text() in names]
    low, high = ax.get_ylim()
    assert low < min(heights) < 0 < max(heights) < high
    assert high + low == pytest.approx(max(heights) + min(heights))


def test_two_operations_between_the_same_states_are_on_two_sides():
    twice = (("skip_connect", 0), ("sep_conv_3x3", 0))
    assert sum(_sides(twice)) == 0


def test_arcs_that_cross_are_on_two_sides_where_that_is_possible():
    assert (_clash((0, 2), (1, 3)), _clash((0, 3), (1, 2)), _clash((0, 2), (0, 3))) == (2, 0, 1)
    genes = (("skip_connect", 0), ("skip_connect", 1), ("skip_connect", 1), ("skip_connect", 2))
    sides = _sides(genes)
    assert sides[0] != sides[2]


def test_an_unknown_operation_is_drawn_too(ax):
    conv = (("conv_1x1", 0), ("conv_1x1", 1))
    draw(Genotype(conv, (2,), conv, (2,)), ax=ax)
    assert [text.get_text() for text in ax.texts].count("conv 1x1") == 2


def test_what_is_no_genotype(ax):
    with pytest.raises(ValueError, match="the normal cell puts out"):
        draw(DARTS_V1._replace(normal_concat=()), ax=ax)
