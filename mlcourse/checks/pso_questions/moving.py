"""`velocity`, `clipped`, `bounced`, `step`: how particles move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator

from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.pso_questions.shared import Array, draw, setting, use_array, use_arrays
from mlcourse.checks.search_basics_questions.shared import NO_DRAWS

#: Shapes of the swarms: particles and coordinates, and one particle alone.
SHAPES: tuple[tuple[int, ...], ...] = ((5, 2), (3, 4), (4, 1), (3,))

# --- The velocity ---------------------------------------------------------------------------------

Velocity = Callable[..., Any]


def velocity_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(x, v, p, g, u_own, u_swarm, w, own, swarm): fast and slow, the two pulls unlike."""
    found: list[tuple[Any, ...]] = []
    for shape in SHAPES:
        x, p, u_own, u_swarm = (draw(*shape, g=g) for _ in range(4))
        v, best = draw(*shape, g=g, low=-0.4, high=0.4), draw(shape[-1], g=g)
        w, own, swarm = (
            setting(low, high, g) for low, high in ((0.3, 0.8), (1.1, 1.5), (1.6, 2.1))
        )
        found.append((x, v, p, best, u_own, u_swarm, w, own, swarm))
    return found


def velocity_by(
    inertia: Callable[[Array, float], Any] = lambda v, w: w * v,
    pull_own: Callable[[Array, Array, Array, Array, Array], Any] = lambda x, p, g, u, t: (
        u * (p - x)
    ),
    pull_swarm: Callable[[Array, Array, Array, Array, Array], Any] = lambda x, p, g, u, t: (
        t * (g - x)
    ),
    scale: Callable[[float, float], tuple[float, float]] = lambda own, swarm: (own, swarm),
) -> Velocity:
    """The new velocity, with one of its pieces exchanged."""

    def velocity(
        x: Array,
        v: Array,
        p: Array,
        g: Array,
        u_own: Array,
        u_swarm: Array,
        w: float,
        own: float,
        swarm: float,
    ) -> Any:
        a, b = scale(own, swarm)
        pulls = a * pull_own(x, p, g, u_own, u_swarm) + b * pull_swarm(x, p, g, u_own, u_swarm)
        return inertia(v, w) + pulls

    return velocity


def pulls_alone(x: Array, v: Array, *rest: Any) -> Any:
    return velocity_by(lambda v, w: 0 * v)(x, v, *rest)


def whole(x: Array, v: Array, p: Array, g: Array, u: Array, t: Array, w: float, *c: float) -> Any:
    return w * velocity_by(lambda v, w: v)(x, v, p, g, u, t, w, *c)


def place(x: Array, *rest: Any) -> Any:
    return x + velocity_by()(x, *rest)


def callers_v(x: Array, v: Array, *rest: Any) -> Any:
    v[:] = velocity_by()(x, v, *rest)
    return v


def velocity_by_loops(
    x: Array, v: Array, p: Array, g: Array, u: Array, t: Array, w: float, own: float, swarm: float
) -> Any:
    if x.ndim == 2:
        rows = zip(x, v, p, u, t, strict=True)
        return [velocity_by_loops(*row[:3], g, *row[3:], w, own, swarm) for row in rows]
    return [
        w * v[j] + own * u[j] * (p[j] - x[j]) + swarm * t[j] * (g[j] - x[j]) for j in range(len(x))
    ]


def velocity_by_target(
    x: Array, v: Array, p: Array, g: Array, u: Array, t: Array, w: float, own: float, swarm: float
) -> Any:
    """One pull, to a mean of the two targets."""
    a, b = own * u, swarm * t
    return w * v + (a + b) * ((a * p + b * g) / (a + b) - x)


def velocity_by_tensors(*args: Any) -> Any:
    arrays, numbers = args[:6], args[6:]
    return velocity_by()(*map(torch.from_numpy, arrays), *numbers)


velocity = Question(
    name="velocity",
    title="The velocity",
    points=3,
    reference=velocity_by(),
    cases=velocity_cases,
    use=use_array,
    parts=("the velocity",),
    forbidden=(NO_DRAWS,),
    mistakes=(
        Mistake(
            "pushed",
            velocity_by(
                pull_own=lambda x, p, g, u, t: u * (x - p),
                pull_swarm=lambda x, p, g, u, t: t * (x - g),
            ),
            "the best places push the particle away: the way from x to p is p - x",
        ),
        Mistake(
            "pushed_by_its_own",
            velocity_by(pull_own=lambda x, p, g, u, t: u * (x - p)),
            "its own best place pushes the particle away: the way from x to p is p - x",
        ),
        Mistake(
            "pushed_by_the_swarms",
            velocity_by(pull_swarm=lambda x, p, g, u, t: t * (x - g)),
            "the swarm's best place pushes the particle away: the way from x to g is g - x",
        ),
        Mistake(
            "inertia_on_all",
            whole,
            "the inertia multiplies the pulls too: w belongs to the old velocity alone",
        ),
        Mistake(
            "no_inertia",
            velocity_by(lambda v, w: v),
            "w is not used: the old velocity is multiplied by it, or nothing ever slows down",
        ),
        Mistake(
            "pulls_alone",
            pulls_alone,
            "the old velocity is lost: a particle goes on in its direction, w times as fast, and "
            "the pulls are added",
        ),
        Mistake(
            "same_number",
            velocity_by(pull_swarm=lambda x, p, g, u, t: u * (g - x)),
            "one random number serves both pulls, so they are always strong together: the swarm's "
            "pull has its own, u_swarm",
        ),
        Mistake(
            "numbers_exchanged",
            velocity_by(
                pull_own=lambda x, p, g, u, t: t * (p - x),
                pull_swarm=lambda x, p, g, u, t: u * (g - x),
            ),
            "u_own and u_swarm are exchanged: u_own belongs to the particle's own best place",
        ),
        Mistake(
            "one_per_particle",
            velocity_by(
                pull_own=lambda x, p, g, u, t: u[..., :1] * (p - x),
                pull_swarm=lambda x, p, g, u, t: t[..., :1] * (g - x),
            ),
            "one random number serves all coordinates of a particle, which can then only move in "
            "the plane of its pulls: each coordinate has its own",
        ),
        Mistake(
            "one_for_all",
            velocity_by(
                pull_own=lambda x, p, g, u, t: u.flat[0] * (p - x),
                pull_swarm=lambda x, p, g, u, t: t.flat[0] * (g - x),
            ),
            "the first random number serves all particles and coordinates: each has its own",
        ),
        Mistake(
            "no_strength",
            velocity_by(scale=lambda own, swarm: (1.0, 1.0)),
            "own and swarm are not used: they say how strong the two pulls are",
        ),
        Mistake(
            "strengths_exchanged",
            velocity_by(scale=lambda own, swarm: (swarm, own)),
            "the strengths are exchanged: `own` belongs to p and `swarm` to g",
        ),
        Mistake(
            "not_random",
            velocity_by(
                pull_own=lambda x, p, g, u, t: p - x,
                pull_swarm=lambda x, p, g, u, t: g - x,
            ),
            "the random numbers are not used: each pull is multiplied by its own",
        ),
        Mistake(
            "both_to_the_swarms",
            velocity_by(pull_own=lambda x, p, g, u, t: u * (g - x)),
            "both pulls go to the swarm's best place, so all particles gather at once: the first "
            "goes to the particle's *own* best, p",
        ),
        Mistake(
            "both_to_its_own",
            velocity_by(pull_swarm=lambda x, p, g, u, t: t * (p - x)),
            "both pulls go to the particle's own best place, so no particle learns from another: "
            "the second goes to the swarm's best, g",
        ),
        Mistake(
            "not_from_x",
            velocity_by(
                pull_own=lambda x, p, g, u, t: u * p,
                pull_swarm=lambda x, p, g, u, t: t * g,
            ),
            "the pulls do not depend on x: a pull is a share of the way from x to the best place, "
            "p - x",
        ),
        Mistake(
            "place",
            place,
            "that is the new place, x plus the velocity: return the velocity alone",
        ),
        Mistake(
            "callers_v",
            callers_v,
            "the caller's v is changed: write w * v into a new array, not v *= w",
        ),
    ),
    variants=(
        Variant("loops", velocity_by_loops),
        Variant("one target", velocity_by_target),
        Variant("tensors", velocity_by_tensors),
    ),
    hints=(
        "Three terms are added: the old velocity times w, and the two pulls.",
        "A pull: its strength, times its random numbers, times the way from x to the best place.",
        "w * v + own * u_own * (p - x) + swarm * u_swarm * (g - x); numpy does all particles at "
        "once.",
    ),
)


# --- A limit --------------------------------------------------------------------------------------


def clipped_cases(g: Generator) -> list[tuple[Array, float]]:
    """(v, limit): each has coordinates that are too fast, both ways, and some that are not."""
    found = []
    for shape in ((5, 2), (3, 4), (6, 1), (4,)):
        limit = setting(0.1, 0.3, g)
        v = draw(*shape, g=g, low=0.2, high=0.9) * limit
        v.flat[1::2] *= -1
        v.flat[0], v.flat[1] = setting(1.2, 2.5, g) * limit, -setting(1.2, 2.5, g) * limit
        found.append((v, limit))
    return found


def norm_clipped(v: Array, limit: float) -> Any:
    length = np.linalg.norm(v, axis=-1, keepdims=True)
    return v * np.minimum(1, limit / length)


def callers_limit(v: Array, limit: float) -> Any:
    np.clip(v, -limit, limit, out=v)
    return v


clipped = Question(
    name="clipped",
    title="A speed limit",
    points=1,
    reference=lambda v, limit: np.clip(v, -limit, limit),
    cases=clipped_cases,
    use=use_array,
    parts=("the velocity",),
    mistakes=(
        Mistake(
            "forwards_alone",
            lambda v, limit: np.minimum(v, limit),
            "nothing holds a particle that flies backwards: clip at -limit too",
        ),
        Mistake(
            "backwards_alone",
            lambda v, limit: np.maximum(v, -limit),
            "nothing holds a particle that flies forwards: clip at +limit too",
        ),
        Mistake(
            "from_zero",
            lambda v, limit: np.clip(v, 0, limit),
            "negative velocities become 0, so particles only fly forwards: clip at -limit",
        ),
        Mistake(
            "absolute",
            lambda v, limit: np.minimum(np.abs(v), limit),
            "the direction is lost: keep the sign of each coordinate",
        ),
        Mistake(
            "by_length",
            norm_clipped,
            "you limit the length of the whole velocity: here each coordinate has a limit of its "
            "own",
        ),
        Mistake(
            "stopped",
            lambda v, limit: np.where(np.abs(v) > limit, 0.0, v),
            "what is too fast is stopped: it should fly on at the limit",
        ),
        Mistake(
            "scaled",
            lambda v, limit: v * limit / np.abs(v).max(),
            "all coordinates are scaled by the fastest one: those below the limit keep their speed",
        ),
        Mistake(
            "squashed",
            lambda v, limit: limit * np.tanh(v / limit),
            "velocities below the limit are changed too: only what is beyond it should be",
        ),
        Mistake(
            "always_at_the_limit",
            lambda v, limit: limit * np.sign(v),
            "everything flies at the limit: slower coordinates keep their speed",
        ),
        Mistake(
            "not_clipped",
            lambda v, limit: v.copy(),
            "nothing is clipped: no coordinate may be beyond limit, or below -limit",
        ),
        Mistake(
            "callers_v",
            callers_limit,
            "the caller's v is changed: return a new array",
        ),
    ),
    variants=(
        Variant("minimum and maximum", lambda v, limit: np.maximum(-limit, np.minimum(limit, v))),
        Variant("where", lambda v, limit: np.where(np.abs(v) > limit, np.sign(v) * limit, v)),
        Variant("a tensor", lambda v, limit: torch.from_numpy(v).clamp(-limit, limit)),
        Variant("lists", lambda v, limit: np.array(v).clip(-limit, limit).tolist()),
    ),
    hints=(
        "A velocity has a sign. What should become of -0.7 with a limit of 0.2?",
        "np.clip(array, lowest, highest) does it for all coordinates at once.",
        "np.clip(v, -limit, limit).",
    ),
)


# --- Walls ----------------------------------------------------------------------------------------


def bounced_cases(g: Generator) -> list[tuple[Array, Array]]:
    """(x, v): each has a coordinate that leaves on either side, and some that stay."""
    found = []
    for shape in ((5, 2), (3, 4), (6, 1), (4,)):
        x, v = draw(*shape, g=g, low=0.35, high=0.65), draw(*shape, g=g, low=-0.3, high=0.3)
        x.flat[0], v.flat[0] = setting(0.8, 0.95, g), setting(0.25, 0.4, g)
        x.flat[1], v.flat[1] = setting(0.05, 0.2, g), -setting(0.25, 0.4, g)
        found.append((x, v))
    return found


def mirrored(x: Array) -> Any:
    return np.where(x < 0, -x, np.where(x > 1, 2 - x, x))


def outside(x: Array) -> Any:
    return (x < 0) | (x > 1)


def bounced_by(
    fold: Callable[[Array], Any] = mirrored,
    turn: Callable[[Array, Array], Any] = lambda place, v: np.where(outside(place), -v, v),
) -> Callable[[Array, Array], Any]:
    """Take a step, with another way to come back, or to turn round."""
    return lambda x, v: (fold(x + v), turn(x + v, v))


def callers_arrays(x: Array, v: Array) -> Any:
    x[:], v[:] = bounced_by()(x, v)
    return x, v


def by_triangle(x: Array, v: Array) -> Any:
    """A wave that goes up and down between the walls."""
    there = x + v
    lap = np.mod(there, 2.0)
    return 1 - np.abs(lap - 1), v * np.where(lap > 1, -1.0, 1.0)


def by_masks(x: Array, v: Array) -> Any:
    place, turned = x + v, v.copy()
    low, high = place < 0, place > 1
    place[low] *= -1
    place[high] = 2 - place[high]
    turned[low | high] *= -1
    return [place, turned]


def by_coordinates(x: Array, v: Array) -> Any:
    if x.ndim == 2:
        rows = [by_coordinates(*row) for row in zip(x, v, strict=True)]
        return [row[0] for row in rows], [row[1] for row in rows]
    places, velocities = [], []
    for a, b in zip(x.tolist(), v.tolist(), strict=True):
        place = a + b
        if place < 0:
            place, b = -place, -b
        elif place > 1:
            place, b = 2 - place, -b
        places.append(place)
        velocities.append(b)
    return places, velocities


def whole_particle(place: Array, v: Array) -> Any:
    return np.where(outside(place).any(axis=-1, keepdims=True), -v, v)


bounced = Question(
    name="bounced",
    title="Walls",
    points=2,
    reference=bounced_by(),
    cases=bounced_cases,
    use=use_arrays,
    parts=("the place", "the velocity"),
    mistakes=(
        Mistake(
            "no_walls",
            bounced_by(lambda x: x, lambda place, v: v),
            "particles leave the space: a coordinate below 0 or above 1 comes back, and its "
            "velocity turns round",
        ),
        Mistake(
            "flies_on",
            bounced_by(turn=lambda place, v: v.copy()),
            "the place comes back but the velocity does not turn, so the particle runs into the "
            "same wall again: -v in the coordinates where x + v (not x) is outside",
        ),
        Mistake(
            "stays_at_the_wall",
            bounced_by(lambda x: np.clip(x, 0, 1)),
            "your particles stop at the wall: here they are mirrored, from -0.1 to 0.1 and from "
            "1.2 to 0.8",
        ),
        Mistake(
            "clipped",
            bounced_by(lambda x: np.clip(x, 0, 1), lambda place, v: v.copy()),
            "your particles stop at the wall and go on flying against it: here they are mirrored, "
            "from 1.2 to 0.8, and turn round",
        ),
        Mistake(
            "stops",
            bounced_by(
                lambda x: np.clip(x, 0, 1), lambda place, v: np.where(outside(place), 0.0, v)
            ),
            "your particles stop at the wall and lose their velocity: here they are mirrored and "
            "turn round",
        ),
        Mistake(
            "wrapped",
            bounced_by(lambda x: np.mod(x, 1.0), lambda place, v: v.copy()),
            "what leaves on one side comes in on the other, as if 0 and 1 were neighbours: mirror "
            "it at the wall",
        ),
        Mistake(
            "whole_velocity",
            bounced_by(turn=whole_particle),
            "the whole velocity turns round when one coordinate leaves: only that coordinate "
            "should, like a ball at a wall",
        ),
        Mistake(
            "all_turn",
            bounced_by(turn=lambda place, v: -v),
            "every velocity turns round: only the coordinates that left should",
        ),
        Mistake(
            "upper_wall",
            bounced_by(
                lambda x: np.where(x > 1, 2 - x, x), lambda place, v: np.where(place > 1, -v, v)
            ),
            "there is a wall at 0 too: -0.1 becomes 0.1",
        ),
        Mistake(
            "lower_wall",
            bounced_by(
                lambda x: np.where(x < 0, -x, x), lambda place, v: np.where(place < 0, -v, v)
            ),
            "there is a wall at 1 too: 1.2 becomes 0.8",
        ),
        Mistake(
            "absolute",
            bounced_by(np.abs),
            "abs() mirrors at 0 alone: above 1 the place is 2 - x",
        ),
        Mistake(
            "one_minus",
            bounced_by(lambda x: np.where(x < 0, -x, np.where(x > 1, 1 - (x - 1) / 2, x))),
            "mirrored at 1, a place is as far below as it was above: 1 - (x - 1), which is 2 - x",
        ),
        Mistake(
            "no_step",
            lambda x, v: (x.copy(), v.copy()),
            "the particle has not moved: the place is x + v, mirrored",
        ),
        Mistake(
            "place_alone",
            lambda x, v: mirrored(x + v),
            "you return the place alone: return two arrays, the place and the velocity",
        ),
        Mistake(
            "exchanged",
            lambda x, v: bounced_by()(x, v)[::-1],
            "the two are exchanged: return the place first",
        ),
        Mistake(
            "callers_arrays",
            callers_arrays,
            "the caller's arrays are changed: write x = x + v, not x += v, and return new ones",
        ),
    ),
    variants=(
        Variant("masks", by_masks),
        Variant("a triangular wave", by_triangle),
        Variant("coordinate by coordinate", by_coordinates),
    ),
    hints=(
        "First the new place, x + v. Where is it outside?",
        "Below 0 the place is -x, above 1 it is 2 - x; there, the velocity is -v. np.where chooses "
        "for each coordinate.",
        "np.where(x < 0, -x, np.where(x > 1, 2 - x, x)) of the new place, and np.where((x < 0) | "
        "(x > 1), -v, v).",
    ),
)


# --- A whole step ---------------------------------------------------------------------------------


def step_cases(g: Generator) -> list[tuple[Any, ...]]:
    """(x, v, p, g, u_own, u_swarm, w, own, swarm, limit): some too fast, some over a wall."""
    found: list[tuple[Any, ...]] = []
    for case in velocity_cases(g):
        x, v, p, best, *rest = case
        limit = setting(0.15, 0.25, g)
        # The first two coordinates are driven over the walls at more than the limit.
        x.flat[0], v.flat[0], p.flat[0] = 0.95, 0.35, 0.99
        x.flat[1], v.flat[1], p.flat[1] = 0.05, -0.35, 0.01
        best[0] = 0.9 if best[0] > 0.5 else 0.1
        found.append((x, v, p, best, *rest, limit))
    return found


def step_by(
    speed: Velocity = velocity_by(),  # noqa: B008
    clip: Callable[[Array, float], Any] = lambda v, limit: np.clip(v, -limit, limit),
    move: Callable[[Array, Array, Array], Any] = lambda x, new, old: bounced_by()(x, new),
    result: Callable[[Any, Array, Array], Any] = lambda moved, new, old: moved,
) -> Callable[..., Any]:
    """A whole step with one of its pieces exchanged."""

    def step(x: Array, v: Array, *rest: Any) -> Any:
        *others, limit = rest
        new = clip(speed(x, v, *others), limit)
        return result(move(x, new, v), new, v)

    return step


def unclipped_place(x: Array, v: Array, *rest: Any) -> Any:
    """The limit comes after the move."""
    *others, limit = rest
    place, new = bounced_by()(x, velocity_by()(x, v, *others))
    return place, np.clip(new, -limit, limit)


def clipped_place(x: Array, v: Array, *rest: Any) -> Any:
    """The limit is for the move alone."""
    *others, limit = rest
    new = velocity_by()(x, v, *others)
    place = x + np.clip(new, -limit, limit)
    return mirrored(place), np.where(outside(place), -new, new)


def clips_first(x: Array, v: Array, *rest: Any) -> Any:
    *others, limit = rest
    return bounced_by()(x, velocity_by()(x, np.clip(v, -limit, limit), *others))


def moves_first(x: Array, v: Array, *rest: Any) -> Any:
    """Moves by the old velocity; the pulls are those at the new place."""
    *others, limit = rest
    place, turned = bounced_by()(x, v)
    return place, np.clip(velocity_by()(place, turned, *others), -limit, limit)


def callers_step(x: Array, v: Array, *rest: Any) -> Any:
    x[:], v[:] = step_by()(x, v, *rest)
    return x, v


def written_out(
    x: Array,
    v: Array,
    p: Array,
    g: Array,
    u: Array,
    t: Array,
    w: float,
    own: float,
    swarm: float,
    limit: float,
) -> Any:
    v = v * w
    v += own * u * (p - x) + swarm * t * (g - x)
    v = np.maximum(np.minimum(v, limit), -limit)
    x = x + v
    v[outside(x)] *= -1
    return np.abs(1 - np.abs(1 - x)), v


def step_by_rows(x: Array, v: Array, p: Array, g: Array, u: Array, t: Array, *rest: Any) -> Any:
    """One particle after the other."""
    if x.ndim == 1:
        return written_out(x, v, p, g, u, t, *rest)
    rows = [written_out(*row[:3], g, *row[3:], *rest) for row in zip(x, v, p, u, t, strict=True)]
    return np.array([row[0] for row in rows]), np.array([row[1] for row in rows])


step = Question(
    name="step",
    title="A whole step",
    points=2,
    reference=step_by(),
    cases=step_cases,
    use=use_arrays,
    parts=("the place", "the velocity"),
    needs=("velocity", "clipped", "bounced"),
    mistakes=(
        Mistake(
            "stale_velocity",
            step_by(
                move=lambda x, new, old: bounced_by()(x, old),
                result=lambda moved, new, old: (
                    moved[0],
                    np.where(np.sign(moved[1]) == np.sign(old), new, -new),
                ),
            ),
            "the place moves by the *old* velocity: find the new velocity first, and move by that "
            "one",
        ),
        Mistake(
            "stale_velocity_unturned",
            step_by(
                move=lambda x, new, old: bounced_by()(x, old),
                result=lambda moved, new, old: (moved[0], new),
            ),
            "the place moves by the *old* velocity and bounces with it: find the new velocity "
            "first, and move by that one",
        ),
        Mistake(
            "moves_first",
            moves_first,
            "the particle moves before its velocity is renewed, so the pulls are felt one step "
            "late: the velocity first, then the place",
        ),
        Mistake(
            "velocity_not_kept",
            step_by(result=lambda moved, new, old: (moved[0], old.copy())),
            "you return the old velocity, so the new one is forgotten: return the one with which "
            "the particle flew, after the wall",
        ),
        Mistake(
            "not_turned",
            step_by(result=lambda moved, new, old: (moved[0], new)),
            "you return the velocity from before the wall: where a coordinate bounced it has "
            "turned round; return both results of bounced",
        ),
        Mistake(
            "no_limit",
            step_by(clip=lambda v, limit: v),
            "the velocity is not clipped: one strong pull throws a particle across the whole space",
        ),
        Mistake(
            "limit_after_the_move",
            unclipped_place,
            "the velocity is clipped after the move: the particle has flown too far already, so "
            "clip before it moves",
        ),
        Mistake(
            "limit_not_kept",
            clipped_place,
            "the step is clipped but the velocity that you return is not: the next step begins "
            "with it, so return the clipped one",
        ),
        Mistake(
            "limit_on_the_old",
            clips_first,
            "you clip the old velocity: it is the new one, with the pulls in it, that needs the "
            "limit",
        ),
        Mistake(
            "no_walls",
            step_by(move=lambda x, new, old: (x + new, new)),
            "particles leave the space: move with bounced, which mirrors at the walls",
        ),
        Mistake(
            "clipped_place",
            step_by(move=lambda x, new, old: (np.clip(x + new, 0, 1), new)),
            "particles stick to the walls: move with bounced, which mirrors and turns the velocity",
        ),
        Mistake(
            "exchanged",
            step_by(result=lambda moved, new, old: moved[::-1]),
            "the two are exchanged: return the place first",
        ),
        Mistake(
            "callers_arrays",
            callers_step,
            "the caller's arrays are changed: return new ones",
        ),
    ),
    variants=(
        Variant("written out", written_out),
        Variant("particle by particle", step_by_rows),
        Variant(
            "from pieces",
            step_by(velocity_by_target, lambda v, limit: v.clip(min=-limit, max=limit)),
        ),
    ),
    hints=(
        "You have all three pieces: velocity, clipped, bounced. In which order?",
        "The new velocity, clipped, is what the particle moves with; bounced returns the place and "
        "the velocity after the wall.",
        "bounced(x, clipped(velocity(x, v, p, g, u_own, u_swarm, w, own, swarm), limit)).",
    ),
)
