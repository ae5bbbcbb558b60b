"""The questions of `diagnose_collapse` that are answered by a letter or in words."""

from __future__ import annotations

from mlcourse.checks.declare import Question
from mlcourse.checks.kinds import choice

CAUSE = (
    choice(
        "test_of_a_cause",
        "A test of an explanation",
        "d",
        "What does the explanation blame? Change that, and nothing else.",
        a=(
            "Search with twice as many epochs: later the convolutions have learned",
            "alpha has moved by then: more epochs after the damage leave the cause, alpha that "
            "moves while the convolutions are raw, as it was",
        ),
        b=(
            "Take pools and skips out of the candidates, and see that cells have none",
            "they cannot be in the cell then, whatever the cause: the result is the same if the "
            "explanation is wrong",
        ),
        c=(
            "Compare searches whose cells have many pools with others whose cells have few",
            "both numbers could come from a third thing: a comparison of what happened by itself "
            "does not tell cause from company",
        ),
        d="Train w alone for some epochs before alpha may move, with the same seeds and all else "
        "as it was",
    ),
)

CURVATURE = (
    choice(
        "why_curvature",
        "Why curvature is a warning",
        "a",
        "What does making a cell discrete do to the point (alpha, w), and what does the loss do on "
        "such a way?",
        a="The choice of one operation on each edge is a long move away from where the search "
        "ended: in a sharp valley the loss rises more on the way",
        b=(
            "A large curvature means that the search has not converged yet",
            "curvature says nothing of the slope: a search can have converged in a sharp valley",
        ),
        c=(
            "A large curvature makes the steps of alpha too long, and alpha diverges",
            "Adam's steps are as long as their rate says; searches that collapse do not diverge, "
            "they go calmly to a bad cell",
        ),
        d=(
            "The eigenvalue counts the operations without weights",
            "the eigenvalue is one of the Hessian of the loss in alpha: it knows nothing of which "
            "operation has weights",
        ),
    ),
)

STRENGTH = (
    choice(
        "what_strength_says",
        "What a strength says",
        "c",
        "Compare the two columns of costs on the edges that are named: which of them are larger "
        "than chance, about 0.01?",
        a=(
            "On each edge the strongest operation is the one that is missed most, so DARTS keeps "
            "the right one",
            "on edges 2, 4 and 5 it is: look at edge 0, where the pool is the strongest, and at "
            "what is missed there",
        ),
        b=(
            "Convolutions are weak everywhere, since they are never the strongest of their edge",
            "on three of the six edges the convolution is the strongest: edges 2, 4 and 5",
        ),
        c="On edges 1 and 3 a pool has half of the weight or more and is hardly missed; on edge 0 "
        "the pool is stronger than a convolution that is missed far more",
        d=(
            "After training on nothing is missed, so any operation could have been chosen",
            "the convolutions of edges 0 and 5 are missed even then; and these are the costs of "
            "*one* operation less: they do not say what one operation alone is worth",
        ),
    ),
)

REMEDY = (
    choice(
        "remedy_for_the_gap",
        "A remedy for the gap",
        "b",
        "The gap opens when nearly all operations leave at once, and nothing is trained in "
        "between.",
        a=(
            "Let the gradient of alpha look more steps ahead",
            "that is for a short horizon: here the cosine is high, a better gradient of the same "
            "mixture leaves the mixture as it is",
        ),
        b="Make the choice little by little: an edge or a few operations at a time, and train the "
        "rest in between",
        c=(
            "Drop skips at random while the search goes on",
            "that is for operations without weights that win: here few of them are in the cell",
        ),
        d=(
            "Choose the operation with the largest alpha, and not the one with the largest softmax",
            "on one edge both are the same operation: the softmax keeps the order",
        ),
    ),
)

SEEDS = (
    choice(
        "five_seeds",
        "What five searches show",
        "c",
        "Look at the epochs from which the rule takes its cells. What would a clock have done?",
        a=(
            "The rule notices when a search collapses, and stops just before",
            "it took nearly the same epoch in all five: a clock would have done as well, and "
            "whether the rule notices anything cannot be told",
        ),
        b=(
            "The growing curvature makes the cells bad",
            "both come with time in these searches: that they come together does not say that one "
            "is the cause",
        ),
        c="With these settings the cells of an early epoch are better on average than those of "
        "the end; a fixed early epoch might have done as well",
        d=(
            "In 95 of 100 such searches the cell of the rule is better than the last one",
            "the interval is one for the *mean* difference: it does not say how many single "
            "searches gain",
        ),
    ),
)

END = (
    Question(
        name="explain_collapse",
        title="Explain your diagnosis",
        points=3,
        kind="text",
    ),
)
