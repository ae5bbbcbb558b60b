"""The exercise `darts_step`: how weights and architecture move in turn, each on its own data."""

from mlcourse.checks.darts_step_questions.difference import difference, difference_gradient
from mlcourse.checks.darts_step_questions.exact import (
    first_order,
    two_parts,
    unrolled_gradient,
    virtual_step,
)
from mlcourse.checks.darts_step_questions.given import halves, mixed_loss
from mlcourse.checks.darts_step_questions.loop import search_loop, search_step, weight_step
from mlcourse.checks.darts_step_questions.text import COUNT, DATA, DAYS, END, KINKS, RATE, TOY
from mlcourse.checks.declare import Exercise

exercise = Exercise(
    name="darts_step",
    title="A step of DARTS",
    questions=(
        halves,
        *DATA,
        mixed_loss,
        first_order,
        virtual_step,
        unrolled_gradient,
        two_parts,
        difference,
        difference_gradient,
        *KINKS,
        weight_step,
        search_step,
        *COUNT,
        *TOY,
        *RATE,
        search_loop,
        *DAYS,
        *END,
    ),
    imports=("data", "plotting", "witness"),
)
