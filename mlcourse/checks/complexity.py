"""The exercise `complexity`: what weights cost, and how many of them are worth it."""

from mlcourse.checks.complexity_questions.codes import code_lengths, log_evidence
from mlcourse.checks.complexity_questions.divergences import (
    best_precision,
    gaussian_kl,
    kl_gradients,
    weights_kl,
)
from mlcourse.checks.complexity_questions.draws import draw_weights, local_outputs
from mlcourse.checks.complexity_questions.errors import (
    batch_free_energy,
    class_nll,
    gaussian_nll,
)
from mlcourse.checks.complexity_questions.text import (
    END,
    INDEPENDENT,
    ONE_WEIGHT,
    PRUNED,
    TESTED,
)
from mlcourse.checks.complexity_questions.units import needed_units, signal_to_noise
from mlcourse.checks.declare import Exercise

exercise = Exercise(
    name="complexity",
    title="Optimal complexity",
    questions=(
        gaussian_nll,
        class_nll,
        code_lengths,
        log_evidence,
        gaussian_kl,
        *ONE_WEIGHT,
        weights_kl,
        batch_free_energy,
        *INDEPENDENT,
        kl_gradients,
        best_precision,
        draw_weights,
        local_outputs,
        signal_to_noise,
        needed_units,
        *PRUNED,
        *TESTED,
        *END,
    ),
    imports=("data", "plotting"),
)
