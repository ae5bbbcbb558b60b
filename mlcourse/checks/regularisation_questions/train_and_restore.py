"""`train_and_restore`: the best epoch's model, not the last one's.

The model and its training are made in the process in which the answer lives; the training is a
script that changes all numbers of the model in place.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, nn

from mlcourse.checks.compare import plain
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.judge import beside
from mlcourse.checks.regularisation_questions.shared import WITNESS
from mlcourse.checks.train_a_cnn_questions.shared import State, draw_state

Train = Callable[[], float]

#: (patience, rank of each loss).
SHAPES = (
    (2, (5, 3, 4, 1, 2, 3, 0)),
    (3, (6, 5, 4, 3, 2)),  # the last is the best
    (2, (1, 4, 3, 2, 0)),  # the first is
    (3, (6, 2, 4, 3, 1, 5, 2, 3, 0)),
)


def cases(g: Generator) -> list[tuple[State, list[float], int]]:
    """(numbers of the model, validation losses, patience)."""
    found = []
    for patience, ranks in SHAPES:
        levels = (0.2 + torch.rand(7, generator=g, dtype=torch.float64)).cumsum(0).tolist()
        state = draw_state(3, g, torch.float64)
        found.append((state, [levels[rank] for rank in ranks], patience))
    return found


def use(answer: Callable, state: State, losses: list[float], patience: int) -> Any:
    """Make a model and a script that trains it; look at the model afterwards."""
    model = beside(answer, WITNESS, "small_cnn")(state)
    train_epoch = beside(answer, WITNESS, "Epochs")(model, losses)
    look = beside(answer, WITNESS, "report")
    before = look(model)["parameters"]
    best = plain(answer(model, train_epoch, len(losses), patience))
    after, trained = look(model), train_epoch.calls
    idle = (
        train_epoch.loads > 0
        and trained > 0
        and losses[trained - 1] > min(losses[:trained])
        and is_moved(before, after["parameters"], by=trained)
    )
    return {
        "the best epoch": best,
        "the number of epochs trained": trained,
        "the model's parameters": plain(after["parameters"]),
        "the model's running statistics": plain(after["running"]),
        "load_state_dict": "changes nothing" if idle else "is free to use",
    }


def is_moved(before: State, after: State, by: int) -> bool:
    """Say whether all numbers have moved by so much, as so many epochs of the script do."""
    return all(torch.allclose(after[name], before[name] + by) for name in before)


Keep = Callable[[nn.Module], Any]


def put_back(model: nn.Module, kept: Any) -> None:
    model.load_state_dict(kept)


def deep(model: nn.Module) -> Any:
    return copy.deepcopy(model.state_dict())


def by(
    keep: Keep = deep,
    restore: Callable[[nn.Module, Any], None] = put_back,
    when: str = "after",
    last: int = 0,
    result: Callable[[int, float, int], Any] = lambda best, loss, trained: best,
) -> Callable[[nn.Module, Train, int, int], Any]:
    """A training with some of its pieces exchanged.

    `when` says whether the weights are kept after a better epoch, before it, or at its end if
    it is no better; the training ends `last` epochs later than it should.
    """

    def train_and_restore(model: nn.Module, train_epoch: Train, epochs: int, patience: int) -> Any:
        best, lowest, kept = 0, math.inf, keep(model)
        epoch = 0
        for epoch in range(epochs):
            before = keep(model)
            loss = train_epoch()
            if loss < lowest:
                best, lowest = epoch, loss
                kept = keep(model) if when == "after" else before
            elif when == "always":
                kept = keep(model)
            if epoch - best >= patience + last:
                break
        restore(model, kept)
        return result(best, lowest, epoch + 1)

    return train_and_restore


def nothing(model: nn.Module, kept: Any) -> None:
    """Leave the model as the last epoch left it."""


def parameters(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def restore_parameters(model: nn.Module, kept: list[torch.Tensor]) -> None:
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), kept, strict=True):
            parameter.copy_(value)


def without_training(model: nn.Module, train_epoch: Train, epochs: int, patience: int) -> int:
    return 0


def always_all(model: nn.Module, train_epoch: Train, epochs: int, patience: int) -> int:
    return int(by()(model, train_epoch, epochs, epochs))


def start_restored(model: nn.Module, train_epoch: Train, epochs: int, patience: int) -> Any:
    start = deep(model)
    best = by(restore=nothing)(model, train_epoch, epochs, patience)
    model.load_state_dict(start)
    return best


def whole_model(model: nn.Module, train_epoch: Train, epochs: int, patience: int) -> int:
    """Copies of the whole model, one an epoch, until the end is known."""
    losses: list[float] = []
    models: list[nn.Module] = []
    while len(losses) < epochs:
        losses.append(train_epoch())
        models.append(copy.deepcopy(model))
        if len(losses) - 1 - losses.index(min(losses)) == patience:
            break
    best = losses.index(min(losses))
    model.load_state_dict(models[best].state_dict())
    return best


def clones(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def both_lists(model: nn.Module) -> list[torch.Tensor]:
    return [value.detach().clone() for value in (*model.parameters(), *model.buffers())]


def restore_both(model: nn.Module, kept: list[torch.Tensor]) -> None:
    for value, was in zip((*model.parameters(), *model.buffers()), kept, strict=True):
        value.data = was


REFERENCE = (
    "the weights that you kept went on changing: state_dict() hands out the model's own tensors, "
    "which training changes in place, so keep copies (copy.deepcopy)"
)

train_and_restore = Question(
    name="train_and_restore",
    title="Keep the best weights",
    points=3,
    reference=by(),
    cases=cases,
    use=use,
    mistakes=(
        Mistake("reference", by(keep=lambda model: model.state_dict()), REFERENCE),
        Mistake(
            "not_restored",
            by(restore=nothing),
            "the model is left as the last epoch left it: put the best epoch's weights back with "
            "load_state_dict",
        ),
        Mistake(
            "parameters_alone",
            by(keep=parameters, restore=restore_parameters),
            "the parameters are restored, the batch norm's running statistics are not: "
            "state_dict() has both",
        ),
        Mistake(
            "epoch_before",
            by(when="before"),
            "the weights that you restore are those of before the best epoch: the loss belongs to "
            "the weights after it, so keep them after train_epoch()",
        ),
        Mistake(
            "start_restored",
            start_restored,
            "the weights of the start are restored: keep new ones whenever the loss is a new best",
        ),
        Mistake(
            "one_more",
            by(last=1),
            "training goes on for one epoch more than patience allows",
        ),
        Mistake(
            "one_fewer",
            by(last=-1),
            "training ends one epoch too early: wait for patience epochs without a new best",
        ),
        Mistake(
            "all_epochs",
            always_all,
            "all epochs are trained: stop after patience epochs in a row without a new best",
        ),
        Mistake(
            "loss_returned",
            by(result=lambda best, loss, trained: loss),
            "you return the lowest loss: return the number of its epoch",
        ),
        Mistake(
            "trained_returned",
            by(result=lambda best, loss, trained: trained - 1),
            "you return the last epoch: return the best one",
        ),
        Mistake(
            "from_one",
            by(result=lambda best, loss, trained: best + 1),
            "your epochs count from 1: the first is number 0",
        ),
        Mistake(
            "not_trained",
            without_training,
            "nothing is trained: call train_epoch() once an epoch",
        ),
    ),
    variants=(
        Variant("clones by name", by(keep=clones)),
        Variant("a copy of the model each epoch", whole_model),
        Variant("parameters and buffers", by(keep=both_lists, restore=restore_both)),
    ),
    hints=(
        "The loop is that of early_stopping, with loss = train_epoch() in each epoch.",
        "model.state_dict() has all parameters and buffers; model.load_state_dict puts them back.",
        "Is what you keep a copy? Print one of its weights, train on, and print it again.",
    ),
)
