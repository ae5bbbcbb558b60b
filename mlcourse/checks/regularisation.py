"""The exercise `regularisation`: penalties, weight decay, early stopping, clipping, dropout."""

from mlcourse.checks.declare import Exercise
from mlcourse.checks.regularisation_questions.clipping import clip_by_norm, clip_by_value
from mlcourse.checks.regularisation_questions.decoupled_step import decoupled_step
from mlcourse.checks.regularisation_questions.early_stopping import early_stopping
from mlcourse.checks.regularisation_questions.ensemble import ensemble
from mlcourse.checks.regularisation_questions.penalties import (
    elastic_net_penalty,
    l1_penalty,
    l2_penalty,
)
from mlcourse.checks.regularisation_questions.penalty_gradient import penalty_gradient
from mlcourse.checks.regularisation_questions.proximal import shrink, soft_threshold
from mlcourse.checks.regularisation_questions.text import (
    ADAPTIVE,
    AFTER,
    CLIPPING,
    DECAY,
    DROPPING,
    ONE_PASS,
    PENALTIES,
    STOPPING,
    ZEROS,
)
from mlcourse.checks.regularisation_questions.train_and_restore import train_and_restore

exercise = Exercise(
    name="regularisation",
    title="Regularisation",
    questions=(
        *PENALTIES,
        l1_penalty,
        l2_penalty,
        elastic_net_penalty,
        penalty_gradient,
        *DECAY,
        soft_threshold,
        shrink,
        *ZEROS,
        decoupled_step,
        *ADAPTIVE,
        early_stopping,
        train_and_restore,
        *STOPPING,
        clip_by_value,
        clip_by_norm,
        *CLIPPING,
        *DROPPING,
        ensemble,
        *ONE_PASS,
        *AFTER,
    ),
    imports=("data", "plotting", "witness"),
)
