"""`build_cnn`: the course's CNN as a module.

The module may live in another process. Whatever its layers are called, it gets values that depend
on their shapes alone, so that two networks with the same layers give the same logits.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Generator, Tensor, nn

from mlcourse.checks.compare import NotData, plain
from mlcourse.checks.declare import Mistake, Question, Variant
from mlcourse.checks.judge import AnswerError, beside
from mlcourse.checks.train_a_cnn_questions.shared import WITNESS
from mlcourse.convnets import course_cnn


def cases(g: Generator) -> list[tuple[int, Tensor, int]]:
    """(classes, images, seed of the parameters): ten classes, another number; one image alone."""
    other = int(torch.randint(3, 9, (), generator=g))
    found = []
    for classes, N in ((10, 3), (other, 2), (10, 1)):
        seed = int(torch.randint(1_000_000, (), generator=g))
        found.append((classes, torch.randn(N, 3, 32, 32, generator=g), seed))
    return found


def use_cnn(answer: Callable, classes: int, X: Tensor, seed: int) -> Any:
    """Build the network, count its parameters, give them values, and let it predict."""
    model = answer(classes)
    try:
        callable(model.parameters)
    except (AttributeError, AnswerError):
        raise NotData("it returns no nn.Module: nn.Sequential(...) makes one") from None
    model(X)  # lazy layers learn their sizes
    total = beside(answer, WITNESS, "fill")(model, seed)
    return {"the number of parameters": f"{total:,}", "the output": plain(model(X))}


def cnn_by(
    *,
    kernel: int = 5,
    paddings: tuple[int, int, int] = (2, 0, 0),
    activation: Callable[[], nn.Module] = nn.ReLU,
    pool: Callable[[], nn.Module] = lambda: nn.MaxPool2d(2),
    flatten: Callable[[], nn.Module] = nn.Flatten,
    bias: bool = True,
    dense_activation: Callable[[], nn.Module] = nn.ReLU,
    inputs: int = 64,
    outputs: Callable[[int], int] = int,
    tail: Callable[[], nn.Module] = nn.Identity,
) -> Callable[[int], nn.Module]:
    """The CNN with some of its pieces exchanged."""

    def build_cnn(classes: int) -> nn.Module:
        layers: list[nn.Module] = []
        sizes = ((3, 32), (32, 64), (64, 64))
        for (n_in, n_out), padding in zip(sizes, paddings, strict=True):
            layers.append(nn.Conv2d(n_in, n_out, kernel, padding=padding, bias=bias))
            layers += [activation(), pool()]
        layers += [flatten(), nn.Linear(inputs, 1000), dense_activation()]
        layers += [nn.Linear(1000, outputs(classes)), tail()]
        return nn.Sequential(*layers)

    return build_cnn


class Squeeze(nn.Module):
    """Takes out every dimension of size 1, the batch's too."""

    def forward(self, X: Tensor) -> Tensor:
        return X.squeeze()


class WithoutHidden(nn.Sequential):
    def __init__(self, classes: int) -> None:
        whole = course_cnn(classes=classes)
        super().__init__(*list(whole.children())[:-3], nn.Linear(64, classes))


class Written(nn.Module):
    """The network as a class: pool before ReLU, which is the same, and flattened by hand."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.fc5 = nn.Linear(1000, classes)
        self.fc4 = nn.Linear(64, 1000)
        self.conv1 = nn.Conv2d(3, 32, 5, padding="same")
        self.conv2 = nn.Conv2d(32, 64, (5, 5), padding="valid")
        self.conv3 = nn.Conv2d(64, 64, 5)

    def forward(self, X: Tensor) -> Tensor:
        for layer in (self.conv1, self.conv2, self.conv3):
            X = torch.relu(nn.functional.max_pool2d(layer(X), kernel_size=2, stride=2))
        return self.fc5(self.fc4(X.view(len(X), -1)).clamp(min=0))


def named(classes: int) -> nn.Module:
    """Layers with names, in two parts, pieces used more than once."""
    relu, pool = nn.ReLU(inplace=True), nn.MaxPool2d(kernel_size=2, stride=2)
    features = nn.Sequential(
        OrderedDict(conv1=nn.Conv2d(3, 32, kernel_size=5, stride=1, padding=2), a=relu, b=pool),
    )
    rest = nn.Sequential(nn.Conv2d(32, 64, 5), relu, pool, nn.Conv2d(64, 64, 5), relu, pool)
    dense = nn.Sequential(nn.Flatten(1), nn.Linear(64, 1000), relu, nn.Linear(1000, classes))
    return nn.Sequential(features, rest, dense)


def lazy(classes: int) -> nn.Module:
    """Layers that find out their numbers of inputs when they see the first images."""
    return nn.Sequential(
        *(nn.LazyConv2d(32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.LazyConv2d(64, 5), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.LazyConv2d(64, 5), nn.ReLU(), nn.AdaptiveMaxPool2d(1)),
        *(nn.Flatten(), nn.LazyLinear(1000), nn.ReLU(), nn.LazyLinear(classes)),
    )


build_cnn = Question(
    name="build_cnn",
    title="The course's CNN",
    points=3,
    reference=lambda classes: course_cnn(classes=classes),
    cases=cases,
    use=use_cnn,
    mistakes=(
        Mistake(
            "hundred_outputs",
            cnn_by(outputs=lambda classes: 100),
            "fc5 has 100 outputs: it should have one for each class, nn.Linear(1000, classes)",
        ),
        Mistake(
            "always_ten",
            cnn_by(outputs=lambda classes: 10),
            "fc5 has 10 outputs whatever `classes` is: nn.Linear(1000, classes)",
        ),
        Mistake(
            "thousand_outputs",
            cnn_by(outputs=lambda classes: 1000),
            "the last layer has 1000 outputs: 1000 are fc4's, fc5 has one for each class",
        ),
        Mistake(
            "same_everywhere",
            cnn_by(paddings=(2, 2, 2), inputs=1024),
            "all three convolutions are padded, so fc4 sees 4x4x64 numbers and there are five "
            "times as many parameters: only conv1 has padding 2",
        ),
        Mistake(
            "conv2_padded",
            cnn_by(paddings=(2, 2, 0), inputs=256),
            "conv2 is padded: only conv1 has padding 2, and fc4 sees 1x1x64 numbers",
        ),
        Mistake(
            "fc4_of_same_padding",
            cnn_by(inputs=1024),
            "fc4 expects 4x4x64 = 1024 inputs, which a padded conv2 and conv3 would give it: here "
            "pool3 leaves 1x1x64",
        ),
        Mistake(
            "fc4_before_pool3",
            cnn_by(inputs=256),
            "fc4 expects 2x2x64 = 256 inputs, as conv3 gives them: after pool3 they are 1x1x64",
        ),
        Mistake(
            "same_with_64",
            cnn_by(paddings=(2, 2, 2)),
            "conv2 and conv3 are padded, so fc4 gets 4x4x64 numbers and not 64: only conv1 has "
            "padding 2",
        ),
        Mistake(
            "no_padding",
            cnn_by(paddings=(0, 0, 0)),
            "conv1 has no padding, so the maps shrink until pool3 has nothing left: give it "
            "padding=2, which keeps 32x32",
        ),
        Mistake(
            "padding_of_three",
            cnn_by(paddings=(3, 0, 0), inputs=64),
            "conv1 has padding 3, which gives 34x34: (k - 1)/2 = 2 keeps 32x32",
        ),
        Mistake(
            "softmax_at_the_end",
            cnn_by(tail=lambda: nn.Softmax(dim=1)),
            "the network ends with a softmax: return the logits, cross_entropy applies softmax "
            "itself",
        ),
        Mistake(
            "log_softmax_at_the_end",
            cnn_by(tail=lambda: nn.LogSoftmax(dim=1)),
            "the network ends with a log-softmax: return the logits, cross_entropy applies it "
            "itself",
        ),
        Mistake(
            "relu_at_the_end",
            cnn_by(tail=nn.ReLU),
            "a ReLU comes after fc5, so no logit can be negative: the last layer is affine",
        ),
        Mistake(
            "no_flatten",
            cnn_by(flatten=nn.Identity),
            "fc4 gets a map (N, 64, 1, 1): put nn.Flatten() before it, which makes it (N, 64)",
        ),
        Mistake(
            "batch_flattened",
            cnn_by(flatten=lambda: nn.Flatten(0)),
            "the batch is flattened too, so that all images become one: nn.Flatten() keeps the "
            "first dimension",
        ),
        Mistake(
            "squeezed",
            cnn_by(flatten=Squeeze),
            "squeeze() takes the batch away when it holds one image: nn.Flatten() keeps the first "
            "dimension",
        ),
        Mistake(
            "no_relu",
            cnn_by(activation=nn.Identity, dense_activation=nn.Identity),
            "there is no activation anywhere: put nn.ReLU() after each convolution and after fc4",
        ),
        Mistake(
            "no_relu_after_convolutions",
            cnn_by(activation=nn.Identity),
            "no ReLU comes after the convolutions: put nn.ReLU() after each of the three",
        ),
        Mistake(
            "no_relu_after_fc4",
            cnn_by(dense_activation=nn.Identity),
            "fc4 and fc5 have nothing between them, so they are one affine map: put nn.ReLU() "
            "there",
        ),
        Mistake(
            "tanh",
            cnn_by(activation=nn.Tanh, dense_activation=nn.Tanh),
            "the activations are tanh: this network's are ReLU",
        ),
        Mistake(
            "average_pooling",
            cnn_by(pool=lambda: nn.AvgPool2d(2)),
            "the pooling takes averages: this network's takes maxima, nn.MaxPool2d(2)",
        ),
        Mistake(
            "no_biases",
            cnn_by(bias=False),
            "the convolutions have no biases: leave bias=False out",
        ),
        Mistake(
            "kernel_of_three",
            cnn_by(kernel=3, paddings=(1, 0, 0), inputs=256),
            "the kernels are 3x3: this network's are 5x5",
        ),
        Mistake(
            "one_dense_layer",
            WithoutHidden,
            "fc4 is missing: between the flattened map and fc5 there is nn.Linear(64, 1000) with "
            "its ReLU",
        ),
        Mistake(
            "sigmoid_at_the_end",
            cnn_by(tail=nn.Sigmoid),
            "the network ends with a sigmoid: return the logits",
        ),
    ),
    variants=(
        Variant("from pieces", cnn_by()),
        Variant("a class, pool before ReLU", Written),
        Variant("named parts, shared pieces", named),
        Variant("lazy layers", lazy),
    ),
    hints=(
        "nn.Sequential takes the layers in the order of the table: for each convolution "
        "nn.Conv2d(...), nn.ReLU(), nn.MaxPool2d(2).",
        "padding=2 belongs to conv1 alone. After pool3 the map is 64x1x1: nn.Flatten() makes 64 "
        "numbers an image of it.",
        "Count: sum(p.numel() for p in build_cnn(10).parameters()) should be 231,170. The last "
        "layer has no activation.",
    ),
)
