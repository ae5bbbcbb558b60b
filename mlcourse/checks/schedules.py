"""The exercise `schedules`: learning rates as functions of the step."""

from mlcourse.checks.declare import Exercise
from mlcourse.checks.schedules_questions.composed import factor, per_update, then, warmup
from mlcourse.checks.schedules_questions.counts import suggest_lr, updates
from mlcourse.checks.schedules_questions.formulas import exponential, step, time_based
from mlcourse.checks.schedules_questions.text import (
    COSINE,
    END,
    EXPONENTIAL,
    IN_TORCH,
    NOISE,
    RANGE,
    STEPS,
)
from mlcourse.checks.schedules_questions.waves import cosine, one_cycle

exercise = Exercise(
    name="schedules",
    title="Schedules",
    questions=(
        time_based,
        step,
        *STEPS,
        exponential,
        *EXPONENTIAL,
        cosine,
        *COSINE,
        then,
        warmup,
        one_cycle,
        updates,
        per_update,
        factor,
        *IN_TORCH,
        suggest_lr,
        *RANGE,
        *NOISE,
        *END,
    ),
    imports=("data", "plotting", "witness"),
)
