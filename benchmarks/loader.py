"""Images a second: the course's loader, and torch's DataLoader with torchvision's transforms.

    python benchmarks/loader.py [--out book/results/loader.json]

Batches of 128 of 32x32 colour images, shuffled: a crop of 32 after padding by 4, a horizontal
flip, float, each channel normalised; one crop and one flip an image. Nothing is trained. The pixels
are in memory as uint8 from the start, for all alike. DataLoader runs in three ways (see WAYS), with
0, 1, 2 and 4 persistent workers; the fastest of these is what ours is compared with. The last way,
transforms of a whole batch, gives all images of a batch the same crop and the same flip: that is
less augmentation, so it is shown and not compared with. The ways take turns within each repeat, so
that a machine that slows down slows all of them; each has a pass before that is not timed, in which
workers start.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms as v1
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from mlcourse.augmentation import random_crop, random_flip
from mlcourse.book.runs import machine
from mlcourse.loading import Loader
from mlcourse.preprocessing import Standardise

BATCH, SIDE, PADDING = 128, 32, 4
WORKERS = (0, 1, 2, 4)
Batches = Iterable[tuple[Tensor, Tensor]]


class OneByOne(Dataset):
    """Images as they are usually kept for `transform`: one item is one image, transformed."""

    def __init__(self, X, y: Tensor, transform: Callable) -> None:
        self.X, self.y, self.transform = X, y.tolist(), transform

    def __len__(self) -> int:
        return len(self.X)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.X[index]), self.y[index]


class ByBatch(Dataset):
    """A batch at once: `each` (if any) on each image, then `all_` on the stacked batch."""

    def __init__(self, X: Tensor, y: Tensor, each: Callable | None, all_: Callable) -> None:
        self.X, self.y, self.each, self.all_ = X, y, each, all_

    def __len__(self) -> int:
        return len(self.X)

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        X = self.X[indices]
        if self.each:
            X = torch.stack([self.each(image) for image in X])
        return self.all_(X), self.y[indices]


def as_it_is(batch: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Collate what is a batch already."""
    return batch


def with_pil(X: Tensor, y: Tensor, fitted: Standardise) -> tuple[Dataset, Callable | None]:
    """The transforms of torchvision's own CIFAR10 set: on PIL images, one by one."""
    steps = [
        v1.ToPILImage(),
        v1.RandomCrop(SIDE, PADDING),
        v1.RandomHorizontalFlip(),
        v1.ToTensor(),
        v1.Normalize(fitted.mean.tolist(), fitted.std.tolist()),
    ]
    return OneByOne(X.permute(0, 2, 3, 1).contiguous().numpy(), y, v1.Compose(steps)), None


def with_v2(X: Tensor, y: Tensor, fitted: Standardise) -> tuple[Dataset, Callable | None]:
    """torchvision's newer transforms, on uint8 tensors, one by one."""
    steps = [v2.RandomCrop(SIDE, PADDING), v2.RandomHorizontalFlip(), *_to_float(fitted)]
    return OneByOne(X, y, v2.Compose(steps)), None


def with_v2_by_batch(X: Tensor, y: Tensor, fitted: Standardise) -> tuple[Dataset, Callable | None]:
    """Crop and flip by v2's functions on each image, then float and normalise the whole batch."""
    return ByBatch(X, y, crop_and_flip, v2.Compose(_to_float(fitted))), as_it_is


def crop_and_flip(image: Tensor) -> Tensor:
    """Crop and flip one image with as little around torchvision's functions as can be."""
    padded = functional.pad(image, [PADDING])
    top, left = torch.randint(2 * PADDING + 1, (2,)).tolist()
    image = functional.crop(padded, top, left, SIDE, SIDE)
    return functional.horizontal_flip(image) if torch.rand(()) < 0.5 else image


def with_one_for_all(X: Tensor, y: Tensor, fitted: Standardise) -> tuple[Dataset, Callable | None]:
    """v2's transforms on the stacked batch: one crop and one flip for all of its images."""
    steps = [v2.RandomCrop(SIDE, PADDING), v2.RandomHorizontalFlip(), *_to_float(fitted)]
    return ByBatch(X, y, None, v2.Compose(steps)), as_it_is


def _to_float(fitted: Standardise) -> list[Callable]:
    normalise = v2.Normalize(fitted.mean.tolist(), fitted.std.tolist())
    return [v2.ToDtype(torch.float32, scale=True), normalise]


#: DataLoader's ways. The last one is not the same augmentation.
WAYS = {
    "PIL transforms": with_pil,
    "v2 transforms": with_v2,
    "v2, float by batch": with_v2_by_batch,
    "v2, all by batch": with_one_for_all,
}
NOT_THE_SAME = "v2, all by batch"


def ours(X: Tensor, y: Tensor, fitted: Standardise) -> Batches:
    """The course's loader."""
    crop = partial(random_crop, size=SIDE, padding=PADDING)
    return Loader(X, y, BATCH, preprocess=fitted, augment=[crop, random_flip])


def theirs(way: str, workers: int, X: Tensor, y: Tensor, fitted: Standardise) -> Batches:
    """DataLoader in one of WAYS."""
    dataset, collate = WAYS[way](X, y, fitted)
    with warnings.catch_warnings():  # of more workers than cores, which is what we try
        warnings.simplefilter("ignore")
        return DataLoader(
            dataset,
            BATCH,
            shuffle=True,
            num_workers=workers,
            collate_fn=collate,
            persistent_workers=workers > 0,
        )


def images_a_second(batches: Batches, threads: int) -> float:
    """Make one pass and return its images a second."""
    torch.set_num_threads(threads)
    start = time.perf_counter()
    count = sum(len(X) for X, _ in batches)
    return count / (time.perf_counter() - start)


def measure(n: int, repeats: int, seed: int = 0) -> list[dict]:
    """Return a row for each way: median and range of images a second over `repeats` passes.

    Sets torch's number of threads, and puts it back.
    """
    torch.manual_seed(seed)
    X = torch.randint(256, (n, 3, SIDE, SIDE), dtype=torch.uint8)
    y = torch.randint(10, (n,))
    fitted = Standardise.fit(X)
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    passes = {("ours", threads, 0): ours(X, y, fitted) for threads in sorted({cores, 1})}
    for way in WAYS:
        for workers in WORKERS:
            passes[way, cores, workers] = theirs(way, workers, X, y, fitted)
    rates: dict[tuple, list[float]] = {key: [] for key in passes}
    before = torch.get_num_threads()
    try:
        for key, batches in passes.items():
            images_a_second(batches, key[1])
        for _ in range(repeats):
            for key, batches in passes.items():
                rates[key].append(images_a_second(batches, key[1]))
    finally:
        torch.set_num_threads(before)
    return [
        {
            "way": way,
            "threads": threads,
            "workers": workers,
            "median": round(statistics.median(values)),
            "low": round(min(values)),
            "high": round(max(values)),
        }
        for (way, threads, workers), values in rates.items()
    ]


def summarise(rows: list[dict]) -> dict:
    """Return the fastest DataLoader that does the same, and how many times as fast ours is."""
    fastest = max(
        (row for row in rows if row["way"] not in ("ours", NOT_THE_SAME)),
        key=lambda row: row["median"],
    )
    mine = {row["threads"]: row["median"] for row in rows if row["way"] == "ours"}
    return {
        "fastest": {"way": fastest["way"], "workers": fastest["workers"]},
        "ratio": round(mine[max(mine)] / fastest["median"], 1),
        "ratio_one_thread": round(mine[1] / fastest["median"], 1),
    }


def table(rows: list[dict]) -> Table:
    """The rows as a table for the terminal."""
    made = Table(title="Images a second: median (lowest to highest)")
    for column, justify in (("way", "left"), ("threads", "right"), ("workers", "right")):
        made.add_column(column, justify=justify)
    made.add_column("images a second", justify="right")
    for row in rows:
        rate = f"{row['median']:,} ({row['low']:,} to {row['high']:,})"
        made.add_row(row["way"], str(row["threads"]), str(row["workers"]), rate)
    return made


def main() -> None:
    """Measure, print the table and, with --out, store the numbers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, help="write the numbers to this JSON file too")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if os.getloadavg()[0] > 1:
        print(f"other programs are running (load {os.getloadavg()[0]:.1f}): expect wide ranges")
    rows = measure(options.images, options.repeats, options.seed)
    summary = summarise(rows)
    Console(width=100).print(table(rows))
    fastest = summary["fastest"]
    print(
        f"ours is {summary['ratio']} times as fast as the fastest DataLoader "
        f"({fastest['way']}, {fastest['workers']} workers), "
        f"on one thread {summary['ratio_one_thread']} times"
    )
    if options.out:
        record = {
            "date": datetime.now(UTC).strftime("%Y-%m-%d"),
            "command": "python benchmarks/loader.py --out book/results/loader.json",
            "seed": options.seed,
            "machine": machine(),
            "batch": BATCH,
            "images": options.images,
            "repeats": options.repeats,
            **summary,
            "rows": rows,
        }
        text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
        options.out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
