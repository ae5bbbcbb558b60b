"""Augmentation: each output is one that may be, all may be, one draw an image, in any format."""

from functools import partial

import pytest
import torch
from torch.nn import functional

from mlcourse.augmentation import center_crop, cutout, mixup, random_crop, random_flip, take
from mlcourse.data import one_hot

FORMATS = [torch.contiguous_format, torch.channels_last]
DTYPES = [torch.uint8, torch.float32, torch.float64]
AUGMENT = {
    "crop": partial(random_crop, size=5, padding=1),
    "flip": random_flip,
    "cutout": partial(cutout, size=3),
    "mixup": lambda X, generator: mixup(X, torch.eye(len(X)), 1.0, generator)[0],
}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def images(n: int = 12, height: int = 6, width: int = 7, channels: int = 3) -> torch.Tensor:
    """Images without two equal pixels in one, none of them 0, so that each move shows."""
    count = channels * height * width
    pixels = torch.stack([1 + torch.randperm(count, generator=seeded(i)) for i in range(n)])
    return pixels.to(torch.uint8).view(n, channels, height, width)


def all_crops(image: torch.Tensor, size: int, padding: int) -> list[torch.Tensor]:
    padded = functional.pad(image, (padding,) * 4)
    rows, columns = (length - size + 1 for length in padded.shape[1:])
    return [
        padded[:, top : top + size, left : left + size]
        for top in range(rows)
        for left in range(columns)
    ]


# --- What holds for all of them ----------------------------------------------------------------


@pytest.mark.parametrize("augment", AUGMENT.values(), ids=AUGMENT.keys())
@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_and_memory_format_stay_and_values_do_not_depend_on_them(
    augment, memory_format, dtype
):
    X = images().to(dtype).contiguous(memory_format=memory_format)
    before = X.clone()
    made = augment(X, generator=seeded())
    assert torch.equal(X, before)
    assert X.data_ptr() != made.data_ptr()
    assert made.is_contiguous(memory_format=memory_format)
    if dtype != torch.uint8 or augment is not AUGMENT["mixup"]:
        assert made.dtype == dtype
        expected = augment(images().double(), generator=seeded())
        torch.testing.assert_close(made.double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("augment", AUGMENT.values(), ids=AUGMENT.keys())
def test_a_seed_repeats_and_a_generator_moves_on(augment):
    X, generator = images(), seeded(3)
    first, second = augment(X, generator=generator), augment(X, generator=generator)
    assert torch.equal(first, augment(X, generator=seeded(3)))
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(augment(X, generator=None), first)


@pytest.mark.parametrize("augment", AUGMENT.values(), ids=AUGMENT.keys())
def test_each_image_has_a_draw_of_its_own(augment):
    X = images(1).expand(30, -1, -1, -1)
    if augment is AUGMENT["mixup"]:
        X = X * torch.linspace(0.1, 1, 30).view(-1, 1, 1, 1)
    made = augment(X, generator=seeded())
    assert len(made.flatten(1).unique(dim=0)) > 1


@pytest.mark.parametrize("augment", AUGMENT.values(), ids=AUGMENT.keys())
def test_what_is_no_batch_of_images_is_refused(augment):
    with pytest.raises(ValueError, match=r"give \(N, C, H, W\)"):
        augment(images()[0], generator=seeded())


def test_views_with_gaps_are_read_right():
    X = images()[::2, :, :, ::2]
    assert torch.equal(take(X, torch.tensor([4, 0])), X[[4, 0]])
    crop = random_crop(X, 3, generator=seeded())
    assert torch.equal(crop, random_crop(X.clone(), 3, generator=seeded()))


# --- Crops -------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(("size", "padding"), [(5, 0), (6, 1), (1, 0), (8, 1), (6, 2)])
def test_every_crop_is_one_that_may_be_and_all_are_drawn(size, padding, memory_format):
    X = images(1).expand(2000, -1, -1, -1).contiguous(memory_format=memory_format)
    crops = random_crop(X, size, padding, seeded())
    assert crops.shape == (2000, 3, size, size)
    allowed = torch.stack(all_crops(images(1)[0], size, padding)).flatten(1)
    assert {tuple(crop) for crop in crops.flatten(1).tolist()} == {
        tuple(crop) for crop in allowed.tolist()
    }


@pytest.mark.parametrize("memory_format", FORMATS)
def test_crops_start_where_the_generator_says(memory_format):
    X = images().contiguous(memory_format=memory_format)
    crops = random_crop(X, 5, 1, seeded(7))
    generator = seeded(7)
    top = torch.randint(4, (len(X),), generator=generator)
    left = torch.randint(5, (len(X),), generator=generator)
    for image, crop, i, j in zip(X, crops, top, left, strict=True):
        padded = functional.pad(image, (1, 1, 1, 1))
        assert torch.equal(crop, padded[:, i : i + 5, j : j + 5])


def test_positions_are_equally_frequent():
    """A fixed seed, so no chance: 81 positions, 100 draws each expected, chi-square at its mean."""
    X = torch.arange(1, 41, dtype=torch.float32)
    X = (100 * X[:, None] + X)[None, None].expand(8100, 1, 40, 40)
    corner = random_crop(X, 32, generator=seeded())[:, 0, 0, 0]
    counts = torch.stack([(corner == value).sum() for value in corner.unique()]).double()
    assert len(counts) == 81
    chi_square = float(((counts - 100) ** 2 / 100).sum())
    assert 42 < chi_square < 133  # 80 degrees of freedom: 80, give or take 4.2 deviations of 12.6


def test_crops_can_be_those_of_torchvision():
    """The same set of outcomes as torchvision's transform, each of them equally likely there."""
    from torchvision.transforms import RandomCrop

    image, transform = images(1, 6, 6)[0], RandomCrop(6, padding=1)
    torch.manual_seed(0)
    theirs = {tuple(transform(image).flatten().tolist()) for _ in range(300)}
    X = image.expand(300, -1, -1, -1)
    ours = {tuple(crop) for crop in random_crop(X, 6, 1, seeded()).flatten(1).tolist()}
    assert ours == theirs
    assert len(ours) == 9


@pytest.mark.parametrize("memory_format", FORMATS)
@pytest.mark.parametrize(("side", "size"), [(32, 28), (7, 4), (6, 6), (5, 4)])
def test_the_middle_is_cut_out_and_copied(side, size, memory_format):
    X = images(4, side, side, channels=2).contiguous(memory_format=memory_format)
    before = X.clone()
    crops = center_crop(X, size)
    first = (side - size) // 2
    assert torch.equal(crops, X[:, :, first : first + size, first : first + size])
    assert crops.is_contiguous(memory_format=memory_format)
    crops.zero_()
    assert torch.equal(X, before)


def test_an_even_remainder_agrees_with_torchvision():
    from torchvision.transforms.v2.functional import center_crop as theirs

    X = images(3, 32, 32, channels=1)
    assert torch.equal(center_crop(X, 28), theirs(X, [28, 28]))


@pytest.mark.parametrize("crop", [random_crop, center_crop])
@pytest.mark.parametrize("size", [0, -1, 7])
def test_a_crop_that_does_not_fit_is_refused(crop, size):
    with pytest.raises(ValueError, match=rf"size is {size}: .* has 1 to 6 pixels"):
        crop(images(), size)


def test_negative_padding_is_refused():
    with pytest.raises(ValueError, match="padding is -1"):
        random_crop(images(), 2, -1)


# --- Flips -------------------------------------------------------------------------------------


def test_flips_follow_the_generator_and_mirror_columns():
    X = images(200)
    made = random_flip(X, 0.3, seeded(5))
    flipped = torch.rand(200, generator=seeded(5)) < 0.3
    assert 0 < flipped.sum() < 100
    for image, outcome, flip in zip(X, made, flipped, strict=True):
        assert torch.equal(outcome, image.flip(2) if flip else image)


def test_sure_and_impossible_flips():
    X = images()
    assert torch.equal(random_flip(X, 0.0), X)
    assert torch.equal(random_flip(X, 1.0), X.flip(3))


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_no_probability_is_refused(p):
    with pytest.raises(ValueError, match="p is"):
        random_flip(images(), p)


# --- Cutout ------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 2, 3, 20])
def test_each_hole_is_a_square_around_a_pixel(size):
    X = images(40)
    made = cutout(X, size, seeded(2))
    generator = seeded(2)
    row = torch.randint(6, (40,), generator=generator).tolist()
    column = torch.randint(7, (40,), generator=generator).tolist()
    for image, outcome, i, j in zip(X, made, row, column, strict=True):
        expected = image.clone()
        top, left = i - size // 2, j - size // 2
        expected[:, max(0, top) : top + size, max(0, left) : left + size] = 0
        assert torch.equal(outcome, expected)


def test_no_hole_is_refused():
    with pytest.raises(ValueError, match="size is 0"):
        cutout(images(), 0)


# --- Mixup -------------------------------------------------------------------------------------


def test_images_and_labels_are_mixed_in_the_same_shares():
    X = torch.eye(40, dtype=torch.float64).view(40, 1, 5, 8)  # so a mixture shows its parts
    Y = torch.eye(40, dtype=torch.float64)
    mixed, labels = mixup(X, Y, 1.0, seeded())
    torch.testing.assert_close(mixed.flatten(1), labels)
    torch.testing.assert_close(labels.sum(dim=1), torch.ones(40, dtype=torch.float64))
    assert ((labels > 0).sum(dim=1) <= 2).all()
    partner = labels.clone().fill_diagonal_(0).argmax(dim=1)
    mixed_at_all = labels.diagonal() < 1
    assert len(set(partner[mixed_at_all].tolist())) == mixed_at_all.sum()  # a permutation


def test_shares_are_those_of_a_beta_distribution():
    """A fixed seed, so no chance: mean 1/2 and variance 1 / (4 (2 alpha + 1))."""
    X = torch.zeros(20_000, 1, 1, 1)
    Y = torch.arange(20_000, dtype=torch.float64)[:, None]  # no rows of labels, but they tell
    partner = Y[torch.randperm(20_000, generator=seeded())]
    apart = partner != Y
    for alpha in (0.2, 1.0, 4.0):
        made = mixup(X, Y, alpha, seeded())[1]
        share = ((made - partner) / (Y - partner))[apart]
        assert float(share.mean()) == pytest.approx(0.5, abs=0.01)
        assert float(share.var()) == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.05)


def test_bytes_are_mixed_in_the_unit_interval():
    X = images(4)
    Y = one_hot(torch.arange(4), 10)
    mixed, labels = mixup(X, Y, 0.4, seeded())
    assert (mixed.dtype, labels.dtype) == (torch.float32, torch.float32)
    assert mixed.min() > 0
    assert mixed.max() <= 1
    assert labels.shape == (4, 10)


@pytest.mark.parametrize(
    "Y",
    [torch.zeros(4, dtype=torch.long), torch.zeros(3, 10), torch.zeros(4, 10, dtype=torch.long)],
)
def test_labels_must_be_rows_of_probabilities(Y):
    with pytest.raises(ValueError, match="give 4 rows of class probabilities"):
        mixup(images(4), Y, 1.0)


@pytest.mark.parametrize("alpha", [0, -1, float("nan")])
def test_alpha_must_be_positive(alpha):
    with pytest.raises(ValueError, match="alpha is"):
        mixup(images(4), torch.eye(4), alpha)
