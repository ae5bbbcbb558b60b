"""Particle swarm optimisation (Kennedy and Eberhart, 1995), asynchronous and on any space."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from mlcourse.hpo import arguments
from mlcourse.hpo.latin_hypercube import shares
from mlcourse.hpo.method import Method, Trial
from mlcourse.hpo.space import Choice, Config, Parameter, Space, Units, Value

#: The settings of the course's source. They sit on the limit of `order_two_stable`.
SOURCE: dict[str, Any] = {
    "particles": 5,
    "starts": 5,
    "inertia": 0.5,
    "own": 2.0,
    "swarm": 2.0,
    "limit": 1.0,
}

# Real numbers in the same one of so many shares of their range count as the same.
_SHARES = 1000

# A particle is pushed so often, and then thrown so often to a random place, before it gives up.
_PUSHES, _THROWS = 50, 50

# A value, the trial's number (it decides between equal values) and the place in the unit cube.
_Best = tuple[float, int, Units]


class PSO(Method):
    """Particles fly through the space, each pulled to its own best place and to the swarm's best.

    A particle at x with velocity v moves as soon as its own value is told:

        v <- inertia * v + own * u1 * (p - x) + swarm * u2 * (g - x),    x <- x + v

    p is the place of the best configuration that *this particle* has tried, g that of the best of
    all; u1 and u2 are drawn from [0, 1] for each coordinate. Places are in the unit cube, a
    coordinate for each parameter. x stays real: integers are rounded in the configuration only,
    whose own place is in the middle of their shares. A choice's values share [0, 1] in the order
    given, as if neighbours were alike. What does not exist in a configuration has a coordinate all
    the same: in x it moves on, in p and g it pulls nowhere.

    `starts` places, a Latin hypercube, are tried first (15 if not given, or one a particle where
    that is more), and the swarm flies off from the best of them, at rest. `limit` is the longest
    step along one coordinate, in widths of the space. A particle bounces back from a wall. One that
    would try a configuration again, to a thousandth of each real range, would learn nothing: it is
    pushed to a neighbour. Infinite values attract nobody. `ask` returns None while all particles
    are under way. Raises ValueError for fewer than one particle, fewer starts than particles, and
    a negative or infinite setting. Source: Kennedy and Eberhart, Particle swarm optimization, 1995;
    the inertia is Shi and Eberhart's, 1998; starts, pushes and default settings are the course's.
    """

    def __init__(
        self,
        space: Space | Mapping[str, Any],
        particles: int = 6,
        inertia: float = 0.4,
        own: float = 1.8,
        swarm: float = 1.4,
        limit: float = 0.2,
        starts: int | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(space, seed)
        self.particles = arguments.integer("particles", particles, 1)
        places = max(15, particles) if starts is None else starts
        self.starts = arguments.integer("starts", places, particles)
        self.inertia = arguments.number("inertia", inertia, 0)
        self.own = arguments.number("own", own, 0)
        self.swarm = arguments.number("swarm", swarm, 0)
        self.limit = arguments.number("limit", limit, 0)
        self._shares = shares(self.starts, len(self.space.parameters), self.seed)
        self._size = self.space.size
        self._tried: set[tuple[Any, ...]] = set()
        self._last: dict[int, Trial] = {}
        self._own_best: dict[int, _Best] = {}
        self._swarm_best: _Best | None = None

    def _propose(self, number: int, rng: np.random.Generator) -> Trial | None:
        particle = self._idle(number)
        if particle is None:
            return None
        if particle in self._last:
            x, v = self._moved(particle, rng)
        else:
            share = self._shares[particle]
            x, v = (share + rng.random(len(share))) / self.starts, np.zeros(len(share))
        place = self._somewhere_new(x, rng)
        velocity = v + (place - x)
        note = {"particle": particle, "position": place.tolist(), "velocity": velocity.tolist()}
        return Trial(number, self.space.decode(place), note=note)

    def _idle(self, number: int) -> int | None:
        """Return a particle without a start, else the one that has waited longest, if any."""
        # Workers that know nothing of each other have numbers of their own, so different starts.
        new = [particle for particle in range(self.starts) if particle not in self._last]
        if new:
            return number if number in new else new[0]
        # Every start is a particle; those that started badly stay where they are.
        flying = sorted(range(self.starts), key=self._rank)[: self.particles]
        waiting = {self._particle(trial) for trial in self.pending.values()}
        idle = [particle for particle in flying if particle not in waiting]
        return min(idle, key=lambda particle: self._last[particle].number, default=None)

    def _rank(self, particle: int) -> tuple[float, int]:
        return self._own_best[particle][:2] if particle in self._own_best else (math.inf, particle)

    def _moved(self, particle: int, rng: np.random.Generator) -> tuple[Units, Units]:
        note = self._last[particle].note
        x, velocity = np.array(note["position"]), np.array(note["velocity"])
        u1, u2 = rng.random((2, len(x)))
        v = self.inertia * velocity
        v += self.own * u1 * _pull(x, self._own_best.get(particle))
        v += self.swarm * u2 * _pull(x, self._swarm_best)
        v = np.clip(v, -self.limit, self.limit)
        x = x + v
        return _mirrored(x), np.where((x < 0) | (x > 1), -v, v)

    def _somewhere_new(self, place: Units, rng: np.random.Generator) -> Units:
        """Return the place, or one that a random walk from it finds, not tried before."""
        for attempt in range(_PUSHES + _THROWS if len(self._tried) < self._size else 0):
            if self._key(self.space.decode(place)) not in self._tried:
                break
            place = self._pushed(place, rng) if attempt < _PUSHES else rng.random(len(place))
        return place

    def _pushed(self, place: Units, rng: np.random.Generator) -> Units:
        """Return the place with one coordinate, drawn at random, moved to a neighbour."""
        i = rng.choice([i for i, p in enumerate(self.space.parameters) if p.size > 1])
        place = place.copy()
        if self.space.parameters[i].size == math.inf:
            place[i] = _mirrored(place[i] + self.limit * rng.uniform(-1, 1))
        else:
            place[i] = _neighbour(self.space.parameters[i], place[i], rng)
        return place

    def _started(self, trial: Trial) -> None:
        self._tried.add(self._key(trial.config))
        particle = self._particle(trial)
        if particle is not None:
            trials = (self._last.get(particle, trial), trial)
            self._last[particle] = max(trials, key=lambda one: one.number)

    def _told(self, trial: Trial, value: float) -> None:
        if value == math.inf:
            return
        found = (value, trial.number, self.space.encode(trial.config))
        particle = self._particle(trial)
        if particle is not None:
            self._own_best[particle] = _better(self._own_best.get(particle), found)
        self._swarm_best = _better(self._swarm_best, found)

    def _key(self, config: Config) -> tuple[Any, ...]:
        """Return what two configurations that count as the same have in common."""
        parameters = [p for p in self.space.parameters if p.name in config]
        return tuple((p.name, _rounded(p, config[p.name])) for p in parameters)

    def _particle(self, trial: Trial) -> int | None:
        """Return the particle that a trial belongs to, None for one from outside the swarm."""
        particle = trial.note.get("particle")
        return particle if particle in range(self.starts) else None


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


def _pull(x: Units, best: _Best | None) -> Units:
    """Return the way to the best place: 0 without one, and where it has no value."""
    return np.zeros_like(x) if best is None else np.nan_to_num(best[2] - x)


def _mirrored(x: Any) -> Any:
    """Return coordinates folded back into [0, 1] at its walls."""
    return np.clip(np.where(x < 0, -x, np.where(x > 1, 2 - x, x)), 0, 1)


def _better(old: _Best | None, new: _Best) -> _Best:
    return new if old is None or new[:2] < old[:2] else old


def _rounded(parameter: Parameter, value: Value) -> object:
    if parameter.size == math.inf:
        return int(parameter.unit(value) * _SHARES)
    # 1, 1.0 and True are equal, so the type counts as well.
    return type(value), value


def _neighbour(parameter: Parameter, unit: float, rng: np.random.Generator) -> float:
    """Return the place of the next integer, up or down, or of any other choice."""
    value = parameter.at(unit)
    if isinstance(parameter, Choice):
        others = [one for one in parameter.choices if one is not value]
    else:
        steps = (value - 1, value + 1)  # type: ignore[operator]
        others = [one for one in steps if parameter.problem(one) is None]
    return parameter.unit(others[rng.integers(len(others))])
