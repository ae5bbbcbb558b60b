"""The course's convolutional networks: its own CNN in two forms, LeNet-5, and a small ResNet.

All take images (N, channels, H, W) in floating point and return logits (N, classes). Their layers
have names (`conv1`, `pool1`, ...), start from torch's default initialisation, and so depend on
torch's seed.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional


def course_cnn(
    padding: Literal["seed", "same"] = "seed",
    *,
    classes: int = 10,
    ceil_mode: bool = False,
    dropout: float = 0.0,
    batch_norm: bool = False,
) -> nn.Sequential:
    """Return the CNN of Part 2 for images (N, 3, 32, 32): three convolutions, two dense layers.

    With `padding="seed"`, as in the practical the course grew from, only conv1 is padded and the
    network has 231,170 parameters; with "same" all three are, fc4 sees 64x4x4 numbers, and there
    are 1,191,170. `ceil_mode` rounds pool3's size up: then crops of 28x28 give fc4 the same number
    of inputs as whole images do. `dropout` is the probability to drop an input of fc4 and of fc5.
    `batch_norm` puts a layer after each convolution, whose bias it makes useless: the 160 biases
    go and 320 scales and shifts come, 160 parameters more in all. Raises ValueError for any other
    padding, and for a dropout outside [0, 1].
    """
    if padding not in ("seed", "same"):
        raise ValueError(f'padding is {padding!r}: choose "seed" or "same"')
    if not 0 <= dropout <= 1:
        raise ValueError(f"dropout is {dropout}: give a probability, from 0 to 1")
    inner, side = (0, 1) if padding == "seed" else (2, 4)
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for i, (n_in, n_out, pad) in enumerate(((3, 32, 2), (32, 64, inner), (64, 64, inner)), start=1):
        layers[f"conv{i}"] = nn.Conv2d(n_in, n_out, 5, padding=pad, bias=not batch_norm)
        if batch_norm:
            layers[f"norm{i}"] = nn.BatchNorm2d(n_out)
        layers[f"relu{i}"] = nn.ReLU()
        layers[f"pool{i}"] = nn.MaxPool2d(2, ceil_mode=ceil_mode and i == 3)
    layers["flatten"] = nn.Flatten()
    if dropout:
        layers["dropout4"] = nn.Dropout(dropout)
    layers["fc4"] = nn.Linear(64 * side * side, 1000)
    layers["relu4"] = nn.ReLU()
    if dropout:
        layers["dropout5"] = nn.Dropout(dropout)
    layers["fc5"] = nn.Linear(1000, classes)
    return nn.Sequential(layers)


def lenet5(
    classes: int = 10,
    c1: int = 6,
    c3: int = 16,
    c5: int = 120,
    f6: int = 84,
    channels: int = 3,
) -> nn.Sequential:
    """Return a LeNet-5 for images (N, channels, 32, 32), with the four sizes that Part 4 searches.

    The sizes are numbers of filters (c1, c3, c5) and of units (f6). As in most versions today the
    activations are ReLU, the pooling takes maxima, each filter of C3 sees all maps of S2, and
    the last layer is linear (LeCun et al., Gradient-based learning applied to document
    recognition, 1998, has tanh, trained averages, a table of connections, and distances). With one
    channel it has 61,706 parameters. Raises ValueError for a size below 1.
    """
    sizes = {"classes": classes, "c1": c1, "c3": c3, "c5": c5, "f6": f6, "channels": channels}
    for name, size in sizes.items():
        if size < 1:
            raise ValueError(f"{name} is {size}: give a size of at least 1")
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            c1=nn.Conv2d(channels, c1, 5),
            relu1=nn.ReLU(),
            s2=nn.MaxPool2d(2),
            c3=nn.Conv2d(c1, c3, 5),
            relu3=nn.ReLU(),
            s4=nn.MaxPool2d(2),
            c5=nn.Conv2d(c3, c5, 5),
            relu5=nn.ReLU(),
            flatten=nn.Flatten(),
            f6=nn.Linear(c5, f6),
            relu6=nn.ReLU(),
            output=nn.Linear(f6, classes),
        )
    )


def small_resnet(
    classes: int = 10, *, width: int = 64, whiten: Tensor | None = None
) -> nn.Sequential:
    """Return a residual network for images (N, 3, 32, 32) that learns in few, fast epochs.

    A 2x2 convolution, then three stages of `width`, 4 `width` and 4 `width` channels: each halves
    the map and adds a residual branch of two convolutions. 3,190,456 parameters at the default
    size. Given `whiten`, standardised training images (n, 3, H, W), the first layer is set to
    whiten their patches and its weights are frozen; some thousand images will do. It is made for
    a large learning rate, label smoothing, `channels_last` and half precision. The shapes are
    those of networks that were tuned for speed: https://github.com/KellerJordan/cifar10-airbench
    and, before it, Page's https://github.com/davidcpage/cifar10-fast. Raises ValueError for a size
    below 1 and for images that are not standardised floating-point ones.
    """
    for name, size in (("classes", classes), ("width", width)):
        if size < 1:
            raise ValueError(f"{name} is {size}: give a size of at least 1")
    patch = nn.Conv2d(3, 24, 2)
    if whiten is not None:
        _whiten_(patch, whiten)
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            patch=patch,
            gelu=nn.GELU(),
            stage1=_stage(24, width),
            stage2=_stage(width, 4 * width),
            stage3=_stage(4 * width, 4 * width),
            pool=nn.AdaptiveMaxPool2d(1),
            flatten=nn.Flatten(),
            fc=nn.Linear(4 * width, classes, bias=False),
            scale=Scale(1 / 9),
        )
    )


class Scale(nn.Module):
    """Multiplies by a constant: small logits let the last layer learn at a large rate."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


class Residual(nn.Module):
    """Adds its input to what a branch of the same output shape makes of it."""

    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, x: Tensor) -> Tensor:
        return x + self.branch(x)


class MirrorAverage(nn.Module):
    """Averages a model's logits over each image and its mirror image, in evaluation mode only."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, X: Tensor) -> Tensor:
        if self.training:
            return self.model(X)
        return (self.model(X) + self.model(X.flip(3))) / 2


def _stage(n_in: int, n_out: int) -> nn.Sequential:
    # Pooling before the norm leaves it a quarter of the work.
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            conv=nn.Conv2d(n_in, n_out, 3, padding=1, bias=False),
            pool=nn.MaxPool2d(2),
            norm=_norm(n_out),
            gelu=nn.GELU(),
            residual=Residual(
                nn.Sequential(
                    OrderedDict[str, nn.Module](
                        conv1=nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
                        norm1=_norm(n_out),
                        gelu1=nn.GELU(),
                        conv2=nn.Conv2d(n_out, n_out, 3, padding=1, bias=False),
                        norm2=_norm(n_out),
                        gelu2=nn.GELU(),
                    )
                )
            ),
        )
    )


def _norm(channels: int) -> nn.BatchNorm2d:
    """Batch norm with a fixed scale, and running statistics that follow a short training."""
    norm = nn.BatchNorm2d(channels, momentum=0.4)
    norm.weight.requires_grad_(False)
    return norm


def _whiten_(conv: nn.Conv2d, images: Tensor, eps: float = 5e-4) -> None:
    """Set and freeze weights that make patches uncorrelated with variance 1, and their negatives.

    The activation that follows keeps mostly the positive part, so each direction comes twice.
    """
    if images.ndim != 4 or images.shape[1] != 3 or not images.is_floating_point():
        raise ValueError(
            f"whiten has shape {tuple(images.shape)} and dtype {images.dtype}: give standardised "
            "images (n, 3, H, W) in floating point"
        )
    patches = functional.unfold(images.float(), conv.kernel_size).transpose(1, 2).flatten(0, 1)
    values, vectors = torch.linalg.eigh(patches.double().T.cov())
    rows = (vectors / (values + eps).sqrt()).T.flip(0)
    with torch.no_grad():
        conv.weight.copy_(torch.cat([rows, -rows]).view_as(conv.weight))
    conv.weight.requires_grad_(False)
