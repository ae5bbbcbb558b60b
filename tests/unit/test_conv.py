"""Convolution arithmetic: the course's CNN, sentences for impossible sizes, models, conversions."""

import copy
import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse import conv
from mlcourse.convnets import course_cnn

# Row 10 of the course's table: output, parameters and receptive field of each layer with a window.
COURSE = {
    "conv1": ((32, 32, 32), 2_432, 5),
    "pool1": ((32, 16, 16), 0, 6),
    "conv2": ((64, 12, 12), 51_264, 14),
    "pool2": ((64, 6, 6), 0, 16),
    "conv3": ((64, 2, 2), 102_464, 32),
    "pool3": ((64, 1, 1), 0, 36),
    "fc4": ((1000,), 65_000, 32),
    "fc5": ((10,), 10_010, 32),
}


def test_the_course_cnn():
    table = conv.summary(course_cnn("seed"), (3, 32, 32), examples=50_000)
    rows = {row.name: row for row in table.rows}
    for name, (shape, parameters, field) in COURSE.items():
        row = rows[name]
        assert (row.output_shape, row.parameters, row.receptive_field) == (shape, parameters, field)
    assert [rows[f"pool{i}"].stride for i in (1, 2, 3)] == [2, 4, 8]
    assert table.total_parameters == 231_170
    macs = {name: row.macs for name, row in rows.items() if row.macs}
    assert macs == {
        "conv1": 32 * 32 * 32 * 3 * 25,
        "conv2": 64 * 12 * 12 * 32 * 25,
        "conv3": 64 * 2 * 2 * 64 * 25,
        "fc4": 64_000,
        "fc5": 10_000,
    }
    assert table.total_macs == sum(macs.values()) == conv.macs(course_cnn("seed"), (3, 32, 32))
    assert conv.parameter_count(course_cnn("same")) == 1_191_170


def test_the_table_as_text_and_html():
    table = conv.summary(course_cnn("seed"), (3, 32, 32), examples=50_000)
    text, html = str(table), table._repr_html_()
    assert repr(table) == text
    for piece in ("conv2", "64x12x12", "51,264", "7,372,800", "231,170", "50,000", "4.62"):
        assert piece in text
        assert piece in html
    assert max(map(len, text.splitlines())) <= 100
    assert "<script" not in html


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((32, 5), 28),
        ((32, 5, 1, 2), 32),
        ((32, 2, 2), 16),
        ((7, 2, 2), 3),  # the floor
        ((7, 2, 2, 0, 1, True), 4),
        ((5, 2, 3, 1, 1, True), 2),  # the third would begin past the input and its padding
        ((4, 1, 3, 0, 1, True), 2),
        ((10, 3, 1, 0, 4), 2),
        ((10, 3, 1, "same", 4), 10),
        ((10, 3, 1, "valid"), 8),
    ],
)
def test_output_size(arguments, expected):
    size = conv.output_size(*arguments)
    assert size == expected
    assert type(size) is int


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((4, 5), "window that spans 5 positions does not fit on 4 with padding 0: use a smaller"),
        ((8, 3, 1, 0, 4), "spans 9 positions"),
        ((0, 3), "n is 0: give a whole number, 1 or more"),
        ((8, 3, 0), "stride is 0"),
        ((8, 3.0), "kernel_size is 3.0"),
        ((8, 3, 1, -1), "padding is -1"),
        ((8, 3, 2, "same"), "'same' needs stride 1"),
        ((8, 3, 1, "full"), "padding is 'full'"),
    ],
)
def test_impossible_sizes_are_one_sentence(arguments, says):
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        conv.output_size(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("layers", "size", "says"),
    [
        ([nn.Conv2d(3, 8, 5)], (3, 4, 4), "Conv2d(3, 8, kernel_size=(5, 5), stride=(1, 1)) on an "
         "input of 3x4x4: a window that spans 5"),
        ([nn.Conv2d(3, 8, 3)], (1, 8, 8), "takes 3 channels and gets 1"),
        ([nn.Conv2d(3, 8, 3)], (32, 3, 8, 8), "without the batch"),
        ([nn.Flatten(), nn.Linear(64, 10)], (3, 4, 4), "takes 64 features and gets 48"),
        ([nn.Linear(48, 10)], (3, 4, 4), "put Flatten before it"),
        ([nn.BatchNorm2d(4)], (3, 4, 4), "takes 4 channels and gets 3"),
        ([nn.MaxPool2d(2, padding=2)], (3, 4, 4), "use less padding"),
        ([nn.Conv1d(1, 1, 3, padding=4, padding_mode="reflect")], (1, 4), "at most 3 to copy"),
        ([nn.AvgPool3d(4, padding=1)], (1, 3, 4, 7), "at least 4 positions for its kernel"),
        ([nn.ConvTranspose1d(1, 1, 1, padding=2)], (1, 3), "use less padding"),
        ([nn.Unflatten(1, (5, 5))], (24,), "does not run on an input of 24"),
    ],
)  # fmt: skip
def test_a_model_that_cannot_take_its_input_names_the_layer(layers, size, says):
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        conv.summary(layers, size)
    assert "\n" not in str(caught.value)


def test_what_cannot_be_asked():
    with pytest.raises(ValueError, match="examples is 0"):
        conv.summary([nn.ReLU()], (3, 8, 8), examples=0)
    with pytest.raises(ValueError, match="input_size is empty"):
        conv.summary([nn.ReLU()], ())
    with pytest.raises(ValueError, match="sees its whole input"):
        conv.receptive_field(course_cnn("seed"))


def test_receptive_field_of_layers():
    assert conv.receptive_field([]) == 1
    assert conv.receptive_field([nn.Conv2d(3, 8, 5), nn.Conv2d(8, 8, 5)]) == 9  # 2 k - 1
    assert conv.receptive_field([(5,), (2, 2), (5,), (2, 2), (5,)]) == 32
    assert conv.receptive_field([(3, 1, 2), (3, 1, 4)]) == 13
    assert conv.receptive_field(nn.Conv2d(1, 1, (3, 5))) == (3, 5)
    assert conv.receptive_field(nn.Sequential(nn.Conv1d(1, 1, 3), nn.ReLU())) == 3
    up = [nn.ConvTranspose1d(1, 1, 4, 2, 1), nn.Conv1d(1, 1, 3)]
    assert conv.receptive_field(up) == 3
    holes = nn.ConvTranspose1d(1, 1, 3, stride=2, dilation=2)
    assert conv.receptive_field(holes) is None


def state(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training):
    model = course_cnn("seed", batch_norm=True, dropout=0.5).train(training)
    model[0].weight.grad = torch.ones_like(model[0].weight)
    before, rng = state(model), torch.get_rng_state()
    conv.summary(model, (3, 32, 32))
    after = state(model)
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert torch.equal(torch.get_rng_state(), rng)
    assert [module.training for module in model.modules()] == [training] * len(
        list(model.modules())
    )
    assert torch.equal(model[0].weight.grad, torch.ones_like(model[0].weight))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


class Functional(nn.Module):
    """The usual way to write a small network: pooling and flattening are functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc = nn.Linear(16 * 5 * 5, 10)
        self.mix = nn.Parameter(torch.ones(10, 10))

    def forward(self, X):
        X = F.max_pool2d(F.relu(self.conv1(X)), 2)
        X = F.avg_pool2d(torch.relu(self.conv2(X)), kernel_size=(2, 2))
        return self.fc(X.view(X.size(0), -1)) @ self.mix


def test_functions_between_layers_are_followed():
    table = conv.summary(Functional(), (3, 32, 32))
    found = [(row.name, row.parameters, row.macs, row.receptive_field) for row in table.rows]
    assert found == [
        ("conv1", 456, 352_800, 5),
        ("conv2", 2_416, 240_000, 14),
        ("fc", 4_010, 4_000, 32),
        ("Functional", 100, 100, None),  # a matrix product of its own, with its own parameter
    ]
    assert table.total_parameters == sum(p.numel() for p in Functional().parameters())


class Residual(nn.Module):
    def __init__(self, *, in_place: bool) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.in_place = in_place

    def forward(self, X):
        out = self.b(F.relu(self.a(X)))
        if self.in_place:
            X += out
            return X
        return X + out


@pytest.mark.parametrize("in_place", [True, False])
def test_branches_that_meet_see_what_either_sees(in_place):
    block = Residual(in_place=in_place)
    model = nn.Sequential(nn.Conv2d(4, 4, 3, stride=2), block, block, nn.Conv2d(4, 4, 1))
    rows = conv.summary(model, (4, 33, 33)).rows
    assert [row.receptive_field for row in rows] == [3, 7, 11, 11, 15, 19, 19, 19]
    # The second call of the block learns nothing more.
    assert sum(row.parameters for row in rows) == conv.parameter_count(model)
    assert rows[4].parameters == 0
    assert rows[4].macs == rows[1].macs > 0


class Shuffled(nn.Module):
    def forward(self, X):
        return X.flip(2)


class Written(nn.Module):
    def forward(self, X):
        X = X.clone()
        X[:, :, :1] = X[:, :, -1:]
        return X


@pytest.mark.parametrize("layer", [Shuffled(), Written(), nn.Upsample(scale_factor=2)])
def test_an_unknown_function_gives_no_number_rather_than_a_wrong_one(layer):
    rows = conv.summary([nn.Conv2d(1, 1, 3), layer, nn.Conv2d(1, 1, 3)], (1, 9, 9)).rows
    assert [row.receptive_field for row in rows] == [3, None, None]


def test_norms_of_a_map_see_all_of_it():
    layers = [nn.Conv2d(1, 4, 3), nn.GroupNorm(2, 4), nn.Conv2d(4, 1, 3), nn.LayerNorm([1, 5, 6])]
    rows = conv.summary(layers, (1, 9, 10)).rows
    assert [row.receptive_field for row in rows] == [3, (9, 10), (9, 10), (9, 10)]
    assert [row.parameters for row in rows] == [40, 8, 37, 60]


def test_shared_and_uncalled_parameters():
    encoder, decoder = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
    decoder.weight = encoder.weight
    table = conv.summary([encoder, decoder], (8,))
    assert table.total_parameters == 64
    assert [row.parameters for row in table.rows] == [64, 0]
    assert table.total_macs == 128

    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(8, 2), nn.Linear(8, 2)

        def forward(self, X):
            return self.used(X)

    assert "18 of the parameters are in layers whose forward" in str(conv.summary(Half(), (8,)))


def test_a_model_that_asks_for_values_runs_all_the_same():
    class Asks(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(1, 2, 3)

        def forward(self, X):
            return self.conv(X) if X.sum() > -1 else X

    assert conv.summary(Asks(), (1, 8, 8)).rows[0].output_shape == (2, 6, 6)


def test_macs_that_nobody_knows_are_none():
    layer = nn.Bilinear(4, 4, 3)

    class Pairs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bilinear = layer

        def forward(self, X):
            return self.bilinear(X, X)

    table = conv.summary(Pairs(), (4,))
    assert table.rows[0].macs is None
    assert "without those of bilinear" in str(table)
    with pytest.raises(ValueError, match="no formula for the multiply-accumulates of bilinear"):
        conv.macs(Pairs(), (4,))


def test_unshared_convolution_is_a_convolution_with_kernels_of_its_own():
    torch.manual_seed(0)
    layer = conv.UnsharedConv2d((3, 9, 8), 4, (3, 2), stride=2, padding=(1, 0)).double()
    shared = nn.Conv2d(3, 4, (3, 2), stride=2, padding=(1, 0)).double()
    X = torch.randn(2, 3, 9, 8, dtype=torch.float64)
    assert layer(X).shape == shared(X).shape
    with torch.no_grad():  # the same kernel everywhere: an ordinary convolution
        layer.weight.copy_(shared.weight[..., None, None])
        layer.bias.copy_(shared.bias[:, None, None])
    torch.testing.assert_close(layer(X), shared(X), rtol=0, atol=1e-12)
    with torch.no_grad():  # another kernel at one place changes that place alone
        layer.weight[..., 1, 2] += 1
    changed = ((layer(X) - shared(X)).abs() > 1e-9).any(dim=(0, 1)).nonzero()
    assert changed.tolist() == [[1, 2]]
    places = 5 * 4
    assert conv.parameter_count(layer) == places * conv.parameter_count(shared)
    assert conv.macs(layer, (3, 9, 8)) == conv.macs(shared, (3, 9, 8))
    with pytest.raises(ValueError, match="make a new layer"):
        layer(X[:, :, 1:])
    with pytest.raises(ValueError, match="does not fit on 2"):
        conv.UnsharedConv2d((3, 2, 2), 4, 3)


def test_a_dense_layer_is_a_convolution():
    torch.manual_seed(0)
    linear = nn.Linear(3 * 4 * 5, 7).double()
    layer = conv.dense_to_conv(linear, (3, 4, 5))
    X = torch.randn(6, 3, 4, 5, dtype=torch.float64)
    torch.testing.assert_close(layer(X)[..., 0, 0], linear(X.flatten(1)), rtol=0, atol=1e-12)
    assert (layer.weight.shape, layer.weight.dtype) == ((7, 3, 4, 5), torch.float64)
    with torch.no_grad():
        layer.weight.zero_()
    assert linear.weight.abs().sum() > 0  # a copy
    assert conv.dense_to_conv(nn.Linear(4, 2, bias=False), (1, 2, 2)).bias is None
    with pytest.raises(ValueError, match="takes 60 features and a map of 5x4x4 has 80"):
        conv.dense_to_conv(linear, (5, 4, 4))


def trained(model: nn.Module) -> nn.Module:
    """A model whose batch norms have statistics, in float64."""
    model = model.double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.05 * torch.randn_like(parameter)
        model.train()(torch.randn(8, 3, 32, 32, dtype=torch.float64))
    return model.eval()


@pytest.mark.parametrize("padding", ["seed", "same"])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_a_whole_network_made_fully_convolutional(padding, batch_norm):
    torch.manual_seed(0)
    model = trained(course_cnn(padding, batch_norm=batch_norm, dropout=0.5))
    before = copy.deepcopy(model)
    made = conv.fully_convolutional(model, (3, 32, 32))
    X = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(made(X)[..., 0, 0], model(X), rtol=0, atol=1e-12)
    assert made(torch.zeros(1, 3, 48, 64, dtype=torch.float64)).shape == (1, 10, 3, 5)
    for old, new in zip(before.state_dict().values(), model.state_dict().values(), strict=True):
        assert torch.equal(old, new)
    assert not {id(p) for p in made.parameters()} & {id(p) for p in model.parameters()}
    assert [name for name, _ in made.named_children()][-1] == "fc5"
    assert not made.training
    assert conv.fully_convolutional(model.train(), (3, 32, 32)).training


def without_padding() -> nn.Sequential:
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Conv2d(4, 6, 3),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(96, 12),
        nn.BatchNorm1d(12),
        nn.ReLU(),
        nn.Linear(12, 5),
        nn.LogSoftmax(dim=-1),
    )


def test_without_padding_each_entry_is_the_output_of_its_window():
    torch.manual_seed(0)
    model = trained(without_padding())
    made = conv.fully_convolutional(model, (3, 32, 32))
    X = torch.randn(2, 3, 44, 50, dtype=torch.float64)
    outputs = made(X)
    stride = conv.summary(made, (3, 44, 50)).rows[-1].stride
    assert stride == 6  # the pooling's 2 times the 3 of the fixed windows in place of the adaptive
    assert outputs.shape == (2, 5, 3, 4)
    for row in range(3):
        for column in range(4):
            top, left = stride * row, stride * column
            window = X[:, :, top : top + 32, left : left + 32]
            torch.testing.assert_close(outputs[..., row, column], model(window))


def test_padding_makes_entries_differ_from_windows():
    torch.manual_seed(0)
    model = trained(course_cnn("same"))
    made = conv.fully_convolutional(model, (3, 32, 32))
    X = torch.randn(1, 3, 40, 40, dtype=torch.float64)
    difference = (made(X)[..., 1, 1] - model(X[:, :, 8:, 8:])).abs().max()
    assert difference > 1e-6


class OwnForward(nn.Module):
    def forward(self, X):
        return X.flatten(1)


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (OwnForward(), "OwnForward has a forward of its own"),
        (nn.Sequential(OwnForward(), nn.Linear(3072, 2)), "0: OwnForward"),
        (nn.Sequential(nn.Linear(32, 2)), "works on maps of 3x32x32 alone"),
        (nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3072)), "has no form that works on maps"),
        (nn.Sequential(nn.Flatten(), nn.LayerNorm(3072)), "1: LayerNorm"),
        (nn.Sequential(nn.Flatten(), nn.Linear(3071, 2)), "takes 3071 features"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(5), nn.Flatten()), "windows of different sizes"),
        (nn.Sequential(conv.UnsharedConv2d((3, 32, 32), 2, 3)), "alone"),
    ],
)
def test_what_cannot_be_fully_convolutional_says_why(model, says):
    with pytest.raises(ValueError, match=re.escape(says)) as caught:
        conv.fully_convolutional(model, (3, 32, 32))
    assert "\n" not in str(caught.value)
