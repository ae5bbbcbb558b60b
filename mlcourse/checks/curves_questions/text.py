"""The question of `curves` that is answered in words."""

from __future__ import annotations

from mlcourse.checks.declare import Question

AFTER = (
    Question(
        name="explain_diagnosis",
        title="A diagnosis and its test",
        points=3,
        kind="text",
    ),
)
