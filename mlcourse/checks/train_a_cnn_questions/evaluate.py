"""`evaluate`: loss and accuracy of a model, with no trace left in it.

The model is a `witness.small_cnn`, made in the process in which the answer lives.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional

from mlcourse.checks.compare import NotData, plain
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.judge import beside
from mlcourse.checks.train_a_cnn_questions.shared import WITNESS, State, draw_images, draw_state

Result = tuple[Any, Any]


def cases(g: Generator) -> list[tuple]:
    """(mode, numbers of the model, X, y, batch size); N is seldom a multiple of the batch size."""
    found = []
    for mode, N, classes, batch_size, dtype in (
        ("train", 7, 3, 3, torch.float64),
        ("eval", 10, 4, 4, torch.float32),
        ("frozen", 9, 3, 4, torch.float64),
        ("train", 5, 6, 5, torch.float64),
        ("train", 8, 5, 100, torch.float64),
    ):
        state = draw_state(classes, g, dtype)
        found.append((mode, state, *draw_images(N, classes, g, dtype), batch_size))
    return found


def use_evaluate(
    answer: Callable, mode: str, state: State, X: Tensor, y: Tensor, batch_size: int
) -> Any:
    """Make the model, have it evaluated, and look at it before and after."""
    model = beside(answer, WITNESS, "small_cnn")(state, mode)
    look = beside(answer, WITNESS, "report")
    before = look(model)
    result = plain(answer(model, X, y, batch_size))
    after = look(model)
    if not isinstance(result, (tuple, list)) or len(result) != 2:
        raise NotData("it does not return a pair: return loss, accuracy")
    loss, accuracy = result
    small = max(after["batches"], default=0) <= batch_size
    return {
        "the loss": loss,
        "the accuracy": accuracy,
        "the running statistics": plain(after["running"]),
        "the mode while it predicts": while_predicting(after["modes_seen"]),
        "the mode afterwards": afterwards(before["modes"], after["modes"]),
        "what autograd does meanwhile": "records" if after["recorded"] else "records nothing",
        "a batch": "at most batch_size" if small else "larger than batch_size",
        "torch's random numbers": "drawn" if after["drew"] else "as they were",
        "the parameters": plain(after["parameters"]),
        "the parameters' gradients": "left behind" if after["has_grads"] else "none, as before",
        "what the parameters do": "require gradients" if after["learns"] else "learn no more",
    }


def in_words(modes: list[bool]) -> str:
    """Say which modules are in training mode, of flags whose first is the whole model's."""
    if len(set(modes)) > 1:
        return "training for all inside" if all(modes[1:]) else "training for some modules"
    return "training for all modules" if modes[0] else "evaluation for all modules"


def while_predicting(seen: list[list[bool]]) -> str:
    """Return the mode of all passes, or of the first that was not in evaluation mode."""
    return in_words(next(filter(any, seen), seen[0])) if seen else "none: it does not predict"


def afterwards(before: list[bool], after: list[bool]) -> str:
    return "as before" if after == before else in_words(after)


# --- Pieces of evaluations, right and wrong ----------------------------------------------------


@contextlib.contextmanager
def as_asked(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for every module, and afterwards each one's own."""
    were = [(module, module.training) for module in model.modules()]
    model.eval()
    yield
    for module, training in were:
        module.training = training


@contextlib.contextmanager
def left_in_eval(model: nn.Module) -> Iterator[None]:
    model.eval()
    yield


@contextlib.contextmanager
def then_train(model: nn.Module) -> Iterator[None]:
    model.eval()
    yield
    model.train()


@contextlib.contextmanager
def mode_of_top(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.eval()
    yield
    model.train(training)


@contextlib.contextmanager
def top_only(model: nn.Module) -> Iterator[None]:
    training = model.training
    model.training = False
    yield
    model.training = training


@contextlib.contextmanager
def in_train(model: nn.Module) -> Iterator[None]:
    model.train()
    yield


@contextlib.contextmanager
def first_level_only(model: nn.Module) -> Iterator[None]:
    were = [(module, module.training) for module in (model, *model.children())]
    for module, _ in were:
        module.training = False
    yield
    for module, training in were:
        module.training = training


def in_order(N: int, size: int) -> list[Tensor]:
    return list(torch.arange(N).split(size))


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(logits, y)


def hits(logits: Tensor, y: Tensor) -> Tensor:
    return (logits.argmax(dim=1) == y).sum()


def weighted(losses: list[float], right: list[float], sizes: list[int], size: int) -> Result:
    """Means over the examples, from each batch's mean loss and number of hits."""
    total = sum(loss * n for loss, n in zip(losses, sizes, strict=True))
    return total / sum(sizes), sum(right) / sum(sizes)


def means_of_batches(losses: list, right: list, sizes: list[int], size: int) -> Result:
    accuracies = [n / of for n, of in zip(right, sizes, strict=True)]
    return sum(losses) / len(losses), sum(accuracies) / len(accuracies)


def mean_loss_of_batches(losses: list, right: list, sizes: list[int], size: int) -> Result:
    return sum(losses) / len(losses), sum(right) / sum(sizes)


def weighted_by_batch_size(losses: list, right: list, sizes: list[int], size: int) -> Result:
    return sum(loss * size for loss in losses) / sum(sizes), sum(right) / sum(sizes)


def counted_as_full(losses: list, right: list, sizes: list[int], size: int) -> Result:
    return sum(losses) / len(losses), sum(right) / (len(sizes) * size)


def evaluate_by(
    mode: Callable[[nn.Module], Any] = as_asked,
    quiet: Callable[[], Any] = torch.no_grad,
    batches: Callable[[int, int], list[Tensor]] = in_order,
    loss_of: Callable[[Tensor, Tensor], Tensor] = cross_entropy,
    hits_of: Callable[[Tensor, Tensor], Tensor] = hits,
    gather: Callable[..., Result] = weighted,
) -> Callable[..., Result]:
    """An evaluation with some of its pieces exchanged."""

    def evaluate(model: nn.Module, X: Tensor, y: Tensor, batch_size: int) -> Result:
        losses, right, sizes = [], [], []
        with mode(model), quiet():
            for batch in batches(len(X), batch_size):
                logits = model(X[batch])
                losses.append(loss_of(logits, y[batch]).item())
                right.append(hits_of(logits, y[batch]).item())
                sizes.append(len(batch))
        return gather(losses, right, sizes, batch_size)

    return evaluate


def changed(change: Callable[[Any, Any, Tensor], Result]) -> Callable[..., Result]:
    """A right evaluation whose result is changed at the end."""

    def evaluate(model: nn.Module, X: Tensor, y: Tensor, batch_size: int) -> Result:
        return change(*evaluate_by()(model, X, y, batch_size), y)

    return evaluate


def evaluate_with_backward(model: nn.Module, X: Tensor, y: Tensor, batch_size: int) -> Result:
    def loss_of(logits: Tensor, labels: Tensor) -> Tensor:
        loss = cross_entropy(logits, labels)
        loss.backward()
        return loss

    return evaluate_by(quiet=contextlib.nullcontext, loss_of=loss_of)(model, X, y, batch_size)


def evaluate_frozen(model: nn.Module, X: Tensor, y: Tensor, batch_size: int) -> Result:
    model.requires_grad_(False)
    return evaluate_by(quiet=contextlib.nullcontext)(model, X, y, batch_size)


# --- Right answers that look different ---------------------------------------------------------


def evaluate_a_copy(model: nn.Module, X: Tensor, y: Tensor, batch_size: int) -> Result:
    """A copy may be treated as one likes."""
    twin = copy.deepcopy(model)
    return evaluate_by(mode=left_in_eval, quiet=torch.inference_mode)(twin, X, y, batch_size)


def evaluate_in_sums(model: nn.Module, X: Tensor, y: Tensor, batch_size: int) -> Result:
    """Sums over batches, divided once; inference mode; the training modules by name."""
    training = {name for name, module in model.named_modules() if module.training}
    model.eval()
    loss, right = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(X), batch_size):
            batch, labels = X[start : start + batch_size], y[start : start + batch_size]
            logits = model(batch)
            loss += functional.cross_entropy(logits, labels, reduction="sum").item()
            right += (logits.max(1).indices == labels).sum().item()
    for name, module in model.named_modules():
        module.training = name in training
    return loss / len(X), right / len(X)


@torch.no_grad()
def evaluate_all_logits(model: nn.Module, X: Tensor, y: Tensor, batch_size: int) -> list:
    """Predict in batches, then the measures of all logits at once, as tensors."""
    were = [module.training for module in model.modules()]
    try:
        logits = torch.cat([model.eval()(part) for part in X.split(batch_size)])
    finally:
        for module, training in zip(model.modules(), were, strict=True):
            module.training = training
    picked = logits.log_softmax(dim=-1)[torch.arange(len(y)), y]
    return [-picked.mean(), (logits.argmax(-1) == y).double().mean()]


def evaluate_with_loader(model: nn.Module, X: Tensor, y: Tensor, batch_size: int) -> Result:
    """torch's own loader, weighted by the size of each batch."""
    data = torch.utils.data.TensorDataset(X, y)
    # A loader draws a seed for its workers: from a generator of its own, if it has one.
    loader = torch.utils.data.DataLoader(data, batch_size, generator=Generator())
    loss = accuracy = 0.0
    with as_asked(model), torch.no_grad():
        for images, labels in loader:
            logits = model(images)
            loss += nn.CrossEntropyLoss()(logits, labels).item() * len(labels) / len(X)
            accuracy += (logits.argmax(1) == labels).float().mean().item() * len(labels) / len(X)
    return loss, accuracy


evaluate = Question(
    name="evaluate",
    title="An evaluation without side effects",
    points=4,
    reference=evaluate_by(),
    cases=cases,
    use=use_evaluate,
    mistakes=(
        Mistake(
            "no_eval",
            evaluate_by(mode=contextlib.nullcontext),
            "the model is evaluated in the mode it comes in: in training mode dropout still drops "
            "and batch norm uses (and learns) the batch's statistics; call model.eval() first",
        ),
        Mistake(
            "in_train",
            evaluate_by(mode=in_train),
            "model.train() switches dropout on and lets batch norm learn from the test images: an "
            "evaluation wants model.eval()",
        ),
        Mistake(
            "top_only",
            evaluate_by(mode=top_only),
            "model.training = False switches the outermost module alone: model.eval() goes through "
            "all modules, the dropout and batch norm inside too",
        ),
        Mistake(
            "first_level_only",
            evaluate_by(mode=first_level_only),
            "modules inside modules are still in training mode: model.eval() reaches them all, and "
            "model.modules() lists them all",
        ),
        Mistake(
            "left_in_eval",
            evaluate_by(mode=left_in_eval),
            "the model is left in evaluation mode, so training would go on without dropout: put "
            "each module's mode back to what it was",
        ),
        Mistake(
            "then_train",
            evaluate_by(mode=then_train),
            "the model is always put into training mode at the end, also when it came in "
            "evaluation mode: put each module's mode back to what it was",
        ),
        Mistake(
            "mode_of_top",
            evaluate_by(mode=mode_of_top),
            "model.train(mode) gives all modules one mode, so a part that was frozen in evaluation "
            "mode learns again: note the mode of each of model.modules() and put it back",
        ),
        Mistake(
            "recorded",
            evaluate_by(quiet=contextlib.nullcontext),
            "autograd records the forward pass, which costs memory for nothing: eval() does not "
            "stop it, `with torch.no_grad():` does",
        ),
        Mistake(
            "never_to_learn_again",
            evaluate_frozen,
            "requires_grad_(False) keeps the parameters from learning for good: "
            "`with torch.no_grad():` stops the recording only as long as it lasts",
        ),
        Mistake(
            "backward",
            evaluate_with_backward,
            "backward() is called, which leaves gradients in the parameters: an evaluation "
            "needs none",
        ),
        Mistake(
            "means_of_batches",
            evaluate_by(gather=means_of_batches),
            "loss and accuracy are means of the batches' means, so the images of a small last "
            "batch count too much: weight each batch by its number of images",
        ),
        Mistake(
            "mean_loss_of_batches",
            evaluate_by(gather=mean_loss_of_batches),
            "the loss is the mean of the batches' means, so the images of a small last batch count "
            "too much: weight each batch's loss by its number of images",
        ),
        Mistake(
            "weighted_by_batch_size",
            evaluate_by(gather=weighted_by_batch_size),
            "each batch's loss is weighted by batch_size, but the last batch may be smaller: "
            "weight it by its own number of images",
        ),
        Mistake(
            "counted_as_full",
            evaluate_by(gather=counted_as_full),
            "the hits are divided by batch_size times the number of batches, but the last batch "
            "may be smaller: divide by the number of images",
        ),
        Mistake(
            "last_batch_dropped",
            evaluate_by(
                batches=lambda N, size: [b for b in in_order(N, size) if len(b) == min(size, N)]
            ),
            "the last, smaller batch is left out: go on until all images are evaluated",
        ),
        Mistake(
            "first_batch_only",
            evaluate_by(batches=lambda N, size: in_order(N, size)[:1]),
            "only the first batch is evaluated: go on until all images are, and return after the "
            "loop",
        ),
        Mistake(
            "whole_set",
            evaluate_by(batches=lambda N, size: in_order(N, N)),
            "all images go through the model at once, for which memory may not suffice: take "
            "batch_size of them at a time",
        ),
        Mistake(
            "shuffled",
            evaluate_by(batches=lambda N, size: list(torch.randperm(N).split(size))),
            "torch's random numbers are drawn, by a shuffle or by a DataLoader (it draws a seed "
            "even when it does not shuffle), so the training that follows changes: take slices, in "
            "order",
        ),
        Mistake(
            "percent",
            changed(lambda loss, accuracy, y: (loss, 100 * accuracy)),
            "the accuracy is in percent: return a fraction between 0 and 1",
        ),
        Mistake(
            "count",
            changed(lambda loss, accuracy, y: (loss, accuracy * len(y))),
            "the accuracy is the number of hits: divide it by the number of images",
        ),
        Mistake(
            "error_rate",
            changed(lambda loss, accuracy, y: (loss, 1 - accuracy)),
            "that is the fraction of wrong predictions: the accuracy is the fraction of right ones",
        ),
        Mistake(
            "swapped",
            changed(lambda loss, accuracy, y: (accuracy, loss)),
            "the two results are swapped: return loss, accuracy",
        ),
        Mistake(
            "summed",
            changed(lambda loss, accuracy, y: (loss * len(y), accuracy)),
            "the loss is the sum over the images: return their mean",
        ),
        Mistake(
            "softmax_twice",
            evaluate_by(loss_of=lambda logits, y: cross_entropy(logits.softmax(1), y)),
            "softmax is applied twice: cross_entropy takes the logits as they are",
        ),
        Mistake(
            "over_classes_too",
            evaluate_by(
                loss_of=lambda logits, y: cross_entropy(logits, y) / logits.shape[1],
            ),
            "the loss is divided by the number of classes too: take the mean over the images alone",
        ),
        Mistake(
            "argmax_over_batch",
            evaluate_by(hits_of=lambda logits, y: (logits.argmax(0) == y).sum()),
            "argmax goes over the images of a batch: the predicted class is logits.argmax(dim=1)",
        ),
    ),
    variants=(
        Variant("sums, inference mode", evaluate_in_sums),
        Variant("all logits at once, as tensors", evaluate_all_logits),
        Variant("torch's DataLoader", evaluate_with_loader),
        Variant("a copy of the model", evaluate_a_copy),
    ),
    hints=(
        "Before the loop: note (module, module.training) for each of model.modules(), then "
        "model.eval(). After it: module.training = what it was.",
        "The loop stands under `with torch.no_grad():` and takes X[i : i + batch_size] for i in "
        "range(0, len(X), batch_size).",
        "Add up loss.item() * len(batch) and (logits.argmax(dim=1) == labels).sum().item(), and "
        "divide both by len(X) at the end.",
    ),
)
