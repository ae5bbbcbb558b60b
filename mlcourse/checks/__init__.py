"""The checks: one file an exercise, plus what runs them."""

from __future__ import annotations

import importlib

from mlcourse.checks.declare import Exercise, Forbidden, Mistake, Question, Variant

#: Every exercise of the course, in the order of the book.
EXERCISES = (
    "by_hand",
    "four_ways",
    "conv_arithmetic",
    "train_a_cnn",
    "better_training",
    "optimisers",
    "second_order",
    "schedules",
    "regularisation",
    "curves",
    "search_basics",
    "pso",
    "tpe_hyperband",
    "bilevel_toy",
    "hypergradients",
    "complexity",
    "mixed_edge",
    "derive_cell",
    "darts_step",
    "diagnose_collapse",
)


def load(name: str) -> Exercise:
    """Return the exercise `name`.

    Raises ValueError, naming the exercises that exist, when there is none of that name.
    """
    if name not in EXERCISES:
        raise ValueError(f"there is no exercise {name!r}; there are {', '.join(EXERCISES)}")
    exercise: Exercise = importlib.import_module(f"mlcourse.checks.{name}").exercise
    return exercise


__all__ = ["EXERCISES", "Exercise", "Forbidden", "Mistake", "Question", "Variant", "load"]
