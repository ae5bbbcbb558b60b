"""`train_a_cnn` through the real grader: models that never leave the worker, and are looked at."""

from __future__ import annotations

import pytest
from real_exercises import graded, misjudged, not_passed

from mlcourse import checks

EXERCISE = checks.load("train_a_cnn")

EVALUATE = """
def evaluate(model, X, y, batch_size):
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    loss, hits = 0.0, 0
    with torch.no_grad():
        for i in range(0, len(X), batch_size):
            labels = y[i : i + batch_size]
            logits = model(X[i : i + batch_size])
            loss += F.cross_entropy(logits, labels).item() * len(labels)
            hits += (logits.argmax(dim=1) == labels).sum().item()
    for module, training in modes:
        module.training = training
    return loss / len(X), hits / len(X)
"""

TRAIN_EPOCH = """
def train_epoch(model, optimizer, X, y, batch_size, generator):
    model.train()
    total = 0.0
    for batch in torch.randperm(len(X), generator=generator).split(batch_size):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(X[batch]), y[batch])
        loss.backward()
        optimizer.step()
        total += loss.item() * len(batch)
    return total / len(X)
"""

BUILD_CNN = """
def build_cnn(classes):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.convs = nn.ModuleList([nn.Conv2d(a, b, 5, padding=p) for a, b, p in
                                        ((3, 32, 2), (32, 64, 0), (64, 64, 0))])
            self.fc4, self.fc5 = nn.Linear(64, 1000), nn.Linear(1000, classes)

        def forward(self, X):
            for conv in self.convs:
                X = F.max_pool2d(F.relu(conv(X)), 2)
            return self.fc5(F.relu(self.fc4(X.flatten(1))))

    return Net()
"""

RIGHT = {"evaluate": EVALUATE, "train_epoch": TRAIN_EPOCH, "build_cnn": BUILD_CNN}

#: What a student changes in a right answer, and the mistake that it should be taken for.
EDITS = [
    ("evaluate", "    model.eval()\n", "", "no_eval"),
    ("evaluate", "model.eval()", "model.training = False", "top_only"),
    ("evaluate", "module.training = training", "pass", "left_in_eval"),
    ("evaluate", "module.training = training", "model.train()", "then_train"),
    ("evaluate", "torch.no_grad()", "torch.enable_grad()", "recorded"),
    (
        "evaluate",
        "batch_size):\n    modes",
        "batch_size):\n    batch_size = len(X)\n    modes",
        "whole_set",
    ),
    ("evaluate", "hits / len(X)", "100 * hits / len(X)", "percent"),
    ("evaluate", "F.cross_entropy(logits,", "F.cross_entropy(logits.softmax(1),", "softmax_twice"),
    (
        "evaluate",
        "    model.eval()\n",
        "    model.eval()\n    X, y = (lambda i: (X[i], y[i]))(torch.randperm(len(X)))\n",
        "shuffled",
    ),
    ("train_epoch", "        optimizer.zero_grad()\n", "", "no_zero_grad"),
    ("train_epoch", "    model.train()\n", "", "mode_as_it_comes"),
    ("train_epoch", "model.train()", "model.eval()", "in_eval"),
    (
        "train_epoch",
        "torch.randperm(len(X), generator=generator)",
        "torch.arange(len(X))",
        "no_shuffle",
    ),
    ("train_epoch", ", generator=generator", "", "global_numbers"),
    ("train_epoch", "* len(batch)\n", "* batch_size\n", "weighted_by_batch_size"),
    ("train_epoch", "        optimizer.step()\n", "", "no_step"),
    (
        "train_epoch",
        "model.train()",
        "model.train(); optimizer = torch.optim.SGD(model.parameters(), lr=0.37)",
        "own_optimizer",
    ),
    ("evaluate", "modes = [", "model.requires_grad_(False)\n    modes = [", "never_to_learn_again"),
    ("build_cnn", "nn.Linear(1000, classes)", "nn.Linear(1000, 100)", "hundred_outputs"),
    ("build_cnn", "F.relu(self.fc4(X.flatten(1)))", "self.fc4(X.flatten(1))", "no_relu_after_fc4"),
    ("build_cnn", ".flatten(1))))", ".flatten(1)))).softmax(1)", "softmax_at_the_end"),
    ("build_cnn", ".flatten(1)", "", "no_flatten"),
    ("build_cnn", ".flatten(1)", ".squeeze()", "squeezed"),
]


def test_the_solution_gets_everything(engine, solved):
    for answers in ({}, RIGHT):
        assert not_passed(graded(engine, solved, answers)) == {"explain_figure": "manual"}


def test_the_untouched_exercise_is_not_attempted(engine, untouched):
    rows = graded(engine, untouched, {})
    assert {row.status for row in rows.values()} == {"not attempted"}


def test_mistakes_are_recognised_in_the_worker(engine, untouched):
    assert misjudged(engine, untouched, RIGHT, EDITS) == []


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("build_cnn", "def build_cnn(classes):\n    return 3", "no nn.Module"),
        ("build_cnn", "def build_cnn(classes):\n    return nn.Sequential", "build_cnn"),
        (
            "evaluate",
            "def evaluate(model, X, y, batch_size):\n    return 0.5",
            "return loss, accuracy",
        ),
        ("evaluate", "def evaluate(model, X, y, batch_size):\n    return 1.0, 0.5", "loss"),
        ("train_epoch", "def train_epoch(*args):\n    return 1.0", "never change"),
    ],
)
def test_what_is_no_answer_is_told_so(engine, untouched, name, text, says):
    row = graded(engine, untouched, {name: text})[name]
    assert row.points == 0
    assert says in row.message


def test_a_spoilt_course_module_gets_no_marks(engine, untouched):
    """The witness lives among the student's code: whoever bends it must still be right."""
    bend = "from mlcourse import witness\nwitness.report = lambda model: {}\n"
    rows = graded(engine, untouched, {"evaluate": bend + EVALUATE, "build_cnn": BUILD_CNN})
    assert rows["evaluate"].points == 0
    assert rows["build_cnn"].status == "passed"
