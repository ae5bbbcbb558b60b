"""`pso` through the real grader: arrays, a loss that is called there, answers that call others."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("pso")

VELOCITY = """
def velocity(x, v, p, g, u_own, u_swarm, w, own, swarm):
    to_own = own * u_own * (p - x)
    to_swarm = swarm * u_swarm * (g - x)
    return w * v + to_own + to_swarm
"""

CLIPPED = """
def clipped(v, limit):
    return np.minimum(np.maximum(v, -limit), limit)
"""

BOUNCED = """
def bounced(x, v):
    x, v = x + v, v.copy()
    v[(x < 0) | (x > 1)] *= -1
    x[x < 0] *= -1
    x[x > 1] = 2 - x[x > 1]
    return x, v
"""

STEP = """
def step(x, v, p, g, u_own, u_swarm, w, own, swarm, limit):
    new = velocity(x, v, p, g, u_own, u_swarm, w, own, swarm)
    new = clipped(new, limit)
    return bounced(x, new)
"""

OWN_BEST = """
def own_best(p, p_loss, x, loss):
    p, p_loss = p.copy(), p_loss.copy()
    for i in range(len(x)):
        if loss[i] < p_loss[i]:
            p[i] = x[i]
            p_loss[i] = loss[i]
    return p, p_loss
"""

TARGETS = """
def targets(places, losses):
    T, n = losses.shape
    p = []
    for i in range(n):
        t = losses[:, i].argmin()
        p.append(places[t, i])
    t, i = np.unravel_index(losses.argmin(), losses.shape)
    return np.array(p), places[t, i]
"""

FLY = """
def fly(loss, x, uniforms, w, own, swarm, limit):
    v = np.zeros(x.shape)
    losses = np.array([loss(place) for place in x])
    p, p_loss = x.copy(), losses.copy()
    places = [x]
    for u in uniforms:
        target = p
        g = p[np.argmin(p_loss)]
        x, v = step(x, v, target, g, u[0], u[1], w, own, swarm, limit)
        losses = np.array([loss(place) for place in x])
        p, p_loss = own_best(p, p_loss, x, losses)
        places.append(x)
    return np.array(places)
"""

ONE_BY_ONE = """
def fly_one_by_one(loss, x, uniforms, w, own, swarm, limit):
    x = x.copy()
    v = np.zeros(x.shape)
    losses = np.array([loss(place) for place in x])
    p, p_loss = x.copy(), losses.copy()
    places = [x.copy()]
    for u in uniforms:
        g = p[np.argmin(p_loss)]
        for i in range(len(x)):
            g = p[np.argmin(p_loss)]
            x[i], v[i] = step(x[i], v[i], p[i], g, u[0][i], u[1][i], w, own, swarm, limit)
            value = loss(x[i])
            if value < p_loss[i]:
                p[i], p_loss[i] = x[i], value
        places.append(x.copy())
    return np.array(places)
"""

ON_INTEGERS = """
def on_integers(loss, low, high):
    def evaluate(x):
        shares = np.floor(x * (high - low + 1)).astype(int)
        k = np.minimum(low + shares, high)
        return loss(k)
    return evaluate
"""

STABLE = """
def stable(w, own, swarm):
    m = (own + swarm) / 2
    s2 = (own ** 2 + swarm ** 2) / 12
    return bool(abs(w) < 1 and s2 * (1 + w) < m * (2 * (1 + w) - m) * (1 - w))
"""

RIGHT = {
    "velocity": VELOCITY,
    "clipped": CLIPPED,
    "bounced": BOUNCED,
    "step": STEP,
    "own_best": OWN_BEST,
    "targets": TARGETS,
    "fly": FLY,
    "fly_one_by_one": ONE_BY_ONE,
    "on_integers": ON_INTEGERS,
    "stable": STABLE,
}

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("velocity", "(p - x)", "(x - p)", "pushed_by_its_own"),
    ("velocity", "u_swarm *", "u_own *", "same_number"),
    ("velocity", "w * v + to_own + to_swarm", "w * (v + to_own + to_swarm)", "inertia_on_all"),
    ("velocity", "(g - x)", "(p - x)", "both_to_its_own"),
    ("velocity", "return w * v", "v *= w\n    return v", "callers_v"),
    ("clipped", "np.maximum(v, -limit)", "v", "forwards_alone"),
    ("bounced", "    v[(x < 0) | (x > 1)] *= -1\n", "", "flies_on"),
    ("step", "    new = clipped(new, limit)\n", "", "no_limit"),
    ("step", "return bounced(x, new)", "return bounced(x, new)[0], new", "not_turned"),
    ("own_best", "        if loss[i] < p_loss[i]:\n", "        if True:\n", "always"),
    ("own_best", "            p_loss[i] = loss[i]\n", "", "loss_not_renewed"),
    ("own_best", "p.copy(), p_loss.copy()", "p, p_loss", "callers_p"),
    ("targets", "places[t, i])", "places[-1, losses[-1].argmin()])", "iteration_best"),
    ("targets", "t = losses[:, i].argmin()", "t = -1", "current"),
    ("fly", "target = p\n", "target = np.tile(x[losses.argmin()], (len(x), 1))\n",
     "iteration_best"),
    ("fly", "target = p\n", "target = x[losses.argmin()]\n", "iteration_best"),
    ("fly", "g = p[np.argmin(p_loss)]", "g = x[np.argmin(losses)]", "g_of_the_iteration"),
    ("fly", "x, v = step", "x, _ = step", "velocity_not_kept"),
    ("fly", "u[0], u[1]", "u[0], u[0]", "same_number"),
    ("fly", "places = [x]", "places = []", "no_start"),
    ("fly_one_by_one", "            g = p[np.argmin(p_loss)]\n", "", "g_of_the_round"),
    ("fly_one_by_one", "places.append(x.copy())", "places.append(x)", "same_array"),
    ("on_integers", "(high - low + 1)", "(high - low)", "end_left_out"),
    ("on_integers", "return loss(k)",
     "x[:] = (k - low + 0.5) / (high - low + 1)\n        return loss(k)", "rounded_in_the_swarm"),
    ("on_integers", "loss(k)", "k", "integers_returned"),
    ("stable", "s2 * (1 + w) < m * (2 * (1 + w) - m) * (1 - w)", "0 < m < 2 * (1 + w)",
     "order_one"),
    ("stable", "own ** 2 + swarm ** 2", "own + swarm", "not_squared"),
]  # fmt: skip


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_swarm": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, untouched):
    assert misjudged(engine, untouched, RIGHT, EDITS) == []


def test_the_sources_own_loop_is_told_its_slip(engine, untouched):
    """All in one function, in the source's order, with the iteration's best for p."""
    text = """
def fly(loss, x, uniforms, w, own, swarm, limit):
    v, places, lowest = 0 * x, [x], np.inf
    for u_l, u_g in uniforms:
        losses = [loss(row) for row in x]
        p = x[np.argmin(losses)]
        if min(losses) < lowest:
            g, lowest = p, min(losses)
        v = np.clip(w * v + own * u_l * (p - x) + swarm * u_g * (g - x), -limit, limit)
        x = x + v
        v = np.where((x < 0) | (x > 1), -v, v)
        x = np.where(x < 0, -x, np.where(x > 1, 2 - x, x))
        places.append(x)
    return places
"""
    pieces = {name: RIGHT[name] for name in ("velocity", "clipped", "bounced", "step", "own_best")}
    row = graded(engine, untouched, {**pieces, "fly": text})["fly"]
    assert (row.points, row.mistake) == (0, "iteration_best")
    assert "slip of this part's source" in row.message


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("on_integers", "def on_integers(loss, low, high):\n    return low", "return a function"),
        (
            "velocity",
            VELOCITY.replace("u_own *", "np.random.rand() *"),
            "draw none of your own",
        ),
        ("stable", "def stable(w, own, swarm):\n    return 'yes'", "True or False"),
        (
            "velocity",
            "from mlcourse.hpo.pso import PSO\n",
            "only mlcourse.data, mlcourse.plotting and mlcourse.witness",
        ),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {name: text})[name]
    assert row.points == 0
    assert says in row.message
