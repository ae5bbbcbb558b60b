"""The questions of `mixed_edge` that are answered by a letter, a number or in words."""

from __future__ import annotations

import math

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

E2 = math.exp(2)

SHARE = (
    number(
        "left_by_none",
        "What none leaves to the others",
        7 / (7 + E2),
        (
            "The softmax over all eight: e^0 = 1 seven times, and e^2 once.",
            "none's share is e^2 / (7 + e^2); the rest belongs to the others.",
        ),
        Mistake(
            "share_of_none",
            E2 / (7 + E2),
            "that is the share of none itself: what is left to the others?",
        ),
        Mistake(
            "no_exponential",
            7 / 9,
            "that takes e^2 for 2: the softmax has exponentials",
        ),
        Mistake(
            "one_of_them",
            1 / (7 + E2),
            "that is the share of one other operation: the seven together are asked for",
        ),
        Mistake(
            "equal",
            7 / 8,
            "that is so when all alphas are equal: none's is 2",
        ),
        Mistake(
            "everything",
            1,
            "none takes part in the softmax: what it has the others have not, and so none makes "
            "an edge weaker",
        ),
        Mistake(
            "seven_of_eight",
            8 / (8 + E2),
            "there are eight operations, none among them: seven others",
        ),
        Mistake(
            "sigmoid",
            1 / (1 + E2),
            "that is a softmax over two, none and one other: there are seven others",
        ),
    ),
)

SUM = (
    choice(
        "sum_of_gradients",
        "Eight gradients, added",
        "a",
        "Add 1 to all alphas of an edge: what happens to the softmax?",
        a="They cancel: their sum is 0",
        b=(
            "Their sum is that of the g . o_k, weighted with p",
            "that is what is *subtracted* from each g . o_k; weighted with p, the differences from "
            "a weighted mean have the sum 0",
        ),
        c=(
            "Their sum is 1, as the weights have the sum 1",
            "because the weights' sum stays 1 whatever alpha does, their *changes* have the sum 0",
        ),
        d=(
            "Nothing is known: it depends on g",
            "each gradient depends on g, but adding the same number to all alphas changes no "
            "weight, so in this direction the slope is 0 for each g",
        ),
    ),
)


def block(k: int, c: int = 16) -> int:
    """The weights of a depthwise filter and a 1x1 convolution."""
    return k * k * c + c * c


EDGE = (
    number(
        "edge_parameters",
        "The parameters of a mixed edge",
        3 * (block(3) + block(5)),
        (
            "Your operation_costs for all eight names, 16 channels, stride 1: add the parameters.",
            "Four operations have none. The separable ones have two blocks each.",
        ),
        Mistake(
            "once",
            2 * (block(3) + block(5)),
            "the separable convolutions are applied twice, with weights of their own each time",
        ),
        Mistake(
            "stride_2",
            3 * (block(3) + block(5)) + 256,
            "that is an edge that halves: at stride 1 the skip has no weights",
        ),
        Mistake(
            "norms",
            3 * (block(3) + block(5)) + 6 * 32,
            "batch norms have no scale and no shift here",
        ),
        Mistake(
            "dense",
            3 * 16 * 16 * (9 + 25),
            "those are plain convolutions: these have a filter for each channel and a 1x1 "
            "convolution",
        ),
        Mistake(
            "separable_alone",
            2 * (block(3) + block(5)) * 2,
            "the dilated ones are a single block each, not two",
        ),
        Mistake(
            "mean",
            3 * (block(3) + block(5)) / 8,
            "that is the mean over the operations: an edge holds all eight of them",
        ),
        Mistake(
            "whole_cell",
            14 * 3 * (block(3) + block(5)),
            "that is a cell of 14 edges: one edge is asked for",
        ),
    ),
)

SIDE = (
    number(
        "side_of_dilated",
        "What a dilated filter covers",
        9,
        (
            "The filter has 5 weights in a row, and they are 2 pixels apart.",
            "1 + 4 * 2",
        ),
        Mistake("no_dilation", 5, "that is the filter without dilation"),
        Mistake(
            "times_two",
            10,
            "5 weights have 4 gaps between them, so a row covers 1 + 4 * 2 pixels and not 5 * 2",
        ),
        Mistake(
            "gap_of_two",
            13,
            "with dilation 2 neighbours are 2 apart, with *one* pixel between them",
        ),
        Mistake("area", 81, "that is the whole square: its side is asked for"),
        Mistake("weights", 25, "that is the number of weights: the side is asked for"),
        Mistake(
            "one_gap",
            6,
            "every gap becomes larger by the dilation, not only one of them",
        ),
    ),
    number(
        "side_of_separable",
        "What a separable convolution covers",
        13,
        (
            "Go backwards: a pixel of the output sees 5 pixels in a row of the map between the two "
            "convolutions. How far apart are these in the input?",
            "The 5 pixels of the map between are 2 pixels apart in the input, and each of them "
            "sees 5 there: 4 * 2 + 5.",
        ),
        Mistake(
            "stride_ignored",
            9,
            "that is so at stride 1: the first convolution moves by 2, so the pixels that the "
            "second one sees are 2 apart in the input",
        ),
        Mistake("once", 5, "it is applied twice: the second convolution sees what the first made"),
        Mistake("added", 10, "5 + 5 counts a pixel twice, and the stride is ignored"),
        Mistake(
            "stride_last",
            17,
            "you multiply all gaps by 2: inside a filter of the *first* convolution pixels are "
            "neighbours",
        ),
        Mistake(
            "product",
            25,
            "filters that follow each other add up, their sides are not multiplied",
        ),
        Mistake("gap_of_two", 14, "5 pixels have 4 gaps: 4 * 2 + 5"),
        Mistake("area", 169, "that is the whole square: its side is asked for"),
    ),
)

SCALES = (
    choice(
        "no_scales",
        "Batch norms without scales",
        "d",
        "Let the scale of a batch norm be gamma. By what is the operation's output multiplied in "
        "the mixture?",
        a=(
            "To save parameters: scales are most of an edge's weights",
            "a scale and a shift are 2 numbers for each channel, few beside C * C",
        ),
        b=(
            "Because without them the outputs of all operations are alike",
            "outputs of the same mean and size still differ in every pixel",
        ),
        c=(
            "Because pools have no weights and so must have no norm",
            "pools have a norm as well in a mixed edge, as otherwise the sizes of their outputs "
            "would differ from the others'",
        ),
        d="Because a scale could undo alpha: p_k small and gamma large are the same as p_k large",
    ),
)

COUNTS = (
    number(
        "all_alphas",
        "All the alphas",
        224,
        (
            "14 edges with 8 operations each, in how many kinds of cells?",
            "All cells of a kind share their alphas.",
        ),
        Mistake(
            "one_kind",
            112,
            "that is one kind of cell: normal and reduction cells have alphas of their own",
        ),
        Mistake(
            "every_cell",
            896,
            "all cells of one kind share their alphas: two tables, whatever the number of layers",
        ),
        Mistake("no_none", 196, "none has an alpha as well: 8 operations"),
        Mistake("edges", 28, "those are the edges: each has 8 alphas"),
        Mistake(
            "chosen_edges",
            128,
            "8 edges are left *after* the search: the supernet has all 14",
        ),
        Mistake(
            "two_inputs_ignored",
            96,
            "you count 6 edges, those between nodes: each node has one from both inputs as well",
        ),
        Mistake(
            "inputs_as_nodes",
            2 * 15 * 8,
            "there is no edge between the two inputs: 2 + 3 + 4 + 5 edges",
        ),
    ),
    number(
        "edges_that_halve",
        "Edges that halve",
        8,
        (
            "The nodes of a reduction cell have the small size. Which edges lead from a large map "
            "to a small one?",
            "Two edges for each of the four nodes: those from the inputs.",
        ),
        Mistake(
            "all",
            14,
            "the nodes are small already: an edge from a node to a node must keep the size",
        ),
        Mistake(
            "first_node",
            2,
            "every node has edges from the inputs, not only the first",
        ),
        Mistake("one_each", 4, "both inputs are large: two edges for each node"),
        Mistake(
            "between_nodes",
            6,
            "those are the edges between nodes, which keep the size: the others halve",
        ),
        Mistake("none", 0, "something must halve: the inputs are twice as large as the nodes"),
        Mistake(
            "last_node",
            5,
            "those are the edges of the last node: look at where an edge begins, not where it ends",
        ),
    ),
)

END = (
    Question(
        name="explain_mixture",
        title="Explain what the edge has learned",
        points=3,
        kind="text",
    ),
)
