"""`signal_to_noise` and `needed_units`: which weights and units say something."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor

from mlcourse.checks.compare import plain
from mlcourse.checks.complexity_questions.shared import DTYPE, between, posterior
from mlcourse.checks.curves_questions.shared import uniform
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.search_basics_questions.shared import distinct

# --- Signal to noise ------------------------------------------------------------------------------


def ratio_cases(g: Generator) -> list[tuple[Tensor, Tensor]]:
    """(mean, log_sigma): oblong and square."""
    return [posterior(*shape, g) for shape in ((4, 3), (3, 3), (2, 6))]


def ratio_by(
    ratio: Callable[[Tensor, Tensor], Tensor] = lambda m, s: m / s,
    gather: Callable[[Tensor], Any] = lambda ratio: ratio.square().mean(1).sqrt(),
) -> Callable[[Tensor, Tensor], Any]:
    """The ratio of each unit, with one of the pieces exchanged."""
    return lambda mean, log_sigma: gather(ratio(mean, log_sigma.exp()))


def ratio_by_loops(mean: Tensor, log_sigma: Tensor) -> Any:
    found = []
    for m, s in zip(mean, log_sigma.exp(), strict=True):
        found.append((sum((m / s) ** 2) / len(m)) ** 0.5)
    return torch.stack(found)


signal_to_noise = Question(
    name="signal_to_noise",
    title="Signal to noise",
    points=1,
    reference=ratio_by(),
    cases=ratio_cases,
    parts=("the ratios",),
    mistakes=(
        Mistake(
            "variance",
            ratio_by(lambda m, s: m / s**2),
            "you divide by the variance: by sigma, so that the ratio has no unit",
        ),
        Mistake(
            "log_sigma",
            lambda mean, log_sigma: (mean / log_sigma).square().mean(1).sqrt(),
            "you divide by log_sigma: sigma is exp(log_sigma)",
        ),
        Mistake(
            "upside_down",
            ratio_by(lambda m, s: s / m),
            "it is upside down: the signal is the mean, the noise is sigma",
        ),
        Mistake(
            "no_root",
            ratio_by(gather=lambda ratio: ratio.square().mean(1)),
            "the root is missing: the ratio is the root of the mean square",
        ),
        Mistake(
            "sum",
            ratio_by(gather=lambda ratio: ratio.norm(dim=1)),
            "that is the root of the *sum* of squares, which grows with the number of weights: "
            "take their mean",
        ),
        Mistake(
            "absolute",
            ratio_by(gather=lambda ratio: ratio.abs().mean(1)),
            "that is the mean of |mean| / sigma: the root of the mean *square* is asked for",
        ),
        Mistake(
            "signed",
            ratio_by(gather=lambda ratio: ratio.mean(1)),
            "ratios of both signs cancel in your mean: square them first",
        ),
        Mistake(
            "of_sums",
            lambda mean, log_sigma: (mean.square().mean(1) / (2 * log_sigma).exp().mean(1)).sqrt(),
            "you divide a mean square by a mean variance: each weight's own ratio first, then the "
            "mean of their squares",
        ),
        Mistake(
            "columns",
            ratio_by(gather=lambda ratio: ratio.square().mean(0).sqrt()),
            "you average over the rows: a unit's weights are one row, dimension 1",
        ),
        Mistake(
            "each",
            ratio_by(lambda m, s: m.abs() / s, lambda ratio: ratio),
            "those are the ratios of the single weights: one number for each unit",
        ),
    ),
    variants=(
        Variant("loops", ratio_by_loops),
        Variant("norms", lambda mean, ls: (mean * (-ls).exp()).norm(dim=1) / mean.shape[1] ** 0.5),
        Variant("squares", lambda mean, ls: ((mean**2) / (2 * ls).exp()).mean(dim=-1) ** 0.5),
    ),
    hints=(
        "mean / sigma for each weight first.",
        "Square, mean over dimension 1, root.",
        "(mean / log_sigma.exp()).square().mean(1).sqrt()",
    ),
)


# --- Which units stay -----------------------------------------------------------------------------


def shared_out(total: float, count: int, g: Generator, alone: bool = False) -> Tensor:
    """Divide a sum into unequal positive parts; `alone` gives one of them nearly all."""
    parts = between(0.5, 1.0, count, g=g)
    if alone:
        parts[int(torch.randint(count, (), generator=g))] = 8.0 * count
    return total * parts / parts.sum()


#: What goes into a unit and out of it, times the threshold: sums, means and each side by itself
#: mislead.
SIDES = (
    *((1.3, 1.4), (3.0, 0.3), (0.3, 3.0), (1.2, 0.3), (0.4, 1.1), (0.7, 0.8)),
    *((0.1, 0.2), (9.0, 7.0), (1.2, 7.0), (8.0, 0.75), (0.45, 0.4), (1.15, 1.2)),
)
#: The same for units one of whose weights is nearly all.
ALONE = ((1.4, 1.5), (1.6, 1.3), (1.5, 0.5))


def units_cases(g: Generator) -> list[tuple[Tensor, Tensor, float]]:
    """(kl_in, kl_out, threshold): units with both sides above, one of them, none."""
    found = []
    for n_in, n_out in ((4, 3), (3, 5), (8, 2)):
        threshold = uniform(0.8, 1.5, g)
        units = [
            (
                shared_out(threshold * into, n_in + 1, g, sides is ALONE),
                shared_out(threshold * out, n_out, g, sides is ALONE),
            )
            for sides in (SIDES, ALONE)
            for into, out in sides
        ]
        order = torch.randperm(len(units), generator=g).tolist()
        rows, columns = (torch.stack([units[i][side] for i in order]) for side in (0, 1))
        biases = torch.tensor(distinct(n_out, g, 0.5, 4.0), dtype=DTYPE)
        found.append((rows, torch.cat([columns.T, biases[:, None]], dim=1), threshold))
    return found


def use_mask(answer: Callable, *args: Any) -> Any:
    """Call the answer; a list of truth values may stand for a tensor."""
    result = plain(answer(*args))
    if isinstance(result, (list, tuple)) and all(isinstance(one, bool) for one in result):
        return torch.tensor(result)
    return result


Sides = Callable[[Tensor, Tensor], Tensor]


def units_by(
    keep: Callable[[Tensor, Tensor, float], Any] = lambda into, out, t: (into >= t) & (out >= t),
    into: Callable[[Tensor], Tensor] = lambda kl: kl.sum(1),
    out: Callable[[Tensor], Tensor] = lambda kl: kl[:, :-1].sum(0),
) -> Callable[[Tensor, Tensor, float], Any]:
    """The rule with one of its pieces exchanged."""
    return lambda kl_in, kl_out, threshold: keep(into(kl_in), out(kl_out), threshold)


def units_by_loops(kl_in: Tensor, kl_out: Tensor, threshold: float) -> Any:
    sides = [(float(kl_in[h].sum()), float(kl_out[:, h].sum())) for h in range(len(kl_in))]
    return [min(pair) >= threshold for pair in sides]


def units_by_minimum(kl_in: Tensor, kl_out: Tensor, threshold: float) -> Any:
    both = torch.stack([kl_in.sum(1), kl_out.sum(0)[: len(kl_in)]], dim=1)
    return both.amin(1) >= threshold


def units_by_removal(kl_in: Tensor, kl_out: Tensor, threshold: float) -> Any:
    keep = torch.ones(len(kl_in), dtype=torch.bool)
    keep[kl_in.sum(1) < threshold] = False
    keep[kl_out.sum(0)[:-1] < threshold] = False
    return keep.numpy()


needed_units = Question(
    name="needed_units",
    title="Which units stay",
    points=3,
    reference=units_by(),
    cases=units_cases,
    use=use_mask,
    parts=("the mask",),
    mistakes=(
        Mistake(
            "upside_down",
            units_by(lambda into, out, t: (into < t) | (out < t)),
            "it is upside down: True are the units that stay, whose weights have been paid for; "
            "without KL nothing has been learned",
        ),
        Mistake(
            "cheap_ones_stay",
            units_by(lambda into, out, t: (into < t) & (out < t)),
            "you keep the units whose weights cost nothing: those are the ones that say nothing; "
            "keep the ones that reach the threshold",
        ),
        Mistake(
            "incoming_alone",
            units_by(lambda into, out, t: into >= t),
            "you look at the incoming weights alone: a unit that nobody listens to can go as well, "
            "so the outgoing ones must reach the threshold too",
        ),
        Mistake(
            "outgoing_alone",
            units_by(lambda into, out, t: out >= t),
            "you look at the outgoing weights alone: a unit that hears nothing can go as well, so "
            "the incoming ones must reach the threshold too",
        ),
        Mistake(
            "either",
            units_by(lambda into, out, t: (into >= t) | (out >= t)),
            "one side is enough for you: a unit needs both, one to hear with and one to speak with",
        ),
        Mistake(
            "sum",
            units_by(lambda into, out, t: into + out >= t),
            "you add both sides: much on one side does not make up for nothing on the other",
        ),
        Mistake(
            "mean_of_both",
            units_by(lambda into, out, t: (into + out) / 2 >= t),
            "you average both sides: much on one side does not make up for nothing on the other",
        ),
        Mistake(
            "mean",
            units_by(into=lambda kl: kl.mean(1), out=lambda kl: kl[:, :-1].mean(0)),
            "you take means over the weights: what a unit's side costs is the *sum* of its "
            "weights' KL",
        ),
        Mistake(
            "largest",
            units_by(into=lambda kl: kl.amax(1), out=lambda kl: kl[:, :-1].amax(0)),
            "you take the dearest weight of each side: many cheap ones count as well, by their sum",
        ),
        Mistake(
            "first_column_dropped",
            units_by(out=lambda kl: kl[:, 1:].sum(0)),
            "the units are shifted by one: the biases are in the *last* column of kl_out, so leave "
            "that out",
        ),
        Mistake(
            "own_bias_dropped",
            units_by(into=lambda kl: kl[:, :-1].sum(1)),
            "the units' own biases are left out: they belong to what goes into a unit (a column of "
            "biases is left out of kl_out, not of kl_in)",
        ),
        Mistake(
            "numbers",
            lambda *args: units_by()(*args).nonzero().flatten(),
            "those are the numbers of the units that stay: return a mask, True or False for each",
        ),
        Mistake(
            "count",
            lambda *args: units_by()(*args).sum(),
            "that is how many units stay: return a mask, True or False for each",
        ),
        Mistake(
            "zeros_and_ones",
            lambda *args: units_by()(*args).double(),
            "the mask holds numbers: return True and False, the result of a comparison",
        ),
    ),
    variants=(
        Variant("loops", units_by_loops),
        Variant("the smaller side", units_by_minimum),
        Variant("removed one by one", units_by_removal),
    ),
    hints=(
        "Two sums for each unit: over its row of kl_in, and over its column of kl_out.",
        "kl_out has one column more than there are units, for the biases: kl_out[:, :-1].",
        "(kl_in.sum(1) >= threshold) & (kl_out[:, :-1].sum(0) >= threshold)",
    ),
)
