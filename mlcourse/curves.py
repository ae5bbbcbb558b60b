"""Read learning curves: what went wrong in a training, and which numbers say so.

Eight rules, each on a few numbers of the history, are asked in order; the first that holds gives
the diagnosis, and a history on which none holds is healthy. The thresholds were chosen on runs of
`faulty_runs` with seeds 0 to 39; `book/results/curves.json` has the confusion matrix on others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Name = Literal[
    "healthy",
    "underfitting",
    "overfitting",
    "learning rate too high",
    "learning rate too low",
    "unrepresentative training data",
    "unrepresentative validation data",
    "leakage",
]


@dataclass(frozen=True)
class Meaning:
    """What a diagnosis says, in one sentence, and what to do about it, in another."""

    definition: str
    remedy: str


MEANINGS: dict[Name, Meaning] = {
    "healthy": Meaning(
        "Both losses have levelled off, close together, and the accuracy is near the ceiling.",
        "Report the accuracy on test data that nothing was chosen on.",
    ),
    "underfitting": Meaning(
        "The training loss has levelled off far above what the data allow.",
        "Take a larger network, or weaken the regularisation.",
    ),
    "overfitting": Meaning(
        "The validation loss has risen from its minimum while the training loss went on falling.",
        "Stop at the minimum, regularise, or get more training examples.",
    ),
    "learning rate too high": Meaning(
        "The steps are so long that the loss diverges, rises, jumps, or stays above chance.",
        "Divide the learning rate by 10, or start it small (warm-up).",
    ),
    "learning rate too low": Meaning(
        "The training loss is far from the end of its fall when the epochs are over.",
        "Multiply the learning rate by 10, or, if that makes the loss jump, train for longer.",
    ),
    "unrepresentative training data": Meaning(
        "Both losses have levelled off with a gap between them that more training does not widen.",
        "Get training examples of all the kinds that the validation set has, and more of them.",
    ),
    "unrepresentative validation data": Meaning(
        "The validation set is too small to measure with, or easier than the training set.",
        "Draw a larger validation set, by chance, from the same source as the training set.",
    ),
    "leakage": Meaning(
        "The validation accuracy is higher than any model can have on examples it has not seen.",
        "Remove examples that both sets share, and inputs that would not be known in use.",
    ),
}
NAMES: tuple[Name, ...] = tuple(MEANINGS)

#: What a history must have to be diagnosed; "val" or "test" may stand for "validation".
COLUMNS = ("train_loss", "train_accuracy", "validation_loss", "validation_accuracy")
_HELD_OUT = ("validation", "val", "test")

#: A shorter history has no shape to speak of.
MIN_EPOCHS = 6
#: With so few examples the validation accuracy's standard error can be 7 points and more.
FEW_EXAMPLES = 50
#: A training loss above this many times log(classes) is worse than knowing nothing.
WORSE_THAN_CHANCE = 1.3
#: By how much of log(classes) the training loss may rise: noise alone stays below.
TRAINING_RISE = 0.05
#: Jumps above the first are too wild for any good rate, and below the second too quiet for one.
WILD, QUIET = 0.15, 0.004
#: The share of its fall that the training loss has in the last third; 1/3: a straight line.
STILL_FALLING = 0.1
#: How much worse training is than the ceiling, and validation than training, to be a fault.
#: Both are beyond what sampling does to a few hundred examples.
FAR_FROM_CEILING, WIDE_GAP = 0.05, 0.07
#: How much better than training validation is, beyond two standard errors, to be too easy.
TOO_EASY = 0.03
#: How much better than the ceiling training is when wrong labels are known by heart, or told.
KNOWN_BY_HEART = 0.05
#: By how much of log(classes) the validation loss rises from its minimum to be overfitting.
VALIDATION_RISE = 0.25


@dataclass(frozen=True)
class Features:
    """The numbers that the rules look at.

    The four columns of the history are here as means of the last quarter of the epochs.
    `chance` is log(classes), the loss of a model that knows nothing; `worst` (the largest
    training loss), `training_rise` (from its lowest to its last mean of three epochs) and
    `validation_rise` (from `lowest_validation_loss`, the lowest mean of three epochs, around
    epoch `best_epoch`, to the mean of the last quarter) are shares of it. `jumps` is the mean
    distance of a loss from the middle of its two neighbours, after the first third, as a share
    of the mean loss there plus a tenth of chance; the wilder of the two curves counts.
    `still_falling` is the share of the training loss's fall that came in the last third.
    `examples` are those of the validation set, read off the steps in which its accuracy moves
    (1/25 and 3/25: 25), or None when it does not say. When a loss is not finite, `finite` is
    False and the numbers made of losses are nan.
    """

    epochs: int
    chance: float
    ceiling: float
    train_loss: float
    train_accuracy: float
    validation_loss: float
    validation_accuracy: float
    finite: bool
    worst: float
    training_rise: float
    jumps: float
    still_falling: float
    lowest_validation_loss: float
    best_epoch: int
    validation_rise: float
    examples: int | None

    @property
    def bias(self) -> float:
        """How far the training accuracy is below the ceiling."""
        return self.ceiling - self.train_accuracy

    @property
    def gap(self) -> float:
        """How far the validation accuracy is below the training accuracy."""
        return self.train_accuracy - self.validation_accuracy

    def standard_error(self, accuracy: float) -> float:
        """How far chance moves a true accuracy on the validation set; 0 if its size is unknown."""
        if self.examples is None:
            return 0.0
        return math.sqrt(max(accuracy * (1 - accuracy), 0) / self.examples)


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong (`name`), the numbers that say so, and what else may be wrong.

    `also` names the later rules that hold too, in their order.
    """

    name: Name
    evidence: str
    features: Features
    also: tuple[Name, ...] = ()

    @property
    def definition(self) -> str:
        """What the name means, in a sentence."""
        return MEANINGS[self.name].definition

    @property
    def remedy(self) -> str:
        """What to do, in a sentence."""
        return MEANINGS[self.name].remedy


def diagnose(
    history: Mapping[str, Sequence[float]], classes: int = 10, ceiling: float = 1.0
) -> Diagnosis:
    """Name what the learning curves of a classifier show, with the evidence in words.

    The history has train_loss, train_accuracy, validation_loss and validation_accuracy, one entry
    an epoch, as from `train_model(..., evaluate_on={"validation": ...})`; "val" or "test" may
    stand for "validation". Training with dropout, augmentation, mixed or smoothed labels makes
    its own loss larger: give, as train_loss and train_accuracy, what `evaluate` finds on the
    plain training set. `classes` sets the loss of pure chance. `ceiling` is the accuracy
    that nobody can pass on fresh examples, because some labels are wrong or some classes
    overlap: from curves alone, leakage and an easy task look the same. Raises ValueError when a
    column is missing or shorter than the others, for fewer than 6 epochs (unless training
    diverged), and for accuracies, classes or a ceiling that cannot be.
    Source of the comparison with a ceiling: A. Ng, Machine Learning Yearning, 2018, chapters
    20-24 (avoidable bias and variance).
    """
    f = features(history, classes, ceiling)
    found = [(name, evidence) for name, rule in _RULES if (evidence := rule(f))]
    if not found:
        return Diagnosis("healthy", _healthy(f), f)
    (name, evidence), *others = found
    also = dict.fromkeys(other for other, _ in others if other != name)
    return Diagnosis(name, evidence, f, tuple(also))


def features(
    history: Mapping[str, Sequence[float]], classes: int = 10, ceiling: float = 1.0
) -> Features:
    """Return the numbers that `diagnose` looks at. Takes and raises what `diagnose` does."""
    columns = _checked(history, classes, ceiling)
    train, validation = columns["train_loss"], columns["validation_loss"]
    epochs = len(train)
    third, chance = epochs // 3, math.log(classes)
    finite = all(map(math.isfinite, train + validation))
    lows = _means_of_three(validation if finite else [math.nan] * epochs)
    trend = _means_of_three(train if finite else [math.nan] * epochs)
    end = {name: _mean(column[-max(1, epochs // 4) :]) for name, column in columns.items()}
    return Features(
        epochs=epochs,
        chance=chance,
        ceiling=ceiling,
        **end,
        finite=finite,
        worst=max(train) / chance if finite else math.nan,
        training_rise=(trend[-1] - min(trend)) / chance,
        jumps=max(_jumps(loss[third:], chance) for loss in (train, validation)),
        # A loss that falls by less than 1 % of chance in all does not fall.
        still_falling=(train[-1 - third] - train[-1]) / max(train[0] - train[-1], 0.01 * chance),
        lowest_validation_loss=min(lows),
        best_epoch=lows.index(min(lows)) + (2 if epochs >= 3 else 1),
        validation_rise=(end["validation_loss"] - min(lows)) / chance,
        examples=_examples(columns["validation_accuracy"]),
    )


def _checked(
    history: Mapping[str, Sequence[float]], classes: int, ceiling: float
) -> dict[str, list[float]]:
    held_out = next((name for name in _HELD_OUT if f"{name}_loss" in history), "validation")
    source = {name: name.replace("validation", held_out) for name in COLUMNS}
    if missing := [name for name in source.values() if name not in history]:
        raise ValueError(
            f"the history lacks {', '.join(missing)}: train with "
            'train_model(..., evaluate_on={"validation": ...})'
        )
    columns = {name: [float(value) for value in history[source[name]]] for name in COLUMNS}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the columns have the lengths {lengths}: give one entry an epoch in each")
    if classes < 2:
        raise ValueError(f"classes is {classes}: give the number of classes, 2 or more")
    if not 1 / classes < ceiling <= 1:
        raise ValueError(
            f"ceiling is {ceiling}: give an accuracy above chance, 1/{classes}, up to 1"
        )
    for name in ("train_accuracy", "validation_accuracy"):
        if wrong := [value for value in columns[name] if not 0 <= value <= 1]:
            raise ValueError(f"{name} has the entry {wrong[0]}: give fractions, from 0 to 1")
    diverged = not all(map(math.isfinite, columns["train_loss"] + columns["validation_loss"]))
    epochs = len(columns["train_loss"])
    if epochs < MIN_EPOCHS and not (diverged and epochs):
        raise ValueError(
            f"the history has {epochs} epochs: train for {MIN_EPOCHS} or more to see a shape"
        )
    return columns


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _means_of_three(values: list[float]) -> list[float]:
    return [_mean(three) for three in _threes(values)] or values


def _threes(values: list[float]) -> list[list[float]]:
    return [values[i : i + 3] for i in range(len(values) - 2)]


def _jumps(losses: list[float], chance: float) -> float:
    """Mean distance from the middle of the neighbours, over the mean loss + a tenth of chance.

    The tenth: when a loss is almost 0, its doubling from one epoch to the next says nothing.
    """
    if len(losses) < 3:
        return 0.0
    distance = _mean([abs(middle - (a + b) / 2) for a, middle, b in _threes(losses)])
    return distance / (_mean(losses) + 0.1 * chance)


def _examples(accuracies: list[float]) -> int | None:
    """The smallest number of examples, to 1,000, that allows all these accuracies."""
    if len(set(accuracies)) < 2:
        return None
    for n in range(1, 1001):
        # 1e-6: records often keep six digits.
        if all(abs(a * n - round(a * n)) <= 1e-6 * n for a in accuracies):
            return n
    return None


# The rules. Each returns its evidence when it holds, and an empty string when not.

Rule = Callable[[Features], str]


def _few_to_validate(f: Features) -> str:
    if not f.finite or f.examples is None or f.examples > FEW_EXAMPLES:
        return ""
    error = f.standard_error(0.5)
    return (
        f"The validation accuracy moves in steps of 1/{f.examples}: the set has {f.examples} "
        f"examples. The standard error of an accuracy on it is up to {_points(error)}, "
        f"so the gap of {_points(f.gap)} to training says little."
    )


def _rate_too_high(f: Features) -> str:
    if not f.finite:
        return f"A loss is not finite within {f.epochs} epochs: training diverged."
    if f.worst > WORSE_THAN_CHANCE:
        return (
            f"The training loss reached {f.worst * f.chance:.3g}; a model that knows nothing "
            f"has {f.chance:.3g}."
        )
    if f.training_rise > TRAINING_RISE:
        return (
            f"The training loss itself rose, to {f.train_loss:.3g} at the end, by "
            f"{f.training_rise * f.chance:.2g} from its lowest: no step that is short enough "
            "does that."
        )
    if f.jumps > WILD:
        return (
            f"From epoch to epoch a loss jumps by {_percent(f.jumps)} of its height, "
            f"long after the start; training ends near {f.train_loss:.3g}."
        )
    return ""


def _easy_to_validate(f: Features) -> str:
    margin = TOO_EASY + 2 * f.standard_error(f.train_accuracy)
    better = -f.gap > margin and f.validation_loss < f.train_loss
    # While a loss falls, validation comes after the epoch and is ahead of its mean.
    if not better or _falling(f):
        return ""
    return (
        f"Validation is better than training: {_percent(f.validation_accuracy)} against "
        f"{_percent(f.train_accuracy)} accuracy, loss {f.validation_loss:.3g} against "
        f"{f.train_loss:.3g}. Fresh examples like the training set's cannot be easier than it."
    )


def _leakage(f: Features) -> str:
    luck = f.standard_error(f.ceiling)
    if not (-f.bias > KNOWN_BY_HEART and f.validation_accuracy > f.ceiling + luck):
        return ""
    return (
        f"No model can pass {_percent(f.ceiling)} on fresh examples, and validation has "
        f"{_percent(f.validation_accuracy)}, training {_percent(f.train_accuracy)}. "
        "So the validation labels are known from the training set or from the inputs."
    )


def _far_from_ceiling(f: Features) -> bool:
    """Whether training is what falls short, more than generalisation."""
    return f.finite and f.bias > max(FAR_FROM_CEILING, f.gap)


def _falling(f: Features) -> bool:
    """Noise of the steps grows with the rate: a loss that falls with noise is not held up by it."""
    return f.still_falling > STILL_FALLING and f.jumps < QUIET


def _rate_too_low(f: Features) -> str:
    if not (_far_from_ceiling(f) and _falling(f)):
        return ""
    return (
        f"The training loss, {f.train_loss:.3g}, still falls at the end, without noise: the last "
        f"third of the epochs brought {_percent(f.still_falling)} of its fall. Training accuracy "
        f"is {_percent(f.train_accuracy)}, {_points(f.bias)} below the ceiling."
    )


def _underfitting(f: Features) -> str:
    if not _far_from_ceiling(f) or _falling(f):
        return ""
    return (
        f"The training accuracy has levelled off at {_percent(f.train_accuracy)}, "
        f"{_points(f.bias)} below the ceiling of {_percent(f.ceiling)}. Validation is no worse by "
        f"more than that: {_percent(f.validation_accuracy)}."
    )


def _overfitting(f: Features) -> str:
    if not f.validation_rise > VALIDATION_RISE:
        return ""
    return (
        f"The training loss is {f.train_loss:.3g} at the end while the validation loss rose from "
        f"{f.lowest_validation_loss:.3g} (around epoch {f.best_epoch}) to {f.validation_loss:.3g}. "
        f"Accuracy: {_percent(f.train_accuracy)} in training, "
        f"{_percent(f.validation_accuracy)} in validation."
    )


def _unlike_training(f: Features) -> str:
    if not (f.gap > WIDE_GAP and f.validation_rise <= VALIDATION_RISE):
        return ""
    return (
        f"The validation accuracy stays {_points(f.gap)} below training's "
        f"({_percent(f.validation_accuracy)} against {_percent(f.train_accuracy)}). Its loss, "
        f"{f.validation_loss:.3g}, has not risen much from its lowest, "
        f"{f.lowest_validation_loss:.3g}: training longer is not what harms."
    )


def _healthy(f: Features) -> str:
    return (
        f"Training ends at {_percent(f.train_accuracy)} accuracy, near the ceiling of "
        f"{_percent(f.ceiling)}, and validation at {_percent(f.validation_accuracy)}. The "
        f"validation loss, {f.validation_loss:.3g}, is near its lowest, "
        f"{f.lowest_validation_loss:.3g}."
    )


#: What makes the others unreadable comes first: a validation set too small, a training that is
#: out of control, then validation that is too good, training too bad, validation too bad.
_RULES: tuple[tuple[Name, Rule], ...] = (
    ("unrepresentative validation data", _few_to_validate),
    ("learning rate too high", _rate_too_high),
    ("unrepresentative validation data", _easy_to_validate),
    ("leakage", _leakage),
    ("learning rate too low", _rate_too_low),
    ("underfitting", _underfitting),
    ("overfitting", _overfitting),
    ("unrepresentative training data", _unlike_training),
)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:.1f} points"
