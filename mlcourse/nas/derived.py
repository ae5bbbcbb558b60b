"""The network of a genotype, to be trained anew, with what keeps it from learning by heart.

Source: Liu, Simonyan and Yang, DARTS: Differentiable architecture search, 2019, appendix A.2.1,
which takes drop path and the auxiliary head from earlier work. Cutout is in `augmentation.py`.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mlcourse.nas.cells import CellShape, cell_inputs, cell_shapes, check_sizes, edge_stride
from mlcourse.nas.genotype import KINDS, Gene, Genotype, check_genotype
from mlcourse.nas.operations import operation
from mlcourse.nas.supernet import drawing_from, stem_layer


class DerivedNet(nn.Module):
    """The cells of a genotype for images (N, colours, H, W); returns logits (N, classes).

    Stem, places of the reduction cells and channels are those of a Supernet. In training each path
    through an operation (but the plain skip) is dropped for each example with a probability that
    grows from 0 to `drop_path`, linearly over the first `growth` batches of training; `growth` 0
    begins with it. These numbers come from torch's own generator, as does what batches draw, so
    that `train_model` can continue from a checkpoint.

    `auxiliary` is the weight, 0.4 in the paper, of the loss of a second classifier, which sees the
    images after two thirds of the layers: train with `loss=net.loss`. It needs images of 32x32, up
    to 40x40. With a generator the initial weights are drawn from it, else from torch's own.

    Raises ValueError for sizes below 1, fewer than 3 layers, a genotype whose cells do not fit
    together, a drop_path outside [0, 1), and a negative growth or auxiliary.
    """

    batches_seen: Tensor

    def __init__(
        self,
        genotype: Genotype,
        channels: int,
        layers: int,
        classes: int,
        *,
        auxiliary: float = 0.0,
        drop_path: float = 0.0,
        growth: int = 0,
        stem: int = 3,
        colours: int = 3,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_sizes(channels=channels, classes=classes, stem=stem, colours=colours)
        check_genotype(genotype)
        _check_regularisation(auxiliary, drop_path, growth)
        self.genotype, self.auxiliary = genotype, auxiliary
        self.drop_path, self.growth = drop_path, growth
        outputs = (len(genotype.normal_concat), len(genotype.reduce_concat))
        shapes = list(cell_shapes(channels, layers, stem * channels, outputs))
        with drawing_from(generator):
            self.stem = stem_layer(colours, stem * channels)
            self.cells = nn.ModuleList(DerivedCell(genotype, shape) for shape in shapes)
            self.auxiliary_at = 2 * layers // 3
            if auxiliary:
                n_in = outputs[True] * shapes[self.auxiliary_at].channels
                self.auxiliary_head = _auxiliary_head(n_in, classes)
            last = shapes[-1]
            self.classifier = nn.Linear(outputs[last.reduction] * last.channels, classes)
        self.register_buffer("batches_seen", torch.zeros((), dtype=torch.int64))
        self._auxiliary_logits: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the logits (N, classes) of images x (N, colours, H, W)."""
        drop_path = self.drop_path_now() if self.training and self.drop_path else None
        before_last = last = self.stem(x)
        for i, cell in enumerate(self.cells):
            before_last, last = last, cell(before_last, last, drop_path)
            if i == self.auxiliary_at and self.training and self.auxiliary:
                self._auxiliary_logits = self._see(last)
        if self.training:
            self.batches_seen += 1
        return self.classifier(last.mean(dim=(2, 3)))

    def drop_path_now(self) -> Tensor:
        """Return the probability that the next batch of training drops a path with, ()."""
        seen = self.batches_seen.double()
        grown = seen / self.growth if self.growth else torch.ones_like(seen)
        return self.drop_path * grown.clamp(max=1.0)

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the cross-entropy, in training with `auxiliary` times the second classifier's.

        Each call follows one of the network. Raises ValueError when it does not.
        """
        loss = F.cross_entropy(logits, labels)
        if not (self.training and self.auxiliary):
            return loss
        if self._auxiliary_logits is None:
            raise ValueError("the auxiliary logits are used up: call the network before its loss")
        # A module that keeps a part of a graph could not be copied.
        auxiliary_logits, self._auxiliary_logits = self._auxiliary_logits, None
        return loss + self.auxiliary * F.cross_entropy(auxiliary_logits, labels)

    def _see(self, x: Tensor) -> Tensor:
        side = min(x.shape[2:]), max(x.shape[2:])
        if not 8 <= side[0] <= side[1] <= 10:
            raise ValueError(
                f"the auxiliary head gets {x.shape[2]}x{x.shape[3]} pixels: give images of 32x32 "
                "to 40x40, or auxiliary=0"
            )
        return self.auxiliary_head(x)


class DerivedCell(nn.Module):
    """A cell of two inputs whose nodes add the outputs of two operations each."""

    def __init__(self, genotype: Genotype, shape: CellShape) -> None:
        super().__init__()
        kind = KINDS[shape.reduction]
        self.genes: tuple[Gene, ...] = genotype.genes(kind)
        self.concat = genotype.concat(kind)
        self.inputs = cell_inputs(shape, affine=True)
        self.operations = nn.ModuleList(
            operation(name, shape.channels, edge_stride(shape, source))
            for name, source in self.genes
        )

    def forward(self, before_last: Tensor, last: Tensor, drop_path: Tensor | None) -> Tensor:
        """Apply the cell to its two inputs, and drop paths with a probability ()."""
        first, second = self.inputs
        states = [first(before_last), second(last)]
        outputs: list[Tensor] = []
        for op, (_, source) in zip(self.operations, self.genes, strict=True):
            y = op(states[source])
            if drop_path is not None and not isinstance(op, nn.Identity):
                y = drop_paths(y, drop_path)
            outputs.append(y)
            if len(outputs) == 2:
                states.append(outputs[0] + outputs[1])
                outputs = []
        return torch.cat([states[i] for i in self.concat], dim=1)


def drop_paths(x: Tensor, p: Tensor) -> Tensor:
    """Set each example of x (N, C, H, W) to zero with probability p (), and divide others by 1 - p.

    The mean over draws is then x.
    """
    kept = torch.rand(len(x), 1, 1, 1, dtype=x.dtype, device=x.device) >= p
    return x * (kept.to(x.dtype) / (1 - p))


def _auxiliary_head(n_in: int, classes: int) -> nn.Sequential:
    return nn.Sequential(
        OrderedDict[str, nn.Module](
            relu=nn.ReLU(),
            pool=nn.AvgPool2d(5, stride=3),
            conv1=nn.Conv2d(n_in, 128, 1, bias=False),
            norm1=nn.BatchNorm2d(128),
            relu1=nn.ReLU(),
            conv2=nn.Conv2d(128, 768, 2, bias=False),
            norm2=nn.BatchNorm2d(768),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            classifier=nn.Linear(768, classes),
        )
    )


def _check_regularisation(auxiliary: float, drop_path: float, growth: int) -> None:
    if not 0 <= drop_path < 1:
        raise ValueError(f"drop_path is {drop_path}: give a probability from 0 to below 1")
    for name, number in (("growth", growth), ("auxiliary", auxiliary)):
        if number < 0:
            raise ValueError(f"{name} is {number}: give 0 or more")
