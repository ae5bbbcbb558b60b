"""What a student sees: `check` and `hint`."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

import mlcourse
from mlcourse import check, hint, mlp
from mlcourse.checks import load, notebook
from mlcourse.checks.forbidden import tripwires
from mlcourse.checks.judge import ForbiddenUse
from mlcourse.checks.notebook import CheckFailed

BACKWARD = """
def backward(params, outputs, Y):
    delta_y = (outputs["yhat"] - Y) / len(Y)
    delta_h = (delta_y @ params["Wy"]) * (1 - outputs["h"] ** 2)
    return {"Wh": delta_h.T @ outputs["X"], "bh": delta_h.sum(0),
            "Wy": delta_y.T @ outputs["h"], "by": delta_y.sum(0)}
"""

REST = """
import torch

def forward(params, X):
    htilde = X @ params["Wh"].T + params["bh"]
    h = torch.tanh(htilde)
    ytilde = h @ params["Wy"].T + params["by"]
    yhat = torch.softmax(ytilde, dim=1)
    return yhat, {"X": X, "htilde": htilde, "h": h, "ytilde": ytilde, "yhat": yhat}

def loss_accuracy(yhat, Y):
    loss = -(Y * torch.log(yhat.clamp(min=1e-30))).sum(1).mean()
    return loss, (yhat.argmax(1) == Y.argmax(1)).double().mean()

def sgd(params, grads, eta):
    return {k: params[k] - eta * grads[k] for k in params}

def train(params, X, Y, eta, epochs, batch_size, generator):
    losses = []
    for _ in range(epochs):
        total = 0
        for batch in torch.randperm(len(X), generator=generator).split(batch_size):
            yhat, outputs = forward(params, X[batch])
            total += float(loss_accuracy(yhat, Y[batch])[0]) * len(batch)
            params = sgd(params, backward(params, outputs, Y[batch]), eta)
        losses.append(total / len(X))
    return params, losses
"""


def student(*sources: str) -> dict:
    names: dict = {"__name__": "__main__"}
    for source in sources:
        exec(source, names)
    return names


@pytest.fixture(autouse=True)
def _fresh():
    torch.manual_seed(0)
    notebook.shown.clear()


def failure(name, answer) -> CheckFailed:
    with pytest.raises(CheckFailed) as caught:
        check(name, answer)
    assert "\n" not in str(caught.value)
    return caught.value


def test_a_right_answer_is_told_so_and_nothing_goes_to_stderr(capsys):
    assert check("by_hand.backward", student(BACKWARD)["backward"]) is None
    printed = capsys.readouterr()
    assert "by_hand.backward" in printed.out
    assert "These checks passed; grading uses other inputs." in printed.out
    assert printed.err == ""


def test_a_wrong_answer_is_told_why_in_one_line(capsys):
    wrong = student(BACKWARD.replace(" / len(Y)", ""))["backward"]
    error = failure("by_hand.backward", wrong)
    assert "N times" in str(error)
    (line,) = error._render_traceback_()
    assert "N times" in line
    assert 'hint("by_hand.backward")' in line
    assert capsys.readouterr() == ("", "")


def test_not_attempted_is_not_wrong():
    def backward(params, outputs, Y):
        raise NotImplementedError()  # your code here

    error = failure("by_hand.backward", backward)
    assert error.status == "not attempted"
    assert "✗" not in error._render_traceback_()[0]
    assert failure("by_hand.first_loss", ...).status == "not attempted"


def test_a_stub_is_not_attempted_whatever_it_would_need():
    def train(params, X, Y, eta, epochs, batch_size, generator):
        """Return (params, losses)."""
        raise NotImplementedError()  # your code here

    error = failure("by_hand.train", train)
    assert error.status == "not attempted"
    assert "train is not written yet" in str(error)


def test_values_and_choices():
    check("by_hand.first_loss", 2.3026)
    check("by_hand.splits", "B")
    assert "decimal" in str(failure("by_hand.first_loss", 1.0))
    assert "optimistic" in str(failure("by_hand.splits", "c"))


def test_free_text_is_for_a_person(capsys):
    check("by_hand.explain_boundary", "because")
    assert "person" in capsys.readouterr().out


def test_the_loop_needs_the_other_functions():
    names = student(BACKWARD, REST)
    check("by_hand.train", names["train"])
    wrong = student(BACKWARD.replace("** 2", ""), REST)
    error = failure("by_hand.train", wrong["train"])
    assert error.status == "ungraded"
    assert "needs backward" in str(error)
    assert "1 - h^2" in str(error)
    assert "needs forward" in str(failure("by_hand.train", lambda *args: None))


def autograd_in_source(params, outputs, Y):
    leaves = {key: value.clone().requires_grad_() for key, value in params.items()}
    mlp.loss_accuracy(mlp.forward(leaves, outputs["X"])[0], Y)[0].backward()
    return {key: value.grad for key, value in leaves.items()}


def test_autograd_is_forbidden_where_gradients_are_by_hand():
    error = failure("by_hand.backward", autograd_in_source)
    assert error.status == "forbidden"
    assert "by hand" in str(error)
    hidden = failure("by_hand.backward", lambda *args: autograd_in_source(*args))
    assert hidden.status == "forbidden"
    assert torch.ones(1, requires_grad=True).sum().backward() is None


def test_the_courses_own_function_is_no_answer():
    assert failure("by_hand.backward", mlp.backward).status == "forbidden"


def test_tripwires_are_taken_away_again():
    before = torch.Tensor.requires_grad_
    with tripwires(["torch.Tensor.requires_grad_", "torch.autograd.grad"]):
        with pytest.raises(ForbiddenUse):
            torch.ones(1).requires_grad_()
        with pytest.raises(ForbiddenUse):
            torch.autograd.grad(1, 2)
    assert torch.Tensor.requires_grad_ is before
    assert "requires_grad_" not in vars(torch.Tensor)
    assert torch.ones(1).requires_grad_().requires_grad


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("by_hand.bakward", "by_hand.backward"),
        ("backward", "by_hand.backward"),
        ("by_hand", "by_hand."),
        ("pso", "did you mean pso."),
        ("", "by_hand."),
        ("x" * 500, "by_hand."),
        (3, "by_hand.backward"),
        (None, "by_hand.backward"),
    ],
)
def test_a_wrong_name_gets_the_closest_ones(name, near):
    for call in (lambda: check(name, 1), lambda: hint(name)):
        with pytest.raises(CheckFailed) as caught:
            call()
        assert near in str(caught.value)
        assert "\n" not in str(caught.value)
        assert len(caught.value._render_traceback_()) == 1


def test_hints_come_one_by_one(capsys):
    hints = load("by_hand")["backward"].hints
    for count in range(1, len(hints) + 1):
        hint("by_hand.backward")
        printed = capsys.readouterr()
        assert printed.err == ""
        assert [text in printed.out for text in hints] == [i < count for i in range(len(hints))]
    hint("by_hand.backward")
    assert "last one" in capsys.readouterr().out


def test_a_question_without_hints_says_so(capsys):
    hint("by_hand.explain_boundary")
    assert "no hint" in capsys.readouterr().out


def test_warnings_of_an_answer_do_not_reach_stderr(capsys):
    import warnings

    right = student(BACKWARD)["backward"]

    def backward(params, outputs, Y):
        warnings.warn("careful", stacklevel=1)
        return right(params, outputs, Y)

    check("by_hand.backward", backward)
    assert capsys.readouterr().err == ""


def test_a_box_escapes_what_it_shows():
    box = notebook.Box("✓", "<b>", ["a < b & <script>"], notebook.GREEN)
    assert "<script>" not in box._repr_html_()
    assert "&lt;script&gt;" in box._repr_html_()
    assert "a < b & <script>" in repr(box)


def test_the_package_is_lazy_and_knows_its_version():
    code = "import sys, mlcourse; assert 'torch' not in sys.modules; print(mlcourse.__version__)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.strip() == mlcourse.__version__
    with pytest.raises(AttributeError, match="nothing"):
        _ = mlcourse.nothing


@pytest.mark.slow
def test_in_a_real_kernel_a_pass_is_a_box_and_a_failure_one_line():
    nbformat = pytest.importorskip("nbformat")
    nbclient = pytest.importorskip("nbclient")
    cells = [
        "from mlcourse import check, hint\nfrom warnings import warn",
        'check("by_hand.splits", "b")',
        'check("by_hand.splits", "c")',
        'hint("by_hand.splits")',
        'check("by_hand.first_loss", ...)',
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(book, timeout=120, allow_errors=True, kernel_name="python3").execute()
    assert book.cells[0].outputs == []
    (passed,), (failed,), (hinted,), (waiting,) = (cell.outputs for cell in book.cells[1:])
    assert passed.output_type == hinted.output_type == "display_data"
    assert set(passed.data) == {"text/plain", "text/html"}
    assert (failed.output_type, failed.ename) == ("error", "CheckFailed")
    assert len(failed.traceback) == 1
    assert "optimistic" in failed.traceback[0]
    assert "not answered yet" in waiting.evalue
