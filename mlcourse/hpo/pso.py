"""Particle swarm optimisation (Kennedy and Eberhart, 1995), asynchronous and on any space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.space import Choice, Config, Parameter, Space, Units

#: The settings of the course's source. They sit on the limit of `order_two_stable`.
SOURCE = {"particles": 5, "inertia": 0.5, "own": 2.0, "swarm": 2.0}

# A particle gives up after this many pushes away from what was tried, in a nearly used up space.
_PUSHES = 100

# A value, the trial's number (it decides between equal values) and the place in the unit cube.
_Best = tuple[float, int, Units]


class PSO(Method):
    """Particles fly through the space, each pulled to its own best place and to the swarm's best.

    A particle at x with velocity v moves as soon as its own value is told:

        v <- inertia * v + own * u1 * (p - x) + swarm * u2 * (g - x),    x <- x + v

    p is the best place that *this particle* has seen and g the best that any has seen; u1 and u2
    are drawn from [0, 1] for each coordinate. Places are in the unit cube, a coordinate for each
    parameter, and stay real: integers are rounded in the configuration only. A choice's values
    share [0, 1] in the order given, as if neighbours were alike. What does not exist in a
    configuration has a coordinate all the same, which moves on but is pulled nowhere.

    The first places are a Latin hypercube. `limit` is the longest step along one coordinate, in
    widths of the space. A particle bounces back from a wall. One that would try a configuration for
    the second time, which teaches nothing, is pushed to a neighbour of it. Infinite values attract
    nobody. `ask` returns None while all particles are under way. Raises ValueError for fewer than
    one particle, and for a negative or infinite setting. Source: Kennedy and Eberhart, Particle
    swarm optimization, 1995; the inertia is Shi and Eberhart's, 1998.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        particles: int = 6,
        inertia: float = 0.45,
        own: float = 1.5,
        swarm: float = 1.5,
        limit: float = 0.25,
        seed: int = 0,
    ) -> None:
        super().__init__(space, seed)
        if isinstance(particles, bool) or not isinstance(particles, int) or particles < 1:
            raise ValueError(f"the swarm has {particles!r} particles: give an integer, 1 or more")
        self.particles = particles
        self.inertia = _setting("inertia", inertia)
        self.own = _setting("own", own)
        self.swarm = _setting("swarm", swarm)
        self.limit = _setting("limit", limit)
        self._starts = _starts(particles, len(self.space.parameters), self.seed)
        self._size = self.space.size
        self._tried: set[tuple[Any, ...]] = set()
        self._last: dict[int, Trial] = {}
        self._own_best: dict[int, _Best] = {}
        self._swarm_best: _Best | None = None

    def _propose(self, number: int, rng: np.random.Generator) -> Trial | None:
        particle = self._idle()
        if particle is None:
            return None
        if particle in self._last:
            place, velocity = self._moved(particle, rng)
        else:
            place = self._starts[particle]
            # Half the way to a random place: at once in motion, and never far outside.
            velocity = (rng.random(len(place)) - place) / 2
        place = self._somewhere_new(place, rng)
        note = {"particle": particle, "position": place.tolist(), "velocity": velocity.tolist()}
        return Trial(number, self.space.decode(place), note=note)

    def _idle(self) -> int | None:
        """Return the particle that has waited longest, None when all are under way."""
        flying = {self._particle(trial) for trial in self.pending.values()}
        idle = [particle for particle in range(self.particles) if particle not in flying]
        return min(idle, key=self._last_number, default=None)

    def _last_number(self, particle: int) -> int:
        return self._last[particle].number if particle in self._last else -1

    def _moved(self, particle: int, rng: np.random.Generator) -> tuple[Units, Units]:
        note = self._last[particle].note
        x, velocity = np.array(note["position"]), np.array(note["velocity"])
        u1, u2 = rng.random((2, len(x)))
        v = self.inertia * velocity
        v += self.own * u1 * _pull(x, self._own_best.get(particle))
        v += self.swarm * u2 * _pull(x, self._swarm_best)
        v = np.clip(v, -self.limit, self.limit)
        return _reflected(x + v, v)

    def _somewhere_new(self, place: Units, rng: np.random.Generator) -> Units:
        """Return the place, or one that a random walk from it finds, not tried before."""
        for _ in range(_PUSHES if len(self._tried) < self._size else 0):
            if _key(self.space.decode(place)) not in self._tried:
                break
            place = self._neighbour(place, rng)
        return place

    def _neighbour(self, place: Units, rng: np.random.Generator) -> Units:
        """Return the place with one parameter, drawn at random, moved by one value."""
        i = rng.choice([i for i, p in enumerate(self.space.parameters) if p.size > 1])
        moved = place.copy()
        moved[i] = _next_value(self.space.parameters[i], place[i], rng)
        return moved

    def _started(self, trial: Trial) -> None:
        self._tried.add(_key(trial.config))
        particle = self._particle(trial)
        if particle is not None and trial.number > self._last_number(particle):
            self._last[particle] = trial

    def _told(self, trial: Trial, value: float) -> None:
        if value == math.inf:
            return
        found = (value, trial.number, self.space.encode(trial.config))
        particle = self._particle(trial)
        if particle is not None:
            self._own_best[particle] = _better(self._own_best.get(particle), found)
        self._swarm_best = _better(self._swarm_best, found)

    def _particle(self, trial: Trial) -> int | None:
        """Return the particle that a trial belongs to, None for one from outside the swarm."""
        particle = trial.note.get("particle")
        return particle if particle in range(self.particles) else None


def order_two_stable(inertia: float, own: float, swarm: float) -> bool:
    """Return whether the variance of a lone particle's place stays bounded and settles.

    With p and g held still, a coordinate follows x' = (1 + w - phi) x - w x_old + ..., where w is
    the inertia and phi = own * u1 + swarm * u2 has mean m and variance s^2. Its mean settles when
    |w| < 1 and 0 < m < 2 (1 + w), and its variance when also
    s^2 (1 + w) < m (2 (1 + w) - m) (1 - w). For equal pulls this is
    own + swarm < 24 (1 - w^2) / (7 - 5 w). On the limit the answer is no. Sources: Jiang, Luo and
    Yang, 2007; Poli, Mean and variance of the sampling distribution of particle swarm optimizers
    during stagnation, 2009.
    """
    mean, variance = (own + swarm) / 2, (own**2 + swarm**2) / 12
    drift = mean * (2 * (1 + inertia) - mean)
    return abs(inertia) < 1 and variance * (1 + inertia) < drift * (1 - inertia)


def _setting(name: str, value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value!r}: give a number, 0 or more")
    return float(value)


def _starts(particles: int, dimensions: int, seed: int) -> Units:
    """Return a Latin hypercube in the unit cube, (particles, dimensions)."""
    # The 1 keeps these numbers apart from those of trial 0.
    rng = np.random.default_rng([seed, 0, 1])
    shares = rng.permuted(np.tile(np.arange(particles), (dimensions, 1)), axis=1).T
    return (shares + rng.random(shares.shape)) / particles


def _pull(x: Units, best: _Best | None) -> Units:
    """Return the way to the best place: 0 without one, and where it has no value."""
    return np.zeros_like(x) if best is None else np.nan_to_num(best[2] - x)


def _reflected(x: Units, v: Units) -> tuple[Units, Units]:
    """Return a place and a velocity, mirrored at the walls of the unit cube."""
    outside = (x < 0) | (x > 1)
    mirrored = np.where(x < 0, -x, 2 - x)
    return np.clip(np.where(outside, mirrored, x), 0, 1), np.where(outside, -v, v)


def _better(old: _Best | None, new: _Best) -> _Best:
    return new if old is None or new[:2] < old[:2] else old


def _next_value(parameter: Parameter, unit: float, rng: np.random.Generator) -> float:
    """Return the place of the next integer up or down, of another choice, or of any real number."""
    value = parameter.at(unit)
    if isinstance(parameter, Choice):
        others = [one for one in parameter.choices if one is not value]
    elif parameter.integer:
        others = [n for n in (value - 1, value + 1) if parameter.problem(n) is None]  # type: ignore[operator]
    else:
        return float(rng.random())
    return parameter.unit(others[rng.integers(len(others))])


def _key(config: Config) -> tuple[Any, ...]:
    # 1, 1.0 and True are equal, so the type counts as well.
    return tuple((name, type(value), value) for name, value in config.items())
