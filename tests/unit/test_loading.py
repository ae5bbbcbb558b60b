"""The loader: every image once a pass, orders by seed, the last batch, augmentation in place."""

from functools import partial

import pytest
import torch

from mlcourse.augmentation import random_crop, random_flip
from mlcourse.loading import Loader
from mlcourse.preprocessing import Standardise


def numbered(n: int = 23) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose pixels are all their own number, which is their label too."""
    y = torch.arange(n)
    return y.to(torch.uint8).view(n, 1, 1, 1).expand(n, 3, 8, 8).clone(), y


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def labels(loader: Loader) -> list[int]:
    return torch.cat([y for _, y in loader]).tolist()


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("batch_size", [1, 5, 22, 23, 100])
def test_a_pass_has_every_image_once_with_its_label(shuffle, batch_size):
    X, y = numbered()
    loader = Loader(X, y, batch_size, shuffle=shuffle, generator=seeded())
    seen = []
    for images, its in loader:
        assert images.dtype == torch.float32
        assert torch.equal((images[:, 0, 0, 0] * 255).round().long(), its)
        seen += its.tolist()
    assert sorted(seen) == list(range(23))
    assert (seen == list(range(23))) is not shuffle


@pytest.mark.parametrize(
    ("n", "drop_last", "sizes"),
    [(10, False, [4, 4, 2]), (10, True, [4, 4]), (8, True, [4, 4]), (3, True, []), (3, False, [3])],
)
def test_the_last_batch(n, drop_last, sizes):
    loader = Loader(*numbered(n), 4, drop_last=drop_last)
    assert [len(y) for _, y in loader] == sizes
    assert len(loader) == len(sizes)


def test_passes_differ_and_a_seed_repeats_them():
    loader = Loader(*numbered(), 5, generator=seeded(3))
    first, second = labels(loader), labels(loader)
    assert first != second
    again = Loader(*numbered(), 5, generator=seeded(3))
    assert [labels(again), labels(again)] == [first, second]
    torch.manual_seed(3)
    unseeded = Loader(*numbered(), 5)
    assert [labels(unseeded), labels(unseeded)] == [first, second]


def test_augmentation_comes_first_on_what_is_stored_then_preprocessing():
    seen = []

    def augment(X, generator):
        seen.append(("augment", X.dtype, generator))
        return X + 1

    def preprocess(X):
        seen.append(("preprocess", X.dtype, int(X.max())))
        return X.float()

    generator = seeded()
    loader = Loader(
        *numbered(3), 3, preprocess=preprocess, augment=[augment, augment], generator=generator
    )
    next(iter(loader))
    step = ("augment", torch.uint8, generator)
    assert seen == [step, step, ("preprocess", torch.uint8, 4)]


def test_the_usual_chain_repeats_with_its_seed_and_leaves_the_images_alone():
    X = torch.randint(256, (40, 3, 8, 8), dtype=torch.uint8, generator=seeded())
    y, before = torch.arange(40), X.clone()
    augment = [partial(random_crop, size=8, padding=2), random_flip]

    def passes():
        loader = Loader(
            X, y, 16, preprocess=Standardise.fit(X), augment=augment, generator=seeded(1)
        )
        return [torch.cat([images for images, _ in loader]) for _ in range(2)]

    first, second = passes()
    assert first.shape == (40, 3, 8, 8)
    assert not torch.equal(first.sort(dim=0).values, second.sort(dim=0).values)
    assert all(torch.equal(a, b) for a, b in zip(passes(), (first, second), strict=True))
    assert torch.equal(X, before)


def test_channels_last_images_stay_channels_last():
    X, y = numbered()
    X = X.to(memory_format=torch.channels_last)
    images, _ = next(iter(Loader(X, y, 4, augment=[random_flip])))
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_soft_labels_and_floating_point_images_pass_through():
    X = torch.rand(6, 1, 2, 2, dtype=torch.float64)
    Y = torch.rand(6, 3)
    images, rows = next(iter(Loader(X, Y, 6, shuffle=False)))
    assert torch.equal(images, X)
    assert torch.equal(rows, Y)


@pytest.mark.parametrize(("images", "rows"), [(4, 3), (3, 4), (0, 0)])
def test_lengths_must_agree(images, rows):
    with pytest.raises(ValueError, match=f"{images} images and {rows} labels"):
        Loader(torch.zeros(images, 3, 8, 8), torch.zeros(rows), 2)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_holds_an_image_at_least(batch_size):
    with pytest.raises(ValueError, match=f"batch_size is {batch_size}"):
        Loader(*numbered(), batch_size)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_on_a_gpu_nothing_leaves_it():
    X, y = (tensor.cuda() for tensor in numbered())
    generator = torch.Generator("cuda").manual_seed(0)
    loader = Loader(X, y, 5, augment=[partial(random_crop, size=8, padding=2)], generator=generator)
    with torch.cuda.device(0):
        assert {tensor.device.type for batch in loader for tensor in batch} == {"cuda"}
