"""The game of choosing by hand: what a play costs and shows, and the comparison with chance."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import pytest

from mlcourse.hpo.babysitting import Babysitting, Comparison
from mlcourse.hpo.method import Trial
from mlcourse.hpo.random import Random
from mlcourse.hpo.runner import run
from mlcourse.hpo.space import Space

SPACE = {
    "lr": {"low": 1e-4, "high": 1.0, "log": True},
    "width": (1, 32),
    "optimizer": ["sgd", "adam"],
    "momentum": {"low": 0.0, "high": 0.99, "when": {"optimizer": "sgd"}},
}
ADAM: dict[str, Any] = {"lr": 0.1, "width": 3, "optimizer": "adam"}


@pytest.fixture(autouse=True)
def _no_figure_stays() -> Iterator[None]:
    yield
    plt.close("all")


def loss(trial: Trial) -> float:
    config = trial.config
    assert isinstance(config["lr"], float)
    assert isinstance(config["width"], int)
    return abs(math.log10(config["lr"]) + 2) + (config["width"] - 20) ** 2 / 400


def test_a_play_is_evaluated_and_shown_in_one_line() -> None:
    game = Babysitting(loss, SPACE, budget=4)
    assert repr(game.play(**ADAM)) == "1.723: the best so far; 3 plays are left"
    better = game.play(momentum=0.9, width=20, optimizer="sgd", lr=0.01)
    assert repr(better) == "0: the best so far; 2 plays are left"
    assert list(better.result.trial.config) == list(SPACE)  # in the order of the space
    worse = game.play(**{**ADAM, "width": 30})
    assert worse.result.value == 1.25
    assert (worse.best, worse.left) == (better.result, 1)
    assert repr(worse) == (
        "1.25: the best so far is 0 (lr=0.01, width=20, optimizer='sgd', momentum=0.9); "
        "1 play is left"
    )
    assert repr(game.play(**{**ADAM, "width": 29})).endswith("; no plays are left")
    assert game.finished
    with pytest.raises(ValueError, match=r"^all 4 plays are made: look at compare\(\)$"):
        game.play(**ADAM)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, r"the configuration {} lacks lr: add it"),
        ({**ADAM, "depth": 2}, "the configuration has 'depth', which the space lacks"),
        ({**ADAM, "width": 99}, r"width = 99 is outside 1 \.\. 32"),
        ({**ADAM, "momentum": 0.5}, ".* has momentum, which exists only when optimizer is 'sgd'"),
    ],
)
def test_bad_input_costs_no_play(config: dict[str, Any], message: str) -> None:
    game = Babysitting(loss, SPACE, budget=3)
    for act in (game.play, game.choose):
        with pytest.raises(ValueError, match=f"^{message}"):
            act(**config)
    assert game.left == 3
    assert game.results == []
    assert game.play(**ADAM).left == 2


def test_an_objective_that_raises_costs_no_play() -> None:
    def broken(trial: Trial) -> float:
        if trial.config["width"] == 13:
            raise RuntimeError("no memory")
        return 1.0

    game = Babysitting(broken, SPACE, budget=2)
    with pytest.raises(RuntimeError, match="no memory"):
        game.play(**{**ADAM, "width": 13})
    assert game.left == 2
    assert game.pending == {}
    assert game.play(**ADAM).result.trial.number == 0


@pytest.mark.parametrize("budget", [0, -3, True, 2.0, None])
def test_a_bad_budget_is_refused(budget: Any) -> None:
    with pytest.raises(ValueError, match=r"^budget is .*: give an integer, 1 or more$"):
        Babysitting(loss, SPACE, budget=budget)


def test_what_is_chosen_is_asked_for_in_turn_and_nothing_else() -> None:
    game = Babysitting(loss, SPACE, budget=3)
    assert game.ask() is None
    assert not game.finished
    game.choose(**ADAM)
    game.choose(**{**ADAM, "width": 4})
    assert game.left == 1
    first, second = game.ask(), game.ask()
    assert first is not None
    assert second is not None
    assert [first.config["width"], second.config["width"]] == [3, 4]
    assert game.ask() is None
    game.tell(second, 0.5)
    assert game.play(**{**ADAM, "width": 5}).left == 0
    assert game.finished
    with pytest.raises(ValueError, match=r"^all 3 plays are made"):
        game.choose(**ADAM)


def test_a_runner_evaluates_what_was_chosen() -> None:
    game = Babysitting(loss, SPACE, budget=2)
    game.choose(**ADAM)
    game.choose(**{**ADAM, "width": 20})
    history = run(game, loss)
    assert history["value"] == pytest.approx([1 + 289 / 400, 1.0])
    assert game.best.value == 1.0


def test_the_plays_are_a_history() -> None:
    game = Babysitting(loss, SPACE)
    game.play(**ADAM)
    game.play(**{**ADAM, "width": 20})
    history = game.history()
    assert history["number"] == [0, 1]
    assert history["value"] == pytest.approx([1 + 289 / 400, 1.0])
    assert history.best["config"] == {**ADAM, "width": 20}


def test_the_comparison_counts_random_searches_on_the_same_objective() -> None:
    game = Babysitting(loss, SPACE, budget=6, seed=3)
    for width in (3, 20, 1):
        game.play(**{**ADAM, "width": width})
    comparison = game.compare(searches=15)
    expected = []
    for seed in range(3, 18):
        method, best = Random(Space(SPACE), seed=seed), []
        for _ in range(6):
            trial = method.ask()
            assert trial is not None
            method.tell(trial, loss(trial))
            best.append(method.best.value)
        expected.append(best)
    assert comparison.random == expected
    assert comparison.best == pytest.approx([1 + 289 / 400, 1.0, 1.0])
    assert comparison.beaten == [
        sum(search[i] > mine for search in expected) for i, mine in enumerate(comparison.best)
    ]
    assert 0 < comparison.beaten[0] < 15
    assert game.compare(searches=4).random == expected[:4]
    assert game.left == 3


@pytest.mark.parametrize(
    ("best", "random", "sentence"),
    [
        ([0.5], [[0.6], [0.5]], "After 1 play you were ahead of 1 of 2 random searches."),
        (
            [3.0, 2.0, 2.0, 1.0, 1.0, 0.0],
            [[4, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 1], [9, 9, 9, 9, 0, 0]],
            "After 1, 2, 5 and 6 plays you were ahead of 2, 1, 0 and 2 of 3 random searches.",
        ),
        ([math.inf], [[1.0], [math.inf]], "After 1 play you were ahead of 0 of 2 random searches."),
    ],
)
def test_the_sentence(best: list[float], random: list[list[float]], sentence: str) -> None:
    assert repr(Comparison(best, random)) == sentence


@pytest.mark.filterwarnings("error")
def test_the_picture_has_your_steps_their_median_and_their_band() -> None:
    random = [[float(10 * i + 10 - j) for j in range(4)] for i in range(11)]
    random[10] = [math.inf, math.inf, 107.0, 106.0]
    _, ax = plt.subplots()
    assert Comparison([math.inf, 20.0], random).draw(ax) is ax
    you, median = ax.lines
    assert you.get_label() == "you"
    assert list(you.get_xdata()) == [1, 2]
    assert math.isnan(you.get_ydata()[0])
    assert you.get_drawstyle() == median.get_drawstyle() == "steps-post"
    assert list(median.get_ydata()) == [60, 59, 58, 57]
    (band,) = ax.collections
    low, high = band.get_paths()[0].get_extents().intervaly
    assert (low, high) == (17, 100)
    assert ax.get_xlabel() == "play"
    assert "lower is better" in ax.get_ylabel()
    assert len(ax.get_legend().get_texts()) == 3


def test_a_game_compares_where_it_is_told_to_draw() -> None:
    game = Babysitting(loss, SPACE, budget=3)
    with pytest.raises(ValueError, match=r"^there is no play to compare yet: call play first$"):
        game.compare()
    game.play(**ADAM)
    for searches in (0, True, 1.5):
        with pytest.raises(ValueError, match=r"^searches is .*: give an integer, 1 or more$"):
            game.compare(searches)  # type: ignore[arg-type]
    _, (left, right) = plt.subplots(1, 2)
    game.compare(5, ax=left)
    assert left.lines
    assert not right.lines
