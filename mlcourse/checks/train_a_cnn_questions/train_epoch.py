"""`train_epoch`: one pass over the training set, with a model and an optimiser that come in.

Both are made in the process in which the answer lives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional
from torch.optim import Optimizer

from mlcourse.checks.compare import plain
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.judge import beside
from mlcourse.checks.train_a_cnn_questions.shared import WITNESS, State, draw_images, draw_state


def cases(g: Generator) -> list[tuple]:
    """(mode, numbers of the model, (lr, momentum), X, y, batch size, generator)."""
    found = []
    for mode, N, classes, batch_size, rates, dtype in (
        ("train", 8, 3, 3, (0.1, 0.0), torch.float64),
        ("eval", 11, 4, 4, (0.05, 0.9), torch.float64),
        ("train", 10, 5, 4, (0.2, 0.0), torch.float32),
        ("train", 6, 3, 6, (0.1, 0.9), torch.float64),
    ):
        state, (X, y) = draw_state(classes, g, dtype), draw_images(N, classes, g, dtype)
        seed = int(torch.randint(2**31, (), generator=g))
        found.append((mode, state, rates, X, y, batch_size, Generator().manual_seed(seed)))
    return found


def use_train_epoch(
    answer: Callable,
    mode: str,
    state: State,
    rates: tuple[float, float],
    X: Tensor,
    y: Tensor,
    batch_size: int,
    generator: Generator,
) -> Any:
    """Make a model and its optimiser, train for an epoch, and look at what became of the model."""
    model = beside(answer, WITNESS, "small_cnn")(state, mode)
    optimizer = beside(answer, WITNESS, "sgd")(model, *rates)
    start = generator.get_state()
    before = beside(answer, WITNESS, "report")(model)["parameters"]
    loss = plain(answer(model, optimizer, X, y, batch_size, generator))
    after = beside(answer, WITNESS, "report")(model)
    mine = not torch.equal(generator.get_state(), start)
    return {
        "the mean loss": loss,
        "the trained parameters": plain(after["parameters"]),
        "the running statistics": plain(after["running"]),
        "the order": drawn(mine, after["drew"]),
        "the optimiser": stepped(optimizer.steps, after["parameters"], before),
    }


def drawn(mine: bool, global_ones: bool) -> str:
    """Say what the images were shuffled with."""
    if global_ones:
        return "drawn from torch's own random numbers"
    return "drawn from the generator" if mine else "not drawn"


def stepped(steps: int, parameters: State, before: State) -> str:
    """Say what became of the optimiser that came in."""
    changed = not all(torch.equal(parameters[name], before[name]) for name in before)
    if steps:
        return f"makes {steps} steps, and the parameters change" if changed else "changes nothing"
    return "is not used, though the parameters change" if changed else "is not used"


# --- Pieces of loops, right and wrong ----------------------------------------------------------


def shuffled(N: int, size: int, generator: Generator) -> list[Tensor]:
    return list(torch.randperm(N, generator=generator).split(size))


def train_mode(model: nn.Module) -> None:
    model.train()


def eval_mode(model: nn.Module) -> None:
    model.eval()


def nothing(model: nn.Module) -> None:
    """Leave the mode as it is."""


def mean_loss(logits: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(logits, y)


def total_loss(logits: Tensor, y: Tensor) -> Tensor:
    return functional.cross_entropy(logits, y, reduction="sum")


def weighted(losses: list[float], sizes: list[int], size: int) -> Any:
    return sum(loss * n for loss, n in zip(losses, sizes, strict=True)) / sum(sizes)


STEPS = ("zero", "loss", "backward", "step")


def epoch_by(
    set_mode: Callable[[nn.Module], None] = train_mode,
    batches: Callable[[int, int, Generator], list[Tensor]] = shuffled,
    take: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]] = lambda X, y, i: (X[i], y[i]),
    loss_of: Callable[[Tensor, Tensor], Tensor] = mean_loss,
    steps: tuple[str, ...] = STEPS,
    gather: Callable[[list[float], list[int], int], Any] = weighted,
    scale: Callable[[int, int], float] = lambda here, N: 1.0,
) -> Callable[..., Any]:
    """An epoch with some of its pieces exchanged."""

    def train_epoch(
        model: nn.Module,
        optimizer: Optimizer,
        X: Tensor,
        y: Tensor,
        batch_size: int,
        generator: Generator,
    ) -> Any:
        set_mode(model)
        losses, sizes = [], []
        for batch in batches(len(X), batch_size, generator):
            images, labels = take(X, y, batch)
            loss = torch.zeros(())
            for step in steps:
                if step == "zero":
                    optimizer.zero_grad()
                elif step == "loss":
                    loss = loss_of(model(images), labels)
                elif step == "backward":
                    (scale(len(batch), len(X)) * loss).backward()
                else:
                    optimizer.step()
            losses.append(loss.item())
            sizes.append(len(batch))
        return gather(losses, sizes, batch_size)

    return train_epoch


def under_no_grad(*args: Any) -> Any:
    with torch.no_grad():
        return epoch_by()(*args)


def full_batches_only(N: int, size: int, generator: Generator) -> list[Tensor]:
    return [batch for batch in shuffled(N, size, generator) if len(batch) == size]


def in_order(N: int, size: int, generator: Generator) -> list[Tensor]:
    return list(torch.arange(N).split(size))


def by_global_numbers(N: int, size: int, generator: Generator) -> list[Tensor]:
    return list(torch.randperm(N).split(size))


def with_replacement(N: int, size: int, generator: Generator) -> list[Tensor]:
    return [torch.randint(N, (len(b),), generator=generator) for b in torch.arange(N).split(size)]


def by_loader(N: int, size: int, generator: Generator) -> list[Tensor]:
    examples: Any = torch.arange(N)
    return list(torch.utils.data.DataLoader(examples, size, shuffle=True, generator=generator))


def batches_shuffled(N: int, size: int, generator: Generator) -> list[Tensor]:
    """Shuffle the order of the batches, whose images stay together."""
    batches = torch.arange(N).split(size)
    return [batches[i] for i in torch.randperm(len(batches), generator=generator)]


def shuffled_first(labels_too: bool) -> Callable[..., Any]:
    """An epoch over shuffled images beside labels in order, or shuffled another way."""

    def train_epoch(
        model: nn.Module,
        optimizer: Optimizer,
        X: Tensor,
        y: Tensor,
        batch_size: int,
        generator: Generator,
    ) -> Any:
        X = X[torch.randperm(len(X), generator=generator)]
        if labels_too:
            y = y[torch.randperm(len(y), generator=generator)]
        return epoch_by(batches=in_order)(model, optimizer, X, y, batch_size, generator)

    return train_epoch


def then_measured(*args: Any) -> Any:
    """Return the loss over the set after the epoch, in evaluation mode."""
    model, _, X, y, *_ = args
    epoch_by()(*args)
    model.eval()
    with torch.no_grad():
        return functional.cross_entropy(model(X), y).item()


def one_step(
    model: nn.Module,
    optimizer: Optimizer,
    X: Tensor,
    y: Tensor,
    batch_size: int,
    generator: Generator,
) -> Any:
    """Add the gradients of all batches up and take one step at the end."""
    optimizer.zero_grad()
    loss = epoch_by(steps=("loss", "backward"))(model, optimizer, X, y, batch_size, generator)
    optimizer.step()
    return loss


def with_own_optimizer(
    model: nn.Module,
    optimizer: Optimizer,
    X: Tensor,
    y: Tensor,
    batch_size: int,
    generator: Generator,
) -> Any:
    own = torch.optim.SGD(model.parameters(), lr=0.01)
    return epoch_by()(model, own, X, y, batch_size, generator)


# --- Right answers that look different ---------------------------------------------------------


def epoch_of_slices(
    model: nn.Module,
    optimizer: Optimizer,
    X: Tensor,
    y: Tensor,
    batch_size: int,
    generator: Generator,
) -> Tensor:
    """Shuffle copies first; gradients cleared after each step; the loss is a tensor."""
    order = torch.randperm(len(X), generator=generator)
    X, y = X[order], y[order]
    model.train(True)
    criterion = nn.CrossEntropyLoss()
    total = torch.zeros((), dtype=torch.float64)
    for start in range(0, len(X), batch_size):
        labels = y[start : start + batch_size]
        loss = criterion(model(X[start : start + batch_size]), labels)
        loss.backward()
        optimizer.step()
        model.zero_grad(set_to_none=False)
        total += loss.detach() * labels.numel()
    return total / X.shape[0]


def epoch_with_sampler(
    model: nn.Module,
    optimizer: Optimizer,
    X: Tensor,
    y: Tensor,
    batch_size: int,
    generator: Generator,
) -> float:
    """A DataLoader over the permuted images; the loss is a sum, the gradient of a mean."""
    order = torch.randperm(len(X), generator=generator).tolist()
    images = torch.utils.data.Subset(torch.utils.data.TensorDataset(X, y), order)
    total = 0.0
    loader = torch.utils.data.DataLoader(images, batch_size, generator=Generator())
    for batch, labels in loader:
        optimizer.zero_grad(set_to_none=True)
        losses = functional.cross_entropy(model.train()(batch), labels, reduction="none")
        losses.mean().backward()
        optimizer.step()
        total += losses.sum().item()
    return total / len(images)


def epoch_by_closure(
    model: nn.Module,
    optimizer: Optimizer,
    X: Tensor,
    y: Tensor,
    batch_size: int,
    generator: Generator,
) -> float:
    """Each step is a closure; the log-softmax is written out."""
    for module in model.modules():
        module.training = True
    indices = torch.randperm(len(y), generator=generator)
    running = []
    while len(indices):
        rows, indices = indices[:batch_size], indices[batch_size:]

        def closure(rows: Tensor = rows) -> float:
            optimizer.zero_grad()
            loss = functional.nll_loss(model(X[rows]).log_softmax(1), y[rows])
            loss.backward()
            return loss.item()

        running += [optimizer.step(closure)] * len(rows)
    return sum(running) / len(running)


train_epoch = Question(
    name="train_epoch",
    title="One epoch of training",
    points=4,
    reference=epoch_by(),
    cases=cases,
    use=use_train_epoch,
    mistakes=(
        Mistake(
            "no_zero_grad",
            epoch_by(steps=("loss", "backward", "step")),
            "gradients of earlier batches are still there and add up: optimizer.zero_grad() before "
            "each backward()",
        ),
        Mistake(
            "mode_as_it_comes",
            epoch_by(set_mode=nothing),
            "a model that comes in evaluation mode is trained in it, without dropout and with "
            "frozen batch statistics: begin with model.train()",
        ),
        Mistake(
            "in_eval",
            epoch_by(set_mode=eval_mode),
            "the model trains in evaluation mode, without dropout and with frozen batch "
            "statistics: begin with model.train()",
        ),
        Mistake(
            "step_before_backward",
            epoch_by(steps=("loss", "step", "zero", "backward")),
            "step() comes before backward(), so each step uses the gradient of the batch before, "
            "and the first has none: zero_grad(), backward(), step()",
        ),
        Mistake(
            "no_step",
            epoch_by(steps=("zero", "loss", "backward")),
            "the parameters never change: call optimizer.step() after backward(), for each batch",
        ),
        Mistake(
            "own_optimizer",
            with_own_optimizer,
            "the optimiser that comes in is not used: step with it, it has the learning rate and "
            "remembers its momentum from epoch to epoch",
        ),
        Mistake(
            "never_stepped",
            epoch_by(steps=("loss", "backward", "zero", "step")),
            "step() finds no gradient, so the parameters never change: call it after backward(), "
            "and zero_grad() not between the two",
        ),
        Mistake(
            "one_step",
            one_step,
            "there is one step in the whole epoch: zero_grad(), backward() and step() belong in "
            "the loop, once for each batch",
        ),
        Mistake(
            "two_steps",
            epoch_by(steps=(*STEPS, "step")),
            "step() is called twice a batch: once is enough",
        ),
        Mistake(
            "under_no_grad",
            under_no_grad,
            "nothing is recorded, so backward() has nowhere to go: no_grad() belongs to the "
            "evaluation, not to the training",
        ),
        Mistake(
            "no_shuffle",
            epoch_by(batches=in_order),
            "the images are not shuffled: take slices of torch.randperm(len(X), "
            "generator=generator)",
        ),
        Mistake(
            "global_numbers",
            epoch_by(batches=by_global_numbers),
            "the order is drawn from torch's own random numbers: give randperm the generator, "
            "torch.randperm(len(X), generator=generator)",
        ),
        Mistake(
            "data_loader",
            epoch_by(batches=by_loader),
            "a DataLoader draws another permutation from the generator: here use slices of "
            "torch.randperm(len(X), generator=generator), so that results can be compared",
        ),
        Mistake(
            "batches_shuffled",
            epoch_by(batches=batches_shuffled),
            "the batches come in random order, but each holds the same images every time: shuffle "
            "the images, torch.randperm(len(X), generator=generator)",
        ),
        Mistake(
            "with_replacement",
            epoch_by(batches=with_replacement),
            "the images are drawn with replacement, so an epoch misses some: take slices of "
            "torch.randperm(len(X), generator=generator)",
        ),
        Mistake(
            "labels_not_shuffled",
            shuffled_first(labels_too=False),
            "the images are shuffled and the labels are not: index both with the same permutation",
        ),
        Mistake(
            "labels_of_the_first_batch",
            epoch_by(take=lambda X, y, i: (X[i], y[: len(i)])),
            "each batch gets the labels of the first images: index images and labels alike, "
            "X[batch] and y[batch]",
        ),
        Mistake(
            "two_permutations",
            shuffled_first(labels_too=True),
            "images and labels are shuffled apart: index both with the same permutation",
        ),
        Mistake(
            "last_batch_dropped",
            epoch_by(batches=full_batches_only),
            "the last, smaller batch is left out: go on until all images are used",
        ),
        Mistake(
            "first_batch_only",
            epoch_by(batches=lambda N, size, g: shuffled(N, size, g)[:1]),
            "only the first batch is used: the return belongs after the loop",
        ),
        Mistake(
            "full_batch",
            epoch_by(take=lambda X, y, i: (X, y)),
            "each step sees all the images: use the batch alone, X[batch] and y[batch]",
        ),
        Mistake(
            "mean_of_batches",
            epoch_by(gather=lambda losses, sizes, size: sum(losses) / len(losses)),
            "the loss is the mean of the batches' means, so the images of a small last batch count "
            "too much: weight each batch's loss by its number of images",
        ),
        Mistake(
            "weighted_by_batch_size",
            epoch_by(gather=lambda losses, sizes, size: sum(losses) * size / sum(sizes)),
            "each batch's loss is weighted by batch_size, but the last batch may be smaller: "
            "weight it by its own number of images",
        ),
        Mistake(
            "sum_of_batches",
            epoch_by(gather=lambda losses, sizes, size: sum(losses)),
            "that is the sum of the batches' losses: return the mean over the images",
        ),
        Mistake(
            "sum_of_examples",
            epoch_by(gather=lambda losses, sizes, size: weighted(losses, sizes, size) * sum(sizes)),
            "that is the sum of the images' losses: divide it by their number",
        ),
        Mistake(
            "sum_over_images_by_batches",
            epoch_by(gather=lambda losses, sizes, size: sum(losses) / sum(sizes)),
            "the batches' mean losses are divided by the number of images: first multiply each by "
            "the number of images in its batch",
        ),
        Mistake(
            "loss_of_last_batch",
            epoch_by(gather=lambda losses, sizes, size: losses[-1]),
            "that is the last batch's loss: return the mean over all images of the epoch",
        ),
        Mistake(
            "all_losses",
            epoch_by(gather=lambda losses, sizes, size: losses),
            "there is one loss for each batch: return their mean over the images, one number",
        ),
        Mistake(
            "loss_after_step",
            epoch_by(steps=(*STEPS, "loss")),
            "the loss is computed again after the step, which costs a second forward pass: keep "
            "the one that backward() starts from",
        ),
        Mistake(
            "then_measured",
            then_measured,
            "the loss is measured once, at the end of the epoch: return the mean of the losses "
            "seen on the way, each before its step",
        ),
        Mistake(
            "summed_in_the_gradient",
            epoch_by(loss_of=mean_loss, scale=lambda here, N: float(here)),
            "backward() starts from the sum over the batch, so the step grows with the batch: "
            "start from the mean",
        ),
        Mistake(
            "summed",
            epoch_by(loss_of=total_loss),
            'cross_entropy sums over the batch (reduction="sum"), so the step grows with the '
            "batch: leave it at the mean",
        ),
        Mistake(
            "divided_by_batch",
            epoch_by(scale=lambda here, N: 1 / here),
            "the loss is divided by the batch's size before backward(), but it is a mean already: "
            "the steps are too small",
        ),
        Mistake(
            "divided_by_N",
            epoch_by(scale=lambda here, N: here / N),
            "the gradient is weighted by the batch's share of the set: backward() starts from the "
            "batch's own mean loss, weights are for the number that you return",
        ),
        Mistake(
            "softmax_twice",
            epoch_by(loss_of=lambda logits, y: mean_loss(logits.softmax(1), y)),
            "softmax is applied twice: cross_entropy takes the logits as they are",
        ),
        Mistake(
            "ascent",
            epoch_by(scale=lambda here, N: -1.0),
            "the loss goes up: backward() starts from the loss, not from minus the loss",
        ),
    ),
    variants=(
        Variant("shuffled copies, zero_grad at the end", epoch_of_slices),
        Variant("a DataLoader over the permuted images", epoch_with_sampler),
        Variant("closures, log-softmax", epoch_by_closure),
    ),
    hints=(
        "model.train(); then a loop over torch.randperm(len(X), generator=generator)"
        ".split(batch_size), with X[batch] and y[batch].",
        "For each batch: optimizer.zero_grad(), loss = cross_entropy(model(X[batch]), y[batch]), "
        "loss.backward(), optimizer.step().",
        "Add up loss.item() * len(batch) and divide by len(X) after the loop.",
    ),
)
