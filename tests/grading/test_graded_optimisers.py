"""`optimisers` through the real grader: states that go and come back, a class that stays there."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("optimisers")

MOMENTUM = """
def momentum_step(params, grads, state, lr, mu):
    new, v = {}, {}
    for name in params:
        old = state[name] if name in state else torch.zeros_like(params[name])
        v[name] = mu * old + grads[name]
        new[name] = params[name] - lr * v[name]
    return new, v
"""

NESTEROV = """
def nesterov_step(params, gradient, state, lr, mu):
    if not state:
        state = {name: torch.zeros_like(p) for name, p in params.items()}
    point = {name: p + mu * state[name] for name, p in params.items()}
    g = gradient(point)
    state = {name: mu * state[name] - lr * g[name] for name in params}
    return {name: p + state[name] for name, p in params.items()}, state
"""

ADADELTA = """
def adadelta_step(params, grads, state, rho, eps):
    new, s, u = {}, {}, {}
    old_s, old_u = state.get("s", {}), state.get("u", {})
    for name, g in grads.items():
        s[name] = rho * old_s.get(name, 0) + (1 - rho) * g**2
        above = old_u.get(name, torch.zeros_like(g))
        d = torch.sqrt(above + eps) / torch.sqrt(s[name] + eps) * g
        u[name] = rho * above + (1 - rho) * d**2
        new[name] = params[name] - d
    return new, {"s": s, "u": u}
"""

ADAM = """
def adam_step(params, grads, state, lr, beta1, beta2, eps):
    t = state.get("t", 0) + 1
    m, v = dict(state.get("m", {})), dict(state.get("v", {}))
    new = {}
    for name, g in grads.items():
        m[name] = beta1 * m.get(name, 0) + (1 - beta1) * g
        v[name] = beta2 * v.get(name, 0) + (1 - beta2) * g**2
        m_hat = m[name] / (1 - beta1**t)
        v_hat = v[name] / (1 - beta2**t)
        new[name] = params[name] - lr * m_hat / (torch.sqrt(v_hat) + eps)
    return new, {"t": t, "m": m, "v": v}
"""

ADAMW = """
def adamw_step(params, grads, state, lr, beta1, beta2, eps, decay):
    new, later = adam_step(params, grads, state, lr, beta1, beta2, eps)
    for name, p in params.items():
        new[name] = new[name] - lr * decay * p
    return new, later
"""

CLASS = """
class Adam(torch.optim.Optimizer):
    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps))

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            b1, b2 = group["betas"]
            for p in group["params"]:
                if p.grad is None:
                    continue
                s = self.state[p]
                if not s:
                    s["t"], s["m"], s["v"] = 0, torch.zeros_like(p), torch.zeros_like(p)
                s["t"] += 1
                s["m"] = b1 * s["m"] + (1 - b1) * p.grad
                s["v"] = b2 * s["v"] + (1 - b2) * p.grad**2
                root = (s["v"] / (1 - b2 ** s["t"])).sqrt() + group["eps"]
                p.sub_(group["lr"] * s["m"] / (1 - b1 ** s["t"]) / root)
"""

RIGHT = {
    "momentum_step": MOMENTUM,
    "nesterov_step": NESTEROV,
    "adadelta_step": ADADELTA,
    "adam_step": ADAM,
    "adamw_step": ADAMW,
    "Adam": CLASS,
}

ONE = "one_tensor_at_a_time"
SUPER = "super().__init__(params)"

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("momentum_step", "+ grads[name]", "+ (1 - mu) * grads[name]", "mean"),
    ("momentum_step", "return new, v", "return new, {}", "forgotten"),
    ("momentum_step", "mu * old +", "-mu * old +", "sign_of_v"),
    ("momentum_step", "new, v = {}, {}", "new, v = {}, state", "state_in_place"),
    ("momentum_step", "new, v = {}, {}", "new, v = params, {}", "params_in_place"),
    ("nesterov_step", "gradient(point)", "gradient(params)", "old_point"),
    ("nesterov_step", "{name: p + state", "{name: point[name] + state", "from_ahead"),
    ("nesterov_step", "p + mu *", "p - mu *", "behind"),
    (
        "adadelta_step",
        "torch.sqrt(above + eps) / torch.sqrt(s[name] + eps)",
        "(torch.sqrt(above) + eps) / (torch.sqrt(s[name]) + eps)",
        "eps_outside",
    ),
    (
        "adadelta_step",
        "torch.sqrt(above + eps) / torch.sqrt(s[name] + eps)",
        "torch.sqrt(s[name] + eps) / torch.sqrt(above + eps)",
        "exchanged",
    ),
    ("adadelta_step", "* d**2", "* g**2", "gradients_in_u"),
    ("adam_step", "/ (1 - beta1**t)", "", "first_not_corrected"),
    ("adam_step", "/ (1 - beta2**t)", "", "second_not_corrected"),
    ("adam_step", 'state.get("t", 0) + 1', 'state.get("t", 0) + 0', "t_from_zero"),
    ("adam_step", '"t": t,', '"t": t - 1,', "t_stuck"),
    ("adam_step", "(torch.sqrt(v_hat) + eps)", "torch.sqrt(v_hat + eps)", "eps_inside"),
    ("adam_step", "        m[name]", "        t += 1\n        m[name]", "t_too_large"),
    ("adam_step", "g**2", "g", "not_squared"),
    (
        "adam_step",
        'm, v = dict(state.get("m", {})), dict',
        'm, v = state.get("m", {}), dict',
        "state_in_place",
    ),
    ("adamw_step", "- lr * decay * p", "- decay * p", "not_scaled"),
    ("adamw_step", "decay * p\n", "decay * new[name]\n", "then_shrunk"),
    ("Adam", 'group["lr"]', 'self.defaults["lr"]', "rate_of_the_start"),
    ("Adam", "p.sub_(group", "p = p - (group", "rebound"),
    ("Adam", "    @torch.no_grad()\n", "", "recorded"),
    ("Adam", "continue", "return", "stops_at_none"),
    ("Adam", "continue", "p.grad = torch.zeros_like(p)", "none_as_zero"),
    ("Adam", "self.state[p]", 'self.state["all"]', "one_state"),
    (
        "momentum_step",
        "state[name] if name in state else torch.zeros_like(params[name])",
        "state[name]",
        "name_looked_up",
    ),
    ("adam_step", 'state.get("t", 0)', 'state["t"]', "t_looked_up"),
    ("nesterov_step", "gradient(point)", "{n: gradient(p) for n, p in point.items()}", ONE),
    ("nesterov_step", "gradient(point)", "{n: gradient({n: point[n]})[n] for n in point}", ONE),
    ("Adam", "super().__init__(params, dict(lr=lr, betas=betas, eps=eps))", "pass", "no_super"),
    ("Adam", "super().__init__(params, dict(lr=lr, betas=betas, eps=eps))", SUPER, "no_defaults"),
    ("Adam", "dict(lr=lr, betas=betas, eps=eps)", "{}", "no_settings"),
    ("Adam", "/ (1 - b1 **", "/ (1 - 0 *", "first_not_corrected"),
]


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_race": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, untouched):
    assert misjudged(engine, untouched, RIGHT, EDITS) == []


def test_what_is_kept_outside_the_state_is_found(engine, untouched):
    text = "kept = {}\n" + MOMENTUM.replace("state[name]", "kept[name]").replace(
        "name in state", "name in kept"
    ).replace("return new, v", "kept.update(v)\n    return new, {}")
    row = graded(engine, untouched, {"momentum_step": text})["momentum_step"]
    assert row.points == 0
    assert row.message.startswith("a new run with an empty state is 'another path'")


def test_the_course_and_torch_are_no_answers(engine, untouched):
    course = "from mlcourse import optim\nclass Adam(optim.Adam):\n    pass\n"
    assert graded(engine, untouched, {"Adam": course})["Adam"].status == "forbidden"
    theirs = "class Adam(torch.optim.Adam):\n    pass\n"
    assert graded(engine, untouched, {"Adam": theirs})["Adam"].status == "forbidden"
    hidden = "class Adam(getattr(torch.optim, 'Adam')):\n    pass\n"
    assert graded(engine, untouched, {"Adam": hidden})["Adam"].status == "forbidden"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "momentum_step",
            MOMENTUM.replace("return new, v", "return new"),
            "two things, (params, state)",
        ),
        (
            "momentum_step",
            MOMENTUM.replace("return new, v", "return v, 0"),
            "the new state, a dict",
        ),
        (
            "adam_step",
            ADAM.replace("return new,", "return list(new),"),
            "a dict with the keys",
        ),
        ("Adam", "class Adam:\n    def __init__(self, params, *rest):\n        pass", "derive"),
        ("Adam", "def Adam(params, lr, betas, eps):\n    return 3", "param_groups"),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {name: text})[name]
    assert row.points == 0
    assert says in row.message
