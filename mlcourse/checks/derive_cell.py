"""The exercise `derive_cell`: from architecture parameters to a cell, and what it is worth."""

from mlcourse.checks.declare import Exercise
from mlcourse.checks.derive_cell_questions.choosing import (
    best_operations,
    derive_genes,
    strongest_inputs,
)
from mlcourse.checks.derive_cell_questions.comparing import discretisation_gap, kendall_tau
from mlcourse.checks.derive_cell_questions.describing import (
    effective_operations,
    gene_parameters,
    longest_paths,
)
from mlcourse.checks.derive_cell_questions.retraining import drop_path, helped_loss
from mlcourse.checks.derive_cell_questions.text import END, HOW_MANY, LOW_TAU, TAU, WHY_NONE

exercise = Exercise(
    name="derive_cell",
    title="Deriving a cell",
    questions=(
        best_operations,
        *WHY_NONE,
        strongest_inputs,
        derive_genes,
        *HOW_MANY,
        gene_parameters,
        longest_paths,
        effective_operations,
        discretisation_gap,
        kendall_tau,
        *TAU,
        *LOW_TAU,
        drop_path,
        helped_loss,
        *END,
    ),
    imports=("data", "plotting"),
)
