"""What to say to someone who gave a training's curves one diagnosis, from its own numbers."""

from __future__ import annotations

from collections.abc import Callable

from mlcourse import curves
from mlcourse.curves import Diagnosis, Features, Name


def feedback(choice: Name, diagnosis: Diagnosis) -> str:
    """Say what speaks for the choice if it is the diagnosis, and against it if it is not.

    A choice whose rule holds too is told why the diagnosis goes first.
    """
    if choice == diagnosis.name:
        return f"{diagnosis.evidence} {diagnosis.remedy}"
    if choice in diagnosis.also:
        return f"Its signs are here too. But one thing comes first. {diagnosis.evidence}"
    return _AGAINST[choice](diagnosis.features)


def _against_healthy(f: Features) -> str:
    if not f.finite or f.worst > curves.WORSE_THAN_CHANCE:
        return "The training loss got worse than that of a model that knows nothing."
    if f.training_rise > curves.TRAINING_RISE or f.jumps > curves.WILD:
        return (
            f"Look at how the losses move: they jump by {_percent(f.jumps)} of their height from "
            f"epoch to epoch, and training ended {f.training_rise * f.chance:.2f} above its lowest."
        )
    if f.examples is not None and f.examples <= curves.FEW_EXAMPLES:
        return (
            f"It may be; these curves cannot show it. The validation accuracy moves in steps of "
            f"1/{f.examples}."
        )
    if f.bias > curves.FAR_FROM_CEILING and f.bias >= f.gap:
        return (
            f"Training ends at {_percent(f.train_accuracy)}, and {_percent(f.ceiling)} is possible."
        )
    if f.gap > curves.WIDE_GAP or f.validation_rise > curves.VALIDATION_RISE:
        return (
            f"Validation ends at {_percent(f.validation_accuracy)}, training at "
            f"{_percent(f.train_accuracy)}: a gap of {_points(f.gap)}."
        )
    return (
        f"It is too good: validation has {_percent(f.validation_accuracy)}, training "
        f"{_percent(f.train_accuracy)}, the ceiling is {_percent(f.ceiling)}."
    )


def _against_underfitting(f: Features) -> str:
    if _out_of_control(f):
        return "A network that is too small still trains calmly. Here the training loss does not."
    if f.bias <= curves.FAR_FROM_CEILING:
        return (
            f"An underfitted training is bad on its own examples. This one has "
            f"{_percent(f.train_accuracy)} there, and the ceiling is {_percent(f.ceiling)}."
        )
    if f.gap > f.bias:
        return (
            f"Training is {_points(f.bias)} below the ceiling, but validation is "
            f"{_points(f.gap)} below training: the larger loss is between the two."
        )
    return (
        f"The training loss has not levelled off: {_percent(f.still_falling)} of its fall came in "
        "the last third of the epochs. Wait, or take longer steps, before you blame the network."
    )


def _against_overfitting(f: Features) -> str:
    if _out_of_control(f):
        return (
            "In overfitting the *training* loss falls calmly while the validation loss rises. "
            "Here training itself is not calm."
        )
    if f.validation_rise <= curves.VALIDATION_RISE:
        return (
            f"The validation loss did not turn round: {f.validation_loss:.2f} at the end, and "
            f"its lowest (mean of three epochs) was {f.lowest_validation_loss:.2f}."
        )
    return (
        f"The validation loss rose to {f.validation_loss:.2f}, but validation is not what is "
        f"behind: {_percent(f.validation_accuracy)} against {_percent(f.train_accuracy)}."
    )


def _against_rate_too_high(f: Features) -> str:
    return (
        f"The training loss never rose by much ({f.training_rise * f.chance:.2f} above its lowest "
        f"at the end), and jumps from epoch to epoch are small: {_percent(f.jumps)} of the height "
        "on the wilder curve."
    )


def _against_rate_too_low(f: Features) -> str:
    if _out_of_control(f):
        return "Short steps make a slow, smooth curve. This one is not smooth."
    if f.still_falling <= curves.STILL_FALLING:
        return (
            f"The fall is over: only {_percent(max(f.still_falling, 0))} of it came in the last "
            "third of the epochs. With short steps the loss would still be falling."
        )
    if f.bias <= curves.FAR_FROM_CEILING:
        return (
            f"The loss still falls a little, but training is at {_percent(f.train_accuracy)} "
            f"already; the ceiling is {_percent(f.ceiling)}."
        )
    return (
        f"The loss still falls, but not smoothly (jumps of {_percent(f.jumps)}), or the gap to "
        f"validation, {_points(f.gap)}, is larger than what training lacks, {_points(f.bias)}."
    )


def _against_training_data(f: Features) -> str:
    if _out_of_control(f):
        return "First mend the training: as long as it is not calm, a gap says nothing."
    if f.gap <= curves.WIDE_GAP:
        return (
            f"There is no wide gap: {_percent(f.train_accuracy)} in training, "
            f"{_percent(f.validation_accuracy)} in validation."
        )
    return (
        f"There is a gap, but it widens with training: the validation loss was "
        f"{f.lowest_validation_loss:.2f} around epoch {f.best_epoch} and is "
        f"{f.validation_loss:.2f} at the end. More epochs did harm."
    )


def _against_validation_data(f: Features) -> str:
    size = "enough examples" if f.examples is None else f"steps of 1/{f.examples}, small enough"
    if -f.gap > curves.TOO_EASY:
        error = f.standard_error(f.train_accuracy)
        return (
            f"Validation is better than training, by {_points(-f.gap)}. But the standard error of "
            f"its accuracy is {_points(error)}; and while a loss falls, validation, which comes "
            "after the epoch, is ahead of the mean over the epoch."
        )
    return (
        f"The validation accuracy has {size}, and validation is not easier than training: "
        f"{_percent(f.validation_accuracy)} against {_percent(f.train_accuracy)}."
    )


def _against_leakage(f: Features) -> str:
    if f.validation_accuracy <= f.ceiling:
        return (
            f"Validation has {_percent(f.validation_accuracy)}, which is not above the ceiling of "
            f"{_percent(f.ceiling)}: nobody had to know these labels."
        )
    return (
        f"Validation has {_percent(f.validation_accuracy)}, above the ceiling of "
        f"{_percent(f.ceiling)}, but training, {_percent(f.train_accuracy)}, is not: luck, or an "
        "easy validation set, explains this better than labels known from training."
    )


def _out_of_control(f: Features) -> bool:
    return (
        not f.finite
        or f.worst > curves.WORSE_THAN_CHANCE
        or f.training_rise > curves.TRAINING_RISE
        or f.jumps > curves.WILD
    )


_AGAINST: dict[Name, Callable[[Features], str]] = {
    "healthy": _against_healthy,
    "underfitting": _against_underfitting,
    "overfitting": _against_overfitting,
    "learning rate too high": _against_rate_too_high,
    "learning rate too low": _against_rate_too_low,
    "unrepresentative training data": _against_training_data,
    "unrepresentative validation data": _against_validation_data,
    "leakage": _against_leakage,
}


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"


def _points(difference: float) -> str:
    return f"{100 * difference:.0f} points"
