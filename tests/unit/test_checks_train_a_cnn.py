"""`train_a_cnn`: what students write is recognised, and what the exercise says is true."""

from __future__ import annotations

import re
from pathlib import Path

import jupytext
import pytest
import torch
from torch import nn
from torch.nn import functional

from mlcourse import plotting
from mlcourse.checks import load
from mlcourse.checks.judge import Judge
from mlcourse.convnets import course_cnn

EXERCISE = load("train_a_cnn")
CELLS = jupytext.reads(
    (Path(__file__).parents[2] / "solutions" / "train_a_cnn.py").read_text(encoding="utf-8"),
    fmt="py:percent",
).cells

EVALUATE = """
def evaluate(model, X, y, batch_size):
    {before}
    loss, hits = 0.0, 0
    with torch.no_grad():
        for i in range(0, len(X), batch_size):
            labels = y[i : i + batch_size]
            logits = model(X[i : i + batch_size])
            loss += functional.cross_entropy(logits, labels).item() * len(labels)
            hits += (logits.argmax(dim=1) == labels).sum().item()
    {after}
    return loss / len(X), hits / len(X)
"""

EPOCH = """
def train_epoch(model, optimizer, X, y, batch_size, generator):
    model.train()
    total = 0.0
    {first}
    for i in range(0, len(X), batch_size):
        images, labels = X[i : i + batch_size], y[i : i + batch_size]
        {zero}
        loss = functional.cross_entropy(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item() * len(images)
    return total / len(X)
"""
ZERO = "optimizer.zero_grad()"
PERMUTATION = "order = torch.randperm(len(X), generator=generator)"


def judged(name: str, text: str):
    names = {"torch": torch, "nn": nn, "functional": functional}
    exec(text, names)
    return Judge(EXERCISE[name], [3, 4])(names[name])


@pytest.mark.parametrize(
    ("before", "after", "mistake"),
    [
        ("model.eval()", "model.train()", "then_train"),
        ("model.eval()", "", "left_in_eval"),
        ("model.eval", "", "no_eval"),  # not called
        ("was = model.training; model.eval()", "model.train(was)", "mode_of_top"),
        ("was = model.training; model.training = False", "model.training = was", "top_only"),
        ("for m in model.children(): m.eval()", "model.train()", None),
    ],
)
def test_modes_that_students_forget(before: str, after: str, mistake: str | None):
    verdict = judged("evaluate", EVALUATE.format(before=before, after=after))
    assert verdict.status == "failed"
    assert mistake is None or verdict.mistake == mistake


def test_several_mistakes_at_once_are_told_one_by_one():
    naive = """
def evaluate(model, X, y, batch_size):
    losses, accuracies = [], []
    for i in range(0, len(X), batch_size):
        logits = model(X[i : i + batch_size])
        losses.append(functional.cross_entropy(logits, y[i : i + batch_size]).item())
        accuracies.append((logits.argmax(1) == y[i : i + batch_size]).float().mean().item())
    return sum(losses) / len(losses), sum(accuracies) / len(accuracies)
"""
    assert judged("evaluate", naive).mistake == "no_eval"
    better = naive.replace("    losses, acc", "    model.eval()\n    losses, acc", 1)
    assert judged("evaluate", better).mistake == "means_of_batches"


@pytest.mark.parametrize(
    ("first", "zero", "mistake"),
    [
        (f"{PERMUTATION}; X, y = X[order], y[order]", ZERO, ""),
        (f"{PERMUTATION}; X = X[order]", ZERO, "labels_not_shuffled"),
        (f"{PERMUTATION}; X, y = X[order], y[order]; {ZERO}", "pass", "no_zero_grad"),
        ("order = torch.randperm(len(X)); X, y = X[order], y[order]", ZERO, "global_numbers"),
        ("", ZERO, "no_shuffle"),
    ],
)
def test_epochs_that_students_write(first: str, zero: str, mistake: str):
    verdict = judged("train_epoch", EPOCH.format(first=first, zero=zero))
    assert (verdict.mistake or "") == mistake
    assert verdict.status == ("failed" if mistake else "passed")


def test_the_constant_that_everybody_knows_is_recognised():
    for constant in ("2.3", "2.303", "2.3026"):
        verdict = judged("first_loss", f"def first_loss(classes):\n    return {constant}")
        assert verdict.status == "failed"
        assert constant == "2.3" or verdict.mistake == "ten_classes"


def test_the_table_of_the_text_is_the_networks():
    counts = {}
    for name, parameter in course_cnn().named_parameters():
        layer = name.partition(".")[0]
        counts[layer] = counts.get(layer, 0) + parameter.numel()
    text = next(cell.source for cell in CELLS if "| conv1 |" in cell.source)
    for layer, count in counts.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| {layer} |"))
        assert row.split("|")[-2].strip() == f"{count:,}"
    assert f"{sum(counts.values()):,} parameters" in text


def test_the_numbers_asked_for_are_torchs():
    labels = torch.arange(10)
    for name, outputs in (("hundred_outputs", 100), ("guessing", 10)):
        loss = functional.cross_entropy(torch.zeros(10, outputs, dtype=torch.float64), labels)
        expected = EXERCISE[name].reference
        assert loss.item() == pytest.approx(
            expected if name == "hundred_outputs" else -torch.tensor(expected).log().item()
        )
    assert EXERCISE["first_updates"].reference == len(torch.arange(50_000).split(128))
    assert EXERCISE["first_loss"].reference(7) == pytest.approx(torch.tensor(7.0).log().item())


@pytest.fixture(scope="module")
def runs():
    source = next(cell.source for cell in CELLS if "runs = {" in cell.source)
    names: dict = {"torch": torch, "plotting": plotting}
    exec(source.partition("fig, axes")[0], names)
    return {name: torch.stack(losses) for name, losses in names["runs"].items()}


def test_the_drawn_runs_are_what_the_answers_say(runs):
    assert {name: EXERCISE[f"run_{name}"].reference for name in runs} == {
        "A": "d",
        "B": "c",
        "C": "e",
        "D": "a",
        "E": "b",
    }
    training, test = runs["A"]  # overfits: one goes on falling, the other turns
    assert (training.diff() < 0).all()
    assert test[-1] > 1.5 * test.min()
    assert runs["B"].min() > 2  # too slow: close to log 10 and still falling
    assert (runs["B"].diff() < 0).all()
    thirds = runs["C"].reshape(2, 3, 10).mean(2)  # healthy: down, then level, close together
    assert (thirds[:, 0] > 1.2 * thirds[:, 2]).all()
    assert (runs["C"][1] - runs["C"][0]).abs().max() < 0.25
    assert runs["D"].isnan().any()  # diverges, in training too
    assert runs["D"][0, 15] > 3 * runs["D"][0, 0]
    late = runs["E"].reshape(2, 3, 10)[:, 1:]  # noisy about a level
    assert (late.mean(2).diff(dim=1).abs() < 0.15 * late.mean(2)[:, :1]).all()
    assert (late.amax(2) > 1.4 * late.amin(2)).all()
    assert not runs["E"].isnan().any()


def test_the_text_of_the_report_names_seven_products_and_one_more():
    text = next(cell.source for cell in CELLS if "| what the report found |" in cell.source)
    found = re.findall(r"^\| ([\d.]+) \| (\d+) \|", text, flags=re.M)
    products = {(rate, size) for rate in ("0.1", "0.5", "1", "2") for size in ("128", "512")}
    assert products - set(found) == {("0.1", "512")}
    assert set(found) - products == {("0.1", "300")}
    question = EXERCISE["missing_setting"]
    assert question.choices is not None
    assert question.choices[question.reference] == "Rate 0.1 with batch size 512"
