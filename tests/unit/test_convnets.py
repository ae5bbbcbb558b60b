"""The course's networks: shapes and parameters layer by layer, as the syllabus has them."""

import math

import pytest
import torch
from torch import nn

from mlcourse.convnets import MirrorAverage, Residual, course_cnn, lenet5, small_resnet
from mlcourse.training import evaluate

# Layer, shape of its output for a 3x32x32 image, parameters.
SEED = (
    ("conv1", (32, 32, 32), 2_432),
    ("pool1", (32, 16, 16), 0),
    ("conv2", (64, 12, 12), 51_264),
    ("pool2", (64, 6, 6), 0),
    ("conv3", (64, 2, 2), 102_464),
    ("pool3", (64, 1, 1), 0),
    ("fc4", (1000,), 65_000),
    ("fc5", (10,), 10_010),
)
SAME = (
    ("conv1", (32, 32, 32), 2_432),
    ("pool1", (32, 16, 16), 0),
    ("conv2", (64, 16, 16), 51_264),
    ("pool2", (64, 8, 8), 0),
    ("conv3", (64, 8, 8), 102_464),
    ("pool3", (64, 4, 4), 0),
    ("fc4", (1000,), 1_025_000),
    ("fc5", (10,), 10_010),
)


def parameters(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def shapes(model: nn.Module, x: torch.Tensor) -> dict[str, tuple[int, ...]]:
    """The shape of each child's output, without the batch."""
    seen = {}
    for name, layer in model.named_children():
        x = layer(x)
        seen[name] = tuple(x.shape[1:])
    return seen


@pytest.mark.parametrize(
    ("padding", "table", "total"), [("seed", SEED, 231_170), ("same", SAME, 1_191_170)]
)
def test_the_course_s_cnn_is_the_table_of_the_syllabus(padding, table, total):
    model = course_cnn(padding)
    seen = shapes(model, torch.zeros(2, 3, 32, 32))
    for name, shape, count in table:
        assert seen[name] == shape
        assert parameters(model.get_submodule(name)) == count
    assert parameters(model) == total
    without_parameters = {name for name, layer in model.named_children() if not parameters(layer)}
    assert without_parameters.isdisjoint({"conv1", "conv2", "conv3", "fc4", "fc5"})
    assert list(seen) == [
        *("conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "conv3", "relu3", "pool3"),
        *("flatten", "fc4", "relu4", "fc5"),
    ]


@pytest.mark.parametrize(("padding", "side", "total"), [("seed", 1, 231_170), ("same", 4, 1191170)])
def test_crops_of_28_need_ceil_mode_in_pool3(padding, side, total):
    crop = torch.zeros(2, 3, 28, 28)
    with pytest.raises(RuntimeError):
        course_cnn(padding)(crop)
    model = course_cnn(padding, ceil_mode=True)
    assert shapes(model, crop)["pool3"] == (64, side, side)
    assert shapes(model, torch.zeros(2, 3, 32, 32))["pool3"] == (64, side, side)
    assert [model.get_submodule(f"pool{i}").ceil_mode for i in (1, 2, 3)] == [False, False, True]
    assert parameters(model) == total


def test_weights_are_torch_s_default_and_repeat_with_the_seed():
    torch.manual_seed(3)
    conv1 = nn.Conv2d(3, 32, 5, padding=2)
    torch.manual_seed(3)
    model = course_cnn()
    assert torch.equal(model.conv1.weight, conv1.weight)
    torch.manual_seed(3)
    again = course_cnn()
    assert all(map(torch.equal, model.parameters(), again.parameters()))


def test_dropout_comes_before_each_dense_layer_and_has_no_parameters():
    model = course_cnn(dropout=0.4)
    names = [name for name, _ in model.named_children()]
    assert names[names.index("flatten") :] == [
        *("flatten", "dropout4", "fc4", "relu4", "dropout5", "fc5")
    ]
    assert {m.p for m in model.modules() if isinstance(m, nn.Dropout)} == {0.4}
    assert parameters(model) == 231_170


def test_batch_norm_takes_the_place_of_the_convolutions_biases():
    model = course_cnn(batch_norm=True)
    names = [name for name, _ in model.named_children()]
    assert names[:4] == ["conv1", "norm1", "relu1", "pool1"]
    assert [model.get_submodule(f"norm{i}").num_features for i in (1, 2, 3)] == [32, 64, 64]
    assert all(model.get_submodule(f"conv{i}").bias is None for i in (1, 2, 3))
    assert parameters(model) == 231_170 - 160 + 320
    assert parameters(course_cnn("same", batch_norm=True)) == 1_191_170 + 160


def test_classes_set_the_last_layer_alone():
    model = course_cnn(classes=7)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 7)
    assert parameters(model) == 231_170 - 3 * 1001


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"padding": "valid"}, "padding is 'valid'"),
        ({"dropout": 1.5}, "dropout is 1.5"),
        ({"dropout": -0.1}, "dropout is -0.1"),
    ],
)
def test_course_cnn_refuses_other_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        course_cnn(**arguments)


def test_lenet5_with_one_channel_has_the_known_61_706_parameters():
    model = lenet5(channels=1)
    counts = {name: parameters(layer) for name, layer in model.named_children()}
    assert {name: n for name, n in counts.items() if n} == {
        "c1": 156,
        "c3": 2_416,
        "c5": 48_120,
        "f6": 10_164,
        "output": 850,
    }
    assert parameters(model) == 61_706
    seen = shapes(model, torch.zeros(2, 1, 32, 32))
    assert [seen[name] for name in ("c1", "s2", "c3", "s4", "c5", "f6", "output")] == [
        *((6, 28, 28), (6, 14, 14), (16, 10, 10), (16, 5, 5), (120, 1, 1), (84,), (10,))
    ]


def test_lenet5_takes_the_sizes_that_are_searched():
    model = lenet5(classes=4, c1=3, c3=5, c5=7, f6=11)
    assert model(torch.zeros(2, 3, 32, 32)).shape == (2, 4)
    assert parameters(model) == sum(
        [3 * (25 * 3 + 1), 5 * (25 * 3 + 1), 7 * (25 * 5 + 1), 11 * 8, 4 * 12]
    )


def test_lenet5_refuses_a_size_below_1():
    with pytest.raises(ValueError, match="c3 is 0"):
        lenet5(c3=0)


# The small ResNet


def images(n: int = 200, seed: int = 0) -> torch.Tensor:
    """Smooth random pictures, standardised: neighbours are correlated, as in photographs."""
    noise = torch.randn(n, 3, 16, 16, generator=torch.Generator().manual_seed(seed))
    return nn.functional.avg_pool2d(noise + noise.mean(1, keepdim=True), 3, 1)


def test_small_resnet_s_shapes_and_parameters():
    model = small_resnet()
    seen = shapes(model, torch.zeros(2, 3, 32, 32))
    assert [seen[name] for name in ("patch", "stage1", "stage2", "stage3", "pool", "scale")] == [
        *((24, 31, 31), (64, 15, 15), (256, 7, 7), (256, 3, 3), (256, 1, 1), (10,))
    ]

    def stage(n_in, n_out):
        return 9 * n_in * n_out + 2 * 9 * n_out**2 + 3 * 2 * n_out

    assert parameters(model) == 24 * 13 + stage(24, 64) + stage(64, 256) + stage(256, 256) + 2560
    assert parameters(model) == 3_190_456
    # The scales of the norms are fixed.
    fixed = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert len(fixed) == 9
    assert all("norm" in name and name.endswith("weight") for name in fixed)


def test_small_resnet_takes_other_sizes():
    model = small_resnet(7, width=8)
    assert model(torch.zeros(2, 3, 28, 28)).shape == (2, 7)
    assert model.stage2.conv.weight.shape == (32, 8, 3, 3)


def test_the_whitening_layer_makes_patches_uncorrelated_and_stays():
    X = images()
    model = small_resnet(width=8, whiten=X)
    patch = model.patch
    maps = nn.functional.conv2d(X.double(), patch.weight.double())
    covariance = maps.transpose(0, 1).flatten(1).cov()
    # eps lowers the variance of the weakest directions, so it is at most 1.
    first = covariance[:12, :12]
    assert torch.allclose(first - first.diag().diag(), torch.zeros_like(first), atol=1e-4)
    assert first.diag().max() <= 1 + 1e-6
    assert first.diag().min() > 0.8
    assert torch.equal(patch.weight[12:], -patch.weight[:12])
    assert not patch.weight.requires_grad
    assert patch.bias.requires_grad

    before = patch.weight.clone()
    optimizer = torch.optim.SGD((p for p in model.parameters() if p.requires_grad), lr=0.1)
    model(X[:8]).square().sum().backward()
    optimizer.step()
    assert torch.equal(patch.weight, before)
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_whitening_changes_nothing_else_of_the_model():
    torch.manual_seed(1)
    plain = small_resnet(width=8).state_dict()
    torch.manual_seed(1)
    whitened = small_resnet(width=8, whiten=images()).state_dict()
    assert {name for name in plain if not torch.equal(plain[name], whitened[name])} == {
        "patch.weight"
    }


def test_a_residual_whose_branch_is_zero_is_the_identity():
    branch = nn.Conv2d(3, 3, 1)
    for p in branch.parameters():
        nn.init.zeros_(p)
    X = images(4)
    assert torch.equal(Residual(branch)(X), X)


def test_the_mirror_average_is_the_same_for_the_mirror_image():
    model = small_resnet(width=8).eval()
    X = images(6)
    both = MirrorAverage(model).eval()
    torch.testing.assert_close(both(X), both(X.flip(3)))
    assert not torch.allclose(model(X), model(X.flip(3)))
    torch.testing.assert_close(both(X), (model(X) + model(X.flip(3))) / 2)
    both.train()
    torch.testing.assert_close(both(X), model(X))  # in training an image counts once
    evaluate(both, [(X, torch.zeros(6, dtype=torch.int64))])
    assert model.training


def test_small_resnet_learns_sixteen_images_by_heart():
    torch.manual_seed(0)
    X, y = images(16), torch.arange(16) % 10
    model = small_resnet(width=8, whiten=X).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.2, momentum=0.85, nesterov=True)
    losses = []
    for _ in range(50):
        loss = nn.functional.cross_entropy(model(X), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] == pytest.approx(math.log(10), abs=0.2)
    assert losses[-1] < 1  # 0.25 to 0.46 over five seeds


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width is 0"),
        ({"classes": 0}, "classes is 0"),
        ({"whiten": torch.zeros(5, 3, 8, 8, dtype=torch.uint8)}, "dtype torch.uint8"),
        ({"whiten": torch.zeros(3, 8, 8)}, r"whiten has shape \(3, 8, 8\)"),
        ({"whiten": torch.zeros(5, 1, 8, 8)}, r"whiten has shape \(5, 1, 8, 8\)"),
    ],
)
def test_small_resnet_refuses(arguments, message):
    with pytest.raises(ValueError, match=message):
        small_resnet(**arguments)
