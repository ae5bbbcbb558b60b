"""`largest_eigenvalue` and `eigenvalue_stop`: curvature as a sign, and a rule that watches it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse.checks.by_hand_questions.shared import normal
from mlcourse.checks.complexity_questions.shared import DTYPE
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Forbidden, Mistake, Question, Variant
from mlcourse.checks.judge import beside

Product = Callable[[Tensor], Tensor]

# --- The largest eigenvalue -----------------------------------------------------------------------

#: The largest in absolute value is positive, negative, the same as the largest, and not.
SPECTRA = (
    (3.0, 1.2, 0.4, -1.0),
    (1.5, -1.0, -1.5, -4.0),
    (-0.5, -2.5, -4.0),
    (2.0, 0.3, 0.2, 0.1, -0.5),
    (0.8, -0.9, -2.2),
)

STEPS = 60


def eigenvalue_cases(g: Generator) -> list[tuple[Tensor, Tensor, int]]:
    """Symmetric matrices with known eigenvalues, well apart; starts of any length."""
    cases = []
    for spectrum in SPECTRA:
        values = uniform(0.5, 1.5, g) * torch.tensor(spectrum, dtype=DTYPE)
        basis = torch.linalg.qr(normal(len(values), len(values), generator=g, dtype=DTYPE)).Q
        start = basis @ (0.5 + torch.rand(len(values), generator=g, dtype=DTYPE))
        H = (basis * values) @ basis.T
        cases.append(((H + H.T) / 2, 2 * start, STEPS))
    return cases


def use_matrix(answer: Callable[..., Any], H: Tensor, *args: Any) -> Any:
    """Make the product where the answer lives, and call the answer with it."""
    return answer(beside(answer, "witness", "Product")(H), *args)


def iterate(product: Product, v: Tensor, steps: int, normalise: bool = True) -> Tensor:
    for _ in range(steps):
        v = product(v)
        if normalise:
            v = v / v.norm()
    return v


def rayleigh(product: Product, v: Tensor) -> Tensor:
    return v @ product(v)


def power(product: Product, v: Tensor, steps: int) -> Tensor:
    return rayleigh(product, iterate(product, v, steps))


def shifted(product: Product, by: Tensor | float) -> Product:
    return lambda v: product(v) - by * v


def largest(product: Product, v: Tensor, steps: int) -> Tensor:
    found = power(product, v, steps)
    return found if found >= 0 else found + power(shifted(product, found), v, steps)


def always_shifted(product: Product, v: Tensor, steps: int) -> Tensor:
    found = power(product, v, steps)
    return found + power(shifted(product, found), v, steps)


def smallest(product: Product, v: Tensor, steps: int) -> Tensor:
    return -largest(lambda v: -product(v), v, steps)


def not_undone(product: Product, v: Tensor, steps: int) -> Tensor:
    found = power(product, v, steps)
    return found if found >= 0 else power(shifted(product, found), v, steps)


def shifted_down(product: Product, v: Tensor, steps: int) -> Tensor:
    found = power(product, v, steps)
    return found if found >= 0 else found + power(shifted(product, -found), v, steps)


def subtracted_again(product: Product, v: Tensor, steps: int) -> Tensor:
    found = power(product, v, steps)
    return found if found >= 0 else power(shifted(product, found), v, steps) - found


def not_normalised(product: Product, v: Tensor, steps: int) -> Tensor:
    def unscaled(product: Product) -> Tensor:
        return rayleigh(product, iterate(product, v, steps, normalise=False))

    found = unscaled(product)
    return found if found >= 0 else found + unscaled(shifted(product, found))


def with_longer_v(product: Product, v: Tensor, steps: int) -> Tensor:
    """The last product is not divided by its length."""

    def unscaled(product: Product) -> Tensor:
        return rayleigh(product, product(iterate(product, v, steps - 1)))

    found = unscaled(product)
    return found if found >= 0 else found + unscaled(shifted(product, found))


def signed_by_quotient(product: Product, v: Tensor, steps: int) -> Tensor:
    """Never normalises on the way, but divides in the end."""

    def quotient(product: Product) -> Tensor:
        u = iterate(product, v, steps, normalise=False)
        return (u @ product(u)) / (u @ u)

    found = quotient(product)
    return found if found >= 0 else quotient(shifted(product, found)) + found


def shifted_up(product: Product, v: Tensor, steps: int) -> Tensor:
    """Shifts by the absolute value, whatever the sign."""
    size = power(product, v, steps).abs()
    return power(shifted(product, -size), v, steps) - size


def by_components(product: Product, v: Tensor, steps: int) -> float:
    """Divides by the largest entry, and reads the eigenvalue from it."""

    def dominant(product: Product) -> float:
        u = v / v.abs().max()
        for _ in range(steps):
            u = product(u)
            u = u / u.abs().max()
        i = int(u.abs().argmax())
        return float(product(u)[i] / u[i])

    found = dominant(product)
    return found if found >= 0 else dominant(shifted(product, found)) + found


READY_MADE = Forbidden(
    "eigenvalues",
    "the eigenvalue is to be found by products alone here: leave the functions of "
    "torch and numpy for eigenvalues to the comparison below",
    attributes=frozenset({"eig", "eigh", "eigvals", "eigvalsh", "lobpcg", "svd", "svdvals"}),
    traps=("torch.linalg.eigvalsh", "torch.linalg.eigh", "torch.linalg.eigvals"),
)

largest_eigenvalue = Question(
    name="largest_eigenvalue",
    title="The largest eigenvalue by products",
    points=2,
    reference=largest,
    cases=eigenvalue_cases,
    use=use_matrix,
    parts=("the eigenvalue",),
    mistakes=(
        Mistake(
            "no_shift",
            power,
            "that is still the eigenvalue of the largest *absolute* value: where it is negative, "
            "iterate once more, with H - mu I (and not H + mu I, whose smallest is 2 mu)",
        ),
        Mistake(
            "absolute",
            lambda product, v, steps: abs(power(product, v, steps)),
            "that is the largest absolute value of an eigenvalue: a strongly negative curvature is "
            "no sharp valley, keep the sign",
        ),
        Mistake(
            "always_shifted",
            always_shifted,
            "you shift after a positive eigenvalue as well: then it was the largest already, and "
            "the second run finds the smallest",
        ),
        Mistake(
            "smallest",
            smallest,
            "that is the smallest eigenvalue: the largest is asked for",
        ),
        Mistake(
            "not_undone",
            not_undone,
            "the shift is not undone: the second run finds an eigenvalue of H - mu I, one of "
            "H minus mu: add mu",
        ),
        Mistake(
            "shifted_down",
            shifted_down,
            "you shift the wrong way: H - mu I with a negative mu moves all eigenvalues *up*",
        ),
        Mistake(
            "subtracted_again",
            subtracted_again,
            "you subtract mu where it is to be added: the eigenvalues of H - mu I are those of H "
            "minus mu",
        ),
        Mistake(
            "not_normalised",
            not_normalised,
            "your v is never divided by its length: then v . H v is not the eigenvalue, but that "
            "times |v|^2",
        ),
        Mistake(
            "last_not_normalised",
            with_longer_v,
            "your last v has not the length 1 when you take v . H v: divide by v . v, or normalise "
            "after each product",
        ),
        Mistake(
            "one_step",
            lambda product, v, steps: largest(product, v, 1),
            "you make one step: after steps of them v is close to the eigenvector",
        ),
        Mistake(
            "no_steps",
            lambda product, v, steps: largest(product, v / v.norm(), 0),
            "that is the curvature along the start: iterate first",
        ),
    ),
    variants=(
        Variant("normalised at the end", signed_by_quotient),
        Variant("largest entries", by_components),
        Variant("shifted up in any case", shifted_up),
    ),
    forbidden=(READY_MADE,),
    hints=(
        "Write the iteration once, as a function of a product; its second use has another product.",
        "v = product(v); v = v / v.norm(), steps times; then mu = v @ product(v). Is mu negative?",
        "Then again with the product u -> product(u) - mu * u, from the same start, and add mu.",
    ),
)

# --- A rule that watches it -----------------------------------------------------------------------

Series = list[float]


def series_cases(g: Generator) -> list[tuple[Series, int, int, float]]:
    """(eigenvalues, window, lag, ratio): a late rise with noise, a slow one, none, others."""
    cases = []
    for epochs, window, lag in ((24, 5, 5), (20, 3, 4), (26, 5, 3), (18, 1, 3), (22, 3, 2)):
        low, rise = uniform(0.1, 0.3, g), epochs // 2 + int(uniform(-1, 2, g))
        values = [low * uniform(0.9, 1.1, g) for _ in range(epochs)]
        for t in range(rise, epochs):
            values[t] *= 1 + 0.22 * (t - rise)
        values[window + lag + 1] *= 1.3  # alone, it is noise
        cases.append((values, window, lag, 0.75 if window == lag else 0.65))
    flat = [0.2 * uniform(0.95, 1.05, g) for _ in range(16)]
    falls = [0.6 - 0.03 * t for t in range(14)]
    at_the_end = [0.2] * 9 + [0.2 * uniform(1.9, 2.1, g)]
    at_once = [0.1 + uniform(0.05, 0.06, g) * t for t in range(14)]
    slowly = [0.1 * uniform(1.04, 1.05, g) ** t for t in range(20)]
    return [
        *cases,
        (slowly, 3, 4, 0.75),
        (flat, 5, 5, 0.75),
        (falls, 3, 4, 0.75),
        (at_the_end, 1, 3, 0.75),
        (at_once, 5, 3, 0.75),
        (at_once, 5, 5, 0.4),
    ]


def trailing(values: Series, t: int, window: int) -> float:
    part = values[t - window + 1 : t + 1]
    return sum(part) / len(part)


def watch(
    mean: Callable[[Series], float] = lambda part: sum(part) / len(part),
    risen: Callable[[float, float, float], bool] = lambda then, now, ratio: then < ratio * now,
    smooth: bool = True,
    lag_more: int = 0,
    ends: Callable[[int, int], Any] = lambda t, half: t,
    takes: Callable[[int, int, int], Any] = lambda t, half, lag: t - half - lag,
    never: Callable[[int], Any] = lambda last: (last, last),
) -> Callable[[Series, int, int, float], Any]:
    """The rule with one piece exchanged."""

    def eigenvalue_stop(values: Series, window: int, lag: int, ratio: float) -> Any:
        width, half = (window if smooth else 1), (window - 1) // 2
        far = lag + lag_more
        for t in range(width - 1 + far, len(values)):
            now = mean(values[t - width + 1 : t + 1])
            then = mean(values[t - far - width + 1 : t - far + 1])
            if risen(then, now, ratio):
                return ends(t, half), takes(t, half, lag)
        return never(len(values) - 1)

    return eigenvalue_stop


def part_windows(values: Series, window: int, lag: int, ratio: float) -> tuple[int, int]:
    """Windows that are cut off at the start: the first means are of fewer values."""
    half = (window - 1) // 2
    for t in range(lag, len(values)):
        now = values[max(t - window + 1, 0) : t + 1]
        then = values[max(t - lag - window + 1, 0) : t - lag + 1]
        if sum(then) / len(then) < ratio * sum(now) / len(now):
            return t, max(t - half - lag, 0)
    return len(values) - 1, len(values) - 1


def fixed_first(values: Series, window: int, lag: int, ratio: float) -> tuple[int, int]:
    """Compares with the first window, and not with that of `lag` epochs before."""
    half = (window - 1) // 2
    then = trailing(values, window - 1, window)
    for t in range(window - 1 + lag, len(values)):
        if then < ratio * trailing(values, t, window):
            return t, t - half - lag
    return len(values) - 1, len(values) - 1


def cut_short(values: Series, window: int, lag: int, ratio: float) -> tuple[int, int]:
    """Leaves the last value out of each window, as `values[c - h : c + h]` does."""
    half = (window - 1) // 2
    for c in range(half + lag, len(values) - half):
        now, then = values[c - half : c + half], values[c - lag - half : c - lag + half]
        if sum(then) < ratio * sum(now):
            return c + half, c - lag
    return len(values) - 1, len(values) - 1


def last_alarm(values: Series, window: int, lag: int, ratio: float) -> tuple[int, int]:
    """Goes on to the end, and returns what fired last."""
    found, half = (len(values) - 1, len(values) - 1), (window - 1) // 2
    for t in range(window - 1 + lag, len(values)):
        if trailing(values, t - lag, window) < ratio * trailing(values, t, window):
            found = (t, t - half - lag)
    return found


def around_the_start(values: Series, window: int, lag: int, ratio: float) -> tuple[int, int]:
    """Asks from the first epoch on; places before epoch 0 are taken from the end."""
    half = (window - 1) // 2
    for t in range(len(values)):
        c = t - half
        now, then = values[c - half : c + half + 1], values[c - lag - half : c - lag + half + 1]
        if now and then and sum(then) / len(then) < ratio * sum(now) / len(now):
            return t, c - lag
    return len(values) - 1, len(values) - 1


def first_asked_late(values: Series, window: int, lag: int, ratio: float) -> tuple[int, int]:
    """Stops asking one epoch before the end."""
    last, cell = watch()(values[:-1], window, lag, ratio)
    return (last, cell) if cell != last else (len(values) - 1, len(values) - 1)


def by_convolution(values: Series, window: int, lag: int, ratio: float) -> Any:
    smoothed = np.convolve(values, np.full(window, 1 / window), "valid")
    for i in range(lag, len(smoothed)):
        if smoothed[i - lag] / smoothed[i] < ratio:
            return i + window - 1, i + (window - 1) // 2 - lag
    return len(values) - 1, len(values) - 1


def epoch_by_epoch(values: Series, window: int, lag: int, ratio: float) -> tuple[int, int]:
    """As in a search: after each epoch only what there is by then."""
    half = (window - 1) // 2
    for t in range(len(values)):
        seen = values[: t + 1]
        means = {
            c: sum(seen[c - half : c + half + 1]) / window for c in range(half, len(seen) - half)
        }
        c = t - half
        if c - lag in means and means[c - lag] < ratio * means[c]:
            return t, c - lag
    return len(values) - 1, len(values) - 1


def by_sums(values: Series, window: int, lag: int, ratio: float) -> list[int]:
    """Sums do as well as means, for their ratio."""
    total = torch.tensor([0.0, *values], dtype=torch.float64).cumsum(0)
    sums = total[window:] - total[:-window]
    hits = (sums[:-lag] < ratio * sums[lag:]).nonzero().flatten().tolist()
    if not hits:
        return [len(values) - 1] * 2
    return [hits[0] + lag + window - 1, hits[0] + (window - 1) // 2]


eigenvalue_stop = Question(
    name="eigenvalue_stop",
    title="Stop when the curvature grows",
    points=2,
    reference=watch(),
    cases=series_cases,
    parts=("the last epoch", "the epoch of the cell"),
    mistakes=(
        Mistake(
            "cell_at_the_stop",
            watch(takes=lambda t, half, lag: t),
            "you take the cell of the last epoch: by then the curvature *has* grown, go back to "
            "the epoch before the rise",
        ),
        Mistake(
            "middle_forgotten",
            watch(takes=lambda t, half, lag: t - lag),
            "you go back lag epochs from the last one: the smoothed value stands for the *middle* "
            "of its window, which is (window - 1) / 2 epochs earlier",
        ),
        Mistake(
            "no_lag_back",
            watch(takes=lambda t, half, lag: t - half),
            "you take the cell of the middle of the last window: go back lag epochs more, to the "
            "value that it was compared with",
        ),
        Mistake(
            "one_too_far",
            watch(takes=lambda t, half, lag: t - half - lag - 1),
            "the epoch of your cell is one too early",
        ),
        Mistake(
            "one_too_few",
            watch(takes=lambda t, half, lag: t - half - lag + 1),
            "the epoch of your cell is one too late",
        ),
        Mistake(
            "into_the_future",
            watch(ends=lambda t, half: t - half),
            "your search ends in the middle of a window whose second half it has not seen yet: "
            "the mean around an epoch is there (window - 1) / 2 epochs later",
        ),
        Mistake(
            "next",
            watch(ends=lambda t, half: t + 1),
            "your last epoch is one too late: the rule is asked at the end of each epoch, which "
            "count from 0",
        ),
        Mistake(
            "not_smoothed",
            watch(smooth=False),
            "you compare single eigenvalues: a noisy one would end the search, take means over "
            "window epochs",
        ),
        Mistake(
            "upside_down",
            watch(risen=lambda then, now, ratio: now < ratio * then),
            "your ratio is upside down: stop when the *earlier* value is below ratio times the "
            "later one, so when it rises",
        ),
        Mistake(
            "any_rise",
            watch(risen=lambda then, now, ratio: then < now),
            "you stop at any rise: the earlier value must be below *ratio* times the later one",
        ),
        Mistake(
            "part_windows",
            part_windows,
            "your first means are of fewer than window values: wait until both windows are full",
        ),
        Mistake(
            "first_window",
            fixed_first,
            "you compare with the first window for ever: compare with that of lag epochs before",
        ),
        Mistake(
            "lag_and_one",
            watch(lag_more=1, takes=lambda t, half, lag: t - half - lag - 1),
            "your windows are lag + 1 epochs apart",
        ),
        Mistake(
            "lag_less_one",
            watch(lag_more=-1, takes=lambda t, half, lag: t - half - lag + 1),
            "your windows are lag - 1 epochs apart",
        ),
        Mistake(
            "cut_short",
            cut_short,
            "your windows lack their last value: values[a:b] ends before b, so that of epoch "
            "c + h needs b = c + h + 1",
        ),
        Mistake(
            "last_alarm",
            last_alarm,
            "you return the last epoch at which the rule fires: a search that has stopped does "
            "not go on",
        ),
        Mistake(
            "around_the_start",
            around_the_start,
            "you ask before both windows are full: in Python a place below 0 counts from the end, "
            "so your first windows hold values of the future, or too few",
        ),
        Mistake(
            "not_at_the_end",
            first_asked_late,
            "you ask after every epoch but the last: the rule can fire there too, and the cell is "
            "then one from before the rise",
        ),
        Mistake(
            "exchanged",
            lambda values, window, lag, ratio: watch()(values, window, lag, ratio)[::-1],
            "the two are exchanged: first the last epoch of the search, then that of the cell",
        ),
        Mistake(
            "papers_numbers",
            lambda values, window, lag, ratio: watch()(values, 5, 5, 0.75),
            "you take the paper's numbers: window, lag and ratio are arguments",
        ),
        Mistake(
            "papers_ratio",
            lambda values, window, lag, ratio: watch()(values, window, lag, 0.75),
            "you take the paper's ratio of 0.75: ratio is an argument",
        ),
        Mistake(
            "none_if_never",
            watch(never=lambda last: None),
            "a search that is not stopped has a result too: return its last epoch, twice",
        ),
        Mistake(
            "nones_if_never",
            watch(never=lambda last: (None, None)),
            "you return no epochs where the rule never fires: the search then ends with its last "
            "epoch, and the cell is taken from it, so return that number twice",
        ),
    ),
    variants=(
        Variant("convolution", by_convolution),
        Variant("epoch by epoch", epoch_by_epoch),
        Variant("sums", by_sums),
    ),
    hints=(
        "After epoch t the last full window has the values t - window + 1 to t. The window that "
        "it is compared with ends lag epochs earlier.",
        "The first t at which both windows are full is window - 1 + lag.",
        "The earlier window ends at t - lag, so its middle is t - lag - (window - 1) // 2.",
    ),
)
