"""The search of DARTS: architecture and weights move in turn, each down the loss of its own data.

Source: Liu, Simonyan and Yang, DARTS: Differentiable architecture search, 2019, algorithm 1 and
appendix A.1.1.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import CosineAnnealingLR

from mlcourse import checkpoints
from mlcourse.clipping import clip_by_norm_
from mlcourse.nas.architect import Architect, Order
from mlcourse.nas.genotype import Genotype
from mlcourse.nas.norms import measure_statistics_
from mlcourse.nas.remedies.remedy import Remedy, strengths_by_kind
from mlcourse.nas.supernet import Supernet
from mlcourse.training import Batches, History, Numbers, evaluate


@dataclass
class Search:
    """What a search has done: each list has an entry for an epoch, from its end.

    `history` has `train_loss`, `train_accuracy`, `lr`, `seconds` (of training alone) and what was
    asked for; `alphas` the architecture parameters by name, on the CPU; `genotypes` the derived
    cells, if the model derives any.
    """

    history: History = field(default_factory=History)
    alphas: list[dict[str, Tensor]] = field(default_factory=list)
    genotypes: list[Any] = field(default_factory=list)


def search(
    model: nn.Module,
    train: Batches,
    val: Batches,
    *,
    epochs: int,
    order: Order = "first",
    lr: float = 0.025,
    lr_min: float = 0.001,
    momentum: float = 0.9,
    weight_decay: float = 3e-4,
    clip: float = 5.0,
    lr_alpha: float = 3e-4,
    weight_decay_alpha: float = 1e-3,
    warm_up: int = 0,
    evaluate_on: Mapping[str, Batches] | None = None,
    record: Callable[[Any], Numbers] | None = None,
    stop: Callable[[History], bool] | None = None,
    remedies: Sequence[Remedy] = (),
    generator: torch.Generator | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
) -> Search:
    """Search with a Supernet, or a module that has its `architecture()` and `weights()`.

    For each batch of `train`, a step of alpha down the loss of a batch of `val`, whose gradient
    `Architect` makes in the given `order`; then a step of the weights down that of the batch of
    `train`. `train` and `val` share no images; `val` starts again where it ends. The weights move
    by SGD with a rate that falls from lr to lr_min by a cosine, an epoch a step, and gradients
    clipped to the norm `clip`; alpha moves by Adam with betas (0.5, 0.999), but not in the first
    `warm_up` epochs. The defaults are the paper's, for batches of 64 and 50 epochs (lr_min is that
    of its code: the paper says 0).

    `evaluate_on` adds NAME_loss and NAME_accuracy to the history, in evaluation mode. For this the
    statistics of batch norms are measured in one more pass over `train` (`measure_statistics_`):
    those kept in training lag far behind in short searches. `record(model)` adds its columns, by
    default those of `strengths_and_skips` for a supernet. When `stop(history)`, asked after each
    epoch, is true, or the loss is not finite, the epoch was the last. Each of `remedies` (see
    `mlcourse.nas.remedies`) acts on the model and the search at its moments; give them a new model.
    `generator` is what the model draws from, if not torch's own.

    With a `checkpoint` the state is written there after each epoch, and a search that finds the
    file continues where it ends: on a CPU bit for bit, where batches draw from their attribute
    `generator` or torch's own. Raises ValueError when there are no batches, for warm_up below 0,
    and for a checkpoint that is damaged or belongs to another search.
    """
    if warm_up < 0:
        raise ValueError(f"warm_up is {warm_up}: give 0 or more epochs")
    settings = _Settings(
        order=order,
        epochs=epochs,
        lr=lr,
        lr_min=lr_min,
        momentum=momentum,
        weight_decay=weight_decay,
        clip=clip,
        lr_alpha=lr_alpha,
        weight_decay_alpha=weight_decay_alpha,
        warm_up=warm_up,
    )
    run = _Run(model, train, val, settings, generator, remedies)
    if record is None and hasattr(model, "alpha_names"):
        record = strengths_and_skips
    found = Search()
    if checkpoint is not None and os.path.exists(checkpoint):
        found = run.load(checkpoint)

    def finished() -> bool:
        history = found.history
        stops = [*([stop] if stop else []), *(remedy.stop for remedy in remedies)]
        stopped = history.epochs > 0 and any(asked(history) for asked in stops)
        return history.epochs >= epochs or history.diverged or stopped

    while not finished():
        for remedy in remedies:
            remedy.begin_epoch(model, found.history.epochs, epochs)
        numbers = dict(run.epoch(move_alpha=found.history.epochs >= warm_up))
        numbers |= run.scores(evaluate_on) if evaluate_on else {}
        for recorded in (record, *(remedy.record for remedy in remedies)):
            numbers |= recorded(model) if recorded else {}
        found.history.append(**numbers)
        found.alphas.append(run.alphas())
        if hasattr(model, "genotype"):
            found.genotypes.append(model.genotype())  # type: ignore[operator]
        if checkpoint is not None:
            run.save(checkpoint, found)
    return found


def strengths_and_skips(model: Any) -> Numbers:
    """Return, for each kind of a supernet's cells, each operation's strength and derived skips.

    The columns are KIND_OPERATION, the mean over edges of the operation's weight, and KIND_skips,
    the number of skip connections among the edges of the derived cell.
    """
    numbers: dict[str, float] = {}
    for kind, strengths in strengths_by_kind(model).items():
        means = zip(model.operations, strengths.mean(0).tolist(), strict=True)
        numbers |= {f"{kind}_{name}": mean for name, mean in means}
        numbers[f"{kind}_skips"] = model.skips(kind)
    return numbers


@dataclass(frozen=True)
class _Settings:
    order: Order
    epochs: int
    lr: float
    lr_min: float
    momentum: float
    weight_decay: float
    clip: float
    lr_alpha: float
    weight_decay_alpha: float
    warm_up: int


class _Run:
    """Everything that changes in a search."""

    def __init__(
        self,
        model: nn.Module,
        train: Batches,
        val: Batches,
        settings: _Settings,
        generator: torch.Generator | None,
        remedies: Sequence[Remedy],
    ) -> None:
        # First: a remedy may bring parameters of its own.
        for remedy in remedies:
            remedy.attach(model, generator)
        self.remedies = remedies
        self.model, self.batches, self.generator = model, (train, val), generator
        self.settings = settings
        self.optimizer = torch.optim.SGD(
            model.weights(),  # type: ignore[operator]
            settings.lr,
            momentum=settings.momentum,
            weight_decay=settings.weight_decay,
        )
        self.alpha_optimizer = torch.optim.Adam(
            model.architecture(),  # type: ignore[operator]
            settings.lr_alpha,
            betas=(0.5, 0.999),
            weight_decay=settings.weight_decay_alpha,
        )
        self.schedule = CosineAnnealingLR(self.optimizer, settings.epochs, eta_min=settings.lr_min)
        self.architect = Architect(
            model,
            self.optimizer,
            settings.order,
            generator=generator,
            penalty=self._penalty if remedies else None,
        )

    def epoch(self, move_alpha: bool) -> Numbers:
        """Pass once over the training batches, and return the means over its images."""
        start = time.perf_counter()
        train, val = self.batches
        device = next(self.model.parameters()).device
        held_out = _again_and_again(val)
        # On the device: asking for each batch's numbers would make a GPU wait.
        sums, n = torch.zeros(2, dtype=torch.float64, device=device), 0
        lr = float(self.optimizer.param_groups[0]["lr"])
        self.model.train()
        for X, y in train:
            X, y = X.to(device), y.to(device)
            if move_alpha:
                X_val, y_val = next(held_out)
                self.architect.backward((X, y), (X_val.to(device), y_val.to(device)))
                self.alpha_optimizer.step()
            loss, logits = self._move_weights(X, y)
            correct = (logits.argmax(1) == y).sum()
            sums += torch.stack([loss.double() * len(y), correct.double()])
            n += len(y)
        if not n:
            raise ValueError("there are no training batches: give at least one, in a list")
        self.schedule.step()
        train_loss, train_accuracy = (sums / n).tolist()
        return {
            "train_loss": train_loss,
            "train_accuracy": train_accuracy,
            "lr": lr,
            "seconds": time.perf_counter() - start,
        }

    def _move_weights(self, X: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Take a step of the weights, and return loss and logits before it."""
        # The architecture gets a gradient too, but the architect puts its own in its place.
        self.model.zero_grad()
        logits = self.model(X)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        clip_by_norm_(self.optimizer.param_groups[0]["params"], self.settings.clip)
        self.optimizer.step()
        return loss.detach(), logits.detach()

    def scores(self, evaluate_on: Mapping[str, Batches]) -> Numbers:
        """Return loss and accuracy on each of some batches, and leave what is drawn as it was."""
        measure_statistics_(self.model, self.batches[0], self.generator)
        return {
            f"{name}_{what}": number
            for name, batches in evaluate_on.items()
            for what, number in evaluate(self.model, batches).items()
        }

    def _penalty(self, alphas: dict[str, Tensor]) -> Tensor | float:
        """What the remedies add to the validation loss."""
        return sum(remedy.penalty(self.model, alphas) for remedy in self.remedies)

    def alphas(self) -> dict[str, Tensor]:
        """Return copies of the architecture parameters, on the CPU."""
        return {name: p.detach().cpu().clone() for name, p in self.architect.alphas().items()}

    def save(self, path: str | os.PathLike[str], found: Search) -> None:
        """Write the state so that at any moment the file is the old one or the new one."""
        genotypes = [tuple(g) if isinstance(g, Genotype) else g for g in found.genotypes]
        state = {
            "settings": self._identity(),
            "history": dict(found.history),
            "alphas": found.alphas,
            "genotypes": genotypes,
            **{name: changing.state_dict() for name, changing in self._changing().items()},
            "random": [checkpoints.random_states(batches) for batches in self.batches],
            "generator": self.generator.get_state() if self.generator else None,
        }
        checkpoints.write(path, state)

    def load(self, path: str | os.PathLike[str]) -> Search:
        """Put the search in the file's state and return what it had found."""
        state = checkpoints.read(path)
        if not isinstance(state, dict) or "settings" not in state:
            raise ValueError(f"{path} is damaged or no checkpoint: delete it, or give another path")
        there = state["settings"]
        for name, here in self._identity().items():
            if there.get(name) != here:
                raise ValueError(
                    f"the checkpoint {path} belongs to another search: {name} is "
                    f"{there.get(name)} there and {here} here; give the same, or another path"
                )
        for name, changing in self._changing().items():
            changing.load_state_dict(state[name])
        for batches, drawn in zip(self.batches, state["random"], strict=True):
            checkpoints.restore_random_states(drawn, batches)
        if self.generator:
            self.generator.set_state(state["generator"])
        derives_genotypes = isinstance(self.model, Supernet)
        genotypes = [Genotype(*g) if derives_genotypes else g for g in state["genotypes"]]
        return Search(History(state["history"]), state["alphas"], genotypes)

    def _identity(self) -> dict[str, Any]:
        """What two searches must share for one to continue the other."""
        size = sum(p.numel() for p in self.model.parameters())
        return {
            **asdict(self.settings),
            "the number of parameters": size,
            "generator": "given" if self.generator else "none",
            "remedies": ", ".join(map(repr, self.remedies)),
        }

    def _changing(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "alpha_optimizer": self.alpha_optimizer,
            "schedule": self.schedule,
        }


def _again_and_again(batches: Batches) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        batch = None
        for batch in batches:
            yield batch
        if batch is None:
            raise ValueError("there are no validation batches: give at least one, in a list")
