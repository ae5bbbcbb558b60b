"""The exercise `hypergradients`: from ridge regression by hand to every way through training."""

from mlcourse.checks.declare import Exercise
from mlcourse.checks.hypergradients_questions.noisy import greedy_rate, loss_after_step
from mlcourse.checks.hypergradients_questions.one_step import finite_difference, unrolled_step
from mlcourse.checks.hypergradients_questions.penalties import (
    implicit_hypergradient,
    mixed_derivative,
    penalty_hypergradient,
)
from mlcourse.checks.hypergradients_questions.products import (
    fixed_point,
    second_products,
    solve_by_cg,
    solve_by_neumann,
)
from mlcourse.checks.hypergradients_questions.ridge import (
    ridge_hypergradient,
    ridge_loss,
    ridge_weights,
    validation_gradient,
)
from mlcourse.checks.hypergradients_questions.text import (
    COSTS,
    END,
    FIXED,
    HORIZON,
    LIMIT,
    MINIMUM,
)
from mlcourse.checks.hypergradients_questions.unrolled import (
    forward_mode,
    reverse_mode,
    truncated_reverse,
)

exercise = Exercise(
    name="hypergradients",
    title="Hypergradients",
    questions=(
        ridge_loss,
        ridge_weights,
        validation_gradient,
        ridge_hypergradient,
        *FIXED,
        mixed_derivative,
        implicit_hypergradient,
        penalty_hypergradient,
        second_products,
        solve_by_cg,
        solve_by_neumann,
        *LIMIT,
        fixed_point,
        *MINIMUM,
        unrolled_step,
        finite_difference,
        forward_mode,
        reverse_mode,
        truncated_reverse,
        *COSTS,
        loss_after_step,
        greedy_rate,
        *HORIZON,
        *END,
    ),
    imports=("data", "plotting", "witness"),
)
