"""`limit`, `step_map` and `contraction`: where the descent ends, and whether it gets there."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.bilevel_toy_questions.alternating import alternation_by
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.pso_questions.shared import Array, use_arrays
from mlcourse.checks.search_basics_questions.shared import EXACT

# --- The limit ------------------------------------------------------------------------------------


def limit_cases(g: Generator) -> list[tuple[float]]:
    """(xi): first order, and steps shorter and longer than 1/2."""
    ranges = ((0.05, 0.15), (0.2, 0.4), (0.6, 0.9), (1.1, 1.5))
    return [(0.0,), *((uniform(low, high, g),) for low, high in ranges)]


def limit_by_descent(xi: float) -> float:
    w, a = -2.0, 2.0
    for _ in range(3000):
        w, a = alternation_by()(w, a, 0.05, 0.05, xi, "w")
    return a


def limit_by_solving(xi: float) -> Any:
    slopes = torch.tensor([[1.0, -1.0], [1 - 2 * xi, 4 * xi]], dtype=torch.float64)
    return torch.linalg.solve(slopes, torch.tensor([0.0, 2.0], dtype=torch.float64))[1]


def limit_by_fractions(xi: float) -> float:
    return float(2 / (1 + 2 * Fraction(xi)))


limit = Question(
    name="limit",
    title="Where the descent ends",
    points=2,
    reference=lambda xi: 2 / (1 + 2 * xi),
    cases=limit_cases,
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "solution",
            lambda xi: 1.0,
            "1 is the solution of the bilevel problem: the descent ends there only for xi = 1/2; "
            "set *its own* two moves to zero",
        ),
        Mistake(
            "first_order",
            lambda xi: 2.0,
            "2 is the end of the first-order descent, xi = 0: with xi the gradient of a has a "
            "second term, 2 xi a",
        ),
        Mistake(
            "no_two",
            lambda xi: 2 / (1 + xi),
            "a factor 2 is missing beside xi: the unrolled weight answers to a with 2 xi",
        ),
        Mistake(
            "four",
            lambda xi: 2 / (1 + 4 * xi),
            "4 xi a is only a part: the same gradient holds (1 - 2 xi) w, and at the end w = a, "
            "so the two add up to (1 + 2 xi) a",
        ),
        Mistake(
            "indirect_sign",
            lambda xi: 2 / (1 - 2 * xi),
            "the indirect term has the wrong sign: w - 2 + 2 xi a = 0 with w = a",
        ),
        Mistake(
            "one_above",
            lambda xi: 1 / (1 + 2 * xi),
            "half of it: at w = a the gradient is (1 + 2 xi) a - 2, with a 2, from - 2 a in the "
            "validation loss",
        ),
        Mistake(
            "upside_down",
            lambda xi: (1 + 2 * xi) / 2,
            "it is upside down: (1 + 2 xi) a = 2, so divide 2 by 1 + 2 xi",
        ),
        Mistake(
            "from_the_start",
            lambda xi: (2 + 2 * (1 - 2 * xi)) / (4 * xi) if xi else 2.0,
            "you leave w at -2, its start, and ask where a alone would stop: w moves too, and "
            "stops only at w = a",
        ),
        Mistake(
            "straight",
            lambda xi: 2 - 2 * xi,
            "a straight line from 2 at xi = 0 to 1 at xi = 1/2 is no solution of the equation "
            "(1 + 2 xi) a = 2",
        ),
        Mistake(
            "both",
            lambda xi: (2 / (1 + 2 * xi),) * 2,
            "w and a are equal there, so return one number",
        ),
    ),
    variants=(
        Variant("a long descent", limit_by_descent),
        Variant("two equations", limit_by_solving),
        Variant("fractions", limit_by_fractions),
    ),
    hints=(
        "At the end nothing moves. When does w not move? Then write the gradient of a for such a "
        "w.",
        "2 (w - a) = 0, so w = a, and the step of length xi goes nowhere either: the new weight is "
        "w.",
        "w - 2 + 2 xi a = 0 with w = a.",
    ),
)


# --- The step as a matrix -------------------------------------------------------------------------

Settings = tuple[float, float, float, str]


def map_cases(g: Generator) -> list[Settings]:
    """(lr_w, lr_a, xi, first): both orders, with and without xi."""
    return [
        (uniform(0.1, 0.25, g), uniform(0.3, 0.6, g), xi and xi + uniform(-0.1, 0.1, g), first)
        for first, xi in (("w", 0.25), ("a", 0.25), ("w", 0.0), ("a", 0.0), ("a", 0.8))
    ]


Matrix = Callable[[float, float], Array]


def matrix_of_w(lr_w: float, xi: float) -> Array:
    return np.array([[1 - 2 * lr_w, 2 * lr_w], [0, 1]])


def matrix_of_a(lr_a: float, xi: float) -> Array:
    return np.array([[1, 0], [-lr_a * (1 - 2 * xi), 1 - 4 * xi * lr_a]])


def both(of_w: Array, of_a: Array, shift: Array, first: str) -> tuple[Array, Array]:
    if first == "w":
        return of_a @ of_w, shift
    return of_w @ of_a, of_w @ shift


def map_by(
    of_w: Matrix = matrix_of_w,
    of_a: Matrix = matrix_of_a,
    shift: Callable[[float], Array] = lambda lr_a: np.array([0, 2 * lr_a]),
    join: Callable[[Array, Array, Array, str], Any] = both,
) -> Callable[..., Any]:
    """Give M and b, with one of the pieces exchanged."""

    def step_map(lr_w: float, lr_a: float, xi: float, first: str) -> Any:
        return join(of_w(lr_w, xi), of_a(lr_a, xi), shift(lr_a), first)

    return step_map


def at_once(of_w: Array, of_a: Array, shift: Array, first: str) -> tuple[Array, Array]:
    """Both moves from the old values."""
    return np.stack([of_w[0], of_a[1]]), shift


def map_by_probing(lr_w: float, lr_a: float, xi: float, first: str) -> Any:
    """What a step makes of the corners (0, 0), (1, 0) and (0, 1)."""
    corners = ((0.0, 0.0), (1.0, 0.0), (0.0, 1.0))
    zero, one, two = (
        np.array(alternation_by()(*corner, lr_w, lr_a, xi, first)) for corner in corners
    )
    return np.stack([one - zero, two - zero], axis=1), zero


def map_by_autograd(lr_w: float, lr_a: float, xi: float, first: str) -> Any:
    def step(x: torch.Tensor) -> torch.Tensor:
        return torch.stack(alternation_by()(x[0], x[1], lr_w, lr_a, xi, first))

    start = torch.zeros(2, dtype=torch.float64)
    return torch.autograd.functional.jacobian(step, start), step(start)


def map_written_out(lr_w: float, lr_a: float, xi: float, first: str) -> Any:
    p, q = 2 * lr_w, lr_a * (1 - 2 * xi)
    r = 1 - 4 * xi * lr_a
    if first == "w":
        return [[1 - p, p], [-q * (1 - p), r - q * p]], [0.0, 2 * lr_a]
    return [[1 - p - p * q, p * r], [-q, r]], [2 * p * lr_a, 2 * lr_a]


step_map = Question(
    name="step_map",
    title="The step as a matrix",
    points=3,
    reference=map_by(),
    cases=map_cases,
    use=use_arrays,
    parts=("M", "b"),
    mistakes=(
        Mistake(
            "product_turned_round",
            map_by(
                join=lambda of_w, of_a, shift, first: both(of_w, of_a, shift, "wa"[first == "w"])
            ),
            "the product stands the wrong way round: the matrix of the *first* move stands on the "
            "right, next to (w, a)",
        ),
        Mistake(
            "at_once",
            map_by(join=at_once),
            "both rows start from the old values: the second move sees what the first one made, "
            "so multiply the two moves' matrices",
        ),
        Mistake(
            "always_w_first",
            map_by(join=lambda of_w, of_a, shift, first: both(of_w, of_a, shift, "w")),
            "w moves first whatever `first` says",
        ),
        Mistake(
            "always_a_first",
            map_by(join=lambda of_w, of_a, shift, first: both(of_w, of_a, shift, "a")),
            "a moves first whatever `first` says",
        ),
        Mistake(
            "shift_not_moved",
            map_by(
                join=lambda of_w, of_a, shift, first: (both(of_w, of_a, shift, first)[0], shift)
            ),
            "M is right, but when a moves first w's move acts on a's shift too: "
            "of_w @ (of_a @ x + shift)",
        ),
        Mistake(
            "no_shift",
            map_by(shift=lambda lr_a: np.zeros(2)),
            "b is zero: the gradient of a holds the constant - 2, so a moves by 2 lr_a more",
        ),
        Mistake(
            "shift_sign",
            map_by(shift=lambda lr_a: np.array([0, -2 * lr_a])),
            "b has the wrong sign: the gradient of a ends with - 2, and a goes against it",
        ),
        Mistake(
            "first_order",
            map_by(of_a=lambda lr_a, xi: matrix_of_a(lr_a, 0.0)),
            "xi is forgotten: the gradient of a is (1 - 2 xi) w + 4 xi a - 2",
        ),
        Mistake(
            "old_w",
            map_by(of_a=lambda lr_a, xi: np.array([[1, 0], [-lr_a, 1 - 2 * xi * lr_a]])),
            "the direct term takes the weight before its unrolled step: the gradient of a is "
            "(1 - 2 xi) w + 4 xi a - 2",
        ),
        Mistake(
            "detached",
            map_by(
                of_a=lambda lr_a, xi: np.array([[1, 0], [-lr_a * (1 - 2 * xi), 1 - 2 * xi * lr_a]])
            ),
            "the unrolled weight is detached: the gradient of a is (1 - 2 xi) w + 4 xi a - 2, and "
            "half of 4 xi a comes from the weight's answer to a",
        ),
        Mistake(
            "no_two",
            map_by(lambda lr_w, xi: matrix_of_w(lr_w / 2, xi)),
            "w's matrix lacks a factor 2: w - lr_w 2 (w - a)",
        ),
        Mistake(
            "a_uphill",
            map_by(
                of_a=lambda lr_a, xi: matrix_of_a(-lr_a, xi),
                shift=lambda lr_a: np.array([0, -2 * lr_a]),
            ),
            "a goes uphill: it moves by *minus* lr_a times its gradient",
        ),
        Mistake(
            "no_identity",
            map_by(
                lambda lr_w, xi: np.array([[-2 * lr_w, 2 * lr_w], [0, 1]]),
                lambda lr_a, xi: np.array([[1, 0], [-lr_a * (1 - 2 * xi), -4 * xi * lr_a]]),
            ),
            "the moves lack what they start from: the new w is w *plus* something, so the "
            "diagonals begin with 1",
        ),
        Mistake(
            "transposed",
            lambda *args: (map_by()(*args)[0].T.copy(), map_by()(*args)[1]),
            "M is transposed: its first *row* gives the new w",
        ),
    ),
    variants=(
        Variant("by probing", map_by_probing),
        Variant("autograd", map_by_autograd),
        Variant("written out", map_written_out),
    ),
    hints=(
        "Each move alone is a matrix, and a's move has a shift as well. w's move leaves a as it "
        "is, so its second row is 0, 1.",
        "a's move: the second row is -lr_a (1 - 2 xi), 1 - 4 xi lr_a, and the shift 2 lr_a. The "
        "move made first stands on the right.",
        "w first: M = of_a @ of_w, b = shift. a first: M = of_w @ of_a, b = of_w @ shift. Or apply "
        "your alternation to (0, 0), (1, 0) and (0, 1).",
    ),
)


# --- Does it settle? ------------------------------------------------------------------------------


def contraction_cases(g: Generator) -> list[tuple[Array]]:
    """(M): complex, negative and positive eigenvalues; below and above 1."""
    settings = (
        (uniform(0.1, 0.2, g), uniform(0.5, 0.7, g), 0.0, "w"),  # complex
        (uniform(0.85, 0.95, g), uniform(0.85, 0.95, g), 0.0, "a"),  # negative, diverges
        (uniform(0.2, 0.3, g), uniform(0.02, 0.05, g), 0.3, "w"),  # positive
        (uniform(0.3, 0.4, g), uniform(0.8, 0.9, g), 0.6, "a"),
    )
    return [(map_by()(*one)[0],) for one in settings]


def largest(M: Array) -> Any:
    return np.abs(np.linalg.eigvals(M)).max()


def by_quadratic(M: Array) -> float:
    half, det = float(M[0, 0] + M[1, 1]) / 2, float(M[0, 0] * M[1, 1] - M[0, 1] * M[1, 0])
    square = half**2 - det
    return float(abs(half) + square**0.5) if square >= 0 else float(det**0.5)


def by_powers(M: Array) -> float:
    """The growth of M^k for k = 2^40, by squaring."""
    power, log = torch.from_numpy(M), 0.0
    for _ in range(40):
        size = float(power.norm())
        power, log = (power / size) @ (power / size), 2 * (log + float(np.log(size)))
    return float(np.exp((log + np.log(float(power.norm()))) / 2**40))


contraction = Question(
    name="contraction",
    title="The factor of a step",
    points=1,
    reference=largest,
    cases=contraction_cases,
    tolerance=EXACT,
    mistakes=(
        Mistake(
            "signed",
            lambda M: np.linalg.eigvals(M).real.max(),
            "you take the largest real part: an eigenvalue of -1.5, or a complex one, makes the "
            "distance grow as well, so take the largest *size*, np.abs",
        ),
        Mistake(
            "real_parts",
            lambda M: np.abs(np.linalg.eigvals(M).real).max(),
            "the imaginary parts are dropped: the size of a complex eigenvalue is np.abs of it, "
            "not of its real part",
        ),
        Mistake(
            "norm",
            lambda M: np.linalg.norm(M, 2),
            "that is the largest singular value, which one step may reach: over many steps the "
            "largest |eigenvalue| counts",
        ),
        Mistake(
            "frobenius",
            lambda M: np.linalg.norm(M),
            "np.linalg.norm(M) is the root of the sum of squares of the entries: take the "
            "eigenvalues",
        ),
        Mistake(
            "symmetric",
            lambda M: np.abs(np.linalg.eigvalsh(M)).max(),
            "eigvalsh is for symmetric matrices and reads one half of M: use np.linalg.eigvals",
        ),
        Mistake(
            "smallest",
            lambda M: np.abs(np.linalg.eigvals(M)).min(),
            "that is the smallest |eigenvalue|: the slowest direction, the largest one, decides",
        ),
        Mistake(
            "trace",
            lambda M: np.trace(M),
            "that is the trace, the *sum* of the eigenvalues: take the largest size among them",
        ),
        Mistake(
            "determinant",
            lambda M: abs(np.linalg.det(M)),
            "that is the determinant, the *product* of the eigenvalues: take the largest size "
            "among them",
        ),
        Mistake(
            "eigenvalues",
            lambda M: np.abs(np.linalg.eigvals(M)),
            "those are both sizes: return the larger one",
        ),
        Mistake(
            "converges",
            lambda M: bool(largest(M) < 1),
            "return the number itself, not whether it is below 1",
        ),
    ),
    variants=(
        Variant("the quadratic formula", by_quadratic),
        Variant("powers of the matrix", by_powers),
        Variant("torch", lambda M: torch.linalg.eigvals(torch.from_numpy(M)).abs().max()),
    ),
    hints=(
        "The distance to the limit is multiplied by M in each step. What do many products with M "
        "do to a vector?",
        "np.linalg.eigvals gives the eigenvalues, which may be complex.",
        "np.abs(np.linalg.eigvals(M)).max().",
    ),
)
