"""`pso`: its references are the library's, and what it says is true."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mlcourse.checks import load
from mlcourse.checks.judge import Judge
from mlcourse.checks.pso_questions.shared import bowl
from mlcourse.hpo.pso import PSO, SOURCE, order_two_stable
from mlcourse.hpo.space import Space
from mlcourse.witness import Quartic

EXERCISE = load("pso")
SEED = 20260101


def cases(name: str):
    return Judge(EXERCISE[name], [SEED]).cases


def value(name: str):
    return EXERCISE[name].reference


def says(name: str, answer) -> str | None:
    return Judge(EXERCISE[name], [SEED])(answer).mistake


def passes(name: str, answer) -> None:
    verdict = Judge(EXERCISE[name], [SEED])(answer)
    assert verdict.status == "passed", verdict.message


# --- The references are the library's -------------------------------------------------------------


def test_a_swarm_without_waiting_flies_as_the_librarys():
    """The library's particles move in turn, too; its random numbers are read from its trials."""
    n, d, rounds = 4, 3, 8
    w, own, swarm, limit = 0.5, 1.6, 1.6, 0.3
    cube = {f"x{i}": (0.0, 1.0) for i in range(d)}
    method = PSO(cube, n, w, own, swarm, limit, starts=n, seed=3)
    centre = np.array([0.1, 0.6, 0.4])

    def loss(x):
        return float(((x - centre) ** 2).sum())

    places = []
    for _ in range(n * (rounds + 1)):
        trial = method.ask()
        places.append(list(trial.config.values()))
        method.tell(trial, loss(np.array(places[-1])))
    theirs = np.array(places).reshape(rounds + 1, n, d)

    # Trial number t draws its two rows of numbers first; the push of the best particle at rest
    # would draw more, so its place is put in by hand.
    uniforms = np.empty((rounds, 2, n, d))
    for t in range(rounds):
        for i in range(n):
            rng = np.random.default_rng([3, n * (t + 1) + i])
            uniforms[t, :, i] = rng.random((2, d))
    step, v, x = value("step"), np.zeros((n, d)), theirs[0].copy()
    p, p_loss = x.copy(), np.array([loss(row) for row in x])
    pushed = 0
    for t in range(rounds):
        for i in range(n):
            g = p[p_loss.argmin()]
            u_own, u_swarm = uniforms[t, :, i]
            place, new = step(x[i], v[i], p[i], g, u_own, u_swarm, w, own, swarm, limit)
            if np.allclose(place, x[i], atol=2e-3):
                pushed += 1
                place, new = theirs[t + 1, i], new + theirs[t + 1, i] - place
            assert place == pytest.approx(theirs[t + 1, i])
            x[i], v[i] = place, new
            if loss(place) < p_loss[i]:
                p[i], p_loss[i] = place, loss(place)
    assert pushed < 4


def test_stability_is_the_librarys():
    passes("stable", order_two_stable)
    source = [SOURCE[name] for name in ("inertia", "own", "swarm")]
    assert not order_two_stable(*source)  # the choice `on_the_limit`
    assert order_two_stable(source[0], 1.99, 1.99)


def test_the_spread_settles_where_stable_says_so():
    rng = np.random.default_rng(0)
    for w, phi in ((0.5, 1.5), (0.2, 1.2), (0.8, 0.7), (0.5, 2.6), (0.8, 2.2)):
        x = old = np.zeros(20_000)
        spread = []
        for _ in range(120):
            u, t = phi * rng.random((2, len(x)))
            x, old = (1 + w - u - t) * x - w * old - u + t, x
            spread.append((x**2).mean())
        settled = np.mean(spread[-20:]) < 3 * np.mean(spread[30:50])
        assert settled == value("stable")(w, phi, phi)


def test_integers_are_the_librarys():
    low, high = np.array([1, 40, 125]), np.array([32, 130, 325])
    space = Space({f"x{i}": ends for i, ends in enumerate(zip(low.tolist(), high.tolist()))})  # noqa: B905
    of_place = value("on_integers")(lambda k: k.tolist(), low, high)
    rng = np.random.default_rng(0)
    for x in [*rng.random((200, 3)), np.ones(3), np.zeros(3)]:
        assert of_place(x) == list(space.decode(x).values())


def test_the_history_and_the_bests_agree():
    for places, losses in cases("targets"):
        p, p_loss = places[0], losses[0]
        for x, loss in zip(places[1:], losses[1:], strict=True):
            p, p_loss = value("own_best")(p, p_loss, x, loss)
        own, swarm = value("targets")(places, losses)
        np.testing.assert_array_equal(own, p)
        np.testing.assert_array_equal(swarm, p[p_loss.argmin()])


def test_flights_never_leave_the_cube_and_come_down():
    for name in ("fly", "fly_one_by_one"):
        for shape, x, uniforms, *settings in cases(name):
            places = value(name)(Quartic(*shape), x, uniforms, *settings)
            assert places.shape == (len(uniforms) + 1, *x.shape)
            assert ((places >= 0) & (places <= 1)).all()
            assert abs(np.diff(places, axis=0)).max() <= settings[-1] + 1e-12
            losses = [[Quartic(*shape)(row) for row in round_] for round_ in places]
            assert np.min(losses) < np.min(losses[0])


# --- Numbers and letters --------------------------------------------------------------------------


def test_the_step_by_hand():
    v = value("velocity")(*map(np.array, (0.4, 0.12, 0.2, 0.8, 0.25, 0.5)), 0.5, 1.6, 1.6)
    assert 0.4 + v == pytest.approx(value("one_step"))


def test_only_the_best_particle_stands_still_at_first():
    rng = np.random.default_rng(0)
    x, loss = rng.random((5, 3)), Quartic(np.eye(3), -np.full(3, 0.5), np.zeros(3))
    places = value("fly")(loss, x, rng.random((1, 2, 5, 3)), 0.5, 2.0, 2.0, 1.0)
    moved = (places[0] != places[1]).any(axis=1)
    assert moved.sum() == value("moving_at_first")
    assert not moved[np.argmin([loss(row) for row in x])]


def test_whole_steps_lose_small_velocities():
    """A velocity of 0.4 units is none; added up, it is one."""
    assert np.round(0.4) == 0
    assert np.round(3 * 0.4) == 1


# --- What students write --------------------------------------------------------------------------


def slipped(loss, x, uniforms, w, own, swarm, limit):
    """The source's loop, with the iteration's best for p."""
    v, best, places = np.zeros_like(x), np.inf, [x]
    for u_l, u_g in uniforms:
        losses = [loss(row) for row in x]
        p = x[np.argmin(losses)]
        if min(losses) < best:
            g, best = p, min(losses)
        v = np.clip(w * v + own * u_l * (p - x) + swarm * u_g * (g - x), -limit, limit)
        x = x + v
        v = np.where((x < 0) | (x > 1), -v, v)
        x = np.where(x < 0, -x, np.where(x > 1, 2 - x, x))
        places.append(x)
    return np.array(places)


def last_iteration(places, losses):
    p = np.repeat(places[-1][losses[-1].argmin()][None], losses.shape[1], axis=0)
    return p, places.reshape(-1, places.shape[-1])[losses.argmin()]


def one_place(places, losses):
    return places[-1][losses[-1].argmin()], places.reshape(-1, places.shape[-1])[losses.argmin()]


@pytest.mark.parametrize(
    ("name", "answer", "mistake"),
    [
        ("fly", slipped, "iteration_best"),
        ("targets", last_iteration, "iteration_best"),
        ("targets", one_place, "one_iteration_best"),
        (
            "velocity",
            lambda x, v, p, g, u, t, w, a, b: w * v + u * (a * (p - x) + b * (g - x)),
            "same_number",
        ),
        (
            "velocity",
            lambda x, v, p, g, u, t, w, a, b: w * (v + a * u * (p - x) + b * t * (g - x)),
            "inertia_on_all",
        ),
        ("clipped", lambda v, limit: np.where(v > limit, limit, v), "forwards_alone"),
        ("bounced", lambda x, v: (np.clip(x + v, 0, 1), v), "clipped"),
        ("own_best", lambda p, p_loss, x, loss: (x, np.fmin(loss, p_loss)), "always"),
        ("stable", lambda w, own, swarm: w < 1 and own + swarm < 4 * (1 + w), "order_one"),
    ],
)
def test_what_students_write_is_recognised(name, answer, mistake):
    verdict = Judge(EXERCISE[name], [SEED])(answer)
    assert verdict.status in ("failed", "error")
    assert verdict.mistake == mistake, verdict.message


def test_bowls_are_lowest_inside_the_cube():
    g = torch.Generator().manual_seed(0)
    for at_wall in (False, True):
        A, b, c = bowl(3, g, at_wall)
        lowest = np.linalg.solve(A, -b)
        assert ((lowest > 0) & (lowest < 1)).all()
        assert (lowest[0] < 0.05) == at_wall
        assert Quartic(A, b, c)(lowest) < Quartic(A, b, c)(lowest + 0.01)
