"""The exercise `diagnose_collapse`: the record of a search, and what went wrong in it."""

from mlcourse.checks.declare import Exercise
from mlcourse.checks.diagnose_collapse_questions.curvature import (
    eigenvalue_stop,
    largest_eigenvalue,
)
from mlcourse.checks.diagnose_collapse_questions.leaving import (
    margins,
    rank_correlation,
    relied_on,
)
from mlcourse.checks.diagnose_collapse_questions.naming import name_the_limit
from mlcourse.checks.diagnose_collapse_questions.record import (
    stop_by_count,
    strengths_by_epoch,
    weight_free_counts,
)
from mlcourse.checks.diagnose_collapse_questions.text import (
    CAUSE,
    CURVATURE,
    END,
    REMEDY,
    SEEDS,
    STRENGTH,
)
from mlcourse.checks.diagnose_collapse_questions.worth import look_ahead, paired_interval, regrets

exercise = Exercise(
    name="diagnose_collapse",
    title="Diagnosing a collapse",
    questions=(
        strengths_by_epoch,
        weight_free_counts,
        stop_by_count,
        *CAUSE,
        largest_eigenvalue,
        *CURVATURE,
        eigenvalue_stop,
        margins,
        relied_on,
        *STRENGTH,
        rank_correlation,
        look_ahead,
        name_the_limit,
        *REMEDY,
        regrets,
        paired_interval,
        *SEEDS,
        *END,
    ),
    imports=("data", "plotting", "witness"),
)
