"""The exercise `second_order`: curvature, Newton, conjugate gradients, L-BFGS."""

from mlcourse.checks.declare import Exercise
from mlcourse.checks.second_order_questions.conjugate_gradients import conjugate_gradients
from mlcourse.checks.second_order_questions.hvp import hvp
from mlcourse.checks.second_order_questions.lbfgs_direction import lbfgs_direction
from mlcourse.checks.second_order_questions.predicted_change import predicted_change
from mlcourse.checks.second_order_questions.spectrum import condition_number, negative_fraction
from mlcourse.checks.second_order_questions.steps import (
    newton_decrement,
    newton_step,
    saddle_free_step,
)
from mlcourse.checks.second_order_questions.text import (
    AFTER,
    HVP_COST,
    KRYLOV,
    MEMORY,
    NEWTON,
    POINTS,
    RATES,
    STEEPEST,
)

exercise = Exercise(
    name="second_order",
    title="Second order",
    questions=(
        predicted_change,
        *STEEPEST,
        condition_number,
        *RATES,
        hvp,
        *HVP_COST,
        newton_step,
        newton_decrement,
        *NEWTON,
        saddle_free_step,
        negative_fraction,
        *POINTS,
        conjugate_gradients,
        *KRYLOV,
        lbfgs_direction,
        *MEMORY,
        *AFTER,
    ),
    imports=("data", "plotting", "witness"),
)
