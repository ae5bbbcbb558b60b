"""One search on images, and one training of its cell: the work of darts.py.

The settings are those of the papers and of their code: Liu, Simonyan and
Yang, DARTS, 2019, appendices A.1.1 and A.2.1, and Xu et al., PC-DARTS, 2020,
section 4.2. All cells are trained in one way, that of DARTS.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from records import rounded

from mlcourse import augmentation, preprocessing, training
from mlcourse.clipping import clip_by_norm_
from mlcourse.data import Images
from mlcourse.loading import Loader
from mlcourse.nas import (
    DARTS_V1,
    DARTS_V2,
    OPERATIONS,
    PC_DARTS,
    DerivedNet,
    Genotype,
    Supernet,
)
from mlcourse.nas import search as search_supernet
from mlcourse.nas.fast import fast
from mlcourse.nas.genotype import KINDS, from_json
from mlcourse.nas.remedies import EdgeNormalization, PartialChannels

NODES = 4


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is searched and trained; the defaults are the paper's.

    `searching` has settings that replace those of each way. None: all images.
    """

    search_channels: int = 16
    search_layers: int = 8
    search_epochs: int = 50
    search_images: int | None = None
    searching: dict[str, Any] = field(default_factory=dict)
    train_channels: int = 36
    train_layers: int = 20
    train_epochs: int = 600
    train_images: int | None = None
    test_images: int | None = None
    batch_size: int = 96
    lr: float = 0.025
    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float = 5.0
    auxiliary: float = 0.4
    drop_path: float = 0.2
    cutout: int = 16


PAPER = Scale()

#: For a CPU. Two hundred steps of a search: for alpha to go as far as in the
#: paper, its rate is so much larger. Little is learned by heart in so short a
#: training, so there is less against it.
PROXY = Scale(
    search_channels=8,
    search_layers=5,
    search_epochs=5,
    search_images=2560,
    searching={"batch_size": 32, "lr": 0.025, "lr_alpha": 0.02},
    train_channels=8,
    train_layers=6,
    train_epochs=4,
    train_images=4096,
    test_images=2000,
    batch_size=64,
    lr=0.05,
    drop_path=0.1,
    cutout=8,
)

#: Seconds: does everything run?
REHEARSAL = replace(
    PROXY,
    search_channels=4,
    search_layers=3,
    search_epochs=2,
    search_images=16,
    searching={**PROXY.searching, "batch_size": 4},
    train_channels=4,
    train_layers=3,
    train_epochs=2,
    train_images=16,
    test_images=16,
    batch_size=8,
)


@dataclass(frozen=True, kw_only=True)
class Way:
    """How to search: `share` above 1 is PC-DARTS, with edge normalisation.

    `warm_up` is the part of the epochs in which alpha does not move.
    """

    order: str = "first"
    share: int = 1
    batch_size: int = 64
    lr: float = 0.025
    lr_alpha: float = 3e-4
    warm_up: float = 0.0

    def remedies(self) -> list[Any]:
        """The switches of the search."""
        if self.share == 1:
            return []
        return [PartialChannels(self.share), EdgeNormalization()]


SEARCHES = {
    "first-order": Way(),
    "finite-difference": Way(order="finite_difference"),
    "exact": Way(order="exact"),
    "PC-DARTS": Way(
        share=4, batch_size=256, lr=0.1, lr_alpha=6e-4, warm_up=0.3
    ),
}

#: Cells that others found, to be trained in our way.
CELLS = {
    "published-V1": DARTS_V1,
    "published-V2": DARTS_V2,
    "published-PC-DARTS": PC_DARTS,
}

RANDOM = "random"
WAYS = (*SEARCHES, RANDOM, *CELLS)


class How(NamedTuple):
    """What both parts of a run share besides its way and seed."""

    scale: Scale
    images: Images
    precision: training.Precision
    kernels: str
    checkpoint: Path
    stop: Callable[[training.History], bool]


def search(way: str, seed: int, how: How) -> dict[str, Any] | None:
    """Search once: what the record says of it, or None if it was stopped."""
    scale = how.scale
    setting = replace(SEARCHES[way], **scale.searching)
    device = prepared(seed, how.kernels)
    images = how.images.to(device)
    train, val = halves(images, setting.batch_size, seed, scale)
    generator = torch.Generator().manual_seed(seed)
    supernet = Supernet(
        scale.search_channels,
        scale.search_layers,
        len(images.classes),
        nodes=NODES,
        generator=generator,
    ).to(device, memory_format=torch.channels_last)
    found = search_supernet(
        # The quick form is one for CPUs.
        fast(supernet) if device.type == "cpu" else supernet,
        train,
        val,
        epochs=scale.search_epochs,
        order=setting.order,
        lr=setting.lr,
        lr_alpha=setting.lr_alpha,
        warm_up=round(setting.warm_up * scale.search_epochs),
        remedies=setting.remedies(),
        generator=generator,
        checkpoint=how.checkpoint,
        stop=how.stop,
    )
    history = found.history
    if not ended(history, scale.search_epochs):
        return None
    return {
        "setting": asdict(setting),
        "epochs": history.epochs,
        "diverged": history.diverged,
        "parameters": sum(p.numel() for p in supernet.parameters()),
        **seconds(history, len(train)),
        **cell(found.genotypes[-1]),
        "strengths": {
            name: rounded(column[-1])
            for name, column in history.items()
            if name.startswith(KINDS) and not name.endswith("_skips")
        },
        **{
            name: rounded(history[name])
            for name in ("train_accuracy", "normal_skips", "reduce_skips")
        },
    }


def retrain(way: str, seed: int, genotype: Genotype, how: How):
    """Train a cell's network from the start, and test it once, at the end.

    No epoch is chosen by the test images. None if it was stopped.
    """
    scale = how.scale
    device = prepared(seed, how.kernels)
    images = how.images.to(device)
    batches, test = loaders(images, seed, scale)
    steps = scale.train_epochs * len(batches)
    model = DerivedNet(
        genotype,
        scale.train_channels,
        scale.train_layers,
        len(images.classes),
        auxiliary=scale.auxiliary,
        drop_path=scale.drop_path,
        growth=steps,
    ).to(device, memory_format=torch.channels_last)
    weights = list(model.parameters())
    optimizer = torch.optim.SGD(
        weights,
        lr=scale.lr,
        momentum=scale.momentum,
        weight_decay=scale.weight_decay,
    )
    optimizer.register_step_pre_hook(clipping(weights, scale.clip))
    history = training.train_model(
        model,
        batches,
        optimizer,
        epochs=scale.train_epochs,
        loss=model.loss,
        schedule=torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps),
        checkpoint=how.checkpoint,
        stop=how.stop,
        precision=how.precision,
        progress=False,
    )
    if not ended(history, scale.train_epochs):
        return None
    score = training.evaluate(model, test, precision=how.precision)
    return {
        "epochs": history.epochs,
        "diverged": history.diverged,
        "parameters": deployed(model),
        **seconds(history, len(batches)),
        **cell(genotype),
        "train_accuracy": rounded(history.last["train_accuracy"]),
        "test_error": rounded(1 - score["accuracy"]),
    }


def prepared(seed: int, kernels: str) -> torch.device:
    """Seed everything, and choose cuDNN's kernels: by rule or by speed."""
    training.seed_everything(seed)
    torch.backends.cudnn.deterministic = kernels == "deterministic"
    torch.backends.cudnn.benchmark = kernels == "fastest"
    return training.device()


def clipping(weights: list[torch.Tensor], max_norm: float):
    """What clips the gradients before each step of an optimiser."""

    def clip(*_):
        clip_by_norm_(weights, max_norm)

    return clip


def ended(history: training.History, epochs: int) -> bool:
    """Whether a run is at its end, rather than stopped."""
    return history.epochs == epochs or history.diverged


def seconds(history: training.History, steps: int) -> dict[str, float]:
    """Those of all epochs, and of a step; on a GPU nothing else waits."""
    total = sum(history["seconds"])
    return {
        "seconds": rounded(total),
        "step_seconds": rounded(total / (history.epochs * steps)),
    }


def cell(genotype: Genotype) -> dict[str, Any]:
    """A genotype, and how often each operation is in it."""
    counts = {
        kind: dict(Counter(name for name, _ in genotype.genes(kind)))
        for kind in KINDS
    }
    return {"genotype": genotype._asdict(), "operations": counts}


def deployed(model: DerivedNet) -> int:
    """The parameters without those of the auxiliary head."""
    return sum(
        p.numel()
        for name, p in model.named_parameters()
        if not name.startswith("auxiliary")
    )


def known_cell(way: str, seed: int) -> Genotype:
    """A cell that no search of ours found: random, or published."""
    return random_cell(seed) if way == RANDOM else CELLS[way]


def random_cell(seed: int) -> Genotype:
    """For each node two of the states before it, and an operation on each."""
    generator = torch.Generator().manual_seed(seed)
    candidates = [name for name in OPERATIONS if name != "none"]

    def genes():
        made = []
        for node in range(2, 2 + NODES):
            sources = torch.randperm(node, generator=generator)[:2]
            chosen = torch.randint(len(candidates), (2,), generator=generator)
            for source, k in zip(
                sorted(sources.tolist()), chosen.tolist(), strict=True
            ):
                made.append((candidates[k], source))
        return tuple(made)

    out = tuple(range(2, 2 + NODES))
    return Genotype(genes(), out, genes(), out)


def halves(images: Images, batch_size: int, seed: int, scale: Scale):
    """The batches of the weights and those of alpha: no image is in both."""
    order = drawn(images.X_train, seed)[: scale.search_images]
    preprocess = preprocessing.Standardise.fit(images.X_train)
    X, y = last_channels(images.X_train), images.y_train
    generator = torch.Generator(X.device).manual_seed(seed)
    return tuple(
        Loader(
            augmentation.take(X, half),
            y[half],
            batch_size,
            preprocess=preprocess,
            augment=moved(),
            generator=generator,
        )
        for half in order.chunk(2)
    )


def loaders(images: Images, seed: int, scale: Scale) -> tuple[Loader, Loader]:
    """The training batches, augmented and cut out, and the test batches."""
    order = drawn(images.X_train, seed)[: scale.train_images]
    standardise = preprocessing.Standardise.fit(images.X_train)
    X = last_channels(images.X_train)
    generator = torch.Generator(X.device).manual_seed(seed)

    def cut_out(batch: torch.Tensor) -> torch.Tensor:
        # After the standardisation: a hole is as bright as the mean.
        return augmentation.cutout(
            standardise(batch), scale.cutout, generator
        )

    batches = Loader(
        augmentation.take(X, order),
        images.y_train[order],
        scale.batch_size,
        preprocess=cut_out,
        augment=moved(),
        generator=generator,
    )
    test = Loader(
        last_channels(images.X_test[: scale.test_images]),
        images.y_test[: scale.test_images],
        500,
        preprocess=standardise,
        shuffle=False,
    )
    return batches, test


def moved() -> list[Callable[..., torch.Tensor]]:
    """What moves images: crops of the image with a border, and flips."""
    return [
        partial(augmentation.random_crop, size=32, padding=4),
        augmentation.random_flip,
    ]


def drawn(X: torch.Tensor, seed: int) -> torch.Tensor:
    """The numbers of the images in an order that only the seed decides."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(len(X), generator=generator).to(X.device)


def last_channels(X: torch.Tensor) -> torch.Tensor:
    """The images with a pixel's channels side by side, as kernels like."""
    return X.contiguous(memory_format=torch.channels_last)


def genotype_of(line: dict[str, Any]) -> Genotype:
    """The genotype in a line of the record."""
    return from_json(json.dumps(line["genotype"]))
