"""The teacher is what its docstring says, waves are waves, and their experiment runs."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mlcourse.complexity_tasks import teacher_data, waves

SCRIPT = Path(__file__).resolve().parents[2] / "book" / "experiments" / "complexity.py"


@pytest.mark.parametrize("seed", range(3))
def test_a_teacher_of_one_unit_is_a_tanh_of_known_slope(seed):
    X, y, X_test, f_test = teacher_data(1, 60, 40, noise=0.0, seed=seed, dtype=torch.float64)
    assert (X.shape, y.shape, X_test.shape, f_test.shape) == ((60, 2), (60, 1), (40, 2), (40, 1))
    assert X.abs().max() <= 1
    slope = torch.linalg.lstsq(X, y - y.mean()).solution[:, 0]
    w, b = 3 * slope / slope.norm(), torch.zeros(1).double()
    params = [w.requires_grad_(), b.requires_grad_(), torch.ones(1).double().requires_grad_()]
    optimizer = torch.optim.LBFGS(params, max_iter=200, line_search_fn="strong_wolfe",
                                  tolerance_change=0, tolerance_grad=1e-14)  # fmt: skip

    def answers(X):
        return params[2] * torch.tanh(X @ params[0] + params[1])

    def closure():
        optimizer.zero_grad()
        loss = (answers(X) - y[:, 0]).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    torch.testing.assert_close(answers(X_test), f_test[:, 0], rtol=1e-5, atol=1e-5)
    assert abs(float(params[0].detach().norm()) - 3) < 1e-4
    assert params[1].abs() <= 1
    assert 0.5 <= params[2].abs() <= 1.5


def test_a_teacher_s_answers_have_noise_of_the_right_size_and_the_tests_none():
    clean = teacher_data(4, 5000, noise=0.0, seed=3, dtype=torch.float64)
    noisy = teacher_data(4, 5000, noise=0.2, seed=3, dtype=torch.float64)
    assert torch.equal(clean.X_train, noisy.X_train)
    assert torch.equal(clean.f_test, noisy.f_test)
    added = noisy.y_train - clean.y_train
    assert abs(float(added.std()) - 0.2) < 5 * 0.2 / math.sqrt(2 * 5000)
    assert abs(float(added.mean())) < 5 * 0.2 / math.sqrt(5000)


def test_the_seed_says_which_teacher_in_every_dtype():
    one, same, other = (teacher_data(2, 5, seed=seed) for seed in (0, 0, 1))
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one.y_train, other.y_train)
    double = teacher_data(2, 5, seed=0, dtype=torch.float64)
    assert double.y_train.dtype == torch.float64
    torch.testing.assert_close(double.y_train.float(), one.y_train)


def test_waves_are_sines_then_cosines():
    x = torch.linspace(0, 1, 7, dtype=torch.float64)
    got = waves(x, [1.0, 2.5])
    for i, expected in enumerate([x.sin(), (2.5 * x).sin(), x.cos(), (2.5 * x).cos()]):
        torch.testing.assert_close(got[:, i], expected)
    assert got.shape == (7, 4)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: teacher_data(0, 5), "units is 0, n_train 5 and n_test 1000: give 1 or more"),
        (lambda: teacher_data(1, 0), "units is 1, n_train 0"),
        (lambda: teacher_data(1, 1, noise=-1.0), "noise is -1.0: give a standard deviation"),
        (lambda: teacher_data(1, 1, noise=math.nan), "noise is nan"),
    ],
)
def test_bad_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()


@pytest.mark.slow
def test_a_rehearsal_of_the_experiment(tmp_path):
    out = tmp_path / "complexity.json"
    command = [sys.executable, str(SCRIPT), "--quick", "--out", str(out)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    record = json.loads(out.read_text(encoding="utf-8"))
    assert [run["task"] for run in record["runs"]] == ["teacher", "waves", "digits"]
    teacher, wave, _ = record["runs"]
    assert teacher["size"] == sum(kl >= record["setting"]["threshold"] for kl in teacher["kl"])
    assert abs(teacher["error"] + teacher["complexity"] - teacher["free_energy"]) < 0.1
    assert wave["true_terms"] == ["sin 4", "cos 9"]
    before = out.read_bytes()
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "3 runs done, 0 to do" in again.stdout
    assert out.read_bytes() == before
