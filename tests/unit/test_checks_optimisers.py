"""`optimisers`: its references are torch's rules, its numbers are true, slips have their names."""

from __future__ import annotations

import math
import re
from pathlib import Path

import jupytext
import pytest
import torch

from mlcourse.checks import load
from mlcourse.checks.forbidden import tripwires
from mlcourse.checks.judge import Judge
from mlcourse.witness import Bowl

EXERCISE = load("optimisers")
SEED = 20260101
CELLS = jupytext.reads(
    (Path(__file__).parents[2] / "solutions" / "optimisers.py").read_text(encoding="utf-8"),
    fmt="py:percent",
).cells


def value(name: str):
    return EXERCISE[name].reference


def step(name: str, *args):
    return EXERCISE[name].reference(*args)


def says(name: str, answer) -> str | None:
    return Judge(EXERCISE[name], [SEED])(answer).mistake


# --- The references are torch's rules -------------------------------------------------------------

RULES = {
    "momentum_step": lambda p, lr, mu: torch.optim.SGD(p, lr, momentum=mu),
    "adagrad_step": lambda p, lr, eps: torch.optim.Adagrad(p, lr, eps=eps),
    "rmsprop_step": lambda p, lr, alpha, eps: torch.optim.RMSprop(p, lr, alpha, eps),
    "adadelta_step": lambda p, rho, eps: torch.optim.Adadelta(p, 1.0, rho, eps),
    "adam_step": lambda p, lr, b1, b2, eps: torch.optim.Adam(p, lr, (b1, b2), eps),
    "adam_l2_step": lambda p, lr, b1, b2, eps, decay: torch.optim.Adam(
        p, lr, (b1, b2), eps, weight_decay=decay
    ),
    "adamw_step": lambda p, lr, b1, b2, eps, decay: torch.optim.AdamW(
        p, lr, (b1, b2), eps, weight_decay=decay
    ),
}


@pytest.mark.parametrize("name", RULES)
def test_a_reference_is_torchs_rule(name):
    for params, grads, *settings in Judge(EXERCISE[name], [SEED]).cases:
        leaves = {key: p.clone().requires_grad_() for key, p in params.items()}
        optimizer = RULES[name](list(leaves.values()), *settings)
        state: dict = {}
        for g in grads:
            for key, leaf in leaves.items():
                leaf.grad = g[key].clone()
            optimizer.step()
            params, state = step(name, params, g, state, *settings)
            for key, leaf in leaves.items():
                torch.testing.assert_close(params[key], leaf.detach())


def test_gradient_descent_is_torchs_with_weight_decay():
    for params, grads, lr, decay in Judge(EXERCISE["sgd_step"], [SEED]).cases:
        leaves = {key: p.clone().requires_grad_() for key, p in params.items()}
        for key, leaf in leaves.items():
            leaf.grad = grads[key]
        torch.optim.SGD(list(leaves.values()), lr, weight_decay=decay).step()
        for key, new in step("sgd_step", params, grads, lr, decay).items():
            torch.testing.assert_close(new, leaves[key].detach())


def test_nesterovs_points_ahead_are_torchs_parameters():
    """So the text says; torch's start at the same place, as the first velocity is 0."""
    for params, curvatures, centre, steps, lr, mu in Judge(EXERCISE["nesterov_step"], [SEED]).cases:
        gradient, state = Bowl(curvatures, centre), {}
        leaves = {key: p.clone().requires_grad_() for key, p in params.items()}
        optimizer = torch.optim.SGD(list(leaves.values()), lr, momentum=mu, nesterov=True)
        for _ in range(steps):
            for key, slope in gradient({k: leaf.detach() for k, leaf in leaves.items()}).items():
                leaves[key].grad = slope
            optimizer.step()
            params, state = step("nesterov_step", params, gradient, state, lr, mu)
            for key, leaf in leaves.items():
                torch.testing.assert_close(params[key] + mu * state[key], leaf.detach())


def test_the_class_is_torchs_adam():
    judge = Judge(EXERCISE["Adam"], [SEED])
    assert judge(torch.optim.Adam).status == "passed"


# --- What the exercise says is true ---------------------------------------------------------------


def steps_of(name: str, gradient: float, *settings: float, steps: int = 4) -> list[float]:
    """How far each step of a rule goes down under a constant gradient."""
    params, state = {"p": torch.zeros(1, dtype=torch.float64)}, {}
    found = []
    for _ in range(steps):
        before = params["p"]
        grads = {"p": torch.full((1,), gradient, dtype=torch.float64)}
        params, state = step(name, params, grads, state, *settings)
        found.append((before - params["p"]).item())
    return found


def test_the_table_of_steps_is_what_the_rules_give():
    text = next(cell.source for cell in CELLS if "| first |" in cell.source)
    rows = {
        name: [float(number) for number in numbers.split("|")]
        for name, numbers in re.findall(r"\| (first|second|third|fourth) \| (.+) \|", text)
    }
    assert rows == {
        "first": [round(d, 4) for d in steps_of("momentum_step", 4, 0.1, 0.9)],
        "second": [round(d, 4) for d in steps_of("adagrad_step", 4, 0.1, 1e-12)],
        "third": [round(d, 4) for d in steps_of("rmsprop_step", 4, 0.1, 0.9, 1e-12)],
        "fourth": [round(d, 4) for d in steps_of("adam_step", 4, 0.1, 0.9, 0.999, 1e-12)],
    }
    assert EXERCISE["third_row"].choices[value("third_row")] == "RMSProp"
    assert EXERCISE["fourth_row"].choices[value("fourth_row")] == "Adam"


def test_the_numbers_asked_for_are_what_the_rules_give():
    assert steps_of("momentum_step", 1, 0.02, 0.95, steps=1000)[-1] == pytest.approx(
        value("effective_rate")
    )
    assert steps_of("adagrad_step", 2, 0.1, 0, steps=25)[-1] == pytest.approx(value("adagrad_25th"))
    assert steps_of("adadelta_step", 2, 0.9, 0.01, steps=1)[0] == pytest.approx(
        value("adadelta_first")
    )
    change = -steps_of("adam_step", -250, 0.001, 0.9, 0.999, 1e-8, steps=1)[0]
    assert change == pytest.approx(value("adam_first"))
    parameter = torch.zeros(1000, requires_grad=True)
    parameter.grad = torch.ones(1000)
    adam = torch.optim.Adam([parameter])
    adam.step()
    kept = sum(x.nbytes for x in adam.state[parameter].values() if x.numel() > 1)
    assert kept / parameter.nbytes * 100 == value("adam_memory")


def test_a_scaled_loss_scales_the_steps_of_some_rules_alone():
    for name, settings, factor in (
        ("momentum_step", (0.1, 0.9), 100),
        ("adagrad_step", (0.1, 0.0), 1),
        ("rmsprop_step", (0.1, 0.9, 0.0), 1),
        ("adam_step", (0.1, 0.9, 0.999, 0.0), 1),
    ):
        once, scaled = steps_of(name, 0.3, *settings), steps_of(name, 30.0, *settings)
        assert scaled == pytest.approx([factor * d for d in once])


@pytest.mark.parametrize(
    ("name", "settings", "turns"),
    [
        ("momentum_step", (0.1, 0.9), True),
        ("adagrad_step", (0.1, 1e-8), False),
        ("rmsprop_step", (0.1, 0.9, 1e-8), False),
        ("adam_step", (0.1, 0.9, 0.999, 1e-8), False),
    ],
)
def test_turned_axes_turn_the_path_of_some_rules_alone(name, settings, turns):
    g = torch.Generator().manual_seed(0)
    grads = torch.randn(5, 2, generator=g, dtype=torch.float64)
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=torch.float64)
    ends = []
    for matrix in (torch.eye(2, dtype=torch.float64), turn):
        params, state = {"p": matrix @ torch.ones(2, dtype=torch.float64)}, {}
        for row in grads:
            params, state = step(name, params, {"p": matrix @ row}, state, *settings)
        ends.append(matrix.T @ params["p"])
    assert torch.allclose(*ends) == turns


def test_a_cut_rate_cuts_the_next_step_of_torchs_form_alone():
    textbooks = next(v for v in EXERCISE["momentum_step"].variants if "itself" in v.name).answer
    shares = []
    for form in (value("momentum_step"), textbooks):
        params, state = {"p": torch.zeros(1, dtype=torch.float64)}, {}
        g = {"p": torch.ones(1, dtype=torch.float64)}
        for _ in range(20):
            params, state = form(params, g, state, 0.1, 0.9)
        ahead = [form(params, g, state, lr, 0.9)[0]["p"] - params["p"] for lr in (0.01, 0.1)]
        shares.append((ahead[0] / ahead[1]).item())
    assert shares[0] == pytest.approx(0.1)
    assert shares[1] > 0.8


def test_weights_with_small_gradients_decay_more_under_an_l2_penalty_in_adam():
    g = torch.Generator().manual_seed(0)
    signs = torch.randint(2, (2000, 2), generator=g).double() * 2 - 1
    sizes = torch.tensor([10.0, 0.1], dtype=torch.float64)
    left = {}
    for name in ("adam_l2_step", "adamw_step"):
        ends = []
        for decay in (0.0, 0.05):
            params, state = {"p": torch.ones(2, dtype=torch.float64)}, {}
            for row in signs:
                params, state = step(
                    name, params, {"p": row * sizes}, state, 1e-3, 0.9, 0.999, 1e-8, decay
                )
            ends.append(params["p"])
        left[name] = (ends[0] - ends[1]) / ends[0].abs()
    assert left["adam_l2_step"][1] > 10 * left["adam_l2_step"][0]
    assert left["adamw_step"][0] == pytest.approx(left["adamw_step"][1].item(), rel=0.1)


# --- What students write --------------------------------------------------------------------------


def test_answers_written_in_other_ways_are_recognised():
    def moved_by_the_state(params, grads, state, lr, mu):
        for name in params:
            state[name] = mu * state.get(name, 0) + grads[name]
        return {name: p - lr * state[name] for name, p in params.items()}, state

    def tensorflows_adam(params, grads, state, lr, b1, b2, eps):
        t, new, later = state.get("t", 0) + 1, {}, {}
        rate = lr * math.sqrt(1 - b2**t) / (1 - b1**t)
        for name, p in params.items():
            m, v = state.get(name, (0, 0))
            m, v = b1 * m + (1 - b1) * grads[name], b2 * v + (1 - b2) * grads[name] ** 2
            new[name], later[name] = p - rate * m / (v**0.5 + eps), (m, v)
        return new, {"t": t, **later}

    def lost_in_locals(params, grads, state, lr, eps):
        s = {}
        for name in params:
            s[name] = grads[name] ** 2
        return {n: p - lr * grads[n] / (s[n] ** 0.5 + eps) for n, p in params.items()}, s

    assert says("momentum_step", moved_by_the_state) == "state_in_place"
    assert says("adam_step", tensorflows_adam) == "eps_before_correction"
    assert says("adagrad_step", lost_in_locals) == "forgotten"


def test_numbers_of_a_state_may_be_tensors():
    def adam(params, grads, state, lr, b1, b2, eps):
        t, new, later = state.get("t", torch.zeros(())) + 1, {}, {}
        for name, p in params.items():
            m, v = state.get(name, [torch.zeros_like(p)] * 2)
            m, v = b1 * m + (1 - b1) * grads[name], b2 * v + (1 - b2) * grads[name] ** 2
            new[name] = p - lr * m / (1 - b1 ** t.item()) / (
                (v / (1 - b2 ** t.item())) ** 0.5 + eps
            )
            later[name] = [m, v]
        return new, {"t": t, **later}

    assert Judge(EXERCISE["adam_step"], [SEED])(adam).status == "passed"


@pytest.mark.parametrize("name", [q.name for q in EXERCISE.questions if q.forbidden])
def test_every_trap_can_be_set(name):
    judge = Judge(EXERCISE[name], [SEED])
    with tripwires(trap for rule in EXERCISE[name].forbidden for trap in rule.traps):
        assert judge(EXERCISE[name].reference).status == "passed"


#: The slips that the course promises to name.
PROMISED = [
    ("momentum_step", "mean"),
    ("momentum_step", "sign_of_v"),
    ("momentum_step", "forgotten"),
    ("momentum_step", "state_in_place"),
    ("no_mean", "a"),
    ("nesterov_step", "old_point"),
    ("what_adagrad_divides_by", "a"),
    ("adagrad_step", "gradients_summed"),
    ("adagrad_step", "no_root"),
    ("adagrad_step", "eps_inside"),
    ("rmsprop_step", "sum"),
    ("rmsprop_step", "exchanged"),
    ("rmsprop_step", "eps_inside"),
    ("adadelta_step", "eps_outside"),
    ("adadelta_step", "exchanged"),
    ("adadelta_step", "early"),
    ("adadelta_step", "rho_exchanged_in_u"),
    ("adam_step", "no_correction"),
    ("adam_step", "first_not_corrected"),
    ("adam_step", "second_not_corrected"),
    ("adam_step", "t_from_zero"),
    ("adam_step", "eps_inside"),
    ("adam_step", "betas_exchanged"),
    ("adam_step", "weights_exchanged"),
    ("adam_l2_step", "decoupled"),
    ("adamw_step", "coupled"),
    ("adamw_step", "not_scaled"),
    ("which_weight_shrinks", "b"),
    ("Adam", "rate_of_the_start"),
    ("Adam", "rebound"),
]


@pytest.mark.parametrize(("question", "mistake"), PROMISED)
def test_the_promised_mistakes_are_declared(question, mistake):
    assert mistake in [known.name for known in EXERCISE[question].mistakes]


@pytest.mark.parametrize("name", ["momentum_step", "rmsprop_step", "adadelta_step", "adam_step"])
def test_either_place_of_eps_and_form_of_momentum_is_as_promised(name):
    """Inside the root is right for Adadelta alone; both forms of momentum are variants."""
    declared = EXERCISE[name]
    names = {mistake.name for mistake in declared.mistakes}
    assert ("eps_inside" in names) == (name in ("rmsprop_step", "adam_step"))
    assert ("eps_outside" in names) == (name == "adadelta_step")
    if name == "momentum_step":
        assert "the step itself in v" in [variant.name for variant in declared.variants]
