"""Each rule of the diagnosis on curves drawn by hand, and the runs that have a fault built in."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mlcourse import curve_tasks, faulty_runs
from mlcourse.curves import COLUMNS, MEANINGS, NAMES, diagnose, features
from mlcourse.faulty_runs import faulty_run
from mlcourse.training import History

LOG_2, LOG_10 = math.log(2), math.log(10)
EPOCHS = 24


def decay(start: float, end: float, rate: float = 0.5, epochs: int = EPOCHS) -> list[float]:
    return [end + (start - end) * math.exp(-rate * epoch) for epoch in range(epochs)]


def accuracies(*end: float, n: int = 400, epochs: int = EPOCHS) -> list[float]:
    """From chance to the last values, as counts of n examples."""
    rising = decay(0.1, end[0], epochs=epochs - len(end))
    return [round(a * n) / n for a in [*rising, *end]]


def curves(**columns: list[float]) -> History:
    """A healthy history of ten classes, some of its columns replaced."""
    usual = {
        "train_loss": decay(2.3, 0.10),
        "train_accuracy": accuracies(0.97, n=1000),
        "validation_loss": decay(2.2, 0.15),
        "validation_accuracy": accuracies(0.955),
    }
    return History(usual | columns)


def zigzag(values: list[float], height: float) -> list[float]:
    return [v + height * (-1) ** i for i, v in enumerate(values)]


# One history for each rule, and the sentences exactly


CASES = {
    "healthy": (
        curves(),
        1.0,
        "Training ends at 97.0 % accuracy, near the ceiling of 100.0 %, and validation at 95.5 %. "
        "The validation loss, 0.15, is near its lowest, 0.15.",
    ),
    "underfitting": (
        curves(
            train_loss=decay(2.3, 1.0),
            train_accuracy=accuracies(0.7, n=1000),
            validation_loss=decay(2.3, 1.05),
            validation_accuracy=accuracies(0.69),
        ),
        0.9,
        "The training accuracy has levelled off at 70.0 %, 20.0 points below the ceiling of "
        "90.0 %. Validation is no worse by more than that: 69.0 %.",
    ),
    "overfitting": (
        curves(
            train_loss=decay(2.3, 0.01),
            train_accuracy=accuracies(1.0, n=1000),
            validation_loss=[*decay(2.2, 0.6, epochs=12), *(0.65 + 0.1 * i for i in range(12))],
            validation_accuracy=accuracies(0.8),
        ),
        1.0,
        "The training loss is 0.0101 at the end while the validation loss rose from 0.612 (around "
        "epoch 11) to 1.5. Accuracy: 100.0 % in training, 80.0 % in validation.",
    ),
    "learning rate too high": (
        curves(train_loss=[*decay(2.3, 0.3, epochs=12), *(0.3 + 0.05 * i for i in range(12))]),
        1.0,
        "The training loss itself rose, to 0.725 at the end, by 0.49 from its lowest: no step that "
        "is short enough does that.",
    ),
    "learning rate too low": (
        curves(
            train_loss=[2.3 - 0.02 * i for i in range(EPOCHS)],
            train_accuracy=accuracies(0.4, n=1000),
            validation_loss=[2.3 - 0.02 * i for i in range(EPOCHS)],
            validation_accuracy=accuracies(0.4),
        ),
        1.0,
        "The training loss, 1.89, still falls at the end, without noise: the last third of the "
        "epochs brought 34.8 % of its fall. Training accuracy is 40.0 %, 60.0 points below the "
        "ceiling.",
    ),
    "unrepresentative training data": (
        curves(validation_loss=decay(2.2, 0.7), validation_accuracy=accuracies(0.8)),
        1.0,
        "The validation accuracy stays 17.0 points below training's (80.0 % against 97.0 %). Its "
        "loss, 0.7, has not risen much from its lowest, 0.7: training longer is not what harms.",
    ),
    "unrepresentative validation data": (
        curves(
            train_loss=decay(2.3, 0.6),
            train_accuracy=accuracies(0.85, n=1000),
            validation_loss=decay(2.2, 0.2),
            validation_accuracy=accuracies(0.96),
        ),
        0.86,
        "Validation is better than training: 96.0 % against 85.0 % accuracy, loss 0.2 against "
        "0.6. Fresh examples like the training set's cannot be easier than it.",
    ),
    "leakage": (
        curves(),
        0.8,
        "No model can pass 80.0 % on fresh examples, and validation has 95.5 %, training 97.0 %. "
        "So the validation labels are known from the training set or from the inputs.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_name_has_its_curves_and_its_evidence(name):
    history, ceiling, evidence = CASES[name]
    found = diagnose(history, 10, ceiling)
    assert (found.name, found.evidence) == (name, evidence)
    assert found.features == features(history, 10, ceiling)
    assert found.definition == MEANINGS[name].definition
    assert found.remedy == MEANINGS[name].remedy


def test_there_are_eight_names_each_with_one_sentence_of_meaning_and_one_of_remedy():
    assert set(CASES) == set(NAMES)
    sentences = [text for m in MEANINGS.values() for text in (m.definition, m.remedy)]
    assert len(set(sentences)) == 16
    assert all(text.endswith(".") and text.count(". ") == 0 for text in sentences)


def test_a_small_validation_set_shows_in_the_steps_of_its_accuracy():
    found = diagnose(curves(validation_accuracy=accuracies(0.8, 0.84, 0.88, n=25)), 10)
    assert found.name == "unrepresentative validation data"
    assert found.evidence.startswith(
        "The validation accuracy moves in steps of 1/25: the set has 25 examples. The standard "
        "error of an accuracy on it is up to 10.0 points, so the gap of "
    )
    assert found.also == ("unrepresentative training data",)


@pytest.mark.parametrize(
    ("values", "examples"),
    [
        ([0.5, 0.75, 0.25], 4),
        ([k / 37 for k in (3, 20, 31)], 37),
        ([round(k / 360, 6) for k in (37, 251, 343, 359)], 360),
        ([0.9] * 5, None),  # one value says nothing
        ([math.sqrt(0.5), math.sqrt(0.3)], None),
    ],
)
def test_the_size_of_the_validation_set_is_read_off_its_accuracy(values, examples):
    column = [*values, *[values[-1]] * (EPOCHS - len(values))]
    f = features(curves(validation_accuracy=column), 10)
    assert f.examples == examples
    error = math.sqrt(0.8 * 0.2 / examples) if examples else 0.0
    assert f.standard_error(0.8) == pytest.approx(error)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("column", ["train_loss", "validation_loss"])
@pytest.mark.parametrize("epochs", [1, 2, 12])
def test_a_loss_that_is_not_finite_is_a_rate_too_high(bad, column, epochs):
    history = {name: values[:epochs] for name, values in curves().items()}
    history[column] = [*history[column][:-1], bad]
    found = diagnose(history, 10)
    assert found.name == "learning rate too high"
    assert found.evidence == f"A loss is not finite within {epochs} epochs: training diverged."
    assert not found.features.finite


@pytest.mark.parametrize(
    ("columns", "evidence"),
    [
        (
            {"train_loss": [7.25, *decay(2.3, 0.1)[1:]]},
            "The training loss reached 7.25; a model that knows nothing has 2.3.",
        ),
        (
            {"validation_loss": zigzag(decay(2.2, 0.3), 0.15)},
            "From epoch to epoch a loss jumps by 56.0 % of its height, long after the start; "
            "training ends near 0.1.",
        ),
    ],
)
def test_other_signs_of_a_rate_too_high(columns, evidence):
    found = diagnose(curves(**columns), 10)
    assert (found.name, found.evidence) == ("learning rate too high", evidence)


def test_jumps_of_a_loss_that_is_nearly_zero_say_nothing():
    tiny = zigzag([0.003] * EPOCHS, 0.002)
    assert diagnose(curves(train_loss=tiny, validation_loss=tiny), 10).name == "healthy"


def test_the_larger_shortfall_is_named_and_the_rest_comes_under_also():
    """Ten points below the ceiling: underfitting, unless the gap to validation is wider."""
    train = accuracies(0.9, n=1000)
    little = diagnose(curves(train_accuracy=train, validation_accuracy=accuracies(0.81)), 10)
    assert (little.name, little.also) == ("underfitting", ("unrepresentative training data",))
    wide = diagnose(curves(train_accuracy=train, validation_accuracy=accuracies(0.75)), 10)
    assert (wide.name, wide.also) == ("unrepresentative training data", ())


def test_validation_ahead_of_a_loss_that_falls_is_not_easier():
    """Measured after the epoch, it is ahead of the mean over the epoch."""
    history, _, _ = CASES["learning rate too low"]
    ahead = [a + 0.1 for a in history["validation_accuracy"]]
    found = diagnose(
        history
        | {
            "validation_accuracy": ahead,
            "validation_loss": [v - 0.1 for v in history["validation_loss"]],
        },
        10,
    )
    assert (found.name, found.also) == ("learning rate too low", ())


def test_without_a_ceiling_leakage_looks_healthy():
    assert diagnose(curves(), 10).name == "healthy"
    assert diagnose(curves(), 10, ceiling=0.8).name == "leakage"


def test_a_few_right_by_luck_are_no_leakage():
    """0.83 of 100 examples is within a standard error of 0.8; of 1,000 it is not."""
    for n, name in ((100, "healthy"), (1000, "leakage")):
        lucky = curves(
            train_accuracy=accuracies(0.86, n=1000),
            validation_accuracy=accuracies(0.61, 0.83, n=n),
        )
        lucky["validation_accuracy"][-6:] = [0.83] * 6
        assert diagnose(lucky, 10, ceiling=0.8).name == name


def test_features_are_shares_of_chance():
    history = curves(train_loss=[2 * LOG_2, *[LOG_2] * (EPOCHS - 1)])
    assert features(history, 2).worst == pytest.approx(2)
    assert features(history, 2).still_falling == 0
    f = features(curves(train_loss=[3.0 - 0.1 * i for i in range(EPOCHS)]), 10)
    assert f.still_falling == pytest.approx(8 / 23)
    assert f.training_rise == 0
    assert f.train_loss == pytest.approx(0.95)  # the mean of 1.2, ..., 0.7
    rise = features(curves(validation_loss=[0.5] * 6 + [0.2] * 6 + [0.7] * 12), 10)
    assert rise.validation_rise == pytest.approx(0.5 / LOG_10)
    assert (rise.lowest_validation_loss, rise.best_epoch) == (pytest.approx(0.2), 8)
    # Each entry is 2 * 0.1 from the middle of its neighbours, and the mean is 1.
    wild = features(curves(train_loss=zigzag([1.0] * EPOCHS, 0.1)), 10)
    assert wild.jumps == pytest.approx(0.2 / (1 + 0.1 * LOG_10))


@pytest.mark.parametrize(
    ("change", "options", "sentence"),
    [
        ({"train_loss": None}, {}, "the history lacks train_loss: train with train_model(...,"),
        ({"train_loss": [1.0] * 3}, {}, "give one entry an epoch in each"),
        ({"train_accuracy": [97.0] * EPOCHS}, {}, "entry 97.0: give fractions, from 0 to 1"),
        ({}, {"classes": 1}, "classes is 1: give the number of classes, 2 or more"),
        ({}, {"ceiling": 0.1}, "ceiling is 0.1: give an accuracy above chance, 1/10, up to 1"),
        ({}, {"ceiling": 1.5}, "ceiling is 1.5: give an accuracy above chance, 1/10, up to 1"),
        (
            {name: [0.5] * 5 for name in COLUMNS},
            {},
            "the history has 5 epochs: train for 6 or more to see a shape",
        ),
        ({name: [] for name in COLUMNS}, {}, "the history has 0 epochs: train for 6 or more"),
    ],
)
def test_what_cannot_be_judged_is_refused(change, options, sentence):
    history = {name: v for name, v in (curves() | change).items() if v is not None}
    with pytest.raises(ValueError, match=r"give|train") as error:
        diagnose(history, **{"classes": 10, **options})
    assert sentence in str(error.value)


# The tasks and the runs


@pytest.mark.parametrize("name", ["val", "test"])
def test_the_held_out_columns_may_have_a_shorter_name(name):
    history = curves()
    short = {column.replace("validation", name): values for column, values in history.items()}
    assert diagnose(short) == diagnose(history, classes=10)


def test_clusters_know_their_own_probabilities():
    """Of examples that the true rule is sure of by p, a share p has that class."""
    generator = torch.Generator().manual_seed(0)
    task = curve_tasks.clusters(3, 4, 2, 0.8, generator)
    X, y = task.draw(20_000, generator)
    p = task.posterior(X)
    torch.testing.assert_close(p.sum(1), torch.ones(len(X)))
    right = (p.argmax(1) == y).double().mean()
    assert task.best_accuracy(generator) == pytest.approx(float(right), abs=0.02)
    for low in (0.5, 0.7, 0.9):
        there = (p[:, 0] > low) & (p[:, 0] <= low + 0.1)
        expected, n = p[there, 0].double().mean(), int(there.sum())
        share = (y[there] == 0).double().mean()
        assert abs(share - expected) < 5 * math.sqrt(0.25 / n)


def test_digits_are_never_drawn_twice_and_run_out():
    task = curve_tasks.handwritten_digits(0)
    generator = torch.Generator()
    X = torch.cat([task.draw(900, generator)[0], task.draw(897, generator)[0]])
    assert len(X.unique(dim=0)) == 1797
    with pytest.raises(ValueError, match="1798 digits were drawn and there are 1797: draw fewer"):
        task.draw(1, generator)


def test_wrong_labels_are_wrong_and_as_many_as_asked_for():
    y = torch.arange(30_000) % 5
    noisy = faulty_runs._wrong_labels(y, 5, 0.2, torch.Generator().manual_seed(0))
    wrong = noisy != y
    assert float(wrong.double().mean()) == pytest.approx(0.2, abs=0.01)
    assert sorted(((noisy - y) % 5)[wrong].unique().tolist()) == [1, 2, 3, 4]


def test_an_unknown_fault_is_refused():
    with pytest.raises(ValueError, match="the fault is 'bad luck': choose one of healthy, under"):
        faulty_run("bad luck", 0)


def test_a_run_repeats_bit_for_bit_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    first = faulty_run("unrepresentative training data", 4)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(1)
    again = faulty_run("unrepresentative training data", 4)
    assert all(first.history[name] == again.history[name] for name in COLUMNS)
    assert (first.setting, first.ceiling) == (again.setting, again.ceiling)
    other = faulty_run("unrepresentative training data", 5)
    assert other.history["train_loss"] != first.history["train_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", NAMES)
@pytest.mark.parametrize("seed", [2, 3])
def test_every_fault_trains_and_can_be_diagnosed(fault, seed):
    run = faulty_run(fault, seed)
    assert run.history.epochs == run.setting.epochs or run.history.diverged
    assert 1 / run.classes < run.ceiling <= 1
    f = diagnose(run.history, run.classes, run.ceiling).features
    if f.examples is not None and len(set(run.history["validation_accuracy"])) > 4:
        assert f.examples == run.setting.n_validation


@pytest.mark.slow
def test_a_rehearsal_of_the_experiment(tmp_path):
    script = Path(__file__).resolve().parents[2] / "book" / "experiments" / "curves.py"
    out = tmp_path / "curves.json"
    command = [sys.executable, str(script), "--seeds", "1", "--out", str(out)]
    subprocess.run(command, capture_output=True, text=True, check=True)
    record = json.loads(out.read_text(encoding="utf-8"))
    assert record["names"] == list(NAMES)
    for matrix in ("matrix", "matrix_without_ceiling"):
        assert [sum(row) for row in record[matrix]] == [1] * 8
    assert record["right"] == sum(record["matrix"][i][i] for i in range(8))
    for run in record["runs"]:
        history = {
            name: [math.nan if value is None else value for value in column]
            for name, column in run["history"].items()
        }
        assert diagnose(history, run["classes"], run["ceiling"]).name == run["diagnosis"]
