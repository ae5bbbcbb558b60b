"""Particles move by the formula, remember their own best, share the swarm's, and never wait."""

import math

import numpy as np
import pytest

from mlcourse.hpo.method import Trial
from mlcourse.hpo.pso import PSO, SOURCE, _mirrored, order_two_stable
from mlcourse.hpo.space import Space

PLANE = {"x": (0.0, 1.0), "y": (0.0, 1.0)}
MIXED = {
    "width": (1, 9),
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "optimizer": ["sgd", "adam", "lion"],
    "momentum": {"low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}},
}


def bowl(trial):
    return sum((value - 0.3) ** 2 for value in trial.config.values())


def searched(pso, loss, trials):
    for _ in range(trials):
        trial = pso.ask()
        pso.tell(trial, loss(trial))
    return [result.trial for result in pso.results]


def notes(trials, key):
    return np.array([trial.note[key] for trial in trials])


# The move


def test_every_move_is_the_formula_with_own_and_swarm_best():
    settings = {"inertia": 0.7, "own": 1.1, "swarm": 0.9, "limit": 0.1}
    pso = PSO(PLANE, particles=4, starts=4, seed=3, **settings)
    trials = searched(pso, bowl, 60)
    own, last, swarm = {}, {}, (math.inf, None)
    tried = set()
    moves = limited = 0
    for trial in trials:
        particle, x = trial.note["particle"], np.array(trial.note["position"])
        if particle in last:
            old = np.array(last[particle].note["position"])
            u1, u2 = np.random.default_rng([3, trial.number]).random((2, 2))
            v = 0.7 * np.array(last[particle].note["velocity"])
            v = v + 1.1 * u1 * (own[particle][1] - old) + 0.9 * u2 * (swarm[1] - old)
            limited += int(np.any(np.abs(v) > 0.1))
            v = np.clip(v, -0.1, 0.1)
            inside = np.all((old + v >= 0) & (old + v <= 1))
            if inside and tuple(((old + v) * 1000).astype(int)) not in tried:
                np.testing.assert_allclose(x, old + v, atol=1e-12)
                np.testing.assert_allclose(trial.note["velocity"], v, atol=1e-12)
                moves += 1
        last[particle] = trial
        tried.add(tuple((x * 1000).astype(int)))
        own[particle] = min(own.get(particle, (math.inf, x)), (bowl(trial), x), key=first)
        swarm = min(swarm, (bowl(trial), x), key=first)
    assert moves > 40
    assert limited > 3


def first(pair):
    return pair[0]


def test_a_particle_is_pulled_to_its_own_best_and_not_to_the_round_s():
    # No swarm: particle 1 must not see that particle 0 has the lower values.
    pso = PSO({"x": (0.0, 1.0)}, particles=2, starts=2, inertia=0.0, own=1.0, swarm=0.0, seed=1)
    low, high = sorted(pso.ask().note["position"][0] for _ in range(2))
    first_of = {t.note["particle"]: t.note["position"][0] for t in pso.pending.values()}
    better = min(first_of, key=first_of.get)
    for trial in list(pso.pending.values()):
        pso.tell(trial, float(trial.note["particle"] != better))
    # Each is at its own best, so neither is pulled anywhere; both may only be pushed.
    pulls = [pso._moved(particle, np.random.default_rng(0))[0][0] for particle in (0, 1)]
    assert pulls == [pytest.approx(first_of[0]), pytest.approx(first_of[1])]
    assert low < high


def test_the_swarm_s_best_counts_at_once_and_does_not_wait_for_a_round():
    pso = PSO({"x": (0.0, 1.0)}, particles=3, starts=3, inertia=0, own=0, swarm=1, limit=1, seed=2)
    start = [pso.ask() for _ in range(3)]
    pso.tell(start[2], 5.0)
    only_itself = pso.ask()
    assert only_itself.note["particle"] == 2
    pso.tell(start[0], 1.0)  # while particles 1 and 2 are under way
    pso.tell(only_itself, 9.0)
    moves = [pso.ask() for _ in range(2)]
    places = {t.note["particle"]: t.note["position"][0] for t in [*start, only_itself]}
    goal = start[0].note["position"][0]
    assert sorted(t.note["particle"] for t in moves) == [0, 2]
    moved = next(t for t in moves if t.note["particle"] == 2).note["position"][0]
    assert min(places[2], goal) <= moved <= max(places[2], goal)
    assert pso.ask() is None


def test_walls_turn_particles_round():
    pso = PSO(PLANE, limit=0.3, inertia=0.9, own=2.0, swarm=2.0, seed=5)
    trials = searched(pso, lambda trial: -sum(trial.config.values()), 200)
    positions = notes(trials, "position")
    assert positions.min() >= 0
    assert positions.max() <= 1
    assert np.abs(notes(trials, "velocity")).max() > 0.29
    mirrored = 0
    for trial in trials:
        old = last_of(trial, trials)
        if old is not None:
            beyond = np.add(old.note["position"], -np.array(trial.note["velocity"]))
            walls = np.where(beyond > 1, 2 - beyond, np.where(beyond < 0, -beyond, np.nan))
            mirrored += int(np.sum(np.isclose(walls, trial.note["position"])))
    assert mirrored > 10


def last_of(trial, trials):
    """The trial before this one of the same particle."""
    mine = [t for t in trials[: trial.number] if t.note["particle"] == trial.note["particle"]]
    return mine[-1] if mine else None


@pytest.mark.parametrize(("x", "place"), [(0.4, 0.4), (1.1, 0.9), (-0.2, 0.2), (3.5, 0.0)])
def test_a_wall_is_a_mirror(x, place):
    assert _mirrored(np.array([x])) == pytest.approx(place, abs=1e-15)


# Starts, turns and workers


def test_starts_are_a_latin_hypercube_and_the_best_of_them_fly():
    pso = PSO(PLANE, particles=4, starts=20, seed=7)
    trials = searched(pso, bowl, 60)
    starts, moves = trials[:20], trials[20:]
    for shares in (notes(starts, "position") * 20).astype(int).T:
        assert sorted(shares) == list(range(20))
    assert not notes(starts, "velocity").any()
    best = sorted(range(20), key=lambda i: bowl(starts[i]))[:4]
    assert {trial.note["particle"] for trial in moves} == set(best)
    # One worker: they take turns.
    assert [t.note["particle"] for t in moves[:4]] * 10 == [t.note["particle"] for t in moves]


def test_there_are_fifteen_starts_or_one_a_particle():
    assert (PSO(PLANE).starts, PSO(PLANE, particles=40).starts) == (15, 40)
    assert PSO(PLANE, **SOURCE).starts == 5


def test_a_particle_moves_as_soon_as_its_own_value_is_told():
    pso = PSO(PLANE, particles=3, starts=3, seed=1)
    first, second, third = (pso.ask() for _ in range(3))
    assert pso.ask() is None
    pso.tell(second, 1.0)
    moved = pso.ask()
    assert moved.note["particle"] == second.note["particle"]
    assert pso.ask() is None
    pso.tell(third, 2.0)
    pso.tell(first, 3.0)
    # Who has waited longest goes first, whatever the order of the values.
    waited = [first.note["particle"], third.note["particle"]]
    assert [pso.ask().note["particle"] for _ in range(2)] == waited
    assert not pso.finished


def test_trials_from_outside_attract_and_are_not_taken_for_particles():
    pso = PSO(PLANE, particles=3, starts=3, inertia=0, own=0, swarm=1, limit=1, seed=4)
    searched(pso, bowl, 3)
    pso.tell(Trial(3, {"x": 0.9, "y": 0.8}), -1.0)
    pso.tell(Trial(4, {"x": 0.1, "y": 0.8}, note={"particle": "a name"}), 0.0)
    before = {t.note["particle"]: t.note["position"] for t in [r.trial for r in pso.results[:3]]}
    for _ in range(3):
        trial = pso.ask()
        old, new = before[trial.note["particle"]], trial.note["position"]
        assert all(
            min(a, g) <= b <= max(a, g) for a, b, g in zip(old, new, [0.9, 0.8], strict=True)
        )


# Values


def test_infinite_values_attract_nobody():
    pso = PSO(PLANE, particles=3, starts=3, inertia=0.5, own=1, swarm=1, seed=6)
    start = searched(pso, lambda trial: math.inf, 3)
    moved = pso._moved(start[0].note["particle"], np.random.default_rng(0))
    np.testing.assert_array_equal(moved, [start[0].note["position"], [0, 0]])
    trials = searched(pso, lambda trial: math.inf if trial.config["x"] > 0.4 else bowl(trial), 60)
    late = [trial.config["x"] for trial in trials[-30:]]
    assert np.mean(np.array(late) < 0.4) > 0.5


def test_of_equal_values_the_first_trial_s_is_the_best_whatever_the_order_told():
    one, other = (
        PSO(PLANE, particles=2, starts=2, seed=8),
        PSO(PLANE, particles=2, starts=2, seed=8),
    )
    for pso, order in ((one, (0, 1)), (other, (1, 0))):
        trials = [pso.ask() for _ in range(2)]
        for i in order:
            pso.tell(trials[i], 1.0)
    assert [one.ask(), one.ask()] == [other.ask(), other.ask()]


def test_the_swarm_finds_the_bottom_of_a_bowl():
    for seed in range(5):
        pso = PSO({f"x{i}": (0, 99) for i in range(4)}, seed=seed)
        searched(pso, lambda t: sum((x - 61) ** 2 for x in t.config.values()), 300)
        assert pso.best.value == 0


# Integers, choices and what does not exist


def test_positions_stay_real_and_configurations_are_rounded():
    pso = PSO({"n": (0, 9), "m": (1, 4)}, particles=3, inertia=0.7, seed=2)
    for trial in searched(pso, lambda t: t.config["n"] - t.config["m"], 25):
        n, m = trial.note["position"]
        assert trial.config == {"n": min(int(n * 10), 9), "m": min(int(m * 4) + 1, 4)}
    off_centre = notes([r.trial for r in pso.results], "position")[:, 0] * 10 % 1 - 0.5
    assert np.mean(np.abs(off_centre) > 0.01) > 0.5


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_tried_twice_until_all_is_tried(seed):
    space = Space(
        {"n": (1, 5), "c": ["a", 1, True], "k": {"low": 1, "high": 40, "log": True}}
        | {"d": {"choices": [None, 0], "when": {"c": "a"}}}
    )
    assert space.size == 5 * 40 * 4
    pso = PSO(space, seed=seed)
    trials = searched(pso, lambda trial: trial.config["n"], 300)
    assert len({repr(trial.config) for trial in trials}) == 300
    small = PSO({"n": (1, 5), "c": ["a", 1, True]}, seed=seed)
    trials = searched(small, lambda trial: trial.config["n"], 40)
    assert len({repr(trial.config) for trial in trials[:15]}) == 15


def test_a_push_is_to_a_neighbour_and_counts_in_the_velocity():
    space = {"n": (0, 3), "c": ["a", "b", "c"]}
    pso = PSO(space, particles=1, starts=1, seed=0)
    trials = searched(pso, lambda trial: 0.0, 2)
    moved = [a != b for a, b in zip(*(t.config.values() for t in trials), strict=True)]
    assert sum(moved) == 1  # at rest at the best place: only a push can move it
    step = np.subtract(trials[1].note["position"], trials[0].note["position"])
    np.testing.assert_allclose(trials[1].note["velocity"], step, atol=1e-15)


def test_a_collapsed_swarm_of_real_numbers_is_pushed_apart():
    pso = PSO(PLANE, seed=0)
    trials = searched(pso, bowl, 400)
    cells = {tuple((np.array(t.note["position"]) * 1000).astype(int)) for t in trials}
    assert len(cells) == 400
    assert pso.best.value < 1e-5


def test_what_does_not_exist_moves_on_and_is_pulled_nowhere():
    pso = PSO(MIXED, particles=2, starts=2, inertia=0.5, own=1.0, swarm=1.0, seed=0)
    searched(pso, lambda trial: float(trial.number), 2)
    pso.tell(Trial(2, {"width": 3, "lr": 0.01, "optimizer": "adam"}), -9.0)
    trial = pso.ask()
    old = next(
        r.trial.note for r in pso.results[:2] if r.trial.note["particle"] == trial.note["particle"]
    )
    pulled = np.subtract(trial.note["position"], old["position"])
    assert all(pulled[:3] != 0)
    own = pso.results[trial.note["particle"]].trial.config
    assert "momentum" in own or pulled[3] == 0
    assert not np.isnan(trial.note["position"]).any()
    for trial in searched(pso, lambda trial: trial.config["width"], 60):
        assert ("momentum" in trial.config) == (trial.config["optimizer"] == "sgd")


# Stability


def second_moments(w, own, swarm):
    """How E[x x], E[x y] and E[y y] of two places in a row become the next ones (p = g = 0)."""
    mean, variance = 1 + w - (own + swarm) / 2, (own**2 + swarm**2) / 12
    return np.array([[mean**2 + variance, -2 * mean * w, w**2], [mean, -w, 0], [1, 0, 0]])


def test_stability_is_that_of_the_second_moments():
    rng = np.random.default_rng(0)
    answers = []
    for _ in range(3000):
        w, own, swarm = rng.uniform([-1.2, 0, 0], [1.2, 4, 4])
        radius = np.abs(np.linalg.eigvals(second_moments(w, own, swarm))).max()
        if abs(radius - 1) > 1e-9:
            answers.append(order_two_stable(w, own, swarm))
            assert answers[-1] == (radius < 1), (w, own, swarm)
    assert 0.1 < np.mean(answers) < 0.9


def test_for_equal_pulls_it_is_poli_s_line():
    for w in np.linspace(-0.9, 0.9, 19):
        total = 24 * (1 - w**2) / (7 - 5 * w)
        assert order_two_stable(w, total / 2 - 1e-9, total / 2 - 1e-9)
        assert not order_two_stable(w, total / 2 + 1e-9, total / 2 + 1e-9)


def test_the_source_s_settings_are_on_the_limit_and_the_defaults_inside():
    w, own, swarm = (SOURCE[key] for key in ("inertia", "own", "swarm"))
    assert not order_two_stable(w, own, swarm)
    assert order_two_stable(w, own - 1e-9, swarm)
    assert order_two_stable(w - 1e-9, own, swarm)
    assert not order_two_stable(w + 1e-9, own, swarm)
    pso = PSO(PLANE)
    assert order_two_stable(pso.inertia, pso.own, pso.swarm)
    assert not order_two_stable(0.5, 0, 0)


@pytest.mark.parametrize(("w", "pull", "stable"), [(0.7, 1.4, True), (0.7, 2.1, False)])
def test_simulated_variances_settle_or_grow(w, pull, stable):
    assert order_two_stable(w, pull, pull) is stable
    rng = np.random.default_rng(1)
    x, old = np.ones(20000), np.ones(20000)
    moments = []
    for _ in range(60):
        u1, u2 = rng.random((2, 20000))
        # p = 1 and g = -1, so the variance settles above zero.
        x, old = x + w * (x - old) + pull * u1 * (1 - x) + pull * u2 * (-1 - x), x
        moments.append(x.var())
    if stable:
        expected = variance_at_rest(w, pull)
        assert np.mean(moments[-20:]) == pytest.approx(expected, rel=0.05)
    else:
        assert moments[-1] > 100 * moments[9]


def variance_at_rest(w, pull):
    """E[x^2] at rest for p = 1, g = -1: the moments' fixed point; its mean is 0 by symmetry."""
    noise = pull**2 / 6  # of pull * (u1 - u2)
    m = second_moments(w, pull, pull)
    # E[phi-noise * place] does not vanish: x and (u1 - u2) are independent, E[x] = 0.
    return np.linalg.solve(np.eye(3) - m, [noise, 0, 0])[0]


# Arguments


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"particles": 0}, r"^particles is 0: give an integer, 1 or more$"),
        ({"particles": 2.0}, r"^particles is 2\.0: give an integer, 1 or more$"),
        ({"particles": True}, r"^particles is True: give an integer, 1 or more$"),
        ({"particles": 6, "starts": 5}, r"^starts is 5: give an integer, 6 or more$"),
        ({"inertia": -0.1}, r"^inertia is -0\.1: give a finite number, 0 or more$"),
        ({"own": math.inf}, r"^own is inf: give a finite number, 0 or more$"),
        ({"swarm": math.nan}, r"^swarm is nan: give a finite number, 0 or more$"),
        ({"swarm": "2"}, r"^swarm is '2': give a finite number, 0 or more$"),
        ({"limit": None}, r"^limit is None: give a finite number, 0 or more$"),
    ],
)
def test_bad_settings_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PSO(PLANE, **arguments)
