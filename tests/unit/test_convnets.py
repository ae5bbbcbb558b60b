"""The course's networks: shapes and parameters layer by layer, as the syllabus has them."""

import pytest
import torch
from torch import nn

from mlcourse.convnets import course_cnn, lenet5

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
