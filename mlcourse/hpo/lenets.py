"""Many LeNet-5s of different widths trained at once, exactly as one by one but faster.

A search evaluates many small networks on the same images. One alone keeps neither a CPU nor a GPU
busy. Here the networks of a group share each call: C1 is one convolution with the filters of all
of them, as they see the same images; C3 is one convolution in groups; C5, F6 and the last layer
are products of stacked matrices. A narrower network is padded with zeros to the widest of its
group. The padding stays zero: a unit with no weights gives 0, ReLU passes no gradient at 0, and a
weight from a unit that gives 0 has the gradient 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlcourse.convnets import lenet5

#: The widths that Part 4 searches, with the ranges of the source.
SPACE = {"c1": (1, 32), "c3": (1, 32), "c5": (40, 130), "f6": (125, 325)}

Widths = Mapping[str, int]


class LeNets(nn.Module):
    """LeNet-5s that take the same images (N, channels, 32, 32) and return logits (K, N, classes).

    `configs` has one dict of widths a network, with the names of `lenet5`: c1, c3, c5 and f6.
    Network i starts with the weights of `lenet5(classes, **configs[i])` after
    `torch.manual_seed(seeds[i])`. Raises ValueError when there are no networks, not as many seeds,
    or other names.
    """

    def __init__(
        self, configs: Sequence[Widths], seeds: Sequence[int], classes: int = 10, channels: int = 3
    ) -> None:
        super().__init__()
        if not configs or len(configs) != len(seeds):
            raise ValueError(
                f"there are {len(configs)} networks and {len(seeds)} seeds: give one seed for "
                "each of one or more networks"
            )
        for config in configs:
            if set(config) != set(SPACE):
                raise ValueError(f"the widths are {dict(config)}: give {', '.join(SPACE)}")
        self.configs = [dict(config) for config in configs]
        self.classes, self.channels = classes, channels
        K = len(configs)
        c1, c3, c5, f6 = (max(config[name] for config in configs) for name in SPACE)
        sizes = {
            "c1": ((K * c1, channels, 5, 5), (K * c1,)),
            "c3": ((K * c3, c1, 5, 5), (K * c3,)),
            "c5": ((K, 25 * c3, c5), (K, 1, c5)),
            "f6": ((K, c5, f6), (K, 1, f6)),
            "output": ((K, f6, classes), (K, 1, classes)),
        }
        self.weights, self.biases = nn.ParameterDict(), nn.ParameterDict()
        for name, (weight, bias) in sizes.items():
            form = torch.channels_last if len(weight) == 4 else torch.contiguous_format
            self.weights[name] = nn.Parameter(torch.zeros(weight).to(memory_format=form))
            self.biases[name] = nn.Parameter(torch.zeros(bias))
        for i, seed in enumerate(seeds):
            self.load(i, _fresh(self.configs[i], seed, classes, channels))

    def __len__(self) -> int:
        return len(self.configs)

    def forward(self, X: Tensor) -> Tensor:
        K, w, b = len(self), self.weights, self.biases
        h = _Stem.apply(X.contiguous(memory_format=torch.channels_last), w["c1"], b["c1"])
        # max and ReLU can change places, and after pooling there is a quarter left to do.
        h = F.relu(F.max_pool2d(F.conv2d(h, w["c3"], b["c3"], groups=K), 2))
        h = h.permute(0, 2, 3, 1).unflatten(3, (K, -1)).permute(3, 0, 1, 2, 4).flatten(2)
        h = F.relu(torch.baddbmm(b["c5"], h, w["c5"]))
        h = F.relu(torch.baddbmm(b["f6"], h, w["f6"]))
        return torch.baddbmm(b["output"], h, w["output"])

    def network(self, i: int) -> nn.Sequential:
        """Return a copy of network i, without padding, as `lenet5` makes it."""
        like = self.weights["f6"]
        net = lenet5(self.classes, **self.configs[i], channels=self.channels).to(like)
        with torch.no_grad():
            for ours, theirs in self._pairs(i, net):
                theirs.copy_(ours)
        return net

    def load(self, i: int, net: nn.Sequential) -> None:
        """Give network i the weights of a `lenet5` of its widths."""
        with torch.no_grad():
            for ours, theirs in self._pairs(i, net):
                ours.copy_(theirs)

    def _pairs(self, i: int, net: nn.Sequential) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the part of each padded tensor that is network i's, and the network's own."""
        K, n = len(self), self.configs[i]
        parts: dict[str, Callable[[Tensor], Tensor]] = {
            "c1": lambda w: w.unflatten(0, (K, -1))[i, : n["c1"]],
            "c3": lambda w: w.unflatten(0, (K, -1))[i, : n["c3"], : n["c1"]],
            # The rows of C5's matrix are in the order (y, x, channel).
            "c5": lambda w: (
                w[i].view(5, 5, -1, w.shape[2])[:, :, : n["c3"], : n["c5"]].permute(3, 2, 0, 1)
            ),
            "f6": lambda w: w[i, : n["c5"], : n["f6"]].T,
            "output": lambda w: w[i, : n["f6"]].T,
        }
        for name, part in parts.items():
            weight, bias = net.get_parameter(f"{name}.weight"), net.get_parameter(f"{name}.bias")
            yield part(self.weights[name]), weight
            yield self.biases[name].view(K, -1)[i, : len(bias)], bias


def _fresh(config: Widths, seed: int, classes: int, channels: int) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return lenet5(classes, **config, channels=channels)


#: Numbers (2 MB in float32) of C1's output that are in use at a time: they should stay in a cache.
_SLICE = 500_000


class _Stem(torch.autograd.Function):
    """C1, max pooling and ReLU for channels-last images, which need no gradient.

    C1's output is by far the largest tensor of the network. It is made, and in the backward pass
    its gradient, for a few images at a time, so that on a CPU it never goes to the main memory.
    """

    @staticmethod
    def forward(ctx: Any, X: Tensor, weight: Tensor, bias: Tensor) -> Tensor:  # type: ignore[override]
        out = _channels_last(X, len(X), len(weight), 14)
        where = _channels_last(X, len(X), len(weight), 14, torch.int64)
        n = _images(X, weight)
        for x, o, at in zip(X.split(n), out.split(n), where.split(n), strict=True):
            h = F.conv2d(x, weight, bias)
            torch.ops.aten.max_pool2d_with_indices(h, [2, 2], [2, 2], out=o, indices=at)
        out.clamp_(min=0)
        ctx.save_for_backward(X, weight, out, where)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[None, Tensor, Tensor]:  # type: ignore[override]
        X, weight, out, where = ctx.saved_tensors
        grad = torch.ops.aten.threshold_backward(grad, out, 0)
        grad_weight = torch.zeros_like(weight)
        n = _images(X, weight)
        before = _channels_last(X, n, len(weight), 28)
        for x, g, at in zip(X.split(n), grad.split(n), where.split(n), strict=True):
            g_before = before[: len(x)]
            # Of the second argument only the shape counts: what was pooled is not needed again.
            torch.ops.aten.max_pool2d_with_indices_backward(
                *(g, g_before, [2, 2], [2, 2], [0, 0], [1, 1], False, at), grad_input=g_before
            )
            grad_weight += torch.ops.aten.convolution_backward(
                *(g_before, x, weight, None, [1, 1], [0, 0], [1, 1], False, [0, 0], 1),
                [False, True, False],
            )[1]
        return None, grad_weight, grad.sum((0, 2, 3))


def _channels_last(
    like: Tensor, n: int, channels: int, side: int, dtype: torch.dtype | None = None
) -> Tensor:
    return like.new_empty((n, side, side, channels), dtype=dtype).permute(0, 3, 1, 2)


def _images(X: Tensor, weight: Tensor) -> int:
    """The number of images in a slice: all on a GPU, where many small calls would be slow."""
    return len(X) if X.is_cuda else min(len(X), max(1, _SLICE // (28 * 28 * len(weight))))
