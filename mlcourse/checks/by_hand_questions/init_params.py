"""`init_params`: random parameters, judged by what they look like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from mlcourse import mlp
from mlcourse.checks.by_hand_questions.shared import (
    KEYS,
    Params,
    pick,
)
from mlcourse.checks.compare import NotData, describe, difference, plain
from mlcourse.checks.declare import Mistake, Question, Variant


def sizes(g: Generator) -> list[tuple[int, int, int]]:
    return [(2, 4, 2), (5, 3, 7), (200, 120, 150)]


def summarise(answer: Callable, nx: int, nh: int, ny: int) -> Any:
    """Describe freshly drawn parameters: always their shapes, and for many also their spread."""
    params = drawn(answer, nx, nh, ny)
    shapes = {f"the shape of {key}": list(value.shape) for key, value in params.items()}
    if nx < 100 or params["Wh"].shape != (nh, nx) or params["Wy"].shape != (ny, nh):
        return shapes
    again = drawn(answer, nx, nh, ny)
    Wh, Wy = (params[key].double().flatten() for key in ("Wh", "Wy"))
    same = difference(again, params, exact=True) is None
    shared = torch.equal(Wh[:64], Wy[:64]) or torch.equal(Wh[: len(Wy)], Wy)
    return {
        **shapes,
        "a second call": "the same weights" if same else "other weights",
        "what Wy holds": "the numbers of Wh again" if shared else "numbers of its own",
        "the distribution of Wh": distribution(Wh),
        "the distribution of Wy": distribution(Wy),
        "the standard deviation of Wh": spread(Wh),
        "the standard deviation of Wy": spread(Wy),
        "the origin of bh": bias(params["bh"]),
        "the origin of by": bias(params["by"]),
    }


def drawn(answer: Callable, nx: int, nh: int, ny: int) -> Params:
    """Return the four parameters that an answer draws.

    Raises NotData when one is missing or holds something other than floating-point numbers.
    """
    params = pick(plain(answer(nx, nh, ny)), KEYS)
    if not isinstance(params, dict):
        raise NotData(f"it returns {describe(params)}, not a dict with the keys Wh, bh, Wy, by")
    for key in KEYS:
        if not is_floating(params.get(key)):
            raise NotData(f"the dict that it returns needs the key {key!r}, a tensor of floats")
    return {key: params[key] for key in KEYS}


def is_floating(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def distribution(weights: Tensor) -> str:
    """Name the distribution by its mean and by how much lies further out than 2 deviations.

    That is 4.6 % of a normal distribution, and nothing of a uniform one.
    """
    spread = float(weights.std())
    if spread < 1e-6:
        return "constant"
    if abs(float(weights.mean())) > 0.05 * spread:
        return "not centred on 0"
    outside = float((weights.abs() > 2 * spread).double().mean())
    return "normal" if 0.03 < outside < 0.06 else "not normal"


def spread(weights: Tensor) -> str:
    """Name the standard deviation coarsely, so that another draw gets the same name."""
    value = float(weights.std())
    if abs(value - 0.3) < 0.015:
        return "0.3"
    rough = f"{value:.1g}"
    return f"about {rough}" if rough != "0.3" else "near 0.3, but not 0.3"


def bias(values: Tensor) -> str:
    """Name what the biases are; zeros and draws from N(0, 0.3^2) are both as asked."""
    values = values.double()
    spread = float(values.std())
    if not values.any() or (abs(float(values.mean())) < 0.2 and 0.2 < spread < 0.4):
        return "as asked"
    return "one constant" if spread == 0 else "not from N(0, 0.3^2)"


def init_by(
    draw: Callable[..., Tensor] = torch.randn,
    scale: float = 0.3,
    shift: float = 0.0,
    bias: Callable[..., Tensor] = torch.zeros,
    turned: bool = False,
) -> Callable[[int, int, int], Params]:
    def init_params(nx: int, nh: int, ny: int) -> Params:
        def weights(rows: int, columns: int) -> Tensor:
            shape = (columns, rows) if turned else (rows, columns)
            return scale * draw(*shape) + shift

        return {"Wh": weights(nh, nx), "bh": bias(nh), "Wy": weights(ny, nh), "by": bias(ny)}

    return init_params


def init_fixed_seed(nx: int, nh: int, ny: int) -> Params:
    g = Generator().manual_seed(0)
    return mlp.init_params(nx, nh, ny, generator=g)


def init_shared(nx: int, nh: int, ny: int) -> Params:
    numbers = 0.3 * torch.randn(nh * max(nx, ny))
    return {
        "Wh": numbers[: nh * nx].reshape(nh, nx),
        "bh": torch.zeros(nh),
        "Wy": numbers[: ny * nh].reshape(ny, nh),
        "by": torch.zeros(ny),
    }


def init_column_biases(nx: int, nh: int, ny: int) -> Params:
    params = mlp.init_params(nx, nh, ny)
    return {**params, "bh": params["bh"][:, None], "by": params["by"][:, None]}


def init_row_biases(nx: int, nh: int, ny: int) -> Params:
    params = mlp.init_params(nx, nh, ny)
    return {**params, "bh": params["bh"][None], "by": params["by"][None]}


def init_with_normal(nx: int, nh: int, ny: int) -> Params:
    shapes = {"Wh": (nh, nx), "bh": (nh,), "Wy": (ny, nh), "by": (ny,)}
    return {key: torch.normal(0.0, 0.3, size=shape) for key, shape in shapes.items()}


def init_in_place(nx: int, nh: int, ny: int) -> Params:
    params = {
        "by": torch.zeros(ny, dtype=torch.float64),
        "Wy": torch.empty(ny, nh, dtype=torch.float64),
        "bh": torch.zeros(nh, dtype=torch.float64),
        "Wh": torch.empty(nh, nx, dtype=torch.float64),
    }
    for name in ("Wh", "Wy"):
        params[name].normal_(std=0.3)
    return params


def init_from_numpy(nx: int, nh: int, ny: int) -> Params:

    draw = np.random.default_rng().normal
    Wh, Wy = draw(0, 0.3, (nh, nx)), draw(0, 0.3, (ny, nh))
    return {
        "Wh": torch.from_numpy(Wh).float(),
        "bh": torch.zeros(nh),
        "Wy": torch.from_numpy(Wy).float(),
        "by": torch.zeros(ny),
    }


SPREAD = "the weights should be drawn from N(0, 0.3^2): 0.3 * torch.randn(rows, columns)"

init_params = Question(
    name="init_params",
    title="Draw the first parameters",
    points=1,
    reference=mlp.init_params,
    cases=sizes,
    use=summarise,
    mistakes=(
        Mistake(
            "transposed",
            init_by(turned=True),
            "Wh and Wy are transposed: a row is a neuron, so Wh is (n_h, n_x) and Wy is (n_y, n_h)",
        ),
        Mistake(
            "variance_for_deviation",
            init_by(scale=0.09),
            "0.3 is the standard deviation and 0.3^2 the variance: multiply torch.randn by 0.3, "
            "not by 0.09",
        ),
        Mistake(
            "not_scaled",
            init_by(scale=1.0),
            "the weights come from N(0, 1): multiply them by 0.3, or tanh starts out saturated",
        ),
        Mistake(
            "uniform",
            init_by(draw=torch.rand),
            "torch.rand draws from [0, 1), all of one sign: use torch.randn, which is normal and "
            "centred on 0",
        ),
        Mistake(
            "uniform_centred",
            init_by(draw=lambda *shape: 2 * torch.rand(*shape) - 1),
            "these weights are uniform: " + SPREAD,
        ),
        Mistake(
            "shifted",
            init_by(shift=0.3),
            "the weights are not centred on 0: the mean is 0 and 0.3 the standard deviation",
        ),
        Mistake(
            "zeros",
            init_by(draw=torch.zeros),
            "all weights are 0, so every hidden neuron would learn the same: draw them at random, "
            "0.3 * torch.randn(rows, columns)",
        ),
        Mistake(
            "ones_for_biases",
            init_by(bias=torch.ones),
            "the biases are 1: start them at 0, or draw them like the weights",
        ),
        Mistake(
            "unscaled_biases",
            init_by(bias=torch.randn),
            "the biases come from N(0, 1): start them at 0, or multiply them by 0.3 too",
        ),
        Mistake(
            "column_biases",
            init_column_biases,
            "the biases are columns: give bh the shape (n_h,) and by (n_y,), so that they add to "
            "each row of a batch",
        ),
        Mistake(
            "row_biases",
            init_row_biases,
            "the biases have two dimensions: give bh the shape (n_h,) and by (n_y,), one number "
            "for each neuron",
        ),
        Mistake(
            "fixed_seed",
            init_fixed_seed,
            "each call gives the same weights: set no seed inside init_params, leave that to the "
            "caller",
        ),
        Mistake(
            "shared",
            init_shared,
            "Wh and Wy hold the same numbers: draw each matrix on its own",
        ),
    ),
    variants=(
        Variant("normal for all", init_with_normal),
        Variant("in place, float64, other order", init_in_place),
        Variant("from NumPy", init_from_numpy),
        Variant("random biases", init_by(bias=lambda n: 0.3 * torch.randn(n))),
    ),
    hints=(
        "A row of a weight matrix belongs to one neuron: which of n_x, n_h and n_y counts rows?",
        "torch.randn(rows, columns) draws from N(0, 1). What must you multiply it by to have a "
        "standard deviation of 0.3?",
        "Return a dict with the keys Wh (n_h, n_x), bh (n_h,), Wy (n_y, n_h), by (n_y,); "
        "torch.zeros(n) makes a bias.",
    ),
)
