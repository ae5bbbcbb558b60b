"""The questions of `second_order` that are answered by a letter, a number or in words."""

from __future__ import annotations

from mlcourse.checks.declare import Mistake, Question
from mlcourse.checks.kinds import choice, number

STEEPEST = (
    choice(
        "steepest",
        "The steepest direction",
        "c",
        "Draw a long narrow valley and the gradient on one of its walls. Where is the floor, and "
        "where the lowest point?",
        a=(
            "It is the best one: no direction goes down faster",
            "it is the steepest right here: a step has a length, and over that length the slope "
            "changes, most of all where the curvature is large",
        ),
        b=(
            "It does not go down where the curvature is negative",
            "against the gradient every small step goes down, whatever the curvature: negative "
            "curvature only makes it steeper still",
        ),
        c="The slope changes along the step, and fastest in directions of large curvature",
        d=(
            "It is disturbed by the noise of the mini-batch",
            "that is true as well, but the exact gradient of the whole set has the same trouble: "
            "the slope changes along the step",
        ),
    ),
)

RATES = (
    number(
        "stability_limit",
        "The stability limit",
        0.2,
        (
            "Along an eigenvector a step multiplies the distance by 1 - lr lambda.",
            "It shrinks only if |1 - lr lambda| < 1, for the largest lambda too.",
        ),
        Mistake(
            "newton",
            0.1,
            "1/lambda_max reaches the bottom of the steepest direction in one step: beyond it "
            "descent swings from side to side and still converges, up to twice as much",
        ),
        Mistake(
            "smallest",
            4.0,
            "that is 2 over the smallest eigenvalue: the largest one diverges first",
        ),
        Mistake("one_over_smallest", 2.0, "the largest curvature sets the limit, not the smallest"),
        Mistake(
            "sum",
            2 / 10.5,
            "that is the best fixed rate, 2/(lambda_max + lambda_min): it still converges up to "
            "2/lambda_max",
        ),
        Mistake("inverse", 5.0, "it is upside down: 2 over the largest curvature"),
        Mistake("two_lambda", 20.0, "2 is *divided* by the largest curvature"),
        Mistake("root", 2 / 10**0.5, "no root: 2 over the eigenvalue itself"),
    ),
    number(
        "best_rate",
        "The best fixed rate",
        2 / 10.5,
        (
            "Both ends of the spectrum should shrink alike: |1 - lr 10| = |1 - lr 0.5|.",
            "One of the two is negative: lr 10 - 1 = 1 - lr 0.5.",
        ),
        Mistake(
            "newton",
            0.1,
            "that ends the steep direction in one step and leaves 0.95 of the flat one: a "
            "larger rate is faster in the end",
        ),
        Mistake(
            "limit",
            0.2,
            "at the stability limit the steep direction swings for ever",
        ),
        Mistake("flat", 2.0, "that suits the flat direction, and the steep one diverges"),
        Mistake("no_two", 1 / 10.5, "twice as much: 2 over the sum of both eigenvalues"),
        Mistake(
            "mean",
            5.25,
            "that is the mean curvature: one over it is the rate",
        ),
        Mistake(
            "geometric",
            1 / 5**0.5,
            "one over the geometric mean of the curvatures is beyond the stability limit here",
        ),
        Mistake("difference", 2 / 9.5, "the two eigenvalues are added: this is beyond the limit"),
    ),
)

HVP_COST = (
    choice(
        "hvp_cost",
        "What a product costs",
        "b",
        "How many passes backward did you need? And how many numbers did you store besides those "
        "of a gradient?",
        a=(
            "n gradients, because H has n rows",
            "so many cost H itself: the product needs one more pass backward, through the gradient",
        ),
        b="A few gradients, whatever n is",
        c=(
            "n^2 operations at least, because H has n^2 entries",
            "those entries are never formed: a second pass backward gives the product, at a small "
            "multiple of a gradient's cost",
        ),
        d=(
            "Nothing more: it comes with the gradient",
            "the gradient itself has to be differentiated, which is another pass, over a longer "
            "graph",
        ),
    ),
)

NEWTON = (
    choice(
        "newton_cost",
        "What Newton costs",
        "d",
        "How many entries has H, and what does an elimination do with them?",
        a=(
            "Memory and time of order n",
            "that is what a gradient costs: H has n^2 entries",
        ),
        b=(
            "Memory of order n^2, and time of order n^2",
            "the memory is right: to solve with a full n by n matrix takes time of order n^3",
        ),
        c=(
            "Memory of order n^3, and time of order n^2",
            "it is the other way round: n^2 entries to store, n^3 operations to solve",
        ),
        d="Memory of order n^2, and time of order n^3",
    ),
    choice(
        "newton_at_a_saddle",
        "Newton at a saddle",
        "a",
        "On f = (x^2 - y^2)/2 at (1, 1): what are g and H, and where does -H^-1 g lead?",
        a="To the saddle: along negative curvature it goes uphill",
        b=(
            "Away from the saddle: it goes down in every direction",
            "it divides by a negative curvature, which turns the step round: it goes uphill there",
        ),
        c=(
            "It stays where it is, because the curvatures cancel",
            "each direction has its own step, and neither is zero: both lead to the saddle",
        ),
        d=(
            "It diverges, because H is not invertible at a saddle",
            "H is invertible there: it has eigenvalues of both signs, and none is zero",
        ),
    ),
)

POINTS = (
    choice(
        "which_kind",
        "Which kind of point",
        "d",
        "A single direction that goes down is enough for it not to be a minimum.",
        a=(
            "A minimum: nearly all curvatures are positive",
            "along the eigenvector of -0.01 the function goes down, if slowly, and one such "
            "direction is enough",
        ),
        b=(
            "A minimum: the determinant's sign does not matter, the trace is positive",
            "a positive trace says that the mean curvature is positive: one negative curvature "
            "is a way down all the same",
        ),
        c=(
            "A maximum",
            "at a maximum no direction goes up, and two of these three do",
        ),
        d="A saddle",
    ),
    choice(
        "flat_direction",
        "A direction without curvature",
        "c",
        "Compare x^2 + y^2 + z^4 with x^2 + y^2 - z^4 at zero.",
        a=(
            "A minimum: no curvature is negative",
            "x^2 + y^2 - z^4 has no negative curvature at zero either, and goes down along z: "
            "where the curvature is 0 the higher orders decide",
        ),
        b=(
            "A saddle: not all curvatures are positive",
            "x^2 + y^2 + z^4 has a curvature of 0 at zero too, and a minimum there: a saddle needs "
            "directions up and down",
        ),
        c="The Hessian cannot say: along the flat direction the higher orders decide",
        d=(
            "No critical point, because the Hessian is singular",
            "critical means that the gradient is zero, and it is: the Hessian may be anything",
        ),
    ),
    choice(
        "saddles_proven",
        "What is known of saddles",
        "b",
        "About which functions can one compute the distribution of the Hessian's eigenvalues?",
        a=(
            "It is proven for neural networks",
            "it is proven for random Gaussian functions: for networks there is evidence on small "
            "ones",
        ),
        b="It is a result for random Gaussian functions, with evidence on small networks",
        c=(
            "It holds for every function of many variables",
            "x_1^2 + ... + x_n^2 has one critical point, a minimum, in any dimension: it is a "
            "result for random Gaussian functions",
        ),
        d=(
            "It is a rule of thumb without any foundation",
            "there is a theorem, for random Gaussian functions, and evidence on small networks",
        ),
    ),
)

KRYLOV = (
    number(
        "cg_steps",
        "How many steps",
        3,
        (
            "What counts is how many *different* eigenvalues the matrix has.",
            "After k steps the error is the best polynomial of degree k in A, with value 1 at 0. "
            "One that is zero at each eigenvalue ends it.",
        ),
        Mistake(
            "size",
            1000,
            "that is enough for any matrix of this size: equal eigenvalues are done together, so "
            "fewer are needed here",
        ),
        Mistake(
            "square", 10**6, "n steps are always enough, and equal eigenvalues are done together"
        ),
        Mistake(
            "condition",
            100,
            "that is the condition number: it bounds the speed when the eigenvalues are spread, "
            "here there are three",
        ),
        Mistake(
            "root",
            10,
            "the root of the condition number is about the speed when the eigenvalues "
            "are spread: here there are three",
        ),
        Mistake("one", 1, "one step is enough when all eigenvalues are equal"),
        Mistake("two", 2, "one for each different eigenvalue: there are three"),
        Mistake("four", 4, "one for each different eigenvalue: the start does not count"),
    ),
)

MEMORY = (
    number(
        "lbfgs_memory",
        "The memory of L-BFGS",
        20_000_000,
        (
            "A pair is two vectors.",
            "Ten pairs of two vectors with a million numbers each.",
        ),
        Mistake("one_each", 10**7, "a pair is two vectors, s and y"),
        Mistake("one_pair", 2 * 10**6, "that is one pair: there are ten"),
        Mistake("matrix", 10**12, "that is a full matrix: L-BFGS never forms one"),
        Mistake("numbers_of_pairs", 20, "each of these 20 vectors has a million numbers"),
        Mistake("bytes", 8 * 2 * 10**7, "that is in bytes: count the numbers"),
        Mistake("squared", 10**8, "the memory grows with the number of pairs, not with its square"),
        Mistake("n", 10**6, "that is one vector: there are ten pairs of two"),
    ),
)

AFTER = (
    Question(
        name="explain_methods",
        title="Explain your measurement",
        points=3,
        kind="text",
    ),
)
