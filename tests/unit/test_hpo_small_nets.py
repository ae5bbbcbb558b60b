"""Small networks trained at once: each as if it were alone, and as torch would train it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from mlcourse import data
from mlcourse.hpo.small_nets import DEFAULTS, first_weights, train_many

CONFIGS = [
    {"lr": 0.2},
    {"lr": 0.05, "momentum": 0.9, "width": 7},
    {"lr": 0.1, "width": 33, "weight_decay": 0.03, "smoothing": 0.2},
    {"lr": 0.02, "momentum": 0.5, "width": 4, "weight_decay": 1e-4, "smoothing": 0.4},
]
SEEDS = [0, 1, 2, 3]


def _one_by_one(config: dict, seed: int, epochs: int) -> tuple[list[float], list[float]]:
    """Train one network by nn.Linear, autograd and torch.optim.SGD."""
    config, draw = {**DEFAULTS, **config}, torch.Generator().manual_seed(seed)
    split = data.digits()
    first, second = nn.Linear(64, config["width"]), nn.Linear(config["width"], 10)
    with torch.no_grad():
        W, V = first_weights(config["width"], draw)
        first.weight.copy_(W.T)
        second.weight.copy_(V.T)
        first.bias.zero_()
        second.bias.zero_()
    decayed = {"params": [first.weight, second.weight], "weight_decay": config["weight_decay"]}
    optimizer = torch.optim.SGD(
        [decayed, {"params": [first.bias, second.bias]}],
        lr=config["lr"],
        momentum=config["momentum"],
    )
    model = nn.Sequential(first, nn.ReLU(), second)
    val, test = [], []
    for _ in range(epochs):
        for chosen in torch.randperm(len(split.X_train), generator=draw).split(32):
            loss = F.cross_entropy(
                model(split.X_train[chosen]),
                split.Y_train[chosen].argmax(1),
                label_smoothing=config["smoothing"],
            )
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            for found, X, Y in (
                (val, split.X_val, split.Y_val),
                (test, split.X_test, split.Y_test),
            ):
                found.append((model(X).argmax(1) != Y.argmax(1)).double().mean().item())
    return val, test


def test_each_network_is_trained_as_torch_trains_it_alone() -> None:
    errors = train_many(CONFIGS, SEEDS, epochs=2)
    for i, (config, seed) in enumerate(zip(CONFIGS, SEEDS, strict=True)):
        val, test = _one_by_one(config, seed, epochs=2)
        # One image in 360 may be so near the boundary that rounding decides.
        np.testing.assert_allclose(errors.val[i], val, atol=1.5 / 360)
        np.testing.assert_allclose(errors.test[i], test, atol=1.5 / 360)


def test_networks_do_not_depend_on_their_company() -> None:
    together = train_many(CONFIGS, SEEDS, epochs=2)
    for i, (config, seed) in enumerate(zip(CONFIGS, SEEDS, strict=True)):
        alone = train_many([config], [seed], epochs=2)
        np.testing.assert_allclose(together.val[i], alone.val[0], atol=1.5 / 360)


def test_errors_have_a_row_a_network_and_a_column_an_epoch() -> None:
    errors = train_many(CONFIGS, SEEDS, epochs=3)
    assert errors.val.shape == errors.test.shape == (4, 3)
    assert errors.val.dtype == np.float64
    assert np.all((errors.val >= 0) & (errors.val <= 1))


def test_seeds_make_a_difference_and_the_same_ones_none() -> None:
    errors = train_many([{"lr": 0.1}] * 3, [5, 5, 6], epochs=1)
    assert errors.val[0] == errors.val[1]
    assert errors.val[0] != errors.val[2]


def test_a_diverged_network_is_wrong_everywhere() -> None:
    errors = train_many([{"lr": 1e30}, {"lr": 0.1}], [0, 0], epochs=1)
    assert errors.val[0] == errors.test[0] == 1
    assert errors.val[1] < 1


def test_wrong_input_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="2 configurations and 1 seeds: give one for each"):
        train_many([{}, {}], [0])
    with pytest.raises(ValueError, match="'depth' is unknown here: give lr, momentum, width"):
        train_many([{"depth": 3}], [0])
