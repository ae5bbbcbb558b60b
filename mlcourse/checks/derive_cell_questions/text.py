"""The questions of `derive_cell` that are answered by a letter, a number or in words."""

from __future__ import annotations

from math import comb, factorial

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

#: Two of the n states before a node, for the nodes 2, 3, 4 and 5.
PAIRS = comb(2, 2) * comb(3, 2) * comb(4, 2) * comb(5, 2)
CELLS = PAIRS * 7**8

WHY_NONE = (
    choice(
        "why_not_none",
        "Why none is not chosen",
        "b",
        "A node's inputs all get weaker by the same factor: what does a batch norm after them do?",
        a=(
            "Because it has no weights and so cannot be trained",
            "pools and skips have no weights either, and may be chosen",
        ),
        b="Because its weight only makes an edge weaker, which later batch norms undo: it says "
        "little about what the edge is worth",
        c=(
            "Because its alpha has the gradient 0, as its output is 0",
            "its g.o is 0, but the mean term is not: its gradient is - p times the mean of the "
            "others' g.o",
        ),
        d=(
            "Because its weight is always the smallest",
            "often it is the largest: in the search nothing keeps it small",
        ),
    ),
)

HOW_MANY = (
    number(
        "how_many_cells",
        "How many cells there are",
        CELLS,
        (
            "Node n (n = 2, 3, 4, 5) chooses 2 of n states, and each of the two edges one of 7 "
            "operations.",
            "(1 * 3 * 6 * 10) * 7 ** 8",
        ),
        Mistake(
            "with_none",
            PAIRS * 8**8,
            "none is never chosen: 7 operations are left for each edge",
        ),
        Mistake("operations_alone", 7**8, "each node also chooses which two states it takes"),
        Mistake(
            "inputs_alone", PAIRS, "each of the 8 edges also has one of 7 operations: times 7 ** 8"
        ),
        Mistake(
            "ordered",
            2**4 * PAIRS * 7**8,
            "you count each pair of inputs in both orders: a node adds, so the order makes no "
            "difference",
        ),
        Mistake(
            "both_kinds",
            CELLS**2,
            "that is how many *pairs* of cells there are, a normal and a reduction cell",
        ),
        Mistake(
            "all_edges",
            7**14,
            "that gives all 14 edges an operation: each node keeps two",
        ),
        Mistake(
            "supernet",
            8**14,
            "that is what the supernet could choose without the rule of two inputs",
        ),
        Mistake(
            "four_operations",
            PAIRS * 7**4,
            "each node has *two* edges, with an operation each: 8 in all",
        ),
        Mistake(
            "one_input_each",
            factorial(5) * 7**4,
            "you give each node one input: it has two",
        ),
        Mistake(
            "eight_of_fourteen",
            comb(14, 8) * 7**8,
            "not any 8 of the 14 edges: two for each node",
        ),
    ),
)

TAU = (
    number(
        "tau_by_hand",
        "Tau by hand",
        2 / 3,
        (
            "Four cells have six pairs. How many are in the same order in both columns?",
            "Only the pair of the first two cells is in the other order: 5 against 1.",
        ),
        Mistake("concordant_part", 5 / 6, "that is the part of pairs in the same order: C - D"),
        Mistake("spearman", 0.8, "that is Spearman's correlation, of the ranks"),
        Mistake("not_divided", 4, "that is C - D: divide by the number of pairs, 6"),
        Mistake("ordered_pairs", 1 / 3, "four cells have 6 pairs, each counted once above"),
        Mistake(
            "one",
            1,
            "one pair is in the other order (and C - D is divided by the 6 *pairs*, not by 4)",
        ),
        Mistake("sign", -2 / 3, "more pairs are in the same order: the sign is positive"),
    ),
)

LOW_TAU = (
    choice(
        "low_tau",
        "A low tau",
        "c",
        "Which order does the search follow, and which one do you care for?",
        a=(
            "The cells are all equally good",
            "tau compares two *orders*; that retrained accuracies differ by more than their noise "
            "must be measured apart, with several seeds for each cell",
        ),
        b=(
            "The supernet was trained badly: its accuracy is low",
            "all relaxed accuracies may be high, in another order; or low, in the same",
        ),
        c="That a cell is first in the supernet says little about its place after training anew",
        d=(
            "One in five of the best cells is found",
            "tau is a difference of pair counts: at 0.2 and without ties 60 % of all pairs are in "
            "the same order, and it says nothing on the best ones in particular",
        ),
    ),
)

END = (
    Question(
        name="explain_depth",
        title="Explain how deep the cells are",
        points=3,
        kind="text",
    ),
)
