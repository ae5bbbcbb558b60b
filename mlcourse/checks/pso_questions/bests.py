"""`own_best` and `targets`: the places that particles are pulled to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.pso_questions.shared import Array, draw, use_arrays
from mlcourse.checks.search_basics_questions.shared import distinct

# --- One iteration's news -------------------------------------------------------------------------


def own_cases(g: Generator) -> list[tuple[Array, Array, Array, Array]]:
    """(p, p_loss, x, loss): better, worse, equal, failed, one that has nothing yet; all worse."""
    found: list[tuple[Array, Array, Array, Array]] = []
    for n, d in ((6, 2), (7, 3), (6, 1)):
        p_loss, loss = np.array(distinct(n, g)), np.array(distinct(n, g))
        loss[0], loss[1] = p_loss[0] - 0.03, p_loss[1] + 0.03
        loss[2], loss[3] = p_loss[2], np.nan
        p_loss[4] = np.inf
        found.append((draw(n, d, g=g), p_loss, draw(n, d, g=g), loss))
    p_loss = np.array(distinct(5, g))
    return [*found, (draw(5, 3, g=g), p_loss, draw(5, 3, g=g), p_loss + 0.1)]  # nothing better


Better = Callable[[Array, Array], Any]


def own_by(
    better: Better = lambda loss, p_loss: loss < p_loss,
    result: Callable[[Any, Any, Any, Any, Any], Any] = lambda p, p_loss, x, loss, where: (
        np.where(where[:, None], x, p),
        np.where(where, loss, p_loss),
    ),
) -> Callable[[Array, Array, Array, Array], Any]:
    """Renew the own bests with one of the pieces exchanged."""

    def own_best(p: Array, p_loss: Array, x: Array, loss: Array) -> Any:
        return result(p, p_loss, x, loss, better(loss, p_loss))

    return own_best


def callers_p(p: Array, p_loss: Array, x: Array, loss: Array) -> Any:
    where = loss < p_loss
    p[where], p_loss[where] = x[where], loss[where]
    return p, p_loss


def for_all(p: Array, p_loss: Array, x: Array, loss: Array) -> Any:
    """Each particle's best is the best of the iteration."""
    best = np.nanargmin(loss)
    return np.tile(x[best], (len(x), 1)), np.full(len(x), loss[best])


def for_all_if_better(p: Array, p_loss: Array, x: Array, loss: Array) -> Any:
    best = np.nanargmin(loss)
    where = loss[best] < p_loss
    return np.where(where[:, None], x[best], p), np.where(where, loss[best], p_loss)


def one_by_one(p: Array, p_loss: Array, x: Array, loss: Array) -> Any:
    places, losses = [], []
    for row in zip(p, p_loss, x, loss, strict=True):
        news = row[3] < row[1]
        places.append(row[2] if news else row[0])
        losses.append(float(row[3] if news else row[1]))
    return places, losses


def by_indices(p: Array, p_loss: Array, x: Array, loss: Array) -> Any:
    p, p_loss = p.copy(), p_loss.copy()
    where = np.flatnonzero(loss < p_loss)
    p[where], p_loss[where] = x[where], loss[where]
    return [p, p_loss]


def by_fmin(p: Array, p_loss: Array, x: Array, loss: Array) -> Any:
    lowest = np.fmin(p_loss, loss)
    return torch.where(
        torch.from_numpy(lowest < p_loss)[:, None], torch.from_numpy(x), torch.from_numpy(p)
    ), lowest


own_best = Question(
    name="own_best",
    title="Each particle's own best",
    points=2,
    reference=own_by(),
    cases=own_cases,
    use=use_arrays,
    parts=("the best places", "their losses"),
    mistakes=(
        Mistake(
            "always",
            own_by(result=lambda p, p_loss, x, loss, where: (x.copy(), loss.copy())),
            "the latest place always becomes the best: keep the old one unless the new loss is "
            "lower",
        ),
        Mistake(
            "iteration_best",
            for_all,
            "every particle gets the best place of this iteration: what is remembered is the best "
            "place that the particle has *itself* been to",
        ),
        Mistake(
            "iteration_best_if_better",
            for_all_if_better,
            "every particle takes over the best place of this iteration: it may only remember "
            "places where it has *itself* been",
        ),
        Mistake(
            "highest",
            own_by(lambda loss, p_loss: loss > p_loss),
            "you keep the higher loss: lower is better",
        ),
        Mistake(
            "ties",
            own_by(lambda loss, p_loss: loss <= p_loss),
            "an equal loss replaces the best place: only a lower one should",
        ),
        Mistake(
            "nan_is_better",
            own_by(lambda loss, p_loss: ~(loss >= p_loss)),
            "a failed training, nan, becomes a particle's best: comparisons with nan are False, so "
            "ask whether the loss is lower, not whether it is not higher",
        ),
        Mistake(
            "not_higher",
            own_by(lambda loss, p_loss: ~(loss > p_loss)),
            "whatever is not higher becomes the best, an equal loss and nan too: ask whether the "
            "loss is lower",
        ),
        Mistake(
            "minimum_spreads_nan",
            own_by(
                result=lambda p, p_loss, x, loss, where: (
                    np.where(where[:, None], x, p),
                    np.minimum(p_loss, loss),
                )
            ),
            "numpy's minimum passes nan on, and a best loss of nan is never beaten: take the new "
            "loss only where it is lower",
        ),
        Mistake(
            "loss_not_renewed",
            own_by(
                result=lambda p, p_loss, x, loss, where: (
                    np.where(where[:, None], x, p),
                    p_loss.copy(),
                )
            ),
            "the places are renewed but not their losses: then a worse place may replace a better "
            "one next time",
        ),
        Mistake(
            "place_not_renewed",
            own_by(
                result=lambda p, p_loss, x, loss, where: (p.copy(), np.where(where, loss, p_loss))
            ),
            "the losses are renewed but not the places where they were found",
        ),
        Mistake(
            "no_column",
            own_by(
                result=lambda p, p_loss, x, loss, where: (
                    np.where(where, x, p),
                    np.where(where, loss, p_loss),
                )
            ),
            "one truth value for each particle, (n,), does not fit places, (n, d): make it a "
            "column with better[:, None]",
        ),
        Mistake(
            "any",
            own_by(lambda loss, p_loss: np.full(len(loss), bool((loss < p_loss).any()))),
            "as soon as one particle improves, all change: each asks its own loss alone",
        ),
        Mistake(
            "than_the_swarms",
            own_by(lambda loss, p_loss: loss < p_loss.min()),
            "the new loss is compared with the best of the swarm: a particle's best is the best of "
            "its own losses",
        ),
        Mistake(
            "exchanged",
            lambda *arguments: own_by()(*arguments)[::-1],
            "the two are exchanged: return the places first",
        ),
        Mistake(
            "callers_p",
            callers_p,
            "the caller's p or p_loss is changed: copy them first, or use np.where",
        ),
    ),
    variants=(
        Variant("particle by particle", one_by_one),
        Variant("indices", by_indices),
        Variant("fmin and a tensor", by_fmin),
    ),
    hints=(
        "Which particles have a loss below their own best so far? An array of True and False.",
        "np.where(better, loss, p_loss) chooses for the losses. A place is a row, so its condition "
        "needs a column: better[:, None].",
        "better = loss < p_loss; np.where(better[:, None], x, p), np.where(better, loss, p_loss).",
    ),
)


# --- What pulls, found in the history -------------------------------------------------------------


def targets_cases(g: Generator) -> list[tuple[Array, Array]]:
    """(places (T, n, d), losses (T, n)): the lowest loss is not in the last iteration."""
    found = []
    for T, n, d in ((4, 3, 2), (3, 5, 4), (6, 4, 1), (5, 2, 3)):
        losses = np.array(distinct(T * n, g)).reshape(T, n)
        losses = losses[np.argsort(-losses.min(axis=1) * (np.arange(T) != 0))]
        losses[[0, T // 2]] = losses[[T // 2, 0]]  # the lowest one is half way
        found.append((draw(T, n, d, g=g), losses))
    return found


def own_place(places: Array, losses: Array) -> Any:
    return places[losses.argmin(axis=0), np.arange(losses.shape[1])]


def swarms_place(places: Array, losses: Array) -> Any:
    return places[np.unravel_index(losses.argmin(), losses.shape)]


def iterations_place(places: Array, losses: Array) -> Any:
    return places[-1, losses[-1].argmin()]


def to_all(place: Array, losses: Array) -> Any:
    return np.tile(place, (losses.shape[1], 1))


Find = Callable[[Array, Array], Any]


def targets_by(own: Find = own_place, swarm: Find = swarms_place) -> Callable[[Array, Array], Any]:
    """Find both targets, one of them in another way."""
    return lambda places, losses: (own(places, losses), swarm(places, losses))


def targets_by_walking(places: Array, losses: Array) -> Any:
    p, p_loss = places[0].copy(), losses[0].copy()
    for x, loss in zip(places[1:], losses[1:], strict=True):
        better = loss < p_loss
        p[better], p_loss[better] = x[better], loss[better]
    return p, p[p_loss.argmin()]


def targets_by_tensors(places: Array, losses: Array) -> Any:
    x, loss = torch.from_numpy(places), torch.from_numpy(losses)
    first = loss.argmin(0)
    p = torch.stack([x[first[i], i] for i in range(x.shape[1])])
    return p, x.flatten(0, 1)[loss.flatten().argmin()]


def targets_by_lists(places: Array, losses: Array) -> Any:
    T, n = losses.shape
    p = [min((losses[t, i], places[t, i].tolist()) for t in range(T)) for i in range(n)]
    return [place for _, place in p], min(p)[1]


targets = Question(
    name="targets",
    title="The two targets",
    points=3,
    reference=targets_by(),
    cases=targets_cases,
    use=use_arrays,
    parts=("the particles' own best places p", "the swarm's best place g"),
    mistakes=(
        Mistake(
            "iteration_best",
            targets_by(lambda places, losses: to_all(iterations_place(places, losses), losses)),
            "you pull every particle to the best place of the last *iteration*, which is the slip "
            "of this part's source: p is the best place that each particle has *itself* found, in "
            "all iterations",
        ),
        Mistake(
            "one_iteration_best",
            targets_by(iterations_place),
            "your p is one place, the best of the last *iteration* (the slip of this part's "
            "source): each particle has its own p, the best place that it has *itself* found, "
            "(n, d)",
        ),
        Mistake(
            "both_of_the_iteration",
            targets_by(
                lambda places, losses: to_all(iterations_place(places, losses), losses),
                iterations_place,
            ),
            "only the last iteration is looked at, and all particles share its best place: p is "
            "each particle's *own* best, and g the best of all, since the beginning",
        ),
        Mistake(
            "iteration_bests",
            targets_by(
                lambda places, losses: places[np.arange(len(losses)), losses.argmin(axis=1)]
            ),
            "you have the best place of each *iteration*, (T, d): the minimum goes over the "
            "iterations, axis 0, and there is one place for each particle",
        ),
        Mistake(
            "g_of_the_iteration",
            targets_by(swarm=iterations_place),
            "your g is the best place of the last iteration: a better one may have been found "
            "before, and the swarm remembers it",
        ),
        Mistake(
            "all_of_the_iteration",
            targets_by(lambda places, losses: places[losses.argmin(axis=0)]),
            "an index by iterations alone gives all particles of each, (n, n, d): particle i wants "
            "its own row, so add the index np.arange(n)",
        ),
        Mistake(
            "current",
            targets_by(lambda places, losses: places[-1].copy()),
            "your p are the latest places, so the first pull is zero: p is the best place that "
            "each particle has found so far",
        ),
        Mistake(
            "first",
            targets_by(lambda places, losses: places[0].copy()),
            "your p are the places of the start: whenever a particle finds a better one, that "
            "becomes its p",
        ),
        Mistake(
            "all_the_swarms",
            targets_by(lambda places, losses: to_all(swarms_place(places, losses), losses)),
            "every particle has the swarm's best as its own, so both pulls have one target and the "
            "swarm gathers too early: p is each particle's *own* best",
        ),
        Mistake(
            "highest",
            lambda places, losses: targets_by()(places, -losses),
            "those are the places with the highest losses: lower is better",
        ),
        Mistake(
            "means",
            targets_by(lambda places, losses: places.mean(axis=0)),
            "your p are means of places: a mean may be a bad place; take the best one of each "
            "particle",
        ),
        Mistake(
            "g_mean",
            targets_by(swarm=lambda places, losses: own_place(places, losses).mean(axis=0)),
            "your g is the mean of the own bests: it is the best of them",
        ),
        Mistake(
            "first_particles",
            targets_by(swarm=lambda places, losses: own_place(places, losses)[0]),
            "your g is the first particle's best: it is the best of all",
        ),
        Mistake(
            "losses",
            targets_by(
                lambda places, losses: losses.min(axis=0), lambda places, losses: losses.min()
            ),
            "those are the lowest losses: return the places where they were found",
        ),
        Mistake(
            "exchanged",
            lambda places, losses: targets_by()(places, losses)[::-1],
            "the two are exchanged: return p first",
        ),
    ),
    variants=(
        Variant("walking through the iterations", targets_by_walking),
        Variant("tensors", targets_by_tensors),
        Variant("pairs of loss and place", targets_by_lists),
    ),
    hints=(
        "For one particle, i: its losses are losses[:, i], its places places[:, i]. In which "
        "iteration was it best?",
        "losses.argmin(axis=0) is this iteration for each particle. g is the place of the lowest "
        "loss of all, the best of the p.",
        "best = losses.argmin(axis=0); p = places[best, np.arange(n)]; g = "
        "p[losses.min(axis=0).argmin()].",
    ),
)
