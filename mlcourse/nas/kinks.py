"""How good the finite difference of DARTS is: kinks of ReLU and max pooling make it noisy.

The second-order term is d/dalpha [g(w, alpha) . u], where g is the gradient of the training loss in
the weights w. Differences take it from the gradients in alpha at w + e u and w - e u. Between the
two some of a network's many ReLUs switch, and maxima move to other pixels: there the gradient
jumps. The number of jumps is proportional to e, and they have both signs, so that their sum is
of the order sqrt(e), and divided by 2 e it grows as 1 / sqrt(e) for smaller e, until e is so small
that nothing switches. Differentiating twice gives the slope where nothing switches, and leaves out
what the jumps do to the loss on average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from mlcourse.bilevel_problem import Problem, gradients, leaf
from mlcourse.nas.architect import Architect, Batch

#: What the paper divides by |u| to have e.
PAPERS_RADIUS = 0.01


@dataclass(frozen=True)
class SecondOrder:
    """The second-order term exactly, and from differences of radius e |u|.

    `exact` has one number for each architecture parameter, (m,), `differences[radius]` too, and
    `norm` is |u|. The gradient in alpha has the term with the factor -lr.
    """

    exact: Tensor
    differences: dict[float, Tensor]
    norm: float

    def errors(self) -> dict[float, float]:
        """Return each radius's relative error |difference - exact| / |exact|."""
        size = self.exact.norm()
        return {
            radius: float((difference - self.exact).norm() / size)
            for radius, difference in self.differences.items()
        }

    def multiplied(self, radius: float = PAPERS_RADIUS) -> Tensor:
        """Return the term of an implementation that writes (a - b) / 2. * e for (a - b) / (2 e).

        It is e^2 times the difference (m,), where e = radius / |u|, and so next to nothing.
        """
        return self.differences[radius] * (radius / self.norm) ** 2


def second_order(
    architect: Architect,
    train: Batch,
    val: Batch,
    radii: Sequence[float] = (1.0, 0.1, PAPERS_RADIUS, 1e-3, 1e-4),
) -> SecondOrder:
    """Return the second-order term at the architect's model, exactly and from differences.

    u is the gradient of the validation loss after a step w - lr g. Use a model and batches in
    float64: in float32 rounding, divided by a small e, adds to what the kinks do. Nothing of the
    model changes. Raises ValueError for a radius that is not positive.
    """
    for radius in radii:
        if not radius > 0:
            raise ValueError(f"radius is {radius}: give a positive number")
    problem = Problem(*architect.losses(train, val), architect.weights(), architect.alphas())
    lr = float(architect.optimizer.param_groups[0]["lr"])
    w, alpha = leaf(problem.w), leaf(problem.hyper)
    (g,) = gradients(problem.inner(w, alpha), w, create_graph=True)
    after = leaf(w - lr * g)
    (u,) = gradients(problem.outer(after, alpha), after)
    (exact,) = gradients(g @ u, alpha)

    def difference(e: Tensor) -> Tensor:
        (above,) = gradients(problem.inner(problem.w + e * u, alpha), alpha)
        (below,) = gradients(problem.inner(problem.w - e * u, alpha), alpha)
        return (above - below) / (2 * e)

    differences = {radius: difference(radius / u.norm()) for radius in radii}
    return SecondOrder(exact, differences, float(u.norm()))


def smooth_(model: nn.Module) -> nn.Module:
    """Replace each ReLU by a softplus and each max pool by a mean, in place, and return the model.

    Without kinks a difference has an error of the order e^2.
    """
    for module in model.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, nn.Softplus())
            elif isinstance(child, nn.MaxPool2d):
                pool = nn.AvgPool2d(child.kernel_size, child.stride, child.padding)
                setattr(module, name, pool)
    return model
