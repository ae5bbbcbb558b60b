"""`lbfgs_direction`: the two loops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import ONE_DTYPE, normal
from mlcourse.checks.declare import TOLERANCE, Mistake, Question, Variant
from mlcourse.checks.second_order_questions.shared import symmetric

Pairs = list[tuple[Tensor, Tensor]]


def cases(g: Generator) -> list[tuple[Tensor, Pairs]]:
    """(g, pairs): none, one, two and three pairs, oldest first, from a curvature that changes."""
    found = []
    for n, memory, dtype in (
        (4, 3, torch.float64),
        (3, 2, torch.float64),
        (5, 0, torch.float64),
        (4, 1, torch.float64),
        (5, 3, torch.float32),
    ):
        pairs = []
        for k in range(memory):
            values = [(1.0 + k) * (1 + i) for i in range(n)]
            s = normal(n, generator=g, dtype=dtype)
            s = s.sign() * (0.3 + s.abs())
            pairs.append((s, symmetric(values, g, dtype) @ s))
        found.append((normal(n, generator=g, dtype=dtype), pairs))
    return found


def newest(pairs: Pairs) -> Any:
    s, y = pairs[-1]
    return s @ y / (y @ y)


def by(
    order: Callable[[Pairs], Pairs] = lambda pairs: pairs,
    share: Callable[[Tensor, Tensor, Tensor], Any] = lambda s, y, q: s @ q / (s @ y),
    back: Callable[[Tensor, Tensor, Tensor], Any] = lambda s, y, q: y @ q / (s @ y),
    first: float = -1.0,
    second: Callable[[Tensor, Tensor, Tensor, Any, Any], Tensor] = lambda q, s, y, a, b: (
        q + s * (a - b)
    ),
    gamma: Callable[[Pairs], Any] = newest,
    again: bool = True,
    turned: bool = False,
    sign: float = -1.0,
) -> Callable[[Tensor, Pairs], Tensor]:
    """The two loops with one piece exchanged; `turned` runs the second from the newest pair."""

    def lbfgs_direction(g: Tensor, pairs: Pairs) -> Tensor:
        pairs, q, shares = order(list(pairs)), g, []
        for s, y in reversed(pairs):
            shares.append(share(s, y, q))
            q = q + first * shares[-1] * y
        if pairs:
            q = q * gamma(pairs)
        known = list(zip(reversed(pairs), shares, strict=True))
        for (s, y), a in (known if turned else reversed(known)) if again else ():
            q = second(q, s, y, a, back(s, y, q))
        return sign * q

    return lbfgs_direction


def wrong_shares(g: Tensor, pairs: Pairs) -> Tensor:
    """The shares of the first loop are taken up in its own order by the second."""
    q, shares = g, []
    for s, y in reversed(pairs):
        shares.append(s @ q / (s @ y))
        q = q - shares[-1] * y
    if pairs:
        q = q * newest(pairs)
    for (s, y), a in zip(pairs, shares, strict=True):
        q = q + s * (a - y @ q / (s @ y))
    return -q


def in_place(g: Tensor, pairs: Pairs) -> Tensor:
    return g.copy_(by()(g, pairs))


def by_matrix(g: Tensor, pairs: Pairs) -> Tensor:
    """The inverse Hessian itself, by the formula of BFGS."""
    eye = torch.eye(len(g), dtype=torch.float64)
    K = eye * (newest(pairs).double() if pairs else 1.0)
    for s, y in pairs:
        s, y = s.double(), y.double()
        V = eye - torch.outer(y, s) / (s @ y)
        K = V.T @ K @ V + torch.outer(s, s) / (s @ y)
    return -(K @ g.double()).to(g.dtype)


def by_recursion(g: Tensor, pairs: Pairs) -> Tensor:
    """What the newest pair does around what all the older ones do."""
    scale = newest(pairs) if pairs else 1.0

    def apply(q: Tensor, known: Pairs) -> Tensor:
        if not known:
            return scale * q
        s, y = known[-1]
        a = s @ q / (s @ y)
        inner = apply(q - a * y, known[:-1])
        return inner + s * (a - y @ inner / (s @ y))

    return apply(-g, list(pairs))


def by_indices(g: Tensor, pairs: Pairs) -> Tensor:
    """As it stands in books, with rho and indices."""
    m = len(pairs)
    rho = [1 / float(y.dot(s)) for s, y in pairs]
    alpha, q = [0.0] * m, g.clone()
    for i in range(m - 1, -1, -1):
        alpha[i] = rho[i] * float(pairs[i][0].dot(q))
        q -= alpha[i] * pairs[i][1]
    r = q if m == 0 else q * (1 / rho[-1] / float(pairs[-1][1].square().sum()))
    for i in range(m):
        beta = rho[i] * float(pairs[i][1].dot(r))
        r = r + pairs[i][0] * (alpha[i] - beta)
    return -r


def oldest(pairs: Pairs) -> Any:
    return newest(pairs[:1])


lbfgs_direction = Question(
    name="lbfgs_direction",
    title="The two loops of L-BFGS",
    points=3,
    reference=by(),
    cases=cases,
    parts=("the direction",),
    # Numbers in float32 on the way, such as rho in a list of floats, change the last digits.
    tolerance={**TOLERANCE, torch.float64: 1e-7, torch.float32: 1e-3},
    mistakes=(
        Mistake(
            "oldest_first",
            by(order=lambda pairs: pairs[::-1], gamma=oldest),
            "the loops run the wrong way: the first goes from the newest pair, the last of the "
            "list, to the oldest, and the second back",
        ),
        Mistake(
            "newest_at_the_front",
            by(order=lambda pairs: pairs[::-1]),
            "you take the first pair of the list for the newest: it is the oldest",
        ),
        Mistake(
            "both_oldest_first",
            by(order=lambda pairs: pairs[::-1], gamma=oldest, turned=True),
            "both loops start at the oldest pair: the first goes the other way, from the newest",
        ),
        Mistake(
            "both_newest_first",
            by(turned=True),
            "both loops start at the newest pair: the second goes back, from the oldest to the "
            "newest",
        ),
        Mistake(
            "shares_mixed_up",
            wrong_shares,
            "the second loop goes the other way, and your list of a's does not: each pair must get "
            "its own a back",
        ),
        Mistake(
            "no_gamma",
            by(gamma=lambda pairs: 1.0),
            "gamma is missing: between the loops q is multiplied by s . y / y . y of the newest "
            "pair, or the step has the wrong length",
        ),
        Mistake(
            "oldest_gamma",
            by(gamma=oldest),
            "gamma comes from the oldest pair: take the newest, which knows the curvature here",
        ),
        Mistake(
            "inverse_gamma",
            by(gamma=lambda pairs: 1 / newest(pairs)),
            "gamma is upside down: it is s . y / y . y, about one over the curvature",
        ),
        Mistake(
            "other_gamma",
            by(gamma=lambda pairs: pairs[-1][0] @ pairs[-1][0] / (pairs[-1][0] @ pairs[-1][1])),
            "your gamma is s . s / s . y, good in itself, but another: here it is s . y / y . y",
        ),
        Mistake(
            "uphill",
            by(sign=1.0),
            "the sign is wrong: the direction is minus K g",
        ),
        Mistake(
            "added_in_the_first",
            by(first=1.0),
            "the first loop adds a y: it takes it away from q",
        ),
        Mistake(
            "a_of_y",
            by(share=lambda s, y, q: y @ q / (s @ y)),
            "a is computed with y . q: in the first loop it is s . q",
        ),
        Mistake(
            "b_of_s",
            by(back=lambda s, y, q: s @ q / (s @ y)),
            "b is computed with s . q: in the second loop it is y . q",
        ),
        Mistake(
            "exchanged",
            lambda g, pairs: by()(g, [(y, s) for s, y in pairs]),
            "s and y are exchanged: a pair is (step, change of the gradient)",
        ),
        Mistake(
            "a_alone",
            by(second=lambda q, s, y, a, b: q + s * a),
            "the second loop adds a s and forgets b: it is (a - b) s",
        ),
        Mistake(
            "b_minus_a",
            by(second=lambda q, s, y, a, b: q + s * (b - a)),
            "the second loop has the wrong sign: it adds (a - b) s",
        ),
        Mistake(
            "along_y",
            by(second=lambda q, s, y, a, b: q + y * (a - b)),
            "the second loop adds a multiple of y: it is a multiple of s, a step",
        ),
        Mistake(
            "one_loop",
            by(again=False),
            "the second loop is missing: it adds (a - b) s for each pair, oldest first",
        ),
        Mistake(
            "newest_alone",
            lambda g, pairs: by()(g, pairs[-1:]),
            "only the newest pair is used: both loops go over all of them",
        ),
        Mistake(
            "gradient",
            lambda g, pairs: -g,
            "this is the steepest descent: the pairs are not used",
        ),
        Mistake(
            "in_place",
            in_place,
            "the caller's g is changed: q = g makes no copy, so q -= ... changes g too; write "
            "q = q - ..., or begin with g.clone()",
        ),
        Mistake("cast", lambda g, pairs: by()(g, pairs).float(), ONE_DTYPE),
    ),
    variants=(
        Variant("the matrix itself", by_matrix),
        Variant("a recursion", by_recursion),
        Variant("with rho and indices", by_indices),
    ),
    hints=(
        "First loop, for s, y in reversed(pairs): a = s . q / s . y, keep it, q = q - a y.",
        "Between the loops: if there are pairs, q = gamma q, with the last pair of the list.",
        "Second loop, oldest first: b = y . q / s . y, q = q + (a - b) s with the a of that pair. "
        "Return -q.",
    ),
)
