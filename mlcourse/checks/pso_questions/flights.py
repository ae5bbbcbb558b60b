"""`fly` and `fly_one_by_one`: whole searches in bowls, deepest in the middle or near a wall."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Generator

from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.pso_questions.moving import (
    Velocity,
    bounced_by,
    outside,
    step_by,
    velocity_by,
)
from mlcourse.checks.pso_questions.shared import Array, as_array, bowl, bowl_in, draw, setting
from mlcourse.checks.search_basics_questions.shared import NO_DRAWS

Loss = Callable[[Array], Any]


#: Iterations, particles, coordinates, and whether the bowl is deepest near a wall.
SHAPES = ((9, 5, 2, True), (9, 3, 2, False), (8, 5, 1, True), (9, 4, 3, True), (10, 4, 3, False))


def fly_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(bowl, x, uniforms, w, own, swarm, limit): several swarms, and particles that overshoot."""
    found: list[tuple[Any, ...]] = []
    for T, n, d, at_wall in SHAPES:
        settings = (setting(0.5, 0.8, g), setting(1.3, 1.6, g), setting(1.7, 2.0, g))
        x = draw(n, d, g=g)
        x[0, 0] = 0.97  # far out, so that it reaches the limit
        x[1, 0] = 0.99 if at_wall else x[1, 0]  # and with it the wall on the other side
        found.append(
            (bowl(d, g, at_wall), x, draw(T, 2, n, d, g=g), *settings, setting(0.2, 0.28, g)),
        )
    return found


def use_flight(answer: Callable, shape: tuple[Array, Array, Array], *rest: Any) -> Any:
    """Let it fly over a bowl that lives where the answer does; one array of places comes back."""
    return as_array(answer(bowl_in(answer, shape), *rest))


# --- All together ---------------------------------------------------------------------------------

Targets = Callable[[Array, Array, Array, Array], tuple[Any, Any]]


def both_targets(p: Array, p_loss: Array, x: Array, losses: Array) -> tuple[Any, Any]:
    return p, p[p_loss.argmin()]


def evaluated(loss: Loss, x: Array) -> Array:
    return np.array([float(loss(row)) for row in x])


def flown(
    to: Targets = both_targets,
    move: Callable[..., tuple[Any, Any]] = step_by(),  # noqa: B008
    keep: Callable[[Array, Array], Array] = lambda new, old: new,
    better: Callable[[Array, Array], Any] = lambda losses, p_loss: losses < p_loss,
    result: Callable[[list[Array]], Any] = np.stack,
    rows: Callable[[Array], tuple[Any, Any]] = lambda u: (u[0], u[1]),
) -> Callable[..., Any]:
    """The synchronous search with one of its pieces exchanged."""

    def fly(loss: Loss, x: Array, uniforms: Array, *settings: float) -> Any:
        v, losses = np.zeros_like(x), evaluated(loss, x)
        p, p_loss, places = x, losses, [x]
        for u in uniforms:
            own, swarm = to(p, p_loss, x, losses)
            x, new = move(x, v, own, swarm, *rows(u), *settings)
            v, losses = keep(new, v), evaluated(loss, x)
            where = better(losses, p_loss)
            p, p_loss = np.where(where[:, None], x, p), np.where(where, losses, p_loss)
            places.append(x)
        return result(places)

    return fly


def moving_with(
    speed: Velocity = velocity_by(),  # noqa: B008
    clip: Callable[[Array, float], Any] = lambda v, limit: np.clip(v, -limit, limit),
    go: Callable[[Array, Array, Array], Any] = lambda x, new, old: bounced_by()(x, new),
) -> Callable[..., Any]:
    """Fly with other steps."""
    return flown(move=step_by(speed, clip, go))


def stale_place(x: Array, new: Array, old: Array) -> tuple[Any, Any]:
    """The old velocity moves; the new one is kept."""
    place = x + old
    return bounced_by()(x, old)[0], np.where(outside(place), -new, new)


def one_array(loss: Loss, x: Array, uniforms: Array, *settings: float) -> Any:
    """The list holds one array many times."""
    places = flown(result=list)(loss, x, uniforms, *settings)
    return [places[-1] for _ in places]


def alias(loss: Loss, x: Array, uniforms: Array, *settings: float) -> Any:
    """p is the array that moves, and not a copy of it."""
    x, move = x.copy(), step_by()
    v, p_loss, p, places = np.zeros_like(x), evaluated(loss, x), x, [x.copy()]
    for u in uniforms:
        x[:], v = move(x, v, p, p[p_loss.argmin()], *u, *settings)
        losses = evaluated(loss, x)
        where = losses < p_loss
        p[where], p_loss[where] = x[where], losses[where]
        places.append(x.copy())
    return places


def callers_x(loss: Loss, x: Array, uniforms: Array, *settings: float) -> Any:
    places = flown()(loss, x, uniforms, *settings)
    x[:] = places[-1]
    return places


def in_turn(
    to: Targets = both_targets,
    swarm_now: bool = True,
    order: Callable[[int], range] = range,
) -> Callable[..., Any]:
    """The asynchronous search; the swarm's best may also be the one at the beginning of a round."""

    def fly_one_by_one(loss: Loss, x: Array, uniforms: Array, *settings: float) -> Any:
        x, v, losses, move = x.copy(), np.zeros_like(x), evaluated(loss, x), step_by()
        p, p_loss, places = x.copy(), losses.copy(), [x.copy()]
        for u in uniforms:
            _, held = to(p, p_loss, x, losses)
            for i in order(len(x)):
                own, swarm = to(p, p_loss, x, losses)
                x[i], v[i] = move(
                    x[i], v[i], own[i], swarm if swarm_now else held, u[0, i], u[1, i], *settings
                )
                losses[i] = float(loss(x[i].copy()))
                if losses[i] < p_loss[i]:
                    p[i], p_loss[i] = x[i], losses[i]
            places.append(x.copy())
        return np.stack(places)

    return fly_one_by_one


def iterations_best(p: Array, p_loss: Array, x: Array, losses: Array) -> tuple[Any, Any]:
    """The slip: each particle is pulled to the best place of the iteration."""
    return np.tile(x[losses.argmin()], (len(x), 1)), p[p_loss.argmin()]


def g_of_the_iteration(p: Array, p_loss: Array, x: Array, losses: Array) -> tuple[Any, Any]:
    return p, x[losses.argmin()]


def both_of_the_iteration(p: Array, p_loss: Array, x: Array, losses: Array) -> tuple[Any, Any]:
    return np.tile(x[losses.argmin()], (len(x), 1)), x[losses.argmin()]


def current(p: Array, p_loss: Array, x: Array, losses: Array) -> tuple[Any, Any]:
    return x, p[p_loss.argmin()]


def all_the_swarms(p: Array, p_loss: Array, x: Array, losses: Array) -> tuple[Any, Any]:
    return np.tile(p[p_loss.argmin()], (len(x), 1)), p[p_loss.argmin()]


def highest(p: Array, p_loss: Array, x: Array, losses: Array) -> tuple[Any, Any]:
    return p, p[p_loss.argmax()]


def first_g(loss: Loss, x: Array, uniforms: Array, *settings: float) -> Any:
    g = x[evaluated(loss, x).argmin()]
    return flown(lambda p, p_loss, x, losses: (p, g))(loss, x, uniforms, *settings)


def first_p(loss: Loss, x: Array, uniforms: Array, *settings: float) -> Any:
    start, p_best = x, both_targets
    to: Targets = lambda p, p_loss, x, losses: (start, p_best(p, p_loss, x, losses)[1])  # noqa: E731
    return flown(to)(loss, x, uniforms, *settings)


def by_records(
    loss: Loss, x: Array, uniforms: Array, w: float, own: float, swarm: float, limit: float
) -> Any:
    """Everything is found in the history."""
    places, losses, v = [x], [[loss(row) for row in x]], x - x
    for u_own, u_swarm in uniforms:
        first = np.argmin(losses, axis=0)
        p = np.array([places[t][i] for i, t in enumerate(first)])
        g = p[int(np.argmin(np.min(losses, axis=0)))]
        v = w * v + own * u_own * (p - places[-1]) + swarm * u_swarm * (g - places[-1])
        v = v.clip(-limit, limit)
        there = places[-1] + v
        v = np.where(outside(there), -v, v)
        places.append(1 - np.abs(1 - np.abs(there)))
        losses.append([loss(row) for row in places[-1]])
    return np.array(places)


class Particle:
    """One particle that knows its own best."""

    def __init__(self, loss: Loss, x: Array) -> None:
        self.x, self.v, self.p, self.loss = x.copy(), np.zeros(len(x)), x.copy(), float(loss(x))

    def move(self, loss: Loss, g: Array, u: Array, t: Array, *settings: float) -> None:
        self.x, self.v = step_by()(self.x, self.v, self.p, g, u, t, *settings)
        now = float(loss(self.x))
        if now < self.loss:
            self.p, self.loss = self.x.copy(), now


def by_objects(loss: Loss, x: Array, uniforms: Array, *settings: float) -> Any:
    swarm = [Particle(loss, row) for row in x]
    places = [[one.x.tolist() for one in swarm]]
    for u in uniforms:
        g = min(swarm, key=lambda one: one.loss).p
        for one, a, b in zip(swarm, *u, strict=True):
            one.move(loss, g, a, b, *settings)
        places.append([one.x.tolist() for one in swarm])
    return places


def by_objects_in_turn(loss: Loss, x: Array, uniforms: Array, *settings: float) -> Any:
    swarm = [Particle(loss, row) for row in x]
    places = [[one.x.tolist() for one in swarm]]
    for u in uniforms:
        for one, a, b in zip(swarm, *u, strict=True):
            one.move(loss, min(swarm, key=lambda other: other.loss).p, a, b, *settings)
        places.append([one.x.tolist() for one in swarm])
    return places


fly = Question(
    name="fly",
    title="A whole flight",
    points=4,
    reference=flown(),
    cases=fly_cases,
    use=use_flight,
    parts=("the places",),
    needs=("step", "own_best"),
    forbidden=(NO_DRAWS,),
    mistakes=(
        Mistake(
            "iteration_best",
            flown(iterations_best),
            "you pull each particle to the best place of the *iteration*, which is the slip of "
            "this part's source: the first pull goes to the best place that the particle has "
            "*itself* found",
        ),
        Mistake(
            "g_of_the_iteration",
            flown(g_of_the_iteration),
            "your g is the best place of the iteration: the swarm remembers the best of all "
            "iterations",
        ),
        Mistake(
            "both_of_the_iteration",
            flown(both_of_the_iteration),
            "both pulls go to the best place of the iteration, so nothing is remembered: p is each "
            "particle's own best, g the best of all, since the beginning",
        ),
        Mistake(
            "all_the_swarms",
            flown(all_the_swarms),
            "both pulls go to the swarm's best place: the first goes to the particle's *own* best",
        ),
        Mistake(
            "current",
            flown(current),
            "p is always the current place, so the first pull is zero: keep the old p unless the "
            "new loss is lower",
        ),
        Mistake(
            "alias",
            alias,
            "p is the same array as x, and moves with it: copy the places (p = x.copy()), or make "
            "a new x in each step",
        ),
        Mistake(
            "first_p",
            first_p,
            "the particles' own bests stay those of the start: renew them after each evaluation",
        ),
        Mistake(
            "first_g",
            first_g,
            "the swarm's best stays the one of the start: find it anew in each iteration",
        ),
        Mistake(
            "highest",
            flown(highest, better=lambda losses, p_loss: losses > p_loss),
            "your swarm climbs: lower losses are better",
        ),
        Mistake(
            "velocity_not_kept",
            flown(keep=lambda new, old: np.zeros_like(new)),
            "every iteration begins at rest: keep the velocities, w times as fast they carry the "
            "particles on",
        ),
        Mistake(
            "stale_velocity",
            moving_with(go=stale_place),
            "the places move by the velocities of the iteration before: find the new velocity "
            "first, and move by that one",
        ),
        Mistake(
            "not_turned",
            moving_with(go=lambda x, new, old: (bounced_by()(x, new)[0], new)),
            "after a wall the velocity still points at it: keep the one that bounced returns",
        ),
        Mistake(
            "no_limit",
            moving_with(clip=lambda v, limit: v),
            "the velocities are not clipped: no coordinate may move by more than limit in a step",
        ),
        Mistake(
            "same_number",
            flown(rows=lambda u: (u[0], u[0])),
            "one set of random numbers serves both pulls: uniforms[t][0] is for the own best, "
            "uniforms[t][1] for the swarm's",
        ),
        Mistake(
            "numbers_exchanged",
            flown(rows=lambda u: (u[1], u[0])),
            "the random numbers of the two pulls are exchanged: uniforms[t][0] is for the own best",
        ),
        Mistake(
            "one_per_particle",
            flown(rows=lambda u: (u[0][:, :1], u[1][:, :1])),
            "one random number serves all coordinates of a particle: each coordinate has its own",
        ),
        Mistake(
            "loss_of_all",
            lambda loss, x, *rest: flown()(loss, x + 0 * loss(x), *rest),
            "loss takes one place, (d,), and you give it the whole swarm: [loss(row) for row in x]",
        ),
        Mistake(
            "one_by_one",
            in_turn(),
            "g is renewed after each particle: in this form all move by the same g, and the bests "
            "are renewed when all have been evaluated",
        ),
        Mistake(
            "no_start",
            flown(result=lambda places: np.stack(places[1:])),
            "the places of the start are missing: they are evaluated too, so T iterations make T + "
            "1 rows",
        ),
        Mistake(
            "no_end",
            flown(result=lambda places: np.stack(places[:-1])),
            "the last places are missing: T iterations make T + 1 rows",
        ),
        Mistake(
            "one_array",
            one_array,
            "your list holds the same array many times, as x changes in place: append x.copy()",
        ),
        Mistake(
            "last_alone",
            flown(result=lambda places: places[-1]),
            "you return the last places alone: return all of them, those of the start first",
        ),
        Mistake(
            "callers_x",
            callers_x,
            "the caller's x is changed: begin with x = x.copy(), or make a new x in each step",
        ),
    ),
    variants=(
        Variant("all from the history", by_records),
        Variant("a particle is an object", by_objects),
        Variant("a list of arrays", flown(result=list)),
    ),
    hints=(
        "Before the loop: v = 0, the losses of the start, p = x, p_loss = those losses.",
        "In each iteration: g = p[p_loss.argmin()]; step; the losses of the new places; own_best. "
        "Collect x after each.",
        "np.array([loss(row) for row in x]) are the losses; np.stack(places) makes one array.",
    ),
)


# --- One after the other --------------------------------------------------------------------------

fly_one_by_one = Question(
    name="fly_one_by_one",
    title="A flight without waiting",
    points=3,
    reference=in_turn(),
    cases=fly_cases,
    use=use_flight,
    parts=("the places",),
    needs=("step",),
    forbidden=(NO_DRAWS,),
    mistakes=(
        Mistake(
            "together",
            flown(),
            "the particles still wait for each other: as soon as one has been evaluated, its news "
            "count for the next, so renew p and g inside the loop over the particles",
        ),
        Mistake(
            "g_of_the_round",
            in_turn(swarm_now=False),
            "g is the one from the beginning of the round: find it anew before each particle moves",
        ),
        Mistake(
            "iteration_best",
            in_turn(iterations_best),
            "you pull each particle to the best of the places where the swarm is now, which is the "
            "slip of this part's source: the first pull goes to the particle's *own* best",
        ),
        Mistake(
            "g_of_the_iteration",
            in_turn(g_of_the_iteration),
            "your g is the best of the places where the swarm is now: it is the best place of all "
            "that were ever evaluated",
        ),
        Mistake(
            "all_the_swarms",
            in_turn(all_the_swarms),
            "both pulls go to the swarm's best place: the first goes to the particle's *own* best",
        ),
        Mistake(
            "current",
            in_turn(lambda p, p_loss, x, losses: (x, p[p_loss.argmin()])),
            "p is always the current place, so the first pull is zero: keep the old p unless the "
            "new loss is lower",
        ),
        Mistake(
            "backwards",
            in_turn(order=lambda n: range(n - 1, -1, -1)),
            "the last particle moves first: begin with particle 0",
        ),
        Mistake(
            "no_start",
            lambda *arguments: in_turn()(*arguments)[1:],
            "the places of the start are missing: they are evaluated too, so T rounds make T + 1 "
            "rows",
        ),
        Mistake(
            "same_array",
            lambda *arguments: np.stack(
                [arguments[1], *[in_turn()(*arguments)[-1]] * len(arguments[2])]
            ),
            "your list holds the same array many times, as x changes in place: append x.copy()",
        ),
    ),
    variants=(
        Variant("objects", by_objects_in_turn),
        Variant("from pieces", in_turn(lambda p, p_loss, x, losses: (p, p[np.argmin(p_loss)]))),
        Variant(
            "lists of lists",
            lambda *arguments: [x.tolist() for x in in_turn()(*arguments)],
        ),
    ),
    hints=(
        "Two loops: for u in uniforms, and in it for i in range(n). What happens to particle i "
        "between its move and the next particle's?",
        "x[i], v[i] = step(x[i], v[i], p[i], g, u[0, i], u[1, i], ...), then its loss, and p[i] "
        "and p_loss[i] if it is lower.",
        "g = p[p_loss.argmin()] right before each move; places.append(x.copy()) after each round.",
    ),
)
