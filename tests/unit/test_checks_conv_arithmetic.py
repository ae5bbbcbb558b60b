"""The exercise `conv_arithmetic` against PyTorch and the library, and famous wrong answers."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from mlcourse import conv, convnets
from mlcourse.checks import load
from mlcourse.checks.judge import Judge, Verdict, judge

EXERCISE = load("conv_arithmetic")
SEEDS = range(8)


def reference(name: str):
    return EXERCISE[name].reference


def calls(name: str):
    """The arguments of every call that the question makes, for all seeds."""
    return [
        arguments for (each,) in Judge(EXERCISE[name], SEEDS).cases for arguments in each.values()
    ]


def verdict(name: str, answer) -> Verdict:
    return judge(EXERCISE[name], answer, [11, 12])


# --- The references -------------------------------------------------------------------------------


def test_the_numbers_asked_for_are_the_librarys():
    """The network's own numbers come from the model that Part 2 trains."""
    found = conv.summary(convnets.course_cnn(), (3, 32, 32))
    rows = {row.name: row for row in found.rows}
    convolutions = [rows[name].parameters for name in ("conv1", "conv2", "conv3")]
    assert reference("conv2_parameters") == rows["conv2"].parameters
    assert reference("in_convolutions") == sum(convolutions)
    assert reference("total_parameters") == found.total_parameters
    assert reference("parameters_per_image") == found.total_parameters / 50_000
    assert reference("conv3_sees") == rows["conv3"].receptive_field
    assert reference("padding_of_conv1") == convnets.course_cnn().conv1.padding[0]
    assert reference("padding_of_pool1") == convnets.course_cnn().pool1.padding
    assert reference("two_convolutions") == conv.receptive_field([(5, 1, 1)] * 2)
    same = conv.summary(convnets.course_cnn("same"), (3, 32, 32)).total_parameters
    recognised = {known.answer for known in EXERCISE["total_parameters"].mistakes}
    assert {same, 235_970} <= recognised


def test_the_table_is_the_librarys():
    model = convnets.course_cnn()
    layers = {name: layer for name, layer in model.named_children() if "relu" not in name}
    described = []
    for layer in layers.values():
        if isinstance(layer, nn.Linear):
            described.append({"kind": "dense", "neurons": layer.out_features})
        elif isinstance(layer, nn.Conv2d):
            described.append(
                {
                    "kind": "conv",
                    "filters": layer.out_channels,
                    "kernel_size": layer.kernel_size[0],
                    "stride": layer.stride[0],
                    "padding": layer.padding[0],
                }
            )
        elif isinstance(layer, nn.MaxPool2d):
            described.append(
                {"kind": "pool", "kernel_size": layer.kernel_size, "stride": layer.stride}
                | {"padding": layer.padding, "ceil_mode": layer.ceil_mode}
            )
    rows = {row.name: row for row in conv.summary(model, (3, 32, 32)).rows}
    wanted = [
        (rows[name].output_shape, rows[name].parameters)
        for name, layer in layers.items()
        if isinstance(layer, (nn.Linear, nn.Conv2d, nn.MaxPool2d))
    ]
    assert len(wanted) == 8
    assert reference("cnn_table")(described, (3, 32, 32)) == wanted


def test_sizes_are_torchs():
    for n, k, *rest in calls("output_size"):
        stride, padding, dilation, ceil_mode = (*rest, *(1, 0, 1, False)[len(rest) :])
        line = torch.zeros(1, 1, n)
        if ceil_mode:
            layer = nn.MaxPool1d(k, stride, padding, dilation, ceil_mode=True)
        else:
            layer = nn.Conv1d(1, 1, k, stride, padding, dilation)
        assert reference("output_size")(n, k, *rest) == layer(line).shape[-1]


def test_the_padding_keeps_the_size_where_there_is_one():
    none = 0
    for k, *rest in calls("same_padding"):
        dilation = rest[0] if rest else 1
        padding = reference("same_padding")(k, *rest)
        kept = [p for p in range(60) if conv.output_size(50, k, 1, p, dilation) == 50]
        assert kept == ([] if padding is None else [padding])
        none += padding is None
    assert none


def test_multiply_accumulates_are_half_of_torchs_flops():
    for (c, h, w), (f, y, x), k, *rest in calls("conv_macs"):
        groups = rest[0] if rest else 1
        kernel = torch.zeros(f, c // groups, k, k, device="meta")
        X = torch.zeros(1, c, y + k - 1, x + k - 1, device="meta")
        with FlopCounterMode(display=False) as counter:
            out = torch.conv2d(X, kernel, groups=groups)
        assert out.shape[1:] == (f, y, x)
        count = reference("conv_macs")((c, h, w), (f, y, x), k, *rest)
        assert 2 * count == counter.get_total_flops()


def test_parameters_are_those_of_the_layers():
    for c, f, k, *rest in calls("conv_parameters"):
        bias, groups = (*rest, *(True, 1)[len(rest) :])
        layer = nn.Conv2d(c, f, k, bias=bias, groups=groups, device="meta")
        assert reference("conv_parameters")(c, f, k, *rest) == conv.parameter_count(layer)
    for c, (f, y, x), k, *rest in calls("unshared_parameters"):
        bias = rest[0] if rest else True
        layer = conv.UnsharedConv2d((c, y + k - 1, x + k - 1), f, k, bias=bias)
        found = sum(parameter.numel() for parameter in layer.parameters())
        assert reference("unshared_parameters")(c, (f, y, x), k, *rest) == found


def test_the_unshared_convolution_is_the_librarys_with_the_same_weights():
    for X, weight, bias, stride in Judge(EXERCISE["unshared_conv2d"], SEEDS).cases:
        layer = conv.UnsharedConv2d(X.shape[1:], len(weight), weight.shape[2], stride)
        layer = layer.to(X.dtype)
        layer.load_state_dict({"weight": weight, "bias": bias})
        ours = reference("unshared_conv2d")(X, weight, bias, stride)
        assert torch.allclose(
            ours, layer(X), rtol=0, atol=1e-5 if X.dtype == torch.float32 else 1e-12
        )


def test_a_dense_layer_slid_over_a_map_of_its_own_size_is_the_dense_layer():
    for weight, bias, shape in Judge(EXERCISE["dense_to_conv"], SEEDS).cases:
        X = torch.randn(3, *shape, dtype=weight.dtype)
        kernel, moved = reference("dense_to_conv")(weight, bias, shape)
        dense = X.flatten(1) @ weight.T + bias
        exact = 1e-4 if weight.dtype == torch.float32 else 1e-12
        assert torch.allclose(torch.conv2d(X, kernel, moved).flatten(1), dense, rtol=0, atol=exact)
        slid = reference("slide_dense")(weight, bias, shape, X)
        assert torch.allclose(slid.flatten(1), dense, rtol=0, atol=exact)


# --- Answers that students really give ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("conv2_parameters", 64 * (5 * 5 + 1), "input channels are forgotten"),
        ("conv2_parameters", 56_064, "35 input channels"),
        ("total_parameters", 235_970, "4,800 too many"),
        ("total_parameters", 1_191_170, "'same' padding everywhere"),
        ("in_convolutions", 160_960, "56,064"),
        ("padding_of_conv1", (5 + 1) / 2, "(k + 1) / 2"),
        ("padding_of_pool1", 2, "18 pixels"),
        ("two_convolutions", 5 * 2 + 1, "kernel * depth + bias"),
        ("two_convolutions", 5 * 2, "kernel * depth"),
        ("bag_of_words", 0, "k-means finds the words"),
        ("bag_of_words", 128 + 1, "histogram"),
    ],
)
def test_a_famous_wrong_number_is_recognised(name: str, answer: float, words: str):
    found = verdict(name, answer)
    assert found.status == "failed"
    assert words in found.message


def test_56064_is_what_conv2_would_have_with_the_images_channels_as_well():
    assert reference("conv_parameters")(32 + 3, 64, 5) == 56_064


def test_two_mistakes_in_one_function_are_named_one_after_the_other():
    def forgetful(n, kernel_size, stride=1, padding=0, dilation=1, ceil_mode=False):
        return (n + padding - kernel_size) // stride + 1

    def better(n, kernel_size, stride=1, padding=0, dilation=1, ceil_mode=False):
        return (n + 2 * padding - kernel_size) // stride + 1

    assert verdict("output_size", forgetful).mistake == "padding_once"
    assert verdict("output_size", better).mistake == "dilation_ignored"


def test_an_unknown_mistake_is_told_where_it_shows_without_its_input():
    def odd(n, kernel_size, stride=1, padding=0, dilation=1, ceil_mode=False):
        right = reference("output_size")(n, kernel_size, stride, padding, dilation, ceil_mode)
        return right + 7 * (dilation > 1)

    found = verdict("output_size", odd)
    assert found.mistake is None
    assert found.message.startswith("the size with dilation is ")


def test_the_layers_that_come_in_must_not_be_changed():
    def emptying(layers):
        found = reference("receptive_field")(list(layers))
        layers.clear()
        return found

    assert verdict("receptive_field", emptying).message == (
        "receptive_field changes the caller's layers: leave the arguments as they are and return "
        "something new"
    )
