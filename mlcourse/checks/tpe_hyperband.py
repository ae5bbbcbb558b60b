"""The exercise `tpe_hyperband`: two densities, many brackets, and who is better."""

from mlcourse.checks.declare import Exercise
from mlcourse.checks.tpe_hyperband_questions.brackets import brackets, budgets, promoted
from mlcourse.checks.tpe_hyperband_questions.comparing import paired, pairs_needed, sign_flip_p
from mlcourse.checks.tpe_hyperband_questions.densities import (
    choice_probabilities,
    log_density,
    log_kernel,
    split,
)
from mlcourse.checks.tpe_hyperband_questions.halving import halving, modelled_budget
from mlcourse.checks.tpe_hyperband_questions.suggesting import improvement, sample, suggest
from mlcourse.checks.tpe_hyperband_questions.text import (
    BRACKETS,
    BUDGETS,
    END,
    MODELLED,
    PAIRS,
    RANKING,
)

exercise = Exercise(
    name="tpe_hyperband",
    title="TPE and Hyperband",
    questions=(
        split,
        log_kernel,
        log_density,
        choice_probabilities,
        improvement,
        sample,
        suggest,
        *MODELLED,
        budgets,
        *BUDGETS,
        brackets,
        *BRACKETS,
        promoted,
        halving,
        modelled_budget,
        paired,
        sign_flip_p,
        pairs_needed,
        *PAIRS,
        *RANKING,
        *END,
    ),
    imports=("data", "plotting"),
)
